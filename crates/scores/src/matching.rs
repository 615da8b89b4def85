//! Object scores: one-to-one matching of two label images at every threshold, panoptic quality and
//! the two aggregated Jaccard indices.
//!
//! An IoU above 0.5 makes a pair unique without search, because labels of one image do not overlap
//! (Kirillov et al. 2019); only pairs at exactly 0.5 can compete, and only they go through the
//! assignment. IoU is compared as a fraction of whole pixels, so a pair at exactly i/20 counts.

use serde::{Deserialize, Serialize};
use stainfree_image::Image;

use crate::ScoreError;
use crate::assignment::{Edge, assign};
use crate::named::Named;
use crate::overlap::{Objects, Overlap, Shared};
use crate::pixels::ratio;

/// Number of IoU thresholds: 0.50, 0.55 .. 0.95.
pub const THRESHOLDS: usize = 10;

/// The IoU threshold with number `i` (0 to 9): `(10 + i) / 20`.
pub fn threshold(i: usize) -> f64 {
    (10 + i) as f64 / 20.0
}

/// Objects matched at one threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MatchCounts {
    /// Matched pairs.
    pub tp: u64,
    /// Predicted objects without a partner.
    pub fp: u64,
    /// Truth objects without a partner.
    #[serde(rename = "fn")]
    pub fn_: u64,
    /// Sum of the IoU of the pairs.
    pub iou_sum: f64,
}

impl MatchCounts {
    /// `TP / (TP + FP)`; NaN without predictions.
    pub fn precision(&self) -> f64 {
        ratio(self.tp as f64, (self.tp + self.fp) as f64)
    }

    /// `TP / (TP + FN)`; NaN without truth objects.
    pub fn recall(&self) -> f64 {
        ratio(self.tp as f64, (self.tp + self.fn_) as f64)
    }

    /// `2 TP / (2 TP + FP + FN)`; NaN where neither side has objects.
    pub fn f1(&self) -> f64 {
        ratio(
            2.0 * self.tp as f64,
            (2 * self.tp + self.fp + self.fn_) as f64,
        )
    }

    /// Average precision of the Data Science Bowl 2018, `TP / (TP + FP + FN)`: not the area of
    /// COCO.
    pub fn average_precision(&self) -> f64 {
        ratio(self.tp as f64, (self.tp + self.fp + self.fn_) as f64)
    }

    /// Mean IoU of the matched pairs; NaN without pairs.
    pub fn matched_iou(&self) -> f64 {
        ratio(self.iou_sum, self.tp as f64)
    }

    /// Sum of the matched IoU over TP + FP/2 + FN/2: F1 times matched IoU.
    pub fn quality(&self) -> f64 {
        ratio(
            2.0 * self.iou_sum,
            (2 * self.tp + self.fp + self.fn_) as f64,
        )
    }

    pub(crate) fn add(&mut self, other: &MatchCounts) {
        self.tp += other.tp;
        self.fp += other.fp;
        self.fn_ += other.fn_;
        self.iou_sum += other.iou_sum;
    }
}

/// Numerator and denominator of an aggregated Jaccard index, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jaccard {
    /// Pixels shared by the pairs.
    pub intersection: u64,
    /// Pixels in the unions of the pairs, plus the objects without a partner.
    pub union: u64,
}

impl Jaccard {
    /// Intersection over union; NaN where neither side has objects.
    pub fn value(&self) -> f64 {
        ratio(self.intersection as f64, self.union as f64)
    }
}

/// Object counts of one field, or the sum over several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ObjectCounts {
    /// Truth objects that were counted.
    pub truth: u64,
    /// Predicted objects that were counted.
    pub prediction: u64,
    /// Matching at IoU >= 0.50, 0.55 .. 0.95 (see [`threshold`]).
    pub at: [MatchCounts; THRESHOLDS],
    /// Matching at IoU strictly above 0.5, for panoptic quality.
    pub panoptic: MatchCounts,
    /// AJI of Kumar et al. (2017): each truth object takes its best prediction, which may be taken
    /// twice.
    pub aji: Jaccard,
    /// AJI+ of Graham et al. (2019): one to one by assignment on IoU.
    pub aji_plus: Jaccard,
}

impl ObjectCounts {
    /// Mean over the ten thresholds of [`MatchCounts::average_precision`].
    pub fn mean_average_precision(&self) -> f64 {
        self.at
            .iter()
            .map(MatchCounts::average_precision)
            .sum::<f64>()
            / THRESHOLDS as f64
    }

    /// Panoptic quality, [`MatchCounts::quality`] at IoU > 0.5.
    pub fn panoptic_quality(&self) -> f64 {
        self.panoptic.quality()
    }

