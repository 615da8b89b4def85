//! The common part of both stains: smooth, flatten, threshold, clean, and the ignore band.

use crate::background::{Enlarged, block_means, subtract_background};
use crate::bits::Bits;
use crate::blank::{blank_pixels, blank_regions, fill_blank};
use crate::components::label;
use crate::distance::edt;
use crate::error::ObjectsError;
use crate::footprint::Footprint;
use crate::gaussian::gaussian;
use crate::labels::Connectivity;
use crate::quantile::extremes;
use crate::reconstruct::h_maxima;
use crate::runs::{with_holes_filled, without_small};
use crate::settings::StainSettings;
use crate::threshold::{
    ObjectThreshold, Threshold, Zones, ground, li, local_gaussian, local_mean, otsu, otsu_log,
    triangle,
};
use crate::verdict::{
    StainNumbers, Stained, Verdict, Word, judge, measure, noise_level, noise_level_besides,
};
use rayon::prelude::*;
use stainfree_image::Image;
use stainfree_kernels::{Loops, vectorised};

/// Histogram bins of the global thresholds: fine enough that 16-bit stains lose nothing.
const BINS: usize = 1024;

/// The logarithm begins at this many times the noise. Used alone, Otsu must cut at the edge of the
/// nuclei: 30 scored best on the measured fields (10: three points of F1 less); none was held back.
const LOG_KNEE: f32 = 30.0;

/// As the floor of the per-object thresholds it must find dim nuclei instead: 3.
const FLOOR_KNEE: f32 = 3.0;

/// A local threshold never falls below this share of the global one, so that empty ground stays
/// empty.
const LOCAL_FLOOR: f32 = 0.5;

/// Where no pixel size is known, objects wider than this share of the field say none ..
const WIDEST_SHARE: f64 = 0.5;
/// .. if the field is of so many pixels at least.
const LEAST_SIDE: usize = 64;

/// What both stains give.
pub(crate) struct Segmented {
    pub(crate) mask: Bits,
    pub(crate) ignore: Bits,
    pub(crate) flat: Image<f32>,
    pub(crate) threshold: f32,
    pub(crate) um_per_pixel: f64,
    pub(crate) numbers: StainNumbers,
    pub(crate) quality: Vec<Verdict>,
}

/// Segments a stain in which blank pixels are yet to be found; see [`segment_besides`].
pub(crate) fn segment(
    stain: &Image<f32>,
    pixel_um: Option<f64>,
    settings: &StainSettings,
) -> Result<Segmented, ObjectsError> {
    let Some(blank) = blank_pixels(stain) else {
        return segment_besides(stain, None, pixel_um, settings);
    };
    let count = stain.data().iter().filter(|v| !v.is_finite()).count();
    if count == stain.data().len() && count > 0 {
        return Err(ObjectsError::NothingFinite { count });
    }
    if !blank.data().contains(&false) {
        // One value all over: a field without any nucleus.
        return segment_besides(&stain.map(|_| 0.0), None, pixel_um, settings);
    }
    segment_besides(&fill_blank(stain, &blank), Some(&blank), pixel_um, settings)
}

