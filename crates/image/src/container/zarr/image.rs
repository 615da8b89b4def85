//! Images of a store: what `multiscales` and `omero` say of a group's largest level.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::array::Array;
use super::axes::{Axis, Role, Transform, axes_of};
use super::node::{MARKERS, Node, Refusal, broken, inside};
use super::plane::{Level, LevelPlane};
use crate::container::{ChannelSaid, Contained, MOST_PLANES};
use crate::format::NO_SIZE_TAKEN;
use crate::format::description;
use crate::names::file_name;
use crate::{ImageError, PlaneRef};

/// What a group says of images: since 0.5 below the key `ome`, before that beside it.
pub(super) fn ome(attributes: &Map<String, Value>) -> &Map<String, Value> {
    let ome = attributes.get("ome").and_then(Value::as_object);
    ome.unwrap_or(attributes)
}

/// Refuses versions that are not known. Where none is stated, what it says must be enough.
pub(super) fn check_version(ome: &Map<String, Value>) -> Result<(), Refusal> {
    let of = |key: &str| match ome.get(key) {
        Some(Value::Array(all)) => all.first().map(|first| &first["version"]),
        Some(said) => Some(&said["version"]),
        None => None,
    };
    let stated = [
        ome.get("version"),
        of("multiscales"),
        of("plate"),
        of("well"),
    ];
    let Some(version) = stated.into_iter().flatten().find(|said| !said.is_null()) else {
        return Ok(());
    };
    let version = match version {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let minor = version.strip_prefix("0.").unwrap_or_default();
    let digits = minor.split(|c: char| !c.is_ascii_digit()).next();
    match digits.unwrap_or_default().parse() {
        Ok(1..=5_u32) => Ok(()),
        _ => Err(newer(format!("its version is `{version}`"))),
    }
}

fn newer(what: String) -> Refusal {
    Refusal::NotSupported {
        what: format!("{what}, and OME-Zarr 0.1 to 0.5 is read"),
        way_out: "write it again as OME-Zarr 0.5",
    }
}

/// Where images lie: the store, without links in its path, and a group of it.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    pub(super) root: &'a Path,
    pub(super) folder: &'a Path,
    pub(super) ome: &'a Map<String, Value>,
}

/// Images, and what is odd about them.
#[derive(Default)]
pub(super) struct Listed {
    pub(super) images: Vec<Contained>,
    pub(super) problems: Vec<String>,
}

/// The images of a group: one, or one for each of its multiscales.
pub(super) fn images(group: Group<'_>) -> Result<Listed, Refusal> {
    check_version(group.ome)?;
    if group.ome.contains_key("image-label") {
        return Err(Refusal::NotSupported {
            what: "it holds labels (`image-label`) and no image".into(),
            way_out: "name the group of the image that they belong to",
        });
    }
    let no_scales = Vec::new();
    let scales = group.ome.get("multiscales").and_then(Value::as_array);
    let scales = scales.unwrap_or(&no_scales);
    let mut listed = Listed::default();
    let mut refused = None;
    for multiscale in scales {
        match image(group, multiscale, &mut listed.problems) {
            Ok(mut image) => {
                if scales.len() > 1 {
                    image.name = multiscale["name"].as_str().unwrap_or_default().to_string();
                }
                listed.images.push(image);
            }
            Err(refusal) if scales.len() == 1 => return Err(refusal),
            Err(refusal) => refused = Some(refusal),
        }
    }
    match refused {
        None if listed.images.is_empty() => broken("its `multiscales` is empty"),
        Some(refusal) if listed.images.is_empty() => Err(refusal),
        Some(refusal) => {
            let what = refusal.what();
            listed
                .problems
                .push(format!("one of its multiscales is left out, since {what}"));
            Ok(listed)
        }
        None => Ok(listed),
    }
}

/// The largest level of one of a group's multiscales.
fn image(
    group: Group<'_>,
    multiscale: &Value,
    problems: &mut Vec<String>,
) -> Result<Contained, Refusal> {
    if multiscale.get("coordinateSystems").is_some() {
        return Err(newer("it has `coordinateSystems`".into()));
    }
    let Some(path) = multiscale["datasets"][0]["path"].as_str() else {
        return broken("its multiscales name no array");
    };
    let folder = inside(group.root, group.folder, path)?;
    let array = match Node::read(&folder)? {
        Some(Node::Array(format, keys, file)) => Array::of(&folder, format, &keys, file)?,
        Some(Node::Group(..)) => return broken(format!("its `{path}` is a group and no array")),
        None => return broken(format!("its array `{path}` has no metadata")),
    };
    let axes = axes_of(multiscale, array.shape.len())?;
    let level = level(array, &axes)?;
    let mut image = Contained {
        size: level.size(),
        planes: level.series[1].1,
        times: level.series[2].1,
        ..Contained::default()
    };
    check_size(&level, group.folder)?;
    image.channels = channels(group.ome, level.series[0].1, problems);
    image.check(group.folder).map_err(Refusal::Error)?;
    add_lengths(&mut image, multiscale, &axes, &level, problems);
    let missing = missing(&level, problems);
    let count = level.count().unwrap_or_default();
    let level = Arc::new(level);
    let plane = |part| {
        let level = level.clone();
        let is_there = missing.binary_search(&part).is_err();
        is_there.then(|| PlaneRef::new(LevelPlane { level, part }))
    };
    image.places = (0..count).map(plane).collect();
    Ok(image)
}

/// The caps, before a list is made of anything: those of [`Contained::check`].
fn check_size(level: &Level, folder: &Path) -> Result<(), Refusal> {
    match level.count() {
        Some(count) if count <= MOST_PLANES => Ok(()),
        _ => Err(Refusal::Error(ImageError::TooLarge {
            path: folder.to_path_buf(),
            what: format!("its shape is {:?}", level.array.shape),
            cap: format!("{MOST_PLANES} planes"),
            way_out: "export it in parts",
        })),
    }
}

