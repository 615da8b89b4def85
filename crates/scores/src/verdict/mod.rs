//! Whether numbers of a model can be used: a traffic light, by rules that are given with it.
//!
//! Each rule asks one question of what is known ([`Evidence`]), finds a number or a state, and has
//! limits from which on the light is yellow or red. The light of all is the worst of theirs. What
//! is not known is said; where nobody may go on without it, it counts as well. The rules are data
//! ([`RULES`]): page, JSON and docs/trust.md say what stands there.

mod evidence;
mod judge;
mod limit;
mod rules;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use evidence::{Evidence, StrangePlate, Tested, Used};
pub use limit::{Better, Limit};
pub use rules::{RULES, Rule, rule};

/// Whether numbers can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Light {
    /// Yes, for images like those that were looked at.
    Green,
    /// With care: what is said beside it comes first.
    Yellow,
    /// Not as they are.
    Red,
}

impl Light {
    /// The colour.
    pub fn word(self) -> &'static str {
        match self {
            Light::Green => "green",
            Light::Yellow => "yellow",
            Light::Red => "red",
        }
    }

    /// What it answers to "can I use these numbers?".
    pub fn answer(self) -> &'static str {
        match self {
            Light::Green => "Yes",
            Light::Yellow => "With care",
            Light::Red => "No, not as they are",
        }
    }
}

/// What somebody can do about a light that is not green.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Score the model on fields that it has not met.
    Evaluate,
    /// Compare how the plate was imaged with how those of the training were.
    Refocus,
    /// Stain a few wells that are drawn at random, and let them correct the counts.
    Stain,
    /// Look at the strangest or least sure fields.
    Look,
    /// Correct fields of the study, and train on them.
    Correct,
    /// Choose the rule for nuclei, and fit the confidences, anew.
    Tune,
    /// Put more groups (wells, plates, days) into the test.
    MoreGroups,
    /// Compare means of several wells, not single wells.
    SeveralWells,
    /// Predict again what has failed.
    Repair,
    /// Leave fields out that the model has learned from.
    LeaveOut,
}

impl Step {
    /// What to do, as a sentence without its full stop.
    pub fn words(self) -> &'static str {
        match self {
            Step::Evaluate => "Score the model on fields of its study that it has not met",
            Step::Refocus => {
                "Compare focus, light, objective and channel with those of the training plates, \
                 and image a well again"
            }
            Step::Stain => {
                "Stain a few wells, drawn at random: with them means and totals hold whatever the \
                 network's errors"
            }
            Step::Look => "Look at the fields in question over their images",
            Step::Correct => {
                "Correct nuclei in a few training fields, and train again; wrong truth shows \
                 there, too"
            }
            Step::Tune => {
                "Choose the rule for nuclei, and fit the confidences, anew on the validation fields"
            }
            Step::MoreGroups => {
                "Stain more wells, or better plates of other days, add them to the study, train \
                 and score again"
            }
            Step::SeveralWells => "Compare means of several wells, not single wells",
            Step::Repair => {
                "See `message` in `predictions.csv`, and give the same `predict` command again"
            }
            Step::LeaveOut => {
                "Leave out the fields that the model has learned from, or report them apart"
            }
        }
    }
}

/// What one rule says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's key in [`RULES`].
    pub rule: String,
    /// Its light; none where nothing is known and others decide.
    pub light: Option<Light>,
    /// The number that was compared with the limits, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The limit of yellow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yellow: Option<f64>,
    /// The limit of red.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub red: Option<f64>,
    /// What was found, as a sentence without its full stop.
    pub says: String,
    /// What can be done about a light that is not green.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

/// The light of all rules, and what each says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The worst light of a rule.
    pub light: Light,
    /// The rules that had something to say, in the order of [`RULES`].
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// What the rules say of this.
    pub fn of(evidence: &Evidence) -> Self {
        let findings: Vec<Finding> = RULES
            .iter()
            .filter_map(|rule| rule.judge(evidence))
            .collect();
        let lights = findings.iter().filter_map(|finding| finding.light);
        Self {
            light: lights.max().unwrap_or(Light::Red),
            findings,
        }
    }

    /// The findings that keep the light from being green, the worst first.
    pub fn reasons(&self) -> Vec<&Finding> {
        let not_green = |finding: &&Finding| finding.light > Some(Light::Green);
        let mut reasons: Vec<&Finding> = self.findings.iter().filter(not_green).collect();
        reasons.sort_by_key(|finding| std::cmp::Reverse(finding.light));
        reasons
    }

    /// What to do next, each once, the worst reason's first.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for step in self.reasons().into_iter().flat_map(|f| &f.steps) {
            if !steps.contains(step) {
                steps.push(*step);
            }
        }
        steps
    }
}

impl fmt::Display for Verdict {
    /// The light with its reasons, as a sentence without its full stop.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} ({})", self.light.answer(), self.light.word())?;
        let reasons: Vec<&str> = self.reasons().iter().map(|r| r.says.as_str()).collect();
        match reasons.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", reasons.join("; ")),
        }
    }
}
