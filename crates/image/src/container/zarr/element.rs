//! The numbers that arrays hold: their types in both versions of zarr, the fill value, and chunks'
//! bytes as pixels.

use half::f16;
use serde_json::Value;

use super::node::{Refusal, broken};
use crate::Image;
use crate::format::Pixels;

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
}

impl Element {
    /// The type that zarr 3 calls `name`.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "bool" => Self::Bool,
            "uint8" => Self::U8,
            "int8" => Self::I8,
            "uint16" => Self::U16,
            "int16" => Self::I16,
            "uint32" => Self::U32,
            "int32" => Self::I32,
            "uint64" => Self::U64,
            "int64" => Self::I64,
            "float16" => Self::F16,
            "float32" => Self::F32,
            "float64" => Self::F64,
            _ => return None,
        })
    }

    pub(super) fn of_v3(said: &Value) -> Result<Self, Refusal> {
        let element = said.as_str().and_then(Self::named);
        element.ok_or_else(|| not_read(said))
    }

    /// The type of zarr 2 (`<u2`), and whether its high bytes come first.
    pub(super) fn of_v2(said: &Value) -> Result<(Self, bool), Refusal> {
        let text = said.as_str().unwrap_or_default();
        let (order, kind) = text.split_at_checked(1).unwrap_or_default();
        let name = match kind {
            "b1" => "bool",
            "u1" => "uint8",
            "i1" => "int8",
            "u2" => "uint16",
            "i2" => "int16",
            "u4" => "uint32",
            "i4" => "int32",
            "u8" => "uint64",
            "i8" => "int64",
            "f2" => "float16",
            "f4" => "float32",
            "f8" => "float64",
            _ => return Err(not_read(said)),
        };
        match (Self::named(name), order) {
            (Some(element), "<" | ">") => Ok((element, order == ">")),
            (Some(element), "|") if element.bytes() == 1 => Ok((element, false)),
            _ => Err(not_read(said)),
        }
    }

    /// Bytes of one.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The bytes of the value that chunks which are not there have; `null` (of zarr 2) is 0.
    pub(super) fn fill(self, said: &Value, big_endian: bool) -> Result<Vec<u8>, Refusal> {
        let bytes = self.little_endian(said).map(|mut bytes| {
            if big_endian {
                bytes.reverse();
            }
            bytes
        });
        match bytes {
            Some(bytes) => Ok(bytes),
            None => broken(format!("its fill value `{said}` is none of its type")),
        }
    }

    fn little_endian(self, said: &Value) -> Option<Vec<u8>> {
        fn integer<T: TryFrom<i128>>(said: &Value) -> Option<T> {
            let value = match said {
                Value::Null => 0,
                Value::Bool(value) => i128::from(*value),
                Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                    (Some(value), _) => value.into(),
                    (_, Some(value)) => value.into(),
                    // A writer's `0.0` for integers.
                    _ => number.as_f64().filter(|v| v.fract() == 0.0)? as i128,
                },
                Value::String(text) => text.trim().parse().ok()?,
                _ => return None,
            };
            T::try_from(value).ok()
        }
        Some(match self {
            Self::Bool => vec![integer::<u8>(said).filter(|value| *value <= 1)?],
            Self::U8 => vec![integer::<u8>(said)?],
            Self::I8 => integer::<i8>(said)?.to_le_bytes().to_vec(),
            Self::U16 => integer::<u16>(said)?.to_le_bytes().to_vec(),
            Self::I16 => integer::<i16>(said)?.to_le_bytes().to_vec(),
            Self::U32 => integer::<u32>(said)?.to_le_bytes().to_vec(),
            Self::I32 => integer::<i32>(said)?.to_le_bytes().to_vec(),
            Self::U64 => integer::<u64>(said)?.to_le_bytes().to_vec(),
            Self::I64 => integer::<i64>(said)?.to_le_bytes().to_vec(),
            Self::F16 | Self::F32 | Self::F64 => self.float(said)?,
        })
    }

    /// A number, one of the words for what JSON has no number for, or the bits as `0x..`.
    fn float(self, said: &Value) -> Option<Vec<u8>> {
        let value = match said {
            Value::Null => 0.0,
            Value::Number(number) => number.as_f64()?,
            Value::String(text) => match text.strip_prefix("0x") {
                Some(digits) => {
                    let bits = u64::from_str_radix(digits, 16).ok()?;
                    return Some(bits.to_le_bytes()[..self.bytes()].to_vec());
                }
                // `NaN`, `Infinity` and `-Infinity` among them.
                None => text.trim().parse().ok()?,
            },
            _ => return None,
        };
        Some(match self {
            Self::F16 => f16::from_f64(value).to_le_bytes().to_vec(),
            Self::F32 => (value as f32).to_le_bytes().to_vec(),
            _ => value.to_le_bytes().to_vec(),
        })
    }

    /// Bytes of chunks as an image. The second result is a value that no type of pixels holds,
    /// instead.
    pub(super) fn pixels(
        self,
        bytes: Vec<u8>,
        big_endian: bool,
        (height, width): (usize, usize),
    ) -> Result<Pixels, String> {
        /// The numbers of a type, made into others.
        macro_rules! numbers {
            ($type:ty, $as:expr) => {{
                let (each, _) = bytes.as_chunks::<{ size_of::<$type>() }>();
                let number = match big_endian {
                    true => <$type>::from_be_bytes,
                    false => <$type>::from_le_bytes,
                };
                each.iter().map(|bytes| $as(number(*bytes))).collect()
            }};
        }
        let image = |values| Image::new(height, width, values);
        Ok(match self {
            Self::Bool => {
                let truth = |byte: u8| u8::from(byte != 0);
                Pixels::U8(image(bytes.into_iter().map(truth).collect()))
            }
            Self::U8 => Pixels::U8(image(bytes)),
            Self::U16 => Pixels::U16(Image::new(height, width, numbers!(u16, |v| v))),
            Self::U32 => Pixels::U32(Image::new(height, width, numbers!(u32, |v| v))),
            Self::I8 => Pixels::I32(Image::new(height, width, numbers!(i8, i32::from))),
            Self::I16 => Pixels::I32(Image::new(height, width, numbers!(i16, i32::from))),
            Self::I32 => Pixels::I32(Image::new(height, width, numbers!(i32, |v| v))),
            Self::F16 => Pixels::F32(Image::new(height, width, numbers!(f16, f16::to_f32))),
            Self::F32 => Pixels::F32(Image::new(height, width, numbers!(f32, |v| v))),
            Self::F64 => Pixels::F64(Image::new(height, width, numbers!(f64, |v| v))),
            Self::U64 => {
                let values: Vec<u64> = numbers!(u64, |v| v);
                Pixels::U32(Image::new(height, width, narrowed(&values)?))
            }
            Self::I64 => {
                let values: Vec<i64> = numbers!(i64, |v| v);
                match narrowed(&values) {
                    Ok(values) => Pixels::U32(Image::new(height, width, values)),
                    Err(_) => Pixels::I32(Image::new(height, width, narrowed(&values)?)),
                }
            }
        })
    }
}

/// The values in a narrower type, or the first that does not fit.
fn narrowed<W: Copy + ToString, T: TryFrom<W>>(values: &[W]) -> Result<Vec<T>, String> {
    let each = values.iter();
    each.map(|&value| T::try_from(value).map_err(|_| value.to_string()))
        .collect()
}

fn not_read(said: &Value) -> Refusal {
    Refusal::NotSupported {
        what: format!("its elements have the type `{said}`, and numbers and booleans are read"),
        way_out: "write it again as integers or floats",
    }
}
