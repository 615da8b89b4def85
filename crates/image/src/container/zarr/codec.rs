//! How the bytes of a chunk are compressed: the codecs that stores of microscopes use.
//!
//! Every codec is given the most bytes that may come out, so that a small file cannot take more
//! memory than its chunk. Names are those of zarr 3's registry and of numcodecs (zarr 2).

use std::borrow::Cow;
use std::io::Read;

use serde_json::Value;

use super::blosc;
use super::node::{Refusal, broken};

/// One step between the bytes of a chunk and those of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Blosc,
    Gzip,
    Zlib,
    Zstd,
    /// The block format of LZ4 behind the number of its bytes, as numcodecs writes it.
    Lz4,
    Crc32c,
}

impl Codec {
    /// The codec called `name`.
    pub(super) fn named(name: &str) -> Result<Self, Refusal> {
        match name.strip_prefix("numcodecs.").unwrap_or(name) {
            "blosc" => Ok(Self::Blosc),
            "gzip" => Ok(Self::Gzip),
            "zlib" => Ok(Self::Zlib),
            "zstd" => Ok(Self::Zstd),
            "lz4" => Ok(Self::Lz4),
            "crc32c" => Ok(Self::Crc32c),
            _ => Err(Refusal::NotSupported {
                what: format!("its chunks are coded by `{name}`"),
                way_out: "write it again with Blosc, zstd, gzip, zlib or LZ4",
            }),
        }
    }

    /// The compressor of zarr 2: none, or an object with its `id`.
    pub(super) fn of_v2(compressor: &Value) -> Result<Vec<Self>, Refusal> {
        match compressor.get("id").and_then(Value::as_str) {
            Some(id) => Ok(vec![Self::named(id)?]),
            None if compressor.is_null() => Ok(Vec::new()),
            None => broken(format!("its compressor `{compressor}` has no `id`")),
        }
    }

    /// Undoes the step; at most `most` bytes come out.
    fn decode(self, bytes: &[u8], most: usize) -> Result<Vec<u8>, String> {
        match self {
            Self::Blosc => blosc::decode(bytes, most),
            Self::Gzip => read_most(flate2::read::MultiGzDecoder::new(bytes), most),
            Self::Zlib => read_most(flate2::read::ZlibDecoder::new(bytes), most),
            Self::Zstd => {
                let stream = zstd::stream::read::Decoder::with_buffer(bytes);
                read_most(stream.map_err(|error| error.to_string())?, most)
            }
            Self::Lz4 => {
                let (size, block) = bytes.split_first_chunk().ok_or("it is too short for LZ4")?;
                let size = u32::from_le_bytes(*size) as usize;
                if size > most {
                    return Err(too_long(most));
                }
                let mut out = vec![0; size];
                blosc::lz4(block, &mut out)?;
                Ok(out)
            }
            Self::Crc32c => {
                let (bytes, sum) = bytes.split_last_chunk().ok_or("it has no checksum")?;
                match u32::from_le_bytes(*sum) == crc32c(bytes) {
                    true => Ok(bytes.to_vec()),
                    false => Err("its checksum does not fit".into()),
                }
            }
        }
    }
}

/// The `due` bytes of a chunk from those of its file, through all steps from the last to the first.
pub(super) fn decoded<'a>(
    codecs: &[Codec],
    bytes: Cow<'a, [u8]>,
    due: usize,
) -> Result<Cow<'a, [u8]>, String> {
    let mut bytes = bytes;
    for (step, codec) in codecs.iter().enumerate().rev() {
        // Between two steps the bytes are those of a compressed chunk.
        let most = match codecs[..step].iter().any(|codec| *codec != Codec::Crc32c) {
            true => compressed_most(due),
            false => due + 4 * step,
        };
        bytes = Cow::Owned(codec.decode(&bytes, most)?);
    }
    match bytes.len() {
        length if length == due => Ok(bytes),
        length => Err(format!(
            "it has {length} bytes of pixels, and {due} are due"
        )),
    }
}

/// Most bytes that `due` bytes take when they are compressed, whatever the codec.
pub(super) fn compressed_most(due: usize) -> usize {
    due.saturating_mul(2).saturating_add(1 << 16)
}

fn too_long(most: usize) -> String {
    format!("it has more than the {most} bytes that are due")
}

fn read_most(stream: impl Read, most: usize) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut stream = stream.take(most as u64 + 1);
    let read = stream.read_to_end(&mut out);
    read.map_err(|error| error.to_string())?;
    match out.len() <= most {
        true => Ok(out),
        false => Err(too_long(most)),
    }
}

/// Castagnoli's cyclic redundancy check (RFC 3720, appendix B.4).
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    const TABLE: [u32; 256] = {
        let (mut table, mut byte) = ([0; 256], 0);
        while byte < 256 {
            let (mut value, mut bit) = (byte as u32, 0);
            while bit < 8 {
                value = (value >> 1) ^ (POLYNOMIAL * (value & 1));
                bit += 1;
            }
            table[byte] = value;
            byte += 1;
        }
        table
    };
    let step = |sum: u32, byte: &u8| (sum >> 8) ^ TABLE[usize::from(sum as u8 ^ byte)];
    !bytes.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // RFC 3720, B.4: 32 zeros, and 0 to 31.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&rising), 0x46dd_794e);
    }

    #[test]
    fn a_small_file_cannot_grow_beyond_its_chunk() {
        let zeros = vec![0; 1 << 20];
        let packed = zstd::bulk::compress(&zeros, 3).expect("packed");
        let said = decoded(&[Codec::Zstd], Cow::Borrowed(&packed), 1000).expect_err("refused");
        assert!(said.contains("more than the 1000 bytes"), "{said}");
        let whole = decoded(&[Codec::Zstd], Cow::Borrowed(&packed), 1 << 20).expect("fits");
        assert_eq!(whole.len(), 1 << 20);
        // A frame that claims 2^40 bytes and holds none.
        let claim = [&b"\x28\xb5\x2f\xfd\xe0"[..], &(1_u64 << 40).to_le_bytes()].concat();
        assert!(decoded(&[Codec::Zstd], Cow::Owned(claim), 64).is_err());
    }

    #[test]
    fn steps_are_undone_from_the_last_to_the_first() {
        let pixels: Vec<u8> = (0..200).collect();
        let mut stored = zstd::bulk::compress(&pixels, 3).expect("packed");
        let sum = crc32c(&stored);
        stored.extend(sum.to_le_bytes());
        let steps = [Codec::Zstd, Codec::Crc32c];
        let read = decoded(&steps, Cow::Borrowed(&stored), 200).expect("decodes");
        assert_eq!(*read, *pixels);
        stored[3] ^= 1;
        let said = decoded(&steps, Cow::Borrowed(&stored), 200).expect_err("refused");
        assert_eq!(said, "its checksum does not fit");
    }
}
