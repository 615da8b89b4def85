//! `experiment`: a matrix of trainings, and what it answers.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_project::evaluation::experiment::estimate::{Estimate, estimate};
use stainfree_project::evaluation::experiment::{Experiment as Matrix, run};

use crate::Context;
use crate::failure::Outcome;
use crate::output::{self, Json};

/// Train a matrix of variants on one study and compare them
///
/// Every run is resumable: the same command goes on where it stood, and what is finished is not
/// done again. Several machines may run it on one shared folder; each run is done once.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree experiment experiments/quick.toml --dry-run
  stainfree experiment experiments/quick.toml

FILE names a study and lists what varies: scheme, planes, loss, encoder, weights, images, split,
recipe, seed (see experiments/ and docs/experiments.md). Writes results.csv, results.md, \
report.html and
figures/ into the folder named after FILE, or --out.")]
pub(crate) struct Experiment {
    /// The experiment file
    file: PathBuf,

    /// Only list the runs, with the time and memory they are expected to take
    #[arg(long)]
    dry_run: bool,

    /// Folder for runs and results [default: FILE without its extension]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,

    #[command(flatten)]
    json: Json,
}

impl Experiment {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["runs"])?;
        let matrix = Matrix::load(&self.file)?;
        if self.dry_run {
            let lines = estimate(&matrix, &context.job())?;
            context.console.finish();
            self.json.write_result(&estimates(&lines))?;
            self.json.print(&dry_run(&lines))?;
            return Ok(Outcome::Done);
        }
        let out = self.out.clone().unwrap_or_else(|| matrix.out());
        let ran = match run(&matrix, &out, &context.job()) {
            Ok(ran) => ran,
            Err(error) => {
                context.console.finish();
                if context.cancel.is_stopped() {
                    context
                        .console
                        .warn("stopped; the same command goes on from here");
                }
                return Err(error.into());
            }
        };
        context.console.finish();
        for (label, sentence) in &ran.failed {
            context
                .console
                .warn(&format!("run `{label}` failed: {sentence}"));
        }
        self.json.write_result(&serde_json::json!({
            "out": out,
            "runs": {"done": ran.done, "found": ran.found, "failed": ran.failed},
            "files": ran.files,
        }))?;
        self.json.print(&format!(
            "{} run{} trained here, {} found finished, {} failed",
            ran.done,
            if ran.done == 1 { "" } else { "s" },
            ran.found,
            ran.failed.len()
        ))?;
        for file in ran.files {
            self.json.print(&format!("  {}", file.display()))?;
        }
        Outcome::of(ran.done + ran.found, ran.failed.len())
    }
}

/// What the runs are expected to take, for another program.
fn estimates(lines: &[Estimate]) -> serde_json::Value {
    let runs: Vec<serde_json::Value> = lines
        .iter()
        .map(|line| {
            serde_json::json!({
                "run": line.choice.label(),
                "seed": line.choice.seed,
                "steps": line.steps,
                "seconds": line.seconds,
                "memory_bytes": line.memory,
            })
        })
        .collect();
    serde_json::json!({"runs": runs})
}

/// The same as a table.
fn dry_run(lines: &[Estimate]) -> String {
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            vec![
                line.choice.label(),
                line.choice.seed.to_string(),
                line.steps.to_string(),
                format!("{:.0} min", (line.seconds / 60.0).ceil()),
                format!("{:.2} GiB", line.memory as f64 / f64::from(1 << 30)),
            ]
        })
        .collect();
    let total: f64 = lines.iter().map(|line| line.seconds).sum();
    format!(
        "{}\n\n{} runs, about {:.1} hours of training on this machine; validation and scoring come \
         on top",
        output::table(&["run", "seed", "steps", "time", "memory"], &rows, 1),
        lines.len(),
        total / 3600.0
    )
}
