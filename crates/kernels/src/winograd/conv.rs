//! The convolution and its input gradient: one engine, two sets of filters, two kinds of ends.

use super::transform::{self, Patch};
use super::weights::FilterBank;
use super::{PATCH, POSITIONS, TILE};
use crate::blocked::{LANES, blocks};
use crate::buffer::Buffer;
use crate::isa::{Isa, Job, Simd};
use crate::workers::{Shared, Workers};
use std::cell::RefCell;
use std::ops::Range;

/// One of the arrays a convolution reads, joined channel after channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Channels that mean something.
    pub channels: usize,
    /// Whether the array has half the height and width and is repeated 2x2 (nearest up-sampling).
    pub upsampled: bool,
}

/// A 3x3 convolution of one shape.
#[derive(Clone, Debug)]
pub struct Conv {
    pub(super) isa: Isa,
    pub(super) images: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) parts: Vec<Part>,
    pub(super) outputs: usize,
}

/// What happens to an output before it is stored.
#[derive(Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// Added per channel; as long as the outputs are, filled up to whole blocks.
    pub bias: Option<&'a [f32]>,
    /// Whether negative values become zero.
    pub relu: bool,
}

/// Where the gradient of one input part goes.
pub struct Sink<'a> {
    /// Shaped like the part.
    pub data: &'a mut [f32],
    /// Added to what is there, instead of replacing it.
    pub accumulate: bool,
    /// The result is zero wherever this (shaped like the part) is not positive: the gradient of a ReLU.
    pub mask: Option<&'a [f32]>,
}

/// V and M of one group of tiles should fit in this many bytes, about half of a second-level cache ...
const GROUP_BYTES: usize = 1 << 20;
/// ... unless that leaves fewer tiles than the lower bound. The filters stream past every group: with 56
/// tiles each of their values is used 56 times, which hides the outer caches' slowness.
const GROUP_TILES: Range<usize> = 56..112;

thread_local! {
    /// V and M of the group a thread is working on.
    static SCRATCH: RefCell<[Buffer; 2]> = RefCell::default();
}

impl Conv {
    /// A convolution of `images` images of `height` x `width` pixels from `parts` to `outputs` channels.
    ///
    /// # Panics
    /// If an up-sampled part meets an odd height or width.
    pub fn new(
        isa: Isa,
        images: usize,
        height: usize,
        width: usize,
        parts: &[Part],
        outputs: usize,
    ) -> Self {
        let even = height.is_multiple_of(2) && width.is_multiple_of(2);
        assert!(
            even || parts.iter().all(|p| !p.upsampled),
            "up-sampling needs an even size"
        );
        Self {
            isa: isa.for_channels(parts.iter().map(|p| p.channels).sum()),
            images,
            height,
            width,
            parts: parts.to_vec(),
            outputs,
        }
    }

    /// The arrangement of its filters.
    pub fn filters(&self) -> FilterBank {
        let channels: Vec<usize> = self.parts.iter().map(|p| p.channels).collect();
        FilterBank::new(self.isa, &channels, self.outputs)
    }

    pub(super) fn tiles(&self) -> [usize; 2] {
        [self.height.div_ceil(TILE), self.width.div_ceil(TILE)]
    }

    pub(super) fn tile_count(&self) -> usize {
        let [rows, columns] = self.tiles();
        self.images * rows * columns
    }

    fn part_len(&self, part: &Part) -> usize {
        let scale = if part.upsampled { 4 } else { 1 };
        self.images * blocks(part.channels) * self.height * self.width * LANES / scale
    }

    pub(super) fn output_len(&self) -> usize {
        self.images * blocks(self.outputs) * self.height * self.width * LANES
    }

    /// Panics unless `inputs` holds one array of the right size for every part.
    #[track_caller]
    pub(super) fn check_inputs(&self, inputs: &[&[f32]]) {
        assert_eq!(inputs.len(), self.parts.len(), "one array per input part");
        for (part, data) in self.parts.iter().zip(inputs) {
            assert_eq!(
                data.len(),
                self.part_len(part),
                "input part has another size"
            );
        }
    }

