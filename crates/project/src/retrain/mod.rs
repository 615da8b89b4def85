//! `retrain`: a new model that starts from a present one, after corrections, and what it does
//! otherwise.
//!
//! In this order: `prepare`, a training by the present model's recipe from its weights, and both
//! models scored on the fields that were corrected and on validation fields that nobody touched
//! ([`changes`](Changes)). Test fields are neither learned from nor looked at. What it is at lies
//! in `runs/NAME` ([`State`]), so that other processes can show it and [`stop`] it; the same call
//! goes on after a stop or a kill.

mod changes;
mod state;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use stainfree_inference::RuleChoice;
use stainfree_network::model::Model;
use stainfree_network::optimiser::Schedule;
use stainfree_network::recipe::{Length, Recipe};
use stainfree_scores::{Convention, FieldScores};

pub use self::changes::{ChangedField, ChangedSet, Changes, Flipped};
use self::state::{Keeper, first, thing, until_stopped};
pub use self::state::{Phase, Standing, State, changes, standing, standings, stop};
use crate::evaluation::score_model::{ModelOptions, evaluate_without_pictures, unit};
use crate::study::Study;
use crate::study::fields::{FieldRow, NucleiBy};
use crate::training::Trained;
use crate::training::train::{TrainOptions, check_name, train};
use crate::truth::prepare::prepare;
use crate::{Job, Part, ProjectError};

/// What is trained again, and for how long.
#[derive(Clone, Debug, Default)]
pub struct RetrainOptions {
    /// The model to start from; none = the study's only one, or `model`.
    pub from: Option<String>,
    /// Name of the new model; none = that of an unfinished one from the
    /// same model, else [`free_name`].
    pub name: Option<String>,
    /// Steps; none = as the recipe of the present model says.
    pub steps: Option<u64>,
    /// Begin anew and give up what stands under the new name.
    pub restart: bool,
}

/// A finished retraining.
#[derive(Clone, Debug)]
pub struct Retrained {
    /// The new model.
    pub trained: Trained,
    /// What it does otherwise than the one before.
    pub changes: Changes,
}

/// Takes corrections into the truth, trains a model from the present one's weights, and says what
/// changed. One that was stopped or killed goes on, with the truth that it began with.
///
/// # Errors
/// Those of `prepare`, `train` and `evaluate`; a name that belongs to something else; somebody is
/// at it; [`ProjectError::Cancelled`] after a stop, with everything kept that is needed to go on.
pub fn retrain(
    study: &Study,
    options: &RetrainOptions,
    job: &Job,
) -> Result<Retrained, ProjectError> {
    let plan = Plan::of(study, options)?;
    let way_out = "wait until it ends, or stop it on the page of `stainfree view`";
    let lease = thing(&plan.run).own(way_out, job.cancel)?;
    lease.during(job, |job| {
        let before = standing(study, &plan.name).map(|found| found.state);
        let state = first(&plan.name, &plan.from, options.steps, job, before);
        let keeper = Keeper::begin(job, &plan.run, state)?;
        let result = until_stopped(&plan.run, job.cancel, |cancel| {
            let kept = Job {
                progress: &keeper,
                cancel,
                ..*job
            };
            plan.follow(study, &keeper, &kept)
        });
        keeper.end(&result);
        result
    })
}

/// The first name after `from` that nothing has: `model-2`, `model-3` ..
pub fn free_name(study: &Study, from: &str) -> String {
    let free = |name: &String| !study.model_path(name).exists() && !study.run_path(name).exists();
    names_after(from).find(free).unwrap_or_default()
}

/// The name of a new model where none is given. An unfinished retraining from the same model keeps
/// its own, so that the same call goes on with it.
fn next_name(study: &Study, from: &str) -> String {
    let unfinished = standings(study).into_iter().find(|found| {
        found.state.from == from && found.state.phase != Phase::Done && !found.running
    });
    unfinished.map_or_else(|| free_name(study, from), |found| found.state.name)
}

