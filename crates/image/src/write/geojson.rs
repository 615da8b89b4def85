//! Outlines as QuPath reads them: a GeoJSON collection of features.
//!
//! Read from QuPath's `PathObjectTypeAdapters` and `ROITypeAdapters`: `objectType` says what a
//! feature becomes; a cell has both outlines in one feature, `geometry` and `nucleusGeometry`;
//! `id` is a UUID of any version; `measurements` are names with numbers; members it does not know
//! are left alone. Coordinates are pixels of the full image, from its upper left corner. Names of
//! measurements are QuPath's own, which has them in µm where the image has a pixel size.
//!
//! Nothing but ASCII is written: QuPath before 0.5 reads the file in the system's encoding.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::AtomicFile;
use crate::ImageError;
use crate::outline::{Outline, Outlines, Ring};

/// How every such file of this program begins.
pub const GEOJSON_NOTE: &str = "{\"type\":\"FeatureCollection\",\"generator\":\"stainfree ";

/// Classes of QuPath, with the colours they are shown in.
const NUCLEUS: (&str, [u8; 3]) = ("Nucleus", [200, 0, 0]);
const CELL: (&str, [u8; 3]) = ("Cell", [0, 160, 0]);

/// Writes the outlines of the image `field` with their areas; `pixel_um` is its pixel size in µm.
///
/// Cells become cells with their nucleus, where they have one; the other nuclei become detections.
///
/// # Errors
/// [`ImageError::Write`] if the file cannot be written.
pub fn geojson(
    path: &Path,
    field: &str,
    outlines: &Outlines,
    pixel_um: Option<f64>,
) -> Result<(), ImageError> {
    let mut file = GeoJsonRows::create(path, field, pixel_um)?;
    let sure = |nucleus: &Outline| outlines.confidences.get(&nucleus.label).copied();
    let mut in_cell = vec![false; outlines.nuclei.len()];
    for cell in &outlines.cells {
        let nucleus = cell.nucleus.and_then(|place| outlines.nuclei.get(place));
        if let (Some(place), Some(_)) = (cell.nucleus, nucleus) {
            in_cell[place] = true;
        }
        file.cell(&cell.outline, nucleus.map(|one| (one, sure(one))))?;
    }
    for (nucleus, in_cell) in outlines.nuclei.iter().zip(in_cell) {
        if !in_cell {
            file.nucleus(nucleus, sure(nucleus))?;
        }
    }
    file.finish()
}

/// Such a file whose objects come one after the other, so that there may be more than memory holds.
pub struct GeoJsonRows {
    path: PathBuf,
    file: BufWriter<AtomicFile>,
    field: String,
    pixel_um: Option<f64>,
    between: &'static str,
}

impl GeoJsonRows {
    /// Begins the file of the image `field`; `pixel_um` is its pixel size in µm.
    ///
    /// # Errors
    /// [`ImageError::Write`] if it cannot be made.
    pub fn create(path: &Path, field: &str, pixel_um: Option<f64>) -> Result<Self, ImageError> {
        let mut made = Self {
            path: path.to_owned(),
            file: BufWriter::new(AtomicFile::create(path)?),
            field: field.to_owned(),
            pixel_um,
            between: "\n",
        };
        made.put(&format!(
            "{GEOJSON_NOTE}{} outlines of field {}\",\"features\":[",
            env!("CARGO_PKG_VERSION"),
            escaped(field)
        ))?;
        Ok(made)
    }

    /// Adds a nucleus that lies in no cell, and how sure it is, where that is known.
    ///
    /// # Errors
    /// [`ImageError::Write`] if the file cannot be written.
    pub fn nucleus(&mut self, nucleus: &Outline, sure: Option<f64>) -> Result<(), ImageError> {
        let areas = area("", nucleus, self.pixel_um);
        let sure = confidence("", sure);
        let measurements = format!("\"Label\":{},{areas}{sure}", nucleus.label);
        let id = id(&self.field, "nucleus", nucleus.label);
        self.add(&feature(
            &id,
            &geometry(nucleus),
            "detection",
            NUCLEUS,
            &measurements,
        ))
    }

