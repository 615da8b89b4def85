//! `train`: a model from a prepared study.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_network::recipe::Length;
use stainfree_project::study::DEFAULT_MODEL;
use stainfree_project::training::train::{TrainOptions, train};

use super::choices::Choices;
use crate::Context;
use crate::failure::Outcome;
use crate::output::Json;
use crate::{memory, next};

/// Train a network on the study's training fields
///
/// The checkpoint is chosen on the validation fields. Ctrl-C stops after the current step; the same
/// command goes on exactly there, also after the program was killed, and with more --steps. Where
/// recipe, images or truth have changed it says what did and stops; --overwrite begins anew.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree train study
  stainfree train study --name quick --steps 300
  stainfree train study --name wide --encoder vgg16 --precision bf16
  stainfree train study --recipe paper --name paper

Writes DIR/models/NAME (model.toml, weights.safetensors, log.jsonl): copying this folder is sharing
the model. Checkpoint and pictures lie in DIR/runs/NAME. What is not said here is taken from
[training] in stainfree.toml.")]
pub(crate) struct Train {
    /// The study
    dir: PathBuf,

    /// Name of the model
    #[arg(long, value_name = "NAME", default_value = DEFAULT_MODEL)]
    name: String,

    #[command(flatten)]
    choices: Choices,

    /// Passes over the training fields
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "steps",
        value_parser = clap::value_parser!(u64).range(1..),
    )]
    epochs: Option<u64>,

    /// Cap on memory for images and validation, such as `2GiB`
    #[arg(long, value_name = "SIZE", value_parser = memory::parse)]
    memory: Option<usize>,

    /// What computes: cpu
    #[arg(long, value_name = "NAME", value_parser = ["cpu"], default_value = "cpu")]
    device: String,

    #[command(flatten)]
    json: Json,
}

impl Train {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&super::TRAINED)?;
        let study = super::open_study(&self.dir, context)?;
        let choices = self.choices.options()?;
        let options = TrainOptions {
            name: self.name.clone(),
            length: choices.length.or(self.epochs.map(Length::Epochs)),
            ..choices
        };
        let machine = context.machine.with_memory(self.memory);
        let result = train(&study, &options, &context.job().on(&machine));
        super::trained(context, result, &self.json)?;
        let study = next::word(&self.dir);
        let named = Some(self.name.as_str()).filter(|name| *name != DEFAULT_MODEL);
        let model = next::model(named);
        context.next(
            &format!("stainfree evaluate {study}{model}"),
            "how good it is on fields that it has not seen",
        );
        Ok(Outcome::Done)
    }
}
