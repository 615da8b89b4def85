//! The training loop: batches made ahead, steps, schedule, validation, checkpoints, log.
//!
//! A training is a function of its recipe and data: on one kind of processor the same bytes come
//! out whatever the number of threads and however often it was interrupted. Another instruction set
//! adds in another order and another system has other mathematical functions, so there the last
//! digits differ; a checkpoint knows where its steps were made and says when that changes. What is
//! measured in seconds is only reported.

mod average;
mod checkpoint;
mod data;
mod error;
mod identity;
mod job;
mod log;
mod memory;
mod norms;
mod observer;
mod resume;
#[cfg(test)]
mod tests;
mod validate;

pub use data::{FieldContent, RawField, TrainingData};
pub use error::TrainError;
pub use job::{Ending, Judge, Outcome, TrainJob};
pub use norms::{NormCrops, has_norms, measure_norms};
pub use observer::{Observer, Picture, Silent, StepReport, ValidationReport};

use crate::device::{AdamStep, Train};
use crate::loss::{Objective, Targets};
use crate::machine::MachineIdentity;
use crate::optimiser::ScheduleState;
use crate::parameters::Parameters;
use crate::recipe::{RecipeError, Rounds, Selection};
use crate::tiles::TileError;
use crate::trainer::{CpuTrainer, all_finite};
use average::Average;
use checkpoint::{Best, Files, Progress};
use data::{Batch, Fields};
use identity::Identity;
use log::{Log, round};
use memory::most_memory;
use resume::{lost, refuse_another, remark_on_changes, rounds_from};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};
use validate::Scored;

/// Batches made ahead of the step that needs them.
const AHEAD: usize = 2;

/// Largest share of the time that checkpoints take.
const SAVING: f64 = 0.02;

/// Trains. `cancel` may be set at any time; the step at hand is finished and saved.
///
/// # Errors
/// If the recipe cannot be followed, a field cannot be read, a file cannot be written, the
/// checkpoint is of another training or cannot be read, more steps stand than are asked for, or the
/// loss is no number any more (the last good checkpoint stays).
pub fn train(
    job: &TrainJob,
    observer: &mut dyn Observer,
    cancel: &AtomicBool,
) -> Result<Outcome, TrainError> {
    let on_cpu = |job: &TrainJob| -> Box<dyn Train> {
        let recipe = job.recipe;
        let shape = [recipe.batch, recipe.crop, recipe.crop];
        Box::new(CpuTrainer::new(job.machine, job.graph, job.start, shape))
    };
    train_on(&on_cpu, job, observer, cancel)
}

/// [`train`] on any device: `trainer` makes what computes the steps of a job, from its start.
///
/// # Errors
/// As [`train`].
pub fn train_on(
    trainer: &dyn Fn(&TrainJob) -> Box<dyn Train>,
    job: &TrainJob,
    observer: &mut dyn Observer,
    cancel: &AtomicBool,
) -> Result<Outcome, TrainError> {
    job.recipe
        .check(job.graph.classes(), job.graph.multiple())?;
    if job.training.is_empty() {
        return Err(TrainError::NoFields);
    }
    let workers = job.machine.workers();
    workers.start().map_err(TrainError::Threads)?;
    std::fs::create_dir_all(job.folder).map_err(|error| TrainError::File {
        path: job.folder.into(),
        error,
    })?;
    let (input, graph) = (job.input, job.graph);
    // A fifth is for validation, whose fields are few and come every time.
    let [ours, theirs] = [job.cache_bytes / 5 * 4, job.cache_bytes / 5];
    let training = Fields::new(job.training, input, graph, ours, workers)?;
    let validation = Fields::new(job.validation, input, graph, theirs, workers)?;
    let run = Run::start(job, trainer(job), &training, &validation, observer)?;
    let (first, last) = (run.progress.step, run.steps);
    if job.machine.threads() == 1 {
        // A second thread would be one more than was asked for.
        return run.go(
            (first..last).map(|step| training.batch(job.recipe, step)),
            cancel,
        );
    }
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(AHEAD);
        let training = &training;
        scope.spawn(move || {
            for step in first..last {
                let batch = training.batch(job.recipe, step);
                let failed = batch.is_err();
                // Nobody listens any more: the training ended early.
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        });
        run.go(receiver.into_iter(), cancel)
    })
}

