//! How nuclei are made: chosen for a model, kept beside it, passed over or
//! replaced where that is asked for.

mod common;

use std::path::Path;

use common::{Place, TINY, parallel_folders};
use stainfree_image::read_labels;

const RULE: &str = "study/models/model/nuclei.toml";

/// A study with a model of a few steps.
fn trained() -> Place {
    trained_with("outputs = []\n")
}

/// With these lines in `[training.change]`.
fn trained_with(change: &str) -> Place {
    let place = Place::new();
    parallel_folders(&place, 4);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    let path = place.path("study/stainfree.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let head = "[training.change]\n";
    std::fs::write(&path, config.replacen(head, &format!("{head}{change}"), 1)).unwrap();
    place.ok(&[&["train", "study"], &TINY[..]].concat());
    // One field validates: too few to choose unasked.
    assert!(!place.path(RULE).exists());
    place.ok(&["tune", "study"]);
    place
}

fn number(text: &str, table: &str, key: &str) -> f64 {
    let table = text.split(&format!("[{table}]\n")).nth(1).unwrap();
    let line = table
        .lines()
        .find(|line| line.starts_with(&format!("{key} = ")));
    let value = line.unwrap().split(" = ").nth(1).unwrap();
    value.parse().unwrap()
}

fn nuclei(place: &Place, folder: &str) -> usize {
    let folder = place.path(folder).join("nuclei");
    let files = std::fs::read_dir(folder).unwrap();
    let most = |path: &Path| read_labels(path).unwrap().data().iter().copied().max();
    files
        .map(|file| most(&file.unwrap().path()).unwrap_or(0) as usize)
        .sum()
}

#[test]
fn a_rule_is_never_worse_than_the_default_on_its_fields_and_changes_no_model() {
    let place = trained();
    let text = place.text(RULE);
    assert!(
        number(&text, "chosen", "score") >= number(&text, "default", "score"),
        "{text}"
    );
    assert!(text.contains("decision = \"threshold\""), "{text}");
    // A training given again keeps it; lost, it is chosen again.
    let weights = || std::fs::read(place.path("study/models/model/weights.safetensors")).unwrap();
    let before = weights();
    place.ok(&[&["train", "study"], &TINY[..]].concat());
    assert_eq!(place.text(RULE), text);
    std::fs::remove_file(place.path(RULE)).unwrap();
    place.ok(&["tune", "study"]);
    assert_eq!(place.text(RULE), text);
    assert!(before == weights());
}

#[test]
fn predictions_follow_the_rule_and_tell_one_rule_from_another() {
    let place = trained();
    let predict = |out: &str, more: &[&str]| {
        let args = ["predict", "study/models/model", "images", "--out", out];
        place.run(&[&args[..], more].concat())
    };
    // A threshold that no pixel reaches.
    let text = place.text(RULE);
    let first = text.lines().find(|line| line.starts_with("threshold = "));
    let never = match first {
        Some(line) => text.replacen(line, "threshold = 0.9999", 1),
        None => text.replacen("[rule]\n", "[rule]\nthreshold = 0.9999\n", 1),
    };
    std::fs::write(place.path(RULE), &never).unwrap();
    assert_eq!(predict("never", &[]).code, 0);
    assert_eq!(nuclei(&place, "never"), 0);
    // The same again is done already; by another rule it is another result.
    let again = predict("never", &[]);
    assert!(again.stdout.contains("0 fields done"), "{}", again.stdout);
    let other = predict("never", &["--rule", "default"]);
    assert_eq!(other.code, 1, "{}", other.stderr);
    assert!(other.stderr.contains("--overwrite"), "{}", other.stderr);
    assert_eq!(predict("default", &["--rule", "default"]).code, 0);
    std::fs::remove_file(place.path(RULE)).unwrap();
    assert_eq!(predict("without", &[]).code, 0);
    assert_eq!(nuclei(&place, "default"), nuclei(&place, "without"));
    // A rule of a file is taken whosever it is.
    std::fs::write(place.path("mine.toml"), "[rule]\nthreshold = 0.9999\n").unwrap();
    assert_eq!(predict("mine", &["--rule", "mine.toml"]).code, 0);
    assert_eq!(nuclei(&place, "mine"), 0);
}

#[test]
fn a_rule_that_cannot_be_used_is_named() {
    let place = trained();
    let text = place.text(RULE);
    let fails = |text: &str, words: &str| {
        std::fs::write(place.path(RULE), text).unwrap();
        let args = ["predict", "study/models/model", "images", "--out", "result"];
        let run = place.run(&args);
        assert_eq!(run.code, 1, "{}", run.stderr);
        let last = run.stderr.lines().last().unwrap_or_default();
        for words in [words, "nuclei.toml", "stainfree tune"] {
            assert!(last.contains(words), "{last}");
        }
    };
    // A training given again leaves what a person has mistyped.
    let mistyped = text.replacen("[rule]", "[rule]\nsplit = 3", 1);
    std::fs::write(place.path(RULE), &mistyped).unwrap();
    let run = place.ok(&[&["train", "study"], &TINY[..]].concat());
    assert!(
        run.stderr.contains("unknown field `split`"),
        "{}",
        run.stderr
    );
    assert_eq!(place.text(RULE), mistyped);
    let hash = text.lines().find(|line| line.starts_with("model = "));
    let other = text.replacen(hash.unwrap(), "model = \"0123\"", 1);
    std::fs::write(place.path(RULE), other).unwrap();
    let run = place.ok(&["predict", "study/models/model", "images", "--out", "other"]);
    let sentence = "was chosen for another model and is not used";
    assert!(run.stderr.contains(sentence), "{}", run.stderr);
    fails(
        &text.replacen("min_area_um2 = ", "min_area_um2 = -", 1),
        "`min_area_um2`",
    );
    fails(
        &text.replacen("[rule]", "[rule]\nsplit = 3", 1),
        "unknown field `split`",
    );
    let run = place.run(&[
        "predict",
        "study",
        "images",
        "--out",
        "r",
        "--rule",
        "none.toml",
    ]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(
        run.stderr.contains("`--rule none.toml` is neither"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_training_with_outputs_that_know_objects_counts_whole_nuclei_and_parts_by_them() {
    let place = Place::new();
    parallel_folders(&place, 4);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    let path = place.path("study/stainfree.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let change = "[training.change]\nselection = \"objects\"\n\
                  outputs = [\"distance\", \"neighbour\", \"flow\"]\n";
    std::fs::write(&path, config.replacen("[training.change]\n", change, 1)).unwrap();
    let run = place.ok(&[&["train", "study"], &TINY[..]].concat());
    assert!(run.stderr.contains(", whole nuclei "), "{}", run.stderr);
    let log = place.text("study/models/model/log.jsonl");
    let validation: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| line["what"] == "validation")
        .collect();
    assert!(!validation.is_empty());
    for line in &validation {
        let objects = line["object_f1"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&objects), "{line}");
        for output in ["distance", "neighbour", "flow"] {
            assert!(line["errors"][output].as_f64().is_some(), "{line}");
        }
    }
    // What is kept was chosen by both.
    let model = place.text("study/models/model/model.toml");
    let kept = model
        .lines()
        .find(|line| line.starts_with("chosen_value = "));
    let kept: f64 = kept.unwrap().split(" = ").nth(1).unwrap().parse().unwrap();
    let both = |line: &serde_json::Value| {
        (line["mean_f1"].as_f64().unwrap() + line["object_f1"].as_f64().unwrap()) / 2.0
    };
    let best = validation.iter().map(both).fold(f64::MIN, f64::max);
    assert!((kept - best).abs() < 1e-9, "{kept} {best}");
    // Every way of parting that the network serves can be asked for.
    for splitting in ["learned", "flow", "distance"] {
        let rule = format!("[rule]\nthreshold = 0.1\nsplitting = {{ method = \"{splitting}\" }}\n");
        std::fs::write(place.path("rule.toml"), rule).unwrap();
        let args = [
            "predict",
            "study",
            "images",
            "--out",
            splitting,
            "--rule",
            "rule.toml",
        ];
        place.ok(&args);
        assert!(nuclei(&place, splitting) > 0, "{splitting}");
    }
    // A network without them cannot.
    let plain = trained();
    let rule = "[rule]\nsplitting = { method = \"flow\" }\n";
    std::fs::write(plain.path("rule.toml"), rule).unwrap();
    let run = plain.run(&[
        "predict",
        "study",
        "images",
        "--out",
        "r",
        "--rule",
        "rule.toml",
    ]);
    assert!(
        run.stderr.contains("`flow` reads the flow of a prediction"),
        "{}",
        run.stderr
    );
}
