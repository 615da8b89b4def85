//! Training again from the page, as far as no training is needed: what is refused, and what a
//! study says of trainings that others began. `crates/cli/tests/retrain.rs` trains.

mod common;

use common::{Running, study};
use serde_json::{Value, json};
use stainfree_viewer::Opened;

/// A retraining that says so of itself, and that no process is at.
fn leave_a_run(folder: &std::path::Path, name: &str, begun: &str, phase: &str) {
    let run = folder.join("study/runs").join(name);
    std::fs::create_dir_all(&run).unwrap();
    let state = json!({"name": name, "from": "model", "steps": 9, "who": "Ada", "begun": begun,
                       "phase": phase, "done": 3, "total": 9, "message": "loss 0.5", "notes": []});
    std::fs::write(run.join("retrain.json"), state.to_string()).unwrap();
    let log = "{\"what\":\"step\",\"step\":1,\"loss\":0.5}\n{\"what\":\"validation\",\"step\":1,\
               \"f1\":[1.0,0.5],\"mean_f1\":0.5}\n{\"what\":\"st";
    std::fs::write(run.join("log.jsonl"), log).unwrap();
}

fn ask(server: &Running, request: &Value) -> (u16, String) {
    let said = server.post("/api/again", &request.to_string());
    (
        said.status,
        String::from_utf8_lossy(&said.body).into_owned(),
    )
}

#[test]
fn trainings_of_others_are_shown_and_a_killed_one_does_not_run() {
    let folder = study();
    leave_a_run(folder.path(), "model-2", "2026-01-01T00:00:00Z", "stopped");
    leave_a_run(folder.path(), "model-3", "2026-01-02T00:00:00Z", "training");
    // What is no state of ours is not shown.
    std::fs::create_dir_all(folder.path().join("study/runs/model-4")).unwrap();
    std::fs::write(folder.path().join("study/runs/model-4/retrain.json"), "{}").unwrap();
    let server = Running::on(folder.path());
    let said = server.get("/api/again").json();
    let names: Vec<&Value> = said["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["name"])
        .collect();
    assert_eq!(names, ["model-3", "model-2"]);
    assert_eq!(said["runs"][0]["running"], false);
    assert_eq!(said["curves"]["losses"], json!([[1, 0.5]]));
    assert_eq!(said["curves"]["validations"][0]["mean_f1"], 0.5);
    assert_eq!(said["trouble"], Value::Null);
    let none = server.get("/api/again/changes/0");
    assert_eq!(
        (none.status, none.error()),
        (404, "there is no finished training number 0".into())
    );
    assert_eq!(server.get("/api/again/changes/7").status, 404);
}

#[test]
fn what_cannot_be_trained_is_said() {
    let folder = study();
    // Without a program nothing is started; nor is anything stopped.
    let server = Running::on(folder.path());
    let start = json!({"do": "start", "from": 0, "steps": null});
    for request in [&start, &json!({"do": "stop"})] {
        let (status, said) = ask(&server, request);
        assert!(
            status == 403 && said.contains("nothing can be trained"),
            "{said}"
        );
    }
    assert_eq!(
        server.get("/api/again/choices").status,
        500,
        "it is not prepared"
    );
    drop(server);

    let program = Some("/no/such/program".into());
    let opened = || Opened::open(&folder.path().join("study"), None, &Default::default()).unwrap();
    let server = Running::by(opened(), false, program.clone());
    for (request, status, sentence) in [
        (start.clone(), 404, "there is no model number 0"),
        (json!({"do": "stop"}), 409, "nothing is trained now"),
        (
            json!({"do": "go_on", "run": 0, "begun": ""}),
            409,
            "the list of trainings changed",
        ),
        (
            json!({"do": "start", "from": -1, "steps": 2}),
            400,
            "this asks for no training",
        ),
        (
            json!({"do": "start", "from": 0, "steps": 2, "name": "../x"}),
            400,
            "no training",
        ),
        (
            json!({"do": "start", "from": "../../x", "steps": 2}),
            400,
            "no training",
        ),
    ] {
        let (found, said) = ask(&server, &request);
        assert!(
            found == status && said.contains(sentence),
            "{request}: {found} {said}"
        );
    }
    leave_a_run(folder.path(), "model-2", "2026-01-01T00:00:00Z", "stopped");
    let go_on = json!({"do": "go_on", "run": 0, "begun": "2026-01-01T00:00:00Z"});
    let (status, said) = ask(&server, &go_on);
    assert!(
        status == 500 && said.contains("does not start"),
        "{status} {said}"
    );
    drop(server);
    // Who only looks starts nothing, whatever program there is.
    let server = Running::by(opened(), true, program);
    assert_eq!(ask(&server, &go_on).0, 403);
}

/// A program that fails before it can say so in the study.
#[cfg(unix)]
#[test]
fn the_last_words_of_a_program_that_fails_are_shown() {
    use std::os::unix::fs::PermissionsExt;
    let folder = study();
    leave_a_run(folder.path(), "model-2", "2026-01-01T00:00:00Z", "training");
    let program = folder.path().join("program.sh");
    std::fs::write(
        &program,
        "#!/bin/sh\necho \"$@\" >&2\necho 'error: no room' >&2\nexit 1\n",
    )
    .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let opened = Opened::open(&folder.path().join("study"), None, &Default::default()).unwrap();
    let server = Running::by(opened, false, Some(program));
    let go_on = json!({"do": "go_on", "run": 0, "begun": "2026-01-01T00:00:00Z"});
    assert_eq!(ask(&server, &go_on).0, 200);
    let mut trouble = Value::Null;
    for _ in 0..400 {
        trouble = server.get("/api/again").json()["trouble"].clone();
        if !trouble.is_null() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(25));
    }
    assert_eq!(trouble, "error: no room");
    let said = std::fs::read_to_string(folder.path().join("study/runs/model-2/retrain.log"));
    let said = said.unwrap();
    let wanted = "--model=model --name=model-2 --by=tester --threads=2 --quiet --steps=9";
    assert!(said.contains(wanted), "{said}");
}

