//! Adam (Kingma & Ba 2015), with decoupled weight decay (Loshchilov & Hutter 2019).

use crate::isa::Isa;
use crate::simd::{Simd, SimdKernel};
use crate::workers::{Shared, Workers};

/// The numbers of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamNumbers {
    /// Which step this is, counted from 1.
    pub number: u64,
    /// Learning rate.
    pub rate: f64,
    /// Memory of the first moment.
    pub beta1: f64,
    /// Memory of the second moment.
    pub beta2: f64,
    /// Added to `sqrt(v)` *before* the correction for the start, as Keras does: the step is
    /// `rate * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + epsilon)`.
    pub epsilon: f64,
    /// Share of the weight taken away per unit of `rate`; 0 for plain Adam.
    pub decay: f64,
}

/// Values a task updates at a time.
const CHUNK: usize = 1 << 15;

/// Updates `weights` and both moments from `gradient`.
///
/// # Panics
/// If the lengths differ.
pub fn update(
    isa: Isa,
    workers: &Workers,
    step: &AdamNumbers,
    gradient: &[f32],
    weights: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
) {
    let len = weights.len();
    assert!(
        gradient.len() == len && first.len() == len && second.len() == len,
        "arrays differ in length"
    );
    let t = step.number as i32;
    let corrected = step.rate * (1.0 - step.beta2.powi(t)).sqrt() / (1.0 - step.beta1.powi(t));
    let keep = 1.0 - step.rate * step.decay;
    let arrays = [
        Shared::new(weights),
        Shared::new(first),
        Shared::new(second),
    ];
    workers.for_each(len.div_ceil(CHUNK), |task| {
        let (from, count) = (task * CHUNK, CHUNK.min(len - task * CHUNK));
        // SAFETY: every task has a chunk of its own.
        let [weights, first, second] = arrays.map(|a| unsafe { a.slice(from, count) });
        let gradient = &gradient[from..from + count];
        isa.run(Update {
            gradient,
            weights,
            first,
            second,
            rate: corrected as f32,
            keep: keep as f32,
            beta1: step.beta1 as f32,
            beta2: step.beta2 as f32,
            epsilon: step.epsilon as f32,
        });
    });
}

struct Update<'a> {
    gradient: &'a [f32],
    weights: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    rate: f32,
    keep: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
}

impl SimdKernel for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // One pass for all four arrays: it is bound by memory, and each array is read and written
        // once.
        let len = self.weights.len();
        let whole = len / 16 * 16;
        for at in (0..whole).step_by(16) {
            // SAFETY: 16 values from `at` on lie in all four slices, which are equally long.
            unsafe {
                let w = self.weights.as_mut_ptr().add(at);
                let (m, v) = (
                    self.first.as_mut_ptr().add(at),
                    self.second.as_mut_ptr().add(at),
                );
                self.lanes(s, self.gradient.as_ptr().add(at), w, m, v);
            }
        }
        // The rest by the same instructions, in a vector of its own: the same bits wherever a value
        // lies in its array.
        if whole < len {
            let mut rest = [[0.0; 16]; 4];
            let slices = [self.gradient, &*self.weights, &*self.first, &*self.second];
            for (lanes, slice) in rest.iter_mut().zip(slices) {
                lanes[..len - whole].copy_from_slice(&slice[whole..]);
            }
            let [g, w, m, v] = &mut rest;
            // SAFETY: each array holds 16 values.
            unsafe {
                self.lanes(
                    s,
                    g.as_ptr(),
                    w.as_mut_ptr(),
                    m.as_mut_ptr(),
                    v.as_mut_ptr(),
                )
            };
            for (slice, lanes) in [self.weights, self.first, self.second]
                .into_iter()
                .zip([w, m, v])
            {
                slice[whole..].copy_from_slice(&lanes[..len - whole]);
            }
        }
    }
}

impl Update<'_> {
    /// Updates 16 values.
    ///
    /// # Safety
    /// All four must be valid for 16 values.
    #[inline(always)]
    unsafe fn lanes<S: Simd>(&self, s: S, g: *const f32, w: *mut f32, m: *mut f32, v: *mut f32) {
        // SAFETY: the caller vouches for 16 values each.
        unsafe {
            let g = s.load(g);
            let first = s.mul_add(
                s.splat(self.beta1),
                s.load(m),
                s.mul(s.splat(1.0 - self.beta1), g),
            );
            let square = s.mul(s.splat(1.0 - self.beta2), s.mul(g, g));
            let second = s.mul_add(s.splat(self.beta2), s.load(v), square);
            let root = s.add(s.sqrt(second), s.splat(self.epsilon));
            let step = s.div(s.mul(s.splat(-self.rate), first), root);
            s.store(w, s.mul_add(s.splat(self.keep), s.load(w), step));
            s.store(m, first);
            s.store(v, second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_steps_follow_the_definition() {
        let step = |number| AdamNumbers {
            number,
            rate: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-7,
            decay: 0.0,
        };
        for isa in Isa::available() {
            for len in [1, 16, 17, CHUNK + 3] {
                let mut weights = vec![1.0; len];
                let (mut first, mut second) = (vec![0.0; len], vec![0.0; len]);
                let (mut w, mut m, mut v) = (1.0f64, 0.0f64, 0.0f64);
                for (t, g) in [(1, 0.5f64), (2, -0.25), (3, 2.0)] {
                    let workers = Workers::new(2);
                    let gradient = vec![g as f32; len];
                    update(
                        isa,
                        &workers,
                        &step(t),
                        &gradient,
                        &mut weights,
                        &mut first,
                        &mut second,
                    );
                    m = 0.9 * m + 0.1 * g;
                    v = 0.999 * v + 0.001 * g * g;
                    let correction =
                        (1.0 - 0.999f64.powi(t as i32)).sqrt() / (1.0 - 0.9f64.powi(t as i32));
                    w -= 0.1 * correction * m / (v.sqrt() + 1e-7);
                }
                // A few roundings of f32 (6e-8 each), and 1 - beta2 in f32 (relative 5e-5 at
                // worst).
                assert!(
                    weights.iter().all(|&x| (f64::from(x) - w).abs() < 2e-5),
                    "{}: {len}",
                    isa.name()
                );
            }
        }
    }
}
