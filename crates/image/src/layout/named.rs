//! Fields of files of which place, channel, plane and time are known by their names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::files::{light_of, with_facts};
use super::{
    Channels, Draft, Found, Notes, Pages, SEVERAL_PAGES, Slot, channels_of, drafts_by_time,
    images_of, sidecar,
};
use crate::PlaneRef;
use crate::names::{file_name, list_names, natural_order};

/// What the name of one file says.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    /// Of the place; `None` = made of well and site.
    pub(super) name: Option<String>,
    /// As printed on the plate.
    pub(super) well: Option<String>,
    pub(super) site: Option<u32>,
    pub(super) channel: Option<String>,
    pub(super) z: Option<u32>,
    pub(super) time: Option<u32>,
}

impl Named {
    /// The place that the file shows.
    fn place(&self) -> String {
        let well = self.well.clone().unwrap_or_default();
        self.name.clone().unwrap_or_else(|| match self.site {
            Some(site) => format!("{well}_s{site}"),
            None => well,
        })
    }

    /// The field: the place, at its time.
    fn field(&self) -> String {
        match self.time {
            Some(time) => format!("{}_t{time:03}", self.place()),
            None => self.place(),
        }
    }

    fn draft(&self) -> Draft {
        Draft {
            position: self.time.map(|_| self.place()),
            well: self.well.clone(),
            site: self.site,
            time: self.time,
            ..Draft::named(self.field())
        }
    }
}

/// The files of a field by channel and z; several where their names make them one.
type ByChannel = BTreeMap<(String, Option<u32>), Vec<PathBuf>>;
/// The numbers of planes that a channel has in any field.
type Depths = BTreeMap<String, BTreeSet<u32>>;

/// Planes keep their place where a field lacks one, so they are counted over all fields.
fn depths(taken: &[(Named, PathBuf)]) -> Depths {
    let mut depths = Depths::new();
    for (one, _) in taken {
        let channel = one.channel.clone().unwrap_or_default();
        depths.entry(channel).or_default().extend(one.z);
    }
    depths
}

/// Puts `slot` as plane `z`, one of `levels`, into a channel.
fn put_plane(channels: &mut Channels, name: &str, (z, levels): (u32, &BTreeSet<u32>), slot: Slot) {
    let known = channels.iter().position(|(channel, _)| channel == name);
    let channel = known.unwrap_or_else(|| {
        channels.push((name.to_string(), vec![None; levels.len()]));
        channels.len() - 1
    });
    let planes = channels[channel].1.iter_mut().zip(levels);
    for (plane, _) in planes.filter(|(_, level)| **level == z) {
        *plane = Some(slot.clone());
    }
}

/// The fields of `taken`, with the facts that lie beside them in `root`. `pages` says what several
/// pages of a file are that says neither its plane nor what they are.
pub(super) fn fields_of(
    root: &Path,
    taken: Vec<(Named, PathBuf)>,
    pages: &Pages<'_>,
    mut notes: Notes,
) -> Found {
    let depths = depths(&taken);
    let mut fields: BTreeMap<String, (Draft, ByChannel)> = BTreeMap::new();
    for (one, path) in taken {
        let (_, planes) = fields
            .entry(one.field())
            .or_insert_with(|| (one.draft(), ByChannel::new()));
        let place = (one.channel.clone().unwrap_or_default(), one.z);
        planes.entry(place).or_default().push(path);
    }
    let mut found = Found::default();
    let mut channels: Vec<&String> = depths.keys().filter(|name| !name.is_empty()).collect();
    channels.sort_by(|a, b| natural_order(a, b));
    found.channel_order = channels.into_iter().cloned().collect();
    for (draft, planes) in fields.into_values() {
        let drafts = drafts(draft, planes, (&depths, pages), &mut found, &mut notes);
        found.fields.extend(drafts);
    }
    sidecar::table(root, &mut notes).add_to(&mut found.fields);
    found.problems.extend(notes.into_problems());
    found
}

/// The field `draft`, at each of its times, of the files of its planes; `found` hears of their
/// light.
fn drafts(
    mut draft: Draft,
    planes: ByChannel,
    (depths, pages): (&Depths, &Pages<'_>),
    found: &mut Found,
    notes: &mut Notes,
) -> Vec<Draft> {
    let mut times: Vec<Channels> = vec![Channels::new()];
    for ((channel, z), files) in planes {
        let [path] = &files[..] else {
            let files: Vec<String> = files.iter().map(|path| file_name(path)).collect();
            let sentence = format!(
                "{} are one plane by their names, so none of them is used",
                list_names(&files)
            );
            notes.by_sentence.entry(sentence).or_default();
            continue;
        };
        let Some(info) = notes.info(path) else {
            continue;
        };
        let mut images = images_of("", info).into_iter().map(|(_, info)| info);
        let Some(info) = images.next() else { continue };
        if images.next().is_some() {
            notes.add("it has several images, of which the first is used", path);
        }
        draft.pixel_um.extend(info.pixel_um);
        draft.metadata.extend(with_facts(&BTreeMap::new(), &info));
        let name = match channel.as_str() {
            "" => "image",
            name => name,
        };
        if let Some(z) = z {
            if info.pages.len() > 1 {
                notes.add(SEVERAL_PAGES, path);
            }
            let slot = Slot {
                place: PlaneRef::of_file(path.clone(), 0),
                size: info.pages[0],
            };
            put_plane(&mut times[0], name, (z, &depths[&channel]), slot);
            continue;
        }
        let prefix = match channel.as_str() {
            "" => String::new(),
            name => format!("{name}_"),
        };
        let mut of_file = channels_of(path, &info, pages, name, &prefix, notes);
        found.say_light(light_of(&of_file, &info));
        if draft.time.is_some() && of_file.len() > 1 {
            notes.add("it has several times, of which the first is used", path);
            of_file.truncate(1);
        }
        times.resize_with(times.len().max(of_file.len()), Channels::new);
        for (time, channels) in times.iter_mut().zip(of_file) {
            time.extend(channels);
        }
    }
    let at_times = drafts_by_time(&draft.name, times).into_iter();
    let drafts = at_times.map(|at| Draft {
        name: at.name,
        position: at.position.or_else(|| draft.position.clone()),
        time: at.time.or(draft.time),
        channels: at.channels,
        ..draft.clone()
    });
    drafts.filter(|draft| !draft.channels.is_empty()).collect()
}
