//! Nothing of the user's is ever replaced, and the program knows its own folders.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::{Place, TINY, disk_labels, disks, parallel_folders};
use stainfree_image::marker::{self, Kind};

/// Every file below a folder with its bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            found.extend(contents(&entry.path()));
        } else {
            found.insert(entry.path(), std::fs::read(entry.path()).unwrap());
        }
    }
    found
}

/// Runs a command that must be refused, naming `named`, and must change no file at all.
#[track_caller]
fn refused(place: &Place, args: &[&str], named: &str) {
    let before = contents(&place.path(""));
    let run = place.run(args);
    assert!(
        run.code == 1 || run.code == 2,
        "{args:?}: exit {}\n{}",
        run.code,
        run.stderr
    );
    let last = run.stderr.lines().last().unwrap_or_default();
    assert!(last.contains(named), "{args:?}: `{named}` in\n{last}");
    let after = contents(&place.path(""));
    let changed = |path: &&PathBuf| before.get(*path) != after.get(*path);
    let changes: Vec<&PathBuf> = before.keys().chain(after.keys()).filter(changed).collect();
    assert!(changes.is_empty(), "{args:?} changed {changes:?}");
}

fn make_folder(place: &Place, name: &str) {
    std::fs::create_dir_all(place.path(name)).unwrap();
}

#[test]
fn segment_writes_over_no_stain_however_the_folder_is_spelled() {
    let place = Place::new();
    make_folder(&place, "stains");
    for name in ["a", "b"] {
        disks(&place.path(&format!("stains/{name}.tif")), 96, 9000, 3);
    }
    refused(
        &place,
        &["segment", "stains/a.tif", "--out", "stains"],
        "a.tif",
    );
    refused(&place, &["segment", "stains", "--out", "stains"], "a.tif");
    refused(
        &place,
        &["segment", "stains", "--out", "stains/../stains/."],
        "a.tif",
    );
    // Nothing would be replaced, but labels would lie among the images.
    make_folder(&place, "stains/raw");
    disks(&place.path("stains/raw/c.tif"), 96, 9000, 3);
    refused(
        &place,
        &["segment", "stains/raw", "--out", "stains"],
        "c.tif",
    );
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(place.path("stains"), place.path("link")).unwrap();
        refused(&place, &["segment", "stains", "--out", "link"], "a.tif");
        // A second name of the same file in a folder that is not the images'.
        make_folder(&place, "linked");
        std::fs::hard_link(place.path("stains/a.tif"), place.path("linked/a.tif")).unwrap();
        refused(
            &place,
            &["segment", "stains/a.tif", "--out", "linked"],
            "a.tif",
        );
    }
    place.ok(&[
        "segment",
        "stains/a.tif",
        "stains/b.tif",
        "--out",
        "stains/labels",
    ]);
    let kind = marker::written_by_us(&place.path("stains/labels"));
    assert_eq!(kind, Some(Kind::Segmentation));
    place.ok(&["segment", "stains/a.tif", "--out", "stains/labels"]);
}

#[test]
fn segment_leaves_a_channel_called_cells_and_the_files_of_others_alone() {
    let place = Place::new();
    for folder in ["plate/dapi", "plate/cells", "out"] {
        make_folder(&place, folder);
    }
    disks(&place.path("plate/dapi/a.tif"), 96, 9000, 3);
    disks(&place.path("plate/cells/a.tif"), 96, 5000, 3);
    let args = [
        "segment",
        "plate",
        "--channel",
        "dapi",
        "--cytoplasm",
        "cells",
        "--out",
    ];
    refused(&place, &[&args[..], &["plate"]].concat(), "a.tif");
    // Somebody's own labels, and notes.
    disk_labels(&place.path("other.tif"), 96, 3);
    std::fs::write(place.path("out/a.tif"), "not ours").unwrap();
    refused(&place, &[&args[..], &["out"]].concat(), "out/a.tif");
    std::fs::remove_file(place.path("out/a.tif")).unwrap();
    std::fs::write(place.path("out/notes.txt"), "mine").unwrap();
    place.ok(&[&args[..], &["out"]].concat());
    assert_eq!(place.text("out/notes.txt"), "mine");
    // Labels that were edited since say so no longer.
    std::fs::copy(place.path("other.tif"), place.path("out/cells/a.tif")).unwrap();
    refused(&place, &[&args[..], &["out"]].concat(), "cells/a.tif");
}

