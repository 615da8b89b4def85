//! Which numbers are computed from summed counts, in which order, and why one may be undefined.
//!
//! Pooled values, means over images, intervals and differences all walk the same list. A family of
//! scores adds its numbers here from the registry in its own file.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::boundaries::BOUNDARY_SCORES;
use crate::by_name::ByName;
use crate::calibration::CALIBRATION_SCORES;
use crate::fields::{BootstrapOptions, Convention, FieldScores, Totals};
use crate::kinds::KIND_SCORES;
use crate::matching::OBJECT_SCORES;
use crate::named::Named;
use crate::pixels::{Background, mean};
use crate::rigid_shift::SHIFTED_SCORES;
use crate::splitting::SPLITTING_SCORES;

/// Counts that a field has or lacks as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Pixels,
    Objects,
    Shifted,
    Cells,
    Splitting,
    Boundaries,
    Kinds,
    Calibration,
    Calibrated,
}

/// One number.
struct Score {
    family: Family,
    name: String,
    undefined: String,
    value: Box<dyn Fn(&Totals) -> f64>,
}

/// All numbers of a set of fields.
pub(crate) struct Plan {
    convention: Convention,
    scores: Vec<Score>,
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        self.scores
            .iter()
            .map(|score| &score.name)
            .eq(other.scores.iter().map(|score| &score.name))
    }
}

impl Plan {
    /// The numbers that `fields` have counts for: F1 and IoU per class, their means with and
    /// without background, accuracy (argmax only), then the other families.
    pub(crate) fn new(fields: &[FieldScores], classes: &[String], convention: Convention) -> Self {
        let mut plan = Self {
            convention,
            scores: Vec::new(),
        };
        let any = |family| fields.iter().any(|field| plan.scored(field, family));
        let [
            pixels,
            objects,
            shifted,
            cells,
            splitting,
            calibration,
            calibrated,
        ] = [
            Family::Pixels,
            Family::Objects,
            Family::Shifted,
            Family::Cells,
            Family::Splitting,
            Family::Calibration,
            Family::Calibrated,
        ]
        .map(any);
        if pixels {
            plan.add_pixels(classes);
        }
        if objects {
            plan.add(Family::Objects, "objects", &OBJECT_SCORES, |t| &t.objects);
        }
        if shifted {
            plan.add(Family::Shifted, "objects", &SHIFTED_SCORES, |t| &t.shifted);
        }
        if cells {
            plan.add(Family::Cells, "cells", &OBJECT_SCORES, |t| &t.cells);
        }
        if splitting {
            plan.add(Family::Splitting, "splitting", &SPLITTING_SCORES, |t| {
                &t.splitting
            });
        }
        let outlines: BTreeSet<&str> = fields
            .iter()
            .flat_map(|field| field.boundaries.iter().map(|(name, _)| name))
            .collect();
        for name in outlines {
            plan.add_named(
                Family::Boundaries,
                "boundaries",
                name,
                &BOUNDARY_SCORES,
                |t| &t.boundaries,
            );
        }
        let kinds: BTreeSet<&str> = fields
            .iter()
            .flat_map(|field| field.kinds.iter().map(|(name, _)| name))
            .collect();
        for name in kinds {
            plan.add_named(Family::Kinds, "kinds", name, &KIND_SCORES, |t| &t.kinds);
        }
        if calibration {
            plan.add(
                Family::Calibration,
                "calibration",
                &CALIBRATION_SCORES,
                |t| &t.calibration,
            );
        }
        if calibrated {
            plan.add(Family::Calibrated, "calibrated", &CALIBRATION_SCORES, |t| {
                &t.calibrated
            });
        }
        plan
    }

