//! OME-TIFF sets: images whose planes lie in several files, tied together by OME-XML.
//!
//! Any file of a set, its XML, or the folder opens all of it. Each `Image` element is a field,
//! called after its well and site, or by its name where no other has it. XML that lies over folders
//! of images is found by its name: `data/metadata.ome.xml` (scanR), `MeasurementResult.ome.xml`
//! (CQ1).

mod files;
mod members;
mod set;
mod told;
mod wells;
mod xml;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use files::{Searched, spelled};
use members::{Members, strangers};
pub(super) use set::Opened;
use set::Set;
pub(super) use wells::of_label;
use xml::{is_ome_file, is_xml_name, xml_beside};

use super::containers::{Depths, as_name, drafts, light};
use super::{Found, Layout, Notes, joined, sidecar};
use crate::ImageError;
use crate::container::Contained;
use crate::names::{
    file_name, folder_name, folder_of, is_image_name, list_names, natural_order, stem,
};

pub(super) struct OmeTiff;

impl Layout for OmeTiff {
    fn name(&self) -> &'static str {
        "ome-tiff"
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        if path.is_dir() {
            return Ok(!masters(path)?.is_empty());
        }
        if is_xml_name(path) {
            return Ok(is_ome_file(path));
        }
        Ok(is_tiff_name(path) && Set::of(path)?.is_some_and(|set| set.members().has(path)))
    }

    fn read(&self, path: &Path) -> Result<Found, ImageError> {
        let masters = match path.is_dir() {
            true => masters(path)?,
            false => vec![path.to_path_buf()],
        };
        let (mut opened, mut notes, mut failed) = (Vec::new(), Notes::default(), None);
        for master in masters {
            let set = Set::of(&master)?;
            let set = set.ok_or_else(|| ImageError::broken(&master, "it is no OME-XML"))?;
            let members = set.members();
            let strangers = match path.is_dir() {
                true => strangers(&members),
                false => Vec::new(),
            };
            match set.open(members, &mut notes) {
                Ok(found) => opened.push((set.master.clone(), found)),
                Err(error) => failed = failed.or(Some(error)),
            }
            tell_strangers(&set.master, &strangers, &mut notes);
        }
        if let Some(error) = failed {
            if opened.is_empty() {
                return Err(error);
            }
            notes.by_sentence.entry(error.to_string()).or_default();
        }
        let table = sidecar::table(
            if path.is_dir() { path } else { folder_of(path) },
            &mut notes,
        );
        let mut found = fields(opened, &HashSet::new());
        table.add_to(&mut found.fields);
        found.problems.extend(notes.into_problems());
        Ok(found)
    }
}

/// Takes the files of sets out of `paths`, the images of one folder or some of them, and opens the
/// sets. Those that cannot be opened are told, and their files stay. `whole` says that the folder
/// as a whole was asked for.
pub(super) fn take_out(
    root: &Path,
    whole: bool,
    paths: &mut Vec<PathBuf>,
    notes: &mut Notes,
) -> Vec<(PathBuf, Opened)> {
    let mut taking = Taking {
        opened: Vec::new(),
        taken: HashSet::new(),
        looked_at: HashSet::new(),
    };
    let mut searched = Searched::default();
    // XML that is named among images, as `*` names it, stands for its set.
    let named: Vec<PathBuf> = paths
        .iter()
        .filter(|path| is_xml_name(path) && is_ome_file(path))
        .map(|path| spelled(path))
        .collect();
    paths.retain(|path| !named.contains(&spelled(path)));
    for xml in xml_beside(root) {
        let Ok(Some(set)) = Set::of(&xml) else {
            continue;
        };
        let members = set.members();
        let concerned = paths.iter().any(|path| members.has(path));
        if concerned || whole || named.contains(&spelled(&xml)) {
            taking.open(&set, members, notes);
        }
    }
    for path in paths.iter().filter(|path| is_tiff_name(path)) {
        if taking.looked_at.contains(&spelled(path)) {
            continue;
        }
        if let Ok(Some(set)) = Set::among(path, &mut searched) {
            let members = set.members_among(&mut searched);
            searched.knows(&set.master, members.paths().clone());
            if members.has(path) {
                taking.open(&set, members, notes);
            }
        }
    }
    paths.retain(|path| !taking.taken.contains(&spelled(path)));
    taking.opened
}

