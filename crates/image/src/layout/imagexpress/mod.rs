//! ImageXpress plates, exported and as the database keeps them: wells, sites, waves and planes.
//!
//! Exported: `<plate>.HTD`, images beside it or in `TimePoint_<t>/` and `ZStep_<z>/` below, named
//! `<plate>_<well>[_s<site>][_w<wave>].tif`. Database: `<date>/<id>/[TimePoint_<t>/][ZStep_<z>/]`
//! with a GUID after the name, and no HTD.
//!
//! `ZStep_0` (database: the folder above the steps) holds projections. A wave without a stack is
//! copied into every `ZStep` folder of an exported plate; such copies are one plane. Rows are
//! letters and columns start at 1, as printed on the plate.

mod acquisition;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use acquisition::{Acquisition, ImageFile, read_acquisitions};

use super::{Entries, Found, Layout, Notes, foreign};
use crate::ImageError;
use crate::marker::Kind;
use crate::names::{
    file_name, folder_name, folder_of, list_names, looks_like_truth, natural_order, stem,
};

pub(super) struct Exported;
pub(super) struct Database;

impl Layout for Exported {
    fn name(&self) -> &'static str {
        "imagexpress"
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        Ok(!plates(path)?.is_empty() || lacks_only_the_description(path)?)
    }

    fn read(&self, path: &Path) -> Result<Found, ImageError> {
        let mut problems = Vec::new();
        let mut acquisitions = Vec::new();
        let mut plates = plates(path)?;
        if plates.is_empty() {
            problems.push(
                "the plate's description (`.HTD`) is missing, so that the names of its channels \
                 and what else was imaged are not known; copy it beside the images"
                    .into(),
            );
            plates.push(Plate {
                name: folder_name(path),
                folder: path.to_path_buf(),
                htds: Vec::new(),
            });
        }
        for plate in &plates {
            acquisitions.extend(plate.acquisitions(&mut problems)?);
        }
        read_acquisitions(acquisitions, problems)
    }
}

impl Layout for Database {
    fn name(&self) -> &'static str {
        "imagexpress-database"
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        if !path.is_dir() {
            return Ok(false);
        }
        // A GUID after well and wave is unlike any other naming; one such file decides.
        let mut folders = vec![(path.to_path_buf(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let inside = Entries::of(&folder)?;
            if let Some(image) = inside.images.first() {
                return Ok(DATABASE_NAME.is_match(&stem(image)) || is_thumb(image));
            }
            if depth < DATABASE_DEPTH {
                // A store has a folder for every row of its chunks.
                let folders_in = inside.folders.into_iter();
                let folders_in = folders_in.filter(|folder| !foreign::is_store(folder));
                folders.extend(folders_in.map(|folder| (folder, depth + 1)));
            }
        }
        Ok(false)
    }

    fn read(&self, path: &Path) -> Result<Found, ImageError> {
        let below = Below::of(path, &DATABASE_NAME)?;
        let mut problems = below.ours_left_out();
        let mut acquisitions = by_home(path, below.files, None, &mut problems);
        for files in acquisitions.iter_mut().map(|taken| &mut taken.files) {
            // Projections lie above the step folders; single planes only in step 1. Both are
            // numbered as in an exported plate, where projections are step 0.
            let stacked = files.iter().any(|file| file.z.is_some());
            for file in files.iter_mut().filter(|file| stacked && file.z.is_none()) {
                file.z = Some(0);
            }
        }
        read_acquisitions(acquisitions, problems)
    }
}

/// `<plate>/<date>/<id>/TimePoint_<t>/ZStep_<z>`.
const DATABASE_DEPTH: usize = 5;

/// Anchored at the end, because plate names may hold anything, well names included. Of several
/// readings the one with the shortest plate is taken: `p_B02_s12` is site 12, not well `S12`.
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = concat!(
        r"(?i)^(?:(?<plate>.*?)_)??(?<well>[A-Z]{1,2}\d{1,2})(?:_s(?<site>\d+))?",
        r"(?:_w(?<wave>\d+))?(?:_t(?<time>\d+))?$"
    );
    Regex::new(pattern).expect("a valid pattern")
});

