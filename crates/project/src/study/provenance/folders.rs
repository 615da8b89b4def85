//! Folders of predictions against folders of truth: which of them may be scored as a test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use stainfree_image::{read_class_mask, read_labels};
use stainfree_scores::{ScoredOn, Standing};

use super::judge::{Candidate, Given, Judged};
use super::predictions::{Source, Tables};
use super::{Content, Provenance};
use crate::study::each_field::EachField;
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
/// those that were of that part. Predictions of no known model beside others are scored with them,
/// and nothing is called a test then; they are of no other part.
///
/// # Errors
/// [`ProjectError::NothingUnseen`], no field of the part that was asked for, a table of predictions
/// or a record that is damaged.
pub(crate) fn choose(
    pairings: &[Pairing],
    part: Part,
    job: &Job,
) -> Result<(BTreeSet<String>, Option<ScoredOn>), ProjectError> {
    let mut tables = Tables::default();
    let mut models: BTreeMap<String, Vec<(&Pairing, Source)>> = BTreeMap::new();
    let mut strangers = Vec::new();
    for pairing in pairings {
        match tables.source(pairing.prediction, pairing.name)? {
            Some(source) => models
                .entry(source.model.clone())
                .or_default()
                .push((pairing, source)),
            None => strangers.push(pairing.name.to_owned()),
        }
    }
    if models.is_empty() && part == Part::Test {
        return Ok((strangers.into_iter().collect(), None));
    }
    let mut chosen = Chosen::default();
    for (hash, fields) in models {
        match of_model(&hash, &fields, part, job)? {
            Ok((names, on)) => chosen.add(names, on),
            Err(why) => chosen.refuse(&fields, why),
        }
    }
    chosen.add_strangers(strangers, part);
    chosen.done()
}

/// What was chosen so far of predictions that several models may have made.
#[derive(Default)]
struct Chosen {
    scored: BTreeSet<String>,
    on: Option<ScoredOn>,
    /// Why none of a model's fields is scored, and how many there are.
    refused: Vec<(ProjectError, Vec<String>)>,
}

impl Chosen {
    fn add(&mut self, names: Vec<String>, on: ScoredOn) {
        self.scored.extend(names);
        self.on = Some(match self.on.take() {
            None => on,
            Some(before) => joined(before, on),
        });
    }

    fn refuse(&mut self, fields: &[(&Pairing, Source)], why: ProjectError) {
        let names = fields.iter().map(|(pairing, _)| pairing.name.to_owned());
        self.refused.push((why, names.collect()));
    }

    /// Adds predictions of no known model: what that has met nobody knows.
    fn add_strangers(&mut self, names: Vec<String>, part: Part) {
        let Some(first) = names.first() else { return };
        let count = names.len();
        let fields = format!("{count} field{}", if count == 1 { "" } else { "s" });
        if part != Part::Test {
            let why = format!(
                "{fields} (first: `{first}`) are predictions that do not say which model made \
                 them, so its {part} fields are not known"
            );
            self.refused.push((ProjectError::Failed(why), names));
            return;
        }
        let note = format!(
            "scored on {fields} (first: `{first}`) whose predictions do not say which model made \
             them, so they may have trained it and this may be no test"
        );
        let on = ScoredOn {
            standing: Standing::Unknown,
            model: String::new(),
            asked: count,
            left_out: Vec::new(),
            truth_changed: None,
            corrected: None,
            note,
        };
        self.add(names, on);
    }

    fn done(mut self) -> Result<(BTreeSet<String>, Option<ScoredOn>), ProjectError> {
        let Some(on) = &mut self.on else {
            let first = self.refused.into_iter().next();
            let none = || ProjectError::Failed("there is no field to be scored".to_owned());
            return Err(first.map_or_else(none, |(why, _)| why));
        };
        for (why, names) in self.refused {
            on.asked += names.len();
            on.left_out.extend(names);
            on.note.push_str(&format!("; {why}"));
        }
        Ok((self.scored, self.on))
    }
}

/// Names of fields, and what their scores are called; or why there are none.
type Choice = Result<(Vec<String>, ScoredOn), ProjectError>;

