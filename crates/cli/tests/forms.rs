//! Labels in forms for other programs: `--also` of `segment` and `predict`, `outlines`, and the
//! names of CellProfiler in `measure`. That other programs read them is shown by
//! `testdata/image/check_outlines.py` on the files that
//! `STAINFREE_KEEP_FORMS=DIR cargo test -p stainfree --test forms` leaves in DIR.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use common::{Place, TINY, disk_labels, disks, parallel_folders};
use serde_json::Value;
use stainfree_image::{Image, OpenOptions, open, read_labels, write};

const ALL: &str = "geojson,imagej-rois,cellpose,napari,ome-tiff";

/// Copies a folder to where the script finds it, if that is asked for.
fn keep(place: &Place, folder: &str) {
    let Some(kept) = std::env::var_os("STAINFREE_KEEP_FORMS") else {
        return;
    };
    for (path, bytes) in held(place, folder) {
        let to = Path::new(&kept).join(path.strip_prefix(place.path("")).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, bytes).unwrap();
    }
}

/// Every file of a folder and what it holds.
fn held(place: &Place, folder: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![place.path(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(files.insert(path.clone(), std::fs::read(&path).unwrap())),
            }
        }
    }
    files
}

fn features(place: &Place, path: &str) -> Vec<Value> {
    let value: Value = serde_json::from_str(&place.text(path)).unwrap();
    value["features"].as_array().unwrap().clone()
}

/// Paints the outlines of a kind by their labels: inside is what an odd number of lines is around.
fn painted(features: &[Value], of: &str, (height, width): (usize, usize)) -> Image<u32> {
    let mut image = Image::filled(height, width, 0);
    for feature in features {
        let is_cell = feature["properties"]["objectType"] == "cell";
        let measured = &feature["properties"]["measurements"];
        let (geometry, label) = match (of, is_cell) {
            ("cells", true) => (&feature["geometry"], &measured["Label"]),
            ("nuclei", true) => (&feature["nucleusGeometry"], &measured["Nucleus: Label"]),
            ("nuclei", false) => (&feature["geometry"], &measured["Label"]),
            _ => continue,
        };
        let polygons = match geometry["type"].as_str() {
            Some("Polygon") => vec![geometry["coordinates"].clone()],
            Some(_) => geometry["coordinates"].as_array().unwrap().clone(),
            None => continue,
        };
        let rings = polygons.iter().flat_map(|rings| rings.as_array().unwrap());
        let mut inside = Image::filled(height, width, false);
        for ring in rings {
            let at = |corner: &Value| [0, 1].map(|axis| corner[axis].as_u64().unwrap() as usize);
            let ring: Vec<[usize; 2]> = ring.as_array().unwrap().iter().map(at).collect();
            assert_eq!(ring.first(), ring.last(), "a ring is closed");
            for edge in ring.windows(2) {
                let [[x, y], [_, next_y]] = [edge[0], edge[1]];
                for y in y.min(next_y)..y.max(next_y) {
                    inside.row_mut(y)[x..]
                        .iter_mut()
                        .for_each(|inside| *inside = !*inside);
                }
            }
        }
        let label = label.as_u64().unwrap() as u32;
        for (value, inside) in image.data_mut().iter_mut().zip(inside.data()) {
            if *inside {
                *value = label;
            }
        }
    }
    image
}

/// Names of the entries of a zip, all of which are selections.
fn rois(path: &Path) -> Vec<String> {
    let mut zip = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut names = Vec::new();
    for i in 0..zip.len() {
        let mut entry = zip.by_index(i).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        assert_eq!(&bytes[..4], b"Iout");
        names.push(entry.name().unwrap().into_owned());
    }
    let different: BTreeSet<&String> = names.iter().collect();
    assert_eq!(different.len(), names.len(), "{names:?}");
    names
}

