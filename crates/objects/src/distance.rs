//! The exact Euclidean distance transform, in integers.
//!
//! Method: Felzenszwalb & Huttenlocher (2012), "Distance Transforms of Sampled Functions", in the
//! integer form of Meijster, Roerdink & Hesselink (2000): first the distance to the nearest
//! background pixel of the same column, then for every row the lower envelope of the parabolas
//! `(x - i)^2 + g(i)^2`. Squared distances are integers, so the result is exact.
//!
//! A run of foreground in a row sees only parabolas of its own columns and of the two background
//! pixels that end it: whatever lies beyond those is farther than they are. So the envelope is
//! built per run, and the second pass costs time by foreground, not by image.

use stainfree_image::Image;
use stainfree_kernels::{Loops, vectorised};

/// Marks "no background anywhere" in squared distances.
pub const UNREACHED: u32 = u32::MAX;

/// Squared Euclidean distance in pixels from each true pixel to the nearest false pixel.
///
/// False pixels are 0. The rim of the image is not background. Without any background every value
/// is [`UNREACHED`].
///
/// # Panics
/// If a side is longer than 32,768 pixels: squared distances would not fit u32.
pub fn edt_squared(mask: &Image<bool>) -> Image<u32> {
    let (height, width) = mask.size();
    assert!(
        height <= 32_768 && width <= 32_768,
        "distance transform of {height} x {width} pixels"
    );
    let mut out = Image::filled(height, width, 0u32);
    if height == 0 || width == 0 {
        return out;
    }
    // Column distances; `far` exceeds every real one.
    let far = (height + width) as u32;
    vectorised(ColumnDistances {
        mask,
        far,
        out: &mut out,
    });
    let mut envelope = Envelope::default();
    let mut column = vec![0u32; width];
    let mut squares = Vec::new();
    for y in 0..height {
        column.copy_from_slice(out.row(y));
        let row = out.row_mut(y);
        let mut start = 0;
        while start < width {
            if column[start] == 0 {
                start += 1;
                continue;
            }
            let mut end = start;
            while end < width && column[end] != 0 {
                end += 1;
            }
            let highest = column[start..end].iter().copied().max().unwrap_or(0);
            if highest <= NEAR.min(far - 1) {
                vectorised(NearDistances {
                    column: &column,
                    run: start..end,
                    highest: highest as usize,
                    squares: &mut squares,
                    row,
                });
                start = end;
                continue;
            }
            // One background pixel on either side joins the envelope where there is one.
            let first = start.saturating_sub(1);
            let last = (end + 1).min(width);
            envelope.lower(&column, first, last, start, end, far, row);
            start = end;
        }
    }
    out
}

/// Euclidean distance in pixels from each true pixel to the nearest false pixel; see
/// [`edt_squared`].
///
/// Infinite where there is no background. Equal to `scipy.ndimage.distance_transform_edt` rounded
/// to f32.
pub fn edt(mask: &Image<bool>) -> Image<f32> {
    /// Whole numbers up to here are exact in f32, and so is the rounding of their root.
    const EXACT: u32 = 1 << f32::MANTISSA_DIGITS;
    let squared = edt_squared(mask);
    if squared.data().iter().any(|&d| d >= EXACT) {
        return squared.map(|&d| match d {
            UNREACHED => f32::INFINITY,
            _ => f64::from(d).sqrt() as f32,
        });
    }
    let mut out = Image::filled(mask.height(), mask.width(), 0.0f32);
    vectorised(Roots(squared.data(), out.data_mut()));
    out
}

/// The roots of numbers that are exact in f32.
struct Roots<'a>(&'a [u32], &'a mut [f32]);

impl Loops for Roots<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let places = self.1.iter_mut().zip(self.0);
        places.for_each(|(o, &d)| *o = (d as i32 as f32).sqrt());
    }
}

/// Distance to the nearest background of the same column; `far` where there is none.
struct ColumnDistances<'a> {
    mask: &'a Image<bool>,
    far: u32,
    out: &'a mut Image<u32>,
}

impl Loops for ColumnDistances<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (height, width) = self.mask.size();
        let far = self.far;
        // Whole rows at a time, so that the inner loops have no branches.
        for y in 0..height {
            let (above, here) = self.out.data_mut()[..(y + 1) * width].split_at_mut(y * width);
            let mask = self.mask.row(y);
            if y == 0 {
                let flags = here.iter_mut().zip(mask);
                flags.for_each(|(h, &m)| *h = if m { far } else { 0 });
                continue;
            }
            let above = &above[(y - 1) * width..];
            in_blocks(here, above, |x, h, a| {
                *h = if mask[x] { (a + 1).min(far) } else { 0 };
            });
        }
        for y in (0..height - 1).rev() {
            let (here, below) = self.out.data_mut()[y * width..].split_at_mut(width);
            in_blocks(here, &below[..width], |_, h, b| *h = (b + 1).min(*h));
        }
    }
}

