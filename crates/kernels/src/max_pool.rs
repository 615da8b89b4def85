//! Largest of each 2x2 block, and its gradient. A block with a NaN gives NaN.

use crate::blocked::{Blocked, LANES, Rows, RowsMut};
use crate::epilogue::{Epilogue, Sink};
use crate::isa::Isa;
use crate::pass::{Pass, RowKernel};
use crate::simd::Simd;
use crate::workers::Workers;
use std::ops::Range;

/// Halves height and width of `x` (shape `shape`, even sizes) into `out`.
///
/// # Panics
/// If a size is odd or a length does not match.
pub fn forward(isa: Isa, workers: &Workers, shape: &Blocked, x: &[f32], out: &mut [f32]) {
    let half = halved(shape);
    let (x, out) = (shape.whole(x), half.whole_mut(out));
    forward_rows(isa, workers, shape, x, out, 0..half.height);
}

/// The rows `rows` of the result only, of arrays that may hold fewer rows than they have.
///
/// # Panics
/// If a size is odd or a length does not match.
pub fn forward_rows(
    isa: Isa,
    workers: &Workers,
    shape: &Blocked,
    x: Rows,
    out: RowsMut,
    rows: Range<usize>,
) {
    let half = halved(shape);
    shape.check_rows(x.data.len(), x.kept, &(2 * rows.start..2 * rows.end));
    half.check_rows(out.data.len(), out.kept, &rows);
    let pass = Pass::new(isa, workers, shape.planes(), rows, READ * half.width);
    pass.run(out, &Forward { x });
}

/// Pixels that one of the result is made of.
const READ: usize = 4;

/// The shape with half the height and width.
fn halved(shape: &Blocked) -> Blocked {
    assert!(
        shape.height.is_multiple_of(2) && shape.width.is_multiple_of(2),
        "pooling needs even sizes"
    );
    Blocked {
        height: shape.height / 2,
        width: shape.width / 2,
        ..*shape
    }
}

/// Two rows to one.
struct Forward<'a> {
    x: Rows<'a>,
}

impl RowKernel<0> for Forward<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, plane: usize, y: usize, out: &mut [f32]) -> [S::V; 0] {
        let top = self.x.line(plane, 2 * y, 2 * out.len());
        let bottom = self.x.line(plane, 2 * y + 1, 2 * out.len());
        for (i, out) in out.chunks_exact_mut(LANES).enumerate() {
            let at = 2 * i * LANES;
            // SAFETY: the four pixels lie in the two rows, `out` is 16 values.
            unsafe {
                let (top, bottom) = (top.as_ptr().add(at), bottom.as_ptr().add(at));
                let pixels = [
                    s.load(top),
                    s.load(top.add(LANES)),
                    s.load(bottom),
                    s.load(bottom.add(LANES)),
                ];
                // A maximum that loses a NaN would hide a step that went wrong.
                s.store(out.as_mut_ptr(), s.max_or_nan(pixels));
            }
        }
        []
    }
}

/// Sends the gradient `d_out` to each block's first largest pixel (rows first, as PyTorch does).
///
/// # Panics
/// If a size is odd or a length does not match.
pub fn backward(
    isa: Isa,
    workers: &Workers,
    shape: &Blocked,
    x: &[f32],
    d_out: &[f32],
    sink: &mut Sink,
) {
    let half = halved(shape);
    let Sink { data, epilogue } = sink;
    assert!(
        x.len() == shape.len() && data.len() == x.len() && d_out.len() == half.len(),
        "array has another size"
    );
    epilogue.check(shape.blocks(), data.len());
    // A row of this pass is a pair of rows of `x`, which lie one after the other.
    let kept = half.height;
    let to = RowsMut { data, kept };
    let kernel = Backward {
        blocks: shape.blocks(),
        x: Rows { data: x, kept },
        d_out: half.whole(d_out),
        height: half.height,
        epilogue: *epilogue,
    };
    let cost = READ * half.width;
    Pass::new(isa, workers, shape.planes(), 0..half.height, cost).run(to, &kernel);
}

struct Backward<'a> {
    blocks: usize,
    /// Pairs of rows.
    x: Rows<'a>,
    d_out: Rows<'a>,
    /// Rows of `d_out`.
    height: usize,
    epilogue: Epilogue<'a>,
}

