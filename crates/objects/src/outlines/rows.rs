//! Outlines of labels that are larger than memory: rows in, outlines out.
//!
//! A first pass over all rows says where every object lies and which nucleus is whose
//! ([`OutlineSurvey`]); later ones ask for rows again and follow each object once all of its rows
//! are there. Outlines and their order are those of [`super::outlines`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use stainfree_image::Image;
use stainfree_image::outline::Outline;

use super::{Inside, outlines_of_labels};
use crate::error::{ObjectsError, same_size};

/// First and last row of every object, by label.
type Spans = HashMap<u32, [usize; 2]>;

/// What is known of labels before their outlines are followed.
#[derive(Clone, Debug, Default)]
pub struct OutlineSurvey {
    /// Rows that were given.
    height: usize,
    nuclei: Spans,
    cells: Spans,
    inside: Inside,
}

impl OutlineSurvey {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next rows: labels of nuclei and, where there are some, of the cells around them.
    ///
    /// # Errors
    /// [`ObjectsError::SizeMismatch`] if both differ in size.
    pub fn push(
        &mut self,
        nuclei: &Image<u32>,
        cells: Option<&Image<u32>>,
    ) -> Result<(), ObjectsError> {
        if let Some(cells) = cells {
            same_size("the nuclei", nuclei.size(), "the cells", cells.size())?;
            self.inside.push(nuclei, cells);
            widen(&mut self.cells, self.height, cells);
        }
        widen(&mut self.nuclei, self.height, nuclei);
        self.height += nuclei.height();
        Ok(())
    }

    /// The outlines of all nuclei, by label, and whether each is the nucleus of a cell; of labels
    /// that `read` gives of some rows, about `step` of them at once.
    ///
    /// # Errors
    /// Those of `read` and `put`.
    pub fn nuclei<E>(
        &self,
        step: usize,
        mut read: impl FnMut(Range<usize>) -> Result<Image<u32>, E>,
        mut put: impl FnMut(&Outline, bool) -> Result<(), E>,
    ) -> Result<(), E> {
        let in_cells: HashSet<u32> = self.inside.nucleus_of().into_values().collect();
        let mut in_order = InOrder::of(&self.nuclei);
        for (rows, labels) in windows(&self.nuclei, self.height, step) {
            let found = followed(&read(rows.clone())?, &labels, rows.start);
            in_order.take(found, &mut |nucleus: &Outline| {
                put(nucleus, in_cells.contains(&nucleus.label))
            })?;
        }
        Ok(())
    }

    /// The outlines of all cells, by label, each with that of its nucleus, if it has one; of nuclei
    /// and cells that `read` gives of some rows, about `step` of them at once.
    ///
    /// # Errors
    /// Those of `read` and `put`.
    pub fn cells<E>(
        &self,
        step: usize,
        mut read: impl FnMut(Range<usize>) -> Result<[Image<u32>; 2], E>,
        mut put: impl FnMut(&Outline, Option<&Outline>) -> Result<(), E>,
    ) -> Result<(), E> {
        let nucleus_of = self.inside.nucleus_of();
        let mut in_order = InOrder::of(&self.cells);
        for (rows, labels) in windows(&self.cells, self.height, step) {
            let [nuclei, cells] = read(rows.clone())?;
            let own: HashSet<u32> = labels
                .iter()
                .filter_map(|label| nucleus_of.get(label).copied())
                .collect();
            let mut nuclei = followed(&nuclei, &own, rows.start);
            let with_nucleus = |(label, cell): (u32, Outline)| {
                let nucleus = nucleus_of.get(&label).and_then(|own| nuclei.remove(own));
                (label, (cell, nucleus))
            };
            let found = followed(&cells, &labels, rows.start);
            let found = found.into_iter().map(with_nucleus).collect();
            in_order.take(found, &mut |(cell, nucleus): &(
                Outline,
                Option<Outline>,
            )| { put(cell, nucleus.as_ref()) })?;
        }
        Ok(())
    }
}

/// Notes where the objects of further rows lie.
fn widen(spans: &mut Spans, top: usize, labels: &Image<u32>) {
    for y in 0..labels.height() {
        for run in labels.row(y).chunk_by(|a, b| a == b) {
            if run[0] != 0 {
                spans.entry(run[0]).or_insert([top + y; 2])[1] = top + y;
            }
        }
    }
}

/// Rows in which objects end, and these objects: all rows that any of them has.
fn windows(
    spans: &Spans,
    height: usize,
    step: usize,
) -> impl Iterator<Item = (Range<usize>, HashSet<u32>)> {
    let mut by_end: Vec<([usize; 2], u32)> =
        spans.iter().map(|(&label, &span)| (span, label)).collect();
    by_end.sort_unstable_by_key(|&([_, last], label)| (last, label));
    let step = step.max(1);
    (0..height).step_by(step).filter_map(move |top| {
        let ends = by_end.partition_point(|&([_, last], _)| last < top + step);
        let here: Vec<([usize; 2], u32)> = by_end.drain(..ends).collect();
        let first = here.iter().map(|&([first, _], _)| first).min()?;
        let last = here.iter().map(|&([_, last], _)| last).max()?;
        let labels = here.into_iter().map(|(_, label)| label).collect();
        Some((first..last + 1, labels))
    })
}

