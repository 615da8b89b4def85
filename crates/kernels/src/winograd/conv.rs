//! The convolution and its input gradient: one engine, two sets of filters, two kinds of ends.

use super::transform::{self, Patch};
use super::weights::FilterBank;
use super::{PATCH, POSITIONS, TILE};
use crate::blocked::{LANES, Rows, RowsMut, blocks, slot};
use crate::buffer::Buffer;
use crate::isa::{Isa, Job, Lanes, Simd};
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

/// What is worked on together, so that it stays in the caches; results do not depend on it.
struct Blocking {
    /// V and M of a group of tiles should fit in this many bytes, the larger part of a second-level cache ...
    bytes: usize,
    /// ... unless that leaves fewer tiles than the lower bound. The filters stream past every group: with 56
    /// tiles each of their values is used 56 times, which hides the outer caches' slowness.
    tiles: Range<usize>,
    /// Blocks of input channels that a panel of filters is read for at a time: it should stay in the first-level cache
    /// while all tiles of the group pass it.
    sources: usize,
}

impl Blocking {
    /// Processors with AVX-512 have second-level caches of 1 MiB and more, those without it mostly half of that or less,
    /// too small for a useful group: there the filters, which come from memory in the deep layers, should pass as many
    /// tiles as possible (measured on one with 512 KiB, VGG16's network: 84 tiles and slices of 128 channels, which are
    /// 8 KiB of filters, against 42 tiles and whole panels).
    fn on(isa: Isa) -> Self {
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
}

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

    /// The tiles of whole images.
    pub(super) fn grid(&self) -> Grid {
        Grid {
            rows: self.height.div_ceil(TILE),
            columns: self.width.div_ceil(TILE),
            first_row: 0,
            seen: self.height,
            made: self.height,
        }
    }

    pub(super) fn tile_count(&self) -> usize {
        let grid = self.grid();
        self.images * grid.rows * grid.columns
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
    pub(super) fn check_inputs(&self, inputs: &[Rows]) {
        assert_eq!(inputs.len(), self.parts.len(), "one array per input part");
        for (part, rows) in self.parts.iter().zip(inputs) {
            let shift = usize::from(part.upsampled);
            assert!(
                self.images == 1 || rows.kept == self.height >> shift,
                "several images are read as a whole"
            );
            assert_eq!(
                rows.data.len(),
                self.images * blocks(part.channels) * rows.kept * (self.width >> shift) * LANES,
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
        let inputs = self.whole(inputs);
        let out = RowsMut {
            data: out,
            kept: self.height,
        };
        self.forward_rows(workers, &inputs, filters, epilogue, out, 0..self.height);
    }

    /// Whole arrays as what a convolution reads.
    #[track_caller]
    pub(super) fn whole<'a>(&self, inputs: &[&'a [f32]]) -> Vec<Rows<'a>> {
        assert_eq!(inputs.len(), self.parts.len(), "one array per input part");
        let whole = |(part, &data): (&Part, &&'a [f32])| Rows {
            data,
            kept: self.height >> usize::from(part.upsampled),
        };
        self.parts.iter().zip(inputs).map(whole).collect()
    }

