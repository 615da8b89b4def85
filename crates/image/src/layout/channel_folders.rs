//! Folders that are channels: whether files in them are named after the same fields.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::{Entries, Notes, own_kind, own_part};
use crate::ImageError;
use crate::names::{composed, file_name, looks_like_truth, marked_names, stem, truth_stem};

/// Whether `folders` are channels of the same fields, or only one of them has images.
pub(super) fn are_channels(folders: &[PathBuf]) -> Result<bool, ImageError> {
    let (filled, shared) = filled_and_shared(folders)?;
    Ok(filled == 1 || shared)
}

/// How many of `folders` have images, and whether two of them have some of the same name.
fn filled_and_shared(folders: &[PathBuf]) -> Result<(usize, bool), ImageError> {
    let mut inside = Vec::new();
    for folder in folders {
        inside.push(Entries::of(folder)?.images);
    }
    let names = FieldNames::of(&inside);
    let mut seen = HashSet::new();
    let mut filled = 0;
    let mut shared = false;
    for images in &inside {
        let here: HashSet<String> = images.iter().map(|path| names.key(path)).collect();
        filled += usize::from(!here.is_empty());
        for name in here {
            shared |= !seen.insert(name);
        }
    }
    Ok((filled, shared))
}

/// Whether folders among `paths` are channels, and not the truth of something else.
pub(super) fn are_images(paths: &[PathBuf]) -> Result<bool, ImageError> {
    let folders = paths.iter().filter(|path| path.is_dir());
    let folders = folders.filter(|path| own_kind(path).or_else(|| own_part(path)).is_none());
    let folders: Vec<PathBuf> = folders.cloned().collect();
    let mut has_images = false;
    for folder in &folders {
        let is_truth = looks_like_truth(&file_name(folder));
        has_images |= !is_truth && !Entries::of(folder)?.images.is_empty();
    }
    // One folder of pictures (`thumbnails`) makes no channel of what lies beside it.
    Ok(has_images && filled_and_shared(&folders)?.1)
}

/// How files of several folders are named after the same fields.
pub(super) struct FieldNames {
    /// The first spelling of each name, by the name with composed letters.
    spelled: HashMap<String, String>,
}

impl FieldNames {
    pub(super) fn of(folders: &[Vec<PathBuf>]) -> Self {
        let mut spelled = HashMap::new();
        for path in folders.iter().flatten() {
            let name = stem(path);
            spelled.entry(composed(&name)).or_insert(name);
        }
        Self { spelled }
    }

    /// What all files of one field have in common.
    fn key(&self, path: &Path) -> String {
        let name = composed(&stem(path));
        if let Some(sure) = truth_stem(&name) {
            return sure.to_string();
        }
        let bases = marked_names(&name).into_iter();
        let mut known = bases.filter(|base| self.spelled.contains_key(base));
        known.next().unwrap_or(name)
    }

    /// Leaves out the truth of images that lie in the same folder: its name leads to the same
    /// field, and may come first.
    pub(super) fn leave_truth_out(&self, images: &mut Vec<PathBuf>, notes: &mut Notes) {
        let is_plain = |path: &Path| self.key(path) == composed(&stem(path));
        let plain: HashSet<String> = images
            .iter()
            .filter(|path| is_plain(path))
            .map(|path| self.key(path))
            .collect();
        images.retain(|path| {
            let is_image = is_plain(path) || !plain.contains(&self.key(path));
            if !is_image {
                notes.add("named as the truth of an image beside it; left out", path);
            }
            is_image
        });
    }

    pub(super) fn of_field(&self, path: &Path) -> String {
        let key = self.key(path);
        let own = stem(path);
        match truth_stem(&own) {
            Some(sure) if !self.spelled.contains_key(&key) => sure.to_string(),
            _ => self.spelled.get(&key).cloned().unwrap_or(own),
        }
    }
}
