//! The convolutions behind one face: the only place that tells their kinds apart.
//!
//! Which kind a layer takes is not decided here (a network knows its layers); every kind is made by
//! its own constructor.

use crate::blocked::{Rows, RowsMut};
use crate::buffer::Buffer;
use crate::dense::Dense;
use crate::depthwise::Depthwise;
use crate::epilogue::{Epilogue, Sink};
use crate::patches::Patches;
use crate::pointwise::Pointwise;
use crate::winograd::{FilterBank, GradientScratch, Winograd};
use crate::workers::Workers;
use std::ops::Range;

/// A convolution of one shape.
#[derive(Clone, Debug)]
pub enum Convolution {
    /// 3x3, stride 1, of several, or up-sampled, arrays.
    Winograd(Winograd, FilterBank),
    /// 1x1 of one array.
    Pointwise(Pointwise),
    /// Every channel alone.
    Depthwise(Depthwise),
    /// The first layer, of few channels.
    Patches(Patches),
    /// Anything else.
    Dense(Dense),
}

/// Memory that weight gradients reuse from layer to layer and step to step.
#[derive(Default)]
pub struct ConvolutionScratch {
    winograd: GradientScratch,
    parts: Buffer,
}

/// Bytes that a thread takes for its work on some convolutions: the largest of each kind, since a
/// kind keeps its memory while another one works.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadScratch {
    /// Of patches and of products, which are kept apart.
    winograd: [usize; 2],
    dense: usize,
    /// Of all others together: rows, or pixels of one run, in less than a second-level cache.
    small: usize,
}

impl ThreadScratch {
    /// With one more convolution, of which forward passes are made.
    #[must_use]
    pub fn and(self, conv: &Convolution) -> Self {
        self.and_of(conv, |forward| forward)
    }

    /// With one more convolution that is trained: a gradient's patches are of the outputs.
    #[must_use]
    pub fn and_trained(self, conv: &Convolution) -> Self {
        self.and_of(conv, |[v, m]| [v.max(m); 2])
    }

    fn and_of(mut self, conv: &Convolution, winograd: fn([usize; 2]) -> [usize; 2]) -> Self {
        match conv {
            Convolution::Winograd(conv, _) => {
                let own = winograd(conv.scratch_bytes());
                for (most, bytes) in self.winograd.iter_mut().zip(own) {
                    *most = bytes.max(*most);
                }
            }
            Convolution::Dense(conv) => self.dense = conv.scratch_bytes().max(self.dense),
            Convolution::Pointwise(_) | Convolution::Depthwise(_) | Convolution::Patches(_) => {
                self.small = 1 << 20;
            }
        }
        self
    }

    /// What a thread takes at most.
    pub fn bytes(&self) -> usize {
        self.winograd.iter().sum::<usize>() + self.dense + self.small
    }
}

impl From<Winograd> for Convolution {
    fn from(conv: Winograd) -> Self {
        let bank = conv.filters();
        Self::Winograd(conv, bank)
    }
}

impl Convolution {
    /// Values of the blocked filters, in which weights are trained.
    pub fn blocked_len(&self) -> usize {
        match self {
            Self::Winograd(_, bank) => bank.blocked_len(),
            Self::Pointwise(conv) => conv.blocked_len(),
            Self::Depthwise(conv) => conv.blocked_len(),
            Self::Patches(conv) => conv.blocked_len(),
            Self::Dense(conv) => conv.blocked_len(),
        }
    }

    /// Values of the filters as a pass reads them, where they are not the blocked ones.
    pub fn prepared_len(&self) -> usize {
        match self {
            Self::Winograd(_, bank) => bank.transformed_len(),
            Self::Pointwise(conv) => conv.blocked_len(),
            Self::Dense(conv) => conv.turned_len(),
            Self::Depthwise(_) | Self::Patches(_) => 0,
        }
    }

    /// Natural weights (`[out][in][y][x]`) into blocked order; filled-up places become zero.
    ///
    /// # Panics
    /// If an array has another size.
    pub fn block(&self, weights: &[f32], blocked: &mut [f32]) {
        assert_eq!(
            blocked.len(),
            self.blocked_len(),
            "filters have another size"
        );
        blocked.fill(0.0);
        self.indices(&mut |place, index| blocked[place] = weights[index]);
    }

    /// Blocked filters into natural order.
    ///
    /// # Panics
    /// If an array has another size.
    pub fn unblock(&self, blocked: &[f32], weights: &mut [f32]) {
        assert_eq!(
            blocked.len(),
            self.blocked_len(),
            "filters have another size"
        );
        self.indices(&mut |place, index| weights[index] = blocked[place]);
    }

    /// Calls `visit(blocked index, natural index)` for every real weight.
    fn indices(&self, visit: &mut dyn FnMut(usize, usize)) {
        match self {
            Self::Winograd(_, bank) => bank.indices(visit),
            Self::Pointwise(conv) => conv.indices(visit),
            Self::Depthwise(conv) => conv.indices(visit),
            Self::Patches(conv) => conv.indices(visit),
            Self::Dense(conv) => conv.indices(visit),
        }
    }

