//! Parallel folders: one folder per channel, the same file name in each is the same field.
//!
//! `bf/a.png`, `nuc/a.png`; facts about the fields in `fields.csv` of the root or in `a.json` of
//! the root or of a channel's folder. Folders of truth are channels like the others here; which of
//! them is an image is for the caller to say (`names::looks_like_truth` helps).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::sidecar::{self, ByField, Facts};
use super::{
    Draft, Entries, Found, Layout, Notes, Pages, channels_of, drafts_by_time, foreign, images_of,
    own_kind, own_part,
};
use crate::names::{composed, file_name, looks_like_truth, marked_names, stem, truth_stem};
use crate::{ImageError, OpenOptions};

pub(super) struct ParallelFolders;

/// Whether `folders` are channels of the same fields, or only one of them has images.
fn are_channels(folders: &[PathBuf]) -> Result<bool, ImageError> {
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
    Ok(filled == 1 || shared)
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
    Ok(has_images && are_channels(&folders)?)
}

impl Layout for ParallelFolders {
    fn name(&self) -> &'static str {
        super::CHANNELS_ARE_FOLDERS
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        if !path.is_dir() {
            return Ok(false);
        }
        let root = Entries::of(path)?;
        if !root.images.is_empty() {
            return Ok(false);
        }
        are_channels(&root.folders)
    }

    fn read(&self, path: &Path, _options: &OpenOptions) -> Result<Found, ImageError> {
        let root = Entries::of(path)?;
        let mut notes = Notes::default();
        let mut facts = sidecar::table(path, &mut notes);
        add_sidecars(&mut facts, &root.others, &mut notes);
        notes.ours(&root.ours);
        let foreign = foreign::beside(&root, |_| false);

        let mut inside = Vec::new();
        for folder in &root.folders {
            inside.push(Entries::of(folder)?);
        }
        let images: Vec<Vec<PathBuf>> = inside.iter().map(|of| of.images.clone()).collect();
        let names = FieldNames::of(&images);
        for folder in &mut inside {
            names.leave_truth_out(&mut folder.images, &mut notes);
        }
        let mut drafts: BTreeMap<String, Draft> = BTreeMap::new();
        let mut channel_order = Vec::new();
        for (folder, inside) in root.folders.iter().zip(&inside) {
            notes.ours(&inside.ours);
            if inside.images.is_empty() {
                continue;
            }
            add_sidecars(&mut facts, &inside.others, &mut notes);
            let channel = file_name(folder);
            for image in &inside.images {
                let Some(info) = notes.info(image) else {
                    continue;
                };
                for (name, info) in images_of(&names.of_field(image), info) {
                    let prefix = format!("{channel}_");
                    // The folder is the channel, so that further pages can only be planes.
                    let times =
                        channels_of(image, &info, &Pages::Planes, &channel, &prefix, &mut notes);
                    for found in drafts_by_time(&name, times) {
                        let draft = drafts
                            .entry(composed(&found.name))
                            .or_insert_with(|| Draft {
                                position: found.position,
                                time: found.time,
                                ..Draft::named(&found.name)
                            });
                        draft.channels.extend(found.channels);
                        draft.pixel_um.extend(info.pixel_um);
                    }
                }
            }
            channel_order.push(channel);
        }
        let mut fields: Vec<Draft> = drafts.into_values().collect();
        facts.add_to(&mut fields);
        Ok(Found {
            fields,
            channel_order,
            problems: foreign.into_iter().chain(notes.into_problems()).collect(),
            ..Found::default()
        })
    }
}

/// How files of several folders are named after the same fields.
struct FieldNames {
    /// The first spelling of each name, by the name with composed letters.
    spelled: HashMap<String, String>,
}

impl FieldNames {
    fn of(folders: &[Vec<PathBuf>]) -> Self {
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
    fn leave_truth_out(&self, images: &mut Vec<PathBuf>, notes: &mut Notes) {
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

    fn of_field(&self, path: &Path) -> String {
        let key = self.key(path);
        let own = stem(path);
        match truth_stem(&own) {
            Some(sure) if !self.spelled.contains_key(&key) => sure.to_string(),
            _ => self.spelled.get(&key).cloned().unwrap_or(own),
        }
    }
}

fn add_sidecars(facts: &mut ByField, others: &[PathBuf], notes: &mut Notes) {
    for path in others
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
    {
        if let Some(found) = Facts::from_json(path, notes) {
            facts.add(&stem(path), &found);
        }
    }
}
