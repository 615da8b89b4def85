//! One owner of a thing at a time, on one machine or on several that share a folder.
//!
//! A lease is a hidden file `.stainfree-lease.THING.N` that its holder keeps touching. Whoever
//! finds no living holder creates one with a number above those that are there, which the file
//! system lets only one process do, and then asks all the others once more: of two that come at
//! once, at least one sees the other and withdraws. On the same machine it is known at once
//! whether a holder lives: its process is gone, or its number belongs to another one by now. On
//! another machine it is taken for dead when the file was not touched for a while. A holder that
//! finds a newer lease beside its own, or no longer its own (it slept, or the network did), gives
//! up. Clocks need not agree: ages are measured in the file system's own.
//!
//! A lease that ends takes its file with it, so that numbers are used again; what tells a file
//! from a later one of its number is what it says. A killed holder's file lies there until
//! somebody takes anything in that folder. Asking who holds one works without the right to write;
//! with it, a temporary file tells the file system's time.

mod file;
mod holder;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use self::file::{File, PREFIX, own_count, read};
pub(crate) use self::file::{is_lease, sweep};
pub(crate) use self::holder::Holder;
use crate::{Cancel, Job, ProjectError};

/// Pause before asking again for what somebody holds for a moment.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest pause between two askings.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long a process that was killed may take to be gone, and two that begin at once to agree.
const GRACE: Duration = Duration::from_millis(1000);

/// How leases are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// One that another machine has not touched for this long is free.
    pub(crate) expires: Duration,
    /// The holder touches it this often.
    pub(crate) beat: Duration,
}

impl Default for Terms {
    /// Long enough for a network folder that hangs for a minute.
    fn default() -> Self {
        Self {
            expires: Duration::from_secs(180),
            beat: Duration::from_secs(20),
        }
    }
}

/// A thing that is ours until this is dropped.
pub(crate) struct Lease {
    file: File,
    stop: Arc<AtomicBool>,
    lost: Arc<AtomicBool>,
    beating: Option<JoinHandle<()>>,
    cancel: Cancel,
}

/// What is to be held, and by whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thing<'a> {
    /// The folder that the lease lies in.
    pub(crate) folder: &'a Path,
    /// What of it; letters only.
    pub(crate) name: &'a str,
    /// The command that wants it.
    pub(crate) command: &'a str,
}

