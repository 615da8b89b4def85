//! The tables of nuclei as objects: found, told apart, their kinds and their outlines.

use stainfree_scores::{
    BoundarySummary, KindSummary, ObjectSummary, Pooled, ResolvedRow, Scores, SplittingSummary,
    Statistic,
};

use super::words::{INTERVAL, MEAN, POOLED, grouped, interval, number, statistic_cells};
use crate::data::{Cell, Column, Table};

const AP: &str = "TP / (TP + FP + FN) of matched objects.";

/// What the object scores are called and mean, in the order of the table.
pub(super) const OBJECT_WORDS: [(&str, &str, &str); 12] = [
    (
        "f1_50",
        "F1 at IoU 0.5",
        "Objects found, as F1: a pair counts where it overlaps by at least half of its union.",
    ),
    (
        "precision_50",
        "Precision at IoU 0.5",
        "Share of predicted objects that are real.",
    ),
    (
        "recall_50",
        "Recall at IoU 0.5",
        "Share of real objects that were found.",
    ),
    ("ap_50", "AP at IoU 0.5", AP),
    (
        "f1_75",
        "F1 at IoU 0.75",
        "As F1 at 0.5, with a much better fit demanded.",
    ),
    (
        "mean_ap",
        "Mean AP, IoU 0.50 to 0.95",
        "Mean of TP / (TP + FP + FN) over ten thresholds: finding and fit in one number.",
    ),
    (
        "pq",
        "Panoptic quality",
        "Finding times fit: DQ x SQ (Kirillov et al. 2019).",
    ),
    (
        "sq",
        "SQ: fit of matched objects",
        "Mean IoU of the pairs above 0.5.",
    ),
    (
        "dq",
        "DQ: objects found",
        "F1 of the pairs with IoU above 0.5.",
    ),
    (
        "aji_plus",
        "AJI+",
        "Aggregated Jaccard index with one-to-one pairs (Graham et al. 2019).",
    ),
    (
        "aji",
        "AJI",
        "Aggregated Jaccard index; a prediction may serve several objects (Kumar et al. 2017).",
    ),
    (
        "count_error",
        "Count error",
        "Predicted minus real number of objects, as a share of the real number.",
    ),
];

/// What objects are called.
pub(super) struct Things {
    one: &'static str,
    many: &'static str,
}

pub(super) const NUCLEI: Things = Things {
    one: "nucleus",
    many: "Nuclei",
};

pub(super) const CELLS: Things = Things {
    one: "cell",
    many: "Whole cells",
};

/// The table of nuclei, or of whole cells.
pub(super) fn object_table(objects: &ObjectSummary, of: Things) -> Table {
    let row = |&(key, words, explanation): &(&str, &str, &str)| {
        let statistic = objects.detail.get(key)?;
        let mut row = vec![Cell {
            text: words.to_owned(),
            note: explanation.to_owned(),
        }];
        row.extend(statistic_cells(statistic));
        Some(row)
    };
    let mut rows: Vec<Vec<Cell>> = OBJECT_WORDS.iter().filter_map(row).collect();
    if let Some(shifted) = &objects.f1_50_shifted {
        let mut row = vec![Cell {
            text: "F1 at IoU 0.5, best shift".to_owned(),
            note: "F1 at 0.5 with the predictions of each group moved by its best rigid shift."
                .to_owned(),
        }];
        row.extend(statistic_cells(shifted));
        rows.insert(1.min(rows.len()), row);
    }
    Table {
        title: format!("{} as objects", of.many),
        caption: format!(
            "{} in the truth, {} predicted. Every predicted {one} is matched to at most one true \
             {one}.",
            objects.truth,
            objects.prediction,
            one = of.one
        ),
        columns: vec![
            Column::text("score"),
            Column::number("pooled", POOLED),
            Column::number("95 %", INTERVAL),
            Column::number("mean of fields", MEAN),
        ],
        rows,
        folded: false,
    }
}

pub(super) fn threshold_table(objects: &ObjectSummary) -> Table {
    let row = |r: &stainfree_scores::ThresholdRow| {
        vec![
            Cell::from(format!("{:.2}", r.iou)),
            Cell::from(r.tp.to_string()),
            Cell::from(r.fp.to_string()),
            Cell::from(r.fn_.to_string()),
            Cell::from(number(r.precision)),
            Cell::from(number(r.recall)),
            Cell::from(number(r.f1)),
            Cell::from(number(r.ap)),
        ]
    };
    Table {
        title: "Nuclei at every threshold".to_owned(),
        caption: String::new(),
        columns: vec![
            Column::number("IoU", "How much a pair must overlap to count as found."),
            Column::number("TP", "Pairs found."),
            Column::number("FP", "Predicted nuclei without a true one."),
            Column::number("FN", "True nuclei that were missed."),
            Column::number("precision", "TP / (TP + FP)."),
            Column::number("recall", "TP / (TP + FN)."),
            Column::number("F1", "2 TP / (2 TP + FP + FN)."),
            Column::number("AP", AP),
        ],
        rows: objects.by_threshold.iter().map(row).collect(),
        folded: true,
    }
}

