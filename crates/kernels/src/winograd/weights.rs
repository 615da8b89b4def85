//! Filters: the blocked order they are trained in, and their transforms for the two convolutions.

use super::TileSize;
use super::transform::{self, Points, TileKernel};
use crate::blocked::{LANES, blocks};
use crate::buffer::Buffer;
use crate::isa::Isa;
use crate::simd::{Simd, SimdKernel};
use crate::workers::{Shared, Workers};

/// Values of the blocked filters between 16 input and 16 output channels.
const SQUARE: usize = LANES * 9 * LANES;

/// How the filters of one convolution are arranged.
///
/// *Blocked* filters are `[out / 16][in][9][16 out]`: the order in which the trainer keeps,
/// transforms and updates them. `in` counts the channels of each input part, filled up to whole
/// blocks part by part; filled-up places hold zero and stay zero.
#[derive(Clone, Debug)]
pub struct FilterBank {
    isa: Isa,
    /// Channels of each input part.
    parts: Vec<usize>,
    outputs: usize,
    /// What the transforms are for.
    tile: TileSize,
}

impl FilterBank {
    /// Filters from parts with these channel counts to `outputs` channels, transformed for tiles of
    /// 4x4.
    pub fn new(isa: Isa, parts: &[usize], outputs: usize) -> Self {
        Self {
            isa: isa.for_channels(parts.iter().sum()),
            parts: parts.to_vec(),
            outputs,
            tile: TileSize::Four,
        }
    }

    /// The same filters, transformed for `tile`.
    pub fn tiled(self, tile: TileSize) -> Self {
        Self { tile, ..self }
    }

    /// Input channels, each part filled up to whole blocks.
    pub fn padded_inputs(&self) -> usize {
        self.parts.iter().map(|&c| blocks(c) * LANES).sum()
    }

    /// Output channels, filled up.
    pub fn padded_outputs(&self) -> usize {
        blocks(self.outputs) * LANES
    }

    /// Values of the blocked filters.
    pub fn blocked_len(&self) -> usize {
        self.padded_inputs() * self.padded_outputs() * 9
    }

    /// Values of one set of transformed filters.
    pub fn transformed_len(&self) -> usize {
        self.padded_inputs() * self.padded_outputs() * self.tile.positions()
    }

    /// Words (of 4 bytes) that a set of transformed filters takes: half as many where they are
    /// bf16.
    pub fn transformed_words(&self) -> usize {
        self.transformed_len() / LANES * self.isa.factor_words()
    }

    #[track_caller]
    fn check_blocked(&self, blocked: &[f32]) {
        assert_eq!(
            blocked.len(),
            self.blocked_len(),
            "blocked filters have another size"
        );
    }

    /// Calls `visit(blocked index, index in [out][in][3][3])` for every real weight.
    pub(crate) fn indices(&self, mut visit: impl FnMut(usize, usize)) {
        let inputs: usize = self.parts.iter().sum();
        let padded = self.padded_inputs();
        for k in 0..self.outputs {
            let (mut natural, mut place) = (0, 0);
            for &channels in &self.parts {
                for c in 0..channels {
                    for tap in 0..9 {
                        let blocked =
                            (((k / LANES) * padded + place + c) * 9 + tap) * LANES + k % LANES;
                        visit(blocked, (k * inputs + natural + c) * 9 + tap);
                    }
                }
                natural += channels;
                place += blocks(channels) * LANES;
            }
        }
    }

    /// Transforms blocked filters for the convolution itself: `[position][out panel][in][panel]`.
    pub fn transform(&self, workers: &Workers, blocked: &[f32], to: &mut Buffer) {
        self.transform_each(workers, blocked, to, Direction::Forward);
    }

    /// Transforms blocked filters for the input gradient (turned by 180 degrees, channels swapped):
    /// `[position][in panel][out][panel]`.
    pub fn transform_turned(&self, workers: &Workers, blocked: &[f32], to: &mut Buffer) {
        self.transform_each(workers, blocked, to, Direction::Turned);
    }

    fn transform_each(
        &self,
        workers: &Workers,
        blocked: &[f32],
        to: &mut Buffer,
        direction: Direction,
    ) {
        self.check_blocked(blocked);
        to.reserve(self.transformed_words());
        let (c_blocks, k_blocks) = (self.padded_inputs() / LANES, self.padded_outputs() / LANES);
        let columns = if direction == Direction::Forward {
            self.padded_outputs()
        } else {
            self.padded_inputs()
        };
        let panel = self.isa.panel(columns / LANES);
        let shared = Shared::new(to);
        workers.for_each(c_blocks * k_blocks, |task| {
            let (k_block, c_block) = (task / c_blocks, task % c_blocks);
            let from = &blocked[task * SQUARE..][..SQUARE];
            // Transformed at a place of its own, then stored: positions are far apart in `to`, and
            // a square turned there would touch a page for every value.
            let mut square = vec![0.0; self.tile.positions() * LANES * LANES];
            let job = TransformSquare {
                from,
                to: &mut square,
                direction,
            };
            self.tile.run(self.isa, job);
            // The square of 16x16 channels belongs to `rows` of the product and columns of a panel.
            let (row_block, column_block, rows) = match direction {
                Direction::Forward => (c_block, k_block, self.padded_inputs()),
                Direction::Turned => (k_block, c_block, self.padded_outputs()),
            };
            let panels = columns / LANES / panel;
            let words = self.isa.factor_words();
            let first = (column_block / panel * rows + row_block * LANES) * words * panel
                + column_block % panel * LANES;
            self.isa.run(StoreSquare {
                square: &square,
                first,
                row: panel * LANES,
                position: panels * rows * words * panel,
                to: shared,
            });
        });
    }

