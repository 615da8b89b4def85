//! `--json -`: every step of the journey as JSON on standard output, and nothing else there.

mod common;

use common::{Place, TINY};
use serde_json::Value;

/// Runs with `--json -` and reads what came.
#[track_caller]
fn said(place: &Place, args: &[&str], keys: &[&str]) -> Value {
    let run = place.ok(&[args, &["--json", "-"]].concat());
    let value: Value = serde_json::from_str(&run.stdout)
        .unwrap_or_else(|error| panic!("{args:?}: {error}\n{}", run.stdout));
    for key in keys {
        assert!(value.get(key).is_some(), "{args:?} has no `{key}`: {value}");
    }
    value
}

#[test]
fn every_step_of_the_journey_answers_in_json() {
    let place = Place::new();
    let sim = [
        "simulate", "--out", "sim", "--wells", "3", "--sites", "1", "--side", "160",
    ];
    let made = said(&place, &sim, &["program", "plate", "truth"]);
    assert_eq!(made["wells"], 3);
    let found = said(&place, &["inspect", "sim/plate"], &["layout", "problems"]);
    assert_eq!(found["fields"], 3);
    let new = said(
        &place,
        &["new", "sim/plate", "--out", "study"],
        &["config", "messages"],
    );
    assert_eq!(new["study"], "study");
    let prepared = said(
        &place,
        &["prepare", "study"],
        &["left_out", "failed", "mitotic"],
    );
    assert_eq!(
        (&prepared["train"], &prepared["made"]),
        (&1.into(), &3.into())
    );
    let train = [&["train", "study", "--weights", "none"], &TINY[..]].concat();
    let trained = said(
        &place,
        &train,
        &["program", "model", "chosen_step", "seconds"],
    );
    assert_eq!(trained["steps"], 4);
    said(
        &place,
        &["evaluate", "study"],
        &["images", "groups", "classes", "on"],
    );
    said(&place, &["report", "study"], &["program", "report"]);
    let predict = ["predict", "study", "sim/plate", "--out", "result"];
    let predicted = said(&place, &predict, &["nuclei", "failed", "seconds"]);
    assert_eq!(
        (&predicted["done"], &predicted["skipped"]),
        (&3.into(), &0.into())
    );
    assert_eq!(said(&place, &predict, &[])["skipped"], 3);
    let table = [
        "measure",
        "result",
        "--images",
        "sim/plate",
        "--out",
        "cells.csv",
    ];
    said(&place, &table, &["program", "objects", "columns"]);
    let stains = [
        "segment",
        "sim/plate",
        "--nucleus",
        "Hoechst",
        "--out",
        "labels",
    ];
    assert_eq!(said(&place, &stains, &["nuclei", "failed"])["fields"], 3);
    let out = ["exclude", "study", "B02_s1", "--because", "out of focus"];
    let excluded = said(&place, &out, &["program"])["excluded"].clone();
    assert_eq!(excluded[0]["field"], "B02_s1");
    assert_eq!(
        said(&place, &["exclude", "study"], &[])["excluded"],
        excluded
    );
}

#[test]
fn json_goes_into_no_file_of_somebody_else() {
    let place = Place::new();
    std::fs::write(place.path("notes.json"), "{\"mine\": 1}").unwrap();
    for args in [
        &["new", "plate", "--out", "study"][..],
        &["prepare", "study"],
        &["train", "study"],
        &["predict", "model", "plate", "--out", "result"],
        &["segment", "plate", "--out", "labels"],
        &["report", "study"],
        &["experiment", "matrix.toml"],
        &["exclude", "study"],
        &["simulate", "sim"],
        &["pretrain", "start"],
    ] {
        let run = place.run(&[args, &["--json", "notes.json"]].concat());
        assert_eq!(run.code, 1, "{args:?}");
        assert!(
            run.stderr.contains("`notes.json` is there"),
            "{args:?}: {}",
            run.stderr
        );
    }
    assert_eq!(place.text("notes.json"), "{\"mine\": 1}");
    assert!(!place.path("sim").exists());
}

#[test]
fn the_models_of_a_study_are_named_where_there_are_several() {
    let place = Place::new();
    place.ok(&[
        "simulate", "sim", "--wells", "3", "--sites", "1", "--side", "160",
    ]);
    place.ok(&["new", "sim/plate", "--out", "study"]);
    place.ok(&["prepare", "study"]);
    let predict = ["predict", "study", "sim/plate", "--out", "result"];
    place.fails(
        2,
        &predict,
        "error: `study` has no model yet; run `stainfree train` on it first",
    );
    for name in ["a", "b"] {
        let train = ["train", "study", "--weights", "none", "--name", name];
        place.ok(&[&train, &TINY[..]].concat());
    }
    place.fails(
        2,
        &predict,
        "error: `study` has no model `model`; choose one of its models with `--model` (`a`, `b`)",
    );
    place.ok(&[&predict[..], &["--model", "b"]].concat());
    place.fails(
        2,
        &[
            "predict",
            "study/models/a",
            "sim/plate",
            "--out",
            "result",
            "--model",
            "a",
        ],
        "error: `--model` names a model of a study, and `study/models/a` is none; leave it out",
    );
}
