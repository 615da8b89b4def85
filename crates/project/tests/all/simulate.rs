//! Simulated plates as a command makes them, and labels of their stains.

use std::collections::BTreeSet;

use stainfree_image::{OpenOptions, open, read_class_mask, read_labels};
use stainfree_objects::StainSettings;
use stainfree_project::prediction::forms::Forms;
use stainfree_project::prediction::segment::{SegmentOptions, Segmented, segment};
use stainfree_project::simulate::simulate;
use stainfree_project::{Cancel, Job, ProjectError, Silent};
use stainfree_specimen::{CHANNELS, PlateSpec};

use crate::common::{Place, has, quietly, said};

fn spec() -> PlateSpec {
    PlateSpec {
        wells: 2,
        sites: 1,
        side: 128,
        planes: 1,
        ..PlateSpec::default()
    }
}

#[test]
fn a_plate_opens_with_its_truth_and_is_not_made_over_another() {
    let place = Place::new();
    let made = quietly(|job| simulate(&spec(), &place.path("sim"), job)).unwrap();
    assert_eq!(made.fields, 2);
    let set = open(&place.path("sim/plate"), &OpenOptions::default()).unwrap();
    assert_eq!(set.fields.len(), 2);
    let mut nuclei = 0;
    for field in &set.fields {
        let file = format!("{}.tif", field.name);
        let labels = read_labels(&made.truth.join("nuclei").join(&file)).unwrap();
        let classes = read_class_mask(&made.truth.join("classes").join(&file)).unwrap();
        assert_eq!(labels.size(), (field.height, field.width));
        let numbers: BTreeSet<u32> = labels.data().iter().copied().collect();
        nuclei += numbers.len() - 1;
        // A pixel of a nucleus is one in the class mask too.
        let both = labels.data().iter().zip(classes.data());
        assert!(
            both.clone()
                .all(|(label, class)| *label == 0 || *class == 1)
        );
        assert!(field.position.well.is_some());
    }
    assert!(nuclei > 0 && nuclei <= made.cells);
    let error = said(quietly(|job| simulate(&spec(), &place.path("sim"), job)));
    has(&error, &["sim/plate"]);
    // Nor where something is that a person put there.
    place.write("mine/plate/photo.txt", "mine");
    let error = said(quietly(|job| simulate(&spec(), &place.path("mine"), job)));
    has(&error, &["mine/plate"]);
    assert_eq!(place.text("mine/plate/photo.txt"), "mine");
}

#[test]
fn settings_that_no_microscope_has_are_refused_before_a_folder_is_made() {
    let place = Place::new();
    type Change = fn(&mut PlateSpec);
    let cases: [(Change, &str); 7] = [
        (|s| s.wells = 0, "wells"),
        (|s| s.wells = 385, "wells"),
        (|s| s.side = 63, "side"),
        (|s| s.planes = 2, "planes"),
        (|s| s.confluence = 1.5, "confluence"),
        (|s| s.pixel_um = f64::NAN, "pixel"),
        (|s| s.mitotic_share = -0.1, "mitotic"),
    ];
    for (change, part) in cases {
        let mut wrong = spec();
        change(&mut wrong);
        let error = said(quietly(|job| simulate(&wrong, &place.path("sim"), job)));
        has(&error, &[part]);
        assert!(!place.path("sim").exists());
    }
}

#[test]
fn a_stop_leaves_no_half_plate_and_the_next_run_makes_the_same_bytes() {
    let place = Place::new();
    let cancel = Cancel::new();
    cancel.stop();
    let machine = stainfree_network::Machine::new(2);
    let stopped = simulate(
        &spec(),
        &place.path("sim"),
        &Job::new(&Silent, &cancel, &machine),
    );
    assert!(stopped.is_err());
    assert!(!place.path("sim/plate").exists() && !place.path("sim/truth").exists());
    for folder in ["sim", "other"] {
        quietly(|job| simulate(&spec(), &place.path(folder), job)).unwrap();
    }
    let table = |folder: &str| place.text(&format!("{folder}/truth/cells.csv"));
    assert_eq!(table("sim"), table("other"));
    let set = |folder: &str| open(&place.path(folder), &OpenOptions::default()).unwrap();
    for (a, b) in set("sim/plate")
        .fields
        .iter()
        .zip(&set("other/plate").fields)
    {
        assert_eq!(a.read(0, 0).unwrap(), b.read(0, 0).unwrap());
    }
}

