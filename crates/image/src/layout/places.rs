//! A folder for each place, or each time, with the channels of its fields as files.
//!
//! `Pos0/bf.tif`, `Pos0/dapi.tif`; `B02/s1_bf.tif`; `t001/a.tif`; `set1/raw.tif`. What tells such
//! folders from those of channels is in `channel_folders`.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::channel_folders::{Meaning, meaning};
use super::files::{leave_truth_out, shorter_names};
use super::named::{Named, fields_of};
use super::words::{FolderOf, is_channel_file, is_channel_word};
use super::{Entries, Found, Layout, Notes, Pages, foreign};
use crate::ImageError;
use crate::names::{composed, file_name, folder_name, stem};

pub(super) struct FolderPerPlace;

impl Layout for FolderPerPlace {
    fn name(&self) -> &'static str {
        "folder-per-place"
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        if !path.is_dir() {
            return Ok(false);
        }
        let root = Entries::of(path)?;
        Ok(root.images.is_empty() && meaning(&root.folders)? == Meaning::Places)
    }

    fn read(&self, path: &Path) -> Result<Found, ImageError> {
        let root = Entries::of(path)?;
        let mut notes = Notes::default();
        notes.ours(&root.ours);
        let folders = root.folders.iter().map(|folder| file_name(folder));
        let are_fields = folders.clone().all(|name| is_short(&name));
        let mut taken = Vec::new();
        for folder in &root.folders {
            let mut inside = Entries::of(folder)?;
            notes.ours(&inside.ours);
            leave_truth_out(&mut inside.images, &mut notes);
            let name = file_name(folder);
            let of = match are_fields {
                true => Some(FolderOf::Place),
                false => FolderOf::named(&name),
            };
            let images = inside.images.into_iter();
            taken.extend(images.map(|image| (named(path, &name, of.as_ref(), &image), image)));
        }
        let named_so = taken.iter().any(|(one, _)| one.channel.is_some());
        let pages = match named_so {
            true => Pages::Planes,
            false => Pages::Unknown,
        };
        let mut found = fields_of(path, taken, &pages, notes);
        found.problems.extend(foreign::beside(&root, |_| false));
        Ok(found)
    }
}

/// Whether a folder is called `F01`, `P1`, `S1`: as wells of three rows these would be, but where
/// all are, they are fields.
fn is_short(name: &str) -> bool {
    static SHORT: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?i)^[fps]\d+$").expect("a valid pattern"));
    SHORT.is_match(name)
}

/// What the name of `image` says, in the folder called `folder`.
fn named(root: &Path, folder: &str, of: Option<&FolderOf>, image: &Path) -> Named {
    let stem = stem(image);
    let (rest, channel) = match is_channel_file(&stem) {
        true => (String::new(), Some(stem)),
        false => {
            let cut = shorter_names(&stem).find(|(_, end)| is_channel_word(end));
            let cut = cut.map(|(rest, end)| (rest.to_string(), Some(end.to_string())));
            cut.unwrap_or((stem, None))
        }
    };
    let mut named = Named {
        channel,
        ..Named::default()
    };
    match of {
        Some(FolderOf::Time(time)) => {
            named.time = Some(*time);
            named.name = Some(match rest.is_empty() {
                true => folder_name(root),
                false => rest,
            });
        }
        Some(FolderOf::Well(well)) if rest.is_empty() || site(&rest).is_some() => {
            named.well = Some(well.clone());
            named.site = site(&rest);
        }
        Some(FolderOf::Well(well)) => {
            named.well = Some(well.clone());
            named.name = Some(place_name(well, &rest));
        }
        _ => named.name = Some(place_name(folder, &rest)),
    }
    named
}

/// `s2`, `site 2`, `Pos_2`, `f2`, `002` as 2.
fn site(rest: &str) -> Option<u32> {
    static SITE: LazyLock<Regex> = LazyLock::new(|| {
        let text = r"(?i)^(?:s|site|pos|position|f|field|fov|xy)?[ _-]?(\d{1,4})$";
        Regex::new(text).expect("a valid pattern")
    });
    SITE.captures(rest)?[1].parse().ok()
}

/// The name of a field in a folder; files that bear the folder's name do not say it twice.
pub(crate) fn place_name(folder: &str, rest: &str) -> String {
    let (begins, whole) = (composed(folder), composed(rest));
    match rest.is_empty() {
        true => folder.to_string(),
        false if whole.starts_with(&begins) => rest.to_string(),
        false => format!("{folder}_{rest}"),
    }
}

/// Folders whose files bear the same names, where nothing says what they are.
pub(super) fn unclear(path: &Path, folders: &[PathBuf]) -> Result<Option<ImageError>, ImageError> {
    if meaning(folders)? != Meaning::Unclear {
        return Ok(None);
    }
    let names: Vec<String> = folders.iter().map(|folder| file_name(folder)).collect();
    Ok(Some(ImageError::Unclear {
        path: path.to_path_buf(),
        what: format!(
            "its folders ({}) hold files of the same names, and nothing says whether they are \
             channels of the same fields or places of their own",
            crate::list_names(&names)
        ),
        way_out: "say it: `--pattern '(?<channel>[^/]+)/(?<name>[^/]+)'` makes channels of them, \
                  `--pattern '(?<name>.+/.+)'` places"
            .into(),
    }))
}
