//! The shift of each stain against the brightfield: found per group and per plate, used where
//! certain.
//!
//! Here: which fields are pooled, which estimate is used where, what is kept for the next run
//! (`truth/shifts.json`) and for people (`truth/shifts.csv`). Not here: the estimate itself
//! ([`stainfree_objects::shift_evidence`]), moving the stain (`truth`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use stainfree_image::{Field, Image, read_labels};
use stainfree_objects::{ShiftEstimate, ShiftEvidence, shift_evidence};
use stainfree_report::{brightfield_picture, overlay_labels, sheet};

use crate::config::ShiftChoice;
use crate::fields::FieldRow;
use crate::fingerprint::{Fingerprint, stamp_of};
use crate::study::{Source, Study};
use crate::{GroupRule, Job, ProjectError, truth};

/// Changes whenever the same images would give another estimate.
const FORMAT: u32 = 1;
/// Fields looked at in a group: a well of many sites is certain long before all are read.
const FIELDS_PER_GROUP: usize = 6;
/// Blocks that all groups of a plate are drawn from together.
const BLOCKS_PER_PLATE: usize = 48;

/// A stain of a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stain {
    /// The nuclear stain.
    Nucleus,
    /// The cytoplasmic stain.
    Cytoplasm,
}

impl Stain {
    /// Both, in the order of tables.
    pub const ALL: [Stain; 2] = [Stain::Nucleus, Stain::Cytoplasm];

    /// The word in tables and messages.
    pub fn name(self) -> &'static str {
        match self {
            Stain::Nucleus => "nucleus",
            Stain::Cytoplasm => "cytoplasm",
        }
    }

    /// Its channel in the study's images.
    pub(crate) fn channel(self, source: &Source) -> Option<usize> {
        match self {
            Stain::Nucleus => source.nucleus,
            Stain::Cytoplasm => source.cytoplasm,
        }
    }
}

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

#[derive(Serialize, Deserialize)]
struct Kept {
    key: String,
    shifts: Vec<GroupShift>,
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

    /// Finds the shifts of `study` as its config says, or takes those of last time if nothing has
    /// changed; they are kept in `keeper`, which is the study or a variant of it.
    pub(crate) fn find(study: &Study, keeper: &Study, job: &Job) -> Result<Self, ProjectError> {
        let config = &study.config().truth.shift;
        let source = &study.source()?;
        let rule = GroupRule::parse(&study.config().split.group)?;
        let groups = Groups::of(source, &rule)?;
        let found = match config.correct {
            ShiftChoice::Off => Vec::new(),
            ShiftChoice::Fixed => groups.fixed(study),
            ShiftChoice::Auto => {
                let key = groups.key(study, source)?;
                let path = kept_path(keeper);
                let kept = [&path, &kept_path(study)].into_iter().find_map(|path| {
                    let text = std::fs::read(path).ok()?;
                    let kept: Kept = serde_json::from_slice(&text).ok()?;
                    (kept.key == key).then_some(kept.shifts)
                });
                match kept {
                    Some(shifts) => shifts,
                    None => {
                        let shifts = groups.estimate(study, source, job)?;
                        let kept = Kept { key, shifts };
                        let text = serde_json::to_vec_pretty(&kept).map_err(|error| {
                            ProjectError::NotMade(format!("the shifts cannot be kept: {error}"))
                        })?;
                        stainfree_image::write_atomic(&path, &text)?;
                        kept.shifts
                    }
                }
            }
        };
        if config.correct != ShiftChoice::Off {
            write_table(keeper, &found)?;
        }
        Ok(Self { found, rule })
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

fn plate_of(field: &Field) -> String {
    field.position.plate.clone().unwrap_or_default()
}

/// The fields of a study by plate and group, at most [`FIELDS_PER_GROUP`] each, evenly spread.
struct Groups<'a>(BTreeMap<(String, String), Vec<&'a Field>>);

impl<'a> Groups<'a> {
    fn of(source: &'a Source, rule: &GroupRule) -> Result<Self, ProjectError> {
        let mut groups: BTreeMap<(String, String), Vec<&Field>> = BTreeMap::new();
        for field in &source.dataset.fields {
            let key = (plate_of(field), rule.group(field)?);
            groups.entry(key).or_default().push(field);
        }
        for fields in groups.values_mut() {
            let count = fields.len();
            if count > FIELDS_PER_GROUP {
                *fields = (0..FIELDS_PER_GROUP)
                    .map(|i| fields[i * count / FIELDS_PER_GROUP])
                    .collect();
            }
        }
        Ok(Self(groups))
    }