/// Segments a stain; `settings` decide everything, see [`StainSettings`]. Pixels that are `blank`
/// have been filled; they belong to no object, take no part in any statistic and are ignored.
pub(crate) fn segment_besides(
    stain: &Image<f32>,
    blank: Option<&Image<bool>>,
    pixel_um: Option<f64>,
    settings: &StainSettings,
) -> Result<Segmented, ObjectsError> {
    settings.check()?;
    let (height, width) = stain.size();
    if height == 0 || width == 0 {
        return Err(ObjectsError::NoPixels { height, width });
    }
    let largest = largest_of(stain)?;
    if let Some(value) = pixel_um.filter(|v| !(*v > 0.0 && v.is_finite())) {
        return Err(ObjectsError::PixelSize { value });
    }
    let blank_bits = blank
        .and_then(blank_regions)
        .map(|blank| Bits::from_mask(&blank));
    let noise = match blank {
        None => noise_level(stain),
        Some(blank) => noise_level_besides(stain, blank),
    };
    let mut quality = Vec::new();
    let um_per_pixel = match pixel_um {
        Some(um) => um,
        None => {
            let diameter = typical_diameter_px(stain, blank, noise);
            quality.push(Verdict {
                word: Word::Uncalibrated,
                value: diameter,
                limit: settings.typical_diameter_um,
                // Uneven light, or a single cell: either way no measure of the pixels.
                unusable: diameter > WIDEST_SHARE * height.min(width) as f64
                    && height.min(width) >= LEAST_SIDE,
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
        flat = subtract_background(flat, px(settings.background_um));
    }
    let (threshold, level) = threshold_levels(&flat, blank, noise, um_per_pixel, settings);
    let clean = |factor: f32| {
        let above = level.above(&flat, factor);
        let seen = match &blank_bits {
            None => above,
            Some(blank) => Bits::combined([&above, blank], |[m, blank]| m & !blank),
        };
        let mask = cleaned(seen, um_per_pixel, settings);
        match &blank_bits {
            // Closed gaps and filled holes may reach over.
            Some(blank) => Bits::combined([&mask, blank], |[m, blank]| m & !blank),
            None => mask,
        }
    };
    let (mask, ignore) = if settings.ignore_width_px > 0.0 && settings.ignore_margin > 0.0 {
        let margin = settings.ignore_margin as f32;
        let others = || rayon::join(|| clean(1.0 - margin), || clean(1.0 + margin));
        let (mask, (wider, narrower)) = rayon::join(|| clean(1.0), others);
        let ignore = uncertain(&mask, &wider, &narrower, settings.ignore_width_px);
        (mask, ignore)
    } else {
        (clean(1.0), Bits::empty(height, width))
    };
    drop(level);
    let ignore = match &blank_bits {
        None => ignore,
        Some(blank) => Bits::combined([&ignore, blank], |[i, blank]| i | blank),
    };
    let scene = Stained {
        raw: stain,
        largest,
        noise,
        flat: &flat,
        blank: blank_bits.as_ref(),
    };
    let numbers = measure(&scene, &mask, threshold);
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

/// The largest value of an image that holds numbers only.
fn largest_of(stain: &Image<f32>) -> Result<f32, ObjectsError> {
    const CHUNK: usize = 1 << 15;
    let chunks = stain.data().par_chunks(CHUNK);
    let found = chunks.map(|chunk| (vectorised(AllFinite(chunk)), extremes(chunk).1));
    let (all_finite, largest) = found.reduce(
        || (true, f32::NEG_INFINITY),
        |a, b| (a.0 && b.0, a.1.max(b.1)),
    );
    if !all_finite {
        let count = stain.data().iter().filter(|v| !v.is_finite()).count();
        return Err(ObjectsError::NotFinite { count });
    }
    Ok(largest)
}

struct AllFinite<'a>(&'a [f32]);

impl Loops for AllFinite<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let wrong = |any: u32, v: &f32| any | u32::from(!v.is_finite());
        self.0.iter().fold(0, wrong) == 0
    }
}

/// The mask with gaps closed, holes filled and specks dropped.
fn cleaned(mut mask: Bits, um_per_pixel: f64, settings: &StainSettings) -> Bits {
    if settings.closing_um > 0.0 {
        let disk = Footprint::Disk((settings.closing_um / um_per_pixel).round() as usize);
        mask = mask.dilated(disk).eroded(disk);
    }
    let area_px = |um2: f64| um2 / (um_per_pixel * um_per_pixel);
    if settings.max_hole_um2 > 0.0 {
        // A float beyond usize saturates, and means every hole.
        mask = with_holes_filled(mask, area_px(settings.max_hole_um2) as usize);
    }
    without_small(
        mask,
        min_area_px(um_per_pixel, settings),
        Connectivity::Four,
    )
}

/// Area below which objects are dropped, in pixels.
fn min_area_px(um_per_pixel: f64, settings: &StainSettings) -> usize {
    (settings.min_area_um2 / (um_per_pixel * um_per_pixel)).ceil() as usize
}

/// Takes away the light that every pixel spreads around it: `share` of a Gaussian of `sigma`
/// pixels.
///
/// The blur is made on block means, half a sigma wide, so that its cost does not grow with it: they
/// widen it by a hundredth.
fn without_haze(mut image: Image<f32>, sigma: f64, share: f64) -> Image<f32> {
    if !(share > 0.0 && sigma > 0.0) {
        return image;
    }
    let side = ((sigma / 2.0) as usize).max(1);
    let (height, width) = image.size();
    let blurred = gaussian(&block_means(&image, side), sigma / side as f64);
    Enlarged::new(&blurred, height, width).for_each(&mut image, |v, b| *v -= share as f32 * b);
    image
}

/// One threshold for the field, one for every object, or one for every pixel.
enum Level {
    Global(f32),
    Objects(Zones),
    Local {
        surrounding: Image<f32>,
        floor: f32,
        factor: f32,
    },
}

impl Level {
    /// The mask at `factor` times the threshold.
    fn above(&self, flat: &Image<f32>, factor: f32) -> Bits {
        let (height, width) = flat.size();
        match self {
            Level::Global(t) => {
                let t = t * factor;
                Bits::from_rows(height, width, |y, flags| {
                    vectorised(Above {
                        flags,
                        values: flat.row(y),
                        threshold: t,
                    });
                })
            }
            Level::Objects(zones) => zones.above(flat, factor),
            Level::Local {
                surrounding,
                floor,
                factor: own,
            } => Bits::from_rows(height, width, |y, flags| {
                let values = flat.row(y).iter().zip(surrounding.row(y));
                for (f, (&v, &s)) in flags.iter_mut().zip(values) {
                    *f = v > (s * own).max(*floor) * factor;
                }
            }),
        }
    }
}

/// Flags of the values above a threshold.
struct Above<'a> {
    flags: &'a mut [bool],
    values: &'a [f32],
    threshold: f32,
}

