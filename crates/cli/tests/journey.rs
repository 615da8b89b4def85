//! The whole journey on small images, as a user types it.

mod common;

use common::{Place, TINY, disk_labels, disk_mask, parallel_folders};

#[test]
fn from_stains_to_a_report() {
    let place = Place::new();
    parallel_folders(&place, 6);
    let run = place.ok(&["new", "study", "--images", "images"]);
    assert!(
        run.stderr.contains("brightfield: guessed `bf`"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("nucleus: guessed the stain `dapi`"),
        "{}",
        run.stderr
    );
    assert!(
        place
            .text("study/stainfree.toml")
            .contains("path = \"../images\"")
    );

    let run = place.ok(&["prepare", "study"]);
    // Fields of 96 x 96 pixels are too small to tell a shift from.
    let rest = "432 of 55296 pixels are ignored (0.78 %): uncertain edges, and rims that a moved \
        stain does not reach\nlight of the nucleus stain: varies by 0.0 %, even enough, left as it \
        is\nshift of the nucleus stain: cannot tell, left as it is\n";
    let first = "6 fields: 4 train, 1 validation, 1 test, 0 left out";
    assert_eq!(run.stdout, format!("{first} (6 made, 0 unchanged)\n{rest}"));
    let again = place.ok(&["prepare", "study", "--quiet"]);
    assert_eq!(
        again.stdout,
        format!("{first} (0 made, 6 unchanged)\n{rest}")
    );
    assert_eq!(again.stderr, "");
    common::disks(&place.path("images/dapi/f2.tif"), 96, 12_000, 2);
    let changed = place.ok(&["prepare", "study"]);
    assert!(
        changed.stdout.contains("(1 made, 5 unchanged)"),
        "{}",
        changed.stdout
    );

    place.ok(&[&["train", "study"], &TINY[..]].concat());
    for file in [
        "model.toml",
        "weights.safetensors",
        "log.jsonl",
        "input.toml",
    ] {
        assert!(
            place.path("study/models/model").join(file).is_file(),
            "{file}"
        );
    }
    // The recipe's 3e-4, divided by the width.
    assert!(
        place
            .text("study/models/model/model.toml")
            .contains("lr = 0.0048\n")
    );
    let other = place.run(&["train", "study"]);
    assert_eq!(other.code, 1, "{}", other.stderr);
    // The order of the choices depends on what other crates ask of `serde_json`.
    for part in [
        "error: `study/runs/model` holds 4 steps of a training that differs from this one (",
        "`batch` was `2`, now `4`",
        "`crop` was `64`, now `320`",
    ] {
        assert!(other.stderr.contains(part), "{}", other.stderr);
    }

    let run = place.ok(&[
        "predict",
        "study/models/model",
        "images",
        "--out",
        "result",
        "--probabilities",
        "--overlay",
    ]);
    assert!(
        run.stdout.starts_with("6 fields done in "),
        "{}",
        run.stdout
    );
    for file in [
        "classes/f0.tif",
        "nuclei/f5.tif",
        "probabilities/f3.tif",
        "outputs/f3.tif",
        "overlays/f1.png",
    ] {
        assert!(place.path("result").join(file).is_file(), "{file}");
    }
    let outputs = place.path("result/outputs/f3.tif");
    let note = stainfree_image::marker::note_of(&outputs).unwrap();
    assert!(
        note.contains("outputs (distance, neighbour, flow 1, flow 2) of"),
        "{note}"
    );
    let pages = [0, 3, 4].map(|page| stainfree_image::read_plane(&outputs, page).is_ok());
    assert_eq!(pages, [true, true, false]);
    let table = place.text("result/predictions.csv");
    assert!(table.starts_with(
        "name,status,message,background_share,nucleus_share,ignored_share,nuclei,expected_nuclei,\
         nuclei_low,nuclei_high,interval_level,expected_nuclear_area,nuclear_area_low,\
         nuclear_area_high,expected_mean_area,mean_area_low,mean_area_high,expected_cytoplasm_area,\
         cytoplasm_area_low,cytoplasm_area_high,area_unit,height,width,seconds,strangeness,\
         strange,unlike,looks,model,program,options,input,content,key\n"
    ));
    assert_eq!(table.lines().count(), 7);
    let again = place.ok(&["predict", "study/models/model", "images", "--out", "result"]);
    assert!(
        again.stdout.contains("0 fields done") && again.stdout.contains("6 done before"),
        "{}",
        again.stdout
    );
    let model = "study/models/model";
    let bf16 = [
        "predict",
        model,
        "images",
        "--out",
        "result",
        "--precision",
        "bf16",
        "--overwrite",
    ];
    let run = place.run_with(&[("STAINFREE_ISA", "portable")], &bf16);
    assert_eq!(run.code, 2);
    assert_eq!(
        run.stderr,
        "error: `--precision bf16`: bf16 needs a processor with AVX-512 BF16, and `portable` is \
         used here; use `f32`\n"
    );
    let run = place.run(&bf16);
    // Another precision is another result; without the instructions nothing is touched.
    let done = run.code == 0 && run.stdout.starts_with("6 fields done in ");
    assert!(done || run.code == 2, "{}{}", run.stdout, run.stderr);

    let measure = ["measure", "result", "--images", "images"];
    let run = place.ok(&[&measure[..], &["--out", "cells.csv"]].concat());
    assert!(
        run.stdout.contains(" objects in 6 fields"),
        "{}",
        run.stdout
    );
    // The model knows no cytoplasm, so that there are no cells.
    let header = place.text("cells.csv").lines().next().unwrap().to_owned();
    assert!(
        header.contains(",intensity_mean_dapi,") && !header.contains("cell_"),
        "{header}"
    );

    let run = place.ok(&["evaluate", "study", "--json", "-"]);
    let scores: serde_json::Value =
        serde_json::from_str(&run.stdout).expect("standard output is JSON alone");
    assert_eq!(scores["images"], 1);
    assert!(scores["splitting"]["singles"]["n"].is_number(), "{scores}");
    let run = place.ok(&["evaluate", "study", "--model", "model", "--splitting"]);
    assert!(
        run.stdout.contains("clusters of 4 or more"),
        "{}",
        run.stdout
    );
    assert!(
        scores["classes"]["nucleus"]["f1"]["pooled"].is_number(),
        "{scores}"
    );
    assert!(place.path("study/models/model/scores.json").is_file());
    let ranking = place.text("study/models/model/disagreements.csv");
    assert!(
        ranking.starts_with("field,kind,label,y_px,x_px,area_px,disagreement\n"),
        "{ranking}"
    );
    assert!(ranking.contains(",only-in-truth,"), "{ranking}");
    let wrong = place.text("study/models/model/object-errors.csv");
    assert!(
        wrong.starts_with("field,error,side,label,y_px,x_px,area_px,iou,neighbours,at_border,"),
        "{wrong}"
    );
    // A network of four steps finds nothing: every nucleus of the truth is missed or within more.
    let truth = scores["objects"]["truth"].as_u64().unwrap() as usize;
    let contradicted = wrong.matches(",truth,").count();
    assert!(contradicted * 2 > truth && contradicted <= truth, "{wrong}");
    for fate in ["missed", "merged"] {
        let sheet = format!("study/runs/model/test/errors/{fate}.png");
        let listed = wrong.contains(&format!(",{fate},"));
        assert_eq!(place.path(&sheet).is_file(), listed, "{fate}");
    }
    assert!(run.stdout.contains("true nuclei"), "{}", run.stdout);
    // Where the model contradicts the truth of test fields is shown on request only.
    let contradicted = "only the truth has this nucleus";
    place.ok(&["report", "study"]);
    let page = place.text("study/report.html");
    assert!(!page.contains(contradicted));
    for (fate, title) in [("missed", "Missed"), ("merged", "Merged")] {
        let listed = wrong.matches(&format!(",{fate},truth,")).count();
        if listed > 0 {
            let shown = format!("{title}: the worst of");
            assert!(page.contains(&shown), "{fate}");
        }
    }
    place.ok(&["report", "study", "--disagreements", "test"]);
    let page = place.text("study/report.html");
    assert!(page.contains(contradicted) && page.contains("Test fields are among them"));
    place.ok(&["evaluate", "study", "--on", "train"]);
    place.ok(&["report", "study"]);
    let page = place.text("study/report.html");
    assert!(page.contains(contradicted) && !page.contains("Test fields are among them"));
    assert!(page.contains("nuclear stain") && !page.contains("src=\"http"));
}

#[test]
fn a_shift_of_the_stains_is_taken_back_and_mitotic_nuclei_are_reviewed() {
    let place = Place::new();
    let simulate = [
        "simulate",
        "sim",
        "--wells",
        "1",
        "--sites",
        "3",
        "--side",
        "420",
        "--planes",
        "1",
        "--shift",
        "4.5,-3.25",
        "--quiet",
    ];
    place.ok(&simulate);
    place.ok(&["new", "study", "--images", "sim/plate"]);
    let run = place.ok(&["prepare", "study"]);
    assert_eq!(run.stdout.matches("+4.").count(), 2, "{}", run.stdout);
    let corrected = |text: &str| text.matches(", corrected\n").count();
    assert_eq!(corrected(&run.stdout), 2, "{}", run.stdout);
    assert!(place.path("study/truth/shifts.png").is_file());
    let nucleus_f1 = || {
        let run = place.ok(&[
            "evaluate",
            "--truth",
            "study/truth/classes",
            "--prediction",
            "sim/truth/classes",
            "--classes",
            "background,nucleus,cytoplasm",
            "--json",
            "-",
        ]);
        let scores: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        scores["classes"]["nucleus"]["f1"]["pooled"]
            .as_f64()
            .unwrap()
    };
    let back = nucleus_f1();
    let config = place.text("study/stainfree.toml");
    let off = config.replace(
        "correct = \"auto\"\n# Certain",
        "correct = \"off\"\n# Certain",
    );
    std::fs::write(place.path("study/stainfree.toml"), &off).unwrap();
    let run = place.ok(&["prepare", "study"]);
    assert!(
        run.stdout.contains("(3 made, 0 unchanged)"),
        "{}",
        run.stdout
    );
    assert!(!run.stdout.contains("shift of"), "{}", run.stdout);
    let shifted = nucleus_f1();
    // 5.6 px of a nucleus of 44 px.
    assert!(back > 0.93 && shifted < back - 0.08, "{back} {shifted}");
    let fixed = config
        .replace(
            "correct = \"auto\"\n# Certain",
            "correct = \"fixed\"\n# Certain",
        )
        .replace("nucleus_px = [0.0, 0.0]", "nucleus_px = [4.5, -3.25]");
    std::fs::write(place.path("study/stainfree.toml"), &fixed).unwrap();
    place.ok(&["prepare", "study"]);
    assert!((nucleus_f1() - back).abs() < 0.01);

    let run = place.ok(&["prepare", "study", "--mitosis"]);
    assert!(
        run.stdout
            .contains(" nuclei are mitotic; confirm or reject"),
        "{}",
        run.stdout
    );
    let config = place.text("study/stainfree.toml");
    assert!(config.contains("classes = [\"background\", \"nucleus\", \"cytoplasm\", \"mitotic\"]"));
    for file in [
        "truth/mitosis.png",
        "truth/contact-sheet.png",
        "truth/cells/B02_s1.tif",
    ] {
        assert!(place.path("study").join(file).is_file(), "{file}");
    }
    // A person rejects the first candidate: the next run follows, and keeps what was said.
    let list = place.text("study/truth/mitosis.csv");
    let first = list.lines().nth(1).expect("a candidate");
    assert!(first.ends_with(",yes,"), "{list}");
    let rejected = list.replacen(first, &format!("{first}no"), 1);
    std::fs::write(place.path("study/truth/mitosis.csv"), rejected).unwrap();
    let run = place.ok(&["prepare", "study"]);
    assert!(
        run.stdout.contains("(1 made, 2 unchanged)"),
        "{}",
        run.stdout
    );
    let said = first.replace(",yes,", ",no,no");
    for _ in 0..2 {
        assert!(
            place.text("study/truth/mitosis.csv").contains(&said),
            "{said}"
        );
        place.ok(&["prepare", "study"]);
    }
    std::fs::write(
        place.path("study/truth/mitosis.csv"),
        "field,y_px,x_px,decision\nf,1,2,perhaps\n",
    )
    .unwrap();
    let run = place.run(&["prepare", "study"]);
    assert!(
        run.stderr.contains("takes `yes`, `no` or nothing"),
        "{}",
        run.stderr
    );
}

/// `labels_px` in study `a` moves its labels, and only rows and columns that came in from outside
/// are unknown.
fn moved_labels_follow_the_brightfield(place: &Place) {
    let read = |path: &str| stainfree_image::read_labels(&place.path(path)).unwrap();
    let (nuclei, classes) = ("a/truth/nuclei/f1.tif", "a/truth/classes/f1.tif");
    let before = read(nuclei);
    let config = place.text("a/stainfree.toml");
    let moved = config.replace("labels_px = [0, 0]", "labels_px = [3, -2]");
    std::fs::write(place.path("a/stainfree.toml"), &moved).unwrap();
    let run = place.ok(&["prepare", "a"]);
    assert!(
        run.stdout.contains("(4 made, 0 unchanged)"),
        "{}",
        run.stdout
    );
    let (after, classes) = (read(nuclei), read(classes));
    for y in 0..96 {
        for x in 0..96 {
            let unknown = y + 3 >= 96 || x < 2;
            assert_eq!(classes.get(y, x) == 255, unknown, "{y}, {x}");
            if !unknown {
                let nucleus = before.get(y + 3, x - 2) != 0;
                assert_eq!(after.get(y, x) != 0, nucleus, "{y}, {x}");
                assert_eq!(classes.get(y, x) == 1, nucleus, "{y}, {x}");
            }
        }
    }
    let far = config.replace("labels_px = [0, 0]", "labels_px = [3000, 0]");
    std::fs::write(place.path("a/stainfree.toml"), far).unwrap();
    let run = place.run(&["prepare", "a"]);
    assert!(
        run.stderr.contains("`truth.shift.labels_px` must be"),
        "{}",
        run.stderr
    );
    std::fs::write(place.path("a/stainfree.toml"), config).unwrap();
}

#[test]
fn labels_and_masks_are_truth_too() {
    let place = Place::new();
    parallel_folders(&place, 4);
    for folder in ["labels", "masks", "cells"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    for i in 0..4 {
        disk_labels(&place.path(&format!("labels/f{i}_labels.tif")), 96, i);
        disk_mask(&place.path(&format!("masks/f{i}.tif")), 96, i, 255);
    }
    for i in 0..3 {
        disk_mask(&place.path(&format!("cells/f{i}.tif")), 96, 0, 255);
    }
    place.ok(&["new", "a", "--images", "images", "--labels", "labels"]);
    assert!(place.ok(&["prepare", "a"]).stdout.contains("0 left out"));
    moved_labels_follow_the_brightfield(&place);
    let run = place.ok(&[
        "new",
        "b",
        "--images",
        "images",
        "--masks",
        "masks",
        "--cell-masks",
        "cells",
    ]);
    assert!(
        run.stderr
            .contains("holds 0 and 255 only, read as background and nucleus"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("has truth for 3 of 4 fields"),
        "{}",
        run.stderr
    );
    assert!(place.ok(&["prepare", "b"]).stdout.contains("1 left out"));
    assert!(place.text("b/fields.csv").contains("no cell mask in"));
    let config = place
        .text("b/stainfree.toml")
        .replace("missing_cells = \"skip\"", "missing_cells = \"ignore\"");
    std::fs::write(place.path("b/stainfree.toml"), config).unwrap();
    assert!(place.ok(&["prepare", "b"]).stdout.contains("0 left out"));
}

#[test]
fn segment_finds_the_disks() {
    let place = Place::new();
    std::fs::create_dir(place.path("stains")).unwrap();
    common::disks(&place.path("stains/a.tif"), 96, 9000, 0);
    std::fs::write(place.path("stains/broken.tif"), b"not an image").unwrap();
    let run = place.run(&["segment", "stains", "--out", "out"]);
    assert!(
        run.stdout.starts_with("9 nuclei in 1 fields"),
        "{}\n{}",
        run.stdout,
        run.stderr
    );
    let labels = stainfree_image::read_labels(&place.path("out/a.tif")).unwrap();
    assert_eq!(labels.data().iter().max(), Some(&9));
}

#[test]
fn inspect_speaks_json_with_the_agreed_keys() {
    let place = Place::new();
    parallel_folders(&place, 2);
    let run = place.ok(&["inspect", "images", "--json", "-"]);
    let found: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    for key in [
        "layout", "fields", "wells", "sites", "times", "planes", "channels", "height", "width",
        "pixel_um", "problems",
    ] {
        assert!(found.get(key).is_some(), "{key} is missing in {found}");
    }
    assert_eq!(found["channels"], serde_json::json!(["bf", "dapi"]));
    assert_eq!(found["pixel_um"], 0.5);
    assert_eq!(found["pixel_um_range"], serde_json::json!([0.5, 0.5]));
}

#[test]
fn inspect_shows_the_range_where_pixel_sizes_differ() {
    let place = Place::new();
    parallel_folders(&place, 2);
    let line = |place: &Place| {
        let run = place.ok(&["inspect", "images"]);
        let line = run
            .stdout
            .lines()
            .find(|line| line.starts_with("pixel size"));
        line.unwrap_or_default()
            .split_once("   ")
            .map(|(_, value)| value.trim().to_owned())
    };
    assert_eq!(line(&place).as_deref(), Some("0.5 um"));
    for folder in ["bf", "dapi"] {
        let path = place.path(&format!("images/{folder}/f1.tif"));
        common::disks_at(&path, 96, 2000, 1, Some(0.25));
    }
    assert_eq!(line(&place).as_deref(), Some("0.25 to 0.5 um"));
    let run = place.ok(&["inspect", "images", "--json", "-"]);
    let found: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(found["pixel_um_range"], serde_json::json!([0.25, 0.5]));
    assert!(found["pixel_um"].is_number(), "{found}");
}

#[test]
fn bench_speaks_json_with_the_agreed_keys() {
    let place = Place::new();
    let args = [
        "bench",
        "--predict",
        "64",
        "--width",
        "0.0625",
        "--repeat",
        "1",
    ];
    let run = place.ok(&[&args[..], &["--json", "-"]].concat());
    let found: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let peak = &found["machine"]["peak_gflops"];
    assert!(peak["f32"].as_f64().unwrap() > 0.1, "{found}");
    assert!(
        peak["bf16"].as_f64().is_some_and(|bf16| bf16 > 0.1) || peak["reason"].is_string(),
        "{found}"
    );
    assert!(found["machine"]["cpu"].is_string() && found["machine"]["isa"].is_string());
    let entry = &found["runs"][0];
    assert_eq!(
        (&entry["what"], &entry["side"], &entry["threads"]),
        (&"predict".into(), &64.into(), &2.into())
    );
    assert!(entry["seconds"]["median"].as_f64().unwrap() > 0.0);
    let run = place.ok(&args);
    assert!(
        run.stdout.contains("\npeak of the processor: "),
        "{}",
        run.stdout
    );
}

#[test]
fn a_simulated_plate_is_recognised_with_its_truth() {
    let place = Place::new();
    place.ok(&[
        "simulate", "sim", "--wells", "3", "--sites", "1", "--side", "128",
    ]);
    place.ok(&["new", "study", "--images", "sim/plate"]);
    let config = place.text("study/stainfree.toml");
    assert!(
        config.contains("classes = [\"background\", \"nucleus\", \"cytoplasm\"]"),
        "{config}"
    );
    let run = place.ok(&["prepare", "study"]);
    assert!(run.stdout.starts_with("3 fields: "), "{}", run.stdout);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_simulation_and_the_same_command_goes_on() {
    let place = Place::new();
    let args = ["simulate", "sim", "--wells", "40", "--side", "128"];
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_stainfree"))
        .args(args)
        .args(["--sites", "1", "--threads", "1"])
        .current_dir(place.path(""))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The first field is finished once its table is there.
    while !place.path("sim/.simulating/rows/0_0.csv").exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let sent = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    let last = stderr.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("error: stopped as asked after ")
            && last.ends_with(
                " of 40 fields; they are kept in `sim/.simulating`, and the same \
                command goes on from there"
            ),
        "{stderr}"
    );
    assert!(!place.path("sim/plate").exists());
    let run = place.ok(&[&args[..], &["--sites", "1"]].concat());
    assert!(!run.stderr.starts_with("0/40"), "{}", run.stderr);
    assert!(
        run.stdout.starts_with("40 wells x 1 fields"),
        "{}",
        run.stdout
    );
    place.fails(
        1,
        &args,
        "error: `sim/plate` already exists; name another output folder or move it away",
    );
}
