//! From the counts of single fields to pooled scores, means over images and intervals.

use crate::bootstrap::intervals;
use crate::boundaries::{BOUNDARY_SCORES, BoundaryCounts, Outline, TOLERANCES};
use crate::by_name::ByName;
use crate::calibration::{CALIBRATION_BINS, CALIBRATION_SCORES, CalibrationCounts, reliability};
use crate::confidence_summary::confidence_summary;
use crate::fate_strata::{FieldFates, object_errors};
use crate::fields::{BootstrapOptions, Convention, FieldScores, Totals, Units};
use crate::kinds::{KIND_SCORES, KindCounts};
use crate::matching::{OBJECT_SCORES, ObjectCounts, threshold};
use crate::measured_agreement::measured_agreement;
use crate::named::Named;
use crate::pixels::{defined, mean};
use crate::plan::{Family, Plan, has_pixels};
use crate::result::{
    BoundarySummary, CalibrationSummary, FieldObjects, FieldPixelwise, FieldRow, GroupShift,
    IntervalNote, KindSummary, ObjectSummary, PairNumbers, PairSummary, PaperPair, PaperSummary,
    Pixelwise, Pooled, ResolvedRow, Scores, SplittingSummary, Statistic, Thickness, ThresholdRow,
    ToleranceRow,
};
use crate::splitting::{Resolved, SPLITTING_SCORES, SplittingCounts};
use crate::{MatchCounts, ScoreError};

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
    let statistics = statistics(&plan, fields, &single, &plan.values(&total), |i, pooled| {
        let ci95 = bounds[i];
        (
            ci95,
            plan.reason(i, pooled, ci95, units.members.len(), options),
        )
    });
    let of = |family: Family| &statistics[plan.range(family)];
    let mut result = Scores {
        on: None,
        verdict: None,
        images: fields.len(),
        groups: units.groups,
        classes: ByName::default(),
        mean: None,
        mean_without_background: None,
        accuracy: None,
        objects: object_summary(
            fields.iter().filter_map(|field| field.objects.as_ref()),
            &total.objects,
            of(Family::Objects),
        )
        .map(|summary| ObjectSummary {
            f1_50_shifted: of(Family::Shifted).first().cloned(),
            shifts: shifts(fields),
            ..summary
        }),
        cells: object_summary(
            fields.iter().filter_map(|field| field.cells.as_ref()),
            &total.cells,
            of(Family::Cells),
        ),
        object_errors: object_errors(fields, &units, options),
        splitting: splitting_summary(&total.splitting, of(Family::Splitting)),
        boundaries: named_summaries(
            &total.boundaries,
            &BOUNDARY_SCORES,
            of(Family::Boundaries),
            boundary_summary,
        ),
        kinds: named_summaries(&total.kinds, &KIND_SCORES, of(Family::Kinds), kind_summary),
        calibration: calibration_summary(&total.calibration, classes, of(Family::Calibration)),
        calibrated: calibration_summary(&total.calibrated, classes, of(Family::Calibrated)),
        confidence: confidence_summary(fields, &units, options),
        agreement: measured_agreement(fields, &options.group_name),
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
    add_pixel_scores(&mut result, of(Family::Pixels), classes);
    if !of(Family::Pixels).is_empty() && options.convention == Convention::Argmax {
        result.paper = paper_summary(fields, classes);
    }
    Ok(result)
}

/// Every number of the plan: pooled, over the fields' own values, with its interval and why one of
/// them is undefined.
fn statistics(
    plan: &Plan,
    fields: &[FieldScores],
    single: &[Totals],
    pooled: &[f64],
    interval: impl Fn(usize, f64) -> (Option<[f64; 2]>, Option<String>),
) -> Vec<Statistic> {
    let values = |(field, total): (&FieldScores, &Totals)| plan.values_of_field(field, total);
    let scored: Vec<Vec<f64>> = fields.iter().zip(single).map(values).collect();
    let statistic = |(i, &pooled): (usize, &f64)| {
        let own: Vec<f64> = scored
            .iter()
            .map(|values| values[i])
            .filter(|value| !value.is_nan())
            .collect();
        let (ci95, reason) = interval(i, pooled);
        Statistic {
            pooled: defined(pooled),
            mean_over_images: defined(mean(own.iter().copied())),
            images_defined: own.len(),
            ci95,
            reason,
        }
    };
    pooled.iter().enumerate().map(statistic).collect()
}

