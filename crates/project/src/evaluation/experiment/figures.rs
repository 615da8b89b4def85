//! The figures of an experiment: training curves, and scores by number of images.

use std::collections::{BTreeMap, BTreeSet};

use stainfree_report::{
    Band, Chart, LineChart, PointChart, Scale, Series, agreement_charts, reliability_chart,
};
use stainfree_scores::LearningCurve;

use super::RunResult;
use super::conditions::Condition;
use super::curve::{Advice, NUCLEUS_F1};
use super::file::{Choice, Images};

/// A figure and the name of its files.
pub(super) type Named = (String, Chart);

/// The figures that the runs allow.
pub(super) fn figures(
    results: &[RunResult],
    conditions: &[Condition],
    advice: &[Advice],
) -> Vec<Named> {
    let mut figures = vec![("training", training_figure(conditions))];
    let sizes: BTreeSet<usize> = conditions.iter().map(Condition::images).collect();
    if sizes.len() > 1 {
        figures.push((
            "nucleus-f1-by-images",
            size_figure(
                conditions,
                "Nucleus F1 by number of images",
                "nucleus F1",
                |c| c.nucleus_f1.mean,
            ),
        ));
        figures.push((
            "test-iou-by-images",
            size_figure(
                conditions,
                "Test IoU by number of images",
                "mean IoU",
                |c| c.mean_iou.mean,
            ),
        ));
        figures.push((
            "test-loss-by-images",
            size_figure(
                conditions,
                "Test loss by number of images",
                "test loss",
                |c| c.loss,
            ),
        ));
    }
    let mut figures: Vec<Named> = figures
        .into_iter()
        .map(|(name, chart)| (name.to_owned(), chart))
        .collect();
    for (i, one) in advice.iter().enumerate() {
        let number = if i == 0 {
            String::new()
        } else {
            format!("-{}", i + 1)
        };
        let curve = one.curves.get(NUCLEUS_F1);
        figures.extend(curve.map(|curve| {
            (
                format!("learning-curve{number}"),
                curve_figure(results, one, curve),
            )
        }));
    }
    figures.extend(cost(conditions));
    figures
}

/// Agreement and reliability of the first condition that was trained on all images.
fn cost(conditions: &[Condition]) -> Vec<Named> {
    let shown = conditions.iter().find(|c| c.choice.images == Images::All);
    let Some(run) = shown.and_then(|c| c.runs.first()) else {
        return Vec::new();
    };
    let agreement = shown.and_then(Condition::agreement);
    let charts = agreement.map_or(vec![], |found| agreement_charts(&found));
    let mut figures: Vec<Named> = charts
        .into_iter()
        .enumerate()
        .map(|(i, chart)| (format!("agreement-{}", i + 1), chart))
        .collect();
    let reliability = run.scores.calibration.as_ref().map(reliability_chart);
    figures.extend(reliability.map(|chart| ("reliability".to_owned(), chart)));
    figures
}

/// Runs, the curve fitted to them with its interval, and its continuation to twice the images.
fn curve_figure(results: &[RunResult], advice: &Advice, curve: &LearningCurve) -> Chart {
    let runs = results.iter().filter(|run| advice.is_of(run));
    let point = |run: &RunResult| {
        let nucleus = run.scores.classes.get("nucleus")?;
        Some((run.training_images as f64, nucleus.f1.pooled?))
    };
    let largest = curve.doubling.from as f64;
    let part = |name: &str, dashed: bool, inside: &dyn Fn(f64) -> bool| Series {
        name: name.to_owned(),
        points: curve
            .curve
            .iter()
            .filter(|p| inside(p.images))
            .map(|p| (p.images, p.score))
            .collect(),
        dashed,
    };
    let band = curve.curve.iter().filter_map(|p| {
        let [low, high] = p.ci95?;
        Some((p.images, low, high))
    });
    let chart = PointChart {
        x_label: "training images".to_owned(),
        y_label: NUCLEUS_F1.to_owned(),
        points: vec![Series {
            name: "runs".to_owned(),
            points: runs.filter_map(point).collect(),
            dashed: false,
        }],
        curves: vec![part("fitted", false, &|n| n <= largest * 1.001)],
        continuations: vec![part("expected", true, &|n| n >= largest * 0.999)],
        bands: vec![Band {
            series: 0,
            points: band.collect(),
        }],
        x_scale: Scale::Log,
        ..PointChart::default()
    };
    Chart {
        title: format!("Learning curve: {}", advice.condition),
        caption: format!("{} The band is the 95 % interval.", advice.sentence),
        svg: chart.svg(),
    }
}

