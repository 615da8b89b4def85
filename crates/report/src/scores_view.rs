//! Scores as a report shows them: headlines, doubts, tables and a chart, in plain words.

use stainfree_scores::{
    BoundarySummary, ByName, Convention, FieldRow, KindSummary, ObjectSummary, Pixelwise, Pooled,
    ResolvedRow, Scores, SplittingSummary, Statistic,
};

use crate::chart::{IntervalChart, IntervalRow};
use crate::data::{Cell, Chart, Column, Fact, Headline, ReportData, Table};

const F1: &str =
    "Overlap of truth and prediction: 2 TP / (2 TP + FP + FN). 1 is perfect agreement, 0 none.";
const IOU: &str =
    "Intersection over union, TP / (TP + FP + FN): stricter than F1, from the same pixels.";
const POOLED: &str = "From the pixels or objects of all fields counted together: every pixel weighs the same. The main value.";
const MEAN: &str = "Average of the fields' own values: every field weighs the same. Fields where the value is undefined do not enter.";
const INTERVAL: &str = "95 % bootstrap interval of the pooled value: where it would mostly fall if other wells or fields had been imaged.";
const AP: &str = "TP / (TP + FP + FN) of matched objects.";

/// What the object scores are called and mean, in the order of the table.
const OBJECT_WORDS: [(&str, &str, &str); 12] = [
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

impl ReportData {
    /// Adds what scores have to say: headline numbers, how far they can be trusted, the score tables
    /// with an explanation of every number, a chart of the intervals and a row per field.
    pub fn add_scores(&mut self, scores: &Scores) {
        for (name, class) in scores.classes.iter().skip(1) {
            self.headlines.push(Headline {
                label: format!("{} pixels, F1", capital(name)),
                value: number(class.f1.pooled),
                detail: interval_words(&class.f1),
                explanation: format!(
                    "How well predicted and true {name} pixels overlap, over all test fields together; 1 is perfect."
                ),
            });
        }
        if let Some(objects) = &scores.objects {
            self.headlines.push(Headline {
                label: "Nuclei found, F1".to_owned(),
                value: number(objects.f1_50.pooled),
                detail: interval_words(&objects.f1_50),
                explanation:
                    "Predicted nuclei that match a true one by at least half of their union, \
                              balanced against missed and invented ones."
                        .to_owned(),
            });
            self.headlines.push(Headline {
                label: "Nuclei counted".to_owned(),
                value: signed_percent(objects.count_error),
                detail: format!("{} predicted, {} true", objects.prediction, objects.truth),
                explanation: "Too many (+) or too few (-) nuclei, over all test fields together."
                    .to_owned(),
            });
        }
        self.trust.extend(trust_lines(scores));
        if !scores.classes.0.is_empty() {
            self.tables.push(pixel_table(scores));
        }
        if let Some(objects) = &scores.objects {
            self.tables.push(object_table(objects));
            self.tables.push(threshold_table(objects));
        }
        if let Some(splitting) = &scores.splitting {
            self.tables.push(cluster_table(splitting));
            self.tables.push(cut_table(splitting));
        }
        if !scores.kinds.is_empty() {
            self.tables.push(kind_table(scores));
        }
        if !scores.boundaries.is_empty() {
            self.tables.push(outline_table(scores));
            self.tables.extend(outline_measures(scores));
        }
        if !scores.fields.is_empty() {
            self.tables.push(field_table(scores));
        }
        let rows = interval_rows(scores);
        if !rows.is_empty() {
            self.charts.push(Chart {
                title: "Scores with their intervals".to_owned(),
                caption: format!(
                    "Dots: pooled over {}; bars: 95 % bootstrap interval, resampling {}.",
                    plural(scores.images, "field"),
                    plural(scores.intervals.units, &scores.unit)
                ),
                svg: IntervalChart { rows }.svg(),
            });
        }
    }
}

/// Indices into `scores.fields` of the `n` worst (worst first) and `n` best fields (best first), by
/// mean F1 over the classes without background, else by object F1. Fields without a defined score are
/// left out, and no field is in both lists: with few fields, the worst have the first choice.
pub fn worst_and_best(scores: &Scores, n: usize) -> (Vec<usize>, Vec<usize>) {
    let mut ranked: Vec<(f64, usize)> = scores
        .fields
        .iter()
        .enumerate()
        .filter_map(|(i, f)| Some((rank(f)?, i)))
        .collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let order: Vec<usize> = ranked.into_iter().map(|(_, i)| i).collect();
    let worst = order.iter().take(n).copied().collect();
    let best = order.iter().skip(n).rev().take(n).copied().collect();
    (worst, best)
}

/// The scores of one field for its card.
pub fn field_facts(field: &FieldRow) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(group) = &field.group {
        facts.push(Fact::new("group", group));
    }
    for (name, class) in field.classes.iter().flat_map(|c| c.iter().skip(1)) {
        facts.push(Fact::new(format!("{name} F1"), number(class.f1)));
        facts.push(Fact::new(format!("{name} IoU"), number(class.iou)));
    }
    if let Some(objects) = &field.objects {
        facts.push(Fact::new("object F1", number(objects.f1_50)));
        facts.push(Fact::new(
            "nuclei",
            format!("{} predicted, {} true", objects.prediction, objects.truth),
        ));
    }
    facts
}

