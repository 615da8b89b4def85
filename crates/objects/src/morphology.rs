//! Erosion and dilation of masks, and what they compose to.
//!
//! Outside the image there is neither foreground to dilate nor background to erode, as in
//! `skimage.morphology`: a full mask stays full.

use crate::bits::Bits;
use crate::footprint::Footprint;
use stainfree_image::Image;

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
