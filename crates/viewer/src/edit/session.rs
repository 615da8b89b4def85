//! The corrected labels of one field: what the log makes of the labels that it began with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use stainfree_image::write::{self, Note};
use stainfree_image::{Image, Stamp as FileStamp, marker, read_labels};
use stainfree_project::study::human::content_of_labels;

use super::log::{Edit, Line, Log};
use super::operation::{Operation, Patch};
use crate::ViewError;
use crate::objects::{self, Object};
use crate::tiles::LabelPixels;

/// `[top, left, bottom, right]`, the last two beyond it.
type Bounds = [usize; 4];

/// Places that lie so near are the same, pixels: another model draws a nucleus a little otherwise.
const SAME_PX: f64 = 2.0;

/// Where the files of a field lie.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) field: String,
    /// Folder of logs and the labels that they began with.
    pub(super) edits: PathBuf,
    /// The label image that `prepare` takes.
    pub(super) corrected: PathBuf,
    /// The nuclei of the truth.
    pub(super) truth: PathBuf,
    pub(super) pixel_um: Option<f64>,
}

/// What an edit changed.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Applied {
    /// Lines of the log.
    pub(crate) version: u64,
    /// Where pixels changed since the version that was known.
    pub(crate) boxes: Vec<Bounds>,
    /// Objects that are other than before.
    pub(crate) objects: Vec<Object>,
    /// Objects that are gone.
    pub(crate) removed: Vec<u32>,
    /// What is decided, and what can be taken back.
    pub(crate) state: State,
}

/// What was decided on a field so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct State {
    /// The edit that an undo takes back, and the one that a redo makes again.
    pub(crate) undo: Option<&'static str>,
    pub(crate) redo: Option<&'static str>,
    pub(crate) accepted: Vec<u32>,
    pub(crate) mitotic: BTreeMap<u32, bool>,
    /// The reason, where the field was called unusable here.
    pub(crate) unusable: Option<String>,
    pub(crate) comments: Vec<Comment>,
    /// Edits in force.
    pub(crate) edits: usize,
}

/// A remark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Comment {
    pub(crate) label: Option<u32>,
    pub(crate) text: String,
    pub(crate) who: String,
    pub(crate) when: String,
}

/// One field.
#[derive(Debug)]
pub(super) struct Session {
    places: Places,
    log: Log,
    labels: Arc<Image<u32>>,
    objects: BTreeMap<u32, Object>,
    /// The first number that no object ever had.
    next: u32,
    /// Every edit since the last base, with its pixels, in order.
    made: Vec<(Edit, Patch)>,
    /// Numbers in `made` of those in force, and of those taken back.
    done: Vec<usize>,
    undone: Vec<usize>,
    /// By version: where pixels changed.
    changes: Vec<(u64, Option<Bounds>)>,
    /// Identifiers of all edits, to know one that comes again.
    ids: BTreeSet<String>,
    /// The label image as it was written or read last.
    stamp: Option<FileStamp>,
}

impl Session {
    /// Opens a field as the log and the label image say; nothing is written.
    ///
    /// # Errors
    /// The field has no nuclei, or its files cannot be read.
    pub(super) fn open(places: Places) -> Result<Self, ViewError> {
        let log = Log::at(places.edits.join(format!("{}.jsonl", places.field)));
        let empty = Arc::new(Image::filled(0, 0, 0));
        let mut session = Self {
            places,
            log,
            labels: empty,
            objects: BTreeMap::new(),
            next: 1,
            made: Vec::new(),
            done: Vec::new(),
            undone: Vec::new(),
            changes: Vec::new(),
            ids: BTreeSet::new(),
            stamp: None,
        };
        session.read_tail()?;
        if session.log.lines() == 0 {
            let from = session.source();
            session.begin(read_labels(from)?, 0)?;
        }
        Ok(session)
    }

    /// The label image that counts now: the corrected one, else the truth's.
    fn source(&self) -> &Path {
        let Places {
            corrected, truth, ..
        } = &self.places;
        if corrected.is_file() {
            corrected
        } else {
            truth
        }
    }

