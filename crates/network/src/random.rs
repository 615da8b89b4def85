//! Random numbers keyed by what they are for, so that any step can be made again alone.
//!
//! A generator is a counter passed through a mixing function; its key is (seed, purpose, field,
//! step). No state is carried from step to step: resuming needs nothing but the step number, and
//! the order in which threads draw does not matter.
//!
//! Source: Steele, Lea & Flood (2014), "Fast splittable pseudorandom number generators"
//! (the SplitMix64 finaliser); used as counter-based generator as in Salmon et al. (2011).

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
pub struct Random {
    key: u64,
    counter: u64,
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of SplitMix64.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Random {
    /// The stream of `(seed, purpose, field, step)`.
    pub fn new(seed: u64, purpose: Purpose, field: u64, step: u64) -> Self {
        let key = [purpose as u64 + 1, field, step]
            .into_iter()
            .fold(mix(seed.wrapping_add(GOLDEN)), |key, part| {
                mix(key.wrapping_add(GOLDEN) ^ mix(part.wrapping_add(GOLDEN)))
            });
        Self::of_key(key)
    }

    /// The stream of a key that is mixed already.
    pub(crate) fn of_key(key: u64) -> Self {
        Self { key, counter: 0 }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.counter += 1;
        mix(self.key.wrapping_add(self.counter.wrapping_mul(GOLDEN)))
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

    /// Uniform in `0..n`. The bias of the multiplication method, `n / 2^64`, is far below any use
    /// here.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "cannot draw from nothing");
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
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
