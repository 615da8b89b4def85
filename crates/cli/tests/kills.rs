//! The program is killed, runs out of disk, or may not write, at every command of a small study;
//! given again, the same command leaves what an undisturbed run leaves, byte by byte.
//!
//! `STAINFREE_KILLS` is the number of kills (50), `STAINFREE_KILLS_SEED` chooses their moments;
//! `just kills` does a thousand. docs/reliability.md has what was found.

#![cfg(unix)]

mod common;
#[path = "kills/disturb.rs"]
mod disturb;
#[path = "kills/tree.rs"]
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Place, parallel_folders};
use disturb::{Ended, Moment, Random, command, run, run_counted, run_until};
use tree::{Tree, copy, is_temporary, read_tree, size_on_disk};

/// A command of the journey.
struct Step {
    name: &'static str,
    args: &'static [&'static str],
    /// Given again after it has finished, it may refuse: what it makes exists.
    once: bool,
    other: Other,
}

/// What a person may do in between, and then go back.
#[derive(Clone, Copy)]
enum Other {
    Nothing,
    /// Run it with another shift of the stain in `stainfree.toml`.
    Config,
    /// Run it with these arguments.
    Args(&'static [&'static str]),
}

const TRAIN: &[&str] = &[
    "train",
    "study",
    "--resume",
    "--encoder",
    "vgg16",
    "--width",
    "0.0625",
    "--crop",
    "64",
    "--batch",
    "1",
    "--steps",
    "6",
];

fn step(name: &'static str, args: &'static [&'static str]) -> Step {
    Step {
        name,
        args,
        once: false,
        other: Other::Nothing,
    }
}

fn journey() -> Vec<Step> {
    let predict = |model: &'static [&'static str]| Step {
        other: Other::Args(model),
        ..step(
            "predict",
            &[
                "predict",
                "study/models/model",
                "../images",
                "--out",
                "result",
                "--overlay",
            ],
        )
    };
    let second = &[
        "train",
        "study",
        "--resume",
        "--name",
        "second",
        "--encoder",
        "vgg16",
        "--width",
        "0.0625",
        "--crop",
        "64",
        "--batch",
        "1",
        "--steps",
        "2",
        "--seed",
        "7",
    ];
    vec![
        Step {
            once: true,
            ..step("new", &["new", "study", "--images", "../images"])
        },
        Step {
            other: Other::Config,
            ..step("prepare", &["prepare", "study"])
        },
        Step {
            once: true,
            ..step("train", TRAIN)
        },
        Step {
            once: true,
            ..step("train", second)
        },
        predict(&[
            "predict",
            "study/models/second",
            "../images",
            "--out",
            "result",
            "--probabilities",
            "--overwrite",
        ]),
        step(
            "measure",
            &[
                "measure",
                "result",
                "--images",
                "../images",
                "--out",
                "cells.csv",
                "--overwrite",
            ],
        ),
        Step {
            other: Other::Args(&[
                "segment",
                "../images/dapi",
                "--out",
                "labels",
                "--pixel-um",
                "0.7",
                "--overwrite",
            ]),
            ..step("segment", &["segment", "../images/dapi", "--out", "labels"])
        },
        step("experiment", &["experiment", "matrix.toml"]),
    ]
}

impl Step {
    /// The command that is given after it was killed: it goes on as it is, and what another one has
    /// left in between is replaced on request only.
    fn again(&self, after_other: bool) -> Vec<&'static str> {
        let on_request: &[&str] = match self.other {
            Other::Args(_) if after_other => &["--overwrite"],
            _ => &[],
        };
        [self.args, on_request].concat()
    }
}

const MATRIX: &str = "study = \"study\"\nwidth = 0.0625\nsteps = 2\n\
                      [change]\ncrop = 64\nbatch = 1\n[[runs]]\nseed = [1, 2]\n";

