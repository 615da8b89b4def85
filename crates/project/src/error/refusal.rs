//! Why an output is not written: it would take the place of something else.

use std::path::PathBuf;

/// Why something is not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// An output would take the place of an input.
    #[error("`{}` is read by this command and would be replaced; {way_out}", path.display())]
    Input {
        /// The input.
        path: PathBuf,
        /// What to do instead.
        way_out: String,
    },
    /// Results would lie among the images that they are of.
    #[error(
        "`{}` holds images that are read, such as `{}`; {way_out}",
        folder.display(),
        example.display()
    )]
    HoldsInputs {
        /// The folder that was to take the results.
        folder: PathBuf,
        /// One of the images.
        example: PathBuf,
        /// What to do instead.
        way_out: String,
    },
    /// The file is there, and it is not one that the command has written before.
    #[error("`{}` is there and is no {expected}; {way_out}", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What may be replaced.
        expected: String,
        /// What to do instead.
        way_out: String,
    },
    /// The folder is something else.
    #[error("`{}` is {found}; {way_out}", folder.display())]
    OtherFolder {
        /// The folder.
        folder: PathBuf,
        /// What it is.
        found: String,
        /// What to do instead.
        way_out: String,
    },
    /// Two outputs are one file.
    #[error(
        "`{}` and `{}` are the same file; give each a name of its own",
        first.display(),
        second.display()
    )]
    Twice {
        /// One output.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
}
