//! What measuring through predicted masks costs, and whether probabilities mean what they say.

use stainfree_scores::{AgreementRow, AgreementSummary, BlandAltman, CalibrationSummary, Pooled};

use super::words::{INTERVAL, POOLED, interval, number};
use crate::axis::Scale;
use crate::chart::{Level, PointChart, Series};
use crate::data::{Cell, Chart, Column, Table};

/// Quantities that are drawn: counts, areas and the first intensity.
const DRAWN: usize = 3;

/// A row a quantity, and in words what it means.
pub(super) fn agreement_table(agreement: &AgreementSummary) -> Table {
    let unit = &agreement.unit;
    let sentences = agreement.quantities.iter().map(|row| row.sentence(unit));
    Table {
        title: "The cost of freeing the stain's channel".to_owned(),
        caption: format!(
            "Counts, areas and intensities (above the ground of each field) through predicted \
             masks against those through true ones, \
             over {} {unit}s. {}",
            agreement.units,
            sentences.take(2).collect::<Vec<_>>().join(" ")
        ),
        columns: vec![
            Column::text("quantity"),
            Column::number(
                "truth",
                format!("Mean over the {unit}s through true masks."),
            ),
            Column::number(
                "bias",
                "Mean difference, prediction minus truth, with its 95 % interval (Student's t).",
            ),
            Column::number("bias, %", "The same in per cent of the mean of both."),
            Column::number(
                "limits of agreement, %",
                "Between these, 95 % of the differences of single units lie (Bland & Altman 1986).",
            ),
            Column::number(
                "concordance",
                "Lin's concordance correlation: 1 only where values are equal, not merely related.",
            ),
            Column::number("Pearson's r", "Correlation; it does not see a bias."),
            Column::number(
                "bias sparse / dense, %",
                "Mean difference where cells are sparser, and where they are denser, than in the \
                 median unit.",
            ),
        ],
        rows: agreement.quantities.iter().map(agreement_cells).collect(),
        folded: false,
    }
}

fn agreement_cells(row: &AgreementRow) -> Vec<Cell> {
    let mean = row.pairs.iter().map(|p| p.truth).sum::<f64>() / row.pairs.len() as f64;
    let name = match row.measured_in.as_str() {
        "" => row.quantity.clone(),
        unit => format!("{}, {unit}", row.quantity),
    };
    let or_dash = |text: Option<String>| Cell {
        note: match text {
            Some(_) => String::new(),
            None => row.reason.clone().unwrap_or_default(),
        },
        text: text.unwrap_or_else(|| "n/a".to_owned()),
    };
    let bias = |found: &BlandAltman, decimals: usize| {
        let [low, high] = found.bias.ci95;
        format!(
            "{:+.decimals$} ({low:+.decimals$} to {high:+.decimals$})",
            found.bias.value
        )
    };
    let decimals = if mean.abs() >= 10.0 { 1 } else { 3 };
    let signed = |value: Option<f64>| value.map_or("n/a".to_owned(), |v| format!("{v:+.1}"));
    vec![
        name.into(),
        format!("{mean:.decimals$}").into(),
        or_dash(row.difference.as_ref().map(|found| bias(found, decimals))),
        or_dash(row.percent.as_ref().map(|found| bias(found, 1))),
        or_dash(
            row.percent
                .as_ref()
                .map(|found| format!("{:+.1} to {:+.1}", found.lower.value, found.upper.value)),
        ),
        or_dash(row.concordance.map(|c| format!("{c:.3}"))),
        or_dash(row.pearson.map(|r| format!("{r:.3}"))),
        format!(
            "{} / {}",
            signed(row.percent_sparse),
            signed(row.percent_dense)
        )
        .into(),
    ]
}

/// Bland and Altman's plots of the first quantities.
pub fn agreement_charts(agreement: &AgreementSummary) -> Vec<Chart> {
    let drawn = agreement.quantities.iter().take(DRAWN);
    drawn
        .filter_map(|row| bland_altman_chart(row, &agreement.unit))
        .collect()
}