    /// Predicted minus true number of objects.
    pub fn count_error(&self) -> i64 {
        self.prediction as i64 - self.truth as i64
    }

    /// [`ObjectCounts::count_error`] as a share of the truth; NaN without truth objects.
    pub fn relative_count_error(&self) -> f64 {
        ratio(self.count_error() as f64, self.truth as f64)
    }

    /// Adds the counts of another field.
    pub fn add(&mut self, other: &ObjectCounts) {
        self.truth += other.truth;
        self.prediction += other.prediction;
        for (sum, counts) in self.at.iter_mut().zip(&other.at) {
            sum.add(counts);
        }
        self.panoptic.add(&other.panoptic);
        for (sum, part) in [
            (&mut self.aji, other.aji),
            (&mut self.aji_plus, other.aji_plus),
        ] {
            sum.intersection += part.intersection;
            sum.union += part.union;
        }
    }
}

/// Object scores in the order they are computed and shown.
pub(crate) const OBJECT_SCORES: [Named<ObjectCounts>; 12] = [
    ("f1_50", |o| o.at[0].f1(), NO_OBJECT),
    (
        "precision_50",
        |o| o.at[0].precision(),
        "there is no predicted object",
    ),
    ("recall_50", |o| o.at[0].recall(), NO_TRUTH),
    ("ap_50", |o| o.at[0].average_precision(), NO_OBJECT),
    ("f1_75", |o| o.at[5].f1(), NO_OBJECT),
    ("mean_ap", ObjectCounts::mean_average_precision, NO_OBJECT),
    ("pq", ObjectCounts::panoptic_quality, NO_OBJECT),
    (
        "sq",
        |o| o.panoptic.matched_iou(),
        "no pair of objects overlaps with IoU above 0.5",
    ),
    ("dq", |o| o.panoptic.f1(), NO_OBJECT),
    ("aji_plus", |o| o.aji_plus.value(), NO_OBJECT),
    ("aji", |o| o.aji.value(), NO_OBJECT),
    ("count_error", ObjectCounts::relative_count_error, NO_TRUTH),
];

const NO_OBJECT: &str = "there is no object in truth or prediction";
const NO_TRUTH: &str = "there is no truth object";

/// A truth object and its predicted partner.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Label in the truth.
    pub truth: u32,
    /// Label in the prediction.
    pub prediction: u32,
    /// Their intersection over union.
    pub iou: f64,
}

/// Matches the objects of two label images (0 = background) at all thresholds at once.
///
/// # Errors
/// [`ScoreError::Size`] if the images differ in size.
pub fn match_labels(
    truth: &Image<u32>,
    prediction: &Image<u32>,
) -> Result<ObjectCounts, ScoreError> {
    match_labels_ignoring(truth, prediction, None)
}

/// [`match_labels`] with a mask of pixels that leave both sides.
///
/// A truth object with more than half of its area under the mask is dropped; a predicted object
/// likewise, unless it is matched.
///
/// # Errors
/// [`ScoreError::Size`] if the images or the mask differ in size.
pub fn match_labels_ignoring(
    truth: &Image<u32>,
    prediction: &Image<u32>,
    ignore: Option<&Image<bool>>,
) -> Result<ObjectCounts, ScoreError> {
    Ok(Matching::new(truth, prediction, ignore)?.objects())
}

/// The matched pairs at IoU >= `twentieths / 20` (10 to 20), sorted by truth label.
///
/// # Errors
/// [`ScoreError::Size`] if the images or the mask differ in size.
pub fn matched_pairs(
    truth: &Image<u32>,
    prediction: &Image<u32>,
    ignore: Option<&Image<bool>>,
    twentieths: u8,
) -> Result<Vec<Pair>, ScoreError> {
    Ok(Matching::new(truth, prediction, ignore)?.pairs(twentieths))
}

/// Two label images with the table of their overlaps, from which all object scores follow.
pub struct Matching<'a> {
    pub(crate) truth: &'a Image<u32>,
    pub(crate) prediction: &'a Image<u32>,
    pub(crate) ignore: Option<&'a Image<bool>>,
    pub(crate) table: Table,
}

impl<'a> Matching<'a> {
    /// Lays the two label images (0 = background) over each other. Pixels of `ignore` leave both
    /// sides; a truth object with more than half of its area there is dropped, a predicted object
    /// likewise, unless it is matched.
    ///
    /// # Errors
    /// [`ScoreError::Size`] if the images or the mask differ in size.
    pub fn new(
        truth: &'a Image<u32>,
        prediction: &'a Image<u32>,
        ignore: Option<&'a Image<bool>>,
    ) -> Result<Self, ScoreError> {
        Ok(Self {
            truth,
            prediction,
            ignore,
            table: Table::new(truth, prediction, ignore)?,
        })
    }

