//! A training with everything chosen, from its start to its model: what `train` and `pretrain`
//! share.
//!
//! The steps themselves are [`stainfree_network::train`](mod@stainfree_network::train).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stainfree_image::marker::{self, Kind, Marker};
use stainfree_image::write;
use stainfree_network::UnetSpec;
use stainfree_network::model::{FORMAT, Model, ModelInfo, TrainingRecord};
use stainfree_network::recipe::Recipe;
use stainfree_network::train::{
    self as network, Ending, Observer, Picture, StepReport, TrainJob, TrainingData,
    ValidationReport,
};

use crate::error::Refusal;
use crate::study::beside_model::{self, RECORD};
use crate::study::guard::{Inputs, ResultFolder};
use crate::study::lease;
use crate::study::provenance::Provenance;
use crate::training::judge::NucleusJudge;
use crate::training::start::Start;
use crate::{Job, ProjectError, pictures};

/// Least number of steps between checkpoints; saving one takes about as long as a step.
const CHECKPOINT_EVERY: u64 = 25;
/// Validation windows of which a picture is made now and then.
const PICTURES: usize = 4;

/// A finished training.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The model's folder.
    pub model: PathBuf,
    /// Steps done.
    pub steps: u64,
    /// The step whose weights were kept.
    pub chosen_step: u64,
    /// What they were chosen by.
    pub chosen_value: Option<f64>,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// All that a training needs.
pub(crate) struct Training<'a> {
    pub(crate) start: Start,
    pub(crate) network: UnetSpec,
    /// Names of the classes, in the order of their numbers.
    pub(crate) classes: Vec<String>,
    pub(crate) recipe: Recipe,
    pub(crate) fields: &'a dyn TrainingData,
    pub(crate) validation: &'a dyn TrainingData,
    /// Pixel size of the fields as they are learned from, where they have one, um.
    pub(crate) pixel_um: Option<f64>,
    /// Folder of checkpoint, log and pictures; made if it does not exist.
    pub(crate) run: &'a Path,
    /// Begin anew, and give up what stands.
    pub(crate) restart: bool,
    /// Memory for normalised fields, bytes.
    pub(crate) cache_bytes: usize,
    /// Memory of the network while validating, bytes.
    pub(crate) validation_bytes: usize,
}

impl Training<'_> {
    /// Trains, and says whether a step was done that did not stand already. The model is not
    /// written yet; its pixel size, further hashes and scores are for the caller to fill in.
    ///
    /// # Errors
    /// The recipe cannot be followed, a field cannot be read, a file cannot be written;
    /// [`ProjectError::Cancelled`] after a stop, with everything kept that is needed to go on.
    pub(crate) fn model(self, job: &Job) -> Result<(Model, bool), ProjectError> {
        let machine = job.machine.with_precision(self.recipe.precision);
        let machine = machine.map_err(ProjectError::Failed)?;
        std::fs::create_dir_all(self.run).map_err(|error| ProjectError::write(self.run, &error))?;
        let start = self.start;
        let outcome = network::train(
            &TrainJob {
                graph: &start.graph,
                start: &start.parameters,
                folded_norms: start.folded_norms,
                recipe: &self.recipe,
                input: &start.input,
                training: self.fields,
                validation: self.validation,
                judge: Some(&NucleusJudge::new(
                    self.validation,
                    start.graph.outputs(),
                    &self.classes,
                    self.pixel_um,
                )),
                folder: self.run,
                restart: self.restart,
                machine: &machine,
                cache_bytes: self.cache_bytes,
                memory: Some(self.validation_bytes),
                checkpoint_every: checkpoint_every(),
                pictures: PICTURES,
            },
            &mut Watcher::new(job, self.run, &self.classes),
            job.cancel.flag(),
        )?;
        if outcome.ending == Ending::Cancelled {
            return Err(ProjectError::Cancelled);
        }
        let fresh = outcome.resumed_at < outcome.steps;
        let model = Model {
            info: ModelInfo {
                format: FORMAT,
                program: format!("stainfree {}", env!("CARGO_PKG_VERSION")),
                classes: self.classes,
                pixel_um: None,
                pretrained: start.origin,
                network: self.network.into(),
                input: start.input,
                recipe: self.recipe,
                training: TrainingRecord {
                    steps: outcome.steps,
                    chosen_step: outcome.chosen_step,
                    chosen_value: outcome.chosen_value,
                    fields: self.fields.len(),
                    seconds: outcome.seconds,
                    machines: outcome.machines,
                },
                adapted: None,
                hashes: BTreeMap::new(),
            },
            graph: start.graph,
            parameters: outcome.parameters,
            ignored: Vec::new(),
        };
        Ok((model, fresh))
    }
}

