//! What training reads: fields as the project gives them, batches as the network wants them.

use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::crops::Prepared;
use crate::graph::Graph;
use crate::input::InputSpec;
use crate::output::IGNORED;
use crate::output::{Output, Truths, channels};
use crate::random::{Purpose, Random};
use crate::recipe::Recipe;
use sha2::{Digest, Sha256};
use stainfree_image::Image;
use stainfree_kernels::Workers;
use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex};

/// One field as it was learned from: what two trainings must share to be one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldContent {
    /// Name of the field.
    pub name: String,
    /// SHA-256 of its pixels as the network is given them, in hexadecimal.
    pub image: String,
    /// SHA-256 of its truth.
    pub truth: String,
    /// Largest count that its format can hold, which normalisations go by; none in checkpoints of
    /// earlier versions, and where fields are computed and not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_range: Option<f32>,
}

/// One field as it is stored.
#[derive(Clone, Debug)]
pub struct RawField {
    /// Brightfield planes in counts, all of one size: one or three.
    pub planes: Vec<Image<f32>>,
    /// Largest count the planes' format can hold (255, 65535, or 1 for floating point).
    pub full_range: f32,
    /// Pixels that show nothing of the specimen and take no part in the normalisation; `None`
    /// where all show something.
    pub blank: Option<Image<bool>>,
    /// Class of every pixel, [`IGNORED`] where it neither trains nor scores.
    pub target: Image<u8>,
    /// The objects that outputs beside the classes are learned from: 0 where there is none,
    /// [`crate::output::UNKNOWN`] where it is not known. `None` where the network has no such
    /// output: nobody would read it.
    pub labels: Option<Image<u32>>,
}

/// A set of fields with known truth. The network knows no plates: this is all it asks for.
pub trait TrainingData: Send + Sync {
    /// Number of fields.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Name of a field, for messages and pictures.
    fn name(&self, field: usize) -> String;
    /// Reads a field; may be called from another thread and more than once.
    ///
    /// # Errors
    /// Whatever keeps the field from being read.
    fn read(&self, field: usize) -> Result<RawField, Box<dyn Error + Send + Sync>>;
    /// What a field holds, as digests: of its pixels as they are learned from, and of its truth.
    ///
    /// # Errors
    /// As [`TrainingData::read`].
    fn content(&self, field: usize) -> Result<FieldContent, Box<dyn Error + Send + Sync>> {
        let raw = self.read(field)?;
        let mut image = Sha256::new();
        for plane in &raw.planes {
            add_size(&mut image, plane.size());
            let bytes: Vec<u8> = plane.data().iter().flat_map(|x| x.to_le_bytes()).collect();
            image.update(&bytes);
        }
        let mut truth = Sha256::new();
        add_size(&mut truth, raw.target.size());
        truth.update(raw.target.data());
        if let Some(labels) = &raw.labels {
            add_size(&mut truth, labels.size());
            let bytes: Vec<u8> = labels.data().iter().flat_map(|x| x.to_le_bytes()).collect();
            truth.update(&bytes);
        }
        Ok(FieldContent {
            name: self.name(field),
            image: hexadecimal(image),
            truth: hexadecimal(truth),
            full_range: Some(raw.full_range),
        })
    }
    /// What all fields hold, by which a training is recognised. Where they are computed and not
    /// read, what decides them all says it in one.
    ///
    /// # Errors
    /// [`TrainError::Read`] for the first field that cannot be read.
    fn contents(&self, workers: &Workers) -> Result<Vec<FieldContent>, TrainError> {
        let content = |field| {
            self.content(field).map_err(|error| TrainError::Read {
                field: self.name(field),
                error,
            })
        };
        // Inside, since reading a field may have parallel loops of its own.
        let found = workers.run(|| workers.map(self.len(), content));
        found.into_iter().collect()
    }
}

fn add_size(hash: &mut Sha256, (height, width): (usize, usize)) {
    hash.update((height as u64).to_le_bytes());
    hash.update((width as u64).to_le_bytes());
}

