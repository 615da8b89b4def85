//! Small trainings: what is resumed equals what was never interrupted, and failures keep what was
//! good.

use super::*;
use crate::graph::Graph;
use crate::input::{InputSpec, Preprocessing};
use crate::loss::LossTerm;
use crate::machine::{Machine, MachineIdentity};
use crate::optimiser::{Adam, Schedule};
use crate::output::IGNORED;
use crate::random::{Purpose, Random};
use crate::recipe::{BatchNormStatistics, Length, Recipe};
use crate::tensor_file::{from_safetensors, to_safetensors};
use crate::tiles::{Predict, Tile};
use crate::{Encoder, OptimiserState, UnetSpec};
use stainfree_image::Image;
use stainfree_kernels::Isa;
use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;

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

#[test]
fn a_resumed_training_equals_an_uninterrupted_one_bit_for_bit() {
    // With 32 the average is brought up to date every second step: once before the interruption.
    for average_steps in [0, 32] {
        let recipe = Recipe {
            average_steps,
            ..recipe(6)
        };
        let straight = Setup::new(recipe.clone());
        let expected = straight.train().unwrap();
        assert_eq!((expected.steps, expected.ending), (6, Ending::Finished));

        let broken = Setup::new(recipe);
        assert_eq!(train_until(&broken, 3).ending, Ending::Cancelled);
        let resumed = broken.train().unwrap();
        assert_eq!(resumed.parameters, expected.parameters);
        assert_eq!(
            (resumed.chosen_step, resumed.chosen_value),
            (expected.chosen_step, expected.chosen_value)
        );
        assert_eq!(broken.state(), straight.state());
        assert_eq!(
            broken.file("best.safetensors"),
            straight.file("best.safetensors")
        );
    }
}

#[test]
fn the_average_is_what_is_kept_and_steps_go_on_from_the_weights_themselves() {
    let trained = |average_steps| {
        let setup = Setup::new(Recipe {
            average_steps,
            selection: Selection::Last,
            ..recipe(6)
        });
        let kept = setup.train().unwrap().parameters;
        let files = Files::new(setup.folder.path());
        (kept, files.load(&setup.graph, |_| Ok(())).unwrap())
    };
    let (plain, saved) = trained(0);
    let (averaged, saved_too) = trained(32);
    assert_eq!(saved.parameters, saved_too.parameters);
    assert!(saved.average.is_none());
    let weights = |p: &Parameters| p.get("segmentation_head.0.weight").unwrap().data.clone();
    assert_eq!(weights(&averaged), weights(&saved_too.average.unwrap()));
    assert_ne!(weights(&averaged), weights(&plain));
}

#[test]
fn killed_after_the_checkpoint_the_steps_in_between_are_made_again() {
    let straight = Setup::new(recipe(6));
    straight.train().unwrap();
    // A checkpoint after step 2, then two more steps (with a better state found and a longer log)
    // that were lost.
    let killed = Setup::new(recipe(6));
    train_until(&killed, 2);
    let checkpoint = killed.file("checkpoint.safetensors");
    train_until(&killed, 5);
    std::fs::write(
        killed.folder.path().join("checkpoint.safetensors"),
        checkpoint,
    )
    .unwrap();
    killed.train().unwrap();
    assert_eq!(killed.state(), straight.state());
    assert_eq!(
        killed.file("best.safetensors"),
        straight.file("best.safetensors")
    );
}

