//! Plates of Cellomics ArrayScan and CellInsight: a file for each channel of each field.
//!
//! `<plate>_<well>f<field>d<channel>.C01`, or `.DIB`; what a program drew over an image has `o` in
//! place of `d`. Fields and channels are numbered from 0, so `f00` is site 1. Field and channel may
//! be missing. (Names as Bio-Formats and several public analyses read them.) Names and exposures of
//! channels lie in an Access database beside the images, which is not read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::{Draft, Entries, Found, Layout, Notes, Slot, foreign, joined, sidecar};
use crate::ImageError;
use crate::container::c01::{Header, is_one, planes_of};
use crate::names::{
    file_name, folder_name, folder_of, is_image_name, list_names, natural_order, stem,
};

pub(super) struct Cellomics;

impl Layout for Cellomics {
    fn name(&self) -> &'static str {
        "cellomics"
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        Ok(!files_at(path)?.is_empty())
    }

    fn read(&self, path: &Path) -> Result<Found, ImageError> {
        let files = files_at(path)?;
        let (mut problems, mut notes) = (Vec::new(), Notes::default());
        let root = match path.is_dir() {
            true => {
                problems.extend(foreign::beside(&Entries::of(path)?, is_one));
                path
            }
            // A single file that cannot be read is the user's question, and its error the answer.
            false => {
                Header::read(path)?;
                folder_of(path)
            }
        };
        let (drawn, files): (Vec<_>, Vec<_>) = files.into_iter().partition(|f| is_drawn(f));
        if !drawn.is_empty() {
            problems.push(format!(
                "{} images are left out, since a program drew over them, as the `o` in their names \
                 says: {}",
                drawn.len(),
                list_names(&drawn.iter().map(|file| file_name(file)).collect::<Vec<_>>())
            ));
        }
        let (plates, others) = by_plate(files);
        let plates = plates.into_iter().map(|plate| {
            let name = plate.name.clone();
            (name, plate.fields(&mut notes))
        });
        let mut found = joined(plates.collect(), problems);
        for file in others {
            let mut draft = Draft::named(stem(&file));
            add_channel(&mut draft, UNNAMED, &file, &mut notes);
            found.fields.push(draft);
        }
        let table = sidecar::table(root, &mut notes);
        table.add_to(&mut found.fields);
        found.problems.extend(notes.into_problems());
        Ok(found)
    }
}

/// The only channel of files whose names have none.
const UNNAMED: &str = "C1";

/// The file at `path`, those in the folder, or those in the folders in it.
fn files_at(path: &Path) -> Result<Vec<PathBuf>, ImageError> {
    if !path.is_dir() {
        let file = is_one(path).then(|| path.to_path_buf());
        return Ok(file.into_iter().collect());
    }
    let (files, folders) = inside(path)?;
    if !files.is_empty() {
        return Ok(files);
    }
    let mut all = Vec::new();
    for folder in folders {
        all.extend(inside(&folder)?.0);
    }
    Ok(all)
}

/// Files and folders in `folder`; none where images of another kind lie in it, which are a data
/// set of their own.
fn inside(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), ImageError> {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(|error| ImageError::read(folder, error))? {
        let path = entry
            .map_err(|error| ImageError::read(folder, error))?
            .path();
        if file_name(&path).starts_with('.') {
            continue;
        }
        match path.is_dir() {
            true => folders.push(path),
            false if is_image_name(&path) => return Ok(Default::default()),
            false if is_one(&path) => files.push(path),
            false => {}
        }
    }
    for list in [&mut files, &mut folders] {
        list.sort_by(|a, b| natural_order(&file_name(a), &file_name(b)));
    }
    Ok((files, folders))
}

/// Anchored at the end, because plate names may hold anything, well names included.
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = concat!(
        r"(?i)^(?<plate>.+)_(?<well>[A-Z]{1,2})(?<column>\d{1,2})",
        r"(?:f(?<field>\d{1,4}))?(?<channel>[do]\d{1,2})?$"
    );
    Regex::new(pattern).expect("a valid pattern")
});

