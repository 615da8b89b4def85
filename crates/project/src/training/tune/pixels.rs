//! What probabilities of pixels are worth, fitted on the fields that rules are tried on.

use std::path::Path;

use stainfree_inference::Temperatures;
use stainfree_inference::probabilities::{FieldPixels, NoTemperatures};

use super::{Seen, decided};
use crate::ProjectError;

/// Fits the temperatures of the model `hash` with these `classes`, which are or are not the `same`
/// as those of the truth, and writes them into its folder. Where there are none, what is there of
/// an earlier fit is removed.
pub(super) fn fit(
    seen: &[Seen],
    (classes, same): (&[String], bool),
    (folder, hash): (&Path, &str),
) -> Result<Result<Temperatures, NoTemperatures>, ProjectError> {
    let draw = |field: &Seen| {
        let planes = field.pixels.probabilities();
        FieldPixels::draw(
            (&field.name, &field.group),
            planes,
            &field.classes,
            seen.len(),
        )
    };
    let fields: Vec<FieldPixels> = seen.iter().map(draw).collect();
    let fitted = match same {
        true => Temperatures::fit(hash, classes, &fields),
        false => Err(NoTemperatures::OtherClasses),
    };
    match &fitted {
        Ok(found) => {
            found.write(folder).map_err(decided)?;
        }
        Err(_) => Temperatures::forget(folder).map_err(decided)?,
    }
    Ok(fitted)
}

/// What a user is told of a fit.
pub(super) fn sentence(fitted: &Result<Temperatures, NoTemperatures>) -> String {
    match fitted {
        Ok(found) => found.sentence(),
        Err(few) => few.to_string(),
    }
}
