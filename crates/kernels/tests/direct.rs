//! 1x1, depthwise and strided convolutions against the definitions in f64, at the sizes where
//! registers, blocks, spans and images end; and the sum of two arrays.

mod common;

use common::layer::{Layer, planar_len};
use common::{noise, packed, unpacked};
use stainfree_kernels::activation::Activation;
use stainfree_kernels::blocked::{Rows, RowsMut};
use stainfree_kernels::convolution::Convolution;
use stainfree_kernels::depthwise::{Depthwise, Window};
use stainfree_kernels::epilogue::{Epilogue, Sink};
use stainfree_kernels::patches::Patches;
use stainfree_kernels::plain::{self, Definition, relative_error};
use stainfree_kernels::pointwise::Pointwise;
use stainfree_kernels::{Blocked, Buffer, Isa, LANES, Workers, elementwise};

/// Sums of up to some thousand products in f32, in registers and in runs: a few times 2^-24 each.
const TOLERANCE: f64 = 1e-6;

/// The convolution that does what the definition says.
fn direct(isa: Isa, shape: &Definition) -> Convolution {
    let (images, size) = (shape.images, [shape.height, shape.width]);
    let window = Window {
        kernel: shape.kernel,
        stride: shape.stride,
        before: shape.before,
    };
    let (inputs, outputs) = (shape.inputs, shape.outputs);
    if shape.depthwise {
        Convolution::Depthwise(Depthwise::new(isa, images, inputs, size, window))
    } else if shape.kernel == 1 {
        Convolution::Pointwise(Pointwise::new(isa, images, size, inputs, outputs))
    } else {
        Convolution::Patches(Patches::new(isa, images, inputs, outputs, size, window))
    }
}

/// Images, channels in, channels out, height, width, kernel, stride, before, depthwise.
type Case = (usize, usize, usize, usize, usize, usize, usize, usize, bool);

const CASES: &[Case] = &[
    // 1x1: one pixel; fewer and more channels than a block; panels of one and two blocks; several
    // spans.
    (1, 1, 1, 1, 1, 1, 1, 0, false),
    (2, 16, 32, 5, 7, 1, 1, 0, false),
    (1, 17, 33, 3, 29, 1, 1, 0, false),
    (3, 40, 96, 6, 5, 1, 1, 0, false),
    (1, 320, 64, 2, 3, 1, 1, 0, false),
    (1, 24, 144, 70, 61, 1, 1, 0, false),
    // Depthwise: images smaller than the filter, strips of 8 and what is left of them, both
    // paddings.
    (1, 3, 3, 1, 1, 3, 1, 1, true),
    (2, 16, 16, 5, 8, 3, 1, 1, true),
    (1, 33, 33, 7, 19, 3, 1, 1, true),
    (2, 20, 20, 8, 12, 3, 2, 1, true),
    (1, 20, 20, 9, 21, 3, 2, 0, true),
    (1, 16, 16, 1, 2, 5, 1, 2, true),
    (1, 35, 35, 11, 18, 5, 1, 2, true),
    (2, 16, 16, 10, 14, 5, 2, 1, true),
    (1, 16, 16, 7, 40, 5, 2, 2, true),
    (1, 16, 16, 90, 64, 3, 1, 1, true),
    (1, 16, 16, 90, 130, 5, 2, 2, true),
    // The first layer.
    (1, 3, 32, 1, 1, 3, 2, 1, false),
    (2, 3, 32, 8, 10, 3, 2, 1, false),
    (1, 3, 48, 9, 31, 3, 2, 0, false),
    (1, 16, 20, 6, 7, 5, 1, 2, false),
    (1, 3, 32, 40, 260, 3, 2, 1, false),
];

fn shape(
    &(images, inputs, outputs, height, width, kernel, stride, before, depthwise): &Case,
) -> Definition {
    Definition {
        images,
        inputs,
        outputs,
        height,
        width,
        kernel,
        stride,
        before,
        depthwise,
    }
}

fn layer(isa: Isa, conv: &Definition) -> Layer {
    Layer::of_one(direct(isa, conv), *conv)
}

struct Results {
    output: Vec<f32>,
    d_input: Option<Vec<f32>>,
    d_weights: Vec<f32>,
}

/// Everything about one convolution: `epilogue` of the output, gradients for noise that comes from
/// above, the input gradient added to noise and cut off where noise is not positive.
fn fast(isa: Isa, threads: usize, conv: &Definition, epilogue: Epilogue) -> Results {
    let (workers, layer) = (Workers::new(threads), layer(isa, conv));
    let x = layer.arrays(2);
    let weights = noise(conv.weights(), 1);
    let d = noise(planar_len(&layer.output()), 3);
    let onto = [&layer.arrays(4)[..], &layer.arrays(5)];
    // Below the first layer lies the image.
    let d_input = match layer.conv {
        Convolution::Patches(_) => None,
        _ => layer
            .input_gradients(&workers, &d, &weights, Some(onto))
            .pop(),
    };
    Results {
        output: layer.forward(&workers, &x, &weights, epilogue),
        d_input,
        d_weights: layer.weight_gradient(&workers, &x, &d),
    }
}

