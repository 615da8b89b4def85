//! Small trainings of discs: the set-up of all tests of the loop.

mod choosing;
mod elsewhere;
mod failing;
mod resuming;

use super::*;
use crate::graph::Graph;
use crate::input::{InputSpec, Preprocessing};
use crate::machine::Machine;
use crate::optimiser::{Adam, Schedule};
use crate::output::IGNORED;
use crate::random::{Purpose, Random};
use crate::recipe::{BatchNormStatistics, Length, Recipe};
use crate::tensor_file::{from_safetensors, to_safetensors};
use crate::{Encoder, UnetSpec};
use stainfree_image::Image;
use std::error::Error;

/// Bright discs on noise; class 1 inside, a frame of ignored pixels.
struct Discs {
    fields: usize,
    /// A field whose truth has been corrected.
    corrected: Option<usize>,
    /// A field that cannot be read.
    broken: Option<usize>,
    /// Largest count of their format.
    full_range: f32,
}

impl TrainingData for Discs {
    fn len(&self) -> usize {
        self.fields
    }

    fn name(&self, field: usize) -> String {
        format!("field{field}")
    }

    fn read(&self, field: usize) -> Result<RawField, Box<dyn Error + Send + Sync>> {
        if self.broken == Some(field) {
            return Err("the file is truncated".into());
        }
        let (height, width) = (48, 56);
        let mut random = Random::new(9, Purpose::Noise, field as u64, 0);
        let centre = (random.between(14.0, 34.0), random.between(14.0, 42.0));
        let inside = |y: usize, x: usize| (y as f64 - centre.0).hypot(x as f64 - centre.1) < 11.0;
        let target = Image::from_fn(height, width, |y, x| {
            if y == 0 || (self.corrected == Some(field) && y == 1) {
                IGNORED
            } else {
                u8::from(inside(y, x))
            }
        });
        let plane = Image::from_fn(height, width, |y, x| {
            (if inside(y, x) { 180.0 } else { 90.0 }) + 10.0 * random.normal() as f32
        });
        Ok(RawField {
            planes: vec![plane],
            full_range: self.full_range,
            blank: None,
            target,
            labels: None,
        })
    }
}

fn recipe(steps: u64) -> Recipe {
    Recipe {
        width: 0.0625,
        crop: 32,
        batch: 2,
        length: Length::Steps(steps),
        adam: Adam {
            lr: 3e-3,
            ..Adam::paper()
        },
        schedule: Schedule::Cosine {
            warmup_steps: 2,
            floor: 0.1,
        },
        batch_norm: BatchNormStatistics::Measured(2),
        validate_every: 2,
        ..Recipe::standard()
    }
}

struct Setup {
    machine: Machine,
    graph: Graph,
    start: Parameters,
    recipe: Recipe,
    input: InputSpec,
    training: Discs,
    validation: Discs,
    folder: tempfile::TempDir,
}

impl Setup {
    fn new(recipe: Recipe) -> Self {
        let spec = UnetSpec::narrow(Encoder::Vgg16, recipe.width, 2);
        let graph = Graph::unet(&spec).unwrap();
        let start = Parameters::initialise(&graph, recipe.seed);
        let normalisation = recipe.normalisation.clone();
        let input = InputSpec {
            planes: 1,
            normalisation,
            preprocessing: Preprocessing::centred(),
        };
        let [training, validation] = [5, 2].map(|fields| Discs {
            fields,
            corrected: None,
            broken: None,
            full_range: 255.0,
        });
        Self {
            machine: Machine::new(1),
            graph,
            start,
            recipe,
            input,
            training,
            validation,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn job(&self) -> TrainJob<'_> {
        TrainJob {
            graph: &self.graph,
            start: &self.start,
            folded_norms: false,
            recipe: &self.recipe,
            input: &self.input,
            training: &self.training,
            validation: &self.validation,
            judge: None,
            folder: self.folder.path(),
            restart: false,
            machine: &self.machine,
            cache_bytes: 1 << 20,
            memory: None,
            checkpoint_every: 100,
            pictures: 1,
        }
    }

    fn train(&self) -> Result<Outcome, TrainError> {
        train(&self.job(), &mut Silent, &AtomicBool::new(false))
    }

    fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join(name)).unwrap()
    }

    /// The tensors of the checkpoint, and the log without what is measured in seconds.
    fn state(&self) -> (Vec<u8>, Vec<String>) {
        let (tensors, _) = from_safetensors(&self.file("checkpoint.safetensors")).unwrap();
        let log = String::from_utf8(self.file("log.jsonl")).unwrap();
        let lines = log.lines().map(|line| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            for key in ["seconds", "waiting"] {
                line.as_object_mut().unwrap().remove(key);
            }
            line.to_string()
        });
        (to_safetensors(tensors.iter(), None), lines.collect())
    }
}

/// Stops after so many steps, as Ctrl-C would.
struct StopAt<'a> {
    step: u64,
    cancel: &'a AtomicBool,
}

impl Observer for StopAt<'_> {
    fn step(&mut self, report: &StepReport) {
        self.cancel
            .store(report.step >= self.step, Ordering::Relaxed);
    }
}

fn train_until(setup: &Setup, step: u64) -> Outcome {
    let cancel = AtomicBool::new(false);
    train(
        &setup.job(),
        &mut StopAt {
            step,
            cancel: &cancel,
        },
        &cancel,
    )
    .unwrap()
}

/// Keeps what is said.
#[derive(Default)]
struct Heard(Vec<String>);

impl Observer for Heard {
    fn message(&mut self, text: &str) {
        self.0.push(text.into());
    }
}
