//! Erosion and dilation of masks, and what they compose to.
//!
//! Outside the image there is neither foreground to dilate nor background to erode, as in
//! `skimage.morphology`: a full mask stays full.

use crate::bits::Bits;
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
    Bits::from_mask(mask).eroded(footprint).to_mask()
}

/// Pixels whose footprint meets the mask.
pub fn dilate(mask: &Image<bool>, footprint: Footprint) -> Image<bool> {
    Bits::from_mask(mask).dilated(footprint).to_mask()
}

/// Erosion, then dilation: removes what the footprint does not fit into.
pub fn open(mask: &Image<bool>, footprint: Footprint) -> Image<bool> {
    Bits::from_mask(mask)
        .eroded(footprint)
        .dilated(footprint)
        .to_mask()
}

/// Dilation, then erosion: closes gaps that the footprint does not fit into.
pub fn close(mask: &Image<bool>, footprint: Footprint) -> Image<bool> {
    Bits::from_mask(mask)
        .dilated(footprint)
        .eroded(footprint)
        .to_mask()
}
