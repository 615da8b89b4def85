//! What the description of a LIF file says of its images.
//!
//! Elements nest: `Element` (a folder or an image), in it `Data`, `Memory` and `Children` with
//! further elements. Attachments, such as the settings of the microscope, hold containers of their
//! own, with elements of regions and the like, which are no images.

use std::path::Path;

use quick_xml::events::BytesStart;

use crate::ImageError;
use crate::format::description::number;
use crate::xml::{Met, attribute, walk_in};

/// What stands in the description.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// Version of the container.
    pub(super) version: Option<String>,
    pub(super) images: Vec<Said>,
    /// Elements with photon events instead of pixels, by name.
    pub(super) events: Vec<String>,
}

/// An image as it is described.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// The names of the folders it lies in, and its own.
    pub(super) path: Vec<String>,
    pub(super) channels: Vec<Channel>,
    pub(super) dimensions: Vec<Dimension>,
    /// Name of the block with its pixels.
    pub(super) block: Option<String>,
    /// Places of the stage, x and y in metres, for each tile.
    pub(super) tiles: Vec<Option<[f64; 2]>>,
    /// Settings of the channels of a widefield microscope.
    pub(super) widefield: Vec<Widefield>,
}

/// An entry `ChannelDescription`.
#[derive(Clone, Debug, Default)]
pub(super) struct Channel {
    pub(super) is_float: bool,
    /// Bits of a sample that mean something.
    pub(super) bits: u32,
    /// 1, 2 and 3 are red, green and blue of one picture.
    pub(super) tag: u32,
    pub(super) table: String,
    /// Bytes from the first channel.
    pub(super) bytes: u64,
    pub(super) detector: String,
    pub(super) dye: String,
}

/// An entry `DimensionDescription`.
#[derive(Clone, Debug, Default)]
pub(super) struct Dimension {
    pub(super) id: u32,
    pub(super) count: u64,
    /// From the first element to the last one.
    pub(super) length: Option<f64>,
    pub(super) unit: String,
    /// Bytes from an element to the next.
    pub(super) bytes: u64,
}

/// An entry `WideFieldChannelInfo`.
#[derive(Clone, Debug, Default)]
pub(super) struct Widefield {
    pub(super) table: String,
    /// Such as `TL-BF`, `TL-PH` or `FLUO`.
    pub(super) contrast: String,
    /// The name that the user gave the channel.
    pub(super) name: String,
}

/// An element that has begun.
#[derive(Default)]
struct Opened {
    name: String,
    image: Option<Said>,
    has_events: bool,
    block: Option<String>,
}

/// Reads the description; `path` is the file that it is of.
///
/// # Errors
/// [`ImageError::Broken`] if it is no XML.
pub(super) fn described(path: &Path, text: &str) -> Result<Described, ImageError> {
    let mut state = State::default();
    walk_in(path, text.as_bytes(), |names, met| match met {
        Met::Start(element) => state.start(names, element),
        Met::End(text) => state.end(names, text),
    })?;
    Ok(state.found)
}

#[derive(Default)]
struct State {
    found: Described,
    opened: Vec<Opened>,
    /// The attachment of the image that has begun.
    attachment: String,
    /// The key of a channel's property that has been met.
    key: String,
}

/// The names below the innermost element of the container itself: none for that element; `None`
/// within containers of attachments.
fn below(names: &[String]) -> Option<&[String]> {
    let nested = names.iter().skip(1);
    let depth = nested.take_while(|name| *name == "Element" || *name == "Children");
    let rest = &names[1 + depth.count()..];
    let nests_again = rest.iter().any(|name| name == "LMSDataContainerHeader");
    (!nests_again).then_some(rest)
}

