//! What the truth of a field consists of.

use stainfree_image::Image;
use stainfree_objects::{StainNumbers, Verdict};

use crate::study::finding::Review;

/// The truth of one field.
#[derive(Clone, Debug)]
pub(crate) struct FieldTruth {
    pub(crate) classes: Image<u8>,
    pub(crate) nuclei: Image<u32>,
    /// The automatic nuclei, where `nuclei` were corrected by hand.
    pub(crate) automatic: Option<Image<u32>>,
    pub(crate) count: usize,
    /// Whole cells, each with the label of its nucleus; from a cytoplasmic stain.
    pub(crate) cells: Option<Image<u32>>,
    /// What was measured in each stain; `None` where the truth does not come from it.
    pub(crate) nucleus_numbers: Option<StainNumbers>,
    pub(crate) cytoplasm_numbers: Option<StainNumbers>,
    pub(crate) debris_share: Option<f64>,
    pub(crate) bleed_through: Option<f64>,
    /// The candidates for mitosis and what the truth says of them; empty where they are not looked
    /// for.
    pub(crate) mitosis: Vec<Review>,
    /// Places of decisions on mitosis at which no nucleus is.
    pub(crate) misfits: Vec<(f64, f64)>,
    /// What the nuclear stain is recognised by, where the truth comes from it.
    pub(crate) image: Option<String>,
    pub(crate) nucleus_threshold: Option<f64>,
    pub(crate) cytoplasm_threshold: Option<f64>,
    /// Pixels at which a stain shows nothing; they are ignored.
    pub(crate) blank: Option<Image<bool>>,
    /// What is odd about the files that were given.
    pub(crate) remarks: Vec<String>,
    /// Remarks on both stains.
    pub(crate) verdicts: Vec<(&'static str, Verdict)>,
}

impl FieldTruth {
    /// Truth of which nothing is known but these.
    pub(super) fn of(classes: Image<u8>, nuclei: Image<u32>, count: usize) -> Self {
        Self {
            classes,
            nuclei,
            automatic: None,
            count,
            cells: None,
            nucleus_numbers: None,
            cytoplasm_numbers: None,
            debris_share: None,
            bleed_through: None,
            mitosis: Vec::new(),
            misfits: Vec::new(),
            image: None,
            nucleus_threshold: None,
            cytoplasm_threshold: None,
            blank: None,
            remarks: Vec::new(),
            verdicts: Vec::new(),
        }
    }
}
