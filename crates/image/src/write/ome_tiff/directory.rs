//! Directories of a TIFF and their entries, with offsets of 32 bits (classic) or 64 (BigTIFF).
//!
//! A directory is written in one piece: its entries in the order of their tags, the offset of the
//! next directory, then all values that do not fit into an entry (TIFF 6.0, section 2; BigTIFF as
//! libtiff describes it). Little-endian throughout.

use std::collections::BTreeMap;
use std::io;

pub(super) const NEW_SUBFILE_TYPE: u16 = 254;
pub(super) const IMAGE_WIDTH: u16 = 256;
pub(super) const IMAGE_LENGTH: u16 = 257;
pub(super) const BITS_PER_SAMPLE: u16 = 258;
pub(super) const COMPRESSION: u16 = 259;
pub(super) const PHOTOMETRIC: u16 = 262;
pub(super) const IMAGE_DESCRIPTION: u16 = 270;
pub(super) const SAMPLES_PER_PIXEL: u16 = 277;
pub(super) const X_RESOLUTION: u16 = 282;
pub(super) const Y_RESOLUTION: u16 = 283;
pub(super) const RESOLUTION_UNIT: u16 = 296;
pub(super) const SOFTWARE: u16 = 305;
pub(super) const PREDICTOR: u16 = 317;
pub(super) const TILE_WIDTH: u16 = 322;
pub(super) const TILE_LENGTH: u16 = 323;
pub(super) const TILE_OFFSETS: u16 = 324;
pub(super) const TILE_BYTE_COUNTS: u16 = 325;
pub(super) const SUB_IFDS: u16 = 330;
pub(super) const SAMPLE_FORMAT: u16 = 339;

/// Deflate, tag 259.
const DEFLATE: u16 = 8;
/// Black is zero, tag 262.
const BLACK_IS_ZERO: u16 = 1;
/// Centimetres, tag 296.
const CENTIMETRE: u16 = 3;

/// Directories and values begin at multiples of it.
pub(super) const ALIGNMENT: u64 = 8;

/// How long offsets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Classic,
    Big,
}

impl Form {
    /// The first bytes of a file whose first directory lies at `first`.
    pub(super) fn header(self, first: u64) -> Vec<u8> {
        let mut bytes = b"II".to_vec();
        match self {
            Self::Classic => {
                bytes.extend(42_u16.to_le_bytes());
                // Whoever gives offsets has checked them.
                bytes.extend((first as u32).to_le_bytes());
            }
            Self::Big => {
                bytes.extend([43, 0, 8, 0, 0, 0]);
                bytes.extend(first.to_le_bytes());
            }
        }
        bytes
    }

    /// Bytes of an offset, which are also those of a value that an entry has room for.
    const fn offset(self) -> usize {
        match self {
            Self::Classic => 4,
            Self::Big => 8,
        }
    }

    /// Appends an offset or count.
    fn put(self, bytes: &mut Vec<u8>, value: u64) -> io::Result<()> {
        match self {
            Self::Classic => {
                let value = u32::try_from(value).map_err(|_| io::ErrorKind::FileTooLarge)?;
                bytes.extend(value.to_le_bytes());
            }
            Self::Big => bytes.extend(value.to_le_bytes()),
        }
        Ok(())
    }
}

/// The value of an entry.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Short(u16),
    Long(u32),
    Rational(u32, u32),
    /// UTF-8, which the type ASCII carries in practice.
    Text(String),
    /// Places in the file, and lengths of what lies there.
    Offsets(Vec<u64>),
    /// Places of directories.
    Directories(Vec<u64>),
}

impl Value {
    /// A number that is known to be small.
    pub(super) fn long(number: usize) -> Self {
        Self::Long(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// Number of the type, as TIFF counts them.
    fn kind(&self, form: Form) -> u16 {
        match (self, form) {
            (Self::Short(_), _) => 3,
            (Self::Long(_), _) => 4,
            (Self::Rational(..), _) => 5,
            (Self::Text(_), _) => 2,
            (Self::Offsets(_), Form::Classic) => 4,
            (Self::Offsets(_), Form::Big) => 16,
            (Self::Directories(_), Form::Classic) => 13,
            (Self::Directories(_), Form::Big) => 18,
        }
    }

    /// How many there are of the type.
    fn count(&self) -> usize {
        match self {
            Self::Text(text) => text.len() + 1,
            Self::Offsets(values) | Self::Directories(values) => values.len(),
            Self::Short(_) | Self::Long(_) | Self::Rational(..) => 1,
        }
    }

    fn length(&self, form: Form) -> usize {
        match self {
            Self::Short(_) => 2,
            Self::Long(_) => 4,
            Self::Rational(..) => 8,
            Self::Text(_) => self.count(),
            Self::Offsets(values) | Self::Directories(values) => values.len() * form.offset(),
        }
    }

    fn put(&self, form: Form, bytes: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Short(value) => bytes.extend(value.to_le_bytes()),
            Self::Long(value) => bytes.extend(value.to_le_bytes()),
            Self::Rational(n, d) => bytes.extend([n.to_le_bytes(), d.to_le_bytes()].concat()),
            Self::Text(text) => {
                // A zero byte ends a text.
                bytes.extend(text.bytes().map(|byte| if byte == 0 { b' ' } else { byte }));
                bytes.push(0);
            }
            Self::Offsets(values) | Self::Directories(values) => {
                values
                    .iter()
                    .try_for_each(|&value| form.put(bytes, value))?;
            }
        }
        Ok(())
    }
}

/// The entries of one plane or level, by their tags.
#[derive(Debug, Default)]
pub(super) struct Directory {
    entries: BTreeMap<u16, Value>,
}

impl Directory {
    /// What a compressed grey image in square tiles needs, but for the type of its pixels.
    pub(super) fn of_tiles(
        (height, width): (usize, usize),
        tile: usize,
        offsets: Vec<u64>,
        counts: Vec<u64>,
    ) -> Self {
        let mut directory = Self::default();
        for (tag, value) in [
            (IMAGE_WIDTH, Value::long(width)),
            (IMAGE_LENGTH, Value::long(height)),
            (COMPRESSION, Value::Short(DEFLATE)),
            (PHOTOMETRIC, Value::Short(BLACK_IS_ZERO)),
            (SAMPLES_PER_PIXEL, Value::Short(1)),
            (TILE_WIDTH, Value::long(tile)),
            (TILE_LENGTH, Value::long(tile)),
            (TILE_OFFSETS, Value::Offsets(offsets)),
            (TILE_BYTE_COUNTS, Value::Offsets(counts)),
        ] {
            directory.put(tag, value);
        }
        directory
    }