    /// The output rows `rows` only, of arrays that may hold fewer rows than the image has: the inputs must
    /// hold the rows these see (one more to each side), and what lies at the place of the new rows is lost.
    /// Tiles begin at the first of the rows, so a number of rows that is no multiple of 4 wastes work.
    ///
    /// # Panics
    /// If an array does not have the size the shape says, or if there are several images and not all rows of
    /// them are asked for.
    pub fn forward_rows(
        &self,
        workers: &Workers,
        inputs: &[Rows],
        filters: &[f32],
        epilogue: Epilogue,
        out: RowsMut,
        rows: Range<usize>,
    ) {
        self.check_inputs(inputs);
        let stride = blocks(self.outputs) * self.width * LANES;
        assert_eq!(
            out.data.len(),
            self.images * out.kept * stride,
            "output has another size"
        );
        let whole = rows == (0..self.height);
        assert!(
            whole || self.images == 1 && rows.end <= self.height,
            "several images are made as a whole"
        );
        assert!(rows.len() <= out.kept, "rows that are not held");
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
            kept: out.kept,
        };
        let shared = Shared::new(out.data);
        let ends: Vec<_> = (0..blocks(self.outputs))
            .map(|block| (shared, plane, block))
            .collect();
        let last = Last {
            bias: epilogue.bias.map(|bias| BiasAt(bias.as_ptr())),
            relu: epilogue.relu,
        };
        self.run(workers, &sources, filters, &ends, last, rows);
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
            &[Rows {
                data: d_out,
                kept: self.height,
            }],
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
                kept: self.height >> usize::from(part.upsampled),
            };
            let shared = Shared::new(sink.data);
            ends.extend((0..count).map(|block| (shared, plane, block)));
        }
        let last = Last {
            bias: None,
            relu: false,
        };
        self.run(workers, &sources, filters, &ends, last, 0..self.height);
    }

    fn run(
        &self,
        workers: &Workers,
        sources: &[SourceBlock],
        filters: &[f32],
        ends: &[(Shared, OutPlane, usize)],
        last: Last,
        rows: Range<usize>,
    ) {
        let positions = POSITIONS * sources.len() * self.isa.factor_words() * ends.len() * LANES;
        assert!(
            filters.len() >= positions,
            "transformed filters have another size"
        );
        let panel = FilterBank::panel(self.isa, ends.len() * LANES);
        let grid = Grid {
            rows: rows.len().div_ceil(TILE),
            first_row: rows.start,
            // The row after the last one is seen too.
            seen: (rows.end + 1).min(self.height),
            made: rows.end,
            ..self.grid()
        };
        let total = self.images * grid.rows * grid.columns;
        let panels = ends.len() / panel;
        let channel_blocks = sources.len() + ends.len();
        let blocking = Blocking::on(self.isa);
        let (groups, shares) =
            division(&blocking, channel_blocks, total, panels, workers.threads());
        workers.for_each(groups * shares, |task| {
            let (group, share) = (task / shares, task % shares);
            SCRATCH.with_borrow_mut(|[v, m]| {
                self.isa.run(Group {
                    conv: self,
                    tiles: group * total / groups..(group + 1) * total / groups,
                    grid,
                    sources,
                    filters,
                    panel,
                    panels: share * panels / shares..(share + 1) * panels / shares,
                    slices: sources.len().div_ceil(blocking.sources),
                    ends,
                    last,
                    v,
                    m,
                });
            });
        });
    }
}

/// How many groups `total` tiles are divided into, and among how many tasks the output panels of each group
/// are shared; every result is the same for any division.
///
/// Few tiles, as the deepest layers have, are not divided further: each group reads all filters, which are
/// tens of megabytes there, while a second transform of the same patches costs little.
fn division(
    blocking: &Blocking,
    channel_blocks: usize,
    total: usize,
    panels: usize,
    threads: usize,
) -> (usize, usize) {
    let tile_bytes = POSITIONS * channel_blocks * LANES * size_of::<f32>();
    let tiles = (blocking.bytes / tile_bytes).clamp(blocking.tiles.start, blocking.tiles.end);
    let groups = total.div_ceil(tiles);
    if groups < threads && panels > 1 {
        return (groups, threads.div_ceil(groups).min(panels));
    }
    (groups.next_multiple_of(threads).min(total), 1)
}

/// One block of input channels.
#[derive(Clone, Copy)]
pub(super) struct SourceBlock<'a> {
    data: &'a [f32],
    /// Rows held of every block.
    kept: usize,
    /// Blocks of the part it belongs to, and which of them it is.
    blocks: usize,
    block: usize,
    upsampled: bool,
}

pub(super) fn source_blocks<'a>(parts: &[Part], inputs: &[Rows<'a>]) -> Vec<SourceBlock<'a>> {
    let mut sources = Vec::new();
    for (part, rows) in parts.iter().zip(inputs) {
        let blocks = blocks(part.channels);
        let source = |block| SourceBlock {
            data: rows.data,
            kept: rows.kept,
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
    /// Rows held of every block.
    kept: usize,
}

/// Start of a mask, shared between tasks.
#[derive(Clone, Copy)]
struct MaskAt(*const f32);
// SAFETY: it points into a `&[f32]` that outlives the tasks.
unsafe impl Send for MaskAt {}
// SAFETY: as above.
unsafe impl Sync for MaskAt {}

/// What happens to results at last, as [`Epilogue`] says.
#[derive(Clone, Copy)]
struct Last {
    bias: Option<BiasAt>,
    relu: bool,
}

/// Start of the bias, shared between tasks.
#[derive(Clone, Copy)]
struct BiasAt(*const f32);
// SAFETY: it points into a `&[f32]` that outlives the tasks.
unsafe impl Send for BiasAt {}
// SAFETY: as above.
unsafe impl Sync for BiasAt {}

/// Tiles that cover some rows of every image.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    rows: usize,
    columns: usize,
    /// Where the first row of tiles begins, in pixels.
    first_row: usize,
    /// End of the input rows that may be read; beyond lie zeros, or rows that are not made yet and reach
    /// only outputs that are not asked for.
    seen: usize,
    /// End of the output rows that are written.
    made: usize,
}

impl Grid {
    /// Image, first row and first column of tile `index`, in pixels.
    #[inline(always)]
    pub(super) fn place(&self, index: usize) -> [usize; 3] {
        let (row, column) = (index / self.columns, index % self.columns);
        let y = self.first_row + row % self.rows * TILE;
        [row / self.rows, y, column * TILE]
    }
}

