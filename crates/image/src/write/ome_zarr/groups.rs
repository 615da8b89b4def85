//! Groups around images: the labels in an image, and plates of wells.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::Path;

use serde_json::{Value, json};

use super::metadata::{self, Axes};
use super::rows::PlaneRows;
use super::{FILE, ROWS, Unfinished, ZarrMore, chunk, levels, put_json};
use crate::write::{OmeTiff, PixelType, PlaneOf, Shrink};
use crate::{Image, ImageError};

/// Labels of an image.
#[derive(Clone, Debug)]
pub struct ZarrLabels<'a> {
    /// 0 is background. Of the size of the image's planes.
    pub labels: &'a Image<u32>,
    /// What is said of them.
    pub said: ZarrSaid<'a>,
}

/// What is said of labels.
#[derive(Clone, Debug)]
pub struct ZarrSaid<'a> {
    /// What they are called; their group has this name.
    pub name: &'a str,
    /// Pixel size in µm; `None` writes none.
    pub pixel_um: Option<f64>,
    /// Colours of labels, red, green, blue and alpha.
    pub colours: BTreeMap<u32, [u8; 4]>,
    /// What is known of labels, by key.
    pub properties: BTreeMap<u32, BTreeMap<String, Value>>,
}

/// Writes labels into the group `image`, beside those that are there. Labels of the same name are
/// replaced.
///
/// # Errors
/// [`ImageError::Write`] if a file cannot be written; [`ImageError::Misuse`] if there are no
/// pixels, or the name is none of a folder.
pub fn ome_zarr_labels(image: &Path, labels: &ZarrLabels<'_>) -> Result<(), ImageError> {
    let pixels = labels.labels;
    let rows = |these: Range<usize>| Ok(pixels.crop(these.start, 0, these.len(), pixels.width()));
    ome_zarr_labels_rows(image, &labels.said, pixels.size(), rows)
}

/// As [`ome_zarr_labels`], of rows that `rows` gives when it is asked for them, from the top down.
///
/// # Errors
/// As [`ome_zarr_labels`], and those of `rows`.
pub fn ome_zarr_labels_rows<E: From<ImageError>>(
    image: &Path,
    said: &ZarrSaid<'_>,
    size: (usize, usize),
    rows: impl FnMut(Range<usize>) -> Result<Image<u32>, E>,
) -> Result<(), E> {
    let parent = image.join("labels");
    let folder = parent.join(said.name);
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if said.name.is_empty() || said.name.starts_with('.') || !said.name.chars().all(is_name) {
        let misuse = ImageError::Misuse {
            what: format!(
                "labels in `{}` cannot be called `{}`",
                image.display(),
                said.name
            ),
            way_out: "name them by letters and digits".into(),
        };
        return Err(misuse.into());
    }
    let described = OmeTiff {
        name: said.name.to_string(),
        text: String::new(),
        size,
        planes: 1,
        times: 1,
        channels: vec![String::new()],
        pixel_type: PixelType::U32,
        pixel_um: said.pixel_um,
        z_step_um: None,
        shrink: Shrink::Nearest,
    };
    described.check(&folder)?;
    let write = |error| ImageError::write(&folder, error);
    std::fs::create_dir_all(&parent).map_err(write)?;
    let unfinished = Unfinished::beside(&folder)?;
    put_pixels(&unfinished.path, &described, rows, write)?;
    put_said(&unfinished.path, &described, said)
        .and_then(|()| unfinished.take_name(&folder))
        .and_then(|()| list_labels(&parent))
        .map_err(write)?;
    Ok(())
}

/// The axes of labels.
const AXES: Axes = Axes {
    time: false,
    channel: false,
    z: false,
};

fn put_pixels<E: From<ImageError>>(
    folder: &Path,
    described: &OmeTiff,
    mut rows: impl FnMut(Range<usize>) -> Result<Image<u32>, E>,
    write: impl Fn(io::Error) -> ImageError,
) -> Result<(), E> {
    let place = PlaneOf {
        z: 0,
        channel: 0,
        time: 0,
    };
    let (height, width) = described.size;
    let file = PlaneRows::new(folder, AXES, place, described.size, Shrink::Nearest);
    let mut file = file.map_err(&write)?;
    for top in (0..height).step_by(ROWS) {
        let these = top..(top + ROWS).min(height);
        let labels = rows(these.clone())?;
        if labels.size() != (these.len(), width) {
            return Err(described.misuse(folder, "has other rows of labels").into());
        }
        for y in 0..labels.height() {
            file.push(labels.row(y)).map_err(&write)?;
        }
    }
    Ok(())
}

