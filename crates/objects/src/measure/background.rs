//! The background that was taken from each object's intensities.

use super::{Block, Column, Family, Part, Scene, Unit};

pub(super) struct BackgroundLevel;

impl Family for BackgroundLevel {
    fn name(&self) -> &'static str {
        "background"
    }

    fn applies_to(&self, part: Part) -> bool {
        part == Part::Object
    }

    fn per_channel(&self) -> bool {
        true
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::float("background", Unit::Intensity)]
    }

    fn measure(&self, scene: &Scene, part: Part, channel: Option<usize>, block: &mut Block) {
        for i in 0..scene.layer(part).regions.len() {
            block.row(i)[0] = scene.background(channel, part, i);
        }
    }
}
