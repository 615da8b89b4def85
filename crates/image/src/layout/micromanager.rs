//! Micro-Manager's data sets of separate files: one TIFF per plane, one folder per position.
//!
//! - 1.4: `Pos0/img_000000012_DAPI_003.tif`: time, channel by name, plane, from 0.
//! - 2.0: `Pos0/img_channel000_position000_time000000012_z003.tif`; a lone position lies in
//!   `Default`, or in the folder of the acquisition.
//!
//! `metadata.txt` beside the images is JSON: `Summary` (`ChNames`, `PixelSize_um`, `z-step_um`,
//! `Interval_ms`), and of every image an object, called `FrameKey-TIME-CHANNEL-PLANE` (1.4, with a
//! `FileName`) or `Metadata-FOLDER/FILE` (2.0), with `Channel`, `PixelSizeUm`, `XPositionUm` and
//! `YPositionUm`. Sizes of 0 and counts of -1 mean that nothing is known. Where Micro-Manager was
//! stopped, the end is missing. Read from the test data of Micro-Manager and programs that read it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Draft, Entries, Found, Layout, Notes, SEVERAL_PAGES, Slot, ome, sidecar};
use crate::names::{file_name, folder_name, folder_of, is_image_name, natural_order};
use crate::{ImageError, PlaneRef, rounded_um};

pub(super) struct SeparateFiles;

/// What is said of a folder's images.
const METADATA: &str = "metadata.txt";
/// Larger metadata is damage: 100,000 images take 300 MB.
const MOST_BYTES: u64 = 1 << 30;
/// Planes of a channel; higher numbers are damage.
const MOST_PLANES: usize = 1 << 14;

impl Layout for SeparateFiles {
    fn name(&self) -> &'static str {
        "micro-manager"
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        Ok(!positions_in(acquisition(path))?.is_empty())
    }

    fn read(&self, path: &Path) -> Result<Found, ImageError> {
        let root = acquisition(path);
        let mut notes = Notes::default();
        let mut set = DataSet::default();
        for folder in positions_in(root)? {
            set.add(&folder, &mut notes)?;
        }
        let mut found = set.into_found(root, &mut notes);
        let table = sidecar::table(root, &mut notes);
        table.add_to(&mut found.fields);
        found.problems.extend(notes.into_problems());
        Ok(found)
    }
}

/// The folder that is meant, where its metadata was named.
fn acquisition(path: &Path) -> &Path {
    match file_name(path) == METADATA && path.is_file() {
        true => folder_of(path),
        false => path,
    }
}

/// Folders of positions: `path` itself, or those in it if it has no images of its own.
fn positions_in(path: &Path) -> Result<Vec<PathBuf>, ImageError> {
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let mut folders = Vec::new();
    let mut has_images = false;
    for entry in std::fs::read_dir(path).map_err(|error| ImageError::read(path, error))? {
        let entry = entry.map_err(|error| ImageError::read(path, error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if Place::of(&name).is_some() {
            return Ok(vec![path.to_path_buf()]);
        }
        if is_image_name(Path::new(&name)) {
            has_images = true;
            continue;
        }
        if !name.starts_with('.') && entry.path().is_dir() {
            folders.push(entry.path());
        }
    }
    if has_images {
        return Ok(Vec::new());
    }
    folders.retain(|folder| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.any(|name| Place::of(&name).is_some())
    });
    folders.sort_by(|a, b| natural_order(&file_name(a), &file_name(b)));
    Ok(folders)
}

/// What the name of an image says, from 0.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    channel: ChannelKey,
    position: u32,
    time: u32,
    z: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ChannelKey {
    Number(u32),
    Name(String),
}

/// Version 1.4. The name of a channel may hold anything.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    let name = r"(?i)^img_(?<time>\d{9})_(?<channel>.*)_(?<z>-?\d{3,9})\.tiff?$";
    Regex::new(name).expect("a valid pattern")
});
/// Version 2: axes in the order of their names.
static NUMBERED: LazyLock<Regex> = LazyLock::new(|| {
    let name = r"(?i)^img(?:_[a-z]+-?\d+)+\.tiff?$";
    Regex::new(name).expect("a valid pattern")
});
static AXIS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"_([A-Za-z]+)(-?\d+)").expect("a valid pattern"));

