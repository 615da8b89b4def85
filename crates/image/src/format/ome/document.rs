//! OME-XML as it is written: images, which file holds which of their planes, plates.
//!
//! Read from the schemas 2003-FC to 2016-06: names of elements are matched without their prefix,
//! and `LogicalChannel` and `ChannelInfo` are channels of older schemas. Lengths have the unit µm
//! and times s where none is stated; a position without a unit is in no known one, but scanR
//! writes µm without saying so. What a program keeps for itself (`StructuredAnnotations`) may hold
//! elements of the same names, and is passed over.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::super::description::{Length, attribute, both, number, um_of};
use super::super::{Axes, Dimension, NO_SIZE_TAKEN};

/// All that the XML says that matters here.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) images: Vec<Stated>,
    pub(crate) plates: Vec<Plate>,
    /// The identifier of the file that the XML was written into.
    pub(crate) uuid: Option<String>,
    /// The metadata is in another file.
    pub(crate) elsewhere: Option<Elsewhere>,
    /// Whether pixels lie in the XML itself.
    pub(crate) has_pixels: bool,
    /// Sentences about damage.
    pub(crate) problems: Vec<String>,
    /// Whether positions without a unit are in µm.
    positions_in_um: bool,
}

/// Where the metadata of a file lies that has only pixels (`BinaryOnly`).
#[derive(Debug)]
pub(crate) struct Elsewhere {
    pub(crate) file: Option<String>,
    pub(crate) uuid: Option<String>,
}

/// One `Image` element.
#[derive(Debug, Default)]
pub(crate) struct Stated {
    pub(crate) id: String,
    pub(crate) name: String,
    /// What the position on the stage is called.
    pub(crate) label: Option<String>,
    /// Height and width.
    pub(crate) size: Option<(usize, usize)>,
    pub(crate) axes: Option<Axes>,
    pub(crate) channels: Vec<Channel>,
    pub(crate) pixel_um: Option<f64>,
    pub(crate) z_step_um: Option<f64>,
    pub(crate) time_step_s: Option<f64>,
    pub(crate) centre_um: Option<[f64; 2]>,
    /// A sentence about its pixel size.
    pub(crate) problem: Option<String>,
    pub(crate) blocks: Vec<Block>,
}

/// One channel of an image.
#[derive(Clone, Debug, Default)]
pub(crate) struct Channel {
    pub(crate) name: Option<String>,
    /// Samples a pixel.
    samples: Option<usize>,
    /// Whether it was taken in transmitted light, where that is said.
    pub(crate) transmitted: Option<bool>,
}

/// One `TiffData` element: planes that follow one another in a file.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) page: Option<usize>,
    /// Channel, plane and time of the first of its planes.
    pub(crate) first: [usize; 3],
    pub(crate) count: Option<usize>,
    pub(crate) file: Option<String>,
    pub(crate) uuid: Option<String>,
}

/// One `Plate` element.
#[derive(Debug, Default)]
pub(crate) struct Plate {
    pub(crate) name: Option<String>,
    /// How many columns it has, as stated.
    pub(crate) columns: Option<usize>,
    pub(crate) rows_in: Naming,
    pub(crate) columns_in: Naming,
    pub(crate) wells: Vec<Well>,
    pub(crate) acquisitions: Vec<Acquisition>,
}

/// One time that a plate was imaged.
#[derive(Debug, Default)]
pub(crate) struct Acquisition {
    pub(crate) name: Option<String>,
    /// Identifiers of its samples.
    pub(crate) samples: Vec<String>,
}

/// How rows or columns are printed on a plate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Naming {
    #[default]
    Unstated,
    Letters,
    Numbers,
}

/// One well of a plate, from 0.
#[derive(Debug, Default)]
pub(crate) struct Well {
    pub(crate) row: Option<usize>,
    pub(crate) column: Option<usize>,
    pub(crate) samples: Vec<Sample>,
}

/// One field of a well.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    pub(crate) id: Option<String>,
    /// Orders the fields of a plate, and with them those of a well.
    pub(crate) index: Option<u64>,
    /// Identifiers of images.
    pub(crate) images: Vec<String>,
    pub(crate) centre_um: Option<[f64; 2]>,
}