    /// The filters as [`Convolution::forward_rows`] reads them, made in `room` where they must be.
    pub fn prepare<'a>(
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
            Self::Pointwise(_) | Self::Depthwise(_) | Self::Patches(_) | Self::Dense(_) => blocked,
        }
    }

    /// The filters as [`Convolution::input_gradient`] reads them, made in `room` where they must
    /// be.
    pub fn prepare_turned<'a>(
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
            Self::Dense(conv) => {
                conv.turn(workers, blocked, room);
                room
            }
            Self::Depthwise(_) | Self::Patches(_) => blocked,
        }
    }

    /// The output rows `rows`; arrays may hold fewer rows than the images have.
    ///
    /// # Panics
    /// If an array does not have the size the shape says, or there is not one input for every part.
    pub fn forward_rows(
        &self,
        workers: &Workers,
        inputs: &[Rows],
        filters: &[f32],
        epilogue: Epilogue,
        out: RowsMut,
        rows: Range<usize>,
    ) {
        match self {
            Self::Winograd(conv, _) => {
                conv.forward_rows(workers, inputs, filters, epilogue, out, rows);
            }
            Self::Pointwise(conv) => {
                conv.forward_rows(workers, inputs[0], filters, epilogue, out, rows);
            }
            Self::Depthwise(conv) => {
                conv.forward_rows(workers, inputs[0], filters, epilogue, out, rows);
            }
            Self::Patches(conv) => {
                conv.forward_rows(workers, inputs[0], filters, epilogue, out, rows);
            }
            Self::Dense(conv) => conv.forward_rows(workers, inputs, filters, epilogue, out, rows),
        }
    }

    /// Gradients of the inputs from `d_out`; `filters` from [`Convolution::prepare_turned`].
    ///
    /// # Panics
    /// If an array does not have the size the shape says, there is not one sink for every part, or
    /// the kind has no input gradient (patches: below the first layer lies the image).
    pub fn input_gradient(
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
            Self::Dense(conv) => conv.input_gradient(workers, d_out, filters, sinks),
            Self::Patches(_) => assert!(sinks.is_empty(), "below the first layer lies the image"),
        }
    }

    /// Gradient of the blocked filters.
    ///
    /// # Panics
    /// If an array does not have the size the shape says.
    pub fn weight_gradient(
        &self,
        workers: &Workers,
        inputs: &[&[f32]],
        d_out: &[f32],
        to: &mut [f32],
        scratch: &mut ConvolutionScratch,
    ) {
        let ConvolutionScratch { winograd, parts } = scratch;
        match self {
            Self::Winograd(conv, _) => conv.weight_gradient(workers, inputs, d_out, to, winograd),
            Self::Pointwise(conv) => conv.weight_gradient(workers, inputs[0], d_out, to, parts),
            Self::Depthwise(conv) => conv.weight_gradient(workers, inputs[0], d_out, to),
            Self::Patches(conv) => conv.weight_gradient(workers, inputs[0], d_out, to, parts),
            Self::Dense(conv) => conv.weight_gradient(workers, inputs, d_out, to, parts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depthwise::Window;
    use crate::isa::Isa;
    use crate::winograd::Part;

    fn part(channels: usize) -> Part {
        Part {
            channels,
            upsampled: false,
        }
    }

    #[test]
    fn a_kind_keeps_its_memory_while_another_one_works() {
        let isa = Isa::available()[0];
        let window = Window {
            kernel: 3,
            stride: 2,
            before: 1,
        };
        let dense = |channels: usize| {
            Convolution::Dense(Dense::new(
                isa,
                1,
                &[part(channels)],
                channels,
                [16, 16],
                window,
            ))
        };
        let winograd = Convolution::from(Winograd::new(isa, 1, 16, 16, &[part(64)], 64));
        let of = |convolutions: &[&Convolution]| {
            let all = convolutions.iter();
            all.fold(ThreadScratch::default(), |sum, conv| sum.and(conv))
                .bytes()
        };
        let (small, large) = (dense(16), dense(64));
        assert!(of(&[&small]) < of(&[&large]));
        assert_eq!(of(&[&large, &small]), of(&[&large]));
        assert_eq!(
            of(&[&winograd, &small, &large]),
            of(&[&winograd]) + of(&[&large])
        );
        // Patches of the one layer and products of the other.
        let layer = |inputs, outputs| {
            Convolution::from(Winograd::new(isa, 1, 16, 16, &[part(inputs)], outputs))
        };
        let (wide, narrow) = (layer(64, 16), layer(16, 64));
        assert!(of(&[&wide, &narrow]) > of(&[&wide]).max(of(&[&narrow])));
        let trained = ThreadScratch::default().and_trained(&wide).bytes();
        assert!(trained > of(&[&wide]));
    }
}
