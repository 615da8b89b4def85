//! What a few stained wells say, with the predictions, of a whole screen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;
use stainfree_image::table::number;
use stainfree_image::{list_names, natural_order};
use stainfree_scores::powered::{
    FEWEST_STAINED, FEWEST_TO_FIT, Interval, Mean, StainedWell, Weight, Wells, difference,
    powered_mean, weight_of_others,
};

use super::wells::{PROBABILITY, WellKey, WellTable, leave_out_training};
use crate::ProjectError;

/// What to estimate.
#[derive(Clone, Debug, Default)]
pub struct EstimateOptions {
    /// Table with a row a well of the whole screen: what the network says.
    pub predicted: PathBuf,
    /// Table of the stained wells: what the stain says. A column `probability` is that with which
    /// each was drawn.
    pub stained: PathBuf,
    /// The study whose model predicts: wells that trained it say nothing of the others.
    pub study: Option<PathBuf>,
    /// The column to estimate; the only number that both have where it is left open.
    pub column: Option<String>,
    /// Column of the conditions, each of which gets an estimate of its own.
    pub by: Option<String>,
    /// Table with that column, by well; of every plate alike where it has no plates.
    pub layout: Option<PathBuf>,
    /// The condition that others are compared with; the first where it is left open.
    pub against: Option<String>,
    /// What was drawn.
    pub unit: Unit,
    /// How much predictions count.
    pub weight: Weight,
}

/// What was drawn at random: the unit whose scatter makes the interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Plates where several stained wells share one and others have none, else wells.
    #[default]
    Auto,
    /// Wells.
    Well,
    /// Plates, each with the mean of its stained wells.
    Plate,
}

/// The answer; its JSON is that of `estimate --json`.
#[derive(Clone, Debug, Serialize)]
pub struct Estimated {
    /// What was estimated.
    pub column: String,
    /// Column of the conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What the intervals take as drawn.
    pub unit: Unit,
    /// A row for every condition; one where there are none.
    pub groups: Vec<GroupRow>,
    /// Each condition against one of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<DifferenceRow>,
    /// What is missing or odd, each a sentence.
    pub problems: Vec<String>,
}

/// The wells of one condition.
#[derive(Clone, Debug, Serialize)]
pub struct GroupRow {
    /// The condition; `None` where there are none.
    pub by: Option<String>,
    /// Stained wells (or plates).
    pub n: usize,
    /// Wells (or plates) with a prediction alone.
    #[serde(rename = "N")]
    pub others: usize,
    /// Mean of a well, with its interval.
    #[serde(flatten)]
    pub powered: Interval,
    /// By the stained wells alone.
    pub classical: Interval,
    /// Sum over these wells; `None` where plates were drawn.
    pub total: Option<Interval>,
    /// As many stained wells without predictions would say as much.
    pub worth_wells: Option<f64>,
    /// Weight of the predictions.
    pub lambda: f64,
    /// Stained wells in all that would halve the interval.
    pub wells_to_halve: Option<usize>,
}

/// One condition against another.
#[derive(Clone, Debug, Serialize)]
pub struct DifferenceRow {
    /// The condition.
    pub by: String,
    /// What it is compared with.
    pub against: String,
    /// Their difference, with its interval.
    #[serde(flatten)]
    pub powered: Interval,
    /// By the stained wells alone.
    pub classical: Interval,
}

/// A well with what is known of it.
struct Known {
    key: WellKey,
    predicted: f64,
    truth: Option<f64>,
    stands_for: f64,
}

/// The conditions with their wells, in order.
type Groups = Vec<(Option<String>, Vec<Known>)>;

