//! Many machines: shards that are given in any order, at once, killed and again, and then joined,
//! leave what one run leaves, byte for byte.
//!
//! `STAINFREE_SHARD_KILLS` is the number of kills (4), `STAINFREE_KILLS_SEED` chooses their
//! moments; `bench/shards/kills.py` does a thousand.

#![cfg(unix)]

mod common;
#[allow(dead_code)] // a part of it is for other tests
#[path = "kills/disturb.rs"]
mod disturb;
#[allow(dead_code)]
#[path = "kills/tree.rs"]
mod tree;

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use common::{Place, TINY, parallel_folders};
use disturb::{Moment, Random, run_counted, run_until};
use serde_json::Value;
use tree::{Tree, copy, difference, is_temporary, read_tree};

/// A simulated plate of 3 wells with 2 fields each, and a study of it that has a model.
static PLATE: LazyLock<Place> = LazyLock::new(|| {
    let place = Place::new();
    place.ok(&[
        "simulate", "--out", "sim", "--wells", "3", "--sites", "2", "--side", "160", "--planes",
        "1", "--quiet",
    ]);
    place.ok(&["new", "sim/plate", "--out", "study"]);
    copy(&place.path("study"), &place.path("unprepared"));
    place.ok(&["prepare", "study"]);
    place.ok(&[&["train", "study"], &TINY[..]].concat());
    place
});

const PREDICT: [&str; 4] = ["predict", "study", "sim/plate", "--out"];

/// What a folder holds, but the tables of its shards, and unfinished files of those that were
/// killed, which nobody reads.
fn joined(folder: &Path) -> Tree {
    let mut tree = read_tree(folder);
    tree.retain(|name, _| !name.starts_with("shards/") && !is_temporary(name));
    tree
}

#[track_caller]
fn expect_same(place: &Place, one: &str, many: &str) {
    let found = difference(&joined(&place.path(one)), &joined(&place.path(many)));
    assert_eq!(found, None, "`{many}` is not `{one}`");
}

/// `status` as JSON.
#[track_caller]
fn status(place: &Place, folder: &str) -> Value {
    let run = place.ok(&["status", folder, "--json", "-"]);
    serde_json::from_str(&run.stdout).expect("JSON")
}

/// Units, done, running, failed, missing.
fn counts(of: &Value) -> [u64; 5] {
    ["units", "done", "running", "failed", "missing"].map(|key| of[key].as_u64().expect("a count"))
}

fn shard<'a>(args: &[&'a str], which: &'a str) -> Vec<&'a str> {
    [args, &["--shard", which]].concat()
}

#[test]
fn predicting_by_shards_and_joining_them_leaves_what_one_run_leaves() {
    let place = &*PLATE;
    let further = ["--to", "ome-zarr", "--also", "geojson"];
    place.ok(&[&PREDICT[..], &["one"], &further].concat());
    let many = [&PREDICT[..], &["many"], &further].concat();
    for which in ["3/3", "1/3"] {
        place.ok(&shard(&many, which));
    }
    assert_eq!(counts(&status(place, "many")), [6, 4, 0, 0, 2]);
    // What is there is joined; the exit code says that it is not all.
    let early = place.run(&["merge", "many"]);
    assert_eq!(early.code, 3, "{}{}", early.stdout, early.stderr);
    assert!(
        early
            .stdout
            .contains("4 of 6 fields joined, 0 failed, 2 missing")
    );
    place.ok(&shard(&many, "2/3"));
    place.ok(&["merge", "many"]);
    expect_same(place, "one", "many");
    let before = read_tree(&place.path("many"));
    place.ok(&["merge", "many"]);
    assert_eq!(difference(&before, &read_tree(&place.path("many"))), None);

    let found = status(place, "many");
    assert_eq!(counts(&found), [6, 6, 0, 0, 0]);
    let shards = found["shards"].as_array().expect("shards");
    assert_eq!(shards.len(), 3);
    assert_eq!(shards[1]["shard"], "2/3");
    assert_eq!(counts(&shards[1]), [2, 2, 0, 0, 0]);
    let plates = found["plates"].as_array().expect("plates");
    assert_eq!(plates.len(), 1);
    assert_eq!(counts(&plates[0]), [6, 6, 0, 0, 0]);

    // A shard again has nothing to do; a file that is gone is missing until its shard is given.
    let again = place.ok(&shard(&many, "1/3"));
    assert!(
        again.stdout.starts_with("0 fields done"),
        "{}",
        again.stdout
    );
    let nuclei = place.path("many/nuclei");
    let file = std::fs::read_dir(&nuclei)
        .unwrap()
        .flatten()
        .next()
        .unwrap()
        .path();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(counts(&status(place, "many")), [6, 5, 0, 0, 1]);
    for which in ["1/3", "2/3", "3/3"] {
        place.ok(&shard(&many, which));
    }
    place.ok(&["merge", "many"]);
    expect_same(place, "one", "many");
}

