//! Nuclei from what a network says of a field, by a rule.
//!
//! The rule has every decision between the network's numbers and labels: from which probability on
//! a pixel is a nucleus', how outlines are smoothed, what is parted and what is dropped. The
//! default is for networks that nothing is known of; better rules are chosen on fields with truth.

mod rows;

pub use rows::{NucleiRows, RowsDone, RowsField};

use crate::components::{relabel_consecutive, remove_small_objects, retain};
use crate::error::{ObjectsError, same_size};
use crate::gaussian::gaussian;
use crate::holes::{fill_holes, fill_holes_below};
use crate::labels::{Connectivity, Labels};
use crate::scheme::{BOUNDARY, NUCLEUS, SPLIT};
use crate::splitting::{Boundary, Distance, Distances, Scene, Splitting, split};
use serde::{Deserialize, Serialize};
use stainfree_image::Image;
use std::collections::HashMap;

/// Between a network's numbers and nuclei: all decisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NucleusRule {
    /// Probability above which a pixel is a nucleus'; `None`, and for classes of scheme B: where no
    /// other class has a larger one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Standard deviation of the Gaussian on the probability before the threshold, in um.
    pub smoothing_um: f64,
    /// Holes up to this area are filled, in um2; all where the pixel size is unknown.
    pub max_hole_um2: f64,
    /// Nuclei below this area are dropped, in um2.
    pub min_area_um2: f64,
    /// The same in pixels, for fields without a pixel size.
    pub min_area_px: usize,
    /// Nuclei whose predicted distance nowhere reaches this are dropped.
    pub least_distance: f64,
    /// How touching nuclei are separated. By shape that needs a pixel size, and without one the
    /// components stay whole.
    pub splitting: Splitting,
}

