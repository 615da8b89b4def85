//! Percentile bootstrap over units that were imaged apart from each other.
//!
//! Whole units (wells, experiments) are drawn with replacement, never pixels or objects; the
//! statistic is computed anew from the summed counts of each draw. Draw `k` of resample `r` is a
//! hash of (seed, r, k), so any resample can be remade alone and the order of work cannot matter.
//!
//! Source: Efron & Tibshirani (1993), "An Introduction to the Bootstrap", section 13.3.

use stainfree_image::random::{below, number};

/// Resamples of an interval unless told otherwise.
pub(crate) const RESAMPLES: usize = 2000;

/// The unit drawn at place `draw` of resample `resample`, out of `units` (> 0).
pub(crate) fn drawn_unit(seed: u64, resample: usize, draw: usize, units: usize) -> usize {
    below(bits(seed, resample, draw), units)
}

/// A number in (0, 1) for place `draw` of resample `resample`.
pub(crate) fn uniform(seed: u64, resample: usize, draw: usize) -> f64 {
    // 53 bits, moved half a step away from 0.
    ((bits(seed, resample, draw) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// 64 random bits of their own for each place of each resample.
fn bits(seed: u64, resample: usize, draw: usize) -> u64 {
    let key = number(number(seed, 0) ^ resample as u64, 0);
    number(key ^ draw as u64, 0)
}

/// 95 % percentile intervals of several statistics at once.
///
/// `units` are the counts of each unit, `add` sums them into a total that starts as
/// `Total::default()`, `statistics` gives the values (NaN = undefined). The result has one entry
/// per statistic: the 2.5 % and 97.5 % points of its defined values, `None` with fewer than two
/// units or where fewer than half of the resamples define it.
pub(crate) fn intervals<T: Default>(
    units: &[T],
    resamples: usize,
    seed: u64,
    add: impl Fn(&mut T, &T),
    statistics: impl Fn(&T) -> Vec<f64>,
) -> Vec<Option<[f64; 2]>> {
    let count = statistics(&T::default()).len();
    if units.len() < 2 || resamples == 0 {
        return vec![None; count];
    }
    let mut values: Vec<Vec<f64>> = vec![Vec::with_capacity(resamples); count];
    for resample in 0..resamples {
        let mut total = T::default();
        for draw in 0..units.len() {
            add(
                &mut total,
                &units[drawn_unit(seed, resample, draw, units.len())],
            );
        }
        for (list, value) in values.iter_mut().zip(statistics(&total)) {
            if !value.is_nan() {
                list.push(value);
            }
        }
    }
    let interval = |mut list: Vec<f64>| {
        if list.is_empty() || 2 * list.len() < resamples {
            return None;
        }
        list.sort_unstable_by(f64::total_cmp);
        Some([percentile(&list, 0.025), percentile(&list, 0.975)])
    };
    values.into_iter().map(interval).collect()
}

/// Linear interpolation between the order statistics (NumPy's default). `sorted` is not empty.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let low = place.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (place - low as f64) * (sorted[high] - sorted[low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_interpolate_as_numpy_does() {
        // numpy.percentile([1, 2, 4, 8], [0, 2.5, 50, 97.5, 100])
        let values = [1.0, 2.0, 4.0, 8.0];
        let got = [0.0, 0.025, 0.5, 0.975, 1.0].map(|share| percentile(&values, share));
        for (got, expected) in got.iter().zip([1.0, 1.075, 3.0, 7.7, 8.0]) {
            assert!((got - expected).abs() < 1e-12, "{got} {expected}");
        }
    }

    /// Intervals are made again by these numbers.
    #[test]
    fn the_drawn_units_stay_what_they_are() {
        let drawn: Vec<usize> = (0..4).map(|draw| drawn_unit(5, 2, draw, 1000)).collect();
        assert_eq!(drawn, [290, 0, 679, 263]);
    }

    #[test]
    fn every_unit_is_drawn_about_equally_often() {
        let mut hits = [0f64; 7];
        for resample in 0..2000 {
            for draw in 0..7 {
                hits[drawn_unit(5, resample, draw, 7)] += 1.0;
            }
        }
        // Binomial(14000, 1/7): mean 2000, standard deviation 41; five of them.
        assert!(hits.iter().all(|h| (h - 2000.0).abs() < 207.0), "{hits:?}");
    }

    #[test]
    fn the_interval_of_a_mean_has_the_textbook_width() {
        // 100 units of values 0..99: the standard error of the mean is 28.87 / 10.
        let units: Vec<(f64, f64)> = (0..100).map(|i| (f64::from(i), 1.0)).collect();
        let add = |sum: &mut (f64, f64), unit: &(f64, f64)| {
            sum.0 += unit.0;
            sum.1 += unit.1;
        };
        let got = intervals(&units, 2000, 1, add, |total| vec![total.0 / total.1]);
        let [low, high] = got[0].unwrap();
        // 49.5 -/+ 1.96 * 2.887; the percentile points of 2,000 resamples scatter by about 0.15.
        assert!(
            (low - 43.84).abs() < 0.7 && (high - 55.16).abs() < 0.7,
            "{low} {high}"
        );
    }

    #[test]
    fn one_unit_has_no_interval_and_rarely_defined_values_have_none() {
        let add = |sum: &mut f64, unit: &f64| *sum += unit;
        assert_eq!(intervals(&[1.0], 100, 1, add, |&t| vec![t]), [None]);
        assert_eq!(
            intervals(&[1.0, 2.0], 100, 1, add, |_| vec![f64::NAN]),
            [None]
        );
    }
}
