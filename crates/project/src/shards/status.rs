//! How far shared work is: done, running, failed, missing, by plate and by shard.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::Shared;
use crate::study::shards::Ended;
use crate::{Job, ProjectError};

/// Fields by how far they are; each is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them.
    pub units: usize,
    /// Their outputs are there, of this model where there is one.
    pub done: usize,
    /// A process that lives has taken them.
    pub running: usize,
    /// They were tried and failed.
    pub failed: usize,
    /// Nobody is at them.
    pub missing: usize,
}

/// The fields of a plate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlateCounts {
    /// What is done with them.
    pub command: String,
    /// The plate; empty where fields have none.
    pub plate: String,
    /// Its fields.
    #[serde(flatten)]
    pub counts: Counts,
}

/// The fields of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShardCounts {
    /// What is done with them.
    pub command: String,
    /// Which of how many: `3/8`.
    pub shard: String,
    /// Its fields.
    #[serde(flatten)]
    pub counts: Counts,
}

/// A field that failed, or whose outputs are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What was done with it.
    pub command: String,
    /// The field.
    pub field: String,
    /// Why.
    pub message: String,
}

/// How far the work is that is shared in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// All fields of all of it.
    #[serde(flatten)]
    pub counts: Counts,
    /// By plate.
    pub plates: Vec<PlateCounts>,
    /// By shard.
    pub shards: Vec<ShardCounts>,
    /// What failed.
    pub failures: Vec<Failure>,
    /// What is said to be done and is not there; among the missing ones.
    pub lost: Vec<Failure>,
}

/// How far a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Done,
    Running,
    Failed,
    Missing,
}

impl Counts {
    fn add(&mut self, state: State) {
        self.units += 1;
        *match state {
            State::Done => &mut self.done,
            State::Running => &mut self.running,
            State::Failed => &mut self.failed,
            State::Missing => &mut self.missing,
        } += 1;
    }
}

/// How far the work is that is shared in `folder`; nothing is changed there.
///
/// # Errors
/// Nothing is shared there, or a table is damaged.
pub fn status(folder: &Path, job: &Job) -> Result<Status, ProjectError> {
    let mut status = Status::default();
    for shared in Shared::all_in(folder)? {
        // Whoever ends in between has its fields done, not lost.
        let holders = shared.holders(folder)?;
        let in_hand = holders.iter().flat_map(|holder| &holder.parts);
        let in_hand: BTreeSet<&str> = in_hand.map(String::as_str).collect();
        let ended = shared.ended(folder, job)?;
        status.add(&shared, &ended, &in_hand);
    }
    Ok(status)
}

impl Status {
    fn add(&mut self, shared: &Shared, ended: &Ended, in_hand: &BTreeSet<&str>) {
        let command = shared.command.name();
        let state = |name: &str| match name {
            name if ended.done.contains(name) => State::Done,
            name if ended.failed.contains_key(name) => State::Failed,
            name if in_hand.contains(name) => State::Running,
            _ => State::Missing,
        };
        let mut plates: BTreeMap<&str, Counts> = BTreeMap::new();
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for plan in &shared.plans {
            let mut shards = vec![Counts::default(); plan.count];
            for unit in &plan.units {
                let state = state(&unit.name);
                if let Some(counts) = unit.shard.checked_sub(1).and_then(|i| shards.get_mut(i)) {
                    counts.add(state);
                }
                if seen.insert(&unit.name) {
                    plates.entry(&unit.plate).or_default().add(state);
                    self.counts.add(state);
                }
            }
            self.shards.extend(
                shards
                    .into_iter()
                    .zip(1..)
                    .map(|(counts, index)| ShardCounts {
                        command: command.to_owned(),
                        shard: format!("{index}/{}", plan.count),
                        counts,
                    }),
            );
        }
        self.plates
            .extend(plates.into_iter().map(|(plate, counts)| PlateCounts {
                command: command.to_owned(),
                plate: plate.to_owned(),
                counts,
            }));
        let failure = |field: &str, message: String| Failure {
            command: command.to_owned(),
            field: field.to_owned(),
            message,
        };
        let failed = ended
            .failed
            .iter()
            .filter(|(name, _)| seen.contains(&***name));
        self.failures
            .extend(failed.map(|(name, why)| failure(name, why.clone())));
        let lost = ended
            .lost
            .iter()
            .filter(|name| seen.contains(&***name) && state(name) == State::Missing);
        let why = "its files are gone, or are not those that were written";
        self.lost
            .extend(lost.map(|name| failure(name, why.to_owned())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shards::Command;
    use crate::study::shards::Plan;

    #[test]
    fn every_field_is_counted_once_and_stands_in_every_division() {
        let names = ["a", "b", "c", "d", "e"];
        let fields = || {
            names
                .iter()
                .map(|n| (*n, Some(if *n < "c" { "p" } else { "q" })))
        };
        let plan = |count| Plan::of(("predict", ""), Path::new("out"), fields(), count);
        let shared = Shared {
            command: Command::Predict,
            plans: vec![plan(2), plan(5)],
        };
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let ended = Ended {
            done: set(&["a", "b", "gone"]),
            failed: [("c".to_owned(), "bad".to_owned())].into(),
            lost: set(&["d", "e"]),
        };
        let mut status = Status::default();
        // One that fails is not running any more, one that is done anew is not lost.
        status.add(&shared, &ended, &BTreeSet::from(["b", "c", "d"]));
        let counts = |units, done, running, failed, missing| Counts {
            units,
            done,
            running,
            failed,
            missing,
        };
        assert_eq!(status.counts, counts(5, 2, 1, 1, 1));
        let plates: Vec<_> = status
            .plates
            .iter()
            .map(|p| (&*p.plate, p.counts))
            .collect();
        assert_eq!(
            plates,
            [("p", counts(2, 2, 0, 0, 0)), ("q", counts(3, 0, 1, 1, 1))]
        );
        let shards: Vec<_> = status
            .shards
            .iter()
            .map(|s| (&*s.shard, s.counts))
            .collect();
        assert_eq!(shards[0], ("1/2", counts(3, 1, 0, 1, 1)));
        assert_eq!(shards[1], ("2/2", counts(2, 1, 1, 0, 0)));
        assert_eq!(shards[2 + 3], ("4/5", counts(1, 0, 1, 0, 0)));
        assert_eq!(status.failures.len(), 1);
        let lost: Vec<&str> = status.lost.iter().map(|lost| &*lost.field).collect();
        assert_eq!(lost, ["e"]);
    }
}