impl Loops for Above<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let places = self.flags.iter_mut().zip(self.values);
        places.for_each(|(f, &v)| *f = v > self.threshold);
    }
}

/// The global threshold (for local methods: their floor), and the level to cut at.
fn threshold_levels(
    flat: &Image<f32>,
    blank: Option<&Image<bool>>,
    noise: f32,
    um_per_pixel: f64,
    settings: &StainSettings,
) -> (f32, Level) {
    let seen = blank.map(|blank| seen_values(flat, blank));
    let values = seen.as_deref().unwrap_or(flat.data());
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
            let method = ObjectThreshold {
                floor: global,
                knee: noise * FLOOR_KNEE,
                smoothing: settings.object_smoothing_um / um_per_pixel,
                share: settings.object_share as f32,
                factor,
                min_area: min_area_px(um_per_pixel, settings),
            };
            Level::Objects(method.zones(flat))
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

/// The values of the pixels that are not blank.
fn seen_values(image: &Image<f32>, blank: &Image<bool>) -> Vec<f32> {
    let pairs = image.data().iter().zip(blank.data());
    pairs
        .filter(|&(_, &blank)| !blank)
        .map(|(&v, _)| v)
        .collect()
}

/// Pixels near the mask's edge that a lower threshold adds or a higher one takes away.
fn uncertain(mask: &Bits, wider: &Bits, narrower: &Bits, width_px: f64) -> Bits {
    // Inside, the edge is near where something outside is; outside, where the mask is.
    let outside = mask.inverse().within(width_px);
    let inside = mask.within(width_px);
    let words =
        |[m, wide, narrow, outside, inside]: [u64; 5]| m & !narrow & outside | wide & !m & inside;
    Bits::combined([mask, wider, narrower, &outside, &inside], words)
}

/// Diameter of the objects in an image of unknown pixel size, in pixels.
///
/// Objects may touch, so their width is measured, not the area of what hangs together: on a first,
/// plain mask (Gaussian of 1 px, Otsu on logarithms) every distinct top of the distance transform
/// is the half-width of one object. The median, weighted by area so that specks do not count, is
/// turned into a diameter. An image without objects gives 14 px: the settings then read as one um a
/// pixel.
fn typical_diameter_px(stain: &Image<f32>, blank: Option<&Image<bool>>, noise: f32) -> f64 {
    /// Below this half-width a top is noise at any magnification that shows nuclei.
    const SPECK: f32 = 2.5;
    /// Two tops are two objects if the neck between them is narrower by a tenth (in logarithms).
    const NECK: f32 = 0.1;
    /// Diameter of the disk of the same area over the width of an ellipse half as long again as
    /// wide.
    const ROUND: f64 = 1.2;
    const NOTHING_SEEN: f64 = 14.0;
    let window = (stain.height().max(stain.width()) as f64 / 4.0).max(64.0);
    let flat = subtract_background(gaussian(stain, 1.0), window);
    let seen = blank.map(|blank| seen_values(&flat, blank));
    let values = seen.as_deref().unwrap_or(flat.data());
    let Some(t) = otsu_log(values, noise * LOG_KNEE, BINS) else {
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