/// Changes every value of a row, in blocks of a fixed length: rows of a part are short.
#[inline(always)]
fn in_blocks(row: &mut [u32], other: &[u32], change: impl Fn(usize, &mut u32, u32)) {
    const BLOCK: usize = 8;
    let (blocks, rest) = row.as_chunks_mut::<BLOCK>();
    let (others, last) = other.as_chunks::<BLOCK>();
    let done = BLOCK * blocks.len();
    for (i, (block, other)) in blocks.iter_mut().zip(others).enumerate() {
        for k in 0..BLOCK {
            change(BLOCK * i + k, &mut block[k], other[k]);
        }
    }
    for (k, (v, &o)) in rest.iter_mut().zip(last).enumerate() {
        change(done + k, v, o);
    }
}

/// Column distances up to which all shifts of a run are tried instead: squares of two still fit
/// i16.
const NEAR: u32 = 127;

/// Squared distances of a run of foreground, `run` of a row, whose column distances are at most
/// `highest`.
///
/// A parabola farther away than the column distance cannot be lower, so `highest` shifts are
/// enough, and so are those up to the nearer of two ends; each is an addition and a minimum of
/// 16-bit numbers.
struct NearDistances<'a> {
    column: &'a [u32],
    run: std::ops::Range<usize>,
    highest: usize,
    squares: &'a mut Vec<i16>,
    row: &'a mut [u32],
}

impl Loops for NearDistances<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        const BLOCK: usize = 16;
        /// More than any square; with another one added it still fits.
        const FAR: i16 = i16::MAX / 2;
        let (run, width) = (self.run, self.column.len());
        // From one background pixel, where there is one, to the other.
        let (first, last) = (run.start.saturating_sub(1), (run.end + 1).min(width));
        let n = last - first;
        let both_ends = first < run.start && run.end < last;
        let reach = self.highest.min(if both_ends { n / 2 } else { n - 1 });
        let squares = self.squares;
        squares.clear();
        squares.resize(reach, FAR);
        squares.extend(self.column[first..last].iter().map(|&d| (d * d) as i16));
        squares.resize(squares.len() + reach + BLOCK, FAR);
        let start = reach + run.start - first;
        for (i, out) in self.row[run].chunks_mut(BLOCK).enumerate() {
            let at = start + BLOCK * i;
            let block = |from: usize| squares[from..].first_chunk::<BLOCK>();
            let mut found = block(at).copied().unwrap_or([FAR; BLOCK]);
            for shift in 1..=reach {
                let more = (shift * shift) as i16;
                let (Some(before), Some(after)) = (block(at - shift), block(at + shift)) else {
                    break;
                };
                for k in 0..BLOCK {
                    found[k] = found[k].min(before[k].min(after[k]) + more);
                }
            }
            out.iter_mut().zip(found).for_each(|(o, d)| *o = d as u32);
        }
    }
}

/// The parabolas that make up the lower envelope, and where each begins to be lowest.
#[derive(Default)]
struct Envelope {
    apex: Vec<usize>,
    from: Vec<i64>,
}

impl Envelope {
    /// Squared distances of columns `start..end` into `row`, from column distances `first..last`.
    fn lower(
        &mut self,
        column: &[u32],
        first: usize,
        last: usize,
        start: usize,
        end: usize,
        far: u32,
        row: &mut [u32],
    ) {
        let height_at = |i: usize| i64::from(column[i]) * i64::from(column[i]);
        self.apex.clear();
        self.from.clear();
        for i in first..last {
            if column[i] == far {
                continue;
            }
            let begin = loop {
                let Some(&top) = self.apex.last() else {
                    break i64::MIN;
                };
                // First x at which the parabola of `i` is strictly below that of `top`.
                let (a, b) = (top as i64, i as i64);
                let cross =
                    (b * b - a * a + height_at(i) - height_at(top)).div_euclid(2 * (b - a)) + 1;
                if self.from.last().is_some_and(|&f| cross <= f) {
                    self.apex.pop();
                    self.from.pop();
                } else {
                    break cross;
                }
            };
            self.apex.push(i);
            self.from.push(begin);
        }
        if self.apex.is_empty() {
            row[start..end].fill(UNREACHED);
            return;
        }
        let mut k = 0;
        for x in start..end {
            while k + 1 < self.apex.len() && self.from[k + 1] <= x as i64 {
                k += 1;
            }
            let d = x as i64 - self.apex[k] as i64;
            row[x] = (d * d + height_at(self.apex[k])) as u32;
        }
    }
}
