//! ImageXpress plates, exported and as the database keeps them: wells, sites, waves and planes.
//!
//! Exported: `<plate>.HTD`, images beside it or in `TimePoint_<t>/` and `ZStep_<z>/` below, named
//! `<plate>_<well>[_s<site>][_w<wave>].tif`. Database: `<date>/<id>/[TimePoint_<t>/][ZStep_<z>/]`
//! with a GUID after the name, and no HTD.
//!
//! `ZStep_0` (database: the folder above the steps) holds projections. A wave without a stack is
//! copied into every `ZStep` folder of an exported plate; such copies are one plane. Rows are
//! letters and columns start at 1, as printed on the plate.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::htd::Htd;
use super::{Draft, Entries, Found, Layout, Notes, SEVERAL_PAGES, Slot, sidecar};
use crate::format::FileInfo;
use crate::marker::Kind;
use crate::names::{
    file_name, folder_name, folder_of, list_names, looks_like_truth, natural_order, stem,
};
use crate::{ImageError, OpenOptions, PlaneRef};

pub(super) struct Exported;
pub(super) struct Database;

impl Layout for Exported {
    fn name(&self) -> &'static str {
        "imagexpress"
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        Ok(!plates(path)?.is_empty() || lacks_only_the_description(path)?)
    }

    fn read(&self, path: &Path, _options: &OpenOptions) -> Result<Found, ImageError> {
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
                folders.extend(inside.folders.into_iter().map(|folder| (folder, depth + 1)));
            }
        }
        Ok(false)
    }

    fn read(&self, path: &Path, _options: &OpenOptions) -> Result<Found, ImageError> {
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

/// What was taken in one go: a field's place and time occur once in it.
struct Acquisition {
    /// What tells it from others that are opened with it.
    name: String,
    folder: PathBuf,
    /// The plate's name where it is no matter of the folder.
    plate: Option<String>,
    htd: Option<PathBuf>,
    files: Vec<ImageFile>,
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

/// Reads acquisitions into one data set. With more than one, their names join those of the fields,
/// since wells repeat.
fn read_acquisitions(
    acquisitions: Vec<Acquisition>,
    problems: Vec<String>,
) -> Result<Found, ImageError> {
    let several = acquisitions.len() > 1;
    let mut found = Found {
        problems,
        ..Found::default()
    };
    for taken in acquisitions {
        let name = taken.name.clone();
        let mut plate = read_plate(taken)?;
        if several {
            for field in &mut plate.fields {
                field.name = format!("{name}_{}", field.name);
                // A plate that was imaged twice shows the same places again.
                let of = field.plate.clone().unwrap_or_default();
                field.position = field.position.take().map(|at| format!("{of}_{at}"));
            }
            for problem in &mut plate.problems {
                *problem = format!("plate `{name}`: {problem}");
            }
        }
        found.fields.extend(plate.fields);
        found.problems.extend(plate.problems);
        for channel in plate.channel_order {
            if !found.channel_order.contains(&channel) {
                found.channel_order.push(channel);
            }
        }
    }
    Ok(found)
}

/// Folders of images beside a plate's own, with the number of their images.
fn foreign_folders(files: &[ImageFile]) -> Vec<String> {
    let mut counts: BTreeMap<&Path, usize> = BTreeMap::new();
    for file in files {
        *counts.entry(&file.home).or_default() += 1;
    }
    let sentence = |(folder, count): (&Path, usize)| {
        format!(
            "folder `{}` holds {count} {} that {} not belong to the plate, whose own lie beside its \
             description or in `TimePoint_1`, `ZStep_1`, ..; left out",
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

/// One image file and what its name and folders say.
struct ImageFile {
    path: PathBuf,
    /// The folders between the plate's and the file but for `TimePoint` and `ZStep`; empty for what
    /// lies where a plate's images lie.
    home: PathBuf,
    plate: Option<String>,
    well: String,
    site: u32,
    wave: u32,
    time: u32,
    z: Option<u32>,
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

impl ImageFile {
    fn named(path: PathBuf, home: &Path, name: &Regex, time: Option<u32>, z: Option<u32>) -> Self {
        let full = stem(&path);
        let found = name.captures(&full);
        let text = |group: &str| Some(found.as_ref()?.name(group)?.as_str());
        let number = |group: &str| text(group).and_then(|digits| digits.parse::<u32>().ok());
        Self {
            home: home.to_path_buf(),
            plate: text("plate").map(str::to_string),
            well: text("well").map(padded).unwrap_or_default(),
            site: number("site").unwrap_or(1),
            wave: number("wave").unwrap_or(1),
            time: time.or(number("time")).unwrap_or(1),
            z,
            path,
        }
    }
}

/// The well `b2` as `B02`, as plates print it.
fn padded(well: &str) -> String {
    let digits = well
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(well.len());
    let (row, column) = well.split_at(digits);
    format!("{}{column:0>2}", row.to_uppercase())
}

/// One plane of a wave in one `ZStep` folder, with its header.
struct Step {
    z: Option<u32>,
    path: PathBuf,
    info: FileInfo,
}

/// Makes fields of the files of one acquisition.
fn read_plate(taken: Acquisition) -> Result<Found, ImageError> {
    let Acquisition {
        folder: root,
        plate: of_files,
        htd,
        files,
        ..
    } = taken;
    let described = match &htd {
        Some(path) => Some((Htd::read(path)?, path.as_path())),
        None => None,
    };
    let htd = described.as_ref().map(|(htd, path)| (htd, *path));
    let mut notes = Notes::default();
    let table = sidecar::table(&root, &mut notes);
    let mut problems = Vec::new();
    let times: BTreeSet<u32> = files.iter().map(|file| file.time).collect();
    let lapse = times.len() > 1 || htd.is_some_and(|(htd, _)| htd.times > 1);
    let sites_named: BTreeSet<u32> = files.iter().map(|file| file.site).collect();

    let mut waves: BTreeMap<u32, BTreeMap<Key, Vec<Step>>> = BTreeMap::new();
    let mut plates: BTreeMap<Key, Option<String>> = BTreeMap::new();
    let mut wells = BTreeSet::new();
    for file in files {
        if file.well.is_empty() {
            notes.add(
                "the name is not of the form `PLATE_A01_s1_w1` (plate, well, site, wave); left out",
                &file.path,
            );
            continue;
        }
        wells.insert(file.well.clone());
        let Some(info) = notes.info(&file.path) else {
            continue;
        };
        if info.pages.len() > 1 {
            notes.add(SEVERAL_PAGES, &file.path);
        }
        let key = (file.well, file.site, file.time);
        let of = of_files.clone().or(file.plate);
        plates.entry(key.clone()).or_insert(of);
        let steps = waves.entry(file.wave).or_default().entry(key).or_default();
        steps.push(Step {
            z: file.z,
            path: file.path,
            info,
        });
    }
    drop_doubles(&mut waves, &mut problems, &mut notes);

    let name_of = |w: u32, fields: &BTreeMap<Key, Vec<Step>>| match htd {
        Some((htd, _)) => htd.channel_name(w),
        None => illumination(w, fields),
    };
    let mut names: BTreeMap<u32, String> = waves
        .iter()
        .map(|(&w, fields)| (w, name_of(w, fields)))
        .collect();
    make_unique(&mut names);
    if let Some((htd, path)) = htd {
        let declared = Declared {
            htd,
            path,
            waves: &waves,
            wells: &wells,
            sites: &sites_named,
        };
        problems.extend(declared.missing(&times));
    }

    let mut drafts: BTreeMap<Key, Draft> = BTreeMap::new();
    for (w, fields) in waves {
        let stack = Stack::of(&fields);
        problems.extend(stack.remarks(&names[&w], htd.map_or(0, |(htd, _)| htd.z_steps)));
        for (key, steps) in fields {
            let (well, site, time) = &key;
            let draft = drafts.entry(key.clone()).or_insert_with(|| Draft {
                plate: Some(match &of_files {
                    Some(plate) => plate.clone(),
                    None => plate_name(&root, plates.get(&key).cloned().flatten()),
                }),
                well: Some(well.clone()),
                site: Some(*site),
                position: Some(field_name(well, *site, None)),
                time: lapse.then_some(*time),
                ..Draft::named(field_name(well, *site, lapse.then_some(*time)))
            });
            draft
                .pixel_um
                .extend(steps.iter().filter_map(|step| step.info.pixel_um));
            draft
                .channels
                .push((names[&w].clone(), stack.planes(steps)));
        }
    }
    let mut fields: Vec<Draft> = drafts.into_values().collect();
    for draft in &mut fields {
        if let Some(facts) = table.get(&draft.name) {
            draft.metadata = facts.metadata.clone();
        }
        if let Some((htd, _)) = htd {
            let facts = [
                ("plate_identifier", &htd.identifier),
                ("plate_description", &htd.text),
            ];
            for (key, value) in facts {
                let value = value.clone().map(|value| (key.to_string(), value));
                draft.metadata.extend(value);
            }
        }
    }
    let noted = notes.into_problems();
    if fields.is_empty() {
        // Why no file could be used comes before what is missing for that reason.
        problems.splice(0..0, noted);
    } else {
        problems.extend(noted);
    }
    Ok(Found {
        fields,
        channel_order: names.into_values().collect(),
        problems,
    })
}

/// Well, site and time.
type Key = (String, u32, u32);

/// Leaves out the fields of which two files show the same plane, unless these are copies of each
/// other: nothing tells which one was meant.
fn drop_doubles(
    waves: &mut BTreeMap<u32, BTreeMap<Key, Vec<Step>>>,
    problems: &mut Vec<String>,
    notes: &mut Notes,
) {
    let mut dropped: BTreeSet<Key> = BTreeSet::new();
    for (wave, fields) in waves.iter_mut() {
        for (key, steps) in fields.iter_mut() {
            let mut kept: Vec<Step> = Vec::new();
            for step in steps.drain(..) {
                match kept.iter().find(|other| other.z == step.z) {
                    None => kept.push(step),
                    Some(other) if same_bytes(other, &step) => {
                        notes.add("a copy of another file of the plate; left out", &step.path);
                    }
                    Some(other) => {
                        problems.push(format!(
                            "`{}` and `{}` both show wave w{wave} of well {} site {} (time {}), so \
                             the field is left out; keep one of them",
                            other.path.display(),
                            step.path.display(),
                            key.0,
                            key.1,
                            key.2
                        ));
                        dropped.insert(key.clone());
                    }
                }
            }
            *steps = kept;
        }
    }
    for fields in waves.values_mut() {
        fields.retain(|key, _| !dropped.contains(key));
    }
}

fn field_name(well: &str, site: u32, time: Option<u32>) -> String {
    match time {
        Some(time) => format!("{well}_s{site}_t{time:03}"),
        None => format!("{well}_s{site}"),
    }
}

/// The folder of an exported plate names it, with its number; a folder that does not start with
/// the plate's own name was renamed by its owner, who did not mean another plate.
fn plate_name(root: &Path, in_files: Option<String>) -> String {
    let folder = folder_name(root);
    match in_files.filter(|plate| !plate.is_empty()) {
        Some(plate) if !folder.starts_with(&plate) => plate,
        Some(plate) if folder.is_empty() => plate,
        _ => folder,
    }
}

/// The illumination setting of a wave, which is the only name it has without an HTD.
fn illumination<K: Ord>(w: u32, fields: &BTreeMap<K, Vec<Step>>) -> String {
    let mut steps = fields.values().flatten();
    let name = steps.find_map(|step| step.info.metaxpress.as_ref()?.illumination.clone());
    name.unwrap_or_else(|| format!("w{w}"))
}

/// Names that occur twice get the number of their wave.
fn make_unique(names: &mut BTreeMap<u32, String>) {
    let before: Vec<String> = names.values().cloned().collect();
    for (w, name) in names {
        if before.iter().filter(|other| *other == name).count() > 1 {
            *name = format!("{name}_w{w}");
        }
    }
}

/// How the `ZStep` folders of one wave are to be understood.
struct Stack {
    /// The steps that are planes of a stack, ascending; empty for a single plane or projection.
    steps: Vec<u32>,
    /// Whether projections lie beside a stack.
    projections: bool,
    /// Whether one image was copied into several steps.
    copies: bool,
}

impl Stack {
    fn of<K: Ord>(fields: &BTreeMap<K, Vec<Step>>) -> Self {
        let mut found = Self {
            steps: Vec::new(),
            projections: false,
            copies: false,
        };
        let mut steps = BTreeSet::new();
        for field in fields.values() {
            let numbered: Vec<&Step> = field
                .iter()
                .filter(|s| s.z.is_some_and(|z| z > 0))
                .collect();
            found.projections |= field.iter().any(|step| step.z == Some(0));
            let planes: Vec<u32> = match numbered[..] {
                [first, second, ..] if !is_described(first) && same_bytes(first, second) => {
                    found.copies = true;
                    continue;
                }
                _ => numbered
                    .iter()
                    .filter(|s| is_plane_of(s))
                    .filter_map(|s| s.z)
                    .collect(),
            };
            found.copies |= planes.len() < numbered.len();
            steps.extend(planes);
        }
        // A single plane is copied into step 1 as well, where it looks like the first of a stack.
        let single = steps.len() == 1 && (found.copies || found.projections);
        if steps.len() > 1 || (!single && !steps.is_empty()) {
            found.steps = steps.into_iter().collect();
        }
        found
    }

    /// The planes of one field: its steps in order, or the one image there is.
    fn planes(&self, steps: Vec<Step>) -> Vec<Option<Slot>> {
        let slot = |step: &Step| Slot {
            place: PlaneRef {
                path: step.path.clone(),
                page: 0,
            },
            size: step.info.pages[0],
        };
        if self.steps.is_empty() {
            return vec![steps.iter().min_by_key(|step| step.z).map(slot)];
        }
        let at = |z: &u32| steps.iter().find(|step| step.z == Some(*z)).map(slot);
        self.steps.iter().map(at).collect()
    }

    /// What a user should know about the stack; `declared` is the plate's number of planes.
    fn remarks(&self, channel: &str, declared: u32) -> Vec<String> {
        let found = self.steps.len();
        let mut remarks = Vec::new();
        if self.projections && found > 0 {
            remarks.push(format!(
                "channel `{channel}` has projections beside its {found} planes; the planes are used"
            ));
        }
        if found > 0 && found < declared as usize {
            remarks.push(format!(
                "channel `{channel}` has {found} of the {declared} planes that the plate declares"
            ));
        }
        remarks
    }
}

/// Whether MetaXpress says what the image is within its stack.
fn is_described(step: &Step) -> bool {
    let said = step.info.metaxpress.as_ref();
    said.is_some_and(|said| said.z_step.is_some() || said.projection.is_some())
}

/// Whether the image is the plane that its folder says; a copy states another step, or that it is
/// a projection. Without any statement the folder is believed.
fn is_plane_of(step: &Step) -> bool {
    match &step.info.metaxpress {
        Some(said) if said.projection.is_some() => false,
        Some(said) => said.z_step.is_none_or(|z| Some(z) == step.z),
        None => true,
    }
}

/// Whether two files hold the same bytes; read only up to the first difference.
fn same_bytes(a: &Step, b: &Step) -> bool {
    use std::io::{BufRead, BufReader};
    let open = |step: &Step| std::fs::File::open(&step.path);
    let (Ok(a), Ok(b)) = (open(a), open(b)) else {
        return false;
    };
    let (length_a, length_b) = (a.metadata().map(|m| m.len()), b.metadata().map(|m| m.len()));
    if !matches!((length_a, length_b), (Ok(a), Ok(b)) if a == b) {
        return false;
    }
    let (mut a, mut b) = (BufReader::new(a), BufReader::new(b));
    loop {
        let (Ok(left), Ok(right)) = (a.fill_buf(), b.fill_buf()) else {
            return false;
        };
        let count = left.len().min(right.len());
        if left[..count] != right[..count] {
            return false;
        }
        if count == 0 {
            return left.is_empty() && right.is_empty();
        }
        a.consume(count);
        b.consume(count);
    }
}

/// What the plate description declares, to be held against the files.
struct Declared<'a, F> {
    htd: &'a Htd,
    path: &'a Path,
    waves: &'a BTreeMap<u32, F>,
    wells: &'a BTreeSet<String>,
    sites: &'a BTreeSet<u32>,
}

impl<F> Declared<'_, F> {
    /// Sentences about waves, wells, sites and times that are declared and of which no image
    /// exists. What only some fields miss is found later, field by field.
    fn missing(&self, times: &BTreeSet<u32>) -> Vec<String> {
        let file = file_name(self.path);
        let mut problems = Vec::new();
        for w in (1..=self.htd.waves.len() as u32).filter(|w| !self.waves.contains_key(w)) {
            problems.push(format!(
                "wave w{w} (`{}`) is declared in `{file}`, but no image of it exists",
                self.htd.channel_name(w)
            ));
        }
        let wells: Vec<&String> = self
            .htd
            .wells
            .iter()
            .filter(|well| !self.wells.contains(*well))
            .collect();
        if !wells.is_empty() {
            problems.push(format!(
                "{} of {} wells declared in `{file}` have no images: {}",
                wells.len(),
                self.htd.wells.len(),
                list_names(&wells)
            ));
        }
        let sites: Vec<String> = (1..=self.htd.sites)
            .filter(|s| !self.sites.contains(s))
            .map(|s| s.to_string())
            .collect();
        if !sites.is_empty() {
            problems.push(format!(
                "{} of {} sites declared in `{file}` have no images: {}",
                sites.len(),
                self.htd.sites,
                list_names(&sites)
            ));
        }
        let missing: Vec<String> = (1..=self.htd.times)
            .filter(|t| !times.contains(t))
            .map(|t| t.to_string())
            .collect();
        if !missing.is_empty() {
            problems.push(format!(
                "{} of {} time points declared in `{file}` have no images: {}",
                missing.len(),
                self.htd.times,
                list_names(&missing)
            ));
        }
        problems
    }
}
