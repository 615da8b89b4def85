//! EfficientNet-B4 without its classifier: inverted residual blocks with squeeze-and-excitation and
//! swish.
//!
//! Tan & Le (2019), "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", as
//! segmentation_models 1.0.1 takes it from efficientnet 1.0.0: skips are the *expanded* arrays in
//! the first block of stages 2, 3, 4 and 6; convolutions of stride 2 are padded as TensorFlow does,
//! one more row and column below and to the right; batch norm as in Keras. Parameter names are
//! torchvision's (`features.STAGE.BLOCK.block.N`), which pads evenly and has another epsilon;
//! `weights` says what that changes.

use super::Features;
use crate::graph::{Activation, GraphBuilder, NodeId, Window};
use crate::scaling::Scaling;

/// Keras' epsilon of batch norm.
const EPSILON: f64 = 1e-3;
/// Kernel, blocks, channels out, expansion, stride of the first block (Tan & Le 2019, scaled to
/// B4).
pub(crate) const STAGES: [[usize; 5]; 7] = [
    [3, 2, 24, 1, 1],
    [3, 4, 32, 6, 2],
    [5, 4, 56, 6, 2],
    [3, 6, 112, 6, 2],
    [5, 6, 160, 6, 1],
    [5, 8, 272, 6, 2],
    [3, 2, 448, 6, 1],
];
/// Channels of the first and the last convolution.
const ENDS: [usize; 2] = [48, 1792];
/// Stages whose first block's expanded array is a skip, deepest first.
const SKIPS: [usize; 4] = [6, 4, 3, 2];
/// The channels of a block are squeezed to its input's divided by this.
pub(crate) const SQUEEZE: usize = 4;
/// Block `i` of all is dropped with probability `DROP[0] * i / DROP[1]`: efficientnet 1.0.0 divides
/// by the blocks of B0, so that the last of B4's 32 reaches 0.3875 instead of 0.2.
const DROP: [f64; 2] = [0.2, 16.0];

pub(super) fn build(builder: &mut GraphBuilder, input: NodeId, scaling: Scaling) -> Features {
    let mut layers = Layers(builder);
    let first = scaling.channels(ENDS[0]);
    let mut x = layers
        .0
        .conv_with(input, "encoder.features.0.0", first, window(3, 2));
    x = layers.norm_swish(x, "encoder.features.0.1");
    let mut skips = Vec::new();
    let mut index = 0;
    for (stage, [kernel, blocks, channels, expansion, stride]) in (1..).zip(STAGES) {
        for block in 0..blocks {
            let built = layers.block(
                x,
                &InvertedResidual {
                    prefix: format!("encoder.features.{stage}.{block}.block"),
                    expansion,
                    channels: scaling.channels(channels),
                    window: window(kernel, if block == 0 { stride } else { 1 }),
                    drop: DROP[0] * f64::from(index) / DROP[1],
                },
            );
            if block == 0 && SKIPS.contains(&stage) {
                skips.push(built.expanded);
            }
            x = built.out;
            index += 1;
        }
    }
    x = layers.0.conv_with(
        x,
        "encoder.features.8.0",
        scaling.channels(ENDS[1]),
        window(1, 1),
    );
    let [s2, s3, s4, s6] = skips[..] else {
        unreachable!("one array of each of four stages")
    };
    Features {
        bottom: layers.norm_swish(x, "encoder.features.8.1"),
        skips: [s6, s4, s3, s2],
        ends_in_pool: false,
    }
}

/// TensorFlow's `same` padding of sides that the stride divides.
fn window(kernel: usize, stride: usize) -> Window {
    Window {
        kernel,
        stride,
        before: (kernel - stride) / 2,
    }
}

/// An inverted residual block.
struct InvertedResidual {
    prefix: String,
    expansion: usize,
    channels: usize,
    window: Window,
    drop: f64,
}

struct Built {
    expanded: NodeId,
    out: NodeId,
}

struct Layers<'a>(&'a mut GraphBuilder);

impl Layers<'_> {
    fn norm_swish(&mut self, x: NodeId, prefix: &str) -> NodeId {
        let x = self.0.batch_norm(x, prefix, EPSILON);
        self.0.activation(x, Activation::Swish)
    }

    /// Expand, look around, weigh the channels, project; no activation at the end.
    fn block(&mut self, input: NodeId, block: &InvertedResidual) -> Built {
        let inputs = self.0.channels(input);
        let expands = block.expansion > 1;
        // Parts are counted; the first is missing where nothing is expanded.
        let name = |part: usize, rest: &str| {
            format!("{}.{}{rest}", block.prefix, part - usize::from(!expands))
        };
        let mut x = input;
        if expands {
            let channels = block.expansion * inputs;
            x = self.0.conv_with(x, &name(0, ".0"), channels, window(1, 1));
            x = self.norm_swish(x, &name(0, ".1"));
        }
        let expanded = x;
        x = self.0.depthwise(x, &name(1, ".0"), block.window);
        x = self.norm_swish(x, &name(1, ".1"));
        x = self
            .0
            .squeeze_excite(x, &name(2, ""), (inputs / SQUEEZE).max(1));
        x = self
            .0
            .conv_with(x, &name(3, ".0"), block.channels, window(1, 1));
        x = self.0.batch_norm(x, &name(3, ".1"), EPSILON);
        if block.window.stride == 1 && inputs == block.channels {
            x = self.0.add(input, x, block.drop);
        }
        Built { expanded, out: x }
    }
}
