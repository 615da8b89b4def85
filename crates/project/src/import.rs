//! `import`: a U-Net that was trained with segmentation_models.pytorch becomes a model folder.
//!
//! The network and its numbers are `stainfree_network::weights::smp`'s. What its file does not say,
//! the user does: which class is which channel, and how images were brought to numbers.

use std::path::PathBuf;

use serde::Serialize;
use stainfree_network::model::{FORMAT, Model, ModelInfo, TrainingRecord, sha256};
use stainfree_network::recipe::Recipe;
use stainfree_network::weights::smp::{self, Fate, SmpNetwork};
use stainfree_network::{InputSpec, Normalisation, Preprocessing};

use crate::study::beside_model::{self, RECORD};
use crate::study::provenance::{Ancestor, Known, Provenance};
use crate::study::training_of;
use crate::training::shared::{check_folder, mark};
use crate::{Job, ProjectError};

/// The class that everything else is.
const BACKGROUND: &str = "background";
/// Channels that `--partial` leaves fresh are as they come from this seed.
const SEED: u64 = 0;

/// What to import, and what only people know of it.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// The file of the `state_dict`.
    pub weights: PathBuf,
    /// The model's folder.
    pub out: PathBuf,
    /// Names of the channels of its last convolution, in their order; of a single one, its class.
    pub classes: Vec<String>,
    /// Brightfield planes that it reads: 1 or 3.
    pub planes: usize,
    /// How raw intensities became comparable.
    pub normalisation: Normalisation,
    /// What was taken away and divided by then.
    pub preprocessing: Preprocessing,
    /// Width of a pixel of the training images, um.
    pub pixel_um: Option<f64>,
    /// Take a file in which something is missing, or left over.
    pub partial: bool,
    /// Replace a model that is there.
    pub overwrite: bool,
}

/// A tensor of the file or of the network.
#[derive(Clone, Debug, Serialize)]
pub struct ImportedTensor {
    /// Its name in the file, or the network's.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// `applied`, `missing`, `left over` or `no part of the U-Net`.
    pub fate: &'static str,
}

/// A model that was made.
#[derive(Clone, Debug, Serialize)]
pub struct Imported {
    /// The model's folder.
    pub model: PathBuf,
    /// What it is recognised by.
    pub hash: String,
    /// What segmentation_models.pytorch calls its encoder.
    pub encoder: &'static str,
    /// Its classes, background first.
    pub classes: Vec<String>,
    /// Whether it can be trained on.
    pub can_be_trained: bool,
    /// Every tensor.
    pub tensors: Vec<ImportedTensor>,
}

impl Imported {
    /// Tensors of a fate, by its word.
    pub fn of(&self, fate: &str) -> Vec<&ImportedTensor> {
        let all = self.tensors.iter();
        all.filter(|tensor| tensor.fate == fate).collect()
    }
}

/// Makes the model folder `options.out` of the file.
///
/// # Errors
/// The file holds no U-Net that is known, or not all of one; classes that do not fit it; a folder
/// that is something else, or another model without `overwrite`.
pub fn import(options: &ImportOptions, job: &Job) -> Result<Imported, ProjectError> {
    check_folder(&options.out, "choose another folder for the model")?;
    let failed = |error: smp::SmpError| ProjectError::Start(error.to_string());
    let mut network = smp::import(&options.weights, options.partial, SEED).map_err(failed)?;
    let classes = order_classes(options, &mut network)?;
    let source = source_of(options)?;
    let model = model_of(options, &network, &classes, &source);
    refuse_another(options, &model)?;
    // Nothing is made before it is known that there is a model.
    let way_out = "wait until it ends, or choose another folder";
    let lease = training_of(&options.out, "import").own(way_out, job.cancel)?;
    lease.during(job, |_| keep(options, network, (model, classes, source)))
}

