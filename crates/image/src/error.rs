//! What can go wrong with images and folders of images, told apart by whose fault it is.

use std::io;
use std::path::{Path, PathBuf};

/// Why an image or a folder of images could not be read, written or understood.
///
/// The variants keep apart a machine that refuses ([`Read`](Self::Read), [`Write`](Self::Write)),
/// a file that is damaged ([`Broken`](Self::Broken)), a file that is sound but beyond this program
/// ([`NotSupported`](Self::NotSupported), [`TooLarge`](Self::TooLarge)), and sound content in the
/// wrong place ([`WrongContent`](Self::WrongContent), [`Misuse`](Self::Misuse)).
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The operating system would not give the file or folder.
    #[error("cannot read `{}`: {source}; {way_out}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
        /// What to do about it.
        way_out: &'static str,
    },
    /// The operating system would not take the file.
    #[error("cannot write `{}`: {source}; {way_out}", path.display())]
    Write {
        /// The file that was to be written.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
        /// What to do about it.
        way_out: &'static str,
    },
    /// The file is damaged: truncated, empty, or at odds with its own format.
    #[error("`{}` is broken: {what}; {way_out}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
        /// What to do about it.
        way_out: String,
    },
    /// The file may be sound, but this program does not read its kind.
    #[error("`{}` is not supported: {what}; {way_out}", path.display())]
    NotSupported {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
        /// What to do about it.
        way_out: String,
    },
    /// The image exceeds a cap that is checked before memory is taken.
    #[error("`{}` is too large: {what}, and the cap is {cap}; {way_out}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The size that was found.
        what: String,
        /// The cap, with its unit.
        cap: String,
        /// What to do about it.
        way_out: &'static str,
    },
    /// A sound image that holds something else than what was asked for, such as labels where class
    /// masks were expected.
    #[error("`{}` does not hold {expected}: {found}; {way_out}", path.display())]
    WrongContent {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        expected: &'static str,
        /// What was found.
        found: String,
        /// What to do about it.
        way_out: String,
    },
    /// No field could be made of what lies at the path.
    #[error("no images found in `{}`: {what}; {way_out}", path.display())]
    NoImages {
        /// The file or folder.
        path: PathBuf,
        /// What was found instead.
        what: String,
        /// What to do about it.
        way_out: String,
    },
    /// What lies at the path can be understood in several ways.
    #[error("`{}` is unclear: {what}; {way_out}", path.display())]
    Unclear {
        /// The folder.
        path: PathBuf,
        /// What can be understood in which ways.
        what: String,
        /// How to say which is meant.
        way_out: String,
    },
    /// Two files are the truth of one field.
    #[error(
        "`{}` and `{}` are both the truth of `{field}`{note}; keep one of them",
        first.display(),
        second.display()
    )]
    TwoTruths {
        /// One file.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
        /// The field.
        field: String,
        /// What else is to be said of the two; empty or with a blank before it.
        note: String,
    },
    /// No truth file belongs to any field.
    #[error(
        "no file of `{}` has the name of a field (a file there: {file}; a field: {field}); truth \
         is matched by name, with or without an ending such as `{endings}`: rename the files, or \
         name another folder",
        path.display()
    )]
    Unpaired {
        /// The folder, or the file.
        path: PathBuf,
        /// One of its files, in backticks.
        file: String,
        /// One of the fields, in backticks.
        field: String,
        /// Endings that are known, between backticks.
        endings: String,
    },
    /// Images were asked for where the program's own output lies.
    #[error(
        "`{}` is {what}, which stainfree wrote and which holds no images of a microscope; \
         {way_out}",
        path.display()
    )]
    OwnOutput {
        /// The file or folder.
        path: PathBuf,
        /// What it is, with its article.
        what: String,
        /// What to do about it.
        way_out: &'static str,
    },
    /// A channel, plane, page or option that does not fit the images.
    #[error("{what}; {way_out}")]
    Misuse {
        /// What was asked for, and what there is.
        what: String,
        /// What to do about it.
        way_out: String,
    },
}

impl ImageError {
    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        let way_out = match source.kind() {
            io::ErrorKind::NotFound => "check the spelling of the path",
            io::ErrorKind::PermissionDenied => "ask for permission to read it",
            _ => "check the disk or network share it lies on",
        };
        Self::Read {
            path: path.to_path_buf(),
            source,
            way_out,
        }
    }

    pub(crate) fn own_output(path: &Path, what: impl Into<String>) -> Self {
        Self::OwnOutput {
            path: path.to_path_buf(),
            what: what.into(),
            way_out: "name the images that it was made from",
        }
    }

    pub(crate) fn write(path: &Path, source: io::Error) -> Self {
        let way_out = match source.kind() {
            io::ErrorKind::NotFound => "create its folder first",
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "choose a folder that may be written to"
            }
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::WriteZero => "free some space on that disk, or write to another one",
            io::ErrorKind::FileTooLarge => {
                "raise the limit on the size of files (`ulimit -f`), or write to another disk"
            }
            io::ErrorKind::IsADirectory => "a folder of that name is in the way; move it",
            io::ErrorKind::NotADirectory => "a file lies where its folder should be; move it",
            _ => "check the disk or network share it lies on",
        };
        Self::Write {
            path: path.to_path_buf(),
            source,
            way_out,
        }
    }

    pub(crate) fn broken(path: &Path, what: impl Into<String>) -> Self {
        Self::Broken {
            path: path.to_path_buf(),
            what: what.into(),
            way_out: "copy or export it again from its source".into(),
        }
    }

    pub(crate) fn not_supported(
        path: &Path,
        what: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Self {
        Self::NotSupported {
            path: path.to_path_buf(),
            what: what.into(),
            way_out: way_out.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_read_only_folder_have_their_own_way_out() {
        let text =
            |kind: io::ErrorKind| ImageError::write(Path::new("a.tif"), kind.into()).to_string();
        let full = text(io::ErrorKind::StorageFull);
        assert!(
            full.ends_with("free some space on that disk, or write to another one"),
            "{full}"
        );
        let closed = text(io::ErrorKind::ReadOnlyFilesystem);
        assert!(
            closed.ends_with("choose a folder that may be written to"),
            "{closed}"
        );
    }
}
