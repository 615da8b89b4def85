//! An OME-TIFF whose rows come one after the other, so that its planes may be larger than memory.
//!
//! Each row of tiles is written as soon as it is full, at every level, so tiles of levels and of
//! channels lie among one another, which the format allows: every directory says where its own lie.
//! Smaller levels take one of 2 x 2 pixels.

use std::path::{Path, PathBuf};

use super::directory::{Directory, IMAGE_DESCRIPTION, SOFTWARE, SUB_IFDS, Value};
use super::{File, OmeTiff, PlaneOf, Sample, compressed, tile_bytes};
use crate::{Image, ImageError};

/// The side of a tile, at most, in an image of that width: a row of them is held of every level, so
/// that wide images have smaller ones.
const fn tile(width: usize) -> usize {
    if width > 16_384 { 128 } else { 256 }
}

/// Rows that are held while such a file of an image of that width is written: those of a row of
/// tiles, and of smaller levels.
pub const fn ome_tiff_rows_held(width: usize) -> usize {
    2 * tile(width)
}

/// Writes an OME-TIFF row by row.
pub struct OmeTiffRows<T> {
    path: PathBuf,
    file: File,
    image: OmeTiff,
    /// By channel, then by level, the full one first.
    pages: Vec<Vec<Level<T>>>,
}

/// One level of a plane while it is written.
struct Level<T> {
    size: (usize, usize),
    tile: usize,
    /// Rows that do not fill a row of tiles yet.
    rows: Vec<T>,
    /// Rows that were given.
    given: usize,
    offsets: Vec<u64>,
    counts: Vec<u64>,
}

impl<T: Sample> OmeTiffRows<T> {
    /// Begins the file of an image of one plane and time for each channel.
    ///
    /// # Errors
    /// [`ImageError::Write`] if the file cannot be made; [`ImageError::Misuse`] if it is to have
    /// several planes or times, another type than `T`, or no pixel.
    pub fn create(path: &Path, image: &OmeTiff) -> Result<Self, ImageError> {
        image.check(path)?;
        if image.planes * image.times != 1 || image.pixel_type != T::TYPE {
            return Err(image.misuse(path, "has several planes or is of another type"));
        }
        let tile = image.tile().min(tile(image.size.1));
        let level = |&size: &(usize, usize)| Level {
            size,
            tile,
            rows: Vec::new(),
            given: 0,
            offsets: Vec::new(),
            counts: Vec::new(),
        };
        let levels = || image.levels().iter().map(level).collect();
        Ok(Self {
            path: path.to_owned(),
            file: File::create(path, image.form())?,
            pages: image.channels.iter().map(|_| levels()).collect(),
            image: image.clone(),
        })
    }

    /// Takes the next rows of a channel.
    ///
    /// # Errors
    /// [`ImageError::Write`] if the file cannot be written; [`ImageError::Misuse`] if rows are of
    /// another width or too many, or there is no such channel.
    pub fn push(&mut self, channel: usize, rows: &Image<T>) -> Result<(), ImageError> {
        let (height, width) = self.image.size;
        let fits = |levels: &&mut Vec<Level<T>>| {
            let given = levels.first().map_or(0, |level| level.given);
            rows.width() == width && given + rows.height() <= height
        };
        let Some(levels) = self.pages.get_mut(channel).filter(fits) else {
            return Err(self.image.misuse(&self.path, "has other rows or channels"));
        };
        for y in 0..rows.height() {
            put_row(&mut self.file, levels, rows.row(y))
                .map_err(|error| ImageError::write(&self.path, error))?;
        }
        Ok(())
    }

    /// Writes what is left, and gives the file its name.
    ///
    /// # Errors
    /// [`ImageError::Write`] if the file cannot be written; [`ImageError::Misuse`] if rows are
    /// missing.
    pub fn finish(mut self) -> Result<(), ImageError> {
        let is_whole =
            |levels: &Vec<Level<T>>| levels.iter().all(|level| level.given == level.size.0);
        if !self.pages.iter().all(is_whole) {
            return Err(self.image.misuse(&self.path, "lacks rows"));
        }
        let written = self.put_directories();
        written.map_err(|error| ImageError::write(&self.path, error))?;
        self.file.file.commit()
    }

    fn put_directories(&mut self) -> std::io::Result<()> {
        let mut pages = Vec::new();
        for levels in std::mem::take(&mut self.pages) {
            let mut directories = levels.into_iter().enumerate().map(|(number, level)| {
                let of = Directory::of_tiles(level.size, level.tile, level.offsets, level.counts);
                self.image.described::<T>(of, number)
            });
            let Some(mut page) = directories.next() else {
                continue;
            };
            let mut smaller = Vec::new();
            for directory in directories {
                self.file.align()?;
                let bytes = directory.bytes(self.file.form, self.file.at, 0)?;
                smaller.push(self.file.put(&bytes)?);
            }
            if !smaller.is_empty() {
                page.put(SUB_IFDS, Value::Directories(smaller));
            }
            pages.push(page);
        }
        let there: Vec<PlaneOf> = self.image.places().collect();
        if let Some(first) = pages.first_mut() {
            first.put(IMAGE_DESCRIPTION, Value::Text(self.image.xml(&there)));
            let program = format!("stainfree {}", env!("CARGO_PKG_VERSION"));
            first.put(SOFTWARE, Value::Text(program));
        }
        self.file.finish(&pages)
    }
}

