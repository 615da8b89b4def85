//! NDTiff data sets: what Micro-Manager 2.0, Pycro-Manager and Magellan write.
//!
//! Read from Micro-Manager's `ndtiff` package and from real sets, versions 2 and 3. A folder has an
//! index, `NDTiff.index` (`index`), of what lies at which axes, and TIFF files with the pixels and
//! their metadata (`files`). Explored sets have a pyramid: the folder `Full resolution`, and
//! smaller copies in `Downsampled_x2` and so on, which are no further images. Axes are free;
//! `channel`, `z` and `time` are what they say, all others tell places apart (`sorted`).

mod files;
mod index;
mod sorted;

use std::path::{Path, PathBuf};

use super::{Bytes, Contents, Reader};
use crate::ImageError;
use crate::names::{file_name, folder_of};

const INDEX: &str = "NDTiff.index";
/// The folder of a pyramid that holds what was taken.
const FULL: &str = "Full resolution";

/// NDTiff data sets.
pub(crate) struct NdTiff;

impl Reader for NdTiff {
    fn name(&self) -> &'static str {
        "ndtiff"
    }

    fn takes(&self, path: &Path) -> bool {
        folder_with_index(path).is_some()
    }

    fn list(&self, path: &Path) -> Result<Contents, ImageError> {
        let folder = folder_with_index(path).unwrap_or_else(|| path.to_path_buf());
        let index = folder.join(INDEX);
        let mut read = index::read(&mut Bytes::open(&index)?)?;
        let mut stacks = files::find(&folder, &read.entries);
        let mut problems = std::mem::take(&mut read.problems);
        problems.append(&mut stacks.problems);
        if file_name(&folder).starts_with("Downsampled_x") {
            problems.push("it is a smaller copy of another level, `Full resolution`".into());
        }
        let mut contents = sorted::sorted(&index, read, &stacks.found)?;
        problems.append(&mut contents.problems);
        contents.problems = problems;
        Ok(contents)
    }
}

/// The folder whose index is that of the data set at `path`: itself, that of the pyramid's first
/// level, or the one that an index or a file of the set lies in.
fn folder_with_index(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        let folders = [path.to_path_buf(), path.join(FULL)];
        return folders
            .into_iter()
            .find(|folder| folder.join(INDEX).is_file());
    }
    let folder = folder_of(path);
    let end = path.extension();
    let is_tiff = end.is_some_and(|end| end.eq_ignore_ascii_case("tif"));
    let is_part = match is_tiff {
        true => folder.join(INDEX).is_file() && files::is_stack(path),
        false => file_name(path) == INDEX && path.is_file(),
    };
    is_part.then(|| folder.to_path_buf())
}
