//! What changed from one model to the next, on the same fields and the same truth.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stainfree_scores::{
    BootstrapOptions, Difference, Fate, FieldScores, JudgedObject, MatchCounts, ScoreError, Side,
    compare,
};

/// Scores of objects of which the difference is told, as `compare` names them.
const SCORES: [&str; 5] = [
    "objects f1_50",
    "objects precision_50",
    "objects recall_50",
    "objects count_error",
    "objects aji_plus",
];
/// Most flipped nuclei that are listed; all of them are counted.
const MOST_FLIPPED: usize = 2000;

/// What a new model does otherwise than the one it started from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// The model before.
    pub before: String,
    /// The new one.
    pub after: String,
    /// On fields whose nuclei were corrected by hand, of training and validation; none where there
    /// is no such field.
    pub corrected: Option<ChangedSet>,
    /// On validation fields that nobody corrected.
    pub validation: Option<ChangedSet>,
    /// What a reader must know.
    pub notes: Vec<String>,
}

/// A set of fields by both models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangedSet {
    /// Fields, the one that lost most first.
    pub fields: Vec<ChangedField>,
    /// Fields whose F1 of nuclei rose, fell, stayed.
    pub better: usize,
    /// See `better`.
    pub worse: usize,
    /// See `better`.
    pub same: usize,
    /// True nuclei.
    pub truth: u64,
    /// Nuclei that the model before predicts, and the new one.
    pub predicted: [u64; 2],
    /// Of those, the ones that are no true nucleus.
    pub wrong: [u64; 2],
    /// True nuclei that both find, only the new one, only the one before, and neither.
    pub found_by_both: usize,
    /// See `found_by_both`.
    pub gained: usize,
    /// See `found_by_both`.
    pub lost: usize,
    /// See `found_by_both`.
    pub found_by_neither: usize,
    /// Pooled scores of both with the interval of their difference.
    pub scores: Vec<Difference>,
    /// What the intervals resample.
    pub unit: String,
    /// Nuclei that one of both finds, those that are lost first.
    pub flipped: Vec<Flipped>,
}

/// A field by both models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangedField {
    /// Its name.
    pub field: String,
    /// True nuclei.
    pub truth: u64,
    /// F1 of nuclei at IoU 0.5 by the model before and by the new one; none without any nucleus.
    pub f1: [Option<f64>; 2],
    /// True nuclei that only the new model finds.
    pub gained: usize,
    /// True nuclei that only the model before finds.
    pub lost: usize,
}

/// A true nucleus that one of both models finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flipped {
    /// Name of the field.
    pub field: String,
    /// Number in the truth's labels.
    pub label: u32,
    /// Centroid, pixels.
    pub y_px: f64,
    /// See `y_px`.
    pub x_px: f64,
    /// What becomes of it by the model before.
    pub before: Fate,
    /// What becomes of it by the new one.
    pub after: Fate,
}

impl ChangedSet {
    /// Compares the scores of two models on the same fields; fields that only one was scored on
    /// are left out. None where no field is left.
    ///
    /// # Errors
    /// Scores of the same field that do not belong together.
    pub(super) fn of(
        before: &[FieldScores],
        after: &[FieldScores],
        group_name: String,
    ) -> Result<Option<Self>, ScoreError> {
        let other: BTreeMap<&str, &FieldScores> =
            after.iter().map(|field| (&*field.name, field)).collect();
        let pairs: Vec<(&FieldScores, &FieldScores)> = before
            .iter()
            .filter_map(|field| Some((field, *other.get(&*field.name)?)))
            .collect();
        if pairs.is_empty() {
            return Ok(None);
        }
        let options = BootstrapOptions {
            group_name,
            ..BootstrapOptions::default()
        };
        let first: Vec<FieldScores> = pairs.iter().map(|pair| only_objects(pair.0)).collect();
        let second: Vec<FieldScores> = pairs.iter().map(|pair| only_objects(pair.1)).collect();
        let mut scores = compare(&first, &second, &[], &options)?;
        scores.retain(|score| SCORES.contains(&&*score.name));
        let unit = stainfree_scores::summarise(&first, &[], &options)?.unit;
        let mut set = Self {
            fields: Vec::new(),
            better: 0,
            worse: 0,
            same: 0,
            truth: 0,
            predicted: [0; 2],
            wrong: [0; 2],
            found_by_both: 0,
            gained: 0,
            lost: 0,
            found_by_neither: 0,
            scores,
            unit,
            flipped: Vec::new(),
        };
        for (before, after) in pairs {
            set.add(before, after);
        }
        set.order();
        Ok(Some(set))
    }

    fn add(&mut self, before: &FieldScores, after: &FieldScores) {
        let counts = [before, after].map(|field| field.objects.clone().unwrap_or_default());
        let [one, two] = &counts;
        self.truth += one.truth;
        for (i, counts) in counts.iter().enumerate() {
            self.predicted[i] += counts.prediction;
            self.wrong[i] += counts.at[0].fp;
        }
        let f1 = [one, two].map(|counts| defined(&counts.at[0]));
        match (f1[0].unwrap_or(0.0), f1[1].unwrap_or(0.0)) {
            (a, b) if b > a => self.better += 1,
            (a, b) if b < a => self.worse += 1,
            _ => self.same += 1,
        }
        let (gained, lost) = self.add_objects(before, after);
        self.fields.push(ChangedField {
            field: before.name.clone(),
            truth: one.truth,
            f1,
            gained,
            lost,
        });
    }

