//! Who made the predictions of a folder, and from which images: as their files and the table beside
//! them say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use stainfree_image::marker;
use stainfree_image::table::{Row, Table};

use super::{Content, Provenance, beside};
use crate::ProjectError;
use crate::predict::FILE_NAME;

/// A row of `predictions.csv`, as far as it says where a prediction comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Prediction {
    name: String,
    status: String,
    /// Hash of the model.
    model: String,
    program: String,
    /// Hashes of the planes it was made from; tables of older versions have none.
    content: String,
}

impl Prediction {
    pub(crate) fn new(name: &str, model: &str, content: &Content) -> Self {
        Self {
            name: name.to_owned(),
            status: "done".to_owned(),
            model: model.to_owned(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            content: content.image.join(" "),
        }
    }
}

/// Writes the table of predictions that `evaluate` made.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(out: &Path, rows: &[Prediction]) -> Result<(), ProjectError> {
    crate::table::write(&out.join(FILE_NAME), rows)
}

/// The tables of some folders of predictions.
#[derive(Default)]
pub(crate) struct Tables(BTreeMap<PathBuf, BTreeMap<String, Prediction>>);

/// A prediction whose model is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Folder with the table and the records.
    pub(crate) folder: PathBuf,
    /// Hash of the model.
    pub(crate) model: String,
    /// The image it was made from.
    pub(crate) content: Content,
}

impl Source {
    /// What the model has met; `None` where the folder has no record of it.
    ///
    /// # Errors
    /// The record is damaged.
    pub(crate) fn record(&self) -> Result<Option<Provenance>, ProjectError> {
        Provenance::read(&beside(&self.folder, &self.model))
    }
}

impl Tables {
    /// Where the prediction `file` of the field `name` comes from: as the file itself says, else
    /// the table beside it; `None` for one that this program did not make.
    pub(crate) fn source(&mut self, file: &Path, name: &str) -> Option<Source> {
        let file = std::path::absolute(file).ok()?;
        // `RESULT/nuclei/NAME.tif`: the table lies one folder above.
        let folder = file.parent()?.parent()?.to_owned();
        let (model, image) = noted(&marker::note_of(&file).unwrap_or_default())
            .or_else(|| self.of_table(&folder, name))?;
        Some(Source {
            model,
            content: Content {
                image: image.split_whitespace().map(str::to_owned).collect(),
                ..Content::default()
            },
            folder,
        })
    }

    /// Model and image of a field by the table of its folder.
    fn of_table(&mut self, folder: &Path, name: &str) -> Option<(String, String)> {
        let rows = self.0.entry(folder.to_owned());
        let rows = rows.or_insert_with(|| read(folder));
        rows.get(name)
            .map(|row| (row.model.clone(), row.content.clone()))
    }
}

/// Model and image in the note of a prediction: `.. prediction: .., model HASH, image HASHES`;
/// older versions name no image.
fn noted(note: &str) -> Option<(String, String)> {
    let (what, made) = note.rsplit_once(", model ")?;
    let (model, image) = made.split_once(", image ").unwrap_or((made, ""));
    what.contains(" prediction: ")
        .then(|| (model.trim().to_owned(), image.trim().to_owned()))
}

/// The rows of a table by field, whatever program saved it in between; none where it is no table of
/// predictions.
fn read(folder: &Path) -> BTreeMap<String, Prediction> {
    let Ok(table) = Table::read(&folder.join(FILE_NAME)) else {
        return BTreeMap::new();
    };
    let column = |name| table.column(name);
    let columns = (column("name"), column("status"), column("model"));
    let (Some(name), Some(status), Some(model)) = columns else {
        return BTreeMap::new();
    };
    let cell = |row: &Row, title: &str| {
        let found = table.column(title).map(|column| row.cell(column));
        found.unwrap_or_default().to_owned()
    };
    let rows = table.rows.iter();
    rows.filter(|row| row.cell(status).eq_ignore_ascii_case("done"))
        .map(|row| {
            let prediction = Prediction {
                name: row.cell(name).to_owned(),
                status: "done".to_owned(),
                model: row.cell(model).to_owned(),
                program: cell(row, "program"),
                content: cell(row, "content"),
            };
            (prediction.name.clone(), prediction)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_says_itself_where_it_comes_from() {
        let of = |note: &str| noted(note);
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        let note = "0.1.0 prediction: nuclei of field a, model b, model 12, image ab cd";
        assert_eq!(of(note), pair("12", "ab cd"));
        let older = "0.1.0 prediction: class mask of field a, model 12";
        assert_eq!(of(older), pair("12", ""));
        assert_eq!(of("0.1.0 truth: nuclei of field a, model 12"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn a_prediction_is_traced_to_model_and_image() {
        let folder = tempfile::tempdir().unwrap();
        let content = Content {
            image: vec!["ab".to_owned(), "cd".to_owned()],
            ..Content::default()
        };
        let row = Prediction::new("a", &"1".repeat(64), &content);
        write(folder.path(), &[row]).unwrap();
        let mut tables = Tables::default();
        let file = |name: &str| folder.path().join("nuclei").join(name);
        let source = tables.source(&file("a.tif"), "a").unwrap();
        assert_eq!((&source.content, source.model.len()), (&content, 64));
        assert_eq!(source.record().unwrap(), None);
        let record = Provenance::new("well", Vec::new());
        record.put_beside(folder.path(), &source.model).unwrap();
        assert_eq!(source.record().unwrap(), Some(record));
        assert_eq!(tables.source(&file("b.tif"), "b"), None);
        assert_eq!(tables.source(Path::new("/a.tif"), "a"), None);
        // A table of an older version names no content,
        // and one that Excel saved has semicolons.
        let text = "name;status;model;program\r\nold;done;12;0.1.0\r\nbad;failed;12;0.1.0\r\n";
        std::fs::write(folder.path().join(FILE_NAME), text).unwrap();
        let mut tables = Tables::default();
        assert_eq!(tables.source(&file("x"), "old").unwrap().model, "12");
        assert_eq!(tables.source(&file("x"), "bad"), None);
    }
}
