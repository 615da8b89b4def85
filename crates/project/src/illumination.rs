//! The flat field of each stain: estimated from the fields of a plate, kept, shown, used where it
//! is certain.
//!
//! Here: which fields are read, when a flat field is used, what is kept for the next run
//! (`truth/illumination.json`) and for people (`truth/illumination/NAME.tif`,
//! `truth/illumination.png`). Not here: the estimate itself ([`stainfree_objects::FlatField`]).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use stainfree_image::{Field, Image, Product, write};
use stainfree_objects::{FlatField, blank_pixels, coarse, fill_blank};
use stainfree_report::{brightfield_picture, scale_down, sheet};

use crate::config::IlluminationChoice;
use crate::fingerprint::{Fingerprint, stamp_of};
use crate::registration::Stain;
use crate::study::{Source, Study};
use crate::{Job, ProjectError, truth};

/// Changes whenever the same images would give another flat field.
const FORMAT: u32 = 2;
/// Fields that are read of a plate: more make the estimate no better.
const MOST_FIELDS: usize = 64;
/// Used only if the estimates from the even and from the odd fields correlate at least so much.
const LEAST_AGREEMENT: f64 = 0.8;
/// Used only if the light varies at least so much (standard deviation): less does no harm.
const LEAST_UNEVENNESS: f64 = 0.01;
/// Longest side of a flat field in the picture.
const SHOWN_SIDE: usize = 256;

/// The flat field of one stain on one plate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlateLight {
    /// The plate, where it has a name.
    pub plate: String,
    /// Which stain.
    pub stain: Stain,
    /// Rows and columns of its fields.
    pub size: (usize, usize),
    /// The estimate.
    pub flat: FlatField,
    /// Standard deviation of the relative light over the field.
    pub unevenness: f64,
    /// Whether the stains are corrected by it.
    pub used: bool,
}

impl PlateLight {
    /// Whether two halves of the fields give the same light.
    pub fn is_certain(&self) -> bool {
        self.flat.agreement >= LEAST_AGREEMENT
    }
}

/// The flat fields of a study.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Lights(Vec<PlateLight>);

#[derive(Serialize, Deserialize)]
struct Kept {
    key: String,
    lights: Vec<PlateLight>,
}

impl Lights {
    /// The flat field to correct a stain of `field` by; `None` where none is used.
    pub(crate) fn of(&self, field: &Field, stain: Stain) -> Option<&FlatField> {
        let plate = field.position.plate.as_deref().unwrap_or_default();
        self.0
            .iter()
            .find(|light| light.used && light.stain == stain && light.plate == plate)
            .map(|light| &light.flat)
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[PlateLight] {
        &self.0
    }

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
        crate::vouched::remove(&path)?;
        save(study, &lights)?;
        let kept = Kept { key, lights };
        let text = serde_json::to_vec_pretty(&kept).map_err(|error| {
            ProjectError::NotMade(format!("the flat fields cannot be kept: {error}"))
        })?;
        stainfree_image::write_atomic(&path, &text)?;
        Ok(Self(kept.lights))
    }
}

/// The fields of each plate, at most [`MOST_FIELDS`], evenly spread.
fn plates_of(source: &Source) -> BTreeMap<String, Vec<&Field>> {
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

fn key(
    study: &Study,
    source: &Source,
    plates: &BTreeMap<String, Vec<&Field>>,
) -> Result<String, ProjectError> {
    let mut hash = Fingerprint::new(FORMAT);
    hash.value(&study.config().without_places().images);
    hash.value(&study.config().truth.illumination);
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

/// Size and coarse image of a field.
type Seen = ((usize, usize), Image<f32>);

fn estimate(
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
            let done = AtomicUsize::new(0);
            // A field that cannot be read says nothing here; `prepare` reports it.
            let seen: Vec<Option<Seen>> = job.run(|| {
                fields
                    .par_iter()
                    .map(|field| {
                        if job.cancel.is_stopped() {
                            return None;
                        }
                        let plane = truth::read_middle(field, channel).ok()?.to_f32();
                        let count = done.fetch_add(1, Ordering::SeqCst) + 1;
                        let what = format!("light of the {} stain", stain.name());
                        job.progress.step(count, fields.len(), &what);
                        let blank = blank_pixels(&plane);
                        let filled = blank.map(|blank| fill_blank(&plane, &blank));
                        let plane = filled.as_ref().unwrap_or(&plane);
                        Some((plane.size(), coarse(plane)))
                    })
                    .collect()
            })?;
            job.cancel.check()?;
            let Some(size) = seen.iter().flatten().map(|(size, _)| *size).next() else {
                continue;
            };
            let alike: Vec<Image<f32>> = seen
                .into_iter()
                .flatten()
                .filter(|(other, _)| *other == size)
                .map(|(_, coarse)| coarse)
                .collect();
            let Some(flat) = FlatField::estimate(&alike, offset) else {
                continue;
            };
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
            lights.push(light);
        }
    }
    Ok(lights)
}

/// Writes every flat field as TIFF (f32, mean 1), and one picture of all.
fn save(study: &Study, lights: &[PlateLight]) -> Result<(), ProjectError> {
    if lights.is_empty() {
        return Ok(());
    }
    let store = study.truth();
    let folder = store.folder(Product::Illumination);
    std::fs::create_dir_all(&folder).map_err(|error| ProjectError::write(&folder, &error))?;
    let mut drawn: Vec<(String, Image<[u8; 3]>)> = Vec::new();
    for light in lights {
        let name = match light.plate.as_str() {
            "" => light.stain.name().to_owned(),
            plate => format!("{plate}_{}", light.stain.name()),
        };
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
        store.put_planes(
            Product::Illumination,
            &name,
            std::slice::from_ref(&image),
            &note,
        )?;
        let (low, high) = image
            .data()
            .iter()
            .fold((f32::INFINITY, 0.0f32), |(l, h), &v| (l.min(v), h.max(v)));
        let used = if light.used { "used" } else { "not used" };
        drawn.push((
            format!("{name} {low:.2} to {high:.2} {used}"),
            scale_down(&brightfield_picture(&image), SHOWN_SIDE),
        ));
    }
    let rows: Vec<(&str, Vec<&Image<[u8; 3]>>)> = drawn
        .iter()
        .map(|(title, picture)| (title.as_str(), vec![picture]))
        .collect();
    let path = study.root().join("truth").join("illumination.png");
    Ok(write::png_rgb(&path, &sheet(&["relative light"], &rows))?)
}
