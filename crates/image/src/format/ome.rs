//! OME-XML in the first page of an OME-TIFF: dimensions, channel names, pixel size.
//!
//! Here: files that hold all their planes in order. Not here: sets spread over several files and
//! `TiffData` elements that shuffle pages, which are reported instead of guessed.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::description::{length_um, square};
use super::{Axes, Dimension};

/// What the XML says about the first image of the file.
#[derive(Default)]
pub(super) struct Ome {
    pub(super) axes: Option<Axes>,
    pub(super) channels: Vec<String>,
    pub(super) pixel_um: Option<f64>,
    pub(super) problems: Vec<String>,
}

impl Ome {
    /// `None` if `description` is not OME-XML; `pages` is the number of pages of this file.
    pub(super) fn parse(description: &str, pages: usize) -> Option<Self> {
        let start = description.trim_start_matches('\u{feff}').trim_start();
        if !start.starts_with('<') || !description.contains("<OME") && !description.contains(":OME")
        {
            return None;
        }
        let mut found = Self::default();
        let (mut images, mut names, mut other_files) = (0, Vec::new(), false);
        let mut sizes = None;
        let mut reader = Reader::from_str(description);
        // Damaged XML ends the reading; what came before it still counts.
        while let Ok(event) = reader.read_event() {
            let element = match event {
                Event::Eof => break,
                Event::Start(element) | Event::Empty(element) => element,
                _ => continue,
            };
            match element.local_name().as_ref() {
                "Image" => images += 1,
                "Pixels" if images == 1 => {
                    sizes = Some(pixels_axes(&element));
                    found.calibrate(&element);
                }
                "Channel" if images == 1 => names.push(attribute(&element, "Name")),
                "UUID" if attribute(&element, "FileName").is_some() => other_files = true,
                "BinaryOnly" => other_files = true,
                _ => {}
            }
        }
        match sizes {
            Some(Some(axes)) if axes.count() == Some(pages) => {
                found.axes = Some(axes);
                let complete = names.len() == axes.channels;
                if let (true, Some(names)) = (complete, names.into_iter().collect()) {
                    found.channels = names;
                }
            }
            // One file of a set over several files; each channel's name is in the XML of all.
            Some(Some(_)) if other_files => found.problems.push(
                "its OME metadata spreads the image over several files, which are read one by one"
                    .into(),
            ),
            Some(Some(axes)) => found.problems.push(format!(
                "its OME metadata states {} channels x {} planes x {} times, but it has {pages} \
                 pages",
                axes.channels, axes.planes, axes.times
            )),
            _ => {}
        }
        if images > 1 {
            found.problems.push(format!(
                "it holds {images} images, of which the metadata of the first is used"
            ));
        }
        Some(found)
    }

    fn calibrate(&mut self, pixels: &BytesStart<'_>) {
        let size = |axis: &str| {
            let value = attribute(pixels, &format!("PhysicalSize{axis}"))?
                .parse()
                .ok()?;
            let unit = attribute(pixels, &format!("PhysicalSize{axis}Unit"));
            length_um(value, unit.as_deref().unwrap_or("µm"))
        };
        if let Some(x) = size("X") {
            match square(x, size("Y").unwrap_or(x)) {
                Ok(um) => self.pixel_um = Some(um),
                Err(problem) => self.problems.push(problem),
            }
        }
    }
}

fn pixels_axes(pixels: &BytesStart<'_>) -> Option<Axes> {
    let size = |axis: &str| {
        attribute(pixels, &format!("Size{axis}"))?
            .parse::<usize>()
            .ok()
    };
    let text = attribute(pixels, "DimensionOrder")?;
    let order: Vec<Dimension> = text
        .strip_prefix("XY")?
        .chars()
        .map(|letter| match letter {
            'C' => Some(Dimension::C),
            'Z' => Some(Dimension::Z),
            'T' => Some(Dimension::T),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let order: [Dimension; 3] = order.try_into().ok()?;
    let distinct = order[0] != order[1] && order[1] != order[2] && order[0] != order[2];
    distinct.then_some(Axes {
        channels: size("C")?,
        planes: size("Z")?,
        times: size("T")?,
        order,
    })
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let raw = element.try_get_attribute(name).ok()??;
    let text = raw.value.into_owned();
    Some(quick_xml::escape::unescape(&text).map_or(text.clone(), |t| t.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_units_and_names_are_taken() {
        let xml = "<?xml version=\"1.0\"?><OME><Image ID=\"Image:0\"><Pixels \
            DimensionOrder=\"XYZCT\" \
                   SizeX=\"4\" SizeY=\"3\" SizeZ=\"2\" SizeC=\"2\" SizeT=\"1\" \
                   PhysicalSizeX=\"0.65\" \
                   PhysicalSizeY=\"650\" PhysicalSizeYUnit=\"nm\"><Channel Name=\"BF\"/>\
                   <Channel Name=\"A &amp; B\"/></Pixels></Image></OME>";
        let ome = Ome::parse(xml, 4).expect("OME-XML");
        let axes = ome.axes.expect("consistent sizes");
        assert_eq!(axes.page(1, 0, 0), 2);
        assert_eq!(ome.channels, ["BF", "A & B"]);
        assert_eq!(ome.pixel_um, Some(0.65));
        assert!(ome.problems.is_empty());
        assert_eq!(Ome::parse(xml, 3).expect("OME-XML").problems.len(), 1);
    }
}