/// The journey without a disturbance, and the states between its steps.
struct Undisturbed {
    place: Place,
    steps: Vec<Step>,
    /// What each step leaves.
    after: Vec<Tree>,
    /// What it leaves of the same state when a person does something else.
    other: Vec<Option<Tree>>,
    /// How long each took, and how often its files were seen to change.
    took: Vec<(Duration, usize)>,
}

impl Undisturbed {
    fn new() -> Self {
        let place = Place::new();
        parallel_folders(&place, 5);
        let work = place.path("undisturbed");
        std::fs::create_dir(&work).unwrap();
        std::fs::write(work.join("matrix.toml"), MATRIX).unwrap();
        let mut undisturbed = Self {
            place,
            steps: journey(),
            after: Vec::new(),
            other: Vec::new(),
            took: Vec::new(),
        };
        for index in 0..undisturbed.steps.len() {
            undisturbed.do_step(index, &work);
        }
        undisturbed
    }

    fn do_step(&mut self, index: usize, work: &Path) {
        copy(work, &self.before_path(index));
        let step = &self.steps[index];
        let other = self.place.path("other");
        let seen = match step.other {
            Other::Nothing => None,
            Other::Config => {
                copy(work, &other);
                change_config(&other);
                expect_success(step, &run(&other, step.args));
                Some(read_tree(&other))
            }
            Other::Args(args) => {
                copy(work, &other);
                expect_success(step, &run(&other, args));
                Some(read_tree(&other))
            }
        };
        let (ended, took, changes) = run_counted(work, step.args);
        expect_success(step, &ended);
        let after = read_tree(work);
        if let Some(seen) = &seen {
            assert_ne!(
                *seen, after,
                "{}: the other one makes no difference",
                step.name
            );
        }
        self.other.push(seen);
        self.after.push(after);
        self.took.push((took, changes));
        let _ = std::fs::remove_dir_all(other);
    }

    fn before_path(&self, index: usize) -> PathBuf {
        self.place.path(&format!("before-{index}"))
    }

    /// A copy of the state before a step.
    fn fresh(&self, index: usize, name: &str) -> PathBuf {
        let work = self.place.path(name);
        let _ = std::fs::remove_dir_all(&work);
        copy(&self.before_path(index), &work);
        work
    }

    fn before(&self, index: usize) -> Tree {
        read_tree(&self.before_path(index))
    }

    /// Whether the command has finished, now or before it was killed.
    fn has_finished(&self, index: usize, ended: &common::Run) -> bool {
        let refused = ended.code == 1 && ended.stderr.contains("exists");
        ended.code == 0 || self.steps[index].once && refused
    }

    #[track_caller]
    fn expect_finished(&self, index: usize, ended: &common::Run, work: &Path, story: &str) {
        let name = self.steps[index].name;
        assert!(
            self.has_finished(index, ended),
            "{name}, {story}: exit code {}\n{}\n{}",
            ended.code,
            ended.stdout,
            ended.stderr
        );
        let mut found = read_tree(work);
        found.retain(|file, bytes| !self.is_left_over(index, file, bytes));
        let difference = tree::difference(&self.after[index], &found);
        if let Some(difference) = difference {
            panic!(
                "{name}, {story}: {difference}\n{}\n{}",
                ended.stdout, ended.stderr
            );
        }
    }

    /// What nobody reads: an unfinished file whose name nothing wrote again, the lease of a program
    /// that is no more on work that it had finished, and what only the other one makes (the record
    /// of the other model).
    fn is_left_over(&self, index: usize, file: &str, bytes: &[u8]) -> bool {
        let of_others = self.other[..=index].iter().flatten();
        let mut same = of_others.filter_map(|tree| tree.get(file));
        let from_other = same.any(|other| other == bytes);
        let unread = is_temporary(file) || is_lease(file) || from_other;
        unread && !self.after[index].contains_key(file)
    }

