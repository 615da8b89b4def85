//! What to simulate: the plate, the cells, the microscope.

use crate::error::SpecimenError;

/// How kind the microscope is to the person who has to segment its stains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Degrade {
    /// A well-kept microscope and an even staining.
    #[default]
    Clean,
    /// Dim and uneven staining, more haze, more uneven light, more debris (some of it stained),
    /// bleed-through of the nuclear stain, saturated bright nuclei, restless focus.
    Hard,
}

impl std::str::FromStr for Degrade {
    type Err = SpecimenError;

    fn from_str(text: &str) -> Result<Self, SpecimenError> {
        match text {
            "clean" => Ok(Degrade::Clean),
            "hard" => Ok(Degrade::Hard),
            _ => Err(SpecimenError::Spec {
                name: "degrade",
                value: text.to_owned(),
                way_out: "use `clean` or `hard`",
            }),
        }
    }
}

/// The brightfield microscope: all that its transfer function depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optics {
    /// Numerical aperture of the objective (air, below 1).
    pub objective_na: f64,
    /// Numerical aperture of the condenser: 0 is coherent light; at most `objective_na`.
    pub condenser_na: f64,
    /// Wavelength of the transmitted light in um.
    pub wavelength_um: f64,
    /// Height in um of the nominal focal plane above the best focus of the cells, towards the lamp.
    ///
    /// A thin phase object has no contrast at best focus; people therefore work a little off it.
    /// At positive heights cells are dark with bright rims, at negative ones the reverse.
    pub focus_offset_um: f64,
    /// Heights in um of the three brightfield planes relative to the nominal one, ascending.
    pub plane_um: [f64; 3],
}

impl Default for Optics {
    /// A 20x / 0.75 objective with the condenser closed down to 0.3, green light.
    fn default() -> Self {
        Optics {
            objective_na: 0.75,
            condenser_na: 0.3,
            wavelength_um: 0.55,
            focus_offset_um: 1.5,
            plane_um: [-3.0, 0.0, 3.0],
        }
    }
}

/// A plate to simulate. Every field of it is a pure function of this, the well and the site.
#[derive(Clone, Debug, PartialEq)]
pub struct PlateSpec {
    /// Number of wells, 1 to 384.
    pub wells: usize,
    /// Sites (fields) in each well, 1 to 100.
    pub sites: usize,
    /// Height and width of a field in pixels, 64 to 8192.
    pub side: usize,
    /// Brightfield planes: 1 (the nominal one) or 3 (`optics.plane_um`).
    pub planes: usize,
    /// Fraction of the area covered by cells, 0.02 to 0.98.
    pub confluence: f64,
    /// All randomness follows from this.
    pub seed: u64,
    /// Write the brightfield channel only; the cells are those of the stained plate of that seed.
    pub unstained: bool,
    /// Shift `(dy, dx)` in pixels of the stains against the brightfield and the truth, at most 32.
    pub shift_px: (f64, f64),
    /// How kind the microscope is.
    pub degrade: Degrade,
    /// Share of the cells in mitosis, 0 to 0.5.
    pub mitotic_share: f64,
    /// Pixel size at the specimen in um, 0.1 to 1.3.
    pub pixel_um: f64,
    /// The brightfield microscope.
    pub optics: Optics,
}

impl Default for PlateSpec {
    /// Six wells of four full-size fields with three planes, 65 % confluent.
    fn default() -> Self {
        PlateSpec {
            wells: 6,
            sites: 4,
            side: 2160,
            planes: 3,
            confluence: 0.65,
            seed: 1,
            unstained: false,
            shift_px: (0.0, 0.0),
            degrade: Degrade::Clean,
            mitotic_share: 0.05,
            pixel_um: 0.325,
            optics: Optics::default(),
        }
    }
}

