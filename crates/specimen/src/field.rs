//! One field: cells, light, camera and the exact truth.

use rayon::prelude::*;
use rustfft::num_complex::Complex32;
use stainfree_image::Image;

use crate::camera::{Channel, Dust, Illumination, expose};
use crate::error::SpecimenError;
use crate::fft::{Spectrum, Transform, fast_length};
use crate::matter::Matter;
use crate::noise::Noise;
use crate::population::{Cell, populate};
use crate::raster::Territory;
use crate::rng::{Key, NormalTable, Purpose};
use crate::spec::{Degrade, PlateSpec};
use crate::transfer::{Radial, WeakObject, fluorescence};
use crate::truth::Truth;

/// A simulated field: what the camera saw and what was there.
#[derive(Clone, Debug)]
pub struct SimulatedField {
    /// Name, such as `B02_s1`.
    pub name: String,
    /// Well, such as `B02`.
    pub well: String,
    /// Site, from 1.
    pub site: u32,
    /// Pixel size in um.
    pub pixel_um: f64,
    /// Brightfield planes, ascending in height; `[side, side]` counts of a 16-bit camera.
    pub brightfield: Vec<Image<u16>>,
    /// Height in um of the focal plane of each brightfield plane above the cells.
    pub defocus_um: Vec<f64>,
    /// Nuclear stain; none on an unstained plate.
    pub nuclear: Option<Image<u16>>,
    /// Mitochondrial (cytoplasmic) stain; none on an unstained plate.
    pub cytoplasmic: Option<Image<u16>>,
    /// What is there, in brightfield coordinates.
    pub truth: Truth,
}

/// Least margin in um around the field: further than light of the field is spread by defocus and
/// haze, so that the wrap of the Fourier transform stays outside.
const MARGIN_UM: f64 = 20.0;

/// The transmitted light; 1 is the empty field.
const BRIGHTFIELD: Channel = Channel {
    electrons: 11_000.0,
    background: 0.0,
    read_noise: 1.6,
};

/// What the stains' optics and staining look like on a plate.
struct StainSettings {
    haze: f64,
    nuclear: Channel,
    cytoplasmic: Channel,
    unevenness: f32,
    bleed: f32,
}

impl StainSettings {
    fn new(degrade: Degrade) -> Self {
        match degrade {
            Degrade::Clean => StainSettings {
                haze: 0.22,
                nuclear: Channel {
                    electrons: 4200.0,
                    background: 110.0,
                    read_noise: 1.6,
                },
                cytoplasmic: Channel {
                    electrons: 5200.0,
                    background: 130.0,
                    read_noise: 1.6,
                },
                unevenness: 0.06,
                bleed: 0.0,
            },
            // The nuclear gain was raised so far that dense nuclei saturate; the cytoplasmic
            // exposure is far too short.
            Degrade::Hard => StainSettings {
                haze: 0.5,
                nuclear: Channel {
                    electrons: 20_000.0,
                    background: 900.0,
                    read_noise: 9.0,
                },
                cytoplasmic: Channel {
                    electrons: 900.0,
                    background: 420.0,
                    read_noise: 9.0,
                },
                unevenness: 0.22,
                bleed: 0.12,
            },
        }
    }
}

/// Spread in um of light from outside the focal plane.
const HAZE_SIGMA_UM: f64 = 5.0;
/// Emission wavelengths in um of a nuclear stain of the Hoechst kind and a mitochondrial stain of
/// the MitoTracker Red kind.
const EMISSION_UM: [f64; 2] = [0.46, 0.60];

