//! `outlines`: labels that exist in the forms that other programs open.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_project::prediction::forms::Form;
use stainfree_project::prediction::outlines::{OutlinesOptions, outlines};

use crate::Context;
use crate::also;
use crate::failure::Outcome;
use crate::output::Json;

/// Write labels that exist as outlines and in other forms for QuPath, ImageJ, napari ..
///
/// Takes label images of any program, or a result of `predict` or `segment` with its cells.
/// Outlines run along the edges of pixels, with holes and parts: painted again they are the same
/// labels. What is there of the same labels is skipped; what is there of others is replaced with
/// --overwrite only. A file that fails is reported, the rest goes on (exit code 3).
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree outlines result/ --out forms
  stainfree outlines labels/ --to geojson --out forms
  stainfree outlines labels/ --cells cells/ --to cellpose,napari --out forms

In QuPath: drag qupath/NAME.geojson onto the image. In Fiji: drag rois/NAME.zip onto its window.
A cell and the only nucleus that lies inside it become one cell of QuPath.")]
pub(crate) struct Outlines {
    /// Folder of label images, one file, or a result of `predict` or `segment`
    #[arg(value_name = "LABELS")]
    labels: PathBuf,

    /// Folder for the files
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// What to write
    #[arg(
        long,
        value_name = "FORM[,FORM..]",
        value_delimiter = ',',
        value_parser = also::parser(),
        default_value = "geojson,imagej-rois",
    )]
    to: Vec<Form>,

    /// Folder of label images of whole cells, or one file [default: those of the result]
    #[arg(long, value_name = "DIR")]
    cells: Option<PathBuf>,

    /// Pixel size in um, where the labels state none or a wrong one
    #[arg(long, value_name = "UM")]
    pixel_um: Option<f64>,

    /// Replace files of other labels or another version
    #[arg(long)]
    overwrite: bool,

    #[command(flatten)]
    json: Json,
}

impl Outlines {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["out", "objects"])?;
        let options = OutlinesOptions {
            labels: self.labels.clone(),
            cells: self.cells.clone(),
            out: self.out.clone(),
            forms: self.to.iter().copied().collect(),
            pixel_um: self.pixel_um,
            overwrite: self.overwrite,
        };
        let done = outlines(&options, &context.job())?;
        context.console.finish();
        for sentence in &done.failed {
            context.console.warn(sentence);
        }
        self.json.write_result(&serde_json::json!({
            "out": self.out,
            "fields": done.fields,
            "skipped": done.skipped,
            "objects": done.objects,
            "failed": done.failed,
        }))?;
        let before = match done.skipped {
            0 => String::new(),
            skipped => format!(", {skipped} of them done before"),
        };
        self.json.print(&format!(
            "{} objects in {} fields{before}; files in `{}`",
            done.objects,
            done.fields,
            self.out.display()
        ))?;
        Outcome::of(done.fields, done.failed.len())
    }
}
