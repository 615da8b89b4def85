//! Scores of folders and lists of changes: which files belong together, and numbers that can be
//! counted by hand.

use std::path::PathBuf;

use stainfree_image::{Image, write};
use stainfree_project::evaluation::compare::{
    Compared, check_csv, compare_labels, compare_study, write_csv,
};
use stainfree_project::evaluation::evaluate::{Evaluated, FolderOptions, Pair, evaluate_folders};
use stainfree_project::{Part, ProjectError};
use stainfree_scores::Change;
use stainfree_scores::{ByName, Convention, Pixelwise};

use crate::common::{Place, drawn, has, note, prepared, quietly, said};

fn pair(place: &Place) -> Pair {
    Pair {
        truth: place.path("truth"),
        prediction: place.path("found"),
    }
}

fn options(place: &Place) -> FolderOptions {
    FolderOptions {
        classes: None,
        objects: Some(pair(place)),
        cells: None,
        splitting: false,
        boundaries: false,
        kinds: None,
        pixel_um: None,
        convention: Convention::default(),
        group: None,
        only: None,
        on: Part::Test,
    }
}

fn evaluated(options: &FolderOptions) -> Result<Evaluated, ProjectError> {
    quietly(|job| evaluate_folders(options, job))
}

/// Class masks of three classes; one of eight pixels is ignored.
fn masks(place: &Place) -> FolderOptions {
    let truth = Image::new(2, 4, vec![0u8, 1, 1, 2, 0, 1, 2, 255]);
    let found = Image::new(2, 4, vec![0u8, 1, 2, 2, 1, 1, 2, 1]);
    place.mask("truth/f.tif", &truth);
    place.mask("found/f.tif", &found);
    let classes = ["background", "nucleus", "cytoplasm"].map(str::to_owned);
    FolderOptions {
        classes: Some((pair(place), classes.to_vec())),
        objects: None,
        ..options(place)
    }
}

#[test]
fn pixel_scores_are_those_that_one_counts() {
    let place = Place::new();
    let found = evaluated(&masks(&place)).unwrap();
    let pooled = |classes: &ByName<Pixelwise>, name: &str| {
        let scores = classes.get(name).unwrap();
        (scores.f1.pooled.unwrap(), scores.iou.pooled.unwrap())
    };
    // Of seven pixels that count: background 1 hit, 1 missed; nucleus 2 hits, 1 missed, 1 false;
    // cytoplasm 2 hits, 1 false.
    for (name, tp, fp, missed) in [
        ("background", 1.0, 0.0, 1.0),
        ("nucleus", 2.0, 1.0, 1.0),
        ("cytoplasm", 2.0, 1.0, 0.0),
    ] {
        let (f1, iou) = pooled(&found.scores.classes, name);
        assert_eq!(f1, 2.0 * tp / (2.0 * tp + fp + missed), "{name}");
        assert_eq!(iou, tp / (tp + fp + missed), "{name}");
    }
    assert_eq!(
        found.scores.accuracy.as_ref().unwrap().pooled,
        Some(5.0 / 7.0)
    );
    assert_eq!((found.scores.images, found.failed.len()), (1, 0));
}

#[test]
fn a_value_that_is_no_class_is_named_with_the_classes() {
    let place = Place::new();
    let options = masks(&place);
    place.mask("truth/g.tif", &Image::filled(2, 4, 1));
    place.mask("found/g.tif", &Image::filled(2, 4, 7));
    let found = evaluated(&options).unwrap();
    assert_eq!(found.failed.len(), 1);
    has(
        &found.failed[0].1,
        &[
            "g.tif` holds the value `7`, which is none of the 3 classes (background, nucleus, \
             cytoplasm)",
            "name more with `--classes`",
        ],
    );
    // Sizes that differ, and nothing that can be scored at all.
    place.mask("found/g.tif", &Image::filled(2, 3, 1));
    place.mask("found/f.tif", &Image::filled(4, 4, 1));
    has(
        &said(evaluated(&options)),
        &["no field could be scored: ", "f.tif`"],
    );
}

