//! A convolution as one matrix product: pixels x rows of the filters, panel of outputs by panel.
//!
//! Blocked activations are already what the micro-kernels of `gemm` read: `[channel /
//! 16][pixel][16]`. Only filters are *packed*, once, into panels as wide as a micro-kernel (Goto &
//! van de Geijn 2008), so that it reads them as one stream.
//!
//! Here: how filters lie, the product over a run of pixels, where its results go. Not here: what
//! the rows of the filters are (channels in `pointwise`, taps and channels in `patches` and
//! `dense`).

use crate::blocked::{LANES, blocks, slot};
use crate::buffer::Buffer;
use crate::epilogue::Epilogue;
use crate::isa::Isa;
use crate::simd::{Simd, SimdKernel};
use crate::workers::{Shared, Workers};
use std::cell::RefCell;
use std::ops::Range;

/// A matrix of filters, `rows` x `outputs`, kept as `[output panel][row][panel]`: what the products
/// read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix {
    rows: usize,
    outputs: usize,
    /// Vectors of outputs in a panel.
    panel: usize,
}

impl Matrix {
    pub(crate) fn new(isa: Isa, rows: usize, outputs: usize) -> Self {
        let panel = isa.panel(blocks(outputs));
        Self {
            rows,
            outputs,
            panel,
        }
    }

    /// The same matrix with rows and outputs exchanged.
    fn turned(&self, isa: Isa) -> Self {
        Self::new(isa, self.outputs, self.rows)
    }

    fn row_blocks(&self) -> usize {
        blocks(self.rows)
    }

    pub(crate) fn output_blocks(&self) -> usize {
        blocks(self.outputs)
    }

    fn panels(&self) -> usize {
        self.output_blocks() / self.panel
    }

    /// Values, filled up ones included.
    pub(crate) fn len(&self) -> usize {
        self.row_blocks() * self.output_blocks() * LANES * LANES
    }

    /// Place of a filter's value.
    pub(crate) fn place(&self, row: usize, output: usize) -> usize {
        let width = self.panel * LANES;
        (output / width * self.row_blocks() * LANES + row) * width + output % width
    }

    /// Writes the matrix with every row times its factor.
    pub(crate) fn scale_rows(&self, from: &[f32], factors: &[f32], to: &mut [f32]) {
        let rows = self.row_blocks() * LANES;
        assert!(
            from.len() == self.len() && to.len() == self.len() && factors.len() == rows,
            "filters have another size"
        );
        let width = self.panel * LANES;
        let lines = from.chunks_exact(width).zip(to.chunks_exact_mut(width));
        for ((from, to), &factor) in lines.zip(factors.iter().cycle()) {
            for (to, from) in to.iter_mut().zip(from) {
                *to = from * factor;
            }
        }
    }

    /// Writes the turned matrix, for input gradients.
    pub(crate) fn turn(&self, isa: Isa, workers: &Workers, from: &[f32], to: &mut Buffer) {
        assert_eq!(from.len(), self.len(), "filters have another size");
        let turned = self.turned(isa);
        to.reserve(turned.len());
        turned.fill(workers, to, |row, output| from[self.place(output, row)]);
    }

    /// Writes a matrix of this shape, whose value in each row, for each output, `value` knows;
    /// filled up ones are asked for too.
    pub(crate) fn fill(
        &self,
        workers: &Workers,
        to: &mut [f32],
        value: impl Fn(usize, usize) -> f32 + Sync,
    ) {
        let width = self.panel * LANES;
        let panel_len = self.row_blocks() * LANES * width;
        let shared = Shared::new(to);
        workers.for_each(self.panels(), |panel| {
            // SAFETY: every task has a panel of its own.
            let to = unsafe { shared.slice(panel * panel_len, panel_len) };
            for (row, line) in to.chunks_exact_mut(width).enumerate() {
                for (lane, to) in line.iter_mut().enumerate() {
                    *to = value(row, panel * width + lane);
                }
            }
        });
    }
}

/// Pixels that lie one after the other, in what is read and in what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PixelRun {
    /// First pixel within a block of the input.
    pub(crate) from: usize,
    /// First pixel within a block of the output.
    pub(crate) to: usize,
    /// Pixels.
    pub(crate) len: usize,
}

/// `rows` of `width` pixels as runs of at most `longest` pixels, where `kept` rows are held of
/// what is read and of what is written.
pub(crate) fn pixel_runs(
    width: usize,
    rows: Range<usize>,
    kept: [usize; 2],
    longest: usize,
) -> Vec<PixelRun> {
    let mut found = Vec::new();
    let mut y = rows.start;
    while y < rows.end {
        let [from, to] = kept.map(|kept| slot(y, kept));
        let together = (rows.end - y).min(kept[0] - from).min(kept[1] - to);
        let pixels = together * width;
        let count = pixels.div_ceil(longest);
        found.extend((0..count).map(|i| {
            let first = i * pixels / count;
            PixelRun {
                from: from * width + first,
                to: to * width + first,
                len: (i + 1) * pixels / count - first,
            }
        }));
        y += together;
    }
    found
}

