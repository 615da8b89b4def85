//! A threshold of its own for every object: a share of its brightness.
//!
//! Bright and dim nuclei lie side by side, and blur spreads the bright ones: one threshold for the
//! field makes bright nuclei too large or drops the dim ones. A blurred edge lies where the intensity
//! has fallen to about half of the plateau, whatever the plateau is. So:
//!
//! 1. pixels above a low floor are candidates;
//! 2. the logarithm of the smoothed stain is flooded from its distinct maxima: one zone an object;
//! 3. the brightness of a zone is a high percentile of its pixels; the threshold there is a share of it.

use crate::components::{Connectivity, label};
use crate::gaussian::gaussian;
use crate::reconstruct::h_maxima;
use crate::splitting::seed_the_rest;
use crate::watershed::watershed;
use stainfree_image::Image;

/// Rank of the pixel that stands for an object's brightness: above the rim, below a bright spot.
const BRIGHTNESS_PERCENTILE: f64 = 0.8;

/// Two maxima are two objects if the valley between them is darker than the lower one by a fifth
/// (0.2 in natural logarithms): more than texture inside a nucleus, less than a gap between two.
const VALLEY: f32 = 0.2;

/// The threshold of every pixel: `share` of the brightness of its object, at least `floor`.
///
/// `flat` is the stain above its background, `knee` the intensity at which its logarithm begins (a few
/// times the noise), `smoothing` the Gaussian in pixels that hides texture inside objects. Pixels at
/// or below `floor` belong to no object: their threshold is infinite.
pub fn object_thresholds(
    flat: &Image<f32>,
    floor: f32,
    knee: f32,
    smoothing: f64,
    share: f32,
) -> Image<f32> {
    let (height, width) = flat.size();
    let candidates = flat.map(|&v| v > floor);
    let parts = label(&candidates, Connectivity::Four);
    let mut surface = gaussian(flat, smoothing);
    // Outside the candidates the surface is at its lowest, so that every part stands alone.
    for (s, &c) in surface.data_mut().iter_mut().zip(candidates.data()) {
        *s = if c { (s.max(0.0) / knee).ln_1p() } else { 0.0 };
    }
    let mut tops = h_maxima(&surface, VALLEY, Connectivity::Eight);
    for (t, &c) in tops.data_mut().iter_mut().zip(candidates.data()) {
        *t &= c;
    }
    let mut seeds = label(&tops, Connectivity::Eight);
    seed_the_rest(&parts, &mut seeds);
    let zones = watershed(
        &surface.map(|&v| -v),
        &seeds.image,
        &candidates,
        Connectivity::Four,
    );
    let mut members: Vec<Vec<f32>> = vec![Vec::new(); seeds.count + 1];
    for (&z, &v) in zones.data().iter().zip(flat.data()) {
        if z != 0 {
            members[z as usize].push(v);
        }
    }
    let levels: Vec<f32> = members
        .iter_mut()
        .map(|values| {
            if values.is_empty() {
                return f32::INFINITY;
            }
            let k = ((values.len() - 1) as f64 * BRIGHTNESS_PERCENTILE) as usize;
            (*values.select_nth_unstable_by(k, f32::total_cmp).1 * share).max(floor)
        })
        .collect();
    Image::new(
        height,
        width,
        zones.data().iter().map(|&z| levels[z as usize]).collect(),
    )
}
