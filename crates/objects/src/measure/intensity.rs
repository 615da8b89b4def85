//! Intensities of one channel in one part of the cell, as stored and above the background.

use super::pixels::{QUANTILES, Values};
use super::{Block, Column, Family, Part, Scene, Unit};

/// `intensity_mean`, `intensity_median`, `intensity_std` (population), `intensity_min` and
/// `intensity_max` as in `skimage.measure.regionprops`; percentiles as numpy's default; sums; mean
/// and sum above the background.
pub(super) struct Intensity;

/// Names of the quantiles, in the order in which [`Values`] has them.
const QUANTILE_NAMES: [&str; QUANTILES.len()] = ["min", "p5", "p25", "median", "p75", "p95", "max"];

impl Family for Intensity {
    fn name(&self) -> &'static str {
        "intensity"
    }

    fn applies_to(&self, _part: Part) -> bool {
        true
    }

    fn per_channel(&self) -> bool {
        true
    }

    fn columns(&self) -> Vec<Column> {
        let sums = ["mean", "std", "sum", "mean_net", "sum_net"];
        let names = sums.into_iter().chain(QUANTILE_NAMES);
        names
            .map(|name| Column::float(&format!("intensity_{name}"), Unit::Intensity))
            .collect()
    }

    fn measure(&self, scene: &Scene, part: Part, channel: Option<usize>, block: &mut Block) {
        let (Some(plane), layer) = (scene.plane(channel), scene.layer(part)) else {
            return;
        };
        for i in 0..layer.regions.len() {
            let values = Values::of(plane, &layer.regions, i);
            let background = scene.background(channel, part, i);
            let row = block.row(i);
            row[..5].copy_from_slice(&[
                values.mean(),
                values.variance.sqrt(),
                values.sum,
                values.mean() - background,
                values.sum - values.count as f64 * background,
            ]);
            row[5..].copy_from_slice(&values.quantiles);
        }
    }
}