#[test]
fn probabilities_are_scored_by_their_largest_class() {
    let place = Place::new();
    let classes = ["background", "nucleus"].map(str::to_owned);
    place.mask("truth/f.tif", &Image::new(1, 4, vec![0u8, 1, 1, 0]));
    let nucleus = Image::new(1, 4, vec![0.1f32, 0.9, 0.4, 0.6]);
    let pages = [nucleus.map(|p| 1.0 - p), nucleus];
    let pages: Vec<&Image<f32>> = pages.iter().collect();
    write::stack_f32(&place.made("found/f.tif"), &pages, &note()).unwrap();
    let options = FolderOptions {
        classes: Some((pair(&place), classes.to_vec())),
        objects: None,
        ..options(&place)
    };
    let found = evaluated(&options).unwrap();
    let nucleus = found.scores.classes.get("nucleus").unwrap();
    assert_eq!(nucleus.f1.pooled, Some(0.5));
    assert!(
        found.scores.calibration.is_some(),
        "how sure it was is known"
    );
}

#[test]
fn files_are_matched_by_name_and_those_without_a_partner_counted() {
    let place = Place::new();
    let labels = drawn(&["11..22", "11..22"]);
    for name in [
        "a_labels",
        "b_labels",
        "ü_labels",
        "o\u{308}_labels",
        "only truth_labels",
    ] {
        place.numbers(&format!("truth/{name}.tif"), &labels);
    }
    for name in ["a", "b", "u\u{308}", "ö", "extra", "more"] {
        place.numbers(&format!("found/{name}.tif"), &labels);
    }
    let found = evaluated(&options(&place)).unwrap();
    let names: Vec<&str> = found.counts.iter().map(|field| &field.name[..]).collect();
    // An umlaut is one letter on one side and two on the other.
    assert_eq!(names, ["a", "b", "o\u{308}", "ü"]);
    has(
        &found.messages.join("\n"),
        &[
            "1 of 5 truth files have no prediction in `",
            "(first: `only truth`)",
            "2 of 6 files of `",
            "have no truth in `",
            "(first: `extra`)",
        ],
    );
    let only = FolderOptions {
        only: Some(vec!["b".to_owned(), "gone".to_owned()]),
        ..options(&place)
    };
    let found = evaluated(&only).unwrap();
    assert_eq!(found.counts.len(), 1);
    let none = FolderOptions {
        only: Some(vec!["gone".to_owned()]),
        ..options(&place)
    };
    has(
        &said(evaluated(&none)),
        &["no file of `", "files are matched by name"],
    );
}

#[test]
fn groups_are_told_from_names_and_other_rules_are_refused() {
    let place = Place::new();
    let labels = drawn(&["11..22", "11..22"]);
    for name in ["A1_s1", "A1_s2", "B2_s1"] {
        for folder in ["truth", "found"] {
            place.numbers(&format!("{folder}/{name}.tif"), &labels);
        }
    }
    let with = |rule: &str| FolderOptions {
        group: Some(rule.to_owned()),
        ..options(&place)
    };
    let found = evaluated(&with("re:^([A-Z]\\d)")).unwrap();
    assert_eq!(found.scores.groups, 2);
    assert_eq!(found.counts[0].group.as_deref(), Some("A1"));
    for rule in ["well", "key:donor"] {
        has(
            &said(evaluated(&with(rule))),
            &["can only be told from its name", "`re:^([A-Z]\\d+)_`"],
        );
    }
    // A rule that fits some names fails those that it does not.
    let found = evaluated(&with("re:^(A\\d)")).unwrap();
    assert_eq!((found.counts.len(), found.failed.len()), (2, 1));
    has(
        &found.failed[0].1,
        &["does not match the field name `B2_s1`"],
    );
}

