//! MetaXpress' description of an ImageXpress image: XML of `<prop id= value=>` and `<custom-prop>`.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::description::{Length, attribute, both, number};

/// What MetaXpress wrote about one plane.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MetaXpress {
    /// Pixel size in µm; only where the calibration is switched on.
    pub(crate) pixel_um: Option<f64>,
    /// Number of the plane within its stack, from 1 (`Z Step`).
    pub(crate) z_step: Option<u32>,
    /// How the plane was projected from a stack (`Maximum`, `Best Focus`); `None` for a plane.
    pub(crate) projection: Option<String>,
    /// Name of the illumination setting; not unique within a plate.
    pub(crate) illumination: Option<String>,
    /// A sentence about a calibration that cannot be used.
    pub(crate) problem: Option<String>,
}

impl MetaXpress {
    /// `None` if `description` is not MetaXpress' XML.
    pub(crate) fn parse(description: &str) -> Option<Self> {
        if !description.trim_start().starts_with("<MetaData>") {
            return None;
        }
        let mut found = Self::default();
        let (mut on, mut x, mut y, mut unit) = (false, None, None, String::new());
        let mut reader = Reader::from_str(description);
        // Damaged XML ends the reading; what came before it still counts.
        while let Ok(event) = reader.read_event() {
            let element = match event {
                Event::Eof => break,
                Event::Start(element) | Event::Empty(element) => element,
                _ => continue,
            };
            if !matches!(element.name().as_ref(), "prop" | "custom-prop") {
                continue;
            }
            let (Some(id), Some(value)) = (attribute(&element, "id"), attribute(&element, "value"))
            else {
                continue;
            };
            match id.as_str() {
                "spatial-calibration-state" => on = value.eq_ignore_ascii_case("on"),
                "spatial-calibration-x" => x = number(&value),
                "spatial-calibration-y" => y = number(&value),
                "spatial-calibration-units" => unit = value,
                "Z Step" => found.z_step = value.trim().parse().ok(),
                "Z Projection Method" => found.projection = Some(value),
                "_IllumSetting_" => found.illumination = Some(value),
                _ => {}
            }
        }
        if let (true, Some(x)) = (on, x) {
            match both(Length::of(x, &unit), Length::of(y.unwrap_or(x), &unit)) {
                Ok(size) => found.pixel_um = size,
                Err(problem) => found.problem = Some(problem),
            }
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(state: &str) -> String {
        format!(
            "<MetaData>\n<prop id=\"spatial-calibration-state\" type=\"bool\" value=\"{state}\"/>\n\
             <prop id=\"spatial-calibration-x\" type=\"float\" value=\"1.3672\"/>\n\
             <prop id=\"spatial-calibration-y\" type=\"float\" value=\"1.3672\"/>\n\
             <prop id=\"spatial-calibration-units\" type=\"string\" value=\"um\"/>\n\
             <custom-prop id=\"Z Step\" type=\"int\" value=\"2\"/>\n</MetaData>"
        )
    }

    #[test]
    fn calibration_counts_only_when_it_is_on() {
        let on = MetaXpress::parse(&xml("on")).expect("MetaXpress XML");
        assert_eq!((on.pixel_um, on.z_step), (Some(1.3672), Some(2)));
        assert_eq!(
            MetaXpress::parse(&xml("off"))
                .expect("MetaXpress XML")
                .pixel_um,
            None
        );
        assert_eq!(MetaXpress::parse("ImageJ=1.53t"), None);
    }
}
