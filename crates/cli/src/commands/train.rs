//! `train`: a model from a prepared study.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_network::recipe::Length;
use stainfree_project::study::DEFAULT_MODEL;
use stainfree_project::train::{TrainOptions, train};
use stainfree_project::Study;

use crate::Context;
use crate::failure::Outcome;
use crate::{memory, output};

/// Train a network on the study's training fields
///
/// The checkpoint is chosen on the validation fields. Ctrl-C stops after the current step; --resume
/// goes on exactly there, also after the program was killed.
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

    /// `default`, `paper`, or a recipe file
    #[arg(long, value_name = "NAME|FILE")]
    recipe: Option<String>,

    /// The network's encoder: mobilenet-v2, vgg16 (the paper's), or efficientnet-b4 (crops of 320 px, batches of
    /// 8) [default: the recipe's]
    #[arg(long, value_name = "NAME")]
    encoder: Option<String>,

    /// Factor on all channel counts; what the program carries to start from is of width 1 only. The
    /// learning rate is divided by it
    #[arg(long, value_name = "X")]
    width: Option<f64>,

    /// What to start from: `auto`, `none`, a name that `weights` lists, a weights file or a model's folder
    #[arg(long, value_name = "auto|none|NAME|PATH")]
    weights: Option<String>,

    /// Optimiser steps
    #[arg(long, value_name = "N", conflicts_with = "epochs", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,

    /// Passes over the training fields
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    epochs: Option<u64>,

    /// Crops per step
    #[arg(long, value_name = "N")]
    batch: Option<usize>,

    /// Side of a crop in pixels, a multiple of 32
    #[arg(long, value_name = "PX")]
    crop: Option<usize>,

    /// Seed of the training
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Go on where an interrupted training stood
    #[arg(long)]
    resume: bool,

    /// Cap on memory for images and validation, such as `2GiB`
    #[arg(long, value_name = "SIZE", value_parser = memory::parse)]
    memory: Option<usize>,

    /// Arithmetic: f32, or bf16 (faster; a processor with AVX-512 BF16) [default: the recipe's]
    #[arg(long, value_name = "NAME", value_parser = ["f32", "bf16"])]
    precision: Option<String>,

    /// What computes: cpu
    #[arg(long, value_name = "NAME", value_parser = ["cpu"], default_value = "cpu")]
    device: String,
}

impl Train {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        let study = Study::open(&self.dir)?;
        let length = self.steps.map(Length::Steps).or(self.epochs.map(Length::Epochs));
        let options = TrainOptions {
            name: self.name.clone(),
            recipe: self.recipe.clone(),
            encoder: self.encoder.clone(),
            width: self.width,
            precision: self.precision.as_deref().map(super::precision).transpose()?,
            weights: self.weights.clone(),
            length,
            batch: self.batch,
            crop: self.crop,
            seed: self.seed,
            resume: self.resume,
            memory: self.memory,
            exact: None,
            only: None,
        };
        super::finite_width(self.width)?;
        output::print(&super::trained(context, train(&study, &options, &context.job()))?)?;
        Ok(Outcome::Done)
    }
}
