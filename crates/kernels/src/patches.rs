//! Dense convolution of a few channels with any filter and stride: the first layer of an encoder.
//!
//! The patch under a filter becomes a row of `taps x channels` numbers, and the convolution a
//! product of patches and filters. Patches are made for a run of outputs at a time and stay in
//! cache. With 3 channels, 27 numbers of a 3x3 patch fill two blocks of 16, where a blocked image
//! would bring 9 x 16, mostly zeros.
//!
//! There is no input gradient: below the first layer lies the image. Other layers, and patches
//! that are too large for this, are `dense`'s.

use crate::blocked::{LANES, Rows, RowsMut, blocks, slot};
use crate::buffer::Buffer;
use crate::depthwise::Window;
use crate::epilogue::Epilogue;
use crate::isa::Isa;
use crate::product::{Matrix, Multiply, Outer, add_up};
use crate::workers::{Shared, Workers};
use std::cell::RefCell;
use std::ops::Range;

/// A dense convolution of one shape; factors are always f32.
///
/// Geometry as in [`crate::depthwise::Depthwise`]. *Blocked* filters are `[out
/// panel][tap][in][panel]`, rows and outputs filled up with zeros to whole blocks.
#[derive(Clone, Debug)]
pub struct Patches {
    isa: Isa,
    images: usize,
    inputs: usize,
    outputs: usize,
    /// Rows and columns of the input.
    size: [usize; 2],
    window: Window,
    matrix: Matrix,
}

/// Outputs whose patches are made at once: two blocks of them and their outputs stay in the
/// first-level cache.
const RUN: usize = 112;
/// Numbers of the largest patch, 5x5 of 16 channels.
const LARGEST: usize = 25 * LANES;
/// The weight gradient is summed over so many slices, where there are enough rows: each is a sum of
/// its own, so their number must not be that of the threads.
const SLICES: usize = 16;

/// Values that are copied together into a patch: a copy whose length is known is a move or two,
/// another one a call, and the pieces of a patch are short (9 values of 3x3 on 3 channels).
const COPIED: usize = 8;

/// Patches of a run of outputs.
#[derive(Default)]
struct Patched {
    /// Rows of the image under the filter, `[row][column][in]`.
    lines: Vec<f32>,
    /// `[row of the matrix / 16][output][16]`.
    patches: Buffer,
}

thread_local! {
    /// The run a thread is working on.
    static PATCHES: RefCell<Patched> = RefCell::default();
}

impl Patches {
    /// Whether there are few enough channels in, at most 16, and a patch is small enough.
    pub fn takes(inputs: usize, window: Window) -> bool {
        inputs <= LANES && window.kernel * window.kernel * inputs <= LARGEST
    }

    /// A convolution of `images` images whose inputs have `size` (height, width).
    ///
    /// # Panics
    /// If they are not [taken](Patches::takes).
    pub fn new(
        isa: Isa,
        images: usize,
        inputs: usize,
        outputs: usize,
        size: [usize; 2],
        window: Window,
    ) -> Self {
        assert!(
            Self::takes(inputs, window),
            "patches are for few channels and small filters"
        );
        let isa = isa.f32();
        let rows = window.kernel * window.kernel * inputs;
        Self {
            isa,
            images,
            inputs,
            outputs,
            size,
            window,
            matrix: Matrix::new(isa, rows, outputs),
        }
    }

    fn output_size(&self) -> [usize; 2] {
        self.size.map(|side| side.div_ceil(self.window.stride))
    }

    /// Values of the blocked filters.
    pub fn blocked_len(&self) -> usize {
        self.matrix.len()
    }

    /// Calls `visit(blocked index, index in [out][in][kernel][kernel])` for every real weight.
    pub fn indices(&self, visit: &mut dyn FnMut(usize, usize)) {
        let taps = self.window.kernel * self.window.kernel;
        for k in 0..self.outputs {
            for c in 0..self.inputs {
                for tap in 0..taps {
                    let blocked = self.matrix.place(tap * self.inputs + c, k);
                    visit(blocked, (k * self.inputs + c) * taps + tap);
                }
            }
        }
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
        let width = self.output_size()[1];
        let to_plane = out.kept * width * LANES;
        let k_blocks = self.matrix.output_blocks();
        self.check(&x, out.data.len(), out.kept);
        assert!(
            rows.end <= self.output_size()[0] && rows.len() <= out.kept,
            "rows that are not held"
        );
        epilogue.check(k_blocks, out.data.len());
        let shared = Shared::new(out.data);
        let runs = width.div_ceil(RUN);
        workers.for_each(self.images * rows.len() * runs, |task| {
            let (line, run) = (task / runs, task % runs);
            let (image, y) = (line / rows.len(), rows.start + line % rows.len());
            let columns = run * width / runs..(run + 1) * width / runs;
            PATCHES.with_borrow_mut(|patches| {
                self.gather(&x, image, y, columns.clone(), patches);
                let place = (slot(y, out.kept) * width + columns.start) * LANES;
                Multiply {
                    matrix: self.matrix,
                    filters,
                    from: &patches.patches,
                    from_block: columns.len() * LANES,
                    to: shared,
                    first: image * k_blocks * to_plane + place,
                    to_block: to_plane,
                    len: columns.len(),
                    epilogue,
                }
                .run(self.isa);
            });
        });
    }

