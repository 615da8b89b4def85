//! The common part of both stains: smooth, flatten, threshold, clean, and the ignore band.

use crate::background::{block_means, enlarge, subtract_background};
use crate::components::{Connectivity, label, remove_small_objects};
use crate::distance::edt;
use crate::error::ObjectsError;
use crate::gaussian::gaussian;
use crate::holes::fill_holes_below;
use crate::morphology::{Footprint, close};
use crate::reconstruct::h_maxima;
use crate::settings::StainSettings;
use crate::threshold::{
    Threshold, ground, li, local_gaussian, local_mean, object_thresholds, otsu, otsu_log, triangle,
};
use crate::verdict::{StainNumbers, Verdict, Word, judge, measure, noise_level};
use stainfree_image::Image;

/// Histogram bins of the global thresholds: fine enough that 16-bit stains lose nothing.
const BINS: usize = 1024;

/// The logarithm begins at this many times the noise. Used alone, Otsu must cut at the edge of the
/// nuclei: 30 scored best on the measured fields (10: three points of F1 less); none was held back.
const LOG_KNEE: f32 = 30.0;

/// As the floor of the per-object thresholds it must find dim nuclei instead: 3.
const FLOOR_KNEE: f32 = 3.0;

/// A local threshold never falls below this share of the global one, so that empty ground stays empty.
const LOCAL_FLOOR: f32 = 0.5;

/// What both stains give.
pub(crate) struct Segmented {
    pub(crate) mask: Image<bool>,
    pub(crate) ignore: Image<bool>,
    pub(crate) flat: Image<f32>,
    pub(crate) threshold: f32,
    pub(crate) um_per_pixel: f64,
    pub(crate) numbers: StainNumbers,
    pub(crate) quality: Vec<Verdict>,
}

/// Segments a stain; `settings` decide everything, see [`StainSettings`].
pub(crate) fn segment(
    stain: &Image<f32>,
    pixel_um: Option<f64>,
    settings: &StainSettings,
) -> Result<Segmented, ObjectsError> {
    settings.check()?;
    let (height, width) = stain.size();
    if height == 0 || width == 0 {
        return Err(ObjectsError::NoPixels { height, width });
    }
    let count = stain.data().iter().filter(|v| !v.is_finite()).count();
    if count > 0 {
        return Err(ObjectsError::NotFinite { count });
    }
    if let Some(value) = pixel_um.filter(|v| !(*v > 0.0 && v.is_finite())) {
        return Err(ObjectsError::PixelSize { value });
    }
    let noise = noise_level(stain);
    let mut quality = Vec::new();
    let um_per_pixel = match pixel_um {
        Some(um) => um,
        None => {
            let diameter = typical_diameter_px(stain, noise);
            quality.push(Verdict {
                word: Word::Uncalibrated,
                value: diameter,
                limit: settings.typical_diameter_um,
                unusable: false,
                reason: format!(
                    "no pixel size: objects of {diameter:.1} px are taken to be {} um across",
                    settings.typical_diameter_um
                ),
            });
            settings.typical_diameter_um / diameter
        }
    };
    let px = |um: f64| um / um_per_pixel;
    let mut flat = gaussian(stain, px(settings.smoothing_um));
    flat = without_haze(flat, px(settings.haze_um), settings.haze_share);
    if settings.background_um > 0.0 {
        flat = subtract_background(&flat, px(settings.background_um));
    }
    let (threshold, level) = threshold_levels(&flat, noise, um_per_pixel, settings);
    let clean = |factor: f32| -> Image<bool> {
        let mut mask = level.above(&flat, factor);
        if settings.closing_um > 0.0 {
            mask = close(
                &mask,
                Footprint::Disk(px(settings.closing_um).round() as usize),
            );
        }
        let area_px = |um2: f64| um2 / (um_per_pixel * um_per_pixel);
        if settings.max_hole_um2 > 0.0 {
            // A float beyond usize saturates, and means every hole.
            mask = fill_holes_below(&mask, area_px(settings.max_hole_um2) as usize);
        }
        remove_small_objects(
            &mask,
            area_px(settings.min_area_um2).ceil() as usize,
            Connectivity::Four,
        )
    };
    let mask = clean(1.0);
    let ignore = if settings.ignore_width_px > 0.0 && settings.ignore_margin > 0.0 {
        let margin = settings.ignore_margin as f32;
        uncertain(
            &mask,
            &clean(1.0 - margin),
            &clean(1.0 + margin),
            settings.ignore_width_px,
        )
    } else {
        Image::filled(height, width, false)
    };
    let numbers = measure(stain, &flat, &mask, threshold, noise);
    quality.extend(judge(&numbers, um_per_pixel, &settings.quality));
    Ok(Segmented {
        mask,
        ignore,
        flat,
        threshold,
        um_per_pixel,
        numbers,
        quality,
    })
}

