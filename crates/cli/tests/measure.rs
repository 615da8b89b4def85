//! `measure` as a user types it: tables, wells, heat maps, and what goes wrong.

mod common;

use common::{Place, disk_labels, disk_mask, disks, parallel_folders};
use stainfree_image::{Image, read_labels, write};

/// Three fields of two channels with labels in a folder of their own.
fn three_fields() -> Place {
    let place = Place::new();
    parallel_folders(&place, 3);
    std::fs::create_dir(place.path("labels")).unwrap();
    for i in 0..3 {
        disk_labels(&place.path(&format!("labels/f{i}_labels.tif")), 96, i);
    }
    place
}

const MEASURE: [&str; 5] = ["measure", "--labels", "labels", "--images", "images"];

/// The columns of a CSV by name.
fn column(place: &Place, file: &str, name: &str) -> Vec<String> {
    let text = place.text(file);
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let place = header.iter().position(|head| *head == name);
    let place = place.unwrap_or_else(|| panic!("no column {name} in {header:?}"));
    lines.map(|line| line[place].to_owned()).collect()
}

#[test]
fn a_row_per_object_with_intensities_of_every_channel() {
    let place = three_fields();
    let run = place.ok(&[&MEASURE[..], &["--out", "cells.csv", "--json", "-"]].concat());
    let facts: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let rows = column(&place, "cells.csv", "label").len();
    assert_eq!(
        (&facts["fields"], &facts["objects"]),
        (&3.into(), &rows.into())
    );
    assert!(
        place
            .text("cells.csv")
            .starts_with("plate,well,site,time,field,label,area,area_um2,")
    );
    assert_eq!(column(&place, "cells.csv", "field")[0], "f0");
    // A disk of radius 11 (exclusive) of pixels of 0.5 um; the stain is 9000 there and up to 10 of
    // texture.
    let first = |name: &str| column(&place, "cells.csv", name)[0].parse::<f64>().unwrap();
    assert_eq!((first("area"), first("area_um2")), (373.0, 93.25));
    let mean = first("intensity_mean_dapi");
    assert!((9000.0..9010.0).contains(&mean), "{mean}");
    let net = first("intensity_mean_net_dapi");
    assert!((net - (mean - first("background_dapi"))).abs() < 1e-9);
    assert!((8095.0..8105.0).contains(&net), "{net}");
    assert!(first("intensity_mean_bf") < 2011.0);
    // The ring is as dark as the background, so that there is no ratio to it.
    assert!(first("ring_intensity_max_dapi") < 911.0);
    assert!(column(&place, "cells.csv", "ring_ratio_dapi").contains(&String::new()));
    assert_eq!(first("touches_border"), 0.0);
    // One channel needs no name.
    place.ok(&[
        &MEASURE[..],
        &[
            "--channels",
            "dapi",
            "--out",
            "one.csv",
            "--ring",
            "none",
            "--skip-border",
        ],
    ]
    .concat());
    assert_eq!(
        column(&place, "one.csv", "intensity_mean")[0],
        mean.to_string()
    );
    assert!(!place.text("one.csv").contains("ring_"));
    assert!(
        column(&place, "one.csv", "touches_border")
            .iter()
            .all(|touches| touches == "0")
    );
}

#[test]
fn tables_do_not_depend_on_threads() {
    let place = three_fields();
    let files = ["a.csv", "b.csv", "a.parquet", "b.parquet"];
    for (file, threads) in files.iter().zip(["1", "5", "1", "5"]) {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_stainfree"))
            .args(MEASURE)
            .args(["--texture", "--out", file, "--threads", threads, "--quiet"])
            .current_dir(place.path(""))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.stderr.is_empty());
    }
    let bytes = files.map(|file| std::fs::read(place.path(file)).unwrap());
    assert!(bytes[0] == bytes[1] && bytes[2] == bytes[3]);
    assert!(bytes[2].starts_with(b"PAR1") && bytes[2].ends_with(b"PAR1"));
}

