//! The temperatures of a model, fitted on predictions of fields with truth that did not train it.
//!
//! Three choices face each other: probabilities as they are, one temperature for all pixels, and
//! one for each most likely class. Groups are left out in turn (fields, where there is one group
//! alone); what is said of their pixels by temperatures that were fitted without them decides, as
//! the mean negative log-likelihood over groups. Neighbouring pixels say nearly the same, so a few
//! thousand of each field are drawn.

use serde::{Deserialize, Serialize};
use stainfree_image::Image;
use stainfree_image::random::number;
use stainfree_objects::IGNORED;

use super::{LEAST, Temperature, Temperatures, raise, top_of};

/// Pixels that are drawn of all fields together.
const MOST_PIXELS: usize = 400_000;
/// Pixels of a class that its own temperature needs; with fewer it takes that of all.
const LEAST_PIXELS: usize = 200;
/// Within which one over the temperature lies.
const POWERS: [f64; 2] = [0.05, 20.0];
/// How strongly a temperature is held to 1, in pixels.
const AS_IT_IS: f64 = 1.0;
/// Bins of the calibration error.
const BINS: usize = 15;

/// Pixels of a predicted field with truth.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldPixels {
    /// The field's name.
    pub name: String,
    /// What it shares cells, focus and staining with.
    pub group: String,
    /// Probabilities of the classes, pixel by pixel.
    probabilities: Vec<f32>,
    /// The true class of each pixel.
    truth: Vec<u8>,
}

impl FieldPixels {
    /// Some of the pixels of the field `name` of `group`: one of `fields` that are drawn alike.
    /// `planes` has the probabilities of each class, `truth` the class mask, in which 255 does not
    /// count.
    ///
    /// # Panics
    /// If sizes differ.
    pub fn draw(
        (name, group): (&str, &str),
        planes: &[Image<f32>],
        truth: &Image<u8>,
        fields: usize,
    ) -> Self {
        let counts = |class: u8| class != IGNORED && usize::from(class) < planes.len();
        let all = truth.data().iter().filter(|class| counts(**class)).count();
        let most = MOST_PIXELS / fields.max(1);
        let mut drawn = Self {
            name: name.to_owned(),
            group: group.to_owned(),
            ..Self::default()
        };
        for (i, &class) in truth.data().iter().enumerate() {
            // A grid would meet rows and columns of cells; draws by place do not.
            let is_drawn = || all <= most || number(0, i as u64) % all as u64 <= most as u64;
            if counts(class) && is_drawn() {
                drawn.truth.push(class);
                let at = planes.iter().map(|plane| plane.data()[i]);
                drawn.probabilities.extend(at);
            }
        }
        drawn
    }

    /// Every pixel's probabilities with its true class.
    fn pixels(&self) -> impl Iterator<Item = (&[f32], usize)> {
        let classes = self.probabilities.len() / self.truth.len().max(1);
        let at = self.probabilities.chunks_exact(classes.max(1));
        at.zip(self.truth.iter().map(|&class| usize::from(class)))
    }
}

/// What was left out to check a fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelsLeftOut {
    /// A group at a time.
    #[default]
    Group,
    /// A field at a time: there is one group.
    Field,
}

/// What a fit rests on, and how well it does on what was left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PixelsChecked {
    /// Groups of fields.
    pub groups: usize,
    /// The fields.
    pub fields: Vec<String>,
    /// Pixels that were drawn of them.
    pub pixels: usize,
    /// What was left out in turn.
    pub left_out: PixelsLeftOut,
    /// Whether each class has a temperature of its own.
    pub by_class: bool,
    /// Mean negative log-likelihood of the true class in what was left out: as the network says,
    /// by one temperature, by one for each class.
    pub log_loss: [f64; 3],
    /// Expected calibration error of the most likely class in what was left out, before and after.
    pub ece: [f64; 2],
}

/// Why there are no temperatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoTemperatures {
    /// So many validation fields have pixels that count.
    TooFew(usize),
    /// The truth has other classes than the model.
    OtherClasses,
}

impl std::fmt::Display for NoTemperatures {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let fields = match self {
            Self::TooFew(fields) => fields,
            Self::OtherClasses => {
                return f.write_str(
                    "probabilities of pixels stay as the network gives them: the study's truth has \
                     other classes than the model",
                );
            }
        };
        let s = if *fields == 1 { "" } else { "s" };
        write!(
            f,
            "{fields} validation field{s} cannot say what probabilities of pixels are worth \
             elsewhere: two are needed, better of two groups, and they stay as the network gives \
             them"
        )
    }
}

