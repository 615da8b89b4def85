//! What goes wrong is said in one sentence that names file, value and way out, with the right exit
//! code.

mod common;

use common::{Place, disk_labels, disk_mask, disks, parallel_folders};

#[test]
fn a_folder_that_holds_something_is_left_alone() {
    let place = Place::new();
    parallel_folders(&place, 3);
    std::fs::create_dir(place.path("study")).unwrap();
    std::fs::write(place.path("study/thesis.txt"), "ten years").unwrap();
    place.fails(
        1,
        &["new", "study", "--images", "images", "--quiet"],
        "error: `study` exists and is not empty; choose a new folder for the study, or delete this \
         one",
    );
    assert_eq!(place.text("study/thesis.txt"), "ten years");
}

#[test]
fn channels_that_do_not_exist_are_named_with_those_that_do() {
    let place = Place::new();
    parallel_folders(&place, 3);
    place.fails(
        1,
        &[
            "new",
            "study",
            "--images",
            "images",
            "--nucleus",
            "dappi",
            "--quiet",
        ],
        "error: `images` has no channel `dappi` (channels: `bf`, `dapi`), did you mean `dapi`?",
    );
    place.fails(
        1,
        &[
            "new",
            "study",
            "--images",
            "images",
            "--brightfield",
            "TL",
            "--quiet",
        ],
        "error: `images` has no channel `TL` (channels: `bf`, `dapi`); choose with `--brightfield`",
    );
    // A study whose plate no longer has the wave.
    place.ok(&["new", "study", "--images", "images"]);
    std::fs::rename(place.path("images/dapi"), place.path("images/gfp")).unwrap();
    place.fails(
        1,
        &["prepare", "study", "--quiet"],
        "error: `study/stainfree.toml`: `study/../images` has no channel `dapi` (channels: `bf`, \
         `gfp`); set `truth.nucleus` to one of them",
    );
}

#[test]
fn a_misspelt_key_of_the_config_is_named_with_its_line() {
    let place = Place::new();
    parallel_folders(&place, 3);
    place.ok(&["new", "study", "--images", "images"]);
    let config = place
        .text("study/stainfree.toml")
        .replace("\nplanes = []", "\nplaines = []");
    std::fs::write(place.path("study/stainfree.toml"), config).unwrap();
    place.fails(
        1,
        &["prepare", "study"],
        "error: `study/stainfree.toml`, line 11: unknown key `plaines`; did you mean `planes`? \
         (known: `path`, `brightfield`, `planes`, `pixel_um`, `pattern`)",
    );
}

#[test]
fn wrong_usage_has_its_own_exit_code() {
    let place = Place::new();
    assert_eq!(place.run(&["prepare"]).code, 2);
    assert_eq!(place.run(&["train", "x", "--steps", "0"]).code, 2);
    assert_eq!(
        place
            .run(&["predict", "m", "i", "--out", "o", "--memory", "12"])
            .code,
        2
    );
    place.fails(
        2,
        &["evaluate", "--truth", "a", "--prediction", "b"],
        "error: say what the folders hold: `--classes background,nucleus,..` for class masks, or \
         `--objects` for labels",
    );
    place.fails(
        2,
        &["simulate", "out", "--planes", "2"],
        "error: `planes` is `2`: use 1 or 3 brightfield planes",
    );
}

#[test]
fn what_is_no_study_or_no_model_is_said() {
    let place = Place::new();
    std::fs::create_dir(place.path("empty")).unwrap();
    place.fails(
        1,
        &["prepare", "empty"],
        "error: `empty` is not a study: it holds no `stainfree.toml`; make one with `stainfree \
         new`",
    );
    disks(&place.path("a.tif"), 96, 2000, 0);
    place.fails(
        1,
        &["predict", "empty", "a.tif", "--out", "out"],
        "error: `empty` is no model folder: it has no `model.toml`; name a folder such as \
         `study/models/model`",
    );
    parallel_folders(&place, 3);
    place.ok(&["new", "study", "--images", "images"]);
    place.fails(
        1,
        &["train", "study"],
        "error: `study` is not prepared: it has no `fields.csv`; run `stainfree prepare study` \
         first",
    );
    place.ok(&["prepare", "study"]);
    place.fails(
        1,
        &["evaluate", "study"],
        "error: the study has no model `model`; run `stainfree train study` first",
    );
}

