//! The order in which a prediction makes its rows, so that only few of them are held at a time.
//!
//! A convolution needs its input one row further than its output, so a network can be run like a
//! pipeline: as soon as an array has enough rows for a band of the next one, that is made, and rows
//! that nobody will read again are given up. The large early arrays then pass through the caches,
//! and skips are held only as long as the path below them takes to answer (about the network's
//! reach), whatever the image's height.
//!
//! Where channels are weighed by their means over the image (squeeze-and-excitation), what reads
//! them waits until all rows have come: such an array is held as a whole, until the next is, and so
//! are the skips.
//!
//! Bands depend on the image's size alone, not on the threads, so neither do results. They differ
//! from those of one pass over the whole image in the last bits: Winograd's tiles begin where a
//! band begins.

use crate::lower::{Kernel, Lowered};
use crate::program::{Input, Program, Step};
use std::ops::Range;

/// Side of the tiles in which the heights of bands are counted.
const TILE: usize = 4;
/// Rows that whole tiles of 4x4 and of 6x6 fill.
const WHOLE_TILES: usize = 12;
/// Tiles in a band at each halving of the image: enough for all threads to have several groups of
/// them, and for the filters, which every band reads anew and which come from memory below the
/// second halving. Deep arrays are small, and a band of them stands for so many rows of the image
/// that the skips above would fill memory meanwhile: 64 tiles at the fourth halving are 128 rows of
/// a field of 2160 pixels, and bands above it may be as high at no cost.
const TILES: [usize; 5] = [512, 512, 512, 256, 64];

/// Tiles in a band at `level`; half as many for each halving beyond the table.
fn tiles(level: usize) -> usize {
    let last = TILES.len() - 1;
    TILES[level.min(last)] >> level.saturating_sub(last)
}

/// What heights of bands are a multiple of at each halving of the image: rows that whole tiles of
/// all convolutions there fill.
fn steps_of_rows(lowered: &Lowered) -> Vec<usize> {
    let Program { values, steps, .. } = &lowered.program;
    let levels = values.iter().map(|v| v.level).max().unwrap_or(0);
    let mut rows = vec![TILE; levels + 1];
    for (step, kernel) in steps.iter().zip(&lowered.kernels) {
        if let Some(kernel) = kernel
            && !TILE.is_multiple_of(kernel.tile_rows())
        {
            rows[values[step.to()].level] = WHOLE_TILES;
        }
    }
    rows
}

/// Who makes rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    /// Rows of the image are laid out as value 0.
    Input,
    /// A step of the program, by its index.
    Step(usize),
    /// Rows of logits leave.
    Output,
}

/// One piece of work: `rows` of what the maker writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Band {
    pub(crate) maker: Maker,
    pub(crate) rows: Range<usize>,
}

/// All bands of an image in order, and how many rows of every value are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) bands: Vec<Band>,
    pub(crate) kept: Vec<usize>,
}

impl Schedule {
    /// For an image of `height` x `width` pixels, multiples of the network's.
    pub(crate) fn new(lowered: &Lowered, height: usize, width: usize) -> Self {
        Self::with_tiles(lowered, height, width, tiles)
    }

    /// With bands of at least `tiles(level)` tiles; everything in one piece if that is the whole
    /// image.
    pub(crate) fn with_tiles(
        lowered: &Lowered,
        height: usize,
        width: usize,
        tiles: impl Fn(usize) -> usize,
    ) -> Self {
        let steps = steps_of_rows(lowered);
        let band = |level: usize| {
            let columns = (width >> level).div_ceil(TILE);
            (TILE * tiles(level).div_ceil(columns)).next_multiple_of(steps[level])
        };
        let mut state = State::new(lowered, height);
        let mut bands = Vec::new();
        // The deepest work that can be done is done first: what it reads is held no longer than
        // needed.
        while let Some((maker, rows)) = state.next(&band) {
            state.make(maker, rows.end);
            bands.push(Band { maker, rows });
        }
        Self {
            bands,
            kept: state.kept,
        }
    }
}

impl Schedule {
    /// For every value the bands from the first that writes it to the last that reads it.
    pub(crate) fn lives(&self, program: &Program) -> Vec<Range<usize>> {
        let mut lives = vec![0..0; program.values.len()];
        for (index, band) in self.bands.iter().enumerate() {
            let (written, read) = match band.maker {
                Maker::Input => (Some(0), vec![]),
                Maker::Step(step) => {
                    let step = &program.steps[step];
                    (Some(step.to()), step.reads())
                }
                Maker::Output => (None, vec![program.logits]),
            };
            for value in written.into_iter().chain(read) {
                let life = &mut lives[value];
                let first = if life.end == 0 { index } else { life.start };
                *life = first..index + 1;
            }
        }
        lives
    }
}

