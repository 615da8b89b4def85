//! Which fields are read, and when a flat field is used.

use std::collections::BTreeMap;

use stainfree_image::{Field, Image};
use stainfree_objects::{FlatField, blank_pixels, coarse, fill_blank};

use super::PlateLight;
use crate::study::each_field::EachField;
use crate::study::{Source, Study, read_middle};
use crate::truth::stain::Stain;
use crate::{Job, ProjectError};

/// Fields that are read of a plate: more make the estimate no better.
const MOST_FIELDS: usize = 64;
/// Used only if the light varies at least so much (standard deviation): less does no harm.
const LEAST_UNEVENNESS: f64 = 0.01;

/// The fields of each plate, at most [`MOST_FIELDS`], evenly spread.
pub(super) fn plates_of(source: &Source) -> BTreeMap<String, Vec<&Field>> {
    let mut plates: BTreeMap<String, Vec<&Field>> = BTreeMap::new();
    for field in &source.dataset.fields {
        plates
            .entry(field.position.plate.clone().unwrap_or_default())
            .or_default()
            .push(field);
    }
    for fields in plates.values_mut() {
        let count = fields.len();
        if count > MOST_FIELDS {
            *fields = (0..MOST_FIELDS)
                .map(|i| fields[i * count / MOST_FIELDS])
                .collect();
        }
    }
    plates
}

/// Size and coarse image of a field.
type Seen = ((usize, usize), Image<f32>);

/// The flat fields of each stain and plate, those that are not used as well.
///
/// # Errors
/// [`ProjectError::Cancelled`].
pub(super) fn estimate(
    study: &Study,
    source: &Source,
    plates: &BTreeMap<String, Vec<&Field>>,
    job: &Job,
) -> Result<Vec<PlateLight>, ProjectError> {
    let offset = study.config().truth.illumination.camera_offset;
    let mut lights = Vec::new();
    for stain in Stain::ALL {
        let Some(channel) = stain.channel(source) else {
            continue;
        };
        for (plate, fields) in plates {
            let message = |_: &&Field| format!("light of the {} stain", stain.name());
            let seen: Vec<Option<Seen>> = EachField::new(job, fields, message).at_once(
                |field| see(field, channel).map(Some),
                // A field that cannot be read says nothing here; `prepare` reports it.
                |_, _| Ok(None),
            )?;
            let Some(size) = seen.iter().flatten().map(|(size, _)| *size).next() else {
                continue;
            };
            let seen = seen.into_iter().flatten();
            let alike = seen.filter(|(other, _)| *other == size);
            let alike: Vec<Image<f32>> = alike.map(|(_, coarse)| coarse).collect();
            lights.extend(FlatField::estimate(&alike, offset).map(|flat| {
                let unevenness = flat.unevenness();
                let mut light = PlateLight {
                    plate: plate.clone(),
                    stain,
                    size,
                    used: false,
                    unevenness,
                    flat,
                };
                light.used = light.is_certain() && unevenness >= LEAST_UNEVENNESS;
                light
            }));
        }
    }
    Ok(lights)
}

/// What the estimate takes of a field.
fn see(field: &Field, channel: usize) -> Result<Seen, ProjectError> {
    let plane = read_middle(field, channel)?.to_f32();
    let blank = blank_pixels(&plane);
    let filled = blank.map(|blank| fill_blank(&plane, &blank));
    let plane = filled.as_ref().unwrap_or(&plane);
    Ok((plane.size(), coarse(plane)))
}
