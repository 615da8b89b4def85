//! What hangs together in a packed mask, by runs of pixels instead of pixels.
//!
//! Runs of neighbouring rows that touch are joined by union-find, so the time goes by runs, of
//! which a field has a hundredth of its pixels. Components are numbered in raster order of their
//! first pixel.

use crate::bits::{BAND, Bits, Run};
use crate::labels::{Connectivity, Labels};
use rayon::prelude::*;
use stainfree_image::Image;

/// The connected components of a mask.
#[derive(Clone, Debug)]
pub(crate) struct Components {
    size: (usize, usize),
    /// `rows[y]..rows[y + 1]` are the runs of row `y`.
    rows: Vec<u32>,
    runs: Vec<Run>,
    /// The component of every run, from 1.
    labels: Vec<u32>,
    count: usize,
}

/// Rows `top..bottom` and columns `left..right`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) top: usize,
    pub(crate) left: usize,
    pub(crate) bottom: usize,
    pub(crate) right: usize,
}

impl Frame {
    pub(crate) fn size(self) -> (usize, usize) {
        (self.bottom - self.top, self.right - self.left)
    }

    pub(crate) fn rows(self) -> std::ops::Range<usize> {
        self.top..self.bottom
    }

    pub(crate) fn columns(self) -> std::ops::Range<usize> {
        self.left..self.right
    }

    /// The same frame counted from the corner of `outer`.
    pub(crate) fn relative_to(self, outer: Self) -> Self {
        Self {
            top: self.top - outer.top,
            left: self.left - outer.left,
            bottom: self.bottom - outer.top,
            right: self.right - outer.left,
        }
    }

    /// The frame with `margin` pixels more on every side, as far as an image of `size` reaches.
    pub(crate) fn widened(self, margin: usize, (height, width): (usize, usize)) -> Self {
        Self {
            top: self.top.saturating_sub(margin),
            left: self.left.saturating_sub(margin),
            bottom: (self.bottom + margin).min(height),
            right: (self.right + margin).min(width),
        }
    }
}

/// The representative of `i`, halving the path on the way.
fn find(parent: &mut [u32], mut i: u32) -> u32 {
    while parent[i as usize] != i {
        let up = parent[parent[i as usize] as usize];
        parent[i as usize] = up;
        i = up;
    }
    i
}

/// Joins two sets; the smaller number stays, so that it is the one met first.
fn join(parent: &mut [u32], a: u32, b: u32) {
    let (a, b) = (find(parent, a), find(parent, b));
    parent[a.max(b) as usize] = a.min(b);
}

impl Components {
    pub(crate) fn new(mask: &Bits, connectivity: Connectivity) -> Self {
        let runs = |y| mask.runs_of(y).map(|run| (run, 1));
        Self::of_runs(mask.size(), connectivity, runs)
    }

    /// Components of equal values that are not 0.
    pub(crate) fn of_values(labels: &Image<u32>, connectivity: Connectivity) -> Self {
        let runs = |y| runs_of_values(labels.row(y)).filter(|r| r.1 != 0);
        Self::of_runs(labels.size(), connectivity, runs)
    }

