//! The virtual microscope: exact cells, and images of them as a microscope would take them.
//!
//! [`PlateSpec`] says what to simulate; [`simulate_field`] makes one field with its truth;
//! [`write_plate`] writes a whole plate as an ImageXpress export with a truth folder.
//!
//! From the specimen to the counts, one module each: `population` (which cells lie where),
//! `raster` (which pixel is whose), `matter` (phase, absorption, stain), `transfer` and `fft` (the
//! optics), `camera` (light, noise, counts), `truth`, `plate` with `metadata` (files).

#![forbid(unsafe_code)]

mod camera;
mod error;
mod fft;
mod field;
mod file;
mod matter;
mod metadata;
mod names;
mod noise;
mod outline;
mod plate;
mod population;
mod raster;
mod rng;
mod spec;
mod transfer;
mod truth;
mod varied;

pub use error::SpecimenError;
pub use field::{SimulatedField, simulate_field, stain_light};
pub use names::CHANNELS;
pub use plate::{PlateSummary, write_plate};
pub use spec::{Degrade, Optics, PlateSpec};
pub use truth::{CellRecord, Truth};
