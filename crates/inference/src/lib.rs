//! A trained model on images: planes in, classes, outputs and nuclei out.
//!
//! [`Predictor::open`] loads a model's folder, [`Predictor::predict`] computes one image within the
//! machine's cap on memory. Knows arrays and model folders; knows nothing of studies, plates and
//! which channel of a data set is the brightfield. Prints nothing and reads no image.
//!
//! ```no_run
//! use stainfree_image::{Image, Plane};
//! use stainfree_inference::{Options, Predictor};
//! use stainfree_network::Machine;
//!
//! # fn main() -> Result<(), stainfree_inference::InferenceError> {
//! let mut predictor = Predictor::open("model".as_ref(), &Machine::new(4), &Options::default())?;
//! let brightfield = Plane::U16(Image::filled(1024, 1360, 20_000));
//! let found = predictor.predict(&[brightfield], Some(0.65))?;
//! println!("{} nuclei", found.count);
//! # Ok(())
//! # }
//! ```

// One function asks a library whether it is ONNX Runtime (`device::onnx_runtime`).
#![deny(unsafe_code)]

mod cap;
mod cells;
pub mod confidence;
mod decisions;
mod device;
mod error;
mod nuclei;
pub mod planes;
mod prediction;
mod predictor;
pub mod probabilities;
mod regions;
mod remark;

pub use cap::DEFAULT_MEMORY;
pub use cells::{CYTOPLASM, CellSurvey, cell_rows, cells, cytoplasm_class};
pub use confidence::{Confidence, FILE_NAME as CONFIDENCE};
pub use decisions::{
    CurvePoint, Decisions, FILE_NAME as DECISIONS, Promise, Trial, UNKNOWN_UM, default_rule,
    read_rule, ways,
};
pub use device::{Device, Provider, onnx_runtime_providers};
pub use error::InferenceError;
pub use nuclei::{MITOTIC, Nuclei, NucleusDecoder};
pub use prediction::{PROBABILITIES, Pixels, PredictedOutput, Prediction, largest};
pub use predictor::{Options, Predictor, RuleChoice};
pub use probabilities::{FILE_NAME as TEMPERATURES, Temperatures};
pub use regions::{RegionImage, RegionSink, RegionsDone};
pub use remark::Remark;
pub use stainfree_objects::RowsDone;
