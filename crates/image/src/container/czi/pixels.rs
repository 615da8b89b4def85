//! The planes of a CZI file: blocks of pixels, decoded and laid into the image of their scene.
//!
//! A block begins with the length of its description (int32), of its attachment (int32) and of its
//! pixels (int64), then its entry; the pixels follow the description. Rows are not padded, samples
//! are little-endian. zstd1 has a header before its stream: its length, then parts of which the
//! one numbered 1 says by its lowest bit that all low bytes of the samples stand before all high
//! ones. Read from real files and the published description of the format.

use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::coverage::Tile;
use super::directory::{Block, Entry, HEAD, int, long};
use crate::container::Bytes;
use crate::format::{Pixels, window};
use crate::{Image, ImageError, Plane, PlaneSource, Region, Stamp, read_pieces};

/// Why pixels are not read, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unread {
    pub(super) what: String,
    pub(super) way_out: &'static str,
}

/// How blocks keep their pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    sample: Sample,
    compression: Compression,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sample {
    U8,
    U16,
    U32,
    F32,
    F64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    None,
    Zstd0,
    Zstd1,
}

impl Kept {
    /// # Errors
    /// If pixels of this type or compression are not read.
    pub(super) fn of(block: &Block) -> Result<Self, Unread> {
        Ok(Self {
            sample: sample(block.pixel)?,
            compression: compression(block.compression)?,
        })
    }

    /// Whether blocks of both kinds can make one image.
    pub(super) fn goes_with(self, other: Self) -> bool {
        self.sample == other.sample
    }

    /// Whether a block can lie in a file of `length` bytes.
    pub(super) fn fits(self, block: &Block, length: u64) -> bool {
        let pixels = u64::from(block.width) * u64::from(block.height);
        let bytes = match self.compression {
            Compression::None => pixels.saturating_mul(self.sample.bytes() as u64),
            Compression::Zstd0 | Compression::Zstd1 => 1,
        };
        let end = block.position.saturating_add(HEAD + 256);
        end.saturating_add(bytes) <= length
    }
}

impl Sample {
    fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

fn sample(number: i32) -> Result<Sample, Unread> {
    let name = match number {
        0 => return Ok(Sample::U8),
        1 => return Ok(Sample::U16),
        2 => return Ok(Sample::F32),
        12 => return Ok(Sample::U32),
        13 => return Ok(Sample::F64),
        3 => "Bgr24",
        4 => "Bgr48",
        8 => "Bgr96Float",
        9 => "Bgra32",
        10 | 11 => {
            return Err(Unread {
                what: format!("its pixels are complex numbers (pixel type `{number}`)"),
                way_out: "save their magnitude as 32-bit floats",
            });
        }
        _ => {
            return Err(Unread {
                what: format!("its pixels are of an unknown type (`{number}`)"),
                way_out: "export it as OME-TIFF from ZEN",
            });
        }
    };
    Err(Unread {
        what: format!("its pixels are colours (`{name}`)"),
        way_out: "make a grey image of it, or one of each colour, in ZEN or Fiji",
    })
}

fn compression(number: i32) -> Result<Compression, Unread> {
    let name = match number {
        0 => return Ok(Compression::None),
        5 => return Ok(Compression::Zstd0),
        6 => return Ok(Compression::Zstd1),
        1 => "JPEG",
        2 => "LZW",
        4 => "JPEG XR",
        100.. => "a camera's or a system's own codec",
        _ => "an unknown codec",
    };
    Err(Unread {
        what: format!("its pixels are compressed with {name} (compression `{number}`)"),
        way_out: "save it in ZEN uncompressed or with zstd, or export it as OME-TIFF",
    })
}

/// A block in the image of its scene.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) place: Tile,
    pub(super) position: u64,
    /// As its entry names them.
    pub(super) pixel: i32,
    pub(super) compression: i32,
    pub(super) kept: Kept,
}

