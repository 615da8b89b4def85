//! `experiment`: a matrix of trainings on one study, resumable and shared by any number of
//! machines.
//!
//! Here: doing the runs. Which runs there are is in [`mod@file`], what a run changes in `variant`,
//! what it is recognised by in `decisive`, who does which in the crate's `lease`, what comes out in
//! `results`.
//!
//! Everything lies in the experiment's folder: `studies/` (one for each truth and split),
//! `runs/ID/result.json`, and the results. A run's ID ends in a hash of all that decides its
//! result, so a finished run is recognised, and one whose choices, program or data changed is made
//! anew.

pub mod advise;
mod conditions;
pub mod curve;
mod decisive;
pub mod estimate;
mod figures;
pub mod file;
mod published;
mod questions;
mod results;
mod run_table;
mod shown;
mod tables;
#[cfg(test)]
mod tests;
mod variant;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use stainfree_image::marker::{self, Kind, Marker};
use stainfree_inference::RuleChoice;
use stainfree_network::recipe::Recipe;
use stainfree_scores::{Convention, FieldScores, Scores};

use crate::evaluation::evaluate::Evaluated;
use crate::evaluation::score_model::{ModelOptions, evaluate_without_pictures};
use crate::study::Study;
use crate::study::fields::FieldRow;
use crate::study::guard::{Inputs, ResultFolder};
use crate::study::human::corrected::bring_over;
use crate::study::lease::{self, Terms, Thing};
use crate::training::start::{at_hand, is_name};
use crate::training::train::{TrainOptions, train};
use crate::truth::prepare;
use crate::{GroupRule, Job, Part, ProjectError};
use curve::Advice;
use decisive::Decisive;
use file::SplitRule;
pub use file::{Choice, Experiment, ExperimentFile};

/// Pause before asking again for work that others have.
const PAUSE: Duration = Duration::from_secs(2);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What became of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunResult {
    /// Its folder under `runs/`.
    pub id: String,
    /// Its choices.
    pub choice: Choice,
    /// Hash of all that decides the result.
    pub hash: String,
    /// Encoder that was trained.
    pub encoder: String,
    /// What it started from: `none`, the name of known weights, or the name of a file or model.
    #[serde(default)]
    pub start: String,
    /// Training images used.
    pub training_images: usize,
    /// Steps done.
    pub steps: u64,
    /// Step whose weights were kept.
    pub chosen_step: u64,
    /// Wall time of the training in seconds.
    pub seconds: f64,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Mean of the run's own loss over the test fields, each a batch of one, as the paper meant it.
    pub test_loss: Option<f64>,
    /// Training loss over the steps, thinned out.
    pub training_loss: Vec<(f64, f64)>,
    /// Scores on the test fields.
    pub scores: Scores,
    /// The counts they are made of.
    pub counts: Vec<FieldScores>,
    /// The same model with flips averaged, where the experiment asks for it.
    #[serde(default)]
    pub with_flips: Option<Scored>,
    /// Where fields were split one by one: the test fields whose group, by the study's own rule,
    /// trained the model.
    #[serde(default)]
    pub seen: Option<Vec<String>>,
}

/// A model's scores on the test fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scored {
    /// As [`RunResult::test_loss`].
    pub test_loss: Option<f64>,
    /// As [`RunResult::scores`].
    pub scores: Scores,
    /// As [`RunResult::counts`].
    pub counts: Vec<FieldScores>,
}

impl RunResult {
    /// The run, and as a run of its own the same model with flips averaged.
    fn apart(mut self) -> Vec<Self> {
        let Some(flipped) = self.with_flips.take() else {
            return vec![self];
        };
        let choice = Choice {
            flips: true,
            ..self.choice.clone()
        };
        let twin = Self {
            choice,
            test_loss: flipped.test_loss,
            scores: flipped.scores,
            counts: flipped.counts,
            ..self.clone()
        };
        vec![self, twin]
    }
}

/// A finished experiment, or what of it could be done.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Runs trained here.
    pub done: usize,
    /// Runs that were finished before, or by another machine.
    pub found: usize,
    /// Runs that failed: label and sentence.
    pub failed: Vec<(String, String)>,
    /// What the runs say about more images.
    pub advice: Vec<Advice>,
    /// The results that were written.
    pub files: Vec<PathBuf>,
}

