//! The truth: what stains, masks and labels say of every field, and the corrections it takes first
//! (uneven light, shifts of stains). `prepare` makes it for a study.

pub(crate) mod files;
pub(crate) mod fixes;
pub(crate) mod given;
pub mod kinds;
pub mod light;
pub(crate) mod make;
pub mod mitosis;
pub mod prepare;
pub(crate) mod sheet;
pub mod shift;
pub mod stain;
