//! Images that do not fit into the cap on memory are predicted by region, with the same results;
//! results as OME-Zarr.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::confidence::{give_confidence, number, rows};
use common::{Place, trained_study};
use serde_json::Value;
use stainfree_image::{Image, OpenOptions, open, read_class_mask, read_labels, read_plane, write};

/// Everything that can be asked for beside classes and nuclei.
const ALL: [&str; 7] = [
    "--probabilities",
    "--overlay",
    "--confidence-map",
    "--to",
    "ome-zarr",
    "--also",
    "geojson,imagej-rois,cellpose,napari,ome-tiff",
];

/// Large enough that what is left of a small cap holds a part with its full margin.
const SIZE: (usize, usize) = (2000, 1600);

/// An image of discs in the folder `large`.
fn put_large(place: &Place) -> Image<u16> {
    std::fs::create_dir(place.path("large")).unwrap();
    let image = Image::from_fn(SIZE.0, SIZE.1, |y, x| {
        let (dy, dx) = (y as f64 % 50.0 - 25.0, x as f64 % 44.0 - 22.0);
        let disc = if dy * dy + dx * dx < 150.0 { 3000 } else { 0 };
        (8000 + disc + (y * 7919 + x * 104_729) % 997 + 3 * y) as u16
    });
    let note = write::Note {
        pixel_um: Some(0.65),
        ..write::Note::default()
    };
    write::plane_u16(&place.path("large/a.tif"), &image, &note).unwrap();
    image
}

#[test]
fn what_does_not_fit_is_read_and_written_by_region() {
    let place = trained_study(2);
    put_large(&place);
    let weights = [
        ("area", -0.5),
        ("outside", 2.0),
        ("solidity", 1.0),
        ("rim", -1.0),
    ];
    give_confidence(&place, &weights);
    let predict = |out: &'static str, more: &[&'static str]| {
        let fixed = ["predict", "study", "large", "--out", out];
        place.ok(&[&fixed[..], &ALL, more].concat())
    };
    predict("whole", &[]);
    let capped = ["--memory", "288MiB"];
    let run = predict("parts", &capped);
    let said = "of 2000 x 1600 pixels is read and computed by region to keep to 288MiB";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    let classes = ["whole", "parts"]
        .map(|out| read_class_mask(&place.path(&format!("{out}/classes/a.tif"))).unwrap());
    let pairs = classes[0].data().iter().zip(classes[1].data());
    // Sums of f32 in another order: two classes that are a rounding error apart may change.
    let differ = pairs.filter(|(a, b)| a != b).count();
    assert!(differ <= 10, "{differ} pixels have another class");
    let labels = ["whole", "parts"]
        .map(|out| read_labels(&place.path(&format!("{out}/nuclei/a.tif"))).unwrap());
    let counts = labels
        .each_ref()
        .map(|labels| labels.data().iter().max().copied());
    let [whole, parts] = counts.map(|count| i64::from(count.unwrap_or(0)));
    assert!(
        whole > 0 && (whole - parts).abs() <= differ as i64,
        "{whole}, {parts}"
    );
    if differ == 0 {
        assert!(labels[0] == labels[1]);
    }
    assert_eq!(labels[1].size(), SIZE);
    check_confidences(&place, differ);
    check_forms(&place, &labels[1]);
    for file in ["probabilities/a.tif", "overlays/a.png"] {
        assert!(place.path("parts").join(file).is_file(), "{file}");
    }
    let again = predict("parts", &capped);
    assert!(again.stdout.contains("0 fields done"), "{}", again.stdout);
    // What is missing is made of the labels, the same as before.
    let derived = ["ome/a.ome.tif", "qupath/a.geojson", "napari/a.tif"];
    let before = derived.map(|file| std::fs::read(place.path("parts").join(file)).unwrap());
    for file in derived {
        std::fs::remove_file(place.path("parts").join(file)).unwrap();
    }
    std::fs::remove_dir_all(place.path("parts/zarr/a.ome.zarr/labels/nuclei")).unwrap();
    let again = predict("parts", &capped);
    assert!(again.stdout.contains("0 fields done"), "{}", again.stdout);
    for (file, before) in derived.into_iter().zip(before) {
        let now = std::fs::read(place.path("parts").join(file)).unwrap();
        assert!(now == before, "{file} is another");
    }
    assert!(
        place
            .path("parts/zarr/a.ome.zarr/labels/nuclei/zarr.json")
            .is_file()
    );
    if let Some(kept) = std::env::var_os("STAINFREE_KEEP_WRITTEN") {
        for folder in ["large", "parts"] {
            copy(&place.path(folder), &Path::new(&kept).join(folder));
        }
    }
}

