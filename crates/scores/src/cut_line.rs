//! The line between two nuclei, and how far apart two such lines are.
//!
//! The cut line of a and b holds the pixels that are about equally near to both: the Euclidean
//! distances to a and to b (0 inside) differ by at most 1 and neither is above 3 px. It exists
//! whether the two touch or leave a gap of up to 6 px.
//!
//! Distances are made in the rectangle that both nuclei reach, squared and in bytes: first along the
//! rows, then down the columns (Euclidean distances are separable), each the least of seven shifts.

use stainfree_image::Image;

use crate::extent::Extent;

/// Largest distance of a pixel of the line to either nucleus.
const REACH: usize = 3;

/// Squares of the shifts of a pass.
const SQUARES: [u8; 2 * REACH + 1] = [9, 4, 1, 0, 1, 4, 9];

/// Stands for a distance out of reach; two squared shifts more still fit a byte.
const FAR: u8 = 100;

/// A line: its pixels row by row, and where each row begins.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// First row.
    top: i32,
    /// Row `top + i` has the columns `starts[i]..starts[i + 1]` of `columns`.
    starts: Vec<usize>,
    /// Columns of the pixels, ascending within a row.
    columns: Vec<i32>,
}

impl Line {
    fn new(top: i32) -> Self {
        Self {
            top,
            starts: vec![0],
            columns: Vec::new(),
        }
    }

    fn end_row(&mut self) {
        self.starts.push(self.columns.len());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Rows with their columns, from the top.
    fn rows(&self) -> impl Iterator<Item = (i32, &[i32])> {
        let row = |i: usize| &self.columns[self.starts[i]..self.starts[i + 1]];
        (0..self.starts.len() - 1).map(move |i| (self.top + i as i32, row(i)))
    }

    /// Columns of the row `y`.
    fn row(&self, y: i32) -> &[i32] {
        let i = (y - self.top) as usize;
        &self.columns[self.starts[i]..self.starts[i + 1]]
    }

    /// The row below the last.
    fn bottom(&self) -> i32 {
        self.top + self.starts.len() as i32 - 1
    }
}

/// Draws cut lines on one label image.
pub(crate) struct Cutter<'a> {
    labels: &'a Image<u32>,
    /// Scratch of the two passes.
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
    pub(crate) fn line(&mut self, a: u32, in_a: &Extent, b: u32, in_b: &Extent) -> Line {
        let (height, width) = self.labels.size();
        let reached = |extent: &Extent| extent.grown(REACH, height, width);
        let window = reached(in_a).intersection(&reached(in_b));
        let mut line = Line::new(window.top as i32);
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
                if a.max(b) <= SQUARES[0] && self.about_equal[usize::from(a) * 10 + usize::from(b)]
                {
                    line.columns.push(x as i32);
                }
            }
            line.end_row();
        }
        line
    }

    /// Squared distances to `label` into `to[which]`, over `window` with a frame of [`REACH`] pixels.
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
        // Shifts past the end of a row reach only into frames, which nobody reads.
        along.clear();
        along.resize(size, FAR);
        least_of_shifts(along, to, 1);
        to.fill(FAR);
        least_of_shifts(to, along, stride);
    }
}

/// The least of `from` shifted by -3 to 3 times `step`, plus the square of the shift. The first and
/// last three steps of `into` are left alone.
fn least_of_shifts(into: &mut [u8], from: &[u8], step: usize) {
    let inner = REACH * step..from.len() - REACH * step;
    for (i, square) in SQUARES.into_iter().enumerate() {
        let shifted = &from[i * step..];
        for (least, &value) in into[inner.clone()].iter_mut().zip(shifted) {
            *least = (*least).min(value + square);
        }
    }
}

/// Mean of the two directed mean distances to the nearest pixel of the other line, in px. Neither
/// line is empty.
pub(crate) fn distance(one: &Line, other: &Line) -> f64 {
    (mean_nearest(one, other) + mean_nearest(other, one)) / 2.0
}

fn mean_nearest(from: &Line, to: &Line) -> f64 {
    let mut sum = 0.0;
    for (y, columns) in from.rows() {
        sum += columns.iter().map(|&x| nearest(y, x, to)).sum::<f64>();
    }
    sum / from.columns.len() as f64
}

/// Distance to the nearest pixel of `line`, searched from the own row outwards.
fn nearest(y: i32, x: i32, line: &Line) -> f64 {
    let mut best = i64::MAX;
    let start = y.clamp(line.top, line.bottom());
    let mut search = |row: i32| {
        let dy = i64::from(row - y);
        if dy * dy >= best {
            return false;
        }
        let columns = line.row(row);
        let place = columns.partition_point(|&column| column < x);
        for column in &columns[place.saturating_sub(1)..columns.len().min(place + 1)] {
            let dx = i64::from(column - x);
            best = best.min(dy * dy + dx * dx);
        }
        true
    };
    let _ = (start..line.bottom()).all(&mut search);
    let _ = (line.top..start).rev().all(&mut search);
    (best as f64).sqrt()
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
            if line
                .rows()
                .any(|(row, columns)| row == y as i32 && columns.contains(&(x as i32)))
            {
                '#'
            } else {
                '.'
            }
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
        // Beyond the ends as far as both are within 3 px: sqrt(4) and sqrt(8) differ by less than 1.
        assert_eq!(
            drawn(&["...", "...", "...", "1.2", "..."]),
            ["...", "###", ".#.", ".#.", ".#."]
        );
    }

    #[test]
    fn lines_moved_by_two_pixels_are_two_apart() {
        let line = |rows: i32, column: i32| {
            let mut line = Line::new(5);
            for _ in 0..rows {
                line.columns.push(column);
                line.end_row();
            }
            line
        };
        assert_eq!(distance(&line(9, 4), &line(9, 6)), 2.0);
        // One pixel against a line: 0 in one direction, the mean of 0 .. 8 in the other.
        assert_eq!(distance(&line(1, 4), &line(9, 4)), 2.0);
    }
}