impl State {
    fn start(&mut self, names: &[String], element: &BytesStart<'_>) {
        let text = |name: &str| attribute(element, name).unwrap_or_default();
        if names.len() == 1 {
            self.found.version = attribute(element, "Version");
            return;
        }
        let Some(rest) = below(names) else {
            return;
        };
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        if rest.is_empty() && names.last().is_some_and(|name| name == "Element") {
            self.opened.push(Opened {
                name: text("Name"),
                ..Opened::default()
            });
            return;
        }
        let Some(opened) = self.opened.last_mut() else {
            return;
        };
        match rest.as_slice() {
            ["Memory"] => opened.block = attribute(element, "MemoryBlockID"),
            ["Data", "Image"] => opened.image = Some(Said::default()),
            ["Data", "SingleMoleculeDetection"] => opened.has_events = true,
            _ => {
                if let Some(image) = &mut opened.image {
                    start_in_image(image, &mut self.attachment, &rest, element);
                }
            }
        }
    }

    fn end(&mut self, names: &[String], text: &str) {
        let Some(rest) = below(names) else {
            return;
        };
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        match rest.as_slice() {
            [] if names.len() > 1 && names.last().is_some_and(|name| name == "Element") => {
                self.close();
            }
            [.., "ChannelDescription", "ChannelProperty", "Key"] => self.key = text.to_string(),
            [.., "ChannelDescription", "ChannelProperty", "Value"] => {
                let image = self.opened.last_mut().and_then(|open| open.image.as_mut());
                let channel = image.and_then(|image| image.channels.last_mut());
                match (channel, self.key.as_str()) {
                    (Some(channel), "DetectorName") => channel.detector = text.to_string(),
                    (Some(channel), "DyeName") => channel.dye = text.to_string(),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Ends the innermost element.
    fn close(&mut self) {
        // The outermost element is the file; it is named only where it is an image itself.
        let from = usize::from(self.opened.len() > 1);
        let names = self.opened.iter().skip(from);
        let path: Vec<String> = names.map(|open| open.name.clone()).collect();
        let Some(opened) = self.opened.pop() else {
            return;
        };
        match opened.image {
            Some(image) => self.found.images.push(Said {
                path,
                block: opened.block,
                ..image
            }),
            None if opened.has_events => self.found.events.push(path.join("/")),
            None => {}
        }
    }
}

/// The beginning of an element in the description of an image.
fn start_in_image(
    image: &mut Said,
    attachment: &mut String,
    rest: &[&str],
    element: &BytesStart<'_>,
) {
    let text = |name: &str| attribute(element, name).unwrap_or_default();
    let value = |name: &str| number(&text(name));
    match rest {
        [
            "Data",
            "Image",
            "ImageDescription",
            "Channels",
            "ChannelDescription",
        ] => {
            image.channels.push(Channel {
                is_float: text("DataType").trim() == "1",
                bits: whole(&text("Resolution")),
                tag: whole(&text("ChannelTag")),
                table: text("LUTName"),
                bytes: whole(&text("BytesInc")),
                ..Channel::default()
            });
        }
        [
            "Data",
            "Image",
            "ImageDescription",
            "Dimensions",
            "DimensionDescription",
        ] => image.dimensions.push(Dimension {
            id: whole(&text("DimID")),
            count: whole(&text("NumberOfElements")),
            length: value("Length"),
            unit: text("Unit"),
            bytes: whole(&text("BytesInc")),
        }),
        ["Data", "Image", "Attachment"] => *attachment = text("Name"),
        ["Data", "Image", "Attachment", "Tile"] if attachment == "TileScanInfo" => {
            let place = value("PosX").zip(value("PosY"));
            image.tiles.push(place.map(|(x, y)| [x, y]));
        }
        ["Data", "Image", "Attachment", .., "WideFieldChannelInfo"] => {
            image.widefield.push(Widefield {
                table: text("LUT"),
                contrast: text("ContrastingMethodName"),
                name: text("UserDefName"),
            });
        }
        _ => {}
    }
}

/// A whole number; the largest one for what is none, so that nothing is taken for it.
fn whole<T: std::str::FromStr + Bound>(text: &str) -> T {
    text.trim().parse().unwrap_or(T::MOST)
}

/// The largest number of a type.
trait Bound {
    const MOST: Self;
}

impl Bound for u32 {
    const MOST: Self = Self::MAX;
}

impl Bound for u64 {
    const MOST: Self = Self::MAX;
}
