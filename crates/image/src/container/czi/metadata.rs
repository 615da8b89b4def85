//! The description of a CZI file: XML in the segment `ZISRAWMETADATA`.
//!
//! The segment begins with the XML's length (int32); the text follows at byte 256. Below
//! `ImageDocument/Metadata`: `Information/Image/Dimensions` has channels, scenes, times;
//! `Scaling/Items/Distance` the size of a pixel in metres, 0 where it is not known;
//! `DisplaySetting/Channels` once more the channels, by their `Id`. A well stands in a scene's
//! `ArrayName` or in the `Shape` of the plate (`Name`, `RowIndex`, `ColumnIndex` from 1). Centres
//! are um of the stage, with y downwards as in the image. Read from real files.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use quick_xml::events::BytesStart;
use regex::Regex;

use super::directory::{content, int};
use crate::ImageError;
use crate::container::{Bytes, ChannelSaid};
use crate::format::description::{Length, both, number};
use crate::names::{printed_well, well_name};
use crate::table::text_of;
use crate::xml::{Met, attribute, walk_in};

/// Bytes of the longest description that is read; those of real files have up to some millions.
const MOST_BYTES: u64 = 1 << 28;

/// What a file says of its images.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    /// In the order of the file.
    pub(super) channels: Vec<ChannelSaid>,
    pub(super) scenes: Vec<Scene>,
    pub(super) pixel_um: Option<f64>,
    pub(super) z_step_um: Option<f64>,
    pub(super) time_step_s: Option<f64>,
    /// Sizes that it declares, by the letter of their dimension.
    pub(super) sizes: BTreeMap<char, usize>,
    pub(super) problems: Vec<String>,
}

/// What a file says of a scene.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scene {
    pub(super) index: Option<i32>,
    pub(super) name: String,
    /// As printed on the plate.
    pub(super) well: Option<String>,
    /// From the middle of the well, or in the stage's own system.
    pub(super) centre_um: Option<[f64; 2]>,
}

impl Metadata {
    /// Reads the description at `position`; one that is missing or damaged is a problem.
    pub(super) fn read(bytes: &mut Bytes<'_>, position: Option<u64>) -> Self {
        let failed = |what: String| Self {
            problems: vec![format!(
                "{what}, so that names of channels, wells and the pixel size are not known"
            )],
            ..Self::default()
        };
        let Some(position) = position else {
            return failed("it has no description".into());
        };
        let read = text_at(bytes, position).and_then(|text| Said::of(bytes, &text));
        match read {
            Ok(said) => said.understood(),
            Err(ImageError::Broken { what, .. }) => {
                failed(format!("its description cannot be read ({what})"))
            }
            Err(error) => failed(format!("its description cannot be read ({error})")),
        }
    }
}

fn text_at(bytes: &mut Bytes<'_>, position: u64) -> Result<String, ImageError> {
    const FIRST: usize = 256;
    let segment = content(bytes, position, "ZISRAWMETADATA", MOST_BYTES)?;
    let length = int(&segment, 0).and_then(|length| usize::try_from(length).ok());
    let text = segment.get(FIRST..);
    let text = length.and_then(|length| text?.get(..length));
    let text = text.ok_or_else(|| bytes.broken("it ends before its description does"))?;
    Ok(text_of(text).trim_end_matches('\0').to_string())
}

/// Texts of an element's children and its attributes, by name; those of children of children
/// after their parent's name.
type Facts = BTreeMap<String, String>;

/// The parts of the description that matter, as they stand there.
#[derive(Default)]
struct Said {
    channels: Vec<Facts>,
    shown: Vec<Facts>,
    scenes: Vec<Facts>,
    /// Metres by the name of the direction.
    scaling: Facts,
    times: Facts,
    sizes: BTreeMap<char, usize>,
}