/// Words between positions for `vectors` vectors of `words` words each: an odd number of cache lines, so
/// that the 36 places of a tile do not fall into the same cache set.
pub(super) fn position_stride(vectors: usize, words: usize) -> usize {
    ((vectors * words).div_ceil(LANES) | 1) * LANES
}

/// Where the patch around a tile lies in every block of a part: the same for all of them, so it is asked once.
pub(super) struct Window {
    image: usize,
    /// Values from the start of a block to each row, and from there to each column.
    rows: [usize; PATCH],
    columns: [usize; PATCH],
    /// Top left pixel of the tile, and the size that may be read, where the patch leaves it.
    leaves: Option<[[usize; 2]; 2]>,
}

impl Window {
    /// The patch around the tile at `[image, y, x]` in blocks like `source`, of which `size` may be read.
    #[inline(always)]
    pub(super) fn new(source: &SourceBlock, size: [usize; 2], [image, y0, x0]: [usize; 3]) -> Self {
        let [height, width] = size;
        let shift = usize::from(source.upsampled);
        let mut window = Self {
            image,
            rows: [0; PATCH],
            columns: [0; PATCH],
            leaves: None,
        };
        // The patch starts one pixel before the tile.
        if y0 < 1 || x0 < 1 || y0 + PATCH - 1 > height || x0 + PATCH - 1 > width {
            window.leaves = Some([[y0, x0], size]);
            return window;
        }
        let top = (y0 - 1) >> shift;
        let place = slot(top, source.kept);
        for i in 0..PATCH {
            let row = slot(place + ((y0 + i - 1) >> shift) - top, source.kept);
            window.rows[i] = row * (width >> shift) * LANES;
            window.columns[i] = ((x0 + i - 1) >> shift) * LANES;
        }
        window
    }

    /// The patch in `source`; where it leaves what may be read, it is copied to `edge`, with zeros outside.
    #[inline(always)]
    pub(super) fn patch(
        &self,
        source: &SourceBlock,
        width: usize,
        edge: &mut [f32; PATCH * PATCH * LANES],
    ) -> Patch {
        let shift = usize::from(source.upsampled);
        let columns = width >> shift;
        let held = source.kept * columns * LANES;
        let plane = &source.data[(self.image * source.blocks + source.block) * held..][..held];
        if let Some(leaves) = self.leaves {
            return copy_edge(plane, source, leaves, edge);
        }
        Patch {
            rows: self.rows.map(|row| plane.as_ptr().wrapping_add(row)),
            columns: self.columns,
        }
    }
}

/// The patch around the tile at `[y0, x0]` of an image of which `[height, width]` may be read, in `edge`.
fn copy_edge(
    plane: &[f32],
    source: &SourceBlock,
    [[y0, x0], [height, width]]: [[usize; 2]; 2],
    edge: &mut [f32; PATCH * PATCH * LANES],
) -> Patch {
    let shift = usize::from(source.upsampled);
    let columns = width >> shift;
    edge.fill(0.0);
    for i in 0..PATCH {
        for j in 0..PATCH {
            let (y, x) = (y0 + i, x0 + j);
            if (1..=height).contains(&y) && (1..=width).contains(&x) {
                let row = slot((y - 1) >> shift, source.kept);
                let from = (row * columns + ((x - 1) >> shift)) * LANES;
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
    grid: Grid,
    /// Blocks of outputs in a panel, and the panels that are made.
    panel: usize,
    panels: Range<usize>,
    /// Into how many parts the input channels are divided.
    slices: usize,
    ends: &'a [(Shared<'b>, OutPlane, usize)],
    last: Last,
    v: &'a mut Buffer,
    m: &'a mut Buffer,
}

impl Job for Group<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let r = s.register();
        let n = self.tiles.len();
        let words = s.factor_words();
        let v_stride = position_stride(self.sources.len() * n, words);
        let m_stride = position_stride(self.panels.len() * self.panel * n, LANES);
        self.v.reserve(POSITIONS * v_stride);
        self.m.reserve(POSITIONS * m_stride);
        let grid = self.grid;
        let size = [grid.seen, self.conv.width];
        let mut edge = [0.0; PATCH * PATCH * LANES];
        let places: Vec<[usize; 3]> = self.tiles.clone().map(|tile| grid.place(tile)).collect();
        let mut windows: Vec<Window> = Vec::with_capacity(n);
        for (block, source) in self.sources.iter().enumerate() {
            if source.block == 0 {
                windows.clear();
                windows.extend(places.iter().map(|&place| Window::new(source, size, place)));
            }
            for (i, window) in windows.iter().enumerate() {
                let patch = window.patch(source, size[1], &mut edge);
                // SAFETY: the patch lies in its plane or in `edge`; V was made large enough.
                unsafe {
                    let to = self.v.as_mut_ptr().add((block * n + i) * words);
                    for part in 0..LANES / S::Register::WIDTH {
                        let values = transform::patch(r, &patch, part * S::Register::WIDTH);
                        let to = to.add(part * words * S::Register::WIDTH / LANES);
                        for y in 0..PATCH {
                            for x in 0..PATCH {
                                r.store_factors(to.add((y * PATCH + x) * v_stride), values[y][x]);
                            }
                        }
                    }
                }
            }
        }
        self.multiply(s, n, v_stride, m_stride);
        let first = self.panels.start * self.panel;
        let made = &self.ends[first..self.panels.end * self.panel];
        for (block, end) in made.iter().enumerate() {
            for (i, &place) in places.iter().enumerate() {
                for lane in (0..LANES).step_by(S::Register::WIDTH) {
                    let bias = match self.last.bias {
                        // SAFETY: the bias has a value for every output channel.
                        Some(BiasAt(bias)) => unsafe {
                            r.load(bias.add((first + block) * LANES + lane))
                        },
                        None => r.zero(),
                    };
                    // SAFETY: M was made large enough and is filled.
                    let mut y = unsafe {
                        let from = self.m.as_ptr().add((block * n + i) * LANES + lane);
                        transform::product(r, from, m_stride)
                    };
                    for row in &mut y {
                        for value in row {
                            *value = r.add(*value, bias);
                            if self.last.relu {
                                *value = r.max(*value, r.zero());
                            }
                        }
                    }
                    // SAFETY: tiles do not overlap, and a tile's block of outputs is made by one task.
                    unsafe {
                        write(r, &y, end, [grid.made, self.conv.width], place, lane);
                    }
                }
            }
        }
    }
}

