//! What a training is recognised by: its choices, what it learns from, and where it starts.
//!
//! A checkpoint holds it in full and not as one digest, so that whoever gives the command again is
//! told what differs. The number of steps is no part of it: a training may be made longer. The
//! machine is, but does not part trainings: its arithmetic differs in the last bits only, which is
//! said.

use super::{FieldContent, TrainError, TrainJob, TrainingData};
use crate::description::describe;
use crate::model::sha256;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stainfree_kernels::Workers;
use std::collections::BTreeMap;

/// All that must be the same in two parts of one training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// The recipe without its length, as a tree, so that keys of other versions are seen too.
    recipe: Value,
    input: Value,
    classes: usize,
    /// Digest of the network's nodes.
    #[serde(default)]
    graph: Option<String>,
    /// Digest of the parameters before the first step.
    start: String,
    pub(super) training: Vec<FieldContent>,
    pub(super) validation: Vec<FieldContent>,
}

impl FieldContent {
    /// The one content of fields that follow from `series`, in words.
    pub fn of_series(series: String) -> Self {
        Self {
            image: sha256(series.as_bytes()),
            truth: String::new(),
            full_range: None,
            name: series,
        }
    }
}

impl Identity {
    pub(super) fn of(job: &TrainJob, workers: &Workers) -> Result<Self, TrainError> {
        let mut recipe = json!(job.recipe);
        if let Some(keys) = recipe.as_object_mut() {
            keys.remove("length");
        }
        Ok(Self {
            recipe,
            input: json!(job.input),
            classes: job.graph.classes(),
            graph: Some(sha256(describe(job.graph).as_bytes())),
            start: sha256(start_digests(job).concat().as_bytes()),
            training: job.training.contents(workers)?,
            validation: job.validation.contents(workers)?,
        })
    }

    /// What differs, in words; empty where nothing does.
    pub(super) fn differences(&self, now: &Self) -> Vec<String> {
        let mut found = Vec::new();
        compare("", &self.recipe, &now.recipe, &mut found);
        compare("input", &self.input, &now.input, &mut found);
        if self.classes != now.classes {
            found.push(format!(
                "the number of classes was {}, now {}",
                self.classes, now.classes
            ));
        }
        if self.graph.is_some() && self.graph != now.graph {
            found.push("the network has other nodes or constants".into());
        }
        if self.start != now.start {
            found.push("it starts from other weights".into());
        }
        for (part, was, is) in [
            ("training", &self.training, &now.training),
            ("validation", &self.validation, &now.validation),
        ] {
            found.extend(field_differences(part, was, is));
        }
        found
    }
}

/// Digests of the parameters that a training starts from, one for each tensor.
fn start_digests(job: &TrainJob) -> Vec<String> {
    job.start
        .iter()
        .map(|t| {
            let bytes: Vec<u8> = t.data.iter().flat_map(|x| x.to_le_bytes()).collect();
            sha256(&bytes)
        })
        .collect()
}

/// What earlier versions recognised a training by: everything but the pixels, in one digest.
pub(super) fn earlier(job: &TrainJob) -> String {
    let names = |data: &dyn TrainingData| (0..data.len()).map(|i| data.name(i)).collect::<Vec<_>>();
    let all = json!({
        "recipe": job.recipe, "input": job.input, "classes": job.graph.classes(),
        "start": start_digests(job), "training": names(job.training),
        "validation": names(job.validation),
    });
    sha256(all.to_string().as_bytes())
}

/// Names every place where two trees differ, with both values.
fn compare(place: &str, was: &Value, is: &Value, found: &mut Vec<String>) {
    match (was, is) {
        _ if was == is => {}
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                let below = match place {
                    "" => key.clone(),
                    _ => format!("{place}.{key}"),
                };
                let null = &Value::Null;
                let value = |map: &serde_json::Map<String, Value>| map.get(key).cloned();
                let (a, b) = (value(a), value(b));
                compare(
                    &below,
                    a.as_ref().unwrap_or(null),
                    b.as_ref().unwrap_or(null),
                    found,
                );
            }
        }
        _ => found.push(format!(
            "`{place}` was `{}`, now `{}`",
            plain(was),
            plain(is)
        )),
    }
}

/// A value as a person would write it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "not set".into(),
        other => other.to_string(),
    }
}

