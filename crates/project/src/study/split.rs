//! Which fields train, which validate and which are kept for the test: grouped, seeded, repeatable.
//!
//! Fields of one group (a well, an experiment) always share a part, since they share cells,
//! staining and focus.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ProjectError;
use crate::study::names::nearest;

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

    /// The part of this name.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = [Part::Train, Part::Validation, Part::Test].into_iter();
        all.find(|part| part.name() == name)
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
    /// Which fold of how many, from 1: cross-validation among the groups that are not the test set.
    pub fold: Option<[usize; 2]>,
}

/// The part of every group, by group name.
///
/// `groups` gives the group of each field. Groups are put into an order that depends on the seed
/// and their names alone, and fill the test part, then the validation part, up to the number of
/// fields nearest to the asked share; the rest trains. With three groups or more each part with a
/// share above 0 has at least one group; with two, the second one is the test; one group trains.
///
/// With a fold the test set is left out of the map, so that nothing is chosen by it, and the groups
/// of the fold take its place. Folds part the other groups; they hold about as many fields each.
///
/// # Errors
/// Fractions that do not add up to 1, test groups that no field belongs to, and folds that cannot
/// be filled.
pub fn split_groups(
    groups: &[String],
    rule: &SplitRule,
) -> Result<BTreeMap<String, Part>, ProjectError> {
    split_further(groups, rule, &BTreeMap::new())
}

