//! A file appears under its name whole, or not at all.

use std::fs::{File, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::ImageError;
use crate::names::folder_of;

/// How often `.NAME.part` is opened, where each time its writer gave it away in between, before a
/// free name is taken.
const ATTEMPTS: usize = 8;

/// Keeps other processes from writing to the file at the same time.
type Lock = fn(&File) -> Result<(), TryLockError>;

/// Whether a file of this name is one that was never finished, left by a program that was killed.
pub fn is_unfinished(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".part")
}

/// Writes `bytes` to `path`, as [`AtomicFile`] does.
///
/// # Errors
/// [`ImageError::Write`] naming `path`: the folder is missing or read-only, the disk is full.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    replace_file(path, bytes).map_err(|error| ImageError::write(path, error))
}

/// [`write_atomic`] for crates with errors of their own.
///
/// # Errors
/// What the operating system said.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut target = Target::open(path)?;
    target.file().write_all(bytes)?;
    target.commit(path)
}

/// A file that is written piece by piece: into a temporary file of the same folder, which takes its
/// name at the end.
///
/// An existing file is replaced; what is no file, such as `/dev/null` or a pipe, is written to
/// instead, since renaming would put a file in its place. Dropped without [`commit`](Self::commit),
/// or after an error, the old file, if any, is still there and the temporary one is gone. A program
/// that is killed leaves its temporary file, `.NAME.part`; whoever writes NAME next uses it up.
pub struct AtomicFile {
    path: PathBuf,
    target: Target,
}

impl AtomicFile {
    /// Opens the temporary file.
    ///
    /// # Errors
    /// [`ImageError::Write`] naming `path`: the folder is missing or read-only.
    pub fn create(path: &Path) -> Result<Self, ImageError> {
        let target = Target::open(path).map_err(|error| ImageError::write(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            target,
        })
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// [`ImageError::Write`]: the disk is full, or a folder bears the name.
    pub fn commit(self) -> Result<(), ImageError> {
        let Self { path, target } = self;
        target
            .commit(&path)
            .map_err(|error| ImageError::write(&path, error))
    }
}

enum Target {
    File(Part),
    Device(File),
}

impl Target {
    fn open(path: &Path) -> io::Result<Self> {
        let device = std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
        if device {
            File::options().write(true).open(path).map(Self::Device)
        } else {
            Part::beside(path, File::try_lock).map(Self::File)
        }
    }

    fn file(&mut self) -> &mut File {
        match self {
            Self::File(part) => &mut part.file,
            Self::Device(device) => device,
        }
    }

    fn commit(self, path: &Path) -> io::Result<()> {
        match self {
            Self::File(part) => part.take_name(path),
            Self::Device(mut device) => device.flush(),
        }
    }
}

/// A temporary file, locked while it is written and deleted unless it takes a name.
struct Part {
    file: File,
    path: PathBuf,
    named: bool,
}

impl Part {
    /// `.NAME.part`, so that what a killed program has left is used up and nothing gathers; where
    /// that is taken, by another process or by something else, a name that is free.
    fn beside(path: &Path, lock: Lock) -> io::Result<Self> {
        let folder = folder_of(path);
        if let Some(name) = path.file_name() {
            let mut own = std::ffi::OsString::from(".");
            own.push(name);
            own.push(".part");
            let own = folder.join(own);
            for _ in 0..ATTEMPTS {
                match Self::locked(&own, lock) {
                    Ok(Some(part)) => return Ok(part),
                    Ok(None) => {}
                    Err(_) => break,
                }
            }
        }
        Self::with_free_name(folder)
    }

    /// The file of this name, empty; `None` if its writer gave it away while it was opened.
    ///
    /// # Errors
    /// Another process is writing it, or it cannot be opened or locked; then nothing new is left.
    fn locked(path: &Path, lock: Lock) -> io::Result<Option<Self>> {
        let made = File::options().write(true).create_new(true).open(path);
        let is_new = made.is_ok();
        let file = match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match File::options().write(true).open(path) {
                    // Its writer gave it away just now.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    opened => opened?,
                }
            }
            made => made?,
        };
        match lock(&file) {
            // Not every file system can lock.
            Err(TryLockError::Error(error)) => {
                if is_new {
                    let _ = std::fs::remove_file(path);
                }
                return Err(error);
            }
            locked => locked?,
        }
        // Between opening and locking it may have become somebody's finished file.
        if !is_at(&file, path) {
            return Ok(None);
        }
        let part = Self {
            file,
            path: path.to_owned(),
            named: false,
        };
        part.file.set_len(0)?;
        Ok(Some(part))
    }

    fn with_free_name(folder: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".stainfree-").suffix(".part");
        // The permissions of an ordinary new file, cut down by the user's umask, instead of those
        // of a private temporary file: results are often shared between accounts.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        // Its own words name the temporary file, which nobody asked for.
        let made = builder.tempfile_in(folder);
        let made = made.map_err(|error| io::Error::from(error.kind()))?;
        let (file, path) = made.keep().map_err(|error| error.error)?;
        Ok(Self {
            file,
            path,
            named: false,
        })
    }

    fn take_name(mut self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, path)?;
        self.named = true;
        sync_folder(folder_of(path));
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.named {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether `path` is the name of this file, and no link to it.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(ours), Ok(named)) = (file.metadata(), path.symlink_metadata()) else {
        return false;
    };
    (ours.dev(), ours.ino()) == (named.dev(), named.ino())
}

