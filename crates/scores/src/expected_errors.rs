//! What is expected to be wrong among predicted objects that nobody has checked.
//!
//! On the test, objects with neighbours are wrong more often, and in other ways, than objects that
//! lie alone. So the shares of each number of neighbours there are weighed by how many predicted
//! objects of the images at hand have as many neighbours: direct standardisation, as rates of
//! populations of other ages are compared (Rothman, Greenland & Lash 2008, "Modern epidemiology",
//! chapter 4). Objects that the prediction misses have no number of neighbours in it: of them the
//! ratio to the predicted ones is taken.
//!
//! Groups (experiments, wells) differ far more than pooled shares let one think, so the interval is
//! the range of the test's groups: a further one like them lies in the range of `n` others with the
//! probability `(n - 1) / (n + 1)`, whatever its distribution (Wilks 1941, Annals of Mathematical
//! Statistics 12:91).

use std::collections::BTreeMap;

use stainfree_image::Image;

use crate::clusters::joined_pairs;
use crate::fate::Fate;
use crate::fate_strata::{FateRow, FateStratum, NEIGHBOURS, ObjectErrors, neighbour_words};
use crate::result::FieldRow;

/// Fewer objects of the test say nothing of their own: all of them speak for such.
const LEAST: u64 = 20;
/// Groups of fewer predicted objects have no shares.
const LEAST_OF_GROUP: u64 = 10;
/// The range of fewer groups says too little.
const LEAST_GROUPS: usize = 3;

/// Objects with no, one, two, and three or more neighbours: objects that they are joined to, with
/// at most two pixels of background between.
pub type ByNeighbours = [u64; 4];

/// The objects of a label image by their neighbours.
pub fn by_neighbours(labels: &Image<u32>) -> ByNeighbours {
    let mut all: Vec<u32> = labels.data().iter().copied().filter(|&l| l > 0).collect();
    all.sort_unstable();
    all.dedup();
    let mut number = vec![0usize; all.len()];
    for pair in joined_pairs(labels) {
        for label in pair {
            if let Ok(i) = all.binary_search(&label) {
                number[i] += 1;
            }
        }
    }
    let mut counts = ByNeighbours::default();
    for n in number {
        counts[n.min(counts.len() - 1)] += 1;
    }
    counts
}

/// How many objects are expected to have a fate.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedErrors {
    /// Predicted objects that this is of.
    pub predicted: u64,
    /// Share of them with a neighbour, and that on the test.
    pub crowded: [f64; 2],
    /// Probability with which each interval holds for one more group; none where there are none.
    pub level: Option<f64>,
    /// Errors, in the order of [`Fate::WRONG`].
    pub rows: Vec<ExpectedError>,
}

/// How many objects are expected to be wrong in a way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpectedError {
    /// What is wrong: a true object for missed ones, else a predicted one.
    pub fate: Fate,
    /// How many.
    pub expected: f64,
    /// From the test's best group to its worst; none where it has fewer than three.
    pub interval: Option<[f64; 2]>,
}

