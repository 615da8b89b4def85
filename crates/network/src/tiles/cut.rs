//! How an image is cut into tiles: their cores and margins, and the memory that every cut needs.

use super::{Predict, TileError, TileOptions};
use crate::graph::{Graph, Op};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

impl TileOptions {
    /// The next length that the network takes.
    pub(super) fn up(&self, length: usize) -> usize {
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
pub(super) struct Span {
    pub(super) computed: Range<usize>,
    pub(super) kept: Range<usize>,
}

/// Tiles of at most `core` kept pixels with `margin` more to each side, clipped to the line.
pub(super) fn spans(length: usize, core: usize, margin: usize) -> Vec<Span> {
    (0..length.div_ceil(core))
        .map(|i| {
            let kept = i * core..((i + 1) * core).min(length);
            let computed = kept.start.saturating_sub(margin)..(kept.end + margin).min(length);
            Span { computed, kept }
        })
        .collect()
}

/// Side of the kept core and margin, both multiples of `options.multiple`; `None` = in one piece.
/// Cores are at most as large as `most`, and then an image is in one piece only where it is not
/// larger.
pub(super) fn plan(
    predict: &dyn Predict,
    options: &TileOptions,
    [height, width]: [usize; 2],
    most: Option<usize>,
) -> Result<Option<(usize, usize)>, TileError> {
    let Some(cap) = options.memory else {
        return Ok(None);
    };
    let most = most.unwrap_or(usize::MAX);
    if height.max(width) <= most && predict.memory_bytes(height, width) <= cap {
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
            .filter(|&core| core <= most)
            .find(|&core| needs.bytes(core, margin, cap).is_some());
        if let Some(core) = fitting {
            return Ok(Some((core, margin)));
        }
    }
    let needed = needs.least(options, half);
    Err(TileError::Memory { cap, needed })
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
    let (_, margin) = plan(predict, options, [height, width], None)
        .ok()
        .flatten()?;
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
