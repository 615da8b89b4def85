//! Where a model and the truth disagree most: wrong truth is found by looking at ten pictures.
//!
//! A model that learnt from thousands of nuclei is rarely sure and wrong; where it is sure and the
//! truth says otherwise, the truth is worth a look. `evaluate` writes the ranking, `report` shows
//! the first ten.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stainfree_image::Image;
use stainfree_objects::IGNORED;

use crate::study::Study;
use crate::{Part, ProjectError};

/// Objects below this disagreement are not listed: the model is not sure either.
const LEAST: f64 = 0.5;

/// What disagrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A nucleus of the truth where the model sees none.
    OnlyInTruth,
    /// A nucleus of the model where the truth has none.
    OnlyInPrediction,
    /// A whole field.
    Field,
}

impl Kind {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Kind::OnlyInTruth => "only the truth has this nucleus",
            Kind::OnlyInPrediction => "only the model has this nucleus",
            Kind::Field => "the whole field",
        }
    }
}

/// A row of `disagreements.csv`; objects first, then fields, each with the strongest disagreement
/// first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disagreement {
    /// Name of the field.
    pub field: String,
    /// What disagrees.
    pub kind: Kind,
    /// Number of the nucleus in the truth's or the prediction's labels.
    pub label: Option<u32>,
    /// Centroid, pixels.
    pub y_px: Option<f64>,
    /// See `y_px`.
    pub x_px: Option<f64>,
    /// Area, pixels.
    pub area_px: Option<u64>,
    /// Object: how sure the model is of the contrary, the mean over its pixels, small objects
    /// counting less. Field: share of its pixels with another class.
    pub disagreement: f64,
}

/// Disagreements of one field.
///
/// `probabilities` has one plane a class, `nucleus` the classes that are nuclei. Ignored pixels
/// count nowhere.
pub(crate) fn of_field(
    field: &str,
    truth: &Image<u8>,
    true_nuclei: &Image<u32>,
    predicted: &Image<u8>,
    predicted_nuclei: &Image<u32>,
    probabilities: &[Image<f32>],
    nucleus: &[usize],
) -> Vec<Disagreement> {
    let sure = |i: usize| -> f64 {
        let planes = nucleus.iter().filter_map(|&class| probabilities.get(class));
        planes.map(|plane| f64::from(plane.data()[i])).sum()
    };
    let is_nucleus = |i: usize| nucleus.contains(&usize::from(truth.data()[i]));
    let kept = |i: usize| truth.data()[i] != IGNORED;
    let typical = typical_area(true_nuclei).max(1.0);
    let mut found = Vec::new();
    let missing = |i: usize| 1.0 - sure(i);
    let extra = |i: usize| if is_nucleus(i) { 0.0 } else { sure(i) };
    let sides: [Side; 2] = [
        (Kind::OnlyInTruth, true_nuclei, &missing),
        (Kind::OnlyInPrediction, predicted_nuclei, &extra),
    ];
    for (kind, labels, disagreement) in sides {
        for (label, object) in objects(labels, &kept, disagreement) {
            let weight = (object.pixels as f64 / typical).min(1.0);
            let value = weight * object.sum / (object.pixels.max(1) as f64);
            if value >= LEAST {
                let n = object.pixels as f64;
                found.push(Disagreement {
                    field: field.to_owned(),
                    kind,
                    label: Some(label),
                    y_px: Some((object.y / n * 10.0).round() / 10.0),
                    x_px: Some((object.x / n * 10.0).round() / 10.0),
                    area_px: Some(object.pixels),
                    disagreement: (value * 1e4).round() / 1e4,
                });
            }
        }
    }
    let all = (0..truth.data().len()).filter(|&i| kept(i)).count();
    let other = (0..truth.data().len())
        .filter(|&i| kept(i) && truth.data()[i] != predicted.data()[i])
        .count();
    found.push(Disagreement {
        field: field.to_owned(),
        kind: Kind::Field,
        label: None,
        y_px: None,
        x_px: None,
        area_px: None,
        disagreement: (other as f64 / all.max(1) as f64 * 1e4).round() / 1e4,
    });
    found
}

