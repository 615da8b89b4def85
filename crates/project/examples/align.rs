//! How well truth is laid where the cells are: on simulated plates, and on real fields with a
//! shift added.
//!
//! ```text
//! cargo run --release -p stainfree-project --example align -- simulated [PLATES]
//! cargo run --release -p stainfree-project --example align -- real DATA
//! ```
//! Predictions are those of `virtual-plates`, which has met none of the fields. Simulated: varied
//! plates (magnification, aperture, focus, confluence, cleanliness) of 2 wells x 2 fields of 512 x
//! 512 pixels and shifts of 0 to 8 pixels in any direction, whole ones of exact labels and parts of
//! a pixel of the nuclear stain. Real: the experiments of `celldetective` with their labels as they
//! are; then every brightfield is moved by such a shift and predicted anew, and the two answers
//! must differ by it. In both, truth that is turned, or of other fields, must not pass without a
//! warning. `docs/truth.md` has the results.

use std::collections::BTreeMap;
use std::path::Path;

use stainfree_image::{Image, OpenOptions, Plane, open, read_labels};
use stainfree_inference::{Options, Predictor};
use stainfree_network::{Machine, weights};
use stainfree_objects::{
    FieldFit, Known, Lies, StainSettings, TruthEvidence, TruthLaid, move_back, move_back_nearest,
    segment_nuclei, truth_evidence,
};
use stainfree_specimen::{PlateSpec, simulate_field};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Uncertainty from which on the program says that it cannot tell.
const LIMIT_PX: f64 = 0.5;
/// Seed of the plates; the carried model was trained on those of another.
const SEED: u64 = 7001;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let second = arguments.get(1);
    match arguments.first().map(String::as_str) {
        Some("simulated") => simulated(second.map_or(Ok(120), |n| n.parse())?),
        Some("real") => real(Path::new(second.ok_or("say where `celldetective` lies")?)),
        _ => Err("say `simulated [PLATES]` or `real DATA`".into()),
    }
}

/// Shift number `i`: the golden angle and the plastic number spread them evenly, without a
/// generator.
fn shift(i: usize) -> (f64, f64) {
    let angle = 2.399_963 * i as f64;
    let size = 8.0 * (0.754_877_7 * i as f64).fract();
    (size * angle.sin(), size * angle.cos())
}

/// One field: what a model says, and the truth.
#[derive(Clone)]
struct Pair {
    probability: Image<f32>,
    nuclei: Image<u32>,
}

/// Counts of answers.
#[derive(Default)]
struct Tally {
    /// Certain, and within half a pixel.
    right: usize,
    /// Certain, or roughly where nothing is right, without a warning.
    wrong: usize,
    warned: usize,
    cannot_tell: usize,
    roughly: usize,
    /// Those of them within their uncertainty.
    roughly_right: usize,
    /// All answers within their uncertainty, used or not.
    covered: usize,
    /// Of all answers, used or not, pixels.
    errors: Vec<f64>,
}

impl Tally {
    /// Counts what was found where `expected` is right; `None` where any shift is wrong.
    fn count(&mut self, found: &TruthLaid, expected: Option<(f64, f64)>) -> String {
        let error = found
            .shift
            .zip(expected)
            .map(|(s, at)| (s.dy_px - at.0).hypot(s.dx_px - at.1));
        let warned = found.fields.iter().any(|f| !matches!(f, FieldFit::Fits(_)));
        let word = match (&found.lies, error) {
            (Lies::Here, Some(error)) if error <= 0.5 => {
                self.right += 1;
                "right".to_owned()
            }
            (Lies::Here, _) if warned => {
                self.warned += 1;
                "warned".to_owned()
            }
            (Lies::Here, _) => {
                self.wrong += 1;
                "WRONG".to_owned()
            }
            (Lies::Roughly, None) if !warned => {
                self.wrong += 1;
                "WRONG".to_owned()
            }
            (Lies::Roughly, _) => {
                self.roughly += 1;
                let radius = found.shift.map_or(0.0, |s| s.radius95_px);
                self.roughly_right += usize::from(error.is_some_and(|e| e <= radius));
                "roughly".to_owned()
            }
            (Lies::Turned(turn), _) => {
                self.warned += 1;
                turn.words().to_owned()
            }
            (Lies::CannotTell(doubt), _) => {
                self.cannot_tell += 1;
                format!("{doubt:?}")
            }
        };
        // Whether it is used or not, to see what uncertainties are worth.
        self.errors.extend(error);
        let (radius, second) = found
            .shift
            .map_or((f64::NAN, f64::NAN), |s| (s.radius95_px, s.second_peak));
        self.covered += usize::from(error.is_some_and(|error| error <= radius));
        format!(
            "{word} (error {:.2}, radius {radius:.2}, clear {:.1}, second {second:.2}, {} nuclei)",
            error.unwrap_or(f64::NAN),
            found.clear,
            found.nuclei
        )
    }

