//! The study on disk: its choices, its fields and their parts, what is recorded of models, who owns
//! what, what people decided. No pixels are read here but to recognise an image by.

pub(crate) mod beside_model;
pub mod config;
pub mod fields;
mod folder;
pub mod group;
pub mod guard;
pub mod human;
pub(crate) mod lease;
pub mod names;
mod progress;
pub mod provenance;
pub mod recipe;
pub mod split;
pub mod split_record;
pub(crate) mod table;
pub mod template;
pub(crate) mod vouched;

pub use self::folder::{Brightfield, DEFAULT_MODEL, Source, Study};
pub(crate) use self::folder::{find_channel, keep_images_only, relative_to, training_of};
pub use self::progress::{Cancel, Job, Progress, Silent};