impl Default for NucleusRule {
    fn default() -> Self {
        Self {
            threshold: None,
            smoothing_um: 0.0,
            // Half a usual nucleus: what nuclei of a sheet enclose is no hole of one.
            max_hole_um2: 75.0,
            min_area_um2: 12.0,
            min_area_px: 30,
            least_distance: 0.0,
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

impl NucleusRule {
    /// Checks every choice against its range.
    ///
    /// # Errors
    /// [`ObjectsError::Setting`] naming the first choice out of range.
    pub fn check(&self) -> Result<(), ObjectsError> {
        let wrong = |setting, value, range| {
            Err(ObjectsError::Setting {
                setting,
                value,
                range,
            })
        };
        if let Some(value) = self.threshold.filter(|t| !(0.0..1.0).contains(t)) {
            return wrong("threshold", value, "at least 0 and below 1");
        }
        for (setting, value) in [
            ("smoothing_um", self.smoothing_um),
            ("max_hole_um2", self.max_hole_um2),
            ("min_area_um2", self.min_area_um2),
            ("least_distance", self.least_distance),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return wrong(setting, value, "0 or more");
            }
        }
        self.splitting.check()
    }
}

/// What a network says of a field; all images of one size.
#[derive(Clone, Copy, Debug)]
pub struct PredictedField<'a> {
    /// The class of every pixel.
    pub classes: &'a Image<u8>,
    /// Whether the classes are those of scheme B, whose lines then part nuclei whatever the rule
    /// says: boundary and split are taken to lie inside the nuclei
    /// ([`crate::LinePlacement::Inside`], the default).
    pub lines: bool,
    /// The probability of a nucleus (of scheme B, of its lines too); read where the rule has a
    /// threshold.
    pub probability: Option<&'a Image<f32>>,
    /// What it says of distances.
    pub distances: Option<Distances<'a>>,
    /// What it says of the direction to the middle, down and to the right.
    pub flow: Option<[&'a Image<f32>; 2]>,
}

impl<'a> PredictedField<'a> {
    /// Classes of scheme A alone.
    pub fn of_classes(classes: &'a Image<u8>) -> Self {
        Self {
            classes,
            lines: false,
            probability: None,
            distances: None,
            flow: None,
        }
    }
}

/// The nuclei of a predicted field, by `rule`; labels are consecutive in raster order. Without a
/// pixel size nuclei that touch stay together, unless the network itself tells them apart.
///
/// # Errors
/// [`ObjectsError::PixelSize`] or [`ObjectsError::Setting`] for values out of range,
/// [`ObjectsError::SizeMismatch`] for images of different fields, [`ObjectsError::NotPredicted`]
/// where the rule reads what was not predicted.
pub fn nuclei_from_prediction(
    field: &PredictedField,
    pixel_um: Option<f64>,
    rule: &NucleusRule,
) -> Result<Labels, ObjectsError> {
    if let Some(value) = pixel_um.filter(|v| !(*v > 0.0 && v.is_finite())) {
        return Err(ObjectsError::PixelSize { value });
    }
    rule.check()?;
    if rule.least_distance > 0.0 && field.distances.is_none() {
        return Err(ObjectsError::NotPredicted {
            method: "least_distance",
            what: "the distances",
        });
    }
    let mask = cleaned(&pixels(field, pixel_um, rule)?, pixel_um, rule);
    nuclei_of_pixels(&mask, field, pixel_um, rule)
}

/// The nuclei of the pixels `mask` of a field.
fn nuclei_of_pixels(
    mask: &Image<bool>,
    field: &PredictedField,
    pixel_um: Option<f64>,
    rule: &NucleusRule,
) -> Result<Labels, ObjectsError> {
    let is_told = matches!(rule.splitting, Splitting::Learned(_) | Splitting::Flow(_));
    let splitting = match (field.lines, pixel_um) {
        (true, _) => Splitting::Boundary(Boundary::default()),
        (false, None) if !is_told => Splitting::None,
        (false, _) => rule.splitting,
    };
    // Without a pixel size the lengths of what the network tells follow from the smallest nucleus.
    let guessed = || (rule.min_area_um2 / rule.min_area_px.max(1) as f64).sqrt();
    let um = pixel_um.or((field.lines || is_told)
        .then(guessed)
        .filter(|&um| um > 0.0));
    let scene = Scene {
        classes: field.lines.then_some(field.classes),
        distances: field.distances,
        flow: field.flow,
        ..Scene::of_mask(mask, um.unwrap_or(1.0))
    };
    let found = split(&scene, &splitting)?;
    Ok(dropped(found, field.distances, pixel_um, rule))
}

/// The pixels of nuclei.
fn pixels(
    field: &PredictedField,
    pixel_um: Option<f64>,
    rule: &NucleusRule,
) -> Result<Image<bool>, ObjectsError> {
    let is_line = |class: u8| field.lines && (class == BOUNDARY || class == SPLIT);
    // What lines enclose is told by classes alone.
    let Some(threshold) = rule.threshold.filter(|_| !field.lines) else {
        return Ok(field.classes.map(|&c| c == NUCLEUS || is_line(c)));
    };
    let Some(probability) = field.probability else {
        return Err(ObjectsError::NotPredicted {
            method: "threshold",
            what: "the probabilities",
        });
    };
    let size = field.classes.size();
    same_size(
        "the class mask",
        size,
        "the probability",
        probability.size(),
    )?;
    let above = |&p: &f32| f64::from(p) > threshold;
    let sigma = rule.smoothing_um / pixel_um.unwrap_or(1.0);
    Ok(match sigma > 0.0 {
        true => gaussian(probability, sigma).map(above),
        false => probability.map(above),
    })
}

/// The mask with holes filled and specks dropped.
fn cleaned(nuclei: &Image<bool>, pixel_um: Option<f64>, rule: &NucleusRule) -> Image<bool> {
    let filled = match pixel_um {
        Some(um) => fill_holes_below(nuclei, (rule.max_hole_um2 / (um * um)) as usize),
        None => fill_holes(nuclei),
    };
    remove_small_objects(&filled, least_area(pixel_um, rule), Connectivity::Four)
}

/// Pixels that a nucleus has at least.
fn least_area(pixel_um: Option<f64>, rule: &NucleusRule) -> usize {
    pixel_um.map_or(rule.min_area_px, |um| {
        (rule.min_area_um2 / (um * um)).ceil() as usize
    })
}

/// Without pieces that are too small, and nuclei that no distance speaks for.
fn dropped(
    found: Labels,
    distances: Option<Distances>,
    pixel_um: Option<f64>,
    rule: &NucleusRule,
) -> Labels {
    let mut tops: HashMap<u32, f32> = HashMap::new();
    if let Some(distances) = distances.filter(|_| rule.least_distance > 0.0) {
        for (&label, &value) in found.image.data().iter().zip(distances.border.data()) {
            let top = tops.entry(label).or_insert(value);
            *top = top.max(value);
        }
    }
    let high = |label| match tops.get(&label) {
        Some(&top) => f64::from(top) >= rule.least_distance,
        None => true,
    };
    let least = least_area(pixel_um, rule);
    let kept = retain(&found.image, |label, area| area >= least && high(label));
    relabel_consecutive(&kept)
}
