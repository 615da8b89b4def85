//! Scores of a training that was repeated with other seeds, and the interval that covers both:
//! other fields and other seeds.

use std::ops::Range;

use crate::bootstrap::{drawn_unit, percentile};
use crate::fields::{BootstrapOptions, Units};
use crate::{FieldScores, ScoreError};

/// A pooled score over repeated trainings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repeated {
    /// Mean over the repeats of the pooled score; none where it is undefined.
    pub mean: Option<f64>,
    /// Standard deviation over the repeats (n - 1); none with fewer than two.
    pub sd: Option<f64>,
    /// 95 % bootstrap interval of the mean: units (groups, or fields where there are few groups)
    /// and repeats are drawn with replacement at the same time.
    pub ci95: Option<[f64; 2]>,
}

/// A ratio of sums over fields: what a field adds to its numerator and denominator.
pub type Terms = [f64; 2];

/// The mean of one or several ratios of sums (such as F1 of each class), over repeats scored on the
/// same fields.
///
/// `terms` gives a field's share in each ratio; ratios whose denominator is 0 are left out of the
/// mean.
///
/// # Errors
/// [`ScoreError::Mismatch`] if the repeats were not scored on the same fields.
pub fn over_repeats(
    repeats: &[&[FieldScores]],
    options: &BootstrapOptions,
    terms: impl Fn(&FieldScores) -> Vec<Terms>,
) -> Result<Repeated, ScoreError> {
    let table = Table::new(repeats, options, terms)?;
    Ok(table.repeated(options, |draw| table.mean_of_drawn(0..repeats.len(), draw)))
}

/// The difference `b - a` of two trainings, each repeated and all scored on the same fields: the
/// same fields are drawn for both, the repeats of each among themselves.
///
/// [`Repeated::sd`] is left out: repeats of one have no partner in the other.
///
/// # Errors
/// As [`over_repeats`].
pub fn between_repeats(
    a: &[&[FieldScores]],
    b: &[&[FieldScores]],
    options: &BootstrapOptions,
    terms: impl Fn(&FieldScores) -> Vec<Terms>,
) -> Result<Repeated, ScoreError> {
    let all = [a, b].concat();
    let table = Table::new(&all, options, terms)?;
    let difference = |draw: &Draw| {
        let [of_a, of_b] =
            [0..a.len(), a.len()..all.len()].map(|range| table.mean_of_drawn(range, draw));
        Some(of_b? - of_a?)
    };
    let found = table.repeated(options, difference);
    Ok(Repeated { sd: None, ..found })
}

/// What to take in a resample.
pub(crate) enum Draw {
    /// Everything once.
    AsItIs,
    /// Units and repeats by the random numbers of this resample: key, number.
    Resample(u64, usize),
}

/// The terms of all fields of all repeats, and the units that are drawn.
pub(crate) struct Table {
    /// By repeat, then by field in the order of the first repeat.
    terms: Vec<Vec<Vec<Terms>>>,
    /// Fields of each unit.
    units: Vec<Vec<usize>>,
    /// What no such score can leave: a share stays within 0 and 1.
    bounds: [f64; 2],
}

impl Table {
    /// # Errors
    /// [`ScoreError::Mismatch`] if the repeats were not scored on the same fields.
    pub(crate) fn new(
        repeats: &[&[FieldScores]],
        options: &BootstrapOptions,
        terms: impl Fn(&FieldScores) -> Vec<Terms>,
    ) -> Result<Self, ScoreError> {
        let first = repeats.first().copied().unwrap_or_default();
        let mut in_order: Vec<Vec<Vec<Terms>>> = Vec::new();
        for repeat in repeats {
            if repeat.len() != first.len() {
                return Err(ScoreError::Mismatch(
                    "repeats were scored on different fields".to_owned(),
                ));
            }
            let of = |field: &FieldScores| {
                let same = repeat.iter().find(|other| other.name == field.name);
                same.map(&terms).ok_or_else(|| {
                    let name = &field.name;
                    ScoreError::Mismatch(format!("field `{name}` was scored in some repeats only"))
                })
            };
            in_order.push(first.iter().map(of).collect::<Result<_, _>>()?);
        }
        let mut all = in_order.iter().flatten().flatten();
        let positive = all.clone().all(|term| term[0] >= 0.0);
        let share = all.all(|term| term[0] <= term[1]);
        Ok(Self {
            terms: in_order,
            units: Units::new(first, options).members,
            bounds: [
                if positive { 0.0 } else { f64::NEG_INFINITY },
                if share { 1.0 } else { f64::INFINITY },
            ],
        })
    }