/// Classes, their means with and without background, and accuracy, in the order of the plan.
fn add_pixel_scores(result: &mut Scores, statistics: &[Statistic], classes: &[String]) {
    if statistics.is_empty() {
        return;
    }
    let pair = |i: usize| Pixelwise {
        f1: statistics[2 * i].clone(),
        iou: statistics[2 * i + 1].clone(),
    };
    let named = |(i, name): (usize, &String)| (name.clone(), pair(i));
    result.classes = ByName(classes.iter().enumerate().map(named).collect());
    result.mean = Some(pair(classes.len()));
    result.mean_without_background = Some(pair(classes.len() + 1));
    result.accuracy = statistics.get(2 * (classes.len() + 2)).cloned();
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

pub(crate) fn sum<'a>(
    fields: impl IntoIterator<Item = &'a FieldScores>,
) -> Result<Totals, ScoreError> {
    let mut total = Totals::default();
    for field in fields {
        total.add_field(field)?;
    }
    Ok(total)
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

/// Scores of objects from the counts of every field that has some.
fn object_summary<'a>(
    fields: impl Iterator<Item = &'a ObjectCounts>,
    total: &ObjectCounts,
    statistics: &[Statistic],
) -> Option<ObjectSummary> {
    if statistics.is_empty() {
        return None;
    }
    let detail = by_name(&OBJECT_SCORES, statistics);
    let pooled = |name: &str| detail.get(name).and_then(|s| s.pooled);
    let why = |&name: &&str| {
        let statistic = detail.get(name).filter(|s| s.pooled.is_none())?;
        Some(format!("{name}: {}", statistic.reason.as_deref()?))
    };
    let reasons: Vec<String> = ["mean_ap", "pq", "count_error"]
        .iter()
        .filter_map(why)
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
    let absolute = fields.map(|o| o.count_error().unsigned_abs() as f64);
    Some(ObjectSummary {
        f1_50: detail.get("f1_50").cloned().unwrap_or_default(),
        f1_50_shifted: None,
        shifts: Vec::new(),
        mean_ap: pooled("mean_ap"),
        pq: pooled("pq"),
        count_error: pooled("count_error"),
        reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
        truth: total.truth,
        prediction: total.prediction,
        count_error_mean_absolute: defined(mean(absolute)),
        by_threshold: total.at.iter().enumerate().map(row).collect(),
        detail,
    })
}

/// The shift of every group with its scores, in the order of the first fields.
fn shifts(fields: &[FieldScores]) -> Vec<GroupShift> {
    // A field without a group is none of a group of the same name.
    let mut keys: Vec<(bool, &str)> = Vec::new();
    let mut groups: Vec<(GroupShift, MatchCounts, MatchCounts)> = Vec::new();
    for field in fields {
        let (Some(objects), Some(shifted)) = (&field.objects, &field.shifted) else {
            continue;
        };
        let name = field.group.as_ref().unwrap_or(&field.name);
        let key = (field.group.is_some(), name.as_str());
        let known = keys.iter().position(|known| *known == key);
        let place = known.unwrap_or_else(|| {
            let row = GroupShift {
                group: name.clone(),
                fields: 0,
                shift: shifted.shift,
                f1_50: None,
                f1_50_shifted: None,
            };
            keys.push(key);
            groups.push((row, MatchCounts::default(), MatchCounts::default()));
            groups.len() - 1
        });
        let (row, plain, moved) = &mut groups[place];
        row.fields += 1;
        plain.add(&objects.at[0]);
        moved.add(&shifted.at_50);
    }
    let scored = |(row, plain, moved): (GroupShift, MatchCounts, MatchCounts)| GroupShift {
        f1_50: defined(plain.f1()),
        f1_50_shifted: defined(moved.f1()),
        ..row
    };
    groups.into_iter().map(scored).collect()
}

