//! The confidence of a model fitted on predictions of fields with truth that did not train it.
//!
//! Everything is checked on what was left out: groups in turn where there are three or more, else
//! fields, else nuclei in five parts. The ridge is the one whose lines are best there. Lines differ
//! between groups, so that the spread of their logits promises more than it holds elsewhere: the
//! logits of what was left out say by how much, and all are drawn together (or apart) by that
//! (Platt 1999, "Probabilistic outputs for support vector machines").
//!
//! Where hardly any nucleus is wrong (or right), nothing can be learned of which ones are. Then all
//! have the share that is right, by Laplace's rule of succession: (right + 1) / (all + 2), so that
//! none is certain because no error was seen.

use serde::{Deserialize, Serialize};

use super::areas::{AreaRules, AreaUnit};
use super::counts::{CountRule, CountedUnit};
use super::features::{AREA, COUNT, FEATURES, FeatureTable, beside};
use super::logistic::{Line, fit, log_loss, sigmoid};
use super::{Confidence, Weighed};

/// Predicted nuclei that a fit needs.
const LEAST: usize = 30;
/// Right ones, and wrong ones, that are needed to tell them apart.
const LEAST_OF_A_KIND: usize = 5;
/// Ridges that are tried, in objects: features have a standard deviation of 1.
const RIDGES: [f64; 7] = [0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0];
/// How strongly the drawing together is held to "as it is".
const AS_IT_IS: f64 = 1.0;
/// Bins of the calibration error.
const BINS: usize = 10;

/// A predicted field with truth.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldFound {
    /// Its name.
    pub name: String,
    /// What it shares cells, focus and staining with.
    pub group: String,
    /// Its well, where that is known.
    pub well: Option<String>,
    /// The features of its predicted nuclei.
    pub table: FeatureTable,
    /// Whether each matches a true one; `None` where that is not known: most of it is ignored.
    pub right: Vec<Option<bool>>,
    /// True nuclei that count.
    pub truth: u64,
    /// Their area, um2, or px where sizes do not count.
    pub true_area: f64,
    /// True and predicted area of the cytoplasm, likewise, where the classes have one.
    pub cytoplasm: Option<[f64; 2]>,
}

/// What was left out to check a fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeftOut {
    /// A group at a time.
    Group,
    /// A field at a time: there are fewer than three groups.
    Field,
    /// A fifth of the nuclei at a time: there are fewer than three fields.
    #[default]
    Nucleus,
}

/// What a fit rests on, and how well it does on what was left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// Groups of fields.
    pub groups: usize,
    /// The fields.
    pub fields: Vec<String>,
    /// Predicted nuclei.
    pub nuclei: usize,
    /// Those that match no true one.
    pub wrong: usize,
    /// What was left out in turn.
    pub left_out: LeftOut,
    /// The ridge that was chosen.
    pub ridge: f64,
    /// By what logits are multiplied: below 1 where lines of other groups promise too much.
    pub slope: f64,
    /// Expected calibration error of what was left out, in ten bins.
    pub ece: f64,
    /// Probability that a right nucleus has a higher confidence than a wrong one.
    pub auroc: f64,
}

/// Why there is no confidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooFew {
    /// Predicted nuclei.
    pub nuclei: usize,
}

impl std::fmt::Display for TooFew {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let nuclei = self.nuclei;
        write!(
            f,
            "{nuclei} predicted nuclei of the validation fields are too few for a confidence: \
             {LEAST} are needed"
        )
    }
}

/// A nucleus that is right or wrong, with its place.
struct Case {
    row: [f64; COUNT],
    /// um2, or px where sizes do not count.
    area: f64,
    right: bool,
    field: usize,
    fold: usize,
}

