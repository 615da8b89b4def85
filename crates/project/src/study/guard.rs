//! No output takes the place of an input, nor of anything that this program did not write.
//!
//! A command says what it reads, and asks before it writes. Files and folders are told apart by
//! what the system knows them by, so that `.`, links, other spellings and file systems without case
//! hide nothing.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use stainfree_image::Dataset;
use stainfree_image::marker::{self, Kind};
use stainfree_image::store::{GEOJSON, PNG, TIFF, ZIP};
use stainfree_image::write::{GEOJSON_NOTE, ROIS_NOTE};

use crate::error::Refusal;

/// Folders of a study that only the commands of the study fill.
const STUDY_PARTS: [&str; 4] = ["truth", "human", "models", "runs"];

/// What the system knows a file or a folder by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    /// Device and number on it.
    #[cfg(unix)]
    Number(u64, u64),
    /// The one spelling of its path.
    #[cfg(not(unix))]
    Spelling(String),
}

impl Identity {
    /// That of what lies at `path`, links followed; `None` where nothing lies there.
    fn of(path: &Path) -> Option<Self> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let found = std::fs::metadata(path).ok()?;
            Some(Self::Number(found.dev(), found.ino()))
        }
        #[cfg(not(unix))]
        {
            let spelling = path.canonicalize().ok()?;
            Some(Self::Spelling(spelling.to_string_lossy().to_lowercase()))
        }
    }
}

/// What a command reads.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    files: BTreeMap<Identity, PathBuf>,
    /// The folders that inputs lie in, at any depth, each with one of them.
    folders: BTreeMap<Identity, PathBuf>,
}

impl Inputs {
    /// All images of data sets.
    pub fn of(sets: &[Dataset]) -> Self {
        let mut inputs = Self::default();
        for set in sets {
            let planes = set.fields.iter().flat_map(|field| field.planes.iter());
            for plane in planes.flatten().flatten() {
                inputs.add(plane.location());
            }
        }
        inputs
    }

    /// Adds a file; nothing happens where it does not exist.
    pub fn add(&mut self, path: &Path) {
        let Some(identity) = Identity::of(path) else {
            return;
        };
        if self.files.insert(identity, path.to_owned()).is_some() {
            return;
        }
        let as_named = std::path::absolute(path).ok();
        for spelling in [as_named, path.canonicalize().ok()].into_iter().flatten() {
            for folder in spelling.ancestors().skip(1) {
                let Some(identity) = Identity::of(folder) else {
                    continue;
                };
                if self.folders.contains_key(&identity) {
                    // Then so are those above.
                    break;
                }
                self.folders.insert(identity, path.to_owned());
            }
        }
    }

    /// Refuses an output that is an input.
    ///
    /// # Errors
    /// [`Refusal::Input`].
    pub fn spare(&self, output: &Path, way_out: &str) -> Result<(), Refusal> {
        let found = Identity::of(output).is_some_and(|identity| self.files.contains_key(&identity));
        if found {
            return Err(Refusal::Input {
                path: output.to_owned(),
                way_out: way_out.to_owned(),
            });
        }
        Ok(())
    }

    fn spare_folder(&self, folder: &Path, way_out: &str) -> Result<(), Refusal> {
        let identity = Identity::of(folder);
        match identity.and_then(|identity| self.folders.get(&identity)) {
            Some(example) => Err(Refusal::HoldsInputs {
                folder: folder.to_owned(),
                example: example.clone(),
                way_out: format!("{way_out}, such as `{}`", folder.join("result").display()),
            }),
            None => Ok(()),
        }
    }
}

/// A folder that a command fills, and what it may find there.
#[derive(Clone, Copy, Debug)]
pub struct ResultFolder<'a> {
    /// The folder.
    pub path: &'a Path,
    /// What it is, or becomes.
    pub kind: &'a Kind,
    /// The end of a sentence: `choose another folder with `--out``.
    pub way_out: &'a str,
}