/// Does every run that is not done yet, and writes the results.
///
/// A run that fails is reported and the others go on. Runs that other machines are at are waited
/// for at the end.
///
/// # Errors
/// The study cannot be opened, a folder cannot be written, or [`ProjectError::Cancelled`]; what is
/// finished is kept.
pub fn run(experiment: &Experiment, out: &Path, job: &Job) -> Result<Ran, ProjectError> {
    let base = Study::open(&experiment.study_path())?;
    own_folder(out, "experiment")?;
    if let Some(line) = bring_over(&base)? {
        job.progress.note(&line);
    }
    let total = experiment.choices.len();
    let mut results: Vec<Option<RunResult>> = vec![None; total];
    let mut ran = Ran {
        done: 0,
        found: 0,
        failed: Vec::new(),
        advice: Vec::new(),
        files: Vec::new(),
    };
    let mut waiting: Vec<usize> = (0..total).collect();
    let mut said_waiting = false;
    while !waiting.is_empty() {
        let (before, begun) = (waiting.len(), Instant::now());
        let mut busy = Vec::new();
        for index in waiting {
            job.cancel.check()?;
            let choice = &experiment.choices[index];
            let label = choice.full_label();
            let headline = format!("[{}/{total}] {label}", index + 1);
            let one = OneRun {
                base: &base,
                experiment,
                choice,
                out,
            };
            match one.attempt(&headline, job) {
                Ok(Attempt::Busy) => busy.push(index),
                Ok(Attempt::Done(result)) => {
                    ran.done += 1;
                    results[index] = Some(*result);
                }
                Ok(Attempt::Found(result)) => {
                    ran.found += 1;
                    results[index] = Some(*result);
                }
                // Where one run cannot be written, none can.
                Err(error) if matches!(error, ProjectError::Cancelled) || error.is_write() => {
                    return Err(error);
                }
                Err(error) => ran.failed.push((label, error.to_string())),
            }
        }
        if busy.len() == before {
            if !said_waiting {
                job.progress.note(&format!(
                    "waiting for {} that other machines are at",
                    runs(busy.len())
                ));
            }
            said_waiting = true;
            pause(begun.elapsed(), job)?;
        }
        waiting = busy;
    }
    let results: Vec<RunResult> = results
        .into_iter()
        .flatten()
        .flat_map(RunResult::apart)
        .collect();
    if results.is_empty() {
        let first = ran.failed.first().map_or("", |(_, sentence)| sentence);
        return Err(ProjectError::Failed(format!(
            "no run could be done: {first}"
        )));
    }
    ran.advice = curve::advice(&results)?;
    ran.files = results::write(experiment, out, &results, &ran.advice)?;
    Ok(ran)
}

/// What an experiment makes in its folder.
const OUTPUTS: [&str; 6] = [
    "runs",
    "studies",
    "results.csv",
    "results.md",
    "report.html",
    "figures",
];

/// Takes `out` for the experiment's folder, unless something of another origin is there that it
/// would write over.
pub(crate) fn own_folder(out: &Path, command: &str) -> Result<(), ProjectError> {
    let outputs = OUTPUTS.map(|name| out.join(name));
    let folder = ResultFolder {
        path: out,
        kind: &Kind::Experiment,
        way_out: "choose another folder with `--out`",
    };
    folder.check(&Inputs::default(), outputs.iter().map(PathBuf::as_path))?;
    if marker::read(out).is_none() {
        marker::write(out, &Marker::new(command, Kind::Experiment))?;
    }
    Ok(())
}

fn runs(count: usize) -> String {
    format!("{count} run{}", if count == 1 { "" } else { "s" })
}

