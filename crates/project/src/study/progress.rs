//! How a long call reports what it does, and how it is asked to stop.
//!
//! Nothing in this crate prints: the caller passes something that implements [`Progress`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stainfree_network::Machine;

use crate::ProjectError;

/// Receives the progress of a long call; called from several threads at once.
pub trait Progress: Sync {
    /// `done` of `total` units of work are finished; `message` says what the last one was.
    fn step(&self, done: usize, total: usize, message: &str);

    /// Something worth telling the user that is neither progress nor an error.
    fn note(&self, message: &str);
}

/// Progress that nobody looks at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _done: usize, _total: usize, _message: &str) {}
    fn note(&self, _message: &str) {}
}

/// A flag that asks every call holding a clone of it to stop after its current unit of work.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    own: Arc<AtomicBool>,
    /// Flags of the calls that this one is a part of, which stop it at once.
    above: Vec<Arc<AtomicBool>>,
}

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag of a part of the work: set by itself, or with this one.
    pub(crate) fn part(&self) -> Self {
        let mut above = self.above.clone();
        above.push(Arc::clone(&self.own));
        Self {
            own: Arc::default(),
            above,
        }
    }

    /// Asks for a stop.
    pub fn stop(&self) {
        self.own.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    pub fn is_stopped(&self) -> bool {
        self.own.load(Ordering::SeqCst) || self.above.iter().any(|flag| flag.load(Ordering::SeqCst))
    }

    /// `Err(Cancelled)` once a stop was asked for.
    ///
    /// # Errors
    /// [`ProjectError::Cancelled`].
    pub fn check(&self) -> Result<(), ProjectError> {
        if self.is_stopped() {
            Err(ProjectError::Cancelled)
        } else {
            Ok(())
        }
    }

    /// The flag of this call itself, for a signal handler to raise.
    pub fn shared(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.own)
    }

    /// The bare flag of this call, for calls that take one. It is not raised by a stop of the calls
    /// that this one is a part of: under a lease, that one does it within a moment.
    pub fn flag(&self) -> &AtomicBool {
        &self.own
    }
}

/// What every long call is given: where to report, when to stop, what to compute with.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// Where progress and notes go.
    pub progress: &'a dyn Progress,
    /// When to stop.
    pub cancel: &'a Cancel,
    /// What computes: threads, on whose number no result depends, precision, and the cap on memory
    /// that was asked for.
    pub machine: &'a Machine,
    /// Who asks for it, for tables of what people decided.
    pub who: &'a str,
}

impl<'a> Job<'a> {
    /// A job on `machine`.
    pub fn new(progress: &'a dyn Progress, cancel: &'a Cancel, machine: &'a Machine) -> Self {
        Self {
            progress,
            cancel,
            machine,
            who: "unknown",
        }
    }

    /// The same job, asked for by `who`.
    pub fn by(self, who: &'a str) -> Self {
        Self { who, ..self }
    }

    /// The same job on another machine.
    pub fn on(self, machine: &'a Machine) -> Self {
        Self { machine, ..self }
    }

    /// The same job without progress and notes: for a part of it that is not counted.
    pub(crate) fn quiet(self) -> Self {
        Self {
            progress: &Silent,
            ..self
        }
    }

    /// Runs `work` on this job's threads.
    ///
    /// # Errors
    /// Where the system gives no threads.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, ProjectError> {
        let workers = self.machine.workers();
        workers.start().map_err(ProjectError::Failed)?;
        Ok(workers.run(work))
    }
}