/// Which axis is which. An axis that is none of the five must have a size of 1.
fn level(array: Array, axes: &[Axis]) -> Result<Level, Refusal> {
    let find = |role: Role| axes.iter().position(|axis| axis.role == role);
    let (Some(y), Some(x)) = (find(Role::Y), find(Role::X)) else {
        return broken("its axes have no y and x");
    };
    let unknown = |axis: &&Axis| matches!(axis.role, Role::Other | Role::Space);
    for (axis, &size) in axes.iter().zip(&array.shape) {
        if unknown(&axis) && size != 1 {
            return Err(Refusal::NotSupported {
                what: format!(
                    "its axis `{}` of {size} is none of time, channel, z, y and x",
                    axis.name
                ),
                way_out: "write each of its images by itself",
            });
        }
    }
    let along = |role| {
        let axis = find(role);
        (axis, axis.map_or(1, |axis| array.shape[axis]))
    };
    let series = [Role::Channel, Role::Z, Role::Time].map(along);
    Ok(Level {
        array,
        y,
        x,
        series,
    })
}

/// Names of `count` channels from `omero`.
fn channels(
    ome: &Map<String, Value>,
    count: usize,
    problems: &mut Vec<String>,
) -> Vec<ChannelSaid> {
    let said = ome
        .get("omero")
        .and_then(|omero| omero["channels"].as_array());
    let no_channels = Vec::new();
    let all = said.unwrap_or(&no_channels);
    if said.is_some() && all.len() != count {
        problems.push(format!(
            "it describes {} channels and has {count}",
            all.len()
        ));
    }
    let name = |c: usize| {
        let channel = all.get(c)?;
        // Some writers know the light and not the stain.
        let names = [&channel["label"], &channel["wavelength_id"]];
        let mut named = names.into_iter().filter_map(Value::as_str);
        named.find(|name| !name.trim().is_empty())
    };
    let channel = |c| ChannelSaid {
        name: name(c).unwrap_or_default().to_string(),
        transmitted: None,
    };
    (0..count).map(channel).collect()
}

/// Adds the pixel size, the steps along z and time, and the place, where their units are stated.
fn add_lengths(
    image: &mut Contained,
    multiscale: &Value,
    axes: &[Axis],
    level: &Level,
    problems: &mut Vec<String>,
) {
    let inner = &multiscale["datasets"][0]["coordinateTransformations"];
    let steps = Transform::identity(axes.len()).then(inner);
    let outer = &multiscale["coordinateTransformations"];
    let Transform { scale, place } = match steps.and_then(|steps| steps.then(outer)) {
        Ok(transform) => transform,
        Err(what) => {
            problems.push(format!("{what}, {NO_SIZE_TAKEN}"));
            return;
        }
    };
    // A scale of 1 that nobody stated is no size.
    if inner.is_null() && outer.is_null() {
        return;
    }
    let (y, x) = (level.y, level.x);
    match description::both(axes[x].length(scale[x]), axes[y].length(scale[y])) {
        Ok(size) => image.pixel_um = size,
        Err(problem) => problems.push(problem),
    }
    let [_, (z, planes), (time, times)] = level.series;
    if let Some(z) = z.filter(|_| planes > 1) {
        image.z_step_um = axes[z].um(scale[z]).filter(|um| *um > 0.0);
    }
    if let Some(time) = time.filter(|_| times > 1) {
        image.time_step_s = axes[time].seconds(scale[time]);
    }
    if let Some(place) = place {
        let middle = |axis: usize| {
            let last = level.array.shape[axis] as f64 - 1.0;
            axes[axis].um(place[axis] + scale[axis] * last / 2.0)
        };
        image.centre_um = middle(x).zip(middle(y)).map(|(x, y)| [x, y]);
    }
}

/// Planes of one image that are looked for one by one.
const MOST_LOOKED_FOR: usize = 1 << 12;

/// The planes without any chunk, as far as it shows without looking at each: where no file is in
/// the folder that has the plane's. Where there is no file at all nothing is missing: so look
/// images of nothing but the fill value, and stores of which only the metadata were kept.
fn missing(level: &Level, problems: &mut Vec<String>) -> Vec<usize> {
    let array = &level.array;
    let is_chunk = |path: &Path| !MARKERS.contains(&file_name(path).as_str());
    let entries = std::fs::read_dir(&array.folder).into_iter().flatten();
    if !entries.flatten().any(|entry| is_chunk(&entry.path())) {
        problems.push(format!(
            "none of its chunks is there, so that all pixels are read as the fill value `{}`",
            array.fill_said
        ));
        return Vec::new();
    }
    let leading = level.y.min(level.x);
    let looked_for = |count: &usize| (2..=MOST_LOOKED_FOR).contains(count);
    let count = level.count().filter(looked_for).unwrap_or(0);
    let is_missing = |part: &usize| {
        let at = level.slice(*part).at;
        let place = at.iter().zip(&array.in_file).take(leading);
        let place: Vec<usize> = place.map(|(at, size)| at / size).collect();
        array
            .folder_of(&place)
            .is_some_and(|folder| !folder.exists())
    };
    let missing: Vec<usize> = (0..count).filter(is_missing).collect();
    let [(_, channels), (_, planes), _] = level.series;
    if let Some(first) = missing.first() {
        problems.push(format!(
            "{} of its {count} planes have no chunks and are missing (the first: channel {}, plane \
             {}, time {})",
            missing.len(),
            first % channels + 1,
            first / channels % planes + 1,
            first / channels / planes + 1
        ));
    }
    missing
}
