//! Up to which score one more of the same kind is nothing unusual.

use crate::student;

/// The conformal quantile: one more score, exchangeable with `scores`, exceeds it with a
/// probability of `outside` at most. `None` where there are too few scores for that: fewer than
/// `1 / outside - 1`.
///
/// # Source
/// Vovk, Gammerman & Shafer (2005), *Algorithmic learning in a random world*: the
/// `ceil((n + 1)(1 - outside))`-th smallest.
pub fn conformal_quantile(scores: &[f64], outside: f64) -> Option<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    // 0.95 * 20 is 19, whatever its last digit.
    let rank = ((sorted.len() + 1) as f64 * (1.0 - outside) - 1e-9).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// The same for few scores, of which the logarithms are taken to be normal: the upper end of the
/// interval in which one more lies. `None` for fewer than two scores, or one that is not positive.
///
/// # Source
/// Student's t prediction interval, one-sided: `mean + t(n - 1) * s * sqrt(1 + 1 / n)`.
pub fn lognormal_bound(scores: &[f64], outside: f64) -> Option<f64> {
    let n = scores.len() as f64;
    if scores.len() < 2 || scores.iter().any(|s| s.is_nan() || *s <= 0.0) {
        return None;
    }
    let logs = || scores.iter().map(|score| score.ln());
    let mean = logs().sum::<f64>() / n;
    let variance = logs().map(|log| (log - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let t = student::quantile(1.0 - outside, n - 1.0);
    Some((mean + t * (variance * (1.0 + 1.0 / n)).sqrt()).exp())
}