    fn print(&mut self, what: &str) {
        self.errors.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = self.errors.len().saturating_sub(1) as f64;
            let i = (share * last).round() as usize;
            self.errors.get(i).copied().unwrap_or(f64::NAN)
        };
        println!(
            "{what}: certain and within 0.5 px {}, certain and wrong {}, warned of {}, roughly {} \
             ({} within their radius), cannot tell {}; error of those with a shift: median {:.2}, \
             95 % {:.2}, largest {:.2} px; {} of {} within 0.5 px, {} within their radius",
            self.right,
            self.wrong,
            self.warned,
            self.roughly,
            self.roughly_right,
            self.cannot_tell,
            at(0.5),
            at(0.95),
            at(1.0),
            self.errors.iter().filter(|&&error| error <= 0.5).count(),
            self.errors.len(),
            self.covered
        );
    }
}

fn laid(pairs: &[Pair]) -> Result<TruthLaid, Failure> {
    let evidence: Vec<TruthEvidence> = pairs
        .iter()
        .map(|p| truth_evidence(&p.probability, &p.nuclei, &Known::default()))
        .collect::<Result<_, _>>()?;
    Ok(TruthLaid::find(&evidence, LIMIT_PX))
}

/// The same fields with another truth each.
fn with(pairs: &[Pair], truth: impl Fn(usize, &Image<u32>) -> Image<u32>) -> Vec<Pair> {
    let of = |(i, pair): (usize, &Pair)| Pair {
        probability: pair.probability.clone(),
        nuclei: truth(i, &pair.nuclei),
    };
    pairs.iter().enumerate().map(of).collect()
}

fn mirrored(image: &Image<u32>) -> Image<u32> {
    let (h, w) = image.size();
    Image::from_fn(h, w, |y, x| image.get(y, w - 1 - x))
}

fn half_turned(image: &Image<u32>) -> Image<u32> {
    let (h, w) = image.size();
    Image::from_fn(h, w, |y, x| image.get(h - 1 - y, w - 1 - x))
}

/// Counts what is said of truth that does not fit: turned, of the next field, two exchanged.
fn misfits(
    tallies: &mut BTreeMap<&'static str, Tally>,
    pairs: &[Pair],
    own: (f64, f64),
) -> Result<String, Failure> {
    let mut said = Vec::new();
    let n = pairs.len();
    let mut of = |what: &'static str, pairs: Vec<Pair>, right| -> Result<(), Failure> {
        let found = laid(&pairs)?;
        let word = tallies.entry(what).or_default().count(&found, right);
        said.push(format!("\n    {what}: {word} {:?}", found.fields));
        Ok(())
    };
    of("mirrored", with(pairs, |_, t| mirrored(t)), None)?;
    of("turned by 180", with(pairs, |_, t| half_turned(t)), None)?;
    if n > 1
        && pairs
            .iter()
            .all(|p| p.nuclei.size() == pairs[0].nuclei.size())
    {
        let next = with(pairs, |i, _| pairs[(i + 1) % n].nuclei.clone());
        of("of the next field", next, None)?;
    }
    if n > 3 {
        let exchanged = with(pairs, |i, _| {
            pairs[[1, 0, 2, 3, 4, 5, 6, 7, 8][i]].nuclei.clone()
        });
        of("two of them exchanged", exchanged, Some(own))?;
    }
    Ok(said.concat())
}

fn nucleus_of(
    predictor: &mut Predictor,
    plane: Plane,
    um: Option<f64>,
) -> Result<Image<f32>, Failure> {
    let pixels = predictor.pixels(&[plane], um)?;
    let nucleus = pixels.probabilities().get(1);
    Ok(nucleus.ok_or("the model has no class of nuclei")?.clone())
}