    /// Starts from these labels, at a version.
    fn begin(&mut self, labels: Image<u32>, version: u64) -> Result<(), ViewError> {
        // A base that says what is shown already is news to nobody.
        let same = *self.labels == labels;
        let labels = Arc::new(labels);
        let listed = objects::list(&LabelPixels::Whole(Arc::clone(&labels)), None)?;
        self.next = listed.last().map_or(1, |object| object.label + 1);
        self.objects = listed.into_iter().map(|o| (o.label, o)).collect();
        let (height, width) = labels.size();
        self.labels = labels;
        self.made.clear();
        self.done.clear();
        self.undone.clear();
        if !same {
            self.changes.push((version, Some([0, 0, height, width])));
        }
        Ok(())
    }

    /// The labels, and the version that they are of.
    pub(super) fn labels(&self) -> (Arc<Image<u32>>, u64) {
        (Arc::clone(&self.labels), self.version())
    }

    /// Lines of the log.
    pub(super) fn version(&self) -> u64 {
        self.log.lines()
    }

    /// Takes over what other servers added.
    ///
    /// # Errors
    /// The log cannot be read, or does not fit.
    pub(super) fn read_tail(&mut self) -> Result<bool, ViewError> {
        let before = self.log.lines();
        let lines = self.log.tail()?;
        let any = !lines.is_empty();
        let mut version = before;
        for line in lines {
            version += 1;
            match line {
                Line::Base { file, .. } => {
                    let labels = read_labels(&self.places.edits.join(safe_name(&file)?))?;
                    self.begin(labels, version)?;
                }
                Line::Edit(edit) => {
                    let patch = self.patch(&edit.edit)?;
                    if patch.len() != edit.changed {
                        return Err(ViewError::Log {
                            path: self.log.path().to_owned(),
                            line: version as usize,
                            what: format!(
                                "this edit changed {} pixels when it was made and {} now; the \
                                 labels that the log began with are others. Move the log away to \
                                 begin anew from `{}`",
                                edit.changed,
                                patch.len(),
                                self.source().display()
                            ),
                        });
                    }
                    self.apply(version, edit, patch);
                }
            }
        }
        Ok(any)
    }

