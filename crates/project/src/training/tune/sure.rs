//! How sure a model's nuclei are, fitted on the fields that rules are tried on.

use std::path::Path;

use rayon::prelude::*;
use stainfree_inference::confidence::{FieldFound, TooFew};
use stainfree_inference::{Confidence, NucleusDecoder};
use stainfree_scores::Matching;

use super::{Seen, decided};
use crate::ProjectError;

/// Fits the confidence of nuclei that `decoder` makes, for the model `hash`, and writes it into its
/// folder. Where nuclei are too few it says so, and what is there of another rule is removed.
pub(super) fn fit(
    seen: &[Seen],
    decoder: &NucleusDecoder,
    (folder, hash): (&Path, &str),
) -> Result<Result<Confidence, TooFew>, ProjectError> {
    let unknown = decoder.pixel_um.is_none() && seen.iter().any(|seen| seen.pixel_um.is_none());
    let in_pixels = decoder.in_pixels || unknown;
    let found = |seen: &Seen| found(seen, decoder, in_pixels);
    let fields: Result<Vec<FieldFound>, ProjectError> = seen.par_iter().map(found).collect();
    let word = decoder.word();
    let fitted = Confidence::fit(hash, &word, in_pixels, &fields?);
    match &fitted {
        Ok(confidence) => {
            confidence.write(folder).map_err(decided)?;
        }
        // One that was fitted before, on other fields, is not what these fields say.
        Err(_) => Confidence::forget_other(folder, hash, "").map_err(decided)?,
    }
    Ok(fitted)
}

/// The nuclei of a field, and which of them are right.
fn found(
    seen: &Seen,
    decoder: &NucleusDecoder,
    in_pixels: bool,
) -> Result<FieldFound, ProjectError> {
    let nuclei = decoder
        .decode(&seen.pixels, seen.pixel_um)
        .map_err(decided)?;
    let table = decoder.features(&seen.pixels, &nuclei.labels, seen.pixel_um, in_pixels);
    let matching = Matching::new(&seen.truth, &nuclei.labels, seen.ignore.as_ref());
    let matching = matching.map_err(|error| ProjectError::Failed(error.to_string()))?;
    let right = matching.right();
    Ok(FieldFound {
        name: seen.name.clone(),
        group: seen.group.clone(),
        well: seen.well.clone(),
        right: table
            .labels
            .iter()
            .map(|label| right.get(label).copied())
            .collect(),
        truth: matching.objects().truth,
        table,
    })
}

/// What a user is told of a fit.
pub(super) fn sentence(fitted: &Result<Confidence, TooFew>) -> String {
    match fitted {
        Ok(confidence) => {
            let checked = &confidence.checked;
            format!(
                "how sure nuclei are was fitted on {} of them ({} wrong): on what was left out, \
                 calibration error {:.3}, AUROC {:.2}; {}",
                checked.nuclei,
                checked.wrong,
                checked.ece,
                checked.auroc,
                confidence.counts.sentence()
            )
        }
        Err(few) => format!("nuclei have no confidence: {few}"),
    }
}
