//! How a model's numbers become nuclei, chosen on the validation fields.
//!
//! A training maximises what is said of pixels; which threshold, smoothing and depth of cuts give
//! the right nuclei is another question, with its own answer for every model. It costs no training:
//! the fields are predicted once, and some hundred rules are tried on what came out.

mod pixels;
mod risk;
mod search;
mod sure;
mod tried;

use search::Search;
use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use stainfree_image::{Field, Image, read_class_mask, read_labels};
use stainfree_inference::confidence::TooFew;
use stainfree_inference::probabilities::NoTemperatures;
use stainfree_inference::{
    Confidence, Decisions, NucleusDecoder, Options, Pixels, RuleChoice, Temperatures, default_rule,
    ways,
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

/// What was chosen for a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tuned {
    /// The rule.
    #[serde(flatten)]
    pub decisions: Decisions,
    /// How sure nuclei by that rule are, where it could be told.
    pub confidence: Option<Confidence>,
    /// What a user should know of that.
    pub confidence_note: String,
    /// What makes probabilities of pixels hold, where it could be told.
    pub probabilities: Option<Temperatures>,
    /// What a user should know of that.
    pub probabilities_note: String,
}

/// Chooses rules for the study's model `name` on the validation fields, and fits how sure nuclei by
/// the rule are and what probabilities are worth; what was chosen before is replaced. With `miss`
/// the rule is the strictest that
/// promises to miss at most this share of the nuclei, and not the best.
///
/// # Errors
/// There is no such model, no validation field with a nucleus, a field cannot be read or predicted,
/// or the file not be written.
pub fn tune(
    study: &Study,
    name: &str,
    miss: Option<f64>,
    job: &Job,
) -> Result<Tuned, ProjectError> {
    study.truth_must_be_still("tune")?;
    let folder = study.trained_model(Some(name))?;
    // Nobody trains another model there meanwhile, and `prepare` waits.
    let way_out = "wait until it ends";
    let lease = training_of(&study.run_path(name), "tune").own(way_out, job.cancel)?;
    study.truth_must_be_still("tune")?;
    let chosen = lease.during(job, |job| {
        let (source, rows) = (study.source()?, study.fields()?);
        let chosen = choose(study, &source, &rows, &folder, Wish::Rule { miss }, job)?;
        // By the rule that was chosen.
        keep_looks(study, &source, &rows, &folder, job)?;
        Ok(chosen)
    })?;
    let Some(Choice {
        rule: Some(decisions),
        sure: fitted,
        temperatures,
    }) = chosen
    else {
        return Err(ProjectError::Failed(format!(
            "`{}` has no validation field with a nucleus, on which a rule could be chosen; change \
             `[split]` and prepare again",
            study.root().display()
        )));
    };
    Ok(Tuned {
        decisions,
        confidence_note: sure::sentence(&fitted),
        confidence: fitted.ok(),
        probabilities_note: pixels::sentence(&temperatures),
        probabilities: temperatures.ok(),
    })
}

/// [`choose`] for a model that was trained just now, unless it has all already. The rule is chosen
/// where there are groups enough to choose on; how sure nuclei are is fitted for whatever rule
/// holds. The model is whole without either: where none can be had, that is said.
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
    let model = Model::load(trained)?;
    let hash = model.hash();
    let there = Decisions::read(trained, &hash).and_then(|rule| {
        let word = NucleusDecoder::of_model(&model, rule.as_ref()).word();
        let sure = Confidence::read(trained, &hash, &word)?;
        let temperatures = Temperatures::read(trained, &hash)?;
        Ok((rule, sure.is_some() && temperatures.is_some()))
    });
    let (rule, has_all) = match there {
        Ok(there) => there,
        // Somebody may have changed it: it stays as it is.
        Err(error) => {
            job.progress.note(&error.to_string());
            return Ok(());
        }
    };
    let validation = rows
        .iter()
        .filter(|row| row.split == Some(Part::Validation));
    let groups: BTreeSet<&str> = validation.map(|row| row.group.as_str()).collect();
    let anew = rule.is_none() && groups.len() >= LEAST_GROUPS;
    if rule.is_none() && !anew {
        // One that is there is of the model that was replaced.
        Decisions::forget_other(trained, &hash).map_err(decided)?;
    }
    if has_all && !anew {
        return Ok(());
    }
    let wish = match anew {
        true => Wish::Rule { miss: None },
        false => Wish::Given(NucleusDecoder::of_model(&model, rule.as_ref())),
    };
    match choose(study, source, rows, trained, wish, job) {
        Ok(Some(choice)) => {
            if let Some(chosen) = choice.rule {
                job.progress.note(&chosen_sentence(&chosen));
            }
            job.progress.note(&sure::sentence(&choice.sure));
            job.progress.note(&pixels::sentence(&choice.temperatures));
        }
        Ok(None) if anew => Decisions::forget_other(trained, &hash).map_err(decided)?,
        Ok(None) => {}
        Err(error @ ProjectError::Cancelled) => return Err(error),
        Err(error) => job.progress.note(&format!(
            "the model is whole, but how nuclei are made and how sure they are was not settled, so \
             the default holds: {error}; `stainfree tune` settles it"
        )),
    }
    Ok(())
}

/// What was chosen, in a sentence.
fn chosen_sentence(chosen: &Decisions) -> String {
    let fields = chosen.fields.len();
    if chosen.chosen == chosen.default {
        return format!(
            "nuclei are made by the default rule: on {fields} validation fields none is better by \
             more than chance (object F1 {:.3}, count {:+.0} %)",
            chosen.default.f1,
            100.0 * chosen.default.count_error
        );
    }
    format!(
        "how nuclei are made was chosen on {fields} validation fields: object F1 {:.3} (the \
         default {:.3}), counts {:+.0} % ({:+.0} %)",
        chosen.chosen.f1,
        chosen.default.f1,
        100.0 * chosen.chosen.count_error,
        100.0 * chosen.default.count_error
    )
}

