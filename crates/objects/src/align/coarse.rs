//! How well a prediction and a truth fit at all, however the truth is turned, at a quarter of the
//! size.

use serde::{Deserialize, Serialize};
use stainfree_image::Image;

use super::Known;
use crate::shift::LARGEST_SHIFT_PX;

/// Pixels of the field on a side of a coarse one: a nucleus still covers several.
const BIN: usize = 4;
/// Shifts that are tried to either side, coarse pixels.
const REACH: isize = (LARGEST_SHIFT_PX / BIN) as isize;
/// Shifts on a side of the table.
pub(super) const SIDE: usize = 2 * REACH as usize + 1;
/// Shifts far away by which chance is measured.
const FAR: usize = 64;

/// How truth may have been turned against the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    /// Left and right are exchanged.
    LeftRight,
    /// Top and bottom are exchanged.
    TopBottom,
    /// Rotated by 180 degrees.
    Half,
    /// Rows and columns are exchanged.
    Transposed,
    /// Rotated by 90 degrees, clockwise.
    QuarterRight,
    /// Rotated by 90 degrees, counter-clockwise.
    QuarterLeft,
    /// Rows and columns are exchanged, and then rotated by 180 degrees.
    OtherDiagonal,
}

impl Turn {
    /// All of them; those that exchange rows and columns are last.
    pub const ALL: [Turn; 7] = [
        Turn::LeftRight,
        Turn::TopBottom,
        Turn::Half,
        Turn::Transposed,
        Turn::QuarterRight,
        Turn::QuarterLeft,
        Turn::OtherDiagonal,
    ];

    /// What was done to the truth, in words.
    pub fn words(self) -> &'static str {
        match self {
            Turn::LeftRight => "mirrored left to right",
            Turn::TopBottom => "mirrored top to bottom",
            Turn::Half => "rotated by 180 degrees",
            Turn::Transposed => "transposed (rows and columns exchanged)",
            Turn::QuarterRight => "rotated by 90 degrees clockwise",
            Turn::QuarterLeft => "rotated by 90 degrees counter-clockwise",
            Turn::OtherDiagonal => "mirrored on the diagonal from bottom left to top right",
        }
    }

    /// `image` as it was before it was turned so.
    fn undone(self, image: &Image<f32>) -> Image<f32> {
        let (h, w) = image.size();
        let size = match self {
            Turn::LeftRight | Turn::TopBottom | Turn::Half => (h, w),
            _ => (w, h),
        };
        Image::from_fn(size.0, size.1, |y, x| {
            let (y, x) = match self {
                Turn::LeftRight => (y, w - 1 - x),
                Turn::TopBottom => (h - 1 - y, x),
                Turn::Half => (h - 1 - y, w - 1 - x),
                Turn::Transposed => (x, y),
                // Clockwise, the first row becomes the last column.
                Turn::QuarterRight => (x, w - 1 - y),
                Turn::QuarterLeft => (h - 1 - x, y),
                Turn::OtherDiagonal => (h - 1 - x, w - 1 - y),
            };
            image.get(y, x)
        })
    }
}

/// A prediction and its truth, each without its mean and of length 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Coarse {
    probability: Image<f32>,
    truth: Image<f32>,
    /// Root mean square of the correlation at shifts at which nothing fits.
    chance: f64,
}

impl Coarse {
    /// None where the field is too small, or one side is the same everywhere.
    pub(super) fn new(
        probability: &Image<f32>,
        nuclei: &Image<u32>,
        known: &Known,
    ) -> Option<Self> {
        let (height, width) = (probability.height() / BIN, probability.width() / BIN);
        if height <= SIDE || width <= SIDE {
            return None;
        }
        let inside = nuclei.map(|&label| if label == 0 { 0.0 } else { 1.0 });
        let mut coarse = Self {
            probability: reduced(probability, known.seen)?,
            truth: reduced(&inside, known.truth)?,
            chance: 0.0,
        };
        coarse.chance = coarse.chance();
        (coarse.chance > 0.0).then_some(coarse)
    }

    /// Whether rows and columns can be exchanged.
    pub(super) fn is_square(&self) -> bool {
        self.probability.height() == self.probability.width()
    }

    /// How well the truth fits at each shift, in units of chance, `[SIDE * SIDE]`.
    pub(super) fn fit(&self) -> Vec<f64> {
        self.fit_of(&self.truth)
    }

    /// The best fit of the truth as it was before it was turned so.
    pub(super) fn best_turned(&self, turn: Turn) -> Vec<f64> {
        self.fit_of(&turn.undone(&self.truth))
    }

    /// The same of another field's truth; nothing where that is of another size.
    pub(super) fn best_of(&self, other: &Self) -> f64 {
        match self.truth.size() == other.truth.size() {
            true => largest(&self.fit_of(&other.truth)),
            false => 0.0,
        }
    }

