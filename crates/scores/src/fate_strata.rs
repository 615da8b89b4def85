//! Fates of objects counted by what may explain them: neighbours, border, size, kind, contrast.
//!
//! Thirds are those of the true objects of all fields together, so they are made when fields are
//! summed up; predicted objects are parted at the same limits.

use serde::{Deserialize, Serialize};

use crate::bootstrap::intervals;
use crate::by_name::ByName;
use crate::fate::{FATES, Fate, JudgedObject, Side};
use crate::fields::{BootstrapOptions, FieldScores, Units};
use crate::pixels::{defined, ratio};

/// What became of the objects of a set of fields, at IoU 0.5.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectErrors {
    /// All objects, then strata of them.
    pub strata: Vec<FateStratum>,
}

/// Objects that have something in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FateStratum {
    /// What objects are told apart by: `all`, `neighbours`, `border`, `size`, `kind`, `contrast`.
    pub by: String,
    /// Which of them, in words, such as `2 neighbours`.
    pub stratum: String,
    /// Of thirds: the values lie above this, up to `up_to`. Areas are in px, contrasts are
    /// standard deviation by mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// Of thirds: the largest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<f64>,
    /// True objects; those other than `found` add up to FN.
    pub truth: FateRow,
    /// Predicted objects; those other than `found` add up to FP. None by kind, which predictions
    /// do not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<FateRow>,
}

/// Fates of the objects of one side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FateRow {
    /// Objects.
    pub n: u64,
    /// How many of them have which fate, by [`Fate::name`].
    pub fates: ByName<FateShare>,
}

/// Objects of one fate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FateShare {
    /// How many.
    pub n: u64,
    /// Their share of the objects; none where there is no object.
    pub share: Option<f64>,
    /// 95 % bootstrap interval of the share.
    pub ci95: Option<[f64; 2]>,
}

/// How many objects of one field have which fate, by [`Fate::name`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldFates {
    /// Of the true objects.
    pub truth: ByName<u64>,
    /// Of the predicted ones.
    pub prediction: ByName<u64>,
}

/// Objects by side and fate.
type Counts = [[u64; FATES]; 2];

fn count<'a>(objects: impl Iterator<Item = &'a JudgedObject>) -> Counts {
    let mut counts = Counts::default();
    for object in objects {
        counts[object.side as usize][object.fate as usize] += 1;
    }
    counts
}

impl FieldFates {
    pub(crate) fn of(objects: &[JudgedObject]) -> Self {
        let counts = count(objects.iter());
        let side = |side: Side| {
            let named = |fate: Fate| {
                let n = counts[side as usize][fate as usize];
                (fate.name().to_owned(), n)
            };
            ByName(side.fates().map(named).to_vec())
        };
        Self {
            truth: side(Side::Truth),
            prediction: side(Side::Prediction),
        }
    }
}

/// Counts of every stratum of the fields whose objects were judged, with intervals of their shares;
/// none where none was. Strata without an object are left out.
pub(crate) fn object_errors(
    fields: &[FieldScores],
    units: &Units,
    options: &BootstrapOptions,
) -> Option<ObjectErrors> {
    let judged = |field: &usize| fields[*field].judged.iter().flatten();
    let all: Vec<&JudgedObject> = (0..fields.len()).flat_map(|i| judged(&i)).collect();
    if fields.iter().all(|field| field.judged.is_none()) {
        return None;
    }
    let strata = strata(&all);
    let by_stratum = |objects: Vec<&JudgedObject>| -> Vec<Counts> {
        let of = |stratum: &Stratum| count(objects.iter().copied().filter(|o| (stratum.holds)(o)));
        strata.iter().map(of).collect()
    };
    let of_unit = |members: &Vec<usize>| by_stratum(members.iter().flat_map(judged).collect());
    let of_units: Vec<Vec<Counts>> = units.members.iter().map(of_unit).collect();
    let add = |sum: &mut Vec<Counts>, unit: &Vec<Counts>| {
        sum.resize(unit.len(), Counts::default());
        let sums = sum.as_flattened_mut().as_flattened_mut();
        for (sum, n) in sums.iter_mut().zip(unit.as_flattened().as_flattened()) {
            *sum += n;
        }
    };
    let shares = |total: &Vec<Counts>| {
        let none = Counts::default();
        let stratum = |i: usize| total.get(i).unwrap_or(&none);
        let of = |i: usize| [Side::Truth, Side::Prediction].map(|side| share(stratum(i), side));
        (0..strata.len()).flat_map(of).flatten().collect()
    };
    let bounds = intervals(&of_units, options.resamples, options.seed, add, shares);
    let totals = by_stratum(all);
    let rows = strata.iter().zip(totals).zip(bounds.chunks(2 * FATES));
    Some(ObjectErrors {
        strata: rows
            .filter(|((stratum, counts), _)| {
                stratum.by == ALL || counts.as_flattened().iter().sum::<u64>() > 0
            })
            .map(|((stratum, counts), bounds)| stratum.row(&counts, bounds))
            .collect(),
    })
}

