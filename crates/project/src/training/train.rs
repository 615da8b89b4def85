//! `train`: a model from the study's training fields.
//!
//! Here: which fields, which recipe, where files go. `start` is where it begins, `training` what it
//! shares with `pretrain`. Everything it needs to go on lies in `runs/NAME`; the finished model is
//! `models/NAME`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use stainfree_image::{Field, rounded_um};
use stainfree_network::model::sha256;
use stainfree_network::recipe::{Length, Recipe};
use stainfree_network::resample::SAME_PIXEL_SIZE;
use stainfree_network::{Encoder, Precision, Selection, UnetSpec};

use crate::study::beside_model::{INPUT, InputChannels, RECORD};
use crate::study::config::TrainingConfig;
use crate::study::fields::FieldRow;
use crate::study::fingerprint::Fingerprint;
use crate::study::provenance::{Content, MetField, Provenance, difference, fields_of, of_training};
use crate::study::recipe;
use crate::study::{Source, Study, training_of};
use crate::training::familiar::looks_for;
use crate::training::shared::{
    Trained, Training, check_folder, finished, mark, refuse_without_checkpoint, write_model,
};
use crate::training::start::{Start, model_of, start};
use crate::training::study_fields::StudyFields;
use crate::training::tune::rule_for;
use crate::{Job, Part, ProjectError};

/// Memory for normalised fields unless told otherwise, bytes.
const CACHE_BYTES: usize = 512 << 20;
/// Memory of the network while validating unless told otherwise, bytes.
pub(crate) const VALIDATION_BYTES: usize = 1 << 30;

/// What the command line says about a training; `None` leaves it to `stainfree.toml`.
#[derive(Clone, Debug, Default)]
pub struct TrainOptions {
    /// Name of the model.
    pub name: String,
    /// Recipe: a name or a file.
    pub recipe: Option<String>,
    /// Encoder by name.
    pub encoder: Option<String>,
    /// Factor on all channel counts.
    pub width: Option<f64>,
    /// Arithmetic of the products.
    pub precision: Option<Precision>,
    /// What to start from: `auto`, `none`, a name of the list of weights, a weights file or a
    /// model's folder.
    pub weights: Option<String>,
    /// How long.
    pub length: Option<Length>,
    /// Crops a step.
    pub batch: Option<usize>,
    /// Side of a crop in pixels.
    pub crop: Option<usize>,
    /// Seed of the training.
    pub seed: Option<u64>,
    /// Begin anew and give up what stands under this name; else a training goes on where it stood.
    pub restart: bool,
    /// The recipe of another training in the place of the study's; length, batch, crop, seed and
    /// precision above change it.
    pub like: Option<Recipe>,
    /// This recipe and no other; nothing above and nothing of the study's changes it.
    pub exact: Option<Recipe>,
    /// Only these training fields; none = all.
    pub only: Option<Vec<String>>,
}

/// Trains a model on the study's training fields and writes `models/NAME`.
///
/// A training that stands under this name goes on, also with more steps; one that is finished is
/// said to be.
///
/// # Errors
/// The study is not prepared, what stands under this name is another training, the recipe cannot be
/// followed, a file cannot be read or written; [`ProjectError::Cancelled`] after a stop, with
/// everything kept that is needed to go on.
pub fn train(study: &Study, options: &TrainOptions, job: &Job) -> Result<Trained, ProjectError> {
    check_name(&options.name)?;
    study.truth_must_be_still("train")?;
    let run = study.run_path(&options.name);
    let way_out = "wait until it ends, or train under another `--name`";
    let lease = training_of(&run, "train").own(way_out, job.cancel)?;
    // `prepare` may have begun in between; it then waits for this answer.
    study.truth_must_be_still("train")?;
    lease.during(job, |job| train_ours(study, options, job))
}

