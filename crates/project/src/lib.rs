//! A study on disk: its choices, its truth, its split, its models, and the calls that make them.
//!
//! One folder a kind of data; each command of the program is one call here: [`new::create`],
//! [`prepare()`](truth::prepare::prepare). Long calls take a [`Job`], through which they report
//! progress and are asked to stop; nothing here prints.

#![forbid(unsafe_code)]

pub mod adapt;
pub mod align;
pub mod convert;
pub mod demo;
mod error;
pub mod evaluation;
pub mod export;
pub mod import;
pub mod measuring;
pub mod new;
mod pictures;
pub mod prediction;
pub mod report;
pub mod retrain;
pub mod screen;
pub mod shards;
pub mod simulate;
pub mod study;
pub mod training;
pub mod truth;

pub use error::{ProjectError, Refusal};
pub use new::{Created, NewOptions};
pub use study::config::Config;
pub use study::group::GroupRule;
pub use study::split::Part;
pub use study::{Brightfield, Cancel, Job, Progress, Silent, Source, Study};
pub use truth::prepare::Prepared;
