//! Which fields train, which validate and which are kept for the test: grouped, seeded, repeatable.
//!
//! Fields of one group (a well, an experiment) always share a part, since they share cells,
//! staining and focus.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ProjectError;
use crate::names::nearest;

/// The part of a study a field belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Trains the network.
    Train,
    /// Chooses the checkpoint.
    Validation,
    /// Is scored once, at the end.
    Test,
}

impl Part {
    /// `train`, `validation` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Validation => "validation",
            Part::Test => "test",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How to split.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitRule<'a> {
    /// Shares of train, validation and test; they add up to 1.
    pub fractions: [f64; 3],
    /// Another seed gives another split.
    pub seed: u64,
    /// Groups that are the test set, whatever the fractions say; empty = by the fractions.
    pub test_groups: &'a [String],
}

/// The part of every group, by group name.
///
/// `groups` gives the group of each field. Groups are put into an order that depends on the seed
/// and their names alone, and fill the test part, then the validation part, up to the number of
/// fields nearest to the asked share; the rest trains. With three groups or more each part with a
/// share above 0 has at least one group; with two, the second one is the test; one group trains.
///
/// # Errors
/// Fractions that do not add up to 1, and test groups that no field belongs to.
pub fn split_groups(
    groups: &[String],
    rule: &SplitRule,
) -> Result<BTreeMap<String, Part>, ProjectError> {
    check_fractions(rule.fractions)?;
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    for group in groups {
        *sizes.entry(group).or_default() += 1;
    }
    for wanted in rule.test_groups {
        if !sizes.contains_key(wanted.as_str()) {
            return Err(unknown_group(wanted, &sizes));
        }
    }
    let mut parts: BTreeMap<String, Part> = BTreeMap::new();
    let mut order: Vec<&str> = sizes
        .keys()
        .copied()
        .filter(|&g| !rule.test_groups.iter().any(|t| t == g))
        .collect();
    order.sort_by_key(|group| rank(rule.seed, group));
    for group in rule.test_groups {
        parts.insert(group.clone(), Part::Test);
    }

    let open: f64 = order.iter().map(|group| sizes[group] as f64).sum();
    let mut waiting = order.as_slice();
    // Gives `part` groups until another one would no longer bring it nearer to its share, always
    // leaving `reserve` groups for the parts that follow.
    let mut fill = |part: Part, share: f64, reserve: usize| {
        let (target, mut taken) = (open * share, 0.0);
        while let [group, rest @ ..] = waiting {
            let nearer = (target - taken - sizes[group] as f64).abs() < (target - taken).abs();
            if share <= 0.0 || waiting.len() <= reserve || (taken > 0.0 && !nearer) {
                break;
            }
            parts.insert((*group).to_owned(), part);
            taken += sizes[group] as f64;
            waiting = rest;
        }
    };
    let [train, validation, test] = rule.fractions;
    if rule.test_groups.is_empty() {
        fill(
            Part::Test,
            test,
            if order.len() > 2 && validation > 0.0 {
                2
            } else {
                1
            },
        );
        fill(Part::Validation, validation, 1);
    } else {
        // The test is given; what is left is shared between the other two in their proportion.
        fill(Part::Validation, validation / (train + validation), 1);
    }
    for group in waiting {
        parts.insert((*group).to_owned(), Part::Train);
    }
    Ok(parts)
}

/// Whether the three shares are shares.
///
/// # Errors
/// A share that is negative, no training share, or a sum that is not 1.
pub fn check_fractions(fractions: [f64; 3]) -> Result<(), ProjectError> {
    let sum: f64 = fractions.iter().sum();
    let usable = fractions.iter().all(|f| f.is_finite() && *f >= 0.0)
        && fractions[0] > 0.0
        && (sum - 1.0).abs() < 1e-6;
    if usable {
        return Ok(());
    }
    let [train, validation, test] = fractions;
    Err(ProjectError::Usage(format!(
        "split `{train},{validation},{test}` must be three shares (train, validation, test) that add up to 1, such as `0.8,0.1,0.1`"
    )))
}