/// The wave has one digit here, as the GUID follows without a separator.
static DATABASE_NAME: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = concat!(
        r"(?i)^(?:(?<plate>.*?)_)??(?<well>[A-Z]{1,2}\d{1,2})(?:_s(?<site>\d+))?",
        r"(?:_w(?<wave>\d))?(?:_t(?<time>\d+))?",
        r"[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12}$"
    );
    Regex::new(pattern).expect("a valid pattern")
});

/// A folder with one or more plate descriptions, or with images of a plate that lacks its own.
struct Plate {
    /// What tells it from other plates that are opened with it.
    name: String,
    folder: PathBuf,
    htds: Vec<PathBuf>,
}

/// Plates at `path`: the folder of an HTD file, or the folders directly below that have one; those
/// two levels below if every folder between holds plates.
///
/// The HTD is repeated in every folder of a plate, so that the topmost counts.
fn plates(path: &Path) -> Result<Vec<Plate>, ImageError> {
    if !path.is_dir() {
        let folder = folder_of(path);
        return Ok(if is_htd(path) {
            vec![Plate {
                name: folder_name(folder),
                folder: folder.into(),
                htds: vec![path.into()],
            }]
        } else {
            Vec::new()
        });
    }
    let root = Entries::of(path)?;
    let htds = htds_in(&root);
    if !htds.is_empty() {
        return Ok(vec![Plate {
            name: folder_name(path),
            folder: path.to_path_buf(),
            htds,
        }]);
    }
    let mut found = plates_in(&root, "")?;
    if found.is_empty() {
        for folder in &root.folders {
            let inside = plates_in(&Entries::of(folder)?, &format!("{}_", file_name(folder)))?;
            if inside.is_empty() {
                return Ok(Vec::new());
            }
            found.extend(inside);
        }
    }
    Ok(found)
}

fn plates_in(entries: &Entries, prefix: &str) -> Result<Vec<Plate>, ImageError> {
    let mut found = Vec::new();
    for folder in &entries.folders {
        let htds = htds_in(&Entries::of(folder)?);
        if !htds.is_empty() {
            found.push(Plate {
                name: format!("{prefix}{}", file_name(folder)),
                folder: folder.clone(),
                htds,
            });
        }
    }
    Ok(found)
}

fn is_htd(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("htd"))
}

fn htds_in(entries: &Entries) -> Vec<PathBuf> {
    let htds = entries.others.iter().filter(|path| is_htd(path));
    htds.cloned().collect()
}

/// Whether `path` has the folders of a plate and images named as its own, but no HTD.
fn lacks_only_the_description(path: &Path) -> Result<bool, ImageError> {
    if !path.is_dir() {
        return Ok(false);
    }
    let root = Entries::of(path)?;
    let mut steps = root.folders.into_iter().filter(|path| is_step(path));
    if !root.images.is_empty() {
        return Ok(false);
    }
    // Steps of time may hold steps of depth.
    let Some(mut folder) = steps.next() else {
        return Ok(false);
    };
    loop {
        let inside = Entries::of(&folder)?;
        if let Some(image) = inside.images.iter().find(|path| !is_thumb(path)) {
            return Ok(NAME.is_match(&stem(image)));
        }
        match inside.folders.into_iter().find(|path| is_step(path)) {
            Some(deeper) => folder = deeper,
            None => return Ok(false),
        }
    }
}

/// The number of a folder `TimePoint_3` or `ZStep_2`.
fn step_number(folder: &Path, prefix: &str) -> Option<u32> {
    let name = file_name(folder).to_lowercase();
    name.strip_prefix(prefix)?.parse().ok()
}

fn is_step(folder: &Path) -> bool {
    ["timepoint_", "zstep_"]
        .iter()
        .any(|prefix| step_number(folder, prefix).is_some())
}

