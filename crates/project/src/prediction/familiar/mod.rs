//! Whether a field is like those that a model was trained on.
//!
//! `features` has the list of what is compared, `file` what is kept of the training beside the
//! model, `compare` says how unlike a field is, and `plates` puts fields together and into words.

use std::collections::BTreeMap;
use std::path::Path;

use stainfree_network::model::Model;

use crate::ProjectError;

mod compare;
mod difference;
mod features;
mod file;
mod plates;

pub use compare::Expected;
pub(crate) use compare::{Compared, Familiarity};
pub use difference::Difference;
pub(crate) use features::Looks;
pub use file::FILE_NAME;
pub(crate) use file::{Kept, KeptField, WorseScore};
pub(crate) use plates::Gathered;
pub use plates::{PlateLooks, Strange};

/// How unlike the other groups of its training each field is that the model in `folder` has met, by
/// name (1 is the limit, as for the fields of a result), with what is unlike in words. Empty where
/// nothing is known of that model, or it has met too few groups.
///
/// # Errors
/// The model or what it knows cannot be read.
pub fn strangest_of_training(
    folder: &Path,
) -> Result<BTreeMap<String, (f64, String)>, ProjectError> {
    if !folder.join(FILE_NAME).exists() {
        return Ok(BTreeMap::new());
    }
    let kept = Kept::read(folder, &Model::load(folder)?.hash())?;
    Ok(kept.map_or_else(BTreeMap::new, |kept| Familiarity::within(&kept)))
}
