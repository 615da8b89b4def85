//! Plain arrays: what every processor can run, vectorised by the compiler as far as it can.

use super::chains::chains;
use crate::gemm::{gemm, outer};
use crate::simd::{GemmKernel, Lanes, OuterKernel, Simd};

/// No special instructions.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

#[inline(always)]
fn zip(a: [f32; 16], b: [f32; 16], f: impl Fn(f32, f32) -> f32) -> [f32; 16] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

impl Lanes for Portable {
    type V = [f32; 16];
    const WIDTH: usize = 16;

    #[inline(always)]
    fn zero(self) -> Self::V {
        [0.0; 16]
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; 16]
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // Not `f32::mul_add`: without the instruction it is a slow library call.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn exp2_whole(self, x: Self::V) -> Self::V {
        x.map(|x| f32::from_bits(((x as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn where_positive(self, sign: Self::V, x: Self::V) -> Self::V {
        zip(sign, x, |s, x| if s > 0.0 { x } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::V {
        // SAFETY: the caller promises 16 readable values; arrays of f32 may lie at any such
        // address.
        unsafe { std::ptr::read(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: Self::V) {
        // SAFETY: the caller promises 16 writable values.
        unsafe { std::ptr::write(to.cast(), x) }
    }
}

impl Simd for Portable {
    // The compiler places them as it can; four lanes at a time were no faster.
    type Register = Self;
    #[inline(always)]
    fn register(self) -> Self {
        self
    }

    #[inline(always)]
    fn max_or_nan(self, [a, b, c, d]: [Self::V; 4]) -> Self::V {
        let larger = |a: f32, b: f32| if a > b || a.is_nan() { a } else { b };
        zip(zip(a, b, larger), zip(c, d, larger), larger)
    }
    #[inline(always)]
    fn sqrt(self, a: Self::V) -> Self::V {
        a.map(f32::sqrt)
    }
    #[inline(always)]
    fn where_equal(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
        std::array::from_fn(|i| if a[i] == b[i] { x[i] } else { y[i] })
    }

    fn gemm_kernels(self, _nv: usize) -> &'static [GemmKernel] {
        // 16 narrow registers: 2 tiles of 16 outputs are 8 of them on SSE2 and NEON.
        &[gemm1::<1>, gemm1::<2>]
    }
    fn widest_panel(self) -> usize {
        1
    }
    fn outer_kernel(self, _nv: usize) -> (OuterKernel, usize) {
        (outer1::<2>, 2)
    }

    #[inline(always)]
    fn chains(self, rounds: usize) -> usize {
        // 12 of 16 registers where a register holds 4 values.
        chains::<Self, 3>(self, rounds)
    }
}

unsafe fn gemm1<const R: usize>(
    v: *const f32,
    v_block: usize,
    c: usize,
    u: *const f32,
    m: *mut f32,
    m_block: usize,
    first: bool,
) {
    // SAFETY: the contract of `GemmKernel` is that of `gemm`.
    unsafe { gemm::<Portable, R, 1>(Portable, v, v_block, c, u, m, m_block, first) }
}

unsafe fn outer1<const R: usize>(
    v: *const f32,
    z: *const f32,
    z_block: usize,
    n: usize,
    d: *mut f32,
    d_row: usize,
    first: bool,
) {
    // SAFETY: the contract of `OuterKernel` is that of `outer`.
    unsafe { outer::<Portable, R, 1>(Portable, v, z, z_block, n, d, d_row, first) }
}
