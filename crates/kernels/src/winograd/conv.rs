//! The convolution and its input gradient: one engine, two sets of filters, several targets.

use super::blocking::Blocking;
use super::patch::{Edge, Grid, Part, PatchPlace, SourceBlock, source_blocks};
use super::target::Target;
use super::transform::{self, Points, TileKernel};
use super::weights::FilterBank;
use super::{LARGEST_PATCH, TileSize};
use crate::blocked::{LANES, Rows, RowsMut, blocks};
use crate::buffer::Buffer;
use crate::epilogue::{Epilogue, Sink};
use crate::isa::Isa;
use crate::simd::{Lanes, Simd};
use crate::workers::Workers;
use std::cell::RefCell;
use std::ops::Range;

/// A 3x3 convolution of one shape.
#[derive(Clone, Debug)]
pub struct Winograd {
    pub(super) isa: Isa,
    pub(super) images: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) parts: Vec<Part>,
    pub(super) outputs: usize,
    tile: TileSize,
}

thread_local! {
    /// V and M of the group a thread is working on.
    static SCRATCH: RefCell<[Buffer; 2]> = RefCell::default();
}

impl Winograd {
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
            tile: TileSize::Four,
        }
    }

    /// The same convolution, whose outputs and input gradients are made by `tile`.
    pub fn tiled(self, tile: TileSize) -> Self {
        Self { tile, ..self }
    }

    /// Bytes that a thread takes for V and for M at most in a forward pass, and keeps for the next
    /// layer; the gradient of the inputs takes them the other way round.
    pub fn scratch_bytes(&self) -> [usize; 2] {
        let inputs: usize = self
            .parts
            .iter()
            .map(|part| part.channels.div_ceil(LANES))
            .sum();
        let outputs = self.outputs.div_ceil(LANES);
        let tiles = Blocking::on(self.isa, self.tile).group(self.tile, inputs + outputs);
        let block = self.tile.positions() * LANES * tiles * size_of::<f32>();
        [inputs, outputs].map(|blocks| blocks * block)
    }

    /// The arrangement of its filters.
    pub fn filters(&self) -> FilterBank {
        let channels: Vec<usize> = self.parts.iter().map(|p| p.channels).collect();
        FilterBank::new(self.isa, &channels, self.outputs).tiled(self.tile)
    }

    /// The tiles of whole images.
    pub(super) fn grid(&self, tile: TileSize) -> Grid {
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
        epilogue.check(blocks(self.outputs), out.data.len());
        let sources = source_blocks(&self.parts, inputs);
        let targets = Target::of(out, blocks(self.outputs), false, epilogue);
        self.run(workers, &sources, filters, &targets, rows);
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
        let mut targets = Vec::new();
        for (part, sink) in self.parts.iter().zip(sinks) {
            let Sink { data, epilogue } = sink;
            assert_eq!(data.len(), self.part_len(part), "sink has another size");
            let count = blocks(part.channels);
            epilogue.check(count, data.len());
            let kept = self.height >> usize::from(part.upsampled);
            let to = RowsMut { data, kept };
            targets.extend(Target::of(to, count, part.upsampled, *epilogue));
        }
        self.run(workers, &sources, filters, &targets, 0..self.height);
    }

    fn run(
        &self,
        workers: &Workers,
        sources: &[SourceBlock],
        filters: &[f32],
        targets: &[Target],
        rows: Range<usize>,
    ) {
        let positions =
            self.tile.positions() * sources.len() * self.isa.factor_words() * targets.len() * LANES;
        assert!(
            filters.len() >= positions,
            "transformed filters have another size"
        );
        let panel = self.isa.panel(targets.len());
        let grid = Grid {
            rows: rows.len().div_ceil(self.tile.side()),
            first_row: rows.start,
            // The row after the last one is seen too.
            seen: (rows.end + 1).min(self.height),
            made: rows.end,
            ..self.grid(self.tile)
        };
        let total = self.images * grid.rows * grid.columns;
        let panels = targets.len() / panel;
        let channels = [sources.len(), targets.len()];
        let blocking = Blocking::on(self.isa, self.tile);
        let threads = workers.threads();
        let (groups, shares) = blocking.division(self.tile, channels, total, panels, threads);
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
                    targets,
                    v,
                    m,
                };
                self.tile.run(self.isa, group);
            });
        });
    }
}

