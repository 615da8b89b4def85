//! What can be wrong with a stained field, each as a word with its number.

use crate::bits::{BAND, Bits, Run};
use crate::footprint::Footprint;
use crate::quantile::Values;
use crate::settings::QualityLimits;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;
use stainfree_kernels::{Loops, vectorised};
use std::fmt;
use std::ops::Range;

/// The word of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// The mask covers hardly anything. Number: share of the field.
    Empty,
    /// The stain hardly rises above its noise. Number: contrast over noise.
    WeakStain,
    /// Pixels at the camera's ceiling. Number: share of the mask.
    Saturated,
    /// Wide edges. Number: edge width in um.
    OutOfFocus,
    /// The mask depends much on the threshold. Number: relative change of area for +-10 %.
    ThresholdOnSlope,
    /// Many specks among the nuclei. Number: share of the objects.
    Debris,
    /// The nuclear stain shows in this one. Number: correlation of fine structure; see
    /// [`crate::bleed_through`].
    BleedThrough,
    /// No pixel size: lengths are relative to the objects. Number: their diameter in pixels.
    Uncalibrated,
}

impl Word {
    /// The word as it stands in `fields.csv`.
    pub fn name(self) -> &'static str {
        match self {
            Word::Empty => "empty",
            Word::WeakStain => "weak-stain",
            Word::Saturated => "saturated",
            Word::OutOfFocus => "out-of-focus",
            Word::ThresholdOnSlope => "threshold-on-slope",
            Word::Debris => "debris",
            Word::BleedThrough => "bleed-through",
            Word::Uncalibrated => "uncalibrated",
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing found about a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What it is.
    pub word: Word,
    /// The number measured.
    pub value: f64,
    /// The limit it passed, from the settings.
    pub limit: f64,
    /// Whether truth from this field should be used at all.
    pub unusable: bool,
    /// One sentence for a person.
    pub reason: String,
}

impl Verdict {
    /// How far beyond its limit the number lies: 1 is at the limit, larger is worse. Verdicts of an
    /// unusable field come before all others.
    pub fn severity(&self) -> f64 {
        let (value, limit) = (self.value.abs().max(1e-9), self.limit.abs().max(1e-9));
        let beyond = match self.word {
            // Knowing no pixel size is worth a remark, and nothing to look for.
            Word::Uncalibrated => return 0.0,
            Word::Empty | Word::WeakStain => limit / value,
            _ => value / limit,
        };
        if self.unusable { 1e6 + beyond } else { beyond }
    }

    /// The verdict on saturation; `None` below the limit.
    pub fn of_saturation(share: f64, limits: &QualityLimits) -> Option<Self> {
        (share > limits.max_saturated_share).then(|| Self {
            word: Word::Saturated,
            value: share,
            limit: limits.max_saturated_share,
            unusable: false,
            reason: format!(
                "{:.1} % of the mask is at the largest value of the image",
                100.0 * share
            ),
        })
    }

    /// The verdict on debris; `None` below the limit.
    pub fn of_debris(share: f64, limits: &QualityLimits) -> Option<Self> {
        (share > limits.max_debris_share).then(|| Self {
            word: Word::Debris,
            value: share,
            limit: limits.max_debris_share,
            unusable: false,
            reason: format!("{:.0} % of the objects are specks", 100.0 * share),
        })
    }

