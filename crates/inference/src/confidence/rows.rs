//! The features of nuclei of an image that is larger than memory: rows of labels and maps in, a
//! table of those nuclei out of which everything is known.
//!
//! A feature looks at a nucleus' own pixels and at the background around it, for which the nucleus
//! next to it counts as well. So that much is held around what is looked at. What is higher than
//! the rows that may be held is judged by its last rows.

use std::collections::{HashMap, HashSet};

use stainfree_image::Image;

use super::features::{FeatureTable, Maps, around};

/// Columns of what is looked at at once.
const CHUNK: usize = 1024;
/// Rows that are gathered before nuclei are looked at.
const GATHERED: usize = 48;
/// Rows without which nothing can be held: gathered ones, those around nuclei, and nuclei.
pub(crate) const LEAST_ROWS: usize = 192;

/// Rows, columns and maps of a nucleus' box.
type Frame = [usize; 4];

/// Makes the features of nuclei row by row.
pub(crate) struct FeatureRows {
    height: usize,
    width: usize,
    pixel_um: Option<f64>,
    /// Rows and columns that are held around a nucleus.
    margin: usize,
    /// The most rows that may be held.
    most: usize,
    /// The first row that is held.
    first: usize,
    labels: Vec<u32>,
    /// The probability, the distance, and the neighbour's, as far as there are such.
    maps: [Option<Vec<f32>>; 3],
    /// Top, left, bottom and right of nuclei that were not looked at.
    frames: HashMap<u32, Frame>,
    /// Nuclei that were looked at before their end.
    cut: HashSet<u32>,
    fresh: usize,
}

impl FeatureRows {
    /// Of an image of that height and width. `has` says which maps there are besides the
    /// probability: the distance, and that to the neighbour; `most` how many rows may be held.
    pub(crate) fn new(
        (height, width): (usize, usize),
        pixel_um: Option<f64>,
        has: [bool; 2],
        most: usize,
    ) -> Self {
        let map = |has: bool| has.then(Vec::new);
        Self {
            height,
            width,
            pixel_um,
            // What is around a nucleus goes to the nearest one, which lies no farther from there.
            margin: 2 * around(pixel_um).ceil() as usize + 2,
            most: most.max(LEAST_ROWS),
            first: 0,
            labels: Vec::new(),
            maps: [map(true), map(has[0]), map(has[1])],
            frames: HashMap::new(),
            cut: HashSet::new(),
            fresh: 0,
        }
    }

    /// Takes the next rows; with the last, all nuclei that remain are given.
    ///
    /// # Panics
    /// If a map is missing that was announced, or has another size.
    pub(crate) fn push(
        &mut self,
        labels: &Image<u32>,
        maps: [Option<&Image<f32>>; 3],
    ) -> FeatureTable {
        let (mut table, mut top) = (FeatureTable::default(), 0);
        while top < labels.height() {
            let height = (GATHERED - self.fresh).min(labels.height() - top);
            let part = labels.crop(top, 0, height, self.width);
            let maps = maps.map(|map| map.map(|map| map.crop(top, 0, height, self.width)));
            table.append(self.push_few(&part, maps.each_ref().map(Option::as_ref)));
            top += height;
        }
        table
    }

    /// Takes no more rows than are gathered.
    fn push_few(&mut self, labels: &Image<u32>, maps: [Option<&Image<f32>>; 3]) -> FeatureTable {
        assert_eq!(labels.width(), self.width, "rows of another width");
        let top = self.end();
        for y in 0..labels.height() {
            let mut x = 0;
            for run in labels.row(y).chunk_by(|a, b| a == b) {
                let (left, right) = (x, x + run.len());
                x = right;
                if run[0] == 0 || self.cut.contains(&run[0]) {
                    continue;
                }
                let y = top + y;
                let frame = self.frames.entry(run[0]);
                let frame = frame.or_insert([y, left, y + 1, right]);
                *frame = [frame[0], frame[1].min(left), y + 1, frame[3].max(right)];
            }
        }
        self.labels.extend_from_slice(labels.data());
        for (held, map) in self.maps.iter_mut().zip(maps) {
            let Some(held) = held else { continue };
            let map = map.expect("a map that was announced");
            assert_eq!(map.size(), labels.size(), "labels and maps");
            held.extend_from_slice(map.data());
        }
        self.fresh += labels.height();
        match self.end() == self.height || self.fresh == GATHERED {
            true => self.look(),
            false => FeatureTable::default(),
        }
    }

