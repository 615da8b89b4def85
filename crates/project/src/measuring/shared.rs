//! `measure` by shards: each leaves the rows of its fields, and `merge` makes the table of them as
//! a single run makes it, in the order of the fields.
//!
//! Beside the list of the fields lies `table.json`, all that is known of the table before its rows.
//! A shard's rows, with the digits that numbers are made of again bit for bit, and then its table
//! of fields appear whole or not at all; a shard that was killed begins anew.

use std::collections::BTreeMap;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use stainfree_objects::measure::MeasurePlan;

use super::cells::{Cells, ColumnHead, ColumnType};
use super::inputs::{Inputs, Work};
use super::sink::{FieldPlace, FieldRows, Sink, TablePlan};
use super::table::TableFile;
use super::{MeasureOptions, MeasuredPlate, check_ours, one_field, open, plan_of, table_plan};
use crate::prediction::results::my_turn;
use crate::study::disk::{create_folder, remove};
use crate::study::each_field::EachField;
use crate::study::fingerprint::Fingerprint;
use crate::study::lease::{Holder, Thing};
use crate::study::shards::{Ended, Plan, Shard, Share};
use crate::study::{relative_to, table};
use crate::{Job, ProjectError};

/// The command, as plans call it.
const COMMAND: &str = "measure";
/// What is known of a table before its rows.
const TABLE: &str = "table.json";

/// A table whose rows are shared among shards.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Shared {
    /// The version that measures: others may measure otherwise.
    program: String,
    /// Name of the table.
    out: String,
    /// The table of wells, as seen from the folder of the other.
    wells: Option<PathBuf>,
    /// A hash of what is measured and how.
    settings: String,
    table: TablePlan,
    /// In the order of the rows.
    fields: Vec<FieldPlace>,
}

/// What a shard says of one of its fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ShardRow {
    name: String,
    status: Status,
    /// Why it failed, or what it lacks; `; ` between several.
    message: String,
    height: usize,
    width: usize,
    objects: usize,
    /// A hash of [`Shared`].
    table: String,
    /// A hash of what the field was measured from.
    key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Done,
    Failed,
}

impl Shared {
    fn of(options: &MeasureOptions, folder: &Path, table: TablePlan, work: &[Work]) -> Self {
        let mut settings = Fingerprint::new(1);
        settings.text(&format!("{:?}", options.settings));
        settings.text(&format!(
            "{:?}",
            (options.plane, options.opening.pixel_um, options.skip_border)
        ));
        let full = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let wells = options.wells.as_ref();
        Self {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            out: name_of(&options.out),
            wells: wells.map(|path| relative_to(&full(path), &full(folder))),
            settings: settings.finish_short(8),
            table,
            fields: work.iter().map(FieldPlace::of).collect(),
        }
    }

    fn text(&self) -> Result<Vec<u8>, ProjectError> {
        serde_json::to_vec_pretty(self).map_err(|error| {
            ProjectError::NotMade(format!(
                "`{TABLE}` of `{}` cannot be made: {error}",
                self.out
            ))
        })
    }

    /// What rows of this table are recognised by.
    fn key(&self) -> Result<String, ProjectError> {
        let mut hash = Fingerprint::empty();
        hash.bytes(self.text()?);
        Ok(hash.finish_short(8))
    }

    fn read(folder: &Path) -> Result<Self, ProjectError> {
        let path = folder.join(TABLE);
        let text = std::fs::read(&path).map_err(|error| ProjectError::read(&path, &error))?;
        serde_json::from_slice(&text).map_err(|error| {
            ProjectError::Failed(format!(
                "`{}` is damaged ({error}); delete `{}` and give its shards again",
                path.display(),
                folder.display()
            ))
        })
    }

    /// Writes it, unless another shard has written the same.
    ///
    /// # Errors
    /// The shards so far were given something else, or there is a table of another run.
    fn settle(&self, folder: &Path, options: &MeasureOptions) -> Result<(), ProjectError> {
        let path = folder.join(TABLE);
        match Self::read(folder) {
            Ok(same) if same == *self => return Ok(()),
            Ok(_) if !options.overwrite => {
                return Err(ProjectError::Exists(format!(
                    "the shards of `{}` so far were given other images, labels or options: give \
                     the same ones, or `--overwrite` to measure all of them anew",
                    options.out.display()
                )));
            }
            Err(_) if options.out.is_file() && !options.overwrite => {
                return Err(ProjectError::Exists(format!(
                    "`{}` exists; give another name, or `--overwrite`",
                    options.out.display()
                )));
            }
            _ => {}
        }
        create_folder(folder)?;
        Ok(stainfree_image::write_atomic(&path, &self.text()?)?)
    }
}

