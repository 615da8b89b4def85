//! Batch normalisation over images and pixels, with the activation behind it, and its gradients.
//!
//! Ioffe & Szegedy (2015). Sums run along a row in f32, over rows and then over images in f64 (see
//! `pass`): a mean over a million pixels in f32 alone would lose the digits that the variance, a
//! difference of two such sums, is made of.

use crate::activation::Activation;
use crate::blocked::{Blocked, LANES, Rows};
use crate::isa::Isa;
use crate::pass::{Pass, PlaneSums, RowKernel};
use crate::simd::Simd;
use crate::workers::Workers;

/// Mean and biased variance of every channel (filled-up channels included).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Mean over images and pixels.
    pub mean: Vec<f64>,
    /// Mean squared distance from it.
    pub variance: Vec<f64>,
}

/// Adds up the planes' sums image by image.
fn total(shape: &Blocked, planes: &[PlaneSums<2>]) -> Vec<[f64; 2]> {
    let mut sums = vec![[0.0; 2]; shape.blocks() * LANES];
    for (plane, part) in planes.iter().enumerate() {
        let first = plane % shape.blocks() * LANES;
        for lane in 0..LANES {
            sums[first + lane][0] += part[0][lane];
            sums[first + lane][1] += part[1][lane];
        }
    }
    sums
}

/// Number of values a channel has.
fn count(shape: &Blocked) -> f64 {
    (shape.images * shape.height * shape.width) as f64
}

/// Statistics of `x`.
///
/// # Panics
/// If the length does not match.
pub fn statistics(isa: Isa, workers: &Workers, shape: &Blocked, x: &[f32]) -> Statistics {
    assert_eq!(x.len(), shape.len(), "array has another size");
    let kernel = SquareSums {
        row: shape.width * LANES,
        x: shape.whole(x),
    };
    let parts = Pass::whole(isa, workers, shape).sums(None, &kernel);
    let n = count(shape);
    let sums = total(shape, &parts);
    // The mean square minus the square of the mean needs one pass instead of two; in f64 the
    // difference keeps more digits than the f32 it is made of.
    let mean: Vec<f64> = sums.iter().map(|s| s[0] / n).collect();
    let variance = sums
        .iter()
        .zip(&mean)
        .map(|(s, m)| not_negative(s[1] / n - m * m))
        .collect();
    Statistics { mean, variance }
}

/// What rounding has made less than nothing is nothing; NaN stays (`f64::max` would hide it).
pub fn not_negative(variance: f64) -> f64 {
    if variance < 0.0 { 0.0 } else { variance }
}

/// Sum and sum of squares.
struct SquareSums<'a> {
    row: usize,
    x: Rows<'a>,
}

impl RowKernel<2> for SquareSums<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, plane: usize, y: usize, _: &mut [f32]) -> [S::V; 2] {
        let (mut first, mut second) = (s.zero(), s.zero());
        for x in self.x.line(plane, y, self.row).chunks_exact(LANES) {
            // SAFETY: 16 values.
            let x = unsafe { s.load(x.as_ptr()) };
            first = s.add(first, x);
            second = s.mul_add(x, x, second);
        }
        [first, second]
    }
}

/// `out = activation(x * scale + shift)`, channel by channel.
///
/// # Panics
/// If a length does not match.
#[allow(clippy::too_many_arguments)]
pub fn scale_shift(
    isa: Isa,
    workers: &Workers,
    shape: &Blocked,
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    activation: Activation,
    out: &mut [f32],
) {
    assert!(
        x.len() == shape.len() && out.len() == x.len(),
        "array has another size"
    );
    assert!(
        scale.len() == shape.blocks() * LANES && shift.len() == scale.len(),
        "scale has another size"
    );
    let kernel = ScaleShift {
        blocks: shape.blocks(),
        x: shape.whole(x),
        scale,
        shift,
        activation,
    };
    Pass::whole(isa, workers, shape).run(shape.whole_mut(out), &kernel);
}

struct ScaleShift<'a> {
    blocks: usize,
    x: Rows<'a>,
    scale: &'a [f32],
    shift: &'a [f32],
    activation: Activation,
}

impl RowKernel<0> for ScaleShift<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, plane: usize, y: usize, out: &mut [f32]) -> [S::V; 0] {
        let channels = plane % self.blocks * LANES;
        let (scale, shift) = (&self.scale[channels..], &self.shift[channels..]);
        let (scale, shift) = (&scale[..LANES], &shift[..LANES]);
        let line = self.x.line(plane, y, out.len());
        // SAFETY: every slice read or written holds 16 values.
        unsafe {
            let (scale, shift) = (s.load(scale.as_ptr()), s.load(shift.as_ptr()));
            for (x, out) in line.chunks_exact(LANES).zip(out.chunks_exact_mut(LANES)) {
                let y = s.mul_add(s.load(x.as_ptr()), scale, shift);
                s.store(out.as_mut_ptr(), self.activation.apply(s, y));
            }
        }
        []
    }
}

/// What the forward pass leaves for [`backward`].
pub struct ForwardRecord<'a> {
    /// Input of the batch norm.
    pub x: &'a [f32],
    /// Output of the activation behind it.
    pub y: &'a [f32],
    /// The activation.
    pub activation: Activation,
    /// What the forward pass multiplied `x` with ...
    pub scale: &'a [f32],
    /// ... and added to it.
    pub shift: &'a [f32],
    /// Statistics of `x`.
    pub statistics: &'a Statistics,
    /// Trained scale, filled up to whole blocks.
    pub gamma: &'a [f32],
    /// Added to the variance.
    pub epsilon: f64,
}

