//! Truth that lies off the brightfield, from finding it to moving it back.

mod common;

use std::path::Path;

use common::Place;
use stainfree_image::{read_labels, write};
use stainfree_objects::move_back_nearest;

const FIELDS: [&str; 4] = ["B02_s1", "B02_s2", "B03_s1", "B03_s2"];

/// A plate in `sim`, and a study of it whose labels, in `labels`, lie off by (6, -4) pixels, each
/// field having those of the field that `of` says.
fn study(place: &Place, of: impl Fn(usize) -> usize) {
    place.ok(&[
        "simulate", "--out", "sim", "--wells", "2", "--sites", "2", "--side", "400", "--planes",
        "1", "--quiet",
    ]);
    std::fs::create_dir(place.path("labels")).unwrap();
    for (i, name) in FIELDS.iter().enumerate() {
        let exact = place.path(&format!("sim/truth/nuclei/{}.tif", FIELDS[of(i)]));
        let moved = move_back_nearest(&read_labels(&exact).unwrap(), (-6.0, 4.0));
        let to = place.path(&format!("labels/{name}.tif"));
        write::labels(&to, &moved, &write::Note::default()).unwrap();
    }
    let new = ["new", "sim/plate", "--out", "study", "--labels", "labels"];
    place.ok(&new);
}

