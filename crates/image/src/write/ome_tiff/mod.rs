//! OME-TIFF: an image of several planes, channels and times with its calibration in one file.
//!
//! Planes are asked for one by one and written before the next one is, so that an image may be
//! larger than memory. What the format asks for, and what its readers do with it:
//!
//! - OME-XML (schema 2016-06) stands in the description of the first directory. Planes follow in
//!   the order XYZCT, z fastest; a plane that is missing has no `TiffData`, for which readers show
//!   a plane of zeros (read from tifffile and Bio-Formats).
//! - Tiles are squares with sides of a multiple of 16, compressed with Deflate. Integers are stored
//!   as differences along rows (predictor 2). Floats are stored as they are: Bio-Formats knows no
//!   other predictor (read from its `TiffCompression`).
//! - Images with a side above [`PYRAMID_ABOVE`] have smaller levels, each half the one before, as
//!   directories of their own that tag 330 of the full plane points to (OME-TIFF specification,
//!   "sub-resolutions").
//! - Above 3.9 GB of pixels the file is a BigTIFF.
//!
//! Here: the description, tiles, levels, the order of things in the file. Not here: directories
//! and their entries (`directory`), the types of pixels (`samples`), the XML (`xml`).

mod directory;
mod rows;
mod samples;
mod xml;

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use self::directory::{Directory, Form, Value};
pub use self::rows::{OmeTiffRows, ome_tiff_rows_held};
pub(super) use self::samples::Sample;
pub use self::samples::{PixelType, Samples};
use super::AtomicFile;
use crate::{Image, ImageError};

/// The side of a tile in pixels; smaller where the whole image is.
const TILE: usize = 512;
/// Sides of tiles are multiples of it, as TIFF asks for.
const TILE_STEP: usize = 16;
/// Images with a longer side have smaller levels, down to one that fits into a tile.
pub const PYRAMID_ABOVE: usize = 4096;
/// Above this many bytes of pixels the file is a BigTIFF, whose offsets have 64 bits.
const BIG_TIFF_BYTES: u64 = 3_900_000_000;

/// An image as an OME-TIFF describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct OmeTiff {
    /// What the image is called.
    pub name: String,
    /// Free text about where it comes from; may be empty.
    pub text: String,
    /// Rows and columns in pixels.
    pub size: (usize, usize),
    /// Number of z planes.
    pub planes: usize,
    /// Number of time points.
    pub times: usize,
    /// The name of each channel; an empty one is left out.
    pub channels: Vec<String>,
    /// The type in which all planes are stored.
    pub pixel_type: PixelType,
    /// Pixel size in µm; `None` writes none.
    pub pixel_um: Option<f64>,
    /// Distance of the z planes in µm; `None` writes none.
    pub z_step_um: Option<f64>,
    /// How smaller levels are made.
    pub shrink: Shrink,
}

/// How a level of half the size is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shrink {
    /// The mean of 2 x 2 pixels, for intensities.
    Mean,
    /// One of 2 x 2 pixels, for labels and classes, whose means would be other labels.
    Nearest,
}

/// Which plane is asked for, all from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaneOf {
    /// Number of the z plane.
    pub z: usize,
    /// Number of the channel.
    pub channel: usize,
    /// Number of the time point.
    pub time: usize,
}

