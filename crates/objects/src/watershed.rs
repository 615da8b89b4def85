//! Seeded watershed by priority flooding.
//!
//! Pixels are flooded in the order of their value, ties in the order in which they were reached;
//! a pixel takes the label of the neighbour that reached it first. This is the order of
//! `skimage.segmentation.watershed` without compactness and without lines, and gives its labels.
//!
//! Source: Beucher & Meyer (1993), "The morphological approach to segmentation".

use crate::labels::Connectivity;
use crate::terrain::Terrain;
use stainfree_image::Image;

/// Floods `surface` from `seeds` (0 = none), lowest first, within `mask`.
///
/// All images are `[height, width]`; the result holds the seeds' labels, 0 outside the mask and
/// where no seed can reach. Seeds outside the mask are dropped.
///
/// # Panics
/// If the sizes differ.
pub fn watershed(
    surface: &Image<f32>,
    seeds: &Image<u32>,
    mask: &Image<bool>,
    connectivity: Connectivity,
) -> Image<u32> {
    assert!(
        surface.size() == seeds.size() && seeds.size() == mask.size(),
        "watershed needs images of one size"
    );
    let inside = mask.data();
    // A terrain is flooded from above; its lowest value is kept for what lies outside.
    let terrain = Terrain::new(&surface.map(|&v| (-v).max(f32::MIN)), |i| inside[i]);
    terrain.flooded_from_image(seeds, connectivity)
}
