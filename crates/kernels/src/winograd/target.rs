//! Where the outputs of a convolution, or the gradients of its inputs, are written.

use crate::blocked::{LANES, RowsMut, slot};
use crate::epilogue::Epilogue;
use crate::simd::Lanes;
use crate::workers::Shared;

/// One block of output channels, and how results are written to it.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// The whole array, of which `kept` rows are held of every block.
    to: Shared<'a>,
    kept: usize,
    /// Blocks of the array, and which of them it is.
    blocks: usize,
    block: usize,
    /// Whether it has half the height and width: each of its pixels was read four times.
    upsampled: bool,
    pub(super) epilogue: Epilogue<'a>,
}

impl<'a> Target<'a> {
    /// The blocks of one array, in order.
    pub(super) fn of(
        to: RowsMut<'a>,
        blocks: usize,
        upsampled: bool,
        epilogue: Epilogue<'a>,
    ) -> Vec<Self> {
        let (kept, to) = (to.kept, Shared::new(to.data));
        let target = |block| Self {
            to,
            kept,
            blocks,
            block,
            upsampled,
            epilogue,
        };
        (0..blocks).map(target).collect()
    }

    /// The bias of the channels from `lane` on. Zeros where there is none: adding them costs less
    /// than a branch for every row of a tile.
    ///
    /// # Safety
    /// The epilogue must have been checked.
    #[inline(always)]
    pub(super) unsafe fn bias<S: Lanes>(&self, s: S, lane: usize) -> S::V {
        // SAFETY: the block is one of the array's.
        match unsafe { self.epilogue.bias_of(s, self.block * LANES + lane) } {
            Some(bias) => bias,
            None => s.zero(),
        }
    }

    /// Whether a tile of `side` at `place` is written as it is: nothing but its values, and all of
    /// them.
    #[inline(always)]
    pub(super) fn takes_whole(
        &self,
        side: usize,
        [height, width]: [usize; 2],
        [_, top, left]: [usize; 3],
    ) -> bool {
        !self.upsampled && self.epilogue.replaces() && top + side <= height && left + side <= width
    }

    /// Writes row `dy` of an output tile that lies inside the image, as it is.
    ///
    /// # Safety
    /// As for [`Target::write`].
    #[inline(always)]
    pub(super) unsafe fn write_row<S: Lanes, const T: usize>(
        &self,
        s: S,
        row: &[S::V; T],
        [_, width]: [usize; 2],
        [image, top, left]: [usize; 3],
        dy: usize,
        lane: usize,
    ) {
        let start = (image * self.blocks + self.block) * self.kept;
        let place = ((start + slot(top + dy, self.kept)) * width + left) * LANES + lane;
        let to = self.to.at(place);
        for dx in 0..T {
            // SAFETY: inside the output, whose size was checked.
            unsafe { s.store(to.add(dx * LANES), row[dx]) };
        }
    }

    /// Writes an output tile's channels from `lane` on, cut at the image's edge, the way the
    /// epilogue asks for.
    ///
    /// # Safety
    /// No other task may write the same tile of the same output.
    #[inline(always)]
    pub(super) unsafe fn write<S: Lanes, const T: usize>(
        &self,
        s: S,
        y: &[[S::V; T]; T],
        bias: Option<S::V>,
        [height, width]: [usize; 2],
        [image, top, left]: [usize; 3],
        lane: usize,
    ) {
        let shift = usize::from(self.upsampled);
        let (rows, columns) = (height >> shift, width >> shift);
        let side = T >> shift;
        let (y0, x0) = (top >> shift, left >> shift);
        let start = (image * self.blocks + self.block) * self.kept;
        let first = slot(y0, self.kept);
        for i in 0..side.min(rows - y0) {
            let row = (start + slot(first + i, self.kept)) * columns;
            for j in 0..side.min(columns - x0) {
                let value = if self.upsampled {
                    // The gradient of a repeated pixel is the sum of those of its copies.
                    let top = s.add(y[2 * i][2 * j], y[2 * i][2 * j + 1]);
                    s.add(top, s.add(y[2 * i + 1][2 * j], y[2 * i + 1][2 * j + 1]))
                } else {
                    y[i][j]
                };
                let at = (row + x0 + j) * LANES + lane;
                // At the rim, where a mask is, or where results are added: vector by vector.
                // SAFETY: inside the output, whose size was checked; a mask has the same size.
                unsafe {
                    let target = self.to.at(at);
                    s.store(target, self.epilogue.apply(s, value, bias, at, target));
                }
            }
        }
    }
}
