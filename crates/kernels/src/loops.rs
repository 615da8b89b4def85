//! Plain loops for other crates, compiled once for every instruction set.
//!
//! Nothing here is written for a processor: the compiler turns the loops into vector instructions
//! by itself, and finds wider ones than those that every processor has. No multiplication is fused
//! with an addition, so the results are the same bits on all of them.

use crate::isa::Isa;
use crate::simd::{Simd, SimdKernel};
use std::sync::OnceLock;

/// Work whose time goes into loops over arrays.
pub trait Loops {
    /// What it gives.
    type Output;
    /// Does the work. Implementations, and whatever their inner loops call, are
    /// `#[inline(always)]`: what is called as a function of its own is compiled for every processor
    /// alike.
    fn run(self) -> Self::Output;
}

/// Runs `loops` compiled for the best instruction set of this processor, or for the one that
/// `STAINFREE_ISA` names.
#[inline]
pub fn vectorised<L: Loops>(loops: L) -> L::Output {
    static BEST: OnceLock<Isa> = OnceLock::new();
    // A name that this processor does not have is told of where a network is made.
    let best = BEST.get_or_init(|| Isa::chosen().unwrap_or_else(|_| Isa::available()[0]));
    best.run(Plain(loops))
}

/// Loops that use no vectors of their own.
struct Plain<L>(L);

impl<L: Loops> SimdKernel for Plain<L> {
    type Output = L::Output;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> L::Output {
        self.0.run()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a * b + c`, which a fused multiplication would round once instead of twice.
    struct Products<'a>(&'a [f32], &'a mut [f32]);

    impl Loops for Products<'_> {
        type Output = ();

        #[inline(always)]
        fn run(self) {
            let products = self.1.iter_mut().zip(self.0);
            products.for_each(|(sum, &v)| *sum += v * v);
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let values: Vec<f32> = (0..100).map(|i| 1.0 + i as f32 / 3.0).collect();
        let mut expected = vec![-2.0f32; values.len()];
        for (sum, &v) in expected.iter_mut().zip(&values) {
            let product = std::hint::black_box(v * v);
            *sum += product;
        }
        for isa in Isa::available() {
            let mut sums = vec![-2.0f32; values.len()];
            isa.run(Plain(Products(&values, &mut sums)));
            assert_eq!(sums, expected, "{}", isa.name());
        }
        let mut sums = vec![-2.0f32; values.len()];
        vectorised(Products(&values, &mut sums));
        assert_eq!(sums, expected);
    }
}
