//! Corrections: what `prepare` takes is what the edits say, whoever makes them, whatever ends the
//! server, and whatever other programs do to the label image.

mod common;

use common::{Running, corrected, kept, nuclei, study};
use serde_json::{Value, json};
use stainfree_image::{Image, write};

/// Every kind of edit once, on different objects.
fn edits() -> Vec<Value> {
    vec![
        json!({"do": "reject", "label": 1}),
        // Object 2 covers the columns 30 to 49 and the rows 0 to 19.
        json!({"do": "split", "label": 2, "line": [[-3, 36], [25, 36]]}),
        json!({"do": "paint", "label": 3, "radius": 2.5, "line": [[10, 79], [10, 89]]}),
        json!({"do": "merge", "labels": [3, 4]}),
        json!({"do": "erase", "label": 5, "radius": 4, "line": [[0, 120], [19, 139]]}),
        json!({"do": "paint", "label": null, "radius": 3, "line": [[25, 200]]}),
        json!({"do": "accept", "label": 7}),
        json!({"do": "comment", "label": 7, "text": "blurred, but two"}),
    ]
}

fn count(image: &Image<u32>, label: u32) -> usize {
    image.data().iter().filter(|l| **l == label).count()
}

#[test]
fn every_edit_is_in_the_label_image_at_once_and_can_be_taken_back() {
    let folder = study();
    let server = Running::on(folder.path());
    let mut version = 0;
    let mut images = Vec::new();
    for (i, edit) in edits().into_iter().enumerate() {
        version = server.done(&format!("e{i}"), version, edit);
        images.push(kept(folder.path()));
    }
    let last = images.last().unwrap();
    let largest = nuclei().data().iter().copied().max().unwrap();
    assert_eq!(count(last, 1), 0);
    // The column of the line goes to the part that keeps the number: 400 = 14 x 20 + 6 x 20.
    assert_eq!((count(last, 2), count(last, largest + 1)), (280, 120));
    assert_eq!((last.get(0, 35), last.get(0, 36)), (largest + 1, 2));
    assert_eq!(count(last, 4), 0);
    assert!(
        count(last, 3) > 800 && last.get(10, 85) == 3,
        "{}",
        count(last, 3)
    );
    assert!(count(last, 5) < 400 && last.get(10, 130) == 0);
    assert_eq!(
        (last.get(25, 200), last.get(25, 203)),
        (largest + 2, largest + 2)
    );
    // Others are as they were.
    assert_eq!(count(last, 40), 400);
    let said = server.get("/api/edits/0/0").json();
    assert_eq!(said["state"]["accepted"], json!([7]));
    assert_eq!(said["state"]["comments"][0]["text"], "blurred, but two");
    assert_eq!(said["state"]["comments"][0]["who"], "tester");

    // Back to the beginning, step by step, and forward again.
    let mut back = vec![nuclei()];
    back.extend(images[..images.len() - 1].iter().cloned());
    back.reverse();
    for (i, expected) in back.into_iter().enumerate() {
        version = server.done(&format!("u{i}"), version, json!({"do": "undo"}));
        assert!(kept(folder.path()) == expected, "undo {i}");
    }
    assert_eq!(server.edit("u", version, json!({"do": "undo"})).status, 400);
    for (i, expected) in images.iter().enumerate() {
        version = server.done(&format!("r{i}"), version, json!({"do": "redo"}));
        assert!(kept(folder.path()) == *expected, "redo {i}");
    }
    // A new edit after an undo takes the way forward.
    version = server.done("u9", version, json!({"do": "undo"}));
    version = server.done("n", version, json!({"do": "accept", "label": 8}));
    assert_eq!(
        server.edit("r9", version, json!({"do": "redo"})).status,
        400
    );

    // Another server reads it all from the log.
    let state = server.get("/api/edits/0/0").json()["state"].clone();
    drop(server);
    let again = Running::on(folder.path());
    assert_eq!(again.get("/api/edits/0/0").json()["state"], state);
    let tile = again.get("/api/labels/0/0/0/0/0").body;
    drop(again);
    // ... and from the label image alone, were the log not there.
    std::fs::remove_dir_all(folder.path().join("study/human/edits")).unwrap();
    let alone = Running::on(folder.path());
    assert!(alone.get("/api/labels/0/0/0/0/0").body == tile);
}