#[test]
fn one_bad_field_is_counted_and_the_rest_is_prepared() {
    let place = Place::new();
    parallel_folders(&place, 4);
    std::fs::create_dir(place.path("labels")).unwrap();
    for i in 0..4 {
        disk_labels(&place.path(&format!("labels/f{i}.tif")), 96, i);
    }
    place.ok(&["new", "study", "--images", "images", "--labels", "labels"]);
    // Cut off in the middle, as by an interrupted copy.
    let whole = std::fs::read(place.path("labels/f1.tif")).unwrap();
    std::fs::write(place.path("labels/f1.tif"), &whole[..whole.len() / 2]).unwrap();
    disk_mask(&place.path("labels/f2.tif"), 96, 0, 255);
    disk_labels(&place.path("labels/f3.tif"), 64, 0);
    let run = place.run(&["prepare", "study"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stdout.contains("3 left out"), "{}", run.stdout);
    for sentence in [
        "warning: `study/../labels/f1.tif` is broken",
        "warning: `study/../labels/f2.tif` holds 0 and 255 only: a mask, not instance labels; give \
         it as `truth.masks` with `mask_values = \"binary\"` instead of `truth.labels`",
        "warning: `study/../labels/f3.tif` is 64 x 64 but the brightfield is 96 x 96; both must \
         show the same field",
        "warning: 3 of 4 fields failed",
    ] {
        assert!(run.stderr.contains(sentence), "{sentence}\n{}", run.stderr);
    }
    // Mended files are taken up by the next run; what was right stays.
    for i in 1..4 {
        disk_labels(&place.path(&format!("labels/f{i}.tif")), 96, i);
    }
    assert!(
        place
            .ok(&["prepare", "study"])
            .stdout
            .contains("0 left out (3 made, 1 unchanged)")
    );
}

#[test]
fn masks_and_labels_are_told_apart() {
    let place = Place::new();
    parallel_folders(&place, 3);
    std::fs::create_dir(place.path("labels")).unwrap();
    std::fs::create_dir(place.path("masks")).unwrap();
    for i in 0..3 {
        disk_labels(&place.path(&format!("labels/f{i}.tif")), 96, i);
        disk_mask(&place.path(&format!("masks/f{i}.tif")), 96, i, 1);
    }
    place.fails(
        1,
        &[
            "new", "study", "--images", "images", "--masks", "labels", "--quiet",
        ],
        "error: `labels` holds the value `17`, which is no class: it looks like instance labels; \
         use `--labels` instead of `--masks`",
    );
    place.ok(&["new", "study", "--images", "images", "--masks", "masks"]);
    disk_mask(&place.path("masks/f1.tif"), 96, 0, 7);
    let run = place.run(&["prepare", "study"]);
    assert_eq!(run.code, 3);
    let sentence = "`study/../masks/f1.tif` holds the value `7`, which is no class (classes: 0 \
        background, 1 nucleus, 255 ignored); correct the mask or `truth.classes`";
    assert!(run.stderr.contains(sentence), "{}", run.stderr);
    std::fs::create_dir(place.path("none")).unwrap();
    disk_labels(&place.path("none/other.tif"), 96, 0);
    place.fails(
        1,
        &[
            "new", "x", "--images", "images", "--labels", "none", "--quiet",
        ],
        "error: no file of `none` has the name of a field (a file there: `other.tif`; a field: \
         `f0`); truth is matched by name, with or without an ending such as `_labels`, `_masks`, \
         `_cp_masks`, `-labels`, `_label`, `_seg`, `_gt`, `_instances`: rename the files, or name \
         another folder",
    );
}

#[test]
fn one_bad_image_is_counted_and_the_rest_is_predicted() {
    let place = Place::new();
    parallel_folders(&place, 3);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    place.ok(&[
        "train", "study", "--width", "0.0625", "--crop", "64", "--batch", "1", "--steps", "1",
    ]);
    std::fs::create_dir(place.path("new plate")).unwrap();
    disks(&place.path("new plate/good.tif"), 96, 2000, 0);
    std::fs::write(place.path("new plate/empty.tif"), b"").unwrap();
    std::fs::write(place.path("new plate/text.png"), b"hello").unwrap();
    let model = "study/models/model";
    let run = place.run(&[
        "predict",
        model,
        "new plate/good.tif",
        "new plate/empty.tif",
        "new plate/text.png",
        "--out",
        "out",
    ]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stdout.starts_with("1 fields done"), "{}", run.stdout);
    assert!(
        run.stderr.ends_with("warning: 2 of 3 inputs failed\n"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("new plate/empty.tif"), "{}", run.stderr);
    assert!(place.path("out/classes/good.tif").is_file());
    // A cap that not even one tile fits into.
    place.fails(
        1,
        &[
            "predict",
            model,
            "new plate/good.tif",
            "--out",
            "small",
            "--memory",
            "1MiB",
        ],
        "error: nothing was done: the only input failed",
    );
    // A model folder with a file of another model.
    let weights = place.path("study/models/model/weights.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, &bytes).unwrap();
    place.fails(
        1,
        &["predict", model, "new plate/good.tif", "--out", "out"],
        "error: `study/models/model/weights.safetensors` is not the file its `model.toml` was \
         written with (other digest); copy the whole model folder again",
    );
    std::fs::remove_file(&weights).unwrap();
    let run = place.run(&["predict", model, "new plate/good.tif", "--out", "out"]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr
            .starts_with("error: `study/models/model/weights.safetensors` cannot be read"),
        "{}",
        run.stderr
    );
}

/// Files have rights for other users only; the superuser may do anything, so there is nothing to
/// see.
#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    parallel_folders(&place, 3);
    std::fs::create_dir(place.path("locked")).unwrap();
    std::fs::set_permissions(place.path("locked"), std::fs::Permissions::from_mode(0o555)).unwrap();
    let writable = std::fs::write(place.path("locked/try"), b"").is_ok();
    if writable {
        println!("skipped: this user may write anywhere");
        return;
    }
    place.fails(
        1,
        &["new", "locked/study", "--images", "images", "--quiet"],
        "error: `locked/study` could not be written: no permission; choose another folder or \
         change its rights",
    );
}

/// `/sys` takes no files, not even the superuser's.
#[cfg(target_os = "linux")]
#[test]
fn a_place_that_nobody_may_write_to_is_named() {
    let place = Place::new();
    parallel_folders(&place, 2);
    let refused = |args: &[&str], start: &str, ways_out: [&str; 2]| {
        let run = place.run(args);
        assert_eq!(run.code, 1, "{args:?}\n{}", run.stderr);
        let last = run.stderr.lines().last().unwrap_or_default();
        assert!(
            last.starts_with(start) && ways_out.iter().any(|way| last.ends_with(way)),
            "{args:?}\n{}",
            run.stderr
        );
    };
    // Refused by rights, or mounted read-only as in many containers.
    let folder = [
        "no permission; choose another folder or change its rights",
        "the file system is read-only; choose another folder",
    ];
    refused(
        &["new", "/sys/study", "--images", "images", "--quiet"],
        "error: `/sys/study` could not be written: ",
        folder,
    );
    refused(
        &["simulate", "/sys/sim", "--wells", "1", "--side", "64"],
        "error: `/sys/sim` could not be written: ",
        folder,
    );
    refused(
        &["segment", "images/dapi", "--out", "/sys/out", "--quiet"],
        "error: `/sys/out",
        folder,
    );
    refused(
        &["inspect", "images", "--json", "/sys/found.json"],
        "error: cannot write `/sys/found.json`: ",
        ["; choose a folder that may be written to"; 2],
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_with_the_file() {
    let place = Place::new();
    parallel_folders(&place, 2);
    // By a link, so that a program that renames over it harms nothing.
    std::os::unix::fs::symlink("/dev/full", place.path("found.json")).unwrap();
    place.fails(
        1,
        &["inspect", "images", "--json", "found.json"],
        "error: cannot write `found.json`: No space left on device (os error 28); free some space \
         on that disk, or write to another one",
    );
}

#[test]
fn planes_of_different_sizes_are_named_with_both_files() {
    let place = Place::new();
    parallel_folders(&place, 4);
    disks(&place.path("images/dapi/f1.tif"), 64, 9000, 1);
    let sentence = "field `f1`: `images/dapi/f1.tif` (plane 1 of channel `dapi`) is 64 x 64 and \
        `images/bf/f1.tif` is 96 x 96; the first is left out, since all planes of a field must \
        show the same place";
    let run = place.ok(&["inspect", "images"]);
    assert!(run.stdout.contains(sentence), "{}", run.stdout);
    place.ok(&["new", "study", "--images", "images"]);
    let run = place.run(&["prepare", "study"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    let sentence = sentence.replace("`images/", "`study/../images/");
    assert!(run.stderr.contains(&sentence), "{}", run.stderr);
    let sentence = "warning: field `f1` has no image of the channel `dapi` that can be used; \
        `stainfree inspect` on the images says why\nwarning: 1 of 4 fields failed\n";
    assert!(run.stderr.ends_with(sentence), "{}", run.stderr);
    assert!(run.stdout.contains("1 left out"), "{}", run.stdout);
}

/// `/dev/full` takes nothing, like a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_in_one_sentence() {
    let place = Place::new();
    parallel_folders(&place, 2);
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_stainfree"))
        .args(["inspect", "images", "--json", "-"])
        .current_dir(place.path(""))
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with("error: ") && stderr.lines().count() == 1,
        "{stderr}"
    );
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let place = Place::new();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_stainfree"))
        .args(["weights"])
        .current_dir(place.path(""))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

/// The proxy is one that nobody runs, so nothing leaves this machine.
#[cfg(feature = "download")]
#[test]
fn weights_that_cannot_be_fetched_are_named_with_the_way_to_get_them_by_hand() {
    let place = Place::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let proxy = format!("http://{free}");
    let run = place.run_with(
        &[
            ("ALL_PROXY", &proxy),
            ("HTTPS_PROXY", &proxy),
            ("NO_PROXY", ""),
        ],
        &["weights", "fetch", "vgg16-keras"],
    );
    let url = "https://github.com/fchollet/deep-learning-models/releases/download/v0.1/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5";
    let folder = place.path("stainfree/weights");
    assert_eq!(
        (run.code, run.stderr),
        (
            1,
            format!(
                "error: `{url}` cannot be reached through the proxy {free} of the environment \
                 (connection refused); nothing was kept: run the command again, or get the file by \
                 hand, put it into `{}` and run `stainfree weights check FILE`\n",
                folder.display()
            )
        )
    );
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    // A file of that name that is another one is neither taken nor overwritten.
    let file = folder.join("vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5");
    std::fs::write(&file, "half").unwrap();
    place.fails(
        1,
        &["weights", "fetch", "vgg16-keras"],
        &format!(
            "error: `{}` is damaged or another file: its md5 is 7afe399f1415b137d0962f82662fa9d4, \
             published is 6d6bbae143d832006294945121d1f1fc; delete the file and run the command \
             again",
            file.display()
        ),
    );
    place.fails(
        2,
        &["weights", "fetch", "vgg17"],
        "error: no weights are called `vgg17` (known: vgg16-keras, vgg16-torchvision, \
         vgg16-torchvision-features, mobilenet-v2-torchvision, mobilenet-v2-torchvision-v1, \
         mobilenet-v2-onnx-zoo, efficientnet-b4-keras, efficientnet-b4-torchvision)",
    );
}
