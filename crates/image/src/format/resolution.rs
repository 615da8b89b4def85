//! The resolution tags of a TIFF.

use super::description::{Length, both};

/// XResolution, YResolution and ResolutionUnit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolution {
    /// Pixels per unit along x and y.
    pub(super) pixels_per_unit: [Option<f64>; 2],
    /// The unit in µm; `None` where the file states none.
    pub(super) unit_um: Option<f64>,
}

impl Resolution {
    /// The unit of this number in µm: inch and cm, and mm and µm as some programs add them.
    pub(super) fn unit_um(number: u64) -> Option<f64> {
        match number {
            2 => Some(25_400.0),
            3 => Some(1e4),
            4 => Some(1e3),
            5 => Some(1.0),
            _ => None,
        }
    }

    /// Whether the size along x is one that is believed without a word about it.
    pub(super) fn is_of_a_microscope(&self) -> bool {
        let [x, _] = self.pixels_per_unit;
        let um = self.unit_um.zip(x).map(|(unit_um, x)| unit_um / x);
        um.is_some_and(is_of_a_microscope)
    }

    /// The pixel size in µm by the tags alone; `Err` is a sentence about pixels that are not
    /// square.
    pub(super) fn pixel_um(&self) -> Result<Option<f64>, String> {
        let Some(unit_um) = self.unit_um else {
            return Ok(None);
        };
        let [x, y] = self.pixels_per_unit.map(|per_unit| match per_unit {
            Some(per_unit) if per_unit > 0.0 && per_unit.is_finite() => {
                Length::of(unit_um / per_unit, "um")
            }
            _ => Length::Unstated,
        });
        both(x, y)
    }
}

/// Whether a pixel can be of this size in µm at all, in a microscope or a scanner of plates.
pub(super) fn is_possible(um: f64) -> bool {
    (0.01..200.0).contains(&um)
}

/// Whether a size in µm is believed although nothing but the resolution tags states it: they often
/// hold what a screen or printer would use (72 per inch, 353 µm) or the camera's pixels (6.5 µm).
pub(super) fn is_of_a_microscope(um: f64) -> bool {
    (0.01..5.5).contains(&um)
}