/// All forms of field `name` show these labels.
#[track_caller]
fn show(place: &Place, out: &str, name: &str, nuclei: &Image<u32>, cells: Option<&Image<u32>>) {
    let labels = |path: String| read_labels(&place.path(&path)).unwrap();
    let objects = |image: &Image<u32>| {
        let labels: BTreeSet<u32> = image.data().iter().copied().filter(|&v| v != 0).collect();
        labels.len()
    };
    let found = features(place, &format!("{out}/qupath/{name}.geojson"));
    let mut count = objects(nuclei);
    for (kind, image) in [("nuclei", Some(nuclei)), ("cells", cells)] {
        let Some(image) = image else { continue };
        let folder = if kind == "cells" { "/cells" } else { "" };
        assert!(painted(&found, kind, image.size()) == *image, "{kind}");
        assert!(labels(format!("{out}/cellpose{folder}/{name}_cp_masks.tif")) == *image);
        assert!(labels(format!("{out}/napari{folder}/{name}.tif")) == *image);
        count += if kind == "cells" { objects(image) } else { 0 };
    }
    assert_eq!(
        rois(&place.path(&format!("{out}/rois/{name}.zip"))).len(),
        count
    );
    let ome = open(
        &place.path(&format!("{out}/ome/{name}.ome.tif")),
        &OpenOptions::default(),
    );
    // Labels of ours are no images of a microscope.
    assert!(ome.is_err(), "{ome:?}");
}

#[test]
fn segment_also_writes_what_other_programs_open() {
    let place = Place::new();
    parallel_folders(&place, 2);
    let segment = |more: &[&'static str]| {
        let fixed = ["segment", "images", "--nucleus", "dapi", "--out", "out"];
        [&fixed[..], more].concat()
    };
    place.ok(&segment(&["--cytoplasm", "bf", "--also", ALL]));
    for name in ["f0", "f1"] {
        let [nuclei, cells] = ["", "cells/"]
            .map(|folder| read_labels(&place.path(&format!("out/{folder}{name}.tif"))).unwrap());
        assert!(nuclei.data().iter().any(|&label| label > 3), "{name}");
        show(&place, "out", name, &nuclei, Some(&cells));
    }
    keep(&place, "out");
    let first = held(&place, "out");
    place.ok(&segment(&["--cytoplasm", "bf", "--also", ALL]));
    place.ok(&segment(&["--cytoplasm", "bf"]));
    assert!(
        held(&place, "out") == first,
        "the same command, and one that asks for less"
    );
    // What is missing is made from the labels.
    std::fs::remove_dir_all(place.path("out/qupath")).unwrap();
    for file in ["napari/cells/f1.tif", "rois/f0.zip", "ome/f0.ome.tif"] {
        std::fs::remove_file(place.path("out").join(file)).unwrap();
    }
    place.ok(&segment(&[
        "--cytoplasm",
        "bf",
        "--also",
        "qupath,napari,fiji,ome",
    ]));
    assert!(held(&place, "out") == first);
    // Of other labels nothing stays, and no cells where there are none.
    let other = ["--pixel-um", "0.7", "--overwrite", "--also", "cellpose"];
    place.ok(&segment(&other));
    let left: Vec<PathBuf> = held(&place, "out").into_keys().collect();
    let names = [
        "f0.tif",
        "f1.tif",
        "cellpose/f0_cp_masks.tif",
        "cellpose/f1_cp_masks.tif",
    ];
    let mut expected: Vec<PathBuf> = names.map(|name| place.path("out").join(name)).into();
    expected.push(place.path("out/made-by-stainfree.json"));
    expected.sort();
    assert_eq!(left, expected);
    let run = place.run(&segment(&["--also", "svg"]));
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("imagej-rois"), "{}", run.stderr);
}

#[test]
fn predict_makes_forms_of_what_is_predicted_already() {
    let place = Place::new();
    parallel_folders(&place, 2);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    place.ok(&[&["train", "study"], &TINY[..]].concat());
    let predict = |more: &[&'static str]| {
        let fixed = ["predict", "study", "images/bf", "--out", "result"];
        [&fixed[..], more].concat()
    };
    place.ok(&predict(&[]));
    let before = held(&place, "result");
    let run = place.ok(&predict(&["--also", ALL]));
    assert!(run.stdout.starts_with("0 fields done"), "{}", run.stdout);
    let after = held(&place, "result");
    let changed = before
        .iter()
        .filter(|(path, bytes)| after.get(*path) != Some(*bytes));
    assert_eq!(changed.count(), 0);
    place.ok(&[&predict(&[])[..4], &["fresh", "--also", ALL]].concat());
    for (path, bytes) in held(&place, "fresh/qupath") {
        let other = path.strip_prefix(place.path("fresh")).unwrap();
        let other = std::fs::read(place.path("result").join(other)).unwrap();
        assert!(other == bytes, "{}", path.display());
    }
    let run = place.ok(&["outlines", "result", "--out", "forms", "--to", ALL]);
    assert!(run.stdout.contains("in 2 fields"), "{}", run.stdout);
}

