//! What is made of files row by row against what is made of the same labels in memory.

use std::collections::BTreeMap;
use std::path::Path;

use stainfree_image::write::{Note, plane_u16};
use stainfree_image::{Field, Image, OpenOptions, Product, Store, marker, open, read_labels};
use stainfree_inference::cells;
use stainfree_network::Machine;

use super::derived::{ByLabel, cells_by_region, forms_by_region, map_by_region, zarr_by_region};
use super::{Asked, derived_by_region};
use crate::prediction::forms::{Form, Forms, LabelsOf, put_forms};
use crate::prediction::written::Wanted;
use crate::prediction::zarr;
use crate::study::Brightfield;
use crate::{Cancel, Job, Silent};

const CLASSES: [&str; 3] = ["background", "nucleus", "cytoplasm"];
/// Higher than the rows that are made at once, and no multiple of them.
const SIZE: (usize, usize) = (600, 130);
const MODEL: &str = "0123abcd";

/// A field with the files that a prediction by region leaves first.
struct Place {
    folder: tempfile::TempDir,
    field: Field,
    brightfield: Brightfield,
    classes: Image<u8>,
    nuclei: Image<u32>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = Image::from_fn(SIZE.0, SIZE.1, |y, x| (1000 + 3 * y + x) as u16);
        let note = Note {
            pixel_um: Some(0.5),
            ..Note::default()
        };
        std::fs::create_dir(folder.path().join("images")).unwrap();
        plane_u16(&folder.path().join("images/a.tif"), &image, &note).unwrap();
        let images = folder.path().join("images");
        let data = open(&images, &OpenOptions::default()).unwrap();
        // Discs of nuclei, in numbers by rows as predictions have them, in cytoplasm.
        let at = |y: usize, x: usize| (y % 40, x % 40);
        let near = |y: usize, x: usize, reach: usize| {
            let ((y, x), square) = (at(y, x), |a: usize| a.abs_diff(20).pow(2));
            square(y) + square(x) < reach * reach
        };
        let label = |y: usize, x: usize| (y / 40 * SIZE.1.div_ceil(40) + x / 40 + 1) as u32;
        let place = Self {
            field: data.fields[0].clone(),
            brightfield: Brightfield {
                channels: vec![0],
                planes: Vec::new(),
            },
            classes: Image::from_fn(SIZE.0, SIZE.1, |y, x| {
                match (near(y, x, 8), near(y, x, 16)) {
                    (true, _) => 1,
                    (_, true) => 2,
                    _ => 0,
                }
            }),
            nuclei: Image::from_fn(SIZE.0, SIZE.1, |y, x| match near(y, x, 8) {
                true => label(y, x),
                false => 0,
            }),
            folder,
        };
        let store = place.store();
        for product in [Product::Classes, Product::Nuclei, Product::Cells] {
            std::fs::create_dir(store.folder(product)).unwrap();
        }
        store
            .put_classes("a", &place.classes, &note_of("class mask"))
            .unwrap();
        let nuclei = (&place.nuclei, note_of("nuclei"));
        store
            .put_labels(Product::Nuclei, "a", nuclei.0, &nuclei.1)
            .unwrap();
        place
    }

    fn out(&self) -> &Path {
        self.folder.path()
    }

    fn store(&self) -> Store {
        Store::at(self.out())
    }

    fn asked(&self, wanted: Wanted) -> Asked<'_> {
        Asked {
            field: &self.field,
            brightfield: &self.brightfield,
            out: self.out(),
            wanted,
            hash: MODEL,
        }
    }

    fn cells(&self) -> Image<u32> {
        cells(&self.classes, 2, &self.nuclei, Some(0.5))
    }
}

fn note_of(what: &str) -> Note {
    Note {
        text: format!("stainfree 0.1.0 prediction: {what} of field a, model {MODEL}, image 1"),
        pixel_um: Some(0.5),
    }
}

fn names() -> Vec<String> {
    CLASSES.map(str::to_owned).into()
}

fn with_job<T>(work: impl FnOnce(&Job) -> T) -> T {
    let (cancel, machine) = (Cancel::new(), Machine::new(1));
    work(&Job::new(&Silent, &cancel, &machine))
}

fn all_forms() -> Forms {
    Form::ALL.into_iter().collect()
}

#[test]
fn forms_are_those_of_the_labels_in_memory() {
    let [region, memory] = [Place::new(), Place::new()];
    let (store, cells) = (region.store(), region.cells());
    with_job(|job| {
        cells_by_region(
            &store,
            &region.field,
            (&names(), None),
            note_of("cells"),
            job,
        )
    })
    .unwrap();
    assert_eq!(store.labels(Product::Cells, "a").unwrap(), cells);
    let labels = region.nuclei.data().iter().filter(|label| **label > 0);
    let sure: ByLabel = labels
        .map(|&label| (label, 1.0 / f64::from(label)))
        .collect();
    let wanted = Wanted {
        cells: true,
        forms: all_forms(),
        ..Wanted::default()
    };
    for place in [&region, &memory] {
        all_forms().create_folders(&place.store(), true).unwrap();
    }
    let asked = region.asked(wanted);
    with_job(|job| forms_by_region(&asked, all_forms(), &sure, note_of, job)).unwrap();
    let of_memory = LabelsOf {
        name: "a",
        nuclei: &memory.nuclei,
        cells: Some(&cells),
        sure: Some(&sure),
    };
    put_forms(&memory.store(), all_forms(), of_memory, note_of).unwrap();
    for product in [Product::GeoJson, Product::Rois] {
        let bytes = |place: &Place| std::fs::read(place.store().path(product, "a")).unwrap();
        assert!(bytes(&region) == bytes(&memory), "{product:?}");
    }
    for (product, expected) in [
        (Product::Cellpose, &region.nuclei),
        (Product::CellposeCells, &cells),
        (Product::Napari, &region.nuclei),
        (Product::NapariCells, &cells),
    ] {
        assert_eq!(
            read_labels(&store.path(product, "a")).unwrap(),
            *expected,
            "{product:?}"
        );
    }
}

