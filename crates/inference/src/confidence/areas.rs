//! Areas of nuclei and cytoplasm that are expected in a field or well, with intervals.
//!
//! As counts are (`counts`): what was predicted, each nucleus by its confidence, times a factor
//! from the validation fields; and an interval that is conformal by group, of residuals by what was
//! fitted without the group. Areas are in um2, or in px where sizes do not count.

use serde::{Deserialize, Serialize};

use super::counts::{BETWEEN, Count, CountOf, level_of, reach, spread};

/// The areas of a field or a well with truth, and what was predicted of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AreaUnit {
    /// What it shares cells, focus and staining with.
    pub(super) group: String,
    /// Its well, where that is known.
    pub(super) well: Option<String>,
    /// Area of all true nuclei, and their number.
    pub(super) truth: [f64; 2],
    /// The same of the predicted ones, each by its confidence.
    pub(super) found: [f64; 2],
    /// True and predicted area of the cytoplasm, where the classes have one.
    pub(super) cytoplasm: Option<[f64; 2]>,
}

/// What was predicted of a field or a well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FoundAreas {
    /// Sum of the nuclei's areas, each by its confidence.
    pub nuclei: f64,
    /// Sum of their confidences.
    pub confidences: f64,
    /// Area of the cytoplasm, where the classes have one.
    pub cytoplasm: Option<f64>,
}

/// How one area follows from what was predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AreaRule {
    /// True area by the predicted one, over all validation fields.
    pub per_found: f64,
    /// The score that a field's interval reaches; none where groups are too few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<f64>,
    /// The score that a well's interval reaches, where wells are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub well: Option<f64>,
}

/// How areas follow from what was predicted. Intervals hold with the probability of those of counts
/// ([`super::CountRule::level`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AreaRules {
    /// Area of a usual nucleus: areas scatter by that of about one nucleus.
    pub usual: f64,
    /// All nuclei together.
    pub nuclei: AreaRule,
    /// A nucleus on average.
    pub mean: AreaRule,
    /// The cytoplasm, where the classes have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cytoplasm: Option<AreaRule>,
}

/// Expected areas with their intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Areas {
    /// Of all nuclei together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nuclei: Option<Count>,
    /// Of a nucleus on average; none where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Count>,
    /// Of the cytoplasm, where the classes have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cytoplasm: Option<Count>,
}

/// True and predicted area of a unit; none where it has no such thing.
type Quantity = fn(&AreaUnit) -> Option<[f64; 2]>;

fn of_nuclei(unit: &AreaUnit) -> Option<[f64; 2]> {
    Some([unit.truth[0], unit.found[0]])
}

fn of_one(unit: &AreaUnit) -> Option<[f64; 2]> {
    let [truth, found] = [unit.truth, unit.found].map(|[area, number]| area / number);
    (truth.is_finite() && found.is_finite()).then_some([truth, found])
}

fn of_cytoplasm(unit: &AreaUnit) -> Option<[f64; 2]> {
    unit.cytoplasm
}

/// What sums scatter by: as counts do, in usual nuclei.
fn of_sum(expected: f64, usual: f64) -> f64 {
    usual * spread(expected / usual)
}

/// What the mean of so many nuclei scatters by.
fn of_mean(expected: f64, nuclei: f64) -> f64 {
    expected * (1.0 / (nuclei + 1.0) + BETWEEN * BETWEEN).sqrt()
}

