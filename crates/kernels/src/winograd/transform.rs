//! The transforms between tiles and the 36 positions, a vector of channels at a time.
//!
//! One-dimensional matrices, with a = sqrt(1/2), b = sqrt(2) (rows in the order 0, a, -a, b, -b, inf):
//! `B^T` (6x6) on patches, `G` (6x3) on filters, `A^T` (4x6) on products. Both dimensions use the same
//! matrix, columns first.
//!
//! Loops, not iterators or `map`: closures handed to library functions are compiled without the
//! instruction set's features, and every vector operation in them becomes a call.

use super::{PATCH, TILE};
use crate::isa::Lanes;

const A: f32 = std::f32::consts::FRAC_1_SQRT_2;
const B: f32 = std::f32::consts::SQRT_2;
/// a^2, b^2 and their powers are exact.
const A2: f32 = 0.5;
const B2: f32 = 2.0;
const A3: f32 = 0.5 * A;
const B3: f32 = 2.0 * B;
/// Row weights of `G`: 1 / product of the differences to the other points.
const GA: f32 = -2.0 / 3.0;
const GB: f32 = 1.0 / 6.0;

/// `B^T d`.
#[inline(always)]
fn patch_1d<S: Lanes>(s: S, d: [S::V; PATCH]) -> [S::V; PATCH] {
    let even_a = s.mul_add(s.splat(-B2), d[2], d[4]);
    let odd_a = s.mul(s.splat(A), s.mul_add(s.splat(-B2), d[1], d[3]));
    let even_b = s.mul_add(s.splat(-A2), d[2], d[4]);
    let odd_b = s.mul(s.splat(B), s.mul_add(s.splat(-A2), d[1], d[3]));
    let sum = s.splat(-(A2 + B2));
    [
        s.add(d[0], s.mul_add(sum, d[2], d[4])),
        s.add(even_a, odd_a),
        s.sub(even_a, odd_a),
        s.add(even_b, odd_b),
        s.sub(even_b, odd_b),
        s.add(d[1], s.mul_add(sum, d[3], d[5])),
    ]
}

/// `A^T m`.
#[inline(always)]
fn product_1d<S: Lanes>(s: S, m: [S::V; PATCH]) -> [S::V; TILE] {
    let (sum_a, diff_a) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    let (sum_b, diff_b) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
    [
        s.add(m[0], s.add(sum_a, sum_b)),
        s.mul_add(s.splat(A), diff_a, s.mul(s.splat(B), diff_b)),
        s.mul_add(s.splat(A2), sum_a, s.mul(s.splat(B2), sum_b)),
        s.mul_add(s.splat(A3), diff_a, s.mul_add(s.splat(B3), diff_b, m[5])),
    ]
}

/// `A y`: the transpose of [`product_1d`].
#[inline(always)]
fn tile_1d<S: Lanes>(s: S, y: [S::V; TILE]) -> [S::V; PATCH] {
    let even_a = s.mul_add(s.splat(A2), y[2], y[0]);
    let odd_a = s.mul(s.splat(A), s.mul_add(s.splat(A2), y[3], y[1]));
    let even_b = s.mul_add(s.splat(B2), y[2], y[0]);
    let odd_b = s.mul(s.splat(B), s.mul_add(s.splat(B2), y[3], y[1]));
    [
        y[0],
        s.add(even_a, odd_a),
        s.sub(even_a, odd_a),
        s.add(even_b, odd_b),
        s.sub(even_b, odd_b),
        y[3],
    ]
}

/// `G g`.
#[inline(always)]
fn filter_1d<S: Lanes>(s: S, g: [S::V; 3]) -> [S::V; PATCH] {
    let even_a = s.mul(s.splat(GA), s.mul_add(s.splat(A2), g[2], g[0]));
    let odd_a = s.mul(s.splat(GA * A), g[1]);
    let even_b = s.mul(s.splat(GB), s.mul_add(s.splat(B2), g[2], g[0]));
    let odd_b = s.mul(s.splat(GB * B), g[1]);
    [
        g[0],
        s.add(even_a, odd_a),
        s.sub(even_a, odd_a),
        s.add(even_b, odd_b),
        s.sub(even_b, odd_b),
        g[2],
    ]
}

