//! C01 and DIB files of Cellomics ArrayScan and CellInsight: one image each, without a name of
//! its channel.
//!
//! A C01 file is the bytes 00 00 00 10 and a zlib stream of a DIB file. That is a Windows bitmap
//! header of 40 bytes (width, height, planes, bits, pixels per metre; little endian), three masks
//! of colours that mean nothing, and from byte 52 on the rows, the topmost first, whatever is usual
//! in bitmaps. (Read from the sample; planes and rows as Bio-Formats reads them.)

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::ZlibDecoder;

use super::{first_bytes, part_of};
use crate::format::description::{Length, both};
use crate::format::{NO_SIZE_TAKEN, check_memory, check_size, open};
use crate::{
    Image, ImageError, Plane, PlaneRef, PlaneSource, Region, Stamp, read_pieces, rounded_um,
};

const PACKED: [u8; 4] = [0, 0, 0, 0x10];
/// The length of its own header, with which a bitmap begins.
const BITMAP: [u8; 4] = [40, 0, 0, 0];
/// Header and masks.
const BEFORE_PIXELS: u64 = 52;

/// Whether `path` is a file of this kind: by its ending, which other programs use for nothing or,
/// of `.dib`, by its first bytes as well.
pub(crate) fn is_one(path: &Path) -> bool {
    let end = path
        .extension()
        .map(|end| end.to_string_lossy().to_lowercase());
    match end.as_deref() {
        Some("c01") => path.is_file(),
        Some("dib") => [&BITMAP[..], &PACKED].contains(&&first_bytes(path, 4)[..]),
        _ => false,
    }
}

/// What the header of one file says.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) planes: usize,
    /// 1 or 2.
    sample_bytes: usize,
    pub(crate) pixel_um: Option<f64>,
    pub(crate) problems: Vec<String>,
}

impl Header {
    /// # Errors
    /// [`ImageError::Read`], [`ImageError::Broken`], [`ImageError::NotSupported`] for colours,
    /// [`ImageError::TooLarge`].
    pub(crate) fn read(path: &Path) -> Result<Self, ImageError> {
        let mut unpacked = Unpacked::open(path)?;
        let start = unpacked.take(BEFORE_PIXELS)?;
        let word = |at: usize| match start.get(at..).and_then(|rest| rest.first_chunk()) {
            Some(four) => i32::from_le_bytes(*four),
            None => 0,
        };
        if start[..4] != BITMAP {
            return Err(ImageError::broken(path, "it has no header of a bitmap"));
        }
        let (width, height) = (word(4), word(8));
        let (planes, bits) = (word(12) as u32 & 0xffff, word(12) as u32 >> 16);
        let side = |side: i32| {
            u64::try_from(side).map_err(|_| {
                ImageError::broken(path, format!("its image has {height} x {width} pixels"))
            })
        };
        let (rows, columns) = (side(height)?, side(width)?);
        check_size(path, rows, columns)?;
        check_memory(path, rows, columns)?;
        let sample_bytes = match bits {
            8 | 16 => bits as usize / 8,
            _ => return Err(refused(path, format!("its pixels have {bits} bits"))),
        };
        if !matches!(word(16), 0 | 3) {
            let what = format!("it is a bitmap with the compression `{}`", word(16));
            return Err(refused(path, what));
        }
        if planes == 0 {
            return Err(ImageError::broken(path, "it has no planes"));
        }
        let mut problems = Vec::new();
        let found = Self {
            height: rows as usize,
            width: columns as usize,
            planes: planes as usize,
            sample_bytes,
            pixel_um: pixel_um([word(24), word(28)], &mut problems),
            problems,
        };
        unpacked.check_length(found.end_of_plane(found.planes - 1))?;
        Ok(found)
    }

    fn plane_bytes(&self) -> u64 {
        (self.height * self.width * self.sample_bytes) as u64
    }

    /// Of the unpacked file.
    fn end_of_plane(&self, plane: usize) -> u64 {
        BEFORE_PIXELS + self.plane_bytes() * (plane as u64 + 1)
    }
}

fn refused(path: &Path, what: String) -> ImageError {
    ImageError::not_supported(
        path,
        what,
        "export it as 16-bit TIFF from the microscope's program, or convert it with Fiji's \
         Bio-Formats importer or `bfconvert`",
    )
}