/// Waits before the next look at runs that others are at, of which the last one `took` so long: it
/// reads all images, so that most of the time is to be waited.
fn pause(took: Duration, job: &Job) -> Result<(), ProjectError> {
    let wait = (took * 9).clamp(PAUSE, LONGEST_PAUSE);
    let begun = Instant::now();
    while begun.elapsed() < wait {
        job.cancel.check()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

enum Attempt {
    /// Trained here.
    Done(Box<RunResult>),
    /// Finished before.
    Found(Box<RunResult>),
    /// Somebody else is at it.
    Busy,
}

struct OneRun<'a> {
    base: &'a Study,
    experiment: &'a Experiment,
    choice: &'a Choice,
    out: &'a Path,
}

impl OneRun<'_> {
    fn attempt(&self, headline: &str, job: &Job) -> Result<Attempt, ProjectError> {
        let Some(study) = self.prepared(job)? else {
            return Ok(Attempt::Busy);
        };
        let rows = study.fields()?;
        let recipe = variant::recipe_of(self.base, self.experiment, self.choice)?;
        let images = variant::images_of(self.choice, &rows)?;
        let weights = self.weights(&recipe)?;
        let kinds = self.experiment.file.kinds.as_deref();
        let kinds = kinds.map(|file| self.experiment.beside(file));
        let hash = Decisive {
            study: &study,
            rows: &rows,
            recipe: &recipe,
            weights: &weights,
            images: &images,
            kinds: kinds.as_deref(),
        }
        .hash()?;
        let id = format!("{}-{}", self.choice.slug(), &hash[..8]);
        let all = self.out.join("runs");
        let folder = all.join(&id);
        let flips = self.experiment.file.flips;
        let found = || {
            let result = finished(&all, &hash)?;
            (!flips || result.with_flips.is_some()).then_some(result)
        };
        if let Some(result) = found() {
            // Perhaps of a run that says the same in other words: three planes where there are
            // three.
            lease::sweep(&folder);
            let choice = self.choice.clone();
            return Ok(Attempt::Found(Box::new(RunResult { choice, ..result })));
        }
        let thing = Thing {
            folder: &folder,
            name: "run",
            command: "experiment",
        };
        let Ok(lease) = thing.take(Terms::default(), job.cancel)? else {
            return Ok(Attempt::Busy);
        };
        // Somebody may have finished it between the look and the claim.
        if let Some(result) = found() {
            return Ok(Attempt::Found(Box::new(result)));
        }
        job.progress.note(headline);
        let seen = match self.choice.split {
            SplitRule::Group | SplitRule::Cross => None,
            SplitRule::Field => Some(self.seen_in_training(&study, &rows, &images)?),
        };
        let work = Work {
            study: &study,
            seen,
            kinds,
            id,
            hash,
            recipe,
            weights,
            images,
            flips,
        };
        match lease.during(job, |job| work.train_and_score(self.choice, job)) {
            // Whoever has it goes on.
            Err(ProjectError::TakenOver(_) | ProjectError::Held { .. }) => Ok(Attempt::Busy),
            Err(error) => Err(error),
            Ok(result) => {
                let text = serde_json::to_vec(&result).map_err(|error| {
                    ProjectError::NotMade(format!("the result cannot be written down: {error}"))
                })?;
                stainfree_image::write_atomic(&folder.join(RESULT), &text)?;
                Ok(Attempt::Done(Box::new(result)))
            }
        }
    }

    /// The test fields of groups of the base study of which a field was trained on.
    fn seen_in_training(
        &self,
        study: &Study,
        rows: &[FieldRow],
        images: &[String],
    ) -> Result<Vec<String>, ProjectError> {
        let rule = GroupRule::parse(&self.base.config().split.group)?;
        let mut groups: BTreeMap<String, String> = BTreeMap::new();
        for field in &study.source()?.dataset.fields {
            groups.insert(field.name.clone(), rule.group(field)?);
        }
        let trained: BTreeSet<&String> = images.iter().filter_map(|n| groups.get(n)).collect();
        let test = rows.iter().filter(|row| row.split == Some(Part::Test));
        let known = |row: &&FieldRow| groups.get(&row.name).is_some_and(|g| trained.contains(g));
        Ok(test.filter(known).map(|row| row.name.clone()).collect())
    }

    /// The run's study with its truth made, unless another machine is making it.
    fn prepared(&self, job: &Job) -> Result<Option<Study>, ProjectError> {
        let folder = self
            .out
            .join("studies")
            .join(variant::study_name(self.choice));
        let thing = Thing {
            folder: &folder,
            name: "truth",
            command: "experiment",
        };
        let Ok(lease) = thing.take(Terms::default(), job.cancel)? else {
            return Ok(None);
        };
        let study = variant::study_of(self.base, self.choice, &folder)?;
        let prepare = |job: &Job| prepare::prepare_variant(&study, self.base, job);
        let prepared = match lease.during(job, prepare) {
            // Whoever has it goes on.
            Err(ProjectError::TakenOver(_)) => return Ok(None),
            prepared => prepared?,
        };
        if let (0, Some((name, sentence))) = (prepared.count(Part::Test), prepared.failed.first()) {
            return Err(ProjectError::Failed(format!("field `{name}`: {sentence}")));
        }
        Ok(Some(study))
    }

    /// What the run starts from: a name that is no `auto`, or a path.
    fn weights(&self, recipe: &Recipe) -> Result<String, ProjectError> {
        let given = self.choice.weights.as_deref();
        let own = &self.base.config().training.weights;
        let wanted = match given {
            Some(word) if is_name(word) => word.to_owned(),
            Some(file) => self
                .experiment
                .beside(Path::new(file))
                .display()
                .to_string(),
            None if is_name(own) => own.clone(),
            None => self.base.resolve(Path::new(own)).display().to_string(),
        };
        match wanted.as_str() {
            "auto" => Ok(at_hand(recipe)?.word()),
            _ => Ok(wanted),
        }
    }
}

