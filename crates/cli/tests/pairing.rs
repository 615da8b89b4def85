//! What belongs to which image, as the user sees it.

mod common;

use std::path::Path;

use common::{Place, disk_labels, disks};
use stainfree_image::{Image, write};

/// Three images of disks in `img`.
fn images(place: &Place) {
    std::fs::create_dir_all(place.path("img")).unwrap();
    for name in ["a", "b", "c"] {
        disks(&place.path(&format!("img/{name}.tif")), 96, 2000, 0);
    }
}

fn labels(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    disk_labels(path, 96, 0);
}

#[test]
fn labels_without_an_image_and_images_without_labels_are_both_said() {
    let place = Place::new();
    images(&place);
    labels(&place.path("lab/a_cp_masks.tif"));
    labels(&place.path("lab/b_cp_masks.tif"));
    labels(&place.path("lab/x_cp_masks.tif"));
    let run = place.ok(&["new", "study", "--images", "img", "--labels", "lab"]);
    for said in [
        "`lab` has truth for 2 of 3 fields; none for `c`",
        "`lab`: 1 file belongs to no field: `x_cp_masks.tif`",
    ] {
        assert!(
            run.stdout.contains(said) || run.stderr.contains(said),
            "{said}\n{}\n{}",
            run.stdout,
            run.stderr
        );
    }
    let run = place.ok(&["prepare", "study"]);
    assert!(run.stderr.contains("`x_cp_masks.tif`"), "{}", run.stderr);
    let fields = place.text("study/fields.csv");
    assert_eq!(fields.matches(",yes,").count(), 2, "{fields}");
    let args = [
        "measure", "--images", "img", "--labels", "lab", "--out", "m.csv",
    ];
    let run = place.run(&args);
    assert!(
        run.stderr.contains("have no labels and are left out: `c`"),
        "{}",
        run.stderr
    );
}

#[test]
fn names_that_fit_no_field_are_answered_with_the_way_out() {
    let place = Place::new();
    images(&place);
    labels(&place.path("lab/q_cp_masks.tif"));
    let run = place.run(&["new", "study", "--images", "img", "--labels", "lab"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    for part in [
        "`q_cp_masks.tif`",
        "a field: `a`",
        "`_cp_masks`",
        "rename the files",
    ] {
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
}

#[test]
fn a_prediction_is_no_truth_until_a_person_copied_it_out() {
    let place = Place::new();
    images(&place);
    for name in ["a", "b", "c"] {
        labels(&place.path(&format!("result/nuclei/{name}.tif")));
    }
    std::fs::write(
        place.path("result/predictions.csv"),
        "name,status,message,nuclei\n",
    )
    .unwrap();
    for folder in ["result/nuclei", "result"] {
        let run = place.run(&["new", "study", "--images", "img", "--labels", folder]);
        assert_eq!(run.code, 1, "{folder}: {}", run.stderr);
        assert!(
            run.stderr
                .contains("holds what a model predicted, which is no truth"),
            "{folder}: {}",
            run.stderr
        );
    }
    std::fs::rename(place.path("result/nuclei"), place.path("checked")).unwrap();
    place.ok(&["new", "study", "--images", "img", "--labels", "checked"]);
}

#[test]
fn labels_of_a_stack_are_measured_on_their_own_plane() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("img")).unwrap();
    std::fs::create_dir_all(place.path("lab")).unwrap();
    // Plane z holds the value 100 z, and its labels one object of 4 z pixels called z.
    let stack = |path: &Path, value: &dyn Fn(usize, usize, usize) -> f32| {
        let planes: Vec<Image<f32>> = (1..=3)
            .map(|z| Image::from_fn(8, 8, |y, x| value(z, y, x)))
            .collect();
        let note = write::Note {
            text: String::new(),
            pixel_um: Some(0.5),
        };
        write::stack_f32(path, &planes, &note).unwrap();
        // The writer is for probabilities, and calls its pages channels.
        let mut bytes = std::fs::read(path).unwrap();
        let (channels, slices) = (b"channels=3", b"slices=3\n\n");
        let at = bytes.windows(10).position(|part| part == channels).unwrap();
        bytes[at..at + 10].copy_from_slice(slices);
        std::fs::write(path, bytes).unwrap();
    };
    stack(&place.path("img/a.tif"), &|z, _, _| 100.0 * z as f32);
    stack(&place.path("lab/a.tif"), &|z, y, x| {
        let inside = y < 2 * z && x < 2;
        if inside { z as f32 } else { 0.0 }
    });
    std::fs::write(
        place.path("img/a.json"),
        r#"{"pixel_size_um": "0,5", "planes": ["z1", "z2", "z3"]}"#,
    )
    .unwrap();
    place.ok(&[
        "measure", "--images", "img", "--labels", "lab", "--out", "m.csv",
    ]);
    let table = place.text("m.csv");
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 2, "{table}");
    let heads: Vec<&str> = rows[0].split(',').collect();
    let cells: Vec<&str> = rows[1].split(',').collect();
    let cell = |name: &str| cells[heads.iter().position(|head| *head == name).unwrap()];
    assert_eq!((cell("label"), cell("area")), ("2", "8"), "{table}");
}