/// Elements in which other programs keep what they like.
const OTHERS: [&str; 2] = ["StructuredAnnotations", "CustomAttributes"];

impl Document {
    /// `None` if `text` is not OME-XML.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        is_ome(text).then(|| Self::read(text))
    }

    fn read(xml: &str) -> Self {
        let mut found = Self::default();
        let mut reader = Reader::from_str(xml.trim_start_matches('\u{feff}').trim_start());
        let (mut depth, mut passed_over) = (0_usize, None);
        let mut within = Within::default();
        // Damaged XML ends the reading; what came before it still counts.
        let sound = loop {
            let Ok(event) = reader.read_event() else {
                break false;
            };
            match event {
                Event::Eof => break depth == 0,
                Event::Start(element) => {
                    depth += 1;
                    let name = element.local_name();
                    if passed_over.is_none() && OTHERS.contains(&name.as_ref()) {
                        passed_over = Some(depth);
                    }
                    if passed_over.is_none() {
                        found.element(&element, &mut within);
                    }
                }
                Event::Empty(element) if passed_over.is_none() => {
                    found.element(&element, &mut within);
                    within.end(element.local_name().as_ref());
                }
                Event::Text(text) if within.uuid => {
                    if let Some(block) = found.last_block() {
                        block.uuid = Some(text.trim().to_string());
                    }
                }
                Event::End(element) => {
                    within.end(element.local_name().as_ref());
                    if passed_over == Some(depth) {
                        passed_over = None;
                    }
                    depth = depth.saturating_sub(1);
                }
                _ => {}
            }
        };
        if !sound {
            found.problems.push(
                "its OME metadata is damaged, and only what comes before the damage is read".into(),
            );
        }
        found
    }

    fn element(&mut self, element: &BytesStart<'_>, within: &mut Within) {
        let text = |name: &str| attribute(element, name);
        within.uuid = false;
        match element.local_name().as_ref() {
            "OME" => {
                self.uuid = text("UUID");
                let creator = text("Creator").unwrap_or_default().to_lowercase();
                self.positions_in_um = creator.contains("scanr");
            }
            "BinaryOnly" => {
                self.elsewhere = Some(Elsewhere {
                    file: text("MetadataFile"),
                    uuid: text("UUID"),
                });
            }
            "BinData" => self.has_pixels = true,
            "Image" => self.images.push(Stated {
                id: text("ID").unwrap_or_default(),
                name: text("Name").unwrap_or_default().trim().to_string(),
                ..Stated::default()
            }),
            "UUID" => {
                within.uuid = true;
                if let Some(block) = self.last_block() {
                    block.file = text("FileName");
                }
            }
            "Plate" => self.plates.push(Plate::of(element)),
            "Well" => {
                if let Some(plate) = self.plates.last_mut() {
                    plate.wells.push(Well::of(element));
                }
            }
            "WellSample" => {
                within.sample = true;
                if let Some(well) = self.last_well() {
                    well.samples.push(Sample::of(element));
                }
            }
            "PlateAcquisition" => {
                if let Some(plate) = self.plates.last_mut() {
                    plate.acquisitions.push(Acquisition {
                        name: named(element, "Name"),
                        samples: Vec::new(),
                    });
                }
            }
            "WellSampleRef" => {
                let plate = self.plates.last_mut();
                if let Some(of) = plate.and_then(|plate| plate.acquisitions.last_mut()) {
                    of.samples.extend(text("ID"));
                }
            }
            "ImageRef" if within.sample => {
                let sample = self.last_well().and_then(|well| well.samples.last_mut());
                if let Some(sample) = sample {
                    sample.images.extend(text("ID"));
                }
            }
            name => {
                let default = if self.positions_in_um { "um" } else { "" };
                if let Some(image) = self.images.last_mut() {
                    image.element(name, element, default);
                }
            }
        }
    }

    fn last_block(&mut self) -> Option<&mut Block> {
        self.images.last_mut()?.blocks.last_mut()
    }

    fn last_well(&mut self) -> Option<&mut Well> {
        self.plates.last_mut()?.wells.last_mut()
    }
}

