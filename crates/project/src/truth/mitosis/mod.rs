//! Mitotic nuclei: the list in which a person confirms or rejects what was found.
//!
//! `prepare` writes `truth/mitosis.csv` (a row a candidate) and `truth/mitosis.png` (a picture a
//! candidate); a person types `yes` or `no` into the column `decision`. The next `prepare` first
//! takes what was typed over into `human/mitosis.csv`, where it stays, and then writes the list
//! anew. A row may be added by hand: field, y and x are enough. The
//! list and its pictures are in `list` and `sheets`. Not here: the score
//! ([`stainfree_objects::mitotic_candidates`]).

mod list;
mod sheets;
mod switch;

use std::collections::BTreeMap;

use stainfree_image::Image;
use stainfree_objects::MitoticCandidate;

pub(crate) use self::list::{Decisions, take_over_late, write};
pub(crate) use self::switch::enabled;
use crate::study::finding::Review;
use crate::study::human::mitosis::{Decision, Said};

/// The candidates of a field after a person's decisions, each with what the truth says of it, and
/// the places of decisions at which there is no nucleus.
///
/// A decision belongs to the nucleus at its place, whatever number that has now; of several the
/// last one counts.
pub(crate) fn decide(
    field: &str,
    candidates: &[MitoticCandidate],
    nuclei: &Image<u32>,
    said: &[Said],
    min_score: f64,
) -> (Vec<Review>, Vec<(f64, f64)>) {
    let mut reviews: Vec<Review> = candidates
        .iter()
        .map(|c| Review {
            field: field.to_owned(),
            label: Some(c.label),
            y_px: tenth(c.y_px),
            x_px: tenth(c.x_px),
            score: Some(thousandth(c.score)),
            brightness: Some(thousandth(c.brightness)),
            compactness: Some(thousandth(c.compactness)),
            mitotic: Some(if c.score >= min_score {
                Decision::Yes
            } else {
                Decision::No
            }),
            decision: None,
        })
        .collect();
    let mut misfits = Vec::new();
    let mut last: BTreeMap<u32, &Said> = BTreeMap::new();
    for said in said {
        match label_at(nuclei, said) {
            Some(label) => {
                last.insert(label, said);
            }
            None => misfits.push((said.y_px, said.x_px)),
        }
    }
    for (label, said) in last {
        let Some(decision) = said.decision else {
            continue;
        };
        let known = reviews.iter_mut().find(|r| r.label == Some(label));
        match known {
            Some(review) => (review.mitotic, review.decision) = (Some(decision), Some(decision)),
            None => reviews.push(Review {
                field: field.to_owned(),
                label: Some(label),
                y_px: said.y_px,
                x_px: said.x_px,
                score: None,
                brightness: None,
                compactness: None,
                mitotic: Some(decision),
                decision: Some(decision),
            }),
        }
    }
    (reviews, misfits)
}

/// The nucleus at the place of a decision.
fn label_at(nuclei: &Image<u32>, said: &Said) -> Option<u32> {
    let inside = |at: f64, side: usize| {
        let at = at.round();
        (at >= 0.0 && at < side as f64).then_some(at as usize)
    };
    let (y, x) = (
        inside(said.y_px, nuclei.height())?,
        inside(said.x_px, nuclei.width())?,
    );
    let label = nuclei.get(y, x);
    (label != 0).then_some(label)
}

fn thousandth(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_follows_the_nucleus_at_its_place() {
        let nuclei = Image::from_fn(10, 20, |_, x| match x {
            0..=4 => 7,
            10..=14 => 9,
            _ => 0,
        });
        let candidate = |label, x_px, score| MitoticCandidate {
            label,
            y_px: 5.0,
            x_px,
            score,
            brightness: 1.0,
            compactness: 1.0,
        };
        let said = |x_px, decision| Said {
            field: "f".to_owned(),
            y_px: 5.0,
            x_px,
            decision,
            image: String::new(),
            line: 1,
        };
        let (yes, no) = (Some(Decision::Yes), Some(Decision::No));
        let found = [candidate(7, 2.0, 0.9)];
        let state = |said: &[Said]| -> Vec<(Option<u32>, Option<Decision>)> {
            let (rows, _) = decide("f", &found, &nuclei, said, 0.5);
            rows.iter().map(|r| (r.label, r.mitotic)).collect()
        };
        assert_eq!(state(&[]), [(Some(7), yes)]);
        // Rejected by place, whatever its number was; added by hand; a place without a nucleus.
        let decided = [said(1.0, no), said(12.0, yes), said(7.0, yes)];
        assert_eq!(state(&decided), [(Some(7), no), (Some(9), yes)]);
        let (_, misfits) = decide("f", &found, &nuclei, &decided, 0.5);
        assert_eq!(misfits, [(5.0, 7.0)]);
        // The last word on a nucleus counts, also one that takes back.
        let changed = [
            said(1.0, no),
            said(3.0, None),
            said(12.0, yes),
            said(11.0, no),
        ];
        assert_eq!(state(&changed), [(Some(7), yes), (Some(9), no)]);
    }
}