#[test]
fn a_plate_has_wells_and_heat_maps() {
    let place = Place::new();
    place.ok(&[
        "simulate", "sim", "--wells", "3", "--sites", "2", "--side", "128",
    ]);
    let run = place.ok(&[
        "measure",
        "--labels",
        "sim/truth/nuclei",
        "--cells",
        "sim/truth/cells",
        "--images",
        "sim/plate",
        "--out",
        "cells.csv",
        "--wells",
        "wells.csv",
        "--heatmap",
        "area_um2",
        "--heatmap",
        "objects",
        "--background",
        "ring",
    ]);
    let objects = column(&place, "cells.csv", "label").len();
    assert!(
        run.stdout
            .starts_with(&format!("{objects} objects in 6 fields")),
        "{}",
        run.stdout
    );
    let wells = column(&place, "wells.csv", "well");
    assert_eq!(wells.len(), 3);
    assert_eq!(column(&place, "wells.csv", "fields"), ["2", "2", "2"]);
    // The mean of a well is that of its rows.
    let rows =
        column(&place, "cells.csv", "well")
            .into_iter()
            .zip(column(&place, "cells.csv", "area"));
    let areas: Vec<f64> = rows
        .filter(|(well, _)| *well == wells[0])
        .map(|(_, area)| area.parse().unwrap())
        .collect();
    let mean: f64 = column(&place, "wells.csv", "area_mean")[0].parse().unwrap();
    assert!((mean - areas.iter().sum::<f64>() / areas.len() as f64).abs() < 1e-9);
    assert_eq!(
        column(&place, "wells.csv", "objects")[0],
        areas.len().to_string()
    );
    // Cells bear the numbers of their nuclei there.
    assert_eq!(
        column(&place, "cells.csv", "cell_label"),
        column(&place, "cells.csv", "label")
    );
    for file in ["cells_area_um2.svg", "cells_objects.svg"] {
        assert!(
            place.text(file).contains(&format!("<title>{}: ", wells[0])),
            "{file}"
        );
    }
    assert!(stainfree_image::read_info(&place.path("cells_objects.png")).is_ok());
    place.fails(
        2,
        &[
            "measure",
            "--labels",
            "sim/truth/nuclei",
            "--images",
            "sim/plate",
            "--out",
            "x.csv",
            "--heatmap",
            "arae",
            "--quiet",
        ],
        "error: `--heatmap arae`: there is no such column to average; did you mean `area`?",
    );
}

#[test]
fn a_prediction_with_cytoplasm_has_cells() {
    let place = Place::new();
    parallel_folders(&place, 1);
    for folder in ["result/nuclei", "result/classes"] {
        std::fs::create_dir_all(place.path(folder)).unwrap();
    }
    // One nucleus at the left end of a strip of cytoplasm, and cytoplasm that no nucleus reaches.
    let note = write::Note::default();
    let image = |value: fn(usize, usize) -> u8| Image::from_fn(96, 96, value);
    let nucleus = image(|y, x| u8::from((10..20).contains(&y) && (10..20).contains(&x)) * 7);
    let classes = image(|y, x| match (y, x) {
        (10..=19, 10..=19) => 1,
        (10..=19, 20..=49) | (60..=69, 60..=69) => 2,
        _ => 0,
    });
    let labels = nucleus.map(|&label| u32::from(label));
    write::labels(&place.path("result/nuclei/f0.tif"), &labels, &note).unwrap();
    write::class_mask(&place.path("result/classes/f0.tif"), &classes, &note).unwrap();
    let table = "name,status,message,background_share,nucleus_share,cytoplasm_share,model\n\
         f0,done,,0,0,0,abc\n";
    std::fs::write(place.path("result/predictions.csv"), table).unwrap();
    place.ok(&[
        "measure",
        "result",
        "--images",
        "images",
        "--out",
        "cells.csv",
    ]);
    let only = |name: &str| column(&place, "cells.csv", name).join(" ");
    assert_eq!(
        (only("label"), only("cell_label")),
        ("7".into(), "7".into())
    );
    assert_eq!(
        (only("area"), only("cell_area"), only("cytoplasm_area")),
        ("100".into(), "400".into(), "300".into())
    );
    // Cells that `predict` has kept are measured as they are.
    std::fs::create_dir(place.path("result/cells")).unwrap();
    let kept = image(|y, x| u8::from((10..20).contains(&y) && (10..30).contains(&x)) * 7);
    let kept = kept.map(|&label| u32::from(label));
    write::labels(&place.path("result/cells/f0.tif"), &kept, &note).unwrap();
    let measure = ["measure", "result", "--images", "images"];
    place.ok(&[&measure[..], &["--out", "kept.csv"]].concat());
    assert_eq!(column(&place, "kept.csv", "cell_area"), ["200"]);
    // Unless they are not the cells of these nuclei, as after a correction.
    let others = kept.map(|&label| label + u32::from(label > 0));
    write::labels(&place.path("result/cells/f0.tif"), &others, &note).unwrap();
    let run = place.ok(&[&measure[..], &["--out", "made.csv"]].concat());
    assert_eq!(column(&place, "made.csv", "cell_area"), ["400"]);
    assert!(
        run.stderr.contains("f0.tif` does not have the cells of"),
        "{}",
        run.stderr
    );
}

