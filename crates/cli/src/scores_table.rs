//! Scores as a table for the terminal.

use stainfree_scores::{
    AgreementSummary, ConfidenceSummary, ExpectedArea, ExpectedCount, FateRow, FateStratum,
    GroupShift, KindSummary, ObjectErrors, Pooled, ResolvedRow, Scores, Shift, Side,
    SplittingSummary, Statistic, ToleranceRow,
};

use crate::output::table;

/// Which of the scores beyond the main ones are shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shown {
    /// How touching nuclei are told apart.
    pub(crate) splitting: bool,
}

/// The table of `scores`: classes, their mean, objects, what was asked for beyond them, and what
/// the intervals are.
pub(crate) fn render(scores: &Scores, shown: Shown) -> String {
    let mut text = summary(scores);
    if let Some(objects) = &scores.objects {
        text.push_str(&format!(
            "\n\n{} objects in the truth, {} predicted",
            objects.truth, objects.prediction
        ));
        if !objects.shifts.is_empty() {
            text.push_str(&format!("\n{}", shift_line(&objects.shifts)));
        }
    }
    if let Some(errors) = &scores.object_errors {
        text.push_str("\n\n");
        text.push_str(&error_tables(errors));
    }
    if !scores.boundaries.is_empty() {
        text.push_str("\n\n");
        text.push_str(&boundary_tables(scores));
    }
    if !scores.kinds.is_empty() {
        text.push_str("\n\n");
        text.push_str(&kind_table(scores));
    }
    if let Some(agreement) = &scores.agreement {
        text.push_str("\n\n");
        text.push_str(&agreement_table(agreement));
    }
    if let Some(calibration) = &scores.calibration {
        let mut rows = vec![
            pooled_row("calibration error (ECE)", &calibration.ece),
            pooled_row("class-wise ECE", &calibration.class_wise_ece),
            pooled_row("Brier score", &calibration.brier),
        ];
        if let Some(written) = &scores.calibrated {
            rows.extend([
                pooled_row("ECE as written", &written.ece),
                pooled_row("class-wise ECE as written", &written.class_wise_ece),
                pooled_row("Brier score as written", &written.brier),
            ]);
        }
        text.push_str("\n\n");
        text.push_str(&table(
            &["probabilities", "pooled", "95 % interval"],
            &rows,
            1,
        ));
    }
    if let Some(confidence) = &scores.confidence {
        text.push_str("\n\n");
        text.push_str(&confidence_table(confidence));
    }
    if let Some(splitting) = scores.splitting.as_ref().filter(|_| shown.splitting) {
        text.push_str("\n\n");
        text.push_str(&splitting_tables(splitting));
    }
    text.push_str(&format!(
        "\n\n{} field{} in {} group{}; {}",
        scores.images,
        plural(scores.images),
        scores.groups,
        plural(scores.groups),
        scores.intervals.note
    ));
    if let Some(verdict) = &scores.verdict {
        text.push_str(&format!("\ncan I use these numbers? {verdict}"));
    }
    if let Some(on) = &scores.on {
        text.push_str(&format!("\n{}", on.note));
    }
    text
}

/// The scores that a reader at a terminal looks for first.
fn summary(scores: &Scores) -> String {
    let mut rows = Vec::new();
    for (name, class) in scores.classes.iter() {
        rows.push(row(&format!("{name} F1"), &class.f1));
        rows.push(row(&format!("{name} IoU"), &class.iou));
    }
    if let Some(mean) = &scores.mean {
        rows.push(row("mean F1", &mean.f1));
        rows.push(row("mean IoU", &mean.iou));
    }
    if let Some(accuracy) = &scores.accuracy {
        rows.push(row("accuracy", accuracy));
    }
    if let Some(objects) = &scores.objects {
        // All of them are in the JSON; these say what a reader at a terminal wants to know.
        for name in ["f1_50", "mean_ap", "pq", "count_error"] {
            rows.extend(
                objects
                    .detail
                    .get(name)
                    .map(|statistic| row(&format!("objects {name}"), statistic)),
            );
            if let ("f1_50", Some(shifted)) = (name, &objects.f1_50_shifted) {
                rows.push(row("objects f1_50_shifted", shifted));
            }
        }
    }
    if let Some(cells) = &scores.cells {
        for name in ["f1_50", "count_error"] {
            let found = cells.detail.get(name);
            rows.extend(found.map(|statistic| row(&format!("cells {name}"), statistic)));
        }
    }
    table(
        &["score", "pooled", "95 % interval", "mean over images"],
        &rows,
        1,
    )
}

