//! The line between two nuclei that touch or nearly touch.
//!
//! The cut line of a and b holds the pixels that are about equally near to both: the Euclidean
//! distances to a and to b (0 inside) differ by at most 1 and neither is above 3 px. It exists
//! whether the two touch or leave a gap of up to 6 px.
//!
//! Distances are measured only in the rectangle that both nuclei reach (`near`).

use stainfree_image::Image;

use crate::extent::Extent;
use crate::near::{FAR, FARTHEST, REACH, spread};
use crate::places::Places;

/// Draws cut lines on one label image.
pub(crate) struct Cutter<'a> {
    labels: &'a Image<u32>,
    /// Scratch of `spread`.
    along: Vec<u8>,
    /// Squared distances to the two nuclei.
    to: [Vec<u8>; 2],
    /// Squared distances that are about equal, by `a * 10 + b`.
    about_equal: [bool; 100],
}

impl<'a> Cutter<'a> {
    pub(crate) fn new(labels: &'a Image<u32>) -> Self {
        let root = |squared: usize| (squared as f64).sqrt();
        Self {
            labels,
            along: Vec::new(),
            to: [Vec::new(), Vec::new()],
            // Roots of small squares are exact, so a difference of exactly 1 is seen as such.
            about_equal: std::array::from_fn(|i| (root(i / 10) - root(i % 10)).abs() <= 1.0),
        }
    }

    /// The line between the labels `a` and `b`, which lie in the given extents.
    pub(crate) fn line(&mut self, a: u32, in_a: &Extent, b: u32, in_b: &Extent) -> Places {
        let (height, width) = self.labels.size();
        let reached = |extent: &Extent| extent.grown(REACH, height, width);
        let window = reached(in_a).intersection(&reached(in_b));
        let mut line = Places::default();
        if window.top >= window.bottom || window.left >= window.right {
            return line;
        }
        for (label, which) in [(a, 0), (b, 1)] {
            self.measure(label, which, &window);
        }
        let stride = window.right - window.left + 2 * REACH;
        for y in window.top..window.bottom {
            let start = (y - window.top + REACH) * stride + REACH;
            let row = start..start + window.right - window.left;
            let pairs = self.to[0][row.clone()].iter().zip(&self.to[1][row]);
            for (x, (&a, &b)) in (window.left..).zip(pairs) {
                if a.max(b) <= FARTHEST && self.about_equal[usize::from(a) * 10 + usize::from(b)] {
                    line.push(y, x);
                }
            }
        }
        line
    }

    /// Squared distances to `label` into `to[which]`, over `window` with a frame of [`REACH`]
    /// pixels.
    fn measure(&mut self, label: u32, which: usize, window: &Extent) {
        let (height, width) = self.labels.size();
        let stride = window.right - window.left + 2 * REACH;
        let size = (window.bottom - window.top + 2 * REACH) * stride;
        let (along, to) = (&mut self.along, &mut self.to[which]);
        // Membership: 0 inside the nucleus.
        to.clear();
        to.resize(size, FAR);
        let (left, right) = (
            window.left.saturating_sub(REACH),
            (window.right + REACH).min(width),
        );
        for y in window.top.saturating_sub(REACH)..(window.bottom + REACH).min(height) {
            let start = (y + REACH - window.top) * stride + left + REACH - window.left;
            let pixels = &self.labels.row(y)[left..right];
            for (inside, &here) in to[start..].iter_mut().zip(pixels) {
                *inside = if here == label { 0 } else { FAR };
            }
        }
        spread(to, along, stride);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::labels;
    use crate::extent::extents;

    /// The line between labels 1 and 2 as a picture.
    fn drawn(rows: &[&str]) -> Vec<String> {
        let image = labels(rows);
        let extents = extents(&image, &[1, 2]);
        let line = Cutter::new(&image).line(1, &extents[0], 2, &extents[1]);
        let pixel = |y: usize, x: usize| {
            if line.contains(y, x) { '#' } else { '.' }
        };
        (0..image.height())
            .map(|y| (0..image.width()).map(|x| pixel(y, x)).collect())
            .collect()
    }

    #[test]
    fn touching_nuclei_have_the_pixels_on_both_sides_of_their_border() {
        assert_eq!(drawn(&["111222", "111222"]), ["..##..", "..##.."]);
    }

    #[test]
    fn a_gap_has_the_pixels_in_its_middle() {
        assert_eq!(drawn(&["11.22"]), ["..#.."]);
        assert_eq!(drawn(&["11..22"]), ["..##.."]);
        assert_eq!(drawn(&["1......2"]), ["........"], "6 between: 3 and 4 px");
        assert_eq!(drawn(&["1.....2"]), ["...#..."], "5 between: 3 px to both");
        // Beyond the ends as far as both are within 3 px: sqrt(4) and sqrt(8) differ by less than
        // 1.
        assert_eq!(
            drawn(&["...", "...", "...", "1.2", "..."]),
            ["...", "###", ".#.", ".#.", ".#."]
        );
    }
}
