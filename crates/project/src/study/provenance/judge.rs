//! Which fields may be scored as a model's test, and what the scores are called.

use std::collections::BTreeMap;

use stainfree_scores::{ScoredOn, Standing};

use super::{Content, Index, MetField, Provenance};
use crate::{Part, ProjectError};

/// A field that somebody wants scored.
pub(crate) struct Candidate {
    pub(crate) name: String,
    /// Its group, where one is known.
    pub(crate) group: Option<String>,
    pub(crate) content: Content,
    pub(crate) given: Given,
    /// Its nuclei are corrected by hand.
    pub(crate) corrected: bool,
}

/// Which truth a field is scored with: of the other nobody knows whether it has changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    pub(crate) classes: bool,
    pub(crate) nuclei: bool,
}

/// A model and what is known of its training.
pub(crate) struct Judged<'a> {
    /// How messages call it.
    pub(crate) name: &'a str,
    /// Its hash.
    pub(crate) hash: &'a str,
    /// Its record; `None` where an older version made it.
    pub(crate) record: Option<&'a Provenance>,
    /// The fields are of the study that trained the model, grouped by the same rule: groups of one
    /// name are one group.
    pub(crate) same_groups: bool,
    /// For a model without a record: what else shows that it has met no test field.
    pub(crate) otherwise_known: bool,
}

impl Judged<'_> {
    /// The names of the fields that are scored, and what the scores are called.
    ///
    /// Asked for the test part, those fields are scored that the model has not met, nor any of
    /// their group. Of the other parts all are.
    ///
    /// # Errors
    /// [`ProjectError::NothingUnseen`].
    pub(crate) fn choose(
        &self,
        part: Part,
        fields: &[Candidate],
    ) -> Result<(Vec<String>, ScoredOn), ProjectError> {
        let index = self.record.map(Provenance::index);
        let all = self.met(fields, index.as_ref());
        let (scored, left): (Vec<_>, Vec<_>) = all
            .iter()
            .partition(|(_, met)| part != Part::Test || met.is_none());
        if let (true, [(first, Some(met)), ..]) = (scored.is_empty(), &left[..]) {
            return Err(ProjectError::NothingUnseen {
                model: self.name.to_owned(),
                why: format!(
                    "{} of {} fields trained or chose it (first: `{}`, {})",
                    left.len(),
                    fields.len(),
                    first.name,
                    met.words()
                ),
            });
        }
        let (truth_changed, corrected) = match (&index, part) {
            (Some(index), Part::Test) => {
                let candidates = scored.iter().map(|(field, _)| *field);
                let changed: Vec<&Candidate> =
                    candidates.filter(|f| truth_changed(f, index)).collect();
                let by_hand = changed.iter().filter(|field| field.corrected).count();
                (Some(changed.len()), Some(by_hand))
            }
            _ => (None, None),
        };
        let mut on = ScoredOn {
            standing: self.standing(part),
            model: self.hash.to_owned(),
            asked: fields.len(),
            left_out: left.iter().map(|(field, _)| field.name.clone()).collect(),
            truth_changed,
            corrected,
            note: String::new(),
        };
        let first = left
            .first()
            .and_then(|(field, met)| Some((*field, met.as_ref()?)));
        on.note = self.note(&on, scored.len(), first);
        let names = scored.iter().map(|(field, _)| field.name.clone()).collect();
        Ok((names, on))
    }

    /// How the model has met each field, itself or through its group.
    fn met<'f, 'i>(
        &self,
        fields: &'f [Candidate],
        index: Option<&Index<'i>>,
    ) -> Vec<(&'f Candidate, Option<Met<'i>>)> {
        let itself = |field: &Candidate| index?.met(&field.content);
        let groups: BTreeMap<&str, &MetField> = fields
            .iter()
            .filter_map(|field| Some((field.group.as_deref()?, itself(field)?)))
            .collect();
        let by_name = |group: &str| index.filter(|_| self.same_groups)?.met_group(group);
        let of_group = |field: &Candidate| {
            let group = field.group.as_deref()?;
            let known = groups.get(group).copied().or_else(|| by_name(group))?;
            Some(Met::Group(group.to_owned(), known))
        };
        let met = |field| itself(field).map(Met::Itself).or_else(|| of_group(field));
        fields.iter().map(|field| (field, met(field))).collect()
    }

    fn standing(&self, part: Part) -> Standing {
        let unknown = match self.record {
            Some(record) => !record.unknown_ancestors().is_empty(),
            None => !self.otherwise_known,
        };
        match part {
            Part::Train => Standing::Train,
            Part::Validation => Standing::Validation,
            Part::Test if unknown => Standing::Unknown,
            Part::Test => Standing::Test,
        }
    }

    fn note(&self, on: &ScoredOn, scored: usize, first: Option<(&Candidate, &Met)>) -> String {
        let mut note = match on.standing {
            Standing::Train => {
                "scored on training fields: this says how well the model knows what it has \
                 learned from, and is no test"
                    .to_owned()
            }
            Standing::Validation => {
                "scored on validation fields, by which the model was chosen: this is no test"
                    .to_owned()
            }
            Standing::Test if self.record.is_none() => format!(
                "scored on {} of the test part; the model does not record what it trained on, but \
                 split and truth are those of its training",
                fields_of(scored)
            ),
            Standing::Test => format!("scored on {} that the model has not met", fields_of(scored)),
            Standing::Unknown => self.unknown(scored),
        };
        if let Some((field, met)) = first {
            note.push_str(&format!(
                "; {} of {} are left out, since they trained or chose the model (first: `{}`, {})",
                on.left_out.len(),
                on.asked,
                field.name,
                met.words()
            ));
        }
        if let Some(changed @ 1..) = on.truth_changed {
            let by_hand = match on.corrected {
                Some(n @ 1..) => format!(" ({n} corrected by hand)"),
                _ => String::new(),
            };
            note.push_str(&format!(
                "; the truth of {changed} of them has changed after the training{by_hand}"
            ));
        }
        note
    }

    fn unknown(&self, scored: usize) -> String {
        let fields = fields_of(scored);
        match self.record {
            Some(record) => format!(
                "scored on {fields} that the model itself has not met; what `{}` was trained on, \
                 from which it started, is not recorded, so this may be no test",
                record.unknown_ancestors().join("`, `")
            ),
            None => format!(
                "scored on {fields}; this model does not record what it trained on, so some of \
                 them may have trained it and this may be no test; train it again with this version"
            ),
        }
    }
}

