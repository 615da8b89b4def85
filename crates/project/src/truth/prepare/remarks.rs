//! What is worth knowing of the truth and the split as a whole.

use std::collections::{BTreeMap, BTreeSet};

use stainfree_image::Field;

use crate::study::fields::FieldRow;
use crate::study::split::Part;
use crate::{GroupRule, Job, ProjectError};

/// Says that the truth has no nucleus, in any field or in those of a part.
pub(super) fn remark_on_empty(rows: &[FieldRow], job: &Job) {
    let nuclei = |part: Option<Part>| {
        let of_part = rows
            .iter()
            .filter(|row| row.split.is_some() && part.is_none_or(|p| row.split == Some(p)));
        let counts: Vec<usize> = of_part.map(|row| row.nuclei).collect();
        (counts.len(), counts.iter().sum::<usize>())
    };
    if let (fields @ 1.., 0) = nuclei(None) {
        job.progress.note(&format!(
            "the truth of none of {fields} usable fields has a nucleus: there is nothing to learn; \
             look at the overlays, the stain and its threshold"
        ));
        return;
    }
    for part in [Part::Train, Part::Validation, Part::Test] {
        if let (fields @ 1.., 0) = nuclei(Some(part)) {
            job.progress.note(&format!(
                "the truth of none of the {fields} {part} fields has a nucleus; another seed of \
                 the split gives other fields"
            ));
        }
    }
}

/// Says how many test fields are of a well or position of which others train, where the rule of the
/// split does not keep those together.
pub(super) fn remark_on_shared_places(
    fields: &[Field],
    rows: &[FieldRow],
    job: &Job,
) -> Result<(), ProjectError> {
    let mut places: BTreeMap<&str, String> = BTreeMap::new();
    for field in fields {
        places.insert(&field.name, GroupRule::Well.group(field)?);
    }
    let of = |part: Part| rows.iter().filter(move |row| row.split == Some(part));
    let met: BTreeSet<&String> = of(Part::Train)
        .chain(of(Part::Validation))
        .filter_map(|row| places.get(row.name.as_str()))
        .collect();
    let place = |row: &&FieldRow| {
        let place = places.get(row.name.as_str());
        place.is_some_and(|place| met.contains(place))
    };
    let shared: Vec<&FieldRow> = of(Part::Test).filter(place).collect();
    if let Some(first) = shared.first() {
        job.progress.note(&format!(
            "{} of {} test fields are of a well or position of which others train or validate, \
             such as `{}`: scores on them flatter a model; `group = \"well\"` in `[split]` keeps \
             wells and positions together",
            shared.len(),
            of(Part::Test).count(),
            first.name
        ));
    }
    Ok(())
}
