//! Results that are there already: the same is kept, another is replaced only with `--overwrite`,
//! and what the program did not make is never touched (docs/files.md).

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use common::{Place, TINY, disk_labels, disk_mask, disks, disks_at, parallel_folders};
use stainfree_image::{Image, write};

/// Every file of a folder and what it holds.
fn held(place: &Place, folder: &str) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![place.path(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(files.insert(path.clone(), std::fs::read(&path).unwrap())),
            }
        }
    }
    files
}

/// Refused with this sentence, and nothing of the folder has changed.
#[track_caller]
fn refused(place: &Place, folder: &str, args: &[&str], sentence: &str) {
    let before = held(place, folder);
    place.fails(1, args, &format!("error: {sentence}"));
    assert!(held(place, folder) == before, "{args:?} has written");
}

#[test]
fn predictions_of_something_else_are_replaced_when_that_is_asked_for() {
    let place = Place::new();
    parallel_folders(&place, 3);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    let train = [&["train", "study"], &TINY[..]].concat();
    place.ok(&train);
    let other = [
        &["train", "study", "--name", "other", "--seed", "7"],
        &TINY[..],
    ]
    .concat();
    place.ok(&other);
    let predict = |more: &[&'static str]| {
        let fixed = [
            "predict",
            "study",
            "images/bf",
            "--out",
            "result",
            "--model",
        ];
        [&fixed[..], more].concat()
    };
    place.ok(&predict(&["model"]));
    let first = held(&place, "result");
    // The same is kept, to the byte.
    let again = place.ok(&predict(&["model"]));
    assert!(
        again.stdout.starts_with("0 fields done"),
        "{}",
        again.stdout
    );
    assert!(held(&place, "result") == first);
    let sentence = "`result` holds results of 3 of 3 fields, such as `f0`, that are of another \
        model, image, option or version; replace them with `--overwrite`, or choose another \
        folder with `--out`";
    refused(&place, "result", &predict(&["model", "--flips"]), sentence);
    refused(&place, "result", &predict(&["other"]), sentence);
    // Other fields have room beside them.
    std::fs::create_dir(place.path("more")).unwrap();
    disks(&place.path("more/g.tif"), 96, 2000, 5);
    place.ok(&[
        "predict", "study", "more", "--out", "result", "--model", "other",
    ]);
    place.ok(&predict(&["other", "--overwrite"]));
    let run = place.ok(&predict(&["other"]));
    assert!(run.stdout.starts_with("0 fields done"), "{}", run.stdout);
    refused(&place, "result", &predict(&["model"]), sentence);
    // What somebody edited is not replaced, whatever is asked for.
    disk_labels(&place.path("result/nuclei/f1.tif"), 96, 3);
    let before = held(&place, "result");
    let run = place.run(&predict(&["model", "--overwrite"]));
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(
        run.stderr.contains("result/nuclei/f1.tif"),
        "{}",
        run.stderr
    );
    assert!(held(&place, "result") == before);

    // A model begins anew by the same word.
    let seed = [&["train", "study", "--seed", "9"], &TINY[..]].concat();
    let run = place.run(&seed);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("with `--overwrite`"), "{}", run.stderr);
    place.ok(&[&seed[..], &["--overwrite"]].concat());
}

