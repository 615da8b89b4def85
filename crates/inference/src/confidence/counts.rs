//! How many true nuclei there are, from the confidences of the predicted ones, with an interval.
//!
//! The confidences of a field add up to the true nuclei that are expected among the predicted. What
//! was missed is not among them: the expected count is that sum times a factor, the true nuclei of
//! the validation fields by the sum of their confidences.
//!
//! The interval is conformal by group. Each unit (field, or well) of each of `n` validation groups
//! has a score, `|true - expected| / spread(expected)`, where everything that `expected` takes was
//! fitted without its group. A unit of a new group lies, with a probability of at least `level`, at
//! or below the score that a share `level` of the weight does not exceed, where each group has the
//! weight `1 / (n + 1)`, shared evenly by its units, and what is left over lies at infinity. That
//! needs groups that are exchangeable, and no number of cells.
//!
//! Source: Vovk, Gammerman & Shafer (2005), "Algorithmic learning in a random world"; units within
//! groups: Dunn, Wasserman & Ramdas (2023), "Distribution-free prediction sets for two-layer
//! hierarchical models", JASA 118:2491, and Lee, Barber & Willett (2023), "Distribution-free
//! inference with hierarchical data", arXiv 2306.06342. Groups left out in turn: Barber et al.
//! (2021), "Predictive inference with the jackknife+", Annals of Statistics 49:486.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Shares of intervals that hold, from which the largest is taken that the groups allow.
pub const LEVELS: [f64; 3] = [0.95, 0.9, 0.8];
/// How much counts of groups differ beside chance, as a share of the count. Any value gives
/// intervals that hold; a good one gives short ones for small and for large counts.
pub(super) const BETWEEN: f64 = 0.1;

/// What the scores of counts are divided by: the scatter of a count by chance and between groups.
pub(super) fn spread(expected: f64) -> f64 {
    let chance = expected.max(0.0) + 1.0;
    (chance + (BETWEEN * expected).powi(2)).sqrt()
}

/// A field or a well with its true count.
#[derive(Clone, Debug, PartialEq)]
pub struct CountedUnit {
    /// What it shares cells, focus and staining with.
    pub group: String,
    /// True nuclei.
    pub truth: f64,
    /// Expected ones, by what was fitted without the group.
    pub expected: f64,
}

/// How counts follow from confidences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountRule {
    /// True nuclei by the sum of confidences: above 1 where nuclei are missed.
    pub per_found: f64,
    /// Groups that the intervals rest on.
    pub groups: usize,
    /// Share of intervals that hold for a new group, and the largest that so many groups allow:
    /// `groups / (groups + 1)`. None where that is below 0.8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
    /// The score that a field's interval reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<f64>,
    /// The score that a well's interval reaches, where wells are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub well: Option<f64>,
}

/// A count with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// Expected number of true nuclei.
    pub expected: f64,
    /// Where they lie with the probability of the level; none where groups are too few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountOf {
    /// A field.
    Field,
    /// All fields of a well.
    Well,
}

impl CountRule {
    /// The rule from `fields` and `wells` with their true counts; there may be no wells.
    pub fn new(per_found: f64, fields: &[CountedUnit], wells: &[CountedUnit]) -> Self {
        let groups = by_group(&scores(fields)).len();
        let level = level_of(groups);
        let reach = |units: &[CountedUnit]| reach(&scores(units), level?);
        Self {
            per_found,
            groups,
            level,
            field: reach(fields),
            well: reach(wells),
        }
    }

    /// The count of what these confidences were found in.
    pub fn count(&self, confidences: f64, of: CountOf) -> Count {
        let expected = self.per_found * confidences;
        let reach = match of {
            CountOf::Field => self.field,
            CountOf::Well => self.well,
        };
        let around = |reach: f64| {
            let half = reach * spread(expected);
            [(expected - half).max(0.0), expected + half]
        };
        Count {
            expected,
            interval: reach.map(around),
        }
    }

    /// What the number of groups allows, in a sentence.
    pub fn sentence(&self) -> String {
        let groups = self.groups;
        let s = if groups == 1 { "" } else { "s" };
        match self.level {
            Some(level) => format!(
                "{groups} validation group{s} allow {:.0} % intervals of counts",
                100.0 * level
            ),
            None => format!(
                "{groups} validation group{s} allow intervals of counts that hold in {:.0} % at \
                 most, so none are given; 4 groups are needed",
                100.0 * groups as f64 / (groups + 1) as f64
            ),
        }
    }
}

/// The largest share of intervals that hold which so many groups allow.
pub(super) fn level_of(groups: usize) -> Option<f64> {
    let most = groups as f64 / (groups + 1) as f64;
    // 19 / 20 is 0.95, whatever its last digit.
    LEVELS.into_iter().find(|level| *level <= most + 1e-12)
}

/// The score of each unit, with its group.
fn scores(units: &[CountedUnit]) -> Vec<(String, f64)> {
    let score = |unit: &CountedUnit| {
        let score = (unit.truth - unit.expected).abs() / spread(unit.expected);
        (unit.group.clone(), score)
    };
    units.iter().map(score).collect()
}

