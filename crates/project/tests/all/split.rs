//! Which groups train, validate and test: laws that hold for any groups, and what is said of
//! wishes that cannot be met.

use std::collections::{BTreeMap, BTreeSet};

use stainfree_project::Part;
use stainfree_project::study::split::{
    SplitRule, check_fold, check_fractions, split_further, split_groups,
};

use crate::common::{has, said};

type Parts = BTreeMap<String, Part>;

fn rule(fractions: [f64; 3], seed: u64) -> SplitRule<'static> {
    SplitRule {
        fractions,
        seed,
        test_groups: &[],
        fold: None,
    }
}

/// The groups of fields: group `i` has `sizes[i]` of them.
fn fields(sizes: &[usize]) -> Vec<String> {
    let groups = sizes.iter().enumerate();
    let of = |(i, size): (usize, &usize)| std::iter::repeat_n(format!("g{i}"), *size);
    groups.flat_map(of).collect()
}

fn in_part(parts: &Parts, part: Part) -> BTreeSet<&str> {
    let of = parts.iter().filter(|(_, found)| **found == part);
    of.map(|(group, _)| group.as_str()).collect()
}

/// Fields in a part.
fn count(groups: &[String], parts: &Parts, part: Part) -> usize {
    let of = groups.iter().filter(|group| parts[*group] == part);
    of.count()
}

#[test]
fn every_group_has_a_part_and_large_splits_come_near_the_shares() {
    for seed in 0..20 {
        for (sizes, fractions) in [
            (vec![1; 40], [0.6, 0.2, 0.2]),
            (vec![4; 40], [0.8, 0.1, 0.1]),
            ((1..=30).collect(), [0.7, 0.15, 0.15]),
            (vec![1; 10], [0.5, 0.5, 0.0]),
        ] {
            let groups = fields(&sizes);
            let parts = split_groups(&groups, &rule(fractions, seed)).unwrap();
            assert_eq!(parts.len(), sizes.len());
            let largest = *sizes.iter().max().unwrap() as f64;
            for (part, share) in [Part::Train, Part::Validation, Part::Test]
                .into_iter()
                .zip(fractions)
            {
                let found = count(&groups, &parts, part) as f64;
                let wanted = share * groups.len() as f64;
                // A part ends with the group that brings it nearest, so it is off by half of one
                // at most; what trains is what two such parts leave.
                let off = (found - wanted).abs();
                assert!(off <= largest, "{part} {found} of {wanted}, seed {seed}");
            }
        }
    }
}

#[test]
fn nothing_depends_on_how_often_or_in_which_order_fields_come() {
    let groups = fields(&[3, 1, 2, 2, 4, 1, 3, 2]);
    let expected = split_groups(&groups, &rule([0.6, 0.2, 0.2], 7)).unwrap();
    let mut turned = groups.clone();
    turned.reverse();
    assert_eq!(
        split_groups(&turned, &rule([0.6, 0.2, 0.2], 7)).unwrap(),
        expected
    );
    // Known by heart: another program that is asked for seed 7 has to come to the same.
    let others: BTreeSet<Parts> = (0..10)
        .map(|seed| split_groups(&groups, &rule([0.6, 0.2, 0.2], seed)).unwrap())
        .collect();
    assert!(others.len() > 3, "seeds give {} splits", others.len());
}

#[test]
fn small_studies_train_first_then_test_then_validate() {
    let parts = |sizes: &[usize]| {
        let parts = split_groups(&fields(sizes), &rule([0.8, 0.1, 0.1], 0)).unwrap();
        [Part::Train, Part::Validation, Part::Test].map(|part| in_part(&parts, part).len())
    };
    assert_eq!(parts(&[]), [0, 0, 0]);
    assert_eq!(parts(&[5]), [1, 0, 0]);
    assert_eq!(parts(&[5, 1]), [1, 0, 1]);
    assert_eq!(parts(&[1, 1, 1]), [1, 1, 1]);
    assert_eq!(parts(&[1, 50, 1]), [1, 1, 1]);
    assert_eq!(parts(&[1, 1, 1, 1]), [2, 1, 1]);
}

#[test]
fn a_share_of_nothing_stays_empty() {
    let groups = fields(&[1; 9]);
    for (fractions, empty) in [
        ([1.0, 0.0, 0.0], vec![Part::Validation, Part::Test]),
        ([0.5, 0.5, 0.0], vec![Part::Test]),
        ([0.5, 0.0, 0.5], vec![Part::Validation]),
    ] {
        let parts = split_groups(&groups, &rule(fractions, 3)).unwrap();
        for part in empty {
            assert!(in_part(&parts, part).is_empty(), "{fractions:?}");
        }
        assert!(!in_part(&parts, Part::Train).is_empty());
    }
}

#[test]
fn groups_that_join_one_by_one_never_move_another() {
    let all: Vec<usize> = (0..24).map(|i| 1 + i % 3).collect();
    for seed in 0..10 {
        let rule = rule([0.7, 0.15, 0.15], seed);
        let mut kept = Parts::new();
        for many in 1..=all.len() {
            let parts = split_further(&fields(&all[..many]), &rule, &kept).unwrap();
            for (group, part) in &kept {
                assert_eq!(parts[group], *part, "`{group}` moved as {many} came");
            }
            kept = parts;
        }
        // However they came, each part is there, and most fields train.
        let groups = fields(&all);
        let train = count(&groups, &kept, Part::Train);
        assert!(2 * train > groups.len(), "{train} of {}", groups.len());
        for part in [Part::Validation, Part::Test] {
            assert!(!in_part(&kept, part).is_empty(), "{part}");
        }
    }
}