/// Takes away the light that every pixel spreads around it: `share` of a Gaussian of `sigma` pixels.
///
/// The blur is made on block means, a fraction of the sigma wide, so that its cost does not grow with it.
fn without_haze(mut image: Image<f32>, sigma: f64, share: f64) -> Image<f32> {
    if !(share > 0.0 && sigma > 0.0) {
        return image;
    }
    let side = ((sigma / 4.0) as usize).max(1);
    let (height, width) = image.size();
    let blurred = gaussian(&block_means(&image, side), sigma / side as f64);
    let blurred = enlarge(&blurred, height, width);
    for (v, &b) in image.data_mut().iter_mut().zip(blurred.data()) {
        *v -= share as f32 * b;
    }
    image
}

/// One threshold for the field, or one for every pixel.
enum Level {
    Global(f32),
    Local {
        surrounding: Image<f32>,
        floor: f32,
        factor: f32,
    },
}

impl Level {
    /// The mask at `factor` times the threshold.
    fn above(&self, flat: &Image<f32>, factor: f32) -> Image<bool> {
        match self {
            Level::Global(t) => {
                let t = t * factor;
                flat.map(|&v| v > t)
            }
            Level::Local {
                surrounding,
                floor,
                factor: own,
            } => {
                let above = |(&v, &s): (&f32, &f32)| v > (s * own).max(*floor) * factor;
                let flags = flat
                    .data()
                    .iter()
                    .zip(surrounding.data())
                    .map(above)
                    .collect();
                Image::new(flat.height(), flat.width(), flags)
            }
        }
    }
}

/// The global threshold (for local methods: their floor), and the level to cut at.
fn threshold_levels(
    flat: &Image<f32>,
    noise: f32,
    um_per_pixel: f64,
    settings: &StainSettings,
) -> (f32, Level) {
    let values = flat.data();
    let factor = settings.threshold_factor as f32;
    // A constant field has no threshold: nothing lies above its own value.
    let constant = values.first().copied().unwrap_or(0.0);
    let log = |knee: f32| otsu_log(values, noise * knee, BINS).unwrap_or(constant);
    let global = match settings.threshold {
        Threshold::Otsu => otsu(values, BINS).unwrap_or(constant),
        Threshold::Li => li(values).unwrap_or(constant),
        Threshold::Triangle => triangle(values, BINS).unwrap_or(constant),
        Threshold::Ground => ground(values).unwrap_or(constant),
        Threshold::OtsuLog => log(LOG_KNEE),
        Threshold::Object => log(FLOOR_KNEE),
        Threshold::LocalMean | Threshold::LocalGaussian => log(LOG_KNEE) * LOCAL_FLOOR,
    } * factor;
    let radius_px = (settings.local_radius_um / um_per_pixel).round().max(1.0) as usize;
    let level = match settings.threshold {
        Threshold::Object => {
            let smoothing = settings.object_smoothing_um / um_per_pixel;
            let share = settings.object_share as f32;
            let surrounding = object_thresholds(flat, global, noise * FLOOR_KNEE, smoothing, share);
            Level::Local {
                surrounding,
                floor: global,
                factor,
            }
        }
        Threshold::LocalMean => Level::Local {
            surrounding: local_mean(flat, radius_px),
            floor: global,
            factor,
        },
        Threshold::LocalGaussian => Level::Local {
            surrounding: local_gaussian(flat, radius_px),
            floor: global,
            factor,
        },
        _ => Level::Global(global),
    };
    (global, level)
}

