//! Small passes over activations.

use crate::blocked::{Blocked, LANES};
use crate::isa::{Isa, Job, Simd};
use crate::workers::{Shared, Workers};

/// Pixels one task of [`softmax`] turns into probabilities.
const SOFTMAX_PIXELS: usize = 16_384;

/// Sum of every channel over images and pixels (filled-up channels included): the gradient of a bias.
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

/// Replaces logits, `[class][pixel]`, by probabilities.
///
/// # Panics
/// If the length is no multiple of `classes`.
pub fn softmax(workers: &Workers, classes: usize, values: &mut [f32]) {
    assert!(
        values.len().is_multiple_of(classes),
        "classes differ in size"
    );
    let pixels = values.len() / classes;
    let shared = Shared::new(values);
    workers.for_each(pixels.div_ceil(SOFTMAX_PIXELS), |task| {
        let first = task * SOFTMAX_PIXELS;
        let count = SOFTMAX_PIXELS.min(pixels - first);
        // SAFETY: every task has pixels of its own.
        let mut planes: Vec<&mut [f32]> = (0..classes)
            .map(|c| unsafe { shared.slice(c * pixels + first, count) })
            .collect();
        for p in 0..count {
            let mut largest = f32::NEG_INFINITY;
            for plane in &planes {
                largest = largest.max(plane[p]);
            }
            let mut sum = 0.0;
            for plane in &mut planes {
                plane[p] = (plane[p] - largest).exp();
                sum += plane[p];
            }
            for plane in &mut planes {
                plane[p] /= sum;
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
        let pixels = SOFTMAX_PIXELS + 3;
        let mut values: Vec<f32> = (0..3 * pixels).map(|i| (i % 11) as f32 * 30.0).collect();
        let logits = values.clone();
        softmax(&Workers::new(2), 3, &mut values);
        for p in 0..pixels {
            let at = |v: &[f32]| [v[p], v[pixels + p], v[2 * pixels + p]];
            let (x, y) = (at(&logits), at(&values));
            let largest = x[0].max(x[1]).max(x[2]);
            let terms = x.map(|x| f64::from(x - largest).exp());
            let sum: f64 = terms.iter().sum();
            for (found, term) in y.iter().zip(terms) {
                assert!((f64::from(*found) - term / sum).abs() < 1e-6, "{x:?} {y:?}");
            }
        }
    }
}
