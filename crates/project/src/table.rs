//! Tables on disk: CSV with a head, written whole or not at all.

use std::path::Path;

use serde::Serialize;

use crate::ProjectError;

/// Writes `rows` with their names as the head.
pub(crate) fn write<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), ProjectError> {
    let failed = |error: &dyn std::fmt::Display| {
        ProjectError::Failed(format!("`{}` cannot be made: {error}", path.display()))
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    Ok(stainfree_image::write_atomic(path, &bytes)?)
}