/// [`train`] of a name that nobody else trains.
fn train_ours(study: &Study, options: &TrainOptions, job: &Job) -> Result<Trained, ProjectError> {
    let folder = study.model_path(&options.name);
    let run = study.run_path(&options.name);
    refuse_without_checkpoint(&folder, &run, options.restart)?;
    check_folder(&folder, "train under another `--name`")?;
    let mut recipe = match &options.exact {
        Some(recipe) => recipe.clone(),
        None => chosen_recipe(study, options)?,
    };
    let source = study.source()?;
    let rows = study.fields()?;
    let mut training = StudyFields::of(study, &source, &rows, Part::Train)?;
    let all: Vec<&Field> = training.fields.clone();
    if let Some(only) = &options.only {
        training.fields.retain(|field| only.contains(&field.name));
    }
    let mut validation = StudyFields::of(study, &source, &rows, Part::Validation)?;
    remark_on_empty_truth(&rows, &training, job);
    let planes = training.planes()?;
    let pixel_um = training.pixel_um(recipe.rescale);
    if recipe.rescale {
        training.pixel_um = pixel_um;
        validation.pixel_um = pixel_um;
        remark_on_pixel_sizes(&training, &validation, job);
    }

    let pixels = all
        .iter()
        .map(|field| pixels_at(field, training.pixel_um))
        .sum();

    let classes = study.config().truth.classes.clone();
    let network = network_of(&recipe, classes.len())?;
    training.labelled = !network.outputs.is_empty();
    validation.labelled = training.labelled || recipe.selection == Selection::Objects;
    let (wanted, path) = wanted_weights(study, options);
    let start = start(
        wanted,
        path.clone(),
        &network,
        &classes,
        planes,
        &recipe,
        job,
    )?;
    fit_rounds(&mut recipe, &start, pixels, training.fields.len(), job);
    let fields = met_fields(study, &source, &rows, options.only.as_deref(), job)?;
    remark_on_blank_truth(&fields, job);
    let contents = contents_by_name(&fields);
    training.contents = contents.clone();
    validation.contents = contents;
    let group = &study.config().split.group;
    let record = of_training(
        group,
        fields,
        model_of(wanted, &path),
        start.origin.as_deref(),
    )?;
    check_record(&run, &record, !options.restart, job)?;
    let training = Training {
        start,
        network,
        classes,
        recipe,
        fields: &training,
        validation: &validation,
        pixel_um,
        run: &run,
        restart: options.restart,
        cache_bytes: job.machine.memory().map_or(CACHE_BYTES, |cap| cap / 2),
        validation_bytes: job.machine.memory().map_or(VALIDATION_BYTES, |cap| cap / 2),
    };
    // Before the training, as all that it reads.
    let data = hash_of_data(study, &rows)?;
    let config = std::fs::read(study.config_path())
        .map_err(|error| ProjectError::read(&study.config_path(), &error))?;
    let (mut model, fresh) = training.model(job)?;
    if let Some(trained) = finished(&model, fresh, &folder, job)? {
        beside_model(study, &source, &rows, options, job)?;
        return Ok(trained);
    }
    model.info.pixel_um = pixel_um;
    model.info.hashes = BTreeMap::from([
        ("data".to_owned(), data),
        ("config".to_owned(), sha256(&config)),
    ]);
    mark(&folder, "train")?;
    let channels = InputChannels {
        brightfield: study.config().images.brightfield.clone(),
        planes: study.config().images.planes.clone(),
    };
    // Plain lists of names and numbers: turning them into text cannot fail.
    let text = toml::to_string(&channels).unwrap_or_default();
    let hash = INPUT.put(&folder, text.as_bytes())?;
    model.info.hashes.extend([hash]);
    let trained = write_model(&mut model, record, &run, &folder)?;
    beside_model(study, &source, &rows, options, job)?;
    Ok(trained)
}

/// What is learned of a model once it is whole, and kept beside it: how nuclei are made, and what
/// its training looked like. Runs of an experiment predict nothing that they have not met.
fn beside_model(
    study: &Study,
    source: &Source,
    rows: &[FieldRow],
    options: &TrainOptions,
    job: &Job,
) -> Result<(), ProjectError> {
    let folder = study.model_path(&options.name);
    rule_for(study, source, rows, &folder, job)?;
    match options.exact {
        None => looks_for(study, source, rows, &folder, job),
        Some(_) => Ok(()),
    }
}

/// Passes over the pixels of the training fields that a round takes at least.
///
/// 10 to 17 of them are 400 steps of 4 crops of 224 px on 28 to 44 fields of 416 px, where rounds
/// were measured (docs/objects.md). More fields have more to teach before anything is repeated.
const ROUND_PASSES: u64 = 10;

/// Makes rounds as long as the fields ask for. Weights can only be averaged where all rounds begin
/// with a network that knows the task: trainings from less end too far from one another.
///
/// `pixels` are those of all training fields as they are learned from, also where a learning curve
/// takes only some: its points differ in nothing else. `fields` are trained on.
fn fit_rounds(recipe: &mut Recipe, start: &Start, pixels: u64, fields: usize, job: &Job) {
    let Some(least) = recipe.round_steps else {
        return;
    };
    if !start.is_trained() {
        recipe.round_steps = None;
        return;
    }
    let of_step = (recipe.batch as u64)
        .saturating_mul(recipe.crop as u64)
        .saturating_mul(recipe.crop as u64);
    let length = ROUND_PASSES.saturating_mul(pixels).div_ceil(of_step.max(1));
    // What cannot be followed is refused later, in words.
    let length = if least == 0 { 0 } else { least.max(length) };
    recipe.round_steps = Some(length);
    let rounds = recipe.rounds(0, recipe.steps(fields)).count();
    if rounds > 1 {
        job.progress.note(&format!(
            "{rounds} rounds of {length} steps or more, each from the same start; what is kept is \
             the mean of their weights"
        ));
    }
}

