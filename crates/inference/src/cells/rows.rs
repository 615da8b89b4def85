//! Whole cells of a field that is larger than memory, from rows of its classes and nuclei.
//!
//! The cells are those of [`super::cells`]. Which cytoplasm no nucleus reaches, how large the
//! median nucleus is, and so which cells have no nucleus, is found in a pass over the rows
//! ([`CellSurvey`]). Then nuclei grow in windows: a pixel's cell is certain where it lies nearer to
//! its nucleus, along the cytoplasm, than to the edge of the window, since nothing outside can then
//! come first; where one is not, the window is made larger, up to [`MOST_MARGIN`] around it.

use std::collections::HashMap;
use std::ops::Range;

use stainfree_image::Image;

use super::{grown, is_cell, smallest_cell};

/// Pixels around a window at first.
const MARGIN: usize = 128;
/// And at most: cells reach no farther.
const MOST_MARGIN: usize = 1024;
/// Columns of a window.
const COLUMNS: usize = 1024;

/// What is known of all nuclei and of cytoplasm without one.
#[derive(Clone, Debug)]
pub struct CellSurvey {
    cytoplasm: u8,
    width: usize,
    pixel_um: Option<f64>,
    /// Pixels of each nucleus, by its number less one.
    areas: Vec<u32>,
    row: usize,
    /// Runs of the last row with their piece.
    above: Vec<(Range<usize>, usize)>,
    pieces: HashMap<usize, Piece>,
    next: usize,
    done: Vec<Piece>,
}

/// Cytoplasm that hangs together, as far as it is known.
#[derive(Clone, Debug, Default)]
struct Piece {
    /// Row and columns; none of a piece with a nucleus.
    runs: Vec<(usize, Range<usize>)>,
    area: usize,
    has_nucleus: bool,
}

impl CellSurvey {
    /// Of a field of that width, where `cytoplasm` is the class of cytoplasm.
    pub fn new(cytoplasm: u8, width: usize, pixel_um: Option<f64>) -> Self {
        Self {
            cytoplasm,
            width,
            pixel_um,
            areas: Vec::new(),
            row: 0,
            above: Vec::new(),
            pieces: HashMap::new(),
            next: 0,
            done: Vec::new(),
        }
    }

    /// The next rows.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn push(&mut self, classes: &Image<u8>, nuclei: &Image<u32>) {
        assert_eq!(classes.size(), nuclei.size(), "classes and nuclei differ");
        assert_eq!(classes.width(), self.width, "rows of another width");
        for y in 0..classes.height() {
            for run in nuclei
                .row(y)
                .chunk_by(|a, b| a == b)
                .filter(|run| run[0] != 0)
            {
                let number = run[0] as usize;
                self.areas.resize(self.areas.len().max(number), 0);
                self.areas[number - 1] += run.len() as u32;
            }
            self.push_row(classes.row(y), nuclei.row(y));
        }
    }

    fn push_row(&mut self, classes: &[u8], nuclei: &[u32]) {
        let mut runs: Vec<(Range<usize>, usize)> = Vec::new();
        let inside = |x: usize| nuclei[x] != 0 || is_cell(classes[x], self.cytoplasm);
        let mut x = 0;
        let above = std::mem::take(&mut self.above);
        // Pieces that were joined to others in this row.
        let mut names: HashMap<usize, usize> = HashMap::new();
        let mut upper = 0;
        while x < classes.len() {
            if !inside(x) {
                x += 1;
                continue;
            }
            let start = x;
            while x < classes.len() && inside(x) {
                x += 1;
            }
            let mut piece = Piece {
                runs: vec![(self.row, start..x)],
                area: x - start,
                has_nucleus: nuclei[start..x].iter().any(|&n| n != 0),
            };
            let name = self.next;
            self.next += 1;
            while upper < above.len() && above[upper].0.end <= start {
                upper += 1;
            }
            for (_, other) in above[upper..].iter().take_while(|(run, _)| run.start < x) {
                let other = named(&names, *other);
                if other != name
                    && let Some(other_piece) = self.pieces.remove(&other)
                {
                    piece.join(other_piece);
                    names.insert(other, name);
                }
            }
            self.pieces.insert(name, piece);
            runs.push((start..x, name));
        }
        for (_, name) in &mut runs {
            *name = named(&names, *name);
        }
        let mut ended: Vec<usize> = above.iter().map(|(_, name)| *name).collect();
        ended.sort_unstable();
        ended.dedup();
        for name in ended {
            if !names.contains_key(&name) {
                self.end(name);
            }
        }
        self.above = runs;
        self.row += 1;
    }

    fn end(&mut self, name: usize) {
        let piece = self.pieces.remove(&name);
        self.done.extend(piece.filter(|piece| !piece.has_nucleus));
    }

    /// What no nucleus reaches, after the last row: cells numbered, and smaller pieces.
    fn without_nucleus(mut self) -> Lone {
        for name in self.above.iter().map(|(_, name)| *name).collect::<Vec<_>>() {
            self.end(name);
        }
        let sizes = self.areas.iter().map(|&area| area as usize);
        let least = smallest_cell(sizes.filter(|&area| area > 0).collect(), self.pixel_um);
        let mut pieces: Vec<Piece> = self.done;
        let first = |piece: &Piece| piece.runs.iter().map(|(y, run)| (*y, run.start)).min();
        pieces.sort_by_cached_key(first);
        let mut runs = Vec::new();
        let mut last = self.areas.len() as u32;
        for piece in pieces {
            let is_cell = piece.area >= least;
            last += u32::from(is_cell);
            let number = if is_cell { last } else { 0 };
            runs.extend(piece.runs.into_iter().map(|(y, run)| (y, run, number)));
        }
        runs.sort_by_key(|(y, run, _)| (*y, run.start));
        Lone { runs }
    }
}

