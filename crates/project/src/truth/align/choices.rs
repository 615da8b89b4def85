//! Which choices of a study say what truth was given.

use crate::study::Study;
use crate::study::config::{Config, MaskValues, TruthConfig};

/// The choices of `study` as far as they say what truth was given: not where it is moved to, nor
/// what is made of it later.
pub(crate) fn config_as_given(study: &Study) -> Config {
    let mut config = study.config().clone();
    let truth = &mut config.truth;
    let usual = TruthConfig::default();
    truth.shift = usual.shift;
    truth.illumination = usual.illumination;
    truth.mitosis = usual.mitosis;
    truth.mitosis.find = false;
    truth.corrected = usual.corrected;
    // The cytoplasm lies wherever its own stain or masks do.
    (truth.cytoplasm, truth.cell_masks, truth.cell_labels) = (None, None, None);
    truth.missing_cells = usual.missing_cells;
    truth.cytoplasm_settings = usual.cytoplasm_settings;
    if truth.mask_values != MaskValues::Classes || truth.masks.is_none() {
        truth.scheme = usual.scheme;
        (truth.line_px, truth.line_placement) = (usual.line_px, usual.line_placement);
        truth.classes = truth.usual_classes();
    }
    config
}