fn name_of(out: &Path) -> String {
    let name = out.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The rows of the table of this name, which shards take parts of.
fn rows_of<'a>(folder: &'a Path, thing: &'a str, command: &'a str) -> Thing<'a> {
    Thing {
        folder,
        name: thing,
        command,
    }
}

/// What [`rows_of`] is called.
fn thing_of(out: &str) -> String {
    let mut name = Fingerprint::empty();
    name.bytes(out);
    format!("rows-{}", name.finish_short(8))
}

/// The rows of a shard beside its table.
fn rows_path(table: &Path) -> PathBuf {
    table.with_extension("rows.csv")
}

/// Measures the fields of `shard` and leaves their rows.
///
/// # Errors
/// As [`measure`](super::measure); and the shards so far were given something else.
pub(super) fn measure_shard(
    options: &MeasureOptions,
    shard: Shard,
    started: Instant,
    job: &Job,
) -> Result<MeasuredPlate, ProjectError> {
    let inputs = open(options, job)?;
    let work = inputs.work(options.plane, job);
    let plan = plan_of(options, &inputs, &work, job)?;
    let table = table_plan(options, &inputs, &plan, &work)?;
    let folder = super::folder_of(&options.out);
    if !folder.is_dir() {
        let why = std::io::ErrorKind::NotFound.into();
        return Err(ProjectError::write(&options.out, &why));
    }
    let name = name_of(&options.out);
    let fields = work.iter().map(|work| work.field);
    let share = Share::of((COMMAND, &name), folder, fields, Some(shard));
    let shared = Shared::of(options, folder, table, &work);
    let ours: Vec<Work> = work
        .into_iter()
        .filter(|work| share.has(&work.field.name))
        .collect();
    let names = ours.iter().map(|work| work.field.name.clone()).collect();
    let (thing, command) = (thing_of(&name), share.command(COMMAND));
    let rows = rows_of(folder, &thing, &command);
    share.wait_for_the_dead(&rows, job)?;
    let turn = my_turn(folder, COMMAND, job.cancel)?;
    let way_out = "wait until it ends, then give this shard again";
    let lease = rows.share_fields(names, way_out, job.cancel)?;
    // A single run has none; see above.
    let Some(own) = share.table() else {
        return Ok(MeasuredPlate::default());
    };
    // In this order: whoever finds the list of the fields finds what is known of the table.
    shared.settle(own.parent().unwrap_or(folder), options)?;
    share.write(job)?;
    drop(turn);
    let mut measured = lease.during(job, |job| {
        let part = Part {
            inputs: &inputs,
            plan: &plan,
            options,
            columns: shared.table.measured.len(),
            table: shared.key()?,
            path: &own,
        };
        part.measure(&ours, job)
    })?;
    measured.columns = shared
        .table
        .heads()
        .into_iter()
        .map(|head| head.name)
        .collect();
    measured.seconds = started.elapsed().as_secs_f64();
    Ok(measured)
}

/// What a shard is to measure, and where its rows go.
struct Part<'a> {
    inputs: &'a Inputs,
    plan: &'a MeasurePlan,
    options: &'a MeasureOptions,
    /// How many columns are measured.
    columns: usize,
    /// What rows of the table are recognised by.
    table: String,
    /// The table of its fields.
    path: &'a Path,
}

