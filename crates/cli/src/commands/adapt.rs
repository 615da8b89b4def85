//! `adapt`: a model whose batch norms are measured anew on another plate.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_project::ProjectError;
use stainfree_project::adapt::{AdaptOptions, adapt};

use crate::Context;
use crate::failure::{Outcome, UsageError};
use crate::opening::Opening;
use crate::output::Json;
use crate::{memory, next};

/// Measure a model's batch norms anew on another plate, without any truth
///
/// For a plate that `predict` calls strange. The new model reads these images through their own
/// means and spreads; its weights, and the old model, stay as they are. It can help where light,
/// focus or noise differ, and it can harm, most of all where cells or their number do: nothing here
/// knows which, so compare both on a few stained wells. docs/trust.md has what it did where it was
/// measured. Correcting some fields and `retrain` learns more, and takes longer.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree adapt study/models/model plate2/ --wells B02,C02 --out study/models/model-plate2
  stainfree adapt study plate2/ --out adapted --share 1

Give wells that were not treated: where treatments change how cells look, a measurement on all wells
takes away a part of that. The new model keeps the rule for nuclei, and is without confidences,
intervals and expected scores, which were found out of the old one.")]
pub(crate) struct Adapt {
    /// Model folder, or a study: its only model, or the one that `--model` names
    #[arg(value_name = "MODEL")]
    model: PathBuf,

    /// Folders, plates and files of the new images
    #[arg(required = true, value_name = "IMAGES")]
    inputs: Vec<PathBuf>,

    /// Name of the model, where a study is given [default: the study's only one, or `model`]
    #[arg(long = "model", value_name = "NAME")]
    name: Option<String>,

    /// Folder of the new model; within a study, `STUDY/models/NAME`
    #[arg(short, long, value_name = "MODEL")]
    out: PathBuf,

    /// Wells to measure on, such as control wells [default: all fields]
    #[arg(long, value_name = "WELL[,WELL]", value_delimiter = ',')]
    wells: Vec<String>,

    /// Fields to measure on
    #[arg(long, value_name = "NAME[,NAME]", value_delimiter = ',')]
    fields: Vec<String>,

    /// Weight of the new measurement against what the model came with, above 0 to 1; half did
    /// better than all of it nearly everywhere (docs/trust.md)
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    share: f64,

    /// Brightfield channel, or three channels [default: as the model was trained]
    #[arg(long, value_name = "NAME[,NAME,NAME]", value_delimiter = ',')]
    brightfield: Vec<String>,

    /// z planes of the brightfield, from 1 [default: as the model was trained]
    #[arg(
        long,
        value_name = "Z[,Z,Z]",
        value_delimiter = ',',
        value_parser = clap::value_parser!(u32).range(1..),
    )]
    planes: Vec<u32>,

    #[command(flatten)]
    opening: Opening,

    /// Replace another model that is there
    #[arg(long)]
    overwrite: bool,

    /// Cap on memory, such as `2GiB`
    #[arg(long, value_name = "SIZE", value_parser = memory::parse)]
    memory: Option<usize>,

    #[command(flatten)]
    json: Json,
}

impl Adapt {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["model", "from", "moved"])?;
        if !(self.share > 0.0 && self.share <= 1.0) {
            let sentence = format!("`--share {}` must be above 0 and at most 1", self.share);
            return Err(UsageError(sentence).into());
        }
        let machine = context.machine.with_memory(self.memory);
        let options = AdaptOptions {
            model: super::model_folder(&self.model, self.name.as_deref(), context)?,
            inputs: self.inputs.clone(),
            wells: self.wells.clone(),
            fields: self.fields.clone(),
            out: self.out.clone(),
            share: self.share,
            brightfield: self.brightfield.clone(),
            planes: self.planes.iter().map(|&z| z as usize).collect(),
            opening: self.opening.options(),
            overwrite: self.overwrite,
        };
        let made = adapt(&options, &context.job().on(&machine));
        context.console.finish();
        let made = made.inspect_err(|error| {
            if matches!(error, ProjectError::Cancelled) {
                context.console.warn("stopped; nothing was written");
            }
        })?;
        self.json.write_result(&made)?;
        let adapted = &made.adapted;
        let (n, s) = (
            adapted.fields.len(),
            if adapted.fields.len() == 1 { "" } else { "s" },
        );
        self.json.print(&format!(
            "model `{}`: batch norms of `{}` measured on {} crops of {} px of {n} field{s}, with \
             weight {}; their means moved by {:.2} standard deviations (median). It has the old \
             rule for nuclei, and no confidences, intervals or expected scores: those were the old \
             model's",
            made.model.display(),
            options.model.display(),
            adapted.crops,
            adapted.crop_px,
            adapted.share,
            made.moved
        ))?;
        context.next(
            &format!(
                "stainfree predict {} IMAGES --out result",
                next::word(&self.out)
            ),
            "and by the old model: compare both on stained wells before you believe either",
        );
        Ok(Outcome::Done)
    }
}
