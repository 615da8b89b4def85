//! How a model's numbers become nuclei, chosen on the validation fields.
//!
//! A training maximises what is said of pixels; which threshold, smoothing and depth of cuts give
//! the right nuclei is another question, with its own answer for every model. It costs no training:
//! the fields are predicted once, and some hundred rules are tried on what came out.

mod search;
mod tried;

use search::Search;
use std::collections::BTreeSet;
use std::path::Path;

use stainfree_image::{Field, Image, read_class_mask, read_labels};
use stainfree_inference::{
    Decisions, NucleusDecoder, Options, Pixels, RuleChoice, default_rule, ways,
};
use stainfree_network::Model;
use stainfree_objects::IGNORED;

use crate::prediction::opened::OpenedModel;
use crate::study::each_field::EachField;
use crate::study::fields::FieldRow;
use crate::study::{Source, Study, training_of};
use crate::training::familiar::keep_looks;
use crate::training::study_fields::StudyFields;
use crate::{Job, Part, ProjectError};

/// Pixels that rules are tried on; larger fields are cut to a window in their middle, so that the
/// choice takes seconds rather than minutes.
const MOST_PIXELS: usize = 4_000_000;

/// Groups of validation fields from which on a training chooses unasked. A choice on four fields of
/// two groups was worse on other groups than the default (docs/objects.md).
const LEAST_GROUPS: usize = 4;

/// Chooses rules for the study's model `name` on the validation fields; one that was chosen before
/// is replaced.
///
/// # Errors
/// There is no such model, no validation field with a nucleus, a field cannot be read or predicted,
/// or the file not be written.
pub fn tune(study: &Study, name: &str, job: &Job) -> Result<Decisions, ProjectError> {
    study.truth_must_be_still("tune")?;
    let folder = study.trained_model(Some(name))?;
    // Nobody trains another model there meanwhile, and `prepare` waits.
    let way_out = "wait until it ends";
    let lease = training_of(&study.run_path(name), "tune").own(way_out, job.cancel)?;
    study.truth_must_be_still("tune")?;
    let chosen = lease.during(job, |job| {
        let (source, rows) = (study.source()?, study.fields()?);
        let chosen = choose_rule(study, &source, &rows, &folder, job)?;
        // By the rule that was chosen.
        keep_looks(study, &source, &rows, &folder, job)?;
        Ok(chosen)
    })?;
    chosen.ok_or_else(|| {
        ProjectError::Failed(format!(
            "`{}` has no validation field with a nucleus, on which a rule could be chosen; change \
             `[split]` and prepare again",
            study.root().display()
        ))
    })
}

/// [`choose_rule`] for a model that was trained just now, unless it has its rule already or there
/// are too few groups to choose on. The model is whole without one: where none can be chosen, that
/// is said.
///
/// # Errors
/// [`ProjectError::Cancelled`].
pub(crate) fn rule_for(
    study: &Study,
    source: &Source,
    rows: &[FieldRow],
    trained: &Path,
    job: &Job,
) -> Result<(), ProjectError> {
    let hash = Model::load(trained)?.hash();
    match Decisions::read(trained, &hash) {
        Ok(Some(_)) => return Ok(()),
        Ok(None) => {}
        // Somebody may have changed it: it stays as it is.
        Err(error) => {
            job.progress.note(&error.to_string());
            return Ok(());
        }
    }
    let validation = rows
        .iter()
        .filter(|row| row.split == Some(Part::Validation));
    let groups: BTreeSet<&str> = validation.map(|row| row.group.as_str()).collect();
    if groups.len() < LEAST_GROUPS {
        // One that is there is of the model that was replaced.
        return Decisions::forget_other(trained, &hash).map_err(decided);
    }
    match choose_rule(study, source, rows, trained, job) {
        Ok(Some(chosen)) if chosen.chosen == chosen.default => job.progress.note(&format!(
            "nuclei are made by the default rule: on {} validation fields none is better by more \
             than chance (object F1 {:.3}, count {:+.0} %)",
            chosen.fields.len(),
            chosen.default.f1,
            100.0 * chosen.default.count_error
        )),
        Ok(Some(chosen)) => job.progress.note(&format!(
            "how nuclei are made was chosen on {} validation fields: object F1 {:.3} (the default \
             {:.3}), counts {:+.0} % ({:+.0} %)",
            chosen.fields.len(),
            chosen.chosen.f1,
            chosen.default.f1,
            100.0 * chosen.chosen.count_error,
            100.0 * chosen.default.count_error
        )),
        Ok(None) => Decisions::forget_other(trained, &hash).map_err(decided)?,
        Err(error @ ProjectError::Cancelled) => return Err(error),
        Err(error) => job.progress.note(&format!(
            "the model is whole, but how nuclei are made was not chosen, so the default holds: \
             {error}; `stainfree tune` chooses it"
        )),
    }
    Ok(())
}

