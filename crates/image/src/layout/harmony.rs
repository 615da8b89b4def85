//! Harmony plates (Operetta, Opera Phenix, Sonata): an index lists every plane.
//!
//! `<measurement>/Images/Index.idx.xml` (or `Index.xml`, `Index.ref.xml`) with root
//! `EvaluationInputData`; its namespace differs by version, so names are taken without. In version
//! 5 every image says all of its channel, in version 7 entries of the `Maps` do, in several `Map`s
//! and any order. Sizes of pixels and places are in metres, of a pixel as it is stored, whatever
//! the TIFF's resolution says (the camera's). Rows and columns start at 1; fields, planes and
//! channels too, times at 0 or 1. Images are as the camera took them: the `FlatfieldProfile` is
//! not applied.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::htd::MOST;
use super::indexed::{Channel, Index, Listed, indexes_at, lies_within, make_unique, read_all};
use super::{Found, Layout};
use crate::ImageError;
use crate::format::description::{Length, both, number};
use crate::names::{file_name, folder_name, folder_of, list_names, well_name};
use crate::xml::{Met, attribute, walk};

pub(super) struct Harmony;

impl Layout for Harmony {
    fn name(&self) -> &'static str {
        "harmony"
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        Ok(!indexes_at(path, is_index, index_of)?.found.is_empty())
    }

    fn read(&self, path: &Path) -> Result<Found, ImageError> {
        read_all(indexes_at(path, is_index, index_of)?, read_index)
    }
}

/// Names of an index, the one to take first.
const NAMES: [&str; 3] = ["index.idx.xml", "index.xml", "index.ref.xml"];

/// The index of a measurement: in the folder, or in its `Images`.
fn index_of(folder: &Path) -> Option<PathBuf> {
    let own = index_in(folder);
    own.or_else(|| {
        let inside = std::fs::read_dir(folder).ok()?.flatten();
        let mut images = inside.filter(|e| e.file_name().eq_ignore_ascii_case("images"));
        index_in(&images.next()?.path())
    })
}

fn index_in(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let mut named: Vec<(usize, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().to_lowercase();
            let rank = NAMES.iter().position(|other| *other == name)?;
            Some((rank, entry.path()))
        })
        .collect();
    named.sort();
    let mut paths = named.into_iter().map(|(_, path)| path);
    paths.find(|path| is_index(path))
}

/// Whether a file is named as an index and begins as one.
fn is_index(path: &Path) -> bool {
    let is_named = NAMES.contains(&file_name(path).to_lowercase().as_str());
    let mut head = Vec::new();
    is_named
        && File::open(path).is_ok_and(|file| file.take(4096).read_to_end(&mut head).is_ok())
        && String::from_utf8_lossy(&head).contains("<EvaluationInputData")
}

/// Texts of an element's children by name, with their units.
type Facts = BTreeMap<String, (String, String)>;

/// Reads an index.
///
/// # Errors
/// [`ImageError::Broken`] if it is damaged, or lists no image that can be placed.
fn read_index(path: &Path) -> Result<Index, ImageError> {
    let mut reading = Reading::default();
    walk(path, |names, met| reading.meet(names, met))?;
    let Reading {
        plate,
        mut maps,
        images,
        in_state,
        misplaced,
        mut channels,
        ..
    } = reading;
    let mut problems = Vec::new();
    for (number, facts) in &mut maps {
        let said = channels.entry(*number).or_default();
        for (key, value) in std::mem::take(facts) {
            said.entry(key).or_insert(value);
        }
    }
    let mut channels: BTreeMap<u32, Channel> = channels
        .into_iter()
        .map(|(number, facts)| (number, channel(number, &facts, &mut problems)))
        .collect();
    let used: BTreeSet<u32> = images.iter().map(|image| image.channel).collect();
    channels.retain(|number, _| used.contains(number));
    make_unique(&mut channels);
    if images.is_empty() {
        let states: Vec<&String> = in_state.keys().collect();
        let why = match (misplaced.first(), states.is_empty()) {
            (Some(file), _) => format!(
                "it lists no image with a usable file name, row, column, field and channel (the \
                 first of {} is `{file}`)",
                misplaced.len()
            ),
            (None, false) => format!(
                "the microscope calls the state of all its images {}",
                list_names(&states)
            ),
            (None, true) => "it lists no images".into(),
        };
        return Err(ImageError::broken(path, why));
    }
    let left_out = in_state.values().flatten().chain(&misplaced).cloned();
    let left_out = left_out.collect();
    for (state, files) in in_state {
        problems.push(format!(
            "{} images are left out, since the microscope calls their state `{state}`: {}",
            files.len(),
            list_names(&files)
        ));
    }
    if !misplaced.is_empty() {
        problems.push(format!(
            "{} images that `{}` lists without a usable file name, row, column, field or channel \
             are left out",
            misplaced.len(),
            file_name(path)
        ));
    }
    if channels.values().any(|channel| channel.name == COMPUTED) {
        problems.push(format!(
            "channel `{COMPUTED}` was computed from brightfield planes by the microscope's program"
        ));
    }
    let folder = folder_of(path).to_path_buf();
    let measurement = match file_name(&folder).eq_ignore_ascii_case("images") {
        true => folder_name(folder_of(&folder)),
        false => folder_name(&folder),
    };
    Ok(Index {
        plate: plate.unwrap_or(measurement),
        left_out,
        path: path.to_path_buf(),
        folder,
        channels,
        images: from_one(images),
        passed_over: |_| false,
        problems,
    })
}

/// A channel that no camera took.
const COMPUTED: &str = "Digital Phase Contrast";