    /// `out = epilogue(conv(inputs))`; `filters` from [`FilterBank::transform`].
    ///
    /// # Panics
    /// If an array does not have the size the shape says.
    pub fn forward(
        &self,
        workers: &Workers,
        inputs: &[&[f32]],
        filters: &[f32],
        epilogue: Epilogue,
        out: &mut [f32],
    ) {
        self.check_inputs(inputs);
        assert_eq!(out.len(), self.output_len(), "output has another size");
        if let Some(bias) = epilogue.bias {
            assert_eq!(
                bias.len(),
                blocks(self.outputs) * LANES,
                "bias has another size"
            );
        }
        let sources = source_blocks(&self.parts, inputs);
        let plane = OutPlane {
            upsampled: false,
            accumulate: false,
            mask: None,
            blocks: blocks(self.outputs),
        };
        let shared = Shared::new(out);
        let ends = (0..blocks(self.outputs))
            .map(|block| (shared, plane, block))
            .collect();
        let bias = epilogue.bias.map(<[f32]>::as_ptr);
        self.run(
            workers,
            &sources,
            filters,
            ends,
            bias.map(BiasAt),
            epilogue.relu,
        );
    }

    /// Gradients of the inputs from `d_out`; `filters` from [`FilterBank::transform_turned`].
    ///
    /// # Panics
    /// If an array does not have the size the shape says.
    pub fn input_gradient(
        &self,
        workers: &Workers,
        d_out: &[f32],
        filters: &[f32],
        sinks: &mut [Sink],
    ) {
        assert_eq!(sinks.len(), self.parts.len(), "one sink per input part");
        assert_eq!(
            d_out.len(),
            self.output_len(),
            "output gradient has another size"
        );
        let sources = source_blocks(
            &[Part {
                channels: self.outputs,
                upsampled: false,
            }],
            &[d_out],
        );
        let mut ends = Vec::new();
        for (part, sink) in self.parts.iter().zip(sinks) {
            assert_eq!(
                sink.data.len(),
                self.part_len(part),
                "sink has another size"
            );
            assert!(
                sink.mask.is_none_or(|m| m.len() == sink.data.len()),
                "mask has another size"
            );
            let count = blocks(part.channels);
            let plane = OutPlane {
                upsampled: part.upsampled,
                accumulate: sink.accumulate,
                mask: sink.mask.map(|m| MaskAt(m.as_ptr())),
                blocks: count,
            };
            let shared = Shared::new(sink.data);
            ends.extend((0..count).map(|block| (shared, plane, block)));
        }
        self.run(workers, &sources, filters, ends, None, false);
    }

    fn run(
        &self,
        workers: &Workers,
        sources: &[SourceBlock],
        filters: &[f32],
        ends: Vec<(Shared, OutPlane, usize)>,
        bias: Option<BiasAt>,
        relu: bool,
    ) {
        let positions = POSITIONS * sources.len() * self.isa.factor_words() * ends.len() * LANES;
        assert!(
            filters.len() >= positions,
            "transformed filters have another size"
        );
        let total = self.tile_count();
        let groups = self.group_count(sources.len() + ends.len(), total, workers.threads());
        let panel = FilterBank::panel(self.isa, ends.len() * LANES);
        workers.for_each(groups, |group| {
            let tiles = group * total / groups..(group + 1) * total / groups;
            SCRATCH.with_borrow_mut(|[v, m]| {
                self.isa.run(Group {
                    conv: self,
                    tiles,
                    sources,
                    filters,
                    panel,
                    ends: &ends,
                    bias,
                    relu,
                    v,
                    m,
                });
            });
        });
    }

    /// How many groups the tiles are divided into; every tile's result is the same for any division.
    fn group_count(&self, channel_blocks: usize, total: usize, threads: usize) -> usize {
        let tile_bytes = POSITIONS * channel_blocks * LANES * size_of::<f32>();
        let tiles = (GROUP_BYTES / tile_bytes).clamp(GROUP_TILES.start, GROUP_TILES.end);
        let groups = total.div_ceil(tiles);
        groups.next_multiple_of(threads).min(total)
    }
}

/// One block of input channels.
#[derive(Clone, Copy)]
pub(super) struct SourceBlock<'a> {
    data: &'a [f32],
    /// Blocks of the part it belongs to, and which of them it is.
    blocks: usize,
    block: usize,
    upsampled: bool,
}

pub(super) fn source_blocks<'a>(parts: &[Part], inputs: &[&'a [f32]]) -> Vec<SourceBlock<'a>> {
    let mut sources = Vec::new();
    for (part, &data) in parts.iter().zip(inputs) {
        let blocks = blocks(part.channels);
        let source = |block| SourceBlock {
            data,
            blocks,
            block,
            upsampled: part.upsampled,
        };
        sources.extend((0..blocks).map(source));
    }
    sources
}

