//! Folders of images beside one another: whether they are channels of the same fields, or places.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::words::{FolderOf, is_channel_file, is_channel_folder};
use super::{Entries, Notes, own_kind, own_part};
use crate::ImageError;
use crate::names::{composed, file_name, looks_like_truth, marked_names, stem, truth_stem};

/// What folders of images are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Channels: the same name in each is the same field.
    Channels,
    /// Places or times, each with files of its own.
    Places,
    /// Files of the same names, and nothing says what they share.
    Unclear,
    /// None of these.
    Nothing,
}

/// What `folders` are, by their names and those of their files.
///
/// Files that are called after channels lie in folders that are places; else folders are channels
/// where one of them is called as such, and places where all of them are.
pub(super) fn meaning(folders: &[PathBuf]) -> Result<Meaning, ImageError> {
    let mut filled = Vec::new();
    let mut images = Vec::new();
    for folder in folders {
        let inside = Entries::of(folder)?.images;
        if !inside.is_empty() {
            filled.push(file_name(folder));
            images.push(inside);
        }
    }
    if filled.is_empty() {
        return Ok(Meaning::Nothing);
    }
    let shared = shares_names(&images);
    let mut files = images.iter().flatten().map(|path| stem(path));
    let are_channel_files = files.all(|stem| is_channel_file(&stem));
    let is_channel = |name: &String| is_channel_folder(name);
    let is_place = |name: &String| FolderOf::named(name).is_some();
    let is_both = |name: &String| is_channel(name) && is_place(name);
    let all_places = filled.iter().all(is_place);
    let all_both = filled.iter().all(is_both);
    // `C3` beside `B2` is a well as that is.
    let any_channel = filled.iter().any(is_channel) && (!all_places || all_both);
    Ok(match (are_channel_files, any_channel, all_places) {
        // `C1` and `C2` alone may be channels and wells.
        (true, true, true) if all_both => Meaning::Places,
        (true, false, _) if shared || all_places => Meaning::Places,
        (_, true, _) if shared || filled.len() == 1 => Meaning::Channels,
        (_, false, true) => Meaning::Places,
        // One folder beside nothing else is where the images are, whatever its name.
        _ if filled.len() == 1 => Meaning::Channels,
        _ if shared => Meaning::Unclear,
        _ => Meaning::Nothing,
    })
}

/// Whether two of several folders have images of the same field.
fn shares_names(images: &[Vec<PathBuf>]) -> bool {
    let names = FieldNames::of(images);
    let mut seen = HashSet::new();
    let mut shared = false;
    for inside in images {
        let here: HashSet<String> = inside.iter().map(|path| names.key(path)).collect();
        for name in here {
            shared |= !seen.insert(name);
        }
    }
    shared
}

/// Whether folders among `paths` are channels, and not the truth of something else.
pub(super) fn are_images(paths: &[PathBuf]) -> Result<bool, ImageError> {
    let folders = paths.iter().filter(|path| path.is_dir());
    let folders = folders.filter(|path| own_kind(path).or_else(|| own_part(path)).is_none());
    let folders: Vec<PathBuf> = folders.cloned().collect();
    let mut has_images = false;
    let mut inside = Vec::new();
    for folder in &folders {
        let is_truth = looks_like_truth(&file_name(folder));
        inside.push(Entries::of(folder)?.images);
        has_images |= !is_truth && inside.last().is_some_and(|images| !images.is_empty());
    }
    // One folder of pictures (`thumbnails`) makes no channel of what lies beside it.
    Ok(has_images && shares_names(&inside))
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
