//! CellVoyager plates (CV7000, CV8000, CQ3K): `MeasurementData.mlf` lists every plane,
//! `MeasurementDetail.mrf` has sizes, the `.mes` file that it names has the channels.
//!
//! Rows and columns start at 1. `TimePoint` counts over all "time lines" of a measurement, each of
//! which may visit one well only, so times are counted within a line. Records of type `ERR` are
//! messages; they have a time as well. One channel may be taken by several actions (a stack and a
//! projection): then each is a channel of its own. `DC_*` and `SC_*` files beside the images are
//! dark and shading images.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::htd::MOST;
use super::indexed::{Channel, Index, Listed, indexes_at, lies_within, read_all};
use super::{Found, Layout};
use crate::ImageError;
use crate::format::description::{Length, both, number};
use crate::names::{file_name, folder_name, folder_of, list_names, well_name};
use crate::xml::{Met, attribute, walk};

pub(super) struct CellVoyager;

impl Layout for CellVoyager {
    fn name(&self) -> &'static str {
        "cellvoyager"
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        Ok(!indexes_at(path, is_index, index_of)?.found.is_empty())
    }

    fn read(&self, path: &Path) -> Result<Found, ImageError> {
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
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            // Hidden ones are what macOS keeps of a file on other systems' disks.
            !name.starts_with('.') && wanted(&name)
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found.into_iter().next()
}

/// One image as the index lists it, before channels and times are numbered.
struct Record {
    listed: Listed,
    taken: Taken,
}

/// What of the protocol took an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Taken {
    line: u32,
    action: u32,
    /// How it was made of several planes, where it was.
    processing: String,
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
        times,
        ..
    } = records(path)?;
    if records.is_empty() {
        let why = match (misplaced.first(), errors.first()) {
            (Some(file), _) => format!(
                "it lists no image with a usable file name, row, column, field and channel (the \
                 first of {} is `{file}`)",
                misplaced.len()
            ),
            (None, Some(error)) => format!("it lists errors alone, such as `{error}`"),
            (None, None) => "it lists no images".into(),
        };
        return Err(ImageError::broken(path, why));
    }
    count_times(&mut records, &times);
    let mut problems = Vec::new();
    let detail = beside(&folder, |name| name.eq_ignore_ascii_case(DETAIL));
    let detail = match &detail {
        Some(path) => Detail::read(path, &mut problems)?,
        None => {
            problems.push(format!(
                "`{DETAIL}` is missing, so that the size of a pixel is not known; copy it beside \
                 the images"
            ));
            Detail::default()
        }
    };
    let settings = settings_of_channels(&folder, detail.settings.as_deref(), &mut problems)?;
    let channels = channels(&mut records, &detail, &settings, &mut problems);
    if !errors.is_empty() {
        problems.push(format!(
            "`{}` reports {} errors, whose images were not taken: {}",
            file_name(path),
            errors.len(),
            list_names(&errors)
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
    let mut projections: BTreeMap<&str, usize> = BTreeMap::new();
    for Record { taken, .. } in records.iter().filter(|r| !r.taken.processing.is_empty()) {
        *projections.entry(&taken.processing).or_default() += 1;
    }
    for (processing, count) in projections {
        problems.push(format!(
            "{count} images are projections that the microscope made (`{processing}`)"
        ));
    }
    let images: Vec<Listed> = records.into_iter().map(|record| record.listed).collect();
    Ok(Index {
        plate: detail.plate.unwrap_or_else(|| folder_name(&folder)),
        path: path.to_path_buf(),
        folder,
        channels,
        images,
        left_out: misplaced,
        passed_over: is_correction,
        problems,
    })
}

/// Whether a file is a dark image of a camera or the shading of a channel: `DC_DCAM#1_CAM3.tif`,
/// `SC_BP445-45_20x v2_M01_CH01.tif`.
fn is_correction(name: &str) -> bool {
    (name.starts_with("DC_") && name.contains("_CAM"))
        || (name.starts_with("SC_") && name.contains("_CH"))
}

/// What the index lists.
#[derive(Default)]
struct Reading {
    records: Vec<Record>,
    /// Messages.
    errors: Vec<String>,
    /// Texts of records that say too little.
    misplaced: Vec<String>,
    /// All time points of every time line, those of errors too.
    times: BTreeMap<u32, BTreeSet<u32>>,
    /// Of the record at hand.
    attributes: BTreeMap<&'static str, String>,
}

/// Attributes of a record that are read.
const OF_RECORD: [&str; 12] = [
    "Type",
    "Row",
    "Column",
    "TimePoint",
    "FieldIndex",
    "ZIndex",
    "ActionIndex",
    "TimelineIndex",
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
        let (line, time) = (
            whole("TimelineIndex").unwrap_or(1),
            whole("TimePoint").unwrap_or(1),
        );
        self.times.entry(line).or_default().insert(time);
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
        let Some((well, site, channel)) = placed.filter(|_| lies_within(text)) else {
            self.misplaced.push(text.to_string());
            return;
        };
        let um = |key: &str| said(key).and_then(number);
        let listed = Listed {
            file: text.replace('\\', "/"),
            well,
            site,
            time,
            plane: whole("ZIndex").unwrap_or(1),
            channel,
            // Up is positive there.
            place_um: um("X").zip(um("Y")).map(|(x, y)| [x, 0.0 - y]),
        };
        let processing = said("ZImageProcessing").filter(|kind| !["", "None"].contains(kind));
        let taken = Taken {
            line,
            action: whole("ActionIndex").unwrap_or(1),
            processing: processing.unwrap_or_default().to_string(),
        };
        self.records.push(Record { listed, taken });
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
    fn read(path: &Path, problems: &mut Vec<String>) -> Result<Self, ImageError> {
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
                        pixel_um: pixel.unwrap_or_else(|problem| {
                            problems.push(format!("channel {ch}: {problem}"));
                            None
                        }),
                        size: side("VerticalPixels").zip(side("HorizontalPixels")),
                        transmitted: None,
                    };
                    found.channels.insert(ch, channel);
                }
                _ => {}
            }
        })?;
        Ok(found)
    }
}