#[test]
fn labels_of_both_kinds_are_channels_of_one_file() {
    let place = Place::new();
    let (store, cells) = (place.store(), place.cells());
    store
        .put_labels(Product::Cells, "a", &cells, &note_of("cells"))
        .unwrap();
    let forms: Forms = [Form::OmeTiff].into_iter().collect();
    forms.create_folders(&store, true).unwrap();
    let wanted = Wanted {
        cells: true,
        forms,
        ..Wanted::default()
    };
    let asked = place.asked(wanted);
    with_job(|job| forms_by_region(&asked, forms, &ByLabel::new(), note_of, job)).unwrap();
    let path = store.path(Product::OmeLabels, "a");
    for (channel, expected) in [&place.nuclei, &cells].into_iter().enumerate() {
        let found = stainfree_image::read_plane(&path, channel)
            .unwrap()
            .to_f32();
        assert_eq!(
            found,
            expected.map(|&label| label as f32),
            "channel {channel}"
        );
    }
}

#[test]
fn what_is_missing_is_made_with_the_notes_of_the_nuclei() {
    let place = Place::new();
    let wanted = Wanted {
        cells: true,
        forms: [Form::GeoJson, Form::Napari].into_iter().collect(),
        zarr: true,
        ..Wanted::default()
    };
    wanted.forms.create_folders(&place.store(), true).unwrap();
    let derive = || {
        let asked = place.asked(wanted);
        with_job(|job| derived_by_region(&asked, (&names(), None), job))
    };
    derive().unwrap();
    assert!(wanted.exist(&place.field, place.out(), MODEL));
    let napari = place.store().path(Product::NapariCells, "a");
    let said = marker::note_of(&napari).unwrap();
    assert!(
        said.contains(": cells of field a") && said.contains(MODEL),
        "{said}"
    );
    // Only what is missing is made again.
    let nuclei = place.store().path(Product::Napari, "a");
    let cells = place.store().path(Product::Cells, "a");
    std::fs::remove_file(&nuclei).unwrap();
    std::fs::write(&cells, "mine").unwrap();
    assert!(derive().is_err(), "cells that cannot be read");
    assert_eq!(std::fs::read(&cells).unwrap(), b"mine");
    std::fs::remove_file(&cells).unwrap();
    derive().unwrap();
    assert_eq!(read_labels(&nuclei).unwrap(), place.nuclei);
    // Labels that say nothing are of nobody knows which model.
    let silent = Note::default();
    let store = place.store();
    store
        .put_labels(Product::Nuclei, "a", &place.nuclei, &silent)
        .unwrap();
    let error = derive().unwrap_err().to_string();
    assert!(
        error.contains("does not say what it was made from"),
        "{error}"
    );
}

#[test]
fn a_store_of_files_is_that_of_arrays() {
    let [region, memory] = [Place::new(), Place::new()];
    zarr_by_region(
        &region.asked(Wanted::default()),
        &names(),
        note_of("results"),
    )
    .unwrap();
    let planes = memory.brightfield.read(&memory.field).unwrap();
    let pixels = zarr::Source::Memory {
        planes: &planes,
        classes: &memory.classes,
        nuclei: &memory.nuclei,
        cells: None,
    };
    let shown = zarr::Shown {
        field: &memory.field,
        brightfield: &memory.brightfield,
        pixels,
        names: &names(),
        note: note_of("results"),
    };
    zarr::put(memory.out(), &shown).unwrap();
    let [found, expected] = [&region, &memory].map(|place| files(&place.out().join("zarr")));
    assert!(expected.len() > 8, "{:?}", expected.keys());
    assert!(found == expected, "{:?}", found.keys());
    assert!(zarr::exists(region.out(), &region.field, MODEL, false));
    assert!(!zarr::exists(region.out(), &region.field, "another", false));
}

#[test]
fn a_map_paints_confidences_and_leaves_the_rest() {
    let place = Place::new();
    let store = place.store();
    std::fs::create_dir(store.folder(Product::ConfidenceMap)).unwrap();
    let sure: ByLabel = [(1, 0.25), (2, 0.75)].into();
    map_by_region(&store, &place.field, &sure, note_of("confidence of nuclei")).unwrap();
    let path = store.path(Product::ConfidenceMap, "a");
    let map = stainfree_image::read_plane(&path, 0).unwrap().to_f32();
    let expected = place.nuclei.map(|label| match label {
        1 => 0.25,
        2 => 0.75,
        _ => 0.0f32,
    });
    assert_eq!(map, expected);
}

/// Every file below a folder, by its path there.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}
