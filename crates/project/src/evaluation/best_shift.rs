//! Object scores with the predictions of every group at its best rigid shift.
//!
//! A group's shift is known once all its fields are predicted, so their labels are read again from
//! where they were written. What is looked for, and why, is in [`stainfree_scores`].

use std::collections::BTreeMap;

use stainfree_image::Image;
use stainfree_scores::{
    FieldScores, MatchCounts, Matching, Shift, ShiftOverlaps, ShiftedCounts, moved,
};

use crate::{Cancel, ProjectError};

/// A field that was scored, with the pixels that truth and prediction share at every shift; none
/// where it has no objects.
pub(crate) struct ScoredField {
    pub(crate) scores: FieldScores,
    pub(crate) overlaps: Option<ShiftOverlaps>,
}

/// Labels of a field as they were matched.
pub(crate) struct Labels {
    pub(crate) truth: Image<u32>,
    pub(crate) prediction: Image<u32>,
    pub(crate) ignore: Option<Image<bool>>,
}

/// The scores of all fields, with the counts at the best shift of their groups; a field without a
/// group is one of its own. Of the shift with the largest pixel F1 and none, a group takes that
/// with the larger object F1. `read` gives the labels of a field again, by name.
///
/// # Errors
/// Labels that can no longer be read, or a stop.
pub(crate) fn at_best_shift(
    fields: Vec<ScoredField>,
    cancel: &Cancel,
    read: impl Fn(&str) -> Result<Labels, ProjectError>,
) -> Result<Vec<FieldScores>, ProjectError> {
    let mut groups: BTreeMap<(bool, String), Vec<usize>> = BTreeMap::new();
    for (i, field) in fields.iter().enumerate() {
        let scores = &field.scores;
        if field.overlaps.is_some() && scores.objects.is_some() {
            let name = scores.group.as_ref().unwrap_or(&scores.name);
            let key = (scores.group.is_some(), name.clone());
            groups.entry(key).or_default().push(i);
        }
    }
    let mut shifted = vec![None; fields.len()];
    for members in groups.values() {
        let mut sum = ShiftOverlaps::default();
        for overlaps in members.iter().filter_map(|&i| fields[i].overlaps.as_ref()) {
            sum.add(overlaps);
        }
        let plain = |&i: &usize| {
            let objects = fields[i].scores.objects.as_ref();
            objects.map(|objects| objects.at[0]).unwrap_or_default()
        };
        let plain: Vec<MatchCounts> = members.iter().map(plain).collect();
        let (mut shift, mut counts) = (sum.best(), plain.clone());
        if shift != Shift::default() {
            for (&i, counts) in members.iter().zip(&mut counts) {
                cancel.check()?;
                *counts = matched_at(&read(&fields[i].scores.name)?, shift)?;
            }
            if f1(&counts) <= f1(&plain) {
                (shift, counts) = (Shift::default(), plain);
            }
        }
        for (&i, at_50) in members.iter().zip(counts) {
            shifted[i] = Some(ShiftedCounts { shift, at_50 });
        }
    }
    let with = |(field, shifted): (ScoredField, Option<ShiftedCounts>)| FieldScores {
        shifted,
        ..field.scores
    };
    Ok(fields.into_iter().zip(shifted).map(with).collect())
}

/// Matching at IoU 0.5 with the prediction moved.
fn matched_at(labels: &Labels, shift: Shift) -> Result<MatchCounts, ProjectError> {
    let prediction = moved(&labels.prediction, shift);
    let matching = Matching::new(&labels.truth, &prediction, labels.ignore.as_ref())?;
    Ok(matching.objects().at[0])
}

/// F1 of several fields together; 0 without an object.
fn f1(counts: &[MatchCounts]) -> f64 {
    let sum = |of: fn(&MatchCounts) -> u64| counts.iter().map(of).sum::<u64>() as f64;
    let wrong = sum(|c| c.fp) + sum(|c| c.fn_);
    let hit = 2.0 * sum(|c| c.tp);
    if hit > 0.0 { hit / (hit + wrong) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_scores::Surroundings;

    /// Squares of 8 px on a grid, moved by (dy, dx).
    fn squares(dy: i32, dx: i32) -> Image<u32> {
        let inside = |v: i32| v >= 0 && v.rem_euclid(16) < 8 && v < 48;
        Image::from_fn(64, 64, |y, x| {
            let (y, x) = (y as i32 - dy - 8, x as i32 - dx - 8);
            if inside(y) && inside(x) {
                (1 + y / 16 * 3 + x / 16) as u32
            } else {
                0
            }
        })
    }

    fn scored(name: &str, group: Option<&str>, prediction: &Image<u32>) -> ScoredField {
        let truth = squares(0, 0);
        let matching = Matching::new(&truth, prediction, None).unwrap();
        ScoredField {
            overlaps: Some(matching.shift_overlaps()),
            scores: FieldScores {
                name: name.to_owned(),
                group: group.map(str::to_owned),
                objects: Some(matching.objects()),
                judged: Some(matching.judged(Surroundings::default()).unwrap()),
                ..FieldScores::default()
            },
        }
    }

    #[test]
    fn all_fields_of_a_group_are_moved_alike_and_others_on_their_own() {
        // Two fields of a group are off by the same, a third by less; the fourth has no group.
        let by_name: BTreeMap<&str, Image<u32>> = [
            ("a", squares(4, -3)),
            ("b", squares(4, -3)),
            ("c", squares(3, -3)),
            ("d", squares(-5, 2)),
        ]
        .into();
        let group = |name: &str| (name != "d").then_some("plate");
        let fields = by_name
            .iter()
            .map(|(name, prediction)| scored(name, group(name), prediction))
            .collect();
        let read = |name: &str| {
            Ok(Labels {
                truth: squares(0, 0),
                prediction: by_name[name].clone(),
                ignore: None,
            })
        };
        let fields = at_best_shift(fields, &Cancel::default(), read).unwrap();
        let shifts: Vec<(i32, i32, u64)> = fields
            .iter()
            .map(|field| {
                let shifted = field.shifted.unwrap();
                let shift = shifted.shift;
                (shift.dy_px, shift.dx_px, shifted.at_50.tp)
            })
            .collect();
        assert_eq!(shifts, [(-4, 3, 9), (-4, 3, 9), (-4, 3, 9), (5, -2, 9)]);
        // As they are, two squares of 8 px that are 4 and 3 px apart have an IoU of 20 / 108.
        assert!(
            fields
                .iter()
                .all(|field| field.objects.as_ref().unwrap().at[0].tp < 9)
        );
    }

    #[test]
    fn a_prediction_in_place_stays_and_is_not_read_again() {
        let fields = vec![scored("a", None, &squares(0, 0))];
        let read = |name: &str| Err(ProjectError::Failed(name.to_owned()));
        let fields = at_best_shift(fields, &Cancel::default(), read).unwrap();
        let shifted = fields[0].shifted.unwrap();
        assert_eq!(
            (shifted.shift, shifted.at_50),
            (Shift::default(), fields[0].objects.as_ref().unwrap().at[0])
        );
    }
}
