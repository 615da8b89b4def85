//! What `prepare` keeps of what people typed, and what it leaves behind.

use std::path::Path;
use std::sync::Once;

use stainfree_image::{Image, write};
use stainfree_network::Machine;

use super::*;
use crate::study::human::mitosis::Decision;
use crate::{Cancel, NewOptions, Progress, Silent, new};

/// Does something when the first field is made.
struct Meanwhile<F>(Once, F);

impl<F: Fn() + Sync> Progress for Meanwhile<F> {
    fn step(&self, _done: usize, _total: usize, _message: &str) {
        self.0.call_once(&self.1);
    }
    fn note(&self, _message: &str) {}
}

/// Bright disks on a grid of 32 px, the first of them around (16, 16).
fn disks(path: &Path, level: u16) {
    let image = Image::from_fn(96, 96, |y, x| {
        let (dy, dx) = (y as f64 % 32.0 - 16.0, x as f64 % 32.0 - 16.0);
        let inside = dy.hypot(dx) < 11.0;
        ((y * 7 + x * 13) % 11) as u16 + if inside { level } else { level / 10 }
    });
    let note = write::Note {
        text: String::new(),
        pixel_um: Some(0.5),
    };
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    write::plane_u16(path, &image, &note).unwrap();
}

/// A prepared study of four fields in which mitotic nuclei are looked for.
fn study() -> (tempfile::TempDir, Study) {
    let place = tempfile::tempdir().unwrap();
    let images = place.path().join("images");
    for i in 0..4 {
        disks(&images.join(format!("bf/f{i}.tif")), 2000);
        disks(&images.join(format!("dapi/f{i}.tif")), 9000 + i);
    }
    let options = NewOptions {
        images,
        ..NewOptions::default()
    };
    let cancel = Cancel::new();
    let made = new::create(&place.path().join("study"), &options, &cancel).unwrap();
    let machine = Machine::new(2);
    let job = Job::new(&Silent, &cancel, &machine);
    let (study, _) = prepare_with_mitosis(&made.study, &job).unwrap();
    (place, study)
}

fn prepare_and(study: &Study, meanwhile: impl Fn() + Sync) -> Prepared {
    let (progress, cancel) = (Meanwhile(Once::new(), meanwhile), Cancel::new());
    prepare(
        study,
        &Job::new(&progress, &cancel, &Machine::new(2)).by("Ada"),
    )
    .unwrap()
}

/// Sets `usable` of a field to `no` in `fields.csv`.
fn set_to_no(study: &Study, name: &str) {
    let path = study.root().join(fields::FILE_NAME);
    let text = std::fs::read_to_string(&path).unwrap();
    let edited = text.lines().map(|line| match line.split_once(',') {
        Some((field, _)) if field == name => line.replacen(",yes,", ",no,", 1) + "\n",
        _ => line.to_owned() + "\n",
    });
    let edited: String = edited.collect();
    assert_ne!(edited, text);
    std::fs::write(path, edited).unwrap();
}

fn remarks(prepared: &Prepared, name: &str) -> String {
    let row = prepared.rows.iter().find(|row| row.name == name).unwrap();
    assert_eq!(row.is_usable(), row.split.is_some());
    row.remarks.clone()
}

