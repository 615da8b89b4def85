//! How the rows of a run join those of others: in `predictions.csv`, and of a shard in a table of
//! its own, which nobody else writes but where fields of it are made anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stainfree_image::table::{Row, Table};

use crate::prediction::results::my_turn;
use crate::study::predictions::{Cells, FILE_NAME, FIRST, classes, read};
use crate::study::shards::{hold_table, tables_in};
use crate::{Cancel, ProjectError};

/// The table is written this often, so that a killed run loses little.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// Rows of `predictions.csv` by field.
pub(super) type Rows = BTreeMap<String, Vec<String>>;

/// The command, as plans call it.
pub(super) const COMMAND: &str = "predict";

/// The tables of a folder: that of all, then those of shards.
fn tables(out: &Path) -> impl Iterator<Item = PathBuf> {
    let first = std::iter::once(out.join(FILE_NAME));
    first.chain(tables_in(out, COMMAND))
}

/// The rows of all tables of a folder, each as [`read_rows`]. A field has rows in two only once
/// they were joined; should they differ all the same, that of the shard is the newer one.
///
/// # Errors
/// As [`read_rows`].
pub(super) fn all_rows(
    out: &Path,
    header: &[String],
    may_go: impl Fn(&str) -> bool,
) -> Result<Rows, ProjectError> {
    let mut rows = Rows::new();
    for path in tables(out) {
        rows.extend(read_rows(&path, header, &may_go)?);
    }
    Ok(rows)
}

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
    Ok(rows_under(&table, header))
}

/// The rows of a table of the same classes, under the titles of today.
fn rows_under(table: &Table, header: &[String]) -> Rows {
    let found = &table.columns;
    let is_ours = is_of_predictions(found);
    let places: Vec<Option<usize>> = header
        .iter()
        .map(|name| found.iter().position(|found| found == name))
        .collect();
    let cells = |row: &Row| -> Vec<String> {
        let cell = |place: &Option<usize>| place.map_or("", |i| row.cell(i)).to_owned();
        places.iter().map(cell).collect()
    };
    let rows = table.rows.iter().filter(|_| is_ours).map(cells);
    rows.map(|row| (row[0].clone(), row)).collect()
}

fn is_of_predictions(columns: &[String]) -> bool {
    columns.first().is_some_and(|name| name == FIRST[0])
}

/// Whether these columns are of a model whose classes are not those of `header`.
fn has_other_classes(columns: &[String], header: &[String]) -> bool {
    is_of_predictions(columns) && !classes(columns).eq(classes(header))
}

/// The rows of this run, which join those of others.
pub(super) struct OwnRows {
    out: PathBuf,
    /// The table of the shard; none of a run of all fields.
    shard: Option<PathBuf>,
    header: Vec<String>,
    rows: Rows,
    saved: Instant,
}

