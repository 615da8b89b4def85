//! CellVoyager plates (CV7000, CV8000, CQ1): `MeasurementData.mlf` lists every plane,
//! `MeasurementDetail.mrf` has sizes, the `.mes` file that it names has the channels.
//!
//! Rows and columns start at 1. `TimePoint` is not always time: where each "time line" visits one
//! well, it numbers the lines, so the times of a well are counted within it. Records of type `ERR`
//! are messages. One channel may be taken by several actions (a stack and a projection): then each
//! is a channel of its own. `DC_*` and `SC_*` files beside the images are dark and shading images.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::htd::{MOST, well_name};
use super::indexed::{Channel, Index, Listed, indexes_at, is_plain, make_unique, read_all};
use super::xml::{Met, attribute, walk};
use super::{Found, Layout};
use crate::format::description::{Length, both, number};
use crate::names::{file_name, folder_name, folder_of, list_names};
use crate::{ImageError, OpenOptions};

pub(super) struct CellVoyager;

impl Layout for CellVoyager {
    fn name(&self) -> &'static str {
        "cellvoyager"
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        Ok(!indexes_at(path, is_index, index_of)?.is_empty())
    }

    fn read(&self, path: &Path, _options: &OpenOptions) -> Result<Found, ImageError> {
        read_all(indexes_at(path, is_index, index_of)?, read_index)
    }
}

const INDEX: &str = "MeasurementData.mlf";
const DETAIL: &str = "MeasurementDetail.mrf";

fn is_index(path: &Path) -> bool {
    path.is_file() && file_name(path).eq_ignore_ascii_case(INDEX)
}

fn index_of(folder: &Path) -> Option<PathBuf> {
    beside(folder, |name| name.eq_ignore_ascii_case(INDEX))
}

