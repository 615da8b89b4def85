//! Plain folders and single files: one file per field with its channels as pages, or one file per
//! channel, told apart by the end of the name.
//!
//! - `a.tif` + `a.json` (+ `a_labels.tif`, which is truth): pages are the `channels` of the JSON.
//! - `set1_bf.tif`, `set1_dapi.tif` + `set1.json`: channels `bf` and `dapi` of the field `set1`.
//!   Without a JSON the same holds for ends that are channel words ([`is_channel_word`]).
//! - Any other scheme: `pattern`.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::imagexpress::named_like_a_plate;
use super::ome;
use super::sidecar::{self, ByField, Facts};
use super::words::is_channel_word;
use super::{
    Channels, Draft, Entries, Found, Layout, Notes, Pages, channels_of, drafts_by_time, foreign,
    images_of,
};
use crate::ImageError;
use crate::format::{FileInfo, read_info};
use crate::names::{
    composed, file_name, folder_name, folder_of, marked_names, natural_order, stem, truth_stem,
};

pub(super) struct SingleFile;
pub(super) struct Folder;

impl Layout for SingleFile {
    fn name(&self) -> &'static str {
        "file"
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        Ok(path.is_file())
    }

    fn read(&self, path: &Path) -> Result<Found, ImageError> {
        // A single file that cannot be read is the user's question, and its error the answer.
        let info = read_info(path).map_err(|error| foreign::named_alone(path).unwrap_or(error))?;
        if info.ours {
            return Err(ImageError::own_output(path, "an image of results or truth"));
        }
        Ok(read_files(folder_of(path), vec![path.to_path_buf()], false))
    }
}

impl Layout for Folder {
    fn name(&self) -> &'static str {
        "folder"
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        Ok(path.is_dir() && !Entries::of(path)?.images.is_empty())
    }

    fn read(&self, path: &Path) -> Result<Found, ImageError> {
        let entries = Entries::of(path)?;
        let beside = foreign::beside(&entries, |_| false);
        let looks_like_plate = named_like_a_plate(&entries.images);
        let mut found = read_files(path, entries.images, true);
        found.problems.extend(beside);
        if looks_like_plate {
            found.problems.push(
                "the names are those of an ImageXpress plate, but its description (`.HTD`) is \
                 missing, so that wells, sites and the names of channels are not known; copy it \
                 beside the images"
                    .into(),
            );
        }
        Ok(found)
    }
}

/// Files that make one field, each with the name of its channel if it stands for one.
struct Group {
    name: String,
    json: Option<PathBuf>,
    members: Vec<(Option<String>, PathBuf)>,
}

/// Reads image files of the folder `root`, all of them if it is `whole`, as fields. Truth files
/// among images are left out.
pub(super) fn read_files(root: &Path, mut paths: Vec<PathBuf>, whole: bool) -> Found {
    paths.sort_by(|a, b| natural_order(&file_name(a), &file_name(b)));
    let mut notes = Notes::default();
    leave_truth_out(&mut paths, &mut notes);
    let table = sidecar::table(root, &mut notes);
    let sets = ome::take_out(root, whole, &mut paths, &mut notes);

    let alone = match folder_name(root) {
        name if name.is_empty() => "image".into(),
        name => name,
    };
    let (mut fields, mut light) = (Vec::new(), Vec::new());
    for group in group(paths) {
        let mut facts = Facts::default();
        if let Some(json) = &group.json
            && let Some(found) = Facts::from_json(json, &mut notes)
        {
            facts = found;
        }
        if let Some(row) = table.get(&group.name) {
            facts.add(row);
        }
        let mut drafts: BTreeMap<String, Draft> = BTreeMap::new();
        for (channel, path) in &group.members {
            let Some(info) = notes.info(path) else {
                continue;
            };
            for (name, info) in images_of(&group.name, info) {
                let names = page_names(&facts, channel.as_deref(), info.pages.len());
                let pages = match &names {
                    PageNames::Channels(names) => Pages::Channels(names),
                    PageNames::Planes => Pages::Planes,
                    PageNames::Unknown => Pages::Unknown,
                };
                let prefix = channel
                    .as_ref()
                    .map_or(String::new(), |channel| format!("{channel}_"));
                let alone = channel.as_deref().unwrap_or(&alone);
                let times = channels_of(path, &info, &pages, alone, &prefix, &mut notes);
                light.extend(light_of(&times, &info));
                for found in drafts_by_time(&name, times) {
                    let draft = drafts.entry(found.name.clone()).or_insert_with(|| Draft {
                        position: found.position,
                        time: found.time,
                        metadata: with_facts(&facts.metadata, &info),
                        pixel_um: facts.pixel_um.into_iter().collect(),
                        ..Draft::named(&found.name)
                    });
                    draft.channels.extend(found.channels);
                    draft.pixel_um.extend(info.pixel_um);
                }
            }
        }
        fields.extend(drafts.into_values());
    }
    let mut found = with_sets(fields, sets, &table);
    found.say_light(light);
    found.problems.extend(notes.into_problems());
    found
}

