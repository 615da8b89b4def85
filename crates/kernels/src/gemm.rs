//! The micro-kernels: two small matrix products whose accumulators stay in registers.
//!
//! 1. [`gemm`]: `m[t][k] = sum over c of v[t][c] * u[c][k]` for a few tiles `t` and a panel of
//!    output channels `k`. Both operands are read once, contiguously; one value of `v` is broadcast
//!    at a time.
//! 2. [`outer`]: `d[c][k] += sum over tiles t of v[t][c] * z[t][k]`, the weight gradient.
//!
//! Where factors are bf16, a word of 4 bytes holds two of them whose products are added: channels
//! `2c` and `2c + 1` in [`gemm`], two tiles in [`outer`]. Loops then run over words; outputs are
//! f32 either way.
//!
//! Every output is one running sum in a fixed order, or the sum of one for every slice of the
//! channels, whatever the number of rows a kernel handles, so results do not depend on how tiles
//! are divided.

use crate::simd::Simd;

/// How far ahead `u` is fetched, in values: 4 KiB lets it stream from the outer caches
/// (256 to 256 channels ran 12 % faster than without).
const PREFETCH: usize = 1024;

/// `m += v * u` for `R` tiles; with `first`, `m` is replaced instead. What is added is a sum of its
/// own: many channels in slices of 128 lose half as much to rounding as in one running sum.
///
/// With `w` = [`Simd::factor_words`], `v` is `[c_blocks][..][R][w]` with `v_block` words between
/// channel blocks, `u` is `[c_blocks * w][NV][16]`, `m` is `[NV][..][R][16]` with `m_block` values
/// between vectors.
///
/// # Safety
/// All three must be valid for these extents, and `m` must not overlap the others.
#[inline(always)]
pub(crate) unsafe fn gemm<S: Simd, const R: usize, const NV: usize>(
    s: S,
    v: *const f32,
    v_block: usize,
    c_blocks: usize,
    u: *const f32,
    m: *mut f32,
    m_block: usize,
    first: bool,
) {
    // SAFETY: every address is inside the extents the caller vouches for; prefetches may point
    // anywhere.
    unsafe {
        let words = s.factor_words();
        // R x NV running sums: as many as the registers hold, and more than a multiply-add's
        // latency times its rate, so that no sum waits for its own last product.
        let mut acc = [[s.zero(); NV]; R];
        for block in 0..c_blocks {
            let vb = v.add(block * v_block);
            let ub = u.add(block * words * NV * 16);
            for c in 0..words {
                let mut weights = [s.zero(); NV];
                // Weights as vectors, pixels broadcast: a weight is loaded once for R tiles, and
                // the broadcast comes with the load of a scalar, so nothing is shuffled.
                for n in 0..NV {
                    let at = ub.add((c * NV + n) * 16);
                    prefetch(at.wrapping_add(PREFETCH));
                    weights[n] = s.load(at);
                }
                for r in 0..R {
                    let x = s.splat(*vb.add(r * words + c));
                    for n in 0..NV {
                        acc[r][n] = s.add_products(acc[r][n], x, weights[n]);
                    }
                }
            }
        }
        // Sums reach memory once, however many channels there were.
        for n in 0..NV {
            for r in 0..R {
                let at = m.add(n * m_block + r * 16);
                let sum = if first {
                    acc[r][n]
                } else {
                    s.add(s.load(at), acc[r][n])
                };
                s.store(at, sum);
            }
        }
    }
}

/// `d += v^T * z` for `R` rows, summed over `n` words of tiles first and added to `d` once; with
/// `first`, `d` is replaced instead.
///
/// `v` is `[n][16]` of which the first `R` lanes are used, `z` is `[NV][..][n][16]` with `z_block`
/// values between vectors, `d` is `[R][..][NV][16]` with `d_row` values between rows.
///
/// # Safety
/// All three must be valid for these extents, and `d` must not overlap the others.
#[inline(always)]
pub(crate) unsafe fn outer<S: Simd, const R: usize, const NV: usize>(
    s: S,
    v: *const f32,
    z: *const f32,
    z_block: usize,
    n: usize,
    d: *mut f32,
    d_row: usize,
    first: bool,
) {
    // SAFETY: every address is inside the extents the caller vouches for.
    unsafe {
        let mut acc = [[s.zero(); NV]; R];
        for t in 0..n {
            let mut right = [s.zero(); NV];
            for j in 0..NV {
                right[j] = s.load(z.add(j * z_block + t * 16));
            }
            for r in 0..R {
                let x = s.splat(*v.add(t * 16 + r));
                for j in 0..NV {
                    acc[r][j] = s.add_products(acc[r][j], x, right[j]);
                }
            }
        }
        for r in 0..R {
            for j in 0..NV {
                let at = d.add(r * d_row + j * 16);
                // Not an early `fill(0)` of `d`: that is one more pass over memory.
                let before = if first { s.zero() } else { s.load(at) };
                s.store(at, s.add(before, acc[r][j]));
            }
        }
    }
}

#[inline(always)]
fn prefetch(at: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint; any address is allowed.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
