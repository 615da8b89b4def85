//! How far the network's logits are from the same sums in f64, at full width, where they are longest.

use stainfree_network::graph::{Activation, Op};
use stainfree_network::{CpuPredictor, Encoder, Graph, Isa, Parameters, UnetSpec};

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

/// The network by its definitions, node after node.
fn reference(graph: &Graph, parameters: &Parameters, input: Array) -> Vec<f64> {
    let mut values: Vec<Array> = Vec::new();
    for node in graph.nodes() {
        let from = |i: usize| &values[node.inputs[i].0];
        let value = match &node.op {
            Op::Input => input.clone(),
            Op::Conv {
                weight,
                bias,
                window,
                depthwise: false,
            } if (window.kernel, window.stride) == (3, 1) => {
                let bias = bias.as_ref().map(|name| tensor(parameters, name));
                convolve(from(0), tensor(parameters, weight), bias, node.channels)
            }
            Op::BatchNorm { prefix, epsilon } => {
                let get = |name: &str| tensor(parameters, &format!("{prefix}.{name}"));
                let x = from(0);
                let data = (0..x.channels).flat_map(|c| {
                    let [gamma, beta, mean, variance] =
                        ["weight", "bias", "running_mean", "running_var"]
                            .map(|name| f64::from(get(name)[c]));
                    let scale = gamma / (variance + epsilon).sqrt();
                    x.plane(c).iter().map(move |v| (v - mean) * scale + beta)
                });
                x.with(data.collect())
            }
            Op::Activation(Activation::Relu) => {
                from(0).with(from(0).data.iter().map(|v| v.max(0.0)).collect())
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
            other => panic!("VGG16 has no {other:?}"),
        };
        assert_eq!(value.channels, node.channels);
        values.push(value);
    }
    panic!("the network has no softmax")
}

fn tensor<'a>(parameters: &'a Parameters, name: &str) -> &'a [f32] {
    &parameters.get(name).unwrap().data
}

fn convolve(x: &Array, weight: &[f32], bias: Option<&[f32]>, outputs: usize) -> Array {
    let (h, w) = (x.height as isize, x.width as isize);
    let mut data = Vec::with_capacity(outputs * x.height * x.width);
    for k in 0..outputs {
        let mut plane = vec![bias.map_or(0.0, |b| f64::from(b[k])); x.height * x.width];
        for c in 0..x.channels {
            let from = x.plane(c);
            for (tap, &factor) in weight[(k * x.channels + c) * 9..][..9].iter().enumerate() {
                let (dy, dx) = (tap as isize / 3 - 1, tap as isize % 3 - 1);
                let columns = (-dx).max(0)..w - dx.max(0);
                for y in (-dy).max(0)..h - dy.max(0) {
                    let to = &mut plane[(y * w + columns.start) as usize..][..columns.len()];
                    let from = &from[((y + dy) * w + columns.start + dx) as usize..];
                    for (sum, value) in to.iter_mut().zip(from) {
                        *sum += f64::from(factor) * value;
                    }
                }
            }
        }
        data.extend(plane);
    }
    Array {
        channels: outputs,
        data,
        ..*x
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
    let expected = reference(&graph, &parameters, wide);
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
