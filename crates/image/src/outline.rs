//! Outlines of objects along the edges of their pixels.
//!
//! Corners are counted from the upper left corner of the upper left pixel, so that the pixel in row
//! `y` and column `x` is the square from `(x, y)` to `(x + 1, y + 1)`.

use std::collections::BTreeMap;

/// A closed line through corners `[x, y]` of pixels, of which two neighbours differ in one
/// coordinate. No corner comes twice, and the first one is not repeated at the end.
pub type Ring = Vec<[u32; 2]>;

/// Pixels of an object that hang together by their edges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlinePart {
    /// The line around it, clockwise as seen.
    pub outer: Ring,
    /// Lines around what lies inside and is not part of it, counter-clockwise.
    pub holes: Vec<Ring>,
}

/// The outline of one object of a label image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The object's label.
    pub label: u32,
    /// Its parts, in raster order of their first pixels; never empty.
    pub parts: Vec<OutlinePart>,
}

impl Outline {
    /// The object's pixels.
    pub fn area(&self) -> u64 {
        // Outer lines and those of holes run in opposite directions.
        let twice: i128 = self.rings().map(|ring| twice_area(ring)).sum();
        u64::try_from(twice / 2).unwrap_or(0)
    }

    /// Moves it down by so many rows, as what was found in a part of an image has to be.
    pub fn move_down(&mut self, rows: u32) {
        for part in &mut self.parts {
            let rings = std::iter::once(&mut part.outer).chain(&mut part.holes);
            rings.flatten().for_each(|corner| corner[1] += rows);
        }
    }

    /// All lines, those of each part together.
    pub fn rings(&self) -> impl Iterator<Item = &Ring> {
        let parts = self.parts.iter();
        parts.flat_map(|part| std::iter::once(&part.outer).chain(&part.holes))
    }
}

/// Twice the area inside, positive where the line runs clockwise as seen.
fn twice_area(ring: &[[u32; 2]]) -> i128 {
    let next = ring.iter().cycle().skip(1);
    let product = |a: u32, b: u32| i128::from(a) * i128::from(b);
    ring.iter()
        .zip(next)
        .map(|(&[x, y], &[next_x, next_y])| product(x, next_y) - product(next_x, y))
        .sum()
}

/// Outlines of nuclei and of the cells around them, of one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlines {
    /// Nuclei, by their labels.
    pub nuclei: Vec<Outline>,
    /// Whole cells, by their labels, which are numbers of their own.
    pub cells: Vec<CellOutline>,
    /// How sure nuclei are, by label, where it is known.
    pub confidences: BTreeMap<u32, f64>,
}

/// A whole cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellOutline {
    /// Its outline.
    pub outline: Outline,
    /// The place in [`Outlines::nuclei`] of its nucleus: the only one inside it, and all inside it.
    pub nucleus: Option<usize>,
}
