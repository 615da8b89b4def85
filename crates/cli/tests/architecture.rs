//! The modules of the whole workspace against ARCHITECTURE.md: nothing uses each other in a circle,
//! and every arrow between crates, and between the parts of `project`, is one that is drawn there.
//!
//! Modules of one parent may use each other in one direction; a module and what lies in it are one
//! thing. What a root hands on (`pub use`) counts as the module that defines it.

#[path = "architecture/arrows.rs"]
mod arrows;
#[path = "architecture/modules.rs"]
mod modules;
#[path = "architecture/tokens.rs"]
mod tokens;

use std::collections::BTreeMap;
use std::path::Path;

use arrows::{Allowed, Findings};

#[test]
fn the_workspace_has_no_cycle_and_no_arrow_that_is_not_drawn() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |file: &str| std::fs::read_to_string(root.join(file)).ok();
    let document = read("ARCHITECTURE.md").expect("ARCHITECTURE.md");
    let allowed = Allowed::parse(&document).unwrap_or_else(|error| panic!("{error}"));
    let mut findings = Findings::default();
    let mut crates = 0;
    for entry in std::fs::read_dir(root.join("crates")).expect("crates") {
        let name = entry.expect("a crate").file_name();
        let name = name.to_string_lossy().into_owned();
        let roots = ["lib", "main"].map(|stem| format!("crates/{name}/src/{stem}.rs"));
        for file in roots.iter().filter(|file| root.join(file).is_file()) {
            findings.look(&name, file, &read, &allowed);
            crates += 1;
        }
        let file = format!("crates/{name}/Cargo.toml");
        if let Some(manifest) = read(&file) {
            findings.look_at_manifest(&name, &file, &manifest, &allowed);
        }
    }
    findings.look_for_idle(&allowed);
    assert!(crates >= 9, "only {crates} crates were found");
    let found = &findings.sentences;
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// What is found in a crate `made` of these files, whose folder is `made/src`.
fn found_in(files: &[(&str, &str)], arrows: &str) -> Vec<String> {
    let files: BTreeMap<String, &str> = files
        .iter()
        .map(|(name, source)| (format!("made/src/{name}"), *source))
        .collect();
    let read = |file: &str| files.get(file).map(|source| (*source).to_owned());
    let document = format!("# A map\n\n```arrows\n{arrows}\n```\n");
    let allowed = Allowed::parse(&document).unwrap_or_else(|error| panic!("{error}"));
    let mut findings = Findings::default();
    findings.look("made", "made/src/lib.rs", &read, &allowed);
    findings.sentences
}

#[test]
fn a_cycle_is_found_with_file_and_line() {
    let found = found_in(
        &[
            ("lib.rs", "mod a;\nmod b;\nmod c;"),
            ("a.rs", "use crate::b::{One, deep::Two};\n"),
            ("b/mod.rs", "pub struct One;\npub mod deep;"),
            (
                "b/deep.rs",
                "pub struct Two;\n\nfn f() {\n    crate::c::g()\n}",
            ),
            ("c.rs", "// use crate::a;\nuse super::a;\npub fn g() {}"),
        ],
        "made ->",
    );
    assert_eq!(found.len(), 1, "{found:?}");
    for arrow in [
        "modules of `made` use each other",
        "a -> b at made/src/a.rs:1: `crate::b::One`",
        "b -> c at made/src/b/deep.rs:4: `crate::c::g`",
        "c -> a at made/src/c.rs:2: `super::a`",
    ] {
        assert!(found[0].contains(arrow), "no `{arrow}` in {found:?}");
    }
}

#[test]
fn a_cycle_deep_in_a_crate_is_found() {
    let found = found_in(
        &[
            ("lib.rs", "mod part;"),
            ("part.rs", "pub mod a;\npub mod b;\npub const N: usize = 1;"),
            ("part/a.rs", "pub const M: usize = super::N + super::b::K;"),
            ("part/b.rs", "pub const K: usize = 1;\nuse crate::part::a;"),
        ],
        "made ->",
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("modules of `made/part` use each other"));
}

