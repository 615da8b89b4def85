//! The one loop over fields: every command that does the same with many fields goes through it.
//!
//! It stops when asked to, counts what is finished, lets a bad field spoil no other and gives up
//! where none can be written. How fields are gone through is one of four ways, which take memory
//! for one field a thread ([`EachField::at_once`], [`EachField::some_at_once`]), for one
//! ([`EachField::in_turn`]) or for one a stage ([`EachField::in_stages`]). Which fields there are
//! is said when the loop is made: a share of them for one of several machines is picked there.

mod line;

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use self::line::three_stages;
use super::Job;
use crate::ProjectError;

/// The error of a field that the others may go on without.
///
/// # Errors
/// The error itself where it ends the whole: after a stop, and where one field cannot be written,
/// since none can then.
pub(crate) fn of_this_field(error: ProjectError) -> Result<ProjectError, ProjectError> {
    match error {
        ProjectError::Cancelled => Err(error),
        error if error.is_write() => Err(error),
        error => Ok(error),
    }
}

/// Fields (or what there is one of for each) that the same is to be done with.
pub(crate) struct EachField<'a, T> {
    job: &'a Job<'a>,
    items: &'a [T],
    /// What progress says of one that is finished.
    message: Box<dyn Fn(&T) -> String + Sync + 'a>,
    /// How many were finished before, of how many in all.
    before: usize,
    total: usize,
    done: AtomicUsize,
}

impl<'a, T: Sync> EachField<'a, T> {
    /// All of `items`, each called by its `message` when it is finished.
    pub(crate) fn new(
        job: &'a Job<'a>,
        items: &'a [T],
        message: impl Fn(&T) -> String + Sync + 'a,
    ) -> Self {
        Self {
            job,
            items,
            message: Box::new(message),
            before: 0,
            total: items.len(),
            done: AtomicUsize::new(0),
        }
    }

    /// Counts `before` more that were finished already.
    pub(crate) fn after(self, before: usize) -> Self {
        Self {
            before,
            total: before + self.items.len(),
            ..self
        }
    }

    fn step(&self, item: &T) {
        let done = self.before + self.done.fetch_add(1, Ordering::SeqCst) + 1;
        let message = (self.message)(item);
        self.job.progress.step(done, self.total, &message);
    }

    /// One of them, unless a stop was asked for.
    fn one<R>(
        &self,
        item: &T,
        work: &(impl Fn(&T) -> Result<R, ProjectError> + Sync),
        bad: &(impl Fn(&T, ProjectError) -> Result<R, ProjectError> + Sync),
    ) -> Result<R, ProjectError> {
        self.job.cancel.check()?;
        let found = work(item).or_else(|error| bad(item, of_this_field(error)?));
        if found.is_ok() {
            self.step(item);
        }
        found
    }

    /// On all threads of the job; results are in the order of the fields. `bad` says what a field
    /// comes to whose work has failed.
    ///
    /// # Errors
    /// [`ProjectError::Cancelled`], what ends the whole ([`of_this_field`]), or what `bad` gives.
    pub(crate) fn at_once<R: Send>(
        &self,
        work: impl Fn(&T) -> Result<R, ProjectError> + Sync,
        bad: impl Fn(&T, ProjectError) -> Result<R, ProjectError> + Sync,
    ) -> Result<Vec<R>, ProjectError> {
        let one = |item| self.one(item, &work, &bad);
        let found = self.job.run(|| self.items.par_iter().map(one).collect())?;
        self.job.cancel.check()?;
        found
    }

    /// As many at once as there are threads, each lot given to `deliver` in order before the next
    /// is begun, so that memory does not grow with the number of fields.
    ///
    /// # Errors
    /// As [`at_once`](Self::at_once), or what `deliver` gives.
    pub(crate) fn some_at_once<R: Send>(
        &self,
        work: impl Fn(&T) -> Result<R, ProjectError> + Sync,
        bad: impl Fn(&T, ProjectError) -> Result<R, ProjectError> + Sync,
        mut deliver: impl FnMut(&T, R) -> Result<(), ProjectError> + Send,
    ) -> Result<(), ProjectError> {
        self.job.run(|| {
            for some in self.items.chunks(self.job.machine.threads()) {
                let one = |item| self.one(item, &work, &bad);
                let found: Result<Vec<R>, ProjectError> = some.par_iter().map(one).collect();
                let mut pairs = some.iter().zip(found?);
                pairs.try_for_each(|(item, found)| deliver(item, found))?;
            }
            self.job.cancel.check()
        })?
    }

    /// One after the other, on this thread: for work that is parallel in itself, and of which every
    /// field is needed.
    ///
    /// # Errors
    /// [`ProjectError::Cancelled`], or the first error of `work`.
    pub(crate) fn in_turn(
        &self,
        mut work: impl FnMut(&T) -> Result<(), ProjectError>,
    ) -> Result<(), ProjectError> {
        for item in self.items {
            self.job.cancel.check()?;
            work(item)?;
            self.step(item);
        }
        Ok(())
    }

