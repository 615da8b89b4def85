//! From entries of an index to places, each with its channels, planes and times.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use super::files::Stack;
use super::index::{At, Entry, Index};
use crate::container::strided::{Grid, Sample, StridedPlane};
use crate::container::{ChannelSaid, Contained, Contents, MOST_PLANES};
use crate::format::check_size;
use crate::names::{list_names, printed_well};
use crate::{ImageError, PlaneRef};

/// What tells images of one place apart; all other axes tell places apart.
const CHANNEL: &str = "channel";
const Z: &str = "z";
const TIME: &str = "time";
const POSITION: &str = "position";
/// The axes that come first in the name of a place.
const ORDER: [&str; 3] = [POSITION, "row", "column"];

/// Most planes that may be listed for each one that is there, and how many more: acquisitions that
/// leave out channels or times have a few.
const MOST_EMPTY: usize = 64;
const MOST_MISSING: usize = 1 << 16;

/// A place by its values along the other axes.
type Place = Vec<(String, At)>;

/// An entry, of which the pixels may be missing.
struct Plane {
    entry: Entry,
    source: Option<StridedPlane>,
}

/// The images of a data set.
///
/// # Errors
/// [`ImageError::NotSupported`] if no entry is of a kind that is read, [`ImageError::TooLarge`],
/// [`ImageError::Broken`] if sizes are no sizes.
pub(super) fn sorted(
    index: &Path,
    read: Index,
    stacks: &BTreeMap<String, Stack>,
) -> Result<Contents, ImageError> {
    let mut contents = Contents::default();
    unlisted(&read, stacks, &mut contents.problems);
    let entries = readable(index, read.entries, &mut contents.problems)?;
    let planes = planes(entries, stacks, &mut contents.problems);
    let set = Set {
        index,
        stacks,
        summary: stacks
            .values()
            .next()
            .map(Stack::summary)
            .unwrap_or_default(),
        places: by_place(planes),
    };
    set.tiles_said(&mut contents.problems);
    set.images(&mut contents)?;
    Ok(contents)
}

/// Pages that no entry leads to are images that nobody finds.
fn unlisted(read: &Index, stacks: &BTreeMap<String, Stack>, problems: &mut Vec<String>) {
    let mut known: HashMap<&str, BTreeSet<u64>> = HashMap::new();
    let entries = read.entries.iter().map(|entry| (&entry.file, entry.pixels));
    let replaced = read.replaced.iter().map(|(file, pixels)| (file, *pixels));
    for (file, pixels) in entries.chain(replaced) {
        known.entry(file).or_default().insert(pixels);
    }
    for (name, stack) in stacks {
        let pages = stack.pages();
        let known = known.get(name.as_str());
        let is_lost = |pixels: &&u64| known.is_none_or(|known| !known.contains(pixels));
        let lost = pages.iter().filter(is_lost).count();
        if lost > 0 {
            let file = crate::names::file_name(&stack.path);
            problems.push(format!(
                "{lost} of {} pages of `{file}` are not in its index, and are not read",
                pages.len()
            ));
        }
    }
}

/// The entries whose pixels are of a kind that is read.
fn readable(
    index: &Path,
    entries: Vec<Entry>,
    problems: &mut Vec<String>,
) -> Result<Vec<Entry>, ImageError> {
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    let all = entries.len();
    let mut kept = entries;
    kept.retain(|entry| {
        let (height, width) = entry.size;
        let why = match (entry.is_compressed, entry.kind) {
            (true, _) => "their pixels are compressed".to_string(),
            (false, 2) => "they are colour images (RGB)".to_string(),
            (false, kind) if sample(kind).is_none() => {
                format!("their type of pixels is `{kind}`, which is not known")
            }
            _ if check_size(index, height as u64, width as u64).is_err() => {
                format!("their size is {height} x {width}")
            }
            _ => return true,
        };
        *refused.entry(why).or_default() += 1;
        false
    });
    if kept.is_empty() {
        let why = refused.into_keys().next().unwrap_or_default();
        return Err(ImageError::not_supported(
            index,
            format!("none of its {all} images is read: {why}"),
            "save them in Micro-Manager as grey images",
        ));
    }
    for (why, count) in refused {
        problems.push(format!("{count} of {all} images are left out, since {why}"));
    }
    Ok(kept)
}

