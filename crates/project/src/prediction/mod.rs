//! Folders of results: predictions of a model, and segmentations of stains without one.

pub mod areas;
pub(crate) mod by_region;
pub(crate) mod desk;
pub mod familiar;
pub mod forms;
pub(crate) mod join;
pub(crate) mod labelled;
pub(crate) mod made_from;
pub(crate) mod opened;
pub(crate) mod options;
pub mod outlines;
pub(crate) mod pixel_size;
pub mod predict;
pub(crate) mod recognised;
pub(crate) mod results;
pub mod segment;
pub mod sure;
pub(crate) mod table;
pub(crate) mod written;
pub(crate) mod zarr;