fn named(names: &HashMap<usize, usize>, mut name: usize) -> usize {
    while let Some(&other) = names.get(&name) {
        name = other;
    }
    name
}

impl Piece {
    fn join(&mut self, other: Self) {
        self.area += other.area;
        self.has_nucleus |= other.has_nucleus;
        match self.has_nucleus {
            true => self.runs.clear(),
            // The longer list stays where it is.
            false => {
                let mut runs = other.runs;
                if runs.len() < self.runs.len() {
                    std::mem::swap(&mut runs, &mut self.runs);
                }
                runs.append(&mut self.runs);
                self.runs = runs;
            }
        }
    }
}

/// What no nucleus reaches: row, columns, number (0 for what is no cell), in the order of rows.
struct Lone {
    runs: Vec<(usize, Range<usize>, u32)>,
}

/// Makes the cells of a field of that size, `rows` rows at a time, from the top: `read` gives
/// classes and nuclei of rows and columns, `write` takes rows of cells with the first of them.
/// Gives the number of pixels whose nucleus may be another one, since it lies farther than windows
/// may reach.
///
/// # Errors
/// Those of `read` and `write`.
pub fn cell_rows<E>(
    survey: CellSurvey,
    (height, width): (usize, usize),
    rows: usize,
    mut read: impl FnMut([Range<usize>; 2]) -> Result<(Image<u8>, Image<u32>), E>,
    mut write: impl FnMut(usize, &Image<u32>) -> Result<(), E>,
) -> Result<usize, E> {
    let cytoplasm = survey.cytoplasm;
    let lone = survey.without_nucleus();
    let (mut unsure, mut next) = (0, 0);
    for top in (0..height).step_by(rows.max(1)) {
        let bottom = (top + rows.max(1)).min(height);
        let mut cells = Image::filled(bottom - top, width, 0u32);
        let start = next;
        while lone.runs.get(next).is_some_and(|(y, ..)| *y < bottom) {
            let (y, run, number) = &lone.runs[next];
            cells.row_mut(y - top)[run.clone()].fill(*number);
            next += 1;
        }
        let is_lone = |y: usize, x: usize| {
            let at = |(row, run, _): &(usize, Range<usize>, u32)| (*row, run.start) <= (y, x);
            let runs = &lone.runs[start..next];
            let last = runs[..runs.partition_point(at)].last();
            last.is_some_and(|(row, run, _)| *row == y && run.contains(&x))
        };
        for left in (0..width).step_by(COLUMNS) {
            let core = [top..bottom, left..(left + COLUMNS).min(width)];
            let mut margin = MARGIN;
            loop {
                let at = widened(&core, margin, [height, width]);
                let (classes, nuclei) = read(at.clone())?;
                let (found, wrong) =
                    window(cytoplasm, &classes, &nuclei, &at, &core, [height, width]);
                let wrong = wrong.into_iter().filter(|&(y, x)| !is_lone(y, x)).count();
                let is_last = margin >= MOST_MARGIN;
                if wrong > 0 && !is_last {
                    margin *= 2;
                    continue;
                }
                unsure += wrong;
                for y in core[0].clone() {
                    let from = found.row(y - at[0].start);
                    for x in core[1].clone() {
                        let cell = from[x - at[1].start];
                        if cell != 0 {
                            *cells.get_mut(y - top, x) = cell;
                        }
                    }
                }
                break;
            }
        }
        write(top, &cells)?;
    }
    Ok(unsure)
}