/// Labels of one side, and how much a pixel of theirs is contradicted by the other.
type Side<'a> = (Kind, &'a Image<u32>, &'a dyn Fn(usize) -> f64);

/// Sums over the kept pixels of an object.
#[derive(Clone, Copy, Default)]
struct Object {
    pixels: u64,
    y: f64,
    x: f64,
    sum: f64,
}

/// The objects by label, which is any number.
fn objects(
    labels: &Image<u32>,
    kept: &dyn Fn(usize) -> bool,
    value: &dyn Fn(usize) -> f64,
) -> BTreeMap<u32, Object> {
    let mut objects: BTreeMap<u32, Object> = BTreeMap::new();
    let width = labels.width();
    for (i, &label) in labels.data().iter().enumerate() {
        if label > 0 && kept(i) {
            let object = objects.entry(label).or_default();
            object.pixels += 1;
            object.y += (i / width) as f64;
            object.x += (i % width) as f64;
            object.sum += value(i);
        }
    }
    objects
}

/// Median area of the labels; 0 without any.
fn typical_area(labels: &Image<u32>) -> f64 {
    let mut sizes: Vec<u64> = objects(labels, &|_| true, &|_| 0.0)
        .values()
        .map(|object| object.pixels)
        .collect();
    sizes.sort_unstable();
    sizes.get(sizes.len() / 2).map_or(0.0, |&a| a as f64)
}

/// `models/NAME/disagreements.csv`, of another part than the test fields `disagreements-PART.csv`.
pub(crate) fn path(study: &Study, model: &str, part: Part) -> PathBuf {
    let name = match part {
        Part::Test => "disagreements.csv".to_owned(),
        part => format!("disagreements-{part}.csv"),
    };
    study.model_path(model).join(name)
}

/// Writes the ranking.
pub(crate) fn write(path: &Path, mut rows: Vec<Disagreement>) -> Result<(), ProjectError> {
    rows.sort_by(|a, b| {
        let last = |row: &Disagreement| row.kind == Kind::Field;
        last(a)
            .cmp(&last(b))
            .then(b.disagreement.total_cmp(&a.disagreement))
            .then_with(|| a.field.cmp(&b.field))
            .then(a.label.cmp(&b.label))
    });
    crate::study::table::write(path, &rows)
}