    /// Brings log and label image together before an edit: makes the log's base where there is
    /// none, and begins anew where another program saved the label image or somebody took it away.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(super) fn reconcile(&mut self, who: &str, when: &str) -> Result<(), ViewError> {
        let news = self.read_tail()?;
        let file = &self.places.corrected;
        let now = FileStamp::of_file(file).ok();
        // Nothing was drawn yet: the label image is not there, or as others left it.
        let expected = self.made.iter().any(|(_, patch)| !patch.is_empty());
        let as_left = match now {
            Some(_) => news || now == self.stamp,
            None => !expected,
        };
        if self.log.lines() > 0 && as_left {
            self.stamp = now;
            return Ok(());
        }
        let ours = marker::note_of(file).and_then(|note| version_in(&note));
        let behind = ours.is_some_and(|version| version <= self.version());
        match now {
            // Killed between log and label image, or another server's turn.
            Some(_) if self.log.lines() > 0 && behind => return self.write_labels(),
            Some(_) if self.log.lines() > 0 => {
                let labels = read_labels(file)?;
                if content_of_labels(&labels) == content_of_labels(&self.labels) {
                    self.stamp = now;
                    return Ok(());
                }
            }
            _ => {}
        }
        self.new_base(who, when)
    }

    /// Keeps a copy of the labels that count now, and says in the log that edits begin with it.
    fn new_base(&mut self, who: &str, when: &str) -> Result<(), ViewError> {
        let from = self.source().to_owned();
        let labels = read_labels(&from)?;
        let file = format!("{}-{}.tif", self.places.field, self.log.lines() + 1);
        let note = self.note("labels that edits began with");
        write::labels(&self.places.edits.join(&file), &labels, &note)?;
        let name = |path: &Path| {
            let parts: Vec<_> = path.components().rev().take(2).collect();
            let parts: Vec<String> = parts
                .iter()
                .rev()
                .map(|part| part.as_os_str().to_string_lossy().into_owned())
                .collect();
            parts.join("/")
        };
        self.log.append(&Line::Base {
            file,
            from: name(&from),
            labels: content_of_labels(&labels),
            who: who.to_owned(),
            when: when.to_owned(),
        })?;
        self.stamp = FileStamp::of_file(&self.places.corrected).ok();
        self.begin(labels, self.version())
    }

    fn note(&self, what: &str) -> Note {
        Note {
            text: format!(
                "stainfree {} {what} of field {}, edit {}",
                env!("CARGO_PKG_VERSION"),
                self.places.field,
                self.version()
            ),
            pixel_um: self.places.pixel_um,
        }
    }

    /// Replaces the label image that `prepare` takes.
    fn write_labels(&mut self) -> Result<(), ViewError> {
        let path = &self.places.corrected;
        write::labels(path, &self.labels, &self.note("corrected nuclei"))?;
        self.stamp = FileStamp::of_file(path).ok();
        Ok(())
    }

    /// What `operation` would change, by the state now.
    fn patch(&mut self, operation: &Operation) -> Result<Patch, ViewError> {
        let none = |what| ViewError::Misuse(format!("there is nothing to {what}"));
        match operation {
            Operation::Undo => {
                let last = self.done.last().ok_or_else(|| none("take back"))?;
                let patch = self.made[*last].1.iter();
                Ok(patch.map(|&(i, old, new)| (i, new, old)).collect())
            }
            Operation::Redo => {
                let last = self.undone.last().ok_or_else(|| none("make again"))?;
                Ok(self.made[*last].1.clone())
            }
            _ => {
                let bounds = self.objects.iter().map(|(&l, o)| (l, o.bounds)).collect();
                operation.patch(&self.labels, &bounds, &mut self.next)
            }
        }
    }

    /// Makes an edit: log, then labels, then the label image. What was answered to the caller is
    /// on the disk.
    ///
    /// # Errors
    /// The edit makes no sense, something that it touches changed after `known`, or a file cannot
    /// be written.
    pub(super) fn edit(&mut self, edit: Edit, known: u64) -> Result<Applied, ViewError> {
        edit.edit.check()?;
        if self.ids.contains(&edit.id) {
            return Ok(self.applied(known, &[]));
        }
        let next = self.next;
        let made = self.prepare(edit, known);
        let (edit, patch) = made.inspect_err(|_| self.next = next)?;
        if !patch.is_empty() && !self.places.corrected.is_file() {
            // From now on one that is missing was taken away, and not never made.
            self.write_labels()?;
        }
        if let Err(error) = self.log.append(&Line::Edit(edit.clone())) {
            self.next = next;
            return Err(error);
        }
        let draws = !patch.is_empty();
        let touched: BTreeSet<u32> = patch
            .iter()
            .flat_map(|&(_, old, new)| [old, new])
            .filter(|label| *label != 0)
            .collect();
        self.apply(self.version(), edit, patch);
        if draws {
            self.write_labels()?;
        }
        let touched: Vec<u32> = touched.into_iter().collect();
        Ok(self.applied(known, &touched))
    }

    /// The pixels of an edit, if nobody changed what it touches after `known`.
    fn prepare(&mut self, mut edit: Edit, known: u64) -> Result<(Edit, Patch), ViewError> {
        let conflict = |what: &str| {
            Err(ViewError::Conflict(format!(
                "{what} changed in the meantime; look at it again"
            )))
        };
        if known > self.version() {
            return conflict("the field");
        }
        let stacked = matches!(edit.edit, Operation::Undo | Operation::Redo);
        if stacked && self.changes.iter().any(|(at, _)| *at > known) {
            return conflict("the field");
        }
        let later = self.changes.iter().filter(|(at, _)| *at > known);
        let later: Vec<Bounds> = later.filter_map(|(_, bounds)| *bounds).collect();
        let patch = match self.patch(&edit.edit) {
            // The object may be gone because somebody else took it away.
            Err(ViewError::Misuse(_)) if !later.is_empty() => return conflict("this object"),
            patch => patch?,
        };
        let named = edit.edit.labels().into_iter();
        let named = named.filter_map(|label| Some(self.objects.get(&label)?.bounds));
        let touched: Vec<Bounds> = named.chain(self.bounds_of(&patch)).collect();
        if later.iter().any(|a| touched.iter().any(|b| overlap(a, b))) {
            return conflict("this place");
        }
        if patch.is_empty() && edit.edit.draws() {
            return Err(ViewError::Misuse("this changes no pixel".to_owned()));
        }
        edit.changed = patch.len();
        Ok((edit, patch))
    }

    /// Where the pixels of a patch lie.
    fn bounds_of(&self, patch: &Patch) -> Option<Bounds> {
        let width = self.labels.width();
        let places = patch.iter().map(|&(i, _, _)| (i / width, i % width));
        places.fold(None, |bounds, (y, x)| {
            let [top, left, bottom, right] = bounds.unwrap_or([y, x, y + 1, x + 1]);
            Some([top.min(y), left.min(x), bottom.max(y + 1), right.max(x + 1)])
        })
    }

    /// Changes the labels and what is known of them.
    fn apply(&mut self, version: u64, edit: Edit, patch: Patch) {
        let bounds = self.bounds_of(&patch);
        let labels = Arc::make_mut(&mut self.labels).data_mut();
        let mut touched: BTreeMap<u32, Bounds> = BTreeMap::new();
        for &(i, old, new) in &patch {
            labels[i] = new;
            for label in [old, new] {
                let known = self.objects.get(&label).map(|object| object.bounds);
                touched
                    .entry(label)
                    .or_insert(known.unwrap_or([usize::MAX, usize::MAX, 0, 0]));
            }
        }
        touched.remove(&0);
        for (label, known) in touched {
            let found = bounds.and_then(|b| objects::one(&self.labels, label, union(&known, &b)));
            match found {
                Some(object) => self.objects.insert(label, object),
                None => self.objects.remove(&label),
            };
        }
        self.changes.push((version, bounds));
        self.ids.insert(edit.id.clone());
        match edit.edit {
            Operation::Undo => self.undone.extend(self.done.pop()),
            Operation::Redo => self.done.extend(self.undone.pop()),
            _ => {
                self.undone.clear();
                self.done.push(self.made.len());
                self.made.push((edit, patch));
            }
        }
    }

    /// What somebody who knows the state at `known` needs to hear; of `touched` labels the objects.
    pub(super) fn applied(&self, known: u64, touched: &[u32]) -> Applied {
        let later = self.changes.iter().filter(|(at, _)| *at > known);
        let there = |label: &&u32| self.objects.contains_key(label);
        Applied {
            version: self.version(),
            boxes: later.filter_map(|(_, bounds)| *bounds).collect(),
            objects: touched
                .iter()
                .filter_map(|label| self.objects.get(label).cloned())
                .collect(),
            removed: touched.iter().filter(|l| !there(l)).copied().collect(),
            state: self.state(),
        }
    }

    /// What is decided by the edits in force.
    pub(super) fn state(&self) -> State {
        let name = |stack: &[usize]| stack.last().map(|&i| self.made[i].0.edit.name());
        let mut state = State {
            undo: name(&self.done),
            redo: name(&self.undone),
            edits: self.done.len(),
            ..State::default()
        };
        let mut accepted = BTreeSet::new();
        for &i in &self.done {
            let edit = &self.made[i].0;
            match &edit.edit {
                Operation::Accept { label } => {
                    accepted.insert(*label);
                }
                Operation::Mitotic { label, is } => {
                    match is {
                        Some(is) => state.mitotic.insert(*label, *is),
                        None => state.mitotic.remove(label),
                    };
                }
                Operation::Unusable { is, reason } => {
                    state.unusable = is.then(|| reason.clone());
                }
                Operation::Comment { label, text } => state.comments.push(Comment {
                    label: *label,
                    text: text.clone(),
                    who: edit.who.clone(),
                    when: edit.when.clone(),
                }),
                _ => {}
            }
        }
        state.accepted = accepted.into_iter().collect();
        state
    }

    /// Which of these places, `[y, x]` in pixels, an edit in force judged; `None` is the field as a
    /// whole, which is judged where somebody said whether it is to be used.
    pub(super) fn judged(&self, places: &[Option<[f64; 2]>]) -> Vec<bool> {
        let made = || self.done.iter().map(|&i| &self.made[i]);
        let is_field = |edit: &Edit| matches!(edit.edit, Operation::Unusable { .. });
        let field = made().any(|(edit, _)| is_field(edit));
        // A remark decides nothing.
        let decides = |edit: &Edit| !matches!(edit.edit, Operation::Comment { .. });
        let decided = made().filter(|(edit, _)| decides(edit));
        let named: BTreeSet<u32> = decided.flat_map(|(edit, _)| edit.edit.labels()).collect();
        let (height, width) = self.labels.size();
        let is_judged = |&[y, x]: &[f64; 2]| {
            let nothing = |edit: &Edit| match edit.edit {
                Operation::Nothing { at } => (at[0] - y).hypot(at[1] - x) <= SAME_PX,
                _ => false,
            };
            let (row, column) = (y.round(), x.round());
            if !(row >= 0.0 && column >= 0.0 && row < height as f64 && column < width as f64) {
                return false;
            }
            let (row, column) = (row as usize, column as usize);
            let drawn = |patch: &Patch| {
                let pixel = row * width + column;
                patch.binary_search_by_key(&pixel, |p| p.0).is_ok()
            };
            named.contains(&self.labels.get(row, column))
                || made().any(|(edit, patch)| drawn(patch) || nothing(edit))
        };
        let of = |place: &Option<[f64; 2]>| place.as_ref().map_or(field, is_judged);
        places.iter().map(of).collect()
    }

    /// A pixel of the object that is nearest to its centroid, `(y, x)`.
    pub(super) fn inside(&self, label: u32) -> Option<(usize, usize)> {
        let object = self.objects.get(&label)?;
        let [top, left, bottom, right] = object.bounds;
        let rows = (top..bottom).flat_map(|y| (left..right).map(move |x| (y, x)));
        let pixels = rows.filter(|&(y, x)| self.labels.get(y, x) == label);
        pixels.min_by(|a, b| {
            let far = |&(y, x): &(usize, usize)| {
                (y as f64 - object.y).powi(2) + (x as f64 - object.x).powi(2)
            };
            far(a).total_cmp(&far(b))
        })
    }
}

