//! The convolution and its input gradient: one engine, two sets of filters, two kinds of ends.

use super::blocking::Blocking;
use super::transform::{self, Points, TileJob};
use super::weights::FilterBank;
use super::window::{Edge, Grid, SourceBlock, Window, source_blocks};
use super::{LARGEST_PATCH, Tile};
use crate::blocked::{LANES, Rows, RowsMut, blocks, slot};
use crate::buffer::Buffer;
use crate::isa::{Isa, Lanes, Simd};
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
    tile: Tile,
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
    /// The result is zero wherever this (shaped like the part) is not positive: the gradient of a
    /// ReLU.
    pub mask: Option<&'a [f32]>,
}

thread_local! {
    /// V and M of the group a thread is working on.
    static SCRATCH: RefCell<[Buffer; 2]> = RefCell::default();
}

impl Conv {
    /// A convolution of `images` images of `height` x `width` pixels from `parts` to `outputs`
    /// channels, by tiles of 4x4.
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
            tile: Tile::Four,
        }
    }

    /// The same convolution, whose outputs and input gradients are made by `tile`.
    pub fn tiled(self, tile: Tile) -> Self {
        Self { tile, ..self }
    }

    /// Bytes that a thread takes for its work at most, and keeps for the next layer.
    pub fn scratch_bytes(&self) -> usize {
        let inputs: usize = self
            .parts
            .iter()
            .map(|part| part.channels.div_ceil(LANES))
            .sum();
        let blocks = inputs + self.outputs.div_ceil(LANES);
        let tiles = Blocking::on(self.isa, self.tile).group(self.tile, blocks);
        self.tile.positions() * blocks * LANES * tiles * size_of::<f32>()
    }

    /// The arrangement of its filters.
    pub fn filters(&self) -> FilterBank {
        let channels: Vec<usize> = self.parts.iter().map(|p| p.channels).collect();
        FilterBank::new(self.isa, &channels, self.outputs).tiled(self.tile)
    }

    /// The tiles of whole images.
    pub(super) fn grid(&self, tile: Tile) -> Grid {
        let side = tile.side();
        Grid {
            side,
            rows: self.height.div_ceil(side),
            columns: self.width.div_ceil(side),
            first_row: 0,
            seen: self.height,
            made: self.height,
        }
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

    /// The output rows `rows` only, of arrays that may hold fewer rows than the image has: the
    /// inputs must hold the rows these see (one more to each side), and what lies at the place of
    /// the new rows is lost. Tiles begin at the first of the rows, so a number of rows that is no
    /// multiple of 4 wastes work.
    ///
    /// # Panics
    /// If an array does not have the size the shape says, or if there are several images and not
    /// all rows of them are asked for.
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
        let positions =
            self.tile.positions() * sources.len() * self.isa.factor_words() * ends.len() * LANES;
        assert!(
            filters.len() >= positions,
            "transformed filters have another size"
        );
        let panel = FilterBank::panel(self.isa, ends.len() * LANES);
        let grid = Grid {
            rows: rows.len().div_ceil(self.tile.side()),
            first_row: rows.start,
            // The row after the last one is seen too.
            seen: (rows.end + 1).min(self.height),
            made: rows.end,
            ..self.grid(self.tile)
        };
        let total = self.images * grid.rows * grid.columns;
        let panels = ends.len() / panel;
        let channel_blocks = sources.len() + ends.len();
        let blocking = Blocking::on(self.isa, self.tile);
        let threads = workers.threads();
        let (groups, shares) = blocking.division(self.tile, channel_blocks, total, panels, threads);
        workers.for_each(groups * shares, |task| {
            let (group, share) = (task / shares, task % shares);
            SCRATCH.with_borrow_mut(|[v, m]| {
                let group = Group {
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
                };
                self.tile.run(self.isa, group);
            });
        });
    }
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

