//! Matrix products at every number of channels about the edges of blocks and panels, and of pixels
//! about those of the micro-kernels' rows.

mod common;

use common::layer::{Layer, planar_len};
use common::noise;
use stainfree_kernels::convolution::Convolution;
use stainfree_kernels::dense::Dense;
use stainfree_kernels::depthwise::Window;
use stainfree_kernels::epilogue::Epilogue;
use stainfree_kernels::plain::{Definition, relative_error};
use stainfree_kernels::pointwise::Pointwise;
use stainfree_kernels::winograd::Part;
use stainfree_kernels::{Buffer, Isa, Workers};

const TOLERANCE: f64 = 1e-6;

/// Errors of output, input gradient and weight gradient.
fn errors(layer: &Layer) -> [f64; 3] {
    let workers = Workers::new(1);
    let (x, weights) = (layer.arrays(1), noise(layer.plain.weights(), 2));
    let d = noise(planar_len(&layer.output()), 3);
    let y = layer.forward(&workers, &x, &weights, Epilogue::default());
    let d_x = &layer.input_gradients(&workers, &d, &weights, None)[0];
    let d_weights = layer.weight_gradient(&workers, &x, &d);
    let Layer { plain, .. } = layer;
    [
        relative_error(&y, &plain.forward(&x[0], &weights)),
        relative_error(d_x, &plain.input_gradient(&weights, &d)),
        relative_error(&d_weights, &plain.weight_gradient(&x[0], &d)),
    ]
}

fn pointwise(isa: Isa, inputs: usize, outputs: usize, size: [usize; 2]) -> Layer {
    let plain = Definition {
        kernel: 1,
        before: 0,
        ..Definition::same_3x3(1, inputs, outputs, size)
    };
    let conv = Pointwise::new(isa, 1, size, inputs, outputs);
    Layer::of_one(Convolution::Pointwise(conv), plain)
}

fn assert_small(what: &str, isa: Isa, errors: [f64; 3]) {
    let small = errors.iter().all(|&error| error <= TOLERANCE);
    assert!(small, "{} {what}: {errors:?}", isa.name());
}

#[test]
fn channels_about_the_edges_of_blocks_and_panels() {
    let edges = [1, 15, 16, 17, 31, 32, 33, 48, 64, 65];
    for isa in Isa::available() {
        for (inputs, outputs) in edges.iter().flat_map(|&i| edges.map(|o| (i, o))) {
            let layer = pointwise(isa, inputs, outputs, [1, 3]);
            assert_small(&format!("{inputs} to {outputs}"), isa, errors(&layer));
        }
    }
}

#[test]
fn pixels_about_the_edges_of_the_rows_of_a_kernel() {
    for isa in Isa::available() {
        // 130: more than a pass of the filters' gradient takes.
        for pixels in (1..30).chain([63, 64, 65, 127, 128, 130, 257]) {
            let layer = pointwise(isa, 20, 48, [1, pixels]);
            assert_small(&format!("{pixels} pixels"), isa, errors(&layer));
        }
    }
}

#[test]
fn patches_of_every_window_and_width() {
    for isa in Isa::available() {
        for (kernel, stride) in [(2, 1), (2, 2), (3, 3), (4, 2), (5, 3)] {
            for (before, width) in (0..kernel).flat_map(|b| [1, 2, 5, 9].map(|w| (b, w))) {
                let window = Window {
                    kernel,
                    stride,
                    before,
                };
                let plain = Definition {
                    kernel,
                    stride,
                    before,
                    ..Definition::same_3x3(2, 5, 18, [4, width])
                };
                let part = [Part {
                    channels: 5,
                    upsampled: false,
                }];
                let conv = Dense::new(isa, 2, &part, 18, [4, width], window);
                let layer = Layer::of_one(Convolution::Dense(conv), plain);
                assert_small(&format!("{window:?} on {width}"), isa, errors(&layer));
            }
        }
    }
}

#[test]
fn gates_in_the_filters_are_gates_on_the_input() {
    let workers = Workers::new(1);
    for isa in Isa::available() {
        for (inputs, outputs) in [(1, 1), (17, 33), (40, 64)] {
            let layer = pointwise(isa, inputs, outputs, [3, 5]);
            let Convolution::Pointwise(conv) = &layer.conv else {
                panic!("made as one");
            };
            let (x, weights) = (layer.arrays(1), noise(layer.plain.weights(), 2));
            let mut gates: Vec<f32> = noise(inputs, 3).iter().map(|g| (g + 1.0) / 2.0).collect();
            let gated: Vec<f32> = (0..x[0].len()).map(|i| x[0][i] * gates[i / 15]).collect();
            let expected = layer.plain.forward(&gated, &weights);
            gates.resize(inputs.next_multiple_of(16), 0.0);
            let blocked = layer.blocked(&weights);
            let mut scaled = Buffer::default();
            conv.scaled(&blocked, &gates, &mut scaled);
            let mut own = vec![0.0; weights.len()];
            layer.conv.unblock(&scaled, &mut own);
            let found = layer.forward(&workers, &x, &own, Epilogue::default());
            let error = relative_error(&found, &expected);
            assert!(
                error <= TOLERANCE,
                "{} {inputs} to {outputs}: {error:e}",
                isa.name()
            );
        }
    }
}
