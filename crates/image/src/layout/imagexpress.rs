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
use super::{Draft, Entries, Found, Layout, Notes, Slot, sidecar};
use crate::format::FileInfo;
use crate::names::{file_name, list_names, natural_order, stem};
use crate::{ImageError, OpenOptions, PlaneRef};

pub(super) struct Exported;
pub(super) struct Database;

impl Layout for Exported {
    fn name(&self) -> &'static str {
        "imagexpress"
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        Ok(!plates(path)?.is_empty())
    }

    fn read(&self, path: &Path, _options: &OpenOptions) -> Result<Found, ImageError> {
        let plates = plates(path)?;
        let mut found = Found::default();
        for (folder, htd_path) in &plates {
            let htd = Htd::read(htd_path)?;
            let files = files_of(folder, &NAME)?;
            let mut plate = read_plate(folder, files, Some((&htd, htd_path)))?;
            if plates.len() > 1 {
                // Wells repeat from plate to plate, so that the plate's name joins the field's.
                for field in &mut plate.fields {
                    let plate = file_name(folder);
                    field.name = format!("{plate}_{}", field.name);
                    field.position = field.position.take().map(|at| format!("{plate}_{at}"));
                }
                for problem in &mut plate.problems {
                    *problem = format!("plate `{}`: {problem}", file_name(folder));
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
        let mut files = files_of(path, &DATABASE_NAME)?;
        // Projections lie above the step folders; single planes only in step 1. Both are numbered
        // as in an exported plate, where projections are step 0.
        let stacked = files.iter().any(|file| file.z.is_some());
        for file in files.iter_mut().filter(|file| stacked && file.z.is_none()) {
            file.z = Some(0);
        }
        read_plate(path, files, None)
    }
}

/// `<plate>/<date>/<id>/TimePoint_<t>/ZStep_<z>`.
const DATABASE_DEPTH: usize = 5;

/// Anchored at the end, because plate names may hold anything, well names included.
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = concat!(
        r"(?i)^(?:(?<plate>.*)_)?(?<well>[A-Z]{1,2}\d{2})(?:_s(?<site>\d+))?",
        r"(?:_w(?<wave>\d+))?(?:_t(?<time>\d+))?$"
    );
    Regex::new(pattern).expect("a valid pattern")
});

/// The wave has one digit here, as the GUID follows without a separator.
static DATABASE_NAME: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = concat!(
        r"(?i)^(?:(?<plate>.*)_)?(?<well>[A-Z]{1,2}\d{2})(?:_s(?<site>\d+))?",
        r"(?:_w(?<wave>\d))?(?:_t(?<time>\d+))?",
        r"[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12}$"
    );
    Regex::new(pattern).expect("a valid pattern")
});

/// Plates at `path`: the folder of an HTD file, or the folders directly below that have one.
///
/// The HTD is repeated in every folder of a plate, so that the topmost counts.
fn plates(path: &Path) -> Result<Vec<(PathBuf, PathBuf)>, ImageError> {
    if !path.is_dir() {
        let is_htd = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("htd"));
        let folder = path.parent().unwrap_or(Path::new("."));
        return Ok(if is_htd {
            vec![(folder.into(), path.into())]
        } else {
            Vec::new()
        });
    }
    let htd_in = |entries: &Entries| {
        let mut files = entries.others.iter();
        files
            .find(|p| p.extension().is_some_and(|e| e.eq_ignore_ascii_case("htd")))
            .cloned()
    };
    let root = Entries::of(path)?;
    if let Some(htd) = htd_in(&root) {
        return Ok(vec![(path.to_path_buf(), htd)]);
    }
    let mut plates = Vec::new();
    for folder in root.folders {
        if let Some(htd) = htd_in(&Entries::of(&folder)?) {
            plates.push((folder, htd));
        }
    }
    Ok(plates)
}

fn is_thumb(path: &Path) -> bool {
    stem(path).to_lowercase().contains("_thumb")
}

/// One image file and what its name and folders say.
struct ImageFile {
    path: PathBuf,
    plate: Option<String>,
    well: String,
    site: u32,
    wave: u32,
    time: u32,
    z: Option<u32>,
}

/// All images below `folder` whose names match, and the rest silently left out when they are
/// thumbs. Names that do not match are given with an empty well for the caller to report.
fn files_of(folder: &Path, name: &Regex) -> Result<Vec<ImageFile>, ImageError> {
    let mut files = Vec::new();
    let mut folders = vec![(folder.to_path_buf(), None, None, 0)];
    while let Some((folder, time, z, depth)) = folders.pop() {
        let inside = Entries::of(&folder)?;
        for path in inside.images.into_iter().filter(|path| !is_thumb(path)) {
            let full = stem(&path);
            let found = name.captures(&full);
            let text = |group: &str| Some(found.as_ref()?.name(group)?.as_str());
            let number = |group: &str| text(group).and_then(|digits| digits.parse::<u32>().ok());
            files.push(ImageFile {
                plate: text("plate").map(str::to_string),
                well: text("well").unwrap_or_default().to_uppercase(),
                site: number("site").unwrap_or(1),
                wave: number("wave").unwrap_or(1),
                time: time.or(number("time")).unwrap_or(1),
                z,
                path,
            });
        }
        if depth < DATABASE_DEPTH {
            for folder in inside.folders {
                let name = file_name(&folder).to_lowercase();
                let after = |prefix: &str| name.strip_prefix(prefix)?.parse::<u32>().ok();
                let time = after("timepoint_").or(time);
                folders.push((folder, time, after("zstep_").or(z), depth + 1));
            }
        }
    }
    files.sort_by(|a, b| natural_order(&a.path.to_string_lossy(), &b.path.to_string_lossy()));
    Ok(files)
}

/// One plane of a wave in one `ZStep` folder, with its header.
struct Step {
    z: Option<u32>,
    path: PathBuf,
    info: FileInfo,
}

/// Makes fields of the files of one plate.
fn read_plate(
    root: &Path,
    files: Vec<ImageFile>,
    htd: Option<(&Htd, &Path)>,
) -> Result<Found, ImageError> {
    let mut notes = Notes::default();
    let table = sidecar::table(root, &mut notes);
    let mut problems = Vec::new();
    let times: BTreeSet<u32> = files.iter().map(|file| file.time).collect();
    let lapse = times.len() > 1 || htd.is_some_and(|(htd, _)| htd.times > 1);
    let sites_named: BTreeSet<u32> = files.iter().map(|file| file.site).collect();

    type Key = (String, u32, u32);
    let mut waves: BTreeMap<u32, BTreeMap<Key, Vec<Step>>> = BTreeMap::new();
    let mut plates: BTreeMap<Key, Option<String>> = BTreeMap::new();
    let mut wells = BTreeSet::new();
    for file in files {
        if file.well.is_empty() {
            notes.add(
                "the name is not of the form `PLATE_WELL_sSITE_wWAVE`; left out",
                &file.path,
            );
            continue;
        }
        wells.insert(file.well.clone());
        let Some(info) = notes.info(&file.path) else {
            continue;
        };
        let key = (file.well, file.site, file.time);
        plates.entry(key.clone()).or_insert(file.plate);
        let steps = waves.entry(file.wave).or_default().entry(key).or_default();
        steps.push(Step {
            z: file.z,
            path: file.path,
            info,
        });
    }

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
                plate: Some(plate_name(root, plates.get(&key).cloned().flatten())),
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
    problems.extend(notes.into_problems());
    Ok(Found {
        fields,
        channel_order: names.into_values().collect(),
        problems,
    })
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
    let folder = file_name(root);
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
