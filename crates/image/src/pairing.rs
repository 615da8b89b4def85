//! Which truth file belongs to which field, and which of its pages to which plane and frame.
//!
//! A truth file bears the name of its field, of its movie, or of one of the image files that make
//! the field, alone or with what makers of truth add to it (`names::truth_names`). Letters that are
//! composed differently are the same, and so is the case where nothing else fits.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::format::{FileInfo, read_info};
use crate::layout::{CHANNELS_ARE_FOLDERS, place_name};
use crate::names::{
    TRUTH_ENDINGS, composed, file_name, folder_of, is_image_name, marked_names, natural_order,
    spelled, stem, truth_names,
};
use crate::numbers::{class_mask_of, labels_of};
use crate::{Dataset, Field, Image, ImageError};

/// The truth files of a folder, matched to fields.
#[derive(Clone, Debug, Default)]
pub struct Pairing {
    /// By the name of the field.
    pub files: BTreeMap<String, TruthOf>,
    /// Files that belong to no field, in natural order.
    pub strangers: Vec<PathBuf>,
}

/// The truth file of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruthOf {
    /// The file.
    pub path: PathBuf,
    frame: Frame,
}

/// Which of the frames of its place the field is, where the file is for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    index: usize,
    count: usize,
}

const ALONE: Frame = Frame { index: 0, count: 1 };

/// The plane of a field that its truth has to be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaneAt {
    /// The plane, from 0.
    pub z: usize,
    /// The number of planes that the field has there.
    pub depth: usize,
}

impl PlaneAt {
    /// The plane of a field that has no stack.
    pub const ONLY: Self = Self { z: 0, depth: 1 };
}

impl Pairing {
    /// Matches the image files of a folder, or one file, to the fields of a data set.
    ///
    /// One file alone belongs to the field, or to the movie, that is the whole data set. A folder
    /// without images may have folders of its own as the data set has, for a place each:
    /// `set1/masks.png` is the truth of `set1`, `B02/s1_labels.tif` of `B02_s1`.
    ///
    /// # Errors
    /// [`ImageError::Read`] if the folder cannot be read, [`ImageError::NoImages`] if it holds no
    /// image, [`ImageError::TwoTruths`] if two files are for one field.
    pub fn of(path: &Path, dataset: &Dataset) -> Result<Self, ImageError> {
        let alone = path.is_file() && dataset.places() == 1;
        let targets = Targets::of(&dataset.fields);
        let own = OwnImages::of(dataset);
        let files = if path.is_file() {
            vec![Candidate::called_so(path.to_path_buf())]
        } else {
            candidates(path, dataset, &targets, &own)?
        };
        let mut found: Vec<Match> = Vec::new();
        let mut strangers = Vec::new();
        for Candidate { name, file } in files {
            let matched = targets.find(&name, &file)?;
            let is_image = own.has(&file);
            match matched {
                Some((_, false)) if is_image => {}
                Some((target, marked)) => found.push(Match {
                    target,
                    marked,
                    file,
                }),
                None if alone => found.push(Match {
                    target: targets.everything(),
                    marked: true,
                    file,
                }),
                None if is_image => {}
                None => strangers.push(file),
            }
        }
        // Files with a mark beside files of the same name without one: the latter are the images.
        let marked: HashSet<&[usize]> = found
            .iter()
            .filter(|m| m.marked)
            .map(|m| &m.target[..])
            .collect();
        if found
            .iter()
            .any(|m| !m.marked && marked.contains(&m.target[..]))
        {
            found.retain(|m| m.marked);
        }
        let mut pairing = Self {
            strangers,
            ..Self::default()
        };
        for Match { target, file, .. } in found {
            for (index, &field) in target.iter().enumerate() {
                let name = &dataset.fields[field].name;
                let truth = TruthOf {
                    path: file.clone(),
                    frame: Frame {
                        index,
                        count: target.len(),
                    },
                };
                if let Some(first) = pairing.files.insert(name.clone(), truth) {
                    return Err(two_truths(&first.path, &file, name));
                }
            }
        }
        Ok(pairing)
    }