    /// The object counts at all thresholds.
    pub fn objects(&self) -> ObjectCounts {
        let table = &self.table;
        let mut counts = ObjectCounts {
            truth: table.truth_kept,
            ..Default::default()
        };
        for (i, at) in counts.at.iter_mut().enumerate() {
            *at = table.count(&table.pairs_at(10 + i as u64));
        }
        // Optional predictions count only where they found a partner.
        counts.prediction = counts.at[0].tp + counts.at[0].fp;
        let above: Vec<Shared> = table
            .candidates
            .iter()
            .filter(|s| 2 * s.pixels > s.union)
            .copied()
            .collect();
        counts.panoptic = table.count(&above);
        counts.aji = table.aji();
        counts.aji_plus = table.aji_plus();
        counts
    }

    /// The matched pairs at IoU >= `twentieths / 20` (10 to 20), sorted by truth label.
    pub fn pairs(&self, twentieths: u8) -> Vec<Pair> {
        let overlap = &self.table.overlap;
        let pair = |s: &Shared| Pair {
            truth: overlap.truth.labels[s.truth],
            prediction: overlap.prediction.labels[s.prediction],
            iou: s.iou(),
        };
        let mut pairs: Vec<Pair> = self
            .table
            .pairs_at(u64::from(twentieths.clamp(10, 20)))
            .iter()
            .map(pair)
            .collect();
        pairs.sort_by_key(|pair| pair.truth);
        pairs
    }
}

/// The overlap table of the objects that count.
pub(crate) struct Table {
    pub(crate) overlap: Overlap,
    pub(crate) truth_kept: u64,
    /// Per truth object: it counts.
    pub(crate) truth_counts: Vec<bool>,
    /// Per predicted object: without a partner it is an error.
    pub(crate) required: Vec<bool>,
    /// Overlapping pairs whose truth object counts.
    pub(crate) candidates: Vec<Shared>,
}

impl Table {
    fn new(
        truth: &Image<u32>,
        prediction: &Image<u32>,
        ignore: Option<&Image<bool>>,
    ) -> Result<Self, ScoreError> {
        let overlap = Overlap::new(truth, prediction, ignore)?;
        let truth_counts: Vec<bool> = (0..overlap.truth.len())
            .map(|i| !overlap.truth.mostly_ignored(i))
            .collect();
        let required: Vec<bool> = (0..overlap.prediction.len())
            .map(|i| !overlap.prediction.mostly_ignored(i))
            .collect();
        let candidates = overlap
            .shared
            .iter()
            .filter(|s| truth_counts[s.truth])
            .copied()
            .collect();
        let truth_kept = truth_counts.iter().filter(|&&counts| counts).count() as u64;
        Ok(Self {
            overlap,
            truth_kept,
            truth_counts,
            required,
            candidates,
        })
    }

    /// One-to-one pairs with IoU >= `twentieths / 20`, as many as there can be, and among those
    /// the ones with the largest sum of IoU.
    pub(crate) fn pairs_at(&self, twentieths: u64) -> Vec<Shared> {
        let good: Vec<Shared> = self
            .candidates
            .iter()
            .filter(|s| 20 * s.pixels >= twentieths * s.union)
            .copied()
            .collect();
        let mut rivals = vec![0u32; self.overlap.truth.len()];
        let mut rivals_of_prediction = vec![0u32; self.overlap.prediction.len()];
        for s in &good {
            rivals[s.truth] += 1;
            rivals_of_prediction[s.prediction] += 1;
        }
        let (mut pairs, rest): (Vec<Shared>, Vec<Shared>) = good
            .into_iter()
            .partition(|s| rivals[s.truth] == 1 && rivals_of_prediction[s.prediction] == 1);
        // A pair is worth 1, and all the IoU together less than 1, so their number comes first.
        let share = 2.0 * rest.len() as f64;
        pairs.extend(self.assigned(&rest, |s| 1.0 + s.iou() / share));
        pairs
    }

    /// The one-to-one choice among `from` with the largest total worth.
    fn assigned(&self, from: &[Shared], worth: impl Fn(&Shared) -> f64) -> Vec<Shared> {
        if from.is_empty() {
            return Vec::new();
        }
        let edges: Vec<Edge> = from
            .iter()
            .map(|s| Edge {
                row: s.truth,
                column: s.prediction,
                weight: worth(s),
            })
            .collect();
        assign(
            self.overlap.truth.len(),
            self.overlap.prediction.len(),
            &edges,
        )
        .into_iter()
        .flatten()
        .map(|e| from[e])
        .collect()
    }

