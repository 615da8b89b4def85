//! From a network's numbers to nuclei.

use std::borrow::Cow;

use stainfree_image::Image;
use stainfree_network::model::{Model, sha256};
use stainfree_objects::{Distances, NUCLEUS, NucleusRule, PredictedField, nuclei_from_prediction};

use crate::InferenceError;
use crate::confidence::{FeatureTable, Maps};
use crate::decisions::{
    DISTANCES, Decisions, FLOW, UNKNOWN_UM, default_rule, reads_distances, reads_flow,
};
use crate::prediction::{PROBABILITIES, Pixels, PredictedOutput};

/// The class of mitotic nuclei, where a model has one.
pub const MITOTIC: &str = "mitotic";

/// The classes of scheme B, in their order.
const SCHEME_B: [&str; 4] = ["background", "nucleus", "boundary", "split"];

/// What the probability of a nucleus of any kind is called where it is all that is left of the
/// probabilities.
const OF_A_NUCLEUS: &str = "nucleus probability";

/// Nucleus instances of a predicted image.
#[derive(Clone, Debug, PartialEq)]
pub struct Nuclei {
    /// 0 is background.
    pub labels: Image<u32>,
    /// Their number.
    pub count: usize,
}

/// Makes nuclei of what a model's network says, by the model's rule.
#[derive(Clone, Debug, PartialEq)]
pub struct NucleusDecoder {
    /// Names of the classes, in the order of their numbers.
    pub classes: Vec<String>,
    /// The rule.
    pub rule: NucleusRule,
    /// Pixel size for images that do not know theirs, um; without one, nuclei that touch are parted
    /// only by what the network says of them.
    pub pixel_um: Option<f64>,
    /// Whether the rule's lengths are in pixels: the size of an image's pixels is not looked at.
    pub in_pixels: bool,
}

impl NucleusDecoder {
    /// The decoder of a model, by the rule that was chosen for it, else by the default.
    pub fn of_model(model: &Model, chosen: Option<&Decisions>) -> Self {
        let default = || default_rule(model.graph.outputs());
        Self {
            classes: model.info.classes.clone(),
            rule: chosen.map_or_else(default, |chosen| chosen.rule.clone()),
            pixel_um: model.info.pixel_um,
            in_pixels: chosen.is_some_and(|chosen| chosen.in_pixels),
        }
    }

    /// The nuclei of an image with pixels of `pixel_um`, where that is known: cleaned up and
    /// parted, or by the predicted lines where the classes are those of scheme B.
    ///
    /// # Errors
    /// [`InferenceError::Nuclei`] if the pixel size is not a positive number, or the rule reads
    /// what was not predicted.
    pub fn decode(&self, pixels: &Pixels, pixel_um: Option<f64>) -> Result<Nuclei, InferenceError> {
        // A mitotic nucleus is a nucleus, whatever its class.
        let mitotic = self.mitotic();
        let classes = match mitotic {
            None => Cow::Borrowed(&pixels.classes),
            Some(mitotic) => Cow::Owned(
                pixels
                    .classes
                    .map(|&class| if class == mitotic { NUCLEUS } else { class }),
            ),
        };
        let [probability, border, neighbour, down, right] = self.maps(pixels);
        let field = PredictedField {
            classes: &classes,
            lines: self.has_lines(),
            probability: probability.as_deref(),
            distances: border.as_deref().map(|border| Distances {
                border,
                neighbour: neighbour.as_deref(),
            }),
            flow: match (&down, &right) {
                (Some(down), Some(right)) => Some([down, right]),
                _ => None,
            },
        };
        let found = nuclei_from_prediction(&field, self.unit(pixel_um), &self.rule)?;
        Ok(Nuclei {
            labels: found.image,
            count: found.count,
        })
    }

    /// The class of mitotic nuclei, where there is one.
    pub(crate) fn mitotic(&self) -> Option<u8> {
        let mitotic = self.classes.iter().position(|name| name == MITOTIC);
        mitotic.and_then(|class| u8::try_from(class).ok())
    }