/// Simulates field `site` of well `well` (both from 0).
///
/// The result depends on `spec` and the two numbers alone: not on the thread count, nor on other
/// fields.
///
/// # Errors
/// [`SpecimenError::Spec`] if a value of `spec`, the well or the site cannot be simulated.
pub fn simulate_field(
    spec: &PlateSpec,
    well: usize,
    site: usize,
) -> Result<SimulatedField, SpecimenError> {
    spec.validate()?;
    let in_range = |name, value: usize, count| {
        if value < count {
            return Ok(());
        }
        Err(SpecimenError::Spec {
            name,
            value: value.to_string(),
            way_out: "the plate has fewer; they are counted from 0",
        })
    };
    in_range("well", well, spec.wells)?;
    in_range("site", site, spec.sites)?;

    let plate = Key::new(spec.seed).purpose(Purpose::Plate);
    let key = plate.with(well as u64).with(site as u64);
    let least = (MARGIN_UM / spec.pixel_um).ceil() as usize;
    let side = fast_length(spec.side + 2 * least);
    let margin = (side - spec.side) / 2;

    let cells = populate(spec, key, side);
    let territory = divide(spec, key, &cells, side, margin);
    let matter = Matter::fill(spec, key, &cells, &territory);
    let truth = Truth::new(spec, &cells, &territory, margin);
    drop((cells, territory));

    let table = NormalTable::new();
    let transform = Transform::new(side);
    let (brightfield, defocus_um) =
        see_brightfield(spec, plate, key, &matter, &transform, &table, margin);
    let stains = if spec.unstained {
        None
    } else {
        Some(see_stains(
            spec, plate, key, &matter, &transform, &table, margin,
        ))
    };
    let (nuclear, cytoplasmic) = stains.unzip();
    Ok(SimulatedField {
        name: spec.field_name(well, site),
        well: spec.well_name(well),
        site: site as u32 + 1,
        pixel_um: spec.pixel_um,
        brightfield,
        defocus_um,
        nuclear,
        cytoplasmic,
        truth,
    })
}

fn divide(spec: &PlateSpec, key: Key, cells: &[Cell], side: usize, margin: usize) -> Territory {
    // Free edges are rough at about 4 um.
    let grain = (2.0 / spec.pixel_um) as f32;
    let ruffle = Noise::new(key.purpose(Purpose::Ruffle), side, grain.max(1.0));
    Territory::divide(cells, side, margin, spec.confluence, &ruffle)
}

/// Height in um of the nominal focal plane of a field above its cells: the optics' offset, a share
/// that the whole plate has, and the autofocus' error of the field.
fn focus_um(spec: &PlateSpec, plate: Key, key: Key) -> f64 {
    let restless = if spec.degrade == Degrade::Hard {
        2.5
    } else {
        1.0
    };
    let of_plate = plate.purpose(Purpose::Focus).stream().between(-0.3, 0.3);
    let of_field = 0.2
        * restless
        * key
            .purpose(Purpose::Focus)
            .stream()
            .normal()
            .clamp(-2.5, 2.5);
    spec.optics.focus_offset_um + f64::from(of_plate + of_field)
}

/// The brightfield planes and their heights above the cells.
fn see_brightfield(
    spec: &PlateSpec,
    plate: Key,
    key: Key,
    matter: &Matter,
    transform: &Transform,
    table: &NormalTable,
    margin: usize,
) -> (Vec<Image<u16>>, Vec<f64>) {
    let side = transform.side();
    let focus = focus_um(spec, plate, key);
    let heights: Vec<f64> = spec.plane_heights_um().iter().map(|z| z + focus).collect();
    let spectrum = transform.forward(&matter.phase, &matter.absorption);
    let optics: Vec<WeakObject> = heights
        .par_iter()
        .map(|&z| WeakObject::new(&spec.optics, z))
        .collect();
    let illumination = Illumination::new(
        plate.purpose(Purpose::Illumination).with(0),
        if spec.degrade == Degrade::Hard {
            0.12
        } else {
            0.035
        },
    );
    let dust = Dust::new(spec, plate, key);
    let mut planes = Vec::with_capacity(heights.len());
    for (i, pair) in optics.chunks(2).enumerate() {
        let filtered = through(&spectrum, &pair[0], pair.get(1), side, spec.pixel_um);
        let light = transform.inverse(filtered);
        for (part, _) in pair.iter().enumerate() {
            let plane = 2 * i + part;
            planes.push(expose(
                spec.side,
                &BRIGHTFIELD,
                &illumination,
                Some(&dust),
                key.with(100 + plane as u64),
                table,
                |y, x| {
                    let value = light[(y + margin) * side + x + margin];
                    // The Rytov form of the first-order image.
                    (if part == 0 { value.re } else { value.im }).exp()
                },
            ));
        }
    }
    (planes, heights)
}

