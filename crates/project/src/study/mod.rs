//! The study on disk: its choices, its fields and their parts, what is recorded of models, who owns
//! what, what people decided. No pixels are read here but to recognise an image by.

pub(crate) mod beside_model;
pub mod channels;
pub mod config;
pub(crate) mod disk;
pub(crate) mod each_field;
pub mod fields;
pub mod finding;
pub(crate) mod fingerprint;
mod folder;
pub mod group;
pub mod guard;
pub mod human;
pub(crate) mod lease;
pub mod names;
pub(crate) mod predictions;
mod progress;
pub mod provenance;
pub mod recipe;
pub mod shards;
pub mod shell;
pub mod split;
pub mod split_record;
pub(crate) mod table;
pub mod template;
#[cfg(test)]
mod tests;
pub(crate) mod vouched;

pub use self::folder::{Brightfield, DEFAULT_MODEL, Source, Study};
pub(crate) use self::folder::{keep_images_only, read_middle, relative_to, training_of};
pub use self::progress::{Cancel, Job, Progress, Silent};