/// Estimates the mean of a column over all wells of a screen, by condition.
///
/// # Errors
/// A table cannot be read, lacks a column or holds something that is no number; no stained well has
/// a prediction.
pub fn estimate(options: &EstimateOptions) -> Result<Estimated, ProjectError> {
    let predicted = WellTable::read(&options.predicted)?;
    let stained = WellTable::read(&options.stained)?;
    let column = column_of(options, &predicted, &stained)?;
    let mut problems = Vec::new();
    let mut known = known_wells(&column, &predicted, &stained, &mut problems)?;
    if let Some(study) = &options.study {
        leave_out_training(study, &mut known, |well| &well.key, &mut problems)?;
        if known.iter().all(|well| well.truth.is_none()) {
            return Err(ProjectError::Usage(format!(
                "all stained wells of `{}` trained or chose the model of `{}`, which says nothing \
                 of the others; stain wells that it has not met",
                options.stained.display(),
                study.display()
            )));
        }
    }
    let groups = grouped(options, &predicted, known, &mut problems)?;
    let unit = unit_of(options.unit, &groups, &mut problems);

    let wells: Vec<Wells> = groups
        .iter()
        .map(|(_, known)| as_wells(known, unit))
        .collect();
    let means: Vec<Option<Mean>> = (0..wells.len())
        .map(|g| powered_mean(&wells[g], weight_for(options.weight, &wells, g)))
        .collect();
    let mut rows = Vec::new();
    for ((by, _), mean) in groups.iter().zip(&means) {
        match mean {
            Some(mean) => rows.push(row(by.clone(), mean, unit, &mut problems)),
            None => problems.push(format!(
                "no well of `{}` was stained, so nothing is said of it",
                by.as_deref().unwrap_or_default()
            )),
        }
    }
    let differences = differences(options.against.as_deref(), &groups, &means)?;
    if unit == Unit::Plate && !differences.is_empty() {
        problems.push(
            "conditions that share plates are taken for independent, so that the intervals of \
             their differences are rather too wide"
                .into(),
        );
    }
    Ok(Estimated {
        column,
        by: options.by.clone(),
        unit,
        groups: rows,
        differences,
        problems,
    })
}

/// The column that is named, or the only one that both tables have.
fn column_of(
    options: &EstimateOptions,
    predicted: &WellTable,
    stained: &WellTable,
) -> Result<String, ProjectError> {
    if let Some(column) = &options.column {
        return Ok(column.clone());
    }
    let is_by = |title: &str| {
        let by = options.by.as_deref();
        by.is_some_and(|by| by.eq_ignore_ascii_case(title))
    };
    let both: Vec<&str> = predicted
        .numeric()
        .into_iter()
        .filter(|title| stained.has(title).is_some() && !is_by(title))
        .collect();
    match both[..] {
        [only] => Ok(only.to_owned()),
        [] => Err(ProjectError::Usage(format!(
            "`{}` and `{}` share no column of numbers; give both one of the same title, and name \
             it with `--column`",
            predicted.path.display(),
            stained.path.display()
        ))),
        _ => Err(ProjectError::Usage(format!(
            "both tables have the columns {}; choose one with `--column`",
            list_names(&both)
        ))),
    }
}

/// The wells that have a prediction, with the truth where they were stained.
fn known_wells(
    column: &str,
    predicted: &WellTable,
    stained: &WellTable,
    problems: &mut Vec<String>,
) -> Result<Vec<Known>, ProjectError> {
    if !stained.has_plates && predicted.plates() > 1 {
        return Err(ProjectError::Usage(format!(
            "`{}` does not say on which of the {} plates of `{}` its wells lie; add the column \
             `plate`",
            stained.path.display(),
            predicted.plates(),
            predicted.path.display()
        )));
    }
    let (of_network, of_stain) = (predicted.column(column)?, stained.column(column)?);
    let probability = stained.has(PROBABILITY);
    let (mut known, mut blank) = (Vec::new(), Vec::new());
    for key in predicted.wells() {
        let Some(value) = predicted.number(key, of_network)? else {
            blank.push(key.well.as_str());
            continue;
        };
        let truth = stained.number(key, of_stain)?;
        let stands_for = match (truth, probability) {
            (Some(_), Some(column)) => 1.0 / chance_of(stained, key, column)?,
            _ => 1.0,
        };
        known.push(Known {
            key: key.clone(),
            predicted: value,
            truth,
            stands_for,
        });
    }
    let met = known.iter().filter(|well| well.truth.is_some()).count();
    let mut there = 0;
    for key in stained.wells() {
        there += usize::from(stained.number(key, of_stain)?.is_some());
    }
    if met == 0 {
        return Err(ProjectError::Usage(format!(
            "none of the {} wells of `{}` is among the {} wells of `{}` with a `{column}` in both; \
             the columns `plate` and `well` have to be the same",
            stained.len(),
            stained.path.display(),
            predicted.len(),
            predicted.path.display()
        )));
    }
    if !blank.is_empty() {
        problems.push(format!(
            "{} wells have no predicted `{column}` and are left out: {}",
            blank.len(),
            list_names(&blank)
        ));
    }
    if there > met && stained.has_plates == predicted.has_plates {
        problems.push(format!(
            "{} of {there} stained wells have no prediction and are left out",
            there - met
        ));
    }
    Ok(known)
}

