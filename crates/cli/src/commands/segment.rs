//! `segment`: the classical segmentation alone.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_objects::{Splitting, StainSettings, Threshold};
use stainfree_project::prediction::segment::{SegmentOptions, segment};

use crate::Context;
use crate::also::Also;
use crate::failure::{Outcome, UsageError};
use crate::next;
use crate::opening::Opening;
use crate::output::Json;
use crate::shard::ShardArg;

/// Segment nuclei in stain images, without a network
///
/// Smoothing, background, threshold, hole filling and size limits, then separation of touching
/// nuclei; the same method that `prepare` uses. A field without a stain worth the name gets empty
/// labels and a remark. A file that fails is reported, the rest goes on. The same command may be
/// given again: it skips what is done; labels of other images or options are replaced with
/// --overwrite only.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree segment stains/ --out labels
  stainfree segment plate/ --nucleus Hoechst --cytoplasm Mito --out labels

Writes OUT/NAME.tif: 0 is background, every nucleus has its own number. With --cytoplasm also
OUT/cells/NAME.tif, where a cell bears the number of its nucleus.")]
pub(crate) struct Segment {
    /// Plates, folders or files with the stain
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,

    /// Folder for the labels
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// Channel of the nuclear stain [default: the only one, or the one that looks like it]
    #[arg(long = "nucleus", visible_alias = "channel", value_name = "NAME")]
    channel: Option<String>,

    /// Channel of the cytoplasmic stain
    #[arg(long, value_name = "NAME")]
    cytoplasm: Option<String>,

    #[command(flatten)]
    opening: Opening,

    /// Threshold method [default: as in a new study]
    #[arg(
        long = "threshold",
        visible_alias = "method",
        value_name = "NAME",
        value_parser = clap::builder::PossibleValuesParser::new(
            Threshold::all().map(Threshold::name)
        ),
    )]
    method: Option<String>,

    /// How touching nuclei are separated [default: as in a new study]
    #[arg(
        long,
        value_name = "NAME",
        value_parser = clap::builder::PossibleValuesParser::new(splittings()),
    )]
    splitting: Option<String>,

    #[command(flatten)]
    also: Also,

    /// Replace labels of other images, options or versions
    #[arg(long)]
    overwrite: bool,

    #[command(flatten)]
    shard: ShardArg,

    #[command(flatten)]
    json: Json,
}

/// The methods that a stain alone is enough for.
fn splittings() -> impl Iterator<Item = &'static str> {
    Splitting::all()
        .filter(|method| method.reads().is_none())
        .map(|method| method.name())
}

impl Segment {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["out", "nuclei"])?;
        let mut nuclei = StainSettings::nuclei();
        if let Some(name) = &self.method {
            nuclei.threshold = name
                .parse::<Threshold>()
                .map_err(|error| UsageError(error.to_string()))?;
        }
        if let Some(name) = &self.splitting {
            nuclei.splitting = name
                .parse::<Splitting>()
                .map_err(|error| UsageError(error.to_string()))?;
        }
        let options = SegmentOptions {
            inputs: self.inputs.clone(),
            out: self.out.clone(),
            channel: self.channel.clone(),
            cytoplasm: self.cytoplasm.clone(),
            opening: self.opening.options(),
            nuclei,
            cells: StainSettings::cytoplasm(),
            forms: self.also.forms(),
            overwrite: self.overwrite,
            shard: self.shard.choice(context)?,
        };
        let done = segment(&options, &context.job())?;
        context.console.finish();
        for sentence in &done.failed {
            context.console.warn(sentence);
        }
        self.json.write_result(&serde_json::json!({
            "out": self.out,
            "fields": done.fields,
            "skipped": done.skipped,
            "nuclei": done.nuclei,
            "failed": done.failed,
        }))?;
        let before = match done.skipped {
            0 => String::new(),
            skipped => format!(", {skipped} of them done before"),
        };
        self.json.print(&format!(
            "{} nuclei in {} fields{before}; labels in `{}`",
            done.nuclei,
            done.fields,
            self.out.display()
        ))?;
        if let Some(shard) = options.shard {
            let (there, failed) = (done.fields, done.failed.len());
            return super::end_of_shard(context, (shard, &self.out), there, failed);
        }
        let objects = format!("--labels {}", next::word(&self.out));
        super::end_of_fields(context, &self.inputs, &objects, done.fields, &done.failed)
    }
}
