//! The kernels' convolution of a layer, as `lower` picked it, in one shape.

use crate::lower::{Algorithm, Kernel};
use crate::program::{ConvStep, Input, ValueId};
use stainfree_kernels::Blocked;
use stainfree_kernels::convolution::Convolution;
use stainfree_kernels::dense::Dense;
use stainfree_kernels::depthwise::Depthwise;
use stainfree_kernels::patches::Patches;
use stainfree_kernels::pointwise::Pointwise;
use stainfree_kernels::winograd::{Part, Winograd};

/// The convolution of `step` by `kernel`, which was picked for it; `shape` tells a value's.
pub(crate) fn convolution(
    kernel: Kernel,
    step: &ConvStep,
    shape: impl Fn(ValueId) -> Blocked,
) -> Convolution {
    let Kernel { algorithm, isa } = kernel;
    let (out, first, window) = (shape(step.to), step.inputs[0], step.window);
    let part = |input: &Input| Part {
        channels: shape(input.value).channels,
        upsampled: input.upsampled,
    };
    let parts = || step.inputs.iter().map(part).collect::<Vec<Part>>();
    let Blocked {
        images,
        channels,
        height,
        width,
    } = shape(first.value);
    let (size, outputs) = ([height, width], out.channels);
    match algorithm {
        Algorithm::Winograd(tile) => {
            let conv = Winograd::new(isa, images, out.height, out.width, &parts(), outputs);
            Convolution::from(conv.tiled(tile))
        }
        Algorithm::Depthwise => {
            Convolution::Depthwise(Depthwise::new(isa, images, channels, size, window))
        }
        Algorithm::Pointwise => {
            Convolution::Pointwise(Pointwise::new(isa, images, size, channels, outputs))
        }
        Algorithm::Patches => {
            Convolution::Patches(Patches::new(isa, images, channels, outputs, size, window))
        }
        Algorithm::Dense => {
            let size = size.map(|side| side << usize::from(first.upsampled));
            Convolution::Dense(Dense::new(isa, images, &parts(), outputs, size, window))
        }
    }
}