/// How a model has met a field.
enum Met<'a> {
    /// It is this one.
    Itself(&'a MetField),
    /// Another of this group.
    Group(String, &'a MetField),
}

impl Met<'_> {
    fn words(&self) -> String {
        let did = |field: &MetField| match field.role {
            Part::Train => "trained",
            _ => "validated",
        };
        match self {
            Met::Itself(field) => match &field.through {
                Some(ancestor) => {
                    format!("which {} `{ancestor}`, from which it started", did(field))
                }
                None => format!("which {} it", did(field)),
            },
            Met::Group(group, field) => format!(
                "of the group `{group}`, of which `{}` {} it",
                field.name,
                did(field)
            ),
        }
    }
}

/// Whether the truth of a field that was kept for the test is another than at the training, as far
/// as it is given.
fn truth_changed(field: &Candidate, index: &Index) -> bool {
    let (now, given) = (&field.content, field.given);
    index.kept(now).is_some_and(|kept| {
        let before = &kept.content;
        (given.classes && before.classes != now.classes)
            || (given.nuclei && before.nuclei != now.nuclei)
    })
}

fn fields_of(count: usize) -> String {
    format!("{count} field{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(mark: &str) -> Content {
        Content {
            image: vec![mark.to_owned()],
            nuclei: Some(format!("truth of {mark}")),
            ..Content::default()
        }
    }

    fn met(name: &str, group: &str, role: Part) -> MetField {
        MetField {
            name: name.to_owned(),
            group: group.to_owned(),
            role,
            through: None,
            content: content(name),
        }
    }

    fn candidate(name: &str, group: Option<&str>) -> Candidate {
        Candidate {
            name: format!("{name} renamed"),
            group: group.map(str::to_owned),
            content: content(name),
            given: Given {
                classes: true,
                nuclei: true,
            },
            corrected: false,
        }
    }

    fn judged(record: Option<&Provenance>) -> Judged<'_> {
        Judged {
            name: "m",
            hash: "12",
            record,
            same_groups: true,
            otherwise_known: false,
        }
    }

    #[test]
    fn only_what_the_model_has_not_met_is_its_test() {
        let record = Provenance::new(
            "well",
            vec![
                met("a", "A", Part::Train),
                met("b", "B", Part::Validation),
                met("c", "C", Part::Test),
            ],
        );
        let fields = [
            candidate("a", None),
            candidate("b", None),
            candidate("c", None),
            candidate("new", None),
            candidate("new of A", Some("A")),
        ];
        let (names, on) = judged(Some(&record)).choose(Part::Test, &fields).unwrap();
        assert_eq!(names, ["c renamed", "new renamed"]);
        assert_eq!((on.standing, on.asked), (Standing::Test, 5));
        assert_eq!(on.left_out, ["a renamed", "b renamed", "new of A renamed"]);
        assert_eq!(
            on.note,
            "scored on 2 fields that the model has not met; 3 of 5 are left out, since they \
             trained or chose the model (first: `a renamed`, which trained it)"
        );
        let error = judged(Some(&record))
            .choose(Part::Test, &fields[..2])
            .unwrap_err();
        assert!(
            matches!(&error, ProjectError::NothingUnseen { .. }),
            "{error}"
        );
        assert!(
            error.to_string().starts_with(
                "nothing is left to test the model `m` on: 2 of 2 fields trained or chose it \
                 (first: `a renamed`, which trained it); keep other fields"
            ),
            "{error}"
        );
    }

    #[test]
    fn a_group_of_another_study_is_met_only_if_one_of_its_fields_is() {
        let record = Provenance::new("well", vec![met("a", "A", Part::Train)]);
        let elsewhere = Judged {
            same_groups: false,
            ..judged(Some(&record))
        };
        let fields = [
            candidate("b", Some("A")),
            candidate("a", Some("Z")),
            candidate("c", Some("Z")),
        ];
        let (names, on) = elsewhere.choose(Part::Test, &fields).unwrap();
        assert_eq!(names, ["b renamed"], "{}", on.note);
    }

    #[test]
    fn training_fields_are_scored_on_request_and_never_called_test() {
        let record = Provenance::new("well", vec![met("a", "A", Part::Train)]);
        let fields = [candidate("a", None)];
        for (part, standing) in [
            (Part::Train, Standing::Train),
            (Part::Validation, Standing::Validation),
        ] {
            let (names, on) = judged(Some(&record)).choose(part, &fields).unwrap();
            assert_eq!((names.len(), on.standing), (1, standing));
            assert!(on.note.contains("no test"), "{}", on.note);
        }
    }

    #[test]
    fn what_is_not_recorded_is_called_unknown() {
        let fields = [candidate("a", None)];
        let (_, on) = judged(None).choose(Part::Test, &fields).unwrap();
        assert_eq!(on.standing, Standing::Unknown);
        assert!(on.note.contains("does not record what it trained on"));
        let known = Judged {
            otherwise_known: true,
            ..judged(None)
        };
        let (_, on) = known.choose(Part::Test, &fields).unwrap();
        assert_eq!(on.standing, Standing::Test);
        let mut record = Provenance::new("well", Vec::new());
        record.inherit("model lost 12", None);
        let (_, on) = judged(Some(&record)).choose(Part::Test, &fields).unwrap();
        assert_eq!(on.standing, Standing::Unknown);
        assert!(on.note.contains("`model lost 12`"), "{}", on.note);
    }

    #[test]
    fn test_fields_whose_truth_changed_are_counted() {
        let kept = ["c", "d", "e"].map(|name| met(name, name, Part::Test));
        let record = Provenance::new("well", kept.to_vec());
        let mut fields = ["c", "d", "e", "new"].map(|name| candidate(name, None));
        for (i, corrected) in [(0, true), (1, false), (3, true)] {
            fields[i].content.nuclei = Some("other".to_owned());
            fields[i].corrected = corrected;
        }
        let (_, on) = judged(Some(&record)).choose(Part::Test, &fields).unwrap();
        assert_eq!((on.truth_changed, on.corrected), (Some(2), Some(1)));
        assert!(
            on.note.ends_with(
                "; the truth of 2 of them has changed after the training (1 corrected by hand)"
            ),
            "{}",
            on.note
        );
    }

    #[test]
    fn a_truth_that_is_not_given_has_not_changed() {
        let mut kept = met("c", "C", Part::Test);
        kept.content.classes = Some("mask".to_owned());
        let record = Provenance::new("well", vec![kept]);
        let with = |classes: Option<&str>, nuclei: Option<&str>| {
            let owned = |hash: Option<&str>| hash.map(str::to_owned);
            let mut field = candidate("c", None);
            field.given = Given {
                classes: classes.is_some(),
                nuclei: nuclei.is_some(),
            };
            (field.content.classes, field.content.nuclei) = (owned(classes), owned(nuclei));
            let (_, on) = judged(Some(&record)).choose(Part::Test, &[field]).unwrap();
            on.truth_changed
        };
        assert_eq!(with(Some("mask"), None), Some(0), "class masks alone");
        assert_eq!(with(None, Some("truth of c")), Some(0), "labels alone");
        assert_eq!(with(Some("other"), None), Some(1));
        assert_eq!(with(None, Some("other")), Some(1));
    }
}