    /// An error unless a file belongs to a field.
    ///
    /// # Errors
    /// [`ImageError::Unpaired`] with the names of a file and a field, and the names that fit.
    pub fn refuse_empty(&self, path: &Path, dataset: &Dataset) -> Result<(), ImageError> {
        if !self.files.is_empty() {
            return Ok(());
        }
        let file = self.strangers.first().map(|path| file_name(path));
        let field = dataset.fields.first().map(|field| field.name.clone());
        Err(ImageError::Unpaired {
            path: path.to_path_buf(),
            file: file.map_or("none but the images".into(), |name| format!("`{name}`")),
            field: field.map_or("none".into(), |name| format!("`{name}`")),
            endings: TRUTH_ENDINGS.join("`, `"),
        })
    }

    /// Names of the files without a field, with their folder where they lie in several.
    pub fn stranger_names(&self) -> Vec<String> {
        let folders: BTreeSet<&Path> = self.strangers.iter().map(|path| folder_of(path)).collect();
        let files = self.strangers.iter();
        let name = |path: &PathBuf| match folders.len() {
            0 | 1 => file_name(path),
            _ => format!("{}/{}", file_name(folder_of(path)), file_name(path)),
        };
        files.map(name).collect()
    }
}

struct Match {
    /// The fields by number, in order of time; several for the truth of a movie.
    target: Vec<usize>,
    /// Whether the name holds more than the field's.
    marked: bool,
    file: PathBuf,
}

impl TruthOf {
    /// The truth of a field in a file of its own.
    pub fn alone(path: PathBuf) -> Self {
        Self { path, frame: ALONE }
    }

    /// Reads instance labels of one plane, as [`crate::read_labels`].
    ///
    /// # Errors
    /// Those of [`crate::read_labels`]; [`ImageError::WrongContent`] if nothing says which page is
    /// of this plane and frame.
    pub fn labels(&self, at: PlaneAt) -> Result<Image<u32>, ImageError> {
        labels_of(&self.path, self.page(at)?)
    }

    /// Reads a class mask of one plane, as [`crate::read_class_mask`].
    ///
    /// # Errors
    /// As [`Self::labels`].
    pub fn class_mask(&self, at: PlaneAt) -> Result<Image<u8>, ImageError> {
        class_mask_of(&self.path, self.page(at)?)
    }

    fn page(&self, at: PlaneAt) -> Result<usize, ImageError> {
        page_of(&self.path, &read_info(&self.path)?, self.frame, at)
    }
}

/// The only page of a truth file that belongs to nothing but itself.
pub(crate) fn only_page(path: &Path) -> Result<usize, ImageError> {
    page_of(path, &read_info(path)?, ALONE, PlaneAt::ONLY)
}

/// The page of a truth file for a frame and a plane. A file with one page is for all planes; one
/// with several must have as many planes and frames as the image has.
fn page_of(path: &Path, info: &FileInfo, frame: Frame, at: PlaneAt) -> Result<usize, ImageError> {
    let (Frame { index: t, count }, PlaneAt { z, depth }) = (frame, at);
    let pages = info.pages.len();
    let stated = info.axes.as_ref();
    let (channels, planes, times) =
        stated.map_or((1, 1, 1), |axes| (axes.channels, axes.planes, axes.times));
    let refuse = |found: String, way_out: &str| {
        Err(ImageError::WrongContent {
            path: path.to_path_buf(),
            expected: "the truth of one image",
            found,
            way_out: way_out.into(),
        })
    };
    // A description copied from elsewhere may tell of images that a single page cannot hold.
    if pages > 1 && !info.further.is_empty() {
        return refuse(
            format!(
                "it has {} images, such as positions, and which of them is the truth is not said",
                1 + info.further.len()
            ),
            "save the truth of each image as a file of its own",
        );
    }
    if channels > 1 {
        return refuse(
            format!("it has {channels} channels, and which of them is the truth is not said"),
            "save the channel with labels or classes as a file of its own",
        );
    }
    if pages == 1 && count == 1 {
        return Ok(0);
    }
    let page = match stated {
        Some(axes) if (planes, times) == (depth, count) => axes.page(0, z, t),
        // One label image for all planes of a frame.
        Some(axes) if (planes, times) == (1, count) => axes.page(0, 0, t),
        // Programs disagree whether the only axis of a file is one of planes or of frames.
        Some(axes) if (planes, times) == (count, 1) && depth == 1 => axes.page(0, t, 0),
        Some(axes) if (planes, times) == (1, depth) && count == 1 => axes.page(0, 0, z),
        Some(_) => None,
        None if pages == count && (depth == 1 || depth != count) => Some(t),
        None if pages == depth && count == 1 => Some(z),
        None => None,
    };
    if let Some(page) = page {
        return Ok(page);
    }
    let of_image = match (depth, count) {
        (1, 1) => "one plane".to_string(),
        (_, 1) => format!("{depth} planes"),
        (1, _) => format!("{count} frames"),
        _ => format!("{count} frames of {depth} planes"),
    };
    refuse(
        match pages {
            1 => format!("it has one page, and its image has {of_image}"),
            _ => format!("it has {pages} pages, and its image has {of_image}"),
        },
        "save a file with one page for each image, or one with as many planes and frames as the \
         image has",
    )
}