fn simulated(plates: usize) -> Result<(), Failure> {
    let machine = Machine::new(1);
    let mut predictor = Predictor::new(
        weights::virtual_plates()?,
        &machine,
        &Options {
            flips: true,
            ..Options::default()
        },
    );
    let mut tallies: BTreeMap<&'static str, Tally> = BTreeMap::new();
    for plate in 0..plates {
        let at = shift(plate);
        let spec = PlateSpec {
            wells: 2,
            sites: 2,
            unstained: false,
            shift_px: at,
            ..PlateSpec::varied(SEED, plate as u64, 512, 1)
        };
        let mut exact = Vec::new();
        let mut stained = Vec::new();
        for i in 0..4 {
            let field = simulate_field(&spec, i / 2, i % 2)?;
            let plane = Plane::U16(field.brightfield[0].clone());
            let probability = nucleus_of(&mut predictor, plane, Some(field.pixel_um))?;
            let stain = field.nuclear.ok_or("a stained plate has stains")?;
            let stain = stain.map(|&v| f32::from(v));
            let found = segment_nuclei(&stain, Some(field.pixel_um), &StainSettings::default());
            if let Ok(found) = found {
                stained.push(Pair {
                    probability: probability.clone(),
                    nuclei: found.labels,
                });
            }
            exact.push(Pair {
                probability,
                nuclei: field.truth.nuclei,
            });
        }
        let whole = (at.0.round(), at.1.round());
        let moved = with(&exact, |_, t| move_back_nearest(t, (-whole.0, -whole.1)));
        let labels = laid(&moved)?;
        let stain = laid(&stained)?;
        println!(
            "plate {plate:3} {:?}, {:.2} um, confluence {:.2}, focus {:+.1} um, \
             shift {:+.2},{:+.2}\n    \
             labels: {}\n    stain: {}{}",
            spec.degrade,
            spec.pixel_um,
            spec.confluence,
            spec.optics.focus_offset_um,
            at.0,
            at.1,
            tallies
                .entry("exact labels")
                .or_default()
                .count(&labels, Some(whole)),
            tallies.entry("stain").or_default().count(&stain, Some(at)),
            misfits(&mut tallies, &moved, whole)?,
        );
    }
    for (what, tally) in &mut tallies {
        tally.print(what);
    }
    Ok(())
}

/// Brightfield, pixel size in um, labels.
type Real = (Image<f32>, Option<f64>, Image<u32>);

fn real(data: &Path) -> Result<(), Failure> {
    let machine = Machine::new(1);
    let mut predictor = Predictor::new(
        weights::virtual_plates()?,
        &machine,
        &Options {
            flips: true,
            ..Options::default()
        },
    );
    let dataset = open(data, &OpenOptions::default())?;
    let light = dataset.channel("brightfield")?;
    let mut groups: BTreeMap<String, Vec<Real>> = BTreeMap::new();
    for field in &dataset.fields {
        let Some(group) = field.metadata.get("experiment") else {
            continue;
        };
        let labels = read_labels(&data.join(format!("{}_labels.tif", field.name)))?;
        let plane = field.read(light, 0)?.to_f32();
        let entry = (plane, field.pixel_um, labels);
        groups.entry(group.clone()).or_default().push(entry);
    }
    let mut tallies: BTreeMap<&'static str, Tally> = BTreeMap::new();
    for (number, (group, fields)) in groups.iter().enumerate() {
        let added = shift(number + 3);
        let mut pairs = |moved: Option<(f64, f64)>| -> Result<Vec<Pair>, Failure> {
            let mut pairs = Vec::new();
            for (plane, um, labels) in fields {
                const RIM: usize = 10;
                let (h, w) = plane.size();
                let (mut plane, mut nuclei) = (plane.clone(), labels.clone());
                if let Some((dy, dx)) = moved {
                    plane = move_back(&plane, (dy, dx)).crop(RIM, RIM, h - 2 * RIM, w - 2 * RIM);
                    nuclei = nuclei.crop(RIM, RIM, h - 2 * RIM, w - 2 * RIM);
                }
                let probability = nucleus_of(&mut predictor, Plane::F32(plane), *um)?;
                pairs.push(Pair {
                    probability,
                    nuclei,
                });
            }
            Ok(pairs)
        };
        let plain = pairs(None)?;
        let found = laid(&plain)?;
        let again = laid(&pairs(Some(added))?)?;
        let own = found
            .shift
            .map_or((f64::NAN, f64::NAN), |s| (s.dy_px, s.dx_px));
        let expected = (own.0 + added.0, own.1 + added.1);
        let word = tallies
            .entry("shift added")
            .or_default()
            .count(&again, Some(expected));
        println!(
            "{group}, {} fields: {:+.2},{:+.2} radius {:.2}, clear {:.1}, second {:.2}, \
             {} nuclei, {:?} {:?}\n    \
             {:+.2},{:+.2} added: {word}{}",
            fields.len(),
            own.0,
            own.1,
            found.shift.map_or(f64::NAN, |s| s.radius95_px),
            found.clear,
            found.shift.map_or(f64::NAN, |s| s.second_peak),
            found.nuclei,
            found.lies,
            found.fields,
            added.0,
            added.1,
            misfits(&mut tallies, &plain, own)?,
        );
    }
    for (what, tally) in &mut tallies {
        tally.print(what);
    }
    Ok(())
}
