//! Who made the predictions of a folder, and from which images: as their files and the table beside
//! them say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use stainfree_image::marker;

use super::{Content, Provenance, beside};
use crate::ProjectError;
use crate::study::predictions::{self as table, Done, FILE_NAME};

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
    crate::study::table::write(&out.join(FILE_NAME), rows)
}

/// The tables of some folders of predictions.
#[derive(Default)]
pub(crate) struct Tables(BTreeMap<PathBuf, BTreeMap<String, Done>>);

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
    ///
    /// # Errors
    /// There is a table, and it cannot be read.
    pub(crate) fn source(
        &mut self,
        file: &Path,
        name: &str,
    ) -> Result<Option<Source>, ProjectError> {
        let absolute = std::path::absolute(file);
        let file = absolute.map_err(|error| ProjectError::read(file, &error))?;
        // `RESULT/nuclei/NAME.tif`: the table lies one folder above.
        let Some(folder) = file.parent().and_then(Path::parent) else {
            return Ok(None);
        };
        let made = match noted(&marker::note_of(&file).unwrap_or_default()) {
            Some(made) => Some(made),
            None => self.of_table(folder, name)?,
        };
        Ok(made.map(|(model, image)| Source {
            model,
            content: Content {
                image: image.split_whitespace().map(str::to_owned).collect(),
                ..Content::default()
            },
            folder: folder.to_owned(),
        }))
    }

    /// Model and image of a field by the table of its folder.
    fn of_table(
        &mut self,
        folder: &Path,
        name: &str,
    ) -> Result<Option<(String, String)>, ProjectError> {
        if !self.0.contains_key(folder) {
            self.0.insert(folder.to_owned(), read(folder)?);
        }
        let row = self.0.get(folder).and_then(|rows| rows.get(name));
        Ok(row.map(|row| (row.model.clone(), row.content.clone())))
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

/// The fields that the table of a folder says are done; none where it is no table of predictions.
fn read(folder: &Path) -> Result<BTreeMap<String, Done>, ProjectError> {
    let path = folder.join(FILE_NAME);
    let table = match table::read(&path) {
        // Another program's table of that name says nothing of ours.
        Err(_) if !is_ours(&path) => None,
        read => read?,
    };
    let done = table.as_ref().and_then(table::done).unwrap_or_default();
    Ok(done
        .into_iter()
        .map(|row| (row.name.clone(), row))
        .collect())
}

/// Whether a table that cannot be read has the head of ours.
fn is_ours(path: &Path) -> bool {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).to_lowercase();
    let head = text.lines().next().unwrap_or_default();
    // What cannot be looked at may be ours.
    bytes.is_empty()
        || ["name", "status", "model"]
            .iter()
            .all(|title| head.contains(title))
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
        let source = tables.source(&file("a.tif"), "a").unwrap().unwrap();
        assert_eq!((&source.content, source.model.len()), (&content, 64));
        assert_eq!(source.record().unwrap(), None);
        let record = Provenance::new("well", Vec::new());
        record.put_beside(folder.path(), &source.model).unwrap();
        assert_eq!(source.record().unwrap(), Some(record));
        assert_eq!(tables.source(&file("b.tif"), "b").unwrap(), None);
        assert_eq!(tables.source(Path::new("/a.tif"), "a").unwrap(), None);
        // A table of an older version names no content,
        // and one that Excel saved has semicolons.
        let text = "name;status;model;program\r\nold;done;12;0.1.0\r\nbad;failed;12;0.1.0\r\n";
        std::fs::write(folder.path().join(FILE_NAME), text).unwrap();
        let mut tables = Tables::default();
        let old = tables.source(&file("x"), "old").unwrap();
        assert_eq!(old.unwrap().model, "12");
        assert_eq!(tables.source(&file("x"), "bad").unwrap(), None);
        // Nobody knows whose predictions those of a damaged one are.
        std::fs::write(
            folder.path().join(FILE_NAME),
            "name,status,model\na,done,1,2\n",
        )
        .unwrap();
        assert!(Tables::default().source(&file("x"), "a").is_err());
        let of_another = "image,score\na,1\nb,2,surplus\n";
        std::fs::write(folder.path().join(FILE_NAME), of_another).unwrap();
        assert_eq!(Tables::default().source(&file("x"), "a").unwrap(), None);
    }
}
