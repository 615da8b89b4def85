//! 3x3 convolution (stride 1, zero padding 1) and its gradients by Winograd's minimal filtering.
//!
//! # Method
//! Lavin & Gray (2016), "Fast Algorithms for Convolutional Neural Networks", with F(4x4, 3x3):
//! 1. An output tile of 4x4 needs an input patch of 6x6. Its transform is `V = B^T d B`, 36 values.
//! 2. The transform of a filter is `U = G g G^T`, 36 values, made once.
//! 3. For each of the 36 positions, `M = V * U` summed over the input channels: a matrix product of
//!    (tiles x channels in) with (channels in x channels out), where nearly all the time goes.
//! 4. The output tile is `A^T M A`.
//!
//! The input gradient is the same convolution with turned filters and channels swapped. The weight
//! gradient is `dg = G^T [(A dy A^T) * V] G`, summed over tiles, with the same transforms.
//!
//! Where it is faster ([`TileSize::fastest`]), a prediction takes F(6x6, 3x3): 64 values for 36
//! outputs.
//!
//! # Points
//! The transforms of F(4x4, 3x3) interpolate at 0, +-sqrt(1/2), +-sqrt(2) and infinity. With them
//! one layer's error against f64 is that of a direct sum in f32 (about 3e-7 for 64 channels, 1e-6
//! for 512); the textbook points 0, +-1, +-2 cost the same and double it. F(6x6, 3x3) has four
//! times that error.
//!
//! # Order of work
//! Tiles are handled in groups whose `V` and `M` stay in the second-level cache; `U` streams
//! through.

mod blocking;
mod conv;
mod patch;
mod target;
mod transform;
mod weight_gradient;
mod weights;

pub use conv::Winograd;
pub use patch::Part;
pub use weight_gradient::GradientScratch;
pub use weights::FilterBank;

/// The outputs that are made together: how large a tile is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TileSize {
    /// 4x4, of a patch of 6x6.
    #[default]
    Four,
    /// 6x6, of a patch of 8x8: a fifth fewer products, filters that take 1.8 times the memory, four
    /// times the error.
    Six,
}

/// Side of the largest patch.
const LARGEST_PATCH: usize = 8;

impl TileSize {
    /// Rows and columns of outputs.
    pub fn side(self) -> usize {
        match self {
            Self::Four => 4,
            Self::Six => 6,
        }
    }

    /// Positions of a transformed patch.
    fn positions(self) -> usize {
        (self.side() + 2).pow(2)
    }
}
