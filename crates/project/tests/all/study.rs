//! A study's folder: where things lie, which model is meant, which planes are read.

use std::path::Path;

use stainfree_image::Image;
use stainfree_project::study::config::FILE_NAME;
use stainfree_project::{Brightfield, ProjectError, Study};

use crate::common::{Place, SIDE, has, prepared, said};

#[test]
fn a_folder_is_a_study_by_its_file_alone() {
    let place = Place::new();
    let study = place.labelled(1, "");
    assert!(Study::is_at(study.root()) && !Study::is_at(place.root()));
    for wrong in ["", "images", "images/f0.tif", "nowhere"] {
        let error = Study::open(&place.path(wrong)).unwrap_err();
        assert!(matches!(error, ProjectError::NotAStudy(_)), "{error}");
        has(&error.to_string(), &["is not a study", "`stainfree new`"]);
    }
    // A folder of that name is no file to read.
    std::fs::create_dir_all(place.path("odd").join(FILE_NAME)).unwrap();
    let error = said(Study::open(&place.path("odd")));
    has(&error, &["stainfree.toml`"]);
}

#[test]
fn an_unprepared_study_says_what_to_run() {
    let place = Place::new();
    let study = place.labelled(2, "");
    let root = study.root().display().to_string();
    has(
        &said(study.fields()),
        &[
            "is not prepared: it has no `fields.csv`",
            &format!("run `stainfree prepare {root}`"),
        ],
    );
    let (found, _) = prepared(&study);
    assert_eq!(study.fields().unwrap(), found.rows);
    // While a `prepare` rewrites the truth, and after one that was ended, the table is not read.
    place.write("study/truth/unfinished", "");
    has(
        &said(study.fields()),
        &["only half prepared", "run it again"],
    );
    prepared(&study);
    assert_eq!(study.fields().unwrap(), found.rows);
}

#[test]
fn the_model_that_is_meant_is_the_only_one_or_the_one_of_that_name() {
    let place = Place::new();
    let study = place.labelled(1, "");
    let ask = |name: Option<&str>| study.trained_model(name);
    has(&said(ask(None)), &["has no model yet", "`stainfree train`"]);
    place.write("study/models/second try/model.toml", "");
    // A folder without a finished model is none.
    place.write("study/models/begun/weights.part", "");
    place.write("study/models/notes.txt", "");
    assert_eq!(study.models(), ["second try"]);
    let only = study.model_path("second try");
    assert_eq!(ask(None).unwrap(), only);
    assert_eq!(ask(Some("second try")).unwrap(), only);
    has(
        &said(ask(Some("model"))),
        &["has no model `model`", "`--model`", "second try"],
    );
    place.write("study/models/first/model.toml", "");
    has(
        &said(ask(None)),
        &["has no model `model`", "first", "second try"],
    );
    place.write("study/models/model/model.toml", "");
    assert_eq!(ask(None).unwrap(), study.model_path("model"));
    assert_eq!(study.models(), ["first", "model", "second try"]);
}

#[test]
fn a_prepared_study_may_be_moved_with_its_images_and_is_not_made_again() {
    let place = Place::new();
    let (first, _) = prepared(&place.labelled(2, ""));
    assert_eq!((first.made, first.kept), (2, 0));
    let moved = Place::new();
    for folder in ["images", "labels", "study"] {
        std::fs::rename(place.path(folder), moved.path(folder)).unwrap();
    }
    let study = Study::open(&moved.path("study")).unwrap();
    let (again, _) = prepared(&study);
    assert_eq!((again.made, again.kept), (0, 2));
    assert_eq!(again.rows, first.rows);
}

#[test]
fn a_name_that_no_table_keeps_is_said_and_all_others_are_found_again() {
    let place = Place::new();
    for (i, name) in ["a ", "b", "c, d"].iter().enumerate() {
        place.picture(&format!("images/{name}.tif"), i, 2000);
        place.labels(&format!("labels/{name}.tif"), i);
    }
    let study = place.study("labels = \"../labels\"", "group = \"field\"");
    let (found, _) = prepared(&study);
    let [(_, why)] = &found.failed[..] else {
        panic!("{:?}", found.failed);
    };
    has(
        why,
        &[
            "the name of field `a ` begins or ends with a blank",
            "rename its files",
        ],
    );
    let source = study.source().unwrap();
    let by_name = source.by_name();
    let rows = study.fields().unwrap();
    let usable = rows.iter().filter(|row| row.is_usable());
    let names: Vec<&str> = usable.map(|row| &row.name[..]).collect();
    assert_eq!(names, ["b", "c, d"]);
    assert!(names.iter().all(|name| by_name.contains_key(name)));
}

