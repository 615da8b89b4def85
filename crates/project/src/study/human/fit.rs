//! Decisions that no longer fit what they were made on: reported, and kept.

use std::collections::BTreeMap;

use super::corrected::{self, Correction};
use super::excluded::{self, Exclusion};
use super::mitosis::{self, Said};
use crate::study::Study;

/// Sentences on one table; beyond them, how many more there are.
const MOST: usize = 5;

/// What `prepare` saw of a field.
pub(crate) struct Seen<'a> {
    pub(crate) name: &'a str,
    /// Its image; empty where it could not be read.
    pub(crate) image: &'a str,
    /// Places of decisions at which no nucleus is.
    pub(crate) misfits: &'a [(f64, f64)],
}

impl Seen<'_> {
    /// Whether a decision was made on another image of this field.
    fn differs(&self, image: &str) -> bool {
        !image.is_empty() && !self.image.is_empty() && image != self.image
    }
}

/// A sentence for every decision that has no effect, or was made on another image.
pub(crate) fn notes(
    study: &Study,
    said: &[Said],
    excluded: &BTreeMap<String, Exclusion>,
    corrections: &BTreeMap<String, Correction>,
    seen: &[Seen],
) -> Vec<String> {
    let fields: BTreeMap<&str, &Seen> = seen.iter().map(|seen| (seen.name, seen)).collect();
    let field = |name: &str| fields.get(name).copied();

    let in_force = said.iter().enumerate().filter(|(i, one)| {
        let mut later = said[i + 1..].iter();
        one.decision.is_some() && !later.any(|other| other.same_place(one))
    });
    let of_nuclei = in_force.filter_map(|(_, one)| {
        let what = nucleus(one, field(&one.field))?;
        Some(format!(", line {}: {what}", one.line))
    });
    let of_fields = excluded.values().filter_map(|row| {
        let what = match field(&row.field) {
            None => format!("there is no field `{}`", row.field),
            Some(seen) if seen.differs(&row.image) => format!(
                "the image of field `{}` is another than the one that was excluded; it stays \
                 excluded",
                row.field
            ),
            Some(_) => return None,
        };
        Some(format!(", line {}: {what}", row.line))
    });
    let of_labels = corrections.values().filter_map(|row| {
        let seen = field(&row.field)?;
        (!row.labels.is_empty() && seen.differs(&row.image)).then(|| {
            format!(
                ": the image of field `{}` is another than the one whose nuclei were corrected; \
                 the corrected nuclei stay in force",
                row.field
            )
        })
    });
    [
        (mitosis::path(study), of_nuclei.collect::<Vec<String>>()),
        (excluded::path(study), of_fields.collect()),
        (corrected::path(study), of_labels.collect()),
    ]
    .into_iter()
    .flat_map(|(path, sentences)| {
        let more = sentences.len().saturating_sub(MOST);
        let more = (more > 0).then(|| format!("`{}`: {more} more like these", path.display()));
        let shown = sentences.into_iter().take(MOST);
        let shown: Vec<String> = shown
            .map(|what| format!("`{}`{what}", path.display()))
            .collect();
        shown.into_iter().chain(more)
    })
    .collect()
}

/// What does not fit about a decision on a nucleus.
fn nucleus(said: &Said, field: Option<&Seen>) -> Option<String> {
    let name = &said.field;
    let word = said
        .decision
        .map_or("", crate::study::human::mitosis::Decision::word);
    let Some(seen) = field else {
        return Some(format!(
            "there is no field `{name}`; the decision `{word}` is kept and has no effect"
        ));
    };
    let (y, x) = (said.y_px, said.x_px);
    if seen.misfits.contains(&(y, x)) {
        return Some(format!(
            "field `{name}` has no nucleus at y {y:.1}, x {x:.1} now; the decision `{word}` is \
             kept and has no effect"
        ));
    }
    seen.differs(&said.image).then(|| {
        format!(
            "the image of field `{name}` is another than the one that `{word}` was said of; look \
             at the nucleus at y {y:.1}, x {x:.1} again"
        )
    })
}
