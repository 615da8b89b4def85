//! Small passes over activations.

use crate::blocked::{Blocked, LANES};
use crate::isa::{Isa, Job, Simd};
use crate::workers::Workers;

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
