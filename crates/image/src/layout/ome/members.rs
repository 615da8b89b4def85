//! The files that the metadata of a set names: which are there, and what their headers say.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::files::{Files, spelled};
use super::told::Told;
use crate::format::ome::{Block, Document, plain_name, root_uuid};
use crate::format::{FileInfo, outline, refuse_colours};
use crate::layout::{MOST_LOOKED_AT, Notes};
use crate::names::{folder_of, is_image_name};
use crate::{ImageError, PlaneRef};

/// Files of a set whose headers are read.
const MOST_HEADERS: usize = 512;

/// A file that the metadata names.
#[derive(Default)]
struct Member {
    /// Its name as it is stated; empty where there is only an identifier.
    stated: String,
    uuid: Option<String>,
    /// `None` where it is not there, or cannot be used.
    path: Option<PathBuf>,
    /// Sizes of its pages, where its header was read.
    pages: Option<Vec<(usize, usize)>>,
}

/// The files of a set.
pub(super) struct Members {
    all: Vec<Member>,
    ids: HashMap<String, usize>,
    /// The files that are there.
    paths: HashSet<PathBuf>,
}

/// What tells the file of a block from others: its name, else its identifier.
fn key(block: &Block) -> String {
    match (&block.file, &block.uuid) {
        (Some(file), _) => file.trim().replace('\\', "/").to_lowercase(),
        (None, Some(uuid)) => format!("uuid {uuid}"),
        (None, None) => String::new(),
    }
}

impl Members {
    /// Looks for the files that `document`, which lies in `master`, names. `own` is the file that
    /// elements without a name mean; `by_itself`, it is the only one. `files` are those beside it.
    pub(super) fn of(
        document: &Document,
        master: &Path,
        own: Option<&Path>,
        by_itself: bool,
        files: &mut Files,
    ) -> Self {
        let (mut all, mut ids): (Vec<Member>, HashMap<String, usize>) = Default::default();
        for block in document.images.iter().flat_map(|image| &image.blocks) {
            let next = ids.len();
            let id = *ids.entry(key(block)).or_insert(next);
            if id == all.len() {
                all.push(Member {
                    stated: block.file.clone().unwrap_or_default(),
                    uuid: block.uuid.clone(),
                    ..Member::default()
                });
            }
        }
        for member in &mut all {
            let uuid = member.uuid.as_deref();
            member.path = match (member.stated.is_empty(), uuid) {
                // The one file that is named is this one, whatever its name is by now.
                _ if by_itself => Some(master.to_path_buf()),
                (true, None) => own.map(Path::to_path_buf),
                (true, Some(uuid)) => files.identified(uuid),
                (false, _) => files
                    .named(&member.stated)
                    .or_else(|| files.identified(uuid?)),
            };
        }
        let mut members = Self {
            all,
            ids,
            paths: HashSet::new(),
        };
        if own.is_some() {
            members.renamed_alike(master, files);
        }
        let paths = members
            .all
            .iter()
            .filter_map(|member| member.path.as_deref());
        members.paths = paths.map(spelled).collect();
        members
    }

    /// The files that are there.
    pub(super) fn paths(&self) -> &HashSet<PathBuf> {
        &self.paths
    }

