//! Conditions of an experiment: runs that differ in nothing but seed and fold, with their scores
//! over seeds.

use std::borrow::Cow;
use std::collections::BTreeMap;

use stainfree_scores::{
    AgreementSummary, BootstrapOptions, ClassCounts, FieldScores, Repeated, Resolved, Terms,
    UnitRule, measured_agreement, over_repeats,
};

use super::RunResult;
use super::file::Choice;
use crate::ProjectError;

/// Class that every scheme has.
const NUCLEUS: usize = 1;

/// All runs that differ in nothing but seed and fold.
pub(super) struct Condition<'a> {
    pub(super) choice: &'a Choice,
    pub(super) runs: Vec<&'a RunResult>,
    /// The seeds that were run, with all folds.
    pub(super) seeds: Vec<u64>,
    /// The scored fields of every seed: those of its run, or of all its folds.
    pub(super) repeats: Vec<Vec<FieldScores>>,
    pub(super) nucleus_f1: Repeated,
    pub(super) nucleus_iou: Repeated,
    pub(super) mean_f1: Repeated,
    pub(super) mean_iou: Repeated,
    pub(super) object_f1: Repeated,
    pub(super) count_error: Repeated,
    /// Clusters of touching nuclei that are exactly resolved.
    pub(super) clusters: Repeated,
    pub(super) loss: Option<f64>,
}

impl Condition<'_> {
    pub(super) fn label(&self) -> String {
        self.choice.label()
    }

    /// The paper's convention: mean over images; IoU, F1, nucleus IoU, nucleus F1, averaged over
    /// seeds.
    pub(super) fn paper(&self) -> Option<[f64; 4]> {
        let each: Vec<[f64; 4]> = self
            .runs
            .iter()
            .filter_map(|run| {
                let paper = run.scores.paper.as_ref()?;
                let nucleus = paper.classes.get("nucleus")?;
                Some([paper.mean.iou, paper.mean.f1, nucleus.iou, nucleus.f1])
            })
            .collect();
        (!each.is_empty()).then(|| {
            [0, 1, 2, 3].map(|i| each.iter().map(|row| row[i]).sum::<f64>() / each.len() as f64)
        })
    }

    /// What is measured through predicted masks against true ones, of the first seed: its run, or
    /// all its folds together.
    pub(super) fn agreement(&self) -> Option<Cow<'_, AgreementSummary>> {
        let first = self.runs.first()?.scores.agreement.as_ref()?;
        if self.choice.fold.is_none() {
            return Some(Cow::Borrowed(first));
        }
        // Folds of few groups measure by field; what a group is called is only known from larger
        // ones.
        let units = self
            .runs
            .iter()
            .filter_map(|run| run.scores.agreement.as_ref());
        let group = units
            .map(|agreement| &agreement.unit[..])
            .find(|unit| *unit != "field");
        measured_agreement(&self.repeats[0], group.unwrap_or("group")).map(Cow::Owned)
    }

    /// Training images, which `all` leaves open.
    pub(super) fn images(&self) -> usize {
        self.runs.first().map_or(0, |run| run.training_images)
    }
}

/// The conditions in the order of their first runs. One of which no seed has all folds is left out.
///
/// # Errors
/// Runs of one condition that were scored on different fields.
pub(super) fn conditions(results: &[RunResult]) -> Result<Vec<Condition<'_>>, ProjectError> {
    let mut order: Vec<String> = Vec::new();
    let mut groups: BTreeMap<String, Vec<&RunResult>> = BTreeMap::new();
    for result in results {
        let label = result.choice.label();
        if !groups.contains_key(&label) {
            order.push(label.clone());
        }
        groups.entry(label).or_default().push(result);
    }
    order
        .iter()
        .filter_map(|label| condition(groups.remove(label)?).transpose())
        .collect()
}

/// The runs of one seed.
fn by_seed<'a>(runs: &[&'a RunResult]) -> Vec<Vec<&'a RunResult>> {
    let mut seeds: BTreeMap<u64, Vec<&RunResult>> = BTreeMap::new();
    for run in runs {
        seeds.entry(run.choice.seed).or_default().push(run);
    }
    let folds = |run: &RunResult| run.choice.fold.map_or(1, |[_, folds]| folds);
    let whole = seeds
        .into_values()
        .filter(|runs| runs.len() == folds(runs[0]));
    whole.collect()
}

