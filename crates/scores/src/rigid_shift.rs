//! How good objects are once the prediction is moved: the F1 at the best rigid shift of a group.
//!
//! Labels that lie a few pixels beside the image cost object scores far more than pixel scores: two
//! equal discs of 20 px diameter at a distance of 5 px have an IoU of 0.52. So the score at the
//! best shift, the same for all fields of a group, stands beside the plain one: the difference is
//! what a constant shift between truth and image costs. It is found with the truth at hand and
//! says nothing about what the model would score on images without truth: no group scores lower at
//! its shift than without, and in groups of few objects a part of the difference is chance.
//! Intervals keep the shifts fixed.
//!
//! 1. Every field: pixels shared by the true objects and the predicted ones at every shift by whole
//!    pixels within [`SHIFT_REACH`] ([`Matching::shift_overlaps`]), 64 pixels a step.
//! 2. Every group: the sums over its fields, and the shift of the largest pixel F1
//!    ([`ShiftOverlaps::best`]).
//! 3. Objects are matched at that shift only ([`moved`]).
//!
//! What a shift moves out of the image is gone, and what comes in is background: objects at the rim
//! are cut, so on small images the score is too low. Ignored pixels
//! stay where they are in the truth.

use serde::{Deserialize, Serialize};
use stainfree_image::Image;

use crate::MatchCounts;
use crate::matching::Matching;
use crate::named::Named;

/// Largest shift that is tried along either axis, in px.
pub const SHIFT_REACH: i32 = 8;

/// Shifts along one axis.
const SPAN: usize = 2 * SHIFT_REACH as usize + 1;

/// A shift of the prediction: the pixel at (y, x) comes to (y + dy, x + dx).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shift {
    /// Down, in px.
    pub dy_px: i32,
    /// To the right, in px.
    pub dx_px: i32,
}

impl Shift {
    /// All shifts in reach, by dy and then dx.
    fn all() -> impl Iterator<Item = Self> {
        let axis = -SHIFT_REACH..=SHIFT_REACH;
        let row = move |dy_px| axis.clone().map(move |dx_px| Self { dy_px, dx_px });
        (-SHIFT_REACH..=SHIFT_REACH).flat_map(row)
    }

    fn squared(self) -> i32 {
        self.dy_px * self.dy_px + self.dx_px * self.dx_px
    }
}

/// Matching at IoU >= 0.5 with the prediction moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShiftedCounts {
    /// How it was moved.
    #[serde(flatten)]
    pub shift: Shift,
    /// The counts there.
    pub at_50: MatchCounts,
}

impl ShiftedCounts {
    /// Adds the counts of another field; the shift means nothing in a sum.
    pub(crate) fn add(&mut self, other: &Self) {
        self.at_50.add(&other.at_50);
    }
}

/// The scores of moved predictions.
pub(crate) const SHIFTED_SCORES: [Named<ShiftedCounts>; 1] = [(
    "f1_50_shifted",
    |s| s.at_50.f1(),
    "there is no object in truth or prediction",
)];

/// Pixels that true and predicted objects share at every shift, of one field or summed over
/// several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShiftOverlaps {
    /// Kept pixels of true objects.
    truth: u64,
    /// By shift: kept pixels that are in predicted objects, and in both.
    at: Vec<[u64; 2]>,
}

impl Default for ShiftOverlaps {
    fn default() -> Self {
        Self {
            truth: 0,
            at: vec![[0; 2]; SPAN * SPAN],
        }
    }
}

impl ShiftOverlaps {
    /// Adds those of another field.
    pub fn add(&mut self, other: &Self) {
        self.truth += other.truth;
        for (sum, part) in self
            .at
            .as_flattened_mut()
            .iter_mut()
            .zip(other.at.as_flattened())
        {
            *sum += part;
        }
    }

    /// The shift with the largest pixel F1, 2 TP / (2 TP + FP + FN); of equals the shortest, then
    /// the upper, then the left one. No shift where nothing overlaps at any.
    pub fn best(&self) -> Shift {
        let mut best = (Shift::default(), [0, 1]);
        let mut shifts: Vec<(Shift, [u64; 2])> =
            Shift::all().zip(self.at.iter().copied()).collect();
        shifts.sort_by_key(|(shift, _)| shift.squared());
        for (shift, [prediction, shared]) in shifts {
            // F1 as a fraction of whole numbers, so that equals are equal.
            let f1 = [shared, self.truth + prediction];
            let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
            if product(f1[0], best.1[1]) > product(best.1[0], f1[1]) {
                best = (shift, f1);
            }
        }
        best.0
    }
}

/// The labels moved within their image.
pub fn moved(labels: &Image<u32>, shift: Shift) -> Image<u32> {
    let (height, width) = labels.size();
    let from = |at: usize, by: i32, side: usize| {
        let place = at as i64 - i64::from(by);
        (0..side as i64).contains(&place).then_some(place as usize)
    };
    Image::from_fn(height, width, |y, x| {
        let place = from(y, shift.dy_px, height).zip(from(x, shift.dx_px, width));
        place.map_or(0, |(y, x)| labels.get(y, x))
    })
}

