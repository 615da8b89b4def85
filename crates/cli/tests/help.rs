//! Help pages, errors of usage, completions and manual pages.
//!
//! `docs/commands.md` and `testdata/cli/errors.txt` are what the program says, kept as files so
//! that a change of it is seen: `STAINFREE_BLESS=1 cargo test -p stainfree --test help` writes them
//! anew.

mod common;

use std::path::{Path, PathBuf};

use common::Place;

/// The commands in the order of the first help page.
fn commands(place: &Place) -> Vec<String> {
    let page = place.ok(&["--help"]).stdout;
    page.lines()
        .take_while(|line| !line.starts_with("Options:"))
        .filter_map(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split("  ").next())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.contains(' ') && !name.is_empty())
        .collect()
}

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// Compares `said` with a file of the repository, or writes it there.
#[track_caller]
fn as_kept(path: &str, said: &str) {
    let kept = in_repository(path);
    if std::env::var_os("STAINFREE_BLESS").is_some() {
        std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
        std::fs::write(&kept, said).unwrap();
        return;
    }
    let known = std::fs::read_to_string(&kept).unwrap_or_default();
    for (number, (now, before)) in said.lines().zip(known.lines()).enumerate() {
        assert_eq!(
            now,
            before,
            "`{path}`, line {}: look at the change, then run with STAINFREE_BLESS=1",
            number + 1
        );
    }
    assert_eq!(said.lines().count(), known.lines().count(), "`{path}`");
}

#[test]
fn the_page_of_commands_is_what_the_program_says() {
    let place = Place::new();
    let mut page =
        "# Every command\n\nWhat `stainfree --help` and `stainfree COMMAND --help` print. \
                    A test keeps this page in step with the program.\n"
            .to_owned();
    let mut add = |title: &str, args: &[&str]| {
        let help = place.ok(args).stdout;
        let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
        page += &format!("\n## {title}\n\n```\n{}\n```\n", lines.join("\n"));
    };
    add("stainfree", &["--help"]);
    let names = commands(&place);
    assert!(names.len() > 15, "{names:?}");
    for name in &names {
        add(name, &[name, "--help"]);
    }
    as_kept("docs/commands.md", &page);
}

#[test]
fn every_command_stands_on_the_first_page() {
    let place = Place::new();
    let listed = commands(&place);
    // The parser's own list, which the shells complete.
    let script = place.ok(&["completions", "fish"]).stdout;
    for line in script
        .lines()
        .filter(|line| line.contains("__fish_stainfree_needs_command"))
    {
        let Some((_, rest)) = line.split_once(" -a \"") else {
            continue;
        };
        let name = rest.split('"').next().unwrap();
        assert!(
            name == "help" || listed.iter().any(|one| one == name),
            "`{name}` is in no group of the help page"
        );
    }
}

/// Unix only: what the system says of a missing file differs elsewhere.
#[cfg(unix)]
#[test]
fn errors_of_usage_are_sentences_that_say_the_way_out() {
    let place = Place::new();
    std::fs::create_dir(place.path("empty")).unwrap();
    std::fs::write(place.path("notes.txt"), "my notes").unwrap();
    let wrong: [&[&str]; 22] = [
        &["predcit"],
        &["inspect"],
        &["inspect", "missing"],
        &["inspect", "empty"],
        &["inspect", "notes.txt"],
        &["new", "plate"],
        &["new", "empty", "--out", "study"],
        &["new", "a", "--out", "b", "--images", "c"],
        &["prepare", "empty"],
        &["train", "empty"],
        &["train", "empty", "--encoder", "vgg"],
        &["train", "empty", "--width", "inf"],
        &["predict", "empty", "empty", "--out", "result"],
        &["predict", "empty", "empty"],
        &[
            "predict", "empty", "empty", "--out", "r", "--memory", "lots",
        ],
        &["evaluate"],
        &["evaluate", "--truth", "a"],
        &[
            "measure",
            "empty",
            "--images",
            "empty",
            "--out",
            "cells.txt",
        ],
        &["simulate"],
        &["simulate", "sim", "--planes", "2"],
        &["simulate", "sim", "--shift", "1"],
        &["devices", "--json", "notes.txt"],
    ];
    let mut said = String::new();
    for args in wrong {
        let run = place.run(args);
        said += &format!(
            "$ stainfree {}\n{}\n= {}\n\n",
            args.join(" "),
            run.stderr.trim_end(),
            run.code
        );
        assert!(matches!(run.code, 1 | 2), "{args:?}: {}", run.stderr);
        assert!(run.stdout.is_empty(), "{args:?}: {}", run.stdout);
    }
    as_kept("testdata/cli/errors.txt", &said);
}

#[test]
fn shells_complete_and_man_has_a_page_for_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = place.ok(&["completions", shell]).stdout;
        assert!(
            script.contains("predict") && script.contains("out"),
            "{shell}"
        );
    }
    place.ok(&["man", "--out", "man1"]);
    let pages = std::fs::read_dir(place.path("man1")).unwrap().count();
    assert_eq!(pages, commands(&place).len() + 1);
    let page = std::fs::read_to_string(place.path("man1/stainfree-predict.1")).unwrap();
    assert!(page.contains(".TH stainfree-predict"), "{page}");
    // The same again replaces its own pages, and nobody else's.
    place.ok(&["man", "--out", "man1"]);
    std::fs::write(place.path("man1/stainfree-predict.1"), "my own page").unwrap();
    let run = place.run(&["man", "--out", "man1"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("stainfree-predict.1"), "{}", run.stderr);
}

#[test]
fn without_a_command_it_says_what_lies_here() {
    let place = Place::new();
    let nothing = place.run(&[]);
    assert_eq!(nothing.code, 0);
    assert!(
        nothing.stderr.contains("next: stainfree demo"),
        "{}",
        nothing.stderr
    );

    place.ok(&[
        "simulate", "--out", "sim", "--wells", "3", "--sites", "1", "--side", "96",
    ]);
    let here = |folder: &str| {
        let run = place.run_in(folder, &[]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        (run.stdout, run.stderr)
    };
    let (what, next) = here("sim/plate");
    assert!(what.contains("3 fields"), "{what}");
    assert!(
        next.contains("next: stainfree new . --out ../study"),
        "{next}"
    );
    place.ok(&["new", "sim/plate", "--out", "study"]);
    let (_, next) = here("study");
    assert!(next.contains("next: stainfree prepare ."), "{next}");
    place.ok(&["prepare", "study"]);
    let (_, next) = here("study");
    assert!(next.contains("next: stainfree train ."), "{next}");
}
