//! Scores of the nuclei of one kind, such as mitotic ones, where the truth knows the kinds.
//!
//! A prediction has no kind, so only what can be said of a truth nucleus is said: whether it was
//! found, how well it fits, and whether it was told apart from its neighbours. There is no
//! precision by kind. A cluster or joined pair counts for every kind that it has a nucleus of.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::by_name::ByName;
use crate::matching::Matching;
use crate::named::Named;
use crate::pixels::ratio;
use crate::splitting::{Fates, PairFate, Resolved};

/// Truth nuclei of one kind in one field, or the sum over several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KindCounts {
    /// Truth nuclei of the kind.
    pub n: u64,
    /// Those matched at IoU >= 0.5.
    pub at_50: u64,
    /// Those matched at IoU >= 0.7.
    pub at_70: u64,
    /// Sum of the IoU of those matched at 0.5.
    pub iou_sum: f64,
    /// Singles of the kind.
    pub singles: Resolved,
    /// Clusters with at least one nucleus of the kind.
    pub clusters: Resolved,
    /// Joined pairs with at least one nucleus of the kind.
    pub pairs: u64,
    /// Those of the pairs that are found.
    pub found: u64,
    /// Those of the pairs that are missed.
    pub missed: u64,
    /// False cuts in nuclei of the kind.
    pub false_cuts: u64,
}

impl KindCounts {
    /// Adds the counts of another field.
    pub fn add(&mut self, other: &KindCounts) {
        self.n += other.n;
        self.at_50 += other.at_50;
        self.at_70 += other.at_70;
        self.iou_sum += other.iou_sum;
        self.singles = self.singles.plus(&other.singles);
        self.clusters = self.clusters.plus(&other.clusters);
        self.pairs += other.pairs;
        self.found += other.found;
        self.missed += other.missed;
        self.false_cuts += other.false_cuts;
    }
}

/// Scores of a kind in the order they are computed.
pub(crate) const KIND_SCORES: [Named<KindCounts>; 8] = [
    ("recall_50", |k| ratio(k.at_50 as f64, k.n as f64), NONE),
    ("recall_70", |k| ratio(k.at_70 as f64, k.n as f64), NONE),
    (
        "matched_iou",
        |k| ratio(k.iou_sum, k.at_50 as f64),
        "none of them is matched",
    ),
    (
        "singles_50",
        |k| k.singles.rate_50(),
        "none of them is single",
    ),
    ("clusters_50", |k| k.clusters.rate_50(), NO_CLUSTER),
    (
        "cut_recall",
        |k| ratio(k.found as f64, k.pairs as f64),
        NO_CLUSTER,
    ),
    (
        "missed_cuts",
        |k| ratio(k.missed as f64, k.pairs as f64),
        NO_CLUSTER,
    ),
    (
        "false_cuts",
        |k| ratio(k.false_cuts as f64, k.n as f64),
        NONE,
    ),
];

const NONE: &str = "the truth has none of them";
const NO_CLUSTER: &str = "none of them is joined to another nucleus";

impl Matching<'_> {
    /// Counts the truth nuclei by their kind. Nuclei without a kind in `kinds` (by label) enter
    /// none.
    pub fn by_kind(&self, kinds: &BTreeMap<u32, String>) -> ByName<KindCounts> {
        let truth = &self.table.overlap.truth;
        let kind_of = |object: usize| {
            let counted = self.table.truth_counts[object];
            kinds.get(&truth.labels[object]).filter(|_| counted)
        };
        let names: BTreeSet<&String> = kinds.values().collect();
        let fates = Fates::new(self);
        let count = |name: &String| {
            let is_kind = |object: usize| kind_of(object) == Some(name);
            (name.clone(), self.count_kind(&fates, is_kind))
        };
        ByName(names.into_iter().map(count).collect())
    }

    fn count_kind(&self, fates: &Fates, is_kind: impl Fn(usize) -> bool) -> KindCounts {
        let mut counts = KindCounts::default();
        let mut with_kind = vec![false; fates.groups.len()];
        for (object, &group) in fates.group_of.iter().enumerate() {
            if is_kind(object) {
                counts.n += 1;
                counts.false_cuts += fates.false_cuts[object];
                with_kind[group] = true;
            }
        }
        for pair in self.table.pairs_at(10) {
            if is_kind(pair.truth) {
                counts.at_50 += 1;
                counts.iou_sum += pair.iou();
            }
        }
        let matched = self.table.pairs_at(14);
        counts.at_70 = matched.iter().filter(|pair| is_kind(pair.truth)).count() as u64;
        for (group, _) in fates.groups.iter().zip(with_kind).filter(|(_, with)| *with) {
            if group.size == 1 {
                counts.singles.count(group.resolved);
            } else {
                counts.clusters.count(group.resolved);
            }
        }
        for &((a, b), fate) in &fates.pairs {
            if is_kind(a) || is_kind(b) {
                counts.pairs += 1;
                counts.found += u64::from(matches!(fate, PairFate::Found(..)));
                counts.missed += u64::from(matches!(fate, PairFate::Missed));
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::labels;

    #[test]
    fn each_kind_has_its_own_recall_and_its_share_of_clusters() {
        // 1 and 2 are joined, 3 and 4 are singles; 2 and 4 are mitotic, 5 has no kind.
        let truth = labels(&["111222....33....44....5", "111222....33....44....5"]);
        let prediction = labels(&["111111....33....4......", "111111....33....4......"]);
        let kinds = [
            (1, "interphase"),
            (2, "mitotic"),
            (3, "interphase"),
            (4, "mitotic"),
        ]
        .map(|(label, kind)| (label, kind.to_owned()))
        .into();
        let by_kind = Matching::new(&truth, &prediction, None)
            .unwrap()
            .by_kind(&kinds);
        let names: Vec<&str> = by_kind.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["interphase", "mitotic"]);
        let resolved = |n, at_50, at_70| Resolved { n, at_50, at_70 };
        // The fused pair matches 1 or 2 at exactly 0.5: the first of equals.
        let interphase = by_kind.get("interphase").unwrap();
        assert_eq!(
            (interphase.n, interphase.at_50, interphase.at_70),
            (2, 2, 1)
        );
        assert_eq!(interphase.iou_sum, 1.5);
        assert_eq!(interphase.singles, resolved(1, 1, 1));
        assert_eq!(interphase.clusters, resolved(1, 0, 0));
        let mitotic = by_kind.get("mitotic").unwrap();
        assert_eq!((mitotic.n, mitotic.at_50), (2, 1));
        assert_eq!(mitotic.singles, resolved(1, 1, 0));
        assert_eq!(mitotic.clusters, resolved(1, 0, 0));
        assert_eq!((mitotic.pairs, mitotic.found, mitotic.missed), (1, 0, 1));
    }
}
