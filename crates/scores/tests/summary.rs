//! From field counts to `scores.json`: keys, units, undefined values, differences of two models.

use stainfree_image::Image;
use stainfree_scores::{
    BootstrapOptions, Convention, FieldScores, Matching, PaperScores, Scores, UnitRule, compare,
    match_labels, pixel_counts, summarise,
};

fn classes() -> Vec<String> {
    ["background", "nucleus", "cytoplasm"]
        .map(str::to_owned)
        .to_vec()
}

/// A row of 20 pixels: `nucleus` of truth and `found` of prediction from the left, cytoplasm to 15.
fn field(name: &str, group: Option<&str>, nucleus: usize, found: usize) -> FieldScores {
    let row = |n: usize| Image::from_fn(1, 20, |_, x| if x < n { 1 } else { 2 * u8::from(x < 15) });
    let labels = |n: usize| Image::from_fn(1, 20, |_, x| u32::from(x < n));
    let pixels = pixel_counts(&row(nucleus), &row(found), 3).unwrap();
    FieldScores {
        name: name.to_owned(),
        group: group.map(str::to_owned),
        paper: Some(PaperScores::from(&pixels)),
        pixels: Some(pixels),
        objects: Some(match_labels(&labels(nucleus), &labels(found)).unwrap()),
        ..FieldScores::default()
    }
}

/// `n` wells of two fields each.
fn plate(wells: usize) -> Vec<FieldScores> {
    (0..2 * wells)
        .map(|i| {
            field(
                &format!("f{i}"),
                Some(&format!("W{}", i / 2)),
                6 + i % 3,
                4 + i % 5,
            )
        })
        .collect()
}

#[test]
fn pooled_and_mean_over_images_are_different_numbers() {
    // Nucleus: TP 2 of (8, 2) and 4 of (4, 4): pooled 2*6 / (12 + 6), mean (0.4 + 1) / 2.
    let fields = [field("a", None, 8, 2), field("b", None, 4, 4)];
    let scores = summarise(&fields, &classes(), &BootstrapOptions::default()).unwrap();
    let f1 = &scores.classes.get("nucleus").unwrap().f1;
    assert_eq!(f1.pooled, Some(12.0 / 18.0));
    assert_eq!(f1.mean_over_images, Some(0.7));
    let [low, high] = f1.ci95.unwrap();
    // Two units: half of the resamples repeat one field, so the interval reaches both.
    assert_eq!((low, high), (0.4, 1.0));
}

#[test]
fn a_prediction_of_nothing_true_scores_zero_without_a_sign() {
    let scores = summarise(
        &[field("a", None, 0, 4)],
        &classes(),
        &BootstrapOptions::default(),
    )
    .unwrap();
    let text = serde_json::to_string(&scores).unwrap();
    assert!(!text.contains("-0.0"), "{text}");
    let objects = scores.fields[0].objects.unwrap();
    assert_eq!((objects.truth, objects.prediction), (0, 1));
    assert_eq!(objects.pq, Some(0.0));
}

#[test]
fn fields_that_are_their_own_groups_are_called_fields() {
    let options = BootstrapOptions {
        group_name: "field".to_owned(),
        ..BootstrapOptions::default()
    };
    for n in [3, 12] {
        let fields: Vec<FieldScores> = (0..n)
            .map(|i| field(&format!("f{i}"), Some(&format!("f{i}")), 6, 5))
            .collect();
        let scores = summarise(&fields, &classes(), &options).unwrap();
        assert_eq!(scores.unit, "field");
        let note = &scores.intervals.note;
        let start = format!("intervals resample {n} fields: each is a group of its own");
        assert!(note.starts_with(&start), "{note}");
    }
}

#[test]
fn fields_carry_the_counts_that_others_pool() {
    let fields = [field("a", None, 8, 2), field("b", None, 4, 4)];
    let scores = summarise(&fields, &classes(), &BootstrapOptions::default()).unwrap();
    let json = serde_json::to_value(&scores.fields).unwrap();
    // Six pixels of nucleus are found as cytoplasm, to which 7 belong in truth.
    let counts = |class: &str| json[0]["pixels"][class].clone();
    assert_eq!(
        counts("nucleus"),
        serde_json::json!({"tp": 2, "fp": 0, "fn": 6})
    );
    assert_eq!(
        counts("cytoplasm"),
        serde_json::json!({"tp": 7, "fp": 6, "fn": 0})
    );
}

