//! Correlation of a prediction with the truth at every whole-pixel shift.
//!
//! 1. The prediction is cut into tiles, each without its mean: slow parts and the density of cells
//!    do not count, and tiles are what the uncertainty is drawn from where fields are few.
//! 2. A row of truth is runs: inside nuclei (1), and of which anything is known (minus the mean, so
//!    that what is ignored counts as neither). The sum of the prediction under a run that is moved
//!    by `s` is a difference of two prefix sums, so all shifts of a run cost one short loop.
//! 3. `C(s)`, the sum of prediction times truth at `s`, is added up over rows.
//!
//!
//! Not here: what the peak means, which tiles are pooled.

use stainfree_image::Image;

use super::Known;
use crate::shift::LARGEST_SHIFT_PX;

/// Shifts of the table beyond the largest that is looked for, so that its neighbours are there.
pub(super) const REACH: usize = LARGEST_SHIFT_PX + 2;
/// Shifts on a side of the table.
pub(super) const SIDE: usize = 2 * REACH + 1;
/// Side of a tile in pixels, about: several nuclei.
const TILE: usize = 128;
/// Least side of what is compared, pixels: smaller fields say nothing.
const LEAST_SIDE: usize = 32;

/// `C(s)` in raster order, `[SIDE * SIDE]`: of how far the truth lies below, then right.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Surface(pub(super) Vec<f64>);

impl Surface {
    pub(super) fn nothing() -> Self {
        Self(vec![0.0; SIDE * SIDE])
    }

    pub(super) fn add(&mut self, other: &Self, weight: f64) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a += weight * b;
        }
    }
}

/// Pixels `start..end` of a row of truth, and what they count.
struct Run {
    start: usize,
    end: usize,
    weight: f64,
}

/// The tiles of a field; none where it is too small or one side is the same everywhere.
pub(super) fn surfaces(
    probability: &Image<f32>,
    nuclei: &Image<u32>,
    known: &Known,
) -> Vec<Surface> {
    let (height, width) = probability.size();
    let least = 2 * REACH + LEAST_SIDE;
    if height < least || width < least {
        return Vec::new();
    }
    let runs = runs_of(nuclei, known);
    let mut found = Vec::new();
    for (top, bottom) in tiles(height) {
        for (left, right) in tiles(width) {
            let tile = Tile {
                top,
                left,
                width: right - left,
                rows: centred(probability, known, (top, bottom), (left, right)),
            };
            found.push(tile.surface(&runs));
        }
    }
    found
}

/// The bounds of the tiles along a side: everything that every shift of the truth reaches.
fn tiles(length: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let inner = length - 2 * REACH;
    let count = (inner / TILE).max(1);
    (0..count).map(move |i| {
        let at = |i: usize| REACH + i * inner / count;
        (at(i), at(i + 1))
    })
}

/// The rows of a tile without their common mean; what was not seen is 0.
fn centred(
    probability: &Image<f32>,
    known: &Known,
    (top, bottom): (usize, usize),
    (left, right): (usize, usize),
) -> Vec<Vec<f64>> {
    let seen = |y: usize, x: usize| known.seen.is_none_or(|seen| seen.get(y, x));
    let (mut sum, mut count) = (0.0, 0usize);
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(bottom - top);
    for y in top..bottom {
        let values = &probability.row(y)[left..right];
        let mut row = Vec::with_capacity(values.len());
        for (x, &value) in values.iter().enumerate() {
            let is_seen = seen(y, left + x);
            row.push(if is_seen { f64::from(value) } else { f64::NAN });
            if is_seen {
                sum += f64::from(value);
                count += 1;
            }
        }
        rows.push(row);
    }
    let mean = sum / count.max(1) as f64;
    for value in rows.iter_mut().flatten() {
        *value = if value.is_nan() { 0.0 } else { *value - mean };
    }
    rows
}

/// The runs of every row of the truth.
fn runs_of(nuclei: &Image<u32>, known: &Known) -> Vec<Vec<Run>> {
    let (height, width) = nuclei.size();
    let is_known = |y: usize, x: usize| known.truth.is_none_or(|known| known.get(y, x));
    let inside = |y: usize, x: usize| nuclei.get(y, x) != 0 && is_known(y, x);
    let mut counts = (0usize, 0usize);
    for y in 0..height {
        for x in 0..width {
            counts.0 += usize::from(inside(y, x));
            counts.1 += usize::from(is_known(y, x));
        }
    }
    let mean = counts.0 as f64 / counts.1.max(1) as f64;
    (0..height)
        .map(|y| {
            let mut runs = Vec::new();
            add_runs(&mut runs, width, 1.0, |x| inside(y, x));
            // A whole row of what is known adds up to nothing over a tile: it has no mean.
            if known.truth.is_some() {
                add_runs(&mut runs, width, -mean, |x| is_known(y, x));
            }
            runs
        })
        .collect()
}

