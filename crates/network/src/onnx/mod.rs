//! A model as an ONNX file: raw brightfield planes in, every output behind its link out.
//!
//! The file holds all that a prediction of a whole image does with planes at the model's pixel
//! size: normalisation, mirrored borders, the network, links, and the cut back to the image. So
//! sides may be of any length, and the batch of any size. What it does not hold, its notes say:
//! planes with pixels that show nothing, other pixel sizes, and nuclei.
//!
//! Here: the file as a whole. Its bytes are in `proto`, graphs in `nodes`, the network in `layers`,
//! what lies around it in `planes`, and what the file says of itself in `notes`. Source: onnx.proto
//! and the operators' definitions of ONNX 1.12 (IR version 8, operator set 17).

mod layers;
mod nodes;
mod notes;
mod planes;
mod proto;

pub use notes::{OUTSIDE, about, input_sentences, notes, planes as about_planes};

use crate::graph::Graph;
use crate::input::{InputError, InputSpec, Normalisation};
use crate::model::Model;
use crate::parameters::Parameters;
use nodes::{Axis, Nodes, Port};
use planes::Planes;
use proto::Message;

/// Name of the input.
pub const INPUT: &str = "planes";
/// Name of the input of a network alone.
pub const CHANNELS: &str = "channels";
/// Version of the operators.
pub const OPERATORS: i64 = 17;
/// What files begin with: the format's version, and who wrote them.
pub const BEGINNING: &str = "\u{8}\u{8}\u{12}\tstainfree";
/// Version of the format.
const FORMAT: i64 = 8;
/// What a protobuf message can hold, less room for all that is no weight.
const MAX_WEIGHTS: usize = (2 << 30) - (16 << 20);

/// What an ONNX file is made with, beside the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OnnxOptions {
    /// Largest count of the format of the images that the file will be given: 65535, 255, or 1 for
    /// floating point.
    pub full_range: f32,
}

impl Default for OnnxOptions {
    /// For images of 16 bits.
    fn default() -> Self {
        Self {
            full_range: 65_535.0,
        }
    }
}

/// Whether results differ with [`OnnxOptions::full_range`], images without any light aside.
pub fn depends_on_full_range(normalisation: &Normalisation) -> bool {
    matches!(normalisation, Normalisation::Paper)
}

/// A model that cannot be an ONNX file.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OnnxError {
    /// Its input makes no sense.
    #[error("the model's input cannot be had: {0}")]
    Input(#[from] InputError),
    /// It reads a number of planes that no version reads.
    #[error("the model reads `{0}` brightfield planes; 1 or 3 are possible")]
    Planes(usize),
    /// More weights than a file can hold.
    #[error("the model has {0} bytes of weights, and an ONNX file can hold {MAX_WEIGHTS}")]
    TooLarge(usize),
}

/// The ONNX file of `model`.
///
/// Its input [`INPUT`] is `[batch][plane][y][x]` in raw counts; its outputs bear the names of the
/// model's and are `[batch][channel][y][x]`.
///
/// # Errors
/// The model's input, or the full range, is none that can be had; or it is too large.
pub fn encode(model: &Model, options: &OnnxOptions) -> Result<Vec<u8>, OnnxError> {
    let input = &model.info.input;
    input.normalisation.check()?;
    if !matches!(input.planes, 1 | InputSpec::CHANNELS) {
        return Err(OnnxError::Planes(input.planes));
    }
    if !(options.full_range.is_finite() && options.full_range > 0.0) {
        return Err(InputError::FullRange(options.full_range).into());
    }
    check_size(&model.parameters)?;
    let file = file(&graph(model, options));
    let with_note = |file: Message, (key, text): (&str, String)| {
        file.message(14, &Message::default().text(1, key).text(2, &text))
    };
    let file = notes(model, options).into_iter().fold(file, with_note);
    Ok(file.into_bytes())
}

/// The ONNX file of a network alone, for computing it on other devices.
///
/// Its input [`CHANNELS`] is `[batch][channel][y][x]`, normalised and preprocessed, of sides that
/// are multiples of [`Graph::multiple`]; its outputs, behind their links, bear the names of the
/// graph's and are `[batch][channel][y][x]`.
///
/// # Errors
/// [`OnnxError::TooLarge`].
pub fn encode_network(graph: &Graph, parameters: &Parameters) -> Result<Vec<u8>, OnnxError> {
    check_size(parameters)?;
    let outputs = graph.outputs();
    let ports = outputs.iter().map(|output| &output.name[..]);
    let ports: Vec<&str> = [CHANNELS].into_iter().chain(ports).collect();
    let mut nodes = Nodes::new("stainfree", &ports);
    let logits = layers::network(&mut nodes, graph, parameters, CHANNELS);
    layers::outputs(&mut nodes, outputs, &logits);
    let port = |name, channels| Port {
        name,
        axes: axes(channels),
        about: "",
    };
    let given = outputs
        .iter()
        .map(|output| port(&output.name, output.channels));
    let given: Vec<Port> = given.collect();
    let graph = nodes.finish(&port(CHANNELS, graph.input_channels()), &given);
    Ok(file(&graph).into_bytes())
}

fn check_size(parameters: &Parameters) -> Result<(), OnnxError> {
    let values: usize = parameters.iter().map(|t| t.data.len()).sum();
    match values * size_of::<f32>() {
        bytes if bytes > MAX_WEIGHTS => Err(OnnxError::TooLarge(bytes)),
        _ => Ok(()),
    }
}

/// A file of this graph.
fn file(graph: &Message) -> Message {
    let operators = Message::default().text(1, "").int(2, OPERATORS);
    Message::default()
        .int(1, FORMAT)
        .text(2, "stainfree")
        .text(3, env!("CARGO_PKG_VERSION"))
        .message(8, &operators)
        .message(7, graph)
}

/// Images of so many channels, of any number and size.
fn axes(channels: usize) -> [Axis; 4] {
    let [batch, height, width] = ["batch", "height", "width"].map(Axis::Open);
    [batch, Axis::Fixed(channels), height, width]
}

/// The whole graph.
fn graph(model: &Model, options: &OnnxOptions) -> Message {
    let (graph, input) = (&model.graph, &model.info.input);
    let outputs = graph.outputs();
    let ports = outputs.iter().map(|output| &output.name[..]);
    let ports: Vec<&str> = [INPUT].into_iter().chain(ports).collect();
    let mut nodes = Nodes::new("stainfree", &ports);
    let mut planes = Planes(&mut nodes);
    let normalised = planes.normalised(INPUT, &input.normalisation, options.full_range);
    let padded = planes.padded(&normalised, graph.multiple());
    let channels = planes.channels(&padded.planes, input);
    let logits = layers::network(&mut nodes, graph, &model.parameters, &channels);
    let logits = Planes(&mut nodes).cut(&logits, &padded);
    layers::outputs(&mut nodes, outputs, &logits);
    let about: Vec<String> = outputs
        .iter()
        .map(|output| about(output, &model.info.classes))
        .collect();
    let given: Vec<Port> = outputs
        .iter()
        .zip(&about)
        .map(|(output, about)| Port {
            name: &output.name,
            axes: axes(output.channels),
            about,
        })
        .collect();
    let read = Port {
        name: INPUT,
        axes: axes(input.planes),
        about: &about_planes(input),
    };
    nodes.finish(&read, &given)
}
