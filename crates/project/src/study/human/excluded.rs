//! `human/excluded.csv`: fields that a person took out of the study, and why.
//!
//! A row takes a field out, or with `no` in the column `excluded` takes it in again; the last row
//! of a field counts. Rows may be typed by hand: `field` is enough.

use std::collections::BTreeMap;
use std::path::PathBuf;

use stainfree_image::table::yes_or_no;

use super::{Stamp, content_of, ledger};
use crate::ProjectError;
use crate::study::Study;
use crate::study::fields;
use crate::study::names::nearest;

/// Name of the table.
pub const FILE_NAME: &str = "excluded.csv";

/// Its columns.
const TITLES: [&str; 6] = ["field", "excluded", "reason", "image", "who", "when"];

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// Name of the field.
    pub field: String,
    /// Whether it is out from then on.
    pub excluded: bool,
    /// Why.
    pub reason: String,
    /// What the image was ([`content`](super::content)); empty where that is not known.
    pub image: String,
    /// Who said so; may be empty where a person typed the row.
    pub who: String,
    /// Line of the table.
    pub line: usize,
}

impl Exclusion {
    /// The sentence for the table of fields.
    pub fn remark(&self) -> String {
        let by = match self.who.as_str() {
            "" => String::new(),
            who => format!(" by {who}"),
        };
        match self.reason.as_str() {
            "" => format!("excluded{by}"),
            reason => format!("excluded{by}: {reason}"),
        }
    }
}

/// Where the table lies.
pub fn path(study: &Study) -> PathBuf {
    super::folder(study).join(FILE_NAME)
}

/// All rows, the oldest first.
///
/// # Errors
/// The table cannot be read, or `excluded` is neither yes nor no.
pub fn read(study: &Study) -> Result<Vec<Exclusion>, ProjectError> {
    let path = path(study);
    let table = ledger::read(&path, &["field"])?;
    let mut rows = Vec::new();
    for row in &table.rows {
        let cell = |title: &str| table.column(title).map_or("", |i| row.cell(i));
        let excluded = match cell("excluded") {
            "" => true,
            word => yes_or_no(word).ok_or_else(|| ProjectError::Table {
                path: path.clone(),
                line: Some(row.line),
                message: format!(
                    "field `{}`: the column `excluded` holds `{word}`; it takes `yes` (as does \
                     nothing) or `no`",
                    cell("field")
                ),
            })?,
        };
        rows.push(Exclusion {
            field: cell("field").to_owned(),
            excluded,
            reason: cell("reason").to_owned(),
            image: cell("image").to_owned(),
            who: cell("who").to_owned(),
            line: row.line,
        });
    }
    Ok(rows)
}

/// The fields that are out, each with the row that says so.
///
/// # Errors
/// As [`read`].
pub fn in_force(study: &Study) -> Result<BTreeMap<String, Exclusion>, ProjectError> {
    let mut last = BTreeMap::new();
    for row in read(study)? {
        last.insert(row.field.clone(), row);
    }
    last.retain(|_, row| row.excluded);
    Ok(last)
}

/// Adds fields that are out, with their images.
pub(crate) fn take_over(
    study: &Study,
    taken_out: &[(String, String)],
    stamp: &Stamp,
) -> Result<(), ProjectError> {
    let reason = format!("set to `no` in {}", fields::FILE_NAME);
    let rows: Vec<Vec<String>> = taken_out
        .iter()
        .map(|(field, image)| {
            let cells = [field, "yes", &reason, image, &stamp.who, &stamp.when];
            cells.map(str::to_owned).to_vec()
        })
        .collect();
    ledger::append(&path(study), &TITLES, &rows)
}

/// Takes fields out, or in again.
///
/// # Errors
/// A field that the study does not have; nothing is written then. The images cannot be opened, the
/// table is damaged, or cannot be written.
pub fn decide(
    study: &Study,
    fields: &[String],
    excluded: bool,
    reason: &str,
    stamp: &Stamp,
) -> Result<(), ProjectError> {
    let source = study.source()?;
    let known: Vec<&str> = source
        .dataset
        .fields
        .iter()
        .map(|f| f.name.as_str())
        .collect();
    for field in fields {
        if !known.contains(&field.as_str()) {
            let near = nearest(field, known.iter().copied())
                .map_or(String::new(), |near| format!("did you mean `{near}`? "));
            return Err(ProjectError::Usage(format!(
                "`{}` has no field `{field}`; {near}`stainfree inspect {}` lists them",
                study.root().display(),
                source.dataset.root.display()
            )));
        }
    }
    let rows: Vec<Vec<String>> = fields
        .iter()
        .map(|field| {
            let word = if excluded { "yes" } else { "no" };
            let image = content_of(&source, field).unwrap_or_default();
            let cells = [field, word, reason, &image, &stamp.who, &stamp.when];
            cells.map(str::to_owned).to_vec()
        })
        .collect();
    ledger::append(&path(study), &TITLES, &rows)
}
