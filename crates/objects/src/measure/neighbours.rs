//! How many other objects are near.
//!
//! The distance of two objects is that of their nearest pixels, centre to centre. Objects touch
//! where pixels share an edge or a corner.

use super::regions::{Bounds, Regions, Run};
use super::{Block, Column, Family, Part, Scene, Unit};

pub(super) struct Neighbours;

impl Family for Neighbours {
    fn name(&self) -> &'static str {
        "neighbours"
    }

    fn applies_to(&self, part: Part) -> bool {
        part.is_object()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::integer("neighbours_touching", Unit::None),
            Column::integer("neighbours_near", Unit::None),
        ]
    }

    fn measure(&self, scene: &Scene, part: Part, _channel: Option<usize>, block: &mut Block) {
        let regions = &scene.layer(part).regions;
        let limit = scene.pixels(scene.settings.neighbours_um);
        // What touches has a squared distance of 1 or 2.
        const TOUCHING: u64 = 2;
        let near = limit.map_or(0.0, |px| px * px);
        let farthest = (near as u64).max(TOUCHING);
        let grid = Grid::of(regions);
        let mut found = vec![[0u32; 2]; regions.len()];
        let mut candidates = Vec::new();
        for i in 0..regions.len() {
            grid.around(i, (farthest as f64).sqrt().ceil() as u32, &mut candidates);
            for &j in candidates.iter().filter(|&&j| j > i) {
                let Some(squared) = squared_distance(regions, i, j, farthest) else {
                    continue;
                };
                for k in [i, j] {
                    found[k][0] += u32::from(squared <= TOUCHING);
                    found[k][1] += u32::from(squared as f64 <= near);
                }
            }
        }
        for (i, [touching, near]) in found.into_iter().enumerate() {
            let near = limit.map_or(f64::NAN, |_| f64::from(near));
            block.row(i).copy_from_slice(&[f64::from(touching), near]);
        }
    }
}

/// Objects by the squares of a grid that their bounding boxes cover.
struct Grid {
    bounds: Vec<Bounds>,
    columns: usize,
    rows: usize,
    cells: Vec<Vec<usize>>,
}

/// Side of a square in pixels: about a nucleus, so that few objects share one.
const SIDE: u32 = 48;

impl Grid {
    fn of(regions: &Regions) -> Self {
        let cover = |n: usize| n.div_ceil(SIDE as usize).max(1);
        let (rows, columns) = (cover(regions.size.0), cover(regions.size.1));
        let bounds: Vec<Bounds> = (0..regions.len()).map(|i| regions.bounds(i)).collect();
        let mut cells = vec![Vec::new(); rows * columns];
        for (i, b) in bounds.iter().enumerate() {
            for y in b.top / SIDE..=(b.bottom - 1) / SIDE {
                for x in b.left / SIDE..=(b.right - 1) / SIDE {
                    cells[y as usize * columns + x as usize].push(i);
                }
            }
        }
        Self {
            bounds,
            columns,
            rows,
            cells,
        }
    }

    /// Objects whose boxes come within `reach` pixels of that of object `i`, each once.
    fn around(&self, i: usize, reach: u32, found: &mut Vec<usize>) {
        let b = self.bounds[i];
        let (top, bottom) = (b.top.saturating_sub(reach), b.bottom + reach);
        let (left, right) = (b.left.saturating_sub(reach), b.right + reach);
        found.clear();
        for y in top / SIDE..=((bottom - 1) / SIDE).min(self.rows as u32 - 1) {
            for x in left / SIDE..=((right - 1) / SIDE).min(self.columns as u32 - 1) {
                let cell = &self.cells[y as usize * self.columns + x as usize];
                found.extend(cell.iter().filter(|&&j| {
                    let other = self.bounds[j];
                    j != i
                        && other.top < bottom
                        && other.bottom > top
                        && other.left < right
                        && other.right > left
                }));
            }
        }
        found.sort_unstable();
        found.dedup();
    }
}

/// Squared distance of the nearest pixels of two objects, `None` beyond `limit`.
fn squared_distance(regions: &Regions, i: usize, j: usize, limit: u64) -> Option<u64> {
    let reach = (limit as f64).sqrt() as u32;
    let others = regions.runs(j);
    let mut best = limit + 1;
    let mut first = 0;
    for run in regions.runs(i) {
        while others
            .get(first)
            .is_some_and(|other| other.y + reach < run.y)
        {
            first += 1;
        }
        let near = others[first..]
            .iter()
            .take_while(|other| other.y <= run.y + reach);
        for other in near {
            best = best.min(squared_gap(*run, *other));
        }
    }
    (best <= limit).then_some(best)
}

/// Squared distance of the nearest pixels of two runs.
fn squared_gap(a: Run, b: Run) -> u64 {
    let dy = u64::from(a.y.abs_diff(b.y));
    let dx = if a.to <= b.from {
        u64::from(b.from + 1 - a.to)
    } else if b.to <= a.from {
        u64::from(a.from + 1 - b.to)
    } else {
        0
    };
    dy * dy + dx * dx
}
