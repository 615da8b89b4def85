//! The objects that are wrong: their table, and close-ups of the ten worst of each kind.
//!
//! `evaluate` writes `object-errors.csv` beside the scores and a contact sheet a kind into
//! `runs/NAME/PART/errors/`; `report` shows the same close-ups. What the kinds mean is in
//! [`stainfree_scores`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stainfree_image::{Image, write};
use stainfree_report::{
    Outlined, Subject, brightfield_picture, close_up, contact_sheet, outline_legend,
};
use stainfree_scores::{Fate, FieldScores, Scores, Side};

use crate::study::Study;
use crate::study::disk::{create_folder, remove};
use crate::study::guard::{check_file, is_our_png, is_table};
use crate::{Part, ProjectError};

/// Objects shown of each kind, and how many of them stand in a row of a sheet.
const SHOWN: usize = 10;
const COLUMNS: usize = 5;
/// Side of what is shown, in diameters of a nucleus, and the fewest and most pixels.
const DIAMETERS: f64 = 3.5;
const SIDE: [usize; 2] = [48, 160];
/// About the side of a close-up in pixels of the picture; enlarged by whole factors.
const PICTURE_SIDE: f64 = 288.0;

/// A row of `object-errors.csv`: an object that is not found, the worst of each kind first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WrongObject {
    /// Name of the field.
    pub field: String,
    /// What is wrong.
    pub error: Fate,
    /// Whether it is an object of the truth or of the prediction.
    pub side: Side,
    /// Its label there.
    pub label: u32,
    /// Centroid, pixels.
    pub y_px: f64,
    /// See `y_px`.
    pub x_px: f64,
    /// Area without ignored pixels, pixels.
    pub area_px: u64,
    /// Best IoU with an object of the other side.
    pub iou: f64,
    /// Objects of its side that it touches or nearly does.
    pub neighbours: usize,
    /// It has a pixel in the outermost row or column.
    pub at_border: bool,
    /// Such as `mitotic`, where the truth knows.
    pub kind: Option<String>,
    /// Standard deviation by mean of the brightfield around it, where it was at hand.
    pub contrast: Option<f64>,
}

/// The wrong objects of all fields, by kind of error and the worst first: the lowest IoU, then the
/// largest.
pub(crate) fn wrong_objects(fields: &[FieldScores]) -> Vec<WrongObject> {
    let rounded = |v: f64, digits: i32| (v * 10f64.powi(digits)).round() / 10f64.powi(digits);
    let mut rows: Vec<WrongObject> = Vec::new();
    for field in fields {
        let judged = field.judged.iter().flatten();
        rows.extend(
            judged
                .filter(|o| o.fate != Fate::Found)
                .map(|object| WrongObject {
                    field: field.name.clone(),
                    error: object.fate,
                    side: object.side,
                    label: object.label,
                    y_px: rounded(object.y_px, 1),
                    x_px: rounded(object.x_px, 1),
                    area_px: object.area_px,
                    iou: rounded(object.iou, 4),
                    neighbours: object.neighbours,
                    at_border: object.at_border,
                    kind: object.kind.clone(),
                    contrast: object.contrast.map(|contrast| rounded(contrast, 5)),
                }),
        );
    }
    let place = |row: &WrongObject| Fate::WRONG.iter().position(|&fate| fate == row.error);
    rows.sort_by(|a, b| {
        (place(a).cmp(&place(b)))
            .then(a.iou.total_cmp(&b.iou))
            .then(b.area_px.cmp(&a.area_px))
            .then_with(|| (&a.field, a.side, a.label).cmp(&(&b.field, b.side, b.label)))
    });
    rows
}

/// `models/NAME/object-errors.csv`, of another part than the test fields `object-errors-PART.csv`.
pub(crate) fn table_path(study: &Study, model: &str, part: Part) -> PathBuf {
    let name = match part {
        Part::Test => "object-errors.csv".to_owned(),
        part => format!("object-errors-{part}.csv"),
    };
    study.model_path(model).join(name)
}

/// Writes the table; none where nothing is wrong.
///
/// # Errors
/// It cannot be written, or another file has its name.
pub(crate) fn write_table(path: &Path, rows: &[WrongObject]) -> Result<(), ProjectError> {
    if rows.is_empty() {
        return remove_table(path);
    }
    check_file(path, "table of wrong nuclei", is_our_table)?;
    crate::study::table::write(path, rows)
}

/// Removes the table; another file of its name stays.
pub(crate) fn remove_table(path: &Path) -> Result<(), ProjectError> {
    match is_our_table(path) {
        true => remove(path),
        false => Ok(()),
    }
}

