//! Which of the kernels' convolutions a layer takes.

use crate::plan::ConvStep;
use stainfree_kernels::convolution::Convolution;
use stainfree_kernels::depthwise::Depthwise;
use stainfree_kernels::patches::Patches;
use stainfree_kernels::pointwise::Pointwise;
use stainfree_kernels::winograd::{Part, Winograd};
use stainfree_kernels::{Blocked, Isa};

/// Convolutions at the image's resolution and at half of it are always f32: they hold a quarter of
/// the products but cause 40 % of the differences that bf16 makes to predicted classes
/// (docs/performance.md).
const LEAST_BF16_LEVEL: usize = 2;

fn precision_of(isa: Isa, step: &ConvStep) -> Isa {
    if step.level < LEAST_BF16_LEVEL {
        isa.f32()
    } else {
        isa
    }
}

/// The convolution of `step` that writes `out`; `shape` tells a value's.
///
/// # Panics
/// If no kernel does it; graphs come from this crate.
pub(crate) fn pick(isa: Isa, step: &ConvStep, shape: impl Fn(usize) -> Blocked) -> Convolution {
    let out = shape(step.to);
    let isa = precision_of(isa, step);
    if let Some(tile) = step.tile {
        let part = |input: &crate::plan::Input| Part {
            channels: shape(input.value).channels,
            upsampled: input.upsampled,
        };
        let parts: Vec<Part> = step.inputs.iter().map(part).collect();
        let (height, width) = (out.height, out.width);
        let conv = Winograd::new(isa, out.images, height, width, &parts, out.channels);
        return Convolution::from(conv.tiled(tile));
    }
    let [input] = &step.inputs[..] else {
        panic!("`{}` reads several arrays", step.weight)
    };
    assert!(
        !input.upsampled,
        "`{}` reads an up-sampled array",
        step.weight
    );
    let from = shape(input.value);
    let (images, size, window) = (from.images, [from.height, from.width], step.window);
    if step.depthwise {
        Convolution::Depthwise(Depthwise::new(isa, images, from.channels, size, window))
    } else if (window.kernel, window.stride) == (1, 1) {
        Convolution::Pointwise(Pointwise::new(
            isa,
            images,
            size,
            from.channels,
            out.channels,
        ))
    } else {
        assert_eq!(input.value, 0, "patches are for the first layer");
        let (inputs, outputs) = (from.channels, out.channels);
        Convolution::Patches(Patches::new(isa, images, inputs, outputs, size, window))
    }
}
