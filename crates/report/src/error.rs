//! What can go wrong while drawing or writing a report.

use thiserror::Error;

/// Why a picture or the report could not be made.
#[derive(Debug, Error)]
pub enum ReportError {
    /// Two images that show the same field differ in size.
    #[error(
        "the {what} is {} x {} pixels but the picture below it is {} x {}; both must show the same \
         field",
        found.0, found.1, expected.0, expected.1
    )]
    Size {
        /// What differs: `class mask`, `labels`, `truth`.
        what: &'static str,
        /// Its height and width.
        found: (usize, usize),
        /// Height and width of the picture.
        expected: (usize, usize),
    },
    /// An empty picture cannot be written.
    #[error("a picture of {height} x {width} pixels cannot be written; it has no pixels")]
    Empty {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// The PNG encoder failed.
    #[error("a picture of {height} x {width} pixels could not be encoded as PNG")]
    Png {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// What the encoder said.
        source: std::io::Error,
    },
    /// A name that is no well.
    #[error("`{name}` is no well of a plate; a well is named by row and column, such as `B02`")]
    Well {
        /// The name.
        name: String,
    },
    /// The page template failed.
    #[error("the report page could not be put together")]
    Template(#[from] minijinja::Error),
}