/// One over the temperature, of all pixels and of those of each most likely class.
type Powers = (f64, Vec<f64>);

impl Temperatures {
    /// Fits the temperatures of the model `hash` with these `classes`.
    ///
    /// # Errors
    /// [`NoTemperatures::TooFew`] where there are fewer than two fields.
    pub fn fit(
        hash: &str,
        classes: &[String],
        fields: &[FieldPixels],
    ) -> Result<Self, NoTemperatures> {
        let fields: Vec<&FieldPixels> = fields.iter().filter(|f| !f.truth.is_empty()).collect();
        if fields.len() < 2 {
            return Err(NoTemperatures::TooFew(fields.len()));
        }
        let mut groups: Vec<&str> = fields.iter().map(|field| field.group.as_str()).collect();
        groups.sort_unstable();
        groups.dedup();
        let (left_out, units) = match groups.len() {
            1 => (PixelsLeftOut::Field, by(&fields, |field| &field.name)),
            _ => (PixelsLeftOut::Group, by(&fields, |field| &field.group)),
        };
        let without: Vec<Powers> = (0..units.len())
            .map(|unit| {
                let others = units.iter().enumerate().filter(|(i, _)| *i != unit);
                powers(others.flat_map(|(_, fields)| fields), classes.len())
            })
            .collect();
        let pairs = || units.iter().zip(&without);
        let mean = |of: &dyn Fn(&[&FieldPixels], &Powers) -> f64| {
            pairs().map(|(unit, powers)| of(unit, powers)).sum::<f64>() / units.len() as f64
        };
        let log_loss = [
            mean(&|unit, _| log_loss(unit, |_| 1.0)),
            mean(&|unit, (one, _)| log_loss(unit, |_| *one)),
            mean(&|unit, (_, own)| log_loss(unit, |top| own[top])),
        ];
        // Of equally good ones the simplest.
        let mut choice = 0;
        for i in 1..log_loss.len() {
            if log_loss[i] < log_loss[choice] {
                choice = i;
            }
        }
        let found = powers(fields.iter(), classes.len());
        let at = move |(one, own): &Powers, top: usize| [1.0, *one, own[top]][choice];
        let after = pairs().map(|(unit, found)| (unit, move |top| at(found, top)));
        Ok(Self {
            program: format!("stainfree {}", env!("CARGO_PKG_VERSION")),
            model: hash.to_owned(),
            classes: (classes.iter().enumerate())
                .map(|(i, class)| Temperature {
                    class: class.clone(),
                    temperature: 1.0 / at(&found, i),
                })
                .collect(),
            checked: PixelsChecked {
                groups: groups.len(),
                fields: fields.iter().map(|field| field.name.clone()).collect(),
                pixels: fields.iter().map(|field| field.truth.len()).sum(),
                left_out,
                by_class: choice == 2,
                log_loss,
                ece: [
                    ece(pairs().map(|(unit, _)| (unit, |_: usize| 1.0))),
                    ece(after),
                ],
            },
        })
    }
}

/// The fields of each group, or each field.
fn by<'a>(
    fields: &[&'a FieldPixels],
    key: impl Fn(&'a FieldPixels) -> &'a String,
) -> Vec<Vec<&'a FieldPixels>> {
    let mut keys: Vec<&String> = fields.iter().map(|&field| key(field)).collect();
    keys.sort_unstable();
    keys.dedup();
    let of = |name: &&String| {
        let own = fields.iter().copied().filter(|&field| key(field) == *name);
        own.collect()
    };
    keys.iter().map(of).collect()
}

/// The best powers for the pixels of these fields.
fn powers<'a>(fields: impl Iterator<Item = &'a &'a FieldPixels>, classes: usize) -> Powers {
    let mut pixels: Vec<Vec<(&[f32], usize)>> = vec![Vec::new(); classes];
    for (at, class) in fields.flat_map(|field| field.pixels()) {
        pixels[top_of(at)].push((at, class));
    }
    let all: Vec<_> = pixels.iter().flatten().copied().collect();
    let one = best_power(&all);
    let own = |pixels: &Vec<(&[f32], usize)>| match pixels.len() < LEAST_PIXELS {
        true => one,
        false => best_power(pixels),
    };
    let own = pixels.iter().map(own).collect();
    (one, own)
}

