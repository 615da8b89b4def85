//! Which nuclei look mitotic in their stain: bright, and bright within a few micrometres.
//!
//! Condensed chromosomes hold the DNA of two nuclei in a plate or clump of 3 to 8 um. Two numbers
//! decide, each against the field's median nucleus: the brightness of the object's top, and its
//! compactness, which is what a band of scales (a difference of Gaussians of 1.4 and 4 um) shows of
//! that brightness. The band ends a saturated plateau, a haze and a threshold that lies too far out
//! with the object that causes them, where sizes and slopes do not: a nucleus of 13 um that
//! saturates is as bright and as steep as chromosomes, but not as small.
//!
//! Not here: phases of mitosis, pairs of daughter nuclei, what a person decides about a candidate.

use crate::background::subtract_background;
use crate::error::{ObjectsError, same_size};
use crate::gaussian::gaussian;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;
use std::collections::BTreeMap;

/// Blur before brightness is measured, um: hides texture.
const SMOOTHING_UM: f64 = 0.5;
/// Windows of the background estimate, um; that of the nuclear stain.
const BACKGROUND_UM: f64 = 50.0;
/// The band of scales, um. On simulated plates 1 and 4 do nearly as well, 1 and 3, 0.7 and 3 or 0.5
/// and 1.5 do worse.
const BAND_UM: [f64; 2] = [1.4, 4.0];
/// Where the top of an object lies: a quantile of its pixels.
const TOP: f64 = 0.95;
/// The band counts as at least this share of the top: it may be negative where an object is hollow.
const LEAST_COMPACTNESS: f32 = 1e-3;
/// Logistic regression on the nuclei of simulated plates of seeds 101 to 112, clean and `hard`,
/// remade by the example `mitosis` of the project's crate; other seeds are scored in docs/truth.md.
/// Per octave of brightness, per octave of compactness, constant.
const PER_BRIGHTNESS: f64 = 8.76;
const PER_COMPACTNESS: f64 = 24.38;
const CONSTANT: f64 = -18.91;
/// Fewer nuclei have no median to be compared with.
const LEAST_NUCLEI: usize = 5;

/// A nucleus and how mitotic it looks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MitoticCandidate {
    /// Its label.
    pub label: u32,
    /// Centroid, pixels.
    pub y_px: f64,
    /// See `y_px`.
    pub x_px: f64,
    /// 0 to 1; above 0.5 it is called mitotic.
    pub score: f64,
    /// Brightness of its top over that of the median nucleus, in octaves.
    pub brightness: f64,
    /// The band's share of that brightness over that of the median nucleus, in octaves.
    pub compactness: f64,
}

