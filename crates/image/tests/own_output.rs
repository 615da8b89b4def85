//! What the program wrote is no image of a microscope, wherever it lies; and of two files for one
//! place of a plate none is chosen in silence.

mod common;

use std::path::Path;

use common::{first_pixel, htd, plane, put, put_plane, stack};
use stainfree_image::marker::{self, Kind, Marker};
use stainfree_image::{Dataset, OpenOptions, open, write};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn read(path: &Path) -> Dataset {
    open(path, &OpenOptions::default()).expect("opens")
}

fn names(data: &Dataset) -> Vec<&str> {
    data.fields
        .iter()
        .map(|field| field.name.as_str())
        .collect()
}

fn says(data: &Dataset, wanted: &str) {
    assert!(
        data.problems.iter().any(|line| line.contains(wanted)),
        "no `{wanted}` in {:#?}",
        data.problems
    );
}

/// Labels as `predict` writes them.
fn put_result(folder: &Path, name: &str) {
    put_ours(folder, name, "prediction: nuclei of field a, model 1");
}

fn put_ours(folder: &Path, name: &str, what: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    let note = write::Note {
        text: format!("stainfree 0.1.0 {what}"),
        pixel_um: None,
    };
    write::labels(&path, &plane(9).map(|&v| u32::from(v)), &note).expect("written");
}

/// Two wells, two waves, beside the description.
fn plate(folder: &Path) {
    put(folder, "p.HTD", htd(1, 0, 1, &["TL", "DNA"]).as_bytes());
    for (well, wave) in [("A01", 1), ("A01", 2), ("A02", 1), ("A02", 2)] {
        put_plane(folder, &format!("p_{well}_s1_w{wave}.tif"), 10 + wave, "");
    }
}

#[test]
fn results_and_studies_inside_a_plate_are_none_of_its_images() {
    let place = folder();
    plate(place.path());
    for (inner, kind) in [("a_result", Kind::Prediction), ("a_study", Kind::Study)] {
        let at = place.path().join(inner);
        marker::write(&at, &Marker::new("predict", kind)).expect("marked");
        put_plane(&at, "nuclei/A01_s1.tif", 99, "");
        put_plane(&at, "truth/classes/A01_s1.tif", 99, "");
    }
    // An older version left no marker.
    put(place.path(), "a_old/stainfree.toml", b"");
    put_plane(place.path(), "a_old/truth/classes/A02_s1.tif", 99, "");
    let data = read(place.path());
    assert_eq!(names(&data), ["A01_s1", "A02_s1"]);
    for field in &data.fields {
        assert_eq!(
            first_pixel(&field.read(0, 0).expect("a plane")),
            1_100.0,
            "{}",
            field.name
        );
    }
    says(
        &data,
        "`a_result`: left out, since it is a result of `predict`",
    );
    says(&data, "`a_old`, `a_study`: left out, since it is a study");
}

#[test]
fn results_in_the_root_of_a_data_set_are_no_channels() {
    let place = folder();
    for name in ["a", "b"] {
        put_plane(place.path(), &format!("bf/{name}.tif"), 1, "");
        put_plane(place.path(), &format!("dapi/{name}.tif"), 2, "");
        put_result(place.path(), &format!("nuclei/{name}.tif"));
        put_result(place.path(), &format!("elsewhere/{name}.tif"));
        put_result(place.path(), &format!("bf/copy of {name}.tif"));
    }
    put(
        place.path(),
        "predictions.csv",
        b"name,status,message,nuclei\n",
    );
    let data = read(place.path());
    assert_eq!(data.channels, ["bf", "dapi"]);
    assert_eq!(names(&data), ["a", "b"]);
    says(&data, "`copy of a.tif`");
    says(
        &data,
        "`nuclei`: left out, since it is a result of `predict`",
    );
}