#[test]
fn an_outline_that_was_asked_for_becomes_an_object() {
    let folder = study();
    // A bright disc of radius 9 around (300, 515), across two tiles, where no nucleus is.
    let disc = |y: usize, x: usize| (y as f64 - 300.0).hypot(x as f64 - 515.0) < 9.0;
    let image = Image::from_fn(common::SIZE.0, common::SIZE.1, |y, x| {
        100 + ((7 * y + 3 * x) % 11) as u16 + if disc(y, x) { 500 } else { 0 }
    });
    let path = folder.path().join("images/BF/a.tif");
    write::plane_u16(&path, &image, &write::Note::default()).unwrap();
    let truth = folder.path().join("study/truth/nuclei/a.tif");
    let nothing = Image::filled(common::SIZE.0, common::SIZE.1, 0u32);
    write::labels(&truth, &nothing, &write::Note::default()).unwrap();
    let server = Running::on(folder.path());
    let found = server.get("/api/outline/0/0/0/302/513/30");
    assert_eq!(found.status, 200, "{found:?}");
    let runs = found.json()["runs"].clone();
    server.done(
        "o",
        0,
        json!({"do": "outline", "label": null, "runs": runs}),
    );
    let kept = kept(folder.path());
    let pixels = kept.data().iter().enumerate();
    let wrong =
        pixels.filter(|(i, label)| (**label == 1) != disc(i / common::SIZE.1, i % common::SIZE.1));
    let (area, wrong) = (count(&kept, 1), wrong.count());
    assert!((230..280).contains(&area) && wrong < 25, "{area} {wrong}");
    let flat = server.get("/api/outline/0/0/0/100/100/30");
    assert!(
        flat.status == 400 && flat.error().contains("no edge"),
        "{flat:?}"
    );
    for path in [
        "0/0/0/600/0/30",
        "0/0/0/0/1100/30",
        "0/9/0/1/1/30",
        "9/0/0/1/1/30",
    ] {
        assert_eq!(
            server.get(&format!("/api/outline/{path}")).status,
            404,
            "{path}"
        );
    }
    let far = format!("/api/outline/0/0/0/300/515/{}", usize::MAX);
    assert!([200, 400].contains(&server.get(&far).status));
}

#[test]
fn objects_come_back_with_what_changed() {
    let folder = study();
    let server = Running::on(folder.path());
    let listed = server.get("/api/objects/0/0/-").json();
    let objects = listed["objects"].as_array().unwrap();
    assert_eq!(objects.len(), 20 * 36);
    assert_eq!(
        objects[1],
        json!({"label": 2, "y": 9.5, "x": 39.5, "area": 400, "box": [0, 30, 20, 50]})
    );
    let line = json!([[-3, 36], [25, 36]]);
    let answer = server
        .edit("s", 0, json!({"do": "split", "label": 2, "line": line}))
        .json();
    // The log's first line is what edits begin with.
    assert_eq!(
        (&answer["version"], &answer["removed"]),
        (&json!(2), &json!([]))
    );
    assert_eq!(
        answer["objects"],
        json!([
            {"label": 2, "y": 9.5, "x": 42.5, "area": 280, "box": [0, 36, 20, 50]},
            {"label": 721, "y": 9.5, "x": 32.5, "area": 120, "box": [0, 30, 20, 36]},
        ])
    );
    let gone = server
        .edit("x", 2, json!({"do": "reject", "label": 721}))
        .json();
    assert_eq!(
        (&gone["removed"], &gone["boxes"]),
        (&json!([721]), &json!([[0, 30, 20, 36]]))
    );
}

