//! The area of the convex hull of a set of pixels.

/// Area of the convex hull of `pixels`, in pixels; indices in raster order into an image `width` wide.
///
/// A pixel counts with the middles of its four edges, as in `skimage.morphology.convex_hull_image`
/// with `offset_coordinates`, so the hull of one straight row of n pixels has the area n - 1/2.
///
/// # Source
/// Andrew (1979), "Another efficient algorithm for convex hulls in two dimensions".
pub(super) fn hull_area(pixels: &[u32], width: usize) -> f64 {
    let points = corners(pixels, width);
    let lower = chain(points.iter().copied());
    let upper = chain(points.iter().rev().copied());
    let ring: Vec<(i64, i64)> = lower.into_iter().chain(upper).collect();
    let twice: i64 = (0..ring.len())
        .map(|i| {
            let (p, q) = (ring[i], ring[(i + 1) % ring.len()]);
            p.0 * q.1 - p.1 * q.0
        })
        .sum();
    // Coordinates are doubled, so the area is four times as large, and the sum twice that.
    twice.abs() as f64 / 8.0
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
    use super::hull_area;

    #[test]
    fn a_bend_counts_its_hollow() {
        // One pixel is a diamond of half its area; a row of 4 has two half ends.
        assert_eq!(hull_area(&[0], 10), 0.5);
        assert_eq!(hull_area(&[0, 1, 2, 3], 10), 3.5);
        // The hull of an L of three pixels: its diamonds, and what lies between them.
        //   # .
        //   # #
        assert_eq!(hull_area(&[0, 10, 11], 10), 2.5);
    }
}
