//! PNG: 1 to 16 bits of grey, indices of a colour table; colour and transparency only where they
//! say nothing.

use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::path::Path;

use ::png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Reader, Transformations};

use super::pixels::{Colour, grey};
use super::{COLOUR_TABLE, FileInfo, Pixels, Purpose, check_memory, check_size, open, window};
use crate::{Image, ImageError, Region};

/// Size of the image; a PNG states no pixel size that a microscope would have written.
pub(super) fn info(path: &Path) -> Result<FileInfo, ImageError> {
    let reader = reader(path)?;
    let (width, height) = reader.info().size();
    let table = reader.info().palette.as_deref();
    let coloured = table.is_some_and(|table| greys(table).is_none());
    Ok(FileInfo {
        problems: coloured.then(|| COLOUR_TABLE.into()).into_iter().collect(),
        may_be_coloured: matches!(reader.info().color_type, ColorType::Rgb | ColorType::Rgba),
        ..FileInfo::of_pages(vec![(height as usize, width as usize)])
    })
}

/// Reads the image, or a region of it.
pub(super) fn read(
    path: &Path,
    purpose: Purpose,
    region: Option<Region>,
) -> Result<Pixels, ImageError> {
    let mut reader = reader(path)?;
    let (width, height) = reader.info().size();
    let (height, width) = (height as usize, width as usize);
    let wanted = window(path, (height, width), region)?;
    let (color, depth) = (reader.info().color_type, reader.info().bit_depth);
    let table = reader.info().palette.as_deref().unwrap_or_default();
    let shown = match color {
        ColorType::Indexed => values_of_table(table, depth, purpose),
        _ => None,
    };
    let (samples, colour) = match color {
        ColorType::Grayscale | ColorType::Indexed => (1, Colour::Samples),
        ColorType::GrayscaleAlpha => (2, Colour::GreyAndAlpha),
        ColorType::Rgb => (3, Colour::Colours),
        ColorType::Rgba => (4, Colour::ColoursAndAlpha),
    };
    let rows = wanted.y..wanted.y + wanted.height;
    let bytes = rows_of(&mut reader, height, rows).map_err(|error| png_error(path, error))?;
    if depth == BitDepth::Sixteen {
        let values = bytes.as_chunks::<2>().0;
        let values = values
            .iter()
            .map(|&pair| u16::from_be_bytes(pair))
            .collect();
        let values = columns_of(values, width * samples, wanted, samples);
        let grey = grey(path, values, samples, colour, u16::MAX)?;
        return Ok(Pixels::U16(Image::new(wanted.height, wanted.width, grey)));
    }
    let values = match depth as usize {
        8 => bytes,
        bits => unpack(&bytes, wanted.height, width, bits),
    };
    let mut values = columns_of(values, width * samples, wanted, samples);
    if let Some(shown) = shown {
        for value in &mut values {
            // An index without an entry is damage, which decoders show as black.
            *value = shown.get(usize::from(*value)).copied().unwrap_or(0);
        }
    } else if (color, depth) == (ColorType::Grayscale, BitDepth::One) {
        // Black and white, as every program shows and reads them. Two and four bits stay as they
        // are stored: stretched to 255, labels would be other numbers.
        for value in &mut values {
            *value *= u8::MAX;
        }
    }
    let grey = grey(path, values, samples, colour, u8::MAX)?;
    Ok(Pixels::U8(Image::new(wanted.height, wanted.width, grey)))
}

/// The bytes of rows. Rows follow from those above them, so that these are read too; of an
/// interlaced image, all are.
fn rows_of(
    reader: &mut Reader<BufReader<File>>,
    height: usize,
    rows: Range<usize>,
) -> Result<Vec<u8>, DecodingError> {
    if reader.info().interlaced || rows.len() == height {
        let bytes = reader.output_buffer_size();
        let mut bytes = vec![0_u8; bytes.ok_or(DecodingError::LimitsExceeded)?];
        reader.next_frame(&mut bytes)?;
        let row_bytes = bytes.len() / height;
        bytes.truncate(rows.end * row_bytes);
        bytes.drain(..rows.start * row_bytes);
        return Ok(bytes);
    }
    let mut bytes = Vec::new();
    for y in 0..rows.end {
        match reader.next_row()? {
            Some(row) if rows.contains(&y) => bytes.extend_from_slice(row.data()),
            _ => {}
        }
    }
    Ok(bytes)
}

