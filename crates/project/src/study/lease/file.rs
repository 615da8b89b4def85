//! The files of leases: ours, those of the dead, and what killed programs leave.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::holder::{Holder, State, state_of};

/// Whether a file of this name belongs to a lease, and is none of the folder's contents.
pub(crate) fn is_lease(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// How leases begin.
pub(super) const PREFIX: &str = ".stainfree-lease.";

/// The file of a lease of ours, and what it says.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) holder: Holder,
}

impl File {
    pub(super) fn text(&self) -> String {
        // Names and numbers: turning them into text cannot fail.
        serde_json::to_string(&self.holder).unwrap_or_default() + "\n"
    }

    /// Creates the file and lets `write` fill it; what it leaves half filled is taken away, since
    /// nobody could tell whose it is.
    pub(super) fn write_new(
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
    pub(super) fn touch(&self) -> bool {
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
    pub(super) fn remove(&self) {
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
pub(super) fn remove_of_the_dead(path: &Path) {
    let aside = path.with_extension(format!("{}.part", own_count()));
    if std::fs::rename(path, &aside).is_err() {
        return;
    }
    if !is_of_the_dead(&aside)
        && let Err(error) = std::fs::hard_link(&aside, path)
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        let _ = std::fs::rename(&aside, path);
        return;
    }
    // Where a third has the number by now, the holder of this file finds that out and gives up.
    let _ = std::fs::remove_file(&aside);
}

/// `PROCESS-COUNT`, a name that no other file of ours has.
pub(super) fn own_count() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    format!("{process}-{count}")
}

/// What a lease says; one that cannot be read says nothing, `None` if it is not there.
pub(super) fn read(path: &Path) -> Option<Holder> {
    match std::fs::read(path) {
        Ok(text) => Some(serde_json::from_slice(&text).unwrap_or_default()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(_) => Some(Holder::default()),
    }
}