    /// Joins runs of equal value that touch; `runs_of` gives those of a row, from the left.
    fn of_runs<I: Iterator<Item = (Run, u32)>>(
        size: (usize, usize),
        connectivity: Connectivity,
        runs_of: impl Fn(usize) -> I,
    ) -> Self {
        let mut rows = Vec::with_capacity(size.0 + 1);
        let mut runs: Vec<Run> = Vec::new();
        let mut parent: Vec<u32> = Vec::new();
        // A run that ends in column x touches one that begins there only across the corner.
        let corner = u32::from(connectivity == Connectivity::Eight);
        // The values of this row's runs and of those of the row above, whose first is `above`.
        let (mut values, mut values_above): (Vec<u32>, Vec<u32>) = Default::default();
        let mut above = 0;
        for y in 0..size.0 {
            let start = runs.len();
            rows.push(start as u32);
            std::mem::swap(&mut values, &mut values_above);
            values.clear();
            let mut upper = above;
            for (run, value) in runs_of(y) {
                let i = runs.len() as u32;
                runs.push(run);
                values.push(value);
                parent.push(i);
                while upper < start && runs[upper].to + corner <= run.from {
                    upper += 1;
                }
                let mut touched = upper;
                while touched < start && runs[touched].from < run.to + corner {
                    if values_above[touched - above] == value {
                        join(&mut parent, i, touched as u32);
                    }
                    touched += 1;
                }
            }
            above = start;
        }
        rows.push(runs.len() as u32);
        // A parent always has a smaller number than its child, so one forward pass resolves all.
        let mut count = 0u32;
        for i in 0..parent.len() {
            let up = parent[i] as usize;
            parent[i] = if up == i {
                count += 1;
                count
            } else {
                parent[up]
            };
        }
        Self {
            size,
            rows,
            runs,
            labels: parent,
            count: count as usize,
        }
    }

    /// Every component painted with its number.
    pub(crate) fn painted(&self) -> Labels {
        let (height, width) = self.size;
        let mut image = Image::filled(height, width, 0u32);
        for (y, run, label) in self.iter() {
            image.row_mut(y)[run.columns()].fill(label);
        }
        Labels {
            image,
            count: self.count,
        }
    }

    /// Number of components.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// All runs in raster order: row, columns, component.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, Run, u32)> + '_ {
        (0..self.size.0).flat_map(move |y| self.in_row(y).map(move |(run, label)| (y, run, label)))
    }

    /// Runs of row `y` and their components.
    pub(crate) fn in_row(&self, y: usize) -> impl Iterator<Item = (Run, u32)> + '_ {
        let these = self.rows[y] as usize..self.rows[y + 1] as usize;
        these.map(move |i| (self.runs[i], self.labels[i]))
    }

    /// Pixels of every component; index 0 is not used.
    pub(crate) fn areas(&self) -> Vec<usize> {
        let mut areas = vec![0; self.count + 1];
        for (run, &label) in self.runs.iter().zip(&self.labels) {
            areas[label as usize] += run.len();
        }
        areas
    }

    /// Which components touch the rim of the image; index 0 is not used.
    pub(crate) fn at_rim(&self) -> Vec<bool> {
        let (height, width) = self.size;
        let mut at_rim = vec![false; self.count + 1];
        for (y, run, label) in self.iter() {
            let touches = y == 0 || y + 1 == height || run.from == 0 || run.to as usize == width;
            at_rim[label as usize] |= touches;
        }
        at_rim
    }

    /// Which of these 8-connected components are a single one of `four`, those of the same mask
    /// under 4-connectivity; by index, from 0.
    pub(crate) fn joined_by_edges(&self, four: &Components) -> Vec<bool> {
        let mut only = vec![0u32; self.count];
        let mut whole = vec![true; self.count];
        for (&label, &piece) in self.labels.iter().zip(&four.labels) {
            let only = &mut only[label as usize - 1];
            whole[label as usize - 1] &= *only == 0 || *only == piece;
            *only = piece;
        }
        whole
    }

    /// The components one by one.
    pub(crate) fn groups(&self) -> Groups {
        let mut starts = vec![0u32; self.count + 2];
        for &label in &self.labels {
            starts[label as usize + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut next = starts.clone();
        let nothing = (0, Run { from: 0, to: 0 });
        let mut runs = vec![nothing; self.runs.len()];
        for (y, run, label) in self.iter() {
            let place = &mut next[label as usize];
            runs[*place as usize] = (y as u32, run);
            *place += 1;
        }
        Groups { starts, runs }
    }
}

/// The runs of every component together, in raster order.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    /// `starts[l]..starts[l + 1]` are the runs of component `l`; none of component 0.
    starts: Vec<u32>,
    runs: Vec<(u32, Run)>,
}

