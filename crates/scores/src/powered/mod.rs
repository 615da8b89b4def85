//! Means over many wells of which a few were stained: prediction-powered inference.
//!
//! Every well of a screen has a prediction, a few have the truth as well. The mean of the truth
//! over all is estimated by the predictions, corrected by what they are off on the stained wells:
//! `weight * mean(predicted elsewhere) + mean(truth - weight * predicted)`. Whatever the network's
//! errors, that is right on average, since the correction is measured; good predictions only make
//! it sharper. The wells must have been drawn at random, and the network must not have been trained
//! on them.
//!
//! Few wells are what this is for, so that intervals are Student's. From [`FEWEST_TO_FIT`] stained
//! wells on the weight is the slope of the regression of truth on prediction, and the interval that
//! of a regression's prediction, which holds exactly where errors are normal; below, each well's
//! weight is fitted on the others and drawn towards 0. `tests/powered.rs` has the coverage by
//! simulation; docs/trust.md the table.
//!
//! Sources: Angelopoulos, Bates, Fannjiang, Jordan & Zrnic (2023), "Prediction-powered inference";
//! Angelopoulos, Duchi & Zrnic (2023), "PPI++"; Cochran (1977), "Sampling techniques", chapter 7
//! (regression estimators); Satterthwaite (1946) for the degrees of freedom of a sum.

mod difference;
mod draw;
mod mean;
mod weight;

use serde::Serialize;

pub use difference::{Difference, difference};
pub use draw::{Drawn, draw};
pub use mean::{Interval, Mean, powered_mean};
pub use weight::{Weight, weight_of_others};

/// Fewest stained wells for an interval.
pub const FEWEST_STAINED: usize = 3;
/// From this many stained wells on the weight is fitted to all of them at once.
pub const FEWEST_TO_FIT: usize = 6;

/// A stained well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StainedWell {
    /// What the stain says.
    pub truth: f64,
    /// What the network says.
    pub predicted: f64,
    /// How many wells it stands for: one over the probability with which it was drawn. Only the
    /// proportions matter.
    pub stands_for: f64,
}

/// The wells of a screen, or of one condition in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wells {
    /// Those with truth and prediction.
    pub stained: Vec<StainedWell>,
    /// Predictions of the others.
    pub predicted: Vec<f64>,
}

/// Sums over wells that a mean and its interval are made of.
#[derive(Clone, Debug)]
struct Sums {
    /// Mean of the truth, weighted as the wells were drawn.
    truth: f64,
    /// The same of the predictions of the stained wells.
    predicted: f64,
    /// Sum of squares of those predictions about their mean.
    squares: f64,
    /// Sum of products of truth and prediction about their means.
    products: f64,
    /// Mean prediction of the wells that stand for the whole screen.
    screen: f64,
    /// Variance of their predictions.
    screen_variance: f64,
    /// How many these are.
    screen_wells: usize,
    /// What every stained well counts; the sum is their number.
    shares: Vec<f64>,
}

impl Wells {
    /// The number of all wells.
    pub fn count(&self) -> usize {
        self.stained.len() + self.predicted.len()
    }

    /// Whether wells were drawn with different probabilities.
    fn drawn_unequally(&self) -> bool {
        let first = self.stained.first().map_or(1.0, |well| well.stands_for);
        let differs = |well: &StainedWell| (well.stands_for - first).abs() > 1e-9 * first;
        self.stained.iter().any(differs)
    }

    fn sums(&self) -> Sums {
        let wells = &self.stained;
        let n = wells.len() as f64;
        let total: f64 = wells.iter().map(|well| well.stands_for).sum();
        let shares: Vec<f64> = wells
            .iter()
            .map(|well| well.stands_for * n / total)
            .collect();
        let shared = |of: &dyn Fn(&StainedWell) -> f64| -> f64 {
            wells
                .iter()
                .zip(&shares)
                .map(|(well, share)| share * of(well))
                .sum()
        };
        let truth = shared(&|well| well.truth) / n;
        let predicted = shared(&|well| well.predicted) / n;
        // Drawn unequally, the wells that were left are no picture of the screen; all of them are.
        let screen: Vec<f64> = match self.drawn_unequally() {
            true => {
                let own = wells.iter().map(|well| well.predicted);
                own.chain(self.predicted.iter().copied()).collect()
            }
            false => self.predicted.clone(),
        };
        let screen_mean = mean_of(&screen);
        Sums {
            truth,
            predicted,
            squares: shared(&|well| (well.predicted - predicted).powi(2)),
            products: shared(&|well| (well.predicted - predicted) * (well.truth - truth)),
            screen: screen_mean,
            screen_variance: variance_of(&screen),
            screen_wells: screen.len(),
            shares,
        }
    }
}

/// Mean; 0 of nothing.
fn mean_of(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Variance over n - 1; 0 of fewer than two.
fn variance_of(values: &[f64]) -> f64 {
    let middle = mean_of(values);
    let squares: f64 = values.iter().map(|value| (value - middle).powi(2)).sum();
    squares / values.len().saturating_sub(1).max(1) as f64
}

/// A part of a variance with the degrees of freedom that it was estimated with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Part {
    variance: f64,
    freedom: f64,
}

/// Degrees of freedom of a sum of independent estimates of variances (Satterthwaite 1946).
fn freedom_of(parts: &[Part]) -> f64 {
    let total: f64 = parts.iter().map(|part| part.variance).sum();
    let squares: f64 = parts
        .iter()
        .map(|part| part.variance.powi(2) / part.freedom)
        .sum();
    match squares > 0.0 {
        true => total * total / squares,
        // No scatter at all: any will do.
        false => parts.iter().map(|part| part.freedom).fold(1.0, f64::max),
    }
}
