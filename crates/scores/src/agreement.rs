//! Agreement of two ways to measure the same thing: counts, areas or intensities of units such as
//! fields or wells.
//!
//! Here: Bland & Altman's limits and Lin's concordance, on slices. x is the truth, y the
//! prediction, and differences are y - x.

use serde::{Deserialize, Serialize};

use crate::student::point_975;

/// Fewer units than this say nothing.
const FEWEST: usize = 3;

/// Limits hold 95 % of normally distributed differences.
const NORMAL_95: f64 = 1.96;

/// A value with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// 95 % interval by Student's t with n - 1 degrees of freedom.
    pub ci95: [f64; 2],
}

/// Bias and limits of agreement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlandAltman {
    /// Units that entered.
    pub n: usize,
    /// Mean difference, prediction minus truth.
    pub bias: Estimate,
    /// Standard deviation of the differences (n - 1).
    pub sd: f64,
    /// Bias minus 1.96 standard deviations.
    pub lower: Estimate,
    /// Bias plus 1.96 standard deviations.
    pub upper: Estimate,
}

/// Bias and limits of agreement of `y - x`; `None` with fewer than three units.
///
/// # Panics
/// If the lengths differ.
///
/// # Source
/// Bland & Altman (1986), "Statistical methods for assessing agreement between two methods of
/// clinical measurement": standard errors SD / sqrt(n) of the bias and sqrt(3 SD^2 / n) of a limit.
pub fn bland_altman(x: &[f64], y: &[f64]) -> Option<BlandAltman> {
    assert_eq!(x.len(), y.len(), "one prediction for each truth");
    limits(x.iter().zip(y).map(|(x, y)| y - x).collect())
}

/// [`bland_altman`] of the differences in per cent of the mean of both, `100 (y - x) / mean(x, y)`.
/// Units whose mean is 0 are undefined and left out.
///
/// # Panics
/// If the lengths differ.
pub fn bland_altman_percent(x: &[f64], y: &[f64]) -> Option<BlandAltman> {
    assert_eq!(x.len(), y.len(), "one prediction for each truth");
    let percent = |(x, y): (&f64, &f64)| {
        let mean = (x + y) / 2.0;
        (mean != 0.0).then(|| 100.0 * (y - x) / mean)
    };
    limits(x.iter().zip(y).filter_map(percent).collect())
}

fn limits(differences: Vec<f64>) -> Option<BlandAltman> {
    let n = differences.len();
    if n < FEWEST {
        return None;
    }
    let bias = mean(&differences);
    let sd = covariance(&differences, &differences).sqrt();
    let t = point_975((n - 1) as f64);
    let estimate = |value: f64, error: f64| Estimate {
        value,
        ci95: [value - t * error, value + t * error],
    };
    let of_limit = (3.0 * sd * sd / n as f64).sqrt();
    Some(BlandAltman {
        n,
        bias: estimate(bias, sd / (n as f64).sqrt()),
        sd,
        lower: estimate(bias - NORMAL_95 * sd, of_limit),
        upper: estimate(bias + NORMAL_95 * sd, of_limit),
    })
}

/// Lin's concordance correlation coefficient, with variances over n - 1; `None` with fewer than
/// three units or where x and y are both constant.
///
/// # Panics
/// If the lengths differ.
///
/// # Source
/// Lin (1989), "A concordance correlation coefficient to evaluate reproducibility" (there over n).
pub fn concordance(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "one prediction for each truth");
    if x.len() < FEWEST {
        return None;
    }
    let (in_x, in_y) = (covariance(x, x), covariance(y, y));
    let apart = mean(x) - mean(y);
    (in_x > 0.0 || in_y > 0.0).then(|| 2.0 * covariance(x, y) / (in_x + in_y + apart * apart))
}

/// Pearson's correlation; it does not see a bias. `None` with fewer than three units or where x or
/// y is constant.
///
/// # Panics
/// If the lengths differ.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "one prediction for each truth");
    if x.len() < FEWEST {
        return None;
    }
    let spread = (covariance(x, x) * covariance(y, y)).sqrt();
    (spread > 0.0).then(|| covariance(x, y) / spread)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Covariance over n - 1.
fn covariance(x: &[f64], y: &[f64]) -> f64 {
    let (mean_x, mean_y) = (mean(x), mean(y));
    let sum: f64 = x
        .iter()
        .zip(y)
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum();
    sum / (x.len() - 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concordance_of_the_reference_case() {
        let (x, y) = ([3.0, -0.5, 2.0, 7.0], [2.5, 0.0, 2.0, 8.0]);
        // As the reference states it, five decimals.
        assert!((concordance(&x, &y).unwrap() - 0.97773).abs() < 5e-6);
        // A constant shift leaves r at 1 and lowers the concordance.
        let shifted = x.map(|x| x + 2.0);
        assert!((pearson(&x, &shifted).unwrap() - 1.0).abs() < 1e-12);
        assert!(concordance(&x, &shifted).unwrap() < 0.9);
    }

    #[test]
    fn few_or_constant_units_are_undefined() {
        assert_eq!(bland_altman(&[1.0, 2.0], &[1.0, 2.0]), None);
        assert_eq!(concordance(&[1.0; 4], &[1.0; 4]), None);
        assert_eq!(pearson(&[1.0; 4], &[1.0, 2.0, 3.0, 4.0]), None);
        // Of the four, the one with mean 0 has no percentage.
        let percent = bland_altman_percent(&[0.0, 1.0, 2.0, 4.0], &[0.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!((percent.n, percent.bias.value), (3, 100.0 / 3.0));
    }
}
