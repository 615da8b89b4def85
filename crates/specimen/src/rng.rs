//! Random numbers without a shared state: every number is a hash of what it is for.
//!
//! A [`Key`] is made from the seed and the words that say what the numbers are for (purpose, well,
//! site, row, ..); a [`Stream`] counts from such a key. Any stream can be remade alone, in any
//! order and on any thread. The generator is the workspace's; here are keys and distributions.

use stainfree_image::random::{self, mix, number};

/// What a stream of random numbers is for; keeps streams of one field apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Purpose {
    Plate = 1,
    Positions,
    Cell,
    Organelles,
    Texture,
    Ruffle,
    Debris,
    DustOnOptics,
    DustOnDish,
    Focus,
    Illumination,
    Staining,
    ShotNoise,
    ReadNoise,
    Variety,
}

/// Names a stream of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u64);

impl Key {
    /// The key of everything that comes from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Key(number(seed, 0))
    }

    /// The key of one purpose under this key.
    pub(crate) fn purpose(self, purpose: Purpose) -> Self {
        self.with(purpose as u64)
    }

    /// The key of part `word` under this key.
    pub(crate) fn with(self, word: u64) -> Self {
        Key(mix(self.0 ^ number(0, word)))
    }

    /// The `n`-th 64 random bits under this key.
    pub(crate) fn bits(self, n: u64) -> u64 {
        number(self.0, n)
    }

    /// A stream that starts at the first number of this key.
    pub(crate) fn stream(self) -> Stream {
        Stream(random::Stream::new(self.0))
    }
}

/// Counts through the numbers of a [`Key`].
#[derive(Clone, Debug)]
pub(crate) struct Stream(random::Stream);

impl Stream {
    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0.bits()
    }

    /// Uniform in `[0, 1)`, with 24 bits.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 * (1.0 / (1u32 << 24) as f32)
    }

    /// Uniform in `[low, high)`.
    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Standard normal, by Box & Muller (1958).
    pub(crate) fn normal(&mut self) -> f32 {
        // 1 - u lies in (0, 1], so the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f32::consts::TAU * self.unit()).cos()
    }

    /// Poisson with this mean: by inversion where it is small, rounded normal above 60.
    pub(crate) fn poisson(&mut self, mean: f32) -> u32 {
        if mean > 60.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u32;
        }
        poisson_by_inversion(mean, self.unit())
    }
}

/// The smallest count whose Poisson distribution function exceeds `u`.
fn poisson_by_inversion(mean: f32, u: f32) -> u32 {
    let mut probability = (-mean).exp();
    let mut total = probability;
    let mut count = 0;
    // Past ten standard deviations the rest is below the resolution of `u`.
    let limit = (mean + 10.0 * mean.sqrt() + 20.0) as u32;
    while u >= total && count < limit {
        count += 1;
        probability *= mean / count as f32;
        total += probability;
    }
    count
}

/// Fast standard normals for camera noise: the quantile function in a table.
///
/// 4096 cells with linear interpolation inside them; the two outermost cells, where the quantile
/// runs to infinity, are evaluated directly. The moments are right to 1e-3 (tested).
#[derive(Debug)]
pub(crate) struct NormalTable {
    quantile: Vec<f32>,
}

/// Cells of [`NormalTable`]; a power of two so that random bits index it.
const CELLS: usize = 4096;

impl NormalTable {
    pub(crate) fn new() -> Self {
        let quantile = (0..=CELLS)
            .map(|i| normal_quantile((i as f64 / CELLS as f64).clamp(1e-9, 1.0 - 1e-9)) as f32)
            .collect();
        NormalTable { quantile }
    }

    /// A standard normal from 32 random bits.
    pub(crate) fn sample(&self, bits: u32) -> f32 {
        let cell = (bits >> 20) as usize;
        let inside = (bits & 0xF_FFFF) as f32 * (1.0 / (1u32 << 20) as f32);
        if cell == 0 || cell == CELLS - 1 {
            let u = (f64::from(bits) + 0.5) / 4_294_967_296.0;
            return normal_quantile(u) as f32;
        }
        let low = self.quantile[cell];
        low + (self.quantile[cell + 1] - low) * inside
    }