    /// Pooled score of a repeat over the units of a draw.
    pub(crate) fn pooled(&self, repeat: usize, draw: &Draw) -> Option<f64> {
        let unit = |place: usize| match *draw {
            Draw::AsItIs => place,
            Draw::Resample(seed, number) => drawn_unit(seed, number, place, self.units.len()),
        };
        let mut sums: Vec<Terms> = Vec::new();
        for field in (0..self.units.len()).flat_map(|place| &self.units[unit(place)]) {
            let of_field = &self.terms[repeat][*field];
            sums.resize(sums.len().max(of_field.len()), [0.0; 2]);
            for (sum, term) in sums.iter_mut().zip(of_field) {
                sum[0] += term[0];
                sum[1] += term[1];
            }
        }
        mean(sums.iter().filter(|s| s[1] > 0.0).map(|s| s[0] / s[1]))
    }

    /// Mean over as many repeats of `range` as there are, drawn from it.
    ///
    /// `n` repeats drawn from themselves scatter by (n - 1) / n of what new ones would; the
    /// deviation from their mean is made as much larger (Rao & Wu 1988). One repeat says nothing of
    /// the scatter.
    fn mean_of_drawn(&self, range: Range<usize>, draw: &Draw) -> Option<f64> {
        let repeat = |k: usize| match *draw {
            Draw::AsItIs => k,
            // The draws of repeats come after those of units.
            Draw::Resample(seed, number) => {
                range.start + drawn_unit(seed, number, self.units.len() + k, range.len())
            }
        };
        let each: Vec<Option<f64>> = range.clone().map(|k| self.pooled(k, draw)).collect();
        let all = mean(each.iter().copied().flatten())?;
        let drawn = range.clone().filter_map(|k| each[repeat(k) - range.start]);
        let n = range.len() as f64;
        let factor = if range.len() > 1 {
            (n / (n - 1.0)).sqrt()
        } else {
            1.0
        };
        let [low, high] = self.bounds;
        Some((all + factor * (mean(drawn)? - all)).clamp(low, high))
    }

    fn repeated(
        &self,
        options: &BootstrapOptions,
        statistic: impl Fn(&Draw) -> Option<f64>,
    ) -> Repeated {
        let resamples = (0..options.resamples).map(|k| Draw::Resample(options.seed, k));
        let drawn = resamples.filter_map(|draw| statistic(&draw)).collect();
        let all = 0..self.terms.len();
        let each: Vec<f64> = all.filter_map(|k| self.pooled(k, &Draw::AsItIs)).collect();
        Repeated {
            mean: statistic(&Draw::AsItIs),
            sd: deviation(&each),
            ci95: self.interval(drawn, options.resamples),
        }
    }

    /// The 95 % interval of resampled values; none with one unit, or where most resamples are
    /// undefined.
    pub(crate) fn interval(&self, mut drawn: Vec<f64>, resamples: usize) -> Option<[f64; 2]> {
        drawn.sort_unstable_by(f64::total_cmp);
        let enough = self.units.len() > 1 && !drawn.is_empty() && 2 * drawn.len() >= resamples;
        enough.then(|| [percentile(&drawn, 0.025), percentile(&drawn, 0.975)])
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0usize);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / count as f64)
}

