//! Erosion and dilation of masks, and what they compose to.
//!
//! Outside the image there is neither foreground to dilate nor background to erode, as in
//! `skimage.morphology`: a full mask stays full.

use crate::distance::edt_squared;
use stainfree_image::Image;

/// The neighbourhood of an erosion or dilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footprint {
    /// Square of `2 r + 1` pixels a side (`skimage.morphology.footprint_rectangle`).
    Square(usize),
    /// Offsets with `dy^2 + dx^2 <= r^2` (`skimage.morphology.disk`).
    Disk(usize),
}

/// Pixels whose whole footprint lies in the mask.
pub fn erode(mask: &Image<bool>, footprint: Footprint) -> Image<bool> {
    match footprint {
        // A disk fits where no background pixel is within its radius: one distance transform for
        // any radius.
        Footprint::Disk(r) => {
            let limit = (r * r) as u64;
            edt_squared(mask).map(|&d| u64::from(d) > limit)
        }
        Footprint::Square(r) => square(&mask.map(|&m| !m), r).map(|&m| !m),
    }
}

/// Pixels whose footprint meets the mask.
pub fn dilate(mask: &Image<bool>, footprint: Footprint) -> Image<bool> {
    match footprint {
        Footprint::Disk(_) => erode(&mask.map(|&m| !m), footprint).map(|&m| !m),
        Footprint::Square(r) => square(mask, r),
    }
}

/// Dilation by a square: every true pixel paints its row span, then its column span, in linear time.
fn square(mask: &Image<bool>, r: usize) -> Image<bool> {
    let (height, width) = mask.size();
    let mut rows = Image::filled(height, width, false);
    for y in 0..height {
        let (from, to) = (mask.row(y), rows.row_mut(y));
        // `painted` is the first pixel not yet looked at; spans overlap but each pixel is set once.
        let mut painted = 0;
        for (x, _) in from.iter().enumerate().filter(|&(_, &m)| m) {
            let end = (x + r + 1).min(width);
            to[painted.max(x.saturating_sub(r))..end].fill(true);
            painted = end;
        }
    }
    let mut out = Image::filled(height, width, false);
    let mut painted = vec![0usize; width];
    for y in 0..height {
        for x in 0..width {
            if !rows.get(y, x) {
                continue;
            }
            let end = (y + r + 1).min(height);
            for ny in painted[x].max(y.saturating_sub(r))..end {
                *out.get_mut(ny, x) = true;
            }
            painted[x] = end;
        }
    }
    out
}

/// Erosion, then dilation: removes what the footprint does not fit into.
pub fn open(mask: &Image<bool>, footprint: Footprint) -> Image<bool> {
    dilate(&erode(mask, footprint), footprint)
}

/// Dilation, then erosion: closes gaps that the footprint does not fit into.
pub fn close(mask: &Image<bool>, footprint: Footprint) -> Image<bool> {
    erode(&dilate(mask, footprint), footprint)
}
