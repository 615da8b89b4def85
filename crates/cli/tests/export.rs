//! `export`: a trained model as files for other programs.

mod common;

use common::{Place, TINY, parallel_folders};

#[test]
fn a_studys_model_becomes_files_that_name_its_outputs() {
    let place = Place::new();
    parallel_folders(&place, 4);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    place.ok(&[&["train", "study"], &TINY[..]].concat());
    let onnx = ["export", "study", "--to", "onnx", "--out", "net.onnx"];
    let run = place.ok(&[&onnx[..], &["--json", "-"]].concat());
    let said: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(said["outputs"][0]["name"], "classes", "{said}");
    let next = "next: stainfree export study --to bioimageio --out net.zip";
    assert!(run.stderr.contains(next), "{}", run.stderr);
    for file in said["files"].as_array().unwrap() {
        assert!(place.path(file.as_str().unwrap()).is_file(), "{file}");
    }
    // The folder itself is the same model.
    place.ok(&[
        "export",
        "study/models/model",
        "--to",
        "onnx",
        "--out",
        "same.onnx",
    ]);
    let bytes = |name| std::fs::read(place.path(name)).unwrap();
    assert_eq!(bytes("net.onnx"), bytes("same.onnx"));
    // The card of a package has the scores that were made of this model.
    place.ok(&["evaluate", "study"]);
    let package = ["export", "study", "--to", "bioimageio", "--out", "net.zip"];
    let run = place.ok(&package);
    assert!(run.stderr.contains("names no licence"), "{}", run.stderr);
    assert!(run.stderr.contains("next: bioimageio test net.zip"));

    place.fails(
        2,
        &[&onnx[..], &["--author", "A. Name"]].concat(),
        "error: `--author` is for the description that `--to bioimageio` writes; an ONNX file has \
         none",
    );
    place.fails(
        2,
        &[&onnx[..], &["--full-range", "0"]].concat(),
        "error: `--full-range 0` must be above 0, such as `65535`",
    );
    place.fails(
        2,
        &["export", "study", "--to", "onnx", "--out", "net.zip"],
        "error: `--to onnx` writes a file `.onnx`; give `--out net.onnx`",
    );
}