#[test]
fn a_best_state_of_lost_steps_is_lost_with_them() {
    let files_of = |setup: &Setup| Files::new(setup.folder.path());
    // What stands after 20 steps, and the state chosen in them.
    let setup = Setup::new(recipe(40));
    train_until(&setup, 2);
    let (first, checkpoint) = (
        setup.file("best.safetensors"),
        setup.file("checkpoint.safetensors"),
    );
    train_until(&setup, 20);
    let later = setup.file("best.safetensors");
    assert_ne!(first, later, "a better state was found");
    let saved = files_of(&setup).load(&setup.graph, |_| Ok(())).unwrap();
    let chosen = saved.progress.best.unwrap();
    let put = |name: &str, bytes: &[u8]| {
        std::fs::write(setup.folder.path().join(name), bytes).unwrap();
    };
    // Killed before the checkpoint that knows of it, and after.
    let after = setup.file("checkpoint.safetensors");
    for (stands, expected) in [(&checkpoint, &first), (&after, &later)] {
        put("checkpoint.safetensors", stands);
        put("best.safetensors", &first);
        put("best.next.safetensors", &later);
        files_of(&setup).load(&setup.graph, |_| Ok(())).unwrap();
        assert!(setup.file("best.safetensors") == *expected);
        assert!(!setup.folder.path().join("best.next.safetensors").exists());
    }
    // Step and value are those of the file, whatever a checkpoint takes them for.
    let other = Best {
        step: 1,
        value: 0.0,
    };
    let (_, best) = files_of(&setup)
        .load_best(&setup.graph, other.clone())
        .unwrap();
    assert_eq!(best, chosen);
    // As earlier versions wrote it.
    let (tensors, _) = from_safetensors(&later).unwrap();
    put("best.safetensors", &to_safetensors(tensors.iter(), None));
    let (_, best) = files_of(&setup)
        .load_best(&setup.graph, other.clone())
        .unwrap();
    assert_eq!(best, other);
}

#[test]
fn steps_that_are_made_otherwise_do_not_end_in_the_state_of_lost_ones() {
    // Killed between the best state of step 2 and its checkpoint; made again, no step is better
    // than the first: the learning rate has come to nothing.
    let mut setup = Setup::new(Recipe {
        validate_every: 1,
        ..recipe(6)
    });
    let job = TrainJob {
        checkpoint_every: 1,
        ..setup.job()
    };
    let cancel = AtomicBool::new(false);
    let mut stop = StopAt {
        step: 1,
        cancel: &cancel,
    };
    train(&job, &mut stop, &cancel).unwrap();
    let files = Files::new(setup.folder.path());
    let mut saved = files.load(&setup.graph, |_| Ok(())).unwrap();
    let first = setup.file("best.safetensors");
    saved.progress.best.as_mut().unwrap().value = 2.0;
    files
        .save(&saved.progress, &saved.parameters, &saved.optimiser, None)
        .unwrap();
    let lost = Best {
        step: 2,
        value: 3.0,
    };
    files.save_best(&lost, &setup.start).unwrap();
    setup.recipe.length = Length::Steps(3);
    let outcome = setup.train().unwrap();
    assert_eq!(outcome.chosen_step, 1);
    assert_ne!(outcome.parameters, setup.start);
    assert!(setup.file("best.safetensors") == first);
}

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

#[test]
fn discs_are_learned_and_the_best_state_is_the_one_returned() {
    struct Best(Vec<ValidationReport>, usize);
    impl Observer for Best {
        fn validation(&mut self, report: &ValidationReport, pictures: &[Picture]) {
            self.0.push(report.clone());
            self.1 += pictures.len();
            assert_eq!(pictures[0].truth.size(), pictures[0].prediction.size());
            assert!(
                pictures[0].truth.data().contains(&1),
                "a picture without foreground"
            );
        }
    }
    let setup = Setup::new(Recipe {
        validate_every: 10,
        ..recipe(60)
    });
    let mut seen = Best(vec![], 0);
    let outcome = train(&setup.job(), &mut seen, &AtomicBool::new(false)).unwrap();
    let best = seen.0.iter().map(|r| r.mean_f1).fold(0.0, f64::max);
    assert_eq!(outcome.chosen_value, Some(best));
    assert!(
        seen.0
            .iter()
            .any(|r| r.step == outcome.chosen_step && r.mean_f1 == best && r.best)
    );
    assert_eq!((seen.0.len(), seen.1), (6, 6));
    // Discs twice as bright as their surroundings: far above the 0.3 that calling everything a disc
    // scores.
    assert!(best > 0.8, "{best}");
}

