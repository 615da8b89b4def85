//! A part of an image, of which no more is at hand than the window that the network sees: so an
//! image that is larger than memory is computed part by part.
//!
//! Where the parts are those that [`cuts`] tells, the numbers are those of the whole image cut
//! under the same cap, bit for bit; any other part differs by the last bits of f32 sums. Flips turn
//! each part by itself, so a network that reads single pixels sees the same as in a flipped image.

use super::cut::{Span, plan};
use super::{Predict, Tile, TileError, TileOptions, flip, refuse_none};
use crate::input::mirror;
use crate::output::{View, channels, parts_mut};
use std::ops::Range;

/// How an image is cut: rows and columns of the image that are kept of each part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cuts {
    /// Rows, from the top, without gaps.
    pub rows: Vec<Range<usize>>,
    /// Columns, from the left, without gaps.
    pub columns: Vec<Range<usize>>,
    /// What is computed around a part, pixels.
    pub margin: usize,
    /// The margin with which a part sees all that the whole image sees.
    pub full: usize,
}

/// How an image of that size is cut under the cap on memory, each part with sides of at most
/// `most` pixels (rounded up to what the network takes).
///
/// # Errors
/// [`TileError::Memory`] if the cap is too small for even the smallest tile.
pub fn cuts(
    predict: &dyn Predict,
    options: &TileOptions,
    [height, width]: [usize; 2],
    most: usize,
) -> Result<Cuts, TileError> {
    let sides = [options.up(height), options.up(width)];
    let found = plan(predict, options, sides, Some(options.up(most)))?;
    let (core, margin) = found.unwrap_or((sides[0].max(sides[1]), 0));
    let along = |length: usize| {
        let padding = (options.up(length) - length) / 2;
        let parts = (0..options.up(length).div_ceil(core)).map(|i| {
            let at = |padded: usize| padded.saturating_sub(padding).min(length);
            at(i * core)..at((i + 1) * core)
        });
        parts.filter(|part| !part.is_empty()).collect()
    };
    Ok(Cuts {
        rows: along(height),
        columns: along(width),
        margin,
        full: options.up(options.radius),
    })
}

/// Rows or columns of a line of `length` pixels that the network sees of a part.
fn span(
    options: &TileOptions,
    length: usize,
    kept: &Range<usize>,
    margin: usize,
    padding: usize,
) -> Span {
    let multiple = options.multiple;
    let kept = kept.start + padding..kept.end + padding;
    let start = kept.start.saturating_sub(margin) / multiple * multiple;
    let end = options.up(kept.end + margin).min(options.up(length));
    Span {
        computed: start..end,
        kept,
    }
}

/// Rows and columns of an image of that size that [`predict_part`] reads for the part `kept`.
pub fn needed_for_part(
    options: &TileOptions,
    size: [usize; 2],
    kept: &[Range<usize>; 2],
    margin: usize,
) -> [Range<usize>; 2] {
    std::array::from_fn(|axis| {
        let length = size[axis];
        let of = |kept: &Range<usize>| {
            let padding = (options.up(length) - length) / 2;
            let computed = span(options, length, kept, margin, padding).computed;
            let seen = computed.map(|i| mirror(i as isize - padding as isize, length));
            seen.fold((length, 0), |(least, most), i| {
                (least.min(i), most.max(i + 1))
            })
        };
        let plain = of(&kept[axis]);
        let turned = match options.flips {
            true => of(&turned(&kept[axis], length)),
            false => (length - plain.1, length - plain.0),
        };
        plain.0.min(length - turned.1)..plain.1.max(length - turned.0)
    })
}

/// The same pixels of a line that is turned round.
fn turned(range: &Range<usize>, length: usize) -> Range<usize> {
    length - range.end..length - range.start
}

/// What is at hand of an image.
pub struct Window<'a> {
    /// `[channel][y][x]`, normalised and preprocessed.
    pub planes: &'a [f32],
    /// Rows and columns of the image that it has.
    pub at: [Range<usize>; 2],
    /// Height and width of the image.
    pub size: [usize; 2],
}

/// The outputs of the rows and columns `kept` of an image, `[channel][y][x]` of that part; `open`
/// are those of its pixels of which nothing is known (see [`super::predict_beside`]).
///
/// # Errors
/// [`TileError::NotFinite`] if a result is no number; [`TileError::Device`] where there is none.
///
/// # Panics
/// If the window does not have all that [`needed_for_part`] tells.
pub fn predict_part(
    predict: &mut dyn Predict,
    window: &Window,
    kept: &[Range<usize>; 2],
    margin: usize,
    options: &TileOptions,
    open: Option<&[bool]>,
) -> Result<Vec<f32>, TileError> {
    let (rows, columns) = (kept[0].len(), kept[1].len());
    let mut sum = part_once(predict, window, kept, margin, options)?;
    if options.flips {
        let [height, width] = window.at.each_ref().map(Range::len);
        for (down, right) in [(true, false), (false, true), (true, true)] {
            let turn = |range: &Range<usize>, axis: usize| match [down, right][axis] {
                true => turned(range, window.size[axis]),
                false => range.clone(),
            };
            let both = |of: &[Range<usize>; 2]| [turn(&of[0], 0), turn(&of[1], 1)];
            let planes = flip(window.planes, height, width, down, right);
            let view = Window {
                planes: &planes,
                at: both(&window.at),
                size: window.size,
            };
            let made = part_once(predict, &view, &both(kept), margin, options)?;
            let mut back = flip(&made, rows, columns, down, right);
            let view = View::flipped(down, right);
            for (output, planes) in parts_mut(&options.outputs, &mut back) {
                output.values.follow_all(&view, output.channels, planes);
            }
            sum.iter_mut().zip(back).for_each(|(sum, p)| *sum += p);
        }
        sum.iter_mut().for_each(|p| *p *= 0.25);
    }
    refuse_none(&sum, &options.outputs, rows * columns, open)?;
    Ok(sum)
}

fn part_once(
    predict: &mut dyn Predict,
    window: &Window,
    kept: &[Range<usize>; 2],
    margin: usize,
    options: &TileOptions,
) -> Result<Vec<f32>, TileError> {
    let [height, width] = window.size;
    let padding = window.size.map(|length| (options.up(length) - length) / 2);
    let tile = Tile {
        planes: window.planes,
        window: window.at.clone(),
        height,
        width,
        padding,
        row: span(options, height, &kept[0], margin, padding[0]),
        column: span(options, width, &kept[1], margin, padding[1]),
        out: kept.clone(),
    };
    let mut out = vec![0.0; channels(&options.outputs) * kept[0].len() * kept[1].len()];
    predict.predict(&tile, &mut out)?;
    Ok(out)
}
