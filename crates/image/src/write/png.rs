//! PNG: 8 bits of grey or colour, in memory and as files that say who wrote them.

use std::io;
use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use super::write_atomic;
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
    let data = image.data().as_flattened();
    png(path, data, image.size(), ExtendedColorType::Rgb8)
}

/// A picture as a PNG in memory, for embedding in other files; as a grey PNG, a third of the size,
/// if it has no colour. Without [`PNG_NOTE`]: the file around it says who wrote it.
///
/// # Errors
/// What the encoder said: the picture has no pixels, or more than 2^32 along a side.
pub fn png_bytes(picture: &Image<[u8; 3]>) -> io::Result<Vec<u8>> {
    if picture.data().iter().all(|&[r, g, b]| r == g && g == b) {
        let grey: Vec<u8> = picture.data().iter().map(|&[r, _, _]| r).collect();
        return encode(&grey, picture.size(), ExtendedColorType::L8);
    }
    let data = picture.data().as_flattened();
    encode(data, picture.size(), ExtendedColorType::Rgb8)
}

fn png(
    path: &Path,
    bytes: &[u8],
    size: (usize, usize),
    color: ExtendedColorType,
) -> Result<(), ImageError> {
    let encoded = encode(bytes, size, color);
    let mut encoded = encoded.map_err(|error| ImageError::write(path, error))?;
    encoded.splice(PNG_HEAD..PNG_HEAD, note_chunk());
    write_atomic(path, &encoded)
}

fn encode(
    bytes: &[u8],
    (height, width): (usize, usize),
    color: ExtendedColorType,
) -> io::Result<Vec<u8>> {
    let side = |pixels: usize| u32::try_from(pixels).ok().filter(|&side| side > 0);
    let (Some(height), Some(width)) = (side(height), side(width)) else {
        return Err(io::Error::other(format!(
            "a PNG cannot hold {height} x {width} pixels"
        )));
    };
    let mut encoded = Vec::new();
    // Adaptive filters cost little and halve the size of microscope pictures.
    PngEncoder::new_with_quality(&mut encoded, CompressionType::Default, FilterType::Adaptive)
        .write_image(bytes, width, height, color)
        .map_err(io::Error::other)?;
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

    #[test]
    fn a_picture_in_memory_reads_back_with_the_same_pixels() {
        let colour = Image::from_fn(3, 5, |y, x| [y as u8 * 50, x as u8 * 40, 7]);
        let grey = Image::from_fn(3, 5, |y, x| [(y * 60 + x) as u8; 3]);
        for (picture, channels) in [(colour, 3), (grey, 1)] {
            let read = image::load_from_memory(&png_bytes(&picture).unwrap()).unwrap();
            assert_eq!(read.color().channel_count(), channels);
            let read = read.to_rgb8();
            assert_eq!(read.dimensions(), (5, 3));
            assert_eq!(read.as_raw(), picture.data().as_flattened());
        }
        assert!(png_bytes(&Image::new(0, 4, Vec::new())).is_err());
    }
}
