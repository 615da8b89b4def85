//! The whole journey on small images, as a user types it.

mod common;

use common::{Place, disk_labels, disk_mask, parallel_folders};
use stainfree_image::{Image, write};

/// A training that takes seconds: a sixteenth of the network, tiny crops.
const TINY: [&str; 8] = [
    "--width", "0.0625", "--crop", "64", "--batch", "2", "--steps", "4",
];

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
    let rest = "432 of 55296 pixels are ignored (0.78 %): uncertain edges, and rims that a moved stain does not reach\nlight of the nucleus stain: varies by 0.0 %, even enough, left as it is\nshift of the nucleus stain: cannot tell, left as it is\n";
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
    place.fails(
        1,
        &["train", "study"],
        "error: the model `study/models/model` exists; train under another `--name`, or delete the folder first",
    );

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
        "overlays/f1.png",
    ] {
        assert!(place.path("result").join(file).is_file(), "{file}");
    }
    let table = place.text("result/predictions.csv");
    assert!(table.starts_with("name,status,message,background_share,nucleus_share,nuclei,height,width,seconds,model,program,input,key\n"));
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
    ];
    let run = place.run_with(&[("STAINFREE_ISA", "portable")], &bf16);
    assert_eq!(run.code, 2);
    assert_eq!(
        run.stderr,
        "error: `--precision bf16`: bf16 needs a processor with AVX-512 BF16, and `portable` is used here; use `f32`\n"
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
    // A network of four steps finds nothing: every whole nucleus of the truth is contradicted.
    assert!(ranking.contains(",only-in-truth,"), "{ranking}");
    place.ok(&["report", "study"]);
    let page = place.text("study/report.html");
    assert!(page.contains("only the truth has this nucleus"));
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
        "field,decision\nf,perhaps\n",
    )
    .unwrap();
    let run = place.run(&["prepare", "study"]);
    assert!(
        run.stderr.contains("takes `yes`, `no` or nothing"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_model_does_not_depend_on_threads_or_on_resuming() {
    let place = Place::new();
    parallel_folders(&place, 4);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    place.ok(&[&["train", "study", "--name", "whole"], &TINY[..]].concat());
    // The same steps with another number of threads are the same model.
    let other = [&["train", "study", "--name", "other"], &TINY[..]].concat();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_stainfree"))
        .args(&other)
        .args(["--threads", "1", "--quiet"])
        .current_dir(place.path(""))
        .output()
        .unwrap();
    assert!(output.status.success());
    let weights = |name: &str| {
        std::fs::read(place.path(&format!("study/models/{name}/weights.safetensors"))).unwrap()
    };
    assert!(
        weights("whole") == weights("other"),
        "the number of threads changed the model"
    );
    // Resuming what is finished changes nothing.
    let before = weights("whole");
    place.ok(&[
        &["train", "study", "--name", "whole", "--resume"],
        &TINY[..],
    ]
    .concat());
    assert!(before == weights("whole"));
}

#[test]
fn a_killed_training_resumes_to_the_same_bytes() {
    let place = Place::new();
    parallel_folders(&place, 4);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    let train = |name: &'static str| {
        [
            "train", "study", "--name", name, "--width", "0.0625", "--crop", "64", "--batch", "1",
            "--steps", "60",
        ]
    };
    place.ok(&train("whole"));
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_stainfree"))
        .args(train("killed"))
        .arg("--quiet")
        .current_dir(place.path(""))
        .spawn()
        .unwrap();
    let checkpoint = place.path("study/runs/killed/checkpoint.safetensors");
    // Killed at the first checkpoint; should the machine be so fast that all is done, that is fine too.
    while !checkpoint.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let _ = child.kill();
    child.wait().unwrap();
    place.ok(&[&train("killed")[..], &["--resume"]].concat());
    let weights = |name: &str| {
        std::fs::read(place.path(&format!("study/models/{name}/weights.safetensors"))).unwrap()
    };
    assert!(weights("whole") == weights("killed"));
}

#[test]
fn a_cap_that_cuts_the_margin_of_tiles_is_said_once_with_the_one_that_does_not() {
    let place = Place::new();
    parallel_folders(&place, 3);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    place.ok(&[&["train", "study"], &TINY[..]].concat());
    std::fs::create_dir(place.path("large")).unwrap();
    // Low, so that the many small tiles of a tight cap take no time; wider than any margin.
    let image = Image::from_fn(96, 704, |y, x| ((y * 7 + x * 13) % 1009) as u16);
    for i in 0..2 {
        let path = place.path(&format!("large/f{i}.tif"));
        write::plane_u16(&path, &image, &write::Note::default()).unwrap();
    }
    let predict = |out: &str, memory: &str| {
        let args = [
            "predict",
            "study/models/model",
            "large",
            "--out",
            out,
            "--memory",
            memory,
        ];
        place.run(&args)
    };
    // What the last sentence with "`--memory N` or more" names.
    let enough = |stderr: &str| {
        let (_, rest) = stderr.rsplit_once("`--memory ").expect("a way out");
        rest.split_once("` or more")
            .expect("a way out")
            .0
            .to_owned()
    };
    let run = predict("too little", "60MiB");
    assert_eq!(run.code, 1);
    let sentence = "warning: field `f0`: 60MiB of memory are too little for its smallest tile; allow `--memory ";
    assert!(run.stderr.contains(sentence), "{}", run.stderr);

    let little = enough(&run.stderr);
    let run = predict("little", &little);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let sentence = format!(
        "field `f0` of 96 x 704 pixels is computed in tiles to keep to {little}, with a margin of 160 instead of 288 pixels, so classes near the seams may differ; `--memory "
    );
    assert_eq!(run.stderr.matches(&sentence).count(), 1, "{}", run.stderr);
    assert_eq!(run.stderr.matches("margin").count(), 2, "{}", run.stderr);

    let run = predict("enough", &enough(&run.stderr));
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!run.stderr.contains("margin"), "{}", run.stderr);
}

