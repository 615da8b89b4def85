//! Who made the predictions of a folder, and from which images: read from the tables beside them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Content, Provenance, beside};
use crate::ProjectError;
use crate::predict::FILE_NAME;

/// A row of `predictions.csv`, as far as it says where a prediction comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Prediction {
    name: String,
    status: String,
    /// Hash of the model.
    model: String,
    program: String,
    /// Hashes of the planes it was made from; tables of older versions have none.
    #[serde(default)]
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
    /// Where the prediction `file` of the field `name` comes from; `None` for one that this program
    /// did not make.
    pub(crate) fn source(&mut self, file: &Path, name: &str) -> Option<Source> {
        let file = std::path::absolute(file).ok()?;
        // `RESULT/nuclei/NAME.tif`: the table lies one folder above.
        let folder = file.parent()?.parent()?.to_owned();
        let rows = self
            .0
            .entry(folder.clone())
            .or_insert_with(|| read(&folder));
        let row = rows.get(name)?;
        let image = row.content.split_whitespace().map(str::to_owned).collect();
        Some(Source {
            model: row.model.clone(),
            content: Content {
                image,
                ..Content::default()
            },
            folder,
        })
    }
}

/// The rows of a table by field; none where it is no table of predictions.
fn read(folder: &Path) -> BTreeMap<String, Prediction> {
    let Ok(reader) = csv::Reader::from_path(folder.join(FILE_NAME)) else {
        return BTreeMap::new();
    };
    let rows = reader.into_deserialize::<Prediction>();
    rows.filter_map(Result::ok)
        .filter(|row| row.status == "done")
        .map(|row| (row.name.clone(), row))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        // A table of an older version names no content.
        let text = "name,status,model,program\nold,done,12,0.1.0\nbad,failed,12,0.1.0\n";
        std::fs::write(folder.path().join(FILE_NAME), text).unwrap();
        let mut tables = Tables::default();
        assert_eq!(tables.source(&file("x"), "old").unwrap().model, "12");
        assert_eq!(tables.source(&file("x"), "bad"), None);
    }
}
