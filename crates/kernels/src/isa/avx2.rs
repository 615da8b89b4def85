//! AVX2 and FMA: two registers of 8 lanes make 16; 16 registers in all.

use super::{Job, Simd};
use crate::gemm::{GemmKernel, OuterKernel, gemm, outer};
use crate::peak::chains;
use std::arch::x86_64::*;

/// Proof that the processor has AVX2 and FMA; made in [`run`] and in the kernel tables only.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// Runs `job` with AVX2 and FMA switched on.
///
/// # Safety
/// The processor must have AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run<J: Job>(job: J) -> J::Output {
    job.run(Avx2(()))
}

/// 16 lanes.
type V = [__m256; 2];

#[inline(always)]
fn zip(a: V, b: V, f: impl Fn(__m256, __m256) -> __m256) -> V {
    [f(a[0], b[0]), f(a[1], b[1])]
}

impl Simd for Avx2 {
    type V = V;

    #[inline(always)]
    fn zero(self) -> V {
        // SAFETY: `self` proves the features.
        unsafe { [_mm256_setzero_ps(); 2] }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> V {
        // SAFETY: `self` proves the features.
        unsafe { [_mm256_set1_ps(x); 2] }
    }
    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        // SAFETY: `self` proves the features.
        zip(a, b, |a, b| unsafe { _mm256_add_ps(a, b) })
    }
    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        // SAFETY: `self` proves the features.
        zip(a, b, |a, b| unsafe { _mm256_sub_ps(a, b) })
    }
    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        // SAFETY: `self` proves the features.
        zip(a, b, |a, b| unsafe { _mm256_mul_ps(a, b) })
    }
    #[inline(always)]
    fn mul_add(self, a: V, b: V, c: V) -> V {
        // SAFETY: `self` proves the features.
        unsafe {
            [
                _mm256_fmadd_ps(a[0], b[0], c[0]),
                _mm256_fmadd_ps(a[1], b[1], c[1]),
            ]
        }
    }
    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        // SAFETY: `self` proves the features.
        zip(a, b, |a, b| unsafe { _mm256_max_ps(a, b) })
    }
    #[inline(always)]
    fn min(self, a: V, b: V) -> V {
        // SAFETY: `self` proves the features.
        zip(a, b, |a, b| unsafe { _mm256_min_ps(a, b) })
    }
    #[inline(always)]
    fn exp2_whole(self, x: V) -> V {
        // SAFETY: `self` proves the features.
        x.map(|x| unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        })
    }
    #[inline(always)]
    fn div(self, a: V, b: V) -> V {
        // SAFETY: `self` proves the features.
        zip(a, b, |a, b| unsafe { _mm256_div_ps(a, b) })
    }
    #[inline(always)]
    fn sqrt(self, a: V) -> V {
        // SAFETY: `self` proves the features.
        a.map(|a| unsafe { _mm256_sqrt_ps(a) })
    }
    #[inline(always)]
    fn where_positive(self, sign: V, x: V) -> V {
        // SAFETY: `self` proves the features.
        zip(sign, x, |s, x| unsafe {
            _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(s, _mm256_setzero_ps()), x)
        })
    }
    #[inline(always)]
    fn where_equal(self, a: V, b: V, x: V, y: V) -> V {
        let half = |i: usize| {
            // SAFETY: `self` proves the features.
            unsafe { _mm256_blendv_ps(y[i], x[i], _mm256_cmp_ps::<_CMP_EQ_OQ>(a[i], b[i])) }
        };
        [half(0), half(1)]
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> V {
        // SAFETY: the caller promises 16 readable values; `self` proves the features.
        unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))] }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: V) {
        // SAFETY: the caller promises 16 writable values; `self` proves the features.
        unsafe {
            _mm256_storeu_ps(to, x[0]);
            _mm256_storeu_ps(to.add(8), x[1]);
        }
    }

    fn gemm_kernels(self, _nv: usize) -> &'static [GemmKernel] {
        &TABLE
    }
    fn widest_panel(self) -> usize {
        1
    }
    fn outer_kernel(self, _nv: usize) -> (OuterKernel, usize) {
        (outer_k::<4>, 4)
    }

    #[inline(always)]
    fn chains(self, rounds: usize) -> usize {
        // 12 of 16 registers: two units with a latency of 4 or 5 need 10.
        chains::<Self, 6>(self, rounds)
    }
}

/// 6 tiles of 16 outputs: 12 accumulators, 2 weights, 1 broadcast of 16 registers.
static TABLE: [GemmKernel; 6] = [
    gemm_k::<1>,
    gemm_k::<2>,
    gemm_k::<3>,
    gemm_k::<4>,
    gemm_k::<5>,
    gemm_k::<6>,
];

#[target_feature(enable = "avx2,fma")]
unsafe fn gemm_k<const R: usize>(
    v: *const f32,
    v_block: usize,
    c: usize,
    u: *const f32,
    m: *mut f32,
    m_block: usize,
) {
    // SAFETY: the contract of `GemmKernel` is that of `gemm`; this function has the features.
    unsafe { gemm::<Avx2, R, 1>(Avx2(()), v, v_block, c, u, m, m_block) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn outer_k<const R: usize>(
    v: *const f32,
    z: *const f32,
    z_block: usize,
    n: usize,
    d: *mut f32,
    d_row: usize,
    first: bool,
) {
    // SAFETY: the contract of `OuterKernel` is that of `outer`; this function has the features.
    unsafe { outer::<Avx2, R, 1>(Avx2(()), v, z, z_block, n, d, d_row, first) }
}
