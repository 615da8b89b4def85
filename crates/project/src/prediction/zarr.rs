//! Results as OME-Zarr 0.5: the brightfield of a field with classes, nuclei and whole cells as its
//! labels, fields of a plate in their wells.
//!
//! The class masks and labels in TIFF files are what other commands read; a store is made beside
//! them, of the same run or of files that are there. A group says of which model and image it is,
//! as files do, and a group that says nothing is never replaced.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stainfree_image::write::{
    Note, OmeTiff, PixelType, Samples, Shrink, ZarrField, ZarrLabels, ZarrMore, ome_zarr,
    ome_zarr_labels, ome_zarr_plate,
};
use stainfree_image::{Field, Image, Plane, Product, Store};

use crate::study::Brightfield;
use crate::{ProjectError, pictures};

/// The folder of the stores.
pub(super) const FOLDER: &str = "zarr";
/// The key of what the program says of a group.
const OURS: &str = "stainfree";

/// Where the group of a field lies: in its plate's store, or a store of its own.
pub(super) fn place_of(out: &Path, field: &Field) -> PathBuf {
    let folder = out.join(FOLDER);
    match in_plate(field) {
        Some((plate, place)) => folder.join(store_of(&plate)).join(place.path()),
        None => folder.join(store_of(&field.name)),
    }
}

fn store_of(name: &str) -> String {
    format!("{name}.ome.zarr")
}

/// The plate of a field and its place there: an image is called after its site, and its time.
fn in_plate(field: &Field) -> Option<(String, ZarrField)> {
    let position = &field.position;
    let (plate, well) = (position.plate.as_ref()?, position.well.as_ref()?);
    let split = well.find(|c: char| !c.is_ascii_alphabetic())?;
    let (row, column) = well.split_at(split);
    if row.is_empty() || !column.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let site = position.site.unwrap_or(0);
    let time = field.time.map_or(String::new(), |time| format!("t{time}"));
    let place = ZarrField {
        row: row.to_owned(),
        column: column.to_owned(),
        image: format!("{site}{time}"),
    };
    Some((plate.clone(), place))
}

/// What a group says of itself; `None` where there is none, or none of the program's.
fn said_of(group: &Path) -> Option<Value> {
    let text = std::fs::read_to_string(group.join("zarr.json")).ok()?;
    let said: Value = serde_json::from_str(&text).ok()?;
    said["attributes"].get(OURS).cloned()
}

/// The labels that a field has.
fn names(cells: bool) -> &'static [&'static str] {
    match cells {
        true => &["classes", "nuclei", "cells"],
        false => &["classes", "nuclei"],
    }
}

/// Whether the group of a field is there with all of its labels, made by `model`.
pub(super) fn exists(out: &Path, field: &Field, model: &str, cells: bool) -> bool {
    let group = place_of(out, field);
    let is_there = |name: &&str| group.join("labels").join(name).join("zarr.json").is_file();
    said_of(&group).is_some_and(|said| said["made"].as_str().is_some_and(|m| m.contains(model)))
        && names(cells).iter().all(is_there)
}

/// Refuses to replace a group that the program did not write.
///
/// # Errors
/// There is one at the place of the field.
pub(super) fn check(out: &Path, field: &Field) -> Result<(), ProjectError> {
    let group = place_of(out, field);
    match group.exists() && said_of(&group).is_none() {
        true => Err(ProjectError::Exists(format!(
            "`{}` is there and not of `predict`; choose a folder of its own for the results with \
             `--out`",
            group.display()
        ))),
        false => Ok(()),
    }
}

/// Deletes the group of a field that an earlier run has made: it would pass for this run's.
///
/// # Errors
/// It is there and stays.
pub(super) fn remove(out: &Path, field: &Field) -> Result<(), ProjectError> {
    let group = place_of(out, field);
    if said_of(&group).is_none() {
        return Ok(());
    }
    std::fs::remove_dir_all(&group).map_err(|error| ProjectError::write(&group, &error))
}

/// What a group is made of.
pub(super) struct Shown<'a> {
    pub(super) field: &'a Field,
    pub(super) brightfield: &'a Brightfield,
    pub(super) planes: Vec<Plane>,
    pub(super) classes: &'a Image<u8>,
    pub(super) nuclei: &'a Image<u32>,
    pub(super) cells: Option<&'a Image<u32>>,
    /// Names of the classes.
    pub(super) names: &'a [String],
    /// Where it comes from.
    pub(super) note: Note,
}

