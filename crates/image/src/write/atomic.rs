//! A file appears under its name whole, or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::ImageError;

/// Writes `bytes` to `path`, as [`AtomicFile`] does.
///
/// # Errors
/// [`ImageError::Write`] naming `path`: the folder is missing or read-only, the disk is full.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes)
        .map_err(|error| ImageError::write(path, error))?;
    file.commit()
}

/// A file that is written piece by piece: into a temporary file of the same folder, which takes its
/// name at the end.
///
/// An existing file is replaced; what is no file, such as `/dev/null` or a pipe, is written to
/// instead, since renaming would put a file in its place. Dropped without [`commit`](Self::commit),
/// or after an error, the old file, if any, is still there and the temporary one is gone.
pub struct AtomicFile {
    path: PathBuf,
    target: Target,
}

enum Target {
    File(tempfile::NamedTempFile),
    Device(std::fs::File),
}

impl AtomicFile {
    /// Opens the temporary file.
    ///
    /// # Errors
    /// [`ImageError::Write`] naming `path`: the folder is missing or read-only.
    pub fn create(path: &Path) -> Result<Self, ImageError> {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let fail = |error: std::io::Error| ImageError::write(path, error);
        let device = std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
        let target = if device {
            let file = std::fs::File::options().write(true).open(path);
            Target::Device(file.map_err(fail)?)
        } else {
            let mut builder = tempfile::Builder::new();
            builder.prefix(".stainfree-").suffix(".part");
            // The permissions of an ordinary new file, cut down by the user's umask, instead of
            // those of a private temporary file: results are often shared between accounts.
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
            // Its own words name the temporary file, which nobody asked for.
            let in_general = |error: std::io::Error| fail(error.kind().into());
            Target::File(builder.tempfile_in(folder).map_err(in_general)?)
        };
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
        let committed = match target {
            Target::File(file) => file
                .as_file()
                .sync_all()
                .and_then(|()| file.persist(&path).map_err(|error| error.error))
                .map(drop),
            Target::Device(mut device) => device.flush(),
        };
        committed.map_err(|error| ImageError::write(&path, error))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &mut self.target {
            Target::File(file) => file.write(bytes),
            Target::Device(device) => device.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match &mut self.target {
            Target::File(file) => file.flush(),
            Target::Device(device) => device.flush(),
        }
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