    /// Whether `path` is one of them.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.paths.contains(&spelled(path))
    }

    /// The names that the metadata has for its files.
    pub(super) fn stated(&self) -> impl Iterator<Item = &str> {
        let names = self.all.iter().map(|member| member.stated.as_str());
        names.filter(|name| !name.is_empty())
    }

    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    pub(super) fn id(&self, block: &Block) -> Option<usize> {
        self.ids.get(&key(block)).copied()
    }

    /// Names of the files that are not there.
    pub(super) fn missing(&self) -> Vec<&str> {
        let missing = self.all.iter().filter(|member| member.path.is_none());
        let names = missing.map(|member| match member.stated.as_str() {
            "" => member.uuid.as_deref().unwrap_or_default(),
            stated => stated,
        });
        names.filter(|name| !name.is_empty()).collect()
    }

    /// Finds files that were all renamed alike.
    fn renamed_alike(&mut self, master: &Path, files: &mut Files) {
        let stated: Vec<String> = self
            .all
            .iter()
            .map(|member| member.stated.clone())
            .collect();
        if self.all.iter().all(|member| member.path.is_some())
            || stated
                .iter()
                .any(|stated| plain_name(stated) != stated.to_lowercase())
        {
            return;
        }
        let uuids: Vec<&str> = self.all.iter().filter_map(|m| m.uuid.as_deref()).collect();
        if let Some(paths) = files.renamed_alike(master, &stated, &uuids) {
            for (member, path) in self.all.iter_mut().zip(paths) {
                member.path = Some(path);
            }
        }
    }

    /// Reads the headers of files; those that cannot be used are told, and left out.
    pub(super) fn look_into(&mut self, notes: &mut Notes) {
        let there = self.all.iter_mut().filter(|member| member.path.is_some());
        for member in there.take(MOST_HEADERS) {
            let Some(path) = member.path.clone() else {
                continue;
            };
            match looked_into(&path, notes) {
                Ok((info, texts)) => {
                    let uuid = texts.iter().find_map(|text| root_uuid(text));
                    if let (Some(own), Some(stated)) = (uuid, &member.uuid)
                        && own != *stated
                    {
                        notes.add(OTHER_UUID, &path);
                    }
                    for problem in info.problems {
                        notes.add(problem, &path);
                    }
                    member.pages = Some(info.pages);
                }
                Err(error) => {
                    notes.by_sentence.entry(error.to_string()).or_default();
                    member.path = None;
                }
            }
        }
    }

    /// How many pages a file has; one where its header was not read.
    pub(super) fn pages_of(&self, id: usize) -> usize {
        let pages = self.all.get(id).and_then(|member| member.pages.as_ref());
        pages.map_or(1, Vec::len)
    }

    pub(super) fn size(&self, id: usize, page: usize) -> Option<(usize, usize)> {
        self.all.get(id)?.pages.as_ref()?.get(page).copied()
    }

    /// A plane, if its file and page are there and of the right size.
    pub(super) fn plane(
        &self,
        id: usize,
        page: usize,
        size: (usize, usize),
        told: &mut Told,
    ) -> Option<PlaneRef> {
        let member = self.all.get(id)?;
        let path = member.path.clone()?;
        if let Some(pages) = &member.pages {
            match pages.get(page) {
                None => {
                    told.short.insert(member.stated.clone());
                    return None;
                }
                Some(other) if *other != size => {
                    told.other_size.insert(member.stated.clone());
                    return None;
                }
                Some(_) => {}
            }
        }
        Some(PlaneRef::of_file(path, page))
    }
}

/// What is said of a file whose identifier is another one.
const OTHER_UUID: &str = "its identifier is not the one that the OME metadata of its set states; \
                          it is taken by its name";

/// The header of a file, unless it is no image of a microscope or is coloured.
fn looked_into(path: &Path, notes: &mut Notes) -> Result<(FileInfo, Vec<String>), ImageError> {
    let (info, texts) = outline(path)?;
    if info.ours {
        return Err(ImageError::own_output(path, "an image of results or truth"));
    }
    if info.may_be_coloured && notes.looked_at < MOST_LOOKED_AT {
        notes.looked_at += 1;
        refuse_colours(path, &info)?;
    }
    Ok((info, texts))
}

/// Images in the folders of `members` that are none of them.
pub(super) fn strangers(members: &Members) -> Vec<PathBuf> {
    let known = members.paths();
    let folders: HashSet<&Path> = known.iter().map(|path| folder_of(path)).collect();
    let mut found = Vec::new();
    for folder in folders {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        found.extend(
            paths.filter(|path| is_image_name(path) && !known.contains(path) && path.is_file()),
        );
    }
    found.sort();
    found
}
