//! Why an object is wrong: what became of every true and every predicted object at IoU 0.5.
//!
//! *p touches t mainly* where more than half of p lies in t, or p covers more than half of t. A
//! matched object is found. Any other true object t or predicted object p has the first of these
//! fates that holds:
//!
//! - merged: a prediction covers more than half of t and of another true object; p covers more than
//!   half of two or more true objects
//! - split: two or more predictions lie mainly in t, each at least a tenth of it; p is such a part
//! - badly outlined: the best IoU is 0.3 or more
//! - wrong size: a prediction touches t mainly, p touches a true object mainly: far too large or
//!   too small
//! - missed: no prediction touches t mainly
//! - spurious: p touches no true object mainly
//!
//! So the fates of true objects other than found add up to FN of the matching, those of predicted
//! objects to FP. Parts of a split are those of which false cuts are counted (`splitting`): a part
//! may be matched, and then only the others are wrong. A prediction that touches an object mainly
//! in both ways has an IoU above 1/3, so objects of wrong size are touched in one way only.
//!
//! Source: missed and split and merged objects are the error types of Caicedo et al. (2019),
//! "Evaluation of deep learning strategies for nucleus segmentation in fluorescence images",
//! Cytometry A 95:952, told apart here by coverage instead of IoU; one cause for each error, as in
//! TIDE (Bolya et al. 2020, ECCV); which goes first is ours, and so are badly outlined, wrong size
//! and spurious.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stainfree_image::Image;

use crate::ScoreError;
use crate::clusters::joined_pairs;
use crate::extent::{Extent, extents};
use crate::matching::Matching;
use crate::near::{FARTHEST, REACH, squared_distances};
use crate::overlap::Objects;
use crate::pixels::check_size;
use crate::splitting::PART;

/// IoU from which an object that is not matched is badly outlined rather than of wrong size, in
/// tenths: 0.3.
const OUTLINED: u64 = 3;

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Matched at IoU >= 0.5.
    Found,
    /// One prediction for several true objects.
    Merged,
    /// Several predictions in one true object.
    Split,
    /// The best IoU lies between 0.3 and 0.5.
    BadlyOutlined,
    /// Found in part: what touches it mainly is far too large or too small.
    WrongSize,
    /// A true object that no prediction touches mainly.
    Missed,
    /// A prediction that touches no true object mainly.
    Spurious,
}

/// How many fates there are.
pub(crate) const FATES: usize = 7;

impl Fate {
    /// All that is wrong, in the order of tables and pictures.
    pub const WRONG: [Self; FATES - 1] = [
        Self::Missed,
        Self::Merged,
        Self::Split,
        Self::BadlyOutlined,
        Self::WrongSize,
        Self::Spurious,
    ];

    /// As it stands in `scores.json` and in names of files, such as `badly_outlined`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Merged => "merged",
            Self::Split => "split",
            Self::BadlyOutlined => "badly_outlined",
            Self::WrongSize => "wrong_size",
            Self::Missed => "missed",
            Self::Spurious => "spurious",
        }
    }

    /// In words, such as `badly outlined`.
    pub fn words(self) -> &'static str {
        match self {
            Self::BadlyOutlined => "badly outlined",
            Self::WrongSize => "wrong size",
            other => other.name(),
        }
    }
}

/// Truth or prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Of the truth.
    Truth,
    /// Of the prediction.
    Prediction,
}

impl Side {
    /// The fates that objects of this side can have, found first.
    pub fn fates(self) -> [Fate; FATES - 1] {
        let alone = match self {
            Self::Truth => Fate::Missed,
            Self::Prediction => Fate::Spurious,
        };
        [
            Fate::Found,
            alone,
            Fate::Merged,
            Fate::Split,
            Fate::BadlyOutlined,
            Fate::WrongSize,
        ]
    }
}

