//! Watershed of the distances that a network predicts, from their tops.
//!
//! A nucleus' own distance rises from its border to its middle whether or not a background is
//! seen around it, so that in a sheet of nuclei, where no outline has a waist, every nucleus still
//! has a top. What lies near a second nucleus is lowered first, which deepens the valley between
//! two. After Scherr et al. (2020), PLOS ONE 15:e0243219, whose two outputs these are; tops in
//! place of a threshold for seeds.

use super::distance::flood_from;
use super::{Distances, Method, Part, not_negative};
use crate::error::ObjectsError;
use crate::gaussian::gaussian_within;
use crate::runs::Frame;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;

/// Choices of the splitting by predicted distances.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Learned {
    /// Standard deviation of the Gaussian on the distances, in um.
    pub smoothing_um: f64,
    /// What is taken off the distance where a second nucleus touches.
    pub neighbour: f64,
    /// How much the distance must fall between two middles to part them; a nucleus' own distance
    /// goes from 0 to 1.
    pub depth: f64,
    /// A middle rises at least this high.
    pub least_top: f64,
}

impl Default for Learned {
    fn default() -> Self {
        Self {
            smoothing_um: 0.8,
            neighbour: 0.5,
            depth: 0.1,
            least_top: 0.2,
        }
    }
}

impl Learned {
    /// The surface whose tops are middles, in the part of the field that `frame` shows.
    pub(crate) fn surface(
        &self,
        distances: &Distances,
        frame: Frame,
        um_per_pixel: f64,
    ) -> Image<f32> {
        let sigma = self.smoothing_um / um_per_pixel;
        let mut surface = gaussian_within(distances.border, sigma, frame);
        if let Some(neighbour) = distances.neighbour.filter(|_| self.neighbour > 0.0) {
            let neighbour = gaussian_within(neighbour, sigma, frame);
            let factor = self.neighbour as f32;
            for (value, near) in surface.data_mut().iter_mut().zip(neighbour.data()) {
                *value -= factor * near.clamp(0.0, 1.0);
            }
        }
        surface
    }
}

impl Method for Learned {
    fn check(&self) -> Result<(), ObjectsError> {
        not_negative(&[
            ("splitting.smoothing_um", self.smoothing_um),
            ("splitting.neighbour", self.neighbour),
            ("splitting.depth", self.depth),
            ("splitting.least_top", self.least_top),
        ])
    }

    fn split_part(&self, part: &Part) -> Option<Image<u32>> {
        let distances = part.seen.distances?;
        let surface = self.surface(&distances, part.frame, part.seen.um_per_pixel);
        let (depth, least) = (self.depth as f32, self.least_top as f32);
        flood_from(&surface, |v| v - depth, |top| top >= least, part)
    }
}
