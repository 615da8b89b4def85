//! Every kind of convolution with every combination of what an epilogue may do, at sizes that no
//! block and no tile divides, on every instruction set.

mod common;

use common::layer::{Layer, planar_len};
use common::{noise, packed};
use stainfree_kernels::activation::Activation;
use stainfree_kernels::convolution::Convolution;
use stainfree_kernels::dense::Dense;
use stainfree_kernels::depthwise::{Depthwise, Window};
use stainfree_kernels::epilogue::Epilogue;
use stainfree_kernels::patches::Patches;
use stainfree_kernels::plain::{self, Definition, relative_error};
use stainfree_kernels::pointwise::Pointwise;
use stainfree_kernels::winograd::{Part, TileSize, Winograd};
use stainfree_kernels::{Isa, LANES, Workers};

/// Sums in f32, in tiles of 6x6 the least exact.
const TOLERANCE: f64 = 5e-6;

/// One of every kind, with its name.
fn kinds(isa: Isa, images: usize) -> Vec<(&'static str, Layer)> {
    let (inputs, outputs, size) = (20, 33, [7, 13]);
    let plain = |kernel, stride, before| Definition {
        kernel,
        stride,
        before,
        ..Definition::same_3x3(images, inputs, outputs, size)
    };
    let window = |kernel, stride, before| Window {
        kernel,
        stride,
        before,
    };
    let part = [Part {
        channels: inputs,
        upsampled: false,
    }];
    let winograd = |tile| {
        let conv = Winograd::new(isa, images, size[0], size[1], &part, outputs).tiled(tile);
        Layer::of_one(conv.into(), plain(3, 1, 1))
    };
    let pointwise = Pointwise::new(isa, images, size, inputs, outputs);
    let depthwise = Depthwise::new(isa, images, outputs, size, window(5, 2, 2));
    let patches = Patches::new(isa, images, 3, outputs, size, window(3, 2, 1));
    let dense = Dense::new(isa, images, &part, outputs, size, window(3, 2, 0));
    let apart = Definition {
        inputs: outputs,
        depthwise: true,
        ..plain(5, 2, 2)
    };
    let first = Definition {
        inputs: 3,
        ..plain(3, 2, 1)
    };
    vec![
        ("winograd 4x4", winograd(TileSize::Four)),
        ("winograd 6x6", winograd(TileSize::Six)),
        (
            "pointwise",
            Layer::of_one(Convolution::Pointwise(pointwise), plain(1, 1, 0)),
        ),
        (
            "depthwise",
            Layer::of_one(Convolution::Depthwise(depthwise), apart),
        ),
        (
            "patches",
            Layer::of_one(Convolution::Patches(patches), first),
        ),
        (
            "dense",
            Layer::of_one(Convolution::Dense(dense), plain(3, 2, 0)),
        ),
    ]
}