/// What is wanted of a choice.
enum Wish {
    /// A rule: the best, or the strictest that misses at most a share of the nuclei.
    Rule { miss: Option<f64> },
    /// How sure nuclei by this one are.
    Given(NucleusDecoder),
}

/// What was found.
struct Choice {
    /// The rule, where one was asked for.
    rule: Option<Decisions>,
    /// How sure its nuclei are.
    sure: Result<Confidence, TooFew>,
    /// What makes probabilities of pixels hold.
    temperatures: Result<Temperatures, NoTemperatures>,
}

/// Chooses the rule for the model in `folder` on the study's validation fields, as is the `wish`,
/// fits how sure nuclei by it are and what probabilities are worth, and writes all beside the
/// model. `None` where there is no such
/// field, or none with a nucleus.
///
/// # Errors
/// A field cannot be read or predicted, or a file not be written.
fn choose(
    study: &Study,
    source: &Source,
    rows: &[FieldRow],
    folder: &Path,
    wish: Wish,
    job: &Job,
) -> Result<Option<Choice>, ProjectError> {
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
    let mut seen = Vec::new();
    let budget = MOST_PIXELS / part.fields().len();
    EachField::new(job, part.fields(), |field| field.name.clone()).in_turn(|field| {
        let group = rows.iter().find(|row| row.name == field.name);
        let group = group.map_or("", |row| &row.group);
        let found = Seen::of(study, source, (field, group), &mut model, budget, job)?;
        seen.extend(found);
        Ok(())
    })?;
    if !has_nuclei(&seen) {
        return Ok(None);
    }
    let hash = model.predictor.hash().to_owned();
    let workers = model.predictor.workers().clone();
    let classes = model.predictor.info().classes.clone();
    let same = study.config().truth.classes == classes;
    workers.run(|| {
        let temperatures = pixels::fit(&seen, (&classes, same), (folder, &hash))?;
        let miss = match wish {
            Wish::Rule { miss } => miss,
            Wish::Given(decoder) => {
                return Ok(Some(Choice {
                    rule: None,
                    sure: sure::fit(&seen, &decoder, (folder, &hash))?,
                    temperatures,
                }));
            }
        };
        let decisions = chosen_rule(&model, &seen, miss, job)?;
        decisions.write(folder).map_err(decided)?;
        let decoder = NucleusDecoder {
            rule: decisions.rule.clone(),
            in_pixels: decisions.in_pixels,
            ..model.predictor.decoder().clone()
        };
        Ok(Some(Choice {
            rule: Some(decisions),
            sure: sure::fit(&seen, &decoder, (folder, &hash))?,
            temperatures,
        }))
    })
}

/// The best rule for these fields, or the default where that is as good; or the strictest that
/// misses at most the share `miss`.
fn chosen_rule(
    model: &OpenedModel,
    seen: &[Seen],
    miss: Option<f64>,
    job: &Job,
) -> Result<Decisions, ProjectError> {
    let decoder = model.predictor.decoder().clone();
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
    let default = search.default_trial()?;
    let (rule, chosen, in_pixels, promise) = match miss {
        Some(bound) => {
            let (rule, promise) = risk::rule_within(seen, &search.default, bound, job.cancel)?;
            let by_it = NucleusDecoder {
                rule: rule.clone(),
                ..search.default.clone()
            };
            (rule, search.try_with(&by_it)?, false, Some(promise))
        }
        None => match search.best(&first)? {
            // Few fields flatter the best of many rules: it must be better by more than chance
            // (Breiman et al. 1984, the rule of one standard error).
            (_, best) if best.score < default.score + default.standard_error() => {
                (first, default, false, None)
            }
            (rule, best) => (rule, best, in_pixels, None),
        },
    };
    Ok(Decisions {
        program: format!("stainfree {}", env!("CARGO_PKG_VERSION")),
        model: model.predictor.hash().to_owned(),
        in_pixels,
        curve: search.curve(&rule)?,
        rule,
        chosen,
        default,
        promise,
        fields: seen.iter().map(|seen| seen.name.clone()).collect(),
    })
}

/// Whether a true nucleus counts anywhere.
fn has_nuclei(seen: &[Seen]) -> bool {
    let counts = |seen: &Seen| {
        let ignored = |i: usize| seen.ignore.as_ref().is_some_and(|g| g.data()[i]);
        let mut labels = seen.truth.data().iter().enumerate();
        labels.any(|(i, &label)| label > 0 && !ignored(i))
    };
    seen.iter().any(counts)
}

fn decided(error: stainfree_inference::InferenceError) -> ProjectError {
    ProjectError::Failed(error.to_string())
}

/// A field with truth, predicted.
struct Seen {
    name: String,
    group: String,
    /// Its well, where that is known.
    well: Option<String>,
    pixels: Pixels,
    pixel_um: Option<f64>,
    truth: Image<u32>,
    /// Class mask of the truth.
    classes: Image<u8>,
    ignore: Option<Image<bool>>,
}

impl Seen {
    /// Predicts a field and keeps a window of at most `budget` pixels; `None` where the field shows
    /// nothing.
    fn of(
        study: &Study,
        source: &Source,
        (field, group): (&Field, &str),
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
            group: group.to_owned(),
            well: field
                .position
                .well
                .as_ref()
                .map(|_| field.position.well_or_name()),
            pixels,
            pixel_um: field.pixel_um,
            truth: window.of(&truth),
            ignore: any_ignored.then(|| classes.map(|&class| class == IGNORED)),
            classes,
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
