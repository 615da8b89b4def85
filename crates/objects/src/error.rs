//! What can go wrong: only arguments that make no sense; no pixel content is an error.

use thiserror::Error;

/// Why a classical operation could not be done.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ObjectsError {
    /// An image without pixels.
    #[error("the image has no pixels (`{height}` x `{width}`); give a field of at least 1 x 1")]
    NoPixels {
        /// Rows of the image.
        height: usize,
        /// Columns of the image.
        width: usize,
    },
    /// NaN or infinite intensities.
    #[error(
        "the stain has `{count}` values that are not finite; write them as numbers before \
         segmenting"
    )]
    NotFinite {
        /// Number of NaN or infinite values.
        count: usize,
    },
    /// No value at all that is a number.
    #[error("none of the `{count}` values of the stain is a number; there is nothing to segment")]
    NothingFinite {
        /// Number of NaN or infinite values.
        count: usize,
    },
    /// A pixel size that is no size.
    #[error("pixel size `{value}` um is not a positive number; give it in um or leave it out")]
    PixelSize {
        /// The value given.
        value: f64,
    },
    /// A setting outside its range.
    #[error("`{setting}` = `{value}` is out of range; it must be {range}")]
    Setting {
        /// Name of the setting as in the config file.
        setting: &'static str,
        /// The value given.
        value: f64,
        /// The range in words.
        range: &'static str,
    },
    /// A splitting method that reads of a prediction what is not there.
    #[error(
        "`{method}` reads {what} of a prediction, and there are none (a stain has none); choose \
         another"
    )]
    NotPredicted {
        /// Name of the method.
        method: &'static str,
        /// What it reads.
        what: &'static str,
    },
    /// A name that is not in a registry.
    #[error("unknown {kind} `{name}`; choose one of: {choices}")]
    UnknownName {
        /// What was being chosen, such as `threshold`.
        kind: &'static str,
        /// The name given.
        name: String,
        /// All known names, separated by commas.
        choices: String,
    },
    /// Two images that must cover the same pixels do not.
    #[error(
        "{first} is `{first_height}` x `{first_width}` but {second} is `{second_height}` x \
         `{second_width}`; both must show the same field"
    )]
    SizeMismatch {
        /// What the first image is.
        first: &'static str,
        /// Rows of the first image.
        first_height: usize,
        /// Columns of the first image.
        first_width: usize,
        /// What the second image is.
        second: &'static str,
        /// Rows of the second image.
        second_height: usize,
        /// Columns of the second image.
        second_width: usize,
    },
}

/// Checks that two images of one field have the same size.
pub(crate) fn same_size(
    first: &'static str,
    first_size: (usize, usize),
    second: &'static str,
    second_size: (usize, usize),
) -> Result<(), ObjectsError> {
    if first_size == second_size {
        return Ok(());
    }
    Err(ObjectsError::SizeMismatch {
        first,
        first_height: first_size.0,
        first_width: first_size.1,
        second,
        second_height: second_size.0,
        second_width: second_size.1,
    })
}
