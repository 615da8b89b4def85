//! What trained is never scored as a test, whatever becomes of split, names, folders and files.

mod common;

use common::{Place, TINY, parallel_folders};
use stainfree_image::{Image, write};

/// A study of `count` fields without wells, with a tiny model; and its fields by their part.
struct Trained {
    place: Place,
    train: Vec<String>,
    test: Vec<String>,
}

fn trained(count: usize) -> Trained {
    let place = Place::new();
    parallel_folders(&place, count);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    place.ok(&[&["train", "study"], &TINY[..]].concat());
    let of = |part: &str| fields_of(&place, part);
    let (train, test) = (of("train"), of("test"));
    Trained { place, train, test }
}

/// Names of the study's fields in this part of the split.
fn fields_of(place: &Place, part: &str) -> Vec<String> {
    let table = place.text("study/fields.csv");
    let mut lines = table
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>());
    let heads = lines.next().unwrap();
    let column = |name: &str| heads.iter().position(|head| *head == name).unwrap();
    let (name, split) = (column("name"), column("split"));
    lines
        .filter(|row| row[split] == part)
        .map(|row| row[name].to_owned())
        .collect()
}

fn change(place: &Place, from: &str, to: &str) {
    let text = place.text("study/stainfree.toml");
    assert!(text.contains(from), "{from}");
    std::fs::write(place.path("study/stainfree.toml"), text.replace(from, to)).unwrap();
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_new_split_does_not_turn_training_fields_into_a_test() {
    let Trained { place, train, test } = trained(6);
    let run = place.ok(&["evaluate", "study"]);
    let line = "scored on 1 field that the model has not met";
    assert!(run.stdout.ends_with(&format!("{line}\n")), "{}", run.stdout);
    // No well is known, so none is named.
    assert!(!run.stdout.contains("well"), "{}", run.stdout);

    // A test of one field that trained and one that did not: the latter alone is scored.
    let (seen, unseen) = (&train[0], &test[0]);
    let groups = format!("test_groups = [\"{seen}\", \"{unseen}\"]");
    change(&place, "test_groups = []", &groups);
    place.ok(&["prepare", "study"]);
    let run = place.ok(&["evaluate", "study", "--json", "-"]);
    let scores = json(&run.stdout);
    assert_eq!(scores["images"], 1);
    assert_eq!(scores["fields"][0]["name"], **unseen);
    assert_eq!(scores["on"]["standing"], "test");
    assert_eq!(scores["on"]["left_out"][0], **seen);
    let sentence = format!(
        "{line}; 1 of 2 are left out, since they trained or chose the model (first: `{seen}`, \
         which trained it)"
    );
    assert!(run.stderr.contains(&sentence), "{}", run.stderr);

    // A test of nothing else is refused, and remains possible as what it is.
    change(&place, &groups, &format!("test_groups = [\"{seen}\"]"));
    place.ok(&["prepare", "study"]);
    let before = place.text("study/models/model/scores.json");
    let run = place.run(&["evaluate", "study"]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    let sentence = format!(
        "nothing is left to test the model `model` on: 1 of 1 fields trained or chose it (first: \
         `{seen}`, which trained it)"
    );
    assert!(run.stderr.contains(&sentence), "{}", run.stderr);
    assert_eq!(before, place.text("study/models/model/scores.json"));
    let run = place.ok(&["evaluate", "study", "--on", "train", "--json", "-"]);
    let scores = json(&run.stdout);
    assert_eq!(scores["on"]["standing"], "train");
    assert!(run.stderr.contains("and is no test"), "{}", run.stderr);
}

#[test]
fn copies_of_training_images_are_recognised_in_other_studies_and_folders() {
    let Trained { place, train, test } = trained(6);
    // Another study of renamed copies in another type, whose split knows nothing of the first.
    for (channel, level) in [("bf", 1.0), ("dapi", 1.0)] {
        let folder = format!("others/{channel}");
        std::fs::create_dir_all(place.path(&folder)).unwrap();
        for (i, name) in train.iter().chain(&test).take(4).enumerate() {
            let plane = stainfree_image::read_plane(
                &place.path(&format!("images/{channel}/{name}.tif")),
                0,
            );
            let image = plane.unwrap().to_f32().map(|&v| v * level);
            let path = place.path(&format!("{folder}/copy{i}.tif"));
            write::stack_f32(&path, &[image], &write::Note::default()).unwrap();
        }
    }
    place.ok(&["new", "other", "--images", "others", "--pixel-um", "0.5"]);
    place.ok(&["prepare", "other"]);
    std::fs::create_dir_all(place.path("other/models/model")).unwrap();
    for entry in std::fs::read_dir(place.path("study/models/model")).unwrap() {
        let path = entry.unwrap().path();
        let to = place
            .path("other/models/model")
            .join(path.file_name().unwrap());
        std::fs::copy(&path, to).unwrap();
    }
    let run = place.run(&["evaluate", "other"]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    assert!(
        run.stderr.contains("nothing is left to test the model"),
        "{}",
        run.stderr
    );

    // The same through folders of predictions, without the model at hand.
    place.ok(&["predict", "study/models/model", "images", "--out", "result"]);
    std::fs::remove_dir_all(place.path("other/models")).unwrap();
    std::fs::rename(place.path("study/models"), place.path("study/gone")).unwrap();
    let evaluate = |more: &[&str]| {
        let truth = ["evaluate", "--truth", "study/truth/classes", "--prediction"];
        let classes = [
            "result/classes",
            "--classes",
            "background,nucleus",
            "--json",
            "-",
        ];
        place.run(&[&truth[..], &classes, more].concat())
    };
    let run = evaluate(&[]);
    let scores = json(&run.stdout);
    assert_eq!((run.code, scores["images"].as_u64()), (0, Some(1)));
    assert_eq!(scores["fields"][0]["name"], *test[0]);
    assert_eq!(scores["on"]["standing"], "test");
    assert!(run.stderr.contains("5 of 6 are left out"), "{}", run.stderr);
    // The labels that trained beside these masks are not given, and so have not changed.
    assert_eq!(scores["on"]["truth_changed"], 0);
    let scores = json(&evaluate(&["--on", "train"]).stdout);
    assert_eq!(scores["images"], 4);
    assert_eq!(scores["on"]["standing"], "train");
    // Predictions of a model that left no record are scored, and not called a test.
    std::fs::remove_dir_all(place.path("result/provenance")).unwrap();
    let run = evaluate(&[]);
    let scores = json(&run.stdout);
    assert_eq!(scores["images"], 6);
    assert_eq!(scores["on"]["standing"], "unknown");
    assert!(
        run.stderr.contains("does not record what it trained on"),
        "{}",
        run.stderr
    );
}

#[test]
fn what_an_ancestor_has_met_is_met() {
    let Trained { place, test, .. } = trained(6);
    // The heir is trained on another split, whose training fields are the ancestor's test.
    change(&place, "seed = 0", "seed = 3");
    place.ok(&["prepare", "study"]);
    let new_test = fields_of(&place, "test");
    assert_ne!(new_test, test, "another seed, another test");
    let heir = ["train", "study", "--name", "heir", "--weights"];
    place.ok(&[&heir[..], &["study/models/model"], &TINY[..]].concat());
    let run = place.run(&["evaluate", "study", "--model", "heir"]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    let sentence = "from which it started)";
    assert!(run.stderr.contains(sentence), "{}", run.stderr);
}

#[test]
fn a_model_of_an_older_version_is_judged_by_its_study_or_called_unknown() {
    let Trained { place, .. } = trained(6);
    let folder = place.path("study/models/model");
    std::fs::remove_file(folder.join("provenance.json")).unwrap();
    let run = place.run(&["evaluate", "study"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("is missing"), "{}", run.stderr);
    let info = place.text("study/models/model/model.toml");
    let older: Vec<&str> = info
        .lines()
        .filter(|line| !line.starts_with("provenance = "))
        .collect();
    std::fs::write(folder.join("model.toml"), older.join("\n")).unwrap();
    let run = place.ok(&["evaluate", "study"]);
    let known = "but split and truth are those of its training";
    assert!(run.stdout.contains(known), "{}", run.stdout);
    // One that started from another model knows what that had met, whatever the study says.
    let unknown = "this model does not record what it trained on";
    let alone = place.text("study/models/model/model.toml");
    let heir = format!("pretrained = \"model other 12\"\n{alone}");
    std::fs::write(folder.join("model.toml"), heir).unwrap();
    let run = place.ok(&["evaluate", "study"]);
    assert!(run.stdout.contains(unknown), "{}", run.stdout);
    std::fs::write(folder.join("model.toml"), alone).unwrap();
    change(&place, "seed = 0", "seed = 3");
    place.ok(&["prepare", "study"]);
    let run = place.ok(&["evaluate", "study"]);
    assert!(run.stdout.contains(unknown), "{}", run.stdout);
    assert!(run.stderr.contains(unknown), "{}", run.stderr);
    place.ok(&["report", "study"]);
    let page = place.text("study/report.html");
    assert!(page.contains("some of which may have trained it"));

    // A scoring that ends early leaves no row beside files that it has rewritten.
    let table = place.path("study/runs/model/test/predictions.csv");
    assert!(table.is_file());
    for name in fields_of(&place, "test") {
        std::fs::write(place.path(&format!("study/truth/nuclei/{name}.tif")), "").unwrap();
    }
    assert_eq!(place.run(&["evaluate", "study"]).code, 1);
    assert!(!table.exists());
}

#[test]
fn files_of_two_models_are_not_taken_for_one() {
    let Trained { place, .. } = trained(6);
    let folder = place.path("study/models/model");
    let commands: [&[&str]; 3] = [
        &["evaluate", "study"],
        &["predict", "study/models/model", "images/bf", "--out", "out"],
        &[
            "train",
            "study",
            "--name",
            "heir",
            "--weights",
            "study/models/model",
        ],
    ];
    let refused = |file: &str, commands: &[&[&str]]| {
        for &command in commands {
            let tiny: &[&str] = if command[0] == "train" { &TINY } else { &[] };
            let run = place.run(&[command, tiny].concat());
            assert_eq!(run.code, 1, "{command:?} {}", run.stdout);
            let sentence = format!("so model and `{file}` do not belong together");
            assert!(run.stderr.contains(&sentence), "{command:?} {}", run.stderr);
        }
    };
    // As a copy of half a folder leaves it.
    for (file, asked) in [
        ("provenance.json", &commands[..]),
        ("input.toml", &commands[..2]),
    ] {
        let whole = place.text(&format!("study/models/model/{file}"));
        std::fs::write(folder.join(file), format!("{whole}\n")).unwrap();
        refused(file, asked);
        // The training's command, given again, makes the model whole.
        place.ok(&[&["train", "study"], &TINY[..]].concat());
        assert_eq!(place.text(&format!("study/models/model/{file}")), whole);
    }
    place.ok(&["evaluate", "study"]);
}

#[test]
fn a_training_does_not_go_on_with_other_truth() {
    let place = Place::new();
    parallel_folders(&place, 6);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    place.ok(&[&["train", "study"], &TINY[..]].concat());
    std::fs::remove_file(place.path("study/models/model/model.toml")).unwrap();
    // Without its log's end the training would go on where the checkpoint stands.
    let name = fields_of(&place, "train")[0].clone();
    std::fs::create_dir_all(place.path("study/truth/corrected")).unwrap();
    let automatic = place.path(&format!("study/truth/nuclei/{name}.tif"));
    let labels = stainfree_image::read_labels(&automatic).unwrap();
    let edited = Image::from_fn(labels.height(), labels.width(), |y, x| {
        if y < 4 && x < 4 {
            900
        } else {
            labels.get(y, x)
        }
    });
    let corrected = place.path(&format!("study/truth/corrected/{name}.tif"));
    write::labels(&corrected, &edited, &write::Note::default()).unwrap();
    place.ok(&["prepare", "study"]);
    let run = place.run(&[&["train", "study", "--resume"], &TINY[..]].concat());
    assert_eq!(run.code, 1, "{}", run.stdout);
    let sentence = format!(
        "was trained so far on other data: the truth of 1 of 5 fields has changed (first: \
         `{name}`)"
    );
    assert!(run.stderr.contains(&sentence), "{}", run.stderr);
}

#[test]
fn fields_that_join_a_study_move_no_other() {
    let place = Place::new();
    parallel_folders(&place, 5);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    let parts = || ["train", "validation", "test"].map(|part| fields_of(&place, part));
    let before = parts();
    let keep_them = |what: &str| {
        let after = parts();
        for (before, after) in before.iter().zip(&after) {
            assert!(before.iter().all(|name| after.contains(name)), "{what}");
        }
    };
    parallel_folders(&place, 30);
    place.ok(&["prepare", "study"]);
    keep_them("with a record");
    // A study that an older version prepared has only its table.
    std::fs::remove_file(place.path("study/split.json")).unwrap();
    for folder in ["bf", "dapi"] {
        for i in 5..30 {
            std::fs::remove_file(place.path(&format!("images/{folder}/f{i}.tif"))).unwrap();
        }
    }
    place.ok(&["new", "older", "--images", "images"]);
    place.ok(&["prepare", "older"]);
    std::fs::copy(
        place.path("older/fields.csv"),
        place.path("study/fields.csv"),
    )
    .unwrap();
    parallel_folders(&place, 30);
    place.ok(&["prepare", "study"]);
    keep_them("of an older version");
    // Another seed is an explicit wish.
    change(&place, "seed = 0", "seed = 5");
    let run = place.ok(&["prepare", "study"]);
    assert_ne!(parts()[2], before[2]);
    assert!(
        run.stderr.contains("that trained or validated"),
        "{}",
        run.stderr
    );
}

#[test]
fn frames_of_one_position_share_a_part() {
    let place = Place::new();
    for folder in ["images/bf", "images/dapi"] {
        std::fs::create_dir_all(place.path(folder)).unwrap();
    }
    for movie in ["a", "b", "c", "d"] {
        for time in 1..=3 {
            let name = format!("{movie}_t00{time}.tif");
            let shift = movie.len() + time;
            common::disks(&place.path(&format!("images/bf/{name}")), 96, 2000, shift);
            common::disks(&place.path(&format!("images/dapi/{name}")), 96, 9000, shift);
        }
    }
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    let [train, validation, test] =
        ["train", "validation", "test"].map(|part| fields_of(&place, part));
    assert_eq!((train.len(), validation.len(), test.len()), (6, 3, 3));
    for part in [train, validation, test] {
        let movies: std::collections::BTreeSet<&str> = part.iter().map(|n| &n[..1]).collect();
        assert_eq!(3 * movies.len(), part.len(), "{part:?}");
    }
    // On request every field is on its own.
    change(&place, "group = \"well\"", "group = \"field\"");
    let run = place.ok(&["prepare", "study"]);
    assert_eq!(fields_of(&place, "test").len(), 1);
    let flatters = "1 of 1 test fields are of a well or position of which others train or validate";
    assert!(run.stderr.contains(flatters), "{}", run.stderr);
}

#[test]
fn truth_without_any_nucleus_is_said_before_and_after_a_training() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("bf")).unwrap();
    std::fs::create_dir_all(place.path("labels")).unwrap();
    for i in 0..4 {
        common::disks(&place.path(&format!("bf/f{i}.tif")), 96, 2000, i);
    }
    let empty = Image::filled(96, 96, 0u32);
    for name in ["f0", "f1", "f2", "f3", "stranger"] {
        let path = place.path(&format!("labels/{name}.tif"));
        write::labels(&path, &empty, &write::Note::default()).unwrap();
    }
    let run = place.ok(&["new", "study", "--images", "bf", "--labels", "labels"]);
    let unused = "1 file belongs to no field: `stranger.tif`";
    assert!(run.stderr.contains(unused), "{}", run.stderr);
    let run = place.ok(&["prepare", "study"]);
    assert!(run.stderr.contains(unused), "{}", run.stderr);
    let nothing = "the truth of none of 4 usable fields has a nucleus";
    assert!(run.stderr.contains(nothing), "{}", run.stderr);
    let run = place.ok(&[&["train", "study"], &TINY[..]].concat());
    let nothing = "the truth of none of 2 training fields has a nucleus";
    assert!(run.stderr.contains(nothing), "{}", run.stderr);
    let run = place.ok(&["evaluate", "study"]);
    let nothing = "the truth of none of 1 scored fields has a nucleus";
    assert!(run.stderr.contains(nothing), "{}", run.stderr);
}

#[test]
fn predictions_without_truth_are_said() {
    let place = Place::new();
    for folder in ["truth", "other"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    for i in 0..5 {
        common::disk_labels(&place.path(&format!("other/f{i}.tif")), 96, 0);
    }
    for i in 0..2 {
        common::disk_labels(&place.path(&format!("truth/f{i}.tif")), 96, 0);
    }
    let run = place.ok(&[
        "evaluate",
        "--truth",
        "truth",
        "--prediction",
        "other",
        "--objects",
    ]);
    let sentence = "3 of 5 files of `other` have no truth in `truth` and are not scored (first: \
        `f2`)";
    assert!(run.stderr.contains(sentence), "{}", run.stderr);
}
