//! One plane of pixels in the type it was stored in.

use crate::Image;

/// One plane, `[height, width]`, in the narrowest of the three types that holds its values exactly.
///
/// Signed 8- and 16-bit integers, 16-bit floats, and 32-bit integers below 2^24 arrive as
/// [`Plane::F32`]; 64-bit floats are rounded to it.
#[derive(Clone, Debug, PartialEq)]
pub enum Plane {
    /// 8-bit intensities, 0 to 255.
    U8(Image<u8>),
    /// 16-bit intensities, 0 to 65,535.
    U16(Image<u16>),
    /// Intensities of any range.
    F32(Image<f32>),
}

impl Plane {
    /// `(height, width)` in pixels.
    pub fn size(&self) -> (usize, usize) {
        match self {
            Self::U8(image) => image.size(),
            Self::U16(image) => image.size(),
            Self::F32(image) => image.size(),
        }
    }

    /// The intensities as they are stored, without any rescaling.
    pub fn to_f32(&self) -> Image<f32> {
        match self {
            Self::U8(image) => image.map(|&value| f32::from(value)),
            Self::U16(image) => image.map(|&value| f32::from(value)),
            Self::F32(image) => image.clone(),
        }
    }

    /// The largest value the stored type can hold: 255 or 65,535; `None` for floats, whose range
    /// no file states.
    pub fn full_range(&self) -> Option<f32> {
        match self {
            Self::U8(_) => Some(255.0),
            Self::U16(_) => Some(65_535.0),
            Self::F32(_) => None,
        }
    }
}
