//! Scores against outside judges; `testdata/scores/make_golden.py` made the numbers.

use serde::Deserialize;
use stainfree_image::Image;
use stainfree_scores::{ObjectCounts, match_labels, paper_scores};

#[derive(Deserialize)]
struct Golden {
    objects: Vec<Objects>,
    paper: Vec<Paper>,
}

#[derive(Deserialize)]
struct Objects {
    name: String,
    side: usize,
    truth: Vec<u32>,
    prediction: Vec<u32>,
    at: Vec<At>,
    aji: f64,
    aji_plus: f64,
}

#[derive(Deserialize)]
struct At {
    tp: u64,
    fp: u64,
    r#fn: u64,
    precision: f64,
    recall: f64,
    f1: f64,
    ap: f64,
    iou_sum: f64,
    pq: f64,
}

#[derive(Deserialize)]
struct Paper {
    side: usize,
    truth: Vec<u8>,
    probabilities: Vec<Vec<f32>>,
    iou: Vec<f64>,
    f1: Vec<f64>,
}

/// Both sides compute in f64 with at most a few hundred additions; stardist keeps f32 in places
/// (IoU sums), which gives the relative 1e-6.
const ROUNDING: f64 = 1e-6;

fn golden() -> Golden {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../testdata/scores/golden.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn counts(case: &Objects) -> ObjectCounts {
    let image = |labels: &[u32]| Image::new(case.side, case.side, labels.to_vec());
    match_labels(&image(&case.truth), &image(&case.prediction)).unwrap()
}

fn assert_near(got: f64, expected: f64, what: &str) {
    assert!(
        (got - expected).abs() <= ROUNDING * expected.abs().max(1.0),
        "{what}: {got} {expected}"
    );
}

#[test]
fn object_matching_agrees_with_stardist() {
    for case in golden().objects {
        let counts = counts(&case);
        for (i, (got, expected)) in counts.at.iter().zip(&case.at).enumerate() {
            let what = format!("{} at {}", case.name, stainfree_scores::threshold(i));
            assert_eq!(
                (got.tp, got.fp, got.fn_),
                (expected.tp, expected.fp, expected.r#fn),
                "{what}"
            );
            assert_near(got.f1(), expected.f1, &what);
            assert_near(got.average_precision(), expected.ap, &what);
            assert_near(got.iou_sum, expected.iou_sum, &what);
            assert_near(got.quality(), expected.pq, &what);
            if got.tp > 0 {
                assert_near(got.precision(), expected.precision, &what);
                assert_near(got.recall(), expected.recall, &what);
            }
        }
    }
}

#[test]
fn aggregated_jaccard_indices_agree_with_dense_computation() {
    for case in golden().objects {
        let counts = counts(&case);
        assert_near(
            counts.aji.value(),
            case.aji,
            &format!("AJI of {}", case.name),
        );
        assert_near(
            counts.aji_plus.value(),
            case.aji_plus,
            &format!("AJI+ of {}", case.name),
        );
    }
}

#[test]
fn paper_scores_agree_with_the_library_definitions() {
    for case in golden().paper {
        let planes: Vec<Image<f32>> = case
            .probabilities
            .iter()
            .map(|plane| Image::new(case.side, case.side, plane.clone()))
            .collect();
        let truth = Image::new(case.side, case.side, case.truth);
        let scores = paper_scores(&planes, &truth).unwrap();
        for class in 0..case.iou.len() {
            assert_near(scores.iou(class), case.iou[class], "IoU");
            assert_near(scores.f1(class), case.f1[class], "F1");
        }
    }
}