impl RowKernel<0> for Backward<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, plane: usize, y: usize, d_x: &mut [f32]) -> [S::V; 0] {
        let row = d_x.len() / 2;
        let offsets = [0, LANES, row, row + LANES];
        let x = self.x.line(plane, y, d_x.len());
        let d_out = self.d_out.line(plane, y, row / 2);
        let first = (plane * self.height + y) * d_x.len();
        let channels = plane % self.blocks * LANES;
        // SAFETY: the channels are a block's, and a bias was checked.
        let bias = unsafe { self.epilogue.bias_of(s, channels) };
        for (i, d_out) in d_out.chunks_exact(LANES).enumerate() {
            let at = 2 * i * LANES;
            // SAFETY: the four pixels lie in the pair of rows; `d_out` is 16 values; the mask was
            // checked to be as long as the whole target.
            unsafe {
                let (x, d_x) = (x.as_ptr().add(at), d_x.as_mut_ptr().add(at));
                let mut values = [s.zero(); 4];
                for corner in 0..4 {
                    values[corner] = s.load(x.add(offsets[corner]));
                }
                let top = s.max(values[0], values[1]);
                let largest = s.max(top, s.max(values[2], values[3]));
                // The first that is largest takes the gradient and leaves zero to the others.
                let mut left = s.load(d_out.as_ptr());
                for corner in 0..4 {
                    let gradient = s.where_equal(values[corner], largest, left, s.zero());
                    left = s.sub(left, gradient);
                    let to = d_x.add(offsets[corner]);
                    let place = first + at + offsets[corner];
                    s.store(to, self.epilogue.apply(s, gradient, bias, place, to));
                }
            }
        }
        []
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_with_a_nan_gives_nan_wherever_it_lies() {
        let shape = Blocked {
            images: 1,
            channels: 16,
            height: 2,
            width: 8,
        };
        for isa in Isa::available() {
            // One block of 2 x 2 for each corner; the fifth value of each pixel is the NaN.
            let mut x = vec![1.0; shape.len()];
            for block in 0..4 {
                let (y, column) = (block / 2, 2 * block + block % 2);
                x[(y * shape.width + column) * LANES + 5] = f32::NAN;
            }
            let mut out = vec![0.0; shape.len() / 4];
            forward(isa, &Workers::new(1), &shape, &x, &mut out);
            let found: Vec<usize> = (0..out.len()).filter(|&i| out[i].is_nan()).collect();
            let expected: Vec<usize> = (0..4).map(|block| block * LANES + 5).collect();
            assert_eq!(found, expected, "{}", isa.name());
        }
    }

    #[test]
    fn any_four_numbers_give_their_largest_and_any_nan_gives_nan() {
        let values = [
            f32::NAN,
            -f32::NAN,
            f32::NEG_INFINITY,
            f32::INFINITY,
            -1.5,
            0.0,
            2.5,
        ];
        // Every choice of four, a channel each: one block of 2 x 2 pixels for 16 of them.
        let count = values.len().pow(4);
        let shape = Blocked {
            images: 1,
            channels: count.next_multiple_of(LANES),
            height: 2,
            width: 2,
        };
        let chosen = |choice: usize, pixel: u32| values[choice / 7usize.pow(pixel) % 7];
        let mut x = vec![0.0; shape.len()];
        for choice in 0..count {
            let (block, lane) = (choice / LANES, choice % LANES);
            for pixel in 0..4 {
                let place = (block * 4 + pixel as usize) * LANES + lane;
                x[place] = chosen(choice, pixel);
            }
        }
        for isa in Isa::available() {
            let mut out = vec![0.0; shape.len() / 4];
            forward(isa, &Workers::new(1), &shape, &x, &mut out);
            for (choice, &found) in out.iter().enumerate().take(count) {
                let four = [0, 1, 2, 3].map(|pixel| chosen(choice, pixel));
                let has_nan = four.iter().any(|v| v.is_nan());
                let largest = four.into_iter().fold(f32::NEG_INFINITY, f32::max);
                let right = if has_nan {
                    found.is_nan()
                } else {
                    found == largest
                };
                assert!(right, "{}: {four:?} gave {found}", isa.name());
            }
        }
    }
}