    /// Counts the true nuclei of a field by who finds them; how many only the new model finds, and
    /// how many only the one before.
    fn add_objects(&mut self, before: &FieldScores, after: &FieldScores) -> (usize, usize) {
        let known: BTreeMap<u32, &JudgedObject> = of_truth(after)
            .map(|object| (object.label, object))
            .collect();
        let (mut gained, mut lost) = (0, 0);
        for object in of_truth(before) {
            // What counts of a truth may hang on the prediction where pixels are ignored.
            let Some(other) = known.get(&object.label) else {
                continue;
            };
            match (object.fate == Fate::Found, other.fate == Fate::Found) {
                (true, true) => self.found_by_both += 1,
                (false, false) => self.found_by_neither += 1,
                (found, _) => {
                    *(if found { &mut lost } else { &mut gained }) += 1;
                    self.flipped.push(Flipped {
                        field: before.name.clone(),
                        label: object.label,
                        y_px: (object.y_px * 10.0).round() / 10.0,
                        x_px: (object.x_px * 10.0).round() / 10.0,
                        before: object.fate,
                        after: other.fate,
                    });
                }
            }
        }
        self.gained += gained;
        self.lost += lost;
        (gained, lost)
    }

    fn order(&mut self) {
        let change = |field: &ChangedField| match field.f1 {
            [Some(before), Some(after)] => after - before,
            _ => 0.0,
        };
        self.fields
            .sort_by(|a, b| (change(a).total_cmp(&change(b))).then_with(|| a.field.cmp(&b.field)));
        let gained = |flipped: &Flipped| flipped.after == Fate::Found;
        self.flipped.sort_by(|a, b| {
            (gained(a).cmp(&gained(b))).then_with(|| (&a.field, a.label).cmp(&(&b.field, b.label)))
        });
        self.flipped.truncate(MOST_FLIPPED);
    }
}

/// F1 of nuclei; none where neither side has any.
fn defined(counts: &MatchCounts) -> Option<f64> {
    Some(counts.f1()).filter(|f1| f1.is_finite())
}

fn of_truth(field: &FieldScores) -> impl Iterator<Item = &JudgedObject> {
    let judged = field.judged.iter().flatten();
    judged.filter(|object| object.side == Side::Truth)
}

/// What is compared: two models may know different things beside it.
fn only_objects(field: &FieldScores) -> FieldScores {
    FieldScores {
        name: field.name.clone(),
        group: field.group.clone(),
        objects: field.objects.clone(),
        ..FieldScores::default()
    }
}

#[cfg(test)]
mod tests {
    use stainfree_image::Image;
    use stainfree_scores::{Matching, Surroundings};

    use super::*;

    /// A field whose truth has a nucleus at every letter of `truth`, and a prediction at every
    /// letter of `found`, four pixels each.
    fn field(name: &str, truth: &str, found: &str) -> FieldScores {
        let labels = |letters: &str| {
            Image::from_fn(4, 8 * 5, |y, x| {
                let inside = (1..3).contains(&y) && (1..3).contains(&(x % 5));
                let place = (b'a' + (x / 5) as u8) as char;
                if inside && letters.contains(place) {
                    1 + (x / 5) as u32
                } else {
                    0
                }
            })
        };
        let (truth, found) = (labels(truth), labels(found));
        let matching = Matching::new(&truth, &found, None).unwrap();
        FieldScores {
            name: name.to_owned(),
            group: Some(name.to_owned()),
            objects: Some(matching.objects()),
            judged: Some(matching.judged(Surroundings::default()).unwrap()),
            ..FieldScores::default()
        }
    }

    #[test]
    fn nuclei_are_gained_and_lost_and_fields_better_and_worse() {
        let before = [
            field("one", "abc", "abd"),
            field("two", "abcd", "abcd"),
            field("same", "a", "a"),
            field("gone", "a", "a"),
        ];
        let after = [
            field("two", "abcd", "abc"),
            field("one", "abc", "abc"),
            field("same", "a", "a"),
        ];
        let set = ChangedSet::of(&before, &after, "well".to_owned());
        let set = set.unwrap().unwrap();
        assert_eq!((set.better, set.worse, set.same), (1, 1, 1));
        assert_eq!((set.truth, set.predicted, set.wrong), (8, [8, 7], [1, 0]));
        let found = (set.found_by_both, set.gained, set.lost);
        assert_eq!((found, set.found_by_neither), ((6, 1, 1), 0));
        let flipped: Vec<(&str, u32, Fate, Fate)> = set
            .flipped
            .iter()
            .map(|f| (&*f.field, f.label, f.before, f.after))
            .collect();
        // The lost one first; places are those of the truth.
        assert_eq!(
            flipped,
            [
                ("two", 4, Fate::Found, Fate::Missed),
                ("one", 3, Fate::Missed, Fate::Found)
            ]
        );
        assert_eq!((set.flipped[1].y_px, set.flipped[1].x_px), (1.5, 11.5));
        let order: Vec<&str> = set.fields.iter().map(|f| &*f.field).collect();
        assert_eq!(order, ["two", "same", "one"]);
        // 2 TP / (2 TP + FP + FN) before: 14 / (14 + 1 + 1); after: 14 / 15.
        let f1 = &set.scores[0];
        assert_eq!(f1.name, "objects f1_50");
        assert!((f1.first.unwrap() - 14.0 / 16.0).abs() < 1e-12, "{f1:?}");
        assert!((f1.second.unwrap() - 14.0 / 15.0).abs() < 1e-12, "{f1:?}");
        let [low, high] = f1.ci95.unwrap();
        assert!(low < 0.0 && high > 0.0, "{f1:?}");
        assert_eq!(set.scores.len(), SCORES.len());
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<ChangedSet>(&text).unwrap(), set);
    }

    #[test]
    fn fields_of_one_model_alone_are_no_set() {
        let set = ChangedSet::of(&[field("a", "a", "a")], &[], "well".to_owned());
        assert_eq!(set.unwrap(), None);
    }
}
