//! Batch normalisation over images and pixels, with the activation behind it, and its gradients.
//!
//! Ioffe & Szegedy (2015). Sums run along a row in f32 and over rows, blocks of an image and images
//! in f64, in that order.

use crate::activation::Activation;
use crate::blocked::{Blocked, LANES};
use crate::isa::{Isa, Job, Simd};
use crate::workers::{Shared, Workers};

/// Mean and biased variance of every channel (filled-up channels included).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Mean over images and pixels.
    pub mean: Vec<f64>,
    /// Mean squared distance from it.
    pub variance: Vec<f64>,
}

/// Two sums per channel of one image's block.
type Sums = [[f64; LANES]; 2];

/// Adds up the blocks' sums image by image.
fn total(shape: &Blocked, parts: &[Sums]) -> Vec<[f64; 2]> {
    let mut sums = vec![[0.0; 2]; shape.blocks() * LANES];
    for (task, part) in parts.iter().enumerate() {
        let first = task % shape.blocks() * LANES;
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
    let parts = workers.map(shape.images * shape.blocks(), |task| {
        let x = &x[task * shape.plane()..][..shape.plane()];
        isa.run(Moments {
            row: shape.width * LANES,
            x,
        })
    });
    let n = count(shape);
    let sums = total(shape, &parts);
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
struct Moments<'a> {
    row: usize,
    x: &'a [f32],
}

impl Job for Moments<'_> {
    type Output = Sums;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Sums {
        let mut sums = [[0.0; LANES]; 2];
        for row in self.x.chunks_exact(self.row) {
            let (mut first, mut second) = (s.zero(), s.zero());
            for x in row.chunks_exact(LANES) {
                // SAFETY: 16 values.
                let x = unsafe { s.load(x.as_ptr()) };
                first = s.add(first, x);
                second = s.mul_add(x, x, second);
            }
            add_lanes(s, &mut sums[0], first);
            add_lanes(s, &mut sums[1], second);
        }
        sums
    }
}

#[inline(always)]
fn add_lanes<S: Simd>(s: S, sums: &mut [f64; LANES], v: S::V) {
    let mut lanes = [0.0; LANES];
    // SAFETY: `lanes` holds 16 values.
    unsafe { s.store(lanes.as_mut_ptr(), v) };
    for (sum, lane) in sums.iter_mut().zip(lanes) {
        *sum += f64::from(lane);
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
    let shared = Shared::new(out);
    workers.for_each(shape.images * shape.blocks(), |task| {
        let block = task % shape.blocks() * LANES;
        isa.run(Apply {
            x: &x[task * shape.plane()..][..shape.plane()],
            scale: &scale[block..block + LANES],
            shift: &shift[block..block + LANES],
            activation,
            // SAFETY: every task has a plane of its own.
            out: unsafe { shared.slice(task * shape.plane(), shape.plane()) },
        });
    });
}

struct Apply<'a> {
    x: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    activation: Activation,
    out: &'a mut [f32],
}

impl Job for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: every slice read or written holds 16 values.
        unsafe {
            let (scale, shift) = (s.load(self.scale.as_ptr()), s.load(self.shift.as_ptr()));
            for (x, out) in self
                .x
                .chunks_exact(LANES)
                .zip(self.out.chunks_exact_mut(LANES))
            {
                let y = s.mul_add(s.load(x.as_ptr()), scale, shift);
                s.store(out.as_mut_ptr(), self.activation.apply(s, y));
            }
        }
    }
}

/// What the forward pass leaves for [`backward`].
pub struct Saved<'a> {
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

