//! Rows of parts of an image: which there are, what the network sees of them, and what was
//! predicted of one.

use std::borrow::Cow;
use std::ops::Range;

use stainfree_image::Image;
use stainfree_network::input::{NormalisedRows, Row, RowNormaliser};
use stainfree_network::resample::Resampling;
use stainfree_network::tiles::Cuts;

use super::raw::{BLOCK, Rows};
use super::scratch::{Block, Scratch};
use super::sure::{FEATURE_MAPS, FeaturePlan};
use crate::InferenceError;
use crate::prediction::PredictedOutput;

/// Rows and columns of the image that are computed at once.
pub(super) struct Parts {
    pub(super) rows: Vec<Range<usize>>,
    pub(super) columns: Vec<Range<usize>>,
}

impl Parts {
    /// Those of the cuts, where the image has the model's pixel size; else of about as much.
    pub(super) fn of(
        cuts: &Cuts,
        back: Option<&Resampling>,
        size: [usize; 2],
        model: [usize; 2],
    ) -> Self {
        // In one piece there is no margin, so the image is one part at any size.
        if back.is_none() || cuts.margin == 0 {
            let whole = |axis: usize| std::iter::once(0..size[axis]).collect();
            if back.is_some() {
                return Self {
                    rows: whole(0),
                    columns: whole(1),
                };
            }
            return Self {
                rows: cuts.rows.clone(),
                columns: cuts.columns.clone(),
            };
        }
        let along = |parts: &[Range<usize>], axis: usize| {
            let core = parts.iter().map(Range::len).max().unwrap_or(1);
            // What is resampled of a part needs a few pixels more.
            let side = core.saturating_sub(4).max(1) * size[axis] / model[axis];
            let side = side.max(1);
            let part = |first: usize| first..(first + side).min(size[axis]);
            (0..size[axis]).step_by(side).map(part).collect()
        };
        Self {
            rows: along(&cuts.rows, 0),
            columns: along(&cuts.columns, 1),
        }
    }
}

/// Rows as the network sees them; those that are needed wait in a file.
pub(super) struct SeenRows<'a> {
    pub(super) rows: Rows<'a>,
    normalising: Vec<NormalisedRows>,
    /// The next row that is read.
    next: usize,
    /// Rows that were normalised, by plane.
    ready: Vec<usize>,
    /// The last `kept` of them, by plane, each in the place of the one that is not needed any more.
    scratch: Scratch,
    kept: usize,
}

impl<'a> SeenRows<'a> {
    /// Keeps as many rows as are `needed` at once.
    pub(super) fn new(
        rows: Rows<'a>,
        normalisers: &[RowNormaliser],
        scratch: Scratch,
        needed: usize,
    ) -> Self {
        Self {
            rows,
            normalising: normalisers.iter().map(RowNormaliser::rows).collect(),
            next: 0,
            ready: vec![0; normalisers.len()],
            scratch,
            // A block is read as a whole, of which only the first row may be needed.
            kept: needed + BLOCK / 4,
        }
    }

    /// Reads on until these rows are ready; those before may be given up.
    ///
    /// # Errors
    /// Those of reading, and [`InferenceError::Scratch`].
    pub(super) fn read_to(&mut self, rows: Range<usize>) -> Result<(), InferenceError> {
        debug_assert!(rows.len() + BLOCK / 4 <= self.kept);
        while self.ready.iter().any(|&ready| ready < rows.end) {
            let these = self.next..(self.next + BLOCK / 4).min(self.rows.size.0);
            for plane in 0..self.ready.len() {
                self.normalise(plane, these.clone())?;
            }
            self.next = these.end;
        }
        Ok(())
    }

    fn normalise(&mut self, plane: usize, these: Range<usize>) -> Result<(), InferenceError> {
        let (values, blank) = self.rows.plane(plane, these)?;
        let (width, kept) = (self.rows.size.1, self.kept);
        let (scratch, ready) = (&mut self.scratch, &mut self.ready[plane]);
        let mut done = Ok(());
        for y in 0..values.height() {
            let row = Row {
                values: values.row(y),
                blank: blank.as_ref().map(|blank| blank.row(y)),
            };
            self.normalising[plane].push(&row, &mut |row| {
                let place = plane * kept + *ready % kept;
                if done.is_ok() {
                    done = scratch.write(4 * (place * width) as u64, row);
                }
                *ready += 1;
            });
        }
        done
    }

    /// Rows and columns of every plane.
    ///
    /// # Errors
    /// [`InferenceError::Scratch`].
    pub(super) fn window(
        &mut self,
        at: &[Range<usize>; 2],
    ) -> Result<Vec<Vec<f32>>, InferenceError> {
        let (width, columns) = (self.rows.size.1, at[1].len());
        let mut planes = Vec::with_capacity(self.ready.len());
        for plane in 0..self.ready.len() {
            let mut numbers = vec![0.0; at[0].len() * columns];
            for (y, row) in at[0].clone().zip(numbers.chunks_mut(columns.max(1))) {
                let place = plane * self.kept + y % self.kept;
                let first = place * width + at[1].start;
                self.scratch.read(4 * first as u64, row)?;
            }
            planes.push(numbers);
        }
        Ok(planes)
    }
}