#[test]
fn two_inputs_of_one_name_are_not_segmented_into_one_file() {
    let place = Place::new();
    for folder in ["one", "two"] {
        make_folder(&place, folder);
        disks(&place.path(&format!("{folder}/a.tif")), 96, 9000, 3);
    }
    refused(
        &place,
        &["segment", "one", "two", "--out", "out"],
        "`one` and `two` both have a field called `a`; run the command for each",
    );
}

#[test]
fn a_folder_of_labels_has_of_a_field_what_the_last_run_made_of_it() {
    let place = Place::new();
    for folder in ["plate/dapi", "plate/mito"] {
        make_folder(&place, folder);
        for name in ["a", "b"] {
            disks(&place.path(&format!("{folder}/{name}.tif")), 96, 9000, 3);
        }
    }
    let nuclei = [
        "segment",
        "plate",
        "--channel",
        "dapi",
        "--out",
        "out",
        "--overwrite",
    ];
    let both = [&nuclei[..], &["--cytoplasm", "mito"]].concat();
    let labels = || {
        let files = contents(&place.path("out")).into_keys();
        let names = files.map(|path| path.strip_prefix(place.path("out")).unwrap().to_owned());
        let names = names.map(|path| path.to_string_lossy().replace('\\', "/"));
        names
            .filter(|name| name.ends_with(".tif"))
            .collect::<Vec<_>>()
    };
    place.ok(&both);
    assert_eq!(labels(), ["a.tif", "b.tif", "cells/a.tif", "cells/b.tif"]);
    // A person's own are neither removed nor left beside other nuclei.
    let cells = place.path("out/cells/a.tif");
    let ours = std::fs::read(&cells).unwrap();
    disk_labels(&cells, 96, 3);
    refused(&place, &nuclei, "cells/a.tif");
    std::fs::write(&cells, ours).unwrap();
    place.ok(&nuclei);
    assert_eq!(labels(), ["a.tif", "b.tif"]);
    // A field that fails has none.
    place.ok(&both);
    let stain = place.path("plate/mito/a.tif");
    let whole = std::fs::read(&stain).unwrap();
    std::fs::write(&stain, &whole[..200]).unwrap();
    assert_eq!(place.run(&both).code, 3);
    assert_eq!(labels(), ["b.tif", "cells/b.tif"]);
}

/// A study with a model, and its images in `images/bf` and `images/dapi`.
fn trained() -> Place {
    let place = Place::new();
    parallel_folders(&place, 4);
    place.ok(&["new", "study", "--images", "images", "--nucleus", "dapi"]);
    place.ok(&["prepare", "study"]);
    place.ok(&[&["train", "study"], &TINY[..]].concat());
    place
}

const MODEL: &str = "study/models/model";

#[test]
fn files_of_others_beside_scores_stay_and_cost_no_scores() {
    let place = trained();
    let table = format!("{MODEL}/object-errors.csv");
    std::fs::write(place.path(&table), "mine\n1\n").unwrap();
    let run = place.ok(&["evaluate", "study"]);
    let said = run.stderr.contains("table of wrong nuclei");
    assert!(
        said && run.stderr.contains("(the scores are written)"),
        "{}",
        run.stderr
    );
    assert!(place.path(&format!("{MODEL}/scores.json")).is_file());
    assert_eq!(place.text(&table), "mine\n1\n");
    let run = place.ok(&["report", "study"]);
    let said = run.stderr.contains("without pictures of wrong nuclei");
    assert!(said, "{}", run.stderr);
    // Of scores that know of no fates, the table is not even read.
    let path = place.path(&format!("{MODEL}/scores.json"));
    let text = std::fs::read(&path).unwrap();
    let mut scores: serde_json::Value = serde_json::from_slice(&text).unwrap();
    scores.as_object_mut().unwrap().remove("object_errors");
    std::fs::write(&path, scores.to_string()).unwrap();
    let run = place.ok(&["report", "study"]);
    assert!(!run.stderr.contains("wrong nuclei"), "{}", run.stderr);
}