/// Pixels near the mask's edge that a lower threshold adds or a higher one takes away.
fn uncertain(
    mask: &Image<bool>,
    wider: &Image<bool>,
    narrower: &Image<bool>,
    width_px: f64,
) -> Image<bool> {
    let (height, width) = mask.size();
    let reach = width_px as isize;
    let offsets: Vec<(isize, isize)> = (-reach..=reach)
        .flat_map(|dy| (-reach..=reach).map(move |dx| (dy, dx)))
        .filter(|&(dy, dx)| ((dy * dy + dx * dx) as f64) <= width_px * width_px)
        .collect();
    // Few pixels change sides: only around those is the edge looked for.
    let near_edge = |y: usize, x: usize, m: bool| {
        offsets.iter().any(|&(dy, dx)| {
            let (Some(ny), Some(nx)) = (y.checked_add_signed(dy), x.checked_add_signed(dx)) else {
                return false;
            };
            ny < height && nx < width && mask.get(ny, nx) != m
        })
    };
    let mut out = Image::filled(height, width, false);
    for y in 0..height {
        let (masked, wide, narrow) = (mask.row(y), wider.row(y), narrower.row(y));
        for (x, o) in out.row_mut(y).iter_mut().enumerate() {
            let m = masked[x];
            let changes = if m { !narrow[x] } else { wide[x] };
            *o = changes && near_edge(y, x, m);
        }
    }
    out
}

/// Diameter of the objects in an image of unknown pixel size, in pixels.
///
/// Objects may touch, so their width is measured, not the area of what hangs together: on a first,
/// plain mask (Gaussian of 1 px, Otsu on logarithms) every distinct top of the distance transform is
/// the half-width of one object. The median, weighted by area so that specks do not count, is turned
/// into a diameter. An image without objects gives 14 px: the settings then read as one um a pixel.
fn typical_diameter_px(stain: &Image<f32>, noise: f32) -> f64 {
    /// Below this half-width a top is noise at any magnification that shows nuclei.
    const SPECK: f32 = 2.5;
    /// Two tops are two objects if the neck between them is narrower by a tenth (in logarithms).
    const NECK: f32 = 0.1;
    /// Diameter of the disk of the same area over the width of an ellipse half as long again as wide.
    const ROUND: f64 = 1.2;
    const NOTHING_SEEN: f64 = 14.0;
    let window = (stain.height().max(stain.width()) as f64 / 4.0).max(64.0);
    let flat = subtract_background(&gaussian(stain, 1.0), window);
    let Some(t) = otsu_log(flat.data(), noise * LOG_KNEE, BINS) else {
        return NOTHING_SEEN;
    };
    let widths = gaussian(&edt(&flat.map(|&v| v > t)), 1.0);
    let tops = h_maxima(&widths.map(|&d| d.max(1.0).ln()), NECK, Connectivity::Eight);
    let tops = label(&tops, Connectivity::Eight);
    let mut height = vec![0f32; tops.count + 1];
    for (&l, &d) in tops.image.data().iter().zip(widths.data()) {
        height[l as usize] = height[l as usize].max(d);
    }
    let mut heights = height.split_off(1);
    heights.retain(|&d| d >= SPECK);
    heights.sort_unstable_by(f32::total_cmp);
    let area = |d: f32| f64::from(d) * f64::from(d);
    let half = heights.iter().map(|&d| area(d)).sum::<f64>() / 2.0;
    let mut seen = 0.0;
    for d in heights {
        seen += area(d);
        if seen >= half {
            return 2.0 * ROUND * f64::from(d);
        }
    }
    NOTHING_SEEN
}