fn add_runs(runs: &mut Vec<Run>, width: usize, weight: f64, is_in: impl Fn(usize) -> bool) {
    let mut start = None;
    for x in 0..=width {
        match (x < width && is_in(x), start) {
            (true, None) => start = Some(x),
            (false, Some(first)) => {
                runs.push(Run {
                    start: first,
                    end: x,
                    weight,
                });
                start = None;
            }
            _ => {}
        }
    }
}

/// A piece of the prediction.
struct Tile {
    top: usize,
    left: usize,
    width: usize,
    rows: Vec<Vec<f64>>,
}

impl Tile {
    fn surface(&self, runs: &[Vec<Run>]) -> Surface {
        let mut sums = vec![0.0; SIDE * SIDE];
        // Prefix sums of a row, flat on both sides as far as a run at the largest shift reaches.
        let pad = 2 * REACH;
        let mut prefix = vec![0.0; self.width + 2 * pad + 1];
        for (i, row) in self.rows.iter().enumerate() {
            let mut sum = 0.0;
            for (at, value) in prefix[pad + 1..].iter_mut().enumerate() {
                sum += row.get(at).copied().unwrap_or(0.0);
                *value = sum;
            }
            for dy in 0..SIDE {
                let y = self.top + i + dy - REACH;
                let line = &mut sums[dy * SIDE..(dy + 1) * SIDE];
                for run in &runs[y] {
                    self.add(run, &prefix, line);
                }
            }
        }
        // They were gathered with the largest shift to the right first.
        sums.chunks_mut(SIDE).for_each(<[f64]>::reverse);
        Surface(sums)
    }

    /// Adds the sums under a run at every shift to the side.
    fn add(&self, run: &Run, prefix: &[f64], line: &mut [f64]) {
        // Places in the prefix of the window that all shifts reach.
        let first = self.left - REACH;
        let place = |x: usize| x.clamp(first, first + self.width + 2 * REACH) - first;
        let (start, end) = (place(run.start), place(run.end));
        if start == end {
            return;
        }
        let before = &prefix[start..start + SIDE];
        let after = &prefix[end..end + SIDE];
        for ((sum, b), a) in line.iter_mut().zip(before).zip(after) {
            *sum += run.weight * (a - b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_image::random::Stream;

    #[test]
    fn sums_by_runs_are_those_of_the_definition() {
        let mut random = Stream::new(3);
        let size = (2 * REACH + 150, 2 * REACH + 40);
        let mut image = |n: usize| Image::from_fn(size.0, size.1, |_, _| random.below(n));
        let probability = image(7).map(|&v| v as f32);
        let nuclei = image(3).map(|&v| v as u32);
        let seen = image(9).map(|&v| v > 0);
        let truth = image(5).map(|&v| v > 0);
        let known = Known {
            seen: Some(&seen),
            truth: Some(&truth),
        };
        let found = surfaces(&probability, &nuclei, &known);
        assert_eq!(found.len(), 1);
        let pixels = || (0..size.0).flat_map(|y| (0..size.1).map(move |x| (y, x)));
        let inner = |&(y, x): &(usize, usize)| {
            (REACH..size.0 - REACH).contains(&y) && (REACH..size.1 - REACH).contains(&x)
        };
        let tile: Vec<(usize, usize)> = pixels().filter(inner).collect();
        let tile: Vec<(usize, usize)> = tile.into_iter().filter(|&(y, x)| seen.get(y, x)).collect();
        let value = |(y, x): (usize, usize)| f64::from(probability.get(y, x));
        let mean = tile.iter().map(|&at| value(at)).sum::<f64>() / tile.len() as f64;
        let all: Vec<(usize, usize)> = pixels().filter(|&(y, x)| truth.get(y, x)).collect();
        let inside = |(y, x): (usize, usize)| f64::from(u8::from(nuclei.get(y, x) != 0));
        let share = all.iter().map(|&at| inside(at)).sum::<f64>() / all.len() as f64;
        for (dy, dx) in [(0, 0), (5, SIDE - 1), (SIDE - 1, 7), (REACH, REACH + 1)] {
            let moved = |(y, x): (usize, usize)| (y + dy - REACH, x + dx - REACH);
            let known_there = |&&at: &&(usize, usize)| {
                let (y, x) = moved(at);
                truth.get(y, x)
            };
            let terms = tile.iter().filter(known_there);
            let sum: f64 = terms
                .map(|&at| (value(at) - mean) * (inside(moved(at)) - share))
                .sum();
            let by_runs = found[0].0[dy * SIDE + dx];
            assert!((sum - by_runs).abs() < 1e-6, "{dy} {dx}: {sum} {by_runs}");
        }
    }
}
