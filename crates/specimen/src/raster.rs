//! From outlines to pixels: which pixel belongs to which cell and nucleus.

use rayon::prelude::*;

use crate::noise::Noise;
use crate::population::Cell;

/// Rows in a band of work; bands are independent, so threads do not change the result.
pub(crate) const BAND: usize = 32;

/// Who owns each pixel of the drawing square, `[side, side]`, as cell index + 1 (0 = nobody).
pub(crate) struct Territory {
    pub(crate) side: usize,
    pub(crate) cell: Vec<u32>,
    pub(crate) nucleus: Vec<u32>,
    /// Fraction of the own body's radius at a pixel, and of the nearest rival's.
    pub(crate) own: Vec<f32>,
    pub(crate) rival: Vec<f32>,
    /// Bodies reach to this fraction of their radius; it is what meets the wanted confluence.
    pub(crate) scale: f32,
}

/// Beyond this multiple of its radius a body never spreads.
const REACH: f32 = 2.2;
/// Rounded cells hold their place against spreading neighbours: inside their outline the fraction
/// is made this much smaller.
pub(crate) const ROUND: f32 = 0.2;

/// Pixels of a band within `reach` of `(y, x)`: rows (within the band) and columns.
fn window(
    y: f32,
    x: f32,
    reach: f32,
    side: usize,
    first_row: usize,
    rows: usize,
) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
    let from = |v: f32| (v - reach).ceil().max(0.0) as usize;
    let to = |v: f32, end: usize| ((v + reach).floor() + 1.0).clamp(0.0, end as f32) as usize;
    let (y0, y1) = (from(y).max(first_row), to(y, side).min(first_row + rows));
    let (x0, x1) = (from(x), to(x, side));
    (y0 < y1 && x0 < x1).then_some((y0..y1, x0..x1))
}

/// Calls `draw(y, x, fraction)` for every pixel of the band where `outline`'s fraction can be
/// below `limit`.
pub(crate) fn for_each_pixel(
    outline: &crate::outline::Outline,
    limit: f32,
    side: usize,
    first_row: usize,
    rows: usize,
    mut draw: impl FnMut(usize, usize, f32),
) {
    let reach = outline.reach * limit + 1.0;
    let Some((ys, xs)) = window(outline.y, outline.x, reach, side, first_row, rows) else {
        return;
    };
    for y in ys {
        for x in xs.clone() {
            let fraction = outline.fraction(y as f32, x as f32);
            if fraction < limit {
                draw(y, x, fraction);
            }
        }
    }
}

impl Territory {
    /// Divides the square among the cells so that a share `confluence` of the field (the square
    /// without its `margin`) is covered. `ruffle` roughens free edges, in fractions of a radius.
    pub(crate) fn divide(
        cells: &[Cell],
        side: usize,
        margin: usize,
        confluence: f64,
        ruffle: &Noise,
    ) -> Territory {
        let mut territory = Territory {
            side,
            cell: vec![0; side * side],
            nucleus: vec![0; side * side],
            own: vec![f32::INFINITY; side * side],
            rival: vec![f32::INFINITY; side * side],
            scale: 1.0,
        };
        territory.claim_bodies(cells, ruffle);
        territory.claim_nuclei(cells);
        territory.scale = territory.scale_for(margin, confluence);
        territory.settle();
        territory
    }

