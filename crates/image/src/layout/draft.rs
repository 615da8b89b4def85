//! A field as a layout finds it, before anything is checked.

use std::collections::BTreeMap;

use crate::PlaneRef;

/// A plane with the size that its header states.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) place: PlaneRef,
    pub(super) size: (usize, usize),
}

/// A field as a layout found it; unchecked.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) name: String,
    /// The place that the field shows at its time; the name where it is left open.
    pub(super) position: Option<String>,
    pub(super) plate: Option<String>,
    pub(super) well: Option<String>,
    pub(super) site: Option<u32>,
    pub(super) time: Option<u32>,
    /// Channel name and its planes along z.
    pub(super) channels: Vec<(String, Vec<Option<Slot>>)>,
    /// Pixel sizes stated by the files, in µm.
    pub(super) pixel_um: Vec<f64>,
    pub(super) metadata: BTreeMap<String, String>,
}

impl Draft {
    pub(super) fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }
}
