//! Training again with corrections: the same program as a process of its own, which goes on when
//! the viewer ends, and what it says of itself in the study.
//!
//! A thread of the server would end with it. The process holds the leases of `prepare` and `train`
//! as any other does, is stopped through a file in the study, and leaves everything there, so that
//! another viewer shows it as well.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::{Value, json};
use stainfree_project::retrain::{
    Phase, Standing, State, changes, free_name, standings, stop, usual_steps,
};
use stainfree_project::study::fields::{FieldRow, NucleiBy};
use stainfree_project::study::human::corrected;
use stainfree_project::training::log::Curves;
use stainfree_project::{Part, Study};

use crate::ViewError;

/// Points of a curve that are sent.
const POINTS: usize = 300;
/// What the process says of errors, in `runs/NAME`.
const SAID: &str = "retrain.log";

/// What the page asks for. Models and runs are numbers in the lists that it was sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// A new model from this one.
    Start {
        from: usize,
        /// None: as many as that model had.
        steps: Option<u64>,
    },
    /// One that was stopped or killed, which began then.
    GoOn { run: usize, begun: String },
    /// Whatever runs stops after its step.
    Stop,
}

/// Trainings from the page of one study.
#[derive(Debug)]
pub(crate) struct Again {
    study: Study,
    /// This program; `None` where nothing may be started.
    program: Option<PathBuf>,
    threads: usize,
    who: String,
    begun: Arc<Mutex<Option<Begun>>>,
}

/// What was started last.
#[derive(Clone, Debug)]
struct Begun {
    name: String,
    ended: Option<bool>,
}

