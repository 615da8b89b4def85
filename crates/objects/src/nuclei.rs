//! Truth from a nuclear stain.

use crate::error::ObjectsError;
use crate::settings::StainSettings;
use crate::splitting::{Seen, pieces_of};
use crate::stain::{Segmented, segment, segment_besides};
use crate::verdict::{StainNumbers, Verdict};
use stainfree_image::Image;

/// What the nuclear stain of a field says.
#[derive(Clone, Debug, PartialEq)]
pub struct NucleiTruth {
    /// Pixels of nuclei.
    pub mask: Image<bool>,
    /// The nuclei, touching ones separated; the same pixels as `mask`, 0 = background.
    pub labels: Image<u32>,
    /// Number of nuclei.
    pub count: usize,
    /// Pixels near the edge on which the threshold decides by chance: neither train nor score.
    pub ignore: Image<bool>,
    /// The threshold, in the stain's unit above its background.
    pub threshold: f32,
    /// um per pixel as given, or as estimated from the nuclei where none is known.
    pub um_per_pixel: f64,
    /// The numbers behind the verdicts.
    pub numbers: StainNumbers,
    /// What is wrong or worth knowing; empty for a good, calibrated field.
    pub quality: Vec<Verdict>,
}

/// Nuclei of a stained field.
///
/// `stain` is `[height, width]` in any unit; `pixel_um` is the side of a pixel, `None` where
/// unknown. A field without nuclei is no error: its mask is empty and a verdict says so.
/// Pixels that show nothing ([`crate::blank_pixels`]) are ignored and take part in no statistic.
///
/// # Errors
/// [`ObjectsError`] for an image without pixels or without any finite value, or settings out of
/// range.
pub fn segment_nuclei(
    stain: &Image<f32>,
    pixel_um: Option<f64>,
    settings: &StainSettings,
) -> Result<NucleiTruth, ObjectsError> {
    Ok(parted(segment(stain, pixel_um, settings)?, settings))
}

/// [`segment_nuclei`] of a stain whose blank pixels are known ([`crate::blank_pixels`] of the stain
/// as it was read) and filled ([`crate::fill_blank`]).
///
/// # Errors
/// As [`segment_nuclei`].
pub fn segment_nuclei_besides(
    stain: &Image<f32>,
    blank: Option<&Image<bool>>,
    pixel_um: Option<f64>,
    settings: &StainSettings,
) -> Result<NucleiTruth, ObjectsError> {
    Ok(parted(
        segment_besides(stain, blank, pixel_um, settings)?,
        settings,
    ))
}

fn parted(found: Segmented, settings: &StainSettings) -> NucleiTruth {
    let seen = Seen {
        stain: Some(&found.flat),
        classes: None,
        distances: None,
        flow: None,
        um_per_pixel: found.um_per_pixel,
    };
    let pieces = pieces_of(&found.mask, seen, &settings.splitting);
    let labels = pieces.painted(emptied(found.flat));
    NucleiTruth {
        mask: found.mask.to_mask(),
        labels: labels.image,
        count: labels.count,
        ignore: found.ignore.to_mask(),
        threshold: found.threshold,
        um_per_pixel: found.um_per_pixel,
        numbers: found.numbers,
        quality: found.quality,
    }
}

/// An image of zeros in the memory that the stain had.
fn emptied(stain: Image<f32>) -> Image<u32> {
    let (height, width) = stain.size();
    // Values of the same size are collected where they are.
    let zeros = stain.into_data().into_iter().map(|_| 0).collect();
    Image::new(height, width, zeros)
}
