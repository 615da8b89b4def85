//! A feature that a field differs from the training by, in words.

use serde::Serialize;

use super::features::Feature;

/// What a field or plate differs from the training by.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Name of the feature.
    pub feature: &'static str,
    /// The difference in words, such as `noisier by a factor of 4.1`.
    pub words: String,
    /// How far it lies off the training's middle, in standard deviations of its fields.
    pub deviations: f64,
    /// Whether it lies outside all that the training has.
    pub outside: bool,
    /// Its value, for most features a logarithm to the base of ten.
    pub value: f64,
    /// Least, middle and largest value of the training.
    pub training: [f64; 3],
}

impl Difference {
    /// Of a `value` against those of the training in ascending order.
    pub(super) fn new(feature: &Feature, value: f64, there: &[f64], deviations: f64) -> Self {
        let (least, most) = (there[0], there[there.len() - 1]);
        let middle = there[there.len() / 2];
        let word = match deviations < 0.0 {
            true => feature.low,
            false => feature.high,
        };
        let by = match feature.log {
            true => format!(" by {}", amount(value - middle)),
            false => String::new(),
        };
        Self {
            feature: feature.key,
            words: format!("{word}{by}"),
            deviations,
            outside: value < least || value > most,
            value,
            training: [least, middle, most],
        }
    }
}

/// A difference of logarithms as a share or a factor.
fn amount(difference: f64) -> String {
    let factor = 10f64.powf(difference.abs());
    match (factor < 2.0, difference < 0.0) {
        (true, true) => format!("{:.0} %", 100.0 * (1.0 - 1.0 / factor)),
        (true, false) => format!("{:.0} %", 100.0 * (factor - 1.0)),
        (false, _) if factor < 9.95 => format!("a factor of {factor:.1}"),
        (false, _) => format!("a factor of {factor:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::features::FEATURES;
    use super::*;

    #[test]
    fn differences_are_shares_and_factors() {
        let feature = |key: &str| FEATURES.iter().position(|f| f.key == key).unwrap();
        let said = |key: &str, value: f64, deviations: f64| {
            let there = [-0.1, 0.0, 0.2];
            Difference::new(&FEATURES[feature(key)], value, &there, deviations)
        };
        let words = |key, value: f64| said(key, value, value.signum()).words;
        assert_eq!(words("noise", 4.1f64.log10()), "noisier by a factor of 4.1");
        assert_eq!(words("light", 0.7f64.log10()), "darker by 30 %");
        assert_eq!(words("light", 1.3f64.log10()), "brighter by 30 %");
        assert_eq!(
            words("nuclei", 0.01f64.log10()),
            "with fewer nuclei by a factor of 100"
        );
        assert_eq!(words("skewness", 0.5), "brighter in its details");
        let found = said("noise", 0.15, 1.0);
        assert_eq!((found.training, found.outside), ([-0.1, 0.0, 0.2], false));
        assert!(said("noise", 0.25, 1.0).outside && said("noise", -0.2, -1.0).outside);
    }
}
