//! Images that do not fit into the cap on memory are predicted by region, with the same results;
//! results as OME-Zarr.

mod common;

use std::path::Path;

use common::{Place, TINY, parallel_folders};
use serde_json::Value;
use stainfree_image::{Image, OpenOptions, open, read_class_mask, read_labels, write};

/// A study with a tiny model.
fn trained() -> Place {
    let place = Place::new();
    parallel_folders(&place, 2);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    place.ok(&[&["train", "study"], &TINY[..]].concat());
    place
}

#[test]
fn what_does_not_fit_is_read_and_written_by_region() {
    let place = trained();
    std::fs::create_dir(place.path("large")).unwrap();
    // Large enough that what is left of the cap holds a part with its full margin.
    let size = (2000, 1600);
    let image = Image::from_fn(size.0, size.1, |y, x| {
        let (dy, dx) = (y as f64 % 50.0 - 25.0, x as f64 % 44.0 - 22.0);
        let disc = if dy * dy + dx * dx < 150.0 { 3000 } else { 0 };
        (8000 + disc + (y * 7919 + x * 104_729) % 997 + 3 * y) as u16
    });
    let note = write::Note {
        pixel_um: Some(0.65),
        ..write::Note::default()
    };
    write::plane_u16(&place.path("large/a.tif"), &image, &note).unwrap();
    let predict = |out: &'static str, more: &[&'static str]| {
        let fixed = [
            "predict",
            "study",
            "large",
            "--out",
            out,
            "--probabilities",
            "--overlay",
        ];
        place.ok(&[&fixed[..], more].concat())
    };
    predict("whole", &[]);
    let run = predict("parts", &["--memory", "260MiB", "--also", "ome-tiff"]);
    let said = "of 2000 x 1600 pixels is read and computed by region to keep to 260MiB";
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
    assert_eq!(labels[1].size(), size);
    for file in ["probabilities/a.tif", "overlays/a.png", "ome/a.ome.tif"] {
        assert!(place.path("parts").join(file).is_file(), "{file}");
    }
    let again = predict("parts", &["--memory", "260MiB", "--also", "ome-tiff"]);
    assert!(again.stdout.contains("0 fields done"), "{}", again.stdout);
    let refused = [
        "predict", "study", "large", "--out", "other", "--memory", "260MiB",
    ];
    let run = place.run(&[&refused[..], &["--also", "geojson", "--to", "ome-zarr"]].concat());
    let said = "`geojson`, `--to ome-zarr` cannot be made so";
    assert!(run.code != 0 && run.stderr.contains(said), "{}", run.stderr);
    assert!(!place.path("other").exists());
    // What is missing is made of the labels.
    std::fs::remove_file(place.path("parts/ome/a.ome.tif")).unwrap();
    let again = predict("parts", &["--memory", "260MiB", "--also", "ome-tiff"]);
    assert!(again.stdout.contains("0 fields done"), "{}", again.stdout);
    assert!(place.path("parts/ome/a.ome.tif").is_file());
}

fn said(path: &Path) -> Value {
    let text = std::fs::read_to_string(path.join("zarr.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn results_are_labels_of_their_image_in_ome_zarr() {
    let place = trained();
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
