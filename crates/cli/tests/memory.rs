//! What is said of memory, against what the system counts (`VmHWM`, which Linux keeps).
#![cfg(target_os = "linux")]

mod common;

use std::process::{Command, Stdio};

use common::{Place, parallel_folders};
use stainfree_image::{Image, write};

/// What a run left, and the most memory that it held, in bytes.
struct Watched {
    stderr: String,
    peak: usize,
}

/// Runs the program and looks at its peak until it ends: it only grows, so the last look counts.
fn watched(place: &Place, args: &[&str]) -> Watched {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stainfree"))
        .args(args)
        .args(["--threads", "2"])
        .current_dir(place.path(""))
        .env("XDG_DATA_HOME", place.path(""))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|rest| rest.trim().split(' ').next()?.parse().ok());
        peak = kilobytes.map_or(peak, |kilobytes: usize| 1024 * kilobytes);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {stderr}");
    Watched { stderr, peak }
}

/// Gibibytes after the words.
fn stated(text: &str, words: &str) -> f64 {
    let (_, rest) = text.split_once(words).unwrap_or_else(|| panic!("{text}"));
    rest.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn trainings_and_predictions_take_no_more_than_they_say() {
    let place = Place::new();
    parallel_folders(&place, 4);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    let train = [
        "train",
        "study",
        "--encoder",
        "vgg16",
        "--width",
        "0.25",
        "--weights",
        "none",
        "--crop",
        "224",
        "--batch",
        "4",
        "--steps",
        "4",
    ];
    let run = watched(&place, &train);
    let most = stated(&run.stderr, "checkpoints it is ");
    let step = stated(&run.stderr, "pixels takes ");
    let peak = run.peak as f64 / f64::from(1 << 30);
    println!("train: {peak:.2} GiB, stated {step} for a step and {most} in all");
    assert!(peak <= most, "{peak} GiB and stated {most}");
    // A step is what it is said to be: no less than nine tenths of it is held, beside code.
    assert!(peak >= 0.9 * step, "{peak} GiB and a step of {step}");

    std::fs::create_dir(place.path("large")).unwrap();
    let image = Image::from_fn(1400, 1300, |y, x| ((y * 7 + x * 13) % 1009) as u16);
    for i in 0..3 {
        let path = place.path(&format!("large/f{i}.tif"));
        write::plane_u16(&path, &image, &write::Note::default()).unwrap();
    }
    for (cap, bytes) in [("400MiB", 400 << 20), ("1GiB", 1 << 30)] {
        let out = format!("out {cap}");
        let predict = [
            "predict",
            "study/models/model",
            "large",
            "--out",
            &out,
            "--memory",
            cap,
        ];
        let run = watched(&place, &predict);
        println!("predict --memory {cap}: {} MiB", run.peak >> 20);
        assert!(
            run.peak <= bytes,
            "{cap}: {} MiB\n{}",
            run.peak >> 20,
            run.stderr
        );
    }
}
