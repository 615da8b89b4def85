//! Tiles of labels, each with a border of its neighbours, so that outlines close across tiles.

use std::path::PathBuf;
use std::sync::Arc;

use stainfree_image::{Image, Plane, Region, read_labels, read_region};

use super::{TileAt, side};
use crate::ViewError;

/// Pixels around a tile; outlines are at most so wide in pixels of the level.
pub(crate) const BORDER: usize = 2;

/// Label images of at most so many pixels are read whole.
pub(crate) const WHOLE_PX: usize = 1 << 24;

/// Most pixels that are read at once of larger ones.
const AT_ONCE_PX: usize = 1 << 24;

/// Where labels are.
#[derive(Clone, Debug)]
pub(crate) enum LabelPixels {
    /// In memory.
    Whole(Arc<Image<u32>>),
    /// In a file of this size, too large to be held.
    File(PathBuf, (usize, usize)),
    /// Which of two layers of one size has an object: 1 the first alone, 2 the second, 3 both.
    Difference(Box<LabelPixels>, Box<LabelPixels>),
}

impl LabelPixels {
    /// Rows and columns.
    pub(crate) fn size(&self) -> (usize, usize) {
        match self {
            Self::Whole(image) => image.size(),
            Self::File(_, size) => *size,
            Self::Difference(first, _) => first.size(),
        }
    }

    /// A window of it.
    ///
    /// # Errors
    /// The file cannot be read, or holds no labels.
    pub(crate) fn window(&self, region: Region) -> Result<Image<u32>, ViewError> {
        let Region {
            y,
            x,
            height,
            width,
        } = region;
        let path = match self {
            Self::Whole(image) => return Ok(image.crop(y, x, height, width)),
            Self::File(path, _) => path,
            Self::Difference(first, second) => {
                let (first, second) = (first.window(region)?, second.window(region)?);
                return Ok(Image::from_fn(height, width, |y, x| {
                    u32::from(first.get(y, x) != 0) + 2 * u32::from(second.get(y, x) != 0)
                }));
            }
        };
        match read_region(path, 0, region) {
            Ok(Plane::U8(part)) => Ok(part.map(|&v| u32::from(v))),
            Ok(Plane::U16(part)) => Ok(part.map(|&v| u32::from(v))),
            Ok(Plane::F32(part)) if part.data().iter().all(|v| *v >= 0.0 && v.fract() == 0.0) => {
                Ok(part.map(|&v| v as u32))
            }
            // Numbers beyond 2^24, or no labels at all: the reader of labels knows, or says why.
            _ => Ok(read_labels(path)?.crop(y, x, height, width)),
        }
    }
}

/// A tile of labels with its border: `(height + 4) x (width + 4)`; beyond the rim of the image the
/// border repeats it.
///
/// # Errors
/// There is no such tile, or the labels cannot be read.
pub(crate) fn label_tile(labels: &LabelPixels, at: TileAt) -> Result<Image<u32>, ViewError> {
    let size = labels.size();
    let (y, x, height, width) = at.window(size)?;
    let (step, middle) = (1usize << at.level, (1usize << at.level) / 2);
    // Places at full resolution of the rows or columns of the tile.
    let places = |first: usize, count: usize, full: usize| -> Vec<usize> {
        let last = side(full, at.level) - 1;
        let number = |i: usize| (first + i).saturating_sub(BORDER).min(last);
        let place = |i: usize| (number(i) * step + middle).min(full - 1);
        (0..count + 2 * BORDER).map(place).collect()
    };
    let rows = places(y, height, size.0);
    let columns = places(x, width, size.1);
    let (left, right) = (columns[0], columns[columns.len() - 1]);
    let mut tile = Image::filled(rows.len(), columns.len(), 0);
    let band = (AT_ONCE_PX / (right - left + 1) / step).max(1);
    for (first, rows) in rows.chunks(band).enumerate() {
        let (top, bottom) = (rows[0], rows[rows.len() - 1]);
        let part = labels.window(Region {
            y: top,
            x: left,
            height: bottom - top + 1,
            width: right - left + 1,
        })?;
        for (row, &y) in rows.iter().enumerate() {
            let from = part.row(y - top);
            let to = tile.row_mut(first * band + row);
            for (to, &x) in to.iter_mut().zip(&columns) {
                *to = from[x - left];
            }
        }
    }
    Ok(tile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_says_which_layer_has_an_object() {
        let layer = |row: &[u32]| LabelPixels::Whole(Arc::new(Image::new(1, 4, row.to_vec())));
        let (one, two) = (layer(&[0, 7, 0, 9]), layer(&[0, 0, 3, 4]));
        let difference = LabelPixels::Difference(Box::new(one), Box::new(two));
        let whole = Region {
            y: 0,
            x: 0,
            height: 1,
            width: 4,
        };
        assert_eq!(difference.window(whole).unwrap().data(), [0, 1, 2, 3]);
        assert_eq!(difference.size(), (1, 4));
    }

    #[test]
    fn tiles_with_borders_are_the_labels_and_files_are_as_memory() {
        let folder = tempfile::tempdir().unwrap();
        let (height, width) = (700, 1100);
        // Numbers of both widths that files have.
        let image = Image::from_fn(height, width, |y, x| ((y / 7) * 997 + x / 5) as u32);
        let path = folder.path().join("a.tif");
        stainfree_image::write::labels(&path, &image, &Default::default()).unwrap();
        let whole = LabelPixels::Whole(Arc::new(image.clone()));
        let file = LabelPixels::File(path, (height, width));
        for (level, y, x) in [(0, 0, 0), (0, 1, 2), (1, 0, 1), (2, 0, 0)] {
            let at = TileAt { level, y, x };
            let tile = label_tile(&whole, at).unwrap();
            assert_eq!(tile, label_tile(&file, at).unwrap(), "{at:?}");
            let (y0, x0, h, w) = at.window((height, width)).unwrap();
            assert_eq!(tile.size(), (h + 2 * BORDER, w + 2 * BORDER));
            let (step, middle) = (1 << level, (1 << level) / 2);
            for (i, j) in [(0, 0), (h - 1, w - 1), (h / 2, w / 3)] {
                let y = ((y0 + i) * step + middle).min(height - 1);
                let x = ((x0 + j) * step + middle).min(width - 1);
                let found = tile.get(i + BORDER, j + BORDER);
                assert_eq!(found, image.get(y, x), "{at:?}");
            }
        }
        let first = label_tile(
            &whole,
            TileAt {
                level: 0,
                y: 0,
                x: 1,
            },
        )
        .unwrap();
        // One row above the image, two columns left of the tile.
        assert_eq!(first.get(0, 0), image.get(0, 510));
    }
}