impl Place {
    fn of(name: &str) -> Option<Self> {
        if let Some(found) = NAMED.captures(name) {
            return Some(Self {
                channel: ChannelKey::Name(found["channel"].to_string()),
                position: 0,
                time: found["time"].parse().ok()?,
                z: found["z"].parse().ok()?,
            });
        }
        if !NUMBERED.is_match(name) {
            return None;
        }
        let mut axes: HashMap<String, i64> = HashMap::new();
        for axis in AXIS.captures_iter(name) {
            axes.insert(axis[1].to_lowercase(), axis[2].parse().ok()?);
        }
        // Other programs write `img_t001` as well.
        let has = |axis: &str| axes.contains_key(axis);
        if !has("channel") || !has("position") && !has("time") {
            return None;
        }
        let number = |axis: &str| axes.get(axis).copied().unwrap_or(0);
        Some(Self {
            channel: ChannelKey::Number(number("channel").try_into().ok()?),
            position: number("position").try_into().ok()?,
            time: number("time").try_into().ok()?,
            z: number("z").try_into().ok()?,
        })
    }
}

/// An object of the metadata; what is not used is passed over.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Object(Box<Said>),
    Other(IgnoredAny),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    #[serde(rename = "ChNames")]
    names: Value,
    #[serde(rename = "PixelSize_um")]
    pixel_um_of_all: Value,
    #[serde(rename = "PixelSizeUm")]
    pixel_um: Value,
    #[serde(rename = "z-step_um")]
    z_step_um: Value,
    #[serde(rename = "Interval_ms")]
    interval_ms: Value,
    #[serde(rename = "FileName")]
    file: Value,
    #[serde(rename = "Channel")]
    channel: Value,
    #[serde(rename = "ChannelIndex")]
    channel_index: Value,
    #[serde(rename = "PositionName")]
    position: Value,
    #[serde(rename = "XPositionUm")]
    x_um: Value,
    #[serde(rename = "YPositionUm")]
    y_um: Value,
}

/// A number above 0, also one written as a text.
fn positive(value: &Value) -> Option<f64> {
    let number = value
        .as_f64()
        .or_else(|| value.as_str()?.trim().parse().ok());
    number.filter(|number| number.is_finite() && *number > 0.0)
}

/// What is said of the images of one folder.
#[derive(Default)]
struct Metadata {
    summary: Said,
    /// By the names of files.
    images: HashMap<String, Said>,
}

impl Metadata {
    /// Of the folder `folder`; empty, with a problem, where there is none.
    fn of(folder: &Path, notes: &mut Notes) -> Self {
        let path = folder.join(METADATA);
        let bytes = match std::fs::metadata(&path).map(|facts| facts.len()) {
            Ok(length) if length > MOST_BYTES => Err("it is too large".to_string()),
            _ => std::fs::read(&path).map_err(|error| error.to_string()),
        };
        let entries = bytes.and_then(|bytes| Self::entries(&bytes));
        let entries = entries.unwrap_or_else(|what| {
            let sentence = format!(
                "its `{METADATA}` cannot be used ({what}), so that names of channels are those of \
                 the files, and no pixel size is taken from it"
            );
            notes.add(sentence, folder);
            BTreeMap::new()
        });
        let mut found = Self::default();
        for (key, entry) in entries {
            let Entry::Object(said) = entry else { continue };
            if key == "Summary" {
                found.summary = *said;
                continue;
            }
            let stated = said.file.as_str().map(str::to_string);
            let Some(file) = stated.or_else(|| Some(key.split_once('-')?.1.to_string())) else {
                continue;
            };
            // `Coords-..` of the same image say nothing that its name does not.
            if !key.starts_with("Coords-") {
                let name = file.rsplit(['/', '\\']).next().unwrap_or_default();
                found.images.insert(name.to_string(), *said);
            }
        }
        found
    }

    /// The objects of the metadata, also where its end is missing.
    fn entries(bytes: &[u8]) -> Result<BTreeMap<String, Entry>, String> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_start_matches('\u{feff}').trim();
        let whole = serde_json::from_str(text);
        whole.or_else(|error| {
            let cut = text.trim_end_matches([',', '\n', '\r', ' ']);
            serde_json::from_str(&format!("{cut}}}")).map_err(|_| error.to_string())
        })
    }

    fn names(&self) -> Vec<String> {
        let names = match &self.summary.names {
            Value::Array(names) => names.clone(),
            // Older versions wrote the list as a text.
            Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
            _ => Vec::new(),
        };
        let texts = names.iter().map(|name| name.as_str().unwrap_or_default());
        texts.map(|name| name.trim().to_string()).collect()
    }
}

