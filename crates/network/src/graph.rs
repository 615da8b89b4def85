//! The network as data: nodes with their shapes and the names of their parameters.
//!
//! Every executor (training, prediction), the parameter table and the weight import read this one
//! description. Here: the node kinds and the graph, and how it is put together, node by node or
//! from nodes that were stored. Not here: the networks themselves (`unet`, `encoder`), what can be
//! executed (`program`), numbers (`parameters`) or arithmetic (`trainer`, `predictor`).

mod stored;

use crate::output::{self, Output};
use std::fmt;

pub use stainfree_kernels::activation::Activation;
pub use stainfree_kernels::depthwise::Window;

/// Index of a node in [`Graph::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// What a node computes. Shapes are `[channels, height, width]` of one image.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The input planes.
    Input,
    /// Convolution (cross-correlation) with zero padding.
    Conv {
        /// Name of the weight, shape `[out, in, kernel, kernel]`, or `[out, 1, kernel, kernel]` if
        /// depthwise.
        weight: String,
        /// Name of the bias, shape `[out]`.
        bias: Option<String>,
        /// Filter size, stride and padding.
        window: Window,
        /// Whether every channel sees itself alone.
        depthwise: bool,
    },
    /// Batch normalisation over images and pixels; four parameters named `PREFIX.weight`, `.bias`,
    /// `.running_mean` and `.running_var`.
    BatchNorm {
        /// Common beginning of the parameter names.
        prefix: String,
        /// Added to the variance before the square root.
        epsilon: f64,
    },
    /// A function of every value.
    Activation(Activation),
    /// Sum of two inputs; in training the second is dropped for some images (stochastic depth,
    /// Huang et al. 2016) and made up for in the others.
    Add {
        /// Probability of dropping it.
        drop: f64,
    },
    /// Squeeze-and-excitation (Hu et al. 2018): every channel times a gate, the sigmoid of a linear
    /// layer on the swish of a linear layer on the means of all channels over all pixels of the
    /// image.
    SqueezeExcite {
        /// Common beginning of the parameter names: `PREFIX.fc1.weight`, `[squeezed, channels, 1,
        /// 1]`, and `.bias`, `PREFIX.fc2.weight`, `[channels, squeezed, 1, 1]`, and `.bias`.
        prefix: String,
        /// Values between the two layers.
        squeezed: usize,
    },
    /// Largest of each 2x2 block, stride 2.
    MaxPool,
    /// Nearest up-sampling of the first input by 2, then the second input (if any) behind it.
    UpsampleConcat,
}

/// One node: an operation, where its inputs come from, and the shape it gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// The nodes it reads, all of them earlier in the list.
    pub inputs: Vec<NodeId>,
    /// Channels of its output.
    pub channels: usize,
    /// Its output is `2^level` times smaller than the input in both directions.
    pub level: usize,
}

/// What a parameter is for, and how it starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Normal, variance `2 / fan_in` (He et al. 2015): keeps the signal through layers without
    /// batch norm.
    HeNormal,
    /// Uniform in `+-sqrt(6 / fan_in)` (Keras' `he_uniform`).
    HeUniform,
    /// Uniform in `+-sqrt(6 / (fan_in + fan_out))` (Keras' `glorot_uniform`).
    GlorotUniform,
    /// The same value everywhere.
    Constant(f32),
}

/// Whether the optimiser changes a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterKind {
    /// Changed by the optimiser.
    Trainable,
    /// Running statistic of a batch norm.
    Statistic,
}

/// Name, shape and start of one parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterInfo {
    /// As in segmentation_models.pytorch, e.g. `decoder.blocks.0.conv1.0.weight`.
    pub name: String,
    /// Natural order; convolution weights are `[out, in, height, width]`.
    pub shape: Vec<usize>,
    /// Trainable or statistic.
    pub kind: ParameterKind,
    /// How it starts without pretrained weights.
    pub init: Init,
}

