//! PNG: 1 to 16 bits of grey; colour and transparency only where they say nothing.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image::codecs::png::PngDecoder;
use image::error::LimitErrorKind;
use image::{ColorType, ImageDecoder, ImageError as PngError, Limits};

use super::{FileInfo, Pixels, check_size, open};
use crate::{Image, ImageError};

/// Size of the image; a PNG states no pixel size that a microscope would have written.
pub(super) fn info(path: &Path) -> Result<FileInfo, ImageError> {
    let decoder = decoder(path)?;
    let (width, height) = decoder.dimensions();
    Ok(FileInfo {
        pages: vec![(height as usize, width as usize)],
        axes: None,
        channels: Vec::new(),
        pixel_um: None,
        problems: Vec::new(),
        metaxpress: None,
    })
}

pub(super) fn read(path: &Path) -> Result<Pixels, ImageError> {
    let decoder = decoder(path)?;
    let (width, height) = decoder.dimensions();
    let (height, width) = (height as usize, width as usize);
    let color = decoder.color_type();
    let (bytes_per_sample, samples, alpha) = match color {
        ColorType::L8 => (1, 1, false),
        ColorType::La8 => (1, 2, true),
        ColorType::Rgb8 => (1, 3, false),
        ColorType::Rgba8 => (1, 4, true),
        ColorType::L16 => (2, 1, false),
        ColorType::La16 => (2, 2, true),
        ColorType::Rgb16 => (2, 3, false),
        ColorType::Rgba16 => (2, 4, true),
        other => {
            return Err(ImageError::not_supported(
                path,
                format!("its pixels are of the type `{other:?}`"),
                "save it as an 8- or 16-bit grey PNG",
            ));
        }
    };
    // A plane within the cap has at most 2^29 x 8 bytes, which fits `usize` on 64-bit machines.
    let mut bytes = vec![0_u8; height * width * samples * bytes_per_sample];
    decoder
        .read_image(&mut bytes)
        .map_err(|error| png_error(path, error))?;
    if bytes_per_sample == 1 {
        let grey = grey(path, bytes, samples, alpha, u8::MAX)?;
        Ok(Pixels::U8(Image::new(height, width, grey)))
    } else {
        let values: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|pair| u16::from_ne_bytes([pair[0], pair[1]]))
            .collect();
        drop(bytes);
        let grey = grey(path, values, samples, alpha, u16::MAX)?;
        Ok(Pixels::U16(Image::new(height, width, grey)))
    }
}

fn decoder(path: &Path) -> Result<PngDecoder<BufReader<File>>, ImageError> {
    let file = BufReader::new(open(path)?);
    let mut limits = Limits::default();
    // Largest plane times four samples of two bytes.
    limits.max_alloc = Some(super::MAX_PLANE_PIXELS * 8);
    let decoder = PngDecoder::with_limits(file, limits).map_err(|error| png_error(path, error))?;
    let (width, height) = decoder.dimensions();
    check_size(path, u64::from(height), u64::from(width))?;
    Ok(decoder)
}

/// Grey values of pixels with `samples` interleaved samples, of which the last may be alpha.
///
/// Colours that differ, and transparency, are errors: which of them is the signal is not ours to
/// guess.
pub(super) fn grey<T: Copy + PartialEq + std::fmt::Display>(
    path: &Path,
    values: Vec<T>,
    samples: usize,
    alpha: bool,
    opaque: T,
) -> Result<Vec<T>, ImageError> {
    if samples == 1 {
        return Ok(values);
    }
    let colors = samples - usize::from(alpha);
    let mut grey = Vec::with_capacity(values.len() / samples);
    for pixel in values.chunks_exact(samples) {
        if pixel[1..colors].iter().any(|value| *value != pixel[0]) {
            let shown: Vec<String> = pixel[..colors].iter().map(T::to_string).collect();
            return Err(ImageError::not_supported(
                path,
                format!("it is a colour image (a pixel is `{}`)", shown.join(", ")),
                "save each channel as a grey image of its own",
            ));
        }
        if alpha && pixel[colors] != opaque {
            return Err(ImageError::not_supported(
                path,
                format!("it has transparent pixels (alpha `{}`)", pixel[colors]),
                "save it as a grey image without an alpha channel",
            ));
        }
        grey.push(pixel[0]);
    }
    Ok(grey)
}

fn png_error(path: &Path, error: PngError) -> ImageError {
    match error {
        PngError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImageError::broken(path, "the file ends too early")
        }
        PngError::IoError(error) => ImageError::read(path, error),
        PngError::Limits(limit) if limit.kind() == LimitErrorKind::InsufficientMemory => {
            ImageError::TooLarge {
                path: path.to_path_buf(),
                what: "decoding it would exceed the memory for one plane".into(),
                cap: format!("{} pixels", super::MAX_PLANE_PIXELS),
                way_out: "cut it into smaller fields",
            }
        }
        PngError::Unsupported(error) => ImageError::not_supported(
            path,
            one_line(&error.to_string()),
            "save it as an 8- or 16-bit grey PNG",
        ),
        error => ImageError::broken(path, one_line(&error.to_string())),
    }
}

/// A foreign message as part of a sentence: one line, no full stop.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .trim_end_matches('.')
        .to_string()
}