/// Pixels of a field that is brought to a pixel size, where both are known.
fn pixels_at(field: &Field, pixel_um: Option<f64>) -> u64 {
    let factor = field
        .pixel_um
        .zip(pixel_um)
        .map_or(1.0, |(own, um)| own / um);
    ((field.height * field.width) as f64 * factor * factor) as u64
}

/// The network that a recipe asks for.
pub(crate) fn network_of(recipe: &Recipe, classes: usize) -> Result<UnetSpec, ProjectError> {
    UnetSpec::of_recipe(recipe, classes).map_err(|error| ProjectError::Failed(error.to_string()))
}

/// What trains, what chooses and what is kept for the test, as the record of the model has it.
fn met_fields(
    study: &Study,
    source: &Source,
    rows: &[FieldRow],
    only: Option<&[String]>,
    job: &Job,
) -> Result<Vec<MetField>, ProjectError> {
    let met = |row: &&FieldRow| match row.split {
        Some(Part::Train) => only.is_none_or(|only| only.contains(&row.name)),
        split => split.is_some(),
    };
    let rows: Vec<&FieldRow> = rows.iter().filter(met).collect();
    fields_of(study, source, &rows, job)
}

/// Keeps the record in the run's folder, so that a training goes on only with what it began with.
///
/// # Errors
/// Images, truth or split are others than those of the checkpoint.
fn check_record(
    run: &Path,
    record: &Provenance,
    resume: bool,
    job: &Job,
) -> Result<(), ProjectError> {
    let path = run.join(RECORD.file);
    if resume && run.join("checkpoint.safetensors").exists() {
        match Provenance::read(&path)? {
            Some(before) => {
                if let Some(what) = difference(&before, record) {
                    return Err(ProjectError::OtherData {
                        run: run.to_owned(),
                        what,
                    });
                }
            }
            None => job.progress.note(&format!(
                "`{}` does not record what it was trained on so far; that nothing has changed \
                 since is taken for granted",
                run.display()
            )),
        }
    }
    std::fs::create_dir_all(run).map_err(|error| ProjectError::write(run, &error))?;
    record.write(&path)
}

/// The recipe of the study, changed by the command line.
fn chosen_recipe(study: &Study, options: &TrainOptions) -> Result<Recipe, ProjectError> {
    if let Some(like) = &options.like {
        return Ok(changed(like.clone(), options));
    }
    let mut training = study.config().training.clone();
    if let Some(name) = &options.recipe {
        // A file named on the command line is where the user stands, not beside the study.
        let path = Path::new(name);
        training.recipe = if Recipe::named(name).is_none() && path.is_file() {
            std::path::absolute(path)
                .map_err(|error| ProjectError::read(path, &error))?
                .to_string_lossy()
                .into_owned()
        } else {
            name.clone()
        };
    }
    let truth = &study.config().truth;
    let mut recipe = recipe_of(
        study.root(),
        training.clone(),
        &study.config_path(),
        options,
    )?;
    recipe::fit_outputs(&mut recipe, &training, truth, truth.scheme);
    Ok(recipe)
}

/// The recipe that `training` asks for, with what the command line says. `root` and `config` as for
/// [`recipe::load`].
pub(crate) fn recipe_of(
    root: &Path,
    mut training: TrainingConfig,
    config: &Path,
    options: &TrainOptions,
) -> Result<Recipe, ProjectError> {
    if let Some(name) = &options.encoder {
        if Encoder::parse(name).is_none() {
            let known: Vec<&str> = Encoder::ALL.iter().map(|encoder| encoder.name()).collect();
            return Err(ProjectError::Usage(format!(
                "no encoder is called `{name}` (encoders: {})",
                known.join(", ")
            )));
        }
        // A change of the study, so that it meets the study's other changes in the same order.
        let encoder = ("encoder".to_owned(), name.clone().into());
        training.change.extend([encoder]);
    }
    let mut recipe = recipe::load(root, &training, config, recipe::CHANGE)?;
    if let Some(width) = options.width {
        recipe = narrowed(recipe, width);
    }
    Ok(changed(recipe, options))
}