#[test]
fn predicted_cells_are_kept_with_the_numbers_of_their_nuclei_and_scored() {
    let place = Place::new();
    place.ok(&[
        "simulate", "sim", "--wells", "3", "--sites", "1", "--side", "160",
    ]);
    place.ok(&["new", "sim/plate", "--out", "study"]);
    place.ok(&["prepare", "study"]);
    // From the carried start, which knows such cells before the first step.
    let train = ["train", "study", "--steps", "2"];
    place.ok(&[&train[..], &["--crop", "64", "--batch", "2"]].concat());
    place.ok(&["predict", "study", "sim/plate", "--out", "result"]);
    let read =
        |folder: &str| read_labels(&place.path(&format!("result/{folder}/B02_s1.tif"))).unwrap();
    let (nuclei, cells) = (read("nuclei"), read("cells"));
    let pairs = || nuclei.data().iter().zip(cells.data());
    let inside = pairs().filter(|(nucleus, _)| **nucleus > 0).count();
    let linked = |(nucleus, cell): &(&u32, &u32)| **nucleus > 0 && nucleus == cell;
    assert!(inside > 0 && pairs().filter(linked).count() == inside);
    let all = cells.data().iter().filter(|&&cell| cell > 0).count();
    assert!(
        all > 2 * inside,
        "{all} pixels of cells, {inside} of nuclei"
    );
    // Cells that older versions did not make are made from the files, without the network: the
    // table stays, which has the seconds that a prediction took.
    let table = place.text("result/predictions.csv");
    let path = place.path("result/cells/B02_s1.tif");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_dir_all(place.path("result/cells")).unwrap();
    let predict = ["predict", "study", "sim/plate", "--out", "result"];
    let again = place.ok(&predict);
    assert!(
        again.stdout.starts_with("0 fields done"),
        "{}",
        again.stdout
    );
    assert!(again.stdout.contains("3 done before"), "{}", again.stdout);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!(place.text("result/predictions.csv"), table);
    // Where the files do not go together, the network does the field again.
    std::fs::remove_file(&path).unwrap();
    let small = Image::from_fn(8, 8, |_, _| 0);
    let nuclei = place.path("result/nuclei/B02_s1.tif");
    let note = write::Note {
        text: "stainfree 0: nuclei".to_owned(),
        pixel_um: None,
    };
    write::labels(&nuclei, &small, &note).unwrap();
    let again = place.ok(&predict);
    assert!(
        again.stdout.starts_with("1 fields done"),
        "{}",
        again.stdout
    );
    assert_eq!(std::fs::read(&path).unwrap(), bytes);

    let run = place.ok(&["evaluate", "study", "--json", "-"]);
    let scores: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let (found, tested) = (
        &scores["cells"],
        scores["fields"][0]["name"].as_str().unwrap(),
    );
    let truth = read_labels(&place.path(&format!("study/truth/cells/{tested}.tif"))).unwrap();
    let numbers: std::collections::BTreeSet<&u32> = truth.data().iter().collect();
    assert_eq!(found["truth"].as_u64().unwrap() as usize, numbers.len() - 1);
    assert!(found["f1_50"]["pooled"].is_number(), "{found}");
}

