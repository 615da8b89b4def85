//! Work lists over all fields: what is doubtful, by what a study or a result says of it.
//!
//! Here: which lists there are, and reading their tables when they are asked for. Every entry is a
//! place in a field, or a field; what of it was judged already, `edit` knows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use stainfree_image::table::{Row, Table, number};

use crate::ViewError;

/// Most entries of a list that are sent; nobody goes through more at once.
const MOST: usize = 3000;

/// A list.
#[derive(Clone, Debug)]
pub(crate) struct WorkList {
    /// What it lists, in words.
    pub(crate) title: String,
    /// The layer whose objects it is about, to be shown beside what is corrected.
    pub(crate) layer: Option<usize>,
    pub(crate) source: Source,
}

/// Where the entries of a list come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Predicted nuclei by how sure they are; a table a field, as the layer of this number has
    /// them.
    Sure { layer: usize },
    /// Rows of `disagreements-PART.csv`: nuclei, or fields.
    Disagreements { tables: Vec<PathBuf>, fields: bool },
    /// Rows of `object-errors-PART.csv`: nuclei that are merged or split.
    Splits { tables: Vec<PathBuf> },
    /// Rows of `truth/mitosis.csv`.
    Mitoses { table: PathBuf },
    /// Fields by a column of the table, the largest number first; those of 0 are no entries.
    Column { column: usize },
}

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Entry {
    /// Number of the field.
    pub(crate) field: usize,
    /// A place in pixels; `None` for a whole field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<[f64; 2]>,
    /// By which it is sorted.
    pub(crate) value: f64,
    /// What it is, in words.
    pub(crate) what: String,
    /// Whether somebody judged what lies there.
    pub(crate) done: bool,
}

/// The entries of a list.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Entries {
    pub(crate) entries: Vec<Entry>,
    /// How many there are beyond those.
    pub(crate) more: usize,
    /// Test fields that have some, which are listed only on request.
    pub(crate) tests: usize,
}

/// What a list is made of.
pub(crate) struct Fields<'a> {
    /// Number of a field by its name.
    pub(crate) number: &'a dyn Fn(&str) -> Option<usize>,
    /// Whether the field of this number is kept for the test.
    pub(crate) is_test: &'a dyn Fn(usize) -> bool,
    /// The tables of confidences of a layer, by field.
    pub(crate) sure: &'a dyn Fn(usize) -> Vec<(usize, PathBuf)>,
    /// The numbers of a column, by field.
    pub(crate) numbers: &'a dyn Fn(usize) -> Vec<(usize, f64)>,
}

impl WorkList {
    /// A list of this title.
    pub(crate) fn new(title: impl Into<String>, layer: Option<usize>, source: Source) -> Self {
        let title = title.into();
        Self {
            title,
            layer,
            source,
        }
    }

    /// Its entries, the most doubtful first; those of test fields only `with_tests`.
    ///
    /// # Errors
    /// A table cannot be read.
    pub(crate) fn entries(&self, fields: &Fields, with_tests: bool) -> Result<Entries, ViewError> {
        let mut tests = BTreeSet::new();
        let mut is_left_out = |field: usize| {
            let out = !with_tests && (fields.is_test)(field);
            if out {
                tests.insert(field);
            }
            out
        };
        let mut found = Vec::new();
        let mut of_tables = |tables: &[PathBuf], entry: &ToEntry| -> Result<(), ViewError> {
            for path in tables {
                found.extend(rows_of(path, fields, entry)?);
            }
            Ok(())
        };
        match &self.source {
            Source::Sure { layer } => {
                for (field, table) in (fields.sure)(*layer) {
                    if !is_left_out(field) {
                        found.extend(sure_nuclei(field, &table)?);
                    }
                }
            }
            Source::Disagreements {
                tables,
                fields: whole,
            } => of_tables(tables, &|table, row| disagreement(table, row, *whole))?,
            Source::Splits { tables } => of_tables(tables, &doubtful_split)?,
            Source::Mitoses { table } => of_tables(std::slice::from_ref(table), &candidate)?,
            Source::Column { column } => {
                let numbers = (fields.numbers)(*column).into_iter();
                let numbers = numbers.filter(|(_, value)| *value > 0.0);
                found.extend(numbers.map(|(field, value)| Entry::of(field, (None, value, ""))));
            }
        }
        found.retain(|entry| !is_left_out(entry.field));
        let down = !matches!(self.source, Source::Sure { .. });
        Ok(sorted(found, down, tests.len()))
    }
}