impl Confidence {
    /// Fits the confidence of the model `hash` and the rule `rule` on these fields.
    ///
    /// # Errors
    /// [`TooFew`] where nuclei are too few.
    pub fn fit(
        hash: &str,
        rule: &str,
        in_pixels: bool,
        fields: &[FieldFound],
    ) -> Result<Self, TooFew> {
        let usual_area = usual_area(fields);
        let (folds, left_out) = folds(fields);
        let cases = cases(fields, &folds, usual_area);
        let wrong = cases.iter().filter(|case| !case.right).count();
        let least = wrong.min(cases.len() - wrong);
        if cases.len() < LEAST {
            return Err(TooFew {
                nuclei: cases.len(),
            });
        }
        let Told {
            intercept,
            features,
            ridge,
            slope,
            sure,
        } = match least < LEAST_OF_A_KIND {
            true => Told::all_alike(&cases),
            false => Told::apart(&cases),
        };
        let right: Vec<bool> = cases.iter().map(|case| case.right).collect();
        let (counts, areas) = rules(fields, &cases, &sure, usual_area);
        Ok(Self {
            program: format!("stainfree {}", env!("CARGO_PKG_VERSION")),
            model: hash.to_owned(),
            rule: rule.to_owned(),
            in_pixels,
            usual_area,
            intercept,
            checked: Checked {
                groups: groups(fields).len(),
                fields: fields.iter().map(|field| field.name.clone()).collect(),
                nuclei: cases.len(),
                wrong,
                left_out,
                ridge,
                slope,
                ece: ece(&sure, &right),
                // Those of different folds are not alike, which says nothing of nuclei.
                auroc: match features.is_empty() {
                    true => 0.5,
                    false => auroc(&sure, &right),
                },
            },
            counts,
            areas: Some(areas),
            features,
        })
    }
}

/// How right nuclei are told from wrong ones.
struct Told {
    intercept: f64,
    features: Vec<Weighed>,
    ridge: f64,
    slope: f64,
    /// How sure each case is by what was fitted without its fold.
    sure: Vec<f64>,
}

impl Told {
    /// By a line through their features.
    fn apart(cases: &[Case]) -> Self {
        let scaled = Scaled::of(cases);
        let (ridge, logits) = scaled.best_ridge(cases);
        let right: Vec<bool> = cases.iter().map(|case| case.right).collect();
        let [lift, slope] = drawn_together(&logits, &right);
        let line = scaled.line(cases, |_| true, ridge);
        let features = scaled.columns.iter().zip(&line.weights);
        let weighed = features.map(|(column, weight)| Weighed {
            name: FEATURES[column.place].0.to_owned(),
            mean: column.mean,
            deviation: column.deviation,
            weight: slope * weight,
        });
        Self {
            intercept: lift + slope * line.intercept,
            features: weighed.collect(),
            ridge,
            slope,
            sure: logits.iter().map(|z| sigmoid(lift + slope * z)).collect(),
        }
    }

    /// Not at all: by the share that is right.
    fn all_alike(cases: &[Case]) -> Self {
        let share = |wanted: &dyn Fn(&Case) -> bool| {
            let chosen = || cases.iter().filter(|case| wanted(case));
            let right = chosen().filter(|case| case.right).count();
            (right + 1) as f64 / (chosen().count() + 2) as f64
        };
        let all = share(&|_| true);
        Self {
            intercept: (all / (1.0 - all)).ln(),
            features: Vec::new(),
            ridge: 0.0,
            slope: 0.0,
            sure: (cases.iter().map(|case| case.fold))
                .map(|fold| share(&|case| case.fold != fold))
                .collect(),
        }
    }
}