    pub(super) fn put(&mut self, tag: u16, value: Value) {
        self.entries.insert(tag, value);
    }

    /// Pixels per centimetre.
    pub(super) fn put_pixel_size(&mut self, um: f64) {
        let (n, d) = fraction(1e4 / um);
        for tag in [X_RESOLUTION, Y_RESOLUTION] {
            self.put(tag, Value::Rational(n, d));
        }
        self.put(RESOLUTION_UNIT, Value::Short(CENTIMETRE));
    }

    /// Bytes of the entries and what stands around them.
    fn entries_size(&self, form: Form) -> u64 {
        let (count, entry) = match form {
            Form::Classic => (2, 12),
            Form::Big => (8, 20),
        };
        let all = count + self.entries.len() * entry + form.offset();
        (all as u64).next_multiple_of(ALIGNMENT)
    }

    /// Bytes of the directory with its values, a multiple of [`ALIGNMENT`].
    pub(super) fn size(&self, form: Form) -> u64 {
        let outside = |value: &Value| match value.length(form) {
            length if length > form.offset() => (length as u64).next_multiple_of(ALIGNMENT),
            _ => 0,
        };
        self.entries_size(form) + self.entries.values().map(outside).sum::<u64>()
    }

    /// The directory as it lies at `at`, before the one at `next`; 0 where there is none.
    ///
    /// # Errors
    /// An offset needs more bits than the form has.
    pub(super) fn bytes(&self, form: Form, at: u64, next: u64) -> io::Result<Vec<u8>> {
        let (mut bytes, mut values) = (Vec::new(), Vec::new());
        let begin = at + self.entries_size(form);
        match form {
            Form::Classic => bytes.extend((self.entries.len() as u16).to_le_bytes()),
            Form::Big => bytes.extend((self.entries.len() as u64).to_le_bytes()),
        }
        for (tag, value) in &self.entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(value.kind(form).to_le_bytes());
            form.put(&mut bytes, value.count() as u64)?;
            if value.length(form) > form.offset() {
                form.put(&mut bytes, begin + values.len() as u64)?;
                value.put(form, &mut values)?;
                values.resize(values.len().next_multiple_of(ALIGNMENT as usize), 0);
            } else {
                let end = bytes.len() + form.offset();
                value.put(form, &mut bytes)?;
                bytes.resize(end, 0);
            }
        }
        form.put(&mut bytes, next)?;
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT as usize), 0);
        bytes.extend(values);
        Ok(bytes)
    }
}

/// A fraction of two 32-bit numbers that is as near to a positive number as its continued fraction
/// comes.
fn fraction(number: f64) -> (u32, u32) {
    let most = f64::from(u32::MAX);
    let (mut before, mut now) = ((0.0, 1.0), (1.0, 0.0));
    let mut rest = number;
    loop {
        let whole = rest.floor();
        let next = (whole * now.0 + before.0, whole * now.1 + before.1);
        if next.0 > most || next.1 > most {
            break;
        }
        (before, now) = (now, next);
        if rest - whole < 1e-9 {
            break;
        }
        rest = 1.0 / (rest - whole);
    }
    match now {
        // Beyond all 32-bit numbers, or below all their fractions.
        (_, 0.0) => (u32::MAX, 1),
        (0.0, _) => (1, u32::MAX),
        (n, d) => (n as u32, d as u32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_near() {
        for um in [
            0.65,
            0.325,
            1.3672,
            0.0123,
            13.5504,
            1.0,
            1e4,
            1.0 / 3.0,
            1e-5,
            1e9,
        ] {
            let number = 1e4 / um;
            let (n, d) = fraction(number);
            let found = f64::from(n) / f64::from(d);
            assert!((found / number - 1.0).abs() < 1e-9, "{um}: {n} / {d}");
        }
        assert_eq!(fraction(1e4 / 0.65), (200_000, 13));
        assert_eq!(fraction(1e300), (u32::MAX, 1));
        assert_eq!(fraction(1e-300), (1, u32::MAX));
    }

    #[test]
    fn a_directory_is_as_large_as_it_says() {
        let mut directory = Directory::of_tiles((3, 5), 16, vec![8, 9], vec![1, 1]);
        directory.put(IMAGE_DESCRIPTION, Value::Text("seven b".into()));
        for form in [Form::Classic, Form::Big] {
            let bytes = directory.bytes(form, 64, 0).expect("small offsets");
            assert_eq!(bytes.len() as u64, directory.size(form));
        }
        let far = directory.bytes(Form::Classic, 1 << 32, 0);
        assert_eq!(far.unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