/// As [`split_groups`] where some groups have their part already: they keep it, and the others fill
/// up what is missing to the shares. So groups that join a study later move no other group.
///
/// # Errors
/// As [`split_groups`].
pub fn split_further(
    groups: &[String],
    rule: &SplitRule,
    kept: &BTreeMap<String, Part>,
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
    let by_share = rule.test_groups.is_empty();
    let mut parts: BTreeMap<String, Part> = BTreeMap::new();
    for group in rule.test_groups {
        parts.insert(group.clone(), Part::Test);
    }
    // Groups that are not there at the moment neither train nor test.
    let here = kept
        .iter()
        .filter(|(group, _)| sizes.contains_key(group.as_str()));
    let here: Vec<(&String, Part)> = here.map(|(group, &part)| (group, part)).collect();
    for &(group, part) in &here {
        // Where the test groups are named, they are the whole test.
        if by_share || part != Part::Test {
            parts.entry(group.clone()).or_insert(part);
        }
    }
    let [lacks_training, lacks_validation] =
        [Part::Train, Part::Validation].map(|part| !parts.values().any(|known| *known == part));
    let mut all: Vec<&str> = sizes.keys().copied().collect();
    all.sort_by_key(|group| rank(rule.seed, group));
    let order: Vec<&str> = all
        .iter()
        .copied()
        .filter(|&group| !parts.contains_key(group))
        .collect();

    let named = |group: &str| rule.test_groups.iter().any(|test| test == group);
    let open: f64 = all
        .iter()
        .filter(|group| !named(group))
        .map(|group| sizes[group] as f64)
        .sum();
    let mut waiting = order.as_slice();
    // Gives `part` groups until another one would no longer bring it nearer to its share, always
    // leaving `reserve` groups for the parts that follow.
    let mut fill = |part: Part, share: f64, reserve: usize| {
        let has = parts.iter().filter(|(_, known)| **known == part);
        let has: f64 = has.map(|(group, _)| sizes[group.as_str()] as f64).sum();
        let (target, mut taken) = (open * share, has);
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
    if let Some(fold) = rule.fold {
        if by_share {
            fill(Part::Test, test, if here.is_empty() { fold[1] } else { 0 });
        }
        let open: Vec<&str> = all
            .into_iter()
            .filter(|&group| parts.get(group) != Some(&Part::Test))
            .collect();
        return cross_validate(&open, &sizes, fold, validation / (train + validation));
    }
    let for_training = usize::from(lacks_training);
    if by_share {
        let validates = all.len() > 2 && validation > 0.0 && lacks_validation;
        fill(Part::Test, test, for_training + usize::from(validates));
        fill(Part::Validation, validation, for_training);
    } else {
        // The test is given; what is left is shared between the other two in their proportion.
        fill(
            Part::Validation,
            validation / (train + validation),
            for_training,
        );
    }
    for group in waiting {
        parts.insert((*group).to_owned(), Part::Train);
    }
    Ok(parts)
}

/// The parts of `open` groups in one fold; `validation` is the share of what the fold leaves.
fn cross_validate(
    open: &[&str],
    sizes: &BTreeMap<&str, usize>,
    [fold, folds]: [usize; 2],
    validation: f64,
) -> Result<BTreeMap<String, Part>, ProjectError> {
    check_fold([fold, folds])?;
    if open.len() < folds {
        return Err(ProjectError::Split(format!(
            "{folds} folds need {folds} groups outside the test set and there are {}; ask for \
             fewer folds",
            open.len()
        )));
    }
    let mut fields = vec![0; folds];
    let mut parts: BTreeMap<String, Part> = BTreeMap::new();
    let mut left: Vec<&str> = Vec::new();
    for group in open {
        let emptiest = (0..folds).min_by_key(|&i| fields[i]).unwrap_or(0);
        fields[emptiest] += sizes[group];
        if emptiest + 1 == fold {
            parts.insert((*group).to_owned(), Part::Test);
        } else {
            left.push(group);
        }
    }
    let target = validation * left.iter().map(|group| sizes[group] as f64).sum::<f64>();
    let mut taken = 0.0;
    for (i, group) in left.iter().enumerate() {
        let size = sizes[group] as f64;
        let nearer = taken == 0.0 || (target - taken - size).abs() < (target - taken).abs();
        let validates = validation > 0.0 && nearer && i + 1 < left.len() && taken < target;
        taken += if validates { size } else { 0.0 };
        let part = if validates {
            Part::Validation
        } else {
            Part::Train
        };
        parts.insert((*group).to_owned(), part);
    }
    Ok(parts)
}

/// Whether a fold is one of so many.
///
/// # Errors
/// Fewer than two folds, or a fold that is not among them.
pub fn check_fold([fold, folds]: [usize; 2]) -> Result<(), ProjectError> {
    if folds >= 2 && (1..=folds).contains(&fold) {
        return Ok(());
    }
    Err(ProjectError::Usage(format!(
        "`fold` is [{fold}, {folds}]; it must be a fold from 1 and how many there are, 2 or more, \
         such as [1, 3]"
    )))
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
        "split `{train},{validation},{test}` must be three shares (train, validation, test) that \
         add up to 1, such as `0.8,0.1,0.1`"
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
    ProjectError::Split(format!(
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
        fold: None,
    };

    #[test]
    fn every_group_is_tested_in_one_fold_and_the_test_set_in_none() {
        let chosen = ["g01".to_owned(), "g07".to_owned()];
        let mut tested: BTreeMap<String, usize> = BTreeMap::new();
        for fold in 1..=3 {
            let rule = SplitRule {
                test_groups: &chosen,
                fold: Some([fold, 3]),
                ..RULE
            };
            let parts = split_groups(&groups(12, 2), &rule).unwrap();
            assert_eq!(parts.len(), 10);
            assert!(!parts.contains_key("g01") && !parts.contains_key("g07"));
            assert!((3..=4).contains(&count(&parts, Part::Test)), "{parts:?}");
            assert_eq!(count(&parts, Part::Validation), 1);
            for (group, _) in parts.into_iter().filter(|(_, part)| *part == Part::Test) {
                *tested.entry(group).or_default() += 1;
            }
        }
        assert_eq!(tested.len(), 10);
        assert!(tested.values().all(|&n| n == 1));
        // By the fractions: the same groups are left out that would be the test set.
        let left_out = |fold| split_groups(&groups(20, 1), &SplitRule { fold, ..RULE }).unwrap();
        let test: Vec<String> = left_out(None)
            .into_iter()
            .filter(|(_, part)| *part == Part::Test)
            .map(|(group, _)| group)
            .collect();
        let second = left_out(Some([2, 3]));
        assert_eq!(second.len() + test.len(), 20);
        assert!(test.iter().all(|group| !second.contains_key(group)));
    }

    #[test]
    fn folds_that_cannot_be_are_refused() {
        let fails = |fold, n| {
            let rule = SplitRule {
                fold: Some(fold),
                ..RULE
            };
            split_groups(&groups(n, 1), &rule).unwrap_err().to_string()
        };
        assert!(fails([0, 3], 9).starts_with("`fold` is [0, 3]"));
        assert!(fails([1, 1], 9).contains("2 or more"));
        assert!(fails([1, 5], 4).contains("5 folds need 5 groups"));
    }

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
            "no field belongs to the test group `g1` (groups: `g00`, `g01`, `g02`); did you mean \
             `g01`?"
        );
    }

    #[test]
    fn groups_that_join_later_move_no_other() {
        let few: Vec<String> = groups(40, 2);
        for n in 1..40 {
            let before = split_groups(&few[..2 * n], &RULE).unwrap();
            let after = split_further(&few, &RULE, &before).unwrap();
            assert_eq!(after.len(), 40);
            for (group, part) in &before {
                assert_eq!(after[group], *part, "{group} of {n}");
            }
            let [test, validation] = [Part::Test, Part::Validation].map(|p| count(&after, p));
            assert!((3..=5).contains(&test), "{test} test groups from {n}");
            assert!((3..=5).contains(&validation), "{validation} from {n}");
        }
        // By hash alone they do move: some that chose a model would test it.
        let moved = |seed: u64| {
            let rule = SplitRule { seed, ..RULE };
            let anew = split_groups(&few, &rule).unwrap();
            let before = split_groups(&few[..40], &rule).unwrap();
            let moved = before
                .iter()
                .filter(|(group, part)| **part != Part::Test && anew[*group] == Part::Test);
            moved.count()
        };
        assert!((0..20).map(moved).sum::<usize>() > 0);
    }

    #[test]
    fn groups_that_are_gone_neither_train_nor_test() {
        let gone = groups(12, 1);
        let kept = split_groups(&gone, &RULE).unwrap();
        for n in 1..6 {
            let new: Vec<String> = (0..n).map(|i| format!("new{i}")).collect();
            let parts = split_further(&new, &RULE, &kept).unwrap();
            assert_eq!(parts, split_groups(&new, &RULE).unwrap(), "{n} groups");
            assert!(count(&parts, Part::Train) > 0, "{parts:?}");
        }
        // Those that are here keep their part beside them.
        let tested = kept
            .iter()
            .find(|(_, part)| **part == Part::Test)
            .unwrap()
            .0;
        let here = [tested.clone(), "new0".to_owned(), "new1".to_owned()];
        let parts = split_further(&here, &RULE, &kept).unwrap();
        assert_eq!(parts[tested], Part::Test);
        assert_eq!(count(&parts, Part::Train), 1, "{parts:?}");
        let fold = SplitRule {
            fold: Some([1, 3]),
            ..RULE
        };
        let new: Vec<String> = (0..4).map(|i| format!("new{i}")).collect();
        let parts = split_further(&new, &fold, &kept).unwrap();
        assert_eq!(parts, split_groups(&new, &fold).unwrap());
    }

    #[test]
    fn folds_leave_out_the_test_set_that_is_kept() {
        let all = groups(20, 1);
        let before = split_groups(&all[..10], &RULE).unwrap();
        let kept = split_further(&all, &RULE, &before).unwrap();
        for fold in 1..=3 {
            let rule = SplitRule {
                fold: Some([fold, 3]),
                ..RULE
            };
            let parts = split_further(&all, &rule, &kept).unwrap();
            for (group, part) in &kept {
                assert_eq!(parts.contains_key(group), *part != Part::Test, "{group}");
            }
        }
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
