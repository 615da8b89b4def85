//! Rows of parts of an image: which there are, what the network sees of them, and what was
//! predicted of one.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;

use stainfree_image::Image;
use stainfree_network::input::{NormalisedRows, Row, RowNormaliser};
use stainfree_network::resample::Resampling;
use stainfree_network::tiles::Cuts;

use super::raw::{BLOCK, Rows};
use super::sure::{FEATURE_MAPS, FeaturePlan};
use crate::InferenceError;
use crate::prediction::{Pixels, PredictedOutput};

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

/// Rows as the network sees them, of which those that are needed are in memory.
pub(super) struct SeenRows<'a> {
    pub(super) rows: Rows<'a>,
    normalising: Vec<NormalisedRows>,
    /// The next row that is read.
    next: usize,
    /// Rows that are ready, by plane, from `first` on.
    ready: Vec<VecDeque<Vec<f32>>>,
    first: usize,
}

impl<'a> SeenRows<'a> {
    pub(super) fn new(rows: Rows<'a>, normalisers: &[RowNormaliser]) -> Self {
        Self {
            rows,
            normalising: normalisers.iter().map(RowNormaliser::rows).collect(),
            next: 0,
            ready: normalisers.iter().map(|_| VecDeque::new()).collect(),
            first: 0,
        }
    }

    /// Reads on until these rows are ready, and gives up those before.
    pub(super) fn read_to(&mut self, rows: Range<usize>) -> Result<(), InferenceError> {
        while self.first < rows.start && self.ready.iter().all(|ready| !ready.is_empty()) {
            self.ready
                .iter_mut()
                .for_each(|ready| drop(ready.pop_front()));
            self.first += 1;
        }
        while self
            .ready
            .iter()
            .any(|ready| self.first + ready.len() < rows.end)
        {
            let these = self.next..(self.next + BLOCK / 4).min(self.rows.size.0);
            for (plane, normalising) in self.normalising.iter_mut().enumerate() {
                let (values, blank) = self.rows.plane(plane, these.clone())?;
                let ready = &mut self.ready[plane];
                for y in 0..values.height() {
                    let row = Row {
                        values: values.row(y),
                        blank: blank.as_ref().map(|blank| blank.row(y)),
                    };
                    normalising.push(&row, &mut |row| ready.push_back(row.to_vec()));
                }
            }
            self.next = these.end;
            while self.first < rows.start && self.ready.iter().all(|ready| !ready.is_empty()) {
                self.ready
                    .iter_mut()
                    .for_each(|ready| drop(ready.pop_front()));
                self.first += 1;
            }
        }
        Ok(())
    }

    /// Rows and columns of every plane.
    pub(super) fn window(&self, at: &[Range<usize>; 2]) -> Vec<Vec<f32>> {
        let of = |ready: &VecDeque<Vec<f32>>| {
            let rows = at[0].clone().map(|y| &ready[y - self.first][at[1].clone()]);
            rows.flatten().copied().collect()
        };
        self.ready.iter().map(of).collect()
    }
}

/// What was predicted of a row of parts.
pub(super) struct Band {
    pub(super) classes: Image<u8>,
    /// What nuclei are made of, and what their confidences are told from.
    pub(super) maps: [Option<Image<f32>>; 5],
    pub(super) features: [Option<Image<f32>>; FEATURE_MAPS],
    pub(super) outputs: Vec<PredictedOutput>,
    /// Pixels of which nothing is said.
    pub(super) open: usize,
}

impl Band {
    pub(super) fn new(height: usize, width: usize) -> Self {
        Self {
            classes: Image::filled(height, width, 0),
            maps: Default::default(),
            features: Default::default(),
            outputs: Vec::new(),
            open: 0,
        }
    }

    /// Puts a part in its columns.
    pub(super) fn put(&mut self, left: usize, part: &Pixels, maps: [Option<Cow<Image<f32>>>; 5]) {
        paste(&mut self.classes, left, &part.classes);
        paste_maps(&mut self.maps, left, maps, self.classes.size());
    }

    /// Puts what confidences are told from in its columns.
    pub(super) fn put_features(
        &mut self,
        left: usize,
        maps: [Option<Cow<Image<f32>>>; FEATURE_MAPS],
    ) {
        paste_maps(&mut self.features, left, maps, self.classes.size());
    }

    /// The classes, and maps of nuclei, then those that are carried along for their confidences.
    pub(super) fn into_rows(self) -> (Image<u8>, Vec<Image<f32>>) {
        let has = self.maps.each_ref().map(Option::is_some);
        let plan = FeaturePlan::of(has, self.features.each_ref().map(Option::is_some));
        let carried = self.features.into_iter().enumerate();
        let carried = carried.filter(|&(i, _)| plan.is_carried(i));
        let maps = self.maps.into_iter().flatten();
        let maps = maps.chain(carried.filter_map(|(_, map)| map)).collect();
        (self.classes, maps)
    }

    pub(super) fn put_outputs(&mut self, left: usize, outputs: &[PredictedOutput]) {
        let (height, width) = self.classes.size();
        let nothing = || Image::filled(height, width, 0.0);
        if self.outputs.is_empty() {
            let wide = |output: &PredictedOutput| PredictedOutput {
                planes: output.planes.iter().map(|_| nothing()).collect(),
                ..output.clone()
            };
            self.outputs = outputs.iter().map(wide).collect();
        }
        for (to, from) in self.outputs.iter_mut().zip(outputs) {
            for (to, from) in to.planes.iter_mut().zip(&from.planes) {
                paste(to, left, from);
            }
        }
    }
}

/// Puts maps of a part in their columns of a band of that size.
fn paste_maps<const N: usize>(
    to: &mut [Option<Image<f32>>; N],
    left: usize,
    from: [Option<Cow<Image<f32>>>; N],
    (height, width): (usize, usize),
) {
    let nothing = || Image::filled(height, width, 0.0);
    for (to, from) in to.iter_mut().zip(from) {
        if let Some(from) = from {
            paste(to.get_or_insert_with(nothing), left, &from);
        }
    }
}

fn paste<T: Copy>(to: &mut Image<T>, left: usize, from: &Image<T>) {
    for y in 0..from.height() {
        to.row_mut(y)[left..left + from.width()].copy_from_slice(from.row(y));
    }
}