/// Writes the model's folder.
fn keep(
    options: &ImportOptions,
    network: SmpNetwork,
    (mut model, classes, source): (Model, Vec<String>, String),
) -> Result<Imported, ProjectError> {
    refuse_another(options, &model)?;
    mark(&options.out, "import")?;
    let mut record = Provenance::new("", Vec::new());
    record.ancestors.push(Ancestor {
        name: source,
        knows: Known::Unknown,
    });
    record.model = model.hash();
    let hash = RECORD.put(&options.out, &record.bytes())?;
    model.info.hashes.extend([hash]);
    // `model.toml` is written last: a folder that has one is complete.
    model.save(&options.out)?;
    beside_model::settle(&options.out)?;
    let tensors = network.tensors.into_iter().map(|tensor| ImportedTensor {
        name: tensor.name,
        shape: tensor.shape,
        fate: Fate::word(tensor.fate),
    });
    Ok(Imported {
        model: options.out.clone(),
        hash: record.model,
        encoder: network.encoder.name(),
        can_be_trained: network.encoder.own().is_some(),
        classes,
        tensors: tensors.collect(),
    })
}

/// Puts the background first. Returns the names of the classes.
fn order_classes(
    options: &ImportOptions,
    network: &mut SmpNetwork,
) -> Result<Vec<String>, ProjectError> {
    let given = &options.classes;
    let listed = || given.join(",");
    let usage = |text: String| Err(ProjectError::Usage(text));
    if given.len() != network.head_channels {
        return usage(format!(
            "`--classes {}` names {} channels, and the last convolution of `{}` has {}; name each \
             in its order, such as `background,nucleus`",
            listed(),
            given.len(),
            options.weights.display(),
            network.head_channels
        ));
    }
    if let Some(twice) = (1..given.len()).find(|&k| given[..k].contains(&given[k])) {
        return usage(format!(
            "`--classes {}` names `{}` twice",
            listed(),
            given[twice]
        ));
    }
    let place = given.iter().position(|class| class == BACKGROUND);
    match (place, &given[..]) {
        (None, [only]) => Ok(vec![BACKGROUND.to_owned(), only.clone()]),
        (Some(_), [_]) => usage(format!(
            "`--classes {BACKGROUND}` leaves nothing to be found: a single channel is the class \
             itself, such as `nucleus`"
        )),
        (None, _) => usage(format!(
            "`--classes {}` has no `{BACKGROUND}`: one of several channels must be that of all \
             else; a network with one sigmoid a channel cannot be imported",
            listed()
        )),
        (Some(first), _) => {
            let others = (0..given.len()).filter(|&k| k != first);
            let order: Vec<usize> = std::iter::once(first).chain(others).collect();
            network.reorder_classes(&order);
            Ok(order.iter().map(|&k| given[k].clone()).collect())
        }
    }
}

/// What the model says that it came from.
fn source_of(options: &ImportOptions) -> Result<String, ProjectError> {
    let path = &options.weights;
    let bytes = std::fs::read(path).map_err(|error| ProjectError::read(path, &error))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("file {name} {}", sha256(&bytes)))
}

fn model_of(
    options: &ImportOptions,
    network: &SmpNetwork,
    classes: &[String],
    source: &str,
) -> Model {
    let recipe = Recipe {
        name: "imported".to_owned(),
        rescale: options.pixel_um.is_some(),
        normalisation: options.normalisation.clone(),
        outputs: Vec::new(),
        ..Recipe::standard().on(network.encoder.nearest())
    };
    let info = ModelInfo {
        format: FORMAT,
        program: format!("stainfree {}", env!("CARGO_PKG_VERSION")),
        classes: classes.to_vec(),
        pixel_um: options.pixel_um,
        pretrained: Some(source.to_owned()),
        network: network.name.clone(),
        input: InputSpec {
            planes: options.planes,
            normalisation: options.normalisation.clone(),
            preprocessing: options.preprocessing.clone(),
        },
        recipe,
        training: TrainingRecord::default(),
        adapted: None,
        hashes: Default::default(),
    };
    Model {
        info,
        graph: network.graph.clone(),
        parameters: network.parameters.clone(),
        ignored: Vec::new(),
    }
}

/// Refuses to take another model's place unasked.
fn refuse_another(options: &ImportOptions, model: &Model) -> Result<(), ProjectError> {
    if options.overwrite || !options.out.join("model.toml").exists() {
        return Ok(());
    }
    let is_same = Model::load(&options.out).is_ok_and(|found| found.hash() == model.hash());
    match is_same {
        true => Ok(()),
        false => Err(ProjectError::Exists(format!(
            "`{}` has another model; choose another folder, or replace it with `--overwrite`",
            options.out.display()
        ))),
    }
}