    /// The patches of some outputs of row `y`, blocked.
    ///
    /// First the rows under the filter are laid out without the blocks' empty places; there a row
    /// of a patch is one piece.
    fn gather(&self, x: &Rows, image: usize, y: usize, columns: Range<usize>, to: &mut Patched) {
        let Window { kernel, stride, .. } = self.window;
        let (piece, rows) = (kernel * self.inputs, kernel * kernel * self.inputs);
        let row_blocks = blocks(rows);
        let pixels = (columns.len() - 1) * stride + kernel;
        let line = pixels * self.inputs + COPIED;
        to.lines.clear();
        to.lines.resize(kernel * line, 0.0);
        for (ty, to) in to.lines.chunks_exact_mut(line).enumerate() {
            self.lay_out(x, image, y * stride + ty, columns.start * stride, to);
        }
        to.patches.reserve(row_blocks * columns.len() * LANES);
        let mut patch = [0.0; LARGEST + COPIED];
        for i in 0..columns.len() {
            for ty in 0..kernel {
                // More than the piece is copied, so that its length is known; the next one lies
                // over the rest.
                let from = &to.lines[ty * line + i * stride * self.inputs..];
                for at in (0..piece).step_by(COPIED) {
                    patch[ty * piece + at..][..COPIED].copy_from_slice(&from[at..][..COPIED]);
                }
            }
            patch[rows..row_blocks * LANES].fill(0.0);
            for block in 0..row_blocks {
                to.patches[(block * columns.len() + i) * LANES..][..LANES]
                    .copy_from_slice(&patch[block * LANES..][..LANES]);
            }
        }
    }

    /// Row `y` of an image, counted from the first one that a filter sees, from column `first` on,
    /// `[column][in]`; what lies outside the image is left as it is.
    fn lay_out(&self, x: &Rows, image: usize, y: usize, first: usize, to: &mut [f32]) {
        let ([height, width], before) = (self.size, self.window.before);
        let Some(row) = y.checked_sub(before).filter(|&row| row < height) else {
            return;
        };
        let from = &x.data[(image * x.kept + slot(row, x.kept)) * width * LANES..];
        let pixels = to.chunks_exact_mut(self.inputs).enumerate();
        for (i, to) in pixels.skip(before.saturating_sub(first)) {
            let column = first + i - before;
            if column >= width {
                break;
            }
            for (c, to) in to.iter_mut().enumerate() {
                *to = from[column * LANES + c];
            }
        }
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
        let [height, width] = self.output_size();
        let x = Rows {
            data: x,
            kept: self.size[0],
        };
        self.check(&x, d_out.len(), height);
        assert_eq!(
            d_filters.len(),
            self.matrix.len(),
            "filters have another size"
        );
        let (k_blocks, plane) = (self.matrix.output_blocks(), height * width * LANES);
        let lines = self.images * height;
        let slices = SLICES.min(lines);
        scratch.reserve(slices * self.matrix.len());
        let shared = Shared::new(scratch);
        let row_blocks = self.matrix.len() / LANES / LANES / k_blocks;
        let runs = width.div_ceil(RUN);
        workers.for_each(slices, |slice| {
            PATCHES.with_borrow_mut(|patches| {
                let first = slice * lines / slices;
                for line in first..(slice + 1) * lines / slices {
                    let (image, y) = (line / height, line % height);
                    for run in 0..runs {
                        let columns = run * width / runs..(run + 1) * width / runs;
                        self.gather(&x, image, y, columns.clone(), patches);
                        let at = image * k_blocks * plane + (y * width + columns.start) * LANES;
                        self.isa.run(Outer {
                            matrix: self.matrix,
                            x: &patches.patches,
                            x_block: columns.len() * LANES,
                            d: &d_out[at..],
                            d_block: plane,
                            len: columns.len(),
                            blocks: 0..row_blocks,
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

    /// Panics unless the arrays have the sizes the shape says.
    #[track_caller]
    fn check(&self, x: &Rows, out: usize, kept: usize) {
        let row = self.images * self.size[1] * LANES;
        assert_eq!(x.data.len(), x.kept * row, "input has another size");
        let blocks = self.images * self.matrix.output_blocks();
        let expected = blocks * kept * self.output_size()[1] * LANES;
        assert_eq!(out, expected, "output has another size");
    }
}