#[test]
fn convolutions_and_gradients_match_the_definition() {
    let mut failures = Vec::new();
    for case in CASES {
        let conv = shape(case);
        let output = layer(Isa::available()[0], &conv).output();
        let weights = noise(conv.weights(), 1);
        let x = noise(conv.images * conv.inputs * conv.height * conv.width, 2);
        let d = noise(planar_len(&output), 3);
        let forward = conv.forward(&x, &weights);
        let (before, mask) = (noise(x.len(), 4), noise(x.len(), 5));
        let d_input: Vec<f64> = conv
            .input_gradient(&weights, &d)
            .iter()
            .zip(before.iter().zip(&mask))
            .map(|(d, (b, m))| if *m > 0.0 { d + f64::from(*b) } else { 0.0 })
            .collect();
        let d_weights = conv.weight_gradient(&x, &d);
        for isa in Isa::available() {
            let found = fast(isa, 2, &conv, Epilogue::default());
            let mut check = |what: &str, error: f64| {
                if error.is_nan() || error > TOLERANCE {
                    failures.push(format!("{} {case:?} {what}: {error:.1e}", isa.name()));
                }
            };
            check("output", relative_error(&found.output, &forward));
            if let Some(found) = &found.d_input {
                check("input gradient", relative_error(found, &d_input));
            }
            check(
                "weight gradient",
                relative_error(&found.d_weights, &d_weights),
            );
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn bias_and_activation_follow_the_convolution() {
    let activations = [Activation::None, Activation::Relu6, Activation::Swish];
    for case in [&CASES[2], &CASES[8], &CASES[19]] {
        let conv = shape(case);
        let plain = layer(Isa::available()[0], &conv);
        let (x, output) = (&plain.arrays(2)[0], plain.output());
        let forward = conv.forward(x, &noise(conv.weights(), 1));
        let mut bias = noise(output.blocks() * LANES, 6);
        bias[output.channels..].fill(0.0);
        for (isa, activation) in Isa::available()
            .into_iter()
            .flat_map(|isa| activations.map(|a| (isa, a)))
        {
            let epilogue = Epilogue::biased(&bias, activation);
            let found = fast(isa, 2, &conv, epilogue).output;
            let expected: Vec<f64> = forward
                .iter()
                .enumerate()
                .map(|(i, &y)| {
                    let channel = i / (output.height * output.width) % output.channels;
                    plain::activation(activation, y + f64::from(bias[channel]))[0]
                })
                .collect();
            let error = relative_error(&found, &expected);
            assert!(
                error < TOLERANCE,
                "{} {case:?} {activation:?}: {error:e}",
                isa.name()
            );
        }
    }
}

#[test]
fn results_are_the_same_bits_for_any_number_of_threads() {
    for isa in Isa::available() {
        for case in CASES.iter().filter(|case| case.3 * case.4 > 200) {
            let conv = shape(case);
            let one = fast(isa, 1, &conv, Epilogue::default());
            for threads in [2, 3, 5] {
                let more = fast(isa, threads, &conv, Epilogue::default());
                assert!(
                    more.output == one.output
                        && more.d_input == one.d_input
                        && more.d_weights == one.d_weights,
                    "{} with {threads} threads, {case:?}",
                    isa.name()
                );
            }
        }
    }
}

#[test]
fn rows_made_in_bands_are_those_of_the_whole() {
    let workers = Workers::new(2);
    let isa = Isa::available()[0];
    for case in [&CASES[5], &CASES[15], &CASES[16], &CASES[21]] {
        let conv = shape(case);
        let layer = layer(isa, &conv);
        let (x, weights) = (layer.arrays(2), noise(conv.weights(), 1));
        let found = layer.forward_in_bands(&workers, (&x[0], &weights), 7, 9);
        let whole = fast(isa, 2, &conv, Epilogue::default()).output;
        assert_eq!(found, whole, "{case:?}");
    }
}

#[test]
fn sums_and_their_gradients_know_a_factor_for_every_image() {
    let shape = Blocked {
        images: 2,
        channels: 17,
        height: 3,
        width: 4,
    };
    let workers = Workers::new(2);
    // Small halves are exact in f32, so rounding excuses nothing.
    let halves = |k: usize| -> Vec<f32> {
        (0..2 * 17 * 12)
            .map(|i| ((i * k) % 23) as f32 * 0.5 - 3.0)
            .collect()
    };
    let (a, b, d) = (halves(1), halves(5), halves(7));
    let factors = [2.0, 0.0];
    let factor = |i: usize| factors[i / (17 * 12)];
    let packed = |planar: &[f32]| packed(&workers, &shape, planar);
    for isa in Isa::available() {
        let (x, y, mut out) = (packed(&a), packed(&b), Buffer::zeros(shape.len()));
        let kept = 3;
        let inputs = [&x, &y].map(|data| Rows { data, kept });
        let to = RowsMut {
            data: &mut out,
            kept,
        };
        elementwise::add_rows(isa, &workers, &shape, inputs, &factors, to, 0..3);
        let expected: Vec<f32> = (0..a.len()).map(|i| a[i] + factor(i) * b[i]).collect();
        assert_eq!(unpacked(&workers, &shape, &out), expected, "{}", isa.name());
        for accumulate in [false, true] {
            let mut to = packed(&a);
            let mut sink = Sink::new(&mut to);
            sink.epilogue.accumulate = accumulate;
            elementwise::add_gradient(isa, &workers, &shape, &packed(&d), &factors, &mut sink);
            let before = |i: usize| if accumulate { a[i] } else { 0.0 };
            let expected: Vec<f32> = (0..a.len()).map(|i| before(i) + factor(i) * d[i]).collect();
            assert_eq!(unpacked(&workers, &shape, &to), expected, "{}", isa.name());
        }
    }
}
