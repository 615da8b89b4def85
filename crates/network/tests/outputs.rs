//! A network that says two things of every pixel, its class and how far it lies from the border of
//! its object: trained, gone on with, saved, loaded and predicted.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use stainfree_image::Image;
use stainfree_network::crops::Prepared;
use stainfree_network::input::{InputSpec, Preprocessing};
use stainfree_network::model::FORMAT;
use stainfree_network::optimiser::{Adam, Schedule};
use stainfree_network::output::{OutputKind, UNKNOWN, parts};
use stainfree_network::random::{Purpose, Random};
use stainfree_network::recipe::{BatchNormStatistics, Length, Recipe};
use stainfree_network::train::{
    Observer, RawField, StepReport, TrainError, TrainJob, TrainingData, ValidationReport, train,
};
use stainfree_network::{
    Encoder, Graph, IGNORED, Machine, Model, ModelInfo, Outcome, Parameters, Session, TileOptions,
    TrainingRecord, UnetSpec, predict_image,
};

const SIDE: usize = 64;

/// Bright discs on noise, some of which touch; a frame whose class is ignored, and a row of which
/// nobody knows what it belongs to.
struct Discs {
    first: u64,
    fields: usize,
    labelled: bool,
}

impl Discs {
    fn labels(&self, field: usize) -> Image<u32> {
        let mut random = Random::new(self.first + field as u64, Purpose::Noise, 1, 0);
        let discs: Vec<[f64; 3]> = (0..5)
            .map(|_| {
                let [y, x] = [0; 2].map(|_| random.between(6.0, SIDE as f64 - 6.0));
                [y, x, random.between(7.0, 11.0)]
            })
            .collect();
        Image::from_fn(SIDE, SIDE, |y, x| {
            let inside = |[v, u, r]: &[f64; 3]| (y as f64 - v).hypot(x as f64 - u) < *r;
            discs.iter().position(inside).map_or(0, |i| i as u32 + 1)
        })
    }
}

impl TrainingData for Discs {
    fn len(&self) -> usize {
        self.fields
    }

    fn name(&self, field: usize) -> String {
        format!("field{}", self.first + field as u64)
    }

    fn read(&self, field: usize) -> Result<RawField, Box<dyn Error + Send + Sync>> {
        let mut labels = self.labels(field);
        let mut random = Random::new(self.first + field as u64, Purpose::Noise, 0, 0);
        let plane = labels
            .map(|&label| (if label > 0 { 180.0 } else { 90.0 }) + 10.0 * random.normal() as f32);
        let class = |y: usize, label: u32| if y == 0 { IGNORED } else { u8::from(label > 0) };
        let target = Image::from_fn(SIDE, SIDE, |y, x| class(y, labels.get(y, x)));
        labels.row_mut(SIDE - 1).fill(UNKNOWN);
        Ok(RawField {
            planes: vec![plane],
            full_range: 255.0,
            blank: None,
            target,
            labels: self.labelled.then_some(labels),
        })
    }
}

fn recipe(steps: u64) -> Recipe {
    Recipe {
        width: 0.0625,
        crop: 32,
        batch: 4,
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
        validate_every: 20,
        ..Recipe::standard()
    }
}

struct Setup {
    spec: UnetSpec,
    graph: Graph,
    start: Parameters,
    recipe: Recipe,
    input: InputSpec,
    training: Discs,
    validation: Discs,
}

fn setup(steps: u64) -> Setup {
    let recipe = recipe(steps);
    let spec = UnetSpec {
        outputs: vec![OutputKind::named("distance").unwrap().output()],
        ..UnetSpec::new(Encoder::Vgg16, recipe.width, 2)
    };
    let graph = Graph::unet(&spec).unwrap();
    let discs = |first, fields| Discs {
        first,
        fields,
        labelled: true,
    };
    Setup {
        start: Parameters::initialise(&graph, 1),
        spec,
        graph,
        input: InputSpec {
            planes: 1,
            normalisation: recipe.normalisation.clone(),
            preprocessing: Preprocessing::centred(),
        },
        recipe,
        training: discs(0, 8),
        validation: discs(100, 2),
    }
}

/// Keeps what it is told, and stops after so many steps.
struct Watch<'a> {
    stop_after: u64,
    cancel: &'a AtomicBool,
    losses: Vec<f64>,
    errors: Vec<f64>,
}

