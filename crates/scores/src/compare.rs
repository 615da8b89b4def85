//! The difference between two models on the same fields.

use serde::{Deserialize, Serialize};

use crate::bootstrap::intervals;
use crate::fields::{BootstrapOptions, Totals, Units};
use crate::pixels::defined;
use crate::plan::Plan;
use crate::summary::{check, sum};
use crate::{FieldScores, ScoreError};

/// One pooled score of two models and the interval of its difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Name of the score, such as `nucleus f1`, `mean f1` or `objects f1_50`.
    pub name: String,
    /// The first model's pooled value.
    pub first: Option<f64>,
    /// The second model's pooled value.
    pub second: Option<f64>,
    /// Second minus first.
    pub difference: Option<f64>,
    /// 95 % bootstrap interval of the difference, both models on the same resampled units. The
    /// models differ where it does not hold 0.
    pub ci95: Option<[f64; 2]>,
    /// Why something is undefined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Two totals that are resampled together.
#[derive(Default)]
struct Both {
    first: Totals,
    second: Totals,
}

/// Compares two models on the same fields, score by score.
///
/// Fields are matched by name, whatever their order; units are those of `first`.
///
/// # Errors
/// [`ScoreError::Mismatch`] if the fields of the two differ, or as [`crate::summarise`].
pub fn compare(
    first: &[FieldScores],
    second: &[FieldScores],
    classes: &[String],
    options: &BootstrapOptions,
) -> Result<Vec<Difference>, ScoreError> {
    check(first, classes, options.convention)?;
    check(second, classes, options.convention)?;
    let partner = |field: &FieldScores| {
        second
            .iter()
            .find(|other| other.name == field.name)
            .ok_or_else(|| {
                ScoreError::Mismatch(format!(
                    "field `{}` was scored for one model only",
                    field.name
                ))
            })
    };
    let second_in_order: Vec<&FieldScores> = first.iter().map(partner).collect::<Result<_, _>>()?;
    let extra = second
        .iter()
        .find(|other| first.iter().all(|field| field.name != other.name));
    if let Some(extra) = extra {
        let message = format!("field `{}` was scored for one model only", extra.name);
        return Err(ScoreError::Mismatch(message));
    }
    let plan = Plan::new(first, classes, options.convention);
    let other = Plan::new(second, classes, options.convention);
    if plan != other {
        let message =
            "the two models were not scored on the same things (pixels, objects, splitting)"
                .to_owned();
        return Err(ScoreError::Mismatch(message));
    }
    let units = Units::new(first, options);
    let unit = |members: &Vec<usize>| -> Result<Both, ScoreError> {
        Ok(Both {
            first: sum(members.iter().map(|&i| &first[i]))?,
            second: sum(members.iter().map(|&i| second_in_order[i]))?,
        })
    };
    let parts: Vec<Both> = units.members.iter().map(unit).collect::<Result<_, _>>()?;
    let add = |total: &mut Both, part: &Both| {
        total.first.add(&part.first);
        total.second.add(&part.second);
    };
    let differences = |both: &Both| -> Vec<f64> {
        let values = plan.values(&both.first);
        plan.values(&both.second)
            .iter()
            .zip(values)
            .map(|(second, first)| second - first)
            .collect()
    };
    let bounds = intervals(&parts, options.resamples, options.seed, add, differences);
    let mut total = Both::default();
    parts.iter().for_each(|part| add(&mut total, part));
    let (one, two) = (plan.values(&total.first), plan.values(&total.second));
    let row = |(i, ci95)| {
        let difference: f64 = two[i] - one[i];
        Difference {
            name: plan.name(i),
            first: defined(one[i]),
            second: defined(two[i]),
            difference: defined(difference),
            ci95,
            reason: plan.reason(i, difference, ci95, parts.len(), options),
        }
    };
    Ok(bounds.into_iter().enumerate().map(row).collect())
}
