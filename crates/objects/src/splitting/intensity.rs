//! Watershed of distance and intensity together: a neck or a dark valley parts, either weakens the other.
//!
//! The surface is `ln(distance) + weight ln(intensity)`. Logarithms make depths relative: a neck that
//! is a tenth narrower than the nucleus, or a valley a tenth darker, counts the same at every size and
//! brightness.

use super::distance::{flood, smooth_distance};
use super::{Method, Part, not_negative};
use crate::error::ObjectsError;
use crate::gaussian::gaussian;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;

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

    fn margin_um(&self) -> f64 {
        4.0 * self.smoothing_um
    }

    fn split_part(&self, part: &Part) -> Image<u32> {
        let smoothing = part.px(self.smoothing_um);
        let Some(distance) = smooth_distance(&part.mask, smoothing) else {
            return part.whole();
        };
        let stain = part.stain.as_ref().map(|s| gaussian(s, smoothing));
        let surface = joint_surface(&part.mask, &distance, stain.as_ref(), self.weight as f32);
        flood(&surface, self.depth as f32, part)
    }
}

/// `ln(distance) + weight ln(stain)` inside the mask, lowest outside.
pub(super) fn joint_surface(
    mask: &Image<bool>,
    distance: &Image<f32>,
    stain: Option<&Image<f32>>,
    weight: f32,
) -> Image<f32> {
    // Within half a pixel of the edge the smoothed distance says nothing.
    const NEAREST: f32 = 0.3;
    let brightest = stain.map_or(1.0, |s| {
        s.data().iter().copied().fold(f32::MIN_POSITIVE, f32::max)
    });
    let value = |i: usize| {
        let d = distance.data()[i].max(NEAREST).ln();
        match stain {
            // A millionth of the brightest pixel is as dark as it gets.
            Some(s) => d + weight * (s.data()[i] / brightest).max(1e-6).ln(),
            None => d,
        }
    };
    let inside = mask
        .data()
        .iter()
        .enumerate()
        .map(|(i, &m)| if m { value(i) } else { f32::NEG_INFINITY });
    let mut surface: Vec<f32> = inside.collect();
    let lowest = surface
        .iter()
        .copied()
        .filter(|v| v.is_finite())
        .fold(f32::INFINITY, f32::min);
    for v in &mut surface {
        if !v.is_finite() {
            *v = lowest - 1.0;
        }
    }
    Image::new(mask.height(), mask.width(), surface)
}