/// The first group that `align` finds.
fn align(place: &Place) -> (serde_json::Value, String) {
    let run = place.ok(&["align", "study", "--json", "found.json"]);
    let found: serde_json::Value = serde_json::from_str(&place.text("found.json")).unwrap();
    (found["groups"][0].clone(), run.stderr)
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn labels_are_laid_where_the_cells_are_once_and_taken_back_again() {
    let place = Place::new();
    study(&place, |i| i);
    place.ok(&["prepare", "study"]);
    let nuclei = place.path("study/truth/nuclei/B02_s1.tif");
    let row = place.path("study/truth/rows/B02_s1.json");
    let as_given = (bytes(&nuclei), bytes(&row));

    let (found, _) = align(&place);
    let px = |key: &str| found[key].as_f64().unwrap();
    let off = (px("dy_px") - 6.0).hypot(px("dx_px") + 4.0);
    assert!(off < 0.5, "{found}");
    assert!(px("radius95_px") < 2.0, "{found}");
    assert!(place.path("study/align/shifts.png").is_file());
    let run = place.ok(&["prepare", "study"]);
    assert!(
        run.stdout
            .contains("truth of 1 group moved back as `align` found: +"),
        "{}",
        run.stdout
    );
    // Moved by whole pixels, and laid on the exact nuclei but for the rim.
    let exact = read_labels(&place.path("sim/truth/nuclei/B02_s1.tif")).unwrap();
    let moved = read_labels(&nuclei).unwrap();
    let differ = (20..380).flat_map(|y| (20..380).map(move |x| (y, x)));
    let differ = differ.filter(|&(y, x)| (exact.get(y, x) != 0) != (moved.get(y, x) != 0));
    assert_eq!(differ.count(), 0);
    assert!(place.text("study/fields.csv").contains(",6.0,-4.0,"));

    // What was moved is no longer what is looked at: nothing drifts.
    std::fs::remove_file(place.path("study/align/shifts.json")).unwrap();
    assert_eq!(align(&place).0, found);
    let run = place.ok(&["prepare", "study"]);
    assert!(
        run.stdout.contains("(0 made, 4 unchanged)"),
        "{}",
        run.stdout
    );

    // What a person types wins.
    let config = place.text("study/stainfree.toml");
    let typed = config.replace("labels_px = [0, 0]", "labels_px = [1, 0]");
    assert_ne!(typed, config);
    std::fs::write(place.path("study/stainfree.toml"), typed).unwrap();
    let run = place.ok(&["prepare", "study"]);
    assert!(run.stderr.contains("as `labels_px` of"), "{}", run.stderr);
    let given = read_labels(&place.path("labels/B02_s1.tif")).unwrap();
    let wanted = move_back_nearest(&given, (1.0, 0.0)).map(|&label| label != 0);
    assert!(read_labels(&nuclei).unwrap().map(|&label| label != 0) == wanted);

    // Forgotten, everything is as it was, to the byte.
    std::fs::write(place.path("study/stainfree.toml"), config).unwrap();
    place.ok(&["align", "study", "--undo"]);
    place.ok(&["prepare", "study"]);
    assert!(as_given == (bytes(&nuclei), bytes(&row)));
}

#[test]
fn labels_of_other_fields_are_named_and_other_labels_are_not_moved_by_an_old_shift() {
    let place = Place::new();
    study(&place, |i| [1, 0, 2, 3][i]);
    let (_, said) = align(&place);
    for (field, other) in [("B02_s1", "B02_s2"), ("B02_s2", "B02_s1")] {
        let sentence = format!("field `{field}`: the truth of `{other}` fits it better");
        assert!(said.contains(&sentence), "{said}");
    }
    // They stay where they were given; the others are moved.
    let run = place.ok(&["prepare", "study"]);
    assert!(
        run.stderr
            .contains("the truth of 2 fields of groups that are moved is not (first: `B02_s1`)"),
        "{}",
        run.stderr
    );
    let table = place.text("study/fields.csv");
    let moved = table.lines().filter(|line| line.contains(",6.0,-4.0,"));
    assert_eq!(moved.count(), 2, "{table}");
    let labels = read_labels(&place.path("labels/B03_s1.tif")).unwrap();
    let moved = move_back_nearest(&labels, (6.0, -4.0));
    let to = place.path("labels/B03_s1.tif");
    write::labels(&to, &moved, &write::Note::default()).unwrap();
    let run = place.ok(&["prepare", "study"]);
    assert!(
        run.stderr.contains("1 of 1 groups (first: `sim1_Plate_")
            && run
                .stderr
                .contains("have other images or truth than `stainfree align` looked at"),
        "{}",
        run.stderr
    );
    assert!(!run.stdout.contains("moved back"), "{}", run.stdout);
}

#[test]
fn a_model_judges_no_truth_that_it_has_learned() {
    let place = Place::new();
    study(&place, |i| i);
    place.fails(
        2,
        &["align", "study", "--model", "nobody"],
        "error: `study` has no model yet; run `stainfree train` on it first",
    );
    place.ok(&["prepare", "study"]);
    let train = ["train", "study", "--weights", "none"];
    place.ok(&[&train[..], &common::TINY[..]].concat());
    // The plate lies as a whole: the shift of its test fields is that of those it has learned.
    let run = place.run(&["align", "study", "--model", "model"]);
    assert_ne!(run.code, 0);
    assert!(
        run.stderr
            .contains("every group of fields of `study` that lie alike holds some"),
        "{}",
        run.stderr
    );
    let by_well = ["align", "study", "--group", "well", "--json", "found.json"];
    let run = place.ok(&[&by_well[..], &["--model", "model"]].concat());
    assert!(
        run.stderr
            .contains("2 fields are left out, since every model has met some of their group"),
        "{}",
        run.stderr
    );
    let found: serde_json::Value = serde_json::from_str(&place.text("found.json")).unwrap();
    assert_eq!(found["groups"][0]["models"], "model");
    assert_eq!(found["met"].as_array().map(Vec::len), Some(2));
    // Another that has met none looks at the rest.
    let both = ["--model", "model,virtual-plates"];
    place.ok(&[&by_well[..], &both].concat());
    let found: serde_json::Value = serde_json::from_str(&place.text("found.json")).unwrap();
    let groups = found["groups"].as_array().unwrap();
    let mut models: Vec<&str> = groups
        .iter()
        .map(|group| group["models"].as_str().unwrap())
        .collect();
    models.sort_unstable();
    assert_eq!(models, ["model", "virtual-plates"]);
    assert_eq!(found["met"], serde_json::json!([]));
    // What a run does not look at keeps what was found, and another rule forgets it.
    let lines = || place.text("study/align/shifts.csv").lines().count();
    assert_eq!(lines(), 3);
    place.ok(&[&by_well[..], &["--model", "model"]].concat());
    assert_eq!(lines(), 3);
    let run = place.ok(&["align", "study"]);
    assert!(
        run.stderr.contains("what was found before of 2 groups"),
        "{}",
        run.stderr
    );
    assert_eq!(lines(), 2);
}

#[test]
fn what_is_made_of_the_truth_later_leaves_what_was_found() {
    let place = Place::new();
    place.ok(&[
        "simulate", "--out", "sim", "--wells", "1", "--sites", "2", "--side", "400", "--planes",
        "1", "--quiet",
    ]);
    place.ok(&["new", "sim/plate", "--out", "study"]);
    align(&place);
    let run = place.ok(&["prepare", "study", "--mitosis"]);
    let is_stale = run.stderr.contains("have other images or truth");
    assert!(!is_stale, "{}", run.stderr);
    assert!(place.text("study/stainfree.toml").contains("find = true"));
    // Labels that lie right are not said to be moved.
    let new = ["new", "sim/plate", "--out", "right", "--labels"];
    place.ok(&[&new[..], &["sim/truth/nuclei"]].concat());
    place.ok(&["align", "right"]);
    let run = place.ok(&["prepare", "right"]);
    assert!(!run.stdout.contains("moved back"), "{}", run.stdout);
}