#[test]
fn predict_report_and_measure_write_over_nothing_that_is_not_theirs() {
    let place = trained();
    assert_eq!(
        marker::written_by_us(&place.path("study")),
        Some(Kind::Study)
    );
    assert_eq!(marker::written_by_us(&place.path(MODEL)), Some(Kind::Model));
    // A data set whose stain lies in a folder that is called as one of the results.
    for folder in ["nuclei", "overlays"] {
        make_folder(&place, &format!("set/{folder}"));
    }
    make_folder(&place, "set/bf");
    for name in ["f0", "f1"] {
        disks(&place.path(&format!("set/bf/{name}.tif")), 96, 2000, 3);
        disks(&place.path(&format!("set/nuclei/{name}.tif")), 96, 9000, 3);
        std::fs::write(place.path(&format!("set/overlays/{name}.png")), "a drawing").unwrap();
    }
    let predict = ["predict", MODEL, "set/bf", "--out"];
    refused(
        &place,
        &["predict", MODEL, "set", "--out", "set"],
        "set/nuclei/f0.tif",
    );
    refused(&place, &[&predict[..], &["set"]].concat(), "set");
    refused(
        &place,
        &["predict", MODEL, "images/bf", "--overlay", "--out", "set"],
        "set",
    );
    refused(
        &place,
        &["predict", MODEL, "images/bf", "--out", "study"],
        "is a study",
    );
    refused(
        &place,
        &["predict", MODEL, "images/bf", "--out", MODEL],
        "is a model",
    );
    refused(
        &place,
        &["predict", MODEL, "images/bf", "--out", "study/truth/x"],
        "truth",
    );
    place.ok(&["predict", MODEL, "images/bf", "--out", "result"]);
    assert_eq!(
        marker::written_by_us(&place.path("result")),
        Some(Kind::Prediction)
    );
    refused(
        &place,
        &["segment", "images/dapi", "--out", "result"],
        "a result of `predict`",
    );

    // Tables: not over another one, whatever is asked for.
    let measure = [
        "measure",
        "result",
        "--images",
        "images",
        "--overwrite",
        "--out",
    ];
    std::fs::write(place.path("mine.csv"), "well,dose\nA01,3\n").unwrap();
    refused(&place, &[&measure[..], &["mine.csv"]].concat(), "mine.csv");
    refused(
        &place,
        &[&measure[..], &["result/predictions.csv"]].concat(),
        "predictions.csv",
    );
    let twice = ["t.csv", "--wells", "./t.csv"];
    refused(&place, &[&measure[..], &twice].concat(), "t.csv");
    place.ok(&[&measure[..], &["t.csv"]].concat());
    place.ok(&[&measure[..], &["t.csv"]].concat());

    // JSON: over its own kind only.
    std::fs::write(place.path("mine.json"), "{\"pixel_um\": 0.5}").unwrap();
    refused(
        &place,
        &["inspect", "images", "--json", "mine.json"],
        "mine.json",
    );
    refused(
        &place,
        &["evaluate", "study", "--json", "mine.json"],
        "mine.json",
    );
    place.ok(&["inspect", "images", "--json", "found.json"]);
    place.ok(&["inspect", "images", "--json", "found.json"]);
    refused(&place, &["devices", "--json", "found.json"], "found.json");

    // A page of the user's in the study.
    std::fs::write(place.path("study/report.html"), "<p>my notes</p>").unwrap();
    refused(&place, &["report", "study"], "report.html");
    std::fs::remove_file(place.path("study/report.html")).unwrap();
    place.ok(&["report", "study"]);
    place.ok(&["report", "study"]);

    // Another study, model, plate or experiment in a folder that holds something else.
    make_folder(&place, "study/models/other");
    std::fs::write(place.path("study/models/other/notes.txt"), "mine").unwrap();
    let train = [&["train", "study", "--name", "other"], &TINY[..]].concat();
    refused(&place, &train, "notes.txt");
    refused(&place, &["pretrain", "images", "--steps", "2"], "images");
    refused(
        &place,
        &["simulate", "study", "--side", "96", "--wells", "1"],
        "study",
    );
    refused(&place, &["new", "study", "--images", "images"], "study");
    std::fs::write(
        place.path("e.toml"),
        "study = \"study\"\n[[runs]]\nscheme = [\"A\"]\n",
    )
    .unwrap();
    make_folder(&place, "e");
    std::fs::write(place.path("e/results.csv"), "mine").unwrap();
    refused(&place, &["experiment", "e.toml"], "e/results.csv");
}