fn names_after(from: &str) -> impl Iterator<Item = String> {
    let base = match from.rsplit_once('-') {
        Some((base, number)) if number.parse::<u32>().is_ok() => base,
        _ => from,
    };
    (2u32..).map(move |number| format!("{base}-{number}"))
}

/// Steps that a retraining of `from` takes where none are said; none where the study does not say
/// how many fields it trains on.
pub fn usual_steps(study: &Study, from: &str) -> Option<u64> {
    let info = Model::load(&study.model_path(from)).ok()?.info;
    let fields = study.fields().ok()?;
    let trains = fields.iter().filter(|row| row.split == Some(Part::Train));
    Some(info.recipe.steps(trains.count()))
}

/// What is to be done, checked.
struct Plan {
    from: String,
    name: String,
    run: PathBuf,
    training: TrainOptions,
}

impl Plan {
    fn of(study: &Study, options: &RetrainOptions) -> Result<Self, ProjectError> {
        let folder = study.trained_model(options.from.as_deref())?;
        let from = options.from.clone().unwrap_or_else(|| study.only_model());
        let name = match &options.name {
            Some(name) => name.clone(),
            None => next_name(study, &from),
        };
        check_name(&name)?;
        let usage = |sentence: String| Err(ProjectError::Usage(sentence));
        if name == from {
            return usage(format!(
                "the model `{name}` cannot start from itself; give the new one another `--name`"
            ));
        }
        match standing(study, &name) {
            Some(found) if found.state.from != from && !options.restart => {
                return usage(format!(
                    "`{name}` is trained from the model `{}`, not `{from}`; give another `--name`",
                    found.state.from
                ));
            }
            None if study.model_path(&name).exists() => {
                return usage(format!(
                    "the study has a model `{name}` that `retrain` has not made; give another \
                     `--name`"
                ));
            }
            _ => {}
        }
        let model = Model::load(&folder)?;
        let classes = &study.config().truth.classes;
        if model.info.classes != *classes {
            return usage(format!(
                "the model `{from}` knows the classes {} and the study has {}; train a new one \
                 with `stainfree train`",
                model.info.classes.join(", "),
                classes.join(", ")
            ));
        }
        Ok(Self {
            run: study.run_path(&name),
            training: TrainOptions {
                name: name.clone(),
                weights: Some(folder.to_string_lossy().into_owned()),
                length: options.steps.map(Length::Steps),
                like: Some(settling(model.info.recipe, options.steps)),
                restart: options.restart,
                ..TrainOptions::default()
            },
            from,
            name,
        })
    }

    fn follow(&self, study: &Study, keeper: &Keeper, job: &Job) -> Result<Retrained, ProjectError> {
        if self.goes_on() {
            job.progress.note(
                "the training goes on with the truth that it began with; what was corrected \
                 since is for the next one",
            );
        } else {
            keeper.phase(Phase::Preparing)?;
            for (name, sentence) in &prepare(study, job)?.failed {
                let note = format!("`{name}` is not part of the truth: {sentence}");
                job.progress.note(&note);
            }
        }
        keeper.phase(Phase::Training)?;
        let trained = train(study, &self.training, job)?;
        keeper.phase(Phase::Comparing)?;
        let changes = what_changed(study, &self.from, &self.name, job)?;
        keeper.changes(&changes)?;
        Ok(Retrained { trained, changes })
    }

    /// Whether a training stands under the name that knows only the truth it began with.
    fn goes_on(&self) -> bool {
        !self.training.restart && is_begun(&self.run)
    }
}

fn is_begun(run: &Path) -> bool {
    run.join("checkpoint.safetensors").is_file()
}

