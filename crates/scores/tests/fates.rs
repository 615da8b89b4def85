//! Fates of objects and best shifts of real fields against a slow transcription of their
//! definitions; `testdata/scores/make_fates.py` made the numbers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use stainfree_image::{Image, read_labels};
use stainfree_scores::{
    BootstrapOptions, FateRow, FieldScores, JudgedObject, Matching, Shift, Side, Surroundings,
    moved, summarise,
};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
    strata: Strata,
}

#[derive(Deserialize)]
struct Case {
    field: String,
    prediction: String,
    /// By how much the prediction in the file is moved before it is scored: down, right.
    moved: [i32; 2],
    /// A corner of the field is ignored.
    ignored: bool,
    /// The best shift.
    shift: [i32; 2],
    f1: f64,
    f1_shifted: f64,
    /// Side, label, fate, area, neighbours, whether it lies at the border, best IoU, contrast.
    objects: Vec<String>,
}

/// Fates by side, of the shattered predictions without ignored pixels.
#[derive(Deserialize)]
struct Strata {
    limits: [f64; 2],
    #[serde(flatten)]
    by_words: BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>>,
}

type Row = (Side, u32, String, u64, usize, bool, f64, f64);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/scores")
}

fn golden() -> Golden {
    let text = std::fs::read_to_string(folder().join("fates.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn labels(name: &str) -> Image<u32> {
    read_labels(&folder().join("splitting").join(format!("{name}.png"))).unwrap()
}

fn shift([dy_px, dx_px]: [i32; 2]) -> Shift {
    Shift { dy_px, dx_px }
}

/// Truth, prediction, what is ignored, and a made-up brightfield.
fn field(case: &Case) -> (Image<u32>, Image<u32>, Option<Image<bool>>, Image<f32>) {
    let truth = labels(&case.field);
    let prediction = labels(&format!("{}_{}", case.field, case.prediction));
    let (height, width) = truth.size();
    let ignore = Image::from_fn(height, width, |y, x| y < 60 && x < 90);
    let light = Image::from_fn(height, width, |y, x| ((7 * y + 13 * x) % 101 + 50) as f32);
    let prediction = moved(&prediction, shift(case.moved));
    (truth, prediction, case.ignored.then_some(ignore), light)
}

fn row(object: &JudgedObject) -> Row {
    (
        object.side,
        object.label,
        object.fate.name().to_owned(),
        object.area_px,
        object.neighbours,
        object.at_border,
        object.iou,
        object.contrast.unwrap(),
    )
}

#[test]
fn fates_and_what_explains_them_agree_with_the_slow_transcription() {
    let cases = golden().cases;
    assert_eq!(cases.len(), 30);
    for case in cases {
        let (truth, prediction, ignore, light) = field(&case);
        let matching = Matching::new(&truth, &prediction, ignore.as_ref()).unwrap();
        let around = Surroundings {
            brightfield: Some(&light),
            kinds: None,
        };
        let judged = matching.judged(around).unwrap();
        let what = format!("{} {} {}", case.field, case.prediction, case.ignored);
        assert_eq!(judged.len(), case.objects.len(), "{what}");
        for (object, expected) in judged.iter().zip(&case.objects) {
            let expected: Row = serde_json::from_str(expected).unwrap();
            let got = row(object);
            assert_eq!(
                (got.0, got.1, &got.2, got.3, got.4, got.5),
                (
                    expected.0,
                    expected.1,
                    &expected.2,
                    expected.3,
                    expected.4,
                    expected.5
                ),
                "{what}"
            );
            // The script rounds to six digits.
            let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
            assert!(
                near(got.6, expected.6) && near(got.7, expected.7),
                "{what}: {got:?}"
            );
        }
    }
}

#[test]
fn the_best_shift_is_that_of_trying_all_and_undoes_the_injected_one() {
    for case in golden().cases {
        let (truth, prediction, ignore, _) = field(&case);
        let matching = Matching::new(&truth, &prediction, ignore.as_ref()).unwrap();
        let what = format!("{} {} {}", case.field, case.prediction, case.ignored);
        let best = matching.shift_overlaps().best();
        assert_eq!(best, shift(case.shift), "{what}");
        let [dy, dx] = case.moved;
        let off = (best.dy_px + dy).abs().max((best.dx_px + dx).abs());
        assert!(off <= 1, "{what}: {best:?}");
        let f1 = |prediction: &Image<u32>| {
            let matching = Matching::new(&truth, prediction, ignore.as_ref()).unwrap();
            matching.objects().at[0].f1()
        };
        assert!((f1(&prediction) - case.f1).abs() < 1e-12, "{what}");
        let shifted = f1(&moved(&prediction, best));
        assert!((shifted - case.f1_shifted).abs() < 1e-12, "{what}");
    }
}

fn by_name(row: &FateRow) -> BTreeMap<String, u64> {
    let some = row.fates.iter().filter(|(_, fate)| fate.n > 0);
    some.map(|(name, fate)| (name.to_owned(), fate.n)).collect()
}

#[test]
fn strata_are_those_of_all_fields_together() {
    let golden = golden();
    let shattered = |case: &&Case| case.prediction == "shattered" && !case.ignored;
    let fields: Vec<FieldScores> = golden
        .cases
        .iter()
        .filter(shattered)
        .map(|case| {
            let (truth, prediction, ..) = field(case);
            let matching = Matching::new(&truth, &prediction, None).unwrap();
            FieldScores {
                name: case.field.clone(),
                objects: Some(matching.objects()),
                judged: Some(matching.judged(Surroundings::default()).unwrap()),
                ..FieldScores::default()
            }
        })
        .collect();
    let scores = summarise(&fields, &[], &BootstrapOptions::default()).unwrap();
    let errors = scores.object_errors.unwrap();
    for (words, sides) in &golden.strata.by_words {
        let stratum = errors.strata.iter().find(|row| row.stratum == *words);
        let stratum = stratum.unwrap_or_else(|| panic!("{words}"));
        assert_eq!(by_name(&stratum.truth), sides["truth"], "{words}");
        let predicted = stratum.prediction.as_ref().unwrap();
        assert_eq!(by_name(predicted), sides["prediction"], "{words}");
    }
    let limits = |words: &str| {
        let stratum = errors.strata.iter().find(|row| row.stratum == words);
        stratum.map(|row| [row.above, row.up_to]).unwrap()
    };
    let [low, high] = golden.strata.limits.map(Some);
    assert_eq!(limits("small"), [None, low]);
    assert_eq!(limits("medium"), [low, high]);
    assert_eq!(limits("large"), [high, None]);
    // Without an image there is no contrast, without a table no kind.
    let by: Vec<&str> = errors.strata.iter().map(|row| row.by.as_str()).collect();
    assert!(!by.contains(&"contrast") && !by.contains(&"kind"));
    // What every field says of itself adds up to the whole.
    let own: u64 = scores
        .fields
        .iter()
        .map(|field| {
            *field
                .object_errors
                .as_ref()
                .unwrap()
                .truth
                .get("missed")
                .unwrap()
        })
        .sum();
    assert_eq!(errors.strata[0].truth.fates.get("missed").unwrap().n, own);
    let found = errors.strata[0].truth.fates.get("found").unwrap();
    let [low, high] = found.ci95.unwrap();
    assert!(low < found.share.unwrap() && found.share.unwrap() < high);
}
