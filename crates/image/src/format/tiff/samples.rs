//! The pixels of one page: strips or tiles, samples of 1 to 64 bits, as they are stored.
//!
//! The values are those of the file whatever its photometric interpretation: an inverted lookup
//! table (`MinIsWhite`) and a colour table say how a picture is shown, and not what was measured.

use std::ops::Range;
use std::path::Path;

use super::super::pixels::{Colour, grey};
use super::super::{MAX_PLANE_PIXELS, Pixels, window};
use super::codec::{Compression, Predictor};
use super::directory::{Directory, Order, TiffFile, tag};
use crate::{Image, ImageError, Region};

/// Photometric interpretations of interest.
pub(super) mod photometric {
    pub(crate) const RGB: u64 = 2;
    pub(crate) const PALETTE: u64 = 3;
}

/// Most bytes of one strip or tile that are decoded for a part of a plane that is too large to be
/// read at once.
const MOST_OF_A_PIECE: usize = 128 << 20;

/// How the pixels of one page are stored.
pub(super) struct Layout {
    pub(super) height: usize,
    pub(super) width: usize,
    /// Samples a pixel.
    samples: usize,
    bits: usize,
    kind: Kind,
    /// Each kind of sample has strips or tiles of its own.
    planar: bool,
    compression: Compression,
    predictor: Predictor,
    /// The bits of every byte are stored in reverse.
    reversed: bool,
    colour: Colour,
    /// Rows and columns of a strip or tile.
    chunk: (usize, usize),
    tiled: bool,
    offsets: Vec<u64>,
    counts: Vec<u64>,
}

/// What the bits of a sample mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unsigned,
    Signed,
    Float,
}

/// One strip or tile: rows of packed samples.
struct Chunk {
    bytes: Vec<u8>,
    row_bytes: usize,
    /// Where its first pixel lies, and how many of its columns lie in the image.
    at: (usize, usize),
    columns: usize,
    /// Which samples it holds.
    samples: Range<usize>,
}

impl Layout {
    pub(super) fn of(file: &mut TiffFile<'_>, page: &Directory) -> Result<Self, ImageError> {
        let (height, width) = file.size(page)?;
        let path = file.path;
        let mut number =
            |tag, default| Ok::<_, ImageError>(file.number(page, tag)?.unwrap_or(default));
        let samples = number(tag::SAMPLES_PER_PIXEL, 1)? as usize;
        let planar = number(tag::PLANAR_CONFIGURATION, 1)? == 2;
        let compression = Compression::of(path, number(tag::COMPRESSION, 1)?)?;
        let predictor = Predictor::of(path, number(tag::PREDICTOR, 1)?)?;
        let reversed = number(tag::FILL_ORDER, 1)? == 2;
        let default = if samples < 3 { 1 } else { photometric::RGB };
        let photometric = number(tag::PHOTOMETRIC, default)?;
        let rows = number(tag::ROWS_PER_STRIP, height as u64)?;
        let tiled = page.has(tag::TILE_WIDTH) || page.has(tag::TILE_OFFSETS);
        let chunk = if tiled {
            (number(tag::TILE_HEIGHT, 0)?, number(tag::TILE_WIDTH, 0)?)
        } else if rows == 0 {
            (height as u64, width as u64)
        } else {
            (rows.min(height as u64), width as u64)
        };
        if samples == 0 || samples > usize::from(u16::MAX) {
            return Err(file.broken(format!("it states {samples} samples a pixel")));
        }
        if chunk.0 == 0 || chunk.1 == 0 || chunk.0.saturating_mul(chunk.1) > MAX_PLANE_PIXELS {
            let (rows, columns) = chunk;
            return Err(file.broken(format!("it states tiles of {rows} x {columns} pixels")));
        }
        let bits = file.numbers(page, tag::BITS_PER_SAMPLE)?;
        let bits = alike(path, &bits, 1, "bits a sample")? as usize;
        let formats = file.numbers(page, tag::SAMPLE_FORMAT)?;
        let kind = match alike(path, &formats, 1, "sample formats")? {
            1 | 4 => Kind::Unsigned,
            2 => Kind::Signed,
            3 => Kind::Float,
            5 | 6 => {
                return Err(ImageError::not_supported(
                    path,
                    "its pixels are complex numbers",
                    "save their magnitude as 32-bit floats",
                ));
            }
            other => return Err(file.broken(format!("it states the sample format `{other}`"))),
        };
        let extra = file.numbers(page, tag::EXTRA_SAMPLES)?;
        let colour = colour(path, photometric, samples, &extra)?;
        let (offsets, counts) = if tiled {
            (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS)
        } else {
            (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS)
        };
        let layout = Self {
            height,
            width,
            samples,
            bits,
            kind,
            planar: planar && samples > 1,
            compression,
            predictor,
            reversed,
            colour,
            chunk: (chunk.0 as usize, chunk.1 as usize),
            tiled,
            offsets: file.numbers(page, offsets)?,
            counts: file.numbers(page, counts)?,
        };
        layout.check(file)?;
        Ok(layout)
    }