fn condition(runs: Vec<&RunResult>) -> Result<Option<Condition<'_>>, ProjectError> {
    let seeds = by_seed(&runs);
    let runs: Vec<&RunResult> = seeds.iter().flatten().copied().collect();
    if runs.is_empty() {
        return Ok(None);
    }
    let fields = |runs: &Vec<&RunResult>| runs.iter().flat_map(|run| run.counts.clone()).collect();
    let repeats: Vec<Vec<FieldScores>> = seeds.iter().map(fields).collect();
    let options = options_of(&runs);
    let slices: Vec<&[FieldScores]> = repeats.iter().map(Vec::as_slice).collect();
    let of = |terms: OfField| over_repeats(&slices, &options, terms);
    let losses: Vec<f64> = runs.iter().filter_map(|run| run.test_loss).collect();
    Ok(Some(Condition {
        choice: &runs[0].choice,
        nucleus_f1: of(nucleus_f1)?,
        nucleus_iou: of(nucleus_iou)?,
        mean_f1: of(mean_f1)?,
        mean_iou: of(mean_iou)?,
        object_f1: of(object_f1)?,
        count_error: of(count_error)?,
        clusters: of(clusters_resolved)?,
        loss: (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64),
        seeds: seeds.iter().map(|runs| runs[0].choice.seed).collect(),
        runs,
        repeats,
    }))
}

/// Intervals that resample what the runs' own intervals resample; folds together have more groups
/// than each alone.
pub(super) fn options_of(runs: &[&RunResult]) -> BootstrapOptions {
    let unit = runs.first().map_or("field", |run| run.scores.unit.as_str());
    let folds = runs.first().is_some_and(|run| run.choice.fold.is_some());
    BootstrapOptions {
        unit: match unit {
            _ if folds => UnitRule::Auto,
            "field" => UnitRule::Field,
            _ => UnitRule::Group,
        },
        ..BootstrapOptions::default()
    }
}

/// What a field adds to the ratios whose mean a score is.
pub(super) type OfField = fn(&FieldScores) -> Vec<Terms>;

pub(super) fn nucleus_f1(field: &FieldScores) -> Vec<Terms> {
    classes(field, f1_terms).skip(NUCLEUS).take(1).collect()
}

fn nucleus_iou(field: &FieldScores) -> Vec<Terms> {
    classes(field, iou_terms).skip(NUCLEUS).take(1).collect()
}

fn mean_f1(field: &FieldScores) -> Vec<Terms> {
    classes(field, f1_terms).collect()
}

pub(super) fn mean_iou(field: &FieldScores) -> Vec<Terms> {
    classes(field, iou_terms).collect()
}

/// The terms of every class, background first.
fn classes(field: &FieldScores, terms: fn(&ClassCounts) -> Terms) -> impl Iterator<Item = Terms> {
    let pixels = field.pixels.iter();
    pixels.flat_map(|pixels| &pixels.classes).map(terms)
}

fn f1_terms(counts: &ClassCounts) -> Terms {
    let hit = 2.0 * counts.tp as f64;
    [hit, hit + (counts.fp + counts.fn_) as f64]
}

fn iou_terms(counts: &ClassCounts) -> Terms {
    let hit = counts.tp as f64;
    [hit, hit + (counts.fp + counts.fn_) as f64]
}

/// F1 of objects at IoU 0.5, the first threshold.
pub(super) fn object_f1(field: &FieldScores) -> Vec<Terms> {
    let objects = field.objects.as_ref();
    let terms = objects.map(|objects| {
        let both = (objects.truth + objects.prediction) as f64;
        [2.0 * objects.at[0].tp as f64, both]
    });
    terms.into_iter().collect()
}

/// Predicted minus true nuclei, by true ones.
pub(super) fn count_error(field: &FieldScores) -> Vec<Terms> {
    let objects = field.objects.as_ref();
    let terms = objects.map(|objects| {
        let (truth, found) = (objects.truth as f64, objects.prediction as f64);
        [found - truth, truth]
    });
    terms.into_iter().collect()
}

/// Clusters of touching nuclei that are exactly resolved at IoU 0.5.
pub(super) fn clusters_resolved(field: &FieldScores) -> Vec<Terms> {
    let splitting = field.splitting.as_ref();
    let terms = splitting.map(|counts| {
        let sum = |of: fn(&Resolved) -> u64| counts.clusters.iter().map(of).sum::<u64>() as f64;
        [sum(|c| c.at_50), sum(|c| c.n)]
    });
    terms.into_iter().collect()
}
