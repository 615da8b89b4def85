//! Which fields are pooled, and which estimate is used for a group.

use std::collections::BTreeMap;

use rayon::prelude::*;
use stainfree_image::{Field, Image};
use stainfree_objects::{ShiftEstimate, ShiftEvidence, shift_evidence};

use super::{FoundIn, GroupShift, plate_of};
use crate::study::each_field::EachField;
use crate::study::{Source, Study, read_middle};
use crate::truth::stain::Stain;
use crate::{GroupRule, Job, ProjectError};

/// Fields looked at in a group: a well of many sites is certain long before all are read.
const FIELDS_PER_GROUP: usize = 6;
/// Blocks that all groups of a plate are drawn from together.
const BLOCKS_PER_PLATE: usize = 48;

/// The fields of a study by plate and group, at most [`FIELDS_PER_GROUP`] each, evenly spread.
pub(super) struct Groups<'a>(BTreeMap<(String, String), Vec<&'a Field>>);

impl<'a> Groups<'a> {
    /// Those of `source` under `rule`.
    ///
    /// # Errors
    /// A field has no group.
    pub(super) fn of(source: &'a Source, rule: &GroupRule) -> Result<Self, ProjectError> {
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

    /// Plate, group and fields of each.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&(String, String), &Vec<&'a Field>)> {
        self.0.iter()
    }

    /// The shifts that the config gives.
    pub(super) fn fixed(&self, study: &Study) -> Vec<GroupShift> {
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

    /// The shift of every group and stain, certain or not.
    ///
    /// # Errors
    /// [`ProjectError::Cancelled`].
    pub(super) fn estimate(
        &self,
        study: &Study,
        source: &Source,
        job: &Job,
    ) -> Result<Vec<GroupShift>, ProjectError> {
        let limit = study.config().truth.shift.max_radius_px;
        let mut found = Vec::new();
        for stain in Stain::ALL {
            let Some(channel) = stain.channel(source) else {
                continue;
            };
            let own = self.own_evidence(source, stain, channel, job)?;
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

    /// What each group says by itself, and its sums, which go on to the plate's.
    fn own_evidence(
        &self,
        source: &Source,
        stain: Stain,
        channel: usize,
        job: &Job,
    ) -> Result<Vec<(Option<ShiftEstimate>, ShiftEvidence)>, ProjectError> {
        let groups: Vec<(&(String, String), &Vec<&Field>)> = self.0.iter().collect();
        let message = |_: &_| format!("shift of the {} stain", stain.name());
        EachField::new(job, &groups, message).at_once(
            |((plate, _), fields)| {
                let parts: Vec<ShiftEvidence> = fields
                    .par_iter()
                    .map(|field| evidence(source, field, channel))
                    .collect();
                let evidence = ShiftEvidence::pooled(parts);
                let groups = self.0.keys().filter(|key| key.0 == *plate).count();
                let estimate = evidence.estimate();
                // A group's tiles are needed for its own estimate only.
                let sums = evidence.merged(BLOCKS_PER_PLATE.div_ceil(groups));
                Ok((estimate, sums))
            },
            |_, error| Err(error),
        )
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

/// What a field says; nothing where it cannot be read, which `prepare` reports.
fn evidence(source: &Source, field: &Field, channel: usize) -> ShiftEvidence {
    let read = || -> Result<ShiftEvidence, ProjectError> {
        let planes: Vec<Image<f32>> = source
            .brightfield
            .read(field)?
            .iter()
            .map(|plane| plane.to_f32())
            .collect();
        let stain = read_middle(field, channel)?.to_f32();
        shift_evidence(&planes, &stain).map_err(|error| ProjectError::Failed(error.to_string()))
    };
    read().unwrap_or_else(|_| ShiftEvidence::pooled([]))
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
