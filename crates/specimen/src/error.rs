//! What can go wrong between a plate's description and its files.

use std::path::PathBuf;

/// Errors of the virtual microscope.
#[derive(Debug, thiserror::Error)]
pub enum SpecimenError {
    /// A value of [`crate::PlateSpec`] is outside what can be simulated.
    #[error("`{name}` is `{value}`: {way_out}")]
    Spec {
        /// Name of the setting.
        name: &'static str,
        /// The value that was given.
        value: String,
        /// What would be accepted.
        way_out: &'static str,
    },
    /// The output folder already holds a simulated plate.
    #[error("`{path}` already exists; name another output folder or move it away")]
    Exists {
        /// The folder or file in the way.
        path: PathBuf,
    },
    /// A file or folder could not be written.
    #[error(
        "`{path}` could not be written: {source}; check the folder's rights and the free space"
    )]
    Write {
        /// The file or folder concerned.
        path: PathBuf,
        /// The cause reported by the system.
        source: std::io::Error,
    },
    /// An image or the marker of the plate could not be written.
    #[error(transparent)]
    Image(#[from] stainfree_image::ImageError),
    /// A stop was asked for.
    #[error(
        "stopped as asked after {done} of {total} fields; they are kept in `{unfinished}`, and the \
         same command goes on from there"
    )]
    Cancelled {
        /// Fields that are finished.
        done: usize,
        /// Fields of the plate.
        total: usize,
        /// The folder in which the plate is made.
        unfinished: PathBuf,
    },
}