    /// Refuses types that are not read, and pages that cannot lie in their file, before memory is
    /// taken.
    fn check(&self, file: &TiffFile<'_>) -> Result<(), ImageError> {
        let known = match self.kind {
            Kind::Unsigned | Kind::Signed => matches!(self.bits, 1..=32 | 64),
            Kind::Float => matches!(self.bits, 16 | 32 | 64),
        };
        if !known {
            return Err(ImageError::not_supported(
                file.path,
                format!("its samples have {} bits", self.bits),
                "save it with 8- or 16-bit integers or 32-bit floats",
            ));
        }
        let whole = self.bits.is_multiple_of(8);
        let fits = match self.predictor {
            Predictor::None => true,
            Predictor::Horizontal => whole,
            Predictor::Float => self.kind == Kind::Float,
        };
        if !fits {
            return Err(ImageError::not_supported(
                file.path,
                format!(
                    "its samples of {} bits are stored as differences",
                    self.bits
                ),
                "save it without a predictor",
            ));
        }
        if self.compression == Compression::Group4 && (self.bits, self.samples) != (1, 1) {
            return Err(file.broken("it is compressed as a fax, but has more than one bit a pixel"));
        }
        let needed = (self.height as u64 * self.width as u64)
            .saturating_mul(self.samples as u64)
            .saturating_mul(self.bits as u64)
            / 8;
        if needed / self.compression.most() > file.bytes {
            return Err(file.broken(format!(
                "a plane of {} x {} pixels cannot lie in a file of {} bytes",
                self.height, self.width, file.bytes
            )));
        }
        let (down, across) = self.grid();
        let wanted = down * across * if self.planar { self.samples } else { 1 };
        if self.offsets.len() < wanted {
            return Err(file.broken(format!(
                "it has {} strips or tiles instead of {wanted}",
                self.offsets.len()
            )));
        }
        Ok(())
    }

    /// How many strips or tiles there are down and across.
    fn grid(&self) -> (usize, usize) {
        let (rows, columns) = self.chunk;
        (self.height.div_ceil(rows), self.width.div_ceil(columns))
    }

    /// Bytes of the page where its pixels lie uncompressed in one piece, and where that begins.
    pub(super) fn in_one_piece(&self) -> Option<(u64, u64)> {
        if self.compression != Compression::None || self.tiled {
            return None;
        }
        let first = *self.offsets.first()?;
        let mut end = first;
        for (number, &offset) in self.offsets.iter().enumerate() {
            if offset != end {
                return None;
            }
            let rows = self
                .chunk
                .0
                .min(self.height - number % self.grid().0 * self.chunk.0);
            end += rows as u64 * self.row_bytes() as u64;
        }
        Some((first, end - first))
    }

    /// Bytes of one row of a strip or tile, which begins on a whole byte.
    fn row_bytes(&self) -> usize {
        let samples = if self.planar { 1 } else { self.samples };
        (self.chunk.1 * samples * self.bits).div_ceil(8)
    }

