//! `status`: how far work is that several machines share.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_project::shards::{Counts, Failure, status};

use crate::Context;
use crate::failure::Outcome;
use crate::output::{self, Json};

/// Most failures that are shown; the JSON has all.
const SHOWN: usize = 10;

/// Say how far work is that several machines share
///
/// Counts the fields of what was given `--shard` in a folder: done (their outputs are there, of
/// this model), running (a process that lives has them), failed, missing. Changes nothing.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree status result
  stainfree status study --json - | jq .missing

A process on another machine that was killed counts as running for three minutes.")]
pub(crate) struct Status {
    /// Folder that the shards fill: results, labels, a study, or where a table of `measure` lies
    dir: PathBuf,

    #[command(flatten)]
    json: Json,
}

impl Status {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["units", "missing"])?;
        let found = status(&self.dir, &context.job())?;
        context.console.finish();
        self.json.write_result(&found)?;
        let plates = found.plates.iter();
        let plates = plates.filter(|plate| !plate.plate.is_empty());
        let plates = plates.map(|plate| {
            let name = format!("plate {}", plate.plate);
            line(&plate.command, &name, plate.counts)
        });
        let shards = found.shards.iter();
        let shards = shards.map(|shard| {
            line(
                &shard.command,
                &format!("shard {}", shard.shard),
                shard.counts,
            )
        });
        let mut rows: Vec<Vec<String>> = plates.chain(shards).collect();
        rows.push(line("all", "", found.counts));
        let header = ["", "", "fields", "done", "running", "failed", "missing"];
        self.json.print(&output::table(&header, &rows, 2))?;
        for (what, failures) in [("failed", &found.failures), ("is missing", &found.lost)] {
            self.show(what, failures, context);
        }
        Ok(Outcome::Done)
    }

    fn show(&self, what: &str, failures: &[Failure], context: &Context) {
        for failure in failures.iter().take(SHOWN) {
            let Failure {
                command,
                field,
                message,
            } = failure;
            let sentence = format!("{command}: `{field}` {what}: {message}");
            context.console.warn(&sentence);
        }
        if failures.len() > SHOWN {
            let more = failures.len() - SHOWN;
            context
                .console
                .warn(&format!("and {more} more (`--json` has all)"));
        }
    }
}

fn line(command: &str, of: &str, counts: Counts) -> Vec<String> {
    let Counts {
        units,
        done,
        running,
        failed,
        missing,
    } = counts;
    let numbers = [units, done, running, failed, missing];
    let words = [command.to_owned(), of.to_owned()];
    words
        .into_iter()
        .chain(numbers.map(|n| n.to_string()))
        .collect()
}
