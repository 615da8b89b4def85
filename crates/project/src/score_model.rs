//! `evaluate DIR`: a model scored on the fields of its study that it never saw.

use stainfree_image::{read_class_mask, read_labels};
use stainfree_network::Precision;
use stainfree_objects::IGNORED;
use stainfree_scores::{
    BootstrapOptions, Convention, FieldScores, match_labels_ignoring, paper_scores, pixel_counts,
};

use crate::engine::{DEFAULT_MEMORY, Engine, nuclei};
use crate::evaluate::{Evaluated, sum_up};
use crate::predict::write_field;
use crate::study::Study;
use crate::train::StudyFields;
use crate::{GroupRule, Job, Part, ProjectError};

/// Which model, on which part, how counted.
#[derive(Clone, Debug)]
pub struct ModelOptions {
    /// Name of the model.
    pub model: String,
    /// Part of the split.
    pub on: Part,
    /// How pixel scores are counted.
    pub convention: Convention,
    /// Average over the four flips.
    pub flips: bool,
    /// Cap on memory in bytes.
    pub memory: Option<usize>,
    /// Arithmetic of the network's products.
    pub precision: Precision,
}

/// Predicts the fields of a part and scores them against the study's truth.
///
/// Predictions go to `runs/NAME/PART/{classes,nuclei}`, the scores to `models/NAME/scores.json` (test)
/// or `scores-PART.json`.
///
/// # Errors
/// No such model, no field in that part, classes that differ from the study's, or a disk that cannot
/// be written to.
pub fn evaluate_model(
    study: &Study,
    options: &ModelOptions,
    job: &Job,
) -> Result<Evaluated, ProjectError> {
    let folder = study.model_path(&options.model);
    if !folder.is_dir() {
        return Err(ProjectError::Failed(format!(
            "the study has no model `{}`{}",
            options.model,
            match study.models().as_slice() {
                [] => format!("; run `stainfree train {}` first", study.root().display()),
                names => format!(" (models: {})", names.join(", ")),
            }
        )));
    }
    let mut engine = Engine::load(
        &folder,
        job.threads,
        options.memory.unwrap_or(DEFAULT_MEMORY),
        options.flips,
        options.precision,
    )?;
    let classes = &study.config().truth.classes;
    if engine.info.classes != *classes {
        return Err(ProjectError::Failed(format!(
            "the model `{}` knows the classes {} and the study has {}; train it again",
            options.model,
            engine.info.classes.join(", "),
            classes.join(", ")
        )));
    }
    let source = study.source()?;
    let rows = study.fields()?;
    let part = StudyFields::of(study, &source, &rows, options.on)?;
    if part.fields().is_empty() {
        return Err(ProjectError::Failed(format!(
            "no field of `{}` is in the {} part; change `[split]` and prepare again",
            study.root().display(),
            options.on
        )));
    }
    let out = study.run_path(&options.model).join(options.on.name());
    for folder in ["classes", "nuclei"] {
        let path = out.join(folder);
        std::fs::create_dir_all(&path).map_err(|error| ProjectError::write(&path, &error))?;
    }
    let group_of = |name: &str| {
        rows.iter()
            .find(|row| row.name == name)
            .map(|row| row.group.clone())
    };
    let mut scored = Vec::new();
    for (i, field) in part.fields().iter().enumerate() {
        job.cancel.check()?;
        let in_field = |error: stainfree_scores::ScoreError| {
            ProjectError::Failed(format!("field `{}`: {error}", field.name))
        };
        let found = engine.predict(field, &source.brightfield.read(field)?)?;
        if let Some(remark) = engine.take_remark() {
            job.progress.note(&remark);
        }
        let parted = nuclei(
            field,
            &found.classes,
            &engine.info.classes,
            engine.info.pixel_um,
        )?;
        write_field(&out, field, &found.classes, &parted, &engine.hash)?;
        let truth = read_class_mask(&study.class_mask_path(&field.name))?;
        let true_nuclei = read_labels(&study.nuclei_path(&field.name))?;
        let ignore = truth
            .data()
            .contains(&IGNORED)
            .then(|| truth.map(|&class| class == IGNORED));
        scored.push(FieldScores {
            name: field.name.clone(),
            group: group_of(&field.name),
            pixels: Some(pixel_counts(&truth, &found.classes, classes.len()).map_err(in_field)?),
            paper: Some(paper_scores(&found.probabilities, &truth).map_err(in_field)?),
            objects: Some(
                match_labels_ignoring(&true_nuclei, &parted.labels, ignore.as_ref())
                    .map_err(in_field)?,
            ),
        });
        job.progress.step(i + 1, part.fields().len(), &field.name);
    }
    let bootstrap = BootstrapOptions {
        convention: options.convention,
        group_name: group_name(study),
        ..BootstrapOptions::default()
    };
    let evaluated = sum_up(&scored, classes, &bootstrap, Vec::new(), Vec::new())?;
    let text = serde_json::to_vec_pretty(&evaluated.scores).map_err(|error| {
        ProjectError::Failed(format!("the scores cannot be written down: {error}"))
    })?;
    let name = if options.on == Part::Test {
        "scores.json".to_owned()
    } else {
        format!("scores-{}.json", options.on)
    };
    stainfree_image::write_atomic(&folder.join(name), &text)?;
    Ok(evaluated)
}

/// What a group of the study's split is called.
fn group_name(study: &Study) -> String {
    match GroupRule::parse(&study.config().split.group) {
        Ok(GroupRule::Key(key)) => key,
        Ok(GroupRule::Well) => "well".to_owned(),
        Ok(GroupRule::Field) => "field".to_owned(),
        _ => "group".to_owned(),
    }
}
