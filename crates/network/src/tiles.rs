//! Whole images of any size through the network, in one piece or in overlapping tiles.
//!
//! An image is mirrored up to the network's multiple, half of the surplus on each side, and cut
//! back afterwards. Under a memory cap it is computed in tiles, each with a margin around the
//! pixels that are kept. The margin is the network's receptive radius where memory allows: then a
//! kept pixel sees exactly what it sees in the whole image. Equal up to the last bits of f32 sums,
//! not more: kernels may add in another order at a tile's edge, and a pixel whose two best classes
//! are a rounding error apart may change its class.
//!
//! A network that sees the whole image ([`Graph::sees_whole_image`]) weighs channels by their means
//! over what is computed at once, and no margin holds those: a tile's pixels are exactly those of a
//! prediction of the tile alone.

mod cut;
mod part;

pub use cut::{CutMargin, cut_margin, needed_for_whole, receptive_radius};
pub use part::{Cuts, Window, cuts, needed_for_part, predict_part};

use crate::graph::Graph;
use crate::input::mirror;
use crate::output::{Output, View, channels, parts_mut};
use cut::{Span, plan, spans};
use std::ops::Range;

/// What computes a network's outputs: the CPU's predictor, or another device's.
pub trait Predict {
    /// Writes the outputs of the tile's kept pixels, behind their links, to their places in `out`,
    /// `[channel][y][x]` of the whole image, or of the part of it that the tile says
    /// ([`Tile::out_size`]). The tile's sides are multiples of the network's.
    ///
    /// # Errors
    /// The device computes nothing; the CPU always does.
    fn predict(&mut self, tile: &Tile, out: &mut [f32]) -> Result<(), DeviceError>;
    /// Memory taken for a tile of that size beside the image and its outputs, in bytes.
    fn memory_bytes(&self, height: usize, width: usize) -> usize;
}

/// A part of a mirrored image that is computed at once, and the pixels of it that are kept.
pub struct Tile<'a> {
    /// `[channel][y][x]` of the image, or of the window of it that is there.
    planes: &'a [f32],
    /// Rows and columns of the image that `planes` has.
    window: [Range<usize>; 2],
    height: usize,
    width: usize,
    /// Mirrored pixels above and to the left of the image.
    padding: [usize; 2],
    row: Span,
    column: Span,
    /// Rows and columns of the image that are written.
    out: [Range<usize>; 2],
}

impl Tile<'_> {
    /// Height and width of what is computed.
    pub fn size(&self) -> [usize; 2] {
        [self.row.computed.len(), self.column.computed.len()]
    }

    /// Height and width of what is written: the image, or a part of it.
    pub fn out_size(&self) -> [usize; 2] {
        self.out.each_ref().map(Range::len)
    }

    /// Where the tile's first row and column lie in what is written; they may lie outside.
    pub fn corner(&self) -> [isize; 2] {
        let [top, left] = self.corner_in_image();
        [
            top - self.out[0].start as isize,
            left - self.out[1].start as isize,
        ]
    }

    fn corner_in_image(&self) -> [isize; 2] {
        let first = |span: &Span, padding: usize| span.computed.start as isize - padding as isize;
        [
            first(&self.row, self.padding[0]),
            first(&self.column, self.padding[1]),
        ]
    }

    /// Rows and columns of the tile that are kept: none of them lies outside of the image.
    pub fn kept(&self) -> [Range<usize>; 2] {
        let cut = |span: &Span, padding: usize, length: usize| {
            let kept = span.kept.start.max(padding)..span.kept.end.min(padding + length);
            let first = span.computed.start;
            kept.start.max(first) - first..kept.end.max(first) - first
        };
        [
            cut(&self.row, self.padding[0], self.height),
            cut(&self.column, self.padding[1], self.width),
        ]
    }

    /// Writes row `y` of a channel of the tile, mirrored where it leaves the image.
    ///
    /// # Panics
    /// If `to` is not as long as the tile is wide.
    pub fn row(&self, channel: usize, y: usize, to: &mut [f32]) {
        assert_eq!(to.len(), self.column.computed.len(), "row of another width");
        let [top, left] = self.corner_in_image();
        let [rows, columns] = &self.window;
        let line = mirror(top + y as isize, self.height) - rows.start;
        let line = &self.planes[(channel * rows.len() + line) * columns.len()..][..columns.len()];
        let inside = (-left).max(0) as usize
            ..(self.width as isize - left).clamp(0, to.len() as isize) as usize;
        for x in (0..inside.start.min(to.len())).chain(inside.end..to.len()) {
            to[x] = line[mirror(left + x as isize, self.width) - columns.start];
        }
        if !inside.is_empty() {
            let from = (left + inside.start as isize) as usize - columns.start;
            to[inside.clone()].copy_from_slice(&line[from..from + inside.len()]);
        }
    }
}