fn is_our_table(path: &Path) -> bool {
    is_table(path, &["field", "error", "side", "label"])
}

/// Reads the table; empty where there is none.
pub(crate) fn read_table(path: &Path) -> Result<Vec<WrongObject>, ProjectError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    crate::study::table::read(path, &["field", "kind"], "run `stainfree evaluate` again")
}

/// The close-ups of one kind of error, with captions.
pub(crate) struct Worst {
    pub(crate) error: Fate,
    /// Objects of that kind, of which the worst are shown.
    pub(crate) of: usize,
    pub(crate) pictures: Vec<(Image<[u8; 3]>, String)>,
}

/// What a close-up is cut out of.
pub(crate) struct Seen {
    /// The brightfield.
    pub(crate) light: Image<f32>,
    pub(crate) truth: Image<u32>,
    pub(crate) prediction: Image<u32>,
}

/// Close-ups of the worst objects of each kind. `see` opens a field by its name, each at most once;
/// fields that are gone are left out.
///
/// # Errors
/// Those of `see`, and labels of another size than the brightfield.
pub(crate) fn close_ups(
    rows: &[WrongObject],
    scores: &Scores,
    see: impl Fn(&str) -> Result<Option<Seen>, ProjectError>,
) -> Result<Vec<Worst>, ProjectError> {
    let side = window(scores);
    let chosen: Vec<(Fate, usize, Vec<&WrongObject>)> = Fate::WRONG
        .into_iter()
        .map(|error| {
            let of_it: Vec<&WrongObject> = rows.iter().filter(|row| row.error == error).collect();
            (error, of_it.len(), apart(&of_it, side))
        })
        .filter(|(_, of, _)| *of > 0)
        .collect();
    let mut by_field: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
    for (kind, (_, _, rows)) in chosen.iter().enumerate() {
        for (place, row) in rows.iter().enumerate() {
            by_field.entry(&row.field).or_default().push((kind, place));
        }
    }
    let mut drawn: BTreeMap<(usize, usize), Image<[u8; 3]>> = BTreeMap::new();
    for (name, places) in by_field {
        let Some(seen) = see(name)? else { continue };
        let light = brightfield_picture(&seen.light);
        let field = Outlined {
            base: &light,
            truth: &seen.truth,
            prediction: &seen.prediction,
        };
        for (kind, place) in places {
            let row = chosen[kind].2[place];
            let subject = match row.side {
                Side::Truth => Subject::Truth(row.label),
                Side::Prediction => Subject::Prediction(row.label),
            };
            let centre = (row.y_px, row.x_px);
            let factor = (PICTURE_SIDE / side as f64).round() as usize;
            let picture = close_up(&field, subject, centre, side, factor)?;
            drawn.insert((kind, place), picture);
        }
    }
    let sheets = chosen
        .into_iter()
        .enumerate()
        .map(|(kind, (error, of, rows))| {
            let pictures = rows.iter().enumerate().filter_map(|(place, row)| {
                let picture = drawn.remove(&(kind, place))?;
                Some((picture, caption(place, row)))
            });
            Worst {
                error,
                of,
                pictures: pictures.collect(),
            }
        });
    Ok(sheets.collect())
}

/// Side of a close-up in px of the field: a few diameters of a larger nucleus of the truth.
fn window(scores: &Scores) -> usize {
    let strata = scores
        .object_errors
        .iter()
        .flat_map(|errors| &errors.strata);
    let mut limits = strata
        .filter(|row| row.by == "size")
        .filter_map(|row| row.up_to);
    let area = limits.next_back().unwrap_or(0.0);
    let diameter = 2.0 * (area / std::f64::consts::PI).sqrt();
    ((DIAMETERS * diameter).round() as usize).clamp(SIDE[0], SIDE[1])
}

/// The first rows that do not show the same place again: merged nuclei and what merges them are
/// several wrong objects.
fn apart<'a>(rows: &[&'a WrongObject], side: usize) -> Vec<&'a WrongObject> {
    let near = side as f64 / 4.0;
    let mut chosen: Vec<&WrongObject> = Vec::new();
    for &row in rows {
        let shown = chosen.iter().any(|other| {
            other.field == row.field
                && (other.y_px - row.y_px).abs() < near
                && (other.x_px - row.x_px).abs() < near
        });
        if !shown {
            chosen.push(row);
        }
        if chosen.len() == SHOWN {
            break;
        }
    }
    chosen
}