#[test]
fn a_field_of_smaller_pixels_is_read_at_the_models_pixel_size() {
    let place = Place::new();
    parallel_folders(&place, 3);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    place.ok(&[&["train", "study"], &TINY[..]].concat());
    // The same scene, smooth enough to survive resampling, in pixels of 0.5 um and of 0.25.
    for (folder, um) in [("half", 0.5), ("quarter", 0.25)] {
        std::fs::create_dir(place.path(folder)).unwrap();
        let side = (48.0 / um) as usize;
        let wave = |i: usize, period: f64| ((i as f64 + 0.5) * um / period * 6.3).sin();
        let image = Image::from_fn(side, side, |y, x| {
            (1000.0 + 300.0 * wave(y, 11.0) + 300.0 * wave(x, 17.0)) as u16
        });
        let note = write::Note {
            pixel_um: Some(um),
            ..write::Note::default()
        };
        write::plane_u16(&place.path(&format!("{folder}/f.tif")), &image, &note).unwrap();
    }
    // Mean distance of the first class's probability from that of the half-micron field.
    let mean_distance = |out: &str| {
        let read = |out: &str| {
            let path = place.path(&format!("{out}/probabilities/f.tif"));
            stainfree_image::read_plane(&path, 0).unwrap().to_f32()
        };
        let (half, quarter) = (read("out half"), read(out));
        assert_eq!((half.size(), quarter.size()), ((96, 96), (192, 192)));
        let distance =
            |i: usize| (half.data()[i] - quarter.data()[2 * (i / 96) * 192 + 2 * (i % 96)]).abs();
        (0..96 * 96).map(distance).sum::<f32>() / (96.0 * 96.0)
    };
    let predict = |input: &str, out: &str, more: &[&str]| {
        let fixed = [
            "predict",
            "study/models/model",
            input,
            "--out",
            out,
            "--probabilities",
        ];
        place.ok(&[&fixed[..], more].concat()).stderr
    };
    let stderr = predict("half", "out half", &[]);
    assert!(!stderr.contains("resampled"), "{stderr}");
    let stderr = predict("quarter", "out", &[]);
    let sentence = "the images have pixels of 0.25 um and the model is for 0.5 um: they are resampled, and the results brought back to their size";
    assert!(stderr.contains(sentence), "{stderr}");
    predict("quarter", "as it is", &["--pixel-um", "0.5"]);
    let (resampled, as_it_is) = (mean_distance("out"), mean_distance("as it is"));
    assert!(resampled < 0.2 * as_it_is, "{resampled} {as_it_is}");
    // Millimetres for micrometres.
    let wrong = [
        "predict",
        "study/models/model",
        "half",
        "--out",
        "wrong",
        "--pixel-um",
        "500",
    ];
    let run = place.run(&wrong);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("field `f`: its pixels of 500 um are more than a factor of 8 from the model's 0.5 um; give the right size with `--pixel-um`"), "{}", run.stderr);
}