/// The share of every fate among the objects of a side, NaN without any.
fn share(counts: &Counts, side: Side) -> [f64; FATES] {
    let own = counts[side as usize];
    let n = own.iter().sum::<u64>() as f64;
    own.map(|fate| ratio(fate as f64, n))
}

/// Which objects belong together.
struct Stratum {
    by: &'static str,
    words: String,
    limits: [Option<f64>; 2],
    holds: Box<dyn Fn(&JudgedObject) -> bool>,
}

const ALL: &str = "all";
const KIND: &str = "kind";
/// What objects are told apart by: how many others they are joined to.
pub(crate) const NEIGHBOURS: &str = "neighbours";

impl Stratum {
    fn new(
        by: &'static str,
        words: impl Into<String>,
        holds: impl Fn(&JudgedObject) -> bool + 'static,
    ) -> Self {
        Self {
            by,
            words: words.into(),
            limits: [None; 2],
            holds: Box::new(holds),
        }
    }

    fn row(&self, counts: &Counts, bounds: &[Option<[f64; 2]>]) -> FateStratum {
        let side = |side: Side| {
            let (own, shares) = (counts[side as usize], share(counts, side));
            let one = |fate: Fate| {
                let found = FateShare {
                    n: own[fate as usize],
                    share: defined(shares[fate as usize]),
                    ci95: bounds[side as usize * FATES + fate as usize],
                };
                (fate.name().to_owned(), found)
            };
            FateRow {
                n: own.iter().sum(),
                fates: ByName(side.fates().map(one).to_vec()),
            }
        };
        FateStratum {
            by: self.by.to_owned(),
            stratum: self.words.clone(),
            above: self.limits[0],
            up_to: self.limits[1],
            truth: side(Side::Truth),
            prediction: (self.by != KIND).then(|| side(Side::Prediction)),
        }
    }
}

/// Neighbours from which on all numbers are counted together.
const MANY: usize = 3;

/// A number of neighbours, in words.
pub(crate) fn neighbour_words(n: usize) -> String {
    match n {
        0 => "no neighbour".to_owned(),
        1 => "1 neighbour".to_owned(),
        MANY.. => format!("{n} or more neighbours"),
        n => format!("{n} neighbours"),
    }
}

fn strata(objects: &[&JudgedObject]) -> Vec<Stratum> {
    let mut strata = vec![Stratum::new(ALL, ALL, |_| true)];
    for n in 0..=MANY {
        let holds = move |object: &JudgedObject| object.neighbours.min(MANY) == n;
        strata.push(Stratum::new(NEIGHBOURS, neighbour_words(n), holds));
    }
    for (border, words) in [(false, "inside"), (true, "at the border")] {
        let holds = move |object: &JudgedObject| object.at_border == border;
        strata.push(Stratum::new("border", words, holds));
    }
    let area = |object: &JudgedObject| Some(object.area_px as f64);
    strata.extend(thirds("size", objects, area, ["small", "medium", "large"]));
    let mut kinds: Vec<&String> = objects.iter().filter_map(|o| o.kind.as_ref()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let own = kind.clone();
        let holds = move |object: &JudgedObject| object.kind.as_ref() == Some(&own);
        strata.push(Stratum::new(KIND, kind, holds));
    }
    let contrast = |object: &JudgedObject| object.contrast;
    let words = ["low contrast", "medium contrast", "high contrast"];
    strata.extend(thirds("contrast", objects, contrast, words));
    strata
}

/// Strata at the values that a third and two thirds of the true objects do not exceed; none where
/// fewer than three have one.
fn thirds(
    by: &'static str,
    objects: &[&JudgedObject],
    value: fn(&JudgedObject) -> Option<f64>,
    words: [&str; 3],
) -> Vec<Stratum> {
    let truth = objects.iter().filter(|object| object.side == Side::Truth);
    let mut values: Vec<f64> = truth.filter_map(|object| value(object)).collect();
    if values.len() < 3 {
        return Vec::new();
    }
    values.sort_unstable_by(f64::total_cmp);
    let at = |third: usize| Some(values[(third * values.len()).div_ceil(3) - 1]);
    let limits = [[None, at(1)], [at(1), at(2)], [at(2), None]];
    let stratum = |(words, [above, up_to]): (&str, [Option<f64>; 2])| Stratum {
        limits: [above, up_to],
        ..Stratum::new(by, words, move |object| {
            value(object).is_some_and(|v| {
                above.is_none_or(|above| v > above) && up_to.is_none_or(|up_to| v <= up_to)
            })
        })
    };
    words.into_iter().zip(limits).map(stratum).collect()
}
