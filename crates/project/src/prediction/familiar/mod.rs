//! Whether a field is like those that a model was trained on.
//!
//! `features` has the list of what is compared, `file` what is kept of the training beside the
//! model, `compare` says how unlike a field is, and `plates` puts fields together and into words.

mod compare;
mod difference;
mod features;
mod file;
mod plates;

pub use compare::Expected;
pub(crate) use compare::{Compared, Familiarity};
pub use difference::Difference;
pub(crate) use features::Looks;
pub use file::FILE_NAME;
pub(crate) use file::{Kept, KeptField, WorseScore};
pub(crate) use plates::Gathered;
pub use plates::{PlateLooks, Strange};
