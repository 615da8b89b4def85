//! `view`: look at images, truth and predictions in the browser, and correct nuclei.

#[cfg(feature = "viewer")]
mod serve;

use std::path::PathBuf;

use anyhow::Result;

use crate::Context;
use crate::failure::Outcome;
use crate::opening::Names;

/// Megabytes of tiles that are kept unless `--cache` says otherwise: a few screens of large images.
const CACHE_MB: usize = 512;

/// Look at images, truth and predictions in the browser, and correct nuclei
///
/// Opens one page, served by this program on this machine to nobody else: a plate map and a table
/// of all fields, the images with truth and predictions as layers, and, for a study, tools that
/// split, merge, paint, erase and reject nuclei. Every stroke is saved at once into DIR/human,
/// which `prepare` takes. Ctrl-C ends it; nothing is lost, however it ends.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree view study
  stainfree view result --images plate2/
  stainfree view plate/ --no-open

On another machine over SSH: forward the port as the printed line says, then open the address
here. `?` on the page lists all keys.")]
pub(crate) struct View {
    /// A study, a result of `predict` or `segment`, or images
    #[arg(value_name = "STUDY|RESULT|IMAGES")]
    path: PathBuf,

    /// The images that a result is of
    #[arg(long, value_name = "PATH")]
    images: Option<PathBuf>,

    #[command(flatten)]
    names: Names,

    /// Port on 127.0.0.1 [default: a free one]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    port: u16,

    /// Do not open the browser, only print the address
    #[arg(long)]
    no_open: bool,

    /// Show only; nothing can be corrected
    #[arg(long)]
    read_only: bool,

    /// Who corrects [default: STAINFREE_USER, else the name of your account]
    #[arg(long = "as", value_name = "NAME")]
    by: Option<String>,

    /// Megabytes of tiles to keep in memory
    #[arg(
        long,
        value_name = "MB",
        default_value_t = CACHE_MB,
        value_parser = |text: &str| match text.parse::<usize>() {
            Ok(mb) if (16..=1 << 20).contains(&mb) => Ok(mb),
            _ => Err("a whole number from 16 to 1048576"),
        },
    )]
    cache: usize,
}

impl View {
    #[cfg(feature = "viewer")]
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        serve::view(self, context)
    }

    #[cfg(not(feature = "viewer"))]
    pub(crate) fn run(&self, _context: &Context) -> Result<Outcome> {
        anyhow::bail!(
            "this program was built without the viewer (feature `viewer`); build it with default \
             features to show `{}`",
            self.path.display()
        )
    }
}