impl ParameterInfo {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A network: nodes in an order in which they can be computed; the channels of the last one are
/// those of the outputs.
#[derive(Clone, Debug)]
pub struct Graph {
    nodes: Vec<Node>,
    parameters: Vec<ParameterInfo>,
    outputs: Vec<Output>,
    input_channels: usize,
}

impl Graph {
    /// The nodes, inputs before outputs.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node `id`.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// All parameters, in the order of the nodes.
    pub fn parameters(&self) -> &[ParameterInfo] {
        &self.parameters
    }

    /// What the channels of the last node stand for, in their order; the classes come first.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Number of classes: channels of the first output.
    pub fn classes(&self) -> usize {
        self.outputs[0].channels
    }

    /// Number of channels of all outputs.
    pub fn output_channels(&self) -> usize {
        output::channels(&self.outputs)
    }

    /// Number of channels of the input.
    pub fn input_channels(&self) -> usize {
        self.input_channels
    }

    /// What the names of the encoder's parameters begin with, the dot included: the first part of
    /// the name of the convolution that reads the image first.
    pub fn encoder_prefix(&self) -> &str {
        let weight = self.weights().next().unwrap_or_default();
        weight.split_inclusive('.').next().unwrap_or_default()
    }

    /// The name of the last convolution, which gives the logits: its parameters are called so, and
    /// then `.weight` and `.bias`.
    pub fn head(&self) -> &str {
        let weight = self.weights().last().unwrap_or_default();
        weight.rsplit_once('.').map_or(weight, |(name, _)| name)
    }

    /// Names of the weights of all convolutions.
    fn weights(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter_map(|node| match &node.op {
            Op::Conv { weight, .. } => Some(&weight[..]),
            _ => None,
        })
    }

    /// Heights and widths must be a multiple of this.
    pub fn multiple(&self) -> usize {
        1 << self.nodes.iter().map(|node| node.level).max().unwrap_or(0)
    }

    /// Whether every pixel of the output depends on every pixel of the input, however far away:
    /// gates are made of means over the image.
    pub fn sees_whole_image(&self) -> bool {
        let whole = |node: &Node| matches!(node.op, Op::SqueezeExcite { .. });
        self.nodes.iter().any(whole)
    }

    /// Number of values the optimiser changes.
    pub fn trainable_count(&self) -> usize {
        self.count(ParameterKind::Trainable)
    }

    /// Number of values of the batch norms' running statistics.
    pub fn statistic_count(&self) -> usize {
        self.count(ParameterKind::Statistic)
    }

    fn count(&self, kind: ParameterKind) -> usize {
        self.parameters
            .iter()
            .filter(|p| p.kind == kind)
            .map(ParameterInfo::len)
            .sum()
    }

    /// The most values that are held at once where every node is computed as a whole, for one
    /// image: what a node gives stays until the last node that reads it is done.
    pub fn most_held(&self, height: usize, width: usize) -> usize {
        let values = |node: &Node| node.channels * (height >> node.level) * (width >> node.level);
        let mut last = vec![0; self.nodes.len()];
        for (i, node) in self.nodes.iter().enumerate() {
            last[i] = i;
            node.inputs.iter().for_each(|input| last[input.0] = i);
        }
        let (mut held, mut most) = (0, 0);
        for (i, node) in self.nodes.iter().enumerate() {
            held += values(node);
            most = most.max(held);
            let done = (0..=i).filter(|&j| last[j] == i);
            held -= done.map(|j| values(&self.nodes[j])).sum::<usize>();
        }
        most
    }

