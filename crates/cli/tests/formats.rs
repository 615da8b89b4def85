//! What the program makes of files whose values other readers turn round, through its commands.

mod common;

use std::path::{Path, PathBuf};

use common::Place;
use stainfree_image::write;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../testdata/image")
        .join(name)
}

fn copy(place: &Place, from: &str, to: &str) {
    let to = place.path(to);
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(sample(from), to).unwrap();
}

/// `tifffile.imwrite(mask > 0)` writes one bit a pixel with an inverted table: 1,156 of the
/// 1,961 pixels are set.
#[test]
fn a_mask_of_booleans_keeps_nucleus_and_background_apart() {
    let place = Place::new();
    for field in ["a", "b", "c"] {
        copy(&place, "u16-none.tif", &format!("images/{field}.tif"));
        copy(&place, "miniswhite-bool.tif", &format!("masks/{field}.tif"));
    }
    place.ok(&["new", "study", "--images", "images", "--masks", "masks"]);
    place.run(&["prepare", "study"]);
    let fields = place.text("study/fields.csv");
    let mut rows = fields.lines().map(|row| row.split(',').collect::<Vec<_>>());
    let columns = rows.next().unwrap();
    let share = columns.iter().position(|c| *c == "nucleus_share").unwrap();
    let first: f64 = rows.next().unwrap()[share].parse().unwrap();
    assert!((first - 1156.0 / 1961.0).abs() < 1e-3, "{first}");
}

#[test]
fn a_pixel_size_in_an_unknown_unit_is_named_and_not_called_unstated() {
    let place = Place::new();
    let note = write::Note {
        text: String::new(),
        pixel_um: Some(0.5),
    };
    let image = stainfree_image::Image::filled(8, 8, 7_u16);
    write::plane_u16(&place.path("a.tif"), &image, &note).unwrap();
    let mut bytes = std::fs::read(place.path("a.tif")).unwrap();
    let at = bytes
        .windows(7)
        .position(|text| text == b"unit=um")
        .unwrap();
    bytes[at + 5..at + 7].copy_from_slice(b"el");
    std::fs::write(place.path("a.tif"), bytes).unwrap();
    let said = place.ok(&["inspect", "a.tif", "--json", "-"]).stdout;
    assert!(
        said.contains("its unit `el` is not known, so no pixel size is taken"),
        "{said}"
    );
    assert!(said.contains("no pixel size is known"), "{said}");
    assert!(!said.contains("no pixel size is stated"), "{said}");
}
