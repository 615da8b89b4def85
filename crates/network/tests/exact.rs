//! How far the logits are from the definitions in f64 at full width, where sums are longest, and
//! every gradient against finite differences.

mod common;

use common::gradients::wrong_gradients;
use common::interpreter::{Array, Statistics, reference};
use stainfree_network::{Encoder, Graph, Isa, Machine, Parameters, Session, UnetSpec};

#[test]
fn full_width_logits_are_those_of_f64() {
    let graph = Graph::unet(&UnetSpec::new(Encoder::Vgg16, 1.0, 3)).unwrap();
    let parameters = Parameters::initialise(&graph, 5);
    let side = 32;
    // Smooth and rough at once, as an image is.
    let input: Vec<f32> = (0..3 * side * side)
        .map(|i| {
            let (y, x) = ((i / side % side) as f32, (i % side) as f32);
            (y * 0.4).sin() + (x * 0.27).cos() + ((i * 7919) % 201) as f32 / 500.0
        })
        .collect();
    let wide = Array {
        channels: 3,
        height: side,
        width: side,
        data: input.iter().map(|&v| f64::from(v)).collect(),
    };
    let expected = reference(&graph, &parameters, Statistics::Running, &wide);
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|v| v * v).sum::<f64>().sqrt();
    let check = |isa: Isa, precision: &str, least: f64, limit: f64| {
        let mut predictor = Session::new(&Machine::new(2).with_isa(isa), &graph, &parameters);
        let found = predictor.logits(&input, side, side);
        let mut differences = found.iter().zip(&expected).map(|(a, b)| f64::from(*a) - b);
        let error = norm(&mut differences) / norm(&mut expected.iter().copied());
        println!("{} {precision}: {error:.1e}", isa.name());
        assert!(
            (least..limit).contains(&error),
            "{} {precision}: {error:e}",
            isa.name()
        );
    };
    for isa in Isa::available() {
        // A convolution's 2e-6 (kernels/tests), 5e-6 with tiles of 6x6, in each of 23 of them; 2e-6
        // in all is usual, 4e-6.
        check(isa, "f32", 0.0, 5e-5);
        // bf16 keeps 8 bits: docs/performance.md has what that costs on real images. One as exact
        // as f32 is none.
        if let Some(isa) = isa.bf16() {
            check(isa, "bf16", 1e-4, 3e-2);
        }
    }
}

/// What is wrong with the gradients of a narrow network on `encoder`.
fn wrong_gradients_of(encoder: Encoder, seed: u64) -> Vec<String> {
    let spec = UnetSpec {
        least_channels: 4,
        encoder,
        width: 0.0625,
        classes: 3,
        outputs: vec![],
    };
    let graph = Graph::unet(&spec).unwrap();
    // Blocks of EfficientNet's stages are alike from the second on.
    let repeats = |name: &str| {
        let mut parts = name.split('.');
        name.contains(".block.")
            && parts
                .nth(3)
                .is_some_and(|block| !["0", "1"].contains(&block))
    };
    // Large enough that a batch norm at the deepest level sees several pixels: with nine of them,
    // two instruction sets differ by 7 % in some gradients of EfficientNet-B4, with sixteen by
    // 3e-4.
    let isa = Isa::available()[0];
    wrong_gradients(&graph, seed, 128, isa, &|tensor| !repeats(&tensor.name))
}

#[test]
fn every_gradient_is_the_finite_difference_of_the_definition() {
    // Where f32 finds a value on the other side of an edge of a ReLU or a pool, all gradients below
    // differ; with a quarter of the seeds one does. A wrong gradient is wrong with every seed, one
    // that is wrong for some inputs with many: most draws must be clean.
    for encoder in Encoder::ALL {
        let (mut clean, mut wrong) = (0, Vec::new());
        for seed in [6, 7, 8, 9, 10] {
            match wrong_gradients_of(encoder, seed) {
                found if found.is_empty() => clean += 1,
                found => wrong.push(found),
            }
            if clean == 3 || wrong.len() == 3 {
                break;
            }
        }
        assert!(clean == 3, "{}: {wrong:#?}", encoder.name());
    }
}
