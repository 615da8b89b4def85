//! How well the shift of a stain is found: on simulated plates, and on real pairs with a shift
//! added.
//!
//! ```text
//! cargo run --release -p stainfree-project --example shift -- simulated [PLATES]
//! cargo run --release -p stainfree-project --example shift -- real [DATA]
//! ```
//! Simulated: plates of 2 wells x 3 fields of 512 x 512 pixels, every other one `hard`, shifts of 0
//! to 8 pixels in any direction, 15 to 90 % confluence, one or three planes, focus above or below
//! the cells. Real: every pair of DATA (default `../shared/data`), as it is and with a shift added;
//! the two answers must differ by that shift, since the pairs may have one of their own. Stains of
//! other fields must give no answer. `docs/truth.md` has the results.

use rayon::prelude::*;
use stainfree_image::{Field, Image, OpenOptions, open};
use stainfree_objects::{ShiftEstimate, ShiftEvidence, move_back, shift_evidence};
use stainfree_specimen::{Degrade, Optics, PlateSpec, simulate_field};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Uncertainty from which on the program says that it cannot tell; the default of
/// `truth.shift.max_radius_px`.
const LIMIT_PX: f64 = 0.5;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let second = arguments.get(1);
    match arguments.first().map(String::as_str) {
        Some("simulated") => simulated(second.map_or(Ok(40), |n| n.parse())?),
        Some("real") => real(&PathBuf::from(
            second.map_or("../shared/data", String::as_str),
        )),
        _ => Err("say `simulated [PLATES]` or `real [DATA]`".into()),
    }
}

/// Counts of answers.
#[derive(Default)]
struct Tally {
    right: usize,
    wrong: usize,
    cannot_tell: usize,
    errors: Vec<f64>,
}

impl Tally {
    /// Counts an answer whose error is known; `None` where there was no peak.
    fn count(&mut self, certain: bool, error: Option<f64>) -> &'static str {
        match (certain, error) {
            (true, Some(error)) => {
                self.errors.push(error);
                if error <= 0.5 {
                    self.right += 1;
                    "right"
                } else {
                    self.wrong += 1;
                    "WRONG"
                }
            }
            _ => {
                self.cannot_tell += 1;
                "cannot tell"
            }
        }
    }

    fn print(&mut self, what: &str) {
        self.errors.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = self.errors.len().saturating_sub(1) as f64;
            self.errors
                .get((share * last).round() as usize)
                .copied()
                .unwrap_or(f64::NAN)
        };
        println!(
            "{what}: {} within 0.5 px, {} wrong, {} cannot tell; error median {:.2}, 95 % {:.2}, \
             largest {:.2} px",
            self.right,
            self.wrong,
            self.cannot_tell,
            at(0.5),
            at(0.95),
            at(1.0)
        );
    }
}

fn simulated(plates: usize) -> Result<(), Failure> {
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for plate in 0..plates {
        // The golden angle and the plastic number spread shifts evenly, without a generator.
        let angle = 2.399_963 * plate as f64;
        let size = 8.0 * (0.754_877_7 * plate as f64).fract();
        let shift = (size * angle.sin(), size * angle.cos());
        let spec = PlateSpec {
            wells: 2,
            sites: 3,
            side: 512,
            seed: 1000 + plate as u64,
            planes: if plate % 4 < 2 { 1 } else { 3 },
            confluence: [0.15, 0.4, 0.65, 0.7, 0.9][plate % 5],
            shift_px: shift,
            degrade: if plate % 2 == 0 {
                Degrade::Clean
            } else {
                Degrade::Hard
            },
            optics: Optics {
                // Below the cells contrast is turned over.
                focus_offset_um: [1.5, -1.5, 4.0, -4.0, 0.2, 2.5][plate % 6],
                ..Optics::default()
            },
            ..PlateSpec::default()
        };
        let fields: Vec<[ShiftEvidence; 2]> = (0..6)
            .into_par_iter()
            .map(|i| -> Result<_, Failure> {
                let field = simulate_field(&spec, i / 3, i % 3)?;
                let planes: Vec<Image<f32>> = field
                    .brightfield
                    .iter()
                    .map(|p| p.map(|&v| f32::from(v)))
                    .collect();
                let of = |stain: &Option<Image<u16>>| -> Result<ShiftEvidence, Failure> {
                    let stain = stain.as_ref().ok_or("a stained plate has stains")?;
                    Ok(shift_evidence(&planes, &stain.map(|&v| f32::from(v)))?)
                };
                Ok([of(&field.nuclear)?, of(&field.cytoplasmic)?])
            })
            .collect::<Result<_, _>>()?;
        print!(
            "plate {plate:3} {:?} {} planes, confluence {:.2}, focus {:+.1} um, shift \
             {:+.2},{:+.2}:",
            spec.degrade,
            spec.planes,
            spec.confluence,
            spec.optics.focus_offset_um,
            shift.0,
            shift.1
        );
        for (s, stain) in ["nuclear stain", "mitochondrial stain"]
            .into_iter()
            .enumerate()
        {
            let found = ShiftEvidence::pooled(fields.iter().map(|f| f[s].clone())).estimate();
            let error = found.map(|e| (e.dy_px - shift.0).hypot(e.dx_px - shift.1));
            let certain = found.is_some_and(|e| e.is_certain(LIMIT_PX));
            let word = tallies.entry(stain).or_default().count(certain, error);
            print!(
                " {stain} {word} (error {:.2}, radius {:.2})",
                error.unwrap_or(f64::NAN),
                found.map_or(f64::NAN, |e| e.radius95_px)
            );
        }
        println!();
    }
    for (stain, tally) in &mut tallies {
        tally.print(stain);
    }
    Ok(())
}

