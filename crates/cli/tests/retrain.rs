//! `retrain`, and the same from the page of `view`: it outlives the viewer, is stopped and goes on,
//! says what changed, and never looks at the test.
#![cfg(all(unix, feature = "viewer"))]

mod common;

use common::trained_study;
use common::viewer::Viewer;
use serde_json::{Value, json};

/// Numbers of the fields of a part.
fn of_part(viewer: &Viewer, part: &str) -> Vec<u64> {
    let list = viewer.get("/api/list");
    let columns = list["columns"].as_array().unwrap();
    let split = columns.iter().position(|name| name == "split").unwrap();
    let fields = list["fields"].as_array().unwrap().iter().enumerate();
    let of_it = fields.filter(|(_, field)| field["cells"][split] == part);
    of_it.map(|(i, _)| i as u64).collect()
}

/// Takes the first nucleus of a field away.
fn reject_one(viewer: &Viewer, field: u64) {
    let objects = viewer.get(&format!("/api/objects/{field}/0/-"));
    let label = &objects["objects"][0]["label"];
    let edit = json!({"do": "reject", "label": label});
    let body = json!({"id": format!("r{field}"), "version": objects["version"], "edit": edit});
    let path = format!("/api/edits/{field}");
    let (status, said) = viewer.ask("POST", &path, &body.to_string()).unwrap();
    assert_eq!(status, 200, "{said}");
}

fn phase(said: &Value) -> &str {
    said["runs"][0]["phase"].as_str().unwrap_or_default()
}

fn last_step(said: &Value) -> u64 {
    let losses = said["curves"]["losses"].as_array();
    losses.and_then(|all| all.last()?[0].as_u64()).unwrap_or(0)
}

