//! `retrain`: a new model from a present one, with what was corrected, and what it changed.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_project::ProjectError;
use stainfree_project::retrain::{ChangedSet, Changes, RetrainOptions, Retrained, retrain};

use super::who;
use crate::Context;
use crate::failure::Outcome;
use crate::output::{self, Json};
use crate::{memory, next};

/// Keys by which the JSON of this command is told.
const KEYS: [&str; 2] = ["before", "after"];

/// Train again with corrections, from a present model, and say what changed
///
/// Takes what was corrected into the truth (`prepare`), trains a new model by the present one's
/// recipe from its weights, and scores both on the corrected fields of training and validation and
/// on validation fields that nobody touched. Test fields are neither learned from nor looked at.
/// Ctrl-C stops after the current step; the same command goes on exactly there, with the truth that
/// the training began with. The page of `view` does the same with a button.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree retrain study
  stainfree retrain study --model first --name second --steps 400

Writes DIR/models/NAME and DIR/runs/NAME like `train`, scores and predictions of both models like
`evaluate --on validation` (and `--on train` where training fields were corrected), and
DIR/runs/NAME/changes.json: fields that are better and worse, and every nucleus that one of both
models finds.")]
pub(crate) struct Retrain {
    /// The study
    dir: PathBuf,

    /// The model to start from [default: the study's only one, or `model`]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// Name of the new model [default: that of the present one with the next number, `model-2`]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Optimiser steps [default: those of the present model's recipe]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,

    /// Begin anew and give up what stands under the new name
    #[arg(long)]
    overwrite: bool,

    /// Cap on memory for images and validation, such as `2GiB`
    #[arg(long, value_name = "SIZE", value_parser = memory::parse)]
    memory: Option<usize>,

    /// Who asks for it, for tables of what people decided [default: STAINFREE_USER, else the name
    /// of your account]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,

    #[command(flatten)]
    json: Json,
}

impl Retrain {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&KEYS)?;
        let study = super::open_study(&self.dir, context)?;
        let machine = context.machine.with_memory(self.memory);
        let who = who(self.by.as_ref());
        let job = context.job().on(&machine).by(&who);
        let options = RetrainOptions {
            from: self.model.clone(),
            name: self.name.clone(),
            steps: self.steps,
            restart: self.overwrite,
        };
        let result = retrain(&study, &options, &job);
        context.console.finish();
        let Retrained { trained, changes } = result.inspect_err(|error| {
            if matches!(error, ProjectError::Cancelled) {
                let way_on = "stopped; the same command goes on from here";
                context.console.warn(way_on);
            }
        })?;
        for note in &changes.notes {
            context.job().progress.note(note);
        }
        self.json.write_result(&changes)?;
        self.json.print(&format!(
            "model `{}`: {} steps in {:.0} s, kept step {}\n{}",
            trained.model.display(),
            trained.steps,
            trained.seconds,
            trained.chosen_step,
            shown(&changes)
        ))?;
        let (study, model) = (next::word(&self.dir), next::model(Some(&changes.after)));
        let command = format!("stainfree view {study}");
        context.next(&command, "the nuclei that changed, one after the other");
        let command = format!("stainfree evaluate {study}{model}");
        context.next(&command, "how good it is on fields that it has not seen");
        Ok(Outcome::Done)
    }
}

/// A table of both sets, and a line of what flipped in each.
fn shown(changes: &Changes) -> String {
    let sets = [
        ("corrected", &changes.corrected),
        ("validation", &changes.validation),
    ];
    let there = || {
        sets.iter()
            .filter_map(|(name, set)| Some((*name, set.as_ref()?)))
    };
    let header = [
        "fields",
        "score",
        &changes.before,
        &changes.after,
        "change",
        "95 %",
    ];
    let rows: Vec<Vec<String>> = there().flat_map(|(name, set)| rows(name, set)).collect();
    let mut text = output::table(&header, &rows, 2);
    for (name, set) in there() {
        let ChangedSet {
            fields,
            better,
            worse,
            gained,
            lost,
            ..
        } = set;
        text += &format!(
            "\n{name}: {} fields, {better} better, {worse} worse; {gained} true nuclei are found \
             anew, {lost} no more; {} predicted ones were wrong, now {}",
            fields.len(),
            set.wrong[0],
            set.wrong[1]
        );
    }
    text
}

fn rows(name: &str, set: &ChangedSet) -> Vec<Vec<String>> {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.3}"));
    let signed = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:+.3}"));
    let scores = set.scores.iter().map(|score| {
        let interval = score.ci95.map_or_else(String::new, |[low, high]| {
            format!("{low:+.3} to {high:+.3}")
        });
        vec![
            name.to_owned(),
            score.name.clone(),
            number(score.first),
            number(score.second),
            signed(score.difference),
            interval,
        ]
    });
    let counts = [
        ("true nuclei", [set.truth; 2]),
        ("predicted nuclei", set.predicted),
    ];
    let counts = counts.map(|(what, [before, after])| {
        let change = after as i64 - before as i64;
        let cells = [before.to_string(), after.to_string(), format!("{change:+}")];
        let [before, after, change] = cells;
        vec![
            name.to_owned(),
            what.to_owned(),
            before,
            after,
            change,
            String::new(),
        ]
    });
    scores.chain(counts).collect()
}