/// A training under way.
struct Run<'a> {
    job: &'a TrainJob<'a>,
    training: &'a Fields<'a>,
    validation: &'a Fields<'a>,
    observer: &'a mut dyn Observer,
    files: Files,
    log: Log,
    trainer: Box<dyn Train>,
    objective: Objective,
    progress: Progress,
    /// What is scored in place of the weights as they are, where the recipe says so.
    average: Option<Average>,
    rounds: Rounds,
    /// Where rounds begin, where there are several.
    start: Option<Parameters>,
    /// Chosen parameters that are not on disk yet.
    unsaved_best: Option<Parameters>,
    /// When the last checkpoint was written, and how long that took.
    saved: (Instant, Duration),
    steps: u64,
    /// Whether the steps before were made for another number of steps.
    longer_or_shorter: bool,
    /// Steps that stood before.
    resumed_at: u64,
    steps_per_epoch: u64,
    selection: Selection,
    started: Instant,
    seconds_before: f64,
}

/// Takes over what stands in the folder of a training that `what` tells (what it is recognised by,
/// where its steps are computed, and how many it is to have): how far it is, the mean of weights,
/// and how its rounds lie.
///
/// # Errors
/// It is another training, or its checkpoint cannot be read.
fn resumed(
    job: &TrainJob,
    files: &Files,
    (identity, machine, steps): (&Identity, &MachineIdentity, u64),
    trainer: &mut dyn Train,
    observer: &mut dyn Observer,
) -> Result<(Progress, Option<Average>, Rounds), TrainError> {
    let recipe = job.recipe;
    let mut saved = files.load(job.graph, |found| {
        refuse_another(job, found, identity, steps)
    })?;
    let from = rounds_from(recipe, &saved.progress, steps);
    let rounds = recipe.rounds(from, steps);
    remark_on_changes(&saved.progress, machine, steps, rounds, observer);
    // A round's optimiser counts its own steps.
    saved.optimiser.step = rounds.within(saved.progress.step).0;
    trainer.restore(&saved.parameters, &saved.optimiser);
    let mut progress = saved.progress;
    let mut average = saved
        .average
        .map(|p| Average::resumed(p, progress.averaged, recipe.average_steps));
    let is_longer = from != std::mem::replace(&mut progress.rounds_from, from);
    if is_longer && average.is_none() {
        // The one round of a shorter training, whose states within it were candidates.
        average = Some(Average::of_rounds(saved.parameters));
        (progress.best, progress.waited) = (None, 0);
    }
    observer.message(&format!("going on after step {}", progress.step));
    Ok((progress, average, rounds))
}

impl<'a> Run<'a> {
    fn start(
        job: &'a TrainJob,
        mut trainer: Box<dyn Train>,
        training: &'a Fields,
        validation: &'a Fields,
        observer: &'a mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let recipe = job.recipe;
        let files = Files::new(job.folder);
        let gibibytes = |bytes: usize| bytes as f64 / f64::from(1 << 30);
        observer.message(&format!(
            "a step on {} crops of {side} x {side} pixels takes {:.2} GiB of memory; with images, \
             validation and checkpoints it is {:.2} GiB at most",
            recipe.batch,
            gibibytes(trainer.memory_bytes()),
            gibibytes(most_memory(job, &*trainer)),
            side = recipe.crop
        ));
        let steps = recipe.steps(training.len());
        let identity = Identity::of(job, job.machine.workers())?;
        let machine = trainer.identity();
        let mut progress = Progress::default();
        let mut average = None;
        let goes_on = !job.restart && files.checkpoint.exists();
        if job.folded_norms && (recipe.round_length().is_some() || !goes_on) {
            validate::measure_folded_norms(job, &mut *trainer, training)?;
        }
        let start = recipe.round_length().map(|_| trainer.parameters());
        let mut rounds = recipe.rounds(0, steps);
        if goes_on {
            let what = (&identity, &machine, steps);
            (progress, average, rounds) = resumed(job, &files, what, &mut *trainer, observer)?;
        } else {
            if job.folded_norms {
                observer.message("the encoder's batch norms were measured on training crops");
            }
            if let Some(lost) = lost(&files) {
                observer.message(&lost);
            }
            // What an older training left here must not be taken for this one's.
            files.clear()?;
        }
        let made_for = std::mem::replace(&mut progress.steps, steps);
        progress.identity.clear();
        progress.training = Some(identity);
        if progress.machines.last() != Some(&machine) && progress.step < steps {
            progress.machines.push(machine);
        }
        if average.is_none() && recipe.average_steps > 0 {
            average = Some(Average::new(trainer.parameters(), recipe.average_steps));
        }
        let (log, log_bytes) = Log::open(&files.log, progress.log_bytes)?;
        progress.log_bytes = log_bytes;
        let mut selection = recipe.selection;
        let by_validation = matches!(selection, Selection::Validation | Selection::Objects);
        if by_validation && validation.len() == 0 {
            observer.message("there are no validation fields: the last state is kept");
            selection = Selection::Last;
        }
        let steps_per_epoch = recipe.epoch(training.len());
        let mut run = Self {
            steps,
            longer_or_shorter: made_for != 0 && made_for != steps,
            resumed_at: progress.step,
            steps_per_epoch,
            objective: Objective::new(&recipe.loss, job.graph.outputs())
                .map_err(RecipeError::from)?,
            seconds_before: progress.seconds,
            started: Instant::now(),
            saved: (Instant::now(), Duration::ZERO),
            unsaved_best: None,
            job,
            training,
            validation,
            observer,
            files,
            log,
            trainer,
            progress,
            average,
            rounds,
            start,
            selection,
        };
        if run.rounds.count() > 1 && run.rounds.ends_after(run.resumed_at) && run.resumed_at < steps
        {
            // The last round of a shorter training is not followed by a beginning yet.
            run.begin_round();
        }
        Ok(run)
    }

