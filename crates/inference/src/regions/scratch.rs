//! Numbers that wait in a file until their rows are whole.
//!
//! A row of parts of a wide image is larger than memory allows where a part is high enough that
//! little is computed twice. Parts are written as they come, and read back by rows.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use stainfree_image::Image;

use crate::InferenceError;

/// A file without a name in a folder, which is gone when it is closed.
pub(super) struct Scratch {
    folder: PathBuf,
    file: File,
    bytes: Vec<u8>,
}

/// Where the planes of one part lie in a [`Scratch`].
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Columns of the image.
    pub(super) columns: Range<usize>,
    height: usize,
    start: u64,
}

impl Scratch {
    /// # Errors
    /// [`InferenceError::Scratch`] where no file can be made in `folder`.
    pub(super) fn new(folder: &Path) -> Result<Self, InferenceError> {
        let file = tempfile::tempfile_in(folder).map_err(|source| failed(folder, source))?;
        Ok(Self {
            folder: folder.to_owned(),
            file,
            bytes: Vec::new(),
        })
    }

    /// Keeps classes and planes of a part at `start`; gives where they lie and where the next may
    /// begin.
    ///
    /// # Errors
    /// [`InferenceError::Scratch`], as where the disk is full.
    pub(super) fn put<'p>(
        &mut self,
        start: u64,
        columns: Range<usize>,
        classes: &Image<u8>,
        planes: impl Iterator<Item = &'p Image<f32>>,
    ) -> Result<(Block, u64), InferenceError> {
        let mut end = start;
        let mut keep = |file: &mut File, bytes: &[u8]| {
            end += bytes.len() as u64;
            file.write_all(bytes)
        };
        let file = &mut self.file;
        let mut written = file.seek(SeekFrom::Start(start)).map(drop);
        written = written.and_then(|()| keep(file, classes.data()));
        for plane in planes {
            self.bytes.clear();
            let numbers = plane.data().iter();
            self.bytes.extend(numbers.flat_map(|v| v.to_ne_bytes()));
            written = written.and_then(|()| keep(file, &self.bytes));
        }
        written.map_err(|source| failed(&self.folder, source))?;
        let height = classes.height();
        Ok((
            Block {
                columns,
                height,
                start,
            },
            end,
        ))
    }

    /// Puts rows of a part's classes into their columns.
    ///
    /// # Errors
    /// [`InferenceError::Scratch`].
    pub(super) fn classes(
        &mut self,
        block: &Block,
        rows: Range<usize>,
        to: &mut Image<u8>,
    ) -> Result<(), InferenceError> {
        let width = block.columns.len();
        let at = block.start + (rows.start * width) as u64;
        self.load(at, rows.len() * width)?;
        for (y, row) in self.bytes.chunks_exact(width).enumerate() {
            to.row_mut(y)[block.columns.clone()].copy_from_slice(row);
        }
        Ok(())
    }

    /// The same of the plane with that number.
    ///
    /// # Errors
    /// [`InferenceError::Scratch`].
    pub(super) fn plane(
        &mut self,
        block: &Block,
        plane: usize,
        rows: Range<usize>,
        to: &mut Image<f32>,
    ) -> Result<(), InferenceError> {
        let width = block.columns.len();
        let numbers = block.height * width * plane + rows.start * width;
        let at = block.start + (block.height * width + 4 * numbers) as u64;
        self.load(at, 4 * rows.len() * width)?;
        for (y, row) in self.bytes.chunks_exact(4 * width).enumerate() {
            put_numbers(row, &mut to.row_mut(y)[block.columns.clone()]);
        }
        Ok(())
    }

    /// Keeps numbers from the byte `at` on.
    ///
    /// # Errors
    /// [`InferenceError::Scratch`].
    pub(super) fn write(&mut self, at: u64, numbers: &[f32]) -> Result<(), InferenceError> {
        self.bytes.clear();
        let bytes = numbers.iter().flat_map(|v| v.to_ne_bytes());
        self.bytes.extend(bytes);
        let found = self.file.seek(SeekFrom::Start(at));
        found
            .and_then(|_| self.file.write_all(&self.bytes))
            .map_err(|source| failed(&self.folder, source))
    }

    /// The numbers from the byte `at` on.
    ///
    /// # Errors
    /// [`InferenceError::Scratch`].
    pub(super) fn read(&mut self, at: u64, numbers: &mut [f32]) -> Result<(), InferenceError> {
        self.load(at, 4 * numbers.len())?;
        put_numbers(&self.bytes, numbers);
        Ok(())
    }

    fn load(&mut self, at: u64, count: usize) -> Result<(), InferenceError> {
        self.bytes.resize(count, 0);
        let found = self.file.seek(SeekFrom::Start(at));
        found
            .and_then(|_| self.file.read_exact(&mut self.bytes))
            .map_err(|source| failed(&self.folder, source))
    }
}

fn put_numbers(bytes: &[u8], to: &mut [f32]) {
    let (numbers, _) = bytes.as_chunks();
    for (to, number) in to.iter_mut().zip(numbers) {
        *to = f32::from_ne_bytes(*number);
    }
}

fn failed(folder: &Path, source: std::io::Error) -> InferenceError {
    InferenceError::Scratch {
        folder: folder.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_by_rows_in_their_columns() {
        let folder = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(folder.path()).unwrap();
        let number = |part: usize, plane: usize, y: usize, x: usize| {
            (((part * 7 + plane) * 5 + y) * 11 + x) as f32 - 0.5
        };
        let widths = [3, 2];
        let mut blocks = Vec::new();
        let (mut start, mut left) = (0, 0);
        for (part, width) in widths.into_iter().enumerate() {
            let classes = Image::from_fn(5, width, |y, x| (part * 100 + y * 10 + x) as u8);
            let planes: Vec<_> = (0..2)
                .map(|plane| Image::from_fn(5, width, |y, x| number(part, plane, y, x)))
                .collect();
            let columns = left..left + width;
            let (block, next) = scratch
                .put(start, columns, &classes, planes.iter())
                .unwrap();
            assert_eq!(next - start, (5 * width * (1 + 2 * 4)) as u64);
            (start, left) = (next, left + width);
            blocks.push(block);
        }
        let mut classes = Image::filled(2, 5, 0);
        let mut plane = Image::filled(2, 5, 0.0);
        for block in &blocks {
            scratch.classes(block, 3..5, &mut classes).unwrap();
            scratch.plane(block, 1, 3..5, &mut plane).unwrap();
        }
        assert_eq!(classes.row(0), [30, 31, 32, 130, 131]);
        assert_eq!(classes.row(1), [40, 41, 42, 140, 141]);
        let expected = [0, 1, 2].map(|x| number(0, 1, 4, x));
        assert_eq!(plane.row(1)[..3], expected);
        assert_eq!(plane.row(0)[3..], [0, 1].map(|x| number(1, 1, 3, x)));
        // Nothing is left in the folder.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_cannot_hold_it_is_named() {
        let error = Scratch::new(Path::new("no/such/folder")).err().unwrap();
        let said = error.to_string();
        assert!(said.contains("`no/such/folder`"), "{said}");
    }
}