impl ExpectedErrors {
    /// Of predicted objects by their neighbours, by the errors of a test and of its fields; `None`
    /// where the test, or the prediction, has none.
    pub fn of(errors: &ObjectErrors, fields: &[FieldRow], predicted: ByNeighbours) -> Option<Self> {
        let all = errors.strata.iter().find(|stratum| stratum.by == "all")?;
        let of_all = all.prediction.as_ref().filter(|row| row.n > 0)?;
        let n: u64 = predicted.iter().sum();
        let own = |count: usize| -> Option<&FateRow> {
            let words = neighbour_words(count);
            let is_own = |s: &&FateStratum| s.by == NEIGHBOURS && s.stratum == words;
            let found = errors.strata.iter().find(is_own)?;
            found.prediction.as_ref()
        };
        let strata: Vec<(f64, &FateRow)> = predicted
            .iter()
            .enumerate()
            .map(|(count, &n)| (n as f64, own(count).filter(|row| row.n >= LEAST)))
            .map(|(n, row)| (n, row.unwrap_or(of_all)))
            .collect();
        let groups = groups(fields);
        let row = |fate: Fate| {
            let (expected, pooled) = match fate {
                Fate::Missed => {
                    let ratio = share(&all.truth, fate)? * all.truth.n as f64 / of_all.n as f64;
                    (ratio * n as f64, ratio)
                }
                _ => (weighed(fate, &strata)?, share(of_all, fate)?),
            };
            // As crowded as here, groups would differ by as much.
            let factor = match pooled > 0.0 {
                true => expected / pooled,
                false => n as f64,
            };
            let interval = range(&groups, fate).map(|ends| ends.map(|end| end * factor));
            Some(ExpectedError {
                fate,
                expected,
                interval,
            })
        };
        let there: u64 = (1..predicted.len()).filter_map(own).map(|row| row.n).sum();
        let crowded = [
            (n - predicted[0]) as f64 / n.max(1) as f64,
            there as f64 / of_all.n as f64,
        ];
        let rows: Vec<ExpectedError> = Fate::WRONG.into_iter().filter_map(row).collect();
        (n > 0).then_some(Self {
            predicted: n,
            crowded,
            level: (groups.len() >= LEAST_GROUPS)
                .then(|| (groups.len() - 1) as f64 / (groups.len() + 1) as f64),
            rows,
        })
    }
}

fn share(row: &FateRow, fate: Fate) -> Option<f64> {
    row.fates.get(fate.name())?.share
}

fn weighed(fate: Fate, strata: &[(f64, &FateRow)]) -> Option<f64> {
    let taken = strata.iter().filter(|(n, _)| *n > 0.0);
    taken.map(|(n, row)| Some(n * share(row, fate)?)).sum()
}

/// Objects of one group by their fates, and how many were predicted.
type Group = (BTreeMap<Fate, u64>, u64);

