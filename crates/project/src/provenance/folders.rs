//! Folders of predictions against folders of truth: which of them may be scored as a test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;
use stainfree_image::{read_class_mask, read_labels};
use stainfree_scores::{ScoredOn, Standing};

use super::judge::{Candidate, Judged};
use super::predictions::{Source, Tables};
use super::{Content, Provenance};
use crate::{Job, Part, ProjectError};

/// Digits of a hash by which messages call a model that has no name.
const SHORT: usize = 12;

/// A field with its files.
pub(crate) struct Pairing<'a> {
    pub(crate) name: &'a str,
    pub(crate) group: Option<String>,
    pub(crate) prediction: &'a Path,
    /// Its true class mask, where one is given.
    pub(crate) classes: Option<&'a Path>,
    /// Its true labels, where they are given.
    pub(crate) nuclei: Option<&'a Path>,
}

/// The names of the fields that are scored, and what the scores are called; `None` where none of
/// the predictions is known to be one of this program.
///
/// Asked for the test, fields are scored that their models have not met; asked for another part,
/// those that were of that part.
///
/// # Errors
/// [`ProjectError::NothingUnseen`], no field of the part that was asked for, a damaged record.
pub(crate) fn choose(
    pairings: &[Pairing],
    part: Part,
    job: &Job,
) -> Result<(BTreeSet<String>, Option<ScoredOn>), ProjectError> {
    let mut tables = Tables::default();
    let mut models: BTreeMap<String, Vec<(&Pairing, Source)>> = BTreeMap::new();
    let mut scored = BTreeSet::new();
    for pairing in pairings {
        match tables.source(pairing.prediction, pairing.name)? {
            Some(source) => models
                .entry(source.model.clone())
                .or_default()
                .push((pairing, source)),
            None => {
                scored.insert(pairing.name.to_owned());
            }
        }
    }
    let mut all: Option<ScoredOn> = None;
    let mut nothing = None;
    for (hash, fields) in models {
        match of_model(&hash, &fields, part, job) {
            Ok((names, on)) => {
                scored.extend(names);
                all = Some(match all {
                    None => on,
                    Some(before) => joined(before, on),
                });
            }
            Err(error @ ProjectError::NothingUnseen { .. }) => nothing = Some(error),
            Err(error) => return Err(error),
        }
    }
    match nothing {
        Some(error) if scored.is_empty() => Err(error),
        Some(error) => {
            let note = format!("; {error}");
            if let Some(on) = &mut all {
                on.note.push_str(&note);
            }
            Ok((scored, all))
        }
        None => Ok((scored, all)),
    }
}

/// The same for the predictions of one model.
fn of_model(
    hash: &str,
    fields: &[(&Pairing, Source)],
    part: Part,
    job: &Job,
) -> Result<(Vec<String>, ScoredOn), ProjectError> {
    let record = fields[0].1.record()?;
    let contents: Vec<Result<Content, ProjectError>> = job.run(|| {
        let content = |(pairing, source): &(&Pairing, Source)| match &record {
            Some(_) => content_of(pairing, source),
            None => Ok(source.content.clone()),
        };
        fields.par_iter().map(content).collect()
    })?;
    let index = record.as_ref().map(Provenance::index);
    let mut candidates = Vec::new();
    for ((pairing, _), content) in fields.iter().zip(contents) {
        // A truth that cannot be read is reported where it is scored.
        let content = content.unwrap_or_default();
        let role = index.as_ref().and_then(|index| index.met(&content));
        if part == Part::Test || role.is_some_and(|field| field.role == part) {
            candidates.push(Candidate {
                name: pairing.name.to_owned(),
                group: pairing.group.clone(),
                content,
                corrected: false,
            });
        }
    }
    let name = hash.get(..SHORT).unwrap_or(hash);
    if candidates.is_empty() {
        return Err(ProjectError::Failed(match record {
            Some(_) => format!("no field that is given is a {part} field of the model `{name}`"),
            None => format!(
                "the model `{name}` does not record what it trained on, so its {part} fields are \
                 not known"
            ),
        }));
    }
    let judged = Judged {
        name,
        hash,
        record: record.as_ref(),
        same_groups: false,
        otherwise_known: false,
    };
    judged.choose(part, &candidates)
}

/// What a field is recognised by: the image that was predicted, and the truth it is scored with.
fn content_of(pairing: &Pairing, source: &Source) -> Result<Content, ProjectError> {
    let classes = pairing.classes.map(read_class_mask).transpose()?;
    let nuclei = pairing.nuclei.map(read_labels).transpose()?;
    Ok(source
        .content
        .clone()
        .with_truth(classes.as_ref(), nuclei.as_ref()))
}

/// The predictions of several models together are as sure as the least sure of them.
fn joined(mut one: ScoredOn, other: ScoredOn) -> ScoredOn {
    if other.standing == Standing::Unknown {
        one.standing = Standing::Unknown;
    }
    let add = |a: Option<usize>, b: Option<usize>| Some(a? + b?);
    one.model = format!("{} {}", one.model, other.model);
    one.asked += other.asked;
    one.left_out.extend(other.left_out);
    one.truth_changed = add(one.truth_changed, other.truth_changed);
    one.corrected = add(one.corrected, other.corrected);
    one.note = format!("{}; of another model: {}", one.note, other.note);
    one
}
