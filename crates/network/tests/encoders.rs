//! The contract of encoders: what everyone of them must do, and what each is known to be.

mod common;

use stainfree_network::tiles::{Predict, cut_margin, needed_for_whole};
use stainfree_network::weights::{SOURCES, load_encoder};
use stainfree_network::{
    AdamStep, CpuTrainer, Encoder, Graph, Loss, LossTerm, Machine, Parameters, Session,
    TileOptions, Train, UnetSpec, argmax, predict_image,
};
use std::collections::HashSet;

/// A narrow network on `encoder`.
fn narrow(encoder: Encoder) -> (Graph, Parameters) {
    let graph = Graph::unet(&UnetSpec::new(encoder, 0.125, 2)).unwrap();
    let parameters = Parameters::initialise(&graph, 5);
    (graph, parameters)
}

/// Bright discs on a wavy ground, and the class of every pixel.
fn discs(height: usize, width: usize) -> (Vec<f32>, Vec<u8>) {
    let inside = |i: usize| {
        let (y, x) = (i / width % 24, i % width % 24);
        (y as f64 - 11.5).hypot(x as f64 - 11.5) < 8.0
    };
    let plane: Vec<f32> = (0..height * width)
        .map(|i| {
            let wave = ((i * 7919) % 2003) as f32 / 4000.0;
            if inside(i) { 1.0 + wave } else { wave - 1.0 }
        })
        .collect();
    let target = (0..height * width).map(|i| u8::from(inside(i))).collect();
    (plane.repeat(3), target)
}

#[test]
fn every_encoder_gives_features_at_every_scale_under_names_of_their_own() {
    for encoder in Encoder::ALL {
        let name = encoder.name();
        assert_eq!(Encoder::parse(name), Some(encoder));
        let graph = Graph::unet(&UnetSpec::new(encoder, 1.0, 3)).unwrap();
        assert_eq!(graph.multiple(), 32, "{name}");
        let mut names = HashSet::new();
        for info in graph.parameters() {
            assert!(
                names.insert(&info.name),
                "{name}: `{}` is there twice",
                info.name
            );
        }
        assert!(
            names.iter().any(|n| n.starts_with("encoder.features.0.")),
            "{name}"
        );
        // Joined arrays agree in scale; the decoder ends where the input began.
        for node in graph.nodes() {
            let levels: Vec<usize> = node.inputs.iter().map(|&id| graph.node(id).level).collect();
            if levels.len() == 2 && levels[0] == levels[1] {
                let channels = node.inputs.iter().map(|&id| graph.node(id).channels);
                assert!(
                    channels.into_iter().all(|c| c == node.channels),
                    "{name}: a sum of unlike arrays"
                );
            }
        }
        let last = graph.nodes().last().unwrap();
        assert_eq!((last.level, last.channels), (0, 3), "{name}");
    }
}

#[test]
fn parameter_counts_are_those_of_the_publications() {
    let count = |encoder, statistics: bool| -> usize {
        let graph = Graph::unet(&UnetSpec::new(encoder, 1.0, 3)).unwrap();
        let own = graph
            .parameters()
            .iter()
            .filter(|info| info.name.starts_with("encoder."));
        own.filter(|info| info.name.contains("running_") == statistics)
            .map(|info| info.len())
            .sum()
    };
    assert_eq!(count(Encoder::Vgg16, false), 14_714_688);
    // torchvision states 3,504,872 with the classifier, which has 1280 * 1000 + 1000.
    assert_eq!(count(Encoder::MobilenetV2, false), 3_504_872 - 1_281_000);
    assert_eq!(count(Encoder::MobilenetV2, true), 2 * 17_056);
    // torchvision's features; Keras counts 125,200 statistics to them.
    assert_eq!(count(Encoder::EfficientnetB4, false), 17_548_616);
    assert_eq!(count(Encoder::EfficientnetB4, true), 125_200);
    // The whole network of segmentation_models 1.0.1, as the paper trained it.
    for (classes, trainable) in [(3, 25_608_123), (4, 25_608_268)] {
        let graph = Graph::unet(&UnetSpec::new(Encoder::EfficientnetB4, 1.0, classes)).unwrap();
        assert_eq!(graph.trainable_count(), trainable);
        assert_eq!(graph.statistic_count(), 127_184);
    }
}

#[test]
fn every_encoder_learns_in_a_few_steps_whatever_the_number_of_threads() {
    let (height, width) = (64, 96);
    let (input, target) = discs(height, width);
    for encoder in Encoder::ALL {
        let (graph, parameters) = narrow(encoder);
        let loss = Loss::new(&[LossTerm::new("cross-entropy", 1.0)], 2).unwrap();
        let train = |threads: usize| {
            let machine = Machine::new(threads);
            let shape = [1, height, width];
            let mut trainer = CpuTrainer::new(&machine, &graph, &parameters, shape);
            trainer.set_stochastic_depth(Some(3));
            let mut losses = Vec::new();
            for _ in 0..6 {
                let logits = trainer.forward(&input).to_vec();
                let mut d_logits = vec![0.0; logits.len()];
                losses.push(loss.evaluate(&logits, &target, 1, &mut d_logits));
                trainer.backward(&d_logits);
                trainer.adam_step(&AdamStep {
                    lr: 3e-3,
                    beta1: 0.9,
                    beta2: 0.999,
                    epsilon: 1e-7,
                    weight_decay: 0.0,
                });
            }
            (losses, trainer.parameters())
        };
        let (losses, one) = train(1);
        assert!(
            losses[5] < 0.8 * losses[0],
            "{}: {losses:?}",
            encoder.name()
        );
        for threads in [2, 5] {
            assert_eq!(
                train(threads).1,
                one,
                "{} with {threads} threads",
                encoder.name()
            );
        }
    }
}

