//! Tiles and the patches around them: where they lie in the arrays that a convolution reads.

use super::LARGEST_PATCH;
use super::transform::Patch;
use crate::blocked::{LANES, Rows, blocks, slot};

/// One of the arrays a convolution reads, joined channel after channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Channels that mean something.
    pub channels: usize,
    /// Whether the array has half the height and width and is repeated 2x2 (nearest up-sampling).
    pub upsampled: bool,
}

/// One block of input channels.
#[derive(Clone, Copy)]
pub(super) struct SourceBlock<'a> {
    data: &'a [f32],
    /// Rows held of every block.
    kept: usize,
    /// Blocks of the part it belongs to, and which of them it is.
    blocks: usize,
    pub(super) block: usize,
    upsampled: bool,
}

/// The blocks of all parts, in the order in which their channels are joined.
pub(super) fn source_blocks<'a>(parts: &[Part], inputs: &[Rows<'a>]) -> Vec<SourceBlock<'a>> {
    let mut sources = Vec::new();
    for (part, rows) in parts.iter().zip(inputs) {
        let blocks = blocks(part.channels);
        let source = |block| SourceBlock {
            data: rows.data,
            kept: rows.kept,
            blocks,
            block,
            upsampled: part.upsampled,
        };
        sources.extend((0..blocks).map(source));
    }
    sources
}

/// Tiles that cover some rows of every image.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    /// Side of a tile.
    pub(super) side: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Where the first row of tiles begins, in pixels.
    pub(super) first_row: usize,
    /// End of the input rows that may be read; beyond lie zeros, or rows that are not made yet and
    /// reach only outputs that are not asked for.
    pub(super) seen: usize,
    /// End of the output rows that are written.
    pub(super) made: usize,
}

impl Grid {
    /// Image, first row and first column of tile `index`, in pixels.
    #[inline(always)]
    pub(super) fn place(&self, index: usize) -> [usize; 3] {
        let (row, column) = (index / self.columns, index % self.columns);
        let y = self.first_row + row % self.rows * self.side;
        [row / self.rows, y, column * self.side]
    }
}

/// Where the patch around a tile lies in every block of a part: the same for all of them, so it is
/// asked once.
pub(super) struct PatchPlace<const P: usize> {
    image: usize,
    /// Values from the start of a block to each row, and from there to each column.
    rows: [usize; P],
    columns: [usize; P],
    /// Top left pixel of the tile, and the size that may be read, where the patch leaves it.
    leaves: Option<[[usize; 2]; 2]>,
}

/// Room for a patch that leaves the image.
pub(super) type Edge = [f32; LARGEST_PATCH * LARGEST_PATCH * LANES];

impl<const P: usize> PatchPlace<P> {
    /// The patch around the tile at `[image, y, x]` in blocks like `source`, of which `size` may be
    /// read.
    #[inline(always)]
    pub(super) fn new(source: &SourceBlock, size: [usize; 2], [image, y0, x0]: [usize; 3]) -> Self {
        let [height, width] = size;
        let shift = usize::from(source.upsampled);
        let mut found = Self {
            image,
            rows: [0; P],
            columns: [0; P],
            leaves: None,
        };
        // The patch starts one pixel before the tile.
        if y0 < 1 || x0 < 1 || y0 + P - 1 > height || x0 + P - 1 > width {
            found.leaves = Some([[y0, x0], size]);
            return found;
        }
        // One division for the first row; `slot` needs none for the others.
        let top = (y0 - 1) >> shift;
        let place = slot(top, source.kept);
        for i in 0..P {
            let row = slot(place + ((y0 + i - 1) >> shift) - top, source.kept);
            found.rows[i] = row * (width >> shift) * LANES;
            found.columns[i] = ((x0 + i - 1) >> shift) * LANES;
        }
        found
    }

    /// The patch in `source`; where it leaves what may be read, it is copied to `edge`, with zeros
    /// outside.
    #[inline(always)]
    pub(super) fn patch(&self, source: &SourceBlock, width: usize, edge: &mut Edge) -> Patch<P> {
        let shift = usize::from(source.upsampled);
        let columns = width >> shift;
        let held = source.kept * columns * LANES;
        let plane = &source.data[(self.image * source.blocks + source.block) * held..][..held];
        if let Some(leaves) = self.leaves {
            return copy_edge(plane, source, leaves, edge);
        }
        Patch {
            rows: self.rows.map(|row| plane.as_ptr().wrapping_add(row)),
            columns: self.columns,
        }
    }
}

/// The patch around the tile at `[y0, x0]` of an image of which `[height, width]` may be read, in
/// `edge`.
fn copy_edge<const P: usize>(
    plane: &[f32],
    source: &SourceBlock,
    [[y0, x0], [height, width]]: [[usize; 2]; 2],
    edge: &mut Edge,
) -> Patch<P> {
    let shift = usize::from(source.upsampled);
    let columns = width >> shift;
    // Zero padding is copied once for a tile at the rim, so that the transforms know no rim.
    edge.fill(0.0);
    for i in 0..P {
        for j in 0..P {
            let (y, x) = (y0 + i, x0 + j);
            if (1..=height).contains(&y) && (1..=width).contains(&x) {
                let row = slot((y - 1) >> shift, source.kept);
                let from = (row * columns + ((x - 1) >> shift)) * LANES;
                edge[(i * P + j) * LANES..][..LANES].copy_from_slice(&plane[from..from + LANES]);
            }
        }
    }
    let mut patch = Patch {
        rows: [edge.as_ptr(); P],
        columns: [0; P],
    };
    for i in 0..P {
        patch.rows[i] = edge.as_ptr().wrapping_add(i * P * LANES);
        patch.columns[i] = i * LANES;
    }
    patch
}
