//! What can go wrong, each in one sentence; the server adds the status.

use std::io;
use std::path::PathBuf;

use stainfree_image::ImageError;
use stainfree_project::ProjectError;

/// Why something cannot be shown or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// An image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A study cannot be read or written.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// There is no such field, layer, tile or object.
    #[error("{0}")]
    Absent(String),
    /// What was asked makes no sense.
    #[error("{0}")]
    Misuse(String),
    /// Nothing may be changed here.
    #[error("{0}")]
    ReadOnly(String),
    /// Somebody else changed the same place since.
    #[error("{0}")]
    Conflict(String),
    /// A log of edits is not what this program wrote.
    #[error("`{}`, line {line}: {what}", path.display())]
    Log {
        /// The log.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong, and the way out.
        what: String,
    },
    /// A file of the edits cannot be read or written.
    #[error("`{}`: {error}; free space or rights are what is usually missing", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The server cannot begin or go on.
    #[error("{0}")]
    Server(String),
}

impl ViewError {
    /// A file that cannot be read or written.
    pub(crate) fn file(path: impl Into<PathBuf>, error: io::Error) -> Self {
        Self::File {
            path: path.into(),
            error,
        }
    }
}
