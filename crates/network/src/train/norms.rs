//! The statistics of batch norms measured anew on other images, with weights as they are.
//!
//! A batch norm predicts with the mean and the variance that the training's images had before it.
//! On images of another light or another microscope these are others, and everything behind the
//! layer is shifted and stretched. No truth is needed to measure them again: batches of crops go
//! through the network, normalised by their own statistics as in training, and those are averaged.
//!
//! Source: Li et al. (2018), "Adaptive batch normalization for practical domain adaptation",
//! Pattern Recognition 80:109; a share of the old statistics kept where images are few: Schneider
//! et al. (2020), "Improving robustness against common corruptions by covariate shift adaptation",
//! NeurIPS.

use std::sync::atomic::{AtomicBool, Ordering};

use super::data::Fields;
use super::{TrainError, TrainingData};
use crate::augment::Augmentation;
use crate::crops::FieldOrder;
use crate::device::Train;
use crate::graph::{Graph, ParameterKind};
use crate::input::InputSpec;
use crate::machine::Machine;
use crate::output::Truths;
use crate::parameters::Parameters;
use crate::recipe::Recipe;
use crate::trainer::CpuTrainer;

/// Crops that statistics are measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormCrops {
    /// Side of a crop, a multiple of [`Graph::multiple`].
    pub side: usize,
    /// Crops in a batch.
    pub batch: usize,
    /// Batches.
    pub batches: u32,
}

/// Whether a network has batch norms.
pub fn has_norms(parameters: &Parameters) -> bool {
    parameters
        .iter()
        .any(|tensor| tensor.kind == ParameterKind::Statistic)
}

/// The `parameters` of a `graph` with the statistics of all batch norms moved by `share` (0 to 1)
/// towards those of crops of `fields`, whose truth is not looked at. `done` is told every batch
/// that is through. `None` where `cancel` was set before the end.
///
/// # Errors
/// There is no field, one cannot be read, or crops that the network cannot take.
///
/// # Panics
/// If the parameters are not those of the graph.
pub fn measure_norms(
    machine: &Machine,
    (graph, parameters): (&Graph, &Parameters),
    (input, fields): (&InputSpec, &dyn TrainingData),
    (crops, share): (&NormCrops, f32),
    done: &mut dyn FnMut(u32),
    cancel: &AtomicBool,
) -> Result<Option<Parameters>, TrainError> {
    let recipe = Recipe {
        batch: crops.batch,
        crop: crops.side,
        seed: 0,
        foreground: 0.0,
        field_order: FieldOrder::Random,
        augmentation: Augmentation::paper(),
        ..Recipe::standard()
    };
    recipe.check(graph.classes(), graph.multiple())?;
    if fields.is_empty() {
        return Err(TrainError::NoFields);
    }
    let workers = machine.workers();
    workers.start().map_err(TrainError::Threads)?;
    let classes = &graph.outputs()[..1];
    let fields = Fields::of_outputs(
        fields,
        input,
        (classes, Truths::of(classes)?),
        ROOM,
        workers,
    );
    let shape = [crops.batch, crops.side, crops.side];
    let mut trainer = CpuTrainer::new(machine, graph, parameters, shape);
    trainer.set_stochastic_depth(None);
    for k in 0..crops.batches {
        if cancel.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let batch = fields.batch(&recipe, u64::from(k))?;
        trainer.set_batch_norm_momentum(1.0 / (k + 1) as f32);
        trainer.forward(&batch.input);
        done(k + 1);
    }
    if let Some(what) = trainer.not_finite() {
        return Err(TrainError::NoNumbers { what });
    }
    let measured = trainer.parameters();
    let mut mixed = parameters.clone();
    for tensor in mixed
        .iter_mut()
        .filter(|t| t.kind == ParameterKind::Statistic)
    {
        let new = measured.values(&tensor.name);
        for (old, new) in tensor.data.iter_mut().zip(new) {
            *old = (1.0 - share) * *old + share * new;
        }
    }
    Ok(Some(mixed))
}

/// Memory for normalised fields, bytes.
const ROOM: usize = 1 << 30;

#[cfg(test)]
mod tests;
