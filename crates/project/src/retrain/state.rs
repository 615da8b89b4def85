//! What a retraining is at, on disk: for whoever looks at it, and for whoever stops it, in other
//! processes and after this one.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use stainfree_image::write_atomic;

use super::changes::Changes;
use crate::study::Study;
use crate::study::human::Stamp;
use crate::study::lease::Thing;
use crate::{Cancel, Job, Progress, ProjectError};

/// What it is at, in `runs/NAME`.
const STATE: &str = "retrain.json";
/// What came of it.
const CHANGES: &str = "changes.json";
/// Asks it to stop.
const STOP: &str = "retrain-stop";
/// How often it looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often progress is written at most.
const WRITE_EVERY: Duration = Duration::from_millis(300);
/// Notes that are kept, the last ones.
const NOTES: usize = 40;

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The truth is made of the corrections.
    Preparing,
    /// The new model is trained.
    Training,
    /// Both models are scored.
    Comparing,
    /// It is finished.
    Done,
    /// It was stopped, and goes on when it is asked for again.
    Stopped,
    /// It failed; `message` says why.
    Failed,
}

impl Phase {
    /// Whether nothing follows by itself.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Stopped | Self::Failed)
    }
}

/// What a retraining is at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Name of the new model.
    pub name: String,
    /// The model that it starts from.
    pub from: String,
    /// Steps that were asked for; none = as many as that model had.
    pub steps: Option<u64>,
    /// Who asked for it.
    pub who: String,
    /// When it began first; in UTC.
    pub begun: String,
    /// What it does.
    pub phase: Phase,
    /// Units of that which are done, and all of them.
    pub done: usize,
    /// See `done`.
    pub total: usize,
    /// The last thing that was said of it, or why it failed.
    pub message: String,
    /// What was to be read of it, the last at the end.
    pub notes: Vec<String>,
}

/// A retraining as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// What it says itself.
    #[serde(flatten)]
    pub state: State,
    /// Whether a process is at it. One that is not, and not at an end either, was killed.
    pub running: bool,
}

/// All retrainings of a study, those that run first, else the last begun.
pub fn standings(study: &Study) -> Vec<Standing> {
    let runs = std::fs::read_dir(study.root().join("runs"));
    let runs = runs.into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<Standing> = runs.filter_map(|run| standing_in(&run.path())).collect();
    found.sort_by(|a, b| {
        (b.running.cmp(&a.running)).then_with(|| b.state.begun.cmp(&a.state.begun))
    });
    found
}

/// The retraining of the model `name`.
pub fn standing(study: &Study, name: &str) -> Option<Standing> {
    standing_in(&study.run_path(name))
}

fn standing_in(run: &Path) -> Option<Standing> {
    // Asked before the state is read: one that ends in between says so there.
    let running = !thing(run).holders().is_empty();
    let text = std::fs::read(run.join(STATE)).ok()?;
    let state = serde_json::from_slice(&text).ok()?;
    Some(Standing { state, running })
}

/// What a finished retraining changed.
///
/// # Errors
/// It cannot be read.
pub fn changes(study: &Study, name: &str) -> Result<Option<Changes>, ProjectError> {
    let path = study.run_path(name).join(CHANGES);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ProjectError::read(&path, &error)),
    };
    let found = serde_json::from_slice(&text).map_err(|error| {
        ProjectError::Failed(format!(
            "`{}` is not what `retrain` wrote ({error}); give the same `retrain` again",
            path.display()
        ))
    })?;
    Ok(Some(found))
}

/// Asks the retraining of `name` to stop after its current step, whatever process it is in.
///
/// # Errors
/// The study cannot be written to.
pub fn stop(study: &Study, name: &str) -> Result<(), ProjectError> {
    Ok(write_atomic(&study.run_path(name).join(STOP), b"")?)
}

/// The retraining in `run`, which one process does at a time.
pub(super) fn thing(run: &Path) -> Thing<'_> {
    Thing {
        folder: run,
        name: "retraining",
        command: "retrain",
    }
}

/// Runs `work` with a stop that the stop file raises as well.
pub(super) fn until_stopped<T>(run: &Path, cancel: &Cancel, work: impl FnOnce(&Cancel) -> T) -> T {
    /// Ends the watch also when `work` panics.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let path = run.join(STOP);
    // One that asked for the end of an earlier process.
    let _ = std::fs::remove_file(&path);
    let (ours, ended) = (cancel.part(), AtomicBool::new(false));
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                if path.exists() {
                    ours.stop();
                }
                std::thread::sleep(LOOK_EVERY);
            }
        });
        let _end = End(&ended);
        work(&ours)
    });
    let _ = std::fs::remove_file(&path);
    result
}

/// Keeps what a retraining is at on disk, and passes on what it reports.
pub(super) struct Keeper<'a> {
    above: &'a dyn Progress,
    run: PathBuf,
    kept: Mutex<(State, Instant)>,
}

