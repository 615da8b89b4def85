//! Scores as a report shows them: headlines, doubts, tables and a chart, in plain words.
//!
//! Here: what is shown and in which order, the tables of pixels and fields. The tables of objects
//! are in `nuclei`, words and number formats in `words`.

mod agreement;
mod confidence;
mod errors;
mod nuclei;
pub(crate) mod words;

use stainfree_scores::{ByName, Convention, FieldRow, Pixelwise, Scores, Side, Statistic};

use crate::chart::{IntervalChart, IntervalRow};
use crate::data::{Cell, Chart, Column, Fact, Headline, ReportData, Table};
pub use agreement::{agreement_charts, reliability_chart};
use agreement::{agreement_table, calibration_table};
use confidence::{confidence_chart, confidence_table};
use errors::{fate_table, shift_table};
use nuclei::{
    CELLS, NUCLEI, OBJECT_WORDS, cluster_table, cut_table, kind_table, object_table,
    outline_measures, outline_table, threshold_table,
};
use words::{
    F1, INTERVAL, IOU, MEAN, POOLED, capital, grouped, interval_words, lower, number, plural,
    signed_percent, statistic_cells,
};

impl ReportData {
    /// Adds what scores have to say: headline numbers, how far they can be trusted, the score
    /// tables with an explanation of every number, a chart of the intervals and a row per field.
    pub fn add_scores(&mut self, scores: &Scores) {
        for (name, class) in scores.classes.iter().skip(1) {
            self.headlines.push(Headline {
                label: format!("{} pixels, F1", capital(name)),
                value: number(class.f1.pooled),
                detail: interval_words(&class.f1),
                explanation: format!(
                    "How well predicted and true {name} pixels overlap, over all scored fields \
                     together; 1 is perfect."
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
                explanation: "Too many (+) or too few (-) nuclei, over all scored fields together."
                    .to_owned(),
            });
        }
        self.trust.extend(trust_lines(scores));
        if !scores.classes.0.is_empty() {
            self.tables.push(pixel_table(scores));
        }
        if let Some(objects) = &scores.objects {
            self.tables.push(object_table(objects, NUCLEI));
            self.tables.push(threshold_table(objects));
            if !objects.shifts.is_empty() {
                self.tables.push(shift_table(objects));
            }
        }
        if let Some(cells) = &scores.cells {
            self.tables.push(object_table(cells, CELLS));
        }
        if let Some(errors) = &scores.object_errors {
            self.tables.push(fate_table(errors, Side::Truth));
            self.tables.push(fate_table(errors, Side::Prediction));
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
        if let Some(agreement) = &scores.agreement {
            match agreement.too_few() {
                Some(sentence) => self.trust.push(format!("{}.", capital(&sentence))),
                None => {
                    self.tables.push(agreement_table(agreement));
                    self.charts.extend(agreement_charts(agreement));
                }
            }
        }
        if let Some(calibration) = &scores.calibration {
            let written = scores.calibrated.as_ref();
            self.tables.push(calibration_table(calibration, written));
            self.charts.push(reliability_chart(calibration));
        }
        if let Some(confidence) = &scores.confidence {
            self.tables.push(confidence_table(confidence));
            self.charts.push(confidence_chart(confidence));
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
/// mean F1 over the classes without background, else by object F1. Fields without a defined score
/// are left out, and no field is in both lists: with few fields, the worst have the first choice.
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
        "{} in {} were scored. {}.",
        plural(scores.images, "field"),
        plural(
            scores.groups,
            if scores.unit == "field" {
                "group"
            } else {
                &scores.unit
            }
        ),
        scores.on.as_ref().map_or(
            "Whether some of them trained the model is not recorded".to_owned(),
            |on| capital(&on.note)
        )
    )];
    lines.push(format!(
        "{}. Each 95 % interval comes from {} resamples of whole {}s, never of single pixels or \
         cells.",
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
        Convention::Argmax => {
            "In the scores of pixels, each has the class that the model finds the most likely; \
                                nuclei are made by the model's own rule."
                .to_owned()
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_image::Image;
    use stainfree_scores::{
        BootstrapOptions, FieldScores, Matching, Shift, ShiftedCounts, Surroundings, class_lines,
        pixel_counts, summarise,
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
                judged: Some(matching.judged(Surroundings::default()).unwrap()),
                cells: Some(matching.objects()),
                shifted: Some(ShiftedCounts {
                    shift: Shift::default(),
                    at_50: matching.objects().at[0],
                }),
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
        assert_eq!(data.tables.len(), 13);
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
        // One more at the best shift.
        assert_eq!(data.tables[1].rows.len(), OBJECT_WORDS.len() + 1);
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
