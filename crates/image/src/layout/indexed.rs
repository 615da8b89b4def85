//! Plates whose images are listed in an index: what was taken, and which of it is there.
//!
//! The readers of the single systems fill an [`Index`]; here it becomes fields. Headers of images
//! are not read, since the index states their size, but for one image of every channel: a plate of
//! 384 wells has tens of thousands of files.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::{Draft, Found, Notes, Slot, joined, sidecar};
use crate::format::read_info;
use crate::names::{file_name, folder_name, list_names};
use crate::{ImageError, PlaneRef};

/// One plane of one channel, as an index lists it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listed {
    /// Its file, in the folder of the images.
    pub(super) file: String,
    /// As printed on the plate (`B02`).
    pub(super) well: String,
    /// From 1.
    pub(super) site: u32,
    /// From 1, without gaps.
    pub(super) time: u32,
    /// In the order of depth; numbers may have gaps.
    pub(super) plane: u32,
    /// Key of [`Index::channels`].
    pub(super) channel: u32,
    /// Where the field's middle lies, um to the right and down from the well's.
    pub(super) place_um: Option<[f64; 2]>,
}

/// One channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Channel {
    pub(super) name: String,
    pub(super) pixel_um: Option<f64>,
    /// Height and width of its images, where the index states them.
    pub(super) size: Option<(usize, usize)>,
}

/// What an index says.
pub(super) struct Index {
    /// The index itself.
    pub(super) path: PathBuf,
    /// Where the images lie.
    pub(super) folder: PathBuf,
    pub(super) plate: String,
    pub(super) channels: BTreeMap<u32, Channel>,
    pub(super) images: Vec<Listed>,
    /// Files in the folder that belong to the system but are no images of cells.
    pub(super) passed_over: fn(&str) -> bool,
    pub(super) problems: Vec<String>,
}

/// Reads plates, each by the index at a path. With more than one, their folders begin the names of
/// their fields, since wells repeat.
pub(super) fn read_all(
    indexes: Vec<(String, PathBuf)>,
    read: impl Fn(&Path) -> Result<Index, ImageError>,
) -> Result<Found, ImageError> {
    let plates: Result<Vec<(String, Found)>, ImageError> = indexes
        .into_iter()
        .map(|(name, path)| Ok((name, fields_of(read(&path)?)?)))
        .collect();
    Ok(joined(plates?, Vec::new()))
}

/// Indexes at `path`, which is one, or a folder in which `index_of` finds one, or holds such
/// folders; each with what tells it from the others.
pub(super) fn indexes_at(
    path: &Path,
    is_index: impl Fn(&Path) -> bool,
    index_of: impl Fn(&Path) -> Option<PathBuf>,
) -> Result<Vec<(String, PathBuf)>, ImageError> {
    if !path.is_dir() {
        let own = is_index(path).then(|| (folder_name(path), path.to_path_buf()));
        return Ok(own.into_iter().collect());
    }
    if let Some(index) = index_of(path) {
        return Ok(vec![(folder_name(path), index)]);
    }
    let inside = super::Entries::of(path)?.folders;
    let found = inside
        .iter()
        .filter_map(|folder| Some((file_name(folder), index_of(folder)?)));
    Ok(found.collect())
}

/// The fields of one plate.
///
/// # Errors
/// If its folder cannot be listed, or the index lists images and none of them is there.
fn fields_of(mut index: Index) -> Result<Found, ImageError> {
    let there = names_in(&index.folder)?;
    let listed: HashSet<&str> = index.images.iter().map(|i| i.file.as_str()).collect();
    let mut problems = std::mem::take(&mut index.problems);
    problems.extend(strangers(&index, &there, &listed));
    let missing: Vec<&Listed> = index
        .images
        .iter()
        .filter(|image| !there.contains(&image.file))
        .collect();
    if !missing.is_empty() && missing.len() == index.images.len() {
        return Err(nothing_there(&index));
    }
    problems.extend(some_missing(&index, &missing));

    let mut notes = Notes::default();
    let table = sidecar::table(&index.folder, &mut notes);
    let sizes = Sizes::of(&index, &there, &mut problems);
    let fields = drafts(&index, |image| {
        let path = index.folder.join(&image.file);
        let size = there
            .contains(&image.file)
            .then(|| sizes.of_image(image, &path))?;
        let place = PlaneRef::of_file(path, 0);
        size.map_err(|error| notes.add(error.to_string(), Path::new(&image.file)))
            .ok()
            .map(|size| Slot { place, size })
    });
    let with_facts = fields.into_iter().map(|mut draft| {
        if let Some(facts) = table.get(&draft.name) {
            draft.metadata.extend(facts.metadata.clone());
        }
        draft
    });
    let fields = with_facts.collect();
    problems.extend(notes.into_problems());
    Ok(Found {
        fields,
        channel_order: index.channels.into_values().map(|c| c.name).collect(),
        problems,
    })
}

