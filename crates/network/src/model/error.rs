//! Why a model folder cannot be used.

use super::FORMAT;
use crate::parameters::ParameterError;
use std::path::PathBuf;

/// A model folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Not a model folder.
    #[error(
        "`{folder}` is no model folder: it has no `model.toml`; name a folder such as \
         `study/models/model`"
    )]
    NoModel {
        /// The folder.
        folder: PathBuf,
    },
    /// Reading failed.
    #[error("`{path}` cannot be read: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Writing failed.
    #[error("`{path}` cannot be written: {error}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Written by a newer program.
    #[error(
        "`{path}` has format `{format}`, this program reads format {FORMAT}; use a newer version"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: i64,
    },
    /// `model.toml` is damaged.
    #[error("`{path}` cannot be used: {what}")]
    Info {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A network that cannot be built.
    #[error("`{path}`: {what}")]
    Network {
        /// The file that names it.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// The stored network has something that this version cannot compute.
    #[error(
        "`{path}` cannot be computed as it was trained: {what}; use `{program}`, which wrote it, \
         or train again"
    )]
    Graph {
        /// The file that holds the graph.
        path: PathBuf,
        /// What that is.
        what: String,
        /// The program that wrote it.
        program: String,
    },
    /// The weights file is damaged.
    #[error("`{path}` cannot be used: {what}")]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A tensor does not fit the network.
    #[error("`{path}` does not fit its `model.toml`: {error}")]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        error: ParameterError,
    },
    /// The weights are not those `model.toml` was written with.
    #[error(
        "`{path}` is not the file its `model.toml` was written with (other digest); copy the whole \
         model folder again"
    )]
    Mismatch {
        /// The file.
        path: PathBuf,
    },
}
