//! `merge`: what several machines have done, as the result of one run.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_project::Part;
use stainfree_project::shards::merge;

use super::who;
use crate::Context;
use crate::failure::Outcome;
use crate::output::Json;

/// Join what several machines have done, as one run would have left it
///
/// Of a result of `predict` it makes predictions.csv and lists the wells of OME-Zarr plates; of
/// labels of `segment` what their folder says of them; of a study fields.csv, the split and the
/// sheets to look at; of `measure` the table, the wells and the heat maps. It may be given any
/// number of times and by anyone, and gives the same bytes. Results and labels may be joined while
/// shards are at work; where fields are missing the exit code is 3, and it is given again later.
#[derive(clap::Args)]
#[command(after_help = "Example:
  stainfree predict study plate2/ --out result --shard 1/2
  stainfree predict study plate2/ --out result --shard 2/2
  stainfree merge result")]
pub(crate) struct Merge {
    /// Folder that the shards fill: results, labels, a study, or where a table of `measure` lies
    dir: PathBuf,

    /// Who decided what is taken over into a study [default: STAINFREE_USER, else the name of your
    /// account]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,

    #[command(flatten)]
    json: Json,
}

impl Merge {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["works", "failed"])?;
        let who = who(self.by.as_ref());
        let merged = merge(&self.dir, &context.job().by(&who))?;
        context.console.finish();
        for sentence in &merged.failed {
            context.console.warn(sentence);
        }
        self.json.write_result(&serde_json::json!({
            "works": merged.works,
            "failed": merged.failed,
        }))?;
        let mut missing = 0;
        for work in &merged.works {
            missing += work.missing;
            let files = work.files.iter();
            let files = files.map(|file| format!("`{}`", file.display()));
            self.json.print(&format!(
                "{}: {} of {} fields joined, {} failed, {} missing; {}",
                work.command,
                work.done,
                work.units,
                work.failed,
                work.missing,
                files.collect::<Vec<_>>().join(", ")
            ))?;
        }
        if let Some(prepared) = &merged.prepared {
            self.json.print(&format!(
                "{} train, {} validation, {} test",
                prepared.count(Part::Train),
                prepared.count(Part::Validation),
                prepared.count(Part::Test)
            ))?;
        }
        if merged.works.is_empty() {
            anyhow::bail!("nothing was joined");
        }
        let failed: usize = merged.works.iter().map(|work| work.failed).sum();
        Outcome::of(1, merged.failed.len() + missing + failed)
    }
}
