//! Curves of the report: how a training went, and how nuclei depend on the decisions of the rule.

use std::collections::BTreeMap;
use std::path::Path;

use stainfree_inference::{CurvePoint, Decisions};
use stainfree_network::Model;
use stainfree_report::{Chart, LineChart, Scale, Series};

use crate::ProjectError;
use crate::training::log::Curves;

/// Points of a curve: more than a page has pixels.
const MOST_POINTS: usize = 4000;

/// All curves of the model in `folder`.
pub(super) fn charts(folder: &Path, model: &Model) -> Result<Vec<Chart>, ProjectError> {
    let info = &model.info;
    let log = folder.join("log.jsonl");
    let mut charts = curves(&log, &info.classes, info.training.chosen_step)?;
    // A rule that cannot be used is an error of whoever predicts by it, not of a page.
    if let Ok(Some(chosen)) = Decisions::read(folder, &model.hash()) {
        charts.extend(rule_charts(&chosen));
    }
    Ok(charts)
}

/// How nuclei of the validation fields change with each decision alone.
fn rule_charts(chosen: &Decisions) -> Vec<Chart> {
    let mut decisions: Vec<&str> = Vec::new();
    for point in &chosen.curve {
        if !decisions.contains(&point.decision.as_str()) {
            decisions.push(&point.decision);
        }
    }
    let chart = |decision: &&str| {
        let of = |name: &str, value: fn(&CurvePoint) -> f64, dashed| Series {
            name: name.to_owned(),
            points: chosen
                .curve
                .iter()
                .filter(|point| point.decision == **decision)
                .map(|point| (point.value, value(point)))
                .collect(),
            dashed,
        };
        let chart = LineChart {
            x_label: (*decision).to_owned(),
            y_label: "share".to_owned(),
            series: vec![
                of("object F1", |point| point.trial.f1, false),
                of("count error", |point| point.trial.count_error, true),
                of("area error", |point| point.trial.area_error, true),
            ],
            x_scale: Scale::Linear,
            y_scale: Scale::Linear,
            marks: Vec::new(),
        };
        Chart {
            title: format!("Nuclei by `{decision}`"),
            caption: format!(
                "On {} validation fields, every other decision as it was chosen: object F1 {:.3}, \
                 count {:+.1} %, area {:+.1} % (the default: {:.3}, {:+.1} %, {:+.1} %).",
                chosen.fields.len(),
                chosen.chosen.f1,
                100.0 * chosen.chosen.count_error,
                100.0 * chosen.chosen.area_error,
                chosen.default.f1,
                100.0 * chosen.default.count_error,
                100.0 * chosen.default.area_error,
            ),
            svg: chart.svg(),
        }
    };
    decisions.iter().map(chart).collect()
}

/// Loss and validation F1 over the steps, from the training's log.
fn curves(log: &Path, classes: &[String], chosen: u64) -> Result<Vec<Chart>, ProjectError> {
    let log = Curves::read(log)?;
    let loss: Vec<(f64, f64)> = log
        .smooth_losses(MOST_POINTS)
        .into_iter()
        .map(|(step, loss)| (step as f64, loss))
        .collect();
    let mut f1: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
    for validated in &log.validations {
        for (class, value) in validated.f1.iter().enumerate().skip(1) {
            let points = f1.entry(class).or_default();
            points.extend(value.map(|value| (validated.step as f64, value)));
        }
    }
    let marks = vec![(chosen as f64, "kept".to_owned())];
    let mut charts = Vec::new();
    if !loss.is_empty() {
        let chart = LineChart {
            x_label: "step".to_owned(),
            y_label: "training loss".to_owned(),
            series: vec![Series {
                name: "mean of about 20 steps".to_owned(),
                points: loss,
                dashed: false,
            }],
            x_scale: Scale::Linear,
            y_scale: Scale::Linear,
            marks: marks.clone(),
        };
        charts.push(Chart {
            title: "Training loss".to_owned(),
            caption: "Lower is better; crops differ from step to step.".to_owned(),
            svg: chart.svg(),
        });
    }
    if !f1.is_empty() {
        let name = |class: usize| {
            classes
                .get(class)
                .cloned()
                .unwrap_or_else(|| class.to_string())
        };
        let series = f1
            .into_iter()
            .map(|(class, points)| Series {
                name: name(class),
                points,
                dashed: false,
            })
            .collect();
        let chart = LineChart {
            x_label: "step".to_owned(),
            y_label: "F1".to_owned(),
            series,
            x_scale: Scale::Linear,
            y_scale: Scale::Linear,
            marks,
        };
        charts.push(Chart {
            title: "Validation".to_owned(),
            caption: "Pixel F1 on whole validation fields; the marked step was kept.".to_owned(),
            svg: chart.svg(),
        });
    }
    Ok(charts)
}
