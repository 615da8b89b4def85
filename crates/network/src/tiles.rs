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

use crate::graph::{Graph, Op};
use crate::input::mirror;
use crate::output::{Output, View, channels, parts_mut};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What computes a network's outputs: the CPU's predictor, or another device's.
pub trait Predict {
    /// Writes the outputs of the tile's kept pixels, behind their links, to their places in `out`,
    /// `[channel][y][x]` of the whole image. The tile's sides are multiples of the network's.
    fn predict(&mut self, tile: &Tile, out: &mut [f32]);
    /// Memory taken for a tile of that size beside the image and its outputs, in bytes.
    fn memory_bytes(&self, height: usize, width: usize) -> usize;
}

/// A part of a mirrored image that is computed at once, and the pixels of it that are kept.
pub struct Tile<'a> {
    /// `[channel][y][x]` of the whole image.
    planes: &'a [f32],
    height: usize,
    width: usize,
    /// Mirrored pixels above and to the left of the image.
    padding: [usize; 2],
    row: Span,
    column: Span,
}

impl Tile<'_> {
    /// Height and width of what is computed.
    pub fn size(&self) -> [usize; 2] {
        [self.row.computed.len(), self.column.computed.len()]
    }

    /// Height and width of the image.
    pub fn image_size(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// Where the tile's first row and column lie in the image; they may lie outside.
    pub fn corner(&self) -> [isize; 2] {
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
        let [top, left] = self.corner();
        let line = mirror(top + y as isize, self.height);
        let line = &self.planes[(channel * self.height + line) * self.width..][..self.width];
        let inside = (-left).max(0) as usize
            ..(self.width as isize - left).clamp(0, to.len() as isize) as usize;
        for x in (0..inside.start.min(to.len())).chain(inside.end..to.len()) {
            to[x] = line[mirror(left + x as isize, self.width)];
        }
        if !inside.is_empty() {
            let from = (left + inside.start as isize) as usize;
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

    /// The next length that the network takes.
    fn up(&self, length: usize) -> usize {
        length.next_multiple_of(self.multiple)
    }

    /// Sides of the kept core that an image can be cut with, ascending; the largest keeps it whole.
    fn cores(&self, height: usize, width: usize) -> impl DoubleEndedIterator<Item = usize> {
        let multiple = self.multiple;
        (1..=height.max(width).div_ceil(multiple)).map(move |i| i * multiple)
    }
}

/// How far, in input pixels, an output pixel can see to each side, gates of squeeze-and-excitation
/// aside.
///
/// The largest sum over paths: a 3x3 convolution at 1/2^k adds 2^k (with stride 2 twice as much), a
/// pool or an up-sampling between 1/2^k and 1/2^(k+1) adds 2^k (a pixel may stand at either end of
/// its block).
pub fn receptive_radius(graph: &Graph) -> usize {
    let nodes = graph.nodes();
    let mut reach = vec![0usize; nodes.len()];
    for (i, node) in nodes.iter().enumerate() {
        let step = |k: usize| 1usize << k;
        reach[i] = node
            .inputs
            .iter()
            .map(|input| {
                let level = nodes[input.0].level;
                let own = match node.op {
                    // The last of the pixels that an output stands for, and the first.
                    Op::Conv { window, .. } => {
                        let before = window.before + window.stride - 1;
                        let after = window.kernel - 1 - window.before;
                        step(level) * before.max(after)
                    }
                    _ if level != node.level => step(level.min(node.level)),
                    _ => 0,
                };
                reach[input.0] + own
            })
            .max()
            .unwrap_or(0);
    }
    reach.last().copied().unwrap_or(0)
}

/// One tile of a line: what is computed, and which part of it is kept; both in pixels of the padded
/// line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    computed: Range<usize>,
    kept: Range<usize>,
}

/// Tiles of at most `core` kept pixels with `margin` more to each side, clipped to the line.
fn spans(length: usize, core: usize, margin: usize) -> Vec<Span> {
    (0..length.div_ceil(core))
        .map(|i| {
            let kept = i * core..((i + 1) * core).min(length);
            let computed = kept.start.saturating_sub(margin)..(kept.end + margin).min(length);
            Span { computed, kept }
        })
        .collect()
}

/// Side of the kept core and margin, both multiples of `options.multiple`; `None` = in one piece.
fn plan(
    predict: &dyn Predict,
    options: &TileOptions,
    height: usize,
    width: usize,
) -> Result<Option<(usize, usize)>, TileError> {
    let Some(cap) = options.memory else {
        return Ok(None);
    };
    if predict.memory_bytes(height, width) <= cap {
        return Ok(None);
    }
    let mut needs = Needs::new(predict, height, width);
    // A margin below the radius gives up exactness for feasibility; half of it already holds nearly
    // all of the weight, since the outer reach is seen through the coarsest layers only.
    let half = options.up(options.radius / 2);
    for margin in [options.up(options.radius), half] {
        let fitting = options
            .cores(height, width)
            .rev()
            .find(|&core| needs.bytes(core, margin, cap).is_some());
        if let Some(core) = fitting {
            return Ok(Some((core, margin)));
        }
    }
    let needed = needs.least(options, half);
    Err(TileError::Memory { cap, needed })
}

/// The memory that cuts of one image need.
///
/// Every size of tile that a cut has is asked for, since a smaller tile may take more memory than a
/// larger one: the predictor's bands are whole rows, and narrow tiles make theirs higher.
struct Needs<'a> {
    predict: &'a dyn Predict,
    height: usize,
    width: usize,
    /// By the tile's height and width.
    known: BTreeMap<(usize, usize), usize>,
}

