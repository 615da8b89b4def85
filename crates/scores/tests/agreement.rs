//! Agreement and calibration against numpy and scipy; `testdata/scores/make_agreement.py` made the
//! numbers.

use serde::Deserialize;
use stainfree_image::Image;
use stainfree_scores::{
    BlandAltman, CalibrationCounts, bland_altman, bland_altman_percent, calibration, concordance,
    pearson,
};

#[derive(Deserialize)]
struct Golden {
    agreement: Vec<Agreement>,
    calibration: Vec<Calibration>,
}

#[derive(Deserialize)]
struct Agreement {
    x: Vec<f64>,
    y: Vec<f64>,
    difference: Limits,
    percent: Limits,
    concordance: f64,
    pearson: f64,
}

/// Value, lower and upper end of the interval.
#[derive(Deserialize)]
struct Limits {
    n: usize,
    sd: f64,
    bias: [f64; 3],
    lower: [f64; 3],
    upper: [f64; 3],
}

#[derive(Deserialize)]
struct Calibration {
    side: usize,
    truth: Vec<u8>,
    sixtieths: Vec<Vec<u8>>,
    ece: f64,
    mce: f64,
    class_wise_ece: f64,
    brier: f64,
}

fn golden() -> Golden {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../testdata/scores/agreement.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn assert_near(got: f64, expected: f64, tolerance: f64, what: &str) {
    assert!(
        (got - expected).abs() <= tolerance * expected.abs().max(1.0),
        "{what}: {got} {expected}"
    );
}

fn assert_limits(got: Option<BlandAltman>, expected: &Limits) {
    let got = got.unwrap();
    assert_eq!(got.n, expected.n);
    // Sums of a few dozen f64.
    assert_near(got.sd, expected.sd, 1e-11, "sd");
    for (got, expected, what) in [
        (got.bias, expected.bias, "bias"),
        (got.lower, expected.lower, "lower"),
        (got.upper, expected.upper, "upper"),
    ] {
        let got = [got.value, got.ci95[0], got.ci95[1]];
        for (got, expected) in got.iter().zip(expected) {
            assert_near(*got, expected, 1e-11, what);
        }
    }
}

#[test]
fn limits_of_agreement_and_concordance_agree_with_scipy() {
    for case in golden().agreement {
        assert_limits(bland_altman(&case.x, &case.y), &case.difference);
        assert_limits(bland_altman_percent(&case.x, &case.y), &case.percent);
        let concordance = concordance(&case.x, &case.y).unwrap();
        assert_near(concordance, case.concordance, 1e-12, "concordance");
        assert_near(pearson(&case.x, &case.y).unwrap(), case.pearson, 1e-12, "r");
    }
}

#[test]
fn calibration_agrees_with_numpy_also_on_the_edges_of_bins() {
    for case in golden().calibration {
        let plane = |sixtieths: &Vec<u8>| {
            let p = sixtieths.iter().map(|&n| f32::from(n) / 60.0).collect();
            Image::new(case.side, case.side, p)
        };
        let planes: Vec<Image<f32>> = case.sixtieths.iter().map(plane).collect();
        let truth = Image::new(case.side, case.side, case.truth.clone());
        let counts = calibration(&planes, &truth).unwrap();
        // Probabilities are f32: 6e-8 each.
        assert_near(counts.ece(), case.ece, 1e-7, "ECE");
        assert_near(counts.mce(), case.mce, 1e-7, "MCE");
        assert_near(
            counts.class_wise_ece(),
            case.class_wise_ece,
            1e-7,
            "class-wise",
        );
        assert_near(counts.brier(), case.brier, 1e-7, "Brier");

        // Two halves added up are the whole.
        let mut sum = CalibrationCounts::default();
        for half in 0..2 {
            let mut part = truth.clone();
            for (i, class) in part.data_mut().iter_mut().enumerate() {
                if i % 2 == half {
                    *class = 255;
                }
            }
            sum.add(&calibration(&planes, &part).unwrap()).unwrap();
        }
        assert_eq!(sum.kept, counts.kept);
        assert_near(sum.ece(), counts.ece(), 1e-12, "sum");
    }
}
