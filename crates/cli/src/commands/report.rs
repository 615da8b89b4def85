//! `report`: one page about a study, or about a result of `predict`.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_project::report::{ReportOptions, Reported, ResultOptions, report, report_result};
use stainfree_project::{Part, Study};

use crate::Context;
use crate::failure::{Outcome, UsageError};
use crate::next;
use crate::opening::Names;
use crate::output::Json;

/// Write one self-contained page: can I use these numbers, and why; pictures, scores, plates
///
/// Of a study: what its model scores on its test, with curves, worst and best fields, config. Of a
/// result of predict: its plates and wells, and the strangest fields beside those of the training
/// that they are most like. On both a light (green, yellow, red) says whether the numbers can be
/// used, by rules that stand beside it, and what to do next (docs/trust.md).
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree report study
  stainfree report result
  stainfree report study --disagreements test

Writes DIR/report.html, which needs no network and no other file. Run evaluate first: the page
shows the scores that it wrote. A result knows where its images and its model were; where they have
moved, --images and --study say so.")]
pub(crate) struct Report {
    /// The study, or a result of predict
    dir: PathBuf,

    /// Of a result: the images that were predicted [default: where they were then]
    #[arg(long, value_name = "PATH")]
    images: Vec<PathBuf>,

    #[command(flatten)]
    names: Names,

    /// Of a result: the study whose model predicted, or the model's folder [default: where it was
    /// then]
    #[arg(long, value_name = "DIR")]
    study: Option<PathBuf>,

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
        let of_study = Study::is_at(&self.dir);
        let reported = match of_study {
            true => self.of_study(context)?,
            false => self.of_result(context)?,
        };
        context.console.finish();
        let Reported { page, verdict } = reported;
        self.json.write_result(&serde_json::json!({
            "report": page,
            "verdict": verdict,
        }))?;
        self.json
            .print(&format!("`{}`; open it in a browser", page.display()))?;
        let job = context.job();
        job.progress
            .note(&format!("can I use these numbers? {verdict}"));
        if of_study {
            context.next(
                &format!(
                    "stainfree predict {} PLATE --out result{}",
                    next::word(&self.dir),
                    next::model(self.model.as_deref())
                ),
                "the same for a plate without stains",
            );
        }
        Ok(Outcome::Done)
    }

    fn of_study(&self, context: &Context) -> Result<Reported> {
        let names = self.names.options().pattern;
        if !self.images.is_empty() || self.study.is_some() || names.is_some() {
            return Err(UsageError(format!(
                "`{}` is a study, which knows its images and models; leave out `--images`, \
                 `--pattern` and `--study`",
                self.dir.display()
            ))
            .into());
        }
        let study = super::open_study(&self.dir, context)?;
        let parts = self.disagreements.iter().map(|part| part_of(part));
        let options = ReportOptions {
            model: self.model.clone().unwrap_or_else(|| study.only_model()),
            disagreements: parts.collect(),
            ..ReportOptions::default()
        };
        Ok(report(&study, &options, &context.job())?)
    }

    fn of_result(&self, context: &Context) -> Result<Reported> {
        if self.model.is_some() {
            return Err(UsageError(
                "`--model` names a model of a study; for a result, `--study` says where the model \
                 lies that made it"
                    .to_owned(),
            )
            .into());
        }
        let options = ResultOptions {
            result: self.dir.clone(),
            images: self.images.clone(),
            opening: self.names.options(),
            model: self.study.clone(),
        };
        Ok(report_result(&options, &context.job())?)
    }
}

fn part_of(word: &str) -> Part {
    // No other word gets here.
    Part::named(word).unwrap_or(Part::Test)
}
