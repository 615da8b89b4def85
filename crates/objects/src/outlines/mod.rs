//! Outlines of labelled objects along the edges of their pixels.
//!
//! Method: every object is taken apart into parts that hang together by edges. A line is followed
//! with its part on the right; where two pixels of a part meet in a corner only, it turns right and
//! so stays at the pixel it is at. A line that comes to a corner for the second time has closed a
//! line of its own there, which is cut off. So no line touches itself, holes that meet in a corner
//! are two, and polygons are valid as geometry libraries ask for: lines of one part meet in corners
//! at most. Each line has an edge on the left of a pixel, so that one scan finds all of them; time
//! goes by pixels and by the length of the lines.

mod rows;

use std::collections::{BTreeMap, HashMap};

use stainfree_image::Image;
use stainfree_image::outline::{CellOutline, Outline, OutlinePart, Outlines, Ring};

pub use self::rows::OutlineSurvey;
use crate::error::{ObjectsError, same_size};
use crate::labels::Connectivity;
use crate::runs::Components;

/// The outlines of nuclei and of the cells around them, whose numbers need not be alike.
///
/// A cell has the nucleus that is the only one inside it; nuclei that a cell covers in part, and
/// several in one cell, have none.
///
/// # Errors
/// [`ObjectsError::SizeMismatch`] if the images differ in size.
pub fn outlines(nuclei: &Image<u32>, cells: Option<&Image<u32>>) -> Result<Outlines, ObjectsError> {
    let mut found = Outlines {
        nuclei: outlines_of_labels(nuclei),
        ..Outlines::default()
    };
    let Some(cells) = cells else {
        return Ok(found);
    };
    same_size("the nuclei", nuclei.size(), "the cells", cells.size())?;
    let mut inside = Inside::default();
    inside.push(nuclei, cells);
    let nucleus_of = inside.nucleus_of();
    let place = |label: u32| {
        let search = found.nuclei.binary_search_by_key(&label, |one| one.label);
        search.ok()
    };
    found.cells = outlines_of_labels(cells)
        .into_iter()
        .map(|outline| {
            let nucleus = nucleus_of.get(&outline.label);
            let nucleus = nucleus.and_then(|&label| place(label));
            CellOutline { outline, nucleus }
        })
        .collect();
    Ok(found)
}

/// Which nuclei lie wholly inside which cells.
#[derive(Clone, Debug, Default)]
struct Inside {
    /// The cell of a nucleus; `None` where it lies in several, or outside of any.
    cell_of: HashMap<u32, Option<u32>>,
}

impl Inside {
    /// Takes further pixels.
    fn push(&mut self, nuclei: &Image<u32>, cells: &Image<u32>) {
        let mut last = (0, 0);
        for pair in nuclei
            .data()
            .iter()
            .copied()
            .zip(cells.data().iter().copied())
        {
            let (nucleus, cell) = pair;
            if nucleus == 0 || pair == last {
                continue;
            }
            last = pair;
            let here = Some(cell).filter(|&cell| cell != 0);
            let known = self.cell_of.entry(nucleus).or_insert(here);
            *known = known.filter(|_| *known == here);
        }
    }

    /// The nucleus of every cell that has one: the only one inside it.
    fn nucleus_of(&self) -> HashMap<u32, u32> {
        let mut only: HashMap<u32, Option<u32>> = HashMap::new();
        for (&nucleus, cell) in &self.cell_of {
            if let Some(cell) = *cell {
                let only = only.entry(cell).or_insert(Some(nucleus));
                *only = only.filter(|&one| one == nucleus);
            }
        }
        let known = |(cell, nucleus): (u32, Option<u32>)| Some((cell, nucleus?));
        only.into_iter().filter_map(known).collect()
    }
}

/// The outlines of all objects of a label image, by their labels.
fn outlines_of_labels(labels: &Image<u32>) -> Vec<Outline> {
    let parts = Components::of_values(labels, Connectivity::Four).painted();
    let empty = || OutlinePart {
        outer: Vec::new(),
        holes: Vec::new(),
    };
    // With the label, in the order of their first pixels.
    let mut found: Vec<(u32, OutlinePart)> = (0..parts.count).map(|_| (0, empty())).collect();
    let mut tracer = Tracer::new(&parts.image);
    for y in 0..labels.height() {
        for x in 0..labels.width() {
            let part = parts.image.get(y, x);
            if part == 0 || !tracer.begins_at(y, x) {
                continue;
            }
            let (label, part) = &mut found[part as usize - 1];
            *label = labels.get(y, x);
            tracer.follow(y, x, |ring| match is_clockwise(&ring) {
                true => part.outer = ring,
                false => part.holes.push(ring),
            });
        }
    }
    let mut by_label: BTreeMap<u32, Vec<OutlinePart>> = BTreeMap::new();
    for (label, part) in found {
        by_label.entry(label).or_default().push(part);
    }
    let outline = |(label, parts)| Outline { label, parts };
    by_label.into_iter().map(outline).collect()
}