fn deviation(values: &[f64]) -> Option<f64> {
    let centre = mean(values.iter().copied()).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|v| (v - centre).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClassCounts, PixelCounts};

    fn field(name: usize, tp: u64, wrong: u64) -> FieldScores {
        let class = ClassCounts {
            tp,
            fp: wrong,
            fn_: 0,
        };
        FieldScores {
            name: name.to_string(),
            pixels: Some(PixelCounts {
                classes: vec![class],
                ..PixelCounts::default()
            }),
            ..FieldScores::default()
        }
    }

    fn precision(field: &FieldScores) -> Vec<Terms> {
        let class = field.pixels.as_ref().unwrap().classes[0];
        vec![[class.tp as f64, (class.tp + class.fp) as f64]]
    }

    #[test]
    fn mean_and_deviation_are_over_repeats_of_pooled_scores() {
        // Pooled precision 0.75 and 0.5; the order of fields does not matter.
        let one = [field(0, 90, 10), field(1, 60, 40)];
        let two = [field(1, 20, 80), field(0, 80, 20)];
        let options = BootstrapOptions::default();
        let found = over_repeats(&[&one, &two], &options, precision).unwrap();
        assert_eq!(found.mean, Some(0.625));
        assert!((found.sd.unwrap() - 0.25 / 2f64.sqrt()).abs() < 1e-12);
        let [low, high] = found.ci95.unwrap();
        assert!((0.11..0.625).contains(&low) && (0.625..=0.93).contains(&high));
        let other = [field(2, 1, 1), field(1, 1, 1)];
        assert!(over_repeats(&[&one, &other], &options, precision).is_err());
    }

    #[test]
    fn two_repeats_scatter_as_new_ones_would() {
        // Fields are alike, so all scatter is that of the repeats, 0.4 and 0.6: their sd is 0.1 *
        // sqrt(2), that of the mean 0.1.
        let fields =
            |tp: u64| -> Vec<FieldScores> { (0..8).map(|i| field(i, tp, 100 - tp)).collect() };
        let (a, b) = (fields(40), fields(60));
        let options = BootstrapOptions::default();
        let found = over_repeats(&[&a, &b], &options, precision).unwrap();
        // A quarter of the draws has one repeat twice on each side, which are the interval's ends.
        let [low, high] = found.ci95.unwrap();
        let far = 0.1 * 2f64.sqrt();
        assert!((low - (0.5 - far)).abs() < 1e-9 && (high - (0.5 + far)).abs() < 1e-9);
        // A share stays one.
        let (none, most) = (fields(0), fields(90));
        let found = over_repeats(&[&none, &most], &options, precision).unwrap();
        assert_eq!(found.ci95, Some([0.0, 1.0]));
        // Their variance, half of the draws at 0 and half at `far`, is that of the mean.
        assert!((0.5 * far * far - 0.01f64).abs() < 1e-12);
    }

    #[test]
    fn a_difference_is_drawn_on_the_same_fields() {
        // Fields scatter widely, but the second training is better by 0.1 on every one of them.
        let fields = |shift: u64| -> Vec<FieldScores> {
            (0..16)
                .map(|i| field(i, 20 * i as u64 + 300 + shift, 700 - 20 * i as u64 - shift))
                .collect()
        };
        let (a, b) = (fields(0), fields(100));
        let options = BootstrapOptions::default();
        let found = between_repeats(&[&a, &a], &[&b], &options, precision).unwrap();
        assert!((found.mean.unwrap() - 0.1).abs() < 1e-12);
        let [low, high] = found.ci95.unwrap();
        assert!(low > 0.0999 && high < 0.1001, "{low} {high}");
        let alone = over_repeats(&[&b], &options, precision).unwrap();
        let [low, high] = alone.ci95.unwrap();
        assert!(high - low > 0.05, "{low} {high}");
    }

    #[test]
    fn the_interval_covers_fields_and_seeds() {
        // 64 fields whose precision scatters by 0.1, and 16 seeds that move all of them by up to
        // 0.15.
        let noise = |i: u64| (i * 2_654_435_761 % 1009) as f64 / 1009.0 - 0.5;
        let fields = |shift: f64| -> Vec<FieldScores> {
            (0..64)
                .map(|i| {
                    let tp = (1000.0 * (0.6 + 0.3464 * noise(i as u64 + 1) + shift)) as u64;
                    field(i, tp, 1000 - tp)
                })
                .collect()
        };
        let repeats: Vec<Vec<FieldScores>> = (0..16)
            .map(|seed| fields(0.2 * noise(seed * 17 + 5)))
            .collect();
        let width = |repeats: &[Vec<FieldScores>]| {
            let repeats: Vec<&[FieldScores]> = repeats.iter().map(Vec::as_slice).collect();
            let options = BootstrapOptions::default();
            let [low, high] = over_repeats(&repeats, &options, precision)
                .unwrap()
                .ci95
                .unwrap();
            high - low
        };
        // Standard error over fields 0.1 / 8, so 0.049 wide; the seeds (0.06 / 4) add to it.
        let (one, many) = (width(&repeats[..1]), width(&repeats));
        assert!((one - 0.049).abs() < 0.008, "{one}");
        assert!(many > 1.2 * one && many < 2.2 * one, "{many} {one}");
    }
}