impl Observer for Watch<'_> {
    fn step(&mut self, report: &StepReport) {
        self.losses.push(report.loss);
        let stop = report.step >= self.stop_after;
        self.cancel.store(stop, Ordering::Relaxed);
    }

    fn validation(&mut self, report: &ValidationReport, _: &[stainfree_network::Picture]) {
        self.errors.push(report.errors["distance"].unwrap());
    }
}

/// Trains up to `stop_after` steps in all; the losses of the steps and the distance's errors.
fn train_until(
    setup: &Setup,
    folder: &Path,
    stop_after: u64,
) -> Result<(Outcome, Vec<f64>, Vec<f64>), TrainError> {
    let job = TrainJob {
        graph: &setup.graph,
        start: &setup.start,
        folded_norms: false,
        recipe: &setup.recipe,
        input: &setup.input,
        training: &setup.training,
        validation: &setup.validation,
        judge: None,
        folder,
        restart: false,
        machine: &Machine::new(2),
        cache_bytes: 1 << 20,
        memory: None,
        checkpoint_every: 100,
        pictures: 0,
    };
    let cancel = AtomicBool::new(false);
    let mut watch = Watch {
        stop_after,
        cancel: &cancel,
        losses: vec![],
        errors: vec![],
    };
    let outcome = train(&job, &mut watch, &cancel)?;
    Ok((outcome, watch.losses, watch.errors))
}

fn correlation(pairs: &[(f32, f32)]) -> f64 {
    let n = pairs.len() as f64;
    let mean = |of: &dyn Fn(&(f32, f32)) -> f64| pairs.iter().map(of).sum::<f64>() / n;
    let (a, b) = (mean(&|p| f64::from(p.0)), mean(&|p| f64::from(p.1)));
    let product = |x: &(f32, f32), y: [f64; 2]| (f64::from(x.0) - y[0]) * (f64::from(x.1) - y[1]);
    let both = mean(&|p| product(p, [a, b]));
    let of_a = mean(&|p| product(&(p.0, p.0), [a, a]));
    let of_b = mean(&|p| product(&(p.1, p.1), [b, b]));
    both / (of_a * of_b).sqrt()
}

/// The network's input of the first validation field, and the truth of its distances.
fn unseen(setup: &Setup) -> (Vec<f32>, Image<f32>) {
    let raw = setup.validation.read(0).unwrap();
    let planes = setup.input.normalise(&raw.planes, raw.full_range).unwrap();
    let mut input = vec![0.0; 3 * SIDE * SIDE];
    setup.input.write_channels(&[planes[0].data()], &mut input);
    // By the definition, in O(n^2).
    let labels = setup.validation.labels(0);
    let places = || (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x)));
    let nearest = |y: usize, x: usize| {
        let other = places().filter(|&(v, u)| labels.get(v, u) != labels.get(y, x));
        let square = |(v, u): (usize, usize)| v.abs_diff(y).pow(2) + u.abs_diff(x).pow(2);
        (other.map(square).min().unwrap() as f32).sqrt()
    };
    let pixels = Image::from_fn(SIDE, SIDE, |y, x| match labels.get(y, x) {
        0 => 0.0,
        _ => nearest(y, x),
    });
    let farthest = |label: u32| {
        let own = labels.data().iter().zip(pixels.data());
        own.fold(1.0f32, |m, (&l, &d)| if l == label { m.max(d) } else { m })
    };
    let most: Vec<f32> = (0..=5).map(farthest).collect();
    let share = |y, x| pixels.get(y, x) / most[labels.get(y, x) as usize];
    (input, Image::from_fn(SIDE, SIDE, share))
}

fn saved_and_loaded(setup: &Setup, outcome: Outcome, folder: &Path) -> Model {
    let mut model = Model {
        info: ModelInfo {
            format: FORMAT,
            program: "stainfree 0.1.0".into(),
            classes: vec!["background".into(), "nucleus".into()],
            pixel_um: None,
            pretrained: None,
            network: setup.spec.clone().into(),
            input: setup.input.clone(),
            recipe: setup.recipe.clone(),
            training: TrainingRecord::default(),
            adapted: None,
            hashes: Default::default(),
        },
        graph: setup.graph.clone(),
        parameters: outcome.parameters,
        ignored: vec![],
    };
    model.save(folder).unwrap();
    Model::load(folder).unwrap()
}

fn flipped(planes: &[f32]) -> Vec<f32> {
    let turn = |plane: &[f32]| -> Vec<f32> {
        let rows = plane.chunks(SIDE).rev();
        rows.flat_map(|row| row.iter().rev().copied()).collect()
    };
    planes.chunks(SIDE * SIDE).flat_map(turn).collect()
}

