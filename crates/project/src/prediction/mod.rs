//! Folders of results: predictions of a model, and segmentations of stains without one.

pub(crate) mod engine;
mod line;
pub(crate) mod pixel_size;
pub mod predict;
pub mod segment;
pub(crate) mod table;