impl Matching<'_> {
    /// Shared pixels at every shift of the prediction.
    pub fn shift_overlaps(&self) -> ShiftOverlaps {
        let (height, width) = self.truth.size();
        let kept = |y: usize, x: usize| self.ignore.is_none_or(|ignore| !ignore.get(y, x));
        let truth = Bits::new(height, width, |y, x| self.truth.get(y, x) > 0 && kept(y, x));
        let kept = Bits::new(height, width, kept);
        let prediction = Bits::new(height, width, |y, x| self.prediction.get(y, x) > 0);
        let mut found = ShiftOverlaps {
            truth: truth.words.iter().map(|w| u64::from(w.count_ones())).sum(),
            ..ShiftOverlaps::default()
        };
        let mut aside = vec![0; prediction.stride];
        for y in 0..height {
            if prediction.row(y).iter().all(|&word| word == 0) {
                continue;
            }
            for dx in -SHIFT_REACH..=SHIFT_REACH {
                move_aside(prediction.row(y), dx, &mut aside);
                for dy in -SHIFT_REACH..=SHIFT_REACH {
                    let below = y as i64 + i64::from(dy);
                    if !(0..height as i64).contains(&below) {
                        continue;
                    }
                    let below = below as usize;
                    let i = (dy + SHIFT_REACH) as usize * SPAN + (dx + SHIFT_REACH) as usize;
                    let rows = aside.iter().zip(truth.row(below)).zip(kept.row(below));
                    for ((p, t), k) in rows {
                        found.at[i][0] += u64::from((p & k).count_ones());
                        found.at[i][1] += u64::from((p & t).count_ones());
                    }
                }
            }
        }
        found
    }
}

/// A mask, 64 pixels a word, the first in the lowest bit; every row begins with a word.
struct Bits {
    stride: usize,
    words: Vec<u64>,
}

impl Bits {
    fn new(height: usize, width: usize, is_set: impl Fn(usize, usize) -> bool) -> Self {
        let stride = width.div_ceil(64);
        let mut words = vec![0; height * stride];
        for y in 0..height {
            for x in (0..width).filter(|&x| is_set(y, x)) {
                words[y * stride + x / 64] |= 1 << (x % 64);
            }
        }
        Self { stride, words }
    }

    fn row(&self, y: usize) -> &[u64] {
        &self.words[y * self.stride..][..self.stride]
    }
}

/// A row of bits moved by `dx` (less than 64) to the right. Bits behind the image's width mean
/// nothing: neither truth nor kept pixels are there.
fn move_aside(row: &[u64], dx: i32, into: &mut [u64]) {
    let by = dx.unsigned_abs();
    for (i, word) in into.iter_mut().enumerate() {
        let neighbour = |i: Option<usize>| i.and_then(|i| row.get(i)).copied().unwrap_or(0);
        *word = match dx {
            0 => row[i],
            1.. => (row[i] << by) | (neighbour(i.checked_sub(1)) >> (64 - by)),
            _ => (row[i] >> by) | (neighbour(i.checked_add(1)) << (64 - by)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::labels;
    use proptest::prelude::*;

    #[test]
    fn what_leaves_the_image_is_gone_and_background_comes_in() {
        let drawn = labels(&["12.", "34.", "..5"]);
        let down = Shift {
            dy_px: 1,
            dx_px: -1,
        };
        assert_eq!(moved(&drawn, down), labels(&["...", "2..", "4.."]));
    }

    #[test]
    fn equal_shifts_stay_in_place() {
        // A line along the row may slide by two either way without losing a pixel.
        let truth = labels(&["..1111111.."]);
        let prediction = labels(&["....222...."]);
        let matching = Matching::new(&truth, &prediction, None).unwrap();
        assert_eq!(matching.shift_overlaps().best(), Shift::default());
        let nothing = truth.map(|_| 0);
        let matching = Matching::new(&truth, &nothing, None).unwrap();
        assert_eq!(matching.shift_overlaps().best(), Shift::default());
    }

    fn random_labels(width: usize) -> impl Strategy<Value = Image<u32>> {
        let pixels = proptest::collection::vec(0u32..3, 20 * width);
        pixels.prop_map(move |pixels| Image::new(20, width, pixels))
    }

    proptest! {
        // Rows of one word, of two, and just beyond.
        #[test]
        fn overlaps_are_those_of_moved_labels(
            (truth, prediction) in (60usize..70)
                .prop_flat_map(|width| (random_labels(width), random_labels(width))),
            (dy_px, dx_px) in (-SHIFT_REACH..=SHIFT_REACH, -SHIFT_REACH..=SHIFT_REACH),
            left in 0usize..70,
        ) {
            let (height, width) = truth.size();
            let ignore = Image::from_fn(height, width, |_, x| x < left);
            let matching = Matching::new(&truth, &prediction, Some(&ignore)).unwrap();
            let overlaps = matching.shift_overlaps();
            let shift = Shift { dy_px, dx_px };
            let there = moved(&prediction, shift);
            let count = |of: &dyn Fn(usize) -> bool| {
                let kept = (0..height * width).filter(|&i| !ignore.data()[i]);
                kept.filter(|&i| of(i)).count() as u64
            };
            let place = Shift::all().position(|other| other == shift).unwrap();
            prop_assert_eq!(overlaps.truth, count(&|i| truth.data()[i] > 0));
            prop_assert_eq!(
                overlaps.at[place],
                [
                    count(&|i| there.data()[i] > 0),
                    count(&|i| there.data()[i] > 0 && truth.data()[i] > 0),
                ]
            );
        }
    }
}
