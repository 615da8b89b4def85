//! The channel-blocked layout `[image][channel / 16][y][x][16]`, and the way in and out of it.

use crate::workers::{Shared, Workers};

/// Channels in a block: the width of the widest vector register in f32.
pub const LANES: usize = 16;

/// Blocks that hold `channels` channels.
pub fn blocks(channels: usize) -> usize {
    channels.div_ceil(LANES)
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

    /// Values in all.
    pub fn len(&self) -> usize {
        self.images * self.blocks() * self.plane()
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
        assert_eq!(to.len(), self.len(), "blocked array has another size");
        let shared = Shared::new(to);
        // A row a task: three input channels are one block, and all threads should have work.
        workers.for_each(self.images * self.blocks() * self.height, |task| {
            let (plane, y) = (task / self.height, task % self.height);
            let (image, block) = (plane / self.blocks(), plane % self.blocks());
            let row = self.width * LANES;
            // SAFETY: every task has a row of its own.
            let to = unsafe { shared.slice(task * row, row) };
            to.fill(0.0);
            let used = LANES.min(self.channels - block * LANES);
            for lane in 0..used {
                let channel = image * self.channels + block * LANES + lane;
                let from = &from[channel * pixels + y * self.width..][..self.width];
                for (lanes, &value) in to.chunks_exact_mut(LANES).zip(from) {
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
        let pixels = self.height * self.width;
        assert_eq!(
            to.len(),
            self.images * self.channels * pixels,
            "planar array has another size"
        );
        assert_eq!(from.len(), self.len(), "blocked array has another size");
        let shared = Shared::new(to);
        workers.for_each(self.images * self.channels, |task| {
            let (image, channel) = (task / self.channels, task % self.channels);
            let plane =
                &from[(image * self.blocks() + channel / LANES) * self.plane()..][..self.plane()];
            // SAFETY: every task has a plane of its own.
            let out = unsafe { shared.slice(task * pixels, pixels) };
            for (value, lanes) in out.iter_mut().zip(plane.chunks_exact(LANES)) {
                *value = lanes[channel % LANES];
            }
        });
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
