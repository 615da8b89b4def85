//! What a store is: an image, a plate with wells, one well, or a series of images.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::thread;

use serde_json::Value;

use super::image::{Group, Listed, check_version, images, ome};
use super::node::{MARKERS, Node, Refusal, broken};
use super::parts::{Part, gathered, group_at, images_at};
use super::series;
use crate::ImageError;
use crate::container::Contents;
use crate::names::{file_name, list_names, natural_order, printed_well};

/// Lists the store `path`.
pub(super) fn list(path: &Path) -> Result<Contents, ImageError> {
    let root = path
        .canonicalize()
        .map_err(|error| ImageError::read(path, error))?;
    of_root(&root, path).map_err(|refusal| refusal.at(path))
}

fn of_root(root: &Path, path: &Path) -> Result<Contents, Refusal> {
    let attributes = match Node::read(path)? {
        Some(Node::Group(attributes)) => attributes,
        Some(Node::Array(..)) => {
            return Err(Refusal::NotSupported {
                what: "it is a zarr array without OME-Zarr's metadata".into(),
                way_out: "name the group of the image that it belongs to, or save it as TIFF",
            });
        }
        None => return broken("it is a zarr store without metadata"),
    };
    let group = Group {
        root,
        folder: path,
        ome: ome(&attributes),
    };
    check_version(group.ome)?;
    if let Some(plate) = group.ome.get("plate") {
        return of_plate(group, plate);
    }
    if group.ome.contains_key("well") {
        let well = well(group, &AtomicUsize::new(0))?;
        return gathered(None, vec![(String::new(), well)]);
    }
    if group.ome.contains_key("multiscales") {
        let Listed { images, problems } = images(group)?;
        return Ok(Contents {
            plate: None,
            images,
            problems,
        });
    }
    if group.ome.contains_key("bioformats2raw.layout") {
        let found = series::of(group)?;
        return gathered(None, vec![(String::new(), found)]);
    }
    Err(without_images(group))
}

/// The refusal of a group that says nothing of images.
fn without_images(group: Group<'_>) -> Refusal {
    if group.ome.contains_key("labels") {
        return Refusal::NotSupported {
            what: "it lists labels and no image".into(),
            way_out: "name the group of the image that they belong to",
        };
    }
    let is_node = |path: &Path| MARKERS.iter().any(|name| path.join(name).is_file());
    let entries = std::fs::read_dir(group.folder)
        .into_iter()
        .flatten()
        .flatten();
    let inside = entries
        .map(|entry| entry.path())
        .filter(|path| is_node(path));
    let mut inside: Vec<String> = inside.map(|path| file_name(&path)).collect();
    inside.sort_by(|a, b| natural_order(a, b));
    let holds = match inside.is_empty() {
        true => String::new(),
        false => format!(" (in it: {})", list_names(&inside)),
    };
    Refusal::NotSupported {
        what: format!("it is a zarr group without OME-Zarr's metadata{holds}"),
        way_out: "name the group of an image, a well or a plate",
    }
}

/// The images of a well. Those of several acquisitions are no time series: each is a field, at
/// the same sites.
fn well(group: Group<'_>, planes: &AtomicUsize) -> Result<Part, Refusal> {
    check_version(group.ome)?;
    let listed = group
        .ome
        .get("well")
        .and_then(|well| well["images"].as_array());
    let Some(listed) = listed else {
        return broken("it is no well with a list of images");
    };
    let acquisition = |image: &Value| image["acquisition"].as_u64();
    let acquisitions: HashSet<Option<u64>> = listed.iter().map(acquisition).collect();
    let mut part = Part::default();
    if acquisitions.len() > 1 {
        let what = "the images of several acquisitions are fields of their own";
        part.problems.push((String::new(), what.into()));
    }
    let mut seen = HashSet::new();
    let mut sites: HashMap<Option<u64>, u32> = HashMap::new();
    for image in listed {
        let of = acquisition(image);
        let site = sites.entry(of).or_default();
        *site += 1;
        let Some(path) = image["path"].as_str() else {
            part.refuse("", Refusal::Broken("one of its images has no path".into()));
            continue;
        };
        if !seen.insert(path) {
            part.problems.push((path.to_string(), "named twice".into()));
            continue;
        }
        let name = match of {
            Some(of) if acquisitions.len() > 1 => format!("acquisition {of} image {path}"),
            _ => path.to_string(),
        };
        let mut found = images_at(group, path, planes);
        // By its place in the list, so that one that cannot be used does not renumber the others.
        if let Ok(Listed { images, .. }) = &mut found
            && let [image] = &mut images[..]
        {
            image.site = Some(*site);
        }
        for image in found.iter_mut().flat_map(|found| &mut found.images) {
            image.acquisition = of.map(|of| format!("acquisition{of}"));
        }
        part.add(path, &name, found);
    }
    match (part.images.is_empty(), part.refused.is_none()) {
        (true, true) => broken("it has no image"),
        _ => Ok(part),
    }
}

