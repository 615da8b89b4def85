//! Predicted objects with their confidences, and whether each is right.
//!
//! Here: what is counted of a field. What is said of all of them is in `confidence_summary`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::matching::Matching;

/// A predicted object with its confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SureObject {
    /// Probability that it matches a true object, 0 to 1.
    pub confidence: f64,
    /// Whether it does.
    pub right: bool,
}

/// The predicted objects of a field with their confidences.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldConfidence {
    /// Those that count.
    pub objects: Vec<SureObject>,
    /// True and expected number of objects.
    pub count: Option<ExpectedCount>,
    /// True and expected areas.
    pub areas: Vec<ExpectedArea>,
}

/// An area of a field, and what was expected of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpectedArea {
    /// The field.
    pub name: String,
    /// What it is a part of.
    pub group: Option<String>,
    /// The area of what.
    pub of: String,
    /// What it is in.
    pub unit: String,
    /// True area.
    pub truth: f64,
    /// The one that was expected.
    pub expected: f64,
    /// Where it should lie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// The probability of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
}

/// A number of true objects, and what was expected of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpectedCount {
    /// Field or well.
    pub name: String,
    /// What it is a part of.
    pub group: Option<String>,
    /// True objects.
    pub truth: u64,
    /// Predicted objects.
    pub predicted: u64,
    /// True objects that were expected from the confidences.
    pub expected: f64,
    /// Where they should lie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// The probability of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
}

impl Matching<'_> {
    /// Of every predicted object that the object scores count, whether it matches a true one at IoU
    /// >= 0.5, by label.
    pub fn right(&self) -> BTreeMap<u32, bool> {
        let table = &self.table;
        let labels = &table.overlap.prediction.labels;
        let counted = labels.iter().zip(&table.required);
        let mut right: BTreeMap<u32, bool> = counted
            .filter(|(_, required)| **required)
            .map(|(&label, _)| (label, false))
            .collect();
        let pairs = table.pairs_at(10);
        right.extend(pairs.iter().map(|pair| (labels[pair.prediction], true)));
        right
    }
}
