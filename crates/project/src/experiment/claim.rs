//! Who does what, where several machines share a folder.
//!
//! A claim is a file `claim.N` that its holder keeps touching. Taking one means creating
//! `claim.N+1`, which the file system lets only one machine do, and only when the newest claim has
//! not been touched for a while, so that a machine that dies does not hold its work for ever. A
//! holder that finds a newer claim beside its own (it slept, or the network did) gives up. Clocks
//! need not agree: ages are measured in the file system's own.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crate::{Cancel, ProjectError};

/// How claims are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    /// A claim untouched for this long is free for others.
    pub(crate) expires: Duration,
    /// The holder touches it this often.
    pub(crate) beat: Duration,
}

impl Default for Lease {
    /// Long enough for a network folder that hangs for a minute.
    fn default() -> Self {
        Self {
            expires: Duration::from_secs(180),
            beat: Duration::from_secs(20),
        }
    }
}

/// Work that is ours until this is dropped.
pub(crate) struct Claim {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    beating: Option<JoinHandle<()>>,
    cancel: Cancel,
}

impl Claim {
    /// Takes the work of `folder`, or says that somebody else has it. `cancel` is passed on to
    /// [`Claim::cancel`].
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub(crate) fn take(
        folder: &Path,
        lease: Lease,
        cancel: &Cancel,
    ) -> Result<Option<Self>, ProjectError> {
        std::fs::create_dir_all(folder).map_err(|error| ProjectError::write(folder, &error))?;
        let newest = newest(folder)?;
        if let Some(number) = newest
            && !expired(folder, number, lease)?
        {
            return Ok(None);
        }
        let number = newest.map_or(0, |n| n + 1);
        let path = claim_path(folder, number);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => file
                .write_all(signature(0).as_bytes())
                .map_err(|error| ProjectError::write(&path, &error))?,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(ProjectError::write(&path, &error)),
        }
        // Whoever held it before is gone; its files would only add up.
        for old in 0..number {
            let _ = std::fs::remove_file(claim_path(folder, old));
        }
        Ok(Some(Self::hold(folder, number, path, lease, cancel)))
    }

    fn hold(folder: &Path, number: u64, path: PathBuf, lease: Lease, user: &Cancel) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let cancel = Cancel::new();
        let beating = {
            let (folder, path) = (folder.to_owned(), path.clone());
            let (stop, cancel, user) = (Arc::clone(&stop), cancel.clone(), user.clone());
            std::thread::spawn(move || {
                let tick = lease.beat.min(Duration::from_millis(100));
                let (mut count, mut since) = (0u64, Duration::ZERO);
                while !stop.load(Ordering::SeqCst) {
                    std::thread::sleep(tick);
                    since += tick;
                    if user.is_stopped() {
                        cancel.stop();
                    }
                    if since < lease.beat {
                        continue;
                    }
                    since = Duration::ZERO;
                    count += 1;
                    let newer =
                        newest(&folder).is_ok_and(|found| found.is_some_and(|n| n > number));
                    if newer || !touch(&path, count) {
                        cancel.stop();
                    }
                }
            })
        };
        Self {
            path,
            stop,
            beating: Some(beating),
            cancel,
        }
    }

    /// Raised when the user asks for a stop, or when the claim was lost.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(beating) = self.beating.take() {
            let _ = beating.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

fn claim_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("claim.{number}"))
}

/// For people who look into the folder.
fn signature(beat: u64) -> String {
    let host = std::env::var("HOSTNAME")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .unwrap_or_default();
    format!(
        "process {} on {}, beat {beat}\n",
        std::process::id(),
        host.trim()
    )
}

/// Touches a claim; false if it is no longer there. A beat that fails otherwise is made up for by
/// the next.
fn touch(path: &Path, beat: u64) -> bool {
    match OpenOptions::new().write(true).truncate(true).open(path) {
        Ok(mut file) => {
            let _ = file.write_all(signature(beat).as_bytes());
            true
        }
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// The largest number of a claim.
fn newest(folder: &Path) -> Result<Option<u64>, ProjectError> {
    let entries = std::fs::read_dir(folder).map_err(|error| ProjectError::read(folder, &error))?;
    Ok(entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_prefix("claim.")?
                .parse()
                .ok()
        })
        .max())
}

/// Whether the claim has not been touched for the lease, by the file system's clock.
fn expired(folder: &Path, number: u64, lease: Lease) -> Result<bool, ProjectError> {
    let modified = |path: &Path| -> Option<SystemTime> { path.metadata().ok()?.modified().ok() };
    let probe = folder.join(format!(".now-{}.tmp", std::process::id()));
    std::fs::write(&probe, b"").map_err(|error| ProjectError::write(&probe, &error))?;
    let now = modified(&probe);
    let _ = std::fs::remove_file(&probe);
    // Gone in the meantime: its holder has finished, and the next one asks again.
    let (Some(now), Some(touched)) = (now, modified(&claim_path(folder, number))) else {
        return Ok(false);
    };
    Ok(now
        .duration_since(touched)
        .is_ok_and(|age| age > lease.expires))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Lease = Lease {
        expires: Duration::from_millis(400),
        beat: Duration::from_millis(50),
    };

    #[test]
    fn only_one_of_many_gets_the_work_and_it_is_free_again_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let take = || Claim::take(folder.path(), QUICK, &Cancel::new()).unwrap();
        let held: Vec<Option<Claim>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(take)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(held.iter().flatten().count(), 1);
        // Beats keep it beyond the lease.
        std::thread::sleep(2 * QUICK.expires);
        assert!(take().is_none());
        drop(held);
        assert!(take().is_some());
    }

    #[test]
    fn the_work_of_a_dead_machine_is_taken_over_and_one_that_slept_gives_up() {
        let folder = tempfile::tempdir().unwrap();
        // A machine that died: a claim nobody touches.
        std::fs::write(folder.path().join("claim.3"), "process 1 on elsewhere").unwrap();
        let take = || Claim::take(folder.path(), QUICK, &Cancel::new()).unwrap();
        assert!(take().is_none(), "it may still be alive");
        std::thread::sleep(2 * QUICK.expires);
        let ours = take().expect("it is dead");
        assert!(folder.path().join("claim.4").exists());
        assert!(!folder.path().join("claim.3").exists());
        // Somebody thought us dead.
        std::fs::write(folder.path().join("claim.5"), "").unwrap();
        let begun = std::time::Instant::now();
        while !ours.cancel().is_stopped() {
            assert!(begun.elapsed() < Duration::from_secs(20), "never gave up");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_stop_reaches_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let user = Cancel::new();
        let claim = Claim::take(folder.path(), QUICK, &user).unwrap().unwrap();
        assert!(!claim.cancel().is_stopped());
        user.stop();
        let begun = std::time::Instant::now();
        while !claim.cancel().is_stopped() {
            assert!(begun.elapsed() < Duration::from_secs(20), "never stopped");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
