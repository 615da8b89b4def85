//! The networks of segmentation_models.pytorch that differ from those of this program, under the
//! names of parameters that they have there (but for gates, see [`super::graph_name`]).

use super::SmpEncoder;
use crate::encoder::{EFFICIENTNET_B4, EFFICIENTNET_B4_SQUEEZE, Features, VGG16};
use crate::graph::{Activation, Bias, Graph, GraphBuilder, Init, NodeId, Window};
use crate::input::InputSpec;
use crate::output::Output;
use crate::program::Program;
use crate::scaling::Scaling;
use crate::unet::{GraphError, UnetSpec, decode};

/// torch's epsilon of batch norm.
pub(super) const EPSILON: f64 = 1e-5;
/// That of efficientnet_pytorch, as in TensorFlow.
const EPSILON_EFFICIENTNET: f64 = 1e-3;

/// The U-Net of `encoder` for `classes` classes.
pub(super) fn graph(encoder: SmpEncoder, classes: usize) -> Result<Graph, GraphError> {
    if let Some(own) = encoder.own() {
        return Graph::unet(&UnetSpec::new(own, 1.0, classes));
    }
    let (mut b, input) = GraphBuilder::new(InputSpec::CHANNELS);
    let features = match encoder {
        SmpEncoder::TimmEfficientnetB4 => efficientnet_b4(&mut b, input, &TIMM),
        SmpEncoder::EfficientnetB4 => efficientnet_b4(&mut b, input, &LUKE),
        _ => vgg16_bn(&mut b, input),
    };
    let scaling = Scaling {
        width: 1.0,
        least_channels: 1,
    };
    let outputs = vec![Output::classes(classes)];
    decode(&mut b, &features, scaling, EPSILON, &outputs);
    let graph = b.finish(outputs);
    Program::new(&graph)?;
    Ok(graph)
}

/// VGG16 with batch norm after every convolution. The convolutions' biases, which a batch norm
/// takes away again, are put into its means ([`super::fold_biases`]).
fn vgg16_bn(b: &mut GraphBuilder, input: NodeId) -> Features {
    let (mut x, mut index, mut ends) = (input, 0, Vec::new());
    for block in VGG16 {
        for &channels in block {
            let name = |index| format!("encoder.features.{index}");
            x = b.conv(x, &name(index), channels, Init::HeNormal, Bias::No);
            x = b.batch_norm(x, &name(index + 1), EPSILON);
            x = b.activation(x, Activation::Relu);
            index += 3;
        }
        ends.push(x);
        x = b.max_pool(x);
        index += 1;
    }
    Features {
        bottom: x,
        skips: [ends[4], ends[3], ends[2], ends[1]],
        ends_in_pool: true,
    }
}

