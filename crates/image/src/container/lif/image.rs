//! One image of a LIF file: where its planes are, and what they are called.

use super::blocks::Block;
use super::described::{Channel, Dimension, Said};
use crate::container::ChannelSaid;
use crate::container::strided::{Grid, Sample};
use crate::format::description::{Length, both, um_of};
use crate::names::printed_well;

/// Numbers of dimensions (`DimID`).
const X: u32 = 1;
const Y: u32 = 2;
const Z: u32 = 3;
const T: u32 = 4;
const TILE: u32 = 10;

/// A dimension that an image does not have.
const NONE: Dimension = Dimension {
    id: 0,
    count: 1,
    length: None,
    unit: String::new(),
    bytes: 0,
};

/// Where the samples of an image are, from the first byte of its block on.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    columns: Dimension,
    rows: Dimension,
    /// Slices, times, tiles.
    outer: [Dimension; 3],
    /// Type, and bytes from the first channel.
    channels: Vec<(Sample, u64)>,
    /// Whether the rows lie along Z.
    is_section: bool,
}

/// What distances an image states.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Calibration {
    pub(super) pixel_um: Option<f64>,
    pub(super) z_step_um: Option<f64>,
    pub(super) time_step_s: Option<f64>,
    pub(super) problem: Option<String>,
}

/// What a dimension that is not read is called, by its number.
fn foreign(id: u32) -> String {
    let name = match id {
        5 => "emission wavelengths (a lambda stack)",
        6 => "rotations",
        7 => "XT slices",
        8 => "T slices",
        9 => "excitation wavelengths (a lambda stack)",
        11 => "loops",
        _ => return format!("a dimension `{id}` that is not known"),
    };
    name.into()
}

impl Geometry {
    /// `Err` says why the image is left out.
    pub(super) fn of(said: &Said) -> Result<Self, String> {
        let several = said.dimensions.iter().filter(|one| one.count != 1);
        for one in several.clone() {
            if one.count == 0 || one.count > 1 << 31 {
                return Err(format!("its dimension `{}` has no valid size", one.id));
            }
            if ![X, Y, Z, T, TILE].contains(&one.id) {
                return Err(format!("it has {} {}", one.count, foreign(one.id)));
            }
        }
        let mut ids: Vec<u32> = said.dimensions.iter().map(|one| one.id).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("it has a dimension twice".into());
        }
        let named = |id| said.dimensions.iter().find(|one| one.id == id);
        let of = |id| named(id).cloned().unwrap_or(NONE);
        let is_section = named(Y).is_none() && named(Z).is_some();
        let rows = if is_section { Z } else { Y };
        if named(X).is_none() || named(rows).is_none() {
            return Err("it has no X and Y, such as a scan along a line or at a point".into());
        }
        let slices = if is_section { NONE } else { of(Z) };
        let geometry = Self {
            columns: of(X),
            rows: of(rows),
            outer: [slices, of(T), of(TILE)],
            channels: channels(&said.channels)?,
            is_section,
        };
        let steps = [&geometry.columns, &geometry.rows];
        if steps.iter().any(|one| one.count > 1 && one.bytes == 0) {
            return Err("the steps between its pixels are 0 bytes".into());
        }
        Ok(geometry)
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.rows.count as usize, self.columns.count as usize)
    }

    pub(super) fn planes(&self) -> usize {
        self.outer[0].count as usize
    }

    pub(super) fn times(&self) -> usize {
        self.outer[1].count as usize
    }

    pub(super) fn tiles(&self) -> usize {
        self.outer[2].count as usize
    }

    /// What is odd about it.
    pub(super) fn notes(&self) -> impl Iterator<Item = &'static str> + use<> {
        let section = "it has no Y; its planes are sections, with Z along their rows";
        self.is_section.then_some(section).into_iter()
    }

    pub(super) fn calibration(&self) -> Calibration {
        let um = |one: &Dimension| match one.step() {
            Some(step) => Length::of(step.abs(), &one.unit),
            None => Length::Unstated,
        };
        let [slices, times, _] = &self.outer;
        let (pixel_um, problem) = match both(um(&self.columns), um(&self.rows)) {
            Ok(um) => (um, None),
            Err(problem) => (None, Some(problem)),
        };
        let in_um = |step: f64| Some(step.abs() * um_of(&slices.unit)?);
        let second = times.unit.trim() == "s";
        Calibration {
            pixel_um,
            problem,
            z_step_um: slices.step().and_then(in_um),
            time_step_s: times.step().filter(|_| second),
        }
    }
}

impl Dimension {
    /// From an element to the next, where a length is stated.
    fn step(&self) -> Option<f64> {
        let length = self.length.filter(|length| length.is_finite());
        let length = length.filter(|length| *length != 0.0)?;
        (self.count > 1).then(|| length / (self.count - 1) as f64)
    }

    /// Bytes from the first element to this one.
    fn place(&self, element: u64) -> Option<u64> {
        match element {
            0 => Some(0),
            _ => self.bytes.checked_mul(element),
        }
    }
}

