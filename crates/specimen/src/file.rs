//! Files, written whole or not at all.

use std::path::Path;

use crate::error::SpecimenError;

/// Writes `bytes` to `path` whole or not at all.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), SpecimenError> {
    stainfree_image::write::replace_file(path, bytes).map_err(wrote(path))
}

/// Turns an input-output error into one that names `path`.
pub(crate) fn wrote(path: &Path) -> impl FnOnce(std::io::Error) -> SpecimenError {
    let path = path.to_path_buf();
    move |source| SpecimenError::Write { path, source }
}
