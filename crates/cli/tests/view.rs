//! `view`: a server that is killed in the middle of edits, and what `prepare` makes of them.
#![cfg(all(unix, feature = "viewer"))]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Place, parallel_folders};

/// The program, serving a study.
struct Viewer {
    child: Child,
    host: String,
    token: String,
}

impl Viewer {
    fn start(place: &Place, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_stainfree"))
            .args(["view", "study", "--no-open", "--as", "Ada", "-q"])
            .args(more)
            .current_dir(place.path(""))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let (_, address) = line.trim().split_once("http://").expect(&line);
        let (host, token) = address.split_once("/#").expect(&line);
        Self {
            child,
            host: host.to_owned(),
            token: token.to_owned(),
        }
    }

    /// Status and body of an answer; `None` where none came whole.
    fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, serde_json::Value)> {
        let mut stream = TcpStream::connect(&self.host).ok()?;
        let (host, token) = (&self.host, &self.token);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Stainfree-Token: {token}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        let (head, body) = said.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).ok()?))
    }

    /// Paints a new nucleus of one pixel; the version after it, if that was answered.
    fn paint(&self, version: u64, at: (usize, usize)) -> Option<u64> {
        let edit = serde_json::json!({"do": "paint", "label": null, "radius": 0.5,
                                      "line": [[at.0, at.1]]});
        let id = format!("{}-{}", at.0, at.1);
        let body = serde_json::json!({"id": id, "version": version, "edit": edit});
        let (status, said) = self.ask("POST", "/api/edits/0", &body.to_string())?;
        assert_eq!(status, 200, "{said}");
        said["version"].as_u64()
    }

    fn version(&self) -> u64 {
        let (status, said) = self.ask("GET", "/api/edits/0/0", "").unwrap();
        assert_eq!(status, 200, "{said}");
        said["version"].as_u64().unwrap()
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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
