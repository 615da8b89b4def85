//! Otsu's threshold, on an equal-width histogram.

use crate::quantile::extremes_of_all;

/// Counts in equal bins from the smallest to the largest value.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Number of values in each bin.
    pub counts: Vec<u64>,
    /// Left edge of the first bin: the smallest value.
    pub low: f64,
    /// Right edge of the last bin: the largest value.
    pub high: f64,
}

/// Cuts whose variances differ by less are equally good, as those on either side of an empty bin
/// are: the first of them counts, and not the one that rounding favours.
const ROUNDING: f64 = 1e-12;

impl Histogram {
    /// Counts `values` in `bins` bins; `None` if there is no value or all are equal.
    ///
    /// Bins are half-open, the last one closed (as `numpy.histogram`).
    pub fn new(values: &[f32], bins: usize) -> Option<Self> {
        let (low, high) = extremes_of_all(values);
        let each = values.iter().map(|&v| (f64::from(v), 1));
        Self::of_counts(each, f64::from(low), f64::from(high), bins)
    }

    /// The same of values that occur several times, between `low` and `high`.
    pub(crate) fn of_counts(
        values: impl Iterator<Item = (f64, u64)>,
        low: f64,
        high: f64,
        bins: usize,
    ) -> Option<Self> {
        if !(low < high) || bins == 0 {
            return None;
        }
        let scale = bins as f64 / (high - low);
        let mut counts = vec![0u64; bins];
        for (v, n) in values {
            let bin = ((v - low) * scale) as usize;
            counts[bin.min(bins - 1)] += n;
        }
        Some(Self { counts, low, high })
    }

    /// Middle of bin `i`.
    pub fn centre(&self, i: usize) -> f64 {
        self.low + (i as f64 + 0.5) * (self.high - self.low) / self.counts.len() as f64
    }

    /// The bin centre that best parts the values into two classes: the largest variance between
    /// them.
    pub(crate) fn otsu(&self) -> f64 {
        let total = self.counts.iter().sum::<u64>() as f64;
        let places = || self.counts.iter().enumerate();
        let sum: f64 = places().map(|(i, &c)| c as f64 * self.centre(i)).sum();
        let (mut below, mut below_sum) = (0.0f64, 0.0f64);
        let (mut best, mut best_variance) = (0usize, 0.0);
        // The threshold parts bins 0..=i from the rest.
        for (i, &count) in places().take(self.counts.len() - 1) {
            below += count as f64;
            below_sum += count as f64 * self.centre(i);
            let above = total - below;
            let gap = below_sum / below - (sum - below_sum) / above;
            let variance = below * above * gap * gap;
            if variance > best_variance * (1.0 + ROUNDING) {
                (best, best_variance) = (i, variance);
            }
        }
        self.centre(best)
    }
}

/// The bin centre that best parts the values into two classes, or `None` if all values are equal.
///
/// Equal to `skimage.filters.threshold_otsu` with `nbins = bins` up to values that lie exactly on a
/// bin edge, where rounding decides.
///
/// # Source
/// Otsu (1979), "A threshold selection method from gray-level histograms".
pub fn otsu(values: &[f32], bins: usize) -> Option<f32> {
    Some(Histogram::new(values, bins)?.otsu() as f32)
}
