//! Every node kind by its definition in f64, and the fused steps by theirs: what executors are held
//! to.

use stainfree_kernels::activation::Activation;
use stainfree_kernels::depthwise::Window;
use stainfree_network::graph::Op;
use stainfree_network::program::{ConvStep, ExciteStep, Step};
use stainfree_network::{Graph, Parameters, Program};

/// What a batch norm divides by.
#[derive(Clone, Copy, PartialEq)]
pub enum Statistics {
    /// Running statistics, as in prediction.
    Running,
    /// Those of the image, as in training.
    Image,
}

/// A parameter whose element is moved.
pub struct Moved<'a> {
    pub name: &'a str,
    pub index: usize,
    pub by: f64,
}

/// `[channel][y][x]`.
#[derive(Clone)]
pub struct Array {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub data: Vec<f64>,
}

impl Array {
    fn plane(&self, channel: usize) -> &[f64] {
        let pixels = self.height * self.width;
        &self.data[channel * pixels..][..pixels]
    }

    fn with(&self, data: Vec<f64>) -> Self {
        Self {
            data,
            ..self.clone()
        }
    }
}

/// The logits by the definitions.
pub fn reference(
    graph: &Graph,
    parameters: &Parameters,
    statistics: Statistics,
    input: &Array,
) -> Vec<f64> {
    let values = values(
        graph,
        parameters,
        statistics,
        None,
        std::slice::from_ref(input),
    );
    values.last().unwrap().data.clone()
}

/// What every node gives by the definitions, node after node; the first ones may be known.
pub fn values(
    graph: &Graph,
    parameters: &Parameters,
    statistics: Statistics,
    moved: Option<&Moved>,
    known: &[Array],
) -> Vec<Array> {
    let get = |name: &str| parameter(parameters, moved, name);
    let mut made: Vec<Array> = Vec::new();
    for node in &graph.nodes()[known.len()..] {
        let from = |i: usize| {
            let at = node.inputs[i].0;
            known.get(at).unwrap_or_else(|| &made[at - known.len()])
        };
        let value = match &node.op {
            Op::Input => unreachable!("the input is known"),
            Op::Conv {
                weight,
                bias,
                window,
                depthwise,
            } => {
                let bias = bias.as_ref().map(|name| get(name));
                let shape = (node.channels, *depthwise);
                convolve(from(0), &get(weight), bias.as_deref(), *window, shape)
            }
            Op::BatchNorm { prefix, epsilon } => {
                let of = |name: &str| get(&format!("{prefix}.{name}"));
                let numbers = ["weight", "bias", "running_mean", "running_var"].map(of);
                batch_norm(from(0), &numbers, *epsilon, statistics)
            }
            Op::Activation(kind) => from(0).with(each(from(0), *kind)),
            Op::SqueezeExcite { prefix, .. } => {
                let names = ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"];
                squeeze_excite(from(0), &names.map(|name| get(&format!("{prefix}.{name}"))))
            }
            Op::Add { .. } => {
                let sums = from(0).data.iter().zip(&from(1).data).map(|(a, b)| a + b);
                from(0).with(sums.collect())
            }
            Op::MaxPool => max_pool(from(0)),
            Op::UpsampleConcat => {
                let mut up = upsample(from(0));
                if node.inputs.len() > 1 {
                    up.channels += from(1).channels;
                    up.data.extend(&from(1).data);
                }
                up
            }
        };
        assert_eq!(value.channels, node.channels);
        made.push(value);
    }
    made
}

/// The values of a parameter, one of which may be moved.
fn parameter(parameters: &Parameters, moved: Option<&Moved>, name: &str) -> Vec<f64> {
    let tensor = parameters.get(name).unwrap();
    let mut values: Vec<f64> = tensor.data.iter().map(|&v| f64::from(v)).collect();
    if let Some(moved) = moved.filter(|moved| moved.name == name) {
        values[moved.index] += moved.by;
    }
    values
}

