//! `view`: a server that is killed in the middle of edits, and what `prepare` makes of them.
#![cfg(all(unix, feature = "viewer"))]

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::viewer::Viewer;
use common::{Place, parallel_folders};

#[test]
fn a_killed_viewer_loses_no_answered_edit_and_prepare_takes_them() {
    let place = Place::new();
    parallel_folders(&place, 4);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    let mut answered = Vec::new();
    // Pixels two apart in rows of background: disks of radius 11 have their centres 32 apart.
    let rows = (29..36).step_by(2).chain([93, 95]);
    let mut places = rows.flat_map(|y| (0..96).step_by(2).map(move |x| (y, x)));
    for round in 0..4u64 {
        let mut viewer = Viewer::start(&place, &[]);
        let pid = viewer.child.id();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(60 + 35 * round));
            let kill = ["-9".to_owned(), pid.to_string()];
            assert!(Command::new("kill").args(kill).status().unwrap().success());
        });
        let mut version = viewer.ask("GET", "/api/edits/0/0", "").map(|said| said.1);
        let mut known = version.take().and_then(|said| said["version"].as_u64());
        while let Some(now) = known {
            // So that a fast machine does not run out of places before the end comes.
            std::thread::sleep(Duration::from_millis(3));
            let at = places.next().expect("enough places");
            known = viewer.paint(now, at);
            if known.is_some() {
                answered.push(at);
            }
        }
        killer.join().unwrap();
        viewer.child.wait().unwrap();
    }
    assert!(!answered.is_empty());
    let viewer = Viewer::start(&place, &["--read-only"]);
    assert!(viewer.version() as usize > answered.len());
    let body = r#"{"id": "r", "version": 1, "edit": {"do": "undo"}}"#;
    assert_eq!(viewer.ask("POST", "/api/edits/0", body).unwrap().0, 403);
    drop(viewer);
    // One more edit brings the label image up to the log, whatever the last kill left.
    let mut viewer = Viewer::start(&place, &[]);
    viewer.paint(viewer.version(), (88, 0)).unwrap();
    let labels = stainfree_image::read_labels(&place.path("study/human/corrected/f0.tif")).unwrap();
    for &(y, x) in &answered {
        assert_ne!(labels.get(y, x), 0, "the edit at {y}, {x} was lost");
    }
    // Ctrl-C ends it, soon and as a success.
    let interrupt = ["-2".to_owned(), viewer.child.id().to_string()];
    assert!(
        Command::new("kill")
            .args(interrupt)
            .status()
            .unwrap()
            .success()
    );
    let begun = Instant::now();
    let ended = viewer.child.wait().unwrap();
    assert!(
        ended.success() && begun.elapsed() < Duration::from_secs(20),
        "{ended}"
    );

    place.ok(&["prepare", "study"]);
    let table = place.text("study/fields.csv");
    let row = table.lines().find(|line| line.starts_with("f0,")).unwrap();
    assert!(row.contains("corrected"), "{table}");
    let who = place.text("study/human/edits/f0.jsonl");
    assert!(
        who.lines().all(|line| line.contains("\"who\":\"Ada\"")),
        "{who}"
    );
}

#[test]
fn what_cannot_be_shown_is_said() {
    let place = Place::new();
    std::fs::create_dir(place.path("empty")).unwrap();
    for (code, args, sentence) in [
        (1, &["view", "empty", "--no-open"][..], "no image"),
        (2, &["view", "empty", "--images", "empty"], "leave it out"),
        (2, &["view", "empty", "--port", "99999"], "99999"),
    ] {
        let run = place.run(args);
        assert_eq!(run.code, code, "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(sentence), "{args:?}: {}", run.stderr);
    }
}
