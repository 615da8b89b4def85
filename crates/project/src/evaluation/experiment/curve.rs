//! How many images: the learning curve of an experiment, and what it advises.
//!
//! Runs that differ only in seed and number of images make one curve. The fit and its intervals are
//! [`learning_curve`]'s; here is which runs belong together, and what is said in words.

use std::collections::BTreeSet;

use serde::Serialize;
use stainfree_scores::{ByName, CurveRun, FieldScores, LearningCurve, SizePoint, learning_curve};

use super::RunResult;
use super::conditions::{self, OfField, options_of};
use super::file::{Choice, Images};
use super::shown::{Shown, dash};
use crate::ProjectError;

/// A gain in score that pays for staining, imaging and checking as many fields again: what people
/// would notice.
pub const WORTH: f64 = 0.01;
/// Chances from which, and down to which, advice is given at all.
const SURE: f64 = 0.8;

/// With fewer test groups or fields than this, intervals are too short.
const FEW_UNITS: usize = 8;

/// Learning curves of runs that differ in nothing but the number of images and the seed.
#[derive(Clone, Debug, Serialize)]
pub struct Advice {
    /// What the runs share.
    pub condition: String,
    /// The advice in plain sentences.
    pub sentence: String,
    /// The fitted curves by score; empty where too few runs were made for one.
    pub curves: ByName<LearningCurve>,
}

impl Advice {
    /// Whether a run is one of those the advice is made of.
    pub(super) fn is_of(&self, run: &RunResult) -> bool {
        condition(&run.choice) == self.condition
    }
}

/// The scores that curves are fitted to; the first is the one in the sentence.
const SCORES: [(&str, OfField); 3] = [
    (NUCLEUS_F1, conditions::nucleus_f1),
    ("nuclei as objects, F1 at 0.5", conditions::object_f1),
    ("mean IoU", conditions::mean_iou),
];

/// The score that the advice is about.
pub const NUCLEUS_F1: &str = "nucleus F1";

/// The advice of every set of runs that were trained with several numbers of images.
///
/// # Errors
/// Runs of one curve that were not scored on the same fields.
pub(super) fn advice(results: &[RunResult]) -> Result<Vec<Advice>, ProjectError> {
    let mut lines: Vec<(String, Vec<&RunResult>)> = Vec::new();
    // Folds are scored on different fields: no run of one stands beside a run of another. Flips
    // need no curve of their own.
    let usual = |run: &&RunResult| run.choice.fold.is_none() && !run.choice.flips;
    for result in results.iter().filter(usual) {
        let label = condition(&result.choice);
        match lines.iter_mut().find(|(known, _)| *known == label) {
            // The same run under two names: 16 images, and all where there are 16.
            Some((_, runs)) if runs.iter().any(|run| run.hash == result.hash) => {}
            Some((_, runs)) => runs.push(result),
            None => lines.push((label, vec![result])),
        }
    }
    let several = |runs: &[&RunResult]| {
        let first = runs[0].training_images;
        runs.iter().any(|run| run.training_images != first)
    };
    lines.retain(|(_, runs)| several(runs));
    lines
        .into_iter()
        .map(|(condition, runs)| advice_of(condition, &runs))
        .collect()
}

/// What runs of one curve share, for people.
fn condition(choice: &Choice) -> String {
    let rest = Choice {
        images: Images::All,
        ..choice.clone()
    };
    rest.label().replace(", all images", "")
}

fn advice_of(condition: String, runs: &[&RunResult]) -> Result<Advice, ProjectError> {
    let options = options_of(runs);
    let points: Vec<CurveRun> = runs
        .iter()
        .map(|run| CurveRun {
            images: run.training_images,
            fields: &run.counts,
        })
        .collect();
    let mut curves = Vec::new();
    for (name, terms) in SCORES {
        let curve = learning_curve(&points, &options, WORTH, terms)?;
        curves.extend(curve.map(|curve| (name.to_owned(), curve)));
    }
    let curves = ByName(curves);
    let units = runs[0].scores.intervals.units;
    let unit = &runs[0].scores.unit;
    let sentence = match curves.get(NUCLEUS_F1) {
        Some(curve) => in_words(curve, units, unit) + &of_few_groups(&runs[0].counts),
        None => {
            "How much more images would bring cannot be told: it takes three numbers of images \
            and five runs, \
                 better two or three seeds of each."
                .to_owned()
        }
    };
    Ok(Advice {
        condition,
        sentence,
        curves,
    })
}

/// What has to be said where fields stand for groups because there are few of those; fields without
/// groups are their own.
fn of_few_groups(fields: &[FieldScores]) -> String {
    let groups: BTreeSet<&String> = fields.iter().filter_map(|f| f.group.as_ref()).collect();
    if groups.is_empty() || groups.len() >= FEW_UNITS || groups.len() == fields.len() {
        return String::new();
    }
    format!(
        " The test fields are of only {} groups, and fields of one group are alike: it is less \
         sure than these numbers say.",
        groups.len()
    )
}

