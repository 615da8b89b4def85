//! A threshold of its own for every object: a share of its brightness.
//!
//! Bright and dim nuclei lie side by side, and blur spreads the bright ones: one threshold for the
//! field makes bright nuclei too large or drops the dim ones. A blurred edge lies where the intensity
//! has fallen to about half of the plateau, whatever the plateau is. So:
//!
//! 1. pixels above a low floor are candidates;
//! 2. the logarithm of the smoothed stain is flooded from its distinct maxima: one zone an object;
//! 3. the brightness of a zone is a high percentile of its pixels; the threshold there is a share of it.

use crate::bits::{Bits, Run};
use crate::components::Connectivity;
use crate::gaussian::gaussian_within;
use crate::runs::{ByRow, Components, Groups};
use crate::terrain::Terrain;
use rayon::prelude::*;
use stainfree_image::Image;

/// Rank of the pixel that stands for an object's brightness: above the rim, below a bright spot.
const BRIGHTNESS_PERCENTILE: f64 = 0.8;

/// Two maxima are two objects if the valley between them is darker than the lower one by a fifth
/// (0.2 in natural logarithms): more than texture inside a nucleus, less than a gap between two.
const VALLEY: f32 = 0.2;

/// How the zones are found.
pub(crate) struct ObjectThreshold {
    /// Pixels at or below it belong to no object.
    pub(crate) floor: f32,
    /// Intensity at which the logarithm begins: a few times the noise.
    pub(crate) knee: f32,
    /// Gaussian that hides texture inside objects, in pixels.
    pub(crate) smoothing: f64,
    /// Share of its brightness at which an object ends.
    pub(crate) share: f32,
    /// The threshold is multiplied by this.
    pub(crate) factor: f32,
    /// Smaller objects are dropped later, in pixels: whatever cannot reach it is left out at once.
    pub(crate) min_area: usize,
}

/// The candidates of a field by rows, each run with the threshold of its object; outside there is none.
pub(crate) struct Zones {
    size: (usize, usize),
    levels: ByRow<f32>,
}

impl Zones {
    /// Pixels of `flat` (the stain above its background) above `factor` times the threshold of their zone.
    pub(crate) fn above(&self, flat: &Image<f32>, factor: f32) -> Bits {
        let (height, width) = self.size;
        Bits::from_rows(height, width, |y, flags| {
            flags.fill(false);
            let row = flat.row(y);
            for &(run, level) in self.levels.in_row(y) {
                let t = level * factor;
                let values = &row[run.columns()];
                let flags = &mut flags[run.columns()];
                flags.iter_mut().zip(values).for_each(|(f, &v)| *f = v > t);
            }
        })
    }
}

impl ObjectThreshold {
    /// Zones of the objects of `flat`, each with `share` of its brightness, at least `floor`.
    pub(crate) fn zones(&self, flat: &Image<f32>) -> Zones {
        let (height, width) = flat.size();
        let candidates = Bits::from_rows(height, width, |y, flags| {
            let flags = flags.iter_mut().zip(flat.row(y));
            flags.for_each(|(f, &v)| *f = v > self.floor);
        });
        // Neighbours across a corner share their maxima, so they are looked at together.
        let found = Components::new(&candidates, Connectivity::Eight);
        let whole = found.joined_by_edges(&Components::new(&candidates, Connectivity::Four));
        let groups = found.groups();
        let parts = (0..groups.len()).into_par_iter().with_min_len(4);
        let part = |i| self.part(flat, &groups, i, whole[i]);
        let levels: Vec<Vec<(u32, Run, f32)>> = parts.map(part).collect();
        Zones {
            size: flat.size(),
            levels: ByRow::new(height, || levels.iter().flatten().copied()),
        }
    }

    /// The runs of one part, each with the threshold of its zone; `whole` if it hangs together by edges.
    fn part(
        &self,
        flat: &Image<f32>,
        groups: &Groups,
        i: usize,
        whole: bool,
    ) -> Vec<(u32, Run, f32)> {
        let (runs, frame) = (groups.runs(i), groups.frame(i));
        let (height, width) = frame.size();
        // Even with all holes filled it would be dropped.
        if height * width < self.min_area {
            return Vec::new();
        }
        let smooth = gaussian_within(flat, self.smoothing, frame);
        let mut terrain = Terrain::outside(height, width);
        let inner = |run: Run| Run {
            from: run.from - frame.left as u32,
            to: run.to - frame.left as u32,
        };
        for &(y, run) in runs {
            let y = y as usize - frame.top;
            let values = &smooth.row(y)[inner(run).columns()];
            let places = terrain.run_mut(y, inner(run)).iter_mut().zip(values);
            // The exponential of the logarithm that is meant: a valley is a ratio.
            places.for_each(|(p, &v)| *p = 1.0 + v.max(0.0) / self.knee);
        }
        let ratio = (-VALLEY).exp();
        let mut tops = terrain.tops(|v| v * ratio, Connectivity::Eight);
        // A top that does not stand out from the empty ground, where the logarithm is 0, is none.
        tops.retain(|top| terrain.at(top[0]) * ratio >= 1.0);
        if whole && tops.len() <= 1 {
            let pixels = |&(y, run): &(u32, Run)| flat.row(y as usize)[run.columns()].iter();
            let mut values: Vec<f32> = runs.iter().flat_map(pixels).copied().collect();
            let level = self.level(&mut values);
            return runs.iter().map(|&(y, run)| (y, run, level)).collect();
        }
        let zones = terrain.zones(tops, Connectivity::Four);
        let mut members: Vec<Vec<f32>> = Vec::new();
        let mut found: Vec<(u32, Run, usize)> = Vec::with_capacity(runs.len());
        for &(y, run) in runs {
            let row = zones.row(y as usize - frame.top);
            let mut from = run.from;
            for equal in row[inner(run).columns()].chunk_by(|a, b| a == b) {
                let to = from + equal.len() as u32;
                let (zone, piece) = (equal[0] as usize, Run { from, to });
                members.resize_with(members.len().max(zone + 1), Vec::new);
                members[zone].extend_from_slice(&flat.row(y as usize)[piece.columns()]);
                found.push((y, piece, zone));
                from = to;
            }
        }
        let levels: Vec<f32> = members.iter_mut().map(|v| self.level(v)).collect();
        let with_level = |(y, run, zone): (u32, Run, usize)| (y, run, levels[zone]);
        found.into_iter().map(with_level).collect()
    }

    /// The threshold of a zone with these pixels.
    fn level(&self, values: &mut [f32]) -> f32 {
        if values.is_empty() {
            return f32::INFINITY;
        }
        let k = ((values.len() - 1) as f64 * BRIGHTNESS_PERCENTILE) as usize;
        let brightness = *values.select_nth_unstable_by(k, f32::total_cmp).1;
        ((brightness * self.share).max(self.floor) * self.factor).max(self.floor)
    }
}
