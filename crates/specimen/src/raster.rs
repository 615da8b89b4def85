//! From outlines to pixels: which pixel belongs to which cell and nucleus.

use rayon::prelude::*;

use crate::noise::Noise;
use crate::outline::Outline;
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
/// Roughness of free edges in fractions of a radius (standard deviation): about half a um.
const RUFFLE: f32 = 0.035;

/// The multiples of `step` in `[centre - reach, centre + reach]`, divided by `step`, within
/// `range`.
fn grid(
    centre: f32,
    reach: f32,
    step: f32,
    range: std::ops::Range<usize>,
) -> std::ops::Range<usize> {
    let from = ((centre - reach) / step).ceil().max(0.0) as usize;
    let to = ((centre + reach) / step).floor() + 1.0;
    from.max(range.start)..(to.max(0.0) as usize).min(range.end)
}

/// Calls `draw(y, x, fraction)` for the pixels of a band of rows where `outline`'s fraction is
/// below `limit`.
pub(crate) fn for_each_pixel(
    outline: &Outline,
    limit: f32,
    side: usize,
    first_row: usize,
    rows: usize,
    draw: impl FnMut(usize, usize, f32),
) {
    for_each_sample(outline, limit, 1, side, first_row..first_row + rows, draw);
}

/// The same on every `step`-th pixel of every `step`-th row: `rows`, `columns` and the coordinates
/// given to `draw` count such samples.
fn for_each_sample(
    outline: &Outline,
    limit: f32,
    step: usize,
    columns: usize,
    rows: std::ops::Range<usize>,
    mut draw: impl FnMut(usize, usize, f32),
) {
    let step = step as f32;
    let reach = outline.reach * limit;
    for y in grid(outline.y, reach, step, rows) {
        let yf = y as f32 * step;
        let across = (reach * reach - (yf - outline.y).powi(2)).max(0.0).sqrt();
        for x in grid(outline.x, across, step, 0..columns) {
            let fraction = outline.fraction(yf, x as f32 * step);
            if fraction < limit {
                draw(y, x, fraction);
            }
        }
    }
}

/// The fraction of their radius to which bodies must reach so that a share `confluence` of the
/// field is covered, from every `SAMPLE`-th pixel of every `SAMPLE`-th row.
fn scale_for(cells: &[Cell], side: usize, margin: usize, confluence: f64, ruffle: &Noise) -> f32 {
    /// A field of 2160 pixels still has 290,000 samples.
    const SAMPLE: usize = 4;
    let columns = side.div_ceil(SAMPLE);
    let mut own = vec![REACH; columns * columns];
    own.par_chunks_mut(columns * BAND)
        .enumerate()
        .for_each(|(band, own)| {
            let first = band * BAND;
            let rows = first..first + own.len() / columns;
            for cell in cells {
                let (limit, factor) = cell.claim(REACH);
                for_each_sample(
                    &cell.body,
                    limit,
                    SAMPLE,
                    columns,
                    rows.clone(),
                    |y, x, d| {
                        let own = &mut own[(y - first) * columns + x];
                        *own = own.min(d * factor);
                    },
                );
            }
            for (i, own) in own.iter_mut().enumerate() {
                let (y, x) = ((first + i / columns) * SAMPLE, i % columns * SAMPLE);
                *own = roughen(*own, RUFFLE * ruffle.at(y as f32, x as f32));
            }
            // Nuclei are covered whatever the scale.
            for cell in cells {
                for_each_sample(
                    &cell.nucleus,
                    1.0,
                    SAMPLE,
                    columns,
                    rows.clone(),
                    |y, x, _| {
                        own[(y - first) * columns + x] = 0.0;
                    },
                );
            }
        });
    let inside = |v: usize| (margin..side - margin).contains(&(v * SAMPLE));
    let mut seen: Vec<f32> = (0..own.len())
        .filter(|i| inside(i / columns) && inside(i % columns))
        .map(|i| own[i])
        .collect();
    let wanted = ((confluence * seen.len() as f64) as usize).min(seen.len() - 1);
    *seen.select_nth_unstable_by(wanted, f32::total_cmp).1
}

/// Fraction at a free edge: ruffled, except inside rounded cells and near a centre, where it could
/// open a hole.
fn roughen(fraction: f32, change: f32) -> f32 {
    if fraction > 0.4 {
        fraction + change
    } else {
        fraction
    }
}

impl Cell {
    /// How far the cell claims land, in fractions of its radius, and the factor by which its
    /// fractions are reduced; `scale` is the fraction to which spread bodies reach.
    fn claim(&self, scale: f32) -> (f32, f32) {
        if self.mitotic {
            (1.0, ROUND)
        } else {
            (scale, 1.0)
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
            scale: scale_for(cells, side, margin, confluence, ruffle),
        };
        territory.claim_bodies(cells, ruffle);
        territory.claim_nuclei(cells);
        territory.settle();
        territory
    }

    fn claim_bodies(&mut self, cells: &[Cell], ruffle: &Noise) {
        let side = self.side;
        // Ruffling may move an edge by four standard deviations.
        let reach = self.scale + 4.0 * RUFFLE;
        let bands = self.cell.par_chunks_mut(side * BAND);
        let bands = bands.zip(self.own.par_chunks_mut(side * BAND));
        let bands = bands.zip(self.rival.par_chunks_mut(side * BAND));
        bands.enumerate().for_each(|(band, ((owner, own), rival))| {
            let first = band * BAND;
            for (index, cell) in cells.iter().enumerate() {
                let (limit, factor) = cell.claim(reach);
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
                ruffle.add_row((first + y) as f32, RUFFLE, &mut row);
                for (own, &change) in own.iter_mut().zip(&row) {
                    *own = roughen(*own, change);
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
