//! One owner of a thing at a time, on one machine or on several that share a folder.
//!
//! A lease is a hidden file `.stainfree-lease.THING.N` that its holder keeps touching. Taking one
//! means creating it with the next number, which the file system lets only one process do, and only
//! when the holder of the last one is dead. On the same machine that is known at once: its process
//! is gone, or its number belongs to another one by now. On another machine it is assumed when the
//! file was not touched for a while. A holder that finds a newer lease beside its own (it slept, or
//! the network did) gives up. Clocks need not agree: ages are measured in the file system's own.
//!
//! A lease leaves nothing behind, and asking who holds one needs no right to write.

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
    /// What of the thing it holds, where several may hold parts of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<String>,
}

impl Holder {
    /// This process.
    fn ours(command: &str, parts: Vec<String>) -> Self {
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
    path: PathBuf,
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
        let found = self.numbers()?;
        for &number in &found {
            if let Some(holder) = self.live(number, terms)? {
                return Ok(Err(Box::new(holder)));
            }
        }
        let number = found.iter().max().map_or(0, |n| n + 1);
        let holder = Holder::ours(self.command, Vec::new());
        let path = self.path(number);
        if !self.create(&path, &holder)? {
            return Ok(Err(Box::new(read(&path).unwrap_or_default())));
        }
        // Whoever came in between, from another list of numbers, is asked too.
        for other in self.numbers()?.into_iter().filter(|n| *n != number) {
            if found.contains(&other) {
                continue;
            }
            if let Some(holder) = self.live(other, terms)? {
                let _ = std::fs::remove_file(&path);
                return Ok(Err(Box::new(holder)));
            }
        }
        // Whoever held it before is gone; its files would only add up.
        self.clear(&found);
        Ok(Ok(self.hold(path, Some(number), terms, cancel)))
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

    /// Waits until it is free: for what is only held for moments.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub(crate) fn wait(&self) -> Result<Lease, ProjectError> {
        loop {
            if let Ok(lease) = self.take(Terms::default(), &Cancel::new())? {
                return Ok(lease);
            }
            std::thread::sleep(PAUSE);
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
        if !self.create(&path, &holder)? {
            let why = std::io::ErrorKind::AlreadyExists.into();
            return Err(ProjectError::write(&path, &why));
        }
        Ok(self.hold(path, None, terms, cancel))
    }

    /// Who holds it, or parts of it, now. Nothing is written, and a folder that cannot be read has
    /// no holder.
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

    /// Creates the file of a lease with all that it says, so that nobody ever sees half of it;
    /// false if there is one already.
    fn create(&self, path: &Path, holder: &Holder) -> Result<bool, ProjectError> {
        // Names and numbers: turning them into text cannot fail.
        let text = serde_json::to_string(holder).unwrap_or_default() + "\n";
        let failed = |error: &std::io::Error| ProjectError::write(self.folder, error);
        let exists = |error: &std::io::Error| error.kind() == std::io::ErrorKind::AlreadyExists;
        let part = self.part();
        if let Err(error) = std::fs::write(&part, &text) {
            let _ = std::fs::remove_file(&part);
            return Err(failed(&error));
        }
        let linked = std::fs::hard_link(&part, path);
        let _ = std::fs::remove_file(&part);
        match linked {
            Ok(()) => return Ok(true),
            Err(error) if exists(&error) => return Ok(false),
            // A file system without second names.
            Err(_) => {}
        }
        match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(mut file) => {
                file.write_all(text.as_bytes())
                    .map_err(|error| failed(&error))?;
                Ok(true)
            }
            Err(error) if exists(&error) => Ok(false),
            Err(error) => Err(failed(&error)),
        }
    }

    /// A temporary file, which [`sweep`] takes away should this process be killed.
    fn part(&self) -> PathBuf {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let name = format!("{}{process}-{count}.part", self.begin());
        self.folder.join(name)
    }

    /// Removes these leases of the dead, and whatever killed processes have left in the folder.
    fn clear(&self, dead: &[u64]) {
        for &number in dead {
            let _ = std::fs::remove_file(self.path(number));
        }
        sweep(self.folder);
    }

    /// Keeps the lease at `path` alive; `number` where a newer one means that it was lost.
    fn hold(&self, path: PathBuf, number: Option<u64>, terms: Terms, user: &Cancel) -> Lease {
        let (stop, lost) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let cancel = user.part();
        let (folder, name) = (self.folder.to_owned(), self.name.to_owned());
        let beating = {
            let (stop, lost) = (Arc::clone(&stop), Arc::clone(&lost));
            let (path, cancel, user) = (path.clone(), cancel.clone(), user.clone());
            std::thread::spawn(move || {
                let thing = Thing {
                    folder: &folder,
                    name: &name,
                    command: "",
                };
                let tick = terms.beat.min(Duration::from_millis(100));
                let mut since = Instant::now();
                while !stop.load(Ordering::SeqCst) {
                    std::thread::park_timeout(tick);
                    if user.is_stopped() {
                        cancel.stop();
                    }
                    if since.elapsed() < terms.beat {
                        continue;
                    }
                    since = Instant::now();
                    let numbers = thing.numbers().unwrap_or_default();
                    let newer = number.is_some_and(|own| numbers.iter().any(|n| *n > own));
                    if newer || !touch(&path) {
                        lost.store(true, Ordering::SeqCst);
                        cancel.stop();
                    }
                }
            })
        };
        Lease {
            path,
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
                let folder = self.path.parent().unwrap_or(&self.path);
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
        let _ = std::fs::remove_file(&self.path);
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
        let is_dead = match name.strip_suffix(".part") {
            // `.stainfree-lease.THING.PROCESS-COUNT.part`
            Some(rest) => {
                let process = rest
                    .rsplit('.')
                    .next()
                    .and_then(|own| own.split('-').next());
                let process = process.and_then(|number| number.parse().ok());
                matches!(process.map(state_of), Some(State::Gone))
            }
            None => read(&entry.path()).is_some_and(|holder| holder.is_alive() == Some(false)),
        };
        if is_dead {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// What a lease says; one that cannot be read says nothing, `None` if it is not there.
fn read(path: &Path) -> Option<Holder> {
    match std::fs::read(path) {
        Ok(text) => Some(serde_json::from_slice(&text).unwrap_or_default()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(_) => Some(Holder::default()),
    }
}

/// Touches a lease without changing it at any moment: its last byte is written again. False if it
/// is no longer there; a beat that fails otherwise is made up for by the next.
fn touch(path: &Path) -> bool {
    match OpenOptions::new().write(true).open(path) {
        Ok(mut file) => {
            let _ = file
                .seek(SeekFrom::End(-1))
                .and_then(|_| file.write_all(b"\n"));
            true
        }
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
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
                        let lease = thing(folder.path()).wait().unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lease);
                    }
                });
            }
        });
        assert_eq!(files(folder.path()), 0);
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
        assert!(!lease.cancel.is_stopped());
        user.stop();
        let begun = Instant::now();
        while !lease.cancel.is_stopped() {
            assert!(begun.elapsed() < Duration::from_secs(20), "never stopped");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!lease.is_lost());
    }
}
