//! The convolutions that are not Winograd's: 1x1, depthwise, and the first layer.

use crate::{Options, Roof, fastest, filled, show};
use stainfree_kernels::activation::Activation;
use stainfree_kernels::blocked::{Rows, RowsMut, blocks};
use stainfree_kernels::convolution::{Convolution, ConvolutionScratch};
use stainfree_kernels::depthwise::{Depthwise, Window};
use stainfree_kernels::epilogue::{Epilogue, Sink};
use stainfree_kernels::patches::Patches;
use stainfree_kernels::pointwise::Pointwise;
use stainfree_kernels::{Buffer, Isa, LANES, Workers};

/// A layer: what it reads is `2^level` times smaller than the image.
enum Layer {
    Pointwise(usize, usize),
    Depthwise(usize, Window),
    Patches(usize, usize, Window),
}
use Layer::{Depthwise as D, Patches as F, Pointwise as P};

const fn window(kernel: usize, stride: usize) -> Window {
    Window {
        kernel,
        stride,
        before: (kernel - stride) / 2,
    }
}

/// The first layer of VGG16, layers of EfficientNet-B4 (the first of each kind and scale) and the
/// largest of MobileNetV2, with their levels.
const LAYERS: [(usize, Layer); 21] = [
    (0, F(3, 64, window(3, 1))),
    (0, F(3, 48, window(3, 2))),
    (1, D(48, window(3, 1))),
    (1, P(48, 24)),
    (1, P(24, 144)),
    (1, D(144, window(3, 2))),
    (2, P(144, 32)),
    (2, P(32, 192)),
    (2, D(192, window(3, 1))),
    (2, D(192, window(5, 2))),
    (3, P(56, 336)),
    (3, D(336, window(5, 1))),
    (3, P(336, 56)),
    (4, D(672, window(3, 1))),
    (4, P(160, 960)),
    (4, D(960, window(5, 1))),
    (4, P(960, 160)),
    (5, D(1632, window(5, 1))),
    (5, P(1632, 272)),
    (5, P(448, 1792)),
    (1, P(16, 96)),
];

/// A convolution and the arrays it works on.
struct Case {
    title: String,
    kernel: Convolution,
    x: Buffer,
    out: Buffer,
    filters: Buffer,
    /// Rows of what is read and of what is written.
    heights: [usize; 2],
    /// Work of a pass, in units of 1e9 operations: as counted, and with channels filled up.
    work: [f64; 2],
}

/// One line for each pass of every layer.
pub(crate) fn convolutions(options: &Options, isa: Isa, workers: &Workers, roof: &Roof) {
    println!("\nwith swish behind every forward pass, as in EfficientNet; f32");
    for (level, layer) in &LAYERS {
        measure(
            Case::new(options, isa, *level, layer),
            options,
            workers,
            roof,
        );
    }
}

impl Case {
    fn new(options: &Options, isa: Isa, level: usize, layer: &Layer) -> Self {
        let (images, side) = (options.batch, options.side >> level);
        let size = [side; 2];
        let (inputs, outputs, window) = match *layer {
            P(inputs, outputs) => (inputs, outputs, window(1, 1)),
            D(channels, window) => (channels, channels, window),
            F(inputs, outputs, window) => (inputs, outputs, window),
        };
        let made = side / window.stride;
        let taps = window.kernel * window.kernel;
        let pixels = images * made * made;
        let work = |products: usize| 2e-9 * (pixels * products) as f64;
        let padded = |channels: usize| blocks(channels) * LANES;
        let (kernel, len, name, products) = match layer {
            P(..) => {
                let kernel = Pointwise::new(isa, images, size, inputs, outputs);
                let (len, products) = (
                    kernel.blocked_len(),
                    [inputs * outputs, padded(inputs) * padded(outputs)],
                );
                (
                    Convolution::Pointwise(kernel),
                    len,
                    "1x1".to_owned(),
                    products,
                )
            }
            D(..) => {
                let kernel = Depthwise::new(isa, images, inputs, size, window);
                let (len, products) =
                    (kernel.blocked_len(), [taps * inputs, taps * padded(inputs)]);
                (
                    Convolution::Depthwise(kernel),
                    len,
                    format!("depthwise {0}x{0} / {1}", window.kernel, window.stride),
                    products,
                )
            }
            F(..) => {
                let kernel = Patches::new(isa, images, inputs, outputs, size, window);
                let (len, products) = (
                    kernel.blocked_len(),
                    [
                        taps * inputs * outputs,
                        padded(taps * inputs) * padded(outputs),
                    ],
                );
                (
                    Convolution::Patches(kernel),
                    len,
                    format!("{0}x{0} / {1}", window.kernel, window.stride),
                    products,
                )
            }
        };
        let array = |channels: usize, side: usize| filled(images * padded(channels) * side * side);
        let channels = if inputs == outputs {
            inputs.to_string()
        } else {
            format!("{inputs} to {outputs}")
        };
        let filters = filled(len);
        Self {
            title: format!("{name} {channels}"),
            kernel,
            x: array(inputs, side),
            out: array(outputs, made),
            filters,
            heights: [side, made],
            work: products.map(work),
        }
    }
}

fn measure(case: Case, options: &Options, workers: &Workers, roof: &Roof) {
    let Case {
        title,
        kernel,
        x,
        mut out,
        filters,
        heights: [height, made],
        work,
    } = case;
    let bytes = (size_of::<f32>() * (x.len() + out.len() + filters.len())) as f64;
    let epilogue = Epilogue {
        activation: Activation::Swish,
        ..Epilogue::default()
    };
    let forward = fastest(|| {
        let rows = Rows {
            data: &x,
            kept: height,
        };
        let to = RowsMut {
            data: &mut out,
            kept: made,
        };
        kernel.forward_rows(workers, &[rows], &filters, epilogue, to, 0..made);
    });
    let side = options.side.min(height);
    show(&title, side, "forward", forward, work, bytes, roof);
    // Below the first layer lies the image.
    if !matches!(kernel, Convolution::Patches(_)) {
        let mut room = Buffer::default();
        let turned = kernel.prepare_turned(workers, &filters, &mut room);
        let mut d_x = Buffer::zeros(x.len());
        let seconds = fastest(|| {
            kernel.input_gradient(workers, &out, turned, &mut [Sink::new(&mut d_x)]);
        });
        show("", side, "input gradient", seconds, work, bytes, roof);
    }
    let mut d_filters = Buffer::zeros(filters.len());
    let mut scratch = ConvolutionScratch::default();
    let seconds = fastest(|| {
        kernel.weight_gradient(workers, &[&x], &out, &mut d_filters, &mut scratch);
    });
    show("", side, "weight gradient", seconds, work, bytes, roof);
}
