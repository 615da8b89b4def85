//! How a convolution's work is divided: groups of tiles, shares of the outputs, slices of the inputs.

use super::POSITIONS;
use crate::blocked::LANES;
use crate::isa::Isa;
use std::ops::Range;

/// What is worked on together, so that it stays in the caches; results do not depend on it.
pub(super) struct Blocking {
    /// V and M of a group of tiles should fit in this many bytes, the larger part of a second-level cache ...
    bytes: usize,
    /// ... unless that leaves fewer tiles than the lower bound. The filters stream past every group: with 56
    /// tiles each of their values is used 56 times, which hides the outer caches' slowness.
    tiles: Range<usize>,
    /// Blocks of input channels that a panel of filters is read for at a time: it should stay in the first-level cache
    /// while all tiles of the group pass it.
    pub(super) sources: usize,
}

impl Blocking {
    /// Processors with AVX-512 have second-level caches of 1 MiB and more, those without it mostly half of that or less,
    /// too small for a useful group: there the filters, which come from memory in the deep layers, should pass as many
    /// tiles as possible (measured on one with 512 KiB, VGG16's network: 84 tiles and slices of 128 channels, which are
    /// 8 KiB of filters, against 42 tiles and whole panels).
    pub(super) fn on(isa: Isa) -> Self {
        match isa.name() {
            "avx512" => Self {
                bytes: 1 << 20,
                tiles: 56..112,
                sources: usize::MAX,
            },
            _ => Self {
                bytes: 384 << 10,
                tiles: 84..112,
                sources: 8,
            },
        }
    }

    /// How many groups `total` tiles are divided into, and among how many tasks the output panels of each group
    /// are shared; every result is the same for any division.
    ///
    /// Few tiles, as the deepest layers have, are not divided further: each group reads all filters, which are
    /// tens of megabytes there, while a second transform of the same patches costs little.
    pub(super) fn division(
        &self,
        channel_blocks: usize,
        total: usize,
        panels: usize,
        threads: usize,
    ) -> (usize, usize) {
        let tile_bytes = POSITIONS * channel_blocks * LANES * size_of::<f32>();
        let tiles = (self.bytes / tile_bytes).clamp(self.tiles.start, self.tiles.end);
        let groups = total.div_ceil(tiles);
        if groups < threads && panels > 1 {
            return (groups, threads.div_ceil(groups).min(panels));
        }
        (groups.next_multiple_of(threads).min(total), 1)
    }
}
