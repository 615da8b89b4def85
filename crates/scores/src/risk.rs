//! Conformal risk control: the strictest setting that keeps an expected loss below a bound.
//!
//! Angelopoulos, Bates, Fisch, Lei & Schuster (2022), "Conformal Risk Control". For units that are
//! exchangeable with those to come, losses between 0 and 1 that do not grow along the settings, and
//! `R` their mean over `n` units, the first setting with `n / (n + 1) R + 1 / (n + 1) <= bound` has
//! an expected loss of at most `bound` on a new unit, whatever the settings and losses are.

/// A setting that was chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Controlled {
    /// Its place among the settings.
    pub setting: usize,
    /// Its mean loss on the units.
    pub mean_loss: f64,
    /// What its expected loss on a new unit is below: `n / (n + 1) R + 1 / (n + 1)`.
    pub promised: f64,
}

/// Why no setting keeps a bound.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Uncontrolled {
    /// So few units cannot promise so little, however good the settings are.
    #[error(
        "{} can promise {} % at best; {needed} are needed for {} %",
        groups(*units), percent(*least), percent(*bound)
    )]
    TooFew {
        /// Units that there are.
        units: usize,
        /// The least bound that so many can keep.
        least: f64,
        /// The bound that was asked for.
        bound: f64,
        /// Units that could.
        needed: usize,
    },
    /// Even the most lenient setting loses more.
    #[error(
        "the most lenient setting promises {} %, and {} % were asked for", percent(*promised),
        percent(*bound)
    )]
    Lossy {
        /// What the last setting promises.
        promised: f64,
        /// The bound that was asked for.
        bound: f64,
    },
    /// A bound that is no share, no units, or units of different numbers of settings.
    #[error(
        "a bound must be a share above 0 and below 1, and every unit have a loss for each setting"
    )]
    Misuse,
}

fn groups(n: usize) -> String {
    format!("{n} group{}", if n == 1 { "" } else { "s" })
}

/// In percent, with a digit where there is less than ten of it.
fn percent(share: f64) -> String {
    match 100.0 * share {
        percent if percent < 9.95 => format!("{percent:.1}"),
        percent => format!("{percent:.0}"),
    }
}

/// The first of the settings, from the strictest to the most lenient, that keeps the expected loss
/// of a new unit at or below `bound`. `losses` has a list a unit: its loss (0 to 1) with each
/// setting.
///
/// Where a lenient setting loses more than a stricter one, both count with the larger loss, since
/// the promise holds for losses that do not grow only.
///
/// # Errors
/// Why none does.
pub fn controlled(losses: &[Vec<f64>], bound: f64) -> Result<Controlled, Uncontrolled> {
    let settings = losses.first().map_or(0, Vec::len);
    let sound =
        |unit: &Vec<f64>| unit.len() == settings && unit.iter().all(|l| (0.0..=1.0).contains(l));
    if settings == 0 || !(bound > 0.0 && bound < 1.0) || !losses.iter().all(sound) {
        return Err(Uncontrolled::Misuse);
    }
    let units = losses.len();
    let least = 1.0 / (units + 1) as f64;
    if least > bound {
        return Err(Uncontrolled::TooFew {
            units,
            least,
            bound,
            // 1 / (n + 1) <= bound; rounding must not ask for one more.
            needed: (1.0 / bound - 1.0 - 1e-9).ceil() as usize,
        });
    }
    let monotone: Vec<Vec<f64>> = losses.iter().map(|unit| running_largest(unit)).collect();
    let promised = |setting: usize| {
        let sum: f64 = monotone.iter().map(|unit| unit[setting]).sum();
        (sum + 1.0) / (units + 1) as f64
    };
    match (0..settings).find(|&setting| promised(setting) <= bound) {
        Some(setting) => Ok(Controlled {
            setting,
            mean_loss: losses.iter().map(|unit| unit[setting]).sum::<f64>() / units as f64,
            promised: promised(setting),
        }),
        None => Err(Uncontrolled::Lossy {
            promised: promised(settings - 1),
            bound,
        }),
    }
}