/// Writes an OME-TIFF of the planes that `plane` gives when it is asked, z fastest, then channel,
/// then time. `None` is a plane that is missing.
///
/// Planes of another type than [`OmeTiff::pixel_type`] are stored in that type where it holds all
/// of their values.
///
/// # Errors
/// Those of `plane`; [`ImageError::Write`] if the file cannot be written; [`ImageError::Misuse`] if
/// there is nothing to write, or a plane has another size or values that the type does not hold.
pub fn ome_tiff<E: From<ImageError>>(
    path: &Path,
    image: &OmeTiff,
    mut plane: impl FnMut(PlaneOf) -> Result<Option<Samples>, E>,
) -> Result<(), E> {
    image.check(path)?;
    let mut file = File::create(path, image.form())?;
    // The directories of the full planes, which are written at the end, one after another.
    let mut pages = Vec::new();
    let mut there = Vec::new();
    for place in image.places() {
        let Some(samples) = plane(place)? else {
            continue;
        };
        let samples = image.fitting(path, place, samples, image.size)?;
        let page = match &samples {
            Samples::U8(plane) => file.put_plane(plane, image),
            Samples::U16(plane) => file.put_plane(plane, image),
            Samples::U32(plane) => file.put_plane(plane, image),
            Samples::F32(plane) => file.put_plane(plane, image),
        };
        pages.push(page.map_err(|error| ImageError::write(path, error))?);
        there.push(place);
    }
    let Some(first) = pages.first_mut() else {
        return Err(image.misuse(path, "has no plane at all").into());
    };
    first.put(directory::IMAGE_DESCRIPTION, Value::Text(image.xml(&there)));
    first.put(
        directory::SOFTWARE,
        Value::Text(format!("stainfree {}", env!("CARGO_PKG_VERSION"))),
    );
    file.finish(&pages)
        .map_err(|error| ImageError::write(path, error))?;
    Ok(file.file.commit()?)
}

impl OmeTiff {
    /// Refuses what no file can hold.
    pub(super) fn check(&self, path: &Path) -> Result<(), ImageError> {
        let (height, width) = self.size;
        let fits = |side: usize| side > 0 && i32::try_from(side).is_ok();
        if !fits(height) || !fits(width) {
            return Err(self.misuse(path, &format!("is {height} x {width} pixels")));
        }
        match self.planes == 0 || self.times == 0 || self.channels.is_empty() {
            true => Err(self.misuse(path, "has no plane at all")),
            false => Ok(()),
        }
    }

    pub(super) fn misuse(&self, path: &Path, what: &str) -> ImageError {
        ImageError::Misuse {
            what: format!("`{}` cannot hold an image that {what}", path.display()),
            way_out: "check what it is made from".into(),
        }
    }

    /// All planes in the order of the file.
    pub(super) fn places(&self) -> impl Iterator<Item = PlaneOf> {
        let (planes, channels) = (self.planes, self.channels.len());
        let of_time = move |time| {
            let of_channel = move |channel| (0..planes).map(move |z| PlaneOf { z, channel, time });
            (0..channels).flat_map(of_channel)
        };
        (0..self.times).flat_map(of_time)
    }

    /// A plane, or rows of it, of that size in the type of the file.
    pub(super) fn fitting(
        &self,
        path: &Path,
        place: PlaneOf,
        samples: Samples,
        size: (usize, usize),
    ) -> Result<Samples, ImageError> {
        let PlaneOf { z, channel, time } = place;
        let refused = |what: String| ImageError::Misuse {
            what: format!(
                "`{}` cannot hold plane {z} of channel number {channel} at time {time} (all from \
                 0): {what}",
                path.display()
            ),
            way_out: "write it to a file of its own".into(),
        };
        if samples.size() != size {
            let ((height, width), (rows, columns)) = (samples.size(), size);
            return Err(refused(format!(
                "it is {height} x {width} pixels, and the image {rows} x {columns}"
            )));
        }
        samples.into_type(self.pixel_type).ok_or_else(|| {
            refused(format!(
                "`{}` does not hold all of its values",
                self.pixel_type.name()
            ))
        })
    }

    /// The directory of a level with what it says of its pixels.
    fn described<T: Sample>(&self, mut directory: Directory, number: usize) -> Directory {
        let bits = 8 * T::TYPE.bytes() as u16;
        directory.put(directory::NEW_SUBFILE_TYPE, Value::long(number.min(1)));
        directory.put(directory::BITS_PER_SAMPLE, Value::Short(bits));
        let format = if T::TYPE == PixelType::F32 { 3 } else { 1 };
        directory.put(directory::SAMPLE_FORMAT, Value::Short(format));
        let predictor = if T::DIFFERENCES { 2 } else { 1 };
        directory.put(directory::PREDICTOR, Value::Short(predictor));
        if let Some(um) = self.pixel_um.filter(|um| um.is_finite() && *um > 0.0) {
            let factor = 2_f64.powi(i32::try_from(number).unwrap_or(0));
            directory.put_pixel_size(um * factor);
        }
        directory
    }

