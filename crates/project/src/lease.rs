//! One owner of a thing at a time, on one machine or on several that share a folder.
//!
//! A lease is a hidden file `.stainfree-lease.THING.N` that its holder keeps touching. Whoever finds
//! no living holder creates one with a number above those that are there, which the file system lets
//! only one process do, and then asks all the others once more: of two that come at once, at least
//! one sees the other and withdraws. On the same machine it is known at once whether a holder lives:
//! its process is gone, or its number belongs to another one by now. On another machine it is taken
//! for dead when the file was not touched for a while. A holder that finds a newer lease beside its
//! own, or no longer its own (it slept, or the network did), gives up. Clocks need not agree: ages
//! are measured in the file system's own.
//!
//! A lease that ends takes its file with it, so that numbers are used again; what tells a file from
//! a later one of its number is what it says. A killed holder's file lies there until somebody takes
//! anything in that folder. Asking who holds one works without the right to write; with it, a
//! temporary file tells the file system's time.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::{Cancel, Job, ProjectError};

/// Whether a file of this name belongs to a lease, and is none of the folder's contents.
pub(crate) fn is_lease(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// How leases begin.
const PREFIX: &str = ".stainfree-lease.";
/// Pause before asking again for what somebody holds for a moment.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a process that was killed may take to be gone, and two that begin at once to agree.
pub(crate) const GRACE: Duration = Duration::from_millis(1000);

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

/// Who holds a lease, as its file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Holder {
    /// The command that it runs.
    pub(crate) command: String,
    process: u32,
    host: String,
    /// What tells this run of the machine from any other, and the space that process numbers belong
    /// to; empty where the system does not say.
    boot: String,
    space: String,
    /// When the process began, in the system's own count.
    begun: String,
    /// Which of the leases of its process this is.
    ticket: u64,
    /// What of the thing it holds, where several may hold parts of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<String>,
}

impl Holder {
    /// This process.
    fn ours(command: &str, parts: Vec<String>) -> Self {
        static TICKETS: AtomicU64 = AtomicU64::new(1);
        let read = |path: &str| {
            std::fs::read_to_string(path)
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let space = std::fs::read_link("/proc/self/ns/pid");
        let process = std::process::id();
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| read("/etc/hostname"));
        Self {
            command: command.to_owned(),
            process,
            host,
            boot: read("/proc/sys/kernel/random/boot_id"),
            space: space.map_or(String::new(), |path| path.to_string_lossy().into_owned()),
            begun: match state_of(process) {
                State::Runs { begun } => begun,
                State::Gone | State::Unknown => String::new(),
            },
            ticket: TICKETS.fetch_add(1, Ordering::Relaxed),
            parts,
        }
    }

    /// Whether the process still runs; `None` where this machine cannot tell.
    fn is_alive(&self) -> Option<bool> {
        let us = Self::ours("", Vec::new());
        let known = !self.boot.is_empty() && !self.space.is_empty() && !self.begun.is_empty();
        if !known || (&self.boot, &self.space) != (&us.boot, &us.space) {
            return None;
        }
        match state_of(self.process) {
            State::Runs { begun } => Some(begun == self.begun),
            State::Gone => Some(false),
            State::Unknown => None,
        }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.process == 0 {
            return f.write_str("another process");
        }
        let Self {
            command,
            process,
            host,
            ..
        } = self;
        write!(f, "`{command}` (process {process} on `{host}`)")
    }
}

/// What the system says of a process number.
enum State {
    /// It runs; when it began tells it from an earlier process of the same number.
    Runs {
        begun: String,
    },
    Gone,
    /// The system does not say.
    Unknown,
}

