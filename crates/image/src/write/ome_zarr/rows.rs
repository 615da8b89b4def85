//! The chunks of one plane at all levels, of rows that come one after the other.

use std::io;
use std::path::{Path, PathBuf};

use super::metadata::Axes;
use super::{LEVEL, chunk, levels, wider};
use crate::write::ome_tiff::Sample;
use crate::write::{PlaneOf, Shrink};

/// Writes the chunks of a plane: a row of them as soon as it is full, at every level, so that of a
/// plane only these rows are in memory.
pub(super) struct PlaneRows<T> {
    /// The group's folder.
    folder: PathBuf,
    axes: Axes,
    place: PlaneOf,
    how: Shrink,
    levels: Vec<Level<T>>,
    packer: zstd::bulk::Compressor<'static>,
    /// The least and the greatest finite value.
    range: Option<[f64; 2]>,
}

/// One level while it is written.
struct Level<T> {
    size: (usize, usize),
    chunk: (usize, usize),
    /// Rows that do not fill a row of chunks yet.
    rows: Vec<T>,
    /// Rows that were given.
    given: usize,
    /// The first of two rows that make one of the next level.
    first: Vec<T>,
}

impl<T: Sample + Into<f64>> PlaneRows<T> {
    /// Of the plane at `place` with so many rows and columns, in the group `folder`.
    pub(super) fn new(
        folder: &Path,
        axes: Axes,
        place: PlaneOf,
        size: (usize, usize),
        how: Shrink,
    ) -> io::Result<Self> {
        let level = |of: (usize, usize)| Level {
            size: of,
            chunk: chunk(of, size.1),
            rows: Vec::new(),
            given: 0,
            first: Vec::new(),
        };
        Ok(Self {
            folder: folder.to_owned(),
            axes,
            place,
            how,
            levels: levels(size).into_iter().map(level).collect(),
            packer: zstd::bulk::Compressor::new(LEVEL)?,
            range: None,
        })
    }

    /// Takes the next row.
    pub(super) fn push(&mut self, row: &[T]) -> io::Result<()> {
        let numbers = row.iter().map(|&value| value.into());
        let numbers = numbers.filter(|value: &f64| value.is_finite());
        self.range = numbers.fold(self.range, |range, value| {
            wider(range, Some([value, value]))
        });
        self.put(0, row)
    }

    /// The range of the values, once all rows were given.
    pub(super) fn range(&self) -> Option<[f64; 2]> {
        debug_assert!(self.levels.iter().all(|level| level.given == level.size.0));
        self.range
    }

    fn put(&mut self, number: usize, row: &[T]) -> io::Result<()> {
        let Some(level) = self.levels.get_mut(number) else {
            return Ok(());
        };
        level.rows.extend_from_slice(row);
        level.given += 1;
        let (is_last, is_first_of_two) = (level.given == level.size.0, level.given % 2 == 1);
        if is_last || level.rows.len() == level.chunk.0 * level.size.1 {
            self.put_chunks(number)?;
        }
        let level = &mut self.levels[number];
        if is_first_of_two && !is_last {
            level.first.clear();
            level.first.extend_from_slice(row);
            return Ok(());
        }
        // At a rim of odd length the last row stands for both.
        let first = match is_first_of_two {
            true => row,
            false => &level.first[..],
        };
        let half = half(first, row, self.how);
        self.put(number + 1, &half)
    }

    /// Writes a row of chunks. Those at the rim are as large as all others; what lies beyond the
    /// plane is zeros.
    fn put_chunks(&mut self, number: usize) -> io::Result<()> {
        let level = &mut self.levels[number];
        let (rows, width) = (std::mem::take(&mut level.rows), level.size.1);
        let row = (level.given - 1) / level.chunk.0;
        let PlaneOf { z, channel, time } = self.place;
        let at = self.axes.of_five([time, channel, z, row, 0]);
        let (_, at) = at.split_last().unwrap_or((&0, &[]));
        let folder = self.folder.join(number.to_string()).join("c");
        let folder = at.iter().fold(folder, |path, at| path.join(at.to_string()));
        std::fs::create_dir_all(&folder)?;
        let (high, wide) = level.chunk;
        for (column, x) in (0..width).step_by(wide).enumerate() {
            let mut bytes = Vec::with_capacity(high * wide * T::TYPE.bytes());
            let columns = x..(x + wide).min(width);
            for row in rows.chunks_exact(width) {
                let values = row[columns.clone()].iter();
                values.for_each(|value| value.put(&mut bytes));
                for _ in columns.len()..wide {
                    T::default().put(&mut bytes);
                }
            }
            bytes.resize(high * wide * T::TYPE.bytes(), 0);
            let packed = self.packer.compress(&bytes)?;
            std::fs::write(folder.join(column.to_string()), packed)?;
        }
        Ok(())
    }
}

/// A row of half the length, rounded up, of two rows.
fn half<T: Sample>(first: &[T], second: &[T], how: Shrink) -> Vec<T> {
    let last = first.len() - 1;
    let pixel = |x: usize| match how {
        Shrink::Nearest => first[x],
        // At a rim of odd length pixels count twice, which leaves their mean as it is.
        Shrink::Mean => {
            let beside = (x + 1).min(last);
            T::mean([first[x], first[beside], second[x], second[beside]])
        }
    };
    (0..first.len()).step_by(2).map(pixel).collect()
}
