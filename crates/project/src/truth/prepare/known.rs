//! Since when a field has which corrected nuclei.

use std::collections::{BTreeMap, BTreeSet};

use super::field::Outcome;
use crate::ProjectError;
use crate::study::Study;
use crate::study::human::Stamp;
use crate::study::human::corrected::{self, Correction};
use crate::truth::files::TruthFiles;

/// What was known of corrected nuclei before this run.
pub(super) struct Known {
    last: BTreeMap<String, Correction>,
    /// Fields whose corrections an earlier version has taken into the truth.
    earlier: BTreeSet<String>,
}

impl Known {
    pub(super) fn of(study: &Study, files: &TruthFiles) -> Result<Self, ProjectError> {
        let names = files.corrected().keys();
        let earlier = names.filter(|name| study.automatic_path(name).is_file());
        Ok(Self {
            last: corrected::last(study)?,
            earlier: earlier.cloned().collect(),
        })
    }

    /// Writes down which nuclei were corrected, or are no longer, since the last run.
    pub(super) fn record(
        &self,
        study: &Study,
        files: &TruthFiles,
        outcomes: &[Outcome],
        who: &str,
    ) -> Result<(), ProjectError> {
        let now = Stamp::now(who);
        let row = |field: &str, labels: &str, image: &str, stamp: &Stamp| Correction {
            field: field.to_owned(),
            labels: labels.to_owned(),
            image: image.to_owned(),
            who: stamp.who.clone(),
            when: stamp.when.clone(),
        };
        let mut rows = Vec::new();
        for outcome in outcomes {
            let name = outcome.row.name.as_str();
            let last = self.last.get(name);
            let labels = outcome.facts.labels.as_deref();
            let file = files.corrected().get(name);
            let image = &outcome.facts.image;
            match (labels, last, file) {
                (Some(labels), Some(last), _) if last.labels == labels => {}
                // They were part of the truth already: since when, only the file tells.
                (Some(labels), None, Some(file)) if self.earlier.contains(name) => {
                    let stamp = corrected::stamp_of_file(file, who);
                    rows.push(row(name, labels, image, &stamp));
                }
                (Some(labels), _, _) => rows.push(row(name, labels, image, &now)),
                (None, Some(last), None) if !last.labels.is_empty() => {
                    rows.push(row(name, "", image, &now));
                }
                (None, _, _) => {}
            }
        }
        corrected::append(study, &rows)
    }
}
