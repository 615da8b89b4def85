//! A picture of stains as they lay and as they were moved back.

use stainfree_image::{Image, read_labels};
use stainfree_report::{brightfield_picture, overlay_labels, sheet};

use super::Shifts;
use crate::ProjectError;
use crate::study::disk::remove;
use crate::study::fields::FieldRow;
use crate::study::{Source, Study};
use crate::truth::stain::Stain;

/// Groups shown in the picture of the shifts.
const SHOWN: usize = 6;
/// Side of what is shown of a field, pixels: a shift of a pixel or two can be seen.
const SHOWN_SIDE: usize = 200;
/// Enlargement of it.
const ENLARGED: usize = 2;

/// `truth/shifts.png`: the nuclei of one field of some groups as the stain lay, and as it was moved
/// back.
///
/// Called when the truth of all fields is written; fields that cannot be read are left out.
pub(crate) fn draw(
    study: &Study,
    source: &Source,
    shifts: &Shifts,
    rows: &[FieldRow],
) -> Result<(), ProjectError> {
    let fields = source.by_name();
    let mut groups: Vec<&str> = Vec::new();
    let mut drawn: Vec<(String, [Image<[u8; 3]>; 2])> = Vec::new();
    for row in rows.iter().filter(|row| row.is_usable()) {
        let Some(field) = fields.get(row.name.as_str()) else {
            continue;
        };
        let Some(shift) = shifts.of(field, Stain::Nucleus) else {
            continue;
        };
        if groups.contains(&row.group.as_str()) || drawn.len() == SHOWN {
            continue;
        }
        let (Ok(planes), Ok(nuclei)) = (
            source.brightfield.read(field),
            read_labels(&study.nuclei_path(&field.name)),
        ) else {
            continue;
        };
        groups.push(&row.group);
        let light = brightfield_picture(&planes[planes.len() / 2].to_f32());
        let (height, width) = light.size();
        let (h, w) = (height.min(SHOWN_SIDE), width.min(SHOWN_SIDE));
        let (top, left) = ((height - h) / 2, (width - w) / 2);
        let window = |nuclei: &Image<u32>| -> Result<Image<[u8; 3]>, ProjectError> {
            let large = |y: usize, x: usize| (top + y / ENLARGED, left + x / ENLARGED);
            let picture = Image::from_fn(h * ENLARGED, w * ENLARGED, |y, x| {
                let (y, x) = large(y, x);
                light.get(y, x)
            });
            let labels = Image::from_fn(h * ENLARGED, w * ENLARGED, |y, x| {
                let (y, x) = large(y, x);
                nuclei.get(y, x)
            });
            Ok(overlay_labels(&picture, &labels)?)
        };
        // As the stain lay: to whole pixels, which is enough for the eye.
        let (dy, dx) = (shift.dy_px.round() as isize, shift.dx_px.round() as isize);
        let before = Image::from_fn(height, width, |y, x| {
            let (y, x) = (y as isize - dy, x as isize - dx);
            let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
            if inside {
                nuclei.get(y as usize, x as usize)
            } else {
                0
            }
        });
        let title = format!("{} {:+.1}, {:+.1} px", field.name, shift.dy_px, shift.dx_px);
        drawn.push((title, [window(&before)?, window(&nuclei)?]));
    }
    let path = study.root().join("truth").join("shifts.png");
    if drawn.is_empty() {
        // That of an earlier run shows what is no longer so.
        return remove(&path);
    }
    let rows: Vec<(&str, Vec<&Image<[u8; 3]>>)> = drawn
        .iter()
        .map(|(title, pair)| (title.as_str(), pair.iter().collect()))
        .collect();
    Ok(stainfree_image::write::png_rgb(
        &path,
        &sheet(&["as the stain lay", "moved back"], &rows),
    )?)
}
