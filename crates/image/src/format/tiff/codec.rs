//! The compressions of strips and tiles, and the differences that are taken before them.

use std::io::Read;
use std::path::Path;

use fax::Color;
use fax::decoder::{decode_g4, pels};
use weezl::{BitOrder, LzwStatus};

use super::directory::Order;
use crate::ImageError;

/// A compression that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Group4,
    Lzw,
    Deflate,
    PackBits,
    Zstd,
}

/// What to do about a compression that is not read.
const SAVE_AGAIN: &str = "save it uncompressed or with Deflate, LZW or Zstandard";

impl Compression {
    /// The compression of this number; compressions that are not read are refused by name.
    pub(super) fn of(path: &Path, number: u64) -> Result<Self, ImageError> {
        let name = match number {
            1 => return Ok(Self::None),
            4 => return Ok(Self::Group4),
            5 => return Ok(Self::Lzw),
            8 | 32946 => return Ok(Self::Deflate),
            32773 => return Ok(Self::PackBits),
            34926 | 50000 => return Ok(Self::Zstd),
            // As a file of its own would be.
            6 | 7 => {
                return Err(ImageError::not_supported(
                    path,
                    "its pixels are compressed with JPEG, which has changed the intensities",
                    "export the images again without JPEG",
                ));
            }
            2 | 3 | 32771 => "fax (CCITT group 3)",
            9 | 10 | 34661 => "JBIG",
            32766 => "NeXT",
            32809 => "ThunderScan",
            32908 | 32909 => "Pixar's codecs",
            33003 | 33004 | 33005 | 34712 => "JPEG 2000",
            22610 | 34934 => "JPEG XR",
            34676 | 34677 => "SGI Log",
            34887 => "LERC",
            34925 => "LZMA",
            34927 | 50001 => "WebP",
            34933 => "PNG",
            50002 | 52546 => "JPEG XL",
            50004 => "LZ4",
            _ => "an unknown codec",
        };
        Err(ImageError::not_supported(
            path,
            format!("its pixels are compressed with {name} (compression `{number}`)"),
            SAVE_AGAIN,
        ))
    }

    /// How many bytes one byte can become: more than that is damage, found before memory is taken.
    pub(super) fn most(self) -> u64 {
        match self {
            Self::None => 1,
            Self::PackBits => 128,
            // Deflate's limit is 1032, that of LZW about 1365 with its 4096 codes.
            Self::Lzw | Self::Deflate => 1400,
            // A row of one colour is one bit in fax, a zstd block of 128 KiB four bytes.
            Self::Group4 | Self::Zstd => 1 << 15,
        }
    }

    /// `length` bytes of pixels out of `raw`, rows of `width` bits for fax; `Err` says what is
    /// wrong with them.
    pub(super) fn decode(
        self,
        mut raw: Vec<u8>,
        length: usize,
        width: usize,
    ) -> Result<Vec<u8>, String> {
        match self {
            Self::None => {
                raw.truncate(length);
                complete(raw, length)
            }
            Self::Lzw => lzw(&raw, length),
            Self::Deflate => read(flate2::read::ZlibDecoder::new(&raw[..]), length),
            Self::Zstd => match zstd::stream::read::Decoder::new(&raw[..]) {
                Ok(decoder) => read(decoder, length),
                Err(error) => Err(error.to_string()),
            },
            Self::PackBits => complete(pack_bits(&raw, length), length),
            Self::Group4 => complete(group_4(raw, length, width)?, length),
        }
    }
}

fn complete(bytes: Vec<u8>, length: usize) -> Result<Vec<u8>, String> {
    match bytes.len() {
        found if found < length => Err(format!(
            "a strip or tile has {found} bytes instead of {length}"
        )),
        _ => Ok(bytes),
    }
}

fn read(decoder: impl Read, length: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    match decoder.take(length as u64).read_to_end(&mut bytes) {
        Ok(_) => complete(bytes, length),
        Err(error) => Err(error.to_string()),
    }
}

fn lzw(raw: &[u8], length: usize) -> Result<Vec<u8>, String> {
    // The codes of the first writers run in the other direction and begin so.
    if matches!(raw, [0, second, ..] if second & 1 == 1) {
        return Err("its pixels are compressed with the LZW of before 1990".into());
    }
    let mut decoder = weezl::decode::Configuration::with_tiff_size_switch(BitOrder::Msb, 8)
        .with_yield_on_full_buffer(true)
        .build();
    let mut bytes = vec![0; length];
    let (mut from, mut filled) = (0, 0);
    while filled < length {
        let step = decoder.decode_bytes(&raw[from..], &mut bytes[filled..]);
        from += step.consumed_in;
        filled += step.consumed_out;
        match step.status {
            Ok(LzwStatus::Ok) if step.consumed_in + step.consumed_out > 0 => {}
            Ok(_) => break,
            Err(error) => return Err(error.to_string()),
        }
    }
    bytes.truncate(filled);
    complete(bytes, length)
}