/// Groups of which the shift is shown in the terminal.
const SHIFTS: usize = 6;

/// By how much the predictions of each group are moved for `f1_50_shifted`.
fn shift_line(shifts: &[GroupShift]) -> String {
    let moved: Vec<String> = shifts
        .iter()
        .filter(|group| group.shift != Shift::default())
        .map(|group| {
            let shift = group.shift;
            format!("{} ({:+}, {:+})", group.group, shift.dy_px, shift.dx_px)
        })
        .collect();
    if moved.is_empty() {
        return "no rigid shift makes the predictions fit better".to_owned();
    }
    let more = match moved.len().saturating_sub(SHIFTS) {
        0 => String::new(),
        n => format!(", and {n} more in the JSON"),
    };
    format!(
        "best shift of the predictions, y and x in px, in {} of {} group{}: {}{more}",
        moved.len(),
        shifts.len(),
        plural(shifts.len()),
        moved[..moved.len().min(SHIFTS)].join(", ")
    )
}

/// What became of true and of predicted nuclei, by what may explain it.
fn error_tables(errors: &ObjectErrors) -> String {
    let side = |side: Side, of: fn(&FateStratum) -> Option<&FateRow>, name: &str| {
        let words = side.fates().map(|fate| format!("{}, %", fate.words()));
        let header: Vec<&str> = [name, "number"]
            .into_iter()
            .chain(words.iter().map(String::as_str))
            .collect();
        let percent = |share: Option<f64>| {
            share.map_or("-".to_owned(), |share| format!("{:.1}", 100.0 * share))
        };
        let row = |stratum: &FateStratum| {
            let row = of(stratum)?;
            let shares = row.fates.iter().map(|(_, fate)| percent(fate.share));
            let first = [named(stratum), row.n.to_string()];
            Some(first.into_iter().chain(shares).collect())
        };
        let rows: Vec<Vec<String>> = errors.strata.iter().filter_map(row).collect();
        table(&header, &rows, 1)
    };
    format!(
        "{}\n\n{}",
        side(Side::Truth, |row| Some(&row.truth), "true nuclei"),
        side(
            Side::Prediction,
            |row| row.prediction.as_ref(),
            "predicted nuclei"
        ),
    )
}

/// A stratum in words that stand alone.
fn named(stratum: &FateStratum) -> String {
    let name = &stratum.stratum;
    match (stratum.above, stratum.up_to) {
        _ if stratum.by != "size" => name.clone(),
        (None, Some(up_to)) => format!("{name} (to {up_to} px2)"),
        (Some(above), None) => format!("{name} (over {above} px2)"),
        (Some(above), Some(up_to)) => format!("{name} (over {above} to {up_to} px2)"),
        (None, None) => name.clone(),
    }
}

/// Clusters by size, then cuts, then what they are counted from.
fn splitting_tables(splitting: &SplittingSummary) -> String {
    let sizes = [
        ("singles", Some(&splitting.singles)),
        ("clusters of 2", splitting.clusters.get("2")),
        ("clusters of 3", splitting.clusters.get("3")),
        ("clusters of 4", Some(&splitting.clusters_of_4)),
        ("clusters of 4 or more", splitting.clusters.get("4+")),
        ("all clusters", Some(&splitting.clusters_all)),
    ];
    let rows: Vec<Vec<String>> = sizes
        .into_iter()
        .filter_map(|(name, row)| Some(resolved_row(name, row?)))
        .collect();
    let clusters = table(
        &[
            "nuclei",
            "number",
            "resolved",
            "95 % interval",
            "at IoU 0.7",
            "95 % interval",
        ],
        &rows,
        1,
    );
    let cuts = [
        ("missed cuts per joined pair", &splitting.missed_cuts),
        ("lost pairs per joined pair", &splitting.lost_pairs),
        ("false cuts per nucleus", &splitting.false_cuts),
        ("cut recall", &splitting.cut_recall),
        ("cut precision", &splitting.cut_precision),
        ("cut F1", &splitting.cut_f1),
        ("cut line distance, px", &splitting.cut_line_distance_px),
        ("cut line distance, um", &splitting.cut_line_distance_um),
    ];
    let rows: Vec<Vec<String>> = cuts
        .into_iter()
        .map(|(name, score)| pooled_row(name, score))
        .collect();
    let cuts = table(&["cuts", "pooled", "95 % interval"], &rows, 1);
    let pairs = splitting.pairs;
    let apart = match splitting.pairs_without_line {
        0 => String::new(),
        n => format!(" ({n} found pairs lie too far apart in the prediction for a cut line)"),
    };
    format!(
        "{clusters}\n\n{cuts}\n\n{} joined pair{}: {} found, {} missed, {} lost; {} false \
         cut{}{apart}",
        pairs.n,
        plural(pairs.n as usize),
        pairs.found,
        pairs.missed,
        pairs.lost,
        splitting.false_cut_number,
        plural(splitting.false_cut_number as usize)
    )
}

