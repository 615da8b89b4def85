//! What a report says of scores: numbers in tables, sentences and plots against the scores
//! themselves.

mod common;

use common::{Element, ROUNDING, by_ticks, dots, elements, ticks};
use stainfree_image::Image;
use stainfree_report::{
    ReportData, Scale, Table, agreement_charts, field_facts, reliability_chart, worst_and_best,
};
use stainfree_scores::{
    AgreementRow, AgreementSummary, BootstrapOptions, ByName, CalibrationSummary, FieldScores,
    Matching, Pooled, ReliabilityRow, Scores, UnitPair, bland_altman, bland_altman_percent,
    concordance, pearson, pixel_counts_ignoring, summarise,
};

const TRUTH: [f64; 6] = [100.0, 120.0, 95.0, 180.0, 140.0, 60.0];
const PREDICTION: [f64; 6] = [104.0, 118.0, 101.0, 171.0, 150.0, 57.0];

fn agreement(units: usize) -> AgreementSummary {
    let (truth, prediction) = (&TRUTH[..units], &PREDICTION[..units]);
    let pair = |i: usize| UnitPair {
        name: format!("W{i}"),
        truth: truth[i],
        prediction: prediction[i],
        density: 1.0,
    };
    AgreementSummary {
        unit: "well".into(),
        units,
        quantities: vec![AgreementRow {
            quantity: "nucleus area".into(),
            measured_in: "um2".into(),
            pairs: (0..units).map(pair).collect(),
            difference: bland_altman(truth, prediction),
            percent: bland_altman_percent(truth, prediction),
            concordance: concordance(truth, prediction),
            pearson: pearson(truth, prediction),
            percent_sparse: Some(-1.25),
            percent_dense: None,
            reason: None,
        }],
    }
}

fn calibration() -> CalibrationSummary {
    let row = |from: f64, probability: f64, right: f64| ReliabilityRow {
        from,
        to: from + 0.2,
        pixels: 100,
        probability,
        right,
    };
    let pooled = |value: f64| Pooled {
        pooled: Some(value),
        ci95: Some([value - 0.01, value + 0.02]),
        reason: None,
    };
    CalibrationSummary {
        bins: 5,
        ece: pooled(0.034),
        mce: pooled(0.2),
        class_wise_ece: pooled(0.05),
        brier: pooled(0.3),
        top: vec![
            row(0.4, 0.52, 0.4),
            row(0.6, 0.71, 0.64),
            row(0.8, 0.93, 0.95),
        ],
        classes: ByName(vec![(
            "nucleus".into(),
            vec![row(0.0, 0.1, 0.2), row(0.8, 0.9, 0.8)],
        )]),
    }
}

/// Fields of one row of pixels: of the first `truth` columns the prediction misses some.
fn scores(fields: &[(usize, usize)]) -> Scores {
    let field = |(i, &(truth, missed)): (usize, &(usize, usize))| {
        let classes =
            |from: usize| Image::from_fn(10, 100, |_, x| u8::from((from..truth).contains(&x)));
        let (truth, prediction) = (classes(0), classes(missed));
        let last = Image::from_fn(10, 100, |_, x| x == 99);
        let labels = |classes: &Image<u8>| classes.map(|&class| u32::from(class));
        let (objects, found) = (labels(&truth), labels(&prediction));
        let matching = Matching::new(&objects, &found, None).unwrap();
        FieldScores {
            name: format!("f{i}"),
            group: (i > 0).then(|| format!("W{i}")),
            pixels: Some(pixel_counts_ignoring(&truth, &prediction, Some(&last), 2).unwrap()),
            objects: Some(matching.objects()),
            ..Default::default()
        }
    };
    let fields: Vec<FieldScores> = fields.iter().enumerate().map(field).collect();
    let classes = ["background".to_owned(), "nucleus".to_owned()];
    summarise(&fields, &classes, &BootstrapOptions::default()).unwrap()
}

fn texts(table: &Table, row: usize) -> Vec<&str> {
    table.rows[row]
        .iter()
        .map(|cell| cell.text.as_str())
        .collect()
}

