//! Probabilities that are written as they hold, while classes and nuclei stay.

mod common;

use common::confidence::{MODEL, rows};
use common::{Place, trained_study};
use stainfree_image::{Image, read_plane};
use stainfree_inference::probabilities::{PixelsChecked, Temperature};
use stainfree_inference::{Options, Predictor, Temperatures};
use stainfree_network::Machine;

/// Gives the model of a study these temperatures, as `tune` would.
fn give_temperatures(place: &Place, of: [f64; 2]) -> Temperatures {
    let folder = place.path(MODEL);
    let predictor = Predictor::open(&folder, &Machine::new(1), &Options::default()).unwrap();
    let classes = predictor.info().classes.iter().zip(of);
    let given = Temperatures {
        program: "stainfree".to_owned(),
        model: predictor.hash().to_owned(),
        checked: PixelsChecked::default(),
        classes: classes
            .map(|(class, temperature)| Temperature {
                class: class.clone(),
                temperature,
            })
            .collect(),
    };
    given.write(&folder).unwrap();
    given
}

fn planes(place: &Place, out: &str) -> Vec<Image<f32>> {
    let path = place.path(&format!("{out}/probabilities/f0.tif"));
    let plane = |page| read_plane(&path, page).unwrap().to_f32();
    (0..2).map(plane).collect()
}

#[test]
fn temperatures_change_probabilities_and_nothing_else() {
    let place = trained_study(6);
    let path = place.path(MODEL).join("probabilities.toml");
    let _ = std::fs::remove_file(&path);
    let predict = |out: &str, more: &[&str]| {
        let fixed = ["predict", "study", "images", "--out", out];
        place.ok(&[&fixed[..], more].concat())
    };
    predict("before", &["--probabilities"]);
    predict("without", &[]);
    let given = give_temperatures(&place, [3.0, 1.5]);
    predict("after", &["--probabilities"]);
    let as_said = planes(&place, "before");
    let mut expected = as_said.clone();
    given.apply(&mut expected);
    let after = planes(&place, "after");
    assert_ne!(after, as_said);
    assert_eq!(after, expected);
    for file in ["classes/f0.tif", "nuclei/f0.tif"] {
        let [a, b] = ["before", "after"]
            .map(|out| read_plane(&place.path(&format!("{out}/{file}")), 0).unwrap());
        assert_eq!(a, b, "{file}");
    }
    let table = rows(&place.text("after/predictions.csv"));
    let word = format!("temperatures:{}", given.word());
    assert!(table[0]["options"].contains(&word), "{:?}", table[0]);
    // Without probabilities there is nothing to do again, and nor is there for these.
    for (out, more) in [
        ("without", &[][..]),
        ("after", &["--probabilities"]),
        ("after", &[]),
    ] {
        let again = predict(out, more);
        assert!(
            again.stdout.contains("0 fields done"),
            "{out}: {}",
            again.stdout
        );
    }
    // Those that were written before the model had temperatures are written anew.
    let again = predict("before", &["--probabilities"]);
    assert!(again.stdout.contains("6 fields done"), "{}", again.stdout);
    assert_eq!(planes(&place, "before"), after);
    // Both calibration errors are told.
    let run = place.ok(&["evaluate", "study", "--json", "-"]);
    let scores: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let ece = |of: &str| scores[of]["ece"]["pooled"].as_f64();
    assert!(ece("calibrated").is_some() && ece("calibrated") != ece("calibration"));
    let shown = place.ok(&["evaluate", "study"]).stdout;
    assert!(shown.contains("ECE as written"), "{shown}");
    // Those of another model are not used, which is said; a damaged file is named.
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(&given.model, "other")).unwrap();
    let run = predict("other", &["--probabilities"]);
    assert!(
        run.stderr.contains("fitted for another model"),
        "{}",
        run.stderr
    );
    assert_eq!(planes(&place, "other"), as_said);
    std::fs::write(&path, text.replace("3.0", "-3.0")).unwrap();
    let run = place.run(&["predict", "study", "images", "--out", "damaged"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("out of range"), "{}", run.stderr);
}
