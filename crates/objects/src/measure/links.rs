//! Which cell an object lies in, and how many share it.

use super::{Block, Column, Family, Frame, Part, Scene, Unit};

pub(super) struct Links;

impl Family for Links {
    fn name(&self) -> &'static str {
        "links"
    }

    fn applies_to(&self, part: Part) -> bool {
        part == Part::Cell
    }

    fn by_object(&self) -> bool {
        true
    }

    fn columns(&self) -> Vec<Column> {
        // With the part's prefix: `cell_label`, `cell_nuclei`.
        vec![
            Column::integer("label", Unit::None).in_frame(Frame::Label),
            Column::integer("nuclei", Unit::None),
        ]
    }

    fn measure(&self, scene: &Scene, part: Part, _channel: Option<usize>, block: &mut Block) {
        let layer = scene.layer(part);
        let mut nuclei = vec![0u32; layer.regions.len()];
        for cell in layer.region_of_each().iter().flatten() {
            nuclei[*cell] += 1;
        }
        for (i, cell) in layer.region_of_each().iter().enumerate() {
            if let Some(cell) = *cell {
                let label = f64::from(layer.regions.labels()[cell]);
                block
                    .row(i)
                    .copy_from_slice(&[label, f64::from(nuclei[cell])]);
            }
        }
    }
}
