//! What `new` writes for the folders that people have, and what it asks for.

use std::path::PathBuf;

use stainfree_image::{Image, OpenOptions};
use stainfree_project::study::config::{CytoplasmFrom, MaskValues, NucleiFrom, Scheme};
use stainfree_project::{Cancel, Created, NewOptions, ProjectError, new};

use crate::common::{Place, SIDE, disk_labels, has, prepared, said};

fn options(place: &Place) -> NewOptions {
    NewOptions {
        images: place.path("images"),
        ..NewOptions::default()
    }
}

fn create(place: &Place, options: &NewOptions) -> Result<Created, ProjectError> {
    new::create(&place.path("study"), options, &Cancel::new())
}

/// What was written, and all that was said.
fn created(place: &Place, options: &NewOptions) -> (Created, String) {
    let created = create(place, options).unwrap_or_else(|error| panic!("{error}"));
    let messages = created.messages.join("\n");
    (created, messages)
}

fn binary(shift: usize, value: u8) -> Image<u8> {
    disk_labels(shift).map(|&label| u8::from(label > 0) * value)
}

#[test]
fn parallel_folders_are_channels_and_stains_are_guessed() {
    let place = Place::new();
    for (folder, shift) in [("Brightfield", 0), ("Hoechst", 0), ("MitoTracker", 1)] {
        for i in 0..2 {
            place.picture(&format!("images/{folder}/f{i}.tif"), i + shift, 2000);
        }
    }
    let (made, messages) = created(&place, &options(&place));
    let truth = &made.study.config().truth;
    assert_eq!(truth.nuclei_from(), Some(NucleiFrom::Stain("Hoechst")));
    assert_eq!(truth.cytoplasm_from(), CytoplasmFrom::Stain("MitoTracker"));
    assert_eq!(truth.classes, ["background", "nucleus", "cytoplasm"]);
    assert_eq!(made.study.config().images.brightfield, ["Brightfield"]);
    has(
        &messages,
        &[
            "with 2 fields, channels `Brightfield`, `Hoechst`, `MitoTracker`",
            "brightfield: guessed `Brightfield`",
            "nucleus: guessed the stain `Hoechst`",
            "cytoplasm: guessed the stain `MitoTracker`",
        ],
    );
    // The study lies beside its images and names them from there.
    assert_eq!(made.study.config().images.path, PathBuf::from("../images"));
    // Where a person says so, there is no cytoplasm to be guessed.
    let place = Place::new();
    for folder in ["BF", "DAPI", "Mito"] {
        place.picture(&format!("images/{folder}/f.tif"), 0, 2000);
    }
    let scheme = NewOptions {
        scheme: Some(Scheme::B),
        ..options(&place)
    };
    let (made, _) = created(&place, &scheme);
    let truth = &made.study.config().truth;
    assert_eq!((truth.scheme, truth.classes.len()), (Scheme::B, 4));
    assert_eq!(truth.cytoplasm_from(), CytoplasmFrom::Nothing);
}

#[test]
fn labels_beside_the_images_are_the_truth() {
    for ending in ["_labels", "_masks", "_cp_masks"] {
        let place = Place::new();
        for i in 0..3 {
            place.picture(&format!("images/f{i}.tif"), i, 2000);
            place.labels(&format!("images/f{i}{ending}.tif"), i);
        }
        let (made, messages) = created(&place, &options(&place));
        let truth = &made.study.config().truth;
        let images = std::path::Path::new("../images");
        assert_eq!(
            truth.nuclei_from(),
            Some(NucleiFrom::Labels(images)),
            "{ending}"
        );
        has(
            &messages,
            &["with 3 fields", "truth: guessed nucleus instances in `"],
        );
        // And it can be prepared as it is.
        let (found, _) = prepared(&made.study);
        assert!(
            found
                .rows
                .iter()
                .all(|row| row.is_usable() && row.nuclei > 0)
        );
        assert_eq!(found.rows.len(), 3);
    }
}

