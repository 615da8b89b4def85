//! Trainings, predictions and experiments: what a model is, whatever interrupts or divides the
//! work.

mod common;

use std::path::Path;

use common::{Place, TINY, parallel_folders};
use stainfree_image::{Image, write};

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
    let again = place.ok(&[
        &["train", "study", "--name", "whole", "--resume"],
        &TINY[..],
    ]
    .concat());
    assert!(before == weights("whole"));
    let sentence = "is finished, with 4 steps: nothing is left to do";
    assert!(again.stderr.contains(sentence), "{}", again.stderr);
}

#[test]
fn a_training_given_again_goes_on_and_what_it_cannot_go_on_with_stays() {
    let place = Place::new();
    parallel_folders(&place, 4);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    let train = |steps: &'static str, more: &[&'static str]| {
        let mut args = vec!["train", "study"];
        args.extend(&TINY[..TINY.len() - 1]);
        args.push(steps);
        args.extend(more);
        place.run(&args)
    };
    let model = || std::fs::read(place.path("study/models/model/weights.safetensors")).unwrap();
    assert_eq!(train("3", &[]).code, 0);
    let first = model();

    // Fewer steps than stand, another recipe, other truth: said, and nothing is touched.
    let fewer = train("2", &[]);
    assert_eq!(fewer.code, 1);
    let sentence = "`study/runs/model` holds 3 steps of this training already, more than the 2";
    assert!(fewer.stderr.contains(sentence), "{}", fewer.stderr);
    let seed = train("3", &["--seed", "7"]);
    assert_eq!(seed.code, 1);
    assert!(
        seed.stderr.contains("`seed` was `1`, now `7`"),
        "{}",
        seed.stderr
    );
    let fields = place.text("study/fields.csv");
    let trained = fields
        .lines()
        .find(|line| line.contains(",train,"))
        .unwrap();
    let name = trained.split(',').next().unwrap();
    let truth = place.path(&format!("study/truth/classes/{name}.tif"));
    let kept = std::fs::read(&truth).unwrap();
    let mut mask = stainfree_image::read_class_mask(&truth).unwrap();
    mask.data_mut()[5] ^= 1;
    write::class_mask(&truth, &mask, &write::Note::default()).unwrap();
    let changed = train("5", &[]);
    assert_eq!(changed.code, 1);
    let sentence = "`study/runs/model` was trained so far on other data: the truth";
    assert!(changed.stderr.contains(sentence), "{}", changed.stderr);
    std::fs::write(&truth, kept).unwrap();
    assert!(first == model());

    // More steps go on; only `--restart` begins anew, and says what goes.
    let longer = train("5", &[]);
    assert_eq!(longer.code, 0, "{}", longer.stderr);
    assert!(
        longer.stderr.contains("going on after step 3"),
        "{}",
        longer.stderr
    );
    assert!(
        longer
            .stderr
            .contains("planned for 3 steps and is planned for 5"),
        "{}",
        longer.stderr
    );
    let anew = train("3", &["--restart"]);
    assert_eq!(anew.code, 0, "{}", anew.stderr);
    let path = Path::new("study/runs/model/checkpoint.safetensors");
    let sentence = format!("the 5 steps of `{}` are given up", path.display());
    assert!(anew.stderr.contains(&sentence), "{}", anew.stderr);
    assert!(first == model());

    // A model whose training is gone is not trained over.
    std::fs::remove_dir_all(place.path("study/runs")).unwrap();
    let gone = train("9", &[]);
    assert_eq!(gone.code, 1);
    assert!(
        gone.stderr.contains("its training cannot go on"),
        "{}",
        gone.stderr
    );
    assert!(first == model());
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
    // Killed at the first checkpoint; should the machine be so fast that all is done, that is fine
    // too.
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
    let sentence = "warning: field `f0`: 60MiB of memory are too little for its smallest tile; \
        allow `--memory ";
    assert!(run.stderr.contains(sentence), "{}", run.stderr);

    let little = enough(&run.stderr);
    let run = predict("little", &little);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let sentence = format!(
        "field `f0` of 96 x 704 pixels is computed in tiles to keep to {little}, with a margin of \
         160 instead of 288 pixels, so classes near the seams may differ; `--memory "
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
    let sentence = "the images have pixels of 0.25 um and the model is for 0.5 um: they are \
        resampled, and the results brought back to their size";
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
    assert!(
        run.stderr.contains(
            "field `f`: its pixels of 500 um are more than a factor of 8 from \
        the model's 0.5 um; give the right size with `--pixel-um`"
        ),
        "{}",
        run.stderr
    );
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
    let sentence = "run `A, 100 images, seed 1` failed: the run asks for 100 training images and \
        the split leaves";
    assert!(found.stderr.contains(sentence), "{}", found.stderr);
}

