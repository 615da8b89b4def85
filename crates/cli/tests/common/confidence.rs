//! A model that says how sure its nuclei are.

use std::collections::BTreeMap;

use stainfree_inference::confidence::{
    AreaRule, AreaRules, Checked, CountRule, CountedUnit, Weighed,
};
use stainfree_inference::{Confidence, Options, Predictor};
use stainfree_network::Machine;

use super::Place;

/// Where the model of a study lies.
pub(crate) const MODEL: &str = "study/models/model";

/// Gives the model of a study a confidence with these weights of features, as `tune` would.
pub(crate) fn give_confidence(place: &Place, weights: &[(&str, f64)]) -> Confidence {
    let folder = place.path(MODEL);
    let predictor = Predictor::open(&folder, &Machine::new(1), &Options::default()).unwrap();
    let unit = |group: usize| CountedUnit {
        group: group.to_string(),
        truth: 10.0 + group as f64,
        expected: 10.0,
    };
    let units: Vec<CountedUnit> = (0..4).map(unit).collect();
    let area = |per_found: f64| AreaRule {
        per_found,
        field: Some(1.0),
        well: None,
    };
    let confidence = Confidence {
        program: "stainfree".to_owned(),
        model: predictor.hash().to_owned(),
        rule: predictor.decoder().word(),
        in_pixels: true,
        usual_area: 300.0,
        intercept: 0.25,
        checked: Checked::default(),
        counts: CountRule::new(1.5, &units, &[]),
        areas: Some(AreaRules {
            usual: 300.0,
            nuclei: area(1.25),
            mean: area(0.75),
            cytoplasm: None,
        }),
        features: weights
            .iter()
            .map(|&(name, weight)| Weighed {
                name: name.to_owned(),
                mean: 0.0,
                deviation: 1.0,
                weight,
            })
            .collect(),
    };
    confidence.write(&folder).unwrap();
    confidence
}

/// Rows of a table by the names of its columns.
pub(crate) fn rows(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned));
    let head: Vec<String> = lines.next().unwrap().collect();
    lines
        .map(|cells| head.iter().cloned().zip(cells).collect())
        .collect()
}

/// A number of a row.
pub(crate) fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    row[column]
        .parse()
        .unwrap_or_else(|_| panic!("{column} of {row:?}"))
}