impl Part<'_> {
    fn measure(&self, ours: &[Work], job: &Job) -> Result<MeasuredPlate, ProjectError> {
        let mut measured = MeasuredPlate::default();
        let keys: Vec<String> = ours.iter().map(|work| self.inputs.key(work)).collect();
        if let Some(rows) = self.kept(ours, &keys)? {
            measured.kept = rows.len();
            measured.fields = rows.len();
            measured.objects = rows.iter().map(|row| row.objects).sum();
            measured.failed = rows.into_iter().map(|row| row.message).collect();
            measured.failed.retain(|message| !message.is_empty());
            return Ok(measured);
        }
        let at_once = ours.len() < job.machine.threads();
        let rows_path = rows_path(self.path);
        // Nothing vouches for rows that are being replaced.
        remove(self.path)?;
        let mut file = TableFile::begin(&rows_path, &self.heads(), &[])?;
        let mut rows = Vec::new();
        let each = EachField::new(job, ours, |one: &Work| one.field.name.clone());
        each.some_at_once(
            |one| {
                Ok(Ok(one_field(
                    self.inputs,
                    one,
                    self.plan,
                    self.options,
                    at_once,
                )?))
            },
            |_, error| Ok(Err(error.to_string())),
            |one, found| {
                rows.push(self.put(
                    one,
                    found,
                    &keys[rows.len()],
                    (&mut file, &mut measured),
                    job,
                )?);
                Ok(())
            },
        )?;
        file.finish()?;
        match rows.is_empty() {
            true => Ok(()),
            false => table::write(self.path, &rows),
        }?;
        measured.files = vec![self.path.to_owned(), rows_path];
        Ok(measured)
    }

    /// The rows of last time, where they are of the same fields, all done, and still there.
    fn kept(&self, ours: &[Work], keys: &[String]) -> Result<Option<Vec<ShardRow>>, ProjectError> {
        let rows = read_rows(self.path)?;
        let wanted = ours.iter().zip(keys);
        let same = rows.len() == ours.len()
            && rows.iter().zip(wanted).all(|(row, (work, key))| {
                let is_of = (&row.name, &row.key) == (&work.field.name, key);
                is_of && row.table == self.table && row.status == Status::Done
            });
        Ok((same && !rows.is_empty() && rows_path(self.path).is_file()).then_some(rows))
    }

    fn heads(&self) -> Vec<ColumnHead> {
        let first = [("field", ColumnType::Text), ("label", ColumnType::Integer)];
        let first = first.map(|(name, kind)| ColumnHead::new(name, kind));
        let rest = (0..self.columns).map(|i| ColumnHead::new(format!("c{i}"), ColumnType::Float));
        first.into_iter().chain(rest).collect()
    }

    /// Writes the rows of a field, and gives what is said of it.
    fn put(
        &self,
        work: &Work,
        found: Result<FieldRows, String>,
        key: &str,
        (file, measured): (&mut TableFile, &mut MeasuredPlate),
        job: &Job,
    ) -> Result<ShardRow, ProjectError> {
        let mut row = ShardRow {
            name: work.field.name.clone(),
            status: Status::Done,
            message: String::new(),
            height: 0,
            width: 0,
            objects: 0,
            table: self.table.clone(),
            key: key.to_owned(),
        };
        match found {
            Ok(rows) => {
                rows.notes.iter().for_each(|note| job.progress.note(note));
                measured.fields += 1;
                measured.objects += rows.labels.len();
                measured.failed.extend(rows.missing.iter().cloned());
                (row.height, row.width) = rows.size;
                row.objects = rows.labels.len();
                row.message = rows.missing.join("; ");
                let name: Arc<str> = Arc::from(&*work.field.name);
                let labels = rows.labels.iter().map(|&label| Some(i64::from(label)));
                let mut cells = vec![
                    Cells::Text(vec![Some(name); row.objects]),
                    Cells::Integer(labels.collect()),
                ];
                cells.extend(rows.columns.into_iter().map(Cells::Float));
                file.append(cells)?;
            }
            Err(sentence) => {
                row.status = Status::Failed;
                row.message = sentence.clone();
                measured.failed.push(sentence);
            }
        }
        Ok(row)
    }
}

/// The table of a shard; empty where there is none.
fn read_rows(path: &Path) -> Result<Vec<ShardRow>, ProjectError> {
    match path.is_file() {
        false => Ok(Vec::new()),
        true => table::read(
            path,
            &["name", "message", "table", "key"],
            "delete the table and give its shard again",
        ),
    }
}

/// The rows of a shard, read field by field.
struct Reader {
    path: PathBuf,
    /// Where the next field begins.
    at: u64,
    columns: usize,
}

impl Reader {
    fn damaged(&self, why: &str) -> ProjectError {
        ProjectError::Failed(format!(
            "`{}` is damaged ({why}); delete it and give its shard again",
            self.path.display()
        ))
    }