/// Replaces `d` (the gradient at `forward.y`) by the gradient at `forward.x`; returns the gradients
/// of the trained scale and shift.
///
/// # Panics
/// If a length does not match.
pub fn backward(
    isa: Isa,
    workers: &Workers,
    shape: &Blocked,
    forward: &ForwardRecord,
    d: &mut [f32],
) -> (Vec<f32>, Vec<f32>) {
    let ForwardRecord {
        x,
        y,
        activation,
        scale,
        shift,
        statistics,
        gamma,
        epsilon,
    } = *forward;
    assert!(
        x.len() == shape.len() && y.len() == x.len() && d.len() == x.len(),
        "array has another size"
    );
    assert!(
        [gamma, scale, shift].map(<[f32]>::len) == [shape.blocks() * LANES; 3],
        "scale has another size"
    );
    let mean: Vec<f32> = statistics.mean.iter().map(|&m| m as f32).collect();
    let reduce = Reduce {
        blocks: shape.blocks(),
        x: shape.whole(x),
        y: shape.whole(y),
        mean: &mean,
        activation,
        scale,
        shift,
    };
    let pass = Pass::whole(isa, workers, shape);
    let parts = pass.sums(Some(shape.whole_mut(d)), &reduce);
    // The gradient through mean and variance is a linear function of `x` for every channel, so the
    // second pass needs three numbers of it: the scale, a slope along x - mean, and an offset.
    let n = count(shape);
    let sums = total(shape, &parts);
    let mut coefficients = [vec![], vec![], vec![]];
    let (mut d_gamma, mut d_beta) = (vec![], vec![]);
    for (channel, [sum, product]) in sums.into_iter().enumerate() {
        let inverse = 1.0 / (statistics.variance[channel] + epsilon).sqrt();
        let scale = f64::from(gamma[channel]) * inverse;
        let slope = -scale * inverse * inverse * product / n;
        d_gamma.push((product * inverse) as f32);
        d_beta.push(sum as f32);
        coefficients[0].push(scale as f32);
        coefficients[1].push(slope as f32);
        coefficients[2].push((-scale * sum / n) as f32);
    }
    let combine = Combine {
        blocks: shape.blocks(),
        x: shape.whole(x),
        mean: &mean,
        coefficients: &coefficients,
    };
    pass.run(shape.whole_mut(d), &combine);
    (d_gamma, d_beta)
}

/// Applies the activation's gradient to `d`, and sums `d` and `d * (x - mean)`.
struct Reduce<'a> {
    blocks: usize,
    x: Rows<'a>,
    y: Rows<'a>,
    mean: &'a [f32],
    activation: Activation,
    scale: &'a [f32],
    shift: &'a [f32],
}

impl RowKernel<2> for Reduce<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, plane: usize, y: usize, d: &mut [f32]) -> [S::V; 2] {
        let channels = plane % self.blocks * LANES;
        let (mean, scale) = (
            &self.mean[channels..][..LANES],
            &self.scale[channels..][..LANES],
        );
        let shift = &self.shift[channels..][..LANES];
        let (line, made) = (
            self.x.line(plane, y, d.len()),
            self.y.line(plane, y, d.len()),
        );
        let (mut first, mut second) = (s.zero(), s.zero());
        // SAFETY: three vectors of a block's channels, and pixels of rows that are equally long.
        unsafe {
            let (mean, scale) = (s.load(mean.as_ptr()), s.load(scale.as_ptr()));
            let shift = s.load(shift.as_ptr());
            for at in (0..d.len()).step_by(LANES) {
                let x = s.load(line.as_ptr().add(at));
                let centred = s.sub(x, mean);
                // What the activation saw is made again: that costs less than keeping it.
                let before = s.mul_add(x, scale, shift);
                let (y, g) = (s.load(made.as_ptr().add(at)), s.load(d.as_ptr().add(at)));
                let g = self.activation.gradient(s, before, y, g);
                s.store(d.as_mut_ptr().add(at), g);
                first = s.add(first, g);
                second = s.mul_add(g, centred, second);
            }
        }
        [first, second]
    }
}

/// `d = scale * d + slope * (x - mean) + offset`.
struct Combine<'a> {
    blocks: usize,
    x: Rows<'a>,
    mean: &'a [f32],
    /// Scale, slope and offset of every channel.
    coefficients: &'a [Vec<f32>; 3],
}

impl RowKernel<0> for Combine<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, plane: usize, y: usize, d: &mut [f32]) -> [S::V; 0] {
        let channels = plane % self.blocks * LANES;
        let [scale, slope, offset] = self.coefficients;
        let (mean, scale) = (&self.mean[channels..][..LANES], &scale[channels..][..LANES]);
        let (slope, offset) = (&slope[channels..][..LANES], &offset[channels..][..LANES]);
        let line = self.x.line(plane, y, d.len());
        // SAFETY: every slice read or written holds 16 values.
        unsafe {
            let (mean, scale) = (s.load(mean.as_ptr()), s.load(scale.as_ptr()));
            let (slope, offset) = (s.load(slope.as_ptr()), s.load(offset.as_ptr()));
            for (x, d) in line.chunks_exact(LANES).zip(d.chunks_exact_mut(LANES)) {
                let centred = s.sub(s.load(x.as_ptr()), mean);
                let rest = s.mul_add(slope, centred, offset);
                s.store(d.as_mut_ptr(), s.mul_add(scale, s.load(d.as_ptr()), rest));
            }
        }
        []
    }
}