/// Tolerant F1 of each outline, then thickness of lines and distances of nuclei.
fn boundary_tables(scores: &Scores) -> String {
    let mut header = vec!["outline F1".to_owned()];
    let mut rows = Vec::new();
    let mut distances = Vec::new();
    for (name, outline) in scores.boundaries.iter() {
        if header.len() == 1 {
            let within = |row: &ToleranceRow| format!("within {} px", row.px);
            header.extend(outline.tolerance.iter().map(within));
        }
        let mut row = vec![name.to_owned()];
        row.extend(outline.tolerance.iter().map(|row| number(row.f1.pooled)));
        rows.push(row);
        let mut add =
            |what: String, statistic: &Statistic| distances.push(self::row(&what, statistic));
        if let Some(thickness) = &outline.thickness {
            add(
                format!("thickness of {name}, true, px"),
                &thickness.truth_px,
            );
            add(
                format!("thickness of {name}, predicted, px"),
                &thickness.prediction_px,
            );
        }
        if let Some(pairs) = &outline.pairs {
            add(
                "boundary IoU of matched nuclei, 2 px".to_owned(),
                &pairs.boundary_iou_2px,
            );
            add("ASSD of matched nuclei, px".to_owned(), &pairs.assd_px);
            add("HD95 of matched nuclei, px".to_owned(), &pairs.hd95_px);
        }
    }
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut text = table(&header, &rows, 1);
    if !distances.is_empty() {
        text.push_str("\n\n");
        let header = ["outlines", "pooled", "95 % interval", "mean over images"];
        text.push_str(&table(&header, &distances, 1));
    }
    text
}

/// What measuring through predicted masks costs.
fn agreement_table(agreement: &AgreementSummary) -> String {
    if let Some(sentence) = agreement.too_few() {
        return sentence;
    }
    let rows: Vec<Vec<String>> = agreement
        .quantities
        .iter()
        .map(|row| {
            let percent = row.percent.as_ref();
            let range = |low: f64, high: f64| format!("{low:+.1} to {high:+.1}");
            vec![
                row.quantity.clone(),
                percent.map_or("-".to_owned(), |p| format!("{:+.1}", p.bias.value)),
                percent.map_or("-".to_owned(), |p| range(p.bias.ci95[0], p.bias.ci95[1])),
                percent.map_or("-".to_owned(), |p| range(p.lower.value, p.upper.value)),
                number(row.concordance),
            ]
        })
        .collect();
    let header = [
        "measured through masks",
        "bias, %",
        "95 % interval",
        "limits of agreement, %",
        "concordance",
    ];
    format!(
        "{}\n\nprediction minus truth over {} {}s",
        table(&header, &rows, 1),
        agreement.units,
        agreement.unit
    )
}

/// Whether confidences of nuclei hold, what is found where the least sure are looked at, and
/// whether intervals of counts hold.
fn confidence_table(confidence: &ConfidenceSummary) -> String {
    let rows = [
        pooled_row("calibration error (ECE)", &confidence.ece),
        pooled_row("wrong ones told (AUROC)", &confidence.auroc),
        pooled_row("Brier score", &confidence.brier),
    ];
    let header = ["confidence of nuclei", "pooled", "95 % interval"];
    let mut lines = vec![table(&header, &rows, 1), String::new()];
    let chance = confidence.ece_by_chance.map_or(String::new(), |ece| {
        format!("; confidences that hold exactly have an ECE of {ece:.3} by chance")
    });
    lines.push(format!(
        "{} of {} predicted nuclei are wrong{chance}",
        confidence.wrong, confidence.objects
    ));
    let looked = confidence.looked_at.iter().filter_map(|row| {
        let left = row.errors_left?;
        Some(format!("{:.0} %: {:.0} %", 100.0 * row.share, 100.0 * left))
    });
    let looked: Vec<String> = looked.collect();
    if !looked.is_empty() {
        let looked = looked.join(", ");
        lines.push(format!(
            "errors left where the least sure are looked at: {looked}"
        ));
    }
    for (what, counts) in [("field", &confidence.fields), ("well", &confidence.wells)] {
        lines.extend(counts_line(what, counts));
    }
    lines.extend(areas_lines(&confidence.areas));
    lines.join("\n")
}