/// Writes the group of a field.
///
/// # Errors
/// A file cannot be written.
pub(super) fn put(out: &Path, shown: Shown) -> Result<(), ProjectError> {
    let group = place_of(out, shown.field);
    if let Some(parent) = group.parent() {
        crate::study::disk::create_folder(parent)?;
    }
    let pixel_um = shown.note.pixel_um;
    put_image(
        &group,
        shown.brightfield,
        shown.field,
        shown.planes,
        &shown.note,
    )?;
    let classes = shown.classes.map(|&class| u32::from(class));
    let colours = pictures::class_colours(shown.names);
    let colour_of = |value: u32, [r, g, b]: [u8; 3]| (value, [r, g, b, 255]);
    let of_classes = colours
        .into_iter()
        .zip(0..)
        .skip(1)
        .map(|(c, value)| colour_of(value, c));
    let properties = shown
        .names
        .iter()
        .zip(0u32..)
        .skip(1)
        .map(|(name, value)| (value, BTreeMap::from([("class".to_owned(), json!(name))])));
    put_labels(
        &group,
        "classes",
        &classes,
        pixel_um,
        of_classes.collect(),
        properties.collect(),
    )?;
    let kinds = [("nuclei", Some(shown.nuclei)), ("cells", shown.cells)];
    for (name, labels) in kinds.into_iter().filter_map(|(name, l)| Some((name, l?))) {
        let areas = stainfree_objects::areas(labels);
        let colours = areas
            .keys()
            .map(|&label| colour_of(label, label_colour(label)))
            .collect();
        let of = |(&label, &area): (&u32, &usize)| {
            let mut known = BTreeMap::from([("area_px".to_owned(), json!(area))]);
            if let Some(um) = pixel_um {
                known.insert("area_um2".to_owned(), json!(area as f64 * um * um));
            }
            (label, known)
        };
        let properties = areas.iter().map(of).collect();
        put_labels(&group, name, labels, pixel_um, colours, properties)?;
    }
    Ok(())
}

/// A colour for a label, far from those of its neighbours: hues in steps of the golden angle.
fn label_colour(label: u32) -> [u8; 3] {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let hue = (f64::from(label) * GOLDEN).fract() * 6.0;
    [5.0, 3.0, 1.0].map(|offset| {
        let at = (hue + offset) % 6.0;
        let share = at.min(4.0 - at).clamp(0.0, 1.0);
        (255.0 * (1.0 - 0.75 * share)) as u8
    })
}

fn put_labels(
    group: &Path,
    name: &str,
    labels: &Image<u32>,
    pixel_um: Option<f64>,
    colours: BTreeMap<u32, [u8; 4]>,
    properties: BTreeMap<u32, BTreeMap<String, Value>>,
) -> Result<(), ProjectError> {
    let said = ZarrLabels {
        name,
        labels,
        pixel_um,
        colours,
        properties,
    };
    Ok(ome_zarr_labels(group, &said)?)
}

/// Writes the brightfield planes as the image of the group: channels where they are channels, else
/// planes along z.
fn put_image(
    group: &Path,
    brightfield: &Brightfield,
    field: &Field,
    planes: Vec<Plane>,
    note: &Note,
) -> Result<(), ProjectError> {
    let samples: Vec<Samples> = planes.into_iter().map(Samples::from).collect();
    let along_z = brightfield.channels.len() == 1;
    let count = samples.len();
    let channels = match (along_z, count) {
        (true, _) | (_, 1) => vec!["Brightfield".to_owned()],
        _ => (1..=count).map(|i| format!("Brightfield {i}")).collect(),
    };
    let types = samples.iter().map(Samples::pixel_type);
    let image = OmeTiff {
        name: field.name.clone(),
        text: String::new(),
        size: (field.height, field.width),
        planes: if along_z { count } else { 1 },
        times: 1,
        channels,
        pixel_type: types.max().unwrap_or(PixelType::U8),
        pixel_um: note.pixel_um,
        z_step_um: None,
        shrink: Shrink::Mean,
    };
    let said = json!({ "made": note.text, "field": field.name });
    let more = ZarrMore {
        attributes: BTreeMap::from([(OURS.to_owned(), said)]),
        ..ZarrMore::default()
    };
    ome_zarr(group, &image, &more, |place| {
        Ok::<_, ProjectError>(samples.get(place.z.max(place.channel)).cloned())
    })
}