/// The names of all files of a folder.
fn names_in(folder: &Path) -> Result<HashSet<String>, ImageError> {
    let failed = |error| ImageError::read(folder, error);
    let mut names = HashSet::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        names.insert(
            entry
                .map_err(failed)?
                .file_name()
                .to_string_lossy()
                .into_owned(),
        );
    }
    Ok(names)
}

/// A sentence about images that lie there and are not listed.
fn strangers(index: &Index, there: &HashSet<String>, listed: &HashSet<&str>) -> Option<String> {
    let is_image = |name: &String| crate::names::is_image_name(Path::new(name));
    let mut names: Vec<&String> = there
        .iter()
        .filter(|name| is_image(name) && !listed.contains(name.as_str()))
        .filter(|name| !(index.passed_over)(name))
        .collect();
    names.sort();
    (!names.is_empty()).then(|| {
        format!(
            "{} images are not listed in `{}` and left out: {}",
            names.len(),
            file_name(&index.path),
            list_names(&names)
        )
    })
}

/// What the index lists, when nothing of it is there.
fn nothing_there(index: &Index) -> ImageError {
    let wells: BTreeSet<&String> = index.images.iter().map(|image| &image.well).collect();
    let wells: Vec<&String> = wells.into_iter().collect();
    let number = |of: fn(&Listed) -> u32, what: &str| {
        let all: BTreeSet<u32> = index.images.iter().map(of).collect();
        match all.len() {
            1 => format!("1 {what}"),
            n => format!("{n} {what}s"),
        }
    };
    let used: BTreeSet<u32> = index.images.iter().map(|image| image.channel).collect();
    let channels: Vec<String> = used
        .iter()
        .map(|key| format!("`{}`", index.channels[key].name))
        .collect();
    ImageError::NoImages {
        path: index.folder.clone(),
        what: format!(
            "`{}` lists {} images (wells {}; {}, {}, {}; channels {}), and none of them is there",
            file_name(&index.path),
            index.images.len(),
            list_names(&wells),
            number(|i| i.site, "site"),
            number(|i| i.time, "time"),
            number(|i| i.plane, "plane"),
            channels.join(", "),
        ),
        way_out: "copy the images beside the index".into(),
    }
}

/// Sentences about what is listed and not there: wells that have no image at all, and how many
/// files in all. Which fields lack what is said of the fields.
fn some_missing(index: &Index, missing: &[&Listed]) -> Vec<String> {
    if missing.is_empty() {
        return Vec::new();
    }
    let files: Vec<&String> = missing.iter().map(|image| &image.file).collect();
    let mut said = vec![format!(
        "{} of {} images listed in `{}` are not there: {}",
        files.len(),
        index.images.len(),
        file_name(&index.path),
        list_names(&files)
    )];
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for image in &index.images {
        *left.entry(&image.well).or_default() += 1;
    }
    for image in missing {
        *left.entry(&image.well).or_default() -= 1;
    }
    let all = left.len();
    let empty: Vec<&str> = left
        .into_iter()
        .filter(|(_, n)| *n == 0)
        .map(|(well, _)| well)
        .collect();
    if !empty.is_empty() {
        said.push(format!(
            "{} of {all} wells listed in `{}` have no images: {}",
            empty.len(),
            file_name(&index.path),
            list_names(&empty)
        ));
    }
    said
}