#[test]
fn opened_anew_there_is_what_came_since_and_other_images_are_refused() {
    let folder = study();
    let server = Running::on(folder.path());
    let layers = || {
        server.get("/api/list").json()["layers"]
            .as_array()
            .unwrap()
            .len()
    };
    let before = layers();
    let cells = folder.path().join("study/truth/cells");
    std::fs::create_dir_all(&cells).unwrap();
    let note = stainfree_image::write::Note::default();
    stainfree_image::write::labels(&cells.join("a.tif"), &common::nuclei(), &note).unwrap();
    assert_eq!(layers(), before);
    assert_eq!(server.post("/api/reload", "").status, 200);
    assert_eq!(layers(), before + 1);
    for channel in ["BF", "DAPI"] {
        let images = folder.path().join("images").join(channel);
        std::fs::copy(images.join("a.tif"), images.join("c.tif")).unwrap();
    }
    let refused = server.post("/api/reload", "");
    assert_eq!(refused.status, 409);
    assert!(
        refused.error().contains("start the viewer again"),
        "{}",
        refused.error()
    );
    assert_eq!(server.get("/api/labels/0/0/0/0/0").status, 200);
}

#[test]
fn a_small_picture_is_small_and_has_its_own_contrast() {
    let folder = study();
    let server = Running::on(folder.path());
    let thumb = server.get("/api/thumb/0/0/0");
    // 600 x 1100 is halved twice to 150 x 275, which is cut by three.
    assert!(thumb.head.contains("x-height: 50") && thumb.head.contains("x-width: 92"));
    assert_eq!(thumb.body.len(), 50 * 92);
    let (low, high) = (
        thumb.body.iter().min().unwrap(),
        thumb.body.iter().max().unwrap(),
    );
    assert!(*low < 30 && *high > 225, "{low} {high}");
    assert_eq!(server.get("/api/thumb/0/9/0").status, 404);
    assert_eq!(server.get("/api/thumb/9/0/0").status, 404);
}

