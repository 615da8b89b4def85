//! Training: what it starts from, a study's or of virtual plates, and the model that it leaves.

pub(crate) mod familiar;
mod judge;
pub mod log;
pub mod pretrain;
pub(crate) mod shared;
pub mod start;
pub(crate) mod study_fields;
pub mod train;
pub mod tune;
mod worse;

pub use self::shared::Trained;