#[test]
fn the_papers_selection_keeps_the_epoch_of_the_lowest_loss() {
    let recipe = Recipe {
        width: 0.0625,
        crop: 32,
        batch: 2,
        length: Length::Epochs(3),
        loss: vec![LossTerm::new("paper", 1.0)],
        validate_every: 0,
        ..Recipe::paper()
    };
    let mut setup = Setup::new(recipe);
    setup.validation.fields = 0;
    let outcome = setup.train().unwrap();
    // 5 fields in batches of 2: 2 steps an epoch, the fifth field is dropped.
    assert_eq!(outcome.steps, 6);
    let (_, log) = setup.state();
    let losses: Vec<f64> = log
        .iter()
        .map(|l| {
            serde_json::from_str::<serde_json::Value>(l).unwrap()["loss"]
                .as_f64()
                .unwrap()
        })
        .collect();
    let epochs: Vec<f64> = losses
        .chunks(2)
        .map(|pair| (pair[0] + pair[1]) / 2.0)
        .collect();
    let lowest = epochs.iter().copied().fold(f64::INFINITY, f64::min);
    assert!((outcome.chosen_value.unwrap() - lowest).abs() < 1e-12);
    assert_eq!(epochs[outcome.chosen_step as usize / 2 - 1], lowest);
}

#[test]
fn early_stopping_waits_as_long_as_the_recipe_says() {
    // A learning rate that changes nothing: no validation is better than the first.
    let adam = Adam {
        lr: 1e-12,
        ..Adam::paper()
    };
    let setup = Setup::new(Recipe {
        patience: 2,
        adam,
        validate_every: 1,
        ..recipe(20)
    });
    let outcome = setup.train().unwrap();
    assert_eq!(
        (outcome.ending, outcome.steps, outcome.chosen_step),
        (Ending::EarlyStop, 3, 1)
    );
    assert_eq!(
        setup.train().unwrap().steps,
        3,
        "resuming went on in spite of the early stop"
    );
}

#[test]
fn nan_stops_the_training_and_the_good_files_stay() {
    let setup = Setup::new(recipe(6));
    train_until(&setup, 2);
    let files = Files::new(setup.folder.path());
    let mut saved = files.load(&setup.graph, |_| Ok(())).unwrap();
    let best = setup.file("best.safetensors");
    let bias = saved.parameters.get_mut("segmentation_head.0.bias");
    bias.unwrap().data[0] = f32::NAN;
    files
        .save(&saved.progress, &saved.parameters, &saved.optimiser, None)
        .unwrap();
    let before = setup.file("checkpoint.safetensors");
    let error = setup.train().unwrap_err().to_string();
    assert!(
        error.starts_with("training stopped after step 2: the loss is NaN; kept is `"),
        "{error}"
    );
    assert_eq!(setup.file("checkpoint.safetensors"), before);
    assert_eq!(setup.file("best.safetensors"), best);
}

#[test]
fn nan_below_a_relu_stops_the_training_at_its_step() {
    for isa in Isa::available() {
        // Both have a ReLU above; the last lies where half the network is past.
        for name in [
            "encoder.features.0.weight",
            "decoder.blocks.1.conv1.0.weight",
        ] {
            let setup = Setup::new(recipe(6));
            train_until(&setup, 2);
            let files = Files::new(setup.folder.path());
            let mut saved = files.load(&setup.graph, |_| Ok(())).unwrap();
            let best = setup.file("best.safetensors");
            saved.parameters.get_mut(name).unwrap().data[4] = f32::NAN;
            files
                .save(&saved.progress, &saved.parameters, &saved.optimiser, None)
                .unwrap();
            let before = setup.file("checkpoint.safetensors");
            let machine = setup.machine.with_isa(isa);
            let job = TrainJob {
                machine: &machine,
                ..setup.job()
            };
            let error = train(&job, &mut Silent, &AtomicBool::new(false)).unwrap_err();
            assert!(
                matches!(error, TrainError::NotFinite { step: 2, .. }),
                "{name}, {}: {error}",
                isa.name()
            );
            assert_eq!(setup.file("checkpoint.safetensors"), before);
            assert_eq!(setup.file("best.safetensors"), best);
        }
    }
}