/// Replaces `d` (the gradient at `saved.y`) by the gradient at `saved.x`; returns the gradients of
/// the trained scale and shift.
///
/// # Panics
/// If a length does not match.
pub fn backward(
    isa: Isa,
    workers: &Workers,
    shape: &Blocked,
    saved: &Saved,
    d: &mut [f32],
) -> (Vec<f32>, Vec<f32>) {
    let Saved {
        x,
        y,
        activation,
        scale,
        shift,
        statistics,
        gamma,
        epsilon,
    } = *saved;
    assert!(
        x.len() == shape.len() && y.len() == x.len() && d.len() == x.len(),
        "array has another size"
    );
    assert!(
        [gamma, scale, shift].map(<[f32]>::len) == [shape.blocks() * LANES; 3],
        "scale has another size"
    );
    let row = shape.width * LANES;
    let shared = Shared::new(d);
    let tasks = shape.images * shape.blocks();
    let parts = workers.map(tasks, |task| {
        let plane = task * shape.plane()..(task + 1) * shape.plane();
        // SAFETY: every task has a plane of its own.
        let d = unsafe { shared.slice(plane.start, shape.plane()) };
        let first = task % shape.blocks() * LANES;
        let mean: [f32; LANES] = std::array::from_fn(|lane| statistics.mean[first + lane] as f32);
        isa.run(Reduce {
            row,
            x: &x[plane.clone()],
            y: &y[plane],
            mean: &mean,
            activation,
            scale: &scale[first..first + LANES],
            shift: &shift[first..first + LANES],
            d,
        })
    });
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
    let mean: Vec<f32> = statistics.mean.iter().map(|&m| m as f32).collect();
    workers.for_each(tasks, |task| {
        let first = task % shape.blocks() * LANES;
        let lanes =
            |values: &[f32]| -> [f32; LANES] { std::array::from_fn(|lane| values[first + lane]) };
        isa.run(Combine {
            x: &x[task * shape.plane()..][..shape.plane()],
            mean: &lanes(&mean),
            coefficients: [
                lanes(&coefficients[0]),
                lanes(&coefficients[1]),
                lanes(&coefficients[2]),
            ],
            // SAFETY: every task has a plane of its own.
            d: unsafe { shared.slice(task * shape.plane(), shape.plane()) },
        });
    });
    (d_gamma, d_beta)
}

/// Applies the activation's gradient to `d`, and sums `d` and `d * (x - mean)`.
struct Reduce<'a> {
    row: usize,
    x: &'a [f32],
    y: &'a [f32],
    mean: &'a [f32; LANES],
    activation: Activation,
    scale: &'a [f32],
    shift: &'a [f32],
    d: &'a mut [f32],
}

impl Job for Reduce<'_> {
    type Output = Sums;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Sums {
        let mut sums = [[0.0; LANES]; 2];
        let rows = self
            .x
            .chunks_exact(self.row)
            .zip(self.y.chunks_exact(self.row));
        // SAFETY: every slice read or written holds 16 values.
        unsafe {
            let mean = s.load(self.mean.as_ptr());
            let (scale, shift) = (s.load(self.scale.as_ptr()), s.load(self.shift.as_ptr()));
            for ((x, y), d) in rows.zip(self.d.chunks_exact_mut(self.row)) {
                let (mut first, mut second) = (s.zero(), s.zero());
                for at in (0..self.row).step_by(LANES) {
                    let x = s.load(x.as_ptr().add(at));
                    let centred = s.sub(x, mean);
                    let before = s.mul_add(x, scale, shift);
                    let (y, g) = (s.load(y.as_ptr().add(at)), s.load(d.as_ptr().add(at)));
                    let g = self.activation.gradient(s, before, y, g);
                    s.store(d.as_mut_ptr().add(at), g);
                    first = s.add(first, g);
                    second = s.mul_add(g, centred, second);
                }
                add_lanes(s, &mut sums[0], first);
                add_lanes(s, &mut sums[1], second);
            }
        }
        sums
    }
}

/// `d = scale * d + slope * (x - mean) + offset`.
struct Combine<'a> {
    x: &'a [f32],
    mean: &'a [f32; LANES],
    coefficients: [[f32; LANES]; 3],
    d: &'a mut [f32],
}

impl Job for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: every slice read or written holds 16 values.
        unsafe {
            let mean = s.load(self.mean.as_ptr());
            let [scale, slope, offset] = &self.coefficients;
            let (scale, slope) = (s.load(scale.as_ptr()), s.load(slope.as_ptr()));
            let offset = s.load(offset.as_ptr());
            for (x, d) in self
                .x
                .chunks_exact(LANES)
                .zip(self.d.chunks_exact_mut(LANES))
            {
                let centred = s.sub(s.load(x.as_ptr()), mean);
                let rest = s.mul_add(slope, centred, offset);
                s.store(d.as_mut_ptr(), s.mul_add(scale, s.load(d.as_ptr()), rest));
            }
        }
    }
}