#[test]
fn a_new_division_goes_on_with_what_the_old_one_has_done_and_one_run_joins_too() {
    let place = &*PLATE;
    place.ok(&[&PREDICT[..], &["whole"]].concat());
    let again = [&PREDICT[..], &["again"]].concat();
    place.ok(&shard(&again, "1/2"));
    let second = place.ok(&shard(&again, "2/4"));
    assert!(
        second
            .stderr
            .contains("shared among 2 before, and now among 4"),
        "{}",
        second.stderr
    );
    // Of six fields the first, third and fifth are done, and now the second and sixth.
    let found = status(place, "again");
    assert_eq!(counts(&found)[..2], [6, 5]);
    let rest = place.ok(&again);
    assert!(rest.stdout.starts_with("1 fields done"), "{}", rest.stdout);
    expect_same(place, "whole", "again");
    // Anew, by another rule: rows of before vouch for nothing meanwhile.
    let other = [&again[..], &["--rule", "default", "--flips", "--overwrite"]].concat();
    place.ok(&shard(&other, "1/2"));
    place.ok(&shard(&other, "2/2"));
    place.ok(&["merge", "again"]);
    place.ok(&[&PREDICT[..], &["flipped", "--rule", "default", "--flips"]].concat());
    expect_same(place, "flipped", "again");
}

#[test]
fn a_study_is_prepared_by_shards_once_the_first_has_found_what_plates_need() {
    let place = &*PLATE;
    copy(&place.path("unprepared"), &place.path("shared"));
    let prepare = ["prepare", "shared"];
    place.ok(&shard(&prepare, "2/2"));
    assert_eq!(counts(&status(place, "shared")), [6, 3, 0, 0, 3]);
    let early = place.run(&["merge", "shared"]);
    assert_eq!(early.code, 1, "{}", early.stderr);
    assert!(
        early
            .stderr
            .contains("3 of 6 fields of `shared` are not prepared as the study is now"),
        "{}",
        early.stderr
    );
    place.ok(&shard(&prepare, "1/2"));
    let half = place.run(&["train", "shared", "--steps", "1"]);
    assert!(half.stderr.contains("half prepared"), "{}", half.stderr);
    place.ok(&["merge", "shared"]);
    let single = place.path("single");
    copy(&place.path("unprepared"), &single);
    place.ok(&["prepare", "single"]);
    expect_same(place, "single", "shared");
    let before = read_tree(&place.path("shared"));
    place.ok(&["merge", "shared"]);
    assert_eq!(difference(&before, &read_tree(&place.path("shared"))), None);
}

