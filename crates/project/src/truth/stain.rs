//! The stains that truth comes from.

use serde::{Deserialize, Serialize};

use crate::study::Source;

/// A stain of a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stain {
    /// The nuclear stain.
    Nucleus,
    /// The cytoplasmic stain.
    Cytoplasm,
}

impl Stain {
    /// Both, in the order of tables.
    pub const ALL: [Stain; 2] = [Stain::Nucleus, Stain::Cytoplasm];

    /// The word in tables and messages.
    pub fn name(self) -> &'static str {
        match self {
            Stain::Nucleus => "nucleus",
            Stain::Cytoplasm => "cytoplasm",
        }
    }

    /// Its channel in the study's images.
    pub(crate) fn channel(self, source: &Source) -> Option<usize> {
        match self {
            Stain::Nucleus => source.nucleus,
            Stain::Cytoplasm => source.cytoplasm,
        }
    }
}
