//! The choices of a training that `train` and `pretrain` share.

use anyhow::Result;
use stainfree_network::recipe::Length;
use stainfree_project::training::train::TrainOptions;

/// What changes a recipe on the command line.
#[derive(clap::Args)]
pub(super) struct Choices {
    /// `default`, `paper`, or a recipe file
    #[arg(long, value_name = "NAME|FILE")]
    recipe: Option<String>,

    /// The network's encoder; vgg16 is the paper's, efficientnet-b4 takes crops of 320 px in
    /// batches of 8 [default: the recipe's]
    #[arg(long, value_name = "NAME", value_parser = super::encoders())]
    encoder: Option<String>,

    /// Factor on all channel counts; what the program carries to start from is of width 1 only. The
    /// learning rate is divided by it
    #[arg(long, value_name = "X")]
    width: Option<f64>,

    /// What to start from: `auto`, `none`, a name that `weights` lists, a weights file or a model's
    /// folder
    #[arg(long, value_name = "auto|none|NAME|PATH")]
    weights: Option<String>,

    /// Optimiser steps [default: the recipe's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,

    /// Crops per step
    #[arg(long, value_name = "N")]
    batch: Option<usize>,

    /// Side of a crop in pixels, a multiple of 32
    #[arg(long, value_name = "PX")]
    crop: Option<usize>,

    /// Seed of the training; all randomness follows from it
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Begin anew and give up what stands under this name (it is said what that is)
    #[arg(long = "overwrite", visible_alias = "restart")]
    restart: bool,

    /// Go on where a training stood: what is done anyway
    #[arg(long, hide = true, conflicts_with = "restart")]
    resume: bool,

    /// Arithmetic: f32, or bf16 (faster; a processor with AVX-512 BF16) [default: the recipe's]
    #[arg(long, value_name = "NAME", value_parser = ["f32", "bf16"])]
    precision: Option<String>,
}

impl Choices {
    /// The same as options; what only one of the commands knows is left at its default.
    ///
    /// # Errors
    /// A width that is no positive number, or a precision that this processor lacks.
    pub(super) fn options(&self) -> Result<TrainOptions> {
        super::finite_width(self.width)?;
        Ok(TrainOptions {
            recipe: self.recipe.clone(),
            encoder: self.encoder.clone(),
            width: self.width,
            precision: self
                .precision
                .as_deref()
                .map(super::precision)
                .transpose()?,
            weights: self.weights.clone(),
            length: self.steps.map(Length::Steps),
            batch: self.batch,
            crop: self.crop,
            seed: self.seed,
            // `--resume` asks for what is done without it too.
            restart: self.restart && !self.resume,
            ..TrainOptions::default()
        })
    }
}