/// The pixel size of so many pixels per metre across and down.
fn pixel_um(per_metre: [i32; 2], problems: &mut Vec<String>) -> Option<f64> {
    /// Other programs write the dots of screens and printers, 2,835 and more per metre.
    const LARGEST_UM: f64 = 50.0;
    let [x, y] = per_metre.map(|count| Length::of(1e6 / f64::from(count), "um"));
    match both(x, y) {
        Ok(Some(um)) if um > LARGEST_UM => {
            problems.push(format!(
                "its pixels would be `{}` um wide, as on a screen, {NO_SIZE_TAKEN}",
                rounded_um(um)
            ));
            None
        }
        Ok(um) => um,
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

/// The planes of a file with this header.
pub(crate) fn planes_of(path: &Path, header: &Header) -> Vec<PlaneRef> {
    let plane = |plane: usize| {
        PlaneRef::new(C01Plane {
            path: path.to_path_buf(),
            plane,
        })
    };
    (0..header.planes).map(plane).collect()
}

/// A plane of a C01 or DIB file.
#[derive(Debug)]
struct C01Plane {
    path: PathBuf,
    plane: usize,
}

impl PlaneSource for C01Plane {
    fn location(&self) -> &Path {
        &self.path
    }

    fn part(&self) -> usize {
        self.plane
    }

    fn stamp(&self) -> io::Result<Stamp> {
        Stamp::of_part(&self.path, self.plane)
    }

    fn read(&self) -> Result<Plane, ImageError> {
        let header = Header::read(&self.path)?;
        if self.plane >= header.planes {
            let what = format!(
                "it has {} planes and had more when it was opened",
                header.planes
            );
            return Err(ImageError::broken(&self.path, what));
        }
        let mut unpacked = Unpacked::open(&self.path)?;
        unpacked.skip(header.end_of_plane(self.plane) - header.plane_bytes())?;
        let pixels = unpacked.take(header.plane_bytes())?;
        let Header { height, width, .. } = header;
        Ok(match header.sample_bytes {
            1 => Plane::U8(Image::new(height, width, pixels)),
            _ => {
                let pairs = pixels.as_chunks().0.iter();
                let values = pairs.map(|&pair| u16::from_le_bytes(pair)).collect();
                Plane::U16(Image::new(height, width, values))
            }
        })
    }

    fn read_region(&self, region: Region) -> Result<Plane, ImageError> {
        part_of(&self.read()?, &self.path, region)
    }

    fn stored(&self, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        read_pieces(&self.path, sink)
    }
}

/// The bitmap in a file, from its first byte on.
struct Unpacked<'a> {
    path: &'a Path,
    bytes: Box<dyn Read>,
    /// Where it is not packed.
    length: Option<u64>,
}

impl<'a> Unpacked<'a> {
    fn open(path: &'a Path) -> Result<Self, ImageError> {
        let mut file: File = open(path)?;
        let failed = |error| ImageError::read(path, error);
        let length = file.metadata().map_err(failed)?.len();
        let is_packed = match first_bytes(path, 4)[..] {
            [] => return Err(ImageError::broken(path, "the file is empty (0 bytes)")),
            [0, 0, 0, 0x10] => true,
            [40, 0, 0, 0] => false,
            _ => {
                let what = "it does not begin as a Cellomics file does";
                return Err(ImageError::broken(path, what));
            }
        };
        let start = if is_packed { PACKED.len() as u64 } else { 0 };
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let file = BufReader::new(file);
        Ok(match is_packed {
            true => Self {
                path,
                bytes: Box::new(ZlibDecoder::new(file)),
                length: None,
            },
            false => Self {
                path,
                bytes: Box::new(file),
                length: Some(length),
            },
        })
    }

    fn check_length(&self, needed: u64) -> Result<(), ImageError> {
        match self.length.filter(|length| *length < needed) {
            Some(length) => Err(ImageError::broken(
                self.path,
                format!("it has {length} bytes of the {needed} that its image takes"),
            )),
            None => Ok(()),
        }
    }

    fn skip(&mut self, count: u64) -> Result<(), ImageError> {
        let skipped = io::copy(&mut (&mut self.bytes).take(count), &mut io::sink());
        let skipped = skipped.map_err(|error| self.failed(error))?;
        self.check_whole(skipped, count)
    }

    /// The next `count` bytes. Memory grows by what is really there.
    fn take(&mut self, count: u64) -> Result<Vec<u8>, ImageError> {
        let mut taken = Vec::new();
        let read = (&mut self.bytes).take(count).read_to_end(&mut taken);
        read.map_err(|error| self.failed(error))?;
        self.check_whole(taken.len() as u64, count)?;
        Ok(taken)
    }

    fn check_whole(&self, found: u64, wanted: u64) -> Result<(), ImageError> {
        match found == wanted {
            true => Ok(()),
            false => Err(ImageError::broken(self.path, "it ends within its image")),
        }
    }

    fn failed(&self, error: io::Error) -> ImageError {
        match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
                ImageError::broken(self.path, format!("it cannot be unpacked ({error})"))
            }
            _ => ImageError::read(self.path, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_size_of_a_screen_is_none() {
        let mut problems = Vec::new();
        assert_eq!(pixel_um([2_000_000; 2], &mut problems), Some(0.5));
        assert_eq!(pixel_um([0, 0], &mut problems), None);
        assert!(problems.is_empty());
        assert_eq!(pixel_um([2835; 2], &mut problems), None);
        assert_eq!(pixel_um([1_000_000, 2_000_000], &mut problems), None);
        assert!(problems[0].contains("as on a screen"), "{problems:?}");
        assert!(problems[1].contains("not square"), "{problems:?}");
    }
}
