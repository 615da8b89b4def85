//! What all shards have done, as the result of one run.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Command, Shared};
use crate::truth::prepare::{self, Prepared};
use crate::{Job, ProjectError, Study, measuring, prediction};

/// What became of the shared work of a folder.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    /// Each work, in the order in which one is made of the other.
    pub works: Vec<MergedWork>,
    /// What could not be joined, a sentence each.
    pub failed: Vec<String>,
    /// The study, where its truth was prepared by shards.
    pub prepared: Option<Prepared>,
}

/// A work whose shards are joined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MergedWork {
    /// The command.
    pub command: String,
    /// Fields of all shards.
    pub units: usize,
    /// Those of them that are in the result.
    pub done: usize,
    /// Those that failed.
    pub failed: usize,
    /// Those that no shard has done, or whose files are gone; `merge` may be given again.
    pub missing: usize,
    /// Files that were written.
    pub files: Vec<PathBuf>,
}

/// Joins what shards have done in `folder`: any number of times, with the same bytes. Predictions
/// and labels may be joined while shards are at work; tables of `measure` and a study once all
/// fields are there.
///
/// # Errors
/// Nothing is shared there, or [`ProjectError::Cancelled`]. What else stands in the way of one work
/// is a sentence in the result.
pub fn merge(folder: &Path, job: &Job) -> Result<Merged, ProjectError> {
    let mut merged = Merged::default();
    for shared in Shared::all_in(folder)? {
        match one(&shared, folder, &mut merged, job) {
            Ok(work) => merged.works.push(work),
            Err(ProjectError::Cancelled) => return Err(ProjectError::Cancelled),
            Err(error) => merged.failed.push(error.to_string()),
        }
    }
    Ok(merged)
}

fn one(
    shared: &Shared,
    folder: &Path,
    merged: &mut Merged,
    job: &Job,
) -> Result<MergedWork, ProjectError> {
    let files = match shared.command {
        Command::Prepare => {
            let study = Study::open(folder)?;
            let prepared = prepare::join(&study, job)?;
            merged.prepared = Some(prepared);
            vec![folder.join(crate::study::fields::FILE_NAME)]
        }
        Command::Predict => {
            let plates = shared.plans.iter().flat_map(|plan| &plan.units);
            let plates = plates.filter(|unit| !unit.plate.is_empty());
            prediction::join::join(folder, plates.map(|unit| &*unit.plate).collect(), job)?
        }
        Command::Segment => prediction::segment::join(folder, job)?,
        Command::Measure => measuring::join(&shared.plans[0], folder, job)?.files,
    };
    let ended = shared.ended(folder, job)?;
    let names = shared.names();
    let count = |is: &dyn Fn(&str) -> bool| names.iter().filter(|name| is(name)).count();
    let done = count(&|name| ended.done.contains(name));
    let failed = count(&|name| !ended.done.contains(name) && ended.failed.contains_key(name));
    Ok(MergedWork {
        command: shared.command.name().to_owned(),
        units: names.len(),
        done,
        failed,
        missing: names.len() - done - failed,
        files,
    })
}