    /// Every file of a finished name is whole: as it was, as it will be, or as the other one leaves
    /// it. What was there is still there.
    fn expect_old_or_new(&self, index: usize, before: &Tree, work: &Path, story: &str) {
        let name = self.steps[index].name;
        let now = read_tree(work);
        let known: Vec<&Tree> = [before, &self.after[index]]
            .into_iter()
            .chain(self.other[..=index].iter().flatten())
            .collect();
        for (file, bytes) in &now {
            let whole = known.iter().any(|tree| tree.get(file) == Some(bytes));
            assert!(
                whole || grows(file) || is_temporary(file),
                "{name}, {story}: `{file}` is neither old nor new"
            );
        }
        for file in before.keys() {
            let kept = now.contains_key(file) || file.contains("/truth/rows/");
            assert!(kept, "{name}, {story}: `{file}` is gone");
        }
        self.expect_vouched(index, &now, story);
    }

    /// A row belongs to the files that are there.
    fn expect_vouched(&self, index: usize, now: &Tree, story: &str) {
        let finished: Vec<&Tree> = std::iter::once(&self.after[index])
            .chain(&self.other[index])
            .collect();
        for (file, bytes) in now {
            let Some((folder, name)) = file.split_once("/truth/rows/") else {
                continue;
            };
            if is_temporary(file) {
                continue;
            }
            let field = name.trim_end_matches(".json");
            let masks = ["classes", "nuclei"].map(|f| format!("{folder}/truth/{f}/{field}.tif"));
            let own = |tree: &&&Tree| tree.get(file) == Some(bytes);
            let same = |tree: &&Tree| masks.iter().all(|mask| tree.get(mask) == now.get(mask));
            assert!(
                finished.iter().filter(own).any(same),
                "{story}: `{file}` vouches for masks of another config"
            );
        }
        for (field, model) in tree::predicted(now) {
            let made_it = |tree: &&&Tree| tree::predicted(tree).get(&field) == Some(&model);
            let outputs = ["classes", "nuclei"].map(|f| format!("result/{f}/{field}.tif"));
            let same = |tree: &&Tree| outputs.iter().all(|file| tree.get(file) == now.get(file));
            assert!(
                finished.iter().filter(made_it).any(same),
                "{story}: the row of `{field}` vouches for labels of another model"
            );
        }
        for (field, key) in tree::labelled(now) {
            let made_it = |tree: &&&Tree| tree::labelled(tree).get(&field) == Some(&key);
            let labels = format!("labels/{field}.tif");
            let same = |tree: &&Tree| tree.get(&labels) == now.get(&labels);
            assert!(
                finished.iter().filter(made_it).any(same),
                "{story}: the marker vouches for labels of `{field}` that are others"
            );
        }
    }
}

/// Files that have other states than before and after.
fn grows(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    let growing = [
        "predictions.csv",
        "log.jsonl",
        "checkpoint.safetensors",
        "best.safetensors",
        "best.next.safetensors",
        "unfinished",
        // Those of the experiment's own studies before the model is there.
        "matrix.toml",
        "provenance.json",
    ];
    let is_marker = file == tree::LABELLED;
    growing.contains(&name) || is_marker || is_lease(file) || file.contains("/pictures/")
}

/// Who is at something.
fn is_lease(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.starts_with(".stainfree-lease.")
}

#[track_caller]
fn expect_success(step: &Step, ended: &common::Run) {
    assert_eq!(
        ended.code, 0,
        "{}\n{}\n{}",
        step.name, ended.stdout, ended.stderr
    );
}

/// Another shift of the nuclear stain: other masks of every field.
fn change_config(work: &Path) {
    let path = work.join("study/stainfree.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut changed = String::new();
    let mut section = "";
    for line in text.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let line = match (section, line.split_once(" =").map(|(key, _)| key)) {
            ("[truth.shift]", Some("correct")) => "correct = \"fixed\"",
            ("[truth.shift]", Some("nucleus_px")) => "nucleus_px = [3.0, 2.0]",
            _ => line,
        };
        changed.push_str(line);
        changed.push('\n');
    }
    assert_ne!(changed, text);
    std::fs::write(path, changed).unwrap();
}

fn wanted_kills() -> usize {
    let given = std::env::var("STAINFREE_KILLS").ok();
    given.map_or(50, |text| {
        text.parse().expect("STAINFREE_KILLS is a number")
    })
}

