//! `distance`: how far a pixel of an object lies from the object's border, as a share of the
//! farthest of that object's pixels; 0 outside of objects.
//!
//! A share and not pixels: small and large objects then have tops of one height, which one
//! threshold finds, and the numbers do not depend on the pixel size. Source: the cell distance of
//! Scherr et al. (2020), "Cell segmentation and tracking using CNN-based distance predictions",
//! PLOS ONE 15:e0243219.
//!
//! The border is whatever has another label, a touching object too. The rim of the image is none:
//! an object that goes on outside is not taken for one that ends there.

use super::{Link, OutputKind, OutputLoss, UNKNOWN, Values};
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
    let mut farthest: HashMap<u32, u64> = HashMap::new();
    let objects = labels.data().iter().zip(&squared);
    for (&label, &square) in objects.filter(|(label, _)| **label != 0) {
        let most = farthest.entry(label).or_default();
        *most = square.max(*most);
    }
    let share = |(label, &square): (&u32, &u64)| match (label, farthest.get(label)) {
        (_, None) => 0.0,
        // An object without a border in the image.
        (&UNKNOWN, _) | (_, Some(&NO_BORDER)) => f32::NAN,
        (_, Some(&most)) => (square as f64 / most as f64).sqrt() as f32,
    };
    let shares = labels.data().iter().zip(&squared).map(share).collect();
    vec![Image::new(labels.height(), labels.width(), shares)]
}

/// Squared distance of a pixel whose object meets no other label.
const NO_BORDER: u64 = u64::MAX;

/// Squared distance in pixels of every pixel of an object to the nearest pixel of another label, 0
/// outside of objects.
///
/// Method: Saito & Toriwaki (1994). First the distance to the nearest other label of the same
/// column; then, along the row, the least `(x - i)^2 + column(i)^2` for `i` up to the ends of the
/// pixel's own run, beyond which the ends are nearer. No farther than the least found so far has to
/// be looked, so the time goes by the objects' thickness.
fn to_border(labels: &Image<u32>) -> Vec<u64> {
    let (height, width) = labels.size();
    let columns = column_distances(labels);
    let mut out = vec![0; height * width];
    let rows = out.par_chunks_mut(width.max(1)).enumerate();
    rows.for_each(|(y, out)| {
        let (row, columns) = (labels.row(y), &columns[y * width..][..width]);
        let square = |i: usize| match columns[i] {
            NONE => NO_BORDER,
            distance => u64::from(distance) * u64::from(distance),
        };
        for (x, least) in out.iter_mut().enumerate().filter(|(x, _)| row[*x] != 0) {
            *least = square(x);
            // Whether the run still goes on to the left and to the right.
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
                    *goes_on = row[i] == row[x];
                    let there = if *goes_on { square(i) } else { 0 };
                    *least = there.saturating_add(further).min(*least);
                }
            }
        }
    });
    out
}

/// No other label in the column.
const NONE: u32 = u32::MAX;

/// Distance of every pixel to the nearest pixel of another label in its column, [`NONE`] where
/// there is none.
fn column_distances(labels: &Image<u32>) -> Vec<u32> {
    let (height, width) = labels.size();
    let mut out = vec![NONE; height * width];
    let mut pass = |y: usize, before: usize| {
        for x in 0..width {
            let (here, there) = (y * width + x, before * width + x);
            let distance = match labels.get(y, x) == labels.get(before, x) {
                true => out[there].saturating_add(1),
                false => 1,
            };
            out[here] = distance.min(out[here]);
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
        all.filter(|&(v, u)| labels.get(v, u) != labels.get(y, x))
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
                let labels = discs(height, width, seed);
                let found = to_border(&labels);
                for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                    let expected = match labels.get(y, x) {
                        0 => 0,
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
}
