//! How much the predictions count.

use super::{FEWEST_TO_FIT, StainedWell, Sums, Wells, mean_of, variance_of};

/// How the weight of the predictions is found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Weight {
    /// By the number of stained wells: fitted to all of them, or each on the others.
    #[default]
    Auto,
    /// The power tuning of PPI++, between 0 and 1; intervals do not know that it was fitted, and
    /// are too short with few wells. For comparisons.
    PowerTuned,
    /// Said beforehand, or fitted on other wells: 0 leaves the stained wells alone, 1 takes
    /// predictions at their word.
    Given(f64),
}

/// A weight as it is applied.
pub(super) enum Applied {
    /// One for all wells, fitted on them: their residuals have a degree of freedom less.
    Fitted(f64),
    /// One that the wells had no part in.
    Fixed(f64),
    /// One for every well, fitted on the others.
    Crossed(Vec<f64>),
}

impl Weight {
    /// The weight for `wells`, whose sums are `sums`.
    pub(super) fn applied(self, wells: &Wells, sums: &Sums) -> Applied {
        let stained = &wells.stained;
        let shrink = 1.0 + stained.len() as f64 / sums.screen_wells.max(1) as f64;
        match self {
            // Without others there is nothing to be powered by.
            _ if sums.screen_wells < 2 => Applied::Fixed(0.0),
            Self::Given(weight) => Applied::Fixed(weight),
            Self::PowerTuned => Applied::Fixed(power_tuned(wells, sums) / shrink),
            Self::Auto if stained.len() < FEWEST_TO_FIT => {
                let without = |k: usize| {
                    let others = stained.iter().enumerate().filter(|(other, _)| *other != k);
                    let others: Vec<&StainedWell> = others.map(|(_, well)| well).collect();
                    towards_zero(&others, all_predicted(wells)) / shrink
                };
                Applied::Crossed((0..stained.len()).map(without).collect())
            }
            Self::Auto if sums.squares > 0.0 => {
                Applied::Fitted(sums.products / sums.squares / shrink)
            }
            Self::Auto => Applied::Fixed(0.0),
        }
    }
}

/// The slope that wells of other conditions have within them, drawn towards 0: the weight for a
/// condition of too few stained wells for one of its own. `None` where the others are too few.
pub fn weight_of_others(others: &[&Wells]) -> Option<f64> {
    let groups = others.iter().filter(|wells| wells.stained.len() > 1);
    let (mut freedom, mut products, mut squares) = (0, 0.0, 0.0);
    for wells in groups {
        let sums = wells.sums();
        freedom += wells.stained.len() - 1;
        products += sums.products;
        squares += sums.squares;
    }
    let spread: Vec<f64> = others.iter().map(|wells| all_predicted(wells)).collect();
    let drawn = squares + mean_of(&spread);
    (freedom + 1 >= FEWEST_TO_FIT && drawn > 0.0).then(|| (products / drawn).max(0.0))
}

/// Variance of the predictions of all wells.
fn all_predicted(wells: &Wells) -> f64 {
    let own = wells.stained.iter().map(|well| well.predicted);
    let all: Vec<f64> = own.chain(wells.predicted.iter().copied()).collect();
    variance_of(&all)
}

/// Slope of truth on prediction, as if one more well of the screen's spread had shown none.
fn towards_zero(wells: &[&StainedWell], spread: f64) -> f64 {
    let middle = |of: fn(&StainedWell) -> f64| {
        wells.iter().map(|well| of(well)).sum::<f64>() / wells.len().max(1) as f64
    };
    let (truth, predicted) = (middle(|well| well.truth), middle(|well| well.predicted));
    let (mut products, mut squares) = (0.0, spread);
    for well in wells {
        products += (well.truth - truth) * (well.predicted - predicted);
        squares += (well.predicted - predicted).powi(2);
    }
    match squares > 0.0 {
        true => (products / squares).max(0.0),
        false => 0.0,
    }
}

/// The tuning of PPI++ before it is divided by 1 + n/N, clipped so that it ends between 0 and 1:
/// the covariance on the stained wells (over n) by the variance of all predictions (over n - 1).
fn power_tuned(wells: &Wells, sums: &Sums) -> f64 {
    let n = wells.stained.len() as f64;
    let spread = all_predicted(wells);
    if spread <= 0.0 {
        return 0.0;
    }
    let shrink = 1.0 + n / sums.screen_wells as f64;
    (sums.products / n / spread).clamp(0.0, shrink)
}