#[test]
fn a_single_file_is_measured_with_a_single_file() {
    let place = Place::new();
    disks(&place.path("image.tif"), 96, 9000, 0);
    disk_labels(&place.path("nuclei.tif"), 96, 0);
    place.ok(&[
        "measure",
        "--labels",
        "nuclei.tif",
        "--images",
        "image.tif",
        "--out",
        "cells.csv",
    ]);
    assert_eq!(column(&place, "cells.csv", "label").len(), 9);
    assert!(
        column(&place, "cells.csv", "intensity_max")
            .iter()
            .all(|max| max.starts_with("90"))
    );
}

#[test]
fn labels_beside_the_images_are_no_channel() {
    let place = three_fields();
    std::fs::rename(place.path("labels"), place.path("images/nuclei")).unwrap();
    place.ok(&[
        "measure",
        "--labels",
        "images/nuclei",
        "--images",
        "images",
        "--out",
        "cells.csv",
    ]);
    let text = place.text("cells.csv");
    assert!(
        text.contains(",intensity_mean_dapi,") && !text.contains("_nuclei"),
        "{}",
        text.lines().next().unwrap()
    );
}

#[test]
fn what_cannot_be_measured_is_said() {
    let place = three_fields();
    let fails = |code, more: &[&str], sentence: &str| {
        place.fails(code, &[&MEASURE[..], &["--quiet"], more].concat(), sentence);
    };
    fails(
        2,
        &["--out", "cells.xlsx"],
        "error: `cells.xlsx` is no table that can be written; give a name that ends in `.csv` or \
         `.parquet`",
    );
    fails(
        1,
        &["--out", "c.csv", "--channels", "dappi"],
        "error: `images` has no channel `dappi` (channels: `bf`, `dapi`), did you mean `dapi`?; \
         choose with `--channels`",
    );
    fails(
        2,
        &["--out", "c.csv", "--wells", "w.csv"],
        "error: `images` names no wells, so there is nothing to sum up; leave `--wells` and \
         `--heatmap` out",
    );
    fails(
        2,
        &["--out", "c.csv", "--wells", "c.csv"],
        "error: `--out` and `--wells` are both `c.csv`; give the table of wells a name of its own",
    );
    fails(
        2,
        &["--out", "c.csv", "--neighbours-um=-1"],
        "error: `neighbours` = `-1` is out of range; it must be from 0 to 100 um",
    );
    fails(
        2,
        &["--out", "c.csv", "--ring", "none", "--background", "ring"],
        "error: `--background ring` needs a ring; leave `--ring none` out",
    );
    let run = place.run(&[&MEASURE[..], &["--out", "nowhere/c.csv"]].concat());
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.contains("error: cannot write `nowhere/c.csv`: ")
            && run.stderr.ends_with("; create its folder first\n"),
        "{}",
        run.stderr
    );
    std::fs::write(place.path("c.csv"), "precious").unwrap();
    fails(
        1,
        &["--out", "c.csv"],
        "error: `c.csv` is there and is no table of `measure`; give another name, or move it away \
         first",
    );
    fails(
        1,
        &["--out", "c.csv", "--overwrite"],
        "error: `c.csv` is there and is no table of `measure`; give another name, or move it away \
         first",
    );
    assert_eq!(place.text("c.csv"), "precious");
    place.ok(&[&MEASURE[..], &["--out", "e.csv"]].concat());
    fails(
        1,
        &["--out", "e.csv"],
        "error: `e.csv` exists; give another name, or `--overwrite`",
    );
    place.ok(&[&MEASURE[..], &["--out", "e.csv", "--overwrite"]].concat());
    assert_eq!(
        place
            .run(&[&MEASURE[..], &["--out", "d.csv", "--ring", "1"]].concat())
            .code,
        2
    );

    std::fs::create_dir(place.path("other")).unwrap();
    disk_labels(&place.path("other/g0.tif"), 96, 0);
    place.fails(
        1,
        &[
            "measure", "--labels", "other", "--images", "images", "--out", "d.csv", "--quiet",
        ],
        "error: no file of `other` has the name of a field (a file there: `g0.tif`; a field: \
         `f0`); truth is matched by name, with or without an ending such as `_labels`, `_masks`, \
         `_cp_masks`, `-labels`, `_label`, `_seg`, `_gt`, `_instances`: rename the files, or name \
         another folder",
    );
    place.fails(
        1,
        &[
            "measure", "other", "--images", "images", "--out", "d.csv", "--quiet",
        ],
        "error: `other` is no result of `stainfree predict`: it has no folder `nuclei`; give label \
         images with `--labels`",
    );
    assert!(!place.path("d.csv").exists());
}