/// The columns of a region out of rows of `row` samples, `samples` a pixel.
fn columns_of<T: Copy>(values: Vec<T>, row: usize, region: Region, samples: usize) -> Vec<T> {
    let count = region.width * samples;
    if count == row {
        return values;
    }
    let rows = values.chunks_exact(row);
    rows.flat_map(|row| &row[region.x * samples..][..count])
        .copied()
        .collect()
}

/// The grey of every entry of a colour table; `None` if one of them is a colour.
fn greys(table: &[u8]) -> Option<Vec<u8>> {
    let entries = table.chunks_exact(3);
    entries
        .map(|entry| match entry {
            [r, g, b] if r == g && g == b => Some(*r),
            _ => None,
        })
        .collect()
}

/// The values that stand for the indices of a colour table; `None` where the indices themselves
/// are the values.
///
/// They are, whatever the colours, but for grey tables, which have two origins. A program that
/// makes files smaller lists the greys of an image that had no table: there the grey is the value.
/// A table that shows the image in other greys, such as ImageJ's inverted one, is falling, or
/// stretches label numbers to what an eye can tell apart.
fn values_of_table(table: &[u8], depth: BitDepth, purpose: Purpose) -> Option<Vec<u8>> {
    let greys = greys(table)?;
    let complete = greys.len() == 1 << depth as usize;
    let falling = greys.len() > 1 && greys.is_sorted_by(|a, b| a > b);
    let stretched = greys.is_sorted() && greys.last().is_some_and(|&grey| grey >= 128);
    let display = match purpose {
        Purpose::Intensities => falling && complete,
        Purpose::Numbers => falling || stretched,
    };
    (!display).then_some(greys)
}

/// Samples of fewer than eight bits, most significant first, rows starting on whole bytes.
fn unpack(bytes: &[u8], height: usize, width: usize, bits: usize) -> Vec<u8> {
    let per_byte = 8 / bits;
    let mask = u8::MAX >> (8 - bits);
    let mut values = Vec::with_capacity(height * width);
    for row in bytes.chunks_exact(width.div_ceil(per_byte)) {
        for x in 0..width {
            let shift = 8 - bits * (x % per_byte + 1);
            values.push(row[x / per_byte] >> shift & mask);
        }
    }
    values
}

fn reader(path: &Path) -> Result<Reader<BufReader<File>>, ImageError> {
    let file = BufReader::new(open(path)?);
    let limits = Limits {
        // Largest plane times four samples of two bytes.
        bytes: super::MAX_PLANE_PIXELS as usize * 8,
    };
    let mut decoder = Decoder::new_with_limits(file, limits);
    decoder.set_transformations(Transformations::IDENTITY);
    let header = decoder.read_header_info();
    let (width, height) = header.map_err(|error| png_error(path, error))?.size();
    check_size(path, u64::from(height), u64::from(width))?;
    // Rows follow from those above them, so a part takes the time of the whole.
    check_memory(path, u64::from(height), u64::from(width))?;
    decoder.read_info().map_err(|error| png_error(path, error))
}

fn png_error(path: &Path, error: DecodingError) -> ImageError {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImageError::broken(path, "the file ends too early")
        }
        DecodingError::IoError(error) => ImageError::read(path, error),
        DecodingError::LimitsExceeded => ImageError::TooLarge {
            path: path.to_path_buf(),
            what: "decoding it would exceed the memory for one plane".into(),
            cap: format!("{} pixels", super::MAX_PLANE_PIXELS),
            way_out: "cut it into smaller fields",
        },
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
