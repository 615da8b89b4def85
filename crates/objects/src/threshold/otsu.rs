//! Otsu's threshold, on an equal-width histogram.

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

impl Histogram {
    /// Counts `values` in `bins` bins; `None` if there is no value or all are equal.
    ///
    /// Bins are half-open, the last one closed (as `numpy.histogram`).
    pub fn new(values: &[f32], bins: usize) -> Option<Self> {
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for &v in values {
            low = low.min(v);
            high = high.max(v);
        }
        if !(low < high) || bins == 0 {
            return None;
        }
        let (low, high) = (f64::from(low), f64::from(high));
        let scale = bins as f64 / (high - low);
        let mut counts = vec![0u64; bins];
        for &v in values {
            let bin = ((f64::from(v) - low) * scale) as usize;
            counts[bin.min(bins - 1)] += 1;
        }
        Some(Self { counts, low, high })
    }

    /// Middle of bin `i`.
    pub fn centre(&self, i: usize) -> f64 {
        self.low + (i as f64 + 0.5) * (self.high - self.low) / self.counts.len() as f64
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
    let histogram = Histogram::new(values, bins)?;
    let total: f64 = values.len() as f64;
    let sum: f64 = histogram
        .counts
        .iter()
        .enumerate()
        .map(|(i, &c)| c as f64 * histogram.centre(i))
        .sum();
    let (mut below, mut below_sum) = (0.0f64, 0.0f64);
    let (mut best, mut best_variance) = (0usize, f64::NEG_INFINITY);
    // The threshold parts bins 0..=i from the rest.
    for (i, &count) in histogram
        .counts
        .iter()
        .enumerate()
        .take(histogram.counts.len() - 1)
    {
        below += count as f64;
        below_sum += count as f64 * histogram.centre(i);
        let above = total - below;
        let gap = below_sum / below - (sum - below_sum) / above;
        let variance = below * above * gap * gap;
        if variance > best_variance {
            (best, best_variance) = (i, variance);
        }
    }
    Some(histogram.centre(best) as f32)
}
