//! What a plate and its channels are called.

use crate::rng::Key;
use crate::spec::PlateSpec;

/// Names of the channels, in the order of their waves.
pub const CHANNELS: [&str; 3] = ["Brightfield", "Hoechst", "MitoTracker"];

/// Names of a plate.
pub(crate) struct PlateNames {
    /// Name of the plate, the first part of every file name.
    pub(crate) plate: String,
    /// Folder of the plate.
    pub(crate) folder: String,
    /// Its unique identifier, in the form of a UUID.
    pub(crate) identifier: String,
}

impl PlateNames {
    pub(crate) fn new(spec: &PlateSpec) -> Self {
        let plate = format!("sim{}{}", spec.seed, if spec.unstained { "u" } else { "" });
        let key = Key::new(spec.seed).with(u64::from(spec.unstained));
        let (high, low) = (key.bits(0), key.bits(1));
        PlateNames {
            folder: format!("{plate}_Plate_{}", 1000 + high % 9000),
            plate,
            identifier: format!(
                "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
                high >> 32,
                (high >> 16) & 0xFFFF,
                high & 0xFFF,
                low >> 52,
                low & 0xFFFF_FFFF_FFFF
            ),
        }
    }
}
