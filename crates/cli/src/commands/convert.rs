//! `convert`: images as OME-TIFF or OME-Zarr.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_project::convert::{ConvertOptions, Format, convert};

use crate::Context;
use crate::failure::Outcome;
use crate::next;
use crate::opening::Opening;
use crate::output::Json;

/// Write images of any layout as OME-TIFF or OME-Zarr
///
/// Values are those of the images; pixel size, steps along z and time, and names of channels go
/// along where they are known. All times of a place are one image. An image that fails is reported,
/// the rest goes on. The same command may be given again: it goes on where it was stopped; results
/// of other images or options are replaced with --overwrite only.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree convert plate/ --out zarr --to ome-zarr
  stainfree convert recording.tif --out tiff --to ome-tiff

Writes OUT/NAME.ome.tif for each place (tiles, Deflate, BigTIFF above 3.9 GB), or OUT/PLATE.ome.zarr
for each plate and OUT/NAME.ome.zarr for each place without one (OME-Zarr 0.5, zstd). Axes are time,
channel, z, y and x as far as there are several.")]
pub(crate) struct Convert {
    /// Plate, folder or image file
    #[arg(value_name = "INPUT")]
    input: PathBuf,

    /// Folder for the results
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// What to write
    #[arg(
        long,
        value_name = "FORMAT",
        value_parser = clap::builder::PossibleValuesParser::new(Format::ALL.map(Format::name)),
    )]
    to: String,

    #[command(flatten)]
    opening: Opening,

    /// Replace results of other images, options or versions
    #[arg(long)]
    overwrite: bool,

    #[command(flatten)]
    json: Json,
}

impl Convert {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["out", "images"])?;
        let to = Format::ALL
            .into_iter()
            .find(|format| format.name() == self.to);
        let options = ConvertOptions {
            input: self.input.clone(),
            out: self.out.clone(),
            to: to.expect("the parser takes no other"),
            opening: self.opening.options(),
            overwrite: self.overwrite,
        };
        let done = convert(&options, &context.job())?;
        context.console.finish();
        for sentence in &done.failed {
            context.console.warn(sentence);
        }
        self.json.write_result(&serde_json::json!({
            "out": self.out,
            "to": self.to,
            "images": done.images,
            "skipped": done.skipped,
            "files": done.files,
            "failed": done.failed,
        }))?;
        let before = match done.skipped {
            0 => String::new(),
            skipped => format!(", {skipped} of them done before"),
        };
        let what = match (to, done.files.len()) {
            (Some(Format::OmeZarr), 1) => "1 store".to_owned(),
            (Some(Format::OmeZarr), count) => format!("{count} stores"),
            (_, 1) => "1 file".to_owned(),
            (_, count) => format!("{count} files"),
        };
        self.json.print(&format!(
            "{} images{before}; {what} in `{}`",
            done.images,
            self.out.display()
        ))?;
        let outcome = Outcome::of(done.images, done.failed.len())?;
        let command = format!("stainfree inspect {}", next::word(&self.out));
        context.next_after(outcome, &command, "what was written");
        Ok(outcome)
    }
}
