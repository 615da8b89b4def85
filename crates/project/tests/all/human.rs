//! What people decided: tables that only grow, label images that are drawn, and what becomes of
//! them when a person or an editor gets something wrong.

use stainfree_image::{Image, Plane, read_labels};
use stainfree_project::Study;
use stainfree_project::study::fields::{NucleiBy, Usable};
use stainfree_project::study::human::excluded::{decide, in_force};
use stainfree_project::study::human::mitosis::{Decision, Said, append};
use stainfree_project::study::human::{Stamp, content, content_of_labels, corrected};
use stainfree_project::study::human::{excluded, mitosis};
use stainfree_project::truth::prepare::prepare;

use crate::common::{Place, SIDE, disk_labels, has, prepared, quietly, said};

fn stamp() -> Stamp {
    Stamp {
        who: "Ada".to_owned(),
        when: "2026-03-01T09:30:00Z".to_owned(),
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn out(study: &Study) -> Vec<String> {
    in_force(study).unwrap().into_keys().collect()
}

#[test]
fn fields_are_taken_out_and_in_again_and_the_last_word_counts() {
    let place = Place::new();
    let study = place.labelled(4, "group = \"field\"");
    decide(&study, &names(&["f1", "f2"]), true, "air, bubble", &stamp()).unwrap();
    decide(&study, &names(&["f1"]), false, "", &stamp()).unwrap();
    decide(&study, &names(&["f3"]), true, "", &stamp()).unwrap();
    assert_eq!(out(&study), ["f2", "f3"]);
    let rows = excluded::read(&study).unwrap();
    assert_eq!(rows.len(), 4, "nothing is taken out of the table");
    let row = &rows[1];
    assert_eq!((&row.field[..], row.excluded, row.line), ("f2", true, 3));
    assert_eq!((&row.reason[..], &row.who[..]), ("air, bubble", "Ada"));
    // By its image the field is recognised should its name come to mean another.
    assert_eq!(row.image.len(), 16);
    let (found, _) = prepared(&study);
    let remarks = |name: &str| {
        let row = found.rows.iter().find(|row| row.name == name).unwrap();
        (row.usable, row.split.is_some(), row.remarks.clone())
    };
    let by_ada = "excluded by Ada: air, bubble".to_owned();
    assert_eq!(remarks("f2"), (Usable::No, false, by_ada));
    assert_eq!(remarks("f3"), (Usable::No, false, "excluded by Ada".into()));
    assert_eq!(remarks("f1").0, Usable::Yes);
}

#[test]
fn a_field_that_is_not_there_is_answered_and_nothing_is_written() {
    let place = Place::new();
    let study = place.labelled(2, "");
    let sentence = said(decide(&study, &names(&["f0", "F3"]), true, "", &stamp()));
    has(
        &sentence,
        &[
            "has no field `F3`",
            "did you mean `f0`?",
            "`stainfree inspect",
        ],
    );
    assert!(!excluded::path(&study).exists());
    let sentence = said(decide(&study, &names(&["something"]), true, "", &stamp()));
    assert!(!sentence.contains("did you mean"), "{sentence}");
}

#[test]
fn rows_that_a_person_typed_count_however_little_they_say() {
    let place = Place::new();
    let study = place.labelled(3, "group = \"field\"");
    for (text, expected) in [
        ("field\nf0\nf2\n", &["f0", "f2"][..]),
        ("Field;Excluded\nf0;YES\nf1;no\n", &["f0"]),
        ("excluded,field\nx,f0\n1,f1\n0,f1\n", &["f0"]),
        ("field,reason\nf1,\"two, words\"\n", &["f1"]),
        ("field\n", &[]),
        ("", &[]),
    ] {
        place.write("study/human/excluded.csv", text);
        match excluded::read(&study) {
            Ok(_) => assert_eq!(out(&study), expected, "{text:?}"),
            Err(error) => assert!(text.contains('x') || text.is_empty(), "{text:?}: {error}"),
        }
    }
    // Words that are neither are not guessed.
    place.write(
        "study/human/excluded.csv",
        "field,excluded\nf0,yes\nf1,maybe\n",
    );
    has(
        &said(excluded::read(&study)),
        &[
            "excluded.csv`, line 3: field `f1`: the column `excluded` holds `maybe`",
            "`yes` (as does nothing) or `no`",
        ],
    );
    // Neither is another table: it would take nothing out.
    place.write("study/human/excluded.csv", "name,excluded\nf0,yes\n");
    has(
        &said(excluded::read(&study)),
        &[
            "it has no column `field` (columns: name, excluded)",
            "in the first line",
        ],
    );
    let failed = quietly(|job| prepare(&study, job));
    has(&said(failed), &["excluded.csv`"]);
    assert!(!place.path("study/fields.csv").exists());
}

#[test]
fn decisions_on_nuclei_are_kept_to_the_place() {
    let place = Place::new();
    let study = place.labelled(1, "");
    let decision = |y: f64, x: f64, decision| Said {
        field: "f0".to_owned(),
        y_px: y,
        x_px: x,
        decision,
        image: "abc".to_owned(),
        line: 0,
    };
    let rows = [
        decision(10.5, 20.25, Some(Decision::Yes)),
        decision(0.1, 1234.5, Some(Decision::No)),
        decision(10.5, 20.25, None),
    ];
    append(&study, &rows[..2], &stamp()).unwrap();
    append(&study, &[], &stamp()).unwrap();
    append(&study, &rows[2..], &stamp()).unwrap();
    let found = mitosis::read(&study).unwrap();
    for (i, (found, written)) in found.iter().zip(&rows).enumerate() {
        assert_eq!(found.line, i + 2);
        assert_eq!(
            Said {
                line: 0,
                ..found.clone()
            },
            *written
        );
    }
    assert_eq!(found.len(), 3);
    let text = place.text("study/human/mitosis.csv");
    assert_eq!(
        text.lines().nth(1),
        Some("f0,10.5,20.25,yes,abc,Ada,2026-03-01T09:30:00Z")
    );
    for (text, parts) in [
        (
            "field,y_px,x_px,decision\nf0,1,2,surely\n",
            &[
                "line 2: field `f0`: the column `decision` holds `surely`",
                "`yes`, `no` or nothing",
            ][..],
        ),
        (
            "field,y_px,x_px,decision\nf0,1,2,yes\nf0,left,2,no\n",
            &[
                "line 3: field `f0`: the column `y_px` holds `left`",
                "a place in px",
            ],
        ),
        (
            "field,y_px,x_px\nf0,1,2\n",
            &["it has no column `decision`"],
        ),
    ] {
        place.write("study/human/mitosis.csv", text);
        has(&said(mitosis::read(&study)), parts);
    }
}

#[test]
fn what_a_person_draws_is_the_truth_and_is_written_down_once() {
    let place = Place::new();
    let study = place.labelled(2, "group = \"field\"");
    let (first, _) = prepared(&study);
    let before = first.rows[0].nuclei;
    // One nucleus is drawn in place of all, under the number that an editor gave it.
    let mut drawn = Image::filled(SIDE, SIDE, 0u32);
    for y in 40..60 {
        for x in 30..50 {
            *drawn.get_mut(y, x) = 700;
        }
    }
    place.numbers("study/human/corrected/f0.tif", &drawn);
    let (found, _) = prepared(&study);
    assert_eq!((found.made, found.kept), (1, 1));
    let row = &found.rows[0];
    assert_eq!(
        (row.nuclei, row.nuclei_from),
        (1, Some(NucleiBy::Corrected))
    );
    assert!(before > 1);
    let truth = read_labels(&study.nuclei_path("f0")).unwrap();
    assert_eq!((truth.get(45, 40), truth.get(5, 5)), (1, 0));
    assert_eq!(
        read_labels(&study.automatic_path("f0")).unwrap(),
        relabelled(&disk_labels(0))
    );
    let rows = corrected::read(&study).unwrap();
    assert_eq!(
        (rows.len(), &rows[0].field[..], &rows[0].who[..]),
        (1, "f0", "Ada")
    );
    assert_eq!(rows[0].labels, content_of_labels(&truth));
    // Again: nothing new is written down. Taken away: that is, and the automatic ones come back.
    prepared(&study);
    assert_eq!(corrected::read(&study).unwrap().len(), 1);
    std::fs::remove_file(place.path("study/human/corrected/f0.tif")).unwrap();
    let (found, _) = prepared(&study);
    assert_eq!(found.rows[0].nuclei, before);
    assert!(!study.automatic_path("f0").exists());
    let rows = corrected::read(&study).unwrap();
    assert_eq!((rows.len(), &rows[1].labels[..]), (2, ""));
    assert_eq!(corrected::last(&study).unwrap()["f0"], rows[1]);
}

/// Numbers in the order of the labels, without gaps.
fn relabelled(labels: &Image<u32>) -> Image<u32> {
    let known: std::collections::BTreeSet<u32> = labels.data().iter().copied().collect();
    let number = |label: u32| known.iter().position(|known| *known == label).unwrap();
    labels.map(|&label| number(label) as u32)
}

#[test]
fn drawn_labels_that_cannot_be_used_leave_the_field_out_and_say_why() {
    let place = Place::new();
    let study = place.labelled(4, "group = \"field\"");
    place.numbers(
        "study/human/corrected/f0.tif",
        &Image::filled(SIDE, SIDE - 1, 0),
    );
    // A mask where labels should be: its nuclei cannot be told apart.
    let mask = disk_labels(1).map(|&label| u8::from(label > 0) * 255);
    place.mask("study/human/corrected/f1.tif", &mask);
    place.write("study/human/corrected/f2.tif", "no image");
    place.labels("study/human/corrected/stranger.tif", 0);
    let (found, notes) = prepared(&study);
    assert_eq!(found.failed.len(), 3);
    let why = |name: &str| {
        let failed = found.failed.iter().find(|(failed, _)| failed == name);
        failed.unwrap().1.clone()
    };
    has(
        &why("f0"),
        &["96 x 95", "the brightfield is 96 x 96", "the same field"],
    );
    has(&why("f1"), &["f1.tif` holds 0 and 255 only: a mask"]);
    has(&why("f2"), &["f2.tif`"]);
    let usable: Vec<bool> = found.rows.iter().map(|row| row.is_usable()).collect();
    assert_eq!(usable, [false, false, false, true]);
    assert!(
        notes.iter().any(|note| note.contains("stranger.tif")),
        "{notes:?}"
    );
    // The rest of the table says why in the same words.
    has(&found.rows[0].remarks, &["the brightfield is 96 x 96"]);
}

#[test]
fn decisions_on_images_that_changed_are_reported_and_kept() {
    let place = Place::new();
    let study = place.labelled(3, "group = \"field\"");
    decide(&study, &names(&["f1"]), true, "dust", &stamp()).unwrap();
    prepared(&study);
    // Another image under the name, and a field that is gone.
    place.picture("images/f1.tif", 7, 3000);
    place.write(
        "study/human/mitosis.csv",
        "field,y_px,x_px,decision\ngone,4,5,yes\nf0,16,16,\n",
    );
    let (found, notes) = prepared(&study);
    let all = notes.join("\n");
    has(
        &all,
        &[
            "excluded.csv`, line 2: the image of field `f1` is another than the one that was \
             excluded; it stays excluded",
            "mitosis.csv`, line 2: there is no field `gone`; the decision `yes` is kept and has no \
             effect",
        ],
    );
    assert!(!found.rows[1].is_usable());
}

#[test]
fn an_image_is_recognised_by_its_values_and_a_date_by_the_clock() {
    let image = Image::from_fn(4, 6, |y, x| (10 * y + x) as u16);
    let plane = |image: &Image<u16>| content(&Plane::U16(image.clone()));
    let mut other = image.clone();
    *other.get_mut(3, 5) = 36;
    assert_eq!(plane(&image), plane(&image.clone()));
    assert_ne!(plane(&image), plane(&other));
    let floats = Plane::F32(image.map(|&v| f32::from(v)));
    assert_eq!(content(&floats), plane(&image));
    let epoch = std::time::SystemTime::UNIX_EPOCH;
    let leap = Stamp::at("Ada", epoch + std::time::Duration::from_secs(1_709_251_199));
    assert_eq!(
        (&leap.when[..], &leap.who[..]),
        ("2024-02-29T23:59:59Z", "Ada")
    );
}
