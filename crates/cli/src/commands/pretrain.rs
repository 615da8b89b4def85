//! `pretrain`: a start for other trainings, from virtual plates.

use anyhow::Result;
use stainfree_project::training::pretrain::{PretrainOptions, pretrain};

use super::choices::Choices;
use super::folder::Folder;
use crate::Context;
use crate::failure::Outcome;
use crate::next;
use crate::output::Json;

/// Train a network on virtual plates, as a start for other trainings
///
/// Every crop comes from a simulated field of its own: magnification, aperture, focus, confluence
/// and cleanliness vary. The result is an ordinary model; train --weights OUT goes on from it.
/// Ctrl-C stops after the current step; the same command goes on there.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree pretrain start --encoder mobilenet-v2 --steps 1000
  stainfree train study --weights start --encoder mobilenet-v2

Writes OUT/model.toml, OUT/weights.safetensors and OUT/log.jsonl; checkpoint and pictures lie in \
OUT/run.")]
pub(crate) struct Pretrain {
    /// Folder of the model
    #[command(flatten)]
    folder: Folder,

    #[command(flatten)]
    choices: Choices,

    /// Brightfield planes: 1 or 3
    #[arg(long, value_name = "N", default_value = "1", value_parser = ["1", "3"])]
    planes: String,

    #[command(flatten)]
    json: Json,
}

impl Pretrain {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&super::TRAINED)?;
        let out = self.folder.get()?;
        let options = PretrainOptions {
            out: out.to_owned(),
            planes: if self.planes == "3" { 3 } else { 1 },
            training: self.choices.options()?,
        };
        let result = pretrain(&options, &context.job());
        super::trained(context, result, &self.json)?;
        context.next(
            &format!("stainfree train STUDY --weights {}", next::word(out)),
            "a training that goes on from it",
        );
        Ok(Outcome::Done)
    }
}
