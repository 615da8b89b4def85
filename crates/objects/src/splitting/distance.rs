//! Watershed of the smoothed distance transform from its h-maxima: nuclei are round, necks narrow.

use super::{Method, Part, not_negative};
use crate::error::ObjectsError;
use crate::labels::Connectivity;
use crate::terrain::Terrain;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;

/// Choices of the distance watershed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Distance {
    /// Standard deviation of the Gaussian on the distance transform, in um.
    pub smoothing_um: f64,
    /// How much the distance must fall between two middles to part them, in um.
    pub depth_um: f64,
}

impl Default for Distance {
    fn default() -> Self {
        Self {
            smoothing_um: 0.6,
            depth_um: 0.3,
        }
    }
}

impl Method for Distance {
    fn check(&self) -> Result<(), ObjectsError> {
        not_negative(&[
            ("splitting.smoothing_um", self.smoothing_um),
            ("splitting.depth_um", self.depth_um),
        ])
    }

    fn split_part(&self, part: &Part) -> Option<Image<u32>> {
        let depth = part.smooth_distance(part.px(self.smoothing_um))?;
        let step = part.px(self.depth_um) as f32;
        flood(&depth, |d| d - step, part)
    }
}

/// One piece a distinct dome of `surface` inside the part; `None` if there is one.
///
/// A dome is distinct if nothing higher can be reached without descending to `lower` of its top.
pub(super) fn flood(
    surface: &Image<f32>,
    lower: impl Fn(f32) -> f32,
    part: &Part,
) -> Option<Image<u32>> {
    flood_from(surface, lower, |_| true, part)
}

/// [`flood`] from those domes alone whose top is high enough.
pub(super) fn flood_from(
    surface: &Image<f32>,
    lower: impl Fn(f32) -> f32,
    high: impl Fn(f32) -> bool,
    part: &Part,
) -> Option<Image<u32>> {
    let inside = part.mask.data();
    let terrain = Terrain::new(surface, |i| inside[i]);
    let mut tops = terrain.tops(lower, Connectivity::Eight);
    tops.retain(|top| top.first().is_some_and(|&place| high(terrain.at(place))));
    (tops.len() > 1).then(|| terrain.flooded(&tops, Connectivity::Four))
}
