//! `--pattern`: names of files that the program does not know, from `inspect` to the report.

mod common;

use common::{Place, TINY, disks};
use serde_json::Value;

const PATTERN: &str = r"well=(?<well>[A-P]\d+)/pos(?<site>\d+)-(?<channel>\w+)";

/// `screen/well=B2/pos1-bf.tif`, `pos1-dapi.tif` .. of three wells with two sites each.
fn screen() -> Place {
    let place = Place::new();
    for (number, well) in ["B2", "B3", "C2"].into_iter().enumerate() {
        let folder = place.path(&format!("screen/well={well}"));
        std::fs::create_dir_all(&folder).unwrap();
        for site in [1, 2] {
            for (channel, level) in [("bf", 2000), ("dapi", 9000)] {
                let name = format!("pos{site}-{channel}.tif");
                disks(&folder.join(name), 96, level, 2 * number + site);
            }
        }
    }
    place
}

fn said(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_command_reads_names_by_it_and_later_ones_know_it() {
    let place = screen();
    let by = ["--pattern", PATTERN];
    let with = |args: &[&str]| place.ok(&[args, &by].concat());

    let found = said(&with(&["inspect", "screen", "--json", "-"]).stdout);
    assert_eq!((&found["wells"], &found["sites"]), (&3.into(), &2.into()));
    assert_eq!(found["channels"], serde_json::json!(["bf", "dapi"]));

    // A study keeps it.
    with(&["new", "study", "--images", "screen"]);
    assert!(place.text("study/stainfree.toml").contains(PATTERN));
    place.ok(&["prepare", "study"]);
    assert!(place.text("study/fields.csv").contains("\nB02_s1,"));
    place.ok(&[&["train", "study"], &TINY[..]].concat());

    // A result does, too: its page finds the images again.
    with(&["predict", "study", "screen", "--out", "result"]);
    assert!(place.path("result/nuclei/C02_s2.tif").is_file());
    let reported = place.ok(&["report", "result"]);
    assert!(
        !reported.stderr.contains("without pictures"),
        "{}",
        reported.stderr
    );
    let marker = said(&place.text("result/made-by-stainfree.json"));
    assert_eq!(marker["patterns"]["../screen"], PATTERN);

    with(&["segment", "screen", "--out", "labels"]);
    with(&[
        "measure",
        "--images",
        "screen",
        "--labels",
        "labels",
        "--out",
        "cells.csv",
    ]);
    assert!(place.text("cells.csv").contains("B02_s1"));
    with(&["convert", "screen", "--to", "ome-zarr", "--out", "zarr"]);
    assert!(place.path("zarr").read_dir().unwrap().count() > 1);
    let planned = with(&["plan", "screen", "--wells", "2"]);
    assert_eq!(planned.stdout.lines().count(), 3, "{}", planned.stdout);
}

#[test]
fn without_it_the_way_out_names_it_and_a_wrong_one_is_refused() {
    let place = screen();
    let run = place.run(&["inspect", "screen"]);
    // The folders share names, so they are taken for channels; what was meant has to be said.
    assert_eq!(run.code, 0, "{}", run.stderr);
    place.fails(
        1,
        &["inspect", "screen", "--pattern", "(?<site>.)"],
        "error: the pattern `(?<site>.)` has no group `name` or `well`, nor `row` and `column`; \
         write one such as `(?<well>[A-P]\\d+)_s(?<site>\\d+)_(?<channel>[^_]+)`",
    );
    place.ok(&["new", "study", "--images", "screen", "--pattern", PATTERN]);
    place.fails(
        2,
        &["view", "study", "--pattern", "(?<name>.)"],
        "error: `study` is a study, which knows its images; leave out `--images` and `--pattern`",
    );
}
