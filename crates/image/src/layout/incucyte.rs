//! Images of an Incucyte: exported ones, and its archive.
//!
//! Exported: `VID1630_C4_1_00d23h56m.tif`, with what the user put before the well, the field, and
//! the time since the start or (`2026y10m05d_14h30m`) of the day. The channel is the folder's name
//! (`phase`, `red`) or the word before the well (`VID9955_Phase_B3_1_..`); folders of other names
//! are groups of wells, or channels where they hold
//! the same places. Archive: `EssenFiles/ScanData/<YYMM>/<DD>/<HHMM>/<vessel>/`, in it
//! `A1-1-Ph.tif` (well, field, channel), each with smaller copies as further pages. (Names as
//! several public analyses and converters read them; no real file was at hand.)

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::taken::{Taken, found, images_at};
use super::{Entries, Found, Layout};
use crate::ImageError;
use crate::names::{file_name, folder_name, folder_of, printed_well, stem};

/// Exported images.
pub(super) struct Exported;

/// The archive that the Incucyte keeps itself.
pub(super) struct Archive;

impl Layout for Exported {
    fn name(&self) -> &'static str {
        "incucyte"
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        let images = images_at(path, |image| exported(image).is_some())?;
        Ok(!images.is_empty())
    }

    fn read(&self, path: &Path) -> Result<Found, ImageError> {
        let images = images_at(path, |image| exported(image).is_some())?;
        let taken = images.iter().filter_map(|image| exported(image));
        let mut taken: Vec<Taken> = taken.collect();
        name_by_folders(&mut taken);
        Ok(found(path, taken, |_| Ok(None)))
    }
}

impl Layout for Archive {
    fn name(&self) -> &'static str {
        "incucyte-archive"
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        match scans_of(path) {
            Some(scans) => Ok(!vessels(&scans)?.is_empty()),
            None => Ok(false),
        }
    }

    fn read(&self, path: &Path) -> Result<Found, ImageError> {
        let (mut taken, mut others) = (Vec::new(), 0);
        for (time, vessel) in vessels(&scans_of(path).unwrap_or_default())? {
            for image in Entries::of(&vessel)?.images {
                match archived(time, &image) {
                    Some(one) => taken.push(one),
                    None => others += 1,
                }
            }
        }
        let mut found = found(path, taken, |_| Ok(None));
        // So the system names it, whatever the user calls its channels.
        let mut channels = found.fields.iter().flat_map(|field| &field.channels);
        if channels.any(|(name, _)| name == PHASE) {
            found.say_light([(PHASE.into(), true)]);
        }
        if others > 0 {
            found.problems.push(format!(
                "{others} images of the archive have names that are not known, and are left out"
            ));
        }
        Ok(found)
    }
}

/// Phase contrast in the names of the archive.
const PHASE: &str = "Ph";

static EXPORTED: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = concat!(
        r"(?i)^(?:(?<prefix>.+)_)?(?<row>[A-P])(?<column>\d{1,2})_(?<field>\d{1,3})_(?:",
        r"(?<days>\d{1,3})d(?<hours>\d{2})h(?<minutes>\d{2})m|",
        r"(?<year>\d{4})y(?<month>\d{2})m(?<day>\d{2})d_(?<hour>\d{2})h(?<minute>\d{2})m)$"
    );
    Regex::new(pattern).expect("a valid pattern")
});

/// The words that the program has for channels, and those that users put in their place.
const CHANNELS: [&str; 14] = [
    "phase",
    "ph",
    "phase contrast",
    "brightfield",
    "bf",
    "green",
    "red",
    "orange",
    "nir",
    "blue",
    "gfp",
    "rfp",
    "mcherry",
    "dapi",
];

fn is_channel(word: &str) -> bool {
    CHANNELS.contains(&word.to_lowercase().as_str())
}

/// The channel of images of which neither name nor folder has a known word.
const UNNAMED: &str = "C1";

