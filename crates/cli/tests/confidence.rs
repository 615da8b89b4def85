//! How sure nuclei are: from a model's folder into every result.

mod common;

use common::confidence::{MODEL, give_confidence, number, rows};
use common::{Place, TINY, parallel_folders};
use stainfree_image::read_plane;
use stainfree_inference::read_rule;

/// A study with a model of a few steps, which finds something everywhere.
fn trained() -> Place {
    let place = Place::new();
    parallel_folders(&place, 4);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    let path = place.path("study/stainfree.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let head = "[training.change]\n";
    let config = config.replacen(head, &format!("{head}outputs = [\"distance\"]\n"), 1);
    std::fs::write(&path, config).unwrap();
    let run = place.ok(&[&["train", "study"], &TINY[..]].concat());
    // A network of four steps is right nowhere, or finds nothing.
    assert!(
        run.stderr.contains("nuclei have no confidence"),
        "{}",
        run.stderr
    );
    assert!(!place.path(MODEL).join("confidence.toml").exists());
    let run = place.ok(&["tune", "study"]);
    assert!(
        run.stdout.contains("nuclei have no confidence"),
        "{}",
        run.stdout
    );
    let rule = place.path(MODEL).join("nuclei.toml");
    let text = place.text(&format!("{MODEL}/nuclei.toml"));
    let mut rule_of_file = read_rule(&rule).unwrap();
    rule_of_file.threshold = Some(0.0);
    rule_of_file.least_distance = 0.0;
    let (head, rest) = text.split_once("[rule]\n").unwrap();
    let rest = &rest[rest.find("[chosen]").unwrap()..];
    let table = format!("[rule]\n{}", toml_of(&rule_of_file));
    std::fs::write(&rule, format!("{head}{table}{rest}")).unwrap();
    place
}

/// The keys of a rule, its tables below it.
fn toml_of(rule: &stainfree_objects::NucleusRule) -> String {
    format!(
        "threshold = {:?}\nsmoothing_um = 0.0\nmax_hole_um2 = 75.0\nmin_area_um2 = 12.0\n\
         min_area_px = 30\nleast_distance = {:?}\n\n[rule.splitting]\nmethod = \"distance\"\n\
         smoothing_um = 1.0\ndepth_um = 0.5\n\n",
        rule.threshold.unwrap_or(0.0),
        rule.least_distance
    )
}

#[test]
fn a_confidence_goes_from_the_model_into_tables_maps_outlines_and_scores() {
    let place = trained();
    let predict = |out: &str, more: &[&str]| {
        let args = ["predict", MODEL, "images", "--out", out];
        place.run(&[&args[..], more].concat())
    };
    let without = predict("without", &["--confidence-map"]);
    assert_eq!(without.code, 2, "{}", without.stderr);
    assert!(
        without.stderr.contains("stainfree tune"),
        "{}",
        without.stderr
    );
    let confidence = give_confidence(&place, &[("area", -0.125)]);
    let asked = ["--confidence-map", "--also", "geojson"];
    let run = predict("result", &asked);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let table = place.text("result/predictions.csv");
    let fields = rows(&table);
    assert!(!fields.is_empty());
    for field in &fields {
        let name = &field["name"];
        let nuclei = rows(&place.text(&format!("result/confidence/{name}.csv")));
        assert_eq!(nuclei.len() as f64, number(field, "nuclei"));
        assert!(!nuclei.is_empty(), "the rule finds something in `{name}`");
        let [mut sum, mut areas] = [0.0; 2];
        for nucleus in &nuclei {
            let logit = 0.25 - 0.125 * (number(nucleus, "area_px") / 300.0).ln();
            let expected = 1.0 / (1.0 + (-logit).exp());
            let found = number(nucleus, "confidence");
            // Four decimals are written.
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
            sum += expected;
            areas += expected * number(nucleus, "area_px");
        }
        let expected = number(field, "expected_nuclei");
        assert!((expected - 1.5 * sum).abs() < 1e-3, "{expected} {sum}");
        let [low, high] = ["nuclei_low", "nuclei_high"].map(|column| number(field, column));
        assert!(
            low <= expected && expected < high,
            "{low} {expected} {high}"
        );
        assert_eq!(number(field, "interval_level"), 0.8);
        let area = number(field, "expected_nuclear_area");
        assert!((area - 1.25 * areas).abs() < 1e-2, "{area} {areas}");
        let mean = number(field, "expected_mean_area");
        assert!((mean - 0.75 * areas / sum).abs() < 1e-2, "{mean}");
        let [low, high] = ["mean_area_low", "mean_area_high"].map(|end| number(field, end));
        assert!(low < mean && mean < high, "{low} {mean} {high}");
        assert_eq!(field["area_unit"], "px2");
        assert_eq!(field["expected_cytoplasm_area"], "");
        assert!(field["options"].contains(&confidence.word()), "{field:?}");
        let map = place.path(&format!("result/confidence_map/{name}.tif"));
        let map = read_plane(&map, 0).unwrap().to_f32();
        let most = map.data().iter().copied().fold(0.0, f32::max);
        let sure = nuclei.iter().map(|nucleus| number(nucleus, "confidence"));
        assert!((f64::from(most) - sure.fold(0.0, f64::max)).abs() < 1e-4);
        let outlines = place.text(&format!("result/qupath/{name}.geojson"));
        assert_eq!(outlines.matches("Confidence\":").count(), nuclei.len());
    }
    // The same again is done; without the confidence it is another result.
    let again = predict("result", &asked);
    assert!(again.stdout.contains("0 fields done"), "{}", again.stdout);
    place.ok(&[
        "measure",
        "result",
        "--images",
        "images",
        "--out",
        "nuclei.csv",
    ]);
    let measured = rows(&place.text("nuclei.csv"));
    assert!(
        measured
            .iter()
            .all(|row| (0.0..1.0).contains(&number(row, "confidence")))
    );
    let run = place.ok(&["evaluate", "study", "--json", "-"]);
    let scores: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let sure = &scores["confidence"];
    assert_eq!(sure["objects"], scores["objects"]["prediction"]);
    let count = &sure["fields"][0];
    assert_eq!(count["level"], 0.8);
    assert!(count["expected"].as_f64().unwrap() > 0.0, "{count}");
    let area = &sure["areas"][0];
    assert_eq!(
        (&area["of"], &area["unit"]),
        (&"all nuclei".into(), &"px2".into())
    );
    assert!(area["truth"].as_f64().unwrap() > 0.0, "{area}");
    let shown = place.ok(&["evaluate", "study"]).stdout;
    assert!(shown.contains("wrong ones told (AUROC)"), "{shown}");
    assert!(shown.contains("area of a nucleus on average"), "{shown}");
    std::fs::remove_file(place.path(MODEL).join("confidence.toml")).unwrap();
    let other = predict("result", &["--also", "geojson"]);
    assert_eq!(other.code, 1, "{}", other.stderr);
    let none = predict("none", &[]);
    assert_eq!(none.code, 0, "{}", none.stderr);
    assert!(!place.path("none/confidence").exists());
    assert_eq!(
        rows(&place.text("none/predictions.csv"))[0]["expected_nuclei"],
        ""
    );
}

#[test]
fn a_confidence_of_another_rule_is_not_used_and_a_damaged_one_is_named() {
    let place = trained();
    let predict = |out: &str, more: &[&str]| {
        let args = ["predict", MODEL, "images", "--out", out];
        place.run(&[&args[..], more].concat())
    };
    give_confidence(&place, &[("area", -0.125)]);
    let other = predict("default", &["--rule", "default"]);
    assert_eq!(other.code, 0, "{}", other.stderr);
    assert!(!place.path("default/confidence").exists());
    std::fs::remove_file(place.path(MODEL).join("nuclei.toml")).unwrap();
    let run = predict("another", &[]);
    assert!(run.stderr.contains("another rule"), "{}", run.stderr);
    assert!(!place.path("another/confidence").exists());
    let path = place.path(MODEL).join("confidence.toml");
    std::fs::write(&path, "weights = 1\n").unwrap();
    let run = predict("damaged", &[]);
    assert_eq!(run.code, 1);
    let last = run.stderr.lines().last().unwrap_or_default();
    assert!(
        last.contains("confidence.toml") && last.contains("stainfree tune"),
        "{last}"
    );
}
