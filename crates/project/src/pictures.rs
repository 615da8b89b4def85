//! Pictures for checking by eye: brightfield with classes drawn on it.

use stainfree_image::Image;
use stainfree_network::train::Picture;
use stainfree_report::{
    Rgb, brightfield_picture, class_colors, encode_png, overlay_classes, scale_down, sheet,
};

use crate::ProjectError;

/// `brightfield` as a grey picture with the classes of `mask` drawn over it.
///
/// # Errors
/// The two differ in size.
pub(crate) fn overlay(
    brightfield: &Image<f32>,
    mask: &Image<u8>,
    classes: &[String],
) -> Result<Image<[u8; 3]>, ProjectError> {
    Ok(overlay_classes(
        &brightfield_picture(brightfield),
        mask,
        &class_colors(classes),
    )?)
}

/// Sides of each half of a [`cover`].
const COVER: usize = 256;

/// A small PNG, twice as wide as high: the middle of `brightfield` alone, and with the classes of
/// `mask` drawn over it.
///
/// # Errors
/// The two differ in size, or hold no pixel.
pub(crate) fn cover(
    brightfield: &Image<f32>,
    mask: &Image<u8>,
    classes: &[String],
) -> Result<Vec<u8>, ProjectError> {
    let halves = [
        brightfield_picture(brightfield),
        overlay(brightfield, mask, classes)?,
    ];
    let side = brightfield.height().min(brightfield.width());
    let [top, left] = [brightfield.height(), brightfield.width()].map(|n| (n - side) / 2);
    let halves = halves.map(|half| scale_down(&half.crop(top, left, side, side), COVER));
    let side = halves[0].width();
    let picture = Image::from_fn(side, 2 * side, |y, x| halves[x / side].get(y, x % side));
    Ok(encode_png(&picture)?)
}

/// A colour for every class, the background's first.
pub(crate) fn class_colours(classes: &[String]) -> Vec<[u8; 3]> {
    class_colors(classes)
}

/// What the colours of [`overlay`] mean.
pub(crate) fn class_legend(classes: &[String]) -> Vec<(Rgb, &str)> {
    let colours = class_colors(classes);
    let named = classes.iter().map(String::as_str);
    colours.into_iter().zip(named).skip(1).collect()
}

/// One picture of validation windows: brightfield, truth and prediction side by side; `None`
/// without any.
///
/// # Errors
/// Parts of a window differ in size.
pub(crate) fn training_sheet(
    windows: &[Picture],
    classes: &[String],
) -> Result<Option<Image<[u8; 3]>>, ProjectError> {
    let colours = class_colors(classes);
    let mut drawn = Vec::new();
    for window in windows {
        let grey = brightfield_picture(&window.input);
        let truth = overlay_classes(&grey, &window.truth, &colours)?;
        let prediction = overlay_classes(&grey, &window.prediction, &colours)?;
        drawn.push((window.name.as_str(), [grey, truth, prediction]));
    }
    let rows: Vec<(&str, Vec<&Image<[u8; 3]>>)> = drawn
        .iter()
        .map(|(name, pictures)| (*name, pictures.iter().collect()))
        .collect();
    Ok((!rows.is_empty()).then(|| sheet(&["brightfield", "truth", "prediction"], &rows)))
}