impl AreaRules {
    /// The rules from `fields`, with intervals that hold with the probability `level`.
    pub(super) fn new(fields: &[AreaUnit], usual: f64, level: Option<f64>) -> Self {
        let wells = wells_of(fields);
        let rule = |of: Quantity, scatter: &dyn Fn(f64, &AreaUnit) -> f64| {
            let ratio = |without: Option<&str>| ratio(fields, of, without);
            let reached = |units: &[AreaUnit]| {
                let score = |unit: &AreaUnit| {
                    let [truth, found] = of(unit)?;
                    let expected = ratio(Some(&unit.group)) * found;
                    let score = (truth - expected).abs() / scatter(expected, unit);
                    Some((unit.group.clone(), score))
                };
                let scores: Vec<(String, f64)> = units.iter().filter_map(score).collect();
                let groups: std::collections::BTreeSet<&String> =
                    scores.iter().map(|(group, _)| group).collect();
                let enough = level_of(groups.len()) >= level;
                level
                    .filter(|_| enough)
                    .and_then(|level| reach(&scores, level))
            };
            AreaRule {
                per_found: ratio(None),
                field: reached(fields),
                well: reached(&wells),
            }
        };
        let sum = |expected: f64, _: &AreaUnit| of_sum(expected, usual);
        let mean = |expected: f64, unit: &AreaUnit| of_mean(expected, unit.found[1]);
        let has_cytoplasm = fields.iter().any(|unit| unit.cytoplasm.is_some());
        Self {
            usual,
            nuclei: rule(of_nuclei, &sum),
            mean: rule(of_one, &mean),
            cytoplasm: has_cytoplasm.then(|| rule(of_cytoplasm, &sum)),
        }
    }

    /// The areas of what these were found in.
    pub fn areas(&self, found: &FoundAreas, of: CountOf) -> Areas {
        let with = |rule: &AreaRule, found: f64, scatter: &dyn Fn(f64) -> f64| {
            let expected = rule.per_found * found;
            let reach = match of {
                CountOf::Field => rule.field,
                CountOf::Well => rule.well,
            };
            let around = |reach: f64| {
                let half = reach * scatter(expected);
                [(expected - half).max(0.0), expected + half]
            };
            Count {
                expected,
                interval: reach.map(around),
            }
        };
        let sum = |expected: f64| of_sum(expected, self.usual);
        let mean = |expected: f64| of_mean(expected, found.confidences);
        let one = found.nuclei / found.confidences;
        let cytoplasm = self.cytoplasm.as_ref().zip(found.cytoplasm);
        Areas {
            nuclei: Some(with(&self.nuclei, found.nuclei, &sum)),
            mean: one.is_finite().then(|| with(&self.mean, one, &mean)),
            cytoplasm: cytoplasm.map(|(rule, area)| with(rule, area, &sum)),
        }
    }

    /// Whether all numbers can be used.
    pub(super) fn check(&self) -> bool {
        let rules = [&self.nuclei, &self.mean]
            .into_iter()
            .chain(&self.cytoplasm);
        let mut numbers = rules.map(|rule| rule.per_found).chain([self.usual]);
        numbers.all(|number| number.is_finite() && number > 0.0)
    }
}

/// True by predicted, over all fields but those of a group; 1 where nothing is known.
fn ratio(fields: &[AreaUnit], of: Quantity, without: Option<&str>) -> f64 {
    let others = fields
        .iter()
        .filter(|unit| Some(unit.group.as_str()) != without);
    let mut all = AreaUnit::default();
    others.for_each(|unit| all.add(unit));
    let known = of(&all).map(|[truth, found]| truth / found);
    match known.filter(|ratio| ratio.is_finite() && *ratio > 0.0) {
        Some(ratio) => ratio,
        None if without.is_some() => ratio(fields, of, None),
        None => 1.0,
    }
}

impl AreaUnit {
    fn add(&mut self, other: &Self) {
        for i in 0..2 {
            self.truth[i] += other.truth[i];
            self.found[i] += other.found[i];
        }
        if let Some(other) = other.cytoplasm {
            let own = self.cytoplasm.get_or_insert([0.0; 2]);
            (0..2).for_each(|i| own[i] += other[i]);
        }
    }
}