/// The wells of a plate, by their paths.
fn of_plate(group: Group<'_>, plate: &Value) -> Result<Contents, Refusal> {
    let Some(wells) = plate["wells"].as_array() else {
        return broken("its plate has no list of wells");
    };
    let mut seen = HashSet::new();
    let paths = wells.iter().filter_map(|well| well["path"].as_str());
    let paths: Vec<&str> = paths.filter(|path| seen.insert(*path)).collect();
    let planes = AtomicUsize::new(0);
    let listed = in_parallel(&paths, |path| of_well(group, path, &planes));
    let name = plate["name"]
        .as_str()
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let parts = paths.iter().map(ToString::to_string).zip(listed).collect();
    let mut contents = gathered(name.map(str::to_string), parts)?;
    if paths.len() < wells.len() {
        let count = wells.len() - paths.len();
        contents
            .problems
            .push(format!("{count} of its wells have no path of their own"));
    }
    contents.problems.extend(swapped(plate, wells));
    let odd: Vec<&str> = paths
        .iter()
        .copied()
        .filter(|path| usual(path).is_none())
        .collect();
    if !odd.is_empty() {
        contents.problems.push(format!(
            "wells are not called by letter and number, so that their paths are taken: {}",
            list_names(&odd)
        ));
    }
    Ok(contents)
}

fn of_well(group: Group<'_>, path: &str, planes: &AtomicUsize) -> Part {
    let found = group_at(group, path).and_then(|(folder, attributes)| {
        let inside = Group {
            root: group.root,
            folder: &folder,
            ome: ome(&attributes),
        };
        well(inside, planes)
    });
    let mut part = found.unwrap_or_else(|refusal| {
        let mut part = Part::default();
        part.refuse("", refusal);
        part
    });
    let name = usual(path).unwrap_or_else(|| {
        let kept = |c: char| {
            if c.is_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        };
        path.chars().map(kept).collect()
    });
    for image in &mut part.images {
        image.well = Some(name.clone());
    }
    part
}

/// `B/3` and `B/03` as printed on the plate (`B03`).
fn usual(path: &str) -> Option<String> {
    let (row, column) = path.trim_end_matches('/').split_once('/')?;
    printed_well(row, column)
}

/// What is said of wells whose indices name another row or column than their path.
fn swapped(plate: &Value, wells: &[Value]) -> Option<String> {
    let name = |list: &Value, index: &Value| -> Option<String> {
        let index = usize::try_from(index.as_u64()?).ok()?;
        Some(list.get(index)?["name"].as_str()?.to_string())
    };
    let differs = |well: &&Value| {
        let row = name(&plate["rows"], &well["rowIndex"]);
        let column = name(&plate["columns"], &well["columnIndex"]);
        row.zip(column)
            .is_some_and(|(row, column)| well["path"] != format!("{row}/{column}"))
    };
    let all: Vec<&str> = wells
        .iter()
        .filter(differs)
        .filter_map(|well| well["path"].as_str())
        .collect();
    (!all.is_empty()).then(|| {
        format!(
            "the `rowIndex` and `columnIndex` of wells do not fit their paths, which are taken: {}",
            list_names(&all)
        )
    })
}

/// Most threads that read metadata, which wait for the disk or the network most of the time.
const MOST_THREADS: usize = 16;

/// Each of the items through `each`, in their order.
fn in_parallel<T: Sync, R: Send>(items: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let piece = items.len().div_ceil(MOST_THREADS).max(8);
    thread::scope(|scope| {
        let pieces: Vec<_> = items
            .chunks(piece)
            .map(|piece| scope.spawn(|| piece.iter().map(&each).collect::<Vec<_>>()))
            .collect();
        let joined = pieces.into_iter().map(|piece| piece.join());
        joined
            .flat_map(|found| found.expect("no thread panics"))
            .collect()
    })
}
