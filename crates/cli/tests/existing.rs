//! Results that are there already: the same is kept, another is replaced only with `--overwrite`,
//! and what the program did not make is never touched (docs/files.md).

mod common;

use std::collections::BTreeMap;

use common::{Place, TINY, disk_labels, disks, parallel_folders};

/// Every file of a folder and what it holds.
fn held(place: &Place, folder: &str) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
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

/// Refused with this sentence, and nothing of the folder has changed.
#[track_caller]
fn refused(place: &Place, folder: &str, args: &[&str], sentence: &str) {
    let before = held(place, folder);
    place.fails(1, args, &format!("error: {sentence}"));
    assert!(held(place, folder) == before, "{args:?} has written");
}

#[test]
fn predictions_of_something_else_are_replaced_when_that_is_asked_for() {
    let place = Place::new();
    parallel_folders(&place, 3);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    let train = [&["train", "study"], &TINY[..]].concat();
    place.ok(&train);
    let other = [
        &["train", "study", "--name", "other", "--seed", "7"],
        &TINY[..],
    ]
    .concat();
    place.ok(&other);
    let predict = |more: &[&'static str]| {
        let fixed = [
            "predict",
            "study",
            "images/bf",
            "--out",
            "result",
            "--model",
        ];
        [&fixed[..], more].concat()
    };
    place.ok(&predict(&["model"]));
    let first = held(&place, "result");
    // The same is kept, to the byte.
    let again = place.ok(&predict(&["model"]));
    assert!(
        again.stdout.starts_with("0 fields done"),
        "{}",
        again.stdout
    );
    assert!(held(&place, "result") == first);
    let sentence = "`result` holds results of 3 of 3 fields, such as `f0`, that are of another \
        model, image, option or version; replace them with `--overwrite`, or choose another \
        folder with `--out`";
    refused(&place, "result", &predict(&["model", "--flips"]), sentence);
    refused(&place, "result", &predict(&["other"]), sentence);
    // Other fields have room beside them.
    std::fs::create_dir(place.path("more")).unwrap();
    disks(&place.path("more/g.tif"), 96, 2000, 5);
    place.ok(&[
        "predict", "study", "more", "--out", "result", "--model", "other",
    ]);
    place.ok(&predict(&["other", "--overwrite"]));
    let run = place.ok(&predict(&["other"]));
    assert!(run.stdout.starts_with("0 fields done"), "{}", run.stdout);
    refused(&place, "result", &predict(&["model"]), sentence);
    // What somebody edited is not replaced, whatever is asked for.
    disk_labels(&place.path("result/nuclei/f1.tif"), 96, 3);
    let before = held(&place, "result");
    let run = place.run(&predict(&["model", "--overwrite"]));
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(
        run.stderr.contains("result/nuclei/f1.tif"),
        "{}",
        run.stderr
    );
    assert!(held(&place, "result") == before);

    // A model begins anew by the same word.
    let seed = [&["train", "study", "--seed", "9"], &TINY[..]].concat();
    let run = place.run(&seed);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("with `--overwrite`"), "{}", run.stderr);
    place.ok(&[&seed[..], &["--overwrite"]].concat());
}

#[test]
fn labels_of_something_else_are_replaced_when_that_is_asked_for() {
    let place = Place::new();
    for folder in ["stains", "more"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    disks(&place.path("stains/a.tif"), 96, 9000, 3);
    disks(&place.path("more/b.tif"), 96, 9000, 5);
    let segment = |more: &[&'static str]| [&["segment", "stains", "--out", "out"], more].concat();
    place.ok(&segment(&[]));
    let first = held(&place, "out");
    place.ok(&segment(&[]));
    assert!(held(&place, "out") == first, "the same command");
    let sentence = "`out` holds labels of 1 of 1 fields, such as `a`, that are of another image, \
        option or version; replace them with `--overwrite`, or choose another folder with `--out`";
    refused(&place, "out", &segment(&["--pixel-um", "0.7"]), sentence);
    // Other fields have room beside them, and both commands may be given again.
    place.ok(&["segment", "more", "--out", "out"]);
    place.ok(&segment(&[]));
    place.ok(&segment(&["--pixel-um", "0.7", "--overwrite"]));
    place.ok(&segment(&["--pixel-um", "0.7"]));
    refused(&place, "out", &segment(&[]), sentence);
    // Another image of the same name.
    std::fs::remove_file(place.path("stains/a.tif")).unwrap();
    disks(&place.path("stains/a.tif"), 96, 8000, 4);
    refused(&place, "out", &segment(&["--pixel-um", "0.7"]), sentence);
}
