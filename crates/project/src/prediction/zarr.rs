//! Results as OME-Zarr 0.5: the brightfield of a field with classes, nuclei and whole cells as its
//! labels, fields of a plate in their wells.
//!
//! The class masks and labels in TIFF files are what other commands read; a store is made beside
//! them, of the same run or of files that are there. A group says of which model and image it is,
//! as files do, and a group that says nothing is never replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stainfree_image::write::{
    Note, OmeTiff, PixelType, Samples, Shrink, ZarrField, ZarrMore, ZarrSaid, ome_zarr_labels_rows,
    ome_zarr_plate, ome_zarr_rows,
};
use stainfree_image::{Field, Image, Plane, PlaneRef, Product, Region, Store, read_labels_region};

use crate::study::Brightfield;
use crate::{ProjectError, pictures};

/// The folder of the stores.
pub(super) const FOLDER: &str = "zarr";
/// Objects of which colours and areas are said one by one, at most: programs read that as a whole.
const MOST_LISTED: usize = 1 << 16;
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
    pub(super) pixels: Source<'a>,
    /// Names of the classes.
    pub(super) names: &'a [String],
    /// Where it comes from.
    pub(super) note: Note,
}

/// Where the pixels of a group come from.
pub(super) enum Source<'a> {
    /// All of them are at hand.
    Memory {
        planes: &'a [Plane],
        classes: &'a Image<u8>,
        nuclei: &'a Image<u32>,
        cells: Option<&'a Image<u32>>,
    },
    /// They are read row by row.
    Files {
        store: &'a Store,
        planes: &'a [PlaneRef],
        cells: bool,
    },
}

impl Source<'_> {
    /// Number of planes.
    fn planes(&self) -> usize {
        match self {
            Self::Memory { planes, .. } => planes.len(),
            Self::Files { planes, .. } => planes.len(),
        }
    }

    /// Whether there are whole cells.
    fn has_cells(&self) -> bool {
        match self {
            Self::Memory { cells, .. } => cells.is_some(),
            Self::Files { cells, .. } => *cells,
        }
    }

    /// Rows of a plane.
    fn rows(
        &self,
        plane: usize,
        rows: Range<usize>,
        width: usize,
    ) -> Result<Samples, ProjectError> {
        fn crop<T: Copy>(plane: &Image<T>, rows: Range<usize>) -> Image<T> {
            plane.crop(rows.start, 0, rows.len(), plane.width())
        }
        match self {
            Self::Memory { planes, .. } => Ok(match &planes[plane] {
                Plane::U8(plane) => Samples::U8(crop(plane, rows)),
                Plane::U16(plane) => Samples::U16(crop(plane, rows)),
                Plane::F32(plane) => Samples::F32(crop(plane, rows)),
            }),
            Self::Files { planes, .. } => {
                let at = Region {
                    y: rows.start,
                    x: 0,
                    height: rows.len(),
                    width,
                };
                Ok(Samples::from(planes[plane].read_region(at)?))
            }
        }
    }

    /// Rows of labels of a kind.
    fn labels(
        &self,
        kind: Product,
        field: &Field,
        rows: Range<usize>,
    ) -> Result<Image<u32>, ProjectError> {
        let (y, height, width) = (rows.start, rows.len(), field.width);
        match self {
            Self::Memory {
                classes,
                nuclei,
                cells,
                ..
            } => Ok(match (kind, cells) {
                (Product::Classes, _) => {
                    let classes = classes.crop(y, 0, height, width);
                    classes.map(|&class| u32::from(class))
                }
                (Product::Cells, Some(cells)) => cells.crop(y, 0, height, width),
                _ => nuclei.crop(y, 0, height, width),
            }),
            Self::Files { store, .. } => {
                let at = Region {
                    y,
                    x: 0,
                    height,
                    width,
                };
                Ok(read_labels_region(&store.path(kind, &field.name), at)?)
            }
        }
    }
}