#[test]
fn what_a_batch_norm_divides_away_stops_the_training_too() {
    let setup = Setup::new(recipe(6));
    train_until(&setup, 2);
    let files = Files::new(setup.folder.path());
    let mut saved = files.load(&setup.graph, |_| Ok(())).unwrap();
    // Sums of squares beyond f32: a variance without end, and everything over it is 0.
    let weight = saved.parameters.get_mut("decoder.blocks.1.conv1.0.weight");
    weight.unwrap().data.iter_mut().for_each(|w| *w *= 1e25);
    files
        .save(&saved.progress, &saved.parameters, &saved.optimiser, None)
        .unwrap();
    let error = setup.train().unwrap_err();
    assert!(
        matches!(error, TrainError::NotFinite { step: 2, .. }),
        "{error}"
    );
}

#[test]
fn other_choices_do_not_continue_a_checkpoint_but_a_fresh_start_replaces_it() {
    let mut setup = Setup::new(recipe(2));
    setup.train().unwrap();
    setup.recipe.adam.lr = 1e-3;
    let checkpoint = setup.file("checkpoint.safetensors");
    let error = setup.train().unwrap_err();
    assert!(
        matches!(&error, TrainError::OtherTraining { step: 2, differences, .. }
            if differences == "`adam.lr` was `0.003`, now `0.001`"),
        "{error}"
    );
    setup.recipe.adam.lr = 3e-3;
    setup.training.corrected = Some(3);
    let error = setup.train().unwrap_err();
    assert!(
        matches!(&error, TrainError::OtherTraining { differences, .. }
            if differences == "training fields of other truth: `field3`"),
        "{error}"
    );
    setup.training.corrected = None;
    setup.training.full_range = 65_535.0;
    let error = setup.train().unwrap_err();
    assert!(
        matches!(&error, TrainError::OtherTraining { differences, .. }
            if differences.starts_with("training fields whose format holds values up to 65535")),
        "{error}"
    );
    assert_eq!(setup.file("checkpoint.safetensors"), checkpoint);
    let job = TrainJob {
        restart: true,
        ..setup.job()
    };
    assert_eq!(
        train(&job, &mut Silent, &AtomicBool::new(false))
            .unwrap()
            .steps,
        2
    );
    let path = setup.folder.path().join("checkpoint.safetensors");
    std::fs::write(&path, &setup.file("checkpoint.safetensors")[..999]).unwrap();
    let error = setup.train().unwrap_err().to_string();
    assert!(error.contains("begin anew with `--overwrite`"), "{error}");
}

#[test]
fn a_training_can_be_made_longer_but_not_shorter_than_it_is() {
    let mut setup = Setup::new(recipe(2));
    setup.train().unwrap();
    setup.recipe.length = Length::Steps(4);
    let longer = setup.train().unwrap();
    assert_eq!((longer.resumed_at, longer.steps), (2, 4));
    setup.recipe.length = Length::Steps(3);
    let error = setup.train().unwrap_err();
    assert!(
        matches!(
            error,
            TrainError::TooFewSteps {
                step: 4,
                steps: 3,
                ..
            }
        ),
        "{error}"
    );
}

/// Keeps what is said.
#[derive(Default)]
struct Heard(Vec<String>);

impl Observer for Heard {
    fn message(&mut self, text: &str) {
        self.0.push(text.into());
    }
}