#[test]
fn the_programs_own_files_named_as_images_are_refused() {
    let place = folder();
    let study = place.path().join("study");
    put(&study, "stainfree.toml", b"");
    put_ours(&study, "truth/classes/a.tif", "classes of field a");
    put(&study, "truth/overlays/a.png", b"no PNG");
    let result = place.path().join("result");
    marker::write(&result, &Marker::new("predict", Kind::Prediction)).expect("marked");
    put_result(&result, "nuclei/a.tif");
    let refused = |path: &Path| {
        let error = open(path, &OpenOptions::default()).expect_err("no images");
        error.to_string()
    };
    for (path, what) in [
        (study.clone(), "is a study, which stainfree wrote"),
        (study.join("truth/classes"), "is a part of a study"),
        (study.join("truth/overlays"), "is a part of a study"),
        (result.clone(), "is a result of `predict`"),
        (result.join("nuclei"), "is a part of a result of `predict`"),
        (
            result.join("nuclei/a.tif"),
            "is an image of results or truth",
        ),
    ] {
        let text = refused(&path);
        assert!(text.contains(what), "{text}");
        assert!(
            text.contains("name the images that it was made from"),
            "{text}"
        );
    }
    // Images that a user keeps in the folder of a study are read.
    put_plane(&study, "images/a.tif", 3, "");
    assert_eq!(names(&read(&study.join("images"))), ["a"]);
    assert_eq!(names(&read(&study)), ["a"]);
    // So is a simulated plate, whatever lies around it.
    let plate_at = study.join("plate");
    plate(&plate_at);
    marker::write(&plate_at, &Marker::new("simulate", Kind::Plate)).expect("marked");
    assert_eq!(read(&plate_at).fields.len(), 2);
}

#[test]
fn other_folders_in_a_plate_do_not_belong_to_it() {
    let place = folder();
    put(place.path(), "p.HTD", htd(1, 0, 1, &["TL"]).as_bytes());
    put_plane(place.path(), "TimePoint_1/p_B01_s1_w1.TIF", 1, "");
    put_plane(place.path(), "Analysis/p_B01_s1_w1.tif", 2, "");
    put_plane(place.path(), "Analysis/p_B02_s1_w1.tif", 3, "");
    put_plane(place.path(), "TimePoint_1/Masks/p_B01_s1_w1.tif", 4, "");
    put(
        place.path(),
        "older/p.HTD",
        htd(1, 0, 1, &["TL"]).as_bytes(),
    );
    put_plane(place.path(), "older/p_B03_s1_w1.tif", 5, "");
    let data = read(place.path());
    assert_eq!(names(&data), ["B01_s1"]);
    assert_eq!(
        first_pixel(&data.fields[0].read(0, 0).expect("a plane")),
        100.0
    );
    says(
        &data,
        "folder `Analysis` holds 2 images that do not belong to the plate",
    );
    says(
        &data,
        "folder `Masks` holds 1 image that does not belong to the plate",
    );
    says(
        &data,
        "folder `older` has a description (`.HTD`) of its own",
    );
}

#[test]
fn two_files_for_one_place_are_named_and_neither_is_taken() {
    let place = folder();
    put(place.path(), "x.HTD", htd(1, 0, 1, &["TL"]).as_bytes());
    put_plane(place.path(), "p_B01_s1_w1.tif", 1, "");
    put_plane(place.path(), "p_B02_s1_w1.tif", 2, "");
    put_plane(place.path(), "TimePoint_1/p_B01_s1_w1.tif", 3, "");
    put_plane(place.path(), "TimePoint_1/p_B02_s1_w1.tif", 2, "");
    let data = read(place.path());
    // A copy, byte by byte, is no other image.
    assert_eq!(names(&data), ["B02_s1"]);
    says(
        &data,
        "p_B01_s1_w1.tif` both show wave w1 of well B01 site 1",
    );
    says(
        &data,
        "`p_B02_s1_w1.tif`: a copy of another file of the plate",
    );

    // Names tell: what is not called like the plate does not belong to it.
    put(place.path(), "p.HTD", htd(1, 0, 1, &["TL"]).as_bytes());
    std::fs::remove_file(place.path().join("x.HTD")).expect("removed");
    std::fs::remove_dir_all(place.path().join("TimePoint_1")).expect("removed");
    put_plane(place.path(), "smoothed_p_B01_s1_w1.tif", 3, "");
    let data = read(place.path());
    assert_eq!(names(&data), ["B01_s1", "B02_s1"]);
    says(
        &data,
        "`smoothed_p_B01_s1_w1.tif`: not named like the plate (`p`)",
    );
}

#[test]
fn a_plate_that_was_imaged_twice_is_two_acquisitions_of_the_same_places() {
    for with_htd in [true, false] {
        let place = folder();
        put(place.path(), "p.HTD", htd(1, 0, 1, &["TL"]).as_bytes());
        for (day, number) in [("2024-01-01", 1), ("2024-01-02", 2)] {
            if with_htd {
                let text = htd(1, 0, 1, &["TL"]);
                put(place.path(), &format!("{day}/p.HTD"), text.as_bytes());
            }
            put_plane(place.path(), &format!("{day}/p_B02_s1_w1.tif"), number, "");
        }
        let data = read(place.path());
        assert_eq!(
            names(&data),
            ["2024-01-01_B02_s1", "2024-01-02_B02_s1"],
            "{:#?}",
            data.problems
        );
        for (field, value) in data.fields.iter().zip([100.0, 200.0]) {
            assert_eq!(first_pixel(&field.read(0, 0).expect("a plane")), value);
            assert_eq!(field.position, data.fields[0].position);
        }
    }
}