/// Files by what their names say: of one field by channel, several for one where names repeat.
type ByChannel = BTreeMap<String, Vec<PathBuf>>;

/// Files of one plate in one folder.
struct Plate {
    /// What tells it from other plates that are opened with it.
    name: String,
    barcode: String,
    /// By well and site.
    fields: BTreeMap<(String, u32), ByChannel>,
}

/// Whether a program drew over the image.
fn is_drawn(file: &Path) -> bool {
    let name = stem(file);
    let said = NAME.captures(&name);
    let channel = said.as_ref().and_then(|said| said.name("channel"));
    channel.is_some_and(|text| text.as_str().starts_with(['o', 'O']))
}

/// Plates, and files whose names say nothing.
fn by_plate(files: Vec<PathBuf>) -> (Vec<Plate>, Vec<PathBuf>) {
    let mut plates: BTreeMap<(String, PathBuf), BTreeMap<_, ByChannel>> = BTreeMap::new();
    let mut others = Vec::new();
    for file in files {
        let name = stem(&file);
        let Some(said) = NAME.captures(&name) else {
            others.push(file);
            continue;
        };
        let number = |group: &str| said.name(group).and_then(|text| text.as_str().parse().ok());
        let column: u32 = number("column").unwrap_or(0);
        let well = format!("{}{column:02}", said["well"].to_uppercase());
        let site = number("field").map_or(1, |field: u32| field + 1);
        let channel = said.name("channel").map_or(UNNAMED, |text| text.as_str());
        let plate = (said["plate"].to_string(), folder_of(&file).to_path_buf());
        let field = plates
            .entry(plate)
            .or_default()
            .entry((well, site))
            .or_default();
        field.entry(channel.to_lowercase()).or_default().push(file);
    }
    let barcodes: Vec<String> = plates.keys().map(|(barcode, _)| barcode.clone()).collect();
    type Found = ((String, PathBuf), BTreeMap<(String, u32), ByChannel>);
    let plate = |((barcode, folder), fields): Found| Plate {
        name: match barcodes.iter().filter(|other| **other == barcode).count() {
            1 => barcode.clone(),
            _ => format!("{}_{barcode}", folder_name(&folder)),
        },
        barcode,
        fields,
    };
    (plates.into_iter().map(plate).collect(), others)
}

impl Plate {
    fn fields(self, notes: &mut Notes) -> Found {
        let channels = self.fields.values().flat_map(BTreeMap::keys).cloned();
        let channels: BTreeSet<String> = channels.collect();
        let mut found = Found {
            channel_order: channels.into_iter().collect(),
            ..Found::default()
        };
        found.channel_order.sort_by(|a, b| natural_order(a, b));
        for ((well, site), channels) in self.fields {
            let mut draft = Draft {
                plate: Some(self.barcode.clone()),
                site: Some(site),
                ..Draft::named(format!("{well}_s{site}"))
            };
            draft.position = Some(draft.name.clone());
            draft.well = Some(well);
            for (channel, files) in channels {
                match &files[..] {
                    [file] => add_channel(&mut draft, &channel, file, notes),
                    _ => {
                        let names: Vec<String> = files.iter().map(|file| file_name(file)).collect();
                        found.problems.push(format!(
                            "{} are files of one place, so none of them is used",
                            list_names(&names)
                        ));
                    }
                }
            }
            found.fields.push(draft);
        }
        found
    }
}

/// Adds the planes of a file; one that cannot be read is told instead.
fn add_channel(draft: &mut Draft, name: &str, file: &Path, notes: &mut Notes) {
    let header = match Header::read(file) {
        Ok(header) => header,
        Err(error) => {
            notes.by_sentence.entry(error.to_string()).or_default();
            return;
        }
    };
    for problem in &header.problems {
        notes.add(problem.clone(), file);
    }
    let size = (header.height, header.width);
    let places = planes_of(file, &header).into_iter();
    let slots = places.map(|place| Some(Slot { place, size })).collect();
    draft.channels.push((name.to_string(), slots));
    draft.pixel_um.extend(header.pixel_um);
}
