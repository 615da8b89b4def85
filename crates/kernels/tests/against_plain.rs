//! Every instruction set and several thread counts against the definitions in f64, at the sizes
//! where tiles, blocks and images end.

mod common;

use common::layer::{Layer, planar_len};
use common::{noise, packed, unpacked};
use stainfree_kernels::activation::Activation;
use stainfree_kernels::batch_norm::{self, ForwardRecord};
use stainfree_kernels::convolution::Convolution;
use stainfree_kernels::epilogue::{Epilogue, Sink};
use stainfree_kernels::plain::{self, relative_error};
use stainfree_kernels::winograd::{GradientScratch, Part, TileSize, Winograd};
use stainfree_kernels::{Blocked, Buffer, Isa, LANES, Precision, Workers, elementwise, max_pool};

/// The convolution with its filters, which puts weights into their order.
fn layer(conv: &Winograd) -> Convolution {
    Convolution::Winograd(conv.clone(), conv.filters())
}

/// F(4x4, 3x3) at these points has the error of a direct f32 sum: at 512 channels of noise without
/// a mean 2.1e-6 from one running sum, 1.1e-6 from sums of 128 channels. F(6x6, 3x3) has four times
/// that, 4.7e-6, of which 5e-6 are allowed. With bf16 factors (rounded by up to 2^-9) the former
/// has twice that of a direct bf16 sum; on noise without a mean, as here, 1.1e-2 to 1.2e-2 from
/// many channels, up to 1.9e-2 from a single pixel.
fn conv_tolerance(isa: Isa, tile: TileSize) -> f64 {
    match (isa.precision(), tile) {
        (Precision::F32, TileSize::Four) => 2.5e-6,
        (Precision::F32, TileSize::Six) => 5e-6,
        (Precision::Bf16, _) => 2e-2,
    }
}

/// Tiles of 6x6 are for f32.
fn tiles(isa: Isa) -> &'static [TileSize] {
    match isa.precision() {
        Precision::F32 => &[TileSize::Four, TileSize::Six],
        Precision::Bf16 => &[TileSize::Four],
    }
}

/// Every instruction set, and the one with bf16 where there is one.
fn all() -> Vec<Isa> {
    let mut all = Isa::available();
    all.extend(all[0].bf16());
    all
}