#[test]
fn every_kind_takes_every_epilogue() {
    let workers = Workers::new(2);
    let mut failures = Vec::new();
    for isa in Isa::available() {
        for (name, layer) in kinds(isa, 2) {
            let output = layer.output();
            let (x, weights) = (layer.arrays(1), noise(layer.plain.weights(), 2));
            let sums = layer.plain.forward(&x[0], &weights);
            let before = noise(planar_len(&output), 3);
            let cut = noise(planar_len(&output), 4);
            let mask = packed(&workers, &output, &cut);
            let mut bias = noise(output.blocks() * LANES, 5);
            bias[output.channels..].fill(0.0);
            let activations = [
                Activation::None,
                Activation::Relu,
                Activation::Relu6,
                Activation::Swish,
            ];
            for (case, activation) in (0..8).flat_map(|case| activations.map(|a| (case, a))) {
                let [biased, accumulate, masked] = [1, 2, 4].map(|bit| case & bit != 0);
                let epilogue = Epilogue {
                    bias: biased.then_some(&bias[..]),
                    activation,
                    accumulate,
                    mask: masked.then_some(&mask[..]),
                };
                let found = layer.forward_onto(&workers, &x, &weights, epilogue, Some(&before));
                let expected: Vec<f64> = (0..sums.len())
                    .map(|i| {
                        let channel = i / (output.height * output.width) % output.channels;
                        let bias = if biased {
                            f64::from(bias[channel])
                        } else {
                            0.0
                        };
                        let [value, _] = plain::activation(activation, sums[i] + bias);
                        let held = if accumulate {
                            f64::from(before[i])
                        } else {
                            0.0
                        };
                        if masked && cut[i] <= 0.0 {
                            0.0
                        } else {
                            value + held
                        }
                    })
                    .collect();
                let error = relative_error(&found, &expected);
                if error.is_nan() || error > TOLERANCE {
                    failures.push(format!(
                        "{} {name} {activation:?}, bias {biased}, accumulate {accumulate}, \
                         mask {masked}: {error:.1e}",
                        isa.name()
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_is_made_in_bands_is_what_is_made_at_once() {
    let workers = Workers::new(2);
    for isa in Isa::available() {
        // Winograd's tiles begin anew with every band, so bands are whole tiles there; of several
        // images it makes the whole.
        for (name, layer) in kinds(isa, 1) {
            let band = match name {
                "winograd 4x4" => 4,
                "winograd 6x6" => 6,
                _ => 3,
            };
            let (x, weights) = (layer.arrays(1), noise(layer.plain.weights(), 2));
            let whole = layer.forward(&workers, &x, &weights, Epilogue::default());
            let found = layer.forward_in_bands(&workers, (&x[0], &weights), band, band + 2);
            assert!(found == whole, "{} {name}", isa.name());
        }
    }
}

/// Sum of products in f64.
fn inner(a: &[f32], b: &[f32]) -> f64 {
    let pairs = a.iter().zip(b);
    pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

#[test]
fn gradients_are_the_transposes_of_the_convolution() {
    let workers = Workers::new(2);
    for isa in Isa::available() {
        for (name, layer) in kinds(isa, 2) {
            let (x, weights) = (layer.arrays(1), noise(layer.plain.weights(), 2));
            let d = noise(planar_len(&layer.output()), 3);
            let y = layer.forward(&workers, &x, &weights, Epilogue::default());
            let expected = inner(&y, &d);
            // Rounding of sums is relative to the sizes of what is multiplied.
            let scale = inner(&y, &y).sqrt() * inner(&d, &d).sqrt();
            let d_weights = layer.weight_gradient(&workers, &x, &d);
            let found = inner(&weights, &d_weights);
            let near = |found: f64| (found - expected).abs() < TOLERANCE * scale;
            assert!(
                near(found),
                "{} {name}, weights: {found} {expected}",
                isa.name()
            );
            if let Convolution::Patches(_) = layer.conv {
                continue;
            }
            let d_x = layer.input_gradients(&workers, &d, &weights, None);
            let found = inner(&x[0], &d_x[0]);
            assert!(
                near(found),
                "{} {name}, inputs: {found} {expected}",
                isa.name()
            );
        }
    }
}

#[test]
fn the_places_of_weights_are_all_different_and_come_back() {
    for isa in Isa::available() {
        for (name, layer) in kinds(isa, 2) {
            let weights: Vec<f32> = (1..=layer.plain.weights()).map(|i| i as f32).collect();
            let blocked = layer.blocked(&weights);
            let mut back = vec![0.0; weights.len()];
            layer.conv.unblock(&blocked, &mut back);
            assert_eq!(back, weights, "{name}");
            let mut placed: Vec<f32> = blocked.iter().copied().filter(|&v| v != 0.0).collect();
            placed.sort_by(f32::total_cmp);
            assert_eq!(placed, weights, "{name}: every weight has one place");
        }
    }
}

#[test]
fn a_filter_of_one_tap_moves_the_image() {
    let workers = Workers::new(1);
    // Whole numbers: what is only moved is exact, but for Winograd's transforms.
    for isa in Isa::available() {
        for (name, layer) in kinds(isa, 2) {
            let Definition {
                inputs,
                outputs,
                height,
                width,
                kernel,
                stride,
                before,
                depthwise,
                ..
            } = layer.plain;
            let seen = if depthwise { 1 } else { inputs };
            let x: Vec<f32> = layer.arrays(1)[0]
                .iter()
                .map(|v| (64.0 * v).round())
                .collect();
            let [rows, columns] = layer.plain.output_size();
            for (dy, dx) in [(0, 0), (kernel - 1, 0), (kernel / 2, kernel - 1)] {
                // Output k shows channel k % seen.
                let mut weights = vec![0.0; layer.plain.weights()];
                for k in 0..outputs {
                    weights[((k * seen + k % seen) * kernel + dy) * kernel + dx] = 1.0;
                }
                let arrays = [x.clone()];
                let y = layer.forward(&workers, &arrays, &weights, Epilogue::default());
                let mut largest = 0.0f32;
                for (i, &found) in y.iter().enumerate() {
                    let (column, row) = (i % columns, i / columns % rows);
                    let (k, image) = (
                        i / (rows * columns) % outputs,
                        i / (rows * columns * outputs),
                    );
                    let channel = if depthwise { k } else { k % seen };
                    let at = |out: usize, tap: usize, size: usize| {
                        (out * stride + tap)
                            .checked_sub(before)
                            .filter(|&at| at < size)
                    };
                    let expected = match (at(row, dy, height), at(column, dx, width)) {
                        (Some(v), Some(u)) => {
                            x[((image * inputs + channel) * height + v) * width + u]
                        }
                        _ => 0.0,
                    };
                    largest = largest.max((found - expected).abs());
                }
                let allowed = if name.starts_with("winograd") {
                    64.0 * 2e-5
                } else {
                    0.0
                };
                assert!(
                    largest <= allowed,
                    "{} {name} ({dy}, {dx}): {largest}",
                    isa.name()
                );
            }
        }
    }
}