/// The logits by the fused steps.
pub fn program_reference(
    program: &Program,
    parameters: &Parameters,
    statistics: Statistics,
    image: &Array,
) -> Vec<f64> {
    let get = |name: &str| parameter(parameters, None, name);
    let mut values: Vec<Option<Array>> = vec![None; program.values.len()];
    values[0] = Some(image.clone());
    for step in &program.steps {
        let read = |value: usize| values[value].as_ref().expect("made before it is read");
        let made = match step {
            Step::Conv(conv) => {
                let parts = conv.inputs.iter().map(|input| match input.upsampled {
                    true => upsample(read(input.value)),
                    false => read(input.value).clone(),
                });
                conv_step(
                    conv,
                    joined(parts),
                    step_channels(program, step),
                    &get,
                    statistics,
                )
            }
            Step::MaxPool { from, .. } => max_pool(read(*from)),
            Step::Add {
                terms, activation, ..
            } => {
                let [a, b] = terms.map(read);
                let sums = a.data.iter().zip(&b.data).map(|(a, b)| a + b);
                let sum = a.with(sums.collect());
                sum.with(each(&sum, *activation))
            }
            Step::Activate {
                from, activation, ..
            } => read(*from).with(each(read(*from), *activation)),
        };
        assert_eq!(made.channels, step_channels(program, step));
        assert_eq!(made.height, image.height >> program.values[step.to()].level);
        values[step.to()] = Some(made);
    }
    values[program.logits].take().unwrap().data
}

fn step_channels(program: &Program, step: &Step) -> usize {
    program.values[step.to()].channels
}

fn joined(mut parts: impl Iterator<Item = Array>) -> Array {
    let mut all = parts.next().unwrap();
    for part in parts {
        all.channels += part.channels;
        all.data.extend(part.data);
    }
    all
}

fn conv_step(
    conv: &ConvStep,
    x: Array,
    channels: usize,
    get: &dyn Fn(&str) -> Vec<f64>,
    statistics: Statistics,
) -> Array {
    let x = match &conv.excite {
        Some(ExciteStep { prefix, .. }) => {
            let names = ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"];
            squeeze_excite(&x, &names.map(|name| get(&format!("{prefix}.{name}"))))
        }
        None => x,
    };
    let bias = conv.bias.as_ref().map(|name| get(name));
    let shape = (channels, conv.depthwise);
    let mut y = convolve(&x, &get(&conv.weight), bias.as_deref(), conv.window, shape);
    if let Some(norm) = &conv.norm {
        let of = |name: &str| get(&format!("{}.{name}", norm.prefix));
        let numbers = ["weight", "bias", "running_mean", "running_var"].map(of);
        y = batch_norm(&y, &numbers, norm.epsilon, statistics);
    }
    y.with(each(&y, conv.activation))
}

/// The node that has the parameter `name`.
pub fn owner(graph: &Graph, name: &str) -> usize {
    let owns = |op: &Op| match op {
        Op::Conv { weight, bias, .. } => weight == name || bias.as_deref() == Some(name),
        Op::BatchNorm { prefix, .. } | Op::SqueezeExcite { prefix, .. } => name
            .strip_prefix(prefix.as_str())
            .is_some_and(|rest| rest.starts_with('.')),
        _ => false,
    };
    graph
        .nodes()
        .iter()
        .position(|node| owns(&node.op))
        .unwrap()
}

fn each(x: &Array, kind: Activation) -> Vec<f64> {
    let value = |&v: &f64| match kind {
        Activation::None => v,
        Activation::Relu => v.max(0.0),
        Activation::Relu6 => v.clamp(0.0, 6.0),
        Activation::Swish => v / (1.0 + (-v).exp()),
    };
    x.data.iter().map(value).collect()
}

fn batch_norm(
    x: &Array,
    [gamma, beta, mean, variance]: &[Vec<f64>; 4],
    epsilon: f64,
    statistics: Statistics,
) -> Array {
    let mut data = Vec::with_capacity(x.data.len());
    for c in 0..x.channels {
        let plane = x.plane(c);
        let n = plane.len() as f64;
        let (mean, variance) = match statistics {
            Statistics::Running => (mean[c], variance[c]),
            Statistics::Image => {
                let mean = plane.iter().sum::<f64>() / n;
                (
                    mean,
                    plane.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n,
                )
            }
        };
        let scale = gamma[c] / (variance + epsilon).sqrt();
        data.extend(plane.iter().map(|v| (v - mean) * scale + beta[c]));
    }
    x.with(data)
}