#[test]
fn every_encoder_that_sees_so_far_predicts_the_same_tiled_and_whole() {
    for encoder in Encoder::ALL {
        let (graph, parameters) = narrow(encoder);
        if graph.sees_whole_image() {
            continue;
        }
        let mut predictor = Session::new(&Machine::new(2), &graph, &parameters);
        let whole = TileOptions::new(&graph);
        // Room for the margins and the least core, in an image that is so low that all of it is
        // held, and twice as wide.
        let side = 2 * whole.radius.next_multiple_of(32) + 32;
        let (height, width) = (100, 2 * side - 5);
        let (input, _) = discs(height, width);
        // Tiles at the rim are narrower, and may take more memory for that.
        let widths = (1..=side / 32).map(|i| 32 * i);
        let memory = widths.map(|width| predictor.memory_bytes(128, width)).max();
        let tiles = TileOptions {
            memory,
            ..whole.clone()
        };
        let cut = cut_margin(&predictor, &tiles, height, width);
        assert_eq!(cut, None, "{}: too little memory", encoder.name());
        let expected = predict_image(&mut predictor, &input, height, width, &whole).unwrap();
        let found = predict_image(&mut predictor, &input, height, width, &tiles).unwrap();
        let differences = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let largest = differences.fold(0.0, f32::max);
        // Rounding only: the margin covers everything a pixel sees.
        assert!(largest < 1e-4, "{}: {largest:e}", encoder.name());
        assert!(found != expected, "{}: tiles that are none", encoder.name());
        let classes = argmax(&expected, 2).into_iter().zip(argmax(&found, 2));
        let same = classes.filter(|(a, b)| a == b).count();
        let share = same as f64 / (height * width) as f64;
        assert!(share >= 0.9999, "{}: {share}", encoder.name());
    }
}

#[test]
fn every_encoder_resumes_bit_for_bit() {
    let (height, width) = (32, 64);
    let input = [discs(height, width).0, discs(height, width).0].concat();
    for encoder in Encoder::ALL {
        let (graph, parameters) = narrow(encoder);
        let fresh = |parameters: &Parameters| {
            let shape = [2, height, width];
            let mut trainer = CpuTrainer::new(&Machine::new(2), &graph, parameters, shape);
            trainer.set_stochastic_depth(Some(3));
            trainer
        };
        let step = |trainer: &mut CpuTrainer| {
            let d_logits = trainer
                .forward(&input)
                .iter()
                .map(|l| l - 0.5)
                .collect::<Vec<_>>();
            trainer.backward(&d_logits);
            trainer.adam_step(&AdamStep {
                lr: 1e-3,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-7,
                weight_decay: 1e-4,
            });
        };
        let mut whole = fresh(&parameters);
        (0..2).for_each(|_| step(&mut whole));
        let (saved, state) = (whole.parameters(), whole.optimiser_state());
        (0..2).for_each(|_| step(&mut whole));
        let mut resumed = fresh(&parameters);
        resumed.restore(&saved, &state);
        (0..2).for_each(|_| step(&mut resumed));
        assert_eq!(
            resumed.parameters(),
            whole.parameters(),
            "{}",
            encoder.name()
        );
        assert_eq!(
            resumed.optimiser_state(),
            whole.optimiser_state(),
            "{}",
            encoder.name()
        );
    }
}

/// Gates are made of means over what is computed at once: a tile cannot know those of the whole
/// image. What is promised is that a tile's pixels are those of a prediction of the tile alone.
#[test]
fn tiles_of_an_encoder_that_sees_the_whole_image_are_predictions_of_their_own() {
    let (height, width, radius) = (64, 224, 32);
    let (input, _) = discs(height, width);
    let gated = |encoder: &Encoder| narrow(*encoder).0.sees_whole_image();
    for encoder in Encoder::ALL.into_iter().filter(gated) {
        let (graph, parameters) = narrow(encoder);
        let mut predictor = Session::new(&Machine::new(2), &graph, &parameters);
        let whole = TileOptions {
            radius,
            ..TileOptions::new(&graph)
        };
        // Cores of 64 pixels with 32 more to each side: [0, 96), [32, 160), [96, 224), [160, 224).
        let tiles = TileOptions {
            memory: Some(predictor.memory_bytes(64, 128)),
            ..whole.clone()
        };
        let needed = needed_for_whole(&predictor, &tiles, height, width);
        assert_eq!(needed, Some(predictor.memory_bytes(height, width)));
        assert_eq!(needed_for_whole(&predictor, &whole, height, width), None);
        let found = predict_image(&mut predictor, &input, height, width, &tiles).unwrap();
        let columns = 32..160;
        let part: Vec<f32> = input
            .chunks(width)
            .flat_map(|row| row[columns.clone()].to_vec())
            .collect();
        let alone = predict_image(&mut predictor, &part, height, 128, &whole).unwrap();
        for (row, (found, alone)) in found.chunks(width).zip(alone.chunks(128)).enumerate() {
            assert_eq!(
                found[64..128],
                alone[32..96],
                "{}: row {row}",
                encoder.name()
            );
        }
        let expected = predict_image(&mut predictor, &input, height, width, &whole).unwrap();
        let differences = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let largest = differences.fold(0.0, f32::max);
        assert!(
            largest > 1e-4,
            "{}: it sees no further than a tile",
            encoder.name()
        );
    }
}

