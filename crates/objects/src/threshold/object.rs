//! A threshold of its own for every object: a share of its brightness.
//!
//! Bright and dim nuclei lie side by side, and blur spreads the bright ones: one threshold for the
//! field makes bright nuclei too large or drops the dim ones. A blurred edge lies where the
//! intensity has fallen to about half of the plateau, whatever the plateau is. So:
//!
//! 1. pixels above a low floor are candidates;
//! 2. the logarithm of the smoothed stain is flooded from its distinct maxima: one zone an object;
//! 3. the brightness of a zone is a high percentile of its pixels; the threshold there is a share
//!    of it.

use crate::background::{block_means, by_blocks};
use crate::bits::{Bits, Run};
use crate::gaussian::gaussian_within;
use crate::labels::Connectivity;
use crate::runs::{ByRow, Components, Frame, Groups};
use crate::terrain::Terrain;
use rayon::prelude::*;
use stainfree_image::Image;
use stainfree_kernels::{Loops, vectorised};
use std::ops::Range;

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

/// The candidates of a field by rows of blocks, each run with the threshold of its object; outside
/// there is none.
pub(crate) struct Zones {
    size: (usize, usize),
    /// Of a block, in pixels.
    side: usize,
    floor: f32,
    levels: ByRow<f32>,
}

impl Zones {
    /// Pixels of `flat` (the stain above its background) above `factor` times the threshold of
    /// their zone.
    pub(crate) fn above(&self, flat: &Image<f32>, factor: f32) -> Bits {
        let (height, width) = self.size;
        Bits::from_rows(height, width, |y, flags| {
            vectorised(AboveLevels {
                values: flat.row(y),
                levels: self.levels.in_row(y / self.side),
                side: self.side,
                factor,
                floor: self.floor,
                thresholds: &mut vec![0.0; width],
                flags,
            });
        })
    }
}

/// One row of [`Zones::above`].
struct AboveLevels<'a> {
    values: &'a [f32],
    /// Counted in blocks of `side` pixels.
    levels: &'a [(Run, f32)],
    side: usize,
    factor: f32,
    floor: f32,
    /// Has a place for every value.
    thresholds: &'a mut [f32],
    flags: &'a mut [bool],
}

impl Loops for AboveLevels<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        // Nothing is above infinity. One long loop beats a short one for every run.
        self.thresholds.fill(f32::INFINITY);
        for &(run, level) in self.levels {
            let columns = pixels_of(run, self.side, self.thresholds.len());
            self.thresholds[columns].fill((level * self.factor).max(self.floor));
        }
        let places = self.flags.iter_mut().zip(self.values).zip(self.thresholds);
        places.for_each(|((f, &v), &mut t)| *f = v > t);
    }
}

/// The smoothing, in pixels, that zones keep when the field is made coarser: a valley stays
/// visible.
const COARSE_SMOOTHING: f64 = 1.5;

impl ObjectThreshold {
    /// Zones of the objects of `flat`, each with `share` of its brightness, at least `floor`.
    ///
    /// Zones are found on means of blocks as large as the smoothing allows: it hides what is
    /// smaller. A block is a candidate if one of its pixels is.
    pub(crate) fn zones(&self, flat: &Image<f32>) -> Zones {
        let side = ((self.smoothing / COARSE_SMOOTHING) as usize).max(1);
        let means = (side > 1).then(|| block_means(flat, side));
        let coarse = means.as_ref().unwrap_or(flat);
        let candidates = Bits::from_rows(coarse.height(), coarse.width(), |y, flags| {
            let rows = side * y..(side * y + side).min(flat.height());
            vectorised(AnyAbove {
                rows: &flat.data()[rows.start * flat.width()..rows.end * flat.width()],
                side,
                floor: self.floor,
                highest: &mut vec![f32::NEG_INFINITY; flat.width()],
                flags,
            });
        });
        // Neighbours across a corner share their maxima, so they are looked at together.
        let found = Components::new(&candidates, Connectivity::Eight);
        let whole = found.joined_by_edges(&Components::new(&candidates, Connectivity::Four));
        let groups = found.groups();
        drop((candidates, found));
        let task = Task {
            method: self,
            flat,
            coarse,
            side,
            groups: &groups,
        };
        let parts = (0..groups.len()).into_par_iter().with_min_len(4);
        let levels: Vec<Vec<(u32, Run, f32)>> = parts.map(|i| task.part(i, whole[i])).collect();
        let rows = coarse.height();
        drop(means);
        Zones {
            size: flat.size(),
            side,
            floor: self.floor,
            levels: ByRow::new(rows, || levels.iter().flatten().copied()),
        }
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

/// Whether any value of each block of a row of blocks is above the floor.
struct AnyAbove<'a> {
    rows: &'a [f32],
    side: usize,
    floor: f32,
    /// Has a place for every column.
    highest: &'a mut [f32],
    flags: &'a mut [bool],
}

impl Loops for AnyAbove<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let higher = |a: f32, b: f32| if b > a { b } else { a };
        for row in self.rows.chunks_exact(self.highest.len()) {
            let columns = self.highest.iter_mut().zip(row);
            columns.for_each(|(h, &v)| *h = higher(*h, v));
        }
        let any = |block: &[f32]| block.iter().fold(f32::NEG_INFINITY, |a, &b| higher(a, b));
        by_blocks(self.highest, self.side, self.flags, |block| {
            any(block) > self.floor
        });
    }
}

