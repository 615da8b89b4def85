//! The epilogue of every convolution: what is done to a sum between the registers it was made in
//! and memory.
//!
//! One type says it for forward passes (bias, activation) and gradients (added to what is there,
//! cut off where a ReLU was), because fusing it into the kernels is what saves the pass over memory
//! that each stage would cost alone. Pools and sums, whose gradients meet others at the same array,
//! end in the same way.
//!
//! Not here: the statistics of a batch norm. Their sums run along whole rows, in order (`pass`),
//! and a kernel makes rows in tiles or strips; summed there they would be other bits.

use crate::activation::Activation;
use crate::blocked::LANES;
use crate::simd::Lanes;

/// What happens to a result before it is stored, in the order of the fields.
#[derive(Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// Added per channel; as long as the outputs are, filled up to whole blocks.
    pub bias: Option<&'a [f32]>,
    /// Applied to the sum.
    pub activation: Activation,
    /// Added to what the target holds, instead of replacing it.
    pub accumulate: bool,
    /// Zero wherever this (shaped like the whole target) is not positive: the gradient of a ReLU.
    pub mask: Option<&'a [f32]>,
}

/// An array that a gradient goes to, and how.
pub struct Sink<'a> {
    /// Shaped like the value whose gradient it is.
    pub data: &'a mut [f32],
    /// What happens to the gradient at last.
    pub epilogue: Epilogue<'a>,
}

impl<'a> Sink<'a> {
    /// Replaces what `data` holds.
    pub fn new(data: &'a mut [f32]) -> Self {
        let epilogue = Epilogue::default();
        Self { data, epilogue }
    }
}

impl<'a> Epilogue<'a> {
    /// A bias of its own for every channel, then `activation`.
    pub fn biased(bias: &'a [f32], activation: Activation) -> Self {
        Self {
            bias: Some(bias),
            activation,
            ..Self::default()
        }
    }

    /// Whether results are stored as they come from [`Epilogue::activate`].
    #[inline(always)]
    pub(crate) fn replaces(&self) -> bool {
        !self.accumulate && self.mask.is_none()
    }

    /// Panics unless bias and mask fit a target of `len` values in `blocks` blocks of channels.
    #[track_caller]
    pub(crate) fn check(&self, blocks: usize, len: usize) {
        if let Some(bias) = self.bias {
            assert_eq!(bias.len(), blocks * LANES, "bias has another size");
        }
        if let Some(mask) = self.mask {
            assert_eq!(mask.len(), len, "mask has another size");
        }
    }

    /// The bias of the channels from `channel` on, counted with filled-up ones. It is asked once
    /// for all pixels of a block.
    ///
    /// # Safety
    /// [`Epilogue::check`] must have passed, and the channels lie among those of the target.
    #[inline(always)]
    pub(crate) unsafe fn bias_of<S: Lanes>(&self, s: S, channel: usize) -> Option<S::V> {
        let bias = self.bias?;
        // SAFETY: the bias has a value for every channel.
        Some(unsafe { s.load(bias.as_ptr().add(channel)) })
    }

    /// The first two stages: what a result is, before it meets its target.
    #[inline(always)]
    pub(crate) fn activate<S: Lanes>(&self, s: S, value: S::V, bias: Option<S::V>) -> S::V {
        let value = match bias {
            Some(bias) => s.add(value, bias),
            None => value,
        };
        self.activation.apply(s, value)
    }

    /// All stages: what is stored for `value` at `target`, place `place` of the whole target.
    ///
    /// # Safety
    /// `target` must be valid for reading a vector, and a mask for one at `place`.
    #[inline(always)]
    pub(crate) unsafe fn apply<S: Lanes>(
        &self,
        s: S,
        value: S::V,
        bias: Option<S::V>,
        place: usize,
        target: *const f32,
    ) -> S::V {
        let mut value = self.activate(s, value, bias);
        // SAFETY: as the caller promises.
        unsafe {
            // Before the mask: what is there came from other readers of the same ReLU's output, and
            // the last of them cuts off the sum.
            if self.accumulate {
                value = s.add(value, s.load(target));
            }
            match self.mask {
                Some(mask) => s.where_positive(s.load(mask.as_ptr().add(place)), value),
                None => value,
            }
        }
    }
}