#[test]
fn truth_is_never_made_over_what_it_is_made_of() {
    let place = Place::new();
    parallel_folders(&place, 4);
    place.ok(&["new", "study", "--images", "images", "--nucleus", "dapi"]);
    std::fs::create_dir_all(place.path("study/truth")).unwrap();
    std::fs::rename(place.path("images"), place.path("study/truth/x")).unwrap();
    make_folder(&place, "study/truth/x/nuclei");
    for i in 0..4 {
        let name = format!("f{i}.tif");
        std::fs::rename(
            place.path(&format!("study/truth/x/dapi/{name}")),
            place.path(&format!("study/truth/x/nuclei/{name}")),
        )
        .unwrap();
    }
    std::fs::remove_dir(place.path("study/truth/x/dapi")).unwrap();
    #[cfg(unix)]
    {
        // The stains under the name that the truth will have.
        std::os::unix::fs::symlink("x/nuclei", place.path("study/truth/nuclei")).unwrap();
        let text = place.text("study/stainfree.toml");
        let text = text
            .replace("../images", "truth/x")
            .replace("\"dapi\"", "\"nuclei\"");
        std::fs::write(place.path("study/stainfree.toml"), text).unwrap();
        refused(&place, &["prepare", "study"], "nuclei/f0.tif");
    }
}

#[test]
fn a_study_that_was_only_begun_is_made_again() {
    let place = Place::new();
    parallel_folders(&place, 4);
    place.ok(&["new", "study", "--images", "images", "--nucleus", "dapi"]);
    let config = place.text("study/stainfree.toml");
    // Killed between the marker and the choices.
    std::fs::remove_file(place.path("study/stainfree.toml")).unwrap();
    place.ok(&["new", "study", "--images", "images", "--nucleus", "dapi"]);
    assert_eq!(place.text("study/stainfree.toml"), config);
}

