//! The scores of single fields, and the units they are resampled in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    BoundaryCounts, ByName, CalibrationCounts, FieldConfidence, JudgedObject, KindCounts,
    MaskMeasures, ObjectCounts, PaperScores, PixelCounts, ScoreError, ShiftedCounts,
    SplittingCounts,
};

/// All that was counted on one field. What was not scored is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FieldScores {
    /// Name of the field.
    pub name: String,
    /// What it shares cells, focus and staining with: its well or experiment.
    pub group: Option<String>,
    /// Pixel counts by argmax.
    pub pixels: Option<PixelCounts>,
    /// Pixel counts by the paper's convention.
    pub paper: Option<PaperScores>,
    /// Object counts.
    pub objects: Option<ObjectCounts>,
    /// Object counts with the prediction at its group's best shift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shifted: Option<ShiftedCounts>,
    /// Every object with what became of it. They are not written down with the counts: only what is
    /// summed up of them is.
    #[serde(skip)]
    pub judged: Option<Vec<JudgedObject>>,
    /// Object counts of whole cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cells: Option<ObjectCounts>,
    /// Splitting counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splitting: Option<SplittingCounts>,
    /// Outlines, by the class they belong to; `objects` for those of all nuclei.
    #[serde(default, skip_serializing_if = "ByName::is_empty")]
    pub boundaries: ByName<BoundaryCounts>,
    /// Nuclei by kind, where the truth knows kinds.
    #[serde(default, skip_serializing_if = "ByName::is_empty")]
    pub kinds: ByName<KindCounts>,
    /// Pixels by predicted probability, where probabilities were at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationCounts>,
    /// The same by probabilities as they are written, where the model changes them for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrated: Option<CalibrationCounts>,
    /// How sure the prediction is of its objects. They are not written down with the counts: only
    /// what is summed up of them is.
    #[serde(skip)]
    pub confidence: Option<FieldConfidence>,
    /// What was measured through true and predicted masks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<MaskMeasures>,
}

/// How intervals are computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BootstrapOptions {
    /// Number of resamples.
    pub resamples: usize,
    /// Key of the random numbers.
    pub seed: u64,
    /// What is resampled.
    pub unit: UnitRule,
    /// What a group is called in the result, such as `well` or `experiment`.
    pub group_name: String,
    /// Which pixel counts the class scores are made of.
    pub convention: Convention,
}

impl Default for BootstrapOptions {
    /// 2,000 resamples of groups (of fields where there are fewer than 8 groups), by argmax.
    fn default() -> Self {
        Self {
            resamples: crate::bootstrap::RESAMPLES,
            seed: 0,
            unit: UnitRule::Auto,
            group_name: "well".to_owned(),
            convention: Convention::Argmax,
        }
    }
}

/// What is drawn with replacement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnitRule {
    /// The group; the field where there are fewer than 8 groups.
    #[default]
    Auto,
    /// The group, however few there are.
    Group,
    /// The field.
    Field,
}

/// Which pixel counts the class scores are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Convention {
    /// Class of the largest probability; a class absent on both sides is undefined.
    #[default]
    Argmax,
    /// Probability above 0.5 per class, 1e-5 in numerator and denominator (see [`PaperScores`]).
    Paper,
}

/// With fewer groups than this, percentile intervals over groups are far too short to be shown.
pub(crate) const FEWEST_GROUPS: usize = 8;

/// Which fields belong to which resampled unit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Units {
    /// Number of groups, a field without one counting as its own.
    pub(crate) groups: usize,
    /// `field` or the name of a group.
    pub(crate) name: String,
    /// Indices of the fields of each unit.
    pub(crate) members: Vec<Vec<usize>>,
    /// What a reader must know about the choice.
    pub(crate) note: String,
}

