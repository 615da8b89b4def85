//! Files and folders that hold many images each (`container`), alone or several in a folder.
//!
//! Fields are called after the plate's wells where the container names wells (`B02_s1`), else after
//! the file, with the image's name or, where names do not tell them apart, its number (`a_p2`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::{
    Draft, Entries, Found, Layout, Notes, Slot, channel_folders, foreign, joined, own_kind, sidecar,
};
use crate::container::{ChannelSaid, Contained, Contents, Reader};
use crate::names::{
    file_name, folder_name, folder_of, is_image_name, list_names, natural_order, stem,
};
use crate::{ImageError, rounded_um};

/// The layout of what `R` reads.
pub(super) struct Of<R>(pub(super) R);

/// A container that was named itself, and no folder of them.
#[cfg(feature = "zarr")]
pub(super) struct Itself<R>(pub(super) R);

#[cfg(feature = "zarr")]
impl<R: Reader + Copy> Layout for Itself<R> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        Ok(self.0.takes(path))
    }

    fn read(&self, path: &Path) -> Result<Found, ImageError> {
        Of(self.0).read(path)
    }
}

impl<R: Reader> Layout for Of<R> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        Ok(!self.containers(path)?.is_empty())
    }

    fn read(&self, path: &Path) -> Result<Found, ImageError> {
        let containers = self.containers(path)?;
        let itself = self.0.takes(path);
        let alone = containers.len() == 1;
        let (mut listed, mut problems, mut failed) = (Vec::new(), Vec::new(), None);
        for container in &containers {
            match self.0.list(container) {
                Ok(contents) => listed.push((container, contents)),
                Err(error) if alone => return Err(error),
                Err(error) => {
                    problems.push(error.to_string());
                    failed = failed.or(Some(error));
                }
            }
        }
        if listed.is_empty()
            && let Some(error) = failed
        {
            return Err(error);
        }
        let mut notes = Notes::default();
        if !itself {
            problems.extend(self.beside(path, &mut notes)?);
        }
        let table = sidecar::table(if itself { folder_of(path) } else { path }, &mut notes);
        let mut found = joined_of(listed, problems);
        table.add_to(&mut found.fields);
        found.problems.extend(notes.into_problems());
        Ok(found)
    }
}

impl<R: Reader> Of<R> {
    /// What is said of all that lies in the folder `path` beside the containers.
    fn beside(&self, path: &Path, notes: &mut Notes) -> Result<Vec<String>, ImageError> {
        let beside = Entries::of(path)?;
        notes.ours(&beside.ours);
        let mut problems = foreign::beside(&beside, |path| self.0.takes(path));
        let others = beside.folders.iter().filter(|path| !self.0.takes(path));
        let others: Vec<String> = others.map(|path| file_name(path)).collect();
        if !others.is_empty() {
            problems.push(format!(
                "other folders are not read: {}",
                list_names(&others)
            ));
        }
        Ok(problems)
    }

    /// `path` itself, or what lies in it, in natural order. A folder with images of its own, or
    /// with folders of them that are its channels, is one of images, with containers beside them.
    fn containers(&self, path: &Path) -> Result<Vec<PathBuf>, ImageError> {
        if self.0.takes(path) {
            return Ok(vec![path.to_path_buf()]);
        }
        if !path.is_dir() {
            return Ok(Vec::new());
        }
        // Every kind of container asks this of every folder, so that a folder of images, which may
        // have thousands, is left at the first of them.
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|error| ImageError::read(path, error))? {
            let entry = entry.map_err(|error| ImageError::read(path, error))?.path();
            if file_name(&entry).starts_with('.') {
                continue;
            }
            if is_image_name(&entry) && !entry.is_dir() {
                return Ok(Vec::new());
            }
            found.push(entry);
        }
        let (mut found, others): (Vec<PathBuf>, Vec<PathBuf>) =
            found.into_iter().partition(|path| self.0.takes(path));
        found.retain(|path| own_kind(path).is_none());
        if found.is_empty() || channel_folders::are_images(&others)? {
            return Ok(Vec::new());
        }
        found.sort_by(|a, b| natural_order(&file_name(a), &file_name(b)));
        Ok(found)
    }
}

/// The fields of all containers. Plates are told apart as those of other layouts are; other files
/// by their names, of which those that differ in nothing but an ending keep it.
fn joined_of(listed: Vec<(&PathBuf, Contents)>, problems: Vec<String>) -> Found {
    let several = listed.len() > 1;
    let stems: Vec<String> = listed.iter().map(|(path, _)| stem_of(path)).collect();
    let name_of = |path: &Path| {
        let stem = stem_of(path);
        match stems.iter().filter(|other| **other == stem).count() {
            0 | 1 => stem,
            _ => file_name(path),
        }
    };
    let (mut plates, mut others) = (Vec::new(), Found::default());
    for (path, mut contents) in listed {
        let name = name_of(path);
        if several {
            for problem in &mut contents.problems {
                *problem = format!("`{}`: {problem}", file_name(path));
            }
        }
        let is_plate = contents.images.iter().all(|image| image.well.is_some());
        let found = fields_of(&name, contents, is_plate);
        if is_plate {
            plates.push((name, found));
        } else {
            others.fields.extend(found.fields);
            others.problems.extend(found.problems);
            others.say_light(found.transmitted);
        }
    }
    let mut all = joined(plates, problems);
    all.fields.extend(others.fields);
    all.problems.extend(others.problems);
    all.say_light(others.transmitted);
    all
}

