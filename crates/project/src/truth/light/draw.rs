//! A picture of the flat fields.

use stainfree_image::{Image, write};
use stainfree_report::{brightfield_picture, scale_down, sheet};

use super::PlateLight;
use crate::ProjectError;
use crate::study::Study;

/// Longest side of a flat field in the picture.
const SHOWN_SIDE: usize = 256;

/// `truth/illumination.png`: every flat field, with its range and whether it is used.
///
/// # Errors
/// The file cannot be written.
pub(super) fn draw(study: &Study, lights: &[PlateLight]) -> Result<(), ProjectError> {
    let picture = |light: &PlateLight| {
        let image = light.flat.image(light.size.0, light.size.1);
        let values = image.data().iter();
        let (low, high) = values.fold((f32::INFINITY, 0.0f32), |(l, h), &v| (l.min(v), h.max(v)));
        let used = if light.used { "used" } else { "not used" };
        let title = format!("{} {low:.2} to {high:.2} {used}", light.name());
        (title, scale_down(&brightfield_picture(&image), SHOWN_SIDE))
    };
    let drawn: Vec<(String, Image<[u8; 3]>)> = lights.iter().map(picture).collect();
    let rows: Vec<(&str, Vec<&Image<[u8; 3]>>)> = drawn
        .iter()
        .map(|(title, picture)| (title.as_str(), vec![picture]))
        .collect();
    let path = study.root().join("truth").join("illumination.png");
    Ok(write::png_rgb(&path, &sheet(&["relative light"], &rows))?)
}
