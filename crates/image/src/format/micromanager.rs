//! What Micro-Manager writes beside every page of its stacks: a JSON object (tag 51123) with the
//! page's channel, plane, time and position.
//!
//! It is all that is left of a stack whose recording was stopped, or whose OME-XML is in a file
//! that is not there: both descriptions are written last, and the OME-XML into the first file only.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::{Axes, Dimension, Facts, ImageInfo, MAX_PAGES};

/// What is said of one page.
#[derive(Debug, Deserialize)]
pub(super) struct PageSaid {
    #[serde(rename = "Channel", default)]
    channel: Value,
    #[serde(rename = "ChannelIndex")]
    c: u32,
    #[serde(rename = "SliceIndex")]
    z: u32,
    #[serde(rename = "FrameIndex")]
    t: u32,
    #[serde(rename = "PositionIndex", default)]
    position: Value,
    #[serde(rename = "PositionName", default)]
    name: Value,
    #[serde(rename = "PixelSizeUm", default)]
    pixel_um: Value,
    #[serde(rename = "XPositionUm", default)]
    x_um: Value,
    #[serde(rename = "YPositionUm", default)]
    y_um: Value,
}

impl PageSaid {
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text.trim()).ok()
    }
}

/// The images that pages make, one for each position; `None` if they contradict one another.
pub(super) fn images(pages: &[Option<PageSaid>]) -> Option<Vec<ImageInfo>> {
    let mut positions: BTreeMap<u64, Vec<(usize, &PageSaid)>> = BTreeMap::new();
    for (page, said) in pages.iter().enumerate() {
        let Some(said) = said else { continue };
        let position = said.position.as_u64().unwrap_or(0);
        positions.entry(position).or_default().push((page, said));
    }
    positions.into_values().map(|pages| image(&pages)).collect()
}

fn image(pages: &[(usize, &PageSaid)]) -> Option<ImageInfo> {
    let distinct = |of: fn(&PageSaid) -> u32| -> Vec<u32> {
        let found: BTreeSet<u32> = pages.iter().map(|(_, said)| of(said)).collect();
        found.into_iter().collect()
    };
    let (cs, zs, ts) = (distinct(|s| s.c), distinct(|s| s.z), distinct(|s| s.t));
    let mut axes = Axes {
        channels: cs.len(),
        planes: zs.len(),
        times: ts.len(),
        order: Dimension::ALL,
        placed: None,
    };
    let total = axes.count().filter(|&total| total <= MAX_PAGES)?;
    let mut placed = vec![None; total];
    for (page, said) in pages {
        let at = |list: &[u32], value| list.binary_search(&value).ok();
        let (c, z, t) = (at(&cs, said.c)?, at(&zs, said.z)?, at(&ts, said.t)?);
        let place = placed.get_mut(c + cs.len() * (z + zs.len() * t))?;
        if place.replace(*page).is_some() {
            return None;
        }
    }
    axes.placed = Some(placed);
    let name_of = |c: u32| {
        let mut named = pages.iter().filter(|(_, said)| said.c == c);
        named.find_map(|(_, said)| said.channel.as_str())
    };
    let names: Option<Vec<String>> = cs
        .iter()
        .map(|&c| name_of(c).map(|name| name.trim().to_string()))
        .collect();
    let (_, first) = pages.first()?;
    let um = first.pixel_um.as_f64();
    Some(ImageInfo {
        axes: Some(axes),
        channels: names
            .filter(|names| names.iter().all(|name| !name.is_empty()))
            .unwrap_or_default(),
        pixel_um: um.filter(|um| um.is_finite() && *um > 0.0),
        facts: Facts {
            name: first.name.as_str().unwrap_or_default().to_string(),
            centre_um: first
                .x_um
                .as_f64()
                .zip(first.y_um.as_f64())
                .map(|(x, y)| [x, y]),
            ..Facts::default()
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(said: &[&str]) -> Option<Vec<ImageInfo>> {
        let said: Vec<_> = said.iter().map(|text| PageSaid::parse(text)).collect();
        images(&said)
    }

    fn page(c: u32, z: u32, t: u32, more: &str) -> String {
        format!("{{\"ChannelIndex\": {c}, \"SliceIndex\": {z}, \"FrameIndex\": {t}{more}}}")
    }

    #[test]
    fn pages_go_where_they_say_and_those_that_say_nothing_nowhere() {
        let dapi = ", \"Channel\": \"DAPI\", \"PixelSizeUm\": 0.5, \"PositionName\": \"Pos3\"";
        let (a, b) = (page(1, 0, 0, dapi), page(0, 2, 0, ", \"Channel\": \"BF\""));
        let found = pages(&[&a, "{", &b]).expect("placed");
        let axes = found[0].axes.as_ref().expect("axes");
        assert_eq!((axes.channels, axes.planes, axes.times), (2, 2, 1));
        assert_eq!(axes.placed, Some(vec![None, Some(0), Some(2), None]));
        assert_eq!(found[0].channels, ["BF", "DAPI"]);
        assert_eq!(
            (found[0].pixel_um, found[0].facts.name.as_str()),
            (Some(0.5), "Pos3")
        );
        // Positions of one file, and a page that is there twice.
        let second = page(1, 0, 0, ", \"PositionIndex\": 1");
        assert_eq!(pages(&[&a, &second]).expect("placed").len(), 2);
        assert_eq!(pages(&[&a, &a]), None);
        assert_eq!(pages(&["", "[]"]), Some(Vec::new()));
    }
}
