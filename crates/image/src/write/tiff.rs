//! TIFF as Fiji reads it: strips, unsigned integers or 32-bit floats, ImageJ's description.

use std::borrow::Borrow;
use std::borrow::Cow;
use std::io::Cursor;
use std::path::Path;

use ::tiff::encoder::colortype::{ColorType, Gray8, Gray16, Gray32, Gray32Float};
use ::tiff::encoder::{
    Compression as TiffCompression, DeflateLevel, Predictor, Rational, TiffEncoder, TiffKind,
    TiffValue,
};
use ::tiff::tags::{ResolutionUnit, Tag, Type};

use super::write_atomic;
use crate::{Image, ImageError};

/// What a written TIFF says besides its pixels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Note {
    /// Free text, one or more lines: where the image comes from.
    pub text: String,
    /// Pixel size in µm; `None` writes no calibration.
    pub pixel_um: Option<f64>,
}

/// How the strips of a TIFF with a description of the caller's own are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    Uncompressed,
    /// Deflate at its fastest, without a predictor.
    Deflate,
}

/// Pixels of a TIFF with a description of the caller's own.
#[derive(Clone, Copy, Debug)]
pub enum Integers<'a> {
    /// Intensities in 16 bits.
    Counts(&'a Image<u16>),
    /// A class mask in 8 bits.
    Classes(&'a Image<u8>),
    /// Labels in 16 bits where they fit, else in 32.
    Labels(&'a Image<u32>),
}

/// Above this many bytes of pixels the file is a BigTIFF, whose offsets have 64 bits.
const BIG_TIFF_BYTES: usize = 3_900_000_000;

/// Bytes of pixels per strip: small enough to decode in a cache, large enough to compress well.
const STRIP_BYTES: usize = 256 * 1024;

/// Writes instance labels: 16-bit up to label 65,535, else 32-bit unsigned integers.
///
/// 16 bits are what Fiji shows without a conversion. Above, 32-bit integers keep every number;
/// Fiji opens them as floats, which are exact up to 2^24, and floats themselves would not be exact
/// beyond either.
///
/// # Errors
/// [`ImageError::Write`] if the file cannot be written.
pub fn labels(path: &Path, labels: &Image<u32>, note: &Note) -> Result<(), ImageError> {
    match narrow(labels) {
        Some(labels) => {
            let page = Page::<Gray16>::new(&labels, Predictor::Horizontal);
            write_noted(path, &[page], note)
        }
        None => wide_labels(path, labels, note),
    }
}

/// Writes instance labels in 32 bits, whatever their numbers: napari takes 16 bits for an image
/// (read from its `guess_labels`).
///
/// # Errors
/// [`ImageError::Write`] if the file cannot be written.
pub fn wide_labels(path: &Path, labels: &Image<u32>, note: &Note) -> Result<(), ImageError> {
    let page = Page::<Gray32>::new(labels, Predictor::Horizontal);
    write_noted(path, &[page], note)
}

/// Labels in 16 bits, if all of them fit.
fn narrow(labels: &Image<u32>) -> Option<Image<u16>> {
    let most = u32::from(u16::MAX);
    let fit = labels.data().iter().all(|&label| label <= most);
    fit.then(|| labels.map(|&label| label as u16))
}

/// Writes a class mask as 8-bit pixels.
///
/// # Errors
/// [`ImageError::Write`] if the file cannot be written.
pub fn class_mask(path: &Path, mask: &Image<u8>, note: &Note) -> Result<(), ImageError> {
    let page = Page::<Gray8>::new(mask, Predictor::None);
    write_noted(path, &[page], note)
}

/// Writes 16-bit intensities.
///
/// # Errors
/// [`ImageError::Write`] if the file cannot be written.
pub fn plane_u16(path: &Path, plane: &Image<u16>, note: &Note) -> Result<(), ImageError> {
    let page = Page::<Gray16>::new(plane, Predictor::Horizontal);
    write_noted(path, &[page], note)
}

/// Writes 32-bit float intensities.
///
/// # Errors
/// [`ImageError::Write`] if the file cannot be written.
pub fn plane_f32(path: &Path, plane: &Image<f32>, note: &Note) -> Result<(), ImageError> {
    stack_f32(path, std::slice::from_ref(plane), note)
}

/// Writes several 32-bit float planes as the channels of one file, such as the probabilities of
/// the classes in their order.
///
/// # Errors
/// [`ImageError::Write`] if the file cannot be written; [`ImageError::Misuse`] if there is no
/// plane or if they differ in size.
pub fn stack_f32(
    path: &Path,
    planes: &[impl Borrow<Image<f32>>],
    note: &Note,
) -> Result<(), ImageError> {
    let sizes: Vec<(usize, usize)> = planes.iter().map(|plane| plane.borrow().size()).collect();
    if sizes.is_empty() || sizes.iter().any(|size| *size != sizes[0]) {
        return Err(ImageError::Misuse {
            what: format!(
                "`{}` cannot hold the {} planes given, which must be one or more of one size",
                path.display(),
                planes.len()
            ),
            way_out: "write planes of different sizes to files of their own".into(),
        });
    }
    // No predictor: the encoder has none for floats, and the horizontal one is for integers.
    let pages: Vec<_> = planes
        .iter()
        .map(|plane| Page::<Gray32Float>::new(plane.borrow(), Predictor::None))
        .collect();
    write_noted(path, &pages, note)
}

/// Writes one plane with a description of the caller's own, such as MetaXpress' XML.
///
/// `description` is stored as UTF-8; empty writes none. No calibration tags are written.
///
/// # Errors
/// [`ImageError::Write`] if the file cannot be written.
pub fn described(
    path: &Path,
    pixels: Integers<'_>,
    description: &str,
    compression: Compression,
) -> Result<(), ImageError> {
    let compression = match compression {
        Compression::Uncompressed => TiffCompression::Uncompressed,
        Compression::Deflate => TiffCompression::Deflate(DeflateLevel::Fast),
    };
    let says = Says {
        description,
        software: "stainfree",
        pixel_um: None,
    };
    let stored = Stored {
        compression,
        strip_bytes: None,
    };
    match pixels {
        Integers::Counts(plane) => write(path, &[Page::<Gray16>::plain(plane)], says, stored),
        Integers::Classes(mask) => write(path, &[Page::<Gray8>::plain(mask)], says, stored),
        Integers::Labels(labels) => match narrow(labels) {
            Some(labels) => write(path, &[Page::<Gray16>::plain(&labels)], says, stored),
            None => write(path, &[Page::<Gray32>::plain(labels)], says, stored),
        },
    }
}

/// ImageJ's description: its keys first, then the free text as one `Info`-like block of lines.
///
/// ImageJ skips lines it does not know, so the text stays readable there and in any other program.
fn description(note: &Note, channels: usize) -> String {
    let mut lines = vec!["ImageJ=1.54f".to_string()];
    if channels > 1 {
        lines.push(format!(
            "images={channels}\nchannels={channels}\nhyperstack=true"
        ));
        lines.push("mode=grayscale".into());
    }
    if note.pixel_um.is_some() {
        lines.push("unit=um".into());
    }
    // An equals sign would make a key of the line: a note `unit=nm` must not undo the unit above.
    lines.extend(
        note.text
            .lines()
            .map(|line| format!("# {}", line.replace('=', ":"))),
    );
    lines.join("\n") + "\n"
}

struct Page<'a, C: ColorType> {
    image: &'a Image<C::Inner>,
    predictor: Predictor,
}

impl<'a, C: ColorType> Page<'a, C> {
    fn new(image: &'a Image<C::Inner>, predictor: Predictor) -> Self {
        Self { image, predictor }
    }

    fn plain(image: &'a Image<C::Inner>) -> Self {
        Self::new(image, Predictor::None)
    }
}

/// What the tags of a file say besides its pixels.
#[derive(Clone, Copy)]
struct Says<'a> {
    /// Texts; empty writes none.
    description: &'a str,
    software: &'a str,
    pixel_um: Option<f64>,
}

