//! `export`: a model for other programs.

use std::path::PathBuf;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use stainfree_project::export::{ExportOptions, Exported, Format, export};

use crate::Context;
use crate::failure::{Outcome, UsageError};
use crate::next;
use crate::output::Json;

/// Write a model as a file for other programs
///
/// The file holds the whole network: raw planes go in, and what comes out bears the names of the
/// model's outputs. Normalisation by the image, mirrored borders and probabilities are part of it,
/// so images of any size are read as they are; what is not (nuclei, other pixel sizes) stands in
/// the file's notes. An example with its results lies beside it, by which another program sees
/// whether it computes the same.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree export model/ --to onnx --out model.onnx
  stainfree export study --model first --to bioimageio --out model.zip --author 'A. Name' \
--license CC-BY-4.0

onnx: FILE.onnx (operators of version 17; the input `planes` is [batch][plane][y][x] in counts, as
float32), FILE.test_input.npy and FILE.test_output.NAME.npy. bioimageio: one zip of the format 0.5,
with description, model card, picture, network and example. Only what the model's folder says and
what is given here is said of the model.")]
pub(crate) struct Export {
    /// Model folder, or a study: its only model, or the one that `--model` names
    #[arg(value_name = "MODEL")]
    model: PathBuf,

    /// What to write
    #[arg(
        long,
        value_name = "FORMAT",
        value_parser = PossibleValuesParser::new(Format::ALL.map(Format::name)),
    )]
    to: String,

    /// The file, `.onnx` or `.zip`
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,

    /// Name of the model, where a study is given [default: the study's only one, or `model`]
    #[arg(long = "model", value_name = "NAME")]
    model_name: Option<String>,

    /// Largest count of the format of the images that will be read: 255, 65535, or 1 for floating
    /// point [default: that of `--image`, else 65535]; it changes what models of the paper's recipe
    /// see
    #[arg(long, value_name = "COUNT")]
    full_range: Option<f32>,

    /// Image for the example, one a plane [default: a simulated field]
    #[arg(long, value_name = "FILE[,FILE,FILE]", value_delimiter = ',')]
    image: Vec<PathBuf>,

    /// What the package is called [default: from the network and its classes]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// An author of the package; may be given several times
    #[arg(long, value_name = "NAME")]
    author: Vec<String>,

    /// Licence of the package, an identifier of SPDX such as CC-BY-4.0
    #[arg(long, value_name = "SPDX")]
    license: Option<String>,

    #[command(flatten)]
    json: Json,
}

impl Export {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["to", "files"])?;
        let format = Format::parse(&self.to).unwrap_or(Format::Onnx);
        self.check(format)?;
        let options = ExportOptions {
            model: super::model_folder(&self.model, self.model_name.as_deref(), context)?,
            format,
            out: self.out.clone(),
            full_range: self.full_range,
            images: self.image.clone(),
            name: self.name.clone(),
            authors: self.author.clone(),
            licence: self.license.clone(),
        };
        let written = export(&options, &context.job())?;
        context.console.finish();
        for remark in &written.remarks {
            context.console.warn(remark);
        }
        self.json.write_result(&serde_json::json!({
            "to": format.name(),
            "files": written.files,
            "model": written.hash,
            "outputs": written.outputs.iter()
                .map(|(name, channels)| serde_json::json!({"name": name, "channels": channels}))
                .collect::<Vec<_>>(),
            "full_range": written.full_range,
            "remarks": written.remarks,
        }))?;
        self.json.print(&listed(&written))?;
        self.what_next(format, context);
        Ok(Outcome::Done)
    }

    /// Refuses what the format has no place for, and numbers that are none.
    fn check(&self, format: Format) -> Result<()> {
        let described = [
            ("--name", self.name.is_some()),
            ("--author", !self.author.is_empty()),
            ("--license", self.license.is_some()),
        ];
        let sentence = match described.iter().find(|(_, given)| *given) {
            Some((flag, _)) if format == Format::Onnx => format!(
                "`{flag}` is for the description that `--to bioimageio` writes; an ONNX file has \
                 none"
            ),
            _ => match self.full_range {
                Some(range) if !(range.is_finite() && range > 0.0) => {
                    format!("`--full-range {range}` must be above 0, such as `65535`")
                }
                _ => return Ok(()),
            },
        };
        Err(UsageError(sentence).into())
    }

    fn what_next(&self, format: Format, context: &Context) {
        let (model, out) = (next::word(&self.model), next::word(&self.out));
        match format {
            Format::Onnx => context.next(
                &format!(
                    "stainfree export {model}{} --to bioimageio --out {}",
                    next::model(self.model_name.as_deref()),
                    next::word(self.out.with_extension("zip"))
                ),
                "the same with a description, for bioimage.io",
            ),
            Format::Bioimageio => context.next(
                &format!("bioimageio test {out}"),
                "whether Python's bioimageio.core computes the same",
            ),
        }
    }
}

/// What was written, in words.
fn listed(written: &Exported) -> String {
    let outputs: Vec<String> = written
        .outputs
        .iter()
        .map(|(name, channels)| format!("`{name}` ({channels})"))
        .collect();
    let files: Vec<String> = written
        .files
        .iter()
        .map(|file| format!("`{}`", file.display()))
        .collect();
    format!(
        "outputs (channels): {}\nwritten: {}",
        outputs.join(", "),
        files.join(", ")
    )
}
