//! How wide a network is: one factor on all channel counts.

/// Factor on the channel counts of the full-width network, and the least that a layer gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scaling {
    pub(crate) width: f64,
    pub(crate) least_channels: usize,
}

impl Scaling {
    /// `channels` of the full-width network, scaled.
    pub(crate) fn channels(&self, channels: usize) -> usize {
        ((channels as f64 * self.width).round() as usize).max(self.least_channels)
    }
}