    fn fit_of(&self, truth: &Image<f32>) -> Vec<f64> {
        let shifts = (-REACH..=REACH).flat_map(|dy| (-REACH..=REACH).map(move |dx| (dy, dx)));
        shifts
            .map(|(dy, dx)| self.at(truth, dy, dx) / self.chance)
            .collect()
    }

    /// The correlation with `truth` that lies so far below and right; nothing lies beyond it.
    fn at(&self, truth: &Image<f32>, dy: isize, dx: isize) -> f64 {
        let (height, width) = self.probability.size();
        let overlap = |length: usize, shift: isize| {
            let first = (-shift).max(0) as usize;
            first..(length as isize - shift.max(0)) as usize
        };
        let columns = overlap(width, dx);
        let moved = |i: usize, shift: isize| (i as isize + shift) as usize;
        let of_row = |y: usize| {
            let there = moved(columns.start, dx)..moved(columns.end, dx);
            dot(
                &self.probability.row(y)[columns.clone()],
                &truth.row(moved(y, dy))[there],
            )
        };
        overlap(height, dy).map(of_row).sum()
    }

    /// Correlations at shifts further than any that is looked for, the field wrapped around, spread
    /// evenly by the plastic number.
    fn chance(&self) -> f64 {
        let (height, width) = self.probability.size();
        let near = 2 * REACH as usize;
        let is_near = |shift: usize, length: usize| shift < near || length - shift < near;
        let place = |i: usize, step: f64, length: usize| {
            ((i as f64 * step).fract() * length as f64) as usize % length
        };
        let far = (1..=4 * FAR)
            .map(|i| (place(i, 0.754_877_7, height), place(i, 0.569_840_3, width)))
            .filter(|&(y, x)| !(is_near(y, height) && is_near(x, width)))
            .take(FAR);
        let (mut sum, mut count) = (0.0, 0);
        for (dy, dx) in far {
            let of_row = |y: usize| {
                let (p, t) = (self.probability.row(y), self.truth.row((y + dy) % height));
                dot(&p[..width - dx], &t[dx..]) + dot(&p[width - dx..], &t[..dx])
            };
            sum += (0..height).map(of_row).sum::<f64>().powi(2);
            count += 1;
        }
        (sum / f64::from(count.max(1))).sqrt()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    f64::from(a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>())
}

/// The largest value.
pub(super) fn largest(fit: &[f64]) -> f64 {
    fit.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// Means of `BIN` x `BIN` pixels without their own mean, of length 1; where nothing is known, 0.
fn reduced(image: &Image<f32>, known: Option<&Image<bool>>) -> Option<Image<f32>> {
    let (height, width) = (image.height() / BIN, image.width() / BIN);
    let mean_at = |y: usize, x: usize| {
        let (mut sum, mut count) = (0.0, 0usize);
        for y in y * BIN..(y + 1) * BIN {
            for x in x * BIN..(x + 1) * BIN {
                if known.is_none_or(|known| known.get(y, x)) {
                    sum += image.get(y, x);
                    count += 1;
                }
            }
        }
        // A few pixels of a block are too few for its mean.
        (2 * count >= BIN * BIN).then(|| sum / count as f32)
    };
    let means: Vec<Option<f32>> = (0..height * width)
        .map(|i| mean_at(i / width, i % width))
        .collect();
    let values = means.iter().flatten();
    let count = values.clone().count().max(1);
    let mean = values.map(|&v| f64::from(v)).sum::<f64>() / count as f64;
    let centred = |value: &Option<f32>| value.map_or(0.0, |v| f64::from(v) - mean);
    let length = means.iter().map(|v| centred(v).powi(2)).sum::<f64>().sqrt();
    let whole = means.iter().map(|v| (centred(v) / length) as f32);
    (length > 1e-6).then(|| Image::new(height, width, whole.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_undone_as_their_words_say() {
        let image = Image::new(2, 3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let turned = [
            (Turn::LeftRight, 2, vec![3.0, 2.0, 1.0, 6.0, 5.0, 4.0]),
            (Turn::TopBottom, 2, vec![4.0, 5.0, 6.0, 1.0, 2.0, 3.0]),
            (Turn::Half, 2, vec![6.0, 5.0, 4.0, 3.0, 2.0, 1.0]),
            (Turn::Transposed, 3, vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
            (Turn::QuarterRight, 3, vec![4.0, 1.0, 5.0, 2.0, 6.0, 3.0]),
            (Turn::QuarterLeft, 3, vec![3.0, 6.0, 2.0, 5.0, 1.0, 4.0]),
            (Turn::OtherDiagonal, 3, vec![6.0, 3.0, 5.0, 2.0, 4.0, 1.0]),
        ];
        assert_eq!(turned.len(), Turn::ALL.len());
        for (turn, height, values) in turned {
            let turned = Image::new(height, 6 / height, values);
            assert_eq!(turn.undone(&turned), image, "{}", turn.words());
        }
    }
}