/// The recipe with what the options say of any.
fn changed(mut recipe: Recipe, options: &TrainOptions) -> Recipe {
    recipe.precision = options.precision.unwrap_or(recipe.precision);
    recipe.length = options.length.unwrap_or(recipe.length);
    recipe.batch = options.batch.unwrap_or(recipe.batch);
    recipe.crop = options.crop.unwrap_or(recipe.crop);
    recipe.seed = options.seed.unwrap_or(recipe.seed);
    recipe
}

/// The recipe for a network of another width.
///
/// Adam's steps add up over a layer's inputs: with fewer of them the rate may be larger by as much
/// (Yang & Hu 2021, "Tensor Programs IV", maximal update parametrisation).
pub(crate) fn narrowed(mut recipe: Recipe, width: f64) -> Recipe {
    recipe.adam.lr *= recipe.width / width;
    recipe.width = width;
    recipe
}

/// What the training starts from: the word, and the path that it may be. One of the command line
/// lies where the user stands, one of the study beside it.
fn wanted_weights<'a>(study: &'a Study, options: &'a TrainOptions) -> (&'a str, PathBuf) {
    match options.weights.as_deref() {
        Some(given) => (given, PathBuf::from(given)),
        None => {
            let own = study.config().training.weights.as_str();
            (own, study.resolve(Path::new(own)))
        }
    }
}

/// A model's name is the name of a folder.
pub(crate) fn check_name(name: &str) -> Result<(), ProjectError> {
    let plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', ':']);
    if plain {
        return Ok(());
    }
    Err(ProjectError::Usage(format!(
        "`{name}` is no name for a model; use letters, digits, `-` and `_`"
    )))
}

/// A hash of the truth that the model learned from and was chosen by.
pub(crate) fn hash_of_data(study: &Study, rows: &[FieldRow]) -> Result<String, ProjectError> {
    let mut hash = Fingerprint::empty();
    for row in rows
        .iter()
        .filter(|row| matches!(row.split, Some(Part::Train | Part::Validation)))
    {
        let path = study.class_mask_path(&row.name);
        let bytes = std::fs::read(&path).map_err(|error| ProjectError::read(&path, &error))?;
        let mut mask = Fingerprint::empty();
        mask.bytes(&bytes);
        hash.bytes(&row.name);
        hash.bytes(mask.digest());
    }
    Ok(hash.finish())
}

/// Says when there is nothing to tell apart: no truth has two classes.
fn remark_on_blank_truth(fields: &[MetField], job: &Job) {
    let training = || fields.iter().filter(|field| field.role == Part::Train);
    if training().next().is_some() && training().all(|field| field.content.classes.is_none()) {
        job.progress.note(&format!(
            "the truth of all {} training fields holds a single class, so the network can learn \
             nothing: look at the pictures and remarks of `stainfree prepare` first",
            training().count()
        ));
    }
}

/// Contents by the names of their fields.
fn contents_by_name(fields: &[MetField]) -> BTreeMap<String, Content> {
    let content = |field: &MetField| (field.name.clone(), field.content.clone());
    fields.iter().map(content).collect()
}

/// Says, before hours are spent, that there is no nucleus to learn from.
fn remark_on_empty_truth(rows: &[FieldRow], training: &StudyFields, job: &Job) {
    let trains: BTreeSet<&String> = training.fields.iter().map(|field| &field.name).collect();
    let nuclei = rows.iter().filter(|row| trains.contains(&row.name));
    if !trains.is_empty() && nuclei.map(|row| row.nuclei).sum::<usize>() == 0 {
        job.progress.note(&format!(
            "the truth of none of {} training fields has a nucleus: a network trained on them \
             finds none",
            trains.len()
        ));
    }
}

/// Says which fields are brought to another pixel size, or that one cannot tell.
fn remark_on_pixel_sizes(training: &StudyFields, validation: &StudyFields, job: &Job) {
    let fields = || training.fields.iter().chain(&validation.fields);
    let Some(model) = training.pixel_um else {
        let known = fields().filter(|field| field.pixel_um.is_some()).count();
        if known > 0 {
            job.progress.note(&format!(
                "{} of {} fields have no pixel size, so no field is brought to another; give one \
                 size for all with `pixel_um` in `[images]`",
                fields().count() - known,
                fields().count()
            ));
        }
        return;
    };
    let other = |field: &&&Field| {
        field
            .pixel_um
            .is_some_and(|um| (um / model - 1.0).abs() > SAME_PIXEL_SIZE)
    };
    let count = fields().filter(other).count();
    if count > 0 {
        job.progress.note(&format!(
            "the network is for pixels of {} um: {count} of {} fields are resampled",
            rounded_um(model),
            fields().count()
        ));
    }
}
