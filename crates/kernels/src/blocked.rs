//! The channel-blocked layout `[image][channel / 16][y][x][16]`, and the way in and out of it.

use crate::workers::{Shared, Workers};
use std::ops::Range;

/// Channels in a block: the width of the widest vector register in f32.
pub const LANES: usize = 16;

/// Blocks that hold `channels` channels.
pub fn blocks(channels: usize) -> usize {
    channels.div_ceil(LANES)
}

/// A channel-blocked array of which only some rows are held at a time, a *line buffer*: row `y`
/// lies at place `y % kept` of every block. With `kept` = height it is a whole array.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// `[image][channel / 16][kept][x][16]`.
    pub data: &'a [f32],
    /// Rows held of every block.
    pub kept: usize,
}

/// [`Rows`] that are written.
pub struct RowsMut<'a> {
    /// `[image][channel / 16][kept][x][16]`.
    pub data: &'a mut [f32],
    /// Rows held of every block.
    pub kept: usize,
}

impl<'a> Rows<'a> {
    /// Row `y` of a plane (a block of an image), where rows have `len` values.
    #[inline(always)]
    pub(crate) fn line(&self, plane: usize, y: usize, len: usize) -> &'a [f32] {
        &self.data[(plane * self.kept + slot(y, self.kept)) * len..][..len]
    }
}

/// Place of row `y` where `kept` rows are held.
#[inline(always)]
pub(crate) fn slot(y: usize, kept: usize) -> usize {
    // A division costs as much as a whole row of a patch. Arrays that are held as a whole need
    // none, and from the place of a first row on only the rows where the array begins again do.
    if y < kept { y } else { y % kept }
}

/// Shape of a channel-blocked array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Images in the batch.
    pub images: usize,
    /// Channels that mean something; the last block is filled up with zeros.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Blocked {
    /// Blocks of 16 channels.
    pub fn blocks(&self) -> usize {
        blocks(self.channels)
    }

    /// Values in one block of one image.
    pub fn plane(&self) -> usize {
        self.height * self.width * LANES
    }

    /// Blocks of all images together.
    pub(crate) fn planes(&self) -> usize {
        self.images * self.blocks()
    }

    /// Values in all.
    pub fn len(&self) -> usize {
        self.images * self.blocks() * self.plane()
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A whole array of this shape as rows.
    pub fn whole<'a>(&self, data: &'a [f32]) -> Rows<'a> {
        Rows {
            data,
            kept: self.height,
        }
    }

    /// A whole array of this shape as rows that are written.
    pub fn whole_mut<'a>(&self, data: &'a mut [f32]) -> RowsMut<'a> {
        RowsMut {
            data,
            kept: self.height,
        }
    }

    /// Fills `to` from `from`, which is `[image][channel][y][x]`.
    ///
    /// # Panics
    /// If a length does not match.
    pub fn pack(&self, workers: &Workers, from: &[f32], to: &mut [f32]) {
        let pixels = self.height * self.width;
        assert_eq!(
            from.len(),
            self.images * self.channels * pixels,
            "planar array has another size"
        );
        let line = |channel: usize, y: usize, to: &mut [f32]| {
            to.copy_from_slice(&from[channel * pixels + y * self.width..][..self.width]);
        };
        self.pack_rows(workers, &line, self.whole_mut(to), 0..self.height);
    }

    /// Fills rows `rows` of `to`, which may hold fewer rows than the array has; `line` writes row
    /// `y` of a channel, counted over all images.
    ///
    /// # Panics
    /// If a length does not match.
    pub fn pack_rows(
        &self,
        workers: &Workers,
        line: &(dyn Fn(usize, usize, &mut [f32]) + Sync),
        to: RowsMut,
        rows: Range<usize>,
    ) {
        self.check_rows(to.data.len(), to.kept, &rows);
        let shared = Shared::new(to.data);
        // A row a task: three input channels are one block, and all threads should have work.
        workers.for_each(self.images * self.blocks() * rows.len(), |task| {
            let (plane, y) = (task / rows.len(), rows.start + task % rows.len());
            let (image, block) = (plane / self.blocks(), plane % self.blocks());
            let row = self.width * LANES;
            // SAFETY: every task has a row of its own.
            let to = unsafe { shared.slice((plane * to.kept + slot(y, to.kept)) * row, row) };
            to.fill(0.0);
            let used = LANES.min(self.channels - block * LANES);
            // Channel by channel: what is read lies together, and the row that is written stays in
            // the cache.
            let mut from = vec![0.0; self.width];
            for lane in 0..used {
                line(image * self.channels + block * LANES + lane, y, &mut from);
                for (lanes, &value) in to.chunks_exact_mut(LANES).zip(&from) {
                    lanes[lane] = value;
                }
            }
        });
    }

    /// Fills `to`, which is `[image][channel][y][x]`, from the blocked `from`.
    ///
    /// # Panics
    /// If a length does not match.
    pub fn unpack(&self, workers: &Workers, from: &[f32], to: &mut [f32]) {
        self.unpack_rows(workers, self.whole(from), to, 0..self.height);
    }

    /// Fills rows `rows` of the whole array `to` from `from`, which may hold fewer rows.
    ///
    /// # Panics
    /// If a length does not match.
    pub fn unpack_rows(&self, workers: &Workers, from: Rows, to: &mut [f32], rows: Range<usize>) {
        let pixels = self.height * self.width;
        assert_eq!(
            to.len(),
            self.images * self.channels * pixels,
            "planar array has another size"
        );
        self.check_rows(from.data.len(), from.kept, &rows);
        let shared = Shared::new(to);
        workers.for_each(self.images * self.channels * rows.len(), |task| {
            let (plane, y) = (task / rows.len(), rows.start + task % rows.len());
            let (image, channel) = (plane / self.channels, plane % self.channels);
            let block = image * self.blocks() + channel / LANES;
            let row = self.width * LANES;
            let from = &from.data[(block * from.kept + slot(y, from.kept)) * row..][..row];
            // SAFETY: every task has a row of its own.
            let out = unsafe { shared.slice(plane * pixels + y * self.width, self.width) };
            for (value, lanes) in out.iter_mut().zip(from.chunks_exact(LANES)) {
                *value = lanes[channel % LANES];
            }
        });
    }

    /// Panics unless an array of `len` values holds `kept` rows, and `rows` fit among them.
    #[track_caller]
    pub(crate) fn check_rows(&self, len: usize, kept: usize, rows: &Range<usize>) {
        assert_eq!(
            len,
            self.images * self.blocks() * kept * self.width * LANES,
            "blocked array has another size"
        );
        assert!(
            rows.len() <= kept && rows.end <= self.height,
            "rows that are not held"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_fills_up_with_zeros_and_comes_back() {
        for channels in [1, 3, 16, 17, 33] {
            let shape = Blocked {
                images: 2,
                channels,
                height: 3,
                width: 5,
            };
            let planar: Vec<f32> = (0..2 * channels * 15).map(|i| i as f32 + 1.0).collect();
            let mut blocked = vec![f32::NAN; shape.len()];
            let workers = Workers::new(2);
            shape.pack(&workers, &planar, &mut blocked);
            assert_eq!(
                blocked.iter().filter(|&&x| x == 0.0).count(),
                shape.len() - planar.len()
            );
            let mut back = vec![f32::NAN; planar.len()];
            shape.unpack(&workers, &blocked, &mut back);
            assert_eq!(back, planar, "{channels} channels");
        }
    }
}