/// Whether a description, or the beginning of a file, is OME-XML.
pub(crate) fn is_ome(text: &str) -> bool {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    start.starts_with('<') && (text.contains("<OME") || text.contains(":OME"))
}

/// Elements that the reading is in the middle of.
#[derive(Default)]
struct Within {
    /// The next text is the identifier of a file.
    uuid: bool,
    sample: bool,
}

impl Within {
    fn end(&mut self, name: &str) {
        self.uuid = false;
        if name == "WellSample" {
            self.sample = false;
        }
    }
}

impl Stated {
    fn element(&mut self, name: &str, element: &BytesStart<'_>, position_unit: &str) {
        match name {
            "Pixels" => self.pixels(element),
            "Channel" | "LogicalChannel" | "ChannelInfo" => self.channels.push(Channel {
                name: named(element, "Name").or(named(element, "Fluor")),
                samples: count(element, "SamplesPerPixel"),
                transmitted: transmitted(element),
            }),
            "TiffData" => self.blocks.push(Block {
                page: count(element, "IFD"),
                first: ["FirstC", "FirstZ", "FirstT"].map(|name| count(element, name).unwrap_or(0)),
                count: count(element, "PlaneCount").or_else(|| count(element, "NumPlanes")),
                ..Block::default()
            }),
            // The first plane stands for all: stages move by less than a field in between.
            "Plane" | "StagePosition" if self.centre_um.is_none() => {
                let names = ["PositionX", "PositionY"];
                self.centre_um = position(element, names, position_unit);
            }
            "StageLabel" => {
                self.label = named(element, "Name");
                self.centre_um = position(element, ["X", "Y"], position_unit);
            }
            _ => {}
        }
    }

    fn pixels(&mut self, element: &BytesStart<'_>) {
        self.axes = axes(element);
        self.size = count(element, "SizeY").zip(count(element, "SizeX"));
        match pixel_um(element) {
            Ok(um) => self.pixel_um = um,
            Err(problem) => self.problem = Some(problem),
        }
        let z = attribute(element, "PhysicalSizeZ").and_then(|text| number(&text));
        let unit = attribute(element, "PhysicalSizeZUnit");
        self.z_step_um = z.and_then(|z| match Length::of(z, unit.as_deref().unwrap_or("µm")) {
            Length::Um(um) => Some(um),
            _ => None,
        });
        let time = attribute(element, "TimeIncrement").and_then(|text| number(&text));
        let unit = attribute(element, "TimeIncrementUnit");
        let seconds = time.zip(seconds_of(unit.as_deref().unwrap_or("s")));
        self.time_step_s = seconds
            .map(|(time, unit)| time * unit)
            .filter(|s| s.is_finite() && *s > 0.0);
    }

    /// The dimensions in pages: a page holds all samples of a pixel, which count as channels.
    pub(crate) fn axes_in_pages(&self) -> Option<Axes> {
        let mut axes = self.axes.clone()?;
        let samples = self.channels.first().and_then(|channel| channel.samples);
        if let Some(samples) = samples.filter(|&samples| samples > 1)
            && axes.channels.is_multiple_of(samples)
        {
            axes.channels /= samples;
        }
        Some(axes)
    }
}

impl Plate {
    fn of(element: &BytesStart<'_>) -> Self {
        let naming = |name: &str| {
            let text = attribute(element, name).map(|text| text.trim().to_lowercase());
            match text.as_deref() {
                // Until 2009 the first row or column itself was written.
                Some("letter" | "a") => Naming::Letters,
                Some("number" | "1") => Naming::Numbers,
                _ => Naming::Unstated,
            }
        };
        Self {
            name: named(element, "Name"),
            columns: count(element, "Columns"),
            rows_in: naming("RowNamingConvention"),
            columns_in: naming("ColumnNamingConvention"),
            wells: Vec::new(),
            acquisitions: Vec::new(),
        }
    }
}

impl Well {
    fn of(element: &BytesStart<'_>) -> Self {
        Self {
            row: count(element, "Row"),
            column: count(element, "Column"),
            samples: Vec::new(),
        }
    }
}

impl Sample {
    fn of(element: &BytesStart<'_>) -> Self {
        let index = attribute(element, "Index");
        Self {
            id: attribute(element, "ID"),
            index: index.and_then(|text| text.trim().parse().ok()),
            images: Vec::new(),
            centre_um: position(element, ["PositionX", "PositionY"], ""),
        }
    }
}

