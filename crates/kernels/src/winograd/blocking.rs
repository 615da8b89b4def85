//! How a convolution's work is divided: groups of tiles, shares of the outputs, slices of the
//! inputs.

use super::TileSize;
use crate::blocked::LANES;
use crate::isa::Isa;
use std::ops::Range;

/// What is worked on together, so that it stays in the caches.
pub(super) struct Blocking {
    /// V and M of a group of tiles should fit in this many bytes, the larger part of a second-level
    /// cache ...
    bytes: usize,
    /// ... unless that leaves fewer tiles than the lower bound. The filters stream past every
    /// group: with 56 tiles each of their values is used 56 times, which hides the outer caches'
    /// slowness.
    tiles: Range<usize>,
    /// Blocks of input channels that a panel of filters is read for at a time: it should stay in
    /// the first-level cache while all tiles of the group pass it. Each has a sum of its own, so
    /// results depend on this alone.
    pub(super) sources: usize,
}

impl Blocking {
    /// Processors with AVX-512 have second-level caches of 1 MiB and more, those without it mostly
    /// half of that or less, too small for a useful group: there the filters, which come from
    /// memory in the deep layers, should pass as many tiles as possible (measured on one with 512
    /// KiB, VGG16's network: 84 tiles and slices of 128 channels, which are 8 KiB of filters,
    /// against 42 tiles and whole panels). Tiles of 6x6 need slices for the sake of their error.
    pub(super) fn on(isa: Isa, tile: TileSize) -> Self {
        match isa.name() {
            "avx512" => Self {
                bytes: 1 << 20,
                tiles: 56..112,
                sources: if tile == TileSize::Six { 8 } else { usize::MAX },
            },
            _ => Self {
                bytes: 384 << 10,
                tiles: 84..112,
                sources: 8,
            },
        }
    }

    /// Most tiles of a group, whose V and M have `channel_blocks` blocks of channels together.
    pub(super) fn group(&self, tile: TileSize, channel_blocks: usize) -> usize {
        let tile_bytes = tile.positions() * channel_blocks * LANES * size_of::<f32>();
        (self.bytes / tile_bytes).clamp(self.tiles.start, self.tiles.end)
    }

    /// How many groups `total` tiles are divided into, and among how many tasks the output panels
    /// of each group are shared; every result is the same for any such division.
    ///
    /// Few tiles, as the deepest layers have, are not divided further: each group reads all
    /// filters, which are tens of megabytes there, while a second transform of the same patches
    /// costs little.
    pub(super) fn division(
        &self,
        tile: TileSize,
        channel_blocks: usize,
        total: usize,
        panels: usize,
        threads: usize,
    ) -> (usize, usize) {
        let groups = total.div_ceil(self.group(tile, channel_blocks));
        if groups < threads && panels > 1 {
            return (groups, threads.div_ceil(groups).min(panels));
        }
        (groups.next_multiple_of(threads).min(total), 1)
    }
}

impl TileSize {
    /// The tile that makes a prediction of so many channels fastest.
    ///
    /// On processors with AVX2 alone, where products take two thirds of the time, 6x6 saves about a
    /// tenth of a layer's time from 32 channels on; below, transforms outweigh products. Beyond 512
    /// channels the error of a layer could pass 5e-6. With AVX-512 it was not measured in a whole
    /// network, so the tile stays 4x4 there.
    pub fn fastest(isa: Isa, inputs: usize, outputs: usize) -> Self {
        if isa.name() == "avx2" && (32..=512).contains(&inputs) && outputs >= 32 {
            Self::Six
        } else {
            Self::Four
        }
    }
}