/// Images, parts (channels, up-sampled), channels out, height, width.
type Case = (usize, &'static [(usize, bool)], usize, usize, usize);

const CASES: &[Case] = &[
    (1, &[(1, false)], 1, 1, 1),
    (2, &[(3, false)], 16, 5, 7),
    (1, &[(16, false)], 32, 4, 4),
    (1, &[(17, false)], 33, 9, 6),
    (3, &[(32, false)], 64, 8, 13),
    (1, &[(64, false)], 48, 21, 3),
    (2, &[(16, true)], 16, 12, 8),
    (2, &[(20, true), (9, false)], 40, 10, 14),
    (1, &[(4, true), (4, false)], 4, 6, 2),
    (1, &[(160, false)], 32, 12, 40),
    // More input channels than a slice of filters has, and no multiple of it.
    (1, &[(200, true), (90, false)], 20, 6, 10),
    (2, &[(50, false)], 17, 9, 7),
    (1, &[(48, false)], 1, 1, 1),
    (1, &[(40, true), (20, false)], 40, 10, 14),
    // As many as tiles of 6x6 are used for, and up-sampling under tiles that end in the image.
    (1, &[(512, false)], 32, 12, 18),
    (1, &[(33, true), (31, false)], 48, 20, 14),
    // More tiles than one pass of the weight gradient takes.
    (1, &[(3, false)], 16, 100, 100),
];

/// Everything about one convolution, in f32: output, input gradients, weight gradient.
fn fast(
    isa: Isa,
    tile: TileSize,
    threads: usize,
    case: &Case,
) -> (Vec<f32>, Vec<Vec<f32>>, Vec<f32>) {
    let (workers, layer) = (Workers::new(threads), of_case(isa, tile, case));
    let (x, weights) = (layer.arrays(10), noise(layer.plain.weights(), 1));
    let dy = noise(planar_len(&layer.output()), 99);
    (
        layer.forward(&workers, &x, &weights, Epilogue::default()),
        layer.input_gradients(&workers, &dy, &weights, None),
        layer.weight_gradient(&workers, &x, &dy),
    )
}

fn of_case(isa: Isa, tile: TileSize, case: &Case) -> Layer {
    let &(images, parts, outputs, height, width) = case;
    let part = |&(channels, upsampled): &(usize, bool)| Part {
        channels,
        upsampled,
    };
    let of_parts: Vec<Part> = parts.iter().map(part).collect();
    let conv = Winograd::new(isa, images, height, width, &of_parts, outputs).tiled(tile);
    let total = parts.iter().map(|p| p.0).sum();
    Layer {
        conv: layer(&conv),
        plain: plain::Definition::same_3x3(images, total, outputs, [height, width]),
        parts: parts.to_vec(),
    }
}

#[test]
fn convolution_and_gradients_match_the_definition() {
    let mut failures = Vec::new();
    for case in CASES {
        let of_plain = of_case(Isa::available()[0], TileSize::Four, case);
        let plain = of_plain.plain;
        let total = plain.inputs;
        let weights = noise(plain.weights(), 1);
        // The definition sees the joined, up-sampled input.
        let joined = of_plain.join(&of_plain.arrays(10));
        let dy = noise(planar_len(&of_plain.output()), 99);
        let forward = plain.forward(&joined, &weights);
        let d_joined = plain.input_gradient(&weights, &dy);
        let d_weights = plain.weight_gradient(&joined, &dy);
        let d_parts = of_plain.part(&d_joined, None);
        let variants = all()
            .into_iter()
            .flat_map(|isa| tiles(isa).iter().map(move |&tile| (isa, tile)));
        for (isa, tile) in variants {
            let found = fast(isa, tile, 2, case);
            let mut check = |what: &str, error: f64| {
                // bf16 that is as exact as f32 is none; few channels are f32 for good reason.
                let bf16 = isa.precision() == Precision::Bf16 && total >= 48;
                let least = if bf16 { 1e-4 } else { 0.0 };
                if !(least..=conv_tolerance(isa, tile)).contains(&error) {
                    let precision = isa.precision().name();
                    failures.push(format!(
                        "{} {precision} {tile:?} {case:?} {what}: {error:.1e}",
                        isa.name()
                    ));
                }
            };
            check("output", relative_error(&found.0, &forward));
            for (part, expected) in found.1.iter().zip(&d_parts) {
                check("input gradient", relative_error(part, expected));
            }
            check("weight gradient", relative_error(&found.2, &d_weights));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn results_are_the_same_bits_for_any_number_of_threads() {
    for isa in all() {
        // Large enough for several groups and chunks.
        let cases: [Case; 2] = [
            (2, &[(32, true), (16, false)], 48, 64, 72),
            (1, &[(3, false)], 16, 130, 127),
        ];
        for case in cases {
            for &tile in tiles(isa) {
                let one = fast(isa, tile, 1, &case);
                for threads in [2, 3, 5] {
                    assert!(
                        fast(isa, tile, threads, &case) == one,
                        "{} {tile:?} with {threads} threads, {case:?}",
                        isa.name()
                    );
                }
            }
        }
    }
}

#[test]
fn filled_up_channels_stay_zero() {
    let isa = Isa::available()[0];
    let workers = Workers::new(1);
    let conv = Winograd::new(
        isa,
        1,
        6,
        6,
        &[Part {
            channels: 5,
            upsampled: false,
        }],
        3,
    );
    let bank = conv.filters();
    let mut blocked = Buffer::zeros(bank.blocked_len());
    layer(&conv).block(&noise(3 * 5 * 9, 1), &mut blocked);
    let mut filters = Buffer::default();
    bank.transform(&workers, &blocked, &mut filters);
    let shape = Blocked {
        images: 1,
        channels: 5,
        height: 6,
        width: 6,
    };
    let x = packed(&workers, &shape, &noise(5 * 36, 2));
    let mut out = Buffer::zeros(36 * LANES);
    let mut bias = [0.0; LANES];
    bias[..3].fill(0.5);
    let epilogue = Epilogue::biased(&bias, Activation::Relu);
    conv.forward(&workers, &[&x], &filters, epilogue, &mut out);
    assert!(
        out.chunks(LANES)
            .all(|lanes| lanes[3..].iter().all(|&v| v == 0.0))
    );
    assert!(out.iter().all(|&v| v >= 0.0) && out.iter().any(|&v| v > 0.5));
    let mut d_blocked = Buffer::zeros(bank.blocked_len());
    conv.weight_gradient(
        &workers,
        &[&x],
        &out,
        &mut d_blocked,
        &mut GradientScratch::default(),
    );
    let real = d_blocked.iter().filter(|&&v| v != 0.0).count();
    assert!(
        real <= 3 * 5 * 9,
        "{real} places of the gradient are not zero"
    );
}

#[test]
fn every_activation_may_follow_a_convolution() {
    // Whole tiles and such that end in the image, for both sizes of them.
    let (images, inputs, outputs, size) = (2, 20, 33, [14, 19]);
    let [height, width] = size;
    let shape = |channels| Blocked {
        images,
        channels,
        height,
        width,
    };
    let workers = Workers::new(2);
    let weights = noise(outputs * inputs * 9, 1);
    let planar = noise(images * inputs * height * width, 2);
    let plain = plain::Definition::same_3x3(images, inputs, outputs, size);
    let sums = plain.forward(&planar, &weights);
    let x = packed(&workers, &shape(inputs), &planar);
    let mut bias = noise(shape(outputs).blocks() * LANES, 3);
    bias[outputs..].fill(0.0);
    let part = Part {
        channels: inputs,
        upsampled: false,
    };
    let activations = [Activation::None, Activation::Relu6, Activation::Swish];
    for isa in Isa::available() {
        for (&tile, activation) in tiles(isa)
            .iter()
            .flat_map(|tile| activations.map(|activation| (tile, activation)))
        {
            let conv = Winograd::new(isa, images, height, width, &[part], outputs).tiled(tile);
            let bank = conv.filters();
            let mut blocked = Buffer::zeros(bank.blocked_len());
            layer(&conv).block(&weights, &mut blocked);
            let mut filters = Buffer::default();
            bank.transform(&workers, &blocked, &mut filters);
            let mut out = Buffer::zeros(shape(outputs).len());
            let epilogue = Epilogue::biased(&bias, activation);
            conv.forward(&workers, &[&x], &filters, epilogue, &mut out);
            let expected: Vec<f64> = sums
                .iter()
                .enumerate()
                .map(|(i, sum)| {
                    let channel = i / (height * width) % outputs;
                    plain::activation(activation, sum + f64::from(bias[channel]))[0]
                })
                .collect();
            let found = unpacked(&workers, &shape(outputs), &out);
            let error = relative_error(&found, &expected);
            assert!(
                error < conv_tolerance(isa, tile),
                "{} {tile:?} {activation:?}: {error:e}",
                isa.name()
            );
        }
    }
}

#[test]
fn sinks_accumulate_and_mask() {
    let isa = Isa::available()[0];
    let workers = Workers::new(2);
    let conv = Winograd::new(
        isa,
        1,
        7,
        5,
        &[Part {
            channels: 16,
            upsampled: false,
        }],
        16,
    );
    let bank = conv.filters();
    let mut blocked = Buffer::zeros(bank.blocked_len());
    layer(&conv).block(&noise(16 * 16 * 9, 1), &mut blocked);
    let mut filters = Buffer::default();
    bank.transform_turned(&workers, &blocked, &mut filters);
    let dy = noise(35 * LANES, 3);
    let mask = noise(35 * LANES, 4);
    let gradient = |start: f32, accumulate: bool, mask: Option<&[f32]>| {
        let mut data = vec![start; 35 * LANES];
        let mut sinks = [Sink::new(&mut data)];
        sinks[0].epilogue.accumulate = accumulate;
        sinks[0].epilogue.mask = mask;
        conv.input_gradient(&workers, &dy, &filters, &mut sinks);
        data
    };
    let plain = gradient(7.0, false, None);
    let summed = gradient(1.0, true, None);
    let masked = gradient(1.0, true, Some(&mask));
    for i in 0..plain.len() {
        assert_eq!(summed[i], plain[i] + 1.0);
        assert_eq!(masked[i], if mask[i] > 0.0 { summed[i] } else { 0.0 });
    }
}

#[test]
fn pooling_takes_the_largest_and_sends_its_gradient_back_once() {
    let shape = Blocked {
        images: 2,
        channels: 18,
        height: 4,
        width: 6,
    };
    let workers = Workers::new(2);
    // Few different values, so that blocks have ties; the first in row order wins.
    let planar: Vec<f32> = noise(2 * 18 * 24, 5)
        .iter()
        .map(|x| (x * 3.0).round())
        .collect();
    let x = packed(&workers, &shape, &planar);
    let small = Blocked {
        height: 2,
        width: 3,
        ..shape
    };
    let d_planar = noise(2 * 18 * 6, 6);
    let d_out = packed(&workers, &small, &d_planar);
    let (mut expected, mut d_expected) = (vec![], vec![0.0; planar.len()]);
    for plane in 0..2 * 18 {
        for y in 0..2 {
            for x in 0..3 {
                let places = [0, 1, 6, 7].map(|o| plane * 24 + 2 * y * 6 + 2 * x + o);
                let best = places
                    .into_iter()
                    .reduce(|a, b| if planar[b] > planar[a] { b } else { a })
                    .unwrap();
                d_expected[best] = d_planar[expected.len()];
                expected.push(planar[best]);
            }
        }
    }
    for isa in Isa::available() {
        let mut out = vec![f32::NAN; small.len()];
        max_pool::forward(isa, &workers, &shape, &x, &mut out);
        assert_eq!(unpacked(&workers, &small, &out), expected, "{}", isa.name());
        for (accumulate, relu) in [(false, false), (true, false), (true, true)] {
            let mut d_x = vec![1.0; shape.len()];
            let mut sink = Sink::new(&mut d_x);
            sink.epilogue.accumulate = accumulate;
            sink.epilogue.mask = relu.then_some(&x[..]);
            max_pool::backward(isa, &workers, &shape, &x, &d_out, &mut sink);
            let found = unpacked(&workers, &shape, &d_x);
            for i in 0..found.len() {
                let sum = d_expected[i] + if accumulate { 1.0 } else { 0.0 };
                let wanted = if relu && planar[i] <= 0.0 { 0.0 } else { sum };
                assert_eq!(
                    found[i],
                    wanted,
                    "{} {accumulate} {relu} at {i}",
                    isa.name()
                );
            }
        }
    }
}

#[test]
fn batch_norm_and_its_gradients_match_the_definition() {
    let shape = Blocked {
        images: 3,
        channels: 19,
        height: 5,
        width: 7,
    };
    let (pixels, epsilon) = (35, 1e-3);
    let workers = Workers::new(2);
    let planar: Vec<f32> = noise(3 * 19 * pixels, 7)
        .iter()
        .map(|x| x * 2.0 + 0.3)
        .collect();
    let d_planar = noise(planar.len(), 8);
    let mut gamma = noise(2 * LANES, 9);
    let mut beta = noise(2 * LANES, 10);
    gamma[19..].fill(0.0);
    beta[19..].fill(0.0);
    let x = packed(&workers, &shape, &planar);
    let values = |array: &[f32], c: usize| -> Vec<f64> {
        (0..3)
            .flat_map(|n| {
                array[(n * 19 + c) * pixels..][..pixels]
                    .iter()
                    .map(|&v| f64::from(v))
            })
            .collect()
    };
    let activations = [
        Activation::None,
        Activation::Relu,
        Activation::Relu6,
        Activation::Swish,
    ];
    let each = Isa::available()
        .into_iter()
        .flat_map(|isa| activations.map(|a| (isa, a)));
    for (isa, activation) in each {
        let statistics = batch_norm::statistics(isa, &workers, &shape, &x);
        let (mut scale, mut shift) = (vec![], vec![]);
        for c in 0..2 * LANES {
            let a = f64::from(gamma[c]) / (statistics.variance[c] + epsilon).sqrt();
            scale.push(a as f32);
            shift.push((f64::from(beta[c]) - a * statistics.mean[c]) as f32);
        }
        let mut y = vec![0.0; shape.len()];
        batch_norm::scale_shift(
            isa, &workers, &shape, &x, &scale, &shift, activation, &mut y,
        );
        let mut d = packed(&workers, &shape, &d_planar);
        let forward = ForwardRecord {
            x: &x,
            y: &y,
            activation,
            scale: &scale,
            shift: &shift,
            statistics: &statistics,
            gamma: &gamma,
            epsilon,
        };
        let (d_gamma, d_beta) = batch_norm::backward(isa, &workers, &shape, &forward, &mut d);
        let (y, d) = (
            unpacked(&workers, &shape, &y),
            unpacked(&workers, &shape, &d),
        );
        for c in 0..19 {
            let (v, dv) = (values(&planar, c), values(&d_planar, c));
            let n = v.len() as f64;
            let mean = v.iter().sum::<f64>() / n;
            let variance = v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            // Rows of 7 in f32: a few parts in 1e7 of the mean square (about 1.4).
            assert!(
                (statistics.mean[c] - mean).abs() < 1e-6
                    && (statistics.variance[c] - variance).abs() < 1e-6
            );
            let inverse = 1.0 / (variance + epsilon).sqrt();
            let hat: Vec<f64> = v.iter().map(|x| (x - mean) * inverse).collect();
            let (g, b) = (f64::from(gamma[c]), f64::from(beta[c]));
            let masked: Vec<f64> = hat
                .iter()
                .zip(&dv)
                .map(|(h, d)| d * plain::activation(activation, g * h + b)[1])
                .collect();
            let sum: f64 = masked.iter().sum();
            let product: f64 = masked.iter().zip(&hat).map(|(d, h)| d * h).sum();
            assert!(
                (f64::from(d_gamma[c]) - product).abs() < 1e-5,
                "{}",
                isa.name()
            );
            assert!((f64::from(d_beta[c]) - sum).abs() < 1e-5, "{}", isa.name());
            for ((h, m), (y, d)) in hat
                .iter()
                .zip(&masked)
                .zip(values(&y, c).iter().zip(values(&d, c)))
            {
                let expected = plain::activation(activation, g * h + b)[0];
                assert!((y - expected).abs() < 1e-5, "{activation:?}");
                assert!((d - g * inverse * (m - sum / n - h * product / n)).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn channel_sums_add_images_and_pixels() {
    let shape = Blocked {
        images: 2,
        channels: 17,
        height: 3,
        width: 4,
    };
    let workers = Workers::new(2);
    // Small halves are exact in f32, so rounding excuses nothing.
    let planar: Vec<f32> = (0..2 * 17 * 12).map(|i| (i % 23) as f32 * 0.5).collect();
    let x = packed(&workers, &shape, &planar);
    for isa in Isa::available() {
        let sums = elementwise::channel_sums(isa, &workers, &shape, &x);
        for (c, &found) in sums.iter().enumerate() {
            let image = |n: usize| planar.get((n * 17 + c) * 12..(n * 17 + c + 1) * 12);
            let expected: f32 = if c < 17 {
                (0..2).flat_map(|n| image(n).unwrap()).sum()
            } else {
                0.0
            };
            assert_eq!(found, expected, "{} channel {c}", isa.name());
        }
    }
}
