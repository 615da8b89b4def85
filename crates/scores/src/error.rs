//! What can be wrong with the arrays handed to a score.

use thiserror::Error;

/// Why a score could not be computed; the caller adds the names of the files.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ScoreError {
    /// Truth, prediction, probabilities or ignore mask differ in size.
    #[error(
        "{what} is {} x {} pixels but the truth is {} x {}; both must show the same field at the \
         same size",
        found.0, found.1, truth.0, truth.1
    )]
    Size {
        /// Which array differs: `prediction`, `ignore mask` or `probability plane N`.
        what: String,
        /// Height and width of that array.
        found: (usize, usize),
        /// Height and width of the truth.
        truth: (usize, usize),
    },
    /// A class mask holds a value that is neither a class nor 255.
    #[error(
        "the {what} holds class `{value}` at (y {y}, x {x}), but there are only {classes} classes \
         (0 to {}, and 255 for ignored pixels); was a label image or a 0/255 mask given instead of \
         a class mask?",
        classes.saturating_sub(1)
    )]
    UnknownClass {
        /// `truth` or `prediction`.
        what: &'static str,
        /// The value found.
        value: u8,
        /// Row of the first such pixel.
        y: usize,
        /// Column of the first such pixel.
        x: usize,
        /// Number of classes.
        classes: usize,
    },
    /// The number of classes is zero or takes the value kept for ignored pixels.
    #[error("`{classes}` classes cannot be scored; give between 1 and 255")]
    ClassNumber {
        /// The number given.
        classes: usize,
    },
    /// Two sets of field scores do not describe the same thing.
    #[error("{0}")]
    Mismatch(String),
}
