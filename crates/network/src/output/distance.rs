//! `distance`: how far a pixel of an object lies from the object's border, as a share of the
//! farthest of that object's pixels; 0 outside of objects.
//!
//! A share and not pixels: small and large objects then have tops of one height, which one
//! threshold finds, and the numbers do not depend on the pixel size. Source: the cell distance of
//! Scherr et al. (2020), "Cell segmentation and tracking using CNN-based distance predictions",
//! PLOS ONE 15:e0243219.
//!
//! The border is whatever has another label, a touching object too. The rim of the image is none:
//! an object that goes on outside is not taken for one that ends there. Nor are pixels of unknown
//! label: distances go through them to what is known to be another. Where an object's farthest
//! pixel is itself unknown, or lies outside of the image, the farthest one that is known takes its
//! place: shares are then larger than those of the whole object, by one factor.

use super::{Link, OutputKind, OutputLoss, UNKNOWN, Values, is_object};
use rayon::prelude::*;
use stainfree_image::Image;
use std::collections::HashMap;

/// Not a squashed number: near 0, where most pixels are, a sigmoid hardly learns.
pub(super) const KIND: OutputKind = OutputKind {
    name: "distance",
    summary: "distance to the border of the nucleus, 1 at the pixel that is farthest from it",
    channels: 1,
    link: Link::Linear,
    values: Values::Scalar,
    loss: OutputLoss::Squared,
    // Squares of shares are small beside the logarithms of the classes' loss; not tuned.
    weight: 5.0,
    truth,
};

fn truth(labels: &Image<u32>) -> Vec<Image<f32>> {
    let squared = to_border(labels);
    let farthest = farthest(labels, &squared);
    let share = |(label, &square): (&u32, &u64)| match (label, farthest.get(label)) {
        // An object without a border in the image.
        (&UNKNOWN, _) | (_, Some(&NO_BORDER)) => f32::NAN,
        (_, None) => 0.0,
        (_, Some(&most)) => (square as f64 / most as f64).sqrt() as f32,
    };
    let shares = labels.data().iter().zip(&squared).map(share).collect();
    vec![Image::new(labels.height(), labels.width(), shares)]
}

/// The largest of the `squared` distances of every object.
fn farthest(labels: &Image<u32>, squared: &[u64]) -> HashMap<u32, u64> {
    let mut farthest: HashMap<u32, u64> = HashMap::new();
    let objects = labels.data().iter().zip(squared);
    for (&label, &square) in objects.filter(|(label, _)| is_object(**label)) {
        let most = farthest.entry(label).or_default();
        *most = square.max(*most);
    }
    farthest
}

/// The radius of every object: the largest distance of its pixels to its border, in pixels; 0 where
/// no border is seen.
pub(super) fn radii(labels: &Image<u32>) -> HashMap<u32, f64> {
    let farthest = farthest(labels, &to_border(labels));
    let radius = |square| match square {
        NO_BORDER => 0.0,
        square => (square as f64).sqrt(),
    };
    let radii = farthest.into_iter();
    radii
        .map(|(label, square)| (label, radius(square)))
        .collect()
}

/// Squared distance of a pixel whose object meets no other label.
const NO_BORDER: u64 = u64::MAX;

/// Squared distance in pixels of every pixel of an object to the nearest pixel of another known
/// label, 0 outside of objects.
///
/// Method: Saito & Toriwaki (1994). First the distance to the nearest other label of the same
/// column; then, along the row, the least `(x - i)^2 + column(i)^2` for `i` up to the first pixel
/// known to be another's on either side, beyond which those are nearer. No farther than the least
/// found so far has to be looked, so the time goes by the objects' thickness.
fn to_border(labels: &Image<u32>) -> Vec<u64> {
    let (height, width) = labels.size();
    let columns = columns(labels);
    let mut out = vec![0; height * width];
    let rows = out.par_chunks_mut(width.max(1)).enumerate();
    rows.for_each(|(y, out)| {
        let (row, columns) = (labels.row(y), &columns[y * width..][..width]);
        for (x, least) in out
            .iter_mut()
            .enumerate()
            .filter(|(x, _)| is_object(row[*x]))
        {
            let square = |i: usize| match columns[i].to_other_than(row[x]) {
                NONE => NO_BORDER,
                distance => u64::from(distance) * u64::from(distance),
            };
            *least = square(x);
            // Whether the object may still go on to the left and to the right.
            let mut sides = [true; 2];
            for step in 1..width {
                let further = (step * step) as u64;
                if further >= *least || sides == [false; 2] {
                    break;
                }
                let at = [x.checked_sub(step), Some(x + step).filter(|&i| i < width)];
                for (goes_on, at) in sides.iter_mut().zip(at) {
                    let Some(i) = at.filter(|_| *goes_on) else {
                        *goes_on = false;
                        continue;
                    };
                    *goes_on = row[i] == row[x] || row[i] == UNKNOWN;
                    *least = square(i).saturating_add(further).min(*least);
                }
            }
        }
    });
    out
}

/// No such pixel in the column.
const NONE: u32 = u32::MAX;

/// What is known of the column of a pixel.
#[derive(Clone, Copy)]
struct Column {
    /// Label of the nearest pixel whose label is known; the pixel's own where it is.
    label: u32,
    /// Distance to that, or [`NONE`].
    nearest: u32,
    /// Distance to the nearest pixel that is known to have another label than that, or [`NONE`].
    other: u32,
}

impl Column {
    fn at(label: u32) -> Self {
        Self {
            label,
            nearest: if label == UNKNOWN { NONE } else { 0 },
            other: NONE,
        }
    }

