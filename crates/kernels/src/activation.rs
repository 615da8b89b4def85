//! Functions of single values that follow a convolution, and their gradients. NaN stays NaN: a step
//! that went wrong must show in the loss.
//!
//! The exponential behind swish: `e^x = 2^n * e^r` with whole `n` and `|r| <= ln(2) / 2`. `e^r` is
//! its Taylor polynomial of degree 7, whose remainder is below `r^8 / 8! * 2 = 1e-8`, a sixth of
//! f32's rounding; `2^n` is made from its bits. `ln(2)` is taken away in two parts, the first of
//! which has few digits, so that `n * ln(2)` loses none.

use crate::simd::Lanes;

/// What happens to every value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)` (Sandler et al. 2018, MobileNetV2).
    Relu6,
    /// `x / (1 + e^-x)` (Ramachandran et al. 2017), also called SiLU.
    Swish,
}

impl Activation {
    /// The function of `x`.
    #[inline(always)]
    pub(crate) fn apply<S: Lanes>(self, s: S, x: S::V) -> S::V {
        match self {
            Self::None => x,
            Self::Relu => s.max(s.zero(), x),
            Self::Relu6 => s.min(s.splat(6.0), s.max(s.zero(), x)),
            Self::Swish => s.mul(x, sigmoid(s, x)),
        }
    }

    /// The gradient at `x`, which gave `y`, from the gradient `d` at `y`.
    #[inline(always)]
    pub(crate) fn gradient<S: Lanes>(self, s: S, x: S::V, y: S::V, d: S::V) -> S::V {
        match self {
            Self::None => d,
            Self::Relu => s.where_positive(y, d),
            Self::Relu6 => {
                let below = s.where_positive(s.sub(s.splat(6.0), y), d);
                s.where_positive(y, below)
            }
            Self::Swish => {
                // (x g)' = g + x g (1 - g) with the sigmoid g.
                let g = sigmoid(s, x);
                let rest = s.mul(y, s.sub(s.splat(1.0), g));
                s.mul(d, s.add(g, rest))
            }
        }
    }
}

/// `1 / (1 + e^-x)`, within 2e-7 of it.
#[inline(always)]
pub(crate) fn sigmoid<S: Lanes>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.sub(s.zero(), x))))
}

/// `e^x` for `x` between -87 and 88, and its value there beyond; relative error below 2e-7. NaN for
/// NaN.
#[inline(always)]
fn exp<S: Lanes>(s: S, x: S::V) -> S::V {
    /// Adding and taking away 1.5 * 2^23 rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    /// The first 10 bits of ln(2), and the rest of it.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    /// 1 / k! for k = 7 down to 0.
    const TAYLOR: [f32; 8] = [
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ];
    // `x` second in both: NaN stays. Beyond these bounds 2^n would leave its 8 bits.
    let x = s.max(s.splat(-87.0), s.min(s.splat(88.0), x));
    // Where f32 has no digits after the point, the addition itself rounds; there is no instruction
    // for it on every set.
    let scaled = s.mul_add(x, s.splat(std::f32::consts::LOG2_E), s.splat(ROUND));
    let n = s.sub(scaled, s.splat(ROUND));
    let r = s.mul_add(n, s.splat(-LN2[0]), x);
    let r = s.mul_add(n, s.splat(-LN2[1]), r);
    let mut p = s.splat(TAYLOR[0]);
    for k in 1..TAYLOR.len() {
        p = s.mul_add(p, r, s.splat(TAYLOR[k]));
    }
    s.mul(p, s.exp2_whole(n))
}

#[cfg(test)]
mod tests;