impl PlateSpec {
    /// Checks every value.
    ///
    /// # Errors
    /// [`SpecimenError::Spec`] names the first setting that cannot be simulated.
    pub fn validate(&self) -> Result<(), SpecimenError> {
        let number = |name, value: f64, low: f64, high: f64, way_out| {
            if value >= low && value <= high {
                Ok(())
            } else {
                Err(SpecimenError::Spec {
                    name,
                    value: value.to_string(),
                    way_out,
                })
            }
        };
        number("wells", self.wells as f64, 1.0, 384.0, "use 1 to 384 wells")?;
        number("sites", self.sites as f64, 1.0, 100.0, "use 1 to 100 sites")?;
        number(
            "side",
            self.side as f64,
            64.0,
            8192.0,
            "use 64 to 8192 pixels",
        )?;
        if self.planes != 1 && self.planes != 3 {
            return Err(SpecimenError::Spec {
                name: "planes",
                value: self.planes.to_string(),
                way_out: "use 1 or 3 brightfield planes",
            });
        }
        number(
            "confluence",
            self.confluence,
            0.02,
            0.98,
            "use a share from 0.02 to 0.98",
        )?;
        number(
            "shift",
            self.shift_px.0,
            -32.0,
            32.0,
            "use at most 32 pixels",
        )?;
        number(
            "shift",
            self.shift_px.1,
            -32.0,
            32.0,
            "use at most 32 pixels",
        )?;
        number(
            "mitotic share",
            self.mitotic_share,
            0.0,
            0.5,
            "use a share from 0 to 0.5",
        )?;
        number("pixel size", self.pixel_um, 0.1, 1.3, "use 0.1 to 1.3 um")?;
        let optics = &self.optics;
        number(
            "objective NA",
            optics.objective_na,
            0.05,
            0.99,
            "use an air objective, 0.05 to 0.99",
        )?;
        number(
            "condenser NA",
            optics.condenser_na,
            0.0,
            optics.objective_na,
            "use 0 to the objective's NA (beyond it the field would be dark)",
        )?;
        number(
            "wavelength",
            optics.wavelength_um,
            0.3,
            1.1,
            "use 0.3 to 1.1 um",
        )?;
        number(
            "focus offset",
            optics.focus_offset_um,
            -20.0,
            20.0,
            "use at most 20 um",
        )?;
        for z in optics.plane_um {
            number("plane height", z, -20.0, 20.0, "use at most 20 um")?;
        }
        Ok(())
    }

    /// Heights in um of the brightfield planes of this plate relative to the nominal plane.
    pub fn plane_heights_um(&self) -> Vec<f64> {
        if self.planes == 1 {
            vec![0.0]
        } else {
            self.optics.plane_um.to_vec()
        }
    }

    /// Name of well `well` (from 0), such as `B02`.
    ///
    /// Up to 60 wells lie in the inner wells of a 96-well plate (its rim dries out), up to 96 fill
    /// one, more take a 384-well plate.
    pub fn well_name(&self, well: usize) -> String {
        let (row, column) = self.well_place(well);
        format!("{}{:02}", char::from(b'A' + row as u8), column + 1)
    }

    /// Row and column (from 0) of well `well` on the plate.
    pub(crate) fn well_place(&self, well: usize) -> (usize, usize) {
        match self.wells {
            0..=60 => (1 + well / 10, 1 + well % 10),
            61..=96 => (well / 12, well % 12),
            _ => (well / 24, well % 24),
        }
    }

    /// Rows and columns of the plate.
    pub(crate) fn plate_shape(&self) -> (usize, usize) {
        if self.wells <= 96 { (8, 12) } else { (16, 24) }
    }

    /// Name of a field, such as `B02_s1` (sites count from 0 here, from 1 in names).
    pub fn field_name(&self, well: usize, site: usize) -> String {
        format!("{}_s{}", self.well_name(well), site + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wells_are_named_like_a_plate() {
        let spec = |wells| PlateSpec {
            wells,
            ..PlateSpec::default()
        };
        assert_eq!(spec(6).field_name(0, 0), "B02_s1");
        assert_eq!(spec(60).well_name(59), "G11");
        assert_eq!(spec(96).well_name(95), "H12");
        assert_eq!(spec(384).well_name(383), "P24");
    }

    #[test]
    fn bad_values_are_named() {
        let bad = PlateSpec {
            confluence: f64::NAN,
            ..PlateSpec::default()
        };
        assert_eq!(
            bad.validate().unwrap_err().to_string(),
            "`confluence` is `NaN`: use a share from 0.02 to 0.98"
        );
        let bad = PlateSpec {
            planes: 2,
            ..PlateSpec::default()
        };
        assert!(
            bad.validate()
                .unwrap_err()
                .to_string()
                .contains("`planes` is `2`")
        );
        assert!("soft".parse::<Degrade>().is_err());
    }
}
