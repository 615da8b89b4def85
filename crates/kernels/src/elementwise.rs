//! Small passes over activations.

use crate::blocked::{Blocked, LANES, Rows, RowsMut, slot};
use crate::isa::{Isa, Job, Simd};
use crate::product::End;
use crate::winograd::Sink;
use crate::workers::{Shared, Workers};
use std::ops::Range;

/// Sum of every channel over images and pixels (filled-up channels included): the gradient of a
/// bias.
///
/// Rows are summed in f32, everything above in f64.
///
/// # Panics
/// If the length does not match.
pub fn channel_sums(isa: Isa, workers: &Workers, shape: &Blocked, x: &[f32]) -> Vec<f32> {
    assert_eq!(x.len(), shape.len(), "array has another size");
    let parts = workers.map(shape.images * shape.blocks(), |task| {
        isa.run(RowSums {
            row: shape.width * LANES,
            x: &x[task * shape.plane()..][..shape.plane()],
        })
    });
    let mut sums = vec![0.0; shape.blocks() * LANES];
    for (task, part) in parts.iter().enumerate() {
        let first = task % shape.blocks() * LANES;
        for (sum, value) in sums[first..].iter_mut().zip(part) {
            *sum += value;
        }
    }
    sums.into_iter().map(|s: f64| s as f32).collect()
}

/// `out = a + b * factor` in the rows `rows`, with a factor for every image; arrays may hold fewer
/// rows than the images have.
///
/// # Panics
/// If a length does not match.
#[allow(clippy::too_many_arguments)]
pub fn add_rows(
    isa: Isa,
    workers: &Workers,
    shape: &Blocked,
    [a, b]: [Rows; 2],
    factors: &[f32],
    out: RowsMut,
    rows: Range<usize>,
) {
    assert_eq!(factors.len(), shape.images, "one factor for every image");
    for (len, kept) in [
        (a.data.len(), a.kept),
        (b.data.len(), b.kept),
        (out.data.len(), out.kept),
    ] {
        shape.check_rows(len, kept, &rows);
    }
    let row = shape.width * LANES;
    let shared = Shared::new(out.data);
    workers.for_each(shape.images * shape.blocks(), |plane| {
        for y in rows.clone() {
            let line = |x: &Rows| (plane * x.kept + slot(y, x.kept)) * row;
            isa.run(AddScaled {
                a: &a.data[line(&a)..][..row],
                b: &b.data[line(&b)..][..row],
                factor: factors[plane / shape.blocks()],
                // SAFETY: every plane belongs to one task.
                out: unsafe { shared.slice((plane * out.kept + slot(y, out.kept)) * row, row) },
            });
        }
    });
}

struct AddScaled<'a> {
    a: &'a [f32],
    b: &'a [f32],
    factor: f32,
    out: &'a mut [f32],
}

impl Job for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let factor = s.splat(self.factor);
        let inputs = self.a.chunks_exact(LANES).zip(self.b.chunks_exact(LANES));
        for ((a, b), out) in inputs.zip(self.out.chunks_exact_mut(LANES)) {
            // SAFETY: 16 values each.
            unsafe {
                let sum = s.mul_add(s.load(b.as_ptr()), factor, s.load(a.as_ptr()));
                s.store(out.as_mut_ptr(), sum);
            }
        }
    }
}

/// Sends the gradient `d` of a sum to one of its terms, which was multiplied with a factor for
/// every image.
///
/// # Panics
/// If a length does not match.
pub fn add_gradient(
    isa: Isa,
    workers: &Workers,
    shape: &Blocked,
    d: &[f32],
    factors: &[f32],
    sink: &mut Sink,
) {
    assert_eq!(factors.len(), shape.images, "one factor for every image");
    assert!(
        d.len() == shape.len()
            && sink.data.len() == d.len()
            && sink.mask.is_none_or(|mask| mask.len() == d.len()),
        "array has another size"
    );
    let end = End::of(sink);
    let shared = Shared::new(sink.data);
    workers.for_each(shape.images * shape.blocks(), |plane| {
        isa.run(SendScaled {
            d: &d[plane * shape.plane()..][..shape.plane()],
            factor: factors[plane / shape.blocks()],
            to: shared,
            first: plane * shape.plane(),
            end,
        });
    });
}

struct SendScaled<'a, 'b> {
    d: &'a [f32],
    factor: f32,
    to: Shared<'b>,
    first: usize,
    end: End<'a>,
}

impl Job for SendScaled<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let factor = s.splat(self.factor);
        for (i, d) in self.d.chunks_exact(LANES).enumerate() {
            let place = self.first + i * LANES;
            // SAFETY: the plane belongs to this task, and its size was checked.
            unsafe {
                let value = s.mul(s.load(d.as_ptr()), factor);
                let target = self.to.at(place);
                let value = self.end.apply(s, value, 0, place, target);
                s.store(target, value);
            }
        }
    }
}