/// What doubling is expected to bring, how sure that is, and what to do.
fn in_words(curve: &LearningCurve, units: usize, unit: &str) -> String {
    let doubling = &curve.doubling;
    let points = |gain: f64| format!("{:.1}", 100.0 * gain);
    let expected = format!(
        "Doubling the training images from {} to {} is expected to bring {} points of nucleus \
         F1{}.",
        doubling.from,
        doubling.to,
        points(doubling.gain),
        doubling.ci95.map_or(String::new(), |[low, high]| {
            format!(" (95 % interval {} to {})", points(low), points(high))
        })
    );
    let percent = |chance: f64| format!("{:.0} %", (100.0 * chance).clamp(1.0, 99.0));
    let worth = points(doubling.worth);
    let chance = doubling.chance;
    let advice = if doubling.ci95.is_none() {
        format!("How sure that is cannot be told from {units} test {unit}.")
    } else if units < FEW_UNITS {
        // Intervals over so few are too short, so that no chance counts as sure.
        format!(
            "The runs put the chance of a gain of {worth} point or more at {}, but {units} test \
             {unit}s are too few to \
             rely on it: more test {unit}s come first.",
            percent(chance)
        )
    } else if chance >= SURE {
        format!(
            "More images are worth it: the chance of a gain of {worth} point or more is {}.",
            percent(chance)
        )
    } else if chance <= 1.0 - SURE {
        format!(
            "More images of this kind are hardly worth it: the chance that they bring less than \
             {worth} point is {}. \
             Other wells, cell densities or a longer training may still help.",
            percent(1.0 - chance)
        )
    } else {
        format!(
            "Whether it is worth it cannot be told yet: the chance of a gain of {worth} point or \
             more is {}. \
             More seeds, or more test groups, would narrow it down.",
            percent(chance)
        )
    };
    format!("{expected} {advice}")
}

/// The curves as a table.
pub(super) fn table(advice: &[Advice]) -> Option<Shown> {
    let rows: Vec<Vec<String>> = advice
        .iter()
        .flat_map(|advice| {
            advice
                .curves
                .iter()
                .map(|(score, curve)| row(&advice.condition, score, curve))
        })
        .collect();
    (!rows.is_empty()).then(|| Shown {
        title: "How many images".to_owned(),
        caption: format!(
            "A curve fitted to the runs by number of images: power law and exponential, both with \
             a floor, averaged \
             by how well they fit. The intervals come from drawing test groups anew and scattering \
             runs as they \
             scatter around the curve. Gains are in points (hundredths); the last column is the \
             chance of at least {:.0}.",
            100.0 * WORTH
        ),
        columns: vec![
            "condition",
            "score",
            "measured",
            "at twice the images",
            "gain, \
            points",
            "scatter of runs",
            "chance it is worth it",
        ],
        rows,
    })
}

fn row(condition: &str, score: &str, curve: &LearningCurve) -> Vec<String> {
    let size = |p: &SizePoint| format!("{}: {:.3}", p.images, p.score);
    let measured: Vec<String> = curve.sizes.iter().map(size).collect();
    let last = curve.curve.last();
    let doubling = &curve.doubling;
    let with = |value: f64, ci95: Option<[f64; 2]>, factor: f64, decimals: usize| {
        let interval = ci95.map_or(String::new(), |[low, high]| {
            format!(
                " ({:.decimals$} to {:.decimals$})",
                factor * low,
                factor * high
            )
        });
        format!("{:.decimals$}{interval}", factor * value)
    };
    vec![
        condition.to_owned(),
        score.to_owned(),
        measured.join(", "),
        dash(last.map(|p| with(p.score, p.ci95, 1.0, 3))),
        with(doubling.gain, doubling.ci95, 100.0, 1),
        format!("{:.4}", curve.scatter),
        format!("{:.0} %", 100.0 * doubling.chance),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_stand_for_few_groups_are_named() {
        let fields = |groups: &[&str]| -> Vec<FieldScores> {
            let field = |group: &&str| FieldScores {
                group: (!group.is_empty()).then(|| (*group).to_owned()),
                ..FieldScores::default()
            };
            groups.iter().map(field).collect()
        };
        assert!(of_few_groups(&fields(&["a", "a", "b"])).contains("only 2 groups"));
        assert_eq!(of_few_groups(&fields(&["a", "b"])), "", "a field a group");
        assert_eq!(of_few_groups(&fields(&["", ""])), "", "no groups");
        let many: Vec<String> = (0..16).map(|i| format!("g{}", i / 2)).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(of_few_groups(&fields(&many)), "", "eight groups are many");
    }
}