#[test]
fn one_direction_and_a_parent_with_its_children_are_no_cycle() {
    let found = found_in(
        &[
            (
                "lib.rs",
                "mod a;\nmod b;\npub use a::A;\npub const TOP: u8 = 0;",
            ),
            ("a.rs", "pub struct A(u8);\nconst ROOT: u8 = crate::TOP;"),
            (
                "b.rs",
                "mod inner;\npub struct B(crate::A);\nuse inner::Inner;",
            ),
            ("b/inner.rs", "pub struct Inner(super::B, crate::a::A);"),
        ],
        "made ->",
    );
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn what_the_root_hands_on_counts_as_the_module_that_defines_it() {
    let found = found_in(
        &[
            (
                "lib.rs",
                "mod a;\nmod b;\npub use b::Study;\npub use a::{self as first};",
            ),
            ("a.rs", "use crate::Study;\npub fn f() {}"),
            (
                "b.rs",
                "mod folder;\npub use folder::Study;\nfn g() { crate::first::f() }",
            ),
            ("b/folder.rs", "pub struct Study;"),
        ],
        "made ->",
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("a -> b at made/src/a.rs:1"), "{found:?}");
    assert!(found[0].contains("b -> a at made/src/b.rs:3"), "{found:?}");
}

#[test]
fn every_name_of_a_list_in_braces_is_handed_on() {
    for list in ["{A, Last}", "{\n    A,\n    Last,\n}", "{inner::{A}, Last}"] {
        let root = format!("mod a;\nmod b;\npub use b::{list};");
        let found = found_in(
            &[
                ("lib.rs", root.as_str()),
                ("a.rs", "use crate::Last;\npub fn f() {}"),
                (
                    "b.rs",
                    "pub mod inner;\npub struct A;\npub struct Last;\nfn g() { crate::a::f() }",
                ),
                ("b/inner.rs", "pub struct A;"),
            ],
            "made ->",
        );
        assert_eq!(found.len(), 1, "{list}: {found:?}");
        assert!(found[0].contains("a -> b at made/src/a.rs:1"), "{found:?}");
    }
}

#[test]
fn a_name_that_is_brought_in_leads_on() {
    let found = found_in(
        &[
            ("lib.rs", "mod a;\nmod b;"),
            ("a.rs", "pub mod x;\npub mod y;"),
            // Through the name of the parent: `x` uses `y`.
            (
                "a/x.rs",
                "use crate::a;\nfn f() {\n    a::y::g()\n}\npub fn h() {}",
            ),
            ("a/y.rs", "pub fn g() { super::x::h() }"),
            ("b.rs", ""),
        ],
        "made ->",
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("x -> y at made/src/a/x.rs:3"),
        "{found:?}"
    );
}

#[test]
fn tests_comments_and_texts_are_left_out() {
    let found = found_in(
        &[
            ("lib.rs", "mod a;\nmod b;"),
            (
                "a.rs",
                "/* crate::b /* crate::b */ */\n\
                 pub const TEXT: &str = \"crate::b \\\" crate::b\";\n\
                 pub const RAW: &str = r#\"use crate::b; \" \"#;\n\
                 pub fn f<'a>(c: &'a char) -> bool { *c == '\"' || *c == '\\'' }\n\
                 #[cfg(test)]\n\
                 mod tests {\n    use crate::b;\n}\n\
                 #[cfg(all(test, unix))]\nuse crate::b;\n",
            ),
            ("b.rs", "use crate::a;"),
        ],
        "made ->",
    );
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn an_arrow_that_is_not_drawn_is_found() {
    let files = [
        ("lib.rs", "mod data;\nmod show;\nmod work;"),
        ("data.rs", "\nuse crate::work;\nuse stainfree_image::Image;"),
        ("show.rs", "use stainfree_report::{chart, page};"),
        ("work.rs", "use stainfree_report::page;"),
    ];
    let found = found_in(
        &files,
        "made -> image report\nmade/data ->\nmade/work ->\nreport <- made/show",
    );
    assert_eq!(
        found,
        [
            "made/src/work.rs:1: `stainfree_report::page`: `made/work` may not use `report` \
             (ARCHITECTURE.md: `report <-`)",
            "made/src/data.rs:2: `crate::work`: `made/data` may not use `made/work` \
             (ARCHITECTURE.md)",
        ]
    );
    let found = found_in(&files, "made -> report\nmade/data -> made/work");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("made/src/data.rs:3: `stainfree_image::Image`"));
}

#[test]
fn a_dependency_that_is_not_drawn_and_an_arrow_that_nothing_takes_are_found() {
    let allowed = Allowed::parse("```arrows\nmade -> image scores\n```").unwrap();
    let manifest = "[dependencies]\nstainfree-image.workspace = true\n\
                    stainfree-report = { workspace = true }\n\
                    [dev-dependencies]\nstainfree-specimen.workspace = true\n";
    let mut findings = Findings::default();
    findings.look_at_manifest("made", "made/Cargo.toml", manifest, &allowed);
    findings.look_for_idle(&allowed);
    let found = findings.sentences;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("made/Cargo.toml:3: "), "{found:?}");
    assert!(
        found[1].contains("nothing takes `made -> scores`"),
        "{found:?}"
    );
    let allowed = Allowed::parse("```arrows\nmade ->\nreport <- made/gone\n```").unwrap();
    let mut findings = Findings::default();
    findings.look_for_idle(&allowed);
    let found = findings.sentences;
    assert_eq!(
        found,
        ["ARCHITECTURE.md: `made/gone` does not use `report`"]
    );
    assert!(Allowed::parse("# no block").is_err());
    assert!(Allowed::parse("```arrows\nmade: image\n```").is_err());
}
