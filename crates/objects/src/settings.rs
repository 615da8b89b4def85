//! Every choice of the truth from stains, with its unit.

use crate::error::ObjectsError;
use crate::splitting::Splitting;
use crate::splitting::not_predicted;
use crate::threshold::Threshold;
use serde::{Deserialize, Deserializer, Serialize};

/// How the mask, the labels and the verdicts of one stain are made.
///
/// Lengths are in um. Where a field has no pixel size, the size of its objects is measured in the
/// image and taken to be `typical_diameter_um`; a verdict says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StainSettings {
    /// Standard deviation of the Gaussian before the threshold, in um.
    pub smoothing_um: f64,
    /// Share of the light that is spread widely (haze) and taken away; 0 takes none.
    pub haze_share: f64,
    /// Standard deviation of that spread, in um.
    pub haze_um: f64,
    /// Windows of the background estimate are this wide, in um; 0 leaves the background in.
    pub background_um: f64,
    /// The threshold method.
    pub threshold: Threshold,
    /// The threshold is multiplied by this (intensity above background); above 1 means smaller
    /// masks.
    pub threshold_factor: f64,
    /// The `object` threshold: share of an object's brightness at which its edge lies.
    pub object_share: f64,
    /// The `object` threshold: Gaussian that hides texture inside objects, in um.
    pub object_smoothing_um: f64,
    /// Half-width of the window of the local thresholds, in um.
    pub local_radius_um: f64,
    /// Radius of the disk that closes gaps of the mask, in um; 0 closes nothing.
    pub closing_um: f64,
    /// Holes up to this area are filled, in um2.
    pub max_hole_um2: f64,
    /// Objects below this area are dropped, in um2.
    pub min_area_um2: f64,
    /// Diameter of a typical object in um: the yardstick of fields without a pixel size.
    pub typical_diameter_um: f64,
    /// How touching nuclei are separated (nuclear stains only).
    pub splitting: Splitting,
    /// Pixels at most this far from the mask's edge may be ignored, in pixels; 0 ignores none.
    pub ignore_width_px: f64,
    /// Of those, the pixels are ignored that change sides when the threshold moves by this share.
    pub ignore_margin: f64,
    /// From which number on a field is called unusable or doubtful.
    pub quality: QualityLimits,
}

/// Limits of the verdicts; see [`crate::Word`] for what is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QualityLimits {
    /// Smallest share of the field that the mask must cover.
    pub min_foreground_share: f64,
    /// Smallest ratio of the stain's contrast to its noise.
    pub min_signal_to_noise: f64,
    /// Largest share of the mask's pixels at the camera's ceiling.
    pub max_saturated_share: f64,
    /// Largest width of the edges, in um.
    pub max_edge_width_um: f64,
    /// Largest change of the mask's area when the threshold moves by 10 % either way.
    pub max_threshold_slope: f64,
    /// Largest share of the nuclei that may be specks (nuclear stains only).
    pub max_debris_share: f64,
    /// Largest correlation with the fine structure of the nuclear stain (cytoplasmic stains only).
    pub max_bleed_through: f64,
}

impl Default for QualityLimits {
    fn default() -> Self {
        Self {
            min_foreground_share: 0.0005,
            min_signal_to_noise: 4.0,
            max_saturated_share: 0.02,
            max_edge_width_um: 4.0,
            max_threshold_slope: 0.25,
            max_debris_share: 0.1,
            max_bleed_through: 0.2,
        }
    }
}

impl Default for StainSettings {
    /// The choices for a nuclear stain.
    fn default() -> Self {
        Self {
            smoothing_um: 0.5,
            haze_share: 0.0,
            haze_um: 5.0,
            background_um: 50.0,
            threshold: Threshold::Object,
            threshold_factor: 1.0,
            object_share: 0.45,
            object_smoothing_um: 1.5,
            local_radius_um: 15.0,
            closing_um: 0.0,
            max_hole_um2: 100.0,
            min_area_um2: 12.0,
            typical_diameter_um: 14.0,
            splitting: Splitting::default(),
            ignore_width_px: 1.0,
            ignore_margin: 0.1,
            quality: QualityLimits::default(),
        }
    }
}

impl StainSettings {
    /// The choices for a nuclear stain; the same as [`StainSettings::default`].
    pub fn nuclei() -> Self {
        Self::default()
    }

