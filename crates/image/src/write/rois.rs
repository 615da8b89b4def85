//! Outlines as ImageJ's ROI Manager reads them: a zip of `.roi` files.
//!
//! Read from ImageJ's `RoiDecoder` and `RoiEncoder`: a header of 64 bytes, big-endian, then the
//! corners, then a second header of 64 bytes that points to the name (UTF-16). An outline of one
//! line is a traced selection (type 8) with corners of 16 bits relative to its box. Holes, several
//! parts, corners beyond 32,767 and more than 65,535 corners need the composite form (type 1): a
//! path of 32-bit floats (0 = move, 1 = line, 4 = close), inside of which is what an odd number of
//! lines is around; floats hold all corners up to 2^24. Corners are those of pixels in both.

use std::io::Write;
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::AtomicFile;
use crate::ImageError;
use crate::outline::{Outline, Outlines, Ring};

/// How the comment of every such file of this program begins.
pub const ROIS_NOTE: &str = "stainfree ROIs ";

/// Version of the format, as ImageJ 1.52 and later write it.
const VERSION: u16 = 228;
const TRACED: u8 = 8;
/// Of composite selections, which have the type of a rectangle.
const COMPOSITE: u8 = 1;
const MOVE: f32 = 0.0;
const LINE: f32 = 1.0;
const CLOSE: f32 = 4.0;
/// Bytes of the first and of the second header.
const HEADER: usize = 64;
const SECOND: usize = 64;

/// Writes the outlines of the image `field`: nuclei as `0001`, cells as `cell-0001`, by label.
///
/// # Errors
/// [`ImageError::Write`] if the file cannot be written.
pub fn imagej_rois(path: &Path, field: &str, outlines: &Outlines) -> Result<(), ImageError> {
    let mut file = RoiRows::create(path, field)?;
    for nucleus in &outlines.nuclei {
        file.nucleus(nucleus)?;
    }
    for cell in &outlines.cells {
        file.cell(&cell.outline)?;
    }
    file.finish()
}

/// Such a file whose objects come one after the other, so that there may be more than memory holds.
pub struct RoiRows {
    path: PathBuf,
    zip: ZipWriter<AtomicFile>,
}

impl RoiRows {
    /// Begins the file of the image `field`.
    ///
    /// # Errors
    /// [`ImageError::Write`] if it cannot be made.
    pub fn create(path: &Path, field: &str) -> Result<Self, ImageError> {
        let mut zip = ZipWriter::new(AtomicFile::create(path)?);
        let version = env!("CARGO_PKG_VERSION");
        zip.set_comment(format!("{ROIS_NOTE}of field {field}, version {version}"))
            .map_err(|error| ImageError::write(path, error.into()))?;
        let path = path.to_owned();
        Ok(Self { path, zip })
    }

    /// Adds a nucleus.
    ///
    /// # Errors
    /// [`ImageError::Write`] if the file cannot be written.
    pub fn nucleus(&mut self, outline: &Outline) -> Result<(), ImageError> {
        self.add("", outline)
    }

    /// Adds a whole cell.
    ///
    /// # Errors
    /// [`ImageError::Write`] if the file cannot be written.
    pub fn cell(&mut self, outline: &Outline) -> Result<(), ImageError> {
        self.add("cell-", outline)
    }

    fn add(&mut self, prefix: &str, outline: &Outline) -> Result<(), ImageError> {
        // The time is a part of the file: the same outlines are to give the same bytes.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default());
        let name = format!("{prefix}{:04}", outline.label);
        let begun = self.zip.start_file(format!("{name}.roi"), options);
        begun
            .map_err(std::io::Error::from)
            .and_then(|()| self.zip.write_all(&roi(&name, outline)))
            .map_err(|error| ImageError::write(&self.path, error))
    }

    /// Ends the file and gives it its name.
    ///
    /// # Errors
    /// [`ImageError::Write`] if it cannot be written.
    pub fn finish(self) -> Result<(), ImageError> {
        let done = self.zip.finish();
        done.map_err(|error| ImageError::write(&self.path, error.into()))?
            .commit()
    }
}

/// One selection.
fn roi(name: &str, outline: &Outline) -> Vec<u8> {
    let corners: Vec<&[u32; 2]> = outline.rings().flatten().collect();
    let range = |axis: usize| {
        let values = corners.iter().map(|corner| corner[axis]);
        (values.clone().min().unwrap_or(0), values.max().unwrap_or(0))
    };
    let ((left, right), (top, bottom)) = (range(0), range(1));
    let most = i16::MAX as u32;
    let simple = match &outline.parts[..] {
        [part] if part.holes.is_empty() => Some(&part.outer),
        _ => None,
    };
    let simple =
        simple.filter(|ring| right <= most && bottom <= most && u16::try_from(ring.len()).is_ok());
    let (kind, count, path) = match simple {
        Some(ring) => (TRACED, ring.len() as u16, Vec::new()),
        None => (COMPOSITE, 0, composite(outline)),
    };
    let mut bytes = b"Iout".to_vec();
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend([kind, 0]);
    // Of a box that does not fit the low 16 bits, as ImageJ writes it, which reads the path anyway.
    for side in [top, left, bottom, right] {
        bytes.extend((side as u16).to_be_bytes());
    }
    bytes.extend(count.to_be_bytes());
    bytes.resize(36, 0);
    bytes.extend((path.len() as u32).to_be_bytes());
    bytes.resize(60, 0);
    let corners = simple.map_or(4 * path.len(), |ring| 4 * ring.len());
    bytes.extend(((HEADER + corners) as u32).to_be_bytes());
    match simple {
        Some(ring) => {
            for (axis, origin) in [(0, left), (1, top)] {
                let relative = ring.iter().map(|corner| (corner[axis] - origin) as u16);
                bytes.extend(relative.flat_map(u16::to_be_bytes));
            }
        }
        None => bytes.extend(path.iter().flat_map(|value| value.to_be_bytes())),
    }
    put_name(&mut bytes, name);
    bytes
}

/// The path of all lines.
fn composite(outline: &Outline) -> Vec<f32> {
    let mut path = Vec::new();
    let mut add = |ring: &Ring| {
        for (number, &[x, y]) in ring.iter().enumerate() {
            let step = if number == 0 { MOVE } else { LINE };
            path.extend([step, x as f32, y as f32]);
        }
        path.push(CLOSE);
    };
    outline.rings().for_each(&mut add);
    path
}

/// Appends the second header and the name.
fn put_name(bytes: &mut Vec<u8>, name: &str) {
    let begin = bytes.len();
    let letters: Vec<u16> = name.encode_utf16().collect();
    bytes.resize(begin + 16, 0);
    bytes.extend(((begin + SECOND) as u32).to_be_bytes());
    bytes.extend((letters.len() as u32).to_be_bytes());
    bytes.resize(begin + SECOND, 0);
    bytes.extend(letters.iter().flat_map(|letter| letter.to_be_bytes()));
}
