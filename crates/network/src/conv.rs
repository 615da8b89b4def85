//! The convolutions of the kernels behind one face: which one a layer takes is decided here.

use crate::plan::ConvStep;
use stainfree_kernels::activation::{Activation, Finish};
use stainfree_kernels::blocked::{Rows, RowsMut};
use stainfree_kernels::depthwise::Depthwise;
use stainfree_kernels::patches::Patches;
use stainfree_kernels::pointwise::Pointwise;
use stainfree_kernels::winograd::{self, Epilogue, FilterBank, Part, Sink};
use stainfree_kernels::{Blocked, Buffer, Isa, Workers};
use std::ops::Range;

/// A convolution of one shape.
pub(crate) enum Conv {
    /// 3x3, stride 1; also the only one that reads several, or up-sampled, arrays.
    Winograd(winograd::Conv, FilterBank),
    /// 1x1.
    Pointwise(Pointwise),
    /// Every channel alone.
    Depthwise(Depthwise),
    /// Anything else, of few channels.
    Patches(Patches),
}

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

/// Memory that gradients reuse from layer to layer and step to step.
#[derive(Default)]
pub(crate) struct Scratch {
    winograd: winograd::Scratch,
    parts: Buffer,
}

impl Conv {
    /// The convolution of `step` that writes `out`; `shape` tells a value's.
    ///
    /// # Panics
    /// If no kernel does it; graphs come from this crate.
    pub(crate) fn new(isa: Isa, step: &ConvStep, shape: impl Fn(usize) -> Blocked) -> Self {
        let out = shape(step.to);
        let isa = precision_of(isa, step);
        if let Some(tile) = step.tile {
            let part = |input: &crate::plan::Input| Part {
                channels: shape(input.value).channels,
                upsampled: input.upsampled,
            };
            let parts: Vec<Part> = step.inputs.iter().map(part).collect();
            let (height, width) = (out.height, out.width);
            let conv = winograd::Conv::new(isa, out.images, height, width, &parts, out.channels)
                .tiled(tile);
            let bank = conv.filters();
            return Self::Winograd(conv, bank);
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
            Self::Depthwise(Depthwise::new(isa, images, from.channels, size, window))
        } else if (window.kernel, window.stride) == (1, 1) {
            Self::Pointwise(Pointwise::new(
                isa,
                images,
                size,
                from.channels,
                out.channels,
            ))
        } else {
            assert_eq!(input.value, 0, "patches are for the first layer");
            let (inputs, outputs) = (from.channels, out.channels);
            Self::Patches(Patches::new(isa, images, inputs, outputs, size, window))
        }
    }

    /// Values of the blocked filters, in which weights are trained.
    pub(crate) fn blocked_len(&self) -> usize {
        match self {
            Self::Winograd(_, bank) => bank.blocked_len(),
            Self::Pointwise(conv) => conv.blocked_len(),
            Self::Depthwise(conv) => conv.blocked_len(),
            Self::Patches(conv) => conv.blocked_len(),
        }
    }

    /// Values of the filters as a pass reads them, where they are not the blocked ones.
    pub(crate) fn prepared_len(&self) -> usize {
        match self {
            Self::Winograd(_, bank) => bank.transformed_len(),
            Self::Pointwise(conv) => conv.blocked_len(),
            Self::Depthwise(_) | Self::Patches(_) => 0,
        }
    }

    /// Bytes that each thread takes for its work at most.
    pub(crate) fn scratch_bytes(&self) -> usize {
        match self {
            Self::Winograd(conv, _) => conv.scratch_bytes(),
            // Rows, or pixels of one span: less than a second-level cache.
            Self::Pointwise(_) | Self::Depthwise(_) | Self::Patches(_) => 1 << 20,
        }
    }

    /// Natural weights into blocked order; filled-up places become zero.
    pub(crate) fn block(&self, weights: &[f32], blocked: &mut [f32]) {
        if let Self::Winograd(_, bank) = self {
            return bank.block(weights, blocked);
        }
        blocked.fill(0.0);
        self.indices(&mut |place, index| blocked[place] = weights[index]);
    }