/// An object with its fate and what may explain it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgedObject {
    /// Truth or prediction.
    pub side: Side,
    /// Its label there.
    pub label: u32,
    /// What became of it.
    pub fate: Fate,
    /// Largest IoU with an object of the other side; 0 where none overlaps.
    pub iou: f64,
    /// Kept pixels.
    pub area_px: u64,
    /// Centroid of all its pixels, ignored ones included, in px.
    pub y_px: f64,
    /// See `y_px`.
    pub x_px: f64,
    /// Objects of its own side that it is joined to: at most two pixels of background between.
    pub neighbours: usize,
    /// It has a pixel in the outermost row or column of the image.
    pub at_border: bool,
    /// Such as `mitotic`, where the truth knows; a prediction has none.
    pub kind: Option<String>,
    /// Standard deviation by mean of the brightfield in it and within 3 px of it: the
    /// coefficient of variation, which is ours (compare RMS contrast, Peli 1990, "Contrast in
    /// complex images", J Opt Soc Am A 7:2032); none without an image, and
    /// where the mean is not positive.
    pub contrast: Option<f64>,
}

/// What is known of a field beside its labels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// The brightfield, of the size of the labels.
    pub brightfield: Option<&'a Image<f32>>,
    /// Kinds of the true objects by label.
    pub kinds: Option<&'a BTreeMap<u32, String>>,
}

impl Matching<'_> {
    /// Every object that the object scores count, with its fate at IoU >= 0.5: those of the truth,
    /// then those of the prediction, each by label.
    ///
    /// # Errors
    /// [`ScoreError::Size`] if the brightfield has another size than the labels.
    pub fn judged(&self, around: Surroundings) -> Result<Vec<JudgedObject>, ScoreError> {
        if let Some(brightfield) = around.brightfield {
            check_size("brightfield", brightfield.size(), self.truth.size())?;
        }
        let fates = self.fates();
        let overlap = &self.table.overlap;
        let mut objects = Vec::new();
        for (side, labels, of, fates) in [
            (Side::Truth, self.truth, &overlap.truth, &fates.truth),
            (
                Side::Prediction,
                self.prediction,
                &overlap.prediction,
                &fates.prediction,
            ),
        ] {
            let counts: Vec<bool> = fates.iter().map(|(fate, _)| fate.is_some()).collect();
            let neighbours = neighbours(labels, of, &counts);
            let boxes = extents(labels, &of.labels);
            for (i, &(fate, iou)) in fates.iter().enumerate() {
                let Some(fate) = fate else { continue };
                let (label, extent) = (of.labels[i], boxes[i]);
                let (y_px, x_px) = centroid(labels, label, &extent);
                let kinds = around.kinds.filter(|_| side == Side::Truth);
                objects.push(JudgedObject {
                    side,
                    label,
                    fate,
                    iou,
                    area_px: of.area[i],
                    y_px,
                    x_px,
                    neighbours: neighbours[i],
                    at_border: touches_rim(&extent, labels.size()),
                    kind: kinds.and_then(|kinds| kinds.get(&label)).cloned(),
                    contrast: around
                        .brightfield
                        .and_then(|light| variation(light, labels, label, &extent)),
                });
            }
        }
        Ok(objects)
    }

    fn fates(&self) -> ObjectFates {
        let table = &self.table;
        let (truth, prediction) = (&table.overlap.truth, &table.overlap.prediction);
        let mut t = vec![Evidence::default(); truth.len()];
        let mut p = vec![Evidence::default(); prediction.len()];
        for pair in table.pairs_at(10) {
            t[pair.truth].matched = true;
            p[pair.prediction].matched = true;
        }
        for s in &table.candidates {
            let (of_truth, of_prediction) = (&mut t[s.truth], &mut p[s.prediction]);
            let covers = 2 * s.pixels > truth.area[s.truth];
            // A prediction that is mostly ignored lies nowhere, as for false cuts.
            let inside =
                table.required[s.prediction] && 2 * s.pixels > prediction.area[s.prediction];
            of_prediction.covers += usize::from(covers);
            of_truth.parts += usize::from(inside && PART * s.pixels >= truth.area[s.truth]);
            for evidence in [of_truth, of_prediction] {
                evidence.touched |= covers || inside;
                evidence.outlined |= 10 * s.pixels >= OUTLINED * s.union;
                evidence.iou = evidence.iou.max(s.iou());
            }
        }
        // Merged truths and parts of a split are known once all of the other side is.
        for s in &table.candidates {
            let covers = 2 * s.pixels > truth.area[s.truth];
            t[s.truth].merged |= covers && p[s.prediction].covers > 1;
            let part = 2 * s.pixels > prediction.area[s.prediction]
                && PART * s.pixels >= truth.area[s.truth];
            p[s.prediction].is_part |= part && t[s.truth].parts > 1;
        }
        let alone = |side: Side| side.fates()[1];
        let of = |side, evidence: Evidence, counts| {
            let fate = evidence.fate(alone(side));
            (counts || evidence.matched).then_some(fate)
        };
        let listed = |side, all: Vec<Evidence>, counts: &[bool]| {
            let one =
                |(evidence, &counts): (Evidence, &bool)| (of(side, evidence, counts), evidence.iou);
            all.into_iter().zip(counts).map(one).collect()
        };
        ObjectFates {
            truth: listed(Side::Truth, t, &table.truth_counts),
            prediction: listed(Side::Prediction, p, &table.required),
        }
    }
}