impl ResultFolder<'_> {
    /// Refuses the folder if it is something else, or holds inputs, and any of the files `outputs`
    /// that is an input or was not written by this program.
    ///
    /// # Errors
    /// A [`Refusal`] that names the folder or the file.
    pub fn check<'p>(
        &self,
        inputs: &Inputs,
        outputs: impl Iterator<Item = &'p Path> + Clone,
    ) -> Result<(), Refusal> {
        for output in outputs.clone() {
            inputs.spare(output, self.way_out)?;
        }
        inputs.spare_folder(self.path, self.way_out)?;
        // What is there is looked at before whose the folder is: another process that fills it at
        // the same time has marked it before it made anything in it.
        let there: Vec<&Path> = outputs.filter(|output| output.exists()).collect();
        let ours = self.check_kind()?;
        let mut there = there.into_iter();
        there.try_for_each(|output| self.check_file(output, ours))
    }

    /// Whether the folder is of this kind already.
    fn check_kind(&self) -> Result<bool, Refusal> {
        let found = marker::written_by_us(self.path);
        if let Some(other) = found.as_ref().filter(|found| *found != self.kind) {
            return Err(self.other(other.described()));
        }
        let full = std::path::absolute(self.path).unwrap_or_else(|_| self.path.to_owned());
        // Links of the part that exists are followed, so that none leads into a study unseen.
        let real = full.ancestors().find_map(|above| {
            let rest = full.strip_prefix(above).ok()?;
            Some(above.canonicalize().ok()?.join(rest))
        });
        let full = real.unwrap_or(full);
        for above in full.ancestors().skip(1) {
            let Ok(inside) = full.strip_prefix(above) else {
                continue;
            };
            let part = inside.components().next().map(|part| part.as_os_str());
            let own = STUDY_PARTS
                .iter()
                .find(|name| part == Some((**name).as_ref()));
            let is_place = *self.kind == Kind::Model && own == Some(&"models");
            if let Some(name) = own.filter(|_| !is_place)
                && above.join(crate::study::config::FILE_NAME).is_file()
            {
                return Err(self.other(format!(
                    "inside `{name}` of the study `{}`",
                    above.display()
                )));
            }
        }
        Ok(found.is_some())
    }

    fn other(&self, found: String) -> Refusal {
        Refusal::OtherFolder {
            folder: self.path.to_owned(),
            found,
            way_out: self.way_out.to_owned(),
        }
    }

    fn check_file(&self, output: &Path, folder_is_ours: bool) -> Result<(), Refusal> {
        let Ok(found) = std::fs::metadata(output) else {
            return Ok(());
        };
        // What a TIFF says is safer than where it lies: one that was edited says it no longer.
        let may_go = match ending(output).as_str() {
            _ if found.len() == 0 && found.is_file() => true,
            TIFF => marker::is_our_tiff(output),
            PNG => folder_is_ours || is_our_png(output),
            // Outlines that were edited and saved there say it no longer.
            GEOJSON => begins_with(output, GEOJSON_NOTE),
            ZIP => ends_with_note(output, ROIS_NOTE),
            _ => folder_is_ours,
        };
        if may_go {
            return Ok(());
        }
        Err(Refusal::NotOurs {
            path: output.to_owned(),
            expected: "result of this program, or was changed since".to_owned(),
            way_out: format!("move it away, or {}", self.way_out),
        })
    }
}

/// Refuses to replace a file that is there and of which `is_ours` says no; an empty file, and what
/// is no file (`/dev/null`, a pipe), may always be written to.
///
/// # Errors
/// [`Refusal::NotOurs`].
pub fn check_file(
    output: &Path,
    expected: &str,
    is_ours: impl FnOnce(&Path) -> bool,
) -> Result<(), Refusal> {
    let Ok(found) = std::fs::metadata(output) else {
        return Ok(());
    };
    if !found.is_file() || found.len() == 0 || is_ours(output) {
        return Ok(());
    }
    Err(Refusal::NotOurs {
        path: output.to_owned(),
        expected: expected.to_owned(),
        way_out: "give another name, or move it away first".to_owned(),
    })
}

/// Refuses outputs of which two are one file, however they are spelled.
///
/// # Errors
/// [`Refusal::Twice`].
pub fn check_different(outputs: &[&Path]) -> Result<(), Refusal> {
    for (i, first) in outputs.iter().enumerate() {
        let twin = outputs[i + 1..].iter().find(|second| same(first, second));
        if let Some(second) = twin {
            return Err(Refusal::Twice {
                first: first.to_path_buf(),
                second: second.to_path_buf(),
            });
        }
    }
    Ok(())
}

/// Whether two paths are one place, whether or not something lies there.
fn same(first: &Path, second: &Path) -> bool {
    if let (Some(first), Some(second)) = (Identity::of(first), Identity::of(second)) {
        return first == second;
    }
    let place = |path: &Path| {
        let full = std::path::absolute(path).ok()?;
        Some((Identity::of(full.parent()?)?, full.file_name()?.to_owned()))
    };
    place(first).is_some_and(|first| place(second) == Some(first))
}

