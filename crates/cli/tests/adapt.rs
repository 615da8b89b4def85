//! Models whose batch norms are measured anew on other images, and what they leave as it was.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::confidence::{MODEL, give_confidence};
use common::{Place, noise, trained_study};

/// Names and bytes of everything in a folder.
fn bytes_of(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

fn classes(place: &Place, out: &str) -> Vec<u8> {
    let path = place.path(&format!("{out}/classes/n0.tif"));
    let mask = stainfree_image::read_class_mask(&path).unwrap();
    mask.data().to_vec()
}

#[test]
fn a_model_is_adapted_beside_the_old_one_which_stays_as_it_was() {
    let place = trained_study(8);
    noise(&place, 3);
    place.ok(&["tune", "study"]);
    give_confidence(&place, &[("area", -0.125)]);
    let before = bytes_of(&place.path(MODEL));
    let run = place.ok(&[
        "adapt",
        "study",
        "noise",
        "--fields",
        "n0,n2",
        "--out",
        "study/models/other",
        "--json",
        "said.json",
    ]);
    assert!(run.stdout.contains("2 fields"), "{}", run.stdout);
    assert_eq!(bytes_of(&place.path(MODEL)), before);
    let said: serde_json::Value = serde_json::from_str(&place.text("said.json")).unwrap();
    assert_eq!(said["fields"], serde_json::json!(["n0", "n2"]));
    assert!(said["moved"].as_f64().unwrap() > 0.0, "{said}");
    let info = place.text("study/models/other/model.toml");
    let from = said["from"].as_str().unwrap();
    assert!(info.contains("[adapted]") && info.contains(from), "{info}");
    let record = place.text("study/models/other/provenance.json");
    let fields = record.matches("\"role\": \"train\"").count();
    let of_old = place.text(&format!("{MODEL}/provenance.json"));
    assert_eq!(fields, of_old.matches("\"role\": \"train\"").count());
    assert!(record.contains(&format!("model model {from}")), "{record}");
    // The rule goes along; what was found out of the old network does not.
    let there = bytes_of(&place.path("study/models/other"));
    assert!(there.contains_key("nuclei.toml") && !there.contains_key("confidence.toml"));
    assert!(!there.contains_key("probabilities.toml"));
    let kept = place.text("study/models/other/familiar.toml");
    assert!(
        kept.contains("\"noise\"") && !kept.contains("\"doubt\""),
        "{kept}"
    );
    let old = place.ok(&[
        "predict", "study", "--model", "model", "noise", "--out", "old",
    ]);
    assert!(old.stderr.contains("`stainfree adapt`"), "{}", old.stderr);
    let new = place.ok(&[
        "predict", "study", "--model", "other", "noise", "--out", "new",
    ]);
    assert!(new.stderr.contains("unlike what"), "{}", new.stderr);
    assert!(!new.stderr.contains("`stainfree adapt`"), "{}", new.stderr);
    assert!(!new.stderr.contains("is not used"), "{}", new.stderr);
    assert_ne!(classes(&place, "old"), classes(&place, "new"));
    // Its test is the old one's.
    let scores = place.ok(&["evaluate", "study", "--model", "other", "--json", "-"]);
    assert!(
        scores.stdout.contains("\"standing\": \"test\""),
        "{}",
        scores.stdout
    );
    // The same again is the same model; another is not replaced unasked.
    let there = bytes_of(&place.path("study/models/other"));
    let again = |more: &[&str]| {
        let fixed = ["adapt", MODEL, "noise", "--out", "study/models/other"];
        place.run(&[&fixed[..], more].concat())
    };
    assert_eq!(again(&["--fields", "n0,n2"]).code, 0);
    assert_eq!(bytes_of(&place.path("study/models/other")), there);
    let refused = again(&[]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("--overwrite"), "{}", refused.stderr);
    assert_eq!(again(&["--overwrite", "--share", "1"]).code, 0);
    assert_ne!(bytes_of(&place.path("study/models/other")), there);
}

#[test]
fn what_cannot_be_adapted_is_named_and_nothing_is_left() {
    let place = trained_study(4);
    noise(&place, 2);
    let fails = |args: &[&str], words: &[&str]| {
        let fixed = ["adapt", "study", "noise"];
        let run = place.run(&[&fixed[..], args].concat());
        assert_ne!(run.code, 0, "{args:?}");
        for word in words {
            assert!(run.stderr.contains(word), "{args:?}: {}", run.stderr);
        }
        assert!(!place.path("new").exists(), "{args:?}");
    };
    fails(&["--out", "new", "--share", "0"], &["`--share 0`"]);
    fails(&["--out", "new", "--fields", "n7"], &["`n7`", "`n0`, `n1`"]);
    fails(
        &["--out", "new", "--wells", "B02"],
        &["`B02`", "know no wells"],
    );
    fails(&["--out", MODEL], &["stays as it is", "--out"]);
    fails(&["--out", "images"], &["images"]);
    let run = place.run(&["adapt", "study", "nowhere", "--out", "new"]);
    assert!(
        run.code != 0 && run.stderr.contains("nowhere"),
        "{}",
        run.stderr
    );
    assert!(!place.path("new").exists());
}