pub(super) fn cluster_table(splitting: &SplittingSummary) -> Table {
    let row = |name: &str, resolved: &ResolvedRow| {
        let reason = resolved.reason.clone().unwrap_or_default();
        let cell = |text: String, defined: bool| Cell {
            text,
            note: if defined {
                String::new()
            } else {
                reason.clone()
            },
        };
        vec![
            Cell::from(name),
            Cell::from(grouped(resolved.n)),
            cell(number(resolved.resolved), resolved.resolved.is_some()),
            cell(interval(resolved.ci95), resolved.ci95.is_some()),
            cell(number(resolved.resolved_70), resolved.resolved_70.is_some()),
            cell(interval(resolved.ci95_70), resolved.ci95_70.is_some()),
        ]
    };
    let mut rows = vec![row("single nuclei", &splitting.singles)];
    for (size, resolved) in splitting.clusters.iter() {
        rows.push(row(&format!("clusters of {size}"), resolved));
    }
    rows.push(row("all clusters", &splitting.clusters_all));
    Table {
        title: "Touching nuclei told apart".to_owned(),
        caption: "Nuclei with at most two pixels between them form a cluster.".to_owned(),
        columns: vec![
            Column::text("nuclei"),
            Column::number("number", "How many the truth holds."),
            Column::number(
                "resolved",
                "Share in which every nucleus is matched (IoU 0.5 or more) and no other prediction \
                 lies.",
            ),
            Column::number("95 %", INTERVAL),
            Column::number(
                "at IoU 0.7",
                "The same with a better fit demanded of every nucleus.",
            ),
            Column::number("95 % at 0.7", INTERVAL),
        ],
        rows,
        folded: false,
    }
}

pub(super) fn cut_table(splitting: &SplittingSummary) -> Table {
    let scores: [(&str, &str, &Pooled); 8] = [
        (
            "Missed cuts",
            "Pairs of touching nuclei that one prediction covers, as a share of all pairs.",
            &splitting.missed_cuts,
        ),
        (
            "Lost pairs",
            "Pairs of which a nucleus is not matched for another reason, as a share of all pairs.",
            &splitting.lost_pairs,
        ),
        (
            "False cuts",
            "Cuts through a single nucleus, per nucleus.",
            &splitting.false_cuts,
        ),
        (
            "Cut recall",
            "Pairs of touching nuclei that are told apart, as a share of all pairs.",
            &splitting.cut_recall,
        ),
        (
            "Cut precision",
            "Pairs told apart, as a share of these and the false cuts.",
            &splitting.cut_precision,
        ),
        (
            "Cut F1",
            "Harmonic mean of recall and precision of cuts.",
            &splitting.cut_f1,
        ),
        (
            "Cut line off by, px",
            "Mean distance between the true and the predicted line between two nuclei, in pixels.",
            &splitting.cut_line_distance_px,
        ),
        (
            "Cut line off by, um",
            "The same in micrometres.",
            &splitting.cut_line_distance_um,
        ),
    ];
    let row = |&(words, explanation, score): &(&str, &str, &Pooled)| {
        let reason = score.reason.clone().unwrap_or_default();
        vec![
            Cell {
                text: words.to_owned(),
                note: explanation.to_owned(),
            },
            Cell {
                text: number(score.pooled),
                note: if score.pooled.is_none() {
                    reason.clone()
                } else {
                    String::new()
                },
            },
            Cell {
                text: interval(score.ci95),
                note: if score.ci95.is_none() {
                    reason
                } else {
                    String::new()
                },
            },
        ]
    };
    Table {
        title: "Cuts between touching nuclei".to_owned(),
        caption: format!(
            "{} pairs of touching nuclei: {} told apart, {} missed, {} lost; {} false cuts.",
            grouped(splitting.pairs.n),
            grouped(splitting.pairs.found),
            grouped(splitting.pairs.missed),
            grouped(splitting.pairs.lost),
            grouped(splitting.false_cut_number)
        ),
        columns: vec![
            Column::text("score"),
            Column::number("pooled", POOLED),
            Column::number("95 %", INTERVAL),
        ],
        rows: scores.iter().map(row).collect(),
        folded: true,
    }
}