    fn claim_bodies(&mut self, cells: &[Cell], ruffle: &Noise) {
        let side = self.side;
        let bands = self.cell.par_chunks_mut(side * BAND);
        let bands = bands.zip(self.own.par_chunks_mut(side * BAND));
        let bands = bands.zip(self.rival.par_chunks_mut(side * BAND));
        bands.enumerate().for_each(|(band, ((owner, own), rival))| {
            let first = band * BAND;
            for (index, cell) in cells.iter().enumerate() {
                let (limit, factor) = if cell.mitotic {
                    (1.0, ROUND)
                } else {
                    (REACH, 1.0)
                };
                for_each_pixel(
                    &cell.body,
                    limit,
                    side,
                    first,
                    owner.len() / side,
                    |y, x, d| {
                        let (i, d) = ((y - first) * side + x, d * factor);
                        if d < own[i] {
                            rival[i] = own[i];
                            own[i] = d;
                            owner[i] = index as u32 + 1;
                        } else if d < rival[i] {
                            rival[i] = d;
                        }
                    },
                );
            }
            // Free edges are ruffled; contacts, where both fractions change alike, stay smooth.
            let mut row = vec![0.0; side];
            for (y, own) in own.chunks_mut(side).enumerate() {
                row.fill(0.0);
                ruffle.add_row((first + y) as f32, 0.045, &mut row);
                for (own, &change) in own.iter_mut().zip(&row) {
                    // Not inside a rounded cell, nor near a centre, where it could open a hole.
                    if *own > 0.4 {
                        *own += change;
                    }
                }
            }
        });
    }

    fn claim_nuclei(&mut self, cells: &[Cell]) {
        let side = self.side;
        self.nucleus
            .par_chunks_mut(side * BAND)
            .enumerate()
            .for_each(|(band, owner)| {
                let first = band * BAND;
                let mut best = vec![1.0_f32; owner.len()];
                for (index, cell) in cells.iter().enumerate() {
                    let rows = owner.len() / side;
                    for_each_pixel(&cell.nucleus, 1.0, side, first, rows, |y, x, d| {
                        let i = (y - first) * side + x;
                        if d < best[i] {
                            best[i] = d;
                            owner[i] = index as u32 + 1;
                        }
                    });
                }
            });
    }

    /// The fraction of their radius to which bodies must reach for the wanted confluence.
    fn scale_for(&self, margin: usize, confluence: f64) -> f32 {
        /// Bins of the histogram over `[0, REACH]`: steps of a thousandth of a radius.
        const BINS: usize = 2200;
        let field = self.side - 2 * margin;
        let mut histogram = vec![0u32; BINS + 1];
        for y in (margin..margin + field).map(|y| y * self.side) {
            for i in y + margin..y + margin + field {
                // Nuclei are covered whatever the scale.
                let fraction = if self.nucleus[i] > 0 {
                    0.0
                } else {
                    self.own[i]
                };
                let bin = (fraction.max(0.0) * (BINS as f32 / REACH)).min(BINS as f32);
                histogram[bin as usize] += 1;
            }
        }
        let wanted = confluence * (field * field) as f64;
        let mut covered = 0.0;
        for (bin, &count) in histogram[..BINS].iter().enumerate() {
            covered += f64::from(count);
            if covered >= wanted {
                return (bin + 1) as f32 * REACH / BINS as f32;
            }
        }
        REACH
    }

    /// Removes what lies beyond the scale, gives every nucleus to its own cell, and drops pieces of
    /// a cell that are cut off from its nucleus.
    fn settle(&mut self) {
        let (side, scale) = (self.side, self.scale);
        let mut open = Vec::new();
        let mut reached = vec![false; side * side];
        for i in 0..side * side {
            let nucleus = self.nucleus[i];
            if nucleus > 0 {
                if self.cell[i] != nucleus {
                    self.cell[i] = nucleus;
                    self.rival[i] = self.own[i];
                }
                self.own[i] = self.own[i].min(0.6 * scale);
                reached[i] = true;
                open.push(i as u32);
            } else if self.own[i] >= scale {
                self.cell[i] = 0;
            }
        }
        while let Some(i) = open.pop() {
            let i = i as usize;
            let (y, x) = (i / side, i % side);
            let mut visit = |j: usize| {
                if !reached[j] && self.cell[j] == self.cell[i] {
                    reached[j] = true;
                    open.push(j as u32);
                }
            };
            if y > 0 {
                visit(i - side);
            }
            if y + 1 < side {
                visit(i + side);
            }
            if x > 0 {
                visit(i - 1);
            }
            if x + 1 < side {
                visit(i + 1);
            }
        }
        for (owner, &reached) in self.cell.iter_mut().zip(&reached) {
            if !reached {
                *owner = 0;
            }
        }
    }
}
