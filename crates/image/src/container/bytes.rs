//! A file of which pieces are read at places that the file itself states.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::ImageError;

/// An open file; every piece is checked against its length before memory is taken for it.
pub(crate) struct Bytes<'a> {
    pub(crate) path: &'a Path,
    file: File,
    /// Bytes in all.
    pub(crate) length: u64,
}

impl<'a> Bytes<'a> {
    /// # Errors
    /// [`ImageError::Read`].
    pub(crate) fn open(path: &'a Path) -> Result<Self, ImageError> {
        let file = crate::format::open(path)?;
        let facts = file.metadata();
        let length = facts.map_err(|error| ImageError::read(path, error))?.len();
        Ok(Self { path, file, length })
    }

    /// `count` bytes from `offset` on, which are called `what` in messages.
    ///
    /// # Errors
    /// [`ImageError::Broken`] if the file ends before, [`ImageError::Read`].
    pub(crate) fn at(
        &mut self,
        offset: u64,
        count: u64,
        what: &str,
    ) -> Result<Vec<u8>, ImageError> {
        let end = offset.checked_add(count);
        if end.is_none_or(|end| end > self.length) {
            return Err(self.broken(format!(
                "its {what} would take {count} bytes from byte {offset} on, but the file has {} \
                 bytes",
                self.length
            )));
        }
        let mut piece = vec![0; count as usize];
        let read = self.file.seek(SeekFrom::Start(offset));
        let read = read.and_then(|_| self.file.read_exact(&mut piece));
        read.map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.broken(format!("it ends within its {what}")),
            _ => ImageError::read(self.path, error),
        })?;
        Ok(piece)
    }

    pub(crate) fn broken(&self, what: impl Into<String>) -> ImageError {
        ImageError::broken(self.path, what)
    }
}

/// The bytes of `path` that come first, fewer if it is shorter; none if it cannot be read.
pub(crate) fn first_bytes(path: &Path, count: usize) -> Vec<u8> {
    let mut start = Vec::new();
    let file = File::open(path);
    let read = file.and_then(|file| file.take(count as u64).read_to_end(&mut start));
    match read {
        Ok(_) => start,
        Err(_) => Vec::new(),
    }
}