/// Words between positions for `vectors` vectors of `words` words each: an odd number of cache
/// lines, so that the 36 places of a tile do not fall into the same cache set.
pub(super) fn position_stride(vectors: usize, words: usize) -> usize {
    ((vectors * words).div_ceil(LANES) | 1) * LANES
}

/// A group of tiles: patches to V, V to M, M to outputs.
struct Group<'a, 'b> {
    conv: &'a Winograd,
    tiles: Range<usize>,
    sources: &'a [SourceBlock<'a>],
    filters: &'a [f32],
    grid: Grid,
    /// Blocks of outputs in a panel, and the panels that are made.
    panel: usize,
    panels: Range<usize>,
    /// Into how many parts the input channels are divided.
    slices: usize,
    targets: &'a [Target<'b>],
    v: &'a mut Buffer,
    m: &'a mut Buffer,
}

impl TileKernel for Group<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, W: Points<T, P>, const T: usize, const P: usize>(mut self, s: S) {
        let n = self.tiles.len();
        let v_stride = position_stride(self.sources.len() * n, s.factor_words());
        let m_stride = position_stride(self.panels.len() * self.panel * n, LANES);
        // Kept by the thread from group to group and layer to layer.
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
        // Both outside the loops: a new array is filled with zeros, which costs as much as a
        // transform.
        let mut half = [[r.zero(); P]; P];
        let mut around: Vec<PatchPlace<P>> = Vec::with_capacity(places.len());
        for (block, source) in self.sources.iter().enumerate() {
            // All blocks of a part lie alike, so places are looked up once for them.
            if source.block == 0 {
                around.clear();
                around.extend(
                    places
                        .iter()
                        .map(|&place| PatchPlace::new(source, size, place)),
                );
            }
            for (i, place) in around.iter().enumerate() {
                let patch = place.patch(source, size[1], &mut edge);
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
        let made = &self.targets[self.panels.start * self.panel..self.panels.end * self.panel];
        let mut half = [[r.zero(); P]; T];
        for (block, target) in made.iter().enumerate() {
            for (i, &place) in places.iter().enumerate() {
                for lane in (0..LANES).step_by(S::Register::WIDTH) {
                    // SAFETY: the target's block was checked.
                    let bias = Some(unsafe { target.bias(r, lane) });
                    let from = (block * places.len() + i) * LANES + lane;
                    // SAFETY: the caller filled M; tiles do not overlap, and a tile's block of
                    // outputs is made by one task.
                    unsafe {
                        let from = self.m.as_ptr().add(from);
                        transform::product_columns::<_, W, T, P>(r, from, m_stride, &mut half);
                        if target.takes_whole(T, size, place) {
                            // Row by row: a whole tile would not fit the registers.
                            for dy in 0..T {
                                let mut row = W::product_1d(r, half[dy]);
                                for value in &mut row {
                                    *value = target.epilogue.activate(r, *value, bias);
                                }
                                target.write_row(r, &row, size, place, dy, lane);
                            }
                        } else {
                            let mut y = [[r.zero(); T]; T];
                            for dy in 0..T {
                                y[dy] = W::product_1d(r, half[dy]);
                            }
                            target.write(r, &y, bias, size, place, lane);
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
        let panels = self.targets.len() / self.panel;
        let c_blocks = self.sources.len();
        let words = s.factor_words();
        let block_len = words * self.panel * LANES;
        // Position by position: V and M of one are small enough for the first-level cache, and
        // filters are read as one stream.
        for position in 0..positions {
            for (made, p) in self.panels.clone().enumerate() {
                let u = &self.filters[(position * panels + p) * c_blocks * block_len..];
                for slice in 0..self.slices {
                    let c = slice * c_blocks / self.slices;
                    let taken = (slice + 1) * c_blocks / self.slices - c;
                    let u = u[c * block_len..][..taken * block_len].as_ptr();
                    // Equal runs, since the kernels for few tiles do not fill the registers.
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