#[test]
fn masks_are_read_as_what_they_hold() {
    let three = Image::from_fn(SIDE, SIDE, |y, x| match disk_labels(0).get(y, x) {
        0 if x < 40 => 2,
        0 => 0,
        _ => 1,
    });
    let cases: [(Image<u8>, MaskValues, &[&str], &str); 4] = [
        (
            binary(0, 255),
            MaskValues::Binary,
            &["background", "nucleus"],
            "0 and 255 only",
        ),
        (
            binary(0, 1),
            MaskValues::Classes,
            &["background", "nucleus"],
            "masks: classes",
        ),
        (
            three.clone(),
            MaskValues::Classes,
            &["background", "nucleus", "cytoplasm"],
            "masks: classes `background`, `nucleus`, `cytoplasm`",
        ),
        (
            three.map(|&class| if class == 2 { 5 } else { class }),
            MaskValues::Classes,
            &[
                "background",
                "nucleus",
                "cytoplasm",
                "class3",
                "class4",
                "class5",
            ],
            "`class5`",
        ),
    ];
    for (mask, values, classes, part) in cases {
        let place = Place::new();
        place.picture("images/f.tif", 0, 2000);
        place.mask("masks/f.tif", &mask);
        let masks = NewOptions {
            masks: Some(place.path("masks")),
            ..options(&place)
        };
        let (made, messages) = created(&place, &masks);
        let truth = &made.study.config().truth;
        assert_eq!(truth.mask_values, values, "{messages}");
        assert_eq!(truth.classes, classes);
        has(&messages, &[part]);
        prepared(&made.study);
    }
}

#[test]
fn truth_of_the_wrong_kind_is_refused_before_anything_is_written() {
    let soft = Image::from_fn(SIDE, SIDE, |y, x| {
        let (dy, dx) = (y as f64 % 32.0 - 16.0, x as f64 % 32.0 - 16.0);
        ((14.0 - dy.hypot(dx)).clamp(0.0, 5.0) * 51.0) as u8
    });
    type Given = fn(&Place) -> NewOptions;
    let masks: Given = |place| NewOptions {
        masks: Some(place.path("truth")),
        ..options(place)
    };
    let labels: Given = |place| NewOptions {
        labels: Some(place.path("truth")),
        ..options(place)
    };
    let labelled = disk_labels(0).map(|&label| label as u8);
    for (mask, given, parts) in [
        (
            &soft,
            masks,
            &["a mask with smoothed edges", "all above 127 as 255"][..],
        ),
        (
            &labelled,
            masks,
            &["which is no class", "`--labels` instead of `--masks`"],
        ),
        (
            &binary(0, 255),
            labels,
            &["0 and 255 only", "give masks as `--masks`"],
        ),
    ] {
        let place = Place::new();
        place.picture("images/f.tif", 0, 2000);
        place.mask("truth/f.tif", mask);
        has(&said(create(&place, &given(&place))), parts);
        assert!(!place.path("study").exists());
    }
    // A folder that belongs to other images.
    let place = Place::new();
    place.picture("images/f.tif", 0, 2000);
    place.labels("truth/other.tif", 0);
    has(
        &said(create(&place, &labels(&place))),
        &[
            "no file of `",
            "has the name of a field",
            "rename the files",
        ],
    );
}

#[test]
fn what_cannot_be_guessed_is_asked_for_with_what_there_is() {
    let place = Place::new();
    for folder in ["w1", "w2"] {
        place.picture(&format!("images/{folder}/f.tif"), 0, 2000);
    }
    has(
        &said(create(&place, &options(&place))),
        &[
            "looks like brightfield (channels: `w1`, `w2`)",
            "`--brightfield`",
        ],
    );
    let chosen = NewOptions {
        brightfield: vec!["W1".to_owned()],
        ..options(&place)
    };
    has(
        &said(create(&place, &chosen)),
        &[
            "looks like a nuclear stain (channels: `w1`, `w2`)",
            "`--nucleus`, `--masks` or `--labels`",
        ],
    );
    let chosen = NewOptions {
        nucleus: Some("w2".to_owned()),
        ..chosen
    };
    let (made, _) = created(&place, &chosen);
    // As it is spelled there, and not as it was typed.
    assert_eq!(made.study.config().images.brightfield, ["w1"]);
    for (wrong, parts) in [
        (
            NewOptions {
                cytoplasm: Some("w3".to_owned()),
                ..chosen.clone()
            },
            &["has no channel `w3`"][..],
        ),
        (
            NewOptions {
                brightfield: vec!["TL".to_owned()],
                ..chosen.clone()
            },
            &["has no channel `TL`", "choose with `--brightfield`"],
        ),
        (
            NewOptions {
                images: place.path("nowhere"),
                ..chosen.clone()
            },
            &["nowhere"],
        ),
    ] {
        let other = new::create(&place.path("other"), &wrong, &Cancel::new());
        has(&said(other), parts);
        assert!(!place.path("other").exists());
    }
}