#[test]
fn images_in_the_root_of_a_database_are_told_by_its_name() {
    let place = folder();
    let root = place.path().join("screen");
    let name = "p_B02_s1_w11E78EB12-BD0D-4D94-A6AD-3FF28BB1B105.tif";
    put_plane(&root, name, 1, "");
    put_plane(&root, &format!("2024-01-01/7/{name}"), 2, "");
    let data = read(&root);
    assert_eq!(names(&data), ["2024-01-01_7_B02_s1", "screen_B02_s1"]);
    says(&data, "lie in 2 folders (`2024-01-01/7`, `screen`)");
}

#[test]
fn masks_called_like_the_images_are_no_acquisition() {
    let place = folder();
    let name = "p_B02_s1_w11E78EB12-BD0D-4D94-A6AD-3FF28BB1B105.tif";
    put_plane(place.path(), &format!("images/{name}"), 1, "");
    put_plane(place.path(), &format!("masks/{name}"), 2, "");
    let data = read(place.path());
    assert_eq!(names(&data), ["B02_s1"], "{:#?}", data.problems);
    assert_eq!(
        first_pixel(&data.fields[0].read(0, 0).expect("a plane")),
        100.0
    );
    says(
        &data,
        "folder `masks` holds 1 image that does not belong to the plate",
    );
}

#[test]
fn two_descriptions_in_one_folder_are_two_plates() {
    let place = folder();
    for (name, number) in [("one", 1), ("two", 2)] {
        let text = htd(1, 0, 1, &["TL"]);
        put(place.path(), &format!("{name}.HTD"), text.as_bytes());
        put_plane(place.path(), &format!("{name}_B02_s1_w1.tif"), number, "");
    }
    let data = read(place.path());
    assert_eq!(data.fields.len(), 2, "{:#?}", data.problems);
    let plates: Vec<_> = data
        .fields
        .iter()
        .map(|f| f.position.plate.as_deref())
        .collect();
    assert_eq!(plates, [Some("one"), Some("two")]);
    assert!(names(&data)[0].ends_with("one_B02_s1"));
}

#[test]
fn wells_and_sites_are_read_from_all_forms_of_names() {
    let place = folder();
    put(place.path(), "p.HTD", htd(1, 0, 1, &["TL"]).as_bytes());
    for name in [
        "p_A1_s1_w1",
        "p_A2_s12",
        "p_B03_s12_w1",
        "p_W1_s2_w1",
        "p_B04",
    ] {
        put_plane(place.path(), &format!("{name}.tif"), 1, "");
    }
    let data = read(place.path());
    assert_eq!(
        names(&data),
        ["A01_s1", "A02_s12", "B03_s12", "B04_s1", "W01_s2"]
    );
}

#[test]
fn a_plate_without_its_description_is_read_and_told() {
    let place = folder();
    for (t, wave) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let name = format!("TimePoint_{t}/p_B02_s1_w{wave}.tif");
        put_plane(place.path(), &name, 10 * t + wave, "");
    }
    // What lies beside a plate's images belongs to it no more than with a description.
    put_plane(place.path(), "Analysis/p_B02_s1_w1.tif", 99, "");
    put_plane(place.path(), "Analysis/p_B03_s1_w1.tif", 99, "");
    let data = read(place.path());
    assert_eq!(names(&data), ["B02_s1_t001", "B02_s1_t002"]);
    assert_eq!(data.channels, ["w1", "w2"]);
    let first = first_pixel(&data.fields[0].read(0, 0).expect("a plane"));
    assert_eq!(first, 1_100.0);
    says(&data, "description (`.HTD`) is missing");
    says(&data, "folder `Analysis` holds 2 images");
    // A name that says one plane, and pages that say several.
    let stack = stack(&[plane(1), plane(2)], "");
    put(place.path(), "TimePoint_1/p_B03_s1_w1.tif", &stack);
    let said = "`p_B03_s1_w1.tif`: it has several pages, of which the first is used";
    says(&read(place.path()), said);
}
