//! A hash of all that a result was made from: the choices, and size and time of every file.

use std::path::PathBuf;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::ProjectError;

/// Collects what a result depends on.
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    /// `format` changes whenever the same inputs would give another result.
    pub(crate) fn new(format: u32) -> Self {
        let mut hash = Sha256::new();
        hash.update(format.to_le_bytes());
        Self(hash)
    }

    /// A part of the config.
    pub(crate) fn value(&mut self, value: &impl Serialize) {
        // Choices are plain data: turning them into text cannot fail.
        self.0
            .update(serde_json::to_string(value).unwrap_or_default());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.0.update(text.len().to_le_bytes());
        self.0.update(text);
    }

    /// Name, size and time of `files`, in the order of their paths, each once; where they lie is no
    /// part of it, since a shared folder has another path on every machine.
    pub(crate) fn files(&mut self, mut files: Vec<PathBuf>) -> Result<(), ProjectError> {
        files.sort();
        files.dedup();
        for path in files {
            let facts =
                std::fs::metadata(&path).map_err(|error| ProjectError::read(&path, &error))?;
            let time = facts
                .modified()
                .ok()
                .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            self.text(&path.file_name().unwrap_or_default().to_string_lossy());
            self.0.update(facts.len().to_le_bytes());
            self.0
                .update(time.map_or(0, |time| time.as_nanos()).to_le_bytes());
        }
        Ok(())
    }

    /// Hexadecimal digits.
    pub(crate) fn finish(self) -> String {
        self.0
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}