    /// A hash of all that the estimates depend on.
    fn key(&self, study: &Study, source: &Source) -> Result<String, ProjectError> {
        let mut hash = Fingerprint::new(FORMAT);
        hash.value(&study.config().without_places().images);
        hash.value(&study.config().truth.shift);
        for ((plate, group), fields) in &self.0 {
            hash.text(plate);
            hash.text(group);
            for field in fields {
                let stains = Stain::ALL
                    .into_iter()
                    .filter_map(|stain| stain.channel(source));
                // Fields that cannot be read say nothing; `prepare` reports them.
                let Ok(planes) = source.brightfield.planes_of(field) else {
                    continue;
                };
                let channels = planes.iter().map(|&(channel, _)| channel).chain(stains);
                let planes = channels.flat_map(|channel| field.planes[channel].iter().flatten());
                hash.stamps(planes.map(stamp_of).collect::<Result<_, _>>()?);
            }
        }
        Ok(hash.finish())
    }

    /// The shifts that the config gives.
    fn fixed(&self, study: &Study) -> Vec<GroupShift> {
        let config = &study.config().truth.shift;
        let of = |(plate, group): &(String, String), stain: Stain| {
            let [dy_px, dx_px] = match stain {
                Stain::Nucleus => config.nucleus_px,
                Stain::Cytoplasm => config.cytoplasm_px,
            };
            GroupShift {
                found_in: FoundIn::Config,
                dy_px,
                dx_px,
                ..GroupShift::unknown(plate, group, stain, None)
            }
        };
        let truth = &study.config().truth;
        let has = |stain: &Stain| match stain {
            Stain::Nucleus => truth.nucleus.is_some(),
            Stain::Cytoplasm => truth.cytoplasm.is_some(),
        };
        self.0
            .keys()
            .flat_map(|key| {
                Stain::ALL
                    .into_iter()
                    .filter(has)
                    .map(|stain| of(key, stain))
            })
            .collect()
    }

