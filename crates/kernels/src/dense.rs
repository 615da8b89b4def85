//! Dense convolution with any filter and stride, of any number of channels, and its gradients.
//!
//! What no specialised kernel takes: `winograd` does 3x3 with stride 1, `pointwise` 1x1 of one
//! array, `patches` the first layer.
//!
//! 1. Forward: the patches under a run of outputs, `[tap][channel / 16][output][16]`, times the
//!    filters. A patch's vectors are copied as they lie, so channels need no order of their own.
//! 2. Input gradient: an input pixel sees those taps whose distance from it the stride divides.
//!    Pixels of each remainder of row and column have taps of their own, and for each such *class*
//!    the gradient is a product of patches of the output gradient and turned filters again.
//! 3. Weight gradient: products of patches and output gradients, in slices of the rows that depend
//!    on the shape alone, added up in order.

use crate::blocked::{LANES, Rows, RowsMut, blocks, slot};
use crate::buffer::Buffer;
use crate::depthwise::Window;
use crate::epilogue::{Epilogue, Sink};
use crate::isa::Isa;
use crate::product::{Matrix, Multiply, Outer, add_up};
use crate::simd::{Simd, SimdKernel};
use crate::winograd::Part;
use crate::workers::{Shared, Workers};
use std::cell::RefCell;
use std::ops::Range;

/// A dense convolution of one shape; factors are always f32.
///
/// Output `y` sees the rows from `y * stride - before` on, with zeros outside; height and width
/// shrink by the stride, rounded up. It reads its parts joined channel after channel. *Blocked*
/// filters are `[out panel][tap][part][in][panel]`, each part filled up to whole blocks.
#[derive(Clone, Debug)]
pub struct Dense {
    isa: Isa,
    images: usize,
    parts: Vec<Part>,
    outputs: usize,
    /// Rows and columns of the input, up-sampled where a part is.
    size: [usize; 2],
    window: Window,
    matrix: Matrix,
}

/// Bytes of the patches of one run: half of a second-level cache, so that filters stream past them.
const RUN_BYTES: usize = 1 << 18;
/// Outputs in a run: filters should not be fetched for fewer, and more gain nothing.
const RUN: [usize; 2] = [28, 112];
/// The weight gradient is summed in at least so many tasks where there are enough rows of filters.
const TASKS: usize = 16;
/// Values of all its slices together, unless one slice has more: 16 MiB.
const SLICES_LEN: usize = 1 << 22;

/// One block of channels of one part.
#[derive(Clone, Copy)]
struct Source {
    part: usize,
    block: usize,
}

/// Input pixels whose row and column, counted from the first filter's corner, leave these
/// remainders when divided by the stride: they meet every stride-th tap from there on.
#[derive(Clone, Copy)]
struct Class {
    rows: usize,
    columns: usize,
}

/// What a task works on.
#[derive(Default)]
struct Work {
    patches: Buffer,
    products: Buffer,
    /// Rows of the input gradient before they are sent to the parts, `[row][block][x][16]`.
    lines: Buffer,
}

thread_local! {
    static WORK: RefCell<Work> = RefCell::default();
}

impl Dense {
    /// A convolution of `images` images from `parts`, which joined have `size` (height, width), to
    /// `outputs` channels.
    ///
    /// # Panics
    /// If the filter or stride is empty, the padding reaches beyond the filter, or an up-sampled
    /// part meets an odd height or width.
    pub fn new(
        isa: Isa,
        images: usize,
        parts: &[Part],
        outputs: usize,
        size: [usize; 2],
        window: Window,
    ) -> Self {
        assert!(
            window.kernel > 0 && window.stride > 0 && window.before < window.kernel,
            "no such dense convolution"
        );
        let even = size.iter().all(|side| side.is_multiple_of(2));
        assert!(
            even || parts.iter().all(|part| !part.upsampled),
            "up-sampling needs an even size"
        );
        let isa = isa.f32();
        let taps = window.kernel * window.kernel;
        let rows = taps * input_blocks(parts) * LANES;
        Self {
            isa,
            images,
            parts: parts.to_vec(),
            outputs,
            size,
            window,
            matrix: Matrix::new(isa, rows, outputs),
        }
    }

    fn taps(&self) -> usize {
        self.window.kernel * self.window.kernel
    }

    fn output_size(&self) -> [usize; 2] {
        self.size.map(|side| side.div_ceil(self.window.stride))
    }

