//! F(6x6, 3x3): a patch of 8x8 makes 36 outputs of 64 products, 1.8 each instead of 2.25. Its error
//! is about four times that of [`super::Four`], still of the order of f32: among symmetric sets of
//! seven points none is better than these.
//!
//! Points 0, +-1/2, +-1, +-2 and infinity (rows in this order). The row of `B^T` for a point p
//! holds the coefficients of `x (x^2 - 1/4) (x^2 - 1) (x^2 - 4)` without the factor `x - p`, that
//! for infinity those of the whole; for 0 the row and its weight in `G`, -1, are turned in sign.

use super::Points;
use crate::simd::Lanes;

#[derive(Clone, Copy)]
pub(in crate::winograd) struct Six;

/// Row weights of `G`: 1 / product of the differences to the other points.
const G_HALF: f32 = 32.0 / 45.0;
const G_ONE: f32 = -2.0 / 9.0;
const G_TWO: f32 = 1.0 / 90.0;
/// Sum of the squares of the points, and, since their product is 1, of the products of two of them.
const SUM: f32 = 5.25;

/// Rows of `B^T` for the points `p` and `-p`: even and odd powers of `(x^2 + p x) (x^2 - q^2) (x^2
/// - r^2)`, with the sum and the product of the squares of the other points q and r.
#[inline(always)]
fn patch_pair<S: Lanes>(s: S, d: &[S::V; 8], p: f32, sum: f32, product: f32) -> [S::V; 2] {
    let (sum, product) = (s.splat(-sum), s.splat(product));
    let even = s.mul_add(product, d[2], s.mul_add(sum, d[4], d[6]));
    let odd = s.mul_add(product, d[1], s.mul_add(sum, d[3], d[5]));
    [
        s.mul_add(s.splat(p), odd, even),
        s.mul_add(s.splat(-p), odd, even),
    ]
}

/// Rows of `G` for the points `p` and `-p`.
#[inline(always)]
fn filter_pair<S: Lanes>(s: S, g: &[S::V; 3], p: f32, weight: f32) -> [S::V; 2] {
    let even = s.mul(s.splat(weight), s.mul_add(s.splat(p * p), g[2], g[0]));
    let odd = s.mul(s.splat(weight * p), g[1]);
    [s.add(even, odd), s.sub(even, odd)]
}

impl Points<6, 8> for Six {
    #[inline(always)]
    fn patch_1d<S: Lanes>(s: S, d: [S::V; 8]) -> [S::V; 8] {
        let sum = s.splat(SUM);
        let [half, minus_half] = patch_pair(s, &d, 0.5, 5.0, 4.0);
        let [one, minus_one] = patch_pair(s, &d, 1.0, 4.25, 1.0);
        let [two, minus_two] = patch_pair(s, &d, 2.0, 1.25, 0.25);
        [
            s.mul_add(sum, s.sub(d[4], d[2]), s.sub(d[0], d[6])),
            half,
            minus_half,
            one,
            minus_one,
            two,
            minus_two,
            s.mul_add(sum, s.sub(d[3], d[5]), s.sub(d[7], d[1])),
        ]
    }

    #[inline(always)]
    fn product_1d<S: Lanes>(s: S, m: [S::V; 8]) -> [S::V; 6] {
        let (sum_half, diff_half) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
        let (sum_one, diff_one) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
        let (sum_two, diff_two) = (s.add(m[5], m[6]), s.sub(m[5], m[6]));
        // The n-th power of each point times what belongs to it.
        // All weights are powers of two, so only the additions round.
        let odd_1 = s.mul_add(s.splat(0.5), diff_half, diff_one);
        let even_2 = s.mul_add(s.splat(0.25), sum_half, sum_one);
        let odd_3 = s.mul_add(s.splat(0.125), diff_half, diff_one);
        let even_4 = s.mul_add(s.splat(0.0625), sum_half, sum_one);
        let odd_5 = s.mul_add(s.splat(0.03125), diff_half, diff_one);
        [
            s.add(s.add(m[0], sum_one), s.add(sum_half, sum_two)),
            s.mul_add(s.splat(2.0), diff_two, odd_1),
            s.mul_add(s.splat(4.0), sum_two, even_2),
            s.mul_add(s.splat(8.0), diff_two, odd_3),
            s.mul_add(s.splat(16.0), sum_two, even_4),
            s.add(m[7], s.mul_add(s.splat(32.0), diff_two, odd_5)),
        ]
    }

    #[inline(always)]
    fn filter_1d<S: Lanes>(s: S, g: [S::V; 3]) -> [S::V; 8] {
        let [half, minus_half] = filter_pair(s, &g, 0.5, G_HALF);
        let [one, minus_one] = filter_pair(s, &g, 1.0, G_ONE);
        let [two, minus_two] = filter_pair(s, &g, 2.0, G_TWO);
        [g[0], half, minus_half, one, minus_one, two, minus_two, g[2]]
    }
}