/// A brightfield and a stain of one field.
type Pair = (Vec<Image<f32>>, Image<f32>);

fn real(data: &Path) -> Result<(), Failure> {
    let mut tally = Tally::default();
    let mut strangers = Tally::default();
    for (number, (name, pairs)) in groups(data)?.iter().enumerate() {
        let angle = 2.399_963 * number as f64;
        let size = 8.0 * (0.754_877_7 * number as f64 + 0.3).fract();
        let added = (size * angle.sin(), size * angle.cos());
        let plain = estimate(pairs, (0.0, 0.0))?;
        let moved = estimate(pairs, added)?;
        let error = plain
            .zip(moved)
            .map(|(a, b)| (b.dy_px - a.dy_px - added.0).hypot(b.dx_px - a.dx_px - added.1));
        let certain = [plain, moved]
            .iter()
            .all(|e| e.is_some_and(|e| e.is_certain(LIMIT_PX)));
        let word = tally.count(certain, error);
        println!(
            "{name}, {} fields: own shift {}, with {:+.2},{:+.2} added {}: {word} ({:.2} px off)",
            pairs.len(),
            words(plain),
            added.0,
            added.1,
            words(moved),
            error.unwrap_or(f64::NAN)
        );
        if pairs.len() > 1 {
            let mixed: Vec<Pair> = (0..pairs.len())
                .map(|i| (pairs[i].0.clone(), pairs[(i + 1) % pairs.len()].1.clone()))
                .collect();
            let found = estimate(&mixed, (0.0, 0.0))?;
            // Any answer is wrong here.
            let certain = found.is_some_and(|e| e.is_certain(LIMIT_PX));
            strangers.count(certain, Some(f64::INFINITY));
        }
    }
    tally.print("real pairs");
    println!(
        "stains of other fields: {} answered, {} cannot tell",
        strangers.wrong, strangers.cannot_tell
    );
    Ok(())
}

fn words(found: Option<ShiftEstimate>) -> String {
    found.map_or("none".to_owned(), |e| {
        format!("{:+.2},{:+.2} +- {:.2}", e.dy_px, e.dx_px, e.radius95_px)
    })
}

/// The pooled estimate with the stains moved by `added`; the rim that the moving invents is cut
/// away.
fn estimate(pairs: &[Pair], added: (f64, f64)) -> Result<Option<ShiftEstimate>, Failure> {
    const RIM: usize = 10;
    let inner = |image: &Image<f32>| {
        image.crop(RIM, RIM, image.height() - 2 * RIM, image.width() - 2 * RIM)
    };
    let parts: Vec<ShiftEvidence> = pairs
        .par_iter()
        .map(|(planes, stain)| {
            let planes: Vec<Image<f32>> = planes.iter().map(inner).collect();
            shift_evidence(&planes, &inner(&move_back(stain, (-added.0, -added.1))))
        })
        .collect::<Result<_, _>>()?;
    Ok(ShiftEvidence::pooled(parts).estimate())
}

/// Real pairs, those of one instrument together.
fn groups(data: &Path) -> Result<BTreeMap<String, Vec<Pair>>, Failure> {
    let mut groups: BTreeMap<String, Vec<Pair>> = BTreeMap::new();
    let sets: [(&str, &str, &[&str]); 5] = [
        ("celldetective", "brightfield", &["hoechst"]),
        ("aisegcell", "bf", &["nuc", "p65"]),
        (
            "isl_neurons",
            "transmitted",
            &[
                "DAPI_CONFOCAL maximum projection",
                "MAP2_CONFOCAL maximum projection",
            ],
        ),
        ("sephace", "bf", &["dapi"]),
        ("bf_mito_hoechst", "bf", &["hoechst", "mito"]),
    ];
    for (set, brightfield, stains) in sets {
        let dataset = open(&data.join(set), &OpenOptions::default())?;
        let light = dataset.channel(brightfield)?;
        for field in &dataset.fields {
            for stain in stains {
                let channel = dataset.channel(stain)?;
                if field.planes[channel].iter().all(Option::is_none) {
                    continue;
                }
                let image = field.read(channel, 0)?.to_f32();
                for (name, planes) in planes_of(set, field, light)? {
                    let group = format!("{set} {stain} {name}");
                    groups
                        .entry(group)
                        .or_default()
                        .push((planes, image.clone()));
                }
            }
        }
    }
    Ok(groups)
}

/// The name of a group and the brightfield planes that a field adds to it.
type Grouped = (String, Vec<Image<f32>>);

/// Group and brightfield planes of a field: every focus of `sephace` on its own, the rest as
/// `prepare` reads them.
fn planes_of(set: &str, field: &Field, light: usize) -> Result<Vec<Grouped>, Failure> {
    let read = |z: usize| -> Result<Image<f32>, Failure> { Ok(field.read(light, z)?.to_f32()) };
    let depth = field.planes[light].len();
    if set == "sephace" {
        return (0..depth)
            .map(|z| Ok((format!("plane {z}"), vec![read(z)?])))
            .collect();
    }
    let group = match set {
        "celldetective" => field
            .metadata
            .get("experiment")
            .cloned()
            .unwrap_or_default(),
        "aisegcell" => field.name.split('_').next().unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    Ok(vec![(
        group,
        (0..depth).map(read).collect::<Result<_, _>>()?,
    )])
}