#[test]
fn the_json_has_the_promised_keys() {
    let scores = summarise(&plate(8), &classes(), &BootstrapOptions::default()).unwrap();
    let json = serde_json::to_value(&scores).unwrap();
    assert_eq!(
        (json["images"].as_u64(), json["groups"].as_u64()),
        (Some(16), Some(8))
    );
    for path in [
        "/classes/nucleus/f1/pooled",
        "/classes/nucleus/f1/mean_over_images",
        "/classes/nucleus/f1/ci95/1",
        "/classes/cytoplasm/iou/pooled",
        "/mean/f1/pooled",
        "/mean/iou/ci95/0",
        "/objects/f1_50/pooled",
        "/objects/f1_50/ci95/0",
        "/objects/mean_ap",
        "/objects/pq",
        "/objects/count_error",
        "/fields/3/classes/nucleus/f1",
        "/paper/mean/iou",
    ] {
        let value = json.pointer(path);
        assert!(
            value.is_some_and(serde_json::Value::is_number),
            "{path}: {value:?}"
        );
    }
    assert_eq!(json["unit"], "well");
    assert_eq!(json["convention"], "argmax");
    let back: Scores = serde_json::from_value(json).unwrap();
    assert_eq!(back.images, 16);
    assert_eq!(
        back.classes
            .0
            .iter()
            .map(|(n, _)| n.clone())
            .collect::<Vec<_>>(),
        classes()
    );
}

#[test]
fn with_fewer_than_eight_groups_fields_are_resampled_and_that_is_said() {
    let unit = |wells, rule| {
        let options = BootstrapOptions {
            unit: rule,
            ..Default::default()
        };
        let scores = summarise(&plate(wells), &classes(), &options).unwrap();
        (scores.unit, scores.intervals.units, scores.intervals.note)
    };
    let (name, units, note) = unit(7, UnitRule::Auto);
    assert_eq!((name.as_str(), units), ("field", 14));
    assert!(note.contains("only 7 wells, fewer than 8"), "{note}");
    assert_eq!(unit(8, UnitRule::Auto).0, "well");
    let (name, units, note) = unit(3, UnitRule::Group);
    assert_eq!((name.as_str(), units), ("well", 3));
    assert!(note.contains("too short"), "{note}");
}

#[test]
fn undefined_values_are_null_with_a_reason() {
    // No nucleus anywhere, one field: no class score, no objects, no interval.
    let scores = summarise(
        &[field("a", None, 0, 0)],
        &classes(),
        &BootstrapOptions::default(),
    )
    .unwrap();
    let json = serde_json::to_value(&scores).unwrap();
    let f1 = &json["classes"]["nucleus"]["f1"];
    assert!(f1["pooled"].is_null() && f1["ci95"].is_null() && f1["mean_over_images"].is_null());
    assert_eq!(f1["reason"], "`nucleus` is in neither truth nor prediction");
    assert_eq!(json["classes"]["background"]["f1"]["pooled"], 1.0);
    assert_eq!(
        json["classes"]["background"]["f1"]["reason"],
        "one unit has no interval"
    );
    assert!(json["objects"]["mean_ap"].is_null());
    assert_eq!(
        json["objects"]["reason"],
        "mean_ap: there is no object in truth or prediction; pq: there is no object in truth or \
         prediction; count_error: there is no truth object"
    );
    // The undefined class does not pull the mean down.
    assert_eq!(json["mean"]["f1"]["pooled"], 1.0);
}

#[test]
fn the_papers_convention_gives_absent_classes_one() {
    let options = BootstrapOptions {
        convention: Convention::Paper,
        ..Default::default()
    };
    let scores = summarise(&[field("a", None, 0, 0)], &classes(), &options).unwrap();
    assert_eq!(scores.classes.get("nucleus").unwrap().f1.pooled, Some(1.0));
    assert!(scores.accuracy.is_none());
}

#[test]
fn the_order_of_fields_and_the_seed_decide_nothing_but_the_resamples() {
    let fields = plate(9);
    let mut turned = fields.clone();
    turned.reverse();
    let options = BootstrapOptions::default();
    let a = summarise(&fields, &classes(), &options).unwrap();
    let b = summarise(&turned, &classes(), &options).unwrap();
    for ((_, a), (_, b)) in a.classes.iter().zip(b.classes.iter()) {
        assert_eq!((a.f1.pooled, a.f1.ci95), (b.f1.pooled, b.f1.ci95));
    }
    let mut seen: Vec<[f64; 2]> = Vec::new();
    for seed in 0..4 {
        let other = BootstrapOptions {
            seed,
            ..options.clone()
        };
        let c = summarise(&fields, &classes(), &other).unwrap();
        let f1 = c.mean.unwrap().f1;
        assert_eq!(a.mean.as_ref().unwrap().f1.pooled, f1.pooled);
        seen.push(f1.ci95.unwrap());
    }
    // The ends are quotients of small counts, so two seeds may meet by chance; four do not.
    assert!(seen.iter().any(|ci| ci != &seen[0]), "{seen:?}");
}

