//! The convex hull of a set of pixels.

use crate::bits::Run;

/// Pixels by the ends of their rows: all that a hull needs to know of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Extent {
    top: usize,
    /// First and last column of every row from `top` on; the wrong way round where a row has no
    /// pixels.
    rows: Vec<(u32, u32)>,
}

/// A row without pixels.
const NO_PIXELS: (u32, u32) = (u32::MAX, 0);

impl Extent {
    /// Adds a run of row `y`.
    pub(super) fn add(&mut self, y: usize, run: Run) {
        self.join(y, &[(run.from, run.to - 1)]);
    }

    /// Adds the pixels of `other`.
    pub(super) fn unite(&mut self, other: &Extent) {
        self.join(other.top, &other.rows);
    }

    fn join(&mut self, top: usize, rows: &[(u32, u32)]) {
        if self.rows.is_empty() {
            self.top = top;
        }
        if top < self.top {
            let more = std::iter::repeat_n(NO_PIXELS, self.top - top);
            self.rows.splice(0..0, more);
            self.top = top;
        }
        let first = top - self.top;
        let end = self.rows.len().max(first + rows.len());
        self.rows.resize(end, NO_PIXELS);
        for (here, &there) in self.rows[first..].iter_mut().zip(rows) {
            *here = wider(*here, there);
        }
    }
}

/// Both ends of two rows together.
fn wider(a: (u32, u32), b: (u32, u32)) -> (u32, u32) {
    (a.0.min(b.0), a.1.max(b.1))
}

/// A convex hull; its corners `(y, x)` are doubled, in order around it.
#[derive(Clone, Debug)]
pub(super) struct Hull(Vec<(i64, i64)>);

impl Hull {
    /// Of the pixels of `extent`.
    ///
    /// A pixel counts with the middles of its four edges, as in
    /// `skimage.morphology.convex_hull_image` with `offset_coordinates`, so the hull of one
    /// straight row of n pixels has the area n - 1/2.
    ///
    /// # Source
    /// Andrew (1979), "Another efficient algorithm for convex hulls in two dimensions".
    pub(super) fn of(extent: &Extent) -> Self {
        let points = corners(extent);
        let lower = chain(points.iter().copied());
        let upper = chain(points.iter().rev().copied());
        Self(lower.into_iter().chain(upper).collect())
    }

    /// In pixels.
    pub(super) fn area(&self) -> f64 {
        let twice: i64 = self.sides().map(|(p, q)| p.0 * q.1 - p.1 * q.0).sum();
        // Coordinates are doubled, so the area is four times as large, and the sum twice that.
        twice.abs() as f64 / 8.0
    }

    /// How far a point of the hull, `(y, x)` doubled, lies below its nearest side, in pixels.
    pub(super) fn depth(&self, (y, x): (i64, i64)) -> f64 {
        let below = |(p, q): ((i64, i64), (i64, i64))| {
            let (dy, dx) = (q.0 - p.0, q.1 - p.1);
            let length = (dy as f64).hypot(dx as f64);
            ((y - p.0) * dx - (x - p.1) * dy).abs() as f64 / length / 2.0
        };
        self.sides().map(below).fold(f64::INFINITY, f64::min)
    }

    fn sides(&self) -> impl Iterator<Item = ((i64, i64), (i64, i64))> {
        let ring = &self.0;
        (0..ring.len()).map(|i| (ring[i], ring[(i + 1) % ring.len()]))
    }
}

/// The points that can lie on the hull, `(y, x)` doubled, sorted: both ends of every row of pixels,
/// and of every row of edges above and below them.
fn corners(extent: &Extent) -> Vec<(i64, i64)> {
    let mut points = Vec::with_capacity(4 * extent.rows.len() + 2);
    let mut add = |y: i64, (from, to): (u32, u32), beyond: i64| {
        if from <= to {
            let (from, to) = (2 * i64::from(from) - beyond, 2 * i64::from(to) + beyond);
            points.push((y, from));
            points.extend((to > from).then_some((y, to)));
        }
    };
    let mut above = NO_PIXELS;
    let mut y = 2 * extent.top as i64;
    for &row in extent.rows.iter().chain([&NO_PIXELS]) {
        add(y - 1, wider(above, row), 0);
        add(y, row, 1);
        above = row;
        y += 2;
    }
    points
}

/// One side of the hull of sorted points, without its last point.
fn chain(points: impl Iterator<Item = (i64, i64)>) -> Vec<(i64, i64)> {
    let turn = |o: (i64, i64), a: (i64, i64), b: (i64, i64)| {
        (a.0 - o.0) * (b.1 - o.1) - (a.1 - o.1) * (b.0 - o.0)
    };
    let mut side: Vec<(i64, i64)> = Vec::new();
    for p in points {
        while side.len() >= 2 && turn(side[side.len() - 2], side[side.len() - 1], p) <= 0 {
            side.pop();
        }
        side.push(p);
    }
    side.pop();
    side
}

#[cfg(test)]
mod tests {
    use super::{Extent, Hull};
    use crate::bits::Run;

    /// The hull of pixels given by their indices in an image 10 wide.
    fn hull(pixels: &[usize]) -> Hull {
        let mut extent = Extent::default();
        for &i in pixels {
            let from = i as u32 % 10;
            extent.add(i / 10, Run { from, to: from + 1 });
        }
        Hull::of(&extent)
    }

    #[test]
    fn a_bend_counts_its_hollow() {
        let area = |pixels: &[usize]| hull(pixels).area();
        // One pixel is a diamond of half its area; a row of 4 has two half ends.
        assert_eq!(area(&[0]), 0.5);
        assert_eq!(area(&[0, 1, 2, 3]), 3.5);
        // The hull of an L of three pixels: its diamonds, and what lies between them.
        //   # .
        //   # #
        assert_eq!(area(&[0, 10, 11]), 2.5);
    }

    #[test]
    fn a_dent_is_as_deep_as_it_lies_below_the_hull() {
        //   # . . . #
        //   # . . . #
        //   # # # # #
        //   # # # # #
        let rows = [20, 21, 22, 23, 24].map(|i| [i, i + 10]);
        let mut pixels = [&[0, 4, 10, 14], rows.as_flattened()].concat();
        // In no order: rows are put where they belong.
        pixels.rotate_left(5);
        let hull = hull(&pixels);
        // The upper side of the middle pixel, 2 pixels below the upper sides of the ends and above
        // the lowest side.
        assert_eq!(hull.depth((3, 4)), 2.0);
        assert_eq!(hull.depth((5, 4)), 1.0);
        assert_eq!(hull.depth((7, 4)), 0.0);
        assert_eq!(hull.depth((-1, 0)), 0.0);
    }
}