#[test]
fn every_unit_lies_at_its_mean_and_its_difference_in_per_cent() {
    let agreement = agreement(6);
    let charts = agreement_charts(&agreement);
    assert_eq!(charts.len(), 1);
    assert_eq!(charts[0].title, "Agreement: nucleus area");
    let svg = charts[0].svg.as_str();
    assert!(svg.contains(">nucleus area, mean of both (um2)</text>"));
    let (across, up) = (ticks(svg, false), ticks(svg, true));
    let at = |x: f64, y: f64| {
        (
            by_ticks(&across, Scale::Linear, x),
            by_ticks(&up, Scale::Linear, y),
        )
    };
    let near =
        |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).abs() < ROUNDING && (a.1 - b.1).abs() < ROUNDING;
    // The legend's dot, then the units'.
    let found = dots(svg);
    for (&truth, &prediction) in TRUTH.iter().zip(&PREDICTION) {
        let mean = (truth + prediction) / 2.0;
        let expected = at(mean, 100.0 * (prediction - truth) / mean);
        assert!(
            found.iter().any(|&dot| near(dot, expected)),
            "{truth}: {found:?}"
        );
    }
    assert_eq!(found.len(), TRUTH.len() + 1);
    let percent = agreement.quantities[0].percent.as_ref().unwrap();
    let levels: Vec<f64> = elements(svg, "path")
        .iter()
        .filter(|p| ["axis", "mark"].contains(&p.get("class").unwrap()))
        .map(Element::points)
        .filter(|p| p[0].0 == 56.0 && p[1].0 == 536.0 && p[0].1 == p[1].1)
        .map(|p| p[0].1)
        .collect();
    for (name, value) in [
        ("bias", percent.bias.value),
        ("limit", percent.upper.value),
        ("limit", percent.lower.value),
    ] {
        let height = at(across[0].0, value).1;
        assert!(
            levels.iter().any(|y| (y - height).abs() < ROUNDING),
            "{name}: {levels:?}"
        );
        assert!(
            svg.contains(&format!(">{name} {value:+.1} %</text>")),
            "{name}"
        );
    }
    // Nothing can be said of two units, and nothing is drawn.
    let mut few = agreement;
    few.quantities[0].percent = None;
    assert!(agreement_charts(&few).is_empty());
}

#[test]
fn the_table_of_agreement_has_the_numbers_of_the_plot() {
    let mut scores = scores(&[(50, 0)]);
    scores.agreement = Some(agreement(6));
    let mut data = ReportData::default();
    data.add_scores(&scores);
    let table = data
        .tables
        .iter()
        .find(|t| t.title.contains("stain's channel"))
        .unwrap();
    let row = &agreement(6).quantities[0];
    let (difference, percent) = (
        row.difference.as_ref().unwrap(),
        row.percent.as_ref().unwrap(),
    );
    let mean = TRUTH.iter().sum::<f64>() / 6.0;
    let [low, high] = difference.bias.ci95;
    let found = texts(table, 0);
    assert_eq!(found[0], "nucleus area, um2");
    assert_eq!(found[1], format!("{mean:.1}"));
    assert_eq!(
        found[2],
        format!("{:+.1} ({low:+.1} to {high:+.1})", difference.bias.value)
    );
    assert_eq!(
        found[4],
        format!("{:+.1} to {:+.1}", percent.lower.value, percent.upper.value)
    );
    assert_eq!(found[5], format!("{:.3}", row.concordance.unwrap()));
    assert_eq!(found[6], format!("{:.3}", row.pearson.unwrap()));
    assert_eq!(found[7], "-1.2 / n/a");
    // Too few to compare: a sentence of doubt instead of a table.
    scores.agreement = Some(agreement(1));
    scores.agreement.as_mut().unwrap().quantities[0].concordance = None;
    let mut data = ReportData::default();
    data.add_scores(&scores);
    assert!(
        data.tables
            .iter()
            .all(|t| !t.title.contains("stain's channel"))
    );
    assert!(
        data.trust
            .iter()
            .any(|line| line.ends_with("1 well are too few.")),
        "{:?}",
        data.trust
    );
}