/// The names of all groups, ascending.
fn groups(fields: &[FieldFound]) -> Vec<&str> {
    let mut names: Vec<&str> = fields.iter().map(|field| field.group.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The median area of all predicted nuclei.
fn usual_area(fields: &[FieldFound]) -> f64 {
    let mut areas: Vec<f64> = fields
        .iter()
        .flat_map(|field| field.table.areas())
        .collect();
    areas.sort_unstable_by(f64::total_cmp);
    areas.get(areas.len() / 2).copied().unwrap_or(1.0)
}

/// The fold of every field, or none where nuclei are left out.
fn folds(fields: &[FieldFound]) -> (Option<Vec<usize>>, LeftOut) {
    let groups = groups(fields);
    if groups.len() >= 3 {
        let fold = |field: &FieldFound| groups.binary_search(&field.group.as_str()).unwrap_or(0);
        (Some(fields.iter().map(fold).collect()), LeftOut::Group)
    } else if fields.len() >= 3 {
        (Some((0..fields.len()).collect()), LeftOut::Field)
    } else {
        (None, LeftOut::Nucleus)
    }
}

fn cases(fields: &[FieldFound], folds: &Option<Vec<usize>>, usual_area: f64) -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, field) in fields.iter().enumerate() {
        for (row, right) in field.table.rows.iter().zip(&field.right) {
            let Some(right) = *right else { continue };
            cases.push(Case {
                row: beside(row, usual_area),
                area: row[AREA].exp(),
                right,
                field: number,
                fold: folds
                    .as_ref()
                    .map_or(cases.len() % 5, |folds| folds[number]),
            });
        }
    }
    cases
}

/// A feature that differs between nuclei and is known of all.
struct Column {
    place: usize,
    mean: f64,
    deviation: f64,
}

/// Cases with features of mean 0 and standard deviation 1.
struct Scaled {
    columns: Vec<Column>,
    rows: Vec<Vec<f64>>,
}