/// Reads `/proc`, where there is one: a process that has ended and waits for its parent is gone.
fn state_of(process: u32) -> State {
    let stat = match std::fs::read_to_string(format!("/proc/{process}/stat")) {
        Ok(stat) => stat,
        // Where processes of others are hidden, one that is not seen may run.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return match Path::new("/proc/1").exists() {
                true => State::Gone,
                false => State::Unknown,
            };
        }
        Err(_) => return State::Unknown,
    };
    // The name, in brackets, may hold anything; state is the first field after it, the time at
    // which the process began the twentieth (proc(5): fields 3 and 22).
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    match (fields.first(), fields.get(19)) {
        (Some(&("Z" | "X" | "x")), _) => State::Gone,
        (Some(_), Some(begun)) => State::Runs {
            begun: (*begun).to_owned(),
        },
        _ => State::Unknown,
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
        loop {
            if let Ok(lease) = self.take(Terms::default(), cancel)? {
                return Ok(lease);
            }
            self.pause(cancel)?;
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

/// The file of a lease of ours, and what it says.
#[derive(Clone, Debug)]
struct File {
    path: PathBuf,
    holder: Holder,
}

impl File {
    fn text(&self) -> String {
        // Names and numbers: turning them into text cannot fail.
        serde_json::to_string(&self.holder).unwrap_or_default() + "\n"
    }

    /// Creates the file and lets `write` fill it; what it leaves half filled is taken away, since
    /// nobody could tell whose it is.
    fn write_new(
        &self,
        write: impl FnOnce(&mut std::fs::File) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        let mut new = options.write(true).create_new(true).open(&self.path)?;
        let written = write(&mut new);
        if written.is_err() {
            drop(new);
            let _ = std::fs::remove_file(&self.path);
        }
        written
    }

    /// Whether the file is that of another lease by now, or gone.
    fn is_anothers(&self) -> bool {
        match std::fs::read(&self.path) {
            Ok(text) => text != self.text().as_bytes(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }

    /// Touches it without changing it at any moment: its last byte is written again. False if it
    /// is no longer ours; a beat that fails otherwise is made up for by the next.
    fn touch(&self) -> bool {
        if self.is_anothers() {
            return false;
        }
        match OpenOptions::new().write(true).open(&self.path) {
            Ok(mut file) => {
                let _ = file
                    .seek(SeekFrom::End(-1))
                    .and_then(|_| file.write_all(b"\n"));
                true
            }
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        }
    }

    /// Removes it, unless it is that of another lease by now.
    fn remove(&self) {
        if !self.is_anothers() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes leases of things in `folder` whose holders are known to be dead, and temporary files of
/// those that were killed while they took one. Whoever is only slow to take one does without.
pub(crate) fn sweep(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is_lease(&name) {
            continue;
        }
        match name.strip_suffix(".part") {
            // `.stainfree-lease.THING.PROCESS-COUNT.part`
            Some(rest) => {
                let process = rest
                    .rsplit('.')
                    .next()
                    .and_then(|own| own.split('-').next());
                let process = process.and_then(|number| number.parse().ok());
                if matches!(process.map(state_of), Some(State::Gone)) {
                    let _ = std::fs::remove_file(entry.path());
                }
            }
            None if is_of_the_dead(&entry.path()) => remove_of_the_dead(&entry.path()),
            None => {}
        }
    }
}

fn is_of_the_dead(path: &Path) -> bool {
    read(path).is_some_and(|holder| holder.is_alive() == Some(false))
}

/// Removes a lease of the dead of a thing that we do not hold: a living one may have its number by
/// now, and gets its file back.
fn remove_of_the_dead(path: &Path) {
    let aside = path.with_extension(format!("{}.part", own_count()));
    if std::fs::rename(path, &aside).is_err() {
        return;
    }
    if !is_of_the_dead(&aside) && std::fs::hard_link(&aside, path).is_err() {
        let _ = std::fs::rename(&aside, path);
        return;
    }
    let _ = std::fs::remove_file(&aside);
}

/// `PROCESS-COUNT`, a name that no other file of ours has.
fn own_count() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    format!("{process}-{count}")
}

/// What a lease says; one that cannot be read says nothing, `None` if it is not there.
fn read(path: &Path) -> Option<Holder> {
    match std::fs::read(path) {
        Ok(text) => Some(serde_json::from_slice(&text).unwrap_or_default()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(_) => Some(Holder::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Terms = Terms {
        expires: Duration::from_millis(400),
        beat: Duration::from_millis(50),
    };

    fn thing(folder: &Path) -> Thing<'_> {
        Thing {
            folder,
            name: "test",
            command: "train",
        }
    }

    fn take(folder: &Path) -> Result<Lease, Box<Holder>> {
        thing(folder).take(QUICK, &Cancel::new()).unwrap()
    }

    /// Puts down a lease as another process would have.
    fn put(folder: &Path, number: u64, holder: &Holder) {
        let text = serde_json::to_string(holder).unwrap() + "\n";
        std::fs::write(thing(folder).path(number), text).unwrap();
    }

    fn files(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn only_one_of_many_gets_the_work_and_it_is_free_again_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let held: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| take(folder.path())))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(held.iter().flatten().count() <= 1);
        drop(held);
        let ours = take(folder.path()).unwrap();
        // Beats keep it beyond the lease.
        std::thread::sleep(2 * QUICK.expires);
        let holder = take(folder.path()).err().unwrap();
        assert_eq!(holder.process, std::process::id());
        drop(ours);
        assert!(take(folder.path()).is_ok());
        assert_eq!(files(folder.path()), 0, "nothing is left");
    }

    #[test]
    fn many_that_wait_all_get_it_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let inside = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let lease = thing(folder.path()).wait(&Cancel::new()).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lease);
                    }
                });
            }
        });
        assert_eq!(files(folder.path()), 0);
    }

    /// A holder that is dead, as far as this machine can tell.
    #[cfg(target_os = "linux")]
    fn dead() -> Holder {
        Holder {
            begun: "1".to_owned(),
            ..Holder::ours("train", Vec::new())
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_number_that_was_free_in_between_gives_no_second_holder() {
        let folder = tempfile::tempdir().unwrap();
        let slow = thing(folder.path());
        put(folder.path(), 0, &dead());
        let Asked::Free(found) = slow.ask(slow.numbers().unwrap(), QUICK).unwrap() else {
            panic!("its holder is dead");
        };
        assert_eq!(found, [0]);
        // Meanwhile one took it and gave it back, and the next one has number 0.
        drop(take(folder.path()).unwrap());
        let quick = take(folder.path()).unwrap();
        assert_eq!(slow.numbers().unwrap(), [0]);
        let claimed = slow.claim(&found, QUICK, &Cancel::new()).unwrap();
        let holder = claimed.err().expect("it is held");
        assert_eq!(*holder, quick.file.holder);
        assert_eq!(slow.numbers().unwrap(), [0], "the living lease stays");
        // The same where both claim after both have looked: one at most has it.
        drop(quick);
        put(folder.path(), 0, &dead());
        let first = slow.claim(&[0], QUICK, &Cancel::new()).unwrap();
        let second = slow.claim(&[0, 1], QUICK, &Cancel::new()).unwrap();
        assert!(first.is_ok() && second.is_err());
        assert_eq!(slow.numbers().unwrap(), [1]);
        drop(first);
        assert_eq!(files(folder.path()), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_sweep_gives_a_living_lease_back_that_came_after_the_look() {
        let folder = tempfile::tempdir().unwrap();
        let living = take(folder.path()).unwrap();
        remove_of_the_dead(&thing(folder.path()).path(0));
        assert!(living.file.touch(), "it was taken away");
        assert_eq!(files(folder.path()), 1);
        put(folder.path(), 1, &dead());
        remove_of_the_dead(&thing(folder.path()).path(1));
        assert_eq!(files(folder.path()), 1);
    }

    #[test]
    fn whoever_slept_until_its_number_is_anothers_gives_up_and_leaves_that_alone() {
        let folder = tempfile::tempdir().unwrap();
        let slept = take(folder.path()).unwrap();
        let other = Holder::ours("train", Vec::new());
        put(folder.path(), 0, &other);
        assert!(!slept.file.touch());
        let begun = Instant::now();
        while !slept.is_lost() {
            assert!(begun.elapsed() < Duration::from_secs(20), "never gave up");
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(slept);
        let left = read(&thing(folder.path()).path(0));
        assert_eq!(left, Some(other), "it took another's lease away");
    }

    #[test]
    fn a_lease_that_could_not_be_written_whole_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let file = File {
            path: thing(folder.path()).path(0),
            holder: Holder::ours("train", Vec::new()),
        };
        let full = file.write_new(|new| {
            new.write_all(b"{\"command\"")?;
            Err(std::io::ErrorKind::StorageFull.into())
        });
        assert_eq!(full.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        assert_eq!(files(folder.path()), 0);
        // Another's is not.
        put(folder.path(), 0, &Holder::ours("train", Vec::new()));
        let there = file.write_new(|_| Ok(())).unwrap_err();
        assert_eq!(there.kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(files(folder.path()), 1);
    }

    #[test]
    fn waiting_for_what_another_has_can_be_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let held = take(folder.path()).unwrap();
        let cancel = Cancel::new();
        cancel.stop();
        let stopped = thing(folder.path()).wait(&cancel).err().unwrap();
        assert!(matches!(stopped, ProjectError::Cancelled), "{stopped}");
        // What is free is had, so that what is finished can be written down.
        drop(held);
        assert!(thing(folder.path()).wait(&cancel).is_ok());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_is_gone_from_this_machine_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let us = Holder::ours("train", Vec::new());
        // Ended and not yet waited for, as after a kill.
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let gone = Holder {
            process: child.id(),
            ..us.clone()
        };
        let begun = Instant::now();
        while gone.is_alive() != Some(false) {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "a dead child counts as alive"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        put(folder.path(), 0, &gone);
        assert!(take(folder.path()).is_ok());
        child.wait().unwrap();
        put(folder.path(), 0, &gone);
        assert!(take(folder.path()).is_ok());
        // Its number belongs to another process by now: ours.
        put(
            folder.path(),
            0,
            &Holder {
                begun: "1".to_owned(),
                ..us.clone()
            },
        );
        assert!(take(folder.path()).is_ok());
        // A process that runs holds it, however old the lease.
        put(folder.path(), 0, &us);
        std::thread::sleep(2 * QUICK.expires);
        assert!(take(folder.path()).is_err());
    }

    #[test]
    fn another_machine_is_believed_until_its_lease_has_run_out() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = Holder {
            process: 1,
            host: "elsewhere".to_owned(),
            boot: "another".to_owned(),
            ..Holder::ours("train", Vec::new())
        };
        put(folder.path(), 3, &elsewhere);
        assert_eq!(
            take(folder.path()).err().map(|holder| *holder),
            Some(elsewhere),
            "it may still be alive"
        );
        std::thread::sleep(2 * QUICK.expires);
        let ours = take(folder.path()).expect("it is dead");
        assert!(thing(folder.path()).path(4).exists());
        assert!(!thing(folder.path()).path(3).exists());
        // Somebody thought us dead.
        std::fs::write(thing(folder.path()).path(5), "").unwrap();
        let begun = Instant::now();
        while !ours.cancel.is_stopped() {
            assert!(begun.elapsed() < Duration::from_secs(20), "never gave up");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(ours.is_lost());
    }

    #[test]
    fn parts_are_held_side_by_side_and_anybody_may_look() {
        let folder = tempfile::tempdir().unwrap();
        let share = |name: &str| {
            let parts = vec![name.to_owned()];
            thing(folder.path()).share(parts, &Cancel::new()).unwrap()
        };
        let (first, second) = (share("a"), share("b"));
        let held = || {
            let mut parts: Vec<String> = thing(folder.path())
                .holders()
                .into_iter()
                .flat_map(|h| h.parts)
                .collect();
            parts.sort();
            parts
        };
        assert_eq!(held(), ["a", "b"]);
        drop(first);
        assert_eq!(held(), ["b"]);
        let sentence = thing(folder.path())
            .must_be_free("wait")
            .unwrap_err()
            .to_string();
        assert!(sentence.contains("`train` (process "), "{sentence}");
        drop(second);
        assert_eq!(files(folder.path()), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn whoever_takes_anything_sweeps_up_after_the_dead() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let process = child.id();
        child.wait().unwrap();
        let gone = Holder {
            process,
            ..Holder::ours("new", Vec::new())
        };
        let text = serde_json::to_string(&gone).unwrap();
        let lease = folder.path().join(".stainfree-lease.making.0");
        let part = folder
            .path()
            .join(format!(".stainfree-lease.making.{process}-0.part"));
        std::fs::write(lease, text).unwrap();
        std::fs::write(part, "").unwrap();
        drop(take(folder.path()));
        assert_eq!(files(folder.path()), 0);
    }

    #[test]
    fn a_stop_reaches_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let user = Cancel::new();
        let lease = thing(folder.path()).take(QUICK, &user).unwrap().unwrap();
        // The bare flag: the lease has to raise it, since it knows nothing of the user's.
        let is_raised = || lease.cancel.flag().load(Ordering::SeqCst);
        assert!(!is_raised() && !lease.cancel.is_stopped());
        user.stop();
        assert!(lease.cancel.is_stopped(), "at once");
        let begun = Instant::now();
        while !is_raised() {
            assert!(begun.elapsed() < Duration::from_secs(20), "never stopped");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!lease.is_lost());
    }
}
