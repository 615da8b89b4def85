//! How much room a region takes: area and the diameter of the circle as large.

use super::{Block, Column, Family, Part, Scene, Unit};

/// Names and definitions of `skimage.measure.regionprops`.
pub(super) struct Area;

impl Family for Area {
    fn name(&self) -> &'static str {
        "area"
    }

    fn applies_to(&self, _part: Part) -> bool {
        true
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::integer("area", Unit::Area),
            Column::float("equivalent_diameter_area", Unit::Length),
        ]
    }

    fn measure(&self, scene: &Scene, part: Part, _channel: Option<usize>, block: &mut Block) {
        let regions = &scene.layer(part).regions;
        for i in 0..regions.len() {
            let area = regions.area(i) as f64;
            block
                .row(i)
                .copy_from_slice(&[area, (4.0 * area / std::f64::consts::PI).sqrt()]);
        }
    }
}