impl Scaled {
    fn of(cases: &[Case]) -> Self {
        let n = cases.len() as f64;
        let column = |place: usize| {
            let values = || cases.iter().map(move |case| case.row[place]);
            let mean = values().sum::<f64>() / n;
            let deviation = (values().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
            // Rounding leaves something of a constant.
            let differs = deviation.is_finite() && deviation > 1e-9 * (1.0 + mean.abs());
            differs.then_some(Column {
                place,
                mean,
                deviation,
            })
        };
        let columns: Vec<Column> = (0..COUNT).filter_map(column).collect();
        let row = |case: &Case| {
            let columns = columns.iter();
            columns
                .map(|c| (case.row[c.place] - c.mean) / c.deviation)
                .collect()
        };
        Self {
            rows: cases.iter().map(row).collect(),
            columns,
        }
    }

    /// The line through those of the cases that are `wanted`.
    fn line(&self, cases: &[Case], wanted: impl Fn(&Case) -> bool, ridge: f64) -> Line {
        let chosen = || {
            cases
                .iter()
                .zip(&self.rows)
                .filter(|(case, _)| wanted(case))
        };
        let rows: Vec<&[f64]> = chosen().map(|(_, row)| row.as_slice()).collect();
        let right: Vec<bool> = chosen().map(|(case, _)| case.right).collect();
        fit(&rows, &right, &[], ridge)
    }

    /// The logit of every case by a line that was fitted without its fold.
    fn left_out(&self, cases: &[Case], ridge: f64) -> Vec<f64> {
        let folds = cases.iter().map(|case| case.fold + 1).max().unwrap_or(0);
        let lines: Vec<Line> = (0..folds)
            .map(|fold| self.line(cases, |case| case.fold != fold, ridge))
            .collect();
        let logit =
            |(case, row): (&Case, &Vec<f64>)| lines[case.fold].logit(row).clamp(-20.0, 20.0);
        cases.iter().zip(&self.rows).map(logit).collect()
    }

    /// The ridge whose lines are best where they were not fitted, and the logits there; of equally
    /// good ones the largest.
    fn best_ridge(&self, cases: &[Case]) -> (f64, Vec<f64>) {
        let mut best: Option<(f64, f64, Vec<f64>)> = None;
        for ridge in RIDGES.into_iter().rev() {
            let logits = self.left_out(cases, ridge);
            let losses = logits
                .iter()
                .zip(cases)
                .map(|(&z, case)| log_loss(z, case.right));
            let loss = losses.sum::<f64>();
            if best.as_ref().is_none_or(|(least, ..)| loss < *least) {
                best = Some((loss, ridge, logits));
            }
        }
        best.map_or((RIDGES[0], Vec::new()), |(_, ridge, logits)| {
            (ridge, logits)
        })
    }
}

/// Lift and slope that make of logits those which hold: a line through them, drawn towards slope 1.
fn drawn_together(logits: &[f64], right: &[bool]) -> [f64; 2] {
    let rows: Vec<&[f64]> = logits.iter().map(std::slice::from_ref).collect();
    let line = fit(&rows, right, logits, AS_IT_IS);
    // Confidences that fall where they should rise are worth nothing: all nuclei are alike then.
    [line.intercept, (1.0 + line.weights[0]).max(0.0)]
}

/// How counts and areas follow from confidences, with intervals, of which each group's residual is
/// by what was fitted without it.
fn rules(
    fields: &[FieldFound],
    cases: &[Case],
    sure: &[f64],
    usual_area: f64,
) -> (CountRule, AreaRules) {
    let mut found = vec![0.0; fields.len()];
    let mut areas = vec![0.0; fields.len()];
    for (case, sure) in cases.iter().zip(sure) {
        found[case.field] += sure;
        areas[case.field] += sure * case.area;
    }
    let counts = count_rule(fields, &found);
    let unit = |(i, field): (usize, &FieldFound)| AreaUnit {
        group: field.group.clone(),
        well: field.well.clone(),
        truth: [field.true_area, field.truth as f64],
        found: [areas[i], found[i]],
        cytoplasm: field.cytoplasm,
    };
    let units: Vec<AreaUnit> = fields.iter().enumerate().map(unit).collect();
    let areas = AreaRules::new(&units, usual_area, counts.level);
    (counts, areas)
}

/// True nuclei by the sum of confidences, of which each field has `found` so much.
fn count_rule(fields: &[FieldFound], found: &[f64]) -> CountRule {
    let ratio = |wanted: &dyn Fn(&FieldFound) -> bool| {
        let chosen = || fields.iter().zip(found).filter(|(field, _)| wanted(field));
        let truth: f64 = chosen().map(|(field, _)| field.truth as f64).sum();
        let sum: f64 = chosen().map(|(_, found)| found).sum();
        (truth > 0.0 && sum > 0.0).then(|| truth / sum)
    };
    let all = ratio(&|_| true).unwrap_or(1.0);
    let unit = |(field, found): (&FieldFound, &f64)| CountedUnit {
        group: field.group.clone(),
        truth: field.truth as f64,
        expected: found * ratio(&|other| other.group != field.group).unwrap_or(all),
    };
    let units: Vec<CountedUnit> = fields.iter().zip(found).map(unit).collect();
    let mut wells: Vec<(&str, CountedUnit)> = Vec::new();
    for (field, unit) in fields.iter().zip(&units) {
        let Some(well) = &field.well else { continue };
        let same =
            |(name, known): &&mut (&str, CountedUnit)| name == well && known.group == unit.group;
        match wells.iter_mut().find(same) {
            Some((_, sum)) => {
                sum.truth += unit.truth;
                sum.expected += unit.expected;
            }
            None => wells.push((well, unit.clone())),
        }
    }
    let wells: Vec<CountedUnit> = wells.into_iter().map(|(_, unit)| unit).collect();
    CountRule::new(all, &units, &wells)
}

/// The expected calibration error in equal bins. Scores that are shown are those of
/// `stainfree-scores`, which this crate does not use; this one is for the record.
fn ece(sure: &[f64], right: &[bool]) -> f64 {
    let mut gaps = [0.0; BINS];
    for (p, right) in sure.iter().zip(right) {
        let bin = ((p * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
        gaps[bin] += p - f64::from(u8::from(*right));
    }
    gaps.iter().map(|gap| gap.abs()).sum::<f64>() / sure.len().max(1) as f64
}

/// The share of pairs of a right and a wrong nucleus in which the right one is surer; half of ties.
fn auroc(sure: &[f64], right: &[bool]) -> f64 {
    let of = |kind: bool| -> Vec<f64> {
        let pairs = sure
            .iter()
            .zip(right)
            .filter(move |(_, right)| **right == kind);
        let mut values: Vec<f64> = pairs.map(|(p, _)| *p).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    };
    let (right, wrong) = (of(true), of(false));
    let below = |p: &f64| {
        let less = wrong.partition_point(|other| other < p);
        let up_to = wrong.partition_point(|other| other <= p);
        (less + up_to) as f64 / 2.0
    };
    right.iter().map(below).sum::<f64>() / (right.len() * wrong.len()).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_image::random::number;

    fn uniform(seed: u64, i: u64) -> f64 {
        ((number(seed, i) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Fields of nuclei that are right with the logit `4 u - 2 + bias(group)` of their feature `u`,
    /// and 25 true nuclei missed for 100 that are found.
    fn fields(groups: u64, nuclei: u64, bias: impl Fn(u64) -> f64) -> Vec<FieldFound> {
        let field = |group: u64| {
            let mut table = FeatureTable::default();
            let mut right = Vec::new();
            for i in 0..nuclei {
                let key = group * 10_000 + i;
                let (u, v) = (uniform(1, key), uniform(2, key));
                let mut row = [0.0; COUNT];
                row[0] = u;
                row[1] = uniform(3, key);
                row[5] = f64::NAN;
                row[10] = 100f64.ln();
                row[12] = f64::NAN;
                table.labels.push(i as u32 + 1);
                table.centroids.push([0.0; 2]);
                table.rows.push(row);
                right.push(Some(v < sigmoid(4.0 * u - 2.0 + bias(group))));
            }
            let found = right.iter().filter(|r| **r == Some(true)).count() as f64;
            FieldFound {
                name: format!("f{group}"),
                group: format!("g{group}"),
                well: Some("A1".to_owned()),
                table,
                right,
                truth: (found * 1.25).round() as u64,
                true_area: found * 1.25 * 110.0,
                cytoplasm: None,
            }
        };
        (0..groups).map(field).collect()
    }

    /// Mean distance between the fitted probability and the one that nuclei were drawn with.
    fn off(fitted: &Confidence, fields: &[FieldFound]) -> f64 {
        let all: Vec<f64> = fields
            .iter()
            .flat_map(|field| {
                let sure = fitted.of(&field.table);
                let rows = sure.into_iter().zip(field.table.rows.clone());
                rows.map(|(p, row)| (p - sigmoid(4.0 * row[0] - 2.0)).abs())
            })
            .collect();
        all.iter().sum::<f64>() / all.len() as f64
    }

    #[test]
    fn a_fit_finds_the_probabilities_that_nuclei_were_drawn_with() {
        let known = fields(6, 300, |_| 0.0);
        let fitted = Confidence::fit("m", "r", false, &known).unwrap();
        assert_eq!(fitted.checked.left_out, LeftOut::Group);
        assert_eq!((fitted.checked.groups, fitted.checked.nuclei), (6, 1800));
        // Features that are unknown or constant have no weight.
        let names: Vec<&str> = fitted.features.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["inside", "rim"]);
        // The standard error of a probability from 1,800 draws is about 0.5 / sqrt(1800) = 0.012.
        assert!(off(&fitted, &known) < 0.03, "{}", off(&fitted, &known));
        assert!(fitted.checked.ece < 0.05, "{:?}", fitted.checked);
        assert!(
            (fitted.checked.slope - 1.0).abs() < 0.2,
            "{:?}",
            fitted.checked
        );
        // Of logits that run evenly from -2 to 2.
        assert!(
            (0.72..0.84).contains(&fitted.checked.auroc),
            "{:?}",
            fitted.checked
        );
        assert!(
            (fitted.counts.per_found - 1.25).abs() < 0.02,
            "{:?}",
            fitted.counts
        );
        assert_eq!(fitted.counts.level, Some(0.8));
        assert!(fitted.counts.field.is_some() && fitted.counts.well.is_some());
        // Nuclei of 100 are truly of 110, and a fifth of them is missed.
        let areas = fitted.areas.as_ref().unwrap();
        // True numbers are rounded: by half a nucleus of 200 in each of six fields at most.
        assert!((areas.mean.per_found - 1.1).abs() < 4e-3, "{areas:?}");
        assert!((areas.nuclei.per_found - 1.375).abs() < 0.03, "{areas:?}");
        assert!(areas.nuclei.well.is_some() && areas.cytoplasm.is_none());
    }

    #[test]
    fn groups_that_contradict_each_other_make_confidences_modest() {
        let alike = fields(4, 200, |_| 0.0);
        let apart = fields(4, 200, |group| if group % 2 == 0 { 2.0 } else { -2.0 });
        let spread = |fields: &[FieldFound]| {
            let fitted = Confidence::fit("m", "r", false, fields).unwrap();
            let sure = fitted.of(&fields[0].table);
            let most = sure.iter().copied().fold(0.0, f64::max);
            most - sure.iter().copied().fold(1.0, f64::min)
        };
        assert!(
            spread(&apart) < spread(&alike),
            "{} {}",
            spread(&apart),
            spread(&alike)
        );
    }

    #[test]
    fn too_few_nuclei_give_none_and_one_kind_is_not_told_apart() {
        let few = fields(2, 12, |_| 0.0);
        let error = Confidence::fit("m", "r", false, &few).unwrap_err();
        assert_eq!(error.nuclei, 24);
        let all_right = fields(2, 100, |_| 50.0);
        let alike = Confidence::fit("m", "r", false, &all_right).unwrap();
        assert!(alike.features.is_empty());
        // None of 200 was wrong: 201 of 202.
        let sure = alike.of(&all_right[0].table);
        assert!(sure.iter().all(|sure| (sure - 201.0 / 202.0).abs() < 1e-12));
        assert_eq!((alike.checked.wrong, alike.checked.auroc), (0, 0.5));
        assert!((alike.counts.per_found - 1.25).abs() < 0.02);
        assert!(Confidence::fit("m", "r", false, &[]).is_err());
        // Two fields of one group: nuclei are left out, and no interval is given.
        let two = Confidence::fit("m", "r", false, &fields(2, 100, |_| 0.0)).unwrap();
        assert_eq!(two.checked.left_out, LeftOut::Nucleus);
        assert_eq!((two.counts.level, two.counts.field), (None, None));
    }

    #[test]
    fn nuclei_of_which_nothing_is_known_are_left_out() {
        let mut known = fields(3, 100, |_| 0.0);
        known[0].right[..50].fill(None);
        let fitted = Confidence::fit("m", "r", false, &known).unwrap();
        assert_eq!(fitted.checked.nuclei, 250);
        assert_eq!(Confidence::fit("m", "r", false, &known).unwrap(), fitted);
    }

    #[test]
    fn the_record_counts_as_it_says() {
        // Pairs: (0.9, 0.5), (0.9, 0.4), (0.5, 0.5), (0.5, 0.4): 3.5 of 4.
        let (sure, right) = ([0.9, 0.5, 0.5, 0.4], [true, true, false, false]);
        assert_eq!(auroc(&sure, &right), 3.5 / 4.0);
        // Bins of 0.9 (off by 0.1), of 0.5 (two, one right: 0) and of 0.4 (off by 0.4).
        assert!((ece(&sure, &right) - 0.5 / 4.0).abs() < 1e-12);
    }
}