/// Letter, field and numbers of a close-up.
fn caption(place: usize, row: &WrongObject) -> String {
    let letter = char::from(b'a' + place as u8);
    let side = match row.side {
        Side::Truth => "true",
        Side::Prediction => "predicted",
    };
    format!(
        "{letter}) {}: {side}, {} px2, IoU {:.2}",
        row.field, row.area_px, row.iou
    )
}

/// The file of the sheet of a kind in the folder of predictions, such as `errors/missed.png`.
fn sheet_path(out: &Path, error: Fate) -> PathBuf {
    out.join("errors").join(format!("{}.png", error.name()))
}

/// Writes a contact sheet a kind into `errors/` of the folder of predictions, and removes those of
/// kinds that there are no longer. What this program did not draw stays as it is.
///
/// # Errors
/// A sheet cannot be written, an old one stays, or another file has the name of a sheet; then all
/// other sheets are written.
pub(crate) fn write_sheets(out: &Path, sheets: &[Worst]) -> Result<(), ProjectError> {
    let mut refused = Ok(());
    for error in Fate::WRONG {
        let path = sheet_path(out, error);
        let sheet = sheets.iter().find(|sheet| sheet.error == error);
        match sheet.filter(|sheet| !sheet.pictures.is_empty()) {
            Some(sheet) => {
                if let Err(refusal) = check_file(&path, "picture of wrong nuclei", is_our_png) {
                    refused = refused.and(Err(refusal.into()));
                    continue;
                }
                create_folder(&out.join("errors"))?;
                let pictures: Vec<(&Image<[u8; 3]>, &str)> = sheet
                    .pictures
                    .iter()
                    .map(|(picture, caption)| (picture, caption.as_str()))
                    .collect();
                let page = contact_sheet(&pictures, COLUMNS, &outline_legend());
                write::png_rgb(&path, &page)?;
            }
            None if is_our_png(&path) => remove(&path)?,
            None => {}
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(error: Fate, label: u32, iou: f64, x_px: f64) -> WrongObject {
        WrongObject {
            field: "B02, s1".to_owned(),
            error,
            side: Side::Truth,
            label,
            y_px: 20.0,
            x_px,
            area_px: 100,
            iou,
            neighbours: 0,
            at_border: false,
            kind: (label == 1).then(|| "mitotic".to_owned()),
            contrast: None,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("object-errors.csv");
        let rows = vec![
            row(Fate::Missed, 1, 0.0, 3.5),
            row(Fate::BadlyOutlined, 2, 0.4, 9.0),
        ];
        write_table(&path, &rows).unwrap();
        assert_eq!(read_table(&path).unwrap(), rows);
        write_table(&path, &[]).unwrap();
        assert!(!path.exists() && read_table(&path).unwrap().is_empty());
        // A table of somebody else stays, whatever is wrong.
        std::fs::write(&path, "mine,yours\n1,2\n").unwrap();
        write_table(&path, &[]).unwrap();
        let said = write_table(&path, &rows).unwrap_err().to_string();
        assert!(said.contains("table of wrong nuclei"), "{said}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine,yours\n1,2\n");
    }

    #[test]
    fn a_place_is_shown_once_and_ten_at_most() {
        let rows: Vec<WrongObject> = (0..30)
            .map(|i| row(Fate::Merged, i, 0.1, 8.0 * f64::from(i)))
            .collect();
        let all: Vec<&WrongObject> = rows.iter().collect();
        let labels: Vec<u32> = apart(&all, 64).iter().map(|row| row.label).collect();
        assert_eq!(labels, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
    }

    #[test]
    fn sheets_of_kinds_that_are_gone_are_removed_and_strange_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let sheet = |error| Worst {
            error,
            of: 1,
            pictures: vec![(Image::filled(8, 8, [9; 3]), "a".to_owned())],
        };
        write_sheets(folder.path(), &[sheet(Fate::Missed)]).unwrap();
        let strange = sheet_path(folder.path(), Fate::Merged);
        std::fs::write(&strange, "notes").unwrap();
        write_sheets(folder.path(), &[sheet(Fate::Split)]).unwrap();
        let there = |error| sheet_path(folder.path(), error).exists();
        assert_eq!(
            [Fate::Missed, Fate::Split, Fate::Merged].map(there),
            [false, true, true]
        );
        // Nor are they written over, and the others are drawn all the same.
        let sheets = [Fate::Merged, Fate::Missed].map(sheet);
        let said = write_sheets(folder.path(), &sheets).unwrap_err();
        assert!(said.to_string().contains("merged.png"), "{said}");
        assert_eq!(std::fs::read_to_string(&strange).unwrap(), "notes");
        assert!(there(Fate::Missed) && !there(Fate::Split));
    }
}
