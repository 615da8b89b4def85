//! Label images, and which pixels belong together in one.

use serde::{Deserialize, Serialize};
use stainfree_image::Image;

/// Which neighbours belong together.
///
/// ```text
/// Four      Eight
///   x       x x x
/// x o x     x o x
///   x       x x x
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connectivity {
    /// Pixels that share an edge.
    #[default]
    Four,
    /// Pixels that share an edge or a corner.
    Eight,
}

impl Connectivity {
    /// Offsets `(dy, dx)` of all neighbours, in raster order.
    pub fn offsets(self) -> &'static [(isize, isize)] {
        match self {
            Connectivity::Four => &[(-1, 0), (0, -1), (0, 1), (1, 0)],
            Connectivity::Eight => &[
                (-1, -1),
                (-1, 0),
                (-1, 1),
                (0, -1),
                (0, 1),
                (1, -1),
                (1, 0),
                (1, 1),
            ],
        }
    }
}

/// A label image and how many labels it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// `[height, width]`, 0 = background, 1..=count the objects.
    pub image: Image<u32>,
    /// Number of objects.
    pub count: usize,
}