/// Refuses to train over a model that nothing is left of to go on from.
pub(crate) fn refuse_without_checkpoint(
    folder: &Path,
    run: &Path,
    restart: bool,
) -> Result<(), ProjectError> {
    let checkpoint = run.join("checkpoint.safetensors");
    if restart || !folder.join("model.toml").exists() || checkpoint.exists() {
        return Ok(());
    }
    Err(ProjectError::NoCheckpoint {
        model: folder.into(),
        checkpoint,
    })
}

/// The model in `folder`, where the training had nothing left to do and this is what came of it;
/// says so, with the ways out.
pub(crate) fn finished(
    model: &Model,
    fresh: bool,
    folder: &Path,
    job: &Job,
) -> Result<Option<Trained>, ProjectError> {
    if fresh || !folder.join("model.toml").exists() {
        return Ok(None);
    }
    // One that cannot be read is written again.
    let Ok(found) = Model::load(folder) else {
        return Ok(None);
    };
    let hashes = &found.info.hashes;
    if found.hash() != model.hash()
        || found.info.training.steps != model.info.training.steps
        || Provenance::of_model(folder, hashes).is_err()
        || beside_model::input_channels(folder, hashes).is_err()
    {
        return Ok(None);
    }
    // A program that was killed at the very end has left that to this one.
    beside_model::settle(folder)?;
    let record = &found.info.training;
    job.progress.note(&format!(
        "`{}` is finished, with {} steps: nothing is left to do; more steps go on from there, \
         another name keeps it, and `--overwrite` gives it up and begins anew",
        folder.display(),
        record.steps
    ));
    Ok(Some(trained(folder, record)))
}

fn trained(folder: &Path, record: &TrainingRecord) -> Trained {
    Trained {
        model: folder.into(),
        steps: record.steps,
        chosen_step: record.chosen_step,
        chosen_value: record.chosen_value,
        seconds: record.seconds,
    }
}

/// What a training leaves in its model's folder before the model is whole, also in older versions.
const UNFINISHED: [&str; 5] = [
    "input.toml",
    "log.jsonl",
    RECORD.file,
    "run",
    "weights.safetensors",
];