/// A field whose zones are being found.
struct Task<'a> {
    method: &'a ObjectThreshold,
    flat: &'a Image<f32>,
    /// `flat` by blocks of `side` x `side` pixels.
    coarse: &'a Image<f32>,
    side: usize,
    /// What hangs together of the coarse candidates.
    groups: &'a Groups,
}

impl Task<'_> {
    /// The runs of one part, each with the threshold of its zone; `whole` if the part hangs
    /// together by edges.
    fn part(&self, i: usize, whole: bool) -> Vec<(u32, Run, f32)> {
        let (runs, frame) = (self.groups.runs(i), self.groups.frame(i));
        let (height, width) = frame.size();
        // Even with all holes filled it would be dropped.
        if height * width * self.side * self.side < self.method.min_area {
            return Vec::new();
        }
        let (terrain, tops) = self.tops(runs, frame);
        if whole && tops.len() <= 1 {
            let mut values = Vec::new();
            runs.iter()
                .for_each(|&(y, run)| self.add_members(y, run, &mut values));
            let level = self.method.level(&mut values);
            return runs.iter().map(|&(y, run)| (y, run, level)).collect();
        }
        let zones = match whole {
            true => terrain.flooded(&tops, Connectivity::Four),
            false => terrain.zones(tops, Connectivity::Four),
        };
        let mut members: Vec<Vec<f32>> = Vec::new();
        let mut found: Vec<(u32, Run, usize)> = Vec::with_capacity(runs.len());
        for &(y, run) in runs {
            let row = zones.row(y as usize - frame.top);
            let mut from = run.from;
            for equal in row[run.relative_to(frame.left).columns()].chunk_by(|a, b| a == b) {
                let to = from + equal.len() as u32;
                let (zone, piece) = (equal[0] as usize, Run { from, to });
                members.resize_with(members.len().max(zone + 1), Vec::new);
                self.add_members(y, piece, &mut members[zone]);
                found.push((y, piece, zone));
                from = to;
            }
        }
        let levels: Vec<f32> = members.iter_mut().map(|v| self.method.level(v)).collect();
        let with_level = |(y, run, zone): (u32, Run, usize)| (y, run, levels[zone]);
        found.into_iter().map(with_level).collect()
    }

    /// The smoothed surface of a part, and its distinct tops.
    fn tops(&self, runs: &[(u32, Run)], frame: Frame) -> (Terrain, Vec<Vec<usize>>) {
        let smooth = gaussian_within(self.coarse, self.method.smoothing / self.side as f64, frame);
        let mut terrain = Terrain::outside(smooth.height(), smooth.width());
        for &(y, run) in runs {
            let (y, run) = (y as usize - frame.top, run.relative_to(frame.left));
            let places = terrain.run_mut(y, run).iter_mut();
            // The exponential of the logarithm that is meant: a valley is a ratio.
            places
                .zip(&smooth.row(y)[run.columns()])
                .for_each(|(p, &v)| *p = 1.0 + v.max(0.0) / self.method.knee);
        }
        let ratio = (-VALLEY).exp();
        let mut tops = terrain.tops(|v| v * ratio, Connectivity::Eight);
        // A top that does not stand out from the empty ground, where the logarithm is 0, is none.
        tops.retain(|top| terrain.at(top[0]) * ratio >= 1.0);
        (terrain, tops)
    }

    /// Adds the candidates under a coarse run to `values`.
    fn add_members(&self, y: u32, run: Run, values: &mut Vec<f32>) {
        let (height, width) = self.flat.size();
        let top = y as usize * self.side;
        for y in top..(top + self.side).min(height) {
            let row = &self.flat.row(y)[pixels_of(run, self.side, width)];
            // Which ones are kept is as good as random: all are written, and the others written
            // over.
            let (mut n, floor) = (values.len(), self.method.floor);
            values.resize(n + row.len(), 0.0);
            let places = &mut values[..];
            for &v in row {
                places[n] = v;
                n += usize::from(v > floor);
            }
            values.truncate(n);
        }
    }
}

/// The columns of a field `width` wide under a run of blocks.
fn pixels_of(run: Run, side: usize, width: usize) -> Range<usize> {
    side * run.from as usize..(side * run.to as usize).min(width)
}