impl Units {
    pub(crate) fn new(fields: &[FieldScores], options: &BootstrapOptions) -> Self {
        let mut by_group: BTreeMap<(bool, &str), Vec<usize>> = BTreeMap::new();
        for (i, field) in fields.iter().enumerate() {
            let key = match &field.group {
                Some(group) => (true, group.as_str()),
                None => (false, field.name.as_str()),
            };
            by_group.entry(key).or_default().push(i);
        }
        let name = &options.group_name;
        let own = name == "field";
        let named = !own && fields.iter().any(|field| field.group.is_some());
        let groups = by_group.len();
        let by_field = match options.unit {
            UnitRule::Field => true,
            UnitRule::Group => !named,
            UnitRule::Auto => !named || groups < FEWEST_GROUPS,
        };
        let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        let mut note = if by_field {
            let why = match options.unit {
                _ if own => "each is a group of its own".to_owned(),
                _ if !named => format!("no {name} is known"),
                UnitRule::Field => "as asked".to_owned(),
                _ => format!(
                    "there {} only {}, fewer than {FEWEST_GROUPS}; fields of one {name} are alike, \
                     so the true uncertainty is larger",
                    if groups == 1 { "is" } else { "are" },
                    plural(groups, name)
                ),
            };
            format!(
                "intervals resample {}: {why}",
                plural(fields.len(), "field")
            )
        } else {
            format!("intervals resample {}", plural(groups, name))
        };
        let units = if by_field { fields.len() } else { groups };
        if units < FEWEST_GROUPS && units > 1 {
            note.push_str("; so few units make an interval too short");
        }
        let members = if by_field {
            (0..fields.len()).map(|i| vec![i]).collect()
        } else {
            by_group.into_values().collect()
        };
        let name = if by_field {
            "field".to_owned()
        } else {
            name.clone()
        };
        Self {
            groups,
            name,
            members,
            note,
        }
    }
}

/// Counts summed over fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) pixels: PixelCounts,
    pub(crate) paper: PaperScores,
    pub(crate) objects: ObjectCounts,
    pub(crate) shifted: ShiftedCounts,
    pub(crate) cells: ObjectCounts,
    pub(crate) splitting: SplittingCounts,
    pub(crate) boundaries: ByName<BoundaryCounts>,
    pub(crate) kinds: ByName<KindCounts>,
    pub(crate) calibration: CalibrationCounts,
    pub(crate) calibrated: CalibrationCounts,
}

impl Totals {
    pub(crate) fn add_field(&mut self, field: &FieldScores) -> Result<(), ScoreError> {
        if let Some(pixels) = &field.pixels {
            self.pixels.add(pixels)?;
        }
        if let Some(paper) = &field.paper {
            self.paper.add(paper)?;
        }
        if let Some(objects) = &field.objects {
            self.objects.add(objects);
        }
        if let Some(shifted) = &field.shifted {
            self.shifted.add(shifted);
        }
        if let Some(cells) = &field.cells {
            self.cells.add(cells);
        }
        if let Some(splitting) = &field.splitting {
            self.splitting.add(splitting);
        }
        self.boundaries
            .merge(&field.boundaries, BoundaryCounts::add);
        self.kinds.merge(&field.kinds, KindCounts::add);
        if let Some(calibration) = &field.calibration {
            self.calibration.add(calibration)?;
        }
        if let Some(calibrated) = &field.calibrated {
            self.calibrated.add(calibrated)?;
        }
        Ok(())
    }

    /// Adds another total. The class numbers were checked when the units were summed.
    pub(crate) fn add(&mut self, other: &Totals) {
        for (sum, part) in [
            (&mut self.pixels.classes, &other.pixels.classes),
            (&mut self.paper.classes, &other.paper.classes),
        ] {
            sum.resize(part.len().max(sum.len()), Default::default());
            for (sum, part) in sum.iter_mut().zip(part) {
                sum.add(part);
            }
        }
        self.pixels.correct += other.pixels.correct;
        self.pixels.kept += other.pixels.kept;
        self.pixels.ignored += other.pixels.ignored;
        self.objects.add(&other.objects);
        self.shifted.add(&other.shifted);
        self.cells.add(&other.cells);
        self.splitting.add(&other.splitting);
        self.boundaries
            .merge(&other.boundaries, BoundaryCounts::add);
        self.kinds.merge(&other.kinds, KindCounts::add);
        self.calibration.plus(&other.calibration);
        self.calibrated.plus(&other.calibrated);
    }
}
