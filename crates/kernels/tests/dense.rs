//! Dense convolutions of any window against the definitions in f64: several and up-sampled parts,
//! windows that the stride skips, images smaller than the filter.

mod common;

use common::layer::{Layer, planar_len};
use common::noise;
use stainfree_kernels::activation::Activation;
use stainfree_kernels::convolution::Convolution;
use stainfree_kernels::dense::Dense;
use stainfree_kernels::depthwise::Window;
use stainfree_kernels::epilogue::{Epilogue, Sink};
use stainfree_kernels::plain::{self, Definition, relative_error};
use stainfree_kernels::winograd::Part;
use stainfree_kernels::{Blocked, Isa, LANES, Workers, elementwise};

/// Sums of up to some thousand products in f32: a few times 2^-24 each.
const TOLERANCE: f64 = 1e-6;

/// A convolution and the parts it reads, channels and whether up-sampled.
struct Case {
    images: usize,
    parts: &'static [(usize, bool)],
    outputs: usize,
    size: [usize; 2],
    window: [usize; 3],
}

const fn case(
    images: usize,
    parts: &'static [(usize, bool)],
    outputs: usize,
    size: [usize; 2],
    window: [usize; 3],
) -> Case {
    Case {
        images,
        parts,
        outputs,
        size,
        window,
    }
}

/// Windows are kernel, stride, padding before.
const CASES: &[Case] = &[
    case(1, &[(1, false)], 1, [1, 1], [3, 1, 1]),
    case(2, &[(16, false)], 32, [6, 10], [3, 2, 1]),
    case(1, &[(17, false)], 33, [9, 7], [3, 2, 0]),
    case(1, &[(20, false)], 20, [4, 6], [1, 2, 0]),
    case(1, &[(8, false)], 40, [5, 31], [5, 1, 2]),
    case(1, &[(16, false)], 16, [14, 22], [7, 2, 3]),
    case(1, &[(5, false)], 7, [3, 2], [7, 1, 3]),
    case(2, &[(33, true), (3, false)], 18, [6, 8], [1, 1, 0]),
    case(1, &[(20, true)], 16, [4, 10], [5, 2, 2]),
    case(1, &[(16, false), (20, true)], 32, [8, 6], [3, 1, 1]),
    // Several runs of a row, slices of rows, groups of filters' rows.
    case(1, &[(48, false)], 64, [6, 250], [3, 1, 1]),
    case(1, &[(160, false)], 320, [6, 70], [3, 2, 1]),
];

impl Case {
    fn plain(&self) -> Definition {
        let [kernel, stride, before] = self.window;
        Definition {
            images: self.images,
            inputs: self.parts.iter().map(|part| part.0).sum(),
            outputs: self.outputs,
            height: self.size[0],
            width: self.size[1],
            kernel,
            stride,
            before,
            depthwise: false,
        }
    }

    fn layer(&self, isa: Isa) -> Layer {
        let [kernel, stride, before] = self.window;
        let window = Window {
            kernel,
            stride,
            before,
        };
        let part = |&(channels, upsampled): &(usize, bool)| Part {
            channels,
            upsampled,
        };
        let parts: Vec<Part> = self.parts.iter().map(part).collect();
        let dense = Dense::new(isa, self.images, &parts, self.outputs, self.size, window);
        Layer {
            conv: Convolution::Dense(dense),
            plain: self.plain(),
            parts: self.parts.to_vec(),
        }
    }
}

struct Results {
    output: Vec<f32>,
    d_inputs: Vec<Vec<f32>>,
    d_weights: Vec<f32>,
}

/// Everything about one convolution: gradients for noise from above, those of the inputs added to
/// noise and cut off where noise is not positive.
fn fast(isa: Isa, threads: usize, case: &Case, epilogue: Epilogue) -> Results {
    let (workers, layer) = (Workers::new(threads), case.layer(isa));
    let x = layer.arrays(10);
    let weights = noise(layer.plain.weights(), 1);
    let d = noise(planar_len(&layer.output()), 3);
    let onto = [&layer.arrays(20)[..], &layer.arrays(30)];
    Results {
        output: layer.forward(&workers, &x, &weights, epilogue),
        d_inputs: layer.input_gradients(&workers, &d, &weights, Some(onto)),
        d_weights: layer.weight_gradient(&workers, &x, &d),
    }
}

