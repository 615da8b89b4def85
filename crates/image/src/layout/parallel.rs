//! Parallel folders: one folder per channel, the same file name in each is the same field.
//!
//! `bf/a.png`, `nuc/a.png`; facts about the fields in `fields.csv` of the root or in `a.json` of
//! the root or of a channel's folder. Folders of truth are channels like the others here; which of
//! them is an image is for the caller to say (`names::looks_like_truth` helps).

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::sidecar::{self, Facts};
use super::{Draft, Entries, Found, Layout, Notes, Pages, channels_of, drafts_by_time, images_of};
use crate::names::{file_name, stem, truth_stem};
use crate::{ImageError, OpenOptions};

pub(super) struct ParallelFolders;

impl Layout for ParallelFolders {
    fn name(&self) -> &'static str {
        "parallel-folders"
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        if !path.is_dir() {
            return Ok(false);
        }
        let root = Entries::of(path)?;
        if !root.images.is_empty() {
            return Ok(false);
        }
        let mut seen = HashSet::new();
        let mut filled = 0;
        let mut shared = false;
        for folder in &root.folders {
            let names: HashSet<String> = Entries::of(folder)?
                .images
                .iter()
                .map(|path| field_name(path))
                .collect();
            filled += usize::from(!names.is_empty());
            for name in names {
                shared |= !seen.insert(name);
            }
        }
        Ok(filled == 1 || shared)
    }

    fn read(&self, path: &Path, _options: &OpenOptions) -> Result<Found, ImageError> {
        let root = Entries::of(path)?;
        let mut notes = Notes::default();
        let mut facts = sidecar::table(path, &mut notes);
        add_sidecars(&mut facts, &root.others, &mut notes);
        notes.ours(&root.ours);

        let mut drafts: BTreeMap<String, Draft> = BTreeMap::new();
        let mut channel_order = Vec::new();
        for folder in &root.folders {
            let inside = Entries::of(folder)?;
            if inside.images.is_empty() {
                continue;
            }
            add_sidecars(&mut facts, &inside.others, &mut notes);
            let channel = file_name(folder);
            for image in &inside.images {
                let Some(info) = notes.info(image) else {
                    continue;
                };
                for (name, info) in images_of(&field_name(image), info) {
                    let prefix = format!("{channel}_");
                    // The folder is the channel, so that further pages can only be planes.
                    let times =
                        channels_of(image, &info, &Pages::Planes, &channel, &prefix, &mut notes);
                    for found in drafts_by_time(&name, times) {
                        let draft = drafts.entry(found.name.clone()).or_insert_with(|| Draft {
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
        for draft in &mut fields {
            if let Some(facts) = facts.get(&draft.name) {
                draft.metadata = facts.metadata.clone();
                draft.pixel_um.extend(facts.pixel_um);
            }
        }
        Ok(Found {
            fields,
            channel_order,
            problems: notes.into_problems(),
        })
    }
}

fn field_name(path: &Path) -> String {
    let stem = stem(path);
    truth_stem(&stem).map_or(stem.clone(), str::to_string)
}

fn add_sidecars(facts: &mut BTreeMap<String, Facts>, others: &[PathBuf], notes: &mut Notes) {
    for path in others
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
    {
        if let Some(found) = Facts::from_json(path, notes) {
            facts.entry(stem(path)).or_default().add(&found);
        }
    }
}
