//! How well touching nuclei are told apart: clusters resolved, cuts that are missed, false or
//! misplaced.
//!
//! 1. Truth nuclei that nearly touch are joined; joined nuclei form clusters, the rest are singles
//!    (`clusters`).
//! 2. A cluster or single is *resolved* if each member is matched one to one and no other
//!    prediction lies mainly in it (more than half of the prediction's area). It is counted at IoU
//!    0.5 and 0.7.
//! 3. A joined pair is *found* (both matched), *missed* (one prediction covers more than half of
//!    each) or *lost* (anything else, such as a nucleus that was not detected).
//! 4. A truth nucleus that holds k >= 2 predictions has k - 1 *false cuts*.
//! 5. The cut line of a found pair is compared with that of its partners (`cut_line`).
//!
//! Areas are those of kept pixels. Who is joined to whom and where a cut line runs is read from the
//! whole label images, so that ignored pixels do not move nuclei apart.

use serde::{Deserialize, Serialize};

use crate::clusters::{components, joined_pairs};
use crate::cut_line::Cutter;
use crate::extent::extents;
use crate::matching::Matching;
use crate::named::Named;
use crate::pixels::ratio;
use crate::places::Nearest;

/// IoU, in twentieths, at which clusters are resolved: 0.5 and 0.7.
const RESOLVED_AT: [u64; 2] = [10, 14];

/// Size of a cluster from which on all sizes are counted together.
const LARGE: usize = 5;

/// A prediction that covers less than one tenth of a nucleus is a speck and no part of it.
pub(crate) const PART: u64 = 10;

/// Clusters of one size, or singles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// How many there are in the truth.
    pub n: u64,
    /// Exactly resolved with every member matched at IoU >= 0.5.
    pub at_50: u64,
    /// Exactly resolved with every member matched at IoU >= 0.7.
    pub at_70: u64,
}

impl Resolved {
    /// Share resolved at IoU >= 0.5; NaN where there are none.
    pub fn rate_50(&self) -> f64 {
        ratio(self.at_50 as f64, self.n as f64)
    }

    /// Share resolved at IoU >= 0.7; NaN where there are none.
    pub fn rate_70(&self) -> f64 {
        ratio(self.at_70 as f64, self.n as f64)
    }

    pub(crate) fn count(&mut self, resolved: [bool; 2]) {
        self.n += 1;
        self.at_50 += u64::from(resolved[0]);
        self.at_70 += u64::from(resolved[1]);
    }

    pub(crate) fn plus(mut self, other: &Resolved) -> Resolved {
        self.n += other.n;
        self.at_50 += other.at_50;
        self.at_70 += other.at_70;
        self
    }
}

/// Splitting counts of one field, or the sum over several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SplittingCounts {
    /// Truth nuclei that were counted.
    pub nuclei: u64,
    /// Nuclei that touch no other.
    pub singles: Resolved,
    /// Clusters of 2, 3, 4, and 5 or more nuclei.
    pub clusters: [Resolved; 4],
    /// Joined pairs of truth nuclei.
    pub pairs: u64,
    /// Joined pairs of which both are matched at IoU >= 0.5.
    pub found: u64,
    /// Joined pairs of which one prediction covers more than half of each.
    pub missed: u64,
    /// False cuts: predictions beyond the first that lie mainly in one truth nucleus.
    pub false_cuts: u64,
    /// Found pairs with a cut line on both sides.
    pub lines: u64,
    /// Found pairs whose predictions (or, hardly, truths) are too far apart for a line.
    pub without_line: u64,
    /// Sum of the distances of the `lines`, in px.
    pub line_px: f64,
    /// Those of the `lines` whose field has a known pixel size.
    pub lines_um: u64,
    /// Sum of the distances of the `lines_um`, in um.
    pub line_um: f64,
}

impl SplittingCounts {
    /// Clusters of `size` (2, 3, 4) nuclei.
    pub fn of_size(&self, size: usize) -> Resolved {
        self.clusters[size.clamp(2, LARGE) - 2]
    }

