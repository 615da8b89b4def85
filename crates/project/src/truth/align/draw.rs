//! A picture of the truth as it was given and as it is moved back.

use stainfree_image::{Image, write};
use stainfree_objects::move_back_nearest;
use stainfree_report::{brightfield_picture, overlay_labels, sheet};

use super::GroupLaid;
use super::keep::picture_path;
use crate::ProjectError;
use crate::study::Study;
use crate::study::disk::remove;

/// Groups in the picture, those moved furthest first.
pub(crate) const SHOWN: usize = 6;
/// Side of what is shown of a field, pixels: a shift of a pixel or two can be seen.
const SHOWN_SIDE: usize = 240;
/// Enlargement of it.
const ENLARGED: usize = 2;

/// A field of a group.
pub(crate) struct Shown {
    pub(crate) field: String,
    pub(crate) laid: GroupLaid,
    pub(crate) brightfield: Image<f32>,
    /// As they were given.
    pub(crate) nuclei: Image<u32>,
}

/// `align/shifts.png`: the nuclei of one field of each group as they were given, and moved back by
/// what was found, certain or not.
///
/// # Errors
/// The picture cannot be written.
pub(crate) fn draw(study: &Study, shown: &[Shown]) -> Result<(), ProjectError> {
    let path = picture_path(study);
    if shown.is_empty() {
        // That of an earlier run shows what is no longer so.
        return remove(&path);
    }
    let mut drawn: Vec<(String, [Image<[u8; 3]>; 2])> = Vec::new();
    for one in shown {
        let light = brightfield_picture(&one.brightfield);
        let (dy, dx) = (one.laid.dy_px.unwrap_or(0.0), one.laid.dx_px.unwrap_or(0.0));
        let moved = move_back_nearest(&one.nuclei, (dy, dx));
        let (top, left) = liveliest(&moved);
        let window = |nuclei: &Image<u32>| {
            overlay_labels(&enlarged(&light, top, left), &enlarged(nuclei, top, left))
        };
        let left = match one.laid.verdict.moves() {
            true => "",
            false => " (uncertain: left where it is)",
        };
        let title = format!("{} {dy:+.1}, {dx:+.1} px{left}", one.field);
        drawn.push((title, [window(&one.nuclei)?, window(&moved)?]));
    }
    let rows: Vec<(&str, Vec<&Image<[u8; 3]>>)> = drawn
        .iter()
        .map(|(title, pair)| (title.as_str(), pair.iter().collect()))
        .collect();
    let picture = sheet(&["as it was given", "moved back"], &rows);
    Ok(write::png_rgb(&path, &picture)?)
}

/// First corner of the window with most pixels in nuclei.
fn liveliest(nuclei: &Image<u32>) -> (usize, usize) {
    let (height, width) = nuclei.size();
    let steps = |length: usize| {
        let free = length.saturating_sub(SHOWN_SIDE);
        (0..=free).step_by(SHOWN_SIDE / 4)
    };
    let count = |top: usize, left: usize| {
        let rows = top..(top + SHOWN_SIDE).min(height);
        let columns = left..(left + SHOWN_SIDE).min(width);
        rows.flat_map(|y| &nuclei.row(y)[columns.clone()])
            .filter(|&&label| label != 0)
            .count()
    };
    let places = steps(height).flat_map(|top| steps(width).map(move |left| (top, left)));
    places
        .max_by_key(|&(top, left)| count(top, left))
        .unwrap_or((0, 0))
}

fn enlarged<T: Copy>(image: &Image<T>, top: usize, left: usize) -> Image<T> {
    let height = SHOWN_SIDE.min(image.height() - top);
    let width = SHOWN_SIDE.min(image.width() - left);
    Image::from_fn(height * ENLARGED, width * ENLARGED, |y, x| {
        image.get(top + y / ENLARGED, left + x / ENLARGED)
    })
}