fn unknown_group(wanted: &str, sizes: &BTreeMap<&str, usize>) -> ProjectError {
    const SHOWN: usize = 12;
    let mut known: Vec<String> = sizes
        .keys()
        .take(SHOWN)
        .map(|group| format!("`{group}`"))
        .collect();
    if sizes.len() > SHOWN {
        known.push(format!("and {} more", sizes.len() - SHOWN));
    }
    let hint = nearest(wanted, sizes.keys().copied())
        .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    ProjectError::Failed(format!(
        "no field belongs to the test group `{wanted}` (groups: {}){hint}",
        known.join(", ")
    ))
}

/// A number that orders groups by seed and name, the same on every machine.
fn rank(seed: u64, group: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"split");
    hash.update(seed.to_le_bytes());
    hash.update(group.as_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(count: usize, fields_each: usize) -> Vec<String> {
        (0..count)
            .flat_map(|g| std::iter::repeat_n(format!("g{g:02}"), fields_each))
            .collect()
    }

    fn count(parts: &BTreeMap<String, Part>, part: Part) -> usize {
        parts.values().filter(|&&p| p == part).count()
    }

    const RULE: SplitRule = SplitRule {
        fractions: [0.8, 0.1, 0.1],
        seed: 0,
        test_groups: &[],
    };

    #[test]
    fn twenty_equal_groups_split_exactly_as_asked() {
        let parts = split_groups(&groups(20, 3), &RULE).unwrap();
        assert_eq!(
            [Part::Train, Part::Validation, Part::Test].map(|p| count(&parts, p)),
            [16, 2, 2]
        );
    }

    #[test]
    fn few_groups_still_validate_and_test() {
        for n in 3..9 {
            let parts = split_groups(&groups(n, 2), &RULE).unwrap();
            assert_eq!(count(&parts, Part::Validation), 1, "{n} groups");
            assert_eq!(count(&parts, Part::Test), 1, "{n} groups");
        }
        let two = split_groups(&groups(2, 2), &RULE).unwrap();
        assert_eq!((count(&two, Part::Train), count(&two, Part::Test)), (1, 1));
        assert_eq!(
            count(&split_groups(&groups(1, 2), &RULE).unwrap(), Part::Train),
            1
        );
        assert!(split_groups(&[], &RULE).unwrap().is_empty());
    }

    #[test]
    fn the_order_of_fields_does_not_matter_and_the_seed_does() {
        let forward = groups(30, 1);
        let backward: Vec<String> = forward.iter().rev().cloned().collect();
        let first = split_groups(&forward, &RULE).unwrap();
        assert_eq!(first, split_groups(&backward, &RULE).unwrap());
        assert_ne!(
            first,
            split_groups(&forward, &SplitRule { seed: 1, ..RULE }).unwrap()
        );
    }

    #[test]
    fn named_test_groups_are_the_whole_test() {
        let chosen = ["g01".to_owned(), "g07".to_owned()];
        let parts = split_groups(
            &groups(10, 2),
            &SplitRule {
                test_groups: &chosen,
                ..RULE
            },
        )
        .unwrap();
        let test: Vec<_> = parts
            .iter()
            .filter(|(_, p)| **p == Part::Test)
            .map(|(g, _)| g.as_str())
            .collect();
        assert_eq!(test, ["g01", "g07"]);
        assert_eq!(count(&parts, Part::Validation), 1);
        let wrong = ["g1".to_owned()];
        let error = split_groups(
            &groups(3, 1),
            &SplitRule {
                test_groups: &wrong,
                ..RULE
            },
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "no field belongs to the test group `g1` (groups: `g00`, `g01`, `g02`); did you mean `g01`?"
        );
    }

    #[test]
    fn without_a_test_share_nothing_is_tested() {
        let parts = split_groups(
            &groups(10, 1),
            &SplitRule {
                fractions: [0.9, 0.1, 0.0],
                ..RULE
            },
        )
        .unwrap();
        assert_eq!(count(&parts, Part::Test), 0);
        assert!(
            split_groups(
                &groups(3, 1),
                &SplitRule {
                    fractions: [0.8, 0.1, 0.2],
                    ..RULE
                }
            )
            .is_err()
        );
    }
}