    /// Clusters of `size` or more nuclei (2 to 5).
    pub fn from_size(&self, size: usize) -> Resolved {
        self.clusters[size.clamp(2, LARGE) - 2..]
            .iter()
            .fold(Resolved::default(), Resolved::plus)
    }

    /// Joined pairs that are neither found nor missed.
    pub fn lost(&self) -> u64 {
        self.pairs - self.found - self.missed
    }

    /// Missed cuts per joined pair; NaN without pairs.
    pub fn missed_rate(&self) -> f64 {
        ratio(self.missed as f64, self.pairs as f64)
    }

    /// Lost pairs per joined pair; NaN without pairs.
    pub fn lost_rate(&self) -> f64 {
        ratio(self.lost() as f64, self.pairs as f64)
    }

    /// False cuts per truth nucleus; NaN without nuclei.
    pub fn false_rate(&self) -> f64 {
        ratio(self.false_cuts as f64, self.nuclei as f64)
    }

    /// Found pairs per joined pair; NaN without pairs.
    pub fn recall(&self) -> f64 {
        ratio(self.found as f64, self.pairs as f64)
    }

    /// Found pairs per cut, right or false; NaN where nothing was cut.
    pub fn precision(&self) -> f64 {
        ratio(self.found as f64, (self.found + self.false_cuts) as f64)
    }

    /// Harmonic mean of [`recall`](Self::recall) and [`precision`](Self::precision); NaN where
    /// there is neither a pair nor a false cut.
    pub fn f1(&self) -> f64 {
        ratio(
            2.0 * self.found as f64,
            (self.pairs + self.found + self.false_cuts) as f64,
        )
    }

    /// Mean distance between true and predicted cut lines in px; NaN where there is none.
    pub fn line_distance_px(&self) -> f64 {
        ratio(self.line_px, self.lines as f64)
    }

    /// Mean distance between true and predicted cut lines in um; NaN where there is none, or no
    /// field has a known pixel size.
    pub fn line_distance_um(&self) -> f64 {
        ratio(self.line_um, self.lines_um as f64)
    }

    /// Adds the counts of another field.
    pub fn add(&mut self, other: &SplittingCounts) {
        self.nuclei += other.nuclei;
        self.singles = self.singles.plus(&other.singles);
        for (sum, part) in self.clusters.iter_mut().zip(&other.clusters) {
            *sum = sum.plus(part);
        }
        self.pairs += other.pairs;
        self.found += other.found;
        self.missed += other.missed;
        self.false_cuts += other.false_cuts;
        self.lines += other.lines;
        self.without_line += other.without_line;
        self.line_px += other.line_px;
        self.lines_um += other.lines_um;
        self.line_um += other.line_um;
    }
}

/// Splitting scores in the order they are computed.
pub(crate) const SPLITTING_SCORES: [Named<SplittingCounts>; 20] = [
    ("singles_50", |s| s.singles.rate_50(), NO_SINGLE),
    ("singles_70", |s| s.singles.rate_70(), NO_SINGLE),
    ("clusters_2_50", |s| s.of_size(2).rate_50(), NO_SIZE),
    ("clusters_2_70", |s| s.of_size(2).rate_70(), NO_SIZE),
    ("clusters_3_50", |s| s.of_size(3).rate_50(), NO_SIZE),
    ("clusters_3_70", |s| s.of_size(3).rate_70(), NO_SIZE),
    ("clusters_4_50", |s| s.of_size(4).rate_50(), NO_SIZE),
    ("clusters_4_70", |s| s.of_size(4).rate_70(), NO_SIZE),
    ("clusters_4+_50", |s| s.from_size(4).rate_50(), NO_SIZE),
    ("clusters_4+_70", |s| s.from_size(4).rate_70(), NO_SIZE),
    ("clusters_50", |s| s.from_size(2).rate_50(), NO_CLUSTER),
    ("clusters_70", |s| s.from_size(2).rate_70(), NO_CLUSTER),
    ("missed_cuts", SplittingCounts::missed_rate, NO_PAIR),
    ("lost_pairs", SplittingCounts::lost_rate, NO_PAIR),
    (
        "false_cuts",
        SplittingCounts::false_rate,
        "there is no truth nucleus",
    ),
    ("cut_recall", SplittingCounts::recall, NO_PAIR),
    (
        "cut_precision",
        SplittingCounts::precision,
        "no nuclei were cut apart",
    ),
    (
        "cut_f1",
        SplittingCounts::f1,
        "there is neither a joined pair nor a false cut",
    ),
    (
        "cut_line_distance_px",
        SplittingCounts::line_distance_px,
        NO_LINE,
    ),
    (
        "cut_line_distance_um",
        SplittingCounts::line_distance_um,
        "no joined pair with a cut line was found in a field of known pixel size",
    ),
];

