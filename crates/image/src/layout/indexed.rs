//! Plates whose images are listed in an index: what was taken, and which of it is there.
//!
//! The readers of the single systems fill an [`Index`]; here it becomes fields. Headers of images
//! are not read, since the index states their size, but for one image of every channel: a plate of
//! 384 wells has tens of thousands of files.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use super::{Draft, Found, Notes, Slot, joined, sidecar};
use crate::format::read_info;
use crate::names::{composed, file_name, folder_name, list_names};
use crate::{ImageError, PlaneRef};

/// One plane of one channel, as an index lists it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listed {
    /// Its file, in the folder of the images or one within it.
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
    /// Whether it was taken in transmitted light, where that is said.
    pub(super) transmitted: Option<bool>,
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
    /// Files that the index lists and that are left out for a reason that is told.
    pub(super) left_out: Vec<String>,
    /// Files in the folder that belong to the system but are no images of cells.
    pub(super) passed_over: fn(&str) -> bool,
    pub(super) problems: Vec<String>,
}

/// Most images, planes of a channel and channels that are believed: ten plates of 1,536 wells, and
/// far more than any microscope takes.
const MOST_IMAGES: usize = 1 << 22;
const MOST_PLANES: usize = 1024;
const MOST_CHANNELS: usize = 256;

/// Where indexes lie, each with what tells its plate from the others, and what is said of the rest.
#[derive(Default)]
pub(super) struct Indexes {
    pub(super) found: Vec<(String, PathBuf)>,
    problems: Vec<String>,
}

/// Reads plates, each by its index. With more than one, their folders begin the names of their
/// fields, since wells repeat, and one that cannot be read leaves the others.
pub(super) fn read_all(
    indexes: Indexes,
    read: impl Fn(&Path) -> Result<Index, ImageError>,
) -> Result<Found, ImageError> {
    let Indexes {
        found,
        mut problems,
    } = indexes;
    let (mut plates, mut failed) = (Vec::new(), None);
    for (name, path) in found {
        match read(&path).and_then(fields_of) {
            Ok(plate) => plates.push((name, plate)),
            Err(error) => {
                problems.push(format!("plate `{name}` is left out: {error}"));
                failed = failed.or(Some(error));
            }
        }
    }
    match failed {
        Some(error) if plates.is_empty() => Err(error),
        _ => Ok(joined(plates, problems)),
    }
}

