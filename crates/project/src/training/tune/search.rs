//! Rules tried one decision at a time.

use rayon::prelude::*;
use stainfree_inference::{CurvePoint, NucleusDecoder, Trial, UNKNOWN_UM};
use stainfree_objects::{NucleusRule, Splitting, areas, splitting};

use super::Seen;
use super::tried::Sums;
use crate::{Cancel, ProjectError};

/// Rounds over all decisions at most.
const ROUNDS: usize = 3;

/// The size of a typical true nucleus, which lengths and areas are shares of.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    /// Median area, um2.
    area: f64,
    /// Diameter of the circle of that area, um.
    diameter: f64,
}

impl Unit {
    fn of(seen: &[Seen], decoder: &NucleusDecoder) -> Self {
        let of_field = |seen: &Seen| {
            let um = decoder.unit(seen.pixel_um).unwrap_or(UNKNOWN_UM);
            let areas = areas(&seen.truth).into_values();
            areas.map(|area| area as f64 * um * um).collect::<Vec<_>>()
        };
        let mut all: Vec<f64> = seen.iter().flat_map(of_field).collect();
        all.sort_by(f64::total_cmp);
        let area = all.get(all.len() / 2).copied().unwrap_or(1.0);
        Self {
            area,
            diameter: 2.0 * (area / std::f64::consts::PI).sqrt(),
        }
    }
}

/// One decision: its key in the rule, the values worth trying, and how a rule takes one.
struct Decision {
    key: &'static str,
    values: Vec<f64>,
    take: fn(&mut NucleusRule, f64),
}

/// What rules are tried on.
pub(super) struct Search<'a> {
    pub(super) seen: &'a [Seen],
    /// Makes nuclei by the model's default.
    pub(super) default: NucleusDecoder,
    /// The same with the unit that rules are chosen in; its own rule is not used.
    pub(super) decoder: NucleusDecoder,
    /// What the network serves beside the nuclei's shape.
    pub(super) ways: Vec<Splitting>,
    pub(super) cancel: &'a Cancel,
}

