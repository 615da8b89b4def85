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
    /// of each group are shared, for `blocks` blocks of channels in and out; every result is the
    /// same for any such division.
    ///
    /// Enough groups are dealt out evenly. Where they are fewer than threads, both ways to more
    /// tasks cost something: a share of the panels transforms its group's patches once more, and a
    /// smaller group fetches all filters (tens of megabytes in deep layers) for fewer tiles. Of the
    /// divisions that fill all rounds of tasks, the one with the shortest is taken.
    pub(super) fn division(
        &self,
        tile: TileSize,
        blocks: [usize; 2],
        total: usize,
        panels: usize,
        threads: usize,
    ) -> (usize, usize) {
        let least = total.div_ceil(self.group(tile, blocks[0] + blocks[1]));
        if least >= threads {
            return (least.next_multiple_of(threads).min(total), 1);
        }
        let filled = |shares: usize| {
            let rounds = (least * shares).div_ceil(threads);
            (threads * rounds / shares).clamp(least, total.max(least))
        };
        let time = |&(groups, shares): &(usize, usize)| {
            let rounds = (groups * shares).div_ceil(threads);
            let [made, tiles] = [panels.div_ceil(shares), total.div_ceil(groups)];
            rounds * self.task_time(tile, [blocks[0], blocks[1] * made / panels], tiles)
        };
        let divisions = (1..=panels).map(|shares| (filled(shares), shares));
        divisions.min_by_key(time).unwrap_or((least, 1))
    }

    /// Time of a task, in vector operations at each position: its patches are transformed, its
    /// products summed, its outputs transformed.
    fn task_time(&self, tile: TileSize, [inputs, outputs]: [usize; 2], tiles: usize) -> usize {
        /// Operations of the two transforms, loads and stores among them.
        const TRANSFORMS: [usize; 2] = [6, 4];
        /// Tiles of one micro-kernel: filters that stay in the second-level cache are used for free
        /// from there on, others from as many as a group has at least.
        const FEW_TILES: usize = 14;
        let filters = inputs * outputs * LANES * LANES * tile.positions() * size_of::<f32>();
        let hidden = if filters > self.bytes {
            self.tiles.start
        } else {
            FEW_TILES
        };
        let transforms = tiles * (inputs * TRANSFORMS[0] + outputs * TRANSFORMS[1]);
        transforms + inputs * LANES * outputs * tiles.max(hidden)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of `threads` threads that work, against one that does all groups in turn.
    fn busy(blocking: &Blocking, blocks: [usize; 2], total: usize, threads: usize) -> f64 {
        let panels = blocks[1] / 2;
        let time = |threads: usize| {
            let tile = TileSize::Four;
            let (groups, shares) = blocking.division(tile, blocks, total, panels, threads);
            let blocks = [blocks[0], blocks[1] / panels * panels.div_ceil(shares)];
            let each = blocking.task_time(tile, blocks, total.div_ceil(groups));
            (each * (groups * shares).div_ceil(threads)) as f64
        };
        time(1) / (threads as f64 * time(threads))
    }

    /// Bands of a network for 2176 x 2176 pixels: up to 512 tiles at the full resolution, an
    /// eighth, a sixteenth and a thirty-second of it.
    #[test]
    fn many_threads_have_work_in_every_layer_of_a_large_image() {
        let bands = [
            ([4, 4], 544),
            ([32, 32], 476),
            ([64, 16], 510),
            ([32, 32], 289),
        ];
        let blocking = Blocking {
            bytes: 1 << 20,
            tiles: 56..112,
            sources: usize::MAX,
        };
        for (blocks, total) in bands {
            let shares = [8, 16, 32, 64].map(|threads| busy(&blocking, blocks, total, threads));
            // Before, 62 % of 16 threads and down to 25 % of 64.
            let least = [0.55, 0.8, 0.75, 0.6];
            let idle = shares
                .iter()
                .zip(least)
                .any(|(&share, least)| share < least);
            assert!(!idle, "{blocks:?} {total}: {shares:?}");
        }
    }

    #[test]
    fn a_division_has_tiles_in_every_group_and_panels_in_every_share() {
        for isa in Isa::available() {
            for tile in [TileSize::Four, TileSize::Six] {
                let blocking = Blocking::on(isa, tile);
                let sizes = [1, 2, 7, 100, 5000];
                let blocks = [[1, 1], [4, 3], [32, 64]];
                for (total, blocks) in sizes.iter().flat_map(|&n| blocks.map(|b| (n, b))) {
                    for (panels, threads) in [(1, 1), (blocks[1], 2), (1, 64), (blocks[1], 64)] {
                        let (groups, shares) =
                            blocking.division(tile, blocks, total, panels, threads);
                        assert!((1..=total).contains(&groups) && (1..=panels).contains(&shares));
                    }
                }
            }
        }
    }
}
