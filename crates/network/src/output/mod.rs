//! What a network says of every pixel, as data: named groups of channels of its last convolution.
//!
//! The first output is always `classes`; further ones are numbers that are learned from labelled
//! objects. Whoever turns the last convolution's channels into something (loss, augmentation,
//! validation, tiles, prediction, the model folder) reads this list and knows no output by name.
//!
//! A further output is a file of this folder, with its data and how its truth is made from labels,
//! and one line in [`KINDS`]. Here: the list, the registry, the truth of a field. Not here: how
//! numbers follow an image that is turned (`values`), losses (`loss`), arithmetic (`kernels`).

mod distance;
mod flow;
mod neighbour;
mod values;

pub use stainfree_kernels::link::Link;
pub use values::{Values, View};

use serde::{Deserialize, Serialize};
use stainfree_image::Image;
use stainfree_kernels::LANES;
use std::collections::BTreeMap;
use std::ops::Range;

/// Name of the first output.
pub const CLASSES: &str = "classes";
/// Class number of a pixel that neither trains nor scores.
pub const IGNORED: u8 = 255;
/// Label of a pixel of which it is not known what it belongs to: it neither trains nor scores.
pub const UNKNOWN: u32 = u32::MAX;

/// Whether a label is an object's.
fn is_object(label: u32) -> bool {
    label != 0 && label != UNKNOWN
}

/// Rows and columns that each object takes.
fn frames(labels: &Image<u32>) -> BTreeMap<u32, [Range<usize>; 2]> {
    let mut frames: BTreeMap<u32, [Range<usize>; 2]> = BTreeMap::new();
    for y in 0..labels.height() {
        for (x, &label) in labels.row(y).iter().enumerate() {
            if is_object(label) {
                let frame = frames.entry(label).or_insert([y..y + 1, x..x + 1]);
                for (range, at) in frame.iter_mut().zip([y, x]) {
                    *range = range.start.min(at)..range.end.max(at + 1);
                }
            }
        }
    }
    frames
}

/// What an output learns by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputLoss {
    /// The sum of terms that the recipe names, on class numbers.
    Recipe,
    /// The mean squared difference.
    Squared,
    /// The mean of half the square of differences up to 1 and of the rest's size minus one half
    /// (Girshick 2015): for numbers in pixels, which a few large mistakes would govern otherwise.
    SmoothL1,
}

impl OutputLoss {
    /// Every loss that an output can have.
    pub const ALL: [OutputLoss; 3] = [
        OutputLoss::Recipe,
        OutputLoss::Squared,
        OutputLoss::SmoothL1,
    ];

    /// The word in files.
    pub fn name(self) -> &'static str {
        match self {
            OutputLoss::Recipe => "recipe",
            OutputLoss::Squared => "squared",
            OutputLoss::SmoothL1 => "smooth-l1",
        }
    }
}

/// One output: a group of neighbouring channels of the last convolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// What it is called: [`CLASSES`], or a name of [`KINDS`].
    pub name: String,
    /// How many channels.
    pub channels: usize,
    /// What they go through.
    #[serde(with = "link_by_name")]
    pub link: Link,
    /// What the numbers are, and so how they follow an image that is turned or resized.
    pub values: Values,
    /// What it learns by.
    pub loss: OutputLoss,
    /// Factor of its loss.
    pub weight: f64,
}

impl Output {
    /// The probabilities of `classes` classes.
    pub fn classes(classes: usize) -> Self {
        Self {
            name: CLASSES.into(),
            channels: classes,
            link: Link::Softmax,
            values: Values::Scalar,
            loss: OutputLoss::Recipe,
            weight: 1.0,
        }
    }
}

/// Channels of all outputs together.
pub fn channels(outputs: &[Output]) -> usize {
    outputs.iter().map(|output| output.channels).sum()
}

/// Every output with its part of `data`, which holds `[channel][pixel]` of all of them.
pub fn parts<'a>(outputs: &'a [Output], data: &'a [f32]) -> Vec<(&'a Output, &'a [f32])> {
    let pixels = data.len() / channels(outputs).max(1);
    let mut rest = data;
    let cut = |output: &'a Output| {
        let (own, next) = rest.split_at(output.channels * pixels);
        rest = next;
        (output, own)
    };
    outputs.iter().map(cut).collect()
}

/// [`parts`] that can be changed.
pub fn parts_mut<'a>(
    outputs: &'a [Output],
    data: &'a mut [f32],
) -> Vec<(&'a Output, &'a mut [f32])> {
    let pixels = data.len() / channels(outputs).max(1);
    let mut rest = data;
    let mut cut = Vec::with_capacity(outputs.len());
    for output in outputs {
        let (own, next) = rest.split_at_mut(output.channels * pixels);
        cut.push((output, own));
        rest = next;
    }
    cut
}

