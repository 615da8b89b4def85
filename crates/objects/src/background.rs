//! Slow background of a stain: haze, offset, uneven light.
//!
//! The image is cut into blocks; a low percentile of each window of block means is the background
//! there; a wide Gaussian smooths the grid, and it is enlarged linearly. All but the block means
//! happens on the small grid, so the time is one pass over the pixels.

use crate::gaussian::gaussian;
use stainfree_image::Image;

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
    enlarge(&gaussian(&grid, 1.0), height, width)
}

/// `image` minus its [`background`].
pub fn subtract_background(image: &Image<f32>, window: f64) -> Image<f32> {
    let mut out = background(image, window);
    for (o, &v) in out.data_mut().iter_mut().zip(image.data()) {
        *o = v - *o;
    }
    out
}

/// Means of blocks of `side` x `side` pixels; blocks at the far rims may be smaller.
pub fn block_means(image: &Image<f32>, side: usize) -> Image<f32> {
    let (height, width) = image.size();
    let (rows, columns) = (height.div_ceil(side), width.div_ceil(side));
    let mut out = Image::filled(rows, columns, 0.0f32);
    for y in 0..height {
        let row = out.row_mut(y / side);
        for (x, chunk) in image.row(y).chunks(side).enumerate() {
            row[x] += chunk.iter().sum::<f32>();
        }
    }
    for gy in 0..rows {
        let tall = side.min(height - gy * side);
        for (gx, v) in out.row_mut(gy).iter_mut().enumerate() {
            *v /= (tall * side.min(width - gx * side)) as f32;
        }
    }
    out
}

/// Linear enlargement; grid values stand at the middles of their cells, the rim repeats the last one.
pub(crate) fn enlarge(grid: &Image<f32>, height: usize, width: usize) -> Image<f32> {
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
    let (ys, xs) = (places(grid.height(), height), places(grid.width(), width));
    let mut line = vec![0.0f32; grid.width()];
    let mut out = Image::filled(height, width, 0.0f32);
    for (y, &(a, b, t)) in ys.iter().enumerate() {
        for ((l, &p), &q) in line.iter_mut().zip(grid.row(a)).zip(grid.row(b)) {
            *l = p + t * (q - p);
        }
        for (o, &(a, b, t)) in out.row_mut(y).iter_mut().zip(&xs) {
            *o = line[a] + t * (line[b] - line[a]);
        }
    }
    out
}
