//! Plates of files whose names say well, site, time and channel: from names to fields.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Draft, Entries, Found, Notes, SEVERAL_PAGES, Slot, joined, sidecar};
use crate::names::{file_name, list_names, looks_like_truth, stem};
use crate::{ImageError, PlaneRef};

/// What the name of one file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// What tells its plate, or a reading of it, from others that are opened with it.
    pub(super) of: String,
    pub(super) plate: String,
    /// As printed on the plate (`B02`).
    pub(super) well: String,
    /// From 1.
    pub(super) site: u32,
    /// On a scale that only orders.
    pub(super) time: u64,
    pub(super) channel: String,
    pub(super) path: PathBuf,
}

/// The images in `folder` or, where it has none, in the folders in it; none if there is one that
/// `is_one` does not know, truth aside.
///
/// # Errors
/// If a folder cannot be listed.
pub(super) fn images_at(
    folder: &Path,
    is_one: impl Fn(&Path) -> bool,
) -> Result<Vec<PathBuf>, ImageError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let root = Entries::of(folder)?;
    let mut images = root.images;
    if images.is_empty() {
        for folder in root.folders {
            images.extend(Entries::of(&folder)?.images);
        }
    }
    images.retain(|path| is_one(path) || !looks_like_truth(&stem(path)));
    match images.iter().all(|path| is_one(path)) {
        true => Ok(images),
        false => Ok(Vec::new()),
    }
}

/// Files of one place, time and channel; several where names repeat.
type Files = Vec<PathBuf>;
/// By well, site and time, then by channel.
type Fields = BTreeMap<(String, u32, u64), BTreeMap<String, Files>>;

/// The fields of files. `about` says the pixel size of a file, or what is wrong about it.
pub(super) fn found(
    root: &Path,
    taken: Vec<Taken>,
    about: impl Fn(&Path) -> Result<Option<f64>, String>,
) -> Found {
    let mut plates: BTreeMap<(String, String), Fields> = BTreeMap::new();
    for one in taken {
        let fields = plates.entry((one.of, one.plate)).or_default();
        let field = fields.entry((one.well, one.site, one.time)).or_default();
        field.entry(one.channel).or_default().push(one.path);
    }
    let mut notes = Notes::default();
    let plates = plates.into_iter().map(|((of, plate), fields)| {
        let found = fields_of(&plate, fields, &about, &mut notes);
        (of, found)
    });
    let mut found = joined(plates.collect(), Vec::new());
    let table = sidecar::table(root, &mut notes);
    table.add_to(&mut found.fields);
    found.problems.extend(notes.into_problems());
    found
}

fn fields_of(
    plate: &str,
    fields: Fields,
    about: &impl Fn(&Path) -> Result<Option<f64>, String>,
    notes: &mut Notes,
) -> Found {
    let times: BTreeSet<u64> = fields.keys().map(|(_, _, time)| *time).collect();
    let numbers: BTreeMap<u64, u32> = times.into_iter().zip(1..).collect();
    let lapse = numbers.len() > 1;
    let mut found = Found::default();
    for ((well, site, time), channels) in fields {
        let position = format!("{well}_s{site}");
        let number = numbers.get(&time).copied().filter(|_| lapse);
        let mut draft = Draft {
            plate: Some(plate.to_string()),
            site: Some(site),
            time: number,
            ..Draft::named(match number {
                Some(number) => format!("{position}_t{number:03}"),
                None => position.clone(),
            })
        };
        (draft.well, draft.position) = (Some(well), Some(position));
        for (channel, files) in channels {
            let [file] = &files[..] else {
                let names: Vec<String> = files.iter().map(|file| file_name(file)).collect();
                found.problems.push(format!(
                    "{} are files of one place, time and channel, so none of them is used",
                    list_names(&names)
                ));
                continue;
            };
            let Some(info) = notes.info(file) else {
                continue;
            };
            let size = info.pages[0];
            // Smaller pages are copies of the first one, for viewing.
            if info.pages[1..].contains(&size) {
                notes.add(SEVERAL_PAGES, file);
            }
            match about(file) {
                Ok(um) => draft.pixel_um.extend(um.or(info.pixel_um)),
                Err(problem) => notes.add(problem, file),
            }
            let place = PlaneRef::of_file(file.clone(), 0);
            draft
                .channels
                .push((channel, vec![Some(Slot { place, size })]));
        }
        found.fields.push(draft);
    }
    found
}