    /// The rows of the next field that has some.
    fn next(&mut self, said: &ShardRow) -> Result<FieldRows, ProjectError> {
        let mut rows = FieldRows {
            labels: Vec::with_capacity(said.objects),
            columns: vec![Vec::with_capacity(said.objects); self.columns],
            size: (said.height, said.width),
            missing: Vec::new(),
            notes: Vec::new(),
        };
        if said.objects == 0 {
            return Ok(rows);
        }
        // Opened for each field: there may be more shards than files that may be open.
        let failed = |error: &std::io::Error| ProjectError::read(&self.path, error);
        let mut file = std::fs::File::open(&self.path).map_err(|error| failed(&error))?;
        file.seek(SeekFrom::Start(self.at))
            .map_err(|error| failed(&error))?;
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(BufReader::new(file));
        let mut record = csv::StringRecord::new();
        if self.at == 0 {
            let head = reader.read_record(&mut record);
            head.map_err(|error| self.damaged(&error.to_string()))?;
        }
        for _ in 0..said.objects {
            let read = reader.read_record(&mut record);
            let read = read.map_err(|error| self.damaged(&error.to_string()))?;
            if !read || record.get(0) != Some(&*said.name) || record.len() != 2 + self.columns {
                return Err(self.damaged(&format!("field `{}` has not all its rows", said.name)));
            }
            let label = record.get(1).and_then(|cell| cell.parse().ok());
            rows.labels
                .push(label.ok_or_else(|| self.damaged("a label is no number"))?);
            for (column, cell) in rows.columns.iter_mut().zip(record.iter().skip(2)) {
                let value = match cell {
                    "" => Ok(f64::NAN),
                    cell => cell.parse(),
                };
                column.push(value.map_err(|_| self.damaged(&format!("`{cell}` is no number")))?);
            }
        }
        self.at += reader.position().byte();
        Ok(rows)
    }
}

/// What all shards say of the fields of a plan.
struct Said {
    shared: Shared,
    /// By field, with the shard.
    rows: BTreeMap<String, (usize, ShardRow)>,
}

impl Said {
    fn read(plan: &Plan) -> Result<Self, ProjectError> {
        let shared = Shared::read(&plan.folder)?;
        let key = shared.key()?;
        let mut rows = BTreeMap::new();
        for index in 1..=plan.count {
            let path = plan.table(index);
            let said = read_rows(&path)?;
            if rows_path(&path).is_file() {
                let said = said.into_iter().filter(|row| row.table == key);
                rows.extend(said.map(|row| (row.name.clone(), (index, row))));
            }
        }
        Ok(Self { shared, rows })
    }
}

/// How the fields of a plan ended.
///
/// # Errors
/// A table is damaged.
pub(crate) fn ended(plan: &Plan) -> Result<Ended, ProjectError> {
    let mut ended = Ended::default();
    for (name, (_, row)) in Said::read(plan)?.rows {
        match row.status {
            Status::Done => drop(ended.done.insert(name)),
            Status::Failed => drop(ended.failed.insert(name, row.message)),
        }
    }
    Ok(ended)
}

/// Who measures fields of a plan now.
///
/// # Errors
/// What is known of the table is damaged.
pub(crate) fn holders(plan: &Plan, folder: &Path) -> Result<Vec<Holder>, ProjectError> {
    let shared = Shared::read(&plan.folder)?;
    Ok(rows_of(folder, &thing_of(&shared.out), "status").holders())
}

