//! Truth from a nuclear stain, and clean-up of predicted nuclei.

use crate::components::remove_small_objects;
use crate::error::ObjectsError;
use crate::holes::fill_holes;
use crate::labels::{Connectivity, Labels};
use crate::scheme::{BOUNDARY, NUCLEUS, SPLIT};
use crate::settings::StainSettings;
use crate::splitting::{Boundary, Distance, Scene, Seen, Splitting, pieces_of, split};
use crate::stain::{Segmented, segment, segment_besides};
use crate::verdict::{StainNumbers, Verdict};
use serde::{Deserialize, Serialize};
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

/// How predicted nuclei are cleaned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CleanUp {
    /// Fill holes of nuclei.
    pub fill_holes: bool,
    /// Nuclei below this area are dropped, in um2.
    pub min_area_um2: f64,
    /// The same in pixels, for fields without a pixel size.
    pub min_area_px: usize,
    /// How touching nuclei are separated; needs a pixel size, without one the components stay
    /// whole.
    pub splitting: Splitting,
}

impl Default for CleanUp {
    fn default() -> Self {
        Self {
            fill_holes: true,
            min_area_um2: 12.0,
            min_area_px: 30,
            // Rougher than for stains: predicted outlines wobble. Chosen on the validation fields
            // of celldetective, object F1 at 0.5 without splitting 0.13, (0.6, 0.3) 0.32, (1, 0.5)
            // 0.34, (1.5, 0.5) 0.34.
            splitting: Splitting::Distance(Distance {
                smoothing_um: 1.0,
                depth_um: 0.5,
            }),
        }
    }
}

/// Nucleus instances of a predicted nucleus mask (the pixels of the nucleus class).
///
/// # Errors
/// [`ObjectsError::PixelSize`] or [`ObjectsError::Setting`] for values out of range.
pub fn nuclei_from_prediction(
    nuclei: &Image<bool>,
    pixel_um: Option<f64>,
    settings: &CleanUp,
) -> Result<Labels, ObjectsError> {
    let mask = cleaned(nuclei, pixel_um, settings)?;
    match pixel_um {
        Some(um) => split(&Scene::of_mask(&mask, um), &settings.splitting),
        None => split(&Scene::of_mask(&mask, 1.0), &Splitting::None),
    }
}

/// Nucleus instances of a predicted scheme B class mask, parted by its own lines.
///
/// Boundary and split are taken to lie inside the nuclei ([`crate::LinePlacement::Inside`], the
/// default): a nucleus is its inside and the lines nearest to it. `settings.splitting` is not used.
///
/// # Errors
/// [`ObjectsError::PixelSize`] or [`ObjectsError::Setting`] for values out of range.
pub fn nuclei_from_scheme_b(
    classes: &Image<u8>,
    pixel_um: Option<f64>,
    settings: &CleanUp,
) -> Result<Labels, ObjectsError> {
    let nuclei = classes.map(|&c| c == NUCLEUS || c == BOUNDARY || c == SPLIT);
    let mask = cleaned(&nuclei, pixel_um, settings)?;
    // Without a pixel size the smallest inside follows from the smallest nucleus.
    let um = pixel_um
        .unwrap_or_else(|| (settings.min_area_um2 / settings.min_area_px.max(1) as f64).sqrt());
    let scene = Scene {
        classes: Some(classes),
        ..Scene::of_mask(&mask, if um > 0.0 { um } else { 1.0 })
    };
    split(&scene, &Splitting::Boundary(Boundary::default()))
}

/// The mask with holes filled and specks dropped.
fn cleaned(
    nuclei: &Image<bool>,
    pixel_um: Option<f64>,
    settings: &CleanUp,
) -> Result<Image<bool>, ObjectsError> {
    if let Some(value) = pixel_um.filter(|v| !(*v > 0.0 && v.is_finite())) {
        return Err(ObjectsError::PixelSize { value });
    }
    if !(settings.min_area_um2 >= 0.0) {
        let value = settings.min_area_um2;
        return Err(ObjectsError::Setting {
            setting: "min_area_um2",
            value,
            range: "0 or more",
        });
    }
    let filled = if settings.fill_holes {
        fill_holes(nuclei)
    } else {
        nuclei.clone()
    };
    let min_area = pixel_um.map_or(settings.min_area_px, |um| {
        (settings.min_area_um2 / (um * um)).ceil() as usize
    });
    Ok(remove_small_objects(&filled, min_area, Connectivity::Four))
}
