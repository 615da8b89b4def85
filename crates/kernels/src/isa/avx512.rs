//! AVX-512F: one register of 16 lanes, 32 of them; with bf16 factors in matrix products, or
//! without.

use super::chains::chains;
use crate::gemm::{gemm, outer};
use crate::simd::{GemmKernel, Lanes, OuterKernel, Simd, SimdKernel};
use std::arch::x86_64::*;

/// Proof that the processor has AVX-512F and, with `BF16`, AVX-512BW and BF16; made in [`run`],
/// [`run_bf16`] and in the kernel tables only.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const BF16: bool>(());

/// Runs `job` with AVX-512 switched on.
///
/// # Safety
/// The processor must have AVX-512F and FMA.
#[target_feature(enable = "avx512f,avx2,fma")]
pub(super) unsafe fn run<J: SimdKernel>(job: J) -> J::Output {
    job.run(Avx512::<false>(()))
}

/// Runs `job` with AVX-512 and its bf16 instructions switched on.
///
/// # Safety
/// The processor must have AVX-512F, AVX-512BW, AVX-512 BF16 and FMA.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma")]
pub(super) unsafe fn run_bf16<J: SimdKernel>(job: J) -> J::Output {
    job.run(Avx512::<true>(()))
}

impl<const BF16: bool> Lanes for Avx512<BF16> {
    type V = __m512;
    const WIDTH: usize = 16;

    #[inline(always)]
    fn zero(self) -> __m512 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn exp2_whole(self, x: __m512) -> __m512 {
        // SAFETY: `self` proves the feature.
        unsafe {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        }
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn where_positive(self, sign: __m512, x: __m512) -> __m512 {
        // SAFETY: `self` proves the feature.
        unsafe {
            _mm512_maskz_mov_ps(
                _mm512_cmp_ps_mask::<_CMP_GT_OQ>(sign, _mm512_setzero_ps()),
                x,
            )
        }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the caller promises 16 readable values; `self` proves the feature.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: __m512) {
        // SAFETY: the caller promises 16 writable values; `self` proves the feature.
        unsafe { _mm512_storeu_ps(to, x) }
    }
    #[inline(always)]
    unsafe fn store_factors(self, to: *mut f32, x: __m512) {
        // SAFETY: the caller promises the words; with `BF16`, `self` proves the feature.
        unsafe {
            if BF16 {
                let factors = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x));
                _mm256_storeu_si256(to.cast(), factors);
            } else {
                self.store(to, x);
            }
        }
    }
}

impl<const BF16: bool> Simd for Avx512<BF16> {
    type Register = Self;
    #[inline(always)]
    fn register(self) -> Self {
        self
    }

    #[inline(always)]
    fn max_or_nan(self, [a, b, c, d]: [__m512; 4]) -> __m512 {
        // SAFETY: `self` proves the feature.
        unsafe {
            // A maximum is its second value where either is NaN, so it is taken only where all four
            // are numbers.
            let ordered = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(a, b);
            let ordered = _mm512_mask_cmp_ps_mask::<_CMP_ORD_Q>(ordered, c, d);
            let (above, below) = (_mm512_max_ps(a, b), _mm512_max_ps(c, d));
            _mm512_mask_max_ps(_mm512_set1_ps(f32::NAN), ordered, above, below)
        }
    }
    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm512_sqrt_ps(a) }
    }
    #[inline(always)]
    fn where_equal(self, a: __m512, b: __m512, x: __m512, y: __m512) -> __m512 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b), y, x) }
    }

    #[inline(always)]
    fn factor_words(self) -> usize {
        if BF16 { 8 } else { 16 }
    }
    #[inline(always)]
    unsafe fn store_factor_rows(self, to: *mut f32, row: usize, even: __m512, odd: __m512) {
        // SAFETY: the caller promises the words; with `BF16`, `self` proves the feature.
        unsafe {
            if BF16 {
                // `vdpbf16ps` multiplies pairs that lie in one word: row c is the low half of every
                // word, row c + 1 the high half.
                let low = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(even));
                let high = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(odd));
                let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(high));
                let pairs = _mm512_or_si512(_mm512_cvtepu16_epi32(low), high);
                _mm512_storeu_si512(to.cast(), pairs);
            } else {
                self.store(to, even);
                self.store(to.add(row), odd);
            }
        }
    }
    #[inline(always)]
    fn add_products(self, acc: __m512, x: __m512, w: __m512) -> __m512 {
        if BF16 {
            // SAFETY: `self` proves the feature.
            unsafe { _mm512_dpbf16_ps(acc, pairs(x), pairs(w)) }
        } else {
            self.mul_add(x, w, acc)
        }
    }
    fn gemm_kernels(self, nv: usize) -> &'static [GemmKernel] {
        match (BF16, nv) {
            (false, 2) => &WIDE,
            (false, _) => &NARROW,
            (true, 2) => &WIDE_BF16,
            (true, _) => &NARROW_BF16,
        }
    }
    fn widest_panel(self) -> usize {
        2
    }
    fn outer_kernel(self, nv: usize) -> (OuterKernel, usize) {
        // 16 accumulators either way; the rest of the 32 registers hides the latency.
        match (BF16, nv) {
            (false, 2) => (outer_k::<8, 2>, 8),
            (false, _) => (outer_k::<16, 1>, 16),
            (true, 2) => (outer_bf16_k::<8, 2>, 8),
            (true, _) => (outer_bf16_k::<16, 1>, 16),
        }
    }

    #[inline(always)]
    fn chains(self, rounds: usize) -> usize {
        // 24 of 32 registers: two units with a latency of 4 need 8.
        chains::<Self, 24>(self, rounds)
    }
}

