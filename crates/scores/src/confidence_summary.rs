//! Whether confidences of predicted objects mean what they say: the probability that an object
//! matches a true one at IoU >= 0.5.
//!
//! Expected calibration error and Brier score say whether the numbers are right, the area under the
//! ROC curve whether wrong objects are those of low confidence, and the curve what is left where
//! somebody looks at the least sure. Objects of a group are alike, so intervals draw whole groups:
//! an object counts as often as its group was drawn, in one pass over all objects in order.
//!
//! Source: Guo et al. (2017), "On calibration of modern neural networks", ICML (ECE); Brier (1950);
//! Hanley & McNeil (1982), Radiology 143:29 (ROC, ties count half); El-Yaniv & Wiener (2010), "On
//! the foundations of noise-free selective classification", JMLR 11:1605 (risk and coverage).

use crate::bootstrap::intervals;
use crate::confidence::SureObject;
use crate::fields::{BootstrapOptions, FieldScores, Units};
use crate::pixels::defined;
use crate::result::{ConfidenceRow, ConfidenceSummary, LookedAtRow, Pooled};

/// Equal bins of (0, 1], the value 0 in the first.
const BINS: usize = 10;
/// Shares of objects that somebody might look at.
const LOOKED_AT: [f64; 6] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5];

/// All objects in the order of their confidence, with the unit that each is of.
struct Ordered {
    objects: Vec<(SureObject, usize)>,
}

/// The summary of all fields that have confidences; `None` where none has.
pub(crate) fn confidence_summary(
    fields: &[FieldScores],
    units: &Units,
    options: &BootstrapOptions,
) -> Option<ConfidenceSummary> {
    fields.iter().find_map(|field| field.confidence.as_ref())?;
    let ordered = Ordered::of(fields, units);
    let whole = vec![1.0; units.members.len()];
    let numbers = ordered.numbers(&whole);
    let bounds = {
        let units: Vec<Vec<usize>> = (0..units.members.len()).map(|unit| vec![unit]).collect();
        let drawn = |sum: &mut Vec<usize>, unit: &Vec<usize>| sum.extend(unit);
        let statistics = |drawn: &Vec<usize>| {
            let mut weights = vec![0.0; units.len()];
            drawn.iter().for_each(|&unit| weights[unit] += 1.0);
            ordered.numbers(&weights).to_vec()
        };
        intervals(&units, options.resamples, options.seed, drawn, statistics)
    };
    let undefined = match (ordered.objects.is_empty(), ordered.are_alike()) {
        (true, _) => "there is no predicted object",
        (_, true) => "all predicted objects have the same confidence",
        _ => "all predicted objects are right, or all are wrong",
    };
    let pooled = |i: usize| {
        let reason = match (numbers[i].is_nan(), bounds[i]) {
            (true, _) => Some(undefined),
            (false, None) => Some("one unit has no interval"),
            (false, Some(_)) => None,
        };
        Pooled {
            pooled: defined(numbers[i]),
            ci95: bounds[i],
            reason: reason.map(str::to_owned),
        }
    };
    let counts = fields
        .iter()
        .filter_map(|field| field.confidence.as_ref()?.count.clone());
    let areas = fields.iter().filter_map(|field| field.confidence.as_ref());
    let areas = areas.flat_map(|confidence| &confidence.areas);
    Some(ConfidenceSummary {
        objects: ordered.objects.len() as u64,
        wrong: ordered.wrong(),
        ece: pooled(0),
        ece_by_chance: defined(ordered.ece_by_chance()),
        auroc: pooled(1),
        brier: pooled(2),
        bins: ordered.bins(),
        looked_at: LOOKED_AT.map(|share| ordered.looked_at(share)).to_vec(),
        fields: counts.collect(),
        wells: Vec::new(),
        areas: areas.cloned().collect(),
    })
}

impl Ordered {
    fn of(fields: &[FieldScores], units: &Units) -> Self {
        let mut objects = Vec::new();
        for (unit, members) in units.members.iter().enumerate() {
            let own = members
                .iter()
                .filter_map(|&i| fields[i].confidence.as_ref());
            let own = own.flat_map(|field| &field.objects);
            objects.extend(own.map(|&object| (object, unit)));
        }
        objects.sort_by(|(a, _), (b, _)| a.confidence.total_cmp(&b.confidence));
        Self { objects }
    }