/// The fields of files, and those of sets.
fn with_sets(mut fields: Vec<Draft>, sets: Vec<(PathBuf, ome::Opened)>, table: &ByField) -> Found {
    let names: HashSet<String> = fields.iter().map(|draft| draft.name.clone()).collect();
    let mut found = ome::fields(sets, &names);
    table.add_to(&mut found.fields);
    fields.append(&mut found.fields);
    Found { fields, ..found }
}

/// Of the channels of a file of which it says so: whether they were taken in transmitted light.
pub(super) fn light_of(times: &[Channels], info: &FileInfo) -> Vec<(String, bool)> {
    let channels = times.first().map(Vec::as_slice).unwrap_or_default();
    let said = &info.facts.transmitted;
    if channels.len() != said.len() {
        return Vec::new();
    }
    let named = channels.iter().zip(said);
    named
        .filter_map(|((name, _), said)| Some((name.clone(), (*said)?)))
        .collect()
}

/// What a sidecar says of a field, and what its file does.
pub(super) fn with_facts(
    sidecar: &BTreeMap<String, String>,
    info: &FileInfo,
) -> BTreeMap<String, String> {
    let (planes, times) = info
        .axes
        .as_ref()
        .map_or((1, 1), |axes| (axes.planes, axes.times));
    let facts = &info.facts;
    let [x_um, y_um] = facts.centre_um.map_or([None; 2], |place| place.map(Some));
    let mut found = BTreeMap::new();
    for (key, value) in [
        ("z_step_um", facts.z_step_um.filter(|_| planes > 1)),
        ("time_step_s", facts.time_step_s.filter(|_| times > 1)),
        ("x_um", x_um),
        ("y_um", y_um),
    ] {
        found.extend(value.map(|value| (key.to_string(), crate::rounded_um(value).to_string())));
    }
    found.extend(sidecar.clone());
    found
}

/// Leaves out the truth of images that lie in the same folder.
pub(super) fn leave_truth_out(paths: &mut Vec<PathBuf>, notes: &mut Notes) {
    let names: HashSet<String> = paths.iter().map(|path| composed(&stem(path))).collect();
    let fields: HashSet<&str> = names
        .iter()
        .flat_map(|name| shorter_names(name).filter(|(_, end)| is_channel_word(end)))
        .map(|(field, _)| field)
        .collect();
    let has_image = |base: &str| names.contains(base) || fields.contains(base);
    let is_of_image = |path: &PathBuf| {
        let bases = marked_names(&composed(&stem(path)));
        bases.iter().any(|base| has_image(base))
    };
    let is_sure = |path: &PathBuf| truth_stem(&stem(path)).is_some();
    if paths.iter().all(is_sure) {
        return;
    }
    for path in paths
        .iter()
        .filter(|path| is_sure(path) && !is_of_image(path))
    {
        notes.add(
            "named as truth, but no image of that name lies beside it; left out",
            path,
        );
    }
    paths.retain(|path| !is_sure(path) && !is_of_image(path));
}