    /// All blocks of the input, in the order of the filters' rows.
    fn sources(&self) -> Vec<Source> {
        let of = |(part, Part { channels, .. }): (usize, &Part)| {
            (0..blocks(*channels)).map(move |block| Source { part, block })
        };
        self.parts.iter().enumerate().flat_map(of).collect()
    }

    /// Values of the blocked filters.
    pub fn blocked_len(&self) -> usize {
        self.matrix.len()
    }

    /// Values of the filters for [`Dense::input_gradient`].
    pub fn turned_len(&self) -> usize {
        self.classes().map(|class| self.turned(class).len()).sum()
    }

    /// Bytes that a thread takes for its work at most, and keeps for the next layer.
    pub fn scratch_bytes(&self) -> usize {
        let (inputs, outputs) = (input_blocks(&self.parts), blocks(self.outputs));
        let rows = self.taps() * inputs.max(outputs);
        let run = run_pixels(rows) * (rows + inputs.max(outputs));
        let lines = self.rows_together() * inputs * self.size[1];
        (run + lines) * LANES * size_of::<f32>()
    }

    /// Calls `visit(blocked index, index in [out][in][kernel][kernel])` for every real weight.
    pub fn indices(&self, visit: &mut dyn FnMut(usize, usize)) {
        let (taps, row_blocks) = (self.taps(), input_blocks(&self.parts));
        let inputs: usize = self.parts.iter().map(|part| part.channels).sum();
        for k in 0..self.outputs {
            let (mut channel, mut first) = (0, 0);
            for part in &self.parts {
                for c in 0..part.channels {
                    for tap in 0..taps {
                        let row = (tap * row_blocks + first) * LANES + c;
                        let natural = (k * inputs + channel + c) * taps + tap;
                        visit(self.matrix.place(row, k), natural);
                    }
                }
                channel += part.channels;
                first += blocks(part.channels);
            }
        }
    }

    /// Filters for [`Dense::input_gradient`]: those of each class, one after the other.
    pub fn turn(&self, workers: &Workers, filters: &[f32], to: &mut Buffer) {
        assert_eq!(
            filters.len(),
            self.matrix.len(),
            "filters have another size"
        );
        to.reserve(self.turned_len());
        let (row_blocks, padded) = (input_blocks(&self.parts), blocks(self.outputs) * LANES);
        let mut first = 0;
        for class in self.classes() {
            let (matrix, taps) = (self.turned(class), self.taps_of(class));
            let to = &mut to[first..][..matrix.len()];
            matrix.fill(workers, to, |row, channel| {
                let [ty, tx] = taps[row / padded];
                let tap = ty * self.window.kernel + tx;
                let from = self
                    .matrix
                    .place(tap * row_blocks * LANES + channel, row % padded);
                filters[from]
            });
            first += matrix.len();
        }
    }

    /// The classes of input pixels.
    fn classes(&self) -> impl Iterator<Item = Class> + use<> {
        let stride = self.window.stride;
        (0..stride * stride).map(move |i| Class {
            rows: i / stride,
            columns: i % stride,
        })
    }

    /// The taps that pixels of a class meet, row and column.
    fn taps_of(&self, class: Class) -> Vec<[usize; 2]> {
        let Window { kernel, stride, .. } = self.window;
        let along = |first: usize| (first..kernel).step_by(stride);
        along(class.rows)
            .flat_map(|ty| along(class.columns).map(move |tx| [ty, tx]))
            .collect()
    }

    /// The turned filters of a class: rows are taps and outputs, outputs all input channels.
    fn turned(&self, class: Class) -> Matrix {
        let rows = self.taps_of(class).len() * blocks(self.outputs) * LANES;
        Matrix::new(self.isa, rows, input_blocks(&self.parts) * LANES)
    }

    /// The output rows `rows`; arrays may hold fewer rows than the image has.
    ///
    /// # Panics
    /// If an array does not have the size the shape says.
    pub fn forward_rows(
        &self,
        workers: &Workers,
        inputs: &[Rows],
        filters: &[f32],
        epilogue: Epilogue,
        out: RowsMut,
        rows: Range<usize>,
    ) {
        let [height, width] = self.output_size();
        let to_plane = out.kept * width * LANES;
        let k_blocks = self.matrix.output_blocks();
        self.check(inputs, out.data.len(), out.kept);
        assert!(
            rows.end <= height && rows.len() <= out.kept,
            "rows that are not held"
        );
        epilogue.check(k_blocks, out.data.len());
        let (sources, row_blocks) = (self.sources(), self.row_blocks());
        let shared = Shared::new(out.data);
        let runs = width.div_ceil(run_pixels(row_blocks));
        workers.for_each(self.images * rows.len() * runs, |task| {
            let (line, run) = (task / runs, task % runs);
            let (image, y) = (line / rows.len(), rows.start + line % rows.len());
            let columns = run * width / runs..(run + 1) * width / runs;
            WORK.with_borrow_mut(|Work { patches, .. }| {
                let place = [image, y];
                self.gather(&sources, inputs, place, &columns, 0..row_blocks, patches);
                Multiply {
                    matrix: self.matrix,
                    filters,
                    from: patches,
                    from_block: columns.len() * LANES,
                    to: shared,
                    first: image * k_blocks * to_plane
                        + (slot(y, out.kept) * width + columns.start) * LANES,
                    to_block: to_plane,
                    len: columns.len(),
                    epilogue,
                }
                .run(self.isa);
            });
        });
    }