const NO_SINGLE: &str = "the truth has no single nucleus";
const NO_SIZE: &str = "the truth has no cluster of this size";
const NO_CLUSTER: &str = "the truth has no cluster";
const NO_PAIR: &str = "the truth has no joined pair";
const NO_LINE: &str = "no joined pair with a cut line was found";

impl Matching<'_> {
    /// The splitting counts. `pixel_um` is the side of a pixel in um, where it is known.
    pub fn splitting(&self, pixel_um: Option<f64>) -> SplittingCounts {
        let fates = Fates::new(self);
        let mut counts = SplittingCounts {
            nuclei: self.table.truth_kept,
            false_cuts: fates.false_cuts.iter().sum(),
            pairs: fates.pairs.len() as u64,
            ..Default::default()
        };
        for group in &fates.groups {
            match group.size {
                0 => {}
                1 => counts.singles.count(group.resolved),
                size => counts.clusters[size.min(LARGE) - 2].count(group.resolved),
            }
        }
        for &(_, fate) in &fates.pairs {
            counts.found += u64::from(matches!(fate, PairFate::Found(..)));
            counts.missed += u64::from(matches!(fate, PairFate::Missed));
        }
        if counts.found > 0 {
            self.compare_lines(&fates, pixel_um, &mut counts);
        }
        counts
    }

    /// Joined pairs of the truth objects that count, as indices.
    fn joined(&self) -> Vec<(usize, usize)> {
        let truth = &self.table.overlap.truth;
        let counted = |label: u32| {
            truth
                .find(label)
                .filter(|&index| self.table.truth_counts[index])
        };
        joined_pairs(self.truth)
            .into_iter()
            .filter_map(|[a, b]| Some((counted(a)?, counted(b)?)))
            .collect()
    }

    /// Every prediction of which more than half lies in one component, with that component.
    /// Predictions that are mostly ignored are left out.
    fn mainly_in(&self, component: &[usize]) -> Vec<(usize, usize)> {
        let predictions = &self.table.overlap.prediction;
        let mut shared: Vec<(usize, usize, u64)> = self
            .table
            .candidates
            .iter()
            .filter(|s| self.table.required[s.prediction])
            .map(|s| (s.prediction, component[s.truth], s.pixels))
            .collect();
        shared.sort_unstable();
        shared
            .chunk_by(|a, b| (a.0, a.1) == (b.0, b.1))
            .filter_map(|parts| {
                let inside: u64 = parts.iter().map(|part| part.2).sum();
                let (prediction, component, _) = parts[0];
                (2 * inside > predictions.area[prediction]).then_some((prediction, component))
            })
            .collect()
    }

    /// False cuts in each truth object.
    fn false_cuts(&self) -> Vec<u64> {
        let (truth, prediction) = (&self.table.overlap.truth, &self.table.overlap.prediction);
        let mut parts = vec![0u64; truth.len()];
        for s in &self.table.candidates {
            let counts = self.table.required[s.prediction]
                && 2 * s.pixels > prediction.area[s.prediction]
                && PART * s.pixels >= truth.area[s.truth];
            parts[s.truth] += u64::from(counts);
        }
        parts.into_iter().map(|k| k.saturating_sub(1)).collect()
    }

    /// What became of each joined pair.
    fn pair_fates(
        &self,
        pairs: Vec<(usize, usize)>,
        partners: &Partners,
    ) -> Vec<((usize, usize), PairFate)> {
        let truth = &self.table.overlap.truth;
        let mut covering: Vec<Option<usize>> = vec![None; truth.len()];
        for s in &self.table.candidates {
            if 2 * s.pixels > truth.area[s.truth] {
                covering[s.truth] = Some(s.prediction);
            }
        }
        let fate = |(a, b): (usize, usize)| {
            let fate = match (partners.of_truth[a], partners.of_truth[b]) {
                (Some(p), Some(q)) => PairFate::Found(p, q),
                _ if covering[a].is_some() && covering[a] == covering[b] => PairFate::Missed,
                _ => PairFate::Lost,
            };
            ((a, b), fate)
        };
        pairs.into_iter().map(fate).collect()
    }

    fn compare_lines(&self, fates: &Fates, pixel_um: Option<f64>, counts: &mut SplittingCounts) {
        let overlap = &self.table.overlap;
        let (truths, predictions) = (&overlap.truth.labels, &overlap.prediction.labels);
        let (mut cut_truth, mut cut_prediction) =
            (Cutter::new(self.truth), Cutter::new(self.prediction));
        let (in_truth, in_prediction) = (
            extents(self.truth, truths),
            extents(self.prediction, predictions),
        );
        for &((a, b), fate) in &fates.pairs {
            let PairFate::Found(p, q) = fate else {
                continue;
            };
            let right = cut_truth.line(truths[a], &in_truth[a], truths[b], &in_truth[b]);
            let made = cut_prediction.line(
                predictions[p],
                &in_prediction[p],
                predictions[q],
                &in_prediction[q],
            );
            if right.is_empty() || made.is_empty() {
                counts.without_line += 1;
                continue;
            }
            let px = (Nearest::of(&right, &made).mean() + Nearest::of(&made, &right).mean()) / 2.0;
            counts.lines += 1;
            counts.line_px += px;
            if let Some(pixel_um) = pixel_um {
                counts.lines_um += 1;
                counts.line_um += px * pixel_um;
            }
        }
    }
}