/// A kind of further output; a line of the registry.
pub struct OutputKind {
    /// Name in files.
    pub name: &'static str,
    /// One line for users.
    pub summary: &'static str,
    channels: usize,
    link: Link,
    values: Values,
    loss: OutputLoss,
    weight: f64,
    /// The truth, one image a channel, from labels, [`UNKNOWN`] ones among them; NaN where a pixel
    /// has none.
    truth: fn(&Image<u32>) -> Vec<Image<f32>>,
}

/// Every further output there is.
pub const KINDS: &[OutputKind] = &[distance::KIND, neighbour::KIND, flow::KIND];

impl OutputKind {
    /// The kind called `name`.
    ///
    /// # Errors
    /// [`OutputError::Unknown`] with the names there are.
    pub fn named(name: &str) -> Result<&'static Self, OutputError> {
        let known = || KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>();
        let found = KINDS.iter().find(|kind| kind.name == name);
        found.ok_or_else(|| OutputError::Unknown {
            name: name.into(),
            known: known().join(", "),
        })
    }

    /// What the network would learn from these labels: one image a channel, NaN where a pixel has
    /// no truth.
    pub fn truth(&self, labels: &Image<u32>) -> Vec<Image<f32>> {
        (self.truth)(labels)
    }

    /// The output as data.
    pub fn output(&self) -> Output {
        Output {
            name: self.name.into(),
            channels: self.channels,
            link: self.link,
            values: self.values,
            loss: self.loss,
            weight: self.weight,
        }
    }
}

/// Refuses `further` outputs that cannot stand beside `classes` classes.
pub(crate) fn check(classes: usize, further: &[Output]) -> Result<(), OutputError> {
    if classes < 2 {
        return Err(OutputError::Classes { classes });
    }
    // Numbers of a file may be of any size.
    let add = |sum: usize, output: &Output| sum.saturating_add(output.channels);
    let all = further.iter().fold(classes, add);
    if all > LANES {
        return Err(OutputError::Channels { channels: all });
    }
    for (index, output) in further.iter().enumerate() {
        let wrong = |what: &'static str| {
            let name = output.name.clone();
            Err(OutputError::Wrong { name, what })
        };
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let twice = further[..index].iter().any(|o| o.name == output.name);
        if output.name.is_empty() || !output.name.chars().all(word) {
            return wrong("its name must be of the letters a to z, digits and `-`");
        } else if output.name == CLASSES || twice {
            return wrong("its name stands for another output already");
        } else if output.channels == 0 {
            return wrong("it has no channel");
        } else if output.values.is_vector() && output.channels % 2 == 1 {
            return wrong("vectors have two channels each");
        } else if output.link == Link::Softmax || output.loss == OutputLoss::Recipe {
            return wrong("link `softmax` and loss `recipe` are those of the classes alone");
        } else if !(output.weight.is_finite() && output.weight > 0.0) {
            return wrong("its weight must be a positive number");
        }
    }
    Ok(())
}

/// Makes the truth of further outputs.
pub(crate) struct Truths(Vec<&'static OutputKind>);

impl Truths {
    /// For `outputs`, whose first are the classes.
    pub(crate) fn of(outputs: &[Output]) -> Result<Self, OutputError> {
        let kinds = outputs.iter().skip(1).map(|o| OutputKind::named(&o.name));
        Ok(Self(kinds.collect::<Result<_, _>>()?))
    }

    /// The first output that labels are needed for.
    pub(crate) fn needs_labels(&self) -> Option<&'static str> {
        self.0.first().map(|kind| kind.name)
    }

    /// One image a channel of the further outputs; NaN where label or class is not known.
    pub(crate) fn make(&self, labels: &Image<u32>, classes: &Image<u8>) -> Vec<Image<f32>> {
        // Whatever lies there, it is not known to be another object or none.
        let mut known = labels.clone();
        for (label, &class) in known.data_mut().iter_mut().zip(classes.data()) {
            if *label == 0 && class == IGNORED {
                *label = UNKNOWN;
            }
        }
        let kinds = self.0.iter();
        let mut made: Vec<_> = kinds.flat_map(|kind| (kind.truth)(&known)).collect();
        for plane in &mut made {
            let known = classes.data().iter().zip(labels.data());
            for (value, (&class, &label)) in plane.data_mut().iter_mut().zip(known) {
                if class == IGNORED || label == UNKNOWN {
                    *value = f32::NAN;
                }
            }
        }
        made
    }
}

