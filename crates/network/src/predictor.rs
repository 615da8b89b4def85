//! Prediction on the CPU: batch norms folded into the filters, rows made in the order of `bands`.
//!
//! What does not change from image to image ([`PreparedNetwork`]) is apart from what one image at a
//! time needs ([`Session`]), so that several images can be computed at once with one set of
//! filters.

mod gates;
mod prepared;
mod session;
#[cfg(test)]
mod tests;

pub use prepared::PreparedNetwork;
pub(crate) use prepared::prediction_scratch;
pub use session::Session;
