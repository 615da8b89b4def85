//! AVX2 and FMA: two registers of 8 lanes make 16; 16 registers in all.

use super::chains::chains;
use crate::gemm::{gemm, outer};
use crate::simd::{GemmKernel, Lanes, OuterKernel, Simd, SimdKernel};
use std::arch::x86_64::*;

/// Proof that the processor has AVX2 and FMA; made in [`run`] and in the kernel tables only.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// Runs `job` with AVX2 and FMA switched on.
///
/// # Safety
/// The processor must have AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run<J: SimdKernel>(job: J) -> J::Output {
    job.run(Avx2(()))
}

/// One register of 8 lanes.
#[derive(Clone, Copy)]
pub(crate) struct Register(Avx2);

impl Lanes for Register {
    type V = __m256;
    const WIDTH: usize = 8;

    #[inline(always)]
    fn zero(self) -> __m256 {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_setzero_ps() }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    fn exp2_whole(self, x: __m256) -> __m256 {
        // SAFETY: `self` proves the features.
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        }
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    fn where_positive(self, sign: __m256, x: __m256) -> __m256 {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(sign, _mm256_setzero_ps()), x) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the caller promises 8 readable values; `self` proves the features.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: __m256) {
        // SAFETY: the caller promises 8 writable values; `self` proves the features.
        unsafe { _mm256_storeu_ps(to, x) }
    }
}

/// 16 lanes: every operation twice, on halves that do not wait for each other.
type V = [__m256; 2];

impl Lanes for Avx2 {
    type V = V;
    const WIDTH: usize = 16;

    #[inline(always)]
    fn zero(self) -> V {
        [self.register().zero(); 2]
    }
    #[inline(always)]
    fn splat(self, x: f32) -> V {
        [self.register().splat(x); 2]
    }
    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        let r = self.register();
        [r.add(a[0], b[0]), r.add(a[1], b[1])]
    }
    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        let r = self.register();
        [r.sub(a[0], b[0]), r.sub(a[1], b[1])]
    }
    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        let r = self.register();
        [r.mul(a[0], b[0]), r.mul(a[1], b[1])]
    }
    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        let r = self.register();
        [r.max(a[0], b[0]), r.max(a[1], b[1])]
    }
    #[inline(always)]
    fn mul_add(self, a: V, b: V, c: V) -> V {
        let r = self.register();
        [r.mul_add(a[0], b[0], c[0]), r.mul_add(a[1], b[1], c[1])]
    }
    // Not `array::map` in these: its body is compiled without AVX2, so that every instruction
    // becomes a call.
    #[inline(always)]
    fn min(self, a: V, b: V) -> V {
        let r = self.register();
        [r.min(a[0], b[0]), r.min(a[1], b[1])]
    }
    #[inline(always)]
    fn exp2_whole(self, x: V) -> V {
        let r = self.register();
        [r.exp2_whole(x[0]), r.exp2_whole(x[1])]
    }
    #[inline(always)]
    fn div(self, a: V, b: V) -> V {
        let r = self.register();
        [r.div(a[0], b[0]), r.div(a[1], b[1])]
    }
    #[inline(always)]
    fn where_positive(self, sign: V, x: V) -> V {
        let r = self.register();
        [
            r.where_positive(sign[0], x[0]),
            r.where_positive(sign[1], x[1]),
        ]
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> V {
        let r = self.register();
        // SAFETY: the caller promises 16 readable values.
        unsafe { [r.load(from), r.load(from.add(8))] }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: V) {
        let r = self.register();
        // SAFETY: the caller promises 16 writable values.
        unsafe {
            r.store(to, x[0]);
            r.store(to.add(8), x[1]);
        }
    }
}

impl Simd for Avx2 {
    type Register = Register;
    #[inline(always)]
    fn register(self) -> Register {
        Register(self)
    }

    #[inline(always)]
    fn max_or_nan(self, [a, b, c, d]: [V; 4]) -> V {
        let half = |i: usize| {
            // SAFETY: `self` proves the features.
            unsafe {
                // A maximum is its second value where either is NaN; all bits set are a NaN, too.
                let first = _mm256_cmp_ps::<_CMP_UNORD_Q>(a[i], b[i]);
                let second = _mm256_cmp_ps::<_CMP_UNORD_Q>(c[i], d[i]);
                let (above, below) = (_mm256_max_ps(a[i], b[i]), _mm256_max_ps(c[i], d[i]));
                _mm256_or_ps(_mm256_max_ps(above, below), _mm256_or_ps(first, second))
            }
        };
        [half(0), half(1)]
    }
    #[inline(always)]
    fn sqrt(self, a: V) -> V {
        // SAFETY: `self` proves the features.
        unsafe { [_mm256_sqrt_ps(a[0]), _mm256_sqrt_ps(a[1])] }
    }
    #[inline(always)]
    fn where_equal(self, a: V, b: V, x: V, y: V) -> V {
        let half = |i: usize| {
            // SAFETY: `self` proves the features.
            unsafe { _mm256_blendv_ps(y[i], x[i], _mm256_cmp_ps::<_CMP_EQ_OQ>(a[i], b[i])) }
        };
        [half(0), half(1)]
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
    first: bool,
) {
    // SAFETY: the contract of `GemmKernel` is that of `gemm`; this function has the features.
    unsafe { gemm::<Avx2, R, 1>(Avx2(()), v, v_block, c, u, m, m_block, first) }
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
