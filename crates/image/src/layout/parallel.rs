//! Parallel folders: one folder per channel, the same file name in each is the same field.
//!
//! `bf/a.png`, `nuc/a.png`; facts about the fields in `fields.csv` of the root or in `a.json` of
//! the root or of a channel's folder. Folders of truth are channels like the others here; which of
//! them is an image is for the caller to say (`names::looks_like_truth` helps).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::channel_folders::{FieldNames, Meaning, meaning};
use super::sidecar::{self, ByField, Facts};
use super::{
    Draft, Entries, Found, Layout, Notes, Pages, channels_of, drafts_by_time, foreign, images_of,
};
use crate::ImageError;
use crate::names::{composed, file_name, stem};

pub(super) struct ParallelFolders;

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
        Ok(meaning(&root.folders)? == Meaning::Channels)
    }

    fn read(&self, path: &Path) -> Result<Found, ImageError> {
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
