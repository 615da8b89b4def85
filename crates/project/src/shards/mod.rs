//! Work that several machines share: how far it is, and what all of them have done as one result.
//!
//! Here: which commands have shared work in a folder, and counting. How a field of each ended, and
//! how its tables are joined, the commands know themselves.

mod merge;
mod status;

use std::collections::BTreeSet;
use std::path::Path;

pub use self::merge::{Merged, MergedWork, merge};
pub use self::status::{Counts, Failure, PlateCounts, ShardCounts, Status, status};
use crate::study::lease::Holder;
use crate::study::shards::{Ended, Plan};
use crate::{Job, ProjectError, Study, measuring, prediction, truth};

/// A command whose work in a folder is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Command {
    Prepare,
    Predict,
    Segment,
    Measure,
}

impl Command {
    const ALL: [(Command, &'static str); 4] = [
        (Command::Prepare, "prepare"),
        (Command::Predict, "predict"),
        (Command::Segment, "segment"),
        (Command::Measure, "measure"),
    ];

    fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(command, _)| *command == self);
        found.map_or("", |(_, name)| name)
    }
}

/// The plans of one result: several where its fields were divided anew, or came in two lots.
struct Shared {
    command: Command,
    plans: Vec<Plan>,
}

impl Shared {
    /// All in `folder`, in the order in which one is made of the other.
    ///
    /// # Errors
    /// There are none, or a list is damaged.
    fn all_in(folder: &Path) -> Result<Vec<Self>, ProjectError> {
        let plans = Plan::all_in(folder)?;
        let mut found: Vec<Self> = Vec::new();
        for (command, name) in Command::ALL {
            let of = plans.iter().filter(|plan| plan.command == name).cloned();
            let plans: Vec<Plan> = of.collect();
            match command {
                // Each is a table of its own.
                Command::Measure => found.extend(plans.into_iter().map(|plan| Self {
                    command,
                    plans: vec![plan],
                })),
                _ if plans.is_empty() => {}
                _ => found.push(Self { command, plans }),
            }
        }
        match found.is_empty() {
            false => Ok(found),
            true if !folder.is_dir() => Err(ProjectError::Usage(format!(
                "`{}` is no folder; name the one that the shards fill",
                folder.display()
            ))),
            true => Err(ProjectError::Usage(format!(
                "nothing in `{}` is shared: no command was given `--shard` there; name the folder \
                 that the shards fill",
                folder.display()
            ))),
        }
    }

    /// Names of all fields.
    fn names(&self) -> BTreeSet<&str> {
        let units = self.plans.iter().flat_map(|plan| &plan.units);
        units.map(|unit| &*unit.name).collect()
    }

    /// How the fields ended, as far as their outputs are there.
    fn ended(&self, folder: &Path, job: &Job) -> Result<Ended, ProjectError> {
        match self.command {
            Command::Prepare => {
                let study = Study::open(folder)?;
                truth::prepare::states(&study, self.names().into_iter())
            }
            Command::Predict => prediction::join::ended(folder, job),
            Command::Segment => prediction::segment::ended(folder),
            Command::Measure => measuring::ended(&self.plans[0]),
        }
    }

    /// Who is at fields now.
    fn holders(&self, folder: &Path) -> Result<Vec<Holder>, ProjectError> {
        Ok(match self.command {
            Command::Prepare => Study::open(folder)?.fields_for("status").holders(),
            Command::Predict | Command::Segment => {
                prediction::results::fields_of(folder, "status").holders()
            }
            Command::Measure => measuring::holders(&self.plans[0], folder)?,
        })
    }
}