fn lock(begun: &Mutex<Option<Begun>>) -> MutexGuard<'_, Option<Begun>> {
    begun.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Again {
    /// Trainings of `study`, asked for by `who`.
    pub(crate) fn new(study: Study, program: Option<PathBuf>, threads: usize, who: &str) -> Self {
        Self {
            study,
            program,
            threads,
            who: who.to_owned(),
            begun: Arc::default(),
        }
    }

    /// What can be started: models with the name of the next and its usual steps, and how many
    /// fields of each part are corrected.
    ///
    /// # Errors
    /// The study cannot be read.
    pub(crate) fn choices(&self) -> Result<Value, ViewError> {
        let models = self.study.models();
        let rows = self.study.fields()?;
        let files = corrected::files(&self.study)?;
        let count = |part: Part| {
            let is = |row: &&FieldRow| {
                let known = row.nuclei_from == Some(NucleiBy::Corrected);
                row.split == Some(part) && (known || files.contains_key(&row.name))
            };
            rows.iter().filter(is).count()
        };
        let from = models
            .iter()
            .position(|name| *name == self.study.only_model());
        let listed: Vec<Value> = models
            .iter()
            .map(|name| {
                let next = free_name(&self.study, name);
                json!({"name": name, "next": next, "steps": usual_steps(&self.study, name)})
            })
            .collect();
        Ok(json!({
            "can": self.program.is_some(),
            "models": listed,
            "from": from.unwrap_or(0),
            "corrected": {
                "train": count(Part::Train),
                "validation": count(Part::Validation),
                "test": count(Part::Test),
            },
        }))
    }

    /// All trainings from the page or by `retrain`, and the curves of the first, which runs or
    /// began last.
    pub(crate) fn standing(&self) -> Value {
        let runs = standings(&self.study);
        let begun = lock(&self.begun).clone();
        let of = |begun: &Begun| runs.iter().find(|run| run.state.name == begun.name);
        let starting = begun
            .as_ref()
            .filter(|b| b.ended.is_none() && of(b).is_none());
        // One that failed before it could say so in the study.
        let failed = begun.as_ref().filter(|b| b.ended == Some(false));
        let silent = failed.filter(|b| of(b).is_none_or(|run| !run.state.phase.is_end()));
        let trouble = silent.and_then(|begun| self.last_words(&begun.name));
        let curves = runs.first().and_then(|run| {
            let log = self.study.run_path(&run.state.name).join("log.jsonl");
            let curves = Curves::read(&log).ok()?;
            Some(json!({
                "losses": curves.smooth_losses(POINTS),
                "validations": curves.validations,
            }))
        });
        json!({
            "runs": runs,
            "curves": curves,
            "starting": starting.map(|begun| &begun.name),
            "trouble": trouble,
        })
    }

    /// The last line of what a process said.
    fn last_words(&self, name: &str) -> Option<String> {
        let text = std::fs::read(self.study.run_path(name).join(SAID)).ok()?;
        let text = String::from_utf8_lossy(&text);
        let last = text.lines().rfind(|line| !line.trim().is_empty());
        Some(last.unwrap_or("it ended without a word").to_owned())
    }

    /// What the finished training of this number changed.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(crate) fn changes(&self, run: usize) -> Result<Value, ViewError> {
        let runs = standings(&self.study);
        let found = runs
            .get(run)
            .map(|run| changes(&self.study, &run.state.name));
        match found.transpose()?.flatten() {
            Some(changes) => Ok(json!(changes)),
            None => Err(ViewError::Absent(format!(
                "there is no finished training number {run}"
            ))),
        }
    }

    /// Starts, goes on or stops.
    ///
    /// # Errors
    /// Nothing may be started here, something runs already or nothing does, there is no such model
    /// or training, or no process can be started.
    pub(crate) fn ask(&self, request: &Request) -> Result<(), ViewError> {
        let Some(program) = &self.program else {
            return Err(ViewError::ReadOnly(
                "nothing can be trained from this page (a viewer without `--read-only` can)"
                    .to_owned(),
            ));
        };
        let runs = standings(&self.study);
        let running = runs.iter().find(|run| run.running);
        if matches!(request, Request::Stop) {
            return match running {
                Some(run) => Ok(stop(&self.study, &run.state.name)?),
                None => Err(ViewError::Conflict("nothing is trained now".to_owned())),
            };
        }
        let starting = lock(&self.begun).clone().filter(|b| b.ended.is_none());
        let busy = running.map(|run| &run.state.name);
        if let Some(name) = busy.or(starting.as_ref().map(|begun| &begun.name)) {
            return Err(ViewError::Conflict(format!(
                "`{name}` is trained at this moment; wait until it ends, or stop it"
            )));
        }
        match request {
            Request::Start { from, steps } => {
                let models = self.study.models();
                let model = models
                    .get(*from)
                    .ok_or_else(|| ViewError::Absent(format!("there is no model number {from}")))?;
                if *steps == Some(0) {
                    return Err(ViewError::Misuse("a training has a step".to_owned()));
                }
                let name = free_name(&self.study, model);
                self.start(program, model, &name, *steps)
            }
            Request::GoOn { run, begun } => {
                let found = runs.get(*run).map(|run| &run.state);
                let same = |state: &&State| state.begun == *begun;
                let state = found.filter(same).ok_or_else(|| {
                    ViewError::Conflict("the list of trainings changed; look again".to_owned())
                })?;
                self.start(program, &state.from, &state.name, state.steps)
            }
            Request::Stop => Ok(()),
        }
    }

    fn start(
        &self,
        program: &Path,
        from: &str,
        name: &str,
        steps: Option<u64>,
    ) -> Result<(), ViewError> {
        let run = self.study.run_path(name);
        let said = run.join(SAID);
        let file = std::fs::create_dir_all(&run).and_then(|()| File::create(&said));
        let file = file.map_err(|error| ViewError::file(&said, error))?;
        let root = std::path::absolute(self.study.root())
            .map_err(|error| ViewError::file(self.study.root(), error))?;
        let mut command = Command::new(program);
        command
            .arg("retrain")
            .arg(root)
            .arg(format!("--model={from}"))
            .arg(format!("--name={name}"))
            .arg(format!("--by={}", self.who))
            .arg(format!("--threads={}", self.threads))
            .arg("--quiet")
            .args(steps.map(|steps| format!("--steps={steps}")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        on_its_own(&mut command);
        let child = command.spawn().map_err(|error| {
            ViewError::Server(format!("`{}` does not start: {error}", program.display()))
        })?;
        *lock(&self.begun) = Some(Begun {
            name: name.to_owned(),
            ended: None,
        });
        self.wait_for(child);
        Ok(())
    }

    /// Notes the end of the process, so that it leaves none behind.
    fn wait_for(&self, mut child: Child) {
        let begun = Arc::clone(&self.begun);
        std::thread::spawn(move || {
            let well = child.wait().is_ok_and(|status| status.success());
            if let Some(begun) = lock(&begun).as_mut() {
                begun.ended = Some(well);
            }
        });
    }

    /// The name of what runs now.
    pub(crate) fn running(&self) -> Option<String> {
        let runs = standings(&self.study).into_iter();
        let running = |run: &Standing| run.running && run.state.phase != Phase::Done;
        runs.filter(running).map(|run| run.state.name).next()
    }
}

/// A Ctrl-C in the terminal of the viewer is for the viewer alone.
#[cfg(unix)]
fn on_its_own(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

/// A Ctrl-C in the console of the viewer is for the viewer alone.
#[cfg(windows)]
fn on_its_own(command: &mut Command) {
    use std::os::windows::process::CommandExt;
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    command.creation_flags(CREATE_NEW_PROCESS_GROUP);
}

#[cfg(not(any(unix, windows)))]
fn on_its_own(_command: &mut Command) {}