    /// The strip or tile of this number, or of it the rows that a window touches and what has to be
    /// decoded before them; `None` where the window touches nothing of it. It lies `shift` bytes
    /// behind where the directory places it.
    fn chunk(
        &self,
        file: &mut TiffFile<'_>,
        number: usize,
        shift: u64,
        window: Region,
    ) -> Result<Option<Chunk>, ImageError> {
        let (down, across) = self.grid();
        let (rows, columns) = self.chunk;
        let (plane, place) = (number / (down * across), number % (down * across));
        let at = (place / across * rows, place % across * columns);
        let size = (rows.min(self.height - at.0), columns.min(self.width - at.1));
        let touched = overlap(at.0, size.0, window.y, window.height);
        if touched.is_empty() || overlap(at.1, size.1, window.x, window.width).is_empty() {
            return Ok(None);
        }
        // Rows that are stored as they are can be gone to; others follow from those before them.
        let skipped = match self.compression {
            Compression::None => touched.start - at.0,
            _ => 0,
        };
        let row_bytes = self.row_bytes();
        // The rows of a strip below the image need not be there; the rest of a tile always is, but
        // nobody needs it.
        let length = (touched.end - at.0 - skipped) * row_bytes;
        let offset = self.offsets[number]
            .saturating_add(shift)
            .saturating_add((skipped * row_bytes) as u64);
        let stored = match (self.compression, self.counts.get(number)) {
            (Compression::None, _) => length as u64,
            (_, Some(&count)) => count,
            (_, None) => file.bytes.saturating_sub(offset),
        };
        if self.offsets[number] == 0 {
            return Err(file.broken("a strip or tile of a page was never written"));
        }
        self.check_piece(file, length, window)?;
        if length as u64 / self.compression.most() > stored {
            return Err(file.broken("a strip or tile is shorter than its pixels"));
        }
        let mut raw = file.read(offset, stored)?;
        if self.reversed {
            for byte in &mut raw {
                *byte = byte.reverse_bits();
            }
        }
        let bytes = self
            .compression
            .decode(raw, length, columns)
            .map_err(|what| file.broken(super::super::png::one_line(&what)))?;
        let samples = if self.planar {
            plane..plane + 1
        } else {
            0..self.samples
        };
        Ok(Some(Chunk {
            bytes,
            row_bytes,
            at: (at.0 + skipped, at.1),
            columns: size.1,
            samples,
        }))
    }

    /// Refuses a window of which more has to be decoded than memory is taken for: that of whoever
    /// reads all at once is larger anyway.
    fn check_piece(
        &self,
        file: &TiffFile<'_>,
        length: usize,
        window: Region,
    ) -> Result<(), ImageError> {
        let in_parts = (window.height, window.width) != (self.height, self.width);
        let is_small = (self.height as u64 * self.width as u64) <= MAX_PLANE_PIXELS;
        if !in_parts || is_small || length <= MOST_OF_A_PIECE {
            return Ok(());
        }
        let (rows, columns) = self.chunk;
        Err(ImageError::TooLarge {
            path: file.path.to_path_buf(),
            what: format!(
                "its strips or tiles of {rows} x {columns} pixels are compressed as a whole, and a \
                 part takes {length} bytes"
            ),
            cap: format!("{MOST_OF_A_PIECE} bytes"),
            way_out: "save it in tiles, as with `bfconvert -tilex 512 -tiley 512`",
        })
    }

    /// The layout of one channel, where the samples of a pixel are channels.
    pub(super) fn of_channel(self, channel: usize) -> Self {
        Self {
            colour: Colour::Channel(channel),
            ..self
        }
    }

    /// Whether the pixels are colours, or grey that is stored as such.
    pub(super) fn may_be_coloured(&self) -> bool {
        self.colour.may_be_coloured()
    }

    /// Samples a pixel, and bits of each.
    pub(super) fn depth(&self) -> (usize, usize) {
        (self.samples, self.bits)
    }

