//! How well outlines and lines lie: tolerant F1, surface dice, distances, bands, thickness.
//!
//! 1. A contour holds the pixels of a mask with a 4-neighbour outside it. Image rim and ignored
//!    pixels are not outside: what lies beyond is unknown, and so contour pixels on the rim or
//!    ignored are left out.
//! 2. *Tolerant precision* at d px: share of predicted contour pixels with a true one at a
//!    Euclidean distance of at most d; *recall* the reverse; F1 of both; *NSD* both together.
//! 3. Classes that are lines themselves (boundary and split of scheme B) are compared by all their
//!    pixels, and their *thickness* is area over length of the skeleton.
//! 4. Matched pairs of nuclei (IoU >= 0.5) also get ASSD, HD95 and boundary IoU.
//!
//! Sources: Csurka et al. (2013) for the tolerant F1 (with <=, so that 0 px is exact agreement),
//! Nikolov et al. (2021) for NSD, Cheng et al. (2021) for boundary IoU.

use serde::{Deserialize, Serialize};
use stainfree_image::Image;

use crate::ScoreError;
use crate::extent::{Extent, Index, extents};
use crate::matching::Matching;
use crate::named::Named;
use crate::near::squared_distances;
use crate::pixels::{IGNORED, check_size, ratio};
use crate::places::{Nearest, Places};
use crate::skeleton::skeleton;

/// Tolerances of 0, 1, 2 and 3 px.
pub const TOLERANCES: usize = 4;

/// Bands of 1, 2 and 3 px.
const BANDS: usize = 3;

/// What was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outline {
    /// The contour of a class or of nuclei.
    #[default]
    Contour,
    /// All pixels of a class that is a line itself.
    Line,
}

/// Pixels of outlines of one field, or the sum over several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BoundaryCounts {
    /// What was compared.
    pub outline: Outline,
    /// True outline pixels.
    pub truth: u64,
    /// Predicted outline pixels.
    pub prediction: u64,
    /// True outline pixels with a predicted one within 0, 1, 2 and 3 px.
    pub truth_near: [u64; TOLERANCES],
    /// Predicted outline pixels with a true one within 0, 1, 2 and 3 px.
    pub prediction_near: [u64; TOLERANCES],
    /// Skeleton pixels of a true line.
    pub truth_length: u64,
    /// Skeleton pixels of a predicted line.
    pub prediction_length: u64,
    /// Sums over matched pairs of nuclei.
    pub pairs: PairSums,
}

/// Sums over matched pairs of nuclei.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PairSums {
    /// Pairs at IoU >= 0.5.
    pub n: u64,
    /// Boundary IoU with bands of 1, 2 and 3 px.
    pub band_iou: [f64; BANDS],
    /// Pairs with a contour on both sides (a nucleus on the rim may have none).
    pub measured: u64,
    /// Average symmetric surface distance in px.
    pub assd_px: f64,
    /// 95th percentile of the surface distance, the larger of both directions, in px.
    pub hd95_px: f64,
    /// Measured pairs in fields of known pixel size.
    pub measured_um: u64,
    /// `assd_px` in um.
    pub assd_um: f64,
    /// `hd95_px` in um.
    pub hd95_um: f64,
}

impl BoundaryCounts {
    /// Share of predicted outline pixels within `d` px of a true one; NaN where nothing is
    /// predicted.
    pub fn precision(&self, d: usize) -> f64 {
        ratio(self.prediction_near[d] as f64, self.prediction as f64)
    }

    /// Share of true outline pixels within `d` px of a predicted one; NaN where there are none.
    pub fn recall(&self, d: usize) -> f64 {
        ratio(self.truth_near[d] as f64, self.truth as f64)
    }

    /// Harmonic mean of precision and recall; NaN where both sides are empty, 0 where one is.
    pub fn f1(&self, d: usize) -> f64 {
        if self.truth == 0 && self.prediction == 0 {
            return f64::NAN;
        }
        let (p, r) = (self.precision(d), self.recall(d));
        // Also 0 where one side is empty (NaN) or nothing is near.
        if p > 0.0 && r > 0.0 {
            2.0 * p * r / (p + r)
        } else {
            0.0
        }
    }

