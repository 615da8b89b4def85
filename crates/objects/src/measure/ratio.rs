//! How much brighter the nucleus is than what is around it.

use super::pixels::sum;
use super::{Block, Column, Family, Part, Scene, Unit};

/// Mean of the object over the mean of the ring and of the cytoplasm, all above the background.
///
/// Undefined where the denominator is not above the background.
pub(super) struct Ratio;

impl Family for Ratio {
    fn name(&self) -> &'static str {
        "ratio"
    }

    fn applies_to(&self, part: Part) -> bool {
        matches!(part, Part::Ring | Part::Cytoplasm)
    }

    fn per_channel(&self) -> bool {
        true
    }

    fn by_object(&self) -> bool {
        true
    }

    fn columns(&self) -> Vec<Column> {
        // The prefix of the part goes before: `ring_ratio`, `cytoplasm_ratio`.
        vec![Column::float("ratio", Unit::None)]
    }

    fn measure(&self, scene: &Scene, part: Part, channel: Option<usize>, block: &mut Block) {
        let Some(plane) = scene.plane(channel) else {
            return;
        };
        let (objects, layer) = (&scene.layer(Part::Object).regions, scene.layer(part));
        for i in 0..objects.len() {
            let Some(around) = layer.region_of(i) else {
                continue;
            };
            let background = scene.background(channel, Part::Object, i);
            let mean = |sum: f64, area: usize| sum / area as f64 - background;
            let nucleus = mean(sum(plane, objects, i), objects.area(i));
            let other = mean(
                sum(plane, &layer.regions, around),
                layer.regions.area(around),
            );
            if other > 0.0 {
                block.row(i)[0] = nucleus / other;
            }
        }
    }
}
