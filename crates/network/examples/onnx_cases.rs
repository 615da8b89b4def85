//! Models of every kind as ONNX files, with raw planes and what this program makes of them:
//! `onnx_cases OUT`, for `testdata/network/check_onnx.py`.
//!
//! A case is a folder: `model/`, `network.onnx`, and for each size `HxW.planes.f32` with
//! `HxW.NAME.f32`, arrays `[2][channel][y][x]` of little-endian f32.

#[path = "../tests/common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use stainfree_image::Image;
use stainfree_network::input::{InputSpec, Normalisation, Preprocessing};
use stainfree_network::model::FORMAT;
use stainfree_network::onnx::{OnnxOptions, encode};
use stainfree_network::output::{OutputKind, parts};
use stainfree_network::recipe::Recipe;
use stainfree_network::{
    Encoder, Graph, Machine, Model, ModelInfo, Session, TileOptions, TrainingRecord, UnetSpec,
    predict_image, weights,
};

/// Height and width of the images: multiples of 32, and not.
const SIZES: [[usize; 2]; 2] = [[96, 160], [117, 203]];
const CLASSES: [&str; 4] = ["background", "nucleus", "cytoplasm", "split"];
const FURTHER: [&str; 3] = ["distance", "neighbour", "flow"];

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args().nth(1).ok_or("usage: onnx_cases OUT")?;
    let out = Path::new(&out);
    for encoder in Encoder::ALL {
        for classes in 2..=4 {
            let model = random(encoder, 0.125, classes)?;
            case(out, &format!("{}_c{classes}", encoder.name()), model)?;
        }
    }
    case(out, "virtual_plates", weights::virtual_plates()?)
}

/// A model of random weights, whose statistics are far from those of a start.
fn random(encoder: Encoder, width: f64, classes: usize) -> Result<Model, Box<dyn Error>> {
    let further = FURTHER[..classes - 1].iter();
    let outputs: Result<Vec<_>, _> = further
        .map(|name| OutputKind::named(name).map(OutputKind::output))
        .collect();
    let network = UnetSpec {
        least_channels: 4,
        outputs: outputs?,
        ..UnetSpec::new(encoder, width, classes)
    };
    let graph = Graph::unet(&network)?;
    let (normalisation, preprocessing, planes) = match classes {
        2 => (Normalisation::Paper, Preprocessing::keras_vgg16(), 3),
        3 => (
            Normalisation::Local { radius_px: 40.0 },
            Preprocessing::torchvision(),
            1,
        ),
        _ => {
            let (low, high) = (0.5, 99.5);
            let percentiles = Normalisation::Percentiles { low, high };
            (percentiles, Preprocessing::centred(), 3)
        }
    };
    let input = InputSpec {
        planes,
        normalisation,
        preprocessing,
    };
    Ok(Model {
        info: ModelInfo {
            format: FORMAT,
            program: "stainfree 0.0.0".into(),
            classes: CLASSES[..classes].iter().map(|&c| c.to_owned()).collect(),
            pixel_um: Some(0.5),
            pretrained: None,
            network: network.into(),
            input,
            recipe: Recipe::named("default").ok_or("no default recipe")?,
            training: TrainingRecord::default(),
            adapted: None,
            hashes: BTreeMap::new(),
        },
        parameters: common::initial_parameters(&graph),
        graph,
        ignored: vec![],
    })
}

fn case(out: &Path, name: &str, mut model: Model) -> Result<(), Box<dyn Error>> {
    let folder = out.join(name);
    model.save(&folder.join("model"))?;
    let options = OnnxOptions::default();
    std::fs::write(folder.join("network.onnx"), encode(&model, &options)?)?;
    let mut session = Session::new(&Machine::new(2), &model.graph, &model.parameters);
    for [height, width] in SIZES {
        let mut all: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for planes in images(model.info.input.planes, height, width) {
            let input = channels(&model.info.input, &planes)?;
            let tiles = TileOptions::new(&model.graph);
            let made = predict_image(&mut session, &input, height, width, &tiles)?;
            for plane in &planes {
                all.entry("planes".into()).or_default().extend(plane.data());
            }
            for (output, values) in parts(model.graph.outputs(), &made) {
                all.entry(output.name.clone()).or_default().extend(values);
            }
        }
        for (array, values) in all {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            std::fs::write(folder.join(format!("{height}x{width}.{array}.f32")), bytes)?;
        }
    }
    println!("{name}");
    Ok(())
}

/// Two images.
fn images(planes: usize, height: usize, width: usize) -> [Vec<Image<f32>>; 2] {
    let image = |i: usize| (0..planes).map(move |z| plane(height, width, 5 * i + z));
    [0, 1].map(|i| image(i).collect())
}

/// What the network reads of an image.
fn channels(input: &InputSpec, planes: &[Image<f32>]) -> Result<Vec<f32>, Box<dyn Error>> {
    let normalised = input.normalise(planes, OnnxOptions::default().full_range)?;
    let views: Vec<&[f32]> = normalised.iter().map(Image::data).collect();
    let mut channels = vec![0.0; InputSpec::CHANNELS * views[0].len()];
    input.write_channels(&views, &mut channels);
    Ok(channels)
}

/// Raw counts of 16 bits: shading, cells and noise, other ones in every plane.
fn plane(height: usize, width: usize, seed: usize) -> Image<f32> {
    Image::from_fn(height, width, |y, x| {
        let cell = ((y + seed) as f32 * 0.5).sin() * ((x + 2 * seed) as f32 * 0.4).cos();
        let noise = (y * 7919 + x * 104_729 + seed * 31) % 997;
        (12_000.0 + 31.0 * y as f32 + 17.0 * x as f32 + 1_500.0 * cell + noise as f32).round()
    })
}