    fn go(
        mut self,
        mut batches: impl Iterator<Item = Result<Batch, TrainError>>,
        cancel: &AtomicBool,
    ) -> Result<Outcome, TrainError> {
        let first = self.progress.step;
        let mut smooth = None;
        let mut waited = 0.0;
        let mut ending = Ending::Finished;
        // A training stopped by patience and resumed has nothing left to do.
        if self.out_of_patience() {
            self.observer.message(
                "validation did not get better for as long as the recipe waits: no step is left \
                 to do",
            );
            return self.finish(Ending::EarlyStop);
        }
        // Cut short at just the step that stands, which no validation has closed.
        if self.longer_or_shorter && first == self.steps {
            self.validate()?;
        }
        while self.progress.step < self.steps {
            if cancel.load(Ordering::Relaxed) {
                ending = Ending::Cancelled;
                break;
            }
            let begun = Instant::now();
            let batch = batches.next().expect("a batch is made for every step")?;
            waited += begun.elapsed().as_secs_f64();
            let (loss, lr) = self.step(&batch)?;
            let average = smooth.map_or(loss, |s: f64| s + 0.05 * (loss - s));
            smooth = Some(average);
            let elapsed = self.started.elapsed().as_secs_f64();
            let done = self.progress.step - first;
            let report = StepReport {
                step: self.progress.step,
                steps: self.steps,
                loss,
                smooth_loss: average,
                lr,
                seconds: begun.elapsed().as_secs_f64(),
                seconds_left: elapsed / done as f64 * (self.steps - self.progress.step) as f64,
                waiting: waited / elapsed.max(1e-9),
            };
            self.write_log(json!({
                "what": "step", "step": report.step, "loss": loss, "lr": lr,
                "seconds": round(self.seconds_before + elapsed), "waiting": round(report.waiting),
            }))?;
            self.observer.step(&report);
            self.after_step()?;
            if self.out_of_patience() {
                ending = Ending::EarlyStop;
                break;
            }
            if self.checkpoint_is_due() {
                self.save()?;
            }
        }
        drop(batches);
        self.finish(ending)
    }

    fn checkpoint_is_due(&self) -> bool {
        let every = self.job.checkpoint_every.max(1);
        let (ended, took) = self.saved;
        let worth_it = every == 1 || ended.elapsed() >= took.div_f64(SAVING);
        self.progress.step.is_multiple_of(every) && worth_it
    }