/// Fate and best IoU of every object of both sides; no fate where it does not count.
struct ObjectFates {
    truth: Vec<(Option<Fate>, f64)>,
    prediction: Vec<(Option<Fate>, f64)>,
}

/// What is known of an object from its overlaps.
#[derive(Clone, Copy, Default)]
struct Evidence {
    matched: bool,
    /// Of a true object: what covers it covers another as well.
    merged: bool,
    /// Of a prediction: true objects of which it covers more than half.
    covers: usize,
    /// Of a true object: predictions that are parts of it.
    parts: usize,
    /// Of a prediction: it is one of several parts of a true object.
    is_part: bool,
    outlined: bool,
    touched: bool,
    iou: f64,
}

impl Evidence {
    fn fate(&self, alone: Fate) -> Fate {
        match self {
            Self { matched: true, .. } => Fate::Found,
            _ if self.merged || self.covers > 1 => Fate::Merged,
            _ if self.is_part || self.parts > 1 => Fate::Split,
            Self { outlined: true, .. } => Fate::BadlyOutlined,
            Self { touched: true, .. } => Fate::WrongSize,
            _ => alone,
        }
    }
}

/// How many objects that count each one is joined to.
fn neighbours(labels: &Image<u32>, objects: &Objects, counts: &[bool]) -> Vec<usize> {
    let mut number = vec![0; objects.len()];
    let counted = |label| objects.find(label).filter(|&i| counts[i]);
    for [a, b] in joined_pairs(labels) {
        if let (Some(a), Some(b)) = (counted(a), counted(b)) {
            number[a] += 1;
            number[b] += 1;
        }
    }
    number
}

fn touches_rim(extent: &Extent, (height, width): (usize, usize)) -> bool {
    extent.top == 0 || extent.left == 0 || extent.bottom == height || extent.right == width
}

/// Mean row and column of the pixels of `label`, all of which lie in `extent`.
fn centroid(labels: &Image<u32>, label: u32, extent: &Extent) -> (f64, f64) {
    let (mut n, mut y_sum, mut x_sum) = (0usize, 0usize, 0usize);
    for y in extent.top..extent.bottom {
        for (x, &other) in (extent.left..).zip(&labels.row(y)[extent.left..extent.right]) {
            if other == label {
                n += 1;
                y_sum += y;
                x_sum += x;
            }
        }
    }
    let mean = |sum: usize| sum as f64 / n as f64;
    (mean(y_sum), mean(x_sum))
}