/// What became of a joined pair.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PairFate {
    /// Both are matched, to these predictions.
    Found(usize, usize),
    /// One prediction covers more than half of each.
    Missed,
    /// Neither.
    Lost,
}

/// A cluster, or a single.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// Truth objects that count; 0 for a dropped one, which has no neighbours.
    pub(crate) size: usize,
    /// Exactly resolved at the IoU of [`RESOLVED_AT`].
    pub(crate) resolved: [bool; 2],
}

/// What became of every truth object, group and joined pair of a field.
pub(crate) struct Fates {
    /// Joined pairs as indices of truth objects.
    pub(crate) pairs: Vec<((usize, usize), PairFate)>,
    /// Clusters and singles.
    pub(crate) groups: Vec<Group>,
    /// The group of each truth object.
    pub(crate) group_of: Vec<usize>,
    /// False cuts in each truth object.
    pub(crate) false_cuts: Vec<u64>,
}

impl Fates {
    pub(crate) fn new(matching: &Matching<'_>) -> Self {
        let pairs = matching.joined();
        let (group_of, count) = components(matching.table.overlap.truth.len(), &pairs);
        let partners = RESOLVED_AT.map(|at| Partners::new(matching, at));
        let mut groups = vec![
            Group {
                size: 0,
                resolved: [true; 2]
            };
            count
        ];
        for (node, &group) in group_of.iter().enumerate() {
            if !matching.table.truth_counts[node] {
                continue;
            }
            groups[group].size += 1;
            for (ok, partners) in groups[group].resolved.iter_mut().zip(&partners) {
                *ok &= partners.of_truth[node].is_some();
            }
        }
        for (prediction, group) in matching.mainly_in(&group_of) {
            for (ok, partners) in groups[group].resolved.iter_mut().zip(&partners) {
                *ok &= partners.is_taken[prediction];
            }
        }
        Self {
            pairs: matching.pair_fates(pairs, &partners[0]),
            groups,
            group_of,
            false_cuts: matching.false_cuts(),
        }
    }
}