    /// What the rule reads beside the classes: the probability of a nucleus, the distances to the
    /// border and to the neighbour, the flow down and to the right.
    pub(crate) fn maps<'a>(&self, pixels: &'a Pixels) -> [Option<Cow<'a, Image<f32>>>; 5] {
        let probability = self.rule.threshold.and_then(|_| self.probability(pixels));
        let distances = match reads_distances(&self.rule) {
            true => DISTANCES.map(|name| plane_of(pixels, name, 0)),
            false => [None, None],
        };
        let flow = match reads_flow(&self.rule) {
            true => [0, 1].map(|channel| plane_of(pixels, FLOW, channel)),
            false => [None, None],
        };
        let ([border, neighbour], [down, right]) = (distances, flow);
        [probability.map(Cow::Owned), border, neighbour, down, right]
    }

    /// The most maps that [`maps`](Self::maps) gives.
    pub(crate) fn maps_read(&self) -> usize {
        usize::from(self.rule.threshold.is_some())
            + 2 * usize::from(reads_distances(&self.rule))
            + 2 * usize::from(reads_flow(&self.rule))
    }

    /// What the rule takes a pixel of an image for, which may know its size.
    pub fn unit(&self, pixel_um: Option<f64>) -> Option<f64> {
        match self.in_pixels {
            true => Some(UNKNOWN_UM),
            false => pixel_um.or(self.pixel_um),
        }
    }

    /// Eight hexadecimal digits that rule and pixel size are recognised by.
    pub fn word(&self) -> String {
        let rule = toml::to_string(&self.rule).unwrap_or_default();
        let text = format!("{rule}{:?}{}", self.pixel_um, self.in_pixels);
        sha256(text.as_bytes())[..8].to_owned()
    }

    /// The features of nuclei that were decoded from these pixels, by which a confidence is told;
    /// an empty table where no probabilities are there. Areas are in pixels where those of the
    /// confidence are (`in_pixels`), whatever size the image's pixels have.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn features(
        &self,
        pixels: &Pixels,
        labels: &Image<u32>,
        pixel_um: Option<f64>,
        in_pixels: bool,
    ) -> FeatureTable {
        let [Some(probability), distance, neighbour] = self.feature_maps(pixels) else {
            return FeatureTable::default();
        };
        let maps = Maps {
            probability: &probability,
            distance: distance.as_deref(),
            neighbour: neighbour.as_deref(),
        };
        FeatureTable::new(labels, &maps, self.feature_um(pixel_um, in_pixels))
    }

    /// What features are taken from: the probability of a nucleus, the distance to the border, and
    /// that to the neighbour.
    pub(crate) fn feature_maps<'a>(&self, pixels: &'a Pixels) -> [Option<Cow<'a, Image<f32>>>; 3] {
        let [distance, neighbour] = DISTANCES.map(|name| plane_of(pixels, name, 0));
        let probability = self.probability(pixels).map(Cow::Owned);
        [probability, distance, neighbour]
    }

    /// The side of a pixel that features go by; `None` where sizes do not count.
    pub(crate) fn feature_um(&self, pixel_um: Option<f64>, in_pixels: bool) -> Option<f64> {
        pixel_um.or(self.pixel_um).filter(|_| !in_pixels)
    }

    /// Takes from `pixels` what [`NucleusDecoder::decode`] does not read, nor
    /// [`NucleusDecoder::features`] where those are `wanted`: outputs are the largest things in
    /// memory. Of the probabilities one plane is left.
    pub fn keep_only_needed(&self, pixels: &mut Pixels, wanted: bool) {
        let threshold = self.rule.threshold.is_some();
        let sum = (threshold || wanted)
            .then(|| self.probability(pixels))
            .flatten();
        let mut outputs = pixels.outputs.iter_mut();
        if let Some((output, plane)) = outputs.find(|o| o.name == PROBABILITIES).zip(sum) {
            output.name = OF_A_NUCLEUS.to_owned();
            output.channels = vec![OF_A_NUCLEUS.to_owned()];
            output.planes = vec![plane];
        }
        let needed = |output: &PredictedOutput| match &output.name[..] {
            OF_A_NUCLEUS => threshold || wanted,
            FLOW => reads_flow(&self.rule),
            name => DISTANCES.contains(&name) && (wanted || reads_distances(&self.rule)),
        };
        pixels.outputs.retain(needed);
    }

    /// Whether the classes are those of scheme B.
    pub(crate) fn has_lines(&self) -> bool {
        let names = self.classes.iter().map(String::as_str);
        names.take(SCHEME_B.len()).eq(SCHEME_B)
    }

    /// The probability that a pixel is a nucleus', of whatever kind, or a line of one.
    fn probability(&self, pixels: &Pixels) -> Option<Image<f32>> {
        if let Some(found) = plane_of(pixels, OF_A_NUCLEUS, 0) {
            return Some(found.into_owned());
        }
        let lines = self.has_lines();
        let counts = |(class, name): &(usize, &String)| {
            *class == usize::from(NUCLEUS)
                || *name == MITOTIC
                || lines && SCHEME_B[2..].contains(&name.as_str())
        };
        let classes = self.classes.iter().enumerate().filter(counts);
        let planes = pixels.probabilities();
        let mut sum: Option<Image<f32>> = None;
        for plane in classes.filter_map(|(class, _)| planes.get(class)) {
            let Some(sum) = &mut sum else {
                sum = Some(plane.clone());
                continue;
            };
            for (sum, p) in sum.data_mut().iter_mut().zip(plane.data()) {
                *sum += p;
            }
        }
        sum
    }
}

