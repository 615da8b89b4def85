//! Every node kind by its definition in f64: how far the logits are from those sums at full width, where they are
//! longest, and every gradient against finite differences.

use stainfree_kernels::activation::Activation;
use stainfree_kernels::depthwise::Window;
use stainfree_network::graph::Op;
use stainfree_network::{CpuPredictor, CpuTrainer, Encoder, Graph, Isa, Parameters, UnetSpec};

/// What a batch norm divides by.
#[derive(Clone, Copy, PartialEq)]
enum Statistics {
    /// Running statistics, as in prediction.
    Running,
    /// Those of the image, as in training.
    Image,
}

/// A parameter whose element is moved.
struct Moved<'a> {
    name: &'a str,
    index: usize,
    by: f64,
}

/// `[channel][y][x]`.
#[derive(Clone)]
struct Array {
    channels: usize,
    height: usize,
    width: usize,
    data: Vec<f64>,
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

/// The logits by the definitions, node after node.
fn reference(
    graph: &Graph,
    parameters: &Parameters,
    statistics: Statistics,
    moved: Option<&Moved>,
    input: &Array,
) -> Vec<f64> {
    let get = |name: &str| -> Vec<f64> {
        let tensor = parameters.get(name).unwrap();
        let mut values: Vec<f64> = tensor.data.iter().map(|&v| f64::from(v)).collect();
        if let Some(moved) = moved.filter(|moved| moved.name == name) {
            values[moved.index] += moved.by;
        }
        values
    };
    let mut values: Vec<Array> = Vec::new();
    for node in graph.nodes() {
        let from = |i: usize| &values[node.inputs[i].0];
        let value = match &node.op {
            Op::Input => input.clone(),
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
            Op::Softmax => return from(0).data.clone(),
        };
        assert_eq!(value.channels, node.channels);
        values.push(value);
    }
    panic!("the network has no softmax")
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
                // The input pixel of output `i` under a tap, where there is one.
                let place = |i: usize, d: usize, n: usize| {
                    (i * stride + d).checked_sub(before).filter(|&p| p < n)
                };
                for y in 0..height {
                    let Some(row) = place(y, dy, x.height) else {
                        continue;
                    };
                    for v in 0..width {
                        if let Some(column) = place(v, dx, x.width) {
                            plane[y * width + v] += factor * from[row * x.width + column];
                        }
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

#[test]
fn full_width_logits_are_those_of_f64() {
    let graph = Graph::unet(&UnetSpec::new(Encoder::Vgg16, 1.0, 3)).unwrap();
    let parameters = Parameters::initialise(&graph, 5);
    let side = 32;
    // Smooth and rough at once, as an image is.
    let input: Vec<f32> = (0..3 * side * side)
        .map(|i| {
            let (y, x) = ((i / side % side) as f32, (i % side) as f32);
            (y * 0.4).sin() + (x * 0.27).cos() + ((i * 7919) % 201) as f32 / 500.0
        })
        .collect();
    let wide = Array {
        channels: 3,
        height: side,
        width: side,
        data: input.iter().map(|&v| f64::from(v)).collect(),
    };
    let expected = reference(&graph, &parameters, Statistics::Running, None, &wide);
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|v| v * v).sum::<f64>().sqrt();
    let check = |isa: Isa, precision: &str, least: f64, limit: f64| {
        let mut predictor = CpuPredictor::new(&graph, &parameters, 2, isa);
        let found = predictor.logits(&input, side, side);
        let mut differences = found.iter().zip(&expected).map(|(a, b)| f64::from(*a) - b);
        let error = norm(&mut differences) / norm(&mut expected.iter().copied());
        println!("{} {precision}: {error:.1e}", isa.name());
        assert!(
            (least..limit).contains(&error),
            "{} {precision}: {error:e}",
            isa.name()
        );
    };
    for isa in Isa::available() {
        // A convolution's 2e-6 (kernels/tests) in each of 23 of them; 2e-6 in all is usual.
        check(isa, "f32", 0.0, 5e-5);
        // bf16 keeps 8 bits: docs/performance.md has what that costs on real images. One as exact as f32 is none.
        if let Some(isa) = isa.bf16() {
            check(isa, "bf16", 1e-4, 3e-2);
        }
    }
}

/// The derivative of a weighted sum of the logits by single elements of every trainable tensor.
fn gradients_are_finite_differences(encoder: Encoder) {
    let spec = UnetSpec {
        least_channels: 4,
        encoder,
        width: 0.0625,
        classes: 3,
    };
    let graph = Graph::unet(&spec).unwrap();
    let parameters = Parameters::initialise(&graph, 11);
    // Large enough that a batch norm at the deepest level sees several pixels.
    let side = 96;
    let noise = |i: usize, period: usize| (i * 7919 % period) as f32 / period as f32 - 0.5;
    let input: Vec<f32> = (0..3 * side * side).map(|i| 3.0 * noise(i, 2003)).collect();
    let weights: Vec<f32> = (0..3 * side * side).map(|i| noise(i + 5, 1009)).collect();
    let mut trainer = CpuTrainer::new(&graph, &parameters, [1, side, side], 2, Isa::available()[0]);
    trainer.forward(&input);
    trainer.backward(&weights);
    let wide = Array {
        channels: 3,
        height: side,
        width: side,
        data: input.iter().map(|&v| f64::from(v)).collect(),
    };
    let value = |moved: &Moved| -> f64 {
        let logits = reference(&graph, &parameters, Statistics::Image, Some(moved), &wide);
        logits
            .iter()
            .zip(&weights)
            .map(|(l, w)| l * f64::from(*w))
            .sum()
    };
    for tensor in trainer.gradients() {
        let largest = tensor.data.iter().fold(0f32, |m, g| m.max(g.abs()));
        // The element of the largest gradient, and one by chance.
        let first = tensor.data.iter().position(|g| g.abs() == largest).unwrap();
        for index in [first, 31 * tensor.name.len() % tensor.data.len()] {
            let found = f64::from(tensor.data[index]);
            // Small enough to cross hardly an edge of a ReLU or a pool, large enough for f64.
            let step = 1e-6 / (1.0 + found.abs());
            let moved = |by| Moved {
                name: &tensor.name,
                index,
                by,
            };
            let difference = (value(&moved(step)) - value(&moved(-step))) / (2.0 * step);
            // f32 through fifty layers is off by up to 1.3e-4 here, and by 4e-4 where the sum nearly vanishes (a bias
            // before a batch norm has no gradient at all).
            let limit = 1e-3 * f64::from(largest) + 1e-3;
            assert!(
                (found - difference).abs() < limit,
                "{} {} [{index}]: {found} {difference}",
                encoder.name(),
                tensor.name
            );
        }
    }
}

#[test]
fn every_gradient_is_the_finite_difference_of_the_definition() {
    for encoder in Encoder::ALL {
        gradients_are_finite_differences(encoder);
    }
}