/// A planar array `[class][height][width]` that probabilities are written to.
pub struct Planes<'a> {
    /// Its values.
    pub data: &'a mut [f32],
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Where the first row and column of the logits' array lie in it; they may lie outside.
    pub corner: [isize; 2],
}

/// Writes the probabilities of the pixels `rows` x `columns` of `logits`, an array of one image
/// shaped `shape` that may hold only some rows, to their places in `to`.
///
/// # Panics
/// If a length does not match, there are more than 16 classes, or a pixel has no place.
pub fn softmax(
    workers: &Workers,
    shape: &Blocked,
    logits: Rows,
    rows: Range<usize>,
    columns: Range<usize>,
    to: Planes,
) {
    let classes = shape.channels;
    assert!(
        shape.images == 1 && classes <= LANES,
        "one block of classes"
    );
    shape.check_rows(logits.data.len(), logits.kept, &rows);
    assert_eq!(
        to.data.len(),
        classes * to.height * to.width,
        "planar array has another size"
    );
    let place = |range: &Range<usize>, axis: usize, length: usize| {
        let first = range.start as isize + to.corner[axis];
        assert!(
            first >= 0 && first as usize + range.len() <= length,
            "pixels without a place"
        );
        first as usize
    };
    let top = place(&rows, 0, to.height);
    let left = place(&columns, 1, to.width);
    let shared = Shared::new(to.data);
    workers.for_each(rows.len(), |task| {
        let row = slot(rows.start + task, logits.kept) * shape.width;
        let from = &logits.data[(row + columns.start) * LANES..][..columns.len() * LANES];
        let first = (top + task) * to.width + left;
        // SAFETY: every task has a row of each class of its own.
        let mut lines: Vec<&mut [f32]> = (0..classes)
            .map(|c| unsafe { shared.slice(c * to.height * to.width + first, columns.len()) })
            .collect();
        for (x, pixel) in from.chunks_exact(LANES).enumerate() {
            let mut largest = f32::NEG_INFINITY;
            for &logit in &pixel[..classes] {
                largest = largest.max(logit);
            }
            let mut sum = 0.0;
            for (line, &logit) in lines.iter_mut().zip(pixel) {
                line[x] = (logit - largest).exp();
                sum += line[x];
            }
            for line in &mut lines {
                line[x] /= sum;
            }
        }
    });
}

struct RowSums<'a> {
    row: usize,
    x: &'a [f32],
}

impl Job for RowSums<'_> {
    type Output = [f64; LANES];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [f64; LANES] {
        let mut sums = [0.0; LANES];
        for row in self.x.chunks_exact(self.row) {
            let mut sum = s.zero();
            for x in row.chunks_exact(LANES) {
                // SAFETY: 16 values.
                sum = s.add(sum, unsafe { s.load(x.as_ptr()) });
            }
            let mut lanes = [0.0; LANES];
            // SAFETY: `lanes` holds 16 values.
            unsafe { s.store(lanes.as_mut_ptr(), sum) };
            for (total, lane) in sums.iter_mut().zip(lanes) {
                *total += f64::from(lane);
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_add_up_and_keep_the_order_of_the_logits() {
        let shape = Blocked {
            images: 1,
            channels: 3,
            height: 7,
            width: 9,
        };
        let workers = Workers::new(2);
        let planar: Vec<f32> = (0..3 * 63).map(|i| (i % 11) as f32 * 30.0).collect();
        let mut logits = vec![0.0; shape.len()];
        shape.pack(&workers, &planar, &mut logits);
        // Rows 2 to 5, columns 1 to 8, of an image that begins at row 1 and column -2 of another.
        let mut found = vec![-1.0; 3 * 6 * 7];
        let logits = Rows {
            data: &logits,
            kept: 7,
        };
        let to = Planes {
            data: &mut found,
            height: 6,
            width: 7,
            corner: [-1, -1],
        };
        softmax(&workers, &shape, logits, 2..5, 1..8, to);
        for (y, x) in (0..6).flat_map(|y| (0..7).map(move |x| (y, x))) {
            let found: Vec<f32> = (0..3).map(|c| found[c * 42 + y * 7 + x]).collect();
            if !(1..4).contains(&y) {
                assert_eq!(found, [-1.0; 3], "row {y} was not asked for");
                continue;
            }
            let logits: Vec<f32> = (0..3)
                .map(|c| planar[c * 63 + (y + 1) * 9 + x + 1])
                .collect();
            let largest = logits.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
            let terms: Vec<f64> = logits
                .iter()
                .map(|&x| f64::from(x - largest).exp())
                .collect();
            let sum: f64 = terms.iter().sum();
            for (found, term) in found.iter().zip(terms) {
                // Rounding of an exponential and a division in f32.
                assert!((f64::from(*found) - term / sum).abs() < 1e-6, "({y}, {x})");
            }
        }
    }
}