    /// Adds a whole cell with its nucleus, and how sure that is.
    ///
    /// # Errors
    /// [`ImageError::Write`] if the file cannot be written.
    pub fn cell(
        &mut self,
        cell: &Outline,
        nucleus: Option<(&Outline, Option<f64>)>,
    ) -> Result<(), ImageError> {
        let mut shapes = geometry(cell);
        let areas = area("Cell: ", cell, self.pixel_um);
        let mut measurements = format!("\"Label\":{},{areas}", cell.label);
        if let Some((nucleus, sure)) = nucleus {
            put(
                &mut shapes,
                format_args!(",\"nucleusGeometry\":{}", geometry(nucleus)),
            );
            put(
                &mut measurements,
                format_args!(
                    ",\"Nucleus: Label\":{},{},\"Nucleus/Cell area ratio\":{}{}",
                    nucleus.label,
                    area("Nucleus: ", nucleus, self.pixel_um),
                    nucleus.area() as f64 / cell.area() as f64,
                    confidence("Nucleus: ", sure)
                ),
            );
        }
        let id = id(&self.field, "cell", cell.label);
        self.add(&feature(&id, &shapes, "cell", CELL, &measurements))
    }

    /// Ends the file and gives it its name.
    ///
    /// # Errors
    /// [`ImageError::Write`] if it cannot be written.
    pub fn finish(mut self) -> Result<(), ImageError> {
        self.put("\n]}\n")?;
        let Self { path, file, .. } = self;
        let file = file.into_inner();
        file.map_err(|error| ImageError::write(&path, error.into_error()))?
            .commit()
    }

    fn add(&mut self, feature: &str) -> Result<(), ImageError> {
        let between = std::mem::replace(&mut self.between, ",\n");
        self.put(between)?;
        self.put(feature)
    }

    fn put(&mut self, text: &str) -> Result<(), ImageError> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|error| ImageError::write(&self.path, error))
    }
}

fn feature(
    id: &str,
    shapes: &str,
    object_type: &str,
    (class, [red, green, blue]): (&str, [u8; 3]),
    measurements: &str,
) -> String {
    format!(
        "{{\"type\":\"Feature\",\"id\":\"{id}\",\"geometry\":{shapes},\"properties\":\
         {{\"objectType\":\"{object_type}\",\"classification\":{{\"name\":\"{class}\",\
         \"color\":[{red},{green},{blue}]}},\"measurements\":{{{measurements}}}}}}}"
    )
}

/// The area by QuPath's name for it; escaped, since the unit is no ASCII.
fn area(prefix: &str, outline: &Outline, pixel_um: Option<f64>) -> String {
    let pixels = outline.area();
    match pixel_um {
        Some(um) => {
            let area = pixels as f64 * um * um;
            format!("\"{prefix}Area \\u00b5m^2\":{area}")
        }
        None => format!("\"{prefix}Area px^2\":{pixels}"),
    }
}

/// How sure a nucleus is, after a comma; nothing where it is not known.
fn confidence(prefix: &str, sure: Option<f64>) -> String {
    sure.map_or(String::new(), |sure| {
        format!(",\"{prefix}Confidence\":{sure:.4}")
    })
}

fn geometry(outline: &Outline) -> String {
    let mut text = String::new();
    let several = outline.parts.len() > 1;
    text.push_str(match several {
        true => "{\"type\":\"MultiPolygon\",\"coordinates\":[",
        false => "{\"type\":\"Polygon\",\"coordinates\":",
    });
    for (number, part) in outline.parts.iter().enumerate() {
        text.push_str(if number == 0 { "[" } else { ",[" });
        put_ring(&mut text, &part.outer);
        for hole in &part.holes {
            text.push(',');
            put_ring(&mut text, hole);
        }
        text.push(']');
    }
    text.push_str(if several { "]}" } else { "}" });
    text
}

/// A ring with its first corner at both ends.
fn put_ring(text: &mut String, ring: &Ring) {
    text.push('[');
    for (number, [x, y]) in ring.iter().chain(ring.first()).enumerate() {
        let between = if number == 0 { "" } else { "," };
        put(text, format_args!("{between}[{x},{y}]"));
    }
    text.push(']');
}

