//! 1x1, depthwise and strided convolutions against the definitions in f64, at the sizes where
//! registers, blocks, spans and images end; and the sum of two arrays.

mod common;

use common::{noise, packed, unpacked};
use stainfree_kernels::activation::Activation;
use stainfree_kernels::blocked::{Rows, RowsMut};
use stainfree_kernels::convolution::{Convolution, ConvolutionScratch};
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

/// Shapes of input and output.
fn shapes(conv: &Definition) -> [Blocked; 2] {
    let [height, width] = conv.output_size();
    let input = Blocked {
        images: conv.images,
        channels: conv.inputs,
        height: conv.height,
        width: conv.width,
    };
    let output = Blocked {
        channels: conv.outputs,
        height,
        width,
        ..input
    };
    [input, output]
}

fn planar_len(shape: &Blocked) -> usize {
    shape.images * shape.channels * shape.height * shape.width
}

struct Results {
    output: Vec<f32>,
    d_input: Option<Vec<f32>>,
    d_weights: Vec<f32>,
}

/// Everything about one convolution: `epilogue` of the output, gradients for noise that comes from
/// above, the input gradient added to noise and cut off where noise is not positive.
fn fast(isa: Isa, threads: usize, conv: &Definition, epilogue: Epilogue) -> Results {
    let workers = Workers::new(threads);
    let kernel = direct(isa, conv);
    let weights = noise(conv.weights(), 1);
    let mut filters = Buffer::zeros(kernel.blocked_len());
    kernel.block(&weights, &mut filters);
    let [input, output] = shapes(conv);
    let x = packed(&workers, &input, &noise(planar_len(&input), 2));
    let mut out = Buffer::zeros(output.len());
    let whole = RowsMut {
        data: &mut out,
        kept: output.height,
    };
    let rows = Rows {
        data: &x,
        kept: input.height,
    };
    kernel.forward_rows(
        &workers,
        &[rows],
        &filters,
        epilogue,
        whole,
        0..output.height,
    );
    let lanes_used = unpacked(&workers, &output, &out);
    let zeros = |data: &[f32]| data.iter().filter(|&&v| v == 0.0).count();
    assert!(
        zeros(&out) >= output.len() - planar_len(&output),
        "filled-up channels stay zero"
    );

    let d = packed(&workers, &output, &noise(planar_len(&output), 3));
    let mut d_x = packed(&workers, &input, &noise(planar_len(&input), 4));
    let mask = packed(&workers, &input, &noise(planar_len(&input), 5));
    let mut sink = Sink::new(&mut d_x);
    sink.epilogue.accumulate = true;
    sink.epilogue.mask = Some(&mask);
    // Below the first layer lies the image.
    let has_d_input = !matches!(kernel, Convolution::Patches(_));
    if has_d_input {
        let mut room = Buffer::default();
        let turned = kernel.prepare_turned(&workers, &filters, &mut room);
        kernel.input_gradient(&workers, &d, turned, &mut [sink]);
    }
    let mut d_filters = Buffer::zeros(filters.len());
    let mut scratch = ConvolutionScratch::default();
    kernel.weight_gradient(&workers, &[&x], &d, &mut d_filters, &mut scratch);
    let mut d_weights = vec![0.0; weights.len()];
    kernel.unblock(&d_filters, &mut d_weights);
    Results {
        output: lanes_used,
        d_input: has_d_input.then(|| unpacked(&workers, &input, &d_x)),
        d_weights,
    }
}

#[test]
fn convolutions_and_gradients_match_the_definition() {
    let mut failures = Vec::new();
    for case in CASES {
        let conv = shape(case);
        let [input, output] = shapes(&conv);
        let weights = noise(conv.weights(), 1);
        let x = noise(planar_len(&input), 2);
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
        let [input, output] = shapes(&conv);
        let forward = conv.forward(&noise(planar_len(&input), 2), &noise(conv.weights(), 1));
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
        let [input, output] = shapes(&conv);
        let whole = fast(isa, 2, &conv, Epilogue::default()).output;
        let kernel = direct(isa, &conv);
        let weights = noise(conv.weights(), 1);
        let mut filters = Buffer::zeros(kernel.blocked_len());
        kernel.block(&weights, &mut filters);
        let planar = noise(planar_len(&input), 2);
        let line = |channel: usize, y: usize, to: &mut [f32]| {
            let from = (channel * input.height + y) * input.width;
            to.copy_from_slice(&planar[from..][..input.width]);
        };
        // 7 rows of output at a time, from as many rows as they see; both wrap around.
        let (band, kept) = (7, 9);
        let held = 7 * conv.stride + conv.kernel;
        let buffer =
            |shape: &Blocked, kept| Buffer::zeros(shape.blocks() * kept * shape.width * LANES);
        let (mut x, mut out) = (buffer(&input, held), buffer(&output, kept));
        let mut found = vec![0.0; planar_len(&output)];
        let (mut filled, mut done) = (0, 0);
        while done < output.height {
            let rows = done..(done + band).min(output.height);
            let needed =
                ((rows.end - 1) * conv.stride + conv.kernel - conv.before).min(input.height);
            let to = RowsMut {
                data: &mut x,
                kept: held,
            };
            input.pack_rows(&workers, &line, to, filled..needed);
            let (from, to) = (
                Rows {
                    data: &x,
                    kept: held,
                },
                RowsMut {
                    data: &mut out,
                    kept,
                },
            );
            kernel.forward_rows(
                &workers,
                &[from],
                &filters,
                Epilogue::default(),
                to,
                rows.clone(),
            );
            output.unpack_rows(
                &workers,
                Rows { data: &out, kept },
                &mut found,
                rows.clone(),
            );
            (filled, done) = (needed, rows.end);
        }
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
