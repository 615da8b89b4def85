//! How good a model is on its validation fields once their images are made worse: what strangeness
//! costs, measured where the truth is known.

use stainfree_image::random::Stream;
use stainfree_image::{Field, Image, Plane, read_class_mask, read_labels};
use stainfree_objects::{IGNORED, appearance, gaussian};
use stainfree_scores::{MatchCounts, match_labels_ignoring};

use crate::prediction::familiar::{Familiarity, Kept, Looks, WorseScore};
use crate::prediction::opened::{OpenedModel, nuclei_of};
use crate::study::fields::FieldRow;
use crate::study::{Source, Study};
use crate::{Job, Part, ProjectError};

/// Validation fields that are made worse: each is predicted once for every way.
const MOST_FIELDS: usize = 6;
/// Side of what is looked at in larger fields: their middle.
const MOST_SIDE: usize = 768;

/// What is done to an image.
enum Way {
    AsIs,
    /// Out of focus: standard deviation of a Gaussian, px.
    Blurred(f64),
    /// White noise is added until there is so many times the image's own.
    Noisier(f32),
    /// Bright and dark are exchanged, as on the other side of the focus.
    Reversed,
    /// So much of the light, with its shot noise.
    Dimmer(f32),
}

/// The ways, and what fields are called that were made so.
const WAYS: [(&str, Way); 8] = [
    ("as they are", Way::AsIs),
    ("blurred by 1 px", Way::Blurred(1.0)),
    ("blurred by 2 px", Way::Blurred(2.0)),
    ("blurred by 4 px", Way::Blurred(4.0)),
    ("with 3 times the noise", Way::Noisier(3.0)),
    ("with 10 times the noise", Way::Noisier(10.0)),
    ("with bright and dark exchanged", Way::Reversed),
    ("in a fifth of the light", Way::Dimmer(0.2)),
];

impl Way {
    /// The plane made so, in its own format.
    fn make(&self, plane: &Plane, stream: &mut Stream) -> Plane {
        let image = plane.to_f32();
        let noise = match appearance(&image, None).noise {
            noise if noise.is_finite() => noise as f32,
            _ => 0.0,
        };
        let mut with_noise = |image: &Image<f32>, deviation: f32| {
            image.map(|value| value + deviation * normal(stream))
        };
        let made = match *self {
            Self::AsIs => return plane.clone(),
            Self::Blurred(sigma) => gaussian(&image, sigma),
            Self::Noisier(times) => with_noise(&image, noise * (times * times - 1.0).sqrt()),
            Self::Dimmer(share) => {
                let dim = image.map(|value| value * share);
                with_noise(&dim, noise * (share - share * share).sqrt())
            }
            Self::Reversed => {
                let sum: f64 = image.data().iter().map(|&value| f64::from(value)).sum();
                let mean = (sum / image.data().len() as f64) as f32;
                image.map(|value| 2.0 * mean - value)
            }
        };
        match plane {
            Plane::U8(_) => Plane::U8(made.map(|v| v.round().clamp(0.0, 255.0) as u8)),
            Plane::U16(_) => Plane::U16(made.map(|v| v.round().clamp(0.0, 65_535.0) as u16)),
            Plane::F32(_) => Plane::F32(made),
        }
    }
}

/// A normal number: the sum of twelve uniform ones, of 16 bits each.
fn normal(stream: &mut Stream) -> f32 {
    let mut sum = 0.0;
    for _ in 0..3 {
        let bits = stream.bits();
        for part in 0..4 {
            sum += ((bits >> (16 * part)) & 0xFFFF) as f32 / 65_536.0;
        }
    }
    sum - 6.0
}

/// What a way comes to over all fields.
#[derive(Default)]
struct Sums {
    matched: MatchCounts,
    strangeness: Vec<f64>,
}

/// Makes validation fields worse, one way after the other, and says how strange they become to the
/// rest of what is `kept` of the training, and what whole nuclei score. None where that cannot be
/// said: no nucleus validates, or too little is kept.
///
/// # Errors
/// A field or its truth cannot be read, or [`ProjectError::Cancelled`].
pub(crate) fn scores_when_worse(
    (study, source, rows): (&Study, &Source, &[FieldRow]),
    model: &mut OpenedModel,
    kept: &Kept,
    job: &Job,
) -> Result<Vec<WorseScore>, ProjectError> {
    let by_name = source.by_name();
    let validates = |row: &&FieldRow| row.split == Some(Part::Validation) && row.nuclei > 0;
    let rows: Vec<&FieldRow> = rows.iter().filter(validates).collect();
    let count = rows.len().min(MOST_FIELDS);
    let mut sums = WAYS.map(|_| Sums::default());
    for row in (0..count).map(|i| rows[i * rows.len() / count]) {
        let Some(field) = by_name.get(row.name.as_str()) else {
            continue;
        };
        let seen = Seen::of(study, source, field)?;
        // What is known of its own group would make it less strange than it is.
        let others = kept.without_group(&row.group);
        let known = Familiarity::of(&others, true);
        for (i, ((_, way), sums)) in WAYS.iter().zip(&mut sums).enumerate() {
            job.cancel.check()?;
            let mut stream = Stream::new(i as u64);
            let with = (&mut *model, &known);
            seen.add(way, &mut stream, with, sums, &job.quiet())?;
        }
    }
    let scored = WAYS.iter().zip(sums).filter_map(|((what, _), mut sums)| {
        sums.strangeness.sort_by(f64::total_cmp);
        let middle = *sums.strangeness.get(sums.strangeness.len() / 2)?;
        let f1 = sums.matched.f1();
        f1.is_finite().then(|| WorseScore {
            what: (*what).to_owned(),
            strangeness: (middle * 1e3).round() / 1e3,
            f1: (f1 * 1e4).round() / 1e4,
        })
    });
    Ok(scored.collect())
}

