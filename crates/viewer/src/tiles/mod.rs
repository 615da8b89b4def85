//! Images and labels cut into tiles, at full resolution and at levels of half the size each.
//!
//! A tile has at most [`TILE`] pixels a side. Level 0 is the image; a pixel of level `n` is the
//! mean of 2 x 2 of level `n - 1`, or of those of them that there are. Labels cannot be averaged:
//! a pixel of level `n` is the label in the middle of what it covers. What is made is kept in a
//! [`Cache`] within a cap.

mod cache;
mod labels;
mod pyramid;

use stainfree_image::Plane;

pub(crate) use self::cache::Cache;
pub(crate) use self::labels::{BORDER, LabelPixels, WHOLE_PX as LABELS_WHOLE_PX, label_tile};
pub(crate) use self::pyramid::{Images, PlaneAddress};
use crate::ViewError;

/// Most pixels a side of a tile: half a megabyte at 16 bits, a dozen of them on a screen.
pub(crate) const TILE: usize = 512;

/// Which tile of a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TileAt {
    pub(crate) level: u32,
    /// Row and column of the tile.
    pub(crate) y: usize,
    pub(crate) x: usize,
}

/// The levels of an image of `(height, width)`: the last is one tile.
pub(crate) fn levels(size: (usize, usize)) -> u32 {
    let mut levels = 1;
    while side(size.0.max(size.1), levels - 1) > TILE {
        levels += 1;
    }
    levels
}

/// Pixels of a side at a level.
pub(crate) fn side(full: usize, level: u32) -> usize {
    full.div_ceil(1 << level)
}

impl TileAt {
    /// First pixel and size of the tile at its level, `(y, x, height, width)`.
    ///
    /// # Errors
    /// There is no such level or tile.
    pub(crate) fn window(
        self,
        size: (usize, usize),
    ) -> Result<(usize, usize, usize, usize), ViewError> {
        let absent = || {
            ViewError::Absent(format!(
                "an image of {} x {} has no tile {}, {} of level {}",
                size.0, size.1, self.y, self.x, self.level
            ))
        };
        if self.level >= levels(size) || size.0 == 0 || size.1 == 0 {
            return Err(absent());
        }
        let along = |full: usize, number: usize| {
            let side = side(full, self.level);
            let from = number.checked_mul(TILE).filter(|from| *from < side)?;
            Some((from, TILE.min(side - from)))
        };
        let (y, height) = along(size.0, self.y).ok_or_else(absent)?;
        let (x, width) = along(size.1, self.x).ok_or_else(absent)?;
        Ok((y, x, height, width))
    }
}

/// Bytes of the pixels of a plane.
fn bytes_of(plane: &Plane) -> usize {
    let (height, width) = plane.size();
    let each = match plane {
        Plane::U8(_) => 1,
        Plane::U16(_) => 2,
        Plane::F32(_) => 4,
    };
    height * width * each
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_level_is_one_tile_and_none_lies_beyond() {
        for (size, expected) in [
            ((1, 1), 1),
            ((512, 512), 1),
            ((513, 512), 2),
            ((1024, 100), 2),
            ((1025, 1), 3),
            ((40_000, 40_000), 8),
        ] {
            assert_eq!(levels(size), expected, "{size:?}");
        }
        let at = |level, y, x| TileAt { level, y, x }.window((1025, 600)).ok();
        assert_eq!(at(0, 2, 1), Some((1024, 512, 1, 88)));
        assert_eq!(at(1, 1, 0), Some((512, 0, 1, 300)));
        assert_eq!(at(2, 0, 0), Some((0, 0, 257, 150)));
        for absent in [(0, 3, 0), (0, 0, 2), (2, 0, 1), (3, 0, 0), (60, 0, 0)] {
            assert_eq!(at(absent.0, absent.1, absent.2), None, "{absent:?}");
        }
        assert_eq!(at(0, usize::MAX, 0), None);
    }
}