#[test]
fn a_small_steady_gain_is_seen_where_the_single_intervals_overlap() {
    // Fields differ widely; the second model finds one pixel more in each.
    let model = |more: usize| -> Vec<FieldScores> {
        (0..10)
            .map(|i| field(&format!("f{i}"), None, 12, 1 + i + more))
            .collect()
    };
    let (first, second) = (model(0), model(1));
    let options = BootstrapOptions::default();
    let rows = compare(&first, &second, &classes(), &options).unwrap();
    let nucleus = rows.iter().find(|row| row.name == "nucleus f1").unwrap();
    assert!(nucleus.ci95.unwrap()[0] > 0.0, "{nucleus:?}");
    let alone = |fields: &[FieldScores]| {
        let scores = summarise(fields, &classes(), &options).unwrap();
        scores.classes.get("nucleus").unwrap().f1.ci95.unwrap()
    };
    assert!(alone(&first)[1] > alone(&second)[0]);
    assert_eq!(rows.last().unwrap().name, "objects count_error");

    let error = compare(&first, &second[1..], &classes(), &options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "field `f0` was scored for one model only"
    );
}

#[test]
fn fields_counted_with_other_classes_are_refused() {
    let two = classes()[..2].to_vec();
    let error = summarise(&plate(1), &two, &BootstrapOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "field `f0` was counted with 3 classes, but 2 are named (background, nucleus)"
    );
}

/// Two joined pairs and a single in each field; `found` of the pairs are told apart.
fn splitting(name: &str, group: &str, found: usize) -> FieldScores {
    let truth = Image::new(1, 16, vec![1, 1, 2, 2, 0, 0, 0, 3, 3, 4, 4, 0, 0, 0, 5, 5]);
    let prediction = truth.map(|&label| match label {
        2 if found < 1 => 1,
        4 if found < 2 => 3,
        label => label,
    });
    let matching = Matching::new(&truth, &prediction, None).unwrap();
    FieldScores {
        name: name.to_owned(),
        group: Some(group.to_owned()),
        splitting: Some(matching.splitting(None)),
        ..FieldScores::default()
    }
}

#[test]
fn splitting_rates_are_pooled_with_intervals_and_reasons() {
    let fields: Vec<FieldScores> = (0..12)
        .map(|i| splitting(&format!("f{i}"), &format!("W{i}"), i % 3))
        .collect();
    let scores = summarise(&fields, &[], &BootstrapOptions::default()).unwrap();
    let json = serde_json::to_value(&scores).unwrap();
    let splitting = &json["splitting"];
    assert_eq!(splitting["singles"]["n"], 12);
    assert_eq!(splitting["singles"]["resolved"], 1.0);
    assert_eq!(splitting["clusters"]["2"]["n"], 24);
    assert_eq!(splitting["clusters"]["2"]["resolved"], 0.5);
    assert_eq!(
        splitting["clusters"]["4+"]["resolved"],
        serde_json::Value::Null
    );
    assert_eq!(
        splitting["clusters"]["4+"]["reason"],
        "the truth has no cluster of this size"
    );
    assert_eq!(splitting["pairs"]["missed"], 12);
    assert_eq!(splitting["cut_recall"]["pooled"], 0.5);
    assert_eq!(splitting["cut_precision"]["pooled"], 1.0);
    let [low, high] = scores.splitting.as_ref().unwrap().cut_recall.ci95.unwrap();
    // Twelve units with 0, 1 or 2 of 2 found: the mean's standard error is 0.118.
    assert!(
        (low - 0.27).abs() < 0.05 && (high - 0.73).abs() < 0.05,
        "{low} {high}"
    );
    assert_eq!(
        splitting["cut_line_distance_um"]["reason"],
        "no joined pair with a cut line was found in a field of known pixel size"
    );
    let back: Scores = serde_json::from_value(json).unwrap();
    assert_eq!(back, scores);
}
