//! How far two conditions lie apart.

use serde::Serialize;

use super::mean::Interval;
use super::{Mean, Part};

/// The difference of two means.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// With the help of the predictions.
    pub powered: Interval,
    /// By the stained wells alone.
    pub classical: Interval,
}

/// `one - other`, of conditions whose wells have nothing to do with each other (Welch's interval).
pub fn difference(one: &Mean, other: &Mean) -> Difference {
    let of = |estimate: f64, parts: Vec<Part>| match parts.is_empty() {
        true => Interval {
            estimate,
            ci95: None,
        },
        false => Interval::of(estimate, &parts),
    };
    let both = |a: &[Part], b: &[Part]| match a.is_empty() || b.is_empty() {
        true => Vec::new(),
        false => [a, b].concat(),
    };
    let alone = both(one.alone.as_slice(), other.alone.as_slice());
    Difference {
        powered: of(
            one.powered.estimate - other.powered.estimate,
            both(&one.parts, &other.parts),
        ),
        classical: of(one.classical.estimate - other.classical.estimate, alone),
    }
}
