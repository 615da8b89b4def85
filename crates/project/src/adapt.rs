//! `adapt`: a model whose batch norms are measured anew on images of another plate.
//!
//! No truth is needed and nothing is learned: weights stay, and so does what the model has met. The
//! new model lies in a folder of its own, with the rule for nuclei of the old one. What was found
//! out of the old network on its validation fields (confidences, intervals, temperatures, scores of
//! images that were made worse) is not true of the new one and is left behind.

use std::error::Error;
use std::path::{Path, PathBuf};

use serde::Serialize;
use stainfree_image::{Dataset, Field, Image, OpenOptions};
use stainfree_inference::{Decisions, Options};
use stainfree_network::model::{Adapted, Model};
use stainfree_network::train::{NormCrops, RawField, TrainingData, has_norms, measure_norms};

use crate::prediction::familiar::Kept;
use crate::prediction::opened::OpenedModel;
use crate::prediction::results::{open_inputs, unique_names};
use crate::study::beside_model::{self, INPUT, RECORD};
use crate::study::provenance::{Ancestor, Known, Provenance};
use crate::study::{Brightfield, training_of};
use crate::training::shared::{check_folder, mark};
use crate::training::study_fields::raw_field;
use crate::{Job, ProjectError};

/// Batches that are measured at least: together some millions of pixels, and some thousands of the
/// deepest layers.
const LEAST_BATCHES: u32 = 32;
/// And at most, however many fields there are.
const MOST_BATCHES: u32 = 256;

/// What to measure, and where.
#[derive(Clone, Debug)]
pub struct AdaptOptions {
    /// Folder of the model, which stays as it is.
    pub model: PathBuf,
    /// Folders, plates and files of the new images.
    pub inputs: Vec<PathBuf>,
    /// Wells to measure on; with no field either, all fields.
    pub wells: Vec<String>,
    /// Fields to measure on.
    pub fields: Vec<String>,
    /// Folder of the new model.
    pub out: PathBuf,
    /// Weight of the new statistics, above 0 to 1; the rest is the old ones'.
    pub share: f64,
    /// Channels of the brightfield, where those of the training are not there.
    pub brightfield: Vec<String>,
    /// z planes, from 1.
    pub planes: Vec<usize>,
    /// What is known of the images that their files do not say.
    pub opening: OpenOptions,
    /// Replace a model that is there.
    pub overwrite: bool,
}

/// A model that was made.
#[derive(Clone, Debug, Serialize)]
pub struct AdaptedModel {
    /// Its folder.
    pub model: PathBuf,
    /// What it is recognised by.
    pub hash: String,
    /// Where it comes from, and what it was measured on.
    #[serde(flatten)]
    pub adapted: Adapted,
    /// How far statistics have moved: the median over all channels of all layers of the change of
    /// the mean, in standard deviations before.
    pub moved: f64,
}

/// Makes the model folder `options.out` of the one in `options.model`.
///
/// # Errors
/// No such model, or one without batch norms; no such images, wells or fields; a folder that is
/// something else, or another model without `overwrite`; [`ProjectError::Cancelled`], with nothing
/// written.
pub fn adapt(options: &AdaptOptions, job: &Job) -> Result<AdaptedModel, ProjectError> {
    check_folder(&options.out, "choose another folder for the new model")?;
    let old = Model::load(&options.model)?;
    refuse_itself(options, &old)?;
    if !has_norms(&old.parameters) {
        return Err(ProjectError::Failed(format!(
            "the network of `{}` has no batch norm that could be measured anew; correct some \
             fields and `stainfree retrain` its study",
            options.model.display()
        )));
    }
    let (sets, failed) = open_inputs(&options.inputs, &options.opening);
    if let Some(first) = failed.first() {
        return Err(ProjectError::Failed(first.clone()));
    }
    let opened = OpenedModel::open(&options.model, job.machine, &Options::default())?;
    let fields = Chosen::of(&sets, &opened, &old, options)?;
    drop(opened);
    let way_out = "wait until it ends, or choose another folder with `--out`";
    let lease = training_of(&options.out, "adapt").own(way_out, job.cancel)?;
    lease.during(job, |job| measured(options, old, &fields, job))
}