#[test]
fn fields_of_two_pixel_sizes_train_one_network() {
    let place = Place::new();
    parallel_folders(&place, 4);
    for folder in ["bf", "dapi"] {
        let path = place.path(&format!("images/{folder}/f1.tif"));
        common::disks_at(&path, 192, 2000, 1, Some(0.25));
    }
    place.ok(&["new", "study", "--images", "images", "--split", "1,0,0"]);
    place.ok(&["prepare", "study"]);
    let stderr = place.ok(&[&["train", "study"], &TINY[..]].concat()).stderr;
    let sentence = "the network is for pixels of 0.5 um: 1 of 4 fields are resampled";
    assert!(stderr.contains(sentence), "{stderr}");
    assert!(
        place
            .text("study/models/model/model.toml")
            .contains("pixel_um = 0.5")
    );
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
fn folders_are_scored_by_name() {
    let place = Place::new();
    for folder in ["truth", "other"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    for i in 0..3 {
        disk_labels(&place.path(&format!("truth/B0{i}_s1_labels.tif")), 96, 0);
        disk_labels(&place.path(&format!("other/B0{i}_s1.tif")), 96, 0);
    }
    let run = place.ok(&[
        "evaluate",
        "--truth",
        "truth",
        "--prediction",
        "other",
        "--objects",
        "--group",
        "^(B0.)",
        "--json",
        "-",
    ]);
    let scores: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (scores["images"].as_u64(), scores["groups"].as_u64()),
        (Some(3), Some(3))
    );
    assert_eq!(scores["objects"]["f1_50"]["pooled"], 1.0);
    assert_eq!(scores["objects"]["count_error"], 0.0);
    assert!(scores.get("splitting").is_none());
}

#[test]
fn splitting_is_scored_on_request_with_table_and_json() {
    let place = Place::new();
    // A joined pair and a single; the prediction fuses the pair in the second of two fields.
    let row = |fused: bool| {
        Image::from_fn(12, 40, move |_, x| match x {
            0..=9 => 1u32,
            11..=19 => 1 + u32::from(!fused),
            28..=37 => 3,
            _ => 0,
        })
    };
    let note = stainfree_image::write::Note {
        text: String::new(),
        pixel_um: Some(0.5),
    };
    for (folder, fused) in [("truth", false), ("result", true)] {
        std::fs::create_dir(place.path(folder)).unwrap();
        for (name, fused) in [("a", false), ("b", fused)] {
            let path = place.path(&format!("{folder}/{name}.tif"));
            stainfree_image::write::labels(&path, &row(fused), &note).unwrap();
        }
    }
    let arguments = [
        "evaluate",
        "--truth",
        "truth",
        "--prediction",
        "result",
        "--splitting",
    ];
    let run = place.ok(&[&arguments[..], &["--json", "-"]].concat());
    let scores: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let splitting = &scores["splitting"];
    assert_eq!(splitting["singles"]["n"], 2);
    assert_eq!(splitting["clusters"]["2"]["n"], 2);
    assert_eq!(splitting["clusters"]["2"]["resolved"], 0.5);
    assert_eq!(splitting["pairs"]["missed"], 1);
    assert_eq!(splitting["cut_line_distance_um"]["pooled"], 0.0);
    assert!(splitting["clusters"]["3"]["reason"].is_string());
    let table = place.ok(&arguments).stdout;
    assert!(
        table.contains("clusters of 2                2     0.5000"),
        "{table}"
    );
    assert!(
        table.contains("2 joined pairs: 1 found, 1 missed, 0 lost; 0 false cuts"),
        "{table}"
    );
    let run = place.run(&[&arguments[..], &["--pixel-um", "-1"]].concat());
    assert_eq!(run.code, 2, "{}", run.stderr);
}

#[test]
fn outlines_and_kinds_are_scored_on_request() {
    let place = Place::new();
    for folder in ["truth", "result"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    disk_labels(&place.path("truth/a.tif"), 96, 0);
    disk_labels(&place.path("result/a.tif"), 96, 1);
    let labels = stainfree_image::read_labels(&place.path("truth/a.tif")).unwrap();
    let mut numbers: Vec<u32> = labels.data().iter().filter(|&&l| l != 0).copied().collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut cells = "field,id,mitotic\n".to_owned();
    for &label in &numbers {
        cells.push_str(&format!("a,{label},{}\n", u8::from(label == numbers[0])));
    }
    std::fs::write(place.path("cells.csv"), cells).unwrap();
    let arguments = [
        "evaluate",
        "--truth",
        "truth",
        "--prediction",
        "result",
        "--boundaries",
        "--kinds",
        "cells.csv",
    ];
    let run = place.ok(&[&arguments[..], &["--json", "-"]].concat());
    let scores: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(scores["kinds"]["mitotic"]["n"], 1);
    assert_eq!(scores["kinds"]["interphase"]["n"], numbers.len() - 1);
    let tolerance = &scores["boundaries"]["objects"]["tolerance"];
    assert_eq!(tolerance[3]["px"], 3);
    assert_eq!(tolerance[3]["f1"]["pooled"], 1.0);
    assert!(tolerance[0]["f1"]["pooled"].as_f64().unwrap() < 1.0);
    let table = place.ok(&arguments).stdout;
    assert!(table.contains("ASSD of matched nuclei, px"), "{table}");
    assert!(table.contains("mitotic"), "{table}");
    std::fs::write(place.path("cells.csv"), "name,id\na,1\n").unwrap();
    let run = place.run(&arguments);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr
            .contains("`cells.csv` has no column `field` (columns: name, id)"),
        "{}",
        run.stderr
    );
}

#[test]
fn corrected_nuclei_become_the_truth_and_the_changes_are_listed() {
    let place = Place::new();
    parallel_folders(&place, 4);
    place.ok(&["new", "study", "--images", "images"]);
    let run = place.run(&["compare", "study"]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.contains("holds no corrected labels"),
        "{}",
        run.stderr
    );
    place.ok(&["prepare", "study"]);
    let table = place.text("study/fields.csv");
    assert!(
        !table.contains("corrected,") && table.contains("automatic,"),
        "{table}"
    );

    // In one field a nucleus is taken away and a square drawn into the corner.
    let name = table
        .lines()
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap()
        .to_owned();
    let automatic_path = place.path(&format!("study/truth/nuclei/{name}.tif"));
    let automatic = stainfree_image::read_labels(&automatic_path).unwrap();
    let first = automatic
        .data()
        .iter()
        .find(|&&label| label != 0)
        .copied()
        .unwrap();
    let edited = Image::from_fn(
        automatic.height(),
        automatic.width(),
        |y, x| match automatic.get(y, x) {
            label if label == first => 0,
            0 if y < 3 && x < 3 => 70_000,
            label => label,
        },
    );
    std::fs::create_dir(place.path("study/truth/corrected")).unwrap();
    let note = write::Note {
        text: String::new(),
        pixel_um: None,
    };
    let corrected = place.path(&format!("study/truth/corrected/{name}.tif"));
    write::labels(&corrected, &edited, &note).unwrap();
    write::labels(
        &place.path("study/truth/corrected/stranger.tif"),
        &edited,
        &note,
    )
    .unwrap();
    let run = place.run(&["compare", "study"]);
    assert!(
        run.stderr.contains("are not part of the truth yet"),
        "{}",
        run.stderr
    );

    let run = place.ok(&["prepare", "study"]);
    assert!(
        run.stdout.contains("(1 made, 3 unchanged)"),
        "{}",
        run.stdout
    );
    assert!(
        run.stderr
            .contains("has the name of no field and corrects nothing"),
        "{}",
        run.stderr
    );
    let row = place
        .text("study/fields.csv")
        .lines()
        .nth(1)
        .unwrap()
        .to_owned();
    assert!(row.contains(",corrected,"), "{row}");
    let mask =
        stainfree_image::read_class_mask(&place.path(&format!("study/truth/classes/{name}.tif")))
            .unwrap();
    assert_eq!(mask.get(1, 1), 1, "the drawn square is nucleus");
    assert!(
        place
            .ok(&["prepare", "study"])
            .stdout
            .contains("(0 made, 4 unchanged)")
    );

    let run = place.ok(&["compare", "study", "--csv", "changes.csv", "--json", "-"]);
    let fields: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(fields[0]["name"], name);
    let changes = place.text("changes.csv");
    assert!(
        changes.contains(&format!("{name},removed,"))
            && changes.contains(&format!("{name},added,,")),
        "{changes}"
    );
    assert_eq!(changes.lines().count(), 3);

    // Without the corrections everything is as before.
    std::fs::remove_dir_all(place.path("study/truth/corrected")).unwrap();
    place.ok(&["prepare", "study"]);
    assert_eq!(
        stainfree_image::read_labels(&automatic_path).unwrap(),
        automatic
    );
    assert!(
        !place
            .path(&format!("study/truth/automatic/{name}.tif"))
            .exists()
    );
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
            && last.ends_with(" of 40 fields; they are kept in `sim/.simulating`, and the same command goes on from there"),
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
        "error: `sim/plate` already exists; name another output folder or remove this one",
    );
}

