//! What can go wrong with a prediction, each in one sentence.

use std::path::PathBuf;

use stainfree_image::ImageError;
use stainfree_network::input::InputError;
use stainfree_network::model::ModelError;
use stainfree_network::resample::ResampleError;
use stainfree_network::tiles::TileError;
use stainfree_objects::ObjectsError;

use crate::cap::Cap;

/// Why a model could not be opened, or an image not be predicted. None of them names the image,
/// which only the caller knows by name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferenceError {
    /// The model's folder cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The system gives no such number of threads.
    #[error("{0}")]
    Threads(String),
    /// The planes are not what the model reads: their number, their sizes, their pixels.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A part of the image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// No pixel shows anything of the specimen.
    #[error(
        "the image shows nothing: every pixel holds one value or no number; look at it, or leave \
         it out"
    )]
    NothingSeen,
    /// Image and model differ too much in pixel size.
    #[error(transparent)]
    PixelSize(#[from] ResampleError),
    /// The cap on memory is below the smallest tile.
    #[error(
        "{} of memory are too little for its smallest tile; allow `--memory {}` or more",
        Cap(*cap), Cap(*needed)
    )]
    Memory {
        /// The cap, bytes.
        cap: usize,
        /// The least that would do, bytes.
        needed: usize,
    },
    /// What waits for its rows cannot be kept on the disk.
    #[error(
        "what the network says of a wide image cannot be kept in `{}` until its rows are whole: \
         {source}; make room there, or let the results go to another disk", folder.display()
    )]
    Scratch {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The network's result is no number.
    #[error(transparent)]
    Network(#[from] TileError),
    /// The rule by which nuclei are made cannot be had.
    #[error(
        "`{}` cannot be used: {what}; choose a rule with `stainfree tune`, or delete the file and \
         take the default", path.display()
    )]
    Decisions {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// What says how sure nuclei are cannot be had.
    #[error(
        "`{}` cannot be used: {what}; fit it anew with `stainfree tune`, or delete the file and do \
         without confidences", path.display()
    )]
    Confidence {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// What makes probabilities of pixels hold cannot be had.
    #[error(
        "`{}` cannot be used: {what}; fit it anew with `stainfree tune`, or delete the file and \
         take probabilities as the network gives them", path.display()
    )]
    Probabilities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The nuclei could not be made from the classes; a pixel size that is no size.
    #[error(transparent)]
    Nuclei(#[from] ObjectsError),
}
