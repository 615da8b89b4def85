//! The TIFF files of an NDTiff data set: which of them are there, and what they say of themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::index::Entry;
use crate::container::{Bytes, first_bytes};
use crate::format::MAX_PAGES;
use crate::names::{file_name, list_names, natural_order};

/// What stands at byte 8 of every file.
const NDTIFF: u32 = 483_729;
/// What stands before the summary.
const SUMMARY: u32 = 2_355_492;
/// Longest metadata that are read, bytes; those of an image take 4 kB.
const MOST_TEXT: u64 = 1 << 24;

/// One TIFF file.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) path: Arc<PathBuf>,
    pub(super) length: u64,
    pub(super) big_endian: bool,
}

/// The files by the names that the index has for them.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    pub(super) found: BTreeMap<String, Stack>,
    pub(super) problems: Vec<String>,
}

/// Whether a file is one of a data set, by its first bytes.
pub(super) fn is_stack(path: &Path) -> bool {
    let start = first_bytes(path, 12);
    let magic = NDTIFF.to_le_bytes();
    let swapped = NDTIFF.to_be_bytes();
    matches!(start.first_chunk(), Some(b"II*\0" | b"MM\0*"))
        && start
            .get(8..)
            .is_some_and(|word| word == magic || word == swapped)
}

/// Finds the files of `entries` in `folder`. A file that was renamed is told by what its name ends
/// with, or by being the only one.
pub(super) fn find(folder: &Path, entries: &[Entry]) -> Stacks {
    let named: BTreeSet<&str> = entries.iter().map(|entry| entry.file.as_str()).collect();
    let mut others: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| !named.contains(file_name(path).as_str()) && is_stack(path))
        .collect();
    others.sort_by(|a, b| natural_order(&file_name(a), &file_name(b)));
    let (mut stacks, mut missing) = (Stacks::default(), Vec::new());
    for name in &named {
        // A name is no path that could lead out of the folder.
        let is_name = file_name(Path::new(name)) == **name;
        match is_name.then(|| opened(&folder.join(name))).flatten() {
            Some(stack) => {
                stacks.found.insert((*name).to_string(), stack);
            }
            None => missing.push(*name),
        }
    }
    let alone = missing.len() == 1 && others.len() == 1;
    let mut lost = Vec::new();
    for name in missing {
        let fits = |path: &&PathBuf| alone || ends_alike(&file_name(path), name);
        let fitting: Vec<&PathBuf> = others.iter().filter(fits).collect();
        let found = match fitting.as_slice() {
            [one] => opened(one),
            _ => None,
        };
        match found {
            Some(stack) => {
                stacks.problems.push(format!(
                    "its index calls `{}` by another name, `{name}`",
                    file_name(&stack.path)
                ));
                others.retain(|path| *path != *stack.path);
                stacks.found.insert(name.to_string(), stack);
            }
            None => lost.push(name),
        }
    }
    if !lost.is_empty() {
        let lost = list_names(&lost);
        let said = format!("files of its index are not there: {lost}");
        stacks.problems.push(said);
    }
    if !others.is_empty() {
        let names: Vec<String> = others.iter().map(|path| file_name(path)).collect();
        let said = format!("files that its index does not name: {}", list_names(&names));
        stacks.problems.push(said);
    }
    stacks
}

/// Whether two names end with the same number behind `NDTiffStack`, which both have.
fn ends_alike(a: &str, b: &str) -> bool {
    let end = |name: &str| {
        let at = name.to_lowercase().rfind("ndtiffstack")?;
        name.get(at..).map(str::to_lowercase)
    };
    end(a).is_some_and(|end_of_a| Some(end_of_a) == end(b))
}

fn opened(path: &Path) -> Option<Stack> {
    let big_endian = first_bytes(path, 2) == b"MM";
    let length = std::fs::metadata(path)
        .ok()
        .filter(|facts| facts.is_file())?;
    Some(Stack {
        path: Arc::new(path.to_path_buf()),
        length: length.len(),
        big_endian,
    })
}

impl Stack {
    /// What the file says of all images; nothing where it cannot be read.
    pub(super) fn summary(&self) -> Map<String, Value> {
        let read = || {
            let mut file = Bytes::open(&self.path).ok()?;
            let start = file.at(0, 28, "header").ok()?;
            let word = |at: usize| Some(self.word(*start.get(at..)?.first_chunk()?));
            // Version 2 has no minor version before it.
            let at = [20, 16].into_iter().find(|&at| word(at) == Some(SUMMARY))?;
            self.json(at as u64 + 8, u64::from(word(at + 4)?))
        };
        read().unwrap_or_default()
    }

    /// A JSON object in the file.
    pub(super) fn json(&self, start: u64, bytes: u64) -> Option<Map<String, Value>> {
        let mut file = Bytes::open(&self.path).ok()?;
        let text = file.at(start, bytes.min(MOST_TEXT), "metadata").ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn word(&self, bytes: [u8; 4]) -> u32 {
        match self.big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        }
    }

    /// Directories of the file, of each of which the offset of the pixels is given; as many as are
    /// in order and lie behind one another.
    pub(super) fn pages(&self) -> Vec<u64> {
        let mut pages = Vec::new();
        let Ok(mut file) = Bytes::open(&self.path) else {
            return pages;
        };
        let first = file.at(4, 4, "header").ok();
        let mut next = first.and_then(|bytes| Some(self.word(*bytes.first_chunk()?)));
        let mut last = 0;
        while let Some(at) = next.filter(|&at| at > last && pages.len() < MAX_PAGES) {
            last = at;
            next = self.page(&mut file, u64::from(at)).map(|(pixels, next)| {
                pages.push(pixels);
                next
            });
        }
        pages
    }

    /// Offset of the pixels of the directory at this byte, and of the next directory.
    fn page(&self, file: &mut Bytes<'_>, at: u64) -> Option<(u64, u32)> {
        const STRIP_OFFSETS: u16 = 273;
        let short = |bytes: &[u8]| {
            let pair = *bytes.first_chunk()?;
            Some(match self.big_endian {
                true => u16::from_be_bytes(pair),
                false => u16::from_le_bytes(pair),
            })
        };
        let count = usize::from(short(&file.at(at, 2, "directory").ok()?)?);
        let bytes = file.at(at + 2, 12 * count as u64 + 4, "directory").ok()?;
        let (entries, next) = bytes.split_at(12 * count);
        let mut entries = entries.chunks_exact(12);
        let strip = entries.find(|entry| short(entry) == Some(STRIP_OFFSETS))?;
        let pixels = self.word(*strip.get(8..)?.first_chunk()?);
        Some((u64::from(pixels), self.word(*next.first_chunk()?)))
    }
}
