//! What the marker of a folder of converted images says of each: what it was made from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use stainfree_image::marker::{self, Kind, Marker};

use crate::ProjectError;

/// What the marker calls the keys of files and stores.
const KEYS: &str = "results";
/// What it calls those of which images could not be made.
const LACKING: &str = "incomplete";

/// The record of a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    keys: BTreeMap<String, String>,
    lacking: BTreeSet<String>,
}

impl Record {
    /// That of `out`; an empty one where there is none.
    pub(super) fn read(out: &Path) -> Self {
        let more = marker::read(out)
            .map(|marker| marker.more)
            .unwrap_or_default();
        let part = |name: &str| more.get(name).cloned().unwrap_or_default();
        Self {
            keys: serde_json::from_value(part(KEYS)).unwrap_or_default(),
            lacking: serde_json::from_value(part(LACKING)).unwrap_or_default(),
        }
    }

    /// What the file or store of this name was made from.
    pub(super) fn key(&self, name: &str) -> Option<&String> {
        self.keys.get(name)
    }

    /// Whether images of it could not be made.
    pub(super) fn lacks(&self, name: &str) -> bool {
        self.lacking.contains(name)
    }

    pub(super) fn put(&mut self, name: &str, key: &str) {
        self.keys.insert(name.to_owned(), key.to_owned());
        self.lacking.remove(name);
    }

    /// Of what was put there.
    pub(super) fn put_lacking(&mut self, name: &str) {
        self.lacking.insert(name.to_owned());
    }

    /// This one with what another says of its names.
    pub(super) fn joined(mut self, other: Self) -> Self {
        self.lacking.retain(|name| !other.keys.contains_key(name));
        self.lacking.extend(other.lacking);
        self.keys.extend(other.keys);
        self
    }

    /// Puts it into the marker, with whatever else that says.
    ///
    /// # Errors
    /// The marker cannot be written.
    pub(super) fn write(&self, out: &Path) -> Result<(), ProjectError> {
        let mut marker = Marker::new("convert", Kind::Conversion);
        marker.more = marker::read(out)
            .map(|found| found.more)
            .unwrap_or_default();
        // Names and digits: turning them into JSON cannot fail.
        let put = |value| serde_json::to_value(value).unwrap_or_default();
        marker.more.insert(KEYS.to_owned(), put(&self.keys));
        let lacking = serde_json::to_value(&self.lacking).unwrap_or_default();
        marker.more.insert(LACKING.to_owned(), lacking);
        Ok(marker::write(out, &marker)?)
    }
}

/// What a group of a store says that it was made from.
pub(super) fn key_of_group(folder: &Path) -> Option<String> {
    let text = std::fs::read(folder.join("zarr.json")).ok()?;
    let said: Value = serde_json::from_slice(&text).ok()?;
    Some(said["attributes"][super::OURS]["key"].as_str()?.to_owned())
}
