//! Truth from a cytoplasmic stain, and whole cells around nuclei.

use crate::components::Connectivity;
use crate::error::{ObjectsError, same_size};
use crate::settings::StainSettings;
use crate::stain::segment;
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
/// [`ObjectsError`] for an image without pixels, values that are not finite, or settings out of range.
pub fn segment_cytoplasm(
    stain: &Image<f32>,
    pixel_um: Option<f64>,
    settings: &StainSettings,
) -> Result<CytoplasmTruth, ObjectsError> {
    let found = segment(stain, pixel_um, settings)?;
    Ok(CytoplasmTruth {
        mask: found.mask,
        ignore: found.ignore,
        flat: found.flat,
        threshold: found.threshold,
        um_per_pixel: found.um_per_pixel,
        numbers: found.numbers,
        quality: found.quality,
    })
}

/// Whole cells: each nucleus grows into the cytoplasm that is nearest to it through the stain.
///
/// `nuclei` are labels, `cytoplasm` the cell area, `flat` the stain that parts neighbours where it is
/// dim. A cell bears the label of its nucleus and contains it. Cytoplasm without a nucleus stays 0.
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
    Ok(watershed(
        &flat.map(|&v| -v),
        nuclei,
        &area,
        Connectivity::Four,
    ))
}
