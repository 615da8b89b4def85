//! MobileNetV2 1.0 without its classifier: inverted residual blocks of 1x1 and depthwise
//! convolutions.
//!
//! Sandler et al. (2018), "MobileNetV2: Inverted Residuals and Linear Bottlenecks", in
//! torchvision's layout and names (`features.N`). Skips are `features.1`, 3, 6 and 13, the bottom
//! is `features.18`, as segmentation_models.pytorch takes them: the last outputs at their scales.

use super::Features;
use crate::graph::{Activation, GraphBuilder, NodeId, Window};
use crate::scaling::Scaling;

/// Expansion, channels out, blocks, stride of the first block.
const GROUPS: [[usize; 4]; 7] = [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
];
/// Channels of the first and the last convolution.
const ENDS: [usize; 2] = [32, 1280];
/// torchvision's epsilon of batch norm.
const EPSILON: f64 = 1e-5;

const ONE: Window = Window {
    kernel: 1,
    stride: 1,
    before: 0,
};

pub(super) fn build(builder: &mut GraphBuilder, input: NodeId, scaling: Scaling) -> Features {
    let mut layers = Layers(builder);
    let mut outputs = vec![layers.conv_norm_relu6(
        input,
        ["encoder.features.0.0", "encoder.features.0.1"],
        scaling.channels(ENDS[0]),
        three(2),
    )];
    for [expansion, channels, blocks, first_stride] in GROUPS {
        for block in 0..blocks {
            let stride = if block == 0 { first_stride } else { 1 };
            let prefix = format!("encoder.features.{}", outputs.len());
            let x = outputs[outputs.len() - 1];
            outputs.push(layers.block(x, &prefix, expansion, scaling.channels(channels), stride));
        }
    }
    let bottom = layers.conv_norm_relu6(
        outputs[outputs.len() - 1],
        ["encoder.features.18.0", "encoder.features.18.1"],
        scaling.channels(ENDS[1]),
        ONE,
    );
    Features {
        bottom,
        skips: [outputs[13], outputs[6], outputs[3], outputs[1]],
        ends_in_pool: false,
    }
}

/// 3x3 with zero padding 1.
fn three(stride: usize) -> Window {
    Window {
        kernel: 3,
        stride,
        before: 1,
    }
}

struct Layers<'a>(&'a mut GraphBuilder);

impl Layers<'_> {
    fn conv_norm_relu6(
        &mut self,
        x: NodeId,
        [conv, norm]: [&str; 2],
        channels: usize,
        window: Window,
    ) -> NodeId {
        let x = self.0.conv_with(x, conv, channels, window);
        self.norm_relu6(x, norm)
    }

    fn norm_relu6(&mut self, x: NodeId, prefix: &str) -> NodeId {
        let x = self.0.batch_norm(x, prefix, EPSILON);
        self.0.activation(x, Activation::Relu6)
    }

    /// An inverted residual block: expand, look around, project; no activation at the end.
    fn block(
        &mut self,
        input: NodeId,
        prefix: &str,
        expansion: usize,
        channels: usize,
        stride: usize,
    ) -> NodeId {
        let inputs = self.0.channels(input);
        let (mut x, mut index) = (input, 0);
        if expansion > 1 {
            let names = [0, 1].map(|i| format!("{prefix}.conv.0.{i}"));
            let names = names.each_ref().map(String::as_str);
            x = self.conv_norm_relu6(x, names, expansion * inputs, ONE);
            index += 1;
        }
        x = self
            .0
            .depthwise(x, &format!("{prefix}.conv.{index}.0"), three(stride));
        x = self.norm_relu6(x, &format!("{prefix}.conv.{index}.1"));
        x = self
            .0
            .conv_with(x, &format!("{prefix}.conv.{}", index + 1), channels, ONE);
        x = self
            .0
            .batch_norm(x, &format!("{prefix}.conv.{}", index + 2), EPSILON);
        if stride == 1 && inputs == channels {
            x = self.0.add(input, x, 0.0);
        }
        x
    }
}