impl Said {
    fn of(bytes: &Bytes<'_>, text: &str) -> Result<Self, ImageError> {
        let mut said = Self::default();
        let mut direction = String::new();
        walk_in(bytes.path, text.as_bytes(), |names, met| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let ["ImageDocument", "Metadata", names @ ..] = &names[..] else {
                return;
            };
            match names {
                ["Scaling", "Items", "Distance", rest @ ..] => match (rest, met) {
                    ([], Met::Start(element)) => {
                        direction = attribute(element, "Id").unwrap_or_default();
                    }
                    (["Value"], Met::End(text)) => {
                        said.scaling.insert(direction.clone(), text.into());
                    }
                    _ => {}
                },
                ["Information", "Image", rest @ ..] => said.image(rest, met),
                ["DisplaySetting", "Channels", "Channel", rest @ ..] => {
                    keep(&mut said.shown, rest, met);
                }
                _ => {}
            }
        })?;
        Ok(said)
    }

    /// Something below `Information/Image`.
    fn image(&mut self, names: &[&str], met: Met<'_, '_>) {
        match (names, met) {
            (["Dimensions", "Channels", "Channel", rest @ ..], met) => {
                keep(&mut self.channels, rest, met);
            }
            (["Dimensions", "S", "Scenes", "Scene", rest @ ..], met) => {
                keep(&mut self.scenes, rest, met);
            }
            (["Dimensions", "T", rest @ ..], Met::End(text)) => {
                self.times.insert(rest.join("/"), text.into());
            }
            ([name], Met::End(text)) => {
                let letter = name.strip_prefix("Size").and_then(|rest| rest.parse().ok());
                if let (Some(letter), Ok(size)) = (letter, text.parse()) {
                    self.sizes.insert(letter, size);
                }
            }
            _ => {}
        }
    }

    fn understood(self) -> Metadata {
        let mut problems = Vec::new();
        let length = |direction: &str| {
            let metres = self.scaling.get(direction).and_then(|text| number(text));
            metres.map_or(Length::Unstated, |metres| Length::of(metres, "m"))
        };
        let pixel_um = both(length("X"), length("Y")).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        let scenes = self.scenes.iter().map(|facts| scene(facts, &mut problems));
        let scenes = scenes.collect();
        let channels = self.channels.iter();
        Metadata {
            channels: channels.map(|facts| channel(facts, &self.shown)).collect(),
            scenes,
            pixel_um,
            z_step_um: match length("Z") {
                Length::Um(step) => Some(step),
                _ => None,
            },
            time_step_s: time_step(&self.times),
            sizes: self.sizes,
            problems,
        }
    }
}

/// Takes in what is met at or in the last of several elements of one name.
fn keep(all: &mut Vec<Facts>, names: &[&str], met: Met<'_, '_>) {
    if let ([], Met::Start(_)) = (names, &met) {
        all.push(Facts::new());
    }
    let Some(facts) = all.last_mut() else {
        return;
    };
    let of = |element: &BytesStart<'_>, name: &str| attribute(element, name);
    match (names, met) {
        ([], Met::Start(element)) => {
            for name in ["Id", "Name", "Index"] {
                facts.extend(of(element, name).map(|value| (name.into(), value)));
            }
        }
        (["Shape"], Met::Start(element)) => {
            facts.extend(of(element, "Name").map(|value| ("Shape/Name".into(), value)));
        }
        ([_] | ["Shape", _], Met::End(text)) if !text.is_empty() => {
            // An attribute is the thing's own name, an element may be called like it.
            facts.entry(names.join("/")).or_insert_with(|| text.into());
        }
        _ => {}
    }
}

/// A channel, with what is only said where it is told how it is shown.
fn channel(facts: &Facts, shown: &[Facts]) -> ChannelSaid {
    let id = facts.get("Id");
    let shown = shown
        .iter()
        .find(|other| id.is_some() && other.get("Id") == id);
    let own = |name: &str| facts.get(name).filter(|text| !text.trim().is_empty());
    let other = |name: &str| shown.and_then(|shown| shown.get(name));
    let name = own("Name").or_else(|| own("Fluor"));
    let name = name.or_else(|| other("Name").filter(|text| !text.trim().is_empty()));
    let illumination = own("IlluminationType").or_else(|| other("IlluminationType"));
    ChannelSaid {
        name: name.or(id).cloned().unwrap_or_default(),
        transmitted: transmitted(
            illumination.map_or("", String::as_str),
            own("ContrastMethod").map_or("", String::as_str),
        ),
    }
}

/// Whether light went through the specimen. A laser scanning microscope may call the light of its
/// transmission detector `Epifluorescence`, with `Other` contrast: there it is not known.
fn transmitted(illumination: &str, contrast: &str) -> Option<bool> {
    match (illumination, contrast) {
        ("Transmitted", _) | (_, "Brightfield") => Some(true),
        (_, "Fluorescence") | ("Epifluorescence" | "Fluorescence", "") => Some(false),
        _ => None,
    }
}

