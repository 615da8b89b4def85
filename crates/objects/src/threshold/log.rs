//! Otsu on log intensities, for stains that span more than one decade.
//!
//! Bright dying nuclei pull a linear Otsu threshold above the dim ones. On a logarithmic scale a
//! factor counts the same at every brightness; the noise level sets where the scale begins, so the
//! result does not depend on the camera's unit or bit depth.

use super::otsu::Histogram;
use crate::quantile::extremes_of_all;
use rayon::prelude::*;
use stainfree_kernels::{Loops, vectorised};

/// Values counted at a time, and how many times a task does so at least: each has counters of its
/// own.
const CHUNK: usize = 1 << 16;
const LEAST_CHUNKS: usize = 16;

/// Bits of the mantissa that are kept: cells are 1 / 4096 of an octave or less, far below a bin.
const MANTISSA: u32 = 12;

/// The others.
const DROPPED: u32 = f32::MANTISSA_DIGITS - 1 - MANTISSA;

/// Otsu's threshold of `ln(1 + v / noise)`, given back as an intensity; values below 0 count as 0.
///
/// `noise` is the standard deviation of the background in the unit of `values` (must be positive).
/// `None` if all values are equal.
///
/// No logarithm of a pixel is taken: the bits of a float are a logarithmic scale already, so pixels
/// are counted by their upper bits, and only those cells are put into the `bins`.
pub fn otsu_log(values: &[f32], noise: f32, bins: usize) -> Option<f32> {
    let scale = 1.0 / noise;
    let scaled = |v: f32| scaled(v, scale);
    if values.is_empty() {
        return None;
    }
    let (low, high) = extremes_of_all(values);
    let cell = |v: f32| (scaled(v).to_bits() >> DROPPED) as usize;
    let (first, last) = (cell(low), cell(high));
    // Two counters a cell, by turns: the many equal values of the background need not wait for each
    // other.
    let none = || vec![[0u32; 2]; last - first + 1];
    let count = |mut counts: Vec<[u32; 2]>, chunk: &[f32]| {
        let mut cells = [0u32; 256];
        for values in chunk.chunks(cells.len()) {
            let cells = &mut cells[..values.len()];
            vectorised(Cells {
                values,
                scale,
                first: first as u32,
                cells,
            });
            for pair in cells.chunks(2) {
                for (k, &cell) in pair.iter().enumerate() {
                    counts[cell as usize][k] += 1;
                }
            }
        }
        counts
    };
    let add = |mut a: Vec<[u32; 2]>, b: Vec<[u32; 2]>| {
        for (a, b) in a.iter_mut().zip(b) {
            *a = [a[0] + b[0], a[1] + b[1]];
        }
        a
    };
    let cells = values
        .par_chunks(CHUNK)
        .with_min_len(LEAST_CHUNKS)
        .fold(none, count)
        .reduce_with(add)?;
    // The middle of a cell, on the logarithmic scale.
    let place = |i: usize| {
        let bits = ((first + i) as u32) << DROPPED;
        let half = 1 << (DROPPED - 1);
        f64::from(f32::from_bits(bits | half)).ln()
    };
    let counted = cells
        .iter()
        .enumerate()
        .map(|(i, n)| (place(i), u64::from(n[0] + n[1])));
    let (low, high) = (f64::from(scaled(low)).ln(), f64::from(scaled(high)).ln());
    let t = Histogram::of_counts(counted, low, high, bins)?.otsu();
    Some((t.exp_m1() * f64::from(noise)) as f32)
}

/// What the logarithm is taken of.
#[inline(always)]
fn scaled(v: f32, scale: f32) -> f32 {
    1.0 + if v > 0.0 { v } else { 0.0 } * scale
}

/// The cells of some values, counted from the first one in use.
struct Cells<'a> {
    values: &'a [f32],
    scale: f32,
    first: u32,
    cells: &'a mut [u32],
}

impl Loops for Cells<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (cell, &v) in self.cells.iter_mut().zip(self.values) {
            *cell = (scaled(v, self.scale).to_bits() >> DROPPED) - self.first;
        }
    }
}