/// How results are written to one output array.
#[derive(Clone, Copy)]
struct OutPlane {
    upsampled: bool,
    accumulate: bool,
    mask: Option<MaskAt>,
    blocks: usize,
}

/// Start of a mask, shared between tasks.
#[derive(Clone, Copy)]
struct MaskAt(*const f32);
// SAFETY: it points into a `&[f32]` that outlives the tasks.
unsafe impl Send for MaskAt {}
// SAFETY: as above.
unsafe impl Sync for MaskAt {}

/// Start of the bias, shared between tasks.
#[derive(Clone, Copy)]
struct BiasAt(*const f32);
// SAFETY: it points into a `&[f32]` that outlives the tasks.
unsafe impl Send for BiasAt {}
// SAFETY: as above.
unsafe impl Sync for BiasAt {}

/// Image, tile row and tile column of tile `index`.
#[inline(always)]
pub(super) fn place(index: usize, [rows, columns]: [usize; 2]) -> [usize; 3] {
    [
        index / (rows * columns),
        index / columns % rows,
        index % columns,
    ]
}

/// Words between positions for `vectors` vectors of `words` words each: an odd number of cache lines, so
/// that the 36 places of a tile do not fall into the same cache set.
pub(super) fn position_stride(vectors: usize, words: usize) -> usize {
    ((vectors * words).div_ceil(LANES) | 1) * LANES
}

/// The patch of `source` around a tile; at the image's edge it is copied to `edge`, zeros outside.
#[inline(always)]
pub(super) fn gather(
    source: &SourceBlock,
    size: [usize; 2],
    at: [usize; 3],
    edge: &mut [f32; PATCH * PATCH * LANES],
) -> Patch {
    let ([height, width], [image, tile_y, tile_x]) = (size, at);
    let shift = usize::from(source.upsampled);
    let (rows, columns) = (height >> shift, width >> shift);
    let plane = &source.data[(image * source.blocks + source.block) * rows * columns * LANES..]
        [..rows * columns * LANES];
    // The patch starts one pixel before the tile.
    let (y0, x0) = (tile_y * TILE, tile_x * TILE);
    let inside = y0 >= 1 && x0 >= 1 && y0 + PATCH - 1 <= height && x0 + PATCH - 1 <= width;
    if inside {
        let mut patch = Patch {
            rows: [plane.as_ptr(); PATCH],
            columns: [0; PATCH],
        };
        for i in 0..PATCH {
            patch.rows[i] = plane
                .as_ptr()
                .wrapping_add(((y0 + i - 1) >> shift) * columns * LANES);
            patch.columns[i] = ((x0 + i - 1) >> shift) * LANES;
        }
        return patch;
    }
    edge.fill(0.0);
    for i in 0..PATCH {
        for j in 0..PATCH {
            let (y, x) = (y0 + i, x0 + j);
            if (1..=height).contains(&y) && (1..=width).contains(&x) {
                let from = (((y - 1) >> shift) * columns + ((x - 1) >> shift)) * LANES;
                edge[(i * PATCH + j) * LANES..][..LANES]
                    .copy_from_slice(&plane[from..from + LANES]);
            }
        }
    }
    let mut patch = Patch {
        rows: [edge.as_ptr(); PATCH],
        columns: [0; PATCH],
    };
    for i in 0..PATCH {
        patch.rows[i] = edge.as_ptr().wrapping_add(i * PATCH * LANES);
        patch.columns[i] = i * LANES;
    }
    patch
}

/// A group of tiles: patches to V, V to M, M to outputs.
struct Group<'a, 'b> {
    conv: &'a Conv,
    tiles: Range<usize>,
    sources: &'a [SourceBlock<'a>],
    filters: &'a [f32],
    panel: usize,
    ends: &'a [(Shared<'b>, OutPlane, usize)],
    bias: Option<BiasAt>,
    relu: bool,
    v: &'a mut Buffer,
    m: &'a mut Buffer,
}

