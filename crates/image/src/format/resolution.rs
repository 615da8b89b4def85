//! The resolution tags of a TIFF.

use super::description::{Length, both, um_of};

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
        let [x, y] = self
            .pixels_per_unit
            .map(|per_unit| size(per_unit, unit_um, "um"));
        both(x, y)
    }

    /// The pixel size in µm where nothing but the tags states one: it must be believable.
    pub(super) fn alone(&self) -> Result<Option<f64>, String> {
        Ok(self.pixel_um()?.filter(|&um| is_of_a_microscope(um)))
    }

    /// The pixel size in µm where a description names a unit; `Err` is a sentence about pixels
    /// that are not square, or a unit that is not known.
    ///
    /// ImageJ gives the resolution in its own unit, and the tag ResolutionUnit repeats it or says
    /// nothing. Other programs write ImageJ's description and a resolution in the unit of the tag
    /// (Micro-Manager: `unit=um`, pixels per cm): where the two differ, the tag counts, unless it
    /// gives a size that no pixel has.
    pub(super) fn in_unit(&self, x_unit: &str, y_unit: &str) -> Result<Option<f64>, String> {
        let [x, y] = self.pixels_per_unit;
        let by_unit = both(size(x, 1.0, x_unit), size(y, 1.0, y_unit));
        let same = um_of(x_unit) == self.unit_um;
        match (self.pixel_um()?, by_unit) {
            (Some(by_tag), by_unit) if !same && is_possible(by_tag) => match by_unit {
                Ok(Some(_)) => Ok(Some(by_tag)),
                // `unit=pixel`: the tags are alone.
                Ok(None) => self.alone(),
                Err(problem) => self.alone()?.map(Some).ok_or(problem),
            },
            (_, by_unit) => by_unit,
        }
    }
}

/// A pixel's side where a length in a unit has so many pixels. What was never measured needs no
/// unit that is known.
fn size(pixels: Option<f64>, length: f64, unit: &str) -> Length {
    match pixels {
        Some(pixels) if pixels > 0.0 && pixels.is_finite() => Length::of(length / pixels, unit),
        _ => Length::Unstated,
    }
}

/// Whether a pixel can be of this size in µm at all, in a microscope or a scanner of plates.
fn is_possible(um: f64) -> bool {
    (0.01..200.0).contains(&um)
}

/// Whether a size in µm is believed although nothing but the resolution tags states it: they often
/// hold what a screen or printer would use (72 per inch, 353 µm) or the camera's pixels (6.5 µm).
fn is_of_a_microscope(um: f64) -> bool {
    (0.01..5.5).contains(&um)
}