/// How whole images are computed.
#[derive(Clone, Debug)]
pub struct TileOptions {
    /// Sides of what the network reads are multiples of this ([`Graph::multiple`]).
    pub multiple: usize,
    /// Channels that the network reads.
    pub channels: usize,
    /// What is computed, the classes first ([`Graph::outputs`]).
    pub outputs: Vec<Output>,
    /// The network's reach to each side in pixels ([`receptive_radius`]).
    pub radius: usize,
    /// Whether tiles differ from the image in one piece whatever their margin
    /// ([`Graph::sees_whole_image`]).
    pub sees_whole_image: bool,
    /// Largest memory for the network, in bytes.
    pub memory: Option<usize>,
    /// Average over the four flips: four times the work, slightly better.
    pub flips: bool,
}

impl TileOptions {
    /// For `graph`, without a cap and without flips.
    pub fn new(graph: &Graph) -> Self {
        Self {
            multiple: graph.multiple(),
            channels: graph.input_channels(),
            outputs: graph.outputs().to_vec(),
            radius: receptive_radius(graph),
            sees_whole_image: graph.sees_whole_image(),
            memory: None,
            flips: false,
        }
    }
}

/// The outputs of a whole image, `[channel][y][x]`: probabilities of the classes, then the numbers
/// of further outputs (see [`crate::output::parts`]).
///
/// `input` is `[channel][height][width]`, already normalised and preprocessed; any size from 1 x 1.
///
/// # Errors
/// If the cap is too small for even the smallest tile, or a result is no number.
///
/// # Panics
/// If `input` has another length.
pub fn predict_image(
    predict: &mut dyn Predict,
    input: &[f32],
    height: usize,
    width: usize,
    options: &TileOptions,
) -> Result<Vec<f32>, TileError> {
    predict_beside(predict, input, height, width, options, None)
}

/// [`predict_image`] of an image of which nothing is known at the pixels `open`, if any: the
/// channels of further outputs may be no numbers there.
///
/// # Errors
/// As [`predict_image`].
///
/// # Panics
/// If `input` or `open` has another length.
pub fn predict_beside(
    predict: &mut dyn Predict,
    input: &[f32],
    height: usize,
    width: usize,
    options: &TileOptions,
    open: Option<&[bool]>,
) -> Result<Vec<f32>, TileError> {
    assert!(
        open.is_none_or(|open| open.len() == height * width),
        "not every pixel is open or not"
    );
    assert_eq!(
        input.len(),
        options.channels * height * width,
        "the input does not hold a plane for every channel"
    );
    if height == 0 || width == 0 {
        return Ok(vec![]);
    }
    let mut sum = predict_once(predict, input, height, width, options)?;
    if options.flips {
        for (down, right) in [(true, false), (false, true), (true, true)] {
            let turned = flip(input, height, width, down, right);
            let made = predict_once(predict, &turned, height, width, options)?;
            let mut back = flip(&made, height, width, down, right);
            drop(made);
            let view = View::flipped(down, right);
            for (output, planes) in parts_mut(&options.outputs, &mut back) {
                output.values.follow_all(&view, output.channels, planes);
            }
            sum.iter_mut().zip(back).for_each(|(sum, p)| *sum += p);
        }
        sum.iter_mut().for_each(|p| *p *= 0.25);
    }
    refuse_none(&sum, &options.outputs, height * width, open)?;
    Ok(sum)
}