    fn row_blocks(&self) -> usize {
        self.taps() * input_blocks(&self.parts)
    }

    /// Some blocks of the rows of the patches of the outputs `columns` of row `y`,
    /// `[block][output][16]`.
    fn gather(
        &self,
        sources: &[Source],
        inputs: &[Rows],
        [image, y]: [usize; 2],
        columns: &Range<usize>,
        row_blocks: Range<usize>,
        to: &mut Buffer,
    ) {
        let Window {
            kernel,
            stride,
            before,
        } = self.window;
        let [height, width] = self.size;
        let pixels = columns.len() * LANES;
        to.reserve(row_blocks.len() * pixels);
        for (to, row_block) in to.chunks_exact_mut(pixels).zip(row_blocks) {
            let (tap, source) = (
                row_block / sources.len(),
                sources[row_block % sources.len()],
            );
            let (ty, tx) = (tap / kernel, tap % kernel);
            let row = (y * stride + ty).checked_sub(before);
            let Some(row) = row.filter(|&row| row < height) else {
                to.fill(0.0);
                continue;
            };
            let (part, x) = (self.parts[source.part], &inputs[source.part]);
            let shift = usize::from(part.upsampled);
            let plane = image * blocks(part.channels) + source.block;
            let line = (plane * x.kept + slot(row >> shift, x.kept)) * (width >> shift) * LANES;
            let line = &x.data[line..][..(width >> shift) * LANES];
            copy_line(line, shift, to, |i| {
                let column = ((columns.start + i) * stride + tx).checked_sub(before)?;
                (column < width).then_some(column)
            });
        }
    }

