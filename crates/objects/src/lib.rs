//! Classical image analysis on arrays: filters, thresholds, labels, splitting, truth from stains.
//!
//! Everything works on [`stainfree_image::Image`], knows no files and prints nothing. One operation
//! or family a file; [`segment_nuclei`] and [`segment_cytoplasm`] put them together.

#![forbid(unsafe_code)]
// `!(x > 0.0)` is meant to catch NaN as well.
#![allow(clippy::neg_cmp_op_on_partial_ord)]

mod align;
mod appearance;
mod background;
mod bits;
mod blank;
mod components;
mod content;
mod cytoplasm;
mod distance;
mod error;
mod expand;
mod footprint;
mod gaussian;
mod holes;
mod illumination;
mod labels;
pub mod measure;
mod mitosis;
mod morphology;
mod nuclei;
mod outlines;
mod predicted;
mod purity;
mod quantile;
mod reconstruct;
mod runs;
mod scheme;
pub mod settings;
mod shift;
pub mod splitting;
mod stain;
mod terrain;
pub mod threshold;
mod verdict;
mod watershed;

pub use align::{
    Doubt, FieldFit, Known, Lies, Together, TruthEvidence, TruthLaid, TruthShift, Turn,
    truth_evidence,
};
pub use appearance::{Appearance, OCTAVES, appearance, likeness};
pub use background::{background, block_means, subtract_background};
pub use blank::{
    BlankRows, BlankSurvey, MOST_BLANK_PIXELS, SpeckLimits, blank_in_brightfield, blank_pixels,
    blank_regions, blank_share, fill_blank, joined,
};
pub use components::{
    areas, label, label_values, relabel_consecutive, remove_border_objects, remove_small_objects,
    retain,
};
pub use content::{NotLabels, NumberShapes, not_labels, shared_numbers, smoothed_share};
pub use cytoplasm::{
    CytoplasmTruth, cells_from_nuclei, segment_cytoplasm, segment_cytoplasm_besides,
};
pub use distance::{UNREACHED, edt, edt_squared};
pub use error::ObjectsError;
pub use expand::{expand_labels, inner_boundaries, thick_boundaries};
pub use footprint::Footprint;
pub use gaussian::{box_mean, gaussian};
pub use holes::{fill_holes, fill_holes_below};
pub use illumination::{FlatField, coarse};
pub use labels::{Connectivity, Labels};
pub use measure::solidities;
pub use mitosis::{MitoticCandidate, mitotic_candidates};
pub use morphology::{close, dilate, erode, open};
pub use nuclei::{NucleiTruth, segment_nuclei, segment_nuclei_besides};
pub use outlines::{OutlineSurvey, outlines};
pub use predicted::{
    NucleiRows, NucleusRule, PredictedField, RowsDone, RowsField, nuclei_from_prediction,
};
pub use purity::{bleed_through, debris_share};
pub use reconstruct::{h_maxima, reconstruct, regional_maxima};
pub use scheme::{
    BACKGROUND, BOUNDARY, CYTOPLASM, IGNORED, LinePlacement, NUCLEUS, SPLIT, apply_ignore,
    masks_from_labels, scheme_a, scheme_b,
};
pub use settings::{QualityLimits, StainSettings};
pub use shift::{
    LARGEST_SHIFT_PX, ShiftEstimate, ShiftEvidence, move_back, move_back_nearest, shift_evidence,
    uncovered,
};
pub use splitting::{Distances, Scene, Splitting, split};
pub use threshold::Threshold;
pub use verdict::{StainNumbers, Verdict, Word, noise_level, saturated_share};
pub use watershed::watershed;