#[test]
fn named_test_groups_are_the_test_and_the_rest_keeps_its_shares() {
    let groups = fields(&[2; 12]);
    let named = ["g3".to_owned(), "g11".to_owned(), "g3".to_owned()];
    let rule = SplitRule {
        test_groups: &named,
        ..rule([0.8, 0.2, 0.0], 1)
    };
    let parts = split_groups(&groups, &rule).unwrap();
    assert_eq!(in_part(&parts, Part::Test), BTreeSet::from(["g11", "g3"]));
    // A fifth of the other twenty fields, in groups of two.
    assert_eq!(count(&groups, &parts, Part::Validation), 4);
    // A group that trained is kept for the test from now on if that is said; one that was in the
    // test by its share is no longer.
    let kept: Parts = [
        ("g3", Part::Train),
        ("g5", Part::Test),
        ("g7", Part::Validation),
    ]
    .map(|(group, part)| (group.to_owned(), part))
    .into();
    let parts = split_further(&groups, &rule, &kept).unwrap();
    assert_eq!(parts["g3"], Part::Test);
    assert_ne!(parts["g5"], Part::Test);
    assert_eq!(parts["g7"], Part::Validation);
}

#[test]
fn a_test_group_that_no_field_has_is_named_with_those_there_are() {
    let groups = fields(&[1; 15]);
    let ask = |name: &str| {
        let named = [name.to_owned()];
        said(split_groups(
            &groups,
            &SplitRule {
                test_groups: &named,
                ..rule([0.8, 0.1, 0.1], 0)
            },
        ))
    };
    let sentence = ask("G14");
    has(
        &sentence,
        &[
            "no field belongs to the test group `G14`",
            "(groups: `g0`, `g1`, `g10`",
            "and 3 more)",
            "did you mean `g14`?",
        ],
    );
    let far = ask("something else");
    assert!(!far.contains("did you mean"), "{far}");
}

#[test]
fn folds_test_every_group_once_and_never_train_on_it() {
    let groups = fields(&[3, 1, 1, 2, 1, 4, 1, 1, 2, 1, 1, 3]);
    let all: BTreeSet<&str> = groups.iter().map(String::as_str).collect();
    for folds in 2..=6 {
        let mut tested: Vec<String> = Vec::new();
        for fold in 1..=folds {
            let parts = split_groups(
                &groups,
                &SplitRule {
                    fold: Some([fold, folds]),
                    ..rule([0.8, 0.2, 0.0], 4)
                },
            )
            .unwrap();
            assert_eq!(parts.len(), all.len());
            let test = in_part(&parts, Part::Test);
            assert!(!test.is_empty() && !in_part(&parts, Part::Train).is_empty());
            assert!(!in_part(&parts, Part::Validation).is_empty());
            tested.extend(test.into_iter().map(str::to_owned));
        }
        tested.sort();
        assert_eq!(tested, all.iter().copied().collect::<Vec<_>>(), "{folds}");
    }
}

#[test]
fn folds_and_shares_that_cannot_be_are_refused_with_an_example() {
    for fold in [[0, 2], [3, 2], [1, 1], [0, 0], [1, 0]] {
        has(&said(check_fold(fold)), &["`fold` is", "such as [1, 3]"]);
    }
    for fold in [[1, 2], [2, 2], [10, 10]] {
        check_fold(fold).unwrap();
    }
    let bad = [
        [0.0, 0.5, 0.5],
        [0.5, 0.6, -0.1],
        [0.8, 0.1, 0.0],
        [0.8, 0.1, 0.2],
        [f64::INFINITY, 0.0, 0.0],
        [f64::NAN, 0.5, 0.5],
        [80.0, 10.0, 10.0],
    ];
    for fractions in bad {
        has(
            &said(check_fractions(fractions)),
            &["add up to 1", "`0.8,0.1,0.1`"],
        );
    }
    // Thirds that a person typed add up.
    check_fractions([0.333_333_3, 0.333_333_3, 0.333_333_4]).unwrap();
    let few = said(split_groups(
        &fields(&[1, 1]),
        &SplitRule {
            fold: Some([1, 3]),
            ..rule([0.9, 0.1, 0.0], 0)
        },
    ));
    has(
        &few,
        &["3 folds need 3 groups", "there are 2", "fewer folds"],
    );
}

#[test]
fn parts_have_the_names_that_tables_use() {
    for (part, name) in [
        (Part::Train, "train"),
        (Part::Validation, "validation"),
        (Part::Test, "test"),
    ] {
        assert_eq!((part.name(), part.to_string()), (name, name.to_owned()));
        assert_eq!(Part::named(name), Some(part));
        assert_eq!(serde_json::to_string(&part).unwrap(), format!("\"{name}\""));
    }
    assert_eq!(Part::named("Train"), None);
}
