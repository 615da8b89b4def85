//! What a graph promises, executors keep: the fused steps compute what the nodes say, and training
//! and prediction compute both, on a residual network that no encoder of the program is like
//! (`networks/residual.txt`: strided dense convolutions, activations after sums and without batch
//! norms, any window on joined arrays, the image as a skip).

mod common;

use common::gradients::wrong_gradients;
use common::interpreter::{Array, Statistics, program_reference, reference};
use stainfree_network::program::{Activation, Step};
use stainfree_network::{
    AdamStep, CpuTrainer, Encoder, Graph, Isa, Machine, Parameters, Program, Session, Train,
    UnetSpec, description,
};

fn residual() -> Graph {
    let graph = description::read(include_str!("networks/residual.txt")).unwrap();
    assert!(Program::new(&graph).is_ok());
    graph
}

/// Smooth and rough at once, as an image is.
fn image(channels: usize, height: usize, width: usize) -> Vec<f32> {
    (0..channels * height * width)
        .map(|i| {
            let (y, x) = ((i / width % height) as f32, (i % width) as f32);
            (y * 0.4).sin() + (x * 0.27).cos() + ((i * 7919) % 201) as f32 / 500.0
        })
        .collect()
}

fn array(channels: usize, height: usize, width: usize) -> Array {
    let data = image(channels, height, width);
    Array {
        channels,
        height,
        width,
        data: data.into_iter().map(f64::from).collect(),
    }
}

fn norm(x: &mut dyn Iterator<Item = f64>) -> f64 {
    x.map(|v| v * v).sum::<f64>().sqrt()
}

/// Norm of the difference relative to the norm of what is expected.
fn error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let mut differences = found.iter().zip(expected).map(|(a, b)| a - b);
    norm(&mut differences) / norm(&mut expected.iter().copied())
}

#[test]
fn the_fused_steps_compute_what_the_nodes_say() {
    let unet = |encoder| Graph::unet(&UnetSpec::new(encoder, 0.0625, 3)).unwrap();
    let graphs = Encoder::ALL.into_iter().map(unet).chain([residual()]);
    for graph in graphs {
        let program = Program::new(&graph).unwrap();
        // Statistics that are far from what they are of.
        let parameters = common::initial_parameters(&graph);
        let input = array(3, 32, 64);
        for statistics in [Statistics::Running, Statistics::Image] {
            let nodes = reference(&graph, &parameters, statistics, &input);
            let steps = program_reference(&program, &parameters, statistics, &input);
            let error = error(&steps, &nodes);
            assert!(error < 1e-12, "{}: {error:e}", graph.encoder_prefix());
        }
    }
}

#[test]
fn the_residual_network_has_what_it_is_there_for() {
    let program = Program::new(&residual()).unwrap();
    let count = |is: &dyn Fn(&Step) -> bool| program.steps.iter().filter(|step| is(step)).count();
    let relu_after_sum = |step: &Step| {
        matches!(
            step,
            Step::Add {
                activation: Activation::Relu,
                ..
            }
        )
    };
    assert_eq!(count(&relu_after_sum), 2);
    // A swish after a sum, three functions without a batch norm, one of what others read too, and
    // an identity after a ReLU.
    assert_eq!(count(&|step| matches!(step, Step::Activate { .. })), 6);
    let joined = |step: &Step| matches!(step, Step::Conv(conv) if conv.inputs.len() == 2);
    assert_eq!(count(&joined), 3);
    let strided = |step: &Step| matches!(step, Step::Conv(conv) if conv.window.stride == 2);
    assert_eq!(count(&strided), 3);
}

#[test]
fn a_residual_network_predicts_what_its_nodes_say() {
    let graph = residual();
    let parameters = common::initial_parameters(&graph);
    // In one piece, and in several bands.
    for (height, width) in [(64, 96), (640, 32)] {
        let input = image(3, height, width);
        let wide = array(3, height, width);
        let expected = reference(&graph, &parameters, Statistics::Running, &wide);
        for isa in Isa::available() {
            let machine = Machine::new(2).with_isa(isa);
            let mut session = Session::new(&machine, &graph, &parameters);
            let found = session.logits(&input, height, width);
            let found: Vec<f64> = found.into_iter().map(f64::from).collect();
            let error = error(&found, &expected);
            // Some twenty convolutions of f32.
            assert!(error < 2e-5, "{} {height}: {error:e}", isa.name());
        }
    }
}

#[test]
fn a_residual_network_is_trained_by_the_gradients_of_its_nodes() {
    let graph = residual();
    for isa in Isa::available() {
        // As for the encoders (`exact.rs`): where f32 finds a value on the other side of an edge,
        // gradients differ; most draws must be clean.
        let (mut clean, mut wrong) = (0, Vec::new());
        for seed in [6, 7, 8, 9, 10] {
            match wrong_gradients(&graph, seed, 32, isa, &|_| true) {
                found if found.is_empty() => clean += 1,
                found => wrong.push(found),
            }
            if clean == 3 || wrong.len() == 3 {
                break;
            }
        }
        assert!(clean == 3, "{}: {wrong:#?}", isa.name());
    }
}

#[test]
fn a_residual_network_learns_the_same_bits_for_any_number_of_threads() {
    let graph = residual();
    let parameters = Parameters::initialise(&graph, 3);
    let (height, width) = (32, 64);
    let input = image(6, height, width);
    let train = |threads: usize| {
        let machine = Machine::new(threads);
        let mut trainer = CpuTrainer::new(&machine, &graph, &parameters, [2, height, width]);
        trainer.set_stochastic_depth(Some(3));
        let mut distances = Vec::new();
        for _ in 0..8 {
            let logits = trainer.forward(&input);
            let d: Vec<f32> = logits.iter().map(|l| l - 0.5).collect();
            distances.push(norm(&mut d.iter().map(|&d| f64::from(d))));
            trainer.backward(&d);
            trainer.adam_step(&AdamStep {
                lr: 1e-2,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-7,
                weight_decay: 0.0,
            });
        }
        (distances, trainer.parameters())
    };
    let (distances, one) = train(1);
    assert!(distances[7] < 0.7 * distances[0], "{distances:?}");
    assert_eq!(train(3).1, one);
}