/// A field of one channel with `planes` planes, as a study reads it.
fn stack(place: &Place, planes: usize, lines: &str) -> Result<Study, ProjectError> {
    // Levels tell the planes apart.
    let page = |z: usize| {
        let level = 1000 + 500 * z as u16;
        Image::from_fn(SIDE, SIDE, |y, x| level + ((y * 7 + x * 13) % 11) as u16)
    };
    place.stack(
        "images/f.ome.tif",
        &(0..planes).map(page).collect::<Vec<_>>(),
    );
    let text = format!(
        "[images]\npath = \"../images\"\nbrightfield = [\"BF\"]\n{lines}\n[truth]\nlabels = \
         \"../labels\"\nclasses = [\"background\", \"nucleus\"]\n"
    );
    place.write("study/stainfree.toml", text);
    Study::open(&place.path("study"))
}

/// The z that a study reads of its first field, from 0.
fn planes_read(study: &Study) -> Result<Vec<usize>, ProjectError> {
    let source = study.source()?;
    let planes = source.brightfield.planes_of(&source.dataset.fields[0])?;
    Ok(planes.into_iter().map(|(_, z)| z).collect())
}

#[test]
fn three_planes_are_read_and_of_others_the_middle_one() {
    for (planes, lines, expected) in [
        (1, "", vec![0]),
        (2, "", vec![0]),
        (3, "", vec![0, 1, 2]),
        (4, "", vec![1]),
        (5, "", vec![2]),
        (5, "planes = [5]", vec![4]),
        (5, "planes = [5, 1, 3]", vec![4, 0, 2]),
    ] {
        let place = Place::new();
        let study = stack(&place, planes, lines).unwrap();
        assert_eq!(planes_read(&study).unwrap(), expected, "{planes} {lines}");
        let source = study.source().unwrap();
        let field = &source.dataset.fields[0];
        let read = source.brightfield.read(field).unwrap();
        assert_eq!(read.len(), expected.len());
        // The planes in the order that was asked for: their levels tell them apart.
        for (plane, z) in read.iter().zip(&expected) {
            let values = plane.to_f32();
            let largest = values.data().iter().copied().fold(0.0, f32::max);
            assert!(
                (largest - (1010.0 + 500.0 * *z as f32)).abs() <= 10.0,
                "{largest}"
            );
        }
    }
}

#[test]
fn a_plane_that_a_field_lacks_is_named() {
    let place = Place::new();
    let study = stack(&place, 3, "planes = [4]").unwrap();
    has(
        &said(planes_read(&study)),
        &[
            "field `f` has no brightfield plane 4 (it has 3)",
            "choose others",
        ],
    );
    let nothing = Brightfield {
        channels: vec![7],
        planes: Vec::new(),
    };
    let source = study.source().unwrap();
    has(
        &said(nothing.planes_of(&source.dataset.fields[0])),
        &["field `f` has no brightfield plane"],
    );
}

#[test]
fn what_prepare_keeps_lies_where_the_documentation_says() {
    let study = Place::new().labelled(1, "");
    let root = study.root();
    for (path, expected) in [
        (study.class_mask_path("a b"), "truth/classes/a b.tif"),
        (study.nuclei_path("f"), "truth/nuclei/f.tif"),
        (study.automatic_path("f"), "truth/automatic/f.tif"),
        (study.cells_path("f"), "truth/cells/f.tif"),
        (study.overlay_path("f"), "truth/overlays/f.png"),
        (study.model_path("m"), "models/m"),
        (study.run_path("m"), "runs/m"),
        (study.resolve(Path::new("../x")), "../x"),
        (study.config_path(), "stainfree.toml"),
    ] {
        assert_eq!(path, root.join(expected));
    }
    // A place that was given from the root stays where it is.
    assert_eq!(study.resolve(root), root);
}