impl OutPlane {
    /// Whether a tile of `side` at `place` is written as it is: nothing but its values, and all of
    /// them.
    #[inline(always)]
    fn takes_whole(
        &self,
        side: usize,
        [height, width]: [usize; 2],
        [_, top, left]: [usize; 3],
    ) -> bool {
        !self.upsampled
            && !self.accumulate
            && self.mask.is_none()
            && top + side <= height
            && left + side <= width
    }
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

/// Words between positions for `vectors` vectors of `words` words each: an odd number of cache
/// lines, so that the 36 places of a tile do not fall into the same cache set.
pub(super) fn position_stride(vectors: usize, words: usize) -> usize {
    ((vectors * words).div_ceil(LANES) | 1) * LANES
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

impl TileJob for Group<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, W: Points<T, P>, const T: usize, const P: usize>(mut self, s: S) {
        let n = self.tiles.len();
        let v_stride = position_stride(self.sources.len() * n, s.factor_words());
        let m_stride = position_stride(self.panels.len() * self.panel * n, LANES);
        self.v.reserve(P * P * v_stride);
        self.m.reserve(P * P * m_stride);
        let tiles = self.tiles.clone();
        let places: Vec<[usize; 3]> = tiles.map(|tile| self.grid.place(tile)).collect();
        // SAFETY: V and M were made large enough, and each is filled before it is read.
        unsafe {
            self.transform_patches::<S, W, T, P>(s, &places, v_stride);
            self.multiply(s, P * P, n, v_stride, m_stride);
            self.transform_products::<S, W, T, P>(s, &places, m_stride);
        }
    }
}

impl Group<'_, '_> {
    /// V of the patches around the tiles at `places`.
    ///
    /// # Safety
    /// V must have room.
    #[inline(always)]
    unsafe fn transform_patches<S: Simd, W: Points<T, P>, const T: usize, const P: usize>(
        &mut self,
        s: S,
        places: &[[usize; 3]],
        v_stride: usize,
    ) {
        let (r, words) = (s.register(), s.factor_words());
        let size = [self.grid.seen, self.conv.width];
        let mut edge: Edge = [0.0; LARGEST_PATCH * LARGEST_PATCH * LANES];
        let mut half = [[r.zero(); P]; P];
        let mut windows: Vec<Window<P>> = Vec::with_capacity(places.len());
        for (block, source) in self.sources.iter().enumerate() {
            if source.block == 0 {
                windows.clear();
                windows.extend(places.iter().map(|&place| Window::new(source, size, place)));
            }
            for (i, window) in windows.iter().enumerate() {
                let patch = window.patch(source, size[1], &mut edge);
                let to = (block * places.len() + i) * words;
                for lane in (0..LANES).step_by(S::Register::WIDTH) {
                    let to = to + lane * words / LANES;
                    // SAFETY: the patch lies in its plane or in `edge`; the caller made room in V.
                    unsafe {
                        let to = self.v.as_mut_ptr().add(to);
                        transform::patch_columns::<_, W, T, P>(r, &patch, lane, &mut half);
                        for y in 0..P {
                            let row = W::patch_1d(r, half[y]);
                            for x in 0..P {
                                r.store_factors(to.add((y * P + x) * v_stride), row[x]);
                            }
                        }
                    }
                }
            }
        }
    }

