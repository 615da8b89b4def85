//! Truth that is given: label images, masks and whole cells in every form that people have them.

use std::path::Path;

use stainfree_image::{Image, read_class_mask, read_labels, write};
use stainfree_project::Study;
use stainfree_project::study::fields::FieldRow;
use stainfree_project::truth::prepare::Prepared;

use crate::common::{Place, SIDE, disk_labels, has, note, prepared};

/// A field's row, or why it has none.
fn of<'a>(found: &'a Prepared, name: &str) -> Result<&'a FieldRow, String> {
    match found.failed.iter().find(|(failed, _)| failed == name) {
        Some((_, why)) => Err(why.clone()),
        None => Ok(found.rows.iter().find(|row| row.name == name).unwrap()),
    }
}

/// Nuclei of the disks of a field.
fn count(labels: &Image<u32>) -> usize {
    let numbers: std::collections::BTreeSet<u32> = labels.data().iter().copied().collect();
    numbers.iter().filter(|label| **label > 0).count()
}

type Form = (&'static str, fn(&Path, &Image<u32>));

#[test]
fn labels_of_any_type_and_container_are_the_same_nuclei() {
    // The disks as programs save them: types, numbers with gaps, numbers beyond 16 bits.
    let forms: [Form; 6] = [
        ("u8", |path, labels| {
            write::class_mask(path, &labels.map(|&l| l as u8), &note()).unwrap();
        }),
        ("u16", |path, labels| {
            write::labels(path, labels, &note()).unwrap()
        }),
        ("u32", |path, labels| {
            write::wide_labels(path, labels, &note()).unwrap()
        }),
        ("f32", |path, labels| {
            write::plane_f32(path, &labels.map(|&l| l as f32), &note()).unwrap();
        }),
        ("gaps", |path, labels| {
            let gaps = labels.map(|&l| if l == 0 { 0 } else { 100_000 + 977 * l });
            write::wide_labels(path, &gaps, &note()).unwrap();
        }),
        ("png", |path, labels| {
            let path = path.with_extension("png");
            write::png_gray(&path, &labels.map(|&l| l as u8)).unwrap();
        }),
    ];
    let place = Place::new();
    for (name, write) in forms {
        place.picture(&format!("images/{name}.tif"), 0, 2000);
        write(&place.made(&format!("labels/{name}.tif")), &disk_labels(0));
    }
    let study = place.study("labels = \"../labels\"", "group = \"field\"");
    let (found, _) = prepared(&study);
    assert!(found.failed.is_empty(), "{:?}", found.failed);
    let first = read_labels(&study.nuclei_path("u8")).unwrap();
    let classes = read_class_mask(&study.class_mask_path("u8")).unwrap();
    for (name, _) in forms {
        let row = of(&found, name).unwrap();
        assert_eq!((row.nuclei, row.is_usable()), (9, true), "{name}");
        assert_eq!(
            read_labels(&study.nuclei_path(name)).unwrap(),
            first,
            "{name}"
        );
        let mask = read_class_mask(&study.class_mask_path(name)).unwrap();
        assert_eq!(mask, classes, "{name}");
    }
    // Numbered from 1 without gaps, and a pixel is a nucleus where it has a number.
    assert_eq!(count(&first), 9);
    assert_eq!(first.data().iter().max(), Some(&9));
    let same = |(label, class): (&u32, &u8)| (*label > 0) == (*class == 1);
    assert!(first.data().iter().zip(classes.data()).all(same));
}

#[test]
fn what_is_no_label_image_of_the_field_is_said_file_by_file() {
    let shifted = |f: fn(f32) -> f32| {
        move |path: &Path, labels: &Image<u32>| {
            write::plane_f32(path, &labels.map(|&l| f(l as f32)), &note()).unwrap();
        }
    };
    type Write = Box<dyn Fn(&Path, &Image<u32>)>;
    let cases: Vec<(&str, Write, &[&str])> = vec![
        (
            "half",
            Box::new(shifted(|l| l + 0.5)),
            &["half.tif", "does not hold"],
        ),
        (
            "minus",
            Box::new(shifted(|l| l - 1.0)),
            &["minus.tif", "does not hold"],
        ),
        (
            "nan",
            Box::new(shifted(|l| if l == 0.0 { f32::NAN } else { l })),
            &["nan.tif"],
        ),
        (
            "colours",
            Box::new(|path, labels| {
                let picture = labels.map(|&l| [l as u8, 0, 7]);
                write::png_rgb(&path.with_extension("png"), &picture).unwrap();
            }),
            &["colours.png"],
        ),
        (
            "mask",
            Box::new(|path, labels| {
                let mask = labels.map(|&l| u8::from(l > 0) * 255);
                write::class_mask(path, &mask, &note()).unwrap();
            }),
            &[
                "mask.tif` holds 0 and 255 only",
                "`truth.masks` with `mask_values = \"binary\"`",
            ],
        ),
        (
            "ones",
            Box::new(|path, labels| {
                write::labels(path, &labels.map(|&l| u32::from(l > 0)), &note()).unwrap();
            }),
            &["ones.tif` holds", "`truth.masks`"],
        ),
        (
            "image",
            Box::new(|path, labels| {
                let texture = |(i, l): (usize, &u32)| 100 * l + (i * 37 % 91) as u32;
                let values = labels.data().iter().enumerate().map(texture).collect();
                let image = Image::new(SIDE, SIDE, values);
                write::labels(path, &image, &note()).unwrap();
            }),
            &["image.tif` holds", "this file as an image"],
        ),
        (
            "full",
            Box::new(|path, _| {
                let halves = Image::from_fn(SIDE, SIDE, |y, _| 1 + (y / 48) as u32);
                write::labels(path, &halves, &note()).unwrap();
            }),
            &[
                "full.tif` holds no pixel of value 0",
                "save the background as 0",
            ],
        ),
        (
            "small",
            Box::new(|path, labels| {
                write::labels(path, &labels.crop(0, 0, SIDE, 64), &note()).unwrap();
            }),
            &[
                "small.tif` is 96 x 64 but the brightfield is 96 x 96",
                "show the same field",
            ],
        ),
        (
            "text",
            Box::new(|path, _| std::fs::write(path, "labels: see the other disk").unwrap()),
            &["text.tif`"],
        ),
        (
            "nothing",
            Box::new(|path, _| std::fs::write(path, "").unwrap()),
            &["nothing.tif`"],
        ),
    ];
    let place = Place::new();
    for (i, (name, write, _)) in cases.iter().enumerate() {
        place.picture(&format!("images/{name}.tif"), i, 2000);
        write(&place.made(&format!("labels/{name}.tif")), &disk_labels(i));
    }
    place.picture("images/good.tif", 3, 2000);
    place.labels("labels/good.tif", 3);
    let study = place.study("labels = \"../labels\"", "group = \"field\"");
    let (found, _) = prepared(&study);
    for (name, _, parts) in &cases {
        let why = of(&found, name).expect_err(name);
        has(&why, parts);
        let row = found.rows.iter().find(|row| row.name == *name).unwrap();
        assert!(!row.is_usable() && row.split.is_none(), "{name}");
        assert!(!study.nuclei_path(name).exists(), "{name}");
    }
    // One bad file spoils no other.
    assert!(of(&found, "good").unwrap().is_usable());
    assert_eq!(found.failed.len(), cases.len());
}

#[test]
fn a_field_without_any_nucleus_is_truth_and_is_said() {
    let place = Place::new();
    place.labelled(3, "group = \"field\"");
    place.numbers("labels/f1.tif", &Image::filled(SIDE, SIDE, 0));
    std::fs::remove_file(place.path("labels/f2.tif")).unwrap();
    let study = place.study("labels = \"../labels\"", "group = \"field\"");
    let (found, _) = prepared(&study);
    let empty = of(&found, "f1").unwrap();
    assert_eq!((empty.nuclei, empty.is_usable()), (0, true));
    assert_eq!(empty.remarks, "no nucleus in the truth");
    // Without a file it is not known whether there are nuclei: the field is out, and no failure.
    let without = of(&found, "f2").unwrap();
    assert!(!without.is_usable());
    has(&without.remarks, &["no truth of that name in `../labels`"]);
    assert!(found.failed.is_empty());
}

#[test]
fn numbers_of_more_than_255_objects_saved_in_8_bits_are_told() {
    let place = Place::new();
    place.labelled(1, "");
    // Number 1 again in the far corner, as 257 becomes.
    let mut labels = disk_labels(0);
    for label in labels.data_mut() {
        if *label == 19 {
            *label = 1;
        }
    }
    place.numbers("labels/f0.tif", &labels);
    let study = place.study("labels = \"../labels\"", "");
    let (found, _) = prepared(&study);
    let row = of(&found, "f0").unwrap();
    assert!(row.is_usable());
    has(
        &row.remarks,
        &[
            "(such as 1) belong to pieces far apart",
            "in 8 bits? save them in 16",
        ],
    );
}

/// A study on one field whose nuclei are a mask.
fn masked(place: &Place, lines: &str, mask: &Image<u8>) -> Study {
    place.picture("images/f.tif", 0, 2000);
    place.mask("masks/f.tif", mask);
    place.study(&format!("masks = \"../masks\"\n{lines}"), "")
}

#[test]
fn binary_masks_are_nuclei_piece_by_piece_whatever_their_value() {
    for value in [1, 7, 255] {
        let place = Place::new();
        let mask = disk_labels(0).map(|&label| u8::from(label > 0) * value);
        let study = masked(&place, "mask_values = \"binary\"", &mask);
        let (found, _) = prepared(&study);
        let row = of(&found, "f").unwrap();
        assert_eq!((row.nuclei, row.ignored_share), (9, 0.0));
        let classes = read_class_mask(&study.class_mask_path("f")).unwrap();
        assert_eq!(classes, disk_labels(0).map(|&label| u8::from(label > 0)));
    }
}

#[test]
fn class_masks_say_every_pixel_and_255_says_nothing() {
    let place = Place::new();
    let three = "classes = [\"background\", \"nucleus\", \"cytoplasm\"]";
    // Nuclei in a sea of cytoplasm, with a rim of which nobody knows.
    let mask = Image::from_fn(SIDE, SIDE, |y, x| match disk_labels(0).get(y, x) {
        _ if y < 12 => 255,
        0 if x < 48 => 2,
        0 => 0,
        _ => 1,
    });
    let study = masked(&place, three, &mask);
    let (found, _) = prepared(&study);
    let row = of(&found, "f").unwrap();
    assert_eq!(read_class_mask(&study.class_mask_path("f")).unwrap(), mask);
    assert_eq!(row.ignored_share, 0.125);
    let of_class = |class: u8| mask.data().iter().filter(|&&v| v == class).count() as f64;
    let kept = (SIDE * (SIDE - 12)) as f64;
    // Shares are rounded to six digits.
    assert!((row.nucleus_share - of_class(1) / kept).abs() < 1e-6);
    assert!((row.cytoplasm_share.unwrap() - of_class(2) / kept).abs() < 1e-6);
    // Nuclei that the rim cuts are what is left of them.
    assert_eq!(row.nuclei, 9);
}

#[test]
fn class_masks_of_something_else_are_refused_with_what_they_seem_to_be() {
    let named = "classes = [\"background\", \"nucleus\"]";
    for (lines, value, parts) in [
        (
            named,
            2,
            &[
                "holds the value `2`, which is no class",
                "0 background, 1 nucleus",
            ][..],
        ),
        (
            named,
            40,
            &[
                "holds the value `40`",
                "set `truth.labels` instead of `truth.masks`",
            ],
        ),
        (
            named,
            255,
            &[
                "holds 0 and 255 only",
                "where 255 means ignored",
                "`truth.mask_values = \"binary\"`",
            ],
        ),
        (
            "classes = [\"background\", \"nucleus\", \"a\", \"b\"]",
            4,
            &[
                "holds the value `4`",
                "3 b, 255 ignored",
                "correct the mask or `truth.classes`",
            ],
        ),
    ] {
        let place = Place::new();
        let mask = disk_labels(0).map(|&label| u8::from(label > 0) * value);
        place.picture("images/good.tif", 1, 2000);
        place.mask(
            "masks/good.tif",
            &disk_labels(1).map(|&label| u8::from(label > 0)),
        );
        let study = masked(&place, lines, &mask);
        let (found, _) = prepared(&study);
        has(&of(&found, "f").unwrap_err(), parts);
    }
    // Edges of many values: no value alone is wrong, but the mask is.
    let place = Place::new();
    let soft = Image::from_fn(SIDE, SIDE, |y, x| {
        let (dy, dx) = (y as f64 % 32.0 - 16.0, x as f64 % 32.0 - 16.0);
        ((14.0 - dy.hypot(dx)).clamp(0.0, 5.0) * 51.0) as u8
    });
    place.picture("images/good.tif", 1, 2000);
    place.mask(
        "masks/good.tif",
        &disk_labels(1).map(|&label| u8::from(label > 0)),
    );
    let study = masked(&place, named, &soft);
    let (found, _) = prepared(&study);
    has(
        &of(&found, "f").unwrap_err(),
        &["edges of the mask are smoothed", "above 127"],
    );
}

#[test]
fn cells_lie_around_nuclei_and_their_lack_is_as_the_study_says() {
    let three = "classes = [\"background\", \"nucleus\", \"cytoplasm\"]";
    for (key, missing) in [("cell_masks", "skip"), ("cell_labels", "ignore")] {
        let place = Place::new();
        place.labelled(2, "");
        let cell = |y: usize, x: usize| u32::from((4..92).contains(&y) && x < 60);
        let cells = Image::from_fn(SIDE, SIDE, |y, x| cell(y, x) * (1 + (x / 30) as u32));
        match key {
            "cell_masks" => place.mask("cells/f0.tif", &cells.map(|&c| u8::from(c > 0))),
            _ => place.numbers("cells/f0.tif", &cells),
        };
        let study = place.study(
            &format!(
                "labels = \"../labels\"\n{key} = \"../cells\"\nmissing_cells = \"{missing}\"\n\
                 {three}"
            ),
            "group = \"field\"",
        );
        let (found, _) = prepared(&study);
        let classes = read_class_mask(&study.class_mask_path("f0")).unwrap();
        for (y, x) in [(0, 0), (16, 16), (16, 32), (50, 80), (90, 59)] {
            let expected = match (disk_labels(0).get(y, x) > 0, cell(y, x) > 0) {
                (true, _) => 1,
                (false, true) => 2,
                _ => 0,
            };
            assert_eq!(classes.get(y, x), expected, "{key} at {y}, {x}");
        }
        let without = of(&found, "f1").unwrap();
        match missing {
            "skip" => {
                assert!(!without.is_usable());
                has(&without.remarks, &["no cell mask in `../cells`"]);
            }
            _ => {
                // Nuclei are known, and of every other pixel nothing.
                let classes = read_class_mask(&study.class_mask_path("f1")).unwrap();
                let expected = disk_labels(1).map(|&label| if label > 0 { 1 } else { 255 });
                assert_eq!(classes, expected);
                assert!(without.is_usable());
            }
        }
    }
}

#[test]
fn labels_that_lie_off_are_moved_back_and_what_they_leave_open_is_ignored() {
    let place = Place::new();
    place.labelled(1, "");
    let shift = "labels = \"../labels\"\n[truth.shift]\nlabels_px = [3, -5]";
    let shift = shift.replace("\n[", "\nclasses = [\"background\", \"nucleus\"]\n[");
    let study = place.study(&shift, "");
    let (found, _) = prepared(&study);
    let truth = read_class_mask(&study.class_mask_path("f0")).unwrap();
    let given = disk_labels(0);
    // The labels lie 3 below and 5 left of the brightfield: a pixel of the truth is that of the
    // labels there, and beyond their rim nothing is known.
    for y in 0..SIDE {
        for x in 0..SIDE {
            let expected = match (y + 3 < SIDE, x.checked_sub(5)) {
                (true, Some(x)) => u8::from(given.get(y + 3, x) > 0),
                _ => 255,
            };
            assert_eq!(truth.get(y, x), expected, "at {y}, {x}");
        }
    }
    let unknown = (SIDE * SIDE - (SIDE - 3) * (SIDE - 5)) as f64 / (SIDE * SIDE) as f64;
    assert!((of(&found, "f0").unwrap().ignored_share - unknown).abs() < 1e-6);
}

#[test]
fn scheme_b_parts_touching_nuclei_by_a_line() {
    let place = Place::new();
    place.picture("images/f.tif", 0, 2000);
    let touching = Image::from_fn(SIDE, SIDE, |y, x| match (y, x) {
        (20..=60, 20..=39) => 1,
        (20..=60, 40..=60) => 2,
        _ => 0,
    });
    place.numbers("labels/f.tif", &touching);
    let study = place.study(
        "labels = \"../labels\"\nscheme = \"B\"\nline_px = 3\nclasses = [\"background\", \
         \"nucleus\", \"boundary\", \"split\"]",
        "",
    );
    let (found, _) = prepared(&study);
    let mask = read_class_mask(&study.class_mask_path("f")).unwrap();
    assert_eq!(of(&found, "f").unwrap().nuclei, 2);
    assert_eq!(
        [(40, 30), (40, 50), (20, 30), (5, 5)].map(|(y, x)| mask.get(y, x)),
        [1, 1, 2, 0]
    );
    // Along their common side a split, on every row well within.
    assert!((26..55).all(|y| mask.row(y)[36..44].contains(&3)));
    assert!(!mask.data().contains(&255));
}

#[test]
fn truth_that_did_not_change_is_not_made_again_and_what_did_is() {
    let place = Place::new();
    let study = place.labelled(4, "group = \"field\"");
    let (first, _) = prepared(&study);
    assert_eq!((first.made, first.kept), (4, 0));
    let counts = |study: &Study| {
        let (found, _) = prepared(study);
        (found.made, found.kept)
    };
    assert_eq!(counts(&study), (0, 4));
    // Another label image; a file of the truth that somebody deleted, or wrote over.
    place.labels("labels/f1.tif", 9);
    assert_eq!(counts(&study), (1, 3));
    std::fs::remove_file(study.overlay_path("f2")).unwrap();
    assert_eq!(counts(&study), (1, 3));
    std::fs::write(study.nuclei_path("f3"), "mine").unwrap();
    let (found, notes) = prepared(&study);
    assert_eq!((found.made, found.kept), (1, 3));
    has(
        &notes.join("\n"),
        &[
            "f3.tif` was changed since `prepare` made it",
            "set-aside",
            "human/corrected",
        ],
    );
    assert_eq!(place.text("study/truth/set-aside/nuclei/f3.tif"), "mine");
    // Another choice makes all of them anew; where it says the same again, none.
    let wide = place.study("labels = \"../labels\"\nline_px = 5", "group = \"field\"");
    assert_eq!(counts(&wide), (4, 0));
    assert_eq!(counts(&wide), (0, 4));
    // What decides the split alone touches no mask.
    let other = place.study(
        "labels = \"../labels\"\nline_px = 5",
        "group = \"field\"\nseed = 5",
    );
    assert_eq!(counts(&other), (0, 4));
}

#[test]
fn fields_that_vanish_and_come_keep_the_parts_of_the_others() {
    let place = Place::new();
    let study = place.labelled(8, "group = \"field\"\nfractions = [0.5, 0.25, 0.25]");
    let (first, _) = prepared(&study);
    std::fs::rename(place.path("images/f2.tif"), place.path("f2.tif")).unwrap();
    place.picture("images/g.tif", 30, 2000);
    place.labels("labels/g.tif", 30);
    let (second, _) = prepared(&study);
    for row in &first.rows {
        match second.rows.iter().find(|other| other.name == row.name) {
            Some(other) => assert_eq!(other.split, row.split, "{}", row.name),
            None => assert_eq!(row.name, "f2"),
        }
    }
    assert!(
        second
            .rows
            .iter()
            .any(|row| row.name == "g" && row.split.is_some())
    );
    // It comes back to the part that it had.
    std::fs::rename(place.path("f2.tif"), place.path("images/f2.tif")).unwrap();
    let (third, _) = prepared(&study);
    assert_eq!(
        of(&third, "f2").unwrap().split,
        of(&first, "f2").unwrap().split
    );
    // A damaged record is not taken for none: that would part groups anew.
    place.write("study/split.json", "{");
    let failed =
        crate::common::quietly(|job| stainfree_project::truth::prepare::prepare(&study, job));
    has(
        &crate::common::said(failed),
        &[
            "split.json` is damaged",
            "copy it from a backup, or delete it",
        ],
    );
}