    /// Through `read` (ahead, on a thread of its own), `compute` (on this one), `finish` (on a
    /// third) and `deliver` (here, in the order of the fields). With one thread they take turns.
    /// After a stop what was computed is still finished and delivered.
    ///
    /// # Errors
    /// [`ProjectError::Cancelled`], or the first error of `deliver`.
    pub(crate) fn in_stages<A: Send, B: Send, C: Send>(
        &self,
        read: impl Fn(&T) -> A + Send,
        mut compute: impl FnMut(&T, A) -> B,
        finish: impl Fn(&T, B) -> C + Send,
        mut deliver: impl FnMut(&T, C) -> Result<(), ProjectError>,
    ) -> Result<(), ProjectError> {
        let mut stopped = false;
        three_stages(
            self.items,
            self.job.machine.threads(),
            read,
            |item, read| {
                stopped = self.job.cancel.is_stopped();
                (!stopped).then(|| compute(item, read))
            },
            finish,
            |item, finished| -> Result<(), ProjectError> {
                deliver(item, finished)?;
                self.step(item);
                Ok(())
            },
        )?;
        match stopped {
            true => Err(ProjectError::Cancelled),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{Cancel, Progress};

    /// Remembers every step, and asks for a stop at the one it is told.
    struct Steps<'a> {
        seen: Mutex<Vec<(usize, usize, String)>>,
        stop_at: usize,
        cancel: &'a Cancel,
    }

    impl Progress for Steps<'_> {
        fn step(&self, done: usize, total: usize, message: &str) {
            let mut seen = self.seen.lock().unwrap();
            seen.push((done, total, message.to_owned()));
            if seen.len() == self.stop_at {
                self.cancel.stop();
            }
        }
        fn note(&self, _message: &str) {}
    }

    /// What a loop over the numbers to ten gives, and the steps that were seen.
    fn run<R>(
        threads: usize,
        stop_at: usize,
        way: impl FnOnce(EachField<'_, usize>) -> R,
    ) -> (R, Vec<(usize, usize, String)>) {
        let cancel = Cancel::new();
        let steps = Steps {
            seen: Mutex::default(),
            stop_at,
            cancel: &cancel,
        };
        let items: Vec<usize> = (0..10).collect();
        let machine = stainfree_network::Machine::new(threads);
        let job = Job::new(&steps, &cancel, &machine);
        let found = way(EachField::new(&job, &items, |item| format!("field {item}")));
        (found, steps.seen.into_inner().unwrap())
    }

    /// Fails at 3, which is bad, and at 7 as `at_seven` says.
    fn work(item: usize, at_seven: Option<ProjectError>) -> Result<usize, ProjectError> {
        match (item, at_seven) {
            (3, _) => Err(ProjectError::Failed("three is bad".to_owned())),
            (7, Some(error)) => Err(error),
            _ => Ok(10 * item),
        }
    }

    fn full_disk() -> ProjectError {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        ProjectError::write("out".as_ref(), &full)
    }

    #[test]
    fn a_bad_field_spoils_no_other() {
        let expected: Vec<usize> = (0..10).map(|i| if i == 3 { 99 } else { 10 * i }).collect();
        for threads in [1, 3] {
            let bad = |_: &usize, error: ProjectError| {
                assert_eq!(error.to_string(), "three is bad");
                Ok(99)
            };
            let (found, steps) = run(threads, 0, |each| each.at_once(|&i| work(i, None), bad));
            assert_eq!(found.unwrap(), expected);
            assert_eq!(steps.len(), 10);
            assert!(steps.iter().all(|(_, total, _)| *total == 10));
            let mut delivered = Vec::new();
            let (ended, steps) = run(threads, 0, |each| {
                let deliver = |_: &usize, found| {
                    delivered.push(found);
                    Ok(())
                };
                each.after(5).some_at_once(|&i| work(i, None), bad, deliver)
            });
            ended.unwrap();
            assert_eq!(delivered, expected);
            let most = steps.iter().map(|(done, total, _)| (*done, *total)).max();
            assert_eq!(most, Some((15, 15)));
        }
    }

    #[test]
    fn a_full_disk_ends_it() {
        let bad = |_: &usize, _| Ok(99);
        for threads in [1, 3] {
            let full = |&i: &usize| work(i, Some(full_disk()));
            let (found, _) = run(threads, 0, |each| each.at_once(full, bad));
            assert!(found.unwrap_err().is_write());
            let mut delivered = Vec::new();
            let deliver = |_: &usize, found| {
                delivered.push(found);
                Ok(())
            };
            let (ended, _) = run(threads, 0, |each| each.some_at_once(full, bad, deliver));
            assert!(ended.unwrap_err().is_write());
            assert!(delivered.len() < 8, "{delivered:?}");
        }
        let error = of_this_field(ProjectError::Cancelled).unwrap_err();
        assert!(matches!(error, ProjectError::Cancelled));
    }

    #[test]
    fn a_stop_ends_every_way() {
        let stopped = |found: Result<(), ProjectError>| {
            assert!(matches!(found, Err(ProjectError::Cancelled)), "{found:?}");
        };
        let bad = |_: &usize, _| Ok(99);
        let (found, steps) = run(1, 2, |each| each.at_once(|&i| work(i, None), bad));
        stopped(found.map(drop));
        assert_eq!(steps.len(), 2);
        let (ended, _) = run(1, 2, |each| {
            each.some_at_once(|&i| work(i, None), bad, |_, _| Ok(()))
        });
        stopped(ended);
        let (ended, steps) = run(1, 2, |each| each.in_turn(|_| Ok(())));
        stopped(ended);
        assert_eq!(steps[1], (2, 10, "field 1".to_owned()));
        let mut delivered = Vec::new();
        let (ended, _) = run(1, 2, |each| {
            let deliver = |&i: &usize, found: usize| {
                delivered.push((i, found));
                Ok(())
            };
            each.in_stages(|&i| i + 1, |_, read| read * 2, |_, n| n + 1, deliver)
        });
        stopped(ended);
        assert_eq!(delivered, [(0, 3), (1, 5)]);
    }
}