    /// Decodes the page or a region of it, `shift` bytes behind where the directory places it.
    pub(super) fn read(
        &self,
        file: &mut TiffFile<'_>,
        shift: u64,
        region: Option<Region>,
    ) -> Result<Pixels, ImageError> {
        let path = file.path;
        let wanted = window(path, (self.height, self.width), region)?;
        let (height, width) = (wanted.height, wanted.width);
        macro_rules! pixels {
            ($kind:ident, $opaque:expr, $row:expr) => {{
                let values = self.values(file, shift, wanted, $row)?;
                let values = grey(path, values, self.samples, self.colour, $opaque)?;
                Ok(Pixels::$kind(Image::new(height, width, values)))
            }};
        }
        let bits = self.bits;
        match (self.kind, bits) {
            (Kind::Unsigned, 8) => {
                pixels!(U8, u8::MAX, |row, _, out: &mut [u8]| {
                    out.copy_from_slice(&row[..out.len()]);
                })
            }
            (Kind::Unsigned, 1..=7) => {
                pixels!(U8, full(bits) as u8, packed(bits, |value| value as u8))
            }
            (Kind::Unsigned, 16) => {
                pixels!(U16, u16::MAX, |row, order, out: &mut [u16]| {
                    let number = match order {
                        Order::Little => u16::from_le_bytes,
                        Order::Big => u16::from_be_bytes,
                    };
                    for (value, pair) in out.iter_mut().zip(row.as_chunks::<2>().0) {
                        *value = number(*pair);
                    }
                })
            }
            (Kind::Unsigned, 9..=15) => {
                pixels!(U16, full(bits) as u16, packed(bits, |value| value as u16))
            }
            (Kind::Unsigned, 17..=32) => {
                pixels!(U32, full(bits) as u32, packed(bits, |value| value as u32))
            }
            (Kind::Signed, 1..=32) => {
                // The highest bit is the sign.
                let spare = 64 - bits;
                let signed = move |value: u64| ((value << spare) as i64 >> spare) as i32;
                pixels!(I32, (full(bits) >> 1) as i32, packed(bits, signed))
            }
            (Kind::Float, 32) => {
                let float = |value: u64| f32::from_bits(value as u32);
                pixels!(F32, 1.0, packed(bits, float))
            }
            (Kind::Float, 16) => {
                let float = |value: u64| half::f16::from_bits(value as u16).to_f32();
                pixels!(F32, 1.0, packed(bits, float))
            }
            (Kind::Float, _) => {
                pixels!(F64, 1.0, packed(bits, f64::from_bits))
            }
            (Kind::Unsigned, _) => {
                let values = self.values(file, shift, wanted, packed(bits, |value| value))?;
                let values = grey(path, values, self.samples, self.colour, u64::MAX)?;
                match narrowed(&values) {
                    Some(values) => Ok(Pixels::U32(Image::new(height, width, values))),
                    None => Err(too_wide(path)),
                }
            }
            // NumPy's default integer, in which labels are often saved.
            (Kind::Signed, _) => {
                let values =
                    self.values(file, shift, wanted, packed(bits, |value| value as i64))?;
                let values = grey(path, values, self.samples, self.colour, i64::MAX)?;
                match (narrowed(&values), narrowed(&values)) {
                    (Some(values), _) => Ok(Pixels::U32(Image::new(height, width, values))),
                    (_, Some(values)) => Ok(Pixels::I32(Image::new(height, width, values))),
                    _ => Err(too_wide(path)),
                }
            }
        }
    }

    /// All samples of a window, those of a pixel beside one another; `convert` turns the bytes of
    /// a row into as many values as it is given room for.
    fn values<T: Copy + Default>(
        &self,
        file: &mut TiffFile<'_>,
        shift: u64,
        window: Region,
        convert: impl Fn(&[u8], Order, &mut [T]),
    ) -> Result<Vec<T>, ImageError> {
        let mut values = vec![T::default(); window.height * window.width * self.samples];
        let (down, across) = self.grid();
        let chunks = down * across * if self.planar { self.samples } else { 1 };
        let mut row_values = Vec::new();
        for number in 0..chunks {
            let Some(mut chunk) = self.chunk(file, number, shift, window)? else {
                continue;
            };
            let samples = chunk.samples.len();
            let columns = overlap(chunk.at.1, chunk.columns, window.x, window.width);
            let is_direct = samples == self.samples && columns.len() == chunk.columns;
            row_values.resize(chunk.columns * samples, T::default());
            // Rows above the window are there where they had to be decoded.
            let above = window.y.saturating_sub(chunk.at.0);
            let rows = chunk.bytes.chunks_exact_mut(chunk.row_bytes).skip(above);
            for (y, row) in (chunk.at.0 + above - window.y..).zip(rows) {
                let order = self.predictor.undo(row, samples, self.bits / 8, file.order);
                let from = (y * window.width + columns.start - window.x) * self.samples;
                let count = columns.len() * samples;
                if is_direct {
                    convert(row, order, &mut values[from..from + count]);
                    continue;
                }
                convert(row, order, &mut row_values);
                let wanted = &row_values[(columns.start - chunk.at.1) * samples..][..count];
                if samples == self.samples {
                    values[from..from + count].copy_from_slice(wanted);
                } else {
                    let places = values[from + chunk.samples.start..]
                        .iter_mut()
                        .step_by(self.samples);
                    for (place, &value) in places.zip(wanted) {
                        *place = value;
                    }
                }
            }
        }
        Ok(values)
    }
}

