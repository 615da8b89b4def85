//! The summary of a data set that `inspect` shows.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::Dataset;
use crate::format::NO_SIZE_TAKEN;
use crate::rounded_um;

/// What was recognised, in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// Name of the layout.
    pub layout: String,
    /// Number of fields.
    pub fields: usize,
    /// Number of different wells, over all plates; 0 where the layout knows none.
    pub wells: usize,
    /// Largest number of sites in one well; 0 where the layout knows none.
    pub sites: usize,
    /// Number of different places; smaller than `fields` in time-lapse, where fields of one place
    /// show the same cells again.
    pub positions: usize,
    /// Number of time points; 1 where there is no time-lapse.
    pub times: usize,
    /// Largest number of planes of one channel.
    pub planes: usize,
    /// Channel names.
    pub channels: Vec<String>,
    /// Rows in pixels of most fields.
    pub height: usize,
    /// Columns in pixels of most fields.
    pub width: usize,
    /// Pixel size in µm of most fields with one; `None` where none is stated.
    pub pixel_um: Option<f64>,
    /// Smallest and largest pixel size in µm of the fields with one; `None` where none is stated.
    pub pixel_um_range: Option<[f64; 2]>,
    /// What is missing or odd.
    pub problems: Vec<String>,
}

/// Sums up a data set. Where fields differ, the most frequent value is given and the rest said in
/// `problems`.
pub fn summarise(dataset: &Dataset) -> Inspection {
    let fields = &dataset.fields;
    let mut sites: BTreeMap<(&Option<String>, &str), BTreeSet<u32>> = BTreeMap::new();
    for field in fields {
        let position = &field.position;
        if let Some(well) = &position.well {
            sites
                .entry((&position.plate, well))
                .or_default()
                .extend(position.site);
        }
    }
    let times: BTreeSet<_> = fields.iter().filter_map(|field| field.time).collect();
    let planes = fields
        .iter()
        .flat_map(|field| &field.planes)
        .map(Vec::len)
        .max();
    let mut problems = dataset.problems.clone();

    let sizes = most_frequent(fields.iter().map(|field| (field.height, field.width)));
    let (height, width) = sizes.first().map_or((0, 0), |&(size, _)| size);
    if sizes.len() > 1 {
        let listed: Vec<String> = sizes
            .iter()
            .map(|((h, w), count)| format!("{count} of {h} x {w}"))
            .collect();
        problems.push(format!("fields differ in size: {}", listed.join(", ")));
    }
    // As they are shown, in the order of their bits: those that read the same count as the same.
    let as_key = |um: f64| rounded_um(um).to_bits();
    let calibrations = most_frequent(fields.iter().map(|field| field.pixel_um.map(as_key)));
    let of_key = |key: u64| {
        fields
            .iter()
            .filter_map(|field| field.pixel_um)
            .find(|&um| as_key(um) == key)
    };
    let pixel_um = calibrations
        .iter()
        .find_map(|(key, _)| key.and_then(of_key));
    if calibrations.len() > 1 {
        let listed: Vec<String> = calibrations
            .iter()
            .map(|(key, count)| match key.and_then(of_key) {
                Some(um) => format!("{count} with {} um", rounded_um(um)),
                None => format!("{count} without"),
            })
            .collect();
        problems.push(format!(
            "fields differ in pixel size: {}",
            listed.join(", ")
        ));
    }
    if calibrations.len() == 1 && pixel_um.is_none() {
        // A size in a unit that is not known is stated, and told among the problems.
        let told = |problem: &String| problem.contains(NO_SIZE_TAKEN);
        let known = if problems.iter().any(told) {
            "known"
        } else {
            "stated"
        };
        problems.push(format!(
            "no pixel size is {known}, so lengths can only be given in pixels"
        ));
    }
    let stated = || fields.iter().filter_map(|field| field.pixel_um);
    let pixel_um_range = pixel_um.map(|_| {
        let smallest = stated().fold(f64::INFINITY, f64::min);
        [smallest, stated().fold(0.0, f64::max)]
    });
    Inspection {
        layout: dataset.layout.clone(),
        fields: fields.len(),
        wells: sites.len(),
        sites: sites.values().map(BTreeSet::len).max().unwrap_or(0),
        positions: dataset.places(),
        times: times.len().max(1),
        planes: planes.unwrap_or(0),
        channels: dataset.channels.clone(),
        height,
        width,
        pixel_um,
        pixel_um_range,
        problems,
    }
}

impl Inspection {
    /// The pixel size for a table: one value, the range where fields differ, `unknown` where none
    /// is stated.
    pub fn pixel_size(&self) -> String {
        match self.pixel_um_range.map(|range| range.map(rounded_um)) {
            None => "unknown".into(),
            Some([smallest, largest]) if smallest == largest => format!("{smallest} um"),
            Some([smallest, largest]) => format!("{smallest} to {largest} um"),
        }
    }
}

/// Values with their counts, the most frequent first, ties by the value.
fn most_frequent<T: Ord>(values: impl Iterator<Item = T>) -> Vec<(T, usize)> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_insert(0) += 1;
    }
    let mut counts: Vec<(T, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}
