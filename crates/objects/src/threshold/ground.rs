//! The ground threshold: what rises clearly above the empty ground is foreground.
//!
//! Made for cells that a granular stain fills unevenly and leaves dim at the rim: wherever the line
//! between two classes lies, much of such a cell is below it. The ground itself is even, so its own
//! spread says where it ends.

use crate::quantile::Values;
use rayon::prelude::*;

/// About so many values are looked at, evenly spread: plenty for quantiles of a field.
const SAMPLE: usize = 1 << 19;
/// Values of the sample that are gone through at a time.
const BAND: usize = 1024;
/// Bins of the histogram up to the median of the values above their minimum.
const BINS: usize = 200;
/// Standard deviations of the smoothing of the histogram, in bins.
const SMOOTHING: f64 = 3.0;
/// How many times its spread above its peak the ground ends: 3 to 4 score alike on simulated
/// plates.
const SPREADS: f32 = 3.5;

/// Peak of the ground plus 3.5 times the spread of the values below that peak.
///
/// The peak is the highest of the smoothed histogram of the lower 60 % of the values; where less
/// than a few percent of a field are empty, it is that of the dimmest cells. `None` if the values
/// are all equal.
pub fn ground(values: &[f32]) -> Option<f32> {
    let step = (values.len() / SAMPLE).max(1);
    let sample: Vec<f32> = values.iter().step_by(step).copied().collect();
    let ranks = Values::new(sample.len().div_ceil(BAND), |band, take| {
        take(&sample[band * BAND..((band + 1) * BAND).min(sample.len())]);
    });
    let at = |share: f64| ranks.ranked((share * ranks.len().saturating_sub(1) as f64) as usize);
    let (low, high) = (at(0.005)?, at(0.6)?);
    if !(high > low) {
        return None;
    }
    let mut counts = vec![0.0f64; BINS];
    let width = (high - low) / BINS as f32;
    for &v in &sample {
        if v >= low && v < high {
            counts[(((v - low) / width) as usize).min(BINS - 1)] += 1.0;
        }
    }
    let smooth = |i: usize| -> f64 {
        let reach = 4.0 * SMOOTHING;
        let weights = counts.iter().enumerate().filter_map(|(j, &count)| {
            let d = j as f64 - i as f64;
            (d.abs() <= reach).then(|| count * (-0.5 * (d / SMOOTHING).powi(2)).exp())
        });
        weights.sum()
    };
    let heights: Vec<f64> = (0..BINS).map(smooth).collect();
    let peak = (0..BINS).max_by(|&a, &b| heights[a].total_cmp(&heights[b]))?;
    let peak = low + (peak as f32 + 0.5) * width;
    // Band by band, so that the sum does not depend on who adds it up.
    let below: Vec<(f64, usize)> = sample
        .par_chunks(BAND)
        .map(|band| {
            let below = band.iter().filter(|&&v| v < peak);
            below.fold((0.0, 0), |(sum, n), &v| {
                (sum + f64::from(v - peak).powi(2), n + 1)
            })
        })
        .collect();
    let (sum, n) = below
        .iter()
        .fold((0.0, 0), |(sum, n), b| (sum + b.0, n + b.1));
    Some(peak + SPREADS * (sum / n.max(1) as f64).sqrt() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ground_ends_above_its_own_spread_whatever_the_cells_are_like() {
        // A ground of 100 +- 10 (uniform), and cells from dim to very bright on 60 % of the field.
        let mut values: Vec<f32> = (0..4_000).map(|i| 90.0 + 0.005 * i as f32).collect();
        values.extend((0..6_000).map(|i| 160.0 + 0.5 * i as f32));
        let t = ground(&values).unwrap();
        assert!((110.0..160.0).contains(&t), "{t}");
        assert_eq!(ground(&[3.0; 50]), None);
        assert_eq!(ground(&[]), None);
    }
}
