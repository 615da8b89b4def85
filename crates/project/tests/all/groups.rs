//! Which fields stay together: wells, keys of the metadata, parts of names.

use stainfree_image::Field;
use stainfree_project::GroupRule;

use crate::common::{Place, field, has, prepared, said};

fn group(rule: &str, field: &Field) -> String {
    GroupRule::parse(rule).unwrap().group(field).unwrap()
}

#[test]
fn wells_of_two_plates_are_two_groups_and_places_without_wells_their_own() {
    let one = field("B02_s1", Some("p1"), Some("B02"));
    let other = field("p2_B02_s1", Some("p2"), Some("B02"));
    assert_eq!(group("well", &one), "p1/B02");
    assert_eq!(group("well", &other), "p2/B02");
    assert_eq!(group("well", &field("B02_s2", None, Some("B02"))), "B02");
    assert_eq!(group("well", &field("cells 7", None, None)), "cells 7");
    assert_eq!(group("field", &one), "B02_s1");
}

#[test]
fn a_key_of_the_metadata_is_the_group_and_its_lack_is_named() {
    let mut known = field("f1", None, Some("B02"));
    for (key, value) in [("experiment", "2024-05"), ("donor.id", "7"), ("empty", "")] {
        known.metadata.insert(key.to_owned(), value.to_owned());
    }
    assert_eq!(group("key:experiment", &known), "2024-05");
    assert_eq!(group("key:donor.id", &known), "7");
    let lacks = |key: &str, field: &Field| {
        said(
            GroupRule::parse(&format!("key:{key}"))
                .unwrap()
                .group(field),
        )
    };
    has(
        &lacks("experimnt", &known),
        &[
            "field `f1` has no key `experimnt` in its metadata",
            "(keys: `donor.id`, `empty`, `experiment`)",
            "did you mean `experiment`?",
        ],
    );
    // An empty value would put unrelated fields into one group.
    has(&lacks("empty", &known), &["has no key `empty`"]);
    has(
        &lacks("donor", &field("f2", None, None)),
        &["(keys: it has none)"],
    );
}

#[test]
fn parts_of_names_are_groups_with_or_without_a_capture() {
    for (rule, name, expected) in [
        ("re:^([^_]+)_", "DS30_p11", "DS30"),
        ("re:^(?P<day>\\d{6})", "220524DS30_p0011", "220524"),
        ("re:^[A-P]\\d\\d", "B02_s1", "B02"),
        ("re:_(d\\d)_", "x_d3_y_d4_", "d3"),
        ("re:(?i)plate(\\d)", "my PLATE7 x", "7"),
        // A capture that took no part: the whole match.
        ("re:a(b)?", "a", "a"),
        ("re:^(ü+)", "üü_1", "üü"),
    ] {
        let rule = GroupRule::parse(rule).unwrap();
        assert_eq!(rule.group_of_name(name).unwrap(), expected, "{name}");
        assert_eq!(rule.group(&field(name, None, None)).unwrap(), expected);
    }
    let rule = GroupRule::parse("re:^x(.)").unwrap();
    has(
        &said(rule.group_of_name("y1")),
        &[
            "`^x(.)` does not match the field name `y1`",
            "matches every name",
        ],
    );
    // Where only a name is known, it is the group of a rule that asks for more.
    for rule in ["well", "field", "key:a"] {
        let rule = GroupRule::parse(rule).unwrap();
        assert_eq!(rule.group_of_name("B02_s1").unwrap(), "B02_s1");
    }
}

#[test]
fn rules_that_say_nothing_are_refused_with_the_forms_there_are() {
    for (rule, part) in [
        ("", "the group rule is empty"),
        ("key:", "`key:` names no key"),
        ("re:", "`re:` has no pattern"),
        ("re:[", "`re:[` is no regular expression"),
        ("(a", "`(a` is no regular expression"),
        ("re:a{2,1}", "is no regular expression"),
    ] {
        has(
            &said(GroupRule::parse(rule)),
            &[part, "`well`", "`field`", "`key:NAME`"],
        );
    }
}

#[test]
fn fields_of_one_experiment_never_lie_in_two_parts() {
    let place = Place::new();
    let names = [
        "d1_a", "d1_b", "d2_a", "d2_b", "d3_a", "d3_b", "d4_a", "d4_b",
    ];
    for (i, name) in names.iter().enumerate() {
        place.picture(&format!("images/{name}.tif"), i, 2000);
        place.labels(&format!("labels/{name}.tif"), i);
    }
    let study = place.study("labels = \"../labels\"", "group = \"re:^(d\\\\d)\"");
    let (found, _) = prepared(&study);
    let of = |name: &str| found.rows.iter().find(|row| row.name == name).unwrap();
    for day in ["d1", "d2", "d3", "d4"] {
        let [a, b] = ["a", "b"].map(|end| of(&format!("{day}_{end}")));
        assert_eq!((&a.group, a.split), (&b.group, b.split));
        assert_eq!(a.group, day);
        assert!(a.split.is_some());
    }
    // The same rule as earlier versions wrote it splits nothing anew.
    let before: Vec<_> = found.rows.iter().map(|row| row.split).collect();
    let study = place.study("labels = \"../labels\"", "group = \"^(d\\\\d)\"");
    let (again, _) = prepared(&study);
    assert_eq!(
        again.rows.iter().map(|row| row.split).collect::<Vec<_>>(),
        before
    );
    // One that fits no name stops before anything is written.
    let study = place.study("labels = \"../labels\"", "group = \"re:^(e\\\\d)\"");
    let text = place.text("study/fields.csv");
    let failed =
        crate::common::quietly(|job| stainfree_project::truth::prepare::prepare(&study, job));
    has(&said(failed), &["does not match the field name `d1_a`"]);
    assert_eq!(place.text("study/fields.csv"), text);
}
