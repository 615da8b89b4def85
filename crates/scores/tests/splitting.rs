//! Splitting scores of real fields against a slow transcription of their definitions;
//! `testdata/scores/make_splitting.py` made pictures and numbers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use stainfree_image::{Image, read_labels};
use stainfree_scores::{Matching, Resolved, SplittingCounts};

#[derive(Deserialize)]
struct Case {
    field: String,
    prediction: String,
    nuclei: u64,
    /// Singles and clusters by size; `5` is 5 or more.
    sizes: BTreeMap<String, Resolved>,
    pairs: u64,
    found: u64,
    missed: u64,
    false_cuts: u64,
    lines: u64,
    without_line: u64,
    line_px: f64,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/scores")
}

fn labels(name: &str) -> Image<u32> {
    read_labels(&folder().join("splitting").join(format!("{name}.png"))).unwrap()
}

#[test]
fn splitting_of_real_fields_agrees_with_the_slow_transcription() {
    let text = std::fs::read_to_string(folder().join("splitting.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    assert_eq!(cases.len(), 20);
    for case in cases {
        let truth = labels(&case.field);
        let prediction = match case.prediction.as_str() {
            "truth" => truth.clone(),
            how => labels(&format!("{}_{how}", case.field)),
        };
        let counts: SplittingCounts = Matching::new(&truth, &prediction, None)
            .unwrap()
            .splitting(Some(0.65));
        let what = format!("{} {}", case.field, case.prediction);
        let size = |n: usize| case.sizes.get(&n.to_string()).copied().unwrap_or_default();
        assert_eq!(counts.singles, size(1), "{what}");
        assert_eq!(counts.clusters, [2, 3, 4, 5].map(size), "{what}");
        let expected = [
            case.nuclei,
            case.pairs,
            case.found,
            case.missed,
            case.false_cuts,
            case.lines,
            case.without_line,
        ];
        let got = [
            counts.nuclei,
            counts.pairs,
            counts.found,
            counts.missed,
            counts.false_cuts,
            counts.lines,
            counts.without_line,
        ];
        assert_eq!(got, expected, "{what}");
        // The same squared distances in another order of summation.
        assert!(
            (counts.line_px - case.line_px).abs() < 1e-9,
            "{what}: {} {}",
            counts.line_px,
            case.line_px
        );
        assert!(
            (counts.line_um - 0.65 * case.line_px).abs() < 1e-9,
            "{what}"
        );
    }
}
