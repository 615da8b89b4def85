//! What people type into the tables of a study, taken over before a table is written anew.

use std::collections::{BTreeMap, BTreeSet};

use super::image_of;
use super::written::Written;
use crate::study::fields::{self, FieldRow, Usable};
use crate::study::finding::Review;
use crate::study::human::excluded::{self, Exclusion};
use crate::study::human::{self, Stamp};
use crate::study::{Source, Study};
use crate::truth::mitosis;
use crate::{Job, ProjectError};

/// Takes over what a person set to `no` in `fields.csv`, before that is written anew.
pub(super) fn take_out_typed(
    study: &Study,
    written: &Written,
    excluded: &mut BTreeMap<String, Exclusion>,
    job: &Job,
) -> Result<(), ProjectError> {
    let typed = written.set_to_no(study, excluded)?;
    if typed.is_empty() {
        return Ok(());
    }
    excluded::take_over(study, &typed, &Stamp::now(job.who))?;
    *excluded = excluded::in_force(study)?;
    // The table says so at once: after an early end the same `no` would be taken for typed again,
    // even where the person has undone it since.
    let path = study.root().join(fields::FILE_NAME);
    let mut rows = fields::read_if_there(&path)?;
    for row in &mut rows {
        if let Some(exclusion) = excluded.get(&row.name)
            && typed.iter().any(|(name, _)| *name == row.name)
        {
            exclude(row, exclusion);
        }
    }
    fields::write(&path, &rows)?;
    let names: Vec<&str> = typed.iter().map(|(name, _)| name.as_str()).collect();
    job.progress.note(&format!(
        "`usable` of {} was set to `no` in `{}`: taken over into `{}`; `stainfree exclude --undo` \
         takes that back",
        names.join(", "),
        fields::FILE_NAME,
        excluded::path(study).display()
    ));
    Ok(())
}

/// The same for what was typed at the last moment, while pictures were drawn: the parts of the
/// other groups stay as they were given.
pub(super) fn take_out_late(
    study: &Study,
    written: &Written,
    excluded: &mut BTreeMap<String, Exclusion>,
    rows: &mut [FieldRow],
    job: &Job,
) -> Result<(), ProjectError> {
    let before: BTreeSet<String> = excluded.keys().cloned().collect();
    take_out_typed(study, written, excluded, job)?;
    for row in rows {
        if let Some(exclusion) = excluded.get(&row.name)
            && !before.contains(&row.name)
        {
            exclude(row, exclusion);
            row.split = None;
        }
    }
    Ok(())
}

/// Takes over what a person typed into the list of candidates while this ran, before that is
/// written anew with `rows`.
pub(super) fn take_over_typed(
    study: &Study,
    source: &Source,
    rows: &mut [Review],
    job: &Job,
) -> Result<(), ProjectError> {
    let image = |name: &str| image_of(study, source, name);
    let taken = mitosis::take_over_late(study, &Stamp::now(job.who), image, rows)?;
    if taken > 0 {
        let (s, was) = if taken == 1 {
            ("", "was")
        } else {
            ("s", "were")
        };
        job.progress.note(&format!(
            "{taken} decision{s} on nuclei {was} typed while this ran and taken over into `{}`; \
             prepare again to have the truth follow",
            human::mitosis::path(study).display()
        ));
    }
    Ok(())
}

/// Takes a field out because a person said so; what was found in it stays.
pub(super) fn exclude(row: &mut FieldRow, exclusion: &Exclusion) {
    row.usable = Usable::No;
    row.remarks = match row.remarks.as_str() {
        "" => exclusion.remark(),
        found => format!("{}; {found}", exclusion.remark()),
    };
}