impl Entry {
    fn of(field: usize, (at, value, what): Found) -> Self {
        Self {
            field,
            at,
            value,
            what: what.to_owned(),
            done: false,
        }
    }
}

/// Place, value and words of an entry.
type Found = (Option<[f64; 2]>, f64, &'static str);
/// What a row of a table says; `None` for one that is no entry.
type ToEntry<'a> = dyn Fn(&Table, &Row) -> Option<Found> + 'a;

/// The first entries by their value; equal ones by field and place.
fn sorted(mut entries: Vec<Entry>, down: bool, tests: usize) -> Entries {
    entries.sort_by(|a, b| {
        let by = a.value.total_cmp(&b.value);
        (if down { by.reverse() } else { by })
            .then(a.field.cmp(&b.field))
            .then_with(|| a.at.partial_cmp(&b.at).unwrap_or(std::cmp::Ordering::Equal))
    });
    let more = entries.len().saturating_sub(MOST);
    entries.truncate(MOST);
    Entries {
        entries,
        more,
        tests,
    }
}

/// Cells of a row by the titles of their columns.
struct Cells<'a>(&'a Table, &'a Row);

impl Cells<'_> {
    fn text(&self, title: &str) -> &str {
        self.0.column(title).map_or("", |i| self.1.cell(i))
    }

    fn number(&self, title: &str) -> Option<f64> {
        number(self.text(title))
    }

    fn place(&self) -> Option<[f64; 2]> {
        Some([self.number("y_px")?, self.number("x_px")?])
    }
}

/// What `entry` makes of the rows of a table, where there is one; rows of fields that are not
/// shown are left out.
fn rows_of(path: &Path, fields: &Fields, entry: &ToEntry) -> Result<Vec<Entry>, ViewError> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let table = Table::read(path)?;
    let entries = table.rows.iter().filter_map(|row| {
        let field = (fields.number)(Cells(&table, row).text("field"))?;
        Some(Entry::of(field, entry(&table, row)?))
    });
    Ok(entries.collect())
}

fn disagreement(table: &Table, row: &Row, whole: bool) -> Option<Found> {
    let cells = Cells(table, row);
    let value = cells.number("disagreement")?;
    let what = match cells.text("kind") {
        "field" => return whole.then_some((None, value, "")),
        _ if whole => return None,
        "only-in-truth" => "truth only",
        "only-in-prediction" => "model only",
        _ => "",
    };
    Some((Some(cells.place()?), value, what))
}

/// Merged and split nuclei of the truth: the better they overlap, the likelier it is that the cut
/// alone is in doubt.
fn doubtful_split(table: &Table, row: &Row) -> Option<Found> {
    let cells = Cells(table, row);
    let what = match (cells.text("error"), cells.text("side")) {
        ("merged", "truth") => "merged by model",
        ("split", "truth") => "split by model",
        _ => return None,
    };
    Some((Some(cells.place()?), cells.number("iou")?, what))
}

/// Candidates that nobody decided on, the likeliest first.
fn candidate(table: &Table, row: &Row) -> Option<Found> {
    let cells = Cells(table, row);
    if !cells.text("decision").is_empty() {
        return None;
    }
    let score = cells.number("score").unwrap_or(0.0);
    Some((Some(cells.place()?), score, "mitotic?"))
}

/// The nuclei of a field with their confidences.
fn sure_nuclei(field: usize, path: &Path) -> Result<Vec<Entry>, ViewError> {
    let table = Table::read(path)?;
    let entries = table.rows.iter().filter_map(|row| {
        let cells = Cells(&table, row);
        let value = cells.number("confidence")?;
        Some(Entry::of(field, (Some(cells.place()?), value, "")))
    });
    Ok(entries.collect())
}

