//! Writing images: whole or not at all, readable by Fiji, with the pixel size where it is known.
//!
//! Every function encodes in memory and then calls [`write_atomic`], so that a killed program or a
//! full disk never leaves half a file under the final name.

mod atomic;
mod tiff;

use std::io::Cursor;
use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

pub use atomic::{AtomicFile, is_unfinished, replace_file, write_atomic};
pub use tiff::{Compression, Note, class_mask, labels, plane_f32, plane_u16, stack_f32, tiff_u16};

use crate::{Image, ImageError};

/// What every written PNG says near its beginning: type and content of a text chunk (PNG
/// specification, 11.3.3.2), by which the program knows its own pictures.
pub const PNG_NOTE: &[u8] = b"tEXtSoftware\0stainfree";

/// Bytes of a PNG before its second chunk: the signature and the header.
const PNG_HEAD: usize = 8 + 25;

/// Writes an 8-bit grey PNG.
///
/// # Errors
/// [`ImageError::Write`] if the file cannot be written.
pub fn png_gray(path: &Path, image: &Image<u8>) -> Result<(), ImageError> {
    png(path, image.data(), image.size(), ExtendedColorType::L8)
}

/// Writes an 8-bit colour PNG of `[red, green, blue]` pixels.
///
/// # Errors
/// [`ImageError::Write`] if the file cannot be written.
pub fn png_rgb(path: &Path, image: &Image<[u8; 3]>) -> Result<(), ImageError> {
    png(
        path,
        image.data().as_flattened(),
        image.size(),
        ExtendedColorType::Rgb8,
    )
}

/// An 8-bit colour PNG in memory, for embedding in other files.
///
/// # Panics
/// If the image has no pixels or more than 2^32 along a side.
pub fn png_rgb_bytes(image: &Image<[u8; 3]>) -> Vec<u8> {
    encode_png(
        image.data().as_flattened(),
        image.size(),
        ExtendedColorType::Rgb8,
    )
    .expect("an image in memory encodes")
}

fn png(
    path: &Path,
    bytes: &[u8],
    size: (usize, usize),
    color: ExtendedColorType,
) -> Result<(), ImageError> {
    let encoded = encode_png(bytes, size, color)
        .map_err(|error| ImageError::write(path, std::io::Error::other(error)))?;
    write_atomic(path, &encoded)
}

fn encode_png(
    bytes: &[u8],
    (height, width): (usize, usize),
    color: ExtendedColorType,
) -> Result<Vec<u8>, image::ImageError> {
    let mut encoded = Cursor::new(Vec::new());
    // Adaptive filters cost little and halve the size of microscope pictures.
    PngEncoder::new_with_quality(&mut encoded, CompressionType::Default, FilterType::Adaptive)
        .write_image(bytes, width as u32, height as u32, color)?;
    let mut encoded = encoded.into_inner();
    encoded.splice(PNG_HEAD..PNG_HEAD, note_chunk());
    Ok(encoded)
}

/// [`PNG_NOTE`] as a chunk: length of the content, type and content, their checksum.
fn note_chunk() -> Vec<u8> {
    let content = PNG_NOTE.len() - 4;
    let mut chunk = (content as u32).to_be_bytes().to_vec();
    chunk.extend(PNG_NOTE);
    chunk.extend(crc32(PNG_NOTE).to_be_bytes());
    chunk
}

/// The checksum of PNG's chunks (PNG specification, annex D), bit by bit: it covers 22 bytes.
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ if sum & 1 == 1 { 0xEDB8_8320 } else { 0 };
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_specification() {
        // The value that every implementation is checked by.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }
}
