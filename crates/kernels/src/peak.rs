//! What the processor could do at most: multiply-adds between registers, without any memory.
//!
//! A bound for kernels: their share of it says how much waiting is left in them. Each thread runs
//! several independent chains `x = x * a + b`, so that a new one can start while the others wait
//! for their result.

use std::time::{Duration, Instant};

use crate::blocked::LANES;
use crate::isa::{Isa, Precision};
use crate::simd::{Simd, SimdKernel};
use crate::workers::Workers;

/// Long enough for the clock and for starting threads not to matter.
const ONE_MEASUREMENT: Duration = Duration::from_millis(20);
/// The best of so many counts: what else the machine does can only slow it down.
const MEASUREMENTS: usize = 7;

/// Most operations in a second at the set's precision, in units of 1e9, on `threads` threads
/// together; a multiplication and an addition are two. Takes about 0.2 s.
pub fn gflops(isa: Isa, threads: usize) -> f64 {
    let workers = Workers::new(threads);
    let threads = workers.threads();
    let products = match isa.precision() {
        Precision::F32 => 1.0,
        Precision::Bf16 => 2.0,
    };
    let operations = |rounds: usize| -> (f64, Duration) {
        let begun = Instant::now();
        let chains: usize = workers
            .map(threads, |_| isa.run(Chains { rounds }))
            .iter()
            .sum();
        let count = 2.0 * products * LANES as f64 * chains as f64 * rounds as f64;
        (count, begun.elapsed())
    };
    // The same work doubles until it takes long enough; by then the processor is at its speed.
    let mut rounds = 1 << 12;
    while operations(rounds).1 < ONE_MEASUREMENT {
        rounds *= 2;
    }
    // The fastest, not the mean: other programs can only make it slower.
    let mut best = 0.0f64;
    for _ in 0..MEASUREMENTS {
        let (count, time) = operations(rounds);
        best = best.max(count / time.as_secs_f64());
    }
    best / 1e9
}

/// `rounds` multiply-adds in every chain; gives the number of chains.
struct Chains {
    rounds: usize,
}

impl SimdKernel for Chains {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> usize {
        simd.chains(self.rounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any processor made in this century does 0.2 of these a nanosecond; none does 10 000 on a
    /// thread.
    #[test]
    fn every_instruction_set_has_a_plausible_peak() {
        let bf16 = Isa::available()[0].bf16();
        for isa in Isa::available().into_iter().chain(bf16) {
            let peak = gflops(isa, 1);
            assert!((0.2..1e4).contains(&peak), "{}: {peak}", isa.name());
        }
    }
}