fn bland_altman_chart(row: &AgreementRow, unit: &str) -> Option<Chart> {
    let percent = row.percent.as_ref()?;
    let point = |truth: f64, prediction: f64| {
        let mean = (truth + prediction) / 2.0;
        (mean, 100.0 * (prediction - truth) / mean)
    };
    let level = |name: &str, y: f64, strong: bool| Level {
        y,
        name: format!("{name} {y:+.1} %"),
        strong,
    };
    let mut x_label = format!("{}, mean of both", row.quantity);
    if !row.measured_in.is_empty() {
        x_label.push_str(&format!(" ({})", row.measured_in));
    }
    let chart = PointChart {
        x_label,
        y_label: "difference, %".to_owned(),
        points: vec![Series {
            name: format!("{unit}s"),
            points: row
                .pairs
                .iter()
                .map(|p| point(p.truth, p.prediction))
                .collect(),
            dashed: false,
        }],
        levels: vec![
            level("bias", percent.bias.value, true),
            level("limit", percent.upper.value, false),
            level("limit", percent.lower.value, false),
        ],
        x_scale: Scale::Linear,
        ..PointChart::default()
    };
    Some(Chart {
        title: format!("Agreement: {}", row.quantity),
        caption: format!(
            "A dot a {unit}: prediction minus truth in per cent, against the mean of both. {}",
            row.sentence(unit)
        ),
        svg: chart.svg(),
    })
}

/// Errors of calibration with their intervals: of what the network says, and of probabilities as
/// they are `written`, where those are others.
pub(super) fn calibration_table(
    calibration: &CalibrationSummary,
    written: Option<&CalibrationSummary>,
) -> Table {
    let row = |name: &str, score: &Pooled| -> Vec<Cell> {
        vec![
            name.into(),
            number(score.pooled).into(),
            interval(score.ci95).into(),
        ]
    };
    let mut rows = vec![
        row("expected calibration error", &calibration.ece),
        row("largest gap of a bin", &calibration.mce),
        row("class-wise calibration error", &calibration.class_wise_ece),
        row("Brier score (0 to 2)", &calibration.brier),
    ];
    let mut more = "";
    if let Some(written) = written {
        more = " The model knows temperatures by which probabilities are written; classes and \
                nuclei stay as they are.";
        rows.extend([
            row("as written: expected calibration error", &written.ece),
            row("as written: largest gap of a bin", &written.mce),
            row("as written: class-wise", &written.class_wise_ece),
            row("as written: Brier score", &written.brier),
        ]);
    }
    Table {
        title: "Whether probabilities mean what they say".to_owned(),
        caption: format!(
            "Of pixels given 0.8 for a class, 80 % should be of it. {} equal bins; pixels are not \
             independent, so the \
             intervals resample wells or fields.{more}",
            calibration.bins
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

/// The reliability diagram: the most likely class, and each class.
pub fn reliability_chart(calibration: &CalibrationSummary) -> Chart {
    let points = |rows: &[stainfree_scores::ReliabilityRow]| {
        rows.iter()
            .map(|row| (row.probability, row.right))
            .collect()
    };
    let top = Series {
        name: "most likely class".to_owned(),
        points: points(&calibration.top),
        dashed: false,
    };
    let classes = calibration.classes.iter().map(|(name, rows)| Series {
        name: name.to_owned(),
        points: points(rows),
        dashed: true,
    });
    let curves: Vec<Series> = std::iter::once(top.clone()).chain(classes).collect();
    let chart = PointChart {
        x_label: "probability".to_owned(),
        y_label: "share that is right".to_owned(),
        points: vec![Series {
            name: String::new(),
            ..top
        }],
        curves,
        diagonal: true,
        x_scale: Scale::Linear,
        ..PointChart::default()
    };
    Chart {
        title: "Reliability of the probabilities".to_owned(),
        caption: "Pixels by their probability, in equal bins. Below the dotted line the model is \
            too sure of itself."
            .to_owned(),
        svg: chart.svg(),
    }
}