fn rank(field: &FieldRow) -> Option<f64> {
    if let Some(classes) = &field.classes {
        let own: Vec<f64> = classes.iter().skip(1).filter_map(|(_, c)| c.f1).collect();
        if !own.is_empty() {
            return Some(own.iter().sum::<f64>() / own.len() as f64);
        }
    }
    field.objects.as_ref().and_then(|o| o.f1_50)
}

fn trust_lines(scores: &Scores) -> Vec<String> {
    let mut lines = vec![format!(
        "{} in {} were scored; none of them was used for training if the split was kept.",
        plural(scores.images, "field"),
        plural(
            scores.groups,
            if scores.unit == "field" {
                "group"
            } else {
                &scores.unit
            }
        )
    )];
    lines.push(format!(
        "{}. Each 95 % interval comes from {} resamples of whole {}s, never of single pixels or cells.",
        capital(&scores.intervals.note),
        grouped(scores.intervals.resamples as u64),
        scores.unit
    ));
    if let Some(objects) = &scores.objects {
        lines.push(format!(
            "The truth holds {}.",
            plural(objects.truth as usize, "nucleus")
        ));
    }
    lines.push(match scores.convention {
        Convention::Argmax => "Every pixel takes its most likely class.".to_owned(),
        Convention::Paper => {
            "Scores follow the paper's convention: a class is predicted where its \
                              probability is above 0.5, and a class absent on both sides scores 1."
                .to_owned()
        }
    });
    let all = scores.pixels_kept + scores.pixels_ignored;
    if scores.pixels_ignored > 0 {
        let share = 100.0 * scores.pixels_ignored as f64 / all as f64;
        lines.push(format!(
            "{share:.1} % of the pixels were ignored, in truth and prediction alike."
        ));
    }
    lines
}

fn pixel_table(scores: &Scores) -> Table {
    let mut rows = Vec::new();
    let mut add = |name: &str, pair: &Pixelwise| {
        let mut row = vec![Cell::from(name)];
        row.extend(statistic_cells(&pair.f1));
        row.extend(statistic_cells(&pair.iou));
        rows.push(row);
    };
    for (name, class) in scores.classes.iter() {
        add(name, class);
    }
    if let Some(mean) = &scores.mean_without_background {
        add("mean without background", mean);
    }
    if let Some(mean) = &scores.mean {
        add("mean with background", mean);
    }
    let mut caption = format!(
        "{} pixels of {}.",
        grouped(scores.pixels_kept),
        plural(scores.images, "field")
    );
    if let Some(accuracy) = scores.accuracy.as_ref().and_then(|a| a.pooled) {
        caption.push_str(&format!(
            " Share of pixels with the right class: {accuracy:.3}."
        ));
    }
    if let Some(paper) = &scores.paper {
        caption.push_str(&format!(
            " By the paper's convention (mean over images and classes): IoU {:.3}, F1 {:.3}.",
            paper.mean.iou, paper.mean.f1
        ));
    }
    Table {
        title: "Pixels".to_owned(),
        caption,
        columns: vec![
            Column::text("class"),
            Column::number("F1", format!("{F1} {POOLED}")),
            Column::number("95 %", INTERVAL),
            Column::number("F1, mean of fields", MEAN),
            Column::number("IoU", IOU),
            Column::number("95 % of IoU", INTERVAL),
            Column::number("IoU, mean of fields", MEAN),
        ],
        rows,
        folded: false,
    }
}