struct Taking {
    opened: Vec<(PathBuf, Opened)>,
    /// Files of sets that were opened, with their folders.
    taken: HashSet<PathBuf>,
    /// Files of any set.
    looked_at: HashSet<PathBuf>,
}

impl Taking {
    fn open(&mut self, set: &Set, members: Members, notes: &mut Notes) {
        let paths = members.paths().clone();
        self.looked_at.extend(paths.iter().cloned());
        match set.open(members, notes) {
            Ok(opened) => {
                self.taken.extend(paths);
                self.opened.push((set.master.clone(), opened));
            }
            Err(error) => {
                notes.by_sentence.entry(error.to_string()).or_default();
            }
        }
    }
}

/// The fields of sets; `others` are names of fields that are no part of them.
///
/// Plates are told apart as those of other layouts are.
pub(super) fn fields(opened: Vec<(PathBuf, Opened)>, others: &HashSet<String>) -> Found {
    let names = unique_names(&opened, others);
    let folders = folders_of_plates(&opened);
    let (mut plates, mut found): (BTreeMap<String, Found>, Found) = Default::default();
    for (s, (master, set)) in opened.into_iter().enumerate() {
        let depths = Depths::of(set.images.iter().map(|(image, _)| image));
        for (k, (image, place)) in set.images.into_iter().enumerate() {
            let light: Vec<_> = light(&image).collect();
            let Some(place) = place else {
                let name = &names[&(s, k)];
                found
                    .fields
                    .extend(drafts(image, &depths, name, None, None));
                found.say_light(light);
                continue;
            };
            let stated = set.plates.get(place.plate).cloned().flatten();
            let plate = match stated {
                Some(name) if folders[&name].len() == 1 => name,
                Some(name) => format!("{}_{name}", plate_of(&master)),
                None => plate_of(&master),
            };
            let of_plate = plates.entry(plate.clone()).or_default();
            let name = format!("{}_s{}", place.well, place.site);
            let mut new = drafts(image, &depths, &name, Some(place.site), Some(plate));
            if let Some(of) = place.acquisition {
                // Another acquisition shows the same places.
                for draft in &mut new {
                    draft.name = format!("{}_{}", as_name(&of), draft.name);
                }
            }
            of_plate.fields.extend(new);
            of_plate.say_light(light);
        }
    }
    let mut all = joined(plates.into_iter().collect(), Vec::new());
    all.fields.extend(found.fields);
    all.say_light(found.transmitted);
    all
}

/// In which folders plates of a name lie: those in folders of their own are several.
fn folders_of_plates(opened: &[(PathBuf, Opened)]) -> HashMap<String, HashSet<PathBuf>> {
    let mut found: HashMap<String, HashSet<PathBuf>> = HashMap::new();
    for (master, set) in opened {
        for plate in set.plates.iter().flatten() {
            let folders = found.entry(plate.clone()).or_default();
            folders.insert(folder_of(master).to_path_buf());
        }
    }
    found
}

/// The folder of a plate whose metadata does not name it; that of images within an experiment is
/// called `data`.
fn plate_of(master: &Path) -> String {
    let folder = folder_of(master);
    match folder_name(folder) {
        name if name.eq_ignore_ascii_case("data") => folder_name(folder_of(folder)),
        name => name,
    }
}

