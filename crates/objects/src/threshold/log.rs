//! Otsu on log intensities, for stains that span more than one decade.
//!
//! Bright dying nuclei pull a linear Otsu threshold above the dim ones. On a logarithmic scale a
//! factor counts the same at every brightness; the noise level sets where the scale begins, so the
//! result does not depend on the camera's unit or bit depth.

use super::otsu::otsu;

/// Otsu's threshold of `ln(1 + v / noise)`, given back as an intensity; values below 0 count as 0.
///
/// `noise` is the standard deviation of the background in the unit of `values` (must be positive).
/// `None` if all values are equal.
pub fn otsu_log(values: &[f32], noise: f32, bins: usize) -> Option<f32> {
    let logs: Vec<f32> = values
        .iter()
        .map(|&v| (v.max(0.0) / noise).ln_1p())
        .collect();
    otsu(&logs, bins).map(|t| t.exp_m1() * noise)
}
