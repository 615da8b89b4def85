//! `advise`: what more images would bring.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_project::evaluation::experiment::advise::{
    AdviseOptions, Advised, advise, plan, total,
};
use stainfree_project::evaluation::experiment::curve::NUCLEUS_F1;
use stainfree_project::evaluation::experiment::estimate::estimate;

use crate::Context;
use crate::failure::Outcome;
use crate::output::{self, Json};

/// Say what twice as many training images would bring, from a few short runs
///
/// Trains the network for a few steps on all, half, a quarter and an eighth of the training fields,
/// several times each, and fits the learning curve. Time and memory are printed before it starts.
/// Stopped with Ctrl-C, the same command goes on where it stood.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree advise study --dry-run
  stainfree advise study --seeds 3 --steps 200
  stainfree advise study --images 4,8,16,32 --json advice.json

The advice is about nucleus F1 on the study's test fields, with an interval over groups of fields \
and over
runs; where runs are too few or scatter too widely it says so. It is an experiment of its own in
DIR/advice, with results.csv, results.md, report.html and figures/ (docs/experiments.md).")]
pub(crate) struct Advise {
    /// The study; it must be prepared
    dir: PathBuf,

    /// Numbers of training fields [default: all, half, a quarter, an eighth]
    #[arg(long, value_name = "N,N..", value_delimiter = ',')]
    images: Vec<usize>,

    /// Runs of each number of fields; with one, intervals are too short
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        value_parser = clap::value_parser!(u64).range(1..=100),
    )]
    seeds: u64,

    /// Optimiser steps of each run
    #[arg(
        long,
        value_name = "N",
        default_value_t = 200,
        value_parser = clap::value_parser!(u64).range(1..),
    )]
    steps: u64,

    /// Channels of the network, as `train --width`
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    width: f64,

    /// Side of the training crops, px
    #[arg(long, value_name = "PX", default_value_t = 192)]
    crop: usize,

    /// Crops a step
    #[arg(long, value_name = "N", default_value_t = 4)]
    batch: usize,

    /// Only say what it will take
    #[arg(long)]
    dry_run: bool,

    /// Folder for runs and results [default: DIR/advice]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,

    #[command(flatten)]
    json: Json,
}

impl Advise {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check(&["study", "advice", "caveat"])?;
        let study = super::open_study(&self.dir, context)?;
        let options = AdviseOptions {
            images: self.images.clone(),
            seeds: self.seeds,
            steps: self.steps,
            width: self.width,
            crop: self.crop,
            batch: self.batch,
            out: self.out.clone(),
        };
        let experiment = plan(&study, &options)?;
        let lines = estimate(&experiment, &context.job())?;
        let (seconds, memory) = total(&lines);
        let cost = format!(
            "{} runs of {} steps: about {:.0} min of training on this machine, {:.2} GiB; \
             validation and scoring come on top",
            lines.len(),
            self.steps,
            (seconds / 60.0).ceil(),
            memory as f64 / f64::from(1 << 30)
        );
        if self.dry_run {
            context.console.finish();
            self.json.write(&serde_json::json!({
                "study": self.dir,
                "advice": null,
                "caveat": "not run",
                "runs": lines.len(),
                "steps": self.steps,
                "seconds": seconds,
                "memory_bytes": memory,
            }))?;
            self.json.print(&cost)?;
            return Ok(Outcome::Done);
        }
        context.job().progress.note(&cost);
        let done = advise(&study, &options, &experiment, &context.job());
        context.console.finish();
        let (advised, ran) = match done {
            Ok(done) => done,
            Err(error) => {
                if context.cancel.is_stopped() {
                    context
                        .console
                        .warn("stopped; the same command goes on from here");
                }
                return Err(error.into());
            }
        };
        for (label, sentence) in &ran.failed {
            context
                .console
                .warn(&format!("run `{label}` failed: {sentence}"));
        }
        self.json.write(&advised)?;
        self.json.print(&shown(&advised))?;
        for file in &ran.files {
            self.json.print(&format!("  {}", file.display()))?;
        }
        Outcome::of(ran.done + ran.found, ran.failed.len())
    }
}

/// The measured and expected scores, and the advice.
fn shown(advised: &Advised) -> String {
    let mut text = String::new();
    if let Some(curve) = advised.advice.curves.get(NUCLEUS_F1) {
        let mut rows: Vec<Vec<String>> = curve
            .sizes
            .iter()
            .map(|p| {
                let measured = format!("measured in {} runs", p.runs);
                vec![p.images.to_string(), format!("{:.4}", p.score), measured]
            })
            .collect();
        if let Some(last) = curve.curve.last() {
            let interval = last.ci95.map_or(String::new(), |[low, high]| {
                format!(" ({low:.4} to {high:.4})")
            });
            rows.push(vec![
                curve.doubling.to.to_string(),
                format!("{:.4}", last.score),
                format!("expected{interval}"),
            ]);
        }
        text = output::table(&["images", NUCLEUS_F1, ""], &rows, 1);
        text.push_str("\n\n");
    }
    format!("{text}{}\n{}", advised.advice.sentence, advised.caveat)
}