/// The middle of a field, with its truth.
struct Seen<'a> {
    field: &'a Field,
    planes: Vec<Plane>,
    truth: Image<u32>,
    ignore: Image<bool>,
}

impl<'a> Seen<'a> {
    fn of(study: &Study, source: &Source, field: &'a Field) -> Result<Self, ProjectError> {
        let planes = source.brightfield.read(field)?;
        let truth = read_labels(&study.nuclei_path(&field.name))?;
        let classes = read_class_mask(&study.class_mask_path(&field.name))?;
        let (height, width) = truth.size();
        let size = [height, width].map(|side| side.min(MOST_SIDE));
        let corner = [(height - size[0]) / 2, (width - size[1]) / 2];
        let planes = planes.iter().map(|plane| match plane {
            Plane::U8(image) => Plane::U8(middle(image, corner, size)),
            Plane::U16(image) => Plane::U16(middle(image, corner, size)),
            Plane::F32(image) => Plane::F32(middle(image, corner, size)),
        });
        Ok(Self {
            field,
            planes: planes.collect(),
            truth: middle(&truth, corner, size),
            ignore: middle(&classes, corner, size).map(|&class| class == IGNORED),
        })
    }

    /// Makes the field worse, predicts it, and adds what comes of it.
    fn add(
        &self,
        way: &Way,
        stream: &mut Stream,
        (model, known): (&mut OpenedModel, &Familiarity),
        sums: &mut Sums,
        job: &Job,
    ) -> Result<(), ProjectError> {
        let field = self.field;
        let workers = model.predictor.workers().clone();
        let mut make = |plane: &Plane| way.make(plane, stream);
        let planes: Vec<Plane> = workers.run(|| self.planes.iter().map(&mut make).collect());
        let pixels = match model.predict(field, &planes, job) {
            Err(ProjectError::NothingSeen { .. }) => return Ok(()),
            pixels => pixels?,
        };
        let (info, decoder) = (model.predictor.info(), model.predictor.decoder());
        let (looks, counts) = workers.run(|| -> Result<_, ProjectError> {
            let nuclei = nuclei_of(field, &pixels, decoder)?;
            let looks = Looks::of(&planes, field.pixel_um, info, &pixels);
            let looks = looks.with_nuclei(&nuclei, field.pixel_um, info);
            let counts = match_labels_ignoring(&self.truth, &nuclei.labels, Some(&self.ignore));
            let counts = counts.map_err(|error| ProjectError::Failed(error.to_string()))?;
            Ok((looks, counts))
        })?;
        sums.matched.tp += counts.at[0].tp;
        sums.matched.fp += counts.at[0].fp;
        sums.matched.fn_ += counts.at[0].fn_;
        sums.strangeness.extend(known.compare(looks).strangeness);
        Ok(())
    }
}

fn middle<T: Copy>(image: &Image<T>, corner: [usize; 2], size: [usize; 2]) -> Image<T> {
    image.crop(corner[0], corner[1], size[0], size[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plane of spots with noise of 10 counts.
    fn plane() -> Plane {
        let mut stream = Stream::new(7);
        Plane::U16(Image::from_fn(128, 128, |y, x| {
            let spot = if (y / 16 + x / 16) % 4 == 0 {
                500.0
            } else {
                0.0
            };
            (2000.0 + spot + 10.0 * normal(&mut stream)).round() as u16
        }))
    }

    fn noise_and_light(plane: &Plane) -> [f64; 2] {
        let seen = appearance(&plane.to_f32(), None);
        [seen.noise, seen.light]
    }

    #[test]
    fn images_are_made_worse_by_as_much_as_is_said() {
        let plane = plane();
        let [noise, light] = noise_and_light(&plane);
        // Of 10 counts by 64 blocks, a fifth of which is quieter.
        assert!((noise / 10.0 - 1.0).abs() < 0.1, "{noise}");
        let made = |way: Way| way.make(&plane, &mut Stream::new(1));
        let [noisier, _] = noise_and_light(&made(Way::Noisier(3.0)));
        assert!((noisier / (3.0 * noise) - 1.0).abs() < 0.15, "{noisier}");
        let [dim_noise, dim] = noise_and_light(&made(Way::Dimmer(0.25)));
        // Shot noise falls by the root of the light.
        assert!((dim / light - 0.25).abs() < 1e-3 && (dim_noise / noise / 0.5 - 1.0).abs() < 0.15);
        let [blurred, _] = noise_and_light(&made(Way::Blurred(2.0)));
        assert!(blurred < 0.2 * noise, "{blurred}");
        let sharp = appearance(&plane.to_f32(), None);
        let reversed = appearance(&made(Way::Reversed).to_f32(), None);
        assert!((reversed.skewness[1] + sharp.skewness[1]).abs() < 0.01);
        assert_eq!(made(Way::AsIs), plane);
    }
}
