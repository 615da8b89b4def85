//! The network by ONNX Runtime against the program's own kernels. The library is the one that
//! ORT_DYLIB_PATH names; where there is none, nothing is tested, and that is said. `.ci/judges` has
//! one.

#![cfg(feature = "onnxruntime")]

use std::path::Path;

use stainfree_image::{Image, Plane};
use stainfree_inference::{Device, Options, Predictor, Provider};
use stainfree_network::input::{InputSpec, Normalisation, Preprocessing};
use stainfree_network::model::{FORMAT, Model, ModelInfo};
use stainfree_network::recipe::Recipe;
use stainfree_network::{Encoder, Graph, Machine, Parameters, TrainingRecord, UnetSpec};

const MODEL_UM: f64 = 0.5;

/// A model of random weights in `folder`.
fn put_model(folder: &Path, encoder: Encoder, width: f64) {
    let network = UnetSpec::new(encoder, width, 3);
    let graph = Graph::unet(&network).unwrap();
    let parameters = Parameters::initialise(&graph, 3);
    let classes = ["background", "nucleus", "cytoplasm"];
    let mut model = Model {
        info: ModelInfo {
            format: FORMAT,
            program: "stainfree 0.0.0".into(),
            classes: classes.map(str::to_owned).into(),
            pixel_um: Some(MODEL_UM),
            pretrained: None,
            network: network.into(),
            input: InputSpec {
                planes: 1,
                normalisation: Normalisation::Paper,
                preprocessing: Preprocessing::centred(),
            },
            recipe: Recipe {
                encoder,
                width,
                rescale: true,
                ..Recipe::named("default").unwrap()
            },
            training: TrainingRecord::default(),
            adapted: None,
            hashes: Default::default(),
        },
        graph,
        parameters,
        ignored: Vec::new(),
    };
    model.save(folder).unwrap();
}

fn image() -> Plane {
    let disc = |y: usize, x: usize| {
        let (dy, dx) = (y as f64 % 40.0 - 20.0, x as f64 % 40.0 - 20.0);
        if dy * dy + dx * dx < 144.0 { 4000 } else { 0 }
    };
    Plane::U16(Image::from_fn(211, 170, |y, x| {
        (12_000 + 11 * y + 5 * x + disc(y, x) + (y * 7919 + x * 104_729) % 997) as u16
    }))
}

#[test]
fn classes_are_those_of_the_own_kernels() {
    if std::env::var_os("ORT_DYLIB_PATH").is_none_or(|path| path.is_empty()) {
        eprintln!("skipped: ORT_DYLIB_PATH names no library of ONNX Runtime");
        return;
    }
    for (encoder, width) in [
        (Encoder::Vgg16, 0.125),
        (Encoder::MobilenetV2, 0.25),
        (Encoder::EfficientnetB4, 0.25),
    ] {
        let folder = tempfile::tempdir().unwrap();
        put_model(folder.path(), encoder, width);
        let predicted = |device, memory, flips| {
            let machine = Machine::new(2).with_memory(memory);
            let options = Options {
                device,
                flips,
                ..Options::default()
            };
            let mut predictor = Predictor::open(folder.path(), &machine, &options).unwrap();
            assert_eq!(predictor.device(), device);
            predictor.predict(&[image()], Some(MODEL_UM)).unwrap()
        };
        let there = Device::OnnxRuntime(Provider::Cpu);
        let (own, other) = (
            predicted(Device::Cpu, None, true),
            predicted(there, None, true),
        );
        let said = other.remarks.iter().map(|remark| remark.sentence("it"));
        let said: Vec<String> = said.filter(|said| said.contains("ONNX Runtime")).collect();
        assert!(
            said.len() == 1 && said[0].contains("provider `cpu`"),
            "{said:?}"
        );
        let planes = own.outputs[0].planes.iter().zip(&other.outputs[0].planes);
        let apart = planes.flat_map(|(a, b)| a.data().iter().zip(b.data()));
        let most = apart.fold(0f32, |most, (a, b)| most.max((a - b).abs()));
        // Random weights: both programs are as far from exact as f32 allows (docs/files.md).
        assert!(most < 1e-3, "{encoder:?}: {most} apart");
        let pairs = own.classes.data().iter().zip(other.classes.data());
        let differ = pairs.filter(|(a, b)| a != b).count();
        let share = differ as f64 / own.classes.data().len() as f64;
        assert!(share <= 0.001, "{encoder:?}: {share} of the classes differ");
        assert!(
            own.classes
                .data()
                .iter()
                .any(|class| *class != own.classes.data()[0])
        );
    }
}

#[test]
fn a_provider_that_is_not_there_is_no_reason_to_compute_elsewhere() {
    if std::env::var_os("ORT_DYLIB_PATH").is_none_or(|path| path.is_empty()) {
        eprintln!("skipped: ORT_DYLIB_PATH names no library of ONNX Runtime");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    put_model(folder.path(), Encoder::MobilenetV2, 0.0625);
    // Apple's is in no library for other systems, and Windows' in none for Apple's.
    let provider = match cfg!(target_vendor = "apple") {
        true => Provider::DirectMl,
        false => Provider::CoreMl,
    };
    let options = Options {
        device: Device::OnnxRuntime(provider),
        ..Options::default()
    };
    let error = Predictor::open(folder.path(), &Machine::new(1), &options)
        .err()
        .unwrap();
    let said = error.to_string();
    assert!(
        said.contains(provider.name()) && said.contains("choose another `--device`"),
        "{said}"
    );
}
