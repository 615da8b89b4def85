//! A field against those of the training.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use stainfree_inference::Predictor;
use stainfree_scores::familiar::{Example, Familiar};

use super::difference::Difference;
use super::features::{COUNT, FEATURES, Looks, middle_of};
use super::file::{FILE_NAME, Kept, WorseScore};
use crate::Job;
use crate::study::predictions::LOOKS;

/// Differences that are named.
const MOST_NAMED: usize = 3;
/// A feature that lies this many standard deviations off the training's stands out.
const STANDS_OUT: f64 = 2.5;

/// Factor by which strangeness may differ and is about the same.
const ABOUT_AS_STRANGE: f64 = 1.5;

/// What a model scored on its validation fields: F1 of whole nuclei at IoU 0.5.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Expected {
    /// As they are.
    pub in_study: f64,
    /// Least and largest once they were made about as strange; none where no way did that.
    pub when_as_strange: Option<[f64; 2]>,
}

/// What a model knows of its training.
pub(crate) struct Familiarity {
    /// The training's fields.
    fields: Reference,
    /// The same group by group, the median of each feature.
    groups: Reference,
    /// Fields of the middle group.
    of_a_group: usize,
    /// What it scores on validation fields that were made worse.
    worse: Vec<WorseScore>,
}

/// Rows of features that others are compared with.
struct Reference {
    /// Group and features, in the order of [`FEATURES`].
    rows: Vec<(String, [f64; COUNT])>,
    /// Whether nuclei are made as they were there.
    same_rule: bool,
    /// What was learned of the features that there are: fields need not have the same.
    learned: Mutex<BTreeMap<Vec<usize>, Option<Arc<Familiar>>>>,
}

/// How unlike the training a field is.
#[derive(Clone, Debug)]
pub(crate) struct Compared {
    pub(crate) looks: Looks,
    /// 1 is what 5 % of the fields like the training exceed; `None` where too little is known.
    pub(crate) strangeness: Option<f64>,
    /// What stands out.
    pub(crate) differences: Vec<Difference>,
}

impl Compared {
    /// What `predictions.csv` says of it: `strangeness`, `strange`, `unlike` and `looks`.
    pub(crate) fn cells(&self) -> Vec<(&'static str, String)> {
        let Some(strangeness) = self.strangeness else {
            return Vec::new();
        };
        let is_strange = strangeness > 1.0;
        let words = self.differences.iter().map(|d| d.words.as_str());
        let words: Vec<&str> = words.filter(|_| is_strange).collect();
        let strange = if is_strange { "yes" } else { "no" };
        vec![
            ("strangeness", format!("{strangeness:.2}")),
            ("strange", strange.to_owned()),
            ("unlike", words.join("; ")),
            (LOOKS, self.looks.cell()),
        ]
    }
}

impl Familiarity {
    /// What the model in `folder` knows of its training; says where it knows nothing.
    pub(crate) fn open(folder: &Path, predictor: &Predictor, job: &Job) -> Option<Self> {
        let kept = match Kept::read(folder, predictor.hash()) {
            Ok(Some(kept)) => kept,
            Ok(None) => {
                job.progress.note(
                    "this model does not know what its training looked like, so fields unlike it \
                     are not marked; `stainfree tune STUDY` tells it",
                );
                return None;
            }
            Err(error) => {
                job.progress.note(&format!(
                    "fields unlike the training are not marked: {error}"
                ));
                return None;
            }
        };
        let known = Self::of(&kept, kept.rule.as_deref() == predictor.rule_word());
        let all: Vec<usize> = (0..COUNT).collect();
        if known.fields.learned(&all).is_none() {
            job.progress.note(&format!(
                "`{FILE_NAME}` has {} fields, too few to tell what is unlike them: fields are not \
                 marked",
                kept.fields.len()
            ));
        }
        Some(known)
    }