fn object_table(objects: &ObjectSummary) -> Table {
    let row = |&(key, words, explanation): &(&str, &str, &str)| {
        let statistic = objects.detail.get(key)?;
        let mut row = vec![Cell {
            text: words.to_owned(),
            note: explanation.to_owned(),
        }];
        row.extend(statistic_cells(statistic));
        Some(row)
    };
    Table {
        title: "Nuclei as objects".to_owned(),
        caption: format!(
            "{} in the truth, {} predicted. Every predicted nucleus is matched to at most one true nucleus.",
            objects.truth, objects.prediction
        ),
        columns: vec![
            Column::text("score"),
            Column::number("pooled", POOLED),
            Column::number("95 %", INTERVAL),
            Column::number("mean of fields", MEAN),
        ],
        rows: OBJECT_WORDS.iter().filter_map(row).collect(),
        folded: false,
    }
}

fn threshold_table(objects: &ObjectSummary) -> Table {
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

fn cluster_table(splitting: &SplittingSummary) -> Table {
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
                "Share in which every nucleus is matched (IoU 0.5 or more) and no other prediction lies.",
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

fn cut_table(splitting: &SplittingSummary) -> Table {
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

fn kind_table(scores: &Scores) -> Table {
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

fn outline_table(scores: &Scores) -> Table {
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
            "F1 of outline pixels, where a pixel counts as right if the other outline passes within {px} px."
        );
        columns.push(Column::number(format!("{px} px"), explanation));
        columns.push(Column::number(format!("95 % at {px} px"), INTERVAL));
    }
    Table {
        title: "Outlines within a tolerance".to_owned(),
        caption: "Contours of classes and nuclei; classes that are lines themselves (boundary, split) by their pixels.".to_owned(),
        columns,
        rows: scores.boundaries.iter().map(row).collect(),
        folded: false,
    }
}

/// Thickness of lines and distances of matched nuclei, where there are any.
fn outline_measures(scores: &Scores) -> Option<Table> {
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

fn field_table(scores: &Scores) -> Table {
    let mut columns = vec![Column::text("field"), Column::text("group")];
    let names: Vec<&str> = scores
        .classes
        .iter()
        .skip(1)
        .map(|(name, _)| name)
        .collect();
    columns.extend(
        names
            .iter()
            .map(|name| Column::number(format!("{name} F1"), F1)),
    );
    if scores.objects.is_some() {
        columns.push(Column::number("nuclei F1", OBJECT_WORDS[0].2));
        columns.push(Column::number("true nuclei", "Nuclei in the truth."));
        columns.push(Column::number("predicted", "Nuclei in the prediction."));
    }
    let row = |field: &FieldRow| {
        let reason = field.reason.clone().unwrap_or_default();
        let cell = |value: Option<f64>| Cell {
            text: number(value),
            note: if value.is_none() {
                reason.clone()
            } else {
                String::new()
            },
        };
        let mut row = vec![
            Cell::from(field.name.clone()),
            Cell::from(field.group.clone().unwrap_or_default()),
        ];
        let class = |name: &&str| field.classes.as_ref().and_then(|c: &ByName<_>| c.get(name));
        row.extend(
            names
                .iter()
                .map(|name| cell(class(name).and_then(|c| c.f1))),
        );
        if scores.objects.is_some() {
            let own = field.objects.as_ref();
            row.push(cell(own.and_then(|o| o.f1_50)));
            row.push(Cell::from(
                own.map_or(String::new(), |o| o.truth.to_string()),
            ));
            row.push(Cell::from(
                own.map_or(String::new(), |o| o.prediction.to_string()),
            ));
        }
        row
    };
    Table {
        title: "Field by field".to_owned(),
        caption: String::new(),
        columns,
        rows: scores.fields.iter().map(row).collect(),
        folded: true,
    }
}

fn interval_rows(scores: &Scores) -> Vec<IntervalRow> {
    let row = |label: String, s: &Statistic| IntervalRow {
        label,
        value: s.pooled,
        interval: s.ci95,
    };
    let mut rows = Vec::new();
    for (name, class) in scores.classes.iter().skip(1) {
        rows.push(row(format!("{name} F1"), &class.f1));
        rows.push(row(format!("{name} IoU"), &class.iou));
    }
    if let Some(objects) = &scores.objects {
        for (key, words, _) in &OBJECT_WORDS {
            if let Some(s) = objects.detail.get(key)
                && ["f1_50", "mean_ap", "pq"].contains(key)
            {
                rows.push(row(format!("nuclei: {}", lower(words)), s));
            }
        }
    }
    rows
}

/// Pooled value, interval, mean of fields; the reason of an undefined value as a note.
fn statistic_cells(s: &Statistic) -> [Cell; 3] {
    let reason = s.reason.clone().unwrap_or_default();
    let cell = |text: String, defined: bool| Cell {
        text,
        note: if defined {
            String::new()
        } else {
            reason.clone()
        },
    };
    [
        cell(number(s.pooled), s.pooled.is_some()),
        cell(interval(s.ci95), s.ci95.is_some()),
        cell(number(s.mean_over_images), s.mean_over_images.is_some()),
    ]
}

fn interval_words(s: &Statistic) -> String {
    match (s.ci95, &s.reason) {
        (Some([low, high]), _) => format!("95 % interval {low:.3} to {high:.3}"),
        (None, Some(reason)) => reason.clone(),
        (None, None) => String::new(),
    }
}

fn interval(ci95: Option<[f64; 2]>) -> String {
    ci95.map_or("n/a".to_owned(), |[low, high]| {
        format!("{low:.3} to {high:.3}")
    })
}

fn number(value: Option<f64>) -> String {
    value.map_or("n/a".to_owned(), |v| format!("{v:.3}"))
}

fn signed_percent(value: Option<f64>) -> String {
    value.map_or("n/a".to_owned(), |v| format!("{:+.1} %", 100.0 * v))
}

/// A count with commas between thousands.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn plural(n: usize, word: &str) -> String {
    match (n, word) {
        (1, _) => format!("1 {word}"),
        (_, "nucleus") => format!("{n} nuclei"),
        _ => format!("{n} {word}s"),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// First letter small, except in words of capitals such as `F1` or `AJI`.
fn lower(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_image::Image;
    use stainfree_scores::{
        BootstrapOptions, FieldScores, Matching, class_lines, pixel_counts, summarise,
    };

    /// Fields whose prediction misses more and more of the truth's columns.
    fn scores(misses: &[usize]) -> Scores {
        let field = |(i, &missed): (usize, &usize)| {
            let truth = Image::from_fn(8, 12, |_, x| u8::from(x < 8));
            let prediction = Image::from_fn(8, 12, |_, x| u8::from(x < 8 && x >= missed));
            let (labels, found) = (truth.map(|&c| c.into()), prediction.map(|&c| c.into()));
            let matching = Matching::new(&labels, &found, None).unwrap();
            let outlines = [
                ("nucleus", class_lines(&truth, &prediction, 1).unwrap()),
                ("objects", matching.contours(None)),
            ];
            FieldScores {
                name: format!("f{i}"),
                group: Some(format!("W{}", i / 2)),
                pixels: Some(pixel_counts(&truth, &prediction, 2).unwrap()),
                objects: Some(matching.objects()),
                splitting: Some(matching.splitting(None)),
                boundaries: ByName(
                    outlines
                        .map(|(name, counts)| (name.to_owned(), counts))
                        .to_vec(),
                ),
                kinds: matching.by_kind(&[(1, "mitotic".to_owned())].into()),
                ..Default::default()
            }
        };
        let fields: Vec<FieldScores> = misses.iter().enumerate().map(field).collect();
        let classes = ["background".to_owned(), "nucleus".to_owned()];
        summarise(&fields, &classes, &BootstrapOptions::default()).unwrap()
    }

    #[test]
    fn worst_and_best_are_ordered_and_apart() {
        let scores = scores(&[3, 0, 6, 1, 8]);
        assert_eq!(worst_and_best(&scores, 2), (vec![4, 2], vec![1, 3]));
        assert_eq!(worst_and_best(&scores, 4), (vec![4, 2, 0, 3], vec![1]));
    }

    #[test]
    fn every_column_has_a_cell_and_every_number_a_meaning() {
        let mut data = ReportData::default();
        data.add_scores(&scores(&[1, 2, 0]));
        assert_eq!(data.tables.len(), 9);
        for table in &data.tables {
            assert!(
                table
                    .rows
                    .iter()
                    .all(|row| row.len() == table.columns.len()),
                "{}",
                table.title
            );
            assert!(
                table
                    .columns
                    .iter()
                    .all(|c| !c.numeric || !c.explanation.is_empty())
            );
        }
        assert_eq!(data.tables[1].rows.len(), OBJECT_WORDS.len());
        assert_eq!(data.headlines.len(), 3);
        // 3 of 24 columns were missed: F1 = 2 * 21 / (42 + 3).
        assert_eq!(data.headlines[0].value, "0.933");
        assert!(
            data.trust.iter().any(|line| line.contains("only 2 wells")),
            "{:?}",
            data.trust
        );
    }
}
