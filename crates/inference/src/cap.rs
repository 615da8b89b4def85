//! The cap on memory, and what of it is for images, network and threads.

/// Cap on memory unless told otherwise, in bytes: results must not depend on the machine, so it is
/// a number.
pub const DEFAULT_MEMORY: usize = 4 << 30;
/// What the program takes beside images and network: code, threads, tables.
const BASE: usize = 64 << 20;
/// One part in so many of the cap is for the work of threads, however many there are, since how an
/// image is cut must not depend on them.
const PARTS_ONE_FOR_THREADS: usize = 8;

/// A cap on memory in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cap(pub(crate) usize);

impl Cap {
    /// A cap that leaves `bytes` beside the part for threads; one byte less may do too.
    pub(crate) fn leaving(bytes: usize) -> Self {
        Self((bytes * PARTS_ONE_FOR_THREADS).div_ceil(PARTS_ONE_FOR_THREADS - 1))
    }

    /// The smallest cap under which so many threads can work, each in `scratch` bytes.
    pub(crate) fn for_threads(threads: usize, scratch: usize) -> Self {
        Self(threads * scratch * PARTS_ONE_FOR_THREADS)
    }

    /// Threads that the network may have, of those asked for: each takes `scratch` bytes.
    pub(crate) fn affordable(self, threads: usize, scratch: usize) -> usize {
        (self.0 / PARTS_ONE_FOR_THREADS / scratch.max(1)).clamp(1, threads.max(1))
    }

    /// What is left for the network beside the part for threads and `beside` bytes; at least one
    /// byte, under which nothing can be computed.
    pub(crate) fn for_network(self, beside: usize) -> usize {
        let without_threads = self.0 - self.0 / PARTS_ONE_FOR_THREADS;
        without_threads.saturating_sub(beside).max(1)
    }
}

/// As `--memory` takes it, rounded up.
impl std::fmt::Display for Cap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}MiB", self.0.div_ceil(1 << 20))
    }
}

/// Bytes taken beside the network for an image of `pixels` pixels of so many planes, whose network
/// gives so many channels, or twice as much where flips are averaged.
pub(crate) fn beside_network(pixels: usize, planes: usize, channels: usize, flips: bool) -> usize {
    // Raw and normalised planes, the network's input, probabilities twice, classes and labels; the
    // raw planes of the image that is read meanwhile, and masks, probability and
    // distances of the one before.
    let images = 4 * pixels * (3 * planes + 3 + 2 * channels + 8) * if flips { 2 } else { 1 };
    images + BASE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_that_is_named_does_and_hardly_a_smaller_one() {
        for bytes in [2, 7, 1000, 123_456_789] {
            let cap = Cap::leaving(bytes);
            assert!(cap.for_network(0) >= bytes, "{bytes}");
            assert!(Cap(cap.0 - 2).for_network(0) < bytes, "{bytes}");
        }
        let cap = Cap::for_threads(6, 1000);
        assert_eq!(cap.affordable(6, 1000), 6);
        assert_eq!(Cap(cap.0 - 1).affordable(6, 1000), 5);
    }

    #[test]
    fn at_least_one_thread_and_one_byte_are_left() {
        assert_eq!(Cap(0).affordable(4, 1000), 1);
        assert_eq!(Cap(1 << 30).affordable(0, 0), 1);
        assert_eq!(Cap(100).for_network(1 << 20), 1);
    }

    #[test]
    fn amounts_are_rounded_up() {
        assert_eq!(Cap(1).to_string(), "1MiB");
        assert_eq!(Cap((3 << 20) + 1).to_string(), "4MiB");
    }

    #[test]
    fn flips_take_their_images_twice() {
        let [once, twice] = [false, true].map(|flips| beside_network(1000, 1, 3, flips) - BASE);
        assert_eq!((once, twice), (4 * 1000 * 20, 2 * 4 * 1000 * 20));
    }
}
