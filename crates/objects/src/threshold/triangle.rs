//! The triangle threshold: the knee of a histogram with one peak and a long tail.

use super::otsu::Histogram;

/// The bin centre farthest from the line between the histogram's peak and the end of its longer
/// tail.
///
/// `None` if all values are equal. Equal to `skimage.filters.threshold_triangle` with `nbins =
/// bins`.
///
/// # Source
/// Zack, Rogers & Latt (1977), "Automatic measurement of sister chromatid exchange frequency".
pub fn triangle(values: &[f32], bins: usize) -> Option<f32> {
    let histogram = Histogram::new(values, bins)?;
    let n = histogram.counts.len();
    let mut counts: Vec<f64> = histogram.counts.iter().map(|&c| c as f64).collect();
    let first = counts.iter().position(|&c| c > 0.0)?;
    let last = counts.iter().rposition(|&c| c > 0.0)?;
    let mut peak = 0;
    for i in 0..n {
        if counts[i] > counts[peak] {
            peak = i;
        }
    }
    // The search runs from the end of the longer tail up to the peak; a right tail is mirrored.
    let flip = peak - first < last - peak;
    let (mut start, mut peak) = (first, peak);
    if flip {
        counts.reverse();
        (start, peak) = (n - 1 - last, n - 1 - peak);
    }
    let (run, rise) = ((peak - start) as f64, counts[peak]);
    let norm = run.hypot(rise);
    let (rise, run) = (rise / norm, run / norm);
    let (mut best, mut best_distance) = (0usize, f64::NEG_INFINITY);
    for i in 0..peak - start {
        let distance = rise * i as f64 - run * counts[start + i];
        if distance > best_distance {
            (best, best_distance) = (i, distance);
        }
    }
    let level = start + best;
    Some(histogram.centre(if flip { n - 1 - level } else { level }) as f32)
}
