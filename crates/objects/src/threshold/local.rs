//! Local thresholds: the surrounding mean of every pixel.

use crate::gaussian::{box_mean, gaussian};
use stainfree_image::Image;

/// Mean of the square window of `2 radius + 1` pixels around every pixel.
///
/// Equal to `skimage.filters.threshold_local(method="mean", block_size=2 * radius + 1)`.
pub fn local_mean(image: &Image<f32>, radius: usize) -> Image<f32> {
    box_mean(image, radius)
}

/// Gaussian-weighted mean around every pixel, with a standard deviation of `radius / 3` pixels.
///
/// Equal to `skimage.filters.threshold_local(method="gaussian", block_size=2 * radius + 1)`.
pub fn local_gaussian(image: &Image<f32>, radius: usize) -> Image<f32> {
    gaussian(image, radius as f64 / 3.0)
}