#[test]
fn any_window_and_its_gradients_match_the_definition() {
    let mut failures = Vec::new();
    for (number, case) in CASES.iter().enumerate() {
        let (conv, layer) = (case.plain(), case.layer(Isa::available()[0]));
        let x = layer.join(&layer.arrays(10));
        let weights = noise(conv.weights(), 1);
        let d = noise(planar_len(&layer.output()), 3);
        let forward = conv.forward(&x, &weights);
        let d_weights = conv.weight_gradient(&x, &d);
        let d_joined = conv.input_gradient(&weights, &d);
        let mut d_inputs = layer.part(&d_joined, Some(&layer.arrays(20)));
        for (d, mask) in d_inputs.iter_mut().zip(layer.arrays(30)) {
            for (d, m) in d.iter_mut().zip(mask) {
                *d = if m > 0.0 { *d } else { 0.0 };
            }
        }
        for isa in Isa::available() {
            let found = fast(isa, 2, case, Epilogue::default());
            let mut check = |what: &str, error: f64| {
                if error.is_nan() || error > TOLERANCE {
                    failures.push(format!("{} case {number} {what}: {error:.1e}", isa.name()));
                }
            };
            check("output", relative_error(&found.output, &forward));
            for (found, expected) in found.d_inputs.iter().zip(&d_inputs) {
                check("input gradient", relative_error(found, expected));
            }
            let error = relative_error(&found.d_weights, &d_weights);
            check("weight gradient", error);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn results_are_the_same_bits_for_any_number_of_threads() {
    for isa in Isa::available() {
        for (number, case) in CASES.iter().enumerate() {
            let one = fast(isa, 1, case, Epilogue::default());
            let more = fast(isa, 3, case, Epilogue::default());
            assert!(
                more.output == one.output
                    && more.d_inputs == one.d_inputs
                    && more.d_weights == one.d_weights,
                "{} case {number}",
                isa.name()
            );
        }
    }
}

#[test]
fn bias_and_activation_follow_the_convolution() {
    let case = &CASES[2];
    let output = case.layer(Isa::available()[0]).output();
    let mut bias = noise(output.blocks() * LANES, 6);
    bias[output.channels..].fill(0.0);
    for isa in Isa::available() {
        let bare = fast(isa, 2, case, Epilogue::default()).output;
        let epilogue = Epilogue::biased(&bias, Activation::Swish);
        let found = fast(isa, 2, case, epilogue).output;
        let pixels = output.height * output.width;
        let with = |(i, &y): (usize, &f32)| {
            let y = f64::from(y + bias[i / pixels % output.channels]);
            plain::activation(Activation::Swish, y)[0]
        };
        let expected: Vec<f64> = bare.iter().enumerate().map(with).collect();
        let error = relative_error(&found, &expected);
        assert!(error < TOLERANCE, "{}: {error:e}", isa.name());
    }
}

#[test]
fn rows_made_in_bands_are_those_of_the_whole() {
    let (workers, isa) = (Workers::new(2), Isa::available()[0]);
    // One part, of which rows are held in turn.
    for case in [&CASES[4], &CASES[5]] {
        let layer = case.layer(isa);
        let (x, weights) = (layer.arrays(10), noise(case.plain().weights(), 1));
        let found = layer.forward_in_bands(&workers, (&x[0], &weights), 2, 3);
        assert_eq!(found, fast(isa, 2, case, Epilogue::default()).output);
    }
}

#[test]
fn activations_are_passes_of_their_own_and_send_gradients_back() {
    let shape = Blocked {
        images: 2,
        channels: 20,
        height: 5,
        width: 3,
    };
    let workers = Workers::new(2);
    let numbers = |k: usize| -> Vec<f32> {
        let number = |i: usize| (i * k % 41) as f32 * 0.5 - 10.0;
        (0..shape.len()).map(number).collect()
    };
    let (x, d, before, mask) = (numbers(7), numbers(11), numbers(3), numbers(5));
    for isa in Isa::available() {
        for activation in [Activation::Relu, Activation::Relu6, Activation::Swish] {
            let mut y = vec![f32::NAN; shape.len()];
            for rows in [3..5, 0..3] {
                let (from, to) = (shape.whole(&x), shape.whole_mut(&mut y));
                elementwise::activate_rows(isa, &workers, &shape, activation, from, to, rows);
            }
            let mut own = x.clone();
            let to = shape.whole_mut(&mut own);
            elementwise::activate_in_place_rows(isa, &workers, &shape, activation, to, 0..5);
            assert_eq!(own, y, "{} {activation:?}", isa.name());
            let mut d_x = before.clone();
            let epilogue = Epilogue {
                accumulate: true,
                mask: Some(&mask),
                ..Epilogue::default()
            };
            let mut sink = Sink {
                data: &mut d_x,
                epilogue,
            };
            let arrays = [&x[..], &y, &d];
            elementwise::activation_gradient(isa, &workers, &shape, activation, arrays, &mut sink);
            let slopes = x
                .iter()
                .map(|&x| plain::activation(activation, f64::from(x)));
            for (i, [value, slope]) in slopes.enumerate() {
                let sent = f64::from(before[i]) + slope * f64::from(d[i]);
                let sent = if mask[i] > 0.0 { sent } else { 0.0 };
                let near = |found: f32, expected: f64| {
                    (f64::from(found) - expected).abs() <= 1e-5 * (1.0 + expected.abs())
                };
                assert!(
                    near(y[i], value) && near(d_x[i], sent),
                    "{} {activation:?} at {}: {} {value}, {} {sent}",
                    isa.name(),
                    x[i],
                    y[i],
                    d_x[i]
                );
            }
        }
    }
}