    /// Gradients of the inputs from `d_out`; `filters` from [`Dense::turn`].
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
            self.output_len(self.output_size()[0]),
            "output gradient has another size"
        );
        assert!(filters.len() >= self.turned_len(), "filters are missing");
        let ends: Vec<(Part, Epilogue, Shared)> = self
            .parts
            .iter()
            .zip(sinks)
            .map(|(part, sink)| {
                let len = self.part_len(part, self.size[0] >> usize::from(part.upsampled));
                assert_eq!(sink.data.len(), len, "sink has another size");
                let Sink { data, epilogue } = sink;
                epilogue.check(blocks(part.channels), len);
                (*part, *epilogue, Shared::new(data))
            })
            .collect();
        let together = self.rows_together();
        let [height, _] = self.size;
        workers.for_each(self.images * height / together, |task| {
            let (image, y) = (task * together / height, task * together % height);
            WORK.with_borrow_mut(|work| {
                for i in 0..together {
                    self.gradient_line(d_out, filters, [image, y + i], i, work);
                }
                self.isa.run(SendLines {
                    conv: self,
                    lines: &work.lines,
                    image,
                    y,
                    ends: &ends,
                });
            });
        });
    }

    /// Rows of the input whose gradients are made by one task: those that one row of an up-sampled
    /// part becomes.
    fn rows_together(&self) -> usize {
        1 + usize::from(self.parts.iter().any(|part| part.upsampled))
    }

    /// The gradient of row `y` of all parts, at `line` of the work's lines.
    fn gradient_line(
        &self,
        d_out: &[f32],
        filters: &[f32],
        [image, y]: [usize; 2],
        line: usize,
        work: &mut Work,
    ) {
        let Window { stride, before, .. } = self.window;
        let (width, c_blocks) = (self.size[1], input_blocks(&self.parts));
        let Work {
            patches,
            products,
            lines,
        } = work;
        lines.reserve(self.rows_together() * c_blocks * width * LANES);
        let line = &mut lines[line * c_blocks * width * LANES..][..c_blocks * width * LANES];
        let mut first = 0;
        for class in self.classes() {
            let (matrix, taps) = (self.turned(class), self.taps_of(class));
            let filters = &filters[first..][..matrix.len()];
            first += matrix.len();
            if (y + before) % stride != class.rows {
                continue;
            }
            // Its pixels in this row.
            let start = (class.columns + stride - before % stride) % stride;
            let count = width.saturating_sub(start).div_ceil(stride);
            let runs = count.div_ceil(run_pixels(taps.len() * blocks(self.outputs)));
            for run in 0..runs {
                let pixels = run * count / runs..(run + 1) * count / runs;
                let len = pixels.len();
                products.reserve(c_blocks * len * LANES);
                if taps.is_empty() {
                    products.fill(0.0);
                } else {
                    let corner = [image, y, start + pixels.start * stride];
                    self.gather_gradient(&taps, d_out, corner, len, patches);
                    Multiply {
                        matrix,
                        filters,
                        from: patches,
                        from_block: len * LANES,
                        to: Shared::new(products),
                        first: 0,
                        to_block: len * LANES,
                        len,
                        epilogue: Epilogue::default(),
                    }
                    .run(self.isa);
                }
                for (block, from) in products
                    .chunks_exact(len * LANES)
                    .take(c_blocks)
                    .enumerate()
                {
                    for (i, from) in from.chunks_exact(LANES).enumerate() {
                        let x = start + (pixels.start + i) * stride;
                        line[(block * width + x) * LANES..][..LANES].copy_from_slice(from);
                    }
                }
            }
        }
    }

    /// What reaches `len` pixels of a class from column `first` of row `y` on,
    /// `[tap][out / 16][pixel][16]`.
    fn gather_gradient(
        &self,
        taps: &[[usize; 2]],
        d_out: &[f32],
        [image, y, first]: [usize; 3],
        len: usize,
        to: &mut Buffer,
    ) {
        let Window { stride, before, .. } = self.window;
        let ([height, width], k_blocks) = (self.output_size(), blocks(self.outputs));
        to.reserve(taps.len() * k_blocks * len * LANES);
        for (i, to) in to
            .chunks_exact_mut(len * LANES)
            .take(taps.len() * k_blocks)
            .enumerate()
        {
            let ([ty, tx], block) = (taps[i / k_blocks], i % k_blocks);
            let row = (y + before).checked_sub(ty).map(|row| row / stride);
            let Some(row) = row.filter(|&row| row < height) else {
                to.fill(0.0);
                continue;
            };
            let line = ((image * k_blocks + block) * height + row) * width * LANES;
            copy_line(&d_out[line..][..width * LANES], 0, to, |i| {
                let column = (first + i * stride + before).checked_sub(tx)? / stride;
                (column < width).then_some(column)
            });
        }
    }

    /// Gradient of the blocked filters from the inputs and `d_out`.
    ///
    /// # Panics
    /// If an array does not have the size the shape says.
    pub fn weight_gradient(
        &self,
        workers: &Workers,
        inputs: &[&[f32]],
        d_out: &[f32],
        d_filters: &mut [f32],
        scratch: &mut Buffer,
    ) {
        let [height, width] = self.output_size();
        assert_eq!(inputs.len(), self.parts.len(), "one array per input part");
        let whole = self.parts.iter().zip(inputs).map(|(part, &data)| Rows {
            data,
            kept: self.size[0] >> usize::from(part.upsampled),
        });
        let inputs: Vec<Rows> = whole.collect();
        self.check(&inputs, d_out.len(), height);
        assert_eq!(
            d_filters.len(),
            self.matrix.len(),
            "filters have another size"
        );
        let (sources, row_blocks) = (self.sources(), self.row_blocks());
        let (k_blocks, plane) = (self.matrix.output_blocks(), height * width * LANES);
        let lines = self.images * height;
        let slices = (SLICES_LEN / self.matrix.len()).clamp(1, TASKS).min(lines);
        let groups = TASKS.div_ceil(slices).min(row_blocks);
        let runs = width.div_ceil(run_pixels(row_blocks));
        scratch.reserve(slices * self.matrix.len());
        let shared = Shared::new(scratch);
        workers.for_each(slices * groups, |task| {
            let (slice, group) = (task / groups, task % groups);
            let taken = group * row_blocks / groups..(group + 1) * row_blocks / groups;
            let first = slice * lines / slices;
            WORK.with_borrow_mut(|Work { patches, .. }| {
                for line in first..(slice + 1) * lines / slices {
                    let place = [line / height, line % height];
                    for run in 0..runs {
                        let columns = run * width / runs..(run + 1) * width / runs;
                        self.gather(&sources, &inputs, place, &columns, taken.clone(), patches);
                        let [image, y] = place;
                        let at = image * k_blocks * plane + (y * width + columns.start) * LANES;
                        self.isa.run(Outer {
                            matrix: self.matrix,
                            x: patches,
                            x_block: columns.len() * LANES,
                            d: &d_out[at..],
                            d_block: plane,
                            len: columns.len(),
                            blocks: taken.clone(),
                            to: shared,
                            first: slice * self.matrix.len(),
                            begin: line == first && run == 0,
                        });
                    }
                }
            });
        });
        add_up(self.isa, workers, scratch, slices, d_filters);
    }

    fn part_len(&self, part: &Part, kept: usize) -> usize {
        let width = self.size[1] >> usize::from(part.upsampled);
        self.images * blocks(part.channels) * kept * width * LANES
    }

    fn output_len(&self, kept: usize) -> usize {
        self.images * blocks(self.outputs) * kept * self.output_size()[1] * LANES
    }

    /// Panics unless the arrays have the sizes the shape says.
    #[track_caller]
    fn check(&self, inputs: &[Rows], out: usize, kept: usize) {
        assert_eq!(inputs.len(), self.parts.len(), "one array per input part");
        for (part, rows) in self.parts.iter().zip(inputs) {
            let expected = self.part_len(part, rows.kept);
            assert_eq!(rows.data.len(), expected, "input part has another size");
        }
        assert_eq!(out, self.output_len(kept), "output has another size");
    }
}

