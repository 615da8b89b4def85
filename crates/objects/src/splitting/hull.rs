//! The convex hull of a set of pixels.

/// A convex hull; its corners `(y, x)` are doubled, in order around it.
#[derive(Clone, Debug)]
pub(super) struct Hull(Vec<(i64, i64)>);

impl Hull {
    /// Of `pixels`: indices in raster order into an image `width` wide.
    ///
    /// A pixel counts with the middles of its four edges, as in `skimage.morphology.convex_hull_image`
    /// with `offset_coordinates`, so the hull of one straight row of n pixels has the area n - 1/2.
    ///
    /// # Source
    /// Andrew (1979), "Another efficient algorithm for convex hulls in two dimensions".
    pub(super) fn of(pixels: &[u32], width: usize) -> Self {
        let points = corners(pixels, width);
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

/// The points that can lie on the hull, `(y, x)` doubled, sorted: both ends of every row.
fn corners(pixels: &[u32], width: usize) -> Vec<(i64, i64)> {
    let mut points = Vec::new();
    let mut rows = pixels.chunk_by(|&a, &b| a as usize / width == b as usize / width);
    while let Some([first, .., last] | [first @ last]) = rows.next() {
        let y = 2 * (*first as usize / width) as i64;
        let ends = [first, last].map(|&i| 2 * (i as usize % width) as i64);
        points.extend([(y, ends[0] - 1), (y, ends[1] + 1)]);
        for x in ends {
            points.extend([(y - 1, x), (y + 1, x)]);
        }
    }
    points.sort_unstable();
    points.dedup();
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
    use super::Hull;

    #[test]
    fn a_bend_counts_its_hollow() {
        let area = |pixels: &[u32]| Hull::of(pixels, 10).area();
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
        pixels.sort_unstable();
        let hull = Hull::of(&pixels, 10);
        // The upper side of the middle pixel, 2 pixels below the upper sides of the ends and above the lowest side.
        assert_eq!(hull.depth((3, 4)), 2.0);
        assert_eq!(hull.depth((5, 4)), 1.0);
        assert_eq!(hull.depth((7, 4)), 0.0);
        assert_eq!(hull.depth((-1, 0)), 0.0);
    }
}