#[test]
fn a_model_is_trained_again_from_the_page_and_what_changed_is_told() {
    let place = trained_study(8);
    let viewer = Viewer::start(&place, &[]);
    let (trains, validates) = (of_part(&viewer, "train"), of_part(&viewer, "validation"));
    let tests = of_part(&viewer, "test");
    for field in [trains[0], trains[1], tests[0]] {
        reject_one(&viewer, field);
    }
    let choices = viewer.get("/api/again/choices");
    assert_eq!(
        choices["models"],
        json!([{"name": "model", "next": "model-2", "steps": 4}])
    );
    assert_eq!(
        choices["corrected"],
        json!({"train": 2, "validation": 0, "test": 1})
    );
    let (status, said) = viewer.again(&json!({"do": "start", "from": 1, "steps": null}));
    assert_eq!(status, 404, "{said}");
    let (status, said) = viewer.again(&json!({"do": "start", "from": 0, "steps": 5}));
    assert_eq!(status, 200, "{said}");
    let said = viewer.until(|said| matches!(phase(said), "done" | "failed"));
    assert_eq!(phase(&said), "done", "{said}");
    let run = &said["runs"][0];
    let named = ["name", "from", "who", "steps"].map(|key| &run[key]);
    assert_eq!(
        named,
        [&json!("model-2"), &json!("model"), &json!("Ada"), &json!(5)]
    );
    assert_eq!(last_step(&said), 5);
    assert!(!said["curves"]["validations"].as_array().unwrap().is_empty());

    let changes = viewer.get("/api/again/changes/0");
    let fields = |set: &str| changes[set]["fields"].as_array().unwrap().len();
    assert_eq!(
        (fields("corrected"), fields("validation")),
        (2, validates.len())
    );
    for set in ["corrected", "validation"] {
        let set = &changes[set];
        assert_eq!(set["scores"][0]["name"], "objects f1_50");
        // Every true nucleus is counted once.
        let keys = ["found_by_both", "gained", "lost", "found_by_neither"];
        let sum: u64 = keys.iter().map(|key| set[*key].as_u64().unwrap()).sum();
        assert_eq!(set["truth"], sum);
    }
    let notes = changes["notes"].to_string();
    assert!(
        notes.contains("1 corrected test fields are in neither"),
        "{notes}"
    );

    // The new model's record and start say where it comes from.
    let model = place.text("study/models/model-2/model.toml");
    assert!(model.contains("pretrained = \"model model "), "{model}");
    // Nobody looked at the test.
    for model in ["model", "model-2"] {
        assert!(
            place
                .path(&format!("study/runs/{model}/validation"))
                .is_dir()
        );
        assert!(!place.path(&format!("study/runs/{model}/test")).exists());
        assert!(
            !place
                .path(&format!("study/models/{model}/scores.json"))
                .exists()
        );
    }

    // Opened anew, both models are layers, and there is what to look at.
    assert_eq!(viewer.ask("POST", "/api/reload", "").unwrap().0, 200);
    let list = viewer.get("/api/list");
    let layers: Vec<&str> = list["layers"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|layer| layer["name"].as_str())
        .collect();
    for layer in [
        "model: nuclei",
        "model-2: nuclei",
        "difference: truth, model-2",
    ] {
        assert!(layers.contains(&layer), "{layers:?}");
    }
    let difference = layers
        .iter()
        .position(|name| name.starts_with("difference: truth, model-2"));
    let validation = validates[0];
    let path = format!("/api/pixel/{validation}/0/16/16");
    assert!(viewer.get(&path)["labels"][difference.unwrap()].is_u64());
    let titles = list["lists"].as_array().unwrap();
    let fields = "fields that truth and model-2 disagree on";
    let at = titles
        .iter()
        .position(|list| list["title"] == fields)
        .expect(fields);
    let work = viewer.get(&format!("/api/work/{at}/0"));
    let listed = work["entries"].as_array().unwrap().len();
    assert_eq!(
        (listed, &work["tests"]),
        (trains.len() + validates.len(), &json!(0))
    );
    // The command does the same; a name that is taken is refused.
    let run = place.ok(&["retrain", "study", "--steps", "5", "--name", "model-2"]);
    assert!(
        run.stderr.contains("nothing is left to do"),
        "{}",
        run.stderr
    );
    assert!(
        run.stdout.contains("true nuclei are found"),
        "{}",
        run.stdout
    );
    let run = place.run(&["retrain", "study", "--model", "model-2", "--name", "model"]);
    assert_eq!(run.code, 2);
    assert!(
        run.stderr.contains("`retrain` has not made"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_training_outlives_the_viewer_and_is_stopped_and_goes_on_from_another() {
    let place = trained_study(8);
    let mut viewer = Viewer::start(&place, &[]);
    let endless = json!({"do": "start", "from": 0, "steps": 1_000_000});
    assert_eq!(viewer.again(&endless).0, 200);
    // Of two that ask at once, one is told.
    let (status, said) = viewer.again(&endless);
    assert_eq!(status, 409, "{said}");
    viewer.until(|said| last_step(said) > 0);
    viewer.child.kill().unwrap();
    viewer.child.wait().unwrap();

    let viewer = Viewer::start(&place, &[]);
    let said = viewer.get("/api/again");
    assert_eq!(
        (&said["runs"][0]["running"], phase(&said)),
        (&json!(true), "training")
    );
    assert_eq!(viewer.again(&endless).0, 409);
    let run = place.run(&["prepare", "study"]);
    assert!(
        run.code == 1 && run.stderr.contains("reads the truth"),
        "{}",
        run.stderr
    );
    let only_looking = Viewer::start(&place, &["--read-only"]);
    assert_eq!(only_looking.again(&json!({"do": "stop"})).0, 403);
    drop(only_looking);

    assert_eq!(viewer.again(&json!({"do": "stop"})).0, 200);
    let is_stopped = |said: &Value| phase(said) == "stopped" && said["runs"][0]["running"] == false;
    let stopped = viewer.until(is_stopped);
    assert_eq!(viewer.again(&json!({"do": "stop"})).0, 409);
    let begun = &stopped["runs"][0]["begun"];
    let go_on = json!({"do": "go_on", "run": 0, "begun": begun});
    let (status, said) = viewer.again(&go_on);
    assert_eq!(status, 200, "{said}");
    let more = viewer.until(|said| last_step(said) > last_step(&stopped));
    assert_eq!(&more["runs"][0]["begun"], begun);
    assert_eq!(viewer.again(&json!({"do": "stop"})).0, 200);
    viewer.until(is_stopped);
    // What is asked for without a name goes on with it too, and so not with another length.
    let leftover = place.path("study/models/model-2");
    assert!(!leftover.join("model.toml").exists());
    assert!(!place.path("study/runs/model-3").exists());
}
