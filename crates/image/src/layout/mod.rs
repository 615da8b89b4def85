//! How images lie in folders: one file per layout behind one registry.
//!
//! A layout recognises a path and lists the fields it finds; `assemble` checks them and makes the
//! data set. A new layout is a file with an implementation of [`Layout`] and a line in [`MARKED`]
//! or [`PLAIN`]; the contract test then covers it.

mod assemble;
mod cellomics;
mod cellvoyager;
mod channel_folders;
mod containers;
mod draft;
mod files;
mod foreign;
mod gen5;
mod harmony;
mod htd;
mod imagexpress;
mod incucyte;
mod indexed;
mod micromanager;
mod named;
mod ome;
mod pages;
mod parallel;
mod pattern;
mod places;
pub(crate) use places::place_name;
mod series;
mod sidecar;
mod taken;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assemble::{Found, assemble};
use draft::{Draft, Slot};
use pages::{Channels, Pages, SEVERAL_PAGES, channels_of, drafts_by_time, images_of};
use pattern::Pattern;

use crate::format::{FileInfo, read_info, refuse_colours};
use crate::marker::{self, Kind};
use crate::names::{file_name, folder_of, is_image_name, list_names, natural_order};
use crate::{Dataset, ImageError, OpenOptions};

/// One way in which images lie in a folder.
trait Layout: Sync {
    /// The word for it in `inspect`.
    fn name(&self) -> &'static str;
    /// Whether `path` looks like it; cheap, and wrong rather in the negative.
    fn recognise(&self, path: &Path) -> Result<bool, ImageError>;
    /// Lists the fields at `path`; files that cannot be used go to the problems.
    fn read(&self, path: &Path) -> Result<Found, ImageError>;
}

/// Layouts of systems that leave a mark (an index, a description, names like no others); the first
/// that recognises a path reads it.
const MARKED: [&dyn Layout; 14 + 2 * cfg!(feature = "zarr") as usize] = [
    // First, as the others look into every folder of a store.
    #[cfg(feature = "zarr")]
    &containers::Itself(crate::container::OmeZarr),
    &harmony::Harmony,
    &cellvoyager::CellVoyager,
    &imagexpress::Exported,
    &imagexpress::Database,
    &cellomics::Cellomics,
    &incucyte::Archive,
    &incucyte::Exported,
    &gen5::Gen5,
    // Behind the plates, in whose folders a container of something else may lie.
    #[cfg(feature = "zarr")]
    &containers::Of(crate::container::OmeZarr),
    &containers::Of(crate::container::nd2::Nd2),
    &containers::Of(crate::container::czi::Czi),
    &containers::Of(crate::container::lif::Lif),
    &containers::Of(crate::container::ndtiff::NdTiff),
    &micromanager::SeparateFiles,
    &ome::OmeTiff,
];

/// Layouts of image files alone, for what bears no mark of a system; tried in this order.
const PLAIN: [&dyn Layout; 4] = [
    &files::SingleFile,
    &places::FolderPerPlace,
    &parallel::ParallelFolders,
    &files::Folder,
];

/// The layout in which a folder is a channel, or truth that looks like one.
pub(crate) const CHANNELS_ARE_FOLDERS: &str = "parallel-folders";

/// The names of all layouts, in the order in which they are tried.
pub fn layout_names() -> Vec<&'static str> {
    let mut names = Vec::new();
    for layout in MARKED.iter().chain(&PLAIN) {
        if !names.contains(&layout.name()) {
            names.push(layout.name());
        }
    }
    names
}

/// Opens a plate, a folder of images or one image file, whichever `path` is.
///
/// Headers are read, pixels are not, but of some images that may be coloured. Files that cannot be
/// used are listed in [`Dataset::problems`] and left out.
///
/// # Errors
/// [`ImageError::Read`] if the path cannot be read, [`ImageError::NoImages`] if no field could be
/// made of it, [`ImageError::Misuse`] if an option does not fit; for a single file its own error.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Dataset, ImageError> {
    std::fs::metadata(path).map_err(|error| ImageError::read(path, error))?;
    if let Some(kind) = own_part(path) {
        return Err(ImageError::own_output(
            path,
            format!("a part of {}", kind.described()),
        ));
    }
    recognised(path, options).map_err(|error| {
        let is_empty = matches!(error, ImageError::NoImages { .. });
        match is_empty.then(|| own_kind(path)).flatten() {
            Some(kind) => ImageError::own_output(path, kind.described()),
            None => error,
        }
    })
}

