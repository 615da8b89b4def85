//! What can compute here, and libraries that are none of ONNX Runtime.
#![cfg(feature = "onnxruntime")]

mod common;

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::Place;

/// Runs `stainfree` in `place` with the library at a path; fails where it does not end.
fn run(place: &Place, library: &str, args: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stainfree"))
        .args(args)
        .current_dir(place.path(""))
        .env("ORT_DYLIB_PATH", library)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("`{}` with the library `{library}` waits for ever", args[0]);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

#[test]
fn what_is_no_library_of_onnx_runtime_is_named_and_nothing_waits_for_it() {
    let place = Place::new();
    std::fs::write(place.path("text.so"), "no library").unwrap();
    let mut libraries = vec![
        ("", "is not said"),
        ("nowhere.so", "there is no such file"),
        ("text.so", "`text.so` is no library"),
    ];
    // A library, but another one.
    let other = ["/lib/x86_64-linux-gnu/libm.so.6", "/usr/lib/libm.so.6"];
    let other = other
        .into_iter()
        .find(|path| std::path::Path::new(path).is_file());
    libraries.extend(other.map(|path| (path, "it has no `OrtGetApiBase`")));
    for (library, expected) in libraries {
        let found = run(&place, library, &["devices"]);
        let said = String::from_utf8(found.stdout).unwrap();
        assert!(
            found.status.success() && said.starts_with("device"),
            "{said}"
        );
        assert!(
            said.contains(expected) && said.contains("ORT_DYLIB_PATH"),
            "{library}: {said}"
        );
    }
}