pub(super) fn kind_table(scores: &Scores) -> Table {
    let row = |(name, kind): (&str, &KindSummary)| {
        let [recall, recall_interval, _] = statistic_cells(&kind.recall_50);
        let [fit, ..] = statistic_cells(&kind.matched_iou);
        let pooled = |score: &Pooled| Cell {
            text: number(score.pooled),
            note: match score.pooled {
                None => score.reason.clone().unwrap_or_default(),
                Some(_) => String::new(),
            },
        };
        vec![
            Cell::from(name),
            Cell::from(grouped(kind.n)),
            recall,
            recall_interval,
            fit,
            pooled(&kind.singles_resolved),
            pooled(&kind.clusters_resolved),
            pooled(&kind.cut_recall),
            pooled(&kind.false_cuts),
        ]
    };
    Table {
        title: "Nuclei by kind".to_owned(),
        caption: "Predictions have no kind, so there is no precision by kind.".to_owned(),
        columns: vec![
            Column::text("kind"),
            Column::number("number", "How many the truth holds."),
            Column::number("recall", "Share of them that is found (IoU 0.5 or more)."),
            Column::number("95 %", INTERVAL),
            Column::number("fit", "Mean IoU of those found."),
            Column::number(
                "singles resolved",
                "Share of those without neighbours that is found and not cut.",
            ),
            Column::number(
                "clusters resolved",
                "Share of the clusters with one of them that is told apart exactly.",
            ),
            Column::number(
                "cut recall",
                "Pairs of touching nuclei with one of them that are told apart, as a share.",
            ),
            Column::number("false cuts", "Cuts through one of them, per nucleus."),
        ],
        rows: scores.kinds.iter().map(row).collect(),
        folded: false,
    }
}

pub(super) fn outline_table(scores: &Scores) -> Table {
    let row = |(name, outline): (&str, &BoundarySummary)| {
        let name = if name == "objects" {
            "all nuclei"
        } else {
            name
        };
        let mut row = vec![Cell::from(name)];
        for within in &outline.tolerance {
            let [pooled, interval, _] = statistic_cells(&within.f1);
            row.extend([pooled, interval]);
        }
        row
    };
    let mut columns = vec![Column::text("outline")];
    for px in 0..stainfree_scores::TOLERANCES {
        let explanation = format!(
            "F1 of outline pixels, where a pixel counts as right if the other outline passes \
             within {px} px."
        );
        columns.push(Column::number(format!("{px} px"), explanation));
        columns.push(Column::number(format!("95 % at {px} px"), INTERVAL));
    }
    Table {
        title: "Outlines within a tolerance".to_owned(),
        caption: "Contours of classes and nuclei; classes that are lines themselves (boundary, \
            split) by their pixels."
            .to_owned(),
        columns,
        rows: scores.boundaries.iter().map(row).collect(),
        folded: false,
    }
}

/// Thickness of lines and distances of matched nuclei, where there are any.
pub(super) fn outline_measures(scores: &Scores) -> Option<Table> {
    let mut rows = Vec::new();
    let mut add = |words: String, explanation: &str, statistic: &Statistic| {
        let mut row = vec![Cell {
            text: words,
            note: explanation.to_owned(),
        }];
        row.extend(statistic_cells(statistic));
        rows.push(row);
    };
    for (name, outline) in scores.boundaries.iter() {
        if let Some(thickness) = &outline.thickness {
            let explanation = "Area over length of the line's skeleton.";
            add(
                format!("Thickness of {name}, true, px"),
                explanation,
                &thickness.truth_px,
            );
            add(
                format!("Thickness of {name}, predicted, px"),
                explanation,
                &thickness.prediction_px,
            );
        }
        if let Some(pairs) = &outline.pairs {
            add(
                "Boundary IoU, 2 px".to_owned(),
                "IoU of the outermost 2 px of matched nuclei (Cheng et al. 2021).",
                &pairs.boundary_iou_2px,
            );
            add(
                "Outline off by, px".to_owned(),
                "Average symmetric surface distance of matched nuclei.",
                &pairs.assd_px,
            );
            add(
                "Outline off by, um".to_owned(),
                "The same in micrometres.",
                &pairs.assd_um,
            );
            add(
                "HD95, px".to_owned(),
                "95 % of the outline of a matched nucleus is nearer than this.",
                &pairs.hd95_px,
            );
        }
    }
    (!rows.is_empty()).then(|| Table {
        title: "Lines and outlines measured".to_owned(),
        caption: String::new(),
        columns: vec![
            Column::text("measure"),
            Column::number("pooled", POOLED),
            Column::number("95 %", INTERVAL),
            Column::number("mean of fields", MEAN),
        ],
        rows,
        folded: true,
    })
}
