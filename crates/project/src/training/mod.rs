//! Training: what it starts from, a study's or of virtual plates, and the model that it leaves.

pub mod pretrain;
pub(crate) mod shared;
pub mod start;
pub mod train;

pub use self::shared::Trained;
