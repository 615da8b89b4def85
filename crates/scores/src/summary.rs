//! From the counts of single fields to pooled scores, means over images and intervals.

use crate::bootstrap::intervals;
use crate::fields::{BootstrapOptions, Convention, FieldScores, Totals, Units};
use crate::matching::{ObjectCounts, threshold};
use crate::pixels::{Background, mean};
use crate::result::{
    ByName, FieldObjects, FieldPixelwise, FieldRow, IntervalNote, ObjectSummary, PaperPair,
    PaperSummary, Pixelwise, Scores, Statistic, ThresholdRow,
};
use crate::{MatchCounts, ScoreError};

/// A score of summed object counts, NaN where undefined.
type ObjectScore = fn(&ObjectCounts) -> f64;

/// Object scores in the order they are computed and shown.
const OBJECT_SCORES: [(&str, ObjectScore); 12] = [
    ("f1_50", |o| o.at[0].f1()),
    ("precision_50", |o| o.at[0].precision()),
    ("recall_50", |o| o.at[0].recall()),
    ("ap_50", |o| o.at[0].average_precision()),
    ("f1_75", |o| o.at[5].f1()),
    ("mean_ap", ObjectCounts::mean_average_precision),
    ("pq", ObjectCounts::panoptic_quality),
    ("sq", |o| o.panoptic.matched_iou()),
    ("dq", |o| o.panoptic.f1()),
    ("aji_plus", |o| o.aji_plus.value()),
    ("aji", |o| o.aji.value()),
    ("count_error", ObjectCounts::relative_count_error),
];

/// Pools the fields' counts, averages their own values and adds bootstrap intervals.
///
/// `classes` names the classes, background first; it may be empty where only objects were scored.
/// Fields that lack pixel or object counts do not enter those scores.
///
/// # Errors
/// [`ScoreError::Mismatch`] if a field was counted with another number of classes, or lacks the
/// counts that `options.convention` needs while others have them.
pub fn summarise(
    fields: &[FieldScores],
    classes: &[String],
    options: &BootstrapOptions,
) -> Result<Scores, ScoreError> {
    check(fields, classes, options.convention)?;
    let plan = Plan::new(fields, classes, options.convention);
    let single: Vec<Totals> = fields.iter().map(|f| sum([f])).collect::<Result<_, _>>()?;
    let total = sum(fields)?;
    let units = Units::new(fields, options);
    let unit_totals: Vec<Totals> = units
        .members
        .iter()
        .map(|members| sum(members.iter().map(|&i| &fields[i])))
        .collect::<Result<_, _>>()?;
    let bounds = intervals(
        &unit_totals,
        options.resamples,
        options.seed,
        Totals::add,
        |total| plan.values(total),
    );
    let scored: Vec<Vec<f64>> = fields
        .iter()
        .zip(&single)
        .map(|(field, total)| plan.values_of_field(field, total))
        .collect();
    let pooled = plan.values(&total);
    let mut statistics = pooled
        .iter()
        .zip(&bounds)
        .enumerate()
        .map(|(i, (&pooled, &ci95))| {
            let own: Vec<f64> = scored
                .iter()
                .map(|values| values[i])
                .filter(|value| !value.is_nan())
                .collect();
            let mean_over_images = mean(own.iter().copied());
            Statistic {
                pooled: defined(pooled),
                mean_over_images: defined(mean_over_images),
                images_defined: own.len(),
                ci95,
                reason: plan.reason(i, classes, pooled, ci95, units.members.len(), options),
            }
        });
    let mut next = || statistics.next().unwrap_or_default();
    let mut pair = || Pixelwise {
        f1: next(),
        iou: next(),
    };
    let mut result = Scores {
        images: fields.len(),
        groups: units.groups,
        classes: ByName::default(),
        mean: None,
        mean_without_background: None,
        accuracy: None,
        objects: None,
        paper: None,
        convention: options.convention,
        unit: units.name.clone(),
        intervals: IntervalNote {
            unit: units.name.clone(),
            units: units.members.len(),
            resamples: options.resamples,
            seed: options.seed,
            note: units.note.clone(),
        },
        pixels_kept: total.pixels.kept,
        pixels_ignored: total.pixels.ignored,
        fields: fields
            .iter()
            .zip(&single)
            .map(|(f, t)| field_row(&plan, f, t, classes))
            .collect(),
    };
    if plan.classes > 0 {
        result.classes = ByName(classes.iter().map(|name| (name.clone(), pair())).collect());
        result.mean = Some(pair());
        result.mean_without_background = Some(pair());
        if plan.convention == Convention::Argmax {
            result.accuracy = Some(next());
            result.paper = paper_summary(fields, classes);
        }
    }
    if plan.objects {
        let detail = ByName(
            OBJECT_SCORES
                .iter()
                .map(|(name, _)| ((*name).to_owned(), next()))
                .collect(),
        );
        result.objects = Some(object_summary(fields, &total.objects, detail));
    }
    Ok(result)
}

/// Which values are computed from a total, and in which order.
#[derive(PartialEq)]
pub(crate) struct Plan {
    convention: Convention,
    /// Number of classes with pixel scores; 0 without.
    classes: usize,
    objects: bool,
}