#[test]
fn a_damaged_table_of_fields_is_not_written_over() {
    let (_place, study) = study();
    let path = study.root().join(fields::FILE_NAME);
    let text = std::fs::read_to_string(&path).unwrap();
    let damaged = text.replacen(",yes,", ",perhaps not,", 1);
    assert_ne!(damaged, text);
    std::fs::write(&path, &damaged).unwrap();
    let cancel = Cancel::new();
    let error = prepare(&study, &Job::new(&Silent, &cancel, &Machine::new(2))).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("delete it and prepare again"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
}

#[test]
fn what_is_undone_after_a_stopped_run_stays_undone() {
    /// Stops when the first decision is taken over.
    struct StopAtNote<'a>(&'a Cancel);
    impl Progress for StopAtNote<'_> {
        fn step(&self, _done: usize, _total: usize, _message: &str) {}
        fn note(&self, message: &str) {
            if message.contains("was set to `no`") {
                self.0.stop();
            }
        }
    }
    let (_place, study) = study();
    set_to_no(&study, "f1");
    let cancel = Cancel::new();
    let stopped = prepare(
        &study,
        &Job::new(&StopAtNote(&cancel), &cancel, &Machine::new(2)).by("Ada"),
    );
    assert!(matches!(stopped, Err(ProjectError::Cancelled)));
    assert!(excluded::in_force(&study).unwrap().contains_key("f1"));
    let stamp = Stamp::now("Ada");
    excluded::decide(&study, &["f1".to_owned()], false, "", &stamp).unwrap();
    let prepared = prepare_and(&study, || ());
    let row = prepared.rows.iter().find(|row| row.name == "f1").unwrap();
    assert!(row.is_usable(), "{}", row.remarks);
    assert!(excluded::in_force(&study).unwrap().is_empty());
}

#[test]
fn a_field_that_a_person_took_out_stays_out_when_it_is_made_anew() {
    let (place, study) = study();
    set_to_no(&study, "f1");
    disks(&place.path().join("images/dapi/f1.tif"), 8000);
    let prepared = prepare_and(&study, || set_to_no(&study, "f2"));
    assert!(prepared.made > 0);
    for name in ["f1", "f2"] {
        let remarks = remarks(&prepared, name);
        assert!(
            remarks.starts_with("excluded by Ada: set to `no` in fields.csv"),
            "{name}: {remarks}"
        );
    }
    let excluded = excluded::read(&study).unwrap();
    let names: Vec<&str> = excluded.iter().map(|row| row.field.as_str()).collect();
    assert_eq!(names, ["f1", "f2"]);
    // The image that the person looked at, not the one that is there now.
    let now = human::content_of(&study.source().unwrap(), "f1").unwrap();
    assert!(!excluded[0].image.is_empty() && excluded[0].image != now);
    prepare_and(&study, || ());
    assert_eq!(excluded::read(&study).unwrap(), excluded);
}

#[test]
fn what_is_typed_into_the_list_meanwhile_is_taken_over() {
    let (_place, study) = study();
    let list = study.root().join("truth/mitosis.csv");
    let text = || std::fs::read_to_string(&list).unwrap();
    let said = || human::mitosis::read(&study).unwrap();
    prepare_and(&study, || {
        let added = text() + "f0,,16,16,,,,,yes\n";
        std::fs::write(&list, added).unwrap();
    });
    assert_eq!(said().len(), 1, "{}", text());
    assert_eq!(said()[0].decision, Some(Decision::Yes));
    prepare_and(&study, || ());
    assert!(text().contains("yes,yes\n"), "{}", text());
    // A row of the list, changed meanwhile: it says so at once.
    prepare_and(&study, || {
        std::fs::write(&list, text().replace("yes,yes\n", "yes,no\n")).unwrap();
    });
    assert!(text().contains("yes,no\n"), "{}", text());
    for _ in 0..2 {
        assert_eq!(said().len(), 2);
        prepare_and(&study, || ());
        assert!(text().contains("no,no\n"), "{}", text());
    }
}

#[test]
fn pages_of_an_earlier_run_are_removed() {
    let (place, study) = study();
    let truth = study.root().join("truth");
    let page = Image::new(1, 1, vec![[0; 3]]);
    let stale = [
        "mitosis-2.png",
        "mitosis-12.png",
        "contact-sheet-2.png",
        "shifts.png",
    ];
    for name in stale.iter().chain(&["mitosis-mine.png"]) {
        write::png_rgb(&truth.join(name), &page).unwrap();
    }
    std::fs::write(truth.join("mitosis-3.png"), "a drawing").unwrap();
    disks(&place.path().join("images/dapi/f1.tif"), 8000);
    prepare_and(&study, || ());
    for name in stale {
        assert!(!truth.join(name).exists(), "{name}");
    }
    for name in ["mitosis-mine.png", "mitosis-3.png", "contact-sheet.png"] {
        assert!(truth.join(name).exists(), "{name}");
    }
}
