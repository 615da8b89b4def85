//! What is said of each field of a folder of labels: what its files were made from.
//!
//! An entry vouches for the files of its field: it is taken out before they are made anew, and put
//! in when they are there. In between it says what they are being made from, so that an
//! interrupted run may go on and no other one takes its place unasked. The marker of the folder
//! says it, and of what a shard has made, the table of that shard.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stainfree_image::marker::{self, Kind, Marker};

use crate::prediction::results::my_turn;
use crate::study::lease::Lease;
use crate::study::shards::{Ended, hold_table, tables_in};
use crate::study::table;
use crate::{Cancel, ProjectError};

/// It is written this often, so that a killed run makes little again.
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

/// Where something is said of fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the folder's marker.
    Marker,
    /// In the table of a shard.
    Table(PathBuf),
}

impl Place {
    /// Holds the table of a shard for a moment; the marker is changed on the folder's turn.
    fn hold(&self, maker: Maker) -> Result<Option<Lease>, ProjectError> {
        let hold = |path: &PathBuf| hold_table(path, maker.command(), &Cancel::new());
        match self {
            Place::Marker => Ok(None),
            Place::Table(path) => hold(path).map(Some),
        }
    }
}

/// What is said of fields, in one place or in all.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    maker: Maker,
    fields: BTreeMap<String, Labelled>,
    /// Keys of what is being made, or was when its run was ended.
    begun: BTreeMap<String, String>,
    /// Why a shard has failed at a field; single runs say that once.
    failed: BTreeMap<String, String>,
}

/// A row of the table of a shard.
#[derive(Serialize, Deserialize)]
struct ShardRow {
    name: String,
    status: Status,
    message: String,
    key: String,
    nuclei: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Done,
    Begun,
    Failed,
}

impl Known {
    /// What marker and tables of `out` say; nothing where there are none.
    ///
    /// # Errors
    /// A table is damaged.
    pub(super) fn read(maker: Maker, out: &Path) -> Result<Self, ProjectError> {
        let mut known = Self::of(maker, out, &Place::Marker)?;
        for path in tables_in(out, maker.command()) {
            let more = Self::of(maker, out, &Place::Table(path))?;
            // What was joined before may be older.
            let (done, begun) = (more.fields.keys(), more.begun.keys());
            let names: BTreeSet<&String> = done.chain(begun).chain(more.failed.keys()).collect();
            known.forget(&names);
            known.fields.extend(more.fields);
            known.begun.extend(more.begun);
            known.failed.extend(more.failed);
        }
        Ok(known)
    }