#[test]
fn of_two_windows_one_is_told_and_neither_loses_anything() {
    let folder = study();
    let server = Running::on(folder.path());
    let first = server.done("a1", 0, json!({"do": "reject", "label": 50}));
    // The second window still shows what was before: another place is taken ..
    let second = server.done("b1", 1, json!({"do": "reject", "label": 60}));
    assert_eq!(second, first + 1);
    // .. the same object, a line across it, and an undo of what it has not seen are not.
    for (id, edit) in [
        ("b2", json!({"do": "reject", "label": 50})),
        ("b3", json!({"do": "accept", "label": 50})),
        ("b4", json!({"do": "undo"})),
        (
            "b5",
            json!({"do": "paint", "label": null, "radius": 3, "line": [[40, 400]]}),
        ),
    ] {
        let refused = server.edit(id, 1, edit);
        assert_eq!(refused.status, 409, "{refused:?}");
        let said = refused.json();
        assert_eq!(said["since"]["version"], second);
        assert!(
            said["error"].as_str().unwrap().contains("in the meantime"),
            "{said}"
        );
    }
    // A request that comes again, because its answer was lost, is made once.
    let again = server.done("b1", 1, json!({"do": "reject", "label": 60}));
    assert_eq!(again, second);
    let kept = kept(folder.path());
    assert_eq!(
        (count(&kept, 50), count(&kept, 60), count(&kept, 61)),
        (0, 0, 400)
    );
}

#[test]
fn two_servers_on_one_folder_see_each_other() {
    let folder = study();
    let (one, two) = (Running::on(folder.path()), Running::on(folder.path()));
    two.get("/api/labels/0/0/0/0/0");
    let mut version = one.done("a", 0, json!({"do": "reject", "label": 50}));
    let refused = two.edit("b", 0, json!({"do": "reject", "label": 50}));
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(two.get("/api/edits/0/0").json()["version"], version);
    for turn in 0..6u32 {
        let server = [&two, &one][turn as usize % 2];
        let edit = json!({"do": "reject", "label": 100 + turn});
        version = server.done(&format!("t{turn}"), version, edit);
    }
    let kept = kept(folder.path());
    assert!(
        [50, 100, 101, 102, 103, 104, 105]
            .iter()
            .all(|&l| count(&kept, l) == 0)
    );
    assert_eq!(count(&kept, 106), 400);
    let tile = one.get("/api/labels/0/0/0/0/0").body;
    assert!(tile == two.get("/api/labels/0/0/0/0/0").body);
}

/// A kill leaves any of these: half a line, a line whose pixels are not in the label image, a
/// label image that was never made.
#[test]
fn what_a_kill_leaves_is_made_whole() {
    let folder = study();
    let log = folder.path().join("study/human/edits/a.jsonl");
    let server = Running::on(folder.path());
    let version = server.done("a", 0, json!({"do": "reject", "label": 50}));
    let before = std::fs::read(corrected(folder.path())).unwrap();
    server.done("b", version, json!({"do": "reject", "label": 51}));
    drop(server);
    let whole = std::fs::read(&log).unwrap();
    let half = [&whole[..], &b"{\"kind\":\"edit\",\"id\":\"c"[..]].concat();
    std::fs::write(&log, half).unwrap();
    std::fs::write(corrected(folder.path()), before).unwrap();

    let server = Running::on(folder.path());
    let said = server.get("/api/edits/0/0").json();
    assert_eq!(
        (&said["version"], &said["state"]["edits"]),
        (&json!(3), &json!(2))
    );
    server.done("c", 3, json!({"do": "reject", "label": 52}));
    let now = kept(folder.path());
    assert!([50, 51, 52].iter().all(|&label| count(&now, label) == 0));
    let text = std::fs::read_to_string(&log).unwrap();
    assert_eq!(text.lines().count(), 4);
    for line in text.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
}