/// Runs: a count below 128 is followed by count + 1 bytes, above by one byte 257 - count times.
fn pack_bits(raw: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = raw;
    while let [count, tail @ ..] = rest {
        if bytes.len() >= length {
            break;
        }
        rest = match (*count, tail) {
            (128, _) => tail,
            (count @ 0..128, _) => {
                let (literal, tail) = tail.split_at((usize::from(count) + 1).min(tail.len()));
                bytes.extend_from_slice(literal);
                tail
            }
            (count, [value, tail @ ..]) => {
                bytes.resize(bytes.len() + 257 - usize::from(count), *value);
                tail
            }
            (_, []) => break,
        };
    }
    bytes.truncate(length);
    bytes
}

/// Rows of black and white runs; black is a set bit, as the format stores it without a codec.
fn group_4(raw: Vec<u8>, length: usize, width: usize) -> Result<Vec<u8>, String> {
    let row_bytes = width.div_ceil(8);
    let columns = u16::try_from(width).map_err(|_| format!("a fax row has {width} pixels"))?;
    let rows = length.checked_div(row_bytes).unwrap_or(0);
    let height = u16::try_from(rows).map_err(|_| format!("a fax strip has {rows} rows"))?;
    let mut bytes = Vec::new();
    // The end of the stream is judged by the rows that came.
    let _ = decode_g4(raw.into_iter(), columns, Some(height), |line| {
        let at = bytes.len();
        bytes.resize(at + row_bytes, 0);
        for (x, color) in pels(line, columns).enumerate() {
            if color == Color::Black {
                bytes[at + x / 8] |= 0x80 >> (x % 8);
            }
        }
    });
    bytes.truncate(length);
    Ok(bytes)
}

/// What was taken off the samples before they were compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    /// Differences to the sample of the same kind on the left.
    Horizontal,
    /// The bytes of floats, most significant plane first, as differences.
    Float,
}

impl Predictor {
    pub(super) fn of(path: &Path, number: u64) -> Result<Self, ImageError> {
        match number {
            1 => Ok(Self::None),
            2 => Ok(Self::Horizontal),
            3 => Ok(Self::Float),
            _ => Err(ImageError::not_supported(
                path,
                format!("its pixels have an unknown predictor (`{number}`)"),
                SAVE_AGAIN,
            )),
        }
    }

    /// Brings back the samples of one row, `samples` of `width` bytes a pixel; gives the order of
    /// their bytes.
    pub(super) fn undo(self, row: &mut [u8], samples: usize, width: usize, order: Order) -> Order {
        match self {
            Self::None => order,
            Self::Horizontal => {
                add_left(row, samples, width, order);
                order
            }
            Self::Float => {
                for at in samples..row.len() {
                    row[at] = row[at].wrapping_add(row[at - samples]);
                }
                let count = row.len() / width;
                let planes = row.to_vec();
                for (place, plane) in planes.chunks_exact(count.max(1)).take(width).enumerate() {
                    for (value, &byte) in row.chunks_exact_mut(width).zip(plane) {
                        value[place] = byte;
                    }
                }
                Order::Big
            }
        }
    }
}

/// Adds to every sample the one of the pixel on the left, wrapping.
fn add_left(row: &mut [u8], samples: usize, width: usize, order: Order) {
    if (samples, width) == (1, 2) {
        // By far the most frequent case, and faster than byte by byte.
        return match order {
            Order::Little => add_left_16(row, u16::from_le_bytes, u16::to_le_bytes),
            Order::Big => add_left_16(row, u16::from_be_bytes, u16::to_be_bytes),
        };
    }
    let step = samples * width;
    for at in (step..(row.len() / width) * width).step_by(width) {
        let mut carry = 0;
        // From the least significant byte on.
        for k in 0..width {
            let byte = match order {
                Order::Little => at + k,
                Order::Big => at + width - 1 - k,
            };
            let sum = u16::from(row[byte]) + u16::from(row[byte - step]) + carry;
            row[byte] = sum as u8;
            carry = sum >> 8;
        }
    }
}

fn add_left_16(row: &mut [u8], read: fn([u8; 2]) -> u16, write: fn(u16) -> [u8; 2]) {
    let mut sum = 0_u16;
    for pair in row.as_chunks_mut::<2>().0 {
        sum = sum.wrapping_add(read(*pair));
        *pair = write(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pack_bits_runs_and_literals() {
        // The example of the TIFF specification's section 9 in short.
        let raw = [0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0x80, 0xfd, 0xaa];
        let bytes = pack_bits(&raw, 10);
        assert_eq!(
            bytes,
            [0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa]
        );
    }

    #[test]
    fn differences_carry_over_bytes_in_both_orders() {
        for (order, mut row, expected) in [
            (
                Order::Little,
                [0xff, 0x00, 0x02, 0x00],
                [0xff, 0x00, 0x01, 0x01],
            ),
            (
                Order::Big,
                [0x00, 0xff, 0x00, 0x02],
                [0x00, 0xff, 0x01, 0x01],
            ),
        ] {
            add_left(&mut row, 1, 2, order);
            assert_eq!(row, expected, "{order:?}");
        }
    }
}
