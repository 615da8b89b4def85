//! 1x1 convolution and its gradients: a matrix product on blocked activations as they lie.
//!
//! 1. Forward: runs of pixels times panels of filters; bias and activation while the run is in
//!    cache.
//! 2. Input gradient: the same with the filters' rows and outputs exchanged.
//! 3. Weight gradient: products of pixels and output gradients, summed over slices of the image
//!    that depend on the shape alone, slice by slice in order.

use crate::blocked::{LANES, Rows, RowsMut, blocks};
use crate::buffer::Buffer;
use crate::epilogue::{Epilogue, Sink};
use crate::isa::Isa;
use crate::product::{Matrix, Multiply, Outer, PixelRun, add_up, pixel_runs, run_pixels};
use crate::workers::{Shared, Workers};
use std::ops::Range;

/// A 1x1 convolution of one shape; factors are always f32.
///
/// *Blocked* filters are `[out panel][in][panel]`, filled up with zeros to whole blocks.
#[derive(Clone, Debug)]
pub struct Pointwise {
    isa: Isa,
    images: usize,
    height: usize,
    width: usize,
    inputs: usize,
    outputs: usize,
    matrix: Matrix,
}

/// The weight gradient is summed in at least so many tasks where the image has enough pixels,
/// whatever the threads are: a slice is a sum of its own ...
const TASKS: usize = 16;
/// ... of at least so many pixels each, since every slice costs a gradient of its own in memory.
const SLICE: usize = 2048;

impl Pointwise {
    /// A convolution of `images` images of `height` x `width` pixels.
    pub fn new(
        isa: Isa,
        images: usize,
        [height, width]: [usize; 2],
        inputs: usize,
        outputs: usize,
    ) -> Self {
        let isa = isa.f32();
        Self {
            isa,
            images,
            height,
            width,
            inputs,
            outputs,
            matrix: Matrix::new(isa, inputs, outputs),
        }
    }

    /// Values of the blocked filters.
    pub fn blocked_len(&self) -> usize {
        self.matrix.len()
    }

    /// Calls `visit(blocked index, index in [out][in])` for every real weight.
    pub fn indices(&self, visit: &mut dyn FnMut(usize, usize)) {
        for k in 0..self.outputs {
            for c in 0..self.inputs {
                visit(self.matrix.place(c, k), k * self.inputs + c);
            }
        }
    }

    /// Filters for [`Pointwise::input_gradient`].
    pub fn turn(&self, workers: &Workers, filters: &[f32], to: &mut Buffer) {
        self.matrix.turn(self.isa, workers, filters, to);
    }

    /// Filters that do to `x` what `filters` do to `x` times a factor for every channel (filled up
    /// to whole blocks).
    ///
    /// # Panics
    /// If an array does not have the size the shape says.
    pub fn scaled(&self, filters: &[f32], factors: &[f32], to: &mut Buffer) {
        to.reserve(self.matrix.len());
        self.matrix.scale_rows(filters, factors, to);
    }

    fn plane(&self, kept: usize) -> usize {
        kept * self.width * LANES
    }

    /// The output rows `rows`; arrays may hold fewer rows than the image has.
    ///
    /// # Panics
    /// If an array does not have the size the shape says.
    pub fn forward_rows(
        &self,
        workers: &Workers,
        x: Rows,
        filters: &[f32],
        epilogue: Epilogue,
        out: RowsMut,
        rows: Range<usize>,
    ) {
        self.product(workers, self.matrix, x, filters, epilogue, out, rows);
    }

    /// Gradient of the input from `d_out`; `filters` from [`Pointwise::turn`].
    ///
    /// # Panics
    /// If an array does not have the size the shape says.
    pub fn input_gradient(
        &self,
        workers: &Workers,
        d_out: &[f32],
        filters: &[f32],
        sink: &mut Sink,
    ) {
        let matrix = Matrix::new(self.isa, self.outputs, self.inputs);
        let kept = self.height;
        let x = Rows { data: d_out, kept };
        let Sink { data, epilogue } = sink;
        let out = RowsMut { data, kept };
        self.product(workers, matrix, x, filters, *epilogue, out, 0..kept);
    }