/// The outlines of some labels in rows from `top` on.
fn followed(rows: &Image<u32>, labels: &HashSet<u32>, top: usize) -> BTreeMap<u32, Outline> {
    let mut rows = rows.clone();
    for run in rows.data_mut().chunk_by_mut(|a, b| a == b) {
        if run[0] != 0 && !labels.contains(&run[0]) {
            run.fill(0);
        }
    }
    let down = u32::try_from(top).unwrap_or(u32::MAX);
    let outline = |mut outline: Outline| {
        outline.move_down(down);
        (outline.label, outline)
    };
    outlines_of_labels(&rows).into_iter().map(outline).collect()
}

/// Puts objects off until all of a lesser label are there.
struct InOrder<T> {
    /// All labels that are still to come, the least last.
    order: Vec<u32>,
    waiting: BTreeMap<u32, T>,
}

impl<T> InOrder<T> {
    fn of(spans: &Spans) -> Self {
        let mut order: Vec<u32> = spans.keys().copied().collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        Self {
            order,
            waiting: BTreeMap::new(),
        }
    }

    fn take<E>(
        &mut self,
        found: BTreeMap<u32, T>,
        put: &mut impl FnMut(&T) -> Result<(), E>,
    ) -> Result<(), E> {
        self.waiting.extend(found);
        while let Some(next) = self
            .order
            .last()
            .and_then(|label| self.waiting.remove(label))
        {
            self.order.pop();
            put(&next)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outlines;
    use stainfree_image::random::number;

    /// Boxes at random places that cover one another, some of several parts, and cells that are
    /// larger ones.
    fn scene(seed: u64) -> [Image<u32>; 2] {
        let at = |i: u64, most: u64| (number(seed, i) % most) as usize;
        let mut images = [Image::filled(90, 70, 0), Image::filled(90, 70, 0)];
        for object in 0..40u64 {
            let [y, x] = [at(4 * object, 80), at(4 * object + 1, 60)];
            let [high, wide] = [1 + at(4 * object + 2, 9), 1 + at(4 * object + 3, 9)];
            // Numbers that do not follow the rows.
            let label = 1 + (object as u32 * 17) % 40;
            for (grown, image) in images.iter_mut().enumerate() {
                let (bottom, right) = ((y + high + grown).min(90), (x + wide + grown).min(70));
                for y in y..bottom {
                    image.row_mut(y)[x..right].fill(label);
                }
            }
        }
        images
    }

    #[test]
    fn outlines_by_rows_are_those_of_the_whole_in_the_same_order() {
        for (seed, step) in [(1, 1), (2, 7), (3, 64), (4, 500)] {
            let [nuclei, cells] = scene(seed);
            let whole = outlines(&nuclei, Some(&cells)).unwrap();
            let rows_of = |image: &Image<u32>, rows: Range<usize>| {
                image.crop(rows.start, 0, rows.len(), image.width())
            };
            let mut survey = OutlineSurvey::new();
            for top in (0..90).step_by(11) {
                let rows = top..(top + 11).min(90);
                let [nuclei, cells] = [&nuclei, &cells].map(|image| rows_of(image, rows.clone()));
                survey.push(&nuclei, Some(&cells)).unwrap();
            }
            let (mut found, mut owned) = (Vec::new(), Vec::new());
            let read = |rows| Ok::<_, ()>(rows_of(&nuclei, rows));
            let put = |outline: &Outline, in_cell| {
                found.push(outline.clone());
                owned.push(in_cell);
                Ok(())
            };
            survey.nuclei(step, read, put).unwrap();
            assert_eq!(found, whole.nuclei, "{seed}");
            let has_cell = |place| whole.cells.iter().any(|cell| cell.nucleus == Some(place));
            let expected: Vec<bool> = (0..found.len()).map(has_cell).collect();
            assert_eq!(owned, expected);
            assert!(owned.contains(&true) && owned.contains(&false));
            let mut found = Vec::new();
            let read = |rows: Range<usize>| {
                Ok::<_, ()>([&nuclei, &cells].map(|image| rows_of(image, rows.clone())))
            };
            let put = |cell: &Outline, nucleus: Option<&Outline>| {
                found.push((cell.clone(), nucleus.cloned()));
                Ok(())
            };
            survey.cells(step, read, put).unwrap();
            let expected = whole.cells.iter().map(|cell| {
                let nucleus = cell.nucleus.map(|place| whole.nuclei[place].clone());
                (cell.outline.clone(), nucleus)
            });
            assert_eq!(found, expected.collect::<Vec<_>>(), "{seed}");
        }
    }

    #[test]
    fn an_error_of_either_side_ends_the_pass() {
        let [nuclei, _] = scene(1);
        let mut survey = OutlineSurvey::new();
        survey.push(&nuclei, None).unwrap();
        let unread = survey.nuclei(9, |_| Err("read"), |_, _| Ok(()));
        assert_eq!(unread, Err("read"));
        let read = |rows: Range<usize>| Ok(nuclei.crop(rows.start, 0, rows.len(), 70));
        assert_eq!(survey.nuclei(9, read, |_, _| Err("put")), Err("put"));
        let small = Image::filled(2, 2, 0);
        assert!(survey.push(&nuclei, Some(&small)).is_err());
    }
}