fn hexadecimal(hash: Sha256) -> String {
    let digest = hash.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Fields, normalised on first use and kept as far as the memory given allows.
///
/// Crops come from random fields, so keeping the first ones read is as good as any cleverer rule;
/// what is kept changes the time, never the numbers.
pub(super) struct Fields<'a> {
    data: &'a dyn TrainingData,
    input: &'a InputSpec,
    outputs: &'a [Output],
    truths: Truths,
    room: usize,
    workers: Workers,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    fields: HashMap<usize, Arc<Prepared>>,
    bytes: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(
        data: &'a dyn TrainingData,
        input: &'a InputSpec,
        graph: &'a Graph,
        room: usize,
        workers: &Workers,
    ) -> Result<Self, TrainError> {
        let outputs = graph.outputs();
        let of = (outputs, Truths::of(outputs)?);
        Ok(Self::of_outputs(data, input, of, room, workers))
    }

    /// Of which only some outputs are learned from, the classes first.
    pub(super) fn of_outputs(
        data: &'a dyn TrainingData,
        input: &'a InputSpec,
        (outputs, truths): (&'a [Output], Truths),
        room: usize,
        workers: &Workers,
    ) -> Self {
        Self {
            data,
            input,
            outputs,
            truths,
            room,
            workers: workers.clone(),
            kept: Mutex::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    pub(super) fn name(&self, field: usize) -> String {
        self.data.name(field)
    }

    pub(super) fn get(&self, field: usize) -> Result<Arc<Prepared>, TrainError> {
        let lock = || {
            self.kept
                .lock()
                .unwrap_or_else(|broken| broken.into_inner())
        };
        if let Some(found) = lock().fields.get(&field) {
            return Ok(found.clone());
        }
        let prepared = Arc::new(self.workers.run(|| self.prepare(field))?);
        let mut kept = lock();
        if kept.bytes + prepared.bytes() <= self.room
            && kept.fields.insert(field, prepared.clone()).is_none()
        {
            kept.bytes += prepared.bytes();
        }
        Ok(prepared)
    }

    /// Reads and normalises a field.
    fn prepare(&self, field: usize) -> Result<Prepared, TrainError> {
        let name = || self.data.name(field);
        let raw = self.data.read(field).map_err(|error| TrainError::Read {
            field: name(),
            error,
        })?;
        let planes = self
            .input
            .normalise_besides(&raw.planes, raw.full_range, raw.blank.as_ref())
            .map_err(|error| TrainError::Input {
                field: name(),
                error,
            })?;
        let labels = raw.labels.as_ref().map(Image::size);
        for target in std::iter::once(raw.target.size()).chain(labels) {
            let image = planes[0].size();
            if image != target {
                return Err(TrainError::TargetSize {
                    field: name(),
                    image,
                    target,
                });
            }
        }
        let classes = self.outputs[0].channels;
        let unknown = |&&t: &&u8| t != IGNORED && usize::from(t) >= classes;
        if let Some(&class) = raw.target.data().iter().find(unknown) {
            return Err(TrainError::TargetClass {
                field: name(),
                class,
                classes,
            });
        }
        let values = match (&raw.labels, self.truths.needs_labels()) {
            (_, None) => Vec::new(),
            (Some(labels), _) => self.truths.make(labels, &raw.target),
            (None, Some(output)) => {
                return Err(TrainError::NoLabels {
                    field: name(),
                    output,
                });
            }
        };
        Ok(Prepared::new(planes, raw.target, classes).with_values(values))
    }

    /// The batch of one step: a function of the recipe's seed and the step alone.
    pub(super) fn batch(&self, recipe: &Recipe, step: u64) -> Result<Batch, TrainError> {
        let pixels = recipe.crop * recipe.crop;
        let further = &self.outputs[1..];
        let mut batch = Batch {
            input: vec![0.0; recipe.batch * InputSpec::CHANNELS * pixels],
            target: vec![],
            values: Vec::with_capacity(recipe.batch * channels(further) * pixels),
        };
        let fields = recipe
            .field_order
            .fields_of_step(recipe.seed, step, self.len(), recipe.batch);
        for ((i, field), out) in fields
            .into_iter()
            .enumerate()
            .zip(batch.input.chunks_mut(InputSpec::CHANNELS * pixels))
        {
            // The place in the batch is part of the key: a field may come twice.
            let random = |purpose| Random::new(recipe.seed, purpose, i as u64, step);
            let prepared = self.get(field)?;
            let change = recipe.augmentation.draw(&mut random(Purpose::Augment));
            let span = change.span(recipe.crop);
            let corner = prepared.choose(span, recipe.foreground, &mut random(Purpose::Crop));
            let (planes, target) =
                change.apply(&prepared, corner, recipe.crop, &mut random(Purpose::Noise));
            let planes: Vec<&[f32]> = planes.iter().map(Image::data).collect();
            self.input.write_channels(&planes, out);
            batch.target.extend_from_slice(target.data());
            change.apply_to_values(&prepared, corner, recipe.crop, further, &mut batch.values);
        }
        Ok(batch)
    }
}

/// What one step reads.
pub(super) struct Batch {
    /// `[image][channel][y][x]`.
    pub(super) input: Vec<f32>,
    /// Classes, `[image][y][x]`.
    pub(super) target: Vec<u8>,
    /// What is true of further outputs, `[image][channel][y][x]`, NaN where it is unknown.
    pub(super) values: Vec<f32>,
}