fn convolve(
    x: &Array,
    weight: &[f64],
    bias: Option<&[f64]>,
    window: Window,
    (outputs, depthwise): (usize, bool),
) -> Array {
    let [height, width] = [x.height, x.width].map(|n| n.div_ceil(window.stride));
    let (kernel, stride, before) = (window.kernel, window.stride, window.before);
    let taps = kernel * kernel;
    let seen = if depthwise { 1 } else { x.channels };
    let mut data = Vec::with_capacity(outputs * height * width);
    for k in 0..outputs {
        let mut plane = vec![bias.map_or(0.0, |b| b[k]); height * width];
        for c in 0..seen {
            let from = x.plane(if depthwise { k } else { c });
            for (tap, factor) in weight[(k * seen + c) * taps..][..taps].iter().enumerate() {
                let (dy, dx) = (tap / kernel, tap % kernel);
                // The outputs along a side of `n` whose pixel under a tap at `d` exists.
                let seen = |d: usize, n: usize, made: usize| {
                    let first = before.saturating_sub(d).div_ceil(stride);
                    first..made.min((n + before).saturating_sub(d).div_ceil(stride))
                };
                for y in seen(dy, x.height, height) {
                    let row = &from[(y * stride + dy - before) * x.width..][..x.width];
                    let columns = seen(dx, x.width, width);
                    let start = columns.start * stride + dx - before;
                    let sums = &mut plane[y * width..][columns];
                    for (sum, value) in sums.iter_mut().zip(row[start..].iter().step_by(stride)) {
                        *sum += factor * value;
                    }
                }
            }
        }
        data.extend(plane);
    }
    Array {
        channels: outputs,
        height,
        width,
        data,
    }
}

fn squeeze_excite(x: &Array, [reduce, reduce_bias, expand, expand_bias]: &[Vec<f64>; 4]) -> Array {
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    let linear = |weight: &[f64], bias: &[f64], from: &[f64]| -> Vec<f64> {
        let rows = weight.chunks(from.len()).zip(bias);
        rows.map(|(row, b)| b + row.iter().zip(from).map(|(w, v)| w * v).sum::<f64>())
            .collect()
    };
    let mean = |c: usize| x.plane(c).iter().sum::<f64>() / x.plane(c).len() as f64;
    let means: Vec<f64> = (0..x.channels).map(mean).collect();
    let hidden = linear(reduce, reduce_bias, &means);
    let hidden: Vec<f64> = hidden.into_iter().map(|h| h * sigmoid(h)).collect();
    let gates = linear(expand, expand_bias, &hidden);
    let gated = (0..x.channels).flat_map(|c| x.plane(c).iter().map(move |v| (c, v)));
    x.with(gated.map(|(c, v)| v * sigmoid(gates[c])).collect())
}

fn max_pool(x: &Array) -> Array {
    let (height, width) = (x.height / 2, x.width / 2);
    let mut data = Vec::with_capacity(x.channels * height * width);
    for c in 0..x.channels {
        let plane = x.plane(c);
        for (y, v) in (0..height).flat_map(|y| (0..width).map(move |v| (y, v))) {
            let at = |dy: usize, dx: usize| plane[(2 * y + dy) * x.width + 2 * v + dx];
            data.push(at(0, 0).max(at(0, 1)).max(at(1, 0)).max(at(1, 1)));
        }
    }
    Array {
        channels: x.channels,
        height,
        width,
        data,
    }
}

fn upsample(x: &Array) -> Array {
    let (height, width) = (2 * x.height, 2 * x.width);
    let mut data = Vec::with_capacity(x.channels * height * width);
    for c in 0..x.channels {
        let plane = x.plane(c);
        let at = |i: usize| plane[i / width / 2 * x.width + i % width / 2];
        data.extend((0..height * width).map(at));
    }
    Array {
        channels: x.channels,
        height,
        width,
        data,
    }
}