/// Which files belong together, by the sidecars that lie beside them and by their names.
fn group(paths: Vec<PathBuf>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut by_json: BTreeMap<PathBuf, Vec<(String, PathBuf)>> = BTreeMap::new();
    let mut rest = Vec::new();
    for path in paths {
        let name = stem(&path);
        let own = path.with_file_name(format!("{name}.json"));
        if own.is_file() {
            groups.push(Group {
                name,
                json: Some(own),
                members: vec![(None, path)],
            });
            continue;
        }
        match shorter_names(&name).find_map(|(field, end)| {
            let json = path.with_file_name(format!("{field}.json"));
            json.is_file().then_some((json, end.to_string()))
        }) {
            Some((json, channel)) => by_json.entry(json).or_default().push((channel, path)),
            None => rest.push(path),
        }
    }
    for (json, members) in by_json {
        if members.len() > 1 {
            let members = members
                .into_iter()
                .map(|(c, path)| (Some(c), path))
                .collect();
            groups.push(Group {
                name: stem(&json),
                json: Some(json),
                members,
            });
        } else {
            // A single file is a field of its own name; the sidecar still tells about it.
            groups.extend(members.into_iter().map(|(_, path)| Group {
                name: stem(&path),
                json: Some(json.clone()),
                members: vec![(None, path)],
            }));
        }
    }
    let mut by_word: BTreeMap<(PathBuf, String), Vec<(String, PathBuf)>> = BTreeMap::new();
    for path in rest {
        let name = stem(&path);
        let folder = folder_of(&path).to_path_buf();
        let cut = shorter_names(&name)
            .next()
            .filter(|(_, end)| is_channel_word(end));
        match cut {
            Some((field, channel)) => by_word
                .entry((folder, composed(field)))
                .or_default()
                .push((channel.to_string(), path)),
            None => groups.push(Group {
                name,
                json: None,
                members: vec![(None, path)],
            }),
        }
    }
    for ((_, name), members) in by_word {
        if members.len() > 1 {
            let members = members
                .into_iter()
                .map(|(c, path)| (Some(c), path))
                .collect();
            groups.push(Group {
                name,
                json: None,
                members,
            });
        } else {
            groups.extend(members.into_iter().map(|(_, path)| Group {
                name: stem(&path),
                json: None,
                members: vec![(None, path)],
            }));
        }
    }
    groups
}

/// `a_b_c` as (`a_b`, `c`), (`a`, `b_c`): the longest field name first.
pub(super) fn shorter_names(name: &str) -> impl Iterator<Item = (&str, &str)> {
    name.rmatch_indices(['_', '-', ' '])
        .map(|(at, _)| (&name[..at], &name[at + 1..]))
        .filter(|(field, end)| !field.is_empty() && !end.is_empty())
}

enum PageNames {
    Unknown,
    Planes,
    Channels(Vec<String>),
}

/// What a sidecar says about the pages of a file.
///
/// For a file with all channels: the list `channels`. For the file of one channel (`set1_bf.tif`):
/// `bf_pages`, whose texts name channels unless they speak of depth, or the list `planes` if it
/// has an entry per page; a stack of one channel otherwise.
fn page_names(facts: &Facts, channel: Option<&str>, pages: usize) -> PageNames {
    let Some(channel) = channel else {
        if let Some(names) = facts.texts("channels") {
            return PageNames::Channels(names);
        }
        let planes = facts.json.get("planes").and_then(Value::as_array);
        return match planes {
            Some(list) if list.len() == pages => PageNames::Planes,
            _ => PageNames::Unknown,
        };
    };
    if pages == 1 {
        return PageNames::Planes;
    }
    match facts.texts(&format!("{channel}_pages")) {
        Some(names) if names.len() == pages && !names.iter().any(|name| is_depth(name)) => {
            PageNames::Channels(names)
        }
        _ => PageNames::Planes,
    }
}

fn is_depth(name: &str) -> bool {
    let lower = name.to_lowercase();
    let rest = lower
        .strip_prefix('z')
        .map(|rest| rest.trim_start_matches(['_', '-', '=', ' ']));
    let numbered = rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    numbered
        || lower.parse::<f64>().is_ok()
        || ["depth", "plane", "slice", "defocus", "focus"]
            .iter()
            .any(|word| lower.contains(word))
}
