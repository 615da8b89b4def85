//! Random numbers keyed by what they are for, so that any step can be made again alone.
//!
//! The key of a stream is (seed, purpose, field, step); the generator is the workspace's. No state
//! is carried from step to step: resuming needs nothing but the step number, and the order in which
//! threads draw does not matter.

pub(crate) use stainfree_image::random::mix;
use stainfree_image::random::{GOLDEN, Stream, number};

/// What a stream of random numbers is for; different purposes never share numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Which fields make up a batch.
    Fields,
    /// Where a crop lies in its field.
    Crop,
    /// How a crop is turned, scaled and changed in intensity.
    Augment,
    /// The noise added to a crop.
    Noise,
    /// Which images drop a residual branch; the field is the branch.
    StochasticDepth,
}

/// A stream of random numbers that depends on its key alone.
#[derive(Clone, Debug)]
pub struct Random(Stream);

impl Random {
    /// The stream of `(seed, purpose, field, step)`.
    pub fn new(seed: u64, purpose: Purpose, field: u64, step: u64) -> Self {
        let key = [purpose as u64 + 1, field, step]
            .into_iter()
            .fold(number(seed, 0), |key, part| {
                mix(key.wrapping_add(GOLDEN) ^ number(part, 0))
            });
        Self::of_key(key)
    }

    /// The stream of a key that is mixed already.
    pub(crate) fn of_key(key: u64) -> Self {
        Self(Stream::new(key))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.bits()
    }

    /// Uniform in `[0, 1)`.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `[low, high)`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Uniform in `0..n`.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        self.0.below(n)
    }

    /// Standard normal (Box & Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// The numbers `0..n` in random order (Fisher & Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trainings go on and models are made again by these numbers.
    #[test]
    fn the_numbers_of_a_key_stay_what_they_are() {
        let mut random = Random::new(7, Purpose::Crop, 2, 3);
        let numbers = [random.bits(), random.bits()];
        assert_eq!(numbers, [0xba96_433c_1457_9637, 0x60ff_448a_7e9c_67f9]);
    }

    #[test]
    fn every_part_of_the_key_matters_and_nothing_else() {
        let first = |seed, purpose, field, step| Random::new(seed, purpose, field, step).bits();
        let base = first(1, Purpose::Crop, 2, 3);
        assert_eq!(base, first(1, Purpose::Crop, 2, 3));
        for other in [
            first(2, Purpose::Crop, 2, 3),
            first(1, Purpose::Augment, 2, 3),
            first(1, Purpose::Crop, 3, 3),
            first(1, Purpose::Crop, 2, 4),
            first(1, Purpose::Crop, 3, 2),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut random = Random::new(7, Purpose::Noise, 0, 0);
        let n = 20_000;
        let mean = (0..n).map(|_| random.uniform()).sum::<f64>() / n as f64;
        // Standard error of the mean: sqrt(1 / 12 / n) = 0.002.
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        let draws: Vec<f64> = (0..n).map(|_| random.normal()).collect();
        let variance = draws.iter().map(|x| x * x).sum::<f64>() / n as f64;
        // Standard error of the variance: sqrt(2 / n) = 0.01.
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
    }

    #[test]
    fn consecutive_steps_are_not_related() {
        let draw = |step| Random::new(1, Purpose::Crop, 0, step).uniform() - 0.5;
        let n = 10_000;
        let covariance = (0..n).map(|s| draw(s) * draw(s + 1)).sum::<f64>() / n as f64;
        // Independent: standard error 1 / 12 / sqrt(n) = 0.0008.
        assert!(covariance.abs() < 0.004, "{covariance}");
    }

    #[test]
    fn a_permutation_holds_every_number_once() {
        let mut order = Random::new(3, Purpose::Fields, 0, 5).permutation(50);
        assert_ne!(order, (0..50).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }
}