    /// The choices for a cytoplasmic stain, granular or even: all that rises above the empty
    /// ground, gaps closed, larger objects.
    pub fn cytoplasm() -> Self {
        Self {
            smoothing_um: 0.35,
            haze_share: 0.3,
            background_um: 200.0,
            threshold: Threshold::Ground,
            closing_um: 1.0,
            max_hole_um2: 200.0,
            min_area_um2: 50.0,
            typical_diameter_um: 30.0,
            splitting: Splitting::None,
            ..Self::default()
        }
    }

    /// Checks every value against its range.
    ///
    /// # Errors
    /// [`ObjectsError::Setting`] naming the first setting out of range.
    pub fn check(&self) -> Result<(), ObjectsError> {
        let not_negative = [
            ("smoothing_um", self.smoothing_um),
            ("haze_share", self.haze_share),
            ("haze_um", self.haze_um),
            ("background_um", self.background_um),
            ("object_smoothing_um", self.object_smoothing_um),
            ("closing_um", self.closing_um),
            ("max_hole_um2", self.max_hole_um2),
            ("min_area_um2", self.min_area_um2),
            ("ignore_width_px", self.ignore_width_px),
            ("ignore_margin", self.ignore_margin),
        ];
        for (setting, value) in not_negative {
            if !(value >= 0.0) {
                return Err(ObjectsError::Setting {
                    setting,
                    value,
                    range: "0 or more",
                });
            }
        }
        let positive = [
            ("threshold_factor", self.threshold_factor),
            ("object_share", self.object_share),
            ("local_radius_um", self.local_radius_um),
            ("typical_diameter_um", self.typical_diameter_um),
        ];
        for (setting, value) in positive {
            if !(value > 0.0 && value.is_finite()) {
                return Err(ObjectsError::Setting {
                    setting,
                    value,
                    range: "above 0",
                });
            }
        }
        if self.ignore_margin >= 1.0 {
            return Err(ObjectsError::Setting {
                setting: "ignore_margin",
                value: self.ignore_margin,
                range: "at least 0 and below 1",
            });
        }
        if self.splitting.reads().is_some() {
            return Err(not_predicted(&self.splitting));
        }
        self.splitting.check()
    }
}

/// For `#[serde(deserialize_with = ..)]`: keys left out take the values of
/// [`StainSettings::cytoplasm`].
///
/// # Errors
/// Those of the format, with unknown keys refused.
pub fn deserialize_cytoplasm<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<StainSettings, D::Error> {
    /// The same keys, each with the cytoplasm's default.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Cytoplasm {
        smoothing_um: f64,
        haze_share: f64,
        haze_um: f64,
        background_um: f64,
        threshold: Threshold,
        threshold_factor: f64,
        object_share: f64,
        object_smoothing_um: f64,
        local_radius_um: f64,
        closing_um: f64,
        max_hole_um2: f64,
        min_area_um2: f64,
        typical_diameter_um: f64,
        splitting: Splitting,
        ignore_width_px: f64,
        ignore_margin: f64,
        quality: QualityLimits,
    }
    impl Default for Cytoplasm {
        fn default() -> Self {
            let s = StainSettings::cytoplasm();
            Self {
                smoothing_um: s.smoothing_um,
                haze_share: s.haze_share,
                haze_um: s.haze_um,
                background_um: s.background_um,
                threshold: s.threshold,
                threshold_factor: s.threshold_factor,
                object_share: s.object_share,
                object_smoothing_um: s.object_smoothing_um,
                local_radius_um: s.local_radius_um,
                closing_um: s.closing_um,
                max_hole_um2: s.max_hole_um2,
                min_area_um2: s.min_area_um2,
                typical_diameter_um: s.typical_diameter_um,
                splitting: s.splitting,
                ignore_width_px: s.ignore_width_px,
                ignore_margin: s.ignore_margin,
                quality: s.quality,
            }
        }
    }
    let c = Cytoplasm::deserialize(deserializer)?;
    Ok(StainSettings {
        smoothing_um: c.smoothing_um,
        haze_share: c.haze_share,
        haze_um: c.haze_um,
        background_um: c.background_um,
        threshold: c.threshold,
        threshold_factor: c.threshold_factor,
        object_share: c.object_share,
        object_smoothing_um: c.object_smoothing_um,
        local_radius_um: c.local_radius_um,
        closing_um: c.closing_um,
        max_hole_um2: c.max_hole_um2,
        min_area_um2: c.min_area_um2,
        typical_diameter_um: c.typical_diameter_um,
        splitting: c.splitting,
        ignore_width_px: c.ignore_width_px,
        ignore_margin: c.ignore_margin,
        quality: c.quality,
    })
}
