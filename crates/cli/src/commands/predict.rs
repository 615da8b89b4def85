//! `predict`: nuclei and cytoplasm of unstained images.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_inference::Device;
use stainfree_project::prediction::predict::{PredictOptions, predict};

use crate::Context;
use crate::also::Also;
use crate::failure::Outcome;
use crate::opening::Opening;
use crate::output::Json;
use crate::rule::Rule;
use crate::shard::ShardArg;
use crate::{memory, next};

/// Find nuclei and cytoplasm in unstained images
///
/// What the same model has already done from the same image is skipped, so an interrupted run goes
/// on; another program version, option or cap on memory is not the same, and what is there of it is
/// replaced with --overwrite only. A file that fails is reported and counted, and has no results;
/// the rest goes on (exit code 3).
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree predict study plate2/ --out result
  stainfree predict model/ image1.tif image2.tif --out result --overlay
  stainfree predict study plate2/ --out result --also geojson,imagej-rois

Writes OUT/classes/NAME.tif (class of each pixel), OUT/nuclei/NAME.tif (labels) and
OUT/predictions.csv; where the model knows cytoplasm OUT/cells/NAME.tif too: whole cells, each with
the number of its nucleus, those without one with further numbers. Images whose pixel size is known
and differs from the model's are resampled for the network; results have the size of the image.
Where the model has a confidence.toml (`train` and `tune` write it) OUT/confidence/NAME.csv says of
every nucleus how probable it is that it is right, and predictions.csv how many true nuclei are
expected in each field, and which areas of nuclei and cytoplasm.
Pixels that show nothing (a rim or gap of one value, no numbers) are 255 in the classes; their share
is the column ignored_share. Fields unlike what the model was trained on are marked (columns
strangeness, 1 is the limit; strange; unlike), and a sentence says what is different.")]
pub(crate) struct Predict {
    /// Model folder, or a study: its only model, or the one that `--model` names
    #[arg(value_name = "MODEL")]
    model: PathBuf,

    /// Plates, folders or files
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,

    /// Name of the model, where a study is given [default: the study's only one, or `model`]
    #[arg(long = "model", value_name = "NAME")]
    name: Option<String>,

    /// Folder for the results
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// Brightfield channel, or three that are the planes [default: as the model was trained]
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

    /// Also write OUT/probabilities/NAME.tif, one page a class, brought to what holds where the
    /// model's folder says how (probabilities.toml), and OUT/outputs/NAME.tif where the model says
    /// more than classes
    #[arg(long)]
    probabilities: bool,

    /// Also write OUT/overlays/NAME.png
    #[arg(long)]
    overlay: bool,

    /// Also write OUT/confidence_map/NAME.tif: nuclei painted with how sure they are, 0 to 1
    #[arg(long)]
    confidence_map: bool,

    #[command(flatten)]
    also: Also,

    /// Also write each image with classes, nuclei and cells as its labels, for napari and other
    /// programs that open OME-Zarr: OUT/zarr/NAME.ome.zarr, a plate as OUT/zarr/PLATE.ome.zarr
    #[arg(long, value_name = "FORMAT", value_parser = ["ome-zarr"])]
    to: Option<String>,

    /// Average over the four flips (four times the work, slightly better)
    #[arg(long)]
    flips: bool,

    #[command(flatten)]
    rule: Rule,

    /// Cap on memory, such as `1GiB`; large images are computed in tiles, larger ones read and
    /// written by region too, and a note says where the cap leaves too little margin for the same
    /// classes [default: 4GiB]
    #[arg(long, value_name = "SIZE", value_parser = memory::parse)]
    memory: Option<usize>,

    /// Arithmetic: f32, or bf16 (faster; a processor with AVX-512 BF16)
    #[arg(long, value_name = "NAME", value_parser = ["f32", "bf16"], default_value = "f32")]
    precision: String,

    /// What computes the network: cpu; or onnxruntime, with :cuda, :tensorrt, :coreml, :directml or
    /// :openvino behind it, by the library of ONNX Runtime that ORT_DYLIB_PATH names
    #[arg(
        long,
        value_name = "NAME",
        default_value = "cpu",
        conflicts_with = "precision"
    )]
    device: Device,

    /// Replace results of another model, image, option or version
    #[arg(long)]
    overwrite: bool,

    #[command(flatten)]
    shard: ShardArg,

    #[command(flatten)]
    json: Json,
}

impl Predict {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["out", "nuclei"])?;
        let options = PredictOptions {
            model: super::model_folder(&self.model, self.name.as_deref(), context)?,
            inputs: self.inputs.clone(),
            out: self.out.clone(),
            brightfield: self.brightfield.clone(),
            planes: self.planes.iter().map(|&z| z as usize).collect(),
            opening: self.opening.options(),
            probabilities: self.probabilities,
            overlay: self.overlay,
            confidence_map: self.confidence_map,
            forms: self.also.forms(),
            zarr: self.to.is_some(),
            flips: self.flips,
            rule: self.rule.choice()?,
            device: self.device,
            overwrite: self.overwrite,
            shard: self.shard.choice(context)?,
        };
        let machine = context.machine(&self.precision, self.memory)?;
        let predicted = predict(&options, &context.job().on(&machine))?;
        context.console.finish();
        for sentence in &predicted.failed {
            context.console.warn(sentence);
        }
        self.json.write_result(&serde_json::json!({
            "out": self.out,
            "model": options.model,
            "done": predicted.done,
            "skipped": predicted.skipped,
            "nuclei": predicted.nuclei,
            "wells": predicted.wells,
            "strange": predicted.strange,
            "failed": predicted.failed,
            "seconds": predicted.seconds,
        }))?;
        self.json.print(&format!(
            "{} fields done in {:.1} s, {} done before, {} nuclei; results in `{}`",
            predicted.done,
            predicted.seconds,
            predicted.skipped,
            predicted.nuclei,
            self.out.display()
        ))?;
        let there = predicted.done + predicted.skipped;
        if let Some(shard) = options.shard {
            let failed = predicted.failed.len();
            return super::end_of_shard(context, (shard, &self.out), there, failed);
        }
        let objects = next::word(&self.out);
        let failed = &predicted.failed;
        let outcome = super::end_of_fields(context, &self.inputs, &objects, there, failed)?;
        let command = format!("stainfree report {objects}");
        context.next_after(
            outcome,
            &command,
            "whether these numbers can be used, and why",
        );
        Ok(outcome)
    }
}
