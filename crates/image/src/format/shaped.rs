//! The description that tifffile writes by default: JSON with the shape of the array and, where
//! they were given, the letters of its axes and a unit.

use serde_json::{Map, Value};

use super::resolution::Resolution;
use super::{Axes, Dimension};

/// What the JSON says.
pub(super) struct Shaped {
    values: Map<String, Value>,
}

impl Shaped {
    /// `None` if `description` is no JSON with a shape.
    pub(super) fn parse(description: &str) -> Option<Self> {
        if !description.starts_with('{') {
            return None;
        }
        let Ok(Value::Object(values)) = serde_json::from_str(description) else {
            return None;
        };
        values.contains_key("shape").then_some(Self { values })
    }

    /// The dimensions, where the axes name them and account for `pages` pages.
    pub(super) fn axes(&self, pages: usize) -> Option<Axes> {
        let letters = self.values.get("axes")?.as_str()?.to_uppercase();
        let letters = letters.strip_suffix("YX")?;
        let shape = self.values.get("shape")?.as_array()?;
        if shape.len() != letters.len() + 2 {
            return None;
        }
        let size = |letter: char| match letters.find(letter) {
            Some(at) => usize::try_from(shape[at].as_u64()?).ok(),
            None => Some(1),
        };
        let axes = Axes {
            channels: size('C')?,
            planes: size('Z')?,
            times: size('T')?,
            // The last axis of an array is the fastest.
            order: Dimension::order(letters.chars().rev())?,
            placed: None,
        };
        (axes.count() == Some(pages)).then_some(axes)
    }

    /// Pixel size in µm from the stated unit and the resolution tags, where both are there.
    pub(super) fn pixel_um(&self, resolution: &Resolution) -> Option<Result<Option<f64>, String>> {
        let unit = self.values.get("unit")?.as_str()?;
        Some(resolution.in_unit(unit, unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_those_of_the_array() {
        let axes = |text: &str| Shaped::parse(text).and_then(|shaped| shaped.axes(6));
        let found = axes("{\"shape\": [2, 3, 4, 5], \"axes\": \"CZYX\"}").expect("axes");
        assert_eq!((found.channels, found.planes), (2, 3));
        assert_eq!(found.page(1, 1, 0), Some(4));
        let found = axes("{\"shape\": [3, 2, 4, 5], \"axes\": \"ZCYX\"}").expect("axes");
        assert_eq!(found.page(1, 1, 0), Some(3));
        for text in [
            "{\"shape\": [6, 4, 5]}",
            "{\"shape\": [6, 4, 5], \"axes\": \"QYX\"}",
            "{\"shape\": [5, 4, 5], \"axes\": \"ZYX\"}",
            "{\"shape\": [4, 5, 6], \"axes\": \"YXZ\"}",
            "{\"shape\": [3, 2, 4, 5], \"axes\": \"ZZYX\"}",
            "{\"axes\": \"ZYX\"}",
            "{broken",
        ] {
            assert_eq!(axes(text), None, "{text}");
        }
    }
}
