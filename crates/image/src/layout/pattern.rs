//! Folders of images whose names are read by a pattern that the user gives.
//!
//! The pattern is a regular expression with named groups ([`GROUPS`]) for the path of a file below
//! the folder, without its extension. Folders below are read where the pattern has a `/`. What a
//! pattern says counts more than any mark of a system: it answers what names leave open.

use std::path::{Path, PathBuf};

use regex::{Captures, Regex};

use super::files::leave_truth_out;
use super::named::{Named, fields_of};
use super::{Entries, Found, Notes, Pages};
use crate::ImageError;
use crate::names::{is_image_name, natural_order, printed_well};

/// The groups that a pattern may have.
const GROUPS: [&str; 8] = [
    "name", "well", "row", "column", "site", "channel", "z", "time",
];

/// What a pattern may look like.
const EXAMPLE: &str = "write one such as `(?<well>[A-P]\\d+)_s(?<site>\\d+)_(?<channel>[^_]+)`";

/// Folders below that are looked into: more than any program nests, and an end to links in circles.
const DEEPEST: usize = 8;

/// A pattern for names of files.
pub(super) struct Pattern {
    regex: Regex,
    has: Vec<String>,
}

impl Pattern {
    /// # Errors
    /// It is no regular expression, has a group of another name, or none that names fields.
    pub(super) fn new(text: &str) -> Result<Self, ImageError> {
        let misuse = |what: String| ImageError::Misuse {
            what,
            way_out: EXAMPLE.into(),
        };
        let regex = Regex::new(text).map_err(|error| {
            misuse(format!(
                "the pattern `{text}` is no regular expression ({})",
                last_line(&error.to_string())
            ))
        })?;
        let names = regex.capture_names().flatten();
        let has: Vec<String> = names.map(str::to_string).collect();
        if let Some(other) = has.iter().find(|name| !GROUPS.contains(&name.as_str())) {
            return Err(misuse(format!(
                "the pattern `{text}` has the group `{other}`, which means nothing (known: {})",
                GROUPS.map(|name| format!("`{name}`")).join(", ")
            )));
        }
        let pattern = Self { regex, has };
        let by_well = pattern.has("well") || pattern.has("row") && pattern.has("column");
        if !pattern.has("name") && !by_well {
            return Err(misuse(format!(
                "the pattern `{text}` has no group `name` or `well`, nor `row` and `column`"
            )));
        }
        Ok(pattern)
    }

    fn has(&self, group: &str) -> bool {
        self.has.iter().any(|name| name == group)
    }

    /// The images of `folder` that it may speak of.
    ///
    /// # Errors
    /// A folder cannot be listed, or none has an image.
    pub(super) fn images(&self, folder: &Path) -> Result<Vec<PathBuf>, ImageError> {
        let mut images = Vec::new();
        let deepest = match self.regex.as_str().contains('/') {
            true => DEEPEST,
            false => 0,
        };
        images_below(folder, deepest, &mut images)?;
        images.sort_by(|a, b| natural_order(&a.to_string_lossy(), &b.to_string_lossy()));
        match images.is_empty() {
            false => Ok(images),
            true => Err(ImageError::NoImages {
                path: folder.to_path_buf(),
                what: "a pattern reads names of TIFF and PNG files, and it has none".into(),
                way_out: "leave the pattern out, name the folder of the images, or put a `/` into \
                          the pattern for images in folders below"
                    .into(),
            }),
        }
    }

    /// The fields of files below `root`.
    pub(super) fn found(&self, root: &Path, mut paths: Vec<PathBuf>) -> Found {
        let mut notes = Notes::default();
        leave_truth_out(&mut paths, &mut notes);
        let mut taken = Vec::new();
        for path in paths {
            match self.taken(root, &path) {
                Ok(one) => taken.push((one, path)),
                Err(why) => notes.add(why, &path),
            }
        }
        let pages = match self.has("channel") {
            true => Pages::Planes,
            false => Pages::Unknown,
        };
        fields_of(root, taken, &pages, notes)
    }

    /// What the name of a file says, or why it says nothing.
    fn taken(&self, root: &Path, path: &Path) -> Result<Named, String> {
        let below = path.strip_prefix(root).unwrap_or(path).with_extension("");
        let parts = below.iter().map(|part| part.to_string_lossy());
        let below = parts.collect::<Vec<_>>().join("/");
        let Some(groups) = self.regex.captures(&below) else {
            let pattern = self.regex.as_str();
            return Err(format!("the name does not match the pattern `{pattern}`"));
        };
        let number = |group: &str| number(&groups, group);
        let well = well(&groups)?;
        Ok(Named {
            name: text(&groups, "name").map(|name| name.replace('/', "_")),
            site: number("site")?,
            channel: text(&groups, "channel").map(|name| name.replace('/', "_")),
            z: number("z")?,
            time: number("time")?,
            well,
        })
    }
}

fn text(groups: &Captures<'_>, group: &str) -> Option<String> {
    let found = groups.name(group)?;
    Some(found.as_str().to_string()).filter(|text| !text.is_empty())
}

fn number(groups: &Captures<'_>, group: &str) -> Result<Option<u32>, String> {
    let Some(text) = text(groups, group) else {
        return Ok(None);
    };
    let number = text.parse().map(Some);
    number.map_err(|_| format!("`{text}` is no number for the group `{group}`"))
}

/// The well as printed on the plate, of `well` or of `row` and `column`.
fn well(groups: &Captures<'_>) -> Result<Option<String>, String> {
    let (row, column, said) = match text(groups, "well") {
        Some(well) => {
            let digits = well.find(|c: char| c.is_ascii_digit());
            let (row, column) = well.split_at(digits.unwrap_or(well.len()));
            let row = row.trim_end_matches(['-', '_', ' ', '/']);
            (row.to_string(), column.to_string(), well)
        }
        None => {
            let Some((row, column)) = text(groups, "row").zip(text(groups, "column")) else {
                return Ok(None);
            };
            let said = format!("{row}, {column}");
            // Rows that are numbers count from 1.
            let letters = match row.parse() {
                Ok(number @ 1..=26) => char::from(b'A' + (number - 1_u8)).to_string(),
                _ => row,
            };
            (letters, column, said)
        }
    };
    match printed_well(&row, &column) {
        Some(well) => Ok(Some(well)),
        None => Err(format!("`{said}` is no well of a plate")),
    }
}

/// Adds the images in `folder` and in folders up to `deeper` below it.
fn images_below(folder: &Path, deeper: usize, images: &mut Vec<PathBuf>) -> Result<(), ImageError> {
    let entries = Entries::of(folder)?;
    images.extend(entries.images);
    if deeper > 0 {
        for folder in entries.folders {
            images_below(&folder, deeper - 1, images)?;
        }
    }
    Ok(())
}

/// Refuses files whose names a pattern cannot read.
///
/// # Errors
/// [`ImageError::Misuse`] naming the first that is neither TIFF nor PNG.
pub(super) fn of_files(paths: &[PathBuf]) -> Result<(), ImageError> {
    let other = paths.iter().find(|path| !is_image_name(path));
    other.map_or(Ok(()), |path| {
        Err(ImageError::Misuse {
            what: format!(
                "`{}` says itself which fields and channels it has",
                path.display()
            ),
            way_out: "leave the pattern out: it reads names of TIFF and PNG files".into(),
        })
    })
}

/// The last line of a message: the fault, after a drawing of the pattern with a mark under it.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim().to_string()
}