/// A container's name without its ending, also where that has two parts.
fn stem_of(path: &Path) -> String {
    let stem = match path.is_dir() {
        // A point in the name of a folder begins no ending (`run 0.5 um`), but for stores.
        true => without(&folder_name(path), ".zarr"),
        false => stem(Path::new(&file_name(path))),
    };
    without(&stem, ".ome")
}

/// A name without its ending, in letters of any case, unless it is nothing else.
fn without(name: &str, ending: &str) -> String {
    let cut = name.len().saturating_sub(ending.len());
    match name.get(cut..) {
        Some(end) if cut > 0 && end.eq_ignore_ascii_case(ending) => name[..cut].to_string(),
        _ => name.to_string(),
    }
}

/// Of the channels of which it is said: whether they were taken in transmitted light.
pub(super) fn light(image: &Contained) -> impl Iterator<Item = (String, bool)> {
    let channels = channel_names(&image.channels)
        .into_iter()
        .zip(&image.channels);
    channels.filter_map(|(name, channel)| Some((name, channel.transmitted?)))
}

/// The fields of one container called `name`.
fn fields_of(name: &str, contents: Contents, is_plate: bool) -> Found {
    let Contents {
        plate,
        images,
        problems,
    } = contents;
    let acquisitions: BTreeSet<_> = images.iter().map(|image| &image.acquisition).collect();
    let several = acquisitions.len() > 1;
    let names = match is_plate {
        true => by_well(&images),
        false if several && images.iter().all(|image| image.site.is_some()) => {
            by_site(name, &images)
        }
        false => by_name(name, &images),
    };
    let mut found = Found {
        problems,
        ..Found::default()
    };
    let depths = Depths::of(&images);
    for (image, (position, site)) in images.into_iter().zip(names) {
        found.say_light(light(&image));
        let plate = image
            .well
            .is_some()
            .then(|| plate.clone().unwrap_or(name.to_string()));
        let of = image.acquisition.clone().filter(|_| several);
        let mut new = drafts(image, &depths, &position, site, plate);
        // An acquisition shows the same places as another, so that only names tell them apart.
        if let Some(of) = of {
            for draft in &mut new {
                draft.name = format!("{}_{}", as_name(&of), draft.name);
            }
        }
        found.fields.extend(new);
    }
    found
}

/// `WELL_sSITE` of every image, and the site: as it is stated, or counted within the well, in each
/// acquisition anew.
fn by_well(images: &[Contained]) -> Vec<(String, Option<u32>)> {
    let mut counted: HashMap<(&str, &Option<String>), u32> = HashMap::new();
    let named = images.iter().map(|image| {
        let well = image.well.as_deref().unwrap_or_default();
        let count = counted.entry((well, &image.acquisition)).or_default();
        *count += 1;
        let site = image.site.unwrap_or(*count);
        (format!("{well}_s{site}"), Some(site))
    });
    named.collect()
}

/// `NAME_sSITE` of every image.
fn by_site(name: &str, images: &[Contained]) -> Vec<(String, Option<u32>)> {
    let named = images.iter().map(|image| {
        let site = image.site.unwrap_or_default();
        (format!("{name}_s{site}"), image.site)
    });
    named.collect()
}

/// The container's name where it has one image, else with what tells the images apart.
fn by_name(name: &str, images: &[Contained]) -> Vec<(String, Option<u32>)> {
    if images.len() == 1 {
        return vec![(name.to_string(), images[0].site)];
    }
    let own: Vec<String> = images.iter().map(|image| as_name(&image.name)).collect();
    let distinct: BTreeSet<&String> = own.iter().filter(|own| !own.is_empty()).collect();
    let told_apart = distinct.len() == own.len();
    let named = own.iter().enumerate().map(|(k, own)| match told_apart {
        true => format!("{name}_{own}"),
        false => format!("{name}_p{}", k + 1),
    });
    named.zip(images.iter().map(|image| image.site)).collect()
}

/// What a container calls an image, as a part of a file's name on every system.
pub(super) fn as_name(text: &str) -> String {
    let kept = |c: char| match c {
        c if c.is_alphanumeric() || matches!(c, '-' | '.' | '(' | ')' | '+') => c,
        _ => '_',
    };
    let text: String = text.trim().chars().map(kept).collect();
    text.trim_matches(['_', '.']).to_string()
}