    fn step(&mut self, batch: &Batch) -> Result<(f64, f64), TrainError> {
        let recipe = self.job.recipe;
        let (within, of_round) = self.rounds.within(self.progress.step);
        let lr = recipe.adam.lr
            * recipe
                .schedule
                .factor(&self.progress.schedule, within, of_round);
        let mut d_logits = vec![0.0; batch.target.len() * self.job.graph.output_channels()];
        let targets = Targets {
            classes: &batch.target,
            numbers: &batch.values,
        };
        // The steps of a round are counted anew, and what is dropped should not repeat.
        let seed = recipe.seed ^ self.rounds.number(self.progress.step);
        self.trainer.set_stochastic_depth(Some(seed));
        let momentum = validate::momentum(within + 1);
        self.trainer.set_batch_norm_momentum(momentum);
        let workers = self.job.machine.workers();
        let logits = self.trainer.forward(&batch.input);
        // On the network's threads: outside of them it would take those of the whole machine.
        let loss = workers.run(|| {
            self.objective
                .evaluate(logits, targets, recipe.batch, &mut d_logits)
        });
        if !loss.is_finite() {
            return Err(self.not_finite(&format!("the loss is {loss}")));
        }
        self.trainer.backward(&d_logits);
        // Before Adam takes it in: a finite loss does not show what lies below ignored pixels, or
        // what a batch norm has divided away.
        if let Some(what) = self.trainer.not_finite() {
            return Err(self.not_finite(&format!("{what} is not finite")));
        }
        self.trainer.adam_step(&AdamStep {
            lr,
            beta1: recipe.adam.beta1,
            beta2: recipe.adam.beta2,
            epsilon: recipe.adam.epsilon,
            weight_decay: recipe.adam.weight_decay,
        });
        self.progress.step += 1;
        self.progress.epoch_loss += loss;
        self.progress.epoch_steps += 1;
        Ok((loss, lr))
    }

    fn after_step(&mut self) -> Result<(), TrainError> {
        let step = self.progress.step;
        if let Some(average) = self.average.as_mut().filter(|average| average.is_due(step)) {
            average.update(&self.trainer.parameters());
        }
        if self.progress.epoch_steps == self.steps_per_epoch {
            let mean = self.progress.epoch_loss / self.progress.epoch_steps as f64;
            self.progress.epoch_loss = 0.0;
            self.progress.epoch_steps = 0;
            self.job
                .recipe
                .schedule
                .epoch_ended(&mut self.progress.schedule, mean);
            let better = self
                .progress
                .best
                .as_ref()
                .is_none_or(|best| mean < best.value);
            if self.selection == Selection::TrainingLoss && better {
                let parameters = self.scoring_parameters()?;
                self.choose(parameters, mean)?;
            }
        }
        let several = self.rounds.count() > 1;
        let ends = several && self.rounds.ends_after(step);
        if ends {
            let now = self.trainer.parameters();
            if !now.iter().all(|tensor| all_finite(&tensor.data)) {
                return Err(self.not_finite("the weights are not finite"));
            }
            match &mut self.average {
                Some(average) => average.update(&now),
                None => self.average = Some(Average::of_rounds(now)),
            }
        }
        let every = self.job.recipe.validate_every;
        if step == self.steps || ends || (every > 0 && step.is_multiple_of(every)) {
            self.validate()?;
        }
        if ends && step < self.steps {
            self.begin_round();
        }
        Ok(())
    }

    /// Puts the trainer back to where all rounds begin.
    fn begin_round(&mut self) {
        let Some(start) = &self.start else { return };
        let mut state = self.trainer.optimiser_state();
        state.step = 0;
        for moment in state.first.iter_mut().chain(&mut state.second) {
            moment.data.fill(0.0);
        }
        self.trainer.restore(start, &state);
        self.progress.schedule = ScheduleState::default();
        (self.progress.epoch_loss, self.progress.epoch_steps) = (0.0, 0);
    }

    /// What is scored: the parameters as they are within a round, their average, or the mean of the
    /// rounds where one has ended.
    fn scoring_parameters(&mut self) -> Result<Parameters, TrainError> {
        let several = self.rounds.count() > 1;
        let under_way = several && !self.rounds.ends_after(self.progress.step);
        let average = self.average.as_ref().filter(|_| !under_way);
        let average = average.map(|average| &average.parameters);
        validate::scoring_parameters(self.job, &mut *self.trainer, average, self.training)
    }

    fn choose(&mut self, parameters: Parameters, value: f64) -> Result<(), TrainError> {
        if !(value.is_finite() && parameters.iter().all(|t| all_finite(&t.data))) {
            return Err(self.not_finite("what would be kept is not finite"));
        }
        self.progress.best = Some(Best {
            step: self.progress.step,
            value,
        });
        self.unsaved_best = Some(parameters);
        Ok(())
    }

