//! Written ONNX files, computed by the operators' definitions (`common/onnx.rs`), against the
//! program's own prediction of the same raw planes.

mod common;

use std::collections::BTreeMap;

use common::onnx::{Onnx, Tensor};
use stainfree_image::Image;
use stainfree_network::input::{ChannelOrder, InputSpec, Normalisation, Preprocessing};
use stainfree_network::model::{FORMAT, NetworkName};
use stainfree_network::onnx::{BEGINNING, INPUT, OnnxError, OnnxOptions, encode};
use stainfree_network::output::{OutputKind, parts};
use stainfree_network::recipe::Recipe;
use stainfree_network::{
    Encoder, Graph, Machine, Model, ModelInfo, Session, TileOptions, TrainingRecord, UnetSpec,
    description, predict_image,
};

const LOCAL: Normalisation = Normalisation::Local { radius_px: 7.0 };
const PERCENTILES: Normalisation = Normalisation::Percentiles {
    low: 0.7,
    high: 99.2,
};
const OPTIONS: OnnxOptions = OnnxOptions {
    full_range: 65_535.0,
};

fn spec(encoder: Encoder, classes: usize, further: &[&str]) -> UnetSpec {
    let kinds = further.iter().map(|name| OutputKind::named(name).unwrap());
    UnetSpec {
        least_channels: 4,
        outputs: kinds.map(OutputKind::output).collect(),
        ..UnetSpec::new(encoder, 0.0625, classes)
    }
}

/// A model of that network, with numbers that are far from those of a start.
fn model(graph: Graph, network: NetworkName, input: InputSpec) -> Model {
    let names = ["background", "nucleus", "cytoplasm", "split"];
    let classes = names[..graph.classes()].iter().map(|&n| n.to_owned());
    Model {
        info: ModelInfo {
            format: FORMAT,
            program: "stainfree 0.0.0".into(),
            classes: classes.collect(),
            pixel_um: Some(0.5),
            pretrained: None,
            network,
            input,
            recipe: Recipe::named("default").unwrap(),
            training: TrainingRecord::default(),
            adapted: None,
            hashes: BTreeMap::new(),
        },
        parameters: common::initial_parameters(&graph),
        graph,
        ignored: vec![],
    }
}

fn unet(spec: UnetSpec, input: InputSpec) -> Model {
    model(Graph::unet(&spec).unwrap(), spec.into(), input)
}

fn input(planes: usize, normalisation: Normalisation, order: ChannelOrder) -> InputSpec {
    let preprocessing = Preprocessing {
        order,
        ..Preprocessing::torchvision()
    };
    InputSpec {
        planes,
        normalisation,
        preprocessing,
    }
}

/// Raw counts of 16 bits: shading, cells and noise, other ones in every plane.
fn plane(height: usize, width: usize, seed: usize) -> Image<f32> {
    Image::from_fn(height, width, |y, x| {
        let cell = ((y + seed) as f32 * 0.5).sin() * ((x + 2 * seed) as f32 * 0.4).cos();
        let noise = (y * 7919 + x * 104_729 + seed * 31) % 997;
        (12_000.0 + 31.0 * y as f32 + 17.0 * x as f32 + 1_500.0 * cell + noise as f32).round()
    })
}

fn batch(images: usize, planes: usize, height: usize, width: usize) -> Vec<Vec<Image<f32>>> {
    let image = |i: usize| (0..planes).map(move |z| plane(height, width, 5 * i + z));
    (0..images).map(|i| image(i).collect()).collect()
}

/// All outputs of an image by this program.
fn own(model: &Model, planes: &[Image<f32>]) -> Vec<f32> {
    let (height, width) = planes[0].size();
    let normalised = model.info.input.normalise(planes, 65_535.0).unwrap();
    let views: Vec<&[f32]> = normalised.iter().map(Image::data).collect();
    let mut channels = vec![0.0; 3 * height * width];
    model.info.input.write_channels(&views, &mut channels);
    let mut session = Session::new(&Machine::new(2), &model.graph, &model.parameters);
    let options = TileOptions::new(&model.graph);
    predict_image(&mut session, &channels, height, width, &options).unwrap()
}

/// The largest difference of the file's outputs from the program's, against the largest value.
fn difference(model: &Model, images: &[Vec<Image<f32>>]) -> f64 {
    let bytes = encode(model, &OPTIONS).unwrap();
    let onnx = Onnx::read(&bytes);
    let (height, width) = images[0][0].size();
    let values = images.iter().flatten().flat_map(|plane| plane.data());
    let shape = [images.len(), images[0].len(), height, width];
    let found = onnx.run(&Tensor::new(
        &shape,
        values.map(|&v| f64::from(v)).collect(),
    ));
    let mut worst = 0.0f64;
    for (i, planes) in images.iter().enumerate() {
        let own = own(model, planes);
        for (output, own) in parts(model.graph.outputs(), &own) {
            let found = &found[&output.name];
            assert_eq!(found.shape, [images.len(), output.channels, height, width]);
            let found = &found.data[i * own.len()..][..own.len()];
            let scale = own.iter().fold(1.0f32, |a, b| a.max(b.abs()));
            for (a, b) in found.iter().zip(own) {
                let far = (a - f64::from(*b)).abs() / f64::from(scale);
                assert!(far.is_finite());
                worst = worst.max(far);
            }
        }
    }
    worst
}

