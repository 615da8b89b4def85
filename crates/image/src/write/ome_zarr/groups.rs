//! Groups around images: the labels in an image, and plates of wells.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::metadata::{self, Axes};
use super::{FILE, Unfinished, ZarrMore, chunk, levels, put_json, put_plane};
use crate::write::{OmeTiff, PixelType, PlaneOf, Shrink};
use crate::{Image, ImageError};

/// Labels of an image.
#[derive(Clone, Debug)]
pub struct ZarrLabels<'a> {
    /// What they are called; their group has this name.
    pub name: &'a str,
    /// 0 is background. Of the size of the image's planes.
    pub labels: &'a Image<u32>,
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
pub fn ome_zarr_labels(image: &Path, said: &ZarrLabels<'_>) -> Result<(), ImageError> {
    let parent = image.join("labels");
    let folder = parent.join(said.name);
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if said.name.is_empty() || said.name.starts_with('.') || !said.name.chars().all(is_name) {
        return Err(ImageError::Misuse {
            what: format!(
                "labels in `{}` cannot be called `{}`",
                image.display(),
                said.name
            ),
            way_out: "name them by letters and digits".into(),
        });
    }
    let described = OmeTiff {
        name: said.name.to_string(),
        text: String::new(),
        size: said.labels.size(),
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
    put_labels(&unfinished.path, &described, said)
        .and_then(|()| unfinished.take_name(&folder))
        .and_then(|()| list_labels(&parent))
        .map_err(write)
}

fn put_labels(folder: &Path, described: &OmeTiff, said: &ZarrLabels<'_>) -> io::Result<()> {
    let axes = Axes {
        time: false,
        channel: false,
        z: false,
    };
    let place = PlaneOf {
        z: 0,
        channel: 0,
        time: 0,
    };
    put_plane(folder, axes, place, said.labels, Shrink::Nearest)?;
    let levels = levels(described.size);
    for (level, &(height, width)) in levels.iter().enumerate() {
        let shape = [1, 1, 1, height, width];
        let array = metadata::array(axes, shape, chunk((height, width)), PixelType::U32);
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
        "multiscales": metadata::multiscales(described, axes, &more, levels.len()),
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