fn by_group(scores: &[(String, f64)]) -> BTreeMap<&str, Vec<f64>> {
    let mut groups: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (group, score) in scores {
        groups.entry(group).or_default().push(*score);
    }
    groups
}

/// The score that a share `level` of the weight does not exceed, of units with their groups; `None`
/// where the groups are too few.
pub(super) fn reach(scores: &[(String, f64)], level: f64) -> Option<f64> {
    let groups = by_group(scores);
    let share = 1.0 / (groups.len() + 1) as f64;
    let weighted = |scores: &Vec<f64>| {
        let weight = share / scores.len() as f64;
        scores.iter().map(move |&score| (score, weight)).collect()
    };
    let mut scores: Vec<(f64, f64)> = groups
        .values()
        .flat_map(|scores| -> Vec<(f64, f64)> { weighted(scores) })
        .collect();
    scores.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut sum = 0.0;
    let reached = |&&(_, weight): &&(f64, f64)| {
        sum += weight;
        // Weights are added up in f64, and shares are meant exactly.
        sum >= level - 1e-9
    };
    scores.iter().find(reached).map(|&(score, _)| score)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_image::random::number;

    /// A uniform number in (0, 1) by its place.
    fn uniform(seed: u64, i: u64) -> f64 {
        ((number(seed, i) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn units(scores: &[(&str, f64)]) -> Vec<CountedUnit> {
        let unit = |&(group, off): &(&str, f64)| CountedUnit {
            group: group.to_owned(),
            truth: 99.0 + off * spread(99.0),
            expected: 99.0,
        };
        scores.iter().map(unit).collect()
    }

    #[test]
    fn the_reach_is_the_conformal_quantile() {
        // Four groups of one field: 0.8 of five is the fourth smallest, ceil(5 x 0.8).
        let four = units(&[("a", 3.0), ("b", 1.0), ("c", -2.0), ("d", 0.5)]);
        let rule = CountRule::new(1.0, &four, &[]);
        assert_eq!((rule.level, rule.well), (Some(0.8), None));
        assert!((rule.field.unwrap() - 3.0).abs() < 1e-12);
        let count = rule.count(99.0, CountOf::Field);
        let half = 3.0 * spread(99.0);
        assert!((count.interval.unwrap()[1] - 99.0 - half).abs() < 1e-9);
        // Three groups allow 0.75 at most.
        let three = CountRule::new(1.0, &four[..3], &[]);
        assert_eq!((three.level, three.field), (None, None));
        assert!(three.sentence().contains("75 %"), "{}", three.sentence());
        // Many fields of one group weigh no more than its one.
        let mut many = four.clone();
        many.extend(vec![four[1].clone(); 20]);
        let same = CountRule::new(1.0, &many, &[]);
        assert!((same.field.unwrap() - 3.0).abs() < 1e-12);
    }

    #[test]
    fn an_interval_has_no_negative_end() {
        let rule = CountRule::new(
            2.0,
            &units(&[("a", 9.0), ("b", 9.0), ("c", 9.0), ("d", 9.0)]),
            &[],
        );
        let count = rule.count(1.0, CountOf::Field);
        assert_eq!(count.expected, 2.0);
        assert_eq!(count.interval.unwrap()[0], 0.0);
    }

    /// Groups with a bias of their own and fields that scatter beside it: of new groups' fields, at
    /// least the stated share lies within.
    #[test]
    fn intervals_hold_for_fields_of_new_groups() {
        let mut held = [0u32; 2];
        let draws = 4000u64;
        for draw in 0..draws {
            let unit = |group: u64, field: u64| {
                let bias = uniform(draw, group) - 0.5;
                let own = uniform(draw, 1000 + group * 10 + field) - 0.5;
                CountedUnit {
                    group: group.to_string(),
                    truth: 100.0 * (1.0 + bias + 0.3 * own),
                    expected: 100.0,
                }
            };
            for (held, groups) in held.iter_mut().zip([4u64, 12]) {
                let known: Vec<CountedUnit> = (0..groups)
                    .flat_map(|group| (0..1 + group % 4).map(move |field| unit(group, field)))
                    .collect();
                let rule = CountRule::new(1.0, &known, &[]);
                let [low, high] = rule.count(100.0, CountOf::Field).interval.unwrap();
                let new = unit(groups, 0);
                *held += u32::from((low..=high).contains(&new.truth));
            }
        }
        let share = held.map(|held| f64::from(held) / draws as f64);
        // 4 groups promise 0.8, 12 promise 0.9; four standard errors of 4,000 draws are 0.025 and
        // 0.019. What is promised is a lower bound, reached up to 1 / (groups + 1).
        assert!(share[0] > 0.775 && share[0] < 0.93, "{share:?}");
        assert!(share[1] > 0.881 && share[1] < 0.97, "{share:?}");
    }
}