/// Blocks of all parts together.
fn input_blocks(parts: &[Part]) -> usize {
    parts.iter().map(|part| blocks(part.channels)).sum()
}

/// Outputs whose patches, of so many blocks, are made at once.
fn run_pixels(row_blocks: usize) -> usize {
    let pixel = row_blocks.max(1) * LANES * size_of::<f32>();
    (RUN_BYTES / pixel).clamp(RUN[0], RUN[1])
}

/// Pixel after pixel of `to`: the one of `line` that `column` names, halved `shift` times, or zeros
/// where it names none.
#[inline]
fn copy_line(line: &[f32], shift: usize, to: &mut [f32], column: impl Fn(usize) -> Option<usize>) {
    for (i, to) in to.chunks_exact_mut(LANES).enumerate() {
        match column(i) {
            Some(x) => to.copy_from_slice(&line[(x >> shift) * LANES..][..LANES]),
            None => to.fill(0.0),
        }
    }
}

/// Sends the gradients of the rows of the input that one task made to the parts.
struct SendLines<'a, 'b> {
    conv: &'a Dense,
    lines: &'a [f32],
    image: usize,
    /// The first of the rows.
    y: usize,
    ends: &'a [(Part, Epilogue<'a>, Shared<'b>)],
}

impl SimdKernel for SendLines<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [height, width] = self.conv.size;
        let (together, c_blocks) = (self.conv.rows_together(), input_blocks(&self.conv.parts));
        let line = |row: usize, block: usize| {
            let first = (row * c_blocks + block) * width * LANES;
            &self.lines[first..][..width * LANES]
        };
        let mut first = 0;
        for (part, epilogue, to) in self.ends {
            let shift = usize::from(part.upsampled);
            let (rows, columns) = (height >> shift, width >> shift);
            for block in 0..blocks(part.channels) {
                let plane = (self.image * blocks(part.channels) + block) * rows;
                // SAFETY: the block is one of the part's, and a bias was checked.
                let bias = unsafe { epilogue.bias_of(s, block * LANES) };
                for row in 0..together >> shift {
                    let place = (plane + (self.y >> shift) + row) * columns * LANES;
                    let from = line(row, first + block);
                    for x in 0..columns {
                        let at = place + x * LANES;
                        let load = |line: &[f32], x: usize| {
                            // SAFETY: the slice holds 16 values.
                            unsafe { s.load(line[x * LANES..][..LANES].as_ptr()) }
                        };
                        let value = if part.upsampled {
                            // Each low-resolution pixel was read four times.
                            let below = line(row + 1, first + block);
                            let top = s.add(load(from, 2 * x), load(from, 2 * x + 1));
                            s.add(top, s.add(load(below, 2 * x), load(below, 2 * x + 1)))
                        } else {
                            load(from, x)
                        };
                        // SAFETY: inside the sink, whose size was checked, as the mask's was; a
                        // row belongs to one task.
                        unsafe {
                            let target = to.at(at);
                            s.store(target, epilogue.apply(s, value, bias, at, target));
                        }
                    }
                }
            }
            first += blocks(part.channels);
        }
    }
}