    /// Turns `d_transformed`, `[36][in][out]`, into the gradient of the blocked filters.
    pub(super) fn gradient(&self, workers: &Workers, d_transformed: &[f32], d_blocked: &mut [f32]) {
        self.check_blocked(d_blocked);
        let (c_blocks, k_blocks) = (self.padded_inputs() / LANES, self.padded_outputs() / LANES);
        let shared = Shared::new(d_blocked);
        workers.for_each(c_blocks * k_blocks, |task| {
            let (k_block, c_block) = (task / c_blocks, task % c_blocks);
            // SAFETY: every task writes a square of its own.
            let to = unsafe { shared.slice(task * SQUARE, SQUARE) };
            let (inputs, outputs) = (self.padded_inputs(), self.padded_outputs());
            let first = c_block * LANES * outputs + k_block * LANES;
            self.isa.run(GradientSquare {
                from: d_transformed,
                first,
                row: outputs,
                position: inputs * outputs,
                to,
            });
        });
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Forward,
    Turned,
}

/// Transforms 16 input channels x 16 output channels, to `[position][16][16]` (rows are summed
/// over).
struct TransformSquare<'a> {
    from: &'a [f32],
    to: &'a mut [f32],
    direction: Direction,
}

impl TileKernel for TransformSquare<'_> {
    #[inline(always)]
    fn run<S: Simd, W: Points<T, P>, const T: usize, const P: usize>(self, s: S) {
        assert!(self.from.len() == SQUARE && self.to.len() == P * P * LANES * LANES);
        for c in 0..LANES {
            let mut g = [[s.zero(); 3]; 3];
            for tap in 0..9 {
                let from = if self.direction == Direction::Forward {
                    tap
                } else {
                    8 - tap
                };
                // SAFETY: (c, from) is inside the square checked above.
                g[tap / 3][tap % 3] =
                    unsafe { s.load(self.from.as_ptr().add((c * 9 + from) * LANES)) };
            }
            let u = transform::filter::<S, W, T, P>(s, g);
            for i in 0..P {
                for j in 0..P {
                    let square = (i * P + j) * LANES * LANES;
                    let mut lanes = [0.0; LANES];
                    // SAFETY: `lanes` holds 16 values.
                    unsafe { s.store(lanes.as_mut_ptr(), u[i][j]) };
                    match self.direction {
                        Direction::Forward => {
                            self.to[square + c * LANES..][..LANES].copy_from_slice(&lanes);
                        }
                        // Outputs become the channels that are summed over: rows of the product.
                        Direction::Turned => {
                            for (k, &value) in lanes.iter().enumerate() {
                                self.to[square + k * LANES + c] = value;
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Stores a transformed square where the matrix products read it. Each square is one task's, so no
/// two tasks write the same words.
struct StoreSquare<'a, 'b> {
    square: &'a [f32],
    /// Where its first row lies, and how far rows (pairs of rows in bf16) and positions are apart.
    first: usize,
    row: usize,
    position: usize,
    to: Shared<'b>,
}

impl SimdKernel for StoreSquare<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for position in 0..self.square.len() / (LANES * LANES) {
            for c in (0..LANES).step_by(2) {
                let at =
                    self.first + position * self.position + c * s.factor_words() / LANES * self.row;
                // SAFETY: rows c and c + 1 are inside the square, and their place inside the
                // filters.
                unsafe {
                    let from = self.square.as_ptr().add((position * LANES + c) * LANES);
                    let (even, odd) = (s.load(from), s.load(from.add(LANES)));
                    s.store_factor_rows(self.to.at(at), self.row, even, odd);
                }
            }
        }
    }
}

/// Gradient of the filters of 16 input channels x 16 output channels.
struct GradientSquare<'a> {
    from: &'a [f32],
    first: usize,
    row: usize,
    position: usize,
    to: &'a mut [f32],
}

impl SimdKernel for GradientSquare<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let last = self.first + (LANES - 1) * self.row + (36 - 1) * self.position + LANES;
        assert!(last <= self.from.len() && self.to.len() == SQUARE);
        for c in 0..LANES {
            let mut u = [[s.zero(); 6]; 6];
            for position in 0..36 {
                let at = self.first + c * self.row + position * self.position;
                // SAFETY: `last` is the largest index read.
                u[position / 6][position % 6] = unsafe { s.load(self.from.as_ptr().add(at)) };
            }
            let g = transform::four::filter_gradient(s, u);
            for y in 0..3 {
                for x in 0..3 {
                    // SAFETY: (c, tap) is inside the square checked above.
                    unsafe {
                        s.store(
                            self.to.as_mut_ptr().add((c * 9 + y * 3 + x) * LANES),
                            g[y][x],
                        )
                    };
                }
            }
        }
    }
}