/// One position.
#[derive(Default)]
struct Position {
    folder: PathBuf,
    /// What the metadata calls it.
    label: Option<String>,
    /// Planes by time, channel and z.
    planes: BTreeMap<(u32, ChannelKey, i32), Slot>,
    pixel_um: Vec<f64>,
    centre_um: Option<[f64; 2]>,
}

/// All positions of an acquisition.
#[derive(Default)]
struct DataSet {
    /// By folder and number.
    positions: BTreeMap<(usize, u32), Position>,
    folders: usize,
    /// What channels are called, with where they come among the others.
    names: BTreeMap<ChannelKey, (u64, String)>,
    z_step_um: Option<f64>,
    time_step_s: Option<f64>,
}

impl DataSet {
    /// Adds the images of one folder.
    fn add(&mut self, folder: &Path, notes: &mut Notes) -> Result<(), ImageError> {
        let metadata = Metadata::of(folder, notes);
        let names = metadata.names();
        let summary = &metadata.summary;
        self.z_step_um = self.z_step_um.or(positive(&summary.z_step_um));
        let interval_s = positive(&summary.interval_ms).map(|ms| ms / 1000.0);
        self.time_step_s = self.time_step_s.or(interval_s);
        let summary_um = positive(&summary.pixel_um_of_all).or(positive(&summary.pixel_um));
        for path in Entries::of(folder)?.images {
            let name = file_name(&path);
            let Some(place) = Place::of(&name) else {
                notes.add("its name is none of Micro-Manager's; left out", &path);
                continue;
            };
            let Some(info) = notes.info(&path) else {
                continue;
            };
            if info.pages.len() > 1 {
                notes.add(SEVERAL_PAGES, &path);
            }
            let said = metadata.images.get(&name);
            self.name_channel(&place.channel, said, &names);
            let key = (self.folders, place.position);
            let position = self.positions.entry(key).or_default();
            position.folder = folder.to_path_buf();
            let pixel_um = said
                .and_then(|said| positive(&said.pixel_um))
                .or(summary_um);
            position.pixel_um.extend(pixel_um.or(info.pixel_um));
            if let Some(said) = said {
                let at = said.x_um.as_f64().zip(said.y_um.as_f64());
                position.centre_um = position.centre_um.or(at.map(|(x, y)| [x, y]));
                let label = said.position.as_str().map(str::to_string);
                position.label = position.label.take().or(label);
            }
            let slot = Slot {
                place: PlaneRef::of_file(path.clone(), 0),
                size: info.pages.first().copied().unwrap_or_default(),
            };
            let plane = (place.time, place.channel, place.z);
            if let Some(other) = position.planes.insert(plane, slot) {
                let sentence = format!(
                    "shows the same plane as `{}`, which is left out",
                    file_name(other.place.location())
                );
                notes.add(sentence, &path);
            }
        }
        self.folders += 1;
        Ok(())
    }

    /// Notes what a channel is called: by the metadata of the image, by its number in the list of
    /// names, or by the file.
    fn name_channel(&mut self, key: &ChannelKey, said: Option<&Said>, names: &[String]) {
        if self.names.contains_key(key) {
            return;
        }
        let stated = said.and_then(|said| said.channel.as_str()).map(str::trim);
        let stated = stated.filter(|name| !name.is_empty());
        let listed = |number: u32| names.get(number as usize).filter(|name| !name.is_empty());
        let name = match (stated, key) {
            (Some(name), _) => name.to_string(),
            (None, ChannelKey::Number(number)) => listed(*number)
                .cloned()
                .unwrap_or_else(|| format!("C{}", number.saturating_add(1))),
            (None, ChannelKey::Name(name)) if name.is_empty() => "C1".into(),
            (None, ChannelKey::Name(name)) => name.clone(),
        };
        let number = match key {
            ChannelKey::Number(number) => Some(u64::from(*number)),
            ChannelKey::Name(_) => said.and_then(|said| said.channel_index.as_u64()),
        };
        let in_list = || {
            names
                .iter()
                .position(|other| *other == name)
                .map(|at| at as u64)
        };
        let order = number.or_else(in_list).unwrap_or(u64::MAX);
        self.names.insert(key.clone(), (order, name));
    }