impl<'a> Needs<'a> {
    fn new(predict: &'a dyn Predict, height: usize, width: usize) -> Self {
        Self {
            predict,
            height,
            width,
            known: BTreeMap::new(),
        }
    }

    /// The most that a tile takes if the image is cut into tiles of `core` kept pixels and `margin`
    /// more; `None` as soon as one takes more than `cap`. The largest is asked for first.
    fn bytes(&mut self, core: usize, margin: usize, cap: usize) -> Option<usize> {
        let sides = |length: usize| -> BTreeSet<usize> {
            let spans = spans(length, core, margin);
            spans.into_iter().map(|span| span.computed.len()).collect()
        };
        let (heights, widths) = (sides(self.height), sides(self.width));
        let mut most = 0;
        for &height in heights.iter().rev() {
            for &width in widths.iter().rev() {
                let predict = self.predict;
                let bytes = self
                    .known
                    .entry((height, width))
                    .or_insert_with(|| predict.memory_bytes(height, width));
                most = most.max(*bytes);
                if most > cap {
                    return None;
                }
            }
        }
        Some(most)
    }

    /// The smallest cap under which tiles of that margin can be made.
    fn least(&mut self, options: &TileOptions, margin: usize) -> usize {
        let cores = options.cores(self.height, self.width);
        // What needs more than the best so far is of no interest.
        cores.fold(usize::MAX, |least, core| {
            self.bytes(core, margin, least).unwrap_or(least)
        })
    }
}

/// A margin of tiles that the cap on memory has made smaller than what a pixel sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutMargin {
    /// Pixels around the kept ones.
    pub margin: usize,
    /// Pixels with which a tile sees exactly what the whole image sees.
    pub full: usize,
    /// Memory in bytes from which on the full margin is taken.
    pub needed: usize,
}

/// Whether an image of that size is computed in tiles whose margin is cut; `None` = its pixels see
/// all there is to see.
pub fn cut_margin(
    predict: &dyn Predict,
    options: &TileOptions,
    height: usize,
    width: usize,
) -> Option<CutMargin> {
    let (height, width) = (options.up(height), options.up(width));
    let (_, margin) = plan(predict, options, height, width).ok().flatten()?;
    let full = options.up(options.radius);
    (margin < full).then(|| CutMargin {
        margin,
        full,
        needed: Needs::new(predict, height, width).least(options, full),
    })
}