    /// The row behind the last that is held.
    fn end(&self) -> usize {
        self.first + self.labels.len() / self.width.max(1)
    }

    /// The features of all nuclei of which enough is known.
    fn look(&mut self) -> FeatureTable {
        self.fresh = 0;
        let (end, margin) = (self.end(), self.margin);
        let is_last = end == self.height;
        // What would hold more rows than may be, with those that come next, waits no longer.
        let oldest = (end + GATHERED).saturating_sub(self.most - margin);
        let is_known = |frame: &Frame| is_last || frame[2] + margin <= end || frame[0] < oldest;
        let known = self.frames.iter().filter(|(_, frame)| is_known(frame));
        let mut known: Vec<(u32, Frame)> = known.map(|(&label, &frame)| (label, frame)).collect();
        self.frames.retain(|_, frame| !is_known(frame));
        let is_cut = |frame: &Frame| !is_last && frame[2] + margin > end;
        let cut = known.iter().filter(|(_, frame)| is_cut(frame));
        self.cut.extend(cut.map(|(label, _)| label));
        known.sort_unstable_by_key(|&(label, frame)| (frame[1] / CHUNK, label));
        let mut table = FeatureTable::default();
        for some in known.chunk_by(|a, b| a.1[1] / CHUNK == b.1[1] / CHUNK) {
            self.look_at(some, &mut table);
        }
        let open = self.frames.values().map(|frame| frame[0]);
        let keep = open.min().unwrap_or(end).saturating_sub(margin);
        let drop = keep.saturating_sub(self.first) * self.width;
        self.labels.drain(..drop);
        for held in self.maps.iter_mut().flatten() {
            held.drain(..drop);
        }
        self.first = self.first.max(keep);
        table
    }

