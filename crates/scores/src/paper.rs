//! Pixel scores by the convention of the paper: thresholded probabilities and a small constant.
//!
//! Class c is predicted where its probability is above 0.5 (strictly), so a pixel may belong to no
//! class; `s = 1e-5` stands in numerator and denominator, so a class absent in truth and prediction
//! scores 1. A reflected rim is the caller's business: it pads image and mask before calling.
//!
//! Source: Bisaria, Fan, Ratnayeke (2020); segmentation_models 1.0.1, `base/functional.py`.

use serde::{Deserialize, Serialize};
use stainfree_image::Image;

use crate::pixels::{add_classes, check_probabilities};
use crate::{ClassCounts, IGNORED, PixelCounts, ScoreError};

/// The constant `s` of the paper's IoU and F1.
const SMOOTH: f64 = 1e-5;

/// A class is predicted where its probability is above this.
const THRESHOLD: f32 = 0.5;

/// Counts of one field under the paper's convention.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaperScores {
    /// One entry per class, background first. Classes are counted apart from each other, so they
    /// need not add up to the number of pixels.
    pub classes: Vec<ClassCounts>,
}

impl PaperScores {
    /// `(TP + s) / (TP + FP + FN + s)` of one class.
    pub fn iou(&self, class: usize) -> f64 {
        let c = &self.classes[class];
        (c.tp as f64 + SMOOTH) / ((c.tp + c.fp + c.fn_) as f64 + SMOOTH)
    }

    /// `(2 TP + s) / (2 TP + FP + FN + s)` of one class.
    pub fn f1(&self, class: usize) -> f64 {
        let c = &self.classes[class];
        (2.0 * c.tp as f64 + SMOOTH) / ((2 * c.tp + c.fp + c.fn_) as f64 + SMOOTH)
    }

    /// Mean IoU over all classes, background included.
    pub fn mean_iou(&self) -> f64 {
        crate::pixels::mean((0..self.classes.len()).map(|class| self.iou(class)))
    }

    /// Mean F1 over all classes, background included.
    pub fn mean_f1(&self) -> f64 {
        crate::pixels::mean((0..self.classes.len()).map(|class| self.f1(class)))
    }

    /// Adds the counts of another field, as the library does within a batch.
    ///
    /// # Errors
    /// [`ScoreError::Mismatch`] if the numbers of classes differ.
    pub fn add(&mut self, other: &PaperScores) -> Result<(), ScoreError> {
        add_classes(&mut self.classes, &other.classes)
    }
}

impl From<&PixelCounts> for PaperScores {
    /// The same convention where only a class mask is at hand: every predicted class counts as
    /// above the threshold, so pixels without a class are unknown.
    fn from(counts: &PixelCounts) -> Self {
        Self {
            classes: counts.classes.clone(),
        }
    }
}

/// Counts one field under the paper's convention.
///
/// `probabilities` holds one plane per class, background first; `truth` is a class mask of the same
/// size, in which 255 leaves both sides.
///
/// # Errors
/// [`ScoreError::Size`], [`ScoreError::UnknownClass`] and [`ScoreError::ClassNumber`].
pub fn paper_scores(
    probabilities: &[Image<f32>],
    truth: &Image<u8>,
) -> Result<PaperScores, ScoreError> {
    let classes = probabilities.len();
    check_probabilities(probabilities, truth)?;
    let unknown = |&value: &u8| usize::from(value) >= classes && value != IGNORED;
    if let Some(i) = truth.data().iter().position(unknown) {
        let (y, x) = (i / truth.width(), i % truth.width());
        return Err(ScoreError::UnknownClass {
            what: "truth",
            value: truth.get(y, x),
            y,
            x,
            classes,
        });
    }
    let count = |(class, plane): (usize, &Image<f32>)| {
        let mut counts = ClassCounts::default();
        for (&p, &t) in plane.data().iter().zip(truth.data()) {
            if t == IGNORED {
                continue;
            }
            match (usize::from(t) == class, p > THRESHOLD) {
                (true, true) => counts.tp += 1,
                (false, true) => counts.fp += 1,
                (true, false) => counts.fn_ += 1,
                (false, false) => {}
            }
        }
        counts
    };
    Ok(PaperScores {
        classes: probabilities.iter().enumerate().map(count).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four pixels, truth 0, 1, 1, 2; the third has no class above 0.5 and the fourth lies on it.
    #[test]
    fn the_four_pixel_fixture_gives_the_library_scores() {
        let plane = |values: [f32; 4]| Image::new(1, 4, values.to_vec());
        let probabilities = [
            plane([0.7, 0.1, 0.3, 0.2]),
            plane([0.2, 0.8, 0.4, 0.3]),
            plane([0.1, 0.1, 0.3, 0.5]),
        ];
        let scores = paper_scores(&probabilities, &Image::new(1, 4, vec![0, 1, 1, 2])).unwrap();
        // Six decimals are what the reference states.
        assert!(
            (scores.mean_iou() - 0.500004).abs() < 5e-7,
            "{}",
            scores.mean_iou()
        );
        assert!(
            (scores.mean_f1() - 0.555559).abs() < 5e-7,
            "{}",
            scores.mean_f1()
        );
    }

    #[test]
    fn a_class_absent_on_both_sides_scores_one_and_one_false_pixel_makes_it_zero() {
        let nothing = PaperScores {
            classes: vec![ClassCounts::default()],
        };
        assert_eq!((nothing.f1(0), nothing.iou(0)), (1.0, 1.0));
        let speck = PaperScores {
            classes: vec![ClassCounts {
                tp: 0,
                fp: 1,
                fn_: 0,
            }],
        };
        assert!(speck.f1(0) < 1.1e-5 && speck.iou(0) < 1.1e-5);
    }
}