    /// The outputs of the tiles at `places` from M.
    ///
    /// # Safety
    /// M must be filled.
    #[inline(always)]
    unsafe fn transform_products<S: Simd, W: Points<T, P>, const T: usize, const P: usize>(
        &self,
        s: S,
        places: &[[usize; 3]],
        m_stride: usize,
    ) {
        let r = s.register();
        let size = [self.grid.made, self.conv.width];
        let first = self.panels.start * self.panel;
        let made = &self.ends[first..self.panels.end * self.panel];
        let mut half = [[r.zero(); P]; T];
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
                    let from = (block * places.len() + i) * LANES + lane;
                    // SAFETY: the caller filled M; tiles do not overlap, and a tile's block of
                    // outputs is made by one task.
                    unsafe {
                        let from = self.m.as_ptr().add(from);
                        transform::product_columns::<_, W, T, P>(r, from, m_stride, &mut half);
                        if end.1.takes_whole(T, size, place) {
                            for dy in 0..T {
                                let row = W::product_1d(r, half[dy]);
                                let row = finish(r, row, bias, self.last.relu);
                                write_row(r, &row, end, size, place, dy, lane);
                            }
                        } else {
                            let mut y = [[r.zero(); T]; T];
                            for dy in 0..T {
                                let row = W::product_1d(r, half[dy]);
                                y[dy] = finish(r, row, bias, self.last.relu);
                            }
                            write(r, &y, end, size, place, lane);
                        }
                    }
                }
            }
        }
    }

    /// M = V * U at every position, panel by panel and slice by slice of the input channels, in
    /// runs of tiles as equal as possible.
    ///
    /// # Safety
    /// V must be filled, and M have room.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(
        &mut self,
        s: S,
        positions: usize,
        n: usize,
        v_stride: usize,
        m_stride: usize,
    ) {
        let kernels = s.gemm_kernels(self.panel);
        let runs = n.div_ceil(kernels.len());
        let panels = self.ends.len() / self.panel;
        let c_blocks = self.sources.len();
        let words = s.factor_words();
        let block_len = words * self.panel * LANES;
        for position in 0..positions {
            for (made, p) in self.panels.clone().enumerate() {
                let u = &self.filters[(position * panels + p) * c_blocks * block_len..];
                for slice in 0..self.slices {
                    let c = slice * c_blocks / self.slices;
                    let taken = (slice + 1) * c_blocks / self.slices - c;
                    let u = u[c * block_len..][..taken * block_len].as_ptr();
                    for run in 0..runs {
                        let (first, end) = (run * n / runs, (run + 1) * n / runs);
                        // SAFETY: V holds `c_blocks x n` and M `panels x panel x n` vectors per
                        // position; the kernel for `end - first` tiles touches those tiles of this
                        // panel only.
                        unsafe {
                            let v_at = position * v_stride + (c * n + first) * words;
                            let v = self.v.as_ptr().add(v_at);
                            let m_at =
                                position * m_stride + (made * self.panel * n + first) * LANES;
                            let m = self.m.as_mut_ptr().add(m_at);
                            let kernel = kernels[end - first - 1];
                            kernel(v, n * words, taken, u, m, n * LANES, slice == 0);
                        }
                    }
                }
            }
        }
    }
}

/// Outputs with their bias and ReLU.
#[inline(always)]
fn finish<S: Lanes, const T: usize>(s: S, mut row: [S::V; T], bias: S::V, relu: bool) -> [S::V; T] {
    for value in &mut row {
        *value = s.add(*value, bias);
        if relu {
            *value = s.max(s.zero(), *value);
        }
    }
    row
}

/// Writes row `dy` of an output tile that lies inside the image, as it is.
///
/// # Safety
/// As for [`write`].
#[inline(always)]
unsafe fn write_row<S: Lanes, const T: usize>(
    s: S,
    row: &[S::V; T],
    (out, plane, block): &(Shared, OutPlane, usize),
    [_, width]: [usize; 2],
    [image, top, left]: [usize; 3],
    dy: usize,
    lane: usize,
) {
    let start = (image * plane.blocks + block) * plane.kept;
    let to = out.at(((start + slot(top + dy, plane.kept)) * width + left) * LANES + lane);
    for dx in 0..T {
        // SAFETY: inside the output, whose size was checked.
        unsafe { s.store(to.add(dx * LANES), row[dx]) };
    }
}

/// Writes an output tile's channels from `lane` on, cut at the image's edge, the way its end asks
/// for.
///
/// # Safety
/// No other task may write the same tile of the same output.
#[inline(always)]
unsafe fn write<S: Lanes, const T: usize>(
    s: S,
    y: &[[S::V; T]; T],
    (out, plane, block): &(Shared, OutPlane, usize),
    [height, width]: [usize; 2],
    [image, top, left]: [usize; 3],
    lane: usize,
) {
    let shift = usize::from(plane.upsampled);
    let (rows, columns) = (height >> shift, width >> shift);
    let side = T >> shift;
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
