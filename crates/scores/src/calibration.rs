//! Whether probabilities mean what they say: expected calibration error and Brier score of pixels.
//!
//! Counts per bin are sums, so fields are pooled by [`CalibrationCounts::add`] and resampled by
//! well like everything else. Pixels are not independent: nothing is tested on their number.

use serde::{Deserialize, Serialize};
use stainfree_image::Image;

use crate::ScoreError;
use crate::named::Named;
use crate::pixels::{IGNORED, check_probabilities, mean, ratio};

/// Equal bins of (0, 1], the value 0 in the first.
pub const CALIBRATION_BINS: usize = 15;

/// Pixels whose probability lies in one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Pixels.
    pub n: u64,
    /// Those that are what was predicted.
    pub right: u64,
    /// Sum of their probabilities.
    pub sum: f64,
}

impl Bin {
    fn count(&mut self, probability: f32, right: bool) {
        self.n += 1;
        self.right += u64::from(right);
        self.sum += f64::from(probability);
    }

    fn add(&mut self, other: &Bin) {
        self.n += other.n;
        self.right += other.right;
        self.sum += other.sum;
    }

    /// Distance between the share that is right and the mean probability; 0 for an empty bin.
    fn gap(&self) -> f64 {
        if self.n == 0 {
            return 0.0;
        }
        (self.right as f64 - self.sum).abs() / self.n as f64
    }
}

/// Bins of one probability.
pub(crate) type Bins = [Bin; CALIBRATION_BINS];

/// Calibration counts of one field, or the sum over several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CalibrationCounts {
    /// Pixels that were counted.
    pub kept: u64,
    /// By the largest probability; "right" means that its class is the pixel's.
    pub top: Bins,
    /// By the probability of each class; "right" means that the pixel is of that class.
    pub classes: Vec<Bins>,
    /// Sum over pixels and classes of (probability - truth)^2.
    pub squares: f64,
}

impl CalibrationCounts {
    /// Expected calibration error of the most likely class (Guo et al. 2017); NaN without pixels.
    pub fn ece(&self) -> f64 {
        ece(&self.top)
    }

    /// Largest gap of a bin that is not empty; NaN without pixels.
    pub fn mce(&self) -> f64 {
        if self.kept == 0 {
            return f64::NAN;
        }
        self.top.iter().map(Bin::gap).fold(0.0, f64::max)
    }

    /// Mean over the classes of the calibration error of each class's own probability; NaN without
    /// pixels.
    pub fn class_wise_ece(&self) -> f64 {
        mean(self.classes.iter().map(ece))
    }

    /// Brier score: mean over pixels of the squared differences summed over classes, 0 to 2; NaN
    /// without pixels.
    pub fn brier(&self) -> f64 {
        ratio(self.squares, self.kept as f64)
    }

    /// Adds the counts of another field; an empty sum takes its number of classes.
    ///
    /// # Errors
    /// [`ScoreError::Mismatch`] if the numbers of classes differ.
    pub fn add(&mut self, other: &CalibrationCounts) -> Result<(), ScoreError> {
        if self.classes.is_empty() {
            self.classes = vec![Bins::default(); other.classes.len()];
        }
        if self.classes.len() != other.classes.len() {
            return Err(ScoreError::Mismatch(format!(
                "one field was counted with {} classes and another with {}",
                self.classes.len(),
                other.classes.len()
            )));
        }
        self.plus(other);
        Ok(())
    }

    /// Adds counts of the same number of classes.
    pub(crate) fn plus(&mut self, other: &CalibrationCounts) {
        let classes = other.classes.len().max(self.classes.len());
        self.classes.resize(classes, Bins::default());
        self.kept += other.kept;
        self.squares += other.squares;
        let own = std::iter::once(&mut self.top).chain(&mut self.classes);
        let theirs = std::iter::once(&other.top).chain(&other.classes);
        for (own, theirs) in own.zip(theirs) {
            for (own, theirs) in own.iter_mut().zip(theirs) {
                own.add(theirs);
            }
        }
    }
}

