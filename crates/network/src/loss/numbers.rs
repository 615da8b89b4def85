//! The loss of an output whose channels are numbers: the mean over all known ones of a function of
//! the difference between what is predicted, after the link, and what is true. NaN = not known.
//!
//! Two passes over blocks of fixed length, as for classes: known numbers are counted, then losses
//! and gradients made; sums of blocks are added in order.

use super::BLOCK;
use crate::output::{Link, Output, OutputLoss};
use rayon::prelude::*;
use stainfree_kernels::link::sigmoid;

/// The part of an output in one image: numbers before the link, their gradient, and what is true;
/// `[channel][pixel]` all.
pub(super) struct Numbers<'a> {
    pub(super) before: &'a [f32],
    pub(super) gradient: &'a mut [f32],
    pub(super) truth: &'a [f32],
}

/// Loss of `output` over the images of a batch, without its weight; `gradient` is that of the loss
/// times the weight, 0 where nothing is known.
pub(super) fn evaluate(output: &Output, images: Vec<Numbers>) -> f64 {
    let known = |numbers: &Numbers| numbers.truth.iter().filter(|t| !t.is_nan()).count();
    let known: usize = images.par_iter().map(known).sum();
    // Without any known number no gradient is made of it.
    let share = 1.0 / known.max(1) as f64;
    let factor = (output.weight * share) as f32;
    let blocks: Vec<_> = images
        .into_iter()
        .flat_map(|numbers| {
            let before = numbers.before.chunks(BLOCK);
            let gradient = numbers.gradient.chunks_mut(BLOCK);
            before.zip(gradient).zip(numbers.truth.chunks(BLOCK))
        })
        .collect();
    let sums: Vec<f64> = blocks
        .into_par_iter()
        .map(|((before, gradient), truth)| {
            let mut sum = 0.0;
            for ((d, &x), &truth) in gradient.iter_mut().zip(before).zip(truth) {
                if truth.is_nan() {
                    *d = 0.0;
                    continue;
                }
                let (value, slope) = linked(output.link, x);
                let (loss, by_value) = of_difference(output.loss, value - truth);
                sum += f64::from(loss);
                *d = factor * by_value * slope;
            }
            sum
        })
        .collect();
    share * sums.iter().sum::<f64>()
}

/// The number behind the link, and how fast it changes with the one before it.
fn linked(link: Link, x: f32) -> (f32, f32) {
    match link {
        Link::Linear => (x, 1.0),
        Link::Sigmoid => {
            let value = sigmoid(x);
            (value, value * (1.0 - value))
        }
        Link::Softmax => unreachable!("numbers are refused this link with the outputs"),
    }
}

/// The loss of a difference, and its derivative.
fn of_difference(loss: OutputLoss, difference: f32) -> (f32, f32) {
    let size = difference.abs();
    match loss {
        OutputLoss::Squared => (difference * difference, 2.0 * difference),
        OutputLoss::SmoothL1 if size > 1.0 => (size - 0.5, difference.signum()),
        // NaN, too, which must show in the loss.
        OutputLoss::SmoothL1 => (0.5 * difference * difference, difference),
        OutputLoss::Recipe => unreachable!("numbers are refused this loss with the outputs"),
    }
}
