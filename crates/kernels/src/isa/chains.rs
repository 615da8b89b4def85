//! Chains of multiply-adds in registers, which [`crate::peak`] counts.
//!
//! Beside the instruction sets, not in `peak`: how many chains fill a processor's units is a
//! property of its registers, so each set says it of itself.

use crate::blocked::LANES;
use crate::simd::Simd;
use std::hint::black_box;

/// `N` chains of 16 lanes each, in as many registers as the instruction set needs for them;
/// products of pairs where factors are bf16.
///
/// Plain loops: a closure here would be compiled without the instruction set's features.
#[inline(always)]
pub(crate) fn chains<S: Simd, const N: usize>(simd: S, rounds: usize) -> usize {
    // The factor is below 1, so that the values settle at 1 instead of growing.
    let (a, b) = (simd.splat(black_box(0.5)), simd.splat(black_box(0.5)));
    let mut x = [simd.zero(); N];
    for i in 0..N {
        // Chains of equal values would be computed once.
        x[i] = simd.splat(black_box(i as f32));
    }
    if simd.factor_words() == LANES {
        for _ in 0..rounds {
            for i in 0..N {
                x[i] = simd.mul_add(x[i], a, b);
            }
        }
    } else {
        // A word of two small bf16: the sums stay finite for longer than anyone waits.
        let small = simd.splat(black_box(f32::from_bits(0x3400_3400)));
        for _ in 0..rounds {
            for i in 0..N {
                x[i] = simd.add_products(x[i], small, small);
            }
        }
    }
    let mut sum = x[0];
    for i in 1..N {
        sum = simd.add(sum, x[i]);
    }
    let mut lanes = [0.0f32; LANES];
    // SAFETY: `lanes` holds 16 values.
    unsafe { simd.store(lanes.as_mut_ptr(), sum) };
    black_box(lanes);
    N
}
