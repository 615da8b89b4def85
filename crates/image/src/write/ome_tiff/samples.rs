//! The types of pixels that an OME-TIFF may hold here, and what is done with each.

use crate::{Image, Plane};

/// A type of pixels, little-endian in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PixelType {
    /// 8-bit unsigned integers.
    U8,
    /// 16-bit unsigned integers.
    U16,
    /// 32-bit unsigned integers.
    U32,
    /// 32-bit floats.
    F32,
}

impl PixelType {
    /// The name that OME-XML and numpy have for it; `float32` is numpy's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::F32 => "float32",
        }
    }

    /// Bytes of one pixel.
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U32 | Self::F32 => 4,
        }
    }

    /// The narrowest type that holds the values of labels or counts up to `largest`.
    pub fn of_counts(largest: u32) -> Self {
        match largest {
            0..=0xff => Self::U8,
            0x100..=0xffff => Self::U16,
            _ => Self::U32,
        }
    }
}

/// One plane in one of the types.
#[derive(Clone, Debug, PartialEq)]
pub enum Samples {
    /// 8-bit unsigned integers.
    U8(Image<u8>),
    /// 16-bit unsigned integers.
    U16(Image<u16>),
    /// 32-bit unsigned integers.
    U32(Image<u32>),
    /// 32-bit floats.
    F32(Image<f32>),
}

impl From<Plane> for Samples {
    fn from(plane: Plane) -> Self {
        match plane {
            Plane::U8(image) => Self::U8(image),
            Plane::U16(image) => Self::U16(image),
            Plane::F32(image) => Self::F32(image),
        }
    }
}

impl Samples {
    /// `(height, width)` in pixels.
    pub fn size(&self) -> (usize, usize) {
        match self {
            Self::U8(image) => image.size(),
            Self::U16(image) => image.size(),
            Self::U32(image) => image.size(),
            Self::F32(image) => image.size(),
        }
    }

    /// The type of its pixels.
    pub fn pixel_type(&self) -> PixelType {
        match self {
            Self::U8(_) => PixelType::U8,
            Self::U16(_) => PixelType::U16,
            Self::U32(_) => PixelType::U32,
            Self::F32(_) => PixelType::F32,
        }
    }

    /// The same values in another type; `None` where that does not hold all of them.
    pub fn into_type(self, wanted: PixelType) -> Option<Self> {
        if self.pixel_type() == wanted {
            return Some(self);
        }
        match self {
            Self::U8(image) => converted(&image, wanted, f64::from),
            Self::U16(image) => converted(&image, wanted, f64::from),
            Self::U32(image) => converted(&image, wanted, f64::from),
            Self::F32(image) => converted(&image, wanted, f64::from),
        }
    }
}

/// All four types are exact in 64-bit floats, through which values are compared.
fn converted<T: Copy>(
    image: &Image<T>,
    wanted: PixelType,
    exact: impl Fn(T) -> f64,
) -> Option<Samples> {
    match wanted {
        PixelType::U8 => all(image, |v| exact(v) as u8, exact_as(&exact)).map(Samples::U8),
        PixelType::U16 => all(image, |v| exact(v) as u16, exact_as(&exact)).map(Samples::U16),
        PixelType::U32 => all(image, |v| exact(v) as u32, exact_as(&exact)).map(Samples::U32),
        PixelType::F32 => all(image, |v| exact(v) as f32, exact_as(&exact)).map(Samples::F32),
    }
}

/// Whether a value is the same number as the one it was made from.
fn exact_as<T: Copy, U: Into<f64>>(exact: impl Fn(T) -> f64) -> impl Fn(T, U) -> bool {
    move |before, after| exact(before) == after.into()
}

fn all<T: Copy, U: Copy>(
    image: &Image<T>,
    convert: impl Fn(T) -> U,
    is_same: impl Fn(T, U) -> bool,
) -> Option<Image<U>> {
    let convert = |&value: &T| Some(convert(value)).filter(|&new| is_same(value, new));
    let values: Option<Vec<U>> = image.data().iter().map(convert).collect();
    Some(Image::new(image.height(), image.width(), values?))
}

/// What writing tiles and levels needs to know of a type.
pub trait Sample: Copy + Default {
    /// The type.
    const TYPE: PixelType;
    /// Whether pixels are stored as differences to the pixel before.
    const DIFFERENCES: bool;

    /// The pixel as it is stored behind `before`.
    fn since(self, before: Self) -> Self;

    /// The rounded mean.
    fn mean(of: [Self; 4]) -> Self;

    /// Appends it in little-endian order.
    fn put(self, bytes: &mut Vec<u8>);
}

macro_rules! unsigned {
    ($type:ty, $pixel_type:expr) => {
        impl Sample for $type {
            const TYPE: PixelType = $pixel_type;
            const DIFFERENCES: bool = true;

            fn since(self, before: Self) -> Self {
                self.wrapping_sub(before)
            }

            fn mean(of: [Self; 4]) -> Self {
                let sum: u64 = of.iter().map(|&value| u64::from(value)).sum();
                ((sum + 2) / 4) as Self
            }

            fn put(self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_le_bytes());
            }
        }
    };
}

unsigned!(u8, PixelType::U8);
unsigned!(u16, PixelType::U16);
unsigned!(u32, PixelType::U32);

impl Sample for f32 {
    const TYPE: PixelType = PixelType::F32;
    const DIFFERENCES: bool = false;

    fn since(self, _before: Self) -> Self {
        self
    }

    /// Of those that are numbers: else what shows nothing would grow from level to level.
    fn mean(of: [Self; 4]) -> Self {
        let numbers = of.iter().filter(|value| !value.is_nan());
        let sum: f64 = numbers.clone().map(|&value| f64::from(value)).sum();
        (sum / numbers.count() as f64) as Self
    }

    fn put(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_type_holds_all_values_or_is_refused() {
        let counts = Samples::F32(Image::new(1, 2, vec![0.0, 65_536.0]));
        let wide = Samples::U32(Image::new(1, 2, vec![0, 65_536]));
        assert_eq!(counts.clone().into_type(PixelType::U32), Some(wide.clone()));
        assert_eq!(wide.into_type(PixelType::F32), Some(counts.clone()));
        assert_eq!(counts.into_type(PixelType::U16), None);
        for value in [0.5, -1.0, f32::NAN] {
            let plane = Samples::F32(Image::new(1, 1, vec![value]));
            assert_eq!(plane.into_type(PixelType::U32), None, "{value}");
        }
        let odd = Samples::U32(Image::new(1, 1, vec![(1 << 24) + 1]));
        assert_eq!(odd.into_type(PixelType::F32), None);
    }

    #[test]
    fn means_are_rounded_and_leave_out_what_is_no_number() {
        assert_eq!(u8::mean([255, 255, 255, 254]), 255);
        assert_eq!(u32::mean([u32::MAX; 4]), u32::MAX);
        assert_eq!(f32::mean([1.0, f32::NAN, 2.0, f32::NAN]), 1.5);
        assert!(f32::mean([f32::NAN; 4]).is_nan());
    }
}
