//! What the last run wrote of each field, to tell what a person typed into the table since.

use std::collections::BTreeMap;

use crate::ProjectError;
use crate::study::fields::{self, FieldRow};
use crate::study::human::excluded::Exclusion;
use crate::study::{Study, vouched};

/// The usable fields as the last `prepare` wrote them into `fields.csv`, to tell what a person
/// typed there since: to be found before any of them is made anew.
#[derive(Clone, Debug, Default)]
pub(super) struct Written(BTreeMap<String, AsWritten>);

/// What is compared of a row, and what the image was that it is of.
#[derive(Clone, Debug)]
struct AsWritten {
    remarks: String,
    height: usize,
    image: String,
}

/// The rows of `fields.csv`, where it is there.
fn table(study: &Study) -> Result<Vec<FieldRow>, ProjectError> {
    fields::read_if_there(&study.root().join(fields::FILE_NAME))
}

impl Written {
    /// Of the fields that are in the table.
    ///
    /// # Errors
    /// The table is damaged.
    pub(super) fn find(study: &Study) -> Result<Self, ProjectError> {
        let usable = |row: FieldRow| {
            let kept = vouched::last(study, &row.name)?;
            let as_written = AsWritten {
                remarks: kept.row.remarks.clone(),
                height: kept.row.height,
                image: kept.facts.image.clone(),
            };
            kept.row.is_usable().then_some((row.name, as_written))
        };
        Ok(Self(table(study)?.into_iter().filter_map(usable).collect()))
    }

    /// Fields that a person took out by setting `usable` to `no`, each with its image: nothing but
    /// that cell differs, and `excluded` does not have them yet.
    ///
    /// # Errors
    /// The table is damaged.
    pub(super) fn set_to_no(
        &self,
        study: &Study,
        excluded: &BTreeMap<String, Exclusion>,
    ) -> Result<Vec<(String, String)>, ProjectError> {
        let set_to_no = |row: FieldRow| {
            let written = self.0.get(&row.name)?;
            let same = (&row.remarks, row.height) == (&written.remarks, written.height);
            let typed = same && !row.is_usable() && !excluded.contains_key(&row.name);
            typed.then(|| (row.name, written.image.clone()))
        };
        Ok(table(study)?.into_iter().filter_map(set_to_no).collect())
    }
}
