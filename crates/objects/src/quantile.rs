//! Ranks of many values without sorting or keeping them.
//!
//! A value's bits, turned so that their order is that of the numbers, are counted by their upper
//! half; then those of the bucket that holds the rank by their lower half. Two passes, exact.

use crate::terrain::order;
use rayon::prelude::*;
use stainfree_kernels::{Loops, vectorised};

const HALF: u32 = 16;
const BUCKETS: usize = 1 << HALF;

/// The number whose turned bits are `bits`: undoes [`order`].
fn value(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 {
        bits & !(1 << 31)
    } else {
        !bits
    })
}

/// The smallest and the largest of values without NaN; infinities the wrong way round if there are
/// none.
pub(crate) fn extremes(values: &[f32]) -> (f32, f32) {
    vectorised(Extremes(values))
}

struct Extremes<'a>(&'a [f32]);

impl Loops for Extremes<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run(self) -> (f32, f32) {
        // Side by side, so that one comparison need not wait for the last.
        const LANES: usize = 32;
        let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        let (chunks, rest) = self.0.as_chunks::<LANES>();
        for chunk in chunks {
            for k in 0..LANES {
                low[k] = if chunk[k] < low[k] { chunk[k] } else { low[k] };
                high[k] = if chunk[k] > high[k] {
                    chunk[k]
                } else {
                    high[k]
                };
            }
        }
        let none = (f32::INFINITY, f32::NEG_INFINITY);
        let take = |(a, b): (f32, f32), (&low, &high): (&f32, &f32)| (a.min(low), b.max(high));
        let lanes = low.iter().zip(&high).fold(none, take);
        rest.iter().zip(rest).fold(lanes, take)
    }
}

/// [`extremes`] of many values, on all threads.
pub(crate) fn extremes_of_all(values: &[f32]) -> (f32, f32) {
    const CHUNK: usize = 1 << 16;
    let none = (f32::INFINITY, f32::NEG_INFINITY);
    let chunks = values.par_chunks(CHUNK).map(extremes);
    chunks.reduce(|| none, |a, b| (a.0.min(b.0), a.1.max(b.1)))
}

/// Values that come in bands, each of which can be gone through again.
pub(crate) struct Values<F> {
    bands: usize,
    of_band: F,
    upper: Vec<u32>,
}

impl<F: Fn(usize, &mut dyn FnMut(&[f32])) + Sync> Values<F> {
    /// `of_band` hands over the values of one of the bands `0..bands`, some at a time.
    pub(crate) fn new(bands: usize, of_band: F) -> Self {
        let upper = counted(bands, &of_band, |counts, values| {
            for &v in values {
                counts[(order(v) >> HALF) as usize] += 1;
            }
        });
        Self {
            bands,
            of_band,
            upper,
        }
    }

    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        self.upper.iter().map(|&n| n as usize).sum()
    }

    /// The value of rank `k`, from 0; `None` if there are not so many.
    pub(crate) fn ranked(&self, k: usize) -> Option<f32> {
        let (bucket, k) = holds(&self.upper, k)?;
        let lower = counted(self.bands, &self.of_band, |counts, values| {
            for bits in values.iter().map(|&v| order(v)) {
                if bits >> HALF == bucket {
                    counts[bits as usize % BUCKETS] += 1;
                }
            }
        });
        let (low, _) = holds(&lower, k)?;
        Some(value(bucket << HALF | low))
    }
}

/// The bucket that holds rank `k`, and the rank within it.
fn holds(counts: &[u32], mut k: usize) -> Option<(u32, usize)> {
    for (i, &n) in counts.iter().enumerate() {
        if k < n as usize {
            return Some((i as u32, k));
        }
        k -= n as usize;
    }
    None
}

/// How many values fall into each bucket; `count` adds some.
fn counted(
    bands: usize,
    of_band: &(impl Fn(usize, &mut dyn FnMut(&[f32])) + Sync),
    count: impl Fn(&mut [u32], &[f32]) + Sync,
) -> Vec<u32> {
    // Counters are as large as some fields: no task may be a small one.
    const LEAST_BANDS: usize = 256;
    let none = || vec![0u32; BUCKETS];
    (0..bands)
        .into_par_iter()
        .with_min_len(LEAST_BANDS)
        .fold(none, |mut counts, band| {
            of_band(band, &mut |values| count(&mut counts, values));
            counts
        })
        .reduce_with(|mut a, b| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            a
        })
        .unwrap_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rank_is_that_of_the_sorted_values() {
        let mut state = 1u32;
        let values: Vec<f32> = (0..3000)
            .map(|i| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Large, tiny, negative and repeated ones.
                let scale = [1.0, 1e-20, -1e9, 0.0][i % 4];
                (state >> 8) as f32 * scale
            })
            .collect();
        let found = Values::new(300, |band, take| take(&values[10 * band..10 * band + 10]));
        let ranks: Vec<Option<f32>> = (0..3001).map(|k| found.ranked(k)).collect();
        let mut values = values.clone();
        values.sort_by(f32::total_cmp);
        assert_eq!(found.len(), 3000);
        for (k, &v) in values.iter().enumerate() {
            assert_eq!(ranks[k], Some(v + 0.0), "rank {k}");
        }
    }
}
