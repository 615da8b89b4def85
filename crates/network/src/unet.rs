//! The U-Net of segmentation_models 1.0.1: an encoder, a centre block, five decoder stages, a head.

use crate::encoder::{Encoder, Features};
use crate::graph::{Activation, Bias, Graph, GraphBuilder, Init, NodeId};
use crate::input::InputSpec;
use crate::output::{self, Output, OutputError, OutputKind};
use crate::program::{Program, ProgramError};
use crate::recipe::Recipe;
use crate::scaling::Scaling;
use serde::{Deserialize, Serialize};

/// Which network to build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnetSpec {
    /// The encoder.
    pub encoder: Encoder,
    /// Factor on every channel count; 1 is the paper's network.
    pub width: f64,
    /// No layer gets fewer channels: the kernels work on 16 at a time, so fewer save nothing,
    /// and a decoder that ends in 4 channels has been seen to die in training.
    #[serde(default = "least_channels_before")]
    pub least_channels: usize,
    /// Number of classes, background included.
    pub classes: usize,
    /// Outputs beside the classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
}

/// Channels that the kernels handle at once.
const LEAST_CHANNELS: usize = 16;

/// What a model folder without the number was made with.
fn least_channels_before() -> usize {
    4
}

impl UnetSpec {
    /// The network of `encoder` for `classes` classes, all channel counts multiplied by `width`.
    pub fn new(encoder: Encoder, width: f64, classes: usize) -> Self {
        Self {
            encoder,
            width,
            least_channels: LEAST_CHANNELS,
            classes,
            outputs: Vec::new(),
        }
    }

    /// The network that `recipe` asks for, for `classes` classes.
    ///
    /// # Errors
    /// [`OutputError::Unknown`] for an output that is not in the registry.
    pub fn of_recipe(recipe: &Recipe, classes: usize) -> Result<Self, OutputError> {
        let kinds = recipe.outputs.iter().map(|name| OutputKind::named(name));
        let outputs: Result<_, _> = kinds.map(|kind| Ok(kind?.output())).collect();
        Ok(Self {
            outputs: outputs?,
            ..Self::new(recipe.encoder, recipe.width, classes)
        })
    }

    /// All outputs, the classes first.
    pub fn all_outputs(&self) -> Vec<Output> {
        let classes = std::iter::once(Output::classes(self.classes));
        classes.chain(self.outputs.iter().cloned()).collect()
    }

    /// The same with as few as 4 channels in a layer, which is enough for tests.
    #[cfg(test)]
    pub(crate) fn narrow(encoder: Encoder, width: f64, classes: usize) -> Self {
        Self {
            least_channels: 4,
            ..Self::new(encoder, width, classes)
        }
    }

    fn scaling(&self) -> Scaling {
        Scaling {
            width: self.width,
            least_channels: self.least_channels,
        }
    }
}

