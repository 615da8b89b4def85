//! Why a training cannot go on.

use std::path::PathBuf;

use crate::input::InputError;
use crate::model::ModelError;
use crate::output::OutputError;
use crate::recipe::RecipeError;
use crate::tiles::TileError;

/// A training that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Nothing to learn from.
    #[error("there are no training fields; check the split in `fields.csv`")]
    NoFields,
    /// The system gives no such number of threads.
    #[error("{0}")]
    Threads(String),
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A field cannot be read.
    #[error("field `{field}` cannot be read: {error}")]
    Read {
        /// Its name.
        field: String,
        /// Why.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A field cannot be normalised.
    #[error("field `{field}`: {error}")]
    Input {
        /// Its name.
        field: String,
        /// Why.
        error: InputError,
    },
    /// Image and truth differ.
    #[error("field `{field}`: the image is {} x {}, its truth {} x \
        {}", image.0, image.1, target.0, target.1)]
    TargetSize {
        /// Its name.
        field: String,
        /// Height and width of the image.
        image: (usize, usize),
        /// Height and width of the truth.
        target: (usize, usize),
    },
    /// A class that the network does not have.
    #[error("field `{field}`: the truth holds class `{class}`, the network has classes 0 to {} and \
        255 = ignored", classes - 1)]
    TargetClass {
        /// Its name.
        field: String,
        /// The value found.
        class: u8,
        /// Number of classes.
        classes: usize,
    },
    /// A field without labels, and an output that is learned from them.
    #[error(
        "field `{field}` has no labels of objects, which the output `{output}` is learned from"
    )]
    NoLabels {
        /// Its name.
        field: String,
        /// The output.
        output: &'static str,
    },
    /// An output that this version cannot train.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A file of the training.
    #[error("`{path}` cannot be read or written: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Writing a checkpoint failed.
    #[error(transparent)]
    Write(#[from] ModelError),
    /// A damaged checkpoint.
    #[error("`{path}` cannot be used: {what}; begin anew with `--overwrite`")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The checkpoint of other choices or other data.
    #[error(
        "`{folder}` holds {step} steps of a training that differs from this one ({differences}); \
         train under another name, or give those steps up with `--overwrite`"
    )]
    OtherTraining {
        /// The training's folder.
        folder: PathBuf,
        /// Steps that stand.
        step: u64,
        /// What differs, in words.
        differences: String,
    },
    /// More steps stand than were asked for.
    #[error(
        "`{folder}` holds {step} steps of this training already, more than the {steps} asked for; \
         ask for more steps, train under another name, or give those steps up with `--overwrite`"
    )]
    TooFewSteps {
        /// The training's folder.
        folder: PathBuf,
        /// Steps that stand.
        step: u64,
        /// Steps asked for.
        steps: u64,
    },
    /// NaN or infinity.
    #[error(
        "training stopped after step {step}: {what}; kept is {kept}; a smaller learning rate may \
         help"
    )]
    NotFinite {
        /// Steps done.
        step: u64,
        /// What was seen.
        what: String,
        /// The file that was kept.
        kept: String,
    },
    /// Statistics of images that are no numbers.
    #[error("{what} hold no numbers on these images: they are not what the network reads")]
    NoNumbers {
        /// What was seen.
        what: String,
    },
    /// A validation field cannot be computed: the memory cap is too small.
    #[error(transparent)]
    Tiles(#[from] TileError),
}
