//! The log of a field: lines of JSON that are only added.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::operation::Operation;
use crate::ViewError;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Line {
    /// From here on edits are of the labels in this file.
    Base {
        /// Name of the file beside the log.
        file: String,
        /// Where they came from.
        from: String,
        /// What they are recognised by (`content_of_labels`).
        labels: String,
        who: String,
        /// UTC.
        when: String,
    },
    /// An edit.
    Edit(Edit),
}

/// What was done, by whom, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Edit {
    /// Given by the page; the same again is not done twice.
    pub(super) id: String,
    pub(super) who: String,
    /// UTC.
    pub(super) when: String,
    /// The model whose predictions were shown beside.
    pub(super) model: Option<String>,
    pub(super) edit: Operation,
    /// Pixels that it changed, by which a replay is checked.
    pub(super) changed: usize,
}

/// The log as far as it was read.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    /// Bytes of the whole lines that were read.
    bytes: u64,
    lines: u64,
}

impl Log {
    /// The log at `path`, of which nothing was read yet; it need not exist.
    pub(super) fn at(path: PathBuf) -> Self {
        Self {
            path,
            bytes: 0,
            lines: 0,
        }
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Lines that were read or written.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// The lines that were added since. One that does not end yet is not among them: it is being
    /// written, or was by a program that was killed, and was answered to nobody.
    ///
    /// # Errors
    /// The log cannot be read, is shorter than it was, or a line is none of ours.
    pub(super) fn tail(&mut self) -> Result<Vec<Line>, ViewError> {
        let failed = |error| ViewError::file(&self.path, error);
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.bytes == 0 => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(failed(error)),
        };
        let length = file.metadata().map_err(failed)?.len();
        if length < self.bytes {
            return Err(self.wrong("the log is shorter than it was; start the viewer again"));
        }
        file.seek(SeekFrom::Start(self.bytes)).map_err(failed)?;
        let mut added = Vec::new();
        file.read_to_end(&mut added).map_err(failed)?;
        let whole = added.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let mut lines = Vec::new();
        for line in added[..whole].split_inclusive(|b| *b == b'\n') {
            self.lines += 1;
            self.bytes += line.len() as u64;
            let line = serde_json::from_slice(line).map_err(|error| {
                self.wrong(&format!(
                    "it is no line of a log of edits ({error}); take it away to go on without it"
                ))
            })?;
            lines.push(line);
        }
        Ok(lines)
    }

    fn wrong(&self, what: &str) -> ViewError {
        ViewError::Log {
            path: self.path.clone(),
            line: self.lines as usize,
            what: what.to_owned(),
        }
    }

    /// Adds a line and waits until it is on the disk. Whoever calls holds the lock, and has read
    /// all lines that are there; half a line that a killed program left is cut off.
    ///
    /// # Errors
    /// It cannot be written; then the log is as it was.
    pub(super) fn append(&mut self, line: &Line) -> Result<(), ViewError> {
        let failed = |error| ViewError::file(&self.path, error);
        // Texts, numbers that are finite (`Operation::check`): this cannot fail.
        let mut text = serde_json::to_vec(line).map_err(|e| failed(e.into()))?;
        text.push(b'\n');
        let is_new = !self.path.exists();
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&self.path)
            .map_err(failed)?;
        let write = |file: &mut File| {
            file.set_len(self.bytes)?;
            file.seek(SeekFrom::End(0))?;
            file.write_all(&text)?;
            file.sync_data()
        };
        if let Err(error) = write(&mut file) {
            let _ = file.set_len(self.bytes);
            return Err(failed(error));
        }
        if is_new && let Some(folder) = self.path.parent() {
            // Not every file system can; then the name is as safe as it gets.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        self.bytes += text.len() as u64;
        self.lines += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: u32) -> Line {
        Line::Edit(Edit {
            id: n.to_string(),
            who: "ü \"x\"\n".to_owned(),
            when: String::new(),
            model: None,
            edit: Operation::Accept { label: n },
            changed: 0,
        })
    }

    #[test]
    fn half_a_line_is_not_read_and_goes_with_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut log = Log::at(path.clone());
        assert_eq!(log.tail().unwrap(), []);
        log.append(&line(1)).unwrap();
        let mut other = Log::at(path.clone());
        assert_eq!(other.tail().unwrap(), [line(1)]);
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend_from_slice(b"{\"kind\":\"edit\",\"id\":\"lo");
        std::fs::write(&path, torn).unwrap();
        assert_eq!(other.tail().unwrap(), []);
        other.append(&line(2)).unwrap();
        assert_eq!(log.tail().unwrap(), [line(2)]);
        assert_eq!((log.lines(), other.lines()), (2, 2));
        assert_eq!(Log::at(path.clone()).tail().unwrap(), [line(1), line(2)]);
        std::fs::write(&path, "{}\n").unwrap();
        let error = Log::at(path.clone()).tail().unwrap_err().to_string();
        assert!(error.contains("line 1: it is no line of a log"), "{error}");
        assert!(log.tail().unwrap_err().to_string().contains("shorter"));
    }
}
