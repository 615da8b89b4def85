//! The files of a set: which file of a folder is meant by a name and an identifier.
//!
//! Copies may spell names in other capitals, and renamed files keep their identifier (`UUID` in the
//! root of their OME-XML). Micro-Manager's files but the first have none; they say which file has
//! their metadata, by its name and identifier.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::format::descriptions;
use crate::format::ome::{Document, is_ome, root_uuid};
use crate::layout::indexed::lies_within;
use crate::names::{composed, file_name, folder_of, is_image_name};

/// Files whose headers are looked at for an identifier; in larger folders a renamed file is
/// missing.
const MOST_LOOKED_INTO: usize = 4096;

/// The files beside the metadata of a set, and in folders that it names.
pub(super) struct Files {
    folder: PathBuf,
    /// Names in small letters, by the folder within.
    listed: HashMap<String, HashMap<String, PathBuf>>,
    by_uuid: Option<HashMap<String, PathBuf>>,
    /// Images with metadata of their own.
    with_metadata: Option<Vec<PathBuf>>,
    /// Identifiers of metadata that no file has.
    in_vain: HashSet<String>,
}

/// A path with its folder, by which files are told from one another.
pub(super) fn spelled(path: &Path) -> PathBuf {
    folder_of(path).join(file_name(path))
}

fn key(name: &str) -> String {
    composed(name.trim()).to_lowercase()
}

impl Files {
    pub(super) fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            listed: HashMap::new(),
            by_uuid: None,
            with_metadata: None,
            in_vain: HashSet::new(),
        }
    }

    /// The files in the folder `within`, empty for the one of the metadata.
    pub(super) fn list(&mut self, within: &str) -> &HashMap<String, PathBuf> {
        let folder = self.folder.join(within);
        self.listed.entry(within.to_string()).or_insert_with(|| {
            // What cannot be listed has no files, which is told of each.
            let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            let files = entries.map(|entry| entry.path());
            files.map(|path| (key(&file_name(&path)), path)).collect()
        })
    }

    /// The file that is called `stated`, which may name a folder here; of other folders only the
    /// name counts.
    pub(super) fn named(&mut self, stated: &str) -> Option<PathBuf> {
        let stated = stated.replace('\\', "/");
        let (within, name) = stated.rsplit_once('/').unwrap_or(("", &stated));
        let name = key(name);
        if !within.is_empty()
            && lies_within(within)
            && let Some(path) = self.list(within).get(&name)
        {
            return Some(path.clone());
        }
        self.list("").get(&name).cloned()
    }

    /// The file with this identifier.
    pub(super) fn identified(&mut self, uuid: &str) -> Option<PathBuf> {
        if self.by_uuid.is_none() {
            let images = self.images();
            let uuids = images.iter().flat_map(|path| {
                let uuid = descriptions(path).iter().find_map(|text| root_uuid(text));
                uuid.map(|uuid| (uuid, path.clone()))
            });
            self.by_uuid = Some(uuids.collect());
        }
        self.by_uuid.as_ref()?.get(uuid).cloned()
    }

    /// The file with the metadata of others, of which only the identifier is known by now.
    pub(super) fn with_metadata(&mut self, uuid: &str) -> Option<(PathBuf, Document)> {
        if self.in_vain.contains(uuid) {
            return None;
        }
        if self.with_metadata.is_none() {
            let mut images = self.images();
            images.retain(|path| metadata_in(path, "").is_some());
            self.with_metadata = Some(images);
        }
        let found = self.with_metadata.iter().flatten().find_map(|path| {
            let document = metadata_in(path, uuid)?;
            Some((path.clone(), document))
        });
        if found.is_none() {
            self.in_vain.insert(uuid.to_string());
        }
        found
    }

    /// Images beside the metadata; none where there are more than are looked into.
    fn images(&mut self) -> Vec<PathBuf> {
        let files = self.list("").values();
        let mut images: Vec<PathBuf> = files.filter(|path| is_image_name(path)).cloned().collect();
        images.sort();
        match images.len() <= MOST_LOOKED_INTO {
            true => images,
            false => Vec::new(),
        }
    }

    /// New names of files that were all renamed alike, told by the one with the metadata: `stated`
    /// are their names in it. Each must say that its metadata has one of the identifiers `uuids`.
    pub(super) fn renamed_alike(
        &mut self,
        master: &Path,
        stated: &[String],
        uuids: &[&str],
    ) -> Option<Vec<PathBuf>> {
        let name = file_name(master);
        let mut ways: Vec<(&str, &str)> = stated
            .iter()
            .filter_map(|stated| {
                let same = common_end(stated, &name);
                let old = stated.get(..stated.len().checked_sub(same)?)?;
                Some((old, name.get(..name.len().checked_sub(same)?)?))
            })
            .collect();
        ways.sort_by_key(|(old, _)| old.len());
        ways.dedup();
        ways.truncate(16);
        ways.into_iter().find_map(|(old, new)| {
            let renamed = stated.iter().map(|stated| {
                let path = self.named(&format!("{new}{}", stated.strip_prefix(old)?))?;
                let belongs = path == master || points_to(&path, uuids);
                belongs.then_some(path)
            });
            renamed.collect()
        })
    }
}

/// The metadata of images that a file has itself, if it speaks of `uuid`.
fn metadata_in(path: &Path, uuid: &str) -> Option<Document> {
    let texts = descriptions(path);
    let mut texts = texts.iter();
    let text = texts.find(|text| is_ome(text) && text.contains(uuid))?;
    let document = Document::parse(text)?;
    (document.elsewhere.is_none() && !document.images.is_empty()).then_some(document)
}

/// What was looked for in folders whose files are looked at one after the other, so that each is
/// searched once.
#[derive(Default)]
pub(super) struct Searched {
    folders: HashMap<PathBuf, Files>,
    /// Files that were named as those with the metadata: the members of its set, none where there
    /// is no set.
    masters: HashMap<PathBuf, HashSet<PathBuf>>,
}

impl Searched {
    /// The files of a folder.
    pub(super) fn files(&mut self, folder: &Path) -> &mut Files {
        let files = self.folders.entry(folder.to_path_buf());
        files.or_insert_with(|| Files::of(folder))
    }

    /// Whether `path` is known not to be a member of the set of `master`.
    pub(super) fn excludes(&self, master: &Path, path: &Path) -> bool {
        let members = self.masters.get(master);
        members.is_some_and(|members| !members.contains(&spelled(path)))
    }

    /// Remembers the members of the set of `master`.
    pub(super) fn knows(&mut self, master: &Path, members: HashSet<PathBuf>) {
        self.masters.insert(master.to_path_buf(), members);
    }
}

/// Bytes that two names end with alike.
fn common_end(a: &str, b: &str) -> usize {
    let pairs = a.chars().rev().zip(b.chars().rev());
    let same = pairs.take_while(|(a, b)| a == b);
    same.map(|(letter, _)| letter.len_utf8()).sum()
}

/// Whether a file says that its metadata is in one with any of these identifiers.
fn points_to(path: &Path, uuids: &[&str]) -> bool {
    let texts = descriptions(path);
    let document = texts.iter().find_map(|text| Document::parse(text));
    let elsewhere = document.and_then(|document| document.elsewhere);
    let uuid = elsewhere.and_then(|elsewhere| elsewhere.uuid);
    uuid.is_some_and(|uuid| uuids.contains(&uuid.as_str()))
}
