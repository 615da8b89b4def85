//! 1 - the mean over classes of a soft F-beta score; Dice is beta 1.
//!
//! segmentation_models 1.0.1 (`functional.py`, `f_score`): per class, with sums over batch, height
//! and width together and s = 1e-5, `F = ((1 + b^2) TP + s) / ((1 + b^2) TP + b^2 FN + FP + s)`.
//! The denominator equals `b^2 Y + P + s` with Y the true and P the predicted mass.

use super::{Block, BlockGradient, IGNORED, PixelLoss};

/// Keeps classes without any pixel finite; segmentation_models' `SMOOTH`.
const SMOOTH: f64 = 1e-5;

pub(super) struct FBeta {
    betas: Vec<f64>,
    weights: Vec<f64>,
}

impl FBeta {
    /// What the paper's notebooks ran: the vector (0, 1, 0.5) reached the library as beta, not as
    /// class weights. Precision for the background, F1 for the nucleus, F0.5 for every further
    /// class.
    pub(super) fn paper(classes: usize) -> Self {
        let betas = (0..classes)
            .map(|c| [0.0, 1.0].get(c).copied().unwrap_or(0.5))
            .collect();
        Self {
            betas,
            weights: vec![1.0; classes],
        }
    }

    /// Soft Dice with a weight per class; divided by the number of classes, not by the weights'
    /// sum.
    pub(super) fn dice(weights: Vec<f64>) -> Self {
        Self {
            betas: vec![1.0; weights.len()],
            weights,
        }
    }
}

impl PixelLoss for FBeta {
    /// Per class: true positives, predicted mass, true pixels.
    fn sums(&self) -> usize {
        3 * self.betas.len()
    }

    fn gather(&self, block: &Block, sums: &mut [f64]) {
        for (class, (plane, sums)) in block
            .probabilities
            .iter()
            .zip(sums.chunks_mut(3))
            .enumerate()
        {
            for (&p, &t) in plane.iter().zip(block.target) {
                if t == IGNORED {
                    continue;
                }
                sums[1] += f64::from(p);
                if usize::from(t) == class {
                    sums[0] += f64::from(p);
                    sums[2] += 1.0;
                }
            }
        }
    }

    fn finish(&self, sums: &[f64], _pixels: usize) -> (f64, Vec<f64>) {
        let classes = self.betas.len() as f64;
        let mut score = 0.0;
        let mut coefficients = Vec::new();
        for ((beta, weight), sums) in self.betas.iter().zip(&self.weights).zip(sums.chunks(3)) {
            let b2 = beta * beta;
            let top = (1.0 + b2) * sums[0] + SMOOTH;
            let bottom = b2 * sums[2] + sums[1] + SMOOTH;
            score += weight * top / bottom;
            // dF/dp = ((1 + b^2) y bottom - top) / bottom^2
            coefficients.push(-weight / classes * (1.0 + b2) / bottom);
            coefficients.push(weight / classes * top / (bottom * bottom));
        }
        (1.0 - score / classes, coefficients)
    }

    fn gradient(&self, block: &Block, coefficients: &[f64], weight: f64, out: &mut BlockGradient) {
        for (class, (plane, c)) in out
            .by_probability
            .iter_mut()
            .zip(coefficients.chunks(2))
            .enumerate()
        {
            let elsewhere = (weight * c[1]) as f32;
            let here = (weight * (c[0] + c[1])) as f32;
            for (g, &t) in plane.iter_mut().zip(block.target) {
                *g += if usize::from(t) == class {
                    here
                } else {
                    elsewhere
                };
            }
        }
    }
}
