//! What is known of fields that somebody has been at.

use std::collections::{BTreeMap, BTreeSet};

/// The fields of a work that have ended, whoever did them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Their outputs are there, and are what is said of them.
    pub(crate) done: BTreeSet<String>,
    /// Why they failed.
    pub(crate) failed: BTreeMap<String, String>,
    /// They are said to be done, and an output is not there or another's.
    pub(crate) lost: BTreeSet<String>,
}
