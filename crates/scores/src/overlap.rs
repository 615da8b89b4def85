//! The sparse table of which objects of two label images overlap, and by how many pixels.
//!
//! Its size grows with the number of touching pairs, not with the product of the object numbers,
//! and label values may be any `u32`.

use stainfree_image::Image;

use crate::ScoreError;
use crate::pixels::check_size;

/// One truth object and one predicted object that share pixels. Indices point into [`Overlap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shared {
    pub(crate) truth: usize,
    pub(crate) prediction: usize,
    pub(crate) pixels: u64,
    /// Pixels of the union.
    pub(crate) union: u64,
}

impl Shared {
    pub(crate) fn iou(&self) -> f64 {
        self.pixels as f64 / self.union as f64
    }
}

/// Objects of one side, sorted by label.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    pub(crate) labels: Vec<u32>,
    /// Kept pixels of each object.
    pub(crate) area: Vec<u64>,
    /// Ignored pixels of each object.
    pub(crate) ignored: Vec<u64>,
}

impl Objects {
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    pub(crate) fn find(&self, label: u32) -> Option<usize> {
        self.labels.binary_search(&label).ok()
    }

    /// More than half of the object lies under the ignore mask.
    pub(crate) fn mostly_ignored(&self, index: usize) -> bool {
        self.ignored[index] > self.area[index]
    }
}

/// Objects of both sides and the pairs that overlap, sorted by truth then prediction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlap {
    pub(crate) truth: Objects,
    pub(crate) prediction: Objects,
    pub(crate) shared: Vec<Shared>,
}

impl Overlap {
    /// Builds the table from runs of equal labels, so that the sort sees runs instead of pixels.
    pub(crate) fn new(
        truth: &Image<u32>,
        prediction: &Image<u32>,
        ignore: Option<&Image<bool>>,
    ) -> Result<Self, ScoreError> {
        check_size("prediction", prediction.size(), truth.size())?;
        if let Some(ignore) = ignore {
            check_size("ignore mask", ignore.size(), truth.size())?;
        }
        let (kept, dropped) = match ignore {
            None => (runs(truth.data(), prediction.data()), Vec::new()),
            Some(ignore) => runs_by_mask(truth.data(), prediction.data(), ignore.data()),
        };
        let kept = sum_by_key(kept);
        let dropped = sum_by_key(dropped);
        let side = |of: fn(u64) -> u32| {
            let mut labels: Vec<u32> = kept
                .iter()
                .chain(&dropped)
                .map(|&(key, _)| of(key))
                .filter(|&l| l != 0)
                .collect();
            labels.sort_unstable();
            labels.dedup();
            let mut objects = Objects {
                area: vec![0; labels.len()],
                ignored: vec![0; labels.len()],
                labels,
            };
            for &(key, n) in &kept {
                if let Some(i) = objects.find(of(key)) {
                    objects.area[i] += n;
                }
            }
            for &(key, n) in &dropped {
                if let Some(i) = objects.find(of(key)) {
                    objects.ignored[i] += n;
                }
            }
            objects
        };
        let (truth, prediction) = (side(truth_label), side(prediction_label));
        let pair = |&(key, pixels): &(u64, u64)| {
            let t = truth.find(truth_label(key))?;
            let p = prediction.find(prediction_label(key))?;
            let union = truth.area[t] + prediction.area[p] - pixels;
            Some(Shared {
                truth: t,
                prediction: p,
                pixels,
                union,
            })
        };
        let shared = kept.iter().filter_map(pair).collect();
        Ok(Self {
            truth,
            prediction,
            shared,
        })
    }
}

/// (truth label and prediction label in one key, pixels).
type Runs = Vec<(u64, u64)>;

fn truth_label(key: u64) -> u32 {
    (key >> 32) as u32
}

fn prediction_label(key: u64) -> u32 {
    key as u32
}

fn key(truth: u32, prediction: u32) -> u64 {
    (u64::from(truth) << 32) | u64::from(prediction)
}

/// Runs of equal (truth, prediction) with their lengths, background on both sides left out.
fn runs(truth: &[u32], prediction: &[u32]) -> Runs {
    let mut found = Vec::new();
    let (mut current, mut length) = (0u64, 0u64);
    for (&t, &p) in truth.iter().zip(prediction) {
        let next = key(t, p);
        if next == current {
            length += 1;
            continue;
        }
        if current != 0 {
            found.push((current, length));
        }
        (current, length) = (next, 1);
    }
    if current != 0 {
        found.push((current, length));
    }
    found
}

/// [`runs`] for the kept and the ignored pixels.
fn runs_by_mask(truth: &[u32], prediction: &[u32], ignore: &[bool]) -> (Runs, Runs) {
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    let mut start = 0;
    while start < ignore.len() {
        let end = start
            + ignore[start..]
                .iter()
                .take_while(|&&m| m == ignore[start])
                .count();
        let found = runs(&truth[start..end], &prediction[start..end]);
        if ignore[start] {
            dropped.extend(found)
        } else {
            kept.extend(found)
        }
        start = end;
    }
    (kept, dropped)
}

fn sum_by_key(mut runs: Runs) -> Runs {
    runs.sort_unstable_by_key(|run| run.0);
    runs.dedup_by(|next, sum| {
        let same = next.0 == sum.0;
        if same {
            sum.1 += next.1;
        }
        same
    });
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_and_shared_pixels_of_a_drawn_field() {
        let truth = Image::new(2, 4, vec![7, 7, 0, 9, 7, 7, 0, 9]);
        let prediction = Image::new(2, 4, vec![0, 4, 4, 0, 0, 4, 4, 2]);
        let overlap = Overlap::new(&truth, &prediction, None).unwrap();
        assert_eq!(overlap.truth.labels, [7, 9]);
        assert_eq!(overlap.truth.area, [4, 2]);
        assert_eq!(overlap.prediction.labels, [2, 4]);
        assert_eq!(overlap.prediction.area, [1, 4]);
        assert_eq!(
            overlap.shared,
            [
                Shared {
                    truth: 0,
                    prediction: 1,
                    pixels: 2,
                    union: 6
                },
                Shared {
                    truth: 1,
                    prediction: 0,
                    pixels: 1,
                    union: 2
                }
            ]
        );
    }
}