/// Whether a line runs around what is on its right, and is no line around a hole: at its uppermost
/// corner, of those the leftmost, it then goes to the right.
fn is_clockwise(ring: &[[u32; 2]]) -> bool {
    let first = (0..ring.len()).min_by_key(|&i| [ring[i][1], ring[i][0]]);
    let next = |i: usize| ring[(i + 1) % ring.len()];
    first.is_some_and(|i| next(i)[1] == ring[i][1])
}

/// Directions along edges, each a turn to the right from the one before.
const UP: usize = 0;
/// Steps `[x, y]`.
const STEPS: [[i64; 2]; 4] = [[0, -1], [1, 0], [0, 1], [-1, 0]];
/// The pixel ahead on the right of a corner `[x, y]`, from that corner; the one ahead on the left
/// is that of the direction before.
const AHEAD: [[i64; 2]; 4] = [[0, -1], [0, 0], [-1, 0], [-1, -1]];

/// Follows lines around parts.
struct Tracer<'a> {
    parts: &'a Image<u32>,
    /// Pixels whose left edge was followed.
    followed: Image<bool>,
    /// The corners of the line where it has turned.
    corners: Vec<[u32; 2]>,
    /// Where in `corners` those are at which pixels of the part meet in a corner only.
    pinched: HashMap<[u32; 2], usize>,
}

impl<'a> Tracer<'a> {
    fn new(parts: &'a Image<u32>) -> Self {
        Self {
            parts,
            followed: Image::filled(parts.height(), parts.width(), false),
            corners: Vec::new(),
            pinched: HashMap::new(),
        }
    }

    /// Whether the left edge of a pixel belongs to a line that was not followed.
    fn begins_at(&self, y: usize, x: usize) -> bool {
        let part = self.parts.get(y, x);
        (x == 0 || self.parts.get(y, x - 1) != part) && !self.followed.get(y, x)
    }

    /// Whether a pixel is of the part; there is none beyond the rim.
    fn is_part(&self, [x, y]: [i64; 2], part: u32) -> bool {
        let (Ok(y), Ok(x)) = (usize::try_from(y), usize::try_from(x)) else {
            return false;
        };
        y < self.parts.height() && x < self.parts.width() && self.parts.get(y, x) == part
    }

    /// Follows the line of the left edge of a pixel, the first of the line in raster order, and
    /// gives all lines that it consists of.
    fn follow(&mut self, y: usize, x: usize, mut put: impl FnMut(Ring)) {
        let part = self.parts.get(y, x);
        self.corners.clear();
        self.pinched.clear();
        // The upper corner of the edge: the line turns there, or an edge above came before.
        let begin = ([x as i64, y as i64], UP);
        let (mut at, mut direction) = begin;
        loop {
            let ahead = |turn: usize| {
                let [dx, dy] = AHEAD[(direction + turn) % 4];
                self.is_part([at[0] + dx, at[1] + dy], part)
            };
            let (right, left) = (ahead(0), ahead(3));
            let turn = match (right, left) {
                (false, _) => 1,
                (true, false) => 0,
                (true, true) => 3,
            };
            if turn != 0 {
                self.turn_at([at[0] as u32, at[1] as u32], !right && left, &mut put);
            }
            direction = (direction + turn) % 4;
            if direction == UP {
                // The edge that is followed next is the left one of the pixel above.
                *self.followed.get_mut(at[1] as usize - 1, at[0] as usize) = true;
            }
            let [dx, dy] = STEPS[direction];
            at = [at[0] + dx, at[1] + dy];
            if (at, direction) == begin {
                break;
            }
        }
        put(std::mem::take(&mut self.corners));
    }

    /// Notes a corner where the line turns. Where it was there before, the line since then is one
    /// of its own.
    fn turn_at(&mut self, corner: [u32; 2], is_pinched: bool, put: &mut impl FnMut(Ring)) {
        if is_pinched {
            if let Some(&since) = self.pinched.get(&corner) {
                let rest = self.corners.split_off(since + 1);
                put(std::iter::once(corner).chain(rest).collect());
                return;
            }
            self.pinched.insert(corner, self.corners.len());
        }
        self.corners.push(corner);
    }
}
