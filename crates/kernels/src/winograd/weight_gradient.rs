//! The gradient of the filters: products of transformed patches and transformed output gradients.

use super::conv::{Conv, SourceBlock, gather, place, position_stride, source_blocks};
use super::transform;
use super::{PATCH, POSITIONS, TILE};
use crate::blocked::{LANES, blocks};
use crate::buffer::Buffer;
use crate::isa::{Job, Simd};
use crate::workers::{Shared, Workers};
use std::ops::Range;

/// Memory that weight gradients reuse from layer to layer and step to step.
#[derive(Default)]
pub struct Scratch {
    v: Buffer,
    z: Buffer,
    products: Buffer,
}

/// Tiles in one pass over the products: at least so many that adding them to memory is paid for by the
/// arithmetic, at most so many that a position of Z for two output blocks stays in the first-level cache.
const CHUNK_TILES: Range<usize> = 256..512;
/// Size of V and Z that decides between the two.
const CHUNK_BYTES: usize = 6 << 20;
/// Tiles one task transforms at a time.
const TASK_TILES: usize = 64;

impl Conv {
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
        scratch: &mut Scratch,
    ) {
        self.check_inputs(inputs);
        assert_eq!(
            d_out.len(),
            self.output_len(),
            "output gradient has another size"
        );
        let k_blocks = blocks(self.outputs);
        let sources = source_blocks(&self.parts, inputs);
        let bank = self.filters();
        scratch.products.reserve(bank.transformed_len());
        let products = &mut scratch.products[..bank.transformed_len()];

        let total = self.tile_count();
        let tile_bytes = POSITIONS * (sources.len() + k_blocks) * LANES * size_of::<f32>();
        let chunks =
            total.div_ceil((CHUNK_BYTES / tile_bytes).clamp(CHUNK_TILES.start, CHUNK_TILES.end));
        for chunk in 0..chunks {
            let tiles = chunk * total / chunks..(chunk + 1) * total / chunks;
            let n = tiles.len();
            let v_stride = position_stride(sources.len(), n);
            let z_stride = position_stride(k_blocks, n);
            scratch.v.reserve(POSITIONS * v_stride);
            scratch.z.reserve(POSITIONS * z_stride);
            let (v, z) = (Shared::new(&mut scratch.v), Shared::new(&mut scratch.z));
            let runs = n.div_ceil(TASK_TILES);
            workers.for_each((sources.len() + k_blocks) * runs, |task| {
                let (block, run) = (task / runs, task % runs);
                let part = run * n / runs..(run + 1) * n / runs;
                let job = Transform {
                    conv: self,
                    tiles: &tiles,
                    part,
                    z_stride,
                    v_stride,
                    v,
                    z,
                    d_out,
                };
                if let Some(source) = sources.get(block) {
                    self.isa.run(TransformPatches { job, source, block });
                } else {
                    self.isa.run(TransformGradients {
                        job,
                        block: block - sources.len(),
                    });
                }
            });
            let shared = Shared::new(products);
            workers.for_each(POSITIONS * sources.len(), |task| {
                let (position, c_block) = (task / sources.len(), task % sources.len());
                let (v, z) = (&*scratch.v, &*scratch.z);
                self.isa.run(Multiply {
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

/// What the two transforms of a chunk share.
struct Transform<'a> {
    conv: &'a Conv,
    /// The chunk.
    tiles: &'a Range<usize>,
    /// The tiles of the chunk to be done.
    part: Range<usize>,
    v_stride: usize,
    z_stride: usize,
    v: Shared<'a>,
    z: Shared<'a>,
    d_out: &'a [f32],
}

struct TransformPatches<'a> {
    job: Transform<'a>,
    source: &'a SourceBlock<'a>,
    block: usize,
}

impl Job for TransformPatches<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Transform {
            conv,
            tiles,
            part,
            v_stride,
            v,
            ..
        } = self.job;
        let n = tiles.len();
        let mut edge = [0.0; PATCH * PATCH * LANES];
        for i in part {
            let at = place(tiles.start + i, conv.tiles());
            let patch = gather(self.source, [conv.height, conv.width], at, &mut edge);
            // SAFETY: the patch lies in its plane or in `edge`; V holds every (block, tile) of the
            // chunk and this task alone writes these.
            unsafe { transform::patch(s, &patch, v.at((self.block * n + i) * LANES), v_stride) };
        }
    }
}

struct TransformGradients<'a> {
    job: Transform<'a>,
    block: usize,
}

impl Job for TransformGradients<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Transform {
            conv,
            tiles,
            part,
            z_stride,
            z,
            d_out,
            ..
        } = self.job;
        let (n, height, width) = (tiles.len(), conv.height, conv.width);
        for i in part {
            let [image, tile_y, tile_x] = place(tiles.start + i, conv.tiles());
            let plane = (image * blocks(conv.outputs) + self.block) * height * width * LANES;
            let mut y = [[s.zero(); TILE]; TILE];
            for dy in 0..TILE.min(height - tile_y * TILE) {
                for dx in 0..TILE.min(width - tile_x * TILE) {
                    let at = (tile_y * TILE + dy) * width + tile_x * TILE + dx;
                    // SAFETY: a pixel of the image; the size of `d_out` was checked.
                    y[dy][dx] = unsafe { s.load(d_out.as_ptr().add(plane + at * LANES)) };
                }
            }
            // SAFETY: Z holds every (block, tile) of the chunk and this task alone writes these.
            unsafe { transform::tile(s, y, z.at((self.block * n + i) * LANES), z_stride) };
        }
    }
}

/// Adds `V^T Z` of one position and 16 input channels to the products.
struct Multiply<'a> {
    v: &'a [f32],
    z: &'a [f32],
    n: usize,
    k_blocks: usize,
    /// Whether `to` holds nothing yet.
    first: bool,
    to: &'a mut [f32],
}

impl Job for Multiply<'_> {
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
