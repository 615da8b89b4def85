//! What the marker of a folder of labels says of each field: what its files were made from.
//!
//! An entry vouches for the files of its field: it is taken out before they are made anew, and put
//! in when they are there. In between the marker says what they are being made from, so that an
//! interrupted run may go on and no other one takes its place unasked.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stainfree_image::marker::{self, Kind, Marker};

use crate::prediction::results::my_turn;
use crate::{Cancel, ProjectError};

/// The marker is written this often, so that a killed run makes little again.
const SAVE_EVERY: Duration = Duration::from_secs(2);
/// What the marker calls the fields whose labels are there.
const FIELDS: &str = "fields";
/// What it calls those whose labels are being made.
const BEGUN: &str = "begun";

/// The command whose folder it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Maker {
    #[default]
    Segment,
    Outlines,
}

impl Maker {
    pub(super) const fn command(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::Outlines => "outlines",
        }
    }

    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Segment => Kind::Segmentation,
            Self::Outlines => Kind::Outlines,
        }
    }
}

/// Labels of a field that are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Labelled {
    /// A hash of what they were made from.
    pub(super) key: String,
    /// How many nuclei there are.
    pub(super) nuclei: usize,
}

/// What the marker says of fields.
#[derive(Debug, Default)]
pub(super) struct Known {
    maker: Maker,
    fields: BTreeMap<String, Labelled>,
    /// Keys of what is being made, or was when its run was ended.
    begun: BTreeMap<String, String>,
}

impl Known {
    /// What the marker of `out` says; nothing where there is none.
    pub(super) fn read(maker: Maker, out: &Path) -> Self {
        let more = marker::read(out).map(|marker| marker.more);
        let more = more.unwrap_or_default();
        Self {
            maker,
            fields: part(&more, FIELDS),
            begun: part(&more, BEGUN),
        }
    }

    /// The labels of a field that are there.
    pub(super) fn labels(&self, name: &str) -> Option<&Labelled> {
        self.fields.get(name)
    }

    /// What the files of a field, whole or not, were made from; `None` where nothing is said.
    pub(super) fn key(&self, name: &str) -> Option<&str> {
        let there = self.fields.get(name).map(|labelled| &labelled.key);
        there.or(self.begun.get(name)).map(String::as_str)
    }

    /// Begins fields with the keys of what they are made from: nothing vouches for their files any
    /// more. To be called on one's turn.
    ///
    /// # Errors
    /// The marker cannot be written.
    pub(super) fn begin(
        mut self,
        out: &Path,
        fields: impl Iterator<Item = (String, String)>,
    ) -> Result<(), ProjectError> {
        for (name, key) in fields {
            self.fields.remove(&name);
            self.begun.insert(name, key);
        }
        self.write(out)
    }

    /// Puts it into the marker, with whatever else that says.
    fn write(self, out: &Path) -> Result<(), ProjectError> {
        let mut marker = Marker::new(self.maker.command(), self.maker.kind());
        marker.more = marker::read(out).map_or_else(BTreeMap::new, |found| found.more);
        // Names, digits and counts: turning them into JSON cannot fail.
        let fields = serde_json::to_value(self.fields).unwrap_or_default();
        marker.more.insert(FIELDS.to_owned(), fields);
        marker.more.remove(BEGUN);
        if !self.begun.is_empty() {
            let begun = serde_json::to_value(self.begun).unwrap_or_default();
            marker.more.insert(BEGUN.to_owned(), begun);
        }
        Ok(marker::write(out, &marker)?)
    }
}

/// A part of what a marker says; empty where it does not say it, or another version says it
/// otherwise.
fn part<T: DeserializeOwned + Default>(
    more: &BTreeMap<String, serde_json::Value>,
    name: &str,
) -> T {
    let found = more.get(name).cloned();
    found
        .and_then(|value| serde_json::from_value(value).ok())
        .unwrap_or_default()
}

/// The fields of this run that are finished, which join those of others in the marker.
pub(super) struct Finished<'a> {
    maker: Maker,
    out: &'a Path,
    unsaved: Mutex<Unsaved>,
}