#[test]
fn a_label_image_that_another_program_saved_is_begun_from() {
    let folder = study();
    let server = Running::on(folder.path());
    let version = server.done("a", 0, json!({"do": "reject", "label": 50}));
    // As napari saves it: other pixels, no note of ours.
    let mut theirs = kept(folder.path());
    theirs
        .data_mut()
        .iter_mut()
        .filter(|l| **l == 70)
        .for_each(|l| *l = 0);
    write::labels(&corrected(folder.path()), &theirs, &write::Note::default()).unwrap();
    let refused = server.edit("b", version, json!({"do": "reject", "label": 71}));
    assert_eq!(refused.status, 409, "{refused:?}");
    let version = server.get("/api/edits/0/0").json()["version"]
        .as_u64()
        .unwrap();
    server.done("c", version, json!({"do": "reject", "label": 71}));
    let now = kept(folder.path());
    assert!([50, 70, 71].iter().all(|&label| count(&now, label) == 0));

    // Taken away: corrections begin with the truth again.
    std::fs::remove_file(corrected(folder.path())).unwrap();
    let version = server.get("/api/edits/0/0").json()["version"]
        .as_u64()
        .unwrap();
    assert_eq!(
        server
            .edit("d", version, json!({"do": "reject", "label": 80}))
            .status,
        409
    );
    let version = server.get("/api/edits/0/0").json()["version"]
        .as_u64()
        .unwrap();
    server.done("e", version, json!({"do": "reject", "label": 80}));
    let now = kept(folder.path());
    assert_eq!((count(&now, 50), count(&now, 80)), (400, 0));
}

#[test]
fn decisions_go_into_the_tables_of_the_study() {
    let folder = study();
    let server = Running::on(folder.path());
    let read = |name: &str| {
        let path = folder.path().join("study/human").join(name);
        std::fs::read_to_string(path).unwrap_or_default()
    };
    let version = server.done("a", 0, json!({"do": "mitotic", "label": 2, "is": true}));
    let table = read("mitosis.csv");
    let row = table.lines().last().unwrap();
    // A pixel of the nucleus beside its centroid at 9.5, 39.5.
    assert!(
        row.starts_with("a,9,39,yes,") && row.contains(",tester,"),
        "{table}"
    );
    let version = server.done("b", version, json!({"do": "undo"}));
    assert!(
        read("mitosis.csv")
            .lines()
            .last()
            .unwrap()
            .starts_with("a,9,39,,")
    );
    let unusable = json!({"do": "unusable", "is": true, "reason": "out of focus"});
    let version = server.done("c", version, unusable);
    assert!(
        read("excluded.csv")
            .lines()
            .last()
            .unwrap()
            .starts_with("a,yes,out of focus,")
    );
    server.done("d", version, json!({"do": "undo"}));
    assert!(
        read("excluded.csv")
            .lines()
            .last()
            .unwrap()
            .starts_with("a,no,,")
    );
}

#[test]
fn a_viewer_that_only_shows_writes_nothing() {
    let folder = study();
    let server = Running::with(folder.path(), true);
    assert_eq!(server.get("/api/list").json()["read_only"], true);
    let refused = server.edit("a", 0, json!({"do": "reject", "label": 50}));
    assert_eq!(refused.status, 403);
    assert!(refused.error().contains("--read-only"));
    assert_eq!(server.get("/api/labels/0/0/0/0/0").status, 200);
    drop(server);
    assert!(!folder.path().join("study/human").exists());
}

#[test]
fn a_log_that_names_a_file_elsewhere_is_refused() {
    let folder = study();
    let edits = folder.path().join("study/human/edits");
    std::fs::create_dir_all(&edits).unwrap();
    let base = json!({"kind": "base", "file": "../../truth/nuclei/b.tif", "from": "", "labels": "",
                      "who": "", "when": ""});
    std::fs::write(edits.join("a.jsonl"), format!("{base}\n")).unwrap();
    let server = Running::on(folder.path());
    let refused = server.get("/api/labels/0/0/0/0/0");
    assert_eq!(refused.status, 400);
    assert!(
        refused.error().contains("is no file beside it"),
        "{}",
        refused.error()
    );
}
