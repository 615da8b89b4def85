//! VGG16 without its classifier: 13 convolutions with bias and ReLU, five 2x2 max-pools.
//!
//! Parameter names follow torchvision (`features.N`, N counts convolutions, ReLUs and pools).
//! Skips are taken after the last ReLU of blocks 2 to 5, before the pool, as segmentation_models
//! does.

use super::Features;
use crate::graph::{Activation, Bias, GraphBuilder, Init, NodeId};
use crate::scaling::Scaling;

/// Channels of the convolutions, block by block.
pub(crate) const BLOCKS: [&[usize]; 5] = [
    &[64, 64],
    &[128, 128],
    &[256, 256, 256],
    &[512, 512, 512],
    &[512, 512, 512],
];

pub(super) fn build(builder: &mut GraphBuilder, input: NodeId, scaling: Scaling) -> Features {
    let mut x = input;
    let mut index = 0;
    let mut ends = Vec::new();
    for block in BLOCKS {
        for &channels in block {
            let prefix = format!("encoder.features.{index}");
            x = builder.conv(
                x,
                &prefix,
                scaling.channels(channels),
                Init::HeNormal,
                Bias::Yes,
            );
            x = builder.activation(x, Activation::Relu);
            index += 2;
        }
        ends.push(x);
        x = builder.max_pool(x);
        index += 1;
    }
    Features {
        bottom: x,
        skips: [ends[4], ends[3], ends[2], ends[1]],
        ends_in_pool: true,
    }
}