fn recognised(path: &Path, options: &OpenOptions) -> Result<Dataset, ImageError> {
    if let Some(text) = &options.pattern {
        let pattern = Pattern::new(text)?;
        let (root, images) = match path.is_dir() {
            true => (path, pattern.images(path)?),
            false => (folder_of(path), vec![path.to_path_buf()]),
        };
        return by_pattern(&pattern, root, images, options);
    }
    for layout in MARKED {
        if layout.recognise(path)? {
            return assemble(layout.name(), path, layout.read(path)?, options);
        }
    }
    if path.is_dir() {
        if let Some(error) = foreign::named_alone(path) {
            return Err(error);
        }
        if let Some(error) = foreign::marked(path)? {
            return Err(error);
        }
    }
    for layout in PLAIN {
        if layout.recognise(path)? {
            return assemble(layout.name(), path, layout.read(path)?, options);
        }
    }
    Err(nothing_here(path)?)
}

/// The images below `root` by a pattern for their names.
fn by_pattern(
    pattern: &Pattern,
    root: &Path,
    images: Vec<PathBuf>,
    options: &OpenOptions,
) -> Result<Dataset, ImageError> {
    pattern::of_files(&images)?;
    let found = pattern.found(root, images);
    assemble(files::Folder.name(), root, found, options)
}

/// Opens image files that were named one by one, each as a field of its own.
///
/// # Errors
/// As [`open`]. With more than one file, a broken one is reported and left out.
pub fn open_files(paths: &[PathBuf], options: &OpenOptions) -> Result<Dataset, ImageError> {
    let root = paths.first().map_or(Path::new("."), |path| folder_of(path));
    if let [path] = paths {
        return open(path, options);
    }
    for path in paths {
        if std::fs::metadata(path)
            .map_err(|error| ImageError::read(path, error))?
            .is_dir()
        {
            return Err(ImageError::Misuse {
                what: format!(
                    "`{}` is a folder among {} paths",
                    path.display(),
                    paths.len()
                ),
                way_out: "open each folder by itself, or name image files only".into(),
            });
        }
    }
    if let Some(text) = &options.pattern {
        return by_pattern(&Pattern::new(text)?, root, paths.to_vec(), options);
    }
    let found = files::read_files(root, paths.to_vec(), false);
    assemble(files::Folder.name(), root, found, options)
}

/// Why no layout took a folder.
fn nothing_here(path: &Path) -> Result<ImageError, ImageError> {
    let mut filled = Vec::new();
    let entries = Entries::of(path)?;
    if let Some(error) = places::unclear(path, &entries.folders)? {
        return Ok(error);
    }
    for folder in &entries.folders {
        if !Entries::of(folder)?.images.is_empty() {
            filled.push(file_name(folder));
        }
    }
    let (what, way_out) = if filled.is_empty() {
        foreign::instead(&entries)
    } else {
        (
            format!(
                "its folders share no file names, so they are no channels of the same fields ({})",
                list_names(&filled)
            ),
            "name one of the folders in it, or say what names and folders mean (`--pattern`)"
                .into(),
        )
    };
    Ok(ImageError::NoImages {
        path: path.to_path_buf(),
        what,
        way_out,
    })
}

/// What the program wrote `folder` as, if no image of a microscope can lie in it.
fn own_kind(folder: &Path) -> Option<Kind> {
    marker::written_by_us(folder).filter(|kind| !kind.holds_images())
}

/// What `folder` is a part of, if it is one of the folders that the program makes in its results
/// and studies. A user's folder that happens to bear such a name holds other files.
fn own_part(folder: &Path) -> Option<Kind> {
    const PARTS: [&str; 12] = [
        "automatic",
        "cells",
        "classes",
        "models",
        "mitosis",
        "nuclei",
        "outputs",
        "overlays",
        "probabilities",
        "registration",
        "runs",
        "truth",
    ];
    let full = folder.canonicalize().ok()?;
    let is_part = |folder: &Path| PARTS.contains(&file_name(folder).to_lowercase().as_str());
    if !is_part(&full) || !holds_only_ours(&full) {
        return None;
    }
    let mut above = full.ancestors().skip(1);
    above.find_map(|folder| match own_kind(folder) {
        Some(kind) => Some(Some(kind)),
        None => (!is_part(folder)).then_some(None),
    })?
}

/// Whether the first images of `folder` are the program's own. A PNG passes for one of its
/// pictures, as those of older versions do not say so.
fn holds_only_ours(folder: &Path) -> bool {
    let first = marker::first_entries(folder, is_image_name);
    let is_png = |path: &Path| {
        path.extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("png"))
    };
    first
        .iter()
        .all(|path| is_png(path) || marker::is_our_tiff(path))
}

/// The entries of one folder, hidden ones left out, in natural order.
struct Entries {
    images: Vec<PathBuf>,
    /// Folders that the program did not write.
    folders: Vec<PathBuf>,
    others: Vec<PathBuf>,
    /// Folders of results, studies and models, which are no part of the images.
    ours: Vec<(PathBuf, Kind)>,
}