/// The type of pixels by its number: those of 10 to 14 bits are kept in 16.
fn sample(kind: u32) -> Option<Sample> {
    match kind {
        0 => Some(Sample::U8),
        1 | 3..=6 => Some(Sample::U16),
        _ => None,
    }
}

/// The entries with where their pixels are, if they are there.
fn planes(
    entries: Vec<Entry>,
    stacks: &BTreeMap<String, Stack>,
    problems: &mut Vec<String>,
) -> Vec<Plane> {
    let mut beyond: BTreeMap<String, usize> = BTreeMap::new();
    let mut planes = Vec::with_capacity(entries.len());
    for (part, entry) in entries.into_iter().enumerate() {
        let stack = stacks.get(&entry.file);
        let found = stack.zip(sample(entry.kind)).map(|(stack, sample)| {
            let row = sample.bytes() * entry.size.1 as u64;
            let grid = Grid {
                start: entry.pixels,
                size: entry.size,
                steps: [row, sample.bytes()],
                sample,
                big_endian: stack.big_endian,
            };
            (stack, grid)
        });
        let source = found.and_then(|(stack, grid)| {
            if grid.end().is_none_or(|end| end > stack.length) {
                *beyond.entry(entry.file.clone()).or_default() += 1;
                return None;
            }
            let path = std::sync::Arc::clone(&stack.path);
            Some(StridedPlane { path, part, grid })
        });
        planes.push(Plane { entry, source });
    }
    for (file, count) in beyond {
        problems.push(format!("{count} images lie beyond the end of `{file}`"));
    }
    planes
}

/// The planes of each place, the places in order.
fn by_place(planes: Vec<Plane>) -> BTreeMap<Place, Vec<Plane>> {
    let mut places: BTreeMap<Place, Vec<Plane>> = BTreeMap::new();
    for plane in planes {
        let axes = plane.entry.axes.iter();
        let others = axes.filter(|(axis, _)| ![CHANNEL, Z, TIME].contains(&axis.as_str()));
        let mut place: Place = others
            .map(|(axis, at)| (axis.clone(), at.clone()))
            .collect();
        place.sort_by_key(|(axis, _)| ORDER.iter().position(|first| first == axis).unwrap_or(3));
        places.entry(place).or_default().push(plane);
    }
    places
}

/// A data set whose entries are sorted.
struct Set<'a> {
    index: &'a Path,
    stacks: &'a BTreeMap<String, Stack>,
    /// What the files say of all images.
    summary: Map<String, Value>,
    places: BTreeMap<Place, Vec<Plane>>,
}