#[test]
fn a_simulated_plate_is_marked_and_a_folder_of_another_is_left_alone() {
    let place = Place::new();
    place.ok(&[
        "simulate", "plate", "--side", "96", "--wells", "1", "--sites", "1",
    ]);
    let kind = marker::written_by_us(&place.path("plate"));
    assert_eq!(kind, Some(Kind::Plate));
    make_folder(&place, "mine/.simulating");
    std::fs::write(place.path("mine/.simulating/notes.txt"), "mine").unwrap();
    let run = place.run(&["simulate", "mine", "--side", "96", "--wells", "1"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert_eq!(place.text("mine/.simulating/notes.txt"), "mine");
}

/// A lease as `process` would have put it into a folder.
#[cfg(target_os = "linux")]
fn put_lease(folder: &Path, thing: &str, process: u32, parts: &[&str]) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap().trim().to_owned();
    let stat = read(&format!("/proc/{process}/stat"));
    let after_name = stat.rsplit_once(')').unwrap().1;
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap();
    let text = serde_json::json!({
        "command": "train",
        "process": process,
        "host": "here",
        "boot": read("/proc/sys/kernel/random/boot_id"),
        "space": space.to_string_lossy(),
        "begun": after_name.split_whitespace().nth(19).unwrap(),
        "parts": parts,
    });
    std::fs::create_dir_all(folder).unwrap();
    let path = folder.join(format!(".stainfree-lease.{thing}.0"));
    std::fs::write(path, format!("{text}\n")).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn what_another_process_has_is_refused_and_what_a_dead_one_had_is_free() {
    let place = trained();
    let us = std::process::id();
    let train = [&["train", "study", "--name", "second"], &TINY[..]].concat();
    let run = place.path("study/runs/second");
    put_lease(&run, "training", us, &[]);
    refused(&place, &train, "is in use by `train` (process ");
    // The truth must stay as it is while a model is trained from it; another model may be.
    for args in [
        &["prepare", "study"][..],
        &["prepare", "study", "--mitosis"],
    ] {
        refused(&place, args, "runs/second` is in use by");
    }
    place.ok(&[&["train", "study", "--name", "third"], &TINY[..]].concat());
    std::fs::remove_dir_all(&run).unwrap();
    put_lease(&place.path("study"), "truth", us, &[]);
    for args in [
        &train[..],
        &["prepare", "study"],
        &["prepare", "study", "--mitosis"],
        &["evaluate", "study", "--model", "model"],
        &["report", "study", "--model", "model"],
    ] {
        refused(&place, args, "study` is in use by");
    }
    // Ended, and not even waited for by its parent.
    let mut child = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    put_lease(&place.path("study"), "truth", child.id(), &[]);
    put_lease(&run, "training", child.id(), &[]);
    child.kill().unwrap();
    place.ok(&["prepare", "study"]);
    place.ok(&train);
    child.wait().unwrap();
    let left = contents(&place.path("study"));
    let left = left
        .keys()
        .filter(|path| path.to_string_lossy().contains("lease"));
    assert_eq!(left.count(), 0, "leases leave nothing");

    // A field that another process is at; other fields may be done.
    put_lease(&place.path("result"), "fields", us, &["f0", "f9"]);
    let predict = |images: &str| place.run(&["predict", MODEL, images, "--out", "result"]);
    let run = predict("images/bf");
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(
        run.stderr.contains("1 of the same fields, such as `f0`"),
        "{}",
        run.stderr
    );
    assert_eq!(predict("images/bf/f1.tif").code, 0);
}

#[test]
fn several_predictions_into_one_folder_lose_no_row() {
    let place = trained();
    for i in 4..12 {
        disks(&place.path(&format!("images/bf/f{i}.tif")), 96, 2000, i);
    }
    // What an older version left: the same columns, fields that nobody does now.
    place.ok(&["predict", MODEL, "images/bf/f0.tif", "--out", "result"]);
    let start = |fields: std::ops::Range<usize>| {
        let images = fields.map(|i| format!("images/bf/f{i}.tif"));
        std::process::Command::new(env!("CARGO_BIN_EXE_stainfree"))
            .args(["predict", MODEL])
            .args(images)
            .args(["--out", "result", "--threads", "1", "--quiet"])
            .current_dir(place.path(""))
            .spawn()
            .unwrap()
    };
    let running = [start(1..4), start(4..8), start(8..12)];
    for mut process in running {
        assert!(process.wait().unwrap().success());
    }
    let table = place.text("result/predictions.csv");
    assert_eq!(table.lines().count(), 1 + 12, "{table}");
    assert!(
        (0..12).all(|i| table.contains(&format!("\nf{i},done,"))),
        "{table}"
    );
    let files = contents(&place.path("result"));
    let hidden = files
        .keys()
        .filter(|path| path.to_string_lossy().contains("/."));
    assert_eq!(hidden.count(), 0, "leases leave nothing");
}

#[test]
fn two_trainings_of_one_name_never_mix() {
    let place = trained();
    let train = || {
        std::process::Command::new(env!("CARGO_BIN_EXE_stainfree"))
            .args([
                "train",
                "study",
                "--name",
                "twice",
                "--threads",
                "1",
                "--steps",
                "200",
            ])
            .args(&TINY[..8])
            .current_dir(place.path(""))
            .output()
            .unwrap()
    };
    let results = std::thread::scope(|scope| {
        let both = [scope.spawn(train), scope.spawn(train)];
        both.map(|one| one.join().unwrap())
    });
    let done = |result: &std::process::Output| result.status.success();
    assert!(results.iter().any(done));
    // Where the first has ended before the second asked, that finds everything done.
    for refused in results.iter().filter(|result| !done(result)) {
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains("is in use by `train`"), "{said}");
    }
    let log = place.text("study/models/twice/log.jsonl");
    let entry = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let steps: Vec<u64> = log
        .lines()
        .map(entry)
        .filter(|entry| entry["what"] == "step")
        .filter_map(|entry| entry["step"].as_u64())
        .collect();
    let each_once: Vec<u64> = (1..=200).collect();
    assert_eq!(steps, each_once);
}
