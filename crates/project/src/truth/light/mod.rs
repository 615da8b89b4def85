//! The flat field of each stain: estimated from the fields of a plate, kept, shown, used where it
//! is certain.
//!
//! Here: what is known of a plate's light. `estimate` says which fields are read and when a flat
//! field is used, `keep` holds it for the next run and for people, `draw` shows it. Not here: the
//! estimate itself ([`stainfree_objects::FlatField`]).

mod draw;
mod estimate;
mod keep;

use serde::{Deserialize, Serialize};
use stainfree_image::Field;
use stainfree_objects::FlatField;

use crate::truth::stain::Stain;

/// Used only if the estimates from the even and from the odd fields correlate at least so much.
const LEAST_AGREEMENT: f64 = 0.8;

/// The flat field of one stain on one plate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlateLight {
    /// The plate, where it has a name.
    pub plate: String,
    /// Which stain.
    pub stain: Stain,
    /// Rows and columns of its fields.
    pub size: (usize, usize),
    /// The estimate.
    pub flat: FlatField,
    /// Standard deviation of the relative light over the field.
    pub unevenness: f64,
    /// Whether the stains are corrected by it.
    pub used: bool,
}

impl PlateLight {
    /// What its files and titles are called.
    fn name(&self) -> String {
        match self.plate.as_str() {
            "" => self.stain.name().to_owned(),
            plate => format!("{plate}_{}", self.stain.name()),
        }
    }

    /// Whether two halves of the fields give the same light.
    pub fn is_certain(&self) -> bool {
        self.flat.agreement >= LEAST_AGREEMENT
    }
}

/// The flat fields of a study.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Lights(Vec<PlateLight>);

impl Lights {
    /// The flat field to correct a stain of `field` by; `None` where none is used.
    pub(crate) fn of(&self, field: &Field, stain: Stain) -> Option<&FlatField> {
        let plate = field.position.plate.as_deref().unwrap_or_default();
        self.0
            .iter()
            .find(|light| light.used && light.stain == stain && light.plate == plate)
            .map(|light| &light.flat)
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[PlateLight] {
        &self.0
    }
}