    /// The verdict on bleed-through; `None` below the limit.
    pub fn of_bleed_through(correlation: f64, limits: &QualityLimits) -> Option<Self> {
        (correlation > limits.max_bleed_through).then(|| Self {
            word: Word::BleedThrough,
            value: correlation,
            limit: limits.max_bleed_through,
            unusable: false,
            reason: format!(
                "inside nuclei it follows the nuclear stain (correlation {correlation:.2})"
            ),
        })
    }
}

/// The numbers behind the verdicts, for every field, good or bad.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StainNumbers {
    /// Share of the field inside the mask.
    pub foreground_share: f64,
    /// Median of the mask minus median of the background, over the noise; `None` without a mask.
    pub signal_to_noise: Option<f64>,
    /// Share of the mask's pixels that sit at the image's largest value; 0 where a few pixels only
    /// do.
    pub saturated_share: f64,
    /// Contrast over slope at the mask's edge, in pixels; `None` without a mask.
    pub edge_width_px: Option<f64>,
    /// (area at 0.9 t - area at 1.1 t) / area at t, of the plain threshold; `None` without a mask.
    pub threshold_slope: Option<f64>,
}

/// Standard deviation of the noise from pixel to pixel, blind to anything smooth.
///
/// Median absolute second difference along rows, scaled for Gaussian noise. On images with few grey
/// levels the median may be 0; the rounding noise of one level (`step / sqrt(12)`) is the least.
pub fn noise_level(image: &Image<f32>) -> f32 {
    // Every fourth row is plenty for a median.
    let rows = image.height().div_ceil(4);
    let differences = Values::new(rows, |i, take| {
        let row = image.row(4 * i);
        let mut differences = [0f32; 256];
        for start in (0..row.len().saturating_sub(2)).step_by(differences.len()) {
            let end = (start + differences.len() + 2).min(row.len());
            let differences = &mut differences[..end - start - 2];
            vectorised(SecondDifferences(&row[start..end], differences));
            take(differences);
        }
    });
    let median = differences.ranked(differences.len() / 2).unwrap_or(0.0);
    noise_of(median, smallest_step(image))
}

/// The noise by the median absolute second difference, where values lie `step` apart.
fn noise_of(median: f32, step: f32) -> f32 {
    // sd of (a - 2b + c) is sqrt(6) sd; the median absolute value of a normal is 0.6745 sd.
    (median / (0.6745 * 6f32.sqrt()))
        .max(step / 12f32.sqrt())
        .max(f32::MIN_POSITIVE)
}

/// [`noise_level`] of the pixels that are not `blank`.
pub(crate) fn noise_level_besides(image: &Image<f32>, blank: &Image<bool>) -> f32 {
    let (mut differences, mut least) = (Vec::new(), f32::INFINITY);
    for y in 0..image.height() {
        let (row, blank) = (image.row(y), blank.row(y));
        for (v, b) in row.windows(3).zip(blank.windows(3)) {
            if b.contains(&true) {
                continue;
            }
            differences.push((v[0] - 2.0 * v[1] + v[2]).abs());
            let step = (v[0] - v[1]).abs();
            if step > 0.0 && step < least {
                least = step;
            }
        }
    }
    let middle = differences.len() / 2;
    let median = match differences.is_empty() {
        true => 0.0,
        false => *differences.select_nth_unstable_by(middle, f32::total_cmp).1,
    };
    noise_of(median, if least.is_finite() { least } else { 0.0 })
}

/// The smallest difference between neighbouring values that occurs: the grey level of the camera.
fn smallest_step(image: &Image<f32>) -> f32 {
    let in_row = |i: usize| -> f32 {
        let row = image.row(4 * i);
        vectorised(SmallestStep(row))
    };
    let rows = 0..image.height().div_ceil(4);
    let step = rows
        .into_par_iter()
        .map(in_row)
        .reduce(|| f32::INFINITY, f32::min);
    if step.is_finite() { step } else { 0.0 }
}

/// Absolute second differences: of every value to its neighbours on both sides, without the two
/// ends.
struct SecondDifferences<'a>(&'a [f32], &'a mut [f32]);

impl Loops for SecondDifferences<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (row, n) = (self.0, self.1.len());
        let (before, here, after) = (&row[..n], &row[1..1 + n], &row[2..2 + n]);
        for k in 0..n {
            self.1[k] = (before[k] - 2.0 * here[k] + after[k]).abs();
        }
    }
}