/// How far everything is.
struct State<'a> {
    program: &'a Program,
    kernels: &'a [Option<Kernel>],
    heights: Vec<usize>,
    /// Rows of each value that are made.
    made: Vec<usize>,
    /// Rows of logits that have left.
    left: usize,
    kept: Vec<usize>,
}

impl<'a> State<'a> {
    fn new(lowered: &'a Lowered, height: usize) -> Self {
        let Lowered {
            program, kernels, ..
        } = lowered;
        let heights: Vec<usize> = program.values.iter().map(|v| height >> v.level).collect();
        Self {
            program,
            kernels,
            made: vec![0; heights.len()],
            kept: vec![0; heights.len()],
            heights,
            left: 0,
        }
    }

    fn next(&self, band: &impl Fn(usize) -> usize) -> Option<(Maker, Range<usize>)> {
        let logits = self.program.logits;
        if self.left < self.made[logits] {
            return Some((Maker::Output, self.left..self.made[logits]));
        }
        for step in (0..self.program.steps.len()).rev() {
            let to = self.program.steps[step].to();
            let (done, ready) = (self.made[to], self.ready(step));
            let size = band(self.program.values[to].level);
            let finished = ready == self.heights[to];
            // What halves the image waits for a whole band. What follows them takes whatever has
            // come: waiting again at every step would delay the end by a band each.
            let rows = match &self.program.steps[step] {
                halves if halves.halves() && ready < done + size && !finished => 0,
                Step::MaxPool { .. } | Step::Add { .. } | Step::Activate { .. } => ready - done,
                // Where gates have waited for the whole of their input, all of its rows have come
                // at once. Whole tiles, but for the first band and the last: with the first a
                // convolution falls one row behind its input, and stays there.
                Step::Conv(_) => {
                    let rows = size.min(ready - done);
                    let ends = done == 0 || (finished && ready <= done + size);
                    let side = self.kernels[step].map_or(1, |kernel| kernel.tile_rows());
                    if ends { rows } else { rows / side * side }
                }
            };
            if rows > 0 {
                return Some((Maker::Step(step), done..done + rows));
            }
        }
        let (done, height) = (self.made[0], self.heights[0]);
        (done < height).then(|| (Maker::Input, done..height.min(done + band(0))))
    }

    /// Rows of its output that a step could have made by now.
    fn ready(&self, step: usize) -> usize {
        match &self.program.steps[step] {
            Step::MaxPool { from, .. } => self.made[*from] / 2,
            Step::Activate { from, .. } => self.made[*from],
            Step::Add { terms, .. } => {
                let [a, b] = terms.map(|term| self.made[term]);
                a.min(b)
            }
            Step::Conv(conv) => {
                let from = |input: &Input| {
                    let made = self.made[input.value];
                    // Gates are made of means over the whole image.
                    if conv.excite.is_some() && made < self.heights[input.value] {
                        return 0;
                    }
                    if made == self.heights[input.value] {
                        return self.heights[conv.to];
                    }
                    let seen = (made << usize::from(input.upsampled)) + conv.window.before;
                    match seen.checked_sub(conv.window.kernel) {
                        Some(room) => (room / conv.window.stride + 1).min(self.heights[conv.to]),
                        None => 0,
                    }
                };
                conv.inputs.iter().map(from).min().unwrap_or(0)
            }
        }
    }

    /// Notes that `maker` has made its rows up to `end`.
    fn make(&mut self, maker: Maker, end: usize) {
        let value = match maker {
            Maker::Output => {
                self.left = end;
                return;
            }
            Maker::Input => 0,
            Maker::Step(step) => self.program.steps[step].to(),
        };
        self.made[value] = end;
        let held = end - self.first_needed(value).min(end);
        self.kept[value] = self.kept[value].max(held);
    }

