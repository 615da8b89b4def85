//! Categorical focal loss as segmentation_models 1.0.1 computes it:
//! `-(1 / (B H W C)) sum alpha (1 - p)^gamma y ln p`, p clipped to [1e-7, 1 - 1e-7].
//!
//! Source: Lin et al. (2017), "Focal loss for dense object detection"; the division by the number
//! of classes is the library's.

use super::{Block, BlockGradient, IGNORED, PixelLoss};

const ALPHA: f64 = 0.25;
/// Keras' epsilon.
const CLIP: f32 = 1e-7;

/// Gamma is 2.
pub(super) struct Focal {
    classes: usize,
}

impl Focal {
    pub(super) fn new(classes: usize) -> Self {
        Self { classes }
    }
}

impl PixelLoss for Focal {
    fn sums(&self) -> usize {
        1
    }

    fn gather(&self, block: &Block, sums: &mut [f64]) {
        for (i, &t) in block.target.iter().enumerate() {
            if t != IGNORED {
                let p = block.probabilities[usize::from(t)][i].clamp(CLIP, 1.0 - CLIP);
                sums[0] -= f64::from((1.0 - p) * (1.0 - p) * p.ln());
            }
        }
    }

    fn finish(&self, sums: &[f64], pixels: usize) -> (f64, Vec<f64>) {
        let factor = ALPHA / (pixels * self.classes) as f64;
        (factor * sums[0], vec![factor])
    }

    fn gradient(&self, block: &Block, coefficients: &[f64], weight: f64, out: &mut BlockGradient) {
        let factor = (weight * coefficients[0]) as f32;
        for (i, &t) in block.target.iter().enumerate() {
            if t == IGNORED {
                continue;
            }
            let p = block.probabilities[usize::from(t)][i];
            if (CLIP..=1.0 - CLIP).contains(&p) {
                let q = 1.0 - p;
                out.by_probability[usize::from(t)][i] += factor * (2.0 * q * p.ln() - q * q / p);
            }
        }
    }
}