/// What was predicted of a row of parts, kept in a file by part until it is taken by rows.
pub(super) struct Band<'a> {
    scratch: &'a mut Scratch,
    height: usize,
    width: usize,
    blocks: Vec<Block>,
    /// Where the next part may begin in the file.
    next: u64,
    kinds: Option<Kinds>,
    /// Pixels of which nothing is said.
    pub(super) open: usize,
}

/// Which planes the parts of a band have.
struct Kinds {
    /// What nuclei are made of, and what their confidences are told from.
    maps: [bool; 5],
    features: [bool; FEATURE_MAPS],
    /// All outputs, without their planes; none where they are not kept.
    outputs: Vec<PredictedOutput>,
}

/// What was predicted of a part.
pub(super) struct Part<'a> {
    pub(super) classes: &'a Image<u8>,
    pub(super) maps: [Option<Cow<'a, Image<f32>>>; 5],
    pub(super) features: [Option<Cow<'a, Image<f32>>>; FEATURE_MAPS],
    /// Empty where they are not kept.
    pub(super) outputs: &'a [PredictedOutput],
}

/// Rows of a band.
pub(super) struct BandRows {
    pub(super) classes: Image<u8>,
    /// Maps of nuclei, then those that are carried along for their confidences.
    pub(super) maps: Vec<Image<f32>>,
    pub(super) outputs: Vec<PredictedOutput>,
}

impl<'a> Band<'a> {
    pub(super) fn new(scratch: &'a mut Scratch, height: usize, width: usize) -> Self {
        Self {
            scratch,
            height,
            width,
            blocks: Vec::new(),
            next: 0,
            kinds: None,
            open: 0,
        }
    }

    pub(super) fn height(&self) -> usize {
        self.height
    }

    /// Keeps a part; parts come from the left to the right.
    pub(super) fn put(&mut self, columns: Range<usize>, part: &Part) -> Result<(), InferenceError> {
        let kinds = self.kinds.get_or_insert_with(|| Kinds::of(part));
        let plan = kinds.plan();
        let maps = part.maps.iter().flatten().map(Cow::as_ref);
        let carried = part.features.iter().enumerate();
        let carried = carried.filter(|&(i, _)| plan.is_carried(i));
        let carried = carried.filter_map(|(_, map)| map.as_deref());
        let outputs = part.outputs.iter().flat_map(|output| &output.planes);
        let planes = maps.chain(carried).chain(outputs);
        let (block, next) = self.scratch.put(self.next, columns, part.classes, planes)?;
        self.blocks.push(block);
        self.next = next;
        Ok(())
    }

    /// Which maps nuclei are made of.
    pub(super) fn maps(&self) -> [bool; 5] {
        self.kinds.as_ref().map_or([false; 5], |kinds| kinds.maps)
    }

    /// Where the maps lie from which confidences are told.
    pub(super) fn plan(&self) -> FeaturePlan {
        let none = || FeaturePlan::of([false; 5], [false; FEATURE_MAPS]);
        self.kinds.as_ref().map_or_else(none, Kinds::plan)
    }

    /// Rows of all its parts, counted from its first row.
    pub(super) fn rows(&mut self, rows: Range<usize>) -> Result<BandRows, InferenceError> {
        let mut classes = Image::filled(rows.len(), self.width, 0);
        for block in &self.blocks {
            self.scratch.classes(block, rows.clone(), &mut classes)?;
        }
        let (count, mut outputs) = match &self.kinds {
            None => (0, Vec::new()),
            Some(kinds) => {
                let maps = kinds.maps.iter().filter(|&&there| there).count();
                (maps + kinds.plan().carried(), kinds.outputs.clone())
            }
        };
        let mut maps = Vec::with_capacity(count);
        for number in 0..count {
            maps.push(self.plane(number, rows.clone())?);
        }
        let mut number = count;
        for output in &mut outputs {
            for _ in 0..output.channels.len() {
                output.planes.push(self.plane(number, rows.clone())?);
                number += 1;
            }
        }
        Ok(BandRows {
            classes,
            maps,
            outputs,
        })
    }

    fn plane(&mut self, number: usize, rows: Range<usize>) -> Result<Image<f32>, InferenceError> {
        let mut plane = Image::filled(rows.len(), self.width, 0.0);
        for block in &self.blocks {
            self.scratch
                .plane(block, number, rows.clone(), &mut plane)?;
        }
        Ok(plane)
    }
}

impl Kinds {
    fn of(part: &Part) -> Self {
        let bare = |output: &PredictedOutput| PredictedOutput {
            planes: Vec::new(),
            ..output.clone()
        };
        Self {
            maps: part.maps.each_ref().map(Option::is_some),
            features: part.features.each_ref().map(Option::is_some),
            outputs: part.outputs.iter().map(bare).collect(),
        }
    }

    fn plan(&self) -> FeaturePlan {
        FeaturePlan::of(self.maps, self.features)
    }
}