/// The wells of fields, as far as they are known.
fn wells_of(fields: &[AreaUnit]) -> Vec<AreaUnit> {
    let mut wells: Vec<AreaUnit> = Vec::new();
    for field in fields.iter().filter(|field| field.well.is_some()) {
        let same = |well: &&mut AreaUnit| well.well == field.well && well.group == field.group;
        match wells.iter_mut().find(same) {
            Some(well) => well.add(field),
            None => wells.push(field.clone()),
        }
    }
    wells
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_image::random::number;

    fn uniform(seed: u64, i: u64) -> f64 {
        ((number(seed, i) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// A field of `group` with 50 nuclei of 80 um2, of which 40 are found, each 10 % too small by
    /// more or less, and half of the cytoplasm.
    fn unit(seed: u64, group: u64, field: u64) -> AreaUnit {
        let bias = 0.4 * (uniform(seed, group) - 0.5);
        let own = 0.2 * (uniform(seed, 1000 + 10 * group + field) - 0.5);
        let size = 72.0 * (1.0 + bias + own);
        AreaUnit {
            group: group.to_string(),
            well: Some(format!("A{}", field / 2)),
            truth: [50.0 * 80.0, 50.0],
            found: [40.0 * size, 40.0],
            cytoplasm: Some([9000.0, 4500.0 * (1.0 + bias)]),
        }
    }

    fn found(unit: &AreaUnit) -> FoundAreas {
        FoundAreas {
            nuclei: unit.found[0],
            confidences: unit.found[1],
            cytoplasm: unit.cytoplasm.map(|[_, found]| found),
        }
    }

    #[test]
    fn areas_are_right_on_average_and_their_intervals_hold_in_new_groups() {
        let draws = 1500;
        let mut held = [0u32; 3];
        for draw in 0..draws {
            let known: Vec<AreaUnit> = (0..9)
                .flat_map(|group| (0..2).map(move |field| unit(draw, group, field)))
                .collect();
            let rules = AreaRules::new(&known, 80.0, Some(0.9));
            let new = unit(draw, 9, 0);
            let areas = rules.areas(&found(&new), CountOf::Field);
            let truths = [4000.0, 80.0, 9000.0];
            let said = [areas.nuclei, areas.mean, areas.cytoplasm];
            for ((held, truth), said) in held.iter_mut().zip(truths).zip(said) {
                let [low, high] = said.unwrap().interval.unwrap();
                *held += u32::from((low..=high).contains(&truth));
            }
        }
        // Nine groups promise 0.9, and no more than 1.0; four standard errors are 0.031.
        for held in held {
            let share = f64::from(held) / draws as f64;
            assert!((0.869..=0.99).contains(&share), "{share}");
        }
    }

    #[test]
    fn what_is_missed_and_what_is_too_small_is_put_in() {
        let known: Vec<AreaUnit> = (0..4).map(|group| unit(1, group, 0)).collect();
        let rules = AreaRules::new(&known, 80.0, Some(0.8));
        let mut all = AreaUnit::default();
        known.iter().for_each(|unit| all.add(unit));
        let areas = rules.areas(&found(&all), CountOf::Field);
        assert!((areas.nuclei.unwrap().expected - 16_000.0).abs() < 1e-6);
        assert!((areas.mean.unwrap().expected - 80.0).abs() < 1e-9);
        assert!((areas.cytoplasm.unwrap().expected - 36_000.0).abs() < 1e-6);
        // Four groups allow 0.8 and no more.
        let more = AreaRules::new(&known, 80.0, Some(0.9));
        assert!(more.nuclei.field.is_none() && more.mean.field.is_none());
        assert!(rules.nuclei.field.is_some() && rules.nuclei.well.is_some());
    }

    #[test]
    fn fields_without_nuclei_say_nothing_of_the_mean() {
        let mut known: Vec<AreaUnit> = (0..4).map(|group| unit(2, group, 0)).collect();
        known[0].truth = [0.0; 2];
        let rules = AreaRules::new(&known, 80.0, Some(0.8));
        // Three groups are left for the mean, and four for the sum.
        assert!(rules.mean.field.is_none() && rules.nuclei.field.is_some());
        let nothing = FoundAreas {
            nuclei: 0.0,
            confidences: 0.0,
            cytoplasm: None,
        };
        let areas = rules.areas(&nothing, CountOf::Field);
        assert_eq!(areas.nuclei.unwrap().expected, 0.0);
        assert!(areas.mean.is_none() && areas.cytoplasm.is_none());
        assert!(rules.check());
    }
}
