//! Largest of each 2x2 block, and its gradient.

use crate::blocked::{Blocked, LANES};
use crate::isa::{Isa, Job, Simd};
use crate::workers::{Shared, Workers};

/// Halves height and width of `x` (shape `shape`, even sizes) into `out`.
///
/// # Panics
/// If a size is odd or a length does not match.
pub fn forward(isa: Isa, workers: &Workers, shape: &Blocked, x: &[f32], out: &mut [f32]) {
    check(shape, x.len(), out.len());
    let shared = Shared::new(out);
    workers.for_each(shape.images * shape.blocks(), |task| {
        let x = &x[task * shape.plane()..][..shape.plane()];
        // SAFETY: every task has a plane of its own.
        let out = unsafe { shared.slice(task * shape.plane() / 4, shape.plane() / 4) };
        isa.run(Forward {
            width: shape.width,
            x,
            out,
        });
    });
}

fn check(shape: &Blocked, large: usize, small: usize) {
    assert!(
        shape.height.is_multiple_of(2) && shape.width.is_multiple_of(2),
        "pooling needs even sizes"
    );
    assert!(
        large == shape.len() && small * 4 == large,
        "array has another size"
    );
}

struct Forward<'a> {
    width: usize,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Job for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let row = self.width * LANES;
        for (y, out) in self.out.chunks_exact_mut(row / 2).enumerate() {
            let pair = &self.x[2 * y * row..][..2 * row];
            for (i, out) in out.chunks_exact_mut(LANES).enumerate() {
                let at = 2 * i * LANES;
                // SAFETY: the four pixels lie in the pair of rows, `out` is 16 values.
                unsafe {
                    let corner = pair.as_ptr().add(at);
                    let top = s.max(s.load(corner), s.load(corner.add(LANES)));
                    let below = corner.add(row);
                    let bottom = s.max(s.load(below), s.load(below.add(LANES)));
                    s.store(out.as_mut_ptr(), s.max(top, bottom));
                }
            }
        }
    }
}

/// Adds to `d_x` the gradient that reaches each block's first largest pixel (rows first, as PyTorch
/// does); where `relu` is set the sum is then zeroed wherever `x` is not positive, which is the
/// gradient of the ReLU that made `x`.
///
/// # Panics
/// If a size is odd or a length does not match.
pub fn backward(
    isa: Isa,
    workers: &Workers,
    shape: &Blocked,
    x: &[f32],
    d_out: &[f32],
    d_x: &mut [f32],
    merge: Merge,
) {
    check(shape, x.len(), d_out.len());
    assert_eq!(d_x.len(), x.len(), "array has another size");
    let shared = Shared::new(d_x);
    workers.for_each(shape.images * shape.blocks(), |task| {
        let x = &x[task * shape.plane()..][..shape.plane()];
        let d_out = &d_out[task * shape.plane() / 4..][..shape.plane() / 4];
        // SAFETY: every task has a plane of its own.
        let d_x = unsafe { shared.slice(task * shape.plane(), shape.plane()) };
        isa.run(Backward {
            width: shape.width,
            x,
            d_out,
            d_x,
            merge,
        });
    });
}

/// How a pool's gradient meets what its target already holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merge {
    /// Added to what is there, instead of replacing it.
    pub accumulate: bool,
    /// Zero wherever the pool's input is not positive.
    pub relu: bool,
}

struct Backward<'a> {
    width: usize,
    x: &'a [f32],
    d_out: &'a [f32],
    d_x: &'a mut [f32],
    merge: Merge,
}

impl Job for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let row = self.width * LANES;
        for (y, d_out) in self.d_out.chunks_exact(row / 2).enumerate() {
            let x = &self.x[2 * y * row..][..2 * row];
            let d_x = &mut self.d_x[2 * y * row..][..2 * row];
            for (i, d_out) in d_out.chunks_exact(LANES).enumerate() {
                let offsets = [0, LANES, row, row + LANES];
                // SAFETY: the four pixels lie in the pair of rows; `d_out` is 16 values.
                unsafe {
                    let (x, d_x) = (
                        x.as_ptr().add(2 * i * LANES),
                        d_x.as_mut_ptr().add(2 * i * LANES),
                    );
                    let mut values = [s.zero(); 4];
                    for corner in 0..4 {
                        values[corner] = s.load(x.add(offsets[corner]));
                    }
                    let top = s.max(values[0], values[1]);
                    let largest = s.max(top, s.max(values[2], values[3]));
                    let mut left = s.load(d_out.as_ptr());
                    for corner in 0..4 {
                        let value = values[corner];
                        let mut gradient = s.where_equal(value, largest, left, s.zero());
                        left = s.sub(left, gradient);
                        let at = d_x.add(offsets[corner]);
                        if self.merge.accumulate {
                            gradient = s.add(gradient, s.load(at));
                        }
                        if self.merge.relu {
                            gradient = s.where_positive(value, gradient);
                        }
                        s.store(at, gradient);
                    }
                }
            }
        }
    }
}