/// Scores both models on validation fields, and on training fields where any was corrected.
fn what_changed(
    study: &Study,
    before: &str,
    after: &str,
    job: &Job,
) -> Result<Changes, ProjectError> {
    let rows = study.fields()?;
    let corrected = |row: &&FieldRow| row.nuclei_from == Some(NucleiBy::Corrected);
    let of = |part: Part| rows.iter().filter(move |row| row.split == Some(part));
    let trains = of(Part::Train).filter(corrected).count();
    let names: BTreeSet<&str> = of(Part::Train)
        .chain(of(Part::Validation))
        .filter(corrected)
        .map(|row| row.name.as_str())
        .collect();
    let mut notes = notes(&names, trains, of(Part::Test).filter(corrected).count());
    let mut counts: [Vec<FieldScores>; 2] = [Vec::new(), Vec::new()];
    for part in [Part::Validation, Part::Train] {
        let wanted = match part {
            Part::Train => trains > 0,
            _ => of(part).next().is_some(),
        };
        for (model, counts) in [before, after].into_iter().zip(&mut counts) {
            if wanted {
                let scored = evaluate_without_pictures(study, &options(model, part), job)?;
                counts.extend(scored.counts);
            }
        }
    }
    let group = unit(study, &rows)?;
    let validates: BTreeSet<&str> = of(Part::Validation).map(|row| &*row.name).collect();
    let set = |wanted: &dyn Fn(&str) -> bool| {
        let [before, after] = &counts;
        let chosen = |all: &[FieldScores]| -> Vec<FieldScores> {
            all.iter().filter(|f| wanted(&f.name)).cloned().collect()
        };
        ChangedSet::of(&chosen(before), &chosen(after), group.clone())
    };
    let untouched = |name: &str| validates.contains(name) && !names.contains(name);
    let (corrected, validation) = (set(&|name| names.contains(name))?, set(&untouched)?);
    if validation.is_none() {
        notes.push("no validation field is left that nobody corrected".to_owned());
    }
    Ok(Changes {
        before: before.to_owned(),
        after: after.to_owned(),
        corrected,
        validation,
        notes,
    })
}

fn options(model: &str, on: Part) -> ModelOptions {
    ModelOptions {
        model: model.to_owned(),
        on,
        convention: Convention::Argmax,
        boundaries: false,
        kinds: None,
        flips: false,
        rule: RuleChoice::OfModel,
    }
}

/// What a reader of the comparison must know.
fn notes(corrected: &BTreeSet<&str>, trains: usize, tests: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if corrected.is_empty() {
        notes.push("no field of training or validation was corrected by hand".to_owned());
    }
    if trains > 0 {
        notes.push(format!(
            "the new model has learned {trains} of {} corrected fields, so that it is better \
             there than elsewhere",
            corrected.len()
        ));
    }
    notes.push(
        "both were scored against the truth as it is now; validation fields choose among states \
         of a model, and only the test, which was not touched, says how good it is"
            .to_owned(),
    );
    if tests > 0 {
        notes.push(format!(
            "{tests} corrected test fields are in neither list: nothing is learned or judged here \
             by the test"
        ));
    }
    notes
}

/// The recipe for so many steps: the rate rises for a fifth of them at most. A rise that was meant
/// for a long training would end a short one at the largest rate, which unlearns what the model
/// knew.
fn settling(mut recipe: Recipe, steps: Option<u64>) -> Recipe {
    if let (Some(steps), Schedule::Cosine { warmup_steps, .. }) = (steps, &mut recipe.schedule) {
        *warmup_steps = (*warmup_steps).min(steps / 5);
    }
    recipe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_training_has_steps_left_to_settle() {
        let rise = |steps| match settling(Recipe::standard(), steps).schedule {
            Schedule::Cosine { warmup_steps, .. } => warmup_steps,
            _ => panic!("the default recipe has another schedule"),
        };
        let usual = rise(None);
        assert!(usual > 12);
        assert_eq!(
            [rise(Some(60)), rise(Some(4)), rise(Some(9000))],
            [12, 0, usual]
        );
    }
}
