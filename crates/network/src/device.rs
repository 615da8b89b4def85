//! What the training loop asks of whatever computes its steps: the CPU, or another device.
//!
//! Here: the trait, and what passes between loop and device. Not here: losses, batches, schedules
//! and files, which are the loop's (`train`), and how whole images are cut (`tiles`).

use crate::machine::MachineIdentity;
use crate::parameters::{Parameters, Tensor};
use crate::tiles::Predict;

/// The numbers of one Adam step (Keras' convention, see [`stainfree_kernels::adam`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate.
    pub lr: f64,
    /// Memory of the first moment.
    pub beta1: f64,
    /// Memory of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay of convolution weights, as a share of `lr`.
    pub weight_decay: f64,
}

/// What Adam remembers, in natural order.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimiserState {
    /// Steps taken.
    pub step: u64,
    /// First moments of the trainable parameters, in the graph's order.
    pub first: Vec<Tensor>,
    /// Second moments, likewise.
    pub second: Vec<Tensor>,
}

/// Holds a network's parameters and moves them, on batches of one shape.
pub trait Train {
    /// What the last convolution gives, `[image][channel][y][x]` (logits of the classes, then
    /// further outputs before their links), for `input`, `[image][channel][y][x]`, with the batch's
    /// own statistics; running statistics move towards them.
    ///
    /// # Panics
    /// If `input` has another size than the batch.
    fn forward(&mut self, input: &[f32]) -> &[f32];

    /// Gradients of all parameters from that of the last forward pass' logits.
    ///
    /// # Panics
    /// If `d_logits` has another size than the logits, or there was no forward pass since the last
    /// backward pass: values give way to gradients.
    fn backward(&mut self, d_logits: &[f32]);

    /// The first array of gradients or running statistics that holds something that is no number:
    /// what a finite loss may hide.
    fn not_finite(&self) -> Option<String>;

    /// Moves all trainable parameters along their last gradients.
    fn adam_step(&mut self, step: &AdamStep);

    /// Weight of a batch's statistics in the running ones; 0.01 at first. With `1 / k` at the k-th
    /// of several forward passes the running statistics become the plain average over these passes.
    fn set_batch_norm_momentum(&mut self, momentum: f32);

    /// From now on, branches of residual blocks that have a rate for it are dropped at random
    /// (stochastic depth), as a function of `seed` and the number of steps taken; with `None`, as
    /// at first, nothing is dropped.
    fn set_stochastic_depth(&mut self, seed: Option<u64>);

    /// Measures mean and variance before every batch norm whose name begins with `prefix` on
    /// `batches` (each as for [`Train::forward`]), makes them the running statistics, and changes
    /// scale and shift so that the network predicts what it did.
    ///
    /// Pretrained files may come with batch norms that were folded into the convolutions: then they
    /// hold no statistics, and normalising by a batch's would destroy the network.
    ///
    /// # Panics
    /// If a batch has another size.
    fn recalibrate(&mut self, prefix: &str, batches: Vec<Vec<f32>>);

    /// All parameters as they are now, in natural order.
    fn parameters(&self) -> Parameters;

    /// What Adam remembers.
    fn optimiser_state(&self) -> OptimiserState;

    /// Goes on from saved parameters and moments, bit for bit.
    ///
    /// # Panics
    /// If a tensor is missing or has another shape than the network's.
    fn restore(&mut self, parameters: &Parameters, state: &OptimiserState);

    /// What predicts with `parameters` on the same device, for validation.
    fn predictor(&self, parameters: &Parameters) -> Box<dyn Predict>;

    /// Bytes held for activations, gradients, weights and moments, and for the work of each thread;
    /// known before the first step.
    fn memory_bytes(&self) -> usize;

    /// Bytes that the work of a [`Train::predictor`] takes beside [`Predict::memory_bytes`], on all
    /// threads together.
    fn prediction_scratch_bytes(&self) -> usize;

    /// Where its steps are computed, as models and checkpoints name it.
    fn identity(&self) -> MachineIdentity;
}