#[test]
fn bad_fields_are_counted_and_the_rest_is_measured() {
    let place = three_fields();
    disk_labels(&place.path("labels/f0_labels.tif"), 64, 0);
    let note = write::Note::default();
    write::plane_f32(
        &place.path("labels/f1_labels.tif"),
        &Image::filled(96, 96, 0.5),
        &note,
    )
    .unwrap();
    let args = [&MEASURE[..], &["--out", "cells.csv"]].concat();
    let run = place.run(&args);
    assert_eq!(run.code, 3, "{}", run.stderr);
    for sentence in [
        "warning: `labels/f0_labels.tif` is 64 x 64 but `images/bf/f0.tif` is 96 x 96; both must \
         show the same field\n",
        "warning: `labels/f1_labels.tif` does not hold labels: it has the value `0.5`, and labels \
         are whole numbers from 0",
        "warning: 2 inputs failed, 1 fields measured\n",
    ] {
        assert!(run.stderr.contains(sentence), "{sentence}\n{}", run.stderr);
    }
    assert!(
        column(&place, "cells.csv", "field")
            .iter()
            .all(|field| field == "f2")
    );
    disk_mask(&place.path("labels/f2_labels.tif"), 96, 0, 255);
    std::fs::remove_file(place.path("cells.csv")).unwrap();
    let run = place.run(&args);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(
        run.stderr
            .ends_with("error: nothing was done: all 3 inputs failed\n"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr
            .contains("holds 0 and 255 only: a mask, not instance labels"),
        "{}",
        run.stderr
    );
    // No table, and no half of one under another name.
    let left: Vec<_> = std::fs::read_dir(place.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_field_without_a_channel_has_empty_cells_and_is_told() {
    let place = three_fields();
    std::fs::remove_file(place.path("images/dapi/f1.tif")).unwrap();
    let run = place.run(&[&MEASURE[..], &["--out", "cells.csv"]].concat());
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(
        run.stderr.contains(
            "warning: field `f1` has no image of the channel `dapi`; its cells are empty\n"
        ),
        "{}",
        run.stderr
    );
    let rows = column(&place, "cells.csv", "field").into_iter().zip(column(
        &place,
        "cells.csv",
        "intensity_mean_dapi",
    ));
    assert!(
        rows.into_iter()
            .all(|(field, mean)| mean.is_empty() == (field == "f1"))
    );
}

#[test]
fn a_stop_keeps_nothing() {
    use stainfree_project::measuring::{MeasureOptions, Objects, measure};
    use stainfree_project::{Cancel, Job, Progress, ProjectError};
    /// Stops after the first field.
    struct StopAtOnce(Cancel);
    impl Progress for StopAtOnce {
        fn step(&self, _done: usize, _total: usize, _message: &str) {
            self.0.stop();
        }
        fn note(&self, _message: &str) {}
    }
    let place = three_fields();
    std::fs::create_dir(place.path("out")).unwrap();
    let options = MeasureOptions {
        objects: Objects::Labels(place.path("labels")),
        images: place.path("images"),
        cells: None,
        out: place.path("out/cells.csv"),
        wells: None,
        heatmaps: Vec::new(),
        channels: Vec::new(),
        plane: None,
        opening: Default::default(),
        skip_border: false,
        names: stainfree_project::measuring::ColumnNames::Own,
        overwrite: false,
        shard: None,
        settings: stainfree_objects::measure::MeasureSettings::default(),
    };
    let progress = StopAtOnce(Cancel::new());
    let result = measure(
        &options,
        &Job::new(&progress, &progress.0, &stainfree_network::Machine::new(1)),
    );
    assert!(matches!(result, Err(ProjectError::Cancelled)), "{result:?}");
    assert_eq!(std::fs::read_dir(place.path("out")).unwrap().count(), 0);
}
