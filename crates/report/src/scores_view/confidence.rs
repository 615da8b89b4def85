//! How sure the model is of its nuclei, and whether that holds.

use stainfree_scores::{ConfidenceSummary, ExpectedCount, Pooled};

use super::words::{INTERVAL, POOLED, interval, number};
use crate::axis::Scale;
use crate::chart::{PointChart, Series};
use crate::data::{Cell, Chart, Column, Table};

/// Calibration, order, and what is left where the least sure are looked at.
pub(super) fn confidence_table(confidence: &ConfidenceSummary) -> Table {
    let row = |name: &str, score: &Pooled| -> Vec<Cell> {
        vec![
            name.into(),
            number(score.pooled).into(),
            interval(score.ci95).into(),
        ]
    };
    let mut rows = vec![
        row("expected calibration error", &confidence.ece),
        row(
            "wrong nuclei told from right ones (AUROC)",
            &confidence.auroc,
        ),
        row("Brier score (0 to 1)", &confidence.brier),
    ];
    let looked = confidence
        .looked_at
        .iter()
        .filter(|row| row.errors_left.is_some());
    rows.extend(looked.map(|row| -> Vec<Cell> {
        let what = format!(
            "errors left, least sure {:.0} % looked at",
            100.0 * row.share
        );
        vec![
            what.into(),
            number(row.errors_left).into(),
            String::new().into(),
        ]
    }));
    let chance = confidence.ece_by_chance.map_or(String::new(), |ece| {
        format!(" Confidences that hold exactly have an error of {ece:.3} by chance.")
    });
    Table {
        title: "How sure the model is of its nuclei".to_owned(),
        caption: format!(
            "A confidence is the probability that a predicted nucleus matches a true one; {} of {} \
             here do not.{chance} An AUROC of 0.5 is chance, 1 is perfect.{}",
            confidence.wrong,
            confidence.objects,
            counts_sentence(&confidence.fields)
        ),
        columns: vec![
            Column::text("score"),
            Column::number("pooled", POOLED),
            Column::number("95 % interval", INTERVAL),
        ],
        rows,
        folded: false,
    }
}

/// True and expected nuclei of the fields, and how many intervals hold.
fn counts_sentence(fields: &[ExpectedCount]) -> String {
    let truth: u64 = fields.iter().map(|count| count.truth).sum();
    let expected: f64 = fields.iter().map(|count| count.expected).sum();
    let [all, held] = ConfidenceSummary::held(fields);
    match (fields.len(), all) {
        (0, _) => String::new(),
        (_, 0) => format!(" {expected:.0} nuclei are expected, {truth} are true."),
        _ => format!(
            " {expected:.0} nuclei are expected, {truth} are true; the intervals of {held} of \
             {all} fields hold."
        ),
    }
}

/// The reliability diagram of nuclei.
pub(super) fn confidence_chart(confidence: &ConfidenceSummary) -> Chart {
    let bins = confidence.bins.iter();
    let series = Series {
        name: "nuclei".to_owned(),
        points: bins.map(|row| (row.confidence, row.right)).collect(),
        dashed: false,
    };
    let chart = PointChart {
        x_label: "confidence".to_owned(),
        y_label: "share that is right".to_owned(),
        points: vec![Series {
            name: String::new(),
            ..series.clone()
        }],
        curves: vec![series],
        diagonal: true,
        x_scale: Scale::Linear,
        ..PointChart::default()
    };
    Chart {
        title: "Reliability of the confidences of nuclei".to_owned(),
        caption: "Predicted nuclei by their confidence, in equal bins. Below the dotted line the \
            model is too sure of them."
            .to_owned(),
        svg: chart.svg(),
    }
}