    /// Normalised surface dice: near pixels of both sides over all; NaN where both are empty.
    pub fn nsd(&self, d: usize) -> f64 {
        ratio(
            (self.truth_near[d] + self.prediction_near[d]) as f64,
            (self.truth + self.prediction) as f64,
        )
    }

    /// Area over skeleton length of the true line, in px.
    pub fn truth_thickness(&self) -> f64 {
        ratio(self.truth as f64, self.truth_length as f64)
    }

    /// Area over skeleton length of the predicted line, in px.
    pub fn prediction_thickness(&self) -> f64 {
        ratio(self.prediction as f64, self.prediction_length as f64)
    }

    /// Adds the counts of another field.
    pub fn add(&mut self, other: &BoundaryCounts) {
        self.outline = other.outline;
        self.truth += other.truth;
        self.prediction += other.prediction;
        for d in 0..TOLERANCES {
            self.truth_near[d] += other.truth_near[d];
            self.prediction_near[d] += other.prediction_near[d];
        }
        self.truth_length += other.truth_length;
        self.prediction_length += other.prediction_length;
        let (sum, part) = (&mut self.pairs, &other.pairs);
        sum.n += part.n;
        for (sum, part) in sum.band_iou.iter_mut().zip(part.band_iou) {
            *sum += part;
        }
        sum.measured += part.measured;
        sum.assd_px += part.assd_px;
        sum.hd95_px += part.hd95_px;
        sum.measured_um += part.measured_um;
        sum.assd_um += part.assd_um;
        sum.hd95_um += part.hd95_um;
    }

    /// Counts two sets of outline pixels against each other.
    fn compare(outline: Outline, truth: &Image<bool>, prediction: &Image<bool>) -> Self {
        let (all, truth_near) = near(truth, prediction);
        let (predicted, prediction_near) = near(prediction, truth);
        Self {
            outline,
            truth: all,
            prediction: predicted,
            truth_near,
            prediction_near,
            ..Self::default()
        }
    }
}

/// Boundary scores in the order they are computed.
pub(crate) const BOUNDARY_SCORES: [Named<BoundaryCounts>; 25] = [
    ("precision_0px", |b| b.precision(0), NOT_PREDICTED),
    ("recall_0px", |b| b.recall(0), NOT_TRUE),
    ("f1_0px", |b| b.f1(0), NO_OUTLINE),
    ("nsd_0px", |b| b.nsd(0), NO_OUTLINE),
    ("precision_1px", |b| b.precision(1), NOT_PREDICTED),
    ("recall_1px", |b| b.recall(1), NOT_TRUE),
    ("f1_1px", |b| b.f1(1), NO_OUTLINE),
    ("nsd_1px", |b| b.nsd(1), NO_OUTLINE),
    ("precision_2px", |b| b.precision(2), NOT_PREDICTED),
    ("recall_2px", |b| b.recall(2), NOT_TRUE),
    ("f1_2px", |b| b.f1(2), NO_OUTLINE),
    ("nsd_2px", |b| b.nsd(2), NO_OUTLINE),
    ("precision_3px", |b| b.precision(3), NOT_PREDICTED),
    ("recall_3px", |b| b.recall(3), NOT_TRUE),
    ("f1_3px", |b| b.f1(3), NO_OUTLINE),
    ("nsd_3px", |b| b.nsd(3), NO_OUTLINE),
    (
        "thickness_truth_px",
        BoundaryCounts::truth_thickness,
        NOT_TRUE,
    ),
    (
        "thickness_prediction_px",
        BoundaryCounts::prediction_thickness,
        NOT_PREDICTED,
    ),
    (
        "boundary_iou_1px",
        |b| ratio(b.pairs.band_iou[0], b.pairs.n as f64),
        NO_PAIR,
    ),
    (
        "boundary_iou_2px",
        |b| ratio(b.pairs.band_iou[1], b.pairs.n as f64),
        NO_PAIR,
    ),
    (
        "boundary_iou_3px",
        |b| ratio(b.pairs.band_iou[2], b.pairs.n as f64),
        NO_PAIR,
    ),
    (
        "assd_px",
        |b| ratio(b.pairs.assd_px, b.pairs.measured as f64),
        NO_PAIR,
    ),
    (
        "hd95_px",
        |b| ratio(b.pairs.hd95_px, b.pairs.measured as f64),
        NO_PAIR,
    ),
    (
        "assd_um",
        |b| ratio(b.pairs.assd_um, b.pairs.measured_um as f64),
        NO_UM,
    ),
    (
        "hd95_um",
        |b| ratio(b.pairs.hd95_um, b.pairs.measured_um as f64),
        NO_UM,
    ),
];