/// Refuses a folder for a model in which something else lies.
pub(crate) fn check_folder(folder: &Path, way_out: &str) -> Result<(), ProjectError> {
    let place = ResultFolder {
        path: folder,
        kind: &Kind::Model,
        way_out,
    };
    place.check(&Inputs::default(), std::iter::empty())?;
    if marker::written_by_us(folder).is_some() {
        return Ok(());
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let names = entries.filter_map(Result::ok).map(|e| e.file_name());
    let mut names = names.map(|name| name.to_string_lossy().into_owned());
    let begun = |name: &String| {
        UNFINISHED.contains(&name.as_str()) || write::is_unfinished(name) || lease::is_lease(name)
    };
    let foreign = names.find(|name| !begun(name));
    match foreign {
        None => Ok(()),
        Some(name) => Err(Refusal::OtherFolder {
            folder: folder.to_owned(),
            found: format!("no model's folder: it holds `{name}`"),
            way_out: way_out.to_owned(),
        }
        .into()),
    }
}

/// Marks the folder of a model that `command` makes.
pub(crate) fn mark(folder: &Path, command: &str) -> Result<(), ProjectError> {
    Ok(marker::write(folder, &Marker::new(command, Kind::Model))?)
}

/// Writes a model, the record of what it has met and the log of its `run` into `folder`, which
/// [`mark`] has made.
pub(crate) fn write_model(
    model: &mut Model,
    mut record: Provenance,
    run: &Path,
    folder: &Path,
) -> Result<Trained, ProjectError> {
    let log = run.join("log.jsonl");
    let bytes = std::fs::read(&log).map_err(|error| ProjectError::read(&log, &error))?;
    stainfree_image::write_atomic(&folder.join("log.jsonl"), &bytes)?;
    record.model = model.hash();
    let hash = beside_model::RECORD.put(folder, &record.bytes())?;
    model.info.hashes.extend([hash]);
    // `model.toml` is written last: a folder that has one is complete.
    model.save(folder)?;
    beside_model::settle(folder)?;
    Ok(trained(folder, &model.info.training))
}

/// [`CHECKPOINT_EVERY`], or what the environment variable `STAINFREE_CHECKPOINT_EVERY` says: for
/// machines that are taken away at any moment, and for tests of that.
fn checkpoint_every() -> u64 {
    let wanted = std::env::var("STAINFREE_CHECKPOINT_EVERY").ok();
    let wanted = wanted.and_then(|text| text.parse().ok());
    wanted.filter(|&n| n > 0).unwrap_or(CHECKPOINT_EVERY)
}

/// Passes the training's reports on, and keeps a picture of every validation.
struct Watcher<'a> {
    job: Job<'a>,
    run: &'a Path,
    classes: &'a [String],
    best: Option<f64>,
}

impl<'a> Watcher<'a> {
    fn new(job: &Job<'a>, run: &'a Path, classes: &'a [String]) -> Self {
        Self {
            job: *job,
            run,
            classes,
            best: None,
        }
    }
}

impl Observer for Watcher<'_> {
    fn step(&mut self, report: &StepReport) {
        let f1 = self
            .best
            .map_or(String::new(), |f1| format!(", best F1 {f1:.3}"));
        let message = format!(
            "loss {:.3}{f1}, {} left",
            report.smooth_loss,
            duration(report.seconds_left)
        );
        self.job
            .progress
            .step(report.step as usize, report.steps as usize, &message);
    }

    fn validation(&mut self, report: &ValidationReport, shown: &[Picture]) {
        if report.best {
            self.best = Some(report.mean_f1);
        }
        let objects = report.object_f1;
        let objects = objects.map_or(String::new(), |f1| format!(", whole nuclei {f1:.3}"));
        let each: Vec<String> = self
            .classes
            .iter()
            .zip(&report.f1)
            .skip(1)
            .map(|(name, f1)| {
                format!(
                    "{name} {}",
                    f1.map_or("-".to_owned(), |f1| format!("{f1:.3}"))
                )
            })
            .collect();
        self.job.progress.note(&format!(
            "step {}: validation F1 {}{objects}{}",
            report.step,
            each.join(", "),
            if report.best { " (best)" } else { "" }
        ));
        let folder = self.run.join("pictures");
        let drawn = std::fs::create_dir_all(&folder)
            .map_err(|error| ProjectError::write(&folder, &error))
            .and_then(|()| pictures::training_sheet(shown, self.classes))
            .and_then(|sheet| match sheet {
                Some(sheet) => Ok(write::png_rgb(
                    &folder.join(format!("step_{:06}.png", report.step)),
                    &sheet,
                )?),
                None => Ok(()),
            });
        // A picture is a help, not a result: the training goes on without it.
        if let Err(error) = drawn {
            self.job
                .progress
                .note(&format!("no picture of step {}: {error}", report.step));
        }
    }

    fn message(&mut self, text: &str) {
        self.job.progress.note(text);
    }
}

/// Seconds in words: `45 s`, `12 min`, `3 h 20 min`.
pub(crate) fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}