fn splitting_summary(
    total: &SplittingCounts,
    statistics: &[Statistic],
) -> Option<SplittingSummary> {
    if statistics.is_empty() {
        return None;
    }
    let detail = Detail(by_name(&SPLITTING_SCORES, statistics));
    let pooled = |name: &str| detail.pooled(name);
    let resolved = |name: &str, counts: Resolved| {
        let (at_50, at_70) = (pooled(&format!("{name}_50")), pooled(&format!("{name}_70")));
        ResolvedRow {
            n: counts.n,
            resolved: at_50.pooled,
            ci95: at_50.ci95,
            resolved_70: at_70.pooled,
            ci95_70: at_70.ci95,
            reason: at_50.reason.or(at_70.reason),
        }
    };
    let sized = [
        ("2", total.of_size(2)),
        ("3", total.of_size(3)),
        ("4+", total.from_size(4)),
    ];
    Some(SplittingSummary {
        nuclei: total.nuclei,
        singles: resolved("singles", total.singles),
        clusters: ByName(
            sized
                .into_iter()
                .map(|(size, counts)| {
                    (
                        size.to_owned(),
                        resolved(&format!("clusters_{size}"), counts),
                    )
                })
                .collect(),
        ),
        clusters_of_4: resolved("clusters_4", total.of_size(4)),
        clusters_all: resolved("clusters", total.from_size(2)),
        pairs: PairNumbers {
            n: total.pairs,
            found: total.found,
            missed: total.missed,
            lost: total.lost(),
        },
        missed_cuts: pooled("missed_cuts"),
        lost_pairs: pooled("lost_pairs"),
        false_cut_number: total.false_cuts,
        false_cuts: pooled("false_cuts"),
        cut_recall: pooled("cut_recall"),
        cut_precision: pooled("cut_precision"),
        cut_f1: pooled("cut_f1"),
        cut_lines: total.lines,
        pairs_without_line: total.without_line,
        cut_line_distance_px: pooled("cut_line_distance_px"),
        cut_line_distance_um: pooled("cut_line_distance_um"),
    })
}

/// One summary a name; the plan has their numbers in the order of the names.
fn named_summaries<Counts, Summary>(
    total: &ByName<Counts>,
    registry: &[Named<Counts>],
    statistics: &[Statistic],
    summary: fn(&Counts, &Detail) -> Summary,
) -> ByName<Summary> {
    let mut names: Vec<&str> = total.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    let parts = statistics.chunks_exact(registry.len());
    let one = |(name, statistics): (&str, &[Statistic])| {
        let detail = Detail(by_name(registry, statistics));
        Some((name.to_owned(), summary(total.get(name)?, &detail)))
    };
    ByName(names.into_iter().zip(parts).filter_map(one).collect())
}

/// The statistics of one family by name.
struct Detail(ByName<Statistic>);

impl Detail {
    fn of(&self, name: &str) -> Statistic {
        self.0.get(name).cloned().unwrap_or_default()
    }

    /// Without the mean over images, which would rest on too few objects a field.
    fn pooled(&self, name: &str) -> Pooled {
        let statistic = self.of(name);
        Pooled {
            pooled: statistic.pooled,
            ci95: statistic.ci95,
            reason: statistic.reason,
        }
    }
}

fn boundary_summary(counts: &BoundaryCounts, detail: &Detail) -> BoundarySummary {
    let of = |name: &str| detail.of(name);
    let row = |px: usize| ToleranceRow {
        px,
        precision: of(&format!("precision_{px}px")),
        recall: of(&format!("recall_{px}px")),
        f1: of(&format!("f1_{px}px")),
        nsd: of(&format!("nsd_{px}px")),
    };
    BoundarySummary {
        outline: counts.outline,
        truth_px: counts.truth,
        prediction_px: counts.prediction,
        tolerance: (0..TOLERANCES).map(row).collect(),
        thickness: (counts.outline == Outline::Line).then(|| Thickness {
            truth_px: of("thickness_truth_px"),
            prediction_px: of("thickness_prediction_px"),
        }),
        pairs: (counts.pairs.n > 0).then(|| PairSummary {
            n: counts.pairs.n,
            measured: counts.pairs.measured,
            boundary_iou_1px: of("boundary_iou_1px"),
            boundary_iou_2px: of("boundary_iou_2px"),
            boundary_iou_3px: of("boundary_iou_3px"),
            assd_px: of("assd_px"),
            hd95_px: of("hd95_px"),
            assd_um: of("assd_um"),
            hd95_um: of("hd95_um"),
        }),
    }
}

fn kind_summary(counts: &KindCounts, detail: &Detail) -> KindSummary {
    KindSummary {
        n: counts.n,
        recall_50: detail.of("recall_50"),
        recall_70: detail.of("recall_70"),
        matched_iou: detail.of("matched_iou"),
        singles_resolved: detail.pooled("singles_50"),
        clusters_resolved: detail.pooled("clusters_50"),
        pairs: PairNumbers {
            n: counts.pairs,
            found: counts.found,
            missed: counts.missed,
            lost: counts.pairs - counts.found - counts.missed,
        },
        cut_recall: detail.pooled("cut_recall"),
        missed_cuts: detail.pooled("missed_cuts"),
        false_cuts: detail.pooled("false_cuts"),
    }
}