/// Calibration scores in the order they are computed.
pub(crate) const CALIBRATION_SCORES: [Named<CalibrationCounts>; 4] = [
    ("ece", CalibrationCounts::ece, NO_PIXEL),
    ("mce", CalibrationCounts::mce, NO_PIXEL),
    (
        "class_wise_ece",
        CalibrationCounts::class_wise_ece,
        NO_PIXEL,
    ),
    ("brier", CalibrationCounts::brier, NO_PIXEL),
];

const NO_PIXEL: &str = "no pixel was counted";

/// The pixels of one bin of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityRow {
    /// Lower end of the bin, not in it.
    pub from: f64,
    /// Upper end.
    pub to: f64,
    /// Pixels.
    pub pixels: u64,
    /// Their mean probability.
    pub probability: f64,
    /// Share of them that is what was predicted.
    pub right: f64,
}

/// The bins of a reliability diagram; empty ones are left out.
pub(crate) fn reliability(bins: &Bins) -> Vec<ReliabilityRow> {
    let width = 1.0 / CALIBRATION_BINS as f64;
    let filled = bins.iter().enumerate().filter(|(_, bin)| bin.n > 0);
    filled
        .map(|(i, bin)| ReliabilityRow {
            from: i as f64 * width,
            to: (i + 1) as f64 * width,
            pixels: bin.n,
            probability: bin.sum / bin.n as f64,
            right: bin.right as f64 / bin.n as f64,
        })
        .collect()
}

fn ece(bins: &Bins) -> f64 {
    let n: u64 = bins.iter().map(|bin| bin.n).sum();
    let gaps: f64 = bins.iter().map(|bin| bin.n as f64 * bin.gap()).sum();
    ratio(gaps, n as f64)
}

/// Bin (lo, hi] of a probability. Edges are compared in f32, so that a probability of exactly `b /
/// 15` belongs below its edge.
fn bin_of(probability: f32) -> usize {
    let edge = |bin: usize| bin as f32 / CALIBRATION_BINS as f32;
    let near = (probability * CALIBRATION_BINS as f32) as usize;
    // Rounding moves the product by less than a bin.
    let bin = (near.saturating_sub(1)..CALIBRATION_BINS).find(|&bin| probability <= edge(bin + 1));
    bin.unwrap_or(CALIBRATION_BINS - 1)
}

/// Counts one field. `probabilities` holds one plane per class, background first; `truth` is a
/// class mask of the same size, in which 255 is left out. Of equal probabilities the lower class is
/// the top.
///
/// # Errors
/// [`ScoreError::Size`], [`ScoreError::UnknownClass`] and [`ScoreError::ClassNumber`].
pub fn calibration(
    probabilities: &[Image<f32>],
    truth: &Image<u8>,
) -> Result<CalibrationCounts, ScoreError> {
    let classes = probabilities.len();
    check_probabilities(probabilities, truth)?;
    let mut counts = CalibrationCounts {
        classes: vec![Bins::default(); classes],
        ..Default::default()
    };
    for (i, &class) in truth.data().iter().enumerate() {
        if class == IGNORED {
            continue;
        }
        let is = usize::from(class);
        if is >= classes {
            return Err(ScoreError::UnknownClass {
                what: "truth",
                value: class,
                y: i / truth.width(),
                x: i % truth.width(),
                classes,
            });
        }
        counts.kept += 1;
        let mut top = 0;
        for (candidate, plane) in probabilities.iter().enumerate() {
            let p = plane.data()[i];
            if p > probabilities[top].data()[i] {
                top = candidate;
            }
            counts.classes[candidate][bin_of(p)].count(p, candidate == is);
            counts.squares += (f64::from(p) - f64::from(u8::from(candidate == is))).powi(2);
        }
        let p = probabilities[top].data()[i];
        counts.top[bin_of(p)].count(p, top == is);
    }
    Ok(counts)
}
