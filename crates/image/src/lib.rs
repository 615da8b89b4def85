//! Pixels, calibration, fields and stacks; one file per format; plate layouts. No processing.

mod array;

pub use array::Image;
