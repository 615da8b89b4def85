//! Stains that lie off the brightfield: given, found, or left alone.

use std::path::Path;

use stainfree_image::{Image, read_labels};
use stainfree_project::Study;
use stainfree_project::study::fields::FieldRow;
use stainfree_project::truth::prepare::Prepared;
use stainfree_project::truth::shift::FoundIn;
use stainfree_project::truth::stain::Stain;
use stainfree_specimen::PlateSpec;

use crate::common::{Place, has, prepared, quietly};

/// A simulated plate whose stains lie off, and a study on it with these lines of `[truth.shift]`.
fn shifted(place: &Place, shift_px: (f64, f64), lines: &str) -> Study {
    let spec = PlateSpec {
        wells: 2,
        sites: 1,
        side: 256,
        planes: 1,
        shift_px,
        seed: 5,
        ..PlateSpec::default()
    };
    if !place.path("sim").exists() {
        quietly(|job| {
            stainfree_project::simulate::simulate(&spec, &place.path("sim"), job).unwrap()
        });
    }
    let text = format!(
        "[images]\npath = \"../sim/plate\"\nbrightfield = [\"{}\"]\n[truth]\nnucleus = \"{}\"\n\
         classes = [\"background\", \"nucleus\"]\n[truth.illumination]\ncorrect = \
         \"off\"\n[truth.shift]\n{lines}\n",
        stainfree_specimen::CHANNELS[0],
        stainfree_specimen::CHANNELS[1]
    );
    place.write("study/stainfree.toml", text);
    Study::open(&place.path("study")).unwrap()
}

/// Intersection over union of two foregrounds.
fn overlap(a: &Image<u32>, b: &Image<u32>) -> f64 {
    let pairs = || a.data().iter().zip(b.data());
    let both = pairs().filter(|(a, b)| **a > 0 && **b > 0).count();
    let any = pairs().filter(|(a, b)| **a > 0 || **b > 0).count();
    both as f64 / any.max(1) as f64
}

fn rows(found: &Prepared) -> &[FieldRow] {
    assert!(found.failed.is_empty(), "{:?}", found.failed);
    &found.rows
}

fn nuclei(study: &Study, name: &str) -> Image<u32> {
    read_labels(&study.nuclei_path(name)).unwrap()
}

fn truth(place: &Place, name: &str) -> Image<u32> {
    let path = place.path("sim/truth/nuclei").join(format!("{name}.tif"));
    read_labels(Path::new(&path)).unwrap()
}

#[test]
fn stains_are_moved_back_by_what_is_given_found_or_not_at_all() {
    let place = Place::new();
    let shift = (6.0, -4.0);
    let off = shifted(&place, shift, "correct = \"off\"");
    let (found, _) = prepared(&off);
    let names: Vec<String> = rows(&found).iter().map(|row| row.name.clone()).collect();
    assert_eq!(names.len(), 2);
    assert!(found.shifts.is_empty());
    assert!(rows(&found).iter().all(|row| row.nucleus_dy_px.is_none()));
    let left: Vec<f64> = names
        .iter()
        .map(|name| overlap(&nuclei(&off, name), &truth(&place, name)))
        .collect();

    let fixed = shifted(
        &place,
        shift,
        "correct = \"fixed\"\nnucleus_px = [6.0, -4.0]",
    );
    let (found, _) = prepared(&fixed);
    assert_eq!(found.made, 2, "the truth lies elsewhere now");
    for row in rows(&found) {
        assert_eq!(
            (row.nucleus_dy_px, row.nucleus_dx_px),
            (Some(6.0), Some(-4.0))
        );
        assert_eq!(row.nucleus_shift_radius_px, None, "nobody measured it");
    }
    let moved: Vec<f64> = names
        .iter()
        .map(|name| overlap(&nuclei(&fixed, name), &truth(&place, name)))
        .collect();
    for (left, moved) in left.iter().zip(&moved) {
        // Nuclei of about 25 pixels that lie 7 pixels off share far less than half of their area.
        assert!(moved - left > 0.15, "{left} and moved back {moved}");
    }
    let [summary] = &found.shifts[..] else {
        panic!("{:?}", found.shifts);
    };
    assert_eq!((summary.stain, summary.corrected), (Stain::Nucleus, 2));
    assert_eq!(summary.median_px, (6.0, -4.0));
    assert_eq!(summary.largest_radius_px, None);
    let table = place.text("study/truth/shifts.csv");
    has(&table, &["nucleus,config,6.0,-4.0"]);

    // Found from the images: within half a pixel, as it says of itself, where it is used at all.
    let auto = shifted(&place, shift, "correct = \"auto\"");
    let (found, _) = prepared(&auto);
    for row in rows(&found) {
        if let (Some(dy), Some(dx)) = (row.nucleus_dy_px, row.nucleus_dx_px) {
            let error = (dy - shift.0).hypot(dx - shift.1);
            assert!(error < 1.0, "{dy}, {dx}");
            assert!(row.nucleus_shift_radius_px.unwrap() <= 0.5);
        }
    }
    let mut kept: serde_json::Value =
        serde_json::from_str(&place.text("study/truth/shifts.json")).unwrap();
    assert_eq!(kept["shifts"].as_array().unwrap().len(), 2);
    let (again, _) = prepared(&auto);
    assert_eq!((again.made, again.kept), (0, 2));
    assert_eq!(again.rows, found.rows);
    // What was found is kept, and not looked for again: what stands there is what counts.
    let first = &mut kept["shifts"][0];
    first["found_in"] = "group".into();
    first["dy_px"] = 9.5.into();
    first["radius95_px"] = 0.25.into();
    place.write("study/truth/shifts.json", kept.to_string());
    let (third, _) = prepared(&auto);
    let used = |dy: f64| {
        third
            .rows
            .iter()
            .filter(|row| row.nucleus_dy_px == Some(dy))
            .count()
    };
    assert_eq!(used(9.5), 1);
}

#[test]
fn an_uncertain_shift_moves_nothing() {
    let place = Place::new();
    // A limit that no estimate meets.
    let study = shifted(&place, (6.0, -4.0), "max_radius_px = 1e-6");
    let (found, _) = prepared(&study);
    assert!(rows(&found).iter().all(|row| row.nucleus_dy_px.is_none()));
    let [summary] = &found.shifts[..] else {
        panic!("{:?}", found.shifts);
    };
    assert_eq!((summary.corrected, summary.cannot_tell), (0, 2));
    let table = place.text("study/truth/shifts.csv");
    assert_eq!(table.matches("cannot-tell").count(), 2, "{table}");
    let word = serde_json::to_string(&FoundIn::CannotTell).unwrap();
    assert_eq!(word, "\"cannot-tell\"");
}
