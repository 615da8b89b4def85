//! Separating touching nuclei of a mask, one method a variant.

use crate::components::{Connectivity, Labels, label};
use crate::distance::edt;
use crate::gaussian::gaussian;
use crate::reconstruct::h_maxima;
use crate::watershed::watershed;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;

/// How touching nuclei are separated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Splitting {
    /// Each connected component is one nucleus.
    None,
    /// Watershed of the smoothed distance transform from its h-maxima.
    Distance {
        /// Standard deviation of the Gaussian on the distance transform, in um.
        smoothing_um: f64,
        /// How much the distance must fall between two middles to part them, in um.
        depth_um: f64,
    },
}

impl Default for Splitting {
    fn default() -> Self {
        Splitting::Distance {
            smoothing_um: 0.6,
            depth_um: 0.3,
        }
    }
}

/// Labels of the nuclei in `mask`, touching ones separated by `splitting`.
///
/// `um_per_pixel` translates the lengths of the method. Every true pixel gets a label; labels are
/// consecutive in raster order of their first pixel. Components are 4-connected.
pub fn split(mask: &Image<bool>, um_per_pixel: f64, splitting: Splitting) -> Labels {
    let parts = label(mask, Connectivity::Four);
    match splitting {
        Splitting::None => parts,
        Splitting::Distance {
            smoothing_um,
            depth_um,
        } => by_distance(
            mask,
            &parts,
            smoothing_um / um_per_pixel,
            depth_um / um_per_pixel,
        ),
    }
}

/// Watershed of the distance transform; lengths in pixels.
fn by_distance(mask: &Image<bool>, parts: &Labels, smoothing: f64, depth: f64) -> Labels {
    let mut depths = edt(mask);
    // Without any background there is nothing to measure from: the parts stay as they are.
    if depths.data().iter().any(|d| d.is_infinite()) {
        return parts.clone();
    }
    depths = gaussian(&depths, smoothing);
    // Outside the mask the surface is flat, so that no dome leaves it.
    for (d, &m) in depths.data_mut().iter_mut().zip(mask.data()) {
        if !m {
            *d = 0.0;
        }
    }
    let tops = h_maxima(&depths, depth as f32, Connectivity::Eight);
    let tops = Image::new(
        mask.height(),
        mask.width(),
        tops.data()
            .iter()
            .zip(mask.data())
            .map(|(&t, &m)| t && m)
            .collect(),
    );
    let mut seeds = label(&tops, Connectivity::Eight);
    seed_the_rest(parts, &mut seeds);
    let surface = depths.map(|&d| -d);
    let flooded = watershed(&surface, &seeds.image, mask, Connectivity::Four);
    crate::components::label_values(&flooded, Connectivity::Four)
}

/// Parts so shallow that no top reaches the depth become one seed each.
pub(crate) fn seed_the_rest(parts: &Labels, seeds: &mut Labels) {
    let mut seeded = vec![false; parts.count + 1];
    for (&p, &s) in parts.image.data().iter().zip(seeds.image.data()) {
        if s != 0 {
            seeded[p as usize] = true;
        }
    }
    seeded[0] = true;
    let mut number = vec![0u32; parts.count + 1];
    for (p, &done) in seeded.iter().enumerate() {
        if !done {
            seeds.count += 1;
            number[p] = seeds.count as u32;
        }
    }
    for (&p, s) in parts.image.data().iter().zip(seeds.image.data_mut()) {
        if number[p as usize] != 0 {
            *s = number[p as usize];
        }
    }
}