/// Whether the first line of a table begins with these columns, as the program writes them or as a
/// spreadsheet saves them.
pub fn is_table(path: &Path, columns: &[&str]) -> bool {
    let text = beginning(path);
    let text = text.trim_start_matches('\u{feff}').replace('"', "");
    [",", ";", "\t"].iter().any(|between| {
        let wanted = columns.join(between);
        let rest = text.strip_prefix(&wanted);
        rest.is_some_and(|rest| rest.starts_with([between.as_bytes()[0] as char, '\r', '\n']))
    })
}

/// Whether the file begins with this text.
pub fn begins_with(path: &Path, text: &str) -> bool {
    beginning(path).starts_with(text)
}

/// Whether the file is JSON with these keys: an object, or a list of such objects.
pub fn is_json(path: &Path, keys: &[&str]) -> bool {
    let found = std::fs::read(path).ok();
    let value = found.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    let object = match value {
        Some(serde_json::Value::Array(list)) if list.is_empty() => return true,
        Some(serde_json::Value::Array(list)) => list.into_iter().next(),
        other => other,
    };
    object.is_some_and(|object| keys.iter().all(|key| object.get(key).is_some()))
}

/// Whether a page is a report of this program, by its last line.
pub(crate) fn is_our_page(path: &Path) -> bool {
    ends_with_note(path, "Made by stainfree.")
}

/// Whether a file has this text near its end.
pub(crate) fn ends_with_note(path: &Path, note: &str) -> bool {
    let mut end = Vec::new();
    let read = std::fs::File::open(path).and_then(|mut file| {
        let start = file.metadata()?.len().saturating_sub(ENOUGH);
        file.seek(SeekFrom::Start(start))?;
        file.read_to_end(&mut end)
    });
    read.is_ok() && end.windows(note.len()).any(|part| part == note.as_bytes())
}

/// Whether a picture is one of this program's: a PNG that says so, or an SVG as it draws them.
pub(crate) fn is_our_picture(path: &Path) -> bool {
    let notes = [stainfree_report::SVG_NOTE, stainfree_report::MAP_NOTE];
    is_our_png(path) || notes.iter().any(|note| beginning(path).contains(note))
}

/// Whether a PNG says that this program wrote it.
pub(crate) fn is_our_png(path: &Path) -> bool {
    let note = stainfree_image::write::PNG_NOTE;
    first_bytes(path)
        .windows(note.len())
        .any(|part| part == note)
}

fn ending(path: &Path) -> String {
    let end = path.extension().unwrap_or_default();
    end.to_string_lossy().to_lowercase()
}

/// Bytes that tell what a file is.
const ENOUGH: u64 = 4096;

fn first_bytes(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What cannot be read is not ours, as an empty beginning is not.
    let _ = std::fs::File::open(path).and_then(|file| file.take(ENOUGH).read_to_end(&mut bytes));
    bytes
}

fn beginning(path: &Path) -> String {
    String::from_utf8_lossy(&first_bytes(path)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_image::marker::Marker;

    #[test]
    fn a_folder_that_another_process_begins_meanwhile_is_no_strangers() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("matrix");
        let inside = folder.join("studies");
        let result = ResultFolder {
            path: &folder,
            kind: &Kind::Experiment,
            way_out: "choose another",
        };
        // The other process comes when the outputs are looked at for the second time.
        let looks = std::cell::Cell::new(0);
        let meanwhile = std::iter::once(inside.as_path()).inspect(|_| {
            looks.set(looks.get() + 1);
            if looks.get() == 2 {
                marker::write(&folder, &Marker::new("experiment", Kind::Experiment)).unwrap();
                std::fs::create_dir(&inside).unwrap();
            }
        });
        assert_eq!(result.check(&Inputs::default(), meanwhile), Ok(()));
        assert_eq!(looks.get(), 2);
        // What is there without a marker is a stranger's.
        std::fs::remove_file(folder.join(marker::FILE_NAME)).unwrap();
        let refused = result.check(&Inputs::default(), std::iter::once(inside.as_path()));
        assert!(
            matches!(refused, Err(Refusal::NotOurs { .. })),
            "{refused:?}"
        );
    }
}