/// Chooses the rule for the model in `folder` on the study's validation fields and writes it beside
/// the model. `None` where there is no such field, or none with a nucleus.
///
/// # Errors
/// A field cannot be read or predicted, or the file not be written.
pub(crate) fn choose_rule(
    study: &Study,
    source: &Source,
    rows: &[FieldRow],
    folder: &Path,
    job: &Job,
) -> Result<Option<Decisions>, ProjectError> {
    let part = StudyFields::of(study, source, rows, Part::Validation)?;
    if part.fields().is_empty() {
        return Ok(None);
    }
    // One that is there may be of a model that this one has replaced.
    let options = Options {
        rule: RuleChoice::Default,
        ..Options::default()
    };
    let mut model = OpenedModel::open(folder, job.machine, &options)?;
    let decoder = model.predictor.decoder().clone();
    let mut seen = Vec::new();
    let budget = MOST_PIXELS / part.fields().len();
    EachField::new(job, part.fields(), |field| field.name.clone()).in_turn(|field| {
        seen.extend(Seen::of(study, source, field, &mut model, budget, job)?);
        Ok(())
    })?;
    let in_pixels = decoder.pixel_um.is_none() && seen.iter().any(|s| s.pixel_um.is_none());
    let first = default_rule(model.predictor.outputs());
    let search = Search {
        default: decoder.clone(),
        decoder: NucleusDecoder {
            in_pixels,
            ..decoder
        },
        ways: ways(model.predictor.outputs()),
        cancel: job.cancel,
        seen,
    };
    let workers = model.predictor.workers().clone();
    let decisions = workers.run(|| -> Result<_, ProjectError> {
        let default = search.default_trial()?;
        if !search.has_nuclei() {
            return Ok(None);
        }
        let (mut rule, mut chosen) = search.best(&first)?;
        let mut in_pixels = in_pixels;
        // Few fields flatter the best of many rules: it must be better by more than chance
        // (Breiman et al. 1984, the rule of one standard error).
        if chosen.score < default.score + default.standard_error() {
            (rule, chosen, in_pixels) = (first, default, false);
        }
        Ok(Some(Decisions {
            program: format!("stainfree {}", env!("CARGO_PKG_VERSION")),
            model: model.predictor.hash().to_owned(),
            in_pixels,
            curve: search.curve(&rule)?,
            rule,
            chosen,
            default,
            fields: search.seen.iter().map(|seen| seen.name.clone()).collect(),
        }))
    })?;
    let Some(decisions) = decisions else {
        return Ok(None);
    };
    decisions.write(folder).map_err(decided)?;
    Ok(Some(decisions))
}

fn decided(error: stainfree_inference::InferenceError) -> ProjectError {
    ProjectError::Failed(error.to_string())
}

/// A field with truth, predicted.
struct Seen {
    name: String,
    pixels: Pixels,
    pixel_um: Option<f64>,
    truth: Image<u32>,
    ignore: Option<Image<bool>>,
}

impl Seen {
    /// Predicts a field and keeps a window of at most `budget` pixels; `None` where the field shows
    /// nothing.
    fn of(
        study: &Study,
        source: &Source,
        field: &Field,
        model: &mut OpenedModel,
        budget: usize,
        job: &Job,
    ) -> Result<Option<Self>, ProjectError> {
        let planes = source.brightfield.read(field)?;
        let mut pixels = match model.predict(field, &planes, job) {
            Err(ProjectError::NothingSeen { .. }) => return Ok(None),
            pixels => pixels?,
        };
        let truth = read_labels(&study.nuclei_path(&field.name))?;
        let classes = read_class_mask(&study.class_mask_path(&field.name))?;
        let window = Window::within(truth.size(), budget);
        pixels.classes = window.of(&pixels.classes);
        for output in &mut pixels.outputs {
            output.planes = output.planes.iter().map(|plane| window.of(plane)).collect();
        }
        let classes = window.of(&classes);
        let any_ignored = classes.data().contains(&IGNORED);
        Ok(Some(Self {
            name: field.name.clone(),
            pixels,
            pixel_um: field.pixel_um,
            truth: window.of(&truth),
            ignore: any_ignored.then(|| classes.map(|&class| class == IGNORED)),
        }))
    }
}

/// The middle of a field.
struct Window {
    corner: [usize; 2],
    size: [usize; 2],
}

impl Window {
    /// The largest of the field's shape with at most `budget` pixels.
    fn within((height, width): (usize, usize), budget: usize) -> Self {
        let share = (budget as f64 / (height * width).max(1) as f64)
            .sqrt()
            .min(1.0);
        let size = [height, width].map(|side| ((side as f64 * share) as usize).clamp(1, side));
        Self {
            corner: [(height - size[0]) / 2, (width - size[1]) / 2],
            size,
        }
    }

    fn of<T: Copy>(&self, image: &Image<T>) -> Image<T> {
        let ([y, x], [height, width]) = (self.corner, self.size);
        image.crop(y, x, height, width)
    }
}