/// Confidences, disagreements and what was judged of them.
#[test]
fn work_lists_go_over_all_fields_and_know_what_was_judged() {
    let folder = study();
    let root = folder.path().join("study");
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("models/m/model.toml", "");
    write(
        "fields.csv",
        "name,split,concern\na,train,0.5\nb,test,0.9\n",
    );
    write(
        "models/m/disagreements-train.csv",
        "field,kind,label,y_px,x_px,area_px,disagreement\na,only-in-truth,2,9.5,39.5,400,0.9\n\
         a,only-in-truth,3,9.5,69.5,400,0.8\na,field,,,,,0.1\n",
    );
    write(
        "models/m/disagreements.csv",
        "field,kind,label,y_px,x_px,area_px,disagreement\n\
         b,only-in-truth,2,9.5,39.5,400,0.9\n",
    );
    let sure = "label,y_px,x_px,area_px,confidence\n1,9.5,9.5,400,0.3\n2,9.5,39.5,400,0.9\n";
    write("runs/m/train/confidence/a.csv", sure);
    let nuclei = root.join("runs/m/train/nuclei");
    std::fs::create_dir_all(&nuclei).unwrap();
    std::fs::copy(root.join("truth/nuclei/a.tif"), nuclei.join("a.tif")).unwrap();

    let server = Running::on(folder.path());
    let list = server.get("/api/list").json();
    let titles: Vec<&str> = list["lists"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|list| list["title"].as_str())
        .collect();
    assert_eq!(
        titles,
        [
            "least sure (m: nuclei)",
            "nuclei that truth and m disagree on",
            "fields that truth and m disagree on",
            "fields of doubtful truth"
        ]
    );
    let mean = list["columns"].as_array().unwrap().iter();
    let mean = mean
        .clone()
        .position(|title| title == "mean confidence (m)")
        .unwrap();
    assert_eq!(list["fields"][0]["cells"][mean], "0.600");
    let work = |number: usize, tests: u8| server.get(&format!("/api/work/{number}/{tests}")).json();
    let least = work(0, 0);
    assert_eq!(
        least["entries"][0],
        json!({"field": 0, "at": [9.5, 9.5], "value": 0.3, "what": "", "done": false})
    );
    // The confidence of the model's object that a corrected one agrees with.
    let layers = list["layers"].as_array().unwrap();
    let model = layers
        .iter()
        .position(|layer| layer["name"] == "m: nuclei")
        .unwrap();
    let of: Vec<&Value> = (0..4).map(|i| &list["lists"][i]["layer"]).collect();
    let model_layer = json!(model);
    assert_eq!(of, [&model_layer, &model_layer, &model_layer, &Value::Null]);
    // What the model draws there, which a click takes over into the truth.
    let shape = server.get(&format!("/api/shape/0/{model}/9/9")).json();
    let runs = shape["runs"].as_array().unwrap();
    assert_eq!((runs.len(), &runs[0]), (20, &json!([0, 0, 20])));
    let objects = server.get(&format!("/api/objects/0/0/{model}")).json();
    assert_eq!(objects["objects"][0]["sure"], 0.3);
    assert_eq!(objects["objects"][2].get("sure"), None);

    let done = |said: &Value| -> Vec<bool> {
        let entries = said["entries"].as_array().unwrap().iter();
        entries
            .map(|entry| entry["done"].as_bool().unwrap())
            .collect()
    };
    let nuclei = work(1, 0);
    assert_eq!(
        (done(&nuclei), &nuclei["tests"]),
        (vec![false, false], &json!(1))
    );
    assert_eq!(work(1, 1)["entries"].as_array().unwrap().len(), 3);
    assert_eq!(work(2, 0)["entries"][0]["at"], Value::Null);
    assert_eq!(work(3, 0)["tests"], 1);
    let version = server.done("a", 0, json!({"do": "reject", "label": 2}));
    let version = server.done(
        "b",
        version,
        json!({"do": "comment", "label": 3, "text": "?"}),
    );
    assert_eq!(done(&work(1, 0)), [true, false]);
    let version = server.done("c", version, json!({"do": "accept", "label": 3}));
    assert_eq!(done(&work(1, 0)), [true, true]);
    let version = server.done("d", version, json!({"do": "undo"}));
    assert_eq!(done(&work(1, 0)), [true, false]);
    // That nothing is there is kept, for this place alone.
    let nothing = json!({"do": "nothing", "at": [9.5, 68.6]});
    let version = server.done("e", version, nothing);
    assert_eq!(done(&work(1, 0)), [true, true]);
    let version = server.done("f", version, json!({"do": "undo"}));
    let version = server.done("g", version, json!({"do": "nothing", "at": [9.5, 60.0]}));
    assert_eq!(done(&work(1, 0)), [true, false]);
    // A field is judged by saying whether it is to be used.
    assert_eq!(done(&work(2, 0)), [false]);
    let usable = json!({"do": "unusable", "is": false, "reason": ""});
    server.done("h", version, usable);
    assert_eq!(done(&work(2, 0)), [true]);
    assert!(!root.join("human/excluded.csv").exists());
    assert_eq!(server.get("/api/work/4/0").status, 404);
}