/// Rounding of f32 through all layers: what the issue allows.
const TOLERANCE: f64 = 1e-4;

#[test]
fn files_of_every_encoder_compute_what_the_program_does() {
    let all = ["distance", "neighbour", "flow"];
    let (rgb, bgr) = (ChannelOrder::Rgb, ChannelOrder::Bgr);
    for (encoder, classes, further, read) in [
        (Encoder::Vgg16, 2, &[][..], input(3, PERCENTILES, bgr)),
        (Encoder::MobilenetV2, 3, &all[..], input(1, LOCAL, rgb)),
        (Encoder::EfficientnetB4, 4, &all[..1], input(3, LOCAL, rgb)),
    ] {
        let model = unet(spec(encoder, classes, further), read.clone());
        for (height, width) in [(32, 64), (45, 70)] {
            let images = batch(2, read.planes, height, width);
            let far = difference(&model, &images);
            assert!(
                far < TOLERANCE,
                "{} {height} x {width}: {far:e}",
                encoder.name()
            );
        }
    }
}

#[test]
fn files_of_networks_that_no_encoder_is_like_compute_them_too() {
    let graph = description::read(include_str!("networks/residual.txt")).unwrap();
    let name = spec(Encoder::Vgg16, 3, &[]).into();
    let read = input(3, Normalisation::Paper, ChannelOrder::Bgr);
    let model = model(graph, name, read);
    let far = difference(&model, &batch(2, 3, 40, 33));
    assert!(far < TOLERANCE, "{far:e}");
}

#[test]
fn images_of_any_size_and_content_are_read_as_the_program_reads_them() {
    let small = || spec(Encoder::Vgg16, 2, &["distance"]);
    for normalisation in [LOCAL, PERCENTILES, Normalisation::Paper] {
        let model = unet(small(), input(1, normalisation.clone(), ChannelOrder::Rgb));
        let mut odd = plane(3, 37, 2);
        odd.data_mut()[7] = f32::NAN;
        odd.data_mut()[60] = f32::INFINITY;
        let even = Image::filled(9, 5, 800.0);
        let dark = Image::filled(2, 2, 0.0);
        for image in [odd, even, dark, Image::filled(1, 1, 7.0)] {
            let size = image.size();
            let far = difference(&model, &[vec![image]]);
            assert!(far < TOLERANCE, "{normalisation:?} {size:?}: {far:e}");
        }
    }
}

#[test]
fn a_file_says_what_it_reads_and_gives() {
    let read = input(3, LOCAL, ChannelOrder::Rgb);
    let model = unet(spec(Encoder::Vgg16, 3, &["flow"]), read);
    let bytes = encode(&model, &OPTIONS).unwrap();
    let onnx = Onnx::read(&bytes);
    assert_eq!(onnx.versions(), [8, 17]);
    let axes = |channels: &str| ["batch", channels, "height", "width"].map(str::to_owned);
    assert_eq!(onnx.ports(11), [(INPUT.to_owned(), axes("3").to_vec())]);
    let expected = [("classes", "3"), ("flow", "2")];
    let expected = expected.map(|(name, n)| (name.to_owned(), axes(n).to_vec()));
    assert_eq!(onnx.ports(12), expected);
    let notes = onnx.notes();
    assert_eq!(notes["classes"], r#"["background","nucleus","cytoplasm"]"#);
    assert_eq!(notes["model"], model.hash());
    assert_eq!(notes["pixel_um"], "0.5");
    assert!(notes["in_the_file"].contains("multiple of 32"));
    assert!(notes["normalisation"].contains(r#""radius_px":7.0"#));
    assert!(bytes.starts_with(BEGINNING.as_bytes()));
    // The same model gives the same bytes.
    assert_eq!(encode(&model, &OPTIONS).unwrap(), bytes);
}

#[test]
fn parameters_bear_the_models_names_unless_an_output_does() {
    let graph = description::read(include_str!("networks/residual.txt")).unwrap();
    let text = description::describe(&graph).replace("head.weight", "classes");
    let graph = description::read(&text).unwrap();
    let read = input(1, Normalisation::Paper, ChannelOrder::Rgb);
    let model = model(graph, spec(Encoder::Vgg16, 3, &[]).into(), read);
    let far = difference(&model, &batch(1, 1, 16, 16));
    assert!(far < TOLERANCE, "{far:e}");
}

#[test]
fn inputs_that_cannot_be_are_refused() {
    let read = |normalisation| input(1, normalisation, ChannelOrder::Rgb);
    let mut model = unet(spec(Encoder::Vgg16, 2, &[]), read(LOCAL));
    let options = OnnxOptions { full_range: 0.0 };
    assert!(matches!(encode(&model, &options), Err(OnnxError::Input(_))));
    model.info.input.planes = 2;
    assert_eq!(encode(&model, &OPTIONS), Err(OnnxError::Planes(2)));
    model.info.input = read(Normalisation::Local { radius_px: -1.0 });
    assert!(matches!(encode(&model, &OPTIONS), Err(OnnxError::Input(_))));
}