/// The same bits as pairs of bf16.
#[inline(always)]
fn pairs(x: __m512) -> __m512bh {
    // SAFETY: both are 512 bits of any content.
    unsafe { std::mem::transmute::<__m512, __m512bh>(x) }
}

macro_rules! table {
    ($kernel:ident $nv:literal: $($r:literal)*) => { [$($kernel::<$r, $nv> as GemmKernel),*] };
}

/// 14 tiles of 32 outputs: 28 accumulators, 2 weights, 2 registers left.
static WIDE: [GemmKernel; 14] = table!(gemm_k 2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
/// 28 tiles of 16 outputs: 28 accumulators, 1 weight.
static NARROW: [GemmKernel; 28] =
    table!(gemm_k 1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28);

/// The same with bf16 factors.
static WIDE_BF16: [GemmKernel; 14] = table!(gemm_bf16_k 2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
/// The same with bf16 factors.
static NARROW_BF16: [GemmKernel; 28] = table!(gemm_bf16_k 1:
    1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28);

#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn gemm_k<const R: usize, const NV: usize>(
    v: *const f32,
    v_block: usize,
    c: usize,
    u: *const f32,
    m: *mut f32,
    m_block: usize,
    first: bool,
) {
    // SAFETY: the contract of `GemmKernel` is that of `gemm`; this function has the feature.
    unsafe { gemm::<Avx512<false>, R, NV>(Avx512(()), v, v_block, c, u, m, m_block, first) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma")]
unsafe fn gemm_bf16_k<const R: usize, const NV: usize>(
    v: *const f32,
    v_block: usize,
    c: usize,
    u: *const f32,
    m: *mut f32,
    m_block: usize,
    first: bool,
) {
    // SAFETY: the contract of `GemmKernel` is that of `gemm`; this function has the features.
    unsafe { gemm::<_, R, NV>(Avx512::<true>(()), v, v_block, c, u, m, m_block, first) }
}

#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn outer_k<const R: usize, const NV: usize>(
    v: *const f32,
    z: *const f32,
    z_block: usize,
    n: usize,
    d: *mut f32,
    d_row: usize,
    first: bool,
) {
    // SAFETY: the contract of `OuterKernel` is that of `outer`; this function has the feature.
    unsafe { outer::<Avx512<false>, R, NV>(Avx512(()), v, z, z_block, n, d, d_row, first) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma")]
unsafe fn outer_bf16_k<const R: usize, const NV: usize>(
    v: *const f32,
    z: *const f32,
    z_block: usize,
    n: usize,
    d: *mut f32,
    d_row: usize,
    first: bool,
) {
    // SAFETY: the contract of `OuterKernel` is that of `outer`; this function has the features.
    unsafe { outer::<_, R, NV>(Avx512::<true>(()), v, z, z_block, n, d, d_row, first) }
}
