//! The mean of one set of wells.

use serde::Serialize;

use super::weight::Applied;
use super::{FEWEST_STAINED, Part, Sums, Weight, Wells, freedom_of, mean_of};
use crate::student::point_975;

/// An estimate with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The estimate.
    pub estimate: f64,
    /// Its interval; `None` with too few stained wells.
    pub ci95: Option<[f64; 2]>,
}

/// The mean truth of all wells.
#[derive(Clone, Debug, PartialEq)]
pub struct Mean {
    /// Stained wells.
    pub n: usize,
    /// Wells with a prediction alone.
    pub others: usize,
    /// With the help of the predictions: of wells like these.
    pub powered: Interval,
    /// Sum over these very wells.
    pub total: Interval,
    /// By the stained wells alone.
    pub classical: Interval,
    /// How much the predictions counted.
    pub weight: f64,
    /// How many stained wells would say as much without predictions; `None` without an interval.
    pub worth_wells: Option<f64>,
    /// How many stained wells in all would halve the interval; `None` where staining all would not,
    /// as wells differ too much, or without an interval.
    pub to_halve: Option<usize>,
    /// Of the variance of the estimate: what is due to the few stained wells, and to the spread of
    /// the screen.
    pub(super) parts: Vec<Part>,
    /// The variance of the stained wells' own mean; `None` with too few.
    pub(super) alone: Option<Part>,
}

impl Interval {
    pub(super) fn of(estimate: f64, parts: &[Part]) -> Self {
        let total: f64 = parts.iter().map(|part| part.variance).sum();
        let half = point_975(freedom_of(parts)) * total.sqrt();
        Self {
            estimate,
            ci95: Some([estimate - half, estimate + half]),
        }
    }

    fn half(&self) -> Option<f64> {
        self.ci95.map(|[low, high]| (high - low) / 2.0)
    }
}

/// The mean truth of `wells`, with its interval from [`FEWEST_STAINED`] stained wells on.
///
/// `None` without any stained well. Numbers must be finite.
pub fn powered_mean(wells: &Wells, weight: Weight) -> Option<Mean> {
    if wells.stained.is_empty() {
        return None;
    }
    let sums = wells.sums();
    let (n, others) = (wells.stained.len(), wells.predicted.len());
    if n < FEWEST_STAINED {
        let bare = |estimate: f64| Interval {
            estimate,
            ci95: None,
        };
        return Some(Mean {
            n,
            others,
            powered: bare(sums.truth),
            total: bare(sums.truth * wells.count() as f64),
            classical: bare(sums.truth),
            weight: 0.0,
            worth_wells: None,
            to_halve: None,
            parts: Vec::new(),
            alone: None,
        });
    }
    let alone = own_part(wells, &sums, &vec![0.0; n], n - 1);
    let made = Made::of(wells, &sums, &weight.applied(wells, &sums));
    let parts: Vec<Part> = made.parts();
    let powered = Interval::of(made.estimate, &parts);
    let total: f64 = parts.iter().map(|part| part.variance).sum();
    let by_well = alone.variance * n as f64;
    Some(Mean {
        n,
        others,
        total: made.total(wells),
        worth_wells: (total > 0.0).then(|| by_well / total),
        to_halve: made.to_halve(&powered, n, others),
        powered,
        classical: Interval::of(sums.truth, &[alone]),
        weight: made.weight,
        parts,
        alone: Some(alone),
    })
}

/// An estimate and what its variance is made of.
struct Made {
    estimate: f64,
    weight: f64,
    /// The scatter of the stained wells about the predictions.
    own: Part,
    /// More of it where the stained wells' predictions lie off those of the screen: the slope is
    /// not known exactly either.
    tilt: f64,
    /// The spread of the screen's wells.
    spread: Part,
}

