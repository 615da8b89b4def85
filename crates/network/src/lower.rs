//! From a program to a processor: which kernel makes each convolution, by which tiles, and in which
//! precision.
//!
//! The rules were measured and depend on shapes and instruction set alone; nothing is tried out
//! when a program starts, so the same processor gives the same bits.

use crate::program::{ConvStep, IMAGE, Program, Step, Window};
use stainfree_kernels::Isa;
use stainfree_kernels::patches::Patches;
use stainfree_kernels::winograd::TileSize;

/// What is going to be computed: filters are transformed once for a prediction and in every step of
/// a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Training,
    Prediction,
}

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// Winograd's: 3x3, stride 1; reads several and up-sampled arrays.
    Winograd(TileSize),
    /// A product of pixels: 1x1, stride 1, of one array.
    Pointwise,
    /// Every channel alone.
    Depthwise,
    /// A product of patches of few channels: the first layer.
    Patches,
    /// A product of patches: anything else.
    Dense,
}

/// The kernel of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    pub(crate) algorithm: Algorithm,
    /// The instruction set, and with it the precision.
    pub(crate) isa: Isa,
}

impl Kernel {
    /// Rows of the tiles it makes outputs by; 1 where there are none.
    pub(crate) fn tile_rows(&self) -> usize {
        match self.algorithm {
            Algorithm::Winograd(tile) => tile.side(),
            _ => 1,
        }
    }
}

/// A program for one processor.
#[derive(Clone, Debug)]
pub(crate) struct Lowered {
    pub(crate) program: Program,
    /// By step: the kernel of a convolution; none for other steps.
    pub(crate) kernels: Vec<Option<Kernel>>,
    pub(crate) isa: Isa,
}

/// Picks the kernels of `program` for `isa`.
pub(crate) fn lower(program: &Program, isa: Isa, mode: Mode) -> Lowered {
    let kernel = |step: &Step| match step {
        Step::Conv(conv) => Some(Kernel {
            algorithm: algorithm(program, conv, isa, mode),
            isa: precision(isa, conv),
        }),
        Step::MaxPool { .. } | Step::Add { .. } | Step::Activate { .. } => None,
    };
    Lowered {
        kernels: program.steps.iter().map(kernel).collect(),
        program: program.clone(),
        isa,
    }
}

/// Convolutions at the image's resolution and at half of it are always f32: they hold a quarter of
/// the products but cause 40 % of the differences that bf16 makes to predicted classes
/// (docs/performance.md).
const LEAST_BF16_LEVEL: usize = 2;

fn precision(isa: Isa, conv: &ConvStep) -> Isa {
    if conv.level < LEAST_BF16_LEVEL {
        isa.f32()
    } else {
        isa
    }
}

/// Up to so many channels Winograd's algorithm, which fills them up to 16, is slower than a product
/// of patches.
const FEW_CHANNELS: usize = 4;

fn algorithm(program: &Program, conv: &ConvStep, isa: Isa, mode: Mode) -> Algorithm {
    let channels = |value: usize| program.values[value].channels;
    let first = conv.plain_input() == Some(IMAGE);
    if conv.depthwise {
        return Algorithm::Depthwise;
    }
    if conv.is_dense_3x3() && !(first && channels(IMAGE) <= FEW_CHANNELS) {
        let inputs = conv.inputs.iter().map(|input| channels(input.value)).sum();
        return Algorithm::Winograd(tile(isa, conv.level, [inputs, channels(conv.to)], mode));
    }
    let pointwise = Window {
        kernel: 1,
        stride: 1,
        before: 0,
    };
    if conv.window == pointwise && conv.plain_input().is_some() {
        return Algorithm::Pointwise;
    }
    match first && Patches::takes(channels(IMAGE), conv.window) {
        true => Algorithm::Patches,
        false => Algorithm::Dense,
    }
}

/// Below this halving of the image filters come from memory for every few tiles, and those of
/// larger tiles take nearly twice the bytes.
const DEEPEST_LARGE_TILES: usize = 3;

fn tile(isa: Isa, level: usize, [inputs, outputs]: [usize; 2], mode: Mode) -> TileSize {
    match mode {
        Mode::Prediction if level <= DEEPEST_LARGE_TILES => TileSize::fastest(isa, inputs, outputs),
        _ => TileSize::Four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoder, Graph, UnetSpec, description};

    fn algorithms(graph: &Graph, mode: Mode) -> Vec<(String, Algorithm)> {
        let program = Program::new(graph).unwrap();
        let lowered = lower(&program, Isa::available()[0], mode);
        let steps = lowered.program.steps.iter().zip(&lowered.kernels);
        let of = |(step, kernel): (&Step, &Option<Kernel>)| match step {
            Step::Conv(conv) => Some((conv.weight.clone(), kernel.unwrap().algorithm)),
            _ => None,
        };
        steps.filter_map(of).collect()
    }

    #[test]
    fn encoders_never_fall_back_to_the_kernel_for_anything_else() {
        for encoder in Encoder::ALL {
            let graph = Graph::unet(&UnetSpec::new(encoder, 1.0, 3)).unwrap();
            for mode in [Mode::Training, Mode::Prediction] {
                let found = algorithms(&graph, mode);
                assert_eq!(found[0].1, Algorithm::Patches, "{}", encoder.name());
                let others = found.iter().filter(|(_, a)| *a == Algorithm::Dense);
                assert_eq!(others.count(), 0, "{}", encoder.name());
                let large = Algorithm::Winograd(TileSize::Six);
                let trained = mode == Mode::Training;
                assert!(!trained || found.iter().all(|(_, a)| *a != large));
            }
        }
    }

    #[test]
    fn windows_and_joined_arrays_find_their_kernel() {
        let text = include_str!("../tests/networks/residual.txt");
        let found = algorithms(&description::read(text).unwrap(), Mode::Training);
        for (weight, expected) in [
            ("encoder.stem.conv.weight", Algorithm::Patches),
            (
                "encoder.plain.conv1.weight",
                Algorithm::Winograd(TileSize::Four),
            ),
            ("encoder.strided.conv1.weight", Algorithm::Dense),
            ("encoder.strided.shortcut.weight", Algorithm::Dense),
            ("encoder.gated.conv2.weight", Algorithm::Pointwise),
            ("decoder.a.weight", Algorithm::Dense),
            ("decoder.b.weight", Algorithm::Dense),
            ("decoder.d.weight", Algorithm::Winograd(TileSize::Four)),
            ("decoder.e.weight", Algorithm::Depthwise),
            ("decoder.f.weight", Algorithm::Dense),
        ] {
            let own = found.iter().find(|(name, _)| name == weight).unwrap();
            assert_eq!(own.1, expected, "{weight}");
        }
    }
}
