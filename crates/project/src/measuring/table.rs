//! Tables that are written piece by piece: one file per format, and a registry by the end of the
//! file's name.

use std::path::Path;
use std::sync::Arc;

use stainfree_image::write::AtomicFile;

use super::csv::CsvRows;
#[cfg(feature = "parquet")]
use super::parquet::ParquetRows;
use crate::ProjectError;
use crate::study::guard;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnType {
    Text,
    Integer,
    Float,
}

/// The name and type of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnHead {
    pub(super) name: String,
    pub(super) kind: ColumnType,
}

impl ColumnHead {
    pub(super) fn new(name: impl Into<String>, kind: ColumnType) -> Self {
        Self {
            name: name.into(),
            kind,
        }
    }
}

/// The cells of one column; what is unknown is `None` or NaN and left empty in the file.
#[derive(Clone, Debug)]
pub(super) enum Cells {
    Text(Vec<Option<Arc<str>>>),
    Integer(Vec<Option<i64>>),
    Float(Vec<f64>),
}

impl Cells {
    /// Numbers as a column of their type; NaN is unknown.
    pub(super) fn numbers(kind: ColumnType, values: Vec<f64>) -> Self {
        match kind {
            ColumnType::Integer => {
                let whole = |value: f64| (!value.is_nan()).then_some(value as i64);
                Self::Integer(values.into_iter().map(whole).collect())
            }
            _ => Self::Float(values),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(cells) => cells.len(),
            Self::Integer(cells) => cells.len(),
            Self::Float(cells) => cells.len(),
        }
    }
}

/// A file that takes rows.
pub(super) trait Rows: Send {
    /// Appends rows: a column of cells for each head, all of one length.
    fn append(&mut self, columns: Vec<Cells>) -> Result<(), String>;
    /// Ends the file and gives it its name.
    fn finish(self: Box<Self>) -> Result<(), Finish>;
}

/// Why a file could not be ended.
pub(super) enum Finish {
    /// While encoding.
    Encode(String),
    /// While giving it its name.
    Commit(stainfree_image::ImageError),
}

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