/// Names of channels: as stated where each has one of its own, else with their number.
pub(super) fn channel_names(channels: &[ChannelSaid]) -> Vec<String> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for channel in channels {
        *count.entry(channel.name.trim()).or_default() += 1;
    }
    let named = channels
        .iter()
        .enumerate()
        .map(|(c, channel)| match channel.name.trim() {
            "" => format!("C{}", c + 1),
            name if count[name] > 1 => format!("{name}_C{}", c + 1),
            name => name.to_string(),
        });
    named.collect()
}

/// The planes in which each channel was taken.
///
/// Microscopes take brightfield as a stack and stains in one plane: beside a channel of
/// [`FEWEST_IN_STACK`] planes, one that was only ever taken in one plane has that one, and the
/// others are no holes.
pub(super) struct Depths {
    taken: BTreeMap<String, BTreeSet<usize>>,
    /// Whether any channel is a stack.
    has_stack: bool,
}

/// Fewest planes of a stack.
const FEWEST_IN_STACK: usize = 3;

impl Depths {
    pub(super) fn of<'a>(images: impl IntoIterator<Item = &'a Contained>) -> Self {
        let mut taken: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for image in images {
            let names = channel_names(&image.channels);
            for (place, _) in image.places.iter().enumerate().filter(|(_, p)| p.is_some()) {
                let (c, rest) = (place % names.len().max(1), place / names.len().max(1));
                let Some(name) = names.get(c) else { continue };
                let z = rest % image.planes.max(1);
                match taken.get_mut(name) {
                    Some(planes) => planes.insert(z),
                    None => taken.entry(name.clone()).or_default().insert(z),
                };
            }
        }
        let is_stack = |planes: &BTreeSet<usize>| planes.len() >= FEWEST_IN_STACK;
        Self {
            has_stack: taken.values().any(is_stack),
            taken,
        }
    }

    fn has(&self, channel: &str, z: usize) -> bool {
        let flat = self.taken.get(channel).filter(|own| own.len() == 1);
        match flat.filter(|_| self.has_stack) {
            Some(own) => own.contains(&z),
            None => true,
        }
    }
}

/// The fields of one image: one for every time.
pub(super) fn drafts(
    image: Contained,
    depths: &Depths,
    position: &str,
    site: Option<u32>,
    plate: Option<String>,
) -> Vec<Draft> {
    let mut metadata = BTreeMap::new();
    let [x_um, y_um] = image.centre_um.map_or([None; 2], |place| place.map(Some));
    for (key, value) in [
        ("z_step_um", image.z_step_um),
        ("time_step_s", image.time_step_s),
        ("x_um", x_um),
        ("y_um", y_um),
    ] {
        if let Some(value) = value {
            metadata.insert(key.to_string(), rounded_um(value).to_string());
        }
    }
    if !image.name.is_empty() {
        metadata.insert("image".to_string(), image.name.clone());
    }
    let names = channel_names(&image.channels);
    let (channels, planes) = (names.len(), image.planes);
    let slot = |c: usize, z: usize, t: usize| {
        let place = image.places.get(c + channels * (z + planes * t))?.clone()?;
        Some(Slot {
            place,
            size: image.size,
        })
    };
    let lapse = image.times > 1;
    let at = |t: usize| Draft {
        name: match lapse {
            true => format!("{position}_t{:03}", t + 1),
            false => position.to_string(),
        },
        position: Some(position.to_string()),
        plate: plate.clone(),
        well: image.well.clone(),
        site,
        time: lapse.then_some(t as u32 + 1),
        channels: names
            .iter()
            .enumerate()
            .map(|(c, name)| {
                let own = (0..planes).filter(|&z| depths.has(name, z));
                (name.clone(), own.map(|z| slot(c, z, t)).collect())
            })
            .collect(),
        pixel_um: image.pixel_um.into_iter().collect(),
        metadata: metadata.clone(),
    };
    (0..image.times).map(at).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::PlaneRef;

    #[test]
    fn a_channel_taken_in_one_plane_of_a_stack_has_one_plane() {
        let channel = |name: &str| ChannelSaid {
            name: name.into(),
            transmitted: None,
        };
        let place = |part| Some(PlaneRef::of_file(Path::new("a").to_path_buf(), part));
        // Brightfield at three planes of four, of which one is lost; the stain at the second.
        let image = Contained {
            size: (2, 2),
            channels: vec![channel("BF"), channel("DAPI")],
            planes: 4,
            times: 1,
            places: vec![
                place(0),
                None,
                place(1),
                place(2),
                None,
                None,
                place(3),
                None,
            ],
            ..Contained::default()
        };
        let contents = Contents {
            images: vec![image],
            ..Contents::default()
        };
        let found = fields_of("a", contents, false);
        let depths: Vec<usize> = found.fields[0]
            .channels
            .iter()
            .map(|(_, planes)| planes.len())
            .collect();
        assert_eq!(depths, [4, 1]);
        // What no channel has is missing in the stack.
        let stack = &found.fields[0].channels[0].1;
        assert!(stack[2].is_none() && found.fields[0].channels[1].1[0].is_some());
    }
}
