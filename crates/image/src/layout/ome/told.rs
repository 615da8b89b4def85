//! What is to be told of a set, gathered over its images.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::list_names;

/// What is to be told of the images of a set.
#[derive(Default)]
pub(super) struct Told {
    /// Images without any plane here.
    pub(super) empty: Vec<String>,
    /// Images by what is wrong with their metadata.
    pub(super) refused: BTreeMap<String, Vec<String>>,
    /// Images whose pages have another size than stated.
    pub(super) resized: Vec<String>,
    pub(super) problems: BTreeSet<String>,
    /// Elements that name planes beyond the sizes.
    pub(super) beyond: usize,
    /// Planes, and how many of them no element names.
    pub(super) stated: usize,
    pub(super) unnamed: usize,
    /// Files with fewer pages than are named, and with pages of another size.
    pub(super) short: BTreeSet<String>,
    pub(super) other_size: BTreeSet<String>,
}

impl Told {
    /// About a set of so many `images` and `files`, of which some are `missing`.
    pub(super) fn sentences(self, missing: &[&str], files: usize, images: usize) -> Vec<String> {
        let mut said: Vec<String> = self.problems.into_iter().collect();
        if !missing.is_empty() {
            said.push(format!(
                "{} of {files} files that its OME metadata names are not there: {}",
                missing.len(),
                list_names(missing)
            ));
        }
        let list = |set: BTreeSet<String>| list_names(&set.into_iter().collect::<Vec<_>>());
        if !self.short.is_empty() {
            let files = list(self.short);
            said.push(format!(
                "its OME metadata names pages that are not there in {files}"
            ));
        }
        if !self.other_size.is_empty() {
            let files = list(self.other_size);
            said.push(format!("pages of another size are left out: {files}"));
        }
        if self.beyond > 0 {
            said.push(format!(
                "its OME metadata names {} planes that its sizes do not have, which are left out",
                self.beyond
            ));
        }
        if self.unnamed > 0 {
            said.push(format!(
                "its OME metadata names no page for {} of {} planes",
                self.unnamed, self.stated
            ));
        }
        for (what, names) in [
            (
                "have another size than it states, which is believed",
                self.resized,
            ),
            ("have none of their planes here", self.empty),
        ] {
            if !names.is_empty() {
                let (count, names) = (names.len(), list_names(&names));
                said.push(format!("{count} of {images} images {what}: {names}"));
            }
        }
        for (problem, names) in self.refused {
            said.push(format!("{problem} ({})", list_names(&names)));
        }
        said
    }
}