/// A plane of a scene.
#[derive(Debug)]
pub(super) struct CziPlane {
    pub(super) path: Arc<PathBuf>,
    pub(super) part: usize,
    pub(super) size: (usize, usize),
    /// From the lowest to the one on top.
    pub(super) tiles: Vec<Placed>,
}

impl PlaneSource for CziPlane {
    fn location(&self) -> &Path {
        &self.path
    }

    fn part(&self) -> usize {
        self.part
    }

    fn stamp(&self) -> io::Result<Stamp> {
        Stamp::of_part(&self.path, self.part)
    }

    fn read(&self) -> Result<Plane, ImageError> {
        self.read_region(Region::whole(self.size))
    }

    fn read_region(&self, region: Region) -> Result<Plane, ImageError> {
        let region = window(&self.path, self.size, Some(region))?;
        let bytes = &mut Bytes::open(&self.path)?;
        let sample = self.tiles.first().map(|tile| tile.kept.sample);
        let pixels = match sample.unwrap_or(Sample::U8) {
            Sample::U8 => Pixels::U8(self.composed(bytes, region, u8::from_le_bytes)?),
            Sample::U16 => Pixels::U16(self.composed(bytes, region, u16::from_le_bytes)?),
            Sample::U32 => Pixels::U32(self.composed(bytes, region, u32::from_le_bytes)?),
            Sample::F32 => Pixels::F32(self.composed(bytes, region, f32::from_le_bytes)?),
            Sample::F64 => Pixels::F64(self.composed(bytes, region, f64::from_le_bytes)?),
        };
        pixels.into_plane(&self.path)
    }

    fn stored(&self, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        read_pieces(&self.path, sink)
    }
}

impl CziPlane {
    /// The window `region`, 0 where no tile lies; tiles that do not touch it are not read.
    fn composed<T: Copy + Default, const N: usize>(
        &self,
        bytes: &mut Bytes<'_>,
        region: Region,
        value: fn([u8; N]) -> T,
    ) -> Result<Image<T>, ImageError> {
        let mut image = Image::filled(region.height, region.width, T::default());
        for tile in &self.tiles {
            let place = tile.place;
            let rows = shared(place.top, place.height, region.y, region.height);
            let columns = shared(place.left, place.width, region.x, region.width);
            if rows.is_empty() || columns.is_empty() {
                continue;
            }
            let (top, left) = (place.top as usize, place.left as usize);
            let read = tile.rows(bytes, rows.start - top..rows.end - top)?;
            let stride = place.width as usize * N;
            let first = (columns.start - left) * N;
            for (y, row) in rows.zip(read.chunks_exact(stride)) {
                let row = row[first..].chunks_exact(N);
                let to = &mut image.row_mut(y - region.y)[columns.start - region.x..];
                for (to, from) in to[..columns.len()].iter_mut().zip(row) {
                    *to = value(from.try_into().unwrap_or([0; N]));
                }
            }
        }
        Ok(image)
    }
}

/// What two stretches have in common.
fn shared(start: u32, length: u32, from: usize, count: usize) -> Range<usize> {
    let (start, length) = (start as usize, length as usize);
    start.max(from)..(start + length).min(from + count)
}