/// The memory in bytes from which on an image of that size is computed in one piece, where it is
/// not and its pixels would then see more; `None` = no more than [`cut_margin`] says is missing.
pub fn needed_for_whole(
    predict: &dyn Predict,
    options: &TileOptions,
    height: usize,
    width: usize,
) -> Option<usize> {
    let up = |n: usize| n.next_multiple_of(options.multiple);
    let needed = predict.memory_bytes(up(height), up(width));
    (options.sees_whole_image && options.memory.is_some_and(|cap| cap < needed)).then_some(needed)
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
    // Of a pixel that is no number all classes are none, and the numbers of other channels may be
    // none beside them.
    let classes = options.outputs.first().map_or(0, |output| output.channels);
    let first_of_each = (0..channels(&options.outputs)).filter(|&c| c == 0 || c >= classes);
    let plane = |c: usize| &sum[c * height * width..][..height * width];
    let counts = |c: usize, i: usize| c == 0 || open.is_none_or(|open| !open[i]);
    let wrong = |c: usize| {
        let values = plane(c).iter().enumerate();
        values
            .filter(move |&(i, p)| !p.is_finite() && counts(c, i))
            .count()
    };
    let pixels = first_of_each.map(wrong).max().unwrap_or(0);
    if pixels > 0 {
        return Err(TileError::NotFinite { pixels });
    }
    Ok(sum)
}