impl Search<'_> {
    /// The default on all fields, as it is without a choice.
    pub(super) fn default_trial(&self) -> Result<Trial, ProjectError> {
        self.try_with(&self.default)
    }

    /// The best rule that is found by changing one decision at a time, from every way of parting
    /// nuclei that the network can serve; the default where none is better.
    pub(super) fn best(&self, first: &NucleusRule) -> Result<(NucleusRule, Trial), ProjectError> {
        let unit = Unit::of(self.seen, &self.decoder);
        let mut best = (first.clone(), self.trial(first)?);
        for splitting in self.splittings(unit) {
            let from = NucleusRule {
                threshold: Some(0.5),
                max_hole_um2: unit.area / 2.0,
                min_area_um2: unit.area / 10.0,
                // By shape and by directions nothing of distances is read.
                least_distance: match splitting {
                    Splitting::Learned(_) => first.least_distance,
                    _ => 0.0,
                },
                splitting,
                ..first.clone()
            };
            let found = self.descend(from)?;
            if found.1.score > best.1.score {
                best = found;
            }
        }
        Ok(best)
    }

    /// Ways of parting nuclei, with choices that fit the nuclei's size.
    fn splittings(&self, unit: Unit) -> Vec<Splitting> {
        let mut ways = vec![Splitting::Distance(splitting::Distance {
            smoothing_um: 0.07 * unit.diameter,
            depth_um: 0.035 * unit.diameter,
        })];
        ways.extend(self.ways.iter().map(|way| match *way {
            Splitting::Learned(learned) => Splitting::Learned(splitting::Learned {
                smoothing_um: 0.04 * unit.diameter,
                ..learned
            }),
            Splitting::Flow(flow) => Splitting::Flow(splitting::Flow {
                reach_um: 1.5 * unit.diameter,
                ..flow
            }),
            other => other,
        }));
        ways
    }

    /// Changes one decision after the other to its best value until none gets better.
    fn descend(&self, mut rule: NucleusRule) -> Result<(NucleusRule, Trial), ProjectError> {
        let mut best = self.trial(&rule)?;
        for _ in 0..ROUNDS {
            let before = best.score;
            for decision in self.decisions(&rule) {
                for (value, trial) in self.along(&decision, &rule)? {
                    if trial.score > best.score {
                        best = trial;
                        (decision.take)(&mut rule, value);
                    }
                }
            }
            if best.score <= before {
                break;
            }
        }
        Ok((rule, best))
    }

    /// What every value of a decision gives, the others as in `rule`.
    fn along(
        &self,
        decision: &Decision,
        rule: &NucleusRule,
    ) -> Result<Vec<(f64, Trial)>, ProjectError> {
        let with = |&value: &f64| {
            let mut rule = rule.clone();
            (decision.take)(&mut rule, value);
            Ok((value, self.trial(&rule)?))
        };
        decision.values.iter().map(with).collect()
    }

    /// How the score changes with each decision alone.
    pub(super) fn curve(&self, rule: &NucleusRule) -> Result<Vec<CurvePoint>, ProjectError> {
        let mut curve = Vec::new();
        for decision in self.decisions(rule) {
            let points = self.along(&decision, rule)?.into_iter();
            curve.extend(points.map(|(value, trial)| CurvePoint {
                decision: decision.key.to_owned(),
                value,
                trial,
            }));
        }
        Ok(curve)
    }

    /// The decisions that a rule with this way of parting has.
    fn decisions(&self, rule: &NucleusRule) -> Vec<Decision> {
        let Unit { area, diameter } = Unit::of(self.seen, &self.decoder);
        let times = |unit: f64, shares: &[f64]| shares.iter().map(|share| share * unit).collect();
        let mut all = vec![Decision {
            key: "threshold",
            values: vec![0.25, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8],
            take: |rule, value| rule.threshold = Some(value),
        }];
        match rule.splitting {
            Splitting::Learned(_) => all.extend([
                Decision {
                    key: "splitting.smoothing_um",
                    values: times(diameter, &[0.0, 0.02, 0.04, 0.06, 0.09, 0.13]),
                    take: |rule, value| learned(rule, |l| l.smoothing_um = value),
                },
                Decision {
                    key: "splitting.neighbour",
                    values: vec![0.0, 0.25, 0.5, 1.0],
                    take: |rule, value| learned(rule, |l| l.neighbour = value),
                },
                Decision {
                    key: "splitting.depth",
                    values: vec![0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.2, 0.3],
                    take: |rule, value| learned(rule, |l| l.depth = value),
                },
                Decision {
                    key: "splitting.least_top",
                    values: vec![0.0, 0.2, 0.3, 0.4, 0.5],
                    take: |rule, value| learned(rule, |l| l.least_top = value),
                },
                Decision {
                    key: "least_distance",
                    values: vec![0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
                    take: |rule, value| rule.least_distance = value,
                },
            ]),
            Splitting::Flow(_) => all.push(Decision {
                key: "splitting.least_ends",
                values: vec![3.0, 5.0, 10.0, 15.0, 25.0, 40.0],
                take: |rule, value| {
                    if let Splitting::Flow(flow) = &mut rule.splitting {
                        flow.least_ends = value;
                    }
                },
            }),
            _ => all.extend([
                Decision {
                    key: "splitting.smoothing_um",
                    values: times(diameter, &[0.02, 0.04, 0.07, 0.1, 0.15]),
                    take: |rule, value| by_shape(rule, |d| d.smoothing_um = value),
                },
                Decision {
                    key: "splitting.depth_um",
                    values: times(diameter, &[0.005, 0.01, 0.02, 0.035, 0.05, 0.08, 0.12]),
                    take: |rule, value| by_shape(rule, |d| d.depth_um = value),
                },
            ]),
        }
        all.extend([
            Decision {
                key: "smoothing_um",
                values: times(diameter, &[0.0, 0.02, 0.05, 0.1]),
                take: |rule, value| rule.smoothing_um = value,
            },
            Decision {
                key: "min_area_um2",
                values: times(area, &[0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5]),
                take: |rule, value| rule.min_area_um2 = value,
            },
        ]);
        all
    }

    /// A rule on all fields.
    pub(super) fn trial(&self, rule: &NucleusRule) -> Result<Trial, ProjectError> {
        self.try_with(&NucleusDecoder {
            rule: rule.clone(),
            ..self.decoder.clone()
        })
    }

    pub(super) fn try_with(&self, decoder: &NucleusDecoder) -> Result<Trial, ProjectError> {
        self.cancel.check()?;
        let sums = |seen: &Seen| Sums::of(seen, decoder);
        let fields: Result<Vec<Sums>, ProjectError> = self.seen.par_iter().map(sums).collect();
        Ok(fields?.into_iter().fold(Sums::default(), Sums::and).trial())
    }
}

/// Changes the choices of the predicted distances.
fn learned(rule: &mut NucleusRule, change: impl FnOnce(&mut splitting::Learned)) {
    if let Splitting::Learned(learned) = &mut rule.splitting {
        change(learned);
    }
}

