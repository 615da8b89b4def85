//! Slow background of a stain: haze, offset, uneven light.
//!
//! The image is cut into blocks; a low percentile of each window of block means is the background
//! there; a wide Gaussian smooths the grid, and it is enlarged linearly. All but the block means
//! happens on the small grid, so the time is one pass over the pixels.

use crate::bits::BAND;
use crate::gaussian::gaussian;
use rayon::prelude::*;
use stainfree_image::Image;
use stainfree_kernels::{Loops, vectorised};

/// Pixels per side of a block whose mean stands for it: noise falls by this factor.
const BLOCK: usize = 4;

/// Share of the blocks of a window that may be darker than its background: low enough for a window
/// that is three quarters covered with nuclei, high enough to pass over a dark speck.
const PERCENTILE: f64 = 0.1;

/// Background of `image`, taken from windows about `window` pixels across.
///
/// The window should hold several objects and some background. A window larger than the image gives
/// one constant.
pub fn background(image: &Image<f32>, window: f64) -> Image<f32> {
    let (height, width) = image.size();
    if height == 0 || width == 0 {
        return image.clone();
    }
    let mut out = Image::filled(height, width, 0.0f32);
    Enlarged::new(&background_grid(image, window), height, width)
        .for_each(&mut out, |o, background| *o = background);
    out
}

/// The background at the middles of windows about `window` pixels across.
fn background_grid(image: &Image<f32>, window: f64) -> Image<f32> {
    let blocks = block_means(image, BLOCK);
    let (block_rows, block_columns) = blocks.size();
    // Windows tile the blocks evenly, each at least `window` across.
    let per_window = (window / BLOCK as f64).max(1.0);
    let rows = ((block_rows as f64 / per_window) as usize).max(1);
    let columns = ((block_columns as f64 / per_window) as usize).max(1);
    let mut values = Vec::new();
    let grid = Image::from_fn(rows, columns, |gy, gx| {
        values.clear();
        for y in gy * block_rows / rows..(gy + 1) * block_rows / rows {
            let (from, to) = (
                gx * block_columns / columns,
                (gx + 1) * block_columns / columns,
            );
            values.extend_from_slice(&blocks.row(y)[from..to]);
        }
        let k = ((values.len() - 1) as f64 * PERCENTILE).round() as usize;
        *values.select_nth_unstable_by(k, f32::total_cmp).1
    });
    gaussian(&grid, 1.0)
}

/// `image` minus its [`background`].
pub fn subtract_background(mut image: Image<f32>, window: f64) -> Image<f32> {
    let (height, width) = image.size();
    if height > 0 && width > 0 {
        let grid = background_grid(&image, window);
        Enlarged::new(&grid, height, width).for_each(&mut image, |v, background| *v -= background);
    }
    image
}

/// Means of blocks of `side` x `side` pixels; blocks at the far rims may be smaller.
pub fn block_means(image: &Image<f32>, side: usize) -> Image<f32> {
    let (height, width) = image.size();
    let (rows, columns) = (height.div_ceil(side), width.div_ceil(side));
    let mut out = Image::filled(rows, columns, 0.0f32);
    let means = |sums: &mut Vec<f32>, (gy, means): (usize, &mut [f32])| {
        vectorised(BlockRow {
            image,
            rows: gy * side..(gy * side + side).min(height),
            side,
            sums,
            means,
        });
    };
    let rows = out.data_mut().par_chunks_mut(columns.max(1));
    rows.enumerate()
        .with_min_len(8)
        .for_each_init(|| vec![0.0f32; width], means);
    out
}

/// The means of a row of blocks; `sums` has a place for every column of the image.
struct BlockRow<'a> {
    image: &'a Image<f32>,
    rows: std::ops::Range<usize>,
    side: usize,
    sums: &'a mut [f32],
    means: &'a mut [f32],
}

impl Loops for BlockRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let tall = self.rows.len();
        // Down the columns first: that is contiguous.
        self.sums.fill(0.0);
        for y in self.rows {
            let columns = self.sums.iter_mut().zip(self.image.row(y));
            columns.for_each(|(s, &v)| *s += v);
        }
        let mean = |block: &[f32]| block.iter().sum::<f32>() / (tall * block.len()) as f32;
        by_blocks(self.sums, self.side, self.means, mean);
    }
}

