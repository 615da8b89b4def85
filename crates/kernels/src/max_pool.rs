//! Largest of each 2x2 block, and its gradient. A block with a NaN gives NaN.

use crate::blocked::{Blocked, LANES, Rows, RowsMut, slot};
use crate::isa::{Isa, Job, Simd};
use crate::workers::{Shared, Workers};
use std::ops::Range;

/// Halves height and width of `x` (shape `shape`, even sizes) into `out`.
///
/// # Panics
/// If a size is odd or a length does not match.
pub fn forward(isa: Isa, workers: &Workers, shape: &Blocked, x: &[f32], out: &mut [f32]) {
    let x = Rows {
        data: x,
        kept: shape.height,
    };
    let out = RowsMut {
        data: out,
        kept: shape.height / 2,
    };
    forward_rows(isa, workers, shape, x, out, 0..shape.height / 2);
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
    let (row, half_row) = (shape.width * LANES, half.width * LANES);
    let shared = Shared::new(out.data);
    workers.for_each(shape.images * shape.blocks() * rows.len(), |task| {
        let (plane, y) = (task / rows.len(), rows.start + task % rows.len());
        let line = |y| &x.data[(plane * x.kept + slot(y, x.kept)) * row..][..row];
        let place = (plane * out.kept + slot(y, out.kept)) * half_row;
        isa.run(Forward {
            top: line(2 * y),
            bottom: line(2 * y + 1),
            // SAFETY: every task has a row of its own.
            out: unsafe { shared.slice(place, half_row) },
        });
    });
}

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
    top: &'a [f32],
    bottom: &'a [f32],
    out: &'a mut [f32],
}

impl Job for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(self.top.len() == 2 * self.out.len() && self.bottom.len() == 2 * self.out.len());
        for (i, out) in self.out.chunks_exact_mut(LANES).enumerate() {
            let at = 2 * i * LANES;
            // SAFETY: the four pixels lie in the two rows, `out` is 16 values.
            unsafe {
                let (top, bottom) = (self.top.as_ptr().add(at), self.bottom.as_ptr().add(at));
                let pixels = [
                    s.load(top),
                    s.load(top.add(LANES)),
                    s.load(bottom),
                    s.load(bottom.add(LANES)),
                ];
                s.store(out.as_mut_ptr(), s.max_or_nan(pixels));
            }
        }
    }
}

/// The gradient that reaches each block's first largest pixel (rows first, as PyTorch does), in
/// place of what `d_x` holds or added to it, as `merge` says; where `merge.relu` is set the result
/// is then zeroed wherever `x` is not positive, which is the gradient of the ReLU that made `x`.
///
/// # Panics
/// If a size is odd or a length does not match.
pub fn backward(
    isa: Isa,
    workers: &Workers,
    shape: &Blocked,
    x: &[f32],
    d_out: &[f32],
    d_x: &mut [f32],
    merge: Merge,
) {
    assert_eq!(x.len(), shape.len(), "array has another size");
    assert_eq!(d_out.len(), halved(shape).len(), "array has another size");
    assert_eq!(d_x.len(), x.len(), "array has another size");
    let shared = Shared::new(d_x);
    workers.for_each(shape.images * shape.blocks(), |task| {
        let x = &x[task * shape.plane()..][..shape.plane()];
        let d_out = &d_out[task * shape.plane() / 4..][..shape.plane() / 4];
        // SAFETY: every task has a plane of its own.
        let d_x = unsafe { shared.slice(task * shape.plane(), shape.plane()) };
        isa.run(Backward {
            width: shape.width,
            x,
            d_out,
            d_x,
            merge,
        });
    });
}

/// How a pool's gradient meets what its target already holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merge {
    /// Added to what is there, instead of replacing it.
    pub accumulate: bool,
    /// Zero wherever the pool's input is not positive.
    pub relu: bool,
}

struct Backward<'a> {
    width: usize,
    x: &'a [f32],
    d_out: &'a [f32],
    d_x: &'a mut [f32],
    merge: Merge,
}

impl Job for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let row = self.width * LANES;
        for (y, d_out) in self.d_out.chunks_exact(row / 2).enumerate() {
            let x = &self.x[2 * y * row..][..2 * row];
            let d_x = &mut self.d_x[2 * y * row..][..2 * row];
            for (i, d_out) in d_out.chunks_exact(LANES).enumerate() {
                let offsets = [0, LANES, row, row + LANES];
                // SAFETY: the four pixels lie in the pair of rows; `d_out` is 16 values.
                unsafe {
                    let (x, d_x) = (
                        x.as_ptr().add(2 * i * LANES),
                        d_x.as_mut_ptr().add(2 * i * LANES),
                    );
                    let mut values = [s.zero(); 4];
                    for corner in 0..4 {
                        values[corner] = s.load(x.add(offsets[corner]));
                    }
                    let top = s.max(values[0], values[1]);
                    let largest = s.max(top, s.max(values[2], values[3]));
                    let mut left = s.load(d_out.as_ptr());
                    for corner in 0..4 {
                        let value = values[corner];
                        let mut gradient = s.where_equal(value, largest, left, s.zero());
                        left = s.sub(left, gradient);
                        let at = d_x.add(offsets[corner]);
                        if self.merge.accumulate {
                            gradient = s.add(gradient, s.load(at));
                        }
                        if self.merge.relu {
                            gradient = s.where_positive(value, gradient);
                        }
                        s.store(at, gradient);
                    }
                }
            }
        }
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
