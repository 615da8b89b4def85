//! A rule against what is known: its number, its light and its sentence.

use super::evidence::Evidence;
use super::limit::Found;
use super::rules::Rule;
use super::{Finding, Light, Step};

impl Rule {
    /// What the rule says; `None` where it does not apply.
    pub(super) fn judge(&self, evidence: &Evidence) -> Option<Finding> {
        let found = (self.find)(evidence)?;
        let limit = self.limit;
        let (light, value, says) = match found {
            Found::Number(number) => (
                Some(limit.map_or(Light::Green, |limit| limit.light(&number))),
                Some(number.value),
                number.says,
            ),
            Found::State(light, says) => (Some(light), None, says),
            Found::Unknown(says) => (self.unknown, None, says),
        };
        let steps: &[Step] = match light {
            Some(Light::Green) => &[],
            _ => self.steps,
        };
        Some(Finding {
            rule: self.key.to_owned(),
            light,
            value,
            yellow: limit.and_then(|limit| limit.yellow),
            red: limit.and_then(|limit| limit.red),
            says,
            steps: steps.to_vec(),
        })
    }
}