#[test]
fn an_experiment_knows_what_a_person_corrected_and_what_images_show() {
    let place = Place::new();
    parallel_folders(&place, 6);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    // The nuclei of another field, as if drawn by hand.
    let corrected = place.path("study/truth/corrected");
    std::fs::create_dir_all(&corrected).unwrap();
    std::fs::copy(
        place.path("study/truth/nuclei/f1.tif"),
        corrected.join("f0.tif"),
    )
    .unwrap();
    let matrix = "study = \"study\"\nwidth = 0.0625\nsteps = 1\n\
                  [change]\ncrop = 64\nbatch = 1\n[[runs]]\nseed = [1]\n";
    std::fs::write(place.path("matrix.toml"), matrix).unwrap();
    let trained = |count: &str| {
        let stdout = place.ok(&["experiment", "matrix.toml"]).stdout;
        assert!(
            stdout.contains(&format!("{count} trained here,")),
            "{stdout}"
        );
    };
    trained("1 run");
    let labels = |path: &str| stainfree_image::read_labels(&place.path(path)).unwrap();
    let own = labels("matrix/studies/A-by-group/truth/nuclei/f0.tif");
    assert_eq!(own, labels("study/truth/nuclei/f1.tif"));
    trained("0 runs");
    // The same truth of other images is another result.
    common::disks(&place.path("images/bf/f0.tif"), 96, 2000, 3);
    trained("1 run");
    trained("0 runs");
}

/// `experiments/quick.toml` with all its runs, but of two steps of a network that is too small to
/// learn.
#[test]
fn the_quick_study_answers_every_question() {
    let place = Place::new();
    let simulate = ["--wells", "10", "--sites", "2", "--side", "160"];
    place.ok(&[&["simulate", "experiments/plate"], &simulate[..]].concat());
    let study = ["--images", "experiments/plate/plate"];
    let split = ["--split", "0.6,0.1,0.3"];
    place.ok(&[&["new", "experiments/study"], &study[..], &split].concat());
    let mut matrix = include_str!("../../../experiments/quick.toml").to_owned();
    for (whole, small) in [
        ("width = 0.25", "width = 0.0625"),
        ("steps = 150", "steps = 2"),
        ("crop = 192", "crop = 64"),
        ("batch = 4", "batch = 1"),
    ] {
        assert!(matrix.contains(whole), "{whole}");
        matrix = matrix.replace(whole, small);
    }
    std::fs::write(place.path("experiments/quick.toml"), matrix).unwrap();
    let stdout = place.ok(&["experiment", "experiments/quick.toml"]).stdout;
    assert!(stdout.contains(", 0 failed"), "{stdout}");
    let page = place.text("experiments/quick/results.md");
    for question in [
        "How many images",
        "One choice changed at a time",
        "Touching nuclei told apart",
        "Outlines within 0 to 3 px",
        "Mitotic and interphase nuclei",
        "Leakage",
        "freeing the channel",
        "Table 1",
        "Table 2",
    ] {
        assert!(page.contains(question), "{question}: {page}");
    }
    assert!(
        page.contains("| A, mitotic a class, all images | mitotic |"),
        "{page}"
    );
}