#[test]
fn stains_are_segmented_by_shards_two_of_them_at_once() {
    let place = Place::new();
    parallel_folders(&place, 5);
    // One that cannot be read is told from those that nobody has done.
    let mut bytes = std::fs::read(place.path("images/dapi/f0.tif")).unwrap();
    // Its pixels lie before the directory, to which the second word of the file points.
    let directory = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
    bytes[directory - 100..directory].fill(0xFF);
    std::fs::write(place.path("images/dapi/f9.tif"), bytes).unwrap();
    let segment = ["segment", "images/dapi", "--out", "labels"];
    let ends = std::thread::scope(|scope| {
        let run = |which: &'static str| {
            let place = &place;
            scope.spawn(move || place.run(&shard(&segment, which)).code)
        };
        ["1/3", "2/3"].map(run).map(|handle| handle.join().unwrap())
    });
    let last = place.run(&shard(&segment, "3/3")).code;
    let mut codes = vec![ends[0], ends[1], last];
    codes.sort_unstable();
    assert_eq!(codes, [0, 0, 3]);
    let found = status(&place, "labels");
    assert_eq!(counts(&found), [6, 5, 0, 1, 0]);
    assert_eq!(found["failures"][0]["field"], "f9");
    assert_eq!(place.run(&["merge", "labels"]).code, 3);
    let one = place.run(&["segment", "images/dapi", "--out", "one"]);
    assert_eq!(one.code, 3);
    expect_same(&place, "one", "labels");
}

#[test]
fn rows_that_shards_have_measured_make_the_table_the_wells_and_the_maps_of_one_run() {
    let place = &*PLATE;
    place.ok(&["segment", "sim/plate", "--out", "stained"]);
    let measure = |out: &str, wells: &str| {
        let args = [
            "measure",
            "--labels",
            "stained",
            "--images",
            "sim/plate",
            "--out",
            out,
            "--wells",
            wells,
            "--heatmap",
            "objects",
            "--heatmap",
            "area_um2",
        ];
        args.map(str::to_owned)
    };
    std::fs::create_dir_all(place.path("tables/one")).unwrap();
    std::fs::create_dir_all(place.path("tables/many")).unwrap();
    for table in ["cells.csv", "cells.parquet"] {
        let args = |folder: &str| {
            let wells = format!("tables/{folder}/wells.csv");
            let mut args = measure(&format!("tables/{folder}/{table}"), &wells).to_vec();
            args.push("--overwrite".to_owned());
            args
        };
        let one = args("one");
        place.ok(&one.iter().map(String::as_str).collect::<Vec<_>>());
        let many = args("many");
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        place.ok(&shard(&many, "4/4"));
        place.ok(&shard(&many, "2/4"));
        let early = place.run(&["merge", "tables/many"]);
        assert!(
            early.stderr.contains("are not measured yet"),
            "{}",
            early.stderr
        );
        assert!(!place.path("tables/many").join(table).exists());
        place.ok(&shard(&many, "3/4"));
        place.ok(&shard(&many, "1/4"));
        place.ok(&["merge", "tables/many"]);
        expect_same(place, "tables/one", "tables/many");
        let again = place.ok(&shard(&many, "2/4"));
        assert!(
            again.stdout.contains("(2 measured before)"),
            "{}",
            again.stdout
        );
    }
    assert_eq!(counts(&status(place, "tables/many")), [12, 12, 0, 0, 0]);
    let other = measure("tables/many/cells.csv", "tables/many/wells.csv");
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    place.fails(
        1,
        &shard(&[&other[..], &["--texture"]].concat(), "1/4"),
        "error: the shards of `tables/many/cells.csv` so far were given other images, labels or \
         options: give the same ones, or `--overwrite` to measure all of them anew",
    );
}