fn scene(facts: &Facts, problems: &mut Vec<String>) -> Scene {
    let text = |name: &str| facts.get(name).map(String::as_str).unwrap_or_default();
    let name = text("Name").trim().to_string();
    let index = |name: &str| {
        let index: Option<u32> = text(name).trim().parse().ok();
        index.filter(|index| (1..=MOST_ON_PLATE).contains(index))
    };
    let counted = index("Shape/RowIndex").zip(index("Shape/ColumnIndex"));
    let counted = counted.map(|(row, column)| well_name(row, column));
    let named = well_of(text("ArrayName")).or_else(|| well_of(text("Shape/Name")));
    if let (Some(named), Some(counted)) = (&named, &counted)
        && named != counted
    {
        problems.push(format!(
            "scene `{name}` is in well `{named}` by its name and in `{counted}` by its row and \
             column; the name is taken"
        ));
    }
    // A shape with another name is no well, such as the slides in a frame.
    let counted = counted.filter(|_| text("Shape/Name").trim().is_empty());
    let well = named.or(counted);
    let centre = point(text("CenterPosition"));
    let middle = point(text("Shape/CenterPosition")).filter(|_| well.is_some());
    let [x, y] = middle.unwrap_or_default();
    Scene {
        index: text("Index").trim().parse().ok(),
        centre_um: centre.map(|centre| [centre[0] - x, centre[1] - y]),
        name,
        well,
    }
}

/// Most rows and columns that are believed; a plate of 1,536 wells has 32 x 48.
const MOST_ON_PLATE: u32 = 99;

static WELL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^([A-Za-z]{1,2})[ -]?0*([1-9]\d?)$").expect("a valid pattern"));

/// The well of a text such as `D6`, `d06` or `AF48`, as printed on the plate.
fn well_of(text: &str) -> Option<String> {
    let found = WELL.captures(text.trim())?;
    printed_well(&found[1], &found[2])
}

/// Two numbers with a comma between them.
fn point(text: &str) -> Option<[f64; 2]> {
    let (x, y) = text.split_once(',')?;
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
    Some([number(x)?, number(y)?])
}

/// Seconds between times, where they are stated and all alike.
fn time_step(times: &Facts) -> Option<f64> {
    /// A list of more numbers may be cut off within the last.
    const SURE: usize = 64;
    if let Some(step) = times.get("Positions/Interval/Increment") {
        return number(step).filter(|step| step.is_finite() && *step > 0.0);
    }
    let offsets = times.get("Positions/List/Offsets")?;
    let mut offsets: Vec<f64> = offsets.split_whitespace().map_while(number).collect();
    if offsets.len() > SURE {
        offsets.pop();
    }
    even_step(&offsets)
}

/// The step between numbers that rise evenly, to a twentieth of it.
pub(super) fn even_step(numbers: &[f64]) -> Option<f64> {
    let (first, last) = (numbers.first()?, numbers.last()?);
    let step = (last - first) / (numbers.len() - 1) as f64;
    let even = |pair: &[f64]| (pair[1] - pair[0] - step).abs() <= 0.05 * step;
    (step.is_finite() && step > 0.0 && numbers.windows(2).all(even)).then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wells_are_told_from_other_names() {
        for (text, well) in [
            ("D6", Some("D06")),
            (" d06 ", Some("D06")),
            ("B-12", Some("B12")),
            ("AF48", Some("AF48")),
            ("Slide 1", None),
            ("TR1x", None),
            ("A0", None),
            ("6", None),
            ("", None),
        ] {
            assert_eq!(well_of(text).as_deref(), well, "{text}");
        }
    }

    #[test]
    fn light_that_is_not_named_is_not_guessed() {
        for (illumination, contrast, expected) in [
            ("Transmitted", "Brightfield", Some(true)),
            ("Transmitted", "PolarizedLight", Some(true)),
            ("", "Brightfield", Some(true)),
            ("Epifluorescence", "Fluorescence", Some(false)),
            ("Fluorescence", "", Some(false)),
            ("Epifluorescence", "Other", None),
            ("", "", None),
        ] {
            assert_eq!(
                transmitted(illumination, contrast),
                expected,
                "{illumination}"
            );
        }
    }

    #[test]
    fn only_even_steps_are_steps() {
        assert_eq!(even_step(&[0.0, 60.075, 120.15]), Some(60.075));
        for uneven in [
            &[][..],
            &[0.0],
            &[0.0, 1.0, 9.0],
            &[0.0, 0.0],
            &[f64::NAN, 1.0],
        ] {
            assert_eq!(even_step(uneven), None, "{uneven:?}");
        }
    }
}
