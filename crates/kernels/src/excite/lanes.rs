//! The arithmetic of [`super`], written once for every instruction set.

use crate::activation::sigmoid;
use crate::blocked::{LANES, Rows};
use crate::pass::RowKernel;
use crate::simd::{Simd, SimdKernel};

/// Dot products of a vector with the rows of a matrix.
pub(super) struct Dots<'a> {
    pub(super) matrix: &'a [f32],
    pub(super) vector: &'a [f32],
}

impl SimdKernel for Dots<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        let mut found = Vec::with_capacity(self.matrix.len() / self.vector.len());
        for row in self.matrix.chunks_exact(self.vector.len()) {
            let mut sum = s.zero();
            for (a, b) in row.chunks_exact(LANES).zip(self.vector.chunks_exact(LANES)) {
                // SAFETY: 16 values each.
                unsafe { sum = s.mul_add(s.load(a.as_ptr()), s.load(b.as_ptr()), sum) };
            }
            // Added in the order of the lanes, one by one: the same on every instruction set.
            let mut lanes = [0.0f32; LANES];
            // SAFETY: `lanes` holds 16 values.
            unsafe { s.store(lanes.as_mut_ptr(), sum) };
            found.push(lanes.iter().sum());
        }
        found
    }
}

/// Adds the rows of a matrix, each times its factor, to a vector.
pub(super) struct AddRows<'a> {
    pub(super) matrix: &'a [f32],
    pub(super) factors: &'a [f32],
    pub(super) to: &'a mut [f32],
}

impl SimdKernel for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (row, &factor) in self.matrix.chunks_exact(self.to.len()).zip(self.factors) {
            let factor = s.splat(factor);
            for (a, to) in row.chunks_exact(LANES).zip(self.to.chunks_exact_mut(LANES)) {
                // SAFETY: 16 values each.
                unsafe {
                    let sum = s.mul_add(s.load(a.as_ptr()), factor, s.load(to.as_ptr()));
                    s.store(to.as_mut_ptr(), sum);
                }
            }
        }
    }
}

/// Adds `left * right^T` to a matrix.
pub(super) struct AddOuter<'a> {
    pub(super) left: &'a [f32],
    pub(super) right: &'a [f32],
    pub(super) to: &'a mut [f32],
}

impl SimdKernel for AddOuter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.to.chunks_exact_mut(self.right.len());
        for (row, &factor) in rows.zip(self.left) {
            let factor = s.splat(factor);
            for (to, b) in row
                .chunks_exact_mut(LANES)
                .zip(self.right.chunks_exact(LANES))
            {
                // SAFETY: 16 values each.
                unsafe {
                    let sum = s.mul_add(s.load(b.as_ptr()), factor, s.load(to.as_ptr()));
                    s.store(to.as_mut_ptr(), sum);
                }
            }
        }
    }
}

/// Every value becomes its sigmoid.
pub(super) struct Sigmoids<'a>(pub(super) &'a mut [f32]);

impl SimdKernel for Sigmoids<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for x in self.0.chunks_exact_mut(LANES) {
            // SAFETY: 16 values.
            unsafe { s.store(x.as_mut_ptr(), sigmoid(s, s.load(x.as_ptr()))) };
        }
    }
}

/// Every value times the gate of its channel.
pub(super) struct Scale<'a> {
    pub(super) x: Rows<'a>,
    /// `[plane][16]`.
    pub(super) gates: &'a [f32],
}

impl RowKernel<0> for Scale<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, plane: usize, y: usize, out: &mut [f32]) -> [S::V; 0] {
        let gate = &self.gates[plane * LANES..][..LANES];
        let line = self.x.line(plane, y, out.len());
        // SAFETY: every slice read or written holds 16 values.
        unsafe {
            let gate = s.load(gate.as_ptr());
            for (x, out) in line.chunks_exact(LANES).zip(out.chunks_exact_mut(LANES)) {
                s.store(out.as_mut_ptr(), s.mul(s.load(x.as_ptr()), gate));
            }
        }
        []
    }
}

/// Sums of `x * d`.
pub(super) struct Products<'a> {
    pub(super) row: usize,
    pub(super) x: Rows<'a>,
    pub(super) d: Rows<'a>,
}

impl RowKernel<1> for Products<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, plane: usize, y: usize, _: &mut [f32]) -> [S::V; 1] {
        let (x, d) = (
            self.x.line(plane, y, self.row),
            self.d.line(plane, y, self.row),
        );
        let mut sum = s.zero();
        for (x, d) in x.chunks_exact(LANES).zip(d.chunks_exact(LANES)) {
            // SAFETY: 16 values each.
            unsafe { sum = s.mul_add(s.load(x.as_ptr()), s.load(d.as_ptr()), sum) };
        }
        [sum]
    }
}

/// `d = d * factor + shift`.
pub(super) struct Affine<'a> {
    /// `[plane][16]`.
    pub(super) factors: &'a [f32],
    /// `[plane][16]`.
    pub(super) shifts: &'a [f32],
}

impl RowKernel<0> for Affine<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, plane: usize, _: usize, d: &mut [f32]) -> [S::V; 0] {
        let factor = &self.factors[plane * LANES..][..LANES];
        let shift = &self.shifts[plane * LANES..][..LANES];
        // SAFETY: every slice read or written holds 16 values.
        unsafe {
            let (factor, shift) = (s.load(factor.as_ptr()), s.load(shift.as_ptr()));
            for d in d.chunks_exact_mut(LANES) {
                s.store(d.as_mut_ptr(), s.mul_add(s.load(d.as_ptr()), factor, shift));
            }
        }
        []
    }
}