#[test]
fn what_is_no_shard_is_refused_in_one_sentence() {
    let place = Place::new();
    parallel_folders(&place, 1);
    let segment = ["segment", "images/dapi", "--out", "labels"];
    for (wrong, said) in [
        ("0/4", "shards are counted from 1, so give `1/4` to `4/4`"),
        ("5/4", "shards are counted from 1, so give `1/4` to `4/4`"),
        (
            "1/0",
            "there are 1 to 100000 shards, not 0: give one such as `3/8`",
        ),
        ("a/b", "give a number and a count such as `3/8`, or `auto`"),
        ("3", "give a number and a count such as `3/8`, or `auto`"),
        (
            "auto",
            "this is no task of a Slurm array job, SLURM_ARRAY_TASK_ID is not set; give the \
             shard, such as `--shard 3/8`",
        ),
    ] {
        let sentence = format!("error: `--shard {wrong}`: {said}");
        place.fails(2, &shard(&segment, wrong), &sentence);
    }
    assert!(!place.path("labels").exists());
    place.fails(
        2,
        &["status", "images"],
        "error: nothing in `images` is shared: no command was given `--shard` there; name the \
         folder that the shards fill",
    );
}

#[test]
fn a_task_of_a_slurm_array_takes_its_shard_where_that_is_asked_for() {
    let place = Place::new();
    parallel_folders(&place, 2);
    let task = |id: &'static str| {
        [
            ("SLURM_ARRAY_TASK_ID", id),
            ("SLURM_ARRAY_TASK_COUNT", "2"),
            ("SLURM_ARRAY_TASK_MIN", "0"),
            ("SLURM_ARRAY_TASK_MAX", "1"),
        ]
    };
    let segment = ["segment", "images/dapi", "--out", "labels"];
    let second = place.run_with(&task("1"), &shard(&segment, "auto"));
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert!(
        second
            .stderr
            .contains("this is shard 2/2 (SLURM_ARRAY_TASK_ID=1")
    );
    assert_eq!(counts(&status(&place, "labels")), [2, 1, 0, 0, 1]);
    // Without the option nothing of the environment matters.
    let all = place.run_with(&task("1"), &segment);
    assert!(all.stdout.contains("in 2 fields"), "{}", all.stdout);
}

#[test]
fn shards_that_are_killed_at_any_moment_and_given_again_lose_and_double_nothing() {
    let place = &*PLATE;
    let number = |name: &str, default: usize| {
        let given = std::env::var(name).ok();
        given.map_or(default, |text| text.parse().expect("a number"))
    };
    let kills = number("STAINFREE_SHARD_KILLS", 4);
    let mut random = Random::new(number("STAINFREE_KILLS_SEED", 1) as u64);
    let work = place.path("killed");
    std::fs::create_dir(&work).unwrap();
    for folder in ["study", "sim"] {
        std::os::unix::fs::symlink(place.path(folder), work.join(folder)).unwrap();
    }
    let predict = [&PREDICT[..], &["undisturbed"]].concat();
    let (_, whole, changes) = run_counted(&work, &predict);
    let mut killed = 0;
    for round in 0..kills {
        let _ = std::fs::remove_dir_all(work.join("result"));
        let many = [&PREDICT[..], &["result"]].concat();
        let unlucky = random.below(2);
        for (index, which) in ["1/2", "2/2"].into_iter().enumerate() {
            let args = shard(&many, which);
            if index == unlucky {
                // Between two writes, or at any time.
                let moment = match random.below(3) {
                    0 => Moment::After(whole.mul_f64(random.share()).min(MOST)),
                    _ => Moment::Changes(1 + random.below((changes / 2).max(1))),
                };
                let ended = run_until(&work, &args, moment);
                killed += usize::from(matches!(ended, disturb::Ended::Killed));
            }
            let again = disturb::run(&work, &args);
            assert_eq!(again.code, 0, "round {round}: {}", again.stderr);
        }
        let merged = disturb::run(&work, &["merge", "result"]);
        assert_eq!(merged.code, 0, "round {round}: {}", merged.stderr);
        let found = difference(
            &joined(&work.join("undisturbed")),
            &joined(&work.join("result")),
        );
        assert_eq!(found, None, "round {round}");
    }
    assert!(killed > 0 || kills == 0, "every shard was faster");
}

/// A machine that does many things at once makes nothing wait for minutes here.
const MOST: Duration = Duration::from_secs(20);