/// Sends phase and absorption through one or two focal planes; the images come as a pair.
fn through(
    spectrum: &Spectrum,
    first: &WeakObject,
    second: Option<&WeakObject>,
    side: usize,
    pixel_um: f64,
) -> Spectrum {
    let per_um = (1.0 / (side as f64 * pixel_um)) as f32;
    spectrum.pair(|kx, ky, phase, absorption| {
        let f = per_um * ((kx * kx + ky * ky) as f32).sqrt();
        // The image of an even sheet of phase is even: no mean survives but absorption's.
        let see =
            |plane: &WeakObject| phase * plane.phase.at(f) + absorption * plane.absorption.at(f);
        (see(first), second.map_or_else(Complex32::default, see))
    })
}

/// The nuclear and the mitochondrial stain.
fn see_stains(
    spec: &PlateSpec,
    plate: Key,
    key: Key,
    matter: &Matter,
    transform: &Transform,
    table: &NormalTable,
    margin: usize,
) -> (Image<u16>, Image<u16>) {
    let side = transform.side();
    let settings = StainSettings::new(spec.degrade);
    let spectrum = transform.forward(&matter.nuclear, &matter.mitochondrial);
    let psf = EMISSION_UM.map(|emission| {
        fluorescence(
            spec.optics.objective_na,
            emission,
            settings.haze,
            HAZE_SIGMA_UM,
        )
    });
    let shifted = shift_and_blur(&spectrum, &psf, spec.shift_px, side, spec.pixel_um);
    let light = transform.inverse(shifted);
    let mut staining = plate.purpose(Purpose::Staining).stream();
    // No two stainings come out equally strong.
    let strength: [f32; 2] = std::array::from_fn(|_| (0.12 * staining.normal()).exp());
    let see = |index: usize, channel: &Channel, value: &(dyn Fn(Complex32) -> f32 + Sync)| {
        let illumination = stain_illumination(plate, index as u64, settings.unevenness);
        let key = key.with(200 + index as u64);
        expose(
            spec.side,
            channel,
            &illumination,
            None,
            key,
            table,
            |y, x| strength[index] * value(light[(y + margin) * side + x + margin]),
        )
    };
    let nuclear = see(0, &settings.nuclear, &|v| v.re);
    let cytoplasmic = see(1, &settings.cytoplasmic, &|v| v.im + settings.bleed * v.re);
    (nuclear, cytoplasmic)
}

/// The relative light of the nuclear and the mitochondrial channel over a field of the plate: what
/// a flat-field correction should find.
pub fn stain_light(spec: &PlateSpec) -> [Image<f32>; 2] {
    let plate = Key::new(spec.seed).purpose(Purpose::Plate);
    let strength = StainSettings::new(spec.degrade).unevenness;
    [0, 1].map(|index| {
        let light = stain_illumination(plate, index, strength);
        Image::from_fn(spec.side, spec.side, |y, x| light.at(y, x, spec.side))
    })
}

fn stain_illumination(plate: Key, index: u64, strength: f32) -> Illumination {
    Illumination::new(
        plate.purpose(Purpose::Illumination).with(1 + index),
        strength,
    )
}

/// Blurs the two stains, each by its own transfer function, and moves them by `(dy, dx)` pixels.
fn shift_and_blur(
    spectrum: &Spectrum,
    psf: &[Radial; 2],
    shift_px: (f64, f64),
    side: usize,
    pixel_um: f64,
) -> Spectrum {
    let per_um = (1.0 / (side as f64 * pixel_um)) as f32;
    let turn = |k: i32, shift: f64| {
        let angle = -std::f64::consts::TAU * f64::from(k) * shift / side as f64;
        Complex32::new(angle.cos() as f32, angle.sin() as f32)
    };
    let half = side as i32 / 2;
    let table = |shift: f64| -> Vec<Complex32> { (-half..=half).map(|k| turn(k, shift)).collect() };
    let (down, across) = (table(shift_px.0), table(shift_px.1));
    spectrum.pair(|kx, ky, nuclear, mitochondrial| {
        let f = per_um * ((kx * kx + ky * ky) as f32).sqrt();
        let move_by = down[(ky + half) as usize] * across[(kx + half) as usize];
        (
            nuclear * move_by * psf[0].at(f),
            mitochondrial * move_by * psf[1].at(f),
        )
    })
}
