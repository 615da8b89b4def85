//! Series of images, as bioformats2raw and NGFF-Converter write a file of several: groups `0`, `1`,
//! .. beside `OME`, which lists them and has the file's own metadata.

use std::path::Path;
use std::sync::atomic::AtomicUsize;

use quick_xml::events::Event;
use serde_json::Value;

use super::image::{Group, ome};
use super::node::{Node, Refusal, broken};
use super::parts::{Part, images_at};

/// Most series of a store.
const MOST_SERIES: usize = 1 << 16;

/// Most bytes of the metadata in which names of images are looked for.
const MOST_XML: u64 = 64 << 20;

/// The images of a store with `bioformats2raw.layout`.
pub(super) fn of(group: Group<'_>) -> Result<Part, Refusal> {
    let layout = group
        .ome
        .get("bioformats2raw.layout")
        .unwrap_or(&Value::Null);
    if layout.as_u64() != Some(3) {
        return Err(Refusal::NotSupported {
            what: format!("its `bioformats2raw.layout` is `{layout}`, and 3 is read"),
            way_out: "convert it again with bioformats2raw 0.4 or newer",
        });
    }
    let folder = group.folder.join("OME");
    let paths = listed(&folder)?.unwrap_or_else(|| counted(group.folder));
    if paths.is_empty() {
        return broken("it has no series `0`");
    }
    let names = names(&folder.join("METADATA.ome.xml"));
    let planes = AtomicUsize::new(0);
    let mut part = Part::default();
    for (path, k) in paths.iter().zip(0..) {
        let name = names.get(k).filter(|_| names.len() == paths.len());
        let name = name.map_or(path.as_str(), String::as_str);
        part.add(path, name, images_at(group, path, &planes));
    }
    Ok(part)
}

/// The series that the group `OME` lists.
fn listed(folder: &Path) -> Result<Option<Vec<String>>, Refusal> {
    let Some(Node::Group(attributes)) = Node::read(folder)? else {
        return Ok(None);
    };
    let series = ome(&attributes).get("series").and_then(Value::as_array);
    let path = |path: &Value| path.as_str().map(str::to_string);
    Ok(series.and_then(|all| all.iter().take(MOST_SERIES).map(path).collect()))
}

/// The groups that are there, counted from 0.
fn counted(folder: &Path) -> Vec<String> {
    let numbers = (0..MOST_SERIES).map(|k| k.to_string());
    numbers
        .take_while(|name| folder.join(name).is_dir())
        .collect()
}

/// The names of the images in OME-XML; none of a file that cannot be read, or where one has none.
fn names(path: &Path) -> Vec<String> {
    let is_small = std::fs::metadata(path).is_ok_and(|facts| facts.len() <= MOST_XML);
    let text = match is_small {
        true => std::fs::read_to_string(path).unwrap_or_default(),
        false => String::new(),
    };
    let mut reader = quick_xml::Reader::from_str(&text);
    let mut names = Vec::new();
    loop {
        let (Event::Start(element) | Event::Empty(element)) = (match reader.read_event() {
            Ok(Event::Eof) => return names,
            Ok(event) => event,
            Err(_) => return Vec::new(),
        }) else {
            continue;
        };
        if element.local_name().as_ref() != "Image" {
            continue;
        }
        match crate::format::description::attribute(&element, "Name") {
            Some(name) if !name.trim().is_empty() => names.push(name),
            _ => return Vec::new(),
        }
    }
}
