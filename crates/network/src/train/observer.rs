//! What a training tells whoever watches it.

use stainfree_image::Image;
use std::collections::BTreeMap;

/// After every step.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Loss of this step's batch.
    pub loss: f64,
    /// Loss averaged over about the last 20 steps.
    pub smooth_loss: f64,
    /// Learning rate.
    pub lr: f64,
    /// Wall time of this step in seconds.
    pub seconds: f64,
    /// Estimate of the seconds left, from the steps of this run, validations included.
    pub seconds_left: f64,
    /// Share of this run's time in which the network waited for batches.
    pub waiting: f64,
}

/// After every validation.
#[derive(Clone, Debug)]
pub struct ValidationReport {
    /// Steps done.
    pub step: u64,
    /// F1 per class, pixels pooled over all validation fields; none for classes that do not occur.
    pub f1: Vec<Option<f64>>,
    /// Mean absolute error of every further output by its name, numbers pooled over all validation
    /// fields; none for outputs of which nothing is known there.
    pub errors: BTreeMap<String, Option<f64>>,
    /// F1 of whole objects, pooled over all validation fields; none where nobody counts them.
    pub object_f1: Option<f64>,
    /// Mean over the foreground classes that occur.
    pub mean_f1: f64,
    /// Whether this state is the best so far.
    pub best: bool,
}

/// A window of a validation field.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Name of the field.
    pub name: String,
    /// The first plane, normalised: about 0 to 1.
    pub input: Image<f32>,
    /// Classes as they are.
    pub truth: Image<u8>,
    /// Classes as the network sees them.
    pub prediction: Image<u8>,
}

/// Whoever wants to know how it goes.
pub trait Observer {
    /// After every step.
    fn step(&mut self, _report: &StepReport) {}
    /// After every validation, with pictures of the same few windows each time.
    fn validation(&mut self, _report: &ValidationReport, _pictures: &[Picture]) {}
    /// Something worth saying.
    fn message(&mut self, _text: &str) {}
}

/// An observer that does not care.
pub struct Silent;

impl Observer for Silent {}
