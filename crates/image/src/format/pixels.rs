//! Pixels in the type of the file, before they become a [`Plane`] or labels.

use std::path::Path;

use crate::{Image, ImageError, Plane};

/// One grey plane with the very values that the file stores: narrow integers and floats are
/// widened, 64-bit integers have been found to fit.
#[derive(Debug)]
pub(crate) enum Pixels {
    U8(Image<u8>),
    U16(Image<u16>),
    U32(Image<u32>),
    I32(Image<i32>),
    F32(Image<f32>),
    F64(Image<f64>),
}

/// What the samples of a pixel are, where there are several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    /// Red, green and blue.
    Colours,
    ColoursAndAlpha,
    GreyAndAlpha,
    /// Channels, of which this one is meant.
    Channel(usize),
    /// One value, or several of which nothing says what they are.
    Samples,
}

impl Colour {
    /// Whether pixels may be coloured; they are grey where all samples are alike.
    pub(super) fn may_be_coloured(self) -> bool {
        matches!(self, Self::Colours | Self::ColoursAndAlpha)
    }
}

/// Grey values of pixels with `samples` interleaved samples.
///
/// Samples that differ, and transparency, are errors: which of them is the signal is not ours to
/// guess.
pub(super) fn grey<T: Copy + PartialEq + std::fmt::Display>(
    path: &Path,
    values: Vec<T>,
    samples: usize,
    colour: Colour,
    opaque: T,
) -> Result<Vec<T>, ImageError> {
    if samples == 1 {
        return Ok(values);
    }
    if let Colour::Channel(meant) = colour {
        let pixels = values.chunks_exact(samples);
        return Ok(pixels.map(|pixel| pixel[meant]).collect());
    }
    let alpha = matches!(colour, Colour::ColoursAndAlpha | Colour::GreyAndAlpha);
    let colors = samples - usize::from(alpha);
    let mut grey = Vec::with_capacity(values.len() / samples);
    for pixel in values.chunks_exact(samples) {
        if pixel[1..colors].iter().any(|value| *value != pixel[0]) {
            let shown: Vec<String> = pixel[..colors].iter().map(T::to_string).collect();
            let shown = shown.join(", ");
            return Err(ImageError::not_supported(
                path,
                match colour {
                    Colour::Samples => {
                        format!("it has {samples} samples a pixel that differ (one is `{shown}`)")
                    }
                    _ => format!("it is a colour image (a pixel is `{shown}`)"),
                },
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

/// Largest integer up to which `f32` holds every integer: 2^24.
const F32_EXACT: u32 = 1 << 24;

impl Pixels {
    /// The plane, if its values fit one of the three types of [`Plane`] exactly; 64-bit floats are
    /// rounded to 32 bits, whose 24 digits are beyond any camera's.
    pub(crate) fn into_plane(self, path: &Path) -> Result<Plane, ImageError> {
        let too_wide = |value: String| {
            ImageError::not_supported(
                path,
                format!(
                    "it is a 32-bit integer image with the value `{value}`, which 32-bit floats do \
                     not hold exactly"
                ),
                "export the intensities as 16-bit integers or 32-bit floats",
            )
        };
        Ok(match self {
            Self::U8(image) => Plane::U8(image),
            Self::U16(image) => Plane::U16(image),
            Self::F32(image) => Plane::F32(image),
            Self::F64(image) => Plane::F32(image.map(|&value| value as f32)),
            Self::U32(image) => match image.data().iter().max() {
                Some(&max) if max > F32_EXACT => return Err(too_wide(max.to_string())),
                _ => Plane::F32(image.map(|&value| value as f32)),
            },
            Self::I32(image) => {
                let widest = image.data().iter().max_by_key(|value| value.unsigned_abs());
                match widest {
                    Some(&value) if value.unsigned_abs() > F32_EXACT => {
                        return Err(too_wide(value.to_string()));
                    }
                    _ => Plane::F32(image.map(|&value| value as f32)),
                }
            }
        })
    }

    /// The values as non-negative integers; the first value that is none is the error.
    pub(crate) fn into_integers(self) -> Result<Image<u32>, String> {
        match self {
            Self::U8(image) => Ok(image.map(|&value| u32::from(value))),
            Self::U16(image) => Ok(image.map(|&value| u32::from(value))),
            Self::U32(image) => Ok(image),
            Self::I32(image) => match image.data().iter().find(|value| **value < 0) {
                Some(value) => Err(value.to_string()),
                None => Ok(image.map(|&value| value.unsigned_abs())),
            },
            // Above, a float may stand for several integers.
            Self::F32(image) => match image.data().iter().find(|v| !is_whole(**v, F32_EXACT)) {
                Some(value) => Err(value.to_string()),
                None => Ok(image.map(|&value| value as u32)),
            },
            Self::F64(image) => match image.data().iter().find(|v| !is_whole(**v, u32::MAX)) {
                Some(value) => Err(value.to_string()),
                None => Ok(image.map(|&value| value as u32)),
            },
        }
    }
}

/// Whether a value is a whole number from 0 to `most`.
fn is_whole(value: impl Into<f64>, most: u32) -> bool {
    let value = value.into();
    value.fract() == 0.0 && (0.0..=f64::from(most)).contains(&value)
}