impl Made {
    fn of(wells: &Wells, sums: &Sums, applied: &Applied) -> Self {
        let n = wells.stained.len();
        let (weights, freedom) = match applied {
            Applied::Fitted(weight) => (vec![*weight; n], n - 2),
            Applied::Fixed(weight) => (vec![*weight; n], n - 1),
            Applied::Crossed(weights) => (weights.clone(), n - 1),
        };
        let weight = mean_of(&weights);
        let own = own_part(wells, sums, &weights, freedom);
        let off = sums.predicted - sums.screen;
        let tilt = match applied {
            Applied::Fitted(_) => own.variance * n as f64 * off * off / sums.squares,
            _ => 0.0,
        };
        let spread = Part {
            variance: weight * weight * sums.screen_variance / sums.screen_wells.max(1) as f64,
            freedom: sums.screen_wells.saturating_sub(1).max(1) as f64,
        };
        Self {
            estimate: rectified(wells, sums, &weights).1,
            weight,
            own,
            tilt,
            spread,
        }
    }

    fn stained(&self) -> Part {
        Part {
            variance: self.own.variance + self.tilt,
            freedom: self.own.freedom,
        }
    }

    fn parts(&self) -> Vec<Part> {
        vec![self.stained(), self.spread]
    }

    /// The sum over these very wells: those stained are known, the spread of the others does not
    /// matter, but each of them is off its prediction.
    fn total(&self, wells: &Wells) -> Interval {
        let (n, others) = (wells.stained.len() as f64, wells.predicted.len() as f64);
        if wells.drawn_unequally() {
            let all = n + others;
            let part = self.stained();
            let variance = part.variance * all * all;
            return Interval::of(self.estimate * all, &[Part { variance, ..part }]);
        }
        let known: f64 = wells.stained.iter().map(|well| well.truth).sum();
        let estimate = known + others * self.estimate;
        let one = self.own.variance * n;
        let variance = self.stained().variance * others * others + one * others;
        Interval::of(
            estimate,
            &[Part {
                variance,
                ..self.own
            }],
        )
    }

    /// The fewest stained wells for half the interval, everything else being as it is.
    fn to_halve(&self, now: &Interval, n: usize, others: usize) -> Option<usize> {
        let half = now.half()? / 2.0;
        let lost = n as f64 - self.own.freedom;
        let enough = |stained: usize| {
            let own = Part {
                variance: self.own.variance * n as f64 / stained as f64,
                freedom: stained as f64 - lost,
            };
            let parts = [own, self.spread];
            Interval::of(0.0, &parts)
                .half()
                .is_some_and(|then| then <= half)
        };
        let most = n + others;
        if half <= 0.0 || !enough(most) {
            return None;
        }
        let (mut low, mut high) = (n, most);
        while high - low > 1 {
            let middle = low.midpoint(high);
            match enough(middle) {
                true => high = middle,
                false => low = middle,
            }
        }
        Some(high)
    }
}

/// What every stained well says of the mean, and the mean of that.
fn rectified(wells: &Wells, sums: &Sums, weights: &[f64]) -> (Vec<f64>, f64) {
    let said = wells.stained.iter().zip(weights);
    let said: Vec<f64> = said
        .map(|(well, weight)| well.truth - weight * (well.predicted - sums.screen))
        .collect();
    let shared = said
        .iter()
        .zip(&sums.shares)
        .map(|(said, share)| said * share);
    let middle = shared.sum::<f64>() / said.len() as f64;
    (said, middle)
}

/// The variance of that mean by the scatter of the wells.
fn own_part(wells: &Wells, sums: &Sums, weights: &[f64], freedom: usize) -> Part {
    let (said, middle) = rectified(wells, sums, weights);
    let n = said.len() as f64;
    let squares = said.iter().zip(&sums.shares);
    let squares: f64 = squares
        .map(|(said, share)| (share * (said - middle)).powi(2))
        .sum();
    Part {
        variance: squares / freedom as f64 / n,
        freedom: freedom as f64,
    }
}
