//! Holes of masks: background that does not reach the rim of the image.

use crate::bits::Bits;
use crate::runs::with_holes_filled;
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
/// Background that touches the rim is never filled: an object cut by the rim has no known hole
/// there.
pub fn fill_holes_below(mask: &Image<bool>, max_area: usize) -> Image<bool> {
    with_holes_filled(Bits::from_mask(mask), max_area).to_mask()
}