    fn estimate(
        &self,
        study: &Study,
        source: &Source,
        job: &Job,
    ) -> Result<Vec<GroupShift>, ProjectError> {
        let limit = study.config().truth.shift.max_radius_px;
        let total = self.0.len();
        let mut found = Vec::new();
        for stain in Stain::ALL {
            let Some(channel) = stain.channel(source) else {
                continue;
            };
            let done = AtomicUsize::new(0);
            // A group's tiles are needed for its own estimate only; its sums go on to the plate's.
            let own: Vec<(Option<ShiftEstimate>, ShiftEvidence)> = job.run(|| {
                self.0
                    .par_iter()
                    .map(|((plate, _), fields)| {
                        if job.cancel.is_stopped() {
                            return (None, ShiftEvidence::pooled([]));
                        }
                        let parts: Vec<ShiftEvidence> = fields
                            .par_iter()
                            .map(|field| evidence(source, field, channel))
                            .collect();
                        let evidence = ShiftEvidence::pooled(parts);
                        let groups = self.0.keys().filter(|key| key.0 == *plate).count();
                        let estimate = evidence.estimate();
                        job.progress.step(
                            done.fetch_add(1, Ordering::SeqCst) + 1,
                            total,
                            &format!("shift of the {} stain", stain.name()),
                        );
                        (estimate, evidence.merged(BLOCKS_PER_PLATE.div_ceil(groups)))
                    })
                    .collect()
            })?;
            job.cancel.check()?;
            let mut plates: BTreeMap<&str, Vec<ShiftEvidence>> = BTreeMap::new();
            for ((plate, _), (_, evidence)) in self.0.keys().zip(&own) {
                plates.entry(plate).or_default().push(evidence.clone());
            }
            let plates: BTreeMap<&str, Option<ShiftEstimate>> = plates
                .into_iter()
                .map(|(plate, parts)| (plate, ShiftEvidence::pooled(parts).estimate()))
                .collect();
            for ((plate, group), (own, _)) in self.0.keys().zip(&own) {
                let whole = plates.get(plate.as_str()).copied().flatten();
                let unknown = GroupShift::unknown(plate, group, stain, *own);
                found.push(match choose(*own, whole, limit) {
                    Some((found_in, estimate)) => GroupShift {
                        found_in,
                        dy_px: estimate.dy_px,
                        dx_px: estimate.dx_px,
                        radius95_px: Some(estimate.radius95_px),
                        ..unknown
                    },
                    None => unknown,
                });
            }
        }
        Ok(found)
    }
}

/// The estimate to use for a group: its own or the plate's, whichever is certain.
///
/// Where both are certain and agree, the surer one; where they do not, the group's own: wells
/// differ. An uncertain group takes the plate's only if its own does not contradict it.
fn choose(
    own: Option<ShiftEstimate>,
    plate: Option<ShiftEstimate>,
    limit_px: f64,
) -> Option<(FoundIn, ShiftEstimate)> {
    let plate = plate.filter(|estimate| {
        estimate.is_certain(limit_px) && own.is_none_or(|own| own.agrees_with(estimate))
    });
    let own = own.filter(|estimate| estimate.is_certain(limit_px));
    match (own, plate) {
        (Some(own), Some(plate)) if plate.radius95_px < own.radius95_px => {
            Some((FoundIn::Plate, plate))
        }
        (Some(own), _) => Some((FoundIn::Group, own)),
        (None, Some(plate)) => Some((FoundIn::Plate, plate)),
        (None, None) => None,
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

/// What a field says; nothing where it cannot be read, which `prepare` reports.
fn evidence(source: &Source, field: &Field, channel: usize) -> ShiftEvidence {
    let read = || -> Result<ShiftEvidence, ProjectError> {
        let planes: Vec<Image<f32>> = source
            .brightfield
            .read(field)?
            .iter()
            .map(|plane| plane.to_f32())
            .collect();
        let stain = truth::read_middle(field, channel)?.to_f32();
        shift_evidence(&planes, &stain).map_err(|error| ProjectError::Failed(error.to_string()))
    };
    read().unwrap_or_else(|_| ShiftEvidence::pooled([]))
}

fn kept_path(study: &Study) -> PathBuf {
    study.root().join("truth").join("shifts.json")
}

fn write_table(study: &Study, shifts: &[GroupShift]) -> Result<(), ProjectError> {
    let path = study.root().join("truth").join("shifts.csv");
    crate::table::write(&path, shifts)
}

/// Groups shown in the picture of the shifts.
const SHOWN: usize = 6;
/// Side of what is shown of a field, pixels: a shift of a pixel or two can be seen.
const SHOWN_SIDE: usize = 200;
/// Enlargement of it.
const ENLARGED: usize = 2;

/// `truth/shifts.png`: the nuclei of one field of some groups as the stain lay, and as it was moved
/// back.
///
/// Called when the truth of all fields is written; fields that cannot be read are left out.
pub(crate) fn draw(
    study: &Study,
    source: &Source,
    shifts: &Shifts,
    rows: &[FieldRow],
) -> Result<(), ProjectError> {
    let fields = source.by_name();
    let mut groups: Vec<&str> = Vec::new();
    let mut drawn: Vec<(String, [Image<[u8; 3]>; 2])> = Vec::new();
    for row in rows.iter().filter(|row| row.is_usable()) {
        let Some(field) = fields.get(row.name.as_str()) else {
            continue;
        };
        let Some(shift) = shifts.of(field, Stain::Nucleus) else {
            continue;
        };
        if groups.contains(&row.group.as_str()) || drawn.len() == SHOWN {
            continue;
        }
        let (Ok(planes), Ok(nuclei)) = (
            source.brightfield.read(field),
            read_labels(&study.nuclei_path(&field.name)),
        ) else {
            continue;
        };
        groups.push(&row.group);
        let light = brightfield_picture(&planes[planes.len() / 2].to_f32());
        let (height, width) = light.size();
        let (h, w) = (height.min(SHOWN_SIDE), width.min(SHOWN_SIDE));
        let (top, left) = ((height - h) / 2, (width - w) / 2);
        let window = |nuclei: &Image<u32>| -> Result<Image<[u8; 3]>, ProjectError> {
            let large = |y: usize, x: usize| (top + y / ENLARGED, left + x / ENLARGED);
            let picture = Image::from_fn(h * ENLARGED, w * ENLARGED, |y, x| {
                let (y, x) = large(y, x);
                light.get(y, x)
            });
            let labels = Image::from_fn(h * ENLARGED, w * ENLARGED, |y, x| {
                let (y, x) = large(y, x);
                nuclei.get(y, x)
            });
            Ok(overlay_labels(&picture, &labels)?)
        };
        // As the stain lay: to whole pixels, which is enough for the eye.
        let (dy, dx) = (shift.dy_px.round() as isize, shift.dx_px.round() as isize);
        let before = Image::from_fn(height, width, |y, x| {
            let (y, x) = (y as isize - dy, x as isize - dx);
            let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
            if inside {
                nuclei.get(y as usize, x as usize)
            } else {
                0
            }
        });
        let title = format!("{} {:+.1}, {:+.1} px", field.name, shift.dy_px, shift.dx_px);
        drawn.push((title, [window(&before)?, window(&nuclei)?]));
    }
    let path = study.root().join("truth").join("shifts.png");
    if drawn.is_empty() {
        // That of an earlier run shows what is no longer so.
        return crate::vouched::remove(&path);
    }
    let rows: Vec<(&str, Vec<&Image<[u8; 3]>>)> = drawn
        .iter()
        .map(|(title, pair)| (title.as_str(), pair.iter().collect()))
        .collect();
    Ok(stainfree_image::write::png_rgb(
        &path,
        &sheet(&["as the stain lay", "moved back"], &rows),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(dy_px: f64, radius95_px: f64) -> Option<ShiftEstimate> {
        Some(ShiftEstimate {
            dy_px,
            dx_px: 0.0,
            radius95_px,
            explained: 0.2,
            tiles: 20,
        })
    }

    #[test]
    fn a_well_overrules_its_plate_only_where_it_is_sure_and_differs() {
        let used = |own, plate| choose(own, plate, 0.5).map(|(found_in, e)| (found_in, e.dy_px));
        let plate = estimate(3.0, 0.1);
        assert_eq!(used(estimate(3.2, 0.3), plate), Some((FoundIn::Plate, 3.0)));
        assert_eq!(used(estimate(4.0, 0.3), plate), Some((FoundIn::Group, 4.0)));
        assert_eq!(used(estimate(4.0, 2.0), plate), Some((FoundIn::Plate, 3.0)));
        // Not sure, but sure enough that the plate's shift is not its own.
        assert_eq!(used(estimate(9.0, 2.0), plate), None);
        assert_eq!(used(None, plate), Some((FoundIn::Plate, 3.0)));
        assert_eq!(used(estimate(4.0, 0.6), estimate(4.0, 0.6)), None);
        assert_eq!(used(estimate(4.0, 0.4), None), Some((FoundIn::Group, 4.0)));
    }
}
