//! What `prepare` finds in a field and keeps beside its row.

use serde::{Deserialize, Serialize};

use super::human::mitosis::Decision;

/// A row of the review list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Review {
    /// Name of the field.
    pub field: String,
    /// Number of the nucleus in `truth/nuclei`.
    pub label: Option<u32>,
    /// Its centroid, pixels.
    pub y_px: f64,
    /// See `y_px`.
    pub x_px: f64,
    /// 0 to 1.
    pub score: Option<f64>,
    /// Octaves above the field's median nucleus, behind the score.
    #[serde(default)]
    pub brightness: Option<f64>,
    /// The same of its compactness.
    #[serde(default)]
    pub compactness: Option<f64>,
    /// What the truth says now.
    pub mitotic: Option<Decision>,
    /// What a person says; empty = as found.
    pub decision: Option<Decision>,
}

/// What a field's decisions are compared with; empty where it could not be made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// What its image is recognised by: the nuclear stain, or the brightfield where there is none.
    pub(crate) image: String,
    /// What its corrected nuclei are recognised by, where they are.
    pub(crate) labels: Option<String>,
    /// Places of decisions on mitosis at which no nucleus is.
    pub(crate) misfits: Vec<(f64, f64)>,
}
