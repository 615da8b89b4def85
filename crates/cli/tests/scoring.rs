//! Scores of folders, and nuclei corrected by hand.

mod common;

use common::{Place, disk_labels, parallel_folders};
use stainfree_image::{Image, write};

#[test]
fn folders_are_scored_by_name() {
    let place = Place::new();
    for folder in ["truth", "other"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    for i in 0..3 {
        disk_labels(&place.path(&format!("truth/B0{i}_s1_labels.tif")), 96, 0);
        disk_labels(&place.path(&format!("other/B0{i}_s1.tif")), 96, 0);
    }
    let run = place.ok(&[
        "evaluate",
        "--truth",
        "truth",
        "--prediction",
        "other",
        "--objects",
        "--group",
        "^(B0.)",
        "--json",
        "-",
    ]);
    let scores: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (scores["images"].as_u64(), scores["groups"].as_u64()),
        (Some(3), Some(3))
    );
    assert_eq!(scores["objects"]["f1_50"]["pooled"], 1.0);
    assert_eq!(scores["objects"]["count_error"], 0.0);
    assert!(scores.get("splitting").is_none());
}

#[test]
fn labels_beside_the_image_are_scored_at_the_best_shift_of_their_group_too() {
    let place = Place::new();
    for folder in ["truth", "other"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    for (name, shift) in [("A_s1", 6), ("A_s2", 6), ("B_s1", 0)] {
        disk_labels(&place.path(&format!("truth/{name}.tif")), 96, 0);
        disk_labels(&place.path(&format!("other/{name}.tif")), 96, shift);
    }
    let arguments = [
        "evaluate",
        "--truth",
        "truth",
        "--prediction",
        "other",
        "--objects",
        "--group",
        "re:^(.)_",
    ];
    let run = place.ok(&[&arguments[..], &["--json", "-"]].concat());
    let scores: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let objects = &scores["objects"];
    // Disks of radius 11 that are 6 px off along both axes match nowhere.
    assert_eq!(objects["f1_50"]["pooled"], 1.0 / 3.0);
    assert_eq!(objects["f1_50_shifted"]["pooled"], 1.0);
    assert_eq!(
        objects["shifts"],
        serde_json::json!([
            {"group": "A", "fields": 2, "dy_px": 6, "dx_px": 6, "f1_50": 0.0, "f1_50_shifted": 1.0},
            {"group": "B", "fields": 1, "dy_px": 0, "dx_px": 0, "f1_50": 1.0, "f1_50_shifted": 1.0},
        ])
    );
    let all = &scores["object_errors"]["strata"][0];
    let missed = all["truth"]["n"].as_u64().unwrap() - 9;
    assert_eq!(all["truth"]["fates"]["found"]["n"], 9);
    let [outlined, size] = ["badly_outlined", "wrong_size"]
        .map(|fate| all["truth"]["fates"][fate]["n"].as_u64().unwrap());
    assert_eq!(outlined + size, missed, "{all}");
    let table = place.ok(&arguments).stdout;
    assert!(table.contains("in 1 of 2 groups: A (+6, +6)"), "{table}");
}

#[test]
fn splitting_is_scored_on_request_with_table_and_json() {
    let place = Place::new();
    // A joined pair and a single; the prediction fuses the pair in the second of two fields.
    let row = |fused: bool| {
        Image::from_fn(12, 40, move |_, x| match x {
            0..=9 => 1u32,
            11..=19 => 1 + u32::from(!fused),
            28..=37 => 3,
            _ => 0,
        })
    };
    let note = stainfree_image::write::Note {
        text: String::new(),
        pixel_um: Some(0.5),
    };
    for (folder, fused) in [("truth", false), ("result", true)] {
        std::fs::create_dir(place.path(folder)).unwrap();
        for (name, fused) in [("a", false), ("b", fused)] {
            let path = place.path(&format!("{folder}/{name}.tif"));
            stainfree_image::write::labels(&path, &row(fused), &note).unwrap();
        }
    }
    let arguments = [
        "evaluate",
        "--truth",
        "truth",
        "--prediction",
        "result",
        "--splitting",
    ];
    let run = place.ok(&[&arguments[..], &["--json", "-"]].concat());
    let scores: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let splitting = &scores["splitting"];
    assert_eq!(splitting["singles"]["n"], 2);
    assert_eq!(splitting["clusters"]["2"]["n"], 2);
    assert_eq!(splitting["clusters"]["2"]["resolved"], 0.5);
    assert_eq!(splitting["pairs"]["missed"], 1);
    assert_eq!(splitting["cut_line_distance_um"]["pooled"], 0.0);
    assert!(splitting["clusters"]["3"]["reason"].is_string());
    let table = place.ok(&arguments).stdout;
    assert!(
        table.contains("clusters of 2                2     0.5000"),
        "{table}"
    );
    assert!(
        table.contains("2 joined pairs: 1 found, 1 missed, 0 lost; 0 false cuts"),
        "{table}"
    );
    let run = place.run(&[&arguments[..], &["--pixel-um", "-1"]].concat());
    assert_eq!(run.code, 2, "{}", run.stderr);
}

#[test]
fn outlines_and_kinds_are_scored_on_request() {
    let place = Place::new();
    for folder in ["truth", "result"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    disk_labels(&place.path("truth/a.tif"), 96, 0);
    disk_labels(&place.path("result/a.tif"), 96, 1);
    let labels = stainfree_image::read_labels(&place.path("truth/a.tif")).unwrap();
    let mut numbers: Vec<u32> = labels.data().iter().filter(|&&l| l != 0).copied().collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut cells = "field,id,mitotic\n".to_owned();
    for &label in &numbers {
        cells.push_str(&format!("a,{label},{}\n", u8::from(label == numbers[0])));
    }
    std::fs::write(place.path("cells.csv"), cells).unwrap();
    let arguments = [
        "evaluate",
        "--truth",
        "truth",
        "--prediction",
        "result",
        "--boundaries",
        "--kinds",
        "cells.csv",
    ];
    let run = place.ok(&[&arguments[..], &["--json", "-"]].concat());
    let scores: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(scores["kinds"]["mitotic"]["n"], 1);
    assert_eq!(scores["kinds"]["interphase"]["n"], numbers.len() - 1);
    let tolerance = &scores["boundaries"]["objects"]["tolerance"];
    assert_eq!(tolerance[3]["px"], 3);
    assert_eq!(tolerance[3]["f1"]["pooled"], 1.0);
    assert!(tolerance[0]["f1"]["pooled"].as_f64().unwrap() < 1.0);
    let table = place.ok(&arguments).stdout;
    assert!(table.contains("ASSD of matched nuclei, px"), "{table}");
    assert!(table.contains("mitotic"), "{table}");
    std::fs::write(place.path("cells.csv"), "name,id\na,1\n").unwrap();
    let run = place.run(&arguments);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr
            .contains("`cells.csv`: it has no column `field` (columns: name, id)"),
        "{}",
        run.stderr
    );
}

#[test]
fn corrected_nuclei_become_the_truth_and_the_changes_are_listed() {
    let place = Place::new();
    parallel_folders(&place, 4);
    place.ok(&["new", "study", "--images", "images"]);
    let run = place.run(&["compare", "study"]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.contains("holds no corrected labels"),
        "{}",
        run.stderr
    );
    place.ok(&["prepare", "study"]);
    let table = place.text("study/fields.csv");
    assert!(
        !table.contains("corrected,") && table.contains("automatic,"),
        "{table}"
    );

    // In one field a nucleus is taken away and a square drawn into the corner.
    let name = table
        .lines()
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap()
        .to_owned();
    let automatic_path = place.path(&format!("study/truth/nuclei/{name}.tif"));
    let automatic = stainfree_image::read_labels(&automatic_path).unwrap();
    let first = automatic
        .data()
        .iter()
        .find(|&&label| label != 0)
        .copied()
        .unwrap();
    let edited = Image::from_fn(
        automatic.height(),
        automatic.width(),
        |y, x| match automatic.get(y, x) {
            label if label == first => 0,
            0 if y < 3 && x < 3 => 70_000,
            label => label,
        },
    );
    std::fs::create_dir(place.path("study/truth/corrected")).unwrap();
    let note = write::Note {
        text: String::new(),
        pixel_um: None,
    };
    let corrected = place.path(&format!("study/truth/corrected/{name}.tif"));
    write::labels(&corrected, &edited, &note).unwrap();
    write::labels(
        &place.path("study/truth/corrected/stranger.tif"),
        &edited,
        &note,
    )
    .unwrap();
    let run = place.run(&["compare", "study"]);
    assert!(
        run.stderr.contains("are not part of the truth yet"),
        "{}",
        run.stderr
    );
    // They were put where earlier versions had them.
    assert!(
        run.stderr
            .contains("2 label images corrected by hand moved from"),
        "{}",
        run.stderr
    );
    let place_of_it = place.path(&format!("study/human/corrected/{name}.tif"));
    assert!(place_of_it.is_file() && !corrected.exists());

    let run = place.ok(&["prepare", "study"]);
    assert!(
        run.stdout.contains("(1 made, 3 unchanged)"),
        "{}",
        run.stdout
    );
    assert!(
        run.stderr
            .contains("has the name of no field and corrects nothing"),
        "{}",
        run.stderr
    );
    let row = place
        .text("study/fields.csv")
        .lines()
        .nth(1)
        .unwrap()
        .to_owned();
    assert!(row.contains(",corrected,"), "{row}");
    let mask =
        stainfree_image::read_class_mask(&place.path(&format!("study/truth/classes/{name}.tif")))
            .unwrap();
    assert_eq!(mask.get(1, 1), 1, "the drawn square is nucleus");
    assert!(
        place
            .ok(&["prepare", "study"])
            .stdout
            .contains("(0 made, 4 unchanged)")
    );

    let run = place.ok(&["compare", "study", "--csv", "changes.csv", "--json", "-"]);
    let fields: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(fields[0]["name"], name);
    let changes = place.text("changes.csv");
    assert!(
        changes.contains(&format!("{name},removed,"))
            && changes.contains(&format!("{name},added,,")),
        "{changes}"
    );
    assert_eq!(changes.lines().count(), 3);

    // Without the corrections everything is as before.
    std::fs::remove_dir_all(place.path("study/human/corrected")).unwrap();
    place.ok(&["prepare", "study"]);
    assert_eq!(
        stainfree_image::read_labels(&automatic_path).unwrap(),
        automatic
    );
    assert!(
        !place
            .path(&format!("study/truth/automatic/{name}.tif"))
            .exists()
    );
    // Since when the field had which nuclei is kept: corrected, and no longer.
    let since = place.text("study/human/corrected.csv");
    let rows: Vec<&str> = since.lines().skip(1).collect();
    assert_eq!(rows.len(), 2, "{since}");
    assert!(rows.iter().all(|row| row.starts_with(&format!("{name},"))));
    assert!(rows[1].starts_with(&format!("{name},,")), "{since}");
}
