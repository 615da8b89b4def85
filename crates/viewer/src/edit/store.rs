//! The corrections of a study: its fields' sessions, and the decisions that lie in tables.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use stainfree_image::{Image, Product};
use stainfree_project::study::human::mitosis::{Decision, Said};
use stainfree_project::study::human::{self, Stamp, corrected, excluded, mitosis};
use stainfree_project::{Source, Study};

use super::log::Edit;
use super::operation::Operation;
use super::session::{Applied, Places, Session, State};
use crate::ViewError;
use crate::opened::Shown;

/// Folder of the logs in the study's of decisions.
const FOLDER: &str = "edits";
/// Fields whose labels are held at once.
const HELD: usize = 16;
/// Most letters of the identifier of an edit.
const ID_LETTERS: usize = 64;

/// An edit as the page asks for it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Request {
    /// Made by the page, different for every edit.
    pub(crate) id: String,
    /// The version that the page shows.
    pub(crate) version: u64,
    pub(crate) edit: Operation,
}

/// All corrections.
#[derive(Debug)]
pub(crate) struct Store {
    study: Study,
    who: String,
    model: Option<String>,
    /// `None`: nothing may be changed.
    writes: bool,
    sessions: Mutex<Sessions>,
}

#[derive(Debug, Default)]
struct Sessions {
    clock: u64,
    open: BTreeMap<usize, (u64, Arc<Mutex<Session>>)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// The corrections of `study`, made by `who` beside the predictions of `model`.
    pub(crate) fn new(study: Study, who: &str, model: Option<String>, writes: bool) -> Self {
        Self {
            study,
            who: who.to_owned(),
            model,
            writes,
            sessions: Mutex::default(),
        }
    }

    fn folder(&self) -> PathBuf {
        human::folder(&self.study).join(FOLDER)
    }

    /// The field of this number, opened where it is not yet.
    fn session(&self, number: usize, shown: &Shown) -> Result<Arc<Mutex<Session>>, ViewError> {
        let mut sessions = lock(&self.sessions);
        sessions.clock += 1;
        let clock = sessions.clock;
        if let Some((used, session)) = sessions.open.get_mut(&number) {
            *used = clock;
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(Mutex::new(Session::open(self.places(shown)?)?));
        while sessions.open.len() >= HELD {
            let oldest = sessions.open.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(&number, _)| number) else {
                break;
            };
            sessions.open.remove(&oldest);
        }
        let kept = (clock, Arc::clone(&session));
        sessions.open.insert(number, kept);
        Ok(session)
    }

    fn places(&self, shown: &Shown) -> Result<Places, ViewError> {
        let usual = corrected::folder(&self.study).join(Product::Labels.file(&shown.name));
        let corrected = corrected::files(&self.study)?.remove(&shown.name);
        let corrected = corrected.unwrap_or(usual);
        let end = corrected.extension().unwrap_or_default();
        if !["tif", "tiff"].contains(&&*end.to_string_lossy().to_lowercase()) {
            return Err(ViewError::ReadOnly(format!(
                "the corrected nuclei `{}` are no TIFF, and only TIFFs are written; save them as \
                 one",
                corrected.display()
            )));
        }
        Ok(Places {
            field: shown.name.clone(),
            edits: self.folder(),
            corrected,
            truth: self.study.nuclei_path(&shown.name),
            pixel_um: shown.pixel_um,
        })
    }

    /// The corrected labels of a field, and their version.
    ///
    /// # Errors
    /// There are none, or files cannot be read.
    pub(crate) fn labels(
        &self,
        number: usize,
        shown: &Shown,
    ) -> Result<(Arc<Image<u32>>, u64), ViewError> {
        let session = self.session(number, shown)?;
        let mut session = lock(&session);
        session.read_tail()?;
        Ok(session.labels())
    }

    /// What somebody who knows the version `known` needs to hear.
    ///
    /// # Errors
    /// As [`labels`](Self::labels).
    pub(crate) fn since(
        &self,
        number: usize,
        shown: &Shown,
        known: u64,
    ) -> Result<Applied, ViewError> {
        let session = self.session(number, shown)?;
        let mut session = lock(&session);
        session.read_tail()?;
        Ok(session.applied(known, &[]))
    }