/// The groups of fields that have enough predicted objects; a field without a group is its own.
fn groups(fields: &[FieldRow]) -> Vec<Group> {
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    for field in fields {
        let Some(fates) = &field.object_errors else {
            continue;
        };
        let name = field.group.as_ref().unwrap_or(&field.name);
        let (sums, predicted) = groups.entry(name).or_default();
        for fate in Fate::WRONG {
            let side = match fate {
                Fate::Missed => &fates.truth,
                _ => &fates.prediction,
            };
            *sums.entry(fate).or_default() += side.get(fate.name()).copied().unwrap_or(0);
        }
        *predicted += fates.prediction.0.iter().map(|(_, n)| n).sum::<u64>();
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.retain(|(_, predicted)| *predicted >= LEAST_OF_GROUP);
    groups
}

/// Least and largest number of a fate for each predicted object.
fn range(groups: &[Group], fate: Fate) -> Option<[f64; 2]> {
    let of = |(sums, predicted): &Group| {
        sums.get(&fate).copied().unwrap_or(0) as f64 / *predicted as f64
    };
    let values = groups.iter().map(of);
    let [low, high] = [values.clone().reduce(f64::min)?, values.reduce(f64::max)?];
    (groups.len() >= LEAST_GROUPS).then_some([low, high])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ByName;
    use crate::fate_strata::{FateShare, FieldFates};

    fn row(n: u64, fates: &[(Fate, u64)]) -> FateRow {
        let one = |&(fate, of): &(Fate, u64)| {
            let share = of as f64 / n as f64;
            let found = FateShare {
                n: of,
                share: Some(share),
                ci95: None,
            };
            (fate.name().to_owned(), found)
        };
        FateRow {
            n,
            fates: ByName(fates.iter().map(one).collect()),
        }
    }

    fn stratum(by: &str, words: &str, truth: FateRow, prediction: FateRow) -> FateStratum {
        FateStratum {
            by: by.to_owned(),
            stratum: words.to_owned(),
            above: None,
            up_to: None,
            truth,
            prediction: Some(prediction),
        }
    }

    /// A test of 100 objects that lie alone, of which 5 are spurious, and of 50 with a neighbour,
    /// 20 of them spurious; 8 with two neighbours are too few; 30 of 180 true ones are missed.
    fn test() -> ObjectErrors {
        let truth = |n| row(n, &[(Fate::Missed, n / 6)]);
        let spurious = |n, of| row(n, &[(Fate::Spurious, of)]);
        ObjectErrors {
            strata: vec![
                stratum("all", "all", truth(180), spurious(158, 33)),
                stratum(NEIGHBOURS, "no neighbour", truth(120), spurious(100, 5)),
                stratum(NEIGHBOURS, "1 neighbour", truth(60), spurious(50, 20)),
                stratum(NEIGHBOURS, "2 neighbours", truth(12), spurious(8, 8)),
            ],
        }
    }

    #[test]
    fn shares_of_the_test_are_weighed_by_the_neighbours_at_hand() {
        let found = ExpectedErrors::of(&test(), &[], [200, 300, 50, 29]).unwrap();
        assert_eq!((found.predicted, found.level), (579, None));
        // 5 % and 40 %; of more neighbours too little is known, so 33 of 158.
        let rest = 33.0 / 158.0 * 79.0;
        let spurious = found.rows.iter().find(|row| row.fate == Fate::Spurious);
        let spurious = spurious.unwrap();
        let expected = 10.0 + 120.0 + rest;
        assert!((spurious.expected - expected).abs() < 1e-9, "{spurious:?}");
        assert_eq!(spurious.interval, None);
        let missed = found.rows.iter().find(|row| row.fate == Fate::Missed);
        assert!((missed.unwrap().expected - 30.0 / 158.0 * 579.0).abs() < 1e-9);
        let [here, there] = found.crowded;
        assert!((here - 379.0 / 579.0).abs() < 1e-12 && (there - 58.0 / 158.0).abs() < 1e-12);
        assert_eq!(ExpectedErrors::of(&test(), &[], [0; 4]), None);
    }

    #[test]
    fn intervals_go_from_the_best_group_to_the_worst() {
        let field = |name: &str, group: Option<&str>, right: u64, spurious: u64, missed: u64| {
            let counts = |fates: &[(Fate, u64)]| {
                ByName(
                    fates
                        .iter()
                        .map(|(f, n)| (f.name().to_owned(), *n))
                        .collect(),
                )
            };
            FieldRow {
                name: name.to_owned(),
                group: group.map(str::to_owned),
                object_errors: Some(FieldFates {
                    truth: counts(&[(Fate::Found, right), (Fate::Missed, missed)]),
                    prediction: counts(&[(Fate::Found, right), (Fate::Spurious, spurious)]),
                }),
                ..FieldRow::default()
            }
        };
        // 10 %, 30 %, and 20 % of two fields together; the last has too few to say anything.
        let fields = [
            field("a", Some("A"), 18, 2, 4),
            field("b", Some("B"), 14, 6, 0),
            field("c1", Some("C"), 10, 0, 1),
            field("c2", Some("C"), 6, 4, 1),
            field("d", None, 1, 8, 50),
        ];
        let found = ExpectedErrors::of(&test(), &fields, [1000, 0, 0, 0]).unwrap();
        assert_eq!(found.level, Some(0.5));
        let interval = |fate| {
            let row = found.rows.iter().find(|row| row.fate == fate).unwrap();
            (row.expected, row.interval.unwrap())
        };
        // 5 % in place of 33 of 158, since none has a neighbour here.
        let (expected, [low, high]) = interval(Fate::Spurious);
        assert!((expected - 50.0).abs() < 1e-9);
        let factor = 50.0 / (33.0 / 158.0);
        assert!((low - 0.1 * factor).abs() < 1e-9 && (high - 0.3 * factor).abs() < 1e-9);
        let (_, [low, high]) = interval(Fate::Missed);
        assert!(low.abs() < 1e-9 && (high - 200.0).abs() < 1e-9);
    }

    #[test]
    fn neighbours_are_counted_as_errors_count_them() {
        // Three in a row, two pixels of background between, and one apart.
        let labels = Image::from_fn(12, 24, |y, x| match (y, x) {
            (1..4, 1..4) => 7,
            (1..4, 6..9) => 2,
            (1..4, 11..14) => 900_000,
            (8..11, 18..22) => 4,
            _ => 0,
        });
        assert_eq!(by_neighbours(&labels), [1, 2, 1, 0]);
        assert_eq!(by_neighbours(&Image::filled(3, 3, 0)), [0; 4]);
    }
}
