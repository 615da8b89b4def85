//! Which wells to stain: drawn at random, with probabilities that are known.

use std::cmp::Ordering;

use stainfree_image::random::{Stream, number};

/// A well that was drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// Its place in the list that was given.
    pub well: usize,
    /// The probability with which it was to be drawn.
    pub probability: f64,
}

/// Draws `count` wells, all with the same probability, spread evenly over strata and, within a
/// stratum, over `predicted` where there are predictions: a systematic sample from a list in that
/// order, neighbours in it mixed, from a random start (Cochran 1977, chapter 8). In the list's
/// order.
///
/// Each stratum gets its share of the wells, rounded up or down. Neighbouring strata run through
/// predictions in opposite directions, so that a step over their border is no jump.
///
/// # Panics
/// If `strata` and `predicted` differ in length.
pub fn draw(strata: &[usize], predicted: &[Option<f64>], count: usize, seed: u64) -> Vec<Drawn> {
    assert_eq!(
        strata.len(),
        predicted.len(),
        "a prediction or none for each well"
    );
    let total = strata.len();
    if count == 0 || total == 0 {
        return Vec::new();
    }
    if count >= total {
        let all = (0..total).map(|well| Drawn {
            well,
            probability: 1.0,
        });
        return all.collect();
    }
    let mut order: Vec<usize> = (0..total).collect();
    let ties: Vec<u64> = (0..total as u64).map(|well| number(seed, well)).collect();
    order.sort_by(|&a, &b| {
        let rising = match (predicted[a], predicted[b]) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        let within = match strata[a] % 2 {
            0 => rising,
            _ => rising.reverse(),
        };
        let by_stratum = strata[a].cmp(&strata[b]);
        by_stratum
            .then(within)
            .then(ties[a].cmp(&ties[b]))
            .then(Ordering::Equal)
    });
    mix_neighbours(&mut order, strata, total.div_ceil(count), &ties);
    // Places `(start + k) * total / count` with a start in [0, 1): each is hit equally often.
    let start = Stream::new(number(seed, u64::MAX)).bits() >> 11;
    let start = start as f64 / (1u64 << 53) as f64;
    let step = total as f64 / count as f64;
    let mut drawn: Vec<Drawn> = (0..count)
        .map(|k| {
            let place = ((start + k as f64) * step) as usize;
            Drawn {
                well: order[place.min(total - 1)],
                probability: count as f64 / total as f64,
            }
        })
        .collect();
    drawn.sort_by_key(|drawn| drawn.well);
    drawn
}

/// Puts wells that lie within `reach` of each other, in one stratum, into an order by chance: else
/// there would be as many different samples as there are steps between two drawn wells, and no
/// more.
fn mix_neighbours(order: &mut [usize], strata: &[usize], reach: usize, chance: &[u64]) {
    for stratum in order.chunk_by_mut(|&a, &b| strata[a] == strata[b]) {
        for near in stratum.chunks_mut(reach) {
            near.sort_by_key(|&well| chance[well]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strata_get_their_share_and_every_well_is_drawn_equally_often() {
        let strata: Vec<usize> = (0..60).map(|well| well / 20).collect();
        let predicted: Vec<Option<f64>> = (0..60).map(|well| Some(f64::from(well % 7))).collect();
        let mut hits = vec![0f64; 60];
        for seed in 0..4000 {
            let drawn = draw(&strata, &predicted, 9, seed);
            assert_eq!(drawn.len(), 9);
            for stratum in 0..3 {
                let own = drawn.iter().filter(|drawn| strata[drawn.well] == stratum);
                assert_eq!(own.count(), 3);
            }
            for drawn in drawn {
                assert_eq!(drawn.probability, 0.15);
                hits[drawn.well] += 1.0;
            }
        }
        // Binomial(4000, 0.15): mean 600, standard deviation 22.6; five of them.
        assert!(
            hits.iter().all(|hits| (hits - 600.0).abs() < 113.0),
            "{hits:?}"
        );
    }

    #[test]
    fn there_are_many_different_samples() {
        let predicted: Vec<Option<f64>> = (0..40).map(|well| Some(f64::from(well))).collect();
        let samples: std::collections::BTreeSet<Vec<usize>> = (0..500)
            .map(|seed| draw(&[0; 40], &predicted, 4, seed))
            .map(|drawn| drawn.iter().map(|drawn| drawn.well).collect())
            .collect();
        // Of 10,000; a systematic sample alone has ten.
        assert!(samples.len() > 450, "{}", samples.len());
    }

    #[test]
    fn all_are_drawn_where_there_are_not_more_and_none_twice() {
        let drawn = draw(&[0, 0, 1], &[None; 3], 5, 1);
        let wells: Vec<usize> = drawn.iter().map(|drawn| drawn.well).collect();
        assert_eq!((wells, drawn[0].probability), (vec![0, 1, 2], 1.0));
        for seed in 0..200 {
            let mut wells: Vec<usize> = draw(&[0; 11], &[None; 11], 7, seed)
                .iter()
                .map(|drawn| drawn.well)
                .collect();
            wells.dedup();
            assert_eq!(wells.len(), 7);
        }
        assert!(draw(&[], &[], 3, 1).is_empty() && draw(&[0], &[None], 0, 1).is_empty());
    }

    #[test]
    fn wells_are_spread_over_the_predictions() {
        let predicted: Vec<Option<f64>> = (0..40).map(|well| Some(f64::from(well))).collect();
        for seed in 0..100 {
            let drawn = draw(&[0; 40], &predicted, 4, seed);
            // One of each quarter.
            for (k, drawn) in drawn.iter().enumerate() {
                assert_eq!(drawn.well / 10, k);
            }
        }
    }
}
