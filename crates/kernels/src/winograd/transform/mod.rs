//! The transforms between tiles and the positions of a patch, a vector of channels at a time.
//!
//! A set of points gives one-dimensional matrices: `B^T` on patches, `G` on filters, `A^T` on
//! products (Lavin & Gray 2016). Both dimensions use the same matrix, columns first.
//!
//! Vectors are of one register ([`Lanes`]; why, [`Simd::Register`] says), so the 16 channels of a
//! block pass in one, two or four turns.
//!
//! Loops, not iterators or `map`: closures handed to library functions are compiled without the
//! instruction set's features, and every vector operation in them becomes a call.

pub(super) mod four;
mod six;

use super::TileSize;
use crate::isa::Isa;
use crate::simd::{Lanes, Simd, SimdKernel};
use four::Four;
use six::Six;

/// Output tiles of `T` x `T` from patches of `P` x `P`, `P = T + 2`, by interpolation at `P - 1`
/// points and infinity.
pub(super) trait Points<const T: usize, const P: usize>: Copy + Send + Sync {
    /// `B^T d`.
    fn patch_1d<S: Lanes>(s: S, d: [S::V; P]) -> [S::V; P];
    /// `A^T m`.
    fn product_1d<S: Lanes>(s: S, m: [S::V; P]) -> [S::V; T];
    /// `G g`.
    fn filter_1d<S: Lanes>(s: S, g: [S::V; 3]) -> [S::V; P];
}

/// Work that is compiled once for every instruction set and every tile.
pub(super) trait TileKernel {
    /// Does the work with the transforms of `W`; implementations are `#[inline(always)]`.
    fn run<S: Simd, W: Points<T, P>, const T: usize, const P: usize>(self, s: S);
}

/// A [`TileKernel`] with the transforms of some points.
struct At<W, J>(W, J);

impl<J: TileKernel> SimdKernel for At<Four, J> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.1.run::<S, Four, 4, 6>(s);
    }
}

impl<J: TileKernel> SimdKernel for At<Six, J> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.1.run::<S, Six, 6, 8>(s);
    }
}

impl TileSize {
    /// Runs `job` compiled for this tile and `isa`.
    #[inline]
    pub(super) fn run(self, isa: Isa, job: impl TileKernel) {
        match self {
            Self::Four => isa.run(At(Four, job)),
            Self::Six => isa.run(At(Six, job)),
        }
    }
}

/// Where the vectors of a patch lie: `rows[i] + columns[j]`.
#[derive(Clone, Copy)]
pub(super) struct Patch<const P: usize> {
    pub(super) rows: [*const f32; P],
    pub(super) columns: [usize; P],
}

/// `B^T d` of a patch, of the channels from `lane` on: half of its transform, whose rows
/// [`Points::patch_1d`] finishes. It is written to `half`, since a new array would be filled with
/// zeros for every patch.
///
/// # Safety
/// The patch must be readable.
#[inline(always)]
pub(super) unsafe fn patch_columns<S: Lanes, W: Points<T, P>, const T: usize, const P: usize>(
    s: S,
    from: &Patch<P>,
    lane: usize,
    half: &mut [[S::V; P]; P],
) {
    // Columns first: their results are stored as rows, which the second half reads as they lie.
    for j in 0..P {
        let mut column = [s.zero(); P];
        for i in 0..P {
            // SAFETY: inside the patch the caller vouches for.
            column[i] = unsafe { s.load(from.rows[i].add(from.columns[j] + lane)) };
        }
        let t = W::patch_1d(s, column);
        for i in 0..P {
            half[i][j] = t[i];
        }
    }
}

/// `A^T m` of the products of a patch, `stride` values between positions, in `half`:
/// [`Points::product_1d`] finishes its rows.
///
/// # Safety
/// The places of all positions must be readable, a vector each.
#[inline(always)]
pub(super) unsafe fn product_columns<S: Lanes, W: Points<T, P>, const T: usize, const P: usize>(
    s: S,
    from: *const f32,
    stride: usize,
    half: &mut [[S::V; P]; T],
) {
    for j in 0..P {
        let mut column = [s.zero(); P];
        for i in 0..P {
            // SAFETY: one of the places.
            column[i] = unsafe { s.load(from.add((i * P + j) * stride)) };
        }
        let t = W::product_1d(s, column);
        for i in 0..T {
            half[i][j] = t[i];
        }
    }
}

/// `G g G^T` of a 3x3 filter.
#[inline(always)]
pub(super) fn filter<S: Lanes, W: Points<T, P>, const T: usize, const P: usize>(
    s: S,
    g: [[S::V; 3]; 3],
) -> [[S::V; P]; P] {
    // An array here and not the caller's: filters are transformed once for many tiles.
    let mut half = [[s.zero(); 3]; P];
    for j in 0..3 {
        let t = W::filter_1d(s, [g[0][j], g[1][j], g[2][j]]);
        for i in 0..P {
            half[i][j] = t[i];
        }
    }
    let mut out = [[s.zero(); P]; P];
    for i in 0..P {
        out[i] = W::filter_1d(s, half[i]);
    }
    out
}