/// [`put`] of a field that was predicted before, from its files.
///
/// # Errors
/// A file or the image cannot be read, or a file cannot be written.
pub(super) fn put_files(
    store: &Store,
    out: &Path,
    field: &Field,
    brightfield: &Brightfield,
    names: &[String],
    cells: bool,
) -> Result<(), ProjectError> {
    let path = store.path(Product::Nuclei, &field.name);
    let Some(said) = stainfree_image::marker::note_of(&path) else {
        return Err(ProjectError::Field(format!(
            "`{}` does not say what it was made from",
            path.display()
        )));
    };
    let read = |product| store.labels(product, &field.name);
    let cells = cells.then(|| read(Product::Cells)).transpose()?;
    let shown = Shown {
        field,
        brightfield,
        planes: brightfield.read(field)?,
        classes: &store.classes(&field.name)?,
        nuclei: &read(Product::Nuclei)?,
        cells: cells.as_ref(),
        names,
        note: Note {
            text: format!(
                "stainfree {}",
                said.replacen(": nuclei of", ": results of", 1)
            ),
            pixel_um: field.pixel_um,
        },
    };
    put(out, shown)
}

/// Lists in every plate of these fields the wells and images that are there.
///
/// # Errors
/// A folder cannot be read or a file not be written.
pub(super) fn finish_plates<'a>(
    out: &Path,
    fields: impl Iterator<Item = &'a Field>,
) -> Result<(), ProjectError> {
    let mut plates: BTreeMap<String, ()> = BTreeMap::new();
    plates.extend(fields.filter_map(|field| Some((in_plate(field)?.0, ()))));
    for plate in plates.keys() {
        let folder = out.join(FOLDER).join(store_of(plate));
        let mut there = Vec::new();
        for row in folders(&folder) {
            for column in folders(&folder.join(&row)) {
                let well = folder.join(&row).join(&column);
                for image in folders(&well) {
                    if said_of(&well.join(&image)).is_some() {
                        there.push(ZarrField {
                            row: row.clone(),
                            column: column.clone(),
                            image,
                        });
                    }
                }
            }
        }
        if !there.is_empty() {
            ome_zarr_plate(&folder, plate, &there)?;
        }
    }
    Ok(())
}

/// The names of the folders in a folder, sorted; hidden ones are left out.
fn folders(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_folder = |entry: &std::fs::DirEntry| entry.path().is_dir();
    let names = entries
        .filter(is_folder)
        .map(|e| e.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_image::Position;

    #[test]
    fn fields_of_a_plate_lie_in_their_wells_and_others_by_their_names() {
        let field = |well: Option<&str>, time| Field {
            name: "f".into(),
            position: Position {
                name: "B02_s3".into(),
                plate: well.map(|_| "p1".to_owned()),
                well: well.map(str::to_owned),
                site: Some(3),
            },
            time,
            height: 1,
            width: 1,
            planes: Vec::new(),
            pixel_um: None,
            metadata: BTreeMap::new(),
        };
        let place = |well, time| {
            place_of(Path::new("o"), &field(well, time))
                .display()
                .to_string()
        };
        assert_eq!(place(Some("B02"), None), "o/zarr/p1.ome.zarr/B/02/3");
        assert_eq!(place(Some("AA12"), Some(4)), "o/zarr/p1.ome.zarr/AA/12/3t4");
        assert_eq!(place(None, None), "o/zarr/f.ome.zarr");
        assert_eq!(place(Some("odd"), None), "o/zarr/f.ome.zarr");
    }

    #[test]
    fn labels_have_colours_that_differ() {
        let colours: Vec<[u8; 3]> = (1..50).map(label_colour).collect();
        for (i, a) in colours.iter().enumerate() {
            assert!(a.iter().any(|&c| c > 100), "{a:?} is dark");
            assert!(!colours[..i].contains(a), "{a:?} twice");
        }
    }
}