/// The smallest difference between neighbours that differ; infinite if none do.
struct SmallestStep<'a>(&'a [f32]);

impl Loops for SmallestStep<'_> {
    type Output = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        const LANES: usize = 16;
        let step = |a: f32, b: f32| {
            let d = (a - b).abs();
            // Equal neighbours say nothing.
            if d > 0.0 { d } else { f32::INFINITY }
        };
        let (row, n) = (self.0, self.0.len().saturating_sub(1));
        let (here, rest) = row[..n].as_chunks::<LANES>();
        let (next, last) = row[row.len() - n..].as_chunks::<LANES>();
        let mut least = [f32::INFINITY; LANES];
        for (a, b) in here.iter().zip(next) {
            for k in 0..LANES {
                let d = step(a[k], b[k]);
                least[k] = if d < least[k] { d } else { least[k] };
            }
        }
        let rest = rest.iter().zip(last).map(|(&a, &b)| step(a, b));
        least.into_iter().chain(rest).fold(f32::INFINITY, f32::min)
    }
}

/// A stain that was segmented.
pub(crate) struct Stained<'a> {
    /// As it was read.
    pub(crate) raw: &'a Image<f32>,
    /// Its largest value.
    pub(crate) largest: f32,
    /// Its noise.
    pub(crate) noise: f32,
    /// Smoothed and above its background.
    pub(crate) flat: &'a Image<f32>,
    /// Pixels that show nothing.
    pub(crate) blank: Option<&'a Bits>,
}

/// Measures a field that was thresholded at `threshold`; `mask` is the final mask, without any
/// blank pixel.
pub(crate) fn measure(stain: &Stained, mask: &Bits, threshold: f32) -> StainNumbers {
    let Stained {
        raw,
        largest,
        noise,
        flat,
        blank,
    } = *stain;
    let unseen = blank.map_or(0, Bits::count);
    let n = (flat.data().len() - unseen).max(1) as f64;
    let area = mask.count();
    // What is not background.
    let covered = blank.map(|blank| Bits::combined([mask, blank], |[m, blank]| m | blank));
    let covered = covered.as_ref().unwrap_or(mask);
    let step = row_step(area);
    let inside = Values::new(flat.height().div_ceil(step), |i, take| {
        let row = flat.row(step * i);
        let runs = mask.runs_of(step * i);
        runs.for_each(|run| take(&row[run.columns()]));
    });
    let step = row_step(flat.data().len() - covered.count());
    let outside = Values::new(flat.height().div_ceil(step), |i, take| {
        let row = flat.row(step * i);
        let mut from = 0;
        for run in covered.runs_of(step * i) {
            take(&row[from..run.from as usize]);
            from = run.to as usize;
        }
        take(&row[from..]);
    });
    let inside = inside.ranked(inside.len() / 2);
    let outside = outside.ranked(outside.len() / 2).unwrap_or(0.0);
    let band = BAND * flat.width().max(1);
    let at_top = |y: usize| -> usize {
        // Hardly any row has one.
        if !vectorised(Contains(raw.row(y), largest)) {
            return 0;
        }
        let in_run = |run: Run| {
            let values = &raw.row(y)[run.columns()];
            values.iter().filter(|&&v| v == largest).count()
        };
        mask.runs_of(y).map(in_run).sum()
    };
    let at_top: usize = (0..raw.height()).into_par_iter().map(at_top).sum();
    // Of a threshold below zero the first is the highest.
    let thresholds = [threshold * 0.9, threshold, threshold * 1.1];
    let above = |values: &[f32]| vectorised(CountAbove { values, thresholds });
    let [lower, base, higher] = match blank {
        None => flat
            .data()
            .par_chunks(band)
            .map(above)
            .reduce(|| [0; 3], |a, b| [a[0] + b[0], a[1] + b[1], a[2] + b[2]]),
        Some(blank) => {
            let mut counts = [0; 3];
            let seen = blank.inverse();
            for y in 0..flat.height() {
                for run in seen.runs_of(y) {
                    let more = above(&flat.row(y)[run.columns()]);
                    counts.iter_mut().zip(more).for_each(|(n, m)| *n += m);
                }
            }
            counts
        }
    };
    StainNumbers {
        foreground_share: area as f64 / n,
        signal_to_noise: inside.map(|i| f64::from((i - outside) / noise)),
        saturated_share: if area > 0 {
            at_top as f64 / area as f64
        } else {
            0.0
        },
        edge_width_px: edge_width(flat, mask, outside),
        threshold_slope: (base > 0).then(|| lower.abs_diff(higher) as f64 / base as f64),
    }
}

