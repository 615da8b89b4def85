//! `prepare` by shards: what a plate needs first, by whoever comes first; then fields, each shard
//! its own; then, by `merge`, what is said of all of them.
//!
//! The rows of fields that are made lie beside the truth as those of a single run do. The table of
//! a shard says how its fields ended, so that those without truth are not taken for missing ones.

use std::path::Path;

use serde::{Deserialize, Serialize};
use stainfree_image::Field;

use super::field::{FieldInputs, Outcome};
use super::{Given, Plates, Prepared, alone, make_all, make_fields};
use crate::study::disk::remove;
use crate::study::shards::{Ended, Shard, Share, tables_in};
use crate::study::{Study, table, vouched};
use crate::{Job, ProjectError};

/// The command, as plans call it.
const COMMAND: &str = "prepare";

/// What a shard of `prepare` did.
#[derive(Clone, Debug, Default)]
pub struct PreparedShard {
    /// Fields that were made now.
    pub made: usize,
    /// Fields that had not changed.
    pub kept: usize,
    /// Fields without a usable truth: name and why.
    pub left_out: Vec<(String, String)>,
    /// Fields that failed: name and sentence.
    pub failed: Vec<(String, String)>,
}

/// How a field of a shard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    /// Its row lies beside its truth.
    Done,
    /// It was given no truth.
    LeftOut,
    Failed,
}

/// A row of the table of a shard.
#[derive(Serialize, Deserialize)]
struct ShardRow {
    name: String,
    status: Status,
    message: String,
}

/// Makes the truth of the fields of `shard`; the study stays half prepared until [`join`].
///
/// # Errors
/// As [`prepare`](super::prepare); and another process makes the same fields, or all.
pub fn prepare_shard(
    study: &Study,
    shard: Shard,
    job: &Job,
) -> Result<PreparedShard, ProjectError> {
    let source = study.source()?;
    let fields = source.dataset.fields.iter();
    let share = Share::of((COMMAND, ""), study.root(), fields.clone(), Some(shard));
    let ours = fields
        .map(|field| &field.name)
        .filter(|name| share.has(name));
    let names = ours.cloned().collect();
    let command = share.command(COMMAND);
    let fields = study.fields_for(&command);
    share.wait_for_the_dead(&fields, job)?;
    let turn = study.turn_for(COMMAND).wait(job.cancel)?;
    let way_out = "wait until it ends, then give this shard again";
    let lease = fields.share_fields(names, way_out, job.cancel)?;
    study.truth_for(COMMAND).must_be_free(way_out)?;
    study.no_training_may_run()?;
    let mut given = Given::of(study, study, source, job)?;
    let plates = turn.during(job, |job| {
        share.write(job)?;
        Plates::find(study, study, &mut given, job)
    })?;
    drop(turn);
    lease.during(job, |job| {
        let fields = given.source.dataset.fields.iter();
        let ours: Vec<&Field> = fields.filter(|field| share.has(&field.name)).collect();
        let own = share.table();
        // Those that failed are tried again.
        own.as_deref().map_or(Ok(()), remove)?;
        let outcomes = make_fields(study, &given, &plates, &ours, job)?;
        own.map_or(Ok(()), |path| write_table(&path, &outcomes))?;
        Ok(PreparedShard::of(outcomes))
    })
}

impl PreparedShard {
    fn of(outcomes: Vec<Outcome>) -> Self {
        let mut prepared = Self::default();
        for outcome in outcomes {
            let name = outcome.row.name.clone();
            match outcome.failed {
                Some(sentence) => prepared.failed.push((name, sentence)),
                None if !outcome.row.is_usable() => {
                    prepared.left_out.push((name, outcome.row.remarks));
                }
                None if outcome.made => prepared.made += 1,
                None => prepared.kept += 1,
            }
        }
        prepared
    }
}

fn write_table(path: &Path, outcomes: &[Outcome]) -> Result<(), ProjectError> {
    let row = |outcome: &Outcome| {
        let (status, message) = match &outcome.failed {
            Some(sentence) => (Status::Failed, sentence.clone()),
            None if outcome.made && !outcome.row.is_usable() => {
                (Status::LeftOut, outcome.row.remarks.clone())
            }
            None => (Status::Done, String::new()),
        };
        ShardRow {
            name: outcome.row.name.clone(),
            status,
            message,
        }
    };
    let rows: Vec<ShardRow> = outcomes.iter().map(row).collect();
    match rows.is_empty() {
        true => Ok(()),
        false => table::write(path, &rows),
    }
}

/// How the fields of a study ended, as far as shards have been at them.
///
/// # Errors
/// A table is damaged.
pub(crate) fn ended(study: &Study) -> Result<Ended, ProjectError> {
    let mut ended = Ended::default();
    for path in tables_in(study.root(), COMMAND) {
        let way_out = "delete the table and give its shard again";
        for row in table::read::<ShardRow>(&path, &["name", "message"], way_out)? {
            match row.status {
                Status::Done if vouched::last(study, &row.name).is_some() => {}
                Status::Done => drop(ended.lost.insert(row.name)),
                Status::LeftOut => drop(ended.done.insert(row.name)),
                Status::Failed => drop(ended.failed.insert(row.name, row.message)),
            }
        }
    }
    Ok(ended)
}

/// [`ended`] with those of these fields whose truth is there, which single runs have made as well.
///
/// # Errors
/// A table is damaged.
pub(crate) fn states<'a>(
    study: &Study,
    names: impl Iterator<Item = &'a str>,
) -> Result<Ended, ProjectError> {
    let mut ended = ended(study)?;
    for name in names {
        if vouched::is_there(study, name, None) {
            ended.failed.remove(name);
            ended.lost.remove(name);
            ended.done.insert(name.to_owned());
        } else if vouched::last(study, name).is_some() {
            ended.lost.insert(name.to_owned());
        }
    }
    Ok(ended)
}

/// Makes of what all shards have prepared what a single run leaves: `fields.csv`, the split, what
/// people look at.
///
/// # Errors
/// Fields are missing, which are counted; else as [`prepare`](super::prepare).
pub fn join(study: &Study, job: &Job) -> Result<Prepared, ProjectError> {
    alone(study, job, |job| {
        let mut given = Given::find(study, study, job)?;
        let plates = Plates::find(study, study, &mut given, job)?;
        refuse_missing(&given.inputs(study, &plates), &ended(study)?)?;
        make_all(study, study, given, &plates, job)
    })
}

/// Refuses to join while fields are not made.
fn refuse_missing(inputs: &FieldInputs, ended: &Ended) -> Result<(), ProjectError> {
    let fields = &inputs.source.dataset.fields;
    let is_missing = |field: &&Field| {
        let name = &field.name;
        let has_ended = ended.done.contains(name) || ended.failed.contains_key(name);
        !has_ended && !inputs.is_made(field)
    };
    let mut missing = fields.iter().filter(is_missing);
    let Some(first) = missing.next() else {
        return Ok(());
    };
    let study = inputs.study.root().display();
    Err(ProjectError::Failed(format!(
        "{} of {} fields of `{study}` are not prepared as the study is now, such as `{}`; give \
         their shards again (`stainfree status {study}` lists them)",
        1 + missing.count(),
        fields.len(),
        first.name
    )))
}
