//! `pretrain`: a model that has seen virtual plates only, to start other trainings from.

use std::error::Error;
use std::path::{Path, PathBuf};

use stainfree_network::recipe::{Length, Recipe};
use stainfree_network::train::{FieldContent, RawField, TrainError, TrainingData};
use stainfree_network::{Workers, weights};
use stainfree_specimen::{PlateSpec, simulate_field};

use crate::study::config::TrainingConfig;
use crate::study::provenance::of_training;
use crate::study::training_of;
use crate::training::shared::Trained;
use crate::training::shared::{
    Training, check_folder, finished, mark, refuse_without_checkpoint, write_model,
};
use crate::training::start::{model_of, start};
use crate::training::train;
use crate::training::train::{TrainOptions, VALIDATION_BYTES, network_of};
use crate::{Job, ProjectError};

/// Classes of the virtual plates' truth: scheme A.
const CLASSES: [&str; 3] = ["background", "nucleus", "cytoplasm"];
/// Virtual fields that the state to keep is chosen by.
const VALIDATION_FIELDS: usize = 16;
/// Memory for normalised fields, bytes. No field comes twice, so there is nothing to gain from
/// more.
const CACHE_BYTES: usize = 64 << 20;
/// Largest number of brightfield counts: a 16-bit camera.
const FULL_RANGE: f32 = 65_535.0;

/// What to pretrain.
#[derive(Clone, Debug)]
pub struct PretrainOptions {
    /// Folder of the model.
    pub out: PathBuf,
    /// Brightfield planes: 1 or 3.
    pub planes: usize,
    /// As for a study's training; `name` and `only` are not used.
    pub training: TrainOptions,
}

/// Trains on an endless series of virtual plates, every crop from a field of its own, and writes
/// the model `out`.
///
/// # Errors
/// What stands in the folder is another training, the recipe cannot be followed, a file cannot be
/// written; [`ProjectError::Cancelled`] after a stop, with everything kept that is needed to go on.
pub fn pretrain(options: &PretrainOptions, job: &Job) -> Result<Trained, ProjectError> {
    check_folder(&options.out, "choose another folder for the model")?;
    let way_out = "wait until it ends, or choose another folder";
    let lease = training_of(&options.out, "pretrain").own(way_out, job.cancel)?;
    lease.during(job, |job| pretrain_ours(options, job))
}

/// [`pretrain`] in a folder that nobody else has.
fn pretrain_ours(options: &PretrainOptions, job: &Job) -> Result<Trained, ProjectError> {
    let (folder, run) = (&options.out, options.out.join("run"));
    refuse_without_checkpoint(folder, &run, options.training.restart)?;
    mark(folder, "pretrain")?;
    let recipe = recipe_of(&options.training)?;
    let classes = CLASSES.map(str::to_owned);
    let network = network_of(&recipe, classes.len())?;
    let wanted = match (
        options.training.weights.as_deref(),
        weights::built_in(recipe.encoder.name()),
    ) {
        (Some(given), _) => given,
        // Not the model that has seen virtual plates already.
        (None, Some(source)) if recipe.width == 1.0 => source.name,
        (None, _) => "auto",
    };
    let start = start(
        wanted,
        PathBuf::from(wanted),
        &network,
        &classes,
        options.planes,
        &recipe,
        job,
    )?;
    let path = Path::new(wanted);
    let mut record = of_training(
        "",
        Vec::new(),
        model_of(wanted, path),
        start.origin.as_deref(),
    )?;
    record.virtual_plates = Some(recipe.seed);
    let series = |seed, count| VirtualFields {
        seed,
        count,
        side: field_side(recipe.crop),
        planes: options.planes,
    };
    // One field a crop on average; with another seed for validation, since plates must not be
    // shared.
    let crops = recipe.steps(1) as usize * recipe.batch;
    let training = series(recipe.seed, crops.max(1));
    let validation = series(!recipe.seed, VALIDATION_FIELDS);
    // Pixel sizes are varied: the model is for none in particular.
    let (mut model, fresh) = Training {
        start,
        network,
        classes: classes.to_vec(),
        recipe,
        fields: &training,
        validation: &validation,
        pixel_um: None,
        run: &run,
        restart: options.training.restart,
        cache_bytes: CACHE_BYTES,
        validation_bytes: VALIDATION_BYTES,
    }
    .model(job)?;
    if let Some(trained) = finished(&model, fresh, folder, job)? {
        return Ok(trained);
    }
    write_model(&mut model, record, &run, folder)
}

/// The recipe, with lengths in steps: an endless series has no epochs.
fn recipe_of(options: &TrainOptions) -> Result<Recipe, ProjectError> {
    let training = TrainingConfig {
        recipe: options
            .recipe
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        ..TrainingConfig::default()
    };
    let mut recipe = train::recipe_of(Path::new(""), training, Path::new("pretrain"), options)?;
    // No plate comes twice, so that there is nothing to begin anew for.
    recipe.round_steps = None;
    if !matches!(recipe.length, Length::Steps(_)) {
        return Err(ProjectError::Usage(format!(
            "the recipe `{}` counts epochs and virtual plates never end; give `--steps`",
            recipe.name
        )));
    }
    recipe.rescale = false;
    Ok(recipe)
}

/// A field must hold a crop that is turned and scaled; what sticks out is mirrored.
fn field_side(crop: usize) -> usize {
    (crop + crop / 4).max(64)
}

/// A series of virtual plates of one field each.
struct VirtualFields {
    seed: u64,
    count: usize,
    side: usize,
    planes: usize,
}

impl TrainingData for VirtualFields {
    fn len(&self) -> usize {
        self.count
    }

    fn name(&self, field: usize) -> String {
        format!("virtual {field}")
    }

    fn read(&self, field: usize) -> Result<RawField, Box<dyn Error + Send + Sync>> {
        let spec = PlateSpec::varied(self.seed, field as u64, self.side, self.planes);
        let seen = simulate_field(&spec, 0, 0)?;
        Ok(RawField {
            planes: seen
                .brightfield
                .iter()
                .map(|plane| plane.map(|&count| f32::from(count)))
                .collect(),
            full_range: FULL_RANGE,
            blank: None,
            target: seen.truth.classes,
            labels: Some(seen.truth.nuclei),
        })
    }

    fn contents(&self, _: &Workers) -> Result<Vec<FieldContent>, TrainError> {
        let Self {
            seed, side, planes, ..
        } = self;
        let series =
            format!("virtual plates of seed {seed}, {side} x {side} pixels, {planes} planes");
        Ok(vec![FieldContent::of_series(series)])
    }
}