    /// Whether all have one confidence, which tells none from another.
    fn are_alike(&self) -> bool {
        let mut confidences = self.objects.iter().map(|(object, _)| object.confidence);
        let first = confidences.next();
        confidences.all(|confidence| Some(confidence) == first)
    }

    fn wrong(&self) -> u64 {
        self.objects
            .iter()
            .filter(|(object, _)| !object.right)
            .count() as u64
    }

    /// ECE, AUROC and Brier score where each object counts as often as its unit; NaN where
    /// undefined, as the AUROC of confidences that are all one.
    fn numbers(&self, weights: &[f64]) -> [f64; 3] {
        let mut gaps = [0.0; BINS];
        let [mut all, mut squares, mut pairs] = [0.0; 3];
        let mut below = [0.0; 2];
        for run in self
            .objects
            .chunk_by(|(a, _), (b, _)| a.confidence == b.confidence)
        {
            let confidence = run[0].0.confidence;
            let mut here = [0.0; 2];
            for &(object, unit) in run {
                here[usize::from(object.right)] += weights[unit];
            }
            let [wrong, right] = here;
            pairs += right * (below[0] + wrong / 2.0);
            all += wrong + right;
            squares += right * (1.0 - confidence).powi(2) + wrong * confidence.powi(2);
            gaps[bin_of(confidence)] += right - confidence * (wrong + right);
            below = [below[0] + wrong, below[1] + right];
        }
        let share = |sum: f64, of: f64| if of > 0.0 { sum / of } else { f64::NAN };
        let gap: f64 = gaps.iter().map(|gap| gap.abs()).sum();
        let ordered = match self.are_alike() {
            true => 0.0,
            false => below[0] * below[1],
        };
        [share(gap, all), share(pairs, ordered), share(squares, all)]
    }

    /// The mean of |sum of (right - p)| of every bin, which is nearly normal with the variance sum
    /// of p (1 - p), by the number of objects.
    fn ece_by_chance(&self) -> f64 {
        let mut variances = [0.0; BINS];
        for (object, _) in &self.objects {
            let p = object.confidence;
            variances[bin_of(p)] += p * (1.0 - p);
        }
        let gaps = variances.map(|variance| (variance * std::f64::consts::FRAC_2_PI).sqrt());
        match self.objects.len() {
            0 => f64::NAN,
            n => gaps.iter().sum::<f64>() / n as f64,
        }
    }

    fn bins(&self) -> Vec<ConfidenceRow> {
        let of_bin = |a: &SureObject, b: &SureObject| bin_of(a.confidence) == bin_of(b.confidence);
        let runs = self.objects.chunk_by(|(a, _), (b, _)| of_bin(a, b));
        let row = |run: &[(SureObject, usize)]| {
            let (bin, n) = (bin_of(run[0].0.confidence), run.len() as f64);
            ConfidenceRow {
                from: bin as f64 / BINS as f64,
                to: (bin + 1) as f64 / BINS as f64,
                objects: run.len() as u64,
                confidence: run.iter().map(|(object, _)| object.confidence).sum::<f64>() / n,
                right: run.iter().filter(|(object, _)| object.right).count() as f64 / n,
            }
        };
        runs.map(row).collect()
    }

    /// Of objects of one confidence that are looked at in part, the mean of all ways to choose.
    fn looked_at(&self, share: f64) -> LookedAtRow {
        let looked = share * self.objects.len() as f64;
        let (mut before, mut found) = (0.0, 0.0);
        for run in self
            .objects
            .chunk_by(|(a, _), (b, _)| a.confidence == b.confidence)
        {
            let n = run.len() as f64;
            let wrong = run.iter().filter(|(object, _)| !object.right).count() as f64;
            found += wrong * ((looked - before) / n).clamp(0.0, 1.0);
            before += n;
        }
        let (wrong, rest) = (self.wrong() as f64, before - looked);
        LookedAtRow {
            share,
            errors_left: defined((wrong - found) / wrong),
            wrong_among_rest: defined((wrong - found) / rest),
        }
    }
}

/// Bin (lo, hi] of a confidence.
fn bin_of(confidence: f64) -> usize {
    let edge = |bin: usize| (bin + 1) as f64 / BINS as f64;
    let bin = (0..BINS).find(|&bin| confidence <= edge(bin));
    bin.unwrap_or(BINS - 1)
}