/// The paper's Figure 3: training loss over the steps.
fn training_figure(conditions: &[Condition]) -> Chart {
    // With flips averaged the training is the same.
    let trained = conditions.iter().filter(|c| !c.choice.flips);
    let (labels, curves): (Vec<String>, Vec<_>) = trained
        .filter_map(|c| Some((c.label(), c.runs.first()?.training_loss.clone())))
        .unzip();
    let series = without_common_parts(&labels)
        .into_iter()
        .zip(curves)
        .map(|(name, points)| Series {
            name,
            points,
            dashed: false,
        })
        .collect();
    let chart = LineChart {
        x_label: "step".to_owned(),
        y_label: "training loss".to_owned(),
        series,
        x_scale: Scale::Linear,
        y_scale: Scale::Linear,
        marks: Vec::new(),
    };
    Chart {
        title: "Training".to_owned(),
        caption: "Training loss by condition, first seed (the paper's Figure 3); losses of \
            different kinds cannot be compared."
            .to_owned(),
        svg: chart.svg(),
    }
}

/// Labels of conditions without the parts that all of them share, which a legend has no room for;
/// one that has nothing else is called after what it leaves open.
fn without_common_parts(labels: &[String]) -> Vec<String> {
    let parts = |label: &String| -> Vec<String> { label.split(", ").map(str::to_owned).collect() };
    if let [only] = labels {
        return vec![only.clone()];
    }
    let all: Vec<Vec<String>> = labels.iter().map(parts).collect();
    let shared = |part: &String| all.iter().all(|label| label.contains(part));
    let own = |label: &Vec<String>| -> Vec<String> {
        label.iter().filter(|part| !shared(part)).cloned().collect()
    };
    all.iter()
        .map(|label| match own(label) {
            own if own.is_empty() => "as the study".to_owned(),
            own => own.join(", "),
        })
        .collect()
}

/// The paper's Figure 4: a test number by set size, a line for everything else.
fn size_figure(
    conditions: &[Condition],
    title: &str,
    y_label: &str,
    value: impl Fn(&Condition) -> Option<f64>,
) -> Chart {
    let mut lines: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for condition in conditions {
        let rest = Choice {
            images: Images::All,
            ..condition.choice.clone()
        };
        if let Some(y) = value(condition) {
            let point = (condition.images() as f64, y);
            let label = rest.label().replace(", all images", "");
            lines.entry(label).or_default().push(point);
        }
    }
    // What was trained with one number of images says nothing about the number of images.
    let (labels, curves): (Vec<String>, Vec<_>) = lines
        .into_iter()
        .filter(|(_, points)| points.len() > 1)
        .unzip();
    let series = without_common_parts(&labels)
        .into_iter()
        .zip(curves)
        .map(|(name, mut points)| {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Series {
                name,
                points,
                dashed: false,
            }
        })
        .collect();
    let chart = LineChart {
        x_label: "training images".to_owned(),
        y_label: y_label.to_owned(),
        series,
        x_scale: Scale::Log,
        y_scale: Scale::Linear,
        marks: Vec::new(),
    };
    Chart {
        title: title.to_owned(),
        caption: "On the test fields, mean over seeds (the paper's Figure 4).".to_owned(),
        svg: chart.svg(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legends_leave_out_what_all_conditions_share() {
        let names = |labels: &[&str]| {
            let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
            without_common_parts(&labels)
        };
        assert_eq!(
            names(&["A, all images", "A, loss dice, all images", "B, all images"]),
            ["A", "A, loss dice", "B"]
        );
        assert_eq!(
            names(&["A, all images", "A, loss dice, all images"]),
            ["as the study", "loss dice"]
        );
        assert_eq!(names(&["A, 4 images"]), ["A, 4 images"]);
        assert!(names(&[]).is_empty());
    }
}