    #[allow(clippy::too_many_arguments)]
    fn product(
        &self,
        workers: &Workers,
        matrix: Matrix,
        x: Rows,
        filters: &[f32],
        epilogue: Epilogue,
        out: RowsMut,
        rows: Range<usize>,
    ) {
        let row_blocks = matrix.len() / LANES / LANES / matrix.output_blocks();
        let (from, to) = (self.plane(x.kept), self.plane(out.kept));
        assert_eq!(
            x.data.len(),
            self.images * row_blocks * from,
            "input has another size"
        );
        assert_eq!(
            out.data.len(),
            self.images * matrix.output_blocks() * to,
            "output has another size"
        );
        assert!(
            rows.end <= self.height && rows.len() <= out.kept,
            "rows that are not held"
        );
        epilogue.check(matrix.output_blocks(), out.data.len());
        let runs = pixel_runs(self.width, rows, [x.kept, out.kept], run_pixels(&matrix));
        let shared = Shared::new(out.data);
        // A task makes all outputs of its pixels: they come from memory, and are read once; filters
        // are mostly smaller and shared by all tasks.
        workers.for_each(self.images * runs.len(), |task| {
            let (image, run) = (task / runs.len(), runs[task % runs.len()]);
            Multiply {
                matrix,
                filters,
                from: &x.data[image * row_blocks * from..][..row_blocks * from][run.from * LANES..],
                from_block: from,
                to: shared,
                first: image * matrix.output_blocks() * to + run.to * LANES,
                to_block: to,
                len: run.len,
                epilogue,
            }
            .run(self.isa);
        });
    }

    /// Gradient of the blocked filters from the input and `d_out`.
    ///
    /// # Panics
    /// If an array does not have the size the shape says.
    pub fn weight_gradient(
        &self,
        workers: &Workers,
        x: &[f32],
        d_out: &[f32],
        d_filters: &mut [f32],
        scratch: &mut Buffer,
    ) {
        let (c_blocks, k_blocks) = (blocks(self.inputs), blocks(self.outputs));
        let plane = self.plane(self.height);
        assert_eq!(
            x.len(),
            self.images * c_blocks * plane,
            "input has another size"
        );
        assert_eq!(
            d_out.len(),
            self.images * k_blocks * plane,
            "output has another size"
        );
        assert_eq!(
            d_filters.len(),
            self.matrix.len(),
            "filters have another size"
        );
        let pixels = self.height * self.width;
        let wanted = TASKS.div_ceil(self.images);
        let each = pixels.div_ceil((pixels / SLICE).clamp(1, wanted));
        let slices: Vec<(usize, PixelRun)> = (0..self.images)
            .flat_map(|image| {
                let whole = [self.height; 2];
                let runs = pixel_runs(self.width, 0..self.height, whole, each);
                runs.into_iter().map(move |run| (image, run))
            })
            .collect();
        // Where pixels are few, channels are many. Groups of rows are independent sums, so they
        // change no order, whereas slices do: their number is the shape's, not the threads'.
        let groups = TASKS.div_ceil(slices.len()).min(c_blocks);
        // A gradient for each slice, added up at last: no two tasks add to the same number.
        scratch.reserve(slices.len() * self.matrix.len());
        let shared = Shared::new(scratch);
        workers.for_each(slices.len() * groups, |task| {
            let (slice, group) = (task / groups, task % groups);
            let (image, run) = slices[slice];
            let blocks = group * c_blocks / groups..(group + 1) * c_blocks / groups;
            let first = (image * c_blocks + blocks.start) * plane + run.from * LANES;
            self.isa.run(Outer {
                matrix: self.matrix,
                x: &x[first..],
                x_block: plane,
                d: &d_out[image * k_blocks * plane + run.from * LANES..],
                d_block: plane,
                len: run.len,
                blocks,
                to: shared,
                first: slice * self.matrix.len(),
                begin: true,
            });
        });
        add_up(self.isa, workers, scratch, slices.len(), d_filters);
    }
}