impl Set<'_> {
    fn all(&self) -> impl Iterator<Item = &Plane> {
        self.places.values().flatten()
    }

    /// Tells that places are tiles which show the same cells at their borders.
    fn tiles_said(&self, problems: &mut Vec<String>) {
        let is_tile = |place: &Place| place.iter().any(|(axis, _)| axis == "row");
        let tiles = self.places.keys().filter(|place| is_tile(place)).count();
        let overlap = |key| value(&self.summary, &[key]).filter(|pixels| *pixels > 0.0);
        let [x, y] = ["GridPixelOverlapX", "GridPixelOverlapY"].map(overlap);
        if tiles > 1 && (x.is_some() || y.is_some()) {
            problems.push(format!(
                "its {tiles} places are tiles that overlap by {} x {} pixels (y x x)",
                y.unwrap_or(0.0),
                x.unwrap_or(0.0)
            ));
        }
    }

    fn images(&self, contents: &mut Contents) -> Result<(), ImageError> {
        let channels = self.channels();
        let times = distinct(self.all(), TIME);
        let varying = self.varying();
        let (mut planes, mut sizes) = (0, Vec::new());
        let most = MOST_PLANES.min(MOST_EMPTY * self.all().count() + MOST_MISSING);
        for (place, found) in &self.places {
            let slices = distinct(found.iter(), Z);
            let mut image = Contained {
                channels: channels.iter().map(|(_, said)| said.clone()).collect(),
                planes: slices.len(),
                times: times.len(),
                size: size_of_most(found),
                z_step_um: self.z_step_um(&slices),
                ..Contained::default()
            };
            image.check(self.index)?;
            planes += image.channels.len() * image.planes * image.times;
            if planes > most {
                return Err(self.too_sparse(most));
            }
            self.describe(&mut image, place, &varying, found);
            let of_another_size = fill(&mut image, found, &channels, &slices, &times);
            sizes.extend(vec![image.name.clone(); of_another_size]);
            contents.images.push(image);
        }
        if !sizes.is_empty() {
            let count = sizes.len();
            sizes.dedup();
            contents.problems.push(format!(
                "{count} images have another size than the others of their place, and are left \
                 out: {}",
                list_names(&sizes)
            ));
        }
        Ok(())
    }

    fn too_sparse(&self, most: usize) -> ImageError {
        ImageError::TooLarge {
            path: self.index.to_path_buf(),
            what: format!(
                "its {} images are of more than {most} places, channels, planes and times, which \
                 are nearly all empty",
                self.all().count()
            ),
            cap: format!("{MOST_EMPTY} for each image"),
            way_out: "save it in several data sets",
        }
    }

    /// The channels of all places in the order in which they come, numbers by their size.
    fn channels(&self) -> Vec<(Option<At>, ChannelSaid)> {
        let mut firsts: Vec<(Option<At>, &Plane)> = Vec::new();
        let mut known: BTreeSet<Option<&At>> = BTreeSet::new();
        let mut all: Vec<&Plane> = self.all().collect();
        all.sort_by_key(|plane| (&plane.entry.file, plane.entry.pixels));
        for plane in all {
            let at = plane.entry.axes.get(CHANNEL);
            if known.insert(at) {
                firsts.push((at.cloned(), plane));
            }
        }
        if firsts
            .iter()
            .all(|(at, _)| matches!(at, Some(At::Number(_))))
        {
            firsts.sort_by(|a, b| a.0.cmp(&b.0));
        }
        let said = firsts.into_iter().map(|(at, first)| {
            let name = match &at {
                Some(At::Name(name)) => name.clone(),
                Some(At::Number(number)) => self
                    .named(first)
                    .or_else(|| self.summary_name(*number))
                    .unwrap_or_default(),
                None => self.named(first).unwrap_or_default(),
            };
            let transmitted = None;
            (at, ChannelSaid { name, transmitted })
        });
        said.collect()
    }

    /// The name of a channel in the metadata of one of its images; `Default` is none.
    fn named(&self, plane: &Plane) -> Option<String> {
        let said = self.metadata(plane);
        let name = said.get("Channel").and_then(Value::as_str)?.trim();
        (!name.is_empty() && name != "Default").then(|| name.to_string())
    }

    /// The name of channel `number` in the summary.
    fn summary_name(&self, number: i64) -> Option<String> {
        let names = self.summary.get("ChNames")?.as_array()?;
        let name = names.get(usize::try_from(number).ok()?)?.as_str()?;
        Some(name.to_string())
    }

    fn metadata(&self, plane: &Plane) -> Map<String, Value> {
        let stack = self.stacks.get(&plane.entry.file);
        let said = plane.entry.metadata.zip(stack);
        let said = said.and_then(|((start, bytes), stack)| stack.json(start, bytes));
        said.unwrap_or_default()
    }

    /// The axes besides channels, planes and times along which there are several values.
    fn varying(&self) -> BTreeSet<&str> {
        let mut values: BTreeMap<&str, BTreeSet<&At>> = BTreeMap::new();
        for (axis, at) in self.places.keys().flatten() {
            values.entry(axis).or_default().insert(at);
        }
        // An axis that some places lack tells them apart, too.
        let everywhere = |axis: &str| {
            let mut places = self.places.keys();
            places.all(|place| place.iter().any(|(name, _)| name == axis))
        };
        let several = values.into_iter();
        let several = several.filter(|(axis, at)| at.len() > 1 || !everywhere(axis));
        several.map(|(axis, _)| axis).collect()
    }

    /// Names a place, and adds what its first image says.
    fn describe(
        &self,
        image: &mut Contained,
        place: &Place,
        varying: &BTreeSet<&str>,
        found: &[Plane],
    ) {
        let said = found.first().map(|plane| self.metadata(plane));
        let said = said.unwrap_or_default();
        let label = said.get("PositionName").and_then(Value::as_str);
        let label = label.filter(|label| !label.is_empty() && *label != "Default");
        let mut parts = Vec::new();
        for (axis, at) in place {
            if axis == POSITION && matches!(at, At::Name(_)) {
                parts.push(at.to_string());
            } else if let (POSITION, Some(label)) = (axis.as_str(), label) {
                parts.push(label.to_string());
            } else if varying.contains(axis.as_str()) {
                parts.push(format!("{axis} {at}"));
            }
        }
        image.name = parts.join(" ");
        let named = place.iter().find(|(axis, _)| axis == POSITION);
        let named = named.map(|(_, at)| at.to_string());
        if let Some((well, site)) = named
            .iter()
            .map(String::as_str)
            .chain(label)
            .find_map(well_of)
        {
            (image.well, image.site) = (Some(well), Some(site));
        }
        let um = value(&said, &["PixelSizeUm"]).filter(|um| *um > 0.0);
        let um = um.or_else(|| value(&self.summary, &["PixelSize_um"]));
        image.pixel_um = um.filter(|um| *um > 0.0);
        let x = value(&said, &["XPositionUm", "XPosition_um_Intended"]);
        let y = value(&said, &["YPositionUm", "YPosition_um_Intended"]);
        image.centre_um = x.zip(y).map(|(x, y)| [x, y]);
        let interval = value(&self.summary, &["Interval_ms"]).filter(|ms| *ms > 0.0);
        image.time_step_s = interval.filter(|_| image.times > 1).map(|ms| ms / 1000.0);
    }

    /// From a plane to the next where all are as far apart.
    fn z_step_um(&self, slices: &[Option<&At>]) -> Option<f64> {
        let step = value(&self.summary, &["z-step_um"]).filter(|um| *um != 0.0)?;
        let numbers = slices.iter().map(|at| match at {
            Some(At::Number(number)) => Some(*number),
            _ => None,
        });
        let numbers: Vec<i64> = numbers.collect::<Option<_>>()?;
        let mut apart = numbers.windows(2).map(|pair| pair[1].checked_sub(pair[0]));
        let first = apart.next()??;
        let is_even = apart.all(|other| other == Some(first));
        is_even.then(|| step.abs() * first as f64)
    }
}