/// Indexes at `path`, which is one, or a folder in which `index_of` finds one, or holds such
/// folders and no images of its own.
pub(super) fn indexes_at(
    path: &Path,
    is_index: impl Fn(&Path) -> bool,
    index_of: impl Fn(&Path) -> Option<PathBuf>,
) -> Result<Indexes, ImageError> {
    let of_one = |index: PathBuf| Indexes {
        found: vec![(folder_name(&index), index)],
        problems: Vec::new(),
    };
    if !path.is_dir() {
        return Ok(match is_index(path) {
            true => of_one(path.to_path_buf()),
            false => Indexes::default(),
        });
    }
    if let Some(index) = index_of(path) {
        return Ok(of_one(index));
    }
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|error| ImageError::read(path, error))? {
        let entry = entry.map_err(|error| ImageError::read(path, error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        // Images beside folders of plates are a data set of their own.
        if crate::names::is_image_name(Path::new(&name)) && !entry.path().is_dir() {
            return Ok(Indexes::default());
        }
        if entry.path().is_dir() {
            folders.push((name, entry.path()));
        }
    }
    folders.sort();
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for (name, folder) in folders {
        match index_of(&folder) {
            Some(index) => found.push((name, index)),
            None => others.push(name),
        }
    }
    let mut problems = Vec::new();
    if !found.is_empty() && !others.is_empty() {
        problems.push(format!(
            "folders without an index, left out (name one by itself to open it): {}",
            list_names(&others)
        ));
    }
    Ok(Indexes { found, problems })
}

/// The fields of one plate.
///
/// # Errors
/// If its folder cannot be listed, or the index lists images and none of them is there.
fn fields_of(mut index: Index) -> Result<Found, ImageError> {
    refuse_too_many(&index)?;
    let there = There::of(&index)?;
    let mut problems = std::mem::take(&mut index.problems);
    problems.extend(strangers(&index, &there));
    let missing: Vec<&Listed> = index
        .images
        .iter()
        .filter(|image| there.name_of(&image.file).is_none())
        .collect();
    if missing.len() == index.images.len() {
        return Err(nothing_there(&index));
    }
    problems.extend(some_missing(&index, &missing));

    let mut notes = Notes::default();
    let table = sidecar::table(&index.folder, &mut notes);
    let sizes = Sizes::of(&index, &there, &mut problems);
    let mut fields = drafts(&index, &mut problems, |image| {
        let path = index.folder.join(there.name_of(&image.file)?);
        let size = sizes.of_image(image, &path);
        let place = PlaneRef::of_file(path, 0);
        size.map_err(|error| notes.add(error.to_string(), Path::new(&image.file)))
            .ok()
            .map(|size| Slot { place, size })
    });
    table.add_to(&mut fields);
    problems.extend(notes.into_problems());
    let channels = index.channels.into_values();
    let (channel_order, light): (Vec<String>, Vec<_>) =
        channels.map(|c| (c.name, c.transmitted)).unzip();
    let mut found = Found {
        fields,
        problems,
        ..Found::default()
    };
    let light = channel_order.iter().cloned().zip(light);
    found.say_light(light.filter_map(|(name, said)| Some((name, said?))));
    found.channel_order = channel_order;
    Ok(found)
}

/// Refuses an index of more than any plate has, before room is made for it.
fn refuse_too_many(index: &Index) -> Result<(), ImageError> {
    let mut planes: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for image in &index.images {
        planes.entry(image.channel).or_default().insert(image.plane);
    }
    let deepest = planes.values().map(BTreeSet::len).max().unwrap_or(0);
    for (count, most, what) in [
        (index.images.len(), MOST_IMAGES, "images"),
        (planes.len(), MOST_CHANNELS, "channels"),
        (deepest, MOST_PLANES, "planes of a channel"),
    ] {
        if count > most {
            return Err(ImageError::broken(
                &index.path,
                format!("it lists {count} {what}, and no plate has more than {most}"),
            ));
        }
    }
    Ok(())
}

/// The files that are there.
///
/// An index names them as the microscope's computer wrote them; copies may spell letters with
/// accents otherwise, in other capitals, and some programs turn images into PNG.
struct There(HashMap<String, String>);

impl There {
    /// Lists the folder of the images and those within it that the index names.
    fn of(index: &Index) -> Result<Self, ImageError> {
        let folders: BTreeSet<PathBuf> = index
            .images
            .iter()
            .filter_map(|image| Some(Path::new(&image.file).parent()?.to_path_buf()))
            .chain([PathBuf::new()])
            .collect();
        let mut names = HashMap::new();
        for within in folders {
            let folder = index.folder.join(&within);
            let listing = match std::fs::read_dir(&folder) {
                // What lies in it is missing, which is told image by image.
                Err(_) if !within.as_os_str().is_empty() => continue,
                listing => listing.map_err(|error| ImageError::read(&folder, error))?,
            };
            for entry in listing {
                let entry = entry.map_err(|error| ImageError::read(&folder, error))?;
                let name = within
                    .join(entry.file_name())
                    .to_string_lossy()
                    .into_owned();
                names.insert(Self::key(&name), name);
            }
        }
        Ok(Self(names))
    }

    fn key(name: &str) -> String {
        composed(name).to_lowercase().replace('\\', "/")
    }

    /// What a listed file is called here; `None` where it is not there.
    fn name_of(&self, listed: &str) -> Option<&String> {
        let key = Self::key(listed);
        let as_png = || {
            let (stem, _) = key.rsplit_once('.')?;
            self.0.get(&format!("{stem}.png"))
        };
        self.0.get(&key).or_else(as_png)
    }
}

/// A sentence about images that lie there and are not listed.
fn strangers(index: &Index, there: &There) -> Option<String> {
    let is_image = |name: &String| crate::names::is_image_name(Path::new(name));
    let listed = index.images.iter().map(|image| &image.file);
    let listed = listed.chain(&index.left_out);
    let known: HashSet<&String> = listed.filter_map(|file| there.name_of(file)).collect();
    let mut names: Vec<&String> = there
        .0
        .values()
        .filter(|name| is_image(name) && !known.contains(name))
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
    fn of(index: &Index, there: &There, problems: &mut Vec<String>) -> Self {
        let mut firsts: BTreeMap<u32, (&Listed, &String)> = BTreeMap::new();
        for image in &index.images {
            if firsts.len() < index.channels.len()
                && !firsts.contains_key(&image.channel)
                && let Some(name) = there.name_of(&image.file)
            {
                firsts.insert(image.channel, (image, name));
            }
        }
        let mut believed = BTreeMap::new();
        for (key, (first, name)) in firsts {
            let channel = &index.channels[&key];
            let Some(stated) = channel.size else { continue };
            // One that cannot be read is told when its own turn comes.
            let Ok(info) = read_info(&index.folder.join(name)) else {
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

/// Fields by well, site and time, with `slot` of every plane. A plane that two images show is left
/// out, since nothing tells which one is meant.
fn drafts(
    index: &Index,
    problems: &mut Vec<String>,
    mut slot: impl FnMut(&Listed) -> Option<Slot>,
) -> Vec<Draft> {
    let lapse = index.images.iter().any(|image| image.time > 1);
    let mut depths: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for image in &index.images {
        depths.entry(image.channel).or_default().insert(image.plane);
    }
    let places: BTreeMap<u32, BTreeMap<u32, usize>> = depths
        .into_iter()
        .map(|(channel, planes)| (channel, planes.into_iter().zip(0..).collect()))
        .collect();
    let mut taken: HashMap<(&str, u32, u32, u32, u32), &str> = HashMap::new();
    let mut doubles: Vec<(&str, &str)> = Vec::new();
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
        let places = &places[&image.channel];
        let planes = planes
            .entry(image.channel)
            .or_insert_with(|| vec![None; places.len()]);
        let plane = &mut planes[places[&image.plane]];
        let key = (key.0, key.1, key.2, image.channel, image.plane);
        match taken.insert(key, &image.file) {
            Some(other) => {
                doubles.push((other, &image.file));
                *plane = None;
            }
            None => *plane = slot(image),
        }
    }
    if let [(first, second), ..] = doubles[..] {
        problems.push(format!(
            "{} planes are shown by two images each, such as `{first}` and `{second}`, and left \
             out, since nothing tells which one is meant",
            doubles.len()
        ));
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

/// Whether a file that an index names lies beside it or in a folder there: names of other folders
/// are not followed.
pub(super) fn lies_within(file: &str) -> bool {
    let file = file.replace('\\', "/");
    let mut parts = Path::new(&file).components().peekable();
    // A drive is a part like any other where there are no drives.
    parts.peek().is_some()
        && !file.contains(':')
        && parts.all(|part| matches!(part, Component::Normal(_)))
}