/// The confidence of every object of a field; empty where there is no table.
///
/// # Errors
/// It cannot be read.
pub(crate) fn confidences(path: &Path) -> Result<BTreeMap<u32, f64>, ViewError> {
    if !path.is_file() {
        return Ok(BTreeMap::new());
    }
    let table = Table::read(path)?;
    let rows = table.rows.iter().filter_map(|row| {
        let cells = Cells(&table, row);
        let label = cells.text("label").parse().ok()?;
        Some((label, cells.number("confidence")?))
    });
    Ok(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places of a list whose table holds `text`; the field `t` is kept for the test.
    fn listed(source: impl Fn(PathBuf) -> Source, text: &str, with_tests: bool) -> Entries {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        let names = ["a", "b", "t"];
        let fields = Fields {
            number: &|name| names.iter().position(|known| *known == name),
            is_test: &|field| field == 2,
            sure: &|_| vec![(0, path.clone()), (2, path.clone())],
            numbers: &|_| vec![(0, 1.0), (1, 5.0), (2, 9.0), (3, 0.0)],
        };
        let list = WorkList::new("", None, source(path.clone()));
        list.entries(&fields, with_tests).unwrap()
    }

    fn places(found: &Entries) -> Vec<(usize, Option<[f64; 2]>)> {
        let entries = found.entries.iter();
        entries.map(|entry| (entry.field, entry.at)).collect()
    }

    #[test]
    fn disagreements_are_nuclei_or_fields_and_those_of_the_test_wait() {
        let text = "field,kind,label,y_px,x_px,area_px,disagreement\n\
                    b,only-in-truth,4,10.5,20,30,0.7\n\
                    a,only-in-prediction,2,1,2,30,0.9\n\
                    t,only-in-truth,1,3,4,30,0.95\n\
                    gone,only-in-truth,1,3,4,30,0.95\n\
                    a,field,,,,,0.1\nb,field,,,,,0.3\n";
        let source = |fields| {
            move |path| Source::Disagreements {
                tables: vec![path, PathBuf::from("not there")],
                fields,
            }
        };
        let nuclei = listed(source(false), text, false);
        assert_eq!(
            places(&nuclei),
            [(0, Some([1.0, 2.0])), (1, Some([10.5, 20.0]))]
        );
        assert_eq!((nuclei.tests, nuclei.more), (1, 0));
        assert_eq!(nuclei.entries[0].what, "model only");
        let all = listed(source(false), text, true);
        assert_eq!(places(&all)[0], (2, Some([3.0, 4.0])));
        assert_eq!(all.tests, 0);
        let whole = listed(source(true), text, false);
        assert_eq!(places(&whole), [(1, None), (0, None)]);
    }

    #[test]
    fn doubtful_splits_candidates_and_columns() {
        let text = "field,error,side,label,y_px,x_px,iou\na,merged,truth,1,1,1,0.4\n\
                    a,merged,prediction,1,2,2,0.4\na,missed,truth,2,3,3,0\n\
                    b,split,truth,3,4,4,0.6\n";
        let splits = |path| Source::Splits { tables: vec![path] };
        let found = listed(splits, text, false);
        assert_eq!(places(&found), [(1, Some([4.0; 2])), (0, Some([1.0; 2]))]);
        let text = "field,y_px,x_px,score,mitotic,decision\na,1,1,0.5,yes,\nb,2,2,0.9,yes,no\n";
        let found = listed(|table| Source::Mitoses { table }, text, false);
        assert_eq!(places(&found), [(0, Some([1.0; 2]))]);
        let found = listed(|_| Source::Column { column: 0 }, "", false);
        assert_eq!(places(&found), [(1, None), (0, None)]);
        assert_eq!(found.tests, 1);
    }

    #[test]
    fn the_least_sure_nuclei_come_first() {
        let text = "label,y_px,x_px,area_px,confidence\n3,1.5,2.5,40,0.9\n7,4,5,40,0.2\n";
        let found = listed(|_| Source::Sure { layer: 0 }, text, false);
        assert_eq!(
            places(&found),
            [(0, Some([4.0, 5.0])), (0, Some([1.5, 2.5]))]
        );
        assert_eq!(found.tests, 1);
        assert_eq!(
            listed(|_| Source::Sure { layer: 0 }, text, true)
                .entries
                .len(),
            4
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        assert!(confidences(&path).unwrap().is_empty());
        std::fs::write(&path, text).unwrap();
        assert_eq!(confidences(&path).unwrap(), [(3, 0.9), (7, 0.2)].into());
    }
}