const NOT_PREDICTED: &str = "nothing was predicted";
const NOT_TRUE: &str = "the truth has none";
const NO_OUTLINE: &str = "there is none in truth or prediction";
const NO_PAIR: &str = "no nuclei are matched";
const NO_UM: &str = "no nuclei are matched in a field of known pixel size";

/// Compares the contours of one class of two class masks. Truth pixels of [`IGNORED`] are ignored.
///
/// # Errors
/// [`ScoreError::Size`] if the masks differ in size.
pub fn class_contours(
    truth: &Image<u8>,
    prediction: &Image<u8>,
    class: u8,
) -> Result<BoundaryCounts, ScoreError> {
    check_size("prediction", prediction.size(), truth.size())?;
    let ignored = |i: usize| truth.data()[i] == IGNORED;
    let of = |mask: &Image<u8>| {
        let member = |i: usize| u32::from(mask.data()[i] == class);
        contour(mask.size(), member, ignored)
    };
    Ok(BoundaryCounts::compare(
        Outline::Contour,
        &of(truth),
        &of(prediction),
    ))
}

/// Compares the pixels of a class that is a line (boundary, split) and measures its thickness.
/// Truth pixels of [`IGNORED`] are ignored.
///
/// # Errors
/// [`ScoreError::Size`] if the masks differ in size.
pub fn class_lines(
    truth: &Image<u8>,
    prediction: &Image<u8>,
    class: u8,
) -> Result<BoundaryCounts, ScoreError> {
    check_size("prediction", prediction.size(), truth.size())?;
    let (height, width) = truth.size();
    let of = |mask: &Image<u8>| {
        let pixels = mask.data().iter().zip(truth.data());
        let line = pixels.map(|(&here, &truth)| here == class && truth != IGNORED);
        Image::new(height, width, line.collect())
    };
    let (truth, prediction) = (of(truth), of(prediction));
    let length = |mask: &Image<bool>| count(&skeleton(mask));
    Ok(BoundaryCounts {
        truth_length: length(&truth),
        prediction_length: length(&prediction),
        ..BoundaryCounts::compare(Outline::Line, &truth, &prediction)
    })
}

impl Matching<'_> {
    /// Compares the contours of all nuclei, those between touching nuclei included, and measures
    /// each matched pair. `pixel_um` is the side of a pixel in um, where it is known.
    ///
    /// Distances and bands of pairs are those of the whole label images, ignored pixels included.
    pub fn contours(&self, pixel_um: Option<f64>) -> BoundaryCounts {
        let overlap = &self.table.overlap;
        let size = self.truth.size();
        let mut taken = self.table.required.clone();
        let pairs = self.table.pairs_at(10);
        pairs.iter().for_each(|pair| taken[pair.prediction] = true);
        let ignored = |i: usize| self.ignore.is_some_and(|mask| mask.data()[i]);
        let of = |image: &Image<u32>, labels: &[u32], counts: &[bool]| {
            let index = Index::new(labels);
            let outline = contour(size, |i| image.data()[i], ignored);
            let counted = |(&on, &label): (&bool, &u32)| {
                on && index.find(label).is_some_and(|object| counts[object])
            };
            let pixels = outline.data().iter().zip(image.data()).map(counted);
            Image::new(size.0, size.1, pixels.collect())
        };
        let truth = of(self.truth, &overlap.truth.labels, &self.table.truth_counts);
        let prediction = of(self.prediction, &overlap.prediction.labels, &taken);
        let mut counts = BoundaryCounts::compare(Outline::Contour, &truth, &prediction);
        let sides = (
            Shapes::new(self.truth, &overlap.truth.labels),
            Shapes::new(self.prediction, &overlap.prediction.labels),
        );
        for pair in &pairs {
            counts
                .pairs
                .measure(&sides.0, pair.truth, &sides.1, pair.prediction, pixel_um);
        }
        counts
    }
}

