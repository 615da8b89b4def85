//! The shapes that morphology works with.

/// The neighbourhood of an erosion or dilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footprint {
    /// Square of `2 r + 1` pixels a side (`skimage.morphology.footprint_rectangle`).
    Square(usize),
    /// Offsets with `dy^2 + dx^2 <= r^2` (`skimage.morphology.disk`).
    Disk(usize),
}