fn calibration_summary(
    counts: &CalibrationCounts,
    classes: &[String],
    statistics: &[Statistic],
) -> Option<CalibrationSummary> {
    if statistics.is_empty() {
        return None;
    }
    let detail = Detail(by_name(&CALIBRATION_SCORES, statistics));
    let by_class = classes.iter().zip(&counts.classes);
    Some(CalibrationSummary {
        bins: CALIBRATION_BINS,
        ece: detail.pooled("ece"),
        mce: detail.pooled("mce"),
        class_wise_ece: detail.pooled("class_wise_ece"),
        brier: detail.pooled("brier"),
        top: reliability(&counts.top),
        classes: ByName(
            by_class
                .map(|(name, bins)| (name.clone(), reliability(bins)))
                .collect(),
        ),
    })
}

/// The statistics of a family under the names of its registry.
fn by_name<Counts>(registry: &[Named<Counts>], statistics: &[Statistic]) -> ByName<Statistic> {
    ByName(
        registry
            .iter()
            .zip(statistics)
            .map(|(score, statistic)| (score.0.to_owned(), statistic.clone()))
            .collect(),
    )
}

/// A value for each class, under its name.
fn of_classes<T>(classes: &[String], values: impl Iterator<Item = T>) -> ByName<T> {
    ByName(classes.iter().cloned().zip(values).collect())
}

fn field_row(plan: &Plan, field: &FieldScores, total: &Totals, classes: &[String]) -> FieldRow {
    let values = plan.values_of_field(field, total);
    let mut reasons = Vec::new();
    let scored = plan.scored(field, Family::Pixels);
    for (i, class) in classes.iter().enumerate().filter(|_| scored) {
        if values[2 * i].is_nan() {
            reasons.push(format!("`{class}` is in neither truth nor prediction"));
        }
    }
    let pair = |i: usize| FieldPixelwise {
        f1: defined(values[2 * i]),
        iou: defined(values[2 * i + 1]),
    };
    let of_objects = |o: &ObjectCounts| FieldObjects {
        truth: o.truth,
        prediction: o.prediction,
        f1_50: defined(o.at[0].f1()),
        mean_ap: defined(o.mean_average_precision()),
        pq: defined(o.panoptic_quality()),
        count_error: o.count_error(),
    };
    let objects = field.objects.as_ref().map(of_objects);
    if objects.is_some_and(|o| o.f1_50.is_none()) {
        reasons.push("there is no object in truth or prediction".to_owned());
    }
    FieldRow {
        name: field.name.clone(),
        group: field.group.clone(),
        classes: scored.then(|| of_classes(classes, (0..classes.len()).map(pair))),
        pixels: field
            .pixels
            .as_ref()
            .map(|p| of_classes(classes, p.classes.iter().copied())),
        mean: scored.then(|| pair(classes.len())),
        accuracy: field.pixels.as_ref().and_then(|p| defined(p.accuracy())),
        ignored_pixels: field.pixels.as_ref().map(|p| p.ignored),
        objects,
        cells: field.cells.as_ref().map(of_objects),
        object_errors: field.judged.as_deref().map(FieldFates::of),
        splitting: field.splitting,
        reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rigid_shift::{Shift, ShiftedCounts};

    #[test]
    fn a_field_called_like_a_group_has_a_shift_of_its_own() {
        let field = |name: &str, group: Option<&str>, dy_px| FieldScores {
            name: name.to_owned(),
            group: group.map(str::to_owned),
            objects: Some(ObjectCounts::default()),
            shifted: Some(ShiftedCounts {
                shift: Shift { dy_px, dx_px: 0 },
                at_50: MatchCounts::default(),
            }),
            ..FieldScores::default()
        };
        let fields = [
            field("a", Some("B02"), 1),
            field("B02", None, 2),
            field("b", Some("B02"), 1),
        ];
        let found = shifts(&fields);
        let rows = found
            .iter()
            .map(|row| (&*row.group, row.fields, row.shift.dy_px));
        assert_eq!(rows.collect::<Vec<_>>(), [("B02", 2, 1), ("B02", 1, 2)]);
    }
}