/// The same for the predictions of one model.
fn of_model(
    hash: &str,
    fields: &[(&Pairing, Source)],
    part: Part,
    job: &Job,
) -> Result<Choice, ProjectError> {
    let record = fields[0].1.record()?;
    let quiet = job.quiet();
    let each = EachField::new(&quiet, fields, |(pairing, _)| pairing.name.to_owned());
    let contents = each.at_once(
        |(pairing, source)| match &record {
            Some(_) => content_of(pairing, source).map(Ok),
            None => Ok(Ok(source.content.clone())),
        },
        |_, error| Ok(Err(error)),
    )?;
    let index = record.as_ref().map(Provenance::index);
    let (mut candidates, mut others) = (Vec::new(), Vec::new());
    for ((pairing, source), content) in fields.iter().zip(contents) {
        // A truth that cannot be read is reported where it is scored, unless its image tells.
        let unreadable = content.is_err();
        let content = content.unwrap_or_else(|_| source.content.clone());
        let role = index.as_ref().and_then(|index| index.met(&content));
        if part == Part::Test || role.map_or(unreadable, |field| field.role == part) {
            candidates.push(Candidate {
                name: pairing.name.to_owned(),
                group: pairing.group.clone(),
                content,
                given: Given {
                    classes: pairing.classes.is_some() && !unreadable,
                    nuclei: pairing.nuclei.is_some() && !unreadable,
                },
                corrected: false,
            });
        } else {
            others.push(pairing.name.to_owned());
        }
    }
    let name = hash.get(..SHORT).unwrap_or(hash);
    if candidates.is_empty() {
        return Ok(Err(ProjectError::Failed(match record {
            Some(_) => format!("no field that is given is a {part} field of the model `{name}`"),
            None => format!(
                "the model `{name}` does not record what it trained on, so its {part} fields are \
                 not known"
            ),
        })));
    }
    let judged = Judged {
        name,
        hash,
        record: record.as_ref(),
        same_groups: false,
        otherwise_known: false,
    };
    let choice = judged.choose(part, &candidates);
    Ok(choice.map(|(names, mut on)| {
        if !others.is_empty() {
            let (n, all) = (others.len(), fields.len());
            on.note
                .push_str(&format!("; {n} of {all} fields are no {part} fields of it"));
            on.asked += n;
            on.left_out.extend(others);
        }
        (names, on)
    }))
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
    one.model = format!("{} {}", one.model, other.model).trim().to_owned();
    one.asked += other.asked;
    one.left_out.extend(other.left_out);
    one.truth_changed = add(one.truth_changed, other.truth_changed);
    one.corrected = add(one.corrected, other.corrected);
    let whose = match other.model.is_empty() {
        true => "",
        false => "of another model: ",
    };
    one.note = format!("{}; {whose}{}", one.note, other.note);
    one
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::provenance::MetField;
    use crate::study::provenance::predictions::{self, Prediction};
    use crate::{Cancel, Silent};

    type Found = (Vec<String>, Option<ScoredOn>);

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// Chooses among fields `a` to `e`: `a` trained the first model and `b` was kept from it, `c`
    /// trained the second, `d` is of no known model, and the truth of `e`, which trained the first,
    /// cannot be read.
    fn chosen(part: Part, names: &[&str]) -> Result<Found, ProjectError> {
        chosen_until(&Cancel::new(), part, names)
    }

    /// The same unless a stop was asked for.
    fn chosen_until(cancel: &Cancel, part: Part, names: &[&str]) -> Result<Found, ProjectError> {
        let folder = tempfile::tempdir().unwrap();
        let content = |name: &str| Content {
            image: vec![format!("image-of-{name}")],
            ..Content::default()
        };
        let row = |name: &str, model: &str| Prediction::new(name, model, &content(name));
        let rows = [row("a", "1"), row("b", "1"), row("c", "2"), row("e", "1")];
        predictions::write(folder.path(), &rows).unwrap();
        let met = |name: &str, role| MetField {
            name: name.to_owned(),
            group: name.to_owned(),
            role,
            through: None,
            content: content(name),
        };
        let (train, test) = (Part::Train, Part::Test);
        let first = vec![met("a", train), met("b", test), met("e", train)];
        let record = |fields| Provenance::new("field", fields);
        record(first).put_beside(folder.path(), "1").unwrap();
        let second = record(vec![met("c", train)]);
        second.put_beside(folder.path(), "2").unwrap();
        let truth = folder.path().join("truth.tif");
        let labels = stainfree_image::Image::new(1, 3, vec![0u32, 1, 1]);
        stainfree_image::write::labels(&truth, &labels, &Default::default()).unwrap();
        let files: Vec<_> = names
            .iter()
            .map(|&name| (name, folder.path().join(format!("nuclei/{name}.tif"))))
            .collect();
        let unreadable = folder.path().join("none.tif");
        let pairings: Vec<Pairing> = files
            .iter()
            .map(|(name, prediction)| Pairing {
                name,
                group: None,
                prediction,
                classes: None,
                nuclei: Some(if *name == "e" { &unreadable } else { &truth }),
            })
            .collect();
        let (names, on) = choose(
            &pairings,
            part,
            &Job::new(&Silent, cancel, &stainfree_network::Machine::new(1)),
        )?;
        Ok((names.into_iter().collect(), on))
    }

    #[test]
    fn predictions_of_no_known_model_make_no_test() {
        let (names, on) = chosen(Part::Test, &["a", "b"]).unwrap();
        let on = on.unwrap();
        assert_eq!((names, on.standing), (vec!["b".to_owned()], Standing::Test));
        let (names, on) = chosen(Part::Test, &["a", "b", "d"]).unwrap();
        let on = on.unwrap();
        assert_eq!(
            (&names[..], on.standing),
            (&owned(&["b", "d"])[..], Standing::Unknown)
        );
        assert_eq!((on.asked, &on.left_out[..]), (3, &owned(&["a"])[..]));
        let said = "scored on 1 field (first: `d`) whose predictions do not say which model";
        assert!(on.note.contains(said), "{}", on.note);
        // Alone nothing is claimed of them, and none of them is known to have trained a model.
        let (names, on) = chosen(Part::Test, &["d"]).unwrap();
        assert_eq!((names, on), (owned(&["d"]), None));
        let error = chosen(Part::Train, &["d"]).unwrap_err().to_string();
        assert!(error.contains("its train fields are not known"), "{error}");
        let (names, on) = chosen(Part::Train, &["a", "d"]).unwrap();
        assert_eq!(names, owned(&["a"]));
        assert!(on.unwrap().note.contains("train fields are not known"));
    }

    #[test]
    fn no_field_vanishes_without_being_counted() {
        // All fields of the second model trained it.
        let (names, on) = chosen(Part::Test, &["b", "c"]).unwrap();
        let on = on.unwrap();
        assert_eq!(
            (names, on.asked, on.left_out),
            (owned(&["b"]), 2, owned(&["c"]))
        );
        assert!(
            on.note.contains("nothing is left to test the model `2` on"),
            "{}",
            on.note
        );
        // No known model has anything left, and the rest is of no known one.
        let (names, on) = chosen(Part::Test, &["c", "d"]).unwrap();
        let on = on.unwrap();
        assert_eq!(
            (names, on.asked, on.left_out),
            (owned(&["d"]), 2, owned(&["c"]))
        );
        // Of another part, and where one model has none of it.
        let (names, on) = chosen(Part::Train, &["a", "b"]).unwrap();
        let on = on.unwrap();
        assert_eq!(
            (names, on.asked, on.left_out),
            (owned(&["a"]), 2, owned(&["b"]))
        );
        assert!(
            on.note.ends_with("1 of 2 fields are no train fields of it"),
            "{}",
            on.note
        );
        assert!(chosen(Part::Validation, &["a", "c", "e"]).is_err());
    }

    #[test]
    fn no_truth_is_read_after_a_stop() {
        let cancel = Cancel::new();
        cancel.stop();
        let stopped = chosen_until(&cancel, Part::Test, &["b"]);
        assert!(matches!(stopped, Err(ProjectError::Cancelled)));
    }

    #[test]
    fn a_truth_that_cannot_be_read_fails_where_it_is_scored() {
        let (names, on) = chosen(Part::Train, &["a", "e"]).unwrap();
        assert_eq!((names, on.unwrap().asked), (owned(&["a", "e"]), 2));
        // Its image alone tells that it is no test.
        let (names, _) = chosen(Part::Test, &["b", "e"]).unwrap();
        assert_eq!(names, owned(&["b"]));
    }
}
