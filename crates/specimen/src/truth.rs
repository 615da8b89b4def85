//! The exact truth of a field, in brightfield coordinates.

use stainfree_image::Image;

use crate::population::Cell;
use crate::raster::Territory;
use crate::spec::PlateSpec;

/// One cell of a field, as `cells.csv` lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct CellRecord {
    /// Label of the cell and of its nucleus.
    pub id: u32,
    /// Centroid `(y, x)` in pixels of the visible nucleus, or of the body where the nucleus lies
    /// outside the field.
    pub position: (f64, f64),
    /// Visible area of the whole cell in pixels.
    pub area_px: u32,
    /// Visible area of the nucleus in pixels; 0 where it lies outside the field.
    pub nucleus_area_px: u32,
    /// Whether the cell is in mitosis.
    pub mitotic: bool,
}

/// What is really there: every pixel belongs to at most one nucleus and one cell.
///
/// A cell and its nucleus have the same label. Cells whose nucleus is visible come first, so nuclei
/// are labelled `1..=n` and cells `1..=m`, `m >= n`, both without gaps.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// Scheme A: 0 background, 1 nucleus, 2 cytoplasm.
    pub classes: Image<u8>,
    /// Nucleus labels, 0 = background.
    pub nuclei: Image<u32>,
    /// Labels of whole cells (nucleus included), 0 = background.
    pub cells: Image<u32>,
    /// One record a cell, in label order.
    pub records: Vec<CellRecord>,
}

impl Truth {
    pub(crate) fn new(
        spec: &PlateSpec,
        cells: &[Cell],
        territory: &Territory,
        margin: usize,
    ) -> Truth {
        let side = spec.side;
        let window = |map: &[u32]| {
            let mut out = Vec::with_capacity(side * side);
            for y in margin..margin + side {
                out.extend_from_slice(&map[y * territory.side + margin..][..side]);
            }
            out
        };
        let (mut bodies, mut nuclei) = (window(&territory.cell), window(&territory.nucleus));
        let mut tally = vec![Tally::default(); cells.len() + 1];
        for y in 0..side {
            for x in 0..side {
                let i = y * side + x;
                tally[bodies[i] as usize].body.add(y, x);
                tally[nuclei[i] as usize].nucleus.add(y, x);
            }
        }
        let mut label = vec![0u32; cells.len() + 1];
        let mut records = Vec::new();
        for visible_nucleus in [true, false] {
            for index in 1..=cells.len() {
                let seen = &tally[index];
                if seen.body.count == 0 || (seen.nucleus.count > 0) != visible_nucleus {
                    continue;
                }
                let id = records.len() as u32 + 1;
                label[index] = id;
                let shown = if visible_nucleus {
                    &seen.nucleus
                } else {
                    &seen.body
                };
                records.push(CellRecord {
                    id,
                    position: shown.centroid(),
                    area_px: seen.body.count,
                    nucleus_area_px: seen.nucleus.count,
                    mitotic: cells[index - 1].mitotic,
                });
            }
        }
        for value in bodies.iter_mut().chain(&mut nuclei) {
            *value = label[*value as usize];
        }
        let classes = nuclei
            .iter()
            .zip(&bodies)
            .map(|(&nucleus, &body)| {
                if nucleus > 0 {
                    1
                } else {
                    2 * u8::from(body > 0)
                }
            })
            .collect();
        Truth {
            classes: Image::new(side, side, classes),
            nuclei: Image::new(side, side, nuclei),
            cells: Image::new(side, side, bodies),
            records,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Pixels {
    count: u32,
    y: u64,
    x: u64,
}

impl Pixels {
    fn add(&mut self, y: usize, x: usize) {
        self.count += 1;
        self.y += y as u64;
        self.x += x as u64;
    }

    fn centroid(&self) -> (f64, f64) {
        let n = f64::from(self.count);
        (self.y as f64 / n, self.x as f64 / n)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    body: Pixels,
    nucleus: Pixels,
}