/// The probability with which a stained well was drawn.
///
/// # Errors
/// It has none, as a well that was chosen by hand, or one that is none.
fn chance_of(stained: &WellTable, key: &WellKey, column: usize) -> Result<f64, ProjectError> {
    let chance = stained.number(key, column)?;
    if let Some(chance) = chance.filter(|chance| *chance > 0.0 && *chance <= 1.0) {
        return Ok(chance);
    }
    let found = chance.map_or("no probability".into(), |chance| {
        format!("the probability `{chance}`")
    });
    Err(ProjectError::Table {
        path: stained.path.clone(),
        line: None,
        message: format!(
            "well `{}` has {found}; those of wells that were drawn lie above 0 and up to 1, and \
             wells that were not drawn have to be taken out",
            key.well
        ),
    })
}

/// The wells by condition: in the order of numbers where all conditions are numbers.
fn grouped(
    options: &EstimateOptions,
    predicted: &WellTable,
    known: Vec<Known>,
    problems: &mut Vec<String>,
) -> Result<Groups, ProjectError> {
    let Some(by) = &options.by else {
        return Ok(vec![(None, known)]);
    };
    let layout = options.layout.as_deref().map(WellTable::read).transpose()?;
    let table = layout.as_ref().unwrap_or(predicted);
    let column = table.column(by)?;
    let mut groups: BTreeMap<String, Vec<Known>> = BTreeMap::new();
    let mut without = Vec::new();
    for well in known {
        match table.text(&well.key, column) {
            Some(text) => groups.entry(text.to_owned()).or_default().push(well),
            None => without.push(well.key.well),
        }
    }
    if !without.is_empty() {
        problems.push(format!(
            "{} wells have no `{by}` and are left out: {}",
            without.len(),
            list_names(&without)
        ));
    }
    if groups.is_empty() {
        return Err(ProjectError::Usage(format!(
            "no well of `{}` has a `{by}` in `{}`; the columns `plate` and `well` have to be the \
             same in both, or `plate` missing in the second",
            predicted.path.display(),
            table.path.display()
        )));
    }
    let mut groups: Groups = groups
        .into_iter()
        .map(|(by, wells)| (Some(by), wells))
        .collect();
    let value = |by: &Option<String>| number(by.as_deref().unwrap_or_default());
    let are_numbers = groups.iter().all(|(by, _)| value(by).is_some());
    groups.sort_by(|(a, _), (b, _)| match (value(a), value(b)) {
        (Some(a), Some(b)) if are_numbers => a.total_cmp(&b),
        _ => natural_order(
            a.as_deref().unwrap_or_default(),
            b.as_deref().unwrap_or_default(),
        ),
    });
    Ok(groups)
}

/// The unit, and what is to be said of it.
fn unit_of(wanted: Unit, groups: &Groups, problems: &mut Vec<String>) -> Unit {
    let plates = |wells: &[Known], stained: bool| {
        let kept = wells.iter().filter(|well| !stained || well.truth.is_some());
        let plates: BTreeSet<&String> = kept.map(|well| &well.key.plate).collect();
        plates.len()
    };
    if wanted != Unit::Auto {
        return wanted;
    }
    let mut unit = Unit::Well;
    for (_, wells) in groups {
        let (all, met) = (plates(wells, false), plates(wells, true));
        if met == all || met == 0 {
            continue;
        }
        let stained = wells.iter().filter(|well| well.truth.is_some()).count();
        if met >= FEWEST_STAINED && stained > met {
            unit = Unit::Plate;
        } else if stained > met {
            let few = format!(
                "the stained wells lie on {met} of {all} plates, which is too few to see how far \
                 plates differ: intervals may be too short; stain wells of more plates"
            );
            if !problems.contains(&few) {
                problems.push(few);
            }
        }
    }
    if unit == Unit::Plate {
        problems.push(
            "several stained wells share a plate and other plates have none, so that plates count \
             as drawn, and not wells: the mean is one over plates (`--unit well` if any well of \
             any plate could have been drawn)"
                .into(),
        );
    }
    unit
}