fn count(element: &BytesStart<'_>, name: &str) -> Option<usize> {
    attribute(element, name)?.trim().parse().ok()
}

/// A text that is more than blanks.
fn named(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let text = attribute(element, name)?.trim().to_string();
    (!text.is_empty()).then_some(text)
}

/// Whether a channel says that its light went through the specimen, or that it did not.
fn transmitted(element: &BytesStart<'_>) -> Option<bool> {
    let illumination = attribute(element, "IlluminationType").unwrap_or_default();
    let contrast = attribute(element, "ContrastMethod").unwrap_or_default();
    match (illumination.trim(), contrast.trim()) {
        ("Transmitted", _) => Some(true),
        ("Epifluorescence", _) => Some(false),
        (_, "Brightfield") => Some(true),
        (_, "Fluorescence") => Some(false),
        _ => None,
    }
}

/// A place on the stage in µm, where both its units are lengths.
fn position(element: &BytesStart<'_>, names: [&str; 2], default: &str) -> Option<[f64; 2]> {
    let along = |name: &str| {
        let value = number(&attribute(element, name)?)?;
        let unit = attribute(element, &format!("{name}Unit"));
        let um = value * um_of(unit.as_deref().unwrap_or(default))?;
        um.is_finite().then_some(um)
    };
    Some([along(names[0])?, along(names[1])?])
}

/// One `unit` in seconds.
fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit.trim() {
        "s" => 1.0,
        "ms" => 1e-3,
        "µs" | "μs" | "us" => 1e-6,
        "ns" => 1e-9,
        "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    })
}

/// Pixel size in µm; `Err` is a sentence about one that is not understood.
fn pixel_um(pixels: &BytesStart<'_>) -> Result<Option<f64>, String> {
    let size = |axis: &str| -> Result<Length, String> {
        let Some(text) = attribute(pixels, &format!("PhysicalSize{axis}")) else {
            return Ok(Length::Unstated);
        };
        let value = number(&text).ok_or_else(|| {
            format!(
                "its pixel size `{}` is no number, {NO_SIZE_TAKEN}",
                text.trim()
            )
        })?;
        let unit = attribute(pixels, &format!("PhysicalSize{axis}Unit"));
        Ok(Length::of(value, unit.as_deref().unwrap_or("µm")))
    };
    both(size("X")?, size("Y")?)
}

fn axes(pixels: &BytesStart<'_>) -> Option<Axes> {
    let text = attribute(pixels, "DimensionOrder")?;
    let letters = text.trim().strip_prefix("XY")?;
    if letters.len() != Dimension::ALL.len() {
        return None;
    }
    Some(Axes {
        channels: count(pixels, "SizeC")?,
        planes: count(pixels, "SizeZ")?,
        times: count(pixels, "SizeT")?,
        order: Dimension::order(letters.chars())?,
        placed: None,
    })
}