/// Who is matched at one threshold.
struct Partners {
    /// The prediction of each truth object.
    of_truth: Vec<Option<usize>>,
    /// Per prediction: it has a partner.
    is_taken: Vec<bool>,
}

impl Partners {
    fn new(matching: &Matching<'_>, twentieths: u64) -> Self {
        let overlap = &matching.table.overlap;
        let mut of_truth = vec![None; overlap.truth.len()];
        let mut is_taken = vec![false; overlap.prediction.len()];
        for pair in matching.table.pairs_at(twentieths) {
            of_truth[pair.truth] = Some(pair.prediction);
            is_taken[pair.prediction] = true;
        }
        Self { of_truth, is_taken }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::labels;
    use stainfree_image::Image;

    fn counts(truth: &[&str], prediction: &[&str]) -> SplittingCounts {
        let (truth, prediction) = (labels(truth), labels(prediction));
        Matching::new(&truth, &prediction, None)
            .unwrap()
            .splitting(Some(0.5))
    }

    fn resolved(n: u64, at_50: u64, at_70: u64) -> Resolved {
        Resolved { n, at_50, at_70 }
    }

    /// A pair on the left, a single on the right.
    const TRUTH: [&str; 4] = [
        "111222......33",
        "111222......33",
        "111222......33",
        "111222......33",
    ];

    #[test]
    fn a_perfect_prediction_resolves_everything_at_distance_zero() {
        let counts = counts(&TRUTH, &TRUTH);
        assert_eq!((counts.nuclei, counts.pairs, counts.found), (3, 1, 1));
        assert_eq!(counts.singles, resolved(1, 1, 1));
        assert_eq!(counts.of_size(2), resolved(1, 1, 1));
        assert_eq!(counts.from_size(3), resolved(0, 0, 0));
        assert!(counts.from_size(3).rate_50().is_nan());
        assert_eq!((counts.line_distance_px(), counts.f1()), (0.0, 1.0));
    }

    #[test]
    fn a_fused_pair_is_a_missed_cut() {
        let counts = counts(&TRUTH, &["777777......99"; 4]);
        assert_eq!((counts.found, counts.missed, counts.lost()), (0, 1, 0));
        assert_eq!(counts.of_size(2), resolved(1, 0, 0));
        assert_eq!(counts.missed_rate(), 1.0);
        assert_eq!((counts.false_cuts, counts.f1()), (0, 0.0));
    }

    #[test]
    fn an_undetected_neighbour_is_a_lost_pair_and_no_missed_cut() {
        let counts = counts(&TRUTH, &["777.........99"; 4]);
        assert_eq!((counts.found, counts.missed, counts.lost()), (0, 0, 1));
    }

    #[test]
    fn a_cut_one_column_off_is_found_one_and_a_half_pixels_away() {
        let counts = counts(&TRUTH, &["7777888.....99"; 4]);
        // IoU of 1 and 7 is 3/4, of 2 and 8 2/4: matched at 0.5, not at 0.7.
        assert_eq!((counts.found, counts.missed), (1, 0));
        assert_eq!(counts.of_size(2), resolved(1, 1, 0));
        // Lines at columns 2, 3 and 3, 4: one of two columns is shared, the other one px away.
        assert_eq!(counts.line_distance_px(), 0.5);
        assert_eq!(counts.line_distance_um(), 0.25);
    }

    #[test]
    fn a_split_single_is_a_false_cut_and_a_speck_in_it_is_none() {
        let truth = [
            ".......", ".11111.", ".11111.", ".11111.", ".11111.", ".......",
        ];
        let cut = [
            ".......", ".44455.", ".44455.", ".44455.", ".44455.", ".......",
        ];
        let halves = counts(&truth, &cut);
        assert_eq!((halves.false_cuts, halves.false_rate()), (1, 1.0));
        // 4 is matched (IoU 12/20), but 5 lies in it too.
        assert_eq!(halves.singles, resolved(1, 0, 0));
        // One pixel of 20 is less than a tenth: no cut; yet a second prediction lies in the
        // nucleus.
        let specked = counts(
            &truth,
            &[
                ".......", ".44444.", ".44444.", ".44444.", ".44445.", ".......",
            ],
        );
        assert_eq!(specked.false_cuts, 0);
        assert_eq!(specked.singles, resolved(1, 0, 0));
        // Two of 20 are a tenth.
        let parted = counts(
            &truth,
            &[
                ".......", ".44444.", ".44444.", ".44444.", ".44455.", ".......",
            ],
        );
        assert_eq!(parted.false_cuts, 1);
    }

    #[test]
    fn a_prediction_mainly_in_a_cluster_but_in_no_member_unresolves_it() {
        let truth = [
            "111111222222",
            "111111222222",
            "111111222222",
            "111111222222",
        ];
        // 9 lies half in 1 and half in 2: mainly in their union, mainly in neither.
        let counts = counts(
            &truth,
            &[
                "777779988888",
                "777779988888",
                "777777888888",
                "777777888888",
            ],
        );
        assert_eq!(counts.found, 1);
        assert_eq!(counts.of_size(2), resolved(1, 0, 0));
        assert_eq!(counts.false_cuts, 0);
    }

    #[test]
    fn a_prediction_that_lies_half_in_a_nucleus_does_not_lie_mainly_in_it() {
        let half = counts(&[".11111111...."], &[".444444455..."]);
        assert_eq!(half.singles, resolved(1, 1, 1));
        let more = counts(&[".11111111...."], &[".444444555..."]);
        assert_eq!(more.singles, resolved(1, 0, 0));
    }

    #[test]
    fn clusters_are_counted_by_size() {
        let row = "1.2.3....4.5.6.7....8.9.a.b.c....d";
        let counts = counts(&[row], &[row]);
        assert_eq!(counts.of_size(3).n, 1);
        assert_eq!(counts.of_size(4).n, 1);
        assert_eq!(counts.from_size(4).n, 2);
        assert_eq!(counts.from_size(2).n, 3);
        assert_eq!((counts.singles.n, counts.pairs), (1, 9));
    }

    #[test]
    fn predictions_more_than_six_pixels_apart_have_no_line() {
        // 9 px long nuclei, one background pixel between; predictions lost 3 px at each facing end.
        let counts = counts(&["111111111.222222222"], &["777777.......888888"]);
        assert_eq!((counts.found, counts.lines, counts.without_line), (1, 0, 1));
        assert!(counts.line_distance_px().is_nan());
    }

    #[test]
    fn ignored_nuclei_leave_the_graph_and_ignored_pixels_do_not_widen_gaps() {
        let truth = labels(&["1122..33"; 2]);
        let prediction = labels(&["1122...."; 2]);
        let mask = Image::from_fn(2, 8, |_, x| x == 1 || x >= 6);
        let counts = Matching::new(&truth, &prediction, Some(&mask))
            .unwrap()
            .splitting(None);
        assert_eq!((counts.nuclei, counts.pairs, counts.found), (2, 1, 1));
        assert_eq!((counts.lines, counts.lines_um), (1, 0));
    }

    #[test]
    fn nothing_is_undefined() {
        let empty = counts(&["....", "...."], &["....", "...."]);
        for value in [
            empty.singles.rate_50(),
            empty.missed_rate(),
            empty.false_rate(),
            empty.recall(),
            empty.precision(),
            empty.f1(),
            empty.line_distance_px(),
        ] {
            assert!(value.is_nan());
        }
    }
}