    /// The first row of a value that is still to be read.
    fn first_needed(&self, value: usize) -> usize {
        let readers = self.program.steps.iter().filter_map(|step| match step {
            Step::MaxPool { from, to } => (*from == value).then(|| 2 * self.made[*to]),
            Step::Add { terms, to, .. } => terms.contains(&value).then(|| self.made[*to]),
            Step::Activate { from, to, .. } => (*from == value).then(|| self.made[*to]),
            Step::Conv(conv) => {
                let done = self.made[conv.to];
                if done == self.heights[conv.to] {
                    return None;
                }
                let reads = conv.inputs.iter().filter(|input| input.value == value);
                let first = (done * conv.window.stride).saturating_sub(conv.window.before);
                reads
                    .map(|input| first >> usize::from(input.upsampled))
                    .min()
            }
        });
        let out = (value == self.program.logits).then_some(self.left);
        readers.chain(out).min().unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::{Mode, lower};
    use crate::{Encoder, Graph, UnetSpec};
    use stainfree_kernels::Isa;

    fn graph(encoder: Encoder) -> Graph {
        Graph::unet(&UnetSpec::new(encoder, 0.25, 3)).unwrap()
    }

    /// With tiles of 4x4.
    fn lowered(encoder: Encoder) -> Lowered {
        let program = Program::new(&graph(encoder)).unwrap();
        lower(&program, Isa::available()[0], Mode::Training)
    }

    /// Programs with tiles of 4x4, and those that predictions follow here.
    fn programs() -> Vec<Lowered> {
        let of = |encoder: Encoder| {
            let program = Program::new(&graph(encoder)).unwrap();
            let predicted = move |isa: Isa| lower(&program, isa, Mode::Prediction);
            let isas = Isa::available().into_iter();
            std::iter::once(lowered(encoder)).chain(isas.map(predicted))
        };
        Encoder::ALL.into_iter().flat_map(of).collect()
    }

    /// Walks a schedule and checks every band against what is held at that moment.
    fn check(lowered: &Lowered, schedule: &Schedule, height: usize) {
        let mut state = State::new(lowered, height);
        for Band { maker, rows } in &schedule.bands {
            if let Maker::Step(step) = maker {
                let to = lowered.program.steps[*step].to();
                assert_eq!(rows.start, state.made[to], "rows are made in order");
                assert!(
                    rows.end <= state.ready(*step),
                    "{maker:?} {rows:?} is made too early"
                );
            }
            state.make(*maker, rows.end);
        }
        assert_eq!(state.made, state.heights, "every row is made");
        assert_eq!(state.left, height, "every row leaves");
        for (value, &kept) in schedule.kept.iter().enumerate() {
            assert!(
                state.kept[value] <= kept,
                "value {value} is overwritten while it is needed"
            );
        }
    }

    #[test]
    fn every_row_is_made_once_in_order_from_rows_that_are_held() {
        for program in programs() {
            for (height, width) in [(32, 32), (96, 64), (640, 640), (2176, 2176), (64, 1024)] {
                check(&program, &Schedule::new(&program, height, width), height);
                for tiles in [1, 40, usize::MAX / 8] {
                    let bands = Schedule::with_tiles(&program, height, width, |_| tiles);
                    check(&program, &bands, height);
                }
            }
        }
    }

    #[test]
    fn what_is_held_does_not_grow_with_the_height() {
        let near = |encoder: &Encoder| !graph(*encoder).sees_whole_image();
        for program in Encoder::ALL.into_iter().filter(near).map(lowered) {
            let kept = |height| Schedule::new(&program, height, 2176).kept;
            let (tall, taller) = (kept(4352), kept(8704));
            assert_eq!(tall, taller);
            // The skip at half resolution is the largest array of all; 2,176 rows of it would be
            // 1088.
            assert!(tall.iter().max().unwrap() < &400, "{tall:?}");
        }
    }

    #[test]
    fn behind_gates_the_widest_arrays_are_still_made_in_bands() {
        let lowered = lowered(Encoder::EfficientnetB4);
        let (height, width) = (2560, 640);
        let kept = Schedule::new(&lowered, height, width).kept;
        let Program { values, steps, .. } = &lowered.program;
        let mut checked = 0;
        for step in steps {
            let Step::Conv(conv) = step else { continue };
            // What a depthwise convolution alone reads: the expanded arrays but for the four skips.
            let from = conv.inputs[0].value;
            if conv.depthwise && values[from].readers == 1 && values[from].level > 1 {
                let whole = height >> values[from].level;
                assert!(kept[from] < whole / 2, "{} of {whole}", kept[from]);
                checked += 1;
            }
        }
        assert_eq!(checked, 26);
    }
}
