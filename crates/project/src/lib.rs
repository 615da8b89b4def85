//! A study on disk: its choices, its truth, its split, its models, and the calls that make them.
//!
//! One module a subject; each command of the program is one call here: [`new::create`],
//! [`prepare()`](prepare::prepare). Long calls take a [`Job`], through which they report progress
//! and are asked to stop; nothing here prints.

#![forbid(unsafe_code)]

mod beside_model;
pub mod compare;
pub mod config;
pub mod demo;
pub mod disagreement;
mod engine;
mod error;
pub mod evaluate;
pub mod experiment;
pub mod fields;
mod fingerprint;
mod group;
pub mod guard;
pub mod human;
pub mod illumination;
pub mod kinds;
mod lease;
mod line;
pub mod measure;
pub mod mitosis;
pub mod names;
pub mod new;
mod pictures;
mod pixel_size;
pub mod predict;
pub mod prepare;
pub mod pretrain;
mod progress;
pub mod provenance;
pub mod recipe;
pub mod registration;
pub mod report;
pub mod score_model;
pub mod segment;
mod sheet;
pub mod simulate;
pub mod split;
pub mod split_record;
pub mod start;
pub mod study;
mod table;
pub mod template;
pub mod train;
mod training;
mod truth;
mod vouched;

pub use config::Config;
pub use error::ProjectError;
pub use group::GroupRule;
pub use new::{Created, NewOptions};
pub use prepare::Prepared;
pub use progress::{Cancel, Job, Progress, Silent};
pub use split::Part;
pub use study::{Brightfield, Source, Study};