#[test]
fn going_on_with_other_instructions_is_said_and_written_down() {
    let setup = Setup::new(recipe(4));
    train_until(&setup, 2);
    let other = *Isa::available().last().unwrap();
    if other == setup.machine.isa() {
        println!("not tested: this processor has one instruction set only");
        return;
    }
    let job = TrainJob {
        machine: &setup.machine.with_isa(other),
        ..setup.job()
    };
    let mut heard = Heard::default();
    let outcome = train(&job, &mut heard, &AtomicBool::new(false)).unwrap();
    let names: Vec<&str> = outcome
        .machines
        .iter()
        .map(|m| &m.instructions[..])
        .collect();
    assert_eq!(names, [setup.machine.isa().name(), other.name()]);
    let said = heard
        .0
        .iter()
        .any(|text| text.contains("can differ in its last digits"));
    assert!(said, "{:?}", heard.0);
}

#[test]
fn checkpoints_of_earlier_versions_go_on() {
    let setup = Setup::new(recipe(4));
    train_until(&setup, 2);
    let files = Files::new(setup.folder.path());
    let mut saved = files.load(&setup.graph, |_| Ok(())).unwrap();
    let as_before = |progress: &mut Progress, identity: String| {
        progress.training = None;
        progress.steps = 0;
        progress.machines.clear();
        progress.identity = identity;
    };
    let put = |saved: &checkpoint::Saved| {
        files
            .save(&saved.progress, &saved.parameters, &saved.optimiser, None)
            .unwrap();
    };
    as_before(&mut saved.progress, "of other choices".into());
    put(&saved);
    let error = setup.train().unwrap_err();
    assert!(matches!(error, TrainError::OtherTraining { .. }), "{error}");
    as_before(&mut saved.progress, identity::earlier(&setup.job()));
    put(&saved);
    let mut heard = Heard::default();
    let outcome = train(&setup.job(), &mut heard, &AtomicBool::new(false)).unwrap();
    assert_eq!((outcome.resumed_at, outcome.steps), (2, 4));
    assert!(
        heard.0.iter().any(|text| text.contains("earlier version")),
        "{:?}",
        heard.0
    );
}

#[test]
fn numbers_of_a_checkpoint_survive_to_the_last_bit() {
    let setup = Setup::new(recipe(2));
    setup.train().unwrap();
    let files = Files::new(setup.folder.path());
    let mut saved = files.load(&setup.graph, |_| Ok(())).unwrap();
    let mut random = Random::new(5, Purpose::Noise, 0, 0);
    // Without `float_roundtrip` about a tenth of such numbers come back changed.
    for _ in 0..200 {
        saved.progress.epoch_loss = random.between(0.0, 1.0) * random.between(0.0, 1e-3);
        saved.progress.best = Some(Best {
            step: 1,
            value: random.between(0.0, 1.0),
        });
        let text = serde_json::to_string(&saved.progress).unwrap();
        assert_eq!(
            serde_json::from_str::<Progress>(&text).unwrap(),
            saved.progress
        );
    }
    files
        .save(&saved.progress, &saved.parameters, &saved.optimiser, None)
        .unwrap();
    assert_eq!(
        files.load(&setup.graph, |_| Ok(())).unwrap().progress,
        saved.progress
    );
}

#[test]
fn wrong_data_are_named() {
    let mut setup = Setup::new(recipe(4));
    setup.training.broken = Some(3);
    assert_eq!(
        setup.train().unwrap_err().to_string(),
        "field `field3` cannot be read: the file is truncated"
    );
    setup.training.fields = 0;
    assert!(matches!(setup.train(), Err(TrainError::NoFields)));
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
    fn predict(&mut self, tile: &Tile, out: &mut [f32]) {
        self.tiles.set(self.tiles.get() + 1);
        self.cpu.predict(tile, out);
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