/// Refuses outputs, `[channel][pixel]`, that are no numbers where the image is not `open`.
fn refuse_none(
    made: &[f32],
    outputs: &[Output],
    pixels: usize,
    open: Option<&[bool]>,
) -> Result<(), TileError> {
    // Of a pixel that is no number all classes are none, and the numbers of other channels may be
    // none beside them.
    let classes = outputs.first().map_or(0, |output| output.channels);
    let first_of_each = (0..channels(outputs)).filter(|&c| c == 0 || c >= classes);
    let counts = |c: usize, i: usize| c == 0 || open.is_none_or(|open| !open[i]);
    let wrong = |c: usize| {
        let values = made[c * pixels..][..pixels].iter().enumerate();
        values
            .filter(move |&(i, p)| !p.is_finite() && counts(c, i))
            .count()
    };
    match first_of_each.map(wrong).max().unwrap_or(0) {
        0 => Ok(()),
        pixels => Err(TileError::NotFinite { pixels }),
    }
}

fn predict_once(
    predict: &mut dyn Predict,
    input: &[f32],
    height: usize,
    width: usize,
    options: &TileOptions,
) -> Result<Vec<f32>, TileError> {
    let (full_height, full_width) = (options.up(height), options.up(width));
    let (top, left) = ((full_height - height) / 2, (full_width - width) / 2);
    let (rows, columns) = match plan(predict, options, [full_height, full_width], None)? {
        None => (
            spans(full_height, full_height, 0),
            spans(full_width, full_width, 0),
        ),
        Some((core, margin)) => (
            spans(full_height, core, margin),
            spans(full_width, core, margin),
        ),
    };
    let mut out = vec![0.0; channels(&options.outputs) * height * width];
    for row in &rows {
        for column in &columns {
            let tile = Tile {
                planes: input,
                window: [0..height, 0..width],
                height,
                width,
                padding: [top, left],
                row: row.clone(),
                column: column.clone(),
                out: [0..height, 0..width],
            };
            if tile.kept().iter().all(|range| !range.is_empty()) {
                predict.predict(&tile, &mut out)?;
            }
        }
    }
    Ok(out)
}

fn flip(planes: &[f32], height: usize, width: usize, down: bool, right: bool) -> Vec<f32> {
    let mut out = Vec::with_capacity(planes.len());
    for plane in planes.chunks(height * width) {
        for y in 0..height {
            let y = if down { height - 1 - y } else { y };
            let row = &plane[y * width..(y + 1) * width];
            match right {
                true => out.extend(row.iter().rev()),
                false => out.extend(row),
            }
        }
    }
    out
}

/// The class with the largest probability of each pixel (the first, if several are equal).
pub fn argmax(probabilities: &[f32], classes: usize) -> Vec<u8> {
    let pixels = probabilities.len() / classes.max(1);
    let planes: Vec<&[f32]> = probabilities.chunks(pixels.max(1)).collect();
    argmax_of(&planes)
}

/// [`argmax`] of probabilities that lie apart, one plane a class.
///
/// # Panics
/// If planes differ in length.
pub fn argmax_of(planes: &[&[f32]]) -> Vec<u8> {
    let pixels = planes.first().map_or(0, |plane| plane.len());
    let of = |i: usize| {
        let larger = |best: usize, class: usize| match planes[class][i] > planes[best][i] {
            true => class,
            false => best,
        };
        (1..planes.len()).fold(0, larger) as u8
    };
    (0..pixels).map(of).collect()
}

/// An image that cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// The cap is below the smallest tile.
    #[error(
        "the network needs at least `{needed}` bytes for its smallest tile, allowed are `{cap}`; \
         raise the memory limit"
    )]
    Memory {
        /// The cap.
        cap: usize,
        /// The least that would do.
        needed: usize,
    },
    /// The network's output is no number: its input or its weights are none.
    #[error(
        "the network's result is not a number at {pixels} pixels: the image or the model's weights \
         hold NaN or infinite values"
    )]
    NotFinite {
        /// Pixels without a class.
        pixels: usize,
    },
    /// The device computes nothing.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Why a device has computed nothing, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DeviceError(pub String);

#[cfg(test)]
mod tests;
