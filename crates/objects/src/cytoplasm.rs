//! Truth from a cytoplasmic stain, and whole cells around nuclei.

use crate::components::areas;
use crate::distance::edt;
use crate::error::{ObjectsError, same_size};
use crate::gaussian::gaussian;
use crate::labels::Connectivity;
use crate::settings::StainSettings;
use crate::stain::{Segmented, segment, segment_besides};
use crate::verdict::{StainNumbers, Verdict};
use crate::watershed::watershed;
use stainfree_image::Image;

/// What the cytoplasmic stain of a field says.
#[derive(Clone, Debug, PartialEq)]
pub struct CytoplasmTruth {
    /// Pixels of cells; the nuclei may be missing where the stain leaves them dark.
    pub mask: Image<bool>,
    /// Pixels near the edge on which the threshold decides by chance.
    pub ignore: Image<bool>,
    /// The smoothed stain above its background: the surface on which cells are parted.
    pub flat: Image<f32>,
    /// The threshold, in the stain's unit above its background.
    pub threshold: f32,
    /// um per pixel as given, or as estimated where none is known.
    pub um_per_pixel: f64,
    /// The numbers behind the verdicts.
    pub numbers: StainNumbers,
    /// What is wrong or worth knowing.
    pub quality: Vec<Verdict>,
}

/// Cell area of a stained field; start from [`StainSettings::cytoplasm`].
///
/// # Errors
/// [`ObjectsError`] for an image without pixels or without any finite value, or settings out of
/// range.
pub fn segment_cytoplasm(
    stain: &Image<f32>,
    pixel_um: Option<f64>,
    settings: &StainSettings,
) -> Result<CytoplasmTruth, ObjectsError> {
    segment(stain, pixel_um, settings).map(CytoplasmTruth::from)
}

/// [`segment_cytoplasm`] of a stain whose blank pixels are known ([`crate::blank_pixels`] of the
/// stain as it was read) and filled ([`crate::fill_blank`]).
///
/// # Errors
/// As [`segment_cytoplasm`].
pub fn segment_cytoplasm_besides(
    stain: &Image<f32>,
    blank: Option<&Image<bool>>,
    pixel_um: Option<f64>,
    settings: &StainSettings,
) -> Result<CytoplasmTruth, ObjectsError> {
    segment_besides(stain, blank, pixel_um, settings).map(CytoplasmTruth::from)
}

impl From<Segmented> for CytoplasmTruth {
    fn from(found: Segmented) -> Self {
        Self {
            mask: found.mask.to_mask(),
            ignore: found.ignore.to_mask(),
            flat: found.flat,
            threshold: found.threshold,
            um_per_pixel: found.um_per_pixel,
            numbers: found.numbers,
            quality: found.quality,
        }
    }
}

/// Weight of the distance to the nucleus against the stain where cells are parted. Between stain
/// alone and distance alone, 2 nucleus radii to a standard deviation of the stain's logarithm gave
/// the best cells on simulated plates.
const DISTANCE_WEIGHT: f64 = 2.0;

/// Blur of the stain before cells are parted, in nucleus radii: mitochondria are no borders between
/// cells.
const PARTING_BLUR: f64 = 0.15;

/// Whole cells: each nucleus grows into the cytoplasm that is nearest to it, through the stain.
///
/// `nuclei` are labels, `cytoplasm` the cell area, `flat` the stain that parts neighbours where it
/// is dim. A seeded watershed of the distance to the nearest nucleus minus the logarithm of the
/// smoothed stain: along the stain alone, a granular one would part cells at its grains. A cell
/// bears the label of its nucleus and contains it. Cytoplasm without a nucleus stays 0.
///
/// # Errors
/// [`ObjectsError::SizeMismatch`] if the images show different fields.
pub fn cells_from_nuclei(
    nuclei: &Image<u32>,
    cytoplasm: &Image<bool>,
    flat: &Image<f32>,
) -> Result<Image<u32>, ObjectsError> {
    same_size(
        "the nucleus labels",
        nuclei.size(),
        "the cytoplasm mask",
        cytoplasm.size(),
    )?;
    same_size(
        "the nucleus labels",
        nuclei.size(),
        "the cytoplasm stain",
        flat.size(),
    )?;
    let area = nuclei
        .data()
        .iter()
        .zip(cytoplasm.data())
        .map(|(&n, &c)| n != 0 || c)
        .collect();
    let area = Image::new(nuclei.height(), nuclei.width(), area);
    let radius = nucleus_radius_px(nuclei);
    let away = edt(&nuclei.map(|&n| n == 0));
    let mut surface = standardised_log(&gaussian(flat, PARTING_BLUR * radius), &area);
    for (s, &d) in surface.data_mut().iter_mut().zip(away.data()) {
        // Without any nucleus every distance is infinite, and there is nothing to grow.
        let distance = if d.is_finite() { d } else { 0.0 };
        *s = (DISTANCE_WEIGHT / radius) as f32 * distance - *s;
    }
    Ok(watershed(&surface, nuclei, &area, Connectivity::Four))
}

/// Radius of the disk of the nuclei's median area; 1 without nuclei.
fn nucleus_radius_px(nuclei: &Image<u32>) -> f64 {
    let mut sizes: Vec<usize> = areas(nuclei).into_values().collect();
    sizes.sort_unstable();
    sizes
        .get(sizes.len() / 2)
        .map_or(1.0, |&a| (a as f64 / std::f64::consts::PI).sqrt())
}

/// The logarithm of a stain in units of its standard deviation inside `area`.
fn standardised_log(stain: &Image<f32>, area: &Image<bool>) -> Image<f32> {
    let inside = || {
        stain
            .data()
            .iter()
            .zip(area.data())
            .filter(|&(_, &a)| a)
            .map(|(&v, _)| v)
    };
    let n = inside().count().max(1) as f64;
    // A tenth of the mean keeps the dimmest rims from deciding the deviation.
    let floor = (0.1 * inside().map(|v| f64::from(v.max(0.0))).sum::<f64>() / n) as f32;
    let floor = floor.max(f32::MIN_POSITIVE);
    let log = stain.map(|&v| (v.max(0.0) + floor).ln());
    let moment = |power: i32, around: f64| -> f64 {
        let inside = log.data().iter().zip(area.data()).filter(|&(_, &a)| a);
        inside
            .map(|(&v, _)| (f64::from(v) - around).powi(power))
            .sum::<f64>()
            / n
    };
    let deviation = moment(2, moment(1, 0.0)).sqrt();
    let scale = if deviation > 0.0 {
        1.0 / deviation
    } else {
        0.0
    };
    log.map(|&v| v * scale as f32)
}