    /// Work of the convolutions for one image, in floating-point operations (2 per multiply-add).
    pub fn conv_flops(&self, height: usize, width: usize) -> f64 {
        self.nodes
            .iter()
            .filter_map(|node| {
                let Op::Conv {
                    window, depthwise, ..
                } = &node.op
                else {
                    return None;
                };
                let pixels = (height >> node.level) * (width >> node.level);
                let inputs = match depthwise {
                    true => 1,
                    false => self.nodes[node.inputs[0].0].channels,
                };
                let taps = window.kernel * window.kernel;
                Some(2.0 * (taps * pixels * inputs * node.channels) as f64)
            })
            .sum()
    }
}

/// Puts a graph together node by node; used by the encoders and the decoder.
pub(crate) struct GraphBuilder {
    nodes: Vec<Node>,
    parameters: Vec<ParameterInfo>,
    input_channels: usize,
}

impl GraphBuilder {
    /// Starts with the input node.
    pub(crate) fn new(input_channels: usize) -> (Self, NodeId) {
        let input = Node {
            op: Op::Input,
            inputs: vec![],
            channels: input_channels,
            level: 0,
        };
        (
            Self {
                nodes: vec![input],
                parameters: vec![],
                input_channels,
            },
            NodeId(0),
        )
    }

    pub(crate) fn channels(&self, id: NodeId) -> usize {
        self.nodes[id.0].channels
    }

    fn push(&mut self, op: Op, inputs: Vec<NodeId>, channels: usize, level: usize) -> NodeId {
        self.nodes.push(Node {
            op,
            inputs,
            channels,
            level,
        });
        NodeId(self.nodes.len() - 1)
    }

    fn parameter(
        &mut self,
        name: String,
        shape: Vec<usize>,
        kind: ParameterKind,
        init: Init,
    ) -> String {
        self.parameters.push(ParameterInfo {
            name: name.clone(),
            shape,
            kind,
            init,
        });
        name
    }

    /// A 3x3 convolution with stride 1 and padding 1 whose parameters are `PREFIX.weight` and, if
    /// asked for, `PREFIX.bias`.
    pub(crate) fn conv(
        &mut self,
        input: NodeId,
        prefix: &str,
        out: usize,
        init: Init,
        bias: Bias,
    ) -> NodeId {
        let x = self.convolution(input, prefix, out, init, SAME_3X3, false);
        if bias == Bias::Yes {
            let name = self.bias(prefix, out);
            if let Op::Conv { bias, .. } = &mut self.nodes[x.0].op {
                *bias = Some(name);
            }
        }
        x
    }

    /// A bias that begins with zeros.
    fn bias(&mut self, prefix: &str, len: usize) -> String {
        self.parameter(
            format!("{prefix}.bias"),
            vec![len],
            ParameterKind::Trainable,
            Init::Constant(0.0),
        )
    }

    /// A dense convolution without bias.
    pub(crate) fn conv_with(
        &mut self,
        input: NodeId,
        prefix: &str,
        out: usize,
        window: Window,
    ) -> NodeId {
        self.convolution(input, prefix, out, Init::HeNormal, window, false)
    }

    /// A depthwise convolution without bias.
    pub(crate) fn depthwise(&mut self, input: NodeId, prefix: &str, window: Window) -> NodeId {
        let channels = self.channels(input);
        self.convolution(input, prefix, channels, Init::HeNormal, window, true)
    }

    fn convolution(
        &mut self,
        input: NodeId,
        prefix: &str,
        out: usize,
        init: Init,
        window: Window,
        depthwise: bool,
    ) -> NodeId {
        let inputs = if depthwise { 1 } else { self.channels(input) };
        let weight = self.parameter(
            format!("{prefix}.weight"),
            vec![out, inputs, window.kernel, window.kernel],
            ParameterKind::Trainable,
            init,
        );
        let level = self.nodes[input.0].level + usize::from(window.stride == 2);
        let op = Op::Conv {
            weight,
            bias: None,
            window,
            depthwise,
        };
        self.push(op, vec![input], out, level)
    }