/// What the marker does not say yet; of fields without labels, that there are none.
struct Unsaved {
    fields: BTreeMap<String, Option<Labelled>>,
    saved: Instant,
}

impl<'a> Finished<'a> {
    pub(super) fn new(maker: Maker, out: &'a Path) -> Self {
        let unsaved = Unsaved {
            fields: BTreeMap::new(),
            saved: Instant::now(),
        };
        Self {
            maker,
            out,
            unsaved: Mutex::new(unsaved),
        }
    }

    /// Puts in a field whose files are written, or gone.
    ///
    /// # Errors
    /// The marker cannot be written.
    pub(super) fn put(&self, name: &str, found: Option<Labelled>) -> Result<(), ProjectError> {
        let mut unsaved = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
        unsaved.fields.insert(name.to_owned(), found);
        match unsaved.saved.elapsed() >= SAVE_EVERY {
            true => unsaved.save(self.maker, self.out),
            false => Ok(()),
        }
    }

    /// Puts what is left into the marker.
    ///
    /// # Errors
    /// The marker cannot be written.
    pub(super) fn save(self) -> Result<(), ProjectError> {
        let unsaved = self.unsaved.into_inner();
        let mut unsaved = unsaved.unwrap_or_else(PoisonError::into_inner);
        match unsaved.fields.is_empty() {
            true => Ok(()),
            false => unsaved.save(self.maker, self.out),
        }
    }
}

impl Unsaved {
    /// On a turn: others may have put theirs there since.
    fn save(&mut self, maker: Maker, out: &Path) -> Result<(), ProjectError> {
        // After a stop as well: what is finished is kept.
        let _turn = my_turn(out, maker.command(), &Cancel::new())?;
        let mut known = Known::read(maker, out);
        for (name, found) in std::mem::take(&mut self.fields) {
            known.begun.remove(&name);
            match found {
                Some(labelled) => drop(known.fields.insert(name, labelled)),
                None => drop(known.fields.remove(&name)),
            }
        }
        known.write(out)?;
        self.saved = Instant::now();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(key: &str) -> Labelled {
        Labelled {
            key: key.to_owned(),
            nuclei: 3,
        }
    }

    #[test]
    fn runs_at_the_same_time_lose_none_of_each_others_fields() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let begin = |name: &str| {
            let fields = std::iter::once((name.to_owned(), "k".to_owned()));
            Known::read(Maker::Segment, out).begin(out, fields).unwrap();
        };
        let (one, other) = (
            Finished::new(Maker::Segment, out),
            Finished::new(Maker::Segment, out),
        );
        begin("a");
        begin("b");
        one.put("a", Some(labelled("k"))).unwrap();
        other.put("b", Some(labelled("k"))).unwrap();
        let known = Known::read(Maker::Segment, out);
        assert_eq!((known.labels("a"), known.key("a")), (None, Some("k")));
        other.save().unwrap();
        one.save().unwrap();
        let known = Known::read(Maker::Segment, out);
        assert_eq!(known.labels("a"), Some(&labelled("k")));
        assert_eq!(known.labels("b"), Some(&labelled("k")));
        assert!(!marker::read(out).unwrap().more.contains_key(BEGUN));
    }

    #[test]
    fn what_is_begun_is_vouched_for_by_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let first = Finished::new(Maker::Segment, out);
        first.put("a", Some(labelled("k"))).unwrap();
        first.save().unwrap();
        let fields = std::iter::once(("a".to_owned(), "other".to_owned()));
        Known::read(Maker::Segment, out).begin(out, fields).unwrap();
        let known = Known::read(Maker::Segment, out);
        assert_eq!((known.labels("a"), known.key("a")), (None, Some("other")));
        // It failed: nothing of it is there.
        let second = Finished::new(Maker::Segment, out);
        second.put("a", None).unwrap();
        second.save().unwrap();
        assert_eq!(Known::read(Maker::Segment, out).key("a"), None);
    }
}
