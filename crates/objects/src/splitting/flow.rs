//! Following the directions that a network predicts: pixels that end at one place are one nucleus.
//!
//! Every pixel walks along the flow, one pixel a step. Ends gather at the middles; a middle is a
//! pixel with more ends than any within two pixels of it, and everything that ends near it, over
//! ground with ends, is its nucleus. What ends nowhere goes to the piece that is nearest. Source:
//! Stringer et al. (2021), "Cellpose: a generalist algorithm for cellular segmentation", Nature
//! Methods 18:100.

use super::{Method, Part, not_negative};
use crate::error::ObjectsError;
use crate::labels::Connectivity;
use crate::reconstruct::neighbours;
use crate::watershed::watershed;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;

/// Choices of the splitting by predicted directions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Flow {
    /// How far a pixel walks, in um: farther than it is to the middle of the largest nucleus.
    pub reach_um: f64,
    /// Ends that a middle has at least.
    pub least_ends: f64,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            reach_um: 25.0,
            least_ends: 10.0,
        }
    }
}

/// Steps at most, whatever the size of a pixel.
const MOST_STEPS: usize = 1000;
/// How far a middle reaches over ground with ends, pixels.
const GROWTH: usize = 5;
/// Ends of ground that a middle grows over: more than this.
const GROUND: u32 = 2;

impl Method for Flow {
    fn check(&self) -> Result<(), ObjectsError> {
        not_negative(&[
            ("splitting.reach_um", self.reach_um),
            ("splitting.least_ends", self.least_ends),
        ])
    }

    fn split_part(&self, part: &Part) -> Option<Image<u32>> {
        let flow = part.seen.flow?;
        let (height, width) = part.mask.size();
        let crop = |plane: &Image<f32>| plane.crop(part.frame.top, part.frame.left, height, width);
        let field = Field {
            mask: &part.mask,
            down: crop(flow[0]),
            right: crop(flow[1]),
        };
        let steps = (part.px(self.reach_um).ceil() as usize).min(MOST_STEPS);
        let ends = field.ends(steps);
        let mut counts = Image::filled(height, width, 0u32);
        for &(_, end) in &ends {
            counts.data_mut()[end] += 1;
        }
        let middles = middles(&counts, self.least_ends);
        let mut pieces = Image::filled(height, width, 0u32);
        for &(pixel, end) in &ends {
            pieces.data_mut()[pixel] = middles.data()[end];
        }
        let first = pieces.data().iter().find(|&&piece| piece > 0)?;
        if pieces
            .data()
            .iter()
            .all(|piece| piece == first || *piece == 0)
        {
            return None;
        }
        let flat = Image::filled(height, width, 0f32);
        Some(watershed(&flat, &pieces, &part.mask, Connectivity::Four))
    }
}

/// The flow within a part; none outside of its mask.
struct Field<'a> {
    mask: &'a Image<bool>,
    down: Image<f32>,
    right: Image<f32>,
}

impl Field<'_> {
    /// Every pixel of the part with the pixel that it comes to.
    fn ends(&self, steps: usize) -> Vec<(usize, usize)> {
        let (height, width) = self.mask.size();
        let last = [height - 1, width - 1].map(|side| side as f32);
        let pixels = (0..height * width).filter(|&i| self.mask.data()[i]);
        let walk = |pixel: usize| {
            let mut at = [(pixel / width) as f32, (pixel % width) as f32];
            for _ in 0..steps {
                let step = self.at(at);
                for axis in 0..2 {
                    at[axis] = (at[axis] + step[axis]).clamp(0.0, last[axis]);
                }
            }
            let [y, x] = at.map(|place| place.round() as usize);
            (pixel, y * width + x)
        };
        pixels.map(walk).collect()
    }

    /// The flow between four pixels, weighted by nearness.
    fn at(&self, [y, x]: [f32; 2]) -> [f32; 2] {
        let (height, width) = self.mask.size();
        let (top, left) = (y as usize, x as usize);
        let (below, beside) = ((top + 1).min(height - 1), (left + 1).min(width - 1));
        let (dy, dx) = (y - top as f32, x - left as f32);
        let mut sum = [0.0; 2];
        for (row, of_row) in [(top, 1.0 - dy), (below, dy)] {
            for (column, of_column) in [(left, 1.0 - dx), (beside, dx)] {
                let i = row * width + column;
                if self.mask.data()[i] {
                    let weight = of_row * of_column;
                    sum[0] += weight * self.down.data()[i];
                    sum[1] += weight * self.right.data()[i];
                }
            }
        }
        sum
    }
}

/// The ground of every middle, numbered from 1.
fn middles(counts: &Image<u32>, least: f64) -> Image<u32> {
    let (height, width) = counts.size();
    let is_middle = |i: usize| {
        let (y, x) = (i / width, i % width);
        let here = counts.data()[i];
        let rows = y.saturating_sub(2)..(y + 3).min(height);
        let around = rows.flat_map(|v| {
            let columns = x.saturating_sub(2)..(x + 3).min(width);
            columns.map(move |u| v * width + u)
        });
        // Of equals the first.
        let higher = |j: usize| counts.data()[j] > here || counts.data()[j] == here && j < i;
        here > 0 && f64::from(here) >= least && !around.into_iter().any(higher)
    };
    let mut grounds = Image::filled(height, width, 0u32);
    let mut front: Vec<usize> = (0..height * width).filter(|&i| is_middle(i)).collect();
    for (&i, number) in front.iter().zip(1..) {
        grounds.data_mut()[i] = number;
    }
    for _ in 0..GROWTH {
        let mut next = Vec::new();
        for &i in &front {
            let number = grounds.data()[i];
            for j in neighbours(i / width, i % width, height, width, Connectivity::Eight) {
                if grounds.data()[j] == 0 && counts.data()[j] > GROUND {
                    grounds.data_mut()[j] = number;
                    next.push(j);
                }
            }
        }
        front = next;
    }
    grounds
}