/// How an implementation of EfficientNet names and pads its layers.
struct Style {
    stem: [&'static str; 2],
    /// Common beginning of the names of a block: its number of all, of its stage (from 0), and
    /// within that.
    block: fn(usize, usize, usize) -> String,
    /// Names of the parts of a block that expands, and of one that does not.
    parts: [Parts; 2],
    /// Rows and columns of zeros before an array whose sides are halved: kernel, stage (from 0).
    before: fn(usize, usize) -> usize,
    epsilon: f64,
}

/// Convolution and batch norm of each part, and the gate.
struct Parts {
    expand: [&'static str; 2],
    look: [&'static str; 2],
    gate: &'static str,
    project: [&'static str; 2],
}

/// efficientnet_pytorch's (`efficientnet-b4`). It pads as TensorFlow does an image of 380 pixels,
/// whatever the image has: there the third stage halves 95 rows, which is odd.
const LUKE: Style = Style {
    stem: ["encoder._conv_stem", "encoder._bn0"],
    block: |number, _, _| format!("encoder._blocks.{number}"),
    parts: [
        Parts {
            expand: ["_expand_conv", "_bn0"],
            look: ["_depthwise_conv", "_bn1"],
            gate: "_se",
            project: ["_project_conv", "_bn2"],
        },
        Parts {
            expand: ["", ""],
            look: ["_depthwise_conv", "_bn1"],
            gate: "_se",
            project: ["_project_conv", "_bn2"],
        },
    ],
    before: |kernel, stage| match stage {
        2 => 2,
        _ => (kernel - 2) / 2,
    },
    epsilon: EPSILON_EFFICIENTNET,
};

/// timm's (`timm-efficientnet-b4`), which pads evenly.
const TIMM: Style = Style {
    stem: ["encoder.conv_stem", "encoder.bn1"],
    block: |_, stage, within| format!("encoder.blocks.{stage}.{within}"),
    parts: [
        Parts {
            expand: ["conv_pw", "bn1"],
            look: ["conv_dw", "bn2"],
            gate: "se",
            project: ["conv_pwl", "bn3"],
        },
        Parts {
            expand: ["", ""],
            look: ["conv_dw", "bn1"],
            gate: "se",
            project: ["conv_pw", "bn2"],
        },
    ],
    before: |kernel, _| (kernel - 1) / 2,
    epsilon: EPSILON,
};

/// Channels of the first convolution.
const STEM: usize = 48;
/// Stages (from 0) whose last blocks are read by the decoder, from the last: the bottom, then
/// skips; the stem is the last skip.
const ENDS: [usize; 4] = [6, 4, 2, 1];
/// The last block is dropped with this probability, the first never.
const DROP: f64 = 0.2;

fn efficientnet_b4(b: &mut GraphBuilder, input: NodeId, style: &Style) -> Features {
    let window = |kernel: usize, stride, stage| Window {
        kernel,
        stride,
        before: match stride {
            1 => (kernel - 1) / 2,
            _ => (style.before)(kernel, stage),
        },
    };
    let [conv, norm] = style.stem;
    let stem = b.conv_with(input, conv, STEM, window(3, 2, 0));
    let stem = norm_swish(b, stem, norm, style.epsilon);
    let blocks: usize = EFFICIENTNET_B4.iter().map(|[_, blocks, ..]| blocks).sum();
    let (mut x, mut number, mut ends) = (stem, 0, Vec::new());
    for (stage, [kernel, count, channels, expansion, stride]) in
        EFFICIENTNET_B4.into_iter().enumerate()
    {
        for within in 0..count {
            let block = Block {
                prefix: (style.block)(number, stage, within),
                parts: &style.parts[usize::from(expansion == 1)],
                expansion,
                channels,
                window: window(kernel, if within == 0 { stride } else { 1 }, stage),
                drop: DROP * number as f64 / blocks as f64,
                epsilon: style.epsilon,
            };
            x = block.build(b, x);
            number += 1;
        }
        ends.push(x);
    }
    let [bottom, s4, s2, s1] = ENDS.map(|stage| ends[stage]);
    Features {
        bottom,
        skips: [s4, s2, s1, stem],
        ends_in_pool: false,
    }
}

fn norm_swish(b: &mut GraphBuilder, x: NodeId, prefix: &str, epsilon: f64) -> NodeId {
    let x = b.batch_norm(x, prefix, epsilon);
    b.activation(x, Activation::Swish)
}

/// An inverted residual block with a gate: expand, look around, weigh the channels, project.
struct Block<'a> {
    prefix: String,
    parts: &'a Parts,
    expansion: usize,
    channels: usize,
    window: Window,
    drop: f64,
    epsilon: f64,
}

impl Block<'_> {
    fn build(&self, b: &mut GraphBuilder, input: NodeId) -> NodeId {
        const ONE: Window = Window {
            kernel: 1,
            stride: 1,
            before: 0,
        };
        let name = |part: &str| format!("{}.{part}", self.prefix);
        let inputs = b.channels(input);
        let mut x = input;
        if self.expansion > 1 {
            let [conv, norm] = self.parts.expand;
            x = b.conv_with(x, &name(conv), self.expansion * inputs, ONE);
            x = norm_swish(b, x, &name(norm), self.epsilon);
        }
        let [conv, norm] = self.parts.look;
        x = b.depthwise(x, &name(conv), self.window);
        x = norm_swish(b, x, &name(norm), self.epsilon);
        x = b.squeeze_excite(x, &name(self.parts.gate), inputs / EFFICIENTNET_B4_SQUEEZE);
        let [conv, norm] = self.parts.project;
        x = b.conv_with(x, &name(conv), self.channels, ONE);
        x = b.batch_norm(x, &name(norm), self.epsilon);
        match self.window.stride == 1 && inputs == self.channels {
            true => b.add(input, x, self.drop),
            false => x,
        }
    }
}
