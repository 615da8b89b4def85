//! Which nuclei look mitotic in their stain: small, dense, bright cores.
//!
//! Condensed chromosomes hold the DNA of two nuclei in a fraction of the area. Blur and haze widen what
//! a threshold finds of them, and a saturated camera cuts their brightness; the bright *core* of an
//! object stays small. So two numbers decide, each against the field's median nucleus: the area of the
//! core (pixels above 60 % of the object's own top) and the brightness of the top.
//!
//! Not here: phases of mitosis, pairs of daughter nuclei, what a person decides about a candidate.

use crate::background::subtract_background;
use crate::error::{ObjectsError, same_size};
use crate::gaussian::gaussian;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;

/// Blur before the core is measured, um: hides texture, not condensed chromosomes.
const SMOOTHING_UM: f64 = 0.5;
/// Windows of the background estimate, um; that of the nuclear stain.
const BACKGROUND_UM: f64 = 50.0;
/// Where the top of an object lies, and the share of it that bounds the core.
const TOP: f64 = 0.95;
const CORE: f32 = 0.6;
/// Logistic regression on 1,529 nuclei (59 mitotic) of a clean and a `hard` simulated plate of seed 77; other
/// seeds are scored in docs/truth.md. Per octave of brightness, per octave of core area, constant.
const PER_BRIGHTNESS: f64 = 6.16;
const PER_CORE: f64 = -2.44;
const CONSTANT: f64 = -8.47;
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
    /// Area of its core over that of the median nucleus, in octaves.
    pub core: f64,
}

/// Every nucleus of `labels` whose score is at least `least`, in label order.
///
/// `stain` is the nuclear stain, `um_per_pixel` the side of a pixel. A field of fewer than 5 nuclei has no candidates:
/// there is no median to compare with.
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
    let measured = cores(&flat, labels);
    if measured.len() < LEAST_NUCLEI {
        return Ok(Vec::new());
    }
    let median = |value: &dyn Fn(&Core) -> f64| {
        let mut values: Vec<f64> = measured.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (area, top) = (median(&|core| core.area), median(&|core| core.top));
    let score = |core: &Core| {
        let (brightness, core_area) = ((core.top / top).log2(), (core.area / area).log2());
        let sum = PER_BRIGHTNESS * brightness + PER_CORE * core_area + CONSTANT;
        MitoticCandidate {
            label: core.label,
            y_px: core.y,
            x_px: core.x,
            score: 1.0 / (1.0 + (-sum).exp()),
            brightness,
            core: core_area,
        }
    };
    Ok(measured
        .iter()
        .map(score)
        .filter(|candidate| candidate.score >= least)
        .collect())
}

/// The bright part of one object.
struct Core {
    label: u32,
    y: f64,
    x: f64,
    /// Pixels.
    area: f64,
    top: f64,
}

fn cores(flat: &Image<f32>, labels: &Image<u32>) -> Vec<Core> {
    let count = labels.data().iter().copied().max().unwrap_or(0) as usize;
    let mut values: Vec<Vec<f32>> = vec![Vec::new(); count + 1];
    let mut places = vec![(0.0f64, 0.0f64); count + 1];
    for y in 0..labels.height() {
        for x in 0..labels.width() {
            let label = labels.get(y, x) as usize;
            if label > 0 {
                values[label].push(flat.get(y, x));
                places[label].0 += y as f64;
                places[label].1 += x as f64;
            }
        }
    }
    let mut cores = Vec::new();
    for (label, values) in values.iter_mut().enumerate().filter(|(_, v)| !v.is_empty()) {
        let n = values.len();
        let k = (TOP * (n - 1) as f64) as usize;
        let top = (*values.select_nth_unstable_by(k, f32::total_cmp).1).max(f32::MIN_POSITIVE);
        cores.push(Core {
            label: label as u32,
            y: places[label].0 / n as f64,
            x: places[label].1 / n as f64,
            area: values.iter().filter(|&&v| v > CORE * top).count().max(1) as f64,
            top: f64::from(top),
        });
    }
    cores
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
            found[0].brightness > 1.0 && found[0].core < -1.5,
            "{found:?}"
        );
        let all = mitotic_candidates(&stain, &labels, 0.3, 0.0).unwrap();
        assert_eq!(all.len(), 9);
    }
}