    /// Which of these places, `[y, x]` in pixels, somebody judged: an edit in force names the
    /// object there, drew there, or says that nothing is there; `None` is the field as a whole.
    /// Fields without a log are not opened.
    ///
    /// # Errors
    /// As [`labels`](Self::labels).
    pub(crate) fn judged(
        &self,
        number: usize,
        shown: &Shown,
        places: &[Option<[f64; 2]>],
    ) -> Result<Vec<bool>, ViewError> {
        if !self
            .folder()
            .join(format!("{}.jsonl", shown.name))
            .is_file()
        {
            return Ok(vec![false; places.len()]);
        }
        let session = self.session(number, shown)?;
        let mut session = lock(&session);
        session.read_tail()?;
        Ok(session.judged(places))
    }

    /// Makes an edit. When this returns, it is on the disk.
    ///
    /// # Errors
    /// Nothing may be changed here, the edit makes no sense or meets another's, or a file cannot
    /// be written.
    pub(crate) fn edit(
        &self,
        number: usize,
        shown: &Shown,
        request: Request,
    ) -> Result<Applied, ViewError> {
        if !self.writes {
            return Err(ViewError::ReadOnly(
                "this viewer was started with `--read-only`".to_owned(),
            ));
        }
        let id = &request.id;
        if id.is_empty() || id.len() > ID_LETTERS || !id.is_ascii() {
            return Err(ViewError::Misuse(format!(
                "an edit has an identifier of at most {ID_LETTERS} letters"
            )));
        }
        let session = self.session(number, shown)?;
        let mut session = lock(&session);
        let _alone = self.alone()?;
        let stamp = Stamp::now(&self.who);
        session.reconcile(&stamp.who, &stamp.when)?;
        let before = session.state();
        let edit = Edit {
            id: request.id,
            who: stamp.who.clone(),
            when: stamp.when.clone(),
            model: self.model.clone(),
            edit: request.edit,
            changed: 0,
        };
        let applied = session.edit(edit, request.version)?;
        self.keep_decisions(shown, &session, &before, &applied.state, &stamp)?;
        Ok(applied)
    }

    /// Keeps every other server from editing until what it gives is dropped.
    fn alone(&self) -> Result<File, ViewError> {
        let folder = self.folder();
        for folder in [&folder, &corrected::folder(&self.study)] {
            std::fs::create_dir_all(folder).map_err(|error| ViewError::file(folder, error))?;
        }
        let path = folder.join(".lock");
        let file = File::create(&path).map_err(|error| ViewError::file(&path, error))?;
        // Some network shares know no locks; there two servers at once are the users' to avoid.
        let _ = file.lock();
        Ok(file)
    }

    /// Adds to the study's tables what an edit, or one that was taken back, decided.
    fn keep_decisions(
        &self,
        shown: &Shown,
        session: &Session,
        before: &State,
        after: &State,
        stamp: &Stamp,
    ) -> Result<(), ViewError> {
        if before.mitotic == after.mitotic && before.unusable == after.unusable {
            return Ok(());
        }
        let source = self.study.source()?;
        if before.unusable != after.unusable {
            let reason = after.unusable.clone().unwrap_or_default();
            let is = after.unusable.is_some();
            let names = [shown.name.clone()];
            excluded::decide(&self.study, &names, is, &reason, stamp)?;
        }
        let said = said(shown, session, before, after, &source);
        Ok(mitosis::append(&self.study, &said, stamp)?)
    }
}

/// What is said of nuclei after an edit and was not before.
fn said(
    shown: &Shown,
    session: &Session,
    before: &State,
    after: &State,
    source: &Source,
) -> Vec<Said> {
    let image = human::content_of(source, &shown.name).unwrap_or_default();
    let labels = before.mitotic.keys().chain(after.mitotic.keys());
    let mut labels: Vec<u32> = labels.copied().collect();
    labels.sort_unstable();
    labels.dedup();
    let changed = labels.into_iter().filter_map(|label| {
        let is = after.mitotic.get(&label);
        if before.mitotic.get(&label) == is {
            return None;
        }
        let (y, x) = session.inside(label)?;
        Some(Said {
            field: shown.name.clone(),
            y_px: y as f64,
            x_px: x as f64,
            decision: is.map(|is| match is {
                true => Decision::Yes,
                false => Decision::No,
            }),
            image: image.clone(),
            line: 0,
        })
    });
    changed.collect()
}
