//! `pretrain`: a start for other trainings, from virtual plates.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_network::recipe::Length;
use stainfree_project::pretrain::{PretrainOptions, pretrain};
use stainfree_project::train::TrainOptions;

use crate::Context;
use crate::failure::Outcome;
use crate::output;

/// Train a network on virtual plates, as a start for other trainings
///
/// Every crop comes from a simulated field of its own: magnification, aperture, focus, confluence and cleanliness
/// vary. The result is an ordinary model; train --weights OUT goes on from it. Ctrl-C stops after the current step.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree pretrain start --encoder mobilenet-v2 --steps 1000
  stainfree train study --weights start --encoder mobilenet-v2

Writes OUT/model.toml, OUT/weights.safetensors and OUT/log.jsonl; checkpoint and pictures lie in OUT/run.")]
pub(crate) struct Pretrain {
    /// Folder of the model
    out: PathBuf,

    /// `default`, or a recipe file
    #[arg(long, value_name = "NAME|FILE")]
    recipe: Option<String>,

    /// The network's encoder [default: the recipe's]
    #[arg(long, value_name = "NAME")]
    encoder: Option<String>,

    /// Factor on all channel counts; the learning rate is divided by it
    #[arg(long, value_name = "X")]
    width: Option<f64>,

    /// What to start from: `auto`, `none`, a name that `weights` lists, a weights file or a model
    #[arg(long, value_name = "auto|none|NAME|PATH")]
    weights: Option<String>,

    /// Brightfield planes: 1 or 3
    #[arg(long, value_name = "N", default_value = "1", value_parser = ["1", "3"])]
    planes: String,

    /// Optimiser steps [default: the recipe's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,

    /// Crops per step
    #[arg(long, value_name = "N")]
    batch: Option<usize>,

    /// Side of a crop in pixels, a multiple of 32
    #[arg(long, value_name = "PX")]
    crop: Option<usize>,

    /// All randomness, plates included, follows from it
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Go on where an interrupted training stood
    #[arg(long)]
    resume: bool,

    /// Arithmetic: f32, or bf16 (faster; a processor with AVX-512 BF16) [default: the recipe's]
    #[arg(long, value_name = "NAME", value_parser = ["f32", "bf16"])]
    precision: Option<String>,
}

impl Pretrain {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        super::finite_width(self.width)?;
        let options = PretrainOptions {
            out: self.out.clone(),
            planes: if self.planes == "3" { 3 } else { 1 },
            training: TrainOptions {
                recipe: self.recipe.clone(),
                encoder: self.encoder.clone(),
                width: self.width,
                precision: self.precision.as_deref().map(super::precision).transpose()?,
                weights: self.weights.clone(),
                length: self.steps.map(Length::Steps),
                batch: self.batch,
                crop: self.crop,
                seed: self.seed,
                resume: self.resume,
                ..TrainOptions::default()
            },
        };
        let trained = super::trained(context, pretrain(&options, &context.job()))?;
        output::print(&trained)?;
        Ok(Outcome::Done)
    }
}