/// `Link` as its word.
mod link_by_name {
    use super::Link;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(link: &Link, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(link.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Link, D::Error> {
        let name = String::deserialize(from)?;
        Link::parse(&name).ok_or_else(|| {
            let known = Link::ALL.map(Link::name).join("`, `");
            de::Error::custom(format!("`link` is `{name}`; it must be one of `{known}`"))
        })
    }
}

/// Outputs that cannot be had.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OutputError {
    /// Not in the registry.
    #[error("this version cannot train the output `{name}` (known: {known})")]
    Unknown {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// Too few classes.
    #[error("the outputs tell `{classes}` classes apart; a network needs 2 to {LANES}")]
    Classes {
        /// Number of classes.
        classes: usize,
    },
    /// More channels than the kernels take.
    #[error("the outputs have `{channels}` channels together; {LANES} are possible")]
    Channels {
        /// Of classes and further outputs.
        channels: usize,
    },
    /// An output that makes no sense.
    #[error("output `{name}` cannot be used: {what}")]
    Wrong {
        /// The output.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance() -> Output {
        OutputKind::named("distance").unwrap().output()
    }

    #[test]
    fn every_kind_can_stand_beside_classes_and_survives_toml() {
        for kind in KINDS {
            let output = kind.output();
            check(3, std::slice::from_ref(&output)).unwrap();
            let text = toml::to_string(&output).unwrap();
            assert_eq!(toml::from_str::<Output>(&text).unwrap(), output, "{text}");
            // The words of the model's two files are the same.
            assert!(
                text.contains(&format!("loss = \"{}\"", output.loss.name())),
                "{text}"
            );
            assert!(
                text.contains(&format!("values = \"{}\"", output.values.name())),
                "{text}"
            );
            let labels = Image::from_fn(6, 7, |y, _| u32::from(y > 2));
            let truth = (kind.truth)(&labels);
            assert_eq!(truth.len(), kind.channels, "{}", kind.name);
            assert!(truth.iter().all(|plane| plane.size() == labels.size()));
        }
    }

    #[test]
    fn what_is_not_known_of_label_or_class_has_no_truth() {
        let labels = Image::new(1, 4, vec![1, UNKNOWN, 0, 0]);
        let classes = Image::new(1, 4, vec![1, 1, IGNORED, 0]);
        let truths = Truths::of(&[Output::classes(2), distance()]).unwrap();
        let made = truths.make(&labels, &classes);
        let unknown: Vec<bool> = made[0].data().iter().map(|x| x.is_nan()).collect();
        assert_eq!(unknown, [false, true, true, false]);
        assert_eq!(truths.needs_labels(), Some("distance"));
        assert_eq!(
            Truths::of(&[Output::classes(2)]).unwrap().needs_labels(),
            None
        );
    }

    #[test]
    fn outputs_that_make_no_sense_are_named() {
        type Change = fn(&mut Output);
        let wrong = |change: Change| {
            let mut output = distance();
            change(&mut output);
            check(2, &[distance(), output]).unwrap_err().to_string()
        };
        let cases: [(Change, &str); 6] = [
            (|_| (), "stands for another output already"),
            (|o| o.name = CLASSES.into(), "stands for another output"),
            (|o| o.name = "cell distance".into(), "letters a to z"),
            (
                |o| (o.name, o.values) = ("flow".into(), Values::Direction),
                "two channels",
            ),
            (
                |o| (o.name, o.link) = ("flow".into(), Link::Softmax),
                "alone",
            ),
            (|o| (o.name, o.weight) = ("flow".into(), f64::NAN), "weight"),
        ];
        for (change, words) in cases {
            let error = wrong(change);
            assert!(error.contains(words), "{error}");
        }
        let error = check(16, &[distance()]).unwrap_err().to_string();
        assert!(error.contains("`17` channels"), "{error}");
        for classes in [0, 1] {
            let error = check(classes, &[distance()]).unwrap_err();
            assert_eq!(error, OutputError::Classes { classes });
        }
        let endless = Output {
            channels: usize::MAX,
            ..distance()
        };
        let error = check(2, &[distance(), endless]).unwrap_err();
        assert!(matches!(error, OutputError::Channels { .. }), "{error}");
        let named = OutputKind::named("stars").err().unwrap().to_string();
        assert!(
            named.contains("`stars` (known: distance, neighbour, flow)"),
            "{named}"
        );
    }

    #[test]
    fn parts_are_cut_in_order() {
        let outputs = [Output::classes(2), distance()];
        let mut data: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let cut = parts(&outputs, &data);
        assert_eq!((cut[0].1.len(), cut[1].1), (8, &[8.0, 9.0, 10.0, 11.0][..]));
        parts_mut(&outputs, &mut data)[1].1[0] = -1.0;
        assert_eq!(data[7..9], [7.0, -1.0]);
    }
}
