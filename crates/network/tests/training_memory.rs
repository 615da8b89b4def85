//! What a training says of its memory, against what the system counts (`VmHWM`, which Linux keeps):
//! a network so large that every copy of its weights shows. The only test of this file, since the
//! count is that of the whole process.
#![cfg(target_os = "linux")]

use std::error::Error;
use std::sync::atomic::AtomicBool;

use stainfree_image::Image;
use stainfree_network::input::{InputSpec, Preprocessing};
use stainfree_network::recipe::{BatchNormStatistics, Length, Recipe};
use stainfree_network::tiles::Predict;
use stainfree_network::train::{Observer, RawField, TrainJob, TrainingData, train};
use stainfree_network::{Encoder, Graph, Machine, Parameters, Session, UnetSpec};

/// Part of what is said for fields while they are read and scored; those here are tiny.
const FOR_FIELDS: usize = 128 << 20;

/// Fields of one square each.
struct Squares(usize);

impl TrainingData for Squares {
    fn len(&self) -> usize {
        self.0
    }

    fn name(&self, field: usize) -> String {
        format!("field{field}")
    }

    fn read(&self, field: usize) -> Result<RawField, Box<dyn Error + Send + Sync>> {
        let inside = |y: usize, x: usize| (8..24).contains(&y) && (8..24 + field).contains(&x);
        Ok(RawField {
            planes: vec![Image::from_fn(32, 32, |y, x| {
                (if inside(y, x) { 180.0 } else { 90.0 }) + ((y * 7 + x * 13) % 10) as f32
            })],
            full_range: 255.0,
            blank: None,
            target: Image::from_fn(32, 32, |y, x| u8::from(inside(y, x))),
            labels: None,
        })
    }
}

/// Keeps what is said.
#[derive(Default)]
struct Heard(String);

impl Observer for Heard {
    fn message(&mut self, text: &str) {
        self.0.push_str(text);
    }
}

/// The most memory that this process has held, bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: usize = line
        .unwrap()
        .trim()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    1024 * kilobytes
}

#[test]
fn a_training_takes_no_more_than_it_says_while_it_validates_and_while_it_writes() {
    let recipe = Recipe {
        crop: 32,
        batch: 1,
        length: Length::Steps(3),
        validate_every: 1,
        average_steps: 16,
        batch_norm: BatchNormStatistics::Measured(1),
        ..Recipe::standard().on(Encoder::Vgg16)
    };
    let recipe = Recipe {
        crop: 32,
        batch: 1,
        ..recipe
    };
    let graph = Graph::unet(&UnetSpec::new(Encoder::Vgg16, 1.0, 2)).unwrap();
    let start = Parameters::initialise(&graph, 1);
    let machine = Machine::new(2);
    let folder = tempfile::tempdir().unwrap();
    // Just what the fields need in one piece.
    let needed = Session::new(&machine, &graph, &start).memory_bytes(32, 32);
    let job = TrainJob {
        graph: &graph,
        start: &start,
        folded_norms: false,
        recipe: &recipe,
        input: &InputSpec {
            planes: 1,
            normalisation: recipe.normalisation.clone(),
            preprocessing: Preprocessing::centred(),
        },
        training: &Squares(2),
        validation: &Squares(1),
        judge: None,
        folder: folder.path(),
        restart: false,
        machine: &machine,
        cache_bytes: 1 << 20,
        memory: Some(needed),
        checkpoint_every: 1,
        pictures: 0,
    };
    let mut heard = Heard::default();
    train(&job, &mut heard, &AtomicBool::new(false)).unwrap();
    let (_, rest) = heard
        .0
        .split_once("checkpoints it is ")
        .expect("a sentence");
    let stated: f64 = rest.split(' ').next().unwrap().parse().unwrap();
    let gibibytes = |bytes: usize| bytes as f64 / f64::from(1 << 30);
    let (peak, spared) = (gibibytes(peak()), gibibytes(FOR_FIELDS));
    println!("{peak:.3} GiB held, {stated} GiB stated, {spared:.3} of it for larger fields");
    assert!(
        peak <= stated - spared,
        "{peak} GiB held, {stated} GiB stated"
    );
}