/// `G^T u`: the transpose of [`filter_1d`].
#[inline(always)]
fn filter_gradient_1d<S: Lanes>(s: S, u: [S::V; PATCH]) -> [S::V; 3] {
    let (sum_a, diff_a) = (s.add(u[1], u[2]), s.sub(u[1], u[2]));
    let (sum_b, diff_b) = (s.add(u[3], u[4]), s.sub(u[3], u[4]));
    let both = s.mul_add(s.splat(GA), sum_a, s.mul(s.splat(GB), sum_b));
    let squares = s.mul_add(s.splat(GA * A2), sum_a, s.mul(s.splat(GB * B2), sum_b));
    [
        s.add(u[0], both),
        s.mul_add(s.splat(GA * A), diff_a, s.mul(s.splat(GB * B), diff_b)),
        s.add(squares, u[5]),
    ]
}

/// Where the 36 vectors of a patch lie: `rows[i] + columns[j]`.
#[derive(Clone, Copy)]
pub(super) struct Patch {
    pub(super) rows: [*const f32; PATCH],
    pub(super) columns: [usize; PATCH],
}

/// `B^T d B` of a patch, of the channels from `lane` on.
///
/// # Safety
/// The patch must be readable.
#[inline(always)]
pub(super) unsafe fn patch<S: Lanes>(s: S, from: &Patch, lane: usize) -> [[S::V; PATCH]; PATCH] {
    let mut half = [[s.zero(); PATCH]; PATCH];
    for j in 0..PATCH {
        let mut column = [s.zero(); PATCH];
        for i in 0..PATCH {
            // SAFETY: inside the patch the caller vouches for.
            column[i] = unsafe { s.load(from.rows[i].add(from.columns[j] + lane)) };
        }
        let t = patch_1d(s, column);
        for i in 0..PATCH {
            half[i][j] = t[i];
        }
    }
    for i in 0..PATCH {
        half[i] = patch_1d(s, half[i]);
    }
    half
}

/// `A^T m A` of 36 products, `stride` values between positions.
///
/// # Safety
/// The 36 places must be readable, a vector each.
#[inline(always)]
pub(super) unsafe fn product<S: Lanes>(
    s: S,
    from: *const f32,
    stride: usize,
) -> [[S::V; TILE]; TILE] {
    let mut half = [[s.zero(); PATCH]; TILE];
    for j in 0..PATCH {
        let mut column = [s.zero(); PATCH];
        for i in 0..PATCH {
            // SAFETY: one of the 36 places.
            column[i] = unsafe { s.load(from.add((i * PATCH + j) * stride)) };
        }
        let t = product_1d(s, column);
        for i in 0..TILE {
            half[i][j] = t[i];
        }
    }
    let mut out = [[s.zero(); TILE]; TILE];
    for i in 0..TILE {
        out[i] = product_1d(s, half[i]);
    }
    out
}

/// `A y A^T` of an output tile.
#[inline(always)]
pub(super) fn tile<S: Lanes>(s: S, y: [[S::V; TILE]; TILE]) -> [[S::V; PATCH]; PATCH] {
    let mut half = [[s.zero(); TILE]; PATCH];
    for j in 0..TILE {
        let t = tile_1d(s, [y[0][j], y[1][j], y[2][j], y[3][j]]);
        for i in 0..PATCH {
            half[i][j] = t[i];
        }
    }
    let mut out = [[s.zero(); PATCH]; PATCH];
    for i in 0..PATCH {
        out[i] = tile_1d(s, half[i]);
    }
    out
}

/// `G g G^T` of a 3x3 filter.
#[inline(always)]
pub(super) fn filter<S: Lanes>(s: S, g: [[S::V; 3]; 3]) -> [[S::V; PATCH]; PATCH] {
    let mut half = [[s.zero(); 3]; PATCH];
    for j in 0..3 {
        let t = filter_1d(s, [g[0][j], g[1][j], g[2][j]]);
        for i in 0..PATCH {
            half[i][j] = t[i];
        }
    }
    let mut out = [[s.zero(); PATCH]; PATCH];
    for i in 0..PATCH {
        out[i] = filter_1d(s, half[i]);
    }
    out
}

/// `G^T u G` of 36 products.
#[inline(always)]
pub(super) fn filter_gradient<S: Lanes>(s: S, u: [[S::V; PATCH]; PATCH]) -> [[S::V; 3]; 3] {
    let mut half = [[s.zero(); PATCH]; 3];
    for j in 0..PATCH {
        let t = filter_gradient_1d(s, [u[0][j], u[1][j], u[2][j], u[3][j], u[4][j], u[5][j]]);
        for i in 0..3 {
            half[i][j] = t[i];
        }
    }
    let mut out = [[s.zero(); 3]; 3];
    for i in 0..3 {
        out[i] = filter_gradient_1d(s, half[i]);
    }
    out
}
