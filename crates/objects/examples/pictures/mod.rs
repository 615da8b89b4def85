//! The image files that an example is asked to look at.

use std::error::Error;
use std::path::{Path, PathBuf};

/// All TIFF and PNG files in the folders that the command line names, at any depth, by name.
pub(crate) fn of_arguments() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for folder in std::env::args().skip(1) {
        collect(Path::new(&folder), &mut files)?;
    }
    files.sort();
    Ok(files)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        if path.is_dir() {
            collect(&path, files)?;
        } else if ending.is_some_and(|e| ["tif", "tiff", "png"].contains(&e.as_str())) {
            files.push(path);
        }
    }
    Ok(())
}
