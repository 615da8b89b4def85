//! What a rule comes to on fields with truth.

use stainfree_image::Image;
use stainfree_inference::{NucleusDecoder, Trial};
use stainfree_scores::{MatchCounts, match_labels_ignoring};

use super::{Seen, decided};
use crate::ProjectError;

/// What an error of the count by a factor of e costs, in F1; and one of the mean area.
const COUNT_WEIGHT: f64 = 0.2;
const AREA_WEIGHT: f64 = 0.1;

/// What is summed over fields.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    matched: MatchCounts,
    truth: u64,
    predicted: u64,
    truth_area: u64,
    predicted_area: u64,
}

impl Sums {
    pub(super) fn of(seen: &Seen, decoder: &NucleusDecoder) -> Result<Self, ProjectError> {
        let found = decoder
            .decode(&seen.pixels, seen.pixel_um)
            .map_err(decided)?;
        let counts = match_labels_ignoring(&seen.truth, &found.labels, seen.ignore.as_ref());
        let counts = counts.map_err(|error| ProjectError::Failed(error.to_string()))?;
        let area = |labels: &Image<u32>| {
            let counted = |i: &usize| seen.ignore.as_ref().is_none_or(|g| !g.data()[*i]);
            let pixels = (0..labels.data().len()).filter(|&i| labels.data()[i] > 0);
            pixels.filter(counted).count() as u64
        };
        Ok(Self {
            matched: counts.at[0],
            truth: counts.truth,
            predicted: counts.prediction,
            truth_area: area(&seen.truth),
            predicted_area: area(&found.labels),
        })
    }

    pub(super) fn and(mut self, other: Self) -> Self {
        self.matched.tp += other.matched.tp;
        self.matched.fp += other.matched.fp;
        self.matched.fn_ += other.matched.fn_;
        self.truth += other.truth;
        self.predicted += other.predicted;
        self.truth_area += other.truth_area;
        self.predicted_area += other.predicted_area;
        self
    }

    pub(super) fn trial(&self) -> Trial {
        let ratio = |a: u64, b: u64| a as f64 / b.max(1) as f64;
        let count = ratio(self.predicted, self.truth);
        let mean_area = ratio(self.predicted_area, self.predicted);
        let area = mean_area / ratio(self.truth_area, self.truth).max(f64::MIN_POSITIVE);
        // Nothing found is as wrong as one of a hundred.
        let off = |ratio: f64| ratio.clamp(0.01, 100.0).ln().abs();
        let f1 = match self.matched.f1() {
            f1 if f1.is_nan() => 0.0,
            f1 => f1,
        };
        Trial {
            score: f1 - COUNT_WEIGHT * off(count) - AREA_WEIGHT * off(area),
            f1,
            count_error: count - 1.0,
            area_error: area - 1.0,
            nuclei: self.truth,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_cannot_buy_f1_with_counts_or_areas() {
        let sums = |found: u64, predicted: u64, area: u64| Sums {
            matched: MatchCounts {
                tp: found,
                fp: predicted - found,
                fn_: 100 - found,
                iou_sum: 0.0,
            },
            truth: 100,
            predicted,
            truth_area: 10_000,
            predicted_area: area,
        };
        let right = sums(80, 100, 10_000).trial();
        assert_eq!(
            (right.f1, right.count_error, right.area_error),
            (0.8, 0.0, 0.0)
        );
        assert_eq!(right.score, 0.8);
        // Half as many, each twice as large.
        let fused = sums(50, 50, 10_000).trial();
        assert_eq!((fused.count_error, fused.area_error), (-0.5, 1.0));
        let expected = fused.f1 - 0.3 * 2f64.ln();
        assert!((fused.score - expected).abs() < 1e-12);
        // Nothing at all is worse than anything, and a number.
        let none = sums(0, 0, 0).trial();
        assert_eq!(none.f1, 0.0);
        assert!(none.score.is_finite() && none.score < fused.score);
    }
}
