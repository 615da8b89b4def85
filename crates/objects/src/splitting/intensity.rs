//! Watershed of distance and intensity together: a neck or a dark valley parts, either weakens the
//! other.
//!
//! The surface is `ln(distance) + weight ln(intensity)`, or what it is the logarithm of, which has
//! the same order. Logarithms make depths relative: a neck that is a tenth narrower than the
//! nucleus, or a valley a tenth darker, counts the same at every size and brightness.

use super::distance::flood;
use super::{Method, Part, not_negative};
use crate::error::ObjectsError;
use crate::quantile::extremes;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;
use stainfree_kernels::{Loops, vectorised};

/// Choices of the intensity-aware watershed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Intensity {
    /// Standard deviation of the Gaussians on distance and intensity, in um.
    pub smoothing_um: f64,
    /// How much the surface must fall between two middles to part them: 0.1 is a tenth.
    pub depth: f64,
    /// What a valley of the intensity counts beside an equally deep neck of the shape.
    pub weight: f64,
}

impl Default for Intensity {
    fn default() -> Self {
        Self {
            smoothing_um: 0.6,
            depth: 0.1,
            weight: 1.0,
        }
    }
}

impl Method for Intensity {
    fn check(&self) -> Result<(), ObjectsError> {
        not_negative(&[
            ("splitting.smoothing_um", self.smoothing_um),
            ("splitting.depth", self.depth),
            ("splitting.weight", self.weight),
        ])
    }

    fn split_part(&self, part: &Part) -> Option<Image<u32>> {
        let smoothing = part.px(self.smoothing_um);
        let distance = part.smooth_distance(smoothing)?;
        let stain = part.smooth_stain(smoothing);
        let surface = joint_surface(&part.mask, &distance, stain.as_ref(), self.weight as f32);
        let ratio = (-self.depth).exp() as f32;
        flood(&surface, |v| v * ratio, part)
    }
}

/// `distance * stain ^ weight` inside the mask, 0 outside: the exponential of the surface that is
/// meant, so that a depth is a ratio.
pub(super) fn joint_surface(
    mask: &Image<bool>,
    distance: &Image<f32>,
    stain: Option<&Image<f32>>,
    weight: f32,
) -> Image<f32> {
    let brightest = stain.map_or(1.0, |s| extremes(s.data()).1.max(f32::MIN_POSITIVE));
    let mut surface = distance.clone();
    vectorised(JointSurface {
        surface: surface.data_mut(),
        mask: mask.data(),
        stain: stain.map(|s| s.data()),
        brightest,
        weight,
    });
    surface
}

struct JointSurface<'a> {
    /// The distance; becomes the surface.
    surface: &'a mut [f32],
    mask: &'a [bool],
    stain: Option<&'a [f32]>,
    brightest: f32,
    weight: f32,
}

impl Loops for JointSurface<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        // Within half a pixel of the edge the smoothed distance says nothing.
        const NEAREST: f32 = 0.3;
        let places = self.surface.iter_mut().zip(self.mask);
        let Some(stain) = self.stain else {
            places.for_each(|(d, &m)| *d = if m { d.max(NEAREST) } else { 0.0 });
            return;
        };
        // A millionth of the brightest pixel is as dark as it gets.
        let relative = |v: f32| (v / self.brightest).max(1e-6);
        let places = places.zip(stain);
        if self.weight == 0.5 {
            // The usual weight, for which a root is enough.
            for ((d, &m), &v) in places {
                let product = d.max(NEAREST) * relative(v).sqrt();
                *d = if m { product } else { 0.0 };
            }
            return;
        }
        for ((d, &m), &v) in places {
            *d = if m {
                d.max(NEAREST) * relative(v).powf(self.weight)
            } else {
                0.0
            };
        }
    }
}
