//! `predictions.csv`, the table of a folder of predictions: its columns, and how all its readers
//! take it.
//!
//! A row vouches for the files of its field. So a table that is there and cannot be read is an
//! error: taken for an empty one it would be written over, or its predictions scored as anybody's.

use std::collections::BTreeMap;
use std::path::Path;

use stainfree_image::table::Table;

use crate::ProjectError;

/// Name of the table in the output folder.
pub const FILE_NAME: &str = "predictions.csv";
/// How columns of shares end.
const SHARE: &str = "_share";
/// Column of the share of pixels that show nothing.
pub(crate) const IGNORED_SHARE: &str = "ignored_share";
/// Column of the true nuclei that are expected, where the model has a confidence.
pub(crate) const EXPECTED: &str = "expected_nuclei";
/// Columns of their interval and of its probability, where the model has one.
pub(crate) const INTERVAL: [&str; 3] = ["nuclei_low", "nuclei_high", "interval_level"];
/// Columns of expected areas and their intervals: of all nuclei, of one on average, of the
/// cytoplasm.
pub(crate) const AREAS: [[&str; 3]; 3] = [
    [
        "expected_nuclear_area",
        "nuclear_area_low",
        "nuclear_area_high",
    ],
    ["expected_mean_area", "mean_area_low", "mean_area_high"],
    [
        "expected_cytoplasm_area",
        "cytoplasm_area_low",
        "cytoplasm_area_high",
    ],
];
/// Column of what areas are in.
pub(crate) const AREA_UNIT: &str = "area_unit";
/// Column of what the field was compared with the training by.
pub(crate) const LOOKS: &str = "looks";
/// Columns before the shares of the classes.
pub(crate) const FIRST: [&str; 3] = ["name", "status", "message"];
/// Columns after them.
const LAST: [&str; 29] = [
    IGNORED_SHARE,
    "nuclei",
    EXPECTED,
    INTERVAL[0],
    INTERVAL[1],
    INTERVAL[2],
    AREAS[0][0],
    AREAS[0][1],
    AREAS[0][2],
    AREAS[1][0],
    AREAS[1][1],
    AREAS[1][2],
    AREAS[2][0],
    AREAS[2][1],
    AREAS[2][2],
    AREA_UNIT,
    "height",
    "width",
    "seconds",
    "strangeness",
    "strange",
    "unlike",
    LOOKS,
    "model",
    "program",
    "options",
    "input",
    "content",
    "key",
];

/// The cells of a row by their columns; a column that is not named is empty.
pub(crate) type Cells = BTreeMap<String, String>;

/// A field that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) name: String,
    /// Hash of the model.
    pub(crate) model: String,
    /// Hashes of the planes it was made from; empty in tables of older versions.
    pub(crate) content: String,
}

/// The table at `path`; `None` where there is none.
///
/// # Errors
/// There is one, and it cannot be read.
pub(crate) fn read(path: &Path) -> Result<Option<Table>, ProjectError> {
    match path.try_exists() {
        Ok(false) => Ok(None),
        _ => Ok(Some(Table::read(path)?)),
    }
}

/// The classes of the model, in their order: every share but that of pixels without a class.
pub(crate) fn classes(columns: &[String]) -> impl Iterator<Item = &str> {
    let shares = columns.iter().filter(|name| *name != IGNORED_SHARE);
    shares.filter_map(|name| name.strip_suffix(SHARE))
}

/// The fields that are done, whatever program saved the table in between; `None` where it is
/// no table of predictions.
pub(crate) fn done(table: &Table) -> Option<Vec<Done>> {
    let column = |title: &str| table.column(title);
    let (name, status, model) = (column("name")?, column("status")?, column("model")?);
    let content = column("content");
    let rows = table.rows.iter();
    let rows = rows.filter(|row| row.cell(status).eq_ignore_ascii_case("done"));
    let done = rows.map(|row| Done {
        name: row.cell(name).to_owned(),
        model: row.cell(model).to_owned(),
        content: content.map_or("", |column| row.cell(column)).to_owned(),
    });
    Some(done.collect())
}

/// The column of a class' share of the pixels.
pub(crate) fn share_of(class: &str) -> String {
    format!("{class}{SHARE}")
}

/// The columns of `predictions.csv`.
pub(crate) fn header(classes: &[String]) -> Vec<String> {
    let shares = classes.iter().map(|class| share_of(class));
    let owned = |name: &&str| (*name).to_owned();
    let first = FIRST.iter().map(owned);
    first.chain(shares).chain(LAST.iter().map(owned)).collect()
}