    fn validate(&mut self) -> Result<(), TrainError> {
        if self.validation.len() == 0 {
            return Ok(());
        }
        let step = self.progress.step;
        let parameters = self.scoring_parameters()?;
        let scored = validate::validate(self.job, &*self.trainer, &parameters, self.validation);
        let Scored {
            counts,
            errors,
            pictures,
            objects,
        } = match scored {
            Err(TrainError::Tiles(error @ TileError::NotFinite { .. })) => {
                return Err(self.not_finite(&format!("on a validation field {error}")));
            }
            scored => scored?,
        };
        let f1 = counts.f1();
        let mean_f1 = validate::mean_foreground(&f1);
        let object_f1 = objects.and_then(validate::f1_of);
        let value = match self.selection {
            Selection::Validation => Some(mean_f1),
            Selection::Objects => Some(object_f1.map_or(mean_f1, |of| (mean_f1 + of) / 2.0)),
            Selection::TrainingLoss | Selection::Last => None,
        };
        // A round under way is no candidate: its rate is still high.
        let value = value.filter(|_| self.rounds.ends_after(step) || self.rounds.count() == 1);
        let mut best = false;
        if let Some(value) = value {
            let before = self.progress.best.as_ref();
            best = before.is_none_or(|before| value > before.value);
            self.progress.waited = if best { 0 } else { self.progress.waited + 1 };
            if best {
                self.choose(parameters, value)?;
            }
        }
        let seconds = round(self.seconds_before + self.started.elapsed().as_secs_f64());
        let mut line = json!({
            "what": "validation", "step": step, "f1": f1, "mean_f1": mean_f1, "best": best,
            "seconds": seconds,
        });
        if !errors.is_empty() {
            line["errors"] = json!(errors);
        }
        if let Some(object_f1) = object_f1 {
            line["object_f1"] = json!(object_f1);
        }
        self.write_log(line)?;
        self.observer.validation(
            &ValidationReport {
                step,
                f1,
                errors,
                object_f1,
                mean_f1,
                best,
            },
            &pictures,
        );
        Ok(())
    }

    fn out_of_patience(&self) -> bool {
        let patience = self.job.recipe.patience;
        patience > 0 && self.progress.waited >= patience
    }

    fn write_log(&mut self, line: serde_json::Value) -> Result<(), TrainError> {
        self.progress.log_bytes += self.log.write(&line)?;
        Ok(())
    }

    /// Best first, then the checkpoint; neither if the parameters are no numbers any more.
    fn save(&mut self) -> Result<(), TrainError> {
        let parameters = self.trainer.parameters();
        let optimiser = self.trainer.optimiser_state();
        let moments = optimiser.first.iter().chain(&optimiser.second);
        if !parameters
            .iter()
            .chain(moments)
            .all(|t| all_finite(&t.data))
        {
            return Err(self.not_finite("the weights or their moments are not finite"));
        }
        let begun = Instant::now();
        self.progress.seconds = self.seconds_before + self.started.elapsed().as_secs_f64();
        self.progress.averaged = self.average.as_ref().map_or(0, |average| average.updates);
        self.save_best()?;
        let average = self.average.as_ref().map(|average| &average.parameters);
        self.files
            .save(&self.progress, &parameters, &optimiser, average)?;
        self.saved = (Instant::now(), begun.elapsed());
        Ok(())
    }

    fn save_best(&mut self) -> Result<(), TrainError> {
        match (self.unsaved_best.take(), &self.progress.best) {
            (Some(parameters), Some(best)) => self.files.save_best(best, &parameters),
            _ => Ok(()),
        }
    }

    fn not_finite(&mut self, what: &str) -> TrainError {
        let what = what.to_string();
        let step = self.progress.step;
        // Beside a checkpoint it would be of steps that are lost. What cannot be written any more
        // is not worth a second error.
        if !self.files.checkpoint.exists() {
            let _ = self.save_best();
        }
        let kept = [&self.files.checkpoint, &self.files.best]
            .into_iter()
            .find(|path| path.exists())
            .cloned();
        TrainError::NotFinite {
            step,
            what,
            kept: kept.map_or("nothing yet".into(), |p| format!("`{}`", p.display())),
        }
    }

    fn finish(mut self, ending: Ending) -> Result<Outcome, TrainError> {
        // What stands already is not written again.
        if self.resumed_at == 0 || self.progress.step > self.resumed_at || self.longer_or_shorter {
            self.save()?;
        }
        let (parameters, chosen_step, chosen_value) = match self.progress.best.clone() {
            Some(known) => {
                let (parameters, best) = self.files.load_best(self.job.graph, known)?;
                (parameters, best.step, Some(best.value))
            }
            None => (self.scoring_parameters()?, self.progress.step, None),
        };
        Ok(Outcome {
            parameters,
            steps: self.progress.step,
            chosen_step,
            chosen_value,
            seconds: self.progress.seconds,
            ending,
            resumed_at: self.resumed_at,
            machines: self.progress.machines,
        })
    }
}
