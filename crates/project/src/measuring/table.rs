//! The formats of tables that are written piece by piece: a registry by the end of the file's name.

use std::path::Path;

use stainfree_image::write::AtomicFile;

use super::cells::{Cells, ColumnHead, Finish, Rows};
use super::csv::CsvRows;
#[cfg(feature = "parquet")]
use super::parquet::ParquetRows;
use crate::ProjectError;
use crate::study::guard;

/// Begins a table on a file that is not there yet.
type Begin = fn(AtomicFile, &[ColumnHead], &[(&str, String)]) -> Result<Box<dyn Rows>, String>;

/// The formats by the end of the file's name.
const FORMATS: &[(&str, Begin)] = &[
    ("csv", CsvRows::begin),
    #[cfg(feature = "parquet")]
    ("parquet", ParquetRows::begin),
];

/// A table being written; nothing is there before [`finish`](Self::finish).
pub(super) struct TableFile {
    path: std::path::PathBuf,
    rows: Box<dyn Rows>,
}

impl TableFile {
    /// Checks that the format of `path` is known.
    pub(super) fn check(path: &Path) -> Result<(), ProjectError> {
        format_of(path).map(drop)
    }

    /// Begins the table; `facts` go into formats that carry more than the table.
    pub(super) fn begin(
        path: &Path,
        heads: &[ColumnHead],
        facts: &[(&str, String)],
    ) -> Result<Self, ProjectError> {
        let begin = format_of(path)?;
        let rows = begin(AtomicFile::create(path)?, heads, facts).map_err(|e| cannot(path, &e))?;
        Ok(Self {
            path: path.to_owned(),
            rows,
        })
    }

    pub(super) fn append(&mut self, columns: Vec<Cells>) -> Result<(), ProjectError> {
        let appended = self.rows.append(columns);
        appended.map_err(|error| cannot(&self.path, &error))
    }

    pub(super) fn finish(self) -> Result<(), ProjectError> {
        self.rows.finish().map_err(|error| match error {
            Finish::Encode(error) => cannot(&self.path, &error),
            Finish::Commit(error) => error.into(),
        })
    }
}

/// Whether the file is a table that this program wrote, with these columns first.
pub(super) fn is_ours(path: &Path, first: &[&str]) -> bool {
    let is_parquet = path
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("parquet"));
    match is_parquet {
        true => guard::ends_with_note(path, "stainfree "),
        false => guard::is_table(path, first),
    }
}

fn cannot(path: &Path, error: &str) -> ProjectError {
    ProjectError::Failed(format!("`{}` cannot be written: {error}", path.display()))
}

fn format_of(path: &Path) -> Result<Begin, ProjectError> {
    let end = path
        .extension()
        .map(|end| end.to_string_lossy().to_lowercase());
    let found = FORMATS
        .iter()
        .find(|(name, _)| end.as_deref() == Some(name));
    found.map(|&(_, begin)| begin).ok_or_else(|| {
        let known: Vec<String> = FORMATS
            .iter()
            .map(|(name, _)| format!("`.{name}`"))
            .collect();
        ProjectError::Usage(format!(
            "`{}` is no table that can be written; give a name that ends in {}",
            path.display(),
            known.join(" or ")
        ))
    })
}