    fn count(&self, pairs: &[Shared]) -> MatchCounts {
        let tp = pairs.len() as u64;
        let mut unmatched = self.required.clone();
        for s in pairs {
            unmatched[s.prediction] = false;
        }
        MatchCounts {
            tp,
            fp: unmatched.iter().filter(|&&alone| alone).count() as u64,
            fn_: self.truth_kept - tp,
            iou_sum: pairs.iter().map(Shared::iou).sum(),
        }
    }

    fn aji(&self) -> Jaccard {
        let mut best: Vec<Option<Shared>> = vec![None; self.overlap.truth.len()];
        for s in &self.candidates {
            // a/b > c/d without division; the first of equals stays.
            let better = best[s.truth].is_none_or(|b| s.pixels * b.union > b.pixels * s.union);
            if better {
                best[s.truth] = Some(*s);
            }
        }
        self.jaccard(best.into_iter().flatten())
    }

    fn aji_plus(&self) -> Jaccard {
        self.jaccard(self.assigned(&self.candidates, Shared::iou).into_iter())
    }

    /// Sums the pairs and adds what has no partner to the union.
    fn jaccard(&self, pairs: impl Iterator<Item = Shared>) -> Jaccard {
        let mut truth_alone = self.truth_counts.clone();
        let mut prediction_alone = self.required.clone();
        let mut sum = Jaccard::default();
        for s in pairs {
            sum.intersection += s.pixels;
            sum.union += s.union;
            truth_alone[s.truth] = false;
            prediction_alone[s.prediction] = false;
        }
        let area = |objects: &Objects, alone: &[bool]| -> u64 {
            objects
                .area
                .iter()
                .zip(alone)
                .filter(|(_, alone)| **alone)
                .map(|(a, _)| a)
                .sum()
        };
        sum.union += area(&self.overlap.truth, &truth_alone);
        sum.union += area(&self.overlap.prediction, &prediction_alone);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Paints rectangles `(y, x, height, width)` with labels 1, 2, ..
    fn field(height: usize, width: usize, boxes: &[(usize, usize, usize, usize)]) -> Image<u32> {
        Image::from_fn(height, width, |y, x| {
            let hit = |&(y0, x0, h, w): &(usize, usize, usize, usize)| {
                (y0..y0 + h).contains(&y) && (x0..x0 + w).contains(&x)
            };
            boxes.iter().rposition(hit).map_or(0, |i| i as u32 + 1)
        })
    }

    #[test]
    fn a_square_moved_by_half_its_side_has_iou_one_third_and_is_not_matched() {
        let truth = field(20, 12, &[(0, 0, 10, 10)]);
        let moved = field(20, 12, &[(5, 0, 10, 10)]);
        let counts = match_labels(&truth, &moved).unwrap();
        assert_eq!(
            counts.at[0],
            MatchCounts {
                tp: 0,
                fp: 1,
                fn_: 1,
                iou_sum: 0.0
            }
        );
        assert_eq!(
            counts.aji_plus,
            Jaccard {
                intersection: 50,
                union: 150
            }
        );
    }

    #[test]
    fn iou_of_exactly_one_half_matches_but_enters_no_panoptic_quality() {
        let truth = field(4, 8, &[(0, 0, 4, 8)]);
        let halves = field(4, 8, &[(0, 0, 4, 4), (0, 4, 4, 4)]);
        let counts = match_labels(&truth, &halves).unwrap();
        assert_eq!(
            counts.at[0],
            MatchCounts {
                tp: 1,
                fp: 1,
                fn_: 0,
                iou_sum: 0.5
            }
        );
        assert_eq!(counts.at[1].tp, 0);
        assert_eq!(
            counts.panoptic,
            MatchCounts {
                tp: 0,
                fp: 2,
                fn_: 1,
                iou_sum: 0.0
            }
        );
        assert_eq!(counts.count_error(), 1);
    }

    #[test]
    fn thresholds_are_met_exactly() {
        // IoU 11/20, 13/20 .. of a row of 20 pixels: floating point must not move the edge.
        for hit in 10..=19 {
            let truth = field(1, 20, &[(0, 0, 1, 20)]);
            let part = field(1, 20, &[(0, 0, 1, hit)]);
            let counts = match_labels(&truth, &part).unwrap();
            let matched: u64 = counts.at.iter().map(|at| at.tp).sum();
            assert_eq!(matched, hit as u64 - 9, "{hit} of 20 pixels");
        }
    }

    #[test]
    fn aji_lets_one_prediction_serve_twice_and_aji_plus_does_not() {
        // One prediction over two truth squares of 16 pixels.
        let truth = field(4, 8, &[(0, 0, 4, 4), (0, 4, 4, 4)]);
        let fused = field(4, 8, &[(0, 0, 4, 8)]);
        let counts = match_labels(&truth, &fused).unwrap();
        assert_eq!(
            counts.aji,
            Jaccard {
                intersection: 32,
                union: 64
            }
        );
        assert_eq!(
            counts.aji_plus,
            Jaccard {
                intersection: 16,
                union: 48
            }
        );
    }

    #[test]
    fn mostly_ignored_objects_leave_unless_the_prediction_is_matched() {
        let truth = field(4, 30, &[(0, 0, 4, 4), (0, 10, 4, 4)]);
        let prediction = field(4, 30, &[(0, 0, 4, 4), (0, 10, 4, 4), (0, 20, 4, 4)]);
        // Three of four columns of the first pair and of the lone prediction are ignored.
        let ignore = Image::from_fn(4, 30, |_, x| x < 3 || (20..23).contains(&x));
        let counts = match_labels_ignoring(&truth, &prediction, Some(&ignore)).unwrap();
        assert_eq!((counts.truth, counts.prediction), (1, 1));
        assert_eq!(
            counts.at[9],
            MatchCounts {
                tp: 1,
                fp: 0,
                fn_: 0,
                iou_sum: 1.0
            }
        );
        // Half ignored is not more than half: everything counts, on the kept pixels.
        let half = Image::from_fn(4, 30, |_, x| x < 2);
        let counts = match_labels_ignoring(&truth, &prediction, Some(&half)).unwrap();
        assert_eq!((counts.truth, counts.prediction), (2, 3));
        assert_eq!(counts.at[9].tp, 2);
    }

    #[test]
    fn nothing_on_both_sides_is_undefined_and_on_one_side_zero() {
        let empty = field(4, 4, &[]);
        let one = field(4, 4, &[(0, 0, 2, 2)]);
        let counts = match_labels(&empty, &empty).unwrap();
        assert!(counts.at[0].f1().is_nan() && counts.mean_average_precision().is_nan());
        assert!(counts.panoptic_quality().is_nan() && counts.aji_plus.value().is_nan());
        let counts = match_labels(&empty, &one).unwrap();
        assert_eq!(
            (counts.at[0].f1(), counts.mean_average_precision()),
            (0.0, 0.0)
        );
        assert!(counts.relative_count_error().is_nan());
    }

    fn labels() -> impl Strategy<Value = Image<u32>> {
        proptest::collection::vec((0usize..16, 0usize..16, 1usize..8, 1usize..8), 0..8)
            .prop_map(|boxes| field(18, 18, &boxes))
    }

    proptest! {
        #[test]
        fn swapping_the_sides_swaps_false_positives_and_negatives(a in labels(), b in labels()) {
            let (ab, ba) = (match_labels(&a, &b).unwrap(), match_labels(&b, &a).unwrap());
            prop_assert_eq!(ab.truth, ba.prediction);
            for (x, y) in ab.at.iter().zip(&ba.at) {
                prop_assert_eq!((x.tp, x.fp, x.fn_), (y.tp, y.fn_, y.fp));
                prop_assert!((x.iou_sum - y.iou_sum).abs() < 1e-12);
            }
        }

        #[test]
        fn names_of_labels_do_not_matter(a in labels(), b in labels()) {
            let renamed = b.map(|&l| if l == 0 { 0 } else { 4_000_000_000 - 7 * l });
            let (x, y) = (match_labels(&a, &b).unwrap(), match_labels(&a, &renamed).unwrap());
            prop_assert_eq!(x.truth, y.truth);
            for (x, y) in x.at.iter().zip(&y.at) {
                prop_assert_eq!((x.tp, x.fp, x.fn_), (y.tp, y.fp, y.fn_));
            }
        }

        #[test]
        fn f1_and_average_precision_belong_together(a in labels(), b in labels()) {
            let counts = match_labels(&a, &b).unwrap();
            for at in counts.at.iter().filter(|at| at.tp + at.fp + at.fn_ > 0) {
                let ap = at.average_precision();
                prop_assert!((at.f1() - 2.0 * ap / (1.0 + ap)).abs() < 1e-12);
            }
            prop_assert!(counts.at.windows(2).all(|w| w[0].tp >= w[1].tp));
        }
    }
}