impl Thing<'_> {
    /// Takes it, or says who has it. `cancel` is passed on to [`Lease::during`].
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub(crate) fn take(
        &self,
        terms: Terms,
        cancel: &Cancel,
    ) -> Result<Result<Lease, Box<Holder>>, ProjectError> {
        std::fs::create_dir_all(self.folder)
            .map_err(|error| ProjectError::write(self.folder, &error))?;
        match self.ask(self.numbers()?, terms)? {
            Asked::Held(holder) => Ok(Err(holder)),
            Asked::Free(dead) => self.claim(&dead, terms, cancel),
        }
    }

    /// Asks the leases of these numbers whether one of them is held.
    fn ask(&self, numbers: Vec<u64>, terms: Terms) -> Result<Asked, ProjectError> {
        for &number in &numbers {
            if let Some(holder) = self.live(number, terms)? {
                return Ok(Asked::Held(Box::new(holder)));
            }
        }
        Ok(Asked::Free(numbers))
    }

    /// Creates a lease above those `found`, and holds it unless somebody is there after all.
    fn claim(
        &self,
        found: &[u64],
        terms: Terms,
        cancel: &Cancel,
    ) -> Result<Result<Lease, Box<Holder>>, ProjectError> {
        let number = found.iter().max().map_or(0, |n| n + 1);
        let path = self.path(number);
        let Some(file) = self.create(path.clone(), Holder::ours(self.command, Vec::new()))? else {
            return Ok(Err(Box::new(read(&path).unwrap_or_default())));
        };
        // All of them, those asked before as well: a number that was free in between is that of
        // another one by now. Whoever comes later sees ours.
        let others = self.numbers().and_then(|mut numbers| {
            numbers.retain(|other| *other != number);
            self.ask(numbers, terms)
        });
        match others {
            Ok(Asked::Free(dead)) => {
                // Whoever held it before is gone; its files would only add up.
                self.clear(&dead);
                Ok(Ok(self.hold(file, Some(number), terms, cancel)))
            }
            Ok(Asked::Held(holder)) => {
                file.remove();
                Ok(Err(holder))
            }
            Err(error) => {
                file.remove();
                Err(error)
            }
        }
    }

    /// Takes it, or refuses in a sentence that ends with the way out.
    ///
    /// # Errors
    /// [`ProjectError::Held`]; or the folder cannot be read or written.
    pub(crate) fn own(&self, way_out: &str, cancel: &Cancel) -> Result<Lease, ProjectError> {
        let begun = Instant::now();
        loop {
            let holder = match self.take(Terms::default(), cancel)? {
                Ok(lease) => return Ok(lease),
                Err(holder) => holder,
            };
            if begun.elapsed() >= GRACE {
                return Err(self.held_by(&holder, way_out));
            }
            self.pause(cancel)?;
        }
    }

    /// Waits until it is free: for what is only held for moments. What is free is had after a stop
    /// as well.
    ///
    /// # Errors
    /// The folder cannot be read or written; [`ProjectError::Cancelled`] after a stop.
    pub(crate) fn wait(&self, cancel: &Cancel) -> Result<Lease, ProjectError> {
        let begun = Instant::now();
        loop {
            if let Ok(lease) = self.take(Terms::default(), cancel)? {
                return Ok(lease);
            }
            self.pause(cancel)?;
            // A hundred machines that wait for minutes must not keep a shared folder busy: the
            // longer it takes, the less often it is asked for.
            let more = (begun.elapsed() / 8).min(LONGEST_PAUSE);
            let until = Instant::now() + more;
            while Instant::now() < until {
                cancel.check()?;
                std::thread::sleep(PAUSE.min(more));
            }
        }
    }

    /// Takes parts of it beside others that hold other parts. Only one may ask at a time: its
    /// caller holds a lease for that.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn share(&self, parts: Vec<String>, cancel: &Cancel) -> Result<Lease, ProjectError> {
        let terms = Terms::default();
        let mut dead = Vec::new();
        let numbers = self.numbers()?;
        for &number in &numbers {
            if self.live(number, terms)?.is_none() {
                dead.push(number);
            }
        }
        self.clear(&dead);
        let path = self.path(numbers.iter().max().map_or(0, |n| n + 1));
        let holder = Holder::ours(self.command, parts);
        let Some(file) = self.create(path.clone(), holder)? else {
            let why = std::io::ErrorKind::AlreadyExists.into();
            return Err(ProjectError::write(&path, &why));
        };
        Ok(self.hold(file, None, terms, cancel))
    }

    /// Waits, before any turn is taken, while one of these parts is held by a process of another
    /// machine, which may have been killed there: for as long as nobody can know, and no longer.
    ///
    /// # Errors
    /// [`ProjectError::Cancelled`].
    pub(crate) fn wait_for_the_dead(
        &self,
        names: &BTreeSet<&str>,
        job: &Job,
    ) -> Result<(), ProjectError> {
        let begun = Instant::now();
        let terms = Terms::default();
        let most = terms.expires + 2 * terms.beat;
        let mut is_said = false;
        while begun.elapsed() < most {
            let holders = self.holders();
            let is_at_ours = |holder: &&Holder| {
                holder.is_alive().is_none() && holder.parts.iter().any(|p| names.contains(&**p))
            };
            let Some(holder) = holders.iter().find(is_at_ours) else {
                break;
            };
            if !is_said {
                job.progress.note(&format!(
                    "{holder} has some of these fields, or was killed: this waits for up to {} s \
                     until it is known",
                    most.as_secs()
                ));
                is_said = true;
            }
            let until = Instant::now() + LONGEST_PAUSE;
            while Instant::now() < until {
                job.cancel.check()?;
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// [`share`](Self::share) of fields of which nobody holds one, or a refusal that says who does
    /// and ends with the way out.
    ///
    /// # Errors
    /// [`ProjectError::Held`], [`ProjectError::Cancelled`]; or the folder cannot be written.
    pub(crate) fn share_fields(
        &self,
        names: Vec<String>,
        way_out: &str,
        cancel: &Cancel,
    ) -> Result<Lease, ProjectError> {
        let wanted: BTreeSet<&String> = names.iter().collect();
        let begun = Instant::now();
        loop {
            let conflict = self.holders().into_iter().find_map(|holder| {
                let mut both = holder.parts.iter().filter(|name| wanted.contains(name));
                let first = both.next()?.clone();
                let count = 1 + both.count();
                Some((holder, first, count))
            });
            let Some((holder, first, count)) = conflict else {
                return self.share(names, cancel);
            };
            // One that was killed may take a moment to be gone.
            if begun.elapsed() < GRACE {
                cancel.check()?;
                std::thread::sleep(PAUSE);
                continue;
            }
            let way_out =
                format!("it does {count} of the same fields, such as `{first}`: {way_out}");
            return Err(self.held_by(&holder, &way_out));
        }
    }

    /// Who holds it, or parts of it, now. No right to write is needed, and a folder that cannot be
    /// read has no holder.
    pub(crate) fn holders(&self) -> Vec<Holder> {
        let numbers = self.numbers().unwrap_or_default();
        let live = |number| self.live(number, Terms::default()).ok().flatten();
        numbers.into_iter().filter_map(live).collect()
    }

    /// Refuses while somebody holds it, unless only for a moment.
    ///
    /// # Errors
    /// [`ProjectError::Held`].
    pub(crate) fn must_be_free(&self, way_out: &str) -> Result<(), ProjectError> {
        let begun = Instant::now();
        loop {
            match self.holders().first() {
                None => return Ok(()),
                Some(holder) if begun.elapsed() >= GRACE => {
                    return Err(self.held_by(holder, way_out));
                }
                Some(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    pub(crate) fn held_by(&self, holder: &Holder, way_out: &str) -> ProjectError {
        ProjectError::Held {
            folder: self.folder.to_owned(),
            holder: holder.to_string(),
            way_out: way_out.to_owned(),
        }
    }

    /// A pause that is not the same for two who wait for each other.
    fn pause(&self, cancel: &Cancel) -> Result<(), ProjectError> {
        cancel.check()?;
        std::thread::sleep(PAUSE + Duration::from_millis(u64::from(std::process::id() % 17)));
        Ok(())
    }

    fn begin(&self) -> String {
        format!("{PREFIX}{}.", self.name)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{}{number}", self.begin()))
    }

    /// The numbers of the leases that are there.
    fn numbers(&self) -> Result<Vec<u64>, ProjectError> {
        let begin = self.begin();
        let number = |name: String| name.strip_prefix(&begin)?.parse().ok();
        Ok(self.names()?.into_iter().filter_map(number).collect())
    }

    fn names(&self) -> Result<Vec<String>, ProjectError> {
        let entries = std::fs::read_dir(self.folder);
        let entries = entries.map_err(|error| ProjectError::read(self.folder, &error))?;
        let names = entries
            .filter_map(Result::ok)
            .map(|entry| entry.file_name());
        Ok(names.filter_map(|name| name.into_string().ok()).collect())
    }

    /// The holder of a lease, unless it is dead or gone.
    fn live(&self, number: u64, terms: Terms) -> Result<Option<Holder>, ProjectError> {
        let path = self.path(number);
        let Some(holder) = read(&path) else {
            return Ok(None);
        };
        let alive = match holder.is_alive() {
            Some(alive) => alive,
            None => !self.is_expired(&path, terms)?,
        };
        Ok(alive.then_some(holder))
    }

    /// Whether it was not touched for the lease, by the file system's clock; by this machine's
    /// where nothing may be written.
    fn is_expired(&self, path: &Path, terms: Terms) -> Result<bool, ProjectError> {
        let modified =
            |path: &Path| -> Option<SystemTime> { path.metadata().ok()?.modified().ok() };
        let probe = self.part();
        let now = match std::fs::write(&probe, b"") {
            Ok(()) => modified(&probe),
            Err(_) => Some(SystemTime::now()),
        };
        let _ = std::fs::remove_file(&probe);
        // Gone in the meantime: its holder has finished, and the next one asks again.
        let (Some(now), Some(touched)) = (now, modified(path)) else {
            return Ok(false);
        };
        Ok(now
            .duration_since(touched)
            .is_ok_and(|age| age > terms.expires))
    }

    /// Creates the file of a lease with all that it says, so that nobody ever sees half of it
    /// where the file system has second names; `None` if there is one already.
    fn create(&self, path: PathBuf, holder: Holder) -> Result<Option<File>, ProjectError> {
        let file = File { path, holder };
        let text = file.text();
        let failed = |error: &std::io::Error| ProjectError::write(self.folder, error);
        let exists = |error: &std::io::Error| error.kind() == std::io::ErrorKind::AlreadyExists;
        let part = self.part();
        if let Err(error) = std::fs::write(&part, &text) {
            let _ = std::fs::remove_file(&part);
            return Err(failed(&error));
        }
        let linked = std::fs::hard_link(&part, &file.path);
        let _ = std::fs::remove_file(&part);
        match linked {
            Ok(()) => return Ok(Some(file)),
            Err(error) if exists(&error) => return Ok(None),
            // A file system without second names.
            Err(_) => {}
        }
        match file.write_new(|new| new.write_all(text.as_bytes())) {
            Ok(()) => Ok(Some(file)),
            Err(error) if exists(&error) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    /// A temporary file, which [`sweep`] takes away should this process be killed.
    fn part(&self) -> PathBuf {
        let name = format!("{}{}.part", self.begin(), own_count());
        self.folder.join(name)
    }

    /// Removes these leases of the dead, and whatever killed processes have left in the folder.
    fn clear(&self, dead: &[u64]) {
        for &number in dead {
            let _ = std::fs::remove_file(self.path(number));
        }
        sweep(self.folder);
    }

    /// Keeps the lease alive; `number` where a newer one means that it was lost.
    fn hold(&self, file: File, number: Option<u64>, terms: Terms, user: &Cancel) -> Lease {
        let (stop, lost) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let cancel = user.part();
        let (folder, name) = (self.folder.to_owned(), self.name.to_owned());
        let beating = {
            let (stop, lost) = (Arc::clone(&stop), Arc::clone(&lost));
            let (file, cancel, user) = (file.clone(), cancel.clone(), user.clone());
            std::thread::spawn(move || {
                let thing = Thing {
                    folder: &folder,
                    name: &name,
                    command: "",
                };
                let tick = terms.beat.min(Duration::from_millis(100));
                let mut since = Instant::now();
                let mut suspected = false;
                while !stop.load(Ordering::SeqCst) {
                    std::thread::park_timeout(tick);
                    if user.is_stopped() {
                        cancel.stop();
                    }
                    let pause = if suspected {
                        terms.beat.min(GRACE)
                    } else {
                        terms.beat
                    };
                    if since.elapsed() < pause {
                        continue;
                    }
                    since = Instant::now();
                    let numbers = thing.numbers().unwrap_or_default();
                    let newer = number.is_some_and(|own| numbers.iter().any(|n| *n > own));
                    // Whoever asked at the same moment withdraws at once; one that stays has it.
                    if (newer && suspected) || !file.touch() {
                        lost.store(true, Ordering::SeqCst);
                        cancel.stop();
                    }
                    suspected = newer;
                }
            })
        };
        Lease {
            file,
            stop,
            lost,
            beating: Some(beating),
            cancel,
        }
    }
}

impl Lease {
    /// Whether somebody else thought us dead and took it.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }
}

impl Lease {
    /// The work of the holder: `job` with a stop that is also raised when the lease is lost, which
    /// then is the error.
    pub(crate) fn during<T>(
        &self,
        job: &Job,
        work: impl FnOnce(&Job) -> Result<T, ProjectError>,
    ) -> Result<T, ProjectError> {
        let ours = Job {
            cancel: &self.cancel,
            ..*job
        };
        match work(&ours) {
            Err(ProjectError::Cancelled) if self.is_lost() && !job.cancel.is_stopped() => {
                let path = &self.file.path;
                let folder = path.parent().unwrap_or(path);
                Err(ProjectError::TakenOver(folder.to_owned()))
            }
            result => result,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(beating) = self.beating.take() {
            beating.thread().unpark();
            let _ = beating.join();
        }
        self.file.remove();
    }
}

/// What asking who holds a thing gives.
enum Asked {
    /// Somebody has it.
    Held(Box<Holder>),
    /// Nobody has; the leases that are there are of the dead.
    Free(Vec<u64>),
}

#[cfg(test)]
mod tests;
