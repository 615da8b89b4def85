//! The U-Net: its graph, its numbers, training and prediction on the CPU, the model folder.
//!
//! Knows arrays and model files; knows nothing of plates and projects.
#![forbid(unsafe_code)]

pub mod augment;
mod bands;
mod conv;
pub mod crops;
pub mod description;
pub mod device;
pub mod encoder;
pub mod graph;
pub mod inherit;
pub mod input;
pub mod loss;
mod lower;
pub mod machine;
pub mod model;
pub mod onnx;
pub mod optimiser;
pub mod output;
pub mod parameters;
mod places;
pub mod predictor;
pub mod program;
pub mod random;
pub mod recipe;
pub mod resample;
mod scaling;
mod tensor_file;
pub mod tiles;
pub mod train;
pub mod trainer;
pub mod unet;
pub mod weights;

pub use crops::FieldOrder;
pub use device::{AdamStep, OptimiserState, Train};
pub use encoder::Encoder;
pub use graph::{Graph, ParameterKind};
pub use input::{InputError, InputSpec, Normalisation, Preprocessing};
pub use loss::{Loss, LossError, LossTerm};
pub use machine::{Machine, MachineIdentity};
pub use model::{Model, ModelError, ModelInfo, TrainingRecord};
pub use output::{IGNORED, Output, OutputError, OutputKind, OutputLoss};
pub use parameters::{ParameterError, Parameters, Tensor};
pub use predictor::{PreparedNetwork, Session};
pub use program::{Program, ProgramError};
pub use recipe::{BatchNormStatistics, Length, Recipe, RecipeError, Selection};
pub use stainfree_kernels::{Isa, Precision, Workers, peak};
pub use tiles::{TileError, TileOptions, argmax, predict_image};
pub use train::{
    Ending, Observer, Outcome, Picture, RawField, Silent, StepReport, TrainError, TrainJob,
    TrainingData, ValidationReport, train, train_on,
};
pub use trainer::CpuTrainer;
pub use unet::{GraphError, UnetSpec};