    /// Electrons counted where `mean` are expected, from 32 random bits.
    ///
    /// Exact inversion below 12 electrons; above, the variance-stabilised normal
    /// `(sqrt(mean) + z / 2)^2 - 1/4`, whose mean is exact and whose variance is `mean + 1/8`.
    pub(crate) fn electrons(&self, mean: f32, bits: u32) -> f32 {
        if mean < 12.0 {
            if mean <= 0.0 {
                return 0.0;
            }
            return poisson_by_inversion(mean, (bits >> 8) as f32 * (1.0 / (1u32 << 24) as f32))
                as f32;
        }
        let root = mean.sqrt() + 0.5 * self.sample(bits);
        (root * root - 0.25).max(0.0)
    }
}

/// Quantile of the standard normal, relative error below 1.2e-9.
///
/// # Source
/// The rational approximation of P. J. Acklam (2003) in its three ranges.
fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
    ];
    /// Where the tails begin.
    const TAIL: f64 = 0.024_25;
    let horner = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    if !(TAIL..=1.0 - TAIL).contains(&p) {
        let q = (-2.0 * p.min(1.0 - p).ln()).sqrt();
        let tail = horner(&C, q) / (horner(&D, q) * q + 1.0);
        return if p < TAIL { tail } else { -tail };
    }
    let q = p - 0.5;
    let r = q * q;
    horner(&A, r) * q / (horner(&B, r) * r + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_and_variance(values: impl Iterator<Item = f64>) -> (f64, f64) {
        let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for v in values {
            n += 1.0;
            sum += v;
            squares += v * v;
        }
        (sum / n, squares / n - (sum / n) * (sum / n))
    }

    #[test]
    fn quantile_has_known_values() {
        // Tabulated values of the normal distribution.
        for (p, z) in [(0.5, 0.0), (0.975, 1.959_963_985), (0.001, -3.090_232_306)] {
            assert!((normal_quantile(p) - z).abs() < 1e-7, "quantile of {p}");
        }
    }

    #[test]
    fn both_normals_have_unit_variance() {
        const N: u64 = 200_000;
        // Four standard errors of the mean (1 / sqrt N) and of the variance (sqrt(2 / N)).
        let key = Key::new(7);
        let mut stream = key.with(1).stream();
        let table = NormalTable::new();
        let slow = mean_and_variance((0..N).map(|_| f64::from(stream.normal())));
        let fast = mean_and_variance((0..N).map(|i| f64::from(table.sample(key.bits(i) as u32))));
        for (mean, variance) in [slow, fast] {
            assert!(mean.abs() < 4.0 / (N as f64).sqrt(), "mean {mean}");
            assert!(
                (variance - 1.0).abs() < 4.0 * (2.0 / N as f64).sqrt(),
                "variance {variance}"
            );
        }
    }

    #[test]
    fn electrons_are_poisson_on_both_sides_of_the_switch() {
        const N: u64 = 200_000;
        let table = NormalTable::new();
        for mean in [0.5_f32, 5.0, 11.9, 12.1, 400.0] {
            let key = Key::new(3).with(mean.to_bits().into());
            let (m, v) = mean_and_variance(
                (0..N).map(|i| f64::from(table.electrons(mean, (key.bits(i) >> 32) as u32))),
            );
            let expected = f64::from(mean);
            // Four standard errors, and the known 1/8 of the stabilised form.
            assert!(
                (m - expected).abs() < 4.0 * (expected / N as f64).sqrt(),
                "mean {m} of {mean}"
            );
            assert!(
                (v - expected).abs() < 0.02 * expected + 0.125,
                "variance {v} of {mean}"
            );
        }
    }

    /// Simulated plates are made again by these numbers.
    #[test]
    fn the_numbers_of_a_key_stay_what_they_are() {
        let key = Key::new(7).purpose(Purpose::Cell).with(5);
        assert_eq!(key.bits(9), 0x316f_efd4_8acf_39b9);
        assert_eq!(key.stream().bits(), 0x9095_dfe3_47f5_3a61);
    }

    #[test]
    fn keys_are_apart_and_remade() {
        let a = Key::new(1).purpose(Purpose::Cell).with(3);
        assert_eq!(
            a.bits(5),
            Key::new(1).purpose(Purpose::Cell).with(3).bits(5)
        );
        assert_ne!(
            a.bits(5),
            Key::new(1).purpose(Purpose::Cell).with(4).bits(5)
        );
        assert_ne!(
            a.bits(5),
            Key::new(1).purpose(Purpose::Debris).with(3).bits(5)
        );
        assert_ne!(
            a.bits(5),
            Key::new(2).purpose(Purpose::Cell).with(3).bits(5)
        );
        // Words given in another order are another key.
        assert_ne!(
            Key::new(1).with(2).with(3).bits(0),
            Key::new(1).with(3).with(2).bits(0)
        );
    }
}
