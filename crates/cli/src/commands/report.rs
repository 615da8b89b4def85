//! `report`: one page about a study.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_project::Part;
use stainfree_project::report::{ReportOptions, report};

use crate::Context;
use crate::failure::Outcome;
use crate::next;
use crate::output::Json;

/// Write one self-contained page: pictures, curves, scores, worst and best fields, config
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree report study
  stainfree report study --disagreements test

Writes DIR/report.html, which needs no network and no other file. Run evaluate first: the page
shows the scores that it wrote.")]
pub(crate) struct Report {
    /// The study
    dir: PathBuf,

    /// Name of the model [default: the study's only one, or `model`]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// Parts whose disagreements of model and truth are shown: `train`, `validation`, `test`
    ///
    /// `evaluate --on PART` finds them. Test fields are shown on request only: who corrects them
    /// just where the model disagrees flatters the model.
    #[arg(
        long,
        value_name = "PART,..",
        value_delimiter = ',',
        value_parser = ["train", "validation", "test"],
        default_values = ["train", "validation"],
    )]
    disagreements: Vec<String>,

    #[command(flatten)]
    json: Json,
}

impl Report {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["report"])?;
        let study = super::open_study(&self.dir, context)?;
        let model = self.model.clone().unwrap_or_else(|| study.only_model());
        let path = report(
            &study,
            &ReportOptions {
                model,
                disagreements: self
                    .disagreements
                    .iter()
                    .map(|part| part_of(part))
                    .collect(),
                ..ReportOptions::default()
            },
            &context.job(),
        )?;
        context.console.finish();
        self.json.write_result(&serde_json::json!({
            "report": path,
        }))?;
        self.json
            .print(&format!("`{}`; open it in a browser", path.display()))?;
        context.next(
            &format!(
                "stainfree predict {} PLATE --out result{}",
                next::word(&self.dir),
                next::model(self.model.as_deref())
            ),
            "the same for a plate without stains",
        );
        Ok(Outcome::Done)
    }
}

fn part_of(word: &str) -> Part {
    // No other word gets here.
    Part::named(word).unwrap_or(Part::Test)
}
