//! The bounding box: where it lies, how much of it is filled, whether it ends at the rim of the
//! image.

use super::{Block, Column, Family, Frame, Part, Scene, Unit};

/// `bbox` and `extent` as in `skimage.measure.regionprops`: `bbox-0`, `bbox-1` are the first row
/// and column, `bbox-2`, `bbox-3` one beyond the last. `touches_border` is 1 where the box ends at
/// the rim, so that the object may go on outside.
pub(super) struct BoundingBox;

impl Family for BoundingBox {
    fn name(&self) -> &'static str {
        "bounds"
    }

    fn applies_to(&self, part: Part) -> bool {
        part.is_object()
    }

    fn columns(&self) -> Vec<Column> {
        let edge = |name, frame| Column::integer(name, Unit::Pixels).in_frame(frame);
        vec![
            edge("bbox-0", Frame::Row),
            edge("bbox-1", Frame::Column),
            edge("bbox-2", Frame::Row),
            edge("bbox-3", Frame::Column),
            Column::integer("area_bbox", Unit::Area),
            Column::float("extent", Unit::None),
            Column::integer("touches_border", Unit::None),
        ]
    }

    fn measure(&self, scene: &Scene, part: Part, _channel: Option<usize>, block: &mut Block) {
        let regions = &scene.layer(part).regions;
        let (height, width) = regions.size;
        for i in 0..regions.len() {
            let bounds = regions.bounds(i);
            let area = (bounds.height() * bounds.width()) as f64;
            let touches = bounds.top == 0
                || bounds.left == 0
                || bounds.bottom as usize == height
                || bounds.right as usize == width;
            block.row(i).copy_from_slice(&[
                f64::from(bounds.top),
                f64::from(bounds.left),
                f64::from(bounds.bottom),
                f64::from(bounds.right),
                area,
                regions.area(i) as f64 / area,
                f64::from(u8::from(touches)),
            ]);
        }
    }
}