    /// The side of the square tiles, the same at all levels.
    fn tile(&self) -> usize {
        let (height, width) = self.size;
        height.max(width).next_multiple_of(TILE_STEP).min(TILE)
    }

    /// The sizes of all levels, the full one first.
    fn levels(&self) -> Vec<(usize, usize)> {
        let mut levels = vec![self.size];
        let (mut height, mut width) = self.size;
        if height.max(width) > PYRAMID_ABOVE {
            while height.max(width) > TILE {
                (height, width) = (height.div_ceil(2), width.div_ceil(2));
                levels.push((height, width));
            }
        }
        levels
    }

    /// Whether 32 bits are enough for offsets.
    fn form(&self) -> Form {
        let tile = self.tile();
        let tiles = |&(height, width): &(usize, usize)| {
            height.div_ceil(tile) as u64 * width.div_ceil(tile) as u64
        };
        let tiles: u64 = self.levels().iter().map(tiles).sum();
        let each = (tile * tile * self.pixel_type.bytes()) as u64;
        let planes = [self.planes, self.channels.len(), self.times];
        let bytes = planes.iter().fold(tiles.saturating_mul(each), |all, &n| {
            all.saturating_mul(n as u64)
        });
        match bytes > BIG_TIFF_BYTES {
            true => Form::Big,
            false => Form::Classic,
        }
    }
}

/// The file while it is written.
struct File {
    file: AtomicFile,
    form: Form,
    /// Bytes written until now.
    at: u64,
}

impl File {
    fn create(path: &Path, form: Form) -> Result<Self, ImageError> {
        let file = AtomicFile::create(path)?;
        let mut created = Self { file, form, at: 0 };
        // Its place; where the first directory lies is known at the end.
        let header = form.header(0);
        match created.put(&header) {
            Ok(_) => Ok(created),
            Err(error) => Err(ImageError::write(path, error)),
        }
    }

    /// Appends bytes and says where they lie.
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<u64> {
        self.file.write_all(bytes)?;
        let at = self.at;
        self.at += bytes.len() as u64;
        Ok(at)
    }

    /// Begins at a place where directories may lie.
    fn align(&mut self) -> std::io::Result<()> {
        let gap = self.at.next_multiple_of(directory::ALIGNMENT) - self.at;
        self.put(&vec![0; gap as usize]).map(drop)
    }

    /// Writes a plane and its smaller levels with their directories, and gives its own.
    fn put_plane<T: Sample>(
        &mut self,
        plane: &Image<T>,
        image: &OmeTiff,
    ) -> std::io::Result<Directory> {
        let mut page = self.put_level(plane, image, 0)?;
        let mut smaller = Vec::new();
        let mut shrunk: Option<Image<T>> = None;
        for _ in image.levels().iter().skip(1) {
            let level = shrink(shrunk.as_ref().unwrap_or(plane), image.shrink);
            let directory = self.put_level(&level, image, 1 + smaller.len())?;
            self.align()?;
            let bytes = directory.bytes(self.form, self.at, 0)?;
            smaller.push(self.put(&bytes)?);
            shrunk = Some(level);
        }
        if !smaller.is_empty() {
            page.put(directory::SUB_IFDS, Value::Directories(smaller));
        }
        Ok(page)
    }

    /// Writes the tiles of one level, and gives the directory that lists them.
    fn put_level<T: Sample>(
        &mut self,
        level: &Image<T>,
        image: &OmeTiff,
        number: usize,
    ) -> std::io::Result<Directory> {
        let ((height, width), tile) = (level.size(), image.tile());
        let (mut offsets, mut counts) = (Vec::new(), Vec::new());
        for y in (0..height).step_by(tile) {
            for x in (0..width).step_by(tile) {
                let bytes = compressed(&tile_bytes(level, (y, x), tile))?;
                counts.push(bytes.len() as u64);
                offsets.push(self.put(&bytes)?);
            }
        }
        let directory = Directory::of_tiles((height, width), tile, offsets, counts);
        Ok(image.described::<T>(directory, number))
    }

