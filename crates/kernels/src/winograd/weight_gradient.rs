//! The gradient of the filters: products of transformed patches and transformed output gradients.

use super::conv::{Winograd, position_stride};
use super::patch::{Edge, PatchPlace, SourceBlock, source_blocks};
use super::transform::four;
use super::{LARGEST_PATCH, TileSize};
use crate::blocked::{LANES, blocks};
use crate::buffer::Buffer;
use crate::simd::{Lanes, Simd, SimdKernel};
use crate::workers::{Shared, Workers};
use std::ops::Range;

/// Memory that weight gradients reuse from layer to layer and step to step.
#[derive(Default)]
pub struct GradientScratch {
    v: Buffer,
    z: Buffer,
    products: Buffer,
}

/// Sums over many tiles are made with tiles of 4x4 alone, which are as exact as a direct sum.
const TILE: usize = 4;
/// Side of their patches, and positions of these.
const PATCH: usize = 6;
const POSITIONS: usize = PATCH * PATCH;

/// Tiles in one pass over the products: at least so many that adding them to memory is paid for by
/// the arithmetic, at most so many that a position of Z for two output blocks stays in the
/// first-level cache.
const CHUNK_TILES: Range<usize> = 256..512;
/// Size of V and Z that decides between the two.
const CHUNK_BYTES: usize = 6 << 20;
/// Tiles one task transforms at a time.
const TASK_TILES: usize = 64;

impl Winograd {
    /// Gradient of the blocked filters (see [`super::FilterBank`]) from the inputs and `d_out`.
    ///
    /// Tiles are summed chunk by chunk; chunks depend on the shape alone.
    ///
    /// # Panics
    /// If an array does not have the size the shape says.
    pub fn weight_gradient(
        &self,
        workers: &Workers,
        inputs: &[&[f32]],
        d_out: &[f32],
        d_filters: &mut [f32],
        scratch: &mut GradientScratch,
    ) {
        let inputs = self.whole(inputs);
        self.check_inputs(&inputs);
        assert_eq!(
            d_out.len(),
            self.output_len(),
            "output gradient has another size"
        );
        let k_blocks = blocks(self.outputs);
        let sources = source_blocks(&self.parts, &inputs);
        let bank = self.filters();
        let len = POSITIONS * bank.padded_inputs() * bank.padded_outputs();
        scratch.products.reserve(len);
        let products = &mut scratch.products[..len];

        let grid = self.grid(TileSize::Four);
        let total = self.images * grid.rows * grid.columns;
        let tile_bytes = POSITIONS * (sources.len() + k_blocks) * LANES * size_of::<f32>();
        let chunks =
            total.div_ceil((CHUNK_BYTES / tile_bytes).clamp(CHUNK_TILES.start, CHUNK_TILES.end));
        // Chunk by chunk: transforms of whole images, 36 values for 16, would leave every cache.
        for chunk in 0..chunks {
            let tiles = chunk * total / chunks..(chunk + 1) * total / chunks;
            // bf16 factors are kept in pairs of tiles, since it is tiles that are summed over.
            let tiles_each = 16 / self.isa.factor_words();
            let n = tiles.len().div_ceil(tiles_each);
            let v_stride = position_stride(sources.len() * n, LANES);
            let z_stride = position_stride(k_blocks * n, LANES);
            scratch.v.reserve(POSITIONS * v_stride);
            scratch.z.reserve(POSITIONS * z_stride);
            let (v, z) = (Shared::new(&mut scratch.v), Shared::new(&mut scratch.z));
            let runs = n.div_ceil(TASK_TILES / tiles_each);
            workers.for_each((sources.len() + k_blocks) * runs, |task| {
                let (block, run) = (task / runs, task % runs);
                let part = run * n / runs..(run + 1) * n / runs;
                match sources.get(block) {
                    Some(source) => self.isa.run(Transform {
                        tiles: InputTiles { conv: self, source },
                        chunk: &tiles,
                        part,
                        first: block * n * LANES,
                        stride: v_stride,
                        to: v,
                    }),
                    None => {
                        let block = block - sources.len();
                        self.isa.run(Transform {
                            tiles: OutputTiles {
                                conv: self,
                                block,
                                d_out,
                            },
                            chunk: &tiles,
                            part,
                            first: block * n * LANES,
                            stride: z_stride,
                            to: z,
                        });
                    }
                }
            });
            // Tasks divide positions and channels, never tiles: no sum has to be put together.
            let shared = Shared::new(products);
            workers.for_each(POSITIONS * sources.len(), |task| {
                let (position, c_block) = (task / sources.len(), task % sources.len());
                let (v, z) = (&*scratch.v, &*scratch.z);
                self.isa.run(AddProducts {
                    v: &v[position * v_stride + c_block * n * LANES..][..n * LANES],
                    z: &z[position * z_stride..][..k_blocks * n * LANES],
                    first: chunk == 0,
                    n,
                    k_blocks,
                    // SAFETY: 16 rows of one position belong to one task.
                    to: unsafe {
                        shared.slice(task * LANES * k_blocks * LANES, LANES * k_blocks * LANES)
                    },
                });
            });
        }
        bank.gradient(workers, products, d_filters);
    }
}

/// What is transformed tile by tile.
trait Tiles {
    /// Where a tile lies.
    type Place;
    /// The place of tile `index`.
    fn place(&self, index: usize) -> Self::Place;
    /// The 36 values of the tile at `place`, a vector of the channels from `lane` on each.
    fn transformed<S: Lanes>(
        &self,
        s: S,
        place: &Self::Place,
        lane: usize,
    ) -> [[S::V; PATCH]; PATCH];
}

