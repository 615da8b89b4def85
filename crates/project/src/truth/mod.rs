//! The truth: what stains, masks and labels say of every field, and the corrections it takes first
//! (uneven light, shifts of stains, truth laid where models see the cells). `prepare` makes it for
//! a study.

pub mod align;
pub(crate) mod as_given;
mod class_mask;
mod cytoplasm;
mod field_truth;
pub(crate) mod files;
pub(crate) mod fixes;
pub(crate) mod given;
pub mod kinds;
pub mod light;
pub(crate) mod make;
pub mod mitosis;
mod moves;
mod nuclei;
pub mod prepare;
pub(crate) mod sheet;
pub mod shift;
pub mod stain;