/// Everything that makes an outline hard, and a number that needs 32 bits.
fn drawn() -> Image<u32> {
    let rows = [
        "11..2.2....3",
        "1.1..2....3.",
        "111.2.2..3..",
        "....22......",
        "444444.5.666",
        "4....4...6.6",
        "4.77.4.666.6",
        "4.77.4.6...6",
        "4....4.6.8.6",
        "444444.66666",
        "9..........9",
    ];
    Image::from_fn(rows.len(), rows[0].len(), |y, x| {
        match rows[y].as_bytes()[x] {
            b'.' => 0,
            b'9' => 4_000_000,
            digit => u32::from(digit - b'0'),
        }
    })
}

#[test]
fn outlines_painted_again_are_the_labels_of_any_program() {
    let place = Place::new();
    std::fs::create_dir(place.path("labels")).unwrap();
    let image = drawn();
    let note = write::Note::default();
    write::labels(&place.path("labels/a_cp_masks.tif"), &image, &note).unwrap();
    disk_labels(&place.path("labels/b_cp_masks.tif"), 96, 3);
    // Corners beyond 32,767, which ImageJ has another form for.
    let wide = Image::from_fn(2, 70_000, |y, x| u32::from(x % 40_000 > 33_000 + 7 * y));
    write::labels(&place.path("labels/wide_cp_masks.tif"), &wide, &note).unwrap();
    let outlines = |more: &[&'static str]| {
        let fixed = ["outlines", "labels", "--out", "forms", "--to", ALL];
        [&fixed[..], more].concat()
    };
    place.ok(&outlines(&[]));
    show(&place, "forms", "a", &image, None);
    show(&place, "forms", "wide", &wide, None);
    let disks = read_labels(&place.path("labels/b_cp_masks.tif")).unwrap();
    show(&place, "forms", "b", &disks, None);
    let names = rois(&place.path("forms/rois/a.zip"));
    assert!(names.contains(&"0001.roi".to_owned()), "{names:?}");
    assert!(names.contains(&"4000000.roi".to_owned()), "{names:?}");
    // A pixel of half a micrometre, as the labels say.
    let disk = &features(&place, "forms/qupath/b.geojson")[0]["properties"]["measurements"];
    let pixels = disks
        .data()
        .iter()
        .filter(|&&label| Some(u64::from(label)) == disk["Label"].as_u64());
    assert_eq!(
        disk["Area µm^2"].as_f64(),
        Some(pixels.count() as f64 / 4.0)
    );
    keep(&place, "labels");
    keep(&place, "forms");

    let first = held(&place, "forms");
    place.ok(&outlines(&[]));
    assert!(held(&place, "forms") == first, "the same command");
    // Other labels of the same name.
    disk_labels(&place.path("labels/b_cp_masks.tif"), 96, 5);
    let run = place.run(&outlines(&[]));
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.contains("replace them with `--overwrite`"),
        "{}",
        run.stderr
    );
    assert!(held(&place, "forms") == first);
    // What somebody edited is not replaced, whatever is asked for.
    std::fs::write(
        place.path("forms/qupath/b.geojson"),
        "{\"type\":\"FeatureCollection\"}",
    )
    .unwrap();
    let run = place.run(&outlines(&["--overwrite"]));
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("b.geojson"), "{}", run.stderr);
    std::fs::remove_file(place.path("forms/qupath/b.geojson")).unwrap();
    place.ok(&outlines(&["--overwrite"]));
    let disks = read_labels(&place.path("labels/b_cp_masks.tif")).unwrap();
    show(&place, "forms", "b", &disks, None);
}

