//! Files and folders, with errors that name them.

use std::path::Path;

use crate::ProjectError;

/// Deletes a file that may be missing.
///
/// # Errors
/// It is there and stays.
pub(crate) fn remove(path: &Path) -> Result<(), ProjectError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ProjectError::write(path, &error))
        }
        _ => Ok(()),
    }
}

/// Makes a folder with all those above it, where they are not there.
///
/// # Errors
/// It cannot be made.
pub(crate) fn create_folder(path: &Path) -> Result<(), ProjectError> {
    std::fs::create_dir_all(path).map_err(|error| ProjectError::write(path, &error))
}
