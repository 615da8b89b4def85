//! The network's nodes and outputs as ONNX nodes, one by one as they stand in the graph.
//!
//! Batch norms stay nodes of their own: whoever runs the file folds them into the convolutions, and
//! the file holds the parameters under the model's names. Rows and columns are padded explicitly,
//! after what a window of the graph means: as many results as there are pixels, or half of them.

use super::nodes::{Attribute, Nodes};
use crate::graph::{Activation, Graph, Op, Window};
use crate::output::{Link, Output};
use crate::parameters::Parameters;

/// What the network computes: adds its nodes, and gives the name of the last one's result.
pub(super) fn network(
    nodes: &mut Nodes,
    graph: &Graph,
    parameters: &Parameters,
    input: &str,
) -> String {
    let mut layers = Layers { nodes, parameters };
    let mut made: Vec<String> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let from: Vec<&str> = node.inputs.iter().map(|id| made[id.0].as_str()).collect();
        let name = match (&node.op, &from[..]) {
            (Op::Input, _) => input.to_owned(),
            (
                Op::Conv {
                    weight,
                    bias,
                    window,
                    depthwise,
                },
                [x, ..],
            ) => {
                let groups = if *depthwise { node.channels } else { 1 };
                layers.convolution(x, weight, bias.as_deref(), *window, groups)
            }
            (Op::BatchNorm { prefix, epsilon }, [x, ..]) => layers.batch_norm(x, prefix, *epsilon),
            (Op::Activation(kind), [x, ..]) => layers.activation(x, *kind),
            (Op::SqueezeExcite { prefix, .. }, [x, ..]) => layers.squeeze_excite(x, prefix),
            (Op::Add { .. }, [a, b, ..]) => layers.nodes.add("Add", &[a, b], &[]),
            (Op::MaxPool, [x, ..]) => layers.max_pool(x),
            (Op::UpsampleConcat, [x, skip @ ..]) => layers.upsample_concat(x, skip.first()),
            (op, _) => unreachable!("a graph is checked when it is made: {op:?}"),
        };
        made.push(name);
    }
    made.pop().unwrap_or_else(|| input.to_owned())
}

/// The channels `logits` of the last node through their links, as the graph's outputs.
pub(super) fn outputs(nodes: &mut Nodes, outputs: &[Output], logits: &str) {
    let axis = nodes.list(&[1]);
    let mut first = 0;
    for output in outputs {
        let behind = first + output.channels as i64;
        let own = match outputs {
            [_] => logits.to_owned(),
            _ => {
                let [start, end] = [first, behind].map(|channel| nodes.list(&[channel]));
                nodes.add("Slice", &[logits, &start, &end, &axis], &[])
            }
        };
        match output.link {
            Link::Softmax => {
                let channels = [("axis", Attribute::Int(1))];
                nodes.give("Softmax", &[&own], &channels, &output.name);
            }
            Link::Sigmoid => nodes.give("Sigmoid", &[&own], &[], &output.name),
            Link::Linear => nodes.give("Identity", &[&own], &[], &output.name),
        }
        first = behind;
    }
}

struct Layers<'a> {
    nodes: &'a mut Nodes,
    parameters: &'a Parameters,
}

impl Layers<'_> {
    /// A parameter under its own name.
    fn parameter(&mut self, name: &str) -> String {
        let shape = self.parameters.get(name).map(|tensor| &tensor.shape[..]);
        let values = self.parameters.values(name);
        self.nodes.floats(name, shape.unwrap_or_default(), values)
    }

    fn convolution(
        &mut self,
        x: &str,
        weight: &str,
        bias: Option<&str>,
        window: Window,
        groups: usize,
    ) -> String {
        let mut inputs = vec![self.parameter(weight)];
        inputs.extend(bias.map(|bias| self.parameter(bias)));
        let inputs: Vec<&str> = [x]
            .into_iter()
            .chain(inputs.iter().map(String::as_str))
            .collect();
        let Window {
            kernel,
            stride,
            before,
        } = window;
        // Sides are multiples of the stride; the last result needs no more than this.
        let behind = kernel.saturating_sub(stride + before);
        let [kernel, stride, before, behind] = [kernel, stride, before, behind].map(|n| n as i64);
        let attributes = [
            ("kernel_shape", Attribute::Ints(&[kernel; 2])),
            ("strides", Attribute::Ints(&[stride; 2])),
            ("pads", Attribute::Ints(&[before, before, behind, behind])),
            ("group", Attribute::Int(groups as i64)),
        ];
        self.nodes.add("Conv", &inputs, &attributes)
    }

    fn batch_norm(&mut self, x: &str, prefix: &str, epsilon: f64) -> String {
        let names = ["weight", "bias", "running_mean", "running_var"];
        let [scale, shift, mean, variance] =
            names.map(|name| self.parameter(&format!("{prefix}.{name}")));
        let epsilon = [("epsilon", Attribute::Float(epsilon as f32))];
        let inputs = [x, &scale, &shift, &mean, &variance];
        self.nodes.add("BatchNormalization", &inputs, &epsilon)
    }

    fn activation(&mut self, x: &str, kind: Activation) -> String {
        match kind {
            Activation::None => self.nodes.add("Identity", &[x], &[]),
            Activation::Relu => self.nodes.add("Relu", &[x], &[]),
            Activation::Relu6 => {
                let [low, high] = [0.0, 6.0].map(|limit| self.nodes.number(limit));
                self.nodes.add("Clip", &[x, &low, &high], &[])
            }
            Activation::Swish => {
                let share = self.nodes.add("Sigmoid", &[x], &[]);
                self.nodes.add("Mul", &[x, &share], &[])
            }
        }
    }

    fn squeeze_excite(&mut self, x: &str, prefix: &str) -> String {
        let means = self.nodes.plane_means(x);
        let squeezed = self.linear(&means, &format!("{prefix}.fc1"));
        let squeezed = self.activation(&squeezed, Activation::Swish);
        let gates = self.linear(&squeezed, &format!("{prefix}.fc2"));
        let gates = self.nodes.add("Sigmoid", &[&gates], &[]);
        self.nodes.add("Mul", &[x, &gates], &[])
    }

    /// A linear layer on one pixel, which is a convolution of it.
    fn linear(&mut self, x: &str, prefix: &str) -> String {
        let one = Window {
            kernel: 1,
            stride: 1,
            before: 0,
        };
        let [weight, bias] = ["weight", "bias"].map(|name| format!("{prefix}.{name}"));
        self.convolution(x, &weight, Some(&bias), one, 1)
    }

    fn max_pool(&mut self, x: &str) -> String {
        let attributes = [
            ("kernel_shape", Attribute::Ints(&[2, 2])),
            ("strides", Attribute::Ints(&[2, 2])),
        ];
        self.nodes.add("MaxPool", &[x], &attributes)
    }

    fn upsample_concat(&mut self, x: &str, skip: Option<&&str>) -> String {
        let scales = self.nodes.floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0]);
        // Every pixel becomes 2 x 2. The operator's defaults look up pixels by their centres.
        let attributes = [
            ("mode", Attribute::Text("nearest")),
            (
                "coordinate_transformation_mode",
                Attribute::Text("asymmetric"),
            ),
            ("nearest_mode", Attribute::Text("floor")),
        ];
        let up = self.nodes.add("Resize", &[x, "", &scales], &attributes);
        match skip {
            Some(skip) => {
                let channels = [("axis", Attribute::Int(1))];
                self.nodes.add("Concat", &[&up, skip], &channels)
            }
            None => up,
        }
    }
}
