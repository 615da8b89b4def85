//! Li's minimum cross entropy threshold, by fixed-point iteration.

/// Iterations before the search gives up and keeps its last value; real images need 10 to 30.
const MAX_ITERATIONS: usize = 1000;

/// The threshold of smallest cross entropy between the image and its two-class picture.
///
/// Starts at the mean and stops when a step is below 1e-7 of the range, or changes no pixel.
/// `None` if all values are equal. scikit-image stops at half the smallest gap between values, so
/// the two agree to one gap; the resulting masks are equal.
///
/// # Source
/// Li & Lee (1993), "Minimum cross entropy thresholding"; Li & Tam (1998), "An iterative algorithm
/// for minimum cross entropy thresholding".
pub fn li(values: &[f32]) -> Option<f32> {
    let (mut low, mut high, mut total) = (f32::INFINITY, f32::NEG_INFINITY, 0.0f64);
    for &v in values {
        low = low.min(v);
        high = high.max(v);
        total += f64::from(v);
    }
    if !(low < high) {
        return None;
    }
    let n = values.len() as f64;
    // Entropy needs non-negative values: measured from the smallest.
    let base = f64::from(low);
    let step = (f64::from(high) - base) * 1e-7;
    let sum = total - n * base;
    let mut threshold = sum / n;
    for _ in 0..MAX_ITERATIONS {
        let cut = threshold;
        let (mut above, mut above_sum) = (0u64, 0.0f64);
        for &v in values {
            let v = f64::from(v) - base;
            if v > cut {
                above += 1;
                above_sum += v;
            }
        }
        let fore = above_sum / above as f64;
        let back = (sum - above_sum) / (n - above as f64);
        if back <= 0.0 {
            // Only the smallest value lies below: its mean is 0 and the logarithm has no value.
            break;
        }
        let next = (fore - back) / (fore.ln() - back.ln());
        let done = (next - cut).abs() <= step;
        threshold = next;
        if done {
            break;
        }
    }
    Some((threshold + base) as f32)
}