/// A UUID that an object of a field always has, so that results which are read twice are told to
/// be the same: version 8 of RFC 9562, from a hash of the names.
fn id(field: &str, kind: &str, label: u32) -> String {
    let mut hash = Sha256::new();
    for text in ["stainfree outline", field, kind] {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.update(label.to_le_bytes());
    let digest = hash.finalize();
    let mut bytes: Vec<u8> = digest.iter().take(16).copied().collect();
    bytes[6] = 0x80 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    let mut text = String::new();
    for (number, byte) in bytes.iter().enumerate() {
        if matches!(number, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        put(&mut text, format_args!("{byte:02x}"));
    }
    text
}

/// A text inside the quotes of JSON, in ASCII.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ b' '..=b'~') if byte != b'"' && byte != b'\\' => out.push(byte as char),
            _ => put(&mut out, format_args!("\\u{unit:04x}")),
        }
    }
    out
}

fn put(text: &mut String, more: std::fmt::Arguments) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(more);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outline::{CellOutline, OutlinePart};

    fn text(field: &str, outlines: &Outlines, pixel_um: Option<f64>) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.geojson");
        geojson(&path, field, outlines, pixel_um).expect("written");
        std::fs::read_to_string(&path).expect("read")
    }

    fn square(label: u32, [x, y]: [u32; 2], side: u32) -> Outline {
        let (right, below) = (x + side, y + side);
        let outer = vec![[x, y], [right, y], [right, below], [x, below]];
        let holes = Vec::new();
        let parts = vec![OutlinePart { outer, holes }];
        Outline { label, parts }
    }

    #[test]
    fn a_pixel_is_a_square_and_objects_keep_their_names() {
        let outlines = Outlines {
            nuclei: vec![square(7, [0, 0], 1)],
            ..Outlines::default()
        };
        let said = text("ü\"", &outlines, None);
        let value: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(
            value["generator"],
            format!(
                "stainfree {} outlines of field ü\"",
                env!("CARGO_PKG_VERSION")
            )
        );
        let feature = &value["features"][0];
        let corners = serde_json::json!([[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]);
        assert_eq!(feature["geometry"]["coordinates"], corners);
        assert_eq!(feature["properties"]["objectType"], "detection");
        let measured = serde_json::json!({"Label": 7, "Area px^2": 1});
        assert_eq!(feature["properties"]["measurements"], measured);
        assert_eq!(text("ü\"", &outlines, None), said);
        let ids = [
            id("a", "nucleus", 1),
            id("a", "cell", 1),
            id("a", "nucleus", 2),
            id("b", "nucleus", 1),
        ];
        let different: std::collections::BTreeSet<&String> = ids.iter().collect();
        assert_eq!(different.len(), ids.len());
        assert!(
            ids.iter().all(|id| id.len() == 36 && &id[14..15] == "8"),
            "{ids:?}"
        );
    }

    #[test]
    fn a_cell_holds_its_nucleus_and_the_others_stand_alone() {
        let cell = |label, nucleus| CellOutline {
            outline: square(label, [0, 0], 4),
            nucleus,
        };
        let outlines = Outlines {
            nuclei: vec![square(1, [1, 1], 2), square(2, [9, 9], 1)],
            cells: vec![cell(1, Some(0)), cell(5, None)],
            confidences: [(1, 0.75), (2, 0.5)].into(),
        };
        let said = text("f", &outlines, Some(0.5));
        let value: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let features = value["features"].as_array().expect("a list");
        let kinds: Vec<&str> = features
            .iter()
            .filter_map(|feature| feature["properties"]["objectType"].as_str())
            .collect();
        assert_eq!(kinds, ["cell", "cell", "detection"]);
        let measured = serde_json::json!({
            "Label": 1, "Cell: Area µm^2": 4, "Nucleus: Label": 1,
            "Nucleus: Area µm^2": 1, "Nucleus/Cell area ratio": 0.25, "Nucleus: Confidence": 0.75
        });
        assert_eq!(features[0]["properties"]["measurements"], measured);
        assert!(features[0].get("nucleusGeometry").is_some());
        assert!(features[1].get("nucleusGeometry").is_none());
        assert_eq!(features[2]["properties"]["measurements"]["Label"], 2);
        assert_eq!(features[2]["properties"]["measurements"]["Confidence"], 0.5);
    }
}
