//! What `predict` is asked for.

use std::path::PathBuf;

use stainfree_image::OpenOptions;
use stainfree_inference::{Device, RuleChoice};

use crate::prediction::forms::Forms;
use crate::study::shards::Shard;

/// What to predict and how.
#[derive(Clone, Debug, Default)]
pub struct PredictOptions {
    /// Model folder.
    pub model: PathBuf,
    /// Plates, folders or files.
    pub inputs: Vec<PathBuf>,
    /// Folder for the results.
    pub out: PathBuf,
    /// Brightfield channels; empty = those of the training.
    pub brightfield: Vec<String>,
    /// z of the brightfield, from 1; empty = those of the training.
    pub planes: Vec<usize>,
    /// What is known of the images that their files do not say.
    pub opening: OpenOptions,
    /// Write the probabilities of the classes too, and the outputs beside them.
    pub probabilities: bool,
    /// Write a picture of each field too.
    pub overlay: bool,
    /// Write maps of how sure nuclei are too.
    pub confidence_map: bool,
    /// Write labels in these forms too.
    pub forms: Forms,
    /// Write each image with its labels as OME-Zarr too.
    pub zarr: bool,
    /// Average over the four flips.
    pub flips: bool,
    /// How nuclei are made.
    pub rule: RuleChoice,
    /// What computes the network.
    pub device: Device,
    /// Replace what was predicted from other images, with other options or by another model.
    pub overwrite: bool,
    /// Which share of the fields; `None` = all of them.
    pub shard: Option<Shard>,
}