impl Plan {
    pub(crate) fn new(fields: &[FieldScores], classes: &[String], convention: Convention) -> Self {
        let pixels = fields.iter().any(|field| has_pixels(field, convention));
        Self {
            convention,
            classes: if pixels { classes.len() } else { 0 },
            objects: fields.iter().any(|field| field.objects.is_some()),
        }
    }

    /// F1 and IoU per class, their means with and without background, accuracy, object scores.
    pub(crate) fn values(&self, total: &Totals) -> Vec<f64> {
        let mut values = self.pixel_values(total);
        if self.objects {
            values.extend(OBJECT_SCORES.iter().map(|(_, score)| score(&total.objects)));
        }
        values
    }

    /// [`Plan::values`] of one field, NaN for what was not scored on it.
    fn values_of_field(&self, field: &FieldScores, total: &Totals) -> Vec<f64> {
        let mut values = self.pixel_values(total);
        if !has_pixels(field, self.convention) {
            values.fill(f64::NAN);
        }
        if self.objects {
            let score =
                |&(_, score): &(_, ObjectScore)| field.objects.as_ref().map_or(f64::NAN, score);
            values.extend(OBJECT_SCORES.iter().map(score));
        }
        values
    }

    fn pixel_values(&self, total: &Totals) -> Vec<f64> {
        if self.classes == 0 {
            return Vec::new();
        }
        let class = |class: usize| match self.convention {
            Convention::Argmax => total
                .pixels
                .classes
                .get(class)
                .map_or((f64::NAN, f64::NAN), |c| (c.f1(), c.iou())),
            Convention::Paper if class < total.paper.classes.len() => {
                (total.paper.f1(class), total.paper.iou(class))
            }
            Convention::Paper => (f64::NAN, f64::NAN),
        };
        let each: Vec<(f64, f64)> = (0..self.classes).map(class).collect();
        let mut values: Vec<f64> = each.iter().flat_map(|&(f1, iou)| [f1, iou]).collect();
        for background in [Background::Included, Background::Excluded] {
            let from = usize::from(background == Background::Excluded);
            values.push(mean(each[from..].iter().map(|v| v.0)));
            values.push(mean(each[from..].iter().map(|v| v.1)));
        }
        if self.convention == Convention::Argmax {
            values.push(total.pixels.accuracy());
        }
        values
    }

    /// Number of values before the object scores.
    fn pixel_count(&self) -> usize {
        match self.convention {
            _ if self.classes == 0 => 0,
            Convention::Argmax => 2 * self.classes + 5,
            Convention::Paper => 2 * self.classes + 4,
        }
    }

    /// Name of value `i` of [`Plan::values`].
    pub(crate) fn name(&self, i: usize, classes: &[String]) -> String {
        if let Some(object) = i.checked_sub(self.pixel_count()) {
            return format!("objects {}", OBJECT_SCORES[object].0);
        }
        let what = match (i / 2).checked_sub(self.classes) {
            None => &classes[i / 2],
            Some(0) => "mean",
            Some(1) => "mean without background",
            Some(_) => return "accuracy".to_owned(),
        };
        format!("{what} {}", if i.is_multiple_of(2) { "f1" } else { "iou" })
    }

    /// Why value `i` of [`Plan::values`] or its interval is undefined, where it is.
    pub(crate) fn reason(
        &self,
        i: usize,
        classes: &[String],
        pooled: f64,
        ci95: Option<[f64; 2]>,
        units: usize,
        options: &BootstrapOptions,
    ) -> Option<String> {
        if pooled.is_nan() {
            return Some(self.undefined(i, classes));
        }
        match ci95 {
            Some(_) => None,
            None if options.resamples == 0 => Some("no resamples were asked for".to_owned()),
            None if units < 2 => Some("one unit has no interval".to_owned()),
            None => Some("undefined in more than half of the resamples".to_owned()),
        }
    }

    fn undefined(&self, i: usize, classes: &[String]) -> String {
        if i < 2 * self.classes {
            return format!("`{}` is in neither truth nor prediction", classes[i / 2]);
        }
        match i.checked_sub(self.pixel_count()) {
            None => "no class is in truth or prediction".to_owned(),
            Some(object) => undefined_object_score(OBJECT_SCORES[object].0).to_owned(),
        }
    }
}

fn undefined_object_score(name: &str) -> &'static str {
    match name {
        "precision_50" => "there is no predicted object",
        "recall_50" | "count_error" => "there is no truth object",
        "sq" => "no pair of objects overlaps with IoU above 0.5",
        _ => "there is no object in truth or prediction",
    }
}