    /// The scores of a family that has counts of several names.
    fn add_named<Counts: 'static>(
        &mut self,
        family: Family,
        prefix: &str,
        name: &str,
        scores: &'static [Named<Counts>],
        of: fn(&Totals) -> &ByName<Counts>,
    ) {
        for &(score_name, score, undefined) in scores {
            let key = name.to_owned();
            self.scores.push(Score {
                family,
                name: format!("{prefix} {name} {score_name}"),
                undefined: undefined.to_owned(),
                value: Box::new(move |total| of(total).get(&key).map_or(f64::NAN, score)),
            });
        }
    }

    fn add<Counts: 'static>(
        &mut self,
        family: Family,
        prefix: &str,
        scores: &'static [Named<Counts>],
        of: fn(&Totals) -> &Counts,
    ) {
        self.scores
            .extend(scores.iter().map(|&(name, score, undefined)| Score {
                family,
                name: format!("{prefix} {name}"),
                undefined: undefined.to_owned(),
                value: Box::new(move |total| score(of(total))),
            }));
    }

    fn add_pixels(&mut self, classes: &[String]) {
        let (convention, count) = (self.convention, classes.len());
        let mut add = |name: String, undefined: String, value: Box<dyn Fn(&Totals) -> f64>| {
            self.scores.push(Score {
                family: Family::Pixels,
                name,
                undefined,
                value,
            });
        };
        for (class, name) in classes.iter().enumerate() {
            for measure in PIXELWISE {
                add(
                    format!("{name} {}", measure.name()),
                    format!("`{name}` is in neither truth nor prediction"),
                    Box::new(move |total| measure.of(total, class, convention)),
                );
            }
        }
        let means = [
            ("mean", Background::Included),
            ("mean without background", Background::Excluded),
        ];
        for (name, background) in means {
            let from = usize::from(background == Background::Excluded);
            for measure in PIXELWISE {
                add(
                    format!("{name} {}", measure.name()),
                    "no class is in truth or prediction".to_owned(),
                    Box::new(move |total| {
                        mean((from..count).map(|class| measure.of(total, class, convention)))
                    }),
                );
            }
        }
        if convention == Convention::Argmax {
            add(
                "accuracy".to_owned(),
                "no pixel was counted".to_owned(),
                Box::new(|total| total.pixels.accuracy()),
            );
        }
    }

    /// Whether the field has the counts of a family.
    pub(crate) fn scored(&self, field: &FieldScores, family: Family) -> bool {
        match family {
            Family::Pixels => has_pixels(field, self.convention),
            Family::Objects => field.objects.is_some(),
            Family::Shifted => field.shifted.is_some(),
            Family::Cells => field.cells.is_some(),
            Family::Splitting => field.splitting.is_some(),
            Family::Boundaries => !field.boundaries.is_empty(),
            Family::Kinds => !field.kinds.is_empty(),
            Family::Calibration => field.calibration.is_some(),
            Family::Calibrated => field.calibrated.is_some(),
        }
    }

    /// Every number of a total, NaN where undefined.
    pub(crate) fn values(&self, total: &Totals) -> Vec<f64> {
        self.scores
            .iter()
            .map(|score| (score.value)(total))
            .collect()
    }

    /// [`Plan::values`] of one field, NaN for what was not scored on it.
    pub(crate) fn values_of_field(&self, field: &FieldScores, total: &Totals) -> Vec<f64> {
        let value = |score: &Score| {
            if self.scored(field, score.family) {
                (score.value)(total)
            } else {
                f64::NAN
            }
        };
        self.scores.iter().map(value).collect()
    }

    /// Where the numbers of a family lie in the list; empty where it was not scored.
    pub(crate) fn range(&self, family: Family) -> Range<usize> {
        let start = self.scores.iter().position(|score| score.family == family);
        let count = self
            .scores
            .iter()
            .filter(|score| score.family == family)
            .count();
        start.map_or(0..0, |start| start..start + count)
    }

    /// Name of number `i`, such as `nucleus f1` or `objects f1_50`.
    pub(crate) fn name(&self, i: usize) -> String {
        self.scores[i].name.clone()
    }

    /// Why number `i` or its interval is undefined, where it is.
    pub(crate) fn reason(
        &self,
        i: usize,
        pooled: f64,
        ci95: Option<[f64; 2]>,
        units: usize,
        options: &BootstrapOptions,
    ) -> Option<String> {
        if pooled.is_nan() {
            return Some(self.scores[i].undefined.clone());
        }
        match ci95 {
            Some(_) => None,
            None if options.resamples == 0 => Some("no resamples were asked for".to_owned()),
            None if units < 2 => Some("one unit has no interval".to_owned()),
            None => Some("undefined in more than half of the resamples".to_owned()),
        }
    }
}

/// The pixel scores of one class.
#[derive(Clone, Copy)]
enum Measure {
    F1,
    Iou,
}

const PIXELWISE: [Measure; 2] = [Measure::F1, Measure::Iou];

impl Measure {
    fn name(self) -> &'static str {
        match self {
            Self::F1 => "f1",
            Self::Iou => "iou",
        }
    }

    fn of(self, total: &Totals, class: usize, convention: Convention) -> f64 {
        match (convention, self) {
            (Convention::Argmax, _) => {
                let counts = total.pixels.classes.get(class);
                counts.map_or(f64::NAN, |c| match self {
                    Self::F1 => c.f1(),
                    Self::Iou => c.iou(),
                })
            }
            (Convention::Paper, _) if class >= total.paper.classes.len() => f64::NAN,
            (Convention::Paper, Self::F1) => total.paper.f1(class),
            (Convention::Paper, Self::Iou) => total.paper.iou(class),
        }
    }
}

/// Whether the field has pixel counts of a convention.
pub(crate) fn has_pixels(field: &FieldScores, convention: Convention) -> bool {
    match convention {
        Convention::Argmax => field.pixels.is_some(),
        Convention::Paper => field.paper.is_some(),
    }
}
