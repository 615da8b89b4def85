//! `human/mitosis.csv`: which nuclei a person called mitotic or not.
//!
//! A decision belongs to a place of a field, not to the number of a nucleus, which may change.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stainfree_image::table::{Row, Table, number, yes_or_no};

use super::{Stamp, ledger};
use crate::ProjectError;
use crate::study::Study;

/// Name of the table.
pub const FILE_NAME: &str = "mitosis.csv";

/// Its columns.
const TITLES: [&str; 7] = ["field", "y_px", "x_px", "decision", "image", "who", "when"];

/// Places nearer than this in both directions are the same: the list is written in tenths.
const SAME_PX: f64 = 0.051;

/// What a person says about a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It is mitotic.
    Yes,
    /// It is not.
    No,
}

impl Decision {
    /// As it is written in tables.
    pub fn word(self) -> &'static str {
        match self {
            Decision::Yes => "yes",
            Decision::No => "no",
        }
    }
}

/// What a person said of one nucleus.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Name of the field.
    pub field: String,
    /// A place inside the nucleus, pixels.
    pub y_px: f64,
    /// See `y_px`.
    pub x_px: f64,
    /// `None` takes back what was said before.
    pub decision: Option<Decision>,
    /// What the image was ([`content`](super::content)); empty where that is not known.
    pub image: String,
    /// Line of the table; 0 for what is not in it yet.
    pub line: usize,
}

impl Said {
    /// Whether both speak of the same place.
    pub(crate) fn same_place(&self, other: &Self) -> bool {
        self.field == other.field
            && (self.y_px - other.y_px).abs() < SAME_PX
            && (self.x_px - other.x_px).abs() < SAME_PX
    }
}

/// Where the table lies.
pub fn path(study: &Study) -> PathBuf {
    super::folder(study).join(FILE_NAME)
}

/// All rows, the oldest first.
///
/// # Errors
/// The table cannot be read, or a cell is not what its column holds.
pub fn read(study: &Study) -> Result<Vec<Said>, ProjectError> {
    let path = path(study);
    let table = ledger::read(&path, &TITLES[..4])?;
    let cells = Cells::of(&path, &table);
    table.rows.iter().map(|row| cells.said(row)).collect()
}

/// Adds what was said.
///
/// # Errors
/// The table is damaged, or cannot be written.
pub fn append(study: &Study, said: &[Said], stamp: &Stamp) -> Result<(), ProjectError> {
    let rows: Vec<Vec<String>> = said
        .iter()
        .map(|said| {
            vec![
                said.field.clone(),
                said.y_px.to_string(),
                said.x_px.to_string(),
                said.decision.map_or("", Decision::word).to_owned(),
                said.image.clone(),
                stamp.who.clone(),
                stamp.when.clone(),
            ]
        })
        .collect();
    ledger::append(&path(study), &TITLES, &rows)
}

/// The columns that a decision is read from, in this table and in the list of candidates.
pub(crate) struct Cells<'a> {
    path: &'a Path,
    table: &'a Table,
}

impl<'a> Cells<'a> {
    pub(crate) fn of(path: &'a Path, table: &'a Table) -> Self {
        Self { path, table }
    }

    pub(crate) fn cell<'r>(&self, row: &'r Row, title: &str) -> &'r str {
        self.table.column(title).map_or("", |i| row.cell(i))
    }

    fn wrong(&self, row: &Row, what: String) -> ProjectError {
        ProjectError::Table {
            path: self.path.to_owned(),
            line: Some(row.line),
            message: format!("field `{}`: {what}", self.cell(row, "field")),
        }
    }

    /// The decision of a row.
    pub(crate) fn decision(&self, row: &Row) -> Result<Option<Decision>, ProjectError> {
        let cell = self.cell(row, "decision");
        match (cell, yes_or_no(cell)) {
            ("", _) => Ok(None),
            (_, Some(true)) => Ok(Some(Decision::Yes)),
            (_, Some(false)) => Ok(Some(Decision::No)),
            (_, None) => Err(self.wrong(
                row,
                format!("the column `decision` holds `{cell}`; it takes `yes`, `no` or nothing"),
            )),
        }
    }

    /// The decision of a row with its place.
    pub(crate) fn said(&self, row: &Row) -> Result<Said, ProjectError> {
        let decision = self.decision(row)?;
        let place = |title: &str| {
            number(self.cell(row, title)).ok_or_else(|| {
                let cell = self.cell(row, title);
                let what = format!("the column `{title}` holds `{cell}`; it takes a place in px");
                self.wrong(row, what)
            })
        };
        Ok(Said {
            field: self.cell(row, "field").to_owned(),
            y_px: place("y_px")?,
            x_px: place("x_px")?,
            decision,
            image: self.cell(row, "image").to_owned(),
            line: row.line,
        })
    }
}