/// The power of the largest likelihood. The negative log-likelihood is convex in it, so that its
/// slope has one zero, which is closed in on.
fn best_power(pixels: &[(&[f32], usize)]) -> f64 {
    let [mut low, mut high] = POWERS;
    let mut power = 1.0;
    for _ in 0..60 {
        let (slope, bend) = slope(pixels, power);
        if slope < 0.0 {
            low = power;
        } else {
            high = power;
        }
        let newton = power - slope / bend;
        let next = match newton > low && newton < high {
            true => newton,
            false => (low + high) / 2.0,
        };
        if (next - power).abs() < 1e-9 * power {
            return next;
        }
        power = next;
    }
    power
}

/// First and second derivative of the negative log-likelihood by the power, with what holds it to
/// 1.
fn slope(pixels: &[(&[f32], usize)], power: f64) -> (f64, f64) {
    let (mut slope, mut bend) = (AS_IT_IS * (power - 1.0), AS_IT_IS);
    for &(at, class) in pixels {
        let top = log(at[top_of(at)]);
        let [mut sum, mut first, mut second] = [0.0; 3];
        for &p in at {
            let z = log(p) - top;
            let weight = (power * z).exp();
            sum += weight;
            first += weight * z;
            second += weight * z * z;
        }
        let mean = first / sum;
        slope += mean - (log(at[class]) - top);
        bend += second / sum - mean * mean;
    }
    (slope, bend)
}

fn log(p: f32) -> f64 {
    f64::from(p.max(LEAST)).ln()
}

/// Mean negative log-likelihood of the true classes, each pixel by the power of its class.
fn log_loss(fields: &[&FieldPixels], power: impl Fn(usize) -> f64) -> f64 {
    let (mut loss, mut pixels) = (0.0, 0usize);
    for (at, class) in fields.iter().flat_map(|field| field.pixels()) {
        let top = top_of(at);
        let (power, highest) = (power(top), log(at[top]));
        let sum: f64 = at.iter().map(|&p| (power * (log(p) - highest)).exp()).sum();
        loss += sum.ln() - power * (log(at[class]) - highest);
        pixels += 1;
    }
    loss / pixels.max(1) as f64
}