#[test]
fn truth_without_a_nucleus_is_said_beside_the_scores() {
    let place = Place::new();
    place.numbers("truth/f.tif", &Image::filled(4, 6, 0));
    place.numbers(
        "found/f.tif",
        &drawn(&["11....", "11....", "......", "......"]),
    );
    let found = evaluated(&options(&place)).unwrap();
    has(
        &found.messages.join("\n"),
        &["the truth of none of 1 scored fields has a nucleus"],
    );
    assert_eq!(found.counts[0].objects.as_ref().unwrap().truth, 0);
    // Masks in the place of labels are refused with the way out.
    place.mask(
        "found/f.tif",
        &Image::from_fn(4, 6, |_, x| if x == 2 { 0 } else { 255 }),
    );
    has(
        &said(evaluated(&options(&place))),
        &["a mask", "use `--classes` for masks"],
    );
}

/// What became of nuclei, by name, without the unchanged ones.
fn changes(found: &Compared) -> Vec<(String, Vec<u32>, Vec<u32>)> {
    let edits = found.fields.iter().flat_map(|field| &field.edits);
    let changed = edits.filter(|edit| edit.change != Change::Unchanged);
    let mut all: Vec<_> = changed
        .map(|edit| {
            (
                edit.change.name().to_owned(),
                edit.before.clone(),
                edit.after.clone(),
            )
        })
        .collect();
    all.sort();
    all
}

#[test]
fn every_change_of_a_correction_is_listed_once_with_its_place() {
    let place = Place::new();
    let before = drawn(&[
        "1111..22..33..",
        "1111..22..33..",
        "..............",
        "44..555.......",
        "44..555.......",
    ]);
    let after = drawn(&[
        "1166..22......",
        "1166..222.....",
        "..............",
        "44..555...77..",
        "44..555...77..",
    ]);
    place.numbers("found/f.tif", &before);
    place.numbers("truth/f.tif", &after);
    let found = quietly(|job| compare_labels(&pair(&place), job)).unwrap();
    assert_eq!(
        changes(&found),
        [
            ("added".to_owned(), vec![], vec![7]),
            ("removed".to_owned(), vec![3], vec![]),
            ("reshaped".to_owned(), vec![2], vec![2]),
            ("split".to_owned(), vec![1], vec![1, 6]),
        ]
    );
    assert_eq!(found.count(Change::Unchanged), 2);
    let path = place.path("changes.csv");
    check_csv(&path).unwrap();
    write_csv(&path, &found.fields).unwrap();
    let text = place.text("changes.csv");
    assert_eq!(text.lines().count(), 5, "a head and four changes:\n{text}");
    has(
        &text,
        &[
            "field,change,automatic,corrected,y_px,x_px,area_automatic_px,area_corrected_px,iou",
            "f,split,1,1 6,0.5,1.5,8,8,",
            "f,removed,3,,0.5,10.5,4,0,0.0000",
            "f,added,,7,3.5,10.5,0,4,0.0000",
            "f,reshaped,2,2,",
        ],
    );
    // The table may be written again; another one of that name not.
    check_csv(&path).unwrap();
    place.write("changes.csv", "sample,dose\n");
    let refused = check_csv(&path);
    has(&said(refused), &["is no table of `compare`"]);
}

#[test]
fn a_study_without_corrections_says_where_they_belong() {
    let place = Place::new();
    let study = place.labelled(4, "group = \"field\"\nfractions = [0.25, 0.25, 0.5]");
    let (found, _) = prepared(&study);
    let compare = || quietly(|job| compare_study(&study, job));
    has(
        &said(compare()),
        &[
            "human/corrected` holds no corrected labels",
            "truth/nuclei` there and edit them",
        ],
    );
    let test = found
        .rows
        .iter()
        .find(|row| row.split == Some(Part::Test))
        .unwrap();
    let corrected = place.path("study/human/corrected");
    std::fs::create_dir_all(&corrected).unwrap();
    let file: PathBuf = corrected.join(format!("{}.tif", test.name));
    std::fs::copy(study.nuclei_path(&test.name), &file).unwrap();
    has(
        &said(compare()),
        &["are not part of the truth yet", "run `stainfree prepare"],
    );
    prepared(&study);
    let found = compare().unwrap();
    assert!(changes(&found).is_empty(), "a copy changes nothing");
    has(
        &found.messages.join("\n"),
        &["1 of 1 corrected fields are kept for the test", &test.name],
    );
}
