//! What a training is computed with changes nothing: threads, or another device.

use super::*;
use crate::OptimiserState;
use crate::machine::MachineIdentity;
use crate::tiles::{DeviceError, Predict, Tile};
use std::cell::Cell;
use std::rc::Rc;

#[test]
fn neither_threads_nor_cache_change_a_bit() {
    let one = Setup::new(recipe(3));
    one.train().unwrap();
    let other = Setup::new(recipe(3));
    let job = TrainJob {
        machine: &Machine::new(2),
        cache_bytes: 0,
        ..other.job()
    };
    train(&job, &mut Silent, &AtomicBool::new(false)).unwrap();
    assert_eq!(one.state(), other.state());
}

/// Another device: it computes as the CPU does, has a name and memory of its own, and counts.
struct Elsewhere {
    cpu: CpuTrainer,
    steps: Rc<Cell<usize>>,
    tiles: Rc<Cell<usize>>,
}

/// What [`Elsewhere`] predicts with.
struct PredictsElsewhere {
    cpu: Box<dyn Predict>,
    tiles: Rc<Cell<usize>>,
}

impl Predict for PredictsElsewhere {
    fn predict(&mut self, tile: &Tile, out: &mut [f32]) -> Result<(), DeviceError> {
        self.tiles.set(self.tiles.get() + 1);
        self.cpu.predict(tile, out)
    }

    fn memory_bytes(&self, height: usize, width: usize) -> usize {
        self.cpu.memory_bytes(height, width)
    }
}

impl Train for Elsewhere {
    fn forward(&mut self, input: &[f32]) -> &[f32] {
        self.cpu.forward(input)
    }

    fn backward(&mut self, d_logits: &[f32]) {
        self.cpu.backward(d_logits);
    }

    fn not_finite(&self) -> Option<String> {
        self.cpu.not_finite()
    }

    fn adam_step(&mut self, step: &AdamStep) {
        self.steps.set(self.steps.get() + 1);
        self.cpu.adam_step(step);
    }

    fn set_batch_norm_momentum(&mut self, momentum: f32) {
        self.cpu.set_batch_norm_momentum(momentum);
    }

    fn set_stochastic_depth(&mut self, seed: Option<u64>) {
        self.cpu.set_stochastic_depth(seed);
    }

    fn recalibrate(&mut self, prefix: &str, batches: Vec<Vec<f32>>) {
        self.cpu.recalibrate(prefix, batches);
    }

    fn parameters(&self) -> Parameters {
        self.cpu.parameters()
    }

    fn optimiser_state(&self) -> OptimiserState {
        self.cpu.optimiser_state()
    }

    fn restore(&mut self, parameters: &Parameters, state: &OptimiserState) {
        self.cpu.restore(parameters, state);
    }

    fn predictor(&self, parameters: &Parameters) -> Box<dyn Predict> {
        Box::new(PredictsElsewhere {
            cpu: self.cpu.predictor(parameters),
            tiles: Rc::clone(&self.tiles),
        })
    }

    fn memory_bytes(&self) -> usize {
        7 << 30
    }

    fn prediction_scratch_bytes(&self) -> usize {
        0
    }

    fn identity(&self) -> MachineIdentity {
        MachineIdentity {
            instructions: "elsewhere".into(),
            ..self.cpu.identity()
        }
    }
}

#[test]
fn another_device_takes_the_trainers_place() {
    let here = Setup::new(recipe(3));
    let expected = here.train().unwrap();
    let there = Setup::new(recipe(3));
    let (steps, tiles) = (Rc::default(), Rc::default());
    let make = |job: &TrainJob| -> Box<dyn Train> {
        let shape = [job.recipe.batch, job.recipe.crop, job.recipe.crop];
        Box::new(Elsewhere {
            cpu: CpuTrainer::new(job.machine, job.graph, job.start, shape),
            steps: Rc::clone(&steps),
            tiles: Rc::clone(&tiles),
        })
    };
    let mut heard = Heard::default();
    let found = train_on(&make, &there.job(), &mut heard, &AtomicBool::new(false)).unwrap();
    assert_eq!(found.parameters, expected.parameters);
    assert_eq!(steps.get(), 3);
    // A field in one piece each time.
    let log = there.state().1;
    let validation = |line: &&String| line.contains(r#""what":"validation""#);
    let validations = log.iter().filter(validation).count();
    assert!(validations > 0);
    assert_eq!(tiles.get(), validations * there.validation.fields);
    assert_eq!(found.machines[0].instructions, "elsewhere");
    assert!(heard.0[0].contains("takes 7.00 GiB"), "{:?}", heard.0);
}
