//! Adam (Kingma & Ba 2015), with decoupled weight decay (Loshchilov & Hutter 2019).

use crate::isa::{Isa, Job, Simd};
use crate::workers::{Shared, Workers};

/// The numbers of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
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
    step: &Step,
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

impl Job for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [beta1, beta2] = [self.beta1, self.beta2].map(|b| s.splat(b));
        let [rest1, rest2] = [1.0 - self.beta1, 1.0 - self.beta2].map(|b| s.splat(b));
        let (rate, epsilon, keep) = (
            s.splat(-self.rate),
            s.splat(self.epsilon),
            s.splat(self.keep),
        );
        let values =
            |x: &[f32]| -> [f32; 16] { std::array::from_fn(|i| x.get(i).copied().unwrap_or(0.0)) };
        for (((g, w), m), v) in self
            .gradient
            .chunks(16)
            .zip(self.weights.chunks_mut(16))
            .zip(self.first.chunks_mut(16))
            .zip(self.second.chunks_mut(16))
        {
            let lanes = [values(g), values(w), values(m), values(v)];
            // SAFETY: each array holds 16 values.
            let [gv, wv, mv, vv] = lanes.map(|x| unsafe { s.load(x.as_ptr()) });
            let mv = s.mul_add(beta1, mv, s.mul(rest1, gv));
            let vv = s.mul_add(beta2, vv, s.mul(rest2, s.mul(gv, gv)));
            let step = s.div(s.mul(rate, mv), s.add(s.sqrt(vv), epsilon));
            let wv = s.mul_add(keep, wv, step);
            for (to, from) in [(w, wv), (m, mv), (v, vv)] {
                let mut out = [0.0; 16];
                // SAFETY: `out` holds 16 values.
                unsafe { s.store(out.as_mut_ptr(), from) };
                to.copy_from_slice(&out[..to.len()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_steps_follow_the_definition() {
        let step = |number| Step {
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
                // A few roundings of f32 (6e-8 each), and 1 - beta2 in f32 (relative 5e-5 at worst).
                assert!(
                    weights.iter().all(|&x| (f64::from(x) - w).abs() < 2e-5),
                    "{}: {len}",
                    isa.name()
                );
            }
        }
    }
}