    /// How unlike the other groups of the training each of its own fields is, by name, with what
    /// is unlike in words; fields of which that cannot be told are left out.
    pub(crate) fn within(kept: &Kept) -> BTreeMap<String, (f64, String)> {
        let groups: BTreeSet<&str> = kept.fields.iter().map(|f| f.group.as_str()).collect();
        let mut all = BTreeMap::new();
        for group in groups {
            let others = Self::of(&kept.without_group(group), true);
            for field in kept.fields.iter().filter(|field| field.group == group) {
                let found = others.compare(kept.looks(field));
                let words = found.differences.iter().map(|d| d.words.as_str());
                let words: Vec<&str> = words.collect();
                if let Some(strangeness) = found.strangeness {
                    all.insert(field.name.clone(), (strangeness, words.join("; ")));
                }
            }
        }
        all
    }

    /// Of what is kept; nuclei are made by the `same_rule`, or are not compared.
    pub(crate) fn of(kept: &Kept, same_rule: bool) -> Self {
        let fields = kept.fields.iter();
        let fields = fields.map(|field| (field.group.clone(), kept.looks(field).0));
        let fields: Vec<(String, [f64; COUNT])> = fields.collect();
        let mut by_group: BTreeMap<&str, Vec<&[f64; COUNT]>> = BTreeMap::new();
        for (group, values) in &fields {
            by_group.entry(group).or_default().push(values);
        }
        let mut sizes: Vec<usize> = by_group.values().map(Vec::len).collect();
        sizes.sort_unstable();
        let middle = |(group, rows): (&&str, &Vec<&[f64; COUNT]>)| {
            ((*group).to_owned(), middle_of(rows.iter().copied()).0)
        };
        let groups: Vec<(String, [f64; COUNT])> = by_group.iter().map(middle).collect();
        Self {
            groups: Reference::new(groups, same_rule),
            fields: Reference::new(fields, same_rule),
            of_a_group: sizes.get(sizes.len() / 2).copied().unwrap_or(1),
            worse: kept.worse.clone(),
        }
    }

    /// How unlike the training a field of these `looks` is.
    pub(crate) fn compare(&self, looks: Looks) -> Compared {
        let Some((columns, row, known)) = self.fields.known(&looks) else {
            return Compared {
                looks,
                strangeness: None,
                differences: Vec::new(),
            };
        };
        let mut out: Vec<(f64, usize)> = known.deviations(&row).into_iter().zip(columns).collect();
        out.retain(|(deviation, _)| deviation.abs() >= STANDS_OUT);
        out.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()));
        let named = out.into_iter().take(MOST_NAMED);
        let differences = named
            .map(|(deviation, i)| self.difference(i, looks.0[i], deviation))
            .collect();
        Compared {
            strangeness: Some(known.strangeness(&row)),
            differences,
            looks,
        }
    }

    /// The place in the training's list of the field that looks the most like this one.
    pub(crate) fn nearest(&self, looks: &Looks) -> Option<usize> {
        let (_, row, known) = self.fields.known(looks)?;
        Some(known.nearest(&row))
    }

    /// How unlike the groups of the training `fields` fields are that have these looks in their
    /// middle: what all of them have in common shows there before it shows in one. `None` where
    /// there are fewer fields than in a group, whose middle scatters more, or too few groups.
    pub(crate) fn strangeness_of_middle(&self, looks: &Looks, fields: usize) -> Option<f64> {
        if fields < self.of_a_group {
            return None;
        }
        let (_, row, known) = self.groups.known(looks)?;
        Some(known.strangeness(&row))
    }

    /// What the model scored where things were as strange as this.
    pub(crate) fn expected(&self, strangeness: f64) -> Option<Expected> {
        let (first, worse) = self.worse.split_first()?;
        let near = strangeness / ABOUT_AS_STRANGE..strangeness * ABOUT_AS_STRANGE;
        let mut like: Vec<f64> = worse
            .iter()
            .filter(|row| near.contains(&row.strangeness))
            .map(|row| row.f1)
            .collect();
        like.sort_by(f64::total_cmp);
        Some(Expected {
            in_study: first.f1,
            when_as_strange: like.first().zip(like.last()).map(|(a, b)| [*a, *b]),
        })
    }

    fn difference(&self, feature: usize, value: f64, deviation: f64) -> Difference {
        let rows = self.fields.rows.iter();
        let mut there: Vec<f64> = rows.map(|(_, values)| values[feature]).collect();
        there.sort_by(f64::total_cmp);
        Difference::new(&FEATURES[feature], value, &there, deviation)
    }
}