/// Type and place of each channel.
fn channels(said: &[Channel]) -> Result<Vec<(Sample, u64)>, String> {
    if said.is_empty() {
        return Err("it has no channel".into());
    }
    if [1, 2, 3]
        .iter()
        .all(|tag| said.iter().any(|one| one.tag == *tag))
    {
        return Err(
            "it is a colour image (red, green, blue), of which each colour has to be exported as \
             a grey image"
                .into(),
        );
    }
    let typed = said.iter().map(|one| {
        let sample = match (one.is_float, one.bits) {
            (false, 1..=8) => Sample::U8,
            (false, 9..=16) => Sample::U16,
            (false, 17..=32) => Sample::U32,
            (true, 32) => Sample::F32,
            (true, 64) => Sample::F64,
            (is_float, bits) => {
                let kind = if is_float { "floats" } else { "integers" };
                return Err(format!("its samples are {kind} of {bits} bits"));
            }
        };
        // Where there is one channel its place says nothing.
        Ok((sample, if said.len() == 1 { 0 } else { one.bytes }))
    });
    typed.collect()
}

/// An image within its block and file.
pub(super) struct Whole<'a> {
    pub(super) geometry: &'a Geometry,
    pub(super) block: Block,
    /// Bytes of the file.
    pub(super) file: u64,
}

/// Planes that may be listed without their pixels being there.
const MOST_MISSING: usize = 1 << 16;

impl Whole<'_> {
    /// Planes in all; the sizes have been checked.
    pub(super) fn count(&self) -> usize {
        let outer = self.geometry.outer.iter().map(|one| one.count as usize);
        outer.product::<usize>() * self.geometry.channels.len()
    }

    /// Refuses a claim of very many planes of which most cannot be there.
    pub(super) fn check(&self) -> Result<(), String> {
        let (height, width) = self.geometry.size();
        let count = self.count();
        let bytes = (height * width) as u64 * count as u64;
        if count > MOST_MISSING && bytes / 4 > self.file {
            return Err(format!(
                "it states {count} planes of {height} x {width}, and the file has {} bytes",
                self.file
            ));
        }
        Ok(())
    }

    /// The planes of a tile: channels fastest, then along z, then times; `None` for one that does
    /// not lie in the block.
    pub(super) fn planes_of(&self, tile: usize) -> impl Iterator<Item = Option<Grid>> + '_ {
        let [slices, times, _] = &self.geometry.outer;
        let channels = self.geometry.channels.iter();
        (0..times.count).flat_map(move |t| {
            let channels = channels.clone();
            (0..slices.count).flat_map(move |z| {
                let channels = channels.clone();
                channels.map(move |&channel| self.plane(channel, [z, t, tile as u64]))
            })
        })
    }

    fn plane(&self, (sample, channel): (Sample, u64), outer: [u64; 3]) -> Option<Grid> {
        let Geometry { columns, rows, .. } = self.geometry;
        let mut start = channel;
        for (dimension, element) in self.geometry.outer.iter().zip(outer) {
            start = start.checked_add(dimension.place(element)?)?;
        }
        let block = self.block;
        let grid = Grid {
            start: block.start.checked_add(start)?,
            size: self.geometry.size(),
            steps: [rows, columns].map(|one| if one.count > 1 { one.bytes } else { 0 }),
            sample,
            big_endian: false,
        };
        let end = block.start.saturating_add(block.bytes).min(self.file);
        grid.end().is_some_and(|last| last <= end).then_some(grid)
    }
}

/// Names of the channels: that of the user, of the dye, of the way of lighting, or of the table of
/// colours.
pub(super) fn channel_names(said: &Said) -> Vec<ChannelSaid> {
    // Settings that belong to the channels have one entry for each, in their order.
    let tables = said.channels.iter().zip(&said.widefield);
    let fits = said.channels.len() == said.widefield.len()
        && tables
            .into_iter()
            .all(|(channel, of)| of.table.is_empty() || of.table == channel.table);
    let named = said.channels.iter().enumerate().map(|(c, channel)| {
        let settings = said.widefield.get(c).filter(|_| fits);
        let contrast = settings.map_or("", |of| of.contrast.trim());
        let transmitted = match transmits(contrast) {
            None if channel.detector.contains("Trans") => Some(true),
            known => known,
        };
        let contrast = match transmitted {
            Some(true) => contrast,
            _ => "",
        };
        let user = settings.map_or("", |of| of.name.trim());
        let dye = channel.dye.trim();
        let dye = dye.strip_prefix("Leica/").unwrap_or(dye);
        let names = [user, dye, contrast, channel.table.trim()];
        let name = names.into_iter().find(|name| !name.is_empty());
        ChannelSaid {
            name: name.unwrap_or_default().to_string(),
            transmitted,
        }
    });
    named.collect()
}

/// Whether a way of contrast is one of transmitted light, where that is known.
fn transmits(contrast: &str) -> Option<bool> {
    let word = contrast.to_uppercase();
    match word.as_str() {
        "FLUO" => Some(false),
        "BF" | "PH" | "DIC" | "IMC" | "DF" => Some(true),
        _ => word.starts_with("TL-").then_some(true),
    }
}

/// The well of an image whose folders are a row and a column (`Scan 1/B/2/R1`), as the Navigator
/// of LAS X makes them.
pub(super) fn well_of(path: &[String]) -> Option<String> {
    let folders = path.get(..path.len().checked_sub(1)?)?;
    let mut wells = folders.windows(2).filter_map(|pair| {
        let [row, column] = [&pair[0], &pair[1]];
        printed_well(row, column).filter(|_| row.chars().all(|c| c.is_ascii_uppercase()))
    });
    wells.next_back()
}
