//! A page of a file as labels or as a class mask.

use std::path::Path;

use crate::format::{Pixels, Purpose, read_pixels, read_pixels_of};
use crate::{Image, ImageError, Region};

/// As [`crate::read_labels`], from a page of the file.
pub(crate) fn labels_of(path: &Path, page: usize) -> Result<Image<u32>, ImageError> {
    labels_from(path, read_pixels(path, page, Purpose::Numbers)?)
}

/// A window of a file of labels of one page; a class mask is read so, too.
///
/// # Errors
/// As [`crate::read_labels`]; [`ImageError::Misuse`] if the window leaves the image or is empty.
pub fn read_labels_region(path: &Path, region: Region) -> Result<Image<u32>, ImageError> {
    labels_from(path, read_pixels_of(path, 0, region)?)
}

fn labels_from(path: &Path, pixels: Pixels) -> Result<Image<u32>, ImageError> {
    pixels
        .into_integers()
        .map_err(|value| ImageError::WrongContent {
            path: path.to_path_buf(),
            expected: "labels",
            found: format!("it has the value `{value}`, and labels are whole numbers from 0"),
            way_out: "give label images, or intensities as images".into(),
        })
}

/// As [`crate::read_class_mask`], from a page of the file.
pub(crate) fn class_mask_of(path: &Path, page: usize) -> Result<Image<u8>, ImageError> {
    let wrong = |value: String, way_out: &str| ImageError::WrongContent {
        path: path.to_path_buf(),
        expected: "a class mask",
        found: format!("it has the value `{value}`, and classes are whole numbers from 0 to 255"),
        way_out: way_out.into(),
    };
    let values = read_pixels(path, page, Purpose::Numbers)?
        .into_integers()
        .map_err(|value| wrong(value, "give class masks, or intensities as images"))?;
    match values.data().iter().find(|&&value| value > 255) {
        Some(value) => Err(wrong(
            value.to_string(),
            "if these are instance labels, give them as labels",
        )),
        None => Ok(values.map(|&value| value as u8)),
    }
}
