//! How sure every predicted nucleus of a field is: told from what the network says, and kept in
//! `confidence/NAME.csv` beside the labels.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use stainfree_image::table::Table;
use stainfree_image::{Dataset, Field, Image, Product, Store, write, write_atomic};
use stainfree_inference::confidence::{Count, CountOf, SureNucleus};
use stainfree_inference::{Confidence, NucleusDecoder, Pixels, cytoplasm_class};

use crate::ProjectError;
use crate::prediction::areas::{ExpectedAreas, WellAreas};
use crate::prediction::table::Rows;
use crate::study::predictions::{EXPECTED, INTERVAL};

/// Columns of a field's table.
const COLUMNS: [&str; 5] = ["label", "y_px", "x_px", "area_px", "confidence"];

/// The nuclei of a field with their confidences.
pub(crate) struct Sure {
    nuclei: Vec<SureNucleus>,
    /// The true nuclei that are expected in the field.
    pub(crate) count: Count,
    /// The probability of its interval.
    level: Option<f64>,
    /// The areas that are expected, where that can be told.
    areas: Option<ExpectedAreas>,
}

impl Sure {
    /// Of the nuclei `labels` that `decoder` made of `pixels`.
    pub(crate) fn of(
        field: &Field,
        pixels: &Pixels,
        labels: &Image<u32>,
        decoder: &NucleusDecoder,
        confidence: &Confidence,
    ) -> Self {
        let table = decoder.features(pixels, labels, field.pixel_um, confidence.in_pixels);
        let cytoplasm = cytoplasm_class(&decoder.classes).map(|class| {
            let of_class = |c: &&u8| **c == class;
            pixels.classes.data().iter().filter(of_class).count()
        });
        let pixel_um = field.pixel_um.or(decoder.pixel_um);
        Self::of_nuclei(confidence.nuclei(&table), confidence, (cytoplasm, pixel_um))
    }

    /// Of nuclei, by label, in a field with so many pixels of `cytoplasm`, where there is such a
    /// class, of that size.
    pub(crate) fn of_nuclei(
        nuclei: Vec<SureNucleus>,
        confidence: &Confidence,
        (cytoplasm, pixel_um): (Option<usize>, Option<f64>),
    ) -> Self {
        let sum = nuclei.iter().map(|nucleus| nucleus.confidence).sum();
        let count = confidence.counts.count(sum, CountOf::Field);
        let areas = ExpectedAreas::of_field(confidence, nuclei.iter(), cytoplasm, pixel_um);
        Self {
            areas,
            nuclei,
            level: count.interval.and(confidence.counts.level),
            count,
        }
    }

    /// Every nucleus.
    pub(crate) fn nuclei(&self) -> &[SureNucleus] {
        &self.nuclei
    }

    /// The confidence of every label.
    pub(crate) fn by_label(&self) -> BTreeMap<u32, f64> {
        let nuclei = self.nuclei.iter();
        nuclei
            .map(|nucleus| (nucleus.label, nucleus.confidence))
            .collect()
    }

    /// What `predictions.csv` says of it.
    pub(crate) fn cells(&self) -> Vec<(&'static str, String)> {
        let bound = |end: usize| {
            let interval = self.count.interval;
            interval.map_or(String::new(), |interval| format!("{:.2}", interval[end]))
        };
        let [low, high, level] = INTERVAL;
        let of_level = self.level.map_or(String::new(), |level| level.to_string());
        let mut cells = vec![
            (EXPECTED, format!("{:.3}", self.count.expected)),
            (low, bound(0)),
            (high, bound(1)),
            (level, of_level),
        ];
        cells.extend(self.areas.iter().flat_map(ExpectedAreas::cells));
        cells
    }

    /// Keeps the table of a field, and a map where that is wanted; their folders are there.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(crate) fn put(
        &self,
        store: &Store,
        name: &str,
        map_of: Option<(&Image<u32>, &write::Note)>,
    ) -> Result<(), ProjectError> {
        let mut text = format!("{}\n", COLUMNS.join(","));
        for nucleus in &self.nuclei {
            let ([y, x], area) = (nucleus.centroid, nucleus.area);
            let (label, confidence) = (nucleus.label, nucleus.confidence);
            // A string takes every line.
            let _ = writeln!(text, "{label},{y:.2},{x:.2},{area},{confidence:.4}");
        }
        write_atomic(&store.path(Product::Confidence, name), text.as_bytes())?;
        if let Some((labels, note)) = map_of {
            let by_label = self.by_label();
            let sure = |label: &u32| by_label.get(label).map_or(0.0, |sure| *sure as f32);
            store.put_planes(Product::ConfidenceMap, name, &[labels.map(sure)], note)?;
        }
        Ok(())
    }
}

/// Area in px and confidence of nuclei, by label.
pub(crate) type Kept = BTreeMap<u32, (usize, f64)>;