/// The wells, or their means by plate, as numbers.
fn as_wells(known: &[Known], unit: Unit) -> Wells {
    if unit != Unit::Plate {
        let (stained, others): (Vec<&Known>, Vec<&Known>) =
            known.iter().partition(|well| well.truth.is_some());
        let stained = stained.into_iter().filter_map(|well| {
            Some(StainedWell {
                truth: well.truth?,
                predicted: well.predicted,
                stands_for: well.stands_for,
            })
        });
        return Wells {
            stained: stained.collect(),
            predicted: others.into_iter().map(|well| well.predicted).collect(),
        };
    }
    let mut plates: BTreeMap<&str, Vec<&Known>> = BTreeMap::new();
    for well in known {
        plates.entry(&well.key.plate).or_default().push(well);
    }
    let mut wells = Wells::default();
    for known in plates.into_values() {
        let stained: Vec<(f64, f64, f64)> = known
            .iter()
            .filter_map(|well| Some((well.truth?, well.predicted, well.stands_for)))
            .collect();
        let total: f64 = stained.iter().map(|(_, _, stands_for)| stands_for).sum();
        if stained.is_empty() {
            let sum: f64 = known.iter().map(|well| well.predicted).sum();
            wells.predicted.push(sum / known.len() as f64);
            continue;
        }
        let shared = |of: fn(&(f64, f64, f64)) -> f64| {
            stained.iter().map(|well| of(well) * well.2).sum::<f64>() / total
        };
        wells.stained.push(StainedWell {
            truth: shared(|well| well.0),
            predicted: shared(|well| well.1),
            stands_for: 1.0,
        });
    }
    wells
}

/// The weight for group `g`: of few stained wells, the slope of the others is the better guess.
fn weight_for(wanted: Weight, groups: &[Wells], g: usize) -> Weight {
    let own = &groups[g];
    if wanted != Weight::Auto || own.stained.len() >= FEWEST_TO_FIT || own.predicted.is_empty() {
        return wanted;
    }
    let others = groups.iter().enumerate().filter(|(other, _)| *other != g);
    let others: Vec<&Wells> = others.map(|(_, wells)| wells).collect();
    let shrink = 1.0 + own.stained.len() as f64 / own.predicted.len() as f64;
    match weight_of_others(&others) {
        Some(slope) => Weight::Given(slope / shrink),
        None => wanted,
    }
}

fn row(by: Option<String>, mean: &Mean, unit: Unit, problems: &mut Vec<String>) -> GroupRow {
    if mean.n < FEWEST_STAINED {
        let what = match unit {
            Unit::Plate => "plates",
            _ => "wells",
        };
        let of = by
            .as_deref()
            .map_or(String::new(), |by| format!(" of `{by}`"));
        problems.push(format!(
            "{} stained {what}{of} are too few for an interval; stain {FEWEST_STAINED} or more",
            mean.n
        ));
    }
    GroupRow {
        by,
        n: mean.n,
        others: mean.others,
        powered: mean.powered,
        classical: mean.classical,
        total: (unit != Unit::Plate).then_some(mean.total),
        worth_wells: mean.worth_wells,
        lambda: mean.weight,
        wells_to_halve: mean.to_halve,
    }
}

/// Every condition against the one that is named, or the first.
fn differences(
    against: Option<&str>,
    groups: &Groups,
    means: &[Option<Mean>],
) -> Result<Vec<DifferenceRow>, ProjectError> {
    let named: Vec<(&str, &Mean)> = groups
        .iter()
        .zip(means)
        .filter_map(|((by, _), mean)| Some((by.as_deref()?, mean.as_ref()?)))
        .collect();
    let other = match against {
        None => named.first(),
        Some(name) => {
            let found = named.iter().find(|(by, _)| *by == name);
            let by: Vec<&str> = named.iter().map(|(by, _)| *by).collect();
            Some(found.ok_or_else(|| {
                ProjectError::Usage(match by.is_empty() {
                    true => format!("`--against {name}` needs conditions; name them with `--by`"),
                    false => format!(
                        "there is no condition `{name}` with stained wells; choose from {}",
                        list_names(&by)
                    ),
                })
            })?)
        }
    };
    let Some(&(against, other)) = other else {
        return Ok(Vec::new());
    };
    let rows = named.iter().filter(|(by, _)| *by != against);
    let rows = rows.map(|(by, mean)| {
        let apart = difference(mean, other);
        DifferenceRow {
            by: (*by).to_owned(),
            against: against.to_owned(),
            powered: apart.powered,
            classical: apart.classical,
        }
    });
    Ok(rows.collect())
}