    /// What is said in one place.
    fn of(maker: Maker, out: &Path, place: &Place) -> Result<Self, ProjectError> {
        let mut known = Self {
            maker,
            ..Self::default()
        };
        let path = match place {
            Place::Marker => {
                let more = marker::read(out).map(|marker| marker.more);
                let more = more.unwrap_or_default();
                known.fields = part(&more, FIELDS);
                known.begun = part(&more, BEGUN);
                return Ok(known);
            }
            Place::Table(path) if !path.exists() => return Ok(known),
            Place::Table(path) => path,
        };
        let texts = ["name", "message", "key"];
        let way_out = "delete the table and give its shard again";
        for row in table::read::<ShardRow>(path, &texts, way_out)? {
            let ShardRow {
                name, key, nuclei, ..
            } = row;
            match row.status {
                Status::Done => drop(known.fields.insert(name, Labelled { key, nuclei })),
                Status::Begun => drop(known.begun.insert(name, key)),
                Status::Failed => drop(known.failed.insert(name, row.message)),
            }
        }
        Ok(known)
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

    /// How fields ended; the labels of those that are done may be there or not.
    pub(super) fn ended(self, is_there: impl Fn(&str) -> bool) -> Ended {
        let names = self.fields.into_keys();
        let (done, lost) = names.partition(|name| is_there(name));
        Ended {
            done,
            lost,
            failed: self.failed,
        }
    }

    /// Begins fields with the keys of what they are made from, which is said in the place `own`:
    /// nothing vouches for their files any more. To be called on one's turn.
    ///
    /// # Errors
    /// A place cannot be read or written.
    pub(super) fn begin(
        maker: Maker,
        out: &Path,
        own: &Place,
        fields: impl Iterator<Item = (String, String)>,
    ) -> Result<(), ProjectError> {
        let fields: BTreeMap<String, String> = fields.collect();
        let names: BTreeSet<&String> = fields.keys().collect();
        let tables = tables_in(out, maker.command())
            .into_iter()
            .map(Place::Table);
        for place in std::iter::once(Place::Marker).chain(tables) {
            let mut known = Self::of(maker, out, &place)?;
            // The marker also says whose the folder is.
            let is_new = place == Place::Marker && marker::read(out).is_none();
            if place != *own && (known.forget(&names) || is_new) {
                // Its shard may be at other fields, and say more since.
                let _turn = place.hold(maker)?;
                let mut known = Self::of(maker, out, &place)?;
                known.forget(&names);
                known.write(out, &place)?;
            }
        }
        let mut known = Self::of(maker, out, own)?;
        known.forget(&names);
        let is_nothing = fields.is_empty() && *own != Place::Marker;
        known.begun.extend(fields);
        match is_nothing {
            true => Ok(()),
            false => known.write(out, own),
        }
    }

    /// Says nothing of these fields any more; whether anything was said.
    fn forget(&mut self, names: &BTreeSet<&String>) -> bool {
        let said = |known: &Self| known.fields.len() + known.begun.len() + known.failed.len();
        let before = said(self);
        self.fields.retain(|name, _| !names.contains(name));
        self.begun.retain(|name, _| !names.contains(name));
        self.failed.retain(|name, _| !names.contains(name));
        said(self) < before
    }

    /// Puts all that is said anywhere into the marker.
    ///
    /// # Errors
    /// A place cannot be read or written.
    pub(super) fn join(maker: Maker, out: &Path) -> Result<(), ProjectError> {
        Self::read(maker, out)?.write(out, &Place::Marker)
    }

    fn write(self, out: &Path, place: &Place) -> Result<(), ProjectError> {
        match place {
            Place::Marker => self.write_marker(out),
            Place::Table(path) => self.write_table(path),
        }
    }

    /// Puts it into the marker, with whatever else that says.
    fn write_marker(self, out: &Path) -> Result<(), ProjectError> {
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

    fn write_table(self, path: &Path) -> Result<(), ProjectError> {
        let row = |name: String, status, message, key, nuclei| ShardRow {
            name,
            status,
            message,
            key,
            nuclei,
        };
        let none = String::new;
        let done = self.fields.into_iter();
        let done = done.map(|(name, of)| row(name, Status::Done, none(), of.key, of.nuclei));
        let begun = self.begun.into_iter();
        let begun = begun.map(|(name, key)| row(name, Status::Begun, none(), key, 0));
        let failed = self.failed.into_iter();
        let failed = failed.map(|(name, why)| row(name, Status::Failed, why, none(), 0));
        let mut rows: Vec<ShardRow> = done.chain(begun).chain(failed).collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        match rows.is_empty() {
            true => Ok(stainfree_image::write_atomic(path, b"")?),
            false => table::write(path, &rows),
        }
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

/// What became of a field: its labels, or why there are none.
pub(super) type Found = Result<Labelled, String>;

/// The fields of this run that are finished, which join those of others.
pub(super) struct Finished<'a> {
    maker: Maker,
    out: &'a Path,
    own: Place,
    unsaved: Mutex<Unsaved>,
}

/// What is not said yet.
struct Unsaved {
    fields: BTreeMap<String, Found>,
    saved: Instant,
}

impl<'a> Finished<'a> {
    /// To be said in the place `own`.
    pub(super) fn new(maker: Maker, out: &'a Path, own: Place) -> Self {
        let unsaved = Unsaved {
            fields: BTreeMap::new(),
            saved: Instant::now(),
        };
        Self {
            maker,
            out,
            own,
            unsaved: Mutex::new(unsaved),
        }
    }

    /// Puts in a field whose files are written, or gone.
    ///
    /// # Errors
    /// The place cannot be written.
    pub(super) fn put(&self, name: &str, found: Found) -> Result<(), ProjectError> {
        let mut unsaved = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
        unsaved.fields.insert(name.to_owned(), found);
        match unsaved.saved.elapsed() >= SAVE_EVERY {
            true => unsaved.save(self.maker, self.out, &self.own),
            false => Ok(()),
        }
    }

    /// Says what is left.
    ///
    /// # Errors
    /// The place cannot be written.
    pub(super) fn save(self) -> Result<(), ProjectError> {
        let unsaved = self.unsaved.into_inner();
        let mut unsaved = unsaved.unwrap_or_else(PoisonError::into_inner);
        match unsaved.fields.is_empty() {
            true => Ok(()),
            false => unsaved.save(self.maker, self.out, &self.own),
        }
    }
}

impl Unsaved {
    /// On a turn: others may have put theirs there since.
    fn save(&mut self, maker: Maker, out: &Path, own: &Place) -> Result<(), ProjectError> {
        // After a stop as well: what is finished is kept.
        let _turn = match own {
            Place::Marker => Some(my_turn(out, maker.command(), &Cancel::new())?),
            Place::Table(_) => own.hold(maker)?,
        };
        let mut known = Known::of(maker, out, own)?;
        for (name, found) in std::mem::take(&mut self.fields) {
            known.begun.remove(&name);
            known.failed.remove(&name);
            known.fields.remove(&name);
            match found {
                Ok(labelled) => drop(known.fields.insert(name, labelled)),
                Err(sentence) => drop(known.failed.insert(name, sentence)),
            }
        }
        known.write(out, own)?;
        self.saved = Instant::now();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::shards::Plan;

    fn labelled(key: &str) -> Labelled {
        Labelled {
            key: key.to_owned(),
            nuclei: 3,
        }
    }

    fn read(out: &Path) -> Known {
        Known::read(Maker::Segment, out).unwrap()
    }

    #[test]
    fn runs_at_the_same_time_lose_none_of_each_others_fields() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let begin = |name: &str| {
            let fields = std::iter::once((name.to_owned(), "k".to_owned()));
            Known::begin(Maker::Segment, out, &Place::Marker, fields).unwrap();
        };
        let (one, other) = (
            Finished::new(Maker::Segment, out, Place::Marker),
            Finished::new(Maker::Segment, out, Place::Marker),
        );
        begin("a");
        begin("b");
        one.put("a", Ok(labelled("k"))).unwrap();
        other.put("b", Ok(labelled("k"))).unwrap();
        let known = read(out);
        assert_eq!((known.labels("a"), known.key("a")), (None, Some("k")));
        other.save().unwrap();
        one.save().unwrap();
        let known = read(out);
        assert_eq!(known.labels("a"), Some(&labelled("k")));
        assert_eq!(known.labels("b"), Some(&labelled("k")));
        assert!(!marker::read(out).unwrap().more.contains_key(BEGUN));
    }

    #[test]
    fn what_is_begun_is_vouched_for_by_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let first = Finished::new(Maker::Segment, out, Place::Marker);
        first.put("a", Ok(labelled("k"))).unwrap();
        first.save().unwrap();
        let fields = std::iter::once(("a".to_owned(), "other".to_owned()));
        Known::begin(Maker::Segment, out, &Place::Marker, fields).unwrap();
        let known = read(out);
        assert_eq!((known.labels("a"), known.key("a")), (None, Some("other")));
        // It failed: nothing of it is there.
        let second = Finished::new(Maker::Segment, out, Place::Marker);
        second.put("a", Err("bad".to_owned())).unwrap();
        second.save().unwrap();
        assert_eq!(read(out).key("a"), None);
    }

    #[test]
    fn tables_of_shards_say_the_same_as_the_marker_once_they_are_joined() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let plan = Plan::of(
            ("segment", ""),
            out,
            ["a", "b", "c"].map(|n| (n, None)).into_iter(),
            2,
        );
        plan.write().unwrap();
        let [one, two] = [1, 2].map(|index| Place::Table(plan.table(index)));
        let begin = |own: &Place, names: &[&str]| {
            let fields = names
                .iter()
                .map(|name| ((*name).to_owned(), "k".to_owned()));
            Known::begin(Maker::Segment, out, own, fields).unwrap();
        };
        begin(&one, &["a", "c"]);
        begin(&two, &["b"]);
        // Joined while they are at work, and again once they are done.
        Known::join(Maker::Segment, out).unwrap();
        let finished = Finished::new(Maker::Segment, out, one.clone());
        finished.put("a", Ok(labelled("k"))).unwrap();
        finished.put("c", Err("it is, bad".to_owned())).unwrap();
        finished.save().unwrap();
        let known = read(out);
        assert_eq!(
            (known.labels("a"), known.key("b")),
            (Some(&labelled("k")), Some("k"))
        );
        let ended = known.ended(|_| false);
        assert_eq!(ended.failed["c"], "it is, bad");
        assert!(ended.lost.contains("a") && ended.done.is_empty());
        Known::join(Maker::Segment, out).unwrap();
        let text = || std::fs::read(out.join(marker::FILE_NAME)).unwrap();
        let joined = text();
        Known::join(Maker::Segment, out).unwrap();
        assert_eq!(joined, text());
        let known = Known::of(Maker::Segment, out, &Place::Marker).unwrap();
        assert_eq!(known.labels("a"), Some(&labelled("k")));
        assert_eq!(known.begun.keys().collect::<Vec<_>>(), ["b"]);
        // Made anew by a run without shards, it is vouched for nowhere meanwhile.
        begin(&Place::Marker, &["a"]);
        assert_eq!(
            (read(out).labels("a"), read(out).key("a")),
            (None, Some("k"))
        );
    }
}