impl<'a> Keeper<'a> {
    /// Begins with this state.
    ///
    /// # Errors
    /// The study cannot be written to.
    pub(super) fn begin(job: &Job<'a>, run: &Path, state: State) -> Result<Self, ProjectError> {
        let keeper = Self {
            above: job.progress,
            run: run.to_owned(),
            kept: Mutex::new((state, Instant::now())),
        };
        keeper.write(&keeper.lock().0)?;
        Ok(keeper)
    }

    fn lock(&self) -> MutexGuard<'_, (State, Instant)> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, state: &State) -> Result<(), ProjectError> {
        // Texts and numbers: turning them into text cannot fail.
        let text = serde_json::to_vec_pretty(state).unwrap_or_default();
        Ok(write_atomic(&self.run.join(STATE), &text)?)
    }

    /// Says what is done from here on.
    ///
    /// # Errors
    /// The study cannot be written to.
    pub(super) fn phase(&self, phase: Phase) -> Result<(), ProjectError> {
        let mut kept = self.lock();
        kept.0.phase = phase;
        (kept.0.done, kept.0.total) = (0, 0);
        kept.0.message.clear();
        self.write(&kept.0)
    }

    /// Keeps what came of it.
    ///
    /// # Errors
    /// The study cannot be written to.
    pub(super) fn changes(&self, changes: &Changes) -> Result<(), ProjectError> {
        let text = serde_json::to_vec_pretty(changes).unwrap_or_default();
        Ok(write_atomic(&self.run.join(CHANGES), &text)?)
    }

    /// Says how it ended.
    pub(super) fn end<T>(&self, result: &Result<T, ProjectError>) {
        let (phase, message) = match result {
            Ok(_) => (Phase::Done, String::new()),
            Err(ProjectError::Cancelled) => (Phase::Stopped, String::new()),
            Err(error) => (Phase::Failed, error.to_string()),
        };
        let mut kept = self.lock();
        (kept.0.phase, kept.0.message) = (phase, message);
        // The error of the work itself is the one that is told.
        let _ = self.write(&kept.0);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut kept = self.lock();
        change(&mut kept.0);
        if kept.1.elapsed() >= WRITE_EVERY {
            kept.1 = Instant::now();
            // Progress is a help, no result: the work goes on without.
            let _ = self.write(&kept.0);
        }
    }
}

impl Progress for Keeper<'_> {
    fn step(&self, done: usize, total: usize, message: &str) {
        self.change(|state| {
            (state.done, state.total) = (done, total);
            message.clone_into(&mut state.message);
        });
        self.above.step(done, total, message);
    }

    fn note(&self, message: &str) {
        self.change(|state| {
            state.notes.push(message.to_owned());
            let over = state.notes.len().saturating_sub(NOTES);
            state.notes.drain(..over);
        });
        self.above.note(message);
    }
}

/// The state in which one begins, or goes on.
pub(super) fn first(
    name: &str,
    from: &str,
    steps: Option<u64>,
    job: &Job,
    before: Option<State>,
) -> State {
    let stamp = Stamp::now(job.who);
    State {
        name: name.to_owned(),
        from: from.to_owned(),
        steps,
        who: stamp.who,
        begun: before.map_or(stamp.when, |state| state.begun),
        phase: Phase::Preparing,
        done: 0,
        total: 0,
        message: String::new(),
        notes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Silent;
    use stainfree_network::Machine;

    #[test]
    fn a_stop_file_stops_and_one_of_before_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let stop = folder.path().join(STOP);
        std::fs::write(&stop, b"").unwrap();
        let cancel = Cancel::new();
        until_stopped(folder.path(), &cancel, |cancel| {
            std::thread::sleep(2 * LOOK_EVERY);
            assert!(!cancel.is_stopped());
            std::fs::write(&stop, b"").unwrap();
            while !cancel.is_stopped() {
                std::thread::sleep(LOOK_EVERY);
            }
        });
        assert!(!stop.exists() && !cancel.is_stopped());
    }

    #[test]
    fn what_it_is_at_is_on_disk_and_a_dead_one_does_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let (cancel, machine) = (Cancel::new(), Machine::new(1));
        let job = Job::new(&Silent, &cancel, &machine).by("Ada");
        let run = folder.path();
        let state = first("model-2", "model", Some(9), &job, None);
        let keeper = Keeper::begin(&job, run, state).unwrap();
        assert!(standing_in(run).is_some_and(|found| !found.running));
        let lease = thing(run).own("", &cancel).unwrap();
        keeper.phase(Phase::Training).unwrap();
        let found = standing_in(run).unwrap();
        assert!(found.running && found.state.phase == Phase::Training);
        assert_eq!((&*found.state.who, found.state.steps), ("Ada", Some(9)));
        for i in 0..2 * NOTES {
            keeper.note(&format!("note {i}"));
        }
        drop(lease);
        keeper.end(&Err::<(), _>(ProjectError::Cancelled));
        let found = standing_in(run).unwrap();
        assert!(!found.running && found.state.phase == Phase::Stopped);
        assert_eq!(found.state.notes.len(), NOTES);
        assert_eq!(found.state.notes.last().unwrap(), "note 79");
    }
}
