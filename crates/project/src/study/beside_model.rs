//! Files beside a model's weights that `model.toml` names by their hashes.
//!
//! While a model is replaced, its new files lie beside the old ones under names of their own until
//! the new `model.toml` is there. So a program that is killed in between leaves the old model with
//! its files or the new one with its own, and files of two models are never taken together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stainfree_network::model::{self, Model, sha256};

use crate::ProjectError;
use crate::study::config;

/// Which channels and planes a model reads, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputChannels {
    /// One channel, or three that are the planes.
    pub(crate) brightfield: Vec<String>,
    /// z from 1; empty = all where there are three, else the middle one.
    pub(crate) planes: Vec<usize>,
}

/// A file in a model's folder, and the key of its hash in `model.toml`.
pub(crate) struct Named {
    pub(crate) file: &'static str,
    pub(crate) key: &'static str,
}

/// What the model has met.
pub(crate) const RECORD: Named = Named {
    file: "provenance.json",
    key: "provenance",
};
/// Which channels it was trained on.
pub(crate) const INPUT: Named = Named {
    file: "input.toml",
    key: "input",
};

impl Named {
    /// Writes the file for the model that is about to be saved in `folder`; its key and hash are
    /// for the hashes of that model. Until it is saved and [`settle`] was called, one that is there
    /// keeps its own file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn put(
        &self,
        folder: &Path,
        bytes: &[u8],
    ) -> Result<(String, String), ProjectError> {
        self.settle(folder)?;
        let path = match folder.join(model::INFO).exists() {
            true => self.next(folder),
            false => folder.join(self.file),
        };
        stainfree_image::write_atomic(&path, bytes)?;
        Ok((self.key.to_owned(), sha256(bytes)))
    }

    /// The file of this hash; `None` where there is no file at all.
    ///
    /// # Errors
    /// Only files of another hash are there, or the file cannot be read.
    pub(crate) fn find(&self, folder: &Path, hash: &str) -> Result<Option<Vec<u8>>, ProjectError> {
        let mut others = false;
        for path in [folder.join(self.file), self.next(folder)] {
            match std::fs::read(&path) {
                Ok(bytes) if sha256(&bytes) == hash => return Ok(Some(bytes)),
                Ok(_) => others = true,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(ProjectError::read(&path, &error)),
            }
        }
        if others {
            Err(self.of_another(folder))
        } else {
            Ok(None)
        }
    }

    /// The file in `folder` is not that of the model there.
    pub(crate) fn of_another(&self, folder: &Path) -> ProjectError {
        ProjectError::OtherModels {
            folder: folder.to_owned(),
            file: self.file,
        }
    }

    /// Where the file of a model lies that is not saved yet: `provenance.next.json`.
    fn next(&self, folder: &Path) -> PathBuf {
        let (stem, extension) = self.file.split_once('.').unwrap_or((self.file, ""));
        folder.join(format!("{stem}.next.{extension}"))
    }

    /// Gives the file its name where `model.toml` names it already.
    fn settle(&self, folder: &Path) -> Result<(), ProjectError> {
        let (next, place) = (self.next(folder), folder.join(self.file));
        let Ok(bytes) = std::fs::read(&next) else {
            return Ok(());
        };
        if model::named_hash(folder, self.key) != Some(sha256(&bytes)) {
            return Ok(());
        }
        std::fs::rename(&next, &place).map_err(|error| ProjectError::write(&place, &error))
    }
}

/// Gives all files of the model in `folder` their names, weights included.
///
/// # Errors
/// A file cannot be renamed.
pub(crate) fn settle(folder: &Path) -> Result<(), ProjectError> {
    Model::settle(folder)?;
    [RECORD, INPUT]
        .iter()
        .try_for_each(|file| file.settle(folder))
}

/// The channels that the model in `folder` was trained on; `None` where it does not say.
///
/// # Errors
/// The file is damaged, cannot be read, or is not the one that the model with these `hashes` was
/// written with.
pub(crate) fn input_channels(
    folder: &Path,
    hashes: &BTreeMap<String, String>,
) -> Result<Option<InputChannels>, ProjectError> {
    let path = folder.join(INPUT.file);
    let bytes = match hashes.get(INPUT.key) {
        Some(hash) => match INPUT.find(folder, hash)? {
            None => return Err(INPUT.of_another(folder)),
            found => found,
        },
        // Earlier versions did not name it.
        None => match std::fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(ProjectError::read(&path, &error)),
        },
    };
    let parse = |bytes: Vec<u8>| config::from_toml(&String::from_utf8_lossy(&bytes), &path);
    bytes.map(parse).transpose()
}