/// Measures, and writes the folder once everything is known.
fn measured(
    options: &AdaptOptions,
    old: Model,
    fields: &Chosen,
    job: &Job,
) -> Result<AdaptedModel, ProjectError> {
    let recipe = &old.info.recipe;
    let passes = fields.len().div_ceil(recipe.batch.max(1)) as u32;
    let crops = NormCrops {
        side: recipe.crop,
        batch: recipe.batch,
        batches: passes.clamp(LEAST_BATCHES, MOST_BATCHES),
    };
    let mut done = |batch: u32| {
        let what = format!("batch of {} crops", crops.batch);
        job.progress
            .step(batch as usize, crops.batches as usize, &what);
    };
    let found = measure_norms(
        job.machine,
        (&old.graph, &old.parameters),
        (&old.info.input, fields),
        (&crops, options.share as f32),
        &mut done,
        job.cancel.flag(),
    )?;
    let Some(parameters) = found else {
        return Err(ProjectError::Cancelled);
    };
    let adapted = Adapted {
        from: old.hash(),
        fields: fields.names(),
        share: options.share,
        crops: crops.batches * crops.batch as u32,
        crop_px: crops.side,
    };
    let new = Model {
        parameters,
        ..old.clone()
    };
    let moved = moved(&old, &new);
    put(options, &old, new, adapted, moved)
}

/// Writes the model's folder, `model.toml` last: a folder that has one is complete.
fn put(
    options: &AdaptOptions,
    old: &Model,
    mut new: Model,
    adapted: Adapted,
    moved: f64,
) -> Result<AdaptedModel, ProjectError> {
    let hash = new.hash();
    refuse_another(options, &hash)?;
    mark(&options.out, "adapt")?;
    new.info.program = format!("stainfree {}", env!("CARGO_PKG_VERSION"));
    new.info.adapted = Some(adapted.clone());
    new.info.hashes.clear();
    for key in ["data", "config"] {
        let kept = old.info.hashes.get(key);
        new.info
            .hashes
            .extend(kept.map(|hash| (key.to_owned(), hash.clone())));
    }
    // The network has met what the old one has, as that did: test fields are test fields still.
    if let Some(mut record) = Provenance::of_model(&options.model, &old.info.hashes)? {
        let name = options
            .model
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        record.ancestors.push(Ancestor {
            name: format!("model {name} {}", old.hash()),
            knows: Known::Recorded,
        });
        record.model = hash.clone();
        new.info
            .hashes
            .extend([RECORD.put(&options.out, &record.bytes())?]);
    }
    if let Some(input) = old.info.hashes.get(INPUT.key)
        && let Some(bytes) = INPUT.find(&options.model, input)?
    {
        new.info.hashes.extend([INPUT.put(&options.out, &bytes)?]);
    }
    let failed = |error: stainfree_inference::InferenceError| ProjectError::from(error);
    // Beside a model that is not there yet these are no one's.
    match Decisions::read(&options.model, &old.hash()).map_err(failed)? {
        Some(rule) => {
            let rule = Decisions {
                model: hash.clone(),
                // It was made on groups that the old network has predicted.
                promise: None,
                ..rule
            };
            rule.write(&options.out).map_err(failed)?;
        }
        None => Decisions::forget_other(&options.out, &hash).map_err(failed)?,
    }
    if let Some(kept) = Kept::read(&options.model, &old.hash())? {
        kept.of_images(&hash).write(&options.out)?;
    }
    new.save(&options.out)?;
    beside_model::settle(&options.out)?;
    Ok(AdaptedModel {
        model: options.out.clone(),
        hash,
        adapted,
        moved,
    })
}

/// The median change of the means before batch norms, in standard deviations of before.
fn moved(old: &Model, new: &Model) -> f64 {
    let mut changes: Vec<f64> = Vec::new();
    for mean in old.parameters.iter() {
        let Some(norm) = mean.name.strip_suffix(".running_mean") else {
            continue;
        };
        let variance = old.parameters.get(&format!("{norm}.running_var"));
        let Some((variance, after)) = variance.zip(new.parameters.get(&mean.name)) else {
            continue;
        };
        for ((before, after), variance) in mean.data.iter().zip(&after.data).zip(&variance.data) {
            let deviation = f64::from(*variance).max(1e-12).sqrt();
            changes.push(f64::from(after - before).abs() / deviation);
        }
    }
    changes.sort_unstable_by(f64::total_cmp);
    changes.get(changes.len() / 2).copied().unwrap_or(0.0)
}

/// Refuses the old model's own folder, whatever it is called.
fn refuse_itself(options: &AdaptOptions, old: &Model) -> Result<(), ProjectError> {
    let is_same = || Model::load(&options.out).is_ok_and(|found| found.hash() == old.hash());
    let path = |path: &Path| path.canonicalize().ok();
    let same_path = path(&options.out).is_some_and(|out| Some(out) == path(&options.model));
    match same_path || options.out.join("model.toml").exists() && is_same() {
        false => Ok(()),
        true => Err(ProjectError::Usage(format!(
            "`{}` holds the model that is to be adapted, which stays as it is; choose another \
             folder with `--out`",
            options.out.display()
        ))),
    }
}