/// What two stretches share: `count` from `at` on, and `others` from `other` on.
fn overlap(at: usize, count: usize, other: usize, others: usize) -> Range<usize> {
    at.max(other)..(at + count).min(other + others)
}

/// The largest number of `bits` bits.
fn full(bits: usize) -> u64 {
    u64::MAX >> (64 - bits)
}

/// Turns a row of samples of `bits` bits into values. Whole bytes are in the order of the file;
/// others follow one another most significant bit first, in files of either order.
fn packed<T>(bits: usize, value: impl Fn(u64) -> T) -> impl Fn(&[u8], Order, &mut [T]) {
    move |row, order, out| {
        if bits == 32 {
            let number = match order {
                Order::Little => u32::from_le_bytes,
                Order::Big => u32::from_be_bytes,
            };
            for (out, bytes) in out.iter_mut().zip(row.as_chunks::<4>().0) {
                *out = value(u64::from(number(*bytes)));
            }
            return;
        }
        if bits.is_multiple_of(8) {
            for (out, bytes) in out.iter_mut().zip(row.chunks_exact(bits / 8)) {
                *out = value(order.number(bytes));
            }
            return;
        }
        let (mut held, mut have, mut bytes) = (0_u64, 0, row.iter());
        for out in out {
            while have < bits {
                held = held << 8 | u64::from(bytes.next().copied().unwrap_or(0));
                have += 8;
            }
            have -= bits;
            *out = value(held >> have & full(bits));
        }
    }
}

/// The one number that all samples of a pixel share; `default` where none is stated.
fn alike(path: &Path, numbers: &[u64], default: u64, what: &str) -> Result<u64, ImageError> {
    let first = numbers.first().copied().unwrap_or(default);
    if numbers.iter().any(|&number| number != first) {
        return Err(ImageError::not_supported(
            path,
            format!("the samples of a pixel have different {what}"),
            "save each channel as a grey page of its own",
        ));
    }
    Ok(first)
}

/// What the samples of a pixel are.
fn colour(
    path: &Path,
    photometric: u64,
    samples: usize,
    extra: &[u64],
) -> Result<Colour, ImageError> {
    let name = match photometric {
        photometric::RGB if samples == 3 => return Ok(Colour::Colours),
        photometric::RGB if samples == 4 => return Ok(Colour::ColoursAndAlpha),
        // Associated or unassociated alpha.
        0 | 1 | photometric::PALETTE if samples == 2 && matches!(extra, [1 | 2]) => {
            return Ok(Colour::GreyAndAlpha);
        }
        0..=4 => return Ok(Colour::Samples),
        5 => "CMYK (the inks of a print)",
        6 => "YCbCr (brightness and colour)",
        8..=10 => "L*a*b*",
        32803 => "the raw mosaic of a colour camera",
        32844 | 32845 => "logarithms of brightness",
        _ => return Ok(Colour::Samples),
    };
    Err(ImageError::not_supported(
        path,
        format!("its colours are {name}"),
        "save each channel as a grey image of its own",
    ))
}

/// 64-bit integers in 32 bits, if all of them fit.
fn narrowed<Wide: Copy, Narrow: TryFrom<Wide>>(values: &[Wide]) -> Option<Vec<Narrow>> {
    values.iter().map(|&v| Narrow::try_from(v).ok()).collect()
}

fn too_wide(path: &Path) -> ImageError {
    ImageError::not_supported(
        path,
        "it holds 64-bit integers that do not fit 32 bits",
        "save it with 16- or 32-bit integers",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_any_number_of_bits_are_unpacked() {
        let mut out = [0_u64; 3];
        packed(12, |value| value)(&[0xab, 0xc1, 0x23, 0xde, 0xf0], Order::Little, &mut out);
        assert_eq!(out, [0xabc, 0x123, 0xdef]);
        packed(1, |value| value)(&[0b1010_0000], Order::Big, &mut out);
        assert_eq!(out, [1, 0, 1]);
        packed(24, |value| value)(&[1, 0, 0, 2, 0, 0, 3, 0, 1], Order::Little, &mut out);
        assert_eq!(out, [1, 2, 0x1_0003]);
    }
}
