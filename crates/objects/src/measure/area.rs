//! How much room a region takes.

use super::{Block, Column, Family, Part, Scene, Unit};

/// `area` as in `skimage.measure.regionprops`: the number of pixels.
pub(super) struct Area;

impl Family for Area {
    fn name(&self) -> &'static str {
        "area"
    }

    fn applies_to(&self, _part: Part) -> bool {
        true
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::integer("area", Unit::Area)]
    }

    fn measure(&self, scene: &Scene, part: Part, _channel: Option<usize>, block: &mut Block) {
        let regions = &scene.layer(part).regions;
        for i in 0..regions.len() {
            block.row(i)[0] = regions.area(i) as f64;
        }
    }
}