impl Entries {
    fn of(folder: &Path) -> Result<Self, ImageError> {
        let mut entries = Self {
            images: Vec::new(),
            folders: Vec::new(),
            others: Vec::new(),
            ours: Vec::new(),
        };
        let listing = std::fs::read_dir(folder).map_err(|error| ImageError::read(folder, error))?;
        for entry in listing {
            let path = entry
                .map_err(|error| ImageError::read(folder, error))?
                .path();
            if file_name(&path).starts_with('.') {
                continue;
            }
            let is_folder = path.is_dir();
            if is_folder && let Some(kind) = own_kind(&path).or_else(|| own_part(&path)) {
                entries.ours.push((path, kind));
                continue;
            }
            let list = if is_folder {
                &mut entries.folders
            } else if is_image_name(&path) {
                &mut entries.images
            } else {
                &mut entries.others
            };
            list.push(path);
        }
        for list in [
            &mut entries.images,
            &mut entries.folders,
            &mut entries.others,
        ] {
            list.sort_by(|a, b| natural_order(&file_name(a), &file_name(b)));
        }
        entries.ours.sort();
        Ok(entries)
    }
}

/// Problems gathered by their sentence, so that a thousand files with the same fault make one line.
#[derive(Default)]
struct Notes {
    by_sentence: BTreeMap<String, Vec<String>>,
    /// By the fault, where sentences about rows of a table differ in the row.
    rows: BTreeMap<String, FaultyRows>,
    /// Files whose pixels were looked at for colours.
    looked_at: usize,
}

/// Files of a folder whose pixels are looked at for colours before they are read: those of one
/// camera are alike.
const MOST_LOOKED_AT: usize = 16;

/// Rows of a table with the same fault.
struct FaultyRows {
    file: String,
    /// About the first of them.
    sentence: String,
    more: usize,
}

impl Notes {
    fn add(&mut self, sentence: impl Into<String>, file: &Path) {
        self.by_sentence
            .entry(sentence.into())
            .or_default()
            .push(file_name(file));
    }

    /// Of all rows of a table with this `fault`, tells the first and how many more there are.
    fn add_row(&mut self, fault: impl Into<String>, sentence: String, file: &Path) {
        let rows = self.rows.entry(fault.into());
        rows.and_modify(|rows| rows.more += 1)
            .or_insert(FaultyRows {
                file: file_name(file),
                sentence,
                more: 0,
            });
    }

    /// Says which folders are left out because the program wrote them.
    fn ours(&mut self, folders: &[(PathBuf, Kind)]) {
        for (folder, kind) in folders {
            let what = kind.described();
            let sentence = format!("left out, since it is {what} and holds no images");
            self.add(sentence, folder);
        }
    }

    /// Reads a header; a file that fails, or that the program wrote, becomes a problem instead.
    fn info(&mut self, path: &Path) -> Option<FileInfo> {
        let read = read_info(path).and_then(|info| {
            if info.may_be_coloured && self.looked_at < MOST_LOOKED_AT {
                self.looked_at += 1;
                refuse_colours(path, &info)?;
            }
            Ok(info)
        });
        match read {
            Ok(info) if info.ours => {
                self.add(
                    "left out, since stainfree wrote it and it is no image of a microscope",
                    path,
                );
                None
            }
            Ok(info) => {
                for problem in &info.problems {
                    self.add(problem.clone(), path);
                }
                Some(info)
            }
            Err(error) => {
                self.by_sentence.entry(error.to_string()).or_default();
                None
            }
        }
    }

    fn into_problems(self) -> Vec<String> {
        let of_rows = |rows: FaultyRows| {
            let more = match rows.more {
                0 => String::new(),
                1 => " (and 1 more row)".into(),
                more => format!(" (and {more} more rows)"),
            };
            format!("`{}`: {}{more}", rows.file, rows.sentence)
        };
        let told = self
            .by_sentence
            .into_iter()
            .map(|(sentence, files)| match files.len() {
                0 => sentence,
                _ => format!("{}: {sentence}", list_names(&files)),
            });
        told.chain(self.rows.into_values().map(of_rows)).collect()
    }
}

/// Plates as one data set. With more than one, what tells them apart begins the names of their
/// fields, since wells repeat.
fn joined(plates: Vec<(String, Found)>, problems: Vec<String>) -> Found {
    let several = plates.len() > 1;
    let mut found = Found {
        problems,
        ..Found::default()
    };
    for (name, mut plate) in plates {
        if several {
            for field in &mut plate.fields {
                field.name = format!("{name}_{}", field.name);
                // A plate that was imaged twice shows the same places again.
                let of = field.plate.clone().unwrap_or_default();
                field.position = field.position.take().map(|at| format!("{of}_{at}"));
            }
            for problem in &mut plate.problems {
                *problem = format!("plate `{name}`: {problem}");
            }
        }
        found.fields.extend(plate.fields);
        found.problems.extend(plate.problems);
        found.say_light(plate.transmitted);
        for channel in plate.channel_order {
            if !found.channel_order.contains(&channel) {
                found.channel_order.push(channel);
            }
        }
    }
    found
}