impl OwnRows {
    /// For the table of the folder `out`, or that of a shard.
    pub(super) fn new(out: &Path, shard: Option<PathBuf>, header: Vec<String>) -> Self {
        Self {
            out: out.to_owned(),
            shard,
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

    /// Puts the rows into the file, on a turn: others may have put theirs there since. Rows of
    /// shards are joined in the table of all.
    pub(super) fn save(&mut self) -> Result<(), ProjectError> {
        // After a stop as well: what is finished is kept.
        let never = Cancel::new();
        let (path, _turn, mut rows) = match &self.shard {
            Some(path) => {
                let turn = hold_table(path, COMMAND, &never)?;
                (
                    path.clone(),
                    turn,
                    read_rows(path, &self.header, |_| false)?,
                )
            }
            None => {
                let turn = my_turn(&self.out, COMMAND, &never)?;
                let rows = all_rows(&self.out, &self.header, |_| false)?;
                (self.out.join(FILE_NAME), turn, rows)
            }
        };
        rows.extend(self.rows.clone());
        write_rows(&path, &self.header, &rows)?;
        self.saved = Instant::now();
        Ok(())
    }
}

/// Takes out of all tables, on one's turn, the rows of fields whose files are about to be
/// rewritten; of tables of a model with other classes, all that there are.
///
/// # Errors
/// A table cannot be read or written.
pub(super) fn forget<'a>(
    out: &Path,
    header: &[String],
    fields: impl Iterator<Item = &'a str>,
) -> Result<(), ProjectError> {
    let fields: BTreeSet<&str> = fields.collect();
    if fields.is_empty() {
        return Ok(());
    }
    for path in tables(out) {
        let is_shards = path != out.join(FILE_NAME);
        let hold = || hold_table(&path, COMMAND, &Cancel::new());
        let has_some = |table: &Table| {
            let mut rows = table.rows.iter();
            rows.any(|row| fields.contains(row.cell(0)))
                || has_other_classes(&table.columns, header)
        };
        if !read(&path)?.is_some_and(|table| has_some(&table)) {
            continue;
        }
        // Its shard may be at other fields, and add rows since.
        let _turn = is_shards.then(hold).transpose()?;
        let Some(table) = read(&path)? else {
            continue;
        };
        let mut rows = match has_other_classes(&table.columns, header) {
            true => Rows::new(),
            false => rows_under(&table, header),
        };
        rows.retain(|name, _| !fields.contains(&**name));
        write_rows(&path, header, &rows)?;
    }
    Ok(())
}

/// Writes a table.
///
/// # Errors
/// It cannot be written.
pub(super) fn write_rows(path: &Path, header: &[String], rows: &Rows) -> Result<(), ProjectError> {
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
    use crate::study::predictions::{IGNORED_SHARE, header};
    use crate::study::shards::Plan;

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

    #[test]
    fn shards_have_tables_of_their_own_and_what_is_made_anew_is_in_none() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let header = header(&["background".to_owned()]);
        let fields = ["a", "b", "c", "d"].map(|name| (name, None));
        let plan = Plan::of((COMMAND, ""), out, fields.into_iter(), 2);
        plan.write().unwrap();
        let put = |shard: Option<usize>, names: &[&str]| {
            let path = shard.map(|index| plan.table(index));
            let mut own = OwnRows::new(out, path, header.clone());
            for name in names {
                own.put(Cells::from([("name".to_owned(), (*name).to_owned())]));
            }
            own.save().unwrap();
        };
        let names = |rows: Rows| rows.into_keys().collect::<Vec<_>>().join(" ");
        let all = || names(all_rows(out, &header, |_| false).unwrap());
        let of_table = || names(read_rows(&out.join(FILE_NAME), &header, |_| false).unwrap());
        put(Some(1), &["a", "c"]);
        put(Some(2), &["b"]);
        assert_eq!((all(), of_table()), ("a b c".to_owned(), String::new()));
        forget(out, &header, ["c", "x"].into_iter()).unwrap();
        assert_eq!(all(), "a b");
        // A run of all fields joins what shards have done.
        put(None, &["d"]);
        assert_eq!(of_table(), "a b d");
        forget(out, &header, std::iter::once("a")).unwrap();
        assert_eq!((all(), of_table()), ("b d".to_owned(), "b d".to_owned()));
        // Rows of a model with other classes are an error, unless all fields are done anew.
        let other = crate::study::predictions::header(&["cell".to_owned()]);
        assert!(all_rows(out, &other, |_| false).is_err());
        assert_eq!(names(all_rows(out, &other, |_| true).unwrap()), "");
        forget(out, &other, std::iter::once("b")).unwrap();
        assert_eq!(names(all_rows(out, &other, |_| false).unwrap()), "");
    }

    #[test]
    fn cells_go_into_their_columns_whatever_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let header = header(&["background".to_owned(), "nucleus".to_owned()]);
        let mut table = OwnRows::new(folder.path(), None, header.clone());
        let cells = [
            ("nuclei", "3"),
            ("nucleus_share", "0.5"),
            ("name", "a"),
            ("status", "done"),
        ];
        let cells = cells.map(|(column, cell)| (column.to_owned(), cell.to_owned()));
        table.put(cells.into());
        table.save().unwrap();
        let rows = read_rows(&folder.path().join(FILE_NAME), &header, |_| false).unwrap();
        let row = &rows["a"];
        let cell = |name: &str| {
            let place = header.iter().position(|column| column == name).unwrap();
            row[place].as_str()
        };
        assert_eq!(
            [cell("status"), cell("nuclei"), cell("nucleus_share")],
            ["done", "3", "0.5"]
        );
        assert_eq!(
            [cell("message"), cell("model"), cell("expected_nuclei")],
            [""; 3]
        );
    }
}
