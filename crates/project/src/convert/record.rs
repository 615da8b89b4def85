//! What the marker of a folder of converted images says of each: what it was made from.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use stainfree_image::marker::{self, Kind, Marker};

use crate::ProjectError;

/// What the marker calls the keys of files and stores.
const KEYS: &str = "results";

/// The record of a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    keys: BTreeMap<String, String>,
}

impl Record {
    /// That of `out`; an empty one where there is none.
    pub(super) fn read(out: &Path) -> Self {
        let more = marker::read(out)
            .map(|marker| marker.more)
            .unwrap_or_default();
        let keys = more.get(KEYS).cloned().unwrap_or_default();
        Self {
            keys: serde_json::from_value(keys).unwrap_or_default(),
        }
    }

    /// What the file or store of this name was made from.
    pub(super) fn key(&self, name: &str) -> Option<&String> {
        self.keys.get(name)
    }

    pub(super) fn put(&mut self, name: &str, key: &str) {
        self.keys.insert(name.to_owned(), key.to_owned());
    }

    /// This one with what another says of its names.
    pub(super) fn joined(mut self, other: Self) -> Self {
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
        let keys = serde_json::to_value(&self.keys).unwrap_or_default();
        marker.more.insert(KEYS.to_owned(), keys);
        Ok(marker::write(out, &marker)?)
    }
}

/// What a group of a store says that it was made from.
pub(super) fn key_of_group(folder: &Path) -> Option<String> {
    let text = std::fs::read(folder.join("zarr.json")).ok()?;
    let said: Value = serde_json::from_slice(&text).ok()?;
    Some(said["attributes"][super::OURS]["key"].as_str()?.to_owned())
}