/// True and expected counts of fields or wells in one sentence.
fn counts_line(what: &str, counts: &[ExpectedCount]) -> Option<String> {
    let truth: u64 = counts.iter().map(|count| count.truth).sum();
    let expected: f64 = counts.iter().map(|count| count.expected).sum();
    let level = counts.iter().find_map(|count| count.level);
    let [all, held] = ConfidenceSummary::held(counts);
    let (n, s) = (counts.len(), plural(counts.len()));
    let intervals = match level {
        Some(level) => format!("; {held} of {all} intervals of {:.0} % hold", 100.0 * level),
        None => "; too few validation groups for intervals".to_owned(),
    };
    (n > 0)
        .then(|| format!("{n} {what}{s}: {truth} true nuclei, {expected:.1} expected{intervals}"))
}

/// What is expected of each area, and how many intervals hold, a sentence each.
fn areas_lines(areas: &[ExpectedArea]) -> Vec<String> {
    let mut kinds: Vec<&str> = Vec::new();
    for area in areas {
        if !kinds.contains(&area.of.as_str()) {
            kinds.push(&area.of);
        }
    }
    let line = |kind: &&str| {
        let of_kind = || areas.iter().filter(|area| area.of == **kind);
        let mean = |value: fn(&ExpectedArea) -> f64| {
            of_kind().map(value).sum::<f64>() / of_kind().count() as f64
        };
        let with = of_kind().filter_map(|area| Some((area.truth, area.interval?)));
        let held: Vec<bool> = with.map(|(t, [low, high])| low <= t && t <= high).collect();
        let level = of_kind().find_map(|area| area.level);
        let intervals = match level {
            Some(level) => format!(
                "; {} of {} intervals of {:.0} % hold",
                held.iter().filter(|held| **held).count(),
                held.len(),
                100.0 * level
            ),
            None => "; too few validation groups for intervals".to_owned(),
        };
        let unit = of_kind().next().map_or("", |area| area.unit.as_str());
        let (n, s) = (of_kind().count(), plural(of_kind().count()));
        format!(
            "area of {kind} in {n} field{s}: {:.0} {unit} in the mean, {:.0} expected{intervals}",
            mean(|area| area.truth),
            mean(|area| area.expected)
        )
    };
    kinds.iter().map(line).collect()
}

fn kind_table(scores: &Scores) -> String {
    let row = |(name, kind): (&str, &KindSummary)| {
        vec![
            name.to_owned(),
            kind.n.to_string(),
            number(kind.recall_50.pooled),
            interval(kind.recall_50.ci95),
            number(kind.matched_iou.pooled),
            number(kind.singles_resolved.pooled),
            number(kind.clusters_resolved.pooled),
            number(kind.cut_recall.pooled),
            number(kind.false_cuts.pooled),
        ]
    };
    let header = [
        "kind of nucleus",
        "number",
        "recall",
        "95 % interval",
        "matched IoU",
        "singles resolved",
        "clusters resolved",
        "cut recall",
        "false cuts",
    ];
    let rows: Vec<Vec<String>> = scores.kinds.iter().map(row).collect();
    table(&header, &rows, 1)
}

fn resolved_row(name: &str, row: &ResolvedRow) -> Vec<String> {
    vec![
        name.to_owned(),
        row.n.to_string(),
        number(row.resolved),
        interval(row.ci95),
        number(row.resolved_70),
        interval(row.ci95_70),
    ]
}

fn pooled_row(name: &str, score: &Pooled) -> Vec<String> {
    vec![name.to_owned(), number(score.pooled), interval(score.ci95)]
}

fn row(name: &str, statistic: &Statistic) -> Vec<String> {
    vec![
        name.to_owned(),
        number(statistic.pooled),
        interval(statistic.ci95),
        number(statistic.mean_over_images),
    ]
}

fn number(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.4}"))
}

fn interval(value: Option<[f64; 2]>) -> String {
    value.map_or("-".to_owned(), |[low, high]| {
        format!("{low:.4} to {high:.4}")
    })
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
