//! What is kept of the shifts for the next run (`truth/shifts.json`) and for people
//! (`truth/shifts.csv`).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::estimate::Groups;
use super::{GroupShift, Shifts};
use crate::study::config::ShiftChoice;
use crate::study::fingerprint::{Fingerprint, stamp_of};
use crate::study::{Source, Study, table};
use crate::truth::stain::Stain;
use crate::{GroupRule, Job, ProjectError};

/// Changes whenever the same images would give another estimate.
const FORMAT: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Kept {
    key: String,
    shifts: Vec<GroupShift>,
}

impl Shifts {
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
            ShiftChoice::Auto => kept_or(study, keeper, key(&groups, study, source)?, || {
                groups.estimate(study, source, job)
            })?,
        };
        if config.correct != ShiftChoice::Off {
            write_table(keeper, &found)?;
        }
        Ok(Self { found, rule })
    }
}

/// A hash of all that the estimates depend on.
fn key(groups: &Groups, study: &Study, source: &Source) -> Result<String, ProjectError> {
    let mut hash = Fingerprint::new(FORMAT);
    hash.value(&study.config().without_places().images);
    let truth = &study.config().truth;
    hash.value(&truth.shift);
    // The stamps tell which planes there are, and not which of them is which stain.
    hash.value(&(&truth.nucleus, &truth.cytoplasm));
    for ((plate, group), fields) in groups.iter() {
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

/// The shifts of last time where `key` is the same, else those that `estimate` gives, kept in
/// `keeper`.
fn kept_or(
    study: &Study,
    keeper: &Study,
    key: String,
    estimate: impl FnOnce() -> Result<Vec<GroupShift>, ProjectError>,
) -> Result<Vec<GroupShift>, ProjectError> {
    let path = kept_path(keeper);
    let kept = [&path, &kept_path(study)].into_iter().find_map(|path| {
        let text = std::fs::read(path).ok()?;
        let kept: Kept = serde_json::from_slice(&text).ok()?;
        (kept.key == key).then_some(kept.shifts)
    });
    if let Some(shifts) = kept {
        return Ok(shifts);
    }
    let shifts = estimate()?;
    let kept = Kept { key, shifts };
    let text = serde_json::to_vec_pretty(&kept)
        .map_err(|error| ProjectError::NotMade(format!("the shifts cannot be kept: {error}")))?;
    stainfree_image::write_atomic(&path, &text)?;
    Ok(kept.shifts)
}

fn kept_path(study: &Study) -> PathBuf {
    study.root().join("truth").join("shifts.json")
}

fn write_table(study: &Study, shifts: &[GroupShift]) -> Result<(), ProjectError> {
    let path = study.root().join("truth").join("shifts.csv");
    table::write(&path, shifts)
}
