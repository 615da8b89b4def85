//! F(4x4, 3x3): a patch of 6x6 makes 16 outputs of 36 products, and as exact as a direct sum in
//! f32.
//!
//! With a = sqrt(1/2), b = sqrt(2) rows are in the order 0, a, -a, b, -b, infinity.

use super::{Patch, Points, patch_columns};
use crate::simd::Lanes;

#[derive(Clone, Copy)]
pub(in crate::winograd) struct Four;

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

impl Points<4, 6> for Four {
    #[inline(always)]
    fn patch_1d<S: Lanes>(s: S, d: [S::V; 6]) -> [S::V; 6] {
        // Points come in pairs p, -p: what is even in p is shared, what is odd changes its sign.
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

    #[inline(always)]
    fn product_1d<S: Lanes>(s: S, m: [S::V; 6]) -> [S::V; 4] {
        let (sum_a, diff_a) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
        let (sum_b, diff_b) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
        [
            s.add(m[0], s.add(sum_a, sum_b)),
            s.mul_add(s.splat(A), diff_a, s.mul(s.splat(B), diff_b)),
            s.mul_add(s.splat(A2), sum_a, s.mul(s.splat(B2), sum_b)),
            s.mul_add(s.splat(A3), diff_a, s.mul_add(s.splat(B3), diff_b, m[5])),
        ]
    }

    #[inline(always)]
    fn filter_1d<S: Lanes>(s: S, g: [S::V; 3]) -> [S::V; 6] {
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
}

/// `A y`: the transpose of `product_1d`.
#[inline(always)]
fn tile_1d<S: Lanes>(s: S, y: [S::V; 4]) -> [S::V; 6] {
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

/// `G^T u`: the transpose of `filter_1d`.
#[inline(always)]
fn filter_gradient_1d<S: Lanes>(s: S, u: [S::V; 6]) -> [S::V; 3] {
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

/// `B^T d B` of a patch, of the channels from `lane` on.
///
/// # Safety
/// The patch must be readable.
#[inline(always)]
pub(in crate::winograd) unsafe fn patch<S: Lanes>(
    s: S,
    from: &Patch<6>,
    lane: usize,
) -> [[S::V; 6]; 6] {
    let mut half = [[s.zero(); 6]; 6];
    // SAFETY: as the caller promises.
    unsafe { patch_columns::<S, Four, 4, 6>(s, from, lane, &mut half) };
    for i in 0..6 {
        half[i] = Four::patch_1d(s, half[i]);
    }
    half
}

/// `A y A^T` of an output tile.
#[inline(always)]
pub(in crate::winograd) fn tile<S: Lanes>(s: S, y: [[S::V; 4]; 4]) -> [[S::V; 6]; 6] {
    let mut half = [[s.zero(); 4]; 6];
    for j in 0..4 {
        let t = tile_1d(s, [y[0][j], y[1][j], y[2][j], y[3][j]]);
        for i in 0..6 {
            half[i][j] = t[i];
        }
    }
    let mut out = [[s.zero(); 6]; 6];
    for i in 0..6 {
        out[i] = tile_1d(s, half[i]);
    }
    out
}

/// `G^T u G` of 36 products.
#[inline(always)]
pub(in crate::winograd) fn filter_gradient<S: Lanes>(s: S, u: [[S::V; 6]; 6]) -> [[S::V; 3]; 3] {
    let mut half = [[s.zero(); 6]; 3];
    for j in 0..6 {
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
