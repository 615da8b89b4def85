//! `log.jsonl`: a line for every step and every validation.

use super::TrainError;
use serde_json::Value;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The log of a training.
pub(super) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// The log at `path`, cut after `length` bytes, and how many it has.
    pub(super) fn open(path: &Path, length: u64) -> Result<(Self, u64), TrainError> {
        let (file, length) = open(path, length).map_err(|error| TrainError::File {
            path: path.into(),
            error,
        })?;
        let path = path.into();
        Ok((Self { path, file }, length))
    }

    /// Adds a line, and says how many bytes it takes.
    pub(super) fn write(&mut self, line: &Value) -> Result<u64, TrainError> {
        let text = format!("{line}\n");
        self.file
            .write_all(text.as_bytes())
            .map_err(|error| TrainError::File {
                path: self.path.clone(),
                error,
            })?;
        Ok(text.len() as u64)
    }
}

fn open(path: &Path, length: u64) -> std::io::Result<(File, u64)> {
    let mut log = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    // A log that lost its end is not filled up with zeros.
    let length = length.min(log.metadata()?.len());
    log.set_len(length)?;
    log.seek(SeekFrom::End(0))?;
    Ok((log, length))
}

/// Three decimals, for numbers that are only looked at.
pub(super) fn round(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}