#[test]
fn a_kill_at_any_moment_leaves_the_old_or_the_new_and_the_command_goes_on() {
    let seed = std::env::var("STAINFREE_KILLS_SEED").ok();
    let seed = seed.map_or(1, |text| text.parse().expect("a number"));
    let mut random = Random::new(seed);
    let undisturbed = Undisturbed::new();
    let wanted = wanted_kills();
    let mut kills: BTreeMap<&str, usize> = BTreeMap::new();
    let mut rounds = 0;
    while kills.values().sum::<usize>() < wanted {
        let work = undisturbed.fresh(0, "round");
        for (index, step) in undisturbed.steps.iter().enumerate() {
            let done = disturb_step(&undisturbed, index, &work, &mut random);
            *kills.entry(step.name).or_default() += done;
        }
        rounds += 1;
    }
    let each: Vec<String> = kills
        .iter()
        .map(|(name, n)| format!("{name} {n}"))
        .collect();
    println!(
        "{} kills in {rounds} journeys ({}), seed {seed}: everything finished afterwards, every \
         file as in an undisturbed run",
        kills.values().sum::<usize>(),
        each.join(", ")
    );
}

/// Kills a step a few times, then lets it finish; gives the number of kills.
fn disturb_step(
    undisturbed: &Undisturbed,
    index: usize,
    work: &Path,
    random: &mut Random,
) -> usize {
    let step = &undisturbed.steps[index];
    let before = undisturbed.before(index);
    let config = work.join("study/stainfree.toml");
    let mut kills = 0;
    let mut after_other = false;
    let mut story = String::from("killed");
    for _ in 0..1 + random.below(3) {
        let again = step.again(after_other);
        let mut args = &again[..];
        let is_other = random.below(2) == 1;
        let kept = std::fs::read(&config);
        match step.other {
            Other::Config if is_other => change_config(work),
            Other::Args(other) if is_other => args = other,
            _ => {}
        }
        after_other |= is_other;
        let (took, changes) = undisturbed.took[index];
        let moment = match random.below(3) {
            0 => Moment::After(took.mul_f64(random.share())),
            _ => Moment::Changes(random.below(changes.max(1)) + 1),
        };
        let which = if is_other { " (other)" } else { "" };
        story.push_str(&format!(" {moment:?}{which}"));
        match run_until(work, args, moment) {
            Ended::Killed => {
                kills += 1;
                undisturbed.expect_old_or_new(index, &before, work, &story);
            }
            Ended::Itself(ended) => {
                let fine = undisturbed.has_finished(index, &ended);
                assert!(
                    fine,
                    "{}, {story}: {}\n{}",
                    step.name, ended.code, ended.stderr
                );
            }
        }
        if let (Other::Config, Ok(kept)) = (step.other, kept) {
            std::fs::write(&config, kept).unwrap();
        }
    }
    let ended = run(work, &step.again(after_other));
    undisturbed.expect_finished(index, &ended, work, &story);
    kills
}

#[test]
fn a_limit_on_the_size_of_files_ends_every_command_with_a_sentence() {
    let undisturbed = Undisturbed::new();
    for (index, step) in undisturbed.steps.iter().enumerate() {
        let work = undisturbed.fresh(index, "limited");
        let mut limited = std::process::Command::new("sh");
        limited.args(["-c", "ulimit -f 1; exec \"$@\"", "sh"]);
        let ended = disturb::finish(disturb::wrap(limited, &command(&work, step.args)));
        expect_sentence(step, &ended, &["limit", "too large"]);
        undisturbed.expect_old_or_new(index, &undisturbed.before(index), &work, "limited");
        let ended = run(&work, step.args);
        undisturbed.expect_finished(index, &ended, &work, "after a limit");
    }
}

