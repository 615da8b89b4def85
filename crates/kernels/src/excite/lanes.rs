//! The arithmetic of [`super`], written once for every instruction set.

use crate::activation::sigmoid;
use crate::blocked::LANES;
use crate::isa::{Job, Simd};

/// Dot products of a vector with the rows of a matrix.
pub(super) struct Dots<'a> {
    pub(super) matrix: &'a [f32],
    pub(super) vector: &'a [f32],
}

impl Job for Dots<'_> {
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

impl Job for AddRows<'_> {
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

impl Job for AddOuter<'_> {
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

impl Job for Sigmoids<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for x in self.0.chunks_exact_mut(LANES) {
            // SAFETY: 16 values.
            unsafe { s.store(x.as_mut_ptr(), sigmoid(s, s.load(x.as_ptr()))) };
        }
    }
}

/// Adds the sum of a line to `sums`, lane by lane.
pub(super) struct AddSum<'a> {
    pub(super) line: &'a [f32],
    pub(super) sums: &'a mut [f64; LANES],
}

impl Job for AddSum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut sum = s.zero();
        for x in self.line.chunks_exact(LANES) {
            // SAFETY: 16 values.
            sum = s.add(sum, unsafe { s.load(x.as_ptr()) });
        }
        add_lanes(s, self.sums, sum);
    }
}

#[inline(always)]
fn add_lanes<S: Simd>(s: S, sums: &mut [f64; LANES], v: S::V) {
    let mut lanes = [0.0; LANES];
    // SAFETY: `lanes` holds 16 values.
    unsafe { s.store(lanes.as_mut_ptr(), v) };
    for (sum, lane) in sums.iter_mut().zip(lanes) {
        *sum += f64::from(lane);
    }
}

pub(super) struct Scale<'a> {
    pub(super) x: &'a [f32],
    pub(super) gate: &'a [f32],
    pub(super) out: &'a mut [f32],
}

impl Job for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: every slice read or written holds 16 values.
        unsafe {
            let gate = s.load(self.gate.as_ptr());
            let pixels = self.x.chunks_exact(LANES);
            for (x, out) in pixels.zip(self.out.chunks_exact_mut(LANES)) {
                s.store(out.as_mut_ptr(), s.mul(s.load(x.as_ptr()), gate));
            }
        }
    }
}

pub(super) struct Products<'a> {
    pub(super) row: usize,
    pub(super) x: &'a [f32],
    pub(super) d: &'a [f32],
}

impl Job for Products<'_> {
    type Output = [f64; LANES];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [f64; LANES] {
        let mut sums = [0.0; LANES];
        let rows = self.x.chunks_exact(self.row);
        for (x, d) in rows.zip(self.d.chunks_exact(self.row)) {
            let mut sum = s.zero();
            for (x, d) in x.chunks_exact(LANES).zip(d.chunks_exact(LANES)) {
                // SAFETY: 16 values each.
                unsafe { sum = s.mul_add(s.load(x.as_ptr()), s.load(d.as_ptr()), sum) };
            }
            add_lanes(s, &mut sums, sum);
        }
        sums
    }
}

pub(super) struct Affine<'a> {
    pub(super) factor: &'a [f32],
    pub(super) shift: &'a [f32],
    pub(super) d: &'a mut [f32],
}

impl Job for Affine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: every slice read or written holds 16 values.
        unsafe {
            let (factor, shift) = (s.load(self.factor.as_ptr()), s.load(self.shift.as_ptr()));
            for d in self.d.chunks_exact_mut(LANES) {
                s.store(d.as_mut_ptr(), s.mul_add(s.load(d.as_ptr()), factor, shift));
            }
        }
    }
}