/// Every nucleus of `labels` whose score is at least `least`, in label order.
///
/// `stain` is the nuclear stain, `um_per_pixel` the side of a pixel. A field of fewer than 5 nuclei
/// has no candidates: there is no median to compare with.
///
/// # Errors
/// [`ObjectsError::SizeMismatch`] if the images differ in size.
pub fn mitotic_candidates(
    stain: &Image<f32>,
    labels: &Image<u32>,
    um_per_pixel: f64,
    least: f64,
) -> Result<Vec<MitoticCandidate>, ObjectsError> {
    same_size("the stain", stain.size(), "the labels", labels.size())?;
    let smooth = gaussian(stain, SMOOTHING_UM / um_per_pixel);
    let flat = subtract_background(smooth, BACKGROUND_UM / um_per_pixel);
    let measured = looks(&flat, &band(stain, um_per_pixel), labels);
    if measured.len() < LEAST_NUCLEI {
        return Ok(Vec::new());
    }
    let median = |value: &dyn Fn(&Look) -> f64| {
        let mut values: Vec<f64> = measured.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (top, share) = (median(&|look| look.top), median(&|look| look.share));
    let score = |look: &Look| {
        let (brightness, compactness) = ((look.top / top).log2(), (look.share / share).log2());
        let sum = PER_BRIGHTNESS * brightness + PER_COMPACTNESS * compactness + CONSTANT;
        MitoticCandidate {
            label: look.label,
            y_px: look.y,
            x_px: look.x,
            score: 1.0 / (1.0 + (-sum).exp()),
            brightness,
            compactness,
        }
    };
    Ok(measured
        .iter()
        .map(score)
        .filter(|candidate| candidate.score >= least)
        .collect())
}

/// What the stain shows between the two scales of [`BAND_UM`].
fn band(stain: &Image<f32>, um_per_pixel: f64) -> Image<f32> {
    let [fine, coarse] = BAND_UM.map(|um| gaussian(stain, um / um_per_pixel));
    let mut band = fine;
    for (b, c) in band.data_mut().iter_mut().zip(coarse.data()) {
        *b -= c;
    }
    band
}

/// What is measured of one object.
struct Look {
    label: u32,
    y: f64,
    x: f64,
    /// Stain above the background.
    top: f64,
    /// Top of the band over that of the stain.
    share: f64,
}

fn looks(flat: &Image<f32>, band: &Image<f32>, labels: &Image<u32>) -> Vec<Look> {
    // Labels are any numbers: a table by label could be larger than all memory.
    let mut seen: BTreeMap<u32, Seen> = BTreeMap::new();
    for y in 0..labels.height() {
        for x in 0..labels.width() {
            let label = labels.get(y, x);
            if label > 0 {
                let seen = seen.entry(label).or_default();
                seen.flat.push(flat.get(y, x));
                seen.band.push(band.get(y, x));
                seen.y += y as f64;
                seen.x += x as f64;
            }
        }
    }
    seen.into_iter()
        .map(|(label, mut seen)| {
            let n = seen.flat.len() as f64;
            let top = top(&mut seen.flat).max(f32::MIN_POSITIVE);
            Look {
                label,
                y: seen.y / n,
                x: seen.x / n,
                top: f64::from(top),
                share: f64::from((self::top(&mut seen.band) / top).max(LEAST_COMPACTNESS)),
            }
        })
        .collect()
}

/// The pixels of one object: their values, and the sums of their places.
#[derive(Default)]
struct Seen {
    flat: Vec<f32>,
    band: Vec<f32>,
    y: f64,
    x: f64,
}

/// The quantile [`TOP`] of `values`, which are not empty; it reorders them.
fn top(values: &mut [f32]) -> f32 {
    let k = (TOP * (values.len() - 1) as f64) as usize;
    *values.select_nth_unstable_by(k, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_dense_nucleus_stands_out_and_a_small_dim_or_a_large_bright_one_does_not() {
        // Six nuclei of 12 um, then: dense and small, dim and small, bright and large.
        let kinds = [(20.0, 1.0); 6]
            .into_iter()
            .chain([(9.0, 3.0), (9.0, 1.0), (24.0, 1.6)]);
        let kinds: Vec<(f64, f32)> = kinds.collect();
        let place = |i: usize| (40.0 + 80.0 * (i / 3) as f64, 40.0 + 80.0 * (i % 3) as f64);
        let within = |i: usize, y: usize, x: usize| {
            let (cy, cx) = place(i);
            (y as f64 - cy).hypot(x as f64 - cx) < kinds[i].0
        };
        let labels = Image::from_fn(240, 240, |y, x| {
            (0..9)
                .find(|&i| within(i, y, x))
                .map_or(0, |i| i as u32 + 1)
        });
        let stain = labels.map(|&l| {
            100.0
                + if l > 0 {
                    1000.0 * kinds[l as usize - 1].1
                } else {
                    0.0
                }
        });
        let found = mitotic_candidates(&stain, &labels, 0.3, 0.5).unwrap();
        assert_eq!(found.iter().map(|c| c.label).collect::<Vec<_>>(), [7]);
        assert!((found[0].y_px - 200.0).abs() < 1.0 && (found[0].x_px - 40.0).abs() < 1.0);
        assert!(
            found[0].brightness > 1.0 && found[0].compactness > 0.5,
            "{found:?}"
        );
        let all = mitotic_candidates(&stain, &labels, 0.3, 0.0).unwrap();
        assert_eq!(all.len(), 9);
    }
}