impl Plate {
    /// The images that belong to the plate; those of other folders in it are named.
    fn acquisitions(&self, problems: &mut Vec<String>) -> Result<Vec<Acquisition>, ImageError> {
        let Below {
            files,
            plates: inner,
            ours,
        } = Below::of(&self.folder, &NAME)?;
        problems.extend(left_out(&ours));
        let (own, strangers): (Vec<_>, Vec<_>) = files
            .into_iter()
            .partition(|file| file.home.as_os_str().is_empty());
        if own.iter().any(|file| !file.well.is_empty()) {
            problems.extend(foreign_folders(&strangers));
            for folder in &inner {
                problems.push(format!(
                    "folder `{}` has a description (`.HTD`) of its own and is another plate; left \
                     out, name it by itself",
                    file_name(folder)
                ));
            }
            return Ok(self.by_description(own, problems));
        }
        if !inner.is_empty() {
            problems.extend(foreign_folders(&strangers));
            let mut found = Vec::new();
            for folder in inner {
                let htds = htds_in(&Entries::of(&folder)?);
                let name = file_name(&folder);
                let plate = Plate { name, folder, htds };
                found.extend(plate.acquisitions(problems)?);
            }
            return Ok(found);
        }
        let mut all = own;
        all.extend(strangers);
        let htd = self.htds.first();
        Ok(by_home(&self.folder, all, htd, problems))
    }

    /// Images of a folder that holds the descriptions of one plate or of several.
    fn by_description(
        &self,
        mut files: Vec<ImageFile>,
        problems: &mut Vec<String>,
    ) -> Vec<Acquisition> {
        let named_like = |file: &ImageFile, htd: &Path| {
            let plate = file.plate.as_deref().unwrap_or_default();
            plate.to_lowercase() == stem(htd).to_lowercase()
        };
        let mut found = Vec::new();
        for htd in &self.htds {
            let (own, others): (Vec<_>, Vec<_>) =
                files.into_iter().partition(|file| named_like(file, htd));
            files = others;
            if !own.is_empty() {
                found.push(Acquisition {
                    name: self.name.clone(),
                    folder: self.folder.clone(),
                    plate: None,
                    htd: Some(htd.clone()),
                    files: own,
                });
            }
        }
        // Names that say nothing of the description: all belong to the first.
        if found.is_empty() {
            found.push(Acquisition {
                name: self.name.clone(),
                folder: self.folder.clone(),
                plate: None,
                htd: self.htds.first().cloned(),
                files: std::mem::take(&mut files),
            });
        }
        let used: Vec<String> = found
            .iter()
            .filter_map(|taken| Some(file_name(taken.htd.as_deref()?)))
            .collect();
        let unused: Vec<String> = self
            .htds
            .iter()
            .map(|htd| file_name(htd))
            .filter(|htd| !used.contains(htd))
            .collect();
        if !unused.is_empty() {
            problems.push(format!(
                "no image is named like {}, so {} is used",
                list_names(&unused),
                list_names(&used)
            ));
        }
        let strange: Vec<String> = files.iter().map(|file| file_name(&file.path)).collect();
        if !strange.is_empty() {
            problems.push(format!(
                "{}: not named like the plate (`{}`), left out",
                list_names(&strange),
                stem(Path::new(&used[0]))
            ));
        }
        if found.len() > 1 {
            for taken in &mut found {
                let htd = taken.htd.as_deref().map(stem).unwrap_or_default();
                taken.name = format!("{}_{htd}", taken.name);
                taken.plate = Some(htd);
            }
        }
        found
    }
}

/// Images that lie in other folders than a plate's own: one acquisition, or one for each folder if
/// they show the same places.
fn by_home(
    root: &Path,
    files: Vec<ImageFile>,
    htd: Option<&PathBuf>,
    problems: &mut Vec<String>,
) -> Vec<Acquisition> {
    let one = |name: String, files| Acquisition {
        name,
        folder: root.to_path_buf(),
        plate: None,
        htd: htd.cloned(),
        files,
    };
    // Masks are often called like their images.
    let is_truth = |file: &ImageFile| {
        let mut folders = file.home.iter();
        folders.any(|folder| looks_like_truth(&folder.to_string_lossy()))
    };
    let (truth, images): (Vec<_>, Vec<_>) = files.into_iter().partition(is_truth);
    let files = if images.is_empty() {
        truth
    } else {
        problems.extend(foreign_folders(&truth));
        images
    };
    let mut homes: BTreeMap<_, BTreeSet<&Path>> = BTreeMap::new();
    let named = || files.iter().filter(|file| !file.well.is_empty());
    for file in named() {
        let place = (&file.well, file.site, file.wave, file.time, file.z);
        homes.entry(place).or_default().insert(&file.home);
    }
    if homes.values().all(|homes| homes.len() == 1) {
        return vec![one(folder_name(root), files)];
    }
    let names: BTreeSet<String> = named()
        .map(|file| match file.home.as_os_str().is_empty() {
            true => folder_name(root),
            false => file.home.display().to_string(),
        })
        .collect();
    let names: Vec<String> = names.into_iter().collect();
    problems.push(format!(
        "the same wells and sites lie in {} folders ({}), which are taken as {} acquisitions; \
         the folder begins the names of their fields",
        names.len(),
        list_names(&names),
        names.len()
    ));
    let mut by_folder: BTreeMap<PathBuf, Vec<ImageFile>> = BTreeMap::new();
    for file in files {
        by_folder.entry(file.home.clone()).or_default().push(file);
    }
    by_folder
        .into_iter()
        .map(|(home, files)| {
            let parts: Vec<String> = home
                .iter()
                .map(|part| part.to_string_lossy().into_owned())
                .collect();
            let name = match parts.is_empty() {
                true => folder_name(root),
                false => parts.join("_"),
            };
            one(name, files)
        })
        .collect()
}