    /// Batch norm whose parameters begin with `prefix`.
    pub(crate) fn batch_norm(&mut self, input: NodeId, prefix: &str, epsilon: f64) -> NodeId {
        let n = self.channels(input);
        for (name, kind, value) in [
            ("weight", ParameterKind::Trainable, 1.0),
            ("bias", ParameterKind::Trainable, 0.0),
            ("running_mean", ParameterKind::Statistic, 0.0),
            ("running_var", ParameterKind::Statistic, 1.0),
        ] {
            self.parameter(
                format!("{prefix}.{name}"),
                vec![n],
                kind,
                Init::Constant(value),
            );
        }
        let level = self.nodes[input.0].level;
        let op = Op::BatchNorm {
            prefix: prefix.to_string(),
            epsilon,
        };
        self.push(op, vec![input], n, level)
    }

    /// Squeeze-and-excitation whose parameter names begin with `prefix`.
    pub(crate) fn squeeze_excite(
        &mut self,
        input: NodeId,
        prefix: &str,
        squeezed: usize,
    ) -> NodeId {
        let Node {
            channels, level, ..
        } = self.nodes[input.0];
        for (layer, out, inputs) in [("fc1", squeezed, channels), ("fc2", channels, squeezed)] {
            let prefix = format!("{prefix}.{layer}");
            self.parameter(
                format!("{prefix}.weight"),
                vec![out, inputs, 1, 1],
                ParameterKind::Trainable,
                Init::HeNormal,
            );
            self.bias(&prefix, out);
        }
        let op = Op::SqueezeExcite {
            prefix: prefix.to_string(),
            squeezed,
        };
        self.push(op, vec![input], channels, level)
    }

    pub(crate) fn activation(&mut self, input: NodeId, activation: Activation) -> NodeId {
        let Node {
            channels, level, ..
        } = self.nodes[input.0];
        self.push(Op::Activation(activation), vec![input], channels, level)
    }

    /// `shortcut + branch`, the branch dropped with probability `drop` in training.
    pub(crate) fn add(&mut self, shortcut: NodeId, branch: NodeId, drop: f64) -> NodeId {
        let Node {
            channels, level, ..
        } = self.nodes[shortcut.0];
        self.push(Op::Add { drop }, vec![shortcut, branch], channels, level)
    }

    pub(crate) fn max_pool(&mut self, input: NodeId) -> NodeId {
        let Node {
            channels, level, ..
        } = self.nodes[input.0];
        self.push(Op::MaxPool, vec![input], channels, level + 1)
    }

    pub(crate) fn upsample_concat(&mut self, low: NodeId, skip: Option<NodeId>) -> NodeId {
        let level = self.nodes[low.0].level - 1;
        let channels = self.channels(low) + skip.map_or(0, |s| self.channels(s));
        let mut inputs = vec![low];
        inputs.extend(skip);
        self.push(Op::UpsampleConcat, inputs, channels, level)
    }

    /// Ends with the node made last, whose channels are those of `outputs`.
    pub(crate) fn finish(self, outputs: Vec<Output>) -> Graph {
        let last = self.nodes.last().map(|node| node.channels);
        assert_eq!(
            last,
            Some(output::channels(&outputs)),
            "channels of the outputs"
        );
        Graph {
            nodes: self.nodes,
            parameters: self.parameters,
            outputs,
            input_channels: self.input_channels,
        }
    }
}

/// 3x3, stride 1, zero padding 1.
pub(crate) const SAME_3X3: Window = Window {
    kernel: 3,
    stride: 1,
    before: 1,
};

/// Whether a convolution has a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bias {
    Yes,
    No,
}

impl fmt::Display for Graph {
    /// One line per node: index, operation, channels, scale.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, node) in self.nodes.iter().enumerate() {
            let inputs: Vec<String> = node.inputs.iter().map(|id| id.0.to_string()).collect();
            writeln!(
                f,
                "{index:3} {:?} <- [{}] {} at 1/{}",
                node.op,
                inputs.join(", "),
                node.channels,
                1 << node.level
            )?;
        }
        Ok(())
    }
}