#[test]
fn every_encoder_reads_its_weights_from_a_file_of_its_layout() {
    let folder = tempfile::tempdir().unwrap();
    for encoder in Encoder::ALL {
        let (graph, written) = narrow(encoder);
        let arrays: Vec<(String, Vec<usize>, Vec<u8>)> = written
            .iter()
            .filter_map(|tensor| {
                // As torchvision names them.
                let name = tensor.name.strip_prefix("encoder.")?;
                let bytes = tensor.data.iter().flat_map(|x| x.to_le_bytes()).collect();
                Some((name.to_owned(), tensor.shape.clone(), bytes))
            })
            .collect();
        let view = |(name, shape, bytes)| {
            let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, bytes);
            (name, view.unwrap())
        };
        let views = arrays
            .iter()
            .map(|(n, s, b)| view((n.clone(), s.clone(), b)));
        let path = folder
            .path()
            .join(format!("{}.safetensors", encoder.name()));
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();

        let source = SOURCES
            .iter()
            .find(|s| s.encoder == encoder.name() && s.epsilon.is_none())
            .unwrap();
        let fresh = Parameters::initialise(&graph, 6);
        let mut parameters = fresh.clone();
        let imported = load_encoder(&graph, &mut parameters, &path, Some(source.name)).unwrap();
        assert_eq!(imported.tensors, arrays.len(), "{}", encoder.name());
        for tensor in parameters.iter() {
            let encoders = tensor.name.starts_with("encoder.");
            let expected = if encoders { &written } else { &fresh };
            assert_eq!(Some(tensor), expected.get(&tensor.name));
        }
        // Without a tensor, and without anybody saying what it is, nothing is taken.
        let error = load_encoder(&graph, &mut parameters, &path, None).unwrap_err();
        assert!(error.to_string().contains("name its source"), "{error}");
        let views = arrays[1..]
            .iter()
            .map(|(n, s, b)| view((n.clone(), s.clone(), b)));
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        let error = load_encoder(&graph, &mut parameters, &path, Some(source.name)).unwrap_err();
        let missing = format!("missing are `{}`", arrays[0].0);
        assert!(error.to_string().contains(&missing), "{error}");
    }
}

/// Norm of the difference relative to the norm of what is expected.
fn error(got: &[f32], expected: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let mut differences = got.iter().zip(expected).map(|(a, b)| f64::from(a - b));
    norm(&mut differences) / norm(&mut expected.iter().map(|&b| f64::from(b)))
}

#[test]
fn recalibrated_batch_norms_predict_as_before_and_train_as_they_predict() {
    let (height, width) = (64, 96);
    let input = discs(height, width).0;
    for encoder in Encoder::ALL {
        let graph = Graph::unet(&UnetSpec::new(encoder, 0.125, 2)).unwrap();
        // Batch norms that are far from what their inputs are.
        let parameters = common::initial_parameters(&graph);
        let machine = Machine::new(2);
        let predict = |parameters: &Parameters| {
            Session::new(&machine, &graph, parameters).logits(&input, height, width)
        };
        let before = predict(&parameters);
        let mut trainer = CpuTrainer::new(&machine, &graph, &parameters, [1, height, width]);
        let untouched = error(trainer.forward(&input), &before);
        assert!(
            untouched > 0.1,
            "{}: nothing to do: {untouched}",
            encoder.name()
        );
        let mut trainer = CpuTrainer::new(&machine, &graph, &parameters, [1, height, width]);
        trainer.recalibrate("", vec![input.clone()]);
        // Statistics and scales are rounded to f32 once more, fifty layers deep.
        let after = error(&predict(&trainer.parameters()), &before);
        assert!(after < 1e-4, "{}: {after:e}", encoder.name());
        let trained = error(trainer.forward(&input), &before);
        assert!(trained < 1e-4, "{}: {trained:e}", encoder.name());
        // Only what was named is changed.
        let mut trainer = CpuTrainer::new(&machine, &graph, &parameters, [1, height, width]);
        trainer.recalibrate("encoder.", vec![input.clone()]);
        let changed = trainer.parameters();
        for tensor in changed.iter().filter(|t| !t.name.starts_with("encoder.")) {
            assert_eq!(Some(tensor), parameters.get(&tensor.name));
        }
    }
}