/// Which fields a name stands for.
struct Targets {
    exact: HashMap<String, Vec<usize>>,
    composed: HashMap<String, BTreeSet<Vec<usize>>>,
    lower: HashMap<String, BTreeSet<Vec<usize>>>,
    count: Vec<usize>,
}

impl Targets {
    fn of(fields: &[Field]) -> Self {
        let mut named: Vec<(String, Vec<usize>)> = Vec::new();
        for (number, field) in fields.iter().enumerate() {
            named.push((field.name.clone(), vec![number]));
        }
        let mut places: BTreeMap<(&Option<String>, &str), Vec<usize>> = BTreeMap::new();
        let mut files: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (number, field) in fields.iter().enumerate() {
            let place = (&field.position.plate, field.position.name.as_str());
            places.entry(place).or_default().push(number);
            for plane in field.planes.iter().flatten().flatten() {
                files
                    .entry(stem(plane.location()))
                    .or_default()
                    .insert(number);
            }
        }
        for ((_, position), mut frames) in places {
            frames.sort_by_key(|&number| fields[number].time);
            named.push((position.to_string(), frames));
        }
        // The name of an image file stands for its field; of a movie, its position has told.
        let of_one = files.into_iter().filter(|(_, fields)| fields.len() == 1);
        named.extend(of_one.map(|(name, fields)| (name, fields.into_iter().collect())));

        let mut targets = Self {
            exact: HashMap::new(),
            composed: HashMap::new(),
            lower: HashMap::new(),
            count: (0..fields.len()).collect(),
        };
        targets.count.sort_by_key(|&number| fields[number].time);
        for (name, fields) in named {
            let plain = composed(&name);
            let lower = plain.to_lowercase();
            // Earlier names are nearer to the field than later ones.
            targets.exact.entry(name).or_insert_with(|| fields.clone());
            targets
                .composed
                .entry(plain)
                .or_default()
                .insert(fields.clone());
            targets.lower.entry(lower).or_default().insert(fields);
        }
        targets
    }

    /// All fields, in order of time.
    fn everything(&self) -> Vec<usize> {
        self.count.clone()
    }

    /// The fields of a file that is called so, and whether the name holds more than theirs.
    fn find(&self, name: &str, file: &Path) -> Result<Option<(Vec<usize>, bool)>, ImageError> {
        for (number, candidate) in std::iter::once(name.to_string())
            .chain(truth_names(name))
            .enumerate()
        {
            if let Some(fields) = self.exact.get(&candidate) {
                return Ok(Some((fields.clone(), number > 0)));
            }
            let plain = composed(&candidate);
            if let Some(fields) = self.composed.get(&plain) {
                return match only(fields) {
                    Some(fields) => Ok(Some((fields, number > 0))),
                    None => Err(ImageError::Misuse {
                        what: format!(
                            "`{}` may be the truth of {} fields whose names differ only in how \
                             accents are stored (it is `{}`)",
                            file.display(),
                            fields.len(),
                            spelled(&candidate)
                        ),
                        way_out: "rename the images".into(),
                    }),
                };
            }
            if let Some(fields) = self.lower.get(&plain.to_lowercase()).and_then(only) {
                return Ok(Some((fields, number > 0)));
            }
        }
        Ok(None)
    }
}

fn only(fields: &BTreeSet<Vec<usize>>) -> Option<Vec<usize>> {
    (fields.len() == 1).then(|| fields.first().cloned())?
}

fn two_truths(first: &Path, second: &Path, field: &str) -> ImageError {
    let names = [stem(first), stem(second)];
    let alike = names[0] != names[1] && composed(&names[0]) == composed(&names[1]);
    ImageError::TwoTruths {
        first: first.to_path_buf(),
        second: second.to_path_buf(),
        field: field.to_string(),
        note: match alike {
            true => format!(
                " (their names differ only in how accents are stored: `{}`, `{}`)",
                spelled(&names[0]),
                spelled(&names[1])
            ),
            false => String::new(),
        },
    }
}