impl Operation {
    /// The word for it.
    fn name(&self) -> &'static str {
        match self {
            Self::Accept { .. } => "accept",
            Self::Reject { .. } => "reject",
            Self::Split { .. } => "split",
            Self::Merge { .. } => "merge",
            Self::Paint { .. } => "paint",
            Self::Erase { .. } => "erase",
            Self::Outline { .. } => "outline",
            Self::Nothing { .. } => "no nucleus",
            Self::Mitotic { .. } => "mitotic",
            Self::Unusable { .. } => "unusable",
            Self::Comment { .. } => "comment",
            Self::Undo => "undo",
            Self::Redo => "redo",
        }
    }
}

fn overlap(a: &Bounds, b: &Bounds) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

fn union(a: &Bounds, b: &Bounds) -> Bounds {
    [
        a[0].min(b[0]),
        a[1].min(b[1]),
        a[2].max(b[2]),
        a[3].max(b[3]),
    ]
}

/// The version that a label image of ours says it is of.
fn version_in(note: &str) -> Option<u64> {
    let (_, version) = note.rsplit_once(", edit ")?;
    version.trim().parse().ok()
}

/// A name of a file and no path: a log may come from anybody.
fn safe_name(name: &str) -> Result<&str, ViewError> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(std::path::Component::Normal(_)), None) => Ok(name),
        _ => Err(ViewError::Misuse(format!(
            "the log names `{name}`, which is no file beside it"
        ))),
    }
}