/// Whether one of the values is this one.
struct Contains<'a>(&'a [f32], f32);

impl Loops for Contains<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let equal = |any: u32, &v: &f32| any | u32::from(v == self.1);
        self.0.iter().fold(0, equal) != 0
    }
}

/// How many values lie above each threshold.
struct CountAbove<'a> {
    values: &'a [f32],
    thresholds: [f32; 3],
}

impl Loops for CountAbove<'_> {
    type Output = [usize; 3];

    #[inline(always)]
    fn run(self) -> [usize; 3] {
        let mut counts = [0u32; 3];
        for &v in self.values {
            for (n, t) in counts.iter_mut().zip(self.thresholds) {
                *n += u32::from(v > t);
            }
        }
        counts.map(|n| n as usize)
    }
}

/// Share of the pixels of `mask` at the camera's ceiling, the largest value of the stain as it was
/// read.
///
/// For a stain whose light was made even: what was one value is many then, and what
/// [`StainNumbers::saturated_share`] counts is not there any more. `ceiling` has the size of
/// `mask`; an empty mask has no such pixels.
pub fn saturated_share(ceiling: &Image<bool>, mask: &Image<bool>) -> f64 {
    let inside = mask.data().iter().filter(|&&m| m).count();
    let pairs = ceiling.data().iter().zip(mask.data());
    let both = pairs.filter(|&(&c, &m)| c && m).count();
    both as f64 / inside.max(1) as f64
}

/// Every how many rows are looked at for the median of `n` values: tens of thousands are plenty.
fn row_step(n: usize) -> usize {
    const PLENTY: usize = 1 << 15;
    (n / PLENTY).clamp(1, 8)
}

/// Median over the mask's edge pixels of (local height above background) / (local slope), in
/// pixels.
///
/// The height is that of the brightest pixel in the 7 x 7 surrounding.
fn edge_width(flat: &Image<f32>, mask: &Bits, outside: f32) -> Option<f64> {
    const REACH: usize = 3;
    let (height, width) = flat.size();
    let edge = Bits::combined([mask, &mask.eroded(Footprint::Disk(1))], |[m, inner]| {
        m & !inner
    });
    let width_at = |y: usize, x: usize| {
        let dy = (flat.get(y + 1, x) - flat.get(y - 1, x)) / 2.0;
        let dx = (flat.get(y, x + 1) - flat.get(y, x - 1)) / 2.0;
        let slope = dy.hypot(dx);
        let columns = x.saturating_sub(REACH)..(x + REACH + 1).min(width);
        let rows = y.saturating_sub(REACH)..(y + REACH + 1).min(height);
        (slope > 0.0).then(|| (brightest(flat, rows, columns) - outside) / slope)
    };
    let in_row = |y: usize| -> Vec<f32> {
        let columns = edge.runs_of(y).flat_map(Run::columns);
        let inner = columns.filter(|&x| x > 0 && x + 1 < width);
        inner.filter_map(|x| width_at(y, x)).collect()
    };
    let step = row_step(edge.count());
    let rows = (1..height.saturating_sub(1)).into_par_iter().step_by(step);
    let mut widths: Vec<f32> = rows.flat_map_iter(in_row).collect();
    if widths.is_empty() {
        return None;
    }
    let middle = widths.len() / 2;
    Some(f64::from(
        *widths.select_nth_unstable_by(middle, f32::total_cmp).1,
    ))
}