/// Folders of images beside a plate's own, with the number of their images.
fn foreign_folders(files: &[ImageFile]) -> Vec<String> {
    let mut counts: BTreeMap<&Path, usize> = BTreeMap::new();
    for file in files {
        *counts.entry(&file.home).or_default() += 1;
    }
    let sentence = |(folder, count): (&Path, usize)| {
        format!(
            "folder `{}` holds {count} {} that {} not belong to the plate, whose own lie beside \
             its description or in `TimePoint_1`, `ZStep_1`, ..; left out",
            folder.display(),
            if count == 1 { "image" } else { "images" },
            if count == 1 { "does" } else { "do" },
        )
    };
    counts.into_iter().map(sentence).collect()
}

fn left_out(ours: &[(PathBuf, Kind)]) -> Vec<String> {
    let mut notes = Notes::default();
    notes.ours(ours);
    notes.into_problems()
}

/// Whether the files of a folder bear well and wave as those of a plate do.
pub(super) fn named_like_a_plate(images: &[PathBuf]) -> bool {
    let has_both = |path: &&PathBuf| {
        let name = stem(path);
        let found = NAME.captures(&name);
        found.is_some_and(|found| found.name("wave").is_some())
    };
    let named = images.iter().filter(has_both).count();
    named > 0 && 2 * named >= images.len()
}

fn is_thumb(path: &Path) -> bool {
    stem(path).to_lowercase().contains("_thumb")
}

/// What lies below a plate's folder.
struct Below {
    /// Images but thumbs, in natural order. A name that does not match has an empty well, for the
    /// caller to report.
    files: Vec<ImageFile>,
    /// Folders that have a plate description of their own.
    plates: Vec<PathBuf>,
    ours: Vec<(PathBuf, Kind)>,
}

impl Below {
    fn of(folder: &Path, name: &Regex) -> Result<Self, ImageError> {
        let mut below = Self {
            files: Vec::new(),
            plates: Vec::new(),
            ours: Vec::new(),
        };
        let mut folders = vec![(folder.to_path_buf(), PathBuf::new(), None, None, 0)];
        while let Some((folder, home, time, z, depth)) = folders.pop() {
            let inside = Entries::of(&folder)?;
            // A description is copied into every step, but not into folders of other names.
            if !home.as_os_str().is_empty() && !is_step(&folder) && !htds_in(&inside).is_empty() {
                below.plates.push(folder);
                continue;
            }
            let images = inside.images.into_iter().filter(|path| !is_thumb(path));
            below
                .files
                .extend(images.map(|path| ImageFile::named(path, &home, name, time, z)));
            below.ours.extend(inside.ours);
            if depth == DATABASE_DEPTH {
                continue;
            }
            for folder in inside.folders {
                let home = match is_step(&folder) {
                    true => home.clone(),
                    false => home.join(file_name(&folder)),
                };
                let time = step_number(&folder, "timepoint_").or(time);
                let z = step_number(&folder, "zstep_").or(z);
                folders.push((folder, home, time, z, depth + 1));
            }
        }
        below
            .files
            .sort_by(|a, b| natural_order(&a.path.to_string_lossy(), &b.path.to_string_lossy()));
        below.plates.sort();
        Ok(below)
    }

    fn ours_left_out(&self) -> Vec<String> {
        left_out(&self.ours)
    }
}