/// Nuclei are as sure as in one piece, but for those that a pixel of another class changes.
fn check_confidences(place: &Place, differ: usize) {
    let tables =
        ["whole", "parts"].map(|out| rows(&place.text(&format!("{out}/confidence/a.csv"))));
    let place_of = |row: &BTreeMap<String, String>| {
        ["y_px", "x_px", "area_px"].map(|column| row[column].clone())
    };
    let known: BTreeMap<_, _> = tables[0]
        .iter()
        .map(|row| (place_of(row), number(row, "confidence")))
        .collect();
    let mut without = 0;
    for row in &tables[1] {
        match known.get(&place_of(row)) {
            // Probabilities agree to 1e-4, and four decimals are written.
            Some(sure) => assert!((sure - number(row, "confidence")).abs() < 5e-4, "{row:?}"),
            None => without += 1,
        }
    }
    assert!(!tables[1].is_empty() && without <= 2 * differ, "{without}");
    let counts = ["whole", "parts"].map(|out| {
        number(
            &rows(&place.text(&format!("{out}/predictions.csv")))[0],
            "expected_nuclei",
        )
    });
    assert!((counts[0] / counts[1] - 1.0).abs() < 0.01, "{counts:?}");
    let map = place.path("parts/confidence_map/a.tif");
    let map = read_plane(&map, 0).unwrap().to_f32();
    let most = map.data().iter().copied().fold(0.0, f32::max);
    let sure = tables[1].iter().map(|row| number(row, "confidence"));
    assert!((f64::from(most) - sure.fold(0.0, f64::max)).abs() < 1e-4);
}

/// Forms for other programs are those that labels in memory have.
fn check_forms(place: &Place, labels: &Image<u32>) {
    let to = "geojson,imagej-rois";
    let fixed = [
        "outlines",
        "parts/nuclei/a.tif",
        "--to",
        to,
        "--out",
        "forms",
    ];
    place.ok(&fixed);
    let json = |file: &str| -> Value { serde_json::from_str(&place.text(file)).unwrap() };
    let (mut found, expected) = (
        json("parts/qupath/a.geojson"),
        json("forms/qupath/a.geojson"),
    );
    for feature in found["features"].as_array_mut().unwrap() {
        let measured = feature["properties"]["measurements"]
            .as_object_mut()
            .unwrap();
        assert!(measured.remove("Confidence").is_some(), "{measured:?}");
    }
    assert!(found == expected, "other outlines");
    let rois = ["parts", "forms"].map(|out| place.path(&format!("{out}/rois/a.zip")));
    let [found, expected] = rois.map(|path| std::fs::read(path).unwrap());
    assert!(found == expected, "other ROIs");
    for file in ["cellpose/a_cp_masks.tif", "napari/a.tif", "ome/a.ome.tif"] {
        let kept = read_labels(&place.path("parts").join(file)).unwrap();
        assert!(kept == *labels, "{file}");
    }
}

/// Copies a folder with everything in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

fn said(path: &Path) -> Value {
    let text = std::fs::read_to_string(path.join("zarr.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn results_are_labels_of_their_image_in_ome_zarr() {
    let place = trained_study(2);
    let predict = |more: &[&'static str]| {
        let fixed = ["predict", "study", "images", "--out", "out"];
        place.ok(&[&fixed[..], more].concat())
    };
    predict(&[]);
    predict(&["--to", "ome-zarr"]);
    let store = place.path("out/zarr/f0.ome.zarr");
    let names = said(&store.join("labels"))["attributes"]["ome"]["labels"].clone();
    assert_eq!(names, serde_json::json!(["classes", "nuclei"]));
    let label = &said(&store.join("labels/nuclei"))["attributes"]["ome"]["image-label"];
    assert_eq!(label["source"]["image"], "../../");
    let nuclei = read_labels(&place.path("out/nuclei/f0.tif")).unwrap();
    let count = nuclei.data().iter().max().copied().unwrap_or(0) as usize;
    assert_eq!(label["properties"].as_array().map_or(0, Vec::len), count);
    let data = open(&store, &OpenOptions::default()).unwrap();
    assert_eq!(data.channels, ["Brightfield"]);
    // The same command finds all of it, also what a killed one has left out.
    let again = predict(&["--to", "ome-zarr"]);
    assert!(again.stdout.contains("0 fields done"), "{}", again.stdout);
    std::fs::remove_dir_all(store.join("labels/nuclei")).unwrap();
    predict(&["--to", "ome-zarr"]);
    assert!(store.join("labels/nuclei/zarr.json").is_file());
    // A user's store is left alone.
    std::fs::create_dir_all(place.path("mine/zarr/f0.ome.zarr")).unwrap();
    std::fs::write(place.path("mine/zarr/f0.ome.zarr/zarr.json"), "{}").unwrap();
    let run = place.run(&[
        "predict", "study", "images", "--out", "mine", "--to", "ome-zarr",
    ]);
    assert_ne!(run.code, 0);
    assert!(
        run.stderr.contains("is there and not of `predict`"),
        "{}",
        run.stderr
    );
}
