//! `--shard`: a share of the fields, for several machines.

use stainfree_project::study::shards::{Shard, of_slurm};

use crate::Context;
use crate::failure::UsageError;

/// The option of commands whose fields may be shared.
#[derive(clap::Args)]
pub(crate) struct ShardArg {
    /// Do only the share I of N of the fields, for one of N machines: `3/8`, or `auto` for a task
    /// of a Slurm array job; `stainfree merge` joins what all have done (docs/clusters.md)
    #[arg(long, value_name = "I/N")]
    shard: Option<String>,
}

impl ShardArg {
    /// The share that was asked for; what `auto` took is said.
    ///
    /// # Errors
    /// There is no such share, or nothing says which.
    pub(crate) fn choice(&self, context: &Context) -> Result<Option<Shard>, UsageError> {
        let Some(given) = &self.shard else {
            return Ok(None);
        };
        let wrong = |sentence| UsageError(format!("`--shard {given}`: {sentence}"));
        if given != "auto" {
            return given.parse().map(Some).map_err(wrong);
        }
        let found = of_slurm(|name| std::env::var(name).ok());
        let (shard, from) = found.map_err(wrong)?;
        let sentence = format!("this is shard {shard} ({from})");
        context.job().progress.note(&sentence);
        Ok(Some(shard))
    }
}