#[test]
fn reliability_is_drawn_as_what_is_right_over_what_was_said() {
    let chart = reliability_chart(&calibration());
    let svg = chart.svg.as_str();
    let (across, up) = (ticks(svg, false), ticks(svg, true));
    let found = dots(svg);
    assert_eq!(found.len(), 3, "the most likely class; classes are lines");
    for (&(x, y), row) in found.iter().zip(&calibration().top) {
        assert!((by_ticks(&across, Scale::Linear, row.probability) - x).abs() < ROUNDING);
        assert!((by_ticks(&up, Scale::Linear, row.right) - y).abs() < ROUNDING);
    }
    let dashed: Vec<Element> = elements(svg, "path")
        .into_iter()
        .filter(|p| p.get("stroke-dasharray") == Some("6 4"))
        .filter(|p| p.points()[1].0 - p.points()[0].0 != 20.0)
        .collect();
    let nucleus = dashed[0].points();
    assert!((by_ticks(&up, Scale::Linear, 0.2) - nucleus[0].1).abs() < ROUNDING);
    let mut scores = scores(&[(50, 0)]);
    scores.calibration = Some(calibration());
    let mut data = ReportData::default();
    data.add_scores(&scores);
    let table = data
        .tables
        .iter()
        .find(|t| t.title.contains("probabilities mean"))
        .unwrap();
    assert_eq!(
        texts(table, 0),
        ["expected calibration error", "0.034", "0.024 to 0.054"]
    );
    assert_eq!(
        texts(table, 3),
        ["Brier score (0 to 2)", "0.300", "0.290 to 0.320"]
    );
}

#[test]
fn headlines_tables_and_doubts_count_what_the_scores_count() {
    // 50 of 100 columns, 10 missed; 20 of 100, none; the last column is ignored.
    let scores = scores(&[(50, 10), (20, 0), (30, 30)]);
    let mut data = ReportData::default();
    data.add_scores(&scores);
    // TP 60 columns, FN 40: F1 = 120 / 160.
    assert_eq!(data.headlines[0].label, "Nucleus pixels, F1");
    assert_eq!(data.headlines[0].value, "0.750");
    let counted = data
        .headlines
        .iter()
        .find(|h| h.label == "Nuclei counted")
        .unwrap();
    assert_eq!(
        (counted.value.as_str(), counted.detail.as_str()),
        ("-33.3 %", "2 predicted, 3 true")
    );
    assert!(
        data.trust
            .iter()
            .any(|l| l == "1.0 % of the pixels were ignored, in truth and prediction alike.")
    );
    assert!(data.trust.iter().any(|l| l == "The truth holds 3 nuclei."));
    let pixels = data.tables.iter().find(|t| t.title == "Pixels").unwrap();
    assert!(
        pixels.caption.starts_with("2,970 pixels of 3 fields."),
        "{}",
        pixels.caption
    );
    let row = pixels
        .rows
        .iter()
        .position(|row| row[0].text == "nucleus")
        .unwrap();
    // F1 0.75 pooled, IoU 60 / 100; the mean of fields counts 80/90, 1 and 0.
    assert_eq!(texts(pixels, row)[1], "0.750");
    assert_eq!(
        texts(pixels, row)[3],
        format!("{:.3}", (80.0 / 90.0 + 1.0) / 3.0)
    );
    assert_eq!(texts(pixels, row)[4], "0.600");
    let fields = data
        .tables
        .iter()
        .find(|t| t.title == "Field by field")
        .unwrap();
    assert!(fields.folded);
    assert_eq!(texts(fields, 0)[..3], ["f0", "", "0.889"]);
    assert_eq!(texts(fields, 1)[..3], ["f1", "W1", "1.000"]);
    assert_eq!(texts(fields, 2)[2..], ["0.000", "0.000", "1", "0"]);
    let facts = field_facts(&scores.fields[1]);
    let facts: Vec<(&str, &str)> = facts
        .iter()
        .map(|f| (f.label.as_str(), f.value.as_str()))
        .collect();
    assert_eq!(facts[0], ("group", "W1"));
    assert!(facts.contains(&("nucleus IoU", "1.000")));
    assert!(facts.contains(&("nuclei", "1 predicted, 1 true")));
    assert_eq!(worst_and_best(&scores, 1), (vec![2], vec![1]));
    // Dots of the chart: the pooled scores, from 0.6 to 1.
    let chart = &data.charts[0];
    assert!(
        chart.caption.starts_with("Dots: pooled over 3 fields;"),
        "{}",
        chart.caption
    );
    let shown: Vec<String> = elements(chart.svg.as_str(), "text")
        .into_iter()
        .filter(|t| t.number("x") == 556.0)
        .map(|t| t.text)
        .collect();
    assert_eq!(shown[..2], ["0.750", "0.600"]);
}
