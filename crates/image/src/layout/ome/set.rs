//! One set: OME-XML, and the files that it names.
//!
//! The metadata is OME-XML by itself (`*.companion.ome`, scanR's `metadata.ome.xml`, CQ1's
//! `MeasurementResult.ome.xml`) or the description of one of the TIFF files; others may have
//! the same, or say where it is (`BinaryOnly`). What a file's own header says of its pages counts
//! more than the XML. Headers of large sets are not all read: files beyond a number are believed
//! to be what the XML states.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::files::Files;
use super::wells::{self, Place};
use crate::container::{ChannelSaid, Contained, MOST_PLANES};
use crate::format::description::text;
use crate::format::ome::{Block, Document, Elsewhere, Stated, is_ome, place, plain_name};
use crate::format::{FileInfo, MAX_PAGES, descriptions, outline, refuse_colours};
use crate::layout::{MOST_LOOKED_AT, Notes};
use crate::names::{file_name, folder_of, list_names};
use crate::{ImageError, PlaneRef};

/// Files of a set whose headers are read.
const MOST_HEADERS: usize = 512;
/// Larger XML is none of an image set: 100,000 planes take 50 MB.
const MOST_BYTES: u64 = 1 << 29;

/// Metadata, before its files are looked for.
pub(super) struct Set {
    /// The file that has it.
    pub(super) master: PathBuf,
    document: Document,
    /// Whether the master is XML by itself, and no image.
    alone: bool,
}

/// What the description of a file holds that is a part of a set, or shows wells.
const SIGNS: [&str; 6] = [
    "BinaryOnly",
    "<UUID",
    ":UUID",
    "WellSample",
    "-Site_",
    "Well ",
];

/// What is in a set.
pub(in crate::layout) struct Opened {
    /// What the set is called: the master's name, or what the names of its files begin with.
    pub(super) name: String,
    pub(super) images: Vec<(Contained, Option<Place>)>,
    /// Names of plates by their numbers.
    pub(super) plates: Vec<Option<String>>,
}

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
}

impl Set {
    /// The set that the file `path` belongs to, as far as the file itself says; `None` if it says
    /// nothing of the kind.
    ///
    /// # Errors
    /// [`ImageError::Read`] and [`ImageError::TooLarge`] of XML by itself.
    pub(super) fn of(path: &Path) -> Result<Option<Self>, ImageError> {
        if is_xml_name(path) {
            let document = Document::parse(&read_xml(path)?);
            return Ok(document.map(|document| Self {
                master: path.to_path_buf(),
                document,
                alone: true,
            }));
        }
        Ok(Self::of_tiff(path))
    }

    fn of_tiff(path: &Path) -> Option<Self> {
        let texts = descriptions(path);
        let text = texts.iter().find(|text| is_ome(text))?;
        // Files by themselves, which are most, are not parsed twice.
        if !SIGNS.iter().any(|sign| text.contains(sign)) {
            return None;
        }
        let document = Document::parse(text)?;
        if let Some(elsewhere) = &document.elsewhere {
            return Self::elsewhere(path, elsewhere);
        }
        let has_wells = || {
            let placed = document.images.iter().all(|image| !image.blocks.is_empty());
            placed && !wells::places(&document).is_empty()
        };
        (document.is_of_several_files() || has_wells()).then(|| Self {
            master: path.to_path_buf(),
            document,
            alone: false,
        })
    }

    /// The set whose metadata is in another file than `path`.
    fn elsewhere(path: &Path, elsewhere: &Elsewhere) -> Option<Self> {
        let mut files = Files::of(folder_of(path));
        let named = elsewhere.file.as_deref().and_then(|file| files.named(file));
        let by_name = named.and_then(|master| {
            let alone = is_xml_name(&master);
            let text = match alone {
                true => read_xml(&master).ok()?,
                false => descriptions(&master).into_iter().find(|t| is_ome(t))?,
            };
            let document = Document::parse(&text)?;
            document.elsewhere.is_none().then_some(Self {
                master,
                document,
                alone,
            })
        });
        by_name.or_else(|| {
            let (master, document) = files.with_metadata(elsewhere.uuid.as_deref()?)?;
            Some(Self {
                master,
                document,
                alone: false,
            })
        })
    }