/// Input patches of one block of channels.
struct InputTiles<'a> {
    conv: &'a Winograd,
    source: &'a SourceBlock<'a>,
}

impl Tiles for InputTiles<'_> {
    type Place = PatchPlace<PATCH>;

    #[inline(always)]
    fn place(&self, index: usize) -> PatchPlace<PATCH> {
        let size = [self.conv.height, self.conv.width];
        PatchPlace::new(
            self.source,
            size,
            self.conv.grid(TileSize::Four).place(index),
        )
    }

    #[inline(always)]
    fn transformed<S: Lanes>(
        &self,
        s: S,
        place: &PatchPlace<PATCH>,
        lane: usize,
    ) -> [[S::V; PATCH]; PATCH] {
        let mut edge: Edge = [0.0; LARGEST_PATCH * LARGEST_PATCH * LANES];
        let patch = place.patch(self.source, self.conv.width, &mut edge);
        // SAFETY: the patch lies in its plane or in `edge`.
        unsafe { four::patch(s, &patch, lane) }
    }
}

/// Tiles of the output gradient of one block of channels.
struct OutputTiles<'a> {
    conv: &'a Winograd,
    block: usize,
    d_out: &'a [f32],
}

impl Tiles for OutputTiles<'_> {
    type Place = [usize; 3];

    #[inline(always)]
    fn place(&self, index: usize) -> [usize; 3] {
        self.conv.grid(TileSize::Four).place(index)
    }

    #[inline(always)]
    fn transformed<S: Lanes>(
        &self,
        s: S,
        &[image, y0, x0]: &[usize; 3],
        lane: usize,
    ) -> [[S::V; PATCH]; PATCH] {
        let (height, width) = (self.conv.height, self.conv.width);
        let plane = (image * blocks(self.conv.outputs) + self.block) * height * width * LANES;
        let mut y = [[s.zero(); TILE]; TILE];
        for dy in 0..TILE.min(height - y0) {
            for dx in 0..TILE.min(width - x0) {
                let at = (y0 + dy) * width + x0 + dx;
                // SAFETY: a pixel of the image; the size of `d_out` was checked.
                y[dy][dx] = unsafe { s.load(self.d_out.as_ptr().add(plane + at * LANES + lane)) };
            }
        }
        four::tile(s, y)
    }
}

/// Transforms a part of a chunk, tile by tile, or pair by pair where factors are bf16.
struct Transform<'a, T> {
    tiles: T,
    /// The chunk.
    chunk: &'a Range<usize>,
    /// The tiles (pairs) of the chunk to be done.
    part: Range<usize>,
    /// Where the block's values begin, and how far positions are apart.
    first: usize,
    stride: usize,
    to: Shared<'a>,
}

impl<T: Tiles> SimdKernel for Transform<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let r = s.register();
        for i in self.part {
            let to = self.to.at(self.first + i * LANES);
            if s.factor_words() == LANES {
                let place = self.tiles.place(self.chunk.start + i);
                for lane in (0..LANES).step_by(S::Register::WIDTH) {
                    let values = self.tiles.transformed(r, &place, lane);
                    for y in 0..PATCH {
                        for x in 0..PATCH {
                            let at = (y * PATCH + x) * self.stride + lane;
                            // SAFETY: there is a place for every (block, tile) of the chunk, and
                            // this task alone writes these.
                            unsafe { r.store(to.add(at), values[y][x]) };
                        }
                    }
                }
            } else {
                let index = self.chunk.start + 2 * i;
                let even = self.tiles.transformed(s, &self.tiles.place(index), 0);
                let mut odd = [[s.zero(); PATCH]; PATCH];
                if index + 1 < self.chunk.end {
                    odd = self.tiles.transformed(s, &self.tiles.place(index + 1), 0);
                }
                for y in 0..PATCH {
                    for x in 0..PATCH {
                        // SAFETY: as above; a pair takes one place.
                        unsafe {
                            let to = to.add((y * PATCH + x) * self.stride);
                            s.store_factor_rows(to, 0, even[y][x], odd[y][x]);
                        }
                    }
                }
            }
        }
    }
}

/// Adds `V^T Z` of one position and 16 input channels to the products.
struct AddProducts<'a> {
    v: &'a [f32],
    z: &'a [f32],
    n: usize,
    k_blocks: usize,
    /// Whether `to` holds nothing yet.
    first: bool,
    to: &'a mut [f32],
}

impl SimdKernel for AddProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let nv = if self.k_blocks.is_multiple_of(2) {
            2.min(s.widest_panel())
        } else {
            1
        };
        let (kernel, rows) = s.outer_kernel(nv);
        let row_len = self.k_blocks * LANES;
        for k in (0..self.k_blocks).step_by(nv) {
            for first in (0..LANES).step_by(rows) {
                // All rows of a panel of Z in turn: the panel stays in the first-level cache.
                // SAFETY: `v` holds n vectors, `z` k_blocks x n, `to` 16 rows of k_blocks vectors.
                unsafe {
                    let z = self.z.as_ptr().add(k * self.n * LANES);
                    let to = self.to.as_mut_ptr().add(first * row_len + k * LANES);
                    kernel(
                        self.v.as_ptr().add(first),
                        z,
                        self.n * LANES,
                        self.n,
                        to,
                        row_len,
                        self.first,
                    );
                }
            }
        }
    }
}