fn widened(core: &[Range<usize>; 2], margin: usize, size: [usize; 2]) -> [Range<usize>; 2] {
    std::array::from_fn(|axis| {
        core[axis].start.saturating_sub(margin)..(core[axis].end + margin).min(size[axis])
    })
}

/// The cells of a window, and pixels of its core that are not certain: those whose nucleus is no
/// nearer than an edge beyond which the field goes on.
fn window(
    cytoplasm: u8,
    classes: &Image<u8>,
    nuclei: &Image<u32>,
    at: &[Range<usize>; 2],
    core: &[Range<usize>; 2],
    size: [usize; 2],
) -> (Image<u32>, Vec<(usize, usize)>) {
    let mut steps = classes.map(|_| 0u32);
    let cells = grown(classes, cytoplasm, nuclei, |to, from| {
        steps.data_mut()[to] = steps.data()[from] + 1;
    });
    let is_whole = at.iter().zip(size).all(|(at, n)| *at == (0..n));
    let mut unsure = Vec::new();
    if is_whole {
        return (cells, unsure);
    }
    let edge = |i: usize, axis: usize| {
        let (start, end) = (at[axis].start, at[axis].end);
        let before = if start == 0 { usize::MAX } else { i - start };
        let after = if end == size[axis] {
            usize::MAX
        } else {
            end - 1 - i
        };
        before.min(after)
    };
    for y in core[0].clone() {
        for x in core[1].clone() {
            let (v, u) = (y - at[0].start, x - at[1].start);
            let reached = cells.get(v, u) != 0;
            let open = nuclei.get(v, u) == 0 && is_cell(classes.get(v, u), cytoplasm);
            let is_sure = reached && steps.get(v, u) as usize <= edge(y, 0).min(edge(x, 1));
            if open && !is_sure {
                unsure.push((y, x));
            }
        }
    }
    (cells, unsure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells;

    fn by_rows(
        classes: &Image<u8>,
        nuclei: &Image<u32>,
        rows: usize,
        pixel_um: Option<f64>,
    ) -> (Image<u32>, usize) {
        let (height, width) = classes.size();
        let mut survey = CellSurvey::new(2, width, pixel_um);
        for y in (0..height).step_by(rows) {
            let n = rows.min(height - y);
            survey.push(&classes.crop(y, 0, n, width), &nuclei.crop(y, 0, n, width));
        }
        let mut data = Vec::new();
        let read = |[rows, columns]: [Range<usize>; 2]| {
            let (y, x, h, w) = (rows.start, columns.start, rows.len(), columns.len());
            Ok::<_, ()>((classes.crop(y, x, h, w), nuclei.crop(y, x, h, w)))
        };
        let write = |_, cells: &Image<u32>| {
            data.extend_from_slice(cells.data());
            Ok(())
        };
        let unsure = cell_rows(survey, (height, width), rows, read, write).unwrap();
        (Image::new(height, width, data), unsure)
    }

    #[test]
    fn rows_give_the_cells_of_the_whole_field() {
        for (height, width, seed) in [(40, 60, 1), (700, 90, 2), (300, 1500, 3), (1, 30, 4)] {
            let hash =
                |y: usize, x: usize| (y * 7919 + x * 104_729 + seed * 271) * 2_654_435_761 % 1009;
            let classes = Image::from_fn(height, width, |y, x| match hash(y, x) % 13 {
                0..5 if hash(y / 16, x / 16) % 3 > 0 => 0,
                _ if y % 90 == 0 => 0,
                _ => 2,
            });
            // Few nuclei, numbered in raster order, so that cells reach far and some have none.
            let mut next = 0;
            let nuclei = Image::from_fn(height, width, |y, x| {
                let one = hash(y, x) == 5 && y % 90 < 45;
                next += u32::from(one);
                if one { next } else { 0 }
            });
            for pixel_um in [None, Some(0.5)] {
                let expected = cells(&classes, 2, &nuclei, pixel_um);
                for rows in [16, 64, 1000] {
                    let (found, unsure) = by_rows(&classes, &nuclei, rows, pixel_um);
                    assert!(found == expected, "{height} x {width} by {rows}");
                    assert_eq!(unsure, 0);
                }
            }
        }
    }

    #[test]
    fn a_nucleus_that_is_out_of_reach_is_told() {
        let classes = Image::filled(3000, 3, 2u8);
        let mut nuclei = Image::filled(3000, 3, 0u32);
        *nuclei.get_mut(0, 0) = 1;
        let (found, unsure) = by_rows(&classes, &nuclei, 100, None);
        assert_eq!(found.get(1000, 1), 1);
        assert!(unsure > 0);
    }
}