    /// Distance to the nearest pixel that is known to have another label than `label`.
    fn to_other_than(self, label: u32) -> u32 {
        if self.label == label {
            self.other
        } else {
            self.nearest
        }
    }

    /// What a pixel knows of itself, and of what its neighbour knows.
    fn and(self, neighbour: Self) -> Self {
        let far = Self {
            nearest: neighbour.nearest.saturating_add(1),
            other: neighbour.other.saturating_add(1),
            ..neighbour
        };
        let (near, far) = match self.nearest <= far.nearest {
            true => (self, far),
            false => (far, self),
        };
        let other = near.other.min(far.to_other_than(near.label));
        Self { other, ..near }
    }
}

/// The column of every pixel.
fn columns(labels: &Image<u32>) -> Vec<Column> {
    let (height, width) = labels.size();
    let mut out: Vec<Column> = labels
        .data()
        .iter()
        .map(|&label| Column::at(label))
        .collect();
    let mut pass = |y: usize, before: usize| {
        for x in 0..width {
            let (here, there) = (y * width + x, before * width + x);
            out[here] = out[here].and(out[there]);
        }
    };
    (1..height).for_each(|y| pass(y, y - 1));
    (0..height.saturating_sub(1))
        .rev()
        .for_each(|y| pass(y, y + 1));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Random};

    /// By the definition.
    fn nearest_other(labels: &Image<u32>, y: usize, x: usize) -> u64 {
        let (height, width) = labels.size();
        let all = (0..height).flat_map(|v| (0..width).map(move |u| (v, u)));
        let known = all.filter(|&(v, u)| labels.get(v, u) != UNKNOWN);
        known
            .filter(|&(v, u)| labels.get(v, u) != labels.get(y, x))
            .map(|(v, u)| (v.abs_diff(y).pow(2) + u.abs_diff(x).pow(2)) as u64)
            .min()
            .unwrap_or(NO_BORDER)
    }

    /// Discs that overlap, touch and leave the image.
    fn discs(height: usize, width: usize, seed: u64) -> Image<u32> {
        let mut random = Random::new(seed, Purpose::Noise, 0, 0);
        let centres: Vec<[f64; 3]> = (0..6)
            .map(|_| {
                let [y, x] = [height, width].map(|n| random.between(0.0, n as f64));
                [y, x, random.between(1.0, 9.0)]
            })
            .collect();
        Image::from_fn(height, width, |y, x| {
            let inside = |[v, u, r]: &[f64; 3]| (y as f64 - v).hypot(x as f64 - u) < *r;
            centres.iter().position(inside).map_or(0, |i| i as u32 + 1)
        })
    }

    #[test]
    fn distances_are_those_of_the_definition() {
        for (height, width) in [(1, 1), (1, 17), (17, 1), (24, 31), (33, 20)] {
            for seed in 0..8 {
                let mut labels = discs(height, width, seed);
                // Rows, columns and single pixels of which nothing is known, in half of them.
                let unknown = |i: usize| i % 7 == 2 || (i / width) % 11 == 5 || i % width == 9;
                for i in (0..height * width).filter(|&i| seed % 2 == 1 && unknown(i)) {
                    labels.data_mut()[i] = UNKNOWN;
                }
                let found = to_border(&labels);
                for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                    let expected = match labels.get(y, x) {
                        0 | UNKNOWN => 0,
                        _ => nearest_other(&labels, y, x),
                    };
                    assert_eq!(found[y * width + x], expected, "({y}, {x}) of seed {seed}");
                }
            }
        }
    }

    #[test]
    fn every_object_has_its_own_top_and_touching_ones_a_border_between() {
        // A square of 3 against one of 5, each with its centre at 1.
        let labels = Image::from_fn(7, 10, |y, x| match (y, x) {
            (2..5, 1..4) => 1,
            (1..6, 4..9) => 2,
            _ => 0,
        });
        let truth = &truth(&labels)[0];
        let third = 1.0 / 3.0;
        let row = [
            0.0,
            0.5,
            1.0,
            0.5,
            third,
            2.0 / 3.0,
            1.0,
            2.0 / 3.0,
            third,
            0.0,
        ];
        for (found, expected) in truth.row(3).iter().zip(row) {
            assert!((found - expected).abs() < 1e-6, "{:?}", truth.row(3));
        }
        // At the rim an object goes on: the pixel there is the farthest.
        let labels = Image::from_fn(1, 5, |_, x| u32::from(x >= 2));
        assert_eq!(super::truth(&labels)[0].row(0)[4], 1.0);
        let endless = super::truth(&Image::filled(3, 3, 7));
        assert!(endless[0].data().iter().all(|x| x.is_nan()));
    }

    #[test]
    fn what_is_unknown_is_no_border() {
        let disc = |y: usize, x: usize| (y as f64 - 12.0).hypot(x as f64 - 12.0) < 9.0;
        let whole = Image::from_fn(25, 25, |y, x| u32::from(disc(y, x)));
        let expected = &truth(&whole)[0];
        // A row through the object, which leaves its farthest pixel.
        let cut = Image::from_fn(25, 25, |y, x| match (y, disc(y, x)) {
            (8, true) => UNKNOWN,
            (_, inside) => u32::from(inside),
        });
        let found = &truth(&cut)[0];
        let pairs = found.data().iter().zip(expected.data());
        for (i, (found, expected)) in pairs.enumerate() {
            match cut.data()[i] {
                UNKNOWN => assert!(found.is_nan()),
                _ => assert_eq!(found, expected, "pixel {i}"),
            }
        }
    }
}