/// A network that cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GraphError {
    /// The width is not usable.
    #[error(
        "network width `{0}` is outside 0.0625 to 4; 1 is the paper's, 0.25 a quarter of the \
         channels"
    )]
    Width(f64),
    /// The floor of the channel counts is not usable.
    #[error("`least_channels` is `{0}`; it must be 1 to 512")]
    LeastChannels(usize),
    /// The number of classes is not usable.
    #[error("`{0}` classes asked for; a network needs 2 to 16")]
    Classes(usize),
    /// The outputs beside the classes are not usable.
    #[error(transparent)]
    Outputs(#[from] OutputError),
    /// It has no program.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// Channels of the centre block.
const CENTRE: usize = 512;
/// Channels of the decoder stages, deepest first.
const DECODER: [usize; 5] = [256, 128, 64, 32, 16];
/// Keras' epsilon of batch norm, as segmentation_models uses it.
const EPSILON: f64 = 1e-3;
/// Name of the last convolution: the channels of the outputs in their order.
pub(crate) const HEAD: &str = "segmentation_head.0";

impl Graph {
    /// Builds the U-Net of `spec`: four skips (1/16 to 1/2), none at full resolution.
    ///
    /// # Errors
    /// If the width or the number of classes is outside what is sensible, an output cannot be had,
    /// or no executor can run it.
    pub fn unet(spec: &UnetSpec) -> Result<Graph, GraphError> {
        if !(0.0625..=4.0).contains(&spec.width) {
            return Err(GraphError::Width(spec.width));
        }
        if !(1..=512).contains(&spec.least_channels) {
            return Err(GraphError::LeastChannels(spec.least_channels));
        }
        if !(2..=16).contains(&spec.classes) {
            return Err(GraphError::Classes(spec.classes));
        }
        output::check(spec.classes, &spec.outputs)?;
        let outputs = spec.all_outputs();
        let (mut b, input) = GraphBuilder::new(InputSpec::CHANNELS);
        let scaling = spec.scaling();
        let features = spec.encoder.build(&mut b, input, scaling);
        decode(&mut b, &features, scaling, EPSILON, &outputs);
        let graph = b.finish(outputs);
        Program::new(&graph)?;
        Ok(graph)
    }
}

/// Centre block, decoder stages and head behind what an encoder hands over; `epsilon` is that of
/// batch norm.
pub(crate) fn decode(
    b: &mut GraphBuilder,
    features: &Features,
    scaling: Scaling,
    epsilon: f64,
    outputs: &[Output],
) {
    let mut x = features.bottom;
    if features.ends_in_pool {
        for i in 0..2 {
            let prefix = format!("decoder.center.{i}");
            x = conv_bn_relu(b, x, &prefix, scaling.channels(CENTRE), epsilon);
        }
    }
    for (i, channels) in DECODER.into_iter().enumerate() {
        x = b.upsample_concat(x, features.skips.get(i).copied());
        for j in 1..=2 {
            let prefix = format!("decoder.blocks.{i}.conv{j}");
            x = conv_bn_relu(b, x, &prefix, scaling.channels(channels), epsilon);
        }
    }
    let channels = output::channels(outputs);
    b.conv(x, HEAD, channels, Init::GlorotUniform, Bias::Yes);
}

fn conv_bn_relu(
    b: &mut GraphBuilder,
    input: NodeId,
    prefix: &str,
    channels: usize,
    epsilon: f64,
) -> NodeId {
    let x = b.conv(
        input,
        &format!("{prefix}.0"),
        channels,
        Init::HeUniform,
        Bias::No,
    );
    let x = b.batch_norm(x, &format!("{prefix}.1"), epsilon);
    b.activation(x, Activation::Relu)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vgg16(classes: usize) -> Graph {
        Graph::unet(&UnetSpec::narrow(Encoder::Vgg16, 1.0, classes)).unwrap()
    }

    #[test]
    fn parameter_counts_are_the_papers() {
        let three = vgg16(3);
        assert_eq!(three.trainable_count(), 23_748_531);
        assert_eq!(three.statistic_count(), 4_032);
        assert_eq!(vgg16(4).trainable_count(), 23_748_676);
        assert_eq!(three.multiple(), 32);
    }

    #[test]
    fn work_at_640_is_that_of_the_reference_network() {
        // 309.4 GFLOP, counted for the same network in PyTorch.
        assert!((vgg16(3).conv_flops(640, 640) / 1e9 - 309.4).abs() < 0.1);
    }

    #[test]
    fn nonsense_is_refused() {
        let spec = UnetSpec::narrow(Encoder::Vgg16, f64::NAN, 3);
        assert!(matches!(Graph::unet(&spec), Err(GraphError::Width(_))));
        let spec = UnetSpec::narrow(Encoder::Vgg16, 1.0, 1);
        assert_eq!(Graph::unet(&spec).unwrap_err(), GraphError::Classes(1));
    }
}