/// Writes the group of a field.
///
/// # Errors
/// Pixels cannot be read, or a file cannot be written.
pub(super) fn put(out: &Path, shown: &Shown) -> Result<(), ProjectError> {
    let group = place_of(out, shown.field);
    if let Some(parent) = group.parent() {
        crate::study::disk::create_folder(parent)?;
    }
    put_image(&group, shown)?;
    let rgba = |[r, g, b]: [u8; 3]| [r, g, b, 255];
    let colours = pictures::class_colours(shown.names);
    let colours = colours.into_iter().zip(0u32..).skip(1);
    let names = shown.names.iter().zip(0u32..).skip(1);
    let said = ZarrSaid {
        name: names_of(Product::Classes),
        pixel_um: shown.note.pixel_um,
        colours: colours
            .map(|(colour, value)| (value, rgba(colour)))
            .collect(),
        properties: names
            .map(|(name, value)| (value, BTreeMap::from([("class".to_owned(), json!(name))])))
            .collect(),
    };
    put_labels(&group, shown, Product::Classes, &said)?;
    put_labels(
        &group,
        shown,
        Product::Nuclei,
        &said_of_objects(shown, Product::Nuclei)?,
    )?;
    if shown.pixels.has_cells() {
        put_labels(
            &group,
            shown,
            Product::Cells,
            &said_of_objects(shown, Product::Cells)?,
        )?;
    }
    Ok(())
}

/// What labels of a kind are called.
fn names_of(kind: Product) -> &'static str {
    kind.folder()
}

/// What is said of objects one by one: colours and areas, where they are not too many for a file
/// that is read as a whole.
fn said_of_objects(shown: &Shown, kind: Product) -> Result<ZarrSaid<'static>, ProjectError> {
    let pixel_um = shown.note.pixel_um;
    let mut areas: BTreeMap<u32, usize> = BTreeMap::new();
    for rows in pieces(shown.field.height) {
        let labels = shown.pixels.labels(kind, shown.field, rows)?;
        for run in labels.data().chunk_by(|a, b| a == b) {
            *areas.entry(run[0]).or_default() += run.len();
        }
    }
    areas.remove(&0);
    if areas.len() > MOST_LISTED {
        areas.clear();
    }
    let of = |(&label, &area): (&u32, &usize)| {
        let mut known = BTreeMap::from([("area_px".to_owned(), json!(area))]);
        if let Some(um) = pixel_um {
            known.insert("area_um2".to_owned(), json!(area as f64 * um * um));
        }
        (label, known)
    };
    let colour = |&label: &u32| {
        let [r, g, b] = label_colour(label);
        (label, [r, g, b, 255])
    };
    Ok(ZarrSaid {
        name: names_of(kind),
        pixel_um,
        colours: areas.keys().map(colour).collect(),
        properties: areas.iter().map(of).collect(),
    })
}

/// Rows that are read at once.
fn pieces(height: usize) -> impl Iterator<Item = Range<usize>> {
    const ROWS: usize = 256;
    (0..height)
        .step_by(ROWS)
        .map(move |top| top..(top + ROWS).min(height))
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
    shown: &Shown,
    kind: Product,
    said: &ZarrSaid,
) -> Result<(), ProjectError> {
    let size = (shown.field.height, shown.field.width);
    let rows = |rows| shown.pixels.labels(kind, shown.field, rows);
    ome_zarr_labels_rows(group, said, size, rows)
}

/// Writes the brightfield planes as the image of the group: channels where they are channels, else
/// planes along z.
fn put_image(group: &Path, shown: &Shown) -> Result<(), ProjectError> {
    let Shown {
        field,
        brightfield,
        pixels,
        note,
        ..
    } = shown;
    let along_z = brightfield.channels.len() == 1;
    let count = pixels.planes();
    let channels = match (along_z, count) {
        (true, _) | (_, 1) => vec!["Brightfield".to_owned()],
        _ => (1..=count).map(|i| format!("Brightfield {i}")).collect(),
    };
    // A row tells the type of all.
    let of_plane = |plane| pixels.rows(plane, 0..field.height.min(1), field.width);
    let first: Vec<Samples> = (0..count).map(of_plane).collect::<Result<_, _>>()?;
    let types = first.iter().map(Samples::pixel_type);
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
    ome_zarr_rows(group, &image, &more, |place, rows| {
        let plane = place.z.max(place.channel);
        pixels.rows(plane, rows, field.width).map(Some)
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
    let shown = Shown {
        field,
        brightfield,
        pixels: Source::Files {
            store,
            planes: &brightfield.sources(field)?,
            cells,
        },
        names,
        note: Note {
            text: format!(
                "stainfree {}",
                said.replacen(": nuclei of", ": results of", 1)
            ),
            pixel_um: field.pixel_um,
        },
    };
    put(out, &shown)
}

/// Lists in the stores of these plates the wells and images that are there.
///
/// # Errors
/// A folder cannot be read or a file not be written.
pub(super) fn finish_plates(out: &Path, plates: BTreeSet<&str>) -> Result<(), ProjectError> {
    for plate in plates {
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