    /// Looks for the files that it names.
    pub(super) fn members(&self) -> Members {
        let (mut all, mut ids): (Vec<Member>, HashMap<String, usize>) = Default::default();
        let images = self.document.images.iter();
        for block in images.flat_map(|image| &image.blocks) {
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
        let mut files = Files::of(folder_of(&self.master));
        let by_itself = !self.alone && !self.document.is_of_several_files();
        for member in &mut all {
            let uuid = member.uuid.as_deref();
            member.path = match (member.stated.is_empty(), uuid) {
                // The one file that is named is this one, whatever its name is by now.
                _ if by_itself => Some(self.master.clone()),
                // A block that names no file means the one that it is in.
                (true, None) => (!self.alone).then(|| self.master.clone()),
                (true, Some(uuid)) => files.identified(uuid),
                (false, _) => files
                    .named(&member.stated)
                    .or_else(|| files.identified(uuid?)),
            };
        }
        let mut members = Members { all, ids };
        if !self.alone {
            members.renamed_alike(&self.master, &mut files);
        }
        members
    }

    /// Lists its images.
    ///
    /// # Errors
    /// [`ImageError::NoImages`] if no file that it names is there, [`ImageError::NotSupported`] if
    /// it names none, [`ImageError::Broken`] if no image can be made of it,
    /// [`ImageError::TooLarge`].
    pub(super) fn open(
        &self,
        mut members: Members,
        notes: &mut Notes,
    ) -> Result<Opened, ImageError> {
        self.check_size()?;
        self.refuse_nothing(&members)?;
        members.look_into(notes);
        let places = wells::places(&self.document);
        let (mut images, mut told) = (Vec::new(), Told::default());
        for (k, stated) in self.document.images.iter().enumerate() {
            match self.image(stated, &members, &mut told) {
                Ok(Some(mut image)) => {
                    let place = places.get(&k).cloned();
                    image.well = place.as_ref().map(|place| place.well.clone());
                    image.site = place.as_ref().map(|place| place.site);
                    let of_well = place.as_ref().and_then(|place| place.centre_um);
                    image.centre_um = image.centre_um.or(of_well);
                    images.push((image, place));
                }
                Ok(None) => told.empty.push(stated.called()),
                Err(problem) => told
                    .refused
                    .entry(problem)
                    .or_default()
                    .push(stated.called()),
            }
        }
        let sentences = told.sentences(&members, self.document.images.len());
        if images.is_empty() {
            return Err(ImageError::broken(&self.master, sentences.join("; ")));
        }
        for sentence in self.document.problems.iter().chain(&sentences) {
            notes.add(sentence, &self.master);
        }
        Ok(Opened {
            name: self.name(&members),
            images,
            plates: self.plates(),
        })
    }

    /// Checks how many planes are stated in all, before any list is made of them.
    fn check_size(&self) -> Result<(), ImageError> {
        let axes = self
            .document
            .images
            .iter()
            .filter_map(|image| image.axes.as_ref());
        let counts = axes.map(|axes| axes.count().unwrap_or(usize::MAX));
        let total = counts.fold(0_usize, usize::saturating_add);
        match total <= MOST_PLANES {
            true => Ok(()),
            false => Err(ImageError::TooLarge {
                path: self.master.clone(),
                what: format!("its OME metadata states {total} planes"),
                cap: format!("{MOST_PLANES} planes"),
                way_out: "export it in parts",
            }),
        }
    }

    /// Refuses metadata without any image.
    fn refuse_nothing(&self, members: &Members) -> Result<(), ImageError> {
        if members.all.iter().any(|member| member.path.is_some()) {
            return Ok(());
        }
        let count = self.document.images.len();
        let names = members.missing();
        if !names.is_empty() {
            return Err(ImageError::NoImages {
                path: folder_of(&self.master).to_path_buf(),
                what: format!(
                    "the OME metadata in `{}` describes {count} images in {} files, and none of \
                     them is there ({})",
                    file_name(&self.master),
                    names.len(),
                    list_names(&names)
                ),
                way_out: "copy the images beside it, under the names that it has for them".into(),
            });
        }
        let (what, way_out) = match self.document.has_pixels {
            true => (
                "their pixels lie in the XML itself, which stainfree does not read",
                "convert it to OME-TIFF, with `bfconvert` or Fiji",
            ),
            false => (
                "it names no file that holds their pixels",
                "name the images that it belongs to",
            ),
        };
        Err(ImageError::not_supported(
            &self.master,
            format!("it is OME-XML that describes {count} images, and {what}"),
            way_out,
        ))
    }

    /// One image; `None` if none of its planes is there, `Err` with a sentence if its metadata
    /// cannot be obeyed.
    fn image(
        &self,
        stated: &Stated,
        members: &Members,
        told: &mut Told,
    ) -> Result<Option<Contained>, String> {
        let axes = stated.axes_in_pages();
        let axes = axes.ok_or("its OME metadata states no usable dimensions")?;
        let total = axes.count().unwrap_or(0);
        let sizes = [axes.channels, axes.planes, axes.times];
        let within = |block: &&Block| block.first.iter().zip(sizes).all(|(&at, size)| at < size);
        let blocks: Vec<(usize, &Block)> = stated
            .blocks
            .iter()
            .filter(within)
            .filter_map(|block| Some((*members.ids.get(&key(block))?, block)))
            .collect();
        told.beyond += stated.blocks.len() - blocks.len();
        let found = place(&axes, &blocks, |id| members.pages_of(id))?;
        told.unnamed += total.saturating_sub(found.len());
        told.stated += total;
        if total > found.len().saturating_mul(64).max(MAX_PAGES) {
            return Err(format!(
                "its OME metadata states {total} planes and names {} of them",
                found.len()
            ));
        }
        let size = found
            .values()
            .find_map(|&(id, page)| members.size(id, page));
        let Some(size) = size.or(stated.size) else {
            return Err("its OME metadata states no size".into());
        };
        if stated.size.is_some_and(|stated| stated != size) {
            told.resized.push(stated.called());
        }
        let mut places = vec![None; total];
        for (plane, (id, page)) in found {
            places[plane] = members.plane(id, page, size, told);
        }
        if places.iter().all(Option::is_none) {
            return Ok(None);
        }
        told.problems.extend(stated.problem.clone());
        let mut channels: Vec<ChannelSaid> = stated
            .channels
            .iter()
            .map(|channel| ChannelSaid {
                name: channel.name.clone().unwrap_or_default(),
                transmitted: channel.transmitted,
            })
            .collect();
        channels.resize(axes.channels, ChannelSaid::default());
        let image = Contained {
            name: stated.name.clone(),
            size,
            channels,
            planes: axes.planes,
            times: axes.times,
            pixel_um: stated.pixel_um,
            z_step_um: stated.z_step_um.filter(|_| axes.planes > 1),
            time_step_s: stated.time_step_s.filter(|_| axes.times > 1),
            centre_um: stated.centre_um,
            places,
            ..Contained::default()
        };
        let checked = image.check(&self.master).map_err(|error| error.to_string());
        checked.map(|()| Some(image))
    }

    fn plates(&self) -> Vec<Option<String>> {
        let plates = self.document.plates.iter();
        plates.map(|plate| plate.name.clone()).collect()
    }

    /// XML is called as it is, without endings; other sets by what the names of their files begin
    /// with.
    fn name(&self, members: &Members) -> String {
        let master = file_name(&self.master);
        let own = without_endings(&master);
        if self.alone {
            return own.to_string();
        }
        let stated = members
            .all
            .iter()
            .filter(|member| !member.stated.is_empty());
        let mut names = stated.map(|member| without_endings(&member.stated).to_string());
        let first = names.next().unwrap_or_default();
        let shared = names.fold(first.as_str(), |shared, name| {
            let pairs = shared.char_indices().zip(name.chars());
            let same = pairs.take_while(|((_, a), b)| a == b).last();
            &shared[..same.map_or(0, |((at, letter), _)| at + letter.len_utf8())]
        });
        // What differs may begin in the middle of a word (`a_C0`, `a_C1`).
        let word = shared.rfind(['_', '-', ' ', '.']).map(|end| &shared[..end]);
        let shared = word.filter(|_| shared != first).unwrap_or(shared);
        match shared.trim_matches(['_', '-', ' ', '.']) {
            "" => own.to_string(),
            shared => shared.to_string(),
        }
    }
}

/// A file's name without its endings, also where there are two.
fn without_endings(name: &str) -> &str {
    let mut name = name;
    for end in [".tif", ".tiff", ".xml", ".ome", ".companion"] {
        let cut = name.len().saturating_sub(end.len());
        let matches = name
            .get(cut..)
            .is_some_and(|tail| tail.eq_ignore_ascii_case(end));
        if matches && cut > 0 {
            name = &name[..cut];
        }
    }
    name
}

/// Whether a name is one of OME-XML by itself.
pub(super) fn is_xml_name(path: &Path) -> bool {
    let name = file_name(path).to_lowercase();
    !name.starts_with('.') && (name.ends_with(".ome") || name.ends_with(".xml"))
}

/// The text of an XML file, in whichever encoding.
fn read_xml(path: &Path) -> Result<String, ImageError> {
    let file = crate::format::open(path)?;
    let mut bytes = Vec::new();
    let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| ImageError::read(path, error))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(ImageError::TooLarge {
            path: path.to_path_buf(),
            what: "its XML is larger".into(),
            cap: format!("{MOST_BYTES} bytes"),
            way_out: "export it in parts",
        });
    }
    let units = |number: fn([u8; 2]) -> u16| {
        let pairs = bytes.chunks_exact(2).skip(1);
        let units: Vec<u16> = pairs.map(|pair| number([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    Ok(match bytes[..] {
        [0xff, 0xfe, ..] => units(u16::from_le_bytes),
        [0xfe, 0xff, ..] => units(u16::from_be_bytes),
        _ => text(&bytes),
    })
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
    /// The files that are there.
    pub(super) fn paths(&self) -> BTreeSet<&Path> {
        let paths = self.all.iter().filter_map(|member| member.path.as_deref());
        paths.collect()
    }

    /// Whether `path` is one of them.
    pub(super) fn has(&self, path: &Path) -> bool {
        let name = file_name(path);
        let mut paths = self.all.iter().filter_map(|member| member.path.as_deref());
        paths.any(|member| file_name(member) == name && folder_of(member) == folder_of(path))
    }

    fn missing(&self) -> Vec<&str> {
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
    fn look_into(&mut self, notes: &mut Notes) {
        let there = self.all.iter_mut().filter(|member| member.path.is_some());
        for member in there.take(MOST_HEADERS) {
            let Some(path) = member.path.clone() else {
                continue;
            };
            match looked_into(&path, notes) {
                Ok((info, texts)) => {
                    let uuid = texts
                        .iter()
                        .find_map(|text| crate::format::ome::root_uuid(text));
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
    fn pages_of(&self, id: usize) -> usize {
        let pages = self.all.get(id).and_then(|member| member.pages.as_ref());
        pages.map_or(1, Vec::len)
    }

    fn size(&self, id: usize, page: usize) -> Option<(usize, usize)> {
        self.all.get(id)?.pages.as_ref()?.get(page).copied()
    }

    /// A plane, if its file and page are there and of the right size.
    fn plane(
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

/// What is to be told of the images of a set.
#[derive(Default)]
struct Told {
    /// Images without any plane here.
    empty: Vec<String>,
    /// Images by what is wrong with their metadata.
    refused: BTreeMap<String, Vec<String>>,
    /// Images whose pages have another size than stated.
    resized: Vec<String>,
    problems: BTreeSet<String>,
    /// Elements that name planes beyond the sizes.
    beyond: usize,
    /// Planes, and how many of them no element names.
    stated: usize,
    unnamed: usize,
    /// Files with fewer pages than are named, and with pages of another size.
    short: BTreeSet<String>,
    other_size: BTreeSet<String>,
}

impl Told {
    fn sentences(self, members: &Members, images: usize) -> Vec<String> {
        let mut said: Vec<String> = self.problems.into_iter().collect();
        let missing = members.missing();
        if !missing.is_empty() {
            said.push(format!(
                "{} of {} files that its OME metadata names are not there: {}",
                missing.len(),
                members.all.len(),
                list_names(&missing)
            ));
        }
        let list = |set: BTreeSet<String>| list_names(&set.into_iter().collect::<Vec<_>>());
        if !self.short.is_empty() {
            let files = list(self.short);
            said.push(format!(
                "its OME metadata names pages that are not there in {files}"
            ));
        }
        if !self.other_size.is_empty() {
            let files = list(self.other_size);
            said.push(format!("pages of another size are left out: {files}"));
        }
        if self.beyond > 0 {
            said.push(format!(
                "its OME metadata names {} planes that its sizes do not have, which are left out",
                self.beyond
            ));
        }
        if self.unnamed > 0 {
            said.push(format!(
                "its OME metadata names no page for {} of {} planes",
                self.unnamed, self.stated
            ));
        }
        for (what, names) in [
            (
                "have another size than it states, which is believed",
                self.resized,
            ),
            ("have none of their planes here", self.empty),
        ] {
            if !names.is_empty() {
                let (count, names) = (names.len(), list_names(&names));
                said.push(format!("{count} of {images} images {what}: {names}"));
            }
        }
        for (problem, names) in self.refused {
            said.push(format!("{problem} ({})", list_names(&names)));
        }
        said
    }
}

impl Stated {
    /// What it is called in messages.
    fn called(&self) -> String {
        match self.name.as_str() {
            "" => self.id.clone(),
            name => name.to_string(),
        }
    }
}

/// Images in the folders of `members` that are none of them.
pub(super) fn strangers(members: &Members) -> Vec<PathBuf> {
    let known = members.paths();
    let folders: HashSet<&Path> = known.iter().map(|path| folder_of(path)).collect();
    let mut found = Vec::new();
    for folder in folders {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        found.extend(paths.filter(|path| {
            crate::names::is_image_name(path) && !known.contains(path.as_path()) && path.is_file()
        }));
    }
    found.sort();
    found
}
