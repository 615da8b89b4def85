//! What shards of `predict` have done as the table of one run.
//!
//! It takes no lock: a table of a shard is whole whenever it is read, and a run of all fields, the
//! only other writer of `predictions.csv`, is refused while it works. A row is joined where the
//! files of its field are there and say that they are of its model and image; so is what was in
//! the table before.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use stainfree_image::{Product, Store, marker};
use stainfree_inference::cytoplasm_class;

use crate::prediction::results::fields_of;
use crate::prediction::table::{self, COMMAND, Rows, all_rows, read_rows};
use crate::prediction::written::NOTED;
use crate::prediction::zarr;
use crate::study::predictions::{FILE_NAME, FIRST, classes, header, read};
use crate::study::shards::{Ended, tables_in};
use crate::{Job, ProjectError};

/// How often the table is made again because somebody has changed it meanwhile.
const TRIES: usize = 20;

/// What the rows of a folder say.
struct Said<'a> {
    store: Store,
    header: &'a [String],
    /// Whether there are whole cells.
    cells: bool,
}

impl<'a> Said<'a> {
    fn of(out: &Path, header: &'a [String]) -> Self {
        let names: Vec<String> = classes(header).map(str::to_owned).collect();
        Self {
            store: Store::at(out),
            header,
            cells: cytoplasm_class(&names).is_some(),
        }
    }

    fn cell<'r>(&self, row: &'r [String], column: &str) -> &'r str {
        let place = self.header.iter().position(|name| name == column);
        place.and_then(|i| row.get(i)).map_or("", String::as_str)
    }

    fn is_done(&self, row: &[String]) -> bool {
        self.cell(row, "status") == "done"
    }

    /// Whether the files of a field that is done are there, of the model and the image of its row.
    fn is_there(&self, name: &str, row: &[String]) -> bool {
        let (model, content) = (self.cell(row, "model"), self.cell(row, "content"));
        let end = format!(", model {model}, image {content}");
        let mut wanted = NOTED
            .iter()
            .filter(|(product, _)| self.cells || *product != Product::Cells);
        wanted.all(|(product, _)| {
            let note = marker::note_of(&self.store.path(*product, name));
            note.is_some_and(|note| note.ends_with(end.trim_end()))
        })
    }
}

/// The titles of the tables; `None` where nobody has saved one.
fn header_of(out: &Path) -> Result<Option<Vec<String>>, ProjectError> {
    let of_all = std::iter::once(out.join(FILE_NAME));
    for path in tables_in(out, COMMAND).into_iter().chain(of_all) {
        if let Some(table) = read(&path)?
            && table.columns.first().is_some_and(|name| name == FIRST[0])
        {
            let names: Vec<String> = classes(&table.columns).map(str::to_owned).collect();
            return Ok(Some(header(&names)));
        }
    }
    Ok(None)
}

/// How the fields of a result ended, whoever did them.
///
/// # Errors
/// A table is damaged.
pub(crate) fn ended(out: &Path, job: &Job) -> Result<Ended, ProjectError> {
    let Some(header) = header_of(out)? else {
        return Ok(Ended::default());
    };
    let said = Said::of(out, &header);
    let rows = all_rows(out, &header, |_| false)?;
    let there = there_of(&said, &rows, job)?;
    let mut ended = Ended::default();
    for (name, row) in rows {
        if !said.is_done(&row) {
            let why = said.cell(&row, "message").to_owned();
            ended.failed.insert(name, why);
        } else if there.contains(&name) {
            ended.done.insert(name);
        } else {
            ended.lost.insert(name);
        }
    }
    Ok(ended)
}

/// Names of the fields that are done and whose files are there.
fn there_of(said: &Said, rows: &Rows, job: &Job) -> Result<BTreeSet<String>, ProjectError> {
    let rows: Vec<(&String, &Vec<String>)> = rows.iter().collect();
    job.run(|| {
        let done = rows.par_iter().filter(|(_, row)| said.is_done(row));
        let there = done.filter(|(name, row)| said.is_there(name, row));
        there.map(|(name, _)| (*name).clone()).collect()
    })
}