/// A plane of an output; 0 where nothing was seen.
fn plane_of<'a>(pixels: &'a Pixels, name: &str, channel: usize) -> Option<Cow<'a, Image<f32>>> {
    let output = pixels.outputs.iter().find(|output| output.name == name)?;
    let plane = output.planes.get(channel)?;
    Some(match plane.data().iter().all(|value| value.is_finite()) {
        true => Cow::Borrowed(plane),
        false => Cow::Owned(plane.map(|&value| if value.is_finite() { value } else { 0.0 })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn nuclei(
        classes: &Image<u8>,
        names: &[String],
        pixel_um: Option<f64>,
    ) -> Result<Nuclei, InferenceError> {
        let pixels = Pixels {
            classes: classes.clone(),
            outputs: Vec::new(),
            blank_share: 0.0,
            remarks: Vec::new(),
        };
        let decoder = NucleusDecoder {
            classes: names.to_vec(),
            rule: NucleusRule::default(),
            pixel_um: None,
            in_pixels: false,
        };
        decoder.decode(&pixels, pixel_um)
    }

    /// Two discs of `classes` side by side, of 20 pixels each, with a line of `line` between.
    fn two_discs(classes: [u8; 2], line: Option<u8>) -> Image<u8> {
        Image::from_fn(48, 80, |y, x| {
            let inside = |at: usize| {
                let (dy, dx) = (y as f64 - 24.0, x as f64 - at as f64);
                dy * dy + dx * dx <= 400.0
            };
            match (line, inside(22), inside(58)) {
                (Some(line), true, _) if x >= 39 => line,
                (Some(line), _, true) if x <= 41 => line,
                (_, true, _) => classes[0],
                (_, _, true) => classes[1],
                _ => 0,
            }
        })
    }

    #[test]
    fn a_mitotic_nucleus_is_a_nucleus() {
        let scheme = names(&["background", "nucleus", "cytoplasm", MITOTIC]);
        let found = nuclei(&two_discs([1, 3], None), &scheme, Some(0.5)).unwrap();
        assert_eq!(found.count, 2);
        assert_ne!(found.labels.get(24, 22), found.labels.get(24, 58));
        // Another class of that number is none.
        let other = names(&["background", "nucleus", "cytoplasm", "debris"]);
        let found = nuclei(&two_discs([1, 3], None), &other, Some(0.5)).unwrap();
        assert_eq!((found.count, found.labels.get(24, 58)), (1, 0));
    }

    #[test]
    fn lines_of_scheme_b_are_no_background() {
        let scheme = names(&["background", "nucleus", "boundary", "split"]);
        let classes = two_discs([1, 1], Some(3));
        let with_lines = nuclei(&classes, &scheme, Some(0.5)).unwrap();
        assert_eq!(with_lines.count, 2);
        let area = |found: &Nuclei| found.labels.data().iter().filter(|&&l| l > 0).count();
        let plain = names(&["background", "nucleus", "cytoplasm"]);
        let without = nuclei(&classes, &plain, Some(0.5)).unwrap();
        assert!(area(&with_lines) > area(&without), "lines go to the nuclei");
    }

    #[test]
    fn a_pixel_size_that_is_none_is_refused() {
        let scheme = names(&["background", "nucleus"]);
        let error = nuclei(&two_discs([1, 1], None), &scheme, Some(0.0)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "pixel size `0` um is not a positive number; give it in um or leave it out"
        );
    }

    #[test]
    fn a_rule_reads_the_probability_of_every_kind_and_keeps_no_more_than_it_reads() {
        let scheme = names(&["background", "nucleus", "cytoplasm", MITOTIC]);
        let classes = two_discs([1, 3], None);
        // A quarter each: of either kind alone no pixel is a nucleus', of both half of them are.
        let plane = |share: f32| classes.map(|&class| if class > 0 { share } else { 0.0 });
        let output = |name: &str, planes: Vec<Image<f32>>| PredictedOutput {
            name: name.to_owned(),
            values: stainfree_network::output::Values::Scalar,
            channels: planes.iter().map(|_| name.to_owned()).collect(),
            planes,
        };
        let mut border = plane(0.6);
        border.data_mut()[0] = f32::NAN;
        let shares = [0.2, 0.3, 0.2, 0.3].map(plane).to_vec();
        let mut pixels = Pixels {
            classes,
            outputs: vec![
                output(PROBABILITIES, shares),
                output("distance", vec![border]),
            ],
            blank_share: 0.0,
            remarks: Vec::new(),
        };
        let with = |threshold: f64, least_distance: f64| NucleusDecoder {
            classes: scheme.clone(),
            rule: NucleusRule {
                threshold: Some(threshold),
                least_distance,
                ..NucleusRule::default()
            },
            pixel_um: Some(0.5),
            in_pixels: false,
        };
        let count =
            |pixels: &Pixels, decoder: &NucleusDecoder| decoder.decode(pixels, None).unwrap().count;
        assert_eq!(count(&pixels, &with(0.5, 0.0)), 2);
        assert_eq!(count(&pixels, &with(0.7, 0.0)), 0);
        assert_eq!(count(&pixels, &with(0.5, 0.55)), 2);
        assert_eq!(count(&pixels, &with(0.5, 0.65)), 0);
        with(0.5, 0.55).keep_only_needed(&mut pixels, false);
        let kept: Vec<usize> = pixels.outputs.iter().map(|o| o.planes.len()).collect();
        assert_eq!(kept, [1, 1]);
        assert_eq!(count(&pixels, &with(0.5, 0.55)), 2);
        assert_eq!(count(&pixels, &with(0.7, 0.0)), 0);
        // Features read both, whatever the rule does.
        with(0.5, 0.0).keep_only_needed(&mut pixels, true);
        assert_eq!(pixels.outputs.len(), 2);
        let labels = with(0.5, 0.0).decode(&pixels, None).unwrap().labels;
        let features = |in_pixels| {
            let table = with(0.5, 0.0).features(&pixels, &labels, Some(0.5), in_pixels);
            table.areas().next().unwrap()
        };
        assert!((features(true) - 4.0 * features(false)).abs() < 1e-6);
        with(0.5, 0.0).keep_only_needed(&mut pixels, false);
        assert_eq!(pixels.outputs.len(), 1);
        NucleusDecoder {
            rule: NucleusRule::default(),
            ..with(0.5, 0.0)
        }
        .keep_only_needed(&mut pixels, false);
        assert_eq!(pixels.outputs, []);
    }
}