/// Times begin at 0 in version 5 and at 1 in version 7.
fn from_one(mut images: Vec<Listed>) -> Vec<Listed> {
    let first = images.iter().map(|image| image.time).min().unwrap_or(0);
    for image in &mut images {
        image.time = (image.time - first).saturating_add(1);
    }
    images
}

fn channel(number: u32, facts: &Facts, problems: &mut Vec<String>) -> Channel {
    let text = |key: &str| facts.get(key).map(|(text, _)| text.as_str());
    let length = |key: &str| match facts.get(key) {
        Some((text, unit)) => match self::number(text) {
            Some(value) => Length::of(value, unit),
            None => Length::Unstated,
        },
        None => Length::Unstated,
    };
    let name = text("ChannelName").filter(|name| !name.is_empty());
    let name = name.map_or_else(|| format!("ch{number}"), str::to_string);
    let pixel_um = match both(length("ImageResolutionX"), length("ImageResolutionY")) {
        Ok(size) => size,
        Err(problem) => {
            problems.push(format!("channel `{name}`: {problem}"));
            None
        }
    };
    let side = |key: &str| text(key)?.parse::<usize>().ok().filter(|&side| side > 0);
    Channel {
        name,
        pixel_um,
        size: side("ImageSizeY").zip(side("ImageSizeX")),
        transmitted: match (text("ChannelType"), text("IlluminationType")) {
            // Computed from two planes of brightfield.
            (Some("Phase"), _) => None,
            (_, Some("Transmitted")) => Some(true),
            (_, Some("Epifluorescence")) => Some(false),
            _ => None,
        },
    }
}

/// What was met so far.
#[derive(Default)]
struct Reading {
    plate: Option<String>,
    /// By channel, what entries of the maps say.
    maps: BTreeMap<u32, Facts>,
    /// By channel, what the first of its images says.
    channels: BTreeMap<u32, Facts>,
    images: Vec<Listed>,
    /// Images in another state than `Ok`.
    in_state: BTreeMap<String, Vec<String>>,
    /// Files, or names, of images that say too little.
    misplaced: Vec<String>,
    /// Of the image at hand.
    image: Facts,
    /// Channel of the map's entry at hand.
    entry: Option<u32>,
    unit: String,
}

/// What an image says of its channel.
const OF_CHANNEL: [&str; 7] = [
    "ChannelName",
    "ChannelType",
    "IlluminationType",
    "ImageResolutionX",
    "ImageResolutionY",
    "ImageSizeX",
    "ImageSizeY",
];

impl Reading {
    fn meet(&mut self, names: &[String], met: Met<'_, '_>) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match (&names[1..], met) {
            (["Maps", "Map", "Entry"], Met::Start(element)) => {
                self.entry = attribute(element, "ChannelID").and_then(|id| id.trim().parse().ok());
            }
            (["Maps", "Map", "Entry", _] | ["Images", "Image", _], Met::Start(element)) => {
                self.unit = attribute(element, "Unit").unwrap_or_default();
            }
            (["Maps", "Map", "Entry", key], Met::End(text)) if OF_CHANNEL.contains(key) => {
                if let Some(channel) = self.entry {
                    let facts = self.maps.entry(channel).or_default();
                    let value = (text.to_string(), std::mem::take(&mut self.unit));
                    facts.entry((*key).to_string()).or_insert(value);
                }
            }
            (["Images", "Image"], Met::Start(_)) => self.image.clear(),
            (["Images", "Image", key], Met::End(text)) => {
                let value = (text.to_string(), std::mem::take(&mut self.unit));
                self.image.insert((*key).to_string(), value);
            }
            (["Images", "Image"], Met::End(_)) => self.finish_image(),
            (["Plates", "Plate", "Name"], Met::End(text)) if !text.is_empty() => {
                self.plate.get_or_insert_with(|| text.to_string());
            }
            _ => {}
        }
    }

    fn finish_image(&mut self) {
        let facts = std::mem::take(&mut self.image);
        let text = |key: &str| facts.get(key).map(|(text, _)| text.as_str());
        let whole = |key: &str| text(key)?.parse::<u32>().ok();
        let file = text("URL").unwrap_or_default().replace('\\', "/");
        let named = || match file.is_empty() {
            true => text("id").unwrap_or_default().to_string(),
            false => file.clone(),
        };
        if let Some(state) = text("State").filter(|state| !state.eq_ignore_ascii_case("ok")) {
            self.in_state
                .entry(state.to_string())
                .or_default()
                .push(named());
            return;
        }
        let on_plate = |key: &str| whole(key).filter(|n| (1..=MOST).contains(n));
        let placed = (|| {
            Some((
                on_plate("Row")?,
                on_plate("Col")?,
                whole("FieldID")?,
                whole("ChannelID")?,
            ))
        })();
        let Some((row, column, site, channel)) = placed.filter(|_| lies_within(&file)) else {
            self.misplaced.push(named());
            return;
        };
        let metres = |key: &str| match (self::number(text(key)?)?, facts[key].1.as_str()) {
            (value, "m" | "") => Some(value * 1e6),
            (value, "um" | "µm") => Some(value),
            _ => None,
        };
        // Up is positive there.
        let place_um = metres("PositionX")
            .zip(metres("PositionY"))
            .map(|(x, y)| [x, 0.0 - y]);
        let said = self.channels.entry(channel).or_default();
        for key in OF_CHANNEL {
            if let Some(value) = facts.get(key).filter(|_| !said.contains_key(key)) {
                said.insert(key.to_string(), value.clone());
            }
        }
        self.images.push(Listed {
            file,
            well: well_name(row, column),
            site,
            time: whole("TimepointID").unwrap_or(0),
            plane: whole("PlaneID").unwrap_or(1),
            channel,
            place_um,
        });
    }
}
