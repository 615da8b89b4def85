//! One set: OME-XML, and the files that it names.
//!
//! The metadata is OME-XML by itself (`*.companion.ome`, scanR's `metadata.ome.xml`, CQ1's
//! `MeasurementResult.ome.xml`) or the description of one of the TIFF files; others may have
//! the same, or say where it is (`BinaryOnly`). What a file's own header says of its pages counts
//! more than the XML. Headers of large sets are not all read: files beyond a number are believed
//! to be what the XML states.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::files::Searched;
use super::members::Members;
use super::told::Told;
use super::wells::{self, Place};
use super::xml::{is_xml_name, read_xml};
use crate::ImageError;
use crate::container::{ChannelSaid, Contained, MOST_CHANNELS, MOST_PLANES};
use crate::format::ome::{Block, Document, Elsewhere, Stated, is_ome, place};
use crate::format::{MAX_PAGES, descriptions};
use crate::layout::Notes;
use crate::names::{file_name, folder_of, list_names};

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

impl Set {
    /// The set that the file `path` belongs to, as far as the file itself says; `None` if it says
    /// nothing of the kind.
    ///
    /// # Errors
    /// [`ImageError::Read`] and [`ImageError::TooLarge`] of XML by itself.
    pub(super) fn of(path: &Path) -> Result<Option<Self>, ImageError> {
        Self::among(path, &mut Searched::default())
    }

    /// As [`Self::of`], for one of many files: what is known of others is not looked for again.
    pub(super) fn among(path: &Path, searched: &mut Searched) -> Result<Option<Self>, ImageError> {
        if is_xml_name(path) {
            let document = Document::parse(&read_xml(path)?);
            return Ok(document.map(|document| Self {
                master: path.to_path_buf(),
                document,
                alone: true,
            }));
        }
        Ok(Self::of_tiff(path, searched))
    }

    fn of_tiff(path: &Path, searched: &mut Searched) -> Option<Self> {
        let texts = descriptions(path);
        let text = texts.iter().find(|text| is_ome(text))?;
        // Files by themselves, which are most, are not parsed twice.
        if !SIGNS.iter().any(|sign| text.contains(sign)) {
            return None;
        }
        let document = Document::parse(text)?;
        if let Some(elsewhere) = &document.elsewhere {
            return Self::elsewhere(path, elsewhere, searched);
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
    fn elsewhere(path: &Path, elsewhere: &Elsewhere, searched: &mut Searched) -> Option<Self> {
        let folder = folder_of(path);
        let files = searched.files(folder);
        let named = elsewhere.file.as_deref().and_then(|file| files.named(file));
        let named = named.filter(|master| !searched.excludes(master, path));
        if let Some(master) = named {
            if let Some(set) = Self::with_images(&master) {
                return Some(set);
            }
            searched.knows(&master, HashSet::new());
        }
        let files = searched.files(folder);
        let (master, document) = files.with_metadata(elsewhere.uuid.as_deref()?)?;
        let is_other = searched.excludes(&master, path);
        (!is_other).then_some(Self {
            master,
            document,
            alone: false,
        })
    }

    /// The set whose metadata is in `master`.
    fn with_images(master: &Path) -> Option<Self> {
        let alone = is_xml_name(master);
        let text = match alone {
            true => read_xml(master).ok()?,
            false => descriptions(master).into_iter().find(|t| is_ome(t))?,
        };
        let document = Document::parse(&text)?;
        document.elsewhere.is_none().then_some(Self {
            master: master.to_path_buf(),
            document,
            alone,
        })
    }

    /// Looks for the files that it names.
    pub(super) fn members(&self) -> Members {
        self.members_among(&mut Searched::default())
    }

    /// As [`Self::members`], for one of many sets of a folder.
    pub(super) fn members_among(&self, searched: &mut Searched) -> Members {
        let by_itself = !self.alone && !self.document.is_of_several_files();
        let own = (!self.alone).then_some(self.master.as_path());
        let files = searched.files(folder_of(&self.master));
        Members::of(&self.document, &self.master, own, by_itself, files)
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
        let count = self.document.images.len();
        let sentences = told.sentences(&members.missing(), members.count(), count);
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
        if !members.paths().is_empty() {
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
        if axes.channels > MOST_CHANNELS {
            return Err(format!(
                "its OME metadata states {} channels",
                axes.channels
            ));
        }
        let total = axes.count().unwrap_or(0);
        let sizes = [axes.channels, axes.planes, axes.times];
        let within = |block: &&Block| block.first.iter().zip(sizes).all(|(&at, size)| at < size);
        let blocks: Vec<(usize, &Block)> = stated
            .blocks
            .iter()
            .filter(within)
            .filter_map(|block| Some((members.id(block)?, block)))
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
        let image = Contained {
            name: stated.name.clone(),
            size,
            channels: channels_said(stated, axes.channels),
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
        let mut names = members
            .stated()
            .map(|name| without_endings(name).to_string());
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

/// What is said of each of `count` channels.
fn channels_said(stated: &Stated, count: usize) -> Vec<ChannelSaid> {
    let said = stated.channels.iter().map(|channel| ChannelSaid {
        name: channel.name.clone().unwrap_or_default(),
        transmitted: channel.transmitted,
    });
    let mut channels: Vec<ChannelSaid> = said.take(count).collect();
    channels.resize(count, ChannelSaid::default());
    channels
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

impl Stated {
    /// What it is called in messages.
    fn called(&self) -> String {
        match self.name.as_str() {
            "" => self.id.clone(),
            name => name.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Image;
    use crate::write::{Compression, Integers, described};

    fn put(path: &Path, text: &str) {
        let pixels = Image::filled(2, 2, 1_u16);
        let pixels = Integers::Counts(&pixels);
        described(path, pixels, text, Compression::Uncompressed).expect("written");
    }

    #[test]
    fn what_was_looked_for_in_vain_is_not_looked_for_again() {
        let place = tempfile::tempdir().expect("a folder");
        let [a, b, master] = ["a.tif", "b.tif", "m.tif"].map(|name| place.path().join(name));
        let only = "<OME><BinaryOnly MetadataFile=\"x.companion.ome\" UUID=\"urn:uuid:1\"/></OME>";
        put(&a, only);
        put(&b, only);
        let mut searched = Searched::default();
        assert!(Set::among(&a, &mut searched).expect("reads").is_none());
        // Headers are read once, so that what comes later is not found.
        let block = |file: &str, uuid: u32| {
            format!("<TiffData><UUID FileName=\"{file}\">urn:uuid:{uuid}</UUID></TiffData>")
        };
        let blocks = block("m.tif", 1) + &block("b.tif", 2);
        let own =
            format!("<OME UUID=\"urn:uuid:1\"><Image><Pixels>{blocks}</Pixels></Image></OME>");
        put(&master, &own);
        assert!(Set::among(&b, &mut searched).expect("reads").is_none());
        // Nor is metadata looked at again for a file that it does not name.
        let mut searched = Searched::default();
        let set = Set::among(&a, &mut searched)
            .expect("reads")
            .expect("a set");
        let members = set.members_among(&mut searched);
        assert!(!members.has(&a) && members.has(&b));
        searched.knows(&set.master, members.paths().clone());
        assert!(Set::among(&a, &mut searched).expect("reads").is_none());
        assert!(Set::among(&b, &mut searched).expect("reads").is_some());
    }
}