fn beside(folder: &Path, wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| wanted(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found.into_iter().next()
}

/// One image as the index lists it, before channels and times are numbered.
struct Record {
    listed: Listed,
    action: u32,
}

/// Reads an index and what lies beside it.
///
/// # Errors
/// [`ImageError::Broken`] if a file is damaged, or lists no image that can be placed.
fn read_index(path: &Path) -> Result<Index, ImageError> {
    let folder = folder_of(path).to_path_buf();
    let Reading {
        mut records,
        errors,
        misplaced,
        projections,
        ..
    } = records(path)?;
    if records.is_empty() {
        return Err(ImageError::broken(
            path,
            "it lists no image with row, column, field and channel",
        ));
    }
    let mut problems = Vec::new();
    let detail = beside(&folder, |name| name.eq_ignore_ascii_case(DETAIL));
    let detail = match &detail {
        Some(path) => Detail::read(path)?,
        None => {
            problems.push(format!(
                "`{DETAIL}` is missing, so that the size of a pixel is not known; copy it beside \
                 the images"
            ));
            Detail::default()
        }
    };
    let names = names_of_channels(&folder, detail.settings.as_deref(), &mut problems)?;
    let channels = channels(&mut records, &detail, &names, &mut problems);
    if !errors.is_empty() {
        problems.push(format!(
            "`{}` reports {} errors, whose images were not taken: {}",
            file_name(path),
            errors.len(),
            list_names(&errors)
        ));
    }
    if misplaced > 0 {
        problems.push(format!(
            "{misplaced} images that `{}` lists without a usable file name, row, column, field or \
             channel are left out",
            file_name(path)
        ));
    }
    for (processing, count) in projections {
        problems.push(format!(
            "{count} images are projections that the microscope made (`{processing}`)"
        ));
    }
    let mut images: Vec<Listed> = records.into_iter().map(|record| record.listed).collect();
    count_times(&mut images);
    Ok(Index {
        plate: detail.plate.unwrap_or_else(|| folder_name(&folder)),
        path: path.to_path_buf(),
        folder,
        channels,
        images,
        passed_over: |name| name.starts_with("DC_") || name.starts_with("SC_"),
        problems,
    })
}

/// What the index lists.
#[derive(Default)]
struct Reading {
    records: Vec<Record>,
    /// Messages.
    errors: Vec<String>,
    misplaced: usize,
    /// How many images are projections, by their kind.
    projections: BTreeMap<String, usize>,
    /// Of the record at hand.
    attributes: BTreeMap<&'static str, String>,
}

/// Attributes of a record that are read.
const OF_RECORD: [&str; 11] = [
    "Type",
    "Row",
    "Column",
    "TimePoint",
    "FieldIndex",
    "ZIndex",
    "ActionIndex",
    "Ch",
    "X",
    "Y",
    "ZImageProcessing",
];

fn records(path: &Path) -> Result<Reading, ImageError> {
    let mut reading = Reading::default();
    walk(path, |names, met| {
        if names.last().is_none_or(|name| name != "MeasurementRecord") {
            return;
        }
        match met {
            Met::Start(element) => {
                let read = |name| Some((name, attribute(element, name)?));
                reading.attributes = OF_RECORD.into_iter().filter_map(read).collect();
            }
            Met::End(text) => reading.finish(text),
        }
    })?;
    Ok(reading)
}

impl Reading {
    fn finish(&mut self, text: &str) {
        let said = |key: &str| self.attributes.get(key).map(|value| value.trim());
        let whole = |key: &str| said(key)?.parse::<u32>().ok();
        match said("Type") {
            Some("IMG") => {}
            Some("ERR") => return self.errors.push(text.to_string()),
            // Others are no images either.
            _ => return,
        }
        let on_plate = |key: &str| whole(key).filter(|n| (1..=MOST).contains(n));
        let placed = (|| {
            let well = well_name(on_plate("Row")?, on_plate("Column")?);
            Some((well, whole("FieldIndex")?, whole("Ch")?))
        })();
        let Some((well, site, channel)) = placed.filter(|_| is_plain(text)) else {
            self.misplaced += 1;
            return;
        };
        let um = |key: &str| said(key).and_then(number);
        let listed = Listed {
            file: text.to_string(),
            well,
            site,
            time: whole("TimePoint").unwrap_or(1),
            plane: whole("ZIndex").unwrap_or(1),
            channel,
            // Up is positive there.
            place_um: um("X").zip(um("Y")).map(|(x, y)| [x, -y]),
        };
        let action = whole("ActionIndex").unwrap_or(1);
        if let Some(kind) = said("ZImageProcessing").filter(|kind| !["", "None"].contains(kind)) {
            *self.projections.entry(kind.to_string()).or_default() += 1;
        }
        self.records.push(Record { listed, action });
    }
}

/// What `MeasurementDetail.mrf` says.
#[derive(Default)]
struct Detail {
    plate: Option<String>,
    /// The file with the names of the channels.
    settings: Option<String>,
    /// Size of a pixel in um and of an image, by channel.
    channels: BTreeMap<u32, Channel>,
}

impl Detail {
    fn read(path: &Path) -> Result<Self, ImageError> {
        let mut found = Self::default();
        walk(path, |names, met| {
            let (Some(name), Met::Start(element)) = (names.last(), met) else {
                return;
            };
            let text = |key: &str| attribute(element, key).filter(|text| !text.trim().is_empty());
            match name.as_str() {
                "MeasurementDetail" => found.settings = text("MeasurementSettingFileName"),
                "MeasurementSamplePlate" => found.plate = text("Name"),
                "MeasurementChannel" => {
                    let Some(ch) = text("Ch").and_then(|ch| ch.trim().parse().ok()) else {
                        return;
                    };
                    let um = |key: &str| match text(key).as_deref().and_then(number) {
                        Some(value) => Length::of(value, "um"),
                        None => Length::Unstated,
                    };
                    let pixel = both(um("HorizontalPixelDimension"), um("VerticalPixelDimension"));
                    let side = |key: &str| text(key)?.trim().parse::<usize>().ok();
                    let channel = Channel {
                        name: String::new(),
                        pixel_um: pixel.unwrap_or_default(),
                        size: side("VerticalPixels").zip(side("HorizontalPixels")),
                    };
                    found.channels.insert(ch, channel);
                }
                _ => {}
            }
        })?;
        Ok(found)
    }
}

/// Names of the channels by number: `Brightfield`, the dye where one was given, or nothing.
fn names_of_channels(
    folder: &Path,
    settings: Option<&str>,
    problems: &mut Vec<String>,
) -> Result<BTreeMap<u32, String>, ImageError> {
    let mut names = BTreeMap::new();
    let ends = |name: &str| name.to_lowercase().ends_with(".mes");
    let named = settings
        .filter(|name| is_plain(name))
        .map(|name| folder.join(name));
    let Some(path) = named
        .filter(|path| path.is_file())
        .or_else(|| beside(folder, ends))
    else {
        problems.push(
            "the file with the settings (`.mes`) is missing, so that the names of the channels \
             are not known; copy it beside the images"
                .into(),
        );
        return Ok(names);
    };
    walk(&path, |elements, met| {
        let (Some("Channel"), Met::Start(element)) = (elements.last().map(String::as_str), met)
        else {
            return;
        };
        let text = |key: &str| attribute(element, key).filter(|text| !text.trim().is_empty());
        let Some(ch) = text("Ch").and_then(|ch| ch.trim().parse().ok()) else {
            return;
        };
        let is_bright = |text: String| text.to_lowercase().replace(' ', "").contains("brightfield");
        let bright = text("Kind").is_some_and(is_bright) || text("Method").is_some_and(is_bright);
        let name = match bright {
            true => Some("Brightfield".to_string()),
            false => text("Fluorophore"),
        };
        names.extend(name.map(|name| (ch, name)));
    })?;
    Ok(names)
}

/// Numbers the channels anew, where one was taken by several actions, and names them.
fn channels(
    records: &mut [Record],
    detail: &Detail,
    names: &BTreeMap<u32, String>,
    problems: &mut Vec<String>,
) -> BTreeMap<u32, Channel> {
    // A plane that occurs twice was taken by two actions.
    let mut seen = BTreeSet::new();
    let mut doubled = BTreeSet::new();
    for Record { listed, .. } in records.iter() {
        let plane = (
            &listed.well,
            listed.site,
            listed.time,
            listed.plane,
            listed.channel,
        );
        if !seen.insert(plane) {
            doubled.insert(listed.channel);
        }
    }
    drop(seen);
    let key = |record: &Record| {
        let ch = record.listed.channel;
        (ch, doubled.contains(&ch).then_some(record.action))
    };
    let all: BTreeSet<(u32, Option<u32>)> = records.iter().map(key).collect();
    let numbers: BTreeMap<_, u32> = all.iter().copied().zip(1..).collect();
    for record in records.iter_mut() {
        record.listed.channel = numbers[&key(record)];
    }
    for ch in &doubled {
        problems.push(format!(
            "channel {ch} was taken by several actions of the protocol, each of which is a channel \
             here"
        ));
    }
    let mut found: BTreeMap<u32, Channel> = numbers
        .iter()
        .map(|(&(ch, action), &number)| {
            let known = detail.channels.get(&ch).cloned().unwrap_or_default();
            let usual = || format!("C{ch:02}");
            let name = names.get(&ch).cloned().unwrap_or_else(usual);
            let name = match action {
                Some(action) => format!("{name}_A{action:02}"),
                None => name,
            };
            (number, Channel { name, ..known })
        })
        .collect();
    make_unique(&mut found);
    found
}

/// Counts the times of every well from 1.
fn count_times(images: &mut [Listed]) {
    let mut times: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for image in images.iter() {
        times
            .entry(image.well.clone())
            .or_default()
            .insert(image.time);
    }
    for image in images.iter_mut() {
        image.time = times[&image.well].range(..=image.time).count() as u32;
    }
}
