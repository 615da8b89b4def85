//! What a matrix of runs is going to take, measured on a small step and scaled up.

use std::collections::BTreeMap;
use std::time::Instant;

use stainfree_network::recipe::Recipe;
use stainfree_network::{AdamStep, CpuTrainer, Graph, Parameters, Train, output};

use super::file::{Choice, Experiment};
use super::variant;
use crate::study::Study;
use crate::study::fields::FieldRow;
use crate::training::train::network_of;
use crate::{Job, Part, ProjectError};

/// Side of the crop that is timed: large enough to be worth a band, small enough to be quick.
const TIMED_SIDE: usize = 160;

/// One line of a dry run.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// The run.
    pub choice: Choice,
    /// Its number of steps.
    pub steps: u64,
    /// Seconds of training on this machine; validation and scoring come on top.
    pub seconds: f64,
    /// Bytes of a training step.
    pub memory: usize,
}

/// Steps, time and memory of every run, without doing any.
///
/// # Errors
/// The study or a recipe cannot be used, or this processor lacks a precision that is asked for.
pub fn estimate(experiment: &Experiment, job: &Job) -> Result<Vec<Estimate>, ProjectError> {
    let base = Study::open(&experiment.study_path())?;
    let mut timed: BTreeMap<String, (f64, usize)> = BTreeMap::new();
    let mut lines = Vec::new();
    for choice in &experiment.choices {
        job.cancel.check()?;
        let config = variant::config_of(&base, choice, base.root())?;
        let recipe = variant::recipe_of(&base, experiment, choice)?;
        let classes = config.truth.classes.len().max(2);
        let key = format!(
            "{} {} {} {} {classes} {}",
            recipe.encoder.name(),
            recipe.width,
            recipe.batch,
            recipe.crop,
            recipe.precision.name()
        );
        let &mut (seconds, memory) = match timed.entry(key) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(one_step(&recipe, classes, job)?)
            }
        };
        let images = match choice.images {
            super::file::Images::Count(count) => count,
            super::file::Images::All => base.fields().map_or(1, |rows| {
                let trains = |row: &&FieldRow| row.split == Some(Part::Train);
                rows.iter().filter(trains).count().max(1)
            }),
        };
        let steps = recipe.steps(images);
        lines.push(Estimate {
            choice: choice.clone(),
            steps,
            seconds: seconds * steps as f64,
            memory,
        });
    }
    Ok(lines)
}

/// Seconds and bytes of a step of this recipe.
fn one_step(recipe: &Recipe, classes: usize, job: &Job) -> Result<(f64, usize), ProjectError> {
    let fail = |error: String| ProjectError::Failed(error);
    let spec = network_of(recipe, classes)?;
    let graph = Graph::unet(&spec).map_err(|error| fail(error.to_string()))?;
    recipe
        .check(classes, graph.multiple())
        .map_err(|error| fail(error.to_string()))?;
    let parameters = Parameters::initialise(&graph, 1);
    let machine = job.machine.with_precision(recipe.precision).map_err(fail)?;
    let shape = [recipe.batch, recipe.crop, recipe.crop];
    let memory = CpuTrainer::new(&machine, &graph, &parameters, shape).memory_bytes();
    let side = recipe.crop.min(TIMED_SIDE);
    let mut trainer = CpuTrainer::new(&machine, &graph, &parameters, [1, side, side]);
    let input: Vec<f32> = (0..3 * side * side)
        .map(|i| ((i * 7919) % 2003) as f32 / 1000.0 - 1.0)
        .collect();
    let gradient = vec![1e-6; output::channels(graph.outputs()) * side * side];
    let update = AdamStep {
        lr: 1e-6,
        beta1: recipe.adam.beta1,
        beta2: recipe.adam.beta2,
        epsilon: recipe.adam.epsilon,
        weight_decay: 0.0,
    };
    let (mut passes, mut adam) = (f64::INFINITY, f64::INFINITY);
    // The first one takes memory; the better of the others counts.
    for _ in 0..3 {
        let begun = Instant::now();
        trainer.forward(&input);
        trainer.backward(&gradient);
        passes = passes.min(begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        trainer.adam_step(&update);
        adam = adam.min(begun.elapsed().as_secs_f64());
    }
    let scale = (recipe.batch * recipe.crop * recipe.crop) as f64 / (side * side) as f64;
    Ok((passes * scale + adam, memory))
}
