//! Pixels, calibration, fields and stacks; one file per format; plate layouts. No processing.
//!
//! [`open`] turns a plate, a folder or a file into a [`Dataset`] of [`Field`]s, whose planes are
//! read one by one, whole or in part, from a [`PlaneSource`]; [`read_labels`] and
//! [`read_class_mask`] read truth; [`mod@write`] writes results.
#![forbid(unsafe_code)]

mod array;
mod container;
mod dataset;
mod error;
mod format;
mod inspect;
mod layout;
pub mod marker;
mod names;
mod numbers;
pub mod outline;
mod pairing;
mod pixel_size;
mod plane;
mod position;
pub mod random;
mod region;
mod source;
pub mod store;
pub mod table;
mod truth;
pub mod write;
mod xml;

pub use array::Image;
pub use dataset::{Dataset, Field, OpenOptions};
pub use error::ImageError;
pub use format::{
    Axes, Dimension, FileInfo, MAX_PAGES, MAX_PLANE_PIXELS, read_info, read_plane, read_region,
};
pub use inspect::{Inspection, summarise};
pub use layout::layout_names;
pub use layout::{open, open_files};
pub use names::{
    composed, is_image_name, list_names, looks_like_truth, natural_order, printed_well, stem,
    truth_stem,
};
pub use numbers::read_labels_region;
pub use pairing::{Pairing, PlaneAt, TruthOf};
pub use pixel_size::rounded_um;
pub use plane::Plane;
pub use position::Position;
pub use region::Region;
pub use source::{PlaneRef, PlaneSource, Stamp, read_pieces};
pub use store::{Product, Store};
pub use truth::{MAX_CLASSES, MaskContent, TruthFile, read_class_mask, read_labels, truth_files};
pub use write::write_atomic;