/// Sizes of images: as the index says, where one image of the channel agrees.
struct Sizes(BTreeMap<u32, (usize, usize)>);

impl Sizes {
    fn of(index: &Index, there: &HashSet<String>, problems: &mut Vec<String>) -> Self {
        let mut believed = BTreeMap::new();
        for (&key, channel) in &index.channels {
            let Some(stated) = channel.size else { continue };
            let mut own = index.images.iter().filter(|image| image.channel == key);
            let Some(first) = own.find(|image| there.contains(&image.file)) else {
                continue;
            };
            // One that cannot be read is told when its own turn comes.
            let Ok(info) = read_info(&index.folder.join(&first.file)) else {
                continue;
            };
            let (height, width) = info.pages[0];
            match (height, width) == stated {
                true => {
                    believed.insert(key, stated);
                }
                false => problems.push(format!(
                    "`{}` states images of {} x {} for channel `{}`, and `{}` has {height} x \
                     {width}; the images are believed",
                    file_name(&index.path),
                    stated.0,
                    stated.1,
                    channel.name,
                    first.file
                )),
            }
        }
        Self(believed)
    }

    fn of_image(&self, image: &Listed, path: &Path) -> Result<(usize, usize), ImageError> {
        match self.0.get(&image.channel) {
            Some(&size) => Ok(size),
            None => Ok(read_info(path)?.pages[0]),
        }
    }
}

/// Fields by well, site and time, with `slot` of every plane.
fn drafts(index: &Index, mut slot: impl FnMut(&Listed) -> Option<Slot>) -> Vec<Draft> {
    let lapse = index.images.iter().any(|image| image.time > 1);
    let mut depths: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for image in &index.images {
        depths.entry(image.channel).or_default().insert(image.plane);
    }
    let depth_of = |image: &Listed| depths[&image.channel].range(..image.plane).count();
    type Planes = BTreeMap<u32, Vec<Option<Slot>>>;
    let mut found: BTreeMap<(&str, u32, u32), (Draft, Planes)> = BTreeMap::new();
    for image in &index.images {
        let key = (image.well.as_str(), image.site, image.time);
        let (draft, planes) = found.entry(key).or_insert_with(|| {
            let position = format!("{}_s{}", image.well, image.site);
            let name = match lapse {
                true => format!("{position}_t{:03}", image.time),
                false => position.clone(),
            };
            let draft = Draft {
                plate: Some(index.plate.clone()),
                well: Some(image.well.clone()),
                site: Some(image.site),
                time: lapse.then_some(image.time),
                position: Some(position),
                ..Draft::named(name)
            };
            (draft, Planes::new())
        });
        if let Some([x, y]) = image.place_um {
            for (key, um) in [("x_um", x), ("y_um", y)] {
                draft
                    .metadata
                    .entry(key.into())
                    .or_insert_with(|| crate::rounded_um(um).to_string());
            }
        }
        draft
            .pixel_um
            .extend(index.channels[&image.channel].pixel_um);
        let depth = depths[&image.channel].len();
        let planes = planes
            .entry(image.channel)
            .or_insert_with(|| vec![None; depth]);
        planes[depth_of(image)] = slot(image);
    }
    let finished = found.into_values().map(|(mut draft, planes)| {
        let named = |(key, planes)| (index.channels[&key].name.clone(), planes);
        draft.channels = planes.into_iter().map(named).collect();
        draft.pixel_um.dedup();
        draft
    });
    finished.collect()
}

/// Names that occur twice get the number of their channel.
pub(super) fn make_unique(channels: &mut BTreeMap<u32, Channel>) {
    let before: Vec<String> = channels
        .values()
        .map(|channel| channel.name.clone())
        .collect();
    for (number, channel) in channels {
        if before
            .iter()
            .filter(|other| **other == channel.name)
            .count()
            > 1
        {
            channel.name = format!("{}_ch{number}", channel.name);
        }
    }
}

/// Whether a file that an index names lies beside it: names of other folders are not followed.
pub(super) fn is_plain(file: &str) -> bool {
    !file.is_empty() && file != ".." && !file.contains(['/', '\\'])
}