impl PairSums {
    fn measure(
        &mut self,
        truth: &Shapes<'_>,
        t: usize,
        prediction: &Shapes<'_>,
        p: usize,
        pixel_um: Option<f64>,
    ) {
        self.n += 1;
        for (sum, iou) in self
            .band_iou
            .iter_mut()
            .zip(band_iou(truth, t, prediction, p))
        {
            *sum += iou;
        }
        let (a, b) = (&truth.contours[t], &prediction.contours[p]);
        if a.is_empty() || b.is_empty() {
            return;
        }
        let (there, back) = (Nearest::of(a, b), Nearest::of(b, a));
        let assd = (there.sum() + back.sum()) / (there.len() + back.len()) as f64;
        let hd95 = there.percentile(0.95).max(back.percentile(0.95));
        self.measured += 1;
        self.assd_px += assd;
        self.hd95_px += hd95;
        if let Some(pixel_um) = pixel_um {
            self.measured_um += 1;
            self.assd_um += assd * pixel_um;
            self.hd95_um += hd95 * pixel_um;
        }
    }
}

/// Pixels of a value other than 0 with a 4-neighbour of another value, both in the image, neither
/// ignored, the pixel itself not on the rim.
fn contour(
    (height, width): (usize, usize),
    value: impl Fn(usize) -> u32,
    ignored: impl Fn(usize) -> bool,
) -> Image<bool> {
    let mut out = Image::filled(height, width, false);
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let i = y * width + x;
            let here = value(i);
            if here == 0 || ignored(i) {
                continue;
            }
            let edge = |j: usize| value(j) != here && !ignored(j);
            *out.get_mut(y, x) = edge(i - width) || edge(i - 1) || edge(i + 1) || edge(i + width);
        }
    }
    out
}

/// How many pixels `of` has, and how many of them lie within 0 to 3 px of `others`.
fn near(of: &Image<bool>, others: &Image<bool>) -> (u64, [u64; TOLERANCES]) {
    let distances = squared_distances(others);
    let mut by_square = [0u64; 256];
    for (_, &squared) in of
        .data()
        .iter()
        .zip(distances.data())
        .filter(|(on, _)| **on)
    {
        by_square[usize::from(squared)] += 1;
    }
    let within = |d: usize| by_square[..=d * d].iter().sum();
    (by_square.iter().sum(), std::array::from_fn(within))
}

fn count(mask: &Image<bool>) -> u64 {
    mask.data().iter().filter(|&&on| on).count() as u64
}

/// Extents and contours of all objects of a label image.
struct Shapes<'a> {
    image: &'a Image<u32>,
    labels: &'a [u32],
    extents: Vec<Extent>,
    contours: Vec<Places>,
}

impl<'a> Shapes<'a> {
    fn new(image: &'a Image<u32>, labels: &'a [u32]) -> Self {
        let index = Index::new(labels);
        let mut contours = vec![Places::default(); labels.len()];
        let outline = contour(image.size(), |i| image.data()[i], |_| false);
        for y in 0..image.height() {
            for (x, _) in outline.row(y).iter().enumerate().filter(|(_, on)| **on) {
                if let Some(object) = index.find(image.get(y, x)) {
                    contours[object].push(y, x);
                }
            }
        }
        Self {
            image,
            labels,
            extents: extents(image, labels),
            contours,
        }
    }

    /// Depth of each pixel of `window` in an object: 1 for its outermost pixels, which a 3 x 3
    /// erosion takes, 2 for the next, at most [`BANDS`] + 1; 0 outside. The rim of the image is an
    /// edge.
    fn depth(&self, object: usize, window: &Extent) -> Vec<u8> {
        let (height, width) = (window.bottom - window.top, window.right - window.left);
        let label = self.labels[object];
        // A frame of one pixel outside, so that every pixel has eight neighbours.
        let stride = width + 2;
        let mut depth = vec![0u8; (height + 2) * stride];
        for y in 0..height {
            let pixels = &self.image.row(window.top + y)[window.left..window.right];
            for (inside, &here) in depth[(y + 1) * stride + 1..].iter_mut().zip(pixels) {
                *inside = u8::from(here == label);
            }
        }
        for step in 1..=BANDS as u8 {
            let before = depth.clone();
            for y in 1..=height {
                for i in y * stride + 1..=y * stride + width {
                    let survives = [i - stride, i, i + stride]
                        .iter()
                        .all(|&j| before[j - 1].min(before[j]).min(before[j + 1]) >= step);
                    depth[i] += u8::from(survives);
                }
            }
        }
        depth
    }
}