/// The largest value of a window.
fn brightest(image: &Image<f32>, rows: Range<usize>, columns: Range<usize>) -> f32 {
    /// Columns that are compared side by side; they overlap where there are a few more.
    const LANES: usize = 4;
    let higher = |a: f32, b: f32| if b > a { b } else { a };
    let mut top = [f32::NEG_INFINITY; LANES];
    for y in rows {
        let row = &image.row(y)[columns.clone()];
        let (Some(first), Some(last)) = (row.first_chunk::<LANES>(), row.last_chunk::<LANES>())
        else {
            row.iter().for_each(|&v| top[0] = higher(top[0], v));
            continue;
        };
        for k in 0..LANES {
            top[k] = higher(higher(top[k], first[k]), last[k]);
        }
    }
    top.into_iter().fold(f32::NEG_INFINITY, higher)
}

/// Edges wider than a nucleus' radius are those of uneven light. On the real fields of the measured
/// sets they are at most 6 um wide.
const NO_EDGE_UM: f64 = 10.0;

/// The verdicts that the numbers of a field deserve.
pub(crate) fn judge(
    numbers: &StainNumbers,
    um_per_pixel: f64,
    limits: &QualityLimits,
) -> Vec<Verdict> {
    let mut found = Vec::new();
    let mut add = |word, value: f64, limit: f64, unusable, reason: String| {
        found.push(Verdict {
            word,
            value,
            limit,
            unusable,
            reason,
        });
    };
    let share = numbers.foreground_share;
    if share < limits.min_foreground_share {
        let reason = format!("the mask covers {:.3} % of the field", 100.0 * share);
        add(
            Word::Empty,
            share,
            limits.min_foreground_share,
            true,
            reason,
        );
    }
    if let Some(v) = numbers
        .signal_to_noise
        .filter(|&v| v < limits.min_signal_to_noise)
    {
        let reason = format!("the stain rises {v:.1} times its noise above the background");
        add(Word::WeakStain, v, limits.min_signal_to_noise, true, reason);
    }
    if let Some(v) = numbers
        .edge_width_px
        .map(|w| w * um_per_pixel)
        .filter(|&v| v > limits.max_edge_width_um)
    {
        let reason = format!("edges are {v:.1} um wide");
        let shapeless = v > NO_EDGE_UM;
        add(
            Word::OutOfFocus,
            v,
            limits.max_edge_width_um,
            shapeless,
            reason,
        );
    }
    if let Some(v) = numbers
        .threshold_slope
        .filter(|&v| v > limits.max_threshold_slope)
    {
        let reason = format!(
            "the mask changes by {:.0} % when the threshold moves by 10 % either way",
            100.0 * v
        );
        add(
            Word::ThresholdOnSlope,
            v,
            limits.max_threshold_slope,
            false,
            reason,
        );
    }
    found.extend(Verdict::of_saturation(numbers.saturated_share, limits));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saturation_is_counted_inside_the_mask_only() {
        let ceiling = Image::from_fn(4, 4, |_, x| x < 2);
        let mask = Image::from_fn(4, 4, |y, x| y == 0 || (y == 1 && x == 0));
        // Of the five pixels of the mask three lie in the first two columns.
        assert_eq!(saturated_share(&ceiling, &mask), 0.6);
        assert_eq!(
            saturated_share(&ceiling, &Image::from_fn(4, 4, |_, _| false)),
            0.0
        );
        let limits = QualityLimits::default();
        assert!(Verdict::of_saturation(0.6, &limits).is_some());
        assert!(Verdict::of_saturation(limits.max_saturated_share, &limits).is_none());
    }
}
