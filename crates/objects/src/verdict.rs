//! What can be wrong with a stained field, each as a word with its number.

use crate::components::Connectivity;
use crate::expand::inner_boundaries;
use crate::settings::QualityLimits;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;
use std::fmt;

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
    /// The nuclear stain shows in this one. Number: correlation of fine structure; see [`crate::bleed_through`].
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
    /// How far beyond its limit the number lies: 1 is at the limit, larger is worse. Verdicts of an unusable field
    /// come before all others.
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
    /// Share of the mask's pixels that sit at the image's largest value; 0 where a few pixels only do.
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
    let mut differences = Vec::new();
    // Every fourth row is plenty for a median.
    for y in (0..image.height()).step_by(4) {
        differences.extend(
            image
                .row(y)
                .windows(3)
                .map(|w| (w[0] - 2.0 * w[1] + w[2]).abs()),
        );
    }
    let step = smallest_step(image);
    let floor = step / 12f32.sqrt();
    if differences.is_empty() {
        return floor.max(f32::MIN_POSITIVE);
    }
    let middle = differences.len() / 2;
    let median = *differences.select_nth_unstable_by(middle, f32::total_cmp).1;
    // sd of (a - 2b + c) is sqrt(6) sd; the median absolute value of a normal is 0.6745 sd.
    (median / (0.6745 * 6f32.sqrt()))
        .max(floor)
        .max(f32::MIN_POSITIVE)
}

/// The smallest difference between neighbouring values that occurs: the grey level of the camera.
fn smallest_step(image: &Image<f32>) -> f32 {
    let mut step = f32::INFINITY;
    for y in (0..image.height()).step_by(4) {
        for w in image.row(y).windows(2) {
            let d = (w[0] - w[1]).abs();
            if d > 0.0 {
                step = step.min(d);
            }
        }
    }
    if step.is_finite() { step } else { 0.0 }
}

/// Measures a field. `raw` is the stain as read, `flat` the smoothed image above its background that
/// was thresholded at `threshold`, `mask` the final mask, `noise` the noise of `raw`.
pub(crate) fn measure(
    raw: &Image<f32>,
    flat: &Image<f32>,
    mask: &Image<bool>,
    threshold: f32,
    noise: f32,
) -> StainNumbers {
    let n = mask.data().len().max(1) as f64;
    let area = mask.data().iter().filter(|&&m| m).count();
    let median = |inside: bool| -> Option<f32> {
        let mut v: Vec<f32> = flat
            .data()
            .iter()
            .zip(mask.data())
            .filter(|&(_, &m)| m == inside)
            .map(|(&v, _)| v)
            .collect();
        if v.is_empty() {
            return None;
        }
        let middle = v.len() / 2;
        Some(*v.select_nth_unstable_by(middle, f32::total_cmp).1)
    };
    let (inside, outside) = (median(true), median(false).unwrap_or(0.0));
    let largest = raw.data().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let at_top = raw
        .data()
        .iter()
        .zip(mask.data())
        .filter(|&(&v, &m)| m && v == largest)
        .count();
    let count = |t: f32| flat.data().iter().filter(|&&v| v > t).count() as f64;
    let base = count(threshold);
    StainNumbers {
        foreground_share: area as f64 / n,
        signal_to_noise: inside.map(|i| f64::from((i - outside) / noise)),
        saturated_share: if area > 0 {
            at_top as f64 / area as f64
        } else {
            0.0
        },
        edge_width_px: edge_width(flat, mask, outside),
        threshold_slope: (base > 0.0)
            .then(|| (count(threshold * 0.9) - count(threshold * 1.1)) / base),
    }
}

/// Median over the mask's edge pixels of (local height above background) / (local slope), in pixels.
///
/// The height is that of the brightest pixel in the 7 x 7 surrounding.
fn edge_width(flat: &Image<f32>, mask: &Image<bool>, outside: f32) -> Option<f64> {
    const REACH: usize = 3;
    let (height, width) = flat.size();
    let edge = inner_boundaries(&mask.map(|&m| u32::from(m)), Connectivity::Four);
    let mut widths = Vec::new();
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            if !edge.get(y, x) {
                continue;
            }
            let dy = (flat.get(y + 1, x) - flat.get(y - 1, x)) / 2.0;
            let dx = (flat.get(y, x + 1) - flat.get(y, x - 1)) / 2.0;
            let slope = dy.hypot(dx);
            let mut top = f32::NEG_INFINITY;
            for ny in y.saturating_sub(REACH)..(y + REACH + 1).min(height) {
                for nx in x.saturating_sub(REACH)..(x + REACH + 1).min(width) {
                    top = top.max(flat.get(ny, nx));
                }
            }
            if slope > 0.0 {
                widths.push((top - outside) / slope);
            }
        }
    }
    if widths.is_empty() {
        return None;
    }
    let middle = widths.len() / 2;
    Some(f64::from(
        *widths.select_nth_unstable_by(middle, f32::total_cmp).1,
    ))
}

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
    let v = numbers.saturated_share;
    if v > limits.max_saturated_share {
        let reason = format!(
            "{:.1} % of the mask is at the largest value of the image",
            100.0 * v
        );
        add(
            Word::Saturated,
            v,
            limits.max_saturated_share,
            false,
            reason,
        );
    }
    if let Some(v) = numbers
        .edge_width_px
        .map(|w| w * um_per_pixel)
        .filter(|&v| v > limits.max_edge_width_um)
    {
        let reason = format!("edges are {v:.1} um wide");
        add(Word::OutOfFocus, v, limits.max_edge_width_um, false, reason);
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
    found
}