    /// Writes the directories of the full planes, and the header that says where they begin.
    fn finish(&mut self, pages: &[Directory]) -> std::io::Result<()> {
        self.align()?;
        let first = self.at;
        for (number, page) in pages.iter().enumerate() {
            let next = match number + 1 < pages.len() {
                true => self.at + page.size(self.form),
                false => 0,
            };
            let bytes = page.bytes(self.form, self.at, next)?;
            self.put(&bytes)?;
        }
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&self.form.header(first))
    }
}

/// The pixels of a tile as the file has them before they are compressed; those beyond the image
/// are zeros.
fn tile_bytes<T: Sample>(level: &Image<T>, (y, x): (usize, usize), tile: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(tile * tile * T::TYPE.bytes());
    let rows = y..(y + tile).min(level.height());
    let columns = x..(x + tile).min(level.width());
    for row in rows {
        let mut before = T::default();
        for &value in &level.row(row)[columns.clone()] {
            value.since(before).put(&mut bytes);
            before = value;
        }
        for _ in columns.len()..tile {
            T::default().since(before).put(&mut bytes);
            before = T::default();
        }
    }
    bytes.resize(tile * tile * T::TYPE.bytes(), 0);
    bytes
}

fn compressed(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// A level of half the size, rounded up.
fn shrink<T: Sample>(level: &Image<T>, how: Shrink) -> Image<T> {
    let (height, width) = level.size();
    Image::from_fn(height.div_ceil(2), width.div_ceil(2), |y, x| {
        let (y, x) = (2 * y, 2 * x);
        let last = ((y + 1).min(height - 1), (x + 1).min(width - 1));
        match how {
            Shrink::Nearest => level.get(y, x),
            // At a rim of odd length pixels count twice, which leaves their mean as it is.
            Shrink::Mean => T::mean([
                level.get(y, x),
                level.get(y, last.1),
                level.get(last.0, x),
                level.get(last.0, last.1),
            ]),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(size: (usize, usize), planes: usize) -> OmeTiff {
        OmeTiff {
            name: "f".into(),
            text: String::new(),
            size,
            planes,
            times: 1,
            channels: vec![String::new()],
            pixel_type: PixelType::U16,
            pixel_um: None,
            z_step_um: None,
            shrink: Shrink::Mean,
        }
    }

    #[test]
    fn levels_halve_down_to_a_tile_where_the_image_is_large() {
        assert_eq!(image((4096, 100), 1).levels(), [(4096, 100)]);
        let levels = image((4097, 9), 1).levels();
        assert_eq!(
            levels,
            [(4097, 9), (2049, 5), (1025, 3), (513, 2), (257, 1)]
        );
    }

    #[test]
    fn tiles_are_no_larger_than_the_image_needs() {
        let sides = [1, 16, 17, 511, 4000].map(|side| image((side, 1), 1).tile());
        assert_eq!(sides, [16, 16, 32, 512, 512]);
    }

    #[test]
    fn large_files_have_offsets_of_64_bits() {
        // 8 MiB a plane.
        assert_eq!(image((2048, 2048), 460).form(), Form::Classic);
        assert_eq!(image((2048, 2048), 470).form(), Form::Big);
    }

    #[test]
    fn means_and_nearest_pixels_at_an_odd_rim() {
        let level = Image::new(3, 3, vec![0_u8, 2, 9, 4, 6, 9, 1, 2, 250]);
        assert_eq!(shrink(&level, Shrink::Mean).data(), [3, 9, 2, 250]);
        assert_eq!(shrink(&level, Shrink::Nearest).data(), [0, 9, 1, 250]);
    }
}