/// Writes what the group and its arrays say.
fn put_said(folder: &Path, described: &OmeTiff, said: &ZarrSaid<'_>) -> io::Result<()> {
    let levels = levels(described.size);
    for (level, &(height, width)) in levels.iter().enumerate() {
        let shape = [1, 1, 1, height, width];
        let chunk = chunk((height, width), described.size.1);
        let array = metadata::array(AXES, shape, chunk, PixelType::U32);
        put_json(&folder.join(level.to_string()), &array)?;
    }
    let mut label = json!({ "source": { "image": "../../" } });
    if !said.colours.is_empty() {
        let colour = |(value, rgba): (&u32, _)| json!({ "label-value": value, "rgba": rgba });
        label["colors"] = said.colours.iter().map(colour).collect();
    }
    if !said.properties.is_empty() {
        let of = |(value, known): (&u32, &BTreeMap<String, Value>)| {
            let mut all = json!({ "label-value": value });
            for (key, known) in known {
                all[key] = known.clone();
            }
            all
        };
        label["properties"] = said.properties.iter().map(of).collect();
    }
    let more = ZarrMore::default();
    let attributes = metadata::ome(json!({
        "multiscales": metadata::multiscales(described, AXES, &more, levels.len()),
        "image-label": label,
    }));
    put_json(folder, &metadata::group(Value::Object(attributes)))
}

/// Lists the labels that are there.
fn list_labels(parent: &Path) -> io::Result<()> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(parent)? {
        let path = entry?.path();
        let name = crate::names::file_name(&path);
        if !name.starts_with('.') && path.join(FILE).is_file() {
            names.insert(name);
        }
    }
    let attributes = metadata::ome(json!({ "labels": names }));
    put_json(parent, &metadata::group(Value::Object(attributes)))
}

/// A field of a plate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZarrField {
    /// Of its well, such as `B`.
    pub row: String,
    /// Of its well, such as `03`.
    pub column: String,
    /// Of the image within the well.
    pub image: String,
}

impl ZarrField {
    /// Its path in the plate.
    pub fn path(&self) -> String {
        format!("{}/{}/{}", self.row, self.column, self.image)
    }
}

/// Writes what a plate says of its wells, and wells of their images, which are there already (see
/// [`ome_zarr`](super::ome_zarr)). All are of one acquisition.
///
/// # Errors
/// [`ImageError::Write`] if a file cannot be written.
pub fn ome_zarr_plate(folder: &Path, name: &str, fields: &[ZarrField]) -> Result<(), ImageError> {
    put_wells(folder, name, fields).map_err(|error| ImageError::write(folder, error))
}

fn put_wells(folder: &Path, name: &str, fields: &[ZarrField]) -> io::Result<()> {
    let mut wells: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for field in fields {
        let images = wells.entry((&field.row, &field.column)).or_default();
        images.push(&field.image);
    }
    // Rows beyond `Z` have two letters, which come after those of one.
    let rows: BTreeSet<_> = wells.keys().map(|(row, _)| (row.len(), *row)).collect();
    let rows: Vec<&str> = rows.into_iter().map(|(_, row)| row).collect();
    let columns: BTreeSet<_> = wells.keys().map(|(_, c)| (c.len(), *c)).collect();
    let columns: Vec<&str> = columns.into_iter().map(|(_, column)| column).collect();
    for row in &rows {
        put_json(&folder.join(row), &metadata::group(json!({})))?;
    }
    for ((row, column), images) in &wells {
        let image = |path: &&str| json!({ "path": path, "acquisition": 0 });
        let images: Vec<Value> = images.iter().map(image).collect();
        let attributes = metadata::ome(json!({ "well": { "images": images } }));
        let group = metadata::group(Value::Object(attributes));
        put_json(&folder.join(row).join(column), &group)?;
    }
    let index = |all: &[&str], one: &str| all.iter().position(|other| *other == one);
    let well = |(row, column): &(&str, &str)| {
        json!({
            "path": format!("{row}/{column}"),
            "rowIndex": index(&rows, row),
            "columnIndex": index(&columns, column),
        })
    };
    let named = |all: &[&str]| {
        all.iter()
            .map(|name| json!({ "name": name }))
            .collect::<Vec<_>>()
    };
    let attributes = metadata::ome(json!({ "plate": {
        "version": metadata::VERSION,
        "name": name,
        "rows": named(&rows),
        "columns": named(&columns),
        "wells": wells.keys().map(well).collect::<Vec<_>>(),
        "field_count": wells.values().map(Vec::len).max(),
        "acquisitions": [{ "id": 0 }],
    } }));
    put_json(folder, &metadata::group(Value::Object(attributes)))
}