#[test]
fn an_experiment_is_done_once_by_two_programs_and_goes_on_where_it_stood() {
    let place = Place::new();
    parallel_folders(&place, 8);
    place.ok(&["new", "study", "--images", "images"]);
    let matrix = "study = \"study\"\nwidth = 0.0625\nsteps = 2\npublished = true\n\
                  [change]\ncrop = 64\nbatch = 1\n\
                  [[runs]]\nimages = [1, 3]\nseed = [1, 2]\n\
                  [[runs]]\nloss = [\"dice\"]\nsplit = [\"field\"]\n\
                  [[runs]]\nscheme = [\"B\"]\nplanes = [1]\n";
    std::fs::write(place.path("matrix.toml"), matrix).unwrap();
    let plan = place.ok(&["experiment", "matrix.toml", "--dry-run"]).stdout;
    assert!(
        plan.contains("A, loss dice, all images, split by field"),
        "{plan}"
    );
    assert!(plan.contains("6 runs, about 0.0 hours"), "{plan}");
    assert!(!place.path("matrix").exists());
    let run = || place.ok(&["experiment", "matrix.toml"]).stdout;
    let trained = |stdout: &str| -> usize {
        let line = stdout
            .lines()
            .find(|line| line.contains("trained here"))
            .unwrap();
        assert!(line.ends_with("0 failed"), "{stdout}");
        line.split(' ').next().unwrap().parse().unwrap()
    };
    let counts = std::thread::scope(|scope| {
        let other = scope.spawn(|| trained(&run()));
        [trained(&run()), other.join().unwrap()]
    });
    assert_eq!(counts.iter().sum::<usize>(), 6, "{counts:?}");
    assert_eq!(trained(&run()), 0);
    let table = place.text("matrix/results.csv");
    assert_eq!(table.lines().count(), 7, "{table}");
    let page = place.text("matrix/results.md");
    assert!(page.contains("| A, 3 images | 2 | 3 |"), "{page}");
    assert!(
        page.contains("| VGG16, Dice loss | - | 0.76105 |"),
        "{page}"
    );
    assert!(
        place
            .text("matrix/figures/test-loss-by-images.svg")
            .starts_with("<svg xmlns")
    );
    // A changed choice is a new run.
    std::fs::write(
        place.path("matrix.toml"),
        matrix.replace("steps = 2", "steps = 3"),
    )
    .unwrap();
    assert_eq!(trained(&run()), 6);
    std::fs::write(
        place.path("matrix.toml"),
        matrix.replace("[1, 3]", "[1, 100]"),
    )
    .unwrap();
    let found = place.run(&["experiment", "matrix.toml"]);
    assert_eq!(found.code, 3, "{}", found.stderr);
    let sentence = "run `A, 100 images, seed 1` failed: the run asks for 100 training images and the split leaves";
    assert!(found.stderr.contains(sentence), "{}", found.stderr);
}
