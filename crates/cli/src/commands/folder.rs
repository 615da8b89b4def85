//! The folder that `simulate` and `pretrain` fill: `--out DIR` as everywhere, or in first place.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::failure::UsageError;

/// Where the result goes.
#[derive(clap::Args)]
pub(super) struct Folder {
    /// Folder for the result; the same as --out
    #[arg(value_name = "OUT", required_unless_present = "out")]
    first: Option<PathBuf>,

    /// Folder for the result
    #[arg(short, long, value_name = "DIR", conflicts_with = "first")]
    out: Option<PathBuf>,
}

impl Folder {
    /// The folder.
    ///
    /// # Errors
    /// None was given, which the parser has refused before.
    pub(super) fn get(&self) -> Result<&Path> {
        let given = self.first.as_deref().or(self.out.as_deref());
        given.ok_or_else(|| UsageError("name the folder: `--out DIR`".to_owned()).into())
    }
}