/// Elsewhere a file that is open keeps others from being renamed to or from it.
#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|named| named.is_file())
}

/// Makes a new name last through a loss of power: without it a table might survive that vouches for
/// files whose names were lost. Not every file system can; then the name is as safe as it gets.
#[cfg(unix)]
fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) {}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.target.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.target.file().flush()
    }
}

/// A pipe cannot be gone back in, which is an error.
impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.target.file().seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("Zellen & Kerne ä.bin");
        write_atomic(&path, b"old").expect("written");
        write_atomic(&path, b"new").expect("replaced");
        assert_eq!(std::fs::read(&path).expect("readable"), b"new");
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("a folder").count(),
            1
        );
    }

    #[test]
    fn what_a_killed_program_left_is_used_up_and_a_living_writer_is_left_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("f.bin");
        let left = folder.path().join(".f.bin.part");
        let names = || {
            let entries = std::fs::read_dir(folder.path()).expect("a folder");
            entries.filter_map(Result::ok).count()
        };
        std::fs::write(&left, b"half of something longer than the new text").expect("written");
        write_atomic(&path, b"whole").expect("written");
        assert_eq!(std::fs::read(&path).expect("readable"), b"whole");
        assert_eq!(names(), 1);

        let mut first = AtomicFile::create(&path).expect("opened");
        first.write_all(b"first").expect("written");
        write_atomic(&path, b"second").expect("written");
        assert_eq!(std::fs::read(&path).expect("readable"), b"second");
        first.commit().expect("named");
        assert_eq!(std::fs::read(&path).expect("readable"), b"first");
        assert_eq!(names(), 1);

        // Something else of that name, which is not ours to delete.
        std::fs::create_dir(&left).expect("made");
        write_atomic(&path, b"third").expect("written");
        assert_eq!(names(), 2);
        drop(AtomicFile::create(&path).expect("opened"));
        assert_eq!(names(), 2);
    }

    #[test]
    fn where_files_cannot_be_locked_nothing_is_left_beside_the_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("f.bin");
        let names = || {
            let entries = std::fs::read_dir(folder.path()).expect("a folder");
            entries.filter_map(Result::ok).count()
        };
        let no_lock: Lock = |_| Err(TryLockError::Error(io::ErrorKind::Unsupported.into()));
        let mut part = Part::beside(&path, no_lock).expect("a free name");
        part.file.write_all(b"whole").expect("written");
        part.take_name(&path).expect("named");
        assert_eq!(std::fs::read(&path).expect("readable"), b"whole");
        assert_eq!(names(), 1);
        // What lies there already may be another's.
        std::fs::write(folder.path().join(".f.bin.part"), b"half").expect("written");
        drop(Part::beside(&path, no_lock).expect("a free name"));
        assert_eq!(names(), 2);
    }

    #[test]
    fn many_writers_of_one_file_leave_one_whole_text() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("f.bin");
        std::thread::scope(|scope| {
            for number in 0..8u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        write_atomic(path, &[number; 5000]).expect("written");
                    }
                });
            }
        });
        let found = std::fs::read(&path).expect("readable");
        assert_eq!(found.len(), 5000);
        assert!(found.iter().all(|byte| *byte == found[0]));
        let left = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 1);
    }

    #[test]
    fn a_missing_folder_is_said_of_the_file_that_was_wanted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("absent").join("f.bin");
        let text = write_atomic(&path, b"x")
            .expect_err("no folder")
            .to_string();
        assert!(text.contains("f.bin`"), "{text}");
        assert!(!text.contains(".part"), "{text}");
    }

    /// A link to the device: should this fail, the link is lost and not the device.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_written_to_and_stays_a_device() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["null", "full"] {
            symlink(format!("/dev/{name}"), path(name)).expect("a link");
        }
        write_atomic(&path("null"), b"x").expect("taken");
        let text = write_atomic(&path("full"), b"x")
            .expect_err("full")
            .to_string();
        assert!(
            text.ends_with("free some space on that disk, or write to another one"),
            "{text}"
        );
        for name in ["null", "full"] {
            let found = std::fs::metadata(path(name)).expect("there").file_type();
            assert!(found.is_char_device(), "{name}");
        }
    }

    #[test]
    fn a_missing_folder_is_named_with_the_way_out() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("missing").join("a.tif");
        let text = write_atomic(&path, b"x")
            .expect_err("no folder")
            .to_string();
        assert!(
            text.starts_with(&format!("cannot write `{}`", path.display())),
            "{text}"
        );
        assert!(text.ends_with("create its folder first"), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_what_was_written() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write_atomic(&ours, b"x").expect("written");
        std::fs::write(&plain, b"x").expect("written");
        let mode = |path| std::fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