/// Name of a run's result.
const RESULT: &str = "result.json";

/// The result of a run in `all` that was finished with this hash; one that cannot be read counts as
/// none.
fn finished(all: &Path, hash: &str) -> Option<RunResult> {
    let ending = format!("-{}", &hash[..8]);
    let entries = std::fs::read_dir(all).ok()?.filter_map(Result::ok);
    entries
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(&ending))
        .filter_map(|entry| std::fs::read(entry.path().join(RESULT)).ok())
        .filter_map(|text| serde_json::from_slice::<RunResult>(&text).ok())
        .find(|result| result.hash == hash)
}

/// Runs are compared on the same fields: one whose start has met test fields would be scored on
/// others.
fn refuse_met(run: &str, evaluated: &Evaluated) -> Result<(), ProjectError> {
    match &evaluated.scores.on {
        Some(on) if !on.left_out.is_empty() => Err(ProjectError::MetTestFields {
            run: run.to_owned(),
            left_out: on.left_out.len(),
            asked: on.asked,
        }),
        _ => Ok(()),
    }
}

/// A run that is ours.
struct Work<'a> {
    study: &'a Study,
    id: String,
    hash: String,
    recipe: Recipe,
    weights: String,
    images: Vec<String>,
    seen: Option<Vec<String>>,
    kinds: Option<PathBuf>,
    flips: bool,
}

impl Work<'_> {
    fn train_and_score(self, choice: &Choice, job: &Job) -> Result<RunResult, ProjectError> {
        let (encoder, training_images) = (self.recipe.encoder.name(), self.images.len());
        let file = Path::new(&self.weights).file_name().unwrap_or_default();
        let start = file.to_string_lossy().into_owned();
        let precision = self.recipe.precision;
        let options = TrainOptions {
            name: self.id.clone(),
            weights: Some(self.weights),
            // Where another attempt left off, on whatever machine.
            restart: false,
            exact: Some(self.recipe),
            only: Some(self.images),
            ..TrainOptions::default()
        };
        let trained = train(self.study, &options, job)?;
        let machine = job.machine.with_precision(precision);
        let machine = machine.map_err(ProjectError::Failed)?;
        let job = &job.on(&machine);
        let score = |flips: bool| {
            let options = ModelOptions {
                rule: RuleChoice::OfModel,
                model: self.id.clone(),
                on: Part::Test,
                convention: Convention::Argmax,
                flips,
                boundaries: true,
                kinds: self.kinds.clone(),
            };
            let evaluated = evaluate_without_pictures(self.study, &options, job)?;
            for message in &evaluated.messages {
                job.progress.note(message);
            }
            refuse_met(&self.id, &evaluated)?;
            Ok::<_, ProjectError>(evaluated)
        };
        // Flips first: the files that a scoring leaves in the model's folder are those of the plain
        // one.
        let with_flips = self.flips.then(|| score(true)).transpose()?;
        let evaluated = score(false)?;
        Ok(RunResult {
            choice: choice.clone(),
            hash: self.hash,
            encoder: encoder.to_owned(),
            start,
            training_images,
            steps: trained.steps,
            chosen_step: trained.chosen_step,
            seconds: trained.seconds,
            classes: self.study.config().truth.classes.clone(),
            test_loss: evaluated.loss,
            training_loss: results::loss_curve(&trained.model.join("log.jsonl"))?,
            scores: evaluated.scores,
            counts: evaluated.counts,
            with_flips: with_flips.map(|flipped| Scored {
                test_loss: flipped.loss,
                scores: flipped.scores,
                counts: flipped.counts,
            }),
            seen: self.seen,
            id: self.id,
        })
    }
}