#[test]
fn the_split_is_checked_against_the_fields_that_there_are() {
    let place = Place::new();
    for day in ["d1", "d2", "d3"] {
        for i in 0..2 {
            place.picture(&format!("images/{day}_{i}.tif"), i, 2000);
            place.labels(&format!("labels/{day}_{i}.tif"), i);
        }
    }
    let given = NewOptions {
        labels: Some(place.path("labels")),
        group: Some("re:^(d\\d)".to_owned()),
        test_groups: vec!["d2".to_owned()],
        fractions: Some([0.5, 0.5, 0.0]),
        seed: Some(9),
        opening: OpenOptions {
            pixel_um: Some(0.65),
            ..OpenOptions::default()
        },
        ..options(&place)
    };
    for (wrong, part) in [
        (
            NewOptions {
                test_groups: vec!["d9".to_owned()],
                ..given.clone()
            },
            "no field belongs to the test group `d9` (groups: `d1`, `d2`, `d3`)",
        ),
        (
            NewOptions {
                group: Some("re:^(x)".to_owned()),
                ..given.clone()
            },
            "does not match the field name `d1_0`",
        ),
        (
            NewOptions {
                group: Some("key:donor".to_owned()),
                ..given.clone()
            },
            "has no key `donor`",
        ),
        (
            NewOptions {
                fractions: Some([0.5, 0.5, 0.5]),
                ..given.clone()
            },
            "add up to 1",
        ),
        (
            NewOptions {
                seed: Some(u64::MAX),
                ..given.clone()
            },
            "is too large; use one below 2^63",
        ),
    ] {
        has(&said(create(&place, &wrong)), &[part]);
        assert!(!place.path("study").exists());
    }
    let (made, _) = created(&place, &given);
    let config = made.study.config();
    assert_eq!((config.split.seed, config.images.pixel_um), (9, Some(0.65)));
    assert_eq!(config.training.change["seed"].as_integer(), Some(9));
    let (found, _) = prepared(&made.study);
    for row in &found.rows {
        let tests = row.split == Some(stainfree_project::Part::Test);
        assert_eq!(tests, row.group == "d2", "{}", row.name);
        assert_eq!(row.pixel_um, Some(0.65));
    }
}

#[test]
fn what_is_missing_and_what_is_too_much_is_counted() {
    let place = Place::new();
    for i in 0..4 {
        place.picture(&format!("images/f{i}.tif"), i, 2000);
    }
    for name in ["f0", "f2", "stranger"] {
        place.labels(&format!("labels/{name}.tif"), 0);
    }
    let labels = NewOptions {
        labels: Some(place.path("labels")),
        ..options(&place)
    };
    let (_, messages) = created(&place, &labels);
    has(
        &messages,
        &[
            "has truth for 2 of 4 fields; none for",
            "`f1`",
            "1 file belongs to no field",
            "stranger",
        ],
    );
}

#[test]
fn a_study_is_made_once_and_a_stop_leaves_nothing() {
    let place = Place::new();
    place.labelled(1, "");
    std::fs::remove_dir_all(place.path("study")).unwrap();
    let labels = NewOptions {
        labels: Some(place.path("labels")),
        ..options(&place)
    };
    let cancel = Cancel::new();
    cancel.stop();
    let stopped = new::create(&place.path("study"), &labels, &cancel);
    assert!(matches!(stopped, Err(ProjectError::Cancelled)));
    assert!(!place.path("study/stainfree.toml").exists());
    created(&place, &labels);
    let text = place.text("study/stainfree.toml");
    let error = create(&place, &labels).unwrap_err();
    assert!(matches!(error, ProjectError::Exists(_)), "{error}");
    has(
        &error.to_string(),
        &["exists and is not empty", "choose a new folder"],
    );
    assert_eq!(place.text("study/stainfree.toml"), text);
}
