//! A screen of which a few wells are stained: which wells to draw, and what they say, with the
//! predictions, of all.
//!
//! Both work on tables with a row a well, as `measure --wells` writes them; no pixels are read.

pub mod estimate;
pub mod plan;
mod wells;
