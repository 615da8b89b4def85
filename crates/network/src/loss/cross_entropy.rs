//! Cross-entropy: the mean of `-ln p` of the true class, weighted by class if asked for.
//!
//! Works on logits (`ln p = z - ln sum exp z`), so a probability that underflows does no harm. The
//! mean divides by the sum of the pixels' weights, as PyTorch's `cross_entropy` does.

use super::{Block, BlockGradient, IGNORED, PixelLoss};

pub(super) struct CrossEntropy {
    weights: Vec<f64>,
}

impl CrossEntropy {
    pub(super) fn new(weights: Vec<f64>) -> Self {
        Self { weights }
    }
}

impl PixelLoss for CrossEntropy {
    /// Weighted sum of `-ln p`, sum of weights.
    fn sums(&self) -> usize {
        2
    }

    fn gather(&self, block: &Block, sums: &mut [f64]) {
        for (i, &t) in block.target.iter().enumerate() {
            if t == IGNORED {
                continue;
            }
            let largest = block
                .logits
                .iter()
                .fold(f32::NEG_INFINITY, |m, plane| m.max(plane[i]));
            let sum: f32 = block
                .logits
                .iter()
                .map(|plane| (plane[i] - largest).exp())
                .sum();
            let log_p = block.logits[usize::from(t)][i] - largest - sum.ln();
            let weight = self.weights[usize::from(t)];
            sums[0] -= weight * f64::from(log_p);
            sums[1] += weight;
        }
    }

    fn finish(&self, sums: &[f64], _pixels: usize) -> (f64, Vec<f64>) {
        // Only classes of weight zero in the batch: nothing to learn from.
        let factor = if sums[1] > 0.0 { 1.0 / sums[1] } else { 0.0 };
        (factor * sums[0], vec![factor])
    }

    fn gradient(&self, block: &Block, coefficients: &[f64], weight: f64, out: &mut BlockGradient) {
        for (i, &t) in block.target.iter().enumerate() {
            if t == IGNORED {
                continue;
            }
            let t = usize::from(t);
            let factor = (weight * coefficients[0] * self.weights[t]) as f32;
            for (class, plane) in out.by_logit.iter_mut().enumerate() {
                let y = if class == t { 1.0 } else { 0.0 };
                plane[i] += factor * (block.probabilities[class][i] - y);
            }
        }
    }
}