/// Label, area and confidence of the nuclei of a field as they were kept; `None` where nothing was.
///
/// # Errors
/// The table cannot be read.
pub(crate) fn read(path: &Path) -> Result<Option<Kept>, ProjectError> {
    if !path.is_file() {
        return Ok(None);
    }
    let table = Table::read(path)?;
    let columns = ["label", "area_px", "confidence"].map(|name| table.column(name));
    let [Some(label), Some(area), Some(confidence)] = columns else {
        return Err(ProjectError::Table {
            path: path.to_owned(),
            line: Some(1),
            message: "the columns `label`, `area_px` and `confidence` are expected; predict the \
                      field again with `--overwrite`"
                .to_owned(),
        });
    };
    let row = |row: &stainfree_image::table::Row| {
        let sure = row.cell(confidence).parse().ok()?;
        Some((
            row.cell(label).parse().ok()?,
            (row.cell(area).parse().ok()?, sure),
        ))
    };
    Ok(Some(table.rows.iter().filter_map(row).collect()))
}

/// What a well holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WellCount {
    /// Its name, with that of its plate where that is known.
    pub well: String,
    /// Fields that are done.
    pub fields: usize,
    /// Expected number of true nuclei, and its interval.
    #[serde(flatten)]
    pub count: Count,
    /// The probability of the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
    /// The areas that are expected, where that can be told; intervals of the same probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub areas: Option<ExpectedAreas>,
}

/// The wells of `sets`, from the rows of their fields; fields without a count are in none.
pub(crate) fn wells(
    sets: &[Dataset],
    rows: &Rows,
    header: &[String],
    confidence: &Confidence,
) -> Vec<WellCount> {
    let mut wells: BTreeMap<String, (usize, f64, WellAreas)> = BTreeMap::new();
    let place = |name: &str| header.iter().position(|column| column == name);
    for field in sets.iter().flat_map(|set| &set.fields) {
        let cell = |name: &str| rows.get(&field.name)?.get(place(name)?).cloned();
        let expected = cell(EXPECTED).and_then(|cell| cell.parse::<f64>().ok());
        let (Some(_), Some(expected)) = (&field.position.well, expected) else {
            continue;
        };
        let well = wells.entry(field.position.well_or_name()).or_default();
        well.0 += 1;
        well.1 += expected;
        well.2.add(cell);
    }
    let rule = &confidence.counts;
    let count = |(well, (fields, expected, areas)): (String, (usize, f64, WellAreas))| {
        let confidences = expected / rule.per_found;
        let count = rule.count(confidences, CountOf::Well);
        let rules = confidence.areas.as_ref();
        WellCount {
            well,
            fields,
            level: count.interval.and(rule.level),
            count,
            areas: rules.and_then(|rules| areas.finish(rules, confidences)),
        }
    };
    wells.into_iter().map(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sure() -> Sure {
        let nucleus = |label, confidence| SureNucleus {
            label,
            centroid: [1.0, 2.0],
            area: 3,
            confidence,
        };
        Sure {
            nuclei: vec![nucleus(2, 0.25), nucleus(9, 0.75)],
            count: Count {
                expected: 1.25,
                interval: None,
            },
            level: None,
            areas: None,
        }
    }

    #[test]
    fn what_is_put_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        for product in [Product::Confidence, Product::ConfidenceMap] {
            std::fs::create_dir(store.folder(product)).unwrap();
        }
        let labels = Image::new(1, 4, vec![0, 2, 9, 2]);
        let note = write::Note::default();
        sure().put(&store, "f", Some((&labels, &note))).unwrap();
        let path = store.path(Product::Confidence, "f");
        let read = read(&path).unwrap().unwrap();
        assert_eq!(read, [(2, (3, 0.25)), (9, (3, 0.75))].into());
        let map = stainfree_image::read_plane(&store.path(Product::ConfidenceMap, "f"), 0);
        assert_eq!(map.unwrap().to_f32().data(), [0.0, 0.25, 0.75, 0.25]);
        assert_eq!(super::read(&folder.path().join("none.csv")).unwrap(), None);
        std::fs::write(&path, "label,sure\n1,1\n").unwrap();
        let error = super::read(&path).unwrap_err().to_string();
        assert!(error.contains("`area_px`"), "{error}");
    }

    #[test]
    fn a_count_without_an_interval_leaves_its_cells_empty() {
        let cells = |sure: &Sure| -> Vec<String> {
            sure.cells().into_iter().map(|(_, cell)| cell).collect()
        };
        assert_eq!(cells(&sure()), ["1.250", "", "", ""]);
        let mut held = sure();
        (held.count.interval, held.level) = (Some([0.0, 7.5]), Some(0.8));
        assert_eq!(cells(&held), ["1.250", "0.00", "7.50", "0.8"]);
    }
}