impl Placed {
    /// The bytes of these rows of the block.
    fn rows(&self, bytes: &mut Bytes<'_>, rows: Range<usize>) -> Result<Vec<u8>, ImageError> {
        let stride = self.place.width as usize * self.kept.sample.bytes();
        let whole = stride * self.place.height as usize;
        let (from, count) = self.pixels(bytes)?;
        let wrong = |bytes: &Bytes<'_>, what: String| {
            bytes.broken(format!("its block at byte {}: {what}", self.position))
        };
        let (start, end) = (rows.start * stride, rows.end * stride);
        if self.kept.compression == Compression::None {
            // More than is needed is not pixels, by libCZI's resolution protocol.
            if count < whole as u64 {
                return Err(wrong(bytes, format!("it has {count} bytes of {whole}")));
            }
            return bytes.at(from + start as u64, (end - start) as u64, "block of pixels");
        }
        let packed = bytes.at(from, count, "block of pixels")?;
        let unpacked = match self.kept.compression {
            Compression::Zstd1 => zstd1(&packed, whole, self.kept.sample),
            _ => zstd0(&packed, whole),
        };
        let unpacked = unpacked.map_err(|what| wrong(bytes, what))?;
        Ok(unpacked[start..end].to_vec())
    }

    /// Where the pixels of the block begin, and how many bytes they take.
    fn pixels(&self, bytes: &mut Bytes<'_>) -> Result<(u64, u64), ImageError> {
        let (entry, after) = Entry::in_block(bytes, self.position)?;
        let (height, width) = entry.stored();
        let agrees = (entry.pixel, entry.compression) == (self.pixel, self.compression)
            && height.unsigned_abs() == self.place.height
            && width.unsigned_abs() == self.place.width;
        let sizes = bytes.at(self.position + HEAD, 16, "block")?;
        let description = int(&sizes, 0).and_then(|size| u64::try_from(size).ok());
        let count = long(&sizes, 8).and_then(|size| u64::try_from(size).ok());
        match (description, count) {
            (Some(description), Some(count)) if agrees => Ok((after + description, count)),
            _ => Err(bytes.broken(format!(
                "its block at byte {} is not what the list of blocks says",
                self.position
            ))),
        }
    }
}

/// `length` bytes of pixels out of a zstd stream; the error says what is wrong with it.
fn zstd0(packed: &[u8], length: usize) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("its zstd stream is damaged ({error})");
    let decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(failed)?;
    let mut bytes = Vec::new();
    let most = length as u64 + 1;
    decoder.take(most).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() {
        found if found == length => Ok(bytes),
        found if found < length => Err(format!("it unpacks to {found} bytes of {length}")),
        _ => Err(format!("it unpacks to more than its {length} bytes")),
    }
}

fn zstd1(packed: &[u8], length: usize, sample: Sample) -> Result<Vec<u8>, String> {
    let unknown = || "its zstd1 header is not understood".to_string();
    let header = usize::from(*packed.first().ok_or_else(unknown)?);
    let (header, stream) = packed.split_at_checked(header).ok_or_else(unknown)?;
    let apart = match header {
        [_] => false,
        [_, 1, flags] => flags & 1 == 1,
        _ => return Err(unknown()),
    };
    let bytes = zstd0(stream, length)?;
    match (apart, sample) {
        (false, _) => Ok(bytes),
        (true, Sample::U16) => {
            let (low, high) = bytes.split_at(length / 2);
            let pairs = low.iter().zip(high);
            Ok(pairs.flat_map(|(&low, &high)| [low, high]).collect())
        }
        (true, _) => Err("it has low and high bytes apart, which only 16-bit samples have".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_zstd1_say_whether_bytes_stand_apart() {
        let pack = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).expect("packed");
        let samples = [1_u8, 2, 3, 4, 5, 6];
        let apart = pack(&[1, 3, 5, 2, 4, 6]);
        let unpacked = |header: &[u8], stream: &[u8], sample| {
            zstd1(&[header, stream].concat(), samples.len(), sample)
        };
        let as_is = pack(&samples);
        assert_eq!(
            unpacked(&[1], &as_is, Sample::U16).as_deref(),
            Ok(&samples[..])
        );
        for (flags, stream) in [(0, &as_is), (1, &apart), (3, &apart)] {
            let header = [3, 1, flags];
            let unpacked = unpacked(&header, stream, Sample::U16);
            assert_eq!(unpacked.as_deref(), Ok(&samples[..]), "{flags}");
        }
        for (header, sample) in [
            (&[0][..], Sample::U16),
            (&[2, 1], Sample::U16),
            (&[3, 2, 1], Sample::U16),
            (&[200], Sample::U16),
            (&[3, 1, 1], Sample::U8),
        ] {
            assert!(unpacked(header, &apart, sample).is_err(), "{header:?}");
        }
        assert!(zstd1(&[], 6, Sample::U16).is_err());
        for length in [5, 7] {
            assert!(zstd0(&as_is, length).is_err(), "{length}");
        }
    }
}
