//! How the rows of a run join those of others in `predictions.csv`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stainfree_image::table::{Row, Table};

use crate::ProjectError;
use crate::prediction::results::my_turn;
use crate::study::predictions::{Cells, FIRST, classes, read};

/// The table is written this often, so that a killed run loses little.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// Rows of `predictions.csv` by field.
pub(super) type Rows = BTreeMap<String, Vec<String>>;

/// The rows of earlier runs, whose columns may be those of another version. Rows of a model with
/// other classes are none where all of them are of fields that `may_go`.
///
/// # Errors
/// They cannot be read, or are of a model with other classes and have to stay.
pub(super) fn read_rows(
    path: &Path,
    header: &[String],
    may_go: impl Fn(&str) -> bool,
) -> Result<Rows, ProjectError> {
    let Some(table) = read(path)? else {
        return Ok(Rows::new());
    };
    let found = &table.columns;
    let is_ours = is_of_predictions(found);
    if has_other_classes(found, header) {
        if table.rows.iter().all(|row| may_go(row.cell(0))) {
            return Ok(Rows::new());
        }
        return Err(ProjectError::Exists(format!(
            "`{}` is of a model with other classes ({}); choose another folder with `--out`, or \
             replace all of its fields at once with `--overwrite`",
            path.display(),
            classes(found).collect::<Vec<_>>().join(", ")
        )));
    }
    let places: Vec<Option<usize>> = header
        .iter()
        .map(|name| found.iter().position(|found| found == name))
        .collect();
    let cells = |row: &Row| -> Vec<String> {
        let cell = |place: &Option<usize>| place.map_or("", |i| row.cell(i)).to_owned();
        places.iter().map(cell).collect()
    };
    let rows = table.rows.iter().filter(|_| is_ours).map(cells);
    Ok(rows.map(|row| (row[0].clone(), row)).collect())
}

fn is_of_predictions(columns: &[String]) -> bool {
    columns.first().is_some_and(|name| name == FIRST[0])
}

/// Whether these columns are of a model whose classes are not those of `header`.
fn has_other_classes(columns: &[String], header: &[String]) -> bool {
    is_of_predictions(columns) && !classes(columns).eq(classes(header))
}

/// The rows of this run, which join those of others in `predictions.csv`.
pub(super) struct OwnRows {
    path: PathBuf,
    header: Vec<String>,
    rows: Rows,
    saved: Instant,
}

impl OwnRows {
    pub(super) fn new(path: PathBuf, header: Vec<String>) -> Self {
        Self {
            path,
            header,
            rows: Rows::new(),
            saved: Instant::now(),
        }
    }

    /// Puts a field's row in.
    pub(super) fn put(&mut self, mut cells: Cells) {
        let row: Vec<String> = self
            .header
            .iter()
            .map(|column| cells.remove(column).unwrap_or_default())
            .collect();
        debug_assert!(
            cells.is_empty(),
            "columns that are not in the header: {cells:?}"
        );
        self.rows.insert(row[0].clone(), row);
    }

    pub(super) fn save_now_and_then(&mut self) -> Result<(), ProjectError> {
        if self.saved.elapsed() >= SAVE_EVERY {
            self.save()
        } else {
            Ok(())
        }
    }

    /// Puts the rows into the file, on a turn: others may have put theirs there since.
    pub(super) fn save(&mut self) -> Result<(), ProjectError> {
        let out = self.path.parent().unwrap_or(Path::new("."));
        // After a stop as well: what is finished is kept.
        let _turn = my_turn(out, "predict", &crate::Cancel::new())?;
        let mut rows = read_rows(&self.path, &self.header, |_| false)?;
        rows.extend(self.rows.clone());
        write_rows(&self.path, &self.header, &rows)?;
        self.saved = Instant::now();
        Ok(())
    }
}

/// Takes out, on one's turn, the rows of fields whose files are about to be rewritten; where those
/// are of a model with other classes, all that there are.
pub(super) fn forget<'a>(
    path: &Path,
    header: &[String],
    mut rows: Rows,
    fields: impl Iterator<Item = &'a str>,
) -> Result<(), ProjectError> {
    let before = rows.len();
    for field in fields {
        rows.remove(field);
    }
    let is_other = |table: Table| has_other_classes(&table.columns, header);
    if rows.len() < before || read(path)?.is_some_and(is_other) {
        write_rows(path, header, &rows)?;
    }
    Ok(())
}

fn write_rows(path: &Path, header: &[String], rows: &Rows) -> Result<(), ProjectError> {
    let mut text = csv::Writer::from_writer(Vec::new());
    let written = text
        .write_record(header)
        .and_then(|()| rows.values().try_for_each(|row| text.write_record(row)));
    let bytes = written
        .map_err(|error| error.to_string())
        .and_then(|()| text.into_inner().map_err(|error| error.to_string()));
    let bytes = bytes.map_err(|error| {
        ProjectError::NotMade(format!("`{}` cannot be made: {error}", path.display()))
    })?;
    Ok(stainfree_image::write_atomic(path, &bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::predictions::{FILE_NAME, IGNORED_SHARE, header};

    /// A table of predictions, read for a model with these classes.
    fn rows(text: &str, classes: &[&str]) -> Result<Rows, ProjectError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, text).unwrap();
        let classes: Vec<String> = classes.iter().map(|&class| class.to_owned()).collect();
        read_rows(&path, &header(&classes), |_| false)
    }

    #[test]
    fn a_table_without_the_share_of_ignored_pixels_goes_on() {
        let older = "name,status,message,background_share,nucleus_share,nuclei,model\n\
                     a,done,,0.5,0.5,3,12\n";
        let found = rows(older, &["background", "nucleus"]).unwrap();
        let header = header(&["background".to_owned(), "nucleus".to_owned()]);
        let place = |name: &str| header.iter().position(|column| column == name).unwrap();
        let row = &found["a"];
        assert_eq!((&*row[place("nuclei")], &*row[place("model")]), ("3", "12"));
        assert_eq!(row[place(IGNORED_SHARE)], "");
        let error = rows(older, &["background", "cell"]).unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("other classes (background, nucleus)"),
            "{said}"
        );
    }

    #[test]
    fn a_table_that_cannot_be_read_is_not_taken_for_an_empty_one() {
        let surplus = "name,status,message,background_share\na,done,,0,5,7\n";
        let error = rows(surplus, &["background"]).unwrap_err().to_string();
        assert!(error.contains("line 2 has 6 cells"), "{error}");
        let none = tempfile::tempdir().unwrap();
        let path = none.path().join(FILE_NAME);
        let missing = read_rows(&path, &header(&[]), |_| false).unwrap();
        assert!(missing.is_empty());
    }
}