/// `of` each `side` values into one; the last block may be shorter.
#[inline(always)]
pub(crate) fn by_blocks<A, B>(values: &[A], side: usize, out: &mut [B], of: impl Fn(&[A]) -> B) {
    #[inline(always)]
    fn fixed<const N: usize, A, B>(values: &[A], out: &mut [B], of: impl Fn(&[A]) -> B) {
        let (blocks, rest) = values.as_chunks::<N>();
        let (out, last) = out.split_at_mut(blocks.len());
        out.iter_mut()
            .zip(blocks)
            .for_each(|(o, block)| *o = of(block));
        if let Some(last) = last.first_mut() {
            *last = of(rest);
        }
    }
    // A side known when this is compiled is several times as fast.
    match side {
        1 => fixed::<1, A, B>(values, out, of),
        2 => fixed::<2, A, B>(values, out, of),
        3 => fixed::<3, A, B>(values, out, of),
        4 => fixed::<4, A, B>(values, out, of),
        _ => {
            let blocks = out.iter_mut().zip(values.chunks(side));
            blocks.for_each(|(o, block)| *o = of(block));
        }
    }
}

/// A grid enlarged linearly: its values stand at the middles of their cells, the rim repeats the
/// last one.
pub(crate) struct Enlarged<'a> {
    grid: &'a Image<f32>,
    /// For every row the two rows of the grid around it, and how far it lies from the first.
    rows: Vec<(usize, usize, f32)>,
    /// The same for every column.
    columns: Vec<(usize, usize, f32)>,
}

impl<'a> Enlarged<'a> {
    /// `grid` on an image of `height` x `width` pixels; neither is empty.
    pub(crate) fn new(grid: &'a Image<f32>, height: usize, width: usize) -> Self {
        let places = |n: usize, len: usize| -> Vec<(usize, usize, f32)> {
            (0..len)
                .map(|i| {
                    let at =
                        ((i as f64 + 0.5) * n as f64 / len as f64 - 0.5).clamp(0.0, (n - 1) as f64);
                    let low = at as usize;
                    (low, (low + 1).min(n - 1), (at - low as f64) as f32)
                })
                .collect()
        };
        Self {
            grid,
            rows: places(grid.height(), height),
            columns: places(grid.width(), width),
        }
    }

    /// Hands every pixel of `image` its value of the enlarged grid.
    pub(crate) fn for_each(&self, image: &mut Image<f32>, change: impl Fn(&mut f32, f32) + Sync) {
        let width = image.width();
        let band = |(i, rows): (usize, &mut [f32])| {
            // The two rows of the grid around the current one, enlarged along it.
            let mut around = [
                (usize::MAX, vec![0.0f32; width]),
                (usize::MAX, vec![0.0f32; width]),
            ];
            for (k, row) in rows.chunks_exact_mut(width).enumerate() {
                let (a, b, t) = self.rows[i * BAND + k];
                if around[0].0 != a {
                    around.swap(0, 1);
                }
                self.enlarge_row(a, &mut around[0]);
                self.enlarge_row(b, &mut around[1]);
                vectorised(Between {
                    row,
                    grid: [&around[0].1, &around[1].1],
                    t,
                    change: &change,
                });
            }
        };
        let bands = image.data_mut().par_chunks_mut(BAND * width);
        bands.enumerate().for_each(band);
    }

    /// Row `y` of the grid along the image, unless it is there already.
    fn enlarge_row(&self, y: usize, (known, line): &mut (usize, Vec<f32>)) {
        if std::mem::replace(known, y) == y {
            return;
        }
        let row = self.grid.row(y);
        for (l, &(a, b, t)) in line.iter_mut().zip(&self.columns) {
            *l = row[a] + t * (row[b] - row[a]);
        }
    }
}

/// One row between two rows of the enlarged grid, `t` of the way from the first.
struct Between<'a, F> {
    row: &'a mut [f32],
    grid: [&'a [f32]; 2],
    t: f32,
    change: &'a F,
}

impl<F: Fn(&mut f32, f32)> Loops for Between<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let between = self.grid[0].iter().zip(self.grid[1]);
        for (v, (&p, &q)) in self.row.iter_mut().zip(between) {
            (self.change)(v, p + self.t * (q - p));
        }
    }
}
