//! Bands against the whole image, and the ImageNet weights against what is stated with them.

use super::Session;
use crate::bands::Schedule;
use crate::graph::Graph;
use crate::machine::Machine;
use crate::parameters::Parameters;
use crate::{Encoder, UnetSpec};
use stainfree_kernels::blocked::Rows;
use stainfree_kernels::{Blocked, Isa};
use std::ops::Range;
use std::sync::Arc;

fn session(graph: &Graph, parameters: &Parameters, isa: Isa) -> Session {
    Session::new(&Machine::new(2).with_isa(isa), graph, parameters)
}

#[test]
fn bands_give_what_the_whole_image_gives() {
    Encoder::ALL.into_iter().for_each(bands_and_whole);
}

fn bands_and_whole(encoder: Encoder) {
    let graph = Graph::unet(&UnetSpec::new(encoder, 0.25, 3)).unwrap();
    let parameters = Parameters::initialise(&graph, 3);
    let (height, width) = (416, 96);
    let input: Vec<f32> = (0..3 * height * width)
        .map(|i| ((i * 7919) % 2003) as f32 / 1000.0 - 1.0)
        .collect();
    let norm =
        |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    for isa in Isa::available() {
        let mut predictor = session(&graph, &parameters, isa);
        let whole = Schedule::with_tiles(&predictor.network.lowered, height, width, |_| {
            usize::MAX / 8
        });
        let expected = predictor.logits_in(&whole, &input, height, width);
        for tiles in [1, 30, 100] {
            let bands = Schedule::with_tiles(&predictor.network.lowered, height, width, |_| tiles);
            assert!(
                bands.kept.iter().sum::<usize>() < whole.kept.iter().sum::<usize>() * 3 / 4,
                "nothing is given up"
            );
            let found = predictor.logits_in(&bands, &input, height, width);
            let error = norm(&mut found.iter().zip(&expected).map(|(a, b)| a - b));
            // Two sums of f32 in different order, 23 layers deep; a wrong row would be of the
            // order of 1.
            let relative = error / norm(&mut expected.iter().copied());
            assert!(
                relative < 1e-5,
                "{} {}, {tiles} tiles: {relative:e}",
                encoder.name(),
                isa.name()
            );
        }
    }
}

/// What the MobileNetV2 encoder with its ImageNet weights makes of an input: blocks 1, 3, 6, 13
/// and 18.
fn imagenet_features(input: &[f32], height: usize, width: usize) -> Option<Vec<(usize, Vec<f32>)>> {
    let path = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/weights/mobilenet_v2_features.safetensors");
    if !path.exists() {
        println!("skipped: `{}` is absent", path.display());
        return None;
    }
    let graph = Graph::unet(&UnetSpec::new(Encoder::MobilenetV2, 1.0, 2)).unwrap();
    let mut parameters = Parameters::initialise(&graph, 1);
    let imported = crate::weights::load_encoder(&graph, &mut parameters, &path, None).unwrap();
    assert_eq!(imported.source.name, "mobilenet-v2-onnx-zoo");
    assert_eq!((imported.tensors, imported.values), (260, 2_257_984));
    let mut predictor = session(&graph, &parameters, Isa::available()[0]);
    let blocks = [
        (1, 16, 1),
        (3, 24, 2),
        (6, 32, 3),
        (13, 96, 4),
        (18, 1280, 5),
    ];
    let mut feature = |(block, channels, level): (usize, usize, usize)| {
        // The last array of so many channels at its scale.
        let of = |v: &crate::program::Value| v.channels == channels && v.level == level;
        let lowered = &mut Arc::get_mut(&mut predictor.network).unwrap().lowered;
        let program = &mut lowered.program;
        let value = program.values.iter().rposition(of).unwrap();
        // The network ends there.
        let last = program.steps.iter().position(|step| step.to() == value);
        program.steps.truncate(last.unwrap() + 1);
        program.logits = value;
        let schedule = Schedule::new(lowered, height, width);
        let mut planar = vec![0.0; channels * (height >> level) * (width >> level)];
        let line = |channel: usize, y: usize, to: &mut [f32]| {
            to.copy_from_slice(&input[(channel * height + y) * width..][..width]);
        };
        let workers = predictor.workers.clone();
        let mut emit = |shape: &Blocked, rows: Rows, made: Range<usize>| {
            shape.unpack_rows(&workers, rows, &mut planar, made);
        };
        predictor.each_band(&schedule, [height, width], &line, &mut emit);
        (block, planar)
    };
    // The deepest first: each cuts the network shorter.
    let mut features: Vec<_> = blocks.into_iter().rev().map(&mut feature).collect();
    features.reverse();
    Some(features)
}

#[test]
fn imagenet_features_are_those_stated_with_the_weights() {
    let input: Vec<f32> = (0..3 * 64 * 64)
        .map(|i| {
            let (c, y, x) = (i / 4096, i / 64 % 64, i % 64);
            ((7 * c + 3 * y + 5 * x) % 17) as f32 / 4.0 - 2.0
        })
        .collect();
    let Some(features) = imagenet_features(&input, 64, 64) else {
        return;
    };
    // Mean and largest value, as the README of the weights has them.
    let stated = [
        (1, -0.000166, 5.799142),
        (3, 0.084768, 4.078633),
        (6, 0.118671, 3.832885),
        (13, -0.050748, 2.852159),
        (18, 0.199393, 3.192290),
    ];
    for ((block, values), (stated_block, mean, largest)) in features.iter().zip(stated) {
        assert_eq!(*block, stated_block);
        let n = values.len() as f64;
        let found = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let max = values.iter().fold(0f32, |m, x| m.max(x.abs()));
        // f32 differs by at most 8e-6 there.
        assert!(
            (found - mean).abs() < 1e-5,
            "features.{block}: mean {found}"
        );
        assert!(
            (f64::from(max) - largest).abs() < 2e-5,
            "features.{block}: {max}"
        );
    }
}

#[test]
fn imagenet_features_of_a_real_image_are_torchs() {
    let file = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../testdata/network/mobilenet_v2_imagenet.safetensors"
    ))
    .unwrap();
    let file = safetensors::SafeTensors::deserialize(&file).unwrap();
    let preprocessing = crate::Preprocessing::torchvision();
    let input: Vec<f32> = file
        .tensor("input")
        .unwrap()
        .data()
        .chunks(64 * 64)
        .enumerate()
        .flat_map(|(channel, plane)| {
            let (_, factor, offset) = preprocessing.channel(channel);
            plane
                .iter()
                .map(move |&x| f32::from(x) / 255.0 * factor + offset)
        })
        .collect();
    let Some(features) = imagenet_features(&input, 64, 64) else {
        return;
    };
    for (block, values) in features {
        let expected: Vec<f64> = file
            .tensor(&format!("features.{block}"))
            .unwrap()
            .data()
            .chunks(4)
            .map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())))
            .collect();
        let error = stainfree_kernels::plain::relative_error(&values, &expected);
        // Up to fifty layers of f32.
        assert!(error < 1e-5, "features.{block}: {error:e}");
    }
}