/// Pixels of a run: what is read and written of them should take half of a second-level cache, but
/// filters should not be fetched for less than 56 pixels.
pub(crate) fn run_pixels(matrix: &Matrix) -> usize {
    const BYTES: usize = 1 << 19;
    let pixel = (matrix.row_blocks() + matrix.output_blocks()) * LANES * size_of::<f32>();
    (BYTES / pixel).clamp(56, 560)
}

thread_local! {
    /// Products that must not overwrite what they are added to.
    static PRODUCTS: RefCell<Buffer> = RefCell::default();
}

/// The product over one run of pixels.
pub(crate) struct Multiply<'a, 'b> {
    pub(crate) matrix: Matrix,
    /// `[panel][row][..]`, [`Matrix::len`] values.
    pub(crate) filters: &'a [f32],
    /// First pixel of the run in the first block of rows.
    pub(crate) from: &'a [f32],
    /// Values between blocks of rows.
    pub(crate) from_block: usize,
    /// The whole target ...
    pub(crate) to: Shared<'b>,
    /// ... the place of the run's first pixel in its first block ...
    pub(crate) first: usize,
    /// ... and the values between blocks of outputs.
    pub(crate) to_block: usize,
    /// Pixels.
    pub(crate) len: usize,
    pub(crate) epilogue: Epilogue<'a>,
}

/// A product, and room for results that must not overwrite what they are added to.
struct Product<'a, 'b, 'c> {
    multiply: Multiply<'a, 'b>,
    products: &'c mut Buffer,
}

impl SimdKernel for Product<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { multiply, products } = self;
        let Multiply { matrix, len, .. } = multiply;
        let (rows, outputs) = (matrix.row_blocks(), matrix.output_blocks());
        assert!(
            multiply.filters.len() >= matrix.len(),
            "filters are missing"
        );
        assert!(
            multiply.from.len() >= (rows - 1) * multiply.from_block + len * LANES,
            "pixels are missing"
        );
        // The micro-kernel writes sums, it does not add: what is added to must not be its target.
        // Otherwise it writes to the target at once, and the epilogue finds it in the cache.
        let (m, m_block) = if multiply.epilogue.accumulate {
            products.reserve(outputs * len * LANES);
            (products.as_mut_ptr(), len * LANES)
        } else {
            (multiply.to.at(multiply.first), multiply.to_block)
        };
        // SAFETY: filters and pixels were checked; `m` has a place for every pixel and block.
        unsafe { multiply.multiply(s, m, m_block) };
        multiply.store(s, m, m_block);
    }
}

impl Multiply<'_, '_> {
    /// Makes the product.
    pub(crate) fn run(self, isa: Isa) {
        // The kernel inside the closure, not the closure inside the kernel: a closure is compiled
        // without the instruction set, and where it is not inlined every instruction in it becomes
        // a call.
        PRODUCTS.with_borrow_mut(|products| {
            isa.run(Product {
                multiply: self,
                products,
            });
        });
    }

    /// `m = from * filters`, panel by panel, in runs of pixels as equal as possible.
    ///
    /// # Safety
    /// `m` must be valid for `len` pixels of every block of outputs, `m_block` values apart.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(&self, s: S, m: *mut f32, m_block: usize) {
        let Matrix { panel, .. } = self.matrix;
        let row_blocks = self.matrix.row_blocks();
        let kernels = s.gemm_kernels(panel);
        let runs = self.len.div_ceil(kernels.len());
        let panel_len = row_blocks * LANES * panel * LANES;
        // Panels outside, pixels inside: a panel stays in the first-level cache while runs pass.
        for p in 0..self.matrix.panels() {
            let u = self.filters[p * panel_len..][..panel_len].as_ptr();
            for run in 0..runs {
                let (first, end) = (run * self.len / runs, (run + 1) * self.len / runs);
                // SAFETY: the kernel for `end - first` pixels touches those pixels of this panel
                // only.
                unsafe {
                    let v = self.from.as_ptr().add(first * LANES);
                    let to = m.add(p * panel * m_block + first * LANES);
                    kernels[end - first - 1](v, self.from_block, row_blocks, u, to, m_block, true);
                }
            }
        }
    }

    /// Products at `m` to the target, the way the epilogue asks for.
    #[inline(always)]
    fn store<S: Simd>(&self, s: S, m: *const f32, m_block: usize) {
        for block in 0..self.matrix.output_blocks() {
            let first = self.first + block * self.to_block;
            // SAFETY: a bias was checked to have a value for every output.
            let bias = unsafe { self.epilogue.bias_of(s, block * LANES) };
            for at in (0..self.len * LANES).step_by(LANES) {
                // SAFETY: products and target hold `len` pixels of every block.
                unsafe {
                    let value = s.load(m.add(block * m_block + at));
                    let target = self.to.at(first + at);
                    let value = self.epilogue.apply(s, value, bias, first + at, target);
                    s.store(target, value);
                }
            }
        }
    }
}

