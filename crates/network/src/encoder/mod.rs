//! The encoders a U-Net can stand on: one file each, one variant of [`Encoder`].

mod efficientnet_b4;
mod mobilenet_v2;
mod vgg16;

// Other programs' networks of the same architectures, which differ in names and padding.
pub(crate) use efficientnet_b4::{SQUEEZE as EFFICIENTNET_B4_SQUEEZE, STAGES as EFFICIENTNET_B4};
pub(crate) use vgg16::BLOCKS as VGG16;

use crate::graph::{GraphBuilder, NodeId};
use crate::scaling::Scaling;
use serde::{Deserialize, Serialize};

/// The encoder of a U-Net.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoder {
    /// VGG16 (Simonyan & Zisserman 2015), the paper's choice.
    Vgg16,
    /// MobileNetV2 (Sandler et al. 2018), for small machines.
    MobilenetV2,
    /// EfficientNet-B4 (Tan & Le 2019), the paper's other choice.
    EfficientnetB4,
}

/// What an encoder hands to the decoder.
pub(crate) struct Features {
    /// The deepest feature, at 1/32.
    pub(crate) bottom: NodeId,
    /// Features at 1/16, 1/8, 1/4 and 1/2 that the decoder joins again.
    pub(crate) skips: [NodeId; 4],
    /// Whether the encoder ends in a pool, which asks for a centre block.
    pub(crate) ends_in_pool: bool,
}

impl Encoder {
    /// Every encoder there is.
    pub const ALL: [Encoder; 3] = [
        Encoder::Vgg16,
        Encoder::MobilenetV2,
        Encoder::EfficientnetB4,
    ];

    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Encoder::Vgg16 => "vgg16",
            Encoder::MobilenetV2 => "mobilenet-v2",
            Encoder::EfficientnetB4 => "efficientnet-b4",
        }
    }

    /// The encoder called `name`.
    pub fn parse(name: &str) -> Option<Encoder> {
        Self::ALL.into_iter().find(|e| e.name() == name)
    }

    pub(crate) fn build(
        self,
        builder: &mut GraphBuilder,
        input: NodeId,
        scaling: Scaling,
    ) -> Features {
        match self {
            Encoder::Vgg16 => vgg16::build(builder, input, scaling),
            Encoder::MobilenetV2 => mobilenet_v2::build(builder, input, scaling),
            Encoder::EfficientnetB4 => efficientnet_b4::build(builder, input, scaling),
        }
    }
}