/// Changes the choices of the splitting by shape.
fn by_shape(rule: &mut NucleusRule, change: impl FnOnce(&mut splitting::Distance)) {
    if let Splitting::Distance(distance) = &mut rule.splitting {
        change(distance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_image::Image;
    use stainfree_inference::Pixels;
    use stainfree_network::Output;

    /// A sheet of 4 x 4 nuclei of 24 pixels that touch: the probability is right from 0.6 on, and
    /// the distance has a top in each.
    fn sheet() -> (Image<u32>, Vec<f32>, Vec<Output>) {
        let truth = Image::from_fn(110, 110, |y, x| match (y, x) {
            (7..103, 7..103) => ((y - 7) / 24 * 4 + (x - 7) / 24) as u32 + 1,
            _ => 0,
        });
        let near = |y: usize, x: usize| (4..106).contains(&y) && (4..106).contains(&x);
        let nucleus = Image::from_fn(110, 110, |y, x| match truth.get(y, x) {
            0 if near(y, x) => 0.55,
            0 => 0.05f32,
            _ => 0.9,
        });
        let distance = Image::from_fn(110, 110, |y, x| match truth.get(y, x) {
            0 => 0.0,
            _ => {
                let to_edge = |at: usize| ((at - 7) % 24).min(23 - (at - 7) % 24) as f32;
                to_edge(y).min(to_edge(x)) / 11.0
            }
        });
        let background = nucleus.map(|p| 1.0 - p);
        let planes = [background, nucleus, distance];
        let made = planes.iter().flat_map(|p| p.data().to_vec()).collect();
        let kind = stainfree_network::OutputKind::named("distance").unwrap();
        (truth, made, vec![Output::classes(2), kind.output()])
    }

    fn seen() -> Vec<Seen> {
        let (truth, made, outputs) = sheet();
        let classes: Vec<String> = ["background", "nucleus"].map(str::to_owned).into();
        vec![Seen {
            name: "sheet".to_owned(),
            group: "sheet".to_owned(),
            well: None,
            pixels: Pixels::of_network(&outputs, &classes, &made, [110, 110]),
            pixel_um: Some(0.5),
            classes: truth.map(|&label| u8::from(label > 0)),
            truth,
            ignore: None,
        }]
    }

    fn search<'a>(seen: &'a [Seen], cancel: &'a Cancel) -> Search<'a> {
        let (_, _, outputs) = sheet();
        let classes: Vec<String> = ["background", "nucleus"].map(str::to_owned).into();
        let default = NucleusDecoder {
            classes,
            rule: stainfree_inference::default_rule(&outputs),
            pixel_um: Some(0.5),
            in_pixels: false,
        };
        Search {
            decoder: default.clone(),
            default,
            ways: stainfree_inference::ways(&outputs),
            cancel,
            seen,
        }
    }

    #[test]
    fn the_threshold_and_the_way_of_parting_are_found() {
        let cancel = Cancel::default();
        let seen = seen();
        let search = search(&seen, &cancel);
        // 24 x 24 pixels of a quarter um2; the same in pixels where sizes do not count.
        assert_eq!(Unit::of(search.seen, &search.decoder).area, 144.0);
        let in_pixels = NucleusDecoder {
            in_pixels: true,
            ..search.decoder.clone()
        };
        assert_eq!(Unit::of(search.seen, &in_pixels).area, 576.0);
        let (rule, trial) = search.best(&NucleusRule::default()).unwrap();
        assert!(matches!(rule.splitting, Splitting::Learned(_)), "{rule:?}");
        assert!(rule.threshold.is_some_and(|t| t >= 0.55), "{rule:?}");
        assert_eq!((trial.f1, trial.count_error), (1.0, 0.0));
        assert!(trial.area_error.abs() < 0.05, "{trial:?}");
        let default = search.trial(&NucleusRule::default()).unwrap();
        assert!(
            default.f1 < 0.2 && default.score < trial.score,
            "{default:?}"
        );
        // The curve has every decision of this way, and the chosen value is its best.
        let curve = search.curve(&rule).unwrap();
        let best = curve
            .iter()
            .map(|point| point.trial.score)
            .fold(f64::MIN, f64::max);
        assert_eq!(best, trial.score);
        for key in [
            "threshold",
            "splitting.depth",
            "least_distance",
            "min_area_um2",
        ] {
            assert!(curve.iter().any(|point| point.decision == key), "{key}");
        }
    }

    #[test]
    fn a_default_that_nothing_beats_stays() {
        let cancel = Cancel::default();
        let seen = seen();
        let search = search(&seen, &cancel);
        let (rule, trial) = search.best(&NucleusRule::default()).unwrap();
        let again = search.best(&rule).unwrap();
        assert_eq!(again, (rule, trial));
    }
}