#[test]
fn a_distance_is_learned_beside_the_classes_saved_loaded_and_predicted() {
    let setup = setup(240);
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let (outcome, losses, errors) = train_until(&setup, &run, u64::MAX).unwrap();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (before, after) = (mean(&losses[..5]), mean(&losses[losses.len() - 5..]));
    assert!(after < 0.6 * before, "{before} to {after}");
    let (first, last) = (errors[0], errors[errors.len() - 1]);
    assert!(last < 0.7 * first, "{errors:?}");
    let log = std::fs::read_to_string(run.join("log.jsonl")).unwrap();
    assert!(log.contains(r#""errors":{"distance":"#), "{log}");

    let place = folder.path().join("model");
    let model = saved_and_loaded(&setup, outcome, &place);
    let names: Vec<&str> = model.graph.outputs().iter().map(|o| &o.name[..]).collect();
    assert_eq!(names, ["classes", "distance"]);
    let text = std::fs::read_to_string(place.join("model.toml")).unwrap();
    assert!(
        text.contains("[[network.outputs]]\nname = \"distance\"\n"),
        "{text}"
    );

    let (input, truth) = unseen(&setup);
    let mut predictor = Session::new(&Machine::new(2), &model.graph, &model.parameters);
    let mut predict = |input: &[f32], flips: bool| {
        let options = TileOptions {
            flips,
            ..TileOptions::new(&model.graph)
        };
        predict_image(&mut predictor, input, SIDE, SIDE, &options).unwrap()
    };
    let made = predict(&input, false);
    let cut = parts(model.graph.outputs(), &made);
    let (classes, distance) = (cut[0].1, cut[1].1);
    let certain = classes[SIDE * SIDE..].iter().zip(classes);
    assert!(certain.fold(0.0f32, |m, (a, b)| m.max((a + b - 1.0).abs())) < 1e-6);
    let pairs: Vec<(f32, f32)> = distance
        .iter()
        .copied()
        .zip(truth.data().iter().copied())
        .collect();
    let found = correlation(&pairs);
    // 0.82 with AVX-512; the last digits of 240 steps differ from one instruction set to another.
    assert!(found > 0.7, "correlation {found}");
    // With all four views the image upside down gives the same, upside down, up to rounding.
    let (both, turned) = (predict(&input, true), predict(&flipped(&input), true));
    let largest = both
        .iter()
        .zip(flipped(&turned))
        .fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(largest < 1e-4, "{largest:e}");
    assert_ne!(both, made);
}

#[test]
fn a_training_of_two_outputs_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, parted] = ["whole", "parted"].map(|name| folder.path().join(name));
    let mut setup = setup(6);
    let (expected, losses, _) = train_until(&setup, &whole, u64::MAX).unwrap();
    let (_, mut first, _) = train_until(&setup, &parted, 3).unwrap();
    let (found, rest, _) = train_until(&setup, &parted, u64::MAX).unwrap();
    assert_eq!((found.resumed_at, found.steps), (3, 6));
    first.extend(rest);
    assert_eq!(first, losses);
    assert_eq!(found.parameters, expected.parameters);
    // Another weight of the distance is another training, and so is one of the classes alone.
    let weighed = |weight: f64| UnetSpec {
        outputs: setup
            .spec
            .outputs
            .iter()
            .cloned()
            .map(|o| stainfree_network::Output { weight, ..o })
            .collect(),
        ..setup.spec.clone()
    };
    setup.graph = Graph::unet(&weighed(2.0)).unwrap();
    let error = train_until(&setup, &parted, u64::MAX)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the network has other nodes or constants"),
        "{error}"
    );
}

#[test]
fn fields_without_labels_are_named_by_the_output_that_needs_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut setup = setup(2);
    setup.training.labelled = false;
    let error = train_until(&setup, folder.path(), u64::MAX)
        .unwrap_err()
        .to_string();
    let expected = "has no labels of objects, which the output `distance` is learned from";
    assert!(error.contains(expected), "{error}");
    // Nor do classes alone take more than they need.
    let planes = || vec![Image::filled(SIDE, SIDE, 0.0f32)];
    let target = || Image::filled(SIDE, SIDE, 0u8);
    let alone = Prepared::new(planes(), target(), 2).bytes();
    let both = Prepared::new(planes(), target(), 2)
        .with_values(planes())
        .bytes();
    assert_eq!((alone, both), (SIDE * SIDE * 5, SIDE * SIDE * 9));
}