/// The folders in a folder, in natural order.
fn folders_in(folder: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let entries = std::fs::read_dir(folder).map_err(|error| ImageError::read(folder, error))?;
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| ImageError::read(folder, error))?
            .path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort_by(|a, b| natural_order(&file_name(a), &file_name(b)));
    Ok(folders)
}

/// The image files of a folder, in natural order.
pub(crate) fn images_in(folder: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let entries = std::fs::read_dir(folder).map_err(|error| ImageError::read(folder, error))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| ImageError::read(folder, error))?
            .path();
        if is_image_name(&path) && !path.is_dir() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(ImageError::NoImages {
            path: folder.to_path_buf(),
            what: "it has no TIFF or PNG file".into(),
            way_out: "name the folder that holds the masks or labels".into(),
        });
    }
    files.sort_by(|a, b| natural_order(&file_name(a), &file_name(b)));
    Ok(files)
}

/// A file that may be truth, under the name that says whose.
struct Candidate {
    name: String,
    file: PathBuf,
}

impl Candidate {
    fn called_so(file: PathBuf) -> Self {
        let name = stem(&file);
        Self { name, file }
    }
}

/// The image files of a folder; where it has none, those of the folders in it.
fn candidates(
    folder: &Path,
    dataset: &Dataset,
    targets: &Targets,
    own: &OwnImages,
) -> Result<Vec<Candidate>, ImageError> {
    let nothing = match images_in(folder) {
        Ok(files) => return Ok(files.into_iter().map(Candidate::called_so).collect()),
        Err(error @ ImageError::NoImages { .. }) => error,
        Err(error) => return Err(error),
    };
    let mut all = Vec::new();
    // Folders that are channels bear no names of fields, whatever they seem to say.
    if dataset.layout != CHANNELS_ARE_FOLDERS {
        for place in folders_in(folder)? {
            all.extend(in_place(&place, targets, own)?);
        }
    }
    if all.is_empty() {
        return Err(nothing);
    }
    Ok(all)
}

/// The truth in the folder of a place: by the names of folder and file together, else what lies
/// there alone is the folder's. Images of the data set are truth only where their names say so.
fn in_place(
    place: &Path,
    targets: &Targets,
    own: &OwnImages,
) -> Result<Vec<Candidate>, ImageError> {
    let files = match images_in(place) {
        Ok(files) => files,
        Err(ImageError::NoImages { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let folder = file_name(place);
    let mut all: Vec<Candidate> = files
        .into_iter()
        .map(|file| Candidate {
            name: place_name(&folder, &stem(&file)),
            file,
        })
        .filter(|one| !own.has(&one.file) || !marked_names(&one.name).is_empty())
        .collect();
    if let [one] = &mut all[..]
        && targets.find(&one.name, &one.file)?.is_none()
    {
        one.name = folder;
    }
    Ok(all)
}

/// The image files of a data set by their folders.
struct OwnImages(HashMap<PathBuf, HashSet<String>>);

impl OwnImages {
    /// Where channels are folders, a folder of truth looks like one of them and is none.
    fn of(dataset: &Dataset) -> Self {
        let mut all: HashMap<&Path, HashSet<String>> = HashMap::new();
        if dataset.layout != CHANNELS_ARE_FOLDERS {
            let fields = dataset.fields.iter();
            for plane in fields.flat_map(|field| field.planes.iter().flatten().flatten()) {
                let names = all.entry(folder_of(plane.location())).or_default();
                names.insert(file_name(plane.location()));
            }
        }
        let real = all
            .into_iter()
            .filter_map(|(folder, names)| Some((folder.canonicalize().ok()?, names)));
        let mut own: HashMap<PathBuf, HashSet<String>> = HashMap::new();
        for (folder, names) in real {
            own.entry(folder).or_default().extend(names);
        }
        Self(own)
    }

    fn has(&self, file: &Path) -> bool {
        let folder = folder_of(file).canonicalize();
        folder.is_ok_and(|folder| {
            let names = self.0.get(&folder);
            names.is_some_and(|names| names.contains(&file_name(file)))
        })
    }
}