/// For each setting the largest loss from there on.
fn running_largest(unit: &[f64]) -> Vec<f64> {
    let mut largest = unit.to_vec();
    for setting in (1..unit.len()).rev() {
        largest[setting - 1] = largest[setting - 1].max(largest[setting]);
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strictest_setting_that_keeps_the_bound_is_taken() {
        // 9 units, so 0.1 is lost to not knowing the tenth: 0.2 leaves a sum of losses of 1.
        let units = |last: f64| -> Vec<Vec<f64>> {
            let mut units = vec![vec![0.5, 0.1, 0.0]; 8];
            units.push(vec![1.0, last, 0.0]);
            units
        };
        let found = controlled(&units(0.2), 0.2).expect("kept");
        assert_eq!(found.setting, 1);
        assert!((found.mean_loss - 1.0 / 9.0).abs() < 1e-12);
        assert!((found.promised - 0.2).abs() < 1e-12);
        assert_eq!(controlled(&units(0.21), 0.2).expect("kept").setting, 2);
        let error = controlled(&units(0.2), 0.09).expect_err("too few");
        let said = "9 groups can promise 10 % at best; 11 are needed for 9.0 %";
        assert_eq!(error.to_string(), said);
        let error = controlled(&units(0.2)[..1], 0.2).expect_err("one");
        let said = "1 group can promise 50 % at best; 4 are needed for 20 %";
        assert_eq!(error.to_string(), said);
        assert!(matches!(
            controlled(&units(0.2), 1.0),
            Err(Uncontrolled::Misuse)
        ));
        let uneven = [vec![0.1], vec![0.1, 0.2]];
        assert!(matches!(
            controlled(&uneven, 0.5),
            Err(Uncontrolled::Misuse)
        ));
    }

    #[test]
    fn numbers_of_units_are_those_that_suffice() {
        for (bound, needed) in [(0.05, 19), (0.1, 9), (0.2, 4), (1.0 / 3.0, 2)] {
            let Err(Uncontrolled::TooFew { needed: said, .. }) = controlled(&[vec![0.0]], bound)
            else {
                panic!("{bound}: one unit is too few");
            };
            assert_eq!(said, needed);
            let enough = vec![vec![0.0]; needed];
            assert!(controlled(&enough, bound).is_ok(), "{bound}");
            assert!(controlled(&enough[1..], bound).is_err(), "{bound}");
        }
    }

    #[test]
    fn a_lenient_setting_that_loses_more_makes_stricter_ones_no_better() {
        let units = vec![vec![0.3, 0.0, 0.9, 0.0]; 19];
        assert_eq!(controlled(&units, 0.1).expect("kept").setting, 3);
        let error = controlled(&vec![vec![0.0, 0.4]; 19], 0.1).expect_err("lossy");
        assert!(error.to_string().contains("promises 43 %"), "{error}");
    }

    /// Units whose cells are missed with a chance of their own: over many draws, the loss of the
    /// next unit stays below the bound on average, and not far below (Theorem 1 there: by 2 / (n +
    /// 1) at most, for continuous losses).
    #[test]
    fn the_next_units_loss_is_below_the_bound_on_average() {
        let mut state = 7u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let settings: Vec<f64> = (0..=100).map(|k| 1.0 - f64::from(k) / 100.0).collect();
        for units in [9, 19, 49] {
            let bound = 0.2;
            let (mut lost, draws) = (0.0, 1_000);
            for _ in 0..draws {
                // A unit's losses fall with the threshold, in its own way.
                let mut unit = || {
                    let power = 0.5 + 4.0 * uniform();
                    settings.iter().map(|t| t.powf(power)).collect::<Vec<_>>()
                };
                let known: Vec<Vec<f64>> = (0..units).map(|_| unit()).collect();
                let next = unit();
                lost += next[controlled(&known, bound).expect("kept").setting];
            }
            let mean = lost / f64::from(draws);
            // Four standard errors of a mean of losses that scatter by 0.1.
            let scatter = 4.0 * 0.1 / f64::from(draws).sqrt();
            assert!(mean < bound + scatter, "{units}: {mean}");
            let room = 2.0 / (f64::from(units) + 1.0) + 0.01 + scatter;
            assert!(mean > bound - room, "{units}: {mean}");
        }
    }
}