impl Group<'_, '_> {
    /// M = V * U at every position, panel by panel and slice by slice of the input channels, in runs of tiles as
    /// equal as possible.
    #[inline(always)]
    fn multiply<S: Simd>(&self, s: S, n: usize, v_stride: usize, m_stride: usize) {
        let kernels = s.gemm_kernels(self.panel);
        let runs = n.div_ceil(kernels.len());
        let panels = self.ends.len() / self.panel;
        let c_blocks = self.sources.len();
        let words = s.factor_words();
        let block_len = words * self.panel * LANES;
        for position in 0..POSITIONS {
            for (made, p) in self.panels.clone().enumerate() {
                let u = &self.filters[(position * panels + p) * c_blocks * block_len..];
                for slice in 0..self.slices {
                    let c = slice * c_blocks / self.slices;
                    let taken = (slice + 1) * c_blocks / self.slices - c;
                    let u = u[c * block_len..][..taken * block_len].as_ptr();
                    for run in 0..runs {
                        let (first, end) = (run * n / runs, (run + 1) * n / runs);
                        // SAFETY: V holds `c_blocks x n` and M `panels x panel x n` vectors per position; the
                        // kernel for `end - first` tiles touches those tiles of this panel only.
                        unsafe {
                            let v_at = position * v_stride + (c * n + first) * words;
                            let v = self.v.as_ptr().add(v_at);
                            let m_at =
                                position * m_stride + (made * self.panel * n + first) * LANES;
                            let m = self.m.as_ptr().add(m_at).cast_mut();
                            let kernel = kernels[end - first - 1];
                            kernel(v, n * words, taken, u, m, n * LANES, slice == 0);
                        }
                    }
                }
            }
        }
    }
}

/// Writes an output tile's channels from `lane` on, cut at the image's edge, the way its end asks for.
///
/// # Safety
/// No other task may write the same tile of the same output.
#[inline(always)]
unsafe fn write<S: Lanes>(
    s: S,
    y: &[[S::V; TILE]; TILE],
    (out, plane, block): &(Shared, OutPlane, usize),
    [height, width]: [usize; 2],
    [image, top, left]: [usize; 3],
    lane: usize,
) {
    let shift = usize::from(plane.upsampled);
    let (rows, columns) = (height >> shift, width >> shift);
    let side = TILE >> shift;
    let (y0, x0) = (top >> shift, left >> shift);
    let start = (image * plane.blocks + block) * plane.kept;
    let first = slot(y0, plane.kept);
    for i in 0..side.min(rows - y0) {
        let row = (start + slot(first + i, plane.kept)) * columns;
        for j in 0..side.min(columns - x0) {
            let mut value = if plane.upsampled {
                // Each low-resolution pixel was read four times.
                let top = s.add(y[2 * i][2 * j], y[2 * i][2 * j + 1]);
                s.add(top, s.add(y[2 * i + 1][2 * j], y[2 * i + 1][2 * j + 1]))
            } else {
                y[i][j]
            };
            let at = (row + x0 + j) * LANES + lane;
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