/// How the pixels of a file are stored.
#[derive(Clone, Copy)]
struct Stored {
    compression: TiffCompression,
    /// Bytes of pixels per strip; `None` leaves it to the encoder, which takes a million.
    strip_bytes: Option<usize>,
}

/// Writes pages, compressed, with ImageJ's description of them as channels of one image.
fn write_noted<C: ColorType>(
    path: &Path,
    pages: &[Page<'_, C>],
    note: &Note,
) -> Result<(), ImageError>
where
    [C::Inner]: TiffValue,
{
    let description = description(note, pages.len());
    let says = Says {
        description: &description,
        software: "",
        pixel_um: note.pixel_um,
    };
    let stored = Stored {
        compression: TiffCompression::Deflate(DeflateLevel::Balanced),
        strip_bytes: Some(STRIP_BYTES),
    };
    write(path, pages, says, stored)
}

fn write<C: ColorType>(
    path: &Path,
    pages: &[Page<'_, C>],
    says: Says<'_>,
    stored: Stored,
) -> Result<(), ImageError>
where
    [C::Inner]: TiffValue,
{
    let bytes: usize = pages
        .iter()
        .map(|page| size_of_val(page.image.data()))
        .sum();
    let mut file = Cursor::new(Vec::new());
    let encoded = if bytes > BIG_TIFF_BYTES {
        TiffEncoder::new_big(&mut file).and_then(|encoder| encode(encoder, pages, says, stored))
    } else {
        TiffEncoder::new(&mut file).and_then(|encoder| encode(encoder, pages, says, stored))
    };
    encoded.map_err(|error| ImageError::write(path, std::io::Error::other(error)))?;
    write_atomic(path, &file.into_inner())
}

fn encode<C: ColorType, K: TiffKind>(
    encoder: TiffEncoder<&mut Cursor<Vec<u8>>, K>,
    pages: &[Page<'_, C>],
    says: Says<'_>,
    stored: Stored,
) -> Result<(), ::tiff::TiffError>
where
    [C::Inner]: TiffValue,
{
    let mut encoder = encoder.with_compression(stored.compression);
    for (number, page) in pages.iter().enumerate() {
        let (height, width) = page.image.size();
        encoder = encoder.with_predictor(page.predictor);
        let mut image = encoder.new_image::<C>(width as u32, height as u32)?;
        if let Some(bytes) = stored.strip_bytes {
            let row_bytes = (width * size_of::<C::Inner>()).max(1);
            image.rows_per_strip((bytes / row_bytes).clamp(1, height.max(1)) as u32)?;
        }
        let tags = [
            (Tag::ImageDescription, says.description),
            (Tag::Software, says.software),
        ];
        for (tag, text) in tags {
            if number == 0 && !text.is_empty() {
                image.encoder().write_tag(tag, Utf8(text))?;
            }
        }
        if let Some(um) = says.pixel_um {
            let per_um = pixels_per_um(um);
            image.resolution_unit(ResolutionUnit::None);
            image.x_resolution(per_um.clone());
            image.y_resolution(per_um);
        }
        image.write_data(page.image.data())?;
    }
    Ok(())
}

/// `1 / um` as a fraction of two 32-bit numbers, exact to better than one part in 10^8.
fn pixels_per_um(um: f64) -> Rational {
    // The larger of the two numbers gets close to 2^31, whatever the size.
    let scale = f64::from(1_u32 << 31) / um.max(1.0);
    let d = (um * scale).round().max(1.0) as u32;
    Rational {
        n: scale.round().max(1.0) as u32,
        d,
    }
}

/// A description as UTF-8, which the type `ASCII` of TIFF carries in practice (µ, names).
struct Utf8<'a>(&'a str);

impl TiffValue for Utf8<'_> {
    const BYTE_LEN: u8 = 1;
    const FIELD_TYPE: Type = Type::ASCII;

    fn count(&self) -> usize {
        self.0.len() + 1
    }

    fn data(&self) -> Cow<'_, [u8]> {
        // The format ends texts with a zero byte, so that none may lie inside.
        let mut bytes = self.0.replace('\0', " ").into_bytes();
        bytes.push(0);
        Cow::Owned(bytes)
    }
}
