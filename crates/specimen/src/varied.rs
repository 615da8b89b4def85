//! Plates that differ from each other as much as laboratories do.

use crate::rng::{Key, Purpose};
use crate::spec::{Degrade, Optics, PlateSpec};

/// Objective aperture times pixel size in um: about that of a 20x / 0.75 objective on a camera of
/// 6.5 um pixels.
const APERTURE_BY_PIXEL_UM: f32 = 0.24;

impl PlateSpec {
    /// Plate `index` of an endless varied series: one unstained field of `side` pixels with 1 or 3
    /// planes, of another magnification, aperture, focus, colour of light, confluence and
    /// cleanliness each time. For training on images that no microscope took; the same arguments
    /// give the same plate.
    pub fn varied(seed: u64, index: u64, side: usize, planes: usize) -> PlateSpec {
        let key = Key::new(seed).purpose(Purpose::Variety).with(index);
        let mut draw = key.stream();
        let pixel_um = (0.25f32.ln() + draw.unit() * (0.8f32 / 0.25).ln()).exp();
        let objective_na =
            (APERTURE_BY_PIXEL_UM / pixel_um * draw.between(0.7, 1.4)).clamp(0.2, 0.9);
        let condenser_na = objective_na * draw.between(0.1, 0.8);
        // Never exactly in focus, where cells are invisible; depth of focus goes with the
        // wavelength over NA squared.
        let depth_um = (0.55 / (objective_na * objective_na)).clamp(0.7, 6.0);
        let side_of_focus = if draw.chance(0.5) { 1.0 } else { -1.0 };
        let focus_offset_um = side_of_focus * depth_um * draw.between(0.4, 2.5);
        let step_um = depth_um * draw.between(0.8, 2.5);
        PlateSpec {
            wells: 1,
            sites: 1,
            side,
            planes,
            confluence: f64::from(draw.between(0.1, 0.95)),
            seed: key.bits(u64::MAX / 2),
            unstained: true,
            shift_px: (0.0, 0.0),
            degrade: if draw.chance(0.5) {
                Degrade::Hard
            } else {
                Degrade::Clean
            },
            mitotic_share: f64::from(draw.between(0.0, 0.12)),
            pixel_um: f64::from(pixel_um),
            optics: Optics {
                objective_na: f64::from(objective_na),
                condenser_na: f64::from(condenser_na),
                wavelength_um: f64::from(draw.between(0.45, 0.7)),
                focus_offset_um: f64::from(focus_offset_um),
                plane_um: [f64::from(-step_um), 0.0, f64::from(step_um)],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate_field;

    #[test]
    fn every_plate_of_the_series_can_be_simulated_and_no_two_are_alike() {
        let specs: Vec<PlateSpec> = (0..2000).map(|i| PlateSpec::varied(3, i, 96, 1)).collect();
        for spec in &specs {
            spec.validate().unwrap();
        }
        let mut sizes: Vec<f64> = specs.iter().map(|spec| spec.pixel_um).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        assert!(sizes.len() > 1900, "{} pixel sizes", sizes.len());
        assert!(sizes[0] < 0.26 && sizes[sizes.len() - 1] > 0.78);
        let field = |i: usize| simulate_field(&specs[i], 0, 0).unwrap();
        assert_eq!(field(5).brightfield, field(5).brightfield);
        assert_ne!(field(5).truth.classes, field(6).truth.classes);
    }
}