/// Every field was counted with the named classes, under the convention asked for.
pub(crate) fn check(
    fields: &[FieldScores],
    classes: &[String],
    convention: Convention,
) -> Result<(), ScoreError> {
    for field in fields {
        let counted = [
            field.pixels.as_ref().map(|p| p.classes.len()),
            field.paper.as_ref().map(|p| p.classes.len()),
        ];
        for n in counted.into_iter().flatten() {
            if n != classes.len() {
                return Err(ScoreError::Mismatch(format!(
                    "field `{}` was counted with {n} classes, but {} are named ({})",
                    field.name,
                    classes.len(),
                    classes.join(", ")
                )));
            }
        }
        let any = field.pixels.is_some() || field.paper.is_some();
        if any && !has_pixels(field, convention) {
            let lacks = match convention {
                Convention::Argmax => "argmax counts",
                Convention::Paper => "counts by the paper's convention",
            };
            return Err(ScoreError::Mismatch(format!(
                "field `{}` has no {lacks}",
                field.name
            )));
        }
    }
    Ok(())
}

fn has_pixels(field: &FieldScores, convention: Convention) -> bool {
    match convention {
        Convention::Argmax => field.pixels.is_some(),
        Convention::Paper => field.paper.is_some(),
    }
}

pub(crate) fn sum<'a>(
    fields: impl IntoIterator<Item = &'a FieldScores>,
) -> Result<Totals, ScoreError> {
    let mut total = Totals::default();
    for field in fields {
        total.add_field(field)?;
    }
    Ok(total)
}

pub(crate) fn defined(value: f64) -> Option<f64> {
    (!value.is_nan()).then_some(value)
}

fn paper_summary(fields: &[FieldScores], classes: &[String]) -> Option<PaperSummary> {
    let scored: Vec<_> = fields.iter().filter_map(|f| f.paper.as_ref()).collect();
    if scored.is_empty() {
        return None;
    }
    let class = |(i, name): (usize, &String)| {
        let f1 = mean(scored.iter().map(|p| p.f1(i)));
        let iou = mean(scored.iter().map(|p| p.iou(i)));
        (name.clone(), PaperPair { f1, iou })
    };
    Some(PaperSummary {
        mean: PaperPair {
            f1: mean(scored.iter().map(|p| p.mean_f1())),
            iou: mean(scored.iter().map(|p| p.mean_iou())),
        },
        classes: ByName(classes.iter().enumerate().map(class).collect()),
    })
}

fn object_summary(
    fields: &[FieldScores],
    total: &ObjectCounts,
    detail: ByName<Statistic>,
) -> ObjectSummary {
    let pooled = |name: &str| detail.get(name).and_then(|s| s.pooled);
    let plain = ["mean_ap", "pq", "count_error"];
    let reasons: Vec<String> = plain
        .iter()
        .filter(|name| pooled(name).is_none())
        .map(|name| format!("{name}: {}", undefined_object_score(name)))
        .collect();
    let row = |(i, at): (usize, &MatchCounts)| ThresholdRow {
        iou: threshold(i),
        tp: at.tp,
        fp: at.fp,
        fn_: at.fn_,
        precision: defined(at.precision()),
        recall: defined(at.recall()),
        f1: defined(at.f1()),
        ap: defined(at.average_precision()),
    };
    let absolute = fields
        .iter()
        .filter_map(|f| f.objects.as_ref())
        .map(|o| o.count_error().unsigned_abs() as f64);
    ObjectSummary {
        f1_50: detail.get("f1_50").cloned().unwrap_or_default(),
        mean_ap: pooled("mean_ap"),
        pq: pooled("pq"),
        count_error: pooled("count_error"),
        reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
        truth: total.truth,
        prediction: total.prediction,
        count_error_mean_absolute: defined(mean(absolute)),
        by_threshold: total.at.iter().enumerate().map(row).collect(),
        detail,
    }
}

fn field_row(plan: &Plan, field: &FieldScores, total: &Totals, classes: &[String]) -> FieldRow {
    let values = plan.values_of_field(field, total);
    let mut reasons = Vec::new();
    for (i, class) in classes.iter().enumerate().take(plan.classes) {
        if has_pixels(field, plan.convention) && values[2 * i].is_nan() {
            reasons.push(format!("`{class}` is in neither truth nor prediction"));
        }
    }
    let scored = plan.classes > 0 && has_pixels(field, plan.convention);
    let pair = |i: usize| FieldPixelwise {
        f1: defined(values[2 * i]),
        iou: defined(values[2 * i + 1]),
    };
    let objects = field.objects.as_ref().map(|o| FieldObjects {
        truth: o.truth,
        prediction: o.prediction,
        f1_50: defined(o.at[0].f1()),
        mean_ap: defined(o.mean_average_precision()),
        pq: defined(o.panoptic_quality()),
        count_error: o.count_error(),
    });
    if objects.is_some_and(|o| o.f1_50.is_none()) {
        reasons.push("there is no object in truth or prediction".to_owned());
    }
    FieldRow {
        name: field.name.clone(),
        group: field.group.clone(),
        classes: scored.then(|| {
            ByName(
                classes
                    .iter()
                    .enumerate()
                    .map(|(i, name)| (name.clone(), pair(i)))
                    .collect(),
            )
        }),
        mean: scored.then(|| pair(plan.classes)),
        accuracy: field.pixels.as_ref().and_then(|p| defined(p.accuracy())),
        ignored_pixels: field.pixels.as_ref().map(|p| p.ignored),
        objects,
        reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
    }
}