/// Makes `predictions.csv` of the rows of all shards, lists the wells of these plates where they
/// are kept as OME-Zarr, and gives the files.
///
/// # Errors
/// A run of all fields is at work, a table is damaged or cannot be written, or
/// [`ProjectError::Cancelled`].
pub(crate) fn join(
    out: &Path,
    plates: BTreeSet<&str>,
    job: &Job,
) -> Result<Vec<PathBuf>, ProjectError> {
    let path = out.join(FILE_NAME);
    let Some(header) = header_of(out)? else {
        return Ok(Vec::new());
    };
    for _ in 0..TRIES {
        job.cancel.check()?;
        refuse_single(out)?;
        let before = std::fs::read(&path).ok();
        let rows = joined(out, &header, job)?;
        if std::fs::read(&path).ok() != before {
            continue;
        }
        table::write_rows(&path, &header, &rows)?;
        // One that has begun in between may have taken rows out.
        if fields_of(out, "merge")
            .holders()
            .iter()
            .all(|holder| holder.command != COMMAND)
        {
            break;
        }
    }
    zarr::finish_plates(out, plates)?;
    Ok(vec![path])
}

/// The rows of the table as it is to be.
fn joined(out: &Path, header: &[String], job: &Job) -> Result<Rows, ProjectError> {
    let mut rows = read_rows(&out.join(FILE_NAME), header, |_| false)?;
    let mut of_shards = Rows::new();
    for path in tables_in(out, COMMAND) {
        of_shards.extend(read_rows(&path, header, |_| false)?);
    }
    let said = Said::of(out, header);
    let there = there_of(&said, &of_shards, job)?;
    of_shards.retain(|name, row| !said.is_done(row) || there.contains(name));
    // A field that has failed in a shard and was done by a run of all fields is done.
    of_shards.retain(|name, row| {
        said.is_done(row) || !rows.get(name).is_some_and(|row| said.is_done(row))
    });
    rows.extend(of_shards);
    Ok(rows)
}

/// Refuses to join while a run of all fields writes the table.
fn refuse_single(out: &Path) -> Result<(), ProjectError> {
    let thing = fields_of(out, "merge");
    let holders = thing.holders();
    let single = holders.iter().find(|holder| holder.command == COMMAND);
    let way_out = "it joins the rows of shards itself; wait until it ends";
    single.map_or(Ok(()), |holder| Err(thing.held_by(holder, way_out)))
}

#[cfg(test)]
mod tests {
    use stainfree_image::Image;
    use stainfree_image::write::Note;

    use super::*;
    use crate::study::shards::Plan;
    use crate::{Cancel, Silent};

    /// A folder of results with the fields `a` to `e` of two shards.
    struct Results {
        folder: tempfile::TempDir,
        header: Vec<String>,
        plan: Plan,
    }

    impl Results {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let fields = ["a", "b", "c", "d", "e"].map(|name| (name, None));
            let plan = Plan::of((COMMAND, ""), folder.path(), fields.into_iter(), 2);
            plan.write().unwrap();
            Self {
                header: header(&["background".to_owned(), "nucleus".to_owned()]),
                folder,
                plan,
            }
        }

        fn out(&self) -> &Path {
            self.folder.path()
        }

        /// Writes a table with these fields, each with its status and model.
        fn table(&self, path: &Path, fields: &[(&str, &str, &str)]) {
            let row = |&(name, status, model): &(&str, &str, &str)| {
                let cell = |column: &String| match column.as_str() {
                    "name" => name.to_owned(),
                    "status" => status.to_owned(),
                    "message" if status == "failed" => "it is bad".to_owned(),
                    "model" => model.to_owned(),
                    "content" => "c0ffee".to_owned(),
                    _ => String::new(),
                };
                let row: Vec<String> = self.header.iter().map(cell).collect();
                (name.to_owned(), row)
            };
            let rows = fields.iter().map(row).collect();
            table::write_rows(path, &self.header, &rows).unwrap();
        }