fn options(place: &Place) -> SegmentOptions {
    SegmentOptions {
        inputs: vec![place.path("sim/plate")],
        out: place.path("labels"),
        channel: None,
        cytoplasm: None,
        opening: OpenOptions::default(),
        nuclei: StainSettings::default(),
        cells: StainSettings::cytoplasm(),
        forms: Forms::default(),
        overwrite: false,
        shard: None,
    }
}

fn segmented(options: &SegmentOptions) -> Result<Segmented, ProjectError> {
    quietly(|job| segment(options, job))
}

#[test]
fn stains_become_labels_once_and_cells_bear_the_numbers_of_their_nuclei() {
    let place = Place::new();
    quietly(|job| simulate(&spec(), &place.path("sim"), job)).unwrap();
    let first = segmented(&options(&place)).unwrap();
    assert_eq!((first.fields, first.skipped, first.failed.len()), (2, 0, 0));
    assert!(first.nuclei > 0);
    let again = segmented(&options(&place)).unwrap();
    assert_eq!(
        (again.fields, again.skipped, again.nuclei),
        (2, 2, first.nuclei)
    );
    // Other settings are other labels.
    let mut other = options(&place);
    other.nuclei.min_area_um2 = 1e6;
    let error = said(segmented(&other));
    has(&error, &["`--overwrite`"]);
    other.overwrite = true;
    assert_eq!(segmented(&other).unwrap().nuclei, 0, "none is that large");
    // With the cytoplasm: every pixel of a nucleus is one of the cell of its number.
    let cells = SegmentOptions {
        cytoplasm: Some(CHANNELS[2].to_owned()),
        out: place.path("with cells"),
        ..options(&place)
    };
    segmented(&cells).unwrap();
    let mut compared = 0;
    for entry in std::fs::read_dir(place.path("with cells/cells")).unwrap() {
        let name = entry.unwrap().file_name();
        let path = place.path("with cells").join(&name);
        let nuclei = read_labels(&path).unwrap();
        let cells = place
            .path("with cells/cells")
            .join(path.file_name().unwrap());
        let cells = read_labels(&cells).unwrap();
        for (nucleus, cell) in nuclei.data().iter().zip(cells.data()) {
            assert!(*nucleus == 0 || nucleus == cell);
            compared += usize::from(*nucleus > 0);
        }
    }
    assert!(compared > 0);
}

#[test]
fn stains_that_are_not_there_and_settings_that_cannot_be_are_named() {
    let place = Place::new();
    quietly(|job| simulate(&spec(), &place.path("sim"), job)).unwrap();
    type Change = fn(&mut SegmentOptions, &Place);
    let cases: [(Change, &[&str]); 5] = [
        (
            |o, _| o.channel = Some("Hoechts".to_owned()),
            &["has no channel `Hoechts`"],
        ),
        (
            |o, _| o.cytoplasm = Some("x".to_owned()),
            &["has no channel `x`"],
        ),
        (|o, p| o.inputs = vec![p.path("nowhere")], &["nowhere"]),
        (
            |o, _| o.inputs.push(o.inputs[0].clone()),
            &["is among the inputs more than once; name it once"],
        ),
        (|o, _| o.nuclei.smoothing_um = -1.0, &["smoothing"]),
    ];
    for (change, parts) in cases {
        let mut wrong = options(&place);
        change(&mut wrong, &place);
        has(&said(segmented(&wrong)), parts);
        assert!(!place.path("labels/made-by-stainfree.json").exists());
    }
}