/// Reads the ranking; empty where there is none.
pub(crate) fn read(path: &Path) -> Result<Vec<Disagreement>, ProjectError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    crate::study::table::read(path, &["field"], "run `stainfree evaluate` again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sure_contradiction_is_listed_and_an_unsure_or_ignored_one_is_not() {
        // Four squares of 10 x 10: agreed, only in the truth, only in the prediction, unsure.
        let square = |x: usize| x / 20 + 1;
        let inside = |y: usize, x: usize| (5..15).contains(&y) && (5..15).contains(&(x % 20));
        let pick = |numbers: &[usize]| {
            let numbers = numbers.to_vec();
            Image::from_fn(20, 80, move |y, x| {
                if inside(y, x) && numbers.contains(&square(x)) {
                    square(x) as u32
                } else {
                    0
                }
            })
        };
        let (truth_labels, predicted_labels) = (pick(&[1, 2, 4]), pick(&[1, 3]));
        let p = Image::from_fn(20, 80, |y, x| match (inside(y, x), square(x)) {
            (true, 1 | 3) => 0.95,
            (true, 4) => 0.6,
            _ => 0.05,
        });
        let mut truth = truth_labels.map(|&l| u8::from(l > 0));
        let predicted = predicted_labels.map(|&l| u8::from(l > 0));
        let planes = [p.map(|&v| 1.0 - v), p];
        let found = |truth: &Image<u8>| -> Vec<(Kind, Option<u32>)> {
            of_field(
                "f",
                truth,
                &truth_labels,
                &predicted,
                &predicted_labels,
                &planes,
                &[1],
            )
            .iter()
            .map(|row| (row.kind, row.label))
            .collect()
        };
        assert_eq!(
            found(&truth),
            [
                (Kind::OnlyInTruth, Some(2)),
                (Kind::OnlyInPrediction, Some(3)),
                (Kind::Field, None)
            ]
        );
        for (value, &label) in truth.data_mut().iter_mut().zip(truth_labels.data()) {
            if label == 2 {
                *value = IGNORED;
            }
        }
        assert_eq!(
            found(&truth),
            [(Kind::OnlyInPrediction, Some(3)), (Kind::Field, None)]
        );
    }
    #[test]
    fn small_objects_count_less_and_mitotic_nuclei_are_nuclei() {
        // A nucleus of 100 pixels, one of 25, and one that the model calls mitotic.
        let labels = Image::from_fn(12, 40, |y, x| match (y, x) {
            (1..=10, 1..=10) => 1u32,
            (1..=5, 15..=19) => 2,
            (1..=10, 25..=34) => 3,
            _ => 0,
        });
        let truth = labels.map(|&label| u8::from(label > 0));
        let nothing = Image::filled(12, 40, 0u32);
        let empty = Image::filled(12, 40, 0u8);
        let mitotic = Image::from_fn(12, 40, |_, x| if x > 22 { 0.9f32 } else { 0.0 });
        let nucleus = Image::filled(12, 40, 0.05f32);
        let planes = [nucleus.clone(), nucleus, mitotic];
        let found = of_field("f", &truth, &labels, &empty, &nothing, &planes, &[1, 2]);
        let listed: Vec<(Option<u32>, f64)> = found
            .iter()
            .map(|row| (row.label, row.disagreement))
            .collect();
        // Sure by 0.95 that the first is none; of the second, a quarter of the usual area, that is
        // too little to be listed; the third is one for the model as well.
        assert_eq!(listed[0], (Some(1), 0.95));
        assert_eq!(listed.len(), 2, "{listed:?}");
        let share = 225.0 / 480.0;
        assert!((listed[1].1 - share).abs() < 1e-4, "{listed:?}");
        let place = (found[0].y_px, found[0].x_px, found[0].area_px);
        assert_eq!(place, (Some(5.5), Some(5.5), Some(100)));
    }

    #[test]
    fn the_ranking_has_the_strongest_objects_first_and_fields_behind_them() {
        let row = |field: &str, kind, label, disagreement| Disagreement {
            field: field.to_owned(),
            kind,
            label,
            y_px: label.map(|_| 1.5),
            x_px: label.map(|_| 2.0),
            area_px: label.map(|_| 30),
            disagreement,
        };
        let rows = vec![
            row("a", Kind::Field, None, 0.9),
            row("b, \"c\"", Kind::OnlyInPrediction, Some(2), 0.6),
            row("a", Kind::OnlyInTruth, Some(9), 0.7),
            row("a", Kind::OnlyInTruth, Some(1), 0.7),
            row("d", Kind::Field, None, 1.0),
        ];
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("disagreements.csv");
        assert!(read(&path).unwrap().is_empty());
        write(&path, rows).unwrap();
        let found = read(&path).unwrap();
        let order: Vec<(&str, Option<u32>)> = found
            .iter()
            .map(|row| (&row.field[..], row.label))
            .collect();
        let expected = [
            ("a", Some(1)),
            ("a", Some(9)),
            ("b, \"c\"", Some(2)),
            ("d", None),
            ("a", None),
        ];
        assert_eq!(order, expected);
        assert_eq!(found[0].y_px, Some(1.5));
        // A word that is none is told with the way out.
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen(",field,", ",plate,", 1)).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("column `kind` holds `plate`"), "{error}");
        assert!(error.ends_with("run `stainfree evaluate` again"), "{error}");
    }
}
