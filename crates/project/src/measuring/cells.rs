//! The columns of a table, and a file that takes them: what every format knows.

use std::sync::Arc;

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
