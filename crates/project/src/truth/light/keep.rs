//! What is kept of the flat fields for the next run (`truth/illumination.json`) and for people
//! (`truth/illumination/NAME.tif`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stainfree_image::{Field, Product, write};

use super::draw::draw;
use super::estimate::{estimate, plates_of};
use super::{Lights, PlateLight};
use crate::study::config::IlluminationChoice;
use crate::study::disk::{create_folder, remove};
use crate::study::fingerprint::{Fingerprint, stamp_of};
use crate::study::{Source, Study};
use crate::truth::stain::Stain;
use crate::{Job, ProjectError};

/// Changes whenever the same images would give another flat field.
const FORMAT: u32 = 3;

#[derive(Serialize, Deserialize)]
struct Kept {
    key: String,
    lights: Vec<PlateLight>,
}

impl Lights {
    /// Estimates the flat fields, or takes those of last time if nothing has changed.
    pub(crate) fn find(study: &Study, source: &Source, job: &Job) -> Result<Self, ProjectError> {
        if study.config().truth.illumination.correct == IlluminationChoice::Off {
            return Ok(Self::default());
        }
        let plates = plates_of(source);
        let key = key(study, source, &plates)?;
        let path = study.root().join("truth").join("illumination.json");
        let kept = std::fs::read(&path)
            .ok()
            .and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
        if let Some(kept) = kept.filter(|kept| kept.key == key) {
            return Ok(Self(kept.lights));
        }
        let lights = estimate(study, source, &plates, job)?;
        // Killed on the way, going back to the choices of last time must not find its pictures.
        remove(&path)?;
        if !lights.is_empty() {
            save(study, &lights)?;
            draw(study, &lights)?;
        }
        let kept = Kept { key, lights };
        let text = serde_json::to_vec_pretty(&kept).map_err(|error| {
            ProjectError::NotMade(format!("the flat fields cannot be kept: {error}"))
        })?;
        stainfree_image::write_atomic(&path, &text)?;
        Ok(Self(kept.lights))
    }
}

fn key(
    study: &Study,
    source: &Source,
    plates: &BTreeMap<String, Vec<&Field>>,
) -> Result<String, ProjectError> {
    let mut hash = Fingerprint::new(FORMAT);
    hash.value(&study.config().without_places().images);
    let truth = &study.config().truth;
    hash.value(&truth.illumination);
    // The stamps tell which planes there are, and not which of them is which stain.
    hash.value(&(&truth.nucleus, &truth.cytoplasm));
    for (plate, fields) in plates {
        hash.text(plate);
        let stains = Stain::ALL.map(|stain| stain.channel(source));
        let planes = fields.iter().flat_map(|field| {
            let stains = stains.iter().flatten();
            stains.flat_map(|&channel| field.planes[channel].iter().flatten())
        });
        hash.stamps(planes.map(stamp_of).collect::<Result<_, _>>()?);
    }
    Ok(hash.finish())
}

/// Writes every flat field as TIFF (f32, mean 1).
fn save(study: &Study, lights: &[PlateLight]) -> Result<(), ProjectError> {
    let store = study.truth();
    create_folder(&store.folder(Product::Illumination))?;
    for light in lights {
        let image = light.flat.image(light.size.0, light.size.1);
        let note = write::Note {
            text: format!(
                "stainfree {} relative light of the {} stain; background {:.1} counts",
                env!("CARGO_PKG_VERSION"),
                light.stain.name(),
                light.flat.background
            ),
            pixel_um: None,
        };
        let planes = std::slice::from_ref(&image);
        store.put_planes(Product::Illumination, &light.name(), planes, &note)?;
    }
    Ok(())
}