/// Puts the planes of a place where they belong; how many are left out for their size.
fn fill(
    image: &mut Contained,
    found: &[Plane],
    channels: &[(Option<At>, ChannelSaid)],
    slices: &[Option<&At>],
    times: &[Option<&At>],
) -> usize {
    let mut of_another_size = 0;
    image.places = vec![None; channels.len() * slices.len() * times.len()];
    for plane in found {
        if plane.entry.size != image.size {
            of_another_size += 1;
            continue;
        }
        let axes = &plane.entry.axes;
        let of_channel = |(at, _): &(Option<At>, _)| at.as_ref() == axes.get(CHANNEL);
        let c = channels.iter().position(of_channel);
        let z = slices.binary_search(&axes.get(Z));
        let t = times.binary_search(&axes.get(TIME));
        if let (Some(c), Ok(z), Ok(t)) = (c, z, t) {
            let at = c + channels.len() * (z + slices.len() * t);
            image.places[at] = plane.source.clone().map(PlaneRef::new);
        }
    }
    of_another_size
}

/// The values along an axis in order, of which one may be to have none.
fn distinct<'a>(planes: impl Iterator<Item = &'a Plane>, axis: &str) -> Vec<Option<&'a At>> {
    let values: BTreeSet<Option<&At>> = planes.map(|one| one.entry.axes.get(axis)).collect();
    values.into_iter().collect()
}

/// The first number under one of these keys.
fn value(said: &Map<String, Value>, keys: &[&str]) -> Option<f64> {
    let mut found = keys.iter().filter_map(|key| said.get(*key)?.as_f64());
    found.find(|number| number.is_finite())
}

/// The size that most images of a place have; of equally frequent ones, the first.
fn size_of_most(planes: &[Plane]) -> (usize, usize) {
    let mut counts: Vec<((usize, usize), usize)> = Vec::new();
    for plane in planes {
        match counts
            .iter_mut()
            .find(|(size, _)| *size == plane.entry.size)
        {
            Some((_, count)) => *count += 1,
            None => counts.push((plane.entry.size, 1)),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max();
    let mut first = counts.iter().filter(|(_, count)| Some(*count) == most);
    first.next().map_or((0, 0), |(size, _)| *size)
}

/// Positions as the plate generator of Micro-Manager names them, with sites from 0.
static OF_A_PLATE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^([A-P])(\d{1,2})-Site_(\d{1,4})$").expect("a valid pattern"));

fn well_of(position: &str) -> Option<(String, u32)> {
    let found = OF_A_PLATE.captures(position)?;
    let site: u32 = found[3].parse().ok()?;
    Some((printed_well(&found[1], &found[2])?, site + 1))
}
