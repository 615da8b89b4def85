//! The model that made a result: its folder, its study, what it knows of its training and of
//! itself.

use std::path::{Path, PathBuf};

use stainfree_inference::Confidence;
use stainfree_network::model::Model;
use stainfree_scores::Scores;

use super::rows::Row;
use crate::prediction::familiar::{Familiarity, Kept};
use crate::prediction::made_from::MadeFrom;
use crate::report::scores_of;
use crate::study::Study;
use crate::{Job, ProjectError};

/// A model that is at hand.
pub(super) struct Known {
    /// Its folder as it is named in commands.
    pub(super) folder: PathBuf,
    /// Its study and its name there, where it lies in one.
    pub(super) study: Option<(Study, String)>,
    pub(super) classes: Vec<String>,
    pub(super) rescales_to: Option<f64>,
    /// Of its test; none where it was not tested.
    pub(super) scores: Option<Scores>,
    pub(super) familiarity: Option<(Kept, Familiarity)>,
    /// How counts and areas follow from the confidences of this result.
    pub(super) confidence: Option<Confidence>,
}

impl Known {
    /// The model of this result: `asked`, a study or the folder of a model, else where the result
    /// says it was; `None` where it is no longer there, which is said.
    ///
    /// # Errors
    /// What was asked for is not the model that made the result, or cannot be read.
    pub(super) fn of(
        result: &Path,
        asked: Option<&Path>,
        row: &Row,
        job: &Job,
    ) -> Result<Option<Self>, ProjectError> {
        let Some(folder) = asked
            .map(Path::to_owned)
            .or_else(|| MadeFrom::of(result).model)
        else {
            job.progress.note(
                "this result does not say where its model lies; `--study` with the study, or the \
                 model's folder, adds what is known of it",
            );
            return Ok(None);
        };
        let found = match asked {
            Some(study) if Study::is_at(study) => of_study(study, &row.model),
            _ => Model::load(&folder)
                .map_err(ProjectError::from)
                .and_then(|model| match model.hash() == row.model {
                    true => Ok((folder.clone(), model)),
                    false => Err(other(&folder)),
                }),
        };
        let (folder, model) = match (found, asked) {
            (Ok(found), _) => found,
            (Err(error), Some(_)) => return Err(error),
            (Err(error), None) => {
                job.progress.note(&format!(
                    "the page goes without what is known of the model: {error}; `--study` says \
                     where it is"
                ));
                return Ok(None);
            }
        };
        let kept = Kept::read(&folder, &row.model)?;
        let familiarity = kept.map(|kept| {
            let same_rule = kept.rule.as_deref() == row.option("rule");
            let known = Familiarity::of(&kept, same_rule);
            (kept, known)
        });
        let confidence = match row.option("confidence") {
            Some(word) => Confidence::of_word(&folder, word)?,
            None => None,
        };
        let info = &model.info;
        Ok(Some(Self {
            study: study_around(&folder),
            scores: scores_of(&folder, &row.model)?,
            classes: info.classes.clone(),
            rescales_to: info.pixel_um.filter(|_| info.recipe.rescale),
            familiarity,
            confidence,
            folder,
        }))
    }
}

impl Known {
    /// The study as commands name it, and the model where it has several.
    pub(super) fn named_study(&self) -> Option<(PathBuf, Option<String>)> {
        let (study, name) = self.study.as_ref()?;
        let several = study.models().len() > 1;
        Some((study.root().to_owned(), several.then(|| name.clone())))
    }
}

/// The model of a study that has this hash.
fn of_study(folder: &Path, hash: &str) -> Result<(PathBuf, Model), ProjectError> {
    let study = Study::open(folder)?;
    for name in study.models() {
        let path = study.model_path(&name);
        // One that is being trained, or is damaged, did not make it.
        if let Ok(model) = Model::load(&path)
            && model.hash() == hash
        {
            return Ok((path, model));
        }
    }
    Err(other(folder))
}

fn other(folder: &Path) -> ProjectError {
    ProjectError::Failed(format!(
        "`{}` is not, and has not, the model that made this result",
        folder.display()
    ))
}

/// The study that a model lies in, `STUDY/models/NAME`, and its name.
fn study_around(model: &Path) -> Option<(Study, String)> {
    let name = model.file_name()?.to_string_lossy().into_owned();
    let models = model.parent()?;
    let root = models.parent()?;
    let is_place = models.file_name().is_some_and(|name| name == "models");
    // A path may begin in the study.
    let root = match root.as_os_str().is_empty() {
        true => Path::new("."),
        false => root,
    };
    let study = (is_place && Study::is_at(root)).then(|| Study::open(root).ok())?;
    Some((study?, name))
}
