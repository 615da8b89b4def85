//! Whether confidences of objects mean what they say, against scikit-learn.

use serde::Deserialize;
use stainfree_image::Image;
use stainfree_scores::{
    BootstrapOptions, ConfidenceSummary, ExpectedArea, FieldConfidence, FieldScores, Matching,
    SureObject, summarise,
};

fn field(name: &str, group: &str, objects: &[(f64, bool)]) -> FieldScores {
    let object = |&(confidence, right): &(f64, bool)| SureObject { confidence, right };
    FieldScores {
        name: name.to_owned(),
        group: Some(group.to_owned()),
        confidence: Some(FieldConfidence {
            objects: objects.iter().map(object).collect(),
            ..FieldConfidence::default()
        }),
        ..FieldScores::default()
    }
}

fn summary(fields: &[FieldScores]) -> ConfidenceSummary {
    let scores = summarise(fields, &[], &BootstrapOptions::default()).unwrap();
    scores.confidence.unwrap()
}

/// Objects and scores of scikit-learn, made by `testdata/scores/make_confidence.py`.
#[test]
fn scores_are_those_of_scikit_learn() {
    #[derive(Deserialize)]
    struct Case {
        confidence: Vec<f64>,
        right: Vec<bool>,
        auroc: f64,
        brier: f64,
        ece: f64,
        bins: Vec<[f64; 2]>,
        errors_left: Vec<[f64; 2]>,
    }
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../testdata/scores/confidence.json"
    );
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let objects: Vec<(f64, bool)> = case.confidence.into_iter().zip(case.right).collect();
        // In two fields: their order is nothing that scores know.
        let (first, second) = objects.split_at(objects.len() / 3);
        let found = summary(&[field("b", "b", second), field("a", "a", first)]);
        // Sums of the same f64 in another order.
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        near(found.auroc.pooled.unwrap(), case.auroc);
        near(found.brier.pooled.unwrap(), case.brier);
        near(found.ece.pooled.unwrap(), case.ece);
        assert_eq!(found.bins.len(), case.bins.len());
        for (bin, [right, confidence]) in found.bins.iter().zip(case.bins) {
            near(bin.right, right);
            near(bin.confidence, confidence);
        }
        for (row, [share, left]) in found.looked_at.iter().zip(case.errors_left) {
            near(row.share, share);
            near(row.errors_left.unwrap(), left);
        }
    }
}

#[test]
fn one_kind_has_no_roc_and_nothing_no_scores() {
    let right = summary(&[field("a", "a", &[(0.9, true), (0.7, true)])]);
    assert_eq!(right.auroc.pooled, None);
    assert!(right.auroc.reason.is_some() && right.ece.pooled.is_some());
    assert_eq!(right.looked_at[0].errors_left, None);
    // One confidence for all is no order, and no AUROC of a half.
    let alike = summary(&[field("a", "a", &[(0.9, true), (0.9, false), (0.9, true)])]);
    assert_eq!(alike.auroc.pooled, None);
    assert!(alike.auroc.reason.unwrap().contains("the same confidence"));
    assert!((alike.ece.pooled.unwrap() - (0.9 - 2.0 / 3.0)).abs() < 1e-12);
    let nothing = summary(&[field("a", "a", &[])]);
    assert_eq!((nothing.objects, nothing.ece.pooled), (0, None));
    let without = [FieldScores::default()];
    let scores = summarise(&without, &[], &BootstrapOptions::default()).unwrap();
    assert_eq!(scores.confidence, None);
}

#[test]
fn intervals_draw_groups_and_not_objects() {
    // Eight groups, all objects of one alike: right in half of them.
    let groups: Vec<FieldScores> = (0..8)
        .map(|i| {
            field(
                &i.to_string(),
                &i.to_string(),
                &vec![(0.5, i % 2 == 0); 100],
            )
        })
        .collect();
    let found = summary(&groups);
    assert_eq!(found.ece.pooled, Some(0.0));
    // |share - 0.5| of 8 groups: the 97.5 % point is 0.375 (7 of 8; P(0, 1, 7 or 8) = 0.07).
    let [_, high] = found.ece.ci95.unwrap();
    assert!((0.3..0.5).contains(&high), "{high}");
    // 800 objects of 0.5 by chance: sqrt(2 / pi) 0.5 / sqrt(800).
    let chance = found.ece_by_chance.unwrap();
    assert!((chance - 0.5 * (2.0 / std::f64::consts::PI / 800.0).sqrt()).abs() < 1e-12);
}

#[test]
fn right_objects_are_those_that_the_matching_counts() {
    let square = |from: usize, x: usize| (from..from + 4).contains(&x);
    let image = |boxes: &[(usize, u32)]| {
        Image::from_fn(4, 40, |_, x| {
            let found = boxes.iter().find(|(from, _)| square(*from, x));
            found.map_or(0, |(_, label)| *label)
        })
    };
    let truth = image(&[(0, 1), (10, 2), (20, 3)]);
    let prediction = image(&[(0, 5), (12, 6), (20, 7), (30, 8)]);
    // Most of the last prediction, and of the third pair, is ignored.
    let ignore = Image::from_fn(4, 40, |_, x| (30..33).contains(&x) || (20..23).contains(&x));
    let matching = Matching::new(&truth, &prediction, Some(&ignore)).unwrap();
    let right: Vec<(u32, bool)> = matching.right().into_iter().collect();
    assert_eq!(right, [(5, true), (6, false)]);
    let counts = matching.objects();
    let found = right.iter().filter(|(_, right)| *right).count() as u64;
    assert_eq!((counts.prediction, counts.at[0].tp), (2, found));
}

#[test]
fn areas_of_all_fields_are_kept_with_what_was_expected_of_them() {
    let area = |name: &str, expected: f64| ExpectedArea {
        name: name.to_owned(),
        group: None,
        of: "cytoplasm".to_owned(),
        unit: "um2".to_owned(),
        truth: 900.0,
        expected,
        interval: Some([expected - 50.0, expected + 50.0]),
        level: Some(0.8),
    };
    let fields = ["a", "b"].map(|name| {
        let mut field = field(name, name, &[(0.5, true)]);
        if let Some(confidence) = &mut field.confidence {
            confidence.areas = vec![area(name, 880.0)];
        }
        field
    });
    let found = summary(&fields);
    assert_eq!(found.areas, [area("a", 880.0), area("b", 880.0)]);
    // Tables of earlier versions have none.
    let mut json = serde_json::to_value(&found).unwrap();
    json.as_object_mut().unwrap().remove("areas");
    let read: ConfidenceSummary = serde_json::from_value(json).unwrap();
    assert!(read.areas.is_empty());
}
