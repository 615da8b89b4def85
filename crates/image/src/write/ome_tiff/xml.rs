//! The OME-XML of an OME-TIFF (schema 2016-06).

use std::fmt::Write;

use super::{OmeTiff, PixelType, PlaneOf};

const SCHEMA: &str = "http://www.openmicroscopy.org/Schemas/OME/2016-06";

impl OmeTiff {
    /// The description of a file whose directories hold the planes of `there`, in this order.
    pub(super) fn xml(&self, there: &[PlaneOf]) -> String {
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><OME xmlns=\"{SCHEMA}\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xsi:schemaLocation=\"{SCHEMA} {SCHEMA}/ome.xsd\" Creator=\"stainfree {}\">\
             <Image ID=\"Image:0\" Name=\"{}\">",
            env!("CARGO_PKG_VERSION"),
            escaped(&self.name),
        );
        if !self.text.is_empty() {
            put(
                &mut xml,
                format_args!("<Description>{}</Description>", escaped(&self.text)),
            );
        }
        let (height, width) = self.size;
        put(
            &mut xml,
            format_args!(
                "<Pixels ID=\"Pixels:0\" DimensionOrder=\"XYZCT\" Type=\"{}\" SizeX=\"{width}\" \
                 SizeY=\"{height}\" SizeZ=\"{}\" SizeC=\"{}\" SizeT=\"{}\" BigEndian=\"false\" \
                 Interleaved=\"false\"",
                ome_name(self.pixel_type),
                self.planes,
                self.channels.len(),
                self.times,
            ),
        );
        let sizes = [
            ("X", self.pixel_um),
            ("Y", self.pixel_um),
            ("Z", self.z_step_um),
        ];
        for (axis, um) in sizes {
            if let Some(um) = um.filter(|um| um.is_finite() && *um > 0.0) {
                put(
                    &mut xml,
                    format_args!(" PhysicalSize{axis}=\"{um}\" PhysicalSize{axis}Unit=\"µm\""),
                );
            }
        }
        xml.push('>');
        for (number, name) in self.channels.iter().enumerate() {
            put(
                &mut xml,
                format_args!("<Channel ID=\"Channel:0:{number}\" SamplesPerPixel=\"1\""),
            );
            if !name.is_empty() {
                put(&mut xml, format_args!(" Name=\"{}\"", escaped(name)));
            }
            xml.push_str("/>");
        }
        self.put_places(&mut xml, there);
        xml.push_str("</Pixels></Image></OME>");
        xml
    }

    /// Which directory holds which plane.
    fn put_places(&self, xml: &mut String, there: &[PlaneOf]) {
        if there.len() == self.places().count() {
            let count = there.len();
            put(
                xml,
                format_args!("<TiffData IFD=\"0\" PlaneCount=\"{count}\"/>"),
            );
            return;
        }
        for (number, &PlaneOf { z, channel, time }) in there.iter().enumerate() {
            put(
                xml,
                format_args!(
                    "<TiffData FirstZ=\"{z}\" FirstC=\"{channel}\" FirstT=\"{time}\" \
                     IFD=\"{number}\" PlaneCount=\"1\"/>"
                ),
            );
        }
    }
}

/// The schema's name of a type.
fn ome_name(pixel_type: PixelType) -> &'static str {
    match pixel_type {
        PixelType::F32 => "float",
        other => other.name(),
    }
}

fn put(xml: &mut String, text: std::fmt::Arguments) {
    // Writing to a string cannot fail.
    let _ = xml.write_fmt(text);
}

/// A text as an attribute or element may hold it. Characters that XML knows no form for become
/// blanks, and so do line ends, which readers change in attributes.
fn escaped(text: &str) -> String {
    let allowed = |c: char| match c {
        '\u{fffe}' | '\u{ffff}' => ' ',
        c if c.is_control() => ' ',
        c => c,
    };
    let text: String = text.chars().map(allowed).collect();
    quick_xml::escape::escape(text.as_str()).into_owned()
}