/// The name of every image that is on no plate: its own if no other field has it, else with that of
/// its set, or its number in the set.
fn unique_names(
    opened: &[(PathBuf, Opened)],
    others: &HashSet<String>,
) -> HashMap<(usize, usize), String> {
    let mut count: HashMap<String, usize> = HashMap::new();
    for (_, set) in opened {
        for (image, _) in &set.images {
            *count.entry(own_name(image)).or_default() += 1;
        }
    }
    let mut names = HashMap::new();
    for (s, (_, set)) in opened.iter().enumerate() {
        let own: Vec<String> = set
            .images
            .iter()
            .map(|(image, _)| own_name(image))
            .collect();
        let distinct: HashSet<&String> = own.iter().collect();
        let set_name = as_name(&set.name);
        for (k, own_name) in own.iter().enumerate() {
            let unique = count[own_name] == 1 && !others.contains(own_name);
            let name = match own_name.is_empty() {
                false if unique => own_name.clone(),
                _ if own.len() == 1 => set_name.clone(),
                false if distinct.len() == own.len() => format!("{set_name}_{own_name}"),
                _ => format!("{set_name}_p{}", k + 1),
            };
            names.insert((s, k), name);
        }
    }
    names
}

/// What an image is called by whoever made it; empty where a program numbered it.
fn own_name(image: &Contained) -> String {
    let name = Path::new(&image.name);
    let name = match is_image_name(name) {
        true => stem(name),
        false => image.name.clone(),
    };
    match is_a_number(&name) {
        true => String::new(),
        false => as_name(&name),
    }
}

/// Whether a name is one that programs give to images without a name: `Image0`, `Image:0`.
pub(super) fn is_a_number(name: &str) -> bool {
    let lower = name.trim().to_lowercase();
    let rest = ["image", "series", "scene"]
        .iter()
        .find_map(|word| lower.strip_prefix(word));
    rest.is_some_and(|rest| rest.chars().all(|c| !c.is_alphabetic()))
}

/// Says which images in the folders of a set are no part of it.
fn tell_strangers(master: &Path, strangers: &[PathBuf], notes: &mut Notes) {
    // CQ1 keeps its metadata a second time in an empty image.
    let of_system = |name: &String| name.to_lowercase().starts_with("measurementresult");
    let mut names: Vec<String> = strangers.iter().map(|path| file_name(path)).collect();
    names.retain(|name| !of_system(name));
    if !names.is_empty() {
        let sentence = format!(
            "its OME metadata does not name {} images beside those that it names, which are left \
             out: {}",
            names.len(),
            list_names(&names)
        );
        notes.add(sentence, master);
    }
}

fn is_tiff_name(path: &Path) -> bool {
    let is_png = |end: &std::ffi::OsStr| end.eq_ignore_ascii_case("png");
    is_image_name(path) && !path.extension().is_some_and(is_png)
}

/// The XML that makes a folder one set, by its name: scanR's, and CQ1's, which has projections
/// listed in further files.
fn master_of(folder: &Path) -> Option<PathBuf> {
    const NAMES: [&str; 4] = [
        "metadata.ome.xml",
        "MeasurementResult.ome.xml",
        "MeasurementResultMIP.ome.xml",
        "MeasurementResultSUM.ome.xml",
    ];
    let paths = NAMES.map(|name| folder.join(name));
    paths
        .into_iter()
        .find(|path| path.is_file() && is_ome_file(path))
}

/// XML by which the folder `path` is a set, or holds sets: in it, in `data` or other folders in it
/// if it has no images of its own, or XML without any image.
fn masters(path: &Path) -> Result<Vec<PathBuf>, ImageError> {
    if let Some(master) = master_of(path) {
        return Ok(vec![master]);
    }
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|error| ImageError::read(path, error))? {
        let entry = entry.map_err(|error| ImageError::read(path, error))?.path();
        let hidden = file_name(&entry).starts_with('.');
        if is_image_name(&entry) && !entry.is_dir() {
            return Ok(Vec::new());
        }
        if !hidden && entry.is_dir() {
            folders.push(entry);
        }
    }
    folders.sort_by(|a, b| natural_order(&file_name(a), &file_name(b)));
    let mut found: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| master_of(folder))
        .collect();
    if found.is_empty() {
        found = xml_beside(path);
    }
    Ok(found)
}