/// Which fields were added, taken away or changed, and whether it was image or truth.
fn field_differences(part: &str, was: &[FieldContent], is: &[FieldContent]) -> Vec<String> {
    let by_name = |list: &[FieldContent]| -> BTreeMap<String, FieldContent> {
        list.iter().map(|f| (f.name.clone(), f.clone())).collect()
    };
    let (before, now) = (by_name(was), by_name(is));
    let names = |keep: &dyn Fn(&String) -> bool, of: &BTreeMap<String, FieldContent>| {
        of.keys()
            .filter(|name| keep(name))
            .cloned()
            .collect::<Vec<_>>()
    };
    let changed = |same: &dyn Fn(&FieldContent, &FieldContent) -> bool| {
        names(
            &|name| before.get(name).is_some_and(|old| !same(old, &now[name])),
            &now,
        )
    };
    let mut found = Vec::new();
    for (what, fields) in [
        (
            "no longer among them",
            names(&|n| !now.contains_key(n), &before),
        ),
        ("new among them", names(&|n| !before.contains_key(n), &now)),
        ("of other images", changed(&|a, b| a.image == b.image)),
        ("of other truth", changed(&|a, b| a.truth == b.truth)),
    ] {
        if !fields.is_empty() {
            found.push(format!("{part} fields {what}: {}", listed(&fields)));
        }
    }
    found.extend(range_differences(part, &before, is));
    let names = |list: &[FieldContent]| list.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
    if found.is_empty() && names(was) != names(is) {
        found.push(format!("the {part} fields come in another order"));
    }
    found
}

/// Which fields have the same pixels in a format of another range; where an earlier version did not
/// write it down, none is known to.
fn range_differences(
    part: &str,
    before: &BTreeMap<String, FieldContent>,
    now: &[FieldContent],
) -> Option<String> {
    let changed = |field: &FieldContent| {
        let old = before.get(&field.name)?;
        let ranges = [old.full_range?, field.full_range?];
        (ranges[0] != ranges[1]).then(|| (field.name.clone(), ranges))
    };
    let (fields, ranges): (Vec<String>, Vec<[f32; 2]>) = now.iter().filter_map(changed).unzip();
    let [was, is] = ranges.first()?;
    Some(format!(
        "{part} fields whose format holds values up to {is} and held values up to {was}, so that \
         the network is given other numbers: {}",
        listed(&fields)
    ))
}

/// The first few names, and how many more there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, image: &str, truth: &str) -> FieldContent {
        let [name, image, truth] = [name, image, truth].map(String::from);
        FieldContent {
            name,
            image,
            truth,
            full_range: Some(255.0),
        }
    }

    #[test]
    fn changed_choices_are_named_with_both_values() {
        let mut found = Vec::new();
        let was = json!({"batch": 4, "adam": {"lr": 0.1, "beta1": 0.9}, "seed": 1});
        let is = json!({"batch": 2, "adam": {"lr": 0.2, "beta1": 0.9}, "new": "x", "seed": 1});
        compare("", &was, &is, &mut found);
        let expected = [
            "`adam.lr` was `0.1`, now `0.2`",
            "`batch` was `4`, now `2`",
            "`new` was `not set`, now `x`",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn changed_fields_are_named_by_what_changed() {
        let was = [
            field("a", "1", "1"),
            field("b", "2", "2"),
            field("c", "3", "3"),
        ];
        let is = [
            field("a", "9", "1"),
            field("b", "2", "9"),
            field("d", "3", "3"),
        ];
        let expected = [
            "training fields no longer among them: `c`",
            "training fields new among them: `d`",
            "training fields of other images: `a`",
            "training fields of other truth: `b`",
        ];
        assert_eq!(field_differences("training", &was, &is), expected);
        let turned = [was[1].clone(), was[0].clone(), was[2].clone()];
        let words = field_differences("training", &was, &turned);
        assert_eq!(words, ["the training fields come in another order"]);
        assert!(field_differences("training", &was, &was).is_empty());
    }

    #[test]
    fn the_same_pixels_in_a_wider_format_are_other_inputs() {
        let was = [field("a", "1", "1"), field("b", "2", "2")];
        let mut is = was.clone();
        is[1].full_range = Some(65_535.0);
        let expected = "training fields whose format holds values up to 65535 and held values up \
            to 255, so that the network is given other numbers: `b`";
        assert_eq!(field_differences("training", &was, &is), [expected]);
        // An earlier version did not say.
        is[1].full_range = None;
        assert!(field_differences("training", &is, &was).is_empty());
    }
}
