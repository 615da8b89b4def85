//! Random numbers without a state: every number is a hash of a key and of its place in line.
//!
//! The workspace's one generator, here because every crate that draws numbers sees this one. Each
//! says in a type of its own what its keys are made of (seed, purpose, field, ..), and may ask for
//! any number of any key, in any order and on any thread.
//!
//! Source: Steele, Lea & Flood (2014), "Fast splittable pseudorandom number generators" (SplitMix64
//! and its finaliser); used as counter-based generator as in Salmon et al. (2011).

/// The odd constant of SplitMix64: the golden ratio in 64 bits, so that counters spread evenly.
pub const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of SplitMix64: a bijection of 64 bits in which every input bit moves every output.
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The `n`-th (from 0) 64 random bits under `key`.
pub fn number(key: u64, n: u64) -> u64 {
    mix(key.wrapping_add(n.wrapping_add(1).wrapping_mul(GOLDEN)))
}

/// 64 random bits as a number of `0..n`: the high half of the product. Its bias, `n / 2^64`, is far
/// below any use here.
///
/// # Panics
/// If `n` is 0.
pub fn below(bits: u64, n: usize) -> usize {
    assert!(n > 0, "cannot draw from nothing");
    ((u128::from(bits) * n as u128) >> 64) as usize
}

/// Counts through the numbers of a key.
#[derive(Clone, Debug)]
pub struct Stream {
    key: u64,
    next: u64,
}

impl Stream {
    /// From the first number of `key` on.
    pub fn new(key: u64) -> Self {
        Self { key, next: 0 }
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.next += 1;
        number(self.key, self.next - 1)
    }

    /// Uniform in `0..n`.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        below(self.bits(), n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_splitmix64() {
        // The outputs that implementations are checked by, for the states 0 and 1234567.
        let mut stream = Stream::new(0);
        let expected = [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4];
        assert_eq!([stream.bits(), stream.bits()], expected);
        assert_eq!(number(1_234_567, 0), 6_457_827_717_110_365_317);
        assert_eq!(number(1_234_567, 1), 3_203_168_211_198_807_973);
    }

    #[test]
    fn the_whole_range_is_reached_and_never_left() {
        assert_eq!([below(0, 7), below(u64::MAX, 7)], [0, 6]);
        let mut hits = [0f64; 7];
        let mut stream = Stream::new(5);
        for _ in 0..14_000 {
            hits[stream.below(7)] += 1.0;
        }
        // Binomial(14000, 1/7): mean 2000, standard deviation 41; five of them.
        assert!(hits.iter().all(|h| (h - 2000.0).abs() < 207.0), "{hits:?}");
    }
}