/// Refuses to take another model's place unasked; the same again may be written.
fn refuse_another(options: &AdaptOptions, hash: &str) -> Result<(), ProjectError> {
    if options.overwrite || !options.out.join("model.toml").exists() {
        return Ok(());
    }
    match Model::load(&options.out).is_ok_and(|found| found.hash() == hash) {
        true => Ok(()),
        false => Err(ProjectError::Exists(format!(
            "`{}` has another model; choose another folder, or replace it with `--overwrite`",
            options.out.display()
        ))),
    }
}

/// The fields that are measured.
struct Chosen<'a> {
    fields: Vec<(&'a Field, Brightfield)>,
    /// Pixel size that the model reads, where it brings images to one.
    pixel_um: Option<f64>,
    /// Planes that the model reads.
    planes: usize,
}

impl<'a> Chosen<'a> {
    fn of(
        sets: &'a [Dataset],
        model: &OpenedModel,
        old: &Model,
        options: &AdaptOptions,
    ) -> Result<Self, ProjectError> {
        let all = || sets.iter().flat_map(|set| &set.fields);
        unique_names(all(), sets)?;
        let is_well = |field: &Field, well: &String| {
            let position = &field.position;
            position.well.as_ref() == Some(well) || position.well_or_name() == *well
        };
        for well in &options.wells {
            if !all().any(|field| field.position.well.is_some() && is_well(field, well)) {
                let mut there: Vec<&String> = all()
                    .filter_map(|field| field.position.well.as_ref())
                    .collect();
                there.sort_unstable();
                there.dedup();
                return Err(unknown("--wells", well, "wells", &there));
            }
        }
        for name in &options.fields {
            if !all().any(|field| field.name == *name) {
                let there: Vec<&String> = all().map(|field| &field.name).collect();
                return Err(unknown("--fields", name, "fields", &there));
            }
        }
        let everything = options.wells.is_empty() && options.fields.is_empty();
        let is_chosen = |field: &Field| {
            let in_wells = || options.wells.iter().any(|well| is_well(field, well));
            everything || options.fields.contains(&field.name) || in_wells()
        };
        let mut fields = Vec::new();
        for set in sets {
            let brightfield = model.brightfield(set, &options.brightfield, &options.planes)?;
            let chosen = set.fields.iter().filter(|field| is_chosen(field));
            fields.extend(chosen.map(|field| (field, brightfield.clone())));
        }
        if fields.is_empty() {
            return Err(ProjectError::Failed(
                "the images hold no field to measure on".to_owned(),
            ));
        }
        Ok(Self {
            fields,
            pixel_um: old.info.pixel_um.filter(|_| old.info.recipe.rescale),
            planes: old.info.input.planes,
        })
    }

    fn names(&self) -> Vec<String> {
        self.fields
            .iter()
            .map(|(field, _)| field.name.clone())
            .collect()
    }
}

/// A word of a list that is not among what there is.
fn unknown(option: &str, word: &str, what: &str, there: &[&String]) -> ProjectError {
    const SHOWN: usize = 12;
    let mut listed: Vec<String> = there
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    if there.len() > SHOWN {
        listed.push(format!("and {} more", there.len() - SHOWN));
    }
    let listed = match listed.is_empty() {
        true => format!("they know no {what}"),
        false => format!("{what}: {}", listed.join(", ")),
    };
    ProjectError::Usage(format!(
        "`{option}`: the images have no `{word}` ({listed})"
    ))
}

impl TrainingData for Chosen<'_> {
    fn len(&self) -> usize {
        self.fields.len()
    }

    fn name(&self, field: usize) -> String {
        self.fields[field].0.name.clone()
    }

    /// The planes, with a truth that nobody looks at.
    fn read(&self, field: usize) -> Result<RawField, Box<dyn Error + Send + Sync>> {
        let (field, brightfield) = &self.fields[field];
        let mut planes = brightfield.read(field)?;
        if (self.planes, planes.len()) == (1, 3) {
            planes = vec![planes.swap_remove(1)];
        }
        let (height, width) = planes[0].size();
        let target = Image::filled(height, width, 0);
        raw_field(&planes, (target, None), field.pixel_um.zip(self.pixel_um))
    }
}