impl Job for Group<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.tiles.len();
        let words = s.factor_words();
        let v_stride = position_stride(self.sources.len() * n, words);
        let m_stride = position_stride(self.ends.len() * n, LANES);
        self.v.reserve(POSITIONS * v_stride);
        self.m.reserve(POSITIONS * m_stride);
        let size = [self.conv.height, self.conv.width];
        let grid = self.conv.tiles();
        let mut edge = [0.0; PATCH * PATCH * LANES];
        for (block, source) in self.sources.iter().enumerate() {
            for (i, tile) in self.tiles.clone().enumerate() {
                let patch = gather(source, size, place(tile, grid), &mut edge);
                // SAFETY: the patch lies in its plane or in `edge`; V was made large enough.
                unsafe {
                    let values = transform::patch(s, &patch);
                    let to = self.v.as_mut_ptr().add((block * n + i) * words);
                    for y in 0..PATCH {
                        for x in 0..PATCH {
                            s.store_factors(to.add((y * PATCH + x) * v_stride), values[y][x]);
                        }
                    }
                }
            }
        }
        self.multiply(s, n, v_stride, m_stride);
        for (block, end) in self.ends.iter().enumerate() {
            // SAFETY: the bias has a value for every output channel.
            let bias = self
                .bias
                .map_or(s.zero(), |b| unsafe { s.load(b.0.add(block * LANES)) });
            for (i, tile) in self.tiles.clone().enumerate() {
                // SAFETY: M was made large enough and is filled.
                let mut y = unsafe {
                    transform::product(s, self.m.as_ptr().add((block * n + i) * LANES), m_stride)
                };
                for row in &mut y {
                    for value in row {
                        *value = s.add(*value, bias);
                        if self.relu {
                            *value = s.max(*value, s.zero());
                        }
                    }
                }
                // SAFETY: tiles do not overlap and every tile is in one group.
                unsafe { write(s, &y, end, size, place(tile, grid)) };
            }
        }
    }
}

impl Group<'_, '_> {
    /// M = V * U at every position, panel by panel, in runs of tiles as equal as possible.
    #[inline(always)]
    fn multiply<S: Simd>(&self, s: S, n: usize, v_stride: usize, m_stride: usize) {
        let kernels = s.gemm_kernels(self.panel);
        let runs = n.div_ceil(kernels.len());
        let panels = self.ends.len() / self.panel;
        let c_blocks = self.sources.len();
        let words = s.factor_words();
        let panel_len = c_blocks * words * self.panel * LANES;
        for position in 0..POSITIONS {
            for p in 0..panels {
                let u = self.filters[(position * panels + p) * panel_len..][..panel_len].as_ptr();
                for run in 0..runs {
                    let (first, end) = (run * n / runs, (run + 1) * n / runs);
                    // SAFETY: V holds `c_blocks x n` and M `ends x n` vectors per position; the
                    // kernel for `end - first` tiles touches those tiles of this panel only.
                    unsafe {
                        let v = self.v.as_ptr().add(position * v_stride + first * words);
                        let m_at = position * m_stride + (p * self.panel * n + first) * LANES;
                        let m = self.m.as_ptr().add(m_at).cast_mut();
                        kernels[end - first - 1](v, n * words, c_blocks, u, m, n * LANES);
                    }
                }
            }
        }
    }
}

/// Writes an output tile, cut at the image's edge, the way its end asks for.
///
/// # Safety
/// No other task may write the same tile of the same output.
#[inline(always)]
unsafe fn write<S: Simd>(
    s: S,
    y: &[[S::V; TILE]; TILE],
    (out, plane, block): &(Shared, OutPlane, usize),
    [height, width]: [usize; 2],
    [image, tile_y, tile_x]: [usize; 3],
) {
    let shift = usize::from(plane.upsampled);
    let (rows, columns) = (height >> shift, width >> shift);
    let side = TILE >> shift;
    let (y0, x0) = (tile_y * side, tile_x * side);
    let start = (image * plane.blocks + block) * rows * columns;
    for i in 0..side.min(rows - y0) {
        for j in 0..side.min(columns - x0) {
            let mut value = if plane.upsampled {
                // Each low-resolution pixel was read four times.
                let top = s.add(y[2 * i][2 * j], y[2 * i][2 * j + 1]);
                s.add(top, s.add(y[2 * i + 1][2 * j], y[2 * i + 1][2 * j + 1]))
            } else {
                y[i][j]
            };
            let at = (start + (y0 + i) * columns + x0 + j) * LANES;
            // SAFETY: inside the output, whose size was checked; the mask has the same size.
            unsafe {
                if plane.accumulate {
                    value = s.add(value, s.load(out.at(at)));
                }
                if let Some(MaskAt(mask)) = plane.mask {
                    value = s.where_positive(s.load(mask.add(at)), value);
                }
                s.store(out.at(at), value);
            }
        }
    }
}