/// The expected calibration error of the most likely class, all pixels together. Scores that are
/// shown are those of `stainfree-scores`, which this crate does not use; this one is for the
/// record.
fn ece<'a, P: Fn(usize) -> f64>(units: impl Iterator<Item = (&'a Vec<&'a FieldPixels>, P)>) -> f64 {
    let (mut gaps, mut pixels) = ([0.0; BINS], 0usize);
    for (fields, power) in units {
        for (at, class) in fields.iter().flat_map(|field| field.pixels()) {
            let top = top_of(at);
            let mut raised = at.to_vec();
            raise(&mut raised, power(top));
            let p = f64::from(raised[top]);
            let bin = ((p * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
            gaps[bin] += p - f64::from(u8::from(top == class));
            pixels += 1;
        }
    }
    gaps.iter().map(|gap| gap.abs()).sum::<f64>() / pixels.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uniform(seed: u64, i: u64) -> f64 {
        ((number(seed, i) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("c{i}")).collect()
    }

    /// A field whose network says `sigmoid(said(z))` of class 1 where the truth is drawn with
    /// `sigmoid(z)`, `z` evenly from -3 to 3.
    fn field(seed: u64, group: &str, pixels: u64, said: impl Fn(f64) -> f64) -> FieldPixels {
        let logistic = |z: f64| 1.0 / (1.0 + (-z).exp());
        let mut found = FieldPixels {
            name: format!("f{seed}"),
            group: group.to_owned(),
            ..FieldPixels::default()
        };
        for i in 0..pixels {
            let z = 6.0 * uniform(seed, 2 * i) - 3.0;
            let p = logistic(said(z)) as f32;
            found.probabilities.extend([1.0 - p, p]);
            found
                .truth
                .push(u8::from(uniform(seed, 2 * i + 1) < logistic(z)));
        }
        found
    }

    #[test]
    fn a_fit_finds_the_temperature_that_probabilities_were_sharpened_by() {
        // Logits three times too large: the temperature is 3 for both classes.
        let fields = [1, 2, 3, 4].map(|i| field(i, &format!("g{i}"), 5000, |z| 3.0 * z));
        let fitted = Temperatures::fit("m", &names(2), &fields).unwrap();
        for of in &fitted.classes {
            // 20,000 draws leave about 0.015 of the power, 5 % of the temperature.
            assert!((of.temperature - 3.0).abs() < 0.15, "{fitted:?}");
        }
        let checked = &fitted.checked;
        assert_eq!((checked.groups, checked.pixels), (4, 20_000));
        assert_eq!(checked.left_out, PixelsLeftOut::Group);
        assert!(checked.ece[0] > 0.1 && checked.ece[1] < 0.02, "{checked:?}");
        assert!(checked.log_loss[1] < checked.log_loss[0]);
        assert!(
            fitted.sentence().contains("4 groups"),
            "{}",
            fitted.sentence()
        );
    }

    #[test]
    fn classes_have_their_own_temperature_where_they_need_one() {
        // Class 0 is told rightly, class 1 with twice the logit.
        let said = |z: f64| if z > 0.0 { 2.0 * z } else { z };
        let fields = [1, 2, 3].map(|i| field(i, &format!("g{i}"), 8000, said));
        let fitted = Temperatures::fit("m", &names(2), &fields).unwrap();
        assert!(fitted.checked.by_class, "{fitted:?}");
        let [ground, other] = [0, 1].map(|i| fitted.classes[i].temperature);
        assert!((ground - 1.0).abs() < 0.1 && (other - 2.0).abs() < 0.15);
    }

    #[test]
    fn temperatures_that_hold_in_no_other_group_are_not_taken() {
        // One group is far too sure, the other not sure enough: what the one asks for harms the
        // other more than it helps.
        let fields = [
            field(1, "a", 4000, |z| 4.0 * z),
            field(2, "b", 4000, |z| 0.25 * z),
        ];
        let fitted = Temperatures::fit("m", &names(2), &fields).unwrap();
        assert!(fitted.classes.iter().all(|of| of.temperature == 1.0));
        assert_eq!(fitted.checked.ece[0], fitted.checked.ece[1]);
        assert!(
            fitted.sentence().contains("stay as"),
            "{}",
            fitted.sentence()
        );
    }

    #[test]
    fn one_field_is_too_few_and_one_group_leaves_fields_out() {
        let one = [field(1, "a", 1000, |z| z)];
        let error = Temperatures::fit("m", &names(2), &one).unwrap_err();
        assert!(error.to_string().starts_with("1 validation field cannot"));
        let two = [field(1, "a", 1000, |z| z), field(2, "a", 1000, |z| z)];
        let fitted = Temperatures::fit("m", &names(2), &two).unwrap();
        assert_eq!(fitted.checked.left_out, PixelsLeftOut::Field);
    }

    #[test]
    fn a_class_that_is_hardly_ever_the_most_likely_takes_the_temperature_of_all() {
        let mut fields = [1, 2].map(|i| field(i, &format!("g{i}"), 3000, |z| 2.0 * z));
        for field in &mut fields {
            let pixels: Vec<Vec<f32>> = field.pixels().map(|(at, _)| at.to_vec()).collect();
            let third = |at: Vec<f32>| [at[0], at[1], 0.0];
            field.probabilities = pixels.into_iter().flat_map(third).collect();
        }
        let refs: Vec<&FieldPixels> = fields.iter().collect();
        let (one, own) = powers(refs.iter(), 3);
        assert_eq!(own[2], one);
        assert_ne!(own[0], one);
    }

    #[test]
    fn pixels_are_drawn_from_everywhere_but_what_is_ignored() {
        let truth = Image::from_fn(1000, 1000, |y, _| if y < 500 { 1 } else { IGNORED });
        let planes = [0.25, 0.75].map(|p| Image::filled(1000, 1000, p));
        let drawn = FieldPixels::draw(("f", "g"), &planes, &truth, 8);
        // 50,000 of half a million, drawn by chance: four standard errors are 850.
        assert!(
            drawn.truth.len().abs_diff(50_000) < 900,
            "{}",
            drawn.truth.len()
        );
        assert!(
            drawn
                .pixels()
                .all(|(at, class)| at == [0.25, 0.75] && class == 1)
        );
        let few = FieldPixels::draw(("f", "g"), &planes, &truth, 1);
        assert!(
            few.truth.len().abs_diff(400_000) < 1300,
            "{}",
            few.truth.len()
        );
    }
}
