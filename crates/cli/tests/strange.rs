//! Fields unlike the training: what is kept beside a model, what `predict` says and marks, and
//! models that know nothing.

mod common;

use common::{Place, TINY, noise, trained_study};

const KEPT: &str = "study/models/model/familiar.toml";
const KNOWS_NOTHING: &str = "this model does not know what its training looked like";

/// The cells of a column of `predictions.csv` in `out`.
fn column(place: &Place, out: &str, name: &str) -> Vec<String> {
    let text = place.text(&format!("{out}/predictions.csv"));
    let mut rows = csv_rows(&text);
    let head = rows.remove(0);
    let at = head.iter().position(|cell| cell == name).unwrap();
    rows.into_iter().map(|row| row[at].clone()).collect()
}

/// Rows of a table of which no cell has a comma.
fn csv_rows(text: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| line.split(',').map(str::to_owned).collect();
    text.lines().map(cells).collect()
}

#[test]
fn noise_is_told_from_what_was_trained_on() {
    let place = trained_study(8);
    noise(&place, 4);
    let predict = |input: &str, out: &str| {
        place.ok(&[
            "predict",
            "study",
            input,
            "--out",
            out,
            "--json",
            &format!("{out}.json"),
        ])
    };
    let own = predict("images", "own");
    assert!(!own.stderr.contains("unlike"), "{}", own.stderr);
    assert_eq!(column(&place, "own", "strange"), ["no"; 8]);
    let other = predict("noise", "other");
    let said = other.stderr.lines().find(|line| line.contains("unlike"));
    let said = said.unwrap_or_else(|| panic!("{}", other.stderr));
    for words in [
        "4 of 4 fields",
        "strangeness",
        "by a factor of",
        "does not hold there",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(column(&place, "other", "strange"), ["yes"; 4]);
    let unlike = column(&place, "other", "unlike");
    assert!(unlike.iter().all(|words| !words.is_empty()), "{unlike:?}");
    let json = place.text("other.json");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let plate = &json["strange"]["plates"][0];
    assert_eq!(
        (&plate["fields"], &plate["strange"]),
        (&4.into(), &true.into())
    );
    assert!(plate["strangeness"].as_f64().unwrap() > 1.0, "{plate}");
    assert!(plate["differences"][0]["feature"].is_string(), "{plate}");
    // What is done already keeps its marks.
    let again = place.ok(&["predict", "study", "noise", "--out", "other"]);
    assert!(again.stdout.contains("0 fields done"), "{}", again.stdout);
    assert_eq!(column(&place, "other", "strange"), ["yes"; 4]);
}

#[test]
fn what_a_training_looks_like_is_kept_once_and_made_again_by_tune() {
    let place = trained_study(8);
    let kept = place.text(KEPT);
    assert_eq!(kept.matches("[[fields]]").count(), 7, "{kept}");
    let weights = || std::fs::read(place.path("study/models/model/weights.safetensors")).unwrap();
    let before = weights();
    std::fs::remove_file(place.path(KEPT)).unwrap();
    place.ok(&["tune", "study"]);
    // `tune` may have chosen a rule, by which nuclei are counted.
    let by_tune = place.text(KEPT);
    assert_eq!(by_tune.matches("[[fields]]").count(), 7);
    std::fs::remove_file(place.path("study/models/model/nuclei.toml")).unwrap();
    std::fs::remove_file(place.path(KEPT)).unwrap();
    place.ok(&[&["train", "study"], &TINY[..]].concat());
    assert_eq!(place.text(KEPT), kept);
    assert!(before == weights());
}

#[test]
fn a_model_that_knows_nothing_says_so_and_predicts() {
    let place = trained_study(8);
    let predict = |out: &str| {
        let run = place.ok(&["predict", "study", "images", "--out", out]);
        assert_eq!(column(&place, out, "strange"), [""; 8]);
        assert_eq!(column(&place, out, "strangeness"), [""; 8]);
        run.stderr
    };
    let kept = place.text(KEPT);
    let model = kept.lines().find(|line| line.starts_with("model = "));
    // Of another model, damaged, of too few fields, and not there.
    let other = kept.replacen(model.unwrap(), "model = \"0123\"", 1);
    std::fs::write(place.path(KEPT), other).unwrap();
    let said = predict("other");
    assert!(
        said.contains(KNOWS_NOTHING) && said.contains("stainfree tune"),
        "{said}"
    );
    std::fs::write(place.path(KEPT), &kept[..kept.len() - 20]).unwrap();
    let said = predict("damaged");
    assert!(said.contains("familiar.toml` is damaged"), "{said}");
    let few: Vec<&str> = kept.split("[[fields]]").take(4).collect();
    std::fs::write(place.path(KEPT), few.join("[[fields]]")).unwrap();
    let said = predict("few");
    assert!(said.contains("3 fields, too few"), "{said}");
    std::fs::remove_file(place.path(KEPT)).unwrap();
    assert!(predict("none").contains(KNOWS_NOTHING));
}