/// Pixels in one pass over the gradient of the filters: as many as keep two blocks of outputs and
/// one of rows in the first-level cache.
const PASS: usize = 128;

/// Adds `rows^T * outputs` over a run of pixels to the gradient of some blocks of rows.
pub(crate) struct Outer<'a> {
    pub(crate) matrix: Matrix,
    /// First pixel of the run in the first of the blocks of rows.
    pub(crate) x: &'a [f32],
    pub(crate) x_block: usize,
    /// First pixel of the run in the first block of outputs.
    pub(crate) d: &'a [f32],
    pub(crate) d_block: usize,
    /// Pixels.
    pub(crate) len: usize,
    /// The blocks of rows.
    pub(crate) blocks: Range<usize>,
    /// The whole gradient, laid out as the filters are; only the places of `blocks` are touched.
    pub(crate) to: Shared<'a>,
    /// Where the gradient begins there.
    pub(crate) first: usize,
    /// Whether the gradient is begun with these pixels.
    pub(crate) begin: bool,
}

impl SimdKernel for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Matrix { panel, .. } = self.matrix;
        let (kernel, rows) = s.outer_kernel(panel);
        let pixels = self.len * LANES;
        let holds = |data: &[f32], block, count: usize| data.len() >= (count - 1) * block + pixels;
        assert!(
            holds(self.x, self.x_block, self.blocks.len())
                && holds(self.d, self.d_block, self.matrix.output_blocks()),
            "pixels are missing"
        );
        let passes = self.len.div_ceil(PASS);
        for pass in 0..passes {
            let (start, end) = (pass * self.len / passes, (pass + 1) * self.len / passes);
            for p in 0..self.matrix.panels() {
                for (i, block) in self.blocks.clone().enumerate() {
                    for row in (0..LANES).step_by(rows) {
                        let output = p * panel * LANES;
                        let to = self.first + self.matrix.place(block * LANES + row, output);
                        // SAFETY: `x` and `d` were checked, the gradient has a place for every row
                        // of a panel, and no other task touches these rows.
                        unsafe {
                            let v = self.x.as_ptr().add(i * self.x_block + start * LANES + row);
                            let z = self.d.as_ptr();
                            let z = z.add(p * panel * self.d_block + start * LANES);
                            let d = self.to.at(to);
                            let begin = self.begin && pass == 0;
                            let n = end - start;
                            kernel(v, z, self.d_block, n, d, panel * LANES, begin);
                        }
                    }
                }
            }
        }
    }
}

/// Adds up `count` arrays of `to`'s length that lie one after the other in `parts`, in their order.
pub(crate) fn add_up(isa: Isa, workers: &Workers, parts: &[f32], count: usize, to: &mut [f32]) {
    const PIECE: usize = 1 << 14;
    let len = to.len();
    assert!(parts.len() >= count * len && len.is_multiple_of(LANES));
    let shared = Shared::new(to);
    workers.for_each(len.div_ceil(PIECE), |task| {
        let first = task * PIECE;
        let piece = PIECE.min(len - first);
        isa.run(Sum {
            parts: &parts[first..],
            stride: len,
            count,
            // SAFETY: every task has a piece of its own.
            to: unsafe { shared.slice(first, piece) },
        });
    });
}

struct Sum<'a> {
    parts: &'a [f32],
    stride: usize,
    count: usize,
    to: &'a mut [f32],
}

impl SimdKernel for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (i, to) in self.to.chunks_exact_mut(LANES).enumerate() {
            // SAFETY: 16 values each; slices are checked where they are made.
            unsafe {
                let mut sum = s.zero();
                for part in 0..self.count {
                    let at = &self.parts[part * self.stride + i * LANES..][..LANES];
                    sum = s.add(sum, s.load(at.as_ptr()));
                }
                s.store(to.as_mut_ptr(), sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_break_where_rows_wrap_around() {
        // 4 rows of 5 pixels: rows 2 and 3 lie behind each other, 4 starts anew where 4 are held.
        let found = pixel_runs(5, 2..6, [4, 100], 100);
        let run = |from, to, len| PixelRun { from, to, len };
        assert_eq!(found, [run(10, 10, 10), run(0, 20, 10)]);
        let found = pixel_runs(5, 0..2, [8, 8], 4);
        assert_eq!(found.iter().map(|s| s.len).sum::<usize>(), 10);
        assert!(found.iter().all(|s| s.len <= 4));
    }
}