    /// Adds the features of nuclei that lie side by side.
    fn look_at(&self, some: &[(u32, Frame)], table: &mut FeatureTable) {
        let edge = |i: usize| some.iter().map(move |(_, frame)| frame[i]);
        let least = |i: usize| edge(i).min().unwrap_or(0).saturating_sub(self.margin);
        let most = |i: usize| edge(i).max().unwrap_or(0) + self.margin;
        let (top, left) = (least(0).max(self.first), least(1));
        let (bottom, right) = (most(2).min(self.end()), most(3).min(self.width));
        fn crop<T: Copy>(held: &[T], width: usize, [top, left, bottom, right]: Frame) -> Image<T> {
            let rows = (top..bottom).flat_map(|y| &held[y * width + left..y * width + right]);
            Image::new(bottom - top, right - left, rows.copied().collect())
        }
        let frame = [top - self.first, left, bottom - self.first, right];
        let labels = crop(&self.labels, self.width, frame);
        let of = |held: &Option<Vec<f32>>| {
            let held = held.as_ref()?;
            Some(crop(held, self.width, frame))
        };
        let [Some(probability), distance, neighbour] = self.maps.each_ref().map(of) else {
            return;
        };
        let maps = Maps {
            probability: &probability,
            distance: distance.as_ref(),
            neighbour: neighbour.as_ref(),
        };
        let found = FeatureTable::new(&labels, &maps, self.pixel_um);
        for (i, label) in found.labels.iter().enumerate() {
            let known = some.binary_search_by_key(label, |&(label, _)| label);
            if known.is_ok() {
                let [y, x] = found.centroids[i];
                table.labels.push(*label);
                table.centroids.push([y + top as f64, x + left as f64]);
                table.pixels.push(found.pixels[i]);
                table.rows.push(found.rows[i]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_image::random::number;
    use stainfree_objects::{Connectivity, label_values};

    /// Ellipses that touch and cover one another, over more than one chunk of columns.
    fn scene(seed: u64, (height, width): (usize, usize)) -> Image<u32> {
        let mut labels = Image::filled(height, width, 0);
        for i in 0..(height * width / 700) as u64 {
            let at = |k: u64, most: usize| (number(seed, 4 * i + k) % most as u64) as usize;
            let (cy, cx, a, b) = (at(0, height), at(1, width), 4 + at(2, 12), 4 + at(3, 12));
            for y in cy.saturating_sub(a)..(cy + a).min(height) {
                for x in cx.saturating_sub(b)..(cx + b).min(width) {
                    let (dy, dx) = (y.abs_diff(cy) as f64, x.abs_diff(cx) as f64);
                    if (dy / a as f64).powi(2) + (dx / b as f64).powi(2) < 1.0 {
                        *labels.get_mut(y, x) = 1 + i as u32;
                    }
                }
            }
        }
        // A nucleus hangs together, and what is left of one that is covered may not.
        label_values(&labels, Connectivity::Eight).image
    }

    #[test]
    fn what_is_higher_than_the_rows_that_may_be_held_is_given_once() {
        let size = (900, 40);
        let labels = Image::from_fn(size.0, size.1, |y, x| match (y, x) {
            (10..890, 5..15) => 1,
            (100..120, 25..35) => 2,
            (700..720, 25..35) => 3,
            _ => 0,
        });
        let probability = labels.map(|&label| if label > 0 { 0.75f32 } else { 0.25 });
        let mut rows = FeatureRows::new(size, None, [false; 2], LEAST_ROWS);
        let mut found = FeatureTable::default();
        for top in (0..size.0).step_by(30) {
            let part = |y: usize| (y, 0, 30, size.1);
            let (y, x, height, width) = part(top);
            let probability = probability.crop(y, x, height, width);
            let maps = [Some(&probability), None, None];
            found.append(rows.push(&labels.crop(y, x, height, width), maps));
            assert!(rows.labels.len() / size.1 <= LEAST_ROWS);
        }
        found.labels.sort_unstable();
        assert_eq!(found.labels, [1, 2, 3]);
    }

    #[test]
    fn rows_give_the_features_of_the_whole() {
        for (seed, step, pixel_um) in [(1, 1, None), (2, 37, Some(0.25)), (3, 400, Some(2.0))] {
            let size = (330, 1200);
            let labels = scene(seed, size);
            let map = |salt: u64| {
                let value = |y: usize, x: usize| {
                    (number(salt, (y * size.1 + x) as u64) % 1000) as f32 / 1000.0
                };
                Image::from_fn(size.0, size.1, value)
            };
            let (probability, distance) = (map(1), map(2));
            let maps = Maps {
                probability: &probability,
                distance: Some(&distance),
                neighbour: None,
            };
            let whole = FeatureTable::new(&labels, &maps, pixel_um);
            let mut rows = FeatureRows::new(size, pixel_um, [true, false], LEAST_ROWS);
            let mut found = FeatureTable::default();
            let mut most_held = 0;
            for top in (0..size.0).step_by(step) {
                let height = step.min(size.0 - top);
                let part = |map: &Image<f32>| map.crop(top, 0, height, size.1);
                let (probability, distance) = (part(&probability), part(&distance));
                let maps = [Some(&probability), Some(&distance), None];
                found.append(rows.push(&labels.crop(top, 0, height, size.1), maps));
                most_held = most_held.max(rows.labels.len() / size.1);
            }
            assert!(most_held <= LEAST_ROWS, "{most_held}");
            let mut order: Vec<usize> = (0..found.labels.len()).collect();
            order.sort_by_key(|&i| found.labels[i]);
            let sorted: Vec<u32> = order.iter().map(|&i| found.labels[i]).collect();
            assert_eq!(sorted, whole.labels, "{seed}");
            for (at, &i) in order.iter().enumerate() {
                assert_eq!(found.pixels[i], whole.pixels[at]);
                // Sums of the same numbers, with coordinates from another corner: moments lose
                // (1e3)^2 of 1e16.
                let near = |a: f64, b: f64| (a - b).abs() < 1e-8 || a.is_nan() && b.is_nan();
                let pairs = found.rows[i].iter().zip(&whole.rows[at]);
                let places = found.centroids[i].iter().zip(&whole.centroids[at]);
                let mut all = pairs.chain(places);
                let off = all.position(|(&a, &b)| !near(a, b));
                assert_eq!(off, None, "{:?} {:?}", found.rows[i], whole.rows[at]);
            }
        }
    }
}