/// Standard deviation by mean of the finite pixels of `light` in the object and within 3 px of it.
fn variation(light: &Image<f32>, labels: &Image<u32>, label: u32, extent: &Extent) -> Option<f64> {
    let grown = extent.grown(REACH, labels.height(), labels.width());
    let (height, width) = (grown.bottom - grown.top, grown.right - grown.left);
    let own = Image::from_fn(height, width, |y, x| {
        labels.get(grown.top + y, grown.left + x) == label
    });
    let near = squared_distances(&own);
    let mut values = Vec::new();
    for y in 0..height {
        let row = &light.row(grown.top + y)[grown.left..grown.right];
        let inside = row.iter().zip(near.row(y)).filter(|(_, d)| **d <= FARTHEST);
        values.extend(inside.map(|(v, _)| f64::from(*v)).filter(|v| v.is_finite()));
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean > 0.0).then(|| (squares / values.len() as f64).sqrt() / mean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::labels;
    use proptest::prelude::*;

    /// Label and fate of every object of a side.
    fn fates(truth: &[&str], prediction: &[&str], side: Side) -> Vec<(u32, Fate)> {
        let (truth, prediction) = (labels(truth), labels(prediction));
        let matching = Matching::new(&truth, &prediction, None).unwrap();
        let judged = matching.judged(Surroundings::default()).unwrap();
        let own = judged.iter().filter(|object| object.side == side);
        own.map(|object| (object.label, object.fate)).collect()
    }

    #[test]
    fn alone_an_object_is_missed_or_spurious() {
        let (truth, prediction) = (["11......", "11......"], ["......22", "......22"]);
        assert_eq!(fates(&truth, &prediction, Side::Truth), [(1, Fate::Missed)]);
        assert_eq!(
            fates(&truth, &prediction, Side::Prediction),
            [(2, Fate::Spurious)]
        );
        // A prediction that reaches in with half of itself, over half of the object, touches it;
        // but not mainly.
        let beside = ["..1111..", "........"];
        let off = ["....2222", "........"];
        assert_eq!(
            fates(&beside, &off, Side::Truth),
            [(1, Fate::BadlyOutlined)]
        );
        let off = ["....2222", "....2222"];
        assert_eq!(fates(&beside, &off, Side::Truth), [(1, Fate::Missed)]);
        assert_eq!(
            fates(&beside, &off, Side::Prediction),
            [(2, Fate::Spurious)]
        );
    }

    #[test]
    fn one_prediction_over_several_is_merged_whichever_it_is_matched_to() {
        let truth = ["111222", "111222", "111222"];
        let fused = ["777777", "777777", "777777"];
        // It matches one of them at exactly 0.5; the other is merged.
        assert_eq!(
            fates(&truth, &fused, Side::Truth),
            [(1, Fate::Found), (2, Fate::Merged)]
        );
        let three = ["112233", "112233", "112233"];
        assert_eq!(
            fates(&three, &fused, Side::Truth),
            [(1, Fate::Merged), (2, Fate::Merged), (3, Fate::Merged)]
        );
        assert_eq!(fates(&three, &fused, Side::Prediction), [(7, Fate::Merged)]);
    }

    #[test]
    fn several_predictions_in_one_object_are_split_and_specks_are_no_parts() {
        let truth = ["1111111111", "1111111111"];
        let parts = ["2222233344", "2222233344"];
        // One part matches at exactly 0.5, the others are wrong.
        assert_eq!(fates(&truth, &parts, Side::Truth), [(1, Fate::Found)]);
        assert_eq!(
            fates(&truth, &parts, Side::Prediction),
            [(2, Fate::Found), (3, Fate::Split), (4, Fate::Split)]
        );
        let parts = ["2222.33334", "222..33334"];
        assert_eq!(fates(&truth, &parts, Side::Truth), [(1, Fate::Split)]);
        // 4 has exactly a tenth of the object and is a part; with less it is far too small.
        assert_eq!(
            fates(&truth, &parts, Side::Prediction),
            [(2, Fate::Split), (3, Fate::Split), (4, Fate::Split)]
        );
        let speck = ["2222.33334", "222..3333."];
        assert_eq!(
            fates(&truth, &speck, Side::Prediction)[2],
            (4, Fate::WrongSize)
        );
    }

    #[test]
    fn an_iou_of_three_tenths_is_badly_outlined_and_less_of_wrong_size() {
        let truth = ["1111111111"];
        let outlined = ["222......."];
        for side in [Side::Truth, Side::Prediction] {
            let label = if side == Side::Truth { 1 } else { 2 };
            assert_eq!(
                fates(&truth, &outlined, side),
                [(label, Fate::BadlyOutlined)]
            );
            let small = ["22........"];
            assert_eq!(fates(&truth, &small, side), [(label, Fate::WrongSize)]);
        }
        // Far too large: it covers the object and lies mainly outside.
        let large = ["2222222222"];
        let one = ["11........"];
        assert_eq!(fates(&one, &large, Side::Truth), [(1, Fate::WrongSize)]);
        assert_eq!(
            fates(&one, &large, Side::Prediction),
            [(2, Fate::WrongSize)]
        );
    }

    #[test]
    fn neighbours_border_kind_place_and_contrast_are_those_of_the_object() {
        let truth = labels(&[
            "..............",
            ".11..22....3..",
            ".11..22....3..",
            "..............",
        ]);
        let nothing = truth.map(|_| 0);
        let light = Image::from_fn(4, 14, |_, x| if x < 9 { 3.0 } else { 1.0 + (x % 2) as f32 });
        let kinds = [(3, "mitotic".to_owned())].into();
        let matching = Matching::new(&truth, &nothing, None).unwrap();
        let around = Surroundings {
            brightfield: Some(&light),
            kinds: Some(&kinds),
        };
        let judged = matching.judged(around).unwrap();
        let seen: Vec<_> = judged
            .iter()
            .map(|o| {
                (
                    o.neighbours,
                    o.at_border,
                    o.kind.as_deref(),
                    (o.y_px, o.x_px),
                )
            })
            .collect();
        let expected = [
            (1, false, None, (1.5, 1.5)),
            (1, false, None, (1.5, 5.5)),
            (0, false, Some("mitotic"), (1.5, 11.0)),
        ];
        assert_eq!(seen, expected);
        assert_eq!(judged[0].contrast, Some(0.0));
        // Of the third, three columns reach flat light and the rest alternates.
        assert!(judged[2].contrast.unwrap() > 0.2);
        let wrong = Image::filled(4, 13, 0.0);
        let around = Surroundings {
            brightfield: Some(&wrong),
            kinds: None,
        };
        assert!(matching.judged(around).is_err());
    }

    fn random_labels() -> impl Strategy<Value = Image<u32>> {
        let boxes = (0usize..20, 0usize..20, 1usize..10, 1usize..10);
        proptest::collection::vec(boxes, 0..12).prop_map(|boxes| {
            Image::from_fn(24, 24, |y, x| {
                let hit = |&(y0, x0, h, w): &(usize, usize, usize, usize)| {
                    (y0..y0 + h).contains(&y) && (x0..x0 + w).contains(&x)
                };
                boxes.iter().rposition(hit).map_or(0, |i| i as u32 + 1)
            })
        })
    }

    proptest! {
        #[test]
        fn fates_add_up_to_the_matching(
            truth in random_labels(),
            prediction in random_labels(),
            rows in 0usize..12,
        ) {
            let ignore = Image::from_fn(24, 24, |y, _| y < rows);
            let matching = Matching::new(&truth, &prediction, Some(&ignore)).unwrap();
            let judged = matching.judged(Surroundings::default()).unwrap();
            let number = |side: Side, found: bool| {
                let of = |o: &&JudgedObject| o.side == side && (o.fate == Fate::Found) == found;
                judged.iter().filter(of).count() as u64
            };
            let at = matching.objects().at[0];
            prop_assert_eq!(number(Side::Truth, true), at.tp);
            prop_assert_eq!(number(Side::Prediction, true), at.tp);
            prop_assert_eq!(number(Side::Truth, false), at.fn_);
            prop_assert_eq!(number(Side::Prediction, false), at.fp);
            for object in &judged {
                prop_assert!(object.side.fates().contains(&object.fate), "{:?}", object);
            }
        }
    }
}