    /// Channels in their order, with names that differ.
    fn channels(&self) -> Vec<(ChannelKey, String)> {
        let mut sorted: Vec<_> = self.names.iter().collect();
        sorted.sort_by(|(a, (x, one)), (b, (y, other))| {
            x.cmp(y).then(natural_order(one, other)).then(a.cmp(b))
        });
        let count = |name: &str| {
            sorted
                .iter()
                .filter(|(_, (_, other))| other == name)
                .count()
        };
        let named = sorted.iter().enumerate().map(|(k, (key, (_, name)))| {
            let name = match count(name) {
                1 => name.clone(),
                _ => format!("{name}_C{}", k + 1),
            };
            ((*key).clone(), name)
        });
        named.collect()
    }

    fn into_found(self, root: &Path, notes: &mut Notes) -> Found {
        let channels = self.channels();
        let mut depths: BTreeMap<&ChannelKey, BTreeSet<i32>> = BTreeMap::new();
        let mut times = BTreeSet::new();
        for position in self.positions.values() {
            for (time, channel, z) in position.planes.keys() {
                depths.entry(channel).or_default().insert(*z);
                times.insert(*time);
            }
        }
        let names = self.position_names();
        let lapse = times.len() > 1;
        let deepest = depths.values().map(BTreeSet::len).max().unwrap_or(0);
        let mut fields = Vec::new();
        for (position, (name, place)) in self.positions.values().zip(names) {
            let mut metadata = BTreeMap::new();
            let [x_um, y_um] = position
                .centre_um
                .map_or([None; 2], |place| place.map(Some));
            for (key, value) in [
                ("z_step_um", self.z_step_um.filter(|_| deepest > 1)),
                ("time_step_s", self.time_step_s.filter(|_| lapse)),
                ("x_um", x_um),
                ("y_um", y_um),
            ] {
                metadata.extend(value.map(|v| (key.to_string(), rounded_um(v).to_string())));
            }
            let of_position: BTreeSet<u32> = position.planes.keys().map(|key| key.0).collect();
            for time in of_position {
                let slots = channels.iter().map(|(key, channel)| {
                    let planes = depths.get(key).into_iter().flatten().take(MOST_PLANES);
                    let slot = |&z| position.planes.get(&(time, key.clone(), z)).cloned();
                    (channel.clone(), planes.map(slot).collect())
                });
                let mut pixel_um = position.pixel_um.clone();
                pixel_um.dedup();
                fields.push(Draft {
                    name: match lapse {
                        true => format!("{name}_t{:03}", time.saturating_add(1)),
                        false => name.clone(),
                    },
                    position: Some(name.clone()),
                    plate: place.is_some().then(|| folder_name(root)),
                    well: place.as_ref().map(|(well, _)| well.clone()),
                    site: place.as_ref().map(|(_, site)| *site),
                    time: lapse.then_some(time.saturating_add(1)),
                    channels: slots.collect(),
                    pixel_um,
                    metadata: metadata.clone(),
                });
            }
        }
        if deepest > MOST_PLANES {
            notes.add(format!("planes beyond {MOST_PLANES} are left out"), root);
        }
        Found {
            fields,
            channel_order: channels.into_iter().map(|(_, name)| name).collect(),
            ..Found::default()
        }
    }

    /// What positions are called, and which well and site they show: by their labels where all of
    /// them are wells, else by their folders, with their numbers where several share one.
    fn position_names(&self) -> Vec<(String, Option<(String, u32)>)> {
        let labels = self.positions.values().map(|position| {
            let label = position.label.clone();
            label.unwrap_or_else(|| folder_name(&position.folder))
        });
        let wells: Option<Vec<(String, u32)>> = labels.map(|label| ome::of_label(&label)).collect();
        if let Some(wells) = wells {
            let distinct: BTreeSet<_> = wells.iter().collect();
            if distinct.len() == wells.len() {
                let named = wells.into_iter();
                let named =
                    named.map(|(well, site)| (format!("{well}_s{site}"), Some((well, site))));
                return named.collect();
            }
        }
        let in_folder = |folder: usize| self.positions.keys().filter(|key| key.0 == folder).count();
        let named = self.positions.iter().map(|((folder, number), position)| {
            let name = folder_name(&position.folder);
            let name = match in_folder(*folder) {
                1 => name,
                _ => format!("{name}_p{}", number.saturating_add(1)),
            };
            (name, None)
        });
        named.collect()
    }
}