#[test]
fn a_bad_label_file_spoils_no_other() {
    let place = Place::new();
    std::fs::create_dir(place.path("labels")).unwrap();
    disk_labels(&place.path("labels/a.tif"), 96, 3);
    std::fs::write(place.path("labels/b.tif"), "no image").unwrap();
    let run = place.run(&["outlines", "labels", "--out", "forms"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("b.tif"), "{}", run.stderr);
    assert!(place.path("forms/qupath/a.geojson").is_file());
    // One file, and cells that leave no nucleus alone.
    place.ok(&[
        "outlines",
        "labels/a.tif",
        "--cells",
        "labels/a.tif",
        "--out",
        "one",
        "--to",
        "geojson",
    ]);
    let kinds = features(&place, "one/qupath/a.geojson");
    assert!(
        kinds
            .iter()
            .all(|one| one["properties"]["objectType"] == "cell")
    );
    assert!(kinds.iter().all(|one| one.get("nucleusGeometry").is_some()));
    // Names in results of this program are whole: `a` and `a_mask` are two fields.
    std::fs::create_dir(place.path("stains")).unwrap();
    for name in ["a", "a_mask"] {
        disks(&place.path(&format!("stains/{name}.tif")), 96, 9000, 3);
    }
    place.ok(&[
        "segment",
        "stains/a.tif",
        "stains/a_mask.tif",
        "--out",
        "ours",
    ]);
    place.ok(&["outlines", "ours", "--out", "two"]);
    for file in [
        "qupath/a.geojson",
        "qupath/a_mask.geojson",
        "rois/a_mask.zip",
    ] {
        assert!(place.path("two").join(file).is_file(), "{file}");
    }
    // Cells of another image.
    disk_labels(&place.path("other.tif"), 64, 3);
    let run = place.run(&[
        "outlines",
        "labels/a.tif",
        "--cells",
        "other.tif",
        "--out",
        "odd",
        "--to",
        "napari",
    ]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("96 x 96"), "{}", run.stderr);
    // Into the labels themselves nothing is written.
    let run = place.run(&["outlines", "labels", "--out", "labels"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
}

#[test]
fn measure_takes_the_names_of_cellprofiler() {
    let place = Place::new();
    for folder in ["images", "labels"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    disks(&place.path("images/a.tif"), 96, 2000, 3);
    disk_labels(&place.path("labels/a.tif"), 96, 3);
    let measure = |more: &[&'static str]| {
        let fixed = [
            "measure", "--labels", "labels", "--images", "images", "--out", "t.csv",
        ];
        [&fixed[..], more].concat()
    };
    place.ok(&measure(&[]));
    let own: Vec<Vec<String>> = rows(&place);
    place.ok(&measure(&["--columns", "cellprofiler", "--overwrite"]));
    let theirs = rows(&place);
    let column = |table: &[Vec<String>], name: &str| -> Vec<String> {
        let place = table[0].iter().position(|head| head == name);
        let place = place.unwrap_or_else(|| panic!("{name} in {:?}", table[0]));
        table[1..].iter().map(|row| row[place].clone()).collect()
    };
    let channel = own[0].iter().any(|name| name == "intensity_mean");
    assert!(channel, "{:?}", own[0]);
    for (ours, name) in [
        ("label", "ObjectNumber"),
        ("field", "Metadata_Field"),
        ("area", "AreaShape_Area"),
        ("eccentricity", "AreaShape_Eccentricity"),
        ("solidity", "AreaShape_Solidity"),
        ("centroid-1", "Location_Center_X"),
        ("area_um2", "area_um2"),
        ("intensity_median", "intensity_median"),
    ] {
        assert_eq!(column(&own, ours), column(&theirs, name), "{name}");
    }
    let mean = theirs[0]
        .iter()
        .find(|name| name.starts_with("Intensity_MeanIntensity_"));
    let mean = mean.expect("a mean with the channel").clone();
    assert_eq!(column(&own, "intensity_mean"), column(&theirs, &mean));
    assert!(
        column(&theirs, "ImageNumber")
            .iter()
            .all(|number| number == "1")
    );
    // A table of this program, which the other names replace again; a table of CellProfiler's own.
    place.ok(&measure(&["--overwrite"]));
    std::fs::write(
        place.path("t.csv"),
        "ImageNumber,ObjectNumber,AreaShape_Area\n1,1,5\n",
    )
    .unwrap();
    let run = place.run(&measure(&["--columns", "cellprofiler", "--overwrite"]));
    assert_eq!(run.code, 1, "{}", run.stderr);
}

fn rows(place: &Place) -> Vec<Vec<String>> {
    let text = place.text("t.csv");
    text.lines()
        .map(|line| line.split(',').map(str::to_owned).collect())
        .collect()
}
