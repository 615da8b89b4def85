//! Holes of masks: background that does not reach the rim of the image.

use crate::components::{Connectivity, areas, label};
use stainfree_image::Image;

/// Fills every hole, however large (`scipy.ndimage.binary_fill_holes`).
///
/// A hole is a 4-connected piece of background that does not touch the rim.
pub fn fill_holes(mask: &Image<bool>) -> Image<bool> {
    fill_holes_below(mask, usize::MAX)
}

/// Fills the holes of at most `max_area` pixels.
///
/// Background is 4-connected, so the foreground is 8-connected: a diagonal ring encloses.
/// Background that touches the rim is never filled: an object cut by the rim has no known hole there.
pub fn fill_holes_below(mask: &Image<bool>, max_area: usize) -> Image<bool> {
    let (height, width) = mask.size();
    let holes = label(&mask.map(|&m| !m), Connectivity::Four);
    let areas = areas(&holes.image);
    let mut open = vec![false; areas.len()];
    for y in 0..height {
        for x in 0..width {
            if y == 0 || x == 0 || y + 1 == height || x + 1 == width {
                open[holes.image.get(y, x) as usize] = true;
            }
        }
    }
    holes
        .image
        .map(|&v| v == 0 || (!open[v as usize] && areas[v as usize] <= max_area))
}