    /// Blocked filters into natural order.
    pub(crate) fn unblock(&self, blocked: &[f32], weights: &mut [f32]) {
        if let Self::Winograd(_, bank) = self {
            return bank.unblock(blocked, weights);
        }
        self.indices(&mut |place, index| weights[index] = blocked[place]);
    }

    fn indices(&self, visit: &mut dyn FnMut(usize, usize)) {
        match self {
            Self::Winograd(..) => unreachable!("the bank has its own way"),
            Self::Pointwise(conv) => conv.indices(visit),
            Self::Depthwise(conv) => conv.indices(visit),
            Self::Patches(conv) => conv.indices(visit),
        }
    }

    /// The filters as [`Conv::forward_rows`] reads them, made in `room` where they must be.
    pub(crate) fn prepare<'a>(
        &self,
        workers: &Workers,
        blocked: &'a [f32],
        room: &'a mut Buffer,
    ) -> &'a [f32] {
        match self {
            Self::Winograd(_, bank) => {
                bank.transform(workers, blocked, room);
                room
            }
            _ => blocked,
        }
    }

    /// The filters as [`Conv::input_gradient`] reads them, made in `room` where they must be.
    pub(crate) fn prepare_turned<'a>(
        &self,
        workers: &Workers,
        blocked: &'a [f32],
        room: &'a mut Buffer,
    ) -> &'a [f32] {
        match self {
            Self::Winograd(_, bank) => {
                bank.transform_turned(workers, blocked, room);
                room
            }
            Self::Pointwise(conv) => {
                conv.turn(workers, blocked, room);
                room
            }
            Self::Depthwise(_) | Self::Patches(_) => blocked,
        }
    }

    /// The output rows `rows`; arrays may hold fewer rows than the images have.
    pub(crate) fn forward_rows(
        &self,
        workers: &Workers,
        inputs: &[Rows],
        filters: &[f32],
        finish: Finish,
        out: RowsMut,
        rows: Range<usize>,
    ) {
        match self {
            Self::Winograd(conv, _) => {
                let epilogue = Epilogue {
                    bias: finish.bias,
                    relu: match finish.activation {
                        Activation::None => false,
                        Activation::Relu => true,
                        other => unreachable!("{other:?} does not follow a dense 3x3 convolution"),
                    },
                };
                conv.forward_rows(workers, inputs, filters, epilogue, out, rows);
            }
            Self::Pointwise(conv) => {
                conv.forward_rows(workers, inputs[0], filters, finish, out, rows);
            }
            Self::Depthwise(conv) => {
                conv.forward_rows(workers, inputs[0], filters, finish, out, rows);
            }
            Self::Patches(conv) => {
                conv.forward_rows(workers, inputs[0], filters, finish, out, rows);
            }
        }
    }

    /// Gradients of the inputs.
    pub(crate) fn input_gradient(
        &self,
        workers: &Workers,
        d_out: &[f32],
        filters: &[f32],
        sinks: &mut [Sink],
    ) {
        match self {
            Self::Winograd(conv, _) => conv.input_gradient(workers, d_out, filters, sinks),
            Self::Pointwise(conv) => conv.input_gradient(workers, d_out, filters, &mut sinks[0]),
            Self::Depthwise(conv) => conv.input_gradient(workers, d_out, filters, &mut sinks[0]),
            Self::Patches(_) => unreachable!("below the first layer lies the image"),
        }
    }

    /// Gradient of the blocked filters.
    pub(crate) fn weight_gradient(
        &self,
        workers: &Workers,
        inputs: &[&[f32]],
        d_out: &[f32],
        to: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let Scratch { winograd, parts } = scratch;
        match self {
            Self::Winograd(conv, _) => conv.weight_gradient(workers, inputs, d_out, to, winograd),
            Self::Pointwise(conv) => conv.weight_gradient(workers, inputs[0], d_out, to, parts),
            Self::Depthwise(conv) => conv.weight_gradient(workers, inputs[0], d_out, to),
            Self::Patches(conv) => conv.weight_gradient(workers, inputs[0], d_out, to, parts),
        }
    }
}