/// Makes the table of a plan in `folder` of the rows of all shards, as a single run makes it; any
/// number of times.
///
/// # Errors
/// Shards are missing, a part is damaged, the table is somebody's own or cannot be written, or
/// [`ProjectError::Cancelled`].
pub(crate) fn join(plan: &Plan, folder: &Path, job: &Job) -> Result<MeasuredPlate, ProjectError> {
    let started = Instant::now();
    let said = Said::read(plan)?;
    let shared = &said.shared;
    let out = folder.join(&shared.out);
    let missing = shared
        .fields
        .iter()
        .filter(|field| !said.rows.contains_key(&field.name));
    let missing: Vec<&FieldPlace> = missing.collect();
    if let Some(first) = missing.first() {
        return Err(ProjectError::Failed(format!(
            "`{}` is not made: {} of {} fields are not measured yet, such as `{}`; give their \
             shards again (`stainfree status {}` lists them)",
            out.display(),
            missing.len(),
            shared.fields.len(),
            first.name,
            folder.display()
        )));
    }
    let wells = shared.wells.as_ref().map(|path| folder.join(path));
    check_ours(&out, wells.as_deref())?;
    let mut sink = Sink::begin(&shared.table, &out, wells.as_deref())?;
    let mut measured = MeasuredPlate {
        columns: sink.columns(),
        ..MeasuredPlate::default()
    };
    let mut readers: BTreeMap<usize, Reader> = BTreeMap::new();
    for field in &shared.fields {
        job.cancel.check()?;
        let (index, row) = &said.rows[&field.name];
        if row.status == Status::Failed {
            measured.failed.push(row.message.clone());
            continue;
        }
        let reader = readers.entry(*index).or_insert_with(|| Reader {
            path: rows_path(&plan.table(*index)),
            at: 0,
            columns: shared.table.measured.len(),
        });
        let rows = reader.next(row)?;
        measured.fields += 1;
        measured.objects += rows.labels.len();
        measured
            .failed
            .extend((!row.message.is_empty()).then(|| row.message.clone()));
        measured.wells += sink.add(field, rows)?;
    }
    if measured.fields > 0 {
        measured.wells += sink.close_well()?;
        measured.files = sink.finish()?;
    }
    measured.seconds = started.elapsed().as_secs_f64();
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a shard says of a field with so many objects.
    fn said(name: &str, objects: usize) -> ShardRow {
        ShardRow {
            name: name.to_owned(),
            status: Status::Done,
            message: String::new(),
            height: 4,
            width: 5,
            objects,
            table: String::new(),
            key: String::new(),
        }
    }

    /// A file with these rows of fields, one column each.
    fn reader(folder: &Path, fields: &[(&str, &[f64])]) -> Reader {
        let path = folder.join("shard-1.rows.csv");
        let heads = [
            ColumnHead::new("field", ColumnType::Text),
            ColumnHead::new("label", ColumnType::Integer),
            ColumnHead::new("c0", ColumnType::Float),
        ];
        let mut file = TableFile::begin(&path, &heads, &[]).unwrap();
        for (name, values) in fields {
            let labels = (1..=values.len() as i64).map(Some).collect();
            let cells = vec![
                Cells::Text(vec![Some(Arc::from(*name)); values.len()]),
                Cells::Integer(labels),
                Cells::Float(values.to_vec()),
            ];
            file.append(cells).unwrap();
        }
        file.finish().unwrap();
        Reader {
            path,
            at: 0,
            columns: 1,
        }
    }

    #[test]
    fn numbers_come_back_bit_for_bit_field_by_field() {
        let folder = tempfile::tempdir().unwrap();
        let odd = [
            0.1 + 0.2,
            -0.0,
            f64::MIN_POSITIVE / 3.0,
            f64::INFINITY,
            1e300,
            std::f64::consts::PI,
        ];
        let fields = [("a, \"b\"", &odd[..2]), ("c", &odd[2..])];
        let mut reader = reader(folder.path(), &fields);
        for (name, values) in [fields[0], ("empty", &[][..]), fields[1]] {
            let rows = reader.next(&said(name, values.len())).unwrap();
            let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&rows.columns[0]), bits(values), "{name}");
            assert_eq!(rows.labels, (1..=values.len() as u32).collect::<Vec<_>>());
            assert_eq!(rows.size, (4, 5));
        }
    }

    #[test]
    fn what_is_unknown_stays_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let mut reader = reader(folder.path(), &[("a", &[f64::NAN, 1.0])]);
        let rows = reader.next(&said("a", 2)).unwrap();
        assert!(rows.columns[0][0].is_nan());
        assert_eq!(rows.columns[0][1], 1.0);
    }

    #[test]
    fn rows_that_are_missing_or_of_another_field_are_damage() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str, objects: usize| {
            let mut reader = reader(folder.path(), &[("a", &[1.0, 2.0]), ("b", &[3.0])]);
            let rows = reader.next(&said(name, objects));
            rows.map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(read("a", 2), Ok(()));
        for (name, objects) in [("a", 3), ("b", 1), ("c", 1)] {
            let error = read(name, objects).unwrap_err();
            assert!(error.contains("is damaged"), "{error}");
            assert!(
                error.contains(&format!("field `{name}` has not all its rows")),
                "{error}"
            );
        }
        let mut reader = reader(folder.path(), &[("a", &[1.0])]);
        std::fs::write(&reader.path, "field,label,c0\na,1,one\n").unwrap();
        let error = reader.next(&said("a", 1)).err().unwrap().to_string();
        assert!(error.contains("`one` is no number"), "{error}");
    }
}