#[test]
fn labels_of_something_else_are_replaced_when_that_is_asked_for() {
    let place = Place::new();
    for folder in ["stains", "more"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    disks(&place.path("stains/a.tif"), 96, 9000, 3);
    disks(&place.path("more/b.tif"), 96, 9000, 5);
    let segment = |more: &[&'static str]| [&["segment", "stains", "--out", "out"], more].concat();
    place.ok(&segment(&[]));
    let first = held(&place, "out");
    place.ok(&segment(&[]));
    assert!(held(&place, "out") == first, "the same command");
    let sentence = "`out` holds labels of 1 of 1 fields, such as `a`, that are of another image, \
        option or version; replace them with `--overwrite`, or choose another folder with `--out`";
    refused(&place, "out", &segment(&["--pixel-um", "0.7"]), sentence);
    // Other fields have room beside them, and both commands may be given again.
    place.ok(&["segment", "more", "--out", "out"]);
    place.ok(&segment(&[]));
    place.ok(&segment(&["--pixel-um", "0.7", "--overwrite"]));
    place.ok(&segment(&["--pixel-um", "0.7"]));
    refused(&place, "out", &segment(&[]), sentence);
    // Another image of the same name.
    std::fs::remove_file(place.path("stains/a.tif")).unwrap();
    disks(&place.path("stains/a.tif"), 96, 8000, 4);
    refused(&place, "out", &segment(&["--pixel-um", "0.7"]), sentence);
}

/// What `segment` says of labels that are of something else.
fn other_labels(out: &str, count: usize, all: usize, first: &str) -> String {
    format!(
        "`{out}` holds labels of {count} of {all} fields, such as `{first}`, that are of another \
         image, option or version; replace them with `--overwrite`, or choose another folder with \
         `--out`"
    )
}

/// The marker of a folder.
fn marker(place: &Place, folder: &str) -> serde_json::Value {
    serde_json::from_str(&place.text(&format!("{folder}/made-by-stainfree.json"))).unwrap()
}

fn set_marker(place: &Place, folder: &str, marker: &serde_json::Value) {
    let path = place.path(&format!("{folder}/made-by-stainfree.json"));
    std::fs::write(path, serde_json::to_vec(marker).unwrap()).unwrap();
}

#[test]
fn labels_say_which_stain_they_were_made_from() {
    let place = Place::new();
    // Two channels of one file.
    let channel = |level: f32| Image::from_fn(96, 96, move |y, x| level * ((y * x) % 7) as f32);
    let planes = [channel(100.0), channel(200.0)];
    write::stack_f32(&place.path("a.tif"), &planes, &write::Note::default()).unwrap();
    let segment = |more: &[&'static str]| [&["segment", "a.tif", "--out"], more].concat();
    place.ok(&segment(&["out", "--nucleus", "c1"]));
    let sentence = other_labels("out", 1, 1, "a");
    refused(
        &place,
        "out",
        &segment(&["out", "--nucleus", "c2"]),
        &sentence,
    );
    place.ok(&segment(&["out", "--nucleus", "c1"]));
    // Which of them is which stain.
    let both = ["both", "--nucleus", "c1", "--cytoplasm", "c2"];
    place.ok(&segment(&both));
    let swapped = ["both", "--nucleus", "c2", "--cytoplasm", "c1"];
    refused(
        &place,
        "both",
        &segment(&swapped),
        &other_labels("both", 1, 1, "a"),
    );
    place.ok(&segment(&both));

    // Files of one name, size and time.
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for (folder, shift) in [("plate/dapi", 3), ("plate/gfp", 3)] {
        std::fs::create_dir_all(place.path(folder)).unwrap();
        let path = place.path(&format!("{folder}/a.tif"));
        disks(&path, 96, 9000, shift);
        set_time(&path, time);
    }
    let plate = |stain: &'static str| ["segment", "plate", "--out", "of", "--nucleus", stain];
    place.ok(&plate("dapi"));
    refused(&place, "of", &plate("gfp"), &other_labels("of", 1, 1, "a"));
    // However the folder is spelled, and whether or not the other stain is given with it.
    let run = place.ok(&["segment", "plate/../plate/dapi", "--out", "of"]);
    assert!(
        run.stdout.contains("1 of them done before"),
        "{}",
        run.stdout
    );
}

#[test]
fn labels_follow_the_pixel_size_wherever_it_is_said() {
    let place = Place::new();
    std::fs::create_dir(place.path("stains")).unwrap();
    let image = place.path("stains/a.tif");
    let write = |um| {
        disks_at(&image, 96, 9000, 3, um);
        set_time(
            &image,
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        );
        std::fs::metadata(&image).unwrap().len()
    };
    let segment = ["segment", "stains", "--out", "out"];
    let size = write(Some(0.5));
    place.ok(&segment);
    // The option says what the file says.
    let run = place.ok(&[&segment[..], &["--pixel-um", "0.5"]].concat());
    assert!(
        run.stdout.contains("1 of them done before"),
        "{}",
        run.stdout
    );
    assert_eq!(write(Some(0.7)), size);
    refused(&place, "out", &segment, &other_labels("out", 1, 1, "a"));
}

#[test]
fn labels_that_are_there_are_skipped_and_an_interrupted_run_goes_on() {
    let place = Place::new();
    std::fs::create_dir(place.path("stains")).unwrap();
    for (i, name) in ["a", "b"].into_iter().enumerate() {
        disks(&place.path(&format!("stains/{name}.tif")), 96, 9000, i);
    }
    let segment = |more: &[&'static str]| [&["segment", "stains", "--out", "out"], more].concat();
    let first = place.ok(&segment(&[])).stdout;
    let whole = held(&place, "out");
    let run = place.ok(&segment(&[]));
    assert!(held(&place, "out") == whole);
    let expected = first.replace("2 fields;", "2 fields, 2 of them done before;");
    assert_eq!(run.stdout.lines().next(), expected.lines().next());

    // What cannot be read this time keeps its labels.
    let image = place.path("stains/a.tif");
    let time = std::fs::metadata(&image).unwrap().modified().unwrap();
    let bytes = std::fs::read(&image).unwrap();
    damage(&image);
    set_time(&image, time);
    place.ok(&segment(&[]));
    assert!(held(&place, "out") == whole);
    std::fs::write(&image, bytes).unwrap();
    set_time(&image, time);

    // A run over other labels that was ended after it had begun: nothing vouches for what is there.
    let small = ["--pixel-um", "0.7"];
    place.ok(&["segment", "stains", "--out", "small", "--pixel-um", "0.7"]);
    let keys = marker(&place, "small")["fields"].clone();
    let mut begun = marker(&place, "out");
    let whole_marker = begun.clone();
    begun["begun"] = serde_json::json!({"a": keys["a"]["key"]});
    begun["fields"].as_object_mut().unwrap().remove("a");
    set_marker(&place, "out", &begun);
    refused(
        &place,
        "out",
        &segment(&[]),
        &other_labels("out", 1, 2, "a"),
    );
    // The same of these labels goes on.
    begun["begun"] = serde_json::json!({"a": whole_marker["fields"]["a"]["key"]});
    set_marker(&place, "out", &begun);
    let run = place.ok(&segment(&[]));
    assert!(
        run.stdout.contains("1 of them done before"),
        "{}",
        run.stdout
    );
    assert!(held(&place, "out") == whole);
    refused(
        &place,
        "out",
        &segment(&small),
        &other_labels("out", 2, 2, "a"),
    );
}

fn set_time(path: &Path, time: SystemTime) {
    let file = std::fs::File::options().append(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

/// Makes the pixels of an image unreadable, and not what it says of them.
fn damage(image: &Path) {
    let mut bytes = std::fs::read(image).unwrap();
    let half = bytes.len() / 2;
    bytes[half - 50..half + 50].fill(0xff);
    std::fs::write(image, bytes).unwrap();
}

#[test]
fn a_field_that_fails_is_vouched_for_by_nothing() {
    let place = Place::new();
    std::fs::create_dir(place.path("stains")).unwrap();
    for name in ["a", "b"] {
        disks(&place.path(&format!("stains/{name}.tif")), 96, 9000, 0);
    }
    place.ok(&["segment", "stains", "--out", "out"]);
    damage(&place.path("stains/a.tif"));
    let run = place.run(&["segment", "stains", "--out", "out", "--overwrite"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(!place.path("out/a.tif").exists());
    let marker = marker(&place, "out");
    assert!(marker["fields"].get("a").is_none(), "{marker}");
    assert!(marker["fields"].get("b").is_some(), "{marker}");
    assert!(marker.get("begun").is_none(), "{marker}");
}

#[test]
fn labels_of_earlier_versions_are_replaced_when_that_is_asked_for() {
    let place = Place::new();
    std::fs::create_dir(place.path("stains")).unwrap();
    disks(&place.path("stains/a.tif"), 96, 9000, 3);
    let segment = ["segment", "stains", "--out", "out"];
    place.ok(&segment);
    let mut older = marker(&place, "out");
    older.as_object_mut().unwrap().remove("fields");
    set_marker(&place, "out", &older);
    let sentence = "`out` holds labels of 1 of 1 fields, such as `a`, that do not say what they \
        were made from; replace them with `--overwrite`, or choose another folder with `--out`";
    refused(&place, "out", &segment, sentence);
    place.ok(&[&segment[..], &["--overwrite"]].concat());
    place.ok(&segment);
}

/// A study of three fields with a tiny model.
fn trained(place: &Place) {
    parallel_folders(place, 3);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    place.ok(&[&["train", "study"], &TINY[..]].concat());
}

/// A prediction into `result`.
fn predict<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["predict", "--out", "result"], more].concat()
}

#[test]
fn predictions_without_a_row_are_told_by_what_they_say() {
    let place = Place::new();
    trained(&place);
    let other = ["train", "study", "--name", "other", "--seed", "7"];
    place.ok(&[&other[..], &TINY[..]].concat());
    let first = ["study/models/model", "images/bf"];
    let second = ["study/models/other", "images/bf"];
    place.ok(&predict(&first));
    let whole = held(&place, "result");
    let sentence = |count: usize| {
        format!(
            "`result` holds results of {count} of 3 fields, such as `f0`, that are of another \
             model, image, option or version; replace them with `--overwrite`, or choose another \
             folder with `--out`"
        )
    };
    // The table is deleted: what the files say stands.
    std::fs::remove_file(place.path("result/predictions.csv")).unwrap();
    refused(&place, "result", &predict(&second), &sentence(3));
    // The same model goes on.
    place.ok(&predict(&first));
    for file in ["classes/f0.tif", "nuclei/f2.tif"] {
        let path = place.path(&format!("result/{file}"));
        assert!(whole[&path] == std::fs::read(&path).unwrap(), "{file}");
    }
    // Another image of the name, of which a run was killed.
    std::fs::remove_file(place.path("result/predictions.csv")).unwrap();
    disks(&place.path("images/bf/f0.tif"), 96, 3000, 5);
    refused(&place, "result", &predict(&first), &sentence(1));
    place.ok(&[&predict(&second)[..], &["--overwrite"]].concat());
}

#[test]
fn a_folder_is_the_same_however_it_is_spelled() {
    let place = Place::new();
    trained(&place);
    place.ok(&predict(&["study", "images/bf"]));
    let whole = held(&place, "result");
    let absolute = place.path("images/bf").display().to_string();
    for typed in ["./images/bf", "images/../images/bf", absolute.as_str()] {
        let run = place.ok(&["predict", "--out", "result", "study", typed]);
        let said = run.stdout.starts_with("0 fields done");
        assert!(said, "{typed}: {}", run.stdout);
    }
    // A disk that is mounted at another place, or a plate that was moved.
    std::fs::create_dir(place.path("elsewhere")).unwrap();
    std::fs::rename(place.path("images"), place.path("elsewhere/images")).unwrap();
    let run = place.ok(&predict(&["study", "elsewhere/images/bf"]));
    assert!(run.stdout.starts_with("0 fields done"), "{}", run.stdout);
    assert!(held(&place, "result") == whole);
}

#[test]
fn predictions_of_other_classes_are_replaced_as_a_whole() {
    let place = Place::new();
    trained(&place);
    std::fs::create_dir(place.path("masks")).unwrap();
    for i in 0..3 {
        disk_mask(&place.path(&format!("masks/f{i}.tif")), 96, i, 1);
    }
    place.ok(&["new", "named", "--images", "images/bf", "--masks", "masks"]);
    let config = place.text("named/stainfree.toml");
    let named = config.replace("[\"background\", \"nucleus\"]", "[\"empty\", \"cell\"]");
    assert_ne!(named, config);
    std::fs::write(place.path("named/stainfree.toml"), named).unwrap();
    place.ok(&["prepare", "named"]);
    place.ok(&[&["train", "named"], &TINY[..]].concat());
    place.ok(&predict(&["study", "images/bf"]));
    let classes = "`result/predictions.csv` is of a model with other classes (background, \
        nucleus); choose another folder with `--out`, or replace all of its fields at once with \
        `--overwrite`";
    let named = predict(&["named", "images/bf"]);
    refused(&place, "result", &named, classes);
    // A table has room for the classes of one model.
    let part = predict(&["named", "images/bf/f0.tif", "--overwrite"]);
    refused(&place, "result", &part, classes);
    place.ok(&[&named[..], &["--overwrite"]].concat());
    let table = place.text("result/predictions.csv");
    assert!(
        table.starts_with("name,status,message,empty_share,cell_share,"),
        "{table}"
    );
    assert_eq!(table.lines().count(), 4);
    let run = place.ok(&named);
    assert!(run.stdout.starts_with("0 fields done"), "{}", run.stdout);
}

#[test]
fn heat_maps_count_as_tables() {
    let place = Place::new();
    place.ok(&[
        "simulate", "sim", "--wells", "2", "--sites", "1", "--side", "128",
    ]);
    std::fs::create_dir(place.path("tables")).unwrap();
    let measure = [
        "measure",
        "--labels",
        "sim/truth/nuclei",
        "--images",
        "sim/plate",
        "--heatmap",
        "area",
        "--out",
        "tables/cells.csv",
    ];
    place.ok(&measure);
    std::fs::remove_file(place.path("tables/cells.csv")).unwrap();
    let sentence = "`tables/cells_area.svg` exists; give another name, or `--overwrite`";
    refused(&place, "tables", &measure, sentence);
    place.ok(&[&measure[..], &["--overwrite"]].concat());
}

#[test]
fn a_model_that_pretrain_refuses_keeps_its_marker() {
    let place = Place::new();
    trained(&place);
    std::fs::rename(place.path("study/models/model"), place.path("model")).unwrap();
    let before = held(&place, "model");
    let run = place.run(&[&["pretrain", "model"], &TINY[..]].concat());
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("--overwrite"), "{}", run.stderr);
    assert!(held(&place, "model") == before);
}

#[test]
fn light_and_shift_follow_the_stains_that_they_are_of() {
    let place = Place::new();
    place.ok(&[
        "simulate", "sim", "--wells", "2", "--sites", "2", "--side", "160",
    ]);
    place.ok(&["new", "study", "--images", "sim/plate"]);
    place.ok(&["prepare", "study"]);
    let path = place.path("study/stainfree.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let channel = |role: &str| {
        let start = format!("{role} = \"");
        let line = config.lines().find(|line| line.starts_with(&start));
        line.unwrap_or_else(|| panic!("{role}: {config}"))
            .to_owned()
    };
    let (nucleus, cytoplasm) = (channel("nucleus"), channel("cytoplasm"));
    let swapped = |line: &str| match line {
        line if line == nucleus => cytoplasm.replace("cytoplasm =", "nucleus ="),
        line if line == cytoplasm => nucleus.replace("nucleus =", "cytoplasm ="),
        line => line.to_owned(),
    };
    let lines: Vec<String> = config.lines().map(swapped).collect();
    let key = |file: &str| {
        let text = place.text(&format!("study/truth/{file}"));
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["key"].clone()
    };
    let keys = || ["illumination.json", "shifts.json"].map(key);
    let before = keys();
    std::fs::write(&path, lines.join("\n")).unwrap();
    place.run(&["prepare", "study"]);
    let after = keys();
    assert_ne!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
}