        /// Writes the files of a field, made by `model`.
        fn files(&self, name: &str, model: &str) {
            let store = Store::at(self.out());
            for product in [Product::Classes, Product::Nuclei] {
                std::fs::create_dir_all(store.folder(product)).unwrap();
            }
            let note = |what: &str| Note {
                text: format!(
                    "stainfree 1 prediction: {what} of field {name}, model {model}, image c0ffee"
                ),
                pixel_um: None,
            };
            let (classes, labels) = (
                Image::from_fn(4, 4, |_, _| 0),
                Image::from_fn(4, 4, |_, _| 0),
            );
            store
                .put_classes(name, &classes, &note("class mask"))
                .unwrap();
            store
                .put_labels(Product::Nuclei, name, &labels, &note("nuclei"))
                .unwrap();
        }

        fn on_job<T>(&self, work: impl FnOnce(&Job) -> T) -> T {
            let (cancel, machine) = (Cancel::new(), stainfree_network::Machine::new(1));
            work(&Job::new(&Silent, &cancel, &machine))
        }

        /// The joined table: field, status and model of each row.
        fn joined(&self) -> Vec<(String, String, String)> {
            self.on_job(|job| join(self.out(), BTreeSet::new(), job))
                .unwrap();
            let rows = read_rows(&self.out().join(FILE_NAME), &self.header, |_| false).unwrap();
            let said = Said::of(self.out(), &self.header);
            let cell = |row: &[String], column| said.cell(row, column).to_owned();
            let rows = rows.into_iter();
            rows.map(|(name, row)| (name, cell(&row, "status"), cell(&row, "model")))
                .collect()
        }
    }

    #[test]
    fn a_row_is_joined_where_its_files_are_of_its_model_and_image() {
        let results = Results::new();
        let first = [
            ("a", "done", "m1"),
            ("c", "done", "m1"),
            ("e", "failed", "m1"),
        ];
        results.table(&results.plan.table(1), &first);
        results.table(
            &results.plan.table(2),
            &[("b", "done", "m1"), ("d", "done", "m1")],
        );
        results.files("a", "m1");
        results.files("b", "m1");
        // Those of another model; those of `d` are gone.
        results.files("c", "m2");
        let ended = results.on_job(|job| ended(results.out(), job)).unwrap();
        let names = |names: &BTreeSet<String>| names.iter().cloned().collect::<String>();
        assert_eq!(
            (names(&ended.done), names(&ended.lost)),
            ("ab".into(), "cd".into())
        );
        assert_eq!(ended.failed["e"], "it is bad");
        let row = |name: &str, status: &str, model: &str| {
            (name.to_owned(), status.to_owned(), model.to_owned())
        };
        let expected = [
            row("a", "done", "m1"),
            row("b", "done", "m1"),
            row("e", "failed", "m1"),
        ];
        assert_eq!(results.joined(), expected);
        let bytes = || std::fs::read(results.out().join(FILE_NAME)).unwrap();
        let before = bytes();
        assert_eq!(results.joined(), expected);
        assert_eq!(bytes(), before);
    }

    #[test]
    fn what_was_in_the_table_stays_unless_a_shard_has_done_it_since() {
        let results = Results::new();
        let before = [
            ("a", "done", "m1"),
            ("b", "done", "m1"),
            ("e", "done", "m1"),
        ];
        results.table(&results.out().join(FILE_NAME), &before);
        // Somebody who keeps the table and deletes the files loses no row.
        results.table(
            &results.plan.table(1),
            &[("a", "done", "m2"), ("e", "failed", "m2")],
        );
        results.table(&results.plan.table(2), &[("b", "done", "m2")]);
        results.files("b", "m2");
        let found: Vec<String> = results
            .joined()
            .into_iter()
            .map(|(_, _, model)| model)
            .collect();
        assert_eq!(found, ["m1", "m2", "m1"]);
    }

    #[test]
    fn nothing_is_joined_beside_a_run_of_all_fields() {
        let results = Results::new();
        results.table(&results.plan.table(1), &[("a", "failed", "m1")]);
        let take = |command: &str| {
            fields_of(results.out(), command)
                .share(vec!["b".to_owned()], &Cancel::new())
                .unwrap()
        };
        let whole = take(COMMAND);
        let refused = results.on_job(|job| join(results.out(), BTreeSet::new(), job));
        let said = refused.unwrap_err().to_string();
        assert!(
            said.ends_with("it joins the rows of shards itself; wait until it ends"),
            "{said}"
        );
        drop(whole);
        let _shard = take("predict --shard 2/2");
        assert_eq!(results.joined().len(), 1);
    }
}