impl Groups {
    /// Number of components.
    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 2
    }

    /// Rows and runs of the component with index `i`, from 0 (its label less one).
    pub(crate) fn runs(&self, i: usize) -> &[(u32, Run)] {
        &self.runs[self.starts[i + 1] as usize..self.starts[i + 2] as usize]
    }

    /// The smallest frame around the component with index `i`.
    pub(crate) fn frame(&self, i: usize) -> Frame {
        let runs = self.runs(i);
        let rows = |at: Option<&(u32, Run)>| at.map_or(0, |r| r.0 as usize);
        Frame {
            top: rows(runs.first()),
            left: runs.iter().map(|r| r.1.from).min().unwrap_or(0) as usize,
            bottom: rows(runs.last()) + 1,
            right: runs.iter().map(|r| r.1.to).max().unwrap_or(0) as usize,
        }
    }
}

/// Runs of equal values, zeros among them.
pub(crate) fn runs_of_values(row: &[u32]) -> impl Iterator<Item = (Run, u32)> + '_ {
    let mut from = 0;
    row.chunk_by(|a, b| a == b).map(move |equal| {
        let to = from + equal.len() as u32;
        let run = Run { from, to };
        from = to;
        (run, equal[0])
    })
}

/// Runs with a value each, put together by rows.
pub(crate) struct ByRow<T> {
    /// `rows[y]..rows[y + 1]` are the runs of row `y`, in the order in which they were given.
    rows: Vec<u32>,
    runs: Vec<(Run, T)>,
}

impl<T: Copy + Default + Sync> ByRow<T> {
    /// `runs` gives all runs, with their row, in any order; it is asked twice.
    pub(crate) fn new<I: Iterator<Item = (u32, Run, T)>>(
        height: usize,
        runs: impl Fn() -> I,
    ) -> Self {
        let mut rows = vec![0u32; height + 1];
        for (y, _, _) in runs() {
            rows[y as usize + 1] += 1;
        }
        for y in 0..height {
            rows[y + 1] += rows[y];
        }
        let mut next = rows.clone();
        let mut placed = vec![(Run { from: 0, to: 0 }, T::default()); rows[height] as usize];
        for (y, run, value) in runs() {
            let place = &mut next[y as usize];
            placed[*place as usize] = (run, value);
            *place += 1;
        }
        Self { rows, runs: placed }
    }

    /// The runs of row `y`.
    pub(crate) fn in_row(&self, y: usize) -> &[(Run, T)] {
        &self.runs[self.rows[y] as usize..self.rows[y + 1] as usize]
    }
}

impl ByRow<u32> {
    /// The values painted on `image`.
    pub(crate) fn paint(&self, image: &mut Image<u32>) {
        let width = image.width();
        let band = |(i, rows): (usize, &mut [u32])| {
            for (k, row) in rows.chunks_exact_mut(width).enumerate() {
                for &(run, value) in self.in_row(i * BAND + k) {
                    row[run.columns()].fill(value);
                }
            }
        };
        let bands = image.data_mut().par_chunks_mut((BAND * width).max(1));
        bands.enumerate().for_each(band);
    }
}

/// `mask` without the components of fewer than `min_area` pixels.
pub(crate) fn without_small(mut mask: Bits, min_area: usize, connectivity: Connectivity) -> Bits {
    if min_area <= 1 {
        return mask;
    }
    let found = Components::new(&mask, connectivity);
    let areas = found.areas();
    for (y, run, label) in found.iter() {
        if areas[label as usize] < min_area {
            mask.clear(y, run);
        }
    }
    mask
}

/// `mask` with the holes of at most `max_area` pixels filled; see [`crate::fill_holes_below`].
pub(crate) fn with_holes_filled(mut mask: Bits, max_area: usize) -> Bits {
    let holes = Components::new(&mask.inverse(), Connectivity::Four);
    let (areas, open) = (holes.areas(), holes.at_rim());
    for (y, run, label) in holes.iter() {
        if !open[label as usize] && areas[label as usize] <= max_area {
            mask.set(y, run);
        }
    }
    mask
}