/// The identifier of the file in the root of its OME-XML, without reading the rest.
pub(crate) fn root_uuid(text: &str) -> Option<String> {
    if !is_ome(text) {
        return None;
    }
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}').trim_start());
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) | Event::Empty(element) => return attribute(&element, "UUID"),
            Event::Eof => return None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::parse(text).expect("OME-XML")
    }

    #[test]
    fn older_schemas_and_prefixes_say_the_same() {
        let text = "<?xml version=\"1.0\"?><!-- a note --><OME:OME \
                    xmlns:OME=\"http://www.openmicroscopy.org/Schemas/OME/2008-02\" \
                    UUID=\"urn:uuid:7\"><SPW:Plate ID=\"Plate:1\" Name=\" old \" \
                    ColumnNamingConvention=\"1\" RowNamingConvention=\"A\"><SPW:Well Row=\"0\" \
                    Column=\"1\"><SPW:WellSample Index=\"0\"><OME:ImageRef ID=\"Image:0\"/>\
                    </SPW:WellSample></SPW:Well></SPW:Plate><OME:Image ID=\"Image:0\">\
                    <OME:LogicalChannel ID=\"LogicalChannel:0\" Name=\"BF\" \
                    IlluminationType=\"Transmitted\"/><OME:Pixels DimensionOrder=\"XYCZT\" \
                    SizeX=\"6\" SizeY=\"4\" SizeC=\"1\" SizeZ=\"2\" SizeT=\"1\" \
                    PhysicalSizeX=\"0.5\"><OME:TiffData IFD=\"3\" NumPlanes=\"2\">\
                    <OME:UUID FileName=\"a.tif\"> urn:uuid:8 </OME:UUID></OME:TiffData>\
                    </OME:Pixels></OME:Image></OME:OME>";
        let found = document(text);
        assert_eq!(root_uuid(text).as_deref(), Some("urn:uuid:7"));
        let image = &found.images[0];
        assert_eq!(image.channels[0].name.as_deref(), Some("BF"));
        assert_eq!(image.channels[0].transmitted, Some(true));
        assert_eq!((image.size, image.pixel_um), (Some((4, 6)), Some(0.5)));
        let block = &image.blocks[0];
        assert_eq!((block.page, block.count), (Some(3), Some(2)));
        let uuid = block.uuid.as_deref();
        assert_eq!(
            (block.file.as_deref(), uuid),
            (Some("a.tif"), Some("urn:uuid:8"))
        );
        let plate = &found.plates[0];
        assert_eq!(plate.name.as_deref(), Some("old"));
        assert_eq!(
            (plate.rows_in, plate.columns_in),
            (Naming::Letters, Naming::Numbers)
        );
        assert_eq!(plate.wells[0].samples[0].images, ["Image:0"]);
        assert!(found.problems.is_empty());
    }

    #[test]
    fn what_programs_keep_for_themselves_is_passed_over() {
        let text = "<OME><StructuredAnnotations><XMLAnnotation><Value><Image Name=\"no\"><Plate/>\
                    </Image></Value></XMLAnnotation></StructuredAnnotations><Image Name=\"yes\"/>\
                    </OME>";
        let found = document(text);
        assert_eq!((found.images.len(), found.plates.len()), (1, 0));
        assert_eq!(found.images[0].name, "yes");
    }

    #[test]
    fn places_and_steps_have_units() {
        let image = |root: &str, pixels: &str, inside: &str| {
            let text =
                format!("<OME {root}><Image><Pixels {pixels}>{inside}</Pixels></Image></OME>");
            document(&text).images.remove(0)
        };
        let plane = |unit: &str| {
            format!(
                "<Plane PositionX=\"2\" PositionXUnit=\"{unit}\" PositionY=\"-3\" \
                 PositionYUnit=\"{unit}\"/>"
            )
        };
        let place = |unit: &str| image("", "", &plane(unit)).centre_um;
        assert_eq!(place("mm"), Some([2000.0, -3000.0]));
        assert_eq!(place("reference frame"), None);
        let bare = "<Plane PositionX=\"2\" PositionY=\"3\"/>";
        assert_eq!(image("", "", bare).centre_um, None);
        let scanr = "Creator=\"Olympus, scanR 3.3.0\"";
        assert_eq!(image(scanr, "", bare).centre_um, Some([2.0, 3.0]));
        let steps = |pixels: &str| {
            let image = image("", pixels, "");
            (image.z_step_um, image.time_step_s)
        };
        assert_eq!(
            steps("PhysicalSizeZ=\"3\" TimeIncrement=\"4\""),
            (Some(3.0), Some(4.0))
        );
        let other = "PhysicalSizeZ=\"3\" PhysicalSizeZUnit=\"pixel\" TimeIncrement=\"4\" \
                     TimeIncrementUnit=\"fortnight\"";
        assert_eq!(steps(other), (None, None));
        assert_eq!(
            steps("PhysicalSizeZ=\"-1\" TimeIncrement=\"0\""),
            (None, None)
        );
    }

    #[test]
    fn damage_ends_the_reading_and_is_said() {
        for text in [
            "<OME><Image Name=\"a\"/><Image",
            "<OME><Image/></Image></OME>",
            "<OME><Image>",
        ] {
            let found = document(text);
            assert_eq!((found.images.len(), found.problems.len()), (1, 1), "{text}");
        }
    }
}