/// Names channels after their folders where files in several folders show the same place at the
/// same time, so that the folders can be nothing else.
fn name_by_folders(taken: &mut [Taken]) {
    let mut folders: BTreeMap<_, BTreeSet<PathBuf>> = BTreeMap::new();
    for one in taken.iter().filter(|one| one.channel == UNNAMED) {
        let place = (one.of.clone(), one.well.clone(), one.site, one.time);
        let folder = folder_of(&one.path).to_path_buf();
        folders.entry(place).or_default().insert(folder);
    }
    let shared = folders.into_values().filter(|folders| folders.len() > 1);
    let channels: BTreeSet<PathBuf> = shared.flatten().collect();
    for one in taken.iter_mut().filter(|one| one.channel == UNNAMED) {
        if channels.contains(folder_of(&one.path)) {
            one.channel = folder_name(folder_of(&one.path));
        }
    }
}

fn exported(path: &Path) -> Option<Taken> {
    let name = stem(path);
    let said = EXPORTED.captures(&name)?;
    let number = |group: &str| said.name(group)?.as_str().parse::<u64>().ok();
    let time = match number("days") {
        Some(days) => 60 * (24 * days + number("hours")?) + number("minutes")?,
        None => ["year", "month", "day", "hour", "minute"]
            .into_iter()
            .try_fold(0, |time, part| Some(100 * time + number(part)?))?,
    };
    let prefix = said.name("prefix").map_or("", |found| found.as_str());
    let (before, last) = prefix.rsplit_once('_').unwrap_or(("", prefix));
    let folder = folder_name(folder_of(path));
    let (plate, channel) = match (is_channel(&folder), is_channel(last)) {
        (true, false) => (prefix, folder.as_str()),
        (true, true) => (before, folder.as_str()),
        (false, true) => (before, last),
        (false, false) => (prefix, UNNAMED),
    };
    Some(Taken {
        of: plate.to_string(),
        plate: plate.to_string(),
        well: printed_well(&said["row"], &said["column"])?,
        site: said["field"].parse().ok()?,
        time,
        channel: channel.to_string(),
        path: path.to_path_buf(),
    })
}

/// The folder of the scans of the archive that `path` is, or lies within.
fn scans_of(path: &Path) -> Option<PathBuf> {
    let below = ["EssenFiles/ScanData", "ScanData"];
    let found = below.iter().map(|below| path.join(below));
    let itself = (file_name(path) == "ScanData").then(|| path.to_path_buf());
    found.chain(itself).find(|folder| folder.is_dir())
}

/// Folders of vessels with the time of each scan.
fn vessels(scans: &Path) -> Result<Vec<(u64, PathBuf)>, ImageError> {
    let mut folders = vec![(0, scans.to_path_buf())];
    for digits in [4, 2, 4] {
        let mut inside = Vec::new();
        for (time, folder) in folders {
            for within in Entries::of(&folder)?.folders {
                let name = file_name(&within);
                let number = name.parse::<u64>().ok().filter(|_| name.len() == digits);
                inside.extend(number.map(|number| (10_000 * time + number, within)));
            }
        }
        folders = inside;
    }
    let mut vessels = Vec::new();
    for (time, folder) in folders {
        let within = Entries::of(&folder)?.folders;
        vessels.extend(within.into_iter().map(|vessel| (time, vessel)));
    }
    Ok(vessels)
}

static ARCHIVED: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?i)^(?<row>[A-P])(?<column>\d{1,2})-(?<field>\d{1,3})-(?<channel>C\d|Ph)$";
    Regex::new(pattern).expect("a valid pattern")
});

fn archived(time: u64, path: &Path) -> Option<Taken> {
    let name = stem(path);
    let said = ARCHIVED.captures(&name)?;
    let vessel = folder_name(folder_of(path));
    Some(Taken {
        of: vessel.clone(),
        plate: vessel,
        well: printed_well(&said["row"], &said["column"])?,
        site: said["field"].parse().ok()?,
        time,
        channel: said["channel"].to_string(),
        path: path.to_path_buf(),
    })
}