#[test]
fn a_recipe_is_cross_validated_without_the_test_fields() {
    let place = Place::new();
    parallel_folders(&place, 6);
    place.ok(&["new", "study", "--images", "images", "--test-groups", "f2"]);
    let matrix = "study = \"study\"\nwidth = 0.0625\nsteps = 2\nfolds = 2\nflips = true\n\
                  [change]\nencoder = \"vgg16\"\ncrop = 64\nbatch = 1\n\
                  [variants.plain]\n[variants.mean]\naverage_steps = 2\n\
                  [[runs]]\nvariant = [\"plain\", \"mean\"]\nsplit = [\"cross\"]\n";
    let page = |matrix: &str| {
        std::fs::write(place.path("matrix.toml"), matrix).unwrap();
        let stdout = place.ok(&["experiment", "matrix.toml"]).stdout;
        assert!(stdout.contains(", 0 failed"), "{stdout}");
        place.text("matrix/results.md")
    };
    let plain = page(&matrix.replace("flips = true", "flips = false"));
    assert!(!plain.contains("flips averaged"), "{plain}");
    let parts = |fold: usize| {
        let text = place.text(&format!("matrix/studies/A-by-cross-{fold}-of-2/fields.csv"));
        let mut rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let header = rows.next().unwrap();
        let at = |name: &str| header.iter().position(|c| *c == name).unwrap();
        let (field, split) = (at("name"), at("split"));
        rows.map(|row| (row[field].to_owned(), row[split].to_owned()))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let (one, two) = (parts(1), parts(2));
    for (field, part) in &one {
        let tested = [part, &two[field]].iter().filter(|p| **p == "test").count();
        assert_eq!(tested, usize::from(field != "f2"), "{field}");
    }
    assert_eq!(one["f2"], "");
    // Both folds of a variant are one condition of five fields, and so is the same with flips
    // averaged, which are asked for when the models are there.
    let page = page(matrix);
    for row in [
        "| A, variant plain, all images, cross-validated | 1 |",
        "| A, variant plain, all images, cross-validated, flips averaged | 1 |",
        "| variant: plain to mean | A, variant plain, all images, cross-validated |",
        "| flips: none to averaged | A, variant mean, all images, cross-validated |",
    ] {
        assert!(page.contains(row), "{row}: {page}");
    }
}

#[test]
fn advice_on_more_images_comes_from_a_few_runs_that_are_made_once() {
    let place = Place::new();
    parallel_folders(&place, 8);
    place.ok(&[
        "new",
        "study",
        "--images",
        "images",
        "--split",
        "0.5,0.1,0.4",
    ]);
    place.ok(&["prepare", "study"]);
    let small = [
        "--seeds", "2", "--steps", "1", "--width", "0.125", "--crop", "64", "--batch", "1",
    ];
    let advise = |more: &[&'static str]| {
        place.ok(&[&["advise", "study", "--images", "1,2,4"], &small[..], more].concat())
    };
    let plan = advise(&["--dry-run"]).stdout;
    assert!(plan.starts_with("6 runs of 1 steps"), "{plan}");
    assert!(!place.path("study/advice/runs").exists());
    let json = advise(&["--json", "-"]).stdout;
    let advised: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(advised["runs"], 6);
    let sentence = advised["advice"]["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with("Doubling the training images from 4 to 8"),
        "{sentence}"
    );
    let again = advise(&[]).stdout;
    assert!(again.contains("Doubling the training images"), "{again}");
    assert!(again.contains("measured in 2 runs"), "{again}");
    let crop = place.run(&[
        "advise",
        "study",
        "--images",
        "1,2,4",
        "--crop",
        "72",
        "--dry-run",
    ]);
    assert_eq!(crop.code, 1, "{}", crop.stderr);
    assert!(
        crop.stderr.contains("72") && crop.stderr.contains("multiple of 32"),
        "{}",
        crop.stderr
    );
    let wrong = place.run(&["advise", "study", "--images", "1,2,40"]);
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    assert!(
        wrong.stderr.contains("asks for 40 training fields"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn a_pretrained_model_is_a_start_for_a_training() {
    let place = Place::new();
    let pretrain = [
        "pretrain",
        "start",
        "--encoder",
        "mobilenet-v2",
        "--width",
        "0.125",
        "--crop",
        "64",
        "--batch",
        "2",
        "--steps",
        "3",
    ];
    place.ok(&pretrain);
    let run = place.ok(&pretrain);
    let sentence = "`start` is finished, with 3 steps: nothing is left to do";
    assert!(run.stderr.contains(sentence), "{}", run.stderr);
    // An endless series goes on, too.
    let mut longer = pretrain;
    longer[pretrain.len() - 1] = "4";
    let run = place.ok(&longer);
    assert!(
        run.stderr.contains("going on after step 3"),
        "{}",
        run.stderr
    );
    assert!(run.stdout.contains("4 steps"), "{}", run.stdout);

    parallel_folders(&place, 4);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    let train = |name: &'static str, more: &[&'static str]| {
        let fixed = [
            "train",
            "study",
            "--name",
            name,
            "--weights",
            "start",
            "--crop",
            "64",
        ];
        let length = ["--batch", "1", "--steps", "1"];
        place.run(&[&fixed[..], &length[..], more].concat())
    };
    let run = train("other", &["--encoder", "vgg16", "--width", "0.125"]);
    assert_eq!(run.code, 1);
    let way_out = "`start`: the model is `mobilenet-v2` of width 0.125 and the training asks for \
        `vgg16` of width 0.125; add `--encoder mobilenet-v2 --width 0.125`";
    assert!(run.stderr.contains(way_out), "{}", run.stderr);

    let run = train("child", &["--encoder", "mobilenet-v2", "--width", "0.125"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let note = "starts from the model `start` (2 of 2 classes known to it)";
    assert!(run.stderr.contains(note), "{}", run.stderr);
    let toml = std::fs::read_to_string(place.path("study/models/child/model.toml")).unwrap();
    assert!(toml.contains("pretrained = \"model start "), "{toml}");

    let run = place.run(&["train", "study", "--weights", "nonsense"]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.contains("`nonsense` is neither a weights file"),
        "{}",
        run.stderr
    );
}