fn predict_once(
    predict: &mut dyn Predict,
    input: &[f32],
    height: usize,
    width: usize,
    options: &TileOptions,
) -> Result<Vec<f32>, TileError> {
    let (full_height, full_width) = (
        height.next_multiple_of(options.multiple),
        width.next_multiple_of(options.multiple),
    );
    let (top, left) = ((full_height - height) / 2, (full_width - width) / 2);
    let (rows, columns) = match plan(predict, options, full_height, full_width)? {
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
                height,
                width,
                padding: [top, left],
                row: row.clone(),
                column: column.clone(),
            };
            if tile.kept().iter().all(|range| !range.is_empty()) {
                predict.predict(&tile, &mut out);
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Values;
    use crate::{Encoder, UnetSpec};

    /// A "network" of known reach: class 1 is the mean over a square of `reach` to each side (zero
    /// outside), class 0 the first plane itself.
    struct Mean {
        reach: isize,
        sizes: Vec<(usize, usize)>,
    }

    impl Predict for Mean {
        fn predict(&mut self, tile: &Tile, out: &mut [f32]) {
            let [height, width] = tile.size();
            self.sizes.push((height, width));
            let mut plane = vec![0.0; height * width];
            for (y, row) in plane.chunks_exact_mut(width).enumerate() {
                tile.row(0, y, row);
            }
            let inside = |i: isize, n: usize| (0..n as isize).contains(&i);
            let ([top, left], [image_height, image_width]) = (tile.corner(), tile.image_size());
            let [rows, columns] = tile.kept();
            for (y, x) in rows.flat_map(|y| columns.clone().map(move |x| (y, x))) {
                let mut sum = 0.0;
                let (i, j) = (y as isize, x as isize);
                for v in (i - self.reach..=i + self.reach).filter(|v| inside(*v, height)) {
                    for u in (j - self.reach..=j + self.reach).filter(|u| inside(*u, width)) {
                        sum += plane[v as usize * width + u as usize];
                    }
                }
                let at = (i + top) as usize * image_width + (j + left) as usize;
                out[at] = plane[y * width + x];
                out[image_height * image_width + at] = sum;
            }
        }

        fn memory_bytes(&self, height: usize, width: usize) -> usize {
            height * width
        }
    }

    fn image(height: usize, width: usize) -> Vec<f32> {
        (0..3 * height * width)
            .map(|i| ((i * 7919) % 64) as f32)
            .collect()
    }

    fn run(
        height: usize,
        width: usize,
        memory: Option<usize>,
        flips: bool,
    ) -> (Vec<f32>, Vec<(usize, usize)>) {
        let options = TileOptions {
            multiple: 8,
            channels: 3,
            outputs: vec![Output::classes(2)],
            radius: 7,
            sees_whole_image: false,
            memory,
            flips,
        };
        let mut network = Mean {
            reach: 7,
            sizes: vec![],
        };
        let out =
            predict_image(&mut network, &image(height, width), height, width, &options).unwrap();
        (out, network.sizes)
    }

    #[test]
    fn tiles_give_what_the_whole_gives() {
        for (height, width) in [(70, 53), (64, 64), (8, 100), (1, 1), (65, 9)] {
            let (whole, sizes) = run(height, width, None, false);
            assert_eq!(
                sizes,
                [(height.next_multiple_of(8), width.next_multiple_of(8))]
            );
            assert_eq!(
                whole[..height * width],
                image(height, width)[..height * width]
            );
            for cap in [24 * 24, 32 * 32, 40 * 40] {
                let (tiled, sizes) = run(height, width, Some(cap), false);
                // Whole numbers: the sums are exact in f32.
                assert_eq!(tiled, whole, "{height} x {width} under {cap}");
                assert!(
                    sizes
                        .iter()
                        .all(|(h, w)| h * w <= cap && h % 8 == 0 && w % 8 == 0),
                    "{sizes:?}"
                );
            }
        }
        assert!(
            run(70, 53, Some(32 * 32), false).1.len() > 4,
            "the cap did not lead to tiles"
        );
    }

    #[test]
    fn a_cut_margin_is_known_with_the_memory_that_would_do() {
        let cut = |memory: Option<usize>, height: usize, width: usize| {
            let network = Mean {
                reach: 7,
                sizes: vec![],
            };
            let options = TileOptions {
                multiple: 8,
                channels: 3,
                outputs: vec![Output::classes(2)],
                radius: 15,
                sees_whole_image: false,
                memory,
                flips: false,
            };
            cut_margin(&network, &options, height, width)
        };
        // 8 kept pixels and 16 more to each side.
        let full = 40 * 40;
        let expected = CutMargin {
            margin: 8,
            full: 16,
            needed: full,
        };
        assert_eq!(cut(Some(full - 1), 70, 53), Some(expected));
        assert_eq!(cut(Some(full), 70, 53), None);
        assert_eq!(cut(None, 70, 53), None);
        // In one piece; not at all.
        assert_eq!(cut(Some(24 * 24), 20, 24), None);
        assert_eq!(cut(Some(24 * 24 - 1), 70, 53), None);
    }

    /// Takes more memory for narrow tiles than for wide ones, as high bands of whole rows do.
    struct NarrowIsDear(Mean);

    impl Predict for NarrowIsDear {
        fn predict(&mut self, tile: &Tile, out: &mut [f32]) {
            self.0.predict(tile, out);
        }

        fn memory_bytes(&self, height: usize, width: usize) -> usize {
            let dear = if width < 60 { 8 } else { 1 };
            dear * height * width
        }
    }

    #[test]
    fn a_larger_tile_that_needs_less_memory_keeps_the_margin() {
        let mut network = NarrowIsDear(Mean {
            reach: 7,
            sizes: vec![],
        });
        // The least core with its margin is 40 x 40 and takes 12800; four tiles of at most 80 x 80
        // take half of that.
        let cap = 80 * 80;
        let options = TileOptions {
            multiple: 8,
            channels: 3,
            outputs: vec![Output::classes(2)],
            radius: 15,
            memory: Some(cap),
            flips: false,
            sees_whole_image: false,
        };
        let (height, width) = (120, 128);
        assert_eq!(cut_margin(&network, &options, height, width), None);
        let planes = image(height, width);
        let tiled = predict_image(&mut network, &planes, height, width, &options).unwrap();
        assert_eq!(tiled, run(height, width, None, false).0);
        assert_eq!(network.0.sizes, [(80, 80), (80, 80), (72, 80), (72, 80)]);
        // One byte less, and the cut margin names what would do.
        let less = TileOptions {
            memory: Some(cap - 1),
            ..options
        };
        let cut = cut_margin(&network, &less, height, width).unwrap();
        assert_eq!((cut.margin, cut.needed), (8, cap));
    }

    #[test]
    fn flips_average_four_views() {
        let (plain, _) = run(13, 21, None, false);
        let (flipped, sizes) = run(13, 21, None, true);
        assert_eq!(sizes.len(), 4);
        // Away from the padding the square mean is symmetric, so flips change nothing there.
        assert_eq!(flipped[..13 * 21], plain[..13 * 21]);
    }

    /// Points from every pixel to the middle of the brightest one, as any network does that knows
    /// no up and down.
    struct ToBrightest;

    impl Predict for ToBrightest {
        fn predict(&mut self, tile: &Tile, out: &mut [f32]) {
            let [height, width] = tile.size();
            let mut plane = vec![0.0; height * width];
            for (y, row) in plane.chunks_exact_mut(width).enumerate() {
                tile.row(0, y, row);
            }
            let brightest = (0..plane.len()).max_by(|&a, &b| plane[a].total_cmp(&plane[b]));
            let (v, u) = brightest.map_or((0, 0), |i| (i / width, i % width));
            let ([top, left], [image_height, image_width]) = (tile.corner(), tile.image_size());
            let [rows, columns] = tile.kept();
            for (y, x) in rows.flat_map(|y| columns.clone().map(move |x| (y, x))) {
                let at = (y as isize + top) as usize * image_width + (x as isize + left) as usize;
                let numbers = [1.0, v as f32 - y as f32, u as f32 - x as f32, 1.0];
                for (channel, number) in numbers.into_iter().enumerate() {
                    out[channel * image_height * image_width + at] = number;
                }
            }
        }

        fn memory_bytes(&self, height: usize, width: usize) -> usize {
            height * width
        }
    }

    #[test]
    fn vectors_of_flipped_views_are_turned_back() {
        let vector = Output {
            name: "to-brightest".into(),
            values: Values::Displacement,
            ..Output::classes(2)
        };
        let last = Output {
            name: "one".into(),
            ..Output::classes(1)
        };
        let predict = |flips: bool| {
            let options = TileOptions {
                multiple: 8,
                channels: 3,
                outputs: vec![Output::classes(1), vector.clone(), last.clone()],
                radius: 7,
                sees_whole_image: false,
                memory: None,
                flips,
            };
            // Whole multiples: nothing is mirrored, so there is one brightest pixel.
            let mut planes = vec![0.0; 3 * 16 * 24];
            planes[5 * 24 + 20] = 1.0;
            predict_image(&mut ToBrightest, &planes, 16, 24, &options).unwrap()
        };
        let plain = predict(false);
        assert_eq!((plain[16 * 24], plain[2 * 16 * 24]), (5.0, 20.0));
        assert_eq!(predict(true), plain);
    }

    #[test]
    fn a_number_that_is_none_beside_sound_classes_is_refused() {
        struct Nan;
        impl Predict for Nan {
            fn predict(&mut self, _: &Tile, out: &mut [f32]) {
                let last = out.len() - 3;
                out[last] = f32::NAN;
            }
            fn memory_bytes(&self, _: usize, _: usize) -> usize {
                0
            }
        }
        let options = TileOptions {
            multiple: 8,
            channels: 3,
            outputs: vec![Output::classes(2), Output::classes(1)],
            radius: 7,
            sees_whole_image: false,
            memory: None,
            flips: false,
        };
        let error = predict_image(&mut Nan, &image(8, 8), 8, 8, &options).unwrap_err();
        assert_eq!(error, TileError::NotFinite { pixels: 1 });
    }

    #[test]
    fn too_small_a_cap_says_what_would_do() {
        let options = TileOptions {
            multiple: 8,
            channels: 3,
            outputs: vec![Output::classes(2)],
            radius: 7,
            sees_whole_image: false,
            memory: Some(100),
            flips: false,
        };
        let mut network = Mean {
            reach: 7,
            sizes: vec![],
        };
        let error = predict_image(&mut network, &image(64, 64), 64, 64, &options).unwrap_err();
        // 8 kept plus 8 (half the radius, rounded up) to each side.
        assert_eq!(
            error,
            TileError::Memory {
                cap: 100,
                needed: 24 * 24
            }
        );
    }

    #[test]
    fn the_networks_reach_is_counted_along_its_longest_path() {
        let graph = Graph::unet(&UnetSpec::narrow(Encoder::Vgg16, 0.0625, 2)).unwrap();
        // Encoder: 2 * 1 + 2 * 2 + 3 * 4 + 3 * 8 + 3 * 16 = 90, pools 1 + 2 + 4 + 8 + 16 = 31,
        // centre 2 * 32, up-sampling 31, decoder 2 * (16 + 8 + 4 + 2 + 1) = 62, head 1.
        assert_eq!(receptive_radius(&graph), 90 + 31 + 64 + 31 + 62 + 1);
    }

    #[test]
    fn argmax_takes_the_first_of_equals() {
        assert_eq!(
            argmax(&[0.5, 0.2, 0.3, 0.5, 0.5, 0.3, 0.0, 0.3, 0.4], 3),
            [0, 1, 2]
        );
    }
}
