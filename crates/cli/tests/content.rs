//! Input that is not what it is taken for, and pixels that show nothing, through the program.

mod common;

use common::{Place, TINY, disk_labels, disks, disks_at, parallel_folders};
use stainfree_image::{Image, read_class_mask, read_labels, read_plane, write};

/// The picture at `from` with its first `columns` at `value`.
fn rimmed(place: &Place, from: &str, to: &str, columns: usize, value: f32) {
    let image = read_plane(&place.path(from), 0).unwrap().to_f32();
    let image = Image::from_fn(image.height(), image.width(), |y, x| {
        if x < columns { value } else { image.get(y, x) }
    });
    write::plane_f32(&place.path(to), &image, &half_micron()).unwrap();
}

fn half_micron() -> write::Note {
    write::Note {
        text: String::new(),
        pixel_um: Some(0.5),
    }
}

/// The cell of a table of one row.
fn cell(table: &str, column: &str) -> String {
    let mut lines = table
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>());
    let place = lines
        .next()
        .unwrap()
        .iter()
        .position(|name| *name == column);
    lines.next().unwrap()[place.unwrap()].to_owned()
}

#[test]
fn noise_has_no_nuclei_and_a_sentence() {
    let place = Place::new();
    let mut state = 1u64;
    let noise = Image::from_fn(128, 128, |_, _| {
        let mut sum = 0;
        for _ in 0..4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            sum += (state >> 40) as u16 & 31;
        }
        140 + sum
    });
    write::plane_u16(&place.path("noise.tif"), &noise, &half_micron()).unwrap();
    let run = place.ok(&["segment", "noise.tif", "--out", "labels"]);
    assert!(
        run.stdout.starts_with("0 nuclei in 1 fields"),
        "{}",
        run.stdout
    );
    assert!(
        run.stderr.contains("1 of 1 fields show no stain"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("weak-stain"), "{}", run.stderr);
    let labels = read_labels(&place.path("labels/noise.tif")).unwrap();
    assert!(labels.data().iter().all(|&label| label == 0));
}

#[test]
fn a_rim_is_ignored_in_truth_and_prediction_and_said() {
    let place = Place::new();
    parallel_folders(&place, 4);
    rimmed(&place, "images/bf/f1.tif", "images/bf/f1.tif", 24, f32::NAN);
    rimmed(&place, "images/dapi/f2.tif", "images/dapi/f2.tif", 12, 0.0);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    let shares = || -> Vec<String> {
        let table = place.text("study/fields.csv");
        let mut lines = table.lines();
        let mut head = lines.next().unwrap().split(',');
        let column = head.position(|name| name == "blank_share").unwrap();
        let cell = |line: &str| line.split(',').nth(column).unwrap().to_owned();
        lines.map(cell).collect()
    };
    assert_eq!(shares(), ["0.0", "0.25", "0.125", "0.0"]);
    let truth = |name: &str| {
        read_class_mask(&place.path(&format!("study/truth/classes/{name}.tif"))).unwrap()
    };
    let first = truth("f1");
    assert!((0..96).all(|y| (0..24).all(|x| first.get(y, x) == 255)));

    // Where a person has drawn the nuclei, a stain that shows nothing hides none of them.
    std::fs::create_dir_all(place.path("study/human/corrected")).unwrap();
    for name in ["f1", "f2"] {
        let drawn = place.path(&format!("study/human/corrected/{name}.tif"));
        disk_labels(&drawn, 96, if name == "f1" { 1 } else { 2 });
    }
    place.ok(&["prepare", "study"]);
    assert_eq!(shares(), ["0.0", "0.25", "0.0", "0.0"]);
    assert!(!truth("f2").data().contains(&255));
    assert!(
        (0..24).all(|x| truth("f1").get(0, x) == 255),
        "no light there"
    );

    place.ok(&[&["train", "study"], &TINY[..]].concat());
    rimmed(&place, "images/bf/f0.tif", "rim.tif", 6, 65_535.0);
    rimmed(&place, "images/bf/f0.tif", "nan.tif", 96, f32::NAN);
    let model = "study/models/model";
    let run = place.ok(&["predict", model, "rim.tif", "--out", "result"]);
    assert!(run.stderr.contains("6.2 % of `rim`"), "{}", run.stderr);
    assert_eq!(
        cell(&place.text("result/predictions.csv"), "ignored_share"),
        "0.062500"
    );
    let classes = read_class_mask(&place.path("result/classes/rim.tif")).unwrap();
    assert!((0..96).all(|y| classes.row(y).iter().filter(|&&c| c == 255).count() == 6));

    place.fails(
        1,
        &["predict", model, "nan.tif", "--out", "other", "--quiet"],
        "error: nothing was done: the only input failed",
    );
    let message = place.text("other/predictions.csv");
    assert!(message.contains("field `nan` shows nothing"), "{message}");

    disks_at(&place.path("unknown.tif"), 96, 2000, 0, None);
    let run = place.ok(&["predict", model, "unknown.tif", "--out", "third"]);
    let sentence = "1 of 1 fields have no pixel size and are taken to have the model's, 0.5 um";
    assert!(run.stderr.contains(sentence), "{}", run.stderr);
}

#[test]
fn what_is_no_label_image_is_refused_with_the_way_out() {
    let place = Place::new();
    for folder in ["bf", "labels"] {
        std::fs::create_dir_all(place.path(folder)).unwrap();
    }
    for i in 0..3 {
        disks(&place.path(&format!("bf/f{i}.tif")), 96, 2000, i);
        disks(&place.path(&format!("labels/f{i}.tif")), 96, 2000, i);
    }
    let run = place.run(&["new", "study", "--images", "bf", "--labels", "labels"]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr
            .contains("`labels/f0.tif` holds an image, not labels"),
        "{}",
        run.stderr
    );
}

#[test]
fn labels_of_few_objects_are_no_classes() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("images")).unwrap();
    for i in 0..3 {
        disks(&place.path(&format!("images/f{i}.tif")), 64, 2000, 0);
        let path = place.path(&format!("images/f{i}_masks.tif"));
        disk_labels(&path, 64, 0);
        let few = read_labels(&path).unwrap().map(|&label| match label {
            1 => 1,
            2 => 2,
            9 => 3,
            _ => 0,
        });
        write::labels(&path, &few, &half_micron()).unwrap();
    }
    let run = place.ok(&["new", "study", "--images", "images"]);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("each number is one piece"), "{said}");
    let config = place.text("study/stainfree.toml");
    assert!(
        config.contains("classes = [\"background\", \"nucleus\"]"),
        "{config}"
    );
}
