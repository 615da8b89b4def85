//! Thresholds: one file per method, one line each in the registry below.
//!
//! A pixel is foreground where its value is strictly above the threshold of its place.

mod ground;
mod li;
mod local;
mod log;
mod object;
mod otsu;
mod triangle;

pub use ground::ground;
pub use li::li;
pub use local::{local_gaussian, local_mean};
pub use log::otsu_log;
pub(crate) use object::{ObjectThreshold, Zones};
pub use otsu::{Histogram, otsu};
pub use triangle::triangle;

use crate::error::ObjectsError;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;
use std::fmt;
use std::str::FromStr;

/// Every threshold method that a config or the command line can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Threshold {
    /// A share of the brightness of every object, above a low global floor.
    #[default]
    Object,
    /// Largest variance between two classes of intensity (Otsu 1979).
    Otsu,
    /// Otsu on the logarithm of the intensity above the noise: nuclei of very different brightness.
    OtsuLog,
    /// Smallest cross entropy (Li & Lee 1993; iteration of Li & Tam 1998).
    Li,
    /// Largest distance from the line between peak and tail (Zack, Rogers & Latt 1977).
    Triangle,
    /// What rises above the even, empty ground by 3.5 times the ground's own spread.
    Ground,
    /// Mean of a square window, plus a global floor.
    LocalMean,
    /// Gaussian-weighted mean of a window, plus a global floor.
    LocalGaussian,
}

/// The registry: each method with its name.
const METHODS: [(Threshold, &str); 8] = [
    (Threshold::Object, "object"),
    (Threshold::Otsu, "otsu"),
    (Threshold::OtsuLog, "otsu-log"),
    (Threshold::Li, "li"),
    (Threshold::Triangle, "triangle"),
    (Threshold::Ground, "ground"),
    (Threshold::LocalMean, "local-mean"),
    (Threshold::LocalGaussian, "local-gaussian"),
];

impl Threshold {
    /// All methods, in the order in which they are listed to a user.
    pub fn all() -> impl Iterator<Item = Threshold> {
        METHODS.iter().map(|&(m, _)| m)
    }

    /// The name in a config file and on the command line.
    pub fn name(self) -> &'static str {
        METHODS
            .iter()
            .find(|(m, _)| *m == self)
            .map_or("", |&(_, n)| n)
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Threshold {
    type Err = ObjectsError;

    fn from_str(name: &str) -> Result<Self, ObjectsError> {
        METHODS
            .iter()
            .find(|(_, n)| *n == name)
            .map(|&(m, _)| m)
            .ok_or_else(|| ObjectsError::UnknownName {
                kind: "threshold",
                name: name.to_owned(),
                choices: METHODS.map(|(_, n)| n).join(", "),
            })
    }
}

/// Pixels strictly above one threshold.
pub fn above(image: &Image<f32>, threshold: f32) -> Image<bool> {
    image.map(|&v| v > threshold)
}

/// Pixels strictly above the threshold of their own place.
///
/// # Panics
/// If the sizes differ.
pub fn above_local(image: &Image<f32>, thresholds: &Image<f32>) -> Image<bool> {
    assert_eq!(
        image.size(),
        thresholds.size(),
        "local thresholds of another size"
    );
    let flags = image
        .data()
        .iter()
        .zip(thresholds.data())
        .map(|(v, t)| v > t)
        .collect();
    Image::new(image.height(), image.width(), flags)
}