impl Reference {
    fn new(rows: Vec<(String, [f64; COUNT])>, same_rule: bool) -> Self {
        Self {
            rows,
            same_rule,
            learned: Mutex::default(),
        }
    }

    /// Of the features `wanted` those that all rows have.
    fn columns(&self, wanted: &[usize]) -> Vec<usize> {
        let has = |i: &usize| self.rows.iter().all(|(_, values)| values[*i].is_finite());
        let counts = |i: &usize| self.same_rule || !FEATURES[*i].by_rule;
        wanted.iter().copied().filter(counts).filter(has).collect()
    }

    fn learned(&self, wanted: &[usize]) -> Option<(Vec<usize>, Arc<Familiar>)> {
        let columns = self.columns(wanted);
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        let known = learned.entry(columns.clone()).or_insert_with(|| {
            let of = |values: &[f64; COUNT]| columns.iter().map(|&i| values[i]).collect();
            let examples: Vec<Example> = self
                .rows
                .iter()
                .map(|(group, values)| Example {
                    group: group.clone(),
                    values: of(values),
                })
                .collect();
            let none: Vec<f64> = columns.iter().map(|&i| FEATURES[i].none).collect();
            Familiar::learn(&examples, &none).map(Arc::new)
        });
        known.clone().map(|known| (columns, known))
    }

    /// The features that `looks` and all rows have, those of `looks`, and what is known of them.
    fn known(&self, looks: &Looks) -> Option<(Vec<usize>, Vec<f64>, Arc<Familiar>)> {
        let has: Vec<usize> = (0..COUNT).filter(|&i| looks.0[i].is_finite()).collect();
        let (columns, known) = self.learned(&has)?;
        let row = columns.iter().map(|&i| looks.0[i]).collect();
        Some((columns, row, known))
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::KeptField;
    use super::*;

    #[test]
    fn fields_are_told_against_groups_other_than_their_own() {
        let light = FEATURES.iter().position(|feature| feature.key == "light");
        let mut fields = Vec::new();
        for group in 0..8 {
            for field in 0..3 {
                let scatter = |i: usize| ((group * 3 + field) as f64 * 1.7 + i as f64 * 2.3).sin();
                let mut looks = Looks(std::array::from_fn(|i| 0.01 * scatter(i)));
                // A whole group that is dark: among its own its fields would be nothing special.
                if group == 5 {
                    looks.0[light.unwrap()] -= 0.5;
                }
                let name = format!("g{group}f{field}");
                fields.push(KeptField::new(&name, &format!("g{group}"), true, &looks));
            }
        }
        let kept = Kept::new("model", None, fields);
        let found = Familiarity::within(&kept);
        assert_eq!(found.len(), 24);
        let mut names: Vec<&String> = found.keys().collect();
        names.sort_by(|a, b| found[*b].0.total_cmp(&found[*a].0));
        let mut first: Vec<&str> = names[..3].iter().map(|name| name.as_str()).collect();
        first.sort_unstable();
        assert_eq!(first, ["g5f0", "g5f1", "g5f2"]);
        let (strangeness, words) = &found["g5f0"];
        assert!(*strangeness > 2.0, "{strangeness}");
        assert!(words.starts_with("darker by"), "{words}");
    }
}