/// Boundary IoU of a pair with bands of 1, 2 and 3 px: a band is the mask less its erosion.
fn band_iou(truth: &Shapes<'_>, t: usize, prediction: &Shapes<'_>, p: usize) -> [f64; BANDS] {
    let (a, b) = (truth.extents[t], prediction.extents[p]);
    let both = Extent {
        top: a.top.min(b.top),
        left: a.left.min(b.left),
        bottom: a.bottom.max(b.bottom),
        right: a.right.max(b.right),
    };
    let (one, other) = (truth.depth(t, &both), prediction.depth(p, &both));
    std::array::from_fn(|band| {
        // Depth 1 is the outermost pixel, so a band of d px holds the depths 1 to d.
        let in_band = |depth: u8| (1..=band as u8 + 1).contains(&depth);
        let (mut shared, mut union) = (0u64, 0u64);
        for (&one, &other) in one.iter().zip(&other) {
            shared += u64::from(in_band(one) && in_band(other));
            union += u64::from(in_band(one) || in_band(other));
        }
        ratio(shared as f64, union as f64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::labels;

    fn drawn(mask: &Image<bool>) -> Vec<String> {
        let pixel = |&on: &bool| if on { '#' } else { '.' };
        (0..mask.height())
            .map(|y| mask.row(y).iter().map(pixel).collect())
            .collect()
    }

    #[test]
    fn rim_and_ignored_pixels_make_no_contour() {
        let nuclei = labels(&[
            ".111....", ".111....", ".111....", ".....222", "....2222", ".....222", "........",
        ]);
        let value = |i: usize| nuclei.data()[i];
        assert_eq!(
            drawn(&contour(nuclei.size(), value, |_| false)),
            [
                "........", ".#.#....", ".###....", ".....##.", "....#...", ".....##.", "........"
            ]
        );
        // Column 4 is ignored: what 2 looks like there is unknown.
        assert_eq!(
            drawn(&contour(nuclei.size(), value, |i| i % 8 == 4)),
            [
                "........", ".#......", ".###....", ".....##.", "........", ".....##.", "........"
            ]
        );
    }

    #[test]
    fn one_empty_side_scores_zero_and_two_are_undefined() {
        let line = Image::from_fn(5, 5, |y, _| u8::from(y == 2));
        let nothing = Image::filled(5, 5, 0u8);
        let missed = class_lines(&line, &nothing, 1).unwrap();
        assert_eq!((missed.f1(3), missed.nsd(3)), (0.0, 0.0));
        assert!(missed.precision(3).is_nan() && missed.prediction_thickness().is_nan());
        let empty = class_lines(&nothing, &nothing, 1).unwrap();
        assert!(empty.f1(0).is_nan() && empty.nsd(0).is_nan());
    }

    #[test]
    fn a_line_one_pixel_off_agrees_from_one_pixel_on() {
        let line = |row: usize| Image::from_fn(9, 9, |y, _| u8::from(y == row));
        let counts = class_lines(&line(3), &line(4), 1).unwrap();
        assert_eq!([0, 1, 2, 3].map(|d| counts.f1(d)), [0.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn dropped_nuclei_have_no_contour() {
        let nuclei = labels(&["......", ".11.2.", ".11.2.", "......"]);
        let ignore = Image::from_fn(4, 6, |y, x| x >= 4 && y < 2);
        let all = Matching::new(&nuclei, &nuclei, None)
            .unwrap()
            .contours(None);
        assert_eq!((all.truth, all.pairs.n), (6, 2));
        // Half of 2 is ignored, which is not more than half: its kept pixel stays.
        let half = Matching::new(&nuclei, &nuclei, Some(&ignore))
            .unwrap()
            .contours(None);
        assert_eq!((half.truth, half.pairs.n), (5, 2));
        let ignore = Image::from_fn(4, 6, |_, x| x >= 4);
        let kept = Matching::new(&nuclei, &nuclei, Some(&ignore))
            .unwrap()
            .contours(None);
        assert_eq!((kept.truth, kept.pairs.n), (4, 1));
    }
}
