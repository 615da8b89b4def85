//! The shift of each stain against the brightfield: found per group and per plate, used where
//! certain.
//!
//! Here: what a shift is. `estimate` pools fields and chooses which is used where, `keep` holds
//! it for the next run and for people, `draw` shows it. Not here: the estimate of one field
//! ([`stainfree_objects::shift_evidence`]), moving the stain (`fixes`).

mod draw;
mod estimate;
mod keep;

use serde::{Deserialize, Serialize};
use stainfree_image::Field;
use stainfree_objects::ShiftEstimate;

pub(crate) use self::draw::draw;
use crate::GroupRule;
use crate::truth::stain::Stain;

/// Where a shift that is used was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FoundIn {
    /// In the fields of the group alone.
    Group,
    /// In all fields of the plate.
    Plate,
    /// Given in the config.
    Config,
    /// Nowhere: the stain stays where it is.
    CannotTell,
}

/// The shift of one stain in one group of fields; a row of `truth/shifts.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupShift {
    /// The plate, where it has a name.
    pub plate: String,
    /// The group: a well, or what `split.group` says.
    pub group: String,
    /// Which stain.
    pub stain: Stain,
    /// Where the shift that is used was found.
    pub found_in: FoundIn,
    /// The shift that is used: the stain lies this far below the brightfield, pixels; 0 where
    /// nobody can tell.
    pub dy_px: f64,
    /// And this far right.
    pub dx_px: f64,
    /// Its uncertainty: 95 % lie within this distance, pixels.
    pub radius95_px: Option<f64>,
    /// The estimate of the group alone, certain or not.
    pub group_dy_px: Option<f64>,
    /// See `group_dy_px`.
    pub group_dx_px: Option<f64>,
    /// See `group_dy_px`.
    pub group_radius95_px: Option<f64>,
    /// Share of the stain's fine structure that the brightfield explains at the group's own
    /// estimate.
    pub group_explained: Option<f64>,
}

/// The shifts of a study, by plate, group and stain.
#[derive(Clone, Debug)]
pub(crate) struct Shifts {
    found: Vec<GroupShift>,
    /// The groups they were found in.
    rule: GroupRule,
}

impl Shifts {
    /// The shift of a stain in a field; `None` where none is used.
    pub(crate) fn of(&self, field: &Field, stain: Stain) -> Option<&GroupShift> {
        let plate = plate_of(field);
        let group = self.rule.group(field).ok()?;
        self.found.iter().find(|shift| {
            shift.stain == stain
                && shift.group == group
                && shift.plate == plate
                && shift.found_in != FoundIn::CannotTell
        })
    }

    /// All of them, sorted by plate, group and stain.
    pub(crate) fn all(&self) -> &[GroupShift] {
        &self.found
    }
}

/// What one stain's shifts came to, for the summary of `prepare`.
#[derive(Clone, Debug, PartialEq)]
pub struct ShiftSummary {
    /// Which stain.
    pub stain: Stain,
    /// Groups that were corrected.
    pub corrected: usize,
    /// Groups in which nobody can tell.
    pub cannot_tell: usize,
    /// Median of the corrections, `(dy, dx)` in pixels.
    pub median_px: (f64, f64),
    /// Largest uncertainty among the corrections that were estimated, in pixels.
    pub largest_radius_px: Option<f64>,
}

impl ShiftSummary {
    /// One line a stain.
    pub(crate) fn of(shifts: &[GroupShift]) -> Vec<Self> {
        let of_stain = |stain: Stain| {
            let all: Vec<&GroupShift> = shifts.iter().filter(|s| s.stain == stain).collect();
            let used: Vec<&&GroupShift> = all
                .iter()
                .filter(|s| s.found_in != FoundIn::CannotTell)
                .collect();
            let median = |value: &dyn Fn(&GroupShift) -> f64| {
                let mut values: Vec<f64> = used.iter().map(|s| value(s)).collect();
                values.sort_by(f64::total_cmp);
                values.get(values.len() / 2).copied().unwrap_or(0.0)
            };
            (!all.is_empty()).then(|| Self {
                stain,
                corrected: used.len(),
                cannot_tell: all.len() - used.len(),
                median_px: (median(&|s| s.dy_px), median(&|s| s.dx_px)),
                largest_radius_px: used
                    .iter()
                    .filter_map(|s| s.radius95_px)
                    .max_by(f64::total_cmp),
            })
        };
        Stain::ALL.into_iter().filter_map(of_stain).collect()
    }
}

impl GroupShift {
    /// A group in which nobody can tell; `own` is its estimate all the same.
    fn unknown(plate: &str, group: &str, stain: Stain, own: Option<ShiftEstimate>) -> Self {
        Self {
            plate: plate.to_owned(),
            group: group.to_owned(),
            stain,
            found_in: FoundIn::CannotTell,
            dy_px: 0.0,
            dx_px: 0.0,
            radius95_px: None,
            group_dy_px: own.map(|e| e.dy_px),
            group_dx_px: own.map(|e| e.dx_px),
            // JSON has no infinity: an unknown uncertainty is none.
            group_radius95_px: own.map(|e| e.radius95_px).filter(|r| r.is_finite()),
            group_explained: own.map(|e| e.explained),
        }
    }
}

fn plate_of(field: &Field) -> String {
    field.position.plate.clone().unwrap_or_default()
}
