//! `demo`: all of it on a simulated plate.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_project::demo::{DemoOptions, demo};

use crate::Context;
use crate::failure::Outcome;
use crate::output::{self, Json};
use crate::scores_table;

/// Do the whole job on a simulated plate: minutes on two cores, no data needed
///
/// Simulates a stained and an unstained plate, then runs new, prepare, train, predict, evaluate and
/// report as you would on your own plates.
#[derive(clap::Args)]
#[command(after_help = "Example:
  stainfree demo

Leaves in OUT: stained/ and unstained/ (plates with exact truth), study/, result/ (predictions),
scores.json and report.html.")]
pub(crate) struct Demo {
    /// Folder for everything; must not hold anything yet
    #[arg(short, long, value_name = "DIR", default_value = "stainfree-demo")]
    out: PathBuf,

    /// Height and width of the simulated fields in pixels
    #[arg(long, value_name = "PX")]
    side: Option<usize>,

    /// Training steps
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,

    /// Factor on the network's channel counts
    #[arg(long, value_name = "X")]
    width: Option<f64>,

    /// Side of the training crops in pixels, a multiple of 32
    #[arg(long, value_name = "PX")]
    crop: Option<usize>,

    /// Seed of plates and training
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    #[command(flatten)]
    json: Json,
}

impl Demo {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check(&output::SCORES)?;
        let usual = DemoOptions::new(self.out.clone());
        let options = DemoOptions {
            side: self.side.unwrap_or(usual.side),
            steps: self.steps.unwrap_or(usual.steps),
            width: self.width.unwrap_or(usual.width),
            crop: self.crop.unwrap_or(usual.crop),
            seed: self.seed,
            ..usual
        };
        let done = demo(&options, &context.job())?;
        context.console.finish();
        self.json.write(&done.scores)?;
        self.json.print(&format!(
            "\nThe unstained plate, brightfield only, against the exactly known \
                 cells:\n\n{}\n\nstudy    {}\nscores   {}\nreport   {}\n{:.0} s in all; open the \
                 report in a browser",
            scores_table::render(&done.scores, scores_table::Shown::default()),
            done.study.display(),
            done.scores_file.display(),
            done.report.display(),
            done.seconds
        ))?;
        context.next("stainfree inspect PLATE", "the same with your own plate");
        Ok(Outcome::Done)
    }
}