/// Gives a row to a level and, of two, the first to the smaller ones.
fn put_row<T: Sample>(file: &mut File, levels: &mut [Level<T>], row: &[T]) -> std::io::Result<()> {
    let Some((level, smaller)) = levels.split_first_mut() else {
        return Ok(());
    };
    level.rows.extend_from_slice(row);
    level.given += 1;
    let held = level.rows.len() / level.size.1;
    if held == level.tile || level.given == level.size.0 {
        let rows = Image::new(held, level.size.1, std::mem::take(&mut level.rows));
        for x in (0..level.size.1).step_by(level.tile) {
            let bytes = compressed(&tile_bytes(&rows, (0, x), level.tile))?;
            level.counts.push(bytes.len() as u64);
            level.offsets.push(file.put(&bytes)?);
        }
    }
    if level.given % 2 == 1 && !smaller.is_empty() {
        let half: Vec<T> = row.iter().step_by(2).copied().collect();
        put_row(file, smaller, &half)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::{PYRAMID_ABOVE, PixelType, Samples, Shrink, ome_tiff};
    use crate::{Plane, Region, read_info, read_labels, read_plane, read_region};

    fn image(size: (usize, usize), channels: usize, pixel_type: PixelType) -> OmeTiff {
        OmeTiff {
            name: "f".into(),
            text: "stainfree test".into(),
            size,
            planes: 1,
            times: 1,
            channels: (0..channels).map(|c| format!("c{c}")).collect(),
            pixel_type,
            pixel_um: Some(0.65),
            z_step_um: None,
            shrink: Shrink::Nearest,
        }
    }

    #[test]
    fn rows_are_the_pixels_and_levels_of_the_planes() {
        let folder = tempfile::tempdir().unwrap();
        let [rows, planes] = ["rows.tif", "planes.tif"].map(|name| folder.path().join(name));
        // Higher than a row of tiles, and wide enough for levels.
        let (height, width) = (700, PYRAMID_ABOVE + 77);
        let whole = Image::from_fn(height, width, |y, x| (y * 7919 + x * 31) as u32 % 70_000);
        let said = image(whole.size(), 2, PixelType::U32);
        let mut file = OmeTiffRows::<u32>::create(&rows, &said).unwrap();
        for (y, step) in [(0, 300), (300, 1), (301, 399)] {
            let part = whole.crop(y, 0, step, width);
            file.push(0, &part).unwrap();
            file.push(1, &part.map(|v| v / 2)).unwrap();
        }
        file.finish().unwrap();
        let plane = |place: PlaneOf| -> Result<_, ImageError> {
            let divisor = 1 + place.channel as u32;
            Ok(Some(Samples::U32(whole.map(|v| v / divisor))))
        };
        ome_tiff(&planes, &said, plane).unwrap();
        for page in 0..2 {
            assert_eq!(
                read_plane(&rows, page).unwrap(),
                read_plane(&planes, page).unwrap()
            );
        }
        let [of_rows, of_planes] = [&rows, &planes].map(|path| read_info(path).unwrap());
        assert_eq!(of_rows, of_planes);
        let region = Region {
            y: 250,
            x: 4000,
            height: 20,
            width: 100,
        };
        let Plane::F32(part) = read_region(&rows, 0, region).unwrap() else {
            panic!("32-bit integers are read as floats")
        };
        assert_eq!(part, whole.crop(250, 4000, 20, 100).map(|&v| v as f32));
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tif");
        let said = image((3, 2), 1, PixelType::U32);
        let mut file = OmeTiffRows::<u32>::create(&path, &said).unwrap();
        file.push(0, &Image::filled(2, 2, 7)).unwrap();
        assert!(file.push(0, &Image::filled(2, 2, 7)).is_err(), "too many");
        assert!(file.push(1, &Image::filled(1, 2, 7)).is_err(), "no channel");
        assert!(file.finish().is_err() && !path.exists(), "a row is missing");
        let mut file = OmeTiffRows::<u32>::create(&path, &said).unwrap();
        file.push(0, &Image::filled(3, 2, 70_000)).unwrap();
        file.finish().unwrap();
        assert_eq!(read_labels(&path).unwrap(), Image::filled(3, 2, 70_000));
        assert!(
            OmeTiffRows::<u8>::create(&path, &said).is_err(),
            "another type"
        );
    }
}