/// One sentence, exit code 1, and no fault of the program's own.
#[track_caller]
fn expect_sentence(step: &Step, ended: &common::Run, words: &[&str]) {
    let last = ended.stderr.lines().last().unwrap_or_default();
    let named = words.iter().any(|word| last.contains(word));
    let said = last.starts_with("error: ") && named && !last.contains("fault of its own");
    assert!(
        ended.code == 1 && said,
        "{}: exit code {}\n{}\n{}",
        step.name,
        ended.code,
        ended.stdout,
        ended.stderr
    );
}

#[test]
fn a_full_disk_destroys_nothing_and_is_said() {
    let Some(namespace) = disturb::namespace() else {
        println!("skipped: no small disk can be mounted here (`unshare -m` is not allowed)");
        return;
    };
    let undisturbed = Undisturbed::new();
    for (index, step) in undisturbed.steps.iter().enumerate() {
        let state = undisturbed.before_path(index);
        let mut failed = 0;
        let growth = growth(&undisturbed, index);
        for part in 0..3 {
            let out = undisturbed.place.path("out");
            let work = undisturbed.place.path("full");
            for folder in [&out, &work] {
                let _ = std::fs::remove_dir_all(folder);
                std::fs::create_dir(folder).unwrap();
            }
            let size = (size_on_disk(&state) + growth * part / 3).max(4096);
            let script = "mount -t tmpfs -o size=$SIZE tmpfs \"$WORK\" || exit 90
                cp -a \"$STATE/.\" \"$WORK/\" && cd \"$WORK\" || exit 91
                \"$@\" >\"$OUT/stdout\" 2>\"$OUT/stderr\"; echo $? >\"$OUT/code\"
                mkdir \"$OUT/between\" && cp -a \"$WORK/.\" \"$OUT/between/\"
                mount -o remount,size=256m \"$WORK\" || exit 92
                \"$@\"; code=$?
                mkdir \"$OUT/after\" && cp -a \"$WORK/.\" \"$OUT/after/\"
                exit $code";
            let mut mounted = namespace.command(script);
            mounted
                .env("SIZE", size.to_string())
                .env("WORK", &work)
                .env("STATE", &state)
                .env("OUT", &out);
            let second = disturb::finish(disturb::wrap(mounted, &command(&work, step.args)));
            let first = disturb::written_run(&out);
            let story = format!("{size} bytes of disk");
            if first.code != 0 {
                failed += 1;
                expect_sentence(step, &first, &["space", "full"]);
            }
            let before = undisturbed.before(index);
            undisturbed.expect_old_or_new(index, &before, &out.join("between"), &story);
            undisturbed.expect_finished(index, &second, &out.join("after"), &story);
        }
        assert!(failed > 0, "{}: the disk was never full", step.name);
    }
}

/// Bytes of disk that a step adds.
fn growth(undisturbed: &Undisturbed, index: usize) -> u64 {
    let after = match index + 1 {
        last if last == undisturbed.steps.len() => undisturbed.place.path("undisturbed"),
        next => undisturbed.before_path(next),
    };
    let before = size_on_disk(&undisturbed.before_path(index));
    size_on_disk(&after).saturating_sub(before)
}

#[test]
fn a_read_only_folder_is_said_and_stays_as_it_is() {
    let Some(namespace) = disturb::namespace() else {
        println!("skipped: nothing can be mounted read-only here (`unshare -m` is not allowed)");
        return;
    };
    let undisturbed = Undisturbed::new();
    for (index, step) in undisturbed.steps.iter().enumerate() {
        let work = undisturbed.fresh(index, "read-only");
        let script = "mount --bind \"$WORK\" \"$WORK\" || exit 90
            mount -o remount,ro,bind \"$WORK\" && cd \"$WORK\" || exit 91
            exec \"$@\"";
        let mut mounted = namespace.command(script);
        mounted.env("WORK", &work);
        let ended = disturb::finish(disturb::wrap(mounted, &command(&work, step.args)));
        expect_sentence(step, &ended, &["read-only", "Read-only"]);
        let difference = tree::difference(&undisturbed.before(index), &read_tree(&work));
        assert_eq!(difference, None, "{}", step.name);
    }
}
