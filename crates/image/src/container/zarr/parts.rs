//! Images that lie in groups of a group, and what is said of those that cannot be used.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value};

use super::image::{Group, Listed, images, ome};
use super::node::{Node, Refusal, broken, inside};
use crate::ImageError;
use crate::container::{Contained, Contents, MOST_PLANES};
use crate::names::list_names;

/// A part of a store that was listed, with what is refused in it.
#[derive(Default)]
pub(super) struct Part {
    pub(super) images: Vec<Contained>,
    /// Paths within the part, and sentences.
    pub(super) problems: Vec<(String, String)>,
    /// The first refusal.
    pub(super) refused: Option<Refusal>,
}

impl Part {
    /// Adds the image at `path`; `name` is called what the images are.
    pub(super) fn add(&mut self, path: &str, name: &str, found: Result<Listed, Refusal>) {
        match found {
            Ok(Listed { images, problems }) => {
                let problems = problems.into_iter().map(|what| (path.to_string(), what));
                self.problems.extend(problems);
                self.images
                    .extend(images.into_iter().map(|image| Contained {
                        name: [name, &image.name].join(" ").trim().to_string(),
                        ..image
                    }));
            }
            Err(refusal) => self.refuse(path, refusal),
        }
    }

    /// Leaves out what lies at `path`.
    pub(super) fn refuse(&mut self, path: &str, refusal: Refusal) {
        let said = format!("left out, since {}", refusal.what());
        self.problems.push((path.to_string(), said));
        if self.refused.is_none() {
            self.refused = Some(refusal.within(path));
        }
    }
}

/// All parts together. What is odd in the same way in many of them is told once.
pub(super) fn gathered(
    plate: Option<String>,
    parts: Vec<(String, Part)>,
) -> Result<Contents, Refusal> {
    let mut contents = Contents {
        plate,
        ..Contents::default()
    };
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut refused = None;
    for (path, part) in parts {
        contents.images.extend(part.images);
        for (within, what) in part.problems {
            let names = told.entry(what).or_default();
            let whole = [path.as_str(), within.as_str()].join("/");
            names.push(whole.trim_matches('/').to_string());
        }
        refused = refused.or(part.refused.map(|refusal| refusal.within(&path)));
    }
    if contents.images.is_empty() {
        return Err(refused.unwrap_or(Refusal::Broken("it names no image".into())));
    }
    let told = told.into_iter().map(|(what, mut names)| {
        names.retain(|name| !name.is_empty());
        match names.is_empty() {
            true => what,
            false => format!("{}: {what}", list_names(&names)),
        }
    });
    contents.problems.extend(told);
    Ok(contents)
}

/// The group at `path` within another, and what it says.
pub(super) fn group_at(
    group: Group<'_>,
    path: &str,
) -> Result<(PathBuf, Map<String, Value>), Refusal> {
    let folder = inside(group.root, group.folder, path)?;
    match Node::read(&folder)? {
        Some(Node::Group(attributes)) => Ok((folder, attributes)),
        Some(Node::Array(..)) => broken("it is an array and no group"),
        None => broken("it has no metadata"),
    }
}

/// The images of the group at `path` within another.
pub(super) fn images_at(
    group: Group<'_>,
    path: &str,
    planes: &AtomicUsize,
) -> Result<Listed, Refusal> {
    let (folder, attributes) = group_at(group, path)?;
    let ome = ome(&attributes);
    if !ome.contains_key("multiscales") {
        return broken("it has no `multiscales`");
    }
    let found = images(Group {
        root: group.root,
        folder: &folder,
        ome,
    })?;
    let count = found.images.iter().map(|image| image.places.len()).sum();
    if planes.fetch_add(count, Ordering::Relaxed) + count > MOST_PLANES {
        return Err(Refusal::Error(ImageError::TooLarge {
            path: group.root.to_path_buf(),
            what: "it has too many planes".into(),
            cap: format!("{MOST_PLANES} planes"),
            way_out: "export it in parts",
        }));
    }
    Ok(found)
}
