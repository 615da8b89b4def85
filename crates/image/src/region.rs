//! A part of a plane.

/// A window of a plane in pixels; its first corner is `(y, x)`, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First row.
    pub y: usize,
    /// First column.
    pub x: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Region {
    /// All of a plane of `(height, width)`.
    pub fn whole((height, width): (usize, usize)) -> Self {
        let (y, x) = (0, 0);
        Self {
            y,
            x,
            height,
            width,
        }
    }

    /// Whether it has pixels, all of them in a plane of `(height, width)`.
    pub(crate) fn lies_in(&self, (height, width): (usize, usize)) -> bool {
        let inside = |from: usize, count: usize, side: usize| {
            count > 0 && from.checked_add(count).is_some_and(|end| end <= side)
        };
        inside(self.y, self.height, height) && inside(self.x, self.width, width)
    }
}
