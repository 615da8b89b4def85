//! What was taken in one go, as fields: the planes of its waves, what is missing, what lies double.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::Regex;

use super::super::htd::Htd;
use super::super::{Draft, Found, Notes, SEVERAL_PAGES, Slot, joined, sidecar};
use crate::format::FileInfo;
use crate::names::{file_name, folder_name, list_names, stem};
use crate::{ImageError, PlaneRef};

/// What was taken in one go: a field's place and time occur once in it.
pub(super) struct Acquisition {
    /// What tells it from others that are opened with it.
    pub(super) name: String,
    pub(super) folder: PathBuf,
    /// The plate's name where it is no matter of the folder.
    pub(super) plate: Option<String>,
    pub(super) htd: Option<PathBuf>,
    pub(super) files: Vec<ImageFile>,
}

/// One image file and what its name and folders say.
pub(super) struct ImageFile {
    pub(super) path: PathBuf,
    /// The folders between the plate's and the file but for `TimePoint` and `ZStep`; empty for what
    /// lies where a plate's images lie.
    pub(super) home: PathBuf,
    pub(super) plate: Option<String>,
    pub(super) well: String,
    pub(super) site: u32,
    pub(super) wave: u32,
    pub(super) time: u32,
    pub(super) z: Option<u32>,
}

impl ImageFile {
    pub(super) fn named(
        path: PathBuf,
        home: &Path,
        name: &Regex,
        time: Option<u32>,
        z: Option<u32>,
    ) -> Self {
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

/// Reads acquisitions into one data set. With more than one, their names join those of the fields,
/// since wells repeat.
pub(super) fn read_acquisitions(
    acquisitions: Vec<Acquisition>,
    problems: Vec<String>,
) -> Result<Found, ImageError> {
    let plates: Result<Vec<(String, Found)>, ImageError> = acquisitions
        .into_iter()
        .map(|taken| Ok((taken.name.clone(), read_plate(taken)?)))
        .collect();
    Ok(joined(plates?, problems))
}

/// One plane of a wave in one `ZStep` folder, with its header.
struct Step {
    z: Option<u32>,
    path: PathBuf,
    info: FileInfo,
}

/// The planes of an acquisition by what their names say.
struct Gathered {
    /// By wave, then by field.
    waves: BTreeMap<u32, BTreeMap<Key, Vec<Step>>>,
    /// What each field's files call its plate.
    plates: BTreeMap<Key, Option<String>>,
    /// All wells that are named, also of files that cannot be read.
    wells: BTreeSet<String>,
}

impl Gathered {
    /// Reads the headers of `files`, which are of the plate `of_files` where that is known.
    fn of(files: Vec<ImageFile>, of_files: Option<&String>, notes: &mut Notes) -> Self {
        let mut waves: BTreeMap<u32, BTreeMap<Key, Vec<Step>>> = BTreeMap::new();
        let mut plates: BTreeMap<Key, Option<String>> = BTreeMap::new();
        let mut wells = BTreeSet::new();
        for file in files {
            if file.well.is_empty() {
                notes.add(
                    "the name is not of the form `PLATE_A01_s1_w1` (plate, well, site, wave); left \
                     out",
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
            let of = of_files.cloned().or(file.plate);
            plates.entry(key.clone()).or_insert(of);
            let steps = waves.entry(file.wave).or_default().entry(key).or_default();
            steps.push(Step {
                z: file.z,
                path: file.path,
                info,
            });
        }
        Self {
            waves,
            plates,
            wells,
        }
    }
}

/// What the `.HTD` says of every field.
fn facts_of(htd: &Htd) -> impl Iterator<Item = (String, String)> {
    let facts = [
        ("plate_identifier", htd.identifier.clone()),
        ("plate_description", htd.text.clone()),
    ];
    facts
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
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

    let Gathered {
        mut waves,
        plates,
        wells,
    } = Gathered::of(files, of_files.as_ref(), &mut notes);
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
    table.add_to(&mut fields);
    for draft in &mut fields {
        if let Some((htd, _)) = htd {
            draft.metadata.extend(facts_of(htd));
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
        ..Found::default()
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
            place: PlaneRef::of_file(step.path.clone(), 0),
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
