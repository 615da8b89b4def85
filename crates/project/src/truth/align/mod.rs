//! Where the truth of each group of fields lies against the brightfield, as models tell that have
//! not met the fields.
//!
//! Here: what is known of a group, and in which group a field is. `estimate` pools what fields
//! say, `weighed` what groups say, `keep` holds it for `prepare` and for people, `draw` shows it.
//! Not here: who predicts ([`align`](mod@crate::align)), truth as it was given (`as_given`), the
//! estimate itself ([`stainfree_objects::TruthLaid`]), moving the truth (`fixes`, `given`).

mod choices;
mod draw;
pub(crate) mod estimate;
pub(crate) mod keep;
mod pool;
mod weighed;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stainfree_image::Field;
use stainfree_objects::TruthShift;

pub(crate) use self::choices::config_as_given;
pub(crate) use self::draw::{SHOWN, Shown, draw};
pub use self::pool::Pool;
use super::moves::Move;

/// What is known of where the truth of a group lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Where the shift says.
    Certain,
    /// Roughly there: the uncertainty is more than wanted, and at most a third of the shift.
    Roughly,
    /// It cannot be told of this group alone, and its shift is weighed with those of the others.
    WithOthers,
    /// Nobody can tell; the truth stays where it is.
    CannotTell,
    /// It is turned; the truth stays where it is.
    Turned,
}

impl Verdict {
    /// Whether the truth is moved back by the shift.
    pub fn moves(self) -> bool {
        matches!(self, Self::Certain | Self::Roughly | Self::WithOthers)
    }
}

/// Where the truth of a group of fields lies; a row of `align/shifts.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupLaid {
    /// The plate, where it has a name.
    pub plate: String,
    /// The group; empty where the plate is one.
    pub group: String,
    /// Fields that were pooled.
    pub fields: usize,
    /// Nuclei of their truth.
    pub nuclei: usize,
    /// What is known.
    pub verdict: Verdict,
    /// How far the truth lies below the brightfield, pixels, certain or not; none where nothing
    /// fits.
    pub dy_px: Option<f64>,
    /// And how far right.
    pub dx_px: Option<f64>,
    /// 95 % lie within this distance, pixels; none where even that cannot be told.
    pub radius95_px: Option<f64>,
    /// `dy_px` in um, where the images know their pixel size.
    pub dy_um: Option<f64>,
    /// See `dy_um`.
    pub dx_um: Option<f64>,
    /// How many times chance prediction and truth fit.
    pub clear: f64,
    /// The second best shift as a share of the best.
    pub second_peak: Option<f64>,
    /// The verdict in words, with its number.
    pub because: String,
    /// The models that predicted, by name.
    pub models: String,
    /// What this group alone says, where it was weighed with the others.
    #[serde(default)]
    pub own_dy_px: Option<f64>,
    /// See `own_dy_px`.
    #[serde(default)]
    pub own_dx_px: Option<f64>,
    /// See `own_dy_px`.
    #[serde(default)]
    pub own_radius95_px: Option<f64>,
}

impl GroupLaid {
    /// What the group is called.
    pub fn name(&self) -> String {
        match (self.plate.as_str(), self.group.as_str()) {
            ("", "") => "all fields".to_owned(),
            (plate, "") => plate.to_owned(),
            ("", group) => group.to_owned(),
            (plate, group) => format!("{plate} {group}"),
        }
    }

    /// The shift that the truth is moved back by.
    pub(crate) fn shift(&self) -> Option<Move> {
        let (dy_px, dx_px) = (self.dy_px?, self.dx_px?);
        self.verdict.moves().then_some(Move {
            dy_px,
            dx_px,
            radius95_px: self.radius95_px,
        })
    }

    /// The shift that was found, certain or not.
    fn found(&self) -> Option<TruthShift> {
        Some(TruthShift {
            dy_px: self.dy_px?,
            dx_px: self.dx_px?,
            radius95_px: self.radius95_px?,
            second_peak: self.second_peak.unwrap_or(0.0),
        })
    }

    /// Takes over what was found, in numbers that a table can hold.
    fn take(&mut self, shift: TruthShift, pixel_um: Option<f64>) {
        let rounded = |value: f64| (value * 1e4).round() / 1e4;
        self.dy_px = Some(rounded(shift.dy_px));
        self.dx_px = Some(rounded(shift.dx_px));
        // JSON has no infinity: an unknown uncertainty is none.
        self.radius95_px = Some(rounded(shift.radius95_px)).filter(|radius| radius.is_finite());
        self.second_peak = Some(rounded(shift.second_peak));
        self.dy_um = pixel_um.map(|um| rounded(um * shift.dy_px));
        self.dx_um = pixel_um.map(|um| rounded(um * shift.dx_px));
    }
}

/// A field whose truth fits better another way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// Its name.
    pub field: String,
    /// What is odd about its truth.
    pub what: String,
}

/// What `prepare` moves truth by: the groups whose truth is still that which was looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alignment {
    pool: Pool,
    groups: Vec<GroupLaid>,
    /// Fields whose own truth is odd: it is not moved with that of their group.
    suspects: BTreeSet<String>,
}

impl Alignment {
    /// The shift of the truth of a field; none where none is known.
    pub(crate) fn of(&self, field: &Field) -> Option<Move> {
        if self.suspects.contains(&field.name) {
            return None;
        }
        self.group_of(field)?.shift()
    }

    fn group_of(&self, field: &Field) -> Option<&GroupLaid> {
        if self.groups.is_empty() {
            return None;
        }
        let (plate, group) = self.pool.of(field).ok()?;
        let is_it = |laid: &&GroupLaid| laid.plate == plate && laid.group == group;
        self.groups.iter().find(is_it)
    }
}

/// What the truth was moved by, for the summary of `prepare`.
#[derive(Clone, Debug, PartialEq)]
pub struct AlignSummary {
    /// Groups that were moved back.
    pub moved: usize,
    /// Groups that stay where they are: of which nobody can tell, that lie off by less than half a
    /// pixel, or whose stain tells more exactly itself.
    pub left: usize,
    /// Median of the shifts, `(dy, dx)` in pixels.
    pub median_px: (f64, f64),
    /// Largest uncertainty among them, pixels.
    pub largest_radius_px: f64,
}

impl AlignSummary {
    /// Of `fields`, each of which `applied` says what it was moved by; none where nothing was
    /// moved.
    pub(crate) fn of(
        alignment: &Alignment,
        fields: &[Field],
        applied: impl Fn(&Field) -> Option<Move>,
    ) -> Option<Self> {
        let mut by_group: BTreeMap<String, Move> = BTreeMap::new();
        for field in fields {
            if let Some((group, shift)) = alignment.group_of(field).zip(applied(field)) {
                by_group.insert(group.name(), shift);
            }
        }
        let moves: Vec<Move> = by_group.into_values().collect();
        let median = |value: fn(&Move) -> f64| {
            let mut values: Vec<f64> = moves.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(0.0)
        };
        let radii = moves.iter().filter_map(|shift| shift.radius95_px);
        (!moves.is_empty()).then(|| Self {
            moved: moves.len(),
            left: alignment.groups.len() - moves.len(),
            median_px: (median(|shift| shift.dy_px), median(|shift| shift.dx_px)),
            largest_radius_px: radii.fold(0.0, f64::max),
        })
    }
}