/// What the settings say of a channel.
#[derive(Default)]
struct Settings {
    /// `Brightfield`, the dye where one was given, or nothing.
    name: Option<String>,
    transmitted: Option<bool>,
}

/// Settings of the channels by number.
fn settings_of_channels(
    folder: &Path,
    settings: Option<&str>,
    problems: &mut Vec<String>,
) -> Result<BTreeMap<u32, Settings>, ImageError> {
    let mut settings_of = BTreeMap::new();
    let ends = |name: &str| name.to_lowercase().ends_with(".mes");
    let path = match settings {
        Some(wanted) => beside(folder, |name| name.eq_ignore_ascii_case(wanted)),
        None => beside(folder, ends),
    };
    let Some(path) = path else {
        problems.push(
            "the file with the settings (`.mes`) is missing, so that the names of the channels \
             are not known; copy it beside the images"
                .into(),
        );
        return Ok(settings_of);
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
        let ways = [text("Kind"), text("Method")].map(Option::unwrap_or_default);
        let ways = ways.map(|way| way.to_lowercase().replace(' ', ""));
        let said = |word: &str| ways.iter().any(|way| way.contains(word));
        let transmitted = match said("brightfield") {
            true => Some(true),
            false => said("fluorescence").then_some(false),
        };
        let name = match transmitted {
            Some(true) => Some("Brightfield".to_string()),
            _ => text("Fluorophore"),
        };
        settings_of.insert(ch, Settings { name, transmitted });
    })?;
    Ok(settings_of)
}

/// Numbers the channels anew, where one was taken by several actions, and names them.
fn channels(
    records: &mut [Record],
    detail: &Detail,
    settings: &BTreeMap<u32, Settings>,
    problems: &mut Vec<String>,
) -> BTreeMap<u32, Channel> {
    let doubled = doubled(records);
    let key = |record: &Record| {
        let ch = record.listed.channel;
        (ch, doubled.contains(&ch).then(|| record.taken.clone()))
    };
    let all: BTreeSet<(u32, Option<Taken>)> = records.iter().map(key).collect();
    let numbers: BTreeMap<_, u32> = all.into_iter().zip(1..).collect();
    for record in records.iter_mut() {
        record.listed.channel = numbers[&key(record)];
    }
    for ch in &doubled {
        problems.push(format!(
            "channel {ch} was taken by several actions of the protocol, each of which is a channel \
             here"
        ));
    }
    let chosen = |ch: u32| {
        let name = settings.get(&ch).and_then(|said| said.name.clone());
        name.unwrap_or_else(|| format!("C{ch:02}"))
    };
    let used: BTreeSet<u32> = numbers.keys().map(|(ch, _)| *ch).collect();
    let named = |ch: u32| {
        let name = chosen(ch);
        match used.iter().filter(|other| chosen(**other) == name).count() {
            1 => name,
            _ => format!("{name}_C{ch:02}"),
        }
    };
    let of_action = |taken: &Taken| {
        let processing = &taken.processing;
        let line = match taken.line {
            1 => String::new(),
            line => format!("_L{line:02}"),
        };
        let made = if processing.is_empty() { "" } else { "_" };
        format!("{line}_A{:02}{made}{processing}", taken.action)
    };
    numbers
        .into_iter()
        .map(|((ch, taken), number)| {
            let known = detail.channels.get(&ch).cloned().unwrap_or_default();
            let taken = taken.as_ref().map(of_action).unwrap_or_default();
            let name = named(ch) + &taken;
            let transmitted = settings.get(&ch).and_then(|said| said.transmitted);
            let channel = Channel {
                name,
                transmitted,
                ..known
            };
            (number, channel)
        })
        .collect()
}

/// Channels of which a plane occurs twice: several actions took them.
fn doubled(records: &[Record]) -> BTreeSet<u32> {
    let mut seen = BTreeSet::new();
    let mut doubled = BTreeSet::new();
    for Record { listed, .. } in records {
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
    doubled
}

/// Counts times from 1 within every time line.
fn count_times(records: &mut [Record], times: &BTreeMap<u32, BTreeSet<u32>>) {
    let ranks: BTreeMap<(u32, u32), u32> = times
        .iter()
        .flat_map(|(&line, times)| {
            times
                .iter()
                .zip(1..)
                .map(move |(&t, rank)| ((line, t), rank))
        })
        .collect();
    for Record { listed, taken } in records {
        listed.time = ranks[&(taken.line, listed.time)];
    }
}
